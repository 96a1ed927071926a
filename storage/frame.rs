//! Frames: what is stored together or not at all.

use std::{fmt, ops::Range};

use crate::{error::StoreError, key::KeyRange, tree::Tree};

/// The longest key, in bytes: a full JID (3,071, RFC 7622 §3.1) and what stands round it.
pub const MAX_KEY: usize = 3_584;

/// The longest value, in bytes. Over 4 KiB it is kept in parts, which callers do not see.
pub const MAX_VALUE: usize = 4 << 20;

/// The largest frame, in bytes as journalled.
pub const MAX_FRAME: usize = 8 << 20;

/// The largest batch of one commit, in bytes as journalled.
pub const MAX_BATCH: usize = 32 << 20;

/// Changes that become durable together: after a crash all of them are there or none.
///
/// They take effect in the order in which they were added; frames in the order of the batch.
///
/// A frame is written as it grows, in the journal's own bytes: a row is copied once, and what the
/// commit hands on, to the disk and to the memtable, is this.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Frame {
    /// The changes one behind the other.
    bytes: Vec<u8>,
    len: usize,
    /// How many of them write, and do not only remove.
    writes: usize,
    /// How many of these count.
    adds: usize,
    longest: Longest,
}

/// The lengths of what is bounded.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Longest {
    key: usize,
    value: usize,
    /// An end of a range: as long as a key and what comes right behind it.
    end: usize,
}

/// One change of a frame.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Op<'f> {
    Put {
        tree: Tree,
        key: &'f [u8],
        value: &'f [u8],
    },
    Delete {
        tree: Tree,
        key: &'f [u8],
    },
    DeleteRange {
        tree: Tree,
        range: KeyRange,
    },
    /// Becomes a `Put` before it reaches the journal, which thus can be replayed any number
    /// of times.
    Add {
        tree: Tree,
        key: &'f [u8],
        delta: i64,
    },
}

impl Frame {
    /// An empty frame.
    pub fn new() -> Frame {
        Frame::default()
    }

    /// Writes a row, over the old one if there is one.
    pub fn put(&mut self, tree: Tree, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> &mut Self {
        self.write(PUT, tree, key.as_ref(), value.as_ref())
    }

    /// Removes a row; nothing happens if there is none.
    pub fn delete(&mut self, tree: Tree, key: impl AsRef<[u8]>) -> &mut Self {
        let key = key.as_ref();
        self.longest.key = self.longest.key.max(key.len());
        self.begin(DELETE, tree, key);
        self
    }

    /// Removes all rows of a range, at the cost of one small journal entry; sled follows in
    /// slices at the next checkpoint.
    pub fn delete_range(&mut self, tree: Tree, range: KeyRange) -> &mut Self {
        if range.is_empty() {
            return self;
        }
        let to = range.to.as_ref().map_or(0, Vec::len);
        self.longest.end = self.longest.end.max(range.from.len()).max(to);
        match &range.to {
            Some(to) => {
                self.begin(DELETE_RANGE, tree, &range.from);
                write_short(&mut self.bytes, to);
            }
            None => self.begin(DELETE_REST, tree, &range.from),
        }
        self
    }

    /// Adds to a counter (missing: 0; it stays at the ends of `i64`). What it comes to is
    /// decided in the order of commits, so two who count never lose one.
    pub fn add(&mut self, tree: Tree, key: impl AsRef<[u8]>, delta: i64) -> &mut Self {
        self.adds += 1;
        self.write(ADD, tree, key.as_ref(), &delta.to_be_bytes())
    }

    /// All changes of `other` after the own ones.
    pub fn append(&mut self, other: Frame) -> &mut Self {
        if self.is_empty() {
            *self = other;
            return self;
        }
        self.bytes.extend_from_slice(&other.bytes);
        self.len += other.len;
        self.writes += other.writes;
        self.adds += other.adds;
        let (own, others) = (&mut self.longest, other.longest);
        own.key = own.key.max(others.key);
        own.value = own.value.max(others.value);
        own.end = own.end.max(others.end);
        self
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many changes it holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Its size in the journal, in bytes.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it is within its bounds. One frame over them would fail its whole batch, so ask
    /// before it joins one.
    pub fn check(&self) -> Result<(), StoreError> {
        let bounded = |what, size, bound| {
            if size > bound {
                Err(StoreError::TooLarge { what, size, bound })
            } else {
                Ok(())
            }
        };
        bounded("a frame", self.size(), MAX_FRAME)?;
        bounded("a key", self.longest.key, MAX_KEY)?;
        bounded("a key", self.longest.end, MAX_KEY + 1)?;
        bounded("a value", self.longest.value, MAX_VALUE)
    }

    /// Whether it only removes: allowed a little longer when the disk fills up.
    pub(crate) fn only_deletes(&self) -> bool {
        self.writes == 0
    }

    /// Whether something in it counts.
    pub(crate) fn counts(&self) -> bool {
        self.adds > 0
    }

    /// The changes as the journal has them, once nothing in it counts.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The changes. Only of a frame within its bounds.
    pub(crate) fn ops(&self) -> Ops<'_> {
        Ops::new(&self.bytes)
    }

    /// The `Add` between these bytes becomes the `Put` of what it comes to.
    pub(crate) fn set_sum(&mut self, add: Range<usize>, sum: i64) {
        self.bytes[add.start] = PUT;
        self.bytes[add.end - 8..add.end].copy_from_slice(&sum.to_be_bytes());
        self.adds -= 1;
    }

    fn write(&mut self, code: u8, tree: Tree, key: &[u8], value: &[u8]) -> &mut Self {
        self.longest.key = self.longest.key.max(key.len());
        self.longest.value = self.longest.value.max(value.len());
        self.writes += 1;
        self.bytes.reserve(8 + key.len() + value.len());
        self.begin(code, tree, key);
        self.bytes
            .extend_from_slice(&(value.len() as u32).to_be_bytes());
        self.bytes.extend_from_slice(value);
        self
    }

    fn begin(&mut self, code: u8, tree: Tree, key: &[u8]) {
        self.len += 1;
        self.bytes.extend_from_slice(&[code, tree.code()]);
        write_short(&mut self.bytes, key);
    }
}

/// Values may be secrets: only the shape is shown.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({} changes, {} bytes)", self.len, self.size())
    }
}

const PUT: u8 = 1;
const DELETE: u8 = 2;
const DELETE_RANGE: u8 = 3;
const DELETE_REST: u8 = 4;
/// Like `PUT`, with the difference in place of the value. Never in the journal.
const ADD: u8 = 5;

fn write_short(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Reads changes one by one.
pub(crate) struct Ops<'f> {
    bytes: &'f [u8],
    at: usize,
}

impl<'f> Ops<'f> {
    /// The changes of a frame, of which it is known that they can be read.
    pub(crate) fn new(bytes: &'f [u8]) -> Ops<'f> {
        Ops { bytes, at: 0 }
    }

    /// The changes that were found in a journal; `None` if the bytes are not exactly such.
    pub(crate) fn found(bytes: &'f [u8]) -> Option<Ops<'f>> {
        let mut ops = Ops::new(bytes);
        while ops.at < bytes.len() {
            if let Op::Add { .. } = ops.read()? {
                return None;
            }
        }
        Some(Ops::new(bytes))
    }

    /// How many bytes are read.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    fn read(&mut self) -> Option<Op<'f>> {
        let (code, rest) = self.bytes.get(self.at..)?.split_first()?;
        let (tree, rest) = rest.split_first()?;
        let tree = Tree::from_code(*tree)?;
        let (key, rest) = read_short(rest)?;
        let (op, rest) = match *code {
            PUT | ADD => {
                let (len, rest) = rest.split_first_chunk::<4>()?;
                let (value, rest) = rest.split_at_checked(u32::from_be_bytes(*len) as usize)?;
                let op = match *code {
                    PUT => Op::Put { tree, key, value },
                    _ => Op::Add {
                        tree,
                        key,
                        delta: read_counter(value)?,
                    },
                };
                (op, rest)
            }
            DELETE => (Op::Delete { tree, key }, rest),
            DELETE_RANGE => {
                let (to, rest) = read_short(rest)?;
                let (from, to) = (key.to_vec(), Some(to.to_vec()));
                let range = KeyRange { from, to };
                (Op::DeleteRange { tree, range }, rest)
            }
            DELETE_REST => {
                let (from, to) = (key.to_vec(), None);
                let range = KeyRange { from, to };
                (Op::DeleteRange { tree, range }, rest)
            }
            _ => return None,
        };
        self.at = self.bytes.len() - rest.len();
        Some(op)
    }
}

impl<'f> Iterator for Ops<'f> {
    type Item = Op<'f>;

    fn next(&mut self) -> Option<Op<'f>> {
        self.read()
    }
}

fn read_short(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))
}

/// The value of a counter row.
pub(crate) fn read_counter(value: &[u8]) -> Option<i64> {
    value.try_into().ok().map(i64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> Frame {
        let mut frame = Frame::new();
        frame
            .put(Tree::Archive, *b"key", *b"value")
            .delete(Tree::Meta, *b"old")
            .delete_range(Tree::Account, KeyRange::account(7))
            .delete_range(
                Tree::Outbox,
                KeyRange {
                    from: b"x".to_vec(),
                    to: None,
                },
            );
        frame
    }

    #[test]
    fn golden_bytes() {
        let golden = [
            &[1, 2, 0, 3][..],
            b"key",
            &[0, 0, 0, 5],
            b"value", //
            &[2, 7, 0, 3],
            b"old",                                      //
            &[3, 1, 0, 4, 0, 0, 0, 7, 0, 4, 0, 0, 0, 8], //
            &[4, 4, 0, 1],
            b"x",
        ]
        .concat();
        assert_eq!(frame().bytes(), golden);
        assert_eq!(frame().size(), golden.len());
        let found: Vec<Op> = Ops::found(&golden).expect("changes").collect();
        assert!(found == frame().ops().collect::<Vec<Op>>());
        assert_eq!(found.len(), frame().len());
    }

    #[test]
    fn cut_or_strange_bytes_are_no_frame() {
        let frame = frame();
        let bytes = frame.bytes();
        let whole: Vec<usize> = (0..bytes.len())
            .filter(|n| Ops::found(&bytes[..*n]).is_some())
            .collect();
        assert_eq!(whole, [0, 16, 23, 37], "only where a change ends");
        assert!(Ops::found(&[9, 0, 0, 0]).is_none());
        assert!(Ops::found(&[2, 8, 0, 0]).is_none());
    }

    #[test]
    fn what_counts_never_reaches_the_journal() {
        let mut frame = frame();
        let before = frame.size();
        frame.add(Tree::Meta, *b"n", -1);
        assert!(frame.counts() && Ops::found(frame.bytes()).is_none());
        frame.set_sum(before..frame.size(), 41);
        assert!(!frame.counts());
        let put = Op::Put {
            tree: Tree::Meta,
            key: b"n",
            value: &41i64.to_be_bytes(),
        };
        assert!(Ops::found(frame.bytes()).and_then(Iterator::last) == Some(put));
    }

    #[test]
    fn bounds_hold_at_the_limit_and_one_past() {
        let put = |key: usize, value: usize| {
            Frame::new()
                .put(Tree::Meta, vec![0; key], vec![0; value])
                .check()
        };
        assert_eq!(put(MAX_KEY, MAX_VALUE), Ok(()));
        assert!(matches!(
            put(MAX_KEY + 1, 0),
            Err(StoreError::TooLarge { what: "a key", .. })
        ));
        assert!(matches!(
            put(0, MAX_VALUE + 1),
            Err(StoreError::TooLarge {
                what: "a value",
                ..
            })
        ));
        let mut frame = Frame::new();
        frame
            .put(Tree::Meta, [], vec![0; MAX_VALUE])
            .put(Tree::Meta, [], vec![0; MAX_VALUE - 16]);
        assert_eq!(frame.check(), Ok(()));
        assert_eq!(frame.size(), MAX_FRAME);
        frame.delete(Tree::Meta, []);
        assert!(matches!(
            frame.check(),
            Err(StoreError::TooLarge {
                what: "a frame",
                ..
            })
        ));
    }

    #[test]
    fn debug_shows_no_value() {
        let shown = format!(
            "{:?}",
            Frame::new().put(Tree::Accounts, *b"alice", *b"secret")
        );
        assert_eq!(shown, "Frame(1 changes, 19 bytes)");
    }
}
