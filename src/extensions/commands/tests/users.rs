//! Commands about users: adding, ending, finding and counting them.

use super::*;

#[test]
fn a_user_is_added() {
    let fields = |verify| {
        [
            ("accountjid", "ada@a.test"),
            ("password", "one"),
            ("password-verify", verify),
        ]
    };
    let Command::AddUser(user, _) = ordered("add-user", &fields("one")) else {
        panic!()
    };
    assert_eq!(user.as_str(), "ada@a.test");
    let payload = second("add-user", &fields("one"));
    let done = heard(&payload, Some(Outcome::Done));
    assert_eq!(ended(&done), ("completed".into(), vec![]));
    let exists = heard(&payload, Some(Outcome::Failed(Failure::Exists)));
    assert_eq!(verdict(&exists), "conflict");
    let failed = heard(&second("add-user", &fields("two")), None);
    assert_eq!(
        ended(&failed).1,
        ["error: the two passwords are not the same"]
    );
}

#[test]
fn addresses_of_others_are_refused_with_a_note() {
    for other in ["ada@b.test", "ada@evil.test", "a.test", "a@b@c", ""] {
        let fields = [
            ("accountjid", other),
            ("password", "one"),
            ("password-verify", "one"),
        ];
        let answer = heard(&second("add-user", &fields), None);
        match other.is_empty() {
            true => assert_eq!(verdict(&answer), "bad-request"),
            false => {
                let (status, notes) = ended(&answer);
                assert_eq!(status, "completed");
                assert!(notes[0].starts_with("error: "), "{other}: {notes:?}");
            }
        }
        for name in [
            "delete-user",
            "disable-user",
            "reenable-user",
            "end-user-session",
        ] {
            let fields = [("accountjids", other)];
            let answer = heard(&second(name, &fields), None);
            let refused = other.is_empty() && verdict(&answer) == "bad-request";
            assert!(refused || ended(&answer).1.len() == 1, "{name} {other}");
        }
    }
}

#[test]
fn one_account_or_several() {
    let Command::DeleteUser(one) = ordered("delete-user", &[("accountjids", "ada@a.test/desk")])
    else {
        panic!()
    };
    assert_eq!(one.as_str(), "ada@a.test");
    let Command::EndSessions(full) =
        ordered("end-user-session", &[("accountjids", "ada@a.test/desk")])
    else {
        panic!()
    };
    assert_eq!(full.as_str(), "ada@a.test/desk");

    let several = |jids: &[String]| {
        let mut payload = second("disable-user", &[("accountjids", "")]);
        let x = payload.child_mut(ns::DATA_FORMS, "x").unwrap();
        let field = x.child_mut(ns::DATA_FORMS, "field").unwrap();
        for jid in jids {
            field.push(Element::new(ns::DATA_FORMS, "value").with_text(jid));
        }
        payload
    };
    let names = |count| {
        (0..count)
            .map(|n| format!("u{n}@a.test"))
            .collect::<Vec<_>>()
    };
    let payload = several(&names(2));
    let command = Scene::new().command(&Commands, &asked(&payload));
    let Command::Several(commands) = command else {
        panic!()
    };
    assert!(matches!(&commands[1], Command::DisableUser(jid) if jid.as_str() == "u1@a.test"));
    let outcomes = vec![Outcome::Done, Outcome::Failed(Failure::Absent)];
    let answer = heard(&payload, Some(Outcome::Several(outcomes)));
    assert_eq!(
        ended(&answer).1,
        ["error: u1@a.test: there is no such account"]
    );
    Scene::new().command(&Commands, &asked(&several(&names(100))));
    assert_eq!(verdict(&heard(&several(&names(101)), None)), "bad-request");
}

#[test]
fn a_password_is_changed_and_an_administrator_keeps_the_own_session() {
    let change = |jid| {
        let fields = [("accountjid", jid), ("password", "new")];
        match ordered("change-user-password", &fields) {
            Command::SetPassword { user, except, .. } => (
                user.as_str().to_owned(),
                except.map(|jid| jid.as_str().to_owned()),
            ),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(change("ada@a.test"), ("ada@a.test".into(), None));
    assert_eq!(
        change("root@a.test"),
        ("root@a.test".into(), Some(ROOT.into()))
    );
}

#[test]
fn users_are_counted_and_listed() {
    let users = || Some(Outcome::Users(vec![user("ada", false), user("bob", true)]));
    let number = |name: &str, var| field(&heard(&first(name), users()), var);
    assert_eq!(
        number("get-registered-users-num", "registeredusersnum"),
        ["2"]
    );
    assert_eq!(number("get-disabled-users-num", "disabledusersnum"), ["1"]);
    assert_eq!(number("get-online-users-num", "onlineusersnum"), ["2"]);
    let list = |name: &str, var, max: &[_]| {
        let answer = heard(&second(name, max), users());
        (field(&answer, var), ended(&answer).1)
    };
    let all = (
        vec!["ada@a.test".to_owned(), "bob@a.test".to_owned()],
        vec![],
    );
    assert_eq!(
        list("get-registered-users-list", "registereduserjids", &[]),
        all
    );
    assert_eq!(
        list(
            "get-online-users-list",
            "onlineuserjids",
            &[("max_items", "none")]
        ),
        all
    );
    let disabled = (vec!["bob@a.test".to_owned()], vec![]);
    assert_eq!(
        list("get-disabled-users-list", "disableduserjids", &[]),
        disabled
    );
    let (shown, notes) = list(
        "get-online-users-list",
        "onlineuserjids",
        &[("max_items", "1")],
    );
    assert_eq!(
        (shown.len(), notes),
        (1, vec!["warn: 1 of 2 are shown".to_owned()])
    );
    let wrong = second("get-online-users-list", &[("max_items", "-1")]);
    assert_eq!(verdict(&heard(&wrong, users())), "bad-request");
}

#[test]
fn facts_on_a_user() {
    let stats = |var| {
        let payload = second("user-stats", &[(var, "ada@a.test")]);
        let command = Scene::new().command(&Commands, &asked(&payload));
        assert!(matches!(command, Command::UserInfo(jid) if jid.as_str() == "ada@a.test"));
        heard(&payload, Some(Outcome::Users(vec![user("ada", false)])))
    };
    for var in ["accountjid", "accountjids"] {
        assert_eq!(field(&stats(var), "onlineresources"), ["r"]);
    }
    assert_eq!(
        verdict(&heard(&second("user-stats", &[]), None)),
        "bad-request"
    );
    let payload = second("get-user-lastlogin", &[("accountjids", "ada@a.test")]);
    let answer = heard(&payload, Some(Outcome::Users(vec![user("ada", false)])));
    assert_eq!(field(&answer, "lastlogin"), ["1970-01-01T00:00:00Z"]);
    assert_eq!(ended(&answer).1, ["info: ada@a.test is here now"]);
    let absent = heard(&payload, Some(Outcome::Failed(Failure::Absent)));
    assert_eq!(ended(&absent).1, ["error: there is no such account"]);
}

#[test]
fn who_is_active_and_who_is_idle() {
    let users = || {
        Some(Outcome::Users(vec![
            user("ada", false),
            user("idle", false),
        ]))
    };
    for (command, var, expected) in [
        ("get-active-users-num", "activeusersnum", "1"),
        ("get-idle-users-num", "idleusersnum", "1"),
        ("get-active-users", "activeuserjids", "ada@a.test"),
        ("get-idle-users", "activeuserjids", "idle@a.test"),
    ] {
        let payload = second(command, &[]);
        assert!(matches!(ordered(command, &[]), Command::OnlineUsers(_)));
        assert_eq!(
            field(&heard(&payload, users()), var),
            [expected],
            "{command}"
        );
    }
}

#[test]
fn a_roster_stands_in_the_form() {
    let fields = [("accountjids", "ada@a.test/desk")];
    let Command::UserRoster(jid) = ordered("get-user-roster", &fields) else {
        panic!()
    };
    assert_eq!(jid.as_str(), "ada@a.test");
    let item = Element::new(ns::ROSTER, "item").with_attr("jid", "bob@b.test");
    let query = Element::new(ns::ROSTER, "query").with_child(item);
    let payload = second("get-user-roster", &fields);
    let answer = heard(&payload, Some(Outcome::Roster(query.clone())));
    let command = answer.payload().unwrap();
    let form = command.child(ns::DATA_FORMS, "x").unwrap();
    assert_eq!(form.child(ns::ROSTER, "query"), Some(&query));
    let absent = heard(&payload, Some(Outcome::Failed(Failure::Absent)));
    assert_eq!(ended(&absent).1, ["error: there is no such account"]);
}
