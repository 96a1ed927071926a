//! What is said (XEP-0045 §7.4, §7.5, §7.8, §7.13, §8.1), and what is forged.

use super::*;

/// §7.4, examples 43 to 45; attack M01.
#[test]
fn what_one_says_all_hear() {
    let mut stage = Stage::of_alice(&[]);
    stage.join(BOB, "Bob");
    assert_eq!(stage.say(BOB, "hi"), ["alice <- Bob: hi", "bob <- Bob: hi"]);
    assert_eq!(stage.say(EVE, "hi"), ["eve <- error not-acceptable"]);
    let reflected = &stage.raw(
        BOB,
        HEATH,
        "<message type='groupchat' id='m1'><body>x</body></message>",
    )[0];
    assert!(reflected.contains("id='m1'"), "stable ids: {reflected}");
    assert!(reflected.contains("<stanza-id xmlns='urn:xmpp:sid:0' by='heath@rooms.a.test'"));
    let nowhere = stage.says(BOB, "moor@rooms.a.test", "<message type='groupchat'/>");
    assert_eq!(nowhere, ["bob <- error item-not-found"]);
}

/// Attacks M10, M11: one occupant-id, which is the room's; one stanza-id; no item of his own.
#[test]
fn nobody_says_what_only_the_room_may() {
    let mut stage = Stage::of_alice(&[]);
    stage.join(EVE, "Eve");
    let forged = "<message type='groupchat'><body>x</body>\
        <occupant-id xmlns='urn:xmpp:occupant-id:0' id='1'/>\
        <occupant-id xmlns='urn:xmpp:occupant-id:0' id='2'/>\
        <stanza-id xmlns='urn:xmpp:sid:0' by='heath@rooms.a.test' id='3'/>\
        <x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='owner'/></x>\
        <delay xmlns='urn:xmpp:delay' stamp='2001-01-01T00:00:00Z'/></message>";
    let heard = &stage.raw(EVE, HEATH, forged)[0];
    assert_eq!(heard.matches("<occupant-id").count(), 1, "{heard}");
    assert_eq!(heard.matches("<stanza-id").count(), 1, "{heard}");
    for word in ["id='1'", "id='2'", "id='3'", "owner", "2001"] {
        assert!(!heard.contains(word), "{word}: {heard}");
    }
    let id = |text: &str| {
        text.split("occupant-id:0' id='")
            .nth(1)
            .map(|it| it[..32].to_owned())
    };
    let own = id(heard).expect("an id");
    stage.leave(EVE, "Eve");
    let again = stage.raw(
        EVE,
        &format!("{HEATH}/Eva"),
        &format!("<presence>{JOIN}</presence>"),
    );
    let last = again
        .iter()
        .find(|it| it.contains("'110'"))
        .expect("herself");
    assert_eq!(id(last), Some(own.clone()), "the same under another name");
    let moor = "moor@rooms.a.test/Eve";
    stage.says(
        ALICE,
        "moor@rooms.a.test/A",
        &format!("<presence>{JOIN}</presence>"),
    );
    let config = "<x xmlns='jabber:x:data' type='submit'/>";
    stage.asks(ALICE, "moor@rooms.a.test", "set", ns::MUC_OWNER, config);
    let elsewhere = stage.raw(EVE, moor, &format!("<presence>{JOIN}</presence>"));
    let last = elsewhere
        .iter()
        .find(|it| it.contains("'110'"))
        .expect("herself");
    assert!(
        id(last).is_some_and(|it| it != own),
        "another in another room"
    );
}

/// §8.1, examples 83 to 86.
#[test]
fn the_subject_is_for_moderators_unless_it_is_open() {
    let mut stage = Stage::of_alice(&[]);
    stage.join(BOB, "Bob");
    let subject = "<message type='groupchat'><subject>Spells</subject></message>";
    assert_eq!(stage.says(BOB, HEATH, subject), ["bob <- error forbidden"]);
    let heard = stage.says(ALICE, HEATH, subject);
    assert_eq!(
        heard,
        [
            "alice <- Alice talks of: Spells",
            "bob <- Alice talks of: Spells"
        ]
    );
    stage.configure(ALICE, &[("changesubject", "1")]);
    assert_eq!(stage.says(BOB, HEATH, subject).len(), 2);
    let with_body = "<message type='groupchat'><subject>S</subject><body>b</body></message>";
    assert_eq!(
        stage.says(BOB, HEATH, with_body)[0],
        "alice <- Bob: b",
        "no change of it"
    );
    let heard = stage.join(CAROL, "Carol");
    assert_eq!(
        heard.last().map(String::as_str),
        Some("carol <- Bob talks of: Spells")
    );
}

/// §7.2.13: what was said before, also before a restart, and not who really said it.
#[test]
fn who_enters_hears_what_was_said_last() {
    let mut stage = Stage::of_alice(&[]);
    stage.say(ALICE, "one");
    stage.say(ALICE, "two");
    let history = |stage: &mut Stage, who: &str| -> Vec<String> {
        let heard = stage.raw(
            who,
            &format!("{HEATH}/X"),
            &format!("<presence>{JOIN}</presence>"),
        );
        let late = heard.into_iter().filter(|it| it.contains("urn:xmpp:delay"));
        late.filter(|it| it.contains("<body>")).collect()
    };
    let before = history(&mut stage, BOB);
    assert_eq!(before.len(), 2);
    assert!(before[0].contains("from='heath@rooms.a.test' stamp='2023-11-14T22:13:20."));
    stage.leave(BOB, "X");
    stage.restart();
    let after = history(&mut stage, BOB);
    assert_eq!(before, after);
    assert!(!after[0].contains("alice@a.test"), "{}", after[0]);
}

/// §7.5; attack M08.
#[test]
fn whispers_go_to_one() {
    let mut stage = Stage::of_alice(&[]);
    stage.join(BOB, "Bob");
    let whisper = |stage: &mut Stage, who: &str, to: &str| {
        let message = "<message type='chat'><body>psst</body></message>";
        stage.says(who, &format!("{HEATH}/{to}"), message)
    };
    assert_eq!(
        whisper(&mut stage, BOB, "Alice"),
        ["alice <- Bob whispers: psst"]
    );
    assert_eq!(
        whisper(&mut stage, EVE, "Alice"),
        ["eve <- error not-acceptable"]
    );
    assert_eq!(
        whisper(&mut stage, BOB, "Nobody"),
        ["bob <- error item-not-found"]
    );
    let all = stage.says(
        BOB,
        &format!("{HEATH}/Alice"),
        "<message type='groupchat'/>",
    );
    assert_eq!(all, ["bob <- error bad-request"]);
    stage.configure(ALICE, &[("allowpm", "none")]);
    assert_eq!(
        whisper(&mut stage, BOB, "Alice"),
        ["bob <- error forbidden"]
    );
    let raw = &stage.raw(
        ALICE,
        &format!("{HEATH}/Alice"),
        "<message><body>x</body></message>",
    )[0];
    assert!(
        raw.contains("<x xmlns='http://jabber.org/protocol/muc#user'/>"),
        "{raw}"
    );
}

/// §7.8.2: in a room for members who is invited becomes one.
#[test]
fn invitations() {
    let mut stage = Stage::of_alice(&[("membersonly", "1")]);
    let invite = |who: &str| {
        format!(
            "<message><x xmlns='http://jabber.org/protocol/muc#user'><invite to='{who}'>\
             <reason>come</reason></invite></x></message>"
        )
    };
    let sent = stage.raw(ALICE, HEATH, &invite("bob@b.test"));
    assert_eq!(sent.len(), 1);
    assert!(
        sent[0].contains("to='bob@b.test' from='heath@rooms.a.test'")
            && sent[0].contains("<invite from='heath@rooms.a.test/Alice'><reason>come</reason>"),
        "hers is hidden: {}",
        sent[0]
    );
    assert_eq!(stage.join(BOB, "Bob").len(), 4, "he is a member now");
    assert_eq!(
        stage.says(BOB, HEATH, &invite("eve@evil.test")),
        ["bob <- error forbidden"]
    );
    stage.configure(ALICE, &[("allowinvites", "1"), ("whois", "anyone")]);
    let sent = &stage.raw(BOB, HEATH, &invite("carol@a.test"))[0];
    assert!(sent.contains("<invite from='bob@b.test'>"), "{sent}");
    let outside = stage.says(EVE, HEATH, &invite("x@evil.test"));
    assert_eq!(outside, ["eve <- error not-acceptable"]);
    let declined = "<message><x xmlns='http://jabber.org/protocol/muc#user'>\
        <decline to='bob@b.test'><reason>busy</reason></decline></x></message>";
    let told = &stage.raw(CAROL, HEATH, declined)[0];
    assert!(told.contains("to='bob@b.test/r'") && told.contains("<decline from='carol@a.test'>"));
}

/// §7.13, §8.6.
#[test]
fn voice_is_asked_for_and_given() {
    let mut stage = Stage::of_alice(&[("moderatedroom", "1")]);
    stage.join(BOB, "Bob");
    assert_eq!(stage.say(BOB, "hi"), ["bob <- error forbidden"]);
    let form = |fields: &str| {
        format!(
            "<message><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
             <value>http://jabber.org/protocol/muc#request</value></field>{fields}</x></message>"
        )
    };
    let wish = form("<field var='muc#role'><value>participant</value></field>");
    let asked = stage.raw(BOB, HEATH, &wish);
    assert_eq!(asked.len(), 1);
    assert!(asked[0].contains("to='alice@a.test/r'") && asked[0].contains("<value>Bob</value>"));
    let answer = form(
        "<field var='muc#roomnick'><value>Bob</value></field>\
         <field var='muc#request_allow'><value>1</value></field>",
    );
    assert_eq!(
        stage.says(BOB, HEATH, &answer),
        ["bob <- error forbidden"],
        "not by himself"
    );
    let heard = stage.says(ALICE, HEATH, &answer);
    assert_eq!(
        heard,
        [
            "alice <- Bob is none/participant bob@b.test/r",
            "bob <- Bob is none/participant bob@b.test/r [110]",
        ]
    );
    assert_eq!(stage.say(BOB, "hi").len(), 2);
}

/// XEP-0500, and the bound that all have.
#[test]
fn nobody_speaks_too_fast() {
    let mut stage = Stage::of_alice(&[("slow_mode_duration", "10")]);
    stage.join(BOB, "Bob");
    assert_eq!(stage.say(BOB, "one").len(), 2);
    assert_eq!(stage.say(BOB, "two"), ["bob <- error policy-violation"]);
    assert_eq!(stage.say(ALICE, "moderators may").len(), 2);
    stage.now += 10_000;
    assert_eq!(stage.say(BOB, "three").len(), 2);
    let mut stage = Stage::of_alice(&[]);
    let told: Vec<_> = (0..60).map(|_| stage.say(ALICE, "x").remove(0)).collect();
    let refused = told
        .iter()
        .filter(|it| it.contains("policy-violation"))
        .count();
    assert!((9..=10).contains(&refused), "{refused}");
}

/// §17.4; attacks M12, M13: an answer comes from who was asked, under his name.
#[test]
fn questions_to_occupants_show_no_address() {
    let mut stage = Stage::of_alice(&[]);
    stage.join(BOB, "Bob");
    let version = "<iq type='get' id='v1'><query xmlns='jabber:iq:version'/></iq>";
    let passed = stage.raw(BOB, &format!("{HEATH}/Alice"), version).remove(0);
    assert!(
        passed.contains("to='alice@a.test/r' from='heath@rooms.a.test/Bob'"),
        "{passed}"
    );
    let id = stanza(&passed).id.expect("an id");
    assert_ne!(id, "v1");
    let result = format!("<iq type='result' id='{id}'><query xmlns='jabber:iq:version'/></iq>");
    let back = format!("{HEATH}/Bob");
    assert_eq!(stage.raw(EVE, &back, &result), [""; 0], "she was not asked");
    let told = stage.raw(ALICE, &back, &result).remove(0);
    assert!(
        told.contains("to='bob@b.test/r' from='heath@rooms.a.test/Alice' id='v1'"),
        "{told}"
    );
    assert_eq!(stage.raw(ALICE, &back, &result), [""; 0], "answered once");
    assert_eq!(
        stage.says(EVE, &format!("{HEATH}/Alice"), version),
        ["eve <- error not-acceptable"]
    );
    let disco = "<iq type='get' id='d'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>";
    assert_eq!(
        stage.says(EVE, &format!("{HEATH}/Alice"), disco),
        ["eve <- error bad-request"]
    );
}

/// XEP-0410.
#[test]
fn whoever_asks_is_told_whether_he_is_in() {
    let mut stage = Stage::of_alice(&[]);
    let ping = "<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>";
    let own = format!("{HEATH}/Alice");
    assert_eq!(stage.says(ALICE, &own, ping), ["alice <- result"]);
    assert_eq!(stage.says(BOB, &own, ping), ["bob <- error not-acceptable"]);
    stage.leave(ALICE, "Alice");
    assert_eq!(
        stage.says(ALICE, &own, ping),
        ["alice <- error not-acceptable"]
    );
}

/// Attacks M16: who is not there any more is put out, with the reason.
#[test]
fn ghosts_are_put_out() {
    for condition in [
        "recipient-unavailable",
        "gone",
        "item-not-found",
        "remote-server-not-found",
    ] {
        let mut stage = Stage::of_alice(&[]);
        stage.join(BOB, "Bob");
        let error = format!(
            "<message type='error'><error type='cancel'><{condition} \
             xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
        );
        assert_eq!(
            stage.says(BOB, HEATH, &error),
            [
                "bob <- Bob gone none/none bob@b.test/r [333 110]",
                "alice <- Bob gone none/none bob@b.test/r [333]",
            ],
            "{condition}"
        );
    }
    let mut stage = Stage::of_alice(&[]);
    let full = "<message type='error'><error type='wait'><resource-constraint \
                xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>";
    stage.says(ALICE, HEATH, full);
    assert_eq!(stage.say(ALICE, "hi").len(), 1, "she is there");
}

/// XEP-0313 §6.1.2: whoever may come in may read; who really spoke is told to who may know.
#[test]
fn what_was_said_is_found_again() {
    let mut stage = Stage::of_alice(&[]);
    for body in ["one", "two", "three"] {
        stage.say(ALICE, body);
    }
    stage.says(
        ALICE,
        HEATH,
        "<message type='groupchat'><active xmlns='urn:x'/></message>",
    );
    let query = |stage: &mut Stage, who: &str, inside: &str| {
        let query =
            format!("<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'>{inside}</query></iq>");
        stage.raw(who, HEATH, &query)
    };
    let found = query(&mut stage, ALICE, "");
    assert_eq!(found.len(), 4, "three messages and the result: {found:?}");
    assert!(found[0].contains("<body>one</body>") && found[0].contains("alice@a.test/r'/></x>"));
    let found = query(&mut stage, BOB, "");
    assert_eq!(found.len(), 4);
    assert!(
        !found[0].contains("jid='alice"),
        "hidden from him: {}",
        found[0]
    );
    let page = query(
        &mut stage,
        BOB,
        "<set xmlns='http://jabber.org/protocol/rsm'><max>1</max><before/></set>",
    );
    assert!(page[0].contains("<body>three</body>"), "{page:?}");
    stage.restart();
    assert_eq!(query(&mut stage, BOB, "").len(), 4);
    stage.configure(ALICE, &[("membersonly", "1")]);
    assert!(query(&mut stage, BOB, "")[0].contains("<forbidden"));
    let trim = "<iq type='set' id='t'><trim xmlns='urn:xmpp:mamtrim:0'/></iq>";
    assert_eq!(stage.says(BOB, HEATH, trim), ["bob <- error forbidden"]);
    assert_eq!(stage.says(ALICE, HEATH, trim), ["alice <- result"]);
    assert_eq!(
        query(&mut stage, ALICE, "").len(),
        1,
        "nothing but the result"
    );
}

/// XEP-0424, XEP-0425: his own is everybody's to take back, others' only moderators'.
#[test]
fn what_was_said_is_taken_back() {
    let mut stage = Stage::of_alice(&[]);
    stage.join(BOB, "Bob");
    let say = |stage: &mut Stage, who: &str, body: &str| -> String {
        let message = format!("<message type='groupchat' id='m'><body>{body}</body></message>");
        let heard = stage.raw(who, HEATH, &message).remove(0);
        let id = heard
            .split("by='heath@rooms.a.test' id='")
            .nth(1)
            .expect("an id");
        id[..32].to_owned()
    };
    let archive = |stage: &mut Stage| {
        let query = "<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'/></iq>";
        stage.raw(ALICE, HEATH, query).concat()
    };
    let retract = |id: &str| {
        format!(
            "<message type='groupchat' id='r'><retract id='{id}' \
             xmlns='urn:xmpp:message-retract:1'/></message>"
        )
    };
    let (first, second) = (say(&mut stage, BOB, "secret"), say(&mut stage, BOB, "rude"));
    assert_eq!(stage.raw(ALICE, HEATH, &retract(&first)).len(), 2);
    assert!(archive(&mut stage).contains("secret"), "it is not hers");
    assert_eq!(stage.raw(BOB, HEATH, &retract(&first)).len(), 2);
    let kept = archive(&mut stage);
    assert!(
        !kept.contains("secret") && kept.contains("<retracted xmlns="),
        "{kept}"
    );
    let moderate = |id: &str| {
        format!(
            "<iq type='set' id='x'><moderate id='{id}' xmlns='urn:xmpp:message-moderate:1'>\
             <retract xmlns='urn:xmpp:message-retract:1'/><reason>manners</reason></moderate></iq>"
        )
    };
    assert_eq!(
        stage.says(BOB, HEATH, &moderate(&second)),
        ["bob <- error forbidden"]
    );
    let told = stage.raw(ALICE, HEATH, &moderate(&second));
    assert_eq!(told.len(), 3);
    assert!(
        told[1].contains(&format!(
            "<retract xmlns='urn:xmpp:message-retract:1' id='{second}'>"
        )) && told[1].contains("by='heath@rooms.a.test/Alice'")
            && told[1].contains("<reason>manners</reason>"),
        "{}",
        told[1]
    );
    let kept = archive(&mut stage);
    assert!(
        !kept.contains("rude") && kept.contains("<moderated "),
        "{kept}"
    );
    let again = stage.says(ALICE, HEATH, &moderate(&second));
    assert_eq!(again, ["alice <- error item-not-found"]);
    stage.restart();
    let heard = stage.raw(
        CAROL,
        &format!("{HEATH}/Carol"),
        &format!("<presence>{JOIN}</presence>"),
    );
    assert!(!heard.concat().contains("rude"), "{heard:?}");
}
