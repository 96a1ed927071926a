//! The maker of Alice's phone, and her contacts, are on another server: the phone is woken all the
//! same (XEP-0357), and they come along when she moves (XEP-0283).

use crate::client::PATIENCE;
use crate::device::Device;
use crate::world::{Plan, World};
use crate::xml::El;
use std::time::Instant;

const APP: &str = "app@c.test/push";
const MOVED: &str = "urn:xmpp:moved:1";

fn servers(more: &str) -> [World; 2] {
    let plan = |domains, more| Plan {
        domains,
        more: format!(
            "[s2s]\npolicy = \"dialback\"\n\
             [outbox]\nretry = \"200ms\"\nretry_longest = \"200ms\"\n{more}"
        ),
        ..Plan::default()
    };
    World::federation([plan(&["a.test", "b.test"], more), plan(&["c.test"], "")])
}

/// The server of the app shows itself to alice's account, as only who does gets requests.
fn app(there: &World, bob: &mut Device) -> Device {
    let mut app = there.online(APP);
    app.says("<presence to='alice@a.test'/>");
    reaches(bob);
    app
}

/// Until the other server answers.
fn reaches(bob: &mut Device) {
    let end = Instant::now() + 4 * PATIENCE;
    loop {
        let ping = "<iq type='get' id='far' to='c.test'><ping xmlns='urn:xmpp:ping'/></iq>";
        let answer = bob.asks(ping);
        if answer.attr("type") == Some("result") {
            return;
        }
        assert!(Instant::now() < end, "{answer}");
    }
}

/// A phone that wants to be woken, and is off.
fn phone(here: &World) {
    let mut phone = here.device("alice@a.test/phone");
    phone.gets(
        "<iq type='set' id='e' to='alice@a.test'>\
         <enable xmlns='urn:xmpp:push:0' jid='app@c.test/push' node='token'/></iq>",
        "<iq type='result' id='e'/>",
    );
    phone.comes_online();
    phone.leaves();
}

fn writes(bob: &mut Device) {
    bob.says("<message type='chat' to='alice@a.test'><body>whisper</body></message>");
    bob.ping();
}

fn is_told(app: &mut Device, count: u32) -> El {
    let asked = app.waits_for(&format!(
        "<iq type='set' id='*' from='alice@a.test' to='{APP}'>\
         <pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='token'><item>\
         <notification xmlns='urn:xmpp:push:0'><x xmlns='jabber:x:data'>\
         <field var='message-count'><value>{count}</value></field></x></notification></item>\
         </publish></pubsub></iq>"
    ));
    assert!(!asked.to_string().contains("whisper"), "{asked}");
    asked
}

/// The same where one of before may have reached it, too: it is asked no more until it answers
/// that.
fn is_told_at_last(app: &mut Device, count: u32) -> El {
    loop {
        let asked = app.waits_for(&format!(
            "<iq type='set' id='*' from='alice@a.test' to='{APP}'>\
             <pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='token'/></pubsub>\
             </iq>"
        ));
        if asked
            .to_string()
            .contains(&format!("<value xmlns='jabber:x:data'>{count}</value>"))
        {
            return asked;
        }
        answers(app, &asked, "result", "");
    }
}

fn answers(app: &mut Device, asked: &El, kind: &str, payload: &str) {
    let id = asked.attr("id").expect("an id");
    app.says(&format!(
        "<iq type='{kind}' id='{id}' to='alice@a.test'>{payload}</iq>"
    ));
}

#[test]
fn a_phone_whose_maker_is_elsewhere() {
    let [here, there] = servers("[push]\npatience = \"10m\"\ntimeout = \"10m\"\n");
    let mut bob = here.online("bob@a.test/home");
    let mut app = self::app(&there, &mut bob);
    phone(&here);
    writes(&mut bob);
    let asked = is_told(&mut app, 1);
    answers(&mut app, &asked, "result", "");
    // The answer is on the same way as what the app says next.
    app.says("<message type='chat' to='bob@a.test/home' id='1'><body>done</body></message>");
    bob.waits_for("<message type='chat' id='1'/>");
    writes(&mut bob);
    let asked = is_told(&mut app, 2);
    answers(&mut app, &asked, "result", "");
    app.says("<message type='chat' to='bob@a.test/home' id='2'><body>done</body></message>");
    bob.waits_for("<message type='chat' id='2'/>");

    // The maker's server is away: that is not its last word.
    there.term();
    drop(app);
    writes(&mut bob);
    there.rise();
    let mut app = self::app(&there, &mut bob);
    writes(&mut bob);
    let asked = is_told_at_last(&mut app, 4);

    // This is.
    answers(
        &mut app,
        &asked,
        "error",
        "<error type='cancel'><item-not-found \
         xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
    );
    app.says("<message type='chat' to='bob@a.test/home' id='3'><body>done</body></message>");
    bob.waits_for("<message type='chat' id='3'/>");
    writes(&mut bob);
    reaches(&mut bob);
    app.hears_nothing();
}

/// It says nothing for so long that it may be asked again.
#[test]
fn a_maker_that_does_not_answer() {
    let [here, there] = servers("[push]\npatience = \"10m\"\ntimeout = \"1s\"\n");
    let mut bob = here.online("bob@a.test/home");
    let mut app = app(&there, &mut bob);
    phone(&here);
    writes(&mut bob);
    is_told(&mut app, 1);
    writes(&mut bob);
    is_told(&mut app, 2);
}

fn asks(new: &mut Device, contact: &str, old: &str) {
    new.says(&format!(
        "<presence type='subscribe' to='{contact}'><moved xmlns='{MOVED}'>\
         <old-jid>{old}</old-jid></moved></presence>"
    ));
}

/// The roster of somebody becomes so.
fn has_push(device: &mut Device, item: &str) {
    device.waits_for(&format!(
        "<iq type='set' id='*'><query xmlns='jabber:iq:roster'>{item}</query></iq>"
    ));
}

#[test]
fn a_contact_elsewhere_comes_along() {
    let [here, there] = servers("");
    let mut old = here.online("alice@a.test/phone");
    let mut bob = there.online("bob@c.test/desk");
    old.befriends(&mut bob);

    // Her old account says nothing: whoever claims to be her is shown like anybody.
    let mut eve = here.online("eve@b.test/desk");
    asks(&mut eve, "bob@c.test", "alice@a.test");
    let shown =
        format!("<presence type='subscribe' from='eve@b.test'><moved xmlns='{MOVED}'/></presence>");
    bob.waits_for(&shown);

    old.gets(
        &format!(
            "<iq type='set' id='p'><pubsub xmlns='http://jabber.org/protocol/pubsub'>\
             <publish node='{MOVED}'><item id='current'><moved xmlns='{MOVED}'>\
             <new-jid>alice@b.test</new-jid></moved></item></publish></pubsub></iq>"
        ),
        "<iq type='result' id='p'/>",
    );
    let mut new = here.online("alice@b.test/phone");
    new.fetches_roster();
    asks(&mut new, "bob@c.test", "alice@a.test");
    has_push(&mut bob, "<item jid='alice@b.test' subscription='from'/>");
    has_push(&mut bob, "<item jid='alice@a.test' subscription='to'/>");
    has_push(
        &mut bob,
        "<item jid='alice@b.test' subscription='from' ask='subscribe'/>",
    );
    old.waits_for("<presence type='unsubscribed' from='bob@c.test'/>");
    new.waits_for("<presence type='subscribed' from='bob@c.test'/>");
    new.waits_for("<presence from='bob@c.test/desk'/>");
    new.waits_for("<presence type='subscribe' from='bob@c.test'/>");
    new.says("<presence type='subscribed' to='bob@c.test'/>");
    bob.waits_for("<presence from='alice@b.test/phone'/>");
}
