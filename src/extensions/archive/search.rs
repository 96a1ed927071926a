//! Finding the messages of a page.
//!
//! Without a filter they are read where the page begins, and so are those with one contact, by
//! their trail: page 1,000 costs what page 1 costs. Words (XEP-0431) and a full JID are looked for
//! message by message, in slices between which others have their turn, from where the page begins.
//!
//! There is no index of words: most text is encrypted, a row for each word of each message would
//! cost several times what the message costs, and people search seldom. A search costs about
//! 4 µs a message that it looks at.

use rookery_actors::effect::{Query, Row};
use rookery_actors::keys::AccountId;
use rookery_protocol::error::{Condition, ErrorType, StanzaError};
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_storage::Tree;
use rookery_storage::record::decode;
use tracing::error;

use super::query::Wanted;
use super::standing;
use crate::kept::trail::{self, Trace};
use crate::kept::{Message, MessageId, Place};

/// Messages looked at between two reads, where not all of them are wanted.
const SLICE: usize = 128;
/// The most messages looked at for one page.
const LOOKED_AT: usize = 50_000;
/// A page ends with the message that makes it as large as this.
const PAGE_BYTES: usize = 512 * 1024;
/// The most words of a search, and their bytes.
const WORDS: usize = 16;
const WORDS_BYTES: usize = 256;

/// A search under way.
pub(super) struct Search {
    pub wanted: Wanted,
    /// What is left to be looked at.
    from: u128,
    to: u128,
    /// The slice that was read last was not the last one.
    is_more: bool,
    stage: Stage,
    looked_at: usize,
    found: Vec<(MessageId, Message)>,
    bytes: usize,
}

/// What is being read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// What must be there, and with it the messages asked for by id, or the first slice.
    First,
    /// A slice of the archive or of a trail.
    Slice,
    /// The messages that a trail leads to.
    Messages,
}

/// What comes next.
pub(super) enum Next {
    /// Rows are needed.
    Read(Vec<Query>),
    Found(Page),
    Refused(StanzaError),
}

/// A page.
pub(super) struct Page {
    /// In the order of the archive.
    pub messages: Vec<(MessageId, Message)>,
    /// Nothing more lies beyond it, in the direction in which it was asked for.
    pub is_complete: bool,
}

impl Search {
    /// A search for messages whose ids have at least the number `start`.
    pub fn new(wanted: Wanted, start: u128) -> Search {
        Search {
            from: wanted.from.max(start),
            to: wanted.to,
            wanted,
            is_more: true,
            stage: Stage::First,
            looked_at: 0,
            found: Vec::new(),
            bytes: 0,
        }
    }

    /// What to read first.
    pub fn begin(&self, account: AccountId) -> Vec<Query> {
        let known = self.wanted.known.iter().map(|id| get(account, *id));
        let known = known.collect::<Vec<_>>().into_iter();
        match self.wanted.ids {
            Some(_) => known.collect(),
            None => known.chain([self.slice(account)]).collect(),
        }
    }

    /// Takes the rows that were read.
    pub fn take(&mut self, rows: Vec<Row>, start: u128, account: AccountId) -> Next {
        let rows = match self.stage {
            Stage::First => match self.check(rows, start) {
                Some(rows) => rows,
                None => return Next::Refused(StanzaError::new(Condition::ItemNotFound)),
            },
            _ => rows,
        };
        let of_slice = self.stage != Stage::Messages && self.wanted.ids.is_none();
        self.stage = Stage::Slice;
        if of_slice {
            self.step(&rows);
        }
        if of_slice && self.wanted.with.is_some() {
            let ids = self.follow(rows);
            if !ids.is_empty() {
                self.stage = Stage::Messages;
                return Next::Read(ids.into_iter().map(|id| get(account, id)).collect());
            }
        } else {
            self.look_at(rows);
        }
        self.go_on(account)
    }

    /// Whether all that must be there is there; the rows that are to be looked at.
    fn check(&mut self, mut rows: Vec<Row>, start: u128) -> Option<Vec<Row>> {
        let id_of = |row: &Row| MessageId::of_key(&row.0).map(|(_, id)| id);
        for id in &self.wanted.known {
            let is_here = rows.iter().any(|row| id_of(row) == Some(*id));
            if id.number() < start || !is_here {
                return None;
            }
        }
        match &self.wanted.ids {
            Some(ids) => {
                rows.sort_unstable();
                rows.dedup();
                rows.retain(|row| id_of(row).is_some_and(|id| ids.contains(&id)));
                if self.wanted.paging.is_backwards() {
                    rows.reverse();
                }
                self.is_more = false;
            }
            None => {
                // They come first, one row each, and all of them are there.
                rows.drain(..self.wanted.known.len());
            }
        }
        Some(rows)
    }

    /// Notes what of the archive is left, behind the slice that was read.
    fn step(&mut self, rows: &[Row]) {
        self.is_more = rows.len() == self.slice_len();
        let id_of = |key: &[u8]| match MessageId::of_key(key) {
            Some((_, id)) => Some(id),
            None => trail::id_of(key),
        };
        let Some(last) = rows.last().and_then(|(key, _)| id_of(key)) else {
            return;
        };
        match self.wanted.paging.is_backwards() {
            true => self.to = last.number(),
            false => self.from = last.number().saturating_add(1),
        }
    }

    /// The messages that a slice of the trail leads to.
    fn follow(&mut self, rows: Vec<Row>) -> Vec<MessageId> {
        let resource = self.wanted.with.as_ref().and_then(Jid::resource);
        let digest = resource.map(trail::digest);
        self.looked_at += rows.len();
        let is_meant = |trace: &Trace| digest.is_none_or(|digest| digest == trace.resource);
        let rows = rows.into_iter().filter_map(|(key, value)| {
            let trace = decode::<Trace>(&value).ok();
            trail::id_of(&key).filter(|_| trace.as_ref().is_none_or(is_meant))
        });
        rows.collect()
    }

    fn look_at(&mut self, rows: Vec<Row>) {
        self.looked_at += rows.len();
        for (key, value) in rows {
            let Some((Place::Archive, id)) = MessageId::of_key(&key) else {
                continue;
            };
            let Ok(message) = decode::<Message>(&value) else {
                error!("a message of an archive cannot be read");
                continue;
            };
            let in_range = (self.wanted.from..self.wanted.to).contains(&id.number());
            if !in_range || !self.wanted.matches(&message) {
                continue;
            }
            if self.is_full() {
                self.is_more = true;
                return;
            }
            self.bytes += message.text().len();
            self.found.push((id, message));
        }
    }

    fn is_full(&self) -> bool {
        self.found.len() >= self.wanted.limit || self.bytes >= PAGE_BYTES
    }

    fn go_on(&mut self, account: AccountId) -> Next {
        if self.is_more && !self.is_full() {
            if self.looked_at < LOOKED_AT {
                return Next::Read(vec![self.slice(account)]);
            }
            if self.found.is_empty() {
                let error = StanzaError::new(Condition::ResourceConstraint);
                let text = "too much to look at: narrow it by a time or a contact";
                return Next::Refused(error.with_kind(ErrorType::Modify).with_text(text));
            }
        }
        let mut messages = std::mem::take(&mut self.found);
        if self.wanted.paging.is_backwards() {
            messages.reverse();
        }
        let is_complete = !self.is_more;
        Next::Found(Page {
            messages,
            is_complete,
        })
    }

    /// The next slice: of the trail of one contact, or of all messages.
    fn slice(&self, account: AccountId) -> Query {
        let range = match &self.wanted.with {
            Some(with) => trail::range(account, with.as_str(), self.from, self.to),
            None => standing::rows(account, self.from, self.to),
        };
        Query::Range {
            tree: Tree::Archive,
            range,
            limit: self.slice_len(),
            backwards: self.wanted.paging.is_backwards(),
        }
    }

    /// One more than is wanted says whether there is more.
    fn slice_len(&self) -> usize {
        match self.wanted.picks() {
            true => SLICE,
            false => self.wanted.limit + 1,
        }
    }
}

impl Wanted {
    /// Whether messages have to be looked at to know whether they are wanted.
    fn picks(&self) -> bool {
        let is_full = |jid: &Jid| !jid.is_bare();
        !self.words.is_empty() || self.with.as_ref().is_some_and(is_full)
    }

    /// Whether this message is wanted; the ids are compared already. What somebody told himself is
    /// a message with himself, and no other is (§4.1.1).
    fn matches(&self, message: &Message) -> bool {
        let bare = |peer: &str| {
            peer.split_once('/')
                .map_or(peer.len(), |(bare, _)| bare.len())
        };
        let is_with = |with: &Jid| match with.is_bare() {
            true => message.peer[..bare(&message.peer)] == *with.as_str(),
            false => message.peer == with.as_str(),
        };
        self.with.as_ref().is_none_or(is_with) && self.words.are_in(message)
    }
}

/// What is looked for in the text of messages: all words, in any order, also within longer ones,
/// in small or capital letters.
#[derive(Default, Debug)]
pub(super) struct Words(Vec<String>);

impl Words {
    /// The words of a text.
    pub fn of(text: &str) -> Result<Words, StanzaError> {
        let words = text.split_whitespace().map(str::to_lowercase);
        let words: Vec<String> = words.collect();
        if words.len() > WORDS || text.len() > WORDS_BYTES {
            return Err(StanzaError::new(Condition::NotAcceptable));
        }
        Ok(Words(words))
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn are_in(&self, message: &Message) -> bool {
        if self.is_empty() {
            return true;
        }
        let Some(stanza) = message.stanza() else {
            return false;
        };
        let bodies = stanza
            .children()
            .iter()
            .filter(|child| child.is(ns::CLIENT, "body"));
        let texts = bodies.filter_map(|body| stanza.read(body));
        let text: String = texts
            .map(|body| body.text().to_lowercase() + "\n")
            .collect();
        self.0.iter().all(|word| text.contains(word.as_str()))
    }
}

fn get(account: AccountId, id: MessageId) -> Query {
    Query::Get(Tree::Archive, id.key(account, Place::Archive))
}
