//! F26, F29, R11: keys of dialback (XEP-0220). The test is both the server that claims and the one
//! that is asked about it.

use super::super::federation::{claim, ends, hears_first, message, outcome, secured};
use super::super::row::{Row, Stage, must, scene};
use super::{good, writes};
use crate::client::{Client, QUIET, Silence};
use crate::elsewhere::{BY_DIALBACK, DIALBACK, Elsewhere, header, hear_header, place};
use crate::world::{Plan, World};
use crate::xml::Heard;
use std::time::Instant;

pub fn rows() -> Vec<Row> {
    vec![
        scene("F26", "answers that are not to the question", other_answers),
        scene("F29", "what keys are made of", secrets),
        scene("R11", "more claims than may be asked about", many_claims),
        scene(
            "R11-rate",
            "claims of a stranger, all at once",
            hasty_claims,
        ),
    ]
}

/// A server that goes by what the DNS says.
pub fn plan() -> Plan {
    Plan {
        more: format!(
            "[s2s]\npolicy = \"dialback\"\nprivate = [\"127.0.0.0/8\"]\n{}",
            crate::elsewhere::asking()
        ),
        federates: true,
        ..Plan::default()
    }
}

/// Asks whether a key is right, as the server that was asked does, to the question that comes now:
/// its sender, recipient, id and key.
fn question(asked: &mut Client) -> Result<[String; 4], String> {
    let found = asked.expect(DIALBACK, "verify")?;
    let of = |name: &str| found.attr(name).unwrap_or_default().to_owned();
    Ok([of("from"), of("to"), of("id"), found.text.clone()])
}

/// Somebody who claims to be this domain, the server that is asked about it, and the id.
fn asked(stage: &Stage, domain: &str) -> Result<(Client, Client, String), String> {
    let server = Elsewhere::of(domain);
    let mut claimant = secured(stage, domain, &[])?;
    let id = claimant.header.attr("id").unwrap_or_default().to_owned();
    claimant.say(&claim(domain, "a.test"));
    stage.world.count();
    let mut authority = server.secured(&good(domain))?;
    server.begin(&mut authority, BY_DIALBACK)?;
    let found = question(&mut authority)?;
    must(found == ["a.test", domain, &*id, "key"], || {
        format!("{found:?}")
    })?;
    Ok((claimant, authority, id))
}

fn answer(authority: &mut Client, from: &str, to: &str, id: &str, kind: &str) {
    authority.say(&format!(
        "<db:verify from='{from}' to='{to}' id='{id}' type='{kind}'/>"
    ));
}

fn silent(claimant: &mut Client) -> Result<(), String> {
    let heard = claimant.hear_within(QUIET);
    must(heard == Err(Silence::Timeout), || format!("{heard:?}"))
}

/// XEP-0220 §3.1: exactly what was asked, on the connection on which it was asked, once.
fn other_answers(stage: &Stage) -> Result<(), String> {
    let mut bob = stage.online("bob");
    let (mut one, mut of_one, id) = asked(stage, "one.f26.test")?;
    let (mut two, mut of_two, id_of_two) = asked(stage, "two.f26.test")?;
    let wrong = [
        ("other.test", "a.test", &*id),
        ("one.f26.test", "b.test", &id),
        ("one.f26.test", "a.test", "other"),
        ("a.test", "one.f26.test", &id),
        // What was asked on another connection.
        ("two.f26.test", "a.test", &id_of_two),
        ("two.f26.test", "a.test", &id),
    ];
    for (from, to, id) in wrong {
        answer(&mut of_one, from, to, id, "valid");
    }
    silent(&mut one)?;
    silent(&mut two)?;
    // The first answer counts.
    answer(&mut of_one, "one.f26.test", "a.test", &id, "invalid");
    answer(&mut of_one, "one.f26.test", "a.test", &id, "valid");
    let found = outcome(&mut one)?;
    must(found.0 == "invalid", || format!("{found:?}"))?;
    one.say(&message("x@one.f26.test", &bob.bare(), "no"));
    answer(&mut of_two, "two.f26.test", "a.test", &id_of_two, "valid");
    let found = outcome(&mut two)?;
    must(found.0 == "valid", || format!("{found:?}"))?;
    two.say(&message("x@two.f26.test", &bob.bare(), "yes"));
    hears_first(&mut bob, "yes")?;
    two.say(&message("x@one.f26.test", &bob.bare(), "no"));
    ends(&mut two, &["invalid-from"])
}

/// CVE-2016-1232: keys of a secret that everybody knows.
fn secrets(stage: &Stage) -> Result<(), String> {
    let worlds = [World::with(plan()), World::with(plan())];
    let mut keys = vec![];
    for (number, world) in worlds.iter().enumerate() {
        let stage = Stage {
            world,
            id: stage.id,
        };
        let domain = format!("w{number}.f29.test");
        let mut alice = stage.online("alice");
        let key = |id: &str, server: &Elsewhere| -> Result<String, String> {
            let mut visit = server.secured(&good(&domain))?;
            hear_header(&mut visit)?;
            visit.say(&header(&format!("from='{domain}' id='{id}' version='1.0'")));
            visit.say(&format!("<stream:features>{BY_DIALBACK}</stream:features>"));
            Ok(visit.expect(DIALBACK, "result")?.text)
        };
        let server = Elsewhere::of(&domain);
        writes(&stage, &mut alice, &domain);
        let found = key("same", &server)?;
        let is_hash = found.len() == 64 && found.bytes().all(|it| it.is_ascii_hexdigit());
        must(is_hash, || format!("a key of less than 256 bits: {found}"))?;
        let verdicts = verdicts(&stage, &domain, &found)?;
        must(verdicts == ["valid", "invalid", "invalid"], || {
            format!("{verdicts:?}")
        })?;
        drop(alice);
        // Kept or new, but not none.
        world.term();
        world.rise();
        let again = self::verdicts(&stage, &domain, &found)?;
        let sound = again[0] != "error" && again[1..] == ["invalid", "invalid"];
        must(sound, || format!("{again:?}"))?;
        keys.push(found);
    }
    must(keys[0] != keys[1], || {
        format!("two servers have one secret: {keys:?}")
    })
}

/// What the server says of this key, of nothing, and of what nothing is the secret of.
fn verdicts(stage: &Stage, domain: &str, key: &str) -> Result<[String; 3], String> {
    use hmac::{Hmac, KeyInit, Mac};
    use sha2::{Digest, Sha256};
    let hex = |bytes: &[u8]| -> String { bytes.iter().map(|it| format!("{it:02x}")).collect() };
    let nothing = hex(&Sha256::digest(b""));
    let mut mac = Hmac::<Sha256>::new_from_slice(nothing.as_bytes()).expect("any length");
    mac.update(format!("{domain} a.test same").as_bytes());
    let of_nothing = hex(&mac.finalize().into_bytes());
    let mut asker = secured(stage, domain, &[])?;
    let mut found = [key, "", &of_nothing].map(str::to_owned);
    for key in &mut found {
        asker.say(&format!(
            "<db:verify from='{domain}' to='a.test' id='same'>{key}</db:verify>"
        ));
        let answer = asker.expect(DIALBACK, "verify")?;
        *key = answer.attr("type").unwrap_or_default().to_owned();
    }
    Ok(found)
}

/// Silent servers for so many domains.
fn silent_domains(name: &str, count: usize) -> (Elsewhere, Vec<String>) {
    let server = Elsewhere::at(name, (place(), 0).into());
    let domains: Vec<String> = (0..count).map(|n| format!("d{n}.{name}")).collect();
    domains
        .iter()
        .for_each(|it| server.serves(it, "_xmpp-server", 0));
    (server, domains)
}

/// Sixty-four are asked about; the rest is refused, and may come again.
fn many_claims(stage: &Stage) -> Result<(), String> {
    let world = World::with(plan());
    let stage = &Stage {
        world: &world,
        id: stage.id,
    };
    let (server, domains) = silent_domains("r11.test", 120);
    let mut streams = Vec::new();
    for domains in domains.chunks(60) {
        let mut stream = secured(stage, "r11.test", &[])?;
        let claims: String = domains.iter().map(|it| claim(it, "a.test")).collect();
        stream.say(&claims);
        streams.push(stream);
    }
    let mut refused = 0;
    for stream in &mut streams {
        refused += refusals(stream)?;
    }
    must(refused == 56, || format!("{refused} are refused"))?;
    let called = server.crowd(64)?.len();
    must(called == 64, || format!("{called} are asked"))
}

/// How many claims are refused for their number, until nothing more is said: those that are asked
/// about have no answer for a while.
fn refusals(stream: &mut Client) -> Result<usize, String> {
    let mut refused = 0;
    while let Ok(heard) = stream.hear_within(5 * QUIET) {
        let Heard::Element(found) = heard else {
            return Err(format!("{heard:?}"));
        };
        let found = found.to_string();
        must(found.contains("resource-constraint"), || found)?;
        refused += 1;
    }
    Ok(refused)
}

/// A stranger makes this server ask ten others a second.
fn hasty_claims(stage: &Stage) -> Result<(), String> {
    let world = World::with(Plan {
        trusted: false,
        ..plan()
    });
    let stage = Stage {
        world: &world,
        id: stage.id,
    };
    let (server, domains) = silent_domains("rate.r11.test", 60);
    let mut stream = secured(&stage, "rate.r11.test", &[])?;
    let begun = Instant::now();
    let claims: String = domains.iter().map(|it| claim(it, "a.test")).collect();
    stream.say(&claims);
    let refused = refusals(&mut stream)?;
    // On a slow machine a few more are asked.
    let most = 10 + 10 * (begun.elapsed().as_secs() as usize + 1);
    let asked = domains.len() - refused;
    must((10..=most).contains(&asked), || {
        format!("{asked} are asked")
    })?;
    let called = server.crowd(asked)?.len();
    must(called == asked, || {
        format!("{called} of {asked} are called")
    })
}
