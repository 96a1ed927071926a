//! Disks that refuse or dawdle: full, failing, out of descriptors, slow, and sled breaking in the
//! middle. (Faults B08, B09, B11 to B13.)

use std::{io, path::Path, sync::Arc, thread, time::Duration};

use rookery_storage::{
    Frame, Options, ShelfChoice, Store, StoreError, Tree,
    testing::{Fault, MemoryShelf, SimulatedDisk},
};

use crate::workload::{Model, frame, sound, verify};

const FLOOR: u64 = 1_000_000;

fn options(disk: &SimulatedDisk, shelf: &MemoryShelf) -> Options {
    Options {
        memtable: 30_000,
        floor: FLOOR,
        background: false,
        disk: Arc::new(disk.clone()),
        shelf: ShelfChoice::Memory(shelf.clone()),
        ..Options::default()
    }
}

struct Bench {
    disk: SimulatedDisk,
    shelf: MemoryShelf,
    store: Store,
}

impl Bench {
    /// A store with 20 frames, some of them on the shelf.
    fn new() -> Bench {
        let (disk, shelf) = (SimulatedDisk::new(), MemoryShelf::new());
        let store = Store::open(Path::new("/data"), options(&disk, &shelf)).unwrap();
        for n in 1..=20 {
            store.commit(vec![frame(n)]).unwrap();
        }
        store.checkpoint().unwrap();
        Bench { disk, shelf, store }
    }

    fn next_operation(&self, fault: Fault) {
        self.disk.plan(self.disk.operations() + 1, fault);
    }

    /// What is there after a power cut that keeps nothing unsynced.
    fn held_after_power_cut(&self) -> u64 {
        let disk = self.disk.after_power_cut(|| false);
        let shelf = self.shelf.after_power_cut(|| false);
        let store = Store::open(Path::new("/data"), options(&disk, &shelf)).unwrap();
        let held = verify(&store, &mut Model::default(), 0, u64::MAX).unwrap();
        sound(&store).unwrap();
        held
    }
}

#[test]
fn a_failed_sync_is_the_end_and_is_never_retried() {
    let bench = Bench::new();
    bench.next_operation(Fault::SyncFails);
    let first = bench.store.commit(vec![frame(21)]).unwrap_err();
    assert!(matches!(first, StoreError::Fatal(_)), "{first:?}");
    let operations = bench.disk.operations();
    assert_eq!(bench.store.commit(vec![frame(21)]), Err(first.clone()));
    assert_eq!(bench.store.checkpoint(), Err(first.clone()));
    assert_eq!(bench.store.close(), Err(first.clone()));
    assert_eq!(
        bench.disk.operations(),
        operations,
        "the disk is left alone"
    );
    assert_eq!(bench.store.stats().dead, Some(first.to_string()));
    assert_eq!(
        bench.store.counter(Tree::Meta, b"frames"),
        Ok(20),
        "reads go on"
    );
    assert_eq!(bench.held_after_power_cut(), 20);
}

#[test]
fn a_failed_sync_of_the_mark_is_the_end_too() {
    let bench = Bench::new();
    bench.store.commit(vec![frame(21)]).unwrap();
    bench.next_operation(Fault::SyncFails);
    assert!(matches!(
        bench.store.checkpoint(),
        Err(StoreError::Fatal(_))
    ));
    assert!(matches!(
        bench.store.commit(vec![frame(22)]),
        Err(StoreError::Fatal(_))
    ));
    assert_eq!(bench.held_after_power_cut(), 21);
}

#[test]
fn a_write_that_fails_for_good_is_the_end() {
    let bench = Bench::new();
    bench.next_operation(Fault::WriteFails(io::ErrorKind::ReadOnlyFilesystem));
    assert!(matches!(
        bench.store.commit(vec![frame(21)]),
        Err(StoreError::Fatal(_))
    ));
    assert_eq!(bench.held_after_power_cut(), 20);
}

#[test]
fn a_full_disk_is_told_and_passes() {
    for fault in [
        Fault::ShortThenFull,
        Fault::WriteFails(io::ErrorKind::StorageFull),
    ] {
        let bench = Bench::new();
        bench.next_operation(fault);
        let refused = bench.store.commit(vec![frame(21), frame(22)]);
        assert!(matches!(refused, Err(StoreError::Full(_))), "{refused:?}");
        assert_eq!(bench.store.counter(Tree::Meta, b"frames"), Ok(20));
        assert_eq!(bench.held_after_power_cut(), 20);
        assert_eq!(bench.store.commit(vec![frame(21)]), Ok(21));
        assert_eq!(bench.held_after_power_cut(), 21);
    }
}

#[test]
fn the_floor_is_kept_and_what_makes_room_may_pass_it() {
    let bench = Bench::new();
    let mut delete = Frame::new();
    delete.delete(Tree::Outbox, *b"nothing");
    bench.disk.set_free(Some(FLOOR));
    assert_eq!(bench.store.commit(vec![frame(21)]), Ok(21), "at the floor");
    bench.disk.set_free(Some(FLOOR - 1));
    assert!(
        matches!(
            bench.store.commit(vec![frame(22)]),
            Err(StoreError::Full(_))
        ),
        "under it"
    );
    assert_eq!(bench.store.stats().refused, 1);
    assert_eq!(
        bench.store.counter(Tree::Meta, b"frames"),
        Ok(21),
        "reads go on"
    );
    assert_eq!(bench.store.commit(vec![delete.clone()]), Ok(22));
    bench.disk.set_free(Some(FLOOR / 2 - 1));
    assert!(matches!(
        bench.store.commit(vec![delete]),
        Err(StoreError::Full(_))
    ));
    bench.disk.set_free(None);
    assert_eq!(bench.store.commit(vec![frame(22)]), Ok(23));
}

#[test]
fn a_mark_that_finds_no_room_comes_later() {
    let bench = Bench::new();
    bench.store.commit(vec![frame(21)]).unwrap();
    bench.next_operation(Fault::WriteFails(io::ErrorKind::StorageFull));
    assert!(matches!(bench.store.checkpoint(), Err(StoreError::Full(_))));
    assert_eq!(bench.store.commit(vec![frame(22)]), Ok(22));
    bench.store.checkpoint().unwrap();
    sound(&bench.store).unwrap();
    assert_eq!(bench.store.stats().checkpointed, 22);
    assert_eq!(bench.held_after_power_cut(), 22);
}

/// Fault B12: no checkpoint, no new segment, and no harm, until there are descriptors again.
#[test]
fn a_want_of_descriptors_is_told_and_passes() {
    let (mut refused, mut unnamed) = (0, 0);
    // Each of the calls of a checkpoint that begins a segment in turn.
    for operation in 1..12 {
        let (disk, shelf) = (SimulatedDisk::new(), MemoryShelf::new());
        let options = Options {
            segment: 5_000,
            ..options(&disk, &shelf)
        };
        let store = Store::open(Path::new("/data"), options).unwrap();
        let mut held = 0;
        for _ in 0..2 {
            (0..10).for_each(|_| held = store.commit(vec![frame(held + 1)]).unwrap());
            disk.plan(disk.operations() + operation, Fault::NoDescriptor);
            match store.checkpoint() {
                Ok(()) => {}
                Err(StoreError::Full(_)) => refused += 1,
                Err(other) => panic!("call {operation}: {other}"),
            }
            // What is refused meanwhile is refused whole.
            match store.commit(vec![frame(held + 1)]) {
                Ok(sequence) => held = sequence,
                // The mark does not name the new segment: its loss would show nowhere.
                Err(StoreError::Full(_)) => unnamed += 1,
                Err(other) => panic!("call {operation}: {other}"),
            }
            let bench = Bench {
                store: Store::temporary(),
                disk: disk.clone(),
                shelf: shelf.clone(),
            };
            assert_eq!(bench.held_after_power_cut(), held, "call {operation}");
            let killed = Bench {
                disk: disk.after_kill(),
                ..bench
            };
            assert_eq!(killed.held_after_power_cut(), held, "call {operation}");
            store.checkpoint().unwrap();
            assert_eq!(store.commit(vec![frame(held + 1)]), Ok(held + 1));
            held += 1;
        }
    }
    assert!(refused > 8 && unnamed > 1, "{refused} {unnamed}");
}

/// Fault B13: a slow disk holds up whoever commits, and nobody else.
#[test]
fn a_slow_disk_stalls_commits_and_neither_reads_nor_figures() {
    let bench = Bench::new();
    let rows = |tree| {
        let range = rookery_storage::KeyRange::all();
        let direction = rookery_storage::Direction::Forward;
        let rows = bench.store.range(tree, &range, 10, direction);
        rows.unwrap().len()
    };
    thread::scope(|scope| {
        let held = bench.disk.hold();
        let committed = scope.spawn(|| bench.store.commit(vec![frame(21)]));
        bench.disk.await_sync();
        assert_eq!(bench.store.counter(Tree::Meta, b"frames"), Ok(20));
        assert!(rows(Tree::Archive) > 0);
        assert_eq!(
            (bench.store.sequence(), bench.store.stats().sequence),
            (20, 20)
        );
        assert!(!committed.is_finished());
        drop(held);
        assert_eq!(committed.join().unwrap(), Ok(21));
        // The same while the checkpoint syncs.
        let held = bench.disk.hold();
        let checkpoint = scope.spawn(|| bench.store.checkpoint());
        bench.disk.await_sync();
        assert!(rows(Tree::Account) > 0);
        assert_eq!(bench.store.stats().checkpointed, 20);
        assert!(!checkpoint.is_finished());
        drop(held);
        assert_eq!(checkpoint.join().unwrap(), Ok(()));
    });
}

#[test]
fn a_shelf_that_breaks_is_opened_again_and_fed_again() {
    let bench = Bench::new();
    for n in 21..=60 {
        bench.store.commit(vec![frame(n)]).unwrap();
        if n % 7 == 0 {
            bench.shelf.break_down();
        }
    }
    bench.store.checkpoint().unwrap();
    let stats = bench.store.stats();
    assert!(stats.reopened > 0 && !stats.stuck, "{stats:?}");
    sound(&bench.store).unwrap();
    assert_eq!(bench.held_after_power_cut(), 60);
}

#[test]
fn a_shelf_that_stays_broken_costs_room_but_no_promise() {
    let (disk, shelf) = (SimulatedDisk::new(), MemoryShelf::new());
    let checkpoint_every = Duration::from_millis(5);
    let options = Options {
        background: true,
        checkpoint_every,
        ..options(&disk, &shelf)
    };
    let store = Store::open(Path::new("/data"), options).unwrap();
    shelf.power_off_after(10);
    let mut acked = 0;
    let refused = loop {
        match store.commit(vec![frame(acked + 1)]) {
            Ok(sequence) => acked = sequence,
            Err(error) => break error,
        }
        assert!(acked < 1_000, "the memtables have no bound");
    };
    assert!(matches!(refused, StoreError::Full(_)), "{refused:?}");
    let stats = store.stats();
    assert!(stats.stuck && stats.memtable_bytes < 150_000, "{stats:?}");
    drop(store);
    let bench = Bench {
        store: Store::temporary(),
        disk,
        shelf,
    };
    assert_eq!(bench.held_after_power_cut(), acked);
}
