//! Who is told of what, and when a service has had enough.

mod answers;

use super::*;
use crate::extensions::scene::{NOW, Passage, Scene, jid, said, stanza, text, verdict};
use rookery_actors::effect::Effect;
use rookery_protocol::jid::Jid;

const APP: &str = "push.test";
const BODY: &str = "<body>secret words</body>";
const RESULT: &str = "<iq type='result'/>";

/// Alice's phone r0 enabled a push service; the desk r1 did not.
fn scene() -> (Scene, Push) {
    let mut scene = Scene::of(&[0, 0]);
    for device in scene.devices.iter_mut() {
        device.acknowledges = true;
    }
    let mut role = Push::default();
    assert_eq!(
        enable(&scene, &mut role, "jid='push.test' node='n'"),
        "result"
    );
    (scene, role)
}

/// What the server says to `<enable/>` of r0.
fn enable(scene: &Scene, role: &mut Push, attributes: &str) -> String {
    enable_with(scene, role, attributes, "")
}

fn enable_with(scene: &Scene, role: &mut Push, attributes: &str, inside: &str) -> String {
    ask(scene, role, "enable", attributes, inside)
}

fn ask(scene: &Scene, role: &mut Push, name: &str, attributes: &str, inside: &str) -> String {
    let fx = scene.ask(
        role,
        0,
        &format!(
            "<iq type='set' id='e' to='alice@a.test'>\
             <{name} xmlns='urn:xmpp:push:0' {attributes}>{inside}</{name}></iq>"
        ),
    );
    let answer = fx.delivered(DeviceId(0)).next().expect("an answer");
    verdict(&stanza(&answer)).to_owned()
}

fn message(inside: &str) -> String {
    format!("<message to='alice@a.test' from='bob@b.test/x' type='chat'>{inside}</message>")
}

/// A message arrives and reaches these devices; the notifications that are sent, and the timers.
fn arrives(scene: &Scene, role: &mut Push, message: &str, reached: &[u32]) -> Effects {
    let mut passage = Passage::incoming(scene, message);
    passage.marks.kept = Some(vec![7]);
    let reached: Vec<_> = reached.iter().copied().map(DeviceId).collect();
    passage.show(|pass, fx| role.after(pass, &reached, scene.view(), fx));
    passage.fx
}

fn pushes(fx: &Effects) -> usize {
    fx.routed().count()
}

/// The service answers the notification.
fn answers(scene: &Scene, role: &mut Push, fx: &Effects, answer: &str) -> Effects {
    let asked = fx.routed().last().expect("a notification");
    let id = asked.id.clone().expect("an id");
    let answer = stanza(answer).with_id(id).with_from(asked.to.clone());
    let mut fx = scene.effects();
    role.answered(&answer, scene.view(), &mut fx);
    fx
}

fn error(condition: &str, kind: &str) -> String {
    format!(
        "<iq type='error'><error type='{kind}'>\
         <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
    )
}

/// The phone has no stream, but a session that waits.
fn waits(scene: &mut Scene, role: &mut Push) -> Effects {
    scene.devices.get_mut(DeviceId(0)).unwrap().away = true;
    let mut fx = scene.effects();
    role.waits(DeviceId(0), scene.view(), &mut fx);
    fx
}

#[test]
fn what_can_be_enabled() {
    let form = |kind: &str| {
        format!(
            "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
             <value>{kind}</value></field></x>"
        )
    };
    let options = form(ns::PUBSUB_PUBLISH_OPTIONS);
    let large = "x".repeat(5000);
    let node = |length| format!("jid='push.test' node='{}'", "n".repeat(length));
    let rows = [
        ("jid='push.test'".to_owned(), String::new(), "result"),
        (node(1024), options.clone(), "result"),
        (
            "jid='app@push.test/x' node=''".to_owned(),
            String::new(),
            "result",
        ),
        (String::new(), String::new(), "bad-request"),
        (
            "jid='@push.test'".to_owned(),
            String::new(),
            "jid-malformed",
        ),
        (
            "jid='alice@a.test/x'".to_owned(),
            String::new(),
            "not-acceptable",
        ),
        (node(1025), String::new(), "not-acceptable"),
        (node(1), form("other"), "bad-request"),
        (
            node(1),
            options.replace(
                "</x>",
                &format!("<field var='f'><value>{large}</value></field></x>"),
            ),
            "not-acceptable",
        ),
    ];
    for (attributes, inside, wanted) in rows {
        let (scene, mut role) = scene();
        let found = enable_with(&scene, &mut role, &attributes, &inside);
        assert_eq!(found, wanted, "{attributes:.99} {inside:.99}");
        assert_eq!(role.services.len(), 1 + usize::from(wanted == "result"));
    }
}

#[test]
fn nobody_else_learns_that_there_is_anything() {
    let (scene, mut role) = scene();
    let request = stanza(
        "<iq type='set' id='e' to='alice@a.test' from='bob@b.test/x'>\
         <enable xmlns='urn:xmpp:push:0'/></iq>",
    );
    let fx = scene.ask_as(&mut role, Origin::Elsewhere, &request);
    let answer = fx.routed().next().expect("an answer");
    assert_eq!(verdict(answer), "service-unavailable");
}

#[test]
fn nothing_of_the_message_leaves_the_server() {
    let (scene, mut role) = scene();
    let options = "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
        <value>http://jabber.org/protocol/pubsub#publish-options</value></field>\
        <field var='secret'><value>s3</value></field></x>\
        <priority xmlns='tigase:push:priority:0'/>";
    let again = enable_with(&scene, &mut role, "jid='push.test' node='n'", options);
    assert_eq!((again.as_str(), role.services.len()), ("result", 1));
    let mut away = Scene::new();
    away.now = NOW;
    let fx = arrives(&away, &mut role, &message(BODY), &[]);
    let sent = fx.routed().next().expect("a notification");
    let id = sent.id.clone().expect("an id");
    let wanted = format!(
        "<iq to='{APP}' from='alice@a.test' id='{id}' type='set'>\
         <pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='n'><item>\
         <notification xmlns='urn:xmpp:push:0'><x xmlns='jabber:x:data' type='form'>\
         <field var='FORM_TYPE' type='hidden'><value>urn:xmpp:push:summary</value></field>\
         <field var='message-count' type='text-single'><value>1</value></field></x>\
         <priority xmlns='tigase:push:priority:0'>high</priority></notification></item></publish>\
         <publish-options><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
         <value>http://jabber.org/protocol/pubsub#publish-options</value></field>\
         <field var='secret'><value>s3</value></field></x></publish-options></pubsub></iq>"
    );
    assert_eq!(
        stanza(&text(sent)).to_element(),
        stanza(&wanted).to_element()
    );
}

#[test]
fn what_wakes_a_phone() {
    let omemo = |inside: &str| {
        message(&format!(
            "<encrypted xmlns='eu.siacs.conversations.axolotl'><header/>{inside}</encrypted>"
        ))
    };
    let room = |inside: &str| {
        message(inside)
            .replace("'chat'", "'groupchat'")
            .replace("bob@b.test/x", "room@r.test/bob")
            .replace("alice@a.test'", "alice@a.test/r0'")
    };
    let invite = "<x xmlns='http://jabber.org/protocol/muc#user'><invite from='bob@b.test'/></x>";
    let call = "<propose xmlns='urn:xmpp:jingle-message:0' id='c'/>";
    let old = "<delay xmlns='urn:xmpp:delay' stamp='2020-01-01T00:00:00Z'/>";
    let rows = [
        (message(BODY), true),
        (omemo("<payload>x</payload>"), true),
        (omemo(""), false),
        (
            message("<openpgp xmlns='urn:xmpp:openpgp:0'>x</openpgp>"),
            true,
        ),
        (message(invite), true),
        (
            message("<x xmlns='jabber:x:conference' jid='r@r.test'/>"),
            true,
        ),
        (message(call), true),
        (room(BODY), true),
        (room(&format!("{BODY}{old}")), false),
        (room("<subject>t</subject>"), false),
        (
            room(BODY).replace("room@r.test/bob", "room@r.test/ally"),
            false,
        ),
        (message(""), false),
        (
            message("<received xmlns='urn:xmpp:receipts' id='m'/>"),
            false,
        ),
        (
            message("<composing xmlns='http://jabber.org/protocol/chatstates'/>"),
            false,
        ),
        (message(BODY).replace("'chat'", "'headline'"), false),
        (message(BODY).replace("'chat'", "'error'"), false),
        (
            message(BODY).replace("bob@b.test/x", "alice@a.test/r1"),
            false,
        ),
    ];
    for (message, wanted) in rows {
        let (mut scene, mut role) = scene();
        let phone = scene.devices.get_mut(DeviceId(0)).unwrap();
        phone.directed = vec![jid("room@r.test/ally")];
        waits(&mut scene, &mut role);
        let fx = arrives(&scene, &mut role, &message, &[0]);
        assert_eq!(pushes(&fx), usize::from(wanted), "{message}");
    }
}

#[test]
fn a_request_is_told_to_who_has_no_line() {
    let (mut scene, mut role) = scene();
    let requested = |scene: &Scene, role: &mut Push| {
        let mut fx = scene.effects();
        role.requested(scene.view(), &mut fx);
        fx
    };
    assert_eq!(
        pushes(&requested(&scene, &mut role)),
        0,
        "it is told itself"
    );
    waits(&mut scene, &mut role);
    let first = requested(&scene, &mut role);
    assert_eq!(pushes(&first), 1);
    assert_eq!(role.services[0].service.missed, 0, "it is no message");
    assert_eq!(
        pushes(&requested(&scene, &mut role)),
        0,
        "it has not answered"
    );
    let again = answers(&scene, &mut role, &first, RESULT);
    assert_eq!(pushes(&again), 1);
}

#[test]
fn who_is_there_is_not_told_as_long_as_he_acknowledges() {
    let (mut scene, mut role) = scene();
    // Given to the phone: it has ten seconds.
    let fx = arrives(&scene, &mut role, &message(BODY), &[0, 1]);
    assert!(matches!(fx.list(), [Effect::Wake(..)]), "{:?}", fx.list());
    let mut fx = scene.effects();
    role.taken(DeviceId(1), &[vec![7]], scene.view(), &mut fx);
    assert_eq!(
        role.services[0].watched.len(),
        1,
        "the desk speaks for itself"
    );
    role.taken(DeviceId(0), &[vec![7]], scene.view(), &mut fx);
    assert!(role.services[0].watched.is_empty());

    // Again, and it says nothing.
    arrives(&scene, &mut role, &message(BODY), &[0]);
    let woken = |scene: &mut Scene, role: &mut Push, after: Millis| {
        scene.now = NOW + after;
        let mut fx = scene.effects();
        role.woken(scene.view(), &mut fx);
        pushes(&fx)
    };
    assert_eq!(woken(&mut scene, &mut role, 9_999), 0);
    assert_eq!(woken(&mut scene, &mut role, 10_000), 1);
    assert_eq!(woken(&mut scene, &mut role, 10_001), 0);

    // A client that does not acknowledge is believed.
    scene.devices.get_mut(DeviceId(0)).unwrap().acknowledges = false;
    let fx = arrives(&scene, &mut role, &message(BODY), &[0]);
    assert!(fx.list().is_empty());
    assert!(role.services[0].watched.is_empty());
}

/// It is here, but not available: what it was not given it is told of when it goes, unless it was
/// available meanwhile.
#[test]
fn who_goes_without_having_been_available_is_told() {
    for (available, told) in [(false, 1), (true, 0)] {
        let (mut scene, mut role) = scene();
        scene.devices.get_mut(DeviceId(0)).unwrap().acknowledges = false;
        let fx = arrives(&scene, &mut role, &message(BODY), &[]);
        assert!(fx.list().is_empty(), "nothing, and no timer");
        let mut fx = scene.effects();
        if available {
            role.available(DeviceId(0), true, scene.view(), &mut fx);
        }
        scene.devices.remove(DeviceId(0));
        role.gone(DeviceId(0), scene.view(), &mut fx);
        assert_eq!(pushes(&fx), told);
    }
}

/// What was sent before the server started again is told unless the client comes soon.
#[test]
fn a_session_of_before() {
    for (owes, taken, told) in [(true, false, 1), (true, true, 0), (false, false, 0)] {
        let (mut scene, mut role) = scene();
        scene.devices.get_mut(DeviceId(0)).unwrap().away = true;
        let mut fx = scene.effects();
        role.restored(DeviceId(1), true, scene.view(), &mut fx);
        role.restored(DeviceId(0), owes, scene.view(), &mut fx);
        assert_eq!((pushes(&fx), fx.list().len()), (0, usize::from(owes)));
        if taken {
            role.taken(DeviceId(0), &[vec![8]], scene.view(), &mut fx);
        }
        scene.now += 10_000;
        let mut fx = scene.effects();
        role.woken(scene.view(), &mut fx);
        assert_eq!(pushes(&fx), told);
    }
}

#[test]
fn a_call_does_not_wait() {
    let call = message("<propose xmlns='urn:xmpp:jingle-message:0' id='c'/>");
    let (mut scene, mut role) = scene();
    arrives(&scene, &mut role, &call, &[0]);
    assert_eq!(role.services[0].watched[0].due, NOW + CALL);
    let fx = waits(&mut scene, &mut role);
    assert_eq!(pushes(&fx), 1, "its line broke");
    assert_eq!(pushes(&arrives(&scene, &mut role, &message(BODY), &[0])), 0);
    assert_eq!(pushes(&arrives(&scene, &mut role, &call, &[0])), 1);
}

#[test]
fn a_line_breaks_or_a_session_ends_with_what_it_was_given() {
    for ends in [false, true] {
        let (mut scene, mut role) = scene();
        arrives(&scene, &mut role, &message(BODY), &[0]);
        arrives(&scene, &mut role, &message(BODY), &[0]);
        let fx = match ends {
            false => waits(&mut scene, &mut role),
            true => {
                scene.devices.remove(DeviceId(0));
                let mut fx = scene.effects();
                role.gone(DeviceId(0), scene.view(), &mut fx);
                fx
            }
        };
        let sent = said(&fx);
        assert!(
            sent.len() == 1 && sent[0].contains("<value>2</value>"),
            "{sent:?}"
        );
    }
}

#[test]
fn six_are_too_many() {
    let (mut scene, mut role) = scene();
    let mut more = |role: &mut Push, number: u32| {
        scene.now += 1;
        let attributes = format!("jid='push.test' node='{number}'");
        assert_eq!(enable(&scene, role, &attributes), "result");
    };
    (1..5).for_each(|number| more(&mut role, number));
    let nodes = |role: &Push| {
        let nodes = role.services.iter().map(|held| held.service.node.clone());
        nodes.collect::<Option<Vec<_>>>().unwrap().concat()
    };
    assert_eq!(nodes(&role), "n1234");
    // Its client is not here.
    role.services[3].service.client = ClientKey::nameless("gone");
    more(&mut role, 5);
    assert_eq!(nodes(&role), "n1245");
    more(&mut role, 6);
    assert_eq!(nodes(&role), "12456");
    more(&mut role, 1);
    assert_eq!(nodes(&role), "24561");
}

#[test]
fn how_it_is_switched_off() {
    let fill = || {
        let (scene, mut role) = scene();
        for attributes in [
            "jid='push.test' node='m'",
            "jid='push.test'",
            "jid='other.test'",
        ] {
            assert_eq!(enable(&scene, &mut role, attributes), "result");
        }
        (scene, role)
    };
    for (attributes, left) in [
        ("jid='push.test' node='m'", 3),
        ("jid='push.test'", 1),
        ("jid='nowhere.test'", 4),
    ] {
        let (scene, mut role) = fill();
        assert_eq!(ask(&scene, &mut role, "disable", attributes, ""), "result");
        assert_eq!(role.services.len(), left, "{attributes}");
    }
    let (scene, mut role) = fill();
    assert_eq!(ask(&scene, &mut role, "disable", "", ""), "bad-request");
    let revoke = |role: &mut Push, resource: &str| {
        let mut fx = scene.effects();
        role.revoked(ClientKey::nameless(resource), scene.view(), &mut fx);
        fx.rows.is_empty()
    };
    assert!(revoke(&mut role, "r1") && role.services.len() == 4);
    assert!(!revoke(&mut role, "r0") && role.services.is_empty());
}

/// §8.
#[test]
fn a_service_says_that_it_is_over() {
    let out = |jid: &str, node: &str| {
        format!(
            "<message from='push.test' to='alice@a.test'>\
             <pubsub xmlns='http://jabber.org/protocol/pubsub' node='{node}'>\
             <affiliation jid='{jid}' affiliation='none'/></pubsub></message>"
        )
    };
    let rows = [
        (out("bob@b.test", "n"), 1),
        (out("alice@a.test", "m"), 1),
        (
            out("alice@a.test", "n").replace("push.test", "evil.test"),
            1,
        ),
        (
            out("alice@a.test", "n").replace("'none'", "'publish-only'"),
            1,
        ),
        (out("alice@a.test", "n"), 0),
    ];
    for (message, left) in rows {
        let (scene, mut role) = scene();
        arrives(&scene, &mut role, &message, &[]);
        assert_eq!(role.services.len(), left, "{message}");
    }
}

#[test]
fn rows_come_back() {
    let (scene, mut role) = scene();
    let account = scene.account.id;
    let service = role.services.remove(0).service;
    let mut fx = scene.effects();
    service.save(account, &mut fx);
    scene.keep(&mut fx);
    let key = service.key(account);
    let rows = scene.read(&[scene.row(SERVICE, &key[5..])]);
    let mut role = Push::default();
    role.load(SERVICE, &key[5..], &rows[0].1);
    assert_eq!(role.services[0].service, service);
    assert!(Jid::parse(&service.jid).is_ok());
}
