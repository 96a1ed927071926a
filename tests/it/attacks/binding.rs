//! T, third part: passwords, resource binding, and the end of an account.

use super::row::{Answer::*, Row, Stage, State::*, each, must, scene};
use super::sasl::is;
use crate::client::PATIENCE;
use crate::world::password;
use crate::xml::El;

pub fn rows() -> Vec<Row> {
    vec![
        scene(
            "T36",
            "passwords too long, empty, or of forbidden characters",
            odd_passwords,
        ),
        scene("T37", "odd resources", odd_resources),
        each(
            "T37-nul",
            "a resource with U+0000",
            Authed,
            &[
                "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
               <resource>&#0;</resource></bind></iq>",
            ],
            &[Ends("not-well-formed")],
        ),
        each(
            "T38",
            "bind twice",
            Bound,
            &["<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"],
            &[Refuses("cancel", "not-allowed")],
        ),
        scene("T39", "an eleventh session", eleventh),
        scene("T40", "a resource in use", conflict),
        scene(
            "T42",
            "the account ends while three sessions live",
            ended_account,
        ),
    ]
}

fn new_password(user: &str, password: &str) -> String {
    format!(
        "<iq type='set' id='pw' to='a.test'><query xmlns='jabber:iq:register'>\
         <username>{user}</username><password>{password}</password></query></iq>"
    )
}

fn odd_passwords(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    let user = stage.user("alice");
    let long = "p".repeat(1025);
    for (what, bad) in [
        ("empty", ""),
        ("too long", &*long),
        ("a control character", "a&#x7f;b"),
    ] {
        let answer = alice.asks(&new_password(&user, bad));
        let error = answer.error();
        must(error == Some(("modify", "not-acceptable")), || {
            format!("{what}: {answer}")
        })?;
    }
    let mut client = stage.client(Plain)?;
    client
        .login(&user, &password(&user))
        .map_err(|e| format!("the old password: {e}"))?;
    let mut huge = stage.device("alice/huge");
    huge.client.say(&new_password(&user, &"p".repeat(5 << 20)));
    let condition = huge.client.stream_error(PATIENCE)?;
    must(condition == "policy-violation", || condition)
}

fn odd_resources(stage: &Stage) -> Result<(), String> {
    let mut client = stage.client(Authed)?;
    client.bind("../../x")?;
    must(client.jid.ends_with("/../../x"), || client.jid.clone())?;
    for odd in ["x".repeat(1024), "a\u{200f}b".into(), String::new()] {
        let mut client = stage.client(Authed)?;
        let ns = "urn:ietf:params:xml:ns:xmpp-bind";
        let answer = client.ask(&format!(
            "<iq type='set' id='b'><bind xmlns='{ns}'><resource>{odd}</resource></bind></iq>"
        ))?;
        let jid = answer
            .child(ns, "bind")
            .map(|b| b.child_text(ns, "jid").to_string());
        let own = jid.is_some_and(|jid| !odd.is_empty() && jid.ends_with(&format!("/{odd}")));
        let refused = answer.error() == Some(("modify", "bad-request"));
        let bound = answer.attr("type") == Some("result");
        must(refused || (bound && !own), || {
            format!("{} characters: {answer}", odd.len())
        })?;
    }
    Ok(())
}

fn eleventh(stage: &Stage) -> Result<(), String> {
    let _ten: Vec<_> = (0..10)
        .map(|n| stage.device(&format!("alice/r{n}")))
        .collect();
    let mut client = stage.client(Authed)?;
    let bind = "urn:ietf:params:xml:ns:xmpp-bind";
    let answer = client.ask(&format!(
        "<iq type='set' id='b'><bind xmlns='{bind}'/></iq>"
    ))?;
    answer.fits(&El::parse(
        "<iq type='error'><error type='wait'>\
         <resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
         <resource-limit-exceeded xmlns='urn:xmpp:errors'/></error></iq>",
    ))
}

fn conflict(stage: &Stage) -> Result<(), String> {
    let mut old = stage.online("alice/same");
    let mut new = stage.device("alice/same");
    old.hears_the_end("conflict");
    must(new.jid() == old.jid(), || new.jid())?;
    new.comes_online();
    new.ping();
    Ok(())
}

fn ended_account(stage: &Stage) -> Result<(), String> {
    let jid = stage.bare("alice");
    let mut three: Vec<_> = (0..3)
        .map(|n| stage.online(&format!("alice/r{n}")))
        .collect();
    let (status, text) = stage
        .world
        .run(&["user", "passwd", &jid, "--password-stdin"], "new one\n");
    must(status.success(), || text)?;
    for device in &mut three {
        let condition = device.client.stream_error(PATIENCE)?;
        must(["not-authorized", "reset"].contains(&&*condition), || {
            condition
        })?;
    }
    let mut client = stage.client(Plain)?;
    let user = stage.user("alice");
    is(
        client.plain(&user, &password(&user))?,
        &["not-authorized"],
        "the old password",
    )?;
    is(
        client.plain(&user, "new one")?,
        &["success"],
        "the new password",
    )?;
    for command in ["disable", "delete"] {
        let person = format!("alice{command}");
        let mut device = stage.online(&person);
        let (status, text) = stage
            .world
            .run(&["user", command, &stage.bare(&person)], "");
        must(status.success(), || text)?;
        let condition = device.client.stream_error(PATIENCE)?;
        must(["not-authorized", "reset"].contains(&&*condition), || {
            condition
        })?;
        let mut client = stage.client(Plain)?;
        let user = stage.user(&person);
        let refused = &["not-authorized", "account-disabled"];
        is(client.plain(&user, &password(&user))?, refused, command)?;
    }
    Ok(())
}
