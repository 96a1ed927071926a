//! Who gets a copy of what.

use super::*;
use crate::extensions::scene::{Passage, Scene, jid, stanza, text, verdict};
use crate::kept::Place;
use rookery_actors::effect::{Effect, Keep};
use rookery_actors::site::random;
use rookery_storage::record::encode;

const ENABLE: &str =
    "<iq type='set' id='e' to='alice@a.test'><enable xmlns='urn:xmpp:carbons:2'/></iq>";
const BODY: &str = "<body>hi</body>";

/// Alice's devices of these priorities, all of which asked for copies.
fn scene(priorities: &[i8]) -> (Scene, Carbons) {
    let (scene, mut role) = (Scene::of(priorities), Carbons::default());
    for number in 0..priorities.len() as u32 {
        let fx = scene.ask(&mut role, number, ENABLE);
        assert!(
            fx.delivered(DeviceId(number))
                .all(|it| it.contains("type='result'"))
        );
        assert_eq!(fx.list().len(), 1);
    }
    (scene, role)
}

/// The devices that are given a copy, and the copies.
fn copies(role: &mut Carbons, scene: &Scene, mut passage: Passage) -> Vec<(u32, String)> {
    passage.show(|pass, fx| role.copy(pass, scene.view(), fx));
    let copy = |effect: &Effect| match effect {
        Effect::Deliver {
            devices,
            bytes,
            keep,
        } => {
            let expected = match (passage.direction, passage.marks.kept.clone()) {
                (_, None) => Keep::No,
                (Direction::In, Some(kept)) => Keep::Archived(kept),
                (Direction::Out, Some(kept)) => Keep::Sent(kept),
            };
            assert_eq!(*keep, expected);
            (devices[0].0, String::from_utf8_lossy(bytes).into_owned())
        }
        other => panic!("{other:?}"),
    };
    passage.fx.list().iter().map(copy).collect()
}

fn told(role: &mut Carbons, scene: &Scene, message: &str) -> Vec<u32> {
    let passage = Passage::incoming(scene, message);
    let copies = copies(role, scene, passage).into_iter();
    copies.map(|(device, _)| device).collect()
}

fn told_of_sent(role: &mut Carbons, scene: &Scene, message: &str) -> Vec<u32> {
    let passage = Passage::outgoing(scene, message);
    let copies = copies(role, scene, passage).into_iter();
    copies.map(|(device, _)| device).collect()
}

fn incoming(kind: &str, inside: &str) -> String {
    format!("<message to='alice@a.test/r0' from='bob@b.test/x' type='{kind}'>{inside}</message>")
}

fn outgoing(kind: &str, inside: &str) -> String {
    format!("<message to='bob@b.test/x' id='m' type='{kind}'>{inside}</message>")
}

#[test]
fn a_copy_is_the_message_wrapped_by_the_account() {
    let (scene, mut role) = scene(&[0, 0]);
    let message = incoming("chat", "<body>a &lt; b</body>");
    let passage = Passage::incoming(&scene, &message);
    let received = copies(&mut role, &scene, passage);
    let inner = message.replace("<message", "<message xmlns='jabber:client'");
    let wrapper = |name: &str, inner: &str| {
        format!(
            "<message to='alice@a.test/r1' from='alice@a.test' type='chat'>\
             <{name} xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>\
             {inner}</forwarded></{name}></message>"
        )
    };
    let read = |text: &str| Element::parse(text, ns::CLIENT).unwrap();
    assert_eq!(received[0].0, 1);
    assert_eq!(read(&received[0].1), read(&wrapper("received", &inner)));

    let mut passage = Passage::outgoing(&scene, &outgoing("chat", BODY));
    let id = MessageId::new(7);
    passage.marks.kept = Some(id.key(scene.account.id, Place::Archive));
    let sent = copies(&mut role, &scene, passage);
    let inner = format!(
        "<message xmlns='jabber:client' to='bob@b.test/x' from='alice@a.test/r0' id='m' \
         type='chat'>{BODY}<stanza-id xmlns='urn:xmpp:sid:0' by='alice@a.test' id='{}'/></message>",
        id.to_text()
    );
    assert_eq!(sent.len(), 1);
    assert_eq!(read(&sent[0].1), read(&wrapper("sent", &inner)));
}

#[test]
fn who_has_the_message_gets_no_copy() {
    let (mut scene, mut role) = scene(&[0, 5, -1]);
    let to = |to: &str| incoming("chat", BODY).replace("alice@a.test/r0", to);
    assert_eq!(told(&mut role, &scene, &to("alice@a.test")), [2]);
    assert_eq!(told(&mut role, &scene, &to("alice@a.test/r1")), [0, 2]);
    assert_eq!(told(&mut role, &scene, &to("alice@a.test/gone")), [2]);
    let nobody = incoming("normal", BODY).replace("/r0", "/gone");
    assert!(told(&mut role, &scene, &nobody).is_empty(), "it is refused");
    // Bound but not available yet: it is told, unless the message waits for it.
    scene.devices.get_mut(DeviceId(1)).unwrap().presence = None;
    assert_eq!(told(&mut role, &scene, &to("alice@a.test")), [1, 2]);
    scene.devices.remove(DeviceId(0));
    assert_eq!(told(&mut role, &scene, &to("alice@a.test")), [2]);
    assert_eq!(
        told_of_sent(&mut role, &scene, &outgoing("chat", BODY)),
        [1, 2]
    );
}

#[test]
fn what_one_tells_oneself_comes_once() {
    let (scene, mut role) = scene(&[0, 0, 0, -1]);
    for (to, others) in [("alice@a.test", vec![3]), ("alice@a.test/r1", vec![2, 3])] {
        let message = format!("<message to='{to}' type='chat'>{BODY}</message>");
        assert!(told_of_sent(&mut role, &scene, &message).is_empty());
        let mut passage = Passage::outgoing(&scene, &message);
        passage.direction = Direction::In;
        let copies = copies(&mut role, &scene, passage).into_iter();
        assert_eq!(copies.map(|(device, _)| device).collect::<Vec<_>>(), others);
    }
}

#[test]
fn the_rules() {
    let (scene, mut role) = scene(&[0, 0]);
    let room = "<x xmlns='http://jabber.org/protocol/muc#user'/>";
    let invite = "<x xmlns='http://jabber.org/protocol/muc#user'><invite to='a@b'/></x>";
    // Type, content, whether it is copied when received, and when sent.
    let cases = [
        ("chat", BODY.to_owned(), true, true),
        ("chat", "<x xmlns='u'/>".into(), true, true),
        ("normal", BODY.into(), true, true),
        ("normal", "<x xmlns='u'/>".into(), false, false),
        (
            "normal",
            "<received xmlns='urn:xmpp:receipts' id='1'/>".into(),
            true,
            true,
        ),
        (
            "normal",
            "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>".into(),
            true,
            true,
        ),
        (
            "normal",
            "<gone xmlns='http://jabber.org/protocol/chatstates'/>".into(),
            true,
            true,
        ),
        (
            "normal",
            "<x xmlns='jabber:x:conference' jid='r@m'/>".into(),
            true,
            true,
        ),
        ("normal", invite.into(), true, true),
        ("headline", BODY.into(), false, false),
        ("groupchat", BODY.into(), false, false),
        (
            "groupchat",
            "<received xmlns='urn:xmpp:receipts' id='1'/>".into(),
            false,
            false,
        ),
        ("error", BODY.into(), false, false),
        ("chat", format!("{BODY}{room}"), false, true),
        (
            "chat",
            format!("{BODY}<private xmlns='urn:xmpp:carbons:2'/>"),
            false,
            false,
        ),
        (
            "chat",
            format!("{BODY}<no-copy xmlns='urn:xmpp:hints'/>"),
            false,
            false,
        ),
    ];
    for (kind, inside, received, sent) in cases {
        let got = told(&mut role, &scene, &incoming(kind, &inside));
        assert_eq!(got == [1], received, "{kind} {inside}");
        let got = told_of_sent(&mut role, &scene, &outgoing(kind, &inside));
        assert_eq!(got == [1], sent, "{kind} {inside}");
    }
    assert!(told(&mut role, &scene, "<presence from='bob@b.test/x'/>").is_empty());
}

#[test]
fn an_error_is_copied_if_what_it_answers_was() {
    let (scene, mut role) = scene(&[0, 0]);
    let error = "<message from='bob@b.test' to='alice@a.test/r0' id='m' type='error'>\
                 <error type='cancel'/></message>";
    assert!(told(&mut role, &scene, error).is_empty());
    told_of_sent(&mut role, &scene, &outgoing("headline", BODY));
    assert!(told(&mut role, &scene, error).is_empty());
    told_of_sent(&mut role, &scene, &outgoing("chat", BODY));
    assert_eq!(told(&mut role, &scene, error), [1]);
    let other = error.replace("bob@", "eve@");
    assert!(told(&mut role, &scene, &other).is_empty());
    // Only the latest are remembered.
    for number in 0..64 {
        let later = outgoing("chat", BODY).replace("'m'", &format!("'m{number}'"));
        told_of_sent(&mut role, &scene, &later);
    }
    assert!(told(&mut role, &scene, error).is_empty());
}

/// §6.1: who is not that occupant cannot answer.
#[test]
fn what_is_said_privately_in_a_room_is_for_devices_that_are_there() {
    let (mut scene, mut role) = scene(&[0, 0, 0]);
    let inside = format!("{BODY}<x xmlns='http://jabber.org/protocol/muc#user'/>");
    let message = outgoing("chat", &inside).replace("bob@b.test/x", "room@m.test/bob");
    assert_eq!(
        told_of_sent(&mut role, &scene, &message),
        [1, 2],
        "not known"
    );
    for (number, occupant) in [(0, "ann"), (1, "ann"), (2, "other")] {
        let occupant = jid(&format!("room@m.test/{occupant}"));
        scene
            .devices
            .get_mut(DeviceId(number))
            .unwrap()
            .remember_directed(&occupant);
    }
    assert_eq!(told_of_sent(&mut role, &scene, &message), [1]);
}

#[test]
fn it_is_on_until_it_is_off_or_the_device_is_gone() {
    let (scene, mut role) = scene(&[0, 0, 0]);
    let message = incoming("chat", BODY);
    let disable = ENABLE.replace("enable", "disable");
    for _ in 0..2 {
        let mut fx = scene.ask(&mut role, 1, &disable);
        assert!(
            fx.delivered(DeviceId(1))
                .all(|it| it.contains("type='result'"))
        );
        assert_eq!(fx.take_notes()[..], [(DeviceId(1), false)]);
    }
    assert_eq!(told(&mut role, &scene, &message), [2]);
    let mut fx = scene.ask(&mut role, 1, ENABLE);
    assert_eq!(fx.take_notes()[..], [(DeviceId(1), true)]);
    assert_eq!(told(&mut role, &scene, &message), [2, 1]);
    role.gone(DeviceId(2), scene.view(), &mut scene.effects());
    assert_eq!(told(&mut role, &scene, &message), [1]);
    // As after a panic.
    let mut role = Carbons::default();
    role.rejoined(DeviceId(2), scene.view(), &mut scene.effects());
    assert_eq!(told(&mut role, &scene, &message), [2]);
    // XEP-0386.
    let mut fx = scene.effects();
    for wish in [
        Element::new(ns::BIND2, "bind"),
        Element::new(ns::CARBONS, "enable"),
    ] {
        assert_eq!(role.bind(DeviceId(1), &wish, scene.view(), &mut fx), None);
    }
    assert_eq!(fx.take_notes()[..], [(DeviceId(1), true)]);
    assert_eq!(told(&mut role, &scene, &message), [2, 1]);
}

#[test]
fn others_switch_nothing() {
    let (scene, mut role) = (Scene::of(&[0]), Carbons::default());
    let request = stanza(ENABLE).with_from(jid("eve@x.test/r"));
    assert_eq!(
        scene.ask_account(&mut role, &request),
        "service-unavailable"
    );
    for odd in [
        ENABLE.replace("enable", "other"),
        ENABLE.replace("'set'", "'get'"),
    ] {
        let fx = scene.ask(&mut role, 0, &odd);
        let answer = stanza(&fx.delivered(DeviceId(0)).next().unwrap());
        assert_eq!(verdict(&answer), "bad-request");
    }
    assert!(role.enabled.is_empty());
}

/// After a restart, from the archive.
#[test]
fn a_copy_that_is_delivered_again_is_a_copy() {
    let (scene, role) = scene(&[0, 0, -1]);
    let id = MessageId::new(u64::from_be_bytes(random()) >> 8);
    let key = id.key(scene.account.id, Place::Archive);
    let row = |message| encode(&message).unwrap();
    let again = |device, row: &[u8]| {
        let stanza = role.again(DeviceId(device), &key, row, scene.view());
        stanza.map(|stanza| text(&stanza))
    };
    let received = row(Message::incoming(&stanza(&incoming("chat", BODY))).unwrap());
    assert_eq!(again(0, &received), None, "it is the message itself");
    assert_eq!(again(7, &received), None, "it wants none");
    let copy = again(1, &received).unwrap();
    for part in [
        "<received",
        "<delay",
        "to='alice@a.test/r1'",
        "<stanza-id",
        BODY,
    ] {
        assert!(copy.contains(part), "{part}: {copy}");
    }
    let bare = incoming("chat", BODY).replace("/r0", "");
    let bare = row(Message::incoming(&stanza(&bare)).unwrap());
    assert_eq!(again(1, &bare), None);
    assert!(again(2, &bare).unwrap().contains("<received"));
    let sent = row(Message::outgoing(&stanza(&outgoing("chat", BODY))).unwrap());
    assert!(again(0, &sent).unwrap().contains("<sent"));
}
