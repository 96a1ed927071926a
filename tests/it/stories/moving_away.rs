//! Alice moves to another address, and her contacts come along (XEP-0283).

use crate::device::Device;
use crate::world::World;

const MOVED: &str = "urn:xmpp:moved:1";

/// Both see each other's presence, and have heard all of it.
fn befriend(one: &mut Device, other: &mut Device) {
    one.befriends(other);
    for device in [one, other] {
        device.ping();
        device.drains();
    }
}

/// Says where it moves to, for its contacts to see.
fn states(old: &mut Device, new: &str) {
    old.gets(
        &format!(
            "<iq type='set' id='p'><pubsub xmlns='http://jabber.org/protocol/pubsub'>\
             <publish node='{MOVED}'><item id='current'><moved xmlns='{MOVED}'>\
             <new-jid>{new}</new-jid></moved></item></publish></pubsub></iq>"
        ),
        "<iq type='result' id='p'/>",
    );
}

fn asks(new: &mut Device, contact: &str, old: &str) {
    new.says(&format!(
        "<presence type='subscribe' to='{contact}'><moved xmlns='{MOVED}'>\
         <old-jid>{old}</old-jid></moved></presence>"
    ));
}

fn shown(from: &str) -> String {
    format!("<presence type='subscribe' from='{from}'><moved xmlns='{MOVED}'/></presence>")
}

#[test]
fn moving_away() {
    let world = World::start();
    let mut old = world.online("alice@a.test/phone");
    let mut bob = world.online("bob@a.test/desk");
    befriend(&mut old, &mut bob);
    states(&mut old, "alice@b.test");

    // Her new account asks, and nobody has to answer.
    let mut new = world.online("alice@b.test/phone");
    new.fetches_roster();
    asks(&mut new, "bob@a.test", "alice@a.test");
    bob.hears_push("<item jid='alice@b.test' subscription='from'/>");
    bob.hears_push("<item jid='alice@a.test' subscription='to'/>");
    bob.hears_push("<item jid='alice@b.test' subscription='from' ask='subscribe'/>");
    old.waits_for("<presence type='unsubscribed' from='bob@a.test'/>");
    new.waits_for("<presence type='subscribed' from='bob@a.test'/>");
    new.waits_for("<presence from='bob@a.test/desk'/>");
    new.waits_for("<presence type='subscribe' from='bob@a.test'/>");
    new.says("<presence type='subscribed' to='bob@a.test'/>");
    bob.waits_for("<presence from='alice@b.test/phone'/>");

    // §8.2: each address moves once.
    states(&mut old, "eve@b.test");
    let mut eve = world.online("eve@b.test/desk");
    asks(&mut eve, "bob@a.test", "alice@a.test");
    bob.waits_for(&shown("eve@b.test"));
}

#[test]
fn nobody_moves_on_behalf_of_another() {
    let world = World::start();
    let mut alice = world.online("alice@a.test/phone");
    let mut bob = world.online("bob@a.test/desk");
    let mut eve = world.online("eve@b.test/desk");
    eve.fetches_roster();
    befriend(&mut alice, &mut bob);
    // She states nothing; somebody else; and what bob may not see.
    asks(&mut eve, "bob@a.test", "alice@a.test");
    bob.waits_for(&shown("eve@b.test"));
    bob.says("<presence type='unsubscribed' to='eve@b.test'/>");
    eve.waits_for("<presence type='unsubscribed' from='bob@a.test'/>");
    states(&mut alice, "alice@b.test");
    asks(&mut eve, "bob@a.test", "alice@a.test");
    bob.waits_for(&shown("eve@b.test"));
    bob.drains();
    let roster = bob.fetches_roster().to_string();
    assert!(!roster.contains("eve@b.test"), "{roster}");
    assert!(roster.contains("subscription='both'"), "{roster}");
}
