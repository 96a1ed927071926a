//! What is kept, under which ids, and what is taken out on the way.

use rookery_actors::effect::{Effect, Millis};
use rookery_actors::keys;
use rookery_storage::Frame;

use super::standing::{AHEAD, DAY, SLICE, Standing};
use super::*;
use crate::extensions::scene::{NOW, Passage, Scene, jid, stanza};
use crate::kept::Stamps;

/// Shows the stanza to the archive in its phases, as the engine does.
fn pass(role: &mut Archive, scene: &Scene, mut passage: Passage) -> Passage {
    passage.show(|pass, fx| role.stamp(pass, scene.view(), fx));
    passage.show(|pass, fx| role.keep(pass, scene.view(), fx));
    if passage.direction == Direction::In {
        passage.show(|pass, fx| role.after(pass, &[], scene.view(), fx));
    }
    passage
}

fn incoming(scene: &Scene, text: &str) -> Passage {
    pass(
        &mut Archive::default(),
        scene,
        Passage::incoming(scene, text),
    )
}

fn outgoing(scene: &Scene, text: &str) -> Passage {
    pass(
        &mut Archive::default(),
        scene,
        Passage::outgoing(scene, text),
    )
}

fn id_of(passage: &Passage) -> MessageId {
    MessageId::of_key(passage.marks.kept.as_deref().unwrap())
        .unwrap()
        .1
}

/// How the archive stands, as the first message writes it.
fn standing() -> Frame {
    let until = NOW + AHEAD;
    let standing = Standing {
        until,
        ..Standing::default()
    };
    let mut frame = Frame::new();
    let key = keys::row(AccountId(1), STANDING, &[]);
    frame.put(Tree::Account, key, encode(&standing).unwrap());
    frame
}

/// The row of a message.
fn row(passage: &Passage, message: &Message) -> Frame {
    let mut rows = Frame::new();
    let key = passage.marks.kept.clone().unwrap();
    rows.put(Tree::Archive, key, encode(message).unwrap());
    rows
}

const CHAT: &str = "<message to='alice@a.test' from='eve@x.test/r' type='chat'><body>hi</body>";

#[test]
fn what_comes_is_kept_and_delivered_with_its_id() {
    let scene = Scene::of(&[0]);
    let text = format!("{CHAT}</message>");
    let passage = incoming(&scene, &text);
    assert!(passage.marks.lasting);
    let id = id_of(&passage).to_text();
    let by = "by='alice@a.test'";
    let expected = format!("{CHAT}<stanza-id xmlns='urn:xmpp:sid:0' {by} id='{id}'/></message>");
    assert_eq!(passage.text(), expected);
    let kept = Message::incoming(&stanza(&text)).unwrap();
    assert_eq!((kept.peer.as_str(), kept.outgoing), ("eve@x.test/r", false));
    let mut written = standing();
    written.append(row(&passage, &kept));
    assert!(passage.fx.rows == written);
    assert!(passage.fx.travelling.is_empty());
}

#[test]
fn what_goes_out_travels_and_carries_no_id() {
    let scene = Scene::of(&[0]);
    let text = "<message to='eve@x.test' type='chat'><body>hi</body></message>";
    let passage = outgoing(&scene, text);
    assert!(passage.marks.lasting && passage.marks.kept.is_some());
    let sent = stanza(text).with_from(jid("alice@a.test/r0"));
    assert_eq!(passage.text(), crate::extensions::scene::text(&sent));
    let message = Message::outgoing(&sent).unwrap();
    let travelling = row(&passage, &message);
    assert!(passage.fx.rows == standing() && passage.fx.travelling == travelling);
}

#[test]
fn what_is_not_worth_it_passes_untouched() {
    let scene = Scene::of(&[0]);
    let texts = [
        "<message to='alice@a.test' from='eve@x.test/r' type='groupchat'><body>x</body></message>",
        "<message to='alice@a.test' from='eve@x.test/r' type='headline'><body>x</body></message>",
        "<message to='alice@a.test' from='eve@x.test/r' type='error'><body>x</body></message>",
        "<message to='alice@a.test' from='eve@x.test/r' type='chat'>\
         <composing xmlns='http://jabber.org/protocol/chatstates'/></message>",
        "<message to='alice@a.test' from='eve@x.test/r'><body>x</body>\
         <no-store xmlns='urn:xmpp:hints'/></message>",
        "<presence to='alice@a.test' from='eve@x.test/r'><status>x</status></presence>",
    ];
    for text in texts {
        let passage = incoming(&scene, text);
        assert_eq!(passage.text(), text);
        assert!(
            passage.marks.kept.is_none() && !passage.marks.lasting && passage.fx.rows.is_empty()
        );
    }
}

/// It may wait for its recipient, in its turn among what is kept, but no archive has it.
#[test]
fn what_may_not_stay_is_only_given_its_turn() {
    let text = "<message to='alice@a.test' from='eve@x.test/r'><body>x</body>\
                <no-permanent-store xmlns='urn:xmpp:hints'/></message>";
    let passage = incoming(&Scene::of(&[0]), text);
    assert_eq!(passage.text(), text);
    assert!(passage.marks.kept.is_none() && !passage.marks.lasting);
    assert!(passage.marks.order > 0);
}

/// What clients say to each other is none of the server's business, but must last.
#[test]
fn receipts_markers_states_and_corrections_pass_whole() {
    let scene = Scene::of(&[0]);
    let insides = [
        "<received xmlns='urn:xmpp:receipts' id='m1'/>",
        "<body>x</body><request xmlns='urn:xmpp:receipts'/>",
        "<displayed xmlns='urn:xmpp:chat-markers:0' id='m1'/>",
        "<body>x</body><markable xmlns='urn:xmpp:chat-markers:0'/>",
        "<body>x</body><active xmlns='http://jabber.org/protocol/chatstates'/>",
        "<body>y</body><replace xmlns='urn:xmpp:message-correct:0' id='m1'/>",
        "<body>x</body><origin-id xmlns='urn:xmpp:sid:0' id='o1'/>",
        "<body>x</body><private xmlns='urn:xmpp:carbons:2'/>",
    ];
    for inside in insides {
        let head = "<message to='alice@a.test' from='eve@x.test/r' id='1' type='chat'>";
        let passage = incoming(&scene, &format!("{head}{inside}</message>"));
        let start = format!("{head}{inside}<stanza-id");
        assert!(passage.text().starts_with(&start), "{}", passage.text());
        assert!(passage.marks.lasting);
        let head = "<message to='eve@x.test' from='alice@a.test/r0' id='1' type='chat'>";
        let sent = format!("{head}{inside}</message>");
        assert_eq!(outgoing(&scene, &sent).text(), sent);
    }
}

#[test]
fn forged_ids_go_and_others_stay() {
    let scene = Scene::of(&[0]);
    let id =
        |by: &str, id: &str| format!("<stanza-id xmlns='urn:xmpp:sid:0' by='{by}' id='{id}'/>");
    let forged = format!("{}{}", id("alice@a.test", "F1"), id("ALICE@A.TEST", "F2"));
    let others = [
        id("a.test", "1"),
        id("eve@x.test", "2"),
        id("alice@a.test/r0", "3"),
    ]
    .concat();
    for kind in ["chat", "groupchat"] {
        let head = format!("<message to='alice@a.test' from='eve@x.test/r' type='{kind}'>");
        let passage = incoming(
            &scene,
            &format!("{head}{forged}<body>x</body>{others}</message>"),
        );
        let start = format!("{head}<body>x</body>{others}");
        assert!(passage.text().starts_with(&start), "{}", passage.text());
        let own = passage.text().matches("by='alice@a.test'").count();
        assert_eq!(own, usize::from(kind == "chat"), "exactly the real one");
    }
    // Outgoing too: nobody else may see an id of this archive (XEP-0313 §3.5).
    let head = "<message to='eve@x.test' from='alice@a.test/r0'>";
    let passage = outgoing(
        &scene,
        &format!("{head}{forged}{others}<body>x</body></message>"),
    );
    assert_eq!(
        passage.text(),
        format!("{head}{others}<body>x</body></message>")
    );
}

#[test]
fn forged_delays_go_and_others_stay() {
    let scene = Scene::of(&[0]);
    let delay = |from: &str| format!("<delay xmlns='urn:xmpp:delay'{from} stamp='x'/>");
    let left = |passage: &Passage, text: &str| passage.text().contains(text);
    let rows = [
        // what it says, in a message from a client, from another server, from a room of ours
        (" from='a.test'", false, false, true),
        (" from='b.test'", false, false, true),
        (" from='rooms.a.test'", false, false, true),
        (" from='room@rooms.b.test'", false, false, true),
        ("", true, true, true),
        (" from='alice@a.test/r0'", true, true, true),
        (" from='x.test'", true, true, true),
    ];
    for (from, client, server, room) in rows {
        let delay = delay(from);
        let text = format!("<message to='eve@x.test'>{delay}</message>");
        assert_eq!(
            left(&outgoing(&scene, &text), &delay),
            client,
            "client{from}"
        );
        let text = format!("<message to='alice@a.test' from='eve@x.test/r'>{delay}</message>");
        assert_eq!(
            left(&incoming(&scene, &text), &delay),
            server,
            "server{from}"
        );
        let text = format!("<message to='alice@a.test' from='r@rooms.a.test/n'>{delay}</message>");
        assert_eq!(left(&incoming(&scene, &text), &delay), room, "room{from}");
    }
    let named = delay(" from='eve@x.test'");
    let text = format!("<message to='eve@x.test/r'>{named}</message>");
    assert!(
        !left(&outgoing(&scene, &text), &named),
        "the recipient's bare JID"
    );
    let legacy = "<x xmlns='jabber:x:delay' from='a.test' stamp='x'/>";
    let text = format!("<presence to='eve@x.test/r'>{legacy}</presence>");
    assert!(!left(&outgoing(&scene, &text), legacy), "XEP-0091 as well");
}

#[test]
fn wrappers_of_carbons_are_not_for_others() {
    let scene = Scene::of(&[0]);
    let wrapper = "<received xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'/>\
         </received>";
    for wrapper in [wrapper.to_owned(), wrapper.replace("received", "sent")] {
        let text = format!("<message to='eve@x.test'>{wrapper}<body>x</body></message>");
        assert!(
            outgoing(&scene, &text)
                .text()
                .ends_with("'><body>x</body></message>")
        );
        let text = format!("<message to='alice@a.test' from='eve@x.test'>{wrapper}</message>");
        assert!(!incoming(&scene, &text).text().contains("carbons"));
        let text = format!("<message to='alice@a.test/r1'>{wrapper}</message>");
        assert!(
            outgoing(&scene, &text).text().contains("carbons"),
            "her own affair"
        );
    }
}

#[test]
fn what_one_tells_oneself_is_kept_once() {
    let scene = Scene::of(&[0]);
    for to in ["to='alice@a.test'", "to='alice@a.test/r1'", ""] {
        let sent = outgoing(&scene, &format!("<message {to}><body>x</body></message>"));
        assert!(
            sent.marks.kept.is_none() && sent.fx.travelling.is_empty(),
            "{to}"
        );
    }
    let text = "<message to='alice@a.test' from='alice@a.test/r0'><body>x</body></message>";
    assert!(incoming(&scene, text).marks.kept.is_some());
}

#[test]
fn what_will_be_refused_is_not_kept() {
    let scene = Scene::of(&[0]);
    let kept = |kind: &str, to: &str| {
        let head = format!("<message to='{to}' from='eve@x.test' {kind}>");
        let hint = "<store xmlns='urn:xmpp:hints'/>";
        incoming(&scene, &format!("{head}{hint}</message>"))
            .marks
            .kept
            .is_some()
    };
    // RFC 6121 §8.5.3.2: no such device.
    assert!(!kept("", "alice@a.test/none"));
    assert!(kept("type='chat'", "alice@a.test/none"));
    assert!(kept("", "alice@a.test/r0"));
    assert!(kept("type='headline'", "alice@a.test"));
    assert!(!kept("type='headline'", "alice@a.test/none"));
}

#[test]
fn ids_rise_over_a_restart_with_a_clock_that_fell() {
    let mut scene = Scene::of(&[0]);
    let mut role = Archive::default();
    let text = format!("{CHAT}</message>");
    let mut ids = Vec::new();
    for now in [NOW, NOW, NOW - 60_000, NOW + AHEAD - 1] {
        scene.now = now;
        ids.push(id_of(&pass(
            &mut role,
            &scene,
            Passage::incoming(&scene, &text),
        )));
    }
    let saved = encode(&role.vault.shelf.standing).unwrap();
    let mut role = Archive::default();
    role.load(STANDING, &[], &saved);
    assert_eq!(role.vault.shelf.standing.items, 4);
    for now in [NOW, NOW - 60_000, NOW + 2 * AHEAD] {
        scene.now = now;
        ids.push(id_of(&pass(
            &mut role,
            &scene,
            Passage::incoming(&scene, &text),
        )));
    }
    assert!(ids.is_sorted_by(|a, b| a < b));
    assert_eq!(ids[6].time(), NOW + 2 * AHEAD, "and is true again");
}

#[test]
fn the_state_is_written_before_an_id_later_than_it_says() {
    let mut scene = Scene::of(&[0]);
    let mut role = Archive::default();
    let text = format!("{CHAT}</message>");
    let written = |role: &mut Archive, scene: &Scene| {
        let passage = pass(role, scene, Passage::incoming(scene, &text));
        passage.fx.rows.len() - 1
    };
    assert_eq!(written(&mut role, &scene), 1);
    scene.now = NOW + AHEAD - 1;
    assert_eq!(written(&mut role, &scene), 0);
    scene.now = NOW + AHEAD;
    assert_eq!(written(&mut role, &scene), 1);
}

/// The rows of the oldest messages, as the store would give them.
fn oldest(times: impl IntoIterator<Item = Millis>, size: usize) -> Vec<Row> {
    let mut stamps = Stamps::default();
    let row = |time| {
        let id = MessageId::new(stamps.next(time));
        (id.key(AccountId(1), Place::Archive), vec![0; size])
    };
    times.into_iter().map(row).collect()
}

/// Small bounds, so that they must be the settings'.
fn small() -> Scene {
    let mut scene = Scene::with(|settings| {
        settings.archive.messages = 40_000;
        settings.archive.size = rookery_config::Size::mib(200);
        settings.archive.keep = std::time::Duration::from_secs(40 * 86_400);
    });
    scene.connect(0, 0);
    scene
}

#[test]
fn once_a_day_what_is_too_old_goes() {
    let mut scene = small();
    let mut role = Archive::of(&scene.site);
    let text = format!("{CHAT}</message>");
    let wakes = |passage: Passage| {
        let list = passage.fx.list();
        list.iter()
            .filter(|effect| matches!(effect, Effect::Wake(_, time) if time.as_secs() == 1))
            .count()
    };
    assert_eq!(
        wakes(pass(&mut role, &scene, Passage::incoming(&scene, &text))),
        0
    );
    scene.now += DAY;
    assert_eq!(
        wakes(pass(&mut role, &scene, Passage::incoming(&scene, &text))),
        1
    );
    assert_eq!(
        wakes(pass(&mut role, &scene, Passage::incoming(&scene, &text))),
        0,
        "under way"
    );
    let mut fx = scene.effects();
    role.woken(scene.view(), &mut fx);
    assert!(matches!(fx.list(), [Effect::Read(read)] if read.stops));
    let old = scene.now - 40 * DAY;
    role.vault.shelf.standing.items = 10;
    let mut fx = scene.effects();
    let rows = oldest([old - 2, old - 1, old, old + 1], 1);
    role.read_done(0, None, rows.clone(), scene.view(), &mut fx);
    let mut frame = Frame::new();
    frame
        .delete(Tree::Archive, rows[0].0.clone())
        .delete(Tree::Archive, rows[1].0.clone());
    frame.put(
        Tree::Account,
        keys::row(AccountId(1), STANDING, &[]),
        encode(&role.vault.shelf.standing).unwrap(),
    );
    assert!(fx.rows == frame);
    assert_eq!(
        (
            role.vault.shelf.standing.items,
            role.vault.shelf.standing.trimmed
        ),
        (8, scene.now)
    );
}

#[test]
fn what_is_too_much_goes_in_slices() {
    const ITEMS: u64 = 40_000;
    const BYTES: u64 = 200 << 20;
    let scene = small();
    let mut role = Archive::of(&scene.site);
    role.vault.shelf.is_trimming = true;
    (
        role.vault.shelf.standing.items,
        role.vault.shelf.standing.bytes,
    ) = (ITEMS + 1, 1 << 20);
    let mut fx = scene.effects();
    role.read_done(
        0,
        None,
        oldest((0..SLICE as u64).map(|n| NOW + n), 1),
        scene.view(),
        &mut fx,
    );
    assert_eq!(fx.rows.len(), SLICE);
    assert!(matches!(fx.list(), [Effect::Wake(..)]), "more to come");
    let goal = ITEMS - ITEMS / 100;
    role.vault.shelf.standing.items = goal + 3;
    role.vault.shelf.standing.bytes = BYTES + 1;
    let mut fx = scene.effects();
    role.read_done(
        0,
        None,
        oldest((0..100).map(|n| NOW + n), 1 << 20),
        scene.view(),
        &mut fx,
    );
    let removed = BYTES / 100 / (1 << 20) + 1;
    assert_eq!(fx.rows.len() as u64, removed + 1);
    assert!(fx.list().is_empty() && !role.vault.shelf.is_trimming);
}

#[test]
fn an_error_of_the_disk_counts_for_nothing() {
    let scene = Scene::of(&[0]);
    let mut role = Archive::default();
    role.vault.shelf.is_trimming = true;
    role.vault.shelf.standing.items = 5;
    role.read_done(0, None, Vec::new(), scene.view(), &mut scene.effects());
    assert_eq!(
        (
            role.vault.shelf.standing.items,
            role.vault.shelf.is_trimming
        ),
        (5, false)
    );
}
