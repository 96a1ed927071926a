//! What waits for another server: in memory as far as its bounds allow, and, where it must last, on
//! the disk until that server has it. Pure: no actor, no clock.
//!
//! Order is kept for all that goes from one of our domains to one of theirs. What was written and
//! not acknowledged waits in front of the rest and is written again when the line broke: with the
//! same ids, so that whoever has it twice can tell. A server that resumes the session of the line
//! says first what of it has arrived. A server without XEP-0198 is asked something that it must
//! answer behind what was written, or is taken to have what stayed written for a while.

mod session;

use std::collections::VecDeque;

use bytes::Bytes;
use rookery_protocol::stanza::Stanza;
use rookery_storage::record::{self, Record, RecordError};
use rookery_storage::{Frame, KeyRange, Tree};
use serde::{Deserialize, Serialize};

use crate::effect::{Millis, Query, Row};
use rookery_protocol::dialback::Pair;
use session::{Place, Session};

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Stanzas in memory; rows beyond are read when their turn comes.
    pub memory_stanzas: usize,
    /// Their bytes.
    pub memory_bytes: usize,
    /// Stanzas on the disk.
    pub stanzas: usize,
    /// Their bytes.
    pub bytes: usize,
}

/// The outbox is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// A stanza that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The number of its row, if it must last.
    pub number: Option<u64>,
    /// As it is stored.
    pub bytes: Bytes,
    /// When it was accepted.
    pub since: Millis,
    /// The frame that it waits for.
    ticket: u64,
    /// When it was written; 0: not yet, in this life.
    written: Millis,
    /// Where it stands in the session of the line.
    place: Option<Place>,
}

impl Item {
    /// Whether the other server may have it.
    pub fn was_written(&self) -> bool {
        self.written > 0
    }
}

#[derive(Serialize, Deserialize)]
struct OutboxRow {
    since: Millis,
    stanza: Vec<u8>,
    place: Option<Place>,
}

/// What it was before sessions were resumed.
#[derive(Serialize, Deserialize)]
struct PlacelessRow {
    since: Millis,
    stanza: Vec<u8>,
}

impl Record for OutboxRow {
    const VERSION: u8 = 2;

    fn upgrade(version: u8, bytes: &[u8]) -> Option<OutboxRow> {
        let PlacelessRow { since, stanza } = match version {
            1 => record::body(bytes)?,
            _ => return None,
        };
        Some(OutboxRow {
            since,
            stanza,
            place: None,
        })
    }
}

/// What waits for the domain of a [`Pair`].
#[derive(Debug)]
pub struct Outbox {
    /// The beginning of its keys.
    prefix: Vec<u8>,
    bounds: Bounds,
    /// The number of the last row.
    last: u64,
    /// Written, and not known to have arrived; oldest first.
    written: VecDeque<Item>,
    /// To be written, in order.
    waiting: VecDeque<Item>,
    /// Bytes of both.
    held: usize,
    rows: usize,
    row_bytes: usize,
    /// Rows from this number on are not in memory.
    beyond: Option<u64>,
    /// Those of them that may not be on the disk yet: their frames and sizes.
    unsure: VecDeque<(u64, usize)>,
    /// Rows up to this number are being read.
    reading: Option<u64>,
    /// The session of the line, or of the last.
    session: Option<Session>,
}

impl Outbox {
    /// An outbox without anything in it: see [`Outbox::load`].
    pub fn new(pair: &Pair, bounds: Bounds) -> Outbox {
        Outbox {
            prefix: prefix(pair),
            bounds,
            last: 0,
            written: VecDeque::new(),
            waiting: VecDeque::new(),
            held: 0,
            rows: 0,
            row_bytes: 0,
            beyond: None,
            unsure: VecDeque::new(),
            reading: None,
            session: None,
        }
    }

    /// All its rows.
    pub fn everything(pair: &Pair) -> Query {
        Query::Range {
            tree: Tree::Outbox,
            range: KeyRange::prefix(&prefix(pair)),
            limit: usize::MAX,
            backwards: false,
        }
    }

    /// Takes over what an earlier life left.
    pub fn load(&mut self, rows: Vec<Row>) {
        let mut first = self.restore(&rows).into_iter().peekable();
        for (key, value) in rows {
            let Some(number) = self.number_in(&key) else {
                continue;
            };
            // The store has said so already, and what cannot be read cannot be sent.
            let Ok(mut row) = decode(&value) else {
                continue;
            };
            while first.next_if(|(it, _)| *it < number).is_some() {}
            if let Some((_, place)) = first.next_if(|(it, _)| *it == number) {
                row.place = Some(place);
            }
            self.last = number;
            self.rows += 1;
            self.row_bytes += row.stanza.len();
            self.remember(number, row);
        }
    }

    /// Takes a stanza in; where it must last its row is in `frame`, and it is not sent before the
    /// frame of this ticket is on the disk.
    pub fn take(
        &mut self,
        stanza: &Stanza,
        lasting: bool,
        (now, ticket): (Millis, u64),
        frame: &mut Frame,
    ) -> Result<(), Full> {
        let bytes = stanza.to_bytes();
        let room = self.has_room(bytes.len());
        if !lasting {
            // What is on the disk only goes first: it would be overtaken.
            if !room || self.beyond.is_some() {
                return Err(Full);
            }
            let place = self.next_place();
            self.keep((None, bytes, now), ticket, place);
            return Ok(());
        }
        let size = bytes.len();
        if self.rows >= self.bounds.stanzas || self.row_bytes + size > self.bounds.bytes {
            return Err(Full);
        }
        let stays = room && self.beyond.is_none();
        let place = if stays { self.next_place() } else { None };
        let row = OutboxRow {
            since: now,
            stanza: bytes.to_vec(),
            place,
        };
        let row = record::encode(&row).map_err(|_| Full)?;
        // By time, so that no number is ever given twice.
        self.last = (now << 16).max(self.last + 1);
        self.rows += 1;
        self.row_bytes += size;
        #[cfg(feature = "seeded-bugs")]
        let mut nowhere = Frame::new();
        #[cfg(feature = "seeded-bugs")]
        let frame = match rookery_storage::seeded_bugs::is_on("no-outbox-row") {
            true => &mut nowhere,
            false => frame,
        };
        frame.put(Tree::Outbox, self.key(self.last), row);
        match stays {
            true => self.keep((Some(self.last), bytes, now), ticket, place),
            false => {
                self.beyond.get_or_insert(self.last);
                self.unsure.push_back((ticket, size));
            }
        }
        Ok(())
    }

    /// The disk refused this frame: nothing of it waits, and its sender knows.
    pub fn refused(&mut self, ticket: u64) {
        for item in self.give_up(|it| it.ticket == ticket) {
            self.forget(&item);
        }
        let refused = self.unsure.iter().filter(|(it, _)| *it == ticket);
        let (rows, bytes) = refused.fold((0, 0), |(rows, all), (_, size)| (rows + 1, all + size));
        self.rows -= rows;
        self.row_bytes -= bytes;
        self.unsure.retain(|(it, _)| *it != ticket);
    }

    /// Frames up to this one are on the disk.
    pub fn durable(&mut self, ticket: u64) {
        while self.unsure.front().is_some_and(|(it, _)| *it <= ticket) {
            self.unsure.pop_front();
        }
    }

    /// The next to be written, if its frame is on the disk as `durable` says.
    pub fn next(&mut self, durable: u64, now: Millis) -> Option<Bytes> {
        if self.waiting.front()?.ticket > durable {
            return None;
        }
        let mut item = self.waiting.pop_front()?;
        item.written = now.max(1);
        item.place = self.session.as_mut().and_then(Session::write);
        let bytes = item.bytes.clone();
        self.written.push_back(item);
        Some(bytes)
    }

    /// The other server has the first `count` of what was written; answers what ends their rows.
    pub fn acked(&mut self, count: usize) -> Frame {
        let count = count.min(self.written.len());
        let gone: Vec<Item> = self.written.drain(..count).collect();
        self.done(gone)
    }

    /// The same of what was written before `since`, where nobody acknowledges.
    pub fn settled(&mut self, since: Millis) -> Frame {
        let count = self
            .written
            .iter()
            .take_while(|it| it.written < since || it.number.is_none())
            .count();
        self.acked(count)
    }

    /// The line broke: what was not acknowledged will be written again. Where nobody acknowledges,
    /// what need not last is taken to have arrived.
    pub fn broke(&mut self, acknowledges: bool) {
        while let Some(item) = self.written.pop_back() {
            match item.number.is_some() || acknowledges {
                true => self.waiting.push_front(item),
                false => self.held -= item.bytes.len(),
            }
        }
    }

    /// Takes out what is to be given up: all that [`Item::number`] and age condemn. Those with a
    /// row are still on the disk: see [`Outbox::done`].
    pub fn give_up(&mut self, condemned: impl Fn(&Item) -> bool) -> Vec<Item> {
        let (gone, waiting): (Vec<Item>, Vec<Item>) =
            self.waiting.drain(..).partition(|it| condemned(it));
        self.waiting = waiting.into();
        gone
    }

    /// These wait no more; answers what ends their rows.
    pub fn done(&mut self, items: Vec<Item>) -> Frame {
        let mut frame = Frame::new();
        for item in items {
            if let Some(number) = item.number {
                frame.delete(Tree::Outbox, self.key(number));
            }
            self.forget(&item);
        }
        frame
    }

    /// What must be read before anything else is sent: all in memory is written, and there is more.
    /// To be read when all frames handed to the disk by now are there.
    pub fn due(&mut self) -> Option<Query> {
        let from = self.beyond.filter(|_| self.waiting.is_empty())?;
        if self.reading.is_some() {
            return None;
        }
        self.reading = Some(self.last);
        let all = KeyRange::prefix(&self.prefix);
        let upto = [&self.key(self.last)[..], &[0]].concat();
        Some(Query::Range {
            tree: Tree::Outbox,
            range: KeyRange::between(self.key(from), upto).within(&all),
            limit: self.bounds.memory_stanzas.max(1),
            backwards: false,
        })
    }

    /// The rows that were due, or `None` where the disk did not give them.
    pub fn read(&mut self, rows: Option<Vec<Row>>) {
        let (Some(upto), Some(rows)) = (self.reading.take(), rows) else {
            return;
        };
        let full = rows.len() == self.bounds.memory_stanzas.max(1);
        let mut reached = upto;
        self.beyond = None;
        for (key, value) in rows {
            let Some(number) = self.number_in(&key) else {
                continue;
            };
            if full {
                reached = number;
            }
            if let Ok(row) = decode(&value) {
                self.remember(number, row);
            }
        }
        if reached < self.last {
            // More, or what came while it was read.
            self.beyond.get_or_insert(reached + 1);
        }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.written.is_empty() && self.waiting.is_empty() && self.beyond.is_none()
    }

    /// Whether something was written that must last and is not known to have arrived.
    pub fn owes(&self) -> bool {
        self.written.iter().any(|it| it.number.is_some())
    }

    /// What was written and is not acknowledged: stanzas.
    pub fn unacked(&self) -> usize {
        self.written.len()
    }

    /// How many stanzas wait, and how many of them will outlast the server.
    pub fn census(&self) -> (usize, usize) {
        let volatile = |items: &VecDeque<Item>| {
            let passing = items.iter().filter(|it| it.number.is_none());
            passing.count()
        };
        let passing = volatile(&self.written) + volatile(&self.waiting);
        (self.rows + passing, self.rows)
    }

    /// The bytes of what waits.
    pub fn bytes(&self) -> usize {
        let items = self.written.iter().chain(&self.waiting);
        let passing = items.filter(|it| it.number.is_none());
        self.row_bytes + passing.map(|it| it.bytes.len()).sum::<usize>()
    }

    /// When the oldest of what waits was accepted.
    pub fn oldest(&self) -> Option<Millis> {
        let first = self.written.front().or(self.waiting.front());
        first.map(|it| it.since)
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.written.len() + self.waiting.len() < self.bounds.memory_stanzas
            && self.held + bytes <= self.bounds.memory_bytes
    }

    fn keep(
        &mut self,
        (number, bytes, since): (Option<u64>, Bytes, Millis),
        ticket: u64,
        place: Option<Place>,
    ) {
        self.held += bytes.len();
        self.waiting.push_back(Item {
            number,
            bytes,
            since,
            ticket,
            written: 0,
            place,
        });
    }

    fn next_place(&mut self) -> Option<Place> {
        self.session.as_mut()?.next_place()
    }

    /// A row as it was read; where memory has no room it stays beyond, and so does what follows.
    fn remember(&mut self, number: u64, row: OutboxRow) {
        if self.beyond.is_some() {
            return;
        }
        match self.has_room(row.stanza.len()) || self.waiting.is_empty() {
            true => {
                // Of an earlier life it knows its place; else it gets one now.
                let place = self.next_place().or(row.place);
                self.keep((Some(number), row.stanza.into(), row.since), 0, place);
            }
            false => self.beyond = Some(number),
        }
    }

    fn forget(&mut self, item: &Item) {
        self.held -= item.bytes.len();
        if item.number.is_some() {
            self.rows = self.rows.saturating_sub(1);
            self.row_bytes = self.row_bytes.saturating_sub(item.bytes.len());
        }
    }

    fn key(&self, number: u64) -> Vec<u8> {
        [&self.prefix[..], &number.to_be_bytes()].concat()
    }

    fn number_in(&self, key: &[u8]) -> Option<u64> {
        let number = key.strip_prefix(&self.prefix[..])?;
        Some(u64::from_be_bytes(number.try_into().ok()?))
    }
}

fn decode(value: &[u8]) -> Result<OutboxRow, RecordError> {
    record::decode(value)
}

/// Every pair that has something in its outbox, for the start of the server: the first key behind
/// `after` tells the next.
pub fn pair_in(key: &[u8]) -> Option<Pair> {
    let mut parts = key.splitn(3, |byte| *byte == 0);
    let (remote, local) = (parts.next()?, parts.next()?);
    let text = |part: &[u8]| std::str::from_utf8(part).ok().map(Into::into);
    Some(Pair {
        from: text(local)?,
        to: text(remote)?,
    })
}

/// The beginning of the keys of a pair's rows: no domain has a zero in it.
fn prefix(pair: &Pair) -> Vec<u8> {
    [pair.to.as_bytes(), &[0], pair.from.as_bytes(), &[0]].concat()
}

/// All keys behind those of a pair.
pub fn behind(pair: &Pair) -> KeyRange {
    let mut last = prefix(pair);
    last.extend([0xff; 9]);
    KeyRange::all().after(&last)
}

#[cfg(test)]
mod tests;
