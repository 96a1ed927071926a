//! Other servers: what may be ordered about them, and what an administrator sees.

use std::collections::BTreeMap;

use rookery_config::Pattern;
use serde::{Deserialize, Serialize};

use crate::effect::Millis;
use crate::fence::Verdict;
use crate::roll::Security;

/// Something to be done, or to be known, about other servers. Domains are prepared.
#[derive(Clone, Debug)]
pub enum Servers {
    /// Speak with the domains of a pattern, or do not; none: as the settings say.
    Rule(Pattern, Option<Verdict>),
    /// The rules about domains.
    Rules,
    /// What is known of one domain, or of all with which something is going on.
    List(Option<String>),
    /// Forget that a domain could not be reached, and try again now.
    Retry(String),
    /// Go the whole way to a domain, in the name of one of ours or of the first, and tell of every
    /// step. No stanza is sent.
    Trace { to: String, from: Option<String> },
}

/// Another domain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    pub domain: String,
    /// Nothing is spoken with it.
    pub blocked: bool,
    /// It must have a certificate, or signed DNS records.
    pub secure: bool,
    /// What goes there, by domain of ours.
    pub links: Vec<Link>,
    /// The streams that stand, the oldest first.
    pub streams: Vec<Stream>,
    /// What was wrong when it came last.
    pub refused: Option<Trouble>,
}

/// What goes from one domain of ours to another server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Our domain.
    pub local: String,
    pub state: State,
    /// Stanzas that wait, those among them that are written and not acknowledged included.
    pub stanzas: usize,
    /// How many of them are on the disk.
    pub lasting: usize,
    pub bytes: usize,
    /// When the oldest of them was accepted, in milliseconds since 1970.
    pub oldest: Option<Millis>,
    /// Failures in a row.
    pub failures: u32,
    /// What went wrong last, in plain words, if it is not well again.
    pub error: Option<String>,
}

/// Where a Link stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// There is nothing to say.
    Idle,
    /// It is being called.
    Calling,
    /// Stanzas may be written.
    Connected,
    /// It is called again when so many seconds are over.
    Resting { seconds: u64 },
}

/// A stream with another server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    /// We began it.
    pub outbound: bool,
    /// In milliseconds since 1970.
    pub since: Millis,
    pub address: Option<String>,
    /// Version and cipher.
    pub tls: Option<String>,
    /// What its certificate says.
    pub certificate: Option<String>,
    /// Stanzas are counted by both sides (XEP-0198).
    pub counted: bool,
    pub received: u64,
    pub sent: u64,
    /// What is proved on it.
    pub pairs: Vec<Pair>,
}

/// A domain of ours and one of the other server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    pub local: String,
    pub remote: String,
    /// How the other one was proved.
    pub security: Security,
    /// Whether our own certificate was proof enough; none where the other side began.
    pub external: Option<bool>,
    /// Stanzas go both ways on this stream (XEP-0288).
    pub both: bool,
}

/// Numbers about all other servers, those of streams and of what waits at this moment, the others
/// since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Numbers {
    /// Streams that others began, and ours, as far as something is proved on them.
    pub s2s_in: u64,
    pub s2s_out: u64,
    /// The same by the weakest proof of the other server on each.
    pub s2s_by_certificate: u64,
    pub s2s_by_dane: u64,
    pub s2s_by_dialback: u64,
    pub s2s_stanzas_in: u64,
    pub s2s_stanzas_out: u64,
    /// Stanzas that wait for other servers.
    pub s2s_waiting: u64,
    /// Stanzas that came back to their senders.
    pub s2s_bounced: u64,
    /// Calls in vain, by reason.
    pub s2s_failures: BTreeMap<String, u64>,
    /// What was found out of keys of others (XEP-0220).
    pub dialback_valid: u64,
    pub dialback_invalid: u64,
    pub dialback_errors: u64,
}

/// Something that went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// In milliseconds since 1970.
    pub since: Millis,
    pub what: String,
}

/// The whole way to another server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    pub steps: Vec<Step>,
    /// What keeps stanzas from going there; none: nothing.
    pub wrong: Option<String>,
    /// What to do about it.
    pub advice: Option<String>,
}

/// A step of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Milliseconds since the beginning.
    pub after: u64,
    pub what: String,
}
