//! The store's own thread: checkpoints when there is something to bring to sled, and a slow
//! scrub in between. It sleeps while nothing happens.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use crate::vault::Vault;

/// Between two steps of the scrub.
const SCRUB_PAUSE: Duration = Duration::from_secs(10);
/// Rows of one step: a million rows take half a day.
const SCRUB_ROWS: usize = 256;
/// Between two rounds of the scrub.
const SCRUB_REST: Duration = Duration::from_secs(24 * 3_600);
/// After a failed checkpoint.
const RETRY: Duration = Duration::from_secs(1);

/// Between two slices of an export.
const EXPORT_PAUSE: Duration = Duration::from_millis(10);
/// Between two looks whether an export is wanted.
const EXPORT_LOOK: Duration = Duration::from_secs(60);

/// When what is due.
struct Timetable {
    scrub: Instant,
    /// The next slice of an export, or look whether one is wanted.
    export: Option<Instant>,
    /// Not before that, after a failed checkpoint.
    retry: Option<Instant>,
}

/// Runs until the store is closed or dead.
pub(crate) fn run(vault: &Vault) {
    let begun = Instant::now();
    let every = vault.options.export_every;
    let mut daily = every.map(|every| begun + every);
    let mut exporting = false;
    let export = every.map(|_| begun + EXPORT_LOOK);
    let mut times = Timetable {
        scrub: begun + SCRUB_PAUSE,
        export,
        retry: None,
    };
    while let Some(task) = next_task(vault, &times) {
        match task {
            Task::Checkpoint => {
                let failed = vault.checkpoint().is_err();
                times.retry = failed.then(|| Instant::now() + RETRY);
            }
            Task::Scrub => {
                vault.measure();
                let done = vault.scrub_some(SCRUB_ROWS).is_some();
                times.scrub = Instant::now() + if done { SCRUB_REST } else { SCRUB_PAUSE };
            }
            Task::Export => {
                let due = daily.is_some_and(|daily| daily <= Instant::now());
                let stale = due && vault.export_stale();
                exporting = (exporting || stale || vault.export_wanted()) && export_on(vault);
                if due {
                    daily = every.map(|every| Instant::now() + every);
                }
                let pause = if exporting { EXPORT_PAUSE } else { EXPORT_LOOK };
                times.export = Some(Instant::now() + pause);
            }
        }
    }
}

/// One slice. Whether there is more.
fn export_on(vault: &Vault) -> bool {
    match vault.export_some() {
        Ok(done) => !done,
        Err(error) => {
            tracing::warn!(%error, "the export was given up");
            false
        }
    }
}

enum Task {
    Checkpoint,
    Scrub,
    Export,
}

/// Waits for the next task; `None`: the end.
fn next_task(vault: &Vault, times: &Timetable) -> Option<Task> {
    let mut journal = vault.journal.lock();
    let mut since = None;
    loop {
        if vault.closed.load(Ordering::Acquire) || vault.dead.get().is_some() {
            return None;
        }
        let (frozen, active) = {
            let tables = vault.tables.read();
            (tables.frozen.is_some(), !tables.active.is_empty())
        };
        let now = Instant::now();
        let mut until = times
            .export
            .map_or(times.scrub, |export| export.min(times.scrub));
        if frozen || active {
            let begun = *since.get_or_insert(now);
            let due = if frozen {
                now
            } else {
                begun + vault.options.checkpoint_every
            };
            let due = times.retry.map_or(due, |retry| due.max(retry));
            if due <= now {
                return Some(Task::Checkpoint);
            }
            until = until.min(due);
        }
        if times.export.is_some_and(|export| export <= now) {
            return Some(Task::Export);
        }
        if times.scrub <= now {
            return Some(Task::Scrub);
        }
        vault.work.wait_until(&mut journal, until);
    }
}
