//! What its sender takes back (XEP-0424): the archived message becomes a tombstone, which tells
//! when and by what it was taken back, and nothing of what it said.
//!
//! The message is looked for among the latest with its sender; what lies further back, or cannot be
//! told for certain, stays. The retraction itself is kept in any case.

use std::collections::VecDeque;

use rookery_actors::effect::{Effects, Query, Row};
use rookery_actors::extension::{Direction, Pass};
use rookery_actors::keys::AccountId;
use rookery_protocol::datetime;
use rookery_protocol::ns;
use rookery_protocol::stanza::Stanza;
use rookery_protocol::xml::Element;
use rookery_storage::Tree;
use rookery_storage::record::{decode, encode};

use super::{standing, trail};
use crate::kept::{Message, MessageId, Place};

/// The steps of its reads.
pub(super) const LATEST: u32 = 10;
pub(super) const MESSAGES: u32 = 11;

/// The most retractions that wait; of further ones the originals stay.
const WAITING: usize = 8;
/// The most messages that the index does not name and that are looked at.
const LOOSE: usize = 2 * trail::BATCH;
/// The most rows of the index that are looked at.
const STRETCHES: usize = 32;
/// The most messages whose stanza may be the one that is meant.
const CANDIDATES: usize = 4;

/// A retraction.
pub struct Retraction {
    /// The bare JID of the contact.
    peer: String,
    outgoing: bool,
    /// The `id` of the stanza that is taken back.
    target: String,
    /// The `id` of the retraction's own stanza.
    by: String,
    /// When it was received.
    time: u64,
    /// Messages before this one are to be looked at.
    before: u128,
}

/// The retractions that wait; the first one is being done.
#[derive(Default)]
pub(super) struct Retractions {
    queue: VecDeque<Retraction>,
}

impl Retractions {
    /// Notes a retraction. The index by contact names the messages below `split`.
    pub fn note(
        &mut self,
        retraction: Retraction,
        split: u128,
        account: AccountId,
        fx: &mut Effects,
    ) {
        if self.queue.len() >= WAITING {
            return;
        }
        self.queue.push_back(retraction);
        if self.queue.len() == 1 {
            self.look(split, account, fx);
        }
    }

    /// Takes the latest messages, and what the index says of those before; `buried` hears the size
    /// of what becomes a tombstone, before and after.
    pub fn follow(
        &mut self,
        rows: Vec<Row>,
        split: u128,
        account: AccountId,
        buried: impl FnMut(usize, usize),
        fx: &mut Effects,
    ) {
        let Some(retraction) = self.queue.front() else {
            return;
        };
        let (index, latest): (Vec<Row>, Vec<Row>) =
            rows.into_iter().partition(|(key, _)| trail::is_key(key));
        let digest = trail::digest(&retraction.target);
        let traces = index.iter().flat_map(|(_, row)| trail::traces(row));
        let meant = traces.filter(|trace| trace.stanza == digest);
        let get = |id: MessageId| Query::Get(Tree::Archive, id.key(account, Place::Archive));
        let found: Vec<Query> = meant.map(|it| get(it.id())).take(CANDIDATES).collect();
        let is_here = retraction.bury(latest, buried, fx);
        match is_here || found.is_empty() {
            true => self.next(split, account, fx),
            false => fx.read_aside(MESSAGES, found),
        }
    }

    /// Takes the messages that may be meant.
    pub fn bury(
        &mut self,
        rows: Vec<Row>,
        split: u128,
        account: AccountId,
        buried: impl FnMut(usize, usize),
        fx: &mut Effects,
    ) {
        if let Some(retraction) = self.queue.front() {
            retraction.bury(rows, buried, fx);
        }
        self.next(split, account, fx);
    }

    /// The one at hand is done, or cannot be: the next.
    pub fn next(&mut self, split: u128, account: AccountId, fx: &mut Effects) {
        self.queue.pop_front();
        self.look(split, account, fx);
    }

    fn look(&self, split: u128, account: AccountId, fx: &mut Effects) {
        let Some(retraction) = self.queue.front() else {
            return;
        };
        let query = |range, limit| Query::Range {
            tree: Tree::Archive,
            range,
            limit,
            backwards: true,
        };
        let latest = standing::rows(account, split, retraction.before);
        let earlier = trail::range(account, &retraction.peer, 0, u128::MAX);
        fx.read_aside(
            LATEST,
            vec![query(latest, LOOSE), query(earlier, STRETCHES)],
        );
    }
}

impl Retraction {
    /// Of the message at hand, kept as `id`, if it takes another back. What is said in a room's
    /// name is left alone: the address of an occupant proves nobody (§5).
    pub fn of(pass: &Pass, id: MessageId) -> Option<Retraction> {
        let retract = pass.stanza.child(ns::RETRACT, "retract")?;
        if pass.stanza.has(ns::MUC_USER, "x") {
            return None;
        }
        Some(Retraction {
            peer: pass.peer()?.bare_str().to_owned(),
            outgoing: pass.direction == Direction::Out,
            target: retract.attr("id")?.to_owned(),
            by: pass.stanza.id.as_ref()?.to_string(),
            time: id.time(),
            before: id.number(),
        })
    }

    /// Puts a tombstone in the place of what is meant among these messages, if it is there.
    fn bury(&self, rows: Vec<Row>, mut buried: impl FnMut(usize, usize), fx: &mut Effects) -> bool {
        let mut is_here = false;
        for (key, row) in rows {
            if let Some(stone) = self.tombstone(&row) {
                buried(row.len(), stone.len());
                fx.put(Tree::Archive, key, stone);
                is_here = true;
            }
        }
        is_here
    }

    /// What is left of a message, if it is the one that is meant and comes from the same bare JID
    /// (§5).
    fn tombstone(&self, row: &[u8]) -> Option<Vec<u8>> {
        let message = decode::<Message>(row).ok()?;
        let outgoing = message.outgoing;
        let stanza = message.into_stanza()?;
        let peer = if outgoing { &stanza.to } else { &stanza.from };
        let is_peer = peer
            .as_ref()
            .is_some_and(|peer| peer.bare_str() == self.peer);
        let is_it = stanza.id.as_deref() == Some(self.target.as_str());
        let is_bare = stanza.has(ns::RETRACT, "retracted") || stanza.has(ns::MUC_USER, "x");
        if outgoing != self.outgoing || !is_peer || !is_it || is_bare {
            return None;
        }
        let retracted = Element::new(ns::RETRACT, "retracted")
            .with_attr("id", &self.by)
            .with_attr("stamp", datetime::format(self.time));
        let mut stone = Stanza::new(stanza.kind).with_child(&retracted);
        (stone.to, stone.from, stone.id) = (stanza.to, stanza.from, stanza.id);
        let stone = match outgoing {
            true => Message::outgoing(&stone),
            false => Message::incoming(&stone),
        };
        encode(&stone?).ok()
    }
}
