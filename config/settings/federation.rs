//! Connections with other servers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::MINUTE;
use crate::pattern::Pattern;
use crate::quantity::{Size, span};
use crate::reading::list;
use crate::section::section;

section! {
    /// Connections with other servers. All of them are encrypted.
    pub struct S2s {
        /// What another server must prove.
        pub policy: Policy = Policy::Secure,
        /// What some domains must prove instead; the closest pattern decides.
        pub exceptions: BTreeMap<String, Policy> = BTreeMap::new(),
        /// Domains with which nothing is spoken.
        #[serde(deserialize_with = "list")]
        pub block: Vec<Pattern> = vec![],
        /// Domains that are spoken with although a pattern of `block` that is less close covers
        /// them.
        #[serde(deserialize_with = "list")]
        pub allow: Vec<Pattern> = vec![],
        /// PEM files: authorities that are trusted beside those of the system, and lists of
        /// certificates that authorities took back.
        #[serde(deserialize_with = "list")]
        pub ca: Vec<PathBuf> = vec![],
        /// Networks to which connections are made although they are no part of the Internet, or
        /// are this machine itself. Places in `dns.overrides` need not be here.
        #[serde(deserialize_with = "list")]
        pub private: Vec<IpNet> = vec![],
        /// Largest stanza of another server.
        pub stanza: Size = Size::kib(512),
        /// Bytes a second from one server, and how many may come at once; over it reading pauses.
        pub rate: Size = Size::kib(128),
        /// See `rate`.
        pub burst: Size = Size::mib(1),
        /// What one server may have sent before some of it is settled; then reading pauses.
        pub unsettled_stanzas: u32 = 1_024,
        /// Its bytes.
        pub unsettled_size: Size = Size::mib(4),
        /// Whether stanzas may go both ways on one stream, where it cannot be resumed (XEP-0288).
        pub bidi: bool = true,
        /// For how long the stream of another server can be resumed after its connection was
        /// lost or this server restarted (XEP-0198 §5); 0: not at all.
        #[serde(with = "span")]
        pub resume: Duration = 10 * MINUTE,
        /// How many such streams are remembered; over it the oldest is forgotten.
        pub sessions: usize = 1_000,
        /// How many of one domain.
        pub sessions_per_domain: usize = 10,
    }
}

/// What another server must prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", try_from = "String")]
pub enum Policy {
    /// By a certificate, or by the DNS where that is signed, that it is its domain (RFC 7590
    /// §3.4).
    Secure,
    /// At least that it is found where the DNS says its domain is (XEP-0220), which keeps off
    /// nobody who can lie in the DNS or between the two.
    Dialback,
}

impl TryFrom<String> for Policy {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "secure" => Ok(Policy::Secure),
            "dialback" => Ok(Policy::Dialback),
            _ => Err(format!("{text:?} is neither \"secure\" nor \"dialback\"")),
        }
    }
}

impl S2s {
    /// What this domain must prove, inbound and outbound.
    pub fn policy_for(&self, domain: &str) -> Policy {
        let written = |key: &str| match key == domain {
            true => self.exceptions.get(key).copied(),
            false => self.exceptions.get(&format!("*{key}")).copied(),
        };
        let closest = match self.exceptions.is_empty() {
            true => None,
            false => Pattern::covering(domain).find_map(written),
        };
        closest.unwrap_or(self.policy)
    }
}
