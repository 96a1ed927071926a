//! U: nodes of accounts and of the service, and who may do nothing with them.

use super::row::{Row, Stage, must, scene};
use crate::device::Device;
use crate::xml::El;
use std::time::Instant;

pub fn rows() -> Vec<Row> {
    vec![
        scene("U01", "requests that are not whole", not_whole),
        scene("U02", "what is another's", of_another),
        scene("U03", "items behind each access model", closed),
        scene("U07", "nodes, items and bytes without end", full),
        scene("U09", "ids and publications without end", long),
        scene("U10", "subscribing somebody else", for_another),
        scene("U17", "events that come back from somebody else", come_back),
    ]
}

/// Items one account may publish at once, and a second after that, where nothing is set.
const BURST: u64 = 200;
const RATE: u64 = 5;

/// Rows for a server that trusts no network.
pub fn rows_untrusted() -> Vec<Row> {
    vec![
        scene("U11", "two hundred publications and more", fast),
        scene("U18", "coming and going without end", comes_and_goes),
    ]
}

const SERVICE: &str = "pubsub.a.test";
const PUBSUB: &str = "http://jabber.org/protocol/pubsub";
const ERRORS: &str = "http://jabber.org/protocol/pubsub#errors";

fn iq(kind: &str, to: &str, ns: &str, inside: &str) -> String {
    let ns = format!("{PUBSUB}{ns}");
    format!("<iq type='{kind}' id='u' to='{to}'><pubsub xmlns='{ns}'>{inside}</pubsub></iq>")
}

fn set(to: &str, inside: &str) -> String {
    iq("set", to, "", inside)
}

fn publish(node: &str, id: &str) -> String {
    format!("<publish node='{node}'><item id='{id}'><t xmlns='urn:t'/></item></publish>")
}

/// A node with this access model.
fn node(model: &str) -> String {
    format!(
        "<create node='{model}'/><configure><x xmlns='jabber:x:data' type='submit'>\
         <field var='pubsub#access_model'><value>{model}</value></field></x></configure>"
    )
}

/// The condition and the one of XEP-0060, or `result`.
fn verdict(answer: &El) -> String {
    let extra = answer.child("jabber:client", "error");
    let mut inside = extra.into_iter().flat_map(|error| &error.children);
    let extra = inside.find(|child| child.ns == ERRORS);
    match (answer.error(), extra) {
        (Some((_, condition)), Some(extra)) => format!("{condition} {}", extra.name),
        (Some((_, condition)), None) => condition.to_owned(),
        (None, _) => answer.attr("type").unwrap_or_default().to_owned(),
    }
}

/// Asks, and compares what is answered.
fn says(device: &mut Device, iq: &str, expected: &str) -> Result<(), String> {
    let said = verdict(&device.asks(iq));
    must(said == expected, || format!("{iq}: {said}, not {expected}"))
}

fn not_whole(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    let own = alice.bare();
    for to in [own.as_str(), SERVICE] {
        for (kind, inside, error) in [
            ("set", "", "bad-request nodeid-required"),
            ("get", "", "bad-request nodeid-required"),
            ("set", "<publish/>", "bad-request nodeid-required"),
            ("set", "<publish node=''/>", "bad-request nodeid-required"),
            ("get", "<items/>", "bad-request nodeid-required"),
            ("set", "<nonsense node='n'/>", "bad-request"),
            ("get", "<nonsense node='n'/>", "bad-request"),
        ] {
            says(&mut alice, &iq(kind, to, "", inside), error)?;
        }
        says(
            &mut alice,
            &iq("set", to, "#owner", "<delete/>"),
            "bad-request nodeid-required",
        )?;
    }
    Ok(())
}

fn of_another(stage: &Stage) -> Result<(), String> {
    let (mut alice, mut bob) = (stage.online("alice"), stage.online("bob"));
    stage.befriend(&mut alice, &mut bob);
    let (own, name) = (alice.bare(), stage.user("node"));
    says(&mut alice, &set(&own, &publish(&name, "i")), "result")?;
    says(
        &mut alice,
        &set(SERVICE, &format!("<create node='{name}'/>")),
        "result",
    )?;
    says(&mut alice, &set(SERVICE, &publish(&name, "i")), "result")?;
    for to in [own.as_str(), SERVICE] {
        let retract = format!("<retract node='{name}'><item id='i'/></retract>");
        for inside in [publish(&name, "j"), retract] {
            says(&mut bob, &set(to, &inside), "forbidden")?;
        }
        for (kind, what) in [
            ("set", "delete"),
            ("set", "purge"),
            ("get", "configure"),
            ("get", "affiliations"),
            ("get", "subscriptions"),
        ] {
            let inside = format!("<{what} node='{name}'/>");
            says(&mut bob, &iq(kind, to, "#owner", &inside), "forbidden")?;
        }
        let items = alice.asks(&iq("get", to, "", &format!("<items node='{name}'/>")));
        must(items.to_string().contains("id='i'"), || items.to_string())?;
    }
    Ok(())
}

fn closed(stage: &Stage) -> Result<(), String> {
    let (mut alice, mut bob) = (stage.online("alice"), stage.online("bob"));
    let own = alice.bare();
    let (closed, unknown) = ("not-allowed closed-node", "not-authorized not-subscribed");
    let subscription = "not-authorized presence-subscription-required";
    for (model, error) in [
        ("presence", subscription),
        ("roster", subscription),
        ("authorize", unknown),
        ("whitelist", closed),
    ] {
        says(&mut alice, &set(&own, &node(model)), "result")?;
        says(&mut alice, &set(&own, &publish(model, "i")), "result")?;
        let items = iq("get", &own, "", &format!("<items node='{model}'/>"));
        says(&mut bob, &items, error)?;
    }
    for (model, error) in [("authorize", unknown), ("whitelist", closed)] {
        let name = stage.user(model);
        let made = node(model).replacen(model, &name, 1);
        says(&mut alice, &set(SERVICE, &made), "result")?;
        says(&mut alice, &set(SERVICE, &publish(&name, "i")), "result")?;
        let items = iq("get", SERVICE, "", &format!("<items node='{name}'/>"));
        says(&mut bob, &items, error)?;
    }
    // A contact that is none any more.
    stage.befriend(&mut alice, &mut bob);
    let items = iq("get", &own, "", "<items node='presence'/>");
    says(&mut bob, &items, "result")?;
    alice.says(&format!(
        "<presence type='unsubscribed' to='{}'/>",
        bob.bare()
    ));
    alice.ping();
    bob.drains();
    says(&mut bob, &items, subscription)
}

fn full(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    let own = alice.bare();
    for (to, most) in [(own.as_str(), 500), (SERVICE, 100)] {
        for number in 0..=most {
            let create = format!("<create node='{}'/>", stage.user(&number.to_string()));
            let right = ["result", "resource-constraint"][usize::from(number == most)];
            says(&mut alice, &set(to, &create), right)?;
        }
    }
    let (node, heavy) = (stage.user("1"), "x".repeat(129 * 1024));
    let item = format!("<item id='i'><t xmlns='urn:t'>{heavy}</t></item>");
    let publish = format!("<publish node='{node}'>{item}</publish>");
    for to in [own.as_str(), SERVICE] {
        says(
            &mut alice,
            &set(to, &publish),
            "not-acceptable payload-too-big",
        )?;
    }
    Ok(())
}

fn long(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    let own = alice.bare();
    let name = stage.user("node");
    says(
        &mut alice,
        &set(SERVICE, &format!("<create node='{name}'/>")),
        "result",
    )?;
    let long = "i".repeat(100_000);
    let many = "<item><t xmlns='urn:t'/></item>".repeat(1_000);
    let many = format!("<publish node='{name}'>{many}</publish>");
    for to in [own.as_str(), SERVICE] {
        says(&mut alice, &set(to, &publish(&name, &long)), "bad-request")?;
        says(&mut alice, &set(to, &publish(&long, "i")), "bad-request")?;
        says(
            &mut alice,
            &set(to, &many),
            "not-allowed max-items-exceeded",
        )?;
    }
    Ok(())
}

fn for_another(stage: &Stage) -> Result<(), String> {
    let (mut alice, mut bob) = (stage.online("alice"), stage.online("bob"));
    stage.befriend(&mut alice, &mut bob);
    let (own, name) = (alice.bare(), stage.user("node"));
    says(&mut alice, &set(&own, &publish(&name, "i")), "result")?;
    says(
        &mut alice,
        &set(SERVICE, &format!("<create node='{name}'/>")),
        "result",
    )?;
    for to in [own.as_str(), SERVICE] {
        let his = bob.bare();
        let subscribe = |jid: &str| format!("<subscribe node='{name}' jid='{jid}'/>");
        says(
            &mut bob,
            &set(to, &subscribe(&own)),
            "bad-request invalid-jid",
        )?;
        says(
            &mut bob,
            &set(to, &subscribe("@")),
            "bad-request invalid-jid",
        )?;
        says(&mut bob, &set(to, &subscribe(&his)), "result")?;
    }
    Ok(())
}

fn fast(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    let own = alice.bare();
    let name = stage.user("node");
    says(
        &mut alice,
        &set(SERVICE, &format!("<create node='{name}'/>")),
        "result",
    )?;
    for to in [own.as_str(), SERVICE] {
        let begin = Instant::now();
        let mut said = Vec::new();
        // All at once, as waiting for each answer may take as long as it takes to be let in again.
        while !said.iter().any(|it| it != "result") {
            const PILE: usize = 100;
            alice.says(&set(to, &publish(&name, "i")).repeat(PILE));
            let answers = (0..PILE).map(|_| verdict(&alice.waits_for("<iq id='u' type='*'/>")));
            said.extend(answers);
            must(said.len() < 5_000, || format!("{to}: all are taken"))?;
        }
        // What comes in while it lasts, however slow this machine is.
        let due = BURST + (begin.elapsed().as_secs() + 1) * RATE;
        let number = said.iter().take_while(|it| *it == "result").count();
        let why = &said[number];
        let number = number as u64;
        must((BURST..=due).contains(&number), || {
            format!("{to}: {number} publications in {:?}", begin.elapsed())
        })?;
        must(why == "policy-violation", || {
            format!("{to}: after {number}: {why}")
        })?;
    }
    Ok(())
}

/// XEP-0060 §12.4: an error ends the subscription of who sends it, and of nobody else.
fn come_back(stage: &Stage) -> Result<(), String> {
    let (mut alice, mut bob) = (stage.online("alice"), stage.online("bob"));
    let mut eve = stage.online("eve");
    let name = stage.user("node");
    let create = format!("<create node='{name}'/>");
    says(&mut alice, &set(SERVICE, &create), "result")?;
    for device in [&mut bob, &mut eve] {
        let jid = device.bare();
        let subscribe = format!("<subscribe node='{name}' jid='{jid}'/>");
        says(device, &set(SERVICE, &subscribe), "result")?;
    }
    let event = format!(
        "<message from='{SERVICE}' type='headline'><event xmlns='{PUBSUB}#event'>\
         <items node='{name}'/></event></message>"
    );
    says(&mut alice, &set(SERVICE, &publish(&name, "one")), "result")?;
    let id = bob
        .waits_for(&event)
        .attr("id")
        .unwrap_or_default()
        .to_owned();
    let gone = "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    let numbers = (0..200).map(|number| format!("{number}.x"));
    for id in numbers.chain([id, "-1.x".into(), "99999999999.x".into(), ".".into()]) {
        let id = crate::xml::escaped(&id);
        eve.says(&format!(
            "<message type='error' id='{id}' to='{SERVICE}'>{gone}</message>"
        ));
    }
    eve.ping();
    says(&mut alice, &set(SERVICE, &publish(&name, "two")), "result")?;
    bob.waits_for(&event);
    Ok(())
}

/// Who says again and again that he is there hears the last items no faster than he may publish.
fn comes_and_goes(stage: &Stage) -> Result<(), String> {
    let (mut alice, mut bob) = (stage.online("alice"), stage.online("bob"));
    let (name, jid) = (stage.user("node"), bob.bare());
    for inside in [format!("<create node='{name}'/>"), publish(&name, "i")] {
        says(&mut alice, &set(SERVICE, &inside), "result")?;
    }
    let subscribe = format!("<subscribe node='{name}' jid='{jid}'/>");
    says(&mut bob, &set(SERVICE, &subscribe), "result")?;
    bob.drains();
    let begin = Instant::now();
    for _ in 0..30 {
        for _ in 0..10 {
            bob.says(&format!("<presence to='{SERVICE}'/>"));
            bob.says(&format!("<presence type='unavailable' to='{SERVICE}'/>"));
        }
        bob.ping();
    }
    // The service answers in its turn.
    let nothing = format!("<retract node='{name}'><item id='x'/></retract>");
    says(&mut bob, &set(SERVICE, &nothing), "forbidden")?;
    let all = bob.drains();
    let heard = all.iter().filter(|el| el.name == "message").count() as u64;
    let due = BURST + (begin.elapsed().as_secs() + 1) * RATE;
    must((1..=due).contains(&heard), || {
        format!("{heard} in {:?}, not {due}", begin.elapsed())
    })
}
