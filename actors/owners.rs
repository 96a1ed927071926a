//! Who owns rows besides accounts: services and what is at them, each under a number as accounts
//! have. And what they have yet to hear of accounts that were removed.

use std::collections::HashMap;

use parking_lot::RwLock;
use rookery_protocol::jid::Jid;
use rookery_storage::{Direction, Frame, KeyRange, Store, StoreError, Tree};
use smol_str::SmolStr;
use tokio::sync::Mutex;

use crate::accounts::Accounts;
use crate::effect::{Query, Row};
use crate::keeper::{Committed, Keeper};
use crate::keys::AccountId;

/// Then the bare JID; holds the number.
const OWNER: &[u8] = b"owner:";
/// Then the owner's bare JID, a zero, and the bare JID of the account that was removed.
const FAREWELL: &[u8] = b"farewell:";

/// All owners, which are few: they are told of each account that is removed.
pub struct Owners {
    known: RwLock<HashMap<SmolStr, AccountId>>,
    /// Of two that claim a number for one name at once, both get the same.
    turn: Mutex<()>,
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
            Some((SmolStr::new(name), id))
        };
        Ok(Owners {
            known: RwLock::new(rows.into_iter().filter_map(read).collect()),
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
        if let Some(id) = self.known.read().get(jid.as_str()) {
            return Some(*id);
        }
        let claim = accounts.allocate(keeper, |id| {
            let mut frame = Frame::new();
            let key = [OWNER, jid.as_str().as_bytes()].concat();
            frame.put(Tree::Meta, key, id.0.to_be_bytes());
            Ok(frame)
        });
        let (id, stored) = claim.ok()?;
        if stored.await == Committed::Refused {
            return None;
        }
        self.known.write().insert(SmolStr::new(jid.as_str()), id);
        Some(id)
    }

    /// The bare JIDs of all of them.
    pub fn names(&self) -> Vec<SmolStr> {
        self.known.read().keys().cloned().collect()
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

fn farewells_of(owner: &str) -> Vec<u8> {
    [FAREWELL, owner.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_farewell_names_who_is_gone() {
        let owners = Owners {
            known: RwLock::new([("pubsub.test".into(), AccountId(7))].into()),
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
