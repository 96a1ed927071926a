//! What slow and full disks, timers and removals do to a Hub. Panics are in [`panics`].

use std::sync::Arc;
use std::time::Duration;

use rookery_protocol::sasl::Password;
use rookery_storage::{KeyRange, Tree};

use crate::admin::{Command, Outcome};
use crate::keys::{self, AccountId, Kind};
use crate::realm::Realm;
use crate::testing::ledger::{ENTRY, LIST, NS};
use crate::testing::{World, jid, run, settings};

fn chat(to: &str, body: &str) -> String {
    format!("<message to='{to}@test' id='{body}' type='chat'><body>{body}</body></message>")
}

fn ask(id: &str, what: &str) -> String {
    format!("<iq type='set' id='{id}'><{what} xmlns='{NS}'/></iq>")
}

/// The memory of a Hub that loads again must not be older than what it has handed to the disk.
#[test]
fn a_hub_loads_again_only_when_its_own_commits_are_there() {
    run(async {
        let world = World::new(&["ann"], LIST);
        let mut ann = world.login("ann", "a").await;
        world.disk.hold();
        ann.say(&ask("1", "write")).await;
        ann.say(&ask("2", "panic")).await;
        world
            .until("the panic", |realm| {
                realm
                    .gauges
                    .panics
                    .load(std::sync::atomic::Ordering::Relaxed)
                    == 1
            })
            .await;
        // Time for a wrong reload to read what is not there yet.
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        world.disk.go_on();
        ann.say(&ask("3", "write")).await;
        ann.say(&ask("4", "count")).await;
        let count = ann.hear("id='4'").await;
        assert!(count.contains("next='2'"), "{count}");
        assert_eq!(world.rows(1, ENTRY).len(), 2);
        drop(ann);
        world.end().await;
    });
}

/// The rows of what ann sends are committed by bob's Hub, which she knows nothing of.
#[test]
fn who_sends_and_then_reads_finds_what_was_sent() {
    run(async {
        let world = World::new(&["ann", "bob"], LIST);
        let (mut ann, mut desk) = (world.login("ann", "a").await, world.login("ann", "d").await);
        ann.say(&chat("bob", "zero")).await;
        ann.settle().await;
        world.disk.hold();
        ann.say(&chat("bob", "one")).await;
        ann.say(&ask("0", "note")).await;
        ann.hear("id='0'").await;
        desk.say(&ask("1", "read-archive")).await;
        // The Hub itself does not wait.
        desk.say(&ask("2", "note")).await;
        desk.say(&ask("3", "write")).await;
        // Time for a wrong read.
        tokio::time::sleep(Duration::from_millis(50)).await;
        world.disk.go_on();
        let rows = desk.hear("id='1'").await;
        assert!(rows.contains("count='2'"), "{rows}");
        drop((ann, desk));
        world.end().await;
    });
}

/// A successor reads the moment its predecessor is gone.
#[test]
fn a_hub_retires_only_when_all_it_wrote_is_on_disk() {
    run(async {
        let world = World::new(&["ann", "bob"], LIST);
        let mut ann = world.login("ann", "a").await;
        world.disk.hold();
        ann.say(&chat("bob", "one")).await;
        // Much longer than the rest of a Hub.
        tokio::time::sleep(3 * crate::testing::settings().engine.retire).await;
        let here = world
            .realm()
            .directory
            .keys()
            .iter()
            .any(|it| it == "bob@test");
        world.disk.go_on();
        assert!(here, "retired before its commit");
        world.retired("bob").await;
        ann.say(&chat("bob", "two")).await;
        ann.settle().await;
        drop(ann);
        world.retired("bob").await;
        assert_eq!(world.rows(2, ENTRY).len(), 2);
        world.end().await;
    });
}

/// What an extension wanted to do later is done, although nobody is there any more.
#[test]
fn a_hub_stays_for_the_timers_of_its_extensions() {
    run(async {
        let world = World::new(&["ann"], LIST);
        let mut ann = world.login("ann", "a").await;
        ann.say(&ask("1", "wake")).await;
        ann.hear("id='1'").await;
        drop(ann);
        world.retired("ann").await;
        assert_eq!(world.rows(1, ENTRY).len(), 1, "retired before its timer");
        world.end().await;
    });
}

#[test]
fn an_extension_that_wakes_for_ever_keeps_no_account_in_memory() {
    run(async {
        let world = World::new(&["ann"], LIST);
        let mut ann = world.login("ann", "a").await;
        let begun = std::time::Instant::now();
        ann.say(&ask("1", "wake-for-ever")).await;
        ann.hear("id='1'").await;
        drop(ann);
        world.retired("ann").await;
        let bound = settings().engine.retire * crate::hub::rest::WAKEFUL;
        assert!(begun.elapsed() > bound / 2, "{:?}", begun.elapsed());
        world.end().await;
    });
}

#[test]
fn a_refused_change_is_an_error_and_memory_says_what_the_disk_says() {
    run(async {
        let world = World::new(&["ann", "bob"], LIST);
        let mut ann = world.online("ann", "a").await;
        ann.say(&ask("0", "write")).await;
        ann.hear("id='0'").await;
        world.disk.fill(true);
        ann.say(&ask("1", "write")).await;
        let error = ann.hear("id='1'").await;
        assert!(error.contains("resource-constraint"), "{error}");
        // Nobody waits for this one: Bob is away. His memory must be put right all the same.
        ann.say(&chat("bob", "lost")).await;
        let error = ann.hear("id='lost'").await;
        assert!(error.contains("resource-constraint"), "{error}");
        // Who comes and goes is shown all the same.
        let mut second = world.online("ann", "b").await;
        ann.hear("from='ann@test/b'").await;
        second.say("<presence type='unavailable'/>").await;
        ann.hear("type='unavailable'").await;
        world.disk.fill(false);
        ann.say(&ask("2", "count")).await;
        assert!(ann.hear("id='2'").await.contains("next='1'"));
        ann.say(&chat("bob", "kept")).await;
        assert_eq!(ann.settle().await, Vec::<String>::new());
        drop((ann, second));
        world.retired("bob").await;
        let rows = world.rows(2, ENTRY);
        assert_eq!(rows.len(), 1);
        assert_eq!(
            rows[0].0[5..],
            [0, 0, 0, 0],
            "the number of the refused one is free"
        );
        world.end().await;
    });
}

/// What waits only for its turn does not go with the frame it queues behind.
#[test]
fn what_queues_behind_a_refused_change_is_delivered() {
    run(async {
        let world = World::new(&["ann"], LIST);
        let mut ann = world.online("ann", "a").await;
        world.disk.hold();
        ann.say(&ask("1", "write")).await;
        ann.say("<iq type='get' id='2' to='test'><query xmlns='urn:test:nobody'/></iq>")
            .await;
        ann.say("<message to='ann@test/a' type='headline' id='3'/>")
            .await;
        world.until("the commit", |_| world.disk.waits()).await;
        world.disk.fill(true);
        world.disk.go_on();
        let mut heard = Vec::new();
        for _ in 0..3 {
            heard.push(ann.next().await.expect("an answer"));
        }
        heard.sort();
        assert!(heard[0].contains("id='1'") && heard[0].contains("resource-constraint"));
        assert!(heard[1].contains("id='2'"), "{heard:#?}");
        assert!(heard[2].contains("headline"), "{heard:#?}");
        world.disk.fill(false);
        drop(ann);
        world.end().await;
    });
}

#[test]
fn those_who_wait_behind_a_reader_are_answered_whatever_happens() {
    run(async {
        let world = World::new(&["ann"], LIST);
        let mut ann = world.login("ann", "a").await;
        world.disk.hold();
        // A write first, so that the reading waits for the disk and all the others wait behind it.
        for (id, what) in ["write", "read", "read-and-panic", "panic", "read", "count"]
            .into_iter()
            .enumerate()
        {
            ann.say(&ask(&id.to_string(), what)).await;
        }
        world.disk.go_on();
        let mut answers = Vec::new();
        for _ in 0..6 {
            answers.push(ann.next().await.expect("an answer"));
        }
        let of = |id: &str| {
            let id = format!("id='{id}'");
            answers
                .iter()
                .find(|it| it.contains(&id))
                .expect("an answer to each")
        };
        assert!(of("1").contains("count='1'"), "{}", of("1"));
        assert!(of("2").contains("internal-server-error"), "{}", of("2"));
        assert!(of("3").contains("internal-server-error"), "{}", of("3"));
        assert!(of("4").contains("count='1'"), "{}", of("4"));
        assert!(of("5").contains("next='1'"), "{}", of("5"));
        drop(ann);
        world.end().await;
    });
}

async fn remove(world: &World, user: &str) -> Outcome {
    let command = Command::DeleteUser(jid(&format!("{user}@test")));
    let (outcome, after) = world.realm().administer(command).await;
    world.realm().finish(after);
    outcome
}

#[test]
fn a_removed_account_makes_room_for_one_of_the_same_name() {
    run(async {
        let mut settings = settings();
        // The old Hub is there still when the new account comes.
        settings.engine.retire = Duration::from_secs(1);
        let users = ["ann", "bob"].into_iter().map(str::to_owned);
        let world = World::with(settings, users, LIST);
        let mut ann = world.online("ann", "a").await;
        let mut bob = world.online("bob", "b").await;
        ann.say(&ask("1", "write")).await;
        ann.hear("id='1'").await;
        assert!(matches!(remove(&world, "ann").await, Outcome::Done));
        assert!(ann.rest().await.concat().contains("not-authorized"));
        assert!(world.rows(1, ENTRY).is_empty());
        let password = Password::prepare("secret").expect("a password");
        let again = Command::AddUser(jid("ann@test"), password);
        let (made, _) = world.realm().administer(again).await;
        assert!(matches!(made, Outcome::Done));
        let mut ann = world.online("ann", "a").await;
        ann.say(&ask("2", "count")).await;
        assert!(ann.hear("id='2'").await.contains("next='0'"));
        bob.say(&chat("ann", "hello")).await;
        ann.hear("<body>hello</body>").await;
        drop((ann, bob));
        world.end().await;
    });
}

#[test]
fn a_removal_that_the_disk_refuses_removes_nothing() {
    run(async {
        let world = World::new(&["ann"], LIST);
        let mut ann = world.online("ann", "a").await;
        ann.say(&ask("1", "write")).await;
        ann.hear("id='1'").await;
        world.disk.fill(true);
        assert!(matches!(remove(&world, "ann").await, Outcome::Failed(_)));
        world.disk.fill(false);
        ann.say(&ask("2", "count")).await;
        assert!(ann.hear("id='2'").await.contains("next='1'"));
        drop(ann);
        world.end().await;
    });
}

/// Rows that the disk does not give are not rows that there are not.
#[test]
fn what_the_disk_does_not_give_is_refused_and_nothing_hangs() {
    run(async {
        let world = World::new(&["ann", "bob"], LIST);
        let mut ann = world.online("ann", "a").await;
        world.spoil_reads(true);
        for (id, what) in [("1", "read"), ("2", "read"), ("3", "count")] {
            ann.say(&ask(id, what)).await;
        }
        let mut answers = Vec::new();
        for _ in 0..3 {
            answers.push(ann.next().await.expect("an answer"));
        }
        answers.sort();
        let failed = |answer: &String| answer.contains("internal-server-error");
        let failed: Vec<_> = answers.iter().map(failed).collect();
        assert_eq!(failed, [true, true, false], "{answers:#?}");
        ann.say(&chat("bob", "lost")).await;
        let error = ann.hear("id='lost'").await;
        assert!(error.contains("internal-server-error"), "{error}");
        let mut eve = world.connect(64 * 1024);
        eve.begin().await;
        let plain = rookery_protocol::sasl::encode(b"\0nobody\0secret");
        eve.say(&format!(
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{plain}</auth>"
        ))
        .await;
        eve.hear("temporary-auth-failure").await;
        world.spoil_reads(false);
        ann.say(&chat("bob", "kept")).await;
        assert_eq!(ann.settle().await, Vec::<String>::new());
        drop((ann, eve));
        world.retired("bob").await;
        assert_eq!(world.rows(2, ENTRY).len(), 1);
        world.end().await;
    });
}

/// Contacts of an account that was removed hear of it, also if the server is killed in between.
#[test]
fn what_a_removed_account_owes_is_told_after_a_crash() {
    run(async {
        let world = World::new(&["ann", "bob"], LIST);
        let mut ann = world.online("ann", "a").await;
        let mut bob = world.online("bob", "b").await;
        let roster = "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>";
        bob.say("<presence type='subscribe' to='ann@test'/>").await;
        ann.hear("type='subscribe'").await;
        ann.say("<presence type='subscribed' to='bob@test'/>").await;
        bob.hear("from='ann@test/a'").await;
        bob.say(roster).await;
        let held = bob.hear("id='r'").await;
        assert!(held.contains("subscription='to'"), "{held}");
        // The removal is on the disk, and nothing that bob's account makes of it.
        world.disk.hold();
        let realm = Arc::clone(world.realm());
        let removal = actix_rt::spawn(async move {
            let command = Command::DeleteUser(jid("ann@test"));
            realm.administer(command).await.0
        });
        let removed = |_: &Realm| {
            // What waits comes behind what is done: first it is looked whether that was enough.
            let waits = world.disk.waits();
            let gone = world.range(Tree::Accounts, &KeyRange::all()).len() == 1;
            if waits && !gone {
                world.disk.let_one();
            }
            gone
        };
        world.until("removed", removed).await;
        world.until("the next", |_| world.disk.waits()).await;
        let world = world.kill().await;
        drop((ann, bob, removal));
        let mut bob = world.login("bob", "b").await;
        let told = |_: &Realm| world.range(Tree::Account, &owed(1)).is_empty();
        world.until("told", told).await;
        bob.say(roster).await;
        let held = bob.hear("id='r'").await;
        assert!(held.contains("subscription='none'"), "{held}");
        drop(bob);
        // Whoever owes nothing any more is forgotten.
        let debtors = |world: &World| world.range(Tree::Meta, &KeyRange::prefix(b"debtor:")).len();
        assert_eq!(debtors(&world), 1);
        let world = world.restart().await;
        world.until("forgotten", |_| debtors(&world) == 0).await;
        assert!(
            world
                .range(Tree::Account, &keys::everything(AccountId(1)))
                .is_empty()
        );
        world.stop().await;
    });
}

fn owed(account: u32) -> KeyRange {
    keys::all_of(AccountId(account), Kind::OWED)
}

mod panics;
