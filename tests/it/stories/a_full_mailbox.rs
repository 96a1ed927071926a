//! Bob is long away and strangers fill his mailbox: half of it is kept for his contacts.

use crate::device::Device;
use crate::world::World;
use crate::xml::CLIENT;

#[test]
fn half_is_for_contacts() {
    let world = World::start();
    let mut alice = world.device("alice@a.test/phone");
    let mut bob = world.device("bob@a.test/desk");
    for device in [&mut alice, &mut bob] {
        device.fetches_roster();
        device.comes_online();
    }
    alice.says("<presence type='subscribe' to='bob@a.test'/>");
    bob.waits_for("<presence type='subscribe' from='alice@a.test'/>");
    bob.says("<presence type='subscribed' to='alice@a.test'/>");
    bob.says("<presence type='subscribe' to='alice@a.test'/>");
    alice.waits_for("<presence type='subscribe' from='bob@a.test'/>");
    alice.says("<presence type='subscribed' to='bob@a.test'/>");
    bob.waits_for("<presence from='alice@a.test/phone'/>");
    bob.leaves();

    let mut stranger = world.online("mallory@b.test/den");
    let refused = floods(&mut stranger, 1100);
    assert!(
        (500..=700).contains(&refused),
        "{refused} of 1,100 were refused"
    );
    let refused = floods(&mut alice, 100);
    assert_eq!(refused, 0, "a contact finds room");

    let mut bob = world.device("bob@a.test/desk");
    bob.says("<presence/>");
    let mut kept = 0;
    bob.waits_for("<message type='chat' from='alice@a.test/phone' id='99'/>");
    for el in bob.drains() {
        kept += usize::from(el.is(CLIENT, "message"));
    }
    assert!((400..=600).contains(&(kept + 1 - 100)), "{kept}");
}

/// Sends so many messages to Bob and counts those refused with `resource-constraint`.
fn floods(device: &mut Device, messages: usize) -> usize {
    let mut refused = 0;
    for n in 0..messages {
        device.says(&format!(
            "<message to='bob@a.test' type='chat' id='{n}'><body>whisper</body></message>"
        ));
        if n % 100 == 99 {
            let error = Some(("wait", "resource-constraint"));
            refused += device
                .drains()
                .iter()
                .filter(|el| el.error() == error)
                .count();
        }
    }
    refused
}
