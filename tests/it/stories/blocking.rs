//! Alice has enough of Bob (XEP-0191), reports him (XEP-0377), and forgives him.

use crate::device::Device;
use crate::world::World;

const BLOCKING: &str = "urn:xmpp:blocking";

#[test]
fn blocking() {
    let world = World::start();
    let mut phone = world.device("alice@a.test/phone");
    let mut desk = world.device("alice@a.test/desk");
    let mut bob = world.device("bob@b.test/home");
    for device in [&mut phone, &mut desk, &mut bob] {
        device.fetches_roster();
        device.comes_online();
    }
    befriend(&mut phone, &mut bob);
    bob.waits_for("<presence from='alice@a.test/desk'/>");

    // Only the phone has fetched the list, so only it hears of changes (§3.3).
    phone.gets(
        "<iq type='get' id='list'><blocklist xmlns='urn:xmpp:blocking'/></iq>",
        "<iq type='result' id='list'><blocklist xmlns='urn:xmpp:blocking'/></iq>",
    );
    for device in [&mut phone, &mut desk, &mut bob] {
        device.drains();
    }
    phone.says(&format!(
        "<iq type='set' id='b1'><block xmlns='{BLOCKING}'><item jid='bob@b.test'>\
         <report xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:spam'/>\
         </item></block></iq>"
    ));
    phone.hears_all(&[
        "<iq type='result' id='b1'/>",
        &format!(
            "<iq type='set' id='*'><block xmlns='{BLOCKING}'><item jid='bob@b.test'/></block></iq>"
        ),
    ]);
    desk.hears_nothing();
    bob.hears_all(&[
        "<presence type='unavailable' from='alice@a.test/phone'/>",
        "<presence type='unavailable' from='alice@a.test/desk'/>",
    ]);

    bob.says("<message type='chat' to='alice@a.test' id='m1'><body>whisper</body></message>");
    bob.hears(
        "<message type='error' id='m1' from='alice@a.test'><error type='cancel'>\
         <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>",
    );
    bob.says("<presence><show>away</show></presence>");
    phone.says("<presence><show>dnd</show></presence>");
    phone.waits_for("<presence from='alice@a.test/phone'><show>dnd</show></presence>");
    bob.waits_for("<presence from='bob@b.test/home'><show>away</show></presence>");
    bob.hears_nothing();
    desk.waits_for("<presence from='alice@a.test/phone'/>");
    desk.hears_nothing();
    // A desk that a crash cut off would be said to be gone some time after it.
    desk.leaves();
    phone.waits_for("<presence type='unavailable' from='alice@a.test/desk'/>");
    bob.hears_nothing();

    kept_by_the_disk(&world);
}

fn kept_by_the_disk(world: &World) {
    world.kill_9();
    world.rise();
    let mut phone = world.online("alice@a.test/phone");
    let mut bob = world.online("bob@b.test/home");
    phone.gets(
        "<iq type='get' id='list'><blocklist xmlns='urn:xmpp:blocking'/></iq>",
        "<iq type='result' id='list'><blocklist xmlns='urn:xmpp:blocking'>\
         <item jid='bob@b.test'/></blocklist></iq>",
    );
    phone.hears_nothing();
    bob.hears_nothing();

    // Forgiven: both see each other again.
    phone.says(&format!(
        "<iq type='set' id='u1'><unblock xmlns='{BLOCKING}'><item jid='bob@b.test'/></unblock></iq>"
    ));
    phone.waits_for("<iq type='result' id='u1'/>");
    phone.waits_for(&format!(
        "<iq type='set'><unblock xmlns='{BLOCKING}'/></iq>"
    ));
    bob.waits_for("<presence from='alice@a.test/phone'/>");
    bob.says("<message type='chat' to='alice@a.test' id='m2'><body>whisper</body></message>");
    phone.waits_for("<message type='chat' from='bob@b.test/home' id='m2'/>");
}

/// Alice's phone and Bob become contacts.
fn befriend(phone: &mut Device, bob: &mut Device) {
    phone.says("<presence type='subscribe' to='bob@b.test'/>");
    bob.waits_for("<presence type='subscribe' from='alice@a.test'/>");
    bob.says("<presence type='subscribed' to='alice@a.test'/>");
    bob.says("<presence type='subscribe' to='alice@a.test'/>");
    phone.waits_for("<presence type='subscribe' from='bob@b.test'/>");
    phone.says("<presence type='subscribed' to='bob@b.test'/>");
    bob.waits_for("<presence from='alice@a.test/phone'/>");
}
