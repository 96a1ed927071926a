//! Sessions that outlive their streams (XEP-0198 §5), and the server.

use std::time::Duration;

use super::{chat, jid};
use crate::hub::devices::DeviceId;
use crate::hub::remembered;
use crate::messages::Mail;
use crate::session::FIRST_LINE;
use crate::testing::ledger::{ENTRY, LIST, RETURNED};
use crate::testing::{Client, World, run, settings};

const ENABLE: &str = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>";
const REQUEST: &str = "<r xmlns='urn:xmpp:sm:3'/>";

fn world(change: impl FnOnce(&mut rookery_config::Settings)) -> World {
    let mut settings = settings();
    change(&mut settings);
    let users = ["ann", "bob"].into_iter().map(str::to_owned);
    World::with(settings, users, LIST)
}

/// Enables acknowledgements; the id of the session.
async fn enable(client: &mut Client) -> String {
    client.say(ENABLE).await;
    attribute(&client.hear("<enabled").await, "id")
}

fn attribute(element: &str, name: &str) -> String {
    let (_, rest) = element
        .split_once(&format!(" {name}='"))
        .unwrap_or_else(|| panic!("no {name} in {element}"));
    rest.split('\'').next().unwrap_or_default().to_owned()
}

fn h(count: u32) -> String {
    format!("<a xmlns='urn:xmpp:sm:3' h='{count}'/>")
}

/// The bodies of messages up to the answer to a ping of our own.
async fn bodies(client: &mut Client) -> Vec<String> {
    let heard = client.settle().await.into_iter();
    heard
        .filter(|element| element.starts_with("<message"))
        .map(|element| attribute(&element, "id"))
        .collect()
}

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
        bob.say(&h(1)).await;
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
        assert_eq!(bodies(&mut bob).await, ["two", "three"]);
        // Counting goes on: the question of `settle` is the second.
        bob.say(REQUEST).await;
        assert!(bob.hear("<a ").await.contains("h='2'"));
        bob.say(&h(4)).await;
        bob.say("</stream:stream>").await;
        drop((ann, bob));
        world.retired("bob").await;
        assert!(world.rows(2, RETURNED).is_empty());
        assert!(world.sessions(2).is_empty());
        world.end().await;
    });
}

#[test]
fn a_live_session_is_taken_over() {
    run(async {
        let world = world(|_| {});
        let mut ann = world.online("ann", "a").await;
        let mut bob = world.online("bob", "b").await;
        let previd = enable(&mut bob).await;
        let mut again = world.connect(64 * 1024);
        let resumed = again.resume("bob", &previd, 0).await;
        assert!(resumed.starts_with("<resumed "), "{resumed}");
        let last = bob.rest().await.pop().expect("a last word");
        assert!(last.contains("<conflict"), "{last}");
        ann.say(&chat("one")).await;
        again.hear("id='one'").await;
        again.say("</stream:stream>").await;
        drop((ann, bob, again));
        world.end().await;
    });
}

/// The news of an earlier line comes when the client is back: it is not taken for the new one.
#[test]
fn a_late_loss_takes_nobody_away() {
    run(async {
        let world = world(|settings| settings.acks.resume = Duration::from_millis(50));
        let mut ann = world.online("ann", "a").await;
        let mut bob = world.online("bob", "b").await;
        let previd = enable(&mut bob).await;
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
        again.say("</stream:stream>").await;
        drop((ann, bob, again));
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
        let resuming = bob.resume("bob", &previd, 1);
        let resuming = tokio::time::timeout(Duration::from_millis(50), resuming).await;
        assert!(resuming.is_err(), "the disk has not got them: {resuming:?}");
        world.disk.go_on();
        let resumed = bob.hear("<resumed").await;
        assert_eq!(attribute(&resumed, "h"), "3");
        bob.say("</stream:stream>").await;
        drop((ann, bob));
        world.retired("ann").await;
        assert_eq!(world.rows(1, ENTRY).len(), 2);
        world.end().await;
    });
}

#[test]
fn who_does_not_come_back_goes_offline() {
    run(async {
        let world = world(|settings| settings.acks.resume = Duration::from_millis(100));
        let mut ann = world.online("ann", "a").await;
        let mut bob = world.online("bob", "b").await;
        let previd = enable(&mut bob).await;
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
        // It may bind instead (XEP-0198 §5).
        bob.ask_to_bind("b").await;
        bob.hear("id='bind'").await;
        drop((ann, bob));
        world.end().await;
    });
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
        }
        bob.settle().await;
        bob.say("</stream:stream>").await;
        drop(bob);
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
            let mut ann = world.online("ann", "a").await;
            let mut bob = world.online("bob", "b").await;
            let previd = enable(&mut bob).await;
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
                    ask if ask.starts_with("<r ") => bob.say(&h(heard)).await,
                    _ => {}
                }
            }
            bob.say(&h(300)).await;
            bob.settle().await;
            bob.say("</stream:stream>").await;
            drop((ann, bob));
            world.retired("bob").await;
            assert!(world.rows(2, RETURNED).is_empty());
            assert!(world.sessions(2).is_empty());
            world.end().await;
        });
    }
}

#[test]
fn a_session_goes_on_when_the_server_has_started_again() {
    run(async {
        let world = world(|_| {});
        let mut ann = world.online("ann", "a").await;
        let mut bob = world.online("bob", "b").await;
        let (anns, bobs) = (enable(&mut ann).await, enable(&mut bob).await);
        ann.say("<presence to='bob@test/b'/>").await;
        bob.hear("from='ann@test/a'").await;
        for id in ["one", "two"] {
            ann.say(&chat(id)).await;
            bob.hear(&format!("id='{id}'")).await;
        }
        bob.say(&h(2)).await;
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
        assert_eq!(bodies(&mut bob).await, ["three"]);
        bob.say(&h(6)).await;
        // Nobody was ever away.
        ann.say("<presence type='probe' to='bob@test'/>").await;
        assert!(
            ann.settle()
                .await
                .iter()
                .all(|it| !it.contains("unavailable"))
        );
        for client in [&mut ann, &mut bob] {
            client.say("</stream:stream>").await;
        }
        drop((ann, bob));
        world.retired("bob").await;
        assert!(world.rows(2, RETURNED).is_empty());
        world.end().await;
    });
}

/// RFC 6120 §10.1: what need not last does not overtake what is read from the disk, nor the other
/// way round.
#[test]
fn what_waits_for_a_client_keeps_its_order() {
    run(async {
        let world = world(|_| {});
        let mut ann = world.online("ann", "a").await;
        let mut bob = world.online("bob", "b").await;
        let (anns, bobs) = (enable(&mut ann).await, enable(&mut bob).await);
        async fn send(ann: &mut Client, numbers: std::ops::Range<u32>) {
            for number in numbers {
                let message = match number % 3 {
                    0 => chat(&format!("n{number}")),
                    _ => format!("<message to='bob@test/b' type='headline' id='n{number}'/>"),
                };
                ann.say(&message).await;
            }
            ann.settle().await;
        }
        send(&mut ann, 0..10).await;
        bob.hear("id='n9'").await;
        let world = world.restart().await;
        let mut ann = world.connect(64 * 1024);
        ann.resume("ann", &anns, 0).await;
        send(&mut ann, 10..150).await;
        let mut bob = world.connect(64 * 1024);
        let resumed = bob.resume("bob", &bobs, 0).await;
        assert!(resumed.starts_with("<resumed "), "{resumed}");
        let heard = bob.before("id='n149'").await.into_iter();
        let heard = heard.filter(|element| element.starts_with("<message"));
        let heard: Vec<String> = heard.map(|it| attribute(&it, "id")).collect();
        let wanted: Vec<String> = (0..149).map(|number| format!("n{number}")).collect();
        assert_eq!(heard, wanted);
        for client in [&mut ann, &mut bob] {
            client.say("</stream:stream>").await;
        }
        drop((ann, bob));
        world.end().await;
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
        ann.say("</stream:stream>").await;
        drop(ann);
        world.retired("bob").await;
        assert!(world.sessions(2).is_empty());
        world.end().await;
    });
}

/// Its successor has what the Hub knew of a session that waits for its client.
#[test]
fn a_session_that_waits_outlives_its_hub() {
    run(async {
        let world = world(|_| {});
        let mut ann = world.online("ann", "a").await;
        let mut bob = world.online("bob", "b").await;
        let previd = enable(&mut bob).await;
        bob.settle().await;
        drop(bob);
        world.realm().post(&jid("bob@test"), Mail::Fault, false);
        ann.say(&chat("one")).await;
        while world.rows(2, ENTRY).is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let mut bob = world.connect(64 * 1024);
        let resumed = bob.resume("bob", &previd, 1).await;
        assert!(resumed.starts_with("<resumed "), "{resumed}");
        assert_eq!(bodies(&mut bob).await, ["one"]);
        bob.say("</stream:stream>").await;
        drop((ann, bob));
        world.end().await;
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
        ann.say("</stream:stream>").await;
        drop(ann);
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
        ann.say("</stream:stream>").await;
        drop(ann);
        world.end().await;
    });
}
