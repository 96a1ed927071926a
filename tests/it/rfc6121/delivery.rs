//! RFC 6121 §8 beyond messages: IQs, presence, stanzas without an address, and order.

use super::{arrives, befriends};
use crate::world::World;

const UNAVAILABLE: &str = "<error type='cancel'>\
     <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";

/// §8.2, RFC 6120 §10.3: without `to`, a message is for one's own account, an IQ is answered.
#[test]
fn without_an_address() {
    let world = World::start();
    let mut juliet = arrives(&world, "juliet@a.test/balcony");
    juliet.says("<message id='self' type='chat'><body>note to self</body></message>");
    juliet.hears("<message id='self' type='chat' from='juliet@a.test/balcony'/>");
    for to in ["", "to='a.test'", "to='juliet@a.test'"] {
        let iq = format!("<iq type='get' id='p' {to}><ping xmlns='urn:xmpp:ping'/></iq>");
        juliet.gets(&iq, "<iq type='result' id='p'/>");
        let disco = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
        let iq = format!("<iq type='get' id='d' {to}>{disco}</iq>");
        juliet.gets(&iq, &format!("<iq type='result' id='d'>{disco}</iq>"));
    }
}

/// §8.5.3.1: an error reaches the device that it is sent to, also one that says nothing.
#[test]
fn errors_arrive() {
    let world = World::start();
    let mut juliet = arrives(&world, "juliet@a.test/balcony");
    let mut romeo = arrives(&world, "romeo@b.test/foo");
    for kind in ["message", "presence", "iq"] {
        let error = format!("<{kind} type='error' id='e' to='juliet@a.test/balcony'/>");
        romeo.says(&error);
        juliet.hears(&error);
    }
    romeo.hears_nothing();
}

/// RFC 6120 §8.1.5, §8.1.3: the language of the stream is stamped, `to` and `id` stay.
#[test]
fn what_is_stamped_and_what_stays() {
    let world = World::start();
    let mut juliet = arrives(&world, "juliet@a.test/balcony");
    let mut client = world.tcp();
    world.account("romeo", "a.test");
    client.open().expect("stream");
    let outcome = client.plain("romeo", &crate::world::password("romeo"));
    assert_eq!(outcome, Ok(None));
    client.restart();
    let header = client.header_text().replace(" to=", " xml:lang='it' to=");
    client.say(&header);
    client.hear().expect("header");
    client.element().expect("features");
    client.bind("foo").expect("bind");
    let mut romeo = crate::device::Device::new(client);
    romeo.says("<message to='juliet@a.test' id='one'><body>ciao</body></message>");
    juliet.hears("<message to='juliet@a.test' id='one' xml:lang='it'/>");
    romeo.says("<message to='juliet@a.test' id='two' xml:lang='en'><body>hi</body></message>");
    juliet.hears("<message to='juliet@a.test' id='two' xml:lang='en'/>");
}

/// §8.5.2.1.3, §8.5.3: IQs to an account are the server's, to a device they pass between contacts.
#[test]
fn iqs() {
    let world = World::start();
    let mut juliet = arrives(&world, "juliet@a.test/balcony");
    let mut romeo = arrives(&world, "romeo@b.test/foo");
    let ask = |to: &str| format!("<iq type='get' id='v' to='{to}'><x xmlns='urn:x:unknown'/></iq>");
    let refusal = format!("<iq type='error' id='v'>{UNAVAILABLE}</iq>");
    for to in [
        "juliet@a.test",
        "juliet@a.test/balcony",
        "juliet@a.test/none",
        "nobody@a.test",
    ] {
        romeo.gets(&ask(to), &refusal);
    }
    juliet.hears_nothing();
    befriends(&mut juliet, &mut romeo);
    romeo.gets(&ask("juliet@a.test"), &refusal);
    romeo.says(&ask("juliet@a.test/balcony"));
    juliet.hears(&ask("juliet@a.test/balcony"));
    juliet.says("<iq type='result' id='v' to='romeo@b.test/foo'><x xmlns='urn:x:unknown'/></iq>");
    romeo.hears("<iq type='result' id='v' from='juliet@a.test/balcony'/>");
}

/// §8.5.2.1.1: a device with negative priority gets nothing that is sent to the account.
#[test]
fn negative_priority() {
    let world = World::start();
    let mut juliet = world.device("juliet@a.test/robot");
    juliet.says("<presence><priority>-1</priority></presence>");
    juliet.waits_for("<presence from='juliet@a.test/robot'/>");
    let mut romeo = arrives(&world, "romeo@b.test/foo");
    romeo.says("<message to='juliet@a.test' type='chat' id='m'><body>O</body></message>");
    juliet.hears_nothing();
    romeo.says("<presence to='juliet@a.test'/>");
    juliet.hears("<presence from='romeo@b.test/foo' to='juliet@a.test'/>");
}

/// RFC 6120 §10.1: what one sends to another arrives in the order it was sent.
#[test]
fn order_is_kept() {
    let world = World::start();
    let mut juliet = arrives(&world, "juliet@a.test/balcony");
    let mut romeo = arrives(&world, "romeo@b.test/foo");
    for n in 0..300 {
        let to = if n % 3 == 0 {
            "juliet@a.test/balcony"
        } else {
            "juliet@a.test"
        };
        romeo.says(&format!(
            "<message to='{to}' type='chat' id='{n}'><body>{n}</body></message>"
        ));
    }
    for n in 0..300 {
        juliet.hears(&format!("<message type='chat' id='{n}'/>"));
    }
}

/// RFC 6121 §8.1: a domain nobody serves is answered by an error.
#[test]
fn elsewhere() {
    let world = World::start();
    let mut romeo = arrives(&world, "romeo@b.test/foo");
    romeo.says("<message to='x@nowhere.invalid' id='m' type='chat'><body>whisper</body></message>");
    romeo.hears("<message type='error' id='m' from='x@nowhere.invalid'/>");
    romeo.gets(
        "<iq type='get' id='i' to='nowhere.invalid'><ping xmlns='urn:xmpp:ping'/></iq>",
        "<iq type='error' id='i' from='nowhere.invalid'/>",
    );
}
