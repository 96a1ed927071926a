//! Alice reads on her phone; bob may know how far, and her desk does (XEP-0490).

use crate::world::World;

const MDS: &str = "urn:xmpp:mds:displayed:0";

#[test]
fn how_far_one_has_read() {
    let world = World::start();
    let mut phone = world.online("alice@a.test/phone");
    let mut desk = world.online("alice@a.test/desk");
    let mut bob = world.online("bob@b.test/home");
    let info = phone.asks(
        "<iq type='get' id='i' to='alice@a.test'>\
         <query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
    );
    assert!(info.to_string().contains("urn:xmpp:mds:server-assist:0"));
    desk.gets(
        "<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>",
        "<iq type='result' id='c'/>",
    );
    desk.drains();

    // The marker says it to both; each hears what concerns him.
    phone.says(&format!(
        "<message to='bob@b.test' type='chat' id='d'>\
         <displayed xmlns='urn:xmpp:chat-markers:0' id='m1'/><displayed xmlns='{MDS}'>\
         <stanza-id xmlns='urn:xmpp:sid:0' by='alice@a.test' id='77'/></displayed></message>"
    ));
    let heard = bob.waits_for("<message type='chat' from='alice@a.test/phone' id='d'/>");
    assert!(heard.to_string().contains("chat-markers"), "{heard}");
    assert!(!heard.to_string().contains(MDS), "{heard}");
    let copy = desk.waits_for("<message type='chat'><sent xmlns='urn:xmpp:carbons:2'/></message>");
    assert!(copy.to_string().contains("chat-markers"), "{copy}");
    assert!(!copy.to_string().contains(MDS), "{copy}");
    let items = |id: &str| {
        format!(
            "<iq type='get' id='{id}' to='alice@a.test'>\
             <pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='{MDS}'/></pubsub></iq>"
        )
    };
    desk.gets(
        &items("g"),
        &format!(
            "<iq type='result' id='g'><pubsub xmlns='http://jabber.org/protocol/pubsub'>\
             <items node='{MDS}'><item id='bob@b.test'><displayed xmlns='{MDS}'>\
             <stanza-id xmlns='urn:xmpp:sid:0' by='alice@a.test' id='77'/></displayed></item>\
             </items></pubsub></iq>"
        ),
    );
    // §6: how much she has read, and of whom, is nobody's business.
    let refused = bob.asks(&items("b"));
    assert_eq!(refused.attr("type"), Some("error"), "{refused}");
}
