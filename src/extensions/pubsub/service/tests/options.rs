//! The options of subscriptions, and what becomes of subscriptions besides.

use super::people::{put, unsubscribe};
use super::*;

const OPTIONS: &str = "http://jabber.org/protocol/pubsub#subscribe_options";

/// §6.1.5, §6.3.7, and the rules for what is sent with a request.
#[test]
fn who_subscribes_with_options_is_shown_what_came_of_them() {
    let mut stage = Stage::with_node(&[]);
    let said = stage.set(BOB, &subscribe("n", BOB)).remove(0);
    assert!(said.contains("<subscribe-options/>"), "{said}");
    assert!(!said.contains("<options"), "he asked for none: {said}");
    let quiet = form(OPTIONS, &[("deliver", "false")]);
    let with = format!("{}<options>{quiet}</options>", subscribe("n", EVE));
    let said = stage.set(EVE, &with).remove(0);
    let shown = said.split("<options>").nth(1).expect("options");
    assert!(shown.contains("type='result'"), "{said}");
    assert!(shown.contains("pubsub#deliver"), "{said}");
    let bad = "bad-request ";
    for (inside, error) in [
        (with.replace("<options>", "<options node='n'>"), bad),
        (with.replace("<options>", "<options jid='x@y'>"), bad),
        ("<create node='m'/><configure node='m'/>".to_owned(), bad),
        (
            format!("<options>{quiet}</options>{}", subscribe("n", EVE)),
            "bad-request nodeid-required",
        ),
    ] {
        assert_eq!(verdict(&stage.set(EVE, &inside)), error, "{inside}");
    }
}

/// What cannot be had is neither offered nor taken as if it could (§6.3.6.2).
#[test]
fn options_without_effect_are_refused() {
    let mut stage = Stage::with_node(&[]);
    stage.set(BOB, &subscribe("n", BOB));
    let ask = |inside: &str| format!("<options node='n' jid='{BOB}'>{inside}</options>");
    let offered = stage.get(BOB, &ask("")).remove(0);
    for var in ["digest", "show-values", "include_body", "subscription_type"] {
        assert!(!offered.contains(var), "{var}: {offered}");
    }
    let invalid = "bad-request invalid-options";
    for (var, value, error) in [
        ("digest", "1", invalid),
        ("digest", "maybe", invalid),
        ("digest", "false", "result"),
        ("include_body", "1", invalid),
        ("include_body", "0", "result"),
        ("show-values", "chat", invalid),
        ("subscription_type", "nodes", invalid),
        ("subscription_type", "items", "result"),
        // §12.5: an end that depends on presence.
        ("expire", "presence", invalid),
    ] {
        let set = ask(&form(OPTIONS, &[(var, value)]));
        assert_eq!(verdict(&stage.set(BOB, &set)), error, "{var} {value}");
    }
    // All of them are no restriction, and clients send back what they do not know.
    let all = ["away", "chat", "dnd", "online", "xa"].map(|it| format!("<value>{it}</value>"));
    let any = form(OPTIONS, &[("show-values", "x")]).replace("<value>x</value>", &all.concat());
    assert_eq!(verdict(&stage.set(BOB, &ask(&any))), "result");
    let of_other = form("urn:other", &[("deliver", "0")]);
    assert_eq!(verdict(&stage.set(BOB, &ask(&of_other))), invalid);
}

/// §12.19: a lease ends, and with it what was allowed by it.
#[test]
fn who_was_let_in_for_a_while_is_out_when_it_is_over() {
    let fields = [("access_model", "authorize"), ("notify_sub", "1")];
    let mut stage = Stage::with_node(&fields);
    stage.own(ALICE, "set", &put("bob@b.test", "subscribed"));
    let until = form(OPTIONS, &[("expire", "2023-11-14T22:14:20Z")]);
    let lease = format!("<options node='n' jid='bob@b.test'>{until}</options>");
    assert_eq!(verdict(&stage.set(BOB, &lease)), "result");
    assert_eq!(verdict(&stage.get(BOB, "<items node='n'/>")), "result");
    stage.restart();
    stage.now += 60_000;
    let said = stage.get(BOB, "<items node='n'/>");
    assert_eq!(said.len(), 3, "{said:?}");
    for (number, to) in [(0, "bob@b.test"), (1, "alice@a.test")] {
        assert!(said[number].contains(&format!("to='{to}'")), "{said:?}");
        assert!(said[number].contains("subscription='none'"), "{said:?}");
    }
    assert!(said[2].contains("not-subscribed"), "{said:?}");
}

/// §16.4.4: `notify_sub` is of those who go, too.
#[test]
fn owners_hear_of_who_goes_and_who_waits_hears_of_the_end() {
    let fields = [("access_model", "authorize"), ("notify_sub", "1")];
    let mut stage = Stage::with_node(&fields);
    stage.own(ALICE, "set", &put("bob@b.test", "subscribed"));
    stage.set(EVE, &subscribe("n", EVE));
    let gone = stage.set(BOB, &unsubscribe("bob@b.test"));
    assert!(gone[0].contains("jid='bob@b.test' subscription='none' node='n'"));
    assert!(gone[1].contains("to='alice@a.test'"), "{gone:?}");
    assert!(gone[1].contains("subscription='none'"), "{gone:?}");
    // §8.4.2.
    let deleted = stage.own(ALICE, "set", "<delete node='n'/>");
    assert_eq!(deleted.len(), 2, "{deleted:?}");
    assert!(deleted[1].contains(&format!("to='{EVE}'")), "{deleted:?}");
}
