//! Sessions that outlive the server (XEP-0198 §5), stopped in peace or killed.

use std::time::Duration;

use super::{
    REQUEST, acknowledge, attribute, chat, enable, farewell, ids, jid, nothing_is_left, pair, world,
};
use crate::hub::devices::DeviceId;
use crate::hub::remembered;
use crate::testing::ledger::{ENTRY, LIST, RETURNED};
use crate::testing::{Client, World, run, settings};

#[test]
fn a_session_goes_on_when_the_server_has_started_again() {
    run(async {
        let world = world(|_| {});
        let (mut ann, mut bob, bobs) = pair(&world).await;
        let anns = enable(&mut ann).await;
        ann.say("<presence to='bob@test/b'/>").await;
        bob.hear("from='ann@test/a'").await;
        for id in ["one", "two"] {
            ann.say(&chat(id)).await;
            bob.hear(&format!("id='{id}'")).await;
        }
        bob.say(&acknowledge(2)).await;
        bob.settle().await;
        let world = world.restart().await;
        let last = bob.rest().await.pop().expect("a last word");
        assert!(last.contains("system-shutdown"), "{last}");
        let mut ann = world.connect(64 * 1024);
        let resumed = ann.resume("ann", &anns, 0).await;
        assert_eq!(attribute(&resumed, "h"), "3", "{resumed}");
        ann.say(&chat("three")).await;
        ann.settle().await;
        // `two` got lost with the line; bob heard the presence, `one`, and the answer to his own
        // question.
        let mut bob = world.connect(64 * 1024);
        let resumed = bob.resume("bob", &bobs, 2).await;
        assert_eq!(attribute(&resumed, "h"), "1", "{resumed}");
        // What need not last is not lost by a server that stops in peace, either.
        for id in ["two", "settled"] {
            let again = bob.hear("id='").await;
            assert!(again.contains(&format!("id='{id}'")), "{again}");
        }
        assert_eq!(ids(&mut bob).await, ["three"]);
        bob.say(&acknowledge(6)).await;
        // Nobody was ever away.
        ann.say("<presence type='probe' to='bob@test'/>").await;
        assert!(
            ann.settle()
                .await
                .iter()
                .all(|it| !it.contains("unavailable"))
        );
        farewell([ann, bob]).await;
        nothing_is_left(&world).await;
        world.end().await;
    });
}

/// RFC 6120 §10.1: what need not last does not overtake what is read from the disk, nor the other
/// way round.
#[test]
fn what_waits_for_a_client_keeps_its_order() {
    run(async {
        let world = world(|_| {});
        let (mut ann, mut bob, bobs) = pair(&world).await;
        let anns = enable(&mut ann).await;
        async fn send(ann: &mut Client, numbers: std::ops::Range<u32>) {
            // Of its own, as answers of before the restart come again.
            let end = format!("upto{}", numbers.end);
            for number in numbers {
                let message = match number % 3 {
                    0 => chat(&format!("n{number}")),
                    _ => format!("<message to='bob@test/b' type='headline' id='n{number}'/>"),
                };
                ann.say(&message).await;
            }
            ann.say(&format!(
                "<iq type='get' id='{end}'><query xmlns='urn:test:nobody'/></iq>"
            ))
            .await;
            ann.hear(&format!("id='{end}'")).await;
        }
        send(&mut ann, 0..10).await;
        bob.hear("id='n9'").await;
        let world = world.restart().await;
        let mut ann = world.connect(64 * 1024);
        ann.resume("ann", &anns, 0).await;
        send(&mut ann, 10..90).await;
        // What waits for him waits through an orderly stop, whether it must last or not.
        let world = world.restart().await;
        let mut ann = world.connect(64 * 1024);
        ann.resume("ann", &anns, 0).await;
        send(&mut ann, 90..150).await;
        let mut bob = world.connect(64 * 1024);
        let resumed = bob.resume("bob", &bobs, 0).await;
        assert!(resumed.starts_with("<resumed "), "{resumed}");
        let heard = bob.before("id='n149'").await.into_iter();
        let heard = heard.filter(|element| element.starts_with("<message"));
        let heard: Vec<String> = heard.map(|it| attribute(&it, "id")).collect();
        let wanted: Vec<String> = (0..149).map(|number| format!("n{number}")).collect();
        assert_eq!(heard, wanted);
        farewell([ann, bob]).await;
        world.end().await;
    });
}

/// What only waits for its turn behind something that the disk has not got yet is delivered before
/// the server stops.
#[test]
fn what_waits_for_the_disk_is_delivered_before_the_end() {
    run(async {
        let world = world(|_| {});
        let mut ann = world.online("ann", "a").await;
        let mut bob = world.online("bob", "b").await;
        bob.say("<enable xmlns='urn:xmpp:sm:3'/>").await;
        bob.hear("<enabled").await;
        world.disk.hold();
        ann.say(&chat("one")).await;
        ann.say("<message to='bob@test/b' type='headline' id='two'/>")
            .await;
        ann.settle().await;
        let disk = world.disk.clone();
        let slow = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            disk.go_on();
        };
        let (world, ()) = tokio::join!(world.restart(), slow);
        let mut heard = bob.rest().await;
        heard.retain(|element| !element.starts_with("<r "));
        assert_eq!(heard.len(), 3, "{heard:#?}");
        for (element, part) in heard.iter().zip(["one", "two", "system-shutdown"]) {
            assert!(element.contains(part), "{heard:#?}");
        }
        drop((ann, bob));
        world.stop().await;
    });
}

/// Who had no way to come back is gone, and is said to be, to those who were there all the time.
#[test]
fn who_cannot_resume_is_away_after_a_restart() {
    run(async {
        let world = world(|_| {});
        let mut ann = world.online("ann", "a").await;
        let previd = enable(&mut ann).await;
        let mut bob = world.online("bob", "b").await;
        bob.say("<presence to='ann@test/a'/>").await;
        ann.hear("from='bob@test/b'").await;
        let world = world.restart().await;
        let mut ann = world.connect(64 * 1024);
        let resumed = ann.resume("ann", &previd, 1).await;
        assert!(resumed.starts_with("<resumed "), "{resumed}");
        let gone = ann.hear("type='unavailable'").await;
        assert!(gone.contains("from='bob@test/b'"), "{gone}");
        farewell([ann]).await;
        world.retired("bob").await;
        assert!(world.sessions(2).is_empty());
        world.end().await;
    });
}

/// Requests of before a device came are told to it once (RFC 6121 §3.1.3): also to one that loses
/// the server right then.
#[test]
fn waiting_requests_outlive_the_server() {
    run(async {
        let world = world(|_| {});
        let mut ann = world.online("ann", "a").await;
        ann.say("<presence type='subscribe' to='bob@test'/>").await;
        ann.settle().await;
        let mut bob = world.login("bob", "b").await;
        let previd = enable(&mut bob).await;
        bob.say("<presence/>").await;
        bob.hear("type='subscribe'").await;
        assert_eq!(world.deliveries(2).len(), 1);
        let world = world.kill().await;
        drop((ann, bob));
        let mut bob = world.connect(64 * 1024);
        // The presence was handled, so it is not sent again.
        let resumed = bob.resume("bob", &previd, 1).await;
        assert_eq!(attribute(&resumed, "h"), "1", "{resumed}");
        let again = bob.hear("type='subscribe'").await;
        assert!(again.contains("from='ann@test'"), "{again}");
        bob.say(&acknowledge(2)).await;
        bob.settle().await;
        farewell([bob]).await;
        nothing_is_left(&world).await;
        world.end().await;
    });
}

/// What was answered is not done again behind what came later, also if there was nothing to do.
#[test]
fn an_answered_set_is_on_the_disk() {
    run(async {
        let world = world(|_| {});
        let mut ann = world.login("ann", "a").await;
        let previd = enable(&mut ann).await;
        ann.say("<iq type='set' id='same'><same xmlns='urn:test:ledger'/></iq>")
            .await;
        ann.hear("id='same'").await;
        let found = remembered::gather(world.sessions(1));
        assert_eq!(found[0].handled.count, 1);
        // What only asks costs nothing.
        ann.say("<iq type='get' id='ask'><count xmlns='urn:test:ledger'/></iq>")
            .await;
        ann.hear("id='ask'").await;
        assert_eq!(world.deliveries(1).len(), 1);
        let world = world.kill().await;
        drop(ann);
        let mut ann = world.connect(64 * 1024);
        // It had not read the answer.
        let resumed = ann.resume("ann", &previd, 0).await;
        assert_eq!(attribute(&resumed, "h"), "1", "{resumed}");
        ann.hear("id='same'").await;
        farewell([ann]).await;
        world.end().await;
    });
}

/// XEP-0198 §5: also who comes too late knows what to send again, whatever happened meanwhile.
#[test]
fn what_was_handled_is_known_when_the_session_is_over() {
    run(async {
        let world = world(|settings| settings.acks.resume = Duration::from_millis(300));
        let ann = world.online("ann", "a").await;
        let mut bob = world.login("bob", "b").await;
        let previd = enable(&mut bob).await;
        for id in ["one", "two"] {
            bob.say(&format!(
                "<message to='ann@test' type='chat' id='{id}'><body>{id}</body></message>"
            ))
            .await;
        }
        bob.say(REQUEST).await;
        while !bob.hear("<a ").await.contains("h='2'") {}
        // It ends while the server is on its second life, and is asked for in the third.
        let world = world.kill().await;
        drop((ann, bob));
        world.until("over", |_| world.sessions(2).is_empty()).await;
        let world = world.kill().await;
        for (user, known) in [("ann", false), ("bob", true)] {
            let mut client = world.connect(64 * 1024);
            let failed = client.resume(user, &previd, 0).await;
            assert!(failed.contains("item-not-found"), "{failed}");
            assert_eq!(failed.contains(" h='2'"), known, "{failed}");
        }
        world.stop().await;
    });
}

/// Who has a message is not given it again because another device went without it.
#[test]
fn what_another_device_was_given_stays_with_that() {
    run(async {
        let world = world(|_| {});
        let mut ann = world.online("ann", "a").await;
        let mut bob = world.online("bob", "b").await;
        let mut other = world.online("bob", "o").await;
        enable(&mut bob).await;
        let others = enable(&mut other).await;
        ann.say(&chat("had")).await;
        other.hear("id='had'").await;
        other.say(&acknowledge(1)).await;
        let held = |world: &World, count: usize| world.deliveries(2).len() == count;
        world.until("acknowledged", |_| held(&world, 1)).await;
        ann.say(&chat("open")).await;
        bob.hear("id='open'").await;
        other.hear("id='open'").await;
        let world = world.kill().await;
        drop((ann, bob, other));
        // The other session ends when somebody else takes its resource.
        let bob = world.login("bob", "b").await;
        assert!(world.rows(2, RETURNED).is_empty());
        let mut other = world.connect(64 * 1024);
        let resumed = other.resume("bob", &others, 1).await;
        assert!(resumed.starts_with("<resumed "), "{resumed}");
        assert_eq!(ids(&mut other).await, ["open"]);
        // Now nobody has it.
        farewell([bob, other]).await;
        world.retired("bob").await;
        let entries = world.rows(2, ENTRY).into_iter().map(|(key, _)| key);
        let returned = world.rows(2, RETURNED).into_iter().map(|(_, kept)| kept);
        assert_eq!(
            returned.collect::<Vec<_>>(),
            entries.skip(1).collect::<Vec<_>>()
        );
        world.end().await;
    });
}

/// What one device sends another one hears of: once, and only if it was sent.
#[test]
fn a_copy_goes_with_what_was_sent() {
    run(async {
        let world = world(|_| {});
        let bob = world.online("bob", "b").await;
        let mut ann = world.online("ann", "a").await;
        enable(&mut ann).await;
        let mut other = world.login("ann", "o").await;
        let previd = enable(&mut other).await;
        other
            .say("<iq type='set' id='note'><note xmlns='urn:test:ledger'/></iq>")
            .await;
        other.hear("id='note'").await;
        ann.say(&chat("one")).await;
        other.hear("id='one'").await;
        // What comes later stays behind a copy that is on its way.
        world.disk.hold();
        ann.say(&chat("two")).await;
        ann.say("<message to='ann@test/o' type='headline' id='three'/>")
            .await;
        ann.settle().await;
        let early = tokio::time::timeout(Duration::from_millis(50), other.next()).await;
        assert!(early.is_err(), "{early:?}");
        world.disk.go_on();
        assert_eq!(other.before("id='three'").await.len(), 1);
        other.say(&acknowledge(4)).await;
        other.settle().await;
        world
            .until("acknowledged", |_| world.deliveries(1).is_empty())
            .await;
        // Sent while nobody read what is written, and then not sent at all.
        ann.say(&chat("four")).await;
        ann.say(REQUEST).await;
        while !ann.hear("<a ").await.contains("h='5'") {}
        world.disk.hold();
        ann.say(&chat("five")).await;
        ann.settle().await;
        let world = world.kill().await;
        drop((ann, bob, other));
        let mut other = world.connect(64 * 1024);
        let resumed = other.resume("ann", &previd, 5).await;
        assert!(resumed.starts_with("<resumed "), "{resumed}");
        assert_eq!(ids(&mut other).await, ["four"]);
        farewell([other]).await;
        world.stop().await;
    });
}

/// Who was told that his presence was handled does not send it again.
#[test]
fn a_presence_that_was_told_is_on_the_disk() {
    run(async {
        let world = world(|_| {});
        let mut ann = world.login("ann", "a").await;
        enable(&mut ann).await;
        for (sent, priority) in (1..40).zip([3, -1].into_iter().cycle()) {
            let presence = format!("<presence><priority>{priority}</priority></presence>");
            ann.say(&presence).await;
            ann.say(REQUEST).await;
            while !ann.hear("<a ").await.contains(&format!("h='{sent}'")) {}
            let (jid, site) = (jid("ann@test"), &world.realm().site);
            let found = remembered::gather(world.sessions(1));
            let device = found[0].device(DeviceId(0), &jid, site);
            assert_eq!(device.map(|it| it.0.priority), Some(priority));
        }
        farewell([ann]).await;
        world.end().await;
    });
}

/// Whatever is acknowledged would be found again: at any moment, with many at the disk at once.
#[test]
fn what_was_told_is_on_the_disk() {
    run(async {
        let users = ["ann", "bob", "cleo", "dan", "eve"]
            .into_iter()
            .map(str::to_owned);
        let world = World::with(settings(), users, LIST);
        let mut ann = world.login("ann", "a").await;
        enable(&mut ann).await;
        let mut sent = 0;
        for round in 0..150_u32 {
            for number in 0..round % 13 {
                let to = ["bob", "cleo", "dan", "eve"][number as usize % 4];
                ann.say(&match (round + number) % 5 {
                    0 => format!("<message to='{to}@test' type='headline' id='v'/>"),
                    _ => format!("<message to='{to}@test' type='chat'><body>x</body></message>"),
                })
                .await;
                sent += 1;
            }
            ann.say(REQUEST).await;
            let mut told: u32 = 0;
            while told < sent {
                let answer = ann.hear("<a ").await;
                told = attribute(&answer, "h").parse().expect("a number");
                let found = remembered::gather(world.sessions(1));
                let count = found.first().map_or(0, |session| session.handled.count);
                assert!(count >= told, "told {told}, found {count}");
            }
        }
        farewell([ann]).await;
        world.end().await;
    });
}
