//! XEP-0198 without resumption: both sides count.

use crate::world::World;

#[test]
fn both_sides_count() {
    let world = World::start();
    let mut alice = world.online("alice@a.test/phone");
    let mut bob = world.device("bob@a.test/desk");
    let sm = bob.client.features.child("urn:xmpp:sm:3", "sm");
    assert!(sm.is_some(), "{}", bob.client.features);
    bob.says("<enable xmlns='urn:xmpp:sm:3'/>");
    bob.waits_for("<enabled xmlns='urn:xmpp:sm:3'/>");
    bob.says("<presence/>");
    bob.waits_for("<presence from='bob@a.test/desk'/>");
    bob.says("<message type='chat' to='alice@a.test' id='m1'><body>whisper</body></message>");
    alice.waits_for("<message type='chat' id='m1'/>");
    bob.says("<r xmlns='urn:xmpp:sm:3'/>");
    bob.waits_for("<a xmlns='urn:xmpp:sm:3' h='2'/>");

    // The server asks too, and is told.
    alice.says("<message type='chat' to='bob@a.test' id='m2'><body>whisper</body></message>");
    bob.waits_for("<message type='chat' id='m2'/>");
    bob.waits_for("<r xmlns='urn:xmpp:sm:3'/>");
    bob.says("<a xmlns='urn:xmpp:sm:3' h='2'/>");
    bob.says("<enable xmlns='urn:xmpp:sm:3'/>");
    bob.waits_for("<failed xmlns='urn:xmpp:sm:3'/>");
    bob.ping();
}

#[test]
fn what_is_not_acknowledged_is_not_lost() {
    let world = World::start();
    let mut alice = world.online("alice@a.test/phone");
    let mut bob = world.device("bob@a.test/desk");
    bob.says("<enable xmlns='urn:xmpp:sm:3'/>");
    bob.waits_for("<enabled xmlns='urn:xmpp:sm:3'/>");
    bob.comes_online();
    // Bob's connection hangs: he hears nothing any more, then it breaks.
    alice.says("<message type='chat' to='bob@a.test' id='m1'><body>whisper</body></message>");
    alice.ping();
    drop(bob);
    std::thread::sleep(std::time::Duration::from_millis(300));
    let mut bob = world.device("bob@a.test/other");
    bob.says("<presence/>");
    bob.waits_for("<message type='chat' from='alice@a.test/phone' id='m1'/>");
}

/// What a device acknowledged a while ago does not come again after a crash, although nothing else
/// was stored for it meanwhile.
#[test]
fn what_is_acknowledged_comes_once() {
    let world = World::start();
    let mut alice = world.online("alice@a.test/phone");
    let mut bob = world.device("bob@a.test/desk");
    bob.says("<enable xmlns='urn:xmpp:sm:3'/>");
    bob.waits_for("<enabled xmlns='urn:xmpp:sm:3'/>");
    bob.says("<presence/>");
    bob.waits_for("<presence from='bob@a.test/desk'/>");
    alice.says("<message type='chat' to='bob@a.test' id='m1'><body>whisper</body></message>");
    bob.waits_for("<message type='chat' id='m1'/>");
    let before = world.journal_bytes();
    bob.says("<a xmlns='urn:xmpp:sm:3' h='2'/>");
    world.writes_after(before);
    world.kill_9();
    world.rise();
    let mut bob = world.online("bob@a.test/desk");
    bob.hears_nothing();
}

/// XEP-0198 §6: more cannot be acknowledged than was sent.
#[test]
fn too_much_is_acknowledged() {
    let world = World::start();
    let mut alice = world.device("alice@a.test/phone");
    alice.says("<enable xmlns='urn:xmpp:sm:3'/>");
    alice.waits_for("<enabled xmlns='urn:xmpp:sm:3'/>");
    alice.says("<a xmlns='urn:xmpp:sm:3' h='999'/>");
    alice.waits_for_the_end(&["undefined-condition"]);
}

/// Not even what no archive may keep (XEP-0334 §4.1).
#[test]
fn what_only_waits_is_not_lost_either() {
    let world = World::start();
    world.account("bob", "a.test");
    let mut alice = world.online("alice@a.test/phone");
    alice.says(
        "<message type='chat' to='bob@a.test' id='m1'><body>whisper</body>\
                <no-permanent-store xmlns='urn:xmpp:hints'/></message>",
    );
    alice.ping();
    for end in ["a broken line", "a crash"] {
        let mut bob = world.device("bob@a.test/desk");
        bob.says("<enable xmlns='urn:xmpp:sm:3'/>");
        bob.waits_for("<enabled xmlns='urn:xmpp:sm:3'/>");
        bob.says("<presence/>");
        bob.waits_for("<message type='chat' from='alice@a.test/phone' id='m1'/>");
        if end == "a crash" {
            world.kill_9();
            world.rise();
        }
        drop(bob);
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
    let mut bob = world.device("bob@a.test/desk");
    bob.says("<presence/>");
    bob.waits_for("<message type='chat' from='alice@a.test/phone' id='m1'/>");
}
