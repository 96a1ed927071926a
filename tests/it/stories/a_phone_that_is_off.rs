//! Alice's phone has no connection, or sleeps too deeply: its maker wakes it, who is told that
//! something waits and nothing more (XEP-0357). The app's server is played by another account.

use crate::client::QUIET;
use crate::device::Device;
use crate::sasl2;
use crate::world::{Plan, World, password};
use crate::xml::El;
use std::net::Shutdown;
use std::time::{Duration, Instant};

const APP: &str = "app@b.test/push";
const ENABLE: &str = "<iq type='set' id='e' to='alice@a.test'>\
    <enable xmlns='urn:xmpp:push:0' jid='app@b.test/push' node='token'>\
    <x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
    <value>http://jabber.org/protocol/pubsub#publish-options</value></field>\
    <field var='secret'><value>s3</value></field></x></enable></iq>";

/// With these settings of `[push]`.
fn world(settings: &str) -> World {
    World::with(Plan {
        more: format!("[push]\n{settings}"),
        ..Plan::default()
    })
}

/// Nothing goes on by itself.
const CALM: &str = "patience = \"10m\"\ntimeout = \"10m\"";

/// The server of the app: it shows itself to alice's account, as only who does gets requests.
fn app(world: &World) -> Device {
    let mut app = world.online(APP);
    app.says("<presence to='alice@a.test'/>");
    app.ping();
    app
}

/// A phone that wants to be woken. It can come back to its session by the id.
fn phone(world: &World) -> (Device, String) {
    let mut phone = world.device("alice@a.test/phone");
    phone.says("<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
    let enabled = phone.waits_for("<enabled xmlns='urn:xmpp:sm:3'/>");
    phone.gets(ENABLE, "<iq type='result' id='e'/>");
    phone.comes_online();
    let id = enabled.attr("id").expect("an id").to_owned();
    (phone, id)
}

fn writes(bob: &mut Device) {
    bob.says("<message type='chat' to='alice@a.test'><body>whisper</body></message>");
    bob.ping();
}

/// The app is told that so many messages wait.
#[track_caller]
fn is_told(app: &mut Device, count: u32) -> El {
    let asked = app.hears(&format!(
        "<iq type='set' id='*' from='alice@a.test' to='{APP}'>\
         <pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='token'><item>\
         <notification xmlns='urn:xmpp:push:0'><x xmlns='jabber:x:data'>\
         <field var='FORM_TYPE'><value>urn:xmpp:push:summary</value></field>\
         <field var='message-count'><value>{count}</value></field></x></notification></item>\
         </publish><publish-options><x xmlns='jabber:x:data'><field var='FORM_TYPE'>\
         <value>http://jabber.org/protocol/pubsub#publish-options</value></field>\
         <field var='secret'><value>s3</value></field></x></publish-options></pubsub></iq>"
    ));
    for secret in ["whisper", "bob"] {
        assert!(!asked.to_string().contains(secret), "{asked}");
    }
    asked
}

fn takes(app: &mut Device, asked: &El) {
    let id = asked.attr("id").expect("an id");
    app.says(&format!("<iq type='result' id='{id}' to='alice@a.test'/>"));
    app.ping();
}

fn refuses(app: &mut Device, asked: &El, condition: &str) {
    let id = asked.attr("id").expect("an id");
    app.says(&format!(
        "<iq type='error' id='{id}' to='alice@a.test'><error type='cancel'>\
         <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
    ));
    app.ping();
}

#[test]
fn a_phone_that_is_off() {
    let world = world(CALM);
    let mut app = app(&world);
    let (mut phone, _) = phone(&world);
    let info = phone.asks(
        "<iq type='get' id='i' to='alice@a.test'>\
         <query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
    );
    assert!(info.to_string().contains("var='urn:xmpp:push:0'"), "{info}");
    phone.leaves();
    let mut bob = world.online("bob@b.test/home");
    writes(&mut bob);
    let first = is_told(&mut app, 1);

    // What comes before the app has answered is told in one.
    writes(&mut bob);
    writes(&mut bob);
    app.hears_nothing();
    takes(&mut app, &first);
    let second = is_told(&mut app, 3);
    takes(&mut app, &second);
    // Nothing is said in what only tells that a message arrived.
    bob.says(
        "<message type='chat' to='alice@a.test'><received xmlns='urn:xmpp:receipts' id='m'/>\
         </message>",
    );
    bob.ping();
    app.hears_nothing();

    // A crash forgets nothing of it.
    world.kill_9();
    world.rise();
    app = self::app(&world);
    bob = world.online("bob@b.test/home");
    writes(&mut bob);
    let third = is_told(&mut app, 4);
    refuses(&mut app, &third, "item-not-found");
    // That was its last word.
    writes(&mut bob);
    app.hears_nothing();
}

/// Somebody wants to be her contact.
#[test]
fn a_request_for_who_is_away() {
    let world = world(CALM);
    let mut app = app(&world);
    let (mut phone, _) = phone(&world);
    let mut bob = world.online("bob@b.test/home");
    let asks = |bob: &mut Device| {
        bob.says("<presence type='subscribe' to='alice@a.test'/>");
        bob.ping();
    };
    // She is there.
    asks(&mut bob);
    app.hears_nothing();
    bob.says("<presence type='unsubscribe' to='alice@a.test'/>");
    phone.leaves();
    asks(&mut bob);
    let asked = app.hears(&format!(
        "<iq type='set' id='*' from='alice@a.test' to='{APP}'>\
         <pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='token'><item>\
         <notification xmlns='urn:xmpp:push:0'><x xmlns='jabber:x:data'>\
         <field var='message-count'><value>0</value></field>\
         <field var='pending-subscription-count'><value>1</value></field></x></notification>\
         </item></publish></pubsub></iq>"
    ));
    assert!(!asked.to_string().contains("bob"), "{asked}");
    takes(&mut app, &asked);
    // It waits already.
    asks(&mut bob);
    app.hears_nothing();
}

/// Its line breaks, or it does not say that it has what it was sent.
#[test]
fn a_phone_without_a_line() {
    let patience = Duration::from_secs(3);
    let world = world("patience = \"3s\"");
    let mut app = app(&world);
    let mut bob = world.online("bob@b.test/home");
    let (mut phone, _) = phone(&world);
    phone.says("<inactive xmlns='urn:xmpp:csi:0'/>");
    phone.drains();
    phone.says("<a xmlns='urn:xmpp:sm:3' h='4'/>");
    // It takes what it is sent: its maker hears nothing.
    writes(&mut bob);
    phone.waits_for("<r xmlns='urn:xmpp:sm:3'/>");
    phone.says("<a xmlns='urn:xmpp:sm:3' h='5'/>");
    std::thread::sleep(patience + QUIET);
    app.hears_nothing();
    // It does not, at first.
    writes(&mut bob);
    let asked = is_told(&mut app, 1);
    takes(&mut app, &asked);
    phone.says("<a xmlns='urn:xmpp:sm:3' h='6'/>");
    phone.ping();
    // Its line breaks.
    drop(phone.client.socket().shutdown(Shutdown::Both));
    std::thread::sleep(QUIET);
    app.hears_nothing();
    writes(&mut bob);
    let asked = is_told(&mut app, 1);
    takes(&mut app, &asked);
    // Somebody calls: that does not wait for an answer.
    for _ in 0..2 {
        bob.says(
            "<message type='chat' to='alice@a.test'>\
             <propose xmlns='urn:xmpp:jingle-message:0' id='c'/>\
             <store xmlns='urn:xmpp:hints'/></message>",
        );
    }
    bob.ping();
    is_told(&mut app, 2);
    is_told(&mut app, 3);
}

/// Its line breaks with a message on its way, and that is told at once: so it is known that the
/// server saw it.
fn loses_its_line(phone: &mut Device, bob: &mut Device, app: &mut Device) {
    writes(bob);
    phone.waits_for("<message type='chat'><body>whisper</body></message>");
    drop(phone.client.socket().shutdown(Shutdown::Both));
    let asked = is_told(app, 1);
    takes(app, &asked);
}

/// Its session waits also when the server was killed.
#[test]
fn a_phone_without_a_line_in_a_crash() {
    let world = world(CALM);
    let mut app = app(&world);
    let mut bob = world.online("bob@b.test/home");
    let (mut phone, _) = phone(&world);
    loses_its_line(&mut phone, &mut bob, &mut app);
    world.kill_9();
    world.rise();
    app = self::app(&world);
    bob = world.online("bob@b.test/home");
    writes(&mut bob);
    is_told(&mut app, 2);
}

/// The server is killed before it could tell: it does so when it is there again, after as long as
/// a client has.
#[test]
fn a_message_on_its_way_in_a_crash() {
    // If the machine is too slow for the app to be back in time.
    for seconds in [2, 6, 12] {
        let world = world(&format!("patience = \"{seconds}s\""));
        let mut bob = world.online("bob@b.test/home");
        let (mut phone, _) = phone(&world);
        bob.says("<message type='chat' to='alice@a.test'><body>whisper</body></message>");
        // Who acknowledges is given what is on the disk.
        phone.waits_for("<message type='chat'><body>whisper</body></message>");
        world.kill_9();
        let begun = Instant::now();
        world.rise();
        let mut app = app(&world);
        if begun.elapsed() < Duration::from_secs(seconds) {
            is_told(&mut app, 1);
            return;
        }
    }
    panic!("the app never came back in time");
}

/// A service that never answers is given up, and so is that of a client that is shut out.
#[test]
fn a_service_is_given_up() {
    let world = world("timeout = \"1s\"\nerrors = 2");
    let mut app = app(&world);
    let mut bob = world.online("bob@b.test/home");
    let enabled = |world: &World| {
        let (mut phone, _) = phone(world);
        phone.leaves();
    };
    enabled(&world);
    for count in 1..=2 {
        writes(&mut bob);
        is_told(&mut app, count);
        std::thread::sleep(Duration::from_millis(1200));
    }
    writes(&mut bob);
    app.hears_nothing();

    let (mut phone, _) = phone(&world);
    let (status, text) = world.run(&["user", "clients", "alice@a.test", "--json"], "");
    assert!(status.success(), "{text}");
    let id = text
        .split("\"id\":")
        .nth(1)
        .and_then(|it| it.split('"').nth(1));
    let id = id.expect("a client");
    let (status, text) = world.run(&["user", "clients", "alice@a.test", "--revoke", id], "");
    assert!(status.success(), "{text}");
    phone.waits_for_the_end(&["not-authorized"]);
    writes(&mut bob);
    app.hears_nothing();
    // Nor is there anything after a restart.
    world.term();
    world.rise();
    app = self::app(&world);
    bob = world.online("bob@b.test/home");
    writes(&mut bob);
    app.hears_nothing();
}

/// A lost phone is shut out while nobody is there.
#[test]
fn a_lost_phone_is_woken_no_more() {
    let world = world(CALM);
    world.account("alice", "a.test");
    let mut client = world.tls();
    client.open().expect("stream");
    let wishes = sasl2::agent("phone") + &sasl2::bind("Phone");
    let said = sasl2::plain("alice", &password("alice"), &wishes);
    sasl2::enter(&mut client, &said).expect("an outcome");
    let mut phone = Device::new(client);
    phone.gets(ENABLE, "<iq type='result' id='e'/>");
    phone.leaves();
    let mut app = app(&world);
    let mut bob = world.online("bob@b.test/home");
    writes(&mut bob);
    let asked = is_told(&mut app, 1);
    takes(&mut app, &asked);
    world.term();
    world.rise();
    let (_, text) = world.run(&["user", "clients", "alice@a.test"], "");
    let id = text.lines().find(|line| line.contains("Alice's phone"));
    let id = id.and_then(|line| line.split(' ').next()).expect("an id");
    let (status, text) = world.run(&["user", "clients", "alice@a.test", "--revoke", id], "");
    assert!(status.success(), "{text}");
    app = self::app(&world);
    bob = world.online("bob@b.test/home");
    writes(&mut bob);
    app.hears_nothing();
}

/// Alice does not want to hear of everything (XEP-0492). A room is played by bob's account: what
/// matters of it here is how its messages look.
#[test]
fn what_she_does_not_want_to_hear_of() {
    let world = world(CALM);
    let mut app = app(&world);
    let mut bob = world.online("bob@b.test/home");
    let (mut phone, _) = phone(&world);
    let to = phone.jid();
    phone.says("<presence to='bob@b.test/ally'/>");
    phone.ping();
    loses_its_line(&mut phone, &mut bob, &mut app);
    let mut desk = world.device("alice@a.test/desk");
    let mut wants = |setting: &str| {
        desk.gets(
            &format!(
                "<iq type='set' id='b'><pubsub xmlns='http://jabber.org/protocol/pubsub'>\
                 <publish node='urn:xmpp:bookmarks:1'><item id='bob@b.test'>\
                 <conference xmlns='urn:xmpp:bookmarks:1'><extensions>\
                 <notify xmlns='urn:xmpp:notification-settings:1'>{setting}</notify>\
                 </extensions></conference></item></publish></pubsub></iq>"
            ),
            "<iq type='result' id='b'/>",
        );
        // What is asked of the bookmarks next is answered when they have been looked at.
        desk.asks(
            "<iq type='get' id='g'><pubsub xmlns='http://jabber.org/protocol/pubsub'>\
             <items node='urn:xmpp:bookmarks:1'/></pubsub></iq>",
        );
    };
    let mut told = |bob: &mut Device, kind: &str, inside: &str, count: Option<u32>| {
        bob.says(&format!(
            "<message type='{kind}' to='{to}'>{inside}</message>"
        ));
        bob.ping();
        match count {
            Some(count) => {
                let asked = is_told(&mut app, count);
                takes(&mut app, &asked);
            }
            None => app.hears_nothing(),
        }
    };
    let (chat, room) = ("chat", "groupchat");
    let body = "<body>whisper</body>";
    told(&mut bob, room, body, Some(2));
    wants("<never/>");
    told(&mut bob, room, body, None);
    told(&mut bob, chat, body, None);
    wants("<never/><on-mention identity-category='client' identity-type='phone'/>");
    told(&mut bob, room, body, None);
    told(&mut bob, room, "<body>Ally: whisper</body>", Some(3));
    let mention =
        "<reference xmlns='urn:xmpp:reference:0' type='mention' uri='xmpp:alice@a.test'/>";
    told(&mut bob, room, &format!("{body}{mention}"), Some(4));
    let reply = "<reply xmlns='urn:xmpp:reply:0' to='bob@b.test/ally' id='m'/>";
    told(&mut bob, room, &format!("{body}{reply}"), Some(5));
    wants("");
    told(&mut bob, chat, body, Some(6));
    let call = "<propose xmlns='urn:xmpp:jingle-message:0' id='c'/><store xmlns='urn:xmpp:hints'/>";
    wants("<never/>");
    told(&mut bob, chat, call, Some(7));
}
