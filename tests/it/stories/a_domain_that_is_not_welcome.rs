//! Who runs Alice's server wants nothing to do with Carol's for a while: nothing comes, nothing
//! goes, everybody is told, and it is as before when the mind is changed.

use crate::client::PATIENCE;
use crate::device::Device;
use crate::world::{Plan, World};
use std::time::Instant;

/// Two servers that try each other again soon.
fn servers(more: &str) -> [World; 2] {
    let plan = |domains, more| Plan {
        domains,
        more: format!(
            "[outbox]\nretry = \"200ms\"\nretry_longest = \"200ms\"\n\
             [s2s]\npolicy = \"dialback\"\n{more}"
        ),
        ..Plan::default()
    };
    World::federation([plan(&["a.test"], more), plan(&["c.test"], "")])
}

fn rookery(world: &World, arguments: &[&str]) -> String {
    let (status, text) = world.run(arguments, "");
    assert!(status.success(), "{arguments:?}: {text}");
    text
}

fn message(to: &str, id: &str) -> String {
    format!("<message type='chat' to='{to}' id='{id}'><body>{id}</body></message>")
}

fn hears(device: &mut Device, from: &str, id: &str) {
    device.waits_for(&format!("<message type='chat' from='{from}' id='{id}'/>"));
}

fn not_allowed(device: &mut Device, from: &str, domain: &str, id: &str) {
    device.waits_for(&format!(
        "<message type='error' from='{from}' id='{id}'><error type='cancel'>\
         <not-allowed xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
         <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>\
         {domain}: the domain is blocked here</text></error></message>"
    ));
}

/// Until the other server has found out that it is not heard.
fn is_told(carol: &mut Device) {
    let end = Instant::now() + PATIENCE;
    loop {
        carol.says("<iq type='get' id='p' to='a.test'><ping xmlns='urn:xmpp:ping'/></iq>");
        let answer = carol
            .waits_for("<iq type='error' id='p' from='a.test'/>")
            .to_string();
        if answer.contains("its server ended the stream (policy-violation") {
            return;
        }
        assert!(Instant::now() < end, "{answer}");
    }
}

#[test]
fn a_domain_is_blocked_while_the_server_runs_and_after_it_was_started_again() {
    let [here, there] = servers("");
    let mut alice = here.online("alice@a.test/phone");
    let mut carol = there.online("carol@c.test/desk");
    alice.says(&message("carol@c.test/desk", "1"));
    hears(&mut carol, "alice@a.test/phone", "1");
    carol.says(&message("alice@a.test/phone", "2"));
    hears(&mut alice, "carol@c.test/desk", "2");

    let done = rookery(&here, &["s2s", "block", "C.test", "*.c.test"]);
    assert_eq!(
        done,
        "Nothing is exchanged with c.test any more.\n\
         Nothing is exchanged with domains below c.test any more.\n"
    );
    alice.says(&message("carol@c.test", "3"));
    not_allowed(&mut alice, "carol@c.test", "c.test", "3");
    alice.says(&message("x@rooms.c.test", "4"));
    not_allowed(&mut alice, "x@rooms.c.test", "rooms.c.test", "4");
    is_told(&mut carol);
    carol.says(&message("alice@a.test/phone", "5"));

    drop(alice);
    here.term();
    here.rise();
    let mut alice = here.online("alice@a.test/phone");
    alice.says(&message("carol@c.test", "6"));
    not_allowed(&mut alice, "carol@c.test", "c.test", "6");
    is_told(&mut carol);
    alice.hears_nothing();
    let rules = rookery(&here, &["s2s", "rules"]);
    assert!(rules.contains("*.c.test  blocked  since 2"), "{rules}");

    rookery(&here, &["s2s", "forget", "c.test"]);
    // What must last has waited.
    hears(&mut alice, "carol@c.test/desk", "5");
    alice.says(&message("carol@c.test/desk", "7"));
    hears(&mut carol, "alice@a.test/phone", "7");
}

#[test]
fn nobody_but_the_domains_that_are_named() {
    let [here, there] = servers("block = [\"*\"]\nallow = [\"c.test\"]\n");
    let mut alice = here.online("alice@a.test/phone");
    let mut carol = there.online("carol@c.test/desk");
    alice.says(&message("dave@d.test", "1"));
    not_allowed(&mut alice, "dave@d.test", "d.test", "1");
    alice.says(&message("carol@c.test/desk", "2"));
    hears(&mut carol, "alice@a.test/phone", "2");
    carol.says(&message("alice@a.test/phone", "3"));
    hears(&mut alice, "carol@c.test/desk", "3");
    let rules = rookery(&here, &["s2s", "rules"]);
    assert_eq!(
        rules,
        "*       blocked  by the settings\nc.test  allowed  by the settings\n"
    );
}

/// What was kept for a domain while its server was away comes back when it is blocked.
#[test]
fn what_waits_for_it_comes_back() {
    let [here, there] = servers("");
    there.account("carol", "c.test");
    there.term();
    let mut alice = here.online("alice@a.test/phone");
    alice.says(&message("carol@c.test", "1"));
    alice.hears_nothing();
    rookery(&here, &["s2s", "block", "*"]);
    not_allowed(&mut alice, "carol@c.test", "c.test", "1");
}
