//! Commands to a server: one line of JSON through a Unix socket in the data folder, one line
//! back.
//!
//! The socket is `rookery.sock` (0600) in a folder that only its user may enter; the server also
//! asks the kernel who is at the other end, and answers its own user and root only. A command
//! with no server running starts one without listeners, which takes the socket's place, and goes
//! the same way.

mod client;
mod listener;

use crate::opening::Local;
use rookery_actors::admin::servers::{Server, Trace};
use rookery_config::Pattern;
use rookery_protocol::jid::Jid;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, Permissions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::{fmt, io};
use zeroize::Zeroizing;

pub use client::{AskError, ask};
pub use listener::{Performer, Socket};

/// What the server does on command. One implementation serves a running server and, without
/// listeners, a command on its own.
pub trait Commands {
    /// Carries out one order. The future may be dropped; the order is carried out nevertheless.
    fn run(&self, order: Order) -> Local<Result<Answer, Refusal>>;
}

/// Something to be done. Addresses are bare.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case", deny_unknown_fields)]
pub enum Order {
    /// Make an account.
    AddUser {
        /// Its address.
        user: Jid,
        /// Its password.
        password: Secret,
    },
    /// Set a password; the account's sessions end.
    SetPassword {
        /// Whose.
        user: Jid,
        /// The new one.
        password: Secret,
    },
    /// Remove an account with everything it has.
    DeleteUser {
        /// Whose.
        user: Jid,
    },
    /// End the sessions and let nobody log in until [`Order::EnableUser`].
    DisableUser {
        /// Whom.
        user: Jid,
    },
    /// Let a disabled account log in again.
    EnableUser {
        /// Whom.
        user: Jid,
    },
    /// The accounts of one domain, or of all.
    ListUsers {
        /// The domain.
        domain: Option<String>,
    },
    /// The clients that have access to an account.
    Clients {
        /// Whose.
        user: Jid,
    },
    /// Take the access of one of them.
    RevokeClient {
        /// Whose.
        user: Jid,
        /// Which, by its id.
        client: String,
    },
    /// Make an external component.
    AddComponent {
        /// Its domain.
        name: String,
        /// What it may do besides.
        privileges: String,
    },
    /// Take out one that was made by [`Order::AddComponent`].
    RemoveComponent {
        /// Its domain.
        name: String,
    },
    /// The external components, without their secrets.
    ListComponents,
    /// One of them, with its secret.
    ShowComponent {
        /// Its domain.
        name: String,
    },
    /// Numbers on the server.
    Status,
    /// Speak with the domains of a pattern, or do not; none: as the settings say.
    Rule {
        /// For whom it holds.
        pattern: Pattern,
        /// Whether they are spoken with.
        allow: Option<bool>,
    },
    /// The rules about other domains.
    Rules,
    /// Another domain, or all with which something is going on.
    Servers {
        /// Which.
        domain: Option<String>,
    },
    /// Try to reach a domain again now.
    Retry {
        /// Which.
        domain: String,
    },
    /// Go the whole way to a domain and tell of it.
    Trace {
        /// Which.
        to: String,
        /// In whose name, of ours.
        from: Option<String>,
    },
    /// Read the certificate and the settings again. Answered by the door, not by the engine.
    Reload,
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It is done.
    Done,
    /// Accounts.
    Users(Vec<User>),
    /// Clients of an account.
    Clients(Vec<Client>),
    /// A client's tokens are void and its sessions end.
    Revoked {
        /// It may log in again by the password.
        knows_password: bool,
    },
    /// External components.
    Components(Vec<Component>),
    /// Numbers by name.
    Status(serde_json::Map<String, serde_json::Value>),
    /// The rules about other domains.
    Rules(Vec<Rule>),
    /// Other domains.
    Servers(Vec<Server>),
    /// The way to another.
    Trace(Trace),
    /// The certificate was read again; remarks for the operator.
    Reloaded(Vec<String>),
}

/// An account, as the operator sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The bare address.
    pub jid: String,
    /// Whether it is kept from logging in.
    pub disabled: bool,
    /// When it was made, in milliseconds since 1970.
    pub created: i64,
    /// When it was last seen, likewise; none for never.
    pub last_seen: Option<i64>,
    /// The resources that are connected.
    pub resources: Vec<String>,
}

/// A client of an account, as the operator sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// Stands for it.
    pub id: String,
    /// It has a session now.
    pub connected: bool,
    /// In milliseconds since 1970.
    pub first_seen: i64,
    /// When it logged in last, likewise.
    pub last_seen: i64,
    /// It has logged in by the password.
    pub password: bool,
    /// It holds a token.
    pub token: bool,
    /// The program, as it says.
    pub software: Option<String>,
    /// The machine, as it says.
    pub device: Option<String>,
}

/// Whether the domains of a pattern are spoken with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// For whom it holds.
    pub pattern: Pattern,
    /// Whether they are spoken with.
    pub allow: bool,
    /// When it was ordered, in milliseconds since 1970; none: the settings say so.
    pub since: Option<i64>,
}

/// An external component, as the operator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    /// Its domain.
    pub name: String,
    /// What it may do besides.
    pub privileges: String,
    /// It has a stream now.
    pub connected: bool,
    /// The file with its secret.
    pub file: String,
    /// It is made by the settings.
    pub of_settings: bool,
    /// Where it connects: addresses with ports, and a path.
    pub places: Vec<String>,
    /// What it shares with the server, where that was asked for.
    pub secret: Option<Secret>,
}

/// Why an order was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// For programs.
    pub kind: Kind,
    /// For people.
    pub text: String,
}

/// The kinds of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// There is such an account already.
    Exists,
    /// There is no such account.
    Absent,
    /// The domain is not one of ours.
    NotOurs,
    /// The address, or the password, cannot be one.
    Unfit,
    /// Try again.
    Busy,
    /// The disk, or the server itself, failed.
    Failed,
    /// The order was not understood.
    Unknown,
    /// Not while no server runs.
    NotRunning,
}

impl Refusal {
    /// A refusal of a kind.
    pub fn new(kind: Kind, text: impl Into<String>) -> Self {
        Refusal {
            kind,
            text: text.into(),
        }
    }
}

/// Text that is shown nowhere and is wiped after use.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes the text over.
    pub fn new(text: String) -> Self {
        Secret(text)
    }

    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}

/// One line back.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reply {
    Ok(Answer),
    Error(Refusal),
}

/// The socket's name in the data folder.
const NAME: &str = "rookery.sock";
/// The longest order: an address and a password, with room for escapes.
const ORDER_LIMIT: u64 = 64 << 10;
/// The longest answer that is read: some hundred thousand accounts.
const ANSWER_LIMIT: u64 = 64 << 20;

/// The longest path that fits the address of a socket.
const PATH_LIMIT: usize = 107;

/// Binds a socket of this name (0600) in a data folder that is ours, in the place of one that a
/// server left which is gone.
pub(crate) fn bind(folder: &Path, name: &str) -> io::Result<std::os::unix::net::UnixListener> {
    let path = folder.join(name);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = std::os::unix::net::UnixListener::bind(Place::of(folder, name)?.path())?;
    fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// The socket's path, made short where it would not fit.
struct Place {
    path: PathBuf,
    /// The folder that a short path goes through.
    _folder: Option<File>,
}

impl Place {
    fn of(folder: &Path, name: &str) -> io::Result<Self> {
        let path = folder.join(name);
        if path.as_os_str().len() <= PATH_LIMIT {
            return Ok(Place {
                path,
                _folder: None,
            });
        }
        let folder = File::open(folder)?;
        let path = format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()).into();
        Ok(Place {
            path,
            _folder: Some(folder),
        })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

/// A value as a line of JSON, wiped after use.
fn line(value: &impl Serialize) -> Zeroizing<Vec<u8>> {
    // Our own types have text for keys and nothing that JSON cannot hold.
    let mut line = Zeroizing::new(serde_json::to_vec(value).unwrap_or_default());
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests;
