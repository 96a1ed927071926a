//! P: presence, privacy, and who exists.

use super::row::{Row, Stage, must, scene};
use crate::device::Device;
use crate::xml::{CLIENT, El};

pub fn rows() -> Vec<Row> {
    vec![
        scene("P01", "disco#info of somebody and of nobody", |s| {
            same(s, DISCO_INFO, "error")
        }),
        scene("P02", "disco#items of somebody and of nobody", |s| {
            same(s, DISCO_ITEMS, "result")
        }),
        scene("P03", "last activity of somebody and of nobody", |s| {
            same(s, &[LAST], "error")
        }),
        scene("P04", "private data of somebody and of nobody", |s| {
            same(s, PRIVATE, "error")
        }),
        scene("P05", "a stranger's probe", probe),
        scene(
            "P06",
            "IQs to a resource that is there and to one that is not",
            guessed_resource,
        ),
        scene(
            "P06-msg",
            "errors for messages to somebody and nobody",
            message_errors,
        ),
        scene(
            "P08",
            "subscription stanzas nobody asked for",
            unasked_subscriptions,
        ),
        scene(
            "P09",
            "a hundred and twenty requests to subscribe",
            many_requests,
        ),
        scene("P15", "what a push service is told", pushed),
        scene("P16", "what the server's items show", server_items),
    ]
}

const DISCO_INFO: &[&str] = &["<query xmlns='http://jabber.org/protocol/disco#info'/>"];
/// XEP-0030 §8: an empty result.
const DISCO_ITEMS: &[&str] = &[
    "<query xmlns='http://jabber.org/protocol/disco#items'/>",
    "<query xmlns='http://jabber.org/protocol/disco#items' node='x'/>",
];
const LAST: &str = "<query xmlns='jabber:iq:last'/>";
const PRIVATE: &[&str] = &[
    "<vCard xmlns='vcard-temp'/>",
    "<query xmlns='jabber:iq:private'><x xmlns='urn:x'/></query>",
    "<blocklist xmlns='urn:xmpp:blocking'/>",
    "<query xmlns='urn:xmpp:mam:2'/>",
    "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:x'/></pubsub>",
    "<query xmlns='jabber:iq:roster'/>",
    "<query xmlns='jabber:iq:register'/>",
];

/// An answer without the addresses in it.
fn faceless(answer: &El, addresses: &[String]) -> String {
    addresses.iter().fold(answer.to_string(), |text, address| {
        text.replace(address, "X")
    })
}

/// A stranger gets the same answer for an online, an offline and no account.
fn same(stage: &Stage, payloads: &[&str], kind: &str) -> Result<(), String> {
    let mut alice = stage.online("alice");
    let bob = stage.online("bob");
    stage.device("dan").leaves();
    let people = [bob.bare(), stage.bare("dan"), stage.bare("nobody")];
    for payload in payloads {
        let mut answers = people.iter().map(|to| {
            let answer = alice.asks(&format!("<iq type='get' id='s' to='{to}'>{payload}</iq>"));
            faceless(&answer, &people)
        });
        let first = answers.next().unwrap_or_default();
        let others: Vec<String> = answers.collect();
        must(others.iter().all(|a| *a == first), || {
            format!("{payload}: {first} but {others:?}")
        })?;
        must(first.contains(&format!("type='{kind}'")), || {
            format!("{payload} is answered: {first}")
        })?;
    }
    Ok(())
}

fn probe(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    let mut bob = stage.online("bob");
    stage.device("dan").leaves();
    for to in [bob.bare(), stage.bare("dan"), stage.bare("nobody")] {
        alice.says(&format!("<presence type='probe' to='{to}' id='probe'/>"));
        alice.waits_for(&format!(
            "<presence type='unsubscribed' from='{to}' id='probe'/>"
        ));
    }
    // Bob shows himself; a probe of that full address then gets presence without children.
    bob.says("<presence><status>whisper</status></presence>");
    bob.waits_for(&format!("<presence from='{}'/>", bob.jid()));
    bob.says(&format!("<presence to='{}'/>", alice.jid()));
    alice.waits_for(&format!("<presence from='{}'/>", bob.jid()));
    alice.says(&format!("<presence type='probe' to='{}'/>", bob.jid()));
    let answer = alice.waits_for(&format!("<presence from='{}'/>", bob.jid()));
    must(answer.children.is_empty(), || answer.to_string())
}

fn guessed_resource(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    let mut bob = stage.online("bob");
    let absent = format!("{}/absent", bob.bare());
    let addresses = [bob.jid(), absent.clone()];
    let mut answers = Vec::new();
    for to in &addresses {
        for kind in ["get", "set"] {
            let iq = format!("<iq type='{kind}' id='g' to='{to}'><x xmlns='urn:x:guess'/></iq>");
            answers.push(faceless(&alice.asks(&iq), &addresses));
        }
    }
    must(answers[0] == answers[2] && answers[1] == answers[3], || {
        format!("{answers:?}")
    })?;
    bob.hears_nothing();
    bob.says(&format!("<presence to='{}'/>", alice.jid()));
    alice.waits_for(&format!("<presence from='{}'/>", bob.jid()));
    alice.says(&format!(
        "<iq type='get' id='h' to='{}'><x xmlns='urn:x:guess'/></iq>",
        bob.jid()
    ));
    bob.waits_for("<iq type='get' id='h'><x xmlns='urn:x:guess'/></iq>");
    bob.says(&format!("<iq type='result' id='h' to='{}'/>", alice.jid()));
    alice.waits_for("<iq type='result' id='h'/>");
    Ok(())
}

fn message_errors(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    stage.device("dan").leaves();
    let addresses = [stage.bare("dan") + "/gone", stage.bare("nobody") + "/gone"];
    for kind in ["groupchat", "headline"] {
        let mut heard = Vec::new();
        for to in &addresses {
            alice.says(&format!(
                "<message type='{kind}' to='{to}' id='k'><body>whisper</body></message>"
            ));
            let drained: Vec<String> = alice
                .drains()
                .iter()
                .map(|e| faceless(e, &addresses))
                .collect();
            heard.push(drained);
        }
        must(heard[0] == heard[1], || format!("{kind}: {heard:?}"))?;
    }
    Ok(())
}

fn unasked_subscriptions(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    let mut bob = stage.online("bob");
    bob.fetches_roster();
    for kind in ["subscribed", "unsubscribed", "unsubscribe"] {
        alice.says(&format!("<presence type='{kind}' to='{}'/>", bob.bare()));
    }
    alice.ping();
    bob.hears_nothing();
    let roster = bob.fetches_roster();
    let query = roster
        .child("jabber:iq:roster", "query")
        .ok_or("no roster")?;
    must(query.children.is_empty(), || roster.to_string())
}

fn many_requests(stage: &Stage) -> Result<(), String> {
    stage.device("bob").leaves();
    let bob = stage.bare("bob");
    for n in 0..120 {
        let mut stranger = stage.device(&format!("stranger{n}"));
        stranger.says(&format!("<presence type='subscribe' to='{bob}'/>"));
        stranger.ping();
    }
    let mut bob: Device = stage.device("bob/late");
    bob.says("<presence/>");
    let requests = bob.drains();
    let requests = requests
        .iter()
        .filter(|el| el.is(CLIENT, "presence") && el.attr("type") == Some("subscribe"))
        .count();
    must((1..=100).contains(&requests), || {
        format!("{requests} requests were kept")
    })
}

/// XEP-0357: that something waits, and neither what nor from whom.
fn pushed(stage: &Stage) -> Result<(), String> {
    let (mut bob, mut dan) = (stage.online("bob"), stage.online("dan"));
    let mut alice = stage.device("alice");
    let service = dan.jid();
    dan.says(&format!("<presence to='{}'/>", alice.bare()));
    dan.ping();
    alice.gets(
        &format!(
            "<iq type='set' id='e'><enable xmlns='urn:xmpp:push:0' jid='{service}' node='n'/></iq>"
        ),
        "<iq type='result' id='e'/>",
    );
    let to = alice.bare();
    alice.leaves();
    bob.says(&format!(
        "<message type='chat' to='{to}' id='whisper-id'><subject>whisper</subject>\
         <body>whisper</body><nick xmlns='http://jabber.org/protocol/nick'>whisper</nick></message>"
    ));
    let told = dan.waits_for(&format!("<iq type='set' from='{to}' id='*'/>"));
    let told = told.to_string();
    must(told.contains("urn:xmpp:push:0"), || told.clone())?;
    let said = ["whisper", "subject", &stage.user("bob")];
    must(!said.iter().any(|it| told.contains(it)), || told.clone())
}

fn server_items(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    let items = "<query xmlns='http://jabber.org/protocol/disco#items'/>";
    let answer = alice.asks(&format!("<iq type='get' id='i' to='a.test'>{items}</iq>"));
    must(answer.attr("type") == Some("result"), || answer.to_string())?;
    let shows: String = answer.children.iter().map(El::to_string).collect();
    must(!shows.contains('@'), || format!("lists users: {shows}"))?;
    let commands = "<query xmlns='http://jabber.org/protocol/disco#items' \
                    node='http://jabber.org/protocol/commands'/>";
    let answer = alice.asks(&format!(
        "<iq type='get' id='c' to='a.test'>{commands}</iq>"
    ));
    let admin = answer
        .to_string()
        .contains("http://jabber.org/protocol/admin");
    must(!admin, || format!("admin nodes shown to a user: {answer}"))
}
