//! Accounts whose sessions wait for their clients, and of which nothing else is in memory.
//!
//! When the server has started again most sessions only wait (XEP-0198 §5): their rows are all that
//! is needed until something comes for the account, or their time is over. Such an account sleeps:
//! it has no Hub yet, and whatever a Hub that lives would be told starts it. That is more than what
//! wakes an account that is away, as it is not: presence, probes, orders too.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use rookery_protocol::jid::Jid;
use rookery_storage::Direction::Forward;
use rookery_storage::{KeyRange, Store, StoreError, Tree};
use smol_str::SmolStr;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::hub::remembered;
use crate::keys::{self, AccountId, Kind};
use crate::messages::Mail;
use crate::realm::Realm;

/// An account with more rows of sessions than this is not looked at closely: it does not sleep.
const ROWS: usize = 256;
/// Accounts whose sessions' time is over are started so many at a time, with a pause between.
const BATCH: usize = 64;
const PAUSE: Duration = Duration::from_millis(20);

/// Who sleeps.
#[derive(Default)]
pub struct Sleepers {
    /// Until when.
    until: RwLock<HashMap<SmolStr, Instant, ahash::RandomState>>,
    /// How many: where nobody sleeps, presence for those who are away takes no lock.
    count: AtomicUsize,
}

impl Sleepers {
    /// This account sleeps from now on. It has no Hub.
    fn add(&self, key: SmolStr, until: Instant) {
        let mut sleepers = self.until.write();
        sleepers.insert(key, until);
        self.count.store(sleepers.len(), Ordering::Release);
    }

    /// Whether this account sleeps.
    pub fn has(&self, key: &str) -> bool {
        self.count.load(Ordering::Acquire) > 0 && self.until.read().contains_key(key)
    }

    /// Wakes an account, for which a Hub has been entered by now; until when its sessions wait, if
    /// it slept.
    pub fn wake(&self, key: &str) -> Option<Instant> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut sleepers = self.until.write();
        let until = sleepers.remove(key);
        if sleepers.is_empty() {
            sleepers.shrink_to_fit();
        }
        self.count.store(sleepers.len(), Ordering::Release);
        until
    }

    /// All of them.
    pub fn keys(&self) -> Vec<SmolStr> {
        self.until.read().keys().cloned().collect()
    }
}

/// Sees to the accounts that had sessions when the server ended. Those whose sessions only wait
/// sleep. The Hubs of the others start: something is to be said of their sessions, or for them.
pub fn recall(realm: &Arc<Realm>) -> Result<(), StoreError> {
    let (mut waiting, mut busy) = (HashSet::new(), HashSet::new());
    // Those of other servers are no accounts'.
    let peers = [&keys::PEERS.0.to_be_bytes()[..], &[0xff; 32]].concat();
    let mut range = KeyRange::all().after(&peers);
    let store = realm.keeper.store();
    // One row of each account leads to the others.
    while let Some((key, _)) = store.range(Tree::Sessions, &range, 1, Forward)?.pop()
        && let Some((account, ..)) = keys::split(&key)
    {
        match only_waits(store, account)? {
            true => waiting.insert(account),
            false => busy.insert(account),
        };
        let Some(next) = account.0.checked_add(1) else {
            break;
        };
        range = KeyRange::all().after(&next.to_be_bytes());
    }
    let patience = realm.site.settings.acks.resume;
    let until = Instant::now() + patience;
    for jid in realm.accounts.with_ids(&waiting) {
        let sleepers = &realm.directory.sleepers;
        sleepers.add(SmolStr::new(jid.as_str()), until);
    }
    if !waiting.is_empty() {
        rouse_after(realm, patience);
    }
    for jid in realm.accounts.with_ids(&busy) {
        // Nobody waits for the answer.
        realm.post(&jid, Mail::Probe(oneshot::channel().0), true);
    }
    Ok(())
}

/// Whether the sessions of an account only wait, and the account itself has nothing to send on.
fn only_waits(store: &Store, account: AccountId) -> Result<bool, StoreError> {
    let rows = store.range(
        Tree::Sessions,
        &keys::everything(account),
        ROWS + 1,
        Forward,
    )?;
    if rows.len() > ROWS || !remembered::only_wait(rows) {
        return Ok(false);
    }
    let owed = keys::all_of(account, Kind::OWED);
    Ok(store.range(Tree::Account, &owed, 1, Forward)?.is_empty())
}

/// Starts the Hubs of those for whom nothing has come by then: their sessions' time is over.
fn rouse_after(realm: &Arc<Realm>, patience: Duration) {
    let realm = Arc::downgrade(realm);
    actix_rt::spawn(async move {
        tokio::time::sleep(patience).await;
        let keys = realm.upgrade().map(|it| it.directory.sleepers.keys());
        for batch in keys.unwrap_or_default().chunks(BATCH) {
            let Some(realm) = realm.upgrade() else {
                return;
            };
            for key in batch.iter().filter(|it| realm.directory.sleepers.has(it)) {
                if let Ok(jid) = Jid::parse(key) {
                    realm.post(&jid, Mail::Probe(oneshot::channel().0), true);
                }
            }
            drop(realm);
            tokio::time::sleep(PAUSE).await;
        }
    });
}
