//! Subscriptions and affiliations at the service.

use super::*;

pub fn unsubscribe(jid: &str) -> String {
    format!("<unsubscribe node='n' jid='{jid}'/>")
}

pub fn affiliate(jid: &str, affiliation: &str) -> String {
    format!(
        "<affiliations node='n'><affiliation jid='{jid}' affiliation='{affiliation}'/>\
         </affiliations>"
    )
}

pub fn put(jid: &str, state: &str) -> String {
    format!(
        "<subscriptions node='n'><subscription jid='{jid}' subscription='{state}'/>\
         </subscriptions>"
    )
}

/// §6.1.3, examples 37 to 50, and §6.2.3, examples 54 to 58.
#[test]
fn who_may_not_subscribe_and_unsubscribe_is_told_why() {
    let mut stage = Stage::with_node(&[]);
    stage.create(ALICE, "closed", &[("access_model", "whitelist")]);
    stage.create(ALICE, "off", &[("subscribe", "0")]);
    stage.own(ALICE, "set", &affiliate("mallory@evil.test", "outcast"));
    let mallory = "mallory@evil.test/r";
    for (from, node, jid, error) in [
        (BOB, "n", "eve@evil.test", "bad-request invalid-jid"),
        (BOB, "closed", "bob@b.test", "not-allowed closed-node"),
        (
            BOB,
            "off",
            "bob@b.test",
            "feature-not-implemented unsupported",
        ),
        (BOB, "x", "bob@b.test", "item-not-found "),
        (mallory, "n", "mallory@evil.test", "forbidden "),
    ] {
        let answer = stage.set(from, &subscribe(node, jid));
        assert_eq!(verdict(&answer), error, "{node} {jid}");
    }
    let not_subscribed = "unexpected-request not-subscribed";
    let answer = stage.set(BOB, &unsubscribe("bob@b.test"));
    assert_eq!(verdict(&answer), not_subscribed);
    stage.set(BOB, &subscribe("n", "bob@b.test"));
    let with_id = "<unsubscribe node='n' jid='bob@b.test' subid='x'/>";
    let elsewhere = "<unsubscribe node='x' jid='bob@b.test'/>";
    for (from, inside, error) in [
        (EVE, &*unsubscribe("bob@b.test"), "forbidden "),
        (BOB, "<unsubscribe node='n'/>", "bad-request jid-required"),
        (BOB, elsewhere, "item-not-found "),
        // §6.2.3.5: who has no such id needs none.
        (BOB, with_id, "result"),
        (BOB, &unsubscribe("bob@b.test"), not_subscribed),
    ] {
        assert_eq!(verdict(&stage.set(from, inside)), error, "{inside}");
    }
    stage.restart();
    assert_eq!(
        stage.set(ALICE, &publish("n", "i")).len(),
        1,
        "nobody hears"
    );
}

/// §6.3, examples 59 to 72; §6.4.
#[test]
fn a_subscription_has_options() {
    let mut stage = Stage::with_node(&[]);
    stage.set(BOB, &subscribe("n", "bob@b.test"));
    let kind = "http://jabber.org/protocol/pubsub#subscribe_options";
    let options =
        |jid: &str, inside: &str| format!("<options node='n' jid='{jid}'>{inside}</options>");
    let offered = stage.get(BOB, &options("bob@b.test", "")).remove(0);
    assert!(offered.contains("pubsub#deliver") && offered.contains("pubsub#expire"));
    let (own, other) = ("bob@b.test", "bob@b.test/other");
    for (from, jid, field, error) in [
        (EVE, own, ("deliver", "0"), "forbidden "),
        (
            BOB,
            other,
            ("deliver", "0"),
            "unexpected-request not-subscribed",
        ),
        (
            BOB,
            own,
            ("deliver", "maybe"),
            "bad-request invalid-options",
        ),
        (BOB, own, ("digest", "1"), "bad-request invalid-options"),
        (
            BOB,
            own,
            ("expire", "2001-01-01T00:00:00Z"),
            "bad-request invalid-options",
        ),
        (BOB, own, ("deliver", "0"), "result"),
    ] {
        let answer = stage.set(from, &options(jid, &form(kind, &[field])));
        assert_eq!(verdict(&answer), error, "{field:?}");
    }
    stage.restart();
    let said = stage.set(ALICE, &publish("n", "i"));
    assert_eq!(said.len(), 1, "he wants to hear nothing");
    let ends = [("deliver", "1"), ("expire", "2023-11-14T22:14:20Z")];
    stage.set(BOB, &options(own, &form(kind, &ends)));
    assert_eq!(stage.set(ALICE, &publish("n", "j")).len(), 2);
    stage.now += 60_000;
    let said = stage.set(ALICE, &publish("n", "k"));
    assert_eq!(said.len(), 2, "it is over: {said:?}");
    assert!(said[0].contains("to='bob@b.test'") && said[0].contains("subscription='none'"));
    stage.restart();
    assert!(stage.get(BOB, "<subscriptions/>")[0].contains("<subscriptions/>"));
    let quiet = form(kind, &[("deliver", "0")]);
    let with = format!("{}<options>{quiet}</options>", subscribe("n", EVE));
    assert!(stage.set(EVE, &with)[0].contains("subscription='subscribed'"));
    assert_eq!(stage.set(ALICE, &publish("n", "l")).len(), 1);
    assert!(stage.get(EVE, "<default/>")[0].contains("pubsub#deliver"));
    assert_eq!(
        verdict(&stage.get(EVE, "<default node='x'/>")),
        "item-not-found "
    );
}

/// §6.1.4 and §8.6: who asks to be let in waits for an owner's word.
#[test]
fn an_owner_lets_in_who_asks() {
    let mut stage = Stage::with_node(&[("access_model", "authorize")]);
    stage.set(ALICE, &publish("n", "i"));
    let read = stage.get(BOB, "<items node='n'/>");
    assert_eq!(verdict(&read), "not-authorized not-subscribed");
    let answers = [("0", "none"), ("1", "subscribed")];
    for (number, (allow, state)) in answers.into_iter().enumerate() {
        let asked = stage.set(BOB, &subscribe("n", "bob@b.test"));
        assert!(asked[0].contains("subscription='pending'"), "{asked:?}");
        assert_eq!(asked.len(), 2);
        assert!(asked[1].contains("to='alice@a.test'") && asked[1].contains("pubsub#allow"));
        assert!(
            asked[1].contains("<value>bob@b.test</value>"),
            "{}",
            asked[1]
        );
        let again = stage.set(BOB, &subscribe("n", "bob@b.test"));
        assert_eq!(verdict(&again), "not-authorized pending-subscription");
        assert_eq!(stage.set(ALICE, &publish("n", "j")).len(), 1, "not yet");
        let kind = "http://jabber.org/protocol/pubsub#subscribe_authorization";
        let who = ("subscriber_jid", "bob@b.test");
        let answer = form(kind, &[("node", "n"), who, ("allow", allow)]);
        assert_eq!(verdict(&stage.tell(EVE, &answer)), "forbidden ");
        let cancelled = stage.tell(ALICE, "<x xmlns='jabber:x:data' type='cancel'/>");
        assert!(cancelled.is_empty(), "it waits on: {cancelled:?}");
        stage.restart();
        let told = stage.tell(ALICE, &answer);
        let what = format!("jid='bob@b.test' subscription='{state}'");
        assert!(told[0].contains(&what), "{told:?}");
        assert_eq!(told.len(), 1 + number, "the last item for who is in");
        assert!(stage.tell(ALICE, &answer).is_empty(), "another was faster");
    }
    assert_eq!(stage.set(ALICE, &publish("n", "k")).len(), 2);
    assert_eq!(verdict(&stage.get(BOB, "<items node='n'/>")), "result");
    let no_answer = stage.tell(ALICE, "<body>hello</body>");
    assert_eq!(verdict(&no_answer), "not-acceptable ");
}

/// §8.8, examples 181 to 191.
#[test]
fn an_owner_says_who_is_subscribed_and_they_hear_it() {
    let mut stage = Stage::with_node(&[]);
    let said = stage.own(ALICE, "set", &put("bob@b.test", "subscribed"));
    assert!(said[1].contains("to='bob@b.test'"), "{said:?}");
    assert!(said[1].contains("<event xmlns='http://jabber.org/protocol/pubsub#event'>"));
    let all = stage
        .own(ALICE, "get", "<subscriptions node='n'/>")
        .remove(0);
    let entry = "<subscription jid='bob@b.test' subscription='subscribed'/>";
    assert!(all.contains(entry), "{all}");
    for (from, kind, inside, error) in [
        (BOB, "get", "<subscriptions node='n'/>", "forbidden "),
        (
            BOB,
            "set",
            &put("eve@evil.test", "subscribed"),
            "forbidden ",
        ),
        (ALICE, "get", "<subscriptions node='x'/>", "item-not-found "),
        (
            ALICE,
            "get",
            "<subscriptions/>",
            "bad-request nodeid-required",
        ),
    ] {
        assert_eq!(verdict(&stage.own(from, kind, inside)), error, "{inside}");
    }
    let said = stage.own(ALICE, "set", &put("bob@b.test", "none"));
    assert!(said[1].contains("subscription='none'"), "{said:?}");
    assert_eq!(stage.set(ALICE, &publish("n", "i")).len(), 1);
    let again = stage.own(ALICE, "set", &put("bob@b.test", "none"));
    assert_eq!(again.len(), 1, "no news");
}

/// §8.9, examples 192 to 203; §4.1.
#[test]
fn an_owner_says_who_is_what_and_nobody_else_does() {
    let mut stage = Stage::with_node(&[("access_model", "whitelist")]);
    for (affiliation, publishes, reads, owns) in [
        (
            "none",
            "forbidden ",
            "not-allowed closed-node",
            "forbidden ",
        ),
        ("member", "forbidden ", "result", "forbidden "),
        ("publish-only", "result", "forbidden ", "forbidden "),
        ("publisher", "result", "result", "forbidden "),
        ("owner", "result", "result", "result"),
        // §4.1: by way of nothing.
        (
            "none",
            "forbidden ",
            "not-allowed closed-node",
            "forbidden ",
        ),
        ("outcast", "forbidden ", "forbidden ", "forbidden "),
    ] {
        stage.own(ALICE, "set", &affiliate("bob@b.test", affiliation));
        stage.restart();
        let published = stage.set(BOB, &publish("n", "his"));
        assert_eq!(verdict(&published), publishes, "{affiliation}");
        let read = stage.get(BOB, "<items node='n'/>");
        assert_eq!(verdict(&read), reads, "{affiliation}");
        let asked = stage.own(BOB, "get", "<affiliations node='n'/>");
        assert_eq!(verdict(&asked), owns, "{affiliation}");
    }
    let said = stage.own(ALICE, "set", &affiliate("bob@b.test", "member"));
    assert!(said[1].contains("to='bob@b.test'") && said[1].contains("affiliation='member'"));
    let all = stage
        .own(ALICE, "get", "<affiliations node='n'/>")
        .remove(0);
    assert!(
        all.contains("jid='alice@a.test' affiliation='owner'"),
        "{all}"
    );
    assert!(
        !all.contains("jid='pubsub.a.test'"),
        "the service owns nothing"
    );
    // Somebody must own it.
    let alone = stage.own(ALICE, "set", &affiliate("alice@a.test", "none"));
    assert_eq!(verdict(&alone), "not-acceptable ");
    stage.own(ALICE, "set", &affiliate("bob@b.test", "owner"));
    let handed_over = stage.own(ALICE, "set", &affiliate("alice@a.test", "none"));
    assert!(handed_over[0].contains("type='result'"), "{handed_over:?}");
    let purged = stage.own(ALICE, "set", "<purge node='n'/>");
    assert_eq!(verdict(&purged), "forbidden ");
}

/// §8.7.
#[test]
fn an_owner_asks_who_waits() {
    let mut stage = Stage::with_node(&[("access_model", "authorize")]);
    let command = |inside: &str| {
        let node = "http://jabber.org/protocol/pubsub#get-pending";
        let ns = ns::ADHOC;
        format!("<command xmlns='{ns}' node='{node}' action='execute'>{inside}</command>")
    };
    assert_eq!(verdict(&stage.ask(BOB, "set", &command(""))), "forbidden ");
    stage.set(BOB, &subscribe("n", "bob@b.test"));
    stage.set(EVE, &subscribe("n", "eve@evil.test"));
    let all = stage
        .own(ALICE, "get", "<subscriptions node='n'/>")
        .remove(0);
    assert!(!all.contains("pending"), "{all}");
    let offered = stage.ask(ALICE, "set", &command("")).remove(0);
    assert!(offered.contains("status='executing'"), "{offered}");
    assert!(
        offered.contains("<option label='n'><value>n</value></option>"),
        "{offered}"
    );
    let of_node = |node: &str| command(&form("x", &[("node", node)]));
    assert_eq!(verdict(&stage.ask(BOB, "set", &of_node("n"))), "forbidden ");
    assert_eq!(
        verdict(&stage.ask(ALICE, "set", &of_node("x"))),
        "item-not-found "
    );
    let sent = stage.ask(ALICE, "set", &of_node("n"));
    assert!(sent[0].contains("status='completed'"), "{sent:?}");
    assert_eq!(sent.len(), 3, "one for each who waits: {sent:?}");
    assert!(sent[2].contains("to='alice@a.test'") && sent[2].contains("eve@evil.test"));
    let unknown = command("").replace("get-pending", "get-rich");
    assert_eq!(
        verdict(&stage.ask(ALICE, "set", &unknown)),
        "item-not-found "
    );
    let list = format!("<query xmlns='{}' node='{}'/>", ns::DISCO_ITEMS, ns::ADHOC);
    assert!(stage.ask(ALICE, "get", &list)[0].contains("#get-pending'"));
}

/// §8.7.4.
#[test]
fn who_is_made_something_waits_no_more() {
    for (affiliation, state) in [("member", "subscribed"), ("outcast", "none")] {
        let mut stage = Stage::with_node(&[("access_model", "authorize")]);
        stage.set(BOB, &subscribe("n", BOB));
        let said = stage.own(ALICE, "set", &affiliate("bob@b.test", affiliation));
        assert_eq!(said.len(), 3, "{said:?}");
        let what = format!("jid='{BOB}' node='n' subscription='{state}'");
        let what_else = format!("jid='{BOB}' subscription='{state}' node='n'");
        assert!(
            said[1].contains(&what) || said[1].contains(&what_else),
            "{said:?}"
        );
        assert_eq!(
            stage
                .own(ALICE, "set", &affiliate("bob@b.test", affiliation))
                .len(),
            1
        );
    }
    let mut stage = Stage::with_node(&[]);
    let nothing = "<affiliations node='n'><affiliation jid='bob@b.test'/></affiliations>";
    assert_eq!(
        stage.own(ALICE, "set", nothing).len(),
        1,
        "nothing is said of him"
    );
}

/// §4.1: who may only publish takes back what is his own.
#[test]
fn a_publisher_of_nothing_else_retracts_his_own() {
    let mut stage = Stage::with_node(&[]);
    stage.own(ALICE, "set", &affiliate("bob@b.test", "publish-only"));
    stage.set(ALICE, &publish("n", "hers"));
    stage.set(BOB, &publish("n", "his"));
    let retract = |id: &str| format!("<retract node='n'><item id='{id}'/></retract>");
    assert_eq!(verdict(&stage.set(BOB, &retract("hers"))), "forbidden ");
    assert!(stage.set(BOB, &retract("his"))[0].contains("type='result'"));
}

/// XEP-0077 §3.2: whoever has the name next is somebody else.
#[test]
fn a_removed_account_leaves_nothing_behind() {
    let mut stage = Stage::with_node(&[("access_model", "whitelist")]);
    stage.own(ALICE, "set", &affiliate("bob@b.test", "member"));
    stage.set(BOB, &subscribe("n", BOB));
    for gone in ["bob@b.test", "alice@a.test"] {
        let gone = jid(gone);
        stage.decide(|board, seat, fx| ServiceRole::removed(board, &gone, seat, fx));
        stage.restart();
    }
    let read = stage.get(BOB, "<items node='n'/>");
    assert_eq!(verdict(&read), "not-allowed closed-node");
    let purged = stage.own(ALICE, "set", "<purge node='n'/>");
    assert_eq!(verdict(&purged), "forbidden ");
    // The administrators see to what nobody owns any more.
    let all = stage
        .own(ROOT, "get", "<subscriptions node='n'/>")
        .remove(0);
    assert!(
        all.contains("type='result'") && !all.contains("bob"),
        "{all}"
    );
    assert_eq!(
        verdict(&stage.own(ROOT, "set", "<delete node='n'/>")),
        "result"
    );
}

/// §12.14, and §5.6.
#[test]
fn owners_hear_of_subscribers_if_they_want_to() {
    let mut stage = Stage::with_node(&[("notify_sub", "1")]);
    let said = stage.set(BOB, &subscribe("n", BOB));
    assert!(said[1].contains("to='alice@a.test'"), "{said:?}");
    assert!(said[1].contains("subscription='subscribed'"), "{said:?}");
    let mine = stage.get(BOB, "<subscriptions/>").remove(0);
    let entry = format!("jid='{BOB}' subscription='subscribed' node='n'");
    assert!(mine.contains(&entry), "{mine}");
    let none = stage.get(EVE, "<subscriptions/>").remove(0);
    assert!(
        none.contains("<subscriptions/>") && none.contains("type='result'"),
        "{none}"
    );
}
