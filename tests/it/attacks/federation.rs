//! F: another server that is none, or claims to be one that it is not. The test speaks as a server
//! whose certificates the server believes: what they say, and nothing else, may be used.

mod certificates;
mod claims;
mod flood;

use super::row::{Row, Stage, must, scene};
use crate::authority::{Authority, Leaf};
use crate::client::{Client, PATIENCE};
use crate::device::Device;
use crate::elsewhere::{DIALBACK, SERVER};
use crate::sasl::b64;
use crate::tls;
use crate::xml::{El, Heard, SASL, STREAMS, TLS};
pub use claims::{claim, outcome};

pub fn rows() -> Vec<Row> {
    let mut rows = headers();
    rows.extend(claims::rows());
    rows.extend(senders());
    rows.extend(certificates::rows());
    rows.extend(flood::rows());
    rows
}

fn headers() -> Vec<Row> {
    vec![
        scene("F01", "a server without TLS", without_tls),
        scene("F02", "stanzas before any proof", unproved),
        scene("F03", "a header from a domain of ours", one_of_us),
        scene("F04", "a header to a domain that is not here", not_here),
        scene("F05", "headers from nobody, or no domain", nobody),
        scene("F06", "another domain after TLS than before", new_name),
        scene("F07", "another domain after EXTERNAL", new_name_after_proof),
        scene("F18", "what EXTERNAL may ask to be", authzid),
    ]
}

fn senders() -> Vec<Row> {
    vec![
        scene("F08", "stanzas from another domain", foreign_sender),
        scene("F09", "senders and recipients that are odd", odd_addresses),
        scene("F31", "a name in the certificate, unproved", second_name),
        scene("F32", "a host below the one that is proved", subdomain),
    ]
}

/// A header; empty: not there.
fn header(from: &str, to: &str) -> String {
    let attribute = |name: &str, value: &str| match value {
        "" => String::new(),
        value => format!(" {name}='{value}'"),
    };
    let (from, to) = (attribute("from", from), attribute("to", to));
    format!(
        "<?xml version='1.0'?><stream:stream{from}{to} xmlns='{SERVER}' \
         xmlns:stream='{STREAMS}' xmlns:db='{DIALBACK}' version='1.0'>"
    )
}

/// Opens a stream as this domain, and reads the features.
fn open(server: &mut Client, from: &str) -> Result<(), String> {
    server.restart();
    server.say(&header(from, "a.test"));
    match server.hear() {
        Ok(Heard::Open(header)) => server.header = header,
        other => return Err(format!("no header but {other:?}")),
    }
    server.features = server.expect(STREAMS, "features")?;
    Ok(())
}

fn connected(stage: &Stage) -> Client {
    stage.world.count();
    Client::tcp(stage.world.s2s, "a.test")
}

/// [2U] A server that has opened its stream inside TLS, and shows a certificate for these names.
pub fn secured(stage: &Stage, from: &str, names: &[&str]) -> Result<Client, String> {
    let mut server = in_tls(stage, from, names)?;
    open(&mut server, from)?;
    Ok(server)
}

/// The same with this certificate.
fn showing(stage: &Stage, from: &str, shown: &Leaf) -> Result<Client, String> {
    let mut server = called(stage, from)?;
    server.handshake_by(tls::configuration_showing(shown))?;
    open(&mut server, from)?;
    Ok(server)
}

/// The same before the header inside TLS.
fn in_tls(stage: &Stage, from: &str, names: &[&str]) -> Result<Client, String> {
    let mut server = called(stage, from)?;
    server.handshake_by(match names {
        [] => tls::configuration(&[], tls::BOTH),
        names => tls::configuration_showing(&Authority::get().leaf(names)),
    })?;
    Ok(server)
}

/// A server with whom TLS is agreed on.
fn called(stage: &Stage, from: &str) -> Result<Client, String> {
    let mut server = connected(stage);
    open(&mut server, from)?;
    server.say(&format!("<starttls xmlns='{TLS}'/>"));
    server.expect(TLS, "proceed")?;
    Ok(server)
}

/// [2A] A server that has proved by EXTERNAL that it is this domain.
fn proved(stage: &Stage, from: &str, names: &[&str]) -> Result<Client, String> {
    let mut server = secured(stage, from, names)?;
    server.auth("EXTERNAL", "=")?;
    match server.outcome()? {
        None => open(&mut server, from)?,
        Some(condition) => return Err(format!("EXTERNAL: {condition}")),
    }
    Ok(server)
}

pub fn ends(server: &mut Client, conditions: &[&str]) -> Result<(), String> {
    let found = server.stream_error(PATIENCE)?;
    must(conditions.contains(&&*found), || {
        format!("not {conditions:?} but {found}")
    })
}

pub fn message(from: &str, to: &str, id: &str) -> String {
    format!("<message from='{from}' to='{to}' id='{id}' type='chat'><body>{id}</body></message>")
}

/// The first message that somebody hears has this id: nothing came before it.
pub fn hears_first(device: &mut Device, id: &str) -> Result<(), String> {
    let heard = device.waits_for("<message type='chat' id='*'/>");
    must(heard.attr("id") == Some(id), || {
        format!("not {id} but {heard}")
    })
}

/// Nothing was heard: what the true evil.test says now comes first.
fn hears_nothing_else(stage: &Stage, bob: &mut Device) -> Result<(), String> {
    let mut server = proved(stage, "evil.test", &["evil.test"])?;
    server.say(&message("x@evil.test", &bob.bare(), "end"));
    hears_first(bob, "end")
}

fn without_tls(stage: &Stage) -> Result<(), String> {
    let mut bob = stage.online("bob");
    let mut server = connected(stage);
    open(&mut server, "evil.test")?;
    let offered = server
        .features
        .children
        .iter()
        .filter(|it| it.name != "limits");
    let offered: Vec<&El> = offered.collect();
    let only = offered.len() == 1 && offered[0].is(TLS, "starttls");
    must(only && offered[0].child(TLS, "required").is_some(), || {
        format!("offered: {}", server.features)
    })?;
    server.say(&message("x@evil.test", &bob.bare(), "no"));
    ends(&mut server, &["not-authorized"])?;
    hears_nothing_else(stage, &mut bob)
}

fn unproved(stage: &Stage) -> Result<(), String> {
    let mut bob = stage.online("bob");
    let to = bob.bare();
    let stanzas = [
        message("x@evil.test", &to, "no"),
        format!("<presence from='x@evil.test' to='{to}' type='subscribe'/>"),
        format!("<iq from='x@evil.test' to='{to}' type='get' id='i'><x xmlns='x'/></iq>"),
    ];
    for stanza in stanzas {
        let mut server = secured(stage, "evil.test", &["evil.test"])?;
        server.say(&stanza);
        ends(&mut server, &["not-authorized"])?;
    }
    hears_nothing_else(stage, &mut bob)
}

fn one_of_us(stage: &Stage) -> Result<(), String> {
    for ours in ["a.test", "b.test"] {
        let mut server = connected(stage);
        server.say(&header(ours, "a.test"));
        ends(&mut server, &["invalid-from", "conflict"])?;
        let mut server = in_tls(stage, "evil.test", &[ours])?;
        server.say(&header(ours, "a.test"));
        ends(&mut server, &["invalid-from", "conflict"])?;
    }
    Ok(())
}

fn not_here(stage: &Stage) -> Result<(), String> {
    let mut server = connected(stage);
    server.say(&header("evil.test", "nope.test"));
    ends(&mut server, &["host-unknown"])
}

fn nobody(stage: &Stage) -> Result<(), String> {
    for from in ["evil test", "@evil.test", "x@evil.test", "evil.test/r"] {
        let mut server = connected(stage);
        server.say(&header(from, "a.test"));
        ends(&mut server, &["improper-addressing"]).map_err(|e| format!("{from}: {e}"))?;
    }
    let mut server = connected(stage);
    server.say(&header("evil.test", ""));
    ends(&mut server, &["improper-addressing", "host-unknown"])?;
    // Who does not say who it is has nothing to prove.
    let auth = format!("<auth xmlns='{SASL}' mechanism='EXTERNAL'>=</auth>");
    for said in [auth, claim("evil.test", "a.test")] {
        let mut server = secured(stage, "", &["evil.test"])?;
        must(server.mechanisms().is_empty(), || {
            format!("{}", server.features)
        })?;
        server.say(&said);
        ends(&mut server, &["improper-addressing"]).map_err(|e| format!("{said}: {e}"))?;
    }
    Ok(())
}

/// RFC 6120 §5.4.3.3.
fn new_name(stage: &Stage) -> Result<(), String> {
    let mut bob = stage.online("bob");
    let mut server = in_tls(stage, "other.test", &["evil.test"])?;
    open(&mut server, "evil.test")?;
    server.auth("EXTERNAL", "=")?;
    let failed = server.outcome()?;
    must(failed.is_none(), || format!("{failed:?}"))?;
    open(&mut server, "evil.test")?;
    server.say(&message("x@evil.test", &bob.bare(), "yes"));
    hears_first(&mut bob, "yes")?;
    server.say(&message("x@other.test", &bob.bare(), "no"));
    ends(&mut server, &["invalid-from"])?;
    hears_nothing_else(stage, &mut bob)
}

fn new_name_after_proof(stage: &Stage) -> Result<(), String> {
    for (from, to) in [("two.test", "a.test"), ("evil.test", "b.test")] {
        let mut server = secured(stage, "evil.test", &["evil.test", "two.test"])?;
        server.auth("EXTERNAL", "=")?;
        let failed = server.outcome()?;
        must(failed.is_none(), || format!("{failed:?}"))?;
        server.restart();
        server.say(&header(from, to));
        ends(&mut server, &["improper-addressing", "not-authorized"])?;
    }
    Ok(())
}

fn authzid(stage: &Stage) -> Result<(), String> {
    let named = |name: &str| b64(name);
    let rows = [
        ("=".to_owned(), None),
        (named("evil.test"), None),
        (named("other.test"), Some("invalid-authzid")),
        (named("a.test"), Some("invalid-authzid")),
        ("%".to_owned(), Some("incorrect-encoding")),
    ];
    for (initial, wanted) in rows {
        let mut server = secured(stage, "evil.test", &["evil.test"])?;
        server.auth("EXTERNAL", &initial)?;
        let found = server.outcome()?;
        must(found.as_deref() == wanted, || {
            format!("{initial}: {found:?}")
        })?;
    }
    let mut server = secured(stage, "evil.test", &["evil.test"])?;
    server.auth("EXTERNAL", "")?;
    server.expect(SASL, "challenge")?;
    server.say(&format!("<response xmlns='{SASL}'/>"));
    let found = server.outcome()?;
    must(found.is_none(), || format!("{found:?}"))
}

fn foreign_sender(stage: &Stage) -> Result<(), String> {
    let mut bob = stage.online("bob");
    let mut server = proved(stage, "evil.test", &["evil.test"])?;
    let (no, late) = (
        message("x@other.test", &bob.bare(), "no"),
        message("x@evil.test", &bob.bare(), "late"),
    );
    server.say(&format!("{no}{late}"));
    ends(&mut server, &["invalid-from"])?;
    hears_nothing_else(stage, &mut bob)
}

/// RFC 6120 §8.1.1.2, §8.1.2.2.
fn odd_addresses(stage: &Stage) -> Result<(), String> {
    let mut bob = stage.online("bob");
    let mut carol = stage.online("carol");
    let to = bob.bare();
    let mut server = proved(stage, "evil.test", &["evil.test"])?;
    server.say(&message("x@EVIL.test", &to, "1"));
    server.say(&message("x@evil.test.", &to, "2"));
    // Another domain of ours than the one that was called.
    server.say(&message("x@evil.test", &carol.bare(), "3"));
    hears_first(&mut bob, "1")?;
    hears_first(&mut bob, "2")?;
    hears_first(&mut carol, "3")?;
    let unsigned = message("x@evil.test", &to, "no").replace(" from='x@evil.test'", "");
    let unaddressed = message("x@evil.test", &to, "no").replace(&format!(" to='{to}'"), "");
    let rows = [
        (
            message("x@evil.test.attacker.org", &to, "no"),
            "invalid-from",
        ),
        (message("x@xn--bcher-kva.test", &to, "no"), "invalid-from"),
        (unsigned, "improper-addressing"),
        (message("", &to, "no"), "improper-addressing"),
        (unaddressed, "improper-addressing"),
        (message("x@evil.test", "x@third.test", "no"), "host-unknown"),
    ];
    for (said, wanted) in rows {
        let mut server = proved(stage, "evil.test", &["evil.test"])?;
        server.say(&said);
        ends(&mut server, &[wanted]).map_err(|e| format!("{said}: {e}"))?;
    }
    hears_nothing_else(stage, &mut bob)
}

fn second_name(stage: &Stage) -> Result<(), String> {
    let mut bob = stage.online("bob");
    let mut server = proved(stage, "evil.test", &["evil.test", "two.test"])?;
    server.say(&message("x@two.test", &bob.bare(), "no"));
    ends(&mut server, &["invalid-from"])?;
    hears_nothing_else(stage, &mut bob)
}

fn subdomain(stage: &Stage) -> Result<(), String> {
    let mut bob = stage.online("bob");
    let names = ["evil.test", "conference.evil.test"];
    let mut server = proved(stage, "evil.test", &names)?;
    server.say(&message("x@conference.evil.test", &bob.bare(), "no"));
    ends(&mut server, &["invalid-from"])?;
    hears_nothing_else(stage, &mut bob)
}
