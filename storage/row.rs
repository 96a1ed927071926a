//! How a row lies on the shelf: its value with a checksum, or, over 4 KiB, a head and parts.
//!
//! sled keeps pages over about 128 KiB in files of their own that it never reclaims, and a page
//! holds up to 16 values; so no value there may exceed 4 KiB. The parts of a longer one lie in a
//! map of their own, so that ranges over the tree do not meet them. Checksums cover the map and
//! the key too: a value under another key is damage.

use crc32fast::Hasher;

/// The longest value in one row, in bytes.
pub(crate) const PART: usize = 4_096 - HEAD;

/// Tag and checksum before the bytes of a value.
const HEAD: usize = 5;

const WHOLE: u8 = 1;
const IN_PARTS: u8 = 2;

/// A row as it is read from the shelf.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Row<'r> {
    /// The value.
    Whole(&'r [u8]),
    /// Where the value is.
    InParts(Parts),
}

/// The head of a value in parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    /// How many parts it has.
    pub(crate) count: u16,
    /// The length of the value in bytes.
    pub(crate) len: u32,
    /// The checksum of the value.
    crc: u32,
}

impl Parts {
    /// Whether `value` is what was put together.
    pub(crate) fn fits(&self, value: &[u8]) -> bool {
        value.len() == self.len as usize && crc32fast::hash(value) == self.crc
    }
}

/// How many parts a value of `len` bytes has; 0: it is one row.
pub(crate) fn part_count(len: usize) -> u16 {
    if len <= PART {
        0
    } else {
        len.div_ceil(PART) as u16
    }
}

/// The row of a value: itself, or the head of its parts.
pub(crate) fn seal(slot: usize, key: &[u8], value: &[u8]) -> Vec<u8> {
    match part_count(value.len()) {
        0 => seal_bytes(slot, key, WHOLE, value),
        count => {
            let mut head = [0; 10];
            head[..2].copy_from_slice(&count.to_be_bytes());
            head[2..6].copy_from_slice(&(value.len() as u32).to_be_bytes());
            head[6..].copy_from_slice(&crc32fast::hash(value).to_be_bytes());
            seal_bytes(slot, key, IN_PARTS, &head)
        }
    }
}

/// The parts of a value that is not one row.
pub(crate) fn parts(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let parts = if value.len() <= PART { &[][..] } else { value };
    parts.chunks(PART)
}

/// Reads a row; `None`: damaged.
pub(crate) fn open<'r>(slot: usize, key: &[u8], row: &'r [u8]) -> Option<Row<'r>> {
    let (head, value) = row.split_first_chunk::<HEAD>()?;
    let [tag, crc @ ..] = *head;
    if crc != checksum(slot, key, tag, value).to_be_bytes() {
        return None;
    }
    match tag {
        WHOLE => Some(Row::Whole(value)),
        IN_PARTS => {
            let [a, b, l0, l1, l2, l3, c0, c1, c2, c3] = *<&[u8; 10]>::try_from(value).ok()?;
            Some(Row::InParts(Parts {
                count: u16::from_be_bytes([a, b]),
                len: u32::from_be_bytes([l0, l1, l2, l3]),
                crc: u32::from_be_bytes([c0, c1, c2, c3]),
            }))
        }
        _ => None,
    }
}

fn seal_bytes(slot: usize, key: &[u8], tag: u8, value: &[u8]) -> Vec<u8> {
    let mut row = Vec::with_capacity(HEAD + value.len());
    row.push(tag);
    row.extend_from_slice(&checksum(slot, key, tag, value).to_be_bytes());
    row.extend_from_slice(value);
    row
}

fn checksum(slot: usize, key: &[u8], tag: u8, value: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&[slot as u8, tag]);
    hasher.update(&(key.len() as u16).to_be_bytes());
    hasher.update(key);
    hasher.update(value);
    hasher.finalize()
}

/// What the keys of all parts of a row start with. A zero in the key is escaped and the key
/// ended by two, so that the order of rows is the order of their parts and no key's parts lie
/// among another's.
pub(crate) fn parts_prefix(slot: usize, key: &[u8]) -> Vec<u8> {
    let mut prefix = parts_start(slot, key);
    prefix.extend_from_slice(&[0, 0]);
    prefix
}

/// The place in the order of parts where those of `key` and all keys after it begin.
pub(crate) fn parts_start(slot: usize, key: &[u8]) -> Vec<u8> {
    let mut start = Vec::with_capacity(key.len() + 5);
    start.push(slot as u8);
    for byte in key {
        start.push(*byte);
        if *byte == 0 {
            start.push(0xff);
        }
    }
    start
}

/// The key of one part.
pub(crate) fn part_key(prefix: &[u8], number: u16) -> Vec<u8> {
    let mut key = Vec::with_capacity(prefix.len() + 2);
    key.extend_from_slice(prefix);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn golden_bytes() {
        assert_eq!(
            seal(2, b"key", b"value"),
            [1, 204, 154, 151, 122, 118, 97, 108, 117, 101]
        );
        assert_eq!(
            part_key(&parts_prefix(2, b"a\0b"), 1),
            [2, 97, 0, 255, 98, 0, 0, 0, 1]
        );
    }

    #[test]
    fn the_bound_of_one_row() {
        assert_eq!((part_count(PART), part_count(PART + 1)), (0, 2));
        assert_eq!(seal(0, b"k", &[7; PART]).len(), 4_096);
        assert_eq!(parts(&[7; PART]).count(), 0);
        let value = vec![7; 3 * PART];
        assert_eq!((parts(&value).count(), part_count(value.len())), (3, 3));
        let head = seal(0, b"k", &value);
        let Some(Row::InParts(head)) = open(0, b"k", &head) else {
            panic!("no head")
        };
        assert!(head.fits(&value) && !head.fits(&value[1..]));
        assert_eq!(part_count(crate::frame::MAX_VALUE), 1_026);
    }

    #[test]
    fn every_flipped_bit_and_every_wrong_place_is_noticed() {
        let row = seal(2, b"key", b"value");
        assert_eq!(open(2, b"key", &row), Some(Row::Whole(b"value")));
        for bit in 0..row.len() * 8 {
            let mut row = row.clone();
            row[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(2, b"key", &row), None);
        }
        assert_eq!(open(3, b"key", &row), None);
        assert_eq!(open(2, b"kez", &row), None);
        assert_eq!(open(2, b"key", &row[..4]), None);
    }

    proptest! {
        #[test]
        fn parts_lie_in_the_order_of_rows(a: Vec<u8>, b: Vec<u8>, n: u16) {
            let key = |key: &[u8]| part_key(&parts_prefix(1, key), n);
            prop_assert_eq!(key(&a).cmp(&key(&b)), a.cmp(&b));
            prop_assert!(key(&a) >= parts_start(1, &a));
            if a < b {
                prop_assert!(key(&a) < parts_start(1, &b));
            }
        }
    }
}
