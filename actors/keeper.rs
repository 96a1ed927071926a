//! The Keeper owns the disk: one thread commits, two read, and the store has one that
//! checkpoints; none of them is a lane.
//!
//! All frames that wait are committed together with one sync; only then are their receipts settled
//! and the Hubs told. A disk that fails ends the server: fail-stop beats lying. A disk that is full
//! refuses what must last and nothing else.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;

use parking_lot::Mutex;
use rookery_protocol::error::Condition;
use rookery_storage::{Frame, Stats, Store, StoreError, Tree};
use smol_str::SmolStr;
use tokio::sync::oneshot;
use tracing::{error, warn};

use crate::effect::{Query, Row};
use crate::receipt::Receipt;

/// The most frames that share one sync: bounds the memory of a batch and the time to its receipts.
const BATCH: usize = 1024;
/// The most bytes of frames that share one sync.
const BATCH_BYTES: usize = 8 * 1024 * 1024;

/// Losses that were accepted at the start and are shown in the status; all are in the log.
const LOSSES: usize = 8;

/// How a commit ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Committed {
    /// On the disk.
    Durable,
    /// Refused, for want of space; nothing of it was written.
    Refused,
}

/// Who is told when a commit ended.
pub enum Tell {
    Nobody,
    /// The Hub of this bare JID: its commits up to this ticket have ended.
    Hub(SmolStr, u64),
    /// The same, but only if the commit was refused: nothing waits for it, yet memory is wrong.
    Refusal(SmolStr, u64),
    Caller(oneshot::Sender<Committed>),
}

struct Commit {
    frame: Frame,
    receipt: Receipt,
    tell: Tell,
}

/// What a reader does with the rows, or with `None` where the disk would not give them; must not
/// block.
pub type Then = Box<dyn FnOnce(Option<Vec<Row>>) + Send>;

struct ReadJob {
    queries: Vec<Query>,
    then: Then,
}

/// Tells a Hub that its commits up to a ticket have ended.
pub type TellHub = Box<dyn Fn(&str, u64, Committed) + Send>;
/// Ends the server; called once, with the reason, when the disk failed.
pub type Fatal = Arc<dyn Fn(&str) + Send + Sync>;

/// The handle on the disk's threads.
pub struct Keeper {
    store: Arc<Store>,
    commits: Sender<Option<Commit>>,
    reads: Sender<Option<ReadJob>>,
    readers: usize,
    waiting: Arc<AtomicU64>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// How often it was asked for rows.
    #[cfg(test)]
    pub asked: AtomicU64,
}

/// The ends of the Keeper's queues, before its threads run.
pub struct Idle {
    commits: Receiver<Option<Commit>>,
    reads: Receiver<Option<ReadJob>>,
}

impl Keeper {
    /// A Keeper with so many threads that read; they do not run yet: see [`Keeper::start`].
    pub fn new(store: Arc<Store>, readers: usize) -> (Keeper, Idle) {
        let (commits, waiting_commits) = mpsc::channel();
        let (reads, waiting_reads) = mpsc::channel();
        let keeper = Keeper {
            store,
            commits,
            reads,
            readers,
            waiting: Arc::default(),
            threads: Mutex::default(),
            #[cfg(test)]
            asked: AtomicU64::default(),
        };
        (
            keeper,
            Idle {
                commits: waiting_commits,
                reads: waiting_reads,
            },
        )
    }

    /// Starts the threads.
    pub fn start(&self, idle: Idle, tell: TellHub, fatal: Fatal) -> std::io::Result<()> {
        let mut threads = self.threads.lock();
        let mut spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new()
                .name(name.to_owned())
                .spawn(run)
                .map(|it| threads.push(it))
        };
        let store = Arc::clone(&self.store);
        let waiting = Arc::clone(&self.waiting);
        let commits = idle.commits;
        spawn(
            "commit",
            Box::new(move || {
                let work = AssertUnwindSafe(|| {
                    commit_loop(&store, &commits, &waiting, &tell, &fatal);
                });
                if catch_unwind(work).is_err() {
                    fatal("the commit thread panicked");
                    swallow(&commits, &waiting);
                }
            }),
        )?;
        let reads = Arc::new(Mutex::new(idle.reads));
        for _ in 0..self.readers {
            let store = Arc::clone(&self.store);
            let reads = Arc::clone(&reads);
            spawn("read", Box::new(move || read_loop(&store, &reads)))?;
        }
        Ok(())
    }

    /// Commits `frame`; then settles `receipt` and tells `tell`. An empty frame waits for those
    /// before it.
    pub fn commit(&self, mut frame: Frame, receipt: Receipt, tell: Tell) {
        if let Some((key, mark)) = receipt.mark() {
            frame.put(Tree::Sessions, key, mark);
        }
        #[cfg(feature = "seeded-bugs")]
        let receipt = match rookery_storage::seeded_bugs::is_on("ack-before-commit") {
            true => {
                receipt.settle();
                Receipt::none()
            }
            false => receipt,
        };
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let commit = Commit {
            frame,
            receipt,
            tell,
        };
        if self.commits.send(Some(commit)).is_err() {
            // The commit thread is gone with the server; the dropped receipt says lost.
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Commits `frame`, at once and not only when it is awaited; what it answers waits for the
    /// disk.
    pub fn committed(&self, frame: Frame) -> impl Future<Output = Committed> + use<> {
        let (tell, told) = oneshot::channel();
        self.commit(frame, Receipt::none(), Tell::Caller(tell));
        async move { told.await.unwrap_or(Committed::Refused) }
    }

    /// Reads, then calls `then` on a reader's thread. It sees the commits that ended before.
    pub fn read(&self, queries: Vec<Query>, then: impl FnOnce(Option<Vec<Row>>) + Send + 'static) {
        #[cfg(test)]
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self
            .reads
            .send(Some(ReadJob {
                queries,
                then: Box::new(then),
            }))
            .is_err()
        {
            warn!("a read came after the store was closed");
        }
    }

    /// Reads; the answer is `None` when the disk would not give them, or the server is stopping.
    pub async fn rows(&self, queries: Vec<Query>) -> Option<Vec<Row>> {
        let (answer, rows) = oneshot::channel();
        self.read(queries, move |rows| {
            // Nobody waits any more: the stream or Hub that asked is gone.
            let _ = answer.send(rows);
        });
        rows.await.ok().flatten()
    }

    /// Frames that wait for the disk.
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// The store, for figures and for start-up.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What is wrong with the store, in words, for an administrator; `stats` are its figures.
    pub fn problems(&self, stats: &Stats) -> Vec<String> {
        let mut problems = Vec::new();
        problems.extend(stats.dead.clone());
        if stats.stuck {
            problems.push("the last checkpoint failed: see the log".into());
        }
        problems.extend(stats.damage.iter().map(ToString::to_string));
        let unnamed = stats.damaged.saturating_sub(stats.damage.len() as u64);
        if unnamed > 0 {
            problems.push(format!("{unnamed} more findings: see the log"));
        }
        let losses = self.store.losses().iter().take(LOSSES);
        problems.extend(losses.map(|loss| format!("given up at the start: {loss}")));
        problems
    }

    /// Waits until all that was handed in is on disk, ends the threads and closes the store.
    pub fn stop(&self) {
        // `None` ends a thread; those that have ended already do not hear it.
        let _ = self.commits.send(None);
        for _ in 0..self.readers {
            let _ = self.reads.send(None);
        }
        for thread in self.threads.lock().drain(..) {
            if thread.join().is_err() {
                error!("a thread of the keeper panicked");
            }
        }
        if let Err(problem) = self.store.close() {
            error!(%problem, "the store was not closed cleanly; the journal has everything");
        }
    }
}

fn commit_loop(
    store: &Store,
    commits: &Receiver<Option<Commit>>,
    waiting: &AtomicU64,
    tell: &TellHub,
    fatal: &Fatal,
) {
    let mut stopping = false;
    while !stopping {
        let Ok(Some(first)) = commits.recv() else {
            return;
        };
        let mut batch = Batch::default();
        batch.push(first, tell);
        while batch.commits.len() < BATCH && batch.bytes < BATCH_BYTES && !stopping {
            match commits.try_recv() {
                Ok(Some(next)) => batch.push(next, tell),
                Ok(None) => stopping = true,
                Err(_) => break,
            }
        }
        waiting.fetch_sub(batch.taken, Ordering::Relaxed);
        let ended = match batch.frames.is_empty() {
            true => Committed::Durable,
            false => match store.commit(std::mem::take(&mut batch.frames)) {
                Ok(_) => Committed::Durable,
                Err(StoreError::Full(_)) => Committed::Refused,
                Err(problem) => {
                    error!(%problem, "the store failed");
                    // Nothing of this batch may be acknowledged, nothing after it may be written.
                    std::mem::forget(batch);
                    fatal(&problem.to_string());
                    return swallow(commits, waiting);
                }
            },
        };
        settle(batch.commits, ended, tell);
    }
}

/// The disk, or what writes to it, failed and the server ends. Nothing may be acknowledged any
/// more, not even as lost: an error might never reach its sender, who sends again what was not
/// acknowledged.
fn swallow(commits: &Receiver<Option<Commit>>, waiting: &AtomicU64) {
    while let Ok(Some(commit)) = commits.recv() {
        std::mem::forget(commit.receipt);
        waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Commits that share a sync.
#[derive(Default)]
struct Batch {
    commits: Vec<Commit>,
    frames: Vec<Frame>,
    bytes: usize,
    taken: u64,
}

impl Batch {
    /// Takes a commit in; one over the store's bounds is refused alone, so that it harms no other.
    fn push(&mut self, mut commit: Commit, tell: &TellHub) {
        self.taken += 1;
        if let Err(problem) = commit.frame.check() {
            error!(%problem, "a frame was refused");
            return settle(vec![commit], Committed::Refused, tell);
        }
        let frame = std::mem::take(&mut commit.frame);
        if !frame.is_empty() {
            self.bytes += frame.size();
            self.frames.push(frame);
        }
        self.commits.push(commit);
    }
}

/// Receipts first, then each Hub once, with its highest ticket; refusals each by itself.
fn settle(batch: Vec<Commit>, ended: Committed, tell: &TellHub) {
    let mut hubs: HashMap<SmolStr, u64> = HashMap::new();
    for commit in batch {
        match ended {
            Committed::Durable => commit.receipt.settle(),
            Committed::Refused => commit.receipt.refuse(Condition::ResourceConstraint),
        }
        match commit.tell {
            Tell::Nobody => {}
            Tell::Hub(hub, ticket) | Tell::Refusal(hub, ticket) if ended == Committed::Refused => {
                tell(&hub, ticket, ended);
            }
            Tell::Refusal(..) => {}
            Tell::Hub(hub, ticket) => {
                let highest = hubs.entry(hub).or_default();
                *highest = ticket.max(*highest);
            }
            Tell::Caller(caller) => {
                let _ = caller.send(ended);
            }
        }
    }
    for (hub, ticket) in hubs {
        tell(&hub, ticket, ended);
    }
}

fn read_loop(store: &Store, reads: &Mutex<Receiver<Option<ReadJob>>>) {
    loop {
        let job = reads.lock().recv();
        let Ok(Some(job)) = job else { return };
        let work = AssertUnwindSafe(|| {
            let rows = job.queries.iter().map(|query| query.rows(store));
            let rows: Result<Vec<Vec<Row>>, _> = rows.collect();
            match rows {
                Ok(rows) => (job.then)(Some(rows.concat())),
                Err(problem) => {
                    error!(%problem, "a read failed");
                    (job.then)(None);
                }
            }
        });
        if catch_unwind(work).is_err() {
            error!("a read, or what was to follow it, panicked");
        }
    }
}

#[cfg(test)]
mod tests;
