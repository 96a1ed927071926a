//! The state of one account that RFC 6121 asks for: roster, requests that wait, the last presence.
//!
//! Memory is the truth while the Hub lives; every change is written through in the same decision.

use bytes::Bytes;
use rookery_protocol::jid::Jid;
use rookery_protocol::roster::{Item, Limits, Roster};
use rookery_protocol::stanza::Stanza;
use rookery_protocol::subscription::{State, Subscription};
use rookery_storage::Tree;
use rookery_storage::record::{self, Record};
use serde::{Deserialize, Serialize};
use tracing::error;

use crate::effect::{Effects, Millis, Row};
use crate::hub::departed::Departed;
use crate::hub::owed::Owed;
use crate::keys::{self, AccountId, Kind};
use crate::site::Site;

/// The most subscription requests that wait for an answer; further ones are dropped (attacks P09).
pub const REQUESTS: usize = 100;
/// The most bytes that all waiting requests of an account take together; they stay in memory.
pub const REQUEST_BYTES: usize = 256 * 1024;
/// A longer unavailable presence is remembered by its time only.
const LAST_BYTES: usize = 2048;

/// The key of the roster's version behind [`Kind::FACT`].
const VERSION: &[u8] = b"roster";
/// The key of the last unavailable presence behind [`Kind::FACT`].
const LAST: &[u8] = b"last";

/// One account.
pub struct Account {
    pub id: AccountId,
    /// The bare JID.
    pub jid: Jid,
    pub roster: Roster,
    /// Requests to see our presence that wait for an answer: each whole, one of each asker.
    requests: Vec<Request>,
    /// The roster's version (RFC 6121 §2.6): rises with every change that is pushed.
    version: u64,
    last: Option<Box<Last>>,
    pub(super) owed: Owed,
    pub(super) departed: Departed,
}

/// The last unavailable presence of an account that nobody is available of (RFC 6121 §4.3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Last {
    /// When it was sent.
    pub stamp: Millis,
    /// What it was, without `to`; empty where it was too long or never said.
    pub presence: Bytes,
}

struct Request {
    asker: Jid,
    stanza: Bytes,
}

/// The key of an account's [`Last`] on the disk.
pub fn last_key(id: AccountId) -> Vec<u8> {
    keys::row(id, Kind::FACT, LAST)
}

/// Reads the row under [`last_key`]; `None` if it cannot be read.
pub fn read_last(value: &[u8]) -> Option<Last> {
    let row: LastRow = record::decode(value).ok()?;
    Some(Last {
        stamp: row.stamp,
        presence: row.presence.into(),
    })
}

impl Account {
    /// An account with nothing in it.
    pub fn new(id: AccountId, jid: Jid) -> Account {
        let (roster, requests) = (Roster::new(), Vec::new());
        Account {
            id,
            jid,
            roster,
            requests,
            version: 0,
            last: None,
            owed: Owed::default(),
            departed: Departed::default(),
        }
    }

    /// Takes the rows that are its own; gives back the others. A row that cannot be read is left
    /// where it is, and said.
    pub fn load(&mut self, rows: Vec<Row>) -> Vec<Row> {
        let mut items = Vec::new();
        let mut others = Vec::new();
        for (key, value) in rows {
            let Some((_, kind, rest)) = keys::split(&key) else {
                continue;
            };
            let read = match kind {
                Kind::CONTACT => read_item(rest, &value).map(|item| items.push(item)),
                Kind::REQUEST => read_request(rest, &value).map(|it| self.requests.push(it)),
                Kind::FACT => self.read_fact(rest, &value),
                Kind::OWED => self.owed.load(rest, &value),
                Kind::DEPARTED => self.departed.load(rest, &value),
                _ => {
                    others.push((key, value));
                    continue;
                }
            };
            if read.is_none() {
                error!(account = self.id.0, kind = kind.0, "a row cannot be read");
            }
        }
        self.roster = items.into_iter().collect();
        others
    }

    /// Whether `jid` (bare or full) may see this account's presence: subscription `from` or `both`.
    pub fn shares_presence_with(&self, jid: &Jid) -> bool {
        matches!(
            self.subscription(jid),
            Subscription::From | Subscription::Both
        )
    }

    /// Whether `jid` (bare or full) is in the roster.
    pub fn is_contact(&self, jid: &Jid) -> bool {
        self.roster.get(jid.bare_str()).is_some()
    }

    /// Whether `jid` (bare or full) is this account.
    pub fn is_self(&self, jid: &Jid) -> bool {
        jid.bare_str() == self.jid.as_str()
    }

    /// Who sees whom, of the account and `jid` (bare or full).
    pub fn subscription(&self, jid: &Jid) -> Subscription {
        self.roster
            .get(jid.bare_str())
            .map_or(Subscription::None, |entry| entry.subscription())
    }

    /// The state of RFC 6121 A.1 towards a contact, and whether it was approved beforehand.
    pub fn state(&self, contact: &Jid) -> (State, bool) {
        let pending = self
            .requests
            .iter()
            .any(|it| it.asker.as_str() == contact.bare_str());
        match self.roster.get(contact.bare_str()) {
            Some(entry) => (entry.state(pending), entry.approved()),
            None => (State::of(Subscription::None, false, pending), false),
        }
    }

    /// The roster's version as clients see it. It is opaque to them (RFC 6121 §2.1.1).
    pub fn version(&self) -> String {
        self.version.to_string()
    }

    /// The last unavailable presence, if nobody has been available since.
    pub fn last(&self) -> Option<&Last> {
        self.last.as_deref()
    }

    /// The contacts whose state is as wanted.
    pub fn contacts(&self, wanted: fn(State) -> bool) -> Vec<Jid> {
        let entries = self
            .roster
            .iter()
            .filter(|entry| wanted(entry.state(false)));
        // What is in the roster was read as an address once.
        entries.filter_map(|entry| entry.to_jid().ok()).collect()
    }

    /// Those whose request waits for an answer.
    pub fn askers(&self) -> impl Iterator<Item = &Jid> {
        self.requests.iter().map(|request| &request.asker)
    }

    /// The stored requests, whole, in the order in which they came.
    pub fn requests(&self) -> impl Iterator<Item = &Bytes> {
        self.requests.iter().map(|request| &request.stanza)
    }

    /// Creates or changes an item of the roster.
    pub(super) fn save(&mut self, item: &Item, fx: &mut Effects) {
        self.roster.put(item);
        let row = ContactRow::of(item);
        write(
            fx,
            keys::row(self.id, Kind::CONTACT, item.jid.bare_str().as_bytes()),
            &row,
        );
        self.raise_version(fx);
    }

    /// Takes an item out of the roster.
    pub(super) fn forget(&mut self, contact: &Jid, fx: &mut Effects) {
        if self.roster.remove(contact.bare_str()) {
            let key = keys::row(self.id, Kind::CONTACT, contact.bare_str().as_bytes());
            fx.delete(Tree::Account, key);
            self.raise_version(fx);
        }
    }

    /// Keeps a request until it is answered; `false` if a bound forbids. One of the same asker is
    /// replaced.
    pub(super) fn keep_request(&mut self, asker: &Jid, stanza: &Stanza, fx: &mut Effects) -> bool {
        let (asker, stanza) = (asker.bare(), stanza.to_bytes());
        let others = self.requests.iter().filter(|it| it.asker != asker);
        let (count, bytes) = others.fold((0, 0), |(count, bytes), it| {
            (count + 1, bytes + it.stanza.len())
        });
        if count >= REQUESTS || bytes + stanza.len() > REQUEST_BYTES {
            return false;
        }
        let key = keys::row(self.id, Kind::REQUEST, asker.as_str().as_bytes());
        write(
            fx,
            key,
            &RequestRow {
                stanza: stanza.to_vec(),
            },
        );
        self.requests.retain(|it| it.asker != asker);
        self.requests.push(Request { asker, stanza });
        true
    }

    /// Forgets the request of `asker`, if there is one.
    pub(super) fn drop_request(&mut self, asker: &Jid, fx: &mut Effects) {
        let Some(at) = self
            .requests
            .iter()
            .position(|it| it.asker.as_str() == asker.bare_str())
        else {
            return;
        };
        self.requests.remove(at);
        if self.requests.is_empty() {
            self.requests.shrink_to_fit();
        }
        let key = keys::row(self.id, Kind::REQUEST, asker.bare_str().as_bytes());
        fx.delete(Tree::Account, key);
    }

    /// Remembers how the last device went.
    pub(super) fn remember_last(&mut self, presence: &Stanza, fx: &mut Effects) {
        let bytes = presence.to_bytes();
        let bytes = if bytes.len() > LAST_BYTES {
            Bytes::new()
        } else {
            bytes
        };
        let row = LastRow {
            stamp: fx.now,
            presence: bytes.to_vec(),
        };
        write(fx, last_key(self.id), &row);
        self.last = Some(Box::new(Last {
            stamp: row.stamp,
            presence: row.presence.into(),
        }));
    }

    /// The version is the time, or one more than the last: so a number whose change was lost with
    /// a crash is never given to another change.
    fn raise_version(&mut self, fx: &mut Effects) {
        self.version = fx.now.max(self.version + 1);
        write(
            fx,
            keys::row(self.id, Kind::FACT, VERSION),
            &VersionRow(self.version),
        );
    }

    fn read_fact(&mut self, name: &[u8], value: &[u8]) -> Option<()> {
        match name {
            VERSION => self.version = record::decode::<VersionRow>(value).ok()?.0,
            LAST => self.last = Some(Box::new(read_last(value)?)),
            _ => {}
        }
        Some(())
    }
}

/// What the settings allow a roster.
pub(super) fn limits(site: &Site) -> Limits {
    let roster = &site.settings.roster;
    Limits {
        items: roster.items,
        groups: roster.groups,
        name: roster.name.get(),
        ..Limits::default()
    }
}

fn write<R: Record>(fx: &mut Effects, key: Vec<u8>, record: &R) {
    match record::encode(record) {
        Ok(value) => fx.put(Tree::Account, key, value),
        // Every record here is bounded far below what a value may be.
        Err(problem) => error!(%problem, "a row cannot be written"),
    }
}

/// A contact; its address is the key.
#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct ContactRow {
    name: String,
    /// 0 none, 1 to, 2 from, 3 both; 4 more: asked; 8 more: approved.
    flags: u8,
    groups: Vec<String>,
}

const ASK: u8 = 4;
const APPROVED: u8 = 8;

impl Record for ContactRow {
    const VERSION: u8 = 1;
}

impl ContactRow {
    fn of(item: &Item) -> ContactRow {
        let subscription = match item.subscription {
            Subscription::None => 0,
            Subscription::To => 1,
            Subscription::From => 2,
            Subscription::Both => 3,
        };
        let flags = subscription
            + if item.ask { ASK } else { 0 }
            + if item.approved { APPROVED } else { 0 };
        ContactRow {
            name: item.name.clone(),
            flags,
            groups: item.groups.clone(),
        }
    }
}

fn read_item(key: &[u8], value: &[u8]) -> Option<Item> {
    let row: ContactRow = record::decode(value).ok()?;
    let subscription = match row.flags & 3 {
        0 => Subscription::None,
        1 => Subscription::To,
        2 => Subscription::From,
        _ => Subscription::Both,
    };
    Some(Item {
        name: row.name,
        subscription,
        ask: row.flags & ASK != 0,
        approved: row.flags & APPROVED != 0,
        groups: row.groups,
        ..Item::new(&read_jid(key)?)
    })
}

/// A subscription request; the asker's address is the key.
#[derive(Serialize, Deserialize)]
struct RequestRow {
    stanza: Vec<u8>,
}

impl Record for RequestRow {
    const VERSION: u8 = 1;
}

fn read_request(key: &[u8], value: &[u8]) -> Option<Request> {
    let row: RequestRow = record::decode(value).ok()?;
    Some(Request {
        asker: read_jid(key)?,
        stanza: row.stanza.into(),
    })
}

#[derive(Serialize, Deserialize)]
struct VersionRow(u64);

impl Record for VersionRow {
    const VERSION: u8 = 1;
}

#[derive(Serialize, Deserialize)]
struct LastRow {
    stamp: u64,
    presence: Vec<u8>,
}

impl Record for LastRow {
    const VERSION: u8 = 1;
}

fn read_jid(key: &[u8]) -> Option<Jid> {
    Jid::parse(std::str::from_utf8(key).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// If this fails, the rows on every disk out there can no longer be read: raise a version.
    #[test]
    fn golden_bytes() {
        let jid = Jid::parse("eve@b.test").expect("an address");
        let item = Item {
            name: "Eve".into(),
            subscription: Subscription::From,
            ask: true,
            approved: true,
            groups: vec!["w".into()],
            ..Item::new(&jid)
        };
        let golden = [1, 3, b'E', b'v', b'e', 14, 1, 1, b'w'];
        assert_eq!(
            record::encode(&ContactRow::of(&item)).as_deref(),
            Ok(&golden[..])
        );
        assert_eq!(read_item(b"eve@b.test", &golden), Some(item));
        assert_eq!(read_item(b"@", &golden), None);
        let request = record::encode(&RequestRow {
            stanza: b"<p/>".to_vec(),
        });
        assert_eq!(request.as_deref(), Ok(&b"\x01\x04<p/>"[..]));
        assert_eq!(
            record::encode(&VersionRow(70_000)).as_deref(),
            Ok(&[1, 252, 112, 17, 1, 0][..])
        );
        let last = record::encode(&LastRow {
            stamp: 5,
            presence: b"x".to_vec(),
        });
        assert_eq!(last.as_deref(), Ok(&[1, 5, 1, b'x'][..]));
    }
}
