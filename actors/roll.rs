//! The streams with other servers that stand, and what went wrong with others lately: for whoever
//! runs this server, to be seen and to be ended. No actor.

pub mod counts;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use actix::prelude::*;
use parking_lot::Mutex;
use rookery_protocol::error::StreamError;
use rookery_protocol::negotiation::Refusal;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::effect::Millis;
use crate::messages::ToStream;
use crate::peer_tls::{Means, Proof};
use counts::Counts;

/// Domains of which it is remembered what went wrong, of those we called and of those who came.
const TROUBLES: usize = 1_000;
/// Domains remembered of those that a certificate is good for: as many as a stream may prove.
const CERTIFIED: usize = 64;
/// Bytes that are told of one trouble.
const TROUBLE: usize = 1_024;

/// The streams with other servers.
#[derive(Default)]
pub struct Roll {
    streams: Mutex<Vec<Weak<Entry>>>,
    outbound: Mutex<Troubles>,
    inbound: Mutex<Troubles>,
    /// Since the start.
    pub counts: Arc<Counts>,
}

/// A stream, as long as it has its entry.
pub struct Entry {
    /// We began it.
    pub outbound: bool,
    /// When it began.
    pub since: Millis,
    stream: Recipient<ToStream>,
    counts: Arc<Counts>,
    facts: Mutex<Facts>,
    /// Stanzas that came.
    pub received: AtomicU64,
    /// Stanzas that went.
    pub sent: AtomicU64,
    /// Whether those are counted by both sides (XEP-0198).
    pub counted: AtomicBool,
}

/// What is known of a stream by now.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// With whom it is.
    pub address: Option<IpAddr>,
    /// Version and cipher, once it is encrypted.
    pub tls: Option<String>,
    /// What the other server's certificate says, if it showed one.
    pub certificate: Option<String>,
    /// Domains for which the certificate is good.
    pub certified: Vec<(SmolStr, Proof)>,
    /// What stanzas may be exchanged for.
    pub pairs: Vec<Proved>,
}

/// A domain of ours and one of the other server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proved {
    /// Ours.
    pub local: SmolStr,
    /// Theirs.
    pub remote: SmolStr,
    /// How they proved it.
    pub by: Security,
    /// Our own certificate was proof enough; none where nothing is sent on this stream.
    pub external: Option<bool>,
    /// Stanzas go both ways on this stream (XEP-0288).
    pub both: bool,
}

/// How the other server proved its domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Security {
    /// By a certificate of an authority.
    Certificate,
    /// By one that signed DNS records name (DANE).
    Dane,
    /// By being found where the DNS says it is.
    Dialback,
}

/// What went wrong, by domain.
type Troubles = BTreeMap<SmolStr, (Millis, String)>;

impl Roll {
    /// Takes up a stream; it leaves when the entry is dropped.
    pub fn enter(&self, outbound: bool, since: Millis, stream: Recipient<ToStream>) -> Arc<Entry> {
        let entry = Arc::new(Entry {
            outbound,
            since,
            stream,
            counts: Arc::clone(&self.counts),
            facts: Mutex::default(),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            counted: AtomicBool::new(false),
        });
        let mut streams = self.streams.lock();
        // Those that left are swept out before there is more room made.
        if streams.len() == streams.capacity() {
            streams.retain(|it| it.strong_count() > 0);
        }
        streams.push(Arc::downgrade(&entry));
        entry
    }

    /// All that stand, the oldest first.
    pub fn all(&self) -> Vec<Arc<Entry>> {
        let streams = self.streams.lock();
        streams.iter().filter_map(Weak::upgrade).collect()
    }

    /// Something went wrong with a domain that we called, or that came. Only the last counts.
    pub fn trouble(&self, outbound: bool, domain: &str, what: String, now: Millis) {
        let what = clipped(what, TROUBLE);
        let mut troubles = self.troubles(outbound).lock();
        if troubles.len() >= TROUBLES && !troubles.contains_key(domain) {
            let oldest = troubles.iter().min_by_key(|(_, (since, _))| *since);
            let oldest = oldest.map(|(domain, _)| domain.clone());
            oldest.and_then(|domain| troubles.remove(&domain));
        }
        troubles.insert(domain.into(), (now, what));
    }

    /// It is well now.
    pub fn well(&self, outbound: bool, domain: &str) {
        self.troubles(outbound).lock().remove(domain);
    }

    /// What went wrong last, and when.
    pub fn last_trouble(&self, outbound: bool, domain: &str) -> Option<(Millis, String)> {
        self.troubles(outbound).lock().get(domain).cloned()
    }

    /// Why a domain that we called is not reached: with what was tried, where there is more to be
    /// said than to the senders of stanzas.
    pub fn in_words(&self, domain: &str, refusal: &Refusal) -> String {
        use Refusal::*;
        let has_more = matches!(
            refusal,
            NoDomain | NoServer | Unreachable | TlsFailed | Certificate | Lost
        );
        match self.last_trouble(true, domain).filter(|_| has_more) {
            Some((_, what)) => format!("{refusal}: {what}"),
            None => refusal.to_string(),
        }
    }

    /// The domains with which something went wrong when they came, so many at most, the latest
    /// ones: anybody can come as anything.
    pub fn troubled(&self, most: usize) -> Vec<SmolStr> {
        let troubles = self.inbound.lock();
        let mut all: Vec<_> = troubles.iter().map(|(domain, it)| (it.0, domain)).collect();
        all.sort_unstable_by(|one, other| other.cmp(one));
        all.into_iter()
            .take(most)
            .map(|(_, domain)| domain.clone())
            .collect()
    }

    fn troubles(&self, outbound: bool) -> &Mutex<Troubles> {
        match outbound {
            true => &self.outbound,
            false => &self.inbound,
        }
    }
}

/// A text of at most so many bytes.
pub(crate) fn clipped(mut text: String, most: usize) -> String {
    let is_end = |at: &usize| text.is_char_boundary(*at);
    let end = (0..=most.min(text.len())).rev().find(is_end);
    text.truncate(end.unwrap_or(0));
    text
}

impl Facts {
    /// The certificate is good for this domain.
    pub fn certify(&mut self, domain: &str, proof: Proof) {
        self.certified.retain(|it| it.0 != domain);
        if self.certified.len() < CERTIFIED {
            self.certified.push((domain.into(), proof));
        }
    }
}

impl Entry {
    /// What is known by now.
    pub fn facts(&self) -> Facts {
        self.facts.lock().clone()
    }

    /// Something more is known.
    pub fn learn(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut self.facts.lock());
    }

    /// A pair is proved; `external` and `both`: see [`Proved`].
    pub fn prove(&self, local: &str, remote: &str, external: Option<bool>, both: bool) -> Security {
        let mut facts = self.facts.lock();
        let proof = facts.certified.iter().find(|it| it.0 == remote);
        let by = match proof.map(|(_, proof)| proof.by) {
            Some(Means::Authority) => Security::Certificate,
            Some(Means::Dns) => Security::Dane,
            None => Security::Dialback,
        };
        let proved = Proved {
            local: local.into(),
            remote: remote.into(),
            by,
            external,
            both,
        };
        facts
            .pairs
            .retain(|it| (&it.local, &it.remote) != (&proved.local, &proved.remote));
        facts.pairs.push(proved);
        by
    }

    /// The weakest proof on it, if there is any.
    pub fn weakest(&self) -> Option<Security> {
        self.facts.lock().pairs.iter().map(|it| it.by).max()
    }

    /// Ends the stream.
    pub fn close(&self, error: StreamError) {
        self.stream.do_send(ToStream::Close(error));
    }

    /// A stanza came.
    pub fn came(&self, counted: bool) {
        self.received.fetch_add(1, Ordering::Relaxed);
        self.counts.received.fetch_add(1, Ordering::Relaxed);
        self.counted.store(counted, Ordering::Relaxed);
    }

    /// A stanza went.
    pub fn went(&self, counted: bool) {
        self.sent.fetch_add(1, Ordering::Relaxed);
        self.counts.sent.fetch_add(1, Ordering::Relaxed);
        self.counted.store(counted, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(clipped("aé".into(), 3), "aé");
        assert_eq!(clipped("aé".into(), 2), "a");
        assert_eq!(clipped("é".into(), 0), "");
    }

    #[test]
    fn the_oldest_trouble_gives_way() {
        let roll = Roll::default();
        for number in 0..=TROUBLES {
            let domain = format!("d{number}.test");
            roll.trouble(true, &domain, "no".into(), number as Millis);
        }
        assert_eq!(roll.last_trouble(true, "d0.test"), None);
        assert_eq!(roll.last_trouble(true, "d1.test"), Some((1, "no".into())));
        assert_eq!(roll.last_trouble(false, "d1.test"), None);
        roll.well(true, "d1.test");
        assert_eq!(roll.last_trouble(true, "d1.test"), None);
    }
}
