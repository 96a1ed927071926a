//! What can go wrong, by what the caller has to do about it.

use std::{fmt, io, path::PathBuf};

use crate::{record::RecordError, tree::Tree};

/// Why a commit or a read did not happen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No room: the disk is under its floor, or sled takes nothing any more and the memtable is
    /// at its bound. Nothing was stored and nothing is broken: answer `resource-constraint`.
    #[error("no room on disk: {0}")]
    Full(String),
    /// The disk failed to make something durable. It is never retried; every later commit is
    /// refused with the same reason. The process has to end.
    #[error("the disk failed: {0}")]
    Fatal(String),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// A key, a value, a frame or a batch over its bound, see the constants of [`crate::frame`].
    #[error("{what} of {size} bytes is over the bound of {bound}")]
    TooLarge {
        /// What was too large.
        what: &'static str,
        /// Its size in bytes.
        size: usize,
        /// The bound in bytes.
        bound: usize,
    },
    /// `add` on a row that does not hold a counter.
    #[error("a row of {0} is not a counter")]
    NotACounter(Tree),
    /// A row fails its checksum or lacks a part.
    #[error("a row of {tree} is damaged, key {key}")]
    Damaged {
        /// The map it is in.
        tree: &'static str,
        /// The key in hexadecimal.
        key: String,
    },
    /// sled failed. Reads may fail; commits go on while the memtable has room.
    #[error("sled failed: {0}")]
    Shelf(String),
    /// A row that its record type cannot read.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Why a store did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("{0} is in use by another server")]
    Locked(PathBuf),
    /// The operating system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// Something that was promised is not there. `accept_loss` goes on without it.
    #[error("the store is damaged: {}", list(.0))]
    Damaged(Vec<Loss>),
    /// Written by a newer version of the program.
    #[error("the store has format {found}, this program knows up to {known}")]
    Newer {
        /// The format on disk.
        found: u16,
        /// The newest format known here.
        known: u16,
    },
    /// sled does not open and nothing is left to rebuild it from.
    #[error("sled does not open: {0}")]
    Shelf(String),
    /// The disk failed while recovering.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl OpenError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> OpenError {
        let path = path.into();
        move |source| OpenError::Io { path, source }
    }
}

/// One thing that is missing or wrong, for the person who runs the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The file it was noticed in, relative to the data folder.
    pub file: String,
    /// Where in the file, in bytes.
    pub offset: u64,
    /// The first sequence number that is missing, when it concerns commits.
    pub first: Option<u64>,
    /// The last sequence number that is missing; `None` with a `first` means all after it.
    pub last: Option<u64>,
    /// In words.
    pub what: String,
}

impl Loss {
    pub(crate) fn new(file: impl Into<String>, offset: u64, what: impl Into<String>) -> Loss {
        Loss {
            file: file.into(),
            offset,
            first: None,
            last: None,
            what: what.into(),
        }
    }

    pub(crate) fn commits(mut self, first: u64, last: Option<u64>) -> Loss {
        self.first = Some(first);
        self.last = last;
        self
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}: {}", self.file, self.offset, self.what)?;
        match (self.first, self.last) {
            (Some(first), Some(last)) => write!(f, " (commits {first} to {last})"),
            (Some(first), None) => write!(f, " (commits from {first})"),
            _ => Ok(()),
        }
    }
}

fn list(losses: &[Loss]) -> String {
    losses
        .iter()
        .map(Loss::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

/// Bytes as hexadecimal, at most the first 64: keys in errors and reports.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    let mut text = String::with_capacity(bytes.len().min(64) * 2);
    for byte in bytes.iter().take(64) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
