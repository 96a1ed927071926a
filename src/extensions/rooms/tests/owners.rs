//! Configuration and the end of a room (XEP-0045 §10), and what it tells of itself (§6).

use super::*;

/// Attacks M02; §10.2.
#[test]
fn only_owners_configure() {
    let mut stage = Stage::of_alice(&[]);
    stage.join(BOB, "Bob");
    for (kind, inside) in [
        ("get", ""),
        ("set", "<x xmlns='jabber:x:data' type='submit'/>"),
        ("set", "<destroy/>"),
    ] {
        let heard = stage.asks(BOB, HEATH, kind, ns::MUC_OWNER, inside);
        assert_eq!(heard, ["bob <- error forbidden"], "{inside}");
    }
    let form = stage.answer(ALICE, HEATH, ns::MUC_OWNER, "");
    for field in [
        "roomname",
        "membersonly",
        "whois",
        "roomsecret",
        "presencebroadcast",
    ] {
        assert!(
            form.contains(&format!("var='muc#roomconfig_{field}'")),
            "{field}"
        );
    }
    assert!(
        form.contains("<value>alice@a.test</value>"),
        "owners: {form}"
    );
    assert_eq!(
        stage.asks(ROOT, HEATH, "get", ns::MUC_OWNER, ""),
        ["root <- result"],
        "the administrator of the domain owns all"
    );
}

/// §10.2.1: what matters to those who are there.
#[test]
fn changes_are_told() {
    let mut stage = Stage::of_alice(&[]);
    stage.join(BOB, "Bob");
    let codes = |heard: &[String]| -> Vec<String> {
        let of_bob = heard.iter().filter(|it| it.contains("to='bob@b.test/r'"));
        of_bob
            .flat_map(|it| it.split("code='").skip(1))
            .map(|it| it[..3].to_owned())
            .collect()
    };
    let configure =
        |stage: &mut Stage, fields: &[(&str, &str)]| {
            let field = |(var, value): &(&str, &str)| {
                format!("<field var='muc#roomconfig_{var}'><value>{value}</value></field>")
            };
            let fields: String = fields.iter().map(field).collect();
            stage.raw(ALICE, HEATH, &format!(
            "<iq type='set' id='c'><query xmlns='{}'><x xmlns='jabber:x:data' type='submit'>\
             {fields}</x></query></iq>", ns::MUC_OWNER
        ))
        };
    assert_eq!(
        codes(&configure(&mut stage, &[("whois", "anyone")])),
        ["172"]
    );
    assert_eq!(
        codes(&configure(&mut stage, &[("whois", "moderators")])),
        ["173"]
    );
    assert_eq!(
        codes(&configure(&mut stage, &[("enablearchiving", "0")])),
        ["171"]
    );
    assert_eq!(codes(&configure(&mut stage, &[("roomname", "x")])), ["104"]);
    assert_eq!(codes(&configure(&mut stage, &[])), [""; 0]);
    let heard = configure(&mut stage, &[("membersonly", "1")]);
    assert_eq!(codes(&heard), ["104", "322", "110"], "he is no member");
}

/// Attacks M14: nonsense in a form changes nothing.
#[test]
fn a_form_that_cannot_be_is_refused() {
    let mut stage = Stage::of_alice(&[]);
    for fields in [
        [("maxusers", "-1")],
        [("maxusers", "100000")],
        [("whois", "everybody")],
        [("passwordprotectedroom", "1")],
    ] {
        let heard = stage.configure(ALICE, &fields);
        assert_eq!(heard, ["alice <- error not-acceptable"], "{fields:?}");
    }
    let long = "x".repeat(5_000);
    assert_eq!(
        stage.configure(ALICE, &[("roomdesc", &long)]),
        ["alice <- error not-acceptable"]
    );
    assert_eq!(
        stage.configure(ALICE, &[("roomowners", "")]),
        ["alice <- error conflict"]
    );
}

/// §10.5 by the form: whole lists.
#[test]
fn the_form_has_the_lists_of_the_staff() {
    let mut stage = Stage::of_alice(&[]);
    let heard = stage.configure(ALICE, &[("roomadmins", "bob@b.test")]);
    assert_eq!(heard[0], "alice <- result");
    assert_eq!(
        stage.room().people.affiliation("bob@b.test"),
        standing::Affiliation::Admin
    );
    stage.configure(ALICE, &[("roomowners", "bob@b.test")]);
    let people = &stage.room().people;
    assert_eq!(
        people.affiliation("bob@b.test"),
        standing::Affiliation::Owner
    );
    assert_eq!(
        people.affiliation("alice@a.test"),
        standing::Affiliation::Member
    );
}

/// §10.9, examples 190 to 192.
#[test]
fn a_room_is_destroyed() {
    let mut stage = Stage::of_alice(&[]);
    stage.join(BOB, "Bob");
    let destroy = "<iq type='set' id='d'><query xmlns='http://jabber.org/protocol/muc#owner'>\
        <destroy jid='moor@rooms.a.test'><reason>Macbeth</reason></destroy></query></iq>";
    let heard = stage.raw(ALICE, HEATH, destroy);
    assert_eq!(heard.len(), 3, "{heard:?}");
    assert!(heard[0].contains("type='result'"));
    let told = heard
        .iter()
        .find(|it| it.contains("to='bob@b.test/r'"))
        .expect("Bob's");
    assert!(
        told.contains("type='unavailable'")
            && told.contains("<destroy jid='moor@rooms.a.test'><reason>Macbeth</reason>"),
        "{told}"
    );
    assert_eq!(stage.say(BOB, "hi"), ["bob <- error item-not-found"]);
    stage.restart();
    let info = stage.says(
        BOB,
        HEATH,
        "<iq type='get' id='i'><query \
        xmlns='http://jabber.org/protocol/disco#info'/></iq>",
    );
    assert_eq!(info, ["bob <- error item-not-found"]);
}

/// §6.3, §6.4: the lobby lists what is public; a room says what it is.
#[test]
fn rooms_are_found() {
    let mut stage = Stage::of_alice(&[("roomname", "The heath"), ("roomdesc", "Witches")]);
    let lobby = "rooms.a.test";
    let items = |stage: &mut Stage| stage.answer(EVE, lobby, ns::DISCO_ITEMS, "");
    assert!(
        items(&mut stage).contains("<item jid='heath@rooms.a.test' name='The heath (1)'/>"),
        "{}",
        items(&mut stage)
    );
    let info = stage.answer(EVE, HEATH, ns::DISCO_INFO, "");
    for word in [
        "<identity category='conference' type='text' name='The heath'/>",
        "<feature var='http://jabber.org/protocol/muc'/>",
        "<feature var='muc_public'/>",
        "<feature var='muc_semianonymous'/>",
        "<feature var='urn:xmpp:occupant-id:0'/>",
        "<value>Witches</value>",
    ] {
        assert!(info.contains(word), "{word}: {info}");
    }
    assert!(!info.contains("alice@a.test"), "addresses are hidden");
    stage.restart();
    assert!(
        items(&mut stage).contains("name='The heath (0)'"),
        "as long as nobody asked it"
    );
    stage.configure(ALICE, &[("publicroom", "0")]);
    assert!(
        !items(&mut stage).contains("heath@"),
        "{}",
        items(&mut stage)
    );
    let service = stage.answer(EVE, lobby, ns::DISCO_INFO, "");
    assert!(service.contains("<identity category='conference' type='text' name='Rooms'/>"));
    let presence = stage.says(EVE, lobby, "<presence/>");
    assert_eq!(presence, ["eve <- error jid-malformed"]);
}
