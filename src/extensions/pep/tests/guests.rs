//! Nodes whose owner is asked who may read them.

use super::*;

const AUTHORIZATION: &str = "http://jabber.org/protocol/pubsub#subscribe_authorization";

/// Alice has a node that one must ask for, and bob asks.
fn asked() -> (World, Vec<String>) {
    let mut world = world();
    enter(&mut world, ALICE, 1, &[]);
    let fields = [("access_model", "authorize")];
    world.send(ALICE, 1, &publish_with("urn:n", "i", "x", &fields));
    world.heard(ALICE, 1);
    enter(&mut world, BOB, 1, &[]);
    world.heard(BOB, 1);
    let subscribe = format!("<subscribe node='urn:n' jid='{BOB}'/>");
    let answer = ask(&mut world, BOB, 1, &pubsub("set", ALICE, &subscribe));
    assert!(answer.contains("subscription='pending'"), "{answer}");
    let heard = world.heard(ALICE, 1);
    (world, heard)
}

fn answer(allow: &str) -> String {
    let field = |var: &str, value: &str| {
        format!("<field var='pubsub#{var}'><value>{value}</value></field>")
    };
    let fields = [
        field("node", "urn:n"),
        field("subscriber_jid", BOB),
        field("allow", allow),
    ];
    let fields = fields.concat();
    format!(
        "<message to='{ALICE}' id='m'><x xmlns='jabber:x:data' type='submit'>\
         <field var='FORM_TYPE'><value>{AUTHORIZATION}</value></field>{fields}</x></message>"
    )
}

fn is_a_question(text: &str) -> bool {
    text.starts_with("<message") && text.contains("pubsub#allow") && text.contains(BOB)
}

#[test]
fn an_account_asks_its_owner_and_he_answers() {
    for (allow, state, reads) in [("1", "subscribed", true), ("0", "none", false)] {
        let (mut world, heard) = asked();
        assert!(heard.iter().any(|it| is_a_question(it)), "{heard:?}");
        // A device that comes later is asked as well.
        world.connect(ALICE, 2);
        let later = world.heard(ALICE, 2);
        assert!(later.iter().any(|it| is_a_question(it)), "{later:?}");
        world.send(ALICE, 2, &answer(allow));
        let told = world.heard(BOB, 1).concat();
        assert!(told.contains(&format!("subscription='{state}'")), "{told}");
        assert_eq!(
            told.contains("<item id='i'"),
            reads,
            "the last item: {told}"
        );
        let items = ask(&mut world, BOB, 1, &items(ALICE, "urn:n"));
        assert_eq!(items.contains("type='result'"), reads, "{items}");
        // It is settled: nobody is asked again.
        world.heard(ALICE, 2);
        world.connect(ALICE, 3);
        assert!(!world.heard(ALICE, 3).iter().any(|it| is_a_question(it)));
    }
}

#[test]
fn nobody_lets_himself_in() {
    let (mut world, _) = asked();
    world.send(BOB, 1, &answer("1"));
    world.heard(BOB, 1);
    let refused = ask(&mut world, BOB, 1, &items(ALICE, "urn:n"));
    assert!(refused.contains("<not-subscribed"), "{refused}");
    // Nor is a message to oneself of another kind an answer, nor one about nothing.
    world.send(ALICE, 1, &answer("1").replace(AUTHORIZATION, "urn:other"));
    world.send(ALICE, 1, &answer("1").replace("urn:n<", "urn:absent<"));
    let told = world.heard(ALICE, 1).concat();
    assert!(told.contains("item-not-found"), "{told}");
    let refused = ask(&mut world, BOB, 1, &items(ALICE, "urn:n"));
    assert!(refused.contains("<not-subscribed"), "{refused}");
}

/// What others ask must not keep the owner from publishing (attacks U11).
#[test]
fn who_asks_without_end_wears_out_his_own_patience_only() {
    let (mut world, _) = asked();
    let one = |what: &str| format!("<{what} node='urn:n' jid='{BOB}/1'/>");
    let mut is_refused = false;
    for _ in 0..1_000 {
        let answer = ask(&mut world, BOB, 1, &pubsub("set", ALICE, &one("subscribe")));
        is_refused = answer.contains("<policy-violation");
        if is_refused {
            break;
        }
        ask(
            &mut world,
            BOB,
            1,
            &pubsub("set", ALICE, &one("unsubscribe")),
        );
    }
    assert!(is_refused);
    let published = ask(&mut world, ALICE, 1, &publish("urn:n", "j", "x"));
    assert!(published.contains("type='result'"), "{published}");
}
