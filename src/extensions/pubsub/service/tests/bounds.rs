//! What the service refuses when it is full: at the bound, and one past it.

use rookery_config::Size;

use super::*;

#[test]
fn a_user_makes_so_many_nodes_and_all_of_them_so_many() {
    let mut stage = Stage::with(|it| {
        it.pubsub.service.own = 2;
        it.pubsub.service.nodes = 3;
    });
    for (from, node, answer) in [
        (ALICE, "1", "result"),
        (ALICE, "2", "result"),
        (ALICE, "3", "resource-constraint "),
        (BOB, "3", "result"),
        (BOB, "4", "resource-constraint "),
    ] {
        let made = stage.set(from, &format!("<create node='{node}'/>"));
        assert_eq!(verdict(&made), answer, "{from} {node}");
    }
    stage.restart();
    stage.own(ALICE, "set", "<delete node='1'/>");
    assert_eq!(verdict(&stage.set(ALICE, "<create node='5'/>")), "result");
}

#[test]
fn a_node_has_so_many_people() {
    let mut stage = Stage::with(|it| it.pubsub.people = 2);
    stage.create(ALICE, "n", &[]);
    for (name, answer) in [
        ("a@b.test", "result"),
        ("b@b.test", "result"),
        ("c@b.test", "policy-violation too-many-subscriptions"),
    ] {
        let answered = stage.set(&format!("{name}/r"), &subscribe("n", name));
        assert_eq!(verdict(&answered), answer, "{name}");
    }
    let more = "<affiliations node='n'><affiliation jid='a@b.test' affiliation='member'/>\
         <affiliation jid='b@b.test' affiliation='member'/></affiliations>";
    let answered = stage.own(ALICE, "set", more);
    assert_eq!(verdict(&answered), "resource-constraint ");
    let one = more.replacen("<affiliation jid='b@b.test' affiliation='member'/>", "", 1);
    assert_eq!(
        stage.own(ALICE, "set", &one).len(),
        2,
        "room for one, and subscribers are others"
    );
    assert_eq!(
        stage.own(ALICE, "set", &one).len(),
        1,
        "who is known needs none"
    );
}

/// Who is at a node is in memory: addresses are bounded in bytes too, and by account.
#[test]
fn nobody_fills_a_node_with_his_resources_nor_with_long_names() {
    let mut stage = Stage::with(|it| it.pubsub.burst = 2_000);
    stage.create(ALICE, "n", &[]);
    for number in 0..=20 {
        let answered = stage.set(BOB, &subscribe("n", &format!("bob@b.test/{number}")));
        let right = match number {
            20 => "policy-violation too-many-subscriptions",
            _ => "result",
        };
        assert_eq!(verdict(&answered), right, "{number}");
    }
    let mut refused = 0;
    for number in 0..270 {
        let name = format!("{}{number:03}@b.test", "x".repeat(990));
        let answered = stage.set(&format!("{name}/r"), &subscribe("n", &name));
        refused += usize::from(verdict(&answered) != "result");
    }
    // About 256 KiB in thousands of bytes each.
    assert_eq!(refused, 270 - 261);
    stage.restart();
    let node = stage.board.nodes.get("n").expect("it can be read again");
    assert_eq!(node.people().subscribers(), 20 + 261);
}

/// Attacks U11: who is told of what he did not ask for.
#[test]
fn an_owner_tells_strangers_at_his_pace() {
    let mut stage = Stage::with(|it| it.pubsub.burst = 3);
    stage.create(ALICE, "n", &[]);
    let people = |count: usize, what: &str, state: &str| {
        let one = |it| format!("<{what} jid='{it}@evil.test' {what}='{state}'/>");
        let all: String = (0..count).map(one).collect();
        format!("<{what}s node='n'>{all}</{what}s>")
    };
    let too_many = stage.own(ALICE, "set", &people(4, "subscription", "subscribed"));
    assert_eq!(verdict(&too_many), "policy-violation ");
    stage.now += 10_000;
    let said = stage.own(ALICE, "set", &people(3, "affiliation", "member"));
    assert_eq!(said.len(), 4, "{said:?}");
    let more = stage.own(ALICE, "set", &people(1, "affiliation", "publisher"));
    assert_eq!(verdict(&more), "policy-violation ");
    // Nor is the owner asked without end.
    let mut stage = Stage::with(|it| it.pubsub.burst = 3);
    stage.create(ALICE, "n", &[("access_model", "authorize")]);
    let mut asked = 0;
    for _ in 0..5 {
        asked += stage.set(EVE, &subscribe("n", EVE)).len() - 1;
        stage.set(EVE, &format!("<unsubscribe node='n' jid='{EVE}'/>"));
    }
    assert_eq!(asked, 3);
}

#[test]
fn a_node_has_so_many_items_of_such_a_weight_and_all_nodes_together() {
    let mut stage = Stage::with(|it| {
        it.pubsub.items = 3;
        it.pubsub.total = Size::kib(1);
        it.pubsub.service.total = Size::bytes(1_500);
    });
    for node in ["n", "m"] {
        stage.create(ALICE, node, &[("max_items", "max")]);
    }
    for (id, answer) in [
        ("1", "result"),
        ("2", "result"),
        ("3", "result"),
        ("4", "resource-constraint "),
        ("3", "result"),
    ] {
        let answered = stage.set(ALICE, &publish("n", id));
        assert_eq!(verdict(&answered), answer, "{id}");
    }
    stage.own(ALICE, "set", "<purge node='n'/>");
    let heavy = |node: &str, id: &str, bytes: usize| {
        let text = "x".repeat(bytes);
        format!("<publish node='{node}'><item id='{id}'><t xmlns='u'>{text}</t></item></publish>")
    };
    assert_eq!(verdict(&stage.set(ALICE, &heavy("n", "a", 800))), "result");
    // One node has room for a kibibyte, all together for half as much more.
    for (node, bytes, answer) in [
        ("n", 300, "resource-constraint "),
        ("m", 800, "resource-constraint "),
        ("m", 300, "result"),
    ] {
        let answered = stage.set(ALICE, &heavy(node, "b", bytes));
        assert_eq!(verdict(&answered), answer, "{node} {bytes}");
    }
    let before = stage.board.nodes.bytes();
    stage.restart();
    assert_eq!(stage.board.nodes.bytes(), before);
}

/// Attacks U11.
#[test]
fn each_publishes_at_his_own_pace() {
    let mut stage = Stage::with(|it| it.pubsub.burst = 3);
    stage.create(ALICE, "n", &[("publish_model", "open")]);
    for id in ["1", "2", "3"] {
        assert_eq!(verdict(&stage.set(EVE, &publish("n", id))), "result");
    }
    let too_fast = stage.set(EVE, &publish("n", "x"));
    assert_eq!(verdict(&too_fast), "policy-violation ");
    assert_eq!(verdict(&stage.set(BOB, &publish("n", "y"))), "result");
    stage.now += 1_000;
    assert_eq!(verdict(&stage.set(EVE, &publish("n", "x"))), "result");
}
