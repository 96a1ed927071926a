//! Who runs a server sees how it stands with others, what is wrong, and what to do about it.

use crate::authority::Authority;
use crate::client::PATIENCE;
use crate::device::Device;
use crate::world::{Plan, World};
use std::time::Instant;

fn rookery(world: &World, arguments: &[&str]) -> String {
    let (status, text) = world.run(arguments, "");
    assert!(status.success(), "{arguments:?}: {text}");
    text
}

fn has(text: &str, wanted: &[&str]) {
    for wanted in wanted {
        assert!(text.contains(wanted), "no {wanted:?} in\n{text}");
    }
}

/// What a command says once it says this.
fn until(world: &World, arguments: &[&str], wanted: &str) -> String {
    let end = Instant::now() + PATIENCE;
    loop {
        let text = rookery(world, arguments);
        if text.contains(wanted) {
            return text;
        }
        assert!(Instant::now() < end, "never {wanted:?}:\n{text}");
    }
}

fn talk(alice: &mut Device, carol: &mut Device) {
    alice.says("<message type='chat' to='carol@c.test/desk' id='1'><body>Hi!</body></message>");
    carol.waits_for("<message type='chat' from='alice@a.test/phone' id='1'/>");
    carol.says("<message type='chat' to='alice@a.test/phone' id='2'><body>Hi!</body></message>");
    alice.waits_for("<message type='chat' from='carol@c.test/desk' id='2'/>");
}

/// One stanza went each way, over streams with certificates.
fn counts_so(world: &World) {
    let numbers = rookery(world, &["status"]);
    for (name, value) in [
        ("s2s stanzas in", "1"),
        ("s2s stanzas out", "1"),
        ("s2s by dialback", "0"),
        ("s2s bounced", "0"),
        ("s2s waiting", "0"),
    ] {
        let line = numbers.lines().find(|it| it.trim_start().starts_with(name));
        let line = line.unwrap_or_else(|| panic!("no {name}:\n{numbers}"));
        assert!(line.ends_with(&format!(" {value}")), "{line}");
    }
}

#[test]
fn servers_with_good_certificates() {
    let authority = Authority::get();
    let [here, there] = World::federation([
        authority.certified_plan(&["a.test"]),
        authority.certified_plan(&["c.test"]),
    ]);
    assert_eq!(
        rookery(&here, &["s2s", "list"]),
        "Nothing is going on with other servers.\n"
    );
    let mut alice = here.online("alice@a.test/phone");
    let mut carol = there.online("carol@c.test/desk");
    talk(&mut alice, &mut carol);

    let list = until(&here, &["s2s", "list"], "out and in");
    assert_eq!(list.trim_end(), "c.test  out and in  certificate", "{list}");
    let show = rookery(&here, &["s2s", "show", "C.test"]);
    has(
        &show,
        &[
            "from a.test: connected; nothing waits",
            "stream out, to 127.0.0.1, since 2",
            "TLS 1.3 with AES_256_GCM_SHA384",
            "a.test and c.test: they proved themselves by certificate, we by ours",
            "their certificate is for c.test, issued by CN=an authority, until ",
            "stanzas: 1 sent, ",
            " 1 received, acknowledged",
        ],
    );
    let trace = rookery(&here, &["s2s", "trace", "c.test"]);
    has(
        &trace,
        &[
            "the settings say where the server is",
            "our own certificate is good for a.test",
            "connected with 127.0.0.1 port",
            "encrypted: TLS 1.3 with",
            "its certificate is for c.test, issued by CN=an authority",
            "which is good for c.test: an authority vouches for it",
            "it offers SASL EXTERNAL, dialback",
            "we prove who we are by our certificate (SASL EXTERNAL)",
            "it accepts our certificate",
            "c.test is reached: stanzas may be sent.\n",
        ],
    );
    counts_so(&here);
    // It was only looked at.
    alice.hears_nothing();
    carol.hears_nothing();
    let json = rookery(&here, &["s2s", "list", "--json"]);
    has(
        &json,
        &["\"domain\":\"c.test\"", "\"security\":\"certificate\""],
    );
}

#[test]
fn a_server_that_is_away_and_is_called_when_it_is_told() {
    let plan = |domains| Plan {
        domains,
        more: "[s2s]\npolicy = \"dialback\"\n\
               [outbox]\nretry = \"1h\"\nretry_longest = \"1h\"\n"
            .into(),
        ..Plan::default()
    };
    let [here, there] = World::federation([plan(&["a.test"]), plan(&["c.test"])]);
    there.account("carol", "c.test");
    there.term();
    let mut alice = here.online("alice@a.test/phone");
    alice.says("<message type='chat' to='carol@c.test' id='1'><body>Hi!</body></message>");
    let list = until(&here, &["s2s", "list"], "nobody listens there");
    has(
        &list,
        &[
            "c.test  tried again in ",
            "1 stanza waits since 2",
            "its server cannot be reached: 127.0.0.1 port ",
        ],
    );
    let (status, trace) = here.run(&["s2s", "trace", "c.test"], "");
    assert_eq!(status.code(), Some(1), "{trace}");
    has(
        &trace,
        &[
            "our own certificate for a.test is not one that others believe",
            ": nobody listens there\n",
            "c.test is not reached: its server cannot be reached: 127.0.0.1 port ",
            "The server of c.test may be down.",
        ],
    );

    let numbers = rookery(&here, &["status"]);
    has(&numbers, &["unreachable 1\n"]);
    there.rise();
    let mut carol = there.online("carol@c.test/desk");
    // For an hour nobody would have tried.
    rookery(&here, &["s2s", "retry", "c.test"]);
    carol.waits_for("<message type='chat' from='alice@a.test/phone' id='1'/>");
    let list = until(&here, &["s2s", "list"], "out and in");
    assert_eq!(list.trim_end(), "c.test  out and in  dialback", "{list}");
    let trace = rookery(&here, &["s2s", "trace", "c.test"]);
    has(
        &trace,
        &[
            "its certificate is self-signed; for c.test, dialback suffices by the settings",
            "we prove who we are by dialback",
            "it has found that our dialback key is right",
            "c.test is reached: stanzas may be sent.\n",
        ],
    );
    let (status, text) = here.run(&["s2s", "retry", "nobody.test"], "");
    assert_eq!(status.code(), Some(1));
    has(&text, &["nothing is being sent to that domain"]);
}

#[test]
fn a_server_whose_certificate_is_not_good() {
    let authority = Authority::get();
    let [here, there] = World::federation([
        authority.certified_plan(&["a.test"]),
        authority.plan(&["c.test"]),
    ]);
    let (status, trace) = here.run(&["s2s", "trace", "c.test"], "");
    assert_eq!(status.code(), Some(1), "{trace}");
    has(
        &trace,
        &[
            "its certificate is for ",
            "c.test is not reached: its server's certificate is not good for the domain: \
             its certificate is self-signed\n",
            "\"c.test\" = \"dialback\" under [s2s.exceptions]",
        ],
    );
    let (_, trace) = there.run(&["s2s", "trace", "a.test"], "");
    has(
        &trace,
        &[
            "it does not go by our dialback: not-authorized",
            "a.test is not reached: its server refuses to hear us (not-authorized)\n",
            "a.test wants a certificate that it believes: [tls] needs one for c.test",
        ],
    );
    let list = rookery(&here, &["s2s", "list"]);
    has(
        &list,
        &[
            "c.test  not connected",
            "when it came: its certificate is self-signed",
        ],
    );

    rookery(&here, &["s2s", "block", "c.test"]);
    let (_, trace) = here.run(&["s2s", "trace", "c.test"], "");
    has(
        &trace,
        &["the domain is blocked here", "rookery s2s allow c.test"],
    );
    let (_, trace) = there.run(&["s2s", "trace", "a.test"], "");
    has(&trace, &["policy-violation", "c.test may be blocked there"]);
    let (_, trace) = here.run(&["s2s", "trace", "a.test"], "");
    has(&trace, &["this server serves the domain itself"]);
}
