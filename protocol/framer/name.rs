//! Names of elements and attributes, as far as the machine must know them.

use super::chars::{NAME, NAME_START, class};
use super::{Limits, Scan, run};
use crate::xml::XmlError;

/// How much of a name was read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Name {
    pub(super) length: u16,
    /// How many of its first bytes are those of `xmlns:`.
    pub(super) matched: u8,
    pub(super) has_colon: bool,
    pub(super) hash: u32,
    /// Whether the next character must be able to begin a name.
    pub(super) is_fresh: bool,
}

pub(super) fn plain_name(data: &[u8], limits: &Limits) -> Option<usize> {
    let length = run(data, NAME);
    let is_name = (1..data.len()).contains(&length)
        && class(data[0]) & NAME_START != 0
        && length <= usize::from(limits.name_len);
    is_name.then_some(length)
}

/// Mixes more bytes of a name in.
pub(super) fn hash(so_far: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(so_far, |mixed, byte| {
        (mixed.rotate_left(5) ^ u32::from(*byte)).wrapping_mul(0x9E37_79B9)
    })
}

impl Name {
    pub(super) fn read(&mut self, part: &[u8], limits: &Limits) -> Scan<()> {
        const XMLNS: &[u8] = b"xmlns:";
        for (place, byte) in (usize::from(self.length)..XMLNS.len()).zip(part) {
            if usize::from(self.matched) == place && XMLNS[place] == *byte {
                self.matched += 1;
            }
        }
        let length = usize::from(self.length) + part.len();
        if length > usize::from(limits.name_len) {
            return Err(XmlError::TooComplex);
        }
        self.length = length as u16;
        self.hash = hash(self.hash, part);
        Ok(())
    }
}
