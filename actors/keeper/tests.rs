//! Disks that fail, threads that panic, reads that come too late.

use std::path::Path;
use std::time::Instant;

use rookery_protocol::stanza::{Kind, MessageType};
use rookery_storage::testing::{Fault, MemoryShelf, SimulatedDisk};
use rookery_storage::{Options, ShelfChoice, Tree};

use super::*;
use crate::receipt::{Bounds, Head, Owner};
use crate::testing::PATIENCE;

/// The place of [`Tree::Meta`] on the shelf.
const META: usize = 7;

fn frame(n: u32) -> Frame {
    let mut frame = Frame::new();
    frame.put(Tree::Meta, n.to_be_bytes(), vec![1]);
    frame
}

/// A keeper with one reader, and what it says when it fails.
fn keeper(
    disk: SimulatedDisk,
    shelf: MemoryShelf,
    tell: impl Fn(u64) + Send + 'static,
) -> (Arc<Keeper>, Receiver<String>) {
    let options = Options {
        background: false,
        disk: Arc::new(disk),
        shelf: ShelfChoice::Memory(shelf),
        ..Options::default()
    };
    let store = Store::open(Path::new("/simulated"), options).expect("an empty store");
    let (keeper, idle) = Keeper::new(Arc::new(store), 1);
    let (failed, failures) = mpsc::channel();
    let fatal: Fatal = Arc::new(move |reason| failed.send(reason.to_owned()).expect("heard"));
    let tell = Box::new(move |_: &str, ticket, _| tell(ticket));
    keeper.start(idle, tell, fatal).expect("threads");
    (Arc::new(keeper), failures)
}

fn owner() -> Arc<Owner> {
    let bounds = Bounds {
        stanzas: 64,
        bytes: 1024,
    };
    Owner::new(bounds, |_| {})
}

fn receipt(owner: &Arc<Owner>) -> Receipt {
    let head = Head {
        kind: Kind::Message(MessageType::Chat),
        id: None,
        to: None,
        from: None,
    };
    owner.receipt(head, 1)
}

/// Waits until the first is settled.
fn await_first(owner: &Owner) {
    let deadline = Instant::now() + PATIENCE;
    while owner.settled() == 0 {
        assert!(Instant::now() < deadline, "the first is never settled");
        std::thread::yield_now();
    }
}

/// fdatasync fails once and says yes from then on: that must not make anything durable.
#[test]
fn after_the_disk_failed_nothing_is_acknowledged() {
    let disk = SimulatedDisk::new();
    let (keeper, failures) = keeper(disk.clone(), MemoryShelf::new(), |_| {});
    let owner = owner();
    let commit = |n| keeper.commit(frame(n), receipt(&owner), Tell::Nobody);
    commit(1);
    await_first(&owner);
    disk.plan(0, Fault::SyncFails);
    (2..20).for_each(commit);
    failures
        .recv_timeout(PATIENCE)
        .expect("the failure is told");
    (20..40).for_each(commit);
    let patience = Instant::now() + PATIENCE;
    while keeper.waiting() > 0 && Instant::now() < patience {
        std::thread::yield_now();
    }
    assert_eq!((owner.settled(), owner.admitted()), (1, 39));
    assert!(owner.take_lost().is_empty());
}

#[test]
fn a_panic_where_it_commits_ends_the_server_and_nothing_is_acknowledged_after_it() {
    let tell = |ticket| {
        if ticket == 2 {
            std::panic::panic_any(crate::testing::WANTED);
        }
    };
    let (keeper, failures) = keeper(SimulatedDisk::new(), MemoryShelf::new(), tell);
    let owner = owner();
    let commit = |ticket| {
        let tell = Tell::Hub("ann@test".into(), ticket);
        keeper.commit(frame(ticket as u32), receipt(&owner), tell);
    };
    commit(1);
    await_first(&owner);
    commit(2);
    let reason = failures.recv_timeout(PATIENCE).expect("the end is told");
    assert!(reason.contains("panicked"), "{reason}");
    (3..20).for_each(commit);
    let deadline = Instant::now() + PATIENCE;
    while keeper.waiting() > 0 && Instant::now() < deadline {
        std::thread::yield_now();
    }
    assert_eq!((owner.settled(), owner.admitted()), (2, 19));
    assert!(owner.take_lost().is_empty(), "nobody hears of the others");
}

#[test]
fn who_reads_while_the_server_stops_is_answered_or_told_that_there_is_nothing() {
    let (keeper, _failures) = keeper(SimulatedDisk::new(), MemoryShelf::new(), |_| {});
    let (let_go, held) = mpsc::channel::<()>();
    keeper.read(Vec::new(), move |_| held.recv().unwrap_or_default());
    let ask = |answers: &Sender<Option<usize>>| {
        let answers = answers.clone();
        let range = rookery_storage::KeyRange::all();
        let (tree, limit) = (Tree::Meta, 1);
        let all = Query::Range {
            tree,
            range,
            limit,
            backwards: false,
        };
        let rows = reading(Arc::clone(&keeper), all);
        std::thread::spawn(move || answers.send(rows.blocking_recv().ok().flatten()));
    };
    let (answers, answered) = mpsc::channel();
    ask(&answers);
    let (stopped, stop) = mpsc::channel();
    let stopping = Arc::clone(&keeper);
    std::thread::spawn(move || {
        stopping.stop();
        stopped.send(())
    });
    // The reader is busy; what comes behind the end is dropped with the queue. Its threads are
    // taken away to be waited for when it has been told.
    let deadline = Instant::now() + PATIENCE;
    let is_told = || keeper.threads.try_lock().is_none_or(|it| it.is_empty());
    while !is_told() && Instant::now() < deadline {
        std::thread::yield_now();
    }
    ask(&answers);
    let_go.send(()).expect("the reader waits");
    stop.recv_timeout(PATIENCE).expect("it stops");
    ask(&answers);
    let mut heard: Vec<_> = (0..3)
        .map(|_| answered.recv_timeout(PATIENCE).expect("nobody hangs"))
        .collect();
    heard.sort();
    assert_eq!(heard, [None, None, Some(0)]);
}

fn reading(keeper: Arc<Keeper>, query: Query) -> oneshot::Receiver<Option<usize>> {
    let (answer, rows) = oneshot::channel();
    keeper.read(vec![query], move |rows| {
        let _ = answer.send(rows.map(|rows| rows.len()));
    });
    rows
}

#[test]
fn a_read_that_fails_is_answered() {
    let shelf = MemoryShelf::new();
    let (keeper, _failures) = keeper(SimulatedDisk::new(), shelf.clone(), |_| {});
    shelf.refuse_reads(true);
    let get = || vec![Query::Get(Tree::Meta, b"absent".to_vec())];
    let (answer, rows) = mpsc::channel();
    keeper.read(get(), move |rows| answer.send(rows).expect("heard"));
    assert_eq!(rows.recv_timeout(PATIENCE), Ok(None));
    shelf.refuse_reads(false);
    let (answer, rows) = mpsc::channel();
    keeper.read(get(), move |rows| answer.send(rows).expect("heard"));
    assert_eq!(rows.recv_timeout(PATIENCE), Ok(Some(Vec::new())));
}

#[test]
fn what_is_wrong_with_the_store_is_told() {
    let shelf = MemoryShelf::new();
    let options = Options {
        background: false,
        disk: Arc::new(SimulatedDisk::new()),
        shelf: ShelfChoice::Memory(shelf.clone()),
        ..Options::default()
    };
    let store = Store::open(Path::new("/simulated"), options).expect("an empty store");
    store.commit((0..20).map(frame).collect()).expect("room");
    store.checkpoint().expect("a checkpoint");
    let (keeper, _) = Keeper::new(Arc::new(store), 1);
    let problems = || keeper.problems(&keeper.store().stats());
    assert_eq!(problems(), Vec::<String>::new());
    (0..10).for_each(|nth| assert!(shelf.flip_bit(META, nth, 50)));
    keeper.store().scrub().expect("it reads");
    let told = problems();
    assert_eq!(told.len(), 9, "{told:?}");
    assert_eq!(told[0], "meta: the row 00000000 is damaged");
    assert_eq!(told[8], "2 more findings: see the log");
    shelf.power_off_after(0);
    keeper.store().commit(vec![frame(30)]).expect("room");
    assert!(keeper.store().checkpoint().is_err());
    assert_eq!(problems()[0], "the last checkpoint failed: see the log");
}
