//! Every setting with its meaning and its default.

use crate::quantity::{Size, span};
use crate::reading::{list, path_or_empty};
use crate::section::section;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

mod components;
mod contact;
mod dns;
mod federation;
mod machinery;
mod mobile;
mod outbox;
mod rooms;

pub use components::Component;
pub use contact::Contact;
pub use dns::{Anchor, Dns, NameServer, Place};
pub use federation::{Policy, S2s};
pub use machinery::{Engine, Storage};
pub use mobile::{Acks, ClientState, Clients, Push};
pub use outbox::Outbox;
pub use rooms::{RoomTemplate, Rooms};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

section! {
    /// All settings of one server.
    pub struct Settings {
        /// The domains this server is responsible for, prepared by RFC 7622 §3.2 (lower case,
        /// no dot at the end). Needed for serving.
        #[serde(deserialize_with = "list")]
        pub domains: Vec<String> = vec![],
        /// The folder that holds everything the server remembers; 0700.
        pub data: PathBuf = "data".into(),
        /// Bare addresses that may use service administration (XEP-0133).
        #[serde(deserialize_with = "list")]
        pub admins: Vec<String> = vec![],
        /// Where the server listens.
        pub listen: Listen = Listen::default(),
        /// The certificate.
        pub tls: Tls = Tls::default(),
        /// Streams and sessions of clients.
        pub c2s: C2s = C2s::default(),
        /// What waits for one other server.
        pub outbox: Outbox = Outbox::default(),
        /// How other servers are found.
        pub dns: Dns = Dns::default(),
        /// Connections with other servers.
        pub s2s: S2s = S2s::default(),
        /// Registration in band (XEP-0077).
        pub register: Register = Register::default(),
        /// What one peer may send, how fast, and how long it may take.
        pub limits: Limits = Limits::default(),
        /// Accounts and passwords.
        pub accounts: Accounts = Accounts::default(),
        /// The clients of an account.
        pub clients: Clients = Clients::default(),
        /// Clients whose users do not look at them (XEP-0352).
        pub client_state: ClientState = ClientState::default(),
        /// Push notifications (XEP-0357).
        pub push: Push = Push::default(),
        /// Stream management (XEP-0198).
        pub acks: Acks = Acks::default(),
        /// Contact lists.
        pub roster: Roster = Roster::default(),
        /// Messages kept for those who are away (XEP-0160).
        pub offline: Offline = Offline::default(),
        /// Messages that are kept.
        pub archive: Archive = Archive::default(),
        /// The block list (XEP-0191).
        pub blocking: Blocking = Blocking::default(),
        /// Private XML storage (XEP-0049).
        pub private: Private = Private::default(),
        /// The vCard (XEP-0054).
        pub vcard: Vcard = Vcard::default(),
        /// Personal eventing and publish-subscribe (XEP-0163, XEP-0060).
        pub pubsub: Pubsub = Pubsub::default(),
        /// Group chat.
        pub rooms: Rooms = Rooms::default(),
        /// External components (XEP-0114) by their domains, besides those that
        /// `rookery component add` made.
        pub components: BTreeMap<String, Component> = BTreeMap::new(),
        /// Whom to write to about this server (XEP-0157).
        pub contact: Contact = Contact::default(),
        /// The disk.
        pub storage: Storage = Storage::default(),
        /// The machinery inside.
        pub engine: Engine = Engine::default(),
    }
}

section! {
    /// Addresses to listen on, one list a protocol; an empty list switches it off. A default
    /// that names `[::]` is for IPv6 alone and is passed over where there is none.
    pub struct Listen {
        /// Clients, TCP with STARTTLS (RFC 6120 §5).
        #[serde(deserialize_with = "list")]
        pub c2s: Vec<SocketAddr> = everywhere(5222),
        /// Clients, direct TLS (XEP-0368).
        #[serde(deserialize_with = "list")]
        pub c2s_tls: Vec<SocketAddr> = everywhere(5223),
        /// Other servers, TCP with STARTTLS.
        #[serde(deserialize_with = "list")]
        pub s2s: Vec<SocketAddr> = everywhere(5269),
        /// Other servers, direct TLS.
        #[serde(deserialize_with = "list")]
        pub s2s_tls: Vec<SocketAddr> = everywhere(5270),
        /// HTTP.
        #[serde(deserialize_with = "list")]
        pub http: Vec<SocketAddr> = vec![],
        /// HTTPS.
        #[serde(deserialize_with = "list")]
        pub http_tls: Vec<SocketAddr> = vec![],
        /// External components (XEP-0114), once there are any.
        #[serde(deserialize_with = "list")]
        pub component: Vec<SocketAddr> = loopback(5347),
        /// External components, direct TLS, once there are any.
        #[serde(deserialize_with = "list")]
        pub component_tls: Vec<SocketAddr> = vec![],
    }
}

section! {
    /// The certificate: a PEM pair, or nothing for a self-signed one kept in the data folder.
    pub struct Tls {
        /// PEM file: the certificate of the server first, then its issuers. Empty: self-signed.
        #[serde(with = "path_or_empty")]
        pub certificate: Option<PathBuf> = None,
        /// PEM file with the private key.
        #[serde(with = "path_or_empty")]
        pub key: Option<PathBuf> = None,
    }
}

/// Where a client may log in without TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum Plaintext {
    /// Nowhere: TLS first (RFC 7590 §3).
    Never,
    /// From this machine only.
    Loopback,
}

impl TryFrom<String> for Plaintext {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "never" => Ok(Plaintext::Never),
            "loopback" => Ok(Plaintext::Loopback),
            _ => Err(format!("{text:?} is neither \"never\" nor \"loopback\"")),
        }
    }
}

impl Plaintext {
    /// Whether a peer at this address may log in without TLS.
    pub fn allows(self, peer: IpAddr) -> bool {
        self == Plaintext::Loopback && peer.to_canonical().is_loopback()
    }
}

section! {
    /// Streams and sessions of clients.
    pub struct C2s {
        /// Where a client may log in without TLS.
        pub plaintext: Plaintext = Plaintext::Never,
        /// Connected sessions of one account.
        pub sessions: usize = 10,
        /// Sessions of one account that wait for their clients to come back; over it the oldest
        /// ends.
        pub hibernating: usize = 10,
        /// Silence after which the server pings.
        #[serde(with = "span")]
        pub idle: Duration = 5 * MINUTE,
        /// Further silence after which the connection is closed.
        #[serde(with = "span")]
        pub ping_timeout: Duration = 60 * SECOND,
        /// Bytes that may wait for a slow reader.
        pub send_buffer: Size = Size::mib(1),
        /// How long a reader may take nothing while something waits.
        #[serde(with = "span")]
        pub send_timeout: Duration = 30 * SECOND,
        /// Stanzas of one stream not yet taken care of; at this number it is not read.
        pub unsettled_stanzas: usize = 64,
        /// Bytes of one stream not yet taken care of; at this size it is not read.
        pub unsettled_size: Size = Size::mib(1),
    }
}

section! {
    /// Registration in band (XEP-0077).
    pub struct Register {
        /// Whether anybody may make an account.
        pub open: bool = false,
        /// Accounts an hour from one IPv4 address or IPv6 /64; 0 for as many as they like.
        pub per_hour: u32 = 3,
    }
}

section! {
    /// The size of one stanza, or of one element before login.
    pub struct Shape {
        /// Bytes as sent.
        pub size: Size = Size::bytes(262_144),
        /// Elements, all together.
        pub elements: usize = 4_096,
        /// Elements inside one another.
        pub depth: usize = 64,
        /// Attributes of one element.
        pub attributes: usize = 64,
        /// Namespaces declared by one element.
        pub namespaces: usize = 16,
        /// Bytes of a name.
        pub name: Size = Size::bytes(256),
    }
}

section! {
    /// What one peer may send, how fast, and how long it may take.
    pub struct Limits {
        /// Networks free of *rate* limits; sizes hold for all.
        #[serde(deserialize_with = "list")]
        pub trusted: Vec<IpNet> = vec![],
        /// Before login.
        pub before_login: Shape = Shape {
            size: Size::bytes(10_240),
            elements: 64,
            depth: 8,
            attributes: 32,
            ..Shape::default()
        },
        /// After login; its size is announced (XEP-0478).
        pub after_login: Shape = Shape::default(),
        /// Bytes a second of one stream; over it reading pauses.
        pub rate: Size = Size::kib(32),
        /// Bytes a stream may send at once after silence.
        pub burst: Size = Size::kib(512),
        /// Stanzas a second of one stream; over it reading pauses.
        pub stanza_rate: u32 = 50,
        /// Stanzas a stream may send at once after silence.
        pub stanza_burst: u32 = 400,
        /// Messages and subscription requests a minute to strangers.
        pub strangers_per_minute: u32 = 50,
        /// New connections a second from one IPv4 address or IPv6 /64.
        pub connection_rate: u32 = 10,
        /// New connections at once from one IPv4 address or IPv6 /64.
        pub connection_burst: u32 = 50,
        /// New connections a second from everywhere.
        pub connection_rate_total: u32 = 200,
        /// Connections not logged in, from everywhere.
        pub pending: usize = 1_024,
        /// Connections not logged in, from one IPv4 address or IPv6 /64.
        pub pending_per_address: usize = 100,
        /// How long a TLS handshake may take.
        #[serde(with = "span")]
        pub handshake: Duration = 15 * SECOND,
        /// From connecting to TLS.
        #[serde(with = "span")]
        pub until_tls: Duration = 30 * SECOND,
        /// From connecting to a bound resource.
        #[serde(with = "span")]
        pub until_bind: Duration = 60 * SECOND,
        /// The same once a registration form was fetched.
        #[serde(with = "span")]
        pub until_registered: Duration = 10 * MINUTE,
        /// Wrong passwords on one stream; the next closes it (RFC 6120 §6.4.5).
        pub failures: u32 = 3,
        /// Wrong passwords from one IPv4 address or IPv6 /64 within `failure_window`.
        pub failures_per_address: u32 = 20,
        /// See `failures_per_address`.
        #[serde(with = "span")]
        pub failure_window: Duration = 10 * MINUTE,
        /// How long such an address waits.
        #[serde(with = "span")]
        pub failure_delay: Duration = 10 * MINUTE,
    }
}

section! {
    /// Accounts and passwords.
    pub struct Accounts {
        /// PBKDF2 rounds of a new password (RFC 7677 §4: at least 4,096).
        pub iterations: u32 = 10_000,
    }
}

section! {
    /// Contact lists.
    pub struct Roster {
        /// Contacts of one account.
        pub items: usize = 2_000,
        /// Groups of one contact.
        pub groups: usize = 32,
        /// Bytes of a contact's or a group's name.
        pub name: Size = Size::kib(1),
    }
}

section! {
    /// Messages kept for those who are away (XEP-0160); half of both bounds is for contacts.
    pub struct Offline {
        /// Messages of one account.
        pub messages: usize = 1_000,
        /// Their bytes.
        pub size: Size = Size::mib(10),
        /// How long they are kept.
        #[serde(with = "span")]
        pub keep: Duration = 30 * DAY,
    }
}

section! {
    /// Messages that are kept for their owner; the oldest go first (XEP-0313 §3.2).
    pub struct Archive {
        /// Messages of one account.
        pub messages: u64 = 200_000,
        /// Their bytes.
        pub size: Size = Size::mib(500),
        /// How long they are kept.
        #[serde(with = "span")]
        pub keep: Duration = 365 * DAY,
    }
}

section! {
    /// The block list (XEP-0191).
    pub struct Blocking {
        /// Addresses one account may block.
        pub items: usize = 1_000,
    }
}

section! {
    /// Private XML storage (XEP-0049).
    pub struct Private {
        /// Bytes of one element.
        pub item: Size = Size::kib(64),
        /// Bytes of all elements of one account.
        pub total: Size = Size::mib(1),
    }
}

section! {
    /// The vCard (XEP-0054).
    pub struct Vcard {
        /// Bytes of one vCard.
        pub size: Size = Size::kib(128),
    }
}

section! {
    /// Personal eventing and publish-subscribe (XEP-0163, XEP-0060).
    pub struct Pubsub {
        /// Nodes of one account.
        pub nodes: usize = 500,
        /// Items of one node; what `max` stands for.
        pub items: u32 = 10_000,
        /// Bytes of one item.
        pub item: Size = Size::kib(128),
        /// Bytes of all items of one account, or of one node of the service.
        pub total: Size = Size::mib(5),
        /// Subscriptions to one node, and affiliations with it.
        pub people: usize = 1_000,
        /// Items one account may publish at once.
        pub burst: u32 = 200,
        /// Items a second one account may publish after that.
        pub rate: u32 = 5,
        /// The service for all users.
        pub service: PubsubService = PubsubService::default(),
    }
}

section! {
    /// The publish-subscribe service beside the accounts' own (XEP-0060).
    pub struct PubsubService {
        /// The service's host below each domain: `pubsub` for `pubsub.example.org`. Empty: none.
        pub host: String = "pubsub".into(),
        /// Nodes in all.
        pub nodes: usize = 5_000,
        /// Nodes that one user may make.
        pub own: usize = 100,
        /// Bytes of all items.
        pub total: Size = Size::mib(256),
    }
}

impl Listen {
    /// The lists with their keys, in the order in which they are shown.
    pub fn all(&self) -> [(&'static str, &[SocketAddr]); 8] {
        [
            ("c2s", &self.c2s),
            ("c2s_tls", &self.c2s_tls),
            ("s2s", &self.s2s),
            ("s2s_tls", &self.s2s_tls),
            ("http", &self.http),
            ("http_tls", &self.http_tls),
            ("component", &self.component),
            ("component_tls", &self.component_tls),
        ]
    }

    /// The lists, to change them.
    pub(crate) fn all_mut(&mut self) -> [&mut Vec<SocketAddr>; 8] {
        [
            &mut self.c2s,
            &mut self.c2s_tls,
            &mut self.s2s,
            &mut self.s2s_tls,
            &mut self.http,
            &mut self.http_tls,
            &mut self.component,
            &mut self.component_tls,
        ]
    }
}

/// A port for programs on this machine, IPv6 and IPv4.
fn loopback(port: u16) -> Vec<SocketAddr> {
    vec![
        (Ipv6Addr::LOCALHOST, port).into(),
        (Ipv4Addr::LOCALHOST, port).into(),
    ]
}

/// A port on every address of the machine, IPv6 and IPv4.
fn everywhere(port: u16) -> Vec<SocketAddr> {
    vec![
        (Ipv6Addr::UNSPECIFIED, port).into(),
        (Ipv4Addr::UNSPECIFIED, port).into(),
    ]
}
