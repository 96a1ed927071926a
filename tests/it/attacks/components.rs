//! C: who claims to be an external component, and what one must not do.

use super::row::{Row, Stage, must, scene};
use crate::bridge::{Bridge, COMPONENT, add};
use crate::xml::STREAMS;

pub fn rows() -> Vec<Row> {
    vec![
        scene("C33", "a wrong secret, or none", wrong_secret),
        scene("C33-from", "stanzas of another domain", foreign_sender),
        scene("C33-twice", "a second component of the same name", second),
        scene("C33-early", "stanzas before the handshake", early),
    ]
}

fn component(stage: &Stage) -> (String, String) {
    let name = format!("{}.a.test", stage.id.to_lowercase());
    let secret = add(stage.world, &name, "");
    (name, secret)
}

fn wrong_secret(stage: &Stage) -> Result<(), String> {
    let (name, secret) = component(stage);
    for guess in ["", "guess", &secret[1..], &secret.to_uppercase()] {
        let shaken = Bridge::connect(stage.world, &name).shake(guess);
        must(shaken == Err("not-authorized".into()), || {
            format!("{shaken:?}")
        })?;
    }
    for other in ["a.test", "rooms.a.test", "x.a.test", "alice@a.test"] {
        let shaken = Bridge::connect(stage.world, other).shake(&secret);
        must(
            shaken == Err("host-unknown".into()) || other.contains('@'),
            || format!("{other}: {shaken:?}"),
        )?;
        must(shaken.is_err(), || format!("{other} is let in"))?;
    }
    Ok(())
}

fn foreign_sender(stage: &Stage) -> Result<(), String> {
    let (name, secret) = component(stage);
    let mut alice = stage.online("alice");
    let to = alice.bare();
    let own = stage.bare("bob");
    for from in ["a.test", "b.test", "x.a.test", "far.test", &own, &to] {
        let mut bridge = Bridge::come(stage.world, &name, &secret);
        bridge.says(&format!(
            "<message from='{from}' to='{to}' id='forged'><body>x</body></message>"
        ));
        let ends = bridge.ends()?;
        must(ends == "invalid-from", || format!("{from}: {ends}"))?;
    }
    let mut bridge = Bridge::come(stage.world, &name, &secret);
    bridge.says(&format!("<message to='{to}'><body>x</body></message>"));
    let ends = bridge.ends()?;
    must(ends == "improper-addressing", || ends)?;
    let mut bridge = Bridge::come(stage.world, &name, &secret);
    bridge.says(&format!(
        "<message from='{name}' to='{to}' id='own'><body>x</body></message>"
    ));
    let heard = alice.waits_for("<message/>");
    must(heard.attr("id") == Some("own"), || heard.to_string())
}

fn second(stage: &Stage) -> Result<(), String> {
    let (name, secret) = component(stage);
    let mut alice = stage.online("alice");
    let mut first = Bridge::come(stage.world, &name, &secret);
    let shaken = Bridge::connect(stage.world, &name).shake(&secret);
    must(shaken == Err("conflict".into()), || format!("{shaken:?}"))?;
    // The first one goes on.
    alice.says(&format!(
        "<message to='{name}' id='m'><body>x</body></message>"
    ));
    first.waits_for("<message id='m'/>");
    Ok(())
}

fn early(stage: &Stage) -> Result<(), String> {
    let (name, _) = component(stage);
    let mut alice = stage.online("alice");
    let to = alice.bare();
    let mut bridge = Bridge::connect(stage.world, &name);
    bridge.says(&format!(
        "<stream:stream xmlns='{COMPONENT}' xmlns:stream='{STREAMS}' to='{name}'>\
         <message from='{name}' to='{to}'><body>x</body></message>"
    ));
    bridge.client.hear().map_err(|why| format!("{why:?}"))?;
    let ends = bridge.ends()?;
    must(ends == "not-authorized", || ends)?;
    alice.hears_nothing();
    Ok(())
}
