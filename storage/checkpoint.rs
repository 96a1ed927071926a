//! The checkpoint: what the memtable holds goes to sled, in the order of keys, and the mark moves.
//!
//! A crash in the middle leaves sled with an unknown part of the feed. So before its first row
//! the mark names the feed and what sled will hold after it; recovery finishes a named feed
//! first, and the tallies stay true without trusting sled to be atomic in anything.

use std::{
    collections::HashSet,
    io,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use crate::{
    disk,
    error::StoreError,
    export::Export,
    journal::Journal,
    key::KeyRange,
    mark::{Mark, Next, Tallies},
    memtable::Frozen,
    row::{self, Row},
    scrub::Scrub,
    shelf::{Identity, Shelf, ShelfError, Step},
    tree::{PARTS, Tree},
    vault::Vault,
};

/// How many rows of a removed range are deleted between two looks at sled.
const SLICE: usize = 512;

/// What the checkpoint side knows; one task at a time has it.
pub(crate) struct Books {
    /// As on disk.
    pub(crate) mark: Mark,
    pub(crate) scrub: Scrub,
    /// The export under way.
    pub(crate) export: Option<Export>,
}

impl Vault {
    /// Brings everything committed so far to sled, durably. Nothing to do: nothing done.
    pub(crate) fn checkpoint(&self) -> Result<(), StoreError> {
        let mut books = self.books.lock();
        self.health()?;
        let result = self.freeze_and_feed(&mut books);
        self.checkpointed(&result);
        self.measure();
        result
    }

    fn freeze_and_feed(&self, books: &mut Books) -> Result<(), StoreError> {
        let target = self.journal.lock().sequence();
        loop {
            // Perhaps one is left by a commit that found the table full, or by a failure.
            let left = self.tables.read().frozen.clone();
            let frozen = match left {
                Some(frozen) => frozen,
                None if books.mark.sequence >= target => {
                    return self.name_newest(books, &mut self.journal.lock());
                }
                None => match self.rotate_and_freeze(books)? {
                    Some(frozen) => frozen,
                    None => continue,
                },
            };
            self.feed_whole(books, &frozen)?;
        }
    }

    /// A new segment if the current one is long enough; the mark names it before its first
    /// frame. And a new memtable.
    fn rotate_and_freeze(&self, books: &mut Books) -> Result<Option<Arc<Frozen>>, StoreError> {
        let mut journal = self.journal.lock();
        journal
            .rotate(self.options.segment)
            .map_err(|error| self.fail(error))?;
        self.name_newest(books, &mut journal)?;
        Ok(self.freeze(&journal))
    }

    /// The mark names the newest segment, also if there was no room for that the last time.
    fn name_newest(&self, books: &mut Books, journal: &mut Journal) -> Result<(), StoreError> {
        let newest = journal.position().segment;
        if newest > books.mark.newest {
            let mark = Mark {
                newest,
                ..books.mark.clone()
            };
            self.write_mark(books, mark)?;
        }
        journal.is_named();
        Ok(())
    }

    /// Starts a new memtable, unless one is frozen already. Under the journal's lock: no commit
    /// is between disk and memory.
    pub(crate) fn freeze(&self, journal: &Journal) -> Option<Arc<Frozen>> {
        self.tables
            .write()
            .freeze(journal.sequence(), journal.position())
    }

    /// Names the feed, feeds, makes it durable, moves the mark and shortens the journal.
    pub(crate) fn feed_whole(&self, books: &mut Books, frozen: &Frozen) -> Result<(), StoreError> {
        let begun = Instant::now();
        let mut old_parts = self.announce(books, frozen)?;
        let store = books.mark.store;
        self.retried(|shelf| {
            let old_parts = std::mem::replace(&mut old_parts, OldParts::Anywhere);
            feed(shelf, frozen, &old_parts)?;
            finish(
                shelf,
                Identity {
                    store,
                    applied: frozen.sequence,
                },
            )
        })?;
        self.move_mark(books, frozen)?;
        self.tables.write().frozen = None;
        // A commit that waits for room looks and waits under this lock: it cannot miss this.
        self.shorten_journal(books.mark.oldest);
        self.room.notify_all();
        self.counters.checkpoints.fetch_add(1, Ordering::Relaxed);
        let took = begun.elapsed();
        tracing::debug!(sequence = frozen.sequence, ?took, "checkpoint");
        Ok(())
    }

    /// Names the feed in the mark, with what sled will hold after it.
    fn announce(&self, books: &mut Books, frozen: &Frozen) -> Result<OldParts, StoreError> {
        if books
            .mark
            .next
            .as_ref()
            .is_some_and(|next| next.sequence == frozen.sequence)
        {
            return Ok(OldParts::Anywhere);
        }
        let count = self.retried(|shelf| count(shelf, frozen, books))?;
        let next = Some(Next {
            sequence: frozen.sequence,
            tallies: count.tallies,
        });
        self.write_mark(
            books,
            Mark {
                next,
                ..books.mark.clone()
            },
        )?;
        books.scrub = count.scrub;
        Ok(OldParts::Of(count.in_parts))
    }

    fn move_mark(&self, books: &mut Books, frozen: &Frozen) -> Result<(), StoreError> {
        let mut mark = books.mark.clone();
        if let Some(next) = mark.next.take() {
            mark.tallies = next.tallies;
        }
        mark.sequence = frozen.sequence;
        mark.position = frozen.position;
        self.bound_journal(&mut mark);
        mark.oldest = self.oldest_needed(&mark);
        mark.newest = mark.newest.max(frozen.position.segment);
        self.write_mark(books, mark)
    }

    /// A journal that has grown to twice what should have started an export is kept for a rebuild
    /// no longer: exports must be failing.
    fn bound_journal(&self, mark: &mut Mark) {
        let size = self.journal.lock().size().0;
        if self.options.export_every.is_some()
            && size > self.options.export_journal.saturating_mul(2)
        {
            tracing::warn!(
                size,
                "no export for too long; the journal is cut without one"
            );
            mark.export = None;
            mark.oldest = mark.position.segment;
        }
    }

    /// Writes the mark, then believes in it.
    pub(crate) fn write_mark(&self, books: &mut Books, mark: Mark) -> Result<(), StoreError> {
        let written = mark.store(&*self.disk, &self.journal_folder);
        written.map_err(|error| self.mark_failed(&error))?;
        self.gauge_mark(&mark);
        books.mark = mark;
        Ok(())
    }

    /// Removes the segments before `oldest`.
    pub(crate) fn shorten_journal(&self, oldest: u64) {
        let mut journal = self.journal.lock();
        journal.retire(oldest);
        self.gauge_journal(&journal);
    }

    fn mark_failed(&self, error: &io::Error) -> StoreError {
        let text = format!("writing the mark: {error}");
        if disk::is_full(error) {
            StoreError::Full(text)
        } else {
            self.fail(StoreError::Fatal(text))
        }
    }

    /// Does something with the shelf; if it breaks, once more after opening it again. What was
    /// synced is there then, and the frozen table still holds all the rest.
    fn retried<T>(
        &self,
        mut task: impl FnMut(&dyn Shelf) -> Result<T, ShelfError>,
    ) -> Result<T, StoreError> {
        let result = match task(&*self.shelf) {
            Err(ShelfError::Broken(why)) => {
                tracing::error!(why, "sled broke; opening it again");
                self.counters.reopened.fetch_add(1, Ordering::Relaxed);
                self.shelf.reopen().and_then(|()| task(&*self.shelf))
            }
            result => result,
        };
        result.map_err(|error| match error {
            ShelfError::Broken(why) => StoreError::Shelf(why),
            ShelfError::Sync(why) => self.fail(StoreError::Fatal(why)),
        })
    }
}

/// Makes a feed durable and makes sure that the shelf agrees.
fn finish(shelf: &dyn Shelf, identity: Identity) -> Result<(), ShelfError> {
    shelf.set_identity(identity)?;
    shelf.sync()?;
    match shelf.identity()? {
        Some(found) if found == identity => Ok(()),
        found => Err(ShelfError::Broken(format!(
            "fed up to {identity:?}, it says {found:?}"
        ))),
    }
}

/// What looking at the shelf before a feed brings.
pub(crate) struct Count {
    /// What the shelf will hold after it.
    tallies: Tallies,
    /// The running scrub, as if the feed had been done already.
    scrub: Scrub,
    /// Rows that are in parts now.
    in_parts: HashSet<(usize, Vec<u8>)>,
}

impl Count {
    fn add(&mut self, slot: usize, key: &[u8]) {
        self.tallies[slot].add(key);
        self.scrub.added(slot, key);
    }

    fn remove(&mut self, slot: usize, key: &[u8]) {
        self.tallies[slot].remove(key);
        self.scrub.removed(slot, key);
    }

    fn remove_row(&mut self, slot: usize, key: &[u8], row: &[u8]) {
        self.remove(slot, key);
        // A damaged row counts as having no parts; the scrub tells of it.
        if let Some(Row::InParts(parts)) = row::open(slot, key, row) {
            part_keys(slot, key, parts.count).for_each(|key| self.remove(PARTS, &key));
            self.in_parts.insert((slot, key.to_vec()));
        }
    }

    fn add_row(&mut self, slot: usize, key: &[u8], value: &[u8]) {
        self.add(slot, key);
        let count = row::part_count(value.len());
        part_keys(slot, key, count).for_each(|key| self.add(PARTS, &key));
    }
}

fn part_keys(slot: usize, key: &[u8], count: u16) -> impl Iterator<Item = Vec<u8>> {
    let prefix = if count > 0 {
        row::parts_prefix(slot, key)
    } else {
        Vec::new()
    };
    (0..count).map(move |part| row::part_key(&prefix, part))
}

/// Looks at what a feed will change, before anything of it has reached the shelf.
fn count(shelf: &dyn Shelf, frozen: &Frozen, books: &Books) -> Result<Count, ShelfError> {
    let (tallies, scrub) = (books.mark.tallies, books.scrub.clone());
    let mut count = Count {
        tallies,
        scrub,
        in_parts: HashSet::new(),
    };
    for tree in Tree::ALL {
        let layer = frozen.table.layer(tree);
        let slot = tree.slot();
        for range in layer.erased() {
            shelf.scan(slot, &range, false, &mut |key, row| {
                count.remove_row(slot, key, row);
                Step::Next
            })?;
        }
        let mut past = Past::of(shelf, tree);
        for (key, value) in layer.rows() {
            let old = if layer.erases(key) {
                None
            } else {
                past.get(key)?
            };
            if let Some(row) = &old {
                count.remove_row(slot, key, row);
            }
            if let Some(value) = value {
                count.add_row(slot, key, value);
            }
        }
    }
    Ok(count)
}

/// Looks up what a tree has on the shelf, in the order of keys. The archive grows at the ends of
/// its runs: there one look tells for many keys that they are new.
struct Past<'s> {
    shelf: &'s dyn Shelf,
    tree: Tree,
    /// Between the last key and this one (`None`: the end) there is nothing.
    nothing_before: Option<Option<Vec<u8>>>,
}

impl<'s> Past<'s> {
    fn of(shelf: &'s dyn Shelf, tree: Tree) -> Past<'s> {
        Past {
            shelf,
            tree,
            nothing_before: None,
        }
    }

    fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, ShelfError> {
        if self.tree != Tree::Archive {
            return self.shelf.get(self.tree.slot(), key);
        }
        match &self.nothing_before {
            Some(Some(end)) if key < end.as_slice() => return Ok(None),
            Some(None) => return Ok(None),
            _ => {}
        }
        let from = KeyRange {
            from: key.to_vec(),
            to: None,
        };
        let mut first = None;
        self.shelf
            .scan(self.tree.slot(), &from, false, &mut |key, row| {
                first = Some((key.to_vec(), row.to_vec()));
                Step::Stop
            })?;
        let (found, end) = match first {
            Some((at, row)) if at == key => (Some(row), None),
            Some((at, _)) => (None, Some(Some(at))),
            None => (None, Some(None)),
        };
        self.nothing_before = end;
        Ok(found)
    }
}

/// Which rows may have parts on the shelf.
pub(crate) enum OldParts {
    /// These, as was counted before the feed.
    Of(HashSet<(usize, Vec<u8>)>),
    /// A feed was interrupted: any row may.
    Anywhere,
}

impl OldParts {
    fn has(&self, slot: usize, key: &[u8]) -> bool {
        match self {
            OldParts::Of(rows) if rows.is_empty() => false,
            OldParts::Of(rows) => rows.contains(&(slot, key.to_vec())),
            OldParts::Anywhere => true,
        }
    }
}

/// Writes a frozen table to the shelf. Can be repeated after any interruption.
pub(crate) fn feed(shelf: &dyn Shelf, frozen: &Frozen, old: &OldParts) -> Result<(), ShelfError> {
    for tree in Tree::ALL {
        let slot = tree.slot();
        let layer = frozen.table.layer(tree);
        for range in layer.erased() {
            erase(shelf, slot, &range)?;
        }
        for (key, value) in layer.rows() {
            let long = value.is_some_and(|value| row::part_count(value.len()) > 0);
            if long || old.has(slot, key) {
                replace_parts(shelf, slot, key, value.unwrap_or_default())?;
            }
            match value {
                Some(value) => shelf.put(slot, key, row::seal(slot, key, value))?,
                None => shelf.delete(slot, key)?,
            }
        }
    }
    Ok(())
}

/// Puts a row on a shelf that has none under its key, and counts it.
pub(crate) fn put_row(
    shelf: &dyn Shelf,
    slot: usize,
    key: &[u8],
    value: &[u8],
    tallies: &mut Tallies,
) -> Result<(), ShelfError> {
    let prefix = row::parts_prefix(slot, key);
    for (number, part) in (0..).zip(row::parts(value)) {
        let key = row::part_key(&prefix, number);
        tallies[PARTS].add(&key);
        shelf.put(PARTS, &key, row::seal(PARTS, &key, part))?;
    }
    tallies[slot].add(key);
    shelf.put(slot, key, row::seal(slot, key, value))
}

/// The parts of a row become those of `value`, perhaps none.
fn replace_parts(
    shelf: &dyn Shelf,
    slot: usize,
    key: &[u8],
    value: &[u8],
) -> Result<(), ShelfError> {
    let prefix = row::parts_prefix(slot, key);
    let mut kept = 0;
    for part in row::parts(value) {
        let key = row::part_key(&prefix, kept);
        shelf.put(PARTS, &key, row::seal(PARTS, &key, part))?;
        kept += 1;
    }
    let surplus = KeyRange::prefix(&prefix).within(&KeyRange {
        from: row::part_key(&prefix, kept),
        to: None,
    });
    erase_slices(shelf, PARTS, &surplus)
}

/// Removes a range of rows and their parts.
fn erase(shelf: &dyn Shelf, slot: usize, range: &KeyRange) -> Result<(), ShelfError> {
    let parts = KeyRange {
        from: row::parts_start(slot, &range.from),
        to: Some(match &range.to {
            Some(to) => row::parts_start(slot, to),
            None => vec![slot as u8 + 1],
        }),
    };
    erase_slices(shelf, PARTS, &parts)?;
    erase_slices(shelf, slot, range)
}

fn erase_slices(shelf: &dyn Shelf, slot: usize, range: &KeyRange) -> Result<(), ShelfError> {
    let mut rest = range.clone();
    loop {
        let mut keys = Vec::new();
        shelf.scan(slot, &rest, false, &mut |key, _| {
            keys.push(key.to_vec());
            if keys.len() < SLICE {
                Step::Next
            } else {
                Step::Stop
            }
        })?;
        let Some(last) = keys.last().cloned() else {
            return Ok(());
        };
        for key in &keys {
            shelf.delete(slot, key)?;
        }
        rest = rest.after(&last);
    }
}
