//! The people at a node: who is subscribed to it, and who is what (XEP-0060 §4.1, §4.2). Each has a
//! row of his own, so that joining a node of thousands writes no more than joining one of two.

use std::collections::{BTreeMap, BTreeSet};

use rookery_actors::effect::{Effects, Millis};
use rookery_actors::keys::{AccountId, Kind, row};
use rookery_protocol::jid::Jid;
use rookery_storage::record::{Record, decode, encode};
use rookery_storage::{KeyRange, Tree};
use serde::{Deserialize, Serialize};
use tracing::error;

/// A [`Subscription`]; then the node's number and the JID that is subscribed.
pub const SUBSCRIBER: Kind = Kind(0x34);
/// An [`Affiliation`]; then the node's number and a bare JID.
pub const AFFILIATE: Kind = Kind(0x35);

/// The most bytes of all addresses at a node: they are in memory while its board is.
const ADDRESSES: usize = 256 * 1024;
/// The most subscriptions of one account: one for each of its resources.
const RESOURCES: usize = 20;

/// What somebody may do at a node (XEP-0060 §4.1). The order is written to disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Affiliation {
    Owner,
    Publisher,
    PublishOnly,
    Member,
    Outcast,
    None,
}

impl Record for Affiliation {
    const VERSION: u8 = 1;
}

impl Affiliation {
    /// As it stands in `affiliation` attributes.
    pub fn as_str(self) -> &'static str {
        match self {
            Affiliation::Owner => "owner",
            Affiliation::Publisher => "publisher",
            Affiliation::PublishOnly => "publish-only",
            Affiliation::Member => "member",
            Affiliation::Outcast => "outcast",
            Affiliation::None => "none",
        }
    }

    /// Reads what `as_str` wrote.
    pub fn parse(text: &str) -> Option<Affiliation> {
        use Affiliation::*;
        let all = [Owner, Publisher, PublishOnly, Member, Outcast, None];
        all.into_iter().find(|it| it.as_str() == text)
    }
}

/// An explicit subscription (XEP-0060 §6.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Subscription {
    /// It waits for the owner's word.
    pub is_pending: bool,
    /// Events are sent (`pubsub#deliver`, §6.3).
    pub delivers: bool,
    /// When it ends (`pubsub#expire`); 0: never.
    pub expire: Millis,
}

impl Record for Subscription {
    const VERSION: u8 = 1;
}

impl Subscription {
    /// One from now on, with the options that all have at first (§6.4).
    pub const NEW: Subscription = Subscription {
        is_pending: false,
        delivers: true,
        expire: 0,
    };

    /// Whether it has ended.
    pub fn is_over(&self, now: Millis) -> bool {
        self.expire != 0 && self.expire <= now
    }

    /// Whether events are sent to it.
    pub fn hears(&self, now: Millis) -> bool {
        self.delivers && !self.is_pending && !self.is_over(now)
    }
}

/// The people at one node.
#[derive(Default, Debug)]
pub struct Circle {
    /// By the JID to which events go: bare or full.
    subscriptions: BTreeMap<String, Subscription>,
    /// By bare JID. Of a node of an account the account itself, which owns it, is not listed.
    affiliations: BTreeMap<String, Affiliation>,
    /// When subscriptions end, of those that do.
    leases: BTreeSet<(Millis, String)>,
    /// Bytes of all addresses.
    weight: usize,
}

impl Circle {
    /// A row of [`SUBSCRIBER`] or [`AFFILIATE`]; `jid`: what its key ends with.
    pub fn load(&mut self, kind: Kind, jid: &[u8], value: &[u8]) {
        let Ok(jid) = std::str::from_utf8(jid) else {
            return error!("somebody at a node has no address");
        };
        let read = match kind {
            SUBSCRIBER => decode(value).map(|it| self.put(jid, it)),
            _ => decode(value).map(|it| self.settle(jid, it)),
        };
        if let Err(problem) = read {
            error!(%problem, "what somebody is at a node cannot be read");
        }
    }

    /// The subscription of this very JID.
    pub fn subscription(&self, jid: &Jid) -> Option<&Subscription> {
        self.subscriptions.get(jid.as_str())
    }

    /// All subscriptions, in the order of their JIDs.
    pub fn subscriptions(&self) -> impl Iterator<Item = (&str, &Subscription)> {
        self.subscriptions
            .iter()
            .map(|(jid, it)| (jid.as_str(), it))
    }

    /// The subscriptions of `jid` and of its resources.
    pub fn subscriptions_of(&self, jid: &Jid) -> impl Iterator<Item = (&str, &Subscription)> {
        let bare = jid.bare_str();
        let itself = self.subscriptions.get_key_value(bare);
        // What begins with a slash lies before what begins with the character after it.
        let resources = format!("{bare}/")..format!("{bare}0");
        let all = itself
            .into_iter()
            .chain(self.subscriptions.range(resources));
        all.map(|(jid, it)| (jid.as_str(), it))
    }

    /// Whether `jid`, or a resource of it, is subscribed.
    pub fn has_subscriber(&self, jid: &Jid) -> bool {
        self.subscriptions_of(jid).any(|(_, it)| !it.is_pending)
    }

    /// How many subscriptions there are, those that wait among them.
    pub fn subscribers(&self) -> usize {
        self.subscriptions.len()
    }

    /// What `jid` (bare or full) was made here.
    pub fn affiliation(&self, jid: &Jid) -> Affiliation {
        let found = self.affiliations.get(jid.bare_str());
        found.copied().unwrap_or(Affiliation::None)
    }

    /// All that were made something, in the order of their JIDs.
    pub fn affiliations(&self) -> impl Iterator<Item = (&str, Affiliation)> {
        self.affiliations
            .iter()
            .map(|(jid, it)| (jid.as_str(), *it))
    }

    /// Who was made this.
    pub fn all_who_are(&self, what: Affiliation) -> impl Iterator<Item = &str> {
        let all = self.affiliations().filter(move |(_, it)| *it == what);
        all.map(|(jid, _)| jid)
    }

    /// Whether there is room for these people besides, of whom there may be so many.
    pub fn has_room<'a>(&self, people: impl IntoIterator<Item = &'a Jid>, most: usize) -> bool {
        let (mut count, mut bytes) = (0, self.weight);
        for jid in people {
            count += 1;
            bytes += jid.as_str().len();
        }
        count <= most && bytes <= ADDRESSES
    }

    /// Whether `jid` may subscribe once more, where so many may be.
    pub fn admits(&self, jid: &Jid, limit: usize) -> bool {
        let room = self.subscribers() < limit && self.has_room([jid], 1);
        room && self.subscriptions_of(jid).count() < RESOURCES
    }

    /// Whose subscriptions have ended by now.
    pub fn lapsed(&self, now: Millis) -> Vec<Jid> {
        let over = self.leases.iter().take_while(|(end, _)| *end <= now);
        over.filter_map(|(_, jid)| Jid::parse(jid).ok()).collect()
    }

    /// Subscribes somebody, or changes his subscription.
    pub(super) fn put(&mut self, jid: &str, subscription: Subscription) {
        let known = self.subscriptions.insert(jid.to_owned(), subscription);
        match known {
            Some(known) => drop(self.leases.remove(&(known.expire, jid.to_owned()))),
            None => self.weight += jid.len(),
        }
        if subscription.expire != 0 {
            self.leases.insert((subscription.expire, jid.to_owned()));
        }
    }

    /// Ends a subscription; whether there was one.
    pub(super) fn end(&mut self, jid: &str) -> bool {
        let Some(known) = self.subscriptions.remove(jid) else {
            return false;
        };
        self.leases.remove(&(known.expire, jid.to_owned()));
        self.weight -= jid.len();
        true
    }

    /// Makes somebody something, or nothing.
    pub(super) fn settle(&mut self, jid: &str, to: Affiliation) {
        let known = match to {
            Affiliation::None => self.affiliations.remove(jid),
            _ => self.affiliations.insert(jid.to_owned(), to),
        };
        match (known, to) {
            (Some(_), Affiliation::None) => self.weight -= jid.len(),
            (None, to) if to != Affiliation::None => self.weight += jid.len(),
            _ => {}
        }
    }

    /// Writes everybody down.
    pub(super) fn save(&self, place: Place, fx: &mut Effects) {
        for (jid, subscription) in self.subscriptions() {
            place.write(SUBSCRIBER, jid, subscription, fx);
        }
        for (jid, affiliation) in self.affiliations() {
            place.write(AFFILIATE, jid, &affiliation, fx);
        }
    }
}

/// Where the rows of one node's people are.
#[derive(Clone, Copy)]
pub struct Place {
    pub owner: AccountId,
    pub node: u32,
}

impl Place {
    /// Writes a person's row.
    pub fn write<R: Record>(self, kind: Kind, jid: &str, record: &R, fx: &mut Effects) {
        match encode(record) {
            Ok(value) => fx.put(Tree::Account, self.key(kind, jid), value),
            // Every record here is a few bytes.
            Err(problem) => error!(%problem, "somebody at a node cannot be written down"),
        }
    }

    /// Removes a person's row.
    pub fn erase(self, kind: Kind, jid: &str, fx: &mut Effects) {
        fx.delete(Tree::Account, self.key(kind, jid));
    }

    /// Removes everybody's.
    pub fn clear(self, fx: &mut Effects) {
        for kind in [SUBSCRIBER, AFFILIATE] {
            let all = KeyRange::prefix(&self.key(kind, ""));
            fx.rows.delete_range(Tree::Account, all);
        }
    }

    fn key(self, kind: Kind, jid: &str) -> Vec<u8> {
        let mut key = row(self.owner, kind, &self.node.to_be_bytes());
        key.extend_from_slice(jid.as_bytes());
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extensions::scene::jid;

    /// If this fails, people on every disk out there can no longer be read: raise a version.
    #[test]
    fn golden_bytes() {
        let subscription = Subscription {
            is_pending: true,
            delivers: false,
            expire: 7,
        };
        assert_eq!(encode(&subscription).unwrap(), [1, 1, 0, 7]);
        assert_eq!(decode::<Subscription>(&[1, 1, 0, 7]).unwrap(), subscription);
        for (number, name) in ["owner", "publisher", "publish-only", "member", "outcast"]
            .into_iter()
            .enumerate()
        {
            let affiliation = Affiliation::parse(name).unwrap();
            assert_eq!(encode(&affiliation).unwrap(), [1, number as u8]);
        }
        let place = Place {
            owner: AccountId(7),
            node: 2,
        };
        let key = [0, 0, 0, 7, 0x34, 0, 0, 0, 2, b'b', b'@', b'c'];
        assert_eq!(place.key(SUBSCRIBER, "b@c"), key);
        assert_eq!(place.key(AFFILIATE, "b")[4], 0x35);
    }

    /// Neither a longer name nor a longer domain is a resource.
    #[test]
    fn whose_a_subscription_is() {
        let mut circle = Circle::default();
        for address in [
            "b@c", "b@c/r", "b@c/", "b@c.d", "b@c-d/r", "b@c0", "a@c", "bb@c",
        ] {
            circle.put(address, Subscription::NEW);
        }
        let his: Vec<_> = circle.subscriptions_of(&jid("b@c/x")).collect();
        assert_eq!(his.len(), 3, "{his:?}");
        assert!(circle.has_subscriber(&jid("bb@c")) && !circle.has_subscriber(&jid("c@c")));
    }

    #[test]
    fn leases_end_in_their_order_and_addresses_are_counted() {
        let mut circle = Circle::default();
        let until = |expire| Subscription {
            expire,
            ..Subscription::NEW
        };
        for (address, expire) in [("a@c", 9), ("b@c", 5), ("d@c", 0), ("a@c", 7)] {
            circle.put(address, until(expire));
        }
        assert_eq!(circle.lapsed(4), []);
        assert_eq!(circle.lapsed(8), [jid("b@c"), jid("a@c")]);
        assert!(circle.end("b@c") && !circle.end("b@c"));
        assert_eq!(circle.lapsed(99), [jid("a@c")]);
        circle.settle("e@c", Affiliation::Member);
        circle.settle("e@c", Affiliation::Outcast);
        assert_eq!(circle.weight, 9);
        for gone in ["a@c", "d@c"] {
            circle.end(gone);
        }
        circle.settle("e@c", Affiliation::None);
        circle.settle("f@c", Affiliation::None);
        assert_eq!((circle.weight, circle.leases.len()), (0, 0));
    }
}
