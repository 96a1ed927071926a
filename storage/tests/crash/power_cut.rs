//! Power cuts on a simulated disk: everything that was not synced survives or not, sector by
//! sector and name by name. (Fault B06, and B04: cuts during recovery.)
//!
//! The same test with a mistake built into the file layer has to fail: so it can.

use std::{path::Path, sync::Arc};

use rookery_storage::{
    Options, ShelfChoice, Store, StoreError,
    testing::{Bug, Fault, MemoryShelf, SimulatedDisk},
};

use crate::workload::{Dice, Model, frame, sound, times, verify};

/// A mistake to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    None,
    /// In the file layer.
    Disk(Bug),
    /// In the engine: it acknowledges, then commits.
    AckFirst,
}

fn options(disk: &SimulatedDisk, shelf: &MemoryShelf) -> Options {
    Options {
        memtable: 30_000,
        segment: 20_000,
        background: false,
        disk: Arc::new(disk.clone()),
        shelf: ShelfChoice::Memory(shelf.clone()),
        ..Options::default()
    }
}

/// Seeds that once found a mistake.
const FOUND: [u64; 1] = [302];

/// One machine, from power cut to power cut.
struct Machine {
    dice: Dice,
    disk: SimulatedDisk,
    shelf: MemoryShelf,
    mistake: Mistake,
    model: Model,
    acked: u64,
    sent: u64,
    cuts: u64,
    /// The shelf was lost and not made anew since.
    lost: bool,
}

impl Machine {
    fn new(seed: u64, mistake: Mistake) -> Machine {
        let disk = SimulatedDisk::new();
        Machine {
            dice: Dice(seed),
            disk,
            shelf: MemoryShelf::new(),
            mistake,
            model: Model::default(),
            acked: 0,
            sent: 0,
            cuts: 0,
            lost: false,
        }
    }

    fn open(&self) -> Result<Store, rookery_storage::OpenError> {
        Store::open(Path::new("/data"), options(&self.disk, &self.shelf))
    }

    /// Plans the end of the power, and now and then another fault before it.
    fn plan(&mut self, within: u64) {
        let now = self.disk.operations();
        if let Mistake::Disk(bug) = self.mistake {
            self.disk.set_bug(Some(bug));
        }
        let fault = match self.dice.below(6) {
            0 => Some(Fault::SyncFails),
            1 => Some(Fault::ShortThenFull),
            2 => Some(Fault::WriteFails(std::io::ErrorKind::StorageFull)),
            _ => None,
        };
        if let Some(fault) = fault {
            self.disk.plan(now + 1 + self.dice.below(within), fault);
        }
        if self.dice.one_in(3) {
            self.shelf.power_off_after(self.dice.below(within * 8));
        } else {
            self.disk
                .plan(now + 1 + self.dice.below(within), Fault::PowerOff);
        }
    }

    /// The power is gone; some of what was not synced survived.
    fn cut(&mut self) {
        let odds = [0, 1, 50, 90, 100][self.dice.below(5) as usize];
        let mut dice = Dice(self.dice.next());
        self.disk = self.disk.after_power_cut(|| dice.below(100) < odds);
        self.shelf = self.shelf.after_power_cut(|| dice.below(100) < odds);
        // Now and then sled is beyond help.
        if self.dice.one_in(12) {
            self.shelf = MemoryShelf::new();
            self.lost = true;
        }
        self.cuts += 1;
    }

    /// Commits until the power goes.
    fn work(&mut self, store: &Store) {
        loop {
            let batch = 1 + self.dice.below(4);
            let frames = (self.sent + 1..=self.sent + batch).map(frame).collect();
            if self.mistake == Mistake::AckFirst {
                self.acked = self.sent + batch;
            }
            match store.commit(frames) {
                Ok(sequence) => {
                    assert_eq!(sequence, self.sent + batch);
                    self.sent = sequence;
                    self.acked = sequence;
                }
                // Refused, and nothing of it is there: it comes again.
                Err(StoreError::Full(_)) if !self.disk.is_off() => match store.checkpoint() {
                    Ok(()) | Err(StoreError::Full(_)) => continue,
                    Err(_) => return,
                },
                Err(_) => {
                    self.sent += batch;
                    return;
                }
            }
            if self.dice.one_in(9) && store.checkpoint().is_err() {
                return;
            }
            if self.dice.one_in(20) && store.export().is_err() {
                return;
            }
        }
    }

    /// A power cut alone never costs the shelf: it would hide mistakes of the checkpoint.
    fn check_repair(&self, store: &Store) -> Result<(), String> {
        match store.repaired() {
            Some(why) if !self.lost => Err(format!("made anew: {why}")),
            _ => Ok(()),
        }
    }

    /// Runs, loses power, recovers (perhaps losing power again), compares; several times over
    /// the same data.
    fn live(&mut self) -> Result<(), String> {
        for _ in 0..4 {
            self.plan(150);
            if let Ok(store) = self.open() {
                self.work(&store);
            }
            self.cut();
            while self.dice.one_in(2) {
                self.plan(12);
                if let Ok(store) = self.open() {
                    self.check_repair(&store)?;
                }
                self.cut();
            }
            let store = self
                .open()
                .map_err(|error| format!("does not open: {error}"))?;
            let held = verify(&store, &mut self.model, self.acked, self.sent)?;
            sound(&store)?;
            self.check_repair(&store)?;
            self.lost = false;
            drop(store);
            // What is seen once stays.
            (self.acked, self.sent) = (held, held);
        }
        Ok(())
    }
}

fn run(seeds: std::ops::Range<u64>, mistake: Mistake) -> Result<u64, String> {
    let mut cuts = 0;
    for seed in seeds {
        let mut machine = Machine::new(seed, mistake);
        machine
            .live()
            .map_err(|error| format!("seed {seed}: {error}"))?;
        cuts += machine.cuts;
    }
    Ok(cuts)
}

#[test]
fn what_was_acknowledged_survives_every_power_cut() {
    let found = FOUND.map(|seed| run(seed..seed + 1, Mistake::None).unwrap());
    let cuts = found.iter().sum::<u64>() + run(0..times(60), Mistake::None).unwrap();
    println!("{cuts} power cuts");
}

#[test]
fn seeded_mistakes_are_found() {
    let mistakes = [
        Mistake::AckFirst,
        Mistake::Disk(Bug::SkipSync(".log")),
        Mistake::Disk(Bug::SkipSync("mark.new")),
        Mistake::Disk(Bug::SkipSync(".part")),
        Mistake::Disk(Bug::SyncWrongFile),
        Mistake::Disk(Bug::SkipFolderSync),
        Mistake::Disk(Bug::HideShortWrite),
        Mistake::Disk(Bug::HideSyncError),
    ];
    for mistake in mistakes {
        match run(0..300, mistake) {
            Err(found) => println!("{mistake:?}: {found}"),
            Ok(cuts) => panic!("{mistake:?} was not found in {cuts} power cuts"),
        }
    }
}
