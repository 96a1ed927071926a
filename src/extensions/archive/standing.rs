//! How an archive stands: how much is in it, and what has to go.

use std::collections::BTreeSet;
use std::time::Duration;

use rookery_actors::effect::{Effects, Millis, Query, Row};
use rookery_actors::keys::{self, AccountId, Kind};
use rookery_config::settings::Archive as Bounds;
use rookery_storage::record::{self, Record, decode, encode};
use rookery_storage::{KeyRange, Tree};
use serde::{Deserialize, Serialize};
use tracing::{error, warn};

use super::trail;
use crate::kept::{Message, MessageId, Place};

/// One row: how the archive stands.
pub(super) const STANDING: Kind = Kind(0x12);
/// One row while what its owner deleted is being removed.
pub(super) const FLOOR: Kind = Kind(0x19);

/// How long ids are given away ahead of the row that says so. Ids may run ahead of the clock by
/// as much after a quick restart.
pub(super) const AHEAD: Millis = 5_000;

/// Between two looks for what is too old.
pub(super) const DAY: Millis = 24 * 60 * 60 * 1000;
/// Rows looked at in one go when old ones are removed: the Hub waits meanwhile.
pub(super) const SLICE: usize = 256;
/// How long after the first change of the numbers they are written, with what has changed since.
const SETTLING: Duration = Duration::from_secs(6);
/// How long removing waits, so that it does not hold up the message that asked for it.
const PAUSE: Duration = Duration::from_secs(1);
/// The same while its owner waits for what he deleted to be gone.
const SHORT_PAUSE: Duration = Duration::from_millis(20);

/// How an archive stands, as far as it is written down: up to [`SETTLING`] behind the truth, so the
/// numbers may miss a few messages after a crash.
#[derive(Serialize, Deserialize, Default, Debug, PartialEq)]
pub(super) struct Standing {
    /// Ids up to this time may have been given away.
    pub until: Millis,
    pub items: u64,
    pub bytes: u64,
    /// When old messages were last looked for.
    pub trimmed: Millis,
    /// Messages that the index by contact does not name.
    pub loose: u32,
}

impl Record for Standing {
    const VERSION: u8 = 2;

    fn upgrade(version: u8, body: &[u8]) -> Option<Standing> {
        let old: StandingV1 = record::body(body).filter(|_| version == 1)?;
        Some(Standing {
            until: old.until,
            items: old.items,
            bytes: old.bytes,
            trimmed: old.trimmed,
            loose: u32::try_from(old.items).unwrap_or(u32::MAX),
        })
    }
}

/// Before there was an index.
#[derive(Serialize, Deserialize)]
struct StandingV1 {
    until: Millis,
    items: u64,
    bytes: u64,
    trimmed: Millis,
}

/// What its owner deleted.
#[derive(Serialize, Deserialize, Debug, PartialEq, Clone, Copy)]
pub(super) struct Floor {
    /// The number of the last id that is deleted, and with it all before.
    pub upto: u128,
}

impl Record for Floor {
    const VERSION: u8 = 1;
}

/// The size of an archive, and its bounds at work.
#[derive(Default)]
pub(super) struct Shelf {
    /// What may be in it; the oldest go first (XEP-0313 §3.2).
    bounds: Bounds,
    pub standing: Standing,
    pub floor: Option<Floor>,
    pub is_trimming: bool,
    /// The oldest messages are being read.
    is_reading: bool,
    /// The numbers have changed since they were written, and somebody will be woken for it.
    is_unsettled: bool,
}

impl Shelf {
    /// Nothing yet.
    pub fn new(bounds: Bounds) -> Shelf {
        Shelf {
            bounds,
            ..Shelf::default()
        }
    }

    /// Its rows could not be read: the next message has it tried again.
    pub fn unread(&mut self) {
        self.is_trimming = false;
        self.is_reading = false;
    }

    /// Takes a row of the kinds [`STANDING`] and [`FLOOR`].
    pub fn load(&mut self, kind: Kind, value: &[u8]) {
        let problem = match kind {
            STANDING => decode(value).map(|standing| self.standing = standing),
            _ => decode(value).map(|floor| self.floor = Some(floor)),
        };
        if let Err(problem) = problem {
            error!(%problem, "the state of an archive cannot be read");
        }
    }

    /// The number below which nothing is shown any more.
    pub fn start(&self) -> u128 {
        self.floor.map_or(0, |floor| floor.upto.saturating_add(1))
    }

    /// The first and the last message: what [`super::ends::metadata`] is made of.
    pub fn ends(&self, account: AccountId) -> Vec<Query> {
        let end = |backwards| Query::Range {
            tree: Tree::Archive,
            range: rows(account, self.start(), u128::MAX),
            limit: 1,
            backwards,
        };
        vec![end(false), end(true)]
    }

    /// How many messages there are, as far as that is known.
    pub fn count(&self) -> Option<u64> {
        self.floor.is_none().then_some(self.standing.items)
    }

    /// A message of `size` bytes has come to stay.
    pub fn add(&mut self, size: usize, fx: &mut Effects) {
        self.standing.items += 1;
        self.standing.bytes += size as u64;
        self.standing.loose = self.standing.loose.saturating_add(1);
        if !std::mem::replace(&mut self.is_unsettled, true) {
            fx.wake(SETTLING);
        }
        if self.standing.trimmed == 0 {
            self.standing.trimmed = fx.now;
        }
        let is_due = self.is_over(0) || fx.now >= self.standing.trimmed + DAY;
        if is_due {
            self.begin(fx);
        }
    }

    /// A message of `before` bytes has `after` bytes now.
    pub fn resize(&mut self, before: usize, after: usize) {
        let bytes = self.standing.bytes.saturating_sub(before as u64);
        self.standing.bytes = bytes + after as u64;
    }

    /// Of `read` messages that the index did not name it names so many now; if none, they are all
    /// that there are.
    pub fn entered(&mut self, entered: usize, read: usize) {
        self.standing.loose = match entered {
            0 => u32::try_from(read).unwrap_or(u32::MAX),
            _ => self.standing.loose.saturating_sub(entered as u32),
        };
    }

    /// So many messages that the index does not name were met: there are as many at least.
    pub fn found_loose(&mut self, found: usize) {
        let found = u32::try_from(found).unwrap_or(u32::MAX);
        self.standing.loose = self.standing.loose.max(found);
    }

    /// Deletes everything up to this number: at once nobody sees it any more, and soon it is gone.
    pub fn delete(&mut self, upto: u128, account: AccountId, fx: &mut Effects) {
        let floor = Floor {
            upto: upto.max(self.floor.map_or(0, |floor| floor.upto)),
        };
        self.floor = Some(floor);
        write(&floor, FLOOR, account, fx);
        self.begin(fx);
    }

    /// Goes on with what was not finished before the server stopped.
    pub fn resume(&mut self, fx: &mut Effects) {
        if self.floor.is_some() {
            self.begin(fx);
        }
    }

    /// Writes what has changed; the oldest rows, to be given to [`Shelf::trim`], if it is time to
    /// look at them.
    pub fn woken(&mut self, account: AccountId, fx: &mut Effects) -> Option<Query> {
        if std::mem::take(&mut self.is_unsettled) {
            self.write(account, fx);
        }
        if !self.is_trimming || std::mem::replace(&mut self.is_reading, true) {
            return None;
        }
        Some(Query::Range {
            tree: Tree::Archive,
            range: rows(account, 0, u128::MAX),
            limit: SLICE,
            backwards: false,
        })
    }

    /// Removes those of the oldest `rows` that are too old, too many or deleted.
    pub fn trim(&mut self, rows: Vec<Row>, account: AccountId, fx: &mut Effects) {
        self.is_reading = false;
        let read = rows.len();
        let removed = self.remove(rows, account, fx);
        if read == SLICE && removed == SLICE {
            return fx.wake(self.pause());
        }
        self.is_trimming = false;
        self.standing.trimmed = fx.now;
        if 0 < read && read < SLICE && removed == read {
            // Nothing is left: what was miscounted after crashes is set right.
            (
                self.standing.items,
                self.standing.bytes,
                self.standing.loose,
            ) = (0, 0, 0);
        }
        let items = u32::try_from(self.standing.items).unwrap_or(u32::MAX);
        self.standing.loose = self.standing.loose.min(items);
        if self.floor.take().is_some() {
            fx.delete(Tree::Account, keys::row(account, FLOOR, &[]));
        }
        self.write(account, fx);
    }

    /// Ids up to `time` may be given away.
    pub fn reserve(&mut self, time: Millis, account: AccountId, fx: &mut Effects) {
        if time >= self.standing.until {
            // In a frame of this Hub, which goes to the disk before the one that holds the id.
            self.standing.until = time + AHEAD;
            self.write(account, fx);
        }
    }

    fn begin(&mut self, fx: &mut Effects) {
        if !std::mem::replace(&mut self.is_trimming, true) {
            fx.wake(self.pause());
        }
    }

    fn pause(&self) -> Duration {
        match self.floor {
            Some(_) => SHORT_PAUSE,
            None => PAUSE,
        }
    }

    fn remove(&mut self, rows: Vec<Row>, account: AccountId, fx: &mut Effects) -> usize {
        let mut removed = 0;
        let mut contacts = BTreeSet::new();
        let mut last = 0;
        let keep = self.bounds.keep.as_millis() as Millis;
        let was_over = self.is_over(0);
        for (key, value) in rows {
            let Some((_, id)) = MessageId::of_key(&key) else {
                break;
            };
            let is_deleted = id.number() < self.start();
            let is_old = id.time() + keep < fx.now;
            // Under the bounds by a hundredth, so as not to be here again with the next message.
            let is_too_much = was_over && self.is_over(100);
            if !is_deleted && !is_old && !is_too_much {
                break;
            }
            self.standing.items = self.standing.items.saturating_sub(1);
            self.standing.bytes = self.standing.bytes.saturating_sub(value.len() as u64);
            if let Ok(message) = decode::<Message>(&value) {
                contacts.insert(trail::bare(&message.peer).to_owned());
            }
            last = id.number();
            fx.delete(Tree::Archive, key);
            removed += 1;
        }
        for contact in contacts {
            // What names nothing else.
            let range = trail::range(account, &contact, 0, last.saturating_add(1));
            fx.rows.delete_range(Tree::Archive, range);
        }
        removed
    }

    /// Whether the archive is over its bounds less one part in `margin` (0: over the bounds).
    fn is_over(&self, margin: u64) -> bool {
        let less = |bound: u64| bound - bound.checked_div(margin).unwrap_or(0);
        let (items, bytes) = (self.bounds.messages, self.bounds.size.as_u64());
        self.standing.items > less(items) || self.standing.bytes > less(bytes)
    }

    fn write(&self, account: AccountId, fx: &mut Effects) {
        write(&self.standing, STANDING, account, fx);
    }
}

/// The messages of an archive whose ids have the numbers from `from` up to `to`, without it.
pub(super) fn rows(account: AccountId, from: u128, to: u128) -> KeyRange {
    let kind = Place::Archive.kind();
    let key = |number: u128| keys::row(account, kind, &number.to_be_bytes());
    KeyRange::between(key(from), key(to))
}

fn write<R: Record>(record: &R, kind: Kind, account: AccountId, fx: &mut Effects) {
    match encode(record) {
        Ok(row) => fx.put(Tree::Account, keys::row(account, kind, &[]), row),
        Err(problem) => warn!(%problem, "the state of an archive cannot be written"),
    }
}
