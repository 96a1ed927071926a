//! The inside of a store: what its threads share.
//!
//! Locks are taken in this order: books (one checkpoint, scrub or export at a time), journal
//! (one commit at a time), tables (shortly). Reads take only the last.

use std::{
    any::Any,
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use parking_lot::{Condvar, Mutex, RwLock};

use crate::{
    checkpoint::Books,
    commit,
    disk::Disk,
    error::{Loss, StoreError},
    frame::Frame,
    journal::Journal,
    mark::Mark,
    memtable::Tables,
    scrub::Damage,
    shelf::Shelf,
    store::Options,
    tree::SLOTS,
};

pub(crate) struct Vault {
    pub(crate) options: Options,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) folder: PathBuf,
    pub(crate) journal_folder: PathBuf,
    pub(crate) shelf: Box<dyn Shelf>,
    pub(crate) books: Mutex<Books>,
    pub(crate) journal: Mutex<Journal>,
    pub(crate) tables: RwLock<Tables>,
    /// With the journal's lock: the frozen table is gone, or will not go.
    pub(crate) room: Condvar,
    /// With the journal's lock: there is something to checkpoint.
    pub(crate) work: Condvar,
    /// The last checkpoint failed.
    pub(crate) stuck: AtomicBool,
    pub(crate) closed: AtomicBool,
    /// Why no commit will ever succeed again.
    pub(crate) dead: OnceLock<StoreError>,
    pub(crate) counters: Counters,
    /// What the journal's and the books' locks, or the disk, would hide while it is slow.
    pub(crate) gauges: RwLock<Gauges>,
    /// What the scrub knows to be wrong.
    pub(crate) findings: RwLock<Findings>,
    /// What was given up at opening, with `accept_loss`.
    pub(crate) losses: Vec<Loss>,
    /// Why sled was made anew at opening.
    pub(crate) repaired: Option<String>,
    /// sled should be compared with its tallies before anything is done with it.
    pub(crate) doubtful: bool,
    /// Keeps other processes out of the folder.
    pub(crate) _lock: Box<dyn Any + Send + Sync>,
}

/// The last known figures.
#[derive(Clone, Copy, Default)]
pub(crate) struct Gauges {
    pub(crate) sequence: u64,
    pub(crate) syncs: u64,
    pub(crate) journal_bytes: u64,
    pub(crate) segments: usize,
    pub(crate) checkpointed: u64,
    pub(crate) rows: [u64; SLOTS],
    pub(crate) sled_bytes: u64,
    pub(crate) free_bytes: Option<u64>,
}

/// The findings of the round of the scrub under way; while it has none, of the last whole one.
#[derive(Clone, Default)]
pub(crate) struct Findings {
    pub(crate) damaged: u64,
    /// The first of them.
    pub(crate) damage: Vec<Damage>,
}

/// Things counted since the store was opened.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) frames: AtomicU64,
    pub(crate) checkpoints: AtomicU64,
    pub(crate) failed_checkpoints: AtomicU64,
    pub(crate) reopened: AtomicU64,
    pub(crate) refused: AtomicU64,
}

impl Vault {
    pub(crate) fn commit(&self, frames: Vec<Frame>) -> Result<u64, StoreError> {
        self.health()?;
        frames.iter().try_for_each(Frame::check)?;
        let mut frames = frames;
        frames.retain(|frame| !frame.is_empty());
        if frames.is_empty() {
            return Ok(self.gauges.read().sequence);
        }
        let mut journal = self.journal.lock();
        self.health()?;
        self.room_on_disk(&frames)?;
        self.room_in_memory(&mut journal)?;
        commit::make_absolute(self, &mut frames)?;
        let group = journal.append(&frames).map_err(|error| self.fail(error))?;
        self.counters
            .frames
            .fetch_add(frames.len() as u64, Ordering::Relaxed);
        self.gauge_journal(&journal);
        let mut tables = self.tables.write();
        let first = tables.active.is_empty();
        tables.active.apply(group);
        drop(tables);
        if first {
            self.work.notify_one();
        }
        Ok(journal.sequence())
    }

    /// Refuses under the floor, so that neither journal nor sled meets the end of the disk.
    /// What only removes may go to half the floor: it is what makes room.
    fn room_on_disk(&self, frames: &[Frame]) -> Result<(), StoreError> {
        let free = match self.disk.free(&self.folder) {
            Ok(free) => free,
            Err(error) => return Err(StoreError::Full(format!("free space unknown: {error}"))),
        };
        let floor = self.options.floor;
        let floor = if frames.iter().all(Frame::only_deletes) {
            floor / 2
        } else {
            floor
        };
        if free >= floor {
            return Ok(());
        }
        self.counters.refused.fetch_add(1, Ordering::Relaxed);
        Err(StoreError::Full(format!(
            "{free} bytes free, the floor is {floor}"
        )))
    }

    /// Waits while both memtables are full; refuses if the feed does not get on.
    fn room_in_memory(
        &self,
        journal: &mut parking_lot::MutexGuard<'_, Journal>,
    ) -> Result<(), StoreError> {
        loop {
            let (bytes, frozen) = {
                let tables = self.tables.read();
                (tables.active.bytes(), tables.frozen.is_some())
            };
            if bytes < self.options.memtable {
                return Ok(());
            }
            if !frozen {
                self.freeze(journal);
                self.work.notify_one();
                return Ok(());
            }
            if self.options.background && self.stuck.load(Ordering::Acquire) {
                self.counters.refused.fetch_add(1, Ordering::Relaxed);
                return Err(StoreError::Full("sled takes nothing any more".into()));
            }
            if self.options.background {
                self.work.notify_one();
                self.room.wait(journal);
                self.health()?;
            } else {
                parking_lot::MutexGuard::unlocked(journal, || self.checkpoint())?;
            }
        }
    }

    /// Whether commits may be tried at all.
    pub(crate) fn health(&self) -> Result<(), StoreError> {
        if let Some(error) = self.dead.get() {
            return Err(error.clone());
        }
        if self.closed.load(Ordering::Acquire) {
            return Err(StoreError::Closed);
        }
        Ok(())
    }

    pub(crate) fn gauge_journal(&self, journal: &Journal) {
        let (journal_bytes, segments) = journal.size();
        let gauges = &mut *self.gauges.write();
        gauges.sequence = journal.sequence();
        gauges.syncs = journal.syncs();
        (gauges.journal_bytes, gauges.segments) = (journal_bytes, segments);
    }

    pub(crate) fn gauge_mark(&self, mark: &Mark) {
        let gauges = &mut *self.gauges.write();
        gauges.checkpointed = mark.sequence;
        gauges.rows = mark.tallies.map(|tally| tally.rows);
    }

    /// Asks the disk for the figures that only it knows; waits for it.
    pub(crate) fn measure(&self) {
        let sled_bytes = self.shelf.size();
        let free_bytes = self.disk.free(&self.folder).ok();
        let gauges = &mut *self.gauges.write();
        (gauges.sled_bytes, gauges.free_bytes) = (sled_bytes, free_bytes);
    }

    /// Remembers a fatal error; gives the error that counts from now on.
    pub(crate) fn fail(&self, error: StoreError) -> StoreError {
        if !matches!(error, StoreError::Fatal(_)) {
            return error;
        }
        tracing::error!(%error, "the store refuses everything from here on");
        let first = self.dead.get_or_init(|| error).clone();
        self.room.notify_all();
        self.work.notify_all();
        first
    }

    /// Tells those who wait how a checkpoint ended.
    pub(crate) fn checkpointed(&self, result: &Result<(), StoreError>) {
        let failed = result.is_err();
        self.stuck.store(failed, Ordering::Release);
        if let Err(error) = result {
            self.counters
                .failed_checkpoints
                .fetch_add(1, Ordering::Relaxed);
            tracing::error!(%error, "checkpoint failed");
            // Under the lock under which a commit looks and then waits.
            drop(self.journal.lock());
            self.room.notify_all();
        }
    }
}
