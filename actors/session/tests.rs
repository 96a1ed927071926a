//! Acknowledgements both ways (XEP-0198), and deliveries that must not be lost.

use std::sync::atomic::Ordering;
use std::time::Duration;

use rookery_storage::{Frame, Tree};

use crate::effect::Row;
use crate::keys::{Part, SessionKey};
use crate::messages::Mail;
use crate::realm::Realm;
use crate::testing::ledger::{ENTRY, LIST, RETURNED};
use crate::testing::{Client, World, attribute, jid, run, settings};

fn chat(body: &str) -> String {
    format!("<message to='bob@test' id='{body}' type='chat'><body>{body}</body></message>")
}

const ENABLE: &str = "<enable xmlns='urn:xmpp:sm:3'/>";
const REQUEST: &str = "<r xmlns='urn:xmpp:sm:3'/>";

/// A server with `ann` and `bob`.
fn world(change: impl FnOnce(&mut rookery_config::Settings)) -> World {
    let mut settings = settings();
    change(&mut settings);
    let users = ["ann", "bob"].into_iter().map(str::to_owned);
    World::with(settings, users, LIST)
}

/// Enables acknowledgements and resumption; the id of the session.
async fn enable(client: &mut Client) -> String {
    client
        .say("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
        .await;
    attribute(&client.hear("<enabled").await, "id")
}

/// Both available; `bob` can come back by this id.
async fn pair(world: &World) -> (Client, Client, String) {
    let ann = world.online("ann", "a").await;
    let mut bob = world.online("bob", "b").await;
    let previd = enable(&mut bob).await;
    (ann, bob, previd)
}

/// An answer that tells of so many.
fn acknowledge(count: u32) -> String {
    format!("<a xmlns='urn:xmpp:sm:3' h='{count}'/>")
}

/// The ids of messages up to the answer to a question of our own.
async fn ids(client: &mut Client) -> Vec<String> {
    let heard = client.settle().await.into_iter();
    heard
        .filter(|element| element.starts_with("<message"))
        .map(|element| attribute(&element, "id"))
        .collect()
}

/// They close their streams in order.
async fn farewell<const N: usize>(clients: [Client; N]) {
    for mut client in clients {
        client.say("</stream:stream>").await;
    }
}

/// Nothing is left of the sessions of `bob`, nor did anything come back from them.
async fn nothing_is_left(world: &World) {
    world.retired("bob").await;
    assert!(world.rows(2, RETURNED).is_empty());
    assert!(world.sessions(2).is_empty());
}

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

/// An answer costs as much as a message: a client is asked after a pause, and now and then.
#[test]
fn in_a_lively_chat_every_fifth_delivery_is_asked_for() {
    run(async {
        let world = world(|it| it.acks.pause = Duration::from_secs(3600));
        let (mut ann, mut bob, _) = pair(&world).await;
        ann.say(&chat("first")).await;
        bob.hear("id='first'").await;
        bob.hear("<r ").await;
        bob.say(&acknowledge(1)).await;
        bob.say(REQUEST).await;
        bob.hear("<a ").await;
        for number in 0..5 {
            let id = format!("id='m{number}'");
            ann.say(&chat(&format!("m{number}"))).await;
            assert_eq!(bob.before(&id).await, Vec::<String>::new());
        }
        bob.hear("<r ").await;
        farewell([ann, bob]).await;
        world.end().await;
    });
}

/// So is the last one before a silence.
#[test]
fn what_is_not_asked_for_at_once_is_asked_for_soon() {
    run(async {
        let world = world(|it| it.acks.pause = Duration::from_millis(300));
        let (mut ann, mut bob, _) = pair(&world).await;
        for (id, count) in [("one", 1), ("two", 2)] {
            ann.say(&chat(id)).await;
            bob.hear(&format!("id='{id}'")).await;
            bob.hear("<r ").await;
            bob.say(&acknowledge(count)).await;
        }
        farewell([ann, bob]).await;
        nothing_is_left(&world).await;
        world.end().await;
    });
}

/// Whoever cannot have so many unacknowledged is asked more often.
#[test]
fn a_small_bound_is_asked_for_in_time() {
    run(async {
        let world = world(|it| {
            it.acks.pause = Duration::from_secs(3600);
            it.acks.stanzas = 4;
        });
        let (mut ann, mut bob, _) = pair(&world).await;
        for number in 0..8 {
            ann.say(&chat(&format!("m{number}"))).await;
        }
        let mut count = 0;
        while count < 8 {
            let heard = bob.next().await.expect("the server is there");
            match heard.starts_with("<r ") {
                true => bob.say(&acknowledge(count)).await,
                false => count += 1,
            }
        }
        farewell([ann, bob]).await;
        world.end().await;
    });
}

/// Only what changes a device is written down again, or each message would write a row more.
#[test]
fn what_is_remembered_of_a_device_is_not_written_with_its_messages() {
    run(async {
        let world = world(|_| {});
        let (mut ann, mut bob, _) = pair(&world).await;
        bob.settle().await;
        let keeper = &world.realm().keeper;
        keeper.committed(Frame::new()).await;
        let states = || {
            let is_state =
                |(key, _): &Row| matches!(SessionKey::split(key), Some((_, Part::State, _)));
            world.sessions(2).into_iter().filter(is_state)
        };
        let mut forget = Frame::new();
        for (key, _) in states() {
            forget.delete(Tree::Sessions, key);
        }
        assert_eq!(forget.len(), 1);
        keeper.committed(forget).await;
        for id in ["one", "two"] {
            bob.say(&chat(id).replace("bob@test", "ann@test")).await;
            ann.hear(&format!("id='{id}'")).await;
            ann.say(&chat(id)).await;
            bob.hear(&format!("id='{id}'")).await;
        }
        bob.settle().await;
        keeper.committed(Frame::new()).await;
        assert_eq!(states().count(), 0);
        farewell([ann, bob]).await;
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

/// Sessions have names that no other Hub ever gives: one that a successor takes over is never taken
/// for one of its own.
#[test]
fn a_session_is_never_taken_for_another_one() {
    run(async {
        let world = World::new(&["ann"], LIST);
        let mut ann = world.online("ann", "a").await;
        let births = |realm: &Realm| realm.births.load(Ordering::Relaxed);
        let before = births(world.realm());
        world.realm().post(&jid("ann@test"), Mail::Fault, false);
        // What comes to the dead one's mailbox is refused.
        world
            .until("a successor", |realm| births(realm) > before)
            .await;
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

mod asleep;
mod restart;
mod resumption;
mod sleep;
