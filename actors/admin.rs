//! Administration: what the command line, XEP-0133 and XEP-0077 may ask of the running server, in
//! one vocabulary.

pub mod servers;

use std::time::{Duration, Instant};

use rookery_protocol::jid::Jid;
use rookery_protocol::sasl::Password;
use rookery_protocol::xml::Element;

use crate::effect::Millis;
use crate::fence::Rule;
use crate::notices::Notice;
pub use servers::Servers;
use servers::{Numbers, Server, Trace};

/// Something to be done to accounts and sessions.
#[derive(Clone, Debug)]
pub enum Command {
    /// Make an account for a bare JID of one of our domains.
    AddUser(Jid, Password),
    /// The same for a stranger who asks for it: not where the name looks like the name of an
    /// account there is (attacks H16).
    Register(Jid, Password),
    /// Set a password; all sessions but the one named are ended (attacks T42).
    SetPassword {
        user: Jid,
        password: Password,
        except: Option<Jid>,
    },
    /// Remove an account with everything it has; its sessions end after the answer was sent.
    DeleteUser(Jid),
    /// No login any more; sessions end.
    DisableUser(Jid),
    /// Login again.
    EnableUser(Jid),
    /// End the sessions of a user (bare JID) or one session (full JID).
    EndSessions(Jid),
    /// The accounts of a domain, or of all.
    ListUsers(Option<String>),
    /// Accounts with at least one session.
    OnlineUsers(Option<String>),
    /// Facts on one account.
    UserInfo(Jid),
    /// The roster of an account, of a bare JID.
    UserRoster(Jid),
    /// The clients that have access to an account (XEP-0494).
    Clients(Jid),
    /// Take the access of the client of this id, as far as it does not rest on the password; its
    /// sessions end.
    RevokeClient { user: Jid, client: String },
    /// A message to all online users of a domain.
    Announce {
        domain: String,
        subject: Option<String>,
        body: String,
    },
    /// What users are told from now on, when they are here next or first.
    SetNotice(Notice),
    /// Stop the server after this time, in an orderly way; `again`: whoever watches over it is to
    /// start it again.
    Stop { delay: Duration, again: bool },
    /// Numbers on the server.
    Status,
    /// Something about other servers.
    Servers(Servers),
    /// Each of these in turn, whatever becomes of the others; never one inside another.
    Several(Vec<Command>),
}

/// That the server is to stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stop {
    pub at: Instant,
    /// It is to be started again.
    pub again: bool,
}

/// What became of a [`Command`].
#[derive(Clone, Debug)]
pub enum Outcome {
    Done,
    Users(Vec<User>),
    /// `<query/>` of `jabber:iq:roster`.
    Roster(Element),
    Clients(Vec<Client>),
    /// Its tokens are void; whether it may know the password all the same.
    Revoked {
        knows_password: bool,
    },
    Status(Box<Status>),
    Rules(Vec<Rule>),
    Servers(Vec<Server>),
    Trace(Trace),
    /// What became of each of [`Command::Several`], in their order.
    Several(Vec<Outcome>),
    Failed(Failure),
}

/// Why a [`Command`] was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    #[error("there is an account of that name already")]
    Exists,
    #[error("there is no such account")]
    Absent,
    #[error("the account has no such client")]
    NoClient,
    #[error("that is not an address of this server")]
    NotOurs,
    #[error("the name is not allowed: {0}")]
    Name(String),
    #[error("nothing is being sent to that domain")]
    NoLink,
    #[error("this server speaks with no others: `s2s` and `s2s_tls` in [listen] are empty")]
    Alone,
    #[error("there are {0} of them already")]
    TooMany(usize),
    #[error("the server is busy, try again")]
    Busy,
    #[error("the store refused: {0}")]
    Store(String),
}

/// One account, as an administrator sees it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct User {
    /// The bare JID.
    pub jid: String,
    pub disabled: bool,
    /// When it was made, in milliseconds since 1970.
    pub created: Millis,
    /// When its last device went unavailable, if one ever did: while somebody is here, the time
    /// before that.
    pub last_seen: Option<Millis>,
    /// The resources connected now.
    pub resources: Vec<String>,
    /// Whether a device of it is available and neither away nor extended away.
    pub active: bool,
}

/// A client that has access to an account.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Client {
    /// Stands for it among the account's.
    pub id: String,
    /// It has a session now.
    pub connected: bool,
    /// In milliseconds since 1970.
    pub first_seen: Millis,
    /// When it logged in last.
    pub last_seen: Millis,
    /// It has logged in with the password that is still the account's.
    pub password: bool,
    /// It holds a token (XEP-0484).
    pub token: bool,
    /// The program, as it says.
    pub software: Option<String>,
    /// The machine, as it says.
    pub device: Option<String>,
}

/// Numbers on the running server.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Status {
    pub version: &'static str,
    pub uptime_seconds: u64,
    pub domains: Vec<String>,
    pub accounts: u64,
    pub streams: u64,
    pub sessions: u64,
    pub hubs: u64,
    pub links: u64,
    /// Frames that wait for the disk.
    pub commits_waiting: u64,
    /// Stanzas handed to Hubs and not handled yet.
    pub stanzas_waiting: u64,
    pub store_bytes: u64,
    pub journal_bytes: u64,
    /// Free bytes of the disk, if it tells.
    pub free_bytes: Option<u64>,
    /// What is wrong with the store, in words: what is damaged or missing, and why nothing is
    /// stored.
    pub store_problems: Vec<String>,
    /// Panics caught since the start.
    pub panics: u64,
    /// Sessions that ended since the start because more waited for them than `[acks] spill`.
    pub overflows: u64,
    /// Other servers.
    #[serde(flatten)]
    pub servers: Numbers,
}
