//! The file layer: everything the journal and the mark ask of a disk, so that tests can put one
//! underneath that loses, tears or refuses writes ([`crate::testing`]).

use std::{
    any::Any,
    fmt,
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::Path,
};

/// Folders and files, as far as the store needs them.
pub trait Disk: Send + Sync + fmt::Debug + 'static {
    /// Makes a folder (mode 0700) and those above it; fine if it is there.
    fn make_folder(&self, path: &Path) -> io::Result<()>;
    /// The names in a folder.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;
    /// Makes an empty file (mode 0600), also over an old one.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file that is there.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Renames a file over another.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the entries of a folder durable.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
    /// Free bytes for an ordinary user.
    fn free(&self, folder: &Path) -> io::Result<u64>;
    /// Names the current start of the operating system: if it is another one than before, what
    /// was not synced may be gone. 0: not known.
    fn boot(&self) -> u64;
    /// Locks a file until the guard is dropped; `WouldBlock` if another has it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>>;
}

/// One open file.
pub trait DiskFile: Send + Sync {
    /// Reads; short only at the end of the file.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
    /// Writes a beginning of `bytes` and says how much.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize>;
    /// The length in bytes.
    fn size(&self) -> io::Result<u64>;
    /// Cuts the file.
    fn truncate(&self, size: u64) -> io::Result<()>;
    /// Makes everything written durable (`fdatasync`). After an error nobody knows what is on
    /// the medium, and asking again would say yes without writing: never retry it.
    fn sync(&self) -> io::Result<()>;
}

/// Writes all of `bytes`, going on after short writes.
pub(crate) fn write_all(file: &dyn DiskFile, mut offset: u64, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(offset, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                offset += written as u64;
                bytes = &bytes[written.min(bytes.len())..];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads a whole file, `None` if it is not there.
pub(crate) fn read_file(disk: &dyn Disk, path: &Path) -> io::Result<Option<Vec<u8>>> {
    Ok(read_start(disk, path, usize::MAX)?.map(|(bytes, _)| bytes))
}

/// Reads up to `most` bytes from the start of a file, and tells its size.
pub(crate) fn read_start(
    disk: &dyn Disk,
    path: &Path,
    most: usize,
) -> io::Result<Option<(Vec<u8>, u64)>> {
    let file = match disk.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let whole = file.size()?;
    let size = usize::try_from(whole)
        .map_err(|_| io::ErrorKind::FileTooLarge)?
        .min(most);
    let mut bytes = vec![0; size];
    let mut filled = 0;
    while filled < size {
        match file.read_at(filled as u64, &mut bytes[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    bytes.truncate(filled);
    Ok(Some((bytes, whole)))
}

/// Puts `bytes` in place of a file so that after a crash the old or the new one is there, whole:
/// a new file, synced, renamed over it, the folder synced.
pub(crate) fn replace(disk: &dyn Disk, folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let fresh = folder.join(format!("{name}.new"));
    let file = disk.create(&fresh)?;
    write_all(&*file, 0, bytes)?;
    file.sync()?;
    drop(file);
    disk.rename(&fresh, &folder.join(name))?;
    disk.sync_folder(folder)
}

/// Whether an error says that there is no room, on the disk (inodes count) or among the
/// descriptors, so that it may pass.
pub(crate) fn is_full(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let no_descriptor = [Errno::MFILE, Errno::NFILE].map(|errno| errno.raw_os_error());
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    ) || error
        .raw_os_error()
        .is_some_and(|code| no_descriptor.contains(&code))
}

/// The operating system's files.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn make_folder(&self, path: &Path) -> io::Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)?;
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => self.sync_folder(parent),
            _ => self.sync_folder(Path::new(".")),
        }
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        Ok(names)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600);
        Ok(Box::new(options.open(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(
            OpenOptions::new().read(true).write(true).open(path)?,
        ))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        #[cfg(feature = "seeded-bugs")]
        if crate::seeded_bugs::is_on("no-folder-sync") {
            return Ok(());
        }
        File::open(folder)?.sync_all()
    }

    fn free(&self, folder: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(folder)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn boot(&self) -> u64 {
        let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let digits = id.trim().replace('-', "");
        u64::from_str_radix(digits.get(..16).unwrap_or_default(), 16).unwrap_or(0)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600);
        let file = file.open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(file)),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl DiskFile for File {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        FileExt::write_at(self, bytes, offset)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        self.set_len(size)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn nobody_else_may_look() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("a/b");
        RealDisk.make_folder(&folder).unwrap();
        replace(&RealDisk, &folder, "file", b"text").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        assert_eq!(mode(&folder.join("file")), 0o600);
        assert_eq!(
            read_file(&RealDisk, &folder.join("file")).unwrap().unwrap(),
            b"text"
        );
        assert_eq!(read_file(&RealDisk, &folder.join("none")).unwrap(), None);
    }

    #[test]
    fn a_second_lock_is_refused_until_the_first_is_gone() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("lock");
        let first = RealDisk.lock(&path).unwrap();
        let refused = RealDisk.lock(&path).err().map(|error| error.kind());
        assert_eq!(refused, Some(io::ErrorKind::WouldBlock));
        drop(first);
        RealDisk.lock(&path).unwrap();
    }

    #[test]
    fn free_space_is_told() {
        assert!(RealDisk.free(Path::new("/")).unwrap() > 0);
    }
}
