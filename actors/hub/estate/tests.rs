//! Hubs that die of a panic outside their struct, and what their successors find.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::directory::Returned;
use crate::messages::Mail;
use crate::realm::Realm;
use crate::testing::ledger::{ENTRY, LIST, NS, RETURNED};
use crate::testing::{Client, World, attribute, jid, run, settings};

fn chat(to: &str, body: &str) -> String {
    format!("<message to='{to}@test' id='{body}' type='chat'><body>{body}</body></message>")
}

fn ask(id: &str, what: &str) -> String {
    format!("<iq type='set' id='{id}'><{what} xmlns='{NS}'/></iq>")
}

/// The next mail of a user's Hub kills it.
fn kill(world: &World, user: &str) {
    let hub = jid(&format!("{user}@test"));
    world.realm().post(&hub, Mail::Fault, false);
}

/// Kills a Hub with sessions and waits until its successor is born.
async fn succeed(world: &World, user: &str) {
    let births = || world.realm().births.load(Ordering::Relaxed);
    let before = births();
    kill(world, user);
    world.until("a successor", |_| births() > before).await;
}

/// Waits until the Hub of a user without sessions is dead and its mailbox closed.
async fn dead(world: &World, user: &str) {
    let key = format!("{user}@test");
    world
        .until("it dies", |realm| {
            let (answer, _) = oneshot::channel();
            let sent = realm.directory.send(&key, Mail::Probe(answer));
            matches!(sent, Err((_, Returned::Absent | Returned::Dead)))
        })
        .await;
}

/// Has a user's Hub wait for the disk, so that all mail for it waits as well.
async fn stop_short(world: &World, client: &mut Client) {
    world.disk.hold();
    client.say(&ask("held", "write")).await;
    client.say(&ask("bad", "panic")).await;
    world.until("the panic", |_| world.panics() == 1).await;
}

#[test]
fn the_sessions_of_a_hub_that_dies_notice_nothing_but_a_pause() {
    run(async {
        let world = World::new(&["ann", "bob"], LIST);
        let (mut ann, mut bob) = world.acquainted().await;
        // What comes too early may be lost, aloud.
        succeed(&world, "ann").await;
        ann.say(&ask("1", "count")).await;
        assert!(ann.hear("id='1'").await.contains("type='result'"));
        bob.say(&chat("ann", "one")).await;
        ann.hear("<body>one</body>").await;
        assert_eq!(bob.settle().await, Vec::<String>::new(), "bob saw nothing");
        drop(ann);
        bob.hear_gone("ann@test/a").await;
        drop(bob);
        world.end().await;
    });
}

/// Nobody says anything: the Registry starts the successor, whom the end of the session finds.
#[test]
fn a_successor_with_sessions_is_not_waited_for() {
    run(async {
        let world = World::new(&["ann"], LIST);
        let ann = world.online("ann", "a").await;
        succeed(&world, "ann").await;
        drop(ann);
        world.end().await;
    });
}

/// That a session ended may be said to the dead.
#[test]
fn who_leaves_while_a_hub_dies_is_gone() {
    run(async {
        let world = World::new(&["ann", "bob"], LIST);
        let (ann, mut bob) = world.acquainted().await;
        let mut other = world.online("ann", "b").await;
        stop_short(&world, &mut other).await;
        kill(&world, "ann");
        drop(ann);
        world
            .until("the session ends", |realm| {
                realm.gauges.sessions.load(Ordering::Relaxed) == 2
            })
            .await;
        world.disk.go_on();
        bob.hear_gone("ann@test/a").await;
        let gone = other.hear("type='unavailable'").await;
        assert!(gone.contains("from='ann@test/a'"), "{gone}");
        drop((other, bob));
        world.end().await;
    });
}

/// Nor is it forgotten of a session that may come back: its time begins all the same.
#[test]
fn who_is_lost_while_a_hub_dies_does_not_wait_for_ever() {
    run(async {
        let mut settings = settings();
        settings.acks.resume = Duration::from_millis(100);
        let users = ["ann", "bob"].into_iter().map(str::to_owned);
        let world = World::with(settings, users, LIST);
        let (mut ann, mut bob) = world.acquainted().await;
        ann.say("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
            .await;
        ann.hear("<enabled").await;
        let waits = |count| move |realm: &Realm| realm.directory.census().1 == count;
        stop_short(&world, &mut ann).await;
        world.until("what panicked is told", waits(1)).await;
        kill(&world, "ann");
        drop(ann);
        world.until("the loss is behind that", waits(3)).await;
        world.disk.go_on();
        bob.hear_gone("ann@test/a").await;
        drop(bob);
        world.end().await;
    });
}

#[test]
fn acknowledgements_begin_although_the_dead_was_asked_for_them() {
    run(async {
        let world = World::new(&["ann"], LIST);
        let mut ann = world.online("ann", "a").await;
        stop_short(&world, &mut ann).await;
        kill(&world, "ann");
        let before = world.realm().directory.census().1;
        ann.say("<enable xmlns='urn:xmpp:sm:3'/>").await;
        world
            .until("it is in the mailbox", |realm| {
                realm.directory.census().1 > before
            })
            .await;
        world.disk.go_on();
        ann.hear("<enabled").await;
        drop(ann);
        world.end().await;
    });
}

/// The answer to a change, and a delivery to one who acknowledges.
#[test]
fn what_waited_for_the_disk_when_a_hub_died_is_done_by_its_successor() {
    run(async {
        let world = World::new(&["ann", "bob"], LIST);
        let (mut ann, mut bob) = (
            world.online("ann", "a").await,
            world.online("bob", "b").await,
        );
        bob.say("<enable xmlns='urn:xmpp:sm:3'/>").await;
        bob.hear("<enabled").await;
        world.disk.hold();
        bob.say(&ask("1", "write")).await;
        world.until("the commit", |_| world.disk.waits()).await;
        ann.say(&chat("bob", "one")).await;
        ann.settle().await;
        world
            .until("the next", |realm| realm.keeper.waiting() == 1)
            .await;
        succeed(&world, "bob").await;
        world.disk.go_on();
        assert!(bob.hear("id='1'").await.contains("type='result'"));
        bob.hear("<body>one</body>").await;
        bob.say("<a xmlns='urn:xmpp:sm:3' h='2'/>").await;
        bob.settle().await;
        drop((ann, bob));
        world.retired("bob").await;
        assert_eq!(world.rows(2, ENTRY).len(), 2);
        assert!(world.rows(2, RETURNED).is_empty(), "it was delivered once");
        assert!(world.deliveries(2).is_empty());
        world.end().await;
    });
}

/// Nobody can tell what of it was refused: the sessions hear that something went wrong.
#[test]
fn nothing_is_inherited_that_the_disk_refused() {
    run(async {
        let world = World::new(&["ann"], LIST);
        let mut ann = world.online("ann", "a").await;
        world.disk.hold();
        ann.say(&ask("1", "write")).await;
        world.until("the commit", |_| world.disk.waits()).await;
        succeed(&world, "ann").await;
        world.disk.fill(true);
        world.disk.go_on();
        let heard = ann.rest().await.concat();
        assert!(heard.contains("internal-server-error"), "{heard}");
        assert!(!heard.contains("type='result'"), "{heard}");
        world.disk.fill(false);
        drop(ann);
        world.retired("ann").await;
        assert!(world.rows(1, ENTRY).is_empty());
        world.end().await;
    });
}

/// What the disk says of the dead must not be taken for what it says of a successor.
#[test]
fn no_two_hubs_give_the_same_ticket() {
    run(async {
        let world = World::new(&["ann", "bob"], LIST);
        let mut bob = world.online("bob", "b").await;
        let to_ann = |id: &str| ask(id, "write").replacen("<iq ", "<iq to='ann@test' ", 1);
        world.disk.hold();
        bob.say(&to_ann("1")).await;
        world.until("the commit", |_| world.disk.waits()).await;
        kill(&world, "ann");
        dead(&world, "ann").await;
        bob.say(&to_ann("2")).await;
        bob.settle().await;
        // The successor begins, writes, and hears that the dead one's frame is on disk.
        world.disk.let_one();
        world
            .until("its own commit", |realm| {
                let ended = world.rows(1, ENTRY).len() == 1;
                ended && world.disk.waits() && realm.directory.census().1 == 0
            })
            .await;
        let early = bob.settle().await.concat();
        assert!(!early.contains("id='2'"), "acknowledged before the disk");
        world.disk.go_on();
        bob.hear("id='2'").await;
        drop(bob);
        world.end().await;
    });
}

/// Ten deaths in a minute, and a Hub is kept down; who asks for it hears so, as do its sessions.
#[test]
fn a_hub_that_dies_too_often_is_kept_down() {
    run(async {
        let world = World::new(&["ann", "bob"], LIST);
        let mut bob = world.login("bob", "b").await;
        let mut ann = world.login("ann", "a").await;
        let key = jid("ann@test");
        world
            .until("it is kept down", |realm| {
                let down = realm.is_down("ann@test");
                if !down {
                    world.realm().post(&key, Mail::Fault, true);
                }
                down
            })
            .await;
        assert!(ann.rest().await.concat().contains("internal-server-error"));
        world.retired("ann").await;
        bob.say(&chat("ann", "one")).await;
        assert!(bob.hear("id='one'").await.contains("internal-server-error"));
        let mut again = world.connect(64 * 1024);
        again.authenticate("ann", "secret").await;
        again.ask_to_bind("a").await;
        let refused = again.hear("id='bind'").await;
        assert!(refused.contains("internal-server-error"), "{refused}");
        drop((ann, again, bob));
        world.end().await;
    });
}

/// Nothing is sent to a Hub that dies whose sender does not hear of it.
#[test]
fn mail_of_a_hub_that_dies_is_lost_aloud() {
    run(async {
        let world = World::new(&["ann", "bob"], LIST);
        let mut bob = world.login("bob", "b").await;
        world.disk.hold();
        // He may be told while the Hub still dies.
        let mut told = Vec::new();
        for number in 0..20 {
            bob.say(&chat("ann", &format!("n{number:02}"))).await;
            if number == 9 {
                told.extend(bob.settle().await);
                world.realm().post(&jid("ann@test"), Mail::Fault, false);
            }
        }
        told.extend(bob.settle().await);
        world.disk.go_on();
        world.retired("ann").await;
        told.extend(bob.settle().await);
        let written = world.rows(1, ENTRY);
        while told.len() + written.len() < 20 {
            told.push(bob.hear("internal-server-error").await);
        }
        told.extend(bob.settle().await);
        // Each is written or told, and none is both.
        let written = written.into_iter().map(|(_, body)| String::from_utf8(body));
        let mut fates: Vec<String> = written.map(|body| body.expect("text")).collect();
        fates.extend(told.iter().map(|error| {
            assert!(error.contains("internal-server-error"), "{error}");
            attribute(error, "id")
        }));
        fates.sort_unstable();
        let sent: Vec<String> = (0..20).map(|number| format!("n{number:02}")).collect();
        assert_eq!(fates, sent);
        drop(bob);
        world.end().await;
    });
}
