//! C, continued: what is inside stanzas, and who wants none of them.

use super::row::{Row, Stage, must, scene};
use crate::client::PATIENCE;

pub fn rows() -> Vec<Row> {
    vec![
        scene("C25", "one stanza to many addresses", multicast),
        scene("C28", "stanza ids made up by the sender", forged_stanza_id),
        scene("C29", "delays made up by a client", forged_delay),
        scene("C30", "stanzas in stanzas", forwarded),
        scene("C31", "who is blocked", blocked),
        scene(
            "C32",
            "blocking the server, oneself, and 1,001 addresses",
            odd_blocks,
        ),
    ]
}

/// Rows for a server that trusts no network.
pub fn rows_untrusted() -> Vec<Row> {
    vec![scene(
        "C24",
        "messages to a thousand strangers in a second",
        strangers,
    )]
}

fn multicast(stage: &Stage) -> Result<(), String> {
    let (mut alice, mut bob) = (stage.online("alice"), stage.online("bob"));
    let address = format!("<address type='to' jid='{}'/>", bob.bare());
    let many = address.repeat(50);
    alice.says(&format!(
        "<message to='a.test' id='many'><body>whisper</body>\
         <addresses xmlns='http://jabber.org/protocol/address'>{many}</addresses></message>"
    ));
    alice.ping();
    let heard = bob.drains().len();
    must(heard <= 20, || format!("one message became {heard}"))
}

fn forged_stanza_id(stage: &Stage) -> Result<(), String> {
    let (mut alice, mut bob) = (stage.online("alice"), stage.online("bob"));
    let to = bob.bare();
    let forged = format!("<stanza-id xmlns='urn:xmpp:sid:0' by='{to}' id='FAKE'/>");
    alice.says(&format!(
        "<message to='{to}' id='s'><body>whisper</body>{forged}{forged}\
         <stanza-id xmlns='urn:xmpp:sid:0' by='b.test' id='OTHER'/></message>"
    ));
    let heard = bob.waits_for("<message id='s'/>");
    let ids: Vec<_> = heard
        .children
        .iter()
        .filter(|c| c.name == "stanza-id")
        .collect();
    let of = |by: &str| ids.iter().filter(|c| c.attr("by") == Some(by)).count();
    let own = alice.bare();
    let right = of(&to) == 1 && of("b.test") == 1 && of(&own) == 0;
    must(right && !heard.to_string().contains("FAKE"), || {
        heard.to_string()
    })
}

fn forged_delay(stage: &Stage) -> Result<(), String> {
    let (mut alice, mut bob) = (stage.online("alice"), stage.online("bob"));
    let (own, to) = (alice.bare(), bob.bare());
    let delay =
        |from: &str| format!("<delay xmlns='urn:xmpp:delay' {from} stamp='2002-09-10T23:08:25Z'/>");
    let cases = [
        ("from='a.test'".to_string(), false),
        ("from='b.test'".to_string(), false),
        (format!("from='{to}'"), false),
        (format!("from='{own}'"), true),
        (String::new(), true),
    ];
    for (from, kept) in cases {
        let delay = delay(&from);
        alice.says(&format!(
            "<message to='{to}' id='d'><body>whisper</body>{delay}</message>"
        ));
        let heard = bob.waits_for("<message id='d'/>");
        let has = heard.child("urn:xmpp:delay", "delay").is_some();
        must(has == kept, || format!("{from:?}: {heard}"))?;
    }
    Ok(())
}

fn forwarded(stage: &Stage) -> Result<(), String> {
    let (mut alice, mut bob) = (stage.online("alice"), stage.online("bob"));
    let nest = |levels: usize| {
        let open = "<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'>";
        open.repeat(levels) + &"</message></forwarded>".repeat(levels)
    };
    let to = bob.bare();
    alice.says(&format!(
        "<message to='{to}' id='ten'>{}<body>x</body></message>",
        nest(10)
    ));
    let heard = bob.waits_for("<message id='ten'/>");
    must(
        heard.to_string().matches("<forwarded").count() == 10,
        || heard.to_string(),
    )?;
    alice.client.say(&format!(
        "<message to='{to}' id='fifty'>{}</message>",
        nest(50)
    ));
    let condition = alice.client.stream_error(PATIENCE)?;
    must(condition == "policy-violation", || condition)
}

fn blocked(stage: &Stage) -> Result<(), String> {
    let (mut alice, mut bob) = (stage.online("alice"), stage.online("bob"));
    stage.befriend(&mut alice, &mut bob);
    let block = "<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'>";
    let item = format!("<item jid='{}'/>", alice.bare());
    bob.gets(
        &format!("{block}{item}</block></iq>"),
        "<iq type='result' id='b'/>",
    );
    alice.waits_for(&format!(
        "<presence type='unavailable' from='{}'/>",
        bob.jid()
    ));
    let unavailable = "<error type='cancel'>\
                       <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    for to in [bob.bare(), bob.jid()] {
        alice.says(&format!(
            "<message to='{to}' id='m'><body>whisper</body></message>"
        ));
        alice.waits_for(&format!(
            "<message type='error' id='m'>{unavailable}</message>"
        ));
        let iq = format!("<iq type='get' id='q' to='{to}'><x xmlns='urn:x:nothing'/></iq>");
        let answer = alice.asks(&iq);
        must(
            answer.error() == Some(("cancel", "service-unavailable")),
            || answer.to_string(),
        )?;
    }
    alice.says(&format!("<presence to='{}'/>", bob.jid()));
    alice.says(&format!("<presence type='subscribe' to='{}'/>", bob.bare()));
    alice.says("<presence><show>away</show></presence>");
    alice.ping();
    bob.hears_nothing();
    bob.says(&format!(
        "<message to='{}' id='out'><body>whisper</body></message>",
        alice.bare()
    ));
    bob.waits_for(
        "<message type='error' id='out'><error type='cancel'>\
         <not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
         <blocked xmlns='urn:xmpp:blocking:errors'/></error></message>",
    );
    Ok(())
}

fn odd_blocks(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    let block = |items: &str| {
        format!("<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'>{items}</block></iq>")
    };
    let own = alice.bare();
    for jid in ["a.test", &own] {
        let answer = alice.asks(&block(&format!("<item jid='{jid}'/>")));
        let error = answer.attr("type") == Some("error");
        must(error, || format!("{jid}: {answer}"))?;
        alice.ping();
    }
    let answer = alice.asks(&block(""));
    must(answer.error() == Some(("modify", "bad-request")), || {
        answer.to_string()
    })?;
    let items = |from: usize, to: usize| -> String {
        (from..to)
            .map(|n| format!("<item jid='x{n}@b.test'/>"))
            .collect()
    };
    for from in (0..1000).step_by(100) {
        let answer = alice.asks(&block(&items(from, from + 100)));
        must(answer.attr("type") == Some("result"), || answer.to_string())?;
    }
    let answer = alice.asks(&block(&items(1000, 1001)));
    must(
        answer.error() == Some(("wait", "resource-constraint")),
        || answer.to_string(),
    )
}

fn strangers(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    for n in 0..100 {
        alice.says(&format!(
            "<message to='nobody{n}@a.test' id='n{n}'><body>whisper</body></message>"
        ));
    }
    let refused = Some(("wait", "policy-violation"));
    let heard = alice.drains();
    let violations = heard.iter().filter(|el| el.error() == refused).count();
    must((30..=60).contains(&violations), || {
        format!("{violations} of 100 were refused")
    })?;
    alice.ping();
    Ok(())
}
