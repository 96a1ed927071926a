//! A server without sockets for tests: an engine on a store in memory, and clients that reach it
//! through memory as peers of this machine. A world that ends with actors still running fails its
//! test.

pub mod certificates;
mod client;
mod disk;
pub mod dns;
pub mod dns_signing;
pub mod far;
pub mod ledger;

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Once, OnceLock};
use std::time::{Duration, Instant};

use rookery_config::{Plaintext, Settings};
use rookery_protocol::jid::Jid;
use rookery_protocol::reader::StreamKind;
use rookery_protocol::sasl::{Credentials, Password};
use rookery_storage::record::encode;
use rookery_storage::testing::{MemoryShelf, SimulatedDisk};
use rookery_storage::{Direction, Frame, KeyRange, Options, ShelfChoice, Store, Tree};
use rustls::ServerConfig;
use rustls::server::ResolvesServerCertUsingSni;

use certificates::Authority;
pub use client::{Client, attribute};
use disk::SlowDisk;

use crate::accounts::Account;
use crate::effect::Row;
use crate::engine::{Engine, Start};
use crate::extension::List;
use crate::keys::{self, AccountId, Kind, Part, SessionKey};
use crate::link::Roads;
use crate::peer_tls::{Judge, OneForAll, PeerTls, Presented};
use crate::realm::Realm;
use crate::stream::{Arrival, Stream};
use crate::transport::Tls;

/// Nothing that a test waits for may take longer, on the most loaded machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// The domain of all accounts.
pub const DOMAIN: &str = "test";
const PASSWORD: &str = "secret";
/// What a panic that a test wants says, so that it is not shown.
pub const WANTED: &str = "wanted by a test";

/// A running server.
pub struct World {
    engine: Engine,
    /// The disk under it.
    pub disk: SlowDisk,
    shelf: MemoryShelf,
    settings: Settings,
    extensions: List,
    roads: Option<Arc<dyn Roads>>,
}

/// Runs a test in an actix system of its own.
pub fn run(test: impl Future<Output = ()>) {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let shown = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let wanted = panic.payload().downcast_ref::<&str>() == Some(&WANTED);
            if !wanted {
                shown(panic);
            }
        }));
    });
    actix_rt::System::new().block_on(test);
}

/// Settings of a world: two lanes, no waiting for anything.
pub fn settings() -> Settings {
    let mut settings = Settings {
        domains: vec![DOMAIN.to_owned()],
        ..Settings::default()
    };
    // The network of this machine is none of a test's business.
    settings.listen.s2s = vec![];
    settings.listen.s2s_tls = vec![];
    settings.c2s.plaintext = Plaintext::Loopback;
    settings.limits.trusted = vec!["127.0.0.0/8".parse().expect("a network")];
    settings.engine.lanes = 2;
    settings.engine.retire = Duration::from_millis(100);
    settings.accounts.iterations = 1;
    settings
}

/// Opens the store.
fn open(disk: &SlowDisk, shelf: &MemoryShelf) -> Store {
    let options = Options {
        background: false,
        disk: Arc::new(disk.clone()),
        shelf: ShelfChoice::Memory(shelf.clone()),
        ..Options::default()
    };
    Store::open(Path::new("/world"), options).expect("a store in memory opens")
}

impl World {
    /// A server with these accounts.
    pub fn new(users: &[&str], extensions: List) -> World {
        World::with(
            settings(),
            users.iter().map(|it| (*it).to_owned()),
            extensions,
        )
    }

    /// A server with these settings and accounts. The first account has the number 1.
    pub fn with(
        settings: Settings,
        users: impl Iterator<Item = String>,
        extensions: List,
    ) -> World {
        World::reaching(None, settings, users, extensions)
    }

    /// The same of a server that reaches others by these roads.
    pub fn reaching(
        roads: Option<Arc<dyn Roads>>,
        settings: Settings,
        users: impl Iterator<Item = String>,
        extensions: List,
    ) -> World {
        let (disk, shelf) = (SlowDisk::new(SimulatedDisk::new()), MemoryShelf::new());
        let store = open(&disk, &shelf);
        let password = Password::prepare(PASSWORD).expect("a password");
        let credentials = Credentials::derive(&password, [7; 16], 1);
        let mut frame = Frame::new();
        for (number, user) in users.enumerate() {
            let account = Account {
                id: number as u32 + 1,
                credentials: credentials.clone(),
                disabled: false,
                created: 0,
            };
            let row = encode(&account).expect("a row");
            frame.put(Tree::Accounts, format!("{user}@{DOMAIN}"), row);
        }
        store.commit(vec![frame]).expect("a store in memory writes");
        store.close().expect("a store in memory closes");
        drop(store);
        World::start(settings, extensions, roads, disk, shelf)
    }

    fn start(
        settings: Settings,
        extensions: List,
        roads: Option<Arc<dyn Roads>>,
        disk: SlowDisk,
        shelf: MemoryShelf,
    ) -> World {
        let engine = Engine::start(Start {
            settings: settings.clone(),
            store: open(&disk, &shelf),
            extensions,
            components: Vec::new(),
            tls: mute(),
            secret: [0; 32],
            roads: roads.clone(),
            fatal: Arc::new(|reason| panic!("the disk failed: {reason}")),
        });
        World {
            engine: engine.expect("an engine starts"),
            disk,
            shelf,
            settings,
            extensions,
            roads,
        }
    }

    /// What all actors share.
    pub fn realm(&self) -> &Arc<Realm> {
        self.engine.realm()
    }

    /// A connection on which nothing was said yet, with so much room on its way.
    pub fn connect(&self, room: usize) -> Client {
        let (here, there) = tokio::io::duplex(room);
        self.open(Box::new(move || Arrival::Other(Box::new(there))));
        Client::new(here)
    }

    /// A stream over anything.
    pub fn open(&self, arrival: Box<dyn FnOnce() -> Arrival + Send>) {
        let realm = Arc::clone(self.realm());
        let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let pending = realm
            .gate
            .enter(peer, Instant::now())
            .expect("a trusted peer is let in");
        let lane = &self.realm().lanes.all()[0];
        assert!(lane.spawn_fn(move || Stream::open(&realm, arrival(), peer, pending)));
    }

    /// The server of a domain, which has proved that it is.
    pub async fn server(&self, domain: &str) -> Client {
        let (here, there) = tokio::io::duplex(64 * 1024);
        let realm = Arc::clone(self.realm());
        let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let pending = realm.gate.enter(peer, Instant::now());
        let pending = pending.expect("a trusted peer is let in");
        let shown = (peer, Presented::new(&authority().leaf(&[domain]).chain));
        let lane = &self.realm().lanes.all()[0];
        assert!(lane.spawn_fn(move || {
            let arrival = Arrival::Other(Box::new(there));
            Stream::welcome_showing(&realm, arrival, shown, pending);
        }));
        let mut server = Client::of_kind(here, StreamKind::Server);
        server.begin_as(domain).await;
        server
    }

    /// A client that is logged in.
    pub async fn login(&self, user: &str, resource: &str) -> Client {
        let mut client = self.connect(64 * 1024);
        client.login(user, PASSWORD, resource).await;
        client
    }

    /// A client that is logged in and available.
    pub async fn online(&self, user: &str, resource: &str) -> Client {
        let mut client = self.login(user, resource).await;
        client.say("<presence/>").await;
        client
            .hear(&format!("from='{user}@{DOMAIN}/{resource}'"))
            .await;
        client
    }

    /// `ann@test/a` and `bob@test/b`, who is told by ann that she is there.
    pub async fn acquainted(&self) -> (Client, Client) {
        let mut bob = self.online("bob", "b").await;
        let mut ann = self.online("ann", "a").await;
        ann.say("<presence to='bob@test'/>").await;
        bob.hear("from='ann@test/a'").await;
        (ann, bob)
    }

    /// Waits until something is so.
    pub async fn until(&self, what: &str, so: impl Fn(&Realm) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !so(self.realm()) {
            assert!(
                Instant::now() < deadline,
                "never: {what}; {:?}",
                self.realm().status()
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until the Hub of a user has left.
    pub async fn retired(&self, user: &str) {
        let key = format!("{user}@{DOMAIN}");
        self.until("retired", |realm| {
            !realm.directory.keys().iter().any(|it| *it == key)
        })
        .await;
    }

    /// Lets reads fail of what was not written a moment ago, or none any more.
    pub fn spoil_reads(&self, spoil: bool) {
        self.shelf.refuse_reads(spoil);
    }

    /// How many panics were caught.
    pub fn panics(&self) -> u64 {
        self.realm().gauges.panics.load(Ordering::Relaxed)
    }

    /// Rows of an account's sessions.
    pub fn sessions(&self, account: u32) -> Vec<Row> {
        self.range(Tree::Sessions, &keys::everything(AccountId(account)))
    }

    /// Rows of deliveries that an account's sessions have not acknowledged.
    pub fn deliveries(&self, account: u32) -> Vec<Row> {
        let rows = self.sessions(account).into_iter();
        let is_delivery =
            |key: &[u8]| matches!(SessionKey::split(key), Some((_, Part::Unacked, _)));
        rows.filter(|(key, _)| is_delivery(key)).collect()
    }

    /// Stops the server as SIGTERM does, and starts it on the same store. Its clients hear it.
    pub async fn restart(self) -> World {
        let World {
            engine,
            disk,
            shelf,
            settings,
            extensions,
            roads,
        } = self;
        engine.stop().await;
        World::start(settings, extensions, roads, disk, shelf)
    }

    /// Kills the server, and starts another on what is left. Its clients hear nothing of use.
    pub async fn kill(self) -> World {
        let (disk, shelf) = (self.disk.after_kill(), self.shelf.copy());
        let World {
            engine,
            disk: old,
            settings,
            extensions,
            roads,
            ..
        } = self;
        // Nobody sees any more what it does; its threads must end all the same.
        old.go_on();
        engine.stop().await;
        World::start(settings, extensions, roads, disk, shelf)
    }

    /// Rows of a kind of an account.
    pub fn rows(&self, account: u32, kind: Kind) -> Vec<Row> {
        self.range(Tree::Account, &keys::all_of(AccountId(account), kind))
    }

    /// Rows.
    pub fn range(&self, tree: Tree, range: &KeyRange) -> Vec<Row> {
        let store = self.realm().keeper.store();
        store
            .range(tree, range, usize::MAX, Direction::Forward)
            .expect("a store in memory reads")
    }

    /// Ends the world, once every actor has ended by itself: the clients are gone by now.
    pub async fn end(self) {
        let count = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        self.until("all streams, sessions, hubs and links end", |realm| {
            let gauges = &realm.gauges;
            count(&gauges.streams) + count(&gauges.sessions) + count(&gauges.hubs) == 0
                && count(&gauges.links) == 0
        })
        .await;
        self.until("the directory is empty", |realm| {
            realm.directory.census() == (0, 0)
        })
        .await;
        self.stop().await;
    }

    /// Stops the server whoever is there.
    pub async fn stop(self) {
        self.engine.stop().await;
    }
}

/// An address.
pub fn jid(text: &str) -> Jid {
    Jid::parse(text).expect("an address")
}

/// Whom all servers in memory believe.
fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| Authority::root("an authority"))
}

fn mute() -> Arc<Tls> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
    let config = Arc::new(config);
    Arc::new(Tls {
        starttls: Arc::clone(&config),
        direct: config,
        end_point: None,
        peers: Arc::new(
            PeerTls::new(
                Arc::new(OneForAll(None)),
                Arc::new(Judge::new(authority().roots())),
            )
            .expect("TLS"),
        ),
    })
}
