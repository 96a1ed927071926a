//! Alice and Bob, strangers so far, become contacts and talk.

use crate::world::World;

#[test]
fn two_people_meet() {
    let world = World::start();
    let mut alice = world.device("alice@a.test/phone");
    let mut bob = world.device("bob@a.test/desk");
    alice.fetches_roster();
    bob.fetches_roster();
    alice.comes_online();
    bob.comes_online();

    // Alice would like to see when Bob is there.
    alice.says("<presence type='subscribe' to='bob@a.test' id='please'/>");
    alice.hears_push("<item jid='bob@a.test' subscription='none' ask='subscribe'/>");
    bob.hears("<presence type='subscribe' from='alice@a.test' to='bob@a.test'/>");

    // Bob agrees, and asks the same of her.
    bob.says("<presence type='subscribed' to='alice@a.test'/>");
    bob.hears_push("<item jid='alice@a.test' subscription='from'/>");
    alice.hears_all(&[
        "<presence type='subscribed' from='bob@a.test'/>",
        "<iq type='set'><query xmlns='jabber:iq:roster'>\
         <item jid='bob@a.test' subscription='to' ask='-'/></query></iq>",
        "<presence from='bob@a.test/desk' to='*'/>",
    ]);
    bob.says("<presence type='subscribe' to='alice@a.test'/>");
    bob.hears_push("<item jid='alice@a.test' subscription='from' ask='subscribe'/>");
    alice.hears("<presence type='subscribe' from='bob@a.test'/>");
    alice.says("<presence type='subscribed' to='bob@a.test'/>");
    alice.hears_push("<item jid='bob@a.test' subscription='both'/>");
    bob.hears_all(&[
        "<presence type='subscribed' from='alice@a.test'/>",
        "<iq type='set'><query xmlns='jabber:iq:roster'>\
         <item jid='alice@a.test' subscription='both' ask='-'/></query></iq>",
        "<presence from='alice@a.test/phone'/>",
    ]);

    // They talk.
    alice.says("<message type='chat' to='bob@a.test' id='m1'><body>Hello, Bob</body></message>");
    bob.waits_for(
        "<message type='chat' from='alice@a.test/phone' to='bob@a.test' id='m1'>\
         <body>Hello, Bob</body></message>",
    );
    bob.says("<message type='chat' to='alice@a.test/phone' id='m2'><body>Hi!</body></message>");
    alice.waits_for(
        "<message type='chat' from='bob@a.test/desk' id='m2'><body>Hi!</body></message>",
    );

    // Bob goes away, and Alice sees it.
    bob.says("<presence><show>away</show></presence>");
    alice.waits_for("<presence from='bob@a.test/desk'><show>away</show></presence>");
    bob.leaves();
    alice.waits_for("<presence type='unavailable' from='bob@a.test/desk'/>");
}
