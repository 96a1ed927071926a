//! What a simulated file holds, and what of it a power cut leaves.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// The unit in which a write is torn, in bytes.
const SECTOR: usize = 512;

#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    pub(super) now: Vec<u8>,
    pub(super) durable: Vec<u8>,
    /// What was done since the last sync.
    pub(super) pending: Vec<Edit>,
}

#[derive(Clone, Debug)]
pub(super) enum Edit {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

#[derive(Clone, Debug)]
pub(super) enum Renaming {
    Link(PathBuf, usize),
    Rename(PathBuf, PathBuf, usize),
    Unlink(PathBuf),
}

impl Renaming {
    pub(super) fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Renaming::Link(path, file) => {
                names.insert(path.clone(), *file);
            }
            Renaming::Rename(from, to, file) => {
                names.remove(from);
                names.insert(to.clone(), *file);
            }
            Renaming::Unlink(path) => {
                names.remove(path);
            }
        }
    }

    pub(super) fn folder(&self) -> Option<&Path> {
        match self {
            Renaming::Link(path, _) | Renaming::Rename(_, path, _) | Renaming::Unlink(path) => {
                path.parent()
            }
        }
    }
}

impl Content {
    pub(super) fn of(bytes: Vec<u8>) -> Content {
        Content {
            durable: bytes.clone(),
            now: bytes,
            pending: Vec::new(),
        }
    }

    pub(super) fn sync(&mut self) {
        self.durable.clone_from(&self.now);
        self.pending.clear();
    }

    /// What a power cut leaves of the file.
    pub(super) fn after_power_cut(&self, survives: &mut impl FnMut() -> bool) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        for edit in &self.pending {
            match edit {
                Edit::Truncate(size) if survives() => bytes.truncate(*size),
                Edit::Truncate(_) => {}
                Edit::Write(offset, written) => {
                    let mut at = *offset;
                    let mut rest = written.as_slice();
                    while !rest.is_empty() {
                        let (sector, after) = rest.split_at(rest.len().min(SECTOR - at % SECTOR));
                        if survives() {
                            put(&mut bytes, at, sector);
                        }
                        at += sector.len();
                        rest = after;
                    }
                }
            }
        }
        bytes
    }
}

pub(super) fn put(bytes: &mut Vec<u8>, at: usize, written: &[u8]) {
    if bytes.len() < at + written.len() {
        bytes.resize(at + written.len(), 0);
    }
    bytes[at..at + written.len()].copy_from_slice(written);
}
