//! The nodes of an account or of the service: how each is configured, who has a say in it, and how
//! full it is. Loaded with the Hub; memory is the truth, and changes are written through.

use std::collections::HashMap;

use rookery_actors::effect::{Effects, Millis};
use rookery_actors::keys::{AccountId, Kind, row};
use rookery_protocol::jid::Jid;
use rookery_storage::Tree;
use rookery_storage::record::{self, Record, decode, encode};
use serde::{Deserialize, Serialize};
use tracing::error;

use super::config::{Config, Details};
use super::shelf;

/// A [`NodeRow`]; then the node's number.
pub const NODE: Kind = Kind(0x30);
/// A node's [`Stock`]; then its number.
pub const STOCK: Kind = Kind(0x31);

/// The longest name of a node, and id of an item, in bytes.
pub const NAME: usize = 1023;

/// The most bytes of all addresses at a node: they stand in one row, which is written whole.
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
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Subscription {
    /// Where events go: a bare or full JID.
    pub jid: String,
    /// It waits for the owner's word.
    pub is_pending: bool,
    /// Events are sent (`pubsub#deliver`, §6.3).
    pub delivers: bool,
    /// When it ends (`pubsub#expire`); 0: never.
    pub expire: Millis,
}

impl Subscription {
    /// One of `jid` from now on.
    pub fn new(jid: &Jid) -> Subscription {
        Subscription {
            jid: jid.as_str().to_owned(),
            is_pending: false,
            delivers: true,
            expire: 0,
        }
    }

    /// Whether it has ended.
    pub fn is_over(&self, now: Millis) -> bool {
        self.expire != 0 && self.expire <= now
    }

    /// Whether events are sent to it.
    pub fn hears(&self, now: Millis) -> bool {
        self.delivers && !self.is_pending && !self.is_over(now)
    }
}

/// How full a node is.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Stock {
    pub items: u32,
    /// Bytes of the items' rows.
    pub bytes: u64,
    /// The place of the newest item; never used again.
    pub last: u64,
}

impl Record for Stock {
    const VERSION: u8 = 1;
}

/// A node.
#[derive(Debug)]
pub struct Node {
    /// Names it in keys.
    pub number: u32,
    pub name: String,
    pub config: Config,
    pub stock: Stock,
    pub subscriptions: Vec<Subscription>,
    /// The bare JID of who made it at the service; empty: the account itself.
    pub creator: String,
    /// When it was made; 0: nobody knows.
    pub created: Millis,
    /// Bare JIDs. The account itself owns its nodes and is not listed.
    affiliations: Vec<(String, Affiliation)>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct NodeRow {
    name: String,
    config: Config,
    subscriptions: Vec<Subscription>,
    affiliations: Vec<(String, Affiliation)>,
    details: Details,
    creator: String,
    created: Millis,
}

#[derive(Serialize, Deserialize)]
struct NodeRowV1 {
    name: String,
    config: Config,
    subscriptions: Vec<SubscriptionV1>,
    affiliations: Vec<(String, Affiliation)>,
}

#[derive(Serialize, Deserialize)]
struct SubscriptionV1 {
    jid: String,
    is_pending: bool,
    delivers: bool,
}

impl Record for NodeRow {
    const VERSION: u8 = 2;

    fn upgrade(version: u8, body: &[u8]) -> Option<NodeRow> {
        let old: NodeRowV1 = record::body(body).filter(|_| version == 1)?;
        let subscription = |it: SubscriptionV1| Subscription {
            jid: it.jid,
            is_pending: it.is_pending,
            delivers: it.delivers,
            expire: 0,
        };
        Some(NodeRow {
            name: old.name,
            config: old.config,
            subscriptions: old.subscriptions.into_iter().map(subscription).collect(),
            affiliations: old.affiliations,
            details: Details::default(),
            creator: String::new(),
            created: 0,
        })
    }
}

impl Node {
    fn new(number: u32, name: &str, config: Config) -> Node {
        Node {
            number,
            name: name.to_owned(),
            config,
            stock: Stock::default(),
            subscriptions: Vec::new(),
            creator: String::new(),
            created: 0,
            affiliations: Vec::new(),
        }
    }

    /// What `jid` (bare or full) was made here.
    pub fn affiliation(&self, jid: &Jid) -> Affiliation {
        let bare = jid.bare_str();
        let found = self.affiliations.iter().find(|(held, _)| held == bare);
        found.map_or(Affiliation::None, |(_, affiliation)| *affiliation)
    }

    /// All that were made something.
    pub fn affiliations(&self) -> impl Iterator<Item = (&str, Affiliation)> {
        let all = self.affiliations.iter();
        all.map(|(jid, affiliation)| (jid.as_str(), *affiliation))
    }

    /// Makes somebody something, or nothing; `false` if `limit` are something already.
    pub fn affiliate(&mut self, jid: &Jid, to: Affiliation, limit: usize) -> bool {
        let bare = jid.bare_str();
        let held = self.affiliations.iter().position(|(held, _)| held == bare);
        match (held, to) {
            (Some(at), Affiliation::None) => drop(self.affiliations.remove(at)),
            (Some(at), _) => self.affiliations[at].1 = to,
            (None, Affiliation::None) => {}
            (None, _) if self.affiliations.len() >= limit => return false,
            (None, _) => self.affiliations.push((bare.to_owned(), to)),
        }
        true
    }

    /// Whether there is room for these people besides, of whom there may be so many.
    pub fn has_room<'a>(&self, people: impl IntoIterator<Item = &'a Jid>, most: usize) -> bool {
        let subscribers = self.subscriptions.iter().map(|it| it.jid.len());
        let affiliates = self.affiliations.iter().map(|(jid, _)| jid.len());
        let (mut count, mut bytes) = (0, subscribers.chain(affiliates).sum::<usize>());
        for jid in people {
            count += 1;
            bytes += jid.as_str().len();
        }
        count <= most && bytes <= ADDRESSES
    }

    /// Whether `jid` may subscribe once more.
    pub fn admits(&self, jid: &Jid, limit: usize) -> bool {
        let room = self.subscriptions.len() < limit && self.has_room([jid], 1);
        room && self.subscriptions_of(jid).count() < RESOURCES
    }

    /// The subscriptions of `jid` and of its resources.
    pub fn subscriptions_of(&self, jid: &Jid) -> impl Iterator<Item = &Subscription> {
        let bare = jid.bare_str().to_owned();
        let all = self.subscriptions.iter();
        all.filter(move |it| bare_of(&it.jid) == bare)
    }

    /// Whether `jid`, or a resource of it, is subscribed.
    pub fn has_subscriber(&self, jid: &Jid) -> bool {
        self.subscriptions_of(jid).any(|it| !it.is_pending)
    }

    /// Writes the node down, without its items.
    pub fn save(&self, account: AccountId, fx: &mut Effects) {
        let row = NodeRow {
            name: self.name.clone(),
            config: self.config.clone(),
            subscriptions: self.subscriptions.clone(),
            affiliations: self.affiliations.clone(),
            details: self.config.details.clone(),
            creator: self.creator.clone(),
            created: self.created,
        };
        write(fx, key(account, NODE, self.number), &row);
    }

    fn save_stock(&self, account: AccountId, fx: &mut Effects) {
        write(fx, key(account, STOCK, self.number), &self.stock);
    }
}

/// The part of a JID before its resource.
fn bare_of(jid: &str) -> &str {
    jid.split_once('/').map_or(jid, |(bare, _)| bare)
}

/// All nodes of an account or of the service, in the order in which they were made.
#[derive(Default, Debug)]
pub struct Nodes {
    list: Vec<Node>,
    /// Places in the list, by name.
    index: HashMap<String, usize>,
    /// Bytes of all items.
    bytes: u64,
}

impl Nodes {
    /// A row of [`NODE`] or [`STOCK`]; `rest` is the node's number.
    pub fn load(&mut self, kind: Kind, rest: &[u8], value: &[u8]) {
        let Some(number) = rest.try_into().ok().map(u32::from_be_bytes) else {
            return error!("a node without a number");
        };
        let read = match kind {
            NODE => decode(value).map(|row: NodeRow| {
                let mut node = Node::new(number, &row.name, row.config);
                node.config.details = row.details;
                self.push(Node {
                    subscriptions: row.subscriptions,
                    affiliations: row.affiliations,
                    creator: row.creator,
                    created: row.created,
                    ..node
                });
            }),
            // Rows come in the order of their keys: the node is there.
            _ => decode(value).map(|stock: Stock| {
                // Numbers rise with the places.
                let at = self.list.binary_search_by_key(&number, |it| it.number);
                if let Ok(at) = at {
                    self.bytes += stock.bytes;
                    self.list[at].stock = stock;
                }
            }),
        };
        if let Err(problem) = read {
            error!(%problem, "a node cannot be read");
        }
    }

    /// The node of this name.
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.list.get(*self.index.get(name)?)
    }

    /// The node of this name, to change it.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Node> {
        self.list.get_mut(*self.index.get(name)?)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Node> {
        self.list.iter()
    }

    /// All of them, to change them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Node> {
        self.list.iter_mut()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Bytes of all items.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes a node, whose owner is `creator`, or else the account itself; there is none of this
    /// name.
    pub fn create(
        &mut self,
        name: &str,
        config: Config,
        creator: Option<&Jid>,
        account: AccountId,
        fx: &mut Effects,
    ) -> &mut Node {
        let number = self.list.last().map_or(0, |node| node.number + 1);
        let mut node = Node::new(number, name, config);
        node.created = fx.now;
        if let Some(creator) = creator {
            node.creator = creator.bare_str().to_owned();
            node.affiliate(creator, Affiliation::Owner, usize::MAX);
        }
        node.save(account, fx);
        self.push(node);
        let last = self.list.len() - 1;
        &mut self.list[last]
    }

    /// Sets how full a node is, and writes it down.
    pub fn restock(&mut self, name: &str, stock: Stock, account: AccountId, fx: &mut Effects) {
        let Some(at) = self.index.get(name) else {
            return;
        };
        let node = &mut self.list[*at];
        self.bytes = self.bytes.saturating_sub(node.stock.bytes) + stock.bytes;
        node.stock = stock;
        node.save_stock(account, fx);
    }

    fn push(&mut self, node: Node) {
        self.index.insert(node.name.clone(), self.list.len());
        self.list.push(node);
    }

    /// Removes a node with all its items.
    pub fn delete(&mut self, name: &str, account: AccountId, fx: &mut Effects) {
        let Some(at) = self.index.remove(name) else {
            return;
        };
        let node = self.list.remove(at);
        self.bytes = self.bytes.saturating_sub(node.stock.bytes);
        for place in self.index.values_mut().filter(|place| **place > at) {
            *place -= 1;
        }
        shelf::clear(account, node.number, fx);
        for kind in [NODE, STOCK] {
            fx.delete(Tree::Account, key(account, kind, node.number));
        }
    }
}

fn key(account: AccountId, kind: Kind, number: u32) -> Vec<u8> {
    row(account, kind, &number.to_be_bytes())
}

fn write<R: Record>(fx: &mut Effects, key: Vec<u8>, record: &R) {
    match encode(record) {
        Ok(value) => fx.put(Tree::Account, key, value),
        // Every record here is bounded far below what a value may be.
        Err(problem) => error!(%problem, "a node cannot be written"),
    }
}

#[cfg(test)]
mod tests {
    use rookery_actors::effect::Origin;

    use super::*;

    /// If this fails, nodes on every disk out there can no longer be read: raise a version.
    #[test]
    fn golden_bytes() {
        let row = NodeRow {
            name: "n".into(),
            config: Config::default(),
            subscriptions: vec![Subscription {
                jid: "b@c".into(),
                is_pending: true,
                delivers: false,
                expire: 7,
            }],
            affiliations: vec![("d".into(), Affiliation::Outcast)],
            details: Details {
                max_payload: 1,
                item_expire: 2,
                contact: vec!["e".into()],
                language: "f".into(),
                rejects: true,
            },
            creator: "g".into(),
            created: 9,
        };
        let config = [1, 0, 2, 0, 1, 1, 1, 1, 0, 0, 1, 0, 1, 0, 0, 0, 0];
        let people = [1, 3, b'b', b'@', b'c', 1, 0];
        let rest = [1, 1, b'd', 4, 1, 2, 1, 1, b'e', 1, b'f', 1, 1, b'g', 9];
        let parts: [&[u8]; 5] = [&[2, 1, b'n'], &config, &people, &[7], &rest];
        assert_eq!(encode(&row).unwrap(), parts.concat());
        // As the first version was.
        let old: [&[u8]; 4] = [&[1, 1, b'n'], &config, &people, &rest[..4]];
        let upgraded: NodeRow = decode(&old.concat()).unwrap();
        assert_eq!((upgraded.name.as_str(), upgraded.created), ("n", 0));
        assert!(upgraded.subscriptions[0].is_pending && upgraded.subscriptions[0].expire == 0);
        assert_eq!(upgraded.affiliations, row.affiliations);
        let stock = Stock {
            items: 2,
            bytes: 3,
            last: 4,
        };
        assert_eq!(encode(&stock).unwrap(), [1, 2, 3, 4]);
        for (number, affiliation) in ["owner", "publisher", "publish-only", "member", "outcast"]
            .into_iter()
            .enumerate()
        {
            let affiliation = Affiliation::parse(affiliation).unwrap();
            assert_eq!(affiliation as usize, number);
        }
    }

    #[test]
    fn what_was_written_is_loaded_again() {
        let (mut nodes, mut fx) = (Nodes::default(), Effects::new(0, Origin::Elsewhere));
        let account = AccountId(1);
        nodes.create("urn:a", Config::default(), None, account, &mut fx);
        let node = nodes.create("urn:b", Config::default(), None, account, &mut fx);
        assert_eq!(node.number, 1);
        let bob = Jid::parse("bob@b.test/r").unwrap();
        assert!(node.affiliate(&bob, Affiliation::Member, 1));
        assert!(!node.affiliate(&Jid::parse("eve@b.test").unwrap(), Affiliation::Member, 1));
        assert_eq!(node.affiliation(&bob), Affiliation::Member);
        assert!(node.affiliate(&bob, Affiliation::None, 1));
        assert_eq!(node.affiliations().count(), 0);
        nodes.delete("urn:a", account, &mut fx);
        assert!(nodes.get("urn:a").is_none() && nodes.len() == 1);
        let fresh = nodes.create("urn:c", Config::default(), None, account, &mut fx);
        assert_eq!(fresh.number, 2, "no number of a node that is there");
    }
}
