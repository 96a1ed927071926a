//! The archive by contact: beside each message that an archive keeps lies a small row under its
//! contact, so that a conversation is found without a look at any other.
//!
//! A key is the contact's bare JID, a zero and the message's id. A row is written, and goes, with
//! its message; about 60 bytes in the journal. Where it is left behind it names nothing and is
//! passed over.

use rookery_actors::keys::{self, AccountId, Kind};
use rookery_protocol::jid::Jid;
use rookery_storage::KeyRange;
use rookery_storage::record::Record;
use serde::{Deserialize, Serialize};

use super::{Message, MessageId};

/// The kind of these rows in `Tree::Archive`, beside those of [`super::Place`].
pub const KIND: Kind = Kind(0x03);

/// What a row says of its message, to tell others from the one that is looked for.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trace {
    /// A digest of the contact's resource.
    pub resource: u32,
    /// A digest of the stanza's `id`; 0 where it has none.
    pub stanza: u32,
}

impl Record for Trace {
    const VERSION: u8 = 1;
}

impl Trace {
    /// The trace of a message with this contact, whose stanza has this id.
    pub fn of(peer: &Jid, id: Option<&str>) -> Trace {
        Trace {
            resource: peer.resource().map_or(0, digest),
            stanza: id.map_or(0, digest),
        }
    }
}

/// The key of the row of a message with `peer`, a bare or full JID.
pub fn key(account: AccountId, peer: &str, id: MessageId) -> Vec<u8> {
    at(account, peer, id.number())
}

/// The rows of messages with `peer` whose ids have the numbers from `from` (included) up to `to`
/// (excluded).
pub fn range(account: AccountId, peer: &str, from: u128, to: u128) -> KeyRange {
    KeyRange::between(at(account, peer, from), at(account, peer, to))
}

/// The id in such a key.
pub fn id_of(key: &[u8]) -> Option<MessageId> {
    let (_, kind, rest) = keys::split(key)?;
    let (_, id) = rest.split_last_chunk::<16>()?;
    MessageId::of_bytes(id).filter(|_| kind == KIND)
}

/// The key of the row of this message.
pub fn key_of(account: AccountId, message: &Message, id: MessageId) -> Vec<u8> {
    key(account, &message.peer, id)
}

/// FNV-1a, of 32 bits. What it is used for is looked at again in the message itself.
pub fn digest(text: &str) -> u32 {
    let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    text.bytes().fold(0x811c_9dc5, step)
}

fn at(account: AccountId, peer: &str, number: u128) -> Vec<u8> {
    let bare = peer.split_once('/').map_or(peer, |(bare, _)| bare);
    let mut rest = Vec::with_capacity(bare.len() + 17);
    rest.extend_from_slice(bare.as_bytes());
    rest.push(0);
    rest.extend_from_slice(&number.to_be_bytes());
    keys::row(account, KIND, &rest)
}

#[cfg(test)]
mod tests {
    use rookery_storage::record::encode;

    use super::*;

    #[test]
    fn a_conversation_lies_together_in_its_order() {
        let account = AccountId(7);
        let id = |stamp| MessageId::new(stamp);
        let (early, late) = (id(5), id(6));
        let all = range(account, "eve@x.test/r", 0, u128::MAX);
        for message in [early, late] {
            let key = key(account, "eve@x.test/other", message);
            assert!(all.contains(&key));
            assert_eq!(id_of(&key), Some(message));
        }
        let first = range(account, "eve@x.test", early.number(), late.number());
        assert!(first.contains(&key(account, "eve@x.test", early)));
        assert!(!first.contains(&key(account, "eve@x.test", late)));
        for other in ["eve@x.tes", "eve@x.test2", "x.test", "ev@x.test"] {
            assert!(!all.contains(&key(account, other, early)), "{other}");
        }
        assert!(!all.contains(&key(AccountId(8), "eve@x.test", early)));
        assert_eq!(
            id_of(&early.key(account, super::super::Place::Archive)),
            None
        );
    }

    #[test]
    fn the_bytes_of_a_trace_stay_as_they_are() {
        let peer = Jid::parse("eve@x.test/r").unwrap();
        let trace = Trace::of(&peer, Some("m1"));
        assert_eq!(
            encode(&trace).unwrap(),
            [1, 252, 21, 71, 12, 247, 252, 235, 111, 46, 148]
        );
        assert_eq!(digest("foobar"), 0xbf9c_f968);
        let nothing = Trace::of(&peer.bare(), None);
        assert_eq!((nothing.resource, nothing.stanza), (0, 0));
    }
}
