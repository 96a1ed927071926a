//! Who owns rows besides accounts: services and their entities, each under a number as accounts
//! have. And what they have yet to hear of accounts that were removed.
//!
//! A service has its number for good. An entity, such as a room, is lent one when it is asked for:
//! it has none for good until something is written under it, and it may end.

use std::collections::HashMap;

use parking_lot::RwLock;
use rookery_protocol::jid::Jid;
use rookery_storage::{Direction, Frame, KeyRange, Store, StoreError, Tree};
use smol_str::SmolStr;
use tokio::sync::Mutex;

use crate::accounts::Accounts;
use crate::effect::{Query, Row};
use crate::keeper::{Committed, Keeper};
use crate::keys::{self, AccountId};

/// Then the bare JID; holds the number.
const OWNER: &[u8] = b"owner:";
/// Then the owner's bare JID, a zero, and the bare JID of the account that was removed.
const FAREWELL: &[u8] = b"farewell:";

/// Numbers that were lent to nobody for good and are kept for the next.
const SPARE: usize = 1_000;

/// All owners: they are told of each account that is removed.
pub struct Owners {
    known: RwLock<HashMap<SmolStr, Known>>,
    spare: parking_lot::Mutex<Vec<AccountId>>,
    /// Of two that claim a number for one name at once, both get the same.
    turn: Mutex<()>,
}

struct Known {
    id: AccountId,
    /// It is on the disk, or in a frame that is on its way there.
    written: bool,
    /// Hubs that have it.
    holders: u32,
}

impl Known {
    fn written(id: AccountId) -> Known {
        Known {
            id,
            written: true,
            holders: 0,
        }
    }
}

impl Owners {
    /// Reads which there are; no account will get their numbers.
    pub fn load(store: &Store, accounts: &Accounts) -> Result<Owners, StoreError> {
        let range = KeyRange::prefix(OWNER);
        let rows = store.range(Tree::Meta, &range, usize::MAX, Direction::Forward)?;
        let read = |(key, value): Row| {
            let name = std::str::from_utf8(key.strip_prefix(OWNER)?).ok()?;
            let id = AccountId(u32::from_be_bytes(value.try_into().ok()?));
            accounts.reserve(id);
            Some((SmolStr::new(name), Known::written(id)))
        };
        Ok(Owners {
            known: RwLock::new(rows.into_iter().filter_map(read).collect()),
            spare: parking_lot::Mutex::default(),
            turn: Mutex::new(()),
        })
    }

    /// The number under which the rows of `jid` lie; its first one is on disk before it is given.
    /// `None`: the disk refused it.
    pub async fn claim(
        &self,
        jid: &Jid,
        accounts: &Accounts,
        keeper: &Keeper,
    ) -> Option<AccountId> {
        let _turn = self.turn.lock().await;
        if let Some(known) = self.known.read().get(jid.as_str()) {
            return Some(known.id);
        }
        let claim = accounts.allocate(keeper, |id| {
            let mut frame = Frame::new();
            frame.put(Tree::Meta, owner(jid), id.0.to_be_bytes());
            Ok(frame)
        });
        let (id, stored) = claim.ok()?;
        if stored.await == Committed::Refused {
            return None;
        }
        let known = Known::written(id);
        self.known.write().insert(SmolStr::new(jid.as_str()), known);
        Some(id)
    }

    /// Whether rows of this one are on the disk, or will be.
    pub fn has(&self, jid: &Jid) -> bool {
        let known = self.known.read();
        known.get(jid.as_str()).is_some_and(|known| known.written)
    }

    /// The number of an entity of a service, and whether it has it for good. It is given back by
    /// [`Owners::give_back`].
    pub fn lend(&self, jid: &Jid, accounts: &Accounts) -> (AccountId, bool) {
        let mut known = self.known.write();
        let known = known.entry(SmolStr::new(jid.as_str()));
        let known = known.or_insert_with(|| Known {
            id: self.spare.lock().pop().unwrap_or_else(|| accounts.lend()),
            written: false,
            holders: 0,
        });
        known.holders += 1;
        (known.id, known.written)
    }

    /// A Hub needs the number no more: if it is nobody's for good, somebody else may have it.
    pub fn give_back(&self, jid: &Jid) {
        let mut all = self.known.write();
        let Some(known) = all.get_mut(jid.as_str()) else {
            return;
        };
        known.holders = known.holders.saturating_sub(1);
        if known.holders > 0 || known.written {
            return;
        }
        let mut spare = self.spare.lock();
        if let Some(known) = all.remove(jid.as_str())
            && spare.len() < SPARE
        {
            spare.push(known.id);
        }
    }

    /// An entity begins to write: its number is its own from this frame on.
    pub fn write_down(&self, jid: &Jid, frame: &mut Frame) {
        if let Some(known) = self.known.write().get_mut(jid.as_str()) {
            known.written = true;
            frame.put(Tree::Meta, owner(jid), known.id.0.to_be_bytes());
        }
    }

    /// The disk refused such a frame, perhaps: the next one says it again.
    pub fn doubt(&self, jid: &Jid) {
        if let Some(known) = self.known.write().get_mut(jid.as_str()) {
            known.written = false;
        }
    }

    /// An entity ends: all its rows go in this frame.
    pub fn strike(&self, jid: &Jid, frame: &mut Frame) {
        if let Some(known) = self.known.write().get_mut(jid.as_str()) {
            known.written = false;
            for tree in [Tree::Account, Tree::Archive, Tree::Pubsub] {
                frame.delete_range(tree, keys::everything(known.id));
            }
            frame.delete(Tree::Meta, owner(jid));
        }
    }

    /// The bare JIDs of all that have rows.
    pub fn names(&self) -> Vec<SmolStr> {
        let known = self.known.read();
        let written = known.iter().filter(|(_, known)| known.written);
        written.map(|(name, _)| name.clone()).collect()
    }

    /// Has every owner hear that `account` is removed, in the frame that removes it: whoever is not
    /// in memory hears it when it is loaded.
    pub fn say_farewell(&self, account: &Jid, frame: &mut Frame) {
        for name in self.names() {
            let end = [&[0], account.as_str().as_bytes()].concat();
            frame.put(Tree::Meta, [farewells_of(&name), end].concat(), vec![1]);
        }
    }

    /// Asks for what `owner` has yet to hear.
    pub fn farewells(owner: &Jid) -> Query {
        let prefix = [farewells_of(owner.as_str()), vec![0]].concat();
        Query::Range {
            tree: Tree::Meta,
            range: KeyRange::prefix(&prefix),
            limit: usize::MAX,
            backwards: false,
        }
    }

    /// The account in the key of such a row.
    pub fn gone(key: &[u8]) -> Option<Jid> {
        let at = key.iter().position(|byte| *byte == 0)?;
        Jid::parse(std::str::from_utf8(&key[at + 1..]).ok()?).ok()
    }
}

fn owner(jid: &Jid) -> Vec<u8> {
    [OWNER, jid.as_str().as_bytes()].concat()
}

fn farewells_of(owner: &str) -> Vec<u8> {
    [FAREWELL, owner.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asking for what is not there leaves nothing behind; what begins to write has its number for
    /// good, until it ends.
    #[test]
    fn a_number_is_lent_until_something_is_written() {
        let store = Store::temporary();
        let load = || {
            let accounts = Accounts::load(&store).expect("accounts");
            let owners = Owners::load(&store, &accounts).expect("owners");
            (accounts, owners)
        };
        let (accounts, owners) = load();
        let [heath, moor] = ["heath@rooms.test", "moor@rooms.test"];
        let [heath, moor] = [heath, moor].map(|it| Jid::parse(it).expect("a JID"));
        let (first, written) = owners.lend(&heath, &accounts);
        assert!(!written && !owners.has(&heath) && owners.names().is_empty());
        owners.give_back(&heath);
        assert_eq!(owners.lend(&moor, &accounts).0, first, "nobody has it");
        let mut frame = Frame::new();
        owners.write_down(&moor, &mut frame);
        frame.put(
            Tree::Account,
            keys::row(first, keys::Kind(0x37), b""),
            b"row",
        );
        store.commit(vec![frame]).expect("it is stored");
        owners.give_back(&moor);
        assert_ne!(owners.lend(&heath, &accounts).0, first);
        let (accounts, owners) = load();
        assert_eq!(owners.lend(&moor, &accounts), (first, true));
        assert_ne!(
            owners.lend(&heath, &accounts).0,
            first,
            "after a restart, too"
        );
        let mut frame = Frame::new();
        owners.strike(&moor, &mut frame);
        store.commit(vec![frame]).expect("it is stored");
        assert!(!owners.has(&moor));
        let rows = store.range(
            Tree::Account,
            &keys::everything(first),
            9,
            Direction::Forward,
        );
        assert_eq!(rows.expect("they can be read"), []);
        assert!(!load().1.has(&moor));
    }

    #[test]
    fn a_farewell_names_who_is_gone() {
        let owners = Owners {
            known: RwLock::new([("pubsub.test".into(), Known::written(AccountId(7)))].into()),
            spare: parking_lot::Mutex::default(),
            turn: Mutex::new(()),
        };
        let (owner, ann) = (
            Jid::parse("pubsub.test").expect("a JID"),
            Jid::parse("ann@test").expect("a JID"),
        );
        let store = Store::temporary();
        let mut frame = Frame::new();
        owners.say_farewell(&ann, &mut frame);
        store.commit(vec![frame]).expect("it is stored");
        let Query::Range { range, .. } = Owners::farewells(&owner) else {
            panic!("a range")
        };
        let rows = store.range(Tree::Meta, &range, 9, Direction::Forward);
        let rows = rows.expect("they can be read");
        assert_eq!(rows.len(), 1);
        assert_eq!(Owners::gone(&rows[0].0), Some(ann));
        assert_eq!(Owners::gone(b"farewell:pubsub.test"), None);
    }
}
