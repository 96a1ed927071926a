//! Another server's stream breaks, or this server dies, and what was said before is handled once.

use std::net::SocketAddr;
use std::time::Duration;

use rookery_config::Settings;
use rookery_storage::record::encode;
use rookery_storage::{Frame, Tree};

use crate::keys::{Part, SessionKey};
use crate::receipt::Mark;
use crate::testing::ledger::{ENTRY, LIST};
use crate::testing::{Client, World, attribute, run, settings};

const ENABLE: &str = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>";
const REQUEST: &str = "<r xmlns='urn:xmpp:sm:3'/>";

/// A server with `ann` and `bob` that speaks with others.
fn world(change: impl FnOnce(&mut Settings)) -> World {
    let mut settings = settings();
    settings.listen.s2s = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    settings.acks.delay = Duration::from_millis(20);
    change(&mut settings);
    let users = ["ann", "bob"].into_iter().map(str::to_owned);
    World::with(settings, users, LIST)
}

fn chat(id: &str) -> String {
    format!(
        "<message from='x@far.test' to='bob@test' type='chat' id='{id}'><body>{id}</body></message>"
    )
}

/// Something that need not last.
fn notice(id: &str) -> String {
    format!("<message from='x@far.test' to='bob@test' type='headline' id='{id}'/>")
}

/// A session that can be resumed begins; its id.
async fn enables(far: &mut Client) -> String {
    far.say(ENABLE).await;
    let enabled = far.hear("<enabled").await;
    assert_eq!(attribute(&enabled, "max"), "600");
    attribute(&enabled, "id")
}

async fn hears_count(far: &mut Client) -> String {
    attribute(&far.hear("<a ").await, "h")
}

/// Waits until so many are acknowledged.
async fn is_told(far: &mut Client, h: u32) {
    far.say(REQUEST).await;
    while hears_count(far).await != h.to_string() {}
}

/// The answer of the server to who wants a session back.
async fn resumes(world: &World, domain: &str, id: &str) -> (Client, String) {
    let mut far = world.server(domain).await;
    let wish = format!("<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='0'/>");
    far.say(&wish).await;
    let answer = far.next().await.expect("an answer");
    (far, answer)
}

fn goes_on(answer: &str, h: u32) {
    let is_it = answer.starts_with("<resumed ") && attribute(answer, "h") == h.to_string();
    assert!(is_it, "not {h} but {answer}");
}

fn is_over(answer: &str, h: Option<u32>) {
    let is_it = answer.contains("item-not-found")
        && match h {
            Some(h) => attribute(answer, "h") == h.to_string(),
            None => !answer.contains(" h='"),
        };
    assert!(is_it, "not {h:?} but {answer}");
}

/// How many messages bob was sent.
fn kept(world: &World) -> usize {
    world.rows(2, ENTRY).len()
}

#[test]
fn nothing_is_acknowledged_before_the_disk_has_it() {
    for enable in [ENABLE, "<enable xmlns='urn:xmpp:sm:3'/>"] {
        run(async move {
            let world = world(|_| {});
            let mut far = world.server("far.test").await;
            far.say(enable).await;
            far.hear("<enabled").await;
            far.say(&chat("1")).await;
            is_told(&mut far, 1).await;
            world.disk.hold();
            far.say(&chat("2")).await;
            far.say(REQUEST).await;
            assert_eq!(hears_count(&mut far).await, "1");
            // Also a second time, while the first still waits for the rest.
            far.say(REQUEST).await;
            assert_eq!(hears_count(&mut far).await, "1");
            world.disk.go_on();
            // The rest follows unasked.
            assert_eq!(hears_count(&mut far).await, "2");
            drop(far);
            world.end().await;
        });
    }
}

#[test]
fn what_was_handled_is_known_after_the_line_broke() {
    run(async {
        let world = world(|_| {});
        let mut far = world.server("far.test").await;
        // What came before does not count.
        far.say(&chat("0")).await;
        let id = enables(&mut far).await;
        for n in ["1", "2"] {
            far.say(&chat(n)).await;
        }
        far.say(&notice("3")).await;
        is_told(&mut far, 3).await;
        drop(far);
        let (mut far, answer) = resumes(&world, "far.test", &id).await;
        goes_on(&answer, 3);
        far.say(&chat("4")).await;
        is_told(&mut far, 4).await;
        assert_eq!(kept(&world), 4);
        drop(far);
        world.end().await;
    });
}

#[test]
fn what_was_handled_is_known_after_a_crash() {
    run(async {
        let world = world(|_| {});
        let mut far = world.server("far.test").await;
        let id = enables(&mut far).await;
        for n in ["1", "2"] {
            far.say(&chat(n)).await;
        }
        // It need not last, but it was acknowledged.
        far.say(&notice("3")).await;
        is_told(&mut far, 3).await;
        // This one's acknowledgement never goes out.
        far.say(&chat("4")).await;
        world.until("it is kept", |_| kept(&world) == 3).await;
        world.disk.hold();
        far.say(&chat("5")).await;
        world
            .until("it is at the disk", |_| world.disk.waits())
            .await;
        let world = world.kill().await;
        let (mut far, answer) = resumes(&world, "far.test", &id).await;
        goes_on(&answer, 4);
        far.say(&chat("5")).await;
        is_told(&mut far, 5).await;
        assert_eq!(kept(&world), 4);
        // And once more, in an orderly way.
        let world = world.restart().await;
        let (far, answer) = resumes(&world, "far.test", &id).await;
        goes_on(&answer, 5);
        drop(far);
        world.end().await;
    });
}

/// A stanza for somebody whose Hub is slow is behind the others: after a crash it comes again, and
/// they do not.
#[test]
fn what_was_handled_beyond_a_gap_is_not_taken_twice() {
    run(async {
        let world = world(|_| {});
        let mut far = world.server("far.test").await;
        let id = enables(&mut far).await;
        for n in ["1", "2", "3"] {
            far.say(&chat(n)).await;
        }
        is_told(&mut far, 3).await;
        // As if the second had not been.
        let mut gap = Frame::new();
        for (row, _) in world.sessions(0) {
            let (key, part, _) = SessionKey::split(&row).expect("a key");
            match part {
                Part::State => {
                    let mark = encode(&Mark { number: 3, upto: 1 }).expect("a row");
                    gap.put(Tree::Sessions, key.row(Part::Mark, &[9]), mark);
                }
                _ => drop(gap.delete(Tree::Sessions, row)),
            }
        }
        world.realm().keeper.committed(gap).await;
        let world = world.kill().await;
        let (mut far, answer) = resumes(&world, "far.test", &id).await;
        goes_on(&answer, 1);
        far.say(&chat("2")).await;
        far.say(&chat("3")).await;
        far.say(&chat("4")).await;
        is_told(&mut far, 4).await;
        assert_eq!(kept(&world), 5, "the second again, and the fourth");
        far.say("</stream:stream>").await;
        far.rest().await;
        world
            .until("its rows are gone", |_| world.sessions(0).is_empty())
            .await;
        world.end().await;
    });
}

/// XEP-0198 §5: the old line may not know yet that it is broken.
#[test]
fn a_line_that_seems_to_stand_gives_way() {
    run(async {
        let world = world(|_| {});
        let mut old = world.server("far.test").await;
        let id = enables(&mut old).await;
        old.say(&chat("1")).await;
        world.disk.hold();
        old.say(&chat("2")).await;
        let disk = world.disk.clone();
        let slow = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            disk.go_on();
        };
        // What the old one sent must be settled first.
        let (wish, ()) = tokio::join!(resumes(&world, "far.test", &id), slow);
        let (mut far, answer) = wish;
        old.hear("conflict").await;
        goes_on(&answer, 2);
        far.say(&chat("3")).await;
        is_told(&mut far, 3).await;
        assert_eq!(kept(&world), 3);
        drop((old, far));
        world.end().await;
    });
}

#[test]
fn nobody_else_gets_a_session_and_nobody_one_that_is_over() {
    run(async {
        let world = world(|it| {
            it.s2s.resume = Duration::from_secs(1);
            it.s2s.sessions_per_domain = 2;
        });
        let begin = async |domain: &str| {
            let mut far = world.server(domain).await;
            far.say(ENABLE).await;
            let id = attribute(&far.hear("<enabled").await, "id");
            (far, id)
        };
        let (mut far, id) = begin("far.test").await;
        far.say(&chat("1")).await;
        is_told(&mut far, 1).await;
        let (_, answer) = resumes(&world, "other.test", &id).await;
        is_over(&answer, None);
        let (_, answer) = resumes(&world, "far.test", "nonsense").await;
        is_over(&answer, None);
        // Who ends his stream ends his session.
        let (mut orderly, ended) = begin("far.test").await;
        orderly.say("</stream:stream>").await;
        orderly.rest().await;
        let (_, answer) = resumes(&world, "far.test", &ended).await;
        is_over(&answer, None);
        // There is room for two of a domain.
        let (_two, _) = begin("far.test").await;
        let (_three, _) = begin("far.test").await;
        let (_, answer) = resumes(&world, "far.test", &id).await;
        is_over(&answer, None);
        let peers = world.realm().peers.clone().expect("it speaks with others");
        assert_eq!(peers.sessions.len(), 2);
        // Whose time is over is still told.
        let (mut late, id) = begin("late.test").await;
        late.say(&chat("2").replace("far.test", "late.test")).await;
        is_told(&mut late, 1).await;
        let world = world.kill().await;
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let (_, answer) = resumes(&world, "late.test", &id).await;
        is_over(&answer, Some(1));
        world.stop().await;
    });
}
