//! The nodes of an account or of the service: how each is configured and how full it is, with the
//! people at it. Loaded with the Hub; memory is the truth, and changes are written through.

use std::collections::HashMap;

use rookery_actors::effect::{Effects, Millis};
use rookery_actors::keys::{AccountId, Kind, row};
use rookery_protocol::jid::Jid;
use rookery_storage::Tree;
use rookery_storage::record::{self, Record, decode, encode};
use serde::{Deserialize, Serialize};
use tracing::error;

use super::circle::{AFFILIATE, Affiliation, Circle, Place, SUBSCRIBER, Subscription};
use super::config::{Config, Details, DetailsV2, Reply};
use super::forwarding::{Forwardings, MOVED};
use super::shelf::{self, Item};

/// A [`NodeRow`]; then the node's number.
pub const NODE: Kind = Kind(0x30);
/// A node's [`Stock`]; then its number.
pub const STOCK: Kind = Kind(0x31);

/// The longest name of a node, and id of an item, in bytes.
pub const NAME: usize = 1023;

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
    /// The bare JID of who made it at the service; empty: the account itself.
    pub creator: String,
    /// When it was made; 0: nobody knows.
    pub created: Millis,
    people: Circle,
    /// The people stand in the node's row, as older versions wrote it, and in none of their own.
    is_packed: bool,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct NodeRow {
    name: String,
    config: Config,
    details: Details,
    creator: String,
    created: Millis,
    /// Of older versions, which kept them here; never written.
    #[serde(skip)]
    packed: Option<Packed>,
}

/// People as the row of their node had them.
#[derive(Default, PartialEq, Debug)]
struct Packed {
    subscriptions: Vec<(String, Subscription)>,
    affiliations: Vec<(String, Affiliation)>,
}

#[derive(Serialize, Deserialize)]
struct NodeRowV2 {
    name: String,
    config: Config,
    subscriptions: Vec<SubscriptionV2>,
    affiliations: Vec<(String, Affiliation)>,
    details: DetailsV2,
    creator: String,
    created: Millis,
}

#[derive(Serialize, Deserialize)]
struct SubscriptionV2 {
    jid: String,
    is_pending: bool,
    delivers: bool,
    expire: Millis,
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

impl From<NodeRowV1> for NodeRowV2 {
    fn from(old: NodeRowV1) -> NodeRowV2 {
        let subscription = |it: SubscriptionV1| SubscriptionV2 {
            jid: it.jid,
            is_pending: it.is_pending,
            delivers: it.delivers,
            expire: 0,
        };
        NodeRowV2 {
            name: old.name,
            config: old.config,
            subscriptions: old.subscriptions.into_iter().map(subscription).collect(),
            affiliations: old.affiliations,
            details: DetailsV2::default(),
            creator: String::new(),
            created: 0,
        }
    }
}

impl From<NodeRowV2> for NodeRow {
    fn from(old: NodeRowV2) -> NodeRow {
        let subscription = |it: SubscriptionV2| {
            let (is_pending, delivers, expire) = (it.is_pending, it.delivers, it.expire);
            let subscription = Subscription {
                is_pending,
                delivers,
                expire,
            };
            (it.jid, subscription)
        };
        let packed = Packed {
            subscriptions: old.subscriptions.into_iter().map(subscription).collect(),
            affiliations: old.affiliations,
        };
        NodeRow {
            name: old.name,
            config: old.config,
            details: old.details.into(),
            creator: old.creator,
            created: old.created,
            packed: Some(packed),
        }
    }
}

impl Record for NodeRow {
    const VERSION: u8 = 3;

    fn upgrade(version: u8, body: &[u8]) -> Option<NodeRow> {
        let old = match version {
            1 => record::body::<NodeRowV1>(body)?.into(),
            2 => record::body::<NodeRowV2>(body)?,
            _ => return None,
        };
        Some(old.into())
    }
}

impl Node {
    fn new(number: u32, row: NodeRow) -> Node {
        let mut node = Node {
            number,
            name: row.name,
            config: row.config,
            stock: Stock::default(),
            creator: row.creator,
            created: row.created,
            people: Circle::default(),
            is_packed: row.packed.is_some(),
        };
        node.config.details = row.details;
        let packed = row.packed.unwrap_or_default();
        for (jid, subscription) in packed.subscriptions {
            node.people.put(&jid, subscription);
        }
        for (jid, affiliation) in packed.affiliations {
            node.people.settle(&jid, affiliation);
        }
        node
    }

    /// The people at it.
    pub fn people(&self) -> &Circle {
        &self.people
    }

    /// Who is said to have published an item (§7.1.2.3), as the node is configured; `own` is the
    /// board's address, and who owns the nodes of an account.
    pub fn publisher<'a>(&'a self, item: &'a Item, own: &'a Jid) -> Option<&'a str> {
        match self.config.details.reply {
            Reply::Nobody => None,
            Reply::Publisher if item.publisher.is_empty() => Some(own.as_str()),
            Reply::Publisher => Some(&item.publisher),
            Reply::Owner if self.creator.is_empty() => Some(own.as_str()),
            // Who made it, while he owns it.
            Reply::Owner => {
                let owners = || self.people.all_who_are(Affiliation::Owner);
                let maker = owners().find(|it| *it == self.creator);
                maker.or_else(|| owners().next())
            }
        }
    }

    /// Subscribes somebody, or changes his subscription, and writes it down.
    pub fn subscribe(
        &mut self,
        jid: &Jid,
        subscription: Subscription,
        account: AccountId,
        fx: &mut Effects,
    ) {
        let place = self.unpacked(account, fx);
        self.people.put(jid.as_str(), subscription);
        place.write(SUBSCRIBER, jid.as_str(), &subscription, fx);
    }

    /// Ends the subscription of this very JID; whether there was one.
    pub fn unsubscribe(&mut self, jid: &Jid, account: AccountId, fx: &mut Effects) -> bool {
        if self.people.subscription(jid).is_none() {
            return false;
        }
        let place = self.unpacked(account, fx);
        self.people.end(jid.as_str());
        place.erase(SUBSCRIBER, jid.as_str(), fx);
        true
    }

    /// Makes somebody something, or nothing, and writes it down; whether that changed anything.
    pub fn affiliate(
        &mut self,
        jid: &Jid,
        to: Affiliation,
        account: AccountId,
        fx: &mut Effects,
    ) -> bool {
        if self.people.affiliation(jid) == to {
            return false;
        }
        let (place, bare) = (self.unpacked(account, fx), jid.bare_str());
        self.people.settle(bare, to);
        match to {
            Affiliation::None => place.erase(AFFILIATE, bare, fx),
            _ => place.write(AFFILIATE, bare, &to, fx),
        }
        true
    }

    /// Where the people's rows are; they are there from now on.
    fn unpacked(&mut self, account: AccountId, fx: &mut Effects) -> Place {
        if std::mem::take(&mut self.is_packed) {
            self.save(account, fx);
            self.people.save(self.place(account), fx);
        }
        self.place(account)
    }

    fn place(&self, owner: AccountId) -> Place {
        Place {
            owner,
            node: self.number,
        }
    }

    /// Writes the node down, without its items and its people.
    pub fn save(&mut self, account: AccountId, fx: &mut Effects) {
        let row = NodeRow {
            name: self.name.clone(),
            config: self.config.clone(),
            details: self.config.details.clone(),
            creator: self.creator.clone(),
            created: self.created,
            packed: None,
        };
        write(fx, key(account, NODE, self.number), &row);
        if std::mem::take(&mut self.is_packed) {
            self.people.save(self.place(account), fx);
        }
    }

    fn save_stock(&self, account: AccountId, fx: &mut Effects) {
        write(fx, key(account, STOCK, self.number), &self.stock);
    }
}

/// All nodes of an account or of the service, in the order in which they were made.
#[derive(Default, Debug)]
pub struct Nodes {
    list: Vec<Node>,
    /// Places in the list, by name.
    index: HashMap<String, usize>,
    /// Bytes of all items.
    bytes: u64,
    /// Nodes that are elsewhere now.
    moved: Forwardings,
}

impl Nodes {
    /// A row of [`NODE`], [`STOCK`], [`SUBSCRIBER`] or [`AFFILIATE`], of which `rest` is the node's
    /// number, and of a person the JID; or of [`MOVED`].
    pub fn load(&mut self, kind: Kind, rest: &[u8], value: &[u8]) {
        if kind == MOVED {
            return self.moved.load(rest, value);
        }
        let Some((number, rest)) = rest.split_first_chunk::<4>() else {
            return error!("a node without a number");
        };
        let number = u32::from_be_bytes(*number);
        if kind == NODE {
            return match decode(value) {
                Ok(row) => self.push(Node::new(number, row)),
                Err(problem) => error!(%problem, "a node cannot be read"),
            };
        }
        // Rows come in the order of their keys: the node is there. Numbers rise with the places.
        let at = self.list.binary_search_by_key(&number, |it| it.number);
        let Ok(node) = at.map(|at| &mut self.list[at]) else {
            return error!(number, "a row of a node that is not there");
        };
        match (kind, decode(value)) {
            (SUBSCRIBER | AFFILIATE, _) => node.people.load(kind, rest, value),
            (_, Ok(stock)) => {
                node.stock = stock;
                self.bytes += stock.bytes;
            }
            (_, Err(problem)) => error!(%problem, "how full a node is cannot be read"),
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

    /// The name of the node with this number.
    pub fn name_of(&self, number: u32) -> Option<&str> {
        let at = self.list.binary_search_by_key(&number, |it| it.number);
        Some(&self.list[at.ok()?].name)
    }

    /// Where the node of this name is now, if it was here and its owner said so.
    pub fn moved(&self, name: &str) -> Option<&str> {
        self.moved.get(name)
    }

    /// The node of this name, which is here no more, is there from now on.
    pub fn forward(&mut self, name: &str, uri: String, account: AccountId, fx: &mut Effects) {
        self.moved.put(name, uri, account, fx);
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
        let row = NodeRow {
            name: name.to_owned(),
            details: config.details.clone(),
            config,
            creator: creator.map_or_else(String::new, |it| it.bare_str().to_owned()),
            created: fx.now,
            packed: None,
        };
        self.moved.remove(name, account, fx);
        let mut node = Node::new(number, row);
        node.save(account, fx);
        if let Some(creator) = creator {
            node.affiliate(creator, Affiliation::Owner, account, fx);
        }
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
        node.place(account).clear(fx);
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
mod tests;
