//! The export: a copy of all rows in one file, made slowly while the server runs. With the
//! journal from its beginning on it is all that is needed to make sled anew.
//!
//! It need not be a picture of one moment. A row that changes while the export is under way
//! changes again when the journal is replayed over it, and the last frame wins.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{
    checkpoint::Books,
    disk::{self, Disk, DiskFile},
    error::StoreError,
    frame::{Frame, MAX_FRAME, Ops},
    journal::{FIRST_SEGMENT, Position},
    key::{KeyRange, successor},
    log::{self, FRAME_HEAD, Header, Seal, StoreId},
    mark::{Exported, Mark},
    read::shelf_error,
    row::{self, Row},
    shelf::Step,
    tree::Tree,
    vault::Vault,
};

/// The folder of the exports.
pub(crate) const EXPORT: &str = "export";

/// Rows of one slice at most, and bytes after which it ends.
const SLICE_ROWS: usize = 256;
const SLICE_BYTES: usize = 1 << 20;

const MAGIC: &[u8; 8] = b"ROOKEXP1";
const HEADER: usize = 60;

/// An export under way.
pub(crate) struct Export {
    exported: Exported,
    file: Box<dyn DiskFile>,
    seal: Seal,
    end: u64,
    frames: u64,
    /// The tree it is in, as an index; past the last: done.
    tree: usize,
    /// The last key taken there.
    upto: Option<Vec<u8>>,
}

impl Vault {
    /// Goes on with the export under way, or begins one. `true`: one is finished, and the journal
    /// before its beginning is gone.
    pub(crate) fn export_some(&self) -> Result<bool, StoreError> {
        self.health()?;
        let books = &mut *self.books.lock();
        // While a feed is half done, what sled holds belongs to no place in the journal.
        if books.mark.next.is_some() {
            return Ok(false);
        }
        let export = match books.export.take() {
            Some(export) => export,
            None => self.begin_export(&books.mark)?,
        };
        self.export_slice(books, export)
    }

    /// Makes a whole export, now.
    pub(crate) fn export_all(&self) -> Result<(), StoreError> {
        self.checkpoint()?;
        while !self.export_some()? {
            // A feed that failed in between is in the way.
            let interrupted = self.books.lock().mark.next.is_some();
            if interrupted {
                self.checkpoint()?;
            }
        }
        Ok(())
    }

    /// Whether an export is wanted: the journal has grown long, or there is nothing to begin a
    /// rebuild with.
    pub(crate) fn export_wanted(&self) -> bool {
        let books = self.books.lock();
        let broken = books.mark.export.is_none() && books.mark.oldest != FIRST_SEGMENT;
        broken || self.journal.lock().size().0 > self.options.export_journal
    }

    /// Whether anything was committed since the last export.
    pub(crate) fn export_stale(&self) -> bool {
        let books = self.books.lock();
        books.mark.export.map_or(0, |export| export.sequence) != books.mark.sequence
    }

    fn begin_export(&self, mark: &Mark) -> Result<Export, StoreError> {
        let folder = self.folder.join(EXPORT);
        self.disk
            .make_folder(&folder)
            .map_err(|error| failed(&error))?;
        let free = self.disk.free(&folder).map_err(|error| failed(&error))?;
        let needed = self.shelf.size().saturating_add(self.options.floor);
        if free < needed {
            let text = format!("an export needs {needed} bytes, {free} are free");
            return Err(StoreError::Full(text));
        }
        let number = mark.export.map_or(1, |last| last.number + 1);
        let exported = Exported {
            number,
            sequence: mark.sequence,
            position: mark.position,
        };
        let file = self
            .disk
            .create(&part_path(&folder, number))
            .map_err(|error| failed(&error))?;
        let header = write_header(&exported, mark.store);
        disk::write_all(&*file, 0, &header).map_err(|error| failed(&error))?;
        let (end, seal) = (HEADER as u64, seal(mark.store, number));
        Ok(Export {
            exported,
            file,
            seal,
            end,
            frames: 0,
            tree: 0,
            upto: None,
        })
    }

    /// Any error gives the export up; the last one stays as it is.
    fn export_slice(&self, books: &mut Books, mut export: Export) -> Result<bool, StoreError> {
        let frame = match Tree::ALL.get(export.tree) {
            Some(tree) => self.next_rows(*tree, &mut export)?,
            None => Frame::new(),
        };
        let done = frame.is_empty() && export.tree >= Tree::ALL.len();
        if done || !frame.is_empty() {
            export.append(&frame).map_err(|error| failed(&error))?;
        }
        if done {
            self.finish_export(books, &export)?;
        } else {
            books.export = Some(export);
        }
        Ok(done)
    }

    /// The next rows of a tree; if it has no more, the place moves on to the next.
    fn next_rows(&self, tree: Tree, export: &mut Export) -> Result<Frame, StoreError> {
        let from = export.upto.as_deref().map_or(Vec::new(), successor);
        let mut rows = Vec::new();
        let mut bytes = 0;
        let range = KeyRange { from, to: None };
        let scanned = self
            .shelf
            .scan(tree.slot(), &range, false, &mut |key, row| {
                bytes += match row::open(tree.slot(), key, row) {
                    Some(Row::InParts(parts)) => parts.len as usize,
                    _ => row.len(),
                };
                // A long one that would not fit comes first in the next slice.
                if bytes > SLICE_BYTES && !rows.is_empty() {
                    return Step::Stop;
                }
                rows.push((key.to_vec(), row.to_vec()));
                if rows.len() < SLICE_ROWS {
                    Step::Next
                } else {
                    Step::Stop
                }
            });
        scanned.map_err(shelf_error)?;
        match rows.last() {
            Some((key, _)) => export.upto = Some(key.clone()),
            None => {
                export.tree += 1;
                export.upto = None;
            }
        }
        let mut frame = Frame::new();
        for (key, row) in rows {
            let value = self.value_of(tree.slot(), &key, row)?;
            frame.put(tree, key, value);
        }
        Ok(frame)
    }

    /// Durable first, then named by the mark; then the last one and the journal before this one
    /// are needed no more.
    fn finish_export(&self, books: &mut Books, export: &Export) -> Result<(), StoreError> {
        let folder = self.folder.join(EXPORT);
        let number = export.exported.number;
        let finished = export
            .file
            .sync()
            .and_then(|()| {
                let path = export_path(&folder, number);
                self.disk.rename(&part_path(&folder, number), &path)
            })
            .and_then(|()| self.disk.sync_folder(&folder));
        finished.map_err(|error| failed(&error))?;
        let mut mark = books.mark.clone();
        let last = mark.export.replace(export.exported);
        mark.oldest = self.oldest_needed(&mark);
        self.write_mark(books, mark)?;
        self.shorten_journal(books.mark.oldest);
        if let Some(last) = last {
            let _ = self.disk.remove(&export_path(&folder, last.number));
        }
        tracing::info!(number, bytes = export.end, "export finished");
        Ok(())
    }

    /// The oldest segment to keep: for a replay, and for a rebuild while there can be one.
    pub(crate) fn oldest_needed(&self, mark: &Mark) -> u64 {
        let replay = mark.position.segment;
        match mark.export {
            _ if self.options.export_every.is_none() => replay,
            Some(export) => export.position.segment.min(replay),
            None if mark.oldest == FIRST_SEGMENT => FIRST_SEGMENT,
            None => replay,
        }
    }
}

fn failed(error: &io::Error) -> StoreError {
    let text = format!("export: {error}");
    // What fails here was promised to nobody; the journal is still whole.
    StoreError::Full(text)
}

fn part_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:010}.part"))
}

/// The file of a finished export.
pub(crate) fn export_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(export_name(number))
}

pub(crate) fn export_name(number: u64) -> String {
    format!("{number:010}.rows")
}

fn seal(store: StoreId, number: u64) -> Seal {
    Header {
        store,
        segment: number,
        generation: 0,
        first: 0,
    }
    .seal()
}

fn write_header(exported: &Exported, store: StoreId) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&store);
    let Position { segment, offset } = exported.position;
    for number in [exported.number, exported.sequence, segment, offset] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    let crc = crc32fast::hash(&out);
    out.extend_from_slice(&crc.to_be_bytes());
    out
}

impl Export {
    fn append(&mut self, frame: &Frame) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(frame.size() + FRAME_HEAD);
        self.frames += 1;
        log::write_frame(&mut bytes, &self.seal, self.frames, 0, frame);
        disk::write_all(&*self.file, self.end, &bytes)?;
        self.end += bytes.len() as u64;
        Ok(())
    }
}

/// Reads an export to its end and gives its rows, slice by slice. An error says what is wrong
/// with it; then some rows may have been given.
pub(crate) fn read_export<E: From<String>>(
    disk: &dyn Disk,
    folder: &Path,
    exported: &Exported,
    store: StoreId,
    mut visit: impl FnMut(Ops<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let path = export_path(folder, exported.number);
    let broken = |what: &str| E::from(format!("{}: {what}", path.display()));
    let file = disk
        .open(&path)
        .map_err(|error| broken(&error.to_string()))?;
    let mut header = vec![0; HEADER];
    read_exactly(&*file, 0, &mut header).map_err(|error| broken(&error.to_string()))?;
    if header != write_header(exported, store) {
        return Err(broken("it is not the export it should be"));
    }
    let seal = seal(store, exported.number);
    let mut offset = HEADER as u64;
    for number in 1.. {
        let bytes = read_slice(&*file, offset).map_err(|error| broken(&error.to_string()))?;
        let frame = log::read_frame(&bytes, 0, &seal).filter(|frame| frame.sequence == number);
        let ops = frame.and_then(|frame| frame.ops());
        let ops = ops.ok_or_else(|| broken(&format!("unreadable at byte {offset}")))?;
        if bytes.len() == FRAME_HEAD {
            break;
        }
        visit(ops)?;
        offset += bytes.len() as u64;
    }
    Ok(())
}

/// The bytes of the frame at `offset`.
fn read_slice(file: &dyn DiskFile, offset: u64) -> io::Result<Vec<u8>> {
    let mut len = [0; 4];
    read_exactly(file, offset, &mut len)?;
    let len = u32::from_be_bytes(len) as usize;
    if len > MAX_FRAME {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; FRAME_HEAD + len];
    read_exactly(file, offset, &mut bytes)?;
    Ok(bytes)
}

fn read_exactly(file: &dyn DiskFile, mut offset: u64, mut buffer: &mut [u8]) -> io::Result<()> {
    while !buffer.is_empty() {
        match file.read_at(offset, buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                offset += read as u64;
                buffer = &mut buffer[read..];
            }
        }
    }
    Ok(())
}
