//! Who is alive: a sharded map from bare JID or domain to the mailbox of its Hub, and another of
//! the same kind from remote domain to the mailbox of its Link.
//!
//! A stanza is sent through the borrowed address while its shard is guarded, so that nobody else
//! keeps a Hub's address. The entry counts what was sent and the Hub what it handled: over the
//! bound the sender is refused, and only where both are equal may a Hub retire, so nothing is ever
//! sent to a Hub that has left.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use actix::dev::channel::{AddressReceiver, channel};
use actix::prelude::*;
use parking_lot::RwLock;
use smol_str::SmolStr;
use tokio::sync::oneshot;

use crate::keeper::Committed;
use crate::messages::Mail;
use crate::sleepers::{Sleepers, Slumber};

const SHARDS: usize = 64;

/// An actor that a directory holds: a Hub, or a Link.
pub trait Resident: Actor<Context = Context<Self>> + Handler<Mail> {
    /// What one that dies leaves to its successor.
    type Estate: Send;
}

/// What the successor of one that died finds.
pub struct Heritage<E> {
    /// Comes while the dead one is dropped, if it leaves anything.
    pub estate: oneshot::Receiver<Box<E>>,
    /// The counters of the dead one.
    pub load: Arc<Load>,
}

/// What a Hub may have before it unhandled; more is refused with `resource-constraint`.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub stanzas: u64,
    pub bytes: u64,
}

/// What was sent to a Hub and what it has handled.
#[derive(Default, Debug)]
pub struct Load {
    sent: AtomicU64,
    sent_bytes: AtomicU64,
    handled: AtomicU64,
    handled_bytes: AtomicU64,
    /// The Hub died and left its sessions to a successor.
    left: AtomicBool,
    /// A commit was refused that the Hub has not heard of.
    refused: AtomicBool,
}

impl Load {
    /// The Hub handled one mail of this weight.
    pub fn handled(&self, bytes: usize) {
        self.handled_bytes.fetch_add(bytes as u64, Ordering::AcqRel);
        self.handled.fetch_add(1, Ordering::AcqRel);
    }

    /// Mail that waits.
    pub fn waiting(&self) -> u64 {
        let handled = self.handled.load(Ordering::Acquire);
        self.sent.load(Ordering::Acquire).saturating_sub(handled)
    }

    /// The Hub dies and leaves something.
    pub fn leave(&self) {
        self.left.store(true, Ordering::Release);
    }

    /// Whether a commit was refused of which the Hub has not heard.
    pub fn was_refused(&self) -> bool {
        self.refused.load(Ordering::Acquire)
    }

    /// The Hub has heard of it.
    pub fn forget_refusal(&self) {
        self.refused.store(false, Ordering::Release);
    }

    fn over(&self, bounds: Bounds) -> bool {
        let handled = self.handled_bytes.load(Ordering::Acquire);
        let sent = self.sent_bytes.load(Ordering::Acquire);
        self.waiting() >= bounds.stanzas || sent.saturating_sub(handled) >= bounds.bytes
    }

    fn sending(&self, bytes: usize) {
        self.sent_bytes.fetch_add(bytes as u64, Ordering::AcqRel);
        self.sent.fetch_add(1, Ordering::AcqRel);
    }
}

struct Entry<A: Resident> {
    address: Addr<A>,
    load: Arc<Load>,
    /// Of what the Hub leaves, should it die.
    estate: oneshot::Receiver<Box<A::Estate>>,
}

/// Why mail came back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Returned {
    /// There is no such Hub alive.
    Absent,
    /// Nor is there, but its account [sleeps](crate::sleepers) and may be woken.
    Asleep,
    /// It died, and its sessions wait for a successor.
    Dead,
    /// Too much waits before it already.
    Full,
}

/// The mailbox of a Hub that is to be started, and its counters.
pub struct Birth<A: Resident> {
    pub mailbox: AddressReceiver<A>,
    pub load: Arc<Load>,
    /// Its predecessor died.
    pub heritage: Option<Heritage<A::Estate>>,
    /// For what it leaves, should it die.
    pub will: oneshot::Sender<Box<A::Estate>>,
    /// Its account slept.
    pub slumber: Option<Slumber>,
}

type Shard<A> = HashMap<SmolStr, Entry<A>, ahash::RandomState>;

/// All living Hubs of a server, or all its Links.
pub struct Directory<A: Resident> {
    shards: Vec<RwLock<Shard<A>>>,
    hasher: ahash::RandomState,
    bounds: Bounds,
    /// Accounts that have no Hub, although they are not away.
    pub sleepers: Sleepers,
}

impl<A: Resident> Directory<A> {
    /// A directory without Hubs.
    pub fn new(bounds: Bounds) -> Directory<A> {
        let hasher = ahash::RandomState::new();
        let shard = || RwLock::new(HashMap::with_hasher(hasher.clone()));
        Directory {
            shards: (0..SHARDS).map(|_| shard()).collect(),
            hasher: hasher.clone(),
            bounds,
            sleepers: Sleepers::default(),
        }
    }

    /// Sends to a living Hub, or gives the mail back.
    pub fn send(&self, key: &str, mail: Mail) -> Result<(), (Mail, Returned)> {
        let shard = self.shard(key).read();
        match shard.get(key) {
            Some(entry) => entry.send(mail, self.bounds),
            None if self.sleepers.has(key) => Err((mail, Returned::Asleep)),
            None => Err((mail, Returned::Absent)),
        }
    }

    /// Sends to a Hub; where none is alive `start` is given a mailbox, in which the mail already
    /// lies.
    pub fn send_or_start(
        &self,
        key: &str,
        mail: Mail,
        start: impl FnOnce(Birth<A>),
    ) -> Result<(), (Mail, Returned)> {
        let mail = match self.send(key, mail) {
            Err((mail, Returned::Absent | Returned::Asleep | Returned::Dead)) => mail,
            sent => return sent,
        };
        let mut shard = self.shard(key).write();
        if let Some(entry) = shard.get(key)
            && entry.address.connected()
        {
            return entry.send(mail, self.bounds);
        }
        let mut birth = enter(&mut shard, key);
        birth.slumber = self.sleepers.wake(key);
        let sent = shard[key].send(mail, self.bounds);
        drop(shard);
        start(birth);
        sent
    }

    /// Starts the successor of a Hub that died and left sessions; `false`: it left none, or another
    /// has begun. Its mailbox may not even be closed yet.
    pub fn succeed(&self, key: &str, load: &Arc<Load>, start: impl FnOnce(Birth<A>)) -> bool {
        let mut shard = self.shard(key).write();
        let is_orphaned = |entry: &Entry<A>| Arc::ptr_eq(&entry.load, load) && entry.is_orphaned();
        if !shard.get(key).is_some_and(is_orphaned) {
            return false;
        }
        let birth = enter(&mut shard, key);
        drop(shard);
        start(birth);
        true
    }

    /// Takes a Hub out, if nothing was sent to it that it has not handled. Then it has nothing left
    /// to hear.
    pub fn retire(&self, key: &str, load: &Arc<Load>) -> bool {
        leave(&mut self.shard(key).write(), key, load)
    }

    /// The same, and its account sleeps from that moment on; gives back how, if it does not.
    pub fn lay_down(&self, key: &str, load: &Arc<Load>, slumber: Slumber) -> Result<(), Slumber> {
        let mut shard = self.shard(key).write();
        if !leave(&mut shard, key, load) {
            return Err(slumber);
        }
        self.sleepers.add(SmolStr::new(key), slumber);
        Ok(())
    }

    /// Takes out a Hub that died.
    pub fn bury(&self, key: &str, load: &Arc<Load>) {
        let mut shard = self.shard(key).write();
        if shard
            .get(key)
            .is_some_and(|entry| Arc::ptr_eq(&entry.load, load))
        {
            let dead = shard.remove(key);
            drop(shard);
            // Sessions that nobody took over end with it.
            drop(dead);
        }
    }

    /// How many Hubs are alive, and how much mail waits for them.
    pub fn census(&self) -> (u64, u64) {
        let mut census = (0, 0);
        for shard in &self.shards {
            let shard = shard.read();
            census.0 += shard.len() as u64;
            census.1 += shard
                .values()
                .map(|entry| entry.load.waiting())
                .sum::<u64>();
        }
        census
    }

    /// The keys of all living Hubs: for draining and announcements.
    pub fn keys(&self) -> Vec<SmolStr> {
        self.shards
            .iter()
            .flat_map(|shard| shard.read().keys().cloned().collect::<Vec<_>>())
            .collect()
    }

    fn shard(&self, key: &str) -> &RwLock<Shard<A>> {
        &self.shards[self.hasher.hash_one(key) as usize % SHARDS]
    }
}

/// Takes out a Hub to which nothing was sent that it has not handled.
fn leave<A: Resident>(shard: &mut Shard<A>, key: &str, load: &Arc<Load>) -> bool {
    let is_idle = |entry: &Entry<A>| Arc::ptr_eq(&entry.load, load) && load.waiting() == 0;
    let idle = shard.get(key).is_some_and(is_idle);
    if idle {
        shard.remove(key);
    }
    idle
}

/// Puts in the entry of a Hub that is to be started.
fn enter<A: Resident>(shard: &mut Shard<A>, key: &str) -> Birth<A> {
    let (sender, mailbox) = channel(0);
    let (will, estate) = oneshot::channel();
    let load = Arc::new(Load::default());
    let entry = Entry {
        address: Addr::new(sender),
        load: Arc::clone(&load),
        estate,
    };
    let dead = shard.insert(SmolStr::new(key), entry);
    Birth {
        mailbox,
        load,
        heritage: dead.map(|dead| Heritage {
            estate: dead.estate,
            load: dead.load,
        }),
        will,
        slumber: None,
    }
}

impl<A: Resident> Entry<A> {
    /// A closed mailbox gives the mail back, receipt and all.
    fn send(&self, mail: Mail, bounds: Bounds) -> Result<(), (Mail, Returned)> {
        let counted = mail.weight();
        if counted.is_some() && self.load.over(bounds) {
            return Err((mail, Returned::Full));
        }
        // Every mail is counted, so that a Hub retires only when it has heard all.
        self.load.sending(counted.unwrap_or(0));
        if let Mail::Committed(_, Committed::Refused) = mail {
            self.load.refused.store(true, Ordering::Release);
        }
        self.address.try_send(mail).map_err(|back| {
            self.load.handled(counted.unwrap_or(0));
            let why = match self.is_orphaned() {
                true => Returned::Dead,
                false => Returned::Absent,
            };
            (back.into_inner(), why)
        })
    }

    fn is_orphaned(&self) -> bool {
        self.load.left.load(Ordering::Acquire)
    }
}
