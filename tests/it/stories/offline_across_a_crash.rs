//! Bob is away. What Alice writes him waits, also when the server is killed meanwhile.

use crate::device::Device;
use crate::world::World;

fn delayed(id: &str, body: &str) -> String {
    format!(
        "<message type='chat' from='alice@a.test/phone' to='bob@a.test' id='{id}'>\
         <body>{body}</body><delay xmlns='urn:xmpp:delay' stamp='*'/></message>"
    )
}

#[test]
fn messages_wait_through_a_crash() {
    let world = World::start();
    world.account("bob", "a.test");
    let mut alice = world.online("alice@a.test/phone");
    alice.says("<enable xmlns='urn:xmpp:sm:3'/>");
    alice.waits_for("<enabled xmlns='urn:xmpp:sm:3'/>");
    alice
        .says("<message type='chat' to='bob@a.test' id='m1'><body>Are you there?</body></message>");
    alice.says("<message type='chat' to='bob@a.test' id='m2'><body>Call me.</body></message>");
    alice.says(
        "<message type='chat' to='bob@a.test' id='m3'>\
                <active xmlns='http://jabber.org/protocol/chatstates'/></message>",
    );
    acknowledged(&mut alice, 3);

    // Acknowledged, so it is on the disk.
    world.kill_9();
    world.rise();

    let mut bob = world.device("bob@a.test/desk");
    bob.says("<presence/>");
    bob.waits_for(&delayed("m1", "Are you there?"));
    bob.waits_for(&delayed("m2", "Call me."));
    let rest = bob.drains();
    assert!(
        !rest.iter().any(|el| el.name == "message"),
        "a chat state is not kept: {rest:?}"
    );
    bob.leaves();

    // What was delivered does not come again.
    let mut bob = world.device("bob@a.test/desk");
    bob.comes_online();
    bob.hears_nothing();
}

/// Waits until the server has taken care of so many stanzas of this session.
fn acknowledged(device: &mut Device, h: u32) {
    for _ in 0..50 {
        device.says("<r xmlns='urn:xmpp:sm:3'/>");
        let a = device.waits_for("<a xmlns='urn:xmpp:sm:3' h='*'/>");
        if a.attr("h") == Some(&h.to_string()) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("{h} stanzas are not acknowledged");
}

/// A device of negative priority, or without presence, does not take what waits.
#[test]
fn messages_wait_for_somebody_who_is_there() {
    let world = World::start();
    let mut bob = world.device("bob@a.test/desk");
    let mut alice = world.online("alice@a.test/phone");
    alice.says("<message type='chat' to='bob@a.test' id='m1'><body>one</body></message>");
    alice.ping();
    bob.hears_nothing();
    bob.says("<presence><priority>-1</priority></presence>");
    bob.waits_for("<presence from='bob@a.test/desk'/>");
    alice.says("<message type='chat' to='bob@a.test' id='m2'><body>two</body></message>");
    alice.ping();
    bob.hears_nothing();
    bob.says("<presence><priority>1</priority></presence>");
    bob.waits_for(&delayed("m1", "one"));
    bob.waits_for(&delayed("m2", "two"));
}

/// What no archive may keep waits in its turn among what archives do keep; a quick restart changes
/// nothing in that.
#[test]
fn messages_wait_in_their_order() {
    let world = World::start();
    world.account("bob", "a.test");
    let mut alice = world.online("alice@a.test/phone");
    alice.says("<message type='chat' to='bob@a.test' id='m0'><body>zero</body></message>");
    alice.ping();
    world.kill_9();
    world.rise();
    let hint = "<no-permanent-store xmlns='urn:xmpp:hints'/>";
    let mut alice = world.online("alice@a.test/phone");
    for (id, hint) in [("m1", ""), ("m2", hint), ("m3", ""), ("m4", hint)] {
        alice.says(&format!(
            "<message type='chat' to='bob@a.test' id='{id}'><body>{id}</body>{hint}</message>"
        ));
    }
    alice.ping();
    let mut bob = world.device("bob@a.test/desk");
    bob.comes_online();
    let mut ids = Vec::new();
    while ids.last().is_none_or(|id| id != "m4") {
        let message = bob.waits_for("<message type='chat'/>");
        ids.push(message.attr("id").expect("an id").to_owned());
    }
    ids.retain(|id| id != "m0");
    assert_eq!(ids, ["m1", "m2", "m3", "m4"]);
}
