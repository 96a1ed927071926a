//! Acknowledgements both ways (XEP-0198), and deliveries that must not be lost.

use std::time::Duration;

use crate::keys::Kind;
use crate::messages::Mail;
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
        assert!(world.rows(2, Kind::UNACKED).is_empty());
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
        assert!(world.rows(2, Kind::UNACKED).is_empty());
        world.end().await;
    });
}

/// Its answer could come in the client's next stream, before the header.
#[test]
fn who_leaves_is_not_asked_at_once() {
    run(async {
        let world = World::new(&["ann"], LIST);
        let mut ann = world.login("ann", "a").await;
        ann.say(ENABLE).await;
        ann.hear("<enabled").await;
        ann.say("<presence/>").await;
        ann.hear("<r ").await;
        ann.say("<presence type='unavailable'/><a xmlns='urn:xmpp:sm:3' h='1'/>")
            .await;
        let told = std::time::Instant::now();
        ann.hear("type='unavailable'").await;
        // It does not close the stream: then it is asked.
        assert!(ann.next().await.expect("a request").starts_with("<r "));
        assert!(told.elapsed() >= super::LEAVING);
        // Back again, it is asked at once.
        ann.say("<a xmlns='urn:xmpp:sm:3' h='2'/><presence id='p'/>")
            .await;
        let back = std::time::Instant::now();
        ann.hear("id='p'").await;
        assert!(ann.next().await.expect("a request").starts_with("<r "));
        assert!(back.elapsed() < super::LEAVING / 2);
        drop(ann);
        world.end().await;
    });
}

#[test]
fn who_acknowledges_nothing_ends_and_loses_nothing() {
    run(async {
        let mut settings = settings();
        settings.acks.stanzas = 5;
        settings.acks.timeout = Duration::from_secs(3600);
        let users = ["ann", "bob"].into_iter().map(str::to_owned);
        let world = World::with(settings, users, LIST);
        let (mut ann, mut bob) = (
            world.online("ann", "a").await,
            world.online("bob", "b").await,
        );
        bob.say(ENABLE).await;
        bob.hear("<enabled").await;
        let sent = 5 * super::FAR + 1;
        for number in 0..sent {
            ann.say(&chat(&format!("n{number}"))).await;
        }
        let last = bob.rest().await.pop().expect("a last word");
        assert!(last.contains("policy-violation"), "{last}");
        drop((ann, bob));
        world.retired("bob").await;
        assert_eq!(world.rows(2, ENTRY).len(), sent);
        assert_eq!(world.rows(2, RETURNED).len(), sent);
        world.end().await;
    });
}

#[test]
fn who_acknowledges_too_little_for_too_long_ends() {
    run(async {
        let mut settings = settings();
        settings.acks.stanzas = 2;
        settings.acks.timeout = Duration::from_millis(100);
        let users = ["ann", "bob"].into_iter().map(str::to_owned);
        let world = World::with(settings, users, LIST);
        let (mut ann, mut bob) = (
            world.online("ann", "a").await,
            world.online("bob", "b").await,
        );
        bob.say(ENABLE).await;
        bob.hear("<enabled").await;
        for body in ["one", "two", "three"] {
            ann.say(&chat(body)).await;
        }
        // It answers at once, always the same: alive, but three are more than two.
        let end = loop {
            let Some(heard) = bob.next().await else {
                panic!("no last word")
            };
            match heard {
                heard if heard.starts_with("<r ") => {
                    bob.say("<a xmlns='urn:xmpp:sm:3' h='0'/>").await;
                }
                heard if heard.contains("stream:error") => break heard,
                _ => {}
            }
        };
        assert!(end.contains("policy-violation"), "{end}");
        drop((ann, bob));
        world.end().await;
    });
}

/// Sessions have names that no other Hub ever gives: one that a successor takes over is never taken
/// for one of its own.
#[test]
fn a_session_is_never_taken_for_another_one() {
    run(async {
        let world = World::new(&["ann"], LIST);
        let mut ann = world.online("ann", "a").await;
        world.realm().post(&jid("ann@test"), Mail::Fault, false);
        let mut again = world.online("ann", "b").await;
        again
            .say("<message to='ann@test/a' id='x' type='headline'/>")
            .await;
        ann.hear("id='x'").await;
        ann.say("<message to='ann@test/b' id='y' type='headline'/>")
            .await;
        again.hear("id='y'").await;
        drop((ann, again));
        world.end().await;
    });
}

#[test]
fn a_panic_in_a_session_costs_its_stream_and_its_contacts_hear() {
    run(async {
        let world = World::new(&["ann", "bob"], LIST);
        let mut bob = world.online("bob", "b").await;
        let mut ann = world.login("ann", "a").await;
        ann.say("<presence to='bob@test'/>").await;
        bob.hear("from='ann@test/a'").await;
        world
            .realm()
            .post(&jid("ann@test"), Mail::FaultOfSessions, false);
        let last = ann.rest().await.pop().expect("a last word");
        assert!(last.contains("internal-server-error"), "{last}");
        let gone = bob.hear("from='ann@test/a'").await;
        assert!(gone.contains("type='unavailable'"), "{gone}");
        // The Hub, and everybody else, goes on.
        let mut again = world.login("ann", "a").await;
        again.settle().await;
        bob.settle().await;
        drop((ann, again, bob));
        world.end().await;
    });
}
