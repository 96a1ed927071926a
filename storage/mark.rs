//! The mark: a small file in the journal's folder that says from where to replay and what has to
//! be there.

use std::{io, path::Path};

use crate::{
    disk::{self, Disk},
    journal::Position,
    log::StoreId,
    migrations::FORMAT,
    tree::SLOTS,
};

/// The file's name.
pub(crate) const MARK: &str = "mark";

const MAGIC: &[u8; 8] = b"ROOKMARK";

/// What is known of the store as of the last checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The format of the whole store.
    pub(crate) format: u16,
    pub(crate) store: StoreId,
    /// How often the store was opened.
    pub(crate) generation: u64,
    /// All up to this sequence number is in sled, durably.
    pub(crate) sequence: u64,
    /// Where the next frame stands in the journal.
    pub(crate) position: Position,
    /// The oldest segment that has to be there: what a rebuild needs may lie before `position`.
    pub(crate) oldest: u64,
    /// The newest segment that has to be there.
    pub(crate) newest: u64,
    /// Which start of the operating system wrote it; 0: not known.
    pub(crate) boot: u64,
    /// The last finished export.
    pub(crate) export: Option<Exported>,
    /// What sled holds.
    pub(crate) tallies: Tallies,
    /// A feed that was begun. Sled holds an unknown part of it.
    pub(crate) next: Option<Next>,
}

/// A finished export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exported {
    /// Its number, from 1; also its file's name.
    pub(crate) number: u64,
    /// What sled held when it began, or later.
    pub(crate) sequence: u64,
    /// Where the journal went on then.
    pub(crate) position: Position,
}

/// A feed that was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Next {
    /// The last sequence number of it.
    pub(crate) sequence: u64,
    /// What sled holds when it is complete.
    pub(crate) tallies: Tallies,
}

/// One tally for each map of the shelf.
pub(crate) type Tallies = [Tally; SLOTS];

/// How many rows a map holds and a sum over their keys: cheap to keep, and a row lost or
/// forged shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) rows: u64,
    pub(crate) keys: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, key: &[u8]) {
        self.rows = self.rows.wrapping_add(1);
        self.keys = self.keys.wrapping_add(key_hash(key));
    }

    pub(crate) fn remove(&mut self, key: &[u8]) {
        self.rows = self.rows.wrapping_sub(1);
        self.keys = self.keys.wrapping_sub(key_hash(key));
    }
}

/// FNV-1a with a final mixing, so that sums of it do not cancel out. It is on disk: never change
/// it.
fn key_hash(key: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in key {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^= hash >> 32;
    hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^ (hash >> 29)
}

impl Mark {
    /// The mark of a store in which nothing happened yet.
    pub(crate) fn first(store: StoreId, position: Position) -> Mark {
        Mark {
            format: FORMAT,
            store,
            generation: 1,
            sequence: 0,
            position,
            oldest: position.segment,
            newest: position.segment,
            boot: 0,
            export: None,
            tallies: Tallies::default(),
            next: None,
        }
    }

    /// Puts the mark in place of the old one: after a crash one of them is there, whole.
    pub(crate) fn store(&self, disk: &dyn Disk, folder: &Path) -> io::Result<()> {
        disk::replace(disk, folder, MARK, &self.write())
    }

    fn write(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&self.format.to_be_bytes());
        out.extend_from_slice(&self.store);
        let numbers = [
            self.generation,
            self.sequence,
            self.position.segment,
            self.position.offset,
            self.oldest,
            self.newest,
            self.boot,
        ];
        write_numbers(&mut out, numbers);
        write_numbers(&mut out, export_numbers(self.export));
        write_tallies(&mut out, &self.tallies);
        match &self.next {
            None => out.push(0),
            Some(next) => {
                out.push(1);
                write_numbers(&mut out, [next.sequence]);
                write_tallies(&mut out, &next.tallies);
            }
        }
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_be_bytes());
        out
    }

    /// Reads a mark; of a newer format only that can be told.
    pub(crate) fn read(bytes: &[u8]) -> Result<Mark, Unreadable> {
        let (rest, crc) = bytes.split_last_chunk::<4>().ok_or(Unreadable::Damaged)?;
        if crc32fast::hash(rest).to_be_bytes() != *crc {
            return Err(Unreadable::Damaged);
        }
        let rest = rest.strip_prefix(MAGIC).ok_or(Unreadable::Damaged)?;
        let (format, rest) = rest.split_first_chunk::<2>().ok_or(Unreadable::Damaged)?;
        let format = u16::from_be_bytes(*format);
        if format > FORMAT {
            return Err(Unreadable::Newer(format));
        }
        // What is written next is of this program's format.
        read_body(FORMAT, rest).ok_or(Unreadable::Damaged)
    }
}

/// Why a mark was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    Damaged,
    /// Of this format.
    Newer(u16),
}

fn write_numbers<const N: usize>(out: &mut Vec<u8>, numbers: [u64; N]) {
    for number in numbers {
        out.extend_from_slice(&number.to_be_bytes());
    }
}

/// Four zeros: none.
fn export_numbers(export: Option<Exported>) -> [u64; 4] {
    export.map_or([0; 4], |export| {
        let Position { segment, offset } = export.position;
        [export.number, export.sequence, segment, offset]
    })
}

fn read_exported([number, sequence, segment, offset]: [u64; 4]) -> Option<Exported> {
    let position = Position { segment, offset };
    (number > 0).then_some(Exported {
        number,
        sequence,
        position,
    })
}

fn write_tallies(out: &mut Vec<u8>, tallies: &Tallies) {
    for tally in tallies {
        write_numbers(out, [tally.rows, tally.keys]);
    }
}

fn read_body(format: u16, bytes: &[u8]) -> Option<Mark> {
    let (store, mut rest) = bytes.split_first_chunk::<16>()?;
    let [generation, sequence, segment, offset, oldest, newest, boot] = read_numbers(&mut rest)?;
    let export = read_exported(read_numbers(&mut rest)?);
    let tallies = read_tallies(&mut rest)?;
    let next = match rest.split_off_first()? {
        0 => None,
        1 => {
            let [sequence] = read_numbers(&mut rest)?;
            Some(Next {
                sequence,
                tallies: read_tallies(&mut rest)?,
            })
        }
        _ => return None,
    };
    let position = Position { segment, offset };
    let store = *store;
    let mark = Mark {
        format,
        store,
        generation,
        sequence,
        position,
        oldest,
        newest,
        boot,
        export,
        tallies,
        next,
    };
    rest.is_empty().then_some(mark)
}

fn read_numbers<const N: usize>(rest: &mut &[u8]) -> Option<[u64; N]> {
    let mut numbers = [0; N];
    for number in &mut numbers {
        let (bytes, after) = rest.split_first_chunk::<8>()?;
        *number = u64::from_be_bytes(*bytes);
        *rest = after;
    }
    Some(numbers)
}

fn read_tallies(rest: &mut &[u8]) -> Option<Tallies> {
    let mut tallies = Tallies::default();
    for tally in &mut tallies {
        let [rows, keys] = read_numbers(rest)?;
        *tally = Tally { rows, keys };
    }
    Some(tallies)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark() -> Mark {
        let mut mark = Mark::first(
            [9; 16],
            Position {
                segment: 4,
                offset: 52,
            },
        );
        mark.tallies[2].add(b"key");
        mark
    }

    #[test]
    fn reads_what_it_wrote() {
        let mut mark = mark();
        assert_eq!(Mark::read(&mark.write()), Ok(mark.clone()));
        mark.export = Some(Exported {
            number: 2,
            sequence: 5,
            position: mark.position,
        });
        mark.boot = 77;
        mark.next = Some(Next {
            sequence: 7,
            tallies: mark.tallies,
        });
        assert_eq!(Mark::read(&mark.write()), Ok(mark.clone()));
    }

    #[test]
    fn golden_bytes() {
        let bytes = mark().write();
        assert_eq!(bytes.len(), 8 + 2 + 16 + 11 * 8 + SLOTS * 16 + 1 + 4);
        assert_eq!(bytes[..10], *b"ROOKMARK\x00\x02");
        let key_hash_of_tally = u64::from_be_bytes(*bytes[114 + 40..].first_chunk().unwrap());
        assert_eq!(key_hash_of_tally, key_hash(b"key"));
        assert_eq!(key_hash(b"key"), 0xb3c6_b126_32d7_ab04);
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_noticed() {
        let bytes = mark().write();
        for end in 0..bytes.len() {
            assert_eq!(Mark::read(&bytes[..end]), Err(Unreadable::Damaged));
        }
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Mark::read(&bytes), Err(Unreadable::Damaged));
        }
    }

    #[test]
    fn a_newer_format_is_named() {
        let newer = Mark {
            format: FORMAT + 1,
            ..mark()
        };
        assert_eq!(
            Mark::read(&newer.write()),
            Err(Unreadable::Newer(FORMAT + 1))
        );
    }

    #[test]
    fn a_tally_forgets_what_was_removed() {
        let mut tally = Tally::default();
        tally.add(b"a");
        let one = tally;
        tally.add(b"b");
        tally.remove(b"b");
        assert_eq!(tally, one);
        tally.add(b"b");
        tally.remove(b"a");
        assert_ne!(tally, one, "another key, the same number of rows");
    }
}
