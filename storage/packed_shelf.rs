//! A shelf that packs: rows of the archive, which grows at the ends of its runs and is hardly
//! changed otherwise, lie several in one value ([`crate::pack`]). It costs sled as much to take a
//! message as to take ten.
//!
//! A *block* is what one value of the shelf below holds: a pack, or a row by itself. **A row of a
//! block counts only if its key is below the next block's.** So a pack that has become too long
//! is divided safely: first its last rows are written as a block of their own, then, when they are
//! durable, those before them, and so on; whatever is left of this by a crash reads the same.
//!
//! Only one thread writes, a feed, in the order of keys mostly; it has one block in hand. Readers
//! look below, at blocks, each of which changes at once: what of a block differs from what they
//! should see is hidden by the frozen table (see [`crate::read`]).

use parking_lot::{Mutex, RwLock};

use crate::{
    key::{KeyRange, successor},
    pack::{self, KeyRow},
    shelf::{Identity, Shelf, ShelfError, Step, Visit},
    tree::Tree,
};

/// The map whose rows are packed.
const PACKED: usize = Tree::Archive as usize;

/// A block that has more bytes than this is not taken in hand to add to it: a row that comes
/// alone should not make sled write much more than itself.
const GROW: usize = 1_024;

/// Keys of one run begin with the same account and kind.
const OWNER: usize = 5;

/// They differ only in a stamp, which is at most so many last bytes: a time and a number.
const STAMP: usize = 16;

/// Another shelf, packed.
pub(crate) struct PackedShelf<S> {
    below: S,
    in_hand: Mutex<Option<Block>>,
    /// Who reads backward would miss rows that move behind him.
    divided: RwLock<()>,
}

/// The block being written.
struct Block {
    /// The key it has or will have below.
    key: Vec<u8>,
    /// Where the next block begins.
    next: Option<Vec<u8>>,
    /// In the order of keys.
    rows: Vec<KeyRow>,
    bytes: usize,
    /// Whether there is one below already.
    stored: bool,
    changed: bool,
}

impl Block {
    fn new(key: &[u8], next: Option<Vec<u8>>) -> Block {
        Block {
            key: key.to_vec(),
            next,
            rows: Vec::new(),
            bytes: pack::EMPTY,
            stored: false,
            changed: false,
        }
    }

    /// Whether rows with this key belong here.
    fn covers(&self, key: &[u8]) -> bool {
        let before_next = self.next.as_deref().is_none_or(|next| key < next);
        key >= self.key.as_slice() && before_next
    }

    /// Whether a row should be added here and not begin a block: it lies among its rows, or it
    /// goes on with them and there is room up to `limit`.
    fn takes(&self, key: &[u8], row_len: usize, limit: usize) -> bool {
        let Some((last, _)) = self.rows.last() else {
            return true;
        };
        key <= last.as_slice()
            || one_run(last, key) && self.bytes + pack::cost(key, row_len) <= limit
    }

    fn find(&self, key: &[u8]) -> Result<usize, usize> {
        self.rows.binary_search_by(|(at, _)| at.as_slice().cmp(key))
    }

    fn put(&mut self, key: &[u8], row: Vec<u8>) {
        self.bytes += pack::cost(key, row.len());
        self.changed = true;
        match self.find(key) {
            Ok(at) => {
                self.bytes -= pack::cost(key, self.rows[at].1.len());
                self.rows[at].1 = row;
            }
            Err(at) => self.rows.insert(at, (key.to_vec(), row)),
        }
    }

    fn delete(&mut self, key: &[u8]) {
        self.changed |= self.rows.is_empty();
        if let Ok(at) = self.find(key) {
            let (key, row) = self.rows.remove(at);
            self.bytes -= pack::cost(&key, row.len());
            self.changed = true;
        }
    }
}

fn one_run(a: &[u8], b: &[u8]) -> bool {
    let shared = OWNER.max(a.len().saturating_sub(STAMP));
    a.len() == b.len() && a.len() > shared && a[..shared] == b[..shared]
}

impl<S: Shelf> PackedShelf<S> {
    pub(crate) fn new(below: S) -> PackedShelf<S> {
        PackedShelf {
            below,
            in_hand: Mutex::new(None),
            divided: RwLock::new(()),
        }
    }

    /// The first value below in a range, from either end.
    fn first(&self, range: &KeyRange, backward: bool) -> Result<Option<KeyRow>, ShelfError> {
        let mut first = None;
        self.below
            .scan(PACKED, range, backward, &mut |key, value| {
                first = Some((key.to_vec(), value.to_vec()));
                Step::Stop
            })?;
        Ok(first)
    }

    /// The last block that begins before a key.
    fn block_before(&self, key: &[u8]) -> Result<Option<KeyRow>, ShelfError> {
        let range = KeyRange {
            from: Vec::new(),
            to: Some(key.to_vec()),
        };
        self.first(&range, true)
    }

    /// Of the last block that begins before a key, if that is a pack.
    fn pack_before(&self, key: &[u8]) -> Result<Option<KeyRow>, ShelfError> {
        let before = self.block_before(key)?;
        Ok(before.filter(|(_, value)| pack::is_pack(value)))
    }

    /// The block that a key belongs to; a new one if there is none, or only a damaged one. One that
    /// is damaged under this very key is empty.
    fn block_of(&self, key: &[u8]) -> Result<Block, ShelfError> {
        let after = KeyRange {
            from: successor(key),
            to: None,
        };
        let next = self.first(&after, false)?.map(|(key, _)| key);
        let mut block = Block::new(key, next);
        let Some((found, value)) = self.block_before(&successor(key))? else {
            return Ok(block);
        };
        let rows = if pack::is_pack(&value) {
            pack::read(PACKED, &found, &value)
        } else {
            Some(vec![(found.clone(), value)])
        };
        let Some(mut rows) = rows else {
            block.stored = found == key;
            return Ok(block);
        };
        if let Some(next) = &block.next {
            rows.retain(|(key, _)| key < next);
        }
        let costs = rows.iter().map(|(key, row)| pack::cost(key, row.len()));
        block.bytes += costs.sum::<usize>();
        (block.key, block.rows, block.stored) = (found, rows, true);
        Ok(block)
    }

    /// The block in hand becomes the one that this row should be put into.
    fn take_for<'h>(
        &self,
        hand: &'h mut Option<Block>,
        key: &[u8],
        row_len: usize,
    ) -> Result<&'h mut Block, ShelfError> {
        let block = match hand.take() {
            Some(block) if block.covers(key) => {
                if block.takes(key, row_len, pack::FULL) {
                    block
                } else {
                    let next = Block::new(key, block.next.clone());
                    self.write(block)?;
                    next
                }
            }
            other => {
                other.map_or(Ok(()), |block| self.write(block))?;
                let block = self.block_of(key)?;
                if block.takes(key, row_len, GROW) {
                    block
                } else {
                    Block::new(key, block.next)
                }
            }
        };
        Ok(hand.insert(block))
    }

    /// What was in hand goes below.
    fn put_down(&self) -> Result<(), ShelfError> {
        let block = self.in_hand.lock().take();
        block.map_or(Ok(()), |block| self.write(block))
    }

    fn write(&self, block: Block) -> Result<(), ShelfError> {
        match block {
            Block { changed: false, .. } => Ok(()),
            Block { rows, .. } if rows.is_empty() && !block.stored => Ok(()),
            Block { ref rows, .. } if rows.is_empty() => self.remove(&block.key),
            block => self.divide(block),
        }
    }

    /// A block goes, and with it the bound that it is to the block before it: what that still
    /// has of the time before it was divided goes first.
    fn remove(&self, key: &[u8]) -> Result<(), ShelfError> {
        if let Some((before, value)) = self.pack_before(key)?
            && let Some(mut rows) = pack::read(PACKED, &before, &value)
        {
            let all = rows.len();
            rows.retain(|(at, _)| at.as_slice() < key);
            if rows.len() < all {
                let shortened = pack::write(PACKED, &before, &rows);
                self.below.put(PACKED, &before, shortened)?;
                self.below.sync()?;
            }
        }
        self.below.delete(PACKED, key)
    }

    /// Writes a block as one value, or as several of which none is too long.
    fn divide(&self, block: Block) -> Result<(), ShelfError> {
        let mut starts = vec![0];
        let mut bytes = pack::EMPTY;
        for (at, (key, row)) in block.rows.iter().enumerate() {
            let cost = pack::cost(key, row.len());
            if bytes + cost > pack::FULL && bytes > pack::EMPTY {
                starts.push(at);
                bytes = pack::EMPTY;
            }
            bytes += cost;
        }
        // From the last to the first. A block hides what the one before it has behind its key, so
        // what it hides must be durable elsewhere by then.
        let moves = block.stored && starts.len() > 1;
        let mut rest = block.rows.as_slice();
        while let Some(start) = starts.pop() {
            let rows = &rest[start..];
            let key = if start == 0 { &block.key } else { &rows[0].0 };
            let value = pack::write(PACKED, key, rows);
            if moves && rest.len() < block.rows.len() {
                self.below.sync()?;
            }
            let _nobody_reads_backward = moves.then(|| self.divided.write());
            self.below.put(PACKED, key, value)?;
            rest = &rest[..start];
        }
        Ok(())
    }

    fn scan_forward(&self, range: &KeyRange, visit: &mut Visit<'_>) -> Result<(), ShelfError> {
        let mut held = self.pack_before(&range.from)?;
        let mut step = Step::Next;
        self.below.scan(PACKED, range, false, &mut |key, value| {
            if let Some(block) = held.take() {
                step = show(&block, &range.from, Some(key), false, visit);
            }
            if step == Step::Next {
                match pack::is_pack(value) {
                    true => held = Some((key.to_vec(), value.to_vec())),
                    false => step = visit(key, value),
                }
            }
            step
        })?;
        if let (Some(block), Step::Next) = (held, step) {
            show(&block, &range.from, range.to.as_deref(), false, visit);
        }
        Ok(())
    }

    fn scan_backward(&self, range: &KeyRange, visit: &mut Visit<'_>) -> Result<(), ShelfError> {
        let _not_divided = self.divided.read();
        let mut upper = range.to.clone();
        let mut step = Step::Next;
        self.below.scan(PACKED, range, true, &mut |key, value| {
            step = if pack::is_pack(value) {
                let block = (key.to_vec(), value.to_vec());
                show(&block, &range.from, upper.as_deref(), true, visit)
            } else {
                visit(key, value)
            };
            upper = Some(key.to_vec());
            step
        })?;
        if step == Step::Next
            && let Some(block) = self.pack_before(&range.from)?
        {
            show(&block, &range.from, upper.as_deref(), true, visit);
        }
        Ok(())
    }
}

/// Shows the rows of a pack between two keys; a damaged one as itself, which is no row.
fn show(
    (block, value): &KeyRow,
    from: &[u8],
    to: Option<&[u8]>,
    backward: bool,
    visit: &mut Visit<'_>,
) -> Step {
    let Some(mut rows) = pack::read(PACKED, block, value) else {
        return visit(from.max(block), value);
    };
    rows.retain(|(key, _)| key.as_slice() >= from && to.is_none_or(|to| key.as_slice() < to));
    if backward {
        rows.reverse();
    }
    let stopped = rows.iter().any(|(key, row)| visit(key, row) == Step::Stop);
    if stopped { Step::Stop } else { Step::Next }
}

impl<S: Shelf> Shelf for PackedShelf<S> {
    fn get(&self, slot: usize, key: &[u8]) -> Result<Option<Vec<u8>>, ShelfError> {
        if slot != PACKED {
            return self.below.get(slot, key);
        }
        let Some((block, value)) = self.block_before(&successor(key))? else {
            return Ok(None);
        };
        if !pack::is_pack(&value) {
            return Ok((block == key).then_some(value));
        }
        let mut found = None;
        let sound = pack::visit(slot, &block, &value, |at, row| {
            if at == key {
                found = Some(row.to_vec());
            }
        });
        Ok(if sound.is_some() { found } else { Some(value) })
    }

    fn scan(
        &self,
        slot: usize,
        range: &KeyRange,
        backward: bool,
        visit: &mut Visit<'_>,
    ) -> Result<(), ShelfError> {
        match (slot, backward) {
            (PACKED, _) if range.is_empty() => Ok(()),
            (PACKED, false) => self.scan_forward(range, visit),
            (PACKED, true) => self.scan_backward(range, visit),
            _ => self.below.scan(slot, range, backward, visit),
        }
    }

    fn put(&self, slot: usize, key: &[u8], row: Vec<u8>) -> Result<(), ShelfError> {
        if slot != PACKED {
            return self.below.put(slot, key, row);
        }
        let mut hand = self.in_hand.lock();
        self.take_for(&mut hand, key, row.len())?.put(key, row);
        Ok(())
    }

    fn delete(&self, slot: usize, key: &[u8]) -> Result<(), ShelfError> {
        if slot != PACKED {
            return self.below.delete(slot, key);
        }
        let mut hand = self.in_hand.lock();
        let mut block = match hand.take() {
            Some(block) if block.covers(key) => block,
            other => {
                other.map_or(Ok(()), |block| self.write(block))?;
                self.block_of(key)?
            }
        };
        block.delete(key);
        *hand = Some(block);
        Ok(())
    }

    fn identity(&self) -> Result<Option<Identity>, ShelfError> {
        self.below.identity()
    }

    fn set_identity(&self, identity: Identity) -> Result<(), ShelfError> {
        self.put_down()?;
        self.below.set_identity(identity)
    }

    fn sync(&self) -> Result<(), ShelfError> {
        self.put_down()?;
        self.below.sync()
    }

    fn size(&self) -> u64 {
        self.below.size()
    }

    fn reopen(&self) -> Result<(), ShelfError> {
        *self.in_hand.lock() = None;
        self.below.reopen()
    }
}

#[cfg(test)]
mod tests;
