//! Servers that want certificates of each other: with good ones they need no dialback, and without
//! nothing goes between them.

use crate::authority::Authority;
use crate::world::World;

#[test]
fn good_certificates_suffice() {
    let authority = Authority::get();
    let [here, there] = World::federation([
        authority.certified_plan(&["a.test"]),
        authority.certified_plan(&["c.test"]),
    ]);
    let mut alice = here.online("alice@a.test/phone");
    let mut carol = there.online("carol@c.test/desk");
    alice.says("<message type='chat' to='carol@c.test' id='1'><body>Hi!</body></message>");
    carol.waits_for("<message type='chat' from='alice@a.test/phone' id='1'/>");
    carol.says("<message type='chat' to='alice@a.test/phone' id='2'><body>Hi!</body></message>");
    alice.waits_for("<message type='chat' from='carol@c.test/desk' id='2'/>");
    // By the certificate alone (XEP-0178): neither called the other back.
    for world in [&here, &there] {
        let log = world.log();
        assert!(log.contains("external=true"), "{log}");
        assert!(!log.contains("external=false"), "{log}");
    }
}

#[test]
fn who_has_none_is_sent_nothing_and_sends_nothing() {
    let authority = Authority::get();
    let [here, there] = World::federation([
        authority.certified_plan(&["a.test"]),
        authority.plan(&["c.test"]),
    ]);
    let mut alice = here.online("alice@a.test/phone");
    let mut carol = there.online("carol@c.test/desk");
    alice.says("<message type='chat' to='carol@c.test' id='1'><body>Hi!</body></message>");
    alice.waits_for(
        "<message type='error' from='carol@c.test' id='1'><error type='cancel'>\
         <remote-server-timeout xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
         <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>\
         c.test: its server's certificate is not good for the domain</text></error></message>",
    );
    // RFC 7590 §3.4: hers cannot say who it is.
    carol.says("<message type='chat' to='alice@a.test' id='2'><body>Hi!</body></message>");
    carol.waits_for(
        "<message type='error' from='alice@a.test' id='2'><error type='cancel'>\
         <remote-server-timeout xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
         <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>\
         a.test: its server refuses to hear us (not-authorized)</text></error></message>",
    );
    alice.hears_nothing();
    carol.hears_nothing();
}
