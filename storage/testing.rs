//! A disk that loses, tears and refuses, for tests: what is written is safe only once it is
//! synced, and what happens to the rest is the test's choice.

mod content;

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::{Condvar, Mutex};

use crate::disk::{Disk, DiskFile};
pub use crate::shelf::MemoryShelf;
use content::{Content, Edit, Renaming, put};

/// Something that goes wrong once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The next write writes half of it; the one after says that the disk is full.
    ShortThenFull,
    /// The next write fails so.
    WriteFails(io::ErrorKind),
    /// The next sync fails with an input/output error, and what it should have made durable is
    /// forgotten: the sync after it would say yes.
    SyncFails,
    /// The next thing that needs a descriptor, a new file or the sync of a folder, finds none.
    NoDescriptor,
    /// From here on everything fails: the power is off.
    PowerOff,
}

/// A mistake in the file layer that a crash test has to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// `sync` does nothing for files whose name ends so.
    SkipSync(&'static str),
    /// `sync_folder` does nothing.
    SkipFolderSync,
    /// `sync` syncs the file that was opened before this one.
    SyncWrongFile,
    /// A short write is reported as a whole one.
    HideShortWrite,
    /// A failed sync is reported as a good one.
    HideSyncError,
}

/// What a disk is asked for and what may go wrong or be the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    /// A new file.
    Create,
    /// A write.
    Write,
    /// A file is cut.
    Truncate,
    /// A file is made durable.
    Sync,
    /// A file is renamed.
    Rename,
    /// A file is removed.
    Remove,
    /// The names in a folder are made durable.
    SyncFolder,
}

/// Files in memory, of which each knows what is durable. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct SimulatedDisk {
    state: Arc<Mutex<State>>,
    /// A sync began to wait, or may go on.
    turn: Arc<Condvar>,
}

#[derive(Debug, Default)]
struct State {
    files: Vec<Content>,
    /// The names under which they were made.
    made: Vec<PathBuf>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    /// Changes of names that no `sync_folder` has covered.
    renamings: Vec<Renaming>,
    locks: BTreeSet<PathBuf>,
    /// Changes and syncs asked for so far, and of what.
    operations: Vec<(Call, PathBuf)>,
    plan: Vec<(u64, Fault)>,
    full: bool,
    off: bool,
    free: Option<u64>,
    /// How often the power came back.
    boots: u64,
    /// Syncs wait; so many do.
    held: bool,
    waiting: u32,
    bug: Option<Bug>,
}

impl State {
    /// Counts an operation and tells what goes wrong with it.
    fn operation(
        &mut self,
        call: Call,
        path: &Path,
        wanted: fn(&Fault) -> bool,
    ) -> io::Result<Option<Fault>> {
        if self.off {
            return Err(io::Error::other("the power is off"));
        }
        self.operations.push((call, path.to_owned()));
        let number = self.operations.len() as u64;
        let due = |(at, fault): &(u64, Fault)| {
            *at <= number && (wanted(fault) || *fault == Fault::PowerOff)
        };
        let Some(at) = self.plan.iter().position(due) else {
            return Ok(None);
        };
        let (_, fault) = self.plan.remove(at);
        self.off |= fault == Fault::PowerOff;
        Ok(Some(fault))
    }

    /// The same for what only the power ends, or the want of a descriptor.
    fn plain_operation(&mut self, call: Call, path: &Path) -> io::Result<()> {
        let wanted: fn(&Fault) -> bool = match call {
            Call::Create | Call::SyncFolder => |fault| *fault == Fault::NoDescriptor,
            _ => |_| false,
        };
        match self.operation(call, path, wanted)? {
            Some(Fault::NoDescriptor) => Err(rustix::io::Errno::MFILE.into()),
            Some(_) => Err(io::Error::other("the power is off")),
            None => Ok(()),
        }
    }

    fn file_operation(&mut self, call: Call, file: usize) -> io::Result<()> {
        let path = self.made[file].clone();
        self.plain_operation(call, &path)
    }

    fn is_made_as(&self, file: usize, end: &str) -> bool {
        self.made
            .get(file)
            .is_some_and(|path| path.to_string_lossy().ends_with(end))
    }

    fn rename(&mut self, renaming: Renaming) {
        renaming.apply(&mut self.names);
        self.renamings.push(renaming);
    }
}

impl SimulatedDisk {
    /// An empty disk without faults.
    pub fn new() -> SimulatedDisk {
        SimulatedDisk::default()
    }

    /// Lets a fault happen at the first fitting operation from number `operation` on.
    pub fn plan(&self, operation: u64, fault: Fault) {
        self.state.lock().plan.push((operation, fault));
    }

    /// How many changes and syncs were asked for so far.
    pub fn operations(&self) -> u64 {
        self.state.lock().operations.len() as u64
    }

    /// What they were, in order: number 1 is the first. A file goes by the name it was made under.
    pub fn history(&self) -> Vec<(Call, PathBuf)> {
        self.state.lock().operations.clone()
    }

    /// Syncs wait until what this gives is dropped.
    pub fn hold(&self) -> Hold {
        self.state.lock().held = true;
        Hold(self.clone())
    }

    /// Returns when a sync waits.
    pub fn await_sync(&self) {
        let mut state = self.state.lock();
        while state.waiting == 0 {
            self.turn.wait(&mut state);
        }
    }

    /// Builds a mistake in.
    pub fn set_bug(&self, bug: Option<Bug>) {
        self.state.lock().bug = bug;
    }

    /// What [`Disk::free`] tells; `None`: endless.
    pub fn set_free(&self, free: Option<u64>) {
        self.state.lock().free = free;
    }

    /// Whether the power went off.
    pub fn is_off(&self) -> bool {
        self.state.lock().off
    }

    /// What a power cut leaves, now: all that was synced, and of the rest the sectors and names
    /// for which `survives` says so.
    pub fn after_power_cut(&self, survives: impl FnMut() -> bool) -> SimulatedDisk {
        let disk = self.after_kill_or_power_cut(survives);
        disk.state.lock().boots += 1;
        disk
    }

    /// What `kill -9` leaves, now: everything, and the operating system goes on.
    pub fn after_kill(&self) -> SimulatedDisk {
        self.after_kill_or_power_cut(|| true)
    }

    fn after_kill_or_power_cut(&self, mut survives: impl FnMut() -> bool) -> SimulatedDisk {
        let state = self.state.lock();
        let mut names = state.durable_names.clone();
        for renaming in state.renamings.iter().filter(|_| survives()) {
            renaming.apply(&mut names);
        }
        let files = state.files.iter();
        let files = files
            .map(|file| Content::of(file.after_power_cut(&mut survives)))
            .collect();
        let state = State {
            files,
            boots: state.boots,
            made: state.made.clone(),
            durable_names: names.clone(),
            names,
            ..State::default()
        };
        SimulatedDisk {
            state: Arc::new(Mutex::new(state)),
            turn: Arc::default(),
        }
    }

    /// Another disk with the same files, all durable: an old copy.
    pub fn copy(&self) -> SimulatedDisk {
        self.after_power_cut(|| true)
    }

    /// All files.
    pub fn files(&self) -> Vec<PathBuf> {
        self.state.lock().names.keys().cloned().collect()
    }

    /// The bytes of a file.
    pub fn read(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state.lock();
        state
            .names
            .get(path)
            .map(|file| state.files[*file].now.clone())
    }

    /// Changes a file behind the store's back, durably.
    pub fn edit(&self, path: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
        let state = &mut *self.state.lock();
        if let Some(file) = state.names.get(path) {
            let content = &mut state.files[*file];
            edit(&mut content.now);
            content.sync();
        }
    }

    /// Removes a file behind the store's back, durably.
    pub fn lose(&self, path: &Path) {
        let state = &mut *self.state.lock();
        state.names.remove(path);
        state.durable_names.remove(path);
    }
}

/// As long as it is there no sync of its disk ends.
#[derive(Debug)]
pub struct Hold(SimulatedDisk);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.state.lock().held = false;
        self.0.turn.notify_all();
    }
}

impl Disk for SimulatedDisk {
    fn make_folder(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let state = self.state.lock();
        let inside = state
            .names
            .keys()
            .filter(|path| path.parent() == Some(folder));
        let name = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into());
        Ok(inside.filter_map(name).collect())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let state = &mut *self.state.lock();
        state.plain_operation(Call::Create, path)?;
        // An old file of that name is cut at once: its blocks are not what is being tested.
        let file = state.files.len();
        state.files.push(Content::default());
        state.made.push(path.to_owned());
        state.rename(Renaming::Link(path.to_owned(), file));
        Ok(Box::new(SimulatedFile {
            disk: self.clone(),
            file,
        }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let state = self.state.lock();
        let file = *state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(SimulatedFile {
            disk: self.clone(),
            file,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let state = &mut *self.state.lock();
        state.plain_operation(Call::Rename, to)?;
        let file = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        state.rename(Renaming::Rename(from.to_owned(), to.to_owned(), file));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let state = &mut *self.state.lock();
        state.plain_operation(Call::Remove, path)?;
        state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        state.rename(Renaming::Unlink(path.to_owned()));
        Ok(())
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let state = &mut *self.state.lock();
        state.plain_operation(Call::SyncFolder, folder)?;
        if state.bug == Some(Bug::SkipFolderSync) {
            return Ok(());
        }
        let durable = &mut state.durable_names;
        state.renamings.retain(|renaming| {
            let here = renaming.folder() == Some(folder);
            if here {
                renaming.apply(durable);
            }
            !here
        });
        Ok(())
    }

    fn free(&self, _folder: &Path) -> io::Result<u64> {
        Ok(self.state.lock().free.unwrap_or(u64::MAX))
    }

    fn boot(&self) -> u64 {
        self.state.lock().boots + 1
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        let fresh = self.state.lock().locks.insert(path.to_owned());
        let guard = SimulatedLock {
            disk: self.clone(),
            path: path.to_owned(),
        };
        if fresh {
            return Ok(Box::new(guard));
        }
        // The lock is another's: the guard must not release it.
        std::mem::forget(guard);
        Err(io::ErrorKind::WouldBlock.into())
    }
}

struct SimulatedLock {
    disk: SimulatedDisk,
    path: PathBuf,
}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        self.disk.state.lock().locks.remove(&self.path);
    }
}

struct SimulatedFile {
    disk: SimulatedDisk,
    file: usize,
}

impl DiskFile for SimulatedFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let state = self.disk.state.lock();
        let rest = state.files[self.file]
            .now
            .get(offset as usize..)
            .unwrap_or_default();
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let state = &mut *self.disk.state.lock();
        if std::mem::take(&mut state.full) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let wanted = |fault: &Fault| matches!(fault, Fault::ShortThenFull | Fault::WriteFails(_));
        let path = state.made[self.file].clone();
        let (written, answer) = match state.operation(Call::Write, &path, wanted)? {
            None | Some(Fault::SyncFails | Fault::NoDescriptor) => (bytes, Ok(bytes.len())),
            // The write was on its way when the power went.
            Some(Fault::PowerOff) => (bytes, Err(io::Error::other("the power is off"))),
            Some(Fault::WriteFails(kind)) => (&bytes[..0], Err(kind.into())),
            Some(Fault::ShortThenFull) => {
                let half = &bytes[..bytes.len() / 2];
                let hidden = state.bug == Some(Bug::HideShortWrite);
                state.full = !hidden;
                (half, Ok(if hidden { bytes.len() } else { half.len() }))
            }
        };
        let content = &mut state.files[self.file];
        put(&mut content.now, offset as usize, written);
        content
            .pending
            .push(Edit::Write(offset as usize, written.to_vec()));
        answer
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.state.lock().files[self.file].now.len() as u64)
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        let state = &mut *self.disk.state.lock();
        state.file_operation(Call::Truncate, self.file)?;
        let content = &mut state.files[self.file];
        content.now.truncate(size as usize);
        content.pending.push(Edit::Truncate(size as usize));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        state.waiting += 1;
        self.disk.turn.notify_all();
        while state.held {
            self.disk.turn.wait(&mut state);
        }
        state.waiting -= 1;
        let state = &mut *state;
        let path = state.made[self.file].clone();
        let fault = state.operation(Call::Sync, &path, |fault| *fault == Fault::SyncFails)?;
        match (fault, state.bug) {
            (Some(Fault::SyncFails), bug) => {
                state.files[self.file].pending.clear();
                match bug {
                    Some(Bug::HideSyncError) => Ok(()),
                    _ => Err(io::Error::other("input/output error")),
                }
            }
            (Some(_), _) => Err(io::Error::other("the power is off")),
            (None, Some(Bug::SkipSync(end))) if state.is_made_as(self.file, end) => Ok(()),
            (None, Some(Bug::SyncWrongFile)) => {
                state.files[self.file.saturating_sub(1)].sync();
                Ok(())
            }
            (None, _) => {
                state.files[self.file].sync();
                Ok(())
            }
        }
    }
}
