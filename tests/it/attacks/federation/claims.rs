//! Dialback by which a server claims more than it is.

use super::super::row::{Row, Stage, must, scene};
use super::{ends, hears_first, hears_nothing_else, message, proved, secured};
use crate::client::Client;
use crate::elsewhere::{DIALBACK, SERVER};
use crate::names::NameServer;
use crate::names::Row::{Address, Srv};
use crate::world::{Plan, World};
use std::net::TcpListener;

const FEATURE: &str = "urn:xmpp:features:dialback";

pub fn rows() -> Vec<Row> {
    vec![
        scene("F20", "dialback with another's certificate", other_name),
        scene("F21", "a key where a certificate is wanted", key_alone),
        scene("F22", "dialback from a domain of ours", claim_of_ours),
        scene("F23", "dialback that is malformed", malformed_claims),
        scene("F25", "an answer to what nobody asked", unsolicited),
        scene("F30", "one stream, several domains", piggyback),
        scene("F33", "dialback from private places", private_places),
        scene("F34", "a thousand domains on one stream", a_thousand),
    ]
}

pub fn claim(from: &str, to: &str) -> String {
    format!("<db:result from='{from}' to='{to}'>key</db:result>")
}

/// The outcome of a claim: its type, and the condition of the error.
pub fn outcome(server: &mut Client) -> Result<(String, String), String> {
    let found = server.expect(DIALBACK, "result")?;
    let kind = found.attr("type").unwrap_or_default().to_owned();
    let error = found.child(SERVER, "error");
    let condition = error.and_then(|error| error.children.first());
    Ok((
        kind,
        condition.map(|it| it.name.clone()).unwrap_or_default(),
    ))
}

fn comes_to(server: &mut Client, kind: &str, condition: &str) -> Result<(), String> {
    let found = outcome(server)?;
    must((&*found.0, &*found.1) == (kind, condition), || {
        format!("not {kind} {condition} but {found:?}")
    })
}

/// CVE-2021-32919: dialback without dialback.
fn other_name(stage: &Stage) -> Result<(), String> {
    let mut server = secured(stage, "evil.test", &["other.test"])?;
    must(server.mechanisms().is_empty(), || {
        format!("{}", server.features)
    })?;
    server.auth("EXTERNAL", "=")?;
    let found = server.outcome()?;
    must(found.as_deref() == Some("not-authorized"), || {
        format!("{found:?}")
    })?;
    server.say(&claim("evil.test", "a.test"));
    comes_to(&mut server, "error", "not-authorized")
}

fn key_alone(stage: &Stage) -> Result<(), String> {
    let mut bob = stage.online("bob");
    let mut server = secured(stage, "evil.test", &[])?;
    // The stream stays: the second is answered too (XEP-0220 §2.4).
    for _ in 0..2 {
        server.say(&claim("evil.test", "a.test"));
        comes_to(&mut server, "error", "not-authorized")?;
    }
    server.say(&message("x@evil.test", &bob.bare(), "no"));
    ends(&mut server, &["not-authorized"])?;
    hears_nothing_else(stage, &mut bob)
}

fn claim_of_ours(stage: &Stage) -> Result<(), String> {
    let mut server = secured(stage, "evil.test", &["evil.test", "b.test"])?;
    server.say(&claim("b.test", "a.test"));
    ends(&mut server, &["invalid-from"])
}

fn malformed_claims(stage: &Stage) -> Result<(), String> {
    let mut server = secured(stage, "evil.test", &["evil.test"])?;
    let feature = server.features.child(FEATURE, "dialback");
    let errors = feature.and_then(|it| it.child(FEATURE, "errors"));
    must(errors.is_some(), || {
        format!("no errors in {}", server.features)
    })?;
    server.say(&claim("evil.test", "nope.test"));
    comes_to(&mut server, "error", "item-not-found")?;
    server.say(&claim("evil.test", "a.test"));
    comes_to(&mut server, "valid", "")?;
    let long = "0".repeat(1 << 20);
    let rows = [
        (
            "<db:result to='a.test'>key</db:result>".into(),
            "improper-addressing",
        ),
        (
            "<db:result from='evil.test'>key</db:result>".into(),
            "improper-addressing",
        ),
        (claim("x@evil.test", "a.test"), "improper-addressing"),
        (
            claim("evil.test", "a.test").replace("key", &long),
            "policy-violation",
        ),
    ];
    for (said, wanted) in rows {
        let mut server = secured(stage, "evil.test", &["evil.test"])?;
        server.say(&said);
        ends(&mut server, &[wanted]).map_err(|e| format!("{wanted}: {e}"))?;
    }
    Ok(())
}

fn unsolicited(stage: &Stage) -> Result<(), String> {
    let mut bob = stage.online("bob");
    let mut server = secured(stage, "evil.test", &["evil.test"])?;
    server.say("<db:result from='evil.test' to='a.test' type='valid'/>");
    server.say("<db:verify from='evil.test' to='a.test' id='1' type='valid'/>");
    server.say(&message("x@evil.test", &bob.bare(), "no"));
    ends(&mut server, &["not-authorized"])?;
    hears_nothing_else(stage, &mut bob)
}

fn piggyback(stage: &Stage) -> Result<(), String> {
    let mut bob = stage.online("bob");
    let to = bob.bare();
    let mut server = proved(stage, "evil.test", &["evil.test", "two.test"])?;
    server.say(&claim("two.test", "a.test"));
    comes_to(&mut server, "valid", "")?;
    server.say(&claim("three.test", "a.test"));
    comes_to(&mut server, "error", "not-authorized")?;
    server.say(&message("x@evil.test", &to, "1"));
    server.say(&message("x@two.test", &to, "2"));
    server.say(&message("x@three.test", &to, "3"));
    hears_first(&mut bob, "1")?;
    hears_first(&mut bob, "2")?;
    ends(&mut server, &["invalid-from"])?;
    hears_nothing_else(stage, &mut bob)
}

/// Strangers who have DNS records that lead here must not make this server knock here.
fn private_places(_: &Stage) -> Result<(), String> {
    let knocked = TcpListener::bind("127.0.0.1:0").expect("a port");
    knocked.set_nonblocking(true).expect("a socket");
    let port = knocked.local_addr().expect("its address").port();
    let places = ["127.0.0.1", "::1", "169.254.169.254", "10.0.0.1", "fd00::1"];
    let names = NameServer::start(&[]);
    let domains = ["n0.test", "n1.test", "n2.test", "n3.test", "n4.test"];
    for (domain, place) in domains.into_iter().zip(places) {
        names.add(
            &format!("_xmpp-server._tcp.{domain}"),
            Srv(0, 0, port, domain),
        );
        names.add(domain, Address(place));
    }
    let world = World::with(Plan {
        more: format!(
            "[s2s]\npolicy = \"dialback\"\n[dns]\nservers = [\"{}\"]\n",
            names.address
        ),
        federates: true,
        ..Plan::default()
    });
    let stage = Stage {
        world: &world,
        id: "F33",
    };
    for domain in domains.into_iter().chain(["127.0.0.1", "localhost"]) {
        let mut server = secured(&stage, domain, &[])?;
        server.say(&claim(domain, "a.test"));
        comes_to(&mut server, "error", "remote-server-not-found")
            .map_err(|e| format!("{domain}: {e}"))?;
    }
    let asked = names.asked();
    must(asked.iter().any(|it| it.contains("n4.test")), || {
        format!("it was asked only {asked:?}")
    })?;
    let nobody = knocked.accept();
    must(nobody.is_err(), || format!("{nobody:?}"))
}

/// What is refused at once is bounded too: by its line in the log, see `cost.rs`.
fn a_thousand(stage: &Stage) -> Result<(), String> {
    let mut server = secured(stage, "evil.test", &[])?;
    for number in 0..1000 {
        server.say(&claim(&format!("s{number}.evil.test"), "a.test"));
        comes_to(&mut server, "error", "not-authorized")?;
    }
    let mut bob = stage.online("bob");
    let mut server = proved(stage, "evil.test", &["evil.test", "*.evil.test"])?;
    let mut refused = 0;
    for number in 0..1000 {
        server.say(&claim(&format!("s{number}.evil.test"), "a.test"));
        match outcome(&mut server)? {
            (kind, _) if kind == "valid" && refused == 0 => {}
            (kind, why) if kind == "error" && why == "resource-constraint" => refused += 1,
            other => return Err(format!("{number}: {other:?}")),
        }
    }
    must(refused > 900, || format!("only {refused} are refused"))?;
    server.say(&message("x@evil.test", &bob.bare(), "still"));
    hears_first(&mut bob, "still")?;
    server.say(&message("x@s999.evil.test", &bob.bare(), "no"));
    ends(&mut server, &["invalid-from"])?;
    hears_nothing_else(stage, &mut bob)
}
