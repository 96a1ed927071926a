//! Alice and Carol live on different servers, which prove to each other who they are and lose
//! nothing that they were given.

use crate::world::{Plan, World};

/// Two servers that go by what the DNS says (XEP-0220): their certificates are their own making.
fn servers() -> [World; 2] {
    let plan = |domains| Plan {
        domains,
        more: "[s2s]\npolicy = \"dialback\"\n".into(),
        ..Plan::default()
    };
    World::federation([plan(&["a.test"]), plan(&["c.test"])])
}

#[test]
fn people_of_two_servers_meet() {
    let [here, there] = servers();
    let mut alice = here.device("alice@a.test/phone");
    let mut carol = there.device("carol@c.test/desk");
    alice.fetches_roster();
    carol.fetches_roster();
    alice.comes_online();
    carol.comes_online();

    // Alice would like to see when Carol is there, and she agrees.
    alice.says("<presence type='subscribe' to='carol@c.test' id='please'/>");
    alice.hears_push("<item jid='carol@c.test' subscription='none' ask='subscribe'/>");
    carol.waits_for("<presence type='subscribe' from='alice@a.test' to='carol@c.test'/>");
    carol.says("<presence type='subscribed' to='alice@a.test'/>");
    carol.hears_push("<item jid='alice@a.test' subscription='from'/>");
    alice.hears_all(&[
        "<presence type='subscribed' from='carol@c.test'/>",
        "<iq type='set'><query xmlns='jabber:iq:roster'>\
         <item jid='carol@c.test' subscription='to' ask='-'/></query></iq>",
        "<presence from='carol@c.test/desk'/>",
    ]);

    // They talk, in order.
    for number in 1..=20 {
        alice.says(&format!(
            "<message type='chat' to='carol@c.test' id='m{number}'><body>{number}</body></message>"
        ));
    }
    for number in 1..=20 {
        carol.waits_for(&format!(
            "<message type='chat' from='alice@a.test/phone' id='m{number}'>\
             <body>{number}</body></message>"
        ));
    }
    carol.says("<message type='chat' to='alice@a.test/phone' id='r'><body>Hi!</body></message>");
    alice.waits_for(
        "<message type='chat' from='carol@c.test/desk' id='r'><body>Hi!</body></message>",
    );

    // Questions come back answered, also from the other server itself.
    alice.gets(
        "<iq type='get' id='ping' to='c.test'><ping xmlns='urn:xmpp:ping'/></iq>",
        "<iq type='result' from='c.test'/>",
    );

    // Carol goes, and Alice sees it.
    carol.leaves();
    alice.waits_for("<presence type='unavailable' from='carol@c.test/desk'/>");
}
