//! What is sent to another server reaches it once, in order, or its sender hears why not.

use std::sync::Arc;
use std::time::Duration;

use rookery_config::Settings;
use rookery_storage::{KeyRange, Tree};

use super::Roads;
use crate::testing::far::{Far, Mood};
use crate::testing::ledger::LIST;
use crate::testing::{Client, PATIENCE, World, run, settings};
use rookery_protocol::negotiation::Refusal;

fn message(id: &str) -> String {
    format!("<message to='x@far.test' id='{id}'><body>{id}</body></message>")
}

fn question(id: &str) -> String {
    format!("<iq type='get' to='far.test' id='{id}'><ping xmlns='urn:xmpp:ping'/></iq>")
}

/// A server with `ann`, who is online, and another one.
async fn world(mood: Mood, change: impl FnOnce(&mut Settings)) -> (World, Arc<Far>, Client) {
    let far = Far::new(mood);
    let mut settings = settings();
    settings.outbox.retry = Duration::from_millis(20);
    settings.outbox.retry_longest = Duration::from_millis(20);
    change(&mut settings);
    let users = ["ann"].into_iter().map(str::to_owned);
    let roads: Arc<dyn Roads> = Arc::<Far>::clone(&far);
    let world = World::reaching(Some(roads), settings, users, LIST);
    let ann = world.online("ann", "a").await;
    (world, far, ann)
}

async fn until(what: &str, so: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !so() {
        assert!(std::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn rows(world: &World) -> usize {
    world.range(Tree::Outbox, &KeyRange::all()).len()
}

async fn all_taken(world: &World) {
    until("no row is left", || rows(world) == 0).await;
}

#[test]
fn what_another_server_has_is_forgotten_here() {
    run(async {
        let (world, far, mut ann) = world(Mood::Takes, |_| {}).await;
        ann.say(&message("1")).await;
        ann.say(&question("2")).await;
        ann.say(&message("3")).await;
        until("all came", || far.heard() == ["1", "2", "3"]).await;
        assert_eq!(far.calls(), 1);
        far.acknowledge(2);
        until("one row is left", || rows(&world) == 1).await;
        far.acknowledge(1);
        all_taken(&world).await;
        world.stop().await;
    });
}

#[test]
fn what_was_not_acknowledged_is_sent_again_when_the_line_broke() {
    run(async {
        let (world, far, mut ann) = world(Mood::Takes, |_| {}).await;
        for id in ["1", "2", "3"] {
            ann.say(&message(id)).await;
        }
        until("all came", || far.heard().len() == 3).await;
        far.acknowledge(1);
        far.hang_up();
        until("the rest came again", || far.heard()[3..] == ["2", "3"]).await;
        far.acknowledge(2);
        all_taken(&world).await;
        world.stop().await;
    });
}

/// The acknowledgement was lost with the line, but the other server knows (XEP-0198 §5).
#[test]
fn what_the_other_server_had_is_not_sent_again() {
    run(async {
        let (world, far, mut ann) = world(Mood::Remembers(None), |_| {}).await;
        ann.say(&message("1")).await;
        ann.say(&question("2")).await;
        ann.say(&message("3")).await;
        until("all came", || far.heard().len() == 3).await;
        far.turn(Mood::Remembers(Some(2)));
        far.hang_up();
        until("the rest came again", || far.heard()[3..] == ["3"]).await;
        far.acknowledge(1);
        // The row of the session itself stays.
        until("one row is left", || rows(&world) == 1).await;
        world.stop().await;
    });
}

#[test]
fn what_the_other_server_had_is_not_sent_again_by_one_that_was_killed() {
    run(async {
        let (world, far, mut ann) = world(Mood::Remembers(None), |_| {}).await;
        for id in ["1", "2", "3"] {
            ann.say(&message(id)).await;
        }
        until("all came", || far.heard().len() == 3).await;
        far.turn(Mood::Remembers(Some(2)));
        let world = world.kill().await;
        until("the rest came again", || far.heard()[3..] == ["3"]).await;
        far.acknowledge(1);
        until("one row is left", || rows(&world) == 1).await;
        world.stop().await;
    });
}

/// XEP-0198 §6: what it says of the session cannot be true, so all is sent again.
#[test]
fn who_had_more_than_there_was_is_not_believed() {
    run(async {
        let (world, far, mut ann) = world(Mood::Remembers(None), |_| {}).await;
        ann.say(&message("1")).await;
        until("it came", || far.heard().len() == 1).await;
        far.turn(Mood::Remembers(Some(2)));
        far.hang_up();
        until("it came again", || far.heard() == ["1", "1"]).await;
        world.stop().await;
    });
}

#[test]
fn a_server_that_was_killed_sends_what_it_had_promised() {
    run(async {
        let (world, far, mut ann) = world(Mood::Silent, |_| {}).await;
        ann.say("<enable xmlns='urn:xmpp:sm:3'/>").await;
        ann.hear("<enabled").await;
        for id in ["1", "2"] {
            ann.say(&message(id)).await;
        }
        until("it is promised", || rows(&world) == 2).await;
        ann.say("<r xmlns='urn:xmpp:sm:3'/>").await;
        ann.hear("h='2'").await;
        far.turn(Mood::Takes);
        let world = world.kill().await;
        until("all came", || far.heard() == ["1", "2"]).await;
        far.acknowledge(2);
        all_taken(&world).await;
        world.stop().await;
    });
}

#[test]
fn who_cannot_wait_is_told_and_what_must_last_waits() {
    run(async {
        let away = Mood::Away(Refusal::Unreachable);
        let (world, far, mut ann) = world(away, |it| {
            it.outbox.retry = Duration::from_secs(3600);
            it.outbox.retry_longest = Duration::from_secs(3600);
        })
        .await;
        ann.say(&message("1")).await;
        ann.say(&question("2")).await;
        let error = ann.hear("id='2'").await;
        assert!(error.contains("remote-server-timeout"), "{error}");
        assert!(
            error.contains("far.test: its server cannot be reached"),
            "{error}"
        );
        assert!(error.contains("type='wait'"), "{error}");
        // Presence is nobody's loss.
        ann.say("<presence to='x@far.test' id='3'/>").await;
        let rest = ann.settle().await;
        assert!(rest.iter().all(|it| !it.contains("id='3'")), "{rest:?}");
        assert_eq!(far.calls(), 1);
        until("the message is kept", || rows(&world) == 1).await;
        // It is tried again when the server starts again.
        far.turn(Mood::Takes);
        let world = world.restart().await;
        until("it came", || far.heard() == ["1"]).await;
        world.stop().await;
    });
}

#[test]
fn a_server_is_tried_again_by_itself() {
    run(async {
        let (world, far, mut ann) = world(Mood::Away(Refusal::Unreachable), |_| {}).await;
        ann.say(&message("1")).await;
        until("it was called twice", || far.calls() > 2).await;
        far.turn(Mood::TakesOnly);
        until("it came", || far.heard() == ["1"]).await;
        world.stop().await;
    });
}

#[test]
fn what_can_never_arrive_comes_back_with_the_reason() {
    run(async {
        let (world, _, mut ann) = world(Mood::Away(Refusal::NoDomain), |_| {}).await;
        ann.say(&message("1")).await;
        let error = ann.hear("id='1'").await;
        assert!(error.contains("remote-server-not-found"), "{error}");
        assert!(error.contains("the domain does not exist"), "{error}");
        assert!(error.contains("from='x@far.test'"), "{error}");
        all_taken(&world).await;
        world.stop().await;
    });
}

#[test]
fn what_waited_for_too_long_comes_back() {
    run(async {
        let away = Mood::Away(Refusal::Unreachable);
        let (world, _, mut ann) = world(away, |it| {
            it.outbox.give_up = Duration::from_millis(50);
        })
        .await;
        ann.say(&message("1")).await;
        let error = ann.hear("id='1'").await;
        assert!(error.contains("remote-server-timeout"), "{error}");
        all_taken(&world).await;
        world.stop().await;
    });
}

#[test]
fn over_the_bound_the_sender_hears_that_too_much_waits() {
    run(async {
        let (world, _, mut ann) = world(Mood::Silent, |it| it.outbox.stanzas = 2).await;
        for id in ["1", "2", "3"] {
            ann.say(&message(id)).await;
        }
        let error = ann.hear("id='3'").await;
        assert!(error.contains("resource-constraint"), "{error}");
        until("the others are kept", || rows(&world) == 2).await;
        world.stop().await;
    });
}

#[test]
fn a_full_disk_refuses_what_must_last_and_nothing_else() {
    run(async {
        let (world, far, mut ann) = world(Mood::Takes, |_| {}).await;
        ann.say(&question("0")).await;
        until("the line is there", || far.heard() == ["0"]).await;
        world.disk.fill(true);
        ann.say(&message("1")).await;
        let error = ann.hear("id='1'").await;
        assert!(error.contains("resource-constraint"), "{error}");
        ann.say(&question("2")).await;
        until("it came", || far.heard() == ["0", "2"]).await;
        world.disk.fill(false);
        world.stop().await;
    });
}

#[test]
fn an_idle_line_is_closed_and_the_link_goes() {
    run(async {
        let (world, far, mut ann) = world(Mood::TakesOnly, |it| {
            it.outbox.idle = Duration::ZERO;
        })
        .await;
        ann.say(&question("1")).await;
        until("it came", || far.heard() == ["1"]).await;
        // Its rows are settled by time alone.
        drop(ann);
        world
            .until("the link is gone", |realm| realm.links.census().0 == 0)
            .await;
        world.end().await;
    });
}

/// What the other server handled without all before it, it remembers by place (XEP-0198 §5). With
/// something missing in between, the rest would come to places of what it has, and be lost.
#[test]
fn a_session_does_not_go_on_with_something_missing() {
    run(async {
        let brief = Duration::from_millis(50);
        let (world, far, mut ann) =
            world(Mood::Remembers(None), |it| it.outbox.patience = brief).await;
        ann.say(&message("1")).await;
        ann.say(&question("2")).await;
        ann.say(&message("3")).await;
        until("all came", || far.heard().len() == 3).await;
        far.turn(Mood::Away(Refusal::Unreachable));
        far.hang_up();
        // What cannot wait any longer is given up.
        ann.hear("id='2'").await;
        far.turn(Mood::Remembers(Some(1)));
        until("the rest came again", || far.heard()[3..] == ["3"]).await;
        assert_eq!(far.heard_again(), 0, "in a session of its own");
        world.stop().await;
    });
}

#[test]
fn a_session_goes_on_with_all_that_it_carried() {
    run(async {
        let (world, far, mut ann) = world(Mood::Remembers(None), |_| {}).await;
        ann.say(&message("1")).await;
        ann.say(&question("2")).await;
        ann.say(&message("3")).await;
        until("all came", || far.heard().len() == 3).await;
        far.turn(Mood::Remembers(Some(1)));
        far.hang_up();
        until("the rest came again", || far.heard()[3..] == ["2", "3"]).await;
        assert_eq!(far.heard_again(), 2, "in the same session");
        world.stop().await;
    });
}

#[test]
fn one_that_was_killed_does_not_know_what_is_missing() {
    run(async {
        let (world, far, mut ann) = world(Mood::Remembers(None), |_| {}).await;
        ann.say(&message("1")).await;
        ann.say(&question("2")).await;
        ann.say(&message("3")).await;
        until("all came", || far.heard().len() == 3).await;
        until("both are kept", || rows(&world) == 3).await;
        far.turn(Mood::Remembers(Some(1)));
        let world = world.kill().await;
        until("the rest came again", || far.heard()[3..] == ["3"]).await;
        assert_eq!(far.heard_again(), 0, "in a session of its own");
        world.stop().await;
    });
}
