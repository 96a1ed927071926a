//! Alice removes her account (XEP-0077 §3.2): her subscriptions end, her other sessions end after
//! the result, hers a moment later, and who takes the name then finds nothing of hers.

use crate::world::{World, password};

#[test]
fn leaving_for_good() {
    let world = World::start();
    let mut alice = world.device("alice@a.test/phone");
    let mut bob = world.device("bob@b.test/home");
    for device in [&mut alice, &mut bob] {
        device.fetches_roster();
        device.comes_online();
    }
    alice.says("<presence type='subscribe' to='bob@b.test'/>");
    bob.waits_for("<presence type='subscribe'/>");
    bob.says("<presence type='subscribed' to='alice@a.test'/>");
    bob.says("<presence type='subscribe' to='alice@a.test'/>");
    alice.waits_for("<presence type='subscribe'/>");
    alice.says("<presence type='subscribed' to='bob@b.test'/>");
    bob.waits_for("<presence from='alice@a.test/phone'/>");
    alice.gets(
        "<iq type='set' id='priv'><query xmlns='jabber:iq:private'>\
         <notes xmlns='urn:x'>mine</notes></query></iq>",
        "<iq type='result' id='priv'/>",
    );
    alice.gets(
        "<iq type='set' id='pep'><pubsub xmlns='http://jabber.org/protocol/pubsub'>\
         <publish node='urn:x'><item id='i'><n xmlns='urn:x'>mine</n></item></publish>\
         </pubsub></iq>",
        "<iq type='result' id='pep'/>",
    );
    let mut desk = world.device("alice@a.test/desk");
    bob.drains();

    alice.says("<iq type='set' id='bye'><query xmlns='jabber:iq:register'><remove/></query></iq>");
    alice.waits_for("<iq type='result' id='bye'/>");
    desk.waits_for_the_end(&["not-authorized", "reset", "conflict"]);
    alice.waits_for_the_end(&["not-authorized", "reset", "conflict"]);
    bob.waits_for("<presence type='unsubscribe' from='alice@a.test'/>");
    bob.waits_for("<presence type='unsubscribed' from='alice@a.test'/>");
    let roster = bob.fetches_roster();
    let item = "<item jid='alice@a.test' subscription='none' ask='-'/>";
    let kept = crate::xml::El::parse(&format!(
        "<iq type='result'><query xmlns='jabber:iq:roster'>{item}</query></iq>"
    ));
    assert_eq!(roster.fits(&kept), Ok(()));

    let mut client = world.tcp();
    client.open().expect("stream");
    let refused = client.plain("alice", &password("alice"));
    assert_eq!(refused, Ok(Some("not-authorized".into())));

    world.kill_9();
    world.rise();
    bob = world.device("bob@b.test/home");
    bob.comes_online();
    bob.says("<message to='alice@a.test' type='chat' id='late'><body>whisper</body></message>");
    bob.ping();
    world.forget("alice@a.test");
    nothing_is_left(&world);
}

/// Who takes the name now.
fn nothing_is_left(world: &World) {
    let mut other = world.online("alice@a.test/new");
    let roster = other.fetches_roster();
    assert!(!roster.to_string().contains("bob@b.test"), "{roster}");
    let notes = other.asks(
        "<iq type='get' id='priv'><query xmlns='jabber:iq:private'>\
         <notes xmlns='urn:x'/></query></iq>",
    );
    assert!(!notes.to_string().contains("mine"), "{notes}");
    let items = other.asks(
        "<iq type='get' id='pep'><pubsub xmlns='http://jabber.org/protocol/pubsub'>\
         <items node='urn:x'/></pubsub></iq>",
    );
    assert_eq!(items.error(), Some(("cancel", "item-not-found")), "{items}");
    other.hears_nothing();
}
