//! The format of the whole store: segments, mark, rows on the shelf. (Records carry versions of
//! their own, see [`crate::record`].)
//!
//! A program refuses a store of a newer format by name (`OpenError::Newer`) and changes nothing
//! in it. What is written from then on is of the program's own format:
//!
//! 1. Each row of the archive is a value of sled's.
//! 2. Several rows of the archive lie in one value ([`crate::packed_shelf`]). Rows by themselves
//!    are read as before, so a store of format 1 needs no step.
//!
//! A format that needs a step gets it here: it writes the new store into a folder beside the old
//! one and renames it into place, so that an interrupted upgrade leaves the old store as it was.

/// The format that this program writes.
pub(crate) const FORMAT: u16 = 2;
