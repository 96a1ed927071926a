//! Commands as administrators give them, and as everybody else tries to.

use rookery_actors::admin::{Failure, User};
use rookery_actors::notices::{Notice, Occasion};

use super::*;
use crate::extensions::scene::{Scene, get, jid, only_command, set, verdict};

mod users;

const ROOT: &str = "root@a.test/desk";

fn node(name: &str) -> String {
    format!("{}#{name}", admin::FORM_TYPE)
}

/// A command at its first stage.
fn first(name: &str) -> Element {
    Element::new(ns::ADHOC, "command").with_attr("node", node(name))
}

/// A command with its form: pairs of field and value.
fn second(name: &str, fields: &[(&str, &str)]) -> Element {
    let field = |(var, value): &(&str, &str)| {
        let value = Element::new(ns::DATA_FORMS, "value").with_text(value);
        Element::new(ns::DATA_FORMS, "field")
            .with_attr("var", var)
            .with_child(value)
    };
    let x = Element::new(ns::DATA_FORMS, "x").with_attr("type", "submit");
    first(name)
        .with_attr("action", "complete")
        .with_child(x.with_children(fields.iter().map(field)))
}

fn asked(payload: &Element) -> Stanza {
    set(ROOT, "a.test", payload)
}

fn ordered(name: &str, fields: &[(&str, &str)]) -> Command {
    Scene::new().command(&Commands, &asked(&second(name, fields)))
}

/// What root is told at once, or after this outcome.
fn heard(payload: &Element, outcome: Option<Outcome>) -> Stanza {
    match outcome {
        None => Scene::new().reply_of_domain(&Commands, &asked(payload)),
        Some(outcome) => Scene::new().told(&Commands, &asked(payload), outcome),
    }
}

/// Status and notes of a command's answer.
fn ended(answer: &Stanza) -> (String, Vec<String>) {
    let command = answer.payload().unwrap();
    let notes = command
        .children()
        .filter(|child| child.name() == "note")
        .map(|note| format!("{}: {}", note.attr("type").unwrap(), note.text()));
    (command.attr("status").unwrap().to_owned(), notes.collect())
}

/// The values of a field of the answer's form.
fn field(answer: &Stanza, var: &str) -> Vec<String> {
    let x = answer
        .payload()
        .unwrap()
        .child(ns::DATA_FORMS, "x")
        .unwrap()
        .clone();
    let field = x
        .children()
        .find(|field| field.attr("var") == Some(var))
        .unwrap();
    field
        .children()
        .filter(|child| child.name() == "value")
        .map(Element::text)
        .collect()
}

fn user(name: &str, disabled: bool) -> User {
    let jid = format!("{name}@a.test");
    User {
        jid,
        disabled,
        created: 5,
        last_seen: Some(7),
        resources: vec!["r".into()],
        active: name != "idle",
    }
}

#[test]
fn by_default_nobody_may_do_anything() {
    let mut admin_of_b = Scene::with(|settings| settings.admins.push("bob@b.test".into()));
    admin_of_b.enter("r");
    for task in admin::TASKS {
        let payload = Element::new(ns::ADHOC, "command").with_attr("node", task.node);
        for from in [
            "alice@a.test/r",
            "bob@b.test/r",
            "root@b.test/r",
            "eve@evil.test",
            "a.test",
        ] {
            let request = set(from, "a.test", &payload);
            assert_eq!(
                admin_of_b.ask_domain(&Commands, &request),
                "forbidden",
                "{}",
                task.node
            );
        }
        let own = set("alice@a.test/r", "alice@a.test", &payload);
        assert_eq!(
            admin_of_b.ask_account(&mut Commands, &own),
            "forbidden",
            "{}",
            task.node
        );
        for from in ["root@a.test/r", "eve@evil.test/r"] {
            let others = set(from, "alice@a.test", &payload);
            let said = admin_of_b.ask_account(&mut Commands, &others);
            assert_eq!(said, "service-unavailable", "{}", task.node);
        }
    }
}

#[test]
fn every_command_asks_first_or_is_done_at_once() {
    for task in admin::TASKS {
        let payload = Element::new(ns::ADHOC, "command").with_attr("node", task.node);
        if task.questions.is_empty() {
            Scene::new().command(&Commands, &asked(&payload));
            continue;
        }
        let command = heard(&payload, None).payload().unwrap();
        assert_eq!(command.attr("status"), Some("executing"));
        assert!(command.attr("sessionid").is_some_and(|id| !id.is_empty()));
        let actions = command.child(ns::ADHOC, "actions").unwrap();
        assert!(
            actions
                .child(ns::ADHOC, actions.attr("execute").unwrap())
                .is_some()
        );
        let form = command.child(ns::DATA_FORMS, "x").unwrap();
        let vars: Vec<_> = form
            .children()
            .filter_map(|field| field.attr("var"))
            .collect();
        let expected = task.questions.iter().map(|field| field.var);
        assert_eq!(
            vars,
            ["FORM_TYPE"]
                .into_iter()
                .chain(expected)
                .collect::<Vec<_>>()
        );
    }
}

#[test]
fn a_session_is_good_for_one_asker_and_one_command() {
    let scene = Scene::with(|settings| settings.admins.push("zoe@a.test".into()));
    let says = |from, name: &str, action, id: &str| {
        let payload = first(name).with_attr("action", action);
        let payload = payload.with_attr("sessionid", id);
        scene.reply_of_domain(&Commands, &set(from, "a.test", &payload))
    };
    let form = scene.reply_of_domain(&Commands, &asked(&first("add-user")));
    let id = form
        .payload()
        .unwrap()
        .attr("sessionid")
        .unwrap()
        .to_owned();
    let refused = |answer: Stanza| answer.error().unwrap().extra.unwrap().name().to_owned();
    for wrong in [
        "",
        "s1",
        "*",
        &id[1..],
        &id[..id.len() - 1],
        &"A".repeat(id.len()),
    ] {
        for action in ["cancel", "complete", "execute"] {
            let answer = says(ROOT, "add-user", action, wrong);
            assert_eq!(refused(answer), "bad-sessionid", "{action} {wrong}");
        }
    }
    for (asker, name) in [
        ("zoe@a.test/desk", "add-user"),
        ("root@a.test/phone", "add-user"),
        (ROOT, "delete-user"),
    ] {
        let answer = says(asker, name, "cancel", &id);
        assert_eq!(refused(answer), "bad-sessionid", "{asker} {name}");
    }
    let another = Scene::new();
    let late = first("add-user").with_attr("action", "cancel");
    let late = another.reply_of_domain(&Commands, &asked(&late.with_attr("sessionid", &id)));
    assert_eq!(refused(late), "bad-sessionid", "of an earlier run");

    assert_eq!(
        refused(says(ROOT, "add-user", "complete", &id)),
        "bad-payload"
    );
    let canceled = says(ROOT, "add-user", "cancel", &id);
    assert_eq!(ended(&canceled).0, "canceled");
    assert_eq!(canceled.payload().unwrap().attr("sessionid"), Some(&*id));
}

#[test]
fn an_administrator_may_ask_at_the_own_account() {
    let scene = Scene::with(|settings| settings.admins = vec!["alice@a.test".into()]);
    let request = set(
        "alice@a.test/r",
        "alice@a.test",
        &first("get-registered-users-num"),
    );
    let command = only_command(&scene.account_effects(&mut Commands, &request));
    assert!(matches!(command, Command::ListUsers(Some(domain)) if domain == "a.test"));
}

#[test]
fn everybody_is_told_something_until_it_is_taken_back() {
    let notice = |name: &str, fields: &[_]| match ordered(name, fields) {
        Command::SetNotice(notice) => {
            assert_eq!(notice.domain, "a.test");
            (notice.occasion, notice.text, notice.number)
        }
        other => panic!("{other:?}"),
    };
    let (motd, welcome) = (Occasion::Motd, Occasion::Welcome);
    let tea = [("motd", "tea")];
    assert_eq!(notice("set-motd", &tea), (motd, "tea".into(), 1));
    assert_eq!(notice("edit-motd", &tea), (motd, "tea".into(), 0));
    assert_eq!(notice("delete-motd", &[]), (motd, String::new(), 1));
    let hi = [("welcome", "hi")];
    assert_eq!(notice("set-welcome", &hi), (welcome, "hi".into(), 1));
    assert_eq!(notice("delete-welcome", &[]), (welcome, String::new(), 1));
    let long = second("set-motd", &[("motd", &"x".repeat(16 * 1024 + 1))]);
    assert_eq!(ended(&heard(&long, None)).1.len(), 1);
}

#[test]
fn what_is_told_now_stands_in_the_form() {
    let scene = Scene::new();
    scene.site.notices.set(Notice {
        domain: "a.test".into(),
        occasion: Occasion::Motd,
        text: "one\ntwo".into(),
        number: 5,
    });
    let form = |name| scene.reply_of_domain(&Commands, &asked(&first(name)));
    assert_eq!(field(&form("edit-motd"), "motd"), ["one", "two"]);
    assert!(field(&form("set-motd"), "motd").is_empty());
}

#[test]
fn administrators_are_made_in_the_settings_only() {
    let scene = Scene::new();
    let root = jid("root@a.test");
    let offered = DomainRole::items(&Commands, "a.test", Some(ns::ADHOC), &root, &scene.site);
    let nodes: Vec<_> = offered.iter().filter_map(|it| it.attr("node")).collect();
    assert!(nodes.len() > 10 && !nodes.iter().any(|it| it.ends_with("#edit-admin")));
    let answer = heard(&second("edit-admin", &[("adminjids", "eve@a.test")]), None);
    assert_eq!(verdict(&answer), "feature-not-implemented");
}

#[test]
fn a_server_is_stopped_by_those_who_have_all_of_it() {
    for (name, restarts) in [("shutdown", false), ("restart", true)] {
        let fields = [("delay", "30"), ("announcement", "Tea at five")];
        let request = asked(&second(name, &fields));
        assert_eq!(Scene::new().ask_domain(&Commands, &request), "not-allowed");
        let scene = Scene::with(|settings| settings.domains.truncate(1));
        let Command::Several(commands) = scene.command(&Commands, &request) else {
            panic!()
        };
        let seconds = std::time::Duration::from_secs;
        assert!(matches!(commands[0], Command::Announce { .. }));
        let stops = |command: &Command, after| match command {
            Command::Stop { delay, again } => (*delay, *again) == (seconds(after), restarts),
            _ => false,
        };
        assert!(stops(&commands[1], 30), "{name}");
        let at_once = asked(&second(name, &[]));
        let Command::Several(commands) = scene.command(&Commands, &at_once) else {
            panic!()
        };
        assert!(commands.len() == 1 && stops(&commands[0], 0), "{name}");
        let wrong = asked(&second(name, &[("delay", "-1")]));
        assert_eq!(scene.ask_domain(&Commands, &wrong), "bad-request");
    }
}

#[test]
fn an_announcement_goes_to_the_domain() {
    let command = ordered("announce", &[("announcement", "Tea at five")]);
    let Command::Announce { domain, body, .. } = command else {
        panic!()
    };
    assert_eq!((domain.as_str(), body.as_str()), ("a.test", "Tea at five"));
}

#[test]
fn actions_and_nodes_that_there_are_not() {
    let extra = |answer: &Stanza| answer.error().unwrap().extra.unwrap().name().to_owned();
    let act = |action| heard(&first("add-user").with_attr("action", action), None);
    assert_eq!(extra(&act("cancel")), "bad-sessionid");
    assert_eq!(extra(&act("prev")), "bad-action");
    assert_eq!(extra(&act("next")), "bad-action");
    assert_eq!(extra(&act("dance")), "malformed-action");
    let missing = heard(&second("add-user", &[("accountjid", "ada@a.test")]), None);
    assert_eq!(extra(&missing), "bad-payload");
    let elsewhere = second("add-user", &[("FORM_TYPE", "other")]);
    assert_eq!(extra(&heard(&elsewhere, None)), "bad-payload");
    assert_eq!(
        verdict(&heard(&first("edit-blacklist"), None)),
        "feature-not-implemented"
    );
    let nowhere = Element::new(ns::ADHOC, "command").with_attr("node", "ping");
    assert_eq!(verdict(&heard(&nowhere, None)), "item-not-found");
    assert_eq!(
        verdict(&heard(&Element::new(ns::ADHOC, "command"), None)),
        "bad-request"
    );
    let as_get = get(ROOT, "a.test", &first("add-user"));
    assert_eq!(
        Scene::new().ask_domain(&Commands, &as_get),
        "service-unavailable"
    );
}
