//! What all actors of one server share. No global state: two servers fit in one process.

mod clients;
mod components;
mod orders;
mod servers;
mod users;

pub use orders::After;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use actix::prelude::*;
use arc_swap::ArcSwap;
use parking_lot::RwLock;
use rookery_protocol::jid::Jid;
use rookery_protocol::negotiation::client::Settings as Login;
use smol_str::SmolStr;
use tokio::sync::{Semaphore, oneshot, watch};
use zeroize::Zeroizing;

use crate::accounts::Accounts;
use crate::admin::{Status, Stop};
use crate::directory::Directory;
use crate::gate::Gate;
use crate::hub::Hub;
use crate::keeper::Keeper;
use crate::lane::Lanes;
use crate::link::{Link, Roads};
use crate::messages::Mail;
use crate::owners::Owners;
use crate::peers::Peers;
use crate::registry::Registry;
use crate::roll::Roll;
use crate::site::{Site, VERSION};
use crate::transport::Tls;

/// Handshakes that may run at once: a reconnect storm must leave the lanes to those who are in.
pub const HANDSHAKES: usize = 64;

/// A server's shared parts.
pub struct Realm {
    pub site: Site,
    pub directory: Arc<Directory<Hub>>,
    pub links: Arc<Directory<Link>>,
    /// How other servers are reached; none: they are not.
    pub roads: Option<Arc<dyn Roads>>,
    /// What it takes to speak with other servers, if this one does.
    pub peers: Option<Arc<Peers>>,
    pub keeper: Keeper,
    pub lanes: Lanes,
    pub accounts: Accounts,
    pub owners: Owners,
    pub gate: Arc<Gate>,
    pub tls: ArcSwap<Tls>,
    /// The server's secret: what is derived from it need not be stored.
    pub(crate) secret: Zeroizing<[u8; 32]>,
    /// What client streams are offered.
    pub login: Arc<Login>,
    pub handshakes: Arc<Semaphore>,
    pub gauges: Gauges,
    /// The streams with other servers.
    pub roll: Roll,
    /// Counts the Hubs that were ever started, so that what was meant for a dead one means
    /// nothing to its successor.
    pub(crate) births: AtomicU64,
    /// Counts the sessions that were ever bound: their names within their Hubs.
    pub(crate) bindings: AtomicU32,
    /// Turns true when the server stops.
    pub closing: watch::Sender<bool>,
    /// When an administrator wants it to stop, once one does; who started it obeys.
    pub told_to_stop: watch::Sender<Option<Stop>>,
    pub(crate) registry: OnceLock<Addr<Registry>>,
    /// Hubs that die too often, and until when they stay down.
    pub(crate) down: RwLock<HashMap<SmolStr, Instant>>,
}

/// Counts of the living, and of what went wrong.
#[derive(Default)]
pub struct Gauges {
    pub streams: Arc<AtomicU64>,
    pub sessions: Arc<AtomicU64>,
    pub hubs: Arc<AtomicU64>,
    pub links: Arc<AtomicU64>,
    pub panics: AtomicU64,
    /// Sessions that ended because too much waited for them (`[acks] spill`).
    pub overflows: AtomicU64,
}

impl Realm {
    /// The Registry's address, once it runs.
    pub fn registry(&self) -> Option<Addr<Registry>> {
        self.registry.get().cloned()
    }

    /// Keeps a Hub from being started before `until`.
    pub fn keep_down(&self, key: SmolStr, until: Instant) {
        self.down.write().insert(key, until);
    }

    /// Whether a Hub may not be started now.
    pub fn is_down(&self, key: &str) -> bool {
        if self.down.read().is_empty() {
            return false;
        }
        let now = Instant::now();
        let mut down = self.down.write();
        down.retain(|_, until| *until > now);
        down.contains_key(key)
    }

    /// Whether a probe goes from the router to a Hub and back, and through the disk's queue: for
    /// the watchdog.
    pub async fn alive(self: &Arc<Realm>) -> bool {
        let (answer, answered) = oneshot::channel();
        let Some(domain) = self.site.domains.first() else {
            return true;
        };
        let Ok(domain) = Jid::parse(domain) else {
            return false;
        };
        self.post(&domain, Mail::Probe(answer), true);
        let disk = self.keeper.committed(rookery_storage::Frame::new());
        answered.await.is_ok() && {
            disk.await;
            true
        }
    }

    /// Numbers on the server.
    pub fn status(&self) -> Status {
        let (hubs, stanzas_waiting) = self.directory.census();
        let store = self.keeper.store().stats();
        Status {
            version: VERSION,
            uptime_seconds: self.site.uptime(),
            domains: self.site.domains.iter().map(ToString::to_string).collect(),
            accounts: self.accounts.len() as u64,
            streams: self.gauges.streams.load(Ordering::Relaxed),
            sessions: self.gauges.sessions.load(Ordering::Relaxed),
            hubs,
            links: self.gauges.links.load(Ordering::Relaxed),
            commits_waiting: self.keeper.waiting(),
            stanzas_waiting,
            store_bytes: store.sled_bytes,
            journal_bytes: store.journal_bytes,
            free_bytes: store.free_bytes,
            store_problems: self.keeper.problems(&store),
            panics: self.gauges.panics.load(Ordering::Relaxed),
            overflows: self.gauges.overflows.load(Ordering::Relaxed),
            servers: self.roll.numbers(),
        }
    }
}
