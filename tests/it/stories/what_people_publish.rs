//! Alice publishes her keys and her mood (XEP-0163); bob's clients hear of what they want to hear
//! of, while they are there and when they come.

use crate::caps::wants;
use crate::device::Device;
use crate::world::World;

const DEVICES: &str = "urn:xmpp:omemo:2:devices";
const MOOD: &str = "http://jabber.org/protocol/mood";

fn publish(id: &str, node: &str, item: &str, payload: &str) -> String {
    format!(
        "<iq type='set' id='{id}'><pubsub xmlns='http://jabber.org/protocol/pubsub'>\
         <publish node='{node}'><item id='{item}'>{payload}</item></publish></pubsub></iq>"
    )
}

fn event(node: &str, inside: &str) -> String {
    format!(
        "<message from='alice@a.test' type='headline'>\
         <event xmlns='http://jabber.org/protocol/pubsub#event'>\
         <items node='{node}'>{inside}</items></event></message>"
    )
}

/// Each may see the other's presence.
fn befriend(one: &mut Device, other: &mut Device) {
    one.fetches_roster();
    other.fetches_roster();
    let_see(one, other);
    let_see(other, one);
    one.drains();
    other.drains();
}

/// One asks to see another's presence, and may.
fn let_see(one: &mut Device, other: &mut Device) {
    let (asker, asked) = (one.bare(), other.bare());
    one.says(&format!("<presence type='subscribe' to='{asked}'/>"));
    other.waits_for(&format!("<presence type='subscribe' from='{asker}'/>"));
    other.says(&format!("<presence type='subscribed' to='{asker}'/>"));
    one.waits_for(&format!("<presence type='subscribed' from='{asked}'/>"));
}

#[test]
fn keys_and_moods_reach_the_clients_that_ask_for_them() {
    let world = World::start();
    let mut alice = world.online("alice@a.test/phone");
    let mut bob = world.online("bob@b.test/home");
    befriend(&mut alice, &mut bob);
    wants(&mut bob, &[DEVICES]);
    bob.drains();
    let list = "<devices xmlns='urn:xmpp:omemo:2'><device id='1'/></devices>";
    alice.gets(
        &publish("k1", DEVICES, "current", list),
        "<iq type='result' id='k1'/>",
    );
    bob.hears(&event(
        DEVICES,
        &format!("<item id='current'>{list}</item>"),
    ));
    // He does not ask for moods.
    let mood = "<mood xmlns='http://jabber.org/protocol/mood'><calm/></mood>";
    alice.gets(
        &publish("m1", MOOD, "m", mood),
        "<iq type='result' id='m1'/>",
    );
    bob.hears_nothing();
    // Alice goes, and the server falls over; what she published stands.
    drop(alice);
    drop(bob);
    world.kill_9();
    world.rise();
    let mut bob = world.device("bob@b.test/work");
    wants(&mut bob, &[DEVICES, MOOD]);
    let mut nodes: Vec<String> = Vec::new();
    while nodes.len() < 2 {
        let heard = bob.waits_for("<message from='alice@a.test' type='headline'/>");
        nodes.push(heard.to_string());
    }
    assert!(nodes.iter().any(|text| text.contains(DEVICES)), "{nodes:?}");
    assert!(nodes.iter().any(|text| text.contains(MOOD)), "{nodes:?}");
    // Whoever writes to her first has her keys, though she is away.
    let mut carol = world.online("carol@a.test/home");
    carol.gets(
        "<iq type='get' id='g' to='alice@a.test'>\
         <pubsub xmlns='http://jabber.org/protocol/pubsub'>\
         <items node='urn:xmpp:omemo:2:devices'/></pubsub></iq>",
        "<iq type='result' id='g' from='alice@a.test'/>",
    );
}

/// Alice writes a diary that one must ask for; she is asked, also when she was away, and answers.
#[test]
fn a_diary_one_must_ask_for() {
    let world = World::start();
    let mut alice = world.online("alice@a.test/phone");
    let mut bob = world.online("bob@b.test/home");
    let pubsub = "http://jabber.org/protocol/pubsub";
    let set = |to: &str, inside: &str| {
        format!("<iq type='set' id='s' to='{to}'><pubsub xmlns='{pubsub}'>{inside}</pubsub></iq>")
    };
    let field = |var: &str, value: &str| {
        format!("<field var='pubsub#{var}'><value>{value}</value></field>")
    };
    let access = field("access_model", "authorize");
    let form = format!("<x xmlns='jabber:x:data' type='submit'>{access}</x>");
    let create = format!("<create node='diary'/><configure>{form}</configure>");
    alice.gets(&set("alice@a.test", &create), "<iq type='result' id='s'/>");
    let entry = "<day xmlns='urn:diary'>Rain.</day>";
    alice.gets(
        &publish("d1", "diary", "one", entry),
        "<iq type='result' id='d1'/>",
    );
    alice.leaves();

    // He asks while she is away; she is asked when she comes.
    let subscribe = set("alice@a.test", "<subscribe node='diary' jid='bob@b.test'/>");
    let answer = bob.asks(&subscribe).to_string();
    assert!(answer.contains("subscription='pending'"), "{answer}");
    let mut alice = world.online("alice@a.test/desk");
    let question = alice
        .waits_for("<message from='alice@a.test'><x xmlns='jabber:x:data' type='form'/></message>");
    let id = question.attr("id").expect("an id").to_owned();
    assert!(question.to_string().contains("bob@b.test"), "{question}");
    let fields = [
        format!("<field var='FORM_TYPE'><value>{pubsub}#subscribe_authorization</value></field>"),
        field("node", "diary"),
        field("subscriber_jid", "bob@b.test"),
        field("allow", "1"),
    ];
    alice.says(&format!(
        "<message to='alice@a.test' id='{id}'><x xmlns='jabber:x:data' type='submit'>{}</x>\
         </message>",
        fields.concat()
    ));
    bob.waits_for(&format!(
        "<message from='alice@a.test' type='headline'><event xmlns='{pubsub}#event'>\
         <subscription node='diary' jid='bob@b.test' subscription='subscribed'/></event></message>"
    ));
    let last = bob.waits_for(&event("diary", "<item id='one'/>"));
    assert!(last.to_string().contains("Rain."), "{last}");
    alice.gets(
        &publish("d2", "diary", "two", entry),
        "<iq type='result' id='d2'/>",
    );
    bob.waits_for(&event("diary", "<item id='two'/>"));
}
