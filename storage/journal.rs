//! The commit journal: a folder of segments to which frames are appended and synced before
//! anything else happens with them.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    disk::{self, Disk, DiskFile},
    error::StoreError,
    frame::{Frame, MAX_BATCH},
    log::{self, HEADER_LEN, Header, Seal, StoreId},
};

/// A place in the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    /// The number of the segment.
    pub(crate) segment: u64,
    /// Bytes into its file.
    pub(crate) offset: u64,
}

/// The journal, open for appending.
pub(crate) struct Journal {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    header: Header,
    /// The newest segment that the mark names: only such may hold frames, or the loss of a whole
    /// one would show nowhere.
    named: u64,
    seal: Seal,
    file: Box<dyn DiskFile>,
    /// The end of what is synced in the current segment.
    end: u64,
    /// The last synced sequence number.
    sequence: u64,
    /// Bytes of each segment before the current one.
    older: BTreeMap<u64, u64>,
    syncs: u64,
}

impl Journal {
    /// Goes on in a new segment, whose header and folder entry are durable before its first
    /// frame, and which the caller names in the mark before that. `older` are the segments that
    /// stay, with their sizes.
    pub(crate) fn start(
        disk: Arc<dyn Disk>,
        folder: PathBuf,
        header: Header,
        older: BTreeMap<u64, u64>,
    ) -> io::Result<Journal> {
        let file = create_segment(&*disk, &folder, &header)?;
        Ok(Journal {
            disk,
            folder,
            named: header.segment,
            seal: header.seal(),
            file,
            end: HEADER_LEN as u64,
            sequence: header.first - 1,
            older,
            header,
            syncs: 0,
        })
    }

    /// Appends all frames as one group and syncs once; answers the group as it was written. On
    /// `Full` nothing of them is there.
    pub(crate) fn append(&mut self, frames: &[Frame]) -> Result<Vec<u8>, StoreError> {
        if self.header.segment > self.named {
            return Err(StoreError::Full("no room to name a new segment".into()));
        }
        let size = frames.iter().map(Frame::size).sum();
        if size > MAX_BATCH {
            return Err(StoreError::TooLarge {
                what: "a batch",
                size,
                bound: MAX_BATCH,
            });
        }
        let mut group = Vec::with_capacity(size + frames.len() * log::FRAME_HEAD);
        let mut sequence = self.sequence;
        for (place, frame) in (0..).zip(frames) {
            sequence += 1;
            log::write_frame(&mut group, &self.seal, sequence, place, frame);
        }
        if let Err(error) = disk::write_all(&*self.file, self.end, &group) {
            return Err(self.undo(error));
        }
        self.sync()?;
        self.syncs += 1;
        self.end += group.len() as u64;
        self.sequence = sequence;
        Ok(group)
    }

    fn sync(&self) -> Result<(), StoreError> {
        #[cfg(feature = "seeded-bugs")]
        if self.sync_wrongly() {
            return Ok(());
        }
        let done = self.file.sync();
        done.map_err(|error| fatal("sync of the journal", &error))
    }

    #[cfg(feature = "seeded-bugs")]
    fn sync_wrongly(&self) -> bool {
        use crate::seeded_bugs::is_on;
        match () {
            () if is_on("no-fdatasync") => true,
            () if is_on("sync-wrong-file") => self.disk.sync_folder(&self.folder).is_ok(),
            () if is_on("swallow-eio") => self.file.sync().map_or(true, |()| true),
            () => false,
        }
    }

    /// Takes a short append back, durably: a later frame must not follow half a one.
    fn undo(&mut self, error: io::Error) -> StoreError {
        let undone = self.file.truncate(self.end).and_then(|()| self.file.sync());
        match undone {
            Err(second) => fatal("taking back a short append", &second),
            Ok(()) if disk::is_full(&error) => StoreError::Full(error.to_string()),
            Ok(()) => fatal("append to the journal", &error),
        }
    }

    /// Goes on in a new segment if the current one holds `bound` bytes or more; it takes no frame
    /// before [`Journal::is_named`].
    pub(crate) fn rotate(&mut self, bound: u64) -> Result<(), StoreError> {
        if self.end < bound.max(HEADER_LEN as u64 + 1) {
            return Ok(());
        }
        let segment = self.header.segment + 1;
        let header = Header {
            segment,
            first: self.sequence + 1,
            ..self.header
        };
        let file = create_segment(&*self.disk, &self.folder, &header);
        let file = match file {
            Ok(file) => file,
            // The old segment goes on; a rest of the new file is overwritten by the next try.
            Err(error) if disk::is_full(&error) => return Ok(()),
            Err(error) => return Err(fatal("a new segment", &error)),
        };
        self.older.insert(self.header.segment, self.end);
        self.header = header;
        self.seal = header.seal();
        self.file = file;
        self.end = HEADER_LEN as u64;
        Ok(())
    }

    /// The mark names the current segment from now on.
    pub(crate) fn is_named(&mut self) {
        self.named = self.header.segment;
    }

    /// Removes the segments before `segment`. What cannot be removed is left for the next open.
    pub(crate) fn retire(&mut self, segment: u64) {
        let kept = self.older.split_off(&segment);
        let retired = std::mem::replace(&mut self.older, kept);
        for number in retired.keys() {
            if let Err(error) = self.disk.remove(&segment_path(&self.folder, *number)) {
                tracing::warn!(segment = number, %error, "a journal segment was not removed");
            }
        }
    }

    /// The last durable sequence number.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The end of what is durable.
    pub(crate) fn position(&self) -> Position {
        Position {
            segment: self.header.segment,
            offset: self.end,
        }
    }

    /// Bytes of all segments, and how many there are.
    pub(crate) fn size(&self) -> (u64, usize) {
        (
            self.older.values().sum::<u64>() + self.end,
            self.older.len() + 1,
        )
    }

    /// How many groups were synced.
    pub(crate) fn syncs(&self) -> u64 {
        self.syncs
    }
}

fn fatal(what: &str, error: &io::Error) -> StoreError {
    StoreError::Fatal(format!("{what}: {error}"))
}

fn create_segment(
    disk: &dyn Disk,
    folder: &Path,
    header: &Header,
) -> io::Result<Box<dyn DiskFile>> {
    let file = disk.create(&segment_path(folder, header.segment))?;
    disk::write_all(&*file, 0, &header.write())?;
    file.sync()?;
    disk.sync_folder(folder)?;
    Ok(file)
}

/// The file of a segment.
pub(crate) fn segment_path(folder: &Path, segment: u64) -> PathBuf {
    folder.join(segment_name(segment))
}

/// The name of a segment's file.
pub(crate) fn segment_name(segment: u64) -> String {
    format!("{segment:010}.log")
}

/// The number of a segment by its file's name.
pub(crate) fn segment_number(name: &str) -> Option<u64> {
    let number = name.strip_suffix(".log")?.parse().ok()?;
    (segment_name(number) == name).then_some(number)
}

/// The first segments of a new store has this number.
pub(crate) const FIRST_SEGMENT: u64 = 1;

/// A header for a new store.
pub(crate) fn first_header(store: StoreId) -> Header {
    Header {
        store,
        segment: FIRST_SEGMENT,
        generation: 1,
        first: 1,
    }
}
