//! Alice's history: what she and Bob said is there on a new device (XEP-0313), page by page; she
//! looks for a word, takes a message back, keeps one conversation out, and deletes the rest.

use crate::device::Device;
use crate::world::World;
use crate::xml::{CLIENT, El};

const MAM: &str = "urn:xmpp:mam:2";
const FORWARD: &str = "urn:xmpp:forward:0";
const RSM: &str = "http://jabber.org/protocol/rsm";

/// What an archive gives: the results and the end of it.
struct Page {
    results: Vec<El>,
    fin: El,
}

impl Page {
    fn of(device: &mut Device, fields: &str, rest: &str) -> Page {
        let form = format!(
            "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'>\
             <value>{MAM}</value></field>{fields}</x>"
        );
        device.says(&format!(
            "<iq type='set' id='page'><query xmlns='{MAM}' queryid='p'>{form}{rest}</query></iq>"
        ));
        let fin =
            device.waits_for("<iq type='result' id='page'><fin xmlns='urn:xmpp:mam:2'/></iq>");
        let results = device.drains();
        Page { results, fin }
    }

    /// What was said in the messages, in the order in which they came.
    fn bodies(&self) -> String {
        let body = |message: &El| {
            let path = [(MAM, "result"), (FORWARD, "forwarded"), (CLIENT, "message")];
            let body = path
                .iter()
                .chain(&[(CLIENT, "body")])
                .try_fold(message, |el, (ns, name)| el.child(ns, name));
            body.map_or("-".to_owned(), |body| body.text.clone())
        };
        self.results.iter().map(body).collect::<Vec<_>>().join(" ")
    }

    fn set(&self, name: &str) -> String {
        let set = self
            .fin
            .child(MAM, "fin")
            .and_then(|fin| fin.child(RSM, "set"));
        let found = set.and_then(|set| set.child(RSM, name));
        found.map(|el| el.text.clone()).unwrap_or_default()
    }

    fn is_complete(&self) -> bool {
        let fin = self.fin.child(MAM, "fin").expect("a fin");
        fin.attr("complete") == Some("true")
    }
}

fn max(max: u32, rest: &str) -> String {
    format!("<set xmlns='{RSM}'><max>{max}</max>{rest}</set>")
}

fn field(name: &str, value: &str) -> String {
    format!("<field var='{name}'><value>{value}</value></field>")
}

fn says(device: &mut Device, to: &str, id: &str, body: &str) {
    device.says(&format!(
        "<message to='{to}' type='chat' id='{id}'><body>{body}</body></message>"
    ));
}

#[test]
fn a_new_device_reads_what_was_said() {
    let world = World::start();
    let mut alice = world.online("alice@a.test/phone");
    let mut bob = world.online("bob@b.test/home");
    says(&mut alice, "bob@b.test", "m1", "one");
    bob.waits_for("<message type='chat' id='m1'><body>one</body></message>");
    says(&mut bob, "alice@a.test", "m2", "two");
    alice.waits_for("<message type='chat' id='m2'><body>two</body></message>");
    alice.says(
        "<message to='bob@b.test' type='chat'>\
         <composing xmlns='http://jabber.org/protocol/chatstates'/></message>",
    );
    says(&mut alice, "carol@b.test", "m3", "three");
    says(&mut alice, "alice@a.test", "m4", "four");
    says(&mut alice, "bob@b.test", "m5", "five");
    alice.ping();

    // No wait: what was sent is found at once, from any device.
    let mut desk = world.device("alice@a.test/desk");
    let all = Page::of(&mut desk, "", "");
    assert_eq!(all.bodies(), "one two three four five");
    assert!(all.is_complete());
    assert_eq!(all.set("count"), "5");
    all.results[1]
        .fits(&El::parse(
            "<message from='alice@a.test' to='alice@a.test/desk'>\
             <result xmlns='urn:xmpp:mam:2' queryid='p' id='*'>\
             <forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='*'/>\
             <message xmlns='jabber:client' from='bob@b.test/home' to='alice@a.test' id='m2' \
             type='chat'><body>two</body></message></forwarded></result></message>",
        ))
        .expect("the message as it came");

    reads_in_parts(&mut desk);

    // The archive lives through a crash, and so does its end.
    world.kill_9();
    world.rise();
    let mut desk = world.device("alice@a.test/desk");
    assert_eq!(Page::of(&mut desk, "", "").bodies(), all.bodies());
    let ends = desk.gets(
        "<iq type='get' id='ends'><metadata xmlns='urn:xmpp:mam:2'/></iq>",
        "<iq type='result' id='ends'><metadata xmlns='urn:xmpp:mam:2'>\
         <start id='*' timestamp='*'/><end id='*' timestamp='*'/></metadata></iq>",
    );
    let end = ends
        .child(MAM, "metadata")
        .and_then(|it| it.child(MAM, "end"));
    assert_eq!(
        end.and_then(|end| end.attr("id")),
        Some(all.set("last").as_str())
    );
}

fn reads_in_parts(desk: &mut Device) {
    // Page by page, from either end, also flipped.
    let first = Page::of(desk, "", &max(2, ""));
    assert_eq!(
        (first.bodies().as_str(), first.is_complete()),
        ("one two", false)
    );
    let next = max(2, &format!("<after>{}</after>", first.set("last")));
    let next = Page::of(desk, "", &next);
    assert_eq!(next.bodies(), "three four");
    let last = Page::of(desk, "", &(max(2, "<before/>") + "<flip-page/>"));
    assert_eq!(last.bodies(), "five four");

    // One conversation; and what she told herself.
    let with = |device: &mut Device, jid: &str| Page::of(device, &field("with", jid), "").bodies();
    assert_eq!(with(desk, "bob@b.test"), "one two five");
    assert_eq!(with(desk, "alice@a.test"), "four");

    // A word.
    let word = field("{urn:xmpp:fulltext:0}fulltext", "FIVE");
    assert_eq!(Page::of(desk, &word, "").bodies(), "five");
}

#[test]
fn what_is_taken_back_kept_out_and_deleted() {
    let world = World::start();
    let mut alice = world.online("alice@a.test/phone");
    let mut bob = world.online("bob@b.test/home");
    says(&mut alice, "bob@b.test", "m1", "a secret");
    says(&mut alice, "bob@b.test", "m2", "harmless");
    alice.says(
        "<message to='bob@b.test' type='chat' id='r1'>\
         <retract xmlns='urn:xmpp:message-retract:1' id='m1'/></message>",
    );
    bob.waits_for("<message type='chat' id='r1'/>");
    // In both archives a tombstone stands for it.
    for device in [&mut alice, &mut bob] {
        device.drains();
        let all = Page::of(device, "", "");
        assert_eq!(all.bodies(), "- harmless -");
        let stone = all.results[0].to_string();
        assert!(
            stone.contains("<retracted") && stone.contains("r1"),
            "{stone}"
        );
    }

    // Bob's words are kept out from now on.
    alice.gets(
        "<iq type='set' id='p'><prefs xmlns='urn:xmpp:mam:2' default='always'><always/>\
         <never><jid>bob@b.test</jid></never></prefs></iq>",
        "<iq type='result' id='p'><prefs xmlns='urn:xmpp:mam:2' default='always'><always/>\
         <never><jid>bob@b.test</jid></never></prefs></iq>",
    );
    says(&mut bob, "alice@a.test", "m4", "between us");
    alice.waits_for("<message type='chat' id='m4'><body>between us</body></message>");
    says(&mut alice, "alice@a.test", "m5", "a note");
    alice.waits_for("<message type='chat' id='m5'/>");
    let all = Page::of(&mut alice, "", "");
    assert_eq!(all.bodies(), "- harmless - a note");

    // Up to the retraction, then everything.
    let third = all.results[2]
        .child(MAM, "result")
        .and_then(|it| it.attr("id"));
    let third = third.expect("an id").to_owned();
    let trim = |inside: &str| {
        format!("<iq type='set' id='t'><trim xmlns='urn:xmpp:mamtrim:0'>{inside}</trim></iq>")
    };
    alice.gets(
        &trim(&format!("<id>{third}</id>")),
        "<iq type='result' id='t'/>",
    );
    assert_eq!(Page::of(&mut alice, "", "").bodies(), "a note");
    alice.gets(&trim(""), "<iq type='result' id='t'/>");
    assert_eq!(Page::of(&mut alice, "", "").bodies(), "");
    alice.gets(
        "<iq type='get' id='ends'><metadata xmlns='urn:xmpp:mam:2'/></iq>",
        "<iq type='result' id='ends'><metadata xmlns='urn:xmpp:mam:2'/></iq>",
    );
    assert!(
        !Page::of(&mut bob, "", "").bodies().is_empty(),
        "his history is his own"
    );
}

#[test]
fn what_the_archive_says_of_itself() {
    let world = World::start();
    let mut alice = world.device("alice@a.test/phone");
    let info = alice.asks(
        "<iq type='get' id='info' to='alice@a.test'>\
         <query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
    );
    let info = info.to_string();
    for feature in [
        "urn:xmpp:mam:2",
        "urn:xmpp:mam:2#extended",
        "urn:xmpp:mam:2#groupchat-field",
        "urn:xmpp:sid:0",
        "urn:xmpp:fulltext:0",
        "urn:xmpp:mamtrim:0",
        "urn:xmpp:message-retract:1#tombstone",
    ] {
        assert!(
            info.contains(&format!("var='{feature}'")),
            "{feature}: {info}"
        );
    }
    let form = alice.asks("<iq type='get' id='form'><query xmlns='urn:xmpp:mam:2'/></iq>");
    assert!(form.to_string().contains("before-id"), "{form}");
    alice.gets(
        "<iq type='set' id='odd'><query xmlns='urn:xmpp:mam:2'><x xmlns='jabber:x:data' \
         type='submit'><field var='FORM_TYPE'><value>urn:xmpp:mam:2</value></field>\
         <field var='{urn:x}mood'><value>happy</value></field></x></query></iq>",
        "<iq type='error' id='odd'><error type='cancel'>\
         <feature-not-implemented xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
    );
}
