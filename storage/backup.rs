//! The backup: export, journal and mark copied into another folder while the server runs. Opened
//! as a store, the copy makes its sled by itself.

use std::{io, path::Path};

use crate::{
    disk::{self, Disk, DiskFile},
    error::StoreError,
    export::{EXPORT, export_path},
    journal::segment_path,
    mark::Mark,
    recovery::JOURNAL,
    vault::Vault,
};

/// Bytes copied at a time.
const CHUNK: usize = 1 << 20;

impl Vault {
    /// Writes a backup of everything committed before into an empty folder. Checkpoints and
    /// exports wait meanwhile, commits only when the memtables are full.
    pub(crate) fn backup(&self, target: &Path) -> Result<(), StoreError> {
        self.export_all()?;
        let books = self.books.lock();
        // As long as the books are held no segment is removed.
        let position = self.journal.lock().position();
        let mark = &books.mark;
        self.copy_all(target, mark, position.segment, position.offset)
            .map_err(|error| {
                let text = format!("backup into {}: {error}", target.display());
                StoreError::Full(text)
            })
    }

    fn copy_all(&self, target: &Path, mark: &Mark, last: u64, end: u64) -> io::Result<()> {
        let disk = &*self.disk;
        let (journal, exports) = (target.join(JOURNAL), target.join(EXPORT));
        for folder in [target, &journal, &exports] {
            disk.make_folder(folder)?;
        }
        if !disk.list(&journal)?.is_empty() || !disk.list(&exports)?.is_empty() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if let Some(export) = mark.export {
            let from = export_path(&self.folder.join(EXPORT), export.number);
            copy(disk, &from, &export_path(&exports, export.number), u64::MAX)?;
        }
        disk.sync_folder(&exports)?;
        for segment in mark.oldest..=last {
            let size = if segment == last { end } else { u64::MAX };
            let from = segment_path(&self.journal_folder, segment);
            copy(disk, &from, &segment_path(&journal, segment), size)?;
        }
        // Last: without it the folder is no store.
        mark.store(disk, &journal)
    }
}

/// Copies up to `size` bytes and makes them durable.
fn copy(disk: &dyn Disk, from: &Path, to: &Path, size: u64) -> io::Result<()> {
    let (from, to) = (disk.open(from)?, disk.create(to)?);
    let size = size.min(from.size()?);
    let mut buffer = vec![0; CHUNK];
    let mut offset = 0;
    while offset < size {
        let wanted = (size - offset).min(CHUNK as u64) as usize;
        let read = read_some(&*from, offset, &mut buffer[..wanted])?;
        disk::write_all(&*to, offset, &buffer[..read])?;
        offset += read as u64;
    }
    to.sync()
}

fn read_some(file: &dyn DiskFile, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    match file.read_at(offset, buffer)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        read => Ok(read),
    }
}
