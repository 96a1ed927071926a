//! Where nodes are that were here (XEP-0060 §8.4.1): whoever asks for one is told its new address
//! (§6.1.3.11).

use std::collections::BTreeMap;

use rookery_actors::effect::{Effects, Millis};
use rookery_actors::keys::{AccountId, Kind, row};
use rookery_storage::Tree;
use rookery_storage::record::{Record, decode, encode};
use serde::{Deserialize, Serialize};
use tracing::error;

/// A [`Forwarding`]; then the name that the node had.
pub const MOVED: Kind = Kind(0x36);

/// The most nodes of which it is known where they are; the one that went first is forgotten.
const MOST: usize = 1_000;

/// Where a node is.
#[derive(Clone, Serialize, Deserialize, PartialEq, Debug)]
struct Forwarding {
    uri: String,
    since: Millis,
}

impl Record for Forwarding {
    const VERSION: u8 = 1;
}

/// All nodes that are elsewhere now, by the names they had.
#[derive(Default, Debug)]
pub struct Forwardings(BTreeMap<String, Forwarding>);

impl Forwardings {
    /// A row of [`MOVED`]; `name`: what its key ends with.
    pub fn load(&mut self, name: &[u8], value: &[u8]) {
        match (std::str::from_utf8(name), decode(value)) {
            (Ok(name), Ok(it)) => drop(self.0.insert(name.to_owned(), it)),
            _ => error!("where a node is now cannot be read"),
        }
    }

    /// Where the node of this name is.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|it| it.uri.as_str())
    }

    /// The node of this name is there from now on.
    pub fn put(&mut self, name: &str, uri: String, account: AccountId, fx: &mut Effects) {
        while self.0.len() >= MOST && !self.0.contains_key(name) {
            let oldest = self.0.iter().min_by_key(|(_, it)| it.since);
            let Some(oldest) = oldest.map(|(name, _)| name.clone()) else {
                return;
            };
            self.remove(&oldest, account, fx);
        }
        let since = fx.now;
        let forwarding = Forwarding { uri, since };
        match encode(&forwarding) {
            Ok(value) => fx.put(Tree::Account, key(account, name), value),
            // An address is bounded far below what a value may be.
            Err(problem) => error!(%problem, "where a node is now cannot be written"),
        }
        self.0.insert(name.to_owned(), forwarding);
    }

    /// There is a node of this name here.
    pub fn remove(&mut self, name: &str, account: AccountId, fx: &mut Effects) {
        if self.0.remove(name).is_some() {
            fx.delete(Tree::Account, key(account, name));
        }
    }
}

fn key(account: AccountId, name: &str) -> Vec<u8> {
    row(account, MOVED, name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rookery_actors::effect::Origin;

    /// If this fails, addresses on every disk out there can no longer be read: raise the version.
    #[test]
    fn golden_bytes() {
        let forwarding = Forwarding {
            uri: "u".into(),
            since: 7,
        };
        assert_eq!(encode(&forwarding).unwrap(), [1, 1, b'u', 7]);
        let golden: Forwarding = decode(&[1, 1, b'u', 7]).unwrap();
        assert_eq!(golden, forwarding);
    }

    #[test]
    fn of_too_many_the_oldest_is_forgotten() {
        let (mut all, account) = (Forwardings::default(), AccountId(1));
        for number in 0..=MOST as u64 {
            let mut fx = Effects::new(2_000 - number, Origin::Elsewhere);
            all.put(&number.to_string(), "u".into(), account, &mut fx);
        }
        assert_eq!(all.0.len(), MOST);
        assert_eq!(
            all.get("999"),
            None,
            "the one that went first, by the clock"
        );
        assert_eq!((all.get("0"), all.get("1000")), (Some("u"), Some("u")));
    }
}
