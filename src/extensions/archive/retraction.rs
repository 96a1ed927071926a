//! What its sender takes back (XEP-0424): the archived message becomes a tombstone, which tells
//! when and by what it was taken back, and nothing of what it said.
//!
//! The message is found by the trail of its contact, among the latest; what lies further back, or
//! cannot be told for certain, stays. The retraction itself is kept in any case.

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

use crate::kept::trail::{self, Trace};
use crate::kept::{Message, MessageId, Place};

/// The steps of its reads.
pub(super) const TRAIL: u32 = 10;
pub(super) const MESSAGES: u32 = 11;

/// The most retractions that wait; of further ones the originals stay.
const WAITING: usize = 8;
/// Messages with the contact that are looked at in one go, and at the most.
const SLICE: usize = 512;
const LOOKED_AT: usize = 4_096;
/// The most messages whose stanza may be the one that is meant.
const CANDIDATES: usize = 4;

/// A retraction.
struct Retraction {
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
    looked_at: usize,
}

/// The retractions that wait; the first one is being done.
#[derive(Default)]
pub(super) struct Retractions {
    queue: VecDeque<Retraction>,
}

impl Retractions {
    /// Notes the message at hand, kept as `id`, if it takes another back. What is said in a room's
    /// name is left alone: the address of an occupant proves nobody (§5).
    pub fn note(&mut self, pass: &Pass, id: MessageId, account: AccountId, fx: &mut Effects) {
        let retract = pass.stanza.child(ns::RETRACT, "retract");
        let target = retract.as_ref().and_then(|retract| retract.attr("id"));
        let (Some(target), Some(by), Some(peer)) = (target, &pass.stanza.id, pass.peer()) else {
            return;
        };
        if pass.stanza.has(ns::MUC_USER, "x") || self.queue.len() >= WAITING {
            return;
        }
        self.queue.push_back(Retraction {
            peer: peer.bare_str().to_owned(),
            outgoing: pass.direction == Direction::Out,
            target: target.to_owned(),
            by: by.to_string(),
            time: id.time(),
            before: id.number(),
            looked_at: 0,
        });
        if self.queue.len() == 1 {
            self.look(account, fx);
        }
    }

    /// Takes a slice of the trail.
    pub fn follow(&mut self, rows: Vec<Row>, account: AccountId, fx: &mut Effects) {
        let Some(retraction) = self.queue.front_mut() else {
            return;
        };
        retraction.looked_at += rows.len();
        let is_last = rows.len() < SLICE || retraction.looked_at >= LOOKED_AT;
        if let Some(id) = rows.last().and_then(|(key, _)| trail::id_of(key)) {
            retraction.before = id.number();
        }
        let digest = trail::digest(&retraction.target);
        let is_meant = |value: &[u8]| decode(value).is_ok_and(|it: Trace| it.stanza == digest);
        let found = rows.iter().filter(|(_, value)| is_meant(value));
        let found = found
            .filter_map(|(key, _)| trail::id_of(key))
            .take(CANDIDATES);
        let get = |id: MessageId| Query::Get(Tree::Archive, id.key(account, Place::Archive));
        let found: Vec<Query> = found.map(get).collect();
        match (found.is_empty(), is_last) {
            (false, _) => fx.read_aside(MESSAGES, found),
            (true, false) => self.look(account, fx),
            (true, true) => self.next(account, fx),
        }
    }

    /// Takes the messages that may be meant; `buried` hears the size of each before and after.
    pub fn bury(
        &mut self,
        rows: Vec<Row>,
        account: AccountId,
        mut buried: impl FnMut(usize, usize),
        fx: &mut Effects,
    ) {
        if let Some(retraction) = self.queue.front() {
            for (key, row) in rows {
                if let Some(stone) = retraction.tombstone(&row) {
                    buried(row.len(), stone.len());
                    fx.put(Tree::Archive, key, stone);
                }
            }
        }
        self.next(account, fx);
    }

    fn next(&mut self, account: AccountId, fx: &mut Effects) {
        self.queue.pop_front();
        self.look(account, fx);
    }

    fn look(&self, account: AccountId, fx: &mut Effects) {
        let Some(retraction) = self.queue.front() else {
            return;
        };
        let range = trail::range(account, &retraction.peer, 0, retraction.before);
        let (tree, limit, backwards) = (Tree::Archive, SLICE, true);
        let slice = Query::Range {
            tree,
            range,
            limit,
            backwards,
        };
        fx.read_aside(TRAIL, vec![slice]);
    }
}

impl Retraction {
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
