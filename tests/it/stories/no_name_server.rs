//! The machine has no network, or its name server is silent: the server starts and serves its own
//! people, and who writes to somebody elsewhere hears why that came to nothing.

use crate::world::{Plan, World};
use std::net::UdpSocket;

#[test]
fn a_server_without_names_serves_its_own() {
    // It hears every question and answers none.
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let place = silent.local_addr().expect("an address");
    let alone = World::with(Plan {
        federates: true,
        more: format!(
            "[dns]\nservers = [\"{place}\"]\ntimeout = \"200ms\"\n[outbox]\ngive_up = \"1s\"\n"
        ),
        ..Plan::default()
    });
    let mut alice = alone.online("alice@a.test/phone");
    let mut bob = alone.online("bob@b.test/desk");
    alice.says("<message type='chat' to='bob@b.test' id='here'><body>Hi!</body></message>");
    bob.hears(
        "<message type='chat' from='alice@a.test/phone' id='here'><body>Hi!</body></message>",
    );

    let told = |stanza: &str, id: &str| {
        format!(
            "<{stanza} type='error' id='{id}' from='carol@c.example'><error type='wait'>\
             <remote-server-timeout xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
             <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>\
             c.example: its server cannot be reached</text></error></{stanza}>"
        )
    };
    alice.says("<message type='chat' to='carol@c.example' id='m'><body>Hi!</body></message>");
    alice.gets(
        "<iq type='get' id='q' to='carol@c.example'><ping xmlns='urn:xmpp:ping'/></iq>",
        &told("iq", "q"),
    );
    // What must last waited for as long as the settings say.
    alice.waits_for(&told("message", "m"));
}
