//! The shelf that a running server uses: sled 0.34.7, trusted as little as possible.
//!
//! Its `flush()` ends in `sync_file_range`, which makes nothing durable; so its file is synced
//! through a second descriptor, and its folder too. It panics on a truncated file, so every call
//! is caught. Its snapshots (`snap.*`) are a shortcut only: whichever it dislikes at opening is
//! moved aside and rebuilt from its log.

use std::{
    fs::{self, File},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    thread,
};

use parking_lot::RwLock;

use crate::{
    key::KeyRange,
    shelf::{Identity, Shelf, ShelfError, Step, Visit},
    tree::{SLOT_NAMES, SLOTS},
};

/// The key, in sled's default tree, of the store's id and the last sequence number fed.
const IDENTITY: &[u8] = b"rookery";

/// sled and its trees.
pub(crate) struct SledShelf {
    path: PathBuf,
    cache: u64,
    open: RwLock<Option<Open>>,
}

struct Open {
    db: sled::Db,
    trees: [sled::Tree; SLOTS],
    /// The second descriptor on sled's file.
    file: File,
    /// Its folder. Held open: a sync must not fail for want of a descriptor.
    folder: File,
}

impl SledShelf {
    /// Opens sled in a folder. Unless `create`, a folder without sled's file is an error: sled
    /// would make a new one, and everything would seem to have been nothing.
    pub(crate) fn open(path: &Path, cache: u64, create: bool) -> Result<SledShelf, ShelfError> {
        if !create && !path.join("db").is_file() {
            return Err(ShelfError::Broken(format!(
                "{} has no file db",
                path.display()
            )));
        }
        let shelf = SledShelf {
            path: path.to_owned(),
            cache,
            open: RwLock::new(None),
        };
        shelf.reopen()?;
        Ok(shelf)
    }

    fn with<T>(&self, task: impl FnOnce(&Open) -> Result<T, sled::Error>) -> Result<T, ShelfError> {
        let guard = self.open.read();
        let Some(open) = guard.as_ref() else {
            return Err(ShelfError::Broken("not open".into()));
        };
        caught(|| task(open))
    }
}

/// Runs what may fail or panic inside sled.
fn caught<T>(task: impl FnOnce() -> Result<T, sled::Error>) -> Result<T, ShelfError> {
    match catch_unwind(AssertUnwindSafe(task)) {
        Ok(result) => result.map_err(|error| ShelfError::Broken(error.to_string())),
        Err(panic) => Err(ShelfError::Broken(panic_text(&*panic))),
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("it panicked: {}", text.unwrap_or("without a word"))
}

/// Opens once. On a thread of its own: sled may leave the thread-locals of a thread it panicked
/// on in a bad state.
fn try_open(path: &Path, cache: u64) -> Result<Open, ShelfError> {
    let path = path.to_owned();
    let opening = thread::Builder::new()
        .name("sled-open".into())
        .spawn(move || {
            caught(|| {
                let config = sled::Config::new()
                    .path(&path)
                    .cache_capacity(cache)
                    .mode(sled::Mode::LowSpace)
                    .flush_every_ms(None);
                let db = config.open()?;
                let mut trees = Vec::with_capacity(SLOTS);
                for name in SLOT_NAMES {
                    trees.push(db.open_tree(name)?);
                }
                let trees = trees
                    .try_into()
                    .map_err(|_| sled::Error::Unsupported("trees".into()))?;
                let file = File::open(path.join("db"))?;
                let folder = File::open(&path)?;
                Ok(Open {
                    db,
                    trees,
                    file,
                    folder,
                })
            })
        });
    match opening.map(thread::JoinHandle::join) {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => Err(ShelfError::Broken(panic_text(&*panic))),
        Err(error) => Err(ShelfError::Broken(error.to_string())),
    }
}

/// Moves sled's snapshots out of its way. `true` if there were any.
fn move_snapshots_aside(path: &Path) -> io::Result<bool> {
    let mut moved = false;
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.starts_with("snap.") {
            fs::rename(path.join(&name), path.join(format!("aside.{name}")))?;
            moved = true;
        }
    }
    Ok(moved)
}

/// sled makes its files with the process's mask; the folder is closed, and so are they.
fn close_to_others(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let wanted = if kind.is_dir() { 0o700 } else { 0o600 };
        // A file may be gone again: sled replaces its snapshots on its own threads.
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        if metadata.permissions().mode() & 0o777 != wanted {
            let _ = fs::set_permissions(entry.path(), fs::Permissions::from_mode(wanted));
        }
    }
    Ok(())
}

impl Shelf for SledShelf {
    fn get(&self, slot: usize, key: &[u8]) -> Result<Option<Vec<u8>>, ShelfError> {
        self.with(|open| Ok(open.trees[slot].get(key)?.map(|row| row.to_vec())))
    }

    fn scan(
        &self,
        slot: usize,
        range: &KeyRange,
        backward: bool,
        visit: &mut Visit<'_>,
    ) -> Result<(), ShelfError> {
        if range.is_empty() {
            return Ok(());
        }
        self.with(|open| {
            let tree = &open.trees[slot];
            let mut rows = match &range.to {
                Some(to) => tree.range(range.from.as_slice()..to.as_slice()),
                None => tree.range(range.from.as_slice()..),
            };
            while let Some(row) = if backward {
                rows.next_back()
            } else {
                rows.next()
            } {
                let (key, row) = row?;
                if visit(&key, &row) == Step::Stop {
                    break;
                }
            }
            Ok(())
        })
    }

    fn put(&self, slot: usize, key: &[u8], row: Vec<u8>) -> Result<(), ShelfError> {
        self.with(|open| open.trees[slot].insert(key, row).map(drop))
    }

    fn delete(&self, slot: usize, key: &[u8]) -> Result<(), ShelfError> {
        self.with(|open| open.trees[slot].remove(key).map(drop))
    }

    fn identity(&self) -> Result<Option<Identity>, ShelfError> {
        let row = self.with(|open| open.db.get(IDENTITY))?;
        let Some(row) = row else { return Ok(None) };
        match (row.first_chunk::<16>(), row.last_chunk::<8>(), row.len()) {
            (Some(store), Some(applied), 24) => {
                let applied = u64::from_be_bytes(*applied);
                Ok(Some(Identity {
                    store: *store,
                    applied,
                }))
            }
            _ => Err(ShelfError::Broken("its identity is unreadable".into())),
        }
    }

    fn set_identity(&self, identity: Identity) -> Result<(), ShelfError> {
        let mut row = identity.store.to_vec();
        row.extend_from_slice(&identity.applied.to_be_bytes());
        self.with(|open| open.db.insert(IDENTITY, row).map(drop))
    }

    fn sync(&self) -> Result<(), ShelfError> {
        let failed = |error: io::Error| ShelfError::Sync(format!("sync of sled: {error}"));
        self.with(|open| open.db.flush().map(drop))?;
        let guard = self.open.read();
        let Some(open) = guard.as_ref() else {
            return Err(ShelfError::Broken("not open".into()));
        };
        if let Err(error) = close_to_others(&self.path) {
            tracing::warn!(%error, "the permissions of sled's files were not looked at");
        }
        open.file.sync_data().map_err(failed)?;
        open.folder.sync_all().map_err(failed)
    }

    fn size(&self) -> u64 {
        self.with(|open| open.db.size_on_disk()).unwrap_or(0)
    }

    fn reopen(&self) -> Result<(), ShelfError> {
        let mut guard = self.open.write();
        // Gone before the new one comes: sled locks its file.
        if let Some(old) = guard.take() {
            let _ = catch_unwind(AssertUnwindSafe(|| drop(old)));
        }
        let open = match try_open(&self.path, self.cache) {
            Ok(open) => open,
            Err(first) => {
                tracing::warn!(?first, "sled did not open; moving its snapshots aside");
                match move_snapshots_aside(&self.path) {
                    Ok(true) => try_open(&self.path, self.cache)?,
                    _ => return Err(first),
                }
            }
        };
        *guard = Some(open);
        Ok(())
    }
}
