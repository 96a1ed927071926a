//! What Rookery remembers: a commit journal in front of an embedded sled database.
//!
//! *The journal swears, sled remembers.* A commit is appended to the journal and synced by one
//! `fdatasync` for everything that waits; only then is it acknowledged. It lives in a bounded
//! memtable, where reads look first, until a checkpoint feeds the memtable to sled: in the order
//! of keys, the last value of each key only. Opening replays the journal from the last
//! checkpoint, whatever sled says. sled 0.34 alone would not do: its `flush()` syncs nothing, so
//! a power cut takes what it confirmed.
//!
//! ```
//! use rookery_storage::{Direction, Frame, KeyRange, Store, Tree};
//!
//! let store = Store::temporary();
//! let mut frame = Frame::new();
//! frame.put(Tree::Account, *b"alice/nick", *b"Ali").add(Tree::Account, *b"alice/visits", 1);
//! store.commit(vec![frame])?;
//! assert_eq!(store.get(Tree::Account, b"alice/nick")?.unwrap(), b"Ali");
//! assert_eq!(store.counter(Tree::Account, b"alice/visits")?, 1);
//! let rows = store.range(Tree::Account, &KeyRange::prefix(b"alice/"), 10, Direction::Backward)?;
//! assert_eq!(rows[0].0, b"alice/visits");
//! # Ok::<(), rookery_storage::StoreError>(())
//! ```
//!
//! # On disk
//!
//! ```text
//! lock                 locked while a server runs
//! journal/0000000007.log   segments: header (store, number, generation), frames
//! journal/mark         from where to replay; what has to be there; what sled holds
//! sled/                the rows, each with a checksum
//! export/0000000003.rows   a copy of all rows; with the journal after it all that a rebuild needs
//! ```
//!
//! # What holds
//!
//! * Nothing is acknowledged before its `fdatasync`, and a failed one is the end of the process.
//! * After a crash a frame is there whole or not at all, and none is there before an earlier one.
//! * What was acknowledged and cannot be read is named when opening, never skipped in silence;
//!   only a torn end that nobody was promised is cut off.
//! * The memtables are bounded; when the disk is full or sled refuses, commits are refused and
//!   reads go on.
//!
//! One loss cannot be told from an ordinary crash: damage to the very last group of commits,
//! after an unclean end and before the next commit or checkpoint; it looks like a torn write.

pub mod disk;
pub mod frame;
pub mod record;
#[cfg(feature = "seeded-bugs")]
pub mod seeded_bugs;
pub mod testing;

mod background;
mod backup;
mod checkpoint;
mod commit;
mod error;
mod export;
mod journal;
mod key;
mod log;
mod mark;
mod memtable;
mod migrations;
mod pack;
mod packed_shelf;
mod read;
mod rebuild;
mod recovery;
mod row;
mod salvage;
mod scrub;
mod shelf;
mod sled_shelf;
mod store;
mod survey;
mod table;
mod tree;
mod vault;

pub use error::{Loss, OpenError, StoreError};
pub use frame::Frame;
pub use key::{Key, KeyBuilder, KeyRange, KeyReader, NameKey, StampKey, TIME_MAX};
pub use read::{Direction, KeyValue};
pub use record::{Record, RecordError};
pub use scrub::{Damage, ScrubReport};
pub use store::{Options, ShelfChoice, Stats, Store};
pub use table::Table;
pub use tree::Tree;
