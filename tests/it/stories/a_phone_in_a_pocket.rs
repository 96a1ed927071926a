//! Alice puts her phone away (XEP-0352): it is left alone until somebody wants her, and then it
//! hears the rest as well.

use crate::client::{QUIET, Silence};
use crate::device::Device;
use crate::sasl2::{self, agent, enter};
use crate::world::{Plan, World, password};
use std::net::Shutdown;

const AWAY: &str = "<inactive xmlns='urn:xmpp:csi:0'/>";
const BACK: &str = "<active xmlns='urn:xmpp:csi:0'/>";
const PHONE: &str = "alice@a.test/phone";

/// Nothing wakes it: no stanza, and no question whether it has any.
#[track_caller]
fn sleeps(phone: &mut Device) {
    let heard = phone.client.hear_within(QUIET * 2);
    assert!(matches!(heard, Err(Silence::Timeout)), "{heard:?}");
}

/// Bob shows himself to the phone, as somebody who is not in its contacts may.
fn shows(bob: &mut Device, status: &str) {
    bob.says(&format!(
        "<presence to='{PHONE}'><status>{status}</status></presence>"
    ));
}

fn types(bob: &mut Device, state: &str) {
    bob.says(&format!(
        "<message type='chat' to='alice@a.test'>\
         <{state} xmlns='http://jabber.org/protocol/chatstates'/></message>"
    ));
}

fn status(status: &str) -> String {
    format!("<presence from='bob@b.test/home'><status>{status}</status></presence>")
}

#[test]
fn a_phone_in_a_pocket() {
    let world = World::start();
    let mut phone = world.online(PHONE);
    let mut bob = world.online("bob@b.test/home");
    let feature = phone.client.features.child("urn:xmpp:csi:0", "csi");
    assert!(feature.is_some(), "{}", phone.client.features);
    phone.says(AWAY);
    // The pong says that this was understood, and is not held.
    phone.ping();

    for text in ["here", "busy", "bored"] {
        shows(&mut bob, text);
        types(&mut bob, "composing");
    }
    types(&mut bob, "paused");
    bob.ping();
    sleeps(&mut phone);

    // What matters wakes it; it hears the last of what it missed, and in its order.
    bob.says("<message type='chat' to='alice@a.test' id='m'><body>alice?</body></message>");
    phone.hears(&status("bored"));
    phone.hears(
        "<message type='chat' from='bob@b.test/home'>\
         <paused xmlns='http://jabber.org/protocol/chatstates'/></message>",
    );
    phone.hears("<message type='chat' id='m'><body>alice?</body></message>");
    sleeps(&mut phone);

    // It sleeps on, until somebody looks at it. What it asks next is answered behind the rest.
    shows(&mut bob, "gone");
    bob.ping();
    sleeps(&mut phone);
    phone.says(BACK);
    phone.says("<iq type='get' id='p' to='a.test'><ping xmlns='urn:xmpp:ping'/></iq>");
    phone.hears(&status("gone"));
    phone.hears("<iq type='result' id='p'/>");
    shows(&mut bob, "seen");
    phone.hears(&status("seen"));
}

/// A request, an error, an IQ: each wakes it.
#[test]
fn what_wakes_it() {
    let world = World::start();
    let mut phone = world.online(PHONE);
    let mut bob = world.online("bob@b.test/home");
    phone.says(&format!("<presence to='{}'/>", bob.jid()));
    bob.waits_for(&format!("<presence from='{PHONE}'/>"));
    phone.says(AWAY);
    phone.drains();
    let to = format!("to='{PHONE}'");
    let rows = [
        "<presence type='subscribe' to='alice@a.test'/>".to_owned(),
        format!("<message type='error' {to}/>"),
        format!("<iq type='get' id='i' {to}><query xmlns='u'/></iq>"),
        format!("<message type='chat' {to}><propose xmlns='urn:xmpp:jingle-message:0'/></message>"),
    ];
    for (number, said) in rows.iter().enumerate() {
        let text = number.to_string();
        shows(&mut bob, &text);
        bob.says(said);
        phone.hears(&status(&text));
        let name = said.split([' ', '<']).nth(1).expect("a name");
        let kind = said.split('\'').nth(1).expect("a type");
        phone.hears(&format!("<{name} type='{kind}'/>"));
    }
}

/// Over the bound it hears all of it.
#[test]
fn no_more_is_held_than_the_bound() {
    let world = World::with(Plan {
        more: "[client_state]\nstanzas = 3".into(),
        ..Plan::default()
    });
    let mut phone = world.online(PHONE);
    let mut others: Vec<Device> = (0..3)
        .map(|number| world.online(&format!("bob@b.test/{number}")))
        .collect();
    phone.says(AWAY);
    phone.drains();
    for bob in &mut others[..2] {
        shows(bob, "a");
        shows(bob, "b");
        bob.ping();
    }
    sleeps(&mut phone);
    shows(&mut others[2], "b");
    for number in 0..3 {
        phone.hears(&format!(
            "<presence from='bob@b.test/{number}'><status>b</status></presence>"
        ));
    }
    sleeps(&mut phone);
}

/// A session that waits for its client keeps what is held; its client, when it is back, is awake
/// (XEP-0352 §5.2).
#[test]
fn the_line_breaks_while_it_sleeps() {
    let world = World::start();
    let mut phone = world.online(PHONE);
    let mut bob = world.online("bob@b.test/home");
    phone.says("<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
    let enabled = phone.waits_for("<enabled xmlns='urn:xmpp:sm:3' resume='*'/>");
    let previd = enabled.attr("id").expect("an id").to_string();
    phone.says(AWAY);
    phone.ping();
    shows(&mut bob, "one");
    bob.ping();
    let mut h = 1;
    for crash in [false, true] {
        drop(phone.client.socket().shutdown(Shutdown::Both));
        if crash {
            // An orderly end writes down what is held, although nobody was sent it.
            world.term();
            world.rise();
        } else {
            std::thread::sleep(QUIET);
            shows(&mut bob, "two");
            bob.ping();
        }
        phone = Device::resumed(&world, "alice", &previd, h);
        let told = if crash { "four" } else { "two" };
        phone.waits_for(&status(told));
        phone.ping();
        if !crash {
            shows(&mut bob, "three");
            phone.waits_for(&status("three"));
            phone.says("<r xmlns='urn:xmpp:sm:3'/>");
            phone.waits_for("<a xmlns='urn:xmpp:sm:3'/>");
            // Presence, pong, presence.
            h += 3;
            phone.says(&format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>"));
            phone.says(AWAY);
            phone.ping();
            h += 1;
            phone.says(&format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>"));
            shows(&mut bob, "four");
            bob.ping();
        }
    }
}

/// So does one of which nothing is in memory any more.
#[test]
fn the_server_forgets_it_while_it_sleeps() {
    let world = World::with(Plan {
        more: "[acks]\nsleep = \"20ms\"".into(),
        ..Plan::default()
    });
    let mut phone = world.online(PHONE);
    let mut bob = world.online("bob@b.test/home");
    phone.says("<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
    let enabled = phone.waits_for("<enabled xmlns='urn:xmpp:sm:3' resume='*'/>");
    let previd = enabled.attr("id").expect("an id").to_string();
    phone.says(AWAY);
    phone.ping();
    shows(&mut bob, "one");
    bob.ping();
    drop(phone.client.socket().shutdown(Shutdown::Both));
    std::thread::sleep(QUIET);
    let mut phone = Device::resumed(&world, "alice", &previd, 1);
    phone.waits_for(&status("one"));
    shows(&mut bob, "two");
    phone.waits_for(&status("two"));
}

/// XEP-0386 §4.2: it may go to sleep while it logs in.
#[test]
fn from_the_first_moment() {
    let world = World::start();
    let mut bob = world.online("bob@b.test/home");
    world.account("alice", "a.test");
    let mut client = world.tls();
    client.open().expect("stream");
    let features = client.features.to_string();
    assert!(features.contains("var='urn:xmpp:csi:0'"), "{features}");
    let bind = sasl2::bind("Phone").replace("</bind>", &format!("{AWAY}</bind>"));
    let said = sasl2::plain("alice", &password("alice"), &(agent("phone") + &bind));
    enter(&mut client, &said).expect("an outcome");
    let mut phone = Device::new(client);
    let to = phone.jid();
    bob.says(&format!(
        "<presence to='{to}'><status>here</status></presence>"
    ));
    bob.ping();
    sleeps(&mut phone);
    phone.says(BACK);
    phone.hears(&status("here"));
}
