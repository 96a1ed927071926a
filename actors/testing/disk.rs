//! A disk that a test can stop and fill.

use std::any::Any;
use std::io;
use std::path::Path;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use rookery_storage::disk::{Disk, DiskFile};
use rookery_storage::testing::SimulatedDisk;

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct SlowDisk {
    disk: SimulatedDisk,
    gate: Arc<(Mutex<Gate>, Condvar)>,
}

#[derive(Debug, Default)]
struct Gate {
    held: bool,
    /// How many commits may end although it is held.
    passes: u32,
    waits: bool,
}

impl SlowDisk {
    pub fn new(disk: SimulatedDisk) -> SlowDisk {
        SlowDisk {
            disk,
            gate: Arc::default(),
        }
    }

    /// What `kill -9` leaves, now.
    pub fn after_kill(&self) -> SlowDisk {
        SlowDisk::new(self.disk.after_kill())
    }

    /// From now on no commit ends; reads go on.
    pub fn hold(&self) {
        self.gate.0.lock().held = true;
    }

    /// Commits end again.
    pub fn go_on(&self) {
        self.gate.0.lock().held = false;
        self.gate.1.notify_all();
    }

    /// One commit ends, the next waits.
    pub fn let_one(&self) {
        let mut gate = self.gate.0.lock();
        gate.passes += 1;
        gate.waits = false;
        self.gate.1.notify_all();
    }

    /// Whether a commit waits to end.
    pub fn waits(&self) -> bool {
        self.gate.0.lock().waits
    }

    /// Refuses commits for want of space, or not.
    pub fn fill(&self, full: bool) {
        self.disk.set_free(full.then_some(0));
    }
}

impl Disk for SlowDisk {
    fn make_folder(&self, path: &Path) -> io::Result<()> {
        self.disk.make_folder(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        self.disk.list(folder)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.disk.create(path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.disk.open(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.disk.sync_folder(folder)
    }

    /// Asked before each commit: here it waits.
    fn free(&self, folder: &Path) -> io::Result<u64> {
        let (gate, opened) = &*self.gate;
        let mut gate = gate.lock();
        while gate.held && gate.passes == 0 {
            gate.waits = true;
            opened.wait(&mut gate);
        }
        gate.passes = gate.passes.saturating_sub(1);
        gate.waits = false;
        self.disk.free(folder)
    }

    fn boot(&self) -> u64 {
        self.disk.boot()
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        self.disk.lock(path)
    }
}
