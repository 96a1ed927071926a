//! The survey: what of the journal is readable, before anything of it is believed.

use std::{collections::BTreeMap, path::Path};

use crate::{
    disk::{self, Disk},
    error::{Loss, OpenError},
    journal::{Position, segment_name, segment_number, segment_path},
    log::{self, HEADER_LEN, Header, LoggedFrame, Tail},
    mark::Mark,
};

/// The journal from the mark on.
#[derive(Default)]
pub(crate) struct Survey {
    /// Readable stretches, in order.
    pub(crate) stretches: Vec<Stretch>,
    /// The last readable sequence number; the mark's if there is none.
    pub(crate) end: u64,
    /// What was once durable and cannot be read.
    pub(crate) losses: Vec<Loss>,
    /// The never acknowledged rest of the last segment begins here.
    pub(crate) torn: Option<Position>,
    /// Last segments that the mark does not name and that hold no frame, so they never held one.
    /// The one before may have gone on: a disk can be too full for a new segment.
    pub(crate) unborn: Vec<u64>,
    /// The sizes of all segments that are there.
    pub(crate) sizes: BTreeMap<u64, u64>,
}

/// Frames that follow each other in one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    header: Header,
    from: usize,
    to: usize,
    first: u64,
}

/// The numbers of the segments in the journal's folder.
pub(crate) fn segments(disk: &dyn Disk, folder: &Path) -> Result<Vec<u64>, OpenError> {
    let names = disk.list(folder).map_err(OpenError::io(folder))?;
    let mut numbers: Vec<u64> = names
        .iter()
        .filter_map(|name| segment_number(name))
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Reads the journal from the mark to its end.
pub(crate) fn survey(disk: &dyn Disk, folder: &Path, mark: &Mark) -> Result<Survey, OpenError> {
    let numbers = segments(disk, folder)?;
    let mut last = numbers.last().copied().unwrap_or(0).max(mark.newest);
    let mut survey = Survey {
        end: mark.sequence,
        ..Survey::default()
    };
    while last > mark.newest && unborn(disk, &segment_path(folder, last))? {
        survey.unborn.push(last);
        last -= 1;
    }
    for number in mark.oldest..=last {
        let path = segment_path(folder, number);
        let start = disk::read_start(disk, &path, HEADER_LEN).map_err(OpenError::io(&path))?;
        let (mut bytes, size) = match start {
            Some(start) => start,
            None => {
                let loss = Loss::new(segment_name(number), 0, "the segment is missing");
                survey.lose(loss, number, mark);
                continue;
            }
        };
        survey.sizes.insert(number, size);
        // What lies before the mark is not replayed, and there may be much of it.
        if (Position {
            segment: number,
            offset: size,
        }) > mark.position
        {
            let whole = disk::read_file(disk, &path).map_err(OpenError::io(&path))?;
            bytes = whole.unwrap_or_default();
        }
        let reading = Reading {
            bytes: &bytes,
            size,
            number,
            last: number == last,
            mark,
        };
        survey.read_segment(&reading);
    }
    Ok(survey)
}

/// Whether a segment's file never got further than its header.
fn unborn(disk: &dyn Disk, path: &Path) -> Result<bool, OpenError> {
    let start = disk::read_start(disk, path, HEADER_LEN).map_err(OpenError::io(path))?;
    Ok(start.is_some_and(|(_, size)| size <= HEADER_LEN as u64))
}

/// One segment under the lens.
struct Reading<'r> {
    /// All of them, or only the header if nothing in it lies past the mark.
    bytes: &'r [u8],
    size: u64,
    number: u64,
    /// No segment follows.
    last: bool,
    mark: &'r Mark,
}

impl Survey {
    fn lose(&mut self, loss: Loss, segment: u64, mark: &Mark) {
        // Before the mark sled has it; then only a rebuild would miss it.
        let missed = segment >= mark.position.segment;
        self.losses.push(if missed {
            loss.commits(self.end + 1, None)
        } else {
            loss
        });
    }

    fn read_segment(&mut self, reading: &Reading<'_>) {
        let Reading {
            bytes,
            size,
            number,
            mark,
            ..
        } = *reading;
        let Some(header) = Header::read(bytes) else {
            let loss = Loss::new(
                segment_name(number),
                0,
                "the segment has no readable header",
            );
            return self.lose(loss, number, mark);
        };
        if let Some(what) = foreign(&header, number, mark) {
            return self.lose(Loss::new(segment_name(number), 0, what), number, mark);
        }
        let from = match number.cmp(&mark.position.segment) {
            std::cmp::Ordering::Less => return,
            std::cmp::Ordering::Equal if size == mark.position.offset => return,
            std::cmp::Ordering::Equal => mark.position.offset as usize,
            std::cmp::Ordering::Greater => HEADER_LEN,
        };
        if size < from as u64 {
            let what = "the segment is shorter than the mark says";
            let loss = Loss::new(segment_name(number), size, what);
            return self.losses.push(loss);
        }
        if number > mark.position.segment && header.first != self.end + 1 {
            let what = "the segment does not begin where the one before it ends";
            let loss = Loss::new(segment_name(number), 0, what);
            let (first, last) = (self.end + 1, header.first.wrapping_sub(1));
            self.losses.push(loss.commits(first, Some(last)));
            self.end = self.end.max(last);
        }
        self.read_frames(reading, header, from);
    }

    fn read_frames(&mut self, reading: &Reading<'_>, header: Header, mut from: usize) {
        let seal = header.seal();
        let mut first = self.end + 1;
        loop {
            let tail = log::walk(reading.bytes, from, &seal, first, |_| {});
            let (to, next) = match tail {
                Tail::Clean(next) => (reading.bytes.len(), next),
                Tail::Bad {
                    offset, expected, ..
                } => (offset, expected),
            };
            if next > first {
                self.stretches.push(Stretch {
                    header,
                    from,
                    to,
                    first,
                });
            }
            self.end = next - 1;
            let Tail::Bad {
                offset,
                expected,
                later,
            } = tail
            else {
                return;
            };
            let proved = later.is_some_and(|later| {
                // A readable frame at the very place is a gap, which no torn write leaves.
                later.proof || later.offset == offset
            });
            if reading.last && !proved {
                let offset = offset as u64;
                self.torn = Some(Position {
                    segment: reading.number,
                    offset,
                });
                return;
            }
            let what = "the commits there cannot be read";
            let loss = Loss::new(segment_name(reading.number), offset as u64, what);
            let last = later.map(|later| later.sequence - 1);
            self.losses
                .push(loss.commits(expected, last.filter(|last| *last >= expected)));
            let Some(later) = later.filter(|later| later.sequence >= expected) else {
                return;
            };
            (from, first) = (later.offset, later.sequence);
        }
    }
}

/// What is wrong with a header that is readable.
fn foreign(header: &Header, number: u64, mark: &Mark) -> Option<&'static str> {
    if header.store != mark.store {
        return Some("the segment belongs to another store");
    }
    if header.segment != number {
        return Some("the segment has another's name");
    }
    // It may be one ahead: made by an open that ended before it wrote its mark.
    if header.generation > mark.generation + 1 {
        return Some("the mark is an older copy");
    }
    None
}

impl Stretch {
    /// Gives its frames, with the place after each.
    pub(crate) fn replay<E>(
        &self,
        disk: &dyn Disk,
        folder: &Path,
        mut visit: impl FnMut(&LoggedFrame<'_>, Position) -> Result<(), E>,
    ) -> Result<(), E>
    where
        E: From<OpenError>,
    {
        let segment = self.header.segment;
        let path = segment_path(folder, segment);
        let bytes = disk::read_file(disk, &path).map_err(OpenError::io(&path))?;
        let bytes = bytes.unwrap_or_default();
        let bytes = bytes.get(..self.to).unwrap_or_default();
        let mut result = Ok(());
        let mut offset = self.from as u64;
        log::walk(bytes, self.from, &self.header.seal(), self.first, |frame| {
            offset += frame.bytes.len() as u64;
            if result.is_ok() {
                result = visit(frame, Position { segment, offset });
            }
        });
        result
    }
}
