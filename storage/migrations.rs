//! The format of the whole store: segments, mark, rows on the shelf. (Records carry versions of
//! their own, see [`crate::record`].)
//!
//! A program refuses a store of a newer format by name (`OpenError::Newer`) and changes nothing
//! in it. There is one format so far. The next one gets its step here: it writes the new store
//! into a folder beside the old one and renames it into place, so that an interrupted upgrade
//! leaves the old store as it was.

/// The format that this program writes.
pub(crate) const FORMAT: u16 = 1;
