//! Starts the parts of a server in their order, and stops them in the other.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix::prelude::*;
use arc_swap::ArcSwap;
use rookery_config::Settings;
use rookery_protocol::error::{StreamCondition, StreamError};
use rookery_protocol::negotiation::client::{
    Domain, Limits as LoginLimits, Plaintext, Settings as Login,
};
use rookery_protocol::ns;
use rookery_protocol::sasl::{Decoy, Hash, Mechanism};
use rookery_storage::{Frame, Store, StoreError};
use tokio::sync::{Semaphore, watch};
use zeroize::Zeroizing;

use crate::accounts::Accounts;
use crate::components::{Component, Components};
use crate::directory::{Bounds, Directory};
use crate::extension::List;
use crate::gate::Gate;
use crate::hub::{Hub, owed};
use crate::keeper::{Fatal, Keeper, Tell, TellHub};
use crate::lane::{Lanes, Threads};
use crate::link::{Link, Roads};
use crate::listener::{Listener, Port, Socket};
use crate::messages::{Mail, Order};
use crate::owners::Owners;
use crate::peers::{Abroad, Peers};
use crate::realm::{Gauges, HANDSHAKES, Realm};
use crate::receipt::Receipt;
use crate::registry::Registry;
use crate::roll::Roll;
use crate::site::Site;
use crate::sleepers;
use crate::transport::Tls;

/// How long clients have to take their last word when the server stops.
const DRAIN: Duration = Duration::from_secs(if cfg!(test) { 90 } else { 5 });
/// How often draining looks whether all are gone.
const LOOK: Duration = Duration::from_millis(10);

/// What a server is started with.
pub struct Start {
    pub settings: Settings,
    pub store: Store,
    pub extensions: List,
    /// The external components that may connect.
    pub components: Vec<Component>,
    pub tls: Arc<Tls>,
    /// The server's secret: stands behind the salts of accounts that do not exist, and tokens.
    pub secret: [u8; 32],
    /// How other servers are reached, where it is otherwise than by the settings: for tests.
    pub roads: Option<Arc<dyn Roads>>,
    /// Called once if the disk fails: must end the process.
    pub fatal: Fatal,
}

/// A running server.
pub struct Engine {
    realm: Arc<Realm>,
    threads: Threads,
}

impl Engine {
    /// Starts a server without listeners. Must be called within an actix system.
    pub fn start(start: Start) -> Result<Engine, StartError> {
        let Start {
            settings,
            store,
            extensions,
            components,
            tls,
            secret,
            roads,
            fatal,
        } = start;
        let accounts = Accounts::load(&store)?;
        let owners = Owners::load(&store, &accounts)?;
        let count = match settings.engine.lanes {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let (lanes, threads) = Lanes::start(count);
        let (keeper, idle) = Keeper::new(Arc::new(store), settings.storage.readers.max(1));
        let bounds = Bounds {
            stanzas: settings.engine.mailbox_stanzas as u64,
            bytes: settings.engine.mailbox_size.as_u64(),
        };
        let directory = Arc::new(Directory::new(bounds));
        let links = Arc::new(Directory::new(bounds));
        let mut site = Site::new(settings, extensions);
        site.components = Components::new(components);
        let peers = peers(&site, &secret);
        site.notices.load(keeper.store())?;
        site.fence.load(keeper.store())?;
        keeper.start(idle, telling(&directory, &links), fatal)?;
        let realm = Arc::new(Realm {
            login: Arc::new(login(&site, &secret, accounts.lacking())),
            gate: Gate::new(
                site.settings.limits.clone(),
                site.settings.register.per_hour,
            ),
            secret: Zeroizing::new(secret),
            site,
            directory,
            links,
            roads: roads.or_else(|| peers.clone().map(|it| Arc::new(Abroad(it)) as _)),
            peers,
            keeper,
            lanes,
            accounts,
            owners,
            tls: ArcSwap::new(tls),
            handshakes: Arc::new(Semaphore::new(HANDSHAKES)),
            gauges: Gauges::default(),
            roll: Roll::default(),
            births: AtomicU64::new(1),
            bindings: AtomicU32::new(1),
            closing: watch::Sender::new(false),
            told_to_stop: watch::Sender::new(None),
            registry: OnceLock::new(),
            down: Default::default(),
        });
        let registry = Registry::new(Arc::downgrade(&realm)).start();
        realm.registry.get_or_init(|| registry);
        take_up(&realm)?;
        Ok(Engine { realm, threads })
    }

    /// What all parts share: commands, figures, streams of other transports.
    pub fn realm(&self) -> &Arc<Realm> {
        &self.realm
    }

    /// Listens on `address`; answers the address that was really taken (for port 0).
    pub fn listen(&self, address: SocketAddr, port: Port) -> io::Result<SocketAddr> {
        self.realm.listen(address, port)
    }

    /// Stops: nobody new, a last word to all, everything saved, threads ended.
    pub async fn stop(self) {
        let Engine { realm, threads } = self;
        realm.closing.send_replace(true);
        let error = StreamError::new(StreamCondition::SystemShutdown);
        let said = Arc::new(());
        for key in realm.directory.keys() {
            // A Hub that retires meanwhile has no sessions to tell.
            let _ = realm.directory.send(
                &key,
                Mail::Order(Order::Drain((error.clone(), said.clone()))),
            );
        }
        for key in realm.links.keys() {
            let word = (error.clone(), said.clone());
            let _ = realm.links.send(&key, Mail::Order(Order::Drain(word)));
        }
        let gauges = &realm.gauges;
        let left = || [&gauges.streams, &gauges.sessions].map(|it| it.load(Ordering::Relaxed));
        let deadline = tokio::time::Instant::now() + DRAIN;
        let is_done = || left() == [0, 0] && Arc::strong_count(&said) == 1;
        while !is_done() && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(LOOK).await;
        }
        threads.join();
        realm
            .keeper
            .commit(Frame::new(), Receipt::none(), Tell::Nobody);
        realm.keeper.stop();
    }
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the accounts cannot be read: {0}")]
    Store(#[from] StoreError),
    #[error("a thread cannot be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// Goes on with what the server had promised when it ended: sessions that can be resumed, what
/// accounts that are gone still owe, what waits for other servers.
fn take_up(realm: &Arc<Realm>) -> Result<(), StoreError> {
    sleepers::recall(realm)?;
    if let Some(peers) = &realm.peers {
        peers.sessions.load(&realm.keeper)?;
    }
    let (owed, done) = owed::bequests(realm.keeper.store(), realm.site.now())?;
    owed.into_iter().for_each(|it| realm.route(it));
    if !done.is_empty() {
        realm.keeper.commit(done, Receipt::none(), Tell::Nobody);
    }
    realm.rouse_all()
}

/// What it takes to speak with other servers, if this one does.
fn peers(site: &Site, secret: &[u8; 32]) -> Option<Arc<Peers>> {
    let domains = site.all_domains();
    let federates = site.settings.federates();
    federates.then(|| Arc::new(Peers::new(&site.settings, domains, secret)))
}

impl Realm {
    /// Listens on `address`; answers the address that was really taken (for port 0).
    pub fn listen(self: &Arc<Realm>, address: SocketAddr, port: Port) -> io::Result<SocketAddr> {
        let socket = listener(address)?;
        let taken = socket.local_addr()?;
        Listener::begin(self, Arc::new(Socket::Tcp(socket)), port);
        Ok(taken)
    }

    /// Takes components from a socket of this machine.
    pub fn listen_here(self: &Arc<Realm>, socket: UnixListener) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        Listener::begin(self, Arc::new(Socket::Local(socket)), Port::Components);
        Ok(())
    }
}

fn listener(address: SocketAddr) -> std::io::Result<TcpListener> {
    use socket2::{Domain, Type};
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        // IPv4 has a socket of its own.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    Ok(socket.into())
}

/// How Hubs and Links hear of their frames.
fn telling(hubs: &Arc<Directory<Hub>>, links: &Arc<Directory<Link>>) -> TellHub {
    let (hubs, links) = (Arc::clone(hubs), Arc::clone(links));
    Box::new(move |key, ticket, ended| {
        // The name of a Link is no address. Who is gone by now has nobody left who waits.
        let mail = Mail::Committed(ticket, ended);
        let _ = match key.contains(' ') {
            true => links.send(key, mail),
            false => hubs.send(key, mail),
        };
    })
}

/// What client streams are offered, from the settings and the extensions.
fn login(site: &Site, secret: &[u8], upgrades: Vec<Hash>) -> Login {
    let settings = &site.settings;
    let streams = || {
        site.extensions
            .iter()
            .filter_map(|extension| extension.stream)
    };
    let domains = site.domains.iter().map(|name| Domain {
        name: name.clone(),
        early_features: streams().flat_map(|role| role.features(site)).collect(),
        late_features: streams()
            .flat_map(|role| role.features_after_login(name, site))
            .collect(),
    });
    Login {
        domains: domains.collect(),
        plaintext: match settings.c2s.plaintext {
            rookery_config::Plaintext::Never => Plaintext::Never,
            rookery_config::Plaintext::Loopback => Plaintext::Loopback,
        },
        mechanisms: Mechanism::ALL.to_vec(),
        decoy: Arc::new(Decoy::new(secret, settings.accounts.iterations)),
        downgrade_hash: true,
        tokens: settings.clients.remembered > 0,
        bind_features: (site.extensions.iter())
            .flat_map(|extension| extension.bind_features)
            .chain(&[ns::STREAM_MANAGEMENT])
            .map(|it| (*it).into())
            .collect(),
        upgrades,
        early_requests: streams()
            .flat_map(|it| it.namespaces())
            .map(|it| (*it).into())
            .collect(),
        resumption: !settings.acks.resume.is_zero(),
        limits: LoginLimits {
            failures: settings.limits.failures,
            tries: settings.limits.failures * 4,
            elements: 100,
            refused_binds: 8,
            bytes_before_login: settings.limits.before_login.size.get() as u64,
            bytes_after_login: settings.limits.after_login.size.get() as u64,
            idle_seconds: Some(settings.c2s.idle.as_secs() as u32),
        },
    }
}

#[cfg(test)]
mod tests;
