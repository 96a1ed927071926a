//! Items as their node is configured to take, keep and show them.

use super::*;

/// §7.1.2.5 and §7.1.3.4; §7.1.3.7 and §8.5.3.3.
#[test]
fn a_node_does_as_it_is_configured() {
    let mut stage = Stage::with_node(&[("max_items", "1"), ("publish_node_full", "reject")]);
    assert_eq!(verdict(&stage.set(ALICE, &publish("n", "i"))), "result");
    let full = stage.set(ALICE, &publish("n", "j"));
    assert_eq!(verdict(&full), "conflict node-full");
    assert_eq!(
        verdict(&stage.set(ALICE, &publish("n", "i"))),
        "result",
        "in its place"
    );
    let fleeting = [("persist_items", "0"), ("deliver_payloads", "0")];
    stage.create(ALICE, "bell", &fleeting);
    stage.set(BOB, &subscribe("bell", BOB));
    let item = stage.set(ALICE, &publish("bell", "i"));
    assert_eq!(verdict(&item), "bad-request item-forbidden");
    let rung = stage.set(ALICE, "<publish node='bell'/>");
    assert!(rung[1].contains("<items node='bell'/>"), "{rung:?}");
    let purged = stage.own(ALICE, "set", "<purge node='bell'/>");
    assert_eq!(verdict(&purged), "feature-not-implemented unsupported");
    let items = stage.get(BOB, "<items node='bell'/>");
    assert_eq!(verdict(&items), "feature-not-implemented unsupported");
    for (inside, error) in [
        ("<publish node='n'/>", "bad-request item-required"),
        (
            "<publish node='n'><item id='x'/></publish>",
            "bad-request payload-required",
        ),
    ] {
        assert_eq!(verdict(&stage.set(ALICE, inside)), error, "{inside}");
    }
}

/// §7.1.2.5: a full node drops its oldest, and says so or not.
#[test]
fn a_full_node_tells_of_what_it_drops_if_its_owner_wants_that() {
    for (full, said) in [("retract-oldest", 3), ("discard-oldest", 2)] {
        let fields = [("max_items", "2"), ("publish_node_full", full)];
        let mut stage = Stage::with_node(&fields);
        stage.set(BOB, &subscribe("n", BOB));
        for id in ["1", "2", "3"] {
            stage.restart();
            let heard = stage.set(ALICE, &publish("n", id));
            assert_eq!(
                heard.len(),
                if id == "3" { said } else { 2 },
                "{full}: {heard:?}"
            );
            assert_eq!(
                heard.get(2).is_some(),
                heard.concat().contains("<retract id='1'/>")
            );
        }
    }
}

/// §7.1.2.3, §12.17: who is said to have published something, in events and where it is read.
#[test]
fn an_item_names_whom_its_node_is_configured_to_name() {
    for (reply, named) in [
        ("publisher", Some("bob@b.test")),
        ("owner", Some("alice@a.test")),
        ("none", None),
    ] {
        let fields = [("itemreply", reply), ("publish_model", "open")];
        let mut stage = Stage::with_node(&fields);
        // Who owns it besides is not named.
        stage.own(ALICE, "set", &people::affiliate("aaron@a.test", "owner"));
        stage.set(EVE, &subscribe("n", EVE));
        let forged = publish("n", "i").replace("<item ", "<item publisher='root@a.test' ");
        let heard = stage.set(BOB, &forged).remove(1);
        stage.restart();
        let read = stage.get(EVE, "<items node='n'/>").remove(0);
        let greeted = stage.set(ALICE, &subscribe("n", ALICE)).remove(1);
        for text in [heard, read, greeted] {
            let publisher = text.split(" publisher='").nth(1);
            let publisher = publisher.and_then(|it| it.split('\'').next());
            assert_eq!(publisher, named, "{reply}: {text}");
        }
    }
}

#[test]
fn an_item_is_no_longer_than_its_node_allows() {
    let mut stage = Stage::with_node(&[("max_payload_size", "29")]);
    assert_eq!(
        verdict(&stage.set(ALICE, &publish("n", "0123456"))),
        "result"
    );
    let long = stage.set(ALICE, &publish("n", "01234567"));
    assert_eq!(verdict(&long), "not-acceptable payload-too-big");
}
