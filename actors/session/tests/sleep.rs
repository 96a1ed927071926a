//! Accounts that sleep after the server has started again: their sessions are rows until something
//! comes for them.

use std::time::Duration;

use super::{attribute, chat, farewell, ids, nothing_is_left, pair, world};
use crate::keys::{AccountId, SessionKey};
use crate::messages::{Mail, Order};
use crate::testing::{Client, World, jid, run};

const BOB: &str = "bob@test";

fn sleeps(world: &World) -> bool {
    let directory = &world.realm().directory;
    let lives = directory.keys().iter().any(|it| it == BOB);
    assert!(!(lives && directory.sleepers.has(BOB)));
    directory.sleepers.has(BOB)
}

/// `bob` may come back by this id, to a server that has started again.
async fn asleep(change: impl FnOnce(&mut rookery_config::Settings)) -> (World, String) {
    let world = world(change);
    let (ann, bob, previd) = pair(&world).await;
    let world = world.restart().await;
    drop((ann, bob));
    (world, previd)
}

async fn come_back(world: &World, previd: &str) -> Client {
    let mut bob = world.connect(64 * 1024);
    let resumed = bob.resume("bob", previd, 0).await;
    assert!(resumed.starts_with("<resumed "), "{resumed}");
    bob
}

#[test]
fn who_only_waits_sleeps_and_gets_what_came_meanwhile() {
    run(async {
        let (world, previd) = asleep(|_| {}).await;
        assert!(sleeps(&world));
        let mut ann = world.online("ann", "a").await;
        assert!(sleeps(&world));
        ann.say(&chat("one")).await;
        ann.settle().await;
        assert!(!sleeps(&world));
        let mut bob = come_back(&world, &previd).await;
        assert_eq!(ids(&mut bob).await, ["one"]);
        bob.say("<a xmlns='urn:xmpp:sm:3' h='2'/>").await;
        farewell([ann, bob]).await;
        nothing_is_left(&world).await;
        world.end().await;
    });
}

/// What is for nobody who is away is for who sleeps: he is not.
#[test]
fn presence_wakes_who_sleeps() {
    run(async {
        let (world, previd) = asleep(|_| {}).await;
        let mut ann = world.online("ann", "a").await;
        ann.say("<presence to='bob@test/b'/>").await;
        ann.settle().await;
        assert!(!sleeps(&world));
        let mut bob = come_back(&world, &previd).await;
        bob.hear("from='ann@test/a'").await;
        farewell([ann, bob]).await;
        nothing_is_left(&world).await;
        world.end().await;
    });
}

/// So are the orders of an administrator.
#[test]
fn an_order_wakes_who_sleeps() {
    run(async {
        let (world, _) = asleep(|_| {}).await;
        let (answer, resources) = tokio::sync::oneshot::channel();
        let order = Mail::Order(Order::Resources(answer));
        world.realm().post(&jid(BOB), order, false);
        let found = resources.await.expect("an answer");
        assert_eq!(found, [("b".to_owned(), true)]);
        assert!(!sleeps(&world));
        world.stop().await;
    });
}

#[test]
fn who_sleeps_too_long_has_gone() {
    run(async {
        let (world, previd) = asleep(|it| it.acks.resume = Duration::from_millis(300)).await;
        let rows = || world.sessions(2).is_empty();
        world.until("the session ends", |_| rows()).await;
        let mut bob = world.connect(64 * 1024);
        let failed = bob.resume("bob", &previd, 0).await;
        assert!(failed.starts_with("<failed "), "{failed}");
        // How much was handled is told all the same.
        assert_eq!(attribute(&failed, "h"), "0", "{failed}");
        farewell([bob]).await;
        nothing_is_left(&world).await;
        world.end().await;
    });
}

/// The time of a session does not begin anew when something wakes its account.
#[test]
fn who_is_woken_has_what_is_left_of_the_time() {
    run(async {
        let (world, _) = asleep(|it| it.acks.resume = Duration::from_secs(3600)).await;
        let slumber = world.realm().directory.sleepers.wake(BOB);
        let until = slumber
            .expect("he sleeps")
            .until(SessionKey::new(AccountId(2), 0));
        let left = until - tokio::time::Instant::now();
        assert!(left <= Duration::from_secs(3600) && left > Duration::from_secs(3000));
        world.stop().await;
    });
}

/// A message that he may not have got is told to his push service: so his Hub starts.
#[test]
fn who_is_owed_something_does_not_sleep() {
    run(async {
        let world = world(|_| {});
        let (mut ann, mut bob, _) = pair(&world).await;
        ann.say(&chat("one")).await;
        bob.hear("id='one'").await;
        let world = world.restart().await;
        assert!(!sleeps(&world));
        drop((ann, bob));
        world.stop().await;
    });
}
