//! A message as it is kept: what is worth keeping, its row in `Tree::Archive`, and the id that
//! stands for it on the wire.
//!
//! The archive writes these rows, what is delivered late comes from them, and carbons name them;
//! none of them knows the others.

use rookery_actors::effect::Millis;
use rookery_actors::keys::{self, AccountId, Kind};
use rookery_actors::site::random;
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::{Child, Kind as StanzaKind, MessageType, Stanza};
use rookery_protocol::xml::Element;
use rookery_storage::record::Record;
use serde::{Deserialize, Serialize};

/// Where a kept message lies in `Tree::Archive`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// For good, as far as the archive's bounds go.
    Archive = 1,
    /// Only until it is delivered: archives never show it.
    Waiting = 2,
}

impl Place {
    /// The kind in the keys of its rows.
    pub fn kind(self) -> Kind {
        Kind(self as u8)
    }

    /// The place that a key's kind stands for.
    pub fn of(kind: Kind) -> Option<Place> {
        [Place::Archive, Place::Waiting]
            .into_iter()
            .find(|place| place.kind() == kind)
    }
}

/// Names a message within the archive of its account, for ever (XEP-0313 §5.2). The order of ids
/// is the order of the archive; a random half keeps anybody from guessing one (XEP-0359 §4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct MessageId {
    /// Milliseconds since 1970 in the upper 48 bits; below, a number within the millisecond.
    stamp: u64,
    nonce: u64,
}

impl MessageId {
    /// An id for this stamp of [`Stamps`].
    pub fn new(stamp: u64) -> MessageId {
        let nonce = u64::from_be_bytes(random());
        MessageId { stamp, nonce }
    }

    /// When it was kept.
    pub fn time(self) -> Millis {
        self.stamp >> 16
    }

    /// The key of its row.
    pub fn key(self, account: AccountId, place: Place) -> Vec<u8> {
        keys::row(account, place.kind(), &self.bytes())
    }

    /// The id and the place of a row's key.
    pub fn of_key(key: &[u8]) -> Option<(Place, MessageId)> {
        let (_, kind, rest) = keys::split(key)?;
        Some((Place::of(kind)?, MessageId::of_bytes(rest)?))
    }

    /// As the last part of a key.
    pub fn bytes(self) -> [u8; 16] {
        self.number().to_be_bytes()
    }

    /// Reads what [`MessageId::bytes`] made.
    pub fn of_bytes(bytes: &[u8]) -> Option<MessageId> {
        let number = u128::from_be_bytes(bytes.try_into().ok()?);
        Some(MessageId::of_number(number))
    }

    /// The id of this number.
    pub fn of_number(number: u128) -> MessageId {
        MessageId {
            stamp: (number >> 64) as u64,
            nonce: number as u64,
        }
    }

    /// As a number that rises as the ids do.
    pub fn number(self) -> u128 {
        u128::from(self.stamp) << 64 | u128::from(self.nonce)
    }

    /// The lowest number of an id of this time.
    pub fn first_of(time: Millis) -> u128 {
        u128::from(time.min((1 << 48) - 1)) << 80
    }

    /// As it stands in `<stanza-id/>` and in results of XEP-0313.
    pub fn to_text(self) -> String {
        let mut text = String::with_capacity(32);
        for byte in self.bytes() {
            text.extend([byte >> 4, byte & 15].map(|half| char::from(HEX[usize::from(half)])));
        }
        text
    }

    /// Reads what [`MessageId::to_text`] wrote, and nothing else.
    pub fn parse(text: &str) -> Option<MessageId> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 32 || !text.bytes().all(is_digit) {
            return None;
        }
        let both = u128::from_str_radix(text, 16).ok()?;
        MessageId::of_bytes(&both.to_be_bytes())
    }

    /// `<stanza-id/>` of the archive of `by`, a bare JID (XEP-0359 §3.1).
    pub fn element(self, by: &Jid) -> Element {
        Element::new(ns::STANZA_ID, "stanza-id")
            .with_attr("by", by.as_str())
            .with_attr("id", self.to_text())
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Stamps that rise, whatever the clock does.
#[derive(Default, Debug)]
pub struct Stamps {
    last: u64,
}

impl Stamps {
    /// The next one: of the time `now`, or right behind the last one if that is later.
    pub fn next(&mut self, now: Millis) -> u64 {
        self.last = (now << 16).max(self.last.saturating_add(1));
        self.last
    }

    /// The last one.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// From now on later than all of `time`.
    pub fn pass(&mut self, time: Millis) {
        self.last = self.last.max((time << 16) | 0xffff);
    }
}

/// The record of a kept message.
#[derive(Serialize, Deserialize, PartialEq, Eq, Debug)]
pub struct Message {
    /// From the account, not to it.
    pub outgoing: bool,
    /// The other side, as the stanza names it.
    pub peer: String,
    /// The stanza as bytes, without the account's own `<stanza-id/>`.
    stanza: String,
}

impl Record for Message {
    const VERSION: u8 = 1;
}

impl Message {
    /// The record of a message that comes to the account.
    pub fn incoming(stanza: &Stanza) -> Option<Message> {
        Message::new(stanza, false)
    }

    /// The record of a message that the account sends.
    pub fn outgoing(stanza: &Stanza) -> Option<Message> {
        Message::new(stanza, true)
    }

    fn new(stanza: &Stanza, outgoing: bool) -> Option<Message> {
        let peer = if outgoing { &stanza.to } else { &stanza.from };
        let mut bytes = Vec::with_capacity(stanza.wire_len());
        stanza.write(&mut bytes);
        Some(Message {
            outgoing,
            peer: peer.as_ref()?.as_str().to_owned(),
            stanza: String::from_utf8(bytes).ok()?,
        })
    }

    /// The stanza as it was written by [`Stanza::write`].
    pub fn text(&self) -> &str {
        &self.stanza
    }

    /// A copy of the stanza.
    pub fn stanza(&self) -> Option<Stanza> {
        Stanza::parse_stored(self.stanza.clone().into_bytes().into()).ok()
    }

    /// The stanza.
    pub fn into_stanza(self) -> Option<Stanza> {
        Stanza::parse_stored(self.stanza.into_bytes().into()).ok()
    }
}

/// How long a message is worth keeping.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Worth {
    /// In archives, and until it is delivered.
    Lasting,
    /// Until it is delivered, no longer (XEP-0334 §4.1, XEP-0160 §3).
    Waiting,
    /// For those who are there now (XEP-0334 §4.2); who sent it is told if nobody is.
    Passing,
    /// For those who are there now, and nobody minds if nobody is: chat states (XEP-0085 §5.1).
    Trifle,
}

/// What a stanza is worth to a user. Hints in errors count for nothing (XEP-0334 §5). What rooms
/// say is theirs to keep.
pub fn worth(stanza: &Stanza) -> Worth {
    let hint = |name| stanza.has(ns::HINTS, name);
    match stanza.kind {
        StanzaKind::Message(MessageType::Normal | MessageType::Chat) => worth_by_content(stanza),
        StanzaKind::Message(MessageType::Headline) if hint("store") && !hint("no-store") => {
            worth_by_content(stanza)
        }
        _ => Worth::Passing,
    }
}

/// What a message is worth whatever its type: to a room, what is said in it.
pub fn worth_by_content(stanza: &Stanza) -> Worth {
    let hint = |name| stanza.has(ns::HINTS, name);
    let is_lasting = || {
        let known = |child: &_| LASTING.iter().any(|(ns, name)| Child::is(child, ns, name));
        hint("store") || stanza.children().iter().any(known) || is_invitation(stanza)
    };
    if says_nothing(stanza) && !hint("store") {
        Worth::Trifle
    } else if hint("no-store") {
        Worth::Passing
    } else if !hint("no-permanent-store") && is_lasting() {
        Worth::Lasting
    } else {
        Worth::Waiting
    }
}

/// Whether there is nothing in a message but what says nothing by itself: chat states, hints and
/// the like.
pub fn says_nothing(stanza: &Stanza) -> bool {
    let is_trifle =
        |child: &Child| TRIFLES.contains(&child.ns.as_str()) || child.is(ns::CLIENT, "thread");
    stanza.children().iter().all(is_trifle)
}

/// Namespaces of children that say nothing by themselves.
const TRIFLES: &[&str] = &[
    ns::CHAT_STATES,
    ns::HINTS,
    ns::STANZA_ID,
    ns::OCCUPANT_ID,
    ns::CARBONS,
    ns::DELAY,
];

/// Children that make a message worth keeping: text, text that is encrypted, what says that text
/// arrived, and what changes an earlier message.
const LASTING: &[(&str, &str)] = &[
    (ns::CLIENT, "body"),
    (ns::ENCRYPTION, "encryption"),
    (OMEMO_LEGACY, "encrypted"),
    (OMEMO_1, "encrypted"),
    (OMEMO_2, "encrypted"),
    (OPENPGP, "openpgp"),
    (OPENPGP_LEGACY, "x"),
    (ns::RECEIPTS, "received"),
    (ns::MARKERS, "received"),
    (ns::MARKERS, "displayed"),
    (ns::MARKERS, "acknowledged"),
    (ns::INVITE_DIRECT, "x"),
    (ns::REACTIONS, "reactions"),
    (ns::RETRACT, "retract"),
];

/// Children that hold what only its readers can read.
pub const ENCRYPTED: &[(&str, &str)] = &[
    (OMEMO_LEGACY, "encrypted"),
    (OMEMO_1, "encrypted"),
    (OMEMO_2, "encrypted"),
    (OPENPGP, "openpgp"),
    (OPENPGP_LEGACY, "x"),
];

/// XEP-0384 before version 0.4.
const OMEMO_LEGACY: &str = "eu.siacs.conversations.axolotl";
const OMEMO_1: &str = "urn:xmpp:omemo:1";
const OMEMO_2: &str = "urn:xmpp:omemo:2";
/// XEP-0373.
const OPENPGP: &str = "urn:xmpp:openpgp:0";
/// XEP-0027.
const OPENPGP_LEGACY: &str = "jabber:x:encrypted";

/// Whether a room passes an invitation on, or the refusal of one (XEP-0045 §7.8.2).
pub fn is_invitation(stanza: &Stanza) -> bool {
    let Some(x) = stanza.child(ns::MUC_USER, "x") else {
        return false;
    };
    let said = |name| x.child(ns::MUC_USER, name).is_some();
    said("invite") || said("decline")
}

#[cfg(test)]
mod tests;
