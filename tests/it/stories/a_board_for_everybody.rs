//! The news of a club, at the server's publish-subscribe service (XEP-0060): alice makes the node,
//! bob asks to be let in, hears what she publishes, and finds it again after a crash.

use crate::device::Device;
use crate::world::{Plan, World};

const SERVICE: &str = "pubsub.a.test";
const PUBSUB: &str = "http://jabber.org/protocol/pubsub";

fn iq(kind: &str, id: &str, inside: &str) -> String {
    format!(
        "<iq type='{kind}' id='{id}' to='{SERVICE}'><pubsub xmlns='{PUBSUB}'>{inside}</pubsub></iq>"
    )
}

fn set(id: &str, inside: &str) -> String {
    iq("set", id, inside)
}

fn result(id: &str) -> String {
    format!("<iq type='result' id='{id}' from='{SERVICE}'/>")
}

fn form(kind: &str, fields: &[(&str, &str)]) -> String {
    let field = |(var, value): &(&str, &str)| {
        format!("<field var='pubsub#{var}'><value>{value}</value></field>")
    };
    let fields: String = fields.iter().map(field).collect();
    format!(
        "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
         <value>{PUBSUB}#{kind}</value></field>{fields}</x>"
    )
}

fn publish(id: &str, item: &str, news: &str) -> String {
    set(
        id,
        &format!(
            "<publish node='news'><item id='{item}'><title xmlns='urn:news'>{news}</title>\
             </item></publish>"
        ),
    )
}

fn event(item: &str) -> String {
    format!(
        "<message from='{SERVICE}' type='headline'><event xmlns='{PUBSUB}#event'>\
         <items node='news'><item id='{item}' publisher='alice@a.test'/></items>\
         </event></message>"
    )
}

/// Whether somebody finds the service where all look for it.
fn finds(device: &mut Device, ask: &str) -> String {
    let answer = device.asks(&format!(
        "<iq type='get' id='d' to='{ask}'>\
         <query xmlns='http://jabber.org/protocol/disco#items'/></iq>"
    ));
    answer.to_string()
}

#[test]
fn a_club_has_its_news() {
    let world = World::start();
    let mut alice = world.online("alice@a.test/phone");
    let mut bob = world.online("bob@b.test/home");
    assert!(finds(&mut alice, "a.test").contains(SERVICE));
    assert!(finds(&mut bob, "b.test").contains("pubsub.b.test"));
    let info = alice.asks(&format!(
        "<iq type='get' id='i' to='{SERVICE}'>\
         <query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
    ));
    let info = info.to_string();
    assert!(
        info.contains("'service'") && info.contains("pubsub#create-nodes"),
        "{info}"
    );
    let configured = form(
        "node_config",
        &[("access_model", "authorize"), ("title", "News")],
    );
    let create = format!("<create node='news'/><configure>{configured}</configure>");
    alice.gets(&set("c", &create), &result("c"));
    // He asks, she lets him in.
    bob.gets(
        &set("s", "<subscribe node='news' jid='bob@b.test'/>"),
        "<iq type='result' id='s'><pubsub xmlns='http://jabber.org/protocol/pubsub'>\
         <subscription node='news' jid='bob@b.test' subscription='pending'/></pubsub></iq>",
    );
    alice.waits_for(&format!(
        "<message from='{SERVICE}'><x xmlns='jabber:x:data' type='form'/></message>"
    ));
    let who = ("subscriber_jid", "bob@b.test");
    let answer = form(
        "subscribe_authorization",
        &[("node", "news"), who, ("allow", "1")],
    );
    alice.says(&format!("<message to='{SERVICE}'>{answer}</message>"));
    bob.waits_for(&format!(
        "<message from='{SERVICE}' type='headline'><event xmlns='{PUBSUB}#event'>\
         <subscription jid='bob@b.test' subscription='subscribed'/></event></message>"
    ));
    alice.gets(&publish("p1", "one", "We meet on Friday."), &result("p1"));
    let heard = bob.waits_for(&event("one"));
    assert!(heard.to_string().contains("We meet on Friday."), "{heard}");
    // The server falls over; all of it stands.
    drop((alice, bob));
    world.kill_9();
    world.rise();
    let mut bob = world.online("bob@b.test/home");
    let items = bob.asks(&iq("get", "g", "<items node='news'/>"));
    assert!(items.to_string().contains("We meet on Friday."), "{items}");
    let mut alice = world.online("alice@a.test/phone");
    alice.gets(&publish("p2", "two", "No, on Monday."), &result("p2"));
    bob.waits_for(&event("two"));
    let mut eve = world.online("eve@a.test/home");
    eve.gets(
        &iq("get", "e", "<items node='news'/>"),
        "<iq type='error' id='e'><error type='auth'>\
         <not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
         <not-subscribed xmlns='http://jabber.org/protocol/pubsub#errors'/></error></iq>",
    );
}

#[test]
fn who_leaves_for_good_leaves_the_board_too() {
    let world = World::start();
    let mut alice = world.online("alice@a.test/phone");
    let mut bob = world.online("bob@b.test/home");
    alice.gets(&set("c", "<create node='news'/>"), &result("c"));
    bob.gets(
        &set("s", "<subscribe node='news' jid='bob@b.test'/>"),
        &result("s"),
    );
    bob.says("<iq type='set' id='r'><query xmlns='jabber:iq:register'><remove/></query></iq>");
    bob.waits_for("<iq type='result' id='r'/>");
    drop(bob);
    world.forget("bob@b.test");
    // Somebody else has the name now.
    let mut bob = world.online("bob@b.test/new");
    alice.gets(&publish("p", "one", "Old members only."), &result("p"));
    bob.ping();
    bob.hears_nothing();
    let mine = bob.asks(&iq("get", "m", "<subscriptions/>"));
    assert!(!mine.to_string().contains("news"), "{mine}");
}

#[test]
fn a_server_may_do_without() {
    let world = World::with(Plan {
        more: "[pubsub.service]\nhost = ''".into(),
        ..Plan::default()
    });
    let mut alice = world.online("alice@a.test/phone");
    assert!(!finds(&mut alice, "a.test").contains("pubsub"));
    alice.gets(
        &set("c", "<create node='news'/>"),
        "<iq type='error' id='c'><error type='cancel'><remote-server-not-found \
         xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
    );
}

/// Nobody logs in there, and nobody lives there.
#[test]
fn the_service_is_no_domain() {
    let world = World::start();
    let mut client = world.tcp();
    client.say(&format!(
        "<?xml version='1.0'?><stream:stream to='{SERVICE}' version='1.0' xmlns='jabber:client' \
         xmlns:stream='http://etherx.jabber.org/streams'>"
    ));
    let refused = client
        .stream_error(crate::client::PATIENCE)
        .expect("an error");
    assert_eq!(refused, "host-unknown");
    let mut alice = world.online("alice@a.test/phone");
    for (to, answer) in [
        ("alice@pubsub.a.test", "item-not-found"),
        ("pubsub.a.test/r", "service-unavailable"),
    ] {
        let refused = alice.asks(&format!(
            "<iq type='get' id='x' to='{to}'><ping xmlns='urn:xmpp:ping'/></iq>"
        ));
        assert_eq!(refused.error().map(|it| it.1), Some(answer), "{to}");
    }
    alice.gets(
        &format!("<iq type='get' id='p' to='{SERVICE}'><ping xmlns='urn:xmpp:ping'/></iq>"),
        &result("p"),
    );
}
