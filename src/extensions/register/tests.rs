//! What a client hears that registers, changes its password or leaves.

use super::*;
use crate::extensions::scene::{Scene, get, only_command, set, verdict};

fn query(inside: &str) -> Element {
    Element::parse(
        &format!("<query xmlns='jabber:iq:register'>{inside}</query>"),
        "",
    )
    .unwrap()
}

fn open() -> Scene {
    Scene::with(|settings| settings.register.open = true)
}

/// An IQ on a stream to a.test that nobody has logged in on.
fn before(scene: &Scene, kind: IqType, inside: &str) -> Result<Command, Stanza> {
    let payload = query(inside);
    let request = Stanza::iq(kind, "r1").with_child(&payload);
    match StreamRole::iq(&Register, &request, &payload, "a.test", &scene.site) {
        Before::Reply(reply) => Err(reply),
        Before::Administer(command) => Ok(command),
    }
}

const ADA: &str = "<username>Ada</username><password>Calliope</password>";

#[test]
fn closed_means_closed() {
    let scene = Scene::new();
    assert!(Register.features(&scene.site).is_empty());
    for kind in [IqType::Get, IqType::Set] {
        let answer = before(&scene, kind, ADA).unwrap_err();
        assert_eq!(verdict(&answer), "service-unavailable");
    }
}

#[test]
fn open_tells_what_to_send() {
    let scene = open();
    assert!(Register.features(&scene.site)[0].is(ns::REGISTER_FEATURE, "register"));
    let asked = before(&scene, IqType::Get, "")
        .unwrap_err()
        .payload()
        .unwrap();
    for field in ["instructions", "username", "password"] {
        assert!(asked.child(ns::REGISTER, field).is_some(), "{field}");
    }
    let form = asked.child(ns::DATA_FORMS, "x").unwrap();
    let vars: Vec<_> = form
        .children()
        .filter_map(|field| field.attr("var"))
        .collect();
    assert_eq!(vars, ["FORM_TYPE", "username", "password"]);
}

#[test]
fn a_newcomer_gets_the_account_that_was_asked_for() {
    let form = "<x xmlns='jabber:x:data' type='submit'>
        <field var='FORM_TYPE'><value>jabber:iq:register</value></field>
        <field var='username'><value>ada</value></field>
        <field var='password'><value>Calliope</value></field></x>";
    for sent in [ADA, form] {
        let Ok(Command::Register(user, _)) = before(&open(), IqType::Set, sent) else {
            panic!("refused: {sent}");
        };
        assert_eq!(user.as_str(), "ada@a.test");
    }
}

#[test]
fn what_is_missing_or_impossible_is_not_acceptable() {
    let scene = open();
    let long = format!(
        "<username>ada</username><password>{}</password>",
        "x".repeat(1025)
    );
    let rows = [
        "",
        "<username>ada</username>",
        "<username>ada</username><password/>",
        "<password>Calliope</password>",
        "<username>admin</username><password>Calliope</password>",
        "<username>ada</username><password>a&#x9;b</password>",
        &long,
    ];
    for sent in rows {
        let answer = before(&scene, IqType::Set, sent).unwrap_err();
        assert_eq!(verdict(&answer), "not-acceptable", "{sent}");
    }
}

#[test]
fn nobody_leaves_who_has_not_come() {
    for sent in ["<remove/>".to_owned(), format!("<remove/>{ADA}")] {
        let answer = before(&open(), IqType::Set, &sent).unwrap_err();
        assert_eq!(verdict(&answer), "unexpected-request", "{sent}");
    }
}

#[test]
fn the_outcome_is_told_to_the_newcomer() {
    let scene = open();
    let request = Stanza::iq(IqType::Set, "r1").with_child(&query(ADA));
    let told = |outcome| {
        verdict(&StreamRole::administered(
            &Register,
            &request,
            outcome,
            &scene.site,
        ))
    };
    assert_eq!(told(Outcome::Done), "result");
    assert_eq!(told(Outcome::Failed(Failure::Exists)), "conflict");
    assert_eq!(told(Outcome::Failed(Failure::Busy)), "resource-constraint");
    assert_eq!(
        told(Outcome::Failed(Failure::Name("no".into()))),
        "not-acceptable"
    );
}

/// What alice hears when she sends this without `to`, or to the server.
fn alice(inside: &str) -> [Result<Command, Stanza>; 2] {
    let scene = Scene::new();
    let judge = |fx: Effects| match fx.routed().next() {
        Some(answer) => Err(answer.clone()),
        None => Ok(only_command(&fx)),
    };
    let request = set("alice@a.test/r", "alice@a.test", &query(inside));
    let at_account = judge(scene.account_effects(&mut Register, &request));
    let request = set("alice@a.test/r", "a.test", &query(inside));
    let mut fx = scene.effects();
    DomainRole::iq(
        &Register,
        &request,
        &request.payload().unwrap(),
        &scene.site,
        &mut fx,
    );
    [at_account, judge(fx)]
}

#[test]
fn a_user_sees_that_she_is_registered() {
    let scene = Scene::new();
    let request = get("alice@a.test/r", "a.test", &query(""));
    let told = scene.answer_of_domain(&Register, &request);
    assert!(told.child(ns::REGISTER, "registered").is_some());
    assert_eq!(
        told.child(ns::REGISTER, "username").unwrap().text(),
        "alice"
    );
    assert_eq!(told.child(ns::REGISTER, "password").unwrap().text(), "");
}

#[test]
fn a_user_changes_her_own_password_and_keeps_her_session() {
    for sent in [
        "<password>new</password>",
        "<username>ALICE</username><password>new</password>",
    ] {
        for command in alice(sent) {
            let Ok(Command::SetPassword { user, except, .. }) = command else {
                panic!("{sent}")
            };
            assert_eq!(user.as_str(), "alice@a.test");
            assert_eq!(except.unwrap().as_str(), "alice@a.test/r");
        }
    }
    let emptied = "<x xmlns='jabber:x:data' type='submit'>
        <field var='FORM_TYPE'><value>jabber:iq:register:changepassword</value></field>
        <field var='password'><value/></field></x>";
    let rows = [
        (emptied, "not-acceptable"),
        ("<username>alice</username><password/>", "not-acceptable"),
        ("<username>alice</username>", "bad-request"),
        ("", "bad-request"),
        (
            "<username>bob</username><password>new</password>",
            "not-allowed",
        ),
        (
            "<username>a@b</username><password>new</password>",
            "not-allowed",
        ),
    ];
    for (sent, expected) in rows {
        for answer in alice(sent) {
            assert_eq!(verdict(&answer.unwrap_err()), expected, "{sent}");
        }
    }
}

#[test]
fn a_user_leaves() {
    for command in alice("<remove/>") {
        let Ok(Command::DeleteUser(user)) = command else {
            panic!("stays")
        };
        assert_eq!(user.as_str(), "alice@a.test");
    }
    for answer in alice("<remove/><username>alice</username>") {
        assert_eq!(verdict(&answer.unwrap_err()), "bad-request");
    }
}

#[test]
fn strangers_can_do_nothing_with_the_server_or_with_an_account() {
    let scene = open();
    for inside in ["", "<remove/>", "<password>new</password>"] {
        for from in ["eve@evil.test/r", "carol@b.test/r", "evil.test"] {
            let request = set(from, "a.test", &query(inside));
            assert_eq!(scene.ask_domain(&Register, &request), "service-unavailable");
        }
        let request = set("eve@evil.test/r", "alice@a.test", &query(inside));
        assert_eq!(
            scene.ask_account(&mut Register, &request),
            "service-unavailable"
        );
    }
}
