//! Several rows of a growing map in one value of sled's: a pack.
//!
//! It lies under a key that is not above its first row's, its *block*. A row in it is named by
//! how much of the block its key begins with and by the rest. One checksum covers all of it, and
//! each row has its own besides ([`crate::row`]).

use crc32fast::Hasher;

/// The most bytes of a pack, unless one row alone has more: sled keeps up to 16 values in a page,
/// and pages over about 128 KiB in files that it never reclaims.
pub(crate) const FULL: usize = 4_096;

/// Where [`crate::row`] has another number, a pack has this.
const TAG: u8 = 3;

/// Tag and checksum.
const HEAD: usize = 5;

/// Three lengths: of what is shared with the block, of the rest of the key, of the row.
const LENGTHS: usize = 6;

/// A key and the sealed row under it.
pub(crate) type KeyRow = (Vec<u8>, Vec<u8>);

/// What a row adds to a pack, at most.
pub(crate) fn cost(key: &[u8], row_len: usize) -> usize {
    LENGTHS + key.len() + row_len
}

/// What a pack has before its first row.
pub(crate) const EMPTY: usize = HEAD;

/// Whether a value of sled's is a pack and not a row.
pub(crate) fn is_pack(value: &[u8]) -> bool {
    value.first() == Some(&TAG)
}

/// Writes rows, in the order of their keys, as one value: a lone row as itself, if it is the one
/// that the block is named after.
pub(crate) fn write(slot: usize, block: &[u8], rows: &[KeyRow]) -> Vec<u8> {
    if let [(key, row)] = rows
        && key == block
    {
        return row.clone();
    }
    let mut pack = vec![TAG, 0, 0, 0, 0];
    for (key, row) in rows {
        let shared = key.iter().zip(block).take_while(|(a, b)| a == b).count();
        for len in [shared, key.len() - shared, row.len()] {
            pack.extend_from_slice(&(len as u16).to_be_bytes());
        }
        pack.extend_from_slice(&key[shared..]);
        pack.extend_from_slice(row);
    }
    let sum = checksum(slot, block, &pack[HEAD..]);
    pack[1..HEAD].copy_from_slice(&sum.to_be_bytes());
    pack
}

/// The rows of a pack in the order of their keys; `None`: it is damaged.
pub(crate) fn read(slot: usize, block: &[u8], pack: &[u8]) -> Option<Vec<KeyRow>> {
    let mut rows = Vec::new();
    visit(slot, block, pack, |key, row| {
        rows.push((key.to_vec(), row.to_vec()))
    })?;
    Some(rows)
}

/// Calls `each` with the rows of a pack in the order of their keys; `None`, and no call: it is
/// damaged.
pub(crate) fn visit(
    slot: usize,
    block: &[u8],
    pack: &[u8],
    mut each: impl FnMut(&[u8], &[u8]),
) -> Option<()> {
    let (head, mut rest) = pack.split_first_chunk::<HEAD>()?;
    let [tag, sum @ ..] = *head;
    if tag != TAG || sum != checksum(slot, block, rest).to_be_bytes() {
        return None;
    }
    let mut key = Vec::new();
    while !rest.is_empty() {
        let (lengths, after) = rest.split_first_chunk::<LENGTHS>()?;
        let [a, b, c, d, e, f] = *lengths;
        let [shared, own, len] =
            [[a, b], [c, d], [e, f]].map(|pair| usize::from(u16::from_be_bytes(pair)));
        key.clear();
        key.extend_from_slice(block.get(..shared)?);
        key.extend_from_slice(after.get(..own)?);
        each(&key, after.get(own..own + len)?);
        rest = &after[own + len..];
    }
    Some(())
}

fn checksum(slot: usize, block: &[u8], rows: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&[slot as u8, TAG]);
    hasher.update(&(block.len() as u16).to_be_bytes());
    hasher.update(block);
    hasher.update(rows);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(key: &[u8], row: &[u8]) -> KeyRow {
        (key.to_vec(), row.to_vec())
    }

    #[test]
    fn golden_bytes() {
        let pack = write(2, b"key1", &[row(b"key1", b"a"), row(b"key2", b"bc")]);
        assert_eq!(
            pack[HEAD..],
            [0, 4, 0, 0, 0, 1, 97, 0, 3, 0, 1, 0, 2, 50, 98, 99]
        );
        assert_eq!(pack[..HEAD], [3, 231, 59, 106, 50]);
    }

    #[test]
    fn a_lone_row_is_itself_under_its_own_key_only() {
        let rows = [row(b"key2", b"row")];
        assert_eq!(write(2, b"key2", &rows), b"row");
        let pack = write(2, b"key1", &rows);
        assert!(is_pack(&pack));
        assert_eq!(read(2, b"key1", &pack).as_deref(), Some(&rows[..]));
    }

    #[test]
    fn every_flipped_bit_and_every_wrong_place_is_noticed() {
        let pack = write(2, b"key1", &[row(b"key1", b"a"), row(b"key2", b"bc")]);
        for bit in 0..pack.len() * 8 {
            let mut pack = pack.clone();
            pack[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(2, b"key1", &pack), None);
        }
        assert_eq!(read(3, b"key1", &pack), None);
        assert_eq!(read(2, b"key0", &pack), None);
        assert_eq!(read(2, b"key1", &pack[..pack.len() - 1]), None);
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            block: Vec<u8>,
            rows: std::collections::BTreeMap<Vec<u8>, Vec<u8>>,
        ) {
            let rows: Vec<KeyRow> = rows.into_iter().collect();
            let pack = write(4, &block, &rows);
            prop_assume!(is_pack(&pack));
            prop_assert_eq!(read(4, &block, &pack), Some(rows.clone()));
            let cost = rows.iter().map(|(key, row)| cost(key, row.len())).sum::<usize>();
            prop_assert!(pack.len() <= EMPTY + cost);
        }
    }
}
