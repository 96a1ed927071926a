//! What moderators and admins do (XEP-0045 §8, §9).

use super::*;

/// §8.2, examples 89 to 92.
#[test]
fn a_kick() {
    let mut stage = Stage::of_alice(&[]);
    stage.join(BOB, "Bob");
    let kick = "<item nick='Bob' role='none'><reason>Avaunt</reason></item>";
    let query = format!("<query xmlns='{}'>{kick}</query>", ns::MUC_ADMIN);
    let heard = stage.raw(ALICE, HEATH, &format!("<iq type='set' id='k'>{query}</iq>"));
    assert!(
        heard[1].contains("<actor nick='Alice'/><reason>Avaunt</reason>"),
        "{}",
        heard[1]
    );
    let heard: Vec<_> = heard.iter().map(|it| short(&stanza(it))).collect();
    assert_eq!(
        heard,
        [
            "alice <- result",
            "bob <- Bob gone none/none bob@b.test/r [307 110]",
            "alice <- Bob gone none/none bob@b.test/r [307]",
        ]
    );
    assert_eq!(stage.join(BOB, "Bob").len(), 4, "he may come again");
    assert_eq!(
        stage.admin(BOB, "set", "<item nick='Alice' role='none'/>"),
        ["bob <- error forbidden"]
    );
    assert_eq!(
        stage.admin(ALICE, "set", "<item nick='X' role='none'/>"),
        ["alice <- error item-not-found"]
    );
}

/// §9.1, examples 106 to 110.
#[test]
fn a_ban() {
    let mut stage = Stage::of_alice(&[]);
    stage.join(EVE, "Eve");
    let ban = "<item affiliation='outcast' jid='eve@evil.test/x'><reason>Treason</reason></item>";
    assert_eq!(
        stage.admin(ALICE, "set", ban),
        [
            "alice <- result",
            "eve <- Eve gone outcast/none eve@evil.test/r [301 110]",
            "alice <- Eve gone outcast/none eve@evil.test/r [301]",
        ]
    );
    stage.restart();
    assert_eq!(stage.join(EVE, "Eve"), ["eve <- error forbidden"]);
    let list = stage.answer(ALICE, HEATH, ns::MUC_ADMIN, "<item affiliation='outcast'/>");
    assert!(
        list.contains("<item affiliation='outcast' jid='eve@evil.test'><reason>Treason</reason>"),
        "{list}"
    );
    let own = "<item affiliation='outcast' jid='alice@a.test'/>";
    assert_eq!(stage.admin(ALICE, "set", own), ["alice <- error conflict"]);
}

/// §9.4: in a room for members, who is none any more is out.
#[test]
fn membership_is_given_and_taken() {
    let mut stage = Stage::of_alice(&[("membersonly", "1")]);
    let heard = stage.raw(
        ALICE,
        HEATH,
        &format!(
            "<iq type='set' id='k'><query xmlns='{}'><item affiliation='member' jid='bob@b.test' \
         nick='Bob'/></query></iq>",
            ns::MUC_ADMIN
        ),
    );
    assert!(heard[1].contains("<invite"), "he may come: {heard:?}");
    assert_eq!(
        stage.join(CAROL, "Bob"),
        ["carol <- error registration-required"]
    );
    stage.join(BOB, "Bob");
    let none = "<item affiliation='none' jid='bob@b.test'/>";
    assert_eq!(
        stage.admin(ALICE, "set", none),
        [
            "alice <- result",
            "bob <- Bob gone none/none bob@b.test/r [321 110]",
            "alice <- Bob gone none/none bob@b.test/r [321]",
        ]
    );
}

/// §9.6, §9.7, §10.6: moderators and admins.
#[test]
fn who_is_made_more_and_less() {
    let mut stage = Stage::of_alice(&[]);
    stage.join(BOB, "Bob");
    let moderator = "<item nick='Bob' role='moderator'/>";
    assert_eq!(
        stage.admin(ALICE, "set", moderator)[1],
        "alice <- Bob is none/moderator bob@b.test/r"
    );
    stage.join(CAROL, "Carol");
    assert_eq!(
        stage.admin(BOB, "set", "<item nick='Alice' role='none'/>"),
        ["bob <- error not-allowed"]
    );
    assert_eq!(
        stage
            .admin(BOB, "set", "<item nick='Carol' role='visitor'/>")
            .len(),
        4
    );
    let admin = "<item affiliation='admin' jid='bob@b.test'/>";
    assert_eq!(stage.admin(BOB, "set", admin), ["bob <- error forbidden"]);
    assert_eq!(
        stage.admin(ALICE, "set", admin)[1],
        "alice <- Bob is admin/moderator bob@b.test/r"
    );
    let member = "<item affiliation='member' jid='bob@b.test'/>";
    let heard = stage.admin(ALICE, "set", member);
    assert_eq!(heard[1], "alice <- Bob is member/participant bob@b.test/r");
    let own = "<item affiliation='member' jid='alice@a.test'/>";
    assert_eq!(
        stage.admin(ALICE, "set", own),
        ["alice <- error conflict"],
        "the last owner"
    );
}

/// Attacks M02, M03: lists are not for everybody.
#[test]
fn lists_are_for_those_who_may_see_them() {
    let mut stage = Stage::of_alice(&[("whois", "moderators")]);
    stage.admin(
        ALICE,
        "set",
        "<item affiliation='member' jid='bob@b.test'/>",
    );
    stage.join(BOB, "Bob");
    for list in ["owner", "admin", "member", "outcast"] {
        let item = format!("<item affiliation='{list}'/>");
        assert_eq!(
            stage.admin(BOB, "get", &item),
            ["bob <- error forbidden"],
            "{list}"
        );
        assert_eq!(
            stage.admin(EVE, "get", &item),
            ["eve <- error forbidden"],
            "{list}"
        );
        assert_eq!(
            stage.admin(ALICE, "get", &item),
            ["alice <- result"],
            "{list}"
        );
    }
    stage.configure(
        ALICE,
        &[("whois", "anyone"), ("getmemberlist", "participant")],
    );
    assert_eq!(
        stage.admin(BOB, "get", "<item affiliation='member'/>"),
        ["bob <- result"]
    );
    assert_eq!(
        stage.admin(BOB, "get", "<item affiliation='outcast'/>"),
        ["bob <- error forbidden"]
    );
    let voices = stage.answer(ALICE, HEATH, ns::MUC_ADMIN, "<item role='participant'/>");
    assert!(
        voices.contains("jid='bob@b.test/r' nick='Bob' role='participant'"),
        "{voices}"
    );
}

/// All of a request, or nothing of it.
#[test]
fn a_request_that_may_not_be_changes_nothing() {
    let mut stage = Stage::of_alice(&[]);
    stage.join(BOB, "Bob");
    let items = "<item affiliation='member' jid='bob@b.test'/><item affiliation='outcast' \
                 jid='alice@a.test'/>";
    assert_eq!(
        stage.admin(ALICE, "set", items),
        ["alice <- error conflict"]
    );
    assert_eq!(
        stage.room().people.affiliation("bob@b.test"),
        standing::Affiliation::None
    );
    for items in [
        "",
        "<item nick='Bob' role='king'/>",
        "<item affiliation='member'/>",
    ] {
        let answer = stage.admin(ALICE, "set", items);
        assert!(answer[0].contains("error"), "{items}: {answer:?}");
    }
}

/// §7.10: a name that belongs to a member.
#[test]
fn a_name_of_ones_own() {
    let mut stage = Stage::of_alice(&[]);
    let register = |nick: &str| {
        format!(
            "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
             <value>http://jabber.org/protocol/muc#register</value></field>\
             <field var='muc#register_roomnick'><value>{nick}</value></field></x>"
        )
    };
    let set = |stage: &mut Stage, who: &str, nick: &str| {
        stage.asks(who, HEATH, "set", ns::REGISTER, &register(nick))
    };
    assert_eq!(set(&mut stage, BOB, "Bob"), ["bob <- result"]);
    assert_eq!(set(&mut stage, CAROL, "Bob"), ["carol <- error conflict"]);
    assert_eq!(
        set(&mut stage, CAROL, "Alice"),
        ["carol <- error conflict"],
        "she is there"
    );
    assert_eq!(stage.join(CAROL, "B\u{43e}b"), ["carol <- error conflict"]);
    let known = stage.answer(BOB, HEATH, ns::REGISTER, "");
    assert!(
        known.contains("<registered/><username>Bob</username>"),
        "{known}"
    );
    let query = "<iq type='get' id='n'><query xmlns='http://jabber.org/protocol/disco#info' \
                 node='x-roomuser-item'/></iq>";
    let named = stage.raw(BOB, HEATH, query).remove(0);
    assert!(named.contains("name='Bob'"), "{named}");
    assert_eq!(
        stage.asks(BOB, HEATH, "set", ns::REGISTER, "<remove/>"),
        ["bob <- result"]
    );
    assert_eq!(stage.join(CAROL, "Bob").len(), 4);
}
