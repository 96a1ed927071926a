//! The session of a line (XEP-0198 §5), as an outbox remembers it: by it the other server says
//! how much it had when the line broke, also to the next life of this one. Pure.
//!
//! What waits is given the place that it will have among all that the session carries, before it
//! is written, so that its row can tell it. What is given up on the way lets the rest move up: a
//! place on the disk may be higher than the true one, never lower. So nothing is taken to have
//! arrived that did not, and what did comes twice only where something was given up before it and
//! the server was killed.

use rookery_storage::record::{self, Record};
use rookery_storage::{Frame, Tree};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::{Item, Outbox};
use crate::effect::Row;
use crate::receipt::is_later;

/// Rows whose places stand in the row of the session: they waited when it began.
const FIRST: usize = 256;

/// Where a stanza stands among those of a session.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    session: u32,
    count: u32,
}

/// A session of a line.
#[derive(Debug)]
pub struct Session {
    /// By this the other server names it.
    pub id: SmolStr,
    /// By this our rows do.
    tag: u32,
    /// How many were written; unknown in a new life of this server, until the other one says.
    sent: Option<u32>,
    /// The last place that was given.
    last: u32,
}

#[derive(Serialize, Deserialize)]
struct SessionRow {
    id: String,
    tag: u32,
    /// Numbers of rows, and their places, which the rows do not tell.
    first: Vec<(u64, u32)>,
}

impl Record for SessionRow {
    const VERSION: u8 = 1;
}

impl Session {
    /// A session that carries nothing yet.
    pub fn new(id: SmolStr, tag: u32) -> Session {
        Session {
            id,
            tag,
            sent: Some(0),
            last: 0,
        }
    }

    /// A session of an earlier life, and the places of the rows that waited when it began.
    pub fn restored(row: &[u8]) -> Option<(Session, Vec<(u64, Place)>)> {
        let row: SessionRow = record::decode(row).ok()?;
        let place = |count| Place {
            session: row.tag,
            count,
        };
        let first = row.first.iter();
        let first = first.map(|(number, count)| (*number, place(*count)));
        let session = Session {
            id: row.id.into(),
            tag: row.tag,
            sent: None,
            last: 0,
        };
        Some((session, first.collect()))
    }

    /// Its row, with the places of those that wait; `None` where it cannot be written.
    pub fn row<'a>(
        &self,
        waiting: impl Iterator<Item = (Option<u64>, &'a Option<Place>)>,
    ) -> Option<Vec<u8>> {
        let placed = waiting.filter_map(|(number, place)| Some((number?, (*place)?.count)));
        let row = SessionRow {
            id: self.id.to_string(),
            tag: self.tag,
            first: placed.take(FIRST).collect(),
        };
        record::encode(&row).ok()
    }

    /// The place of the next that is to wait; `None` while nobody knows how many were written.
    pub fn next_place(&mut self) -> Option<Place> {
        self.sent?;
        self.last = self.last.wrapping_add(1);
        Some(Place {
            session: self.tag,
            count: self.last,
        })
    }

    /// One is written; its place.
    pub fn write(&mut self) -> Option<Place> {
        let count = self.sent?.wrapping_add(1);
        self.sent = Some(count);
        if is_later(count, self.last) {
            self.last = count;
        }
        Some(Place {
            session: self.tag,
            count,
        })
    }

    /// It goes on behind the first `h`. Answers whether those that wait need places: it is of an
    /// earlier life.
    pub fn resume(&mut self, h: u32) -> bool {
        let is_new = self.sent.replace(h).is_none();
        if is_new {
            self.last = h;
        }
        is_new
    }

    /// How many were written, where that is known.
    pub fn sent(&self) -> Option<u32> {
        self.sent
    }

    /// Whether what stands at this place is among the first `h`.
    pub fn had(&self, place: Place, h: u32) -> bool {
        place.session == self.tag && !is_later(place.count, h)
    }
}

impl Outbox {
    /// By what the other server names the session of the last line, if it can be resumed.
    pub fn earlier(&self) -> Option<SmolStr> {
        self.session.as_ref().map(|it| it.id.clone())
    }

    /// How many the session carried; `None` where that is not known.
    pub fn sent(&self) -> Option<u32> {
        self.session.as_ref()?.sent()
    }

    /// The other server had the first `h` of the session when the line broke; answers what ends
    /// their rows.
    pub fn had(&mut self, h: u32) -> Frame {
        let Some(session) = &self.session else {
            return Frame::new();
        };
        let is_there = |item: &Item| item.place.is_some_and(|it| session.had(it, h));
        // Order is kept: what stands before one that arrived has arrived.
        let count = self
            .waiting
            .iter()
            .rposition(is_there)
            .map_or(0, |it| it + 1);
        let gone: Vec<Item> = self.waiting.drain(..count).collect();
        self.done(gone)
    }

    /// Whether all that the session carried behind the first `h` still waits, so that it can be
    /// written to the same places. If not, the session must not go on: the other server may have
    /// handled some of it already, without all before it, and remembers by place what it must not
    /// take twice. Something else at such a place would be lost. In a new life that is not known:
    /// what need not last is gone, and was in between.
    pub fn is_whole(&self, h: u32) -> bool {
        let Some(session) = &self.session else {
            return true;
        };
        let places = self.waiting.iter().filter_map(|it| it.place);
        let mut own = places.filter(|it| it.session == session.tag);
        match session.sent {
            Some(sent) => {
                let waits = own.filter(|it| !is_later(it.count, sent)).count();
                waits == sent.wrapping_sub(h) as usize
            }
            None => own.next().is_none() && self.beyond.is_none(),
        }
    }

    /// The session goes on behind the first `h`. Answers what must be on the disk before anything
    /// is written.
    pub fn resume(&mut self, h: u32) -> Frame {
        match self.session.as_mut().is_some_and(|it| it.resume(h)) {
            true => self.give_places(),
            false => Frame::new(),
        }
    }

    /// A session begins, which the other server names `id` and our rows `tag`. Answers what must
    /// be on the disk before anything is written.
    pub fn begin(&mut self, id: SmolStr, tag: u32) -> Frame {
        self.session = Some(Session::new(id, tag));
        self.give_places()
    }

    /// No session can be resumed any more; answers what ends its row.
    pub fn end(&mut self) -> Frame {
        let mut frame = Frame::new();
        if self.session.take().is_some() {
            frame.delete(Tree::Outbox, self.session_key());
        }
        frame
    }

    /// Gives what waits its places; answers the row of the session.
    fn give_places(&mut self) -> Frame {
        let mut frame = Frame::new();
        let Some(session) = self.session.as_mut() else {
            return frame;
        };
        for item in &mut self.waiting {
            item.place = session.next_place();
        }
        let waiting = self.waiting.iter().map(|it| (it.number, &it.place));
        if let Some(row) = session.row(waiting) {
            frame.put(Tree::Outbox, self.session_key(), row);
        }
        frame
    }

    /// The session of an earlier life, if these rows tell of one; answers the places of those rows
    /// that do not tell theirs.
    pub(super) fn restore(&mut self, rows: &[Row]) -> Vec<(u64, Place)> {
        let key = self.session_key();
        let row = rows.iter().find(|(it, _)| *it == key);
        let found = row.and_then(|(_, value)| Session::restored(value));
        let (session, first) = found.unzip();
        self.session = session;
        first.unwrap_or_default()
    }

    /// Of the row of the session: shorter than any other.
    fn session_key(&self) -> Vec<u8> {
        [&self.prefix[..], b"s"].concat()
    }
}
