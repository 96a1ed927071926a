//! A: archives: whose they are, what is in them, and ids that are none.

use super::row::{Row, Stage, must, scene};
use crate::device::Device;
use crate::xml::{CLIENT, El};

pub fn rows() -> Vec<Row> {
    vec![
        scene("A15", "the archive of somebody and of nobody", others),
        scene("A17", "pages behind ids that are none", no_ids),
        scene("A19", "pages while messages arrive", pages),
        scene("A21", "hints, and a chat state alone", hints),
        scene("A22", "a flood to somebody away", flood),
        scene("A23", "an account under the name of another", namesake),
        scene("A24", "a message that is sent again", again),
    ]
}

const MAM: &str = "urn:xmpp:mam:2";

/// The bodies and ids of a page, and its end.
fn page(device: &mut Device, inside: &str) -> (Vec<(String, String)>, El) {
    let end = device.asks(&format!(
        "<iq type='set' id='page'><query xmlns='{MAM}' queryid='q'>{inside}</query></iq>"
    ));
    let results = device.drains().into_iter().filter_map(|message| {
        let result = message.child(MAM, "result")?;
        let forwarded = result.child("urn:xmpp:forward:0", "forwarded")?;
        let body = forwarded.child(CLIENT, "message")?.child(CLIENT, "body")?;
        let whole =
            message.attr("from") == Some(&device.bare()) && result.attr("queryid") == Some("q");
        let id = result.attr("id").filter(|_| whole)?;
        Some((id.to_owned(), body.text.clone()))
    });
    (results.collect(), end)
}

fn bodies(device: &mut Device) -> String {
    let (results, _) = page(device, "");
    let bodies: Vec<String> = results.into_iter().map(|(_, body)| body).collect();
    bodies.join(" ")
}

fn set(inside: &str) -> String {
    format!("<set xmlns='http://jabber.org/protocol/rsm'>{inside}</set>")
}

fn is(found: &str, wanted: &str) -> Result<(), String> {
    must(found == wanted, || format!("{found}, not {wanted}"))
}

fn others(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    let bob = stage.online("bob");
    for payload in ["query", "metadata", "prefs"] {
        for kind in ["get", "set"] {
            let ask = |to: &str| {
                format!("<iq type='{kind}' id='o' to='{to}'><{payload} xmlns='{MAM}'/></iq>")
            };
            let his = alice
                .asks(&ask(&bob.bare()))
                .to_string()
                .replace(&bob.bare(), "X");
            let nobody = stage.bare("nobody");
            let theirs = alice.asks(&ask(&nobody)).to_string().replace(&nobody, "X");
            must(his == theirs && his.contains("type='error'"), || {
                format!("{his} {theirs}")
            })?;
        }
    }
    let trim = format!(
        "<iq type='set' id='o' to='{}'><trim xmlns='urn:xmpp:mamtrim:0'/></iq>",
        bob.bare()
    );
    let answer = alice.asks(&trim);
    must(
        answer.error() == Some(("cancel", "service-unavailable")),
        || answer.to_string(),
    )
}

fn no_ids(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    let mut bob = stage.online("bob");
    let text = "<message to='TO' type='chat'><body>x</body></message>";
    bob.says(&text.replace("TO", &bob.bare()));
    let (his, _) = page(&mut bob, "");
    let his = his.first().map(|(id, _)| id.clone()).unwrap_or_default();
    alice.says(&text.replace("TO", &alice.bare()));
    let (hers, _) = page(&mut alice, "");
    let deleted = hers.first().map(|(id, _)| id.clone()).unwrap_or_default();
    alice.asks("<iq type='set' id='t'><trim xmlns='urn:xmpp:mamtrim:0'/></iq>");
    let long = "f".repeat(100_000);
    let wrong = ["' OR 1=1 --", "x", &his, &deleted, &long, &"0".repeat(32)];
    for uid in wrong {
        for name in ["before", "after"] {
            let uid = uid.replace('\'', "&apos;");
            let (_, end) = page(&mut alice, &set(&format!("<{name}>{uid}</{name}>")));
            must(end.error() == Some(("cancel", "item-not-found")), || {
                format!("{name} {}: {end}", &uid[..uid.len().min(40)])
            })?;
        }
    }
    Ok(())
}

fn pages(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    let mut bob = stage.online("bob");
    stage.befriend(&mut alice, &mut bob);
    let to = alice.bare();
    let mut sent = 0;
    let mut say = |bob: &mut Device| {
        bob.says(&format!(
            "<message to='{to}' type='chat'><body>{sent}</body></message>"
        ));
        bob.ping();
        sent += 1;
    };
    for _ in 0..10 {
        say(&mut bob);
    }
    let (mut all, mut after) = (Vec::new(), String::new());
    for turn in 0.. {
        let (results, end) = page(&mut alice, &set(&format!("<max>3</max>{after}")));
        let complete = end.to_string().contains("complete='true'");
        if let Some((last, _)) = results.last() {
            after = format!("<after>{last}</after>");
        }
        all.extend(results);
        if complete {
            break;
        }
        if turn < 4 {
            say(&mut bob);
        }
    }
    let bodies: Vec<String> = all.iter().map(|(_, body)| body.clone()).collect();
    let wanted: Vec<String> = (0..14).map(|n| n.to_string()).collect();
    must(bodies == wanted, || format!("{bodies:?}"))
}

fn hints(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    let bob = stage.online("bob");
    let hint = |name: &str| format!("<{name} xmlns='urn:xmpp:hints'/>");
    let state = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";
    let mut say = |inside: &str| {
        alice.says(&format!(
            "<message to='{}' type='chat'>{inside}</message>",
            bob.bare()
        ));
    };
    say(&format!("<body>a</body>{}", hint("no-store")));
    say(&format!("<body>b</body>{}", hint("no-permanent-store")));
    say(state);
    say("<body>c</body>");
    say(&format!("{state}{}<body>d</body>", hint("store")));
    is(&bodies(&mut alice), "c d")?;
    let mut bob = bob;
    is(&bodies(&mut bob), "c d")
}

fn flood(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    stage.device("bob").leaves();
    // Strangers have half of 1,000 places.
    for number in 0..520 {
        let text = "<message to='TO' type='chat' id='ID'><body>x</body></message>";
        let text = text.replace("TO", &stage.bare("bob"));
        alice.says(&text.replace("ID", &number.to_string()));
    }
    let refused = alice.drains();
    let errors = refused
        .iter()
        .filter(|it| it.error() == Some(("wait", "resource-constraint")));
    must(errors.count() == 20, || format!("{} errors", refused.len()))?;
    let mut bob = stage.device("bob");
    let (_, end) = page(&mut bob, &set("<max>0</max>"));
    must(end.to_string().contains(">500</count>"), || end.to_string())
}

fn namesake(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    alice.says("<message type='chat'><body>mine</body></message>");
    is(&bodies(&mut alice), "mine")?;
    alice.says("<iq type='set' id='gone'><query xmlns='jabber:iq:register'><remove/></query></iq>");
    alice.waits_for("<iq type='result' id='gone'/>");
    stage.world.forget(&stage.bare("alice"));
    let mut other = stage.online("alice");
    is(&bodies(&mut other), "")
}

fn again(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    let mut bob = stage.online("bob");
    let text = |origin: &str, body: &str| {
        format!(
            "<message to='{}' type='chat'><body>{body}</body>\
             <origin-id xmlns='urn:xmpp:sid:0' id='{origin}'/></message>",
            stage.bare("bob")
        )
    };
    alice.says(&text("o1", "one"));
    alice.leaves();
    let mut alice = stage.online("alice/second");
    alice.says(&text("o1", "one"));
    alice.says(&text("o1", "other"));
    is(&bodies(&mut alice), "one other")?;
    is(&bodies(&mut bob), "one other")
}
