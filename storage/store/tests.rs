//! The whole store against a plain map, on a simulated disk and on a real one.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::frame::MAX_VALUE;

const FOLDER: &str = "/data";

/// Small bounds, so that few rows meet them.
fn options(disk: &SimulatedDisk, shelf: &MemoryShelf) -> Options {
    Options {
        memtable: 4_000,
        segment: 2_000,
        background: false,
        disk: Arc::new(disk.clone()),
        shelf: ShelfChoice::Memory(shelf.clone()),
        ..Options::default()
    }
}

fn open(options: Options) -> Store {
    Store::open(Path::new(FOLDER), options).unwrap()
}

fn put(tree: Tree, key: &[u8], value: &[u8]) -> Frame {
    let mut frame = Frame::new();
    frame.put(tree, key, value);
    frame
}

#[derive(Clone, Debug)]
enum Step {
    Put(Vec<u8>, usize),
    Delete(Vec<u8>),
    Erase(Vec<u8>, Vec<u8>),
    Add(Vec<u8>, i64),
    Commit,
    Checkpoint,
    Scrub,
    Reopen,
    Close,
}

/// Few keys, with zeros and prefixes of each other among them.
fn keys() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(255)], 0..4)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let sizes = prop_oneof![6 => 0..300usize, 1 => 4_000..4_200usize, 1 => 8_000..20_000usize];
    let step = prop_oneof![
        12 => (keys(), sizes).prop_map(|(key, size)| Step::Put(key, size)),
        5 => keys().prop_map(Step::Delete),
        2 => (keys(), keys()).prop_map(|(a, b)| Step::Erase(a, b)),
        3 => (0..3u8, -5..9i64).prop_map(|(key, delta)| Step::Add(vec![b'n', key], delta)),
        9 => Just(Step::Commit),
        2 => Just(Step::Checkpoint),
        1 => Just(Step::Scrub),
        2 => Just(Step::Reopen),
        1 => Just(Step::Close),
    ];
    prop::collection::vec(step, 0..60)
}

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn run(steps: &[Step], model: &mut Model, mut store: Store, again: impl Fn() -> Store) -> Store {
    let mut frame = Frame::new();
    for (at, step) in steps.iter().enumerate() {
        match step {
            Step::Put(key, size) => {
                let value = vec![at as u8; *size];
                frame.put(Tree::Archive, key.clone(), value.clone());
                model.insert(key.clone(), value);
            }
            Step::Delete(key) => {
                frame.delete(Tree::Archive, key.clone());
                model.remove(key);
            }
            Step::Erase(from, to) => {
                let range = KeyRange::between(from.clone(), to.clone());
                model.retain(|key, _| !range.contains(key));
                frame.delete_range(Tree::Archive, range);
            }
            Step::Add(key, delta) => {
                frame.add(Tree::Archive, key.clone(), *delta);
                let old = model
                    .get(key)
                    .map_or(0, |old| crate::frame::read_counter(old).unwrap());
                model.insert(key.clone(), (old + delta).to_be_bytes().to_vec());
            }
            Step::Commit | Step::Reopen | Step::Close | Step::Checkpoint | Step::Scrub => {
                store.commit(vec![std::mem::take(&mut frame)]).unwrap();
            }
        }
        match step {
            Step::Checkpoint => store.checkpoint().unwrap(),
            Step::Scrub => assert_eq!(store.scrub().unwrap().damage, []),
            Step::Close => {
                store.close().unwrap();
                drop(store);
                store = again();
            }
            Step::Reopen => {
                drop(store);
                store = again();
            }
            _ => {}
        }
    }
    store.commit(vec![frame]).unwrap();
    store
}

fn rows(model: &Model, range: &KeyRange) -> Vec<KeyValue> {
    let inside = model.iter().filter(|(key, _)| range.contains(key));
    inside
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn behaves_like_a_map(
        steps in steps(),
        bounds in (keys(), keys()),
        limit in 0..12usize,
    ) {
        let (disk, shelf) = (SimulatedDisk::new(), MemoryShelf::new());
        let mut model = Model::new();
        let again = || open(options(&disk, &shelf));
        let store = run(&steps, &mut model, again(), again);
        for key in model.keys().chain([&bounds.0]) {
            let value = store.get(Tree::Archive, key).unwrap();
            prop_assert_eq!(value.as_ref(), model.get(key));
        }
        let whole = store.range(Tree::Archive, &KeyRange::all(), 10_000, Direction::Forward);
        prop_assert_eq!(whole.unwrap(), rows(&model, &KeyRange::all()));
        let range = KeyRange::between(bounds.0, bounds.1);
        let mut expected = rows(&model, &range);
        for direction in [Direction::Forward, Direction::Backward] {
            let found = store.range(Tree::Archive, &range, limit, direction).unwrap();
            let limit = limit.min(expected.len());
            prop_assert_eq!(&found, &expected[..limit]);
            expected.reverse();
        }
        prop_assert_eq!(store.scrub().unwrap().damage, []);
        let counted = store.stats().rows[Tree::Archive.slot()].1;
        prop_assert_eq!(counted, model.len() as u64);
    }
}

#[test]
fn what_was_committed_is_there_after_a_drop_and_after_a_close() {
    let temp = tempfile::tempdir().unwrap();
    let options = || Options {
        background: false,
        ..Options::default()
    };
    let store = Store::open(temp.path(), options()).unwrap();
    let long: Vec<u8> = (0..100_000u32).map(|n| n as u8).collect();
    assert_eq!(store.commit(vec![put(Tree::Archive, b"a", &long)]), Ok(1));
    drop(store);
    let store = Store::open(temp.path(), options()).unwrap();
    assert_eq!(
        store.get(Tree::Archive, b"a").unwrap().as_ref(),
        Some(&long),
        "from the journal"
    );
    assert_eq!(
        store.commit(vec![put(Tree::Archive, b"b", b"short")]),
        Ok(2)
    );
    store.close().unwrap();
    assert_eq!(store.commit(vec![Frame::new()]), Err(StoreError::Closed));
    assert_eq!(
        store.get(Tree::Archive, b"a").unwrap().as_ref(),
        Some(&long),
        "still readable"
    );
    drop(store);
    let store = Store::open(temp.path(), options()).unwrap();
    assert_eq!(store.stats().memtable_bytes, 0, "nothing to replay");
    assert_eq!(
        store.get(Tree::Archive, b"a").unwrap().as_ref(),
        Some(&long),
        "from sled"
    );
    let backward = store
        .range(Tree::Archive, &KeyRange::all(), 9, Direction::Backward)
        .unwrap();
    assert_eq!(
        backward,
        [(b"b".to_vec(), b"short".to_vec()), (b"a".to_vec(), long)]
    );
    assert_eq!(store.scrub().unwrap().damage, []);
}

#[test]
fn the_thread_checkpoints_by_itself() {
    let temp = tempfile::tempdir().unwrap();
    let checkpoint_every = Duration::from_millis(20);
    let options = Options {
        checkpoint_every,
        ..Options::default()
    };
    let store = Store::open(temp.path(), options).unwrap();
    store.commit(vec![put(Tree::Meta, b"k", b"v")]).unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while store.stats().checkpointed < 1 {
        assert!(std::time::Instant::now() < deadline, "no checkpoint");
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(store.stats().memtable_bytes, 0);
    assert_eq!(store.get(Tree::Meta, b"k").unwrap().unwrap(), b"v");
}

#[test]
fn a_second_server_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let options = || Options {
        background: false,
        ..Options::default()
    };
    let first = Store::open(temp.path(), options()).unwrap();
    let second = Store::open(temp.path(), options());
    assert!(matches!(second, Err(OpenError::Locked(path)) if path == temp.path()));
    drop(first);
    Store::open(temp.path(), options()).unwrap();
}

#[test]
fn counters_follow_the_order_of_the_batch() {
    let store = Store::temporary();
    let key = b"n".as_slice();
    let mut first = Frame::new();
    first.add(Tree::Meta, key, 5).add(Tree::Meta, key, 2);
    let mut second = Frame::new();
    second
        .delete_range(Tree::Meta, KeyRange::all())
        .add(Tree::Meta, key, 1);
    store.commit(vec![first.clone()]).unwrap();
    assert_eq!(store.counter(Tree::Meta, key), Ok(7));
    store.commit(vec![first.clone(), first, second]).unwrap();
    assert_eq!(store.counter(Tree::Meta, key), Ok(1));
    let mut ends = Frame::new();
    ends.add(Tree::Meta, key, i64::MAX)
        .put(Tree::Meta, *b"text", *b"no");
    store.commit(vec![ends]).unwrap();
    assert_eq!(store.counter(Tree::Meta, key), Ok(i64::MAX));
    let mut wrong = Frame::new();
    wrong
        .put(Tree::Meta, *b"other", *b"x")
        .add(Tree::Meta, *b"text", 1);
    assert_eq!(
        store.commit(vec![wrong]),
        Err(StoreError::NotACounter(Tree::Meta))
    );
    assert_eq!(
        store.get(Tree::Meta, b"other"),
        Ok(None),
        "nothing of the batch is there"
    );
}

#[test]
fn a_row_that_came_and_went_never_reaches_the_shelf() {
    let (disk, shelf) = (SimulatedDisk::new(), MemoryShelf::new());
    let store = open(Options {
        memtable: 1 << 20,
        ..options(&disk, &shelf)
    });
    for n in 0..100u8 {
        store
            .commit(vec![put(Tree::Sessions, &[n], &[n; 10])])
            .unwrap();
        let mut frame = Frame::new();
        frame.delete(Tree::Sessions, [n]);
        store.commit(vec![frame]).unwrap();
    }
    store
        .commit(vec![put(Tree::Sessions, b"stays", b"")])
        .unwrap();
    store.checkpoint().unwrap();
    assert_eq!(store.stats().rows[Tree::Sessions.slot()].1, 1);
    assert_eq!(store.get(Tree::Sessions, b"stays").unwrap().unwrap(), b"");
}

fn journal_after_2000_frames(change: fn(&mut Options)) -> (Store, Stats) {
    let (disk, shelf) = (SimulatedDisk::new(), MemoryShelf::new());
    let mut options = options(&disk, &shelf);
    change(&mut options);
    let store = open(options);
    for n in 0..2_000u32 {
        let frame = put(Tree::Meta, &n.to_be_bytes(), &[7; 100]);
        store.commit(vec![frame]).unwrap();
    }
    let stats = store.stats();
    assert!(stats.memtable_bytes < 10_000, "{stats:?}");
    (store, stats)
}

#[test]
fn the_journal_is_kept_until_an_export_or_its_bound() {
    let (store, stats) = journal_after_2000_frames(|_| {});
    assert!(stats.journal_bytes > 250_000, "{stats:?}");
    store.export().unwrap();
    let stats = store.stats();
    assert!(
        stats.segments < 4 && stats.journal_bytes < 8_000,
        "{stats:?}"
    );
    let (_, stats) = journal_after_2000_frames(|options| options.export_every = None);
    assert!(
        stats.segments < 8 && stats.journal_bytes < 20_000,
        "{stats:?}"
    );
    let (_, stats) = journal_after_2000_frames(|options| options.export_journal = 30_000);
    assert!(stats.journal_bytes < 80_000, "{stats:?}");
}

#[test]
fn a_value_at_the_bound_is_kept_and_one_past_it_refused() {
    let store = Store::temporary();
    let value = vec![3; MAX_VALUE];
    store.commit(vec![put(Tree::Pubsub, b"k", &value)]).unwrap();
    store.checkpoint().unwrap();
    assert_eq!(store.get(Tree::Pubsub, b"k").unwrap(), Some(value));
    assert_eq!(store.stats().parts, 1_026);
    let refused = store.commit(vec![put(Tree::Pubsub, b"k", &vec![3; MAX_VALUE + 1])]);
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })));
    store
        .commit(vec![put(Tree::Pubsub, b"k", b"short")])
        .unwrap();
    store.checkpoint().unwrap();
    assert_eq!(store.stats().parts, 0);
}

#[test]
fn readers_see_whole_frames_while_commits_and_checkpoints_run() {
    let (disk, shelf) = (SimulatedDisk::new(), MemoryShelf::new());
    let options = Options {
        background: true,
        ..options(&disk, &shelf)
    };
    let store = Arc::new(open(options));
    let frame = |n: u32| {
        let mut frame = Frame::new();
        let text = n.to_be_bytes().repeat(1_200);
        frame
            .put(Tree::Account, *b"left", n.to_be_bytes())
            .put(Tree::Account, *b"long", text);
        frame.put(Tree::Account, *b"right", n.to_be_bytes());
        frame.delete_range(Tree::Account, KeyRange::prefix(b"m"));
        frame.put(Tree::Account, [b'm', n as u8], n.to_be_bytes());
        frame
    };
    store.commit(vec![frame(0)]).unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = [Direction::Forward, Direction::Backward]
        .into_iter()
        .map(|direction| {
            let (store, done) = (store.clone(), done.clone());
            thread::spawn(move || {
                let mut last = 0;
                while !done.load(Ordering::Relaxed) {
                    let rows = store
                        .range(Tree::Account, &KeyRange::all(), 9, direction)
                        .unwrap();
                    assert_eq!(rows.len(), 4);
                    let numbers: Vec<&[u8]> = rows.iter().map(|(_, value)| &value[..4]).collect();
                    assert!(
                        numbers.iter().all(|number| *number == numbers[0]),
                        "{numbers:?}"
                    );
                    let now = u32::from_be_bytes(*numbers[0].first_chunk().unwrap());
                    assert!(now >= last, "time runs backwards");
                    last = now;
                }
            })
        })
        .collect();
    for n in 1..3_000 {
        store.commit(vec![frame(n)]).unwrap();
    }
    done.store(true, Ordering::Relaxed);
    readers
        .into_iter()
        .for_each(|reader| reader.join().unwrap());
    assert!(store.stats().checkpoints > 100);
}

#[test]
fn a_backup_under_load_opens_as_a_store() {
    let temp = tempfile::tempdir().unwrap();
    let options = Options {
        memtable: 20_000,
        segment: 20_000,
        ..Options::default()
    };
    let store = Arc::new(Store::open(&temp.path().join("data"), options).unwrap());
    let frame = |n: u32| put(Tree::Meta, &n.to_be_bytes(), &n.to_be_bytes().repeat(40));
    for n in 1..=200 {
        store.commit(vec![frame(n)]).unwrap();
    }
    let done = Arc::new(AtomicBool::new(false));
    let writer = {
        let (store, done) = (store.clone(), done.clone());
        thread::spawn(move || {
            let mut n = 200;
            while !done.load(Ordering::Relaxed) {
                n += 1;
                store.commit(vec![frame(n)]).unwrap();
            }
        })
    };
    let target = temp.path().join("backup");
    let before = store.sequence();
    store.backup(&target).unwrap();
    let after = store.sequence();
    done.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    assert!(
        matches!(store.backup(&target), Err(StoreError::Full(_))),
        "not over another one"
    );
    let copy = Store::open(&target, Options::default()).unwrap();
    let held = copy.sequence();
    assert!((before..=after).contains(&held), "{before} {held} {after}");
    assert!(copy.repaired().is_some());
    let rows = copy
        .range(Tree::Meta, &KeyRange::all(), usize::MAX, Direction::Forward)
        .unwrap();
    assert_eq!(rows.len() as u64, held);
    let right =
        |(n, row): (u32, &KeyValue)| *row == (n.to_be_bytes().to_vec(), n.to_be_bytes().repeat(40));
    assert!((1..).zip(&rows).all(right));
    copy.commit(vec![frame(0)]).unwrap();
}

#[test]
fn empty_frames_cost_nothing() {
    let store = Store::temporary();
    assert_eq!(store.commit(vec![]), Ok(0));
    assert_eq!(
        store.commit(vec![
            Frame::new(),
            put(Tree::Meta, b"k", b"v"),
            Frame::new()
        ]),
        Ok(1)
    );
    assert_eq!(store.commit(vec![Frame::new()]), Ok(1));
    assert_eq!(store.stats().syncs, 1);
}

#[test]
fn a_store_can_be_shared_by_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Store>();
}
