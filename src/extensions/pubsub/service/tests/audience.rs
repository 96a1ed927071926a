//! Who comes, who cannot be told any more, and where a node went.

use super::people::affiliate;
use super::*;
use crate::extensions::pubsub::config::SendLast;

impl Stage {
    fn meets(&mut self, from: &str, kind: &str) -> Vec<String> {
        let presence = stanza(&format!("<presence{kind}/>"));
        let presence = presence.with_from(jid(from)).with_to(jid(SERVICE));
        self.decide(|board, seat, fx| ServiceRole::presence(board, &presence, seat, fx))
    }

    /// What bob was told comes back to the service with this error.
    fn comes_back(&mut self, told: &str, kind: &str, condition: &str) -> Vec<String> {
        let told = stanza(told);
        let (id, to) = (told.id.expect("an id"), told.to.expect("somebody"));
        let error = stanza(&format!(
            "<message type='error' id='{id}'><error type='{kind}'>\
             <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
        ));
        let error = error.with_from(to).with_to(jid(SERVICE));
        self.decide(|board, seat, fx| ServiceRole::undelivered(board, &error, seat, fx))
    }
}

/// §4.3 and §12.2: `last-published`, as the service says it does.
#[test]
fn who_comes_hears_what_was_published_last() {
    let mut stage = Stage::with_node(&[]);
    let node = stage.board.nodes.get("n").expect("the node");
    assert_eq!(node.config.send_last, SendLast::OnSubAndPresence);
    stage.create(ALICE, "quiet", &[("send_last_published_item", "on_sub")]);
    stage.create(ALICE, "closed", &[]);
    for node in ["n", "quiet", "closed"] {
        stage.set(BOB, &subscribe(node, "bob@b.test"));
        stage.set(ALICE, &publish(node, node));
    }
    let close = form(ns::PUBSUB_NODE_CONFIG, &[("access_model", "whitelist")]);
    stage.own(
        ALICE,
        "set",
        &format!("<configure node='closed'>{close}</configure>"),
    );
    let said = stage.meets(BOB, "");
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains(&format!("to='{BOB}'")) && said[0].contains("<item id='n'"));
    assert!(said[0].contains("<delay"), "{said:?}");
    assert!(stage.meets(BOB, "").is_empty(), "he was here already");
    assert!(stage.meets(EVE, "").is_empty(), "she is not subscribed");
    stage.meets(BOB, " type='unavailable'");
    assert_eq!(stage.meets(BOB, "").len(), 1, "he has come again");
    assert_eq!(
        stage.meets("bob@b.test/other", "").len(),
        1,
        "to his other device"
    );
    for kind in ["subscribe", "probe", "error"] {
        let silent = stage.meets("bob@b.test/third", &format!(" type='{kind}'"));
        assert!(silent.is_empty(), "{kind}");
    }
    stage.set(EVE, &subscribe("n", EVE));
    assert!(
        stage.meets("eve@evil.test/else", "").is_empty(),
        "that device is not"
    );
}

/// Who comes and goes without end hears of it as often as he may publish.
#[test]
fn who_comes_too_often_hears_nothing() {
    let mut stage = Stage::with(|it| it.pubsub.burst = 3);
    stage.create(ALICE, "n", &[]);
    stage.set(ALICE, &publish("n", "i"));
    stage.set(BOB, &subscribe("n", "bob@b.test"));
    let mut heard = 0;
    for _ in 0..9 {
        heard += stage.meets(BOB, "").len();
        stage.meets(BOB, " type='unavailable'");
    }
    assert_eq!(heard, 3);
}

/// §12.4.
#[test]
fn who_cannot_be_told_is_subscribed_no_more() {
    for (kind, condition, stays) in [
        ("cancel", "item-not-found", false),
        ("cancel", "service-unavailable", false),
        ("modify", "gone", false),
        ("cancel", "remote-server-not-found", true),
        ("cancel", "internal-server-error", true),
        ("wait", "remote-server-timeout", true),
        ("cancel", "remote-server-timeout", true),
        ("auth", "forbidden", true),
        ("modify", "not-acceptable", true),
    ] {
        let mut stage = Stage::with_node(&[("notify_sub", "1")]);
        stage.create(ALICE, "m", &[]);
        for node in ["n", "m"] {
            stage.set(BOB, &subscribe(node, BOB));
        }
        let told = stage.set(ALICE, &publish("n", "i")).remove(1);
        // Another's error says nothing of bob.
        let of_eve = told.replace(&format!("to='{BOB}'"), &format!("to='{EVE}'"));
        assert!(stage.comes_back(&of_eve, kind, condition).is_empty());
        let said = stage.comes_back(&told, kind, condition);
        assert_eq!(said.is_empty(), stays, "alice hears of it: {said:?}");
        stage.restart();
        let again = stage.set(ALICE, &publish("n", "j"));
        assert_eq!(again.len() == 2, stays, "{kind} {condition}: {again:?}");
        assert_eq!(
            stage.set(ALICE, &publish("m", "j")).len(),
            2,
            "of that node only"
        );
    }
    let mut stage = Stage::with_node(&[]);
    for id in ["", "0", "x.y", "9.z", ".", "-1.a"] {
        let told = format!("<message id='{id}' to='{BOB}'/>");
        assert!(stage.comes_back(&told, "cancel", "gone").is_empty(), "{id}");
    }
}

/// §6.1.3.11, §8.4.1.
#[test]
fn whoever_asks_for_a_node_that_moved_is_told_where_it_is() {
    let uri = "xmpp:pubsub.b.test?;node=m";
    let mut stage = Stage::with_node(&[]);
    stage.own(ALICE, "set", &affiliate("bob@b.test", "outcast"));
    let delete = format!("<delete node='n'><redirect uri='{uri}'/></delete>");
    assert_eq!(verdict(&stage.own(ALICE, "set", &delete)), "result");
    stage.restart();
    let asked = [
        stage.set(EVE, &subscribe("n", EVE)),
        stage.set(ALICE, &publish("n", "i")),
        stage.get(EVE, "<items node='n'/>"),
    ];
    for answer in asked {
        assert_eq!(verdict(&answer), "gone ");
        assert!(answer[0].contains(&format!(">{uri}</gone>")), "{answer:?}");
        assert!(answer[0].contains("<error type='modify'>"), "{answer:?}");
    }
    // Whoever makes a node of that name has it.
    stage.set(BOB, "<create node='n'/>");
    stage.restart();
    assert!(stage.set(EVE, &subscribe("n", EVE))[0].contains("subscribed"));
    stage.own(BOB, "set", "<delete node='n'><redirect uri=''/></delete>");
    assert_eq!(
        verdict(&stage.get(EVE, "<items node='n'/>")),
        "item-not-found "
    );
}
