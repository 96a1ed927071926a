//! Coming in, going by a name, leaving (XEP-0045 §7.2, §7.6, §7.14).

use super::*;

/// §10.1.2: an instant room, and §7.1: in this order.
#[test]
fn a_room_is_made_by_who_enters_it_first() {
    let mut stage = Stage::new();
    let heard = stage.join(ALICE, "Alice");
    assert_eq!(
        heard,
        [
            "alice <- Alice is owner/moderator alice@a.test/r [170 201 110]",
            "alice <- heath talks of: ",
        ]
    );
    assert_eq!(
        stage.join(BOB, "Bob"),
        ["bob <- error item-not-found"],
        "locked"
    );
    assert_eq!(stage.configure(ALICE, &[]), ["alice <- result"]);
    let heard = stage.join(BOB, "Bob");
    assert_eq!(
        heard,
        [
            "bob <- Alice is owner/moderator",
            "alice <- Bob is none/participant bob@b.test/r",
            "bob <- Bob is none/participant bob@b.test/r [170 110]",
            "bob <- heath talks of: ",
        ]
    );
}

/// §7.2: each with its own error.
#[test]
fn who_may_not_come_in_is_told_why() {
    let mut stage = Stage::of_alice(&[]);
    let banned = "<item affiliation='outcast' jid='eve@evil.test'/>";
    assert_eq!(stage.admin(ALICE, "set", banned), ["alice <- result"]);
    assert_eq!(stage.join(EVE, "Eve"), ["eve <- error forbidden"]);
    assert_eq!(stage.join(BOB, "Alice"), ["bob <- error conflict"]);
    assert_eq!(
        stage.join(BOB, "A1ice"),
        ["bob <- error conflict"],
        "it looks like hers"
    );
    assert_eq!(
        stage.join(BOB, &"x".repeat(65)),
        ["bob <- error not-acceptable"]
    );
    assert_eq!(
        stage.says(BOB, HEATH, &format!("<presence>{JOIN}</presence>")),
        ["bob <- error jid-malformed"]
    );
    stage.configure(ALICE, &[("membersonly", "1")]);
    assert_eq!(
        stage.join(BOB, "Bob"),
        ["bob <- error registration-required"]
    );
    stage.configure(
        ALICE,
        &[
            ("membersonly", "0"),
            ("passwordprotectedroom", "1"),
            ("roomsecret", "cauldron"),
        ],
    );
    assert_eq!(stage.join(BOB, "Bob"), ["bob <- error not-authorized"]);
    let with = |password: &str| {
        format!("<x xmlns='http://jabber.org/protocol/muc'><password>{password}</password></x>")
    };
    assert_eq!(
        stage.join_with(BOB, "Bob", &with("kettle")),
        ["bob <- error not-authorized"]
    );
    assert_eq!(stage.join_with(BOB, "Bob", &with("cauldron")).len(), 4);
    let refusal = &stage.raw(
        CAROL,
        &format!("{HEATH}/Carol"),
        &format!("<presence>{JOIN}</presence>"),
    )[0];
    assert!(
        refusal.contains("<x xmlns='http://jabber.org/protocol/muc'/><error")
            && refusal.contains("by='heath@rooms.a.test'"),
        "{refusal}"
    );
}

/// §7.2.9: the staff comes in although nobody else does.
#[test]
fn a_full_room_has_a_place_for_its_admins() {
    let mut stage = Stage::with(|settings| {
        settings.rooms.template = RoomTemplate::Public;
        settings.rooms.users = 2;
    });
    stage.join(ALICE, "Alice");
    stage.configure(ALICE, &[]);
    stage.join(BOB, "Bob");
    assert_eq!(
        stage.join(CAROL, "Carol"),
        ["carol <- error service-unavailable"]
    );
    stage.admin(
        ALICE,
        "set",
        "<item affiliation='admin' jid='carol@a.test'/>",
    );
    assert!(stage.join(CAROL, "Carol").len() > 1);
}

#[test]
fn strangers_make_no_rooms_and_nobody_makes_too_many() {
    let mut stage = Stage::with(|settings| settings.rooms.own = 2);
    assert_eq!(stage.join(EVE, "Eve"), ["eve <- error not-allowed"]);
    let mut make = |who: &str, room: &str| {
        let to = format!("{room}@rooms.a.test/N");
        let heard = stage.says(who, &to, &format!("<presence>{JOIN}</presence>"));
        let config = "<x xmlns='jabber:x:data' type='submit'/>";
        let to = format!("{room}@rooms.a.test");
        stage.asks(who, &to, "set", ns::MUC_OWNER, config);
        heard[0].clone()
    };
    assert!(make(ALICE, "one").contains("201") && make(ALICE, "two").contains("201"));
    assert_eq!(make(ALICE, "three"), "alice <- error not-allowed");
    assert!(
        make(BOB, "three").contains("201"),
        "another has his own number"
    );
    assert!((0..3).all(|number| make(ROOT, &format!("r{number}")).contains("201")));
    stage.restart();
    let to = "four@rooms.a.test/N";
    let heard = stage.says(ALICE, to, &format!("<presence>{JOIN}</presence>"));
    assert_eq!(heard, ["alice <- error not-allowed"], "counted on the disk");
}

/// §7.6, examples 32 to 35.
#[test]
fn a_new_name_is_told_to_all() {
    let mut stage = Stage::of_alice(&[]);
    stage.join(BOB, "Bob");
    let rename = |stage: &mut Stage, nick: &str| {
        stage.says(BOB, &format!("{HEATH}/{nick}"), "<presence id='n'/>")
    };
    assert_eq!(
        rename(&mut stage, "Bobby"),
        [
            "alice <- Bob gone none/participant bob@b.test/r [303] -> Bobby",
            "bob <- Bob gone none/participant bob@b.test/r [303 110] -> Bobby",
            "alice <- Bobby is none/participant bob@b.test/r",
            "bob <- Bobby is none/participant bob@b.test/r [110]",
        ]
    );
    assert_eq!(rename(&mut stage, "Alice"), ["bob <- error conflict"]);
    assert_eq!(
        rename(&mut stage, "Big  Bob")[3].split(" [").nth(1),
        Some("210 110]")
    );
    assert_eq!(stage.say(BOB, "hi").len(), 2, "he is still there");
}

/// §7.14.
#[test]
fn who_leaves_is_gone_for_all() {
    let mut stage = Stage::of_alice(&[]);
    stage.join(BOB, "Bob");
    assert_eq!(
        stage.leave(BOB, "Bob"),
        [
            "bob <- Bob gone none/none bob@b.test/r [110]",
            "alice <- Bob gone none/none bob@b.test/r",
        ]
    );
    assert_eq!(stage.leave(BOB, "Bob"), [""; 0]);
    // §7.2.17.
    let heard = stage.says(BOB, &format!("{HEATH}/Bob"), "<presence/>");
    assert_eq!(
        heard,
        ["bob <- Bob gone none/none bob@b.test/r [307 333 110]"]
    );
}

/// §7.2.8: the same user may be there by several devices, and is one.
#[test]
fn two_devices_of_one_user_share_a_name() {
    let mut stage = Stage::of_alice(&[]);
    stage.join(BOB, "Bob");
    let heard = stage.join("bob@b.test/pda", "Bob");
    assert_eq!(
        heard,
        [
            "bob <- Alice is owner/moderator",
            "alice <- Bob is none/participant bob@b.test/pda",
            "bob <- Bob is none/participant bob@b.test/pda [110]",
            "bob <- Bob is none/participant bob@b.test/pda [170 110]",
            "bob <- heath talks of: ",
        ]
    );
    assert_eq!(stage.say(ALICE, "hi").len(), 3);
    let heard = stage.leave("bob@b.test/pda", "Bob");
    assert_eq!(
        heard,
        [
            "bob <- Bob gone none/none bob@b.test/pda [110]",
            "alice <- Bob is none/participant bob@b.test/r",
            "bob <- Bob is none/participant bob@b.test/r [110]",
        ]
    );
}

/// A room that is not to last ends with its last occupant; one that is stays, and remembers.
#[test]
fn a_room_lasts_if_it_is_to() {
    let mut stage = Stage::of_alice(&[("persistentroom", "0")]);
    stage.leave(ALICE, "Alice");
    assert!(stage.room().founding.is_none());
    assert!(
        stage.join(BOB, "Bob")[0].contains("201"),
        "the place is free"
    );
    let mut stage = Stage::of_alice(&[("roomname", "The heath")]);
    stage.leave(ALICE, "Alice");
    stage.restart();
    let heard = stage.join(BOB, "Bob");
    assert_eq!(
        heard[0],
        "bob <- Bob is none/participant bob@b.test/r [170 110]"
    );
    let founding = stage.room().founding.as_ref().expect("a room");
    assert_eq!(founding.config.name, "The heath");
}

/// Nobody is out because the server was restarted, and a name that was given stays.
#[test]
fn a_restart_puts_nobody_out() {
    let mut stage = Stage::of_alice(&[]);
    stage.join(BOB, "Bob");
    stage.says(
        BOB,
        &format!("{HEATH}/Bob"),
        "<presence><show>away</show></presence>",
    );
    stage.says(
        ALICE,
        HEATH,
        "<message type='groupchat'><subject>Spells</subject></message>",
    );
    stage.restart();
    assert_eq!(
        stage.say(ALICE, "hi"),
        ["alice <- Alice: hi", "bob <- Alice: hi"]
    );
    let heard = stage.join(CAROL, "Carol");
    assert!(
        heard.contains(&"carol <- Alice talks of: Spells".to_owned()),
        "{heard:?}"
    );
    let shown = stage.raw(
        CAROL,
        &format!("{HEATH}/Carol"),
        &format!("<presence>{JOIN}</presence>"),
    );
    assert!(shown.iter().any(|it| it.contains("<show>away</show>")));
}

/// Attacks M19: a flood at the door waits outside.
#[test]
fn many_at_once_are_let_in_slowly() {
    let mut stage = Stage::of_alice(&[]);
    let mut come = |number: u32| {
        let who = format!("u{number}@evil.test/r");
        stage.join(&who, &format!("user {number}"))
    };
    let told = (0..150).map(&mut come);
    let refused = told
        .filter(|it| it[0].ends_with("error resource-constraint"))
        .count();
    assert!((45..=55).contains(&refused), "{refused}");
}
