//! Reads: the memtables first, then sled, as one state.
//!
//! sled is read without a lock. It changes only by a feed, a feed only follows a freeze, and
//! a frozen table hides what its feed changes. So a reader that finds no new freeze when it is
//! done saw one state of the store; one that does reads again.

use crate::{
    error::{StoreError, hex},
    frame::read_counter,
    key::{KeyRange, successor},
    memtable::{Known, Overlay},
    row::{self, Parts, Row},
    shelf::{ShelfError, Step},
    tree::{PARTS, SLOT_NAMES, Tree},
    vault::Vault,
};

/// In which order a range is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the smallest key.
    #[default]
    Forward,
    /// From the largest key.
    Backward,
}

/// How often a reader tries before it keeps the checkpoint from starting.
const TRIES: usize = 3;

/// Key and value.
pub type KeyValue = (Vec<u8>, Vec<u8>);

impl Vault {
    pub(crate) fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.steady(
            |tables| match tables.get(tree, key) {
                Known::Row(value) => Found::Here(Some(value.to_vec())),
                Known::Gone => Found::Here(None),
                Known::Unknown => Found::Below,
            },
            |found| match found {
                Found::Here(value) => Ok(value),
                Found::Below => self.get_from_shelf(tree, key),
            },
        )
    }

    pub(crate) fn range(
        &self,
        tree: Tree,
        range: &KeyRange,
        limit: usize,
        direction: Direction,
    ) -> Result<Vec<KeyValue>, StoreError> {
        if limit == 0 || range.is_empty() {
            return Ok(Vec::new());
        }
        let backward = direction == Direction::Backward;
        self.steady(
            |tables| tables.overlay(tree, range, backward, limit),
            |overlay| self.merge(tree, range, limit, backward, overlay),
        )
    }

    /// The value of a counter; 0 if there is none.
    pub(crate) fn counter(&self, tree: Tree, key: &[u8]) -> Result<i64, StoreError> {
        match self.get(tree, key)? {
            Some(value) => read_counter(&value).ok_or(StoreError::NotACounter(tree)),
            None => Ok(0),
        }
    }

    /// Looks at the tables, then below them, until both looks were at one state.
    fn steady<L, T>(
        &self,
        look: impl Fn(&crate::memtable::Tables) -> L,
        below: impl Fn(L) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        for _ in 0..TRIES {
            let (looked, epoch) = {
                let tables = self.tables.read();
                (look(&tables), tables.epoch)
            };
            let result = below(looked);
            if self.tables.read().epoch == epoch {
                return result;
            }
        }
        // Four freezes during one read: the disk must be very slow. Keep the next one waiting.
        let tables = self.tables.read();
        below(look(&tables))
    }

    fn get_from_shelf(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let slot = tree.slot();
        match self.shelf.get(slot, key).map_err(shelf_error)? {
            Some(row) => self.value_of(slot, key, row).map(Some),
            None => Ok(None),
        }
    }

    /// The value of a row on the shelf, put together if it lies in parts.
    pub(crate) fn value_of(
        &self,
        slot: usize,
        key: &[u8],
        row: Vec<u8>,
    ) -> Result<Vec<u8>, StoreError> {
        match row::open(slot, key, &row) {
            Some(Row::Whole(value)) => Ok(value.to_vec()),
            Some(Row::InParts(parts)) => self.join(slot, key, parts),
            None => Err(damaged(slot, key)),
        }
    }

    fn join(&self, slot: usize, key: &[u8], parts: Parts) -> Result<Vec<u8>, StoreError> {
        let mut value = Vec::with_capacity((parts.len as usize).min(crate::frame::MAX_VALUE));
        let prefix = row::parts_prefix(slot, key);
        let scanned = self.shelf.scan(
            PARTS,
            &KeyRange::prefix(&prefix),
            false,
            &mut |key, part| {
                let Some(Row::Whole(bytes)) = row::open(PARTS, key, part) else {
                    return Step::Stop;
                };
                value.extend_from_slice(bytes);
                if value.len() > parts.len as usize {
                    Step::Stop
                } else {
                    Step::Next
                }
            },
        );
        scanned.map_err(shelf_error)?;
        if parts.fits(&value) {
            Ok(value)
        } else {
            Err(damaged(slot, key))
        }
    }

    /// Merges the rows of sled into those of the tables.
    fn merge(
        &self,
        tree: Tree,
        range: &KeyRange,
        limit: usize,
        backward: bool,
        overlay: Overlay,
    ) -> Result<Vec<KeyValue>, StoreError> {
        let mut merge = Merge {
            overlay,
            limit,
            backward,
            rows: Vec::new(),
            heads: Vec::new(),
        };
        let mut rest = range.clone();
        loop {
            let mut skip = None;
            let scanned = self
                .shelf
                .scan(tree.slot(), &rest, backward, &mut |key, row| {
                    skip = merge.erased_at(key);
                    if skip.is_some() {
                        Step::Stop
                    } else {
                        merge.take(tree.slot(), key, row)
                    }
                });
            scanned.map_err(shelf_error)?;
            match skip {
                Some(erased) => rest = past(rest, erased, backward),
                None => break,
            }
            if rest.is_empty() {
                break;
            }
        }
        merge.take_overlay(None);
        // The few that lie in parts are fetched when sled is not being walked.
        for (at, row) in std::mem::take(&mut merge.heads) {
            let key = merge.rows[at].0.clone();
            merge.rows[at].1 = self.value_of(tree.slot(), &key, row)?;
        }
        Ok(merge.rows)
    }
}

/// Where a row was found.
enum Found {
    Here(Option<Vec<u8>>),
    Below,
}

/// The merging of a range.
struct Merge {
    overlay: Overlay,
    limit: usize,
    backward: bool,
    rows: Vec<KeyValue>,
    /// Rows of the shelf that are not simply a value: their place in `rows`, and what they are.
    heads: Vec<(usize, Vec<u8>)>,
}

impl Merge {
    fn full(&self) -> bool {
        self.rows.len() >= self.limit
    }

    /// The removed range that covers a key of the shelf.
    fn erased_at(&self, key: &[u8]) -> Option<KeyRange> {
        self.overlay
            .erased
            .iter()
            .find(|range| range.contains(key))
            .cloned()
    }

    /// Takes a row of the shelf, after those of the tables that come before it.
    fn take(&mut self, slot: usize, key: &[u8], row: &[u8]) -> Step {
        self.take_overlay(Some(key));
        if self.full() {
            return Step::Stop;
        }
        // The tables' word counts; a row they hold was taken just now or is taken next.
        if self
            .overlay
            .rows
            .front()
            .is_some_and(|(next, _)| next == key)
        {
            return Step::Next;
        }
        match row::open(slot, key, row) {
            Some(Row::Whole(value)) => self.rows.push((key.to_vec(), value.to_vec())),
            _ => {
                self.heads.push((self.rows.len(), row.to_vec()));
                self.rows.push((key.to_vec(), Vec::new()));
            }
        }
        if self.full() { Step::Stop } else { Step::Next }
    }

    /// Takes the rows of the tables that come before `key`, or all.
    fn take_overlay(&mut self, key: Option<&[u8]>) {
        while !self.full() {
            let Some((next, _)) = self.overlay.rows.front() else {
                return;
            };
            let before = match key {
                None => true,
                Some(key) if self.backward => next.as_slice() > key,
                Some(key) => next.as_slice() < key,
            };
            if !before {
                return;
            }
            if let Some((key, Some(value))) = self.overlay.rows.pop_front() {
                self.rows.push((key, value));
            }
        }
    }
}

/// What of a range lies past a removed one.
fn past(range: KeyRange, erased: KeyRange, backward: bool) -> KeyRange {
    if backward {
        return range.before(&erased.from);
    }
    match erased.to {
        Some(to) => KeyRange {
            from: range.from.max(to),
            to: range.to,
        },
        None => KeyRange {
            from: successor(&range.from),
            to: Some(range.from),
        },
    }
}

pub(crate) fn shelf_error(error: ShelfError) -> StoreError {
    match error {
        ShelfError::Broken(why) | ShelfError::Sync(why) => StoreError::Shelf(why),
    }
}

pub(crate) fn damaged(slot: usize, key: &[u8]) -> StoreError {
    StoreError::Damaged {
        tree: SLOT_NAMES[slot],
        key: hex(key),
    }
}
