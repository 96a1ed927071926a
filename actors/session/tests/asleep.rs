//! Accounts that fall asleep while the server runs: all their sessions have waited for a while.

use std::sync::atomic::Ordering;
use std::time::Duration;

use rookery_config::Settings;
use tokio::time::Instant;

use super::{
    REQUEST, acknowledge, attribute, chat, enable, farewell, ids, nothing_is_left, pair, world,
};
use crate::keys::SessionKey;
use crate::sleepers::Slumber;
use crate::testing::ledger::{ENTRY, NS};
use crate::testing::{Client, World, run};

const BOB: &str = "bob@test";

fn drowsy(settings: &mut Settings) {
    settings.acks.sleep = Duration::from_millis(30);
    settings.acks.resume = Duration::from_secs(3600);
}

async fn falls_asleep(world: &World) {
    let sleeps = |realm: &crate::realm::Realm| realm.directory.sleepers.has(BOB);
    world.until("bob sleeps", sleeps).await;
}

async fn come_back(world: &World, previd: &str, h: u32) -> (Client, String) {
    let mut bob = world.connect(64 * 1024);
    let resumed = bob.resume("bob", previd, h).await;
    assert!(resumed.starts_with("<resumed "), "{resumed}");
    (bob, attribute(&resumed, "h"))
}

fn headline(id: &str) -> String {
    format!("<message to='bob@test/b' type='headline' id='{id}'/>")
}

/// `ann` is there; `bob` was told three things, of which he has said that he has the first, and
/// told one himself.
async fn interrupted(world: &World) -> (Client, Client, String) {
    let (mut ann, mut bob, previd) = pair(world).await;
    bob.say("<presence to='ann@test/a'/>").await;
    ann.hear("from='bob@test/b'").await;
    ann.say(&chat("one")).await;
    bob.hear("id='one'").await;
    bob.say(&acknowledge(1)).await;
    ann.say(&chat("two")).await;
    bob.hear("id='two'").await;
    ann.say(&headline("three")).await;
    bob.hear("id='three'").await;
    (ann, bob, previd)
}

#[test]
fn who_fell_asleep_comes_back_as_if_the_network_had_blinked() {
    run(async {
        let world = world(drowsy);
        let (mut ann, bob, previd) = interrupted(&world).await;
        drop(bob);
        falls_asleep(&world).await;
        let sessions = &world.realm().gauges.sessions;
        assert_eq!(sessions.load(Ordering::Relaxed), 1);
        ann.say(&headline("four")).await;
        ann.say(&chat("five")).await;
        let heard = ann.settle().await;
        assert!(heard.iter().all(|it| !it.contains("unavailable")));
        falls_asleep(&world).await;
        let (mut bob, h) = come_back(&world, &previd, 1).await;
        assert_eq!(h, "1");
        assert_eq!(ids(&mut bob).await, ["two", "three", "four", "five"]);
        // Counting goes on: the question of `ids` is the second.
        bob.say(REQUEST).await;
        assert!(bob.hear("<a ").await.contains("h='2'"));
        bob.say(&acknowledge(6)).await;
        // Whom he told that he is there hears when he goes.
        farewell([bob]).await;
        ann.hear_gone("bob@test/b").await;
        farewell([ann]).await;
        nothing_is_left(&world).await;
        world.end().await;
    });
}

#[test]
fn who_sleeps_outlives_a_crash() {
    run(async {
        let world = world(drowsy);
        let (ann, bob, previd) = interrupted(&world).await;
        drop(bob);
        falls_asleep(&world).await;
        let world = world.kill().await;
        drop(ann);
        let (mut bob, h) = come_back(&world, &previd, 1).await;
        assert_eq!(
            (h.as_str(), ids(&mut bob).await),
            ("1", vec!["two".into(), "three".into()])
        );
        drop(bob);
        world.stop().await;
    });
}

/// Counters that this server kept without a break are the truth (XEP-0198 §6).
#[test]
fn nobody_has_more_than_he_was_sent() {
    run(async {
        let world = world(drowsy);
        let (ann, bob, previd) = interrupted(&world).await;
        drop(bob);
        falls_asleep(&world).await;
        let mut bob = world.connect(64 * 1024);
        let answer = bob.resume("bob", &previd, 4).await;
        assert!(answer.contains("handled-count-too-high"), "{answer}");
        drop((ann, bob));
        falls_asleep(&world).await;
        let (bob, _) = come_back(&world, &previd, 3).await;
        farewell([bob]).await;
        nothing_is_left(&world).await;
        world.end().await;
    });
}

#[test]
fn who_sleeps_until_his_time_is_over_has_gone() {
    run(async {
        let world = world(drowsy);
        let (mut ann, bob, previd) = interrupted(&world).await;
        drop(bob);
        falls_asleep(&world).await;
        let rows = world.sessions(2);
        let (key, ..) = SessionKey::split(&rows[0].0).expect("a row of a session");
        let sleepers = &world.realm().directory.sleepers;
        let slumber = sleepers.wake(BOB).expect("he sleeps");
        let mut waiting = slumber.waiting(key).expect("his session");
        let now = Instant::now();
        let left = waiting.until.saturating_duration_since(now);
        assert!(left > Duration::from_secs(3000) && left <= Duration::from_secs(3600));
        waiting.until = now;
        sleepers.add(BOB.into(), Slumber::of(Box::new([waiting])));
        ann.hear_gone("bob@test/b").await;
        let mut bob = world.connect(64 * 1024);
        let failed = bob.resume("bob", &previd, 1).await;
        assert!(failed.starts_with("<failed "), "{failed}");
        assert_eq!(attribute(&failed, "h"), "1");
        assert!(world.sessions(2).is_empty());
        farewell([ann, bob]).await;
        world.end().await;
    });
}

#[test]
fn what_comes_while_it_falls_asleep_wakes_it() {
    run(async {
        let world = world(drowsy);
        let (mut ann, bob, previd) = pair(&world).await;
        world.disk.hold();
        drop(bob);
        world
            .until("it is being written", |_| world.disk.waits())
            .await;
        ann.say(&headline("one")).await;
        ann.say(&chat("two")).await;
        ann.settle().await;
        world.disk.go_on();
        let (mut bob, _) = come_back(&world, &previd, 0).await;
        assert_eq!(ids(&mut bob).await, ["one", "two"]);
        bob.say(&acknowledge(3)).await;
        farewell([ann, bob]).await;
        nothing_is_left(&world).await;
        world.end().await;
    });
}

#[test]
fn on_a_full_disk_nobody_falls_asleep() {
    run(async {
        let world = world(drowsy);
        let (ann, bob, previd) = interrupted(&world).await;
        let refused = || world.realm().keeper.store().stats().refused;
        world.disk.fill(true);
        drop(bob);
        let before = refused();
        world
            .until("the disk refuses", |_| refused() > before + 1)
            .await;
        assert!(!world.realm().directory.sleepers.has(BOB));
        world.disk.fill(false);
        falls_asleep(&world).await;
        let (mut bob, h) = come_back(&world, &previd, 1).await;
        assert_eq!(h, "1");
        assert_eq!(ids(&mut bob).await, ["two", "three"]);
        drop((ann, bob));
        world.stop().await;
    });
}

#[test]
fn what_is_still_open_is_counted_before() {
    run(async {
        let world = world(drowsy);
        let (mut ann, mut bob, previd) = pair(&world).await;
        world.disk.hold();
        bob.say(&chat("mine").replace(BOB, "ann@test")).await;
        drop(bob);
        world
            .until("it waits for the disk", |_| world.disk.waits())
            .await;
        world.disk.go_on();
        falls_asleep(&world).await;
        let (bob, h) = come_back(&world, &previd, 0).await;
        assert_eq!(h, "1");
        ann.hear("id='mine'").await;
        farewell([ann, bob]).await;
        nothing_is_left(&world).await;
        world.end().await;
    });
}

/// A timer would not go off while it sleeps.
#[test]
fn who_is_to_be_woken_by_a_timer_does_not_sleep() {
    run(async {
        let world = world(drowsy);
        let (ann, mut bob, _) = pair(&world).await;
        bob.say(&format!(
            "<iq type='set' id='wake' to='{BOB}'><wake xmlns='{NS}'/></iq>"
        ))
        .await;
        bob.hear("id='wake'").await;
        drop(bob);
        falls_asleep(&world).await;
        let entries = world.rows(2, ENTRY);
        assert!(entries.iter().any(|(_, value)| value == b"woken"));
        drop(ann);
        world.stop().await;
    });
}

#[test]
fn who_waits_sleeps_when_the_others_have_gone() {
    run(async {
        let world = world(drowsy);
        let (ann, bob, _) = pair(&world).await;
        let mut second = world.online("bob", "c").await;
        let previd = enable(&mut second).await;
        let third = world.online("bob", "d").await;
        drop((bob, second));
        farewell([third]).await;
        falls_asleep(&world).await;
        let (mut second, _) = come_back(&world, &previd, 0).await;
        second.hear("from='bob@test/d'").await;
        drop((ann, second));
        falls_asleep(&world).await;
        assert_eq!(world.realm().directory.sleepers.keys(), [BOB]);
        world.stop().await;
    });
}
