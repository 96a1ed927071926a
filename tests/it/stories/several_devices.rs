//! Alice has a phone and a desk. Both are her.

use crate::world::World;

#[test]
fn several_devices() {
    let world = World::start();
    let mut phone = world.online("alice@a.test/phone");
    let mut desk = world.device("alice@a.test/desk");
    desk.says("<presence><priority>5</priority></presence>");
    desk.hears_all(&[
        "<presence from='alice@a.test/desk'/>",
        "<presence from='alice@a.test/phone'/>",
    ]);
    phone.hears("<presence from='alice@a.test/desk'><priority>5</priority></presence>");

    let mut bob = world.online("bob@b.test/home");
    bob.says("<message type='chat' to='alice@a.test' id='m1'><body>whisper</body></message>");
    desk.hears("<message type='chat' from='bob@b.test/home' to='alice@a.test' id='m1'/>");
    bob.says("<message type='chat' to='alice@a.test/phone' id='m2'><body>whisper</body></message>");
    phone.waits_for("<message type='chat' id='m2' to='alice@a.test/phone'/>");
    bob.says("<message type='headline' to='alice@a.test' id='m3'><body>news</body></message>");
    phone.waits_for("<message type='headline' id='m3'/>");
    desk.waits_for("<message type='headline' id='m3'/>");

    // The desk goes; what is written to it then finds the phone.
    desk.leaves();
    phone.waits_for("<presence type='unavailable' from='alice@a.test/desk'/>");
    bob.says("<message type='chat' to='alice@a.test/desk' id='m4'><body>whisper</body></message>");
    phone.waits_for("<message type='chat' id='m4' to='alice@a.test/desk'/>");

    // Own devices may ask each other.
    let mut tablet = world.online("alice@a.test/tablet");
    tablet.says("<iq type='get' id='q' to='alice@a.test/phone'><ping xmlns='urn:xmpp:ping'/></iq>");
    phone.waits_for("<iq type='get' id='q' from='alice@a.test/tablet'/>");
    phone.says("<iq type='result' id='q' to='alice@a.test/tablet'/>");
    tablet.waits_for("<iq type='result' id='q' from='alice@a.test/phone'/>");
}
