//! The data folder: made at the first start, for this user only, and for one server at a time.

use rustix::fs::{FlockOperation, flock};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Secret bytes of this server, from which decoys and the like are derived.
pub type Secret = Zeroizing<[u8; 32]>;

/// The data folder, held as long as this value lives.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    secret: Secret,
    new: bool,
    /// Locked; closing it gives the folder free.
    _lock: File,
}

/// Why the data folder cannot be used. All but `Disk` are for the operator to put right.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Others may read it.
    #[error(
        "{path} can be read by others (mode {mode:04o}), and passwords' keys lie in it\n  \
         chmod 700 {path}"
    )]
    Open {
        /// The folder.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It belongs to somebody else, who could then not read what is written now.
    #[error(
        "{path} belongs to user {owner}, and this is user {us}\n  \
         run this as that user, such as by `sudo -u '#{owner}' rookery …`"
    )]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// Its user.
        owner: u32,
        /// Our user.
        us: u32,
    },
    /// Another process has it.
    #[error(
        "another server is running on {0}\n  \
         stop it first, or give this one its own folder with --data"
    )]
    Busy(PathBuf),
    /// The secret in it is no secret.
    #[error(
        "{0} is damaged: it must hold 32 bytes\n  \
         bring it back from a backup"
    )]
    Secret(PathBuf),
    /// The disk refuses.
    #[error("{path}: {source}")]
    Disk {
        /// What was touched.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl Folder {
    /// Opens the folder for this process alone; makes it (0700), and its secret, if need be.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let at = |source| FolderError::Disk {
            path: path.to_owned(),
            source,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(at)?;
        let facts = fs::metadata(path).map_err(at)?;
        let (mode, owner) = (facts.permissions().mode() & 0o7777, facts.uid());
        let us = rustix::process::geteuid().as_raw();
        if owner != us {
            return Err(FolderError::Foreign {
                path: path.to_owned(),
                owner,
                us,
            });
        }
        if mode & 0o007 != 0 {
            return Err(FolderError::Open {
                path: path.to_owned(),
                mode,
            });
        }
        let lock = lock(path)?;
        let (secret, new) = secret(&path.join("secret"))?;
        Ok(Folder {
            path: path.to_owned(),
            secret,
            new,
            _lock: lock,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The server's secret.
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// Whether this is the first start.
    pub fn is_new(&self) -> bool {
        self.new
    }
}

/// Takes the folder, or finds that another process has it.
fn lock(folder: &Path) -> Result<File, FolderError> {
    let path = folder.join("lock");
    let at = |source| FolderError::Disk {
        path: path.clone(),
        source,
    };
    let mut options = OpenOptions::new();
    let file = options
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path);
    let mut file = file.map_err(at)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Err(FolderError::Busy(folder.to_owned())),
        Err(error) => return Err(at(error.into())),
    }
    // The number is for people who look; what counts is the lock.
    file.set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(at)?;
    Ok(file)
}

/// Reads the secret, or makes one.
fn secret(path: &Path) -> Result<(Secret, bool), FolderError> {
    let at = |source| FolderError::Disk {
        path: path.to_owned(),
        source,
    };
    let mut secret = Secret::default();
    match File::open(path) {
        Ok(mut file) => {
            let whole = file.metadata().map_err(at)?.len() == secret.len() as u64;
            if !whole || file.read_exact(&mut *secret).is_err() {
                return Err(FolderError::Secret(path.to_owned()));
            }
            Ok((secret, false))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            getrandom::fill(&mut *secret)
                .map_err(|error| at(io::Error::other(error.to_string())))?;
            write_private(path, &*secret).map_err(at)?;
            Ok((secret, true))
        }
        Err(error) => Err(at(error)),
    }
}

/// Writes a file that only this user may read: whole or not at all, and on disk when this
/// returns.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn place() -> (tempfile::TempDir, PathBuf) {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("deep/data");
        (place, path)
    }

    #[test]
    fn made_private_with_a_secret_that_stays() {
        let (_place, path) = place();
        let folder = Folder::open(&path).unwrap();
        assert!(folder.is_new());
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join("secret")), 0o600);
        assert_eq!(mode(&path.join("lock")), 0o600);
        let secret = folder.secret().clone();
        assert_ne!(*secret, [0; 32]);
        drop(folder);
        let folder = Folder::open(&path).unwrap();
        assert!(!folder.is_new());
        assert_eq!(*folder.secret(), secret);
    }

    #[test]
    fn one_server_at_a_time() {
        let (_place, path) = place();
        let first = Folder::open(&path).unwrap();
        assert!(matches!(Folder::open(&path), Err(FolderError::Busy(_))));
        drop(first);
        Folder::open(&path).unwrap();
    }

    #[test]
    fn refused_when_others_may_read_it() {
        let (_place, path) = place();
        fs::create_dir_all(&path).unwrap();
        for (mode, fits) in [(0o755, false), (0o701, false), (0o750, true), (0o700, true)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let opened = Folder::open(&path);
            assert_eq!(opened.is_ok(), fits, "{mode:o}");
            if let Err(error) = opened {
                assert!(error.to_string().contains("chmod 700"), "{error}");
            }
        }
    }

    #[test]
    fn a_damaged_secret_is_not_replaced() {
        let (_place, path) = place();
        drop(Folder::open(&path).unwrap());
        for bytes in [&[][..], &[1; 31], &[1; 33]] {
            fs::write(path.join("secret"), bytes).unwrap();
            assert!(
                matches!(Folder::open(&path), Err(FolderError::Secret(_))),
                "{bytes:?}"
            );
        }
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let (_place, path) = place();
        fs::create_dir_all(&path).unwrap();
        let file = path.join("x");
        fs::write(&file, "old").unwrap();
        write_private(&file, b"new").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert_eq!(mode(&file), 0o600);
        assert_eq!(
            fs::read_dir(&path).unwrap().count(),
            1,
            "nothing else is left behind"
        );
    }
}
