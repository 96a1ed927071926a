//! The disk and the machinery inside: what few people ever change.

use std::time::Duration;

use super::{MINUTE, SECOND};
use crate::quantity::{Size, span};
use crate::section::section;

section! {
    /// The disk.
    pub struct Storage {
        /// The page cache of the database; it takes two to three times this.
        pub cache: Size = Size::mib(32),
        /// Changes kept in memory between two checkpoints; more starts one early.
        pub memtable: Size = Size::mib(16),
        /// Time between two checkpoints.
        #[serde(with = "span")]
        pub checkpoint: Duration = 5 * SECOND,
        /// The length at which a journal segment is closed and the next begun.
        pub segment: Size = Size::mib(16),
        /// Free space below which nothing that must last is accepted.
        pub floor: Size = Size::mib(64),
        /// Threads that read.
        pub readers: usize = 2,
    }
}

section! {
    /// The machinery inside.
    pub struct Engine {
        /// Threads that serve; 0 for one a processor.
        pub lanes: usize = 0,
        /// Stanzas that may wait for one account; more are refused.
        pub mailbox_stanzas: usize = 1_024,
        /// Their bytes.
        pub mailbox_size: Size = Size::mib(4),
        /// How long an account with nothing to do stays in memory.
        #[serde(with = "span")]
        pub retire: Duration = MINUTE,
    }
}
