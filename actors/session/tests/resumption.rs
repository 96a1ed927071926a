//! Sessions that outlive their streams (XEP-0198 §5).

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{
    REQUEST, acknowledge, attribute, chat, enable, farewell, ids, jid, nothing_is_left, pair, world,
};
use crate::hub::devices::DeviceId;
use crate::messages::Mail;
use crate::realm::Realm;
use crate::session::FIRST_LINE;
use crate::testing::ledger::{ENTRY, RETURNED};
use crate::testing::run;

#[test]
fn a_broken_line_loses_nothing_and_tells_nobody() {
    run(async {
        let world = world(|_| {});
        let mut ann = world.online("ann", "a").await;
        let mut bob = world.online("bob", "b").await;
        ann.say("<presence to='bob@test/b'/>").await;
        bob.hear("from='ann@test/a'").await;
        let previd = enable(&mut bob).await;
        ann.say(&chat("one")).await;
        bob.hear("id='one'").await;
        bob.say(&acknowledge(1)).await;
        bob.say("<message to='ann@test' type='chat' id='mine'><body>x</body></message>")
            .await;
        ann.hear("id='mine'").await;
        ann.say(&chat("two")).await;
        bob.hear("id='two'").await;
        // Gone without a word, `two` unacknowledged.
        drop(bob);
        ann.say(&chat("three")).await;
        assert!(
            ann.settle()
                .await
                .iter()
                .all(|it| !it.contains("unavailable"))
        );
        let mut bob = world.connect(64 * 1024);
        let resumed = bob.resume("bob", &previd, 1).await;
        assert!(resumed.starts_with("<resumed "), "{resumed}");
        assert_eq!(attribute(&resumed, "h"), "1");
        assert_eq!(attribute(&resumed, "previd"), previd);
        assert_eq!(ids(&mut bob).await, ["two", "three"]);
        // Counting goes on: the question of `settle` is the second.
        bob.say(REQUEST).await;
        assert!(bob.hear("<a ").await.contains("h='2'"));
        bob.say(&acknowledge(4)).await;
        farewell([ann, bob]).await;
        nothing_is_left(&world).await;
        world.end().await;
    });
}

#[test]
fn a_live_session_is_taken_over() {
    run(async {
        let world = world(|_| {});
        let (mut ann, mut bob, previd) = pair(&world).await;
        let mut again = world.connect(64 * 1024);
        let resumed = again.resume("bob", &previd, 0).await;
        assert!(resumed.starts_with("<resumed "), "{resumed}");
        let last = bob.rest().await.pop().expect("a last word");
        assert!(last.contains("<conflict"), "{last}");
        ann.say(&chat("one")).await;
        again.hear("id='one'").await;
        farewell([ann, bob, again]).await;
        world.end().await;
    });
}

/// The news of an earlier line comes when the client is back: it is not taken for the new one.
#[test]
fn a_late_loss_takes_nobody_away() {
    run(async {
        let world = world(|settings| settings.acks.resume = Duration::from_millis(50));
        let (mut ann, bob, previd) = pair(&world).await;
        let mut again = world.connect(64 * 1024);
        let resumed = again.resume("bob", &previd, 0).await;
        assert!(resumed.starts_with("<resumed "), "{resumed}");
        for device in (0..8).map(DeviceId) {
            world
                .realm()
                .post(&jid("bob@test"), Mail::Lost(device, FIRST_LINE), false);
        }
        again.settle().await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        ann.say(&chat("one")).await;
        again.hear("id='one'").await;
        farewell([ann, bob, again]).await;
        world.end().await;
    });
}

/// What is at the disk when the line breaks is waited for: its client would send it again.
#[test]
fn a_session_is_given_when_all_it_was_sent_is_settled() {
    run(async {
        let world = world(|_| {});
        let ann = world.online("ann", "a").await;
        let mut bob = world.online("bob", "b").await;
        let previd = enable(&mut bob).await;
        world.disk.hold();
        for id in ["one", "two"] {
            bob.say(&format!(
                "<message to='ann@test' type='chat' id='{id}'><body>{id}</body></message>"
            ))
            .await;
        }
        bob.settle().await;
        drop(bob);
        let mut bob = world.connect(64 * 1024);
        bob.ask_to_resume("bob", &previd, 1).await;
        let resuming = tokio::time::timeout(Duration::from_millis(50), bob.next()).await;
        assert!(resuming.is_err(), "the disk has not got them: {resuming:?}");
        world.disk.go_on();
        let resumed = bob.hear("<resumed").await;
        assert_eq!(attribute(&resumed, "h"), "3");
        farewell([ann, bob]).await;
        world.retired("ann").await;
        assert_eq!(world.rows(1, ENTRY).len(), 2);
        world.end().await;
    });
}

#[test]
fn who_does_not_come_back_goes_offline() {
    run(async {
        let world = world(|settings| settings.acks.resume = Duration::from_millis(100));
        let (mut ann, mut bob, previd) = pair(&world).await;
        bob.say("<presence to='ann@test/a'/>").await;
        ann.hear("from='bob@test/b'").await;
        ann.say(&chat("one")).await;
        ann.say("<iq type='get' to='bob@test/b' id='asked'><query xmlns='urn:x'/></iq>")
            .await;
        bob.hear("id='one'").await;
        drop(bob);
        let gone = ann.hear("type='unavailable'").await;
        assert!(gone.contains("from='bob@test/b'"), "{gone}");
        world.retired("bob").await;
        assert_eq!(world.rows(2, RETURNED).len(), 1);
        assert!(world.sessions(2).is_empty());
        let mut bob = world.connect(64 * 1024);
        let failed = bob.resume("bob", &previd, 0).await;
        assert!(failed.contains("item-not-found"), "{failed}");
        // It is told what need not be sent again, and may bind instead (XEP-0198 §5).
        assert_eq!(attribute(&failed, "h"), "1", "{failed}");
        bob.ask_to_bind("b").await;
        bob.hear("id='bind'").await;
        drop((ann, bob));
        world.end().await;
    });
}

/// What waits in the store has its bound, too: at it all goes on, over it the session ends, and
/// nothing is lost.
#[test]
fn over_the_second_bound_a_session_ends() {
    for hibernates in [false, true] {
        run(async {
            let world = world(|settings| {
                settings.acks.stanzas = 2;
                let size = chat("n0").len() + " from='ann@test/a'".len();
                settings.acks.spill = rookery_config::Size::bytes(3 * (1024 + size as u64));
            });
            let (mut ann, mut bob, previd) = pair(&world).await;
            if hibernates {
                drop(bob);
                bob = world.connect(64 * 1024);
            }
            for number in 0..5 {
                ann.say(&chat(&format!("n{number}"))).await;
            }
            ann.settle().await;
            let kept = |count| {
                let world = &world;
                move |_: &Realm| world.rows(2, ENTRY).len() == count
            };
            world.until("five are kept", kept(5)).await;
            assert!(!world.sessions(2).is_empty());
            assert_eq!(world.realm().status().overflows, 0);
            ann.say(&chat("n5")).await;
            world.until("six are kept", kept(6)).await;
            let returned = |_: &Realm| world.rows(2, RETURNED).len() == 6;
            world.until("all come back", returned).await;
            assert_eq!(world.realm().status().overflows, 1);
            match hibernates {
                true => {
                    let failed = bob.resume("bob", &previd, 0).await;
                    assert!(failed.contains("item-not-found"), "{failed}");
                }
                false => {
                    let last = bob.rest().await.pop().expect("a last word");
                    assert!(last.contains("policy-violation"), "{last}");
                }
            }
            drop((ann, bob));
            world.retired("bob").await;
            assert!(world.sessions(2).is_empty());
            world.end().await;
        });
    }
}

#[test]
fn nobody_resumes_what_is_not_his() {
    run(async {
        let world = world(|_| {});
        let mut bob = world.online("bob", "b").await;
        let previd = enable(&mut bob).await;
        for (user, previd, h, answer) in [
            ("ann", previd.as_str(), 0, "item-not-found"),
            ("bob", "0", 0, "item-not-found"),
            (
                "bob",
                "00112233445566778899aabbccddeeff",
                0,
                "item-not-found",
            ),
            ("bob", previd.as_str(), 7, "handled-count-too-high"),
        ] {
            let mut client = world.connect(64 * 1024);
            let failed = client.resume(user, previd, h).await;
            assert!(failed.contains(answer), "{failed}");
            assert!(
                !failed.contains("<failed") || !failed.contains(" h="),
                "{failed}"
            );
        }
        bob.settle().await;
        farewell([bob]).await;
        world.end().await;
    });
}

/// What memory should not hold waits in the store, in order, and so does a hibernating device's.
#[test]
fn over_the_bound_the_store_keeps_what_is_not_acknowledged() {
    for hibernates in [false, true] {
        run(async {
            let world = world(|settings| {
                settings.acks.stanzas = 4;
                settings.acks.timeout = Duration::from_secs(3600);
            });
            let (mut ann, mut bob, previd) = pair(&world).await;
            for number in 0..300 {
                ann.say(&chat(&format!("n{number}"))).await;
            }
            ann.settle().await;
            if hibernates {
                drop(bob);
                bob = world.connect(64 * 1024);
                let resumed = bob.resume("bob", &previd, 0).await;
                assert!(resumed.starts_with("<resumed "), "{resumed}");
            }
            let mut heard = 0;
            while heard < 300 {
                match bob.next().await.expect("more") {
                    message if message.starts_with("<message") => {
                        assert_eq!(attribute(&message, "id"), format!("n{heard}"));
                        heard += 1;
                    }
                    ask if ask.starts_with("<r ") => bob.say(&acknowledge(heard)).await,
                    _ => {}
                }
            }
            bob.say(&acknowledge(300)).await;
            bob.settle().await;
            farewell([ann, bob]).await;
            nothing_is_left(&world).await;
            world.end().await;
        });
    }
}

/// Its successor has what the Hub knew of a session that waits for its client.
#[test]
fn a_session_that_waits_outlives_its_hub() {
    run(async {
        let world = world(|_| {});
        let (mut ann, mut bob, previd) = pair(&world).await;
        bob.settle().await;
        drop(bob);
        let births = |realm: &Realm| realm.births.load(Ordering::Relaxed);
        let before = births(world.realm());
        world.realm().post(&jid("bob@test"), Mail::Fault, false);
        // What the dead one had in its mailbox is lost, and its sender told so.
        world
            .until("a successor", |realm| births(realm) > before)
            .await;
        ann.say(&chat("one")).await;
        let kept = |_: &Realm| !world.rows(2, ENTRY).is_empty();
        world.until("kept", kept).await;
        let mut bob = world.connect(64 * 1024);
        let resumed = bob.resume("bob", &previd, 1).await;
        assert!(resumed.starts_with("<resumed "), "{resumed}");
        assert_eq!(ids(&mut bob).await, ["one"]);
        farewell([ann, bob]).await;
        world.end().await;
    });
}

/// What the account sent meanwhile waits for a device that is away, but nobody else for it.
#[test]
fn copies_wait_for_who_comes_back() {
    run(async {
        let world = world(|_| {});
        let bob = world.online("bob", "b").await;
        let mut ann = world.online("ann", "a").await;
        let mut other = world.login("ann", "o").await;
        let previd = enable(&mut other).await;
        other
            .say("<iq type='set' id='note'><note xmlns='urn:test:ledger'/></iq>")
            .await;
        other.hear("id='note'").await;
        drop(other);
        for id in ["one", "two"] {
            ann.say(&chat(id)).await;
        }
        ann.settle().await;
        let mut other = world.connect(64 * 1024);
        let resumed = other.resume("ann", &previd, 1).await;
        assert!(resumed.starts_with("<resumed "), "{resumed}");
        assert_eq!(ids(&mut other).await, ["one", "two"]);
        assert_eq!(world.deliveries(1).len(), 2);
        farewell([ann, other, bob]).await;
        world.retired("ann").await;
        assert!(world.rows(1, RETURNED).is_empty());
        assert!(world.sessions(1).is_empty());
        world.end().await;
    });
}
