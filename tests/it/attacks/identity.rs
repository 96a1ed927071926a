//! C: client identity, addresses, and the rules of stanzas.

use super::row::{Answer::*, Row, Stage, State::*, each, must, scene};
use crate::device::Device;
use crate::xml::escaped;

const ROSTER: &str = "jabber:iq:roster";

pub fn rows() -> Vec<Row> {
    let mut rows = early();
    rows.extend(addresses());
    rows.extend(stanzas());
    rows
}

fn early() -> Vec<Row> {
    const EARLY: &[&str] = &[
        "<message to='bob@a.test'><body>x</body></message>",
        "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>",
        "<presence/>",
    ];
    vec![
        each(
            "C01-p",
            "stanzas before login",
            Plain,
            EARLY,
            &[Ends("not-authorized")],
        ),
        each(
            "C01-t",
            "stanzas before login, inside TLS",
            Tls,
            EARLY,
            &[Ends("not-authorized")],
        ),
        each(
            "C02",
            "stanzas before binding",
            Authed,
            EARLY,
            &[Ends("not-authorized")],
        ),
        each(
            "C11",
            "top-level elements that are no stanzas",
            Bound,
            &["<foo xmlns='urn:x'/>", "<foo/>"],
            &[Ends("unsupported-stanza-type")],
        ),
    ]
}

fn addresses() -> Vec<Row> {
    vec![
        scene("C04", "a from of one's own making", own_from),
        scene("C06", "a to that is no address", bad_to),
        scene("C07", "parts of 1,023 and 1,024 bytes", long_parts),
        scene(
            "C08",
            "local parts RFC 8265 refuses, and one it maps",
            odd_locals,
        ),
        scene(
            "C09",
            "domains that are ours, and that only look so",
            odd_domains,
        ),
        scene(
            "C10",
            "characters of four bytes at every length limit",
            wide_characters,
        ),
    ]
}

fn stanzas() -> Vec<Row> {
    vec![
        each(
            "C05",
            "IQs without id, of an unknown type, with no child or two",
            Bound,
            &[
                "<iq type='get'><ping xmlns='urn:xmpp:ping'/></iq>",
                "<iq type='foo' id='a'><ping xmlns='urn:xmpp:ping'/></iq>",
                "<iq id='a'><ping xmlns='urn:xmpp:ping'/></iq>",
                "<iq type='get' id='a'/>",
                "<iq type='set' id='a'><a xmlns='urn:x'/><b xmlns='urn:x'/></iq>",
            ],
            &[Refuses("modify", "bad-request")],
        ),
        scene("C12", "an IQ nobody understands", unknown_iq),
        scene("C13", "an IQ result nobody asked for", unasked_result),
        scene(
            "C15",
            "what the server makes up cannot be guessed",
            random_ids,
        ),
        scene(
            "C22",
            "a message and a presence of an unknown type",
            unknown_types,
        ),
        scene("C23", "errors are not answered", errors),
    ]
}

fn own_from(stage: &Stage) -> Result<(), String> {
    let (mut alice, mut bob) = (stage.online("alice"), stage.online("bob"));
    let (full, bare, to) = (alice.jid(), alice.bare(), bob.bare());
    for from in [format!("{bare}/other"), bare.clone(), full.clone()] {
        alice.says(&format!(
            "<message from='{from}' to='{to}' id='f'><body>whisper</body></message>"
        ));
        bob.waits_for(&format!("<message from='{full}' id='f'/>"));
    }
    let from = format!("{bare}/other");
    alice.says(&format!(
        "<presence from='{from}' to='{to}' type='subscribe'/>"
    ));
    bob.waits_for(&format!("<presence from='{bare}' type='subscribe'/>"));
    // RFC 6120 §8.1.2.1: somebody else's address may also be answered by an error.
    let other = stage.bare("carol");
    alice.client.say(&format!(
        "<message from='{other}' to='{to}' id='g'><body>x</body></message>"
    ));
    let ended = alice.client.stream_error(crate::client::PATIENCE);
    match ended {
        Ok(condition) => must(condition == "invalid-from", || condition)?,
        Err(_) => {
            bob.waits_for(&format!("<message from='{full}' id='g'/>"));
        }
    }
    Ok(())
}

fn bad_to(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    let own = alice.bare();
    for to in ["@a.test", "a@", "a@b@c", "a.test/", ""] {
        let ask = format!("<iq type='get' id='t' to='{to}'><ping xmlns='urn:xmpp:ping'/></iq>");
        let answer = alice.asks(&ask);
        let error = answer.error() == Some(("modify", "jid-malformed"));
        let from = answer
            .attr("from")
            .is_none_or(|f| f == "a.test" || f == own);
        must(error && from, || format!("{to:?}: {answer}"))?;
    }
    Ok(())
}

/// Asks something harmless of an address and returns the condition, or "result".
fn reaches(device: &mut Device, to: &str) -> String {
    let to = escaped(to);
    let answer = device.asks(&format!(
        "<iq type='get' id='a' to='{to}'><x xmlns='urn:x:nothing'/></iq>"
    ));
    answer
        .error()
        .map_or("result".into(), |(_, condition)| condition.to_string())
}

fn long_parts(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    let (fits, long) = ("x".repeat(1023), "x".repeat(1024));
    for (to, wanted) in [
        (format!("{long}@a.test"), "jid-malformed"),
        (format!("a@{long}"), "jid-malformed"),
        (format!("a@{fits}"), "jid-malformed"),
        (format!("a@a.test/{long}"), "jid-malformed"),
        (format!("{fits}@a.test"), "service-unavailable"),
        (format!("a@a.test/{fits}"), "service-unavailable"),
    ] {
        let found = reaches(&mut alice, &to);
        must(found == wanted, || {
            format!("{} bytes: {found}, not {wanted}", to.len())
        })?;
    }
    Ok(())
}

fn odd_locals(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    let refused = [
        "a\u{202e}b",
        "a\u{200b}b",
        "a\"b",
        "a&b",
        "a'b",
        "a/b",
        "a:b",
        "a<b",
        "a>b",
    ];
    for local in refused {
        // A slash makes the rest a resource, with `a` as a domain.
        if local == "a/b" {
            continue;
        }
        let found = reaches(&mut alice, &format!("{local}@a.test"));
        must(found == "jid-malformed", || format!("{local:?}: {found}"))?;
    }
    let wide = stage.bare("alice").replacen('a', "\u{ff21}", 1);
    alice.says(&format!(
        "<message to='{wide}' id='wide'><body>whisper</body></message>"
    ));
    alice.waits_for("<message id='wide'/>");
    for local in ["straße", "İstanbul"] {
        let found = reaches(&mut alice, &format!("{local}@a.test"));
        let right = ["service-unavailable", "jid-malformed"].contains(&&*found);
        must(right, || format!("{local:?}: {found}"))?;
    }
    Ok(())
}

fn odd_domains(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    let user = stage.user("alice");
    for domain in ["A.TEST", "a.test."] {
        alice.says(&format!(
            "<message to='{user}@{domain}' id='d'><body>whisper</body></message>"
        ));
        alice.waits_for("<message id='d' type='-'/>");
    }
    let others = [
        "xn--example-.org",
        "xn--",
        "a..test",
        "-a.test",
        "[::1]",
        "127.0.0.1",
        ".a.test",
        "a.tést",
    ];
    for domain in others {
        alice.says(&format!(
            "<message to='{user}@{domain}' id='o'><body>whisper</body></message>"
        ));
        let error = alice.waits_for("<message type='error' id='o'/>");
        let found = error.error().map(|(_, condition)| condition.to_string());
        let right = [
            "jid-malformed",
            "remote-server-not-found",
            "remote-server-timeout",
            "service-unavailable",
            "item-not-found",
        ];
        let found = found.unwrap_or_default();
        must(right.contains(&&*found), || format!("{domain}: {error}"))?;
    }
    Ok(())
}

fn wide_characters(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    for before in 0..4 {
        let wide = "x".repeat(before) + &"\u{10400}".repeat(300);
        for length in [1020, 1021, 1022, 1023, 1024, 1025] {
            let end = (0..=length)
                .rev()
                .find(|n| wide.is_char_boundary(*n))
                .unwrap_or(0);
            for to in [
                format!("a@a.test/{}", &wide[..end]),
                format!("{}@a.test", &wide[..end]),
            ] {
                reaches(&mut alice, &to);
            }
        }
    }
    let name = "\u{1f600}".repeat(255);
    for extra in ["", "a", "ab", "abc"] {
        let item =
            format!("<item jid='wide@a.test' name='{extra}{name}'><group>{name}</group></item>");
        alice.asks(&format!(
            "<iq type='set' id='w'><query xmlns='{ROSTER}'>{item}</query></iq>"
        ));
    }
    Ok(())
}

fn unknown_iq(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    stage.device("bob").leaves();
    for to in ["a.test".to_string(), alice.bare(), stage.bare("bob")] {
        let answer = alice.asks(&format!(
            "<iq type='get' id='u' to='{to}'><x xmlns='urn:x:nothing'/></iq>"
        ));
        let right = answer.error() == Some(("cancel", "service-unavailable"));
        must(right, || format!("{to}: {answer}"))?;
    }
    Ok(())
}

fn unasked_result(stage: &Stage) -> Result<(), String> {
    let (mut alice, mut bob) = (stage.online("alice"), stage.online("bob"));
    alice.says(&format!("<iq type='result' id='zz' to='{}'/>", bob.jid()));
    bob.waits_for(&format!(
        "<iq type='result' id='zz' from='{}'/>",
        alice.jid()
    ));
    alice.says(&format!("<iq type='result' id='zz' to='{}'/>", bob.bare()));
    alice.hears_nothing();
    bob.hears_nothing();
    Ok(())
}

fn random_ids(stage: &Stage) -> Result<(), String> {
    let mut seen = std::collections::HashSet::new();
    for _ in 0..20 {
        let client = stage.client(Plain)?;
        let id = client.header.attr("id").unwrap_or("").to_string();
        // 128 bits are 22 characters of base64 (RFC 6120 §4.7.3: unpredictable and unique).
        must(id.len() >= 22 && seen.insert(id.clone()), || {
            format!("stream id {id:?}")
        })?;
    }
    for _ in 0..5 {
        let mut client = stage.client(Authed)?;
        client.bind("")?;
        let resource = client
            .jid
            .split_once('/')
            .map_or("", |(_, r)| r)
            .to_string();
        let good = resource.len() >= 11 && seen.insert(resource.clone());
        must(good, || format!("resource {resource:?}"))?;
    }
    Ok(())
}

fn unknown_types(stage: &Stage) -> Result<(), String> {
    let (mut alice, mut bob) = (stage.online("alice"), stage.online("bob"));
    alice.says(&format!(
        "<message type='zzz' to='{}' id='z'><body>whisper</body></message>",
        bob.bare()
    ));
    let heard = bob.client.element()?;
    let treated = heard.attr("id") == Some("z") && heard.attr("type") != Some("error");
    must(treated, || heard.to_string())?;
    alice.says(&format!(
        "<presence type='zzz' to='{}' id='y'/>",
        bob.bare()
    ));
    let error = alice.client.element()?;
    must(error.error() == Some(("modify", "bad-request")), || {
        error.to_string()
    })
}

fn errors(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    stage.device("bob").leaves();
    let nobody = stage.bare("nobody");
    for to in [
        stage.bare("bob"),
        nobody,
        "a.test".into(),
        alice.bare() + "/nowhere",
    ] {
        alice.says(&format!("<message type='error' to='{to}' id='e1'/>"));
        alice.says(&format!(
            "<message type='error' to='{to}' id='e2'><error type='cancel'>\
             <gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
        ));
        alice.says(&format!("<iq type='error' to='{to}' id='e3'/>"));
        alice.says(&format!("<iq type='result' to='{to}' id='e4'/>"));
        alice.says(&format!("<presence type='error' to='{to}' id='e5'/>"));
    }
    alice.hears_nothing();
    Ok(())
}
