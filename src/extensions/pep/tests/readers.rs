//! Who may read and hear what somebody publishes, and what goes when he may not any more.

use super::*;

/// Attacks U02, U03, P04.
#[test]
fn strangers_learn_what_is_open_and_nothing_else() {
    let mut world = World::new();
    world.connect(ALICE, 1);
    world.connect(BOB, 1);
    world.send(ALICE, 1, &publish("urn:n", "i", "x"));
    world.send(
        ALICE,
        1,
        &publish_with("urn:open", "i", "x", &[("access_model", "open")]),
    );
    let asked = |world: &mut World, node| ask(world, BOB, 1, &items(ALICE, node));
    assert_eq!(ids(&asked(&mut world, "urn:open")), ["i"]);
    assert!(asked(&mut world, "urn:n").contains("<presence-subscription-required"));
    assert!(asked(&mut world, "urn:absent").contains("<service-unavailable"));
    let theirs = |iq: &str| iq.replace(" id='q'", &format!(" id='q' to='{ALICE}'"));
    for iq in [
        publish("urn:open", "j", "x"),
        pubsub(
            "set",
            "",
            "<retract node='urn:open'><item id='i'/></retract>",
        ),
        owner("get", "<configure node='urn:open'/>"),
        owner("set", "<delete node='urn:open'/>"),
        owner("set", "<purge node='urn:open'/>"),
    ] {
        let refused = ask(&mut world, BOB, 1, &theirs(&iq));
        assert!(refused.contains("<forbidden"), "{iq}: {refused}");
    }
    let refused = ask(&mut world, BOB, 1, &theirs(&publish("urn:mine", "j", "x")));
    assert!(refused.contains("<service-unavailable"), "{refused}");
}

#[test]
fn who_loses_sight_of_her_loses_her_items_at_once() {
    let mut world = world();
    world.connect(ALICE, 1);
    enter(&mut world, BOB, 1, &["urn:n"]);
    world.send(ALICE, 1, &publish("urn:n", "i", "x"));
    assert_eq!(world.heard(BOB, 1).len(), 1);
    world.send(
        ALICE,
        1,
        &format!("<presence type='unsubscribed' to='{BOB}'/>"),
    );
    world.send(ALICE, 1, &publish("urn:n", "i", "y"));
    assert!(
        world
            .heard(BOB, 1)
            .iter()
            .all(|text| !text.contains("<event"))
    );
    let refused = ask(&mut world, BOB, 1, &items(ALICE, "urn:n"));
    assert!(
        refused.contains("<presence-subscription-required"),
        "{refused}"
    );
}

#[test]
fn who_is_blocked_hears_nothing() {
    let mut world = world();
    world.connect(ALICE, 1);
    enter(&mut world, BOB, 1, &["urn:n"]);
    let block = format!(
        "<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='{BOB}'/></block></iq>"
    );
    world.send(ALICE, 1, &block);
    world.send(ALICE, 1, &publish("urn:n", "i", "x"));
    assert!(world.heard(BOB, 1).is_empty());
    enter(&mut world, BOB, 2, &["urn:n"]);
    assert!(world.heard(BOB, 2).is_empty(), "nor the last item");
    assert!(ask(&mut world, BOB, 2, &items(ALICE, "urn:n")).contains("<service-unavailable"));
}
