//! The nodes of an account: how each is configured, who has a say in it, and how full it is. Loaded
//! with the Hub; memory is the truth, and changes are written through.

use rookery_actors::effect::Effects;
use rookery_actors::keys::{AccountId, Kind, row};
use rookery_protocol::jid::Jid;
use rookery_storage::Tree;
use rookery_storage::record::{Record, decode, encode};
use serde::{Deserialize, Serialize};
use tracing::error;

use super::config::Config;
use super::shelf;

/// A [`NodeRow`]; then the node's number.
pub const NODE: Kind = Kind(0x30);
/// A node's [`Stock`]; then its number.
pub const STOCK: Kind = Kind(0x31);

/// The longest name of a node, and id of an item, in bytes.
pub const NAME: usize = 1023;

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
    /// Bare JIDs. The account itself owns its nodes and is not listed.
    affiliations: Vec<(String, Affiliation)>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct NodeRow {
    name: String,
    config: Config,
    subscriptions: Vec<Subscription>,
    affiliations: Vec<(String, Affiliation)>,
}

impl Record for NodeRow {
    const VERSION: u8 = 1;
}

impl Node {
    fn new(number: u32, name: &str, config: Config) -> Node {
        Node {
            number,
            name: name.to_owned(),
            config,
            stock: Stock::default(),
            subscriptions: Vec::new(),
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
        };
        write(fx, key(account, NODE, self.number), &row);
    }

    /// Writes down how full it is.
    pub fn save_stock(&self, account: AccountId, fx: &mut Effects) {
        write(fx, key(account, STOCK, self.number), &self.stock);
    }
}

/// The part of a JID before its resource.
fn bare_of(jid: &str) -> &str {
    jid.split_once('/').map_or(jid, |(bare, _)| bare)
}

/// All nodes of an account, in the order in which they were made.
#[derive(Default, Debug)]
pub struct Nodes(Vec<Node>);

impl Nodes {
    /// A row of [`NODE`] or [`STOCK`]; `rest` is the node's number.
    pub fn load(&mut self, kind: Kind, rest: &[u8], value: &[u8]) {
        let Some(number) = rest.try_into().ok().map(u32::from_be_bytes) else {
            return error!("a node without a number");
        };
        let read = match kind {
            NODE => decode(value).map(|row: NodeRow| {
                self.0.push(Node {
                    subscriptions: row.subscriptions,
                    affiliations: row.affiliations,
                    ..Node::new(number, &row.name, row.config)
                });
            }),
            // Rows come in the order of their keys: the node is there.
            _ => decode(value).map(|stock| {
                if let Some(node) = self.0.iter_mut().find(|it| it.number == number) {
                    node.stock = stock;
                }
            }),
        };
        if let Err(problem) = read {
            error!(%problem, "a node cannot be read");
        }
    }

    /// The node of this name.
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.0.iter().find(|node| node.name == name)
    }

    /// The node of this name, to change it.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Node> {
        self.0.iter_mut().find(|node| node.name == name)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Node> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Bytes of all items.
    pub fn bytes(&self) -> u64 {
        self.0.iter().map(|node| node.stock.bytes).sum()
    }

    /// Makes a node; there is none of this name.
    pub fn create(
        &mut self,
        name: &str,
        config: Config,
        account: AccountId,
        fx: &mut Effects,
    ) -> &mut Node {
        let number = self.0.iter().map(|node| node.number + 1).max();
        let node = Node::new(number.unwrap_or_default(), name, config);
        node.save(account, fx);
        self.0.push(node);
        let last = self.0.len() - 1;
        &mut self.0[last]
    }

    /// Removes a node with all its items.
    pub fn delete(&mut self, name: &str, account: AccountId, fx: &mut Effects) {
        let Some(at) = self.0.iter().position(|node| node.name == name) else {
            return;
        };
        let node = self.0.remove(at);
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
        let subscription = Subscription {
            jid: "b@c".into(),
            is_pending: true,
            delivers: false,
        };
        assert_eq!(bincode_of(&subscription), [3, b'b', b'@', b'c', 1, 0]);
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

    fn bincode_of(subscription: &Subscription) -> Vec<u8> {
        let row = NodeRow {
            name: String::new(),
            config: Config::default(),
            subscriptions: vec![subscription.clone()],
            affiliations: Vec::new(),
        };
        let bytes = encode(&row).unwrap();
        let config = bytes.len() - 9;
        bytes[config + 2..bytes.len() - 1].to_vec()
    }

    #[test]
    fn what_was_written_is_loaded_again() {
        let (mut nodes, mut fx) = (Nodes::default(), Effects::new(0, Origin::Elsewhere));
        let account = AccountId(1);
        nodes.create("urn:a", Config::default(), account, &mut fx);
        let node = nodes.create("urn:b", Config::default(), account, &mut fx);
        assert_eq!(node.number, 1);
        let bob = Jid::parse("bob@b.test/r").unwrap();
        assert!(node.affiliate(&bob, Affiliation::Member, 1));
        assert!(!node.affiliate(&Jid::parse("eve@b.test").unwrap(), Affiliation::Member, 1));
        assert_eq!(node.affiliation(&bob), Affiliation::Member);
        assert!(node.affiliate(&bob, Affiliation::None, 1));
        assert_eq!(node.affiliations().count(), 0);
        nodes.delete("urn:a", account, &mut fx);
        assert!(nodes.get("urn:a").is_none() && nodes.len() == 1);
        let fresh = nodes.create("urn:c", Config::default(), account, &mut fx);
        assert_eq!(fresh.number, 2, "no number of a node that is there");
    }
}
