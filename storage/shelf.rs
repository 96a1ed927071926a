//! The shelf: the ordered maps under the memtable. sled in a running server; a plain map in
//! tests, with a power switch.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use parking_lot::RwLock;

use crate::{key::KeyRange, log::StoreId, tree::SLOTS};

/// Why the shelf did not do it, in its words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ShelfError {
    /// It cannot go on as it is.
    Broken(String),
    /// The disk failed a sync: fatal, never retried.
    Sync(String),
}

/// What the reading of a range does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Next,
    Stop,
}

/// Takes the rows of a range.
pub(crate) type Visit<'v> = dyn FnMut(&[u8], &[u8]) -> Step + 'v;

/// Whose shelf it is and how far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) store: StoreId,
    /// The last sequence number that was fed completely.
    pub(crate) applied: u64,
}

/// Nine ordered maps, by slot: see [`crate::tree`]. Only the feed writes, reads come from any
/// thread.
pub(crate) trait Shelf: Send + Sync {
    fn get(&self, slot: usize, key: &[u8]) -> Result<Option<Vec<u8>>, ShelfError>;

    /// Gives the rows of a range, in either direction, until `visit` has enough.
    fn scan(
        &self,
        slot: usize,
        range: &KeyRange,
        backward: bool,
        visit: &mut Visit<'_>,
    ) -> Result<(), ShelfError>;

    fn put(&self, slot: usize, key: &[u8], row: Vec<u8>) -> Result<(), ShelfError>;

    fn delete(&self, slot: usize, key: &[u8]) -> Result<(), ShelfError>;

    fn identity(&self) -> Result<Option<Identity>, ShelfError>;

    fn set_identity(&self, identity: Identity) -> Result<(), ShelfError>;

    /// Everything written so far is durable when this returns.
    fn sync(&self) -> Result<(), ShelfError>;

    /// Bytes on disk.
    fn size(&self) -> u64;

    /// Starts over after `Broken`: what was synced is there, the rest may be.
    fn reopen(&self) -> Result<(), ShelfError>;
}

/// A shelf in memory, for tests. Clones are the same shelf.
#[derive(Clone, Default)]
pub struct MemoryShelf {
    state: Arc<RwLock<State>>,
}

#[derive(Default)]
struct State {
    now: Image,
    synced: Image,
    /// What was written since the last sync.
    pending: Vec<Change>,
    broken: bool,
    /// How many changes until the power goes off.
    power: Option<u64>,
}

impl State {
    fn works(&self) -> Result<(), ShelfError> {
        let why = match (self.power, self.broken) {
            (Some(0), _) => "the power is off",
            (_, true) => "broken by the test",
            _ => return Ok(()),
        };
        Err(ShelfError::Broken(why.into()))
    }
}

#[derive(Clone, Default)]
struct Image {
    maps: [BTreeMap<Vec<u8>, Vec<u8>>; SLOTS],
    identity: Option<Identity>,
}

#[derive(Clone)]
enum Change {
    Row(usize, Vec<u8>, Option<Vec<u8>>),
    Identity(Identity),
}

impl Image {
    fn apply(&mut self, change: Change) {
        match change {
            Change::Row(slot, key, Some(row)) => {
                self.maps[slot].insert(key, row);
            }
            Change::Row(slot, key, None) => {
                self.maps[slot].remove(&key);
            }
            Change::Identity(identity) => self.identity = Some(identity),
        }
    }
}

impl MemoryShelf {
    /// An empty shelf.
    pub fn new() -> MemoryShelf {
        MemoryShelf::default()
    }

    /// What a power cut leaves: all that was synced, and of what came after it that for which
    /// `survives` says so, change by change.
    pub fn after_power_cut(&self, mut survives: impl FnMut() -> bool) -> MemoryShelf {
        let state = self.state.read();
        let mut image = state.synced.clone();
        for change in state.pending.iter().filter(|_| survives()) {
            image.apply(change.clone());
        }
        let state = State {
            now: image.clone(),
            synced: image,
            ..State::default()
        };
        MemoryShelf {
            state: Arc::new(RwLock::new(state)),
        }
    }

    /// What `kill -9` leaves: of what came after the last sync a beginning of so many changes at
    /// most, since sled writes its log in order and holds some of it back.
    pub fn after_kill(&self, changes: usize) -> MemoryShelf {
        let mut left = changes;
        self.after_power_cut(|| {
            let survives = left > 0;
            left = left.saturating_sub(1);
            survives
        })
    }

    /// Another shelf with the same rows: an old copy, to be put back later.
    pub fn copy(&self) -> MemoryShelf {
        self.after_power_cut(|| true)
    }

    pub(crate) fn clear(&self) {
        *self.state.write() = State::default();
    }

    /// Lets every write fail until the store reopens it.
    pub fn break_down(&self) {
        self.state.write().broken = true;
    }

    /// Lets everything fail, also reopening, once `changes` more changes are done.
    pub fn power_off_after(&self, changes: u64) {
        self.state.write().power = Some(changes);
    }

    /// Removes one row behind the store's back, the `nth` of map `slot`; tells whether there was
    /// one.
    pub fn lose_row(&self, slot: usize, nth: usize) -> bool {
        let state = &mut *self.state.write();
        let Some(key) = state.now.maps[slot].keys().nth(nth).cloned() else {
            return false;
        };
        state.synced.maps[slot].remove(&key);
        state.now.maps[slot].remove(&key).is_some()
    }

    /// Flips a bit of one row behind the store's back, the `nth` of map `slot`; tells whether
    /// there was one.
    pub fn flip_bit(&self, slot: usize, nth: usize, bit: usize) -> bool {
        let state = &mut *self.state.write();
        let Some(row) = state.now.maps[slot].values_mut().nth(nth) else {
            return false;
        };
        let at = bit / 8 % row.len();
        row[at] ^= 1 << (bit % 8);
        true
    }

    fn change(&self, change: Change) -> Result<(), ShelfError> {
        let mut state = self.state.write();
        state.works()?;
        state.power = state.power.map(|changes| changes - 1);
        state.pending.push(change.clone());
        state.now.apply(change);
        Ok(())
    }
}

impl std::fmt::Debug for MemoryShelf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MemoryShelf")
    }
}

impl Shelf for MemoryShelf {
    fn get(&self, slot: usize, key: &[u8]) -> Result<Option<Vec<u8>>, ShelfError> {
        Ok(self.state.read().now.maps[slot].get(key).cloned())
    }

    fn scan(
        &self,
        slot: usize,
        range: &KeyRange,
        backward: bool,
        visit: &mut Visit<'_>,
    ) -> Result<(), ShelfError> {
        if range.is_empty() {
            return Ok(());
        }
        let to = range
            .to
            .as_deref()
            .map_or(Bound::Unbounded, Bound::Excluded);
        let bounds = (Bound::Included(range.from.as_slice()), to);
        let state = self.state.read();
        let mut rows = state.now.maps[slot].range::<[u8], _>(bounds);
        while let Some((key, row)) = if backward {
            rows.next_back()
        } else {
            rows.next()
        } {
            if visit(key, row) == Step::Stop {
                break;
            }
        }
        Ok(())
    }

    fn put(&self, slot: usize, key: &[u8], row: Vec<u8>) -> Result<(), ShelfError> {
        self.change(Change::Row(slot, key.to_vec(), Some(row)))
    }

    fn delete(&self, slot: usize, key: &[u8]) -> Result<(), ShelfError> {
        self.change(Change::Row(slot, key.to_vec(), None))
    }

    fn identity(&self) -> Result<Option<Identity>, ShelfError> {
        Ok(self.state.read().now.identity)
    }

    fn set_identity(&self, identity: Identity) -> Result<(), ShelfError> {
        self.change(Change::Identity(identity))
    }

    fn sync(&self) -> Result<(), ShelfError> {
        let state = &mut *self.state.write();
        state.works()?;
        for change in state.pending.drain(..) {
            state.synced.apply(change);
        }
        Ok(())
    }

    fn size(&self) -> u64 {
        let state = self.state.read();
        let bytes = |map: &BTreeMap<Vec<u8>, Vec<u8>>| {
            map.iter()
                .map(|(key, row)| key.len() + row.len())
                .sum::<usize>()
        };
        state.now.maps.iter().map(bytes).sum::<usize>() as u64
    }

    fn reopen(&self) -> Result<(), ShelfError> {
        let state = &mut *self.state.write();
        state.broken = false;
        state.works()
    }
}
