//! A room of a family's own (XEP-0045): alice makes it, bob is invited and comes by two devices,
//! they talk; a stranger is kept out. A crash of the server puts nobody out, and who was not
//! reached then hears what was said.

use std::net::Shutdown;

use crate::device::Device;
use crate::world::World;

const ROOM: &str = "kitchen@rooms.a.test";
const MUC: &str = "http://jabber.org/protocol/muc";

fn join(nick: &str) -> String {
    format!("<presence to='{ROOM}/{nick}'><x xmlns='{MUC}'/></presence>")
}

fn says(id: &str, body: &str) -> String {
    format!("<message to='{ROOM}' type='groupchat' id='{id}'><body>{body}</body></message>")
}

fn heard(nick: &str, id: &str) -> String {
    format!("<message from='{ROOM}/{nick}' type='groupchat' id='{id}'/>")
}

fn is_there(nick: &str, code: &str) -> String {
    let status = match code {
        "" => String::new(),
        code => format!("<status code='{code}'/>"),
    };
    format!("<presence from='{ROOM}/{nick}'><x xmlns='{MUC}#user'>{status}</x></presence>")
}

/// Alice makes the room, as clients do: she enters, and takes it as it is.
fn make(alice: &mut Device) {
    alice.says(&join("Alice"));
    alice.waits_for(&is_there("Alice", "201"));
    alice.gets(
        &format!(
            "<iq type='set' id='own' to='{ROOM}'><query xmlns='{MUC}#owner'>\
             <x xmlns='jabber:x:data' type='submit'/></query></iq>"
        ),
        &format!("<iq type='result' id='own' from='{ROOM}'/>"),
    );
}

#[test]
fn a_kitchen_of_ones_own() {
    let world = World::start();
    let mut alice = world.online("alice@a.test/phone");
    let mut bob = world.online("bob@b.test/home");
    let mut carol = world.online("carol@a.test/desk");
    make(&mut alice);
    carol.says(&join("Carol"));
    carol.waits_for(&format!(
        "<presence type='error' from='{ROOM}/Carol'><error type='auth'>\
         <registration-required xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>"
    ));
    alice.says(&format!(
        "<message to='{ROOM}'><x xmlns='{MUC}#user'><invite to='bob@b.test'/></x></message>"
    ));
    bob.waits_for(&format!(
        "<message from='{ROOM}'><x xmlns='{MUC}#user'><invite from='alice@a.test'/></x></message>"
    ));
    bob.says(&join("Bob"));
    bob.waits_for(&is_there("Alice", ""));
    bob.waits_for(&is_there("Bob", "110"));
    alice.waits_for(&is_there("Bob", ""));
    bob.says(&says("m1", "hello"));
    alice.waits_for(&heard("Bob", "m1"));
    bob.waits_for(&heard("Bob", "m1"));
    // He has a second device, and is one person.
    let mut tablet = world.online("bob@b.test/tablet");
    tablet.says(&join("Bob"));
    tablet.waits_for(&is_there("Bob", "110"));
    tablet.waits_for("<message type='groupchat' id='m1'><delay xmlns='urn:xmpp:delay'/></message>");
    alice.says(&says("m2", "and to you"));
    bob.waits_for(&heard("Alice", "m2"));
    tablet.waits_for(&heard("Alice", "m2"));
    // He is gone only when both are.
    bob.says(&format!("<presence type='unavailable' to='{ROOM}/Bob'/>"));
    bob.waits_for(&format!("<presence type='unavailable' from='{ROOM}/Bob'/>"));
    alice.waits_for(&is_there("Bob", ""));
    tablet.leaves();
    alice.waits_for(&format!("<presence type='unavailable' from='{ROOM}/Bob'/>"));
}

/// The server is killed while bob's line is down: he is in the room still, and hears what he has
/// missed, once; who did not come back is out.
#[test]
fn a_crash_puts_nobody_out() {
    let world = World::start();
    let mut alice = world.online("alice@a.test/phone");
    let mut bob = world.device("bob@a.test/phone");
    bob.says("<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
    let enabled = bob.waits_for("<enabled xmlns='urn:xmpp:sm:3' resume='*'/>");
    let previd = enabled.attr("id").expect("an id").to_owned();
    bob.says("<presence/>");
    bob.hears("<presence from='bob@a.test/phone'/>");
    make(&mut alice);
    let member = "<item affiliation='member' jid='bob@a.test'/>";
    alice.gets(
        &format!(
            "<iq type='set' id='mem' to='{ROOM}'><query xmlns='{MUC}#admin'>{member}</query></iq>"
        ),
        "<iq type='result' id='mem'/>",
    );
    // He may come now, and is told so.
    bob.waits_for(&format!(
        "<message from='{ROOM}'><x xmlns='{MUC}#user'><invite/></x></message>"
    ));
    bob.says(&join("Bob"));
    bob.waits_for(&is_there("Alice", ""));
    bob.waits_for(&is_there("Bob", "110"));
    bob.waits_for("<message type='groupchat'><subject/></message>");
    alice.waits_for(&is_there("Bob", ""));
    drop(bob.client.socket().shutdown(Shutdown::Both));
    alice.says(&says("m1", "one"));
    alice.waits_for(&heard("Alice", "m1"));
    world.kill_9();
    drop(alice);
    world.rise();
    let mut bob = Device::resumed(&world, "bob", &previd, 5);
    bob.waits_for(&heard("Alice", "m1"));
    bob.says(&says("m2", "still here"));
    bob.waits_for(&heard("Bob", "m2"));
    let rest = bob.drains();
    assert!(rest.iter().all(|it| it.name != "message"), "{rest:?}");
}
