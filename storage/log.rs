//! The bytes of a journal segment: a header, then frames, each with its length, checksum,
//! sequence number and its place in the group that was written and synced together.
//!
//! The place in the group tells a torn tail from damage. A group is written only after the one
//! before it was synced; so a readable frame proves that everything before *its group* was once
//! durable. An unreadable frame with such a proof behind it was promised and is damaged; one
//! without was never acknowledged.

use std::ops::Range;

use crc32fast::Hasher;

use crate::frame::{Frame, MAX_FRAME, Ops};

/// Names a store: its files belong together.
pub(crate) type StoreId = [u8; 16];

/// Bytes of a segment's header.
pub(crate) const HEADER_LEN: usize = 52;

/// Bytes before the changes of a frame.
pub(crate) const FRAME_HEAD: usize = 20;

const MAGIC: &[u8; 8] = b"ROOKJRN1";

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Whose segment it is.
    pub(crate) store: StoreId,
    /// Its number, also its file's name.
    pub(crate) segment: u64,
    /// How often the store had been opened when it was made.
    pub(crate) generation: u64,
    /// The sequence number of its first frame.
    pub(crate) first: u64,
}

impl Header {
    pub(crate) fn write(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..24].copy_from_slice(&self.store);
        bytes[24..32].copy_from_slice(&self.segment.to_be_bytes());
        bytes[32..40].copy_from_slice(&self.generation.to_be_bytes());
        bytes[40..48].copy_from_slice(&self.first.to_be_bytes());
        let crc = crc32fast::hash(&bytes[..48]);
        bytes[48..].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    pub(crate) fn read(bytes: &[u8]) -> Option<Header> {
        let bytes = bytes.first_chunk::<HEADER_LEN>()?;
        let crc = crc32fast::hash(&bytes[..48]).to_be_bytes();
        if &bytes[..8] != MAGIC || bytes[48..] != crc {
            return None;
        }
        Some(Header {
            store: *bytes[8..].first_chunk()?,
            segment: u64_at(bytes, 24)?,
            generation: u64_at(bytes, 32)?,
            first: u64_at(bytes, 40)?,
        })
    }

    /// Where the checksums of its frames start: a frame of another store or segment never fits.
    pub(crate) fn seal(&self) -> Seal {
        let mut hasher = Hasher::new();
        hasher.update(&self.store);
        hasher.update(&self.segment.to_be_bytes());
        Seal(hasher)
    }
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes
        .get(at..at + 8)?
        .try_into()
        .ok()
        .map(u64::from_be_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..at + 4)?
        .try_into()
        .ok()
        .map(u32::from_be_bytes)
}

/// The beginning of every checksum of a segment.
#[derive(Clone)]
pub(crate) struct Seal(Hasher);

impl Seal {
    fn of(&self, len: u32, after_crc: &[u8]) -> u32 {
        let mut hasher = self.0.clone();
        hasher.update(&len.to_be_bytes());
        hasher.update(after_crc);
        hasher.finalize()
    }
}

/// Appends one frame to `out`: number `place` of its group.
pub(crate) fn write_frame(
    out: &mut Vec<u8>,
    seal: &Seal,
    sequence: u64,
    place: u32,
    frame: &Frame,
) {
    let start = out.len();
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&sequence.to_be_bytes());
    out.extend_from_slice(&place.to_be_bytes());
    out.extend_from_slice(frame.bytes());
    let len = frame.size() as u32;
    let crc = seal.of(len, &out[start + 8..]);
    out[start..start + 4].copy_from_slice(&len.to_be_bytes());
    out[start + 4..start + 8].copy_from_slice(&crc.to_be_bytes());
}

/// Where in a group, as it was written, the changes of each frame lie.
pub(crate) fn bodies(group: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + FRAME_HEAD;
        at = start + u32_at(group, at)? as usize;
        Some(start..at)
    })
}

/// A readable frame.
pub(crate) struct LoggedFrame<'l> {
    /// Its number.
    pub(crate) sequence: u64,
    /// The number of the first frame of its group.
    pub(crate) group: u64,
    /// Its bytes in the segment.
    pub(crate) bytes: &'l [u8],
}

impl<'l> LoggedFrame<'l> {
    /// Its changes; `None` only if a program with other changes wrote it.
    pub(crate) fn ops(&self) -> Option<Ops<'l>> {
        Ops::found(&self.bytes[FRAME_HEAD..])
    }
}

/// The frame at `offset`, if its checksum is right.
pub(crate) fn read_frame<'l>(
    bytes: &'l [u8],
    offset: usize,
    seal: &Seal,
) -> Option<LoggedFrame<'l>> {
    let len = u32_at(bytes, offset)?;
    if len as usize > MAX_FRAME {
        return None;
    }
    let total = FRAME_HEAD + len as usize;
    let record = bytes.get(offset..offset.checked_add(total)?)?;
    if seal.of(len, &record[8..]) != u32_at(record, 4)? {
        return None;
    }
    let sequence = u64_at(record, 8)?;
    let group = sequence.checked_sub(u64::from(u32_at(record, 16)?))?;
    Some(LoggedFrame {
        sequence,
        group,
        bytes: record,
    })
}

/// How the reading of a segment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// With the last byte; the next sequence number.
    Clean(u64),
    /// With something that is not the expected frame.
    Bad {
        /// Where it is.
        offset: usize,
        /// The sequence number that should stand there.
        expected: u64,
        /// The next readable frame after it.
        later: Option<Later>,
    },
}

/// A readable frame after an unreadable place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Later {
    pub(crate) offset: usize,
    pub(crate) sequence: u64,
    /// It or a frame after it belongs to a group that was written after the unreadable place
    /// had been synced.
    pub(crate) proof: bool,
}

/// Reads frames from `offset` on and gives each to `visit`.
pub(crate) fn walk(
    bytes: &[u8],
    mut offset: usize,
    seal: &Seal,
    mut expected: u64,
    mut visit: impl FnMut(&LoggedFrame<'_>),
) -> Tail {
    while offset < bytes.len() {
        match read_frame(bytes, offset, seal) {
            Some(frame) if frame.sequence == expected => {
                visit(&frame);
                offset += frame.bytes.len();
                expected += 1;
            }
            _ => {
                let later = find_later(bytes, offset, seal, expected);
                return Tail::Bad {
                    offset,
                    expected,
                    later,
                };
            }
        }
    }
    Tail::Clean(expected)
}

/// Looks byte by byte for a readable frame with a number that may come; the number is compared
/// first, so that almost nothing is hashed in vain.
fn find_later(bytes: &[u8], from: usize, seal: &Seal, expected: u64) -> Option<Later> {
    let plausible = expected..=expected.saturating_add(bytes.len() as u64);
    let mut frames = (from..bytes.len().saturating_sub(FRAME_HEAD - 1))
        .filter(|offset| u64_at(bytes, offset + 8).is_some_and(|n| plausible.contains(&n)))
        .filter_map(|offset| Some((offset, read_frame(bytes, offset, seal)?)));
    let (offset, first) = frames.next()?;
    let proof = first.group > expected || frames.any(|(_, frame)| frame.group > expected);
    let sequence = first.sequence;
    Some(Later {
        offset,
        sequence,
        proof,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{frame::Frame, tree::Tree};

    const HEADER: Header = Header {
        store: [7; 16],
        segment: 3,
        generation: 2,
        first: 10,
    };

    /// Three groups: 10 alone, 11 to 13, and 14. Also where each frame starts.
    fn segment() -> (Vec<u8>, Vec<usize>) {
        let mut bytes = HEADER.write().to_vec();
        let mut starts = Vec::new();
        for (sequence, place) in [(10, 0), (11, 0), (12, 1), (13, 2), (14, 0)] {
            let mut frame = Frame::new();
            frame.put(Tree::Meta, [sequence as u8], [sequence as u8; 40]);
            starts.push(bytes.len());
            write_frame(&mut bytes, &HEADER.seal(), sequence, place, &frame);
        }
        (bytes, starts)
    }

    fn read(bytes: &[u8]) -> (Vec<u64>, Tail) {
        let mut seen = Vec::new();
        let tail = walk(bytes, HEADER_LEN, &HEADER.seal(), 10, |frame| {
            assert_eq!(frame.ops().unwrap().count(), 1);
            seen.push(frame.sequence);
        });
        (seen, tail)
    }

    #[test]
    fn golden_bytes() {
        let header = HEADER.write();
        assert_eq!(Header::read(&header), Some(HEADER));
        assert_eq!(&header[..8], b"ROOKJRN1");
        assert_eq!(header[48..], [0xf3, 0xf5, 0x29, 0x6a]);
        let mut frame = Frame::new();
        frame.delete(Tree::Meta, *b"k");
        let mut bytes = Vec::new();
        write_frame(&mut bytes, &HEADER.seal(), 10, 1, &frame);
        let golden = [
            0, 0, 0, 5, 0x2c, 0x4b, 0x52, 0xca, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 1, 2, 7, 0, 1,
            b'k',
        ];
        assert_eq!(bytes, golden);
    }

    #[test]
    fn whole_segment_reads_clean() {
        let (bytes, _) = segment();
        assert_eq!(read(&bytes), (vec![10, 11, 12, 13, 14], Tail::Clean(15)));
    }

    #[test]
    fn every_cut_is_a_tail_without_proof() {
        let (bytes, starts) = segment();
        for end in HEADER_LEN..bytes.len() {
            let whole = starts
                .iter()
                .filter(|start| **start < end)
                .count()
                .saturating_sub(1);
            match read(&bytes[..end]) {
                (seen, Tail::Clean(next)) => {
                    assert!(starts.contains(&end));
                    assert_eq!(next, 10 + seen.len() as u64);
                }
                (
                    seen,
                    Tail::Bad {
                        offset,
                        expected,
                        later,
                    },
                ) => {
                    assert_eq!((seen.len(), offset), (whole, starts[whole]));
                    assert_eq!((expected, later), (10 + whole as u64, None));
                }
            }
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let (bytes, starts) = segment();
        for at in HEADER_LEN..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << (at % 8);
            let broken = starts.iter().filter(|start| **start <= at).count() - 1;
            let (seen, tail) = read(&bytes);
            assert_eq!(seen.len(), broken, "byte {at}");
            let Tail::Bad {
                expected, later, ..
            } = tail
            else {
                panic!("byte {at} not noticed")
            };
            assert_eq!(expected, 10 + broken as u64);
            let proof = later.is_some_and(|later| later.proof);
            assert_eq!(
                proof,
                broken < 4,
                "frames 10 to 13 are proved by the group after them"
            );
        }
        for at in 0..HEADER_LEN {
            let mut header = HEADER.write();
            header[at] ^= 4;
            assert_eq!(Header::read(&header), None);
        }
    }

    #[test]
    fn a_gap_is_noticed_and_foreign_frames_never_fit() {
        let (bytes, starts) = segment();
        let gap = [&bytes[..starts[1]], &bytes[starts[2]..]].concat();
        let (seen, tail) = read(&gap);
        assert_eq!(seen, [10]);
        assert!(
            matches!(tail, Tail::Bad { expected: 11, later: Some(later), .. }
            if later.sequence == 12 && later.proof)
        );
        let other = Header {
            segment: 4,
            ..HEADER
        };
        let tail = walk(&bytes, HEADER_LEN, &other.seal(), 10, |_| panic!("fits"));
        assert!(matches!(tail, Tail::Bad { later: None, .. }));
    }
}
