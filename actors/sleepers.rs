//! Accounts whose sessions wait for their clients, and of which nothing else is in memory.
//!
//! The rows of a session that waits (XEP-0198 §5) are all that is needed until something comes for
//! its account, or its time is over. So an account whose sessions have all waited for a while
//! sleeps: its Hub has gone (`hub/rest.rs`), or, when the server has started again, did not begin
//! yet. Whatever a Hub that lives would be told starts it. That is more than what wakes an account
//! that is away, as it is not: presence, probes, orders too.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::RwLock;
use rookery_protocol::jid::Jid;
use rookery_storage::Direction::Forward;
use rookery_storage::{KeyRange, Store, StoreError, Tree};
use smol_str::SmolStr;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::hub::remembered;
use crate::keys::{self, AccountId, Kind, SessionKey};
use crate::messages::Mail;
use crate::realm::Realm;

/// An account with more rows of sessions than this is not looked at closely: it does not sleep.
const ROWS: usize = 256;
/// Accounts whose sessions' time is over are started so many at a time, with a pause between.
const BATCH: usize = 64;
const PAUSE: Duration = Duration::from_millis(20);
/// Who could not be woken is tried again after this.
const AGAIN: Duration = Duration::from_secs(60);

/// How an account sleeps.
#[derive(Debug)]
pub struct Slumber {
    /// When the time of the first of its sessions is over.
    until: Instant,
    /// When it is to be woken: then, or once more after that.
    rouse: Instant,
    /// Its sessions as this life of the server knew them. Those of an earlier one are not listed,
    /// and all have the same time.
    sessions: Box<[Waiting]>,
}

/// A session that waits, as far as its rows do not tell.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    pub session: SessionKey,
    /// When its time is over.
    pub until: Instant,
    /// The number of the last stanza that its client was sent, if it is known.
    pub sent: Option<u32>,
}

impl Slumber {
    /// Of an account with these sessions, of which it has one at least.
    pub fn of(sessions: Box<[Waiting]>) -> Slumber {
        let first = sessions.iter().map(|it| it.until).min();
        let until = first.unwrap_or_else(Instant::now);
        Slumber {
            sessions,
            ..Slumber::since_start(until)
        }
    }

    fn since_start(until: Instant) -> Slumber {
        Slumber {
            until,
            rouse: until,
            sessions: Box::default(),
        }
    }

    /// What is known of a session, if this life of the server knew it.
    pub fn waiting(&self, session: SessionKey) -> Option<Waiting> {
        self.sessions
            .iter()
            .find(|it| it.session == session)
            .copied()
    }

    /// When the time of a session is over.
    pub fn until(&self, session: SessionKey) -> Instant {
        self.waiting(session).map_or(self.until, |it| it.until)
    }
}

/// Who sleeps.
#[derive(Default)]
pub struct Sleepers {
    beds: RwLock<Beds>,
    /// How many: where nobody sleeps, presence for those who are away takes no lock.
    count: AtomicUsize,
    /// Somebody is to be woken before all others.
    news: Arc<Notify>,
}

#[derive(Default)]
struct Beds {
    sleepers: HashMap<SmolStr, Slumber, ahash::RandomState>,
    /// The same by when they are to be woken.
    times: BTreeSet<(Instant, SmolStr)>,
}

impl Beds {
    fn remove(&mut self, key: &str) -> Option<Slumber> {
        let (key, slumber) = self.sleepers.remove_entry(key)?;
        self.times.remove(&(slumber.rouse, key));
        if self.sleepers.is_empty() {
            self.sleepers.shrink_to_fit();
        }
        Some(slumber)
    }

    fn insert(&mut self, key: SmolStr, slumber: Slumber) {
        self.times.insert((slumber.rouse, key.clone()));
        self.sleepers.insert(key, slumber);
    }
}

impl Sleepers {
    /// This account sleeps from now on. It has no Hub.
    pub fn add(&self, key: SmolStr, slumber: Slumber) {
        let mut beds = self.beds.write();
        let first = beds.times.first().map(|(at, _)| *at);
        if first.is_none_or(|first| slumber.rouse < first) {
            self.news.notify_one();
        }
        beds.insert(key, slumber);
        self.count.store(beds.sleepers.len(), Ordering::Release);
    }

    /// Whether this account sleeps.
    pub fn has(&self, key: &str) -> bool {
        self.count.load(Ordering::Acquire) > 0 && self.beds.read().sleepers.contains_key(key)
    }

    /// Wakes an account, for which a Hub has been entered by now; how it slept, if it did.
    pub fn wake(&self, key: &str) -> Option<Slumber> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut beds = self.beds.write();
        let slumber = beds.remove(key);
        self.count.store(beds.sleepers.len(), Ordering::Release);
        slumber
    }

    /// All of them.
    pub fn keys(&self) -> Vec<SmolStr> {
        self.beds.read().sleepers.keys().cloned().collect()
    }

    /// Some of those who are to be woken by now, and when the next one is. Who does not wake is
    /// among them again after a while.
    fn due(&self, now: Instant) -> (Vec<SmolStr>, Option<Instant>) {
        let mut beds = self.beds.write();
        let times = beds.times.iter().take_while(|(at, _)| *at <= now);
        let due: Vec<SmolStr> = times.take(BATCH).map(|(_, key)| key.clone()).collect();
        for key in &due {
            if let Some(mut slumber) = beds.remove(key) {
                slumber.rouse = now + AGAIN;
                beds.insert(key.clone(), slumber);
            }
        }
        (due, beds.times.first().map(|(at, _)| *at))
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
    let until = Instant::now() + realm.site.settings.acks.resume;
    for jid in realm.accounts.with_ids(&waiting) {
        let sleepers = &realm.directory.sleepers;
        sleepers.add(SmolStr::new(jid.as_str()), Slumber::since_start(until));
    }
    let news = Arc::clone(&realm.directory.sleepers.news);
    actix_rt::spawn(rouse_in_time(Arc::downgrade(realm), news));
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

/// Starts the Hubs of those for whom nothing came before their sessions' time was over.
async fn rouse_in_time(realm: Weak<Realm>, news: Arc<Notify>) {
    loop {
        let now = Instant::now();
        let next = {
            let Some(realm) = realm.upgrade() else {
                return;
            };
            let (due, next) = realm.directory.sleepers.due(now);
            for jid in due.iter().filter_map(|key| Jid::parse(key).ok()) {
                realm.post(&jid, Mail::Probe(oneshot::channel().0), true);
            }
            next
        };
        match next {
            Some(at) => {
                let at = at.max(now + PAUSE);
                // Over, or somebody comes before.
                let _ = tokio::time::timeout_at(at, news.notified()).await;
            }
            None => news.notified().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::AccountId;

    fn slumber(until: Instant) -> Slumber {
        let session = SessionKey::new(AccountId(1), 1);
        let waiting = Waiting {
            session,
            until,
            sent: Some(3),
        };
        Slumber::of(Box::new([waiting]))
    }

    #[test]
    fn each_is_due_in_his_time_and_again_if_he_does_not_wake() {
        let (sleepers, now) = (Sleepers::default(), Instant::now());
        let later = now + Duration::from_secs(9);
        sleepers.add("bob@test".into(), slumber(later));
        sleepers.add("ann@test".into(), slumber(now));
        assert_eq!(sleepers.due(now), (vec!["ann@test".into()], Some(later)));
        assert_eq!(sleepers.due(now), (vec![], Some(later)));
        let woken = sleepers.wake("bob@test").expect("he sleeps");
        assert_eq!(woken.until(SessionKey::new(AccountId(1), 1)), later);
        assert_eq!(sleepers.due(later).1, Some(now + AGAIN));
        assert_eq!(sleepers.due(now + AGAIN).0, ["ann@test"]);
        assert!(sleepers.wake("ann@test").is_some());
        assert_eq!(sleepers.due(now + AGAIN * 9), (vec![], None));
    }

    #[test]
    fn what_one_life_of_the_server_knew_of_a_session() {
        let (now, key) = (Instant::now(), |id| SessionKey::new(AccountId(1), id));
        let known = slumber(now);
        assert_eq!(known.waiting(key(1)).and_then(|it| it.sent), Some(3));
        assert!(known.waiting(key(2)).is_none());
        let of_before = Slumber::since_start(now);
        assert!(of_before.waiting(key(1)).is_none());
        assert_eq!(of_before.until(key(1)), now);
    }
}
