//! The memtable: what is committed and not yet in sled. Reads look here first.
//!
//! It is bounded; when it is full, or every few seconds, it is frozen and a new one started,
//! and the checkpoint feeds the frozen one to sled. A row written ten times in between reaches
//! sled once, and a row that came and went not at all.

use std::{
    collections::{BTreeMap, VecDeque, btree_map::Range},
    ops::Bound,
    sync::Arc,
};

use smallvec::SmallVec;

use crate::{
    frame::{Op, Ops},
    journal::Position,
    key::KeyRange,
    log,
    tree::Tree,
};

/// What a row costs beyond its bytes, about: its share of a B-tree node.
const ROW_COST: usize = 96;

/// Committed rows over those of sled.
#[derive(Default)]
pub(crate) struct Memtable {
    layers: [Layer; Tree::ALL.len()],
    bytes: usize,
}

/// One tree's part of it.
#[derive(Default)]
pub(crate) struct Layer {
    /// `None`: removed.
    rows: BTreeMap<Key, Option<Stretch>>,
    /// Ranges removed; they hide what is below, not `rows`. Start to end, never touching.
    erased: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

/// A key; those of messages and sessions, which are most, lie in the node itself.
type Key = SmallVec<[u8; 24]>;

/// A value: a part of the group with which it was journalled. The group stays while any of its
/// values counts.
struct Stretch {
    group: Arc<Vec<u8>>,
    start: u32,
    len: u32,
}

impl Stretch {
    fn value(&self) -> &[u8] {
        let start = self.start as usize;
        &self.group[start..start + self.len as usize]
    }
}

/// What a layer knows of a key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Known<'m> {
    /// The row.
    Row(&'m [u8]),
    /// That there is none.
    Gone,
    /// Nothing: look below.
    Unknown,
}

impl Memtable {
    /// Takes over a group of frames as it was journalled.
    pub(crate) fn apply(&mut self, group: Vec<u8>) {
        let group = Arc::new(group);
        self.bytes += group.len();
        for body in log::bodies(&group) {
            let start = body.start;
            let mut ops = Ops::new(&group[body]);
            while let Some(op) = ops.next() {
                self.change(op, &group, start + ops.at());
            }
        }
        self.let_go(group);
    }

    /// One change, which ends in its group at `end`.
    fn change(&mut self, op: Op<'_>, group: &Arc<Vec<u8>>, end: usize) {
        match op {
            Op::Put { tree, key, value } => {
                let value = Stretch {
                    group: Arc::clone(group),
                    start: (end - value.len()) as u32,
                    len: value.len() as u32,
                };
                self.set(tree, key, Some(value));
            }
            Op::Delete { tree, key } => self.set(tree, key, None),
            Op::DeleteRange { tree, range } => self.erase(tree, &range),
            Op::Add { .. } => unreachable!("it was made a `Put` before it was journalled"),
        }
    }

    fn set(&mut self, tree: Tree, key: &[u8], value: Option<Stretch>) {
        let rows = &mut self.layers[tree.slot()].rows;
        match rows.insert(Key::from_slice(key), value) {
            Some(old) => self.replaced(old),
            None => self.bytes += key.len() + ROW_COST,
        }
    }

    fn erase(&mut self, tree: Tree, range: &KeyRange) {
        let layer = &mut self.layers[tree.slot()];
        let inside: Vec<Key> = layer.keys_in(range).cloned().collect();
        for key in inside {
            let layer = &mut self.layers[tree.slot()];
            if let Some(old) = layer.rows.remove(&key) {
                self.bytes -= key.len() + ROW_COST;
                self.replaced(old);
            }
        }
        let (added, freed) = self.layers[tree.slot()].add_erased(range.clone());
        self.bytes = self.bytes + added - freed;
    }

    /// A value counts no more.
    fn replaced(&mut self, old: Option<Stretch>) {
        if let Some(old) = old {
            self.let_go(old.group);
        }
    }

    /// A group goes with the last of its values.
    fn let_go(&mut self, group: Arc<Vec<u8>>) {
        if let Some(group) = Arc::into_inner(group) {
            self.bytes -= group.len();
        }
    }

    /// Its size in memory, about.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.layers
            .iter()
            .all(|layer| layer.rows.is_empty() && layer.erased.is_empty())
    }

    pub(crate) fn layer(&self, tree: Tree) -> &Layer {
        &self.layers[tree.slot()]
    }
}

impl Layer {
    pub(crate) fn get(&self, key: &[u8]) -> Known<'_> {
        match self.rows.get(key) {
            Some(Some(value)) => Known::Row(value.value()),
            Some(None) => Known::Gone,
            None if self.erases(key) => Known::Gone,
            None => Known::Unknown,
        }
    }

    /// All rows, in the order of keys.
    pub(crate) fn rows(&self) -> impl Iterator<Item = MemRow<'_>> {
        self.rows.iter().map(row)
    }

    /// The rows of a range, in the order of keys.
    pub(crate) fn rows_in(&self, range: &KeyRange) -> impl DoubleEndedIterator<Item = MemRow<'_>> {
        self.entries_in(range).map(row)
    }

    fn keys_in(&self, range: &KeyRange) -> impl Iterator<Item = &Key> {
        self.entries_in(range).map(|(key, _)| key)
    }

    fn entries_in(&self, range: &KeyRange) -> Range<'_, Key, Option<Stretch>> {
        let from = Bound::Included(range.from.as_slice());
        let to = match &range.to {
            // An empty range would panic in `BTreeMap::range`.
            Some(to) => Bound::Excluded(to.max(&range.from).as_slice()),
            None => Bound::Unbounded,
        };
        self.rows.range::<[u8], _>((from, to))
    }

    /// The ranges removed from what is below.
    pub(crate) fn erased(&self) -> impl Iterator<Item = KeyRange> {
        let range = |(from, to): (&Vec<u8>, &Option<Vec<u8>>)| KeyRange {
            from: from.clone(),
            to: to.clone(),
        };
        self.erased.iter().map(range)
    }

    /// Whether a removed range covers the key.
    pub(crate) fn erases(&self, key: &[u8]) -> bool {
        let upto = (Bound::Unbounded, Bound::Included(key));
        let last = self.erased.range::<[u8], _>(upto).next_back();
        last.is_some_and(|(_, to)| to.as_deref().is_none_or(|to| key < to))
    }

    /// Adds a removed range, joined with those it touches. What changed in cost: added, freed.
    fn add_erased(&mut self, mut range: KeyRange) -> (usize, usize) {
        let mut freed = 0;
        while let Some(from) = self.touching(&range) {
            let to = self.erased.remove(&from).flatten();
            freed += erased_cost(&from, to.as_deref());
            range.to = match (range.to, to) {
                (Some(a), Some(b)) => Some(a.max(b)),
                _ => None,
            };
            range.from = range.from.min(from);
        }
        let added = erased_cost(&range.from, range.to.as_deref());
        self.erased.insert(range.from, range.to);
        (added, freed)
    }

    /// The last removed range that starts inside `range` or at its end and reaches to it.
    fn touching(&self, range: &KeyRange) -> Option<Vec<u8>> {
        let upto = match &range.to {
            Some(to) => Bound::Included(to.as_slice()),
            None => Bound::Unbounded,
        };
        let (from, to) = self
            .erased
            .range::<[u8], _>((Bound::Unbounded, upto))
            .next_back()?;
        let reaches = to.as_ref().is_none_or(|to| *to >= range.from);
        reaches.then(|| from.clone())
    }
}

fn erased_cost(from: &[u8], to: Option<&[u8]>) -> usize {
    from.len() + to.map_or(0, <[u8]>::len) + ROW_COST
}

/// A row of a layer; `None`: removed.
pub(crate) type MemRow<'m> = (&'m [u8], Option<&'m [u8]>);

fn row<'m>((key, value): (&'m Key, &'m Option<Stretch>)) -> MemRow<'m> {
    (key, value.as_ref().map(Stretch::value))
}

/// The memtable that is being fed to sled; it does not change any more.
pub(crate) struct Frozen {
    pub(crate) table: Memtable,
    /// The last sequence number in it.
    pub(crate) sequence: u64,
    /// The end of the journal when it was frozen.
    pub(crate) position: Position,
}

/// Both memtables.
#[derive(Default)]
pub(crate) struct Tables {
    pub(crate) active: Memtable,
    pub(crate) frozen: Option<Arc<Frozen>>,
    /// Rises with every freeze: sled changes only after one, so a reader that finds it
    /// unchanged saw one state.
    pub(crate) epoch: u64,
}

/// What the memtables say of a range: enough of it that sled's rows can be merged in without
/// looking at them again.
pub(crate) struct Overlay {
    /// In the order of reading; `None`: removed.
    pub(crate) rows: VecDeque<(Vec<u8>, Option<Vec<u8>>)>,
    /// Ranges in which nothing of sled counts.
    pub(crate) erased: Vec<KeyRange>,
}

impl Tables {
    /// The active memtable becomes the frozen one, unless there is one that is not fed yet.
    pub(crate) fn freeze(&mut self, sequence: u64, position: Position) -> Option<Arc<Frozen>> {
        if self.frozen.is_some() {
            return None;
        }
        let table = std::mem::take(&mut self.active);
        let frozen = Arc::new(Frozen {
            table,
            sequence,
            position,
        });
        self.frozen = Some(frozen.clone());
        self.epoch += 1;
        Some(frozen)
    }

    /// What the memtables know of a key.
    pub(crate) fn get(&self, tree: Tree, key: &[u8]) -> Known<'_> {
        match (self.active.layer(tree).get(key), &self.frozen) {
            (Known::Unknown, Some(frozen)) => frozen.table.layer(tree).get(key),
            (known, _) => known,
        }
    }

    /// The rows of both in a range, up to and including the `limit`-th that is a row.
    pub(crate) fn overlay(
        &self,
        tree: Tree,
        range: &KeyRange,
        backward: bool,
        limit: usize,
    ) -> Overlay {
        let upper = self.active.layer(tree);
        let lower = self.frozen.as_ref().map(|frozen| frozen.table.layer(tree));
        let mut erased: Vec<KeyRange> = upper.erased().collect();
        let mut merged = BTreeMap::new();
        if let Some(lower) = lower {
            erased.extend(lower.erased());
            let hidden = |key: &[u8]| upper.get(key) != Known::Unknown;
            let visible = lower.rows_in(range).filter(|(key, _)| !hidden(key));
            collect(&mut merged, visible, backward, limit);
        }
        collect(&mut merged, upper.rows_in(range), backward, limit);
        erased.retain(|erased| !erased.clone().within(range).is_empty());
        // A side that was cut short gave `limit` rows up to there, and none of them is hidden by
        // the other: so nobody reads past that place.
        let rows: VecDeque<(Vec<u8>, Option<Vec<u8>>)> = if backward {
            merged.into_iter().rev().map(owned).collect()
        } else {
            merged.into_iter().map(owned).collect()
        };
        Overlay { rows, erased }
    }
}

fn owned((key, value): (&[u8], Option<&[u8]>)) -> (Vec<u8>, Option<Vec<u8>>) {
    (key.to_vec(), value.map(<[u8]>::to_vec))
}

/// Takes rows over until `limit` of them are not removed.
fn collect<'m>(
    into: &mut BTreeMap<&'m [u8], Option<&'m [u8]>>,
    rows: impl DoubleEndedIterator<Item = MemRow<'m>>,
    backward: bool,
    limit: usize,
) {
    let mut rows: Box<dyn Iterator<Item = MemRow<'m>>> = if backward {
        Box::new(rows.rev())
    } else {
        Box::new(rows)
    };
    let mut found = 0;
    while found < limit {
        let Some((key, value)) = rows.next() else {
            return;
        };
        found += usize::from(value.is_some());
        into.insert(key, value);
    }
}

#[cfg(test)]
mod tests;
