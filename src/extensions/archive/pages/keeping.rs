//! What is kept, what is kept once, and what goes again.

use super::super::standing::DAY;
use super::super::trail::KIND;
use super::*;

fn rows_of(world: &World, account: u32) -> usize {
    world
        .rows(Tree::Archive, &keys::everything(AccountId(account)))
        .len()
}

#[test]
fn who_wants_no_archive_has_none_but_hears_everything() {
    let mut world = world(0);
    let prefs =
        |inside: &str| format!("<prefs xmlns='urn:xmpp:mam:2' default='always'>{inside}</prefs>");
    let never = prefs("<always/><never><jid>bob@a.test</jid></never>");
    let set = ask(&mut world, &plain("set", &never));
    let said = |answer: &Answer| String::from_utf8(answer.fin().to_bytes("")).unwrap();
    assert_eq!(said(&set), never);
    world.restart();
    world.connect(ALICE, 1);
    world.connect(BOB, 1);
    world.send(ALICE, 1, &chat("a"));
    world.send(ALICE, 1, &chat("b").replace(BOB, ALICE));
    world.send(
        BOB,
        1,
        "<message to='alice@a.test' type='chat'><body>c</body></message>",
    );
    assert_eq!(query(&mut world, &[], "").bodies(), "b");
    assert_eq!(world.archived(2), 2, "bob's preferences are his own");
    // While she is away it waits, in no archive.
    world.restart();
    world.connect(BOB, 1);
    world.send(
        BOB,
        1,
        "<message to='alice@a.test' type='chat'><body>d</body></message>",
    );
    assert!(world.heard(BOB, 1).is_empty(), "no error");
    world.connect(ALICE, 1);
    assert!(world.heard(ALICE, 1)[0].contains("<body>d</body>"));
    assert_eq!(query(&mut world, &[], "").bodies(), "b");
    let get = ask(&mut world, &plain("get", "<prefs xmlns='urn:xmpp:mam:2'/>"));
    assert_eq!(said(&get), never);
}

#[test]
fn ones_own_history_can_be_deleted() {
    let mut world = world(9);
    let all = query(&mut world, &[], "");
    let (old, kept) = (all.id(3).to_owned(), all.id(4).to_owned());
    let trim = |id: &str| {
        plain(
            "set",
            &format!("<trim xmlns='urn:xmpp:mamtrim:0'>{id}</trim>"),
        )
    };
    let unknown = trim(&format!("<id>{}</id>", "0".repeat(32)));
    assert_eq!(ask(&mut world, &unknown).error(), "item-not-found");
    assert_eq!(
        ask(&mut world, &trim("<id>x</id>")).error(),
        "item-not-found"
    );
    assert_eq!(
        ask(&mut world, &trim(&format!("<id>{old}</id>")))
            .fin()
            .name(),
        "none"
    );
    let rest = query(&mut world, &[], "");
    assert_eq!(
        (rest.bodies().as_str(), rest.set("count").as_deref()),
        ("4 5 6 7 8", Some("5"))
    );
    assert_eq!(query(&mut world, &[("with", BOB)], "").bodies(), "6");
    assert_eq!(
        query(&mut world, &[("after-id", &old)], "").error(),
        "item-not-found"
    );
    assert_eq!(rows_of(&world, 1), 5);
    ask(&mut world, &trim(""));
    assert_eq!(query(&mut world, &[], "").bodies(), "");
    assert_eq!(
        query(&mut world, &[("ids", &kept)], "").error(),
        "item-not-found"
    );
    assert_eq!(
        (rows_of(&world, 1), rows_of(&world, 2)),
        (0, 3),
        "bob's history is his own"
    );
    world.send(ALICE, 1, &chat("new"));
    assert_eq!(query(&mut world, &[], "").bodies(), "new");
}

#[test]
fn what_is_taken_back_leaves_a_tombstone() {
    let mut world = World::new();
    world.connect(ALICE, 1);
    world.connect(BOB, 1);
    let said =
        |id: &str, body: &str| chat(body).replacen("<message ", &format!("<message id='{id}' "), 1);
    world.send(ALICE, 1, &said("m1", "secret"));
    world.send(ALICE, 1, &said("m2", "harmless"));
    world.send(ALICE, 1, &said("m1", "other").replace(BOB, "eve@x.test"));
    let answer = "<message id='m1' to='alice@a.test' type='chat'><body>his</body></message>";
    world.send(BOB, 1, answer);
    let retract = "<message id='r1' to='bob@a.test' type='chat'>\
         <retract xmlns='urn:xmpp:message-retract:1' id='m1'/></message>";
    world.send(ALICE, 1, retract);
    world.restart();
    world.connect(ALICE, 1);
    let all = query(&mut world, &[], "");
    assert_eq!(
        all.bodies(),
        "- harmless other his -",
        "his own m1 is not hers to take back"
    );
    world.send(ALICE, 1, &plain("set", "<query xmlns='urn:xmpp:mam:2'/>"));
    let stone = world.heard(ALICE, 1)[0].clone();
    let stamp = datetime::format(world.now - 3);
    let expected = "<message xmlns='jabber:client' to='bob@a.test' from='alice@a.test/1' id='m1' \
         type='chat'><retracted xmlns='urn:xmpp:message-retract:1' id='r1' stamp='";
    assert!(stone.contains(expected), "{stone} {stamp}");
    for account in [1, 2] {
        let rows = world.rows(Tree::Archive, &keys::everything(AccountId(account)));
        let has_secret =
            |row: &(Vec<u8>, Vec<u8>)| String::from_utf8_lossy(&row.1).contains("secret");
        assert!(!rows.iter().any(has_secret), "in both archives");
    }
    assert_eq!(
        query(&mut world, &[("with", BOB)], "").bodies(),
        "- harmless his -"
    );
}

#[test]
fn what_is_taken_back_is_found_by_the_index() {
    let mut world = world(0);
    let said = |id: &str, body: &str| {
        let id = format!("<message id='{id}' ");
        chat(body).replacen("<message ", &id, 1)
    };
    world.send(ALICE, 1, &said("m1", "secret"));
    for number in 0..700 {
        let to = [BOB, "eve@x.test"][number % 2];
        world.send(ALICE, 1, &said("other", "x").replace(BOB, to));
    }
    let retract = "<message id='r1' to='bob@a.test' type='chat'>\
         <retract xmlns='urn:xmpp:message-retract:1' id='m1'/></message>";
    world.send(ALICE, 1, retract);
    let first = page(&mut world, "<max>2</max>");
    assert_eq!(first.bodies(), "- x");
}

/// Attacks A24: a client that could not resume sends again what it does not know to have arrived.
#[test]
fn what_is_sent_again_is_kept_once() {
    let mut world = World::new();
    world.connect(ALICE, 1);
    world.connect(BOB, 1);
    let said = |origin: &str, body: &str| {
        let id = format!("<origin-id xmlns='urn:xmpp:sid:0' id='{origin}'/></message>");
        chat(body).replace("</message>", &id)
    };
    world.send(ALICE, 1, &said("o1", "one"));
    world.send(ALICE, 1, &said("o2", "two"));
    world.lose(ALICE, 1);
    world.connect(ALICE, 2);
    world.send(ALICE, 2, &said("o1", "one"));
    world.send(ALICE, 2, &said("o1", "another"));
    world.send(ALICE, 2, &chat("plain"));
    world.send(ALICE, 2, &chat("plain"));
    let heard = world.heard(BOB, 1);
    let id_in = |text: &str| text.split("<stanza-id").nth(1).unwrap().to_owned();
    assert_eq!(id_in(&heard[0]), id_in(&heard[2]), "the same message twice");
    world.connect(ALICE, 1);
    let all = query(&mut world, &[], "");
    assert_eq!(all.bodies(), "one two another plain plain");
    assert_eq!(all.set("count").as_deref(), Some("5"));
    assert_eq!((world.archived(1), world.archived(2)), (5, 5));
    world.now += DAY;
    world.send(ALICE, 2, &said("o1", "one"));
    assert_eq!(world.archived(2), 6, "a day later it is said again");
}

/// Whoever sends what is refused must not push other messages out of the archive.
#[test]
fn what_was_refused_does_not_count() {
    let mut world = World::new();
    world.site.settings.offline.messages = 4;
    world.connect(BOB, 1);
    for number in 0..9 {
        let text = chat(&number.to_string()).replace(BOB, ALICE);
        world.send(BOB, 1, &text);
    }
    world.connect(ALICE, 1);
    let all = query(&mut world, &[], "");
    assert_eq!(all.set("count").as_deref(), Some("2"));
    assert_eq!(
        page(&mut world, "<max>0</max>").set("count").as_deref(),
        Some("2")
    );
    assert_eq!(rows_of(&world, 1), 2);
}

#[test]
fn the_index_goes_with_its_messages_when_these_are_too_old() {
    let mut world = world(600);
    let indexed = |world: &World| world.rows(Tree::Archive, &keys::all_of(AccountId(1), KIND));
    assert_eq!(indexed(&world).len(), 4 * 3, "a row a contact and batch");
    world.now += 1_000;
    for number in 0..200 {
        world.send(ALICE, 1, &chat(&format!("late{number}")));
    }
    world.now = NOW + (365 * DAY) + 1_000;
    world.send(ALICE, 1, &chat("new"));
    assert_eq!(world.archived(1), 201);
    assert_eq!(indexed(&world).len(), 2, "of what is said later, to bob");
    let page = query(&mut world, &[("with", BOB)], "");
    assert_eq!(
        (page.results.len(), page.results[0].1.as_str()),
        (50, "late0")
    );
    world.now += DAY;
    world.send(ALICE, 1, &chat("newer"));
    assert_eq!(
        query(&mut world, &[("with", BOB)], "").bodies(),
        "new newer"
    );
    assert!(indexed(&world).is_empty());
}

/// The numbers live through the end of a Hub that nothing was wrong with.
#[test]
fn the_count_is_kept() {
    let mut world = world(5);
    world.restart();
    world.connect(ALICE, 1);
    assert_eq!(
        page(&mut world, "<max>0</max>").set("count").as_deref(),
        Some("5")
    );
    world.send(ALICE, 1, &chat("x"));
    world.restart();
    world.connect(ALICE, 1);
    assert_eq!(
        page(&mut world, "<max>0</max>").set("count").as_deref(),
        Some("6")
    );
}
