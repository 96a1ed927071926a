//! What waits for other servers.

use std::time::Duration;

use super::{DAY, MINUTE, SECOND};
use crate::quantity::{Size, span};
use crate::section::section;

section! {
    /// What waits for one other server.
    pub struct Outbox {
        /// Stanzas in memory; more is read from the disk when its turn comes.
        pub memory_stanzas: usize = 1_000,
        /// Their bytes.
        pub memory_size: Size = Size::mib(1),
        /// Stanzas on the disk; more is refused.
        pub stanzas: usize = 10_000,
        /// Their bytes.
        pub size: Size = Size::mib(16),
        /// How long a stanza that need not last waits before its sender is told.
        #[serde(with = "span")]
        pub patience: Duration = MINUTE,
        /// How long one that must last waits.
        #[serde(with = "span")]
        pub give_up: Duration = DAY,
        /// After a failure the server is left alone for this long, and twice as long after each
        /// that follows.
        #[serde(with = "span")]
        pub retry: Duration = 30 * SECOND,
        /// But never longer than this.
        #[serde(with = "span")]
        pub retry_longest: Duration = 60 * MINUTE,
        /// A line on which nothing is said for this long is closed.
        #[serde(with = "span")]
        pub idle: Duration = 15 * MINUTE,
    }
}
