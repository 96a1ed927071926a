//! Acknowledgements both ways (XEP-0198), and deliveries that must not be lost.

use std::time::Duration;

use crate::testing::ledger::{ENTRY, LIST, RETURNED};
use crate::testing::{World, jid, run, settings};

fn chat(body: &str) -> String {
    format!("<message to='bob@test' id='{body}' type='chat'><body>{body}</body></message>")
}

const ENABLE: &str = "<enable xmlns='urn:xmpp:sm:3'/>";
const REQUEST: &str = "<r xmlns='urn:xmpp:sm:3'/>";

#[test]
fn nothing_is_acknowledged_before_the_disk_has_it() {
    run(async {
        let mut settings = settings();
        settings.acks.delay = Duration::from_millis(20);
        let users = ["ann", "bob"].into_iter().map(str::to_owned);
        let world = World::with(settings, users, LIST);
        let mut ann = world.login("ann", "a").await;
        ann.say(ENABLE).await;
        ann.hear("<enabled").await;
        world.disk.hold();
        ann.say(&chat("one")).await;
        ann.say(REQUEST).await;
        assert!(ann.hear("<a ").await.contains("h='0'"));
        // Also a second time, while the first still waits for the rest.
        ann.say(REQUEST).await;
        assert!(ann.hear("<a ").await.contains("h='0'"));
        world.disk.go_on();
        // The rest follows unasked.
        assert!(ann.hear("<a ").await.contains("h='1'"));
        drop(ann);
        world.end().await;
    });
}

#[test]
fn a_delivery_is_written_when_it_can_no_longer_be_lost() {
    run(async {
        let world = World::new(&["ann", "bob"], LIST);
        let (mut ann, mut bob) = (
            world.online("ann", "a").await,
            world.online("bob", "b").await,
        );
        bob.say(ENABLE).await;
        bob.hear("<enabled").await;
        world.disk.hold();
        ann.say(&chat("one")).await;
        // Nobody overtakes it.
        ann.say("<message to='bob@test' type='headline' id='two'/>")
            .await;
        ann.say("<message to='bob@test/b' type='chat' id='three'/>")
            .await;
        ann.settle().await;
        let early = tokio::time::timeout(Duration::from_millis(50), bob.next()).await;
        assert!(early.is_err(), "{early:?}");
        world.disk.go_on();
        let mut heard = Vec::new();
        while heard.len() < 3 {
            let element = bob.next().await.expect("a delivery");
            heard.extend(element.starts_with("<message").then_some(element));
        }
        for (element, id) in heard.iter().zip(["one", "two", "three"]) {
            assert!(element.contains(&format!("id='{id}'")), "{heard:#?}");
        }
        drop((ann, bob));
        world.retired("bob").await;
        assert_eq!(world.rows(2, RETURNED).len(), 1);
        assert!(world.sessions(2).is_empty());
        world.end().await;
    });
}

/// What a device was to get and had not when it went comes back, in order.
#[test]
fn deliveries_held_for_a_device_that_goes_come_back() {
    run(async {
        let world = World::new(&["ann", "bob"], LIST);
        let (mut ann, mut bob) = (
            world.online("ann", "a").await,
            world.online("bob", "b").await,
        );
        bob.say(ENABLE).await;
        bob.hear("<enabled").await;
        world.disk.hold();
        for body in ["one", "two"] {
            ann.say(&chat(body)).await;
        }
        ann.settle().await;
        drop(bob);
        world
            .until("bob goes", |realm| {
                realm
                    .gauges
                    .sessions
                    .load(std::sync::atomic::Ordering::Relaxed)
                    == 1
            })
            .await;
        world.disk.go_on();
        drop(ann);
        world.retired("bob").await;
        let entries: Vec<_> = world
            .rows(2, ENTRY)
            .into_iter()
            .map(|(key, _)| key)
            .collect();
        let returned: Vec<_> = world
            .rows(2, RETURNED)
            .into_iter()
            .map(|(_, kept)| kept)
            .collect();
        assert_eq!(returned, entries);
        assert!(world.sessions(2).is_empty());
        world.end().await;
    });
}

/// What a session of a Hub that is gone still says is said for nobody, and never for another one.
#[test]
fn a_session_is_never_taken_for_another_one() {
    run(async {
        let world = World::new(&["ann"], LIST);
        let ann = world.online("ann", "a").await;
        world
            .realm()
            .post(&jid("ann@test"), crate::messages::Mail::Fault, false);
        let mut ann = ann;
        let last = ann.rest().await.pop().expect("a last word");
        assert!(last.contains("internal-server-error"), "{last}");
        let mut again = world.online("ann", "b").await;
        let first = world
            .realm()
            .bindings
            .load(std::sync::atomic::Ordering::Relaxed);
        assert!(first >= 3, "two sessions, two names");
        drop(ann);
        again.settle().await;
        drop(again);
        world.end().await;
    });
}

mod resumption;
