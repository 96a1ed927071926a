//! Files damaged while nobody looked: noticed and named, or without effect; never wrong data,
//! never a silent loss. (Faults B07, B14 to B16.)

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rookery_storage::{
    Damage, OpenError, Options, ShelfChoice, Store, StoreError, Tree,
    testing::{Fault, MemoryShelf, SimulatedDisk},
};

use crate::workload::{Model, frame, frames, sound, times, verify};

/// How many frames the stores here hold, and how many of them in the last group.
const HELD: u64 = 60;
const GROUP: u64 = 3;

struct Files {
    disk: SimulatedDisk,
    shelf: MemoryShelf,
    clean: bool,
}

impl Files {
    /// A store that was closed, or killed with half its frames not on the shelf.
    fn new(clean: bool) -> Files {
        let files = Files {
            disk: SimulatedDisk::new(),
            shelf: MemoryShelf::new(),
            clean,
        };
        let store = files.open(false).unwrap();
        files.fill(&store, 1, HELD / 2);
        store.checkpoint().unwrap();
        files.fill(&store, HELD / 2 + 1, HELD);
        if clean {
            store.close().unwrap();
        }
        drop(store);
        files
    }

    fn fill(&self, store: &Store, from: u64, to: u64) {
        for n in (from..=to).step_by(GROUP as usize) {
            store.commit((n..n + GROUP).map(frame).collect()).unwrap();
        }
    }

    fn open(&self, accept_loss: bool) -> Result<Store, OpenError> {
        let options = Options {
            memtable: 1 << 20,
            segment: 3_000,
            background: false,
            accept_loss,
            disk: Arc::new(self.disk.clone()),
            shelf: ShelfChoice::Memory(self.shelf.clone()),
            ..Options::default()
        };
        Store::open(Path::new("/data"), options)
    }

    fn copy(&self) -> Files {
        Files {
            disk: self.disk.copy(),
            shelf: self.shelf.copy(),
            clean: self.clean,
        }
    }

    fn paths(&self) -> Vec<PathBuf> {
        let inside = |path: &PathBuf| path.starts_with("/data/journal");
        self.disk.files().into_iter().filter(inside).collect()
    }

    /// Opens what was damaged. `true`: it was noticed.
    fn judge(&self, model: &Model, what: &str) -> bool {
        match self.open(false) {
            Err(OpenError::Damaged(losses)) => {
                assert!(!losses.is_empty());
                true
            }
            Err(error) => panic!("{what}: {error}"),
            Ok(store) => {
                // Of a store that was not closed the last group may look torn.
                let least = if self.clean { HELD } else { HELD - GROUP };
                verify(&store, &mut model.clone(), least, HELD)
                    .unwrap_or_else(|error| panic!("{what}: {error}"));
                sound(&store).unwrap_or_else(|error| panic!("{what}: {error}"));
                false
            }
        }
    }

    /// Goes on with a loss: the store works then, and opens without a word the next time.
    fn accept(&self, what: &str) {
        let store = self
            .open(true)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(!store.losses().is_empty(), "{what}: no loss is named");
        sound(&store).unwrap_or_else(|error| panic!("{what}: {error}"));
        let before = frames(&store).unwrap();
        store.commit(vec![frame(before + 1)]).unwrap();
        drop(store);
        let store = self
            .open(false)
            .unwrap_or_else(|error| panic!("{what}, again: {error}"));
        assert_eq!(frames(&store).unwrap(), before + 1, "{what}");
        sound(&store).unwrap_or_else(|error| panic!("{what}, again: {error}"));
    }
}

/// Where a model of the frames held begins, so that it need not be made anew each time.
fn start() -> Model {
    let mut model = Model::default();
    model.advance(HELD - GROUP);
    model
}

#[test]
fn flipped_bits_are_noticed_or_do_nothing() {
    let model = start();
    for clean in [true, false] {
        let files = Files::new(clean);
        let (mut noticed, mut harmless) = (0, 0);
        for path in files.paths() {
            let size = files.disk.read(&path).unwrap().len();
            let step = (size / times(120) as usize).max(1);
            for at in (0..size).step_by(step) {
                let copy = files.copy();
                copy.disk.edit(&path, |bytes| bytes[at] ^= 1 << (at % 8));
                let what = format!("{} flipped at {at}, clean: {clean}", path.display());
                if copy.judge(&model, &what) {
                    noticed += 1;
                    if noticed % 9 == 0 {
                        copy.accept(&what);
                    }
                } else {
                    harmless += 1;
                }
            }
        }
        println!("clean: {clean}: {noticed} noticed, {harmless} harmless");
        assert!(noticed > 50);
    }
}

#[test]
fn cut_files_are_noticed_or_do_nothing() {
    let model = start();
    for clean in [true, false] {
        let files = Files::new(clean);
        let mut noticed = 0;
        for path in files.paths() {
            let size = files.disk.read(&path).unwrap().len();
            let step = (size / times(60) as usize).max(1);
            for end in (0..size).step_by(step) {
                let copy = files.copy();
                copy.disk.edit(&path, |bytes| bytes.truncate(end));
                let what = format!("{} cut at {end}, clean: {clean}", path.display());
                let lost = copy_loses_more_than_a_group(&copy, &model, &what);
                noticed += u64::from(lost);
                if lost && end % 7 == 0 {
                    copy.accept(&what);
                }
            }
        }
        assert!(noticed > 20, "{noticed}");
    }
}

/// A journal of a killed store that is cut looks like one that was never longer, up to the mark.
fn copy_loses_more_than_a_group(copy: &Files, model: &Model, what: &str) -> bool {
    if copy.clean {
        return copy.judge(model, what);
    }
    match copy.open(false) {
        Err(OpenError::Damaged(losses)) => !losses.is_empty(),
        Err(error) => panic!("{what}: {error}"),
        Ok(store) => {
            verify(&store, &mut Model::default(), HELD / 2, HELD)
                .unwrap_or_else(|error| panic!("{what}: {error}"));
            false
        }
    }
}

#[test]
fn missing_and_empty_files_are_noticed() {
    for clean in [true, false] {
        let files = Files::new(clean);
        for path in files.paths() {
            for empty in [true, false] {
                let copy = files.copy();
                match empty {
                    true => copy.disk.edit(&path, Vec::clear),
                    false => copy.disk.lose(&path),
                }
                let what = format!("{} gone, empty: {empty}, clean: {clean}", path.display());
                assert!(copy.judge(&start(), &what), "{what}");
                copy.accept(&what);
            }
        }
    }
}

#[test]
fn a_missing_journal_is_noticed() {
    let files = Files::new(true);
    files.paths().iter().for_each(|path| files.disk.lose(path));
    assert!(files.judge(&start(), "no journal"));
    files.accept("no journal");
}

/// The shelf is made anew, and nothing is missing.
fn rebuilt(files: &Files, held: u64, what: &str) {
    let store = files
        .open(false)
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(store.repaired().is_some(), "{what} is not noticed");
    verify(&store, &mut Model::default(), held, held)
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    sound(&store).unwrap_or_else(|error| panic!("{what}: {error}"));
    drop(store);
    assert_eq!(
        files.open(false).unwrap().repaired(),
        None,
        "{what}: once is enough"
    );
}

#[test]
fn a_shelf_that_is_lost_is_made_anew() {
    for exports in 0..3 {
        let files = Files::new(true);
        let mut held = HELD;
        for _ in 0..exports {
            let store = files.open(false).unwrap();
            store.export().unwrap();
            files.fill(&store, held + 1, held + 30);
            store.checkpoint().unwrap();
            files.fill(&store, held + 31, held + 60);
            held += 60;
        }
        let with = |shelf: MemoryShelf| Files {
            shelf,
            ..files.copy()
        };
        rebuilt(&with(MemoryShelf::new()), held, "an empty shelf");
        rebuilt(&with(Files::new(true).shelf), held, "another store's shelf");
        if exports > 0 {
            rebuilt(&with(Files::new(true).shelf), held, "an old shelf");
        }
        let unreadable = with(MemoryShelf::new());
        let exported = |path: &PathBuf| path.starts_with("/data/export");
        for path in unreadable.disk.files().into_iter().filter(exported) {
            unreadable.disk.edit(&path, |bytes| bytes[99] ^= 1);
            assert!(unreadable.judge(&Model::default(), "a damaged export"));
            unreadable.accept("a damaged export");
        }
    }
}

#[test]
fn a_rebuild_can_be_interrupted_and_asked_for() {
    let files = Files::new(false);
    let whole = files.disk.copy();
    let before = whole.operations();
    let options = |disk: &SimulatedDisk, shelf: &MemoryShelf| Options {
        rebuild: true,
        background: false,
        disk: Arc::new(disk.clone()),
        shelf: ShelfChoice::Memory(shelf.clone()),
        ..Options::default()
    };
    let folder = Path::new("/data");
    drop(Store::open(folder, options(&whole, &files.shelf.copy())).unwrap());
    for operation in before + 1..=whole.operations() {
        for changes in [u64::MAX, 3, 40] {
            let (disk, shelf) = (files.disk.copy(), files.shelf.copy());
            disk.plan(operation, Fault::PowerOff);
            shelf.power_off_after(changes);
            assert!(Store::open(folder, options(&disk, &shelf)).is_err());
            let after = Files {
                disk: disk.after_power_cut(|| false),
                shelf: shelf.after_power_cut(|| false),
                clean: false,
            };
            let store = after.open(false).unwrap();
            verify(&store, &mut Model::default(), HELD, HELD).unwrap();
            sound(&store).unwrap();
        }
    }
}

#[test]
fn rows_lost_by_a_power_cut_in_a_feed_are_made_anew() {
    let files = Files::new(false);
    files.shelf.power_off_after(20);
    assert!(files.open(false).unwrap().checkpoint().is_err());
    let after = Files {
        disk: files.disk.after_power_cut(|| true),
        shelf: files.shelf.after_power_cut(|| true),
        clean: false,
    };
    // sled moved a page and lost both: a row that the feed never touched.
    assert!(after.shelf.lose_row(2, 0));
    rebuilt(&after, HELD, "a lost row");
}

#[test]
fn older_copies_are_noticed() {
    let old = Files::new(true);
    let new = old.copy();
    let store = new.open(false).unwrap();
    new.fill(&store, HELD + 1, HELD + 30);
    store.close().unwrap();
    drop(store);
    let shelf = old.shelf.copy();
    rebuilt(
        &Files {
            shelf,
            ..new.copy()
        },
        HELD + 30,
        "an old shelf",
    );
    let noticed = |files: Files, what: &str| {
        let opened = files.open(false);
        let refused = matches!(opened, Err(OpenError::Damaged(_)));
        assert!(refused, "{what} is not noticed");
        drop(opened);
        files.accept(what);
    };
    let disk = old.disk.copy();
    noticed(Files { disk, ..new.copy() }, "an old journal");
    let mark = PathBuf::from("/data/journal/mark");
    let old_mark = old.disk.read(&mark).unwrap();
    new.disk.edit(&mark, |bytes| *bytes = old_mark);
    noticed(new, "an old mark");
}

#[test]
fn a_sector_that_a_lying_disk_lost_is_noticed_and_the_range_named() {
    let files = Files::new(false);
    let newest = files
        .paths()
        .into_iter()
        .rfind(|path| !path.ends_with("mark"))
        .unwrap();
    files
        .disk
        .edit(&newest, |bytes| bytes[1_024..1_536].fill(0));
    let Err(OpenError::Damaged(losses)) = files.open(false) else {
        panic!("not noticed")
    };
    let [loss] = &losses[..] else {
        panic!("{losses:?}")
    };
    let (first, last) = (loss.first.unwrap(), loss.last.unwrap());
    assert!(HELD / 2 < first && first <= last && last < HELD, "{loss}");
    files.accept("a lost sector");
}

#[test]
fn damage_in_the_rows_is_found_by_reads_and_by_the_scrub() {
    let files = Files::new(true);
    let archive = 2;
    let copy = files.copy();
    assert!(copy.shelf.lose_row(archive, 3));
    let store = copy.open(false).unwrap();
    assert_eq!(store.stats().damaged, 0);
    let found = store.scrub().unwrap().damage;
    let stats = store.stats();
    assert_eq!((stats.damaged, &stats.damage), (1, &found), "it is shown");
    assert!(
        matches!(
            found[..],
            [Damage::Keys {
                tree: "archive",
                ..
            }]
        ),
        "{found:?}"
    );
    drop(store);
    for (slot, nth) in [(archive, 0), (archive, 5), (8, 1)] {
        let copy = files.copy();
        assert!(copy.shelf.flip_bit(slot, nth, 77));
        let store = copy.open(false).unwrap();
        let report = store.scrub().unwrap();
        assert!(report.damaged > 0, "{slot} {nth}");
        let mut slow = None;
        while slow.is_none() {
            slow = store.scrub_some(2);
            assert!(store.stats().damaged > 0, "it stays shown meanwhile");
        }
        assert_eq!(slow.unwrap(), report, "slowly it finds the same");
        assert_eq!(store.stats().damaged, report.damaged);
        // Flipped back, the next round takes it off.
        assert!(copy.shelf.flip_bit(slot, nth, 77));
        sound(&store).unwrap();
        assert_eq!(store.stats().damage, []);
        assert!(copy.shelf.flip_bit(slot, nth, 77));
        let all = store.range(
            if slot == archive {
                Tree::Archive
            } else {
                Tree::Rooms
            },
            &rookery_storage::KeyRange::all(),
            usize::MAX,
            rookery_storage::Direction::Forward,
        );
        if slot == archive {
            let refused = matches!(
                all,
                Err(StoreError::Damaged {
                    tree: "archive",
                    ..
                })
            );
            assert!(refused, "{slot} {nth}");
        }
    }
}
