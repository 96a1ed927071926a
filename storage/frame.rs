//! Frames: what is stored together or not at all.

use std::fmt;

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
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Frame {
    ops: Vec<Op>,
    bytes: usize,
}

/// One change of a frame.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Op {
    Put {
        tree: Tree,
        key: Vec<u8>,
        value: Vec<u8>,
    },
    Delete {
        tree: Tree,
        key: Vec<u8>,
    },
    DeleteRange {
        tree: Tree,
        range: KeyRange,
    },
    /// Becomes a `Put` before it reaches the journal, which thus can be replayed any number
    /// of times.
    Add {
        tree: Tree,
        key: Vec<u8>,
        delta: i64,
    },
}

impl Frame {
    /// An empty frame.
    pub fn new() -> Frame {
        Frame::default()
    }

    /// Writes a row, over the old one if there is one.
    pub fn put(
        &mut self,
        tree: Tree,
        key: impl Into<Vec<u8>>,
        value: impl Into<Vec<u8>>,
    ) -> &mut Self {
        self.push(Op::Put {
            tree,
            key: key.into(),
            value: value.into(),
        })
    }

    /// Removes a row; nothing happens if there is none.
    pub fn delete(&mut self, tree: Tree, key: impl Into<Vec<u8>>) -> &mut Self {
        self.push(Op::Delete {
            tree,
            key: key.into(),
        })
    }

    /// Removes all rows of a range, at the cost of one small journal entry; sled follows in
    /// slices at the next checkpoint.
    pub fn delete_range(&mut self, tree: Tree, range: KeyRange) -> &mut Self {
        if range.is_empty() {
            return self;
        }
        self.push(Op::DeleteRange { tree, range })
    }

    /// Adds to a counter (missing: 0; it stays at the ends of `i64`). What it comes to is
    /// decided in the order of commits, so two who count never lose one.
    pub fn add(&mut self, tree: Tree, key: impl Into<Vec<u8>>, delta: i64) -> &mut Self {
        self.push(Op::Add {
            tree,
            key: key.into(),
            delta,
        })
    }

    /// All changes of `other` after the own ones.
    pub fn append(&mut self, other: Frame) -> &mut Self {
        self.bytes += other.bytes;
        self.ops.extend(other.ops);
        self
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// How many changes it holds.
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Its size in the journal, in bytes.
    pub fn size(&self) -> usize {
        self.bytes
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
        bounded("a frame", self.bytes, MAX_FRAME)?;
        for op in &self.ops {
            match op {
                Op::Put { key, value, .. } => {
                    bounded("a key", key.len(), MAX_KEY)?;
                    bounded("a value", value.len(), MAX_VALUE)?;
                }
                Op::Delete { key, .. } | Op::Add { key, .. } => {
                    bounded("a key", key.len(), MAX_KEY)?;
                }
                Op::DeleteRange { range, .. } => {
                    bounded("a key", range.from.len(), MAX_KEY + 1)?;
                    let to = range.to.as_ref().map_or(0, Vec::len);
                    bounded("a key", to, MAX_KEY + 1)?;
                }
            }
        }
        Ok(())
    }

    /// Whether it only removes: allowed a little longer when the disk fills up.
    pub(crate) fn only_deletes(&self) -> bool {
        self.ops
            .iter()
            .all(|op| matches!(op, Op::Delete { .. } | Op::DeleteRange { .. }))
    }

    pub(crate) fn ops(&self) -> &[Op] {
        &self.ops
    }

    pub(crate) fn ops_mut(&mut self) -> &mut [Op] {
        &mut self.ops
    }

    pub(crate) fn into_ops(self) -> Vec<Op> {
        self.ops
    }

    fn push(&mut self, op: Op) -> &mut Self {
        self.bytes += op.size();
        self.ops.push(op);
        self
    }
}

/// Values may be secrets: only the shape is shown.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({} changes, {} bytes)", self.ops.len(), self.bytes)
    }
}

const PUT: u8 = 1;
const DELETE: u8 = 2;
const DELETE_RANGE: u8 = 3;
const DELETE_REST: u8 = 4;

impl Op {
    fn size(&self) -> usize {
        match self {
            Op::Put { key, value, .. } => 8 + key.len() + value.len(),
            Op::Delete { key, .. } => 4 + key.len(),
            Op::DeleteRange { range, .. } => {
                4 + range.from.len() + range.to.as_ref().map_or(0, |to| 2 + to.len())
            }
            Op::Add { key, .. } => 16 + key.len(),
        }
    }

    /// The journal's bytes. `Add` has none: it was made a `Put` before.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Op::Put { tree, key, value } => {
                write_head(out, PUT, *tree, key);
                out.extend_from_slice(&(value.len() as u32).to_be_bytes());
                out.extend_from_slice(value);
            }
            Op::Delete { tree, key } => write_head(out, DELETE, *tree, key),
            Op::DeleteRange { tree, range } => match &range.to {
                Some(to) => {
                    write_head(out, DELETE_RANGE, *tree, &range.from);
                    out.extend_from_slice(&(to.len() as u16).to_be_bytes());
                    out.extend_from_slice(to);
                }
                None => write_head(out, DELETE_REST, *tree, &range.from),
            },
            Op::Add { tree, key, delta } => {
                let value = delta.to_be_bytes().to_vec();
                Op::Put {
                    tree: *tree,
                    key: key.clone(),
                    value,
                }
                .write(out);
            }
        }
    }
}

fn write_head(out: &mut Vec<u8>, code: u8, tree: Tree, key: &[u8]) {
    out.push(code);
    out.push(tree.code());
    out.extend_from_slice(&(key.len() as u16).to_be_bytes());
    out.extend_from_slice(key);
}

/// Reads the changes of a frame back; `None` if the bytes are not exactly such.
pub(crate) fn read_ops(mut bytes: &[u8]) -> Option<Vec<Op>> {
    let mut ops = Vec::new();
    while let Some((code, rest)) = bytes.split_first() {
        let (tree, rest) = rest.split_first()?;
        let tree = Tree::from_code(*tree)?;
        let (key, rest) = read_short(rest)?;
        let (op, rest) = match *code {
            PUT => {
                let (len, rest) = rest.split_first_chunk::<4>()?;
                let (value, rest) = rest.split_at_checked(u32::from_be_bytes(*len) as usize)?;
                (
                    Op::Put {
                        tree,
                        key,
                        value: value.to_vec(),
                    },
                    rest,
                )
            }
            DELETE => (Op::Delete { tree, key }, rest),
            DELETE_RANGE => {
                let (to, rest) = read_short(rest)?;
                let range = KeyRange {
                    from: key,
                    to: Some(to),
                };
                (Op::DeleteRange { tree, range }, rest)
            }
            DELETE_REST => {
                let range = KeyRange {
                    from: key,
                    to: None,
                };
                (Op::DeleteRange { tree, range }, rest)
            }
            _ => return None,
        };
        ops.push(op);
        bytes = rest;
    }
    Some(ops)
}

fn read_short(bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    let (key, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
    Some((key.to_vec(), rest))
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

    fn write(frame: &Frame) -> Vec<u8> {
        let mut bytes = Vec::new();
        frame.ops().iter().for_each(|op| op.write(&mut bytes));
        bytes
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
        assert_eq!(write(&frame()), golden);
        assert_eq!(frame().size(), golden.len());
        assert!(read_ops(&golden).unwrap() == frame().into_ops());
    }

    #[test]
    fn cut_or_strange_bytes_are_no_frame() {
        let bytes = write(&frame());
        let whole: Vec<usize> = (0..bytes.len())
            .filter(|n| read_ops(&bytes[..*n]).is_some())
            .collect();
        assert_eq!(whole, [0, 16, 23, 37], "only where a change ends");
        assert!(read_ops(&[9, 0, 0, 0]).is_none());
        assert!(read_ops(&[2, 8, 0, 0]).is_none());
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
