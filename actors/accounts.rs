//! Accounts: which exist, what logs them in, and how they are made and unmade.
//!
//! The names are held in memory, so that a stanza to nobody wakes nothing. Passwords are kept as
//! SCRAM keys only.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::RwLock;
use rookery_protocol::jid::Jid;
use rookery_protocol::sasl::{Credentials, Hash, Password, ScramKeys};
use rookery_storage::record::{Record, decode, encode};
use rookery_storage::{Direction, Frame, KeyRange, Store, StoreError, Tree};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use tokio::sync::{Mutex, MutexGuard, Semaphore};

use crate::admin::Failure;
use crate::effect::{Millis, Query};
use crate::keeper::{Committed, Keeper};
use crate::keys::AccountId;
use crate::lookalike;
use crate::site::random;

/// Key derivations that may run at once; each takes about a millisecond of a core (attacks R21).
const DERIVATIONS: usize = 2;
/// Derivations that may wait; a further one is told to try again.
const DERIVATIONS_WAITING: usize = 64;

/// Locks that changes of accounts share.
const TURNS: usize = 64;

/// The row of an account.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct Account {
    pub id: u32,
    pub credentials: Credentials,
    pub disabled: bool,
    /// In milliseconds since 1970.
    pub created: Millis,
}

impl Record for Account {
    const VERSION: u8 = 1;
}

#[derive(Clone, Copy)]
struct Known {
    id: AccountId,
    disabled: bool,
}

/// Who makes an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Maker {
    /// An administrator: any name that is free.
    Operator,
    /// Somebody whom nobody knows: no name that looks like another's.
    Stranger,
}

/// The names that are taken.
#[derive(Default)]
struct Names {
    known: HashMap<SmolStr, Known, ahash::RandomState>,
    /// How many names look like this: by a hash of the skeleton, of which a false match costs a
    /// newcomer nothing but a name.
    looks: HashMap<u64, u32, ahash::RandomState>,
}

impl Names {
    fn insert(&mut self, name: SmolStr, known: Known) {
        let look = self.look(&name);
        if self.known.insert(name, known).is_none() {
            *self.looks.entry(look).or_default() += 1;
        }
    }

    fn remove(&mut self, name: &str) {
        let look = self.look(name);
        if self.known.remove(name).is_some()
            && let Entry::Occupied(mut count) = self.looks.entry(look)
        {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    fn look(&self, name: &str) -> u64 {
        let (local, domain) = name.split_once('@').unwrap_or((name, ""));
        self.looks
            .hasher()
            .hash_one((lookalike::skeleton(local), domain))
    }

    /// Whether a newcomer could be taken for somebody who is here.
    fn looks_known(&self, name: &str) -> bool {
        self.looks.contains_key(&self.look(name))
    }
}

/// All accounts of a server.
pub struct Accounts {
    names: RwLock<Names>,
    hasher: ahash::RandomState,
    /// The next number. Held while what gives one away is handed to the disk: the numbers of the
    /// rows that say which is next must grow as they are written.
    next: parking_lot::Mutex<u32>,
    /// Keys that some account lacked at the start.
    lacking: Vec<Hash>,
    /// Places for derivations that run or wait, and for those that run.
    places: Semaphore,
    running: Arc<Semaphore>,
    /// By account: see [`Accounts::turn`].
    turns: [Mutex<()>; TURNS],
}

const NEXT: &[u8] = b"next-account";

impl Accounts {
    /// Reads which accounts there are.
    pub fn load(store: &Store) -> Result<Accounts, StoreError> {
        let (mut names, mut lacking) = (Names::default(), Vec::new());
        let mut next = match store.get(Tree::Meta, NEXT)? {
            Some(bytes) => bytes.try_into().map(u32::from_be_bytes).unwrap_or(1),
            None => 1,
        };
        for (key, value) in store.range(
            Tree::Accounts,
            &KeyRange::all(),
            usize::MAX,
            Direction::Forward,
        )? {
            let Ok(name) = String::from_utf8(key) else {
                continue;
            };
            let account = decode::<Account>(&value)?;
            next = next.max(account.id + 1);
            let lacks = |hash: &Hash| account.credentials.keys(*hash).is_none();
            let new = |hash: &Hash| lacks(hash) && !lacking.contains(hash);
            let found: Vec<Hash> = [Hash::Sha256, Hash::Sha1].into_iter().filter(new).collect();
            lacking.extend(found);
            let id = AccountId(account.id);
            names.insert(
                SmolStr::new(name),
                Known {
                    id,
                    disabled: account.disabled,
                },
            );
        }
        Ok(Accounts {
            names: RwLock::new(names),
            hasher: ahash::RandomState::new(),
            next: parking_lot::Mutex::new(next),
            lacking,
            places: Semaphore::new(DERIVATIONS + DERIVATIONS_WAITING),
            running: Arc::new(Semaphore::new(DERIVATIONS)),
            turns: std::array::from_fn(|_| Mutex::new(())),
        })
    }

    /// The number of the account of a bare JID, if there is one.
    pub fn id(&self, bare: &str) -> Option<AccountId> {
        self.names.read().known.get(bare).map(|known| known.id)
    }

    /// The keys that some account lacked when the server started: its clients are asked for them,
    /// and which account it is tells nobody (XEP-0480).
    pub fn lacking(&self) -> Vec<Hash> {
        self.lacking.clone()
    }

    /// The bare JIDs of the accounts with these numbers.
    pub fn with_ids(&self, ids: &HashSet<AccountId>) -> Vec<Jid> {
        let names = self.names.read();
        let known = names.known.iter();
        known
            .filter(|(_, known)| ids.contains(&known.id))
            .filter_map(|(name, _)| Jid::parse(name).ok())
            .collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.names.read().known.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row of an account: [`Failure::Absent`] where there is none, [`Failure::Store`] where the
    /// disk would not give it, which is no word on whether it exists.
    pub async fn row(&self, keeper: &Keeper, bare: &str) -> Result<Account, Failure> {
        // The read is made for names that do not exist too: it must take the same time.
        let key = bare.as_bytes().to_vec();
        let rows = keeper.rows(vec![Query::Get(Tree::Accounts, key)]).await;
        let rows = rows.ok_or_else(unread)?;
        let (_, value) = rows.first().ok_or(Failure::Absent)?;
        decode(value).map_err(|problem| Failure::Store(problem.to_string()))
    }

    /// Writes what `make` makes of a number that nobody has had, and that this one is used. What
    /// was made is begun to be written when this answers; what it answers waits for the disk.
    pub fn allocate<F: FnOnce(AccountId) -> Result<Frame, Failure>>(
        &self,
        keeper: &Keeper,
        make: F,
    ) -> Result<(AccountId, impl Future<Output = Committed> + use<F>), Failure> {
        let mut next = self.next.lock();
        let id = *next;
        let mut frame = make(AccountId(id))?;
        *next = id + 1;
        frame.put(Tree::Meta, NEXT, next.to_be_bytes());
        Ok((AccountId(id), keeper.committed(frame)))
    }

    /// A number that nobody has had while this server runs. Whoever writes rows under it writes
    /// down that it is his.
    pub fn lend(&self) -> AccountId {
        let mut next = self.next.lock();
        *next += 1;
        AccountId(*next - 1)
    }

    /// Keeps a number from being given away again.
    pub fn reserve(&self, id: AccountId) {
        let mut next = self.next.lock();
        *next = (*next).max(id.0 + 1);
    }

    /// Runs a key derivation off the lanes; `None`: too many wait already.
    pub async fn derive<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let _place = self.places.try_acquire().ok()?;
        let turn = Arc::clone(&self.running).acquire_owned().await.ok()?;
        let work = move || {
            // Held by the work itself: whoever asked may be gone before it is done.
            let _turn = turn;
            work()
        };
        tokio::task::spawn_blocking(work).await.ok()
    }

    /// Waits until the earlier changes of this account are done: a change reads the row and writes
    /// it later, so of two passwords the last must stay, and no account may come back that was
    /// removed meanwhile.
    pub async fn turn(&self, jid: &Jid) -> MutexGuard<'_, ()> {
        let index = self.hasher.hash_one(jid.as_str()) as usize % TURNS;
        self.turns[index].lock().await
    }

    /// Makes an account.
    pub async fn add(
        &self,
        keeper: &Keeper,
        jid: &Jid,
        password: Password,
        iterations: u32,
        now: Millis,
        maker: Maker,
    ) -> Result<(), Failure> {
        let name = SmolStr::new(jid.as_str());
        if self.id(&name).is_some() {
            return Err(Failure::Exists);
        }
        let credentials = self.keys(password, iterations).await?;
        let (_, stored) = self.allocate(keeper, |id| {
            self.enter(&name, id, maker)?;
            let account = Account {
                id: id.0,
                credentials,
                disabled: false,
                created: now,
            };
            row(jid, &account).inspect_err(|_| self.forget(jid))
        })?;
        let stored = ended(stored.await);
        if stored.is_err() {
            self.forget(jid);
        }
        stored
    }

    /// Takes a name. Of two that ask for one at once, the first has it.
    fn enter(&self, name: &SmolStr, id: AccountId, maker: Maker) -> Result<(), Failure> {
        let mut names = self.names.write();
        if names.known.contains_key(name) {
            return Err(Failure::Exists);
        }
        if maker == Maker::Stranger && names.looks_known(name) {
            return Err(Failure::Name("it looks like another's".to_owned()));
        }
        let disabled = false;
        names.insert(name.clone(), Known { id, disabled });
        Ok(())
    }

    /// Changes an account's password, and writes the rows in `also` with it. The caller has the
    /// account's turn.
    pub async fn set_password(
        &self,
        keeper: &Keeper,
        jid: &Jid,
        password: Password,
        iterations: u32,
        also: Frame,
    ) -> Result<(), Failure> {
        let credentials = self.keys(password, iterations).await?;
        let account = self.row(keeper, jid.as_str()).await?;
        let changed = Account {
            credentials,
            ..account
        };
        let mut frame = row(jid, &changed)?;
        frame.append(also);
        stored(keeper, frame).await
    }

    /// Completes an account's keys.
    pub async fn complete(
        &self,
        keeper: &Keeper,
        jid: &Jid,
        hash: Hash,
        keys: ScramKeys,
    ) -> Result<(), Failure> {
        let _turn = self.turn(jid).await;
        let mut account = self.row(keeper, jid.as_str()).await?;
        let others = [Hash::Sha256, Hash::Sha1].into_iter();
        let mut others = others.filter_map(|hash| account.credentials.keys(hash));
        // The password was changed meanwhile: these are of the old one.
        if account.credentials.keys(hash).is_some() || !others.any(|it| it.salt == keys.salt) {
            return Err(Failure::Busy);
        }
        account.credentials.set_keys(hash, keys);
        stored(keeper, row(jid, &account)?).await
    }

    /// Lets an account log in, or not; the rest as in [`Accounts::set_password`].
    pub async fn set_disabled(
        &self,
        keeper: &Keeper,
        jid: &Jid,
        disabled: bool,
        also: Frame,
    ) -> Result<(), Failure> {
        let account = self.row(keeper, jid.as_str()).await?;
        let changed = Account {
            disabled,
            ..account
        };
        let mut frame = row(jid, &changed)?;
        frame.append(also);
        stored(keeper, frame).await?;
        if let Some(known) = self.names.write().known.get_mut(jid.as_str()) {
            known.disabled = disabled;
        }
        Ok(())
    }

    /// The account's rows are gone: so is its name.
    pub fn forget(&self, jid: &Jid) {
        self.names.write().remove(jid.as_str());
    }

    async fn keys(&self, password: Password, iterations: u32) -> Result<Credentials, Failure> {
        let salt = random();
        self.derive(move || Credentials::derive(&password, salt, iterations))
            .await
            .ok_or(Failure::Busy)
    }
}

fn row(jid: &Jid, account: &Account) -> Result<Frame, Failure> {
    let value = encode(account).map_err(|problem| Failure::Store(problem.to_string()))?;
    let mut frame = Frame::new();
    frame.put(Tree::Accounts, jid.as_str().as_bytes(), value);
    Ok(frame)
}

/// The disk does not give what it should have.
pub fn unread() -> Failure {
    Failure::Store("it cannot be read".to_owned())
}

async fn stored(keeper: &Keeper, frame: Frame) -> Result<(), Failure> {
    ended(keeper.committed(frame).await)
}

fn ended(committed: Committed) -> Result<(), Failure> {
    match committed {
        Committed::Durable => Ok(()),
        Committed::Refused => Err(Failure::Store("the disk is full".to_owned())),
    }
}

#[cfg(test)]
mod tests;
