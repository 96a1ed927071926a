//! The items of nodes in `Tree::Pubsub`: two rows each, one under its place in the order of the
//! node, which holds it, and one under its id, which says where it is.

use rookery_actors::effect::{Effects, Millis, Query, Row};
use rookery_actors::keys::{self, AccountId, Kind};
use rookery_protocol::xml::Element;
use rookery_storage::record::{Record, decode, encode};
use rookery_storage::{KeyRange, Tree};
use serde::{Deserialize, Serialize};

/// An [`Item`]; then its node's number and its place.
const ITEM: Kind = Kind(1);
/// A [`Place`]; then its node's number and the item's id.
const PLACE: Kind = Kind(2);

/// An item.
#[derive(Clone, Serialize, Deserialize, PartialEq, Debug)]
pub struct Item {
    pub id: String,
    /// The bare JID of who published it; empty for the owner.
    pub publisher: String,
    pub stamp: Millis,
    /// The payload, written so that it stands alone; empty for none.
    pub xml: String,
}

impl Record for Item {
    const VERSION: u8 = 1;
}

impl Item {
    /// The payload.
    pub fn payload(&self) -> Option<Element> {
        match self.xml.is_empty() {
            true => None,
            false => Element::parse(&self.xml, "").ok(),
        }
    }

    /// `<item/>` of this namespace, with or without what it holds; `publisher`: who is said to have
    /// published it, if anybody is.
    pub fn element(
        &self,
        namespace: &'static str,
        publisher: Option<&str>,
        with_payload: bool,
    ) -> Element {
        let mut item = Element::new(namespace, "item").with_attr("id", &self.id);
        if let Some(publisher) = publisher {
            item.set_attr("publisher", publisher);
        }
        item.with_children(self.payload().filter(|_| with_payload))
    }
}

/// Where an item is.
#[derive(Clone, Copy, Serialize, Deserialize, PartialEq, Debug)]
pub struct Place {
    pub seq: u64,
    /// What its rows count for.
    pub bytes: u64,
}

impl Record for Place {
    const VERSION: u8 = 1;
}

/// Rows as they were read: items in the order of their places, and places by id.
#[derive(Default, Debug)]
pub struct Found {
    /// Node, place, item, and what its rows count for.
    pub items: Vec<(u32, Place, Item)>,
    places: Vec<(u32, String, Place)>,
    /// Rows of others.
    pub others: Vec<Row>,
}

impl Found {
    /// Sorts out what was read. What cannot be read is left out.
    pub fn of(rows: Vec<Row>) -> Found {
        let mut found = Found::default();
        for (key, value) in rows {
            match keys::split(&key) {
                Some((_, ITEM, rest)) => found.items.extend(item_of(rest, &value)),
                Some((_, PLACE, rest)) => found.places.extend(place_of(rest, &value)),
                _ => found.others.push((key, value)),
            }
        }
        found
            .items
            .sort_unstable_by_key(|(node, place, _)| (*node, place.seq));
        found
            .items
            .dedup_by_key(|(node, place, _)| (*node, place.seq));
        found
    }

    /// Where the item of this id is, as far as was read.
    pub fn place(&self, node: u32, id: &str) -> Option<Place> {
        let by_id = self.places.iter().find(|it| it.0 == node && it.1 == id);
        let by_id = by_id.map(|(_, _, place)| *place);
        by_id.or_else(|| {
            let mut items = self.items.iter();
            let item = items.find(|(of, _, item)| *of == node && item.id == id);
            item.map(|(_, place, _)| *place)
        })
    }

    /// The items of one node, oldest first.
    pub fn of_node(&self, node: u32) -> impl DoubleEndedIterator<Item = (Place, &Item)> {
        let items = self.items.iter();
        items
            .filter(move |it| it.0 == node)
            .map(|(_, place, item)| (*place, item))
    }
}

fn item_of(rest: &[u8], value: &[u8]) -> Option<(u32, Place, Item)> {
    let (node, rest) = rest.split_first_chunk::<4>()?;
    let seq = u64::from_be_bytes(rest.try_into().ok()?);
    let item: Item = decode(value).ok()?;
    let bytes = weight(&item.id, value.len());
    Some((u32::from_be_bytes(*node), Place { seq, bytes }, item))
}

fn place_of(rest: &[u8], value: &[u8]) -> Option<(u32, String, Place)> {
    let (node, id) = rest.split_first_chunk::<4>()?;
    let id = std::str::from_utf8(id).ok()?.to_owned();
    Some((u32::from_be_bytes(*node), id, decode(value).ok()?))
}

/// What an item counts for, in bytes.
fn weight(id: &str, value: usize) -> u64 {
    (id.len() + value + 32) as u64
}

/// The bytes an item would count for.
pub fn weigh(item: &Item) -> u64 {
    weight(
        &item.id,
        encode(item).map_or(usize::MAX / 2, |value| value.len()),
    )
}

/// Asks where an item is.
pub fn find(account: AccountId, node: u32, id: &str) -> Query {
    Query::Get(Tree::Pubsub, place_key(account, node, id))
}

/// Asks for the item at a place.
pub fn at(account: AccountId, node: u32, seq: u64) -> Query {
    Query::Get(Tree::Pubsub, item_key(account, node, seq))
}

/// Asks for the oldest items.
pub fn oldest(account: AccountId, node: u32, limit: usize) -> Query {
    between(account, node, (None, None), limit, false)
}

/// Asks for the newest items.
pub fn newest(account: AccountId, node: u32, limit: usize) -> Query {
    between(account, node, (None, None), limit, true)
}

/// Asks for items after one place and before another.
pub fn between(
    account: AccountId,
    node: u32,
    (after, before): (Option<u64>, Option<u64>),
    limit: usize,
    backwards: bool,
) -> Query {
    let mut range = KeyRange::prefix(&node_key(account, ITEM, node));
    if let Some(seq) = after {
        range = range.after(&item_key(account, node, seq));
    }
    if let Some(seq) = before {
        range = range.before(&item_key(account, node, seq));
    }
    Query::Range {
        tree: Tree::Pubsub,
        range,
        limit,
        backwards,
    }
}

/// Writes an item down at a place; `None` if it cannot be written. Gives what it counts for.
pub fn put(account: AccountId, node: u32, seq: u64, item: &Item, fx: &mut Effects) -> Option<u64> {
    let value = encode(item).ok()?;
    let bytes = weight(&item.id, value.len());
    let place = encode(&Place { seq, bytes }).ok()?;
    fx.put(Tree::Pubsub, item_key(account, node, seq), value);
    fx.put(Tree::Pubsub, place_key(account, node, &item.id), place);
    Some(bytes)
}

/// Removes what is at a place, and the row of its id if `id` is given.
pub fn remove(account: AccountId, node: u32, seq: u64, id: Option<&str>, fx: &mut Effects) {
    fx.delete(Tree::Pubsub, item_key(account, node, seq));
    if let Some(id) = id {
        fx.delete(Tree::Pubsub, place_key(account, node, id));
    }
}

/// Removes all items of a node.
pub fn clear(account: AccountId, node: u32, fx: &mut Effects) {
    for kind in [ITEM, PLACE] {
        let range = KeyRange::prefix(&node_key(account, kind, node));
        fx.rows.delete_range(Tree::Pubsub, range);
    }
}

fn node_key(account: AccountId, kind: Kind, node: u32) -> Vec<u8> {
    keys::row(account, kind, &node.to_be_bytes())
}

fn item_key(account: AccountId, node: u32, seq: u64) -> Vec<u8> {
    let mut key = node_key(account, ITEM, node);
    key.extend_from_slice(&seq.to_be_bytes());
    key
}

fn place_key(account: AccountId, node: u32, id: &str) -> Vec<u8> {
    let mut key = node_key(account, PLACE, node);
    key.extend_from_slice(id.as_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    /// If this fails, items on every disk out there can no longer be read: raise a version.
    #[test]
    fn golden_bytes() {
        let item = Item {
            id: "i".into(),
            publisher: String::new(),
            stamp: 5,
            xml: "<a/>".into(),
        };
        let golden = [1, 1, b'i', 0, 5, 4, b'<', b'a', b'/', b'>'];
        assert_eq!(encode(&item).unwrap(), golden);
        assert_eq!(decode::<Item>(&golden).unwrap(), item);
        assert_eq!(encode(&Place { seq: 1, bytes: 2 }).unwrap(), [1, 1, 2]);
        let key = item_key(AccountId(7), 1, 2);
        assert_eq!(key, [0, 0, 0, 7, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2]);
        assert_eq!(
            place_key(AccountId(7), 1, "i"),
            [0, 0, 0, 7, 2, 0, 0, 0, 1, b'i']
        );
    }

    #[test]
    fn rows_are_sorted_out_and_an_item_says_where_it_is() {
        let item = |id: &str| Item {
            id: id.into(),
            publisher: String::new(),
            stamp: 0,
            xml: String::new(),
        };
        let account = AccountId(7);
        let row = |seq, id| (item_key(account, 3, seq), encode(&item(id)).unwrap());
        let rows = vec![row(9, "b"), row(2, "a"), (b"?".to_vec(), vec![])];
        let found = Found::of(rows);
        let ids: Vec<_> = found.of_node(3).map(|(_, item)| item.id.as_str()).collect();
        assert_eq!(ids, ["a", "b"]);
        assert_eq!(found.place(3, "b").unwrap().seq, 9);
        assert_eq!(found.place(3, "c"), None);
        assert_eq!(found.others.len(), 1);
        assert_eq!(weigh(&item("a")), found.place(3, "a").unwrap().bytes);
    }
}
