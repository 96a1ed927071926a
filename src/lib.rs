//! Rookery: an XMPP server that a small community runs by itself.
//!
//! What is here is the door. [`cli`] reads the command line; `serve` opens an [`opening::Opening`]
//! (settings, the data [`folder`], a certificate from [`tls`]), gives it to
//! [`server::Server::start`], prints the [`dns`] records to publish, tells the service manager
//! ([`systemd`]), and carries out commands that come through a socket ([`control`]). The engine
//! behind it is the crate `rookery-actors`.

pub mod capabilities;
pub mod cli;
pub mod components;
pub mod control;
pub mod dns;
pub mod extensions;
pub mod folder;
pub mod kept;
pub mod opening;
pub mod server;
pub mod systemd;
pub mod tls;
