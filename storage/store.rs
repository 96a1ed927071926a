//! The store, as the rest of the server sees it.

use std::{
    fmt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{
    background,
    disk::{Disk, RealDisk},
    error::{Loss, OpenError, StoreError},
    frame::Frame,
    key::KeyRange,
    read::{Direction, KeyValue},
    recovery,
    scrub::{Damage, ScrubReport},
    shelf::MemoryShelf,
    testing::SimulatedDisk,
    tree::{PARTS, Tree},
    vault::Vault,
};

/// How a store is opened. The defaults are for a running server.
#[derive(Clone, Debug)]
pub struct Options {
    /// Go on although something that was acknowledged is missing. Default no.
    pub accept_loss: bool,
    /// Make sled anew from export and journal although it opens. Default no.
    pub rebuild: bool,
    /// How often the rows are exported while the thread runs, for a rebuild; `None`: never, and
    /// the journal is kept only as long as a crash needs it. Default daily.
    pub export_every: Option<Duration>,
    /// The size of the journal at which an export is started early, in bytes; twice that and
    /// the journal is shortened without one. Default 128 MiB.
    pub export_journal: u64,
    /// The size at which the memtable is frozen, in bytes; two may exist. Default 8 MiB.
    pub memtable: usize,
    /// sled's `cache_capacity` in bytes; it takes two to three times that. Default 32 MiB.
    pub cache: u64,
    /// Free bytes on the disk under which nothing is stored. Default 64 MiB.
    pub floor: u64,
    /// The size at which a journal segment ends, in bytes. Default 16 MiB.
    pub segment: u64,
    /// How long a commit stays out of sled at most. Default 2 s.
    pub checkpoint_every: Duration,
    /// Whether a thread of the store does checkpoints and scrubs. Default yes; without it call
    /// [`Store::checkpoint`].
    pub background: bool,
    /// The file layer under the journal.
    pub disk: Arc<dyn Disk>,
    /// What lies under the memtable.
    pub shelf: ShelfChoice,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            accept_loss: false,
            rebuild: false,
            export_every: Some(Duration::from_secs(24 * 3_600)),
            export_journal: 128 << 20,
            memtable: 8 << 20,
            cache: 32 << 20,
            floor: 64 << 20,
            segment: 16 << 20,
            checkpoint_every: Duration::from_secs(2),
            background: true,
            disk: Arc::new(RealDisk),
            shelf: ShelfChoice::Sled,
        }
    }
}

/// What lies under the memtable.
#[derive(Clone, Debug, Default)]
pub enum ShelfChoice {
    /// sled, in the folder `sled`.
    #[default]
    Sled,
    /// A map in memory, for tests.
    Memory(MemoryShelf),
}

/// A store that is open. Share it in an [`Arc`]: any thread may read while one commits and one
/// checkpoints.
///
/// Dropping it without [`Store::close`] is what a crash would be: nothing committed is lost, the
/// next open replays it.
pub struct Store {
    vault: Arc<Vault>,
    thread: Option<JoinHandle<()>>,
}

impl Store {
    /// Opens the store in a folder, or makes one where nothing is. Replays what was committed
    /// and is not in sled yet. Takes milliseconds for an empty store, under a second for a
    /// million rows.
    pub fn open(folder: &Path, options: Options) -> Result<Store, OpenError> {
        let vault = Arc::new(recovery::open(folder, options)?);
        let thread = match vault.options.background {
            false => None,
            true => {
                let vault = vault.clone();
                let builder = thread::Builder::new().name("checkpoint".into());
                let spawned = builder.spawn(move || background::run(&vault));
                Some(spawned.map_err(OpenError::io(folder))?)
            }
        };
        Ok(Store { vault, thread })
    }

    /// A store in memory, for tests: no files, no threads, gone when dropped.
    pub fn temporary() -> Store {
        let options = Options {
            background: false,
            disk: Arc::new(SimulatedDisk::new()),
            shelf: ShelfChoice::Memory(MemoryShelf::new()),
            ..Options::default()
        };
        // Nothing in it can fail: the disk is simulated and told to be well.
        Store::open(Path::new("/temporary"), options).expect("a store in memory opens")
    }

    /// Makes the frames durable, in their order, with one `fdatasync` for all; then they are
    /// visible to reads. Blocks meanwhile: call it from one thread, with all that waits.
    /// Returns the sequence number of the last frame; empty ones have none and cost nothing.
    ///
    /// All or nothing: after an error other than `Fatal` nothing of the batch is stored; after
    /// `Fatal` some of it may appear with the next open, and nothing more can be stored before.
    /// After `TooLarge`, `NotACounter` or `Damaged` one frame is to blame: commit them singly.
    pub fn commit(&self, frames: Vec<Frame>) -> Result<u64, StoreError> {
        self.vault.commit(frames)
    }

    /// The value of a row.
    pub fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.vault.get(tree, key)
    }

    /// The value of a counter row (see [`Frame::add`]); 0 if there is none.
    pub fn counter(&self, tree: Tree, key: &[u8]) -> Result<i64, StoreError> {
        self.vault.counter(tree, key)
    }

    /// Up to `limit` rows of a range, as of one moment. Fewer: the range has no more. For the
    /// next page see [`KeyRange::after`] and [`KeyRange::before`].
    pub fn range(
        &self,
        tree: Tree,
        range: &KeyRange,
        limit: usize,
        direction: Direction,
    ) -> Result<Vec<KeyValue>, StoreError> {
        self.vault.range(tree, range, limit, direction)
    }

    /// The last durable sequence number; 0: nothing was ever committed.
    pub fn sequence(&self) -> u64 {
        self.vault.gauges.read().sequence
    }

    /// Brings everything committed so far to sled and shortens the journal. The background
    /// thread does it by itself. Commits and reads go on meanwhile.
    pub fn checkpoint(&self) -> Result<(), StoreError> {
        self.vault.checkpoint()
    }

    /// Compares all of sled with its checksums and tallies: after a repair, or on demand. Reads
    /// go on meanwhile, and commits while the memtables have room.
    pub fn scrub(&self) -> Result<ScrubReport, StoreError> {
        self.vault.scrub_all()
    }

    /// Looks at up to `rows` rows and remembers where it was; the report when a round is
    /// complete. The background thread does it by itself, a little at a time.
    pub fn scrub_some(&self, rows: usize) -> Option<ScrubReport> {
        self.vault.scrub_some(rows)
    }

    /// Copies all rows into a new export file and shortens the journal to what follows it. The
    /// background thread does it by itself. Everything else goes on meanwhile.
    pub fn export(&self) -> Result<(), StoreError> {
        self.vault.export_all()
    }

    /// Writes a backup of everything committed before into an empty folder, while everything
    /// else goes on. To restore it, open the folder, or a copy of it, as a store. An error is
    /// always `Full`, with the reason: nothing that was promised depends on it.
    pub fn backup(&self, folder: &Path) -> Result<(), StoreError> {
        self.vault.backup(folder)
    }

    /// Why sled was made anew from export and journal at opening, if it was.
    pub fn repaired(&self) -> Option<&str> {
        self.vault.repaired.as_deref()
    }

    /// What was given up at opening with `accept_loss`.
    pub fn losses(&self) -> &[Loss] {
        &self.vault.losses
    }

    /// Figures for status and metrics. Never waits for the disk: what only the disk knows is as of
    /// the last checkpoint or step of the scrub, so at most some ten seconds old.
    pub fn stats(&self) -> Stats {
        let vault = &*self.vault;
        let gauges = *vault.gauges.read();
        let memtable_bytes = {
            let tables = vault.tables.read();
            let frozen = tables
                .frozen
                .as_ref()
                .map_or(0, |frozen| frozen.table.bytes());
            tables.active.bytes() + frozen
        };
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let findings = vault.findings.read().clone();
        let counters = &vault.counters;
        Stats {
            sequence: gauges.sequence,
            checkpointed: gauges.checkpointed,
            rows: Tree::ALL.map(|tree| (tree, gauges.rows[tree.slot()])),
            parts: gauges.rows[PARTS],
            memtable_bytes,
            journal_bytes: gauges.journal_bytes,
            segments: gauges.segments,
            sled_bytes: gauges.sled_bytes,
            free_bytes: gauges.free_bytes,
            frames: read(&counters.frames),
            syncs: gauges.syncs,
            refused: read(&counters.refused),
            checkpoints: read(&counters.checkpoints),
            failed_checkpoints: read(&counters.failed_checkpoints),
            reopened: read(&counters.reopened),
            damaged: findings.damaged,
            damage: findings.damage,
            stuck: flag(&vault.stuck),
            dead: vault.dead.get().map(StoreError::to_string),
        }
    }

    /// Brings everything to sled and ends. A later open has nothing to replay and notices even
    /// the loss of the last commit. Commits are refused from now on; reads still work.
    pub fn close(&self) -> Result<(), StoreError> {
        let result = self.vault.checkpoint();
        match result {
            Err(StoreError::Closed) => Ok(()),
            result => {
                self.vault.closed.store(true, Ordering::Release);
                self.wake();
                result
            }
        }
    }

    fn wake(&self) {
        // Under the lock under which they look and then wait.
        drop(self.vault.journal.lock());
        self.vault.work.notify_all();
        self.vault.room.notify_all();
    }
}

fn flag(flag: &AtomicBool) -> bool {
    flag.load(Ordering::Acquire)
}

impl Drop for Store {
    fn drop(&mut self) {
        self.vault.closed.store(true, Ordering::Release);
        self.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("folder", &self.vault.folder)
            .finish_non_exhaustive()
    }
}

/// Figures of a store. Counts are since it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stats {
    /// The last durable sequence number.
    pub sequence: u64,
    /// The last sequence number that is in sled.
    pub checkpointed: u64,
    /// Rows of each tree in sled.
    pub rows: [(Tree, u64); 8],
    /// Parts of long values in sled.
    pub parts: u64,
    /// Bytes of both memtables.
    pub memtable_bytes: usize,
    /// Bytes of all journal segments.
    pub journal_bytes: u64,
    /// How many journal segments there are.
    pub segments: usize,
    /// Bytes of sled's file.
    pub sled_bytes: u64,
    /// Free bytes of the disk, if it tells.
    pub free_bytes: Option<u64>,
    /// Frames committed.
    pub frames: u64,
    /// Groups they were synced in.
    pub syncs: u64,
    /// Commits refused for want of room.
    pub refused: u64,
    /// Checkpoints done.
    pub checkpoints: u64,
    /// Checkpoints failed.
    pub failed_checkpoints: u64,
    /// How often sled had to be opened again.
    pub reopened: u64,
    /// How many things the scrub knows to be wrong: in its round under way or, while that has
    /// found nothing, in the last one.
    pub damaged: u64,
    /// The first of them, eight at most.
    pub damage: Vec<Damage>,
    /// Whether the last checkpoint failed.
    pub stuck: bool,
    /// Why nothing can be stored any more.
    pub dead: Option<String>,
}

#[cfg(test)]
mod tests;
