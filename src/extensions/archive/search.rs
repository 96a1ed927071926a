//! Finding the messages of a page.
//!
//! Without a filter they are read where the page begins, and so are those with one contact, by the
//! index: page 1,000 costs what page 1 costs. Words (XEP-0431) and a full JID are looked for from
//! where the page begins, message by message, in slices between which others have their turn.
//!
//! There is no index of words: most text is encrypted, a row for each word of each message would
//! cost several times what the message costs, and people search seldom. A search costs about 2 µs
//! a message that it looks at, and ends at a bound: measured at 0.11 s of the processor, which is
//! what another question to the same archive may have to wait.

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
use super::trail::{self, Trace};
use crate::kept::{Message, MessageId, Place};

/// Messages looked at between two reads, where not all of them are wanted.
const SLICE: usize = 128;
/// Rows of the index between two reads.
const STRETCHES: usize = 4;
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
    /// Where the messages begin that the index does not name.
    split: u128,
    source: Source,
    stage: Stage,
    /// Something is left.
    is_more: bool,
    /// A message was found that has no place on the page.
    overflows: bool,
    looked_at: usize,
    /// Of these, messages that the index does not name.
    pub loose: usize,
    found: Vec<(MessageId, Message)>,
    bytes: usize,
}

/// Where messages are found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Source {
    /// By their ids.
    Ids,
    /// All messages, one after the other.
    Archive,
    /// Those with a contact that the index names.
    Index,
    /// Those that it does not name yet: not many.
    Loose,
}

/// What is being read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// What must be there, and with it what is read first.
    First,
    /// A slice of the source.
    Slice,
    /// The messages that the index names.
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
    /// A search for messages whose ids have at least the number `start`; the index names those
    /// below `split`.
    pub fn new(wanted: Wanted, start: u128, split: u128) -> Search {
        let source = match (&wanted.ids, &wanted.with) {
            (Some(_), _) => Source::Ids,
            (None, None) => Source::Archive,
            (None, Some(_)) if wanted.paging.is_backwards() => Source::Loose,
            (None, Some(_)) => Source::Index,
        };
        Search {
            from: wanted.from.max(start),
            to: wanted.to,
            split,
            wanted,
            source,
            stage: Stage::First,
            is_more: true,
            overflows: false,
            looked_at: 0,
            loose: 0,
            found: Vec::new(),
            bytes: 0,
        }
    }

    /// What to read first.
    pub fn begin(&self, account: AccountId) -> Vec<Query> {
        let known = self.wanted.known.iter().map(|id| get(account, *id));
        known.chain(self.slice(account)).collect()
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
        let stage = std::mem::replace(&mut self.stage, Stage::Slice);
        match self.source {
            _ if stage == Stage::Messages => {}
            Source::Ids => self.is_more = false,
            Source::Archive | Source::Loose => self.step(&rows),
            Source::Index => {
                let ids = self.follow(rows);
                if !ids.is_empty() {
                    self.stage = Stage::Messages;
                    return Next::Read(ids.into_iter().map(|id| get(account, id)).collect());
                }
                return self.go_on(account);
            }
        }
        self.look_at(rows);
        self.go_on(account)
    }

    /// Whether all that must be there is there; the rows that are to be looked at.
    fn check(&self, mut rows: Vec<Row>, start: u128) -> Option<Vec<Row>> {
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
            }
            // They come first, one row each, and all of them are there.
            None => drop(rows.drain(..self.wanted.known.len())),
        }
        Some(rows)
    }

    /// Notes what is left behind a slice of messages.
    fn step(&mut self, rows: &[Row]) {
        if self.source == Source::Loose {
            self.loose += rows.len();
        }
        let last = rows.last().and_then(|(key, _)| MessageId::of_key(key));
        match last.filter(|_| rows.len() == self.slice_len()) {
            Some((_, id)) => self.pass(id),
            None => self.leave(),
        }
    }

    /// The next messages that the index names.
    fn follow(&mut self, rows: Vec<Row>) -> Vec<MessageId> {
        let backwards = self.wanted.paging.is_backwards();
        let resource = self.wanted.with.as_ref().and_then(Jid::resource);
        let digest = resource.map(trail::digest);
        let is_meant = |trace: &Trace| {
            let is_in = (self.from..self.to.min(self.split)).contains(&trace.id().number());
            is_in && digest.is_none_or(|digest| digest == trace.resource)
        };
        let mut all = Vec::new();
        for (_, row) in &rows {
            let mut traces = trail::traces(row);
            if backwards {
                traces.reverse();
            }
            all.extend(traces);
        }
        self.looked_at += all.len();
        let last = all.last().map(|trace| trace.id());
        let meant = all.iter().filter(|it| is_meant(it));
        let mut ids: Vec<MessageId> = meant.map(Trace::id).collect();
        let is_past = !backwards && last.is_some_and(|id| id.number() >= self.to);
        let wanted = self.slice_len();
        if ids.len() > wanted {
            ids.truncate(wanted);
            ids.last().copied().into_iter().for_each(|id| self.pass(id));
        } else if rows.len() >= STRETCHES && !is_past {
            last.into_iter().for_each(|id| self.pass(id));
        } else {
            self.leave();
        }
        ids
    }

    /// Everything up to this message was read.
    fn pass(&mut self, id: MessageId) {
        match self.wanted.paging.is_backwards() {
            true => self.to = id.number(),
            false => self.from = self.from.max(id.number().saturating_add(1)),
        }
    }

    /// This source has nothing more: there may be another.
    fn leave(&mut self) {
        let backwards = self.wanted.paging.is_backwards();
        match (self.source, backwards) {
            (Source::Index, false) => self.source = Source::Loose,
            (Source::Loose, true) => self.source = Source::Index,
            _ => self.is_more = false,
        }
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
                self.overflows = true;
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
        // Whether more is there is worth a read, but not a search.
        let is_done = self.overflows || (self.is_full() && self.wanted.picks());
        if self.is_more && !is_done {
            if self.looked_at < LOOKED_AT {
                return Next::Read(self.slice(account));
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
        let is_complete = !self.is_more && !self.overflows;
        Next::Found(Page {
            messages,
            is_complete,
        })
    }

    /// What to read next of the source.
    fn slice(&self, account: AccountId) -> Vec<Query> {
        let with = self.wanted.with.as_ref().map_or("", Jid::as_str);
        let query = |range, limit, backwards| Query::Range {
            tree: Tree::Archive,
            range,
            limit,
            backwards,
        };
        let backwards = self.wanted.paging.is_backwards();
        let messages = |from| {
            let range = standing::rows(account, from, self.to);
            vec![query(range, self.slice_len(), backwards)]
        };
        match self.source {
            Source::Ids => Vec::new(),
            Source::Archive => messages(self.from),
            Source::Loose => messages(self.from.max(self.split)),
            Source::Index => {
                let range = |from, to| trail::range(account, with, from, to);
                let to = self.to.min(self.split);
                match backwards {
                    // First the row in which the page begins: it names later messages as well.
                    true => vec![
                        query(range(to, u128::MAX), 1, false),
                        query(range(self.from, to), STRETCHES, true),
                    ],
                    false => vec![query(range(self.from, u128::MAX), STRETCHES, false)],
                }
            }
        }
    }

    /// One more than is wanted says whether there is more.
    fn slice_len(&self) -> usize {
        match self.wanted.picks() || self.source == Source::Loose {
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
        let is_with = |with: &Jid| match with.is_bare() {
            true => trail::bare(&message.peer) == with.as_str(),
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
        let children = stanza.children().iter();
        let bodies = children.filter(|child| child.is(ns::CLIENT, "body"));
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
