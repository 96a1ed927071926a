//! F40: what the DNS says of other servers, and what is made of it.

use super::super::row::{Row, Stage, must, scene};
use super::{LATE, NOT_FOUND, good, told, writes};
use crate::elsewhere::{Elsewhere, dns, lasting, place};
use crate::names::Row as Record;

pub fn rows() -> Vec<Row> {
    vec![
        scene("F40", "a domain that is not to be reached", not_offered),
        scene("F40-guess", "a domain without records", guessed),
        scene("F40-order", "several targets, some dead", order),
        scene("F40-many", "two hundred targets", many),
    ]
}

/// Rows for a server that tries again soon.
pub fn rows_hasty() -> Vec<Row> {
    let what = "a DNS that gives no answer";
    vec![scene("F40-failure", what, no_answer)]
}

/// Where a domain without records is looked for.
fn usual(domain: &str) -> Elsewhere {
    let server = Elsewhere::at(domain, (place(), 5269).into());
    let ip = lasting(server.address.ip().to_string());
    dns().add(domain, Record::Address(ip));
    server
}

/// RFC 2782: the service is decidedly not there, whatever addresses say.
fn not_offered(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    for (name, services) in [
        ("both", &["_xmpps-server", "_xmpp-server"][..]),
        ("direct", &["_xmpps-server"]),
        ("starttls", &["_xmpp-server"]),
    ] {
        let server = usual(&format!("{name}.f40.test"));
        for service in services {
            let name = format!("{service}._tcp.{}", server.domain);
            dns().add(&name, Record::Srv(0, 0, 0, "."));
        }
        writes(stage, &mut alice, &server.domain);
        told(&mut alice, "iq", &server.domain, NOT_FOUND);
        told(&mut alice, "message", &server.domain, NOT_FOUND);
        must(!server.is_called(), || format!("{name} is called"))?;
    }
    Ok(())
}

/// RFC 6120 §3.2.2: only where it is known that there are none.
fn guessed(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    let server = usual("guess.f40.test");
    writes(stage, &mut alice, &server.domain);
    let mut visit = server.proved(&good(&server.domain))?;
    let heard = Elsewhere::id_of_next(&mut visit)?;
    must(heard == "m", || heard)?;
    // Nobody of this name.
    writes(stage, &mut alice, "nobody.f40.test");
    told(&mut alice, "iq", "nobody.f40.test", NOT_FOUND);
    told(&mut alice, "message", "nobody.f40.test", NOT_FOUND);
    Ok(())
}

/// What the DNS does not say now it may say later: until then what must arrive waits, and nobody
/// guesses.
fn no_answer(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    for (name, failure) in [
        ("fails", Record::Fail("SRV")),
        ("silent", Record::Silence("SRV")),
    ] {
        let domain = format!("{name}.f40.test");
        let guess = usual(&domain);
        let services = ["_xmpps-server", "_xmpp-server"].map(|it| format!("{it}._tcp.{domain}"));
        for service in &services {
            dns().add(service, failure.clone());
        }
        writes(stage, &mut alice, &domain);
        told(&mut alice, "iq", &domain, LATE);
        must(!guess.is_called(), || format!("{name}: guessed"))?;
        for service in &services {
            dns().forget(service);
        }
        let server = Elsewhere::unknown(&domain);
        server.serves(&domain, "_xmpp-server", 0);
        let mut visit = server.proved(&good(&domain))?;
        let heard = Elsewhere::id_of_next(&mut visit)?;
        must(heard == "m", || heard)?;
        must(!guess.is_called(), || format!("{name}: guessed after all"))?;
    }
    Ok(())
}

/// RFC 2782, XEP-0368: both services are one list, by priority; who does not answer is passed over.
fn order(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    let domain = "order.f40.test";
    let [first, second] = [Elsewhere::unknown(domain), Elsewhere::unknown(domain)];
    let nobodys = lasting(place().to_string());
    let name = |service: &str| format!("{service}._tcp.{domain}");
    // Nowhere, nobody, a name with an alias that leads to the first, and the second.
    dns().add(&name("_xmpp-server"), Record::Srv(1, 0, 0, first.host()));
    dns().add("dead.order.f40.test", Record::Address(nobodys));
    dns().add(
        &name("_xmpps-server"),
        Record::Srv(2, 0, 20_000, "dead.order.f40.test"),
    );
    let port = first.address.port();
    dns().add(
        &name("_xmpp-server"),
        Record::Srv(3, 0, port, "alias.order.f40.test"),
    );
    dns().add("alias.order.f40.test", Record::Alias(first.host()));
    // Its IPv6 is dead.
    dns().add(first.host(), Record::Address("::1"));
    let ip = lasting(first.address.ip().to_string());
    dns().add(first.host(), Record::Address(ip));
    second.serves(domain, "_xmpps-server", 4);
    writes(stage, &mut alice, domain);
    let mut visit = first.proved(&good(domain))?;
    let heard = Elsewhere::id_of_next(&mut visit)?;
    must(heard == "m", || heard)?;
    must(!second.is_called(), || "the last is called, too".into())?;
    Ok(())
}

/// A long list is not gone through to its end.
fn many(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    let server = Elsewhere::unknown("many.f40.test");
    server.serves(&server.domain, "_xmpp-server", 200);
    let nobodys = lasting(place().to_string());
    dns().add("dead.many.f40.test", Record::Address(nobodys));
    let name = format!("_xmpp-server._tcp.{}", server.domain);
    for number in 0..200 {
        let port = 20_000 + number;
        dns().add(&name, Record::Srv(number, 0, port, "dead.many.f40.test"));
    }
    writes(stage, &mut alice, &server.domain);
    told(&mut alice, "iq", &server.domain, LATE);
    must(!server.is_called(), || "it is tried last of all".into())
}
