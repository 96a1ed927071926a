//! What waits, for whom, and how it is delivered.

mod bounds;

use super::*;
use crate::extensions::scene::{NOW, Passage, Scene, stanza};
use rookery_actors::effect::Effect;
use rookery_storage::Frame;

const DAY: Millis = 24 * 60 * 60 * 1000;

/// An incoming message that the archive has kept, or not.
fn message(scene: &Scene, from: &str, inside: &str, is_kept: bool) -> Passage {
    let text = format!("<message to='alice@a.test' from='{from}' type='chat'>{inside}</message>");
    let mut passage = Passage::incoming(scene, &text);
    if is_kept {
        passage.marks.kept = Some(archive_key(MessageId::new(scene.now << 16)));
    }
    passage
}

fn archive_key(id: MessageId) -> Vec<u8> {
    id.key(AccountId(1), Place::Archive)
}

fn undelivered(role: &mut Offline, scene: &Scene, passage: &mut Passage) -> Kept {
    passage.show(|pass, fx| role.undelivered(pass, scene.view(), fx))
}

/// One chat message from bob that waits; its key.
fn waits(role: &mut Offline, scene: &Scene) -> Vec<u8> {
    let mut passage = message(scene, "bob@b.test/x", "<body>hi</body>", true);
    assert_eq!(undelivered(role, scene, &mut passage), Kept::Yes);
    passage.marks.kept.unwrap()
}

fn value(text: &str) -> Vec<u8> {
    encode(&Message::incoming(&stanza(text)).unwrap()).unwrap()
}

const CHAT: &str = "<message to='alice@a.test' from='bob@b.test/x' type='chat'><body>hi</body>";

fn chat() -> Vec<u8> {
    value(&format!("{CHAT}</message>"))
}

/// The keys that are read while the Hub waits, and for which device.
fn reads(fx: &Effects) -> Option<(u32, Vec<Vec<u8>>)> {
    let [Effect::Read(read)] = fx.list() else {
        return None;
    };
    assert!(read.stops, "nothing may overtake");
    let key = |query: &Query| match query {
        Query::Get(Tree::Archive, key) => key.clone(),
        other => panic!("{other:?}"),
    };
    Some((read.step, read.queries.iter().map(key).collect()))
}

fn available(role: &mut Offline, scene: &Scene, device: DeviceId) -> Effects {
    let mut fx = scene.effects();
    role.available(device, true, scene.view(), &mut fx);
    fx
}

fn read_done(role: &mut Offline, scene: &Scene, device: DeviceId, rows: Vec<Row>) -> Effects {
    let mut fx = scene.effects();
    role.read_done(device.0, None, rows, scene.view(), &mut fx);
    fx
}

fn delivered(fx: &Effects) -> Vec<(String, Option<Vec<u8>>)> {
    let delivered = fx.list().iter().filter_map(|effect| match effect {
        Effect::Deliver { bytes, keep, .. } => {
            let kept = keep.archived().map(Vec::from);
            Some((String::from_utf8_lossy(bytes).into_owned(), kept))
        }
        _ => None,
    });
    delivered.collect()
}

fn mark_of(key: &[u8]) -> Vec<u8> {
    let (place, id) = MessageId::of_key(key).unwrap();
    mark_key(AccountId(1), place, id)
}

#[test]
fn what_the_archive_keeps_is_marked() {
    let scene = Scene::of(&[]);
    let mut role = Offline::default();
    let mut passage = message(&scene, "eve@x.test", "<body>hi</body>", true);
    let size = passage.stanza.wire_len() as u32;
    assert_eq!(undelivered(&mut role, &scene, &mut passage), Kept::Yes);
    let mut rows = Frame::new();
    let mark = encode(&MarkRow {
        size,
        stranger: true,
    })
    .unwrap();
    rows.put(
        Tree::Account,
        mark_of(passage.marks.kept.as_deref().unwrap()),
        mark,
    );
    assert!(passage.fx.rows == rows);
}

#[test]
fn the_first_device_that_takes_messages_gets_it_delayed_and_once() {
    let mut scene = Scene::of(&[-1]);
    let mut role = Offline::default();
    let key = waits(&mut role, &scene);
    assert_eq!(
        reads(&available(&mut role, &scene, DeviceId(0))),
        None,
        "negative priority"
    );
    scene.now += 5_000;
    let device = scene.connect(1, 0);
    let fx = available(&mut role, &scene, device);
    assert_eq!(reads(&fx), Some((1, vec![key.clone()])));
    let fx = read_done(&mut role, &scene, device, vec![(key.clone(), chat())]);
    let id = MessageId::of_key(&key).unwrap().1.to_text();
    let stamp = datetime::format(NOW);
    let expected = format!(
        "{CHAT}<delay xmlns='urn:xmpp:delay' from='a.test' stamp='{stamp}'/>\
         <stanza-id xmlns='urn:xmpp:sid:0' by='alice@a.test' id='{id}'/></message>"
    );
    assert_eq!(delivered(&fx), [(expected, Some(key.clone()))]);
    let mut rows = Frame::new();
    rows.delete(Tree::Account, mark_of(&key));
    assert!(fx.rows == rows, "in the frame of its delivery");
    assert_eq!(reads(&available(&mut role, &scene, device)), None);
}

#[test]
fn marks_come_back_after_a_restart_in_order() {
    let mut scene = Scene::of(&[0]);
    let mut role = Offline::default();
    let first = waits(&mut role, &scene);
    scene.now += 1;
    let second = waits(&mut role, &scene);
    let mut role = Offline::default();
    for key in [&second, &first] {
        let mark = mark_of(key);
        let (_, kind, rest) = keys::split(&mark).unwrap();
        role.load(
            kind,
            rest,
            &encode(&MarkRow {
                size: 9,
                stranger: false,
            })
            .unwrap(),
        );
    }
    let fx = available(&mut role, &scene, DeviceId(0));
    assert_eq!(reads(&fx), Some((0, vec![first, second])));
}

#[test]
fn many_go_in_batches() {
    let mut scene = Scene::of(&[0]);
    let mut role = Offline::default();
    let keys: Vec<Vec<u8>> = (0..BATCH + 1)
        .map(|_| {
            scene.now += 1;
            waits(&mut role, &scene)
        })
        .collect();
    let (_, asked) = reads(&available(&mut role, &scene, DeviceId(0))).unwrap();
    assert_eq!(asked, keys[..BATCH]);
    let rows = asked.into_iter().map(|key| (key, chat())).collect();
    let mut fx = read_done(&mut role, &scene, DeviceId(0), rows);
    assert_eq!((delivered(&fx).len(), fx.rows.len()), (BATCH, BATCH));
    let Some(Effect::Read(read)) = fx.take().pop() else {
        panic!("no second batch")
    };
    assert!(read.stops && read.queries.len() == 1);
    let fx = read_done(
        &mut role,
        &scene,
        DeviceId(0),
        vec![(keys[BATCH].clone(), chat())],
    );
    assert_eq!(delivered(&fx).len(), 1);
    assert!(role.queue.is_empty() && reads(&fx).is_none());
}

#[test]
fn a_row_that_is_gone_takes_its_mark_along_but_an_empty_disk_does_not() {
    let mut scene = Scene::of(&[0]);
    let mut role = Offline::default();
    let lost = waits(&mut role, &scene);
    scene.now += 1;
    let there = waits(&mut role, &scene);
    let (_, asked) = reads(&available(&mut role, &scene, DeviceId(0))).unwrap();
    let mut fx = scene.effects();
    role.unread(0, scene.view(), &mut fx);
    assert!(fx.list().is_empty() && fx.rows.is_empty() && !role.queue.is_empty());
    let again = reads(&available(&mut role, &scene, DeviceId(0))).unwrap();
    assert_eq!(again.1, asked);
    let fx = read_done(
        &mut role,
        &scene,
        DeviceId(0),
        vec![(there.clone(), chat())],
    );
    assert_eq!(delivered(&fx).len(), 1);
    let mut rows = Frame::new();
    rows.delete(Tree::Account, mark_of(&lost))
        .delete(Tree::Account, mark_of(&there));
    assert!(fx.rows == rows);
}

#[test]
fn a_device_that_went_meanwhile_gets_nothing() {
    let mut scene = Scene::of(&[0]);
    let mut role = Offline::default();
    let key = waits(&mut role, &scene);
    scene.devices.remove(DeviceId(0));
    let fx = read_done(&mut role, &scene, DeviceId(0), vec![(key.clone(), chat())]);
    assert!(fx.list().is_empty() && fx.rows.is_empty());
    let device = scene.connect(1, 0);
    assert!(reads(&available(&mut role, &scene, device)).is_some());
}

#[test]
fn what_no_archive_may_keep_waits_by_itself_and_leaves_no_trace() {
    let scene = Scene::of(&[0]);
    let mut role = Offline::default();
    let inside = "<body>hi</body><no-permanent-store xmlns='urn:xmpp:hints'/>";
    let mut passage = message(&scene, "bob@b.test/x", inside, false);
    assert_eq!(undelivered(&mut role, &scene, &mut passage), Kept::Yes);
    assert!(passage.marks.lasting && passage.marks.kept.is_none());
    assert_eq!(passage.fx.rows.len(), 2, "the message and its mark");
    let (_, asked) = reads(&available(&mut role, &scene, DeviceId(0))).unwrap();
    assert_eq!(MessageId::of_key(&asked[0]).unwrap().0, Place::Waiting);
    let row = value(&passage.text());
    let fx = read_done(
        &mut role,
        &scene,
        DeviceId(0),
        vec![(asked[0].clone(), row)],
    );
    let (text, _) = delivered(&fx).remove(0);
    assert!(
        text.contains("<delay") && !text.contains("<stanza-id"),
        "{text}"
    );
    let mut rows = Frame::new();
    rows.delete(Tree::Account, mark_of(&asked[0]))
        .delete(Tree::Archive, asked[0].clone());
    assert!(fx.rows == rows);
}

#[test]
fn what_no_archive_may_keep_stays_until_it_is_acknowledged() {
    let mut scene = Scene::of(&[0]);
    scene
        .devices
        .iter_mut()
        .for_each(|it| it.acknowledges = true);
    let mut role = Offline::default();
    let inside = "<body>hi</body><no-permanent-store xmlns='urn:xmpp:hints'/>";
    let mut passage = message(&scene, "bob@b.test/x", inside, false);
    assert_eq!(undelivered(&mut role, &scene, &mut passage), Kept::Yes);
    let (_, asked) = reads(&available(&mut role, &scene, DeviceId(0))).unwrap();
    let key = &asked[0];
    let row = (key.clone(), value(&passage.text()));
    let fx = read_done(&mut role, &scene, DeviceId(0), vec![row]);
    assert_eq!(delivered(&fx)[0].1.as_ref(), Some(key));
    let mut rows = Frame::new();
    rows.delete(Tree::Account, mark_of(key));
    assert!(fx.rows == rows, "the message stays");
    // Without a word it waits again.
    let mut fx = scene.effects();
    role.returned(&asked, scene.view(), &mut fx);
    assert_eq!(reads(&fx).map(|(_, keys)| keys), Some(asked.clone()));
    let mut fx = scene.effects();
    role.taken(
        DeviceId(1),
        &[archive_key(MessageId::new(1)), key.clone()],
        scene.view(),
        &mut fx,
    );
    let mut rows = Frame::new();
    rows.delete(Tree::Archive, key.clone());
    assert!(
        fx.rows == rows,
        "what archives keep is theirs, the rest goes"
    );
}

/// The presence of a device was handled, and the server was killed before the device was given what
/// waited.
#[test]
fn what_waits_goes_to_a_device_that_is_there_when_the_account_is_loaded() {
    let scene = Scene::of(&[0]);
    let mut role = Offline::default();
    let key = waits(&mut role, &scene);
    let mut fx = scene.effects();
    role.returned(&[], scene.view(), &mut fx);
    assert_eq!(reads(&fx).map(|(_, keys)| keys), Some(vec![key]));
}

/// A device that hibernates has nothing but what the disk has.
#[test]
fn what_no_archive_may_keep_is_kept_for_those_who_acknowledge() {
    let inside = "<body>hi</body><no-permanent-store xmlns='urn:xmpp:hints'/>";
    let kept = |acknowledging: &[bool], wanted: bool| {
        let mut scene = Scene::of(&vec![0; acknowledging.len()]);
        let devices = scene.devices.iter_mut().zip(acknowledging);
        devices.for_each(|(device, it)| device.acknowledges = *it);
        let mut role = Offline::default();
        let mut passage = message(&scene, "bob@b.test/x", inside, false);
        passage.show(|pass, fx| role.keep(pass, scene.view(), fx));
        let key = passage.marks.kept.clone();
        assert_eq!(key.is_some(), wanted, "{acknowledging:?}");
        assert_eq!(passage.fx.rows.is_empty(), key.is_none());
        (scene, role, key)
    };
    for without in [&[][..], &[false], &[true, false]] {
        kept(without, false);
    }
    kept(&[true, true], true);
    let (scene, mut role, key) = kept(&[true], true);
    let key = key.unwrap();
    // Acknowledged it goes, without a word it waits.
    let mut fx = scene.effects();
    role.taken(
        DeviceId(1),
        std::slice::from_ref(&key),
        scene.view(),
        &mut fx,
    );
    let mut rows = Frame::new();
    rows.delete(Tree::Archive, key.clone());
    assert!(fx.rows == rows);
    let mut fx = scene.effects();
    role.returned(std::slice::from_ref(&key), scene.view(), &mut fx);
    assert_eq!(reads(&fx).map(|(_, keys)| keys), Some(vec![key]));
}

/// The Hub may still have a read before it when the next presence comes.
#[test]
fn nothing_is_read_twice() {
    let mut scene = Scene::of(&[0]);
    let mut role = Offline::default();
    let key = waits(&mut role, &scene);
    let first = available(&mut role, &scene, DeviceId(0));
    assert_eq!(reads(&first), Some((0, vec![key.clone()])));
    let other = scene.connect(1, 0);
    assert_eq!(reads(&available(&mut role, &scene, other)), None);
    scene.devices.remove(DeviceId(0));
    let fx = read_done(&mut role, &scene, DeviceId(0), vec![(key.clone(), chat())]);
    assert_eq!(reads(&fx), Some((other.0, vec![key])), "who is there now");
}

#[test]
fn what_does_not_wait() {
    let scene = Scene::of(&[]);
    let rows = [
        (
            "chat",
            "<body>x</body><no-store xmlns='urn:xmpp:hints'/>",
            Kept::No,
        ),
        (
            "chat",
            "<gone xmlns='http://jabber.org/protocol/chatstates'/>",
            Kept::Yes,
        ),
        ("groupchat", "<body>x</body>", Kept::No),
        ("headline", "<body>x</body>", Kept::No),
        ("error", "<body>x</body>", Kept::No),
    ];
    for (kind, inside, expected) in rows {
        let mut role = Offline::default();
        let mut passage = message(&scene, "bob@b.test/x", inside, false);
        passage.stanza = stanza(&passage.text().replace("'chat'", &format!("'{kind}'")));
        assert_eq!(
            undelivered(&mut role, &scene, &mut passage),
            expected,
            "{kind} {inside}"
        );
        assert!(passage.fx.rows.is_empty() && role.queue.is_empty());
    }
}

#[test]
fn what_a_lost_device_never_acknowledged_goes_to_another_or_waits() {
    let mut scene = Scene::of(&[]);
    let mut role = Offline::default();
    let key = archive_key(MessageId::new(NOW << 16));
    let mut fx = scene.effects();
    role.returned(&[key.clone(), key.clone()], scene.view(), &mut fx);
    let mut rows = Frame::new();
    let mark = encode(&MarkRow {
        size: 0,
        stranger: false,
    })
    .unwrap();
    rows.put(Tree::Account, mark_of(&key), mark);
    assert!(fx.rows == rows && fx.list().is_empty());
    let low = scene.connect(0, 0);
    let high = scene.connect(1, 5);
    let mut fx = scene.effects();
    role.returned(std::slice::from_ref(&key), scene.view(), &mut fx);
    assert_eq!(reads(&fx), Some((high.0, vec![key.clone()])), "not {low:?}");
    let fx = read_done(&mut role, &scene, high, vec![(key.clone(), chat())]);
    assert_eq!(
        delivered(&fx)[0].1,
        Some(key),
        "and comes back again if need be"
    );
}

/// XEP-0386 §4.2.
#[test]
fn who_binds_anew_finds_in_the_archive_what_waited() {
    let scene = Scene::of(&[]);
    let bind = |role: &mut Offline, ns: &'static str| {
        let mut fx = scene.effects();
        role.bind(
            DeviceId(1),
            &Element::new(ns, "bind"),
            scene.view(),
            &mut fx,
        );
        fx.rows
    };
    let mut role = Offline::default();
    let places = [Place::Archive, Place::Waiting];
    let ids = [1, 2].map(MessageId::new);
    for (id, place) in ids.into_iter().zip(places) {
        let mark = Mark {
            place,
            size: 1,
            stranger: false,
        };
        role.queue.insert(id, mark);
    }
    assert!(bind(&mut role, ns::CARBONS).is_empty());
    role.is_reading = true;
    assert!(
        bind(&mut role, ns::BIND2).is_empty(),
        "another device is given them"
    );
    role.is_reading = false;
    let mut rows = Frame::new();
    rows.delete(
        Tree::Account,
        mark_key(AccountId(1), Place::Archive, ids[0]),
    );
    assert_eq!(bind(&mut role, ns::BIND2), rows);
    assert!(role.queue.contains(ids[1]) && !role.queue.contains(ids[0]));
}
