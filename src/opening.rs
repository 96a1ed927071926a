//! What a server is opened with, and what it is once it runs: the seam between the door and the
//! engine.

use crate::components::Named;
use crate::control::Commands;
use crate::folder::{Folder, FolderError};
use crate::tls::{Certificates, Served, TlsError};
use rookery_config::{Problems, Settings};
use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// A future that stays on its thread.
pub type Local<T> = Pin<Box<dyn Future<Output = T>>>;

/// Starts a server: the one function behind `serve`, and behind commands while none runs.
pub type Start = fn(Opening) -> Local<Result<Rc<dyn Running>, StartError>>;

/// All that a server is started with.
pub struct Opening {
    /// Checked settings.
    pub settings: Settings,
    /// The data folder, ours alone until the server ends.
    pub folder: Folder,
    /// The certificate; none for a server without listeners, which only carries out a command.
    pub certificates: Option<Arc<Certificates>>,
    /// Whether to go on although something that was promised is missing from the disk.
    pub accept_loss: bool,
}

/// A server that runs.
pub trait Running {
    /// Where it listens, in the order of the settings.
    fn listening(&self) -> Vec<Listening>;
    /// What carries out commands.
    fn commands(&self) -> Rc<dyn Commands>;
    /// Shows this certificate to those who connect from now on.
    fn renew(&self, served: &Served);
    /// The settings name these components from now on, and their secrets may have changed.
    fn rename(&self, _named: &Named) -> Result<(), StartError> {
        Ok(())
    }
    /// Sends a probe from the router through the keeper and back; true when it came back.
    fn probe(&self) -> Local<bool>;
    /// What is wrong with what it remembers, in words; never waits.
    fn problems(&self) -> Vec<String> {
        vec![]
    }
    /// Accepts nobody any more, ends all streams with `system-shutdown`, saves everything.
    fn drain(&self) -> Local<()>;
    /// Ends when an administrator wants the server to stop; true if it is to start again.
    fn told_to_stop(&self) -> Local<bool> {
        Box::pin(std::future::pending())
    }
    /// Ends when the server cannot go on by itself, with the reason.
    fn ended(&self) -> Local<String>;
}

/// A protocol on an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listening {
    /// The protocol, by its key in `[listen]`.
    pub door: Door,
    /// The address, with the port that was bound.
    pub address: SocketAddr,
}

/// The protocols of `[listen]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Door {
    /// Clients, STARTTLS.
    C2s,
    /// Clients, direct TLS.
    C2sTls,
    /// Other servers, STARTTLS.
    S2s,
    /// Other servers, direct TLS.
    S2sTls,
    /// HTTP.
    Http,
    /// HTTPS.
    HttpTls,
    /// External components.
    Component,
    /// External components, direct TLS.
    ComponentTls,
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The operator has to put something right first; trying again does not help.
    #[error("{0}")]
    Refused(String),
    /// Something failed that may go well another time.
    #[error("{0}")]
    Failed(String),
}

impl Opening {
    /// Takes the data folder and the certificate, to serve.
    pub fn serving(settings: Settings) -> Result<Self, StartError> {
        settings.require_domains()?;
        let folder = Folder::open(&settings.data)?;
        let (tls, ca) = (&settings.tls, &settings.s2s.ca);
        let certificates = Certificates::open(tls, ca, &settings.hosts(), &folder, now())?;
        Ok(Opening {
            settings,
            folder,
            certificates: Some(certificates),
            accept_loss: false,
        })
    }

    /// Takes the data folder alone, to carry out a command while no server runs.
    pub fn silent(settings: Settings) -> Result<Self, StartError> {
        let folder = Folder::open(&settings.data)?;
        Ok(Opening {
            settings,
            folder,
            certificates: None,
            accept_loss: false,
        })
    }
}

impl Door {
    /// The key in `[listen]`.
    pub fn key(self) -> &'static str {
        match self {
            Door::C2s => "c2s",
            Door::C2sTls => "c2s_tls",
            Door::S2s => "s2s",
            Door::S2sTls => "s2s_tls",
            Door::Http => "http",
            Door::HttpTls => "http_tls",
            Door::Component => "component",
            Door::ComponentTls => "component_tls",
        }
    }
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Door::C2s => "clients, STARTTLS",
            Door::C2sTls => "clients, direct TLS",
            Door::S2s => "servers, STARTTLS",
            Door::S2sTls => "servers, direct TLS",
            Door::Http => "web, HTTP",
            Door::HttpTls => "web, HTTPS",
            Door::Component => "components",
            Door::ComponentTls => "components, TLS",
        })
    }
}

impl From<Problems> for StartError {
    fn from(problems: Problems) -> Self {
        StartError::Refused(problems.to_string())
    }
}

impl From<FolderError> for StartError {
    fn from(error: FolderError) -> Self {
        match error {
            FolderError::Disk { .. } => StartError::Failed(error.to_string()),
            _ => StartError::Refused(error.to_string()),
        }
    }
}

impl From<TlsError> for StartError {
    fn from(error: TlsError) -> Self {
        StartError::Refused(error.to_string())
    }
}

/// The wall clock, in seconds since 1970.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
