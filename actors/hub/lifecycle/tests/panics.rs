//! What panics do to a Hub and its sessions.

use super::{ask, chat};
use crate::testing::ledger::{ENTRY, LIST, NS, RETURNED};
use crate::testing::{World, run};

#[test]
fn a_hub_that_panics_loads_again_and_its_sessions_notice_nothing() {
    run(async {
        let world = World::new(&["ann", "bob"], LIST);
        let (mut ann, mut bob) = (
            world.online("ann", "a").await,
            world.online("bob", "b").await,
        );
        ann.say(&chat("bob", "one")).await;
        ann.say(&format!(
            "<message to='bob@test' id='bad'><body/><panic xmlns='{NS}'/></message>"
        ))
        .await;
        ann.say(&chat("bob", "two")).await;
        bob.hear("<body>one</body>").await;
        let error = ann.hear("id='bad'").await;
        assert!(error.contains("internal-server-error"), "{error}");
        bob.hear("<body>two</body>").await;
        // Presence outlives the panic: the bare address still reaches the device.
        bob.say(&chat("ann", "three")).await;
        ann.hear("<body>three</body>").await;
        drop((ann, bob));
        world.retired("bob").await;
        assert_eq!((world.panics(), world.rows(2, ENTRY).len()), (1, 2));
        world.end().await;
    });
}

#[test]
fn a_panic_is_answered_and_the_stream_stays() {
    run(async {
        let world = World::new(&["ann"], LIST);
        let mut ann = world.login("ann", "a").await;
        // In the Hub of who asks, and in that of the domain.
        for to in ["ann@test", "test"] {
            let ask = |id: &str, what: &str| {
                let to = format!("<iq to='{to}' ");
                ask(id, what).replacen("<iq ", &to, 1)
            };
            ann.say(&ask("1", "panic")).await;
            assert!(ann.hear("id='1'").await.contains("internal-server-error"));
            ann.say(&ask("2", "count")).await;
            assert!(ann.hear("id='2'").await.contains("type='result'"));
        }
        drop(ann);
        world.end().await;
    });
}

#[test]
fn what_is_kept_for_a_device_survives_the_panic() {
    run(async {
        let world = World::new(&["ann"], LIST);
        let mut ann = world.online("ann", "a").await;
        let mut other = world.online("ann", "b").await;
        ann.say(&ask("1", "note")).await;
        ann.hear("id='1'").await;
        for id in ["2", "3"] {
            other.say(&ask(id, "panic")).await;
            other.hear(&format!("id='{id}'")).await;
        }
        other.say(&ask("4", "tell")).await;
        ann.hear("<told").await;
        assert!(
            !other
                .before("id='4'")
                .await
                .iter()
                .any(|it| it.contains("<told"))
        );
        drop((ann, other));
        world.end().await;
    });
}

/// A device's end is never lost, and its deliveries come back once, whatever panics meanwhile.
#[test]
fn unacknowledged_deliveries_come_back_once() {
    run(async {
        let world = World::new(&["ann", "bob"], LIST);
        let mut ann = world.online("ann", "a").await;
        let mut bob = world.online("bob", "b").await;
        bob.say("<enable xmlns='urn:xmpp:sm:3'/>").await;
        bob.hear("<enabled").await;
        for body in ["one", "two", "three"] {
            ann.say(&chat("bob", body)).await;
            bob.hear(&format!("<body>{body}</body>")).await;
        }
        bob.say("<a xmlns='urn:xmpp:sm:3' h='1'/>").await;
        bob.say(&ask("1", "panic")).await;
        bob.hear("id='1'").await;
        drop(bob);
        drop(ann);
        world.retired("bob").await;
        let returned = world.rows(2, RETURNED);
        assert_eq!(returned.len(), 2, "{returned:?}");
        assert!(world.sessions(2).is_empty());
        world.end().await;
    });
}

/// What comes back from an earlier life may make the account panic each time it is loaded.
#[test]
fn what_panics_as_it_comes_back_is_left_alone() {
    run(async {
        let world = World::new(&["ann", "bob"], LIST);
        let mut ann = world.online("ann", "a").await;
        let mut bob = world.online("bob", "b").await;
        bob.say("<enable xmlns='urn:xmpp:sm:3'/>").await;
        bob.hear("<enabled").await;
        ann.say(&chat("bob", "one")).await;
        bob.hear("<body>one</body>").await;
        bob.say(&format!(
            "<iq type='set' id='1'><faulty xmlns='{NS}' at='returned'/></iq>"
        ))
        .await;
        bob.hear("id='1'").await;
        // His session ends, and the row of the delivery stays.
        drop(bob);
        world.retired("bob").await;
        assert_eq!(world.deliveries(2).len(), 1);
        let panics = world.panics();
        let mut bob = world.online("bob", "b").await;
        ann.say(&chat("bob", "two")).await;
        bob.hear("<body>two</body>").await;
        assert_eq!(world.panics(), panics + 1);
        assert_eq!(world.deliveries(2).len(), 1);
        drop((ann, bob));
        world.end().await;
    });
}

/// After the panic nobody was told that the device is there: so it is not.
#[test]
fn a_presence_that_panics_is_not_set() {
    run(async {
        let world = World::new(&["ann", "bob"], LIST);
        let mut ann = world.online("ann", "a").await;
        let mut other = world.login("ann", "b").await;
        let mut bob = world.login("bob", "b").await;
        other
            .say("<presence><status>panic</status></presence>")
            .await;
        other.settle().await;
        assert_eq!(world.panics(), 1);
        bob.say(&chat("ann", "one")).await;
        ann.hear("<body>one</body>").await;
        assert_eq!(other.settle().await, Vec::<String>::new());
        // The next one is the first.
        other.say("<presence/>").await;
        ann.hear("from='ann@test/b'").await;
        other.hear("from='ann@test/a'").await;
        drop((ann, other, bob));
        world.end().await;
    });
}

/// Extensions that panic whenever they hear of it keep nobody from hearing that a device is gone.
#[test]
fn an_end_that_panics_is_told_to_those_who_saw_the_device() {
    run(async {
        let world = World::new(&["ann", "bob"], LIST);
        let (mut ann, mut bob) = world.acquainted().await;
        ann.say(&format!(
            "<iq type='set' id='1'><faulty xmlns='{NS}' at='gone'/></iq>"
        ))
        .await;
        ann.hear("id='1'").await;
        drop(ann);
        bob.hear_gone("ann@test/a").await;
        drop(bob);
        world.end().await;
    });
}

/// Nor does one that panics as it builds anew what it kept for a device.
#[test]
fn what_panics_as_it_joins_again_is_left_alone() {
    run(async {
        let world = World::new(&["ann"], LIST);
        let mut ann = world.online("ann", "a").await;
        ann.say(&format!(
            "<iq type='set' id='1'><faulty xmlns='{NS}' at='rejoined'/></iq>"
        ))
        .await;
        ann.say(&ask("2", "note")).await;
        ann.say(&ask("3", "panic")).await;
        ann.hear("id='3'").await;
        ann.say(&ask("4", "count")).await;
        assert!(ann.hear("id='4'").await.contains("type='result'"));
        assert_eq!(world.panics(), 2);
        drop(ann);
        world.end().await;
    });
}
