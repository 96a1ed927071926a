//! A bridge to another network: it is made, comes, is away, and returns; it acts for its users as
//! far as it may, and no further.

use crate::bridge::{Bridge, add};
use crate::device::Device;
use crate::world::{Plan, World};

const NAME: &str = "irc.a.test";

fn message(id: &str) -> String {
    format!("<message to='chan@{NAME}' id='{id}' type='chat'><body>{id}</body></message>")
}

#[test]
fn it_comes_is_away_and_returns() {
    let world = World::start();
    let secret = add(&world, "IRC.a.test", "");
    let mut alice = world.online("alice@a.test/phone");

    // It is found before it is there, and whoever asks it something hears that it is away.
    let items = "<query xmlns='http://jabber.org/protocol/disco#items'/>";
    alice.gets(
        &format!("<iq type='get' id='items' to='a.test'>{items}</iq>"),
        "<iq type='result' from='a.test'><query xmlns='http://jabber.org/protocol/disco#items'>\
         <item jid='irc.a.test'/></query></iq>",
    );
    let info = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
    alice.gets(
        &format!("<iq type='get' id='info1' to='{NAME}'>{info}</iq>"),
        "<iq type='error' from='irc.a.test'><error type='wait'>\
         <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
    );

    // It comes, and answers for itself.
    let mut bridge = Bridge::come(&world, NAME, &secret);
    answers_for_itself(&mut alice, &mut bridge);
    contacts(&mut alice, &mut bridge);

    // They talk.
    alice.says(&message("1"));
    bridge.waits_for(&message("1"));
    bridge.says(&format!(
        "<message from='chan@{NAME}/bob' to='alice@a.test' id='r' type='chat'><body>hi</body>\
         </message>"
    ));
    let said = "<message from='chan@irc.a.test/bob' id='r' type='chat'><body>hi</body></message>";
    alice.waits_for(said);

    // It goes. What Alice says then waits, also while the server is killed.
    drop(bridge);
    alice.says(&message("2"));
    alice.says(&message("3"));
    alice.gets(
        "<iq type='get' id='done' to='a.test'><ping xmlns='urn:xmpp:ping'/></iq>",
        "<iq type='result' id='done'/>",
    );
    alice.drains();
    world.kill_9();
    world.rise();
    let mut bridge = Bridge::come(&world, NAME, &secret);
    for id in ["2", "3"] {
        bridge.waits_for(&message(id));
    }
    bridge.hears_nothing();

    // Its secret is nowhere but where it belongs.
    assert!(!world.log().contains(&secret));
    let (_, told) = world.run(&["component", "list"], "");
    assert_eq!(told, "irc.a.test  connected\n");
    let (_, told) = world.run(&["component", "remove", NAME], "");
    assert!(told.contains("no component any more"), "{told}");
    assert_eq!(bridge.ends().as_deref(), Ok("host-gone"));
}

/// The bridge says what it is.
fn answers_for_itself(alice: &mut Device, bridge: &mut Bridge) {
    let info = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
    alice.says(&format!(
        "<iq type='get' id='info2' to='{NAME}'>{info}</iq>"
    ));
    bridge.hears(&format!(
        "<iq type='get' id='info2' from='alice@a.test/phone' to='{NAME}'>{info}</iq>"
    ));
    bridge.says(&format!(
        "<iq type='result' id='info2' from='{NAME}' to='alice@a.test/phone'>\
         <query xmlns='http://jabber.org/protocol/disco#info'>\
         <identity category='gateway' type='irc'/></query></iq>"
    ));
    alice.waits_for(
        "<iq type='result' id='info2'><query xmlns='http://jabber.org/protocol/disco#info'>\
         <identity category='gateway' type='irc'/></query></iq>",
    );
}

/// Somebody there is a contact as any other.
fn contacts(alice: &mut Device, bridge: &mut Bridge) {
    alice.fetches_roster();
    alice.says(&format!("<presence type='subscribe' to='bob@{NAME}'/>"));
    bridge.waits_for(&format!(
        "<presence type='subscribe' from='alice@a.test' to='bob@{NAME}'/>"
    ));
    bridge.says(&format!(
        "<presence type='subscribed' from='bob@{NAME}' to='alice@a.test'/>\
         <presence from='bob@{NAME}/irc' to='alice@a.test'><show>away</show></presence>"
    ));
    alice.waits_for("<presence from='bob@irc.a.test/irc'><show>away</show></presence>");
}

#[test]
fn people_of_another_server_reach_it() {
    let plan = |domains| Plan {
        domains,
        more: "[s2s]\npolicy = \"dialback\"\n".into(),
        ..Plan::default()
    };
    let place = |world: &World| format!("\"irc.a.test\" = [\"{}\"]\n", world.s2s);
    let [here, there] = World::federation_with([plan(&["a.test"]), plan(&["c.test"])], place);
    let secret = add(&here, NAME, "");
    let mut bridge = Bridge::come(&here, NAME, &secret);
    let mut carol = there.online("carol@c.test/desk");
    carol.says(&message("1"));
    bridge.hears(&format!(
        "<message from='carol@c.test/desk' to='chan@{NAME}' id='1' type='chat'>\
         <body>1</body></message>"
    ));
    bridge.says(&format!(
        "<message from='chan@{NAME}' to='carol@c.test' id='2' type='chat'><body>2</body></message>"
    ));
    carol.waits_for("<message from='chan@irc.a.test' id='2' type='chat'><body>2</body></message>");
}

/// Alice and a bridge that may do what bridges may.
fn privileged() -> (World, Device, Bridge) {
    let world = World::start();
    let secret = add(&world, NAME, "bridge");
    let alice = world.online("alice@a.test/phone");
    let mut bridge = Bridge::come(&world, NAME, &secret);
    bridge.hears(
        "<message from='a.test' to='irc.a.test'><privilege xmlns='urn:xmpp:privilege:2'>\
         <perm access='roster' type='both' push='true'/>\
         <perm access='message' type='outgoing'/>\
         <perm access='iq'>\
         <namespace ns='http://jabber.org/protocol/pubsub' type='both'/>\
         <namespace ns='http://jabber.org/protocol/pubsub#owner' type='set'/></perm>\
         <perm access='presence' type='managed_entity'/></privilege></message>",
    );
    (world, alice, bridge)
}

#[test]
fn it_manages_contacts() {
    let (world, mut alice, mut bridge) = privileged();
    // Who was there before it is shown to it.
    bridge.hears("<presence from='alice@a.test/phone' to='irc.a.test'/>");
    alice.fetches_roster();
    bridge.says(
        "<iq type='set' id='s' from='irc.a.test' to='alice@a.test'>\
         <query xmlns='jabber:iq:roster'><item jid='bob@irc.a.test' name='Bob'/></query></iq>",
    );
    alice.hears_push("<item jid='bob@irc.a.test' name='Bob' subscription='none'/>");
    bridge.hears(
        "<iq type='set' from='alice@a.test' to='irc.a.test'><query xmlns='jabber:iq:roster'>\
         <item jid='bob@irc.a.test' name='Bob'/></query></iq>",
    );
    bridge.hears("<iq type='result' id='s' from='alice@a.test' to='irc.a.test'/>");
    bridge.asks(
        "<iq type='get' id='g' from='irc.a.test' to='alice@a.test'>\
         <query xmlns='jabber:iq:roster'/></iq>",
        "<iq type='result' id='g' from='alice@a.test'><query xmlns='jabber:iq:roster'>\
         <item jid='bob@irc.a.test' name='Bob'/></query></iq>",
    );
    // Not as somebody at it, and not those of another domain.
    bridge.asks(
        "<iq type='get' id='g2' from='bob@irc.a.test' to='alice@a.test'>\
         <query xmlns='jabber:iq:roster'/></iq>",
        "<iq type='error' id='g2'/>",
    );
    world.account("bob", "b.test");
    bridge.asks(
        "<iq type='get' id='g3' from='irc.a.test' to='bob@b.test'>\
         <query xmlns='jabber:iq:roster'/></iq>",
        "<iq type='error' id='g3'/>",
    );
    // Coming and going is shown, and nothing between.
    alice.says("<presence><show>dnd</show></presence>");
    let laptop = world.online("alice@a.test/laptop");
    bridge.hears("<presence from='alice@a.test/laptop' to='irc.a.test'/>");
    drop(laptop);
    bridge.hears("<presence type='unavailable' from='alice@a.test/laptop' to='irc.a.test'/>");
}

#[test]
fn it_writes_what_its_users_wrote_there() {
    let (world, mut alice, mut bridge) = privileged();
    alice.gets(
        "<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>",
        "<iq type='result' id='c'/>",
    );
    let privileged = |id: &str, from: &str, to: &str| {
        format!(
            "<message from='irc.a.test' to='a.test' id='{id}'>\
             <privilege xmlns='urn:xmpp:privilege:2'><forwarded xmlns='urn:xmpp:forward:0'>\
             <message xmlns='jabber:client' type='chat' from='{from}' to='{to}' id='in-{id}'>\
             <body>{id}</body></message></forwarded></privilege></message>"
        )
    };
    // Her devices see it as sent from another, and the bridge as sent by her.
    bridge.says(&privileged("1", "alice@a.test", "bob@irc.a.test"));
    alice.waits_for(
        "<message type='chat' from='alice@a.test'><sent xmlns='urn:xmpp:carbons:2'>\
         <forwarded xmlns='urn:xmpp:forward:0'>\
         <message xmlns='jabber:client' from='alice@a.test' to='bob@irc.a.test' id='in-1' \
         type='chat'>\
         <body>1</body></message></forwarded></sent></message>",
    );
    bridge.waits_for("<message from='alice@a.test' to='bob@irc.a.test' id='in-1' type='chat'/>");
    // It is in her archive.
    alice.says("<iq type='set' id='a'><query xmlns='urn:xmpp:mam:2'/></iq>");
    alice.waits_for(
        "<message><result xmlns='urn:xmpp:mam:2'><forwarded xmlns='urn:xmpp:forward:0'>\
         <message xmlns='jabber:client' id='in-1' type='chat'><body>1</body></message>\
         </forwarded></result></message>",
    );
    // Not for devices, strangers, people of other domains, or nobody.
    world.account("bob", "b.test");
    let wrong = [
        "alice@a.test/phone",
        "bob@b.test",
        "x@far.test",
        "nobody@a.test",
        "b.test",
    ];
    for from in wrong {
        bridge.says(&privileged("2", from, "bob@irc.a.test"));
        bridge.waits_for(
            "<message type='error' from='a.test' to='irc.a.test' id='2'><error>\
             <forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>",
        );
    }
}

#[test]
fn it_asks_in_the_name_of_its_users() {
    let (_world, _alice, mut bridge) = privileged();
    bridge.waits_for("<presence from='alice@a.test/phone'/>");
    let ask = |outer: &str, inner: &str, payload: &str| {
        format!(
            "<iq type='{outer}' id='o' from='irc.a.test' to='alice@a.test'>\
             <privileged_iq xmlns='urn:xmpp:privilege:2'>\
             <iq xmlns='jabber:client' {inner}>{payload}</iq></privileged_iq></iq>"
        )
    };
    let publish = "<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='urn:x'>\
                   <item id='i'><x xmlns='urn:x'/></item></publish></pubsub>";
    bridge.asks(
        &ask("set", "type='set' id='p'", publish),
        "<iq type='result' id='o' from='alice@a.test' to='irc.a.test'>\
         <privilege xmlns='urn:xmpp:privilege:2'><forwarded xmlns='urn:xmpp:forward:0'>\
         <iq xmlns='jabber:client' type='result' id='p'/></forwarded></privilege></iq>",
    );
    let items = "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:x'/></pubsub>";
    bridge.asks(
        &ask(
            "get",
            "type='get' id='q' from='alice@a.test' to='alice@a.test'",
            items,
        ),
        "<iq type='result' id='o'><privilege xmlns='urn:xmpp:privilege:2'>\
         <forwarded xmlns='urn:xmpp:forward:0'><iq xmlns='jabber:client' type='result' id='q'>\
         <pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:x'>\
         <item id='i'/></items></pubsub></iq></forwarded></privilege></iq>",
    );
    let vcard = "<vCard xmlns='vcard-temp'/>";
    let delete = "<pubsub xmlns='http://jabber.org/protocol/pubsub#owner'>\
                  <configure node='urn:x'/></pubsub>";
    let refused = [
        // A namespace, and a type, that are not granted.
        ask("get", "type='get' id='q'", vcard),
        ask("get", "type='get' id='q'", delete),
        // Two types, another user, nobody's address, and nothing at all.
        ask("set", "type='get' id='q'", items),
        ask("get", "type='get' id='q' from='bob@a.test'", items),
        ask("get", "type='get' id='q' from='alice@a.test/phone'", items),
        ask("get", "type='get' id='q'", ""),
        ask("get", "type='get' id='q'", &format!("{items}{items}")),
    ];
    for request in refused {
        bridge.asks(
            &request,
            "<iq type='error' id='o'><error>\
             <forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
        );
    }
}

#[test]
fn without_a_privilege_it_may_do_nothing_of_this() {
    let world = World::start();
    let secret = add(&world, NAME, "roster=get");
    let mut alice = world.online("alice@a.test/phone");
    let mut bridge = Bridge::come(&world, NAME, &secret);
    bridge.hears(
        "<message from='a.test'><privilege xmlns='urn:xmpp:privilege:2'>\
         <perm access='roster' type='get' push='true'/></privilege></message>",
    );
    let forbidden = "<error><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    bridge.asks(
        "<iq type='set' id='s' from='irc.a.test' to='alice@a.test'>\
         <query xmlns='jabber:iq:roster'><item jid='bob@irc.a.test'/></query></iq>",
        &format!("<iq type='error' id='s'>{forbidden}</iq>"),
    );
    bridge.asks(
        "<message from='irc.a.test' to='a.test' id='m'>\
         <privilege xmlns='urn:xmpp:privilege:2'><forwarded xmlns='urn:xmpp:forward:0'>\
         <message xmlns='jabber:client' from='alice@a.test' to='x@irc.a.test'/>\
         </forwarded></privilege></message>",
        &format!("<message type='error' id='m'>{forbidden}</message>"),
    );
    bridge.asks(
        "<iq type='get' id='i' from='irc.a.test' to='alice@a.test'>\
         <privileged_iq xmlns='urn:xmpp:privilege:2'><iq xmlns='jabber:client' type='get' id='q'>\
         <pubsub xmlns='http://jabber.org/protocol/pubsub'/></iq></privileged_iq></iq>",
        &format!("<iq type='error' id='i'>{forbidden}</iq>"),
    );
    let laptop = world.online("alice@a.test/laptop");
    drop(laptop);
    bridge.hears_nothing();
    // Nor may a user, who is no component at all.
    alice.says(
        "<message to='a.test' id='m'><privilege xmlns='urn:xmpp:privilege:2'>\
         <forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' \
         from='bob@a.test' to='alice@a.test'><body>x</body></message></forwarded></privilege>\
         </message>",
    );
    alice.waits_for(&format!(
        "<message type='error' id='m'>{forbidden}</message>"
    ));
}
