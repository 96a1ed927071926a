//! The archive by contact, so that a conversation is found without a look at any other.
//!
//! The latest messages are in no index: they are few, and looked at one by one. When
//! [`BATCH`] of them have come together, each contact among them gets one row that names its
//! messages, in order. A row a message would cost some 10 µs of processor time and half as much
//! disk again as the message (`row_cost` in `storage`); these cost under 2 µs a message, and
//! somebody with a short history pays nothing.
//!
//! The key of a row is the contact's bare JID, a zero and the last id it names. What it names may
//! be gone; it goes itself with the last of its messages.

use std::collections::BTreeMap;

use rookery_actors::effect::{Effects, Query, Row};
use rookery_actors::keys::{self, AccountId, Kind};
use rookery_storage::record::{Record, decode, encode};
use rookery_storage::{KeyRange, Tree};
use serde::{Deserialize, Serialize};
use tracing::error;

use super::standing::rows;
use crate::kept::{Message, MessageId};

/// The kind of these rows in `Tree::Archive`, beside those of [`crate::kept::Place`].
pub(super) const KIND: Kind = Kind(0x03);
/// One row: up to where messages are named by the rows here.
pub(super) const INDEXED: Kind = Kind(0x1b);

/// How many messages are entered together. A row that names them all stays below 4 KiB, over which
/// the store would have to split it.
pub(super) const BATCH: usize = 128;

/// A message that a row names.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Trace {
    id: (u64, u64),
    /// A digest of the contact's resource; 0 where it has none.
    pub resource: u32,
    /// A digest of the stanza's `id`; 0 where it has none.
    pub stanza: u32,
}

impl Trace {
    /// The id of the message.
    pub fn id(&self) -> MessageId {
        MessageId::of_number(u128::from(self.id.0) << 64 | u128::from(self.id.1))
    }
}

/// The row: messages with one contact, in order.
#[derive(Serialize, Deserialize, PartialEq, Debug)]
pub(super) struct Stretch {
    pub traces: Vec<Trace>,
}

impl Record for Stretch {
    const VERSION: u8 = 1;
}

/// Up to where messages are entered.
#[derive(Serialize, Deserialize, Default, PartialEq, Debug)]
pub(super) struct Indexed {
    /// The number of the last id.
    upto: u128,
}

impl Record for Indexed {
    const VERSION: u8 = 1;
}

/// The entering of messages.
#[derive(Default)]
pub(super) struct Index {
    indexed: Indexed,
    is_busy: bool,
}

impl Index {
    /// Takes the row of the kind [`INDEXED`].
    pub fn load(&mut self, value: &[u8]) {
        match decode(value) {
            Ok(indexed) => self.indexed = indexed,
            Err(problem) => error!(%problem, "the index of an archive cannot be read"),
        }
    }

    /// The number of the first id that no row names.
    pub fn end(&self) -> u128 {
        match self.indexed.upto {
            0 => 0,
            upto => upto.saturating_add(1),
        }
    }

    /// Enters the next messages, if there are enough; `loose` is how many there are.
    pub fn extend(&mut self, loose: u32, step: u32, account: AccountId, fx: &mut Effects) {
        if (loose as usize) < BATCH || self.is_busy {
            return;
        }
        self.is_busy = true;
        // It waits for what travels: none of these messages can come later.
        let next = Query::Range {
            tree: Tree::Archive,
            range: rows(account, self.end(), u128::MAX),
            limit: BATCH,
            backwards: false,
        };
        fx.read_aside(step, vec![next]);
    }

    /// The next messages could not be read.
    pub fn unread(&mut self) {
        self.is_busy = false;
    }

    /// Takes the next messages; how many of them were entered.
    pub fn enter(&mut self, messages: &[Row], account: AccountId, fx: &mut Effects) -> usize {
        self.is_busy = false;
        if messages.len() < BATCH {
            return 0;
        }
        for (key, row) in stretches(messages, account) {
            fx.put(Tree::Archive, key, row);
        }
        let last = messages.last().and_then(|(key, _)| MessageId::of_key(key));
        self.indexed.upto = last.map_or(self.indexed.upto, |(_, id)| id.number());
        if let Ok(row) = encode(&self.indexed) {
            fx.put(Tree::Account, keys::row(account, INDEXED, &[]), row);
        }
        messages.len()
    }
}

/// The messages that a row names.
pub(super) fn traces(row: &[u8]) -> Vec<Trace> {
    let stretch = decode::<Stretch>(row);
    let stretch = stretch.inspect_err(|problem| error!(%problem, "an index cannot be read"));
    stretch.map_or(Vec::new(), |stretch| stretch.traces)
}

/// The rows of `peer` (bare or full) whose last ids have the numbers from `from` (included) up to
/// `to` (excluded).
pub(super) fn range(account: AccountId, peer: &str, from: u128, to: u128) -> KeyRange {
    KeyRange::between(key(account, peer, from), key(account, peer, to))
}

/// Whether this is the key of such a row.
pub(super) fn is_key(key: &[u8]) -> bool {
    keys::split(key).is_some_and(|(_, kind, _)| kind == KIND)
}

/// FNV-1a, of 32 bits. What it finds is compared with the message itself.
pub(super) fn digest(text: &str) -> u32 {
    let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    text.bytes().fold(0x811c_9dc5, step)
}

/// The bare JID of a contact, as text.
pub(super) fn bare(peer: &str) -> &str {
    peer.split_once('/').map_or(peer, |(bare, _)| bare)
}

fn stretches(messages: &[Row], account: AccountId) -> Vec<Row> {
    let mut by_contact: BTreeMap<String, Vec<Trace>> = BTreeMap::new();
    for (key, row) in messages {
        let id = MessageId::of_key(key).map(|(_, id)| id);
        let (Some(id), Ok(message)) = (id, decode::<Message>(row)) else {
            error!("a message of an archive cannot be read");
            continue;
        };
        let trace = trace(id, &message);
        let contact = bare(&message.peer);
        match by_contact.get_mut(contact) {
            Some(traces) => traces.push(trace),
            None => drop(by_contact.insert(contact.to_owned(), vec![trace])),
        }
    }
    let row = |(contact, traces): (String, Vec<Trace>)| {
        let last = traces.last()?.id().number();
        let row = encode(&Stretch { traces }).ok()?;
        Some((key(account, &contact, last), row))
    };
    by_contact.into_iter().filter_map(row).collect()
}

fn trace(id: MessageId, message: &Message) -> Trace {
    let number = id.number();
    let resource = message.peer.split_once('/');
    let stanza = match stanza_id(message.text()) {
        Some(escaped) if escaped.contains('&') => message
            .stanza()
            .and_then(|stanza| stanza.id)
            .map_or(0, |id| digest(&id)),
        id => id.map_or(0, digest),
    };
    Trace {
        id: ((number >> 64) as u64, number as u64),
        resource: resource.map_or(0, |(_, resource)| digest(resource)),
        stanza,
    }
}

/// The `id` in the start tag of a stanza that we wrote ourselves, with its escapes.
fn stanza_id(text: &str) -> Option<&str> {
    // Quotes inside of values are escaped: what stands between two of them is a value.
    let mut rest = text;
    loop {
        let (outside, value) =
            rest.split_at(rest.bytes().position(|it| it == b'\'' || it == b'>')?);
        let value = value.strip_prefix('\'')?;
        let end = value.bytes().position(|it| it == b'\'')?;
        if outside.ends_with(" id=") {
            return Some(&value[..end]);
        }
        rest = &value[end + 1..];
    }
}

fn key(account: AccountId, peer: &str, last: u128) -> Vec<u8> {
    let bare = bare(peer);
    let mut rest = Vec::with_capacity(bare.len() + 17);
    rest.extend_from_slice(bare.as_bytes());
    rest.push(0);
    rest.extend_from_slice(&last.to_be_bytes());
    keys::row(account, KIND, &rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extensions::scene::stanza;
    use crate::kept::Place;

    #[test]
    fn a_conversation_lies_together_in_its_order() {
        let account = AccountId(7);
        let all = range(account, "eve@x.test/r", 0, u128::MAX);
        assert!(all.contains(&key(account, "eve@x.test/other", 5)));
        let some = range(account, "eve@x.test", 5, 6);
        assert!(some.contains(&key(account, "eve@x.test", 5)));
        assert!(!some.contains(&key(account, "eve@x.test", 6)));
        for other in ["eve@x.tes", "eve@x.test2", "x.test", "ev@x.test"] {
            assert!(!all.contains(&key(account, other, 5)), "{other}");
        }
        assert!(!all.contains(&key(AccountId(8), "eve@x.test", 5)));
        assert!(is_key(&all.from));
        assert!(!is_key(&MessageId::new(5).key(account, Place::Archive)));
    }

    /// If this fails, the rows on every disk out there can no longer be read: raise a version.
    #[test]
    fn golden_bytes() {
        let text = "<message from='eve@x.test/r' id='m1'/>";
        let message = Message::incoming(&stanza(text)).unwrap();
        let trace = trace(MessageId::of_number(5 << 64 | 6), &message);
        let row = encode(&Stretch {
            traces: vec![trace],
        });
        let golden = [1, 1, 5, 6, 252, 21, 71, 12, 247, 252, 235, 111, 46, 148];
        assert_eq!(row.as_deref(), Ok(&golden[..]));
        assert_eq!(traces(&golden), [trace]);
        assert_eq!(encode(&Indexed { upto: 3 }).as_deref(), Ok(&[1, 3][..]));
        assert_eq!(digest("foobar"), 0xbf9c_f968);
    }

    #[test]
    fn the_id_of_a_stanza_is_found_in_its_start_tag_alone() {
        let rows = [
            (
                "<message to='a' id='m1' type='chat'><x id='2'/></message>",
                Some("m1"),
            ),
            ("<message to='a&apos; id=&apos;b' id='m1'/>", Some("m1")),
            ("<message to='a>b' id='m1'/>", Some("m1")),
            ("<message to='a'><x id='2'/></message>", None),
            ("<message><x id='2'/></message>", None),
            ("<message/>", None),
        ];
        for (text, id) in rows {
            assert_eq!(stanza_id(text), id, "{text}");
        }
        let text = "<message from='eve@x.test/r' id='a&amp;b'/>";
        let message = Message::incoming(&stanza(text)).unwrap();
        assert_eq!(
            trace(MessageId::of_number(1), &message).stanza,
            digest("a&b")
        );
    }

    #[test]
    fn a_full_row_is_not_split() {
        let trace = Trace {
            id: (u64::MAX, u64::MAX),
            resource: u32::MAX,
            stanza: u32::MAX,
        };
        let traces = vec![trace; BATCH];
        assert!(encode(&Stretch { traces }).unwrap().len() < 4000);
    }
}
