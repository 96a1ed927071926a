//! The components that were made by command: two files each in the data folder. The one with the
//! secret comes last and goes first, so that what there is is whole.

use crate::control::Secret;
use crate::folder::write_private;
use rookery_actors::site::fill_random;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The folder in the data folder.
const FOLDER: &str = "components";
/// How the name of a file ends that holds a secret.
const SECRET: &str = ".secret";
/// The same of one that says what the component may do.
const PRIVILEGES: &str = ".privileges";
/// Bytes of a file that is read.
const LIMIT: u64 = 4_096;

/// The list of them.
pub(super) struct Register(PathBuf);

impl Register {
    /// Of this data folder.
    pub fn of(folder: &Path) -> Self {
        Register(folder.join(FOLDER))
    }

    /// Their names.
    pub fn names(&self) -> Result<Vec<String>, String> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
            entries => entries.map_err(|error| told(&self.0, &error))?,
        };
        let mut names = vec![];
        for entry in entries {
            let entry = entry.map_err(|error| told(&self.0, &error))?;
            let name = entry.file_name().into_string().unwrap_or_default();
            names.extend(name.strip_suffix(SECRET).map(str::to_owned));
        }
        names.sort();
        Ok(names)
    }

    /// The secret of one, and what it may do.
    pub fn read(&self, name: &str) -> Result<(Secret, String), String> {
        let secret = read_secret(&self.file(name))?;
        let path = self.place(name, PRIVILEGES);
        let privileges = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            read => read.map_err(|error| told(&path, &error))?,
        };
        Ok((secret, privileges.trim().to_owned()))
    }

    /// Makes one, with a secret that nobody has had.
    pub fn add(&self, name: &str, privileges: &str) -> Result<Secret, String> {
        let made = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0);
        made.map_err(|error| told(&self.0, &error))?;
        let mut bytes = Zeroizing::new([0; 32]);
        fill_random(&mut *bytes);
        let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
        let secret = Secret::new(digits.collect());
        let lines = [
            (PRIVILEGES, Zeroizing::new(format!("{privileges}\n"))),
            (SECRET, Zeroizing::new(format!("{}\n", secret.reveal()))),
        ];
        for (kind, line) in lines {
            let path = self.place(name, kind);
            write_private(&path, line.as_bytes()).map_err(|error| told(&path, &error))?;
        }
        Ok(secret)
    }

    /// Forgets one.
    pub fn remove(&self, name: &str) -> Result<(), String> {
        for kind in [SECRET, PRIVILEGES] {
            let path = self.place(name, kind);
            match fs::remove_file(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                done => done.map_err(|error| told(&path, &error))?,
            }
        }
        let folder = File::open(&self.0).and_then(|it| it.sync_all());
        folder.map_err(|error| told(&self.0, &error))
    }

    /// The file with the secret of one.
    pub fn file(&self, name: &str) -> PathBuf {
        self.place(name, SECRET)
    }

    /// No domain has a slash in it.
    fn place(&self, name: &str, kind: &str) -> PathBuf {
        self.0.join(format!("{name}{kind}"))
    }
}

/// The secret in a file that is for this user alone.
pub(super) fn read_secret(path: &Path) -> Result<Secret, String> {
    let at = |error: io::Error| told(path, &error);
    let file = File::open(path).map_err(at)?;
    let mode = file.metadata().map_err(at)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(format!(
            "{0} may be read by others ({mode:o})\n  chmod 600 {0}",
            path.display()
        ));
    }
    let mut text = Zeroizing::new(String::new());
    file.take(LIMIT).read_to_string(&mut text).map_err(at)?;
    match text.trim() {
        "" => Err(format!("{} holds no secret", path.display())),
        secret => Ok(Secret::new(secret.to_owned())),
    }
}

fn told(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}
