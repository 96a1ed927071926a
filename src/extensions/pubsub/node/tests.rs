//! Nodes on disk: what is written, what older versions wrote, and who writes how much.

use rookery_actors::effect::Origin;
use rookery_actors::keys;
use rookery_storage::{Direction, KeyRange, Store};

use super::*;
use crate::extensions::pubsub::config::Full;
use crate::extensions::scene::jid;

fn config() -> [u8; 17] {
    [1, 0, 2, 0, 1, 1, 1, 1, 0, 0, 1, 0, 1, 0, 0, 0, 0]
}

fn details() -> Details {
    Details {
        max_payload: 1,
        item_expire: 2,
        contact: vec!["e".into()],
        language: "f".into(),
        full: Full::Reject,
        reply: Reply::Nobody,
    }
}

/// If this fails, nodes on every disk out there can no longer be read: raise a version.
#[test]
fn golden_bytes() {
    let row = NodeRow {
        name: "n".into(),
        config: Config::default(),
        details: details(),
        creator: "g".into(),
        created: 9,
        packed: None,
    };
    let rest = [1, 2, 1, 1, b'e', 1, b'f', 2, 2, 1, b'g', 9];
    let golden: [&[u8]; 3] = [&[3, 1, b'n'], &config(), &rest];
    assert_eq!(encode(&row).unwrap(), golden.concat());
    assert_eq!(decode::<NodeRow>(&golden.concat()).unwrap(), row);
    let stock = Stock {
        items: 2,
        bytes: 3,
        last: 4,
    };
    assert_eq!(encode(&stock).unwrap(), [1, 2, 3, 4]);
}

/// As the first two versions were, which had the people in the row of their node: they are
/// read, and get rows of their own with the first change.
#[test]
fn people_of_older_versions_are_unpacked() {
    let people: [&[u8]; 2] = [&[1, 3, b'b', b'@', b'c', 1, 0], &[7]];
    let (d, e) = ([1, 3, b'd', b'@', b'c', 4], [1, 2, 1, 1, b'e', 1, b'f', 1]);
    let second: [&[u8]; 6] = [&[2, 1, b'n'], &config(), &people.concat(), &d, &e, &[0, 9]];
    let first: [&[u8]; 4] = [&[1, 1, b'n'], &config(), people[0], &d];
    for (old, expire) in [(second.concat(), 7), (first.concat(), 0)] {
        let (mut nodes, mut fx) = (Nodes::default(), Effects::new(0, Origin::Elsewhere));
        nodes.load(NODE, &[0, 0, 0, 3], &old);
        let node = nodes.get_mut("n").expect("it can be read");
        let (bob, dan) = (jid("b@c"), jid("d@c/r"));
        let his = Subscription {
            is_pending: true,
            delivers: false,
            expire,
        };
        assert_eq!(node.people.subscription(&bob), Some(&his));
        assert_eq!(node.people.affiliation(&dan), Affiliation::Outcast);
        assert_eq!(node.config.details.reply, Reply::Publisher, "as it was");
        // Somebody else comes, who was not there; the others' rows are written with his.
        let account = AccountId(7);
        node.subscribe(&jid("x@c"), Subscription::NEW, account, &mut fx);
        assert!(node.unsubscribe(&bob, account, &mut fx));
        let store = Store::temporary();
        store.commit(vec![fx.take_rows()]).expect("it is stored");
        let all = store.range(Tree::Account, &KeyRange::all(), 9, Direction::Forward);
        let all = all.expect("rows");
        assert_eq!(all.len(), 3, "the node, and two of its people");
        let mut again = Nodes::default();
        for (key, value) in &all {
            let (_, kind, rest) = keys::split(key).expect("a key");
            again.load(kind, rest, value);
        }
        let people = again.get("n").expect("it is there").people();
        assert_eq!(
            people.subscription(&bob),
            None,
            "not again from the old row"
        );
        assert!(people.has_subscriber(&jid("x@c")));
        assert_eq!(people.affiliation(&dan), Affiliation::Outcast);
    }
}

/// However many there are, who comes writes his own row and no other.
#[test]
fn who_subscribes_writes_one_row() {
    let (mut nodes, mut fx) = (Nodes::default(), Effects::new(0, Origin::Elsewhere));
    let account = AccountId(7);
    let node = nodes.create("n", Config::default(), None, account, &mut fx);
    for number in 0..3_000 {
        let who = jid(&format!("b{number}@c"));
        node.subscribe(&who, Subscription::NEW, account, &mut fx);
    }
    drop(fx.take_rows());
    node.subscribe(&jid("last@c"), Subscription::NEW, account, &mut fx);
    let store = Store::temporary();
    store.commit(vec![fx.take_rows()]).expect("it is stored");
    let all = store.range(Tree::Account, &KeyRange::all(), 9, Direction::Forward);
    let all = all.expect("rows");
    assert_eq!(all.len(), 1);
    assert!(all[0].0.ends_with(b"last@c") && all[0].1.len() < 16);
}

#[test]
fn what_was_written_is_loaded_again() {
    let (mut nodes, mut fx) = (Nodes::default(), Effects::new(0, Origin::Elsewhere));
    let account = AccountId(1);
    nodes.create("urn:a", Config::default(), None, account, &mut fx);
    let node = nodes.create("urn:b", Config::default(), None, account, &mut fx);
    assert_eq!(node.number, 1);
    let bob = jid("bob@b.test/r");
    assert!(node.affiliate(&bob, Affiliation::Member, account, &mut fx));
    assert!(!node.affiliate(&bob, Affiliation::Member, account, &mut fx));
    assert_eq!(node.people.affiliation(&bob), Affiliation::Member);
    assert!(node.affiliate(&bob, Affiliation::None, account, &mut fx));
    assert_eq!(node.people.affiliations().count(), 0);
    nodes.delete("urn:a", account, &mut fx);
    assert!(nodes.get("urn:a").is_none() && nodes.len() == 1);
    let fresh = nodes.create("urn:c", Config::default(), None, account, &mut fx);
    assert_eq!(fresh.number, 2, "no number of a node that is there");
}
