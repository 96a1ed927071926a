//! `kill -9` on a simulated disk: before every single thing a store asks of its disk, and in the
//! middle of every feed of sled, thousands of times. (Faults B02, B03 and B04, below the sockets.)
//!
//! A kill leaves all that was written, in a machine that goes on: other than after a power cut
//! nothing is doubted at the next start, so the order of the writes must do.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use rookery_storage::{
    Options, ShelfChoice, Store, StoreError,
    testing::{Call, Fault, MemoryShelf, SimulatedDisk},
};

use crate::workload::{Dice, Model, frame, frames, sound, times, verify};

/// Frames of the script.
const FRAMES: u64 = 120;

/// A machine whose server is killed.
#[derive(Clone, Default)]
struct Machine {
    disk: SimulatedDisk,
    shelf: MemoryShelf,
}

/// How far a server came.
#[derive(Clone, Copy, Default, Debug)]
struct Came {
    acked: u64,
    sent: u64,
}

impl Machine {
    fn open(&self) -> Result<Store, String> {
        let options = Options {
            memtable: 60_000,
            segment: 20_000,
            background: false,
            disk: Arc::new(self.disk.clone()),
            shelf: ShelfChoice::Memory(self.shelf.clone()),
            ..Options::default()
        };
        Store::open(Path::new("/data"), options).map_err(|error| error.to_string())
    }

    /// The server is dead; of what sled was fed since its last sync so much is in its file.
    fn killed(&self, changes: usize) -> Machine {
        Machine {
            disk: self.disk.after_kill(),
            shelf: self.shelf.after_kill(changes),
        }
    }

    /// The script: commits, a checkpoint now and then, two exports, an orderly end.
    fn run_script(&self) -> Came {
        let mut came = Came::default();
        // Killed while it made the store, or later: what it did not tell, nobody was promised.
        let _ = self.try_script(&mut came);
        came
    }

    fn try_script(&self, came: &mut Came) -> Result<(), StoreError> {
        let Ok(store) = self.open() else {
            return Ok(());
        };
        for first in (1..=FRAMES).step_by(2) {
            came.sent = first + 1;
            came.acked = store.commit((first..first + 2).map(frame).collect())?;
            if first % 10 == 9 {
                store.checkpoint()?;
            }
            if first % 70 == 49 {
                store.export()?;
            }
        }
        store.close()
    }

    /// Starts it again and looks.
    fn judge(&self, model: &mut Model, came: Came) -> Result<u64, String> {
        let store = self.open()?;
        if let Some(why) = store.repaired() {
            return Err(format!("a kill made sled be made anew: {why}"));
        }
        let held = verify(&store, model, came.acked, came.sent)?;
        sound(&store)?;
        Ok(held)
    }
}

/// A model that need not begin at the first frame for each point.
fn model_near(models: &mut Vec<Model>, came: Came) -> &mut Model {
    while models.last().is_none_or(|model| model.frames < came.acked) {
        let mut next = models.last().cloned().unwrap_or_default();
        next.advance(came.acked);
        models.push(next);
    }
    models.push(models.last().cloned().unwrap_or_default());
    models.last_mut().expect("one was pushed")
}

/// What is done just before the kill, by name: those of the places named in the promise that a
/// store has.
fn place(call: Call, path: &Path) -> &'static str {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let kind = match &*name {
        name if name.ends_with(".log") => "journal",
        name if name.starts_with("mark") => "mark",
        "journal" | "export" => "folder",
        _ => "export",
    };
    match (kind, call) {
        ("journal", Call::Create) => "a new segment is made",
        ("journal", Call::Write) => "a commit is written",
        ("journal", Call::Sync) => "a commit is written, not synced",
        ("journal", Call::Remove) => "an old segment is removed",
        ("mark", Call::Create) => "the mark is made anew",
        ("mark", Call::Write) => "the new mark is empty",
        ("mark", Call::Sync) => "the new mark is written, not synced",
        ("mark", Call::Rename) => "the mark is switched",
        ("folder", Call::SyncFolder) => "names are synced",
        ("export", Call::Create) => "an export begins",
        ("export", Call::Write) => "an export goes on",
        ("export", Call::Sync) => "an export is written, not synced",
        ("export", Call::Rename) => "an export is switched",
        ("export", Call::Remove) => "an old export is removed",
        _ => "something else",
    }
}

const PLACES: usize = 14;

#[test]
fn every_call_can_be_the_last() {
    let whole = Machine::default();
    assert_eq!(whole.run_script().acked, FRAMES);
    let history = whole.disk.history();
    let mut counts = BTreeMap::<_, u64>::new();
    let mut models = Vec::new();
    for (number, (call, path)) in (1..).zip(&history) {
        let machine = Machine::default();
        machine.disk.plan(number, Fault::PowerOff);
        let came = machine.run_script();
        let place = place(*call, path);
        // Half of what sled was fed last is in its file.
        let killed = machine.killed(number as usize % 40);
        killed
            .judge(model_near(&mut models, came), came)
            .unwrap_or_else(|error| panic!("killed at call {number}, {place}: {error}"));
        models.pop();
        *counts.entry(place).or_default() += 1;
    }
    println!("{} kills: {counts:?}", history.len());
    assert!(!counts.contains_key("something else"), "{counts:?}");
    assert_eq!(
        counts.len(),
        PLACES,
        "a named place is never reached: {counts:?}"
    );
}

#[test]
fn every_row_of_a_feed_can_be_the_last_and_so_can_every_call_of_the_recovery() {
    let base = Machine::default();
    let store = base.open().unwrap();
    for n in 1..=60 {
        store.commit(vec![frame(n)]).unwrap();
    }
    let came = Came {
        acked: 60,
        sent: 60,
    };
    let mut model = Model::default();
    model.advance(60);
    let mut kills = 0;
    for changes in 0.. {
        let machine = base.killed(usize::MAX);
        machine.shelf.power_off_after(changes);
        let store = machine.open();
        if store
            .and_then(|store| store.checkpoint().map_err(|it| it.to_string()))
            .is_ok()
        {
            break;
        }
        // The recovery is killed too, at each of its calls in turn, and that recovery again.
        for depth in 0..3 {
            let mut again = machine.killed(changes as usize);
            for _ in 0..depth {
                let next = again.disk.operations() + 1 + changes % 7;
                again.disk.plan(next, Fault::PowerOff);
                let _ = again.open().map(|store| store.checkpoint());
                again = again.killed(changes as usize % 11);
                kills += 1;
            }
            again
                .judge(&mut model.clone(), came)
                .unwrap_or_else(|error| panic!("{changes} changes, depth {depth}: {error}"));
            kills += 1;
        }
    }
    println!("{kills} kills");
    assert!(kills > 300, "{kills}");
}

/// One data folder from kill to kill, chosen by chance: commits, checkpoints, exports, starts.
fn live(seed: u64, kills: u64) -> Result<(), String> {
    let mut dice = Dice(seed);
    let (mut machine, mut model, mut came) =
        (Machine::default(), Model::default(), Came::default());
    for _ in 0..kills {
        let now = machine.disk.operations();
        match dice.one_in(3) {
            true => machine.shelf.power_off_after(dice.below(200)),
            false => machine.disk.plan(now + 1 + dice.below(40), Fault::PowerOff),
        }
        if let Ok(store) = machine.open() {
            // Without a look: where it goes on is all that has to be known.
            let held = frames(&store)?;
            if held < came.acked || held > came.sent {
                return Err(format!("it goes on at {held}: {came:?}"));
            }
            came.sent = held;
            loop {
                let batch = 1 + dice.below(4);
                let frames = (came.sent + 1..=came.sent + batch).map(frame).collect();
                came.sent += batch;
                let Ok(sequence) = store.commit(frames) else {
                    break;
                };
                came.acked = sequence;
                let chance = dice.below(24);
                if (chance < 4 && store.checkpoint().is_err())
                    || (chance == 4 && store.export().is_err())
                {
                    break;
                }
            }
        }
        machine = machine.killed(dice.below(60) as usize);
        if !dice.one_in(3) {
            continue;
        }
        let held = machine.judge(&mut model, came)?;
        // What is seen once stays.
        came = Came {
            acked: held,
            sent: held,
        };
        machine = machine.killed(usize::MAX);
    }
    machine.judge(&mut model, came).map(drop)
}

/// `ROOKERY_CRASHES=5` makes it ten thousand.
#[test]
fn what_was_acknowledged_survives_two_thousand_kills() {
    let lives = times(200);
    for seed in 0..lives {
        live(seed, 10).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
    println!("{} kills", lives * 10);
}

#[test]
fn a_segment_is_named_before_it_is_used() {
    let machine = Machine::default();
    let store = machine.open().unwrap();
    for n in 1..=40 {
        store.commit(vec![frame(n)]).unwrap();
    }
    // The new segment is there, and the checkpoint that began it never ends.
    machine.shelf.power_off_after(3);
    store.checkpoint().unwrap_err();
    store.commit(vec![frame(41)]).unwrap();
    let machine = machine.killed(usize::MAX);
    let newest = |path: &PathBuf| path.extension().is_some_and(|it| it == "log");
    let newest = machine.disk.files().into_iter().rfind(newest).unwrap();
    machine.disk.lose(&newest);
    let noticed = machine.open().map(|store| store.sequence());
    assert!(noticed.is_err(), "frame 41 is gone, silently: {noticed:?}");
}
