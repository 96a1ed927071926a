//! What it takes to speak with other servers: how they are found, what they must prove, and what
//! our side of a stream goes by. No actor.

use std::sync::Arc;

use actix::prelude::*;
use rookery_config::{Policy, Settings};
use rookery_protocol::dialback::{Pair, Secret};
use rookery_protocol::negotiation::peer_out::{Errand, Purpose};
use rookery_protocol::negotiation::{Standing, peer_in, peer_out};
use smol_str::SmolStr;
use tokio::sync::Semaphore;

use crate::dial::Dialer;
use crate::effect::Millis;
use crate::link::Roads;
use crate::messages::{FromLine, ToStream};
use crate::peer_tls::{Claim, Doubt, PeerTls, Presented, Reference};
use crate::realm::Realm;
use crate::resolver::{Resolver, Tlsa};
use crate::stream::Stream;
use crate::stream::peer::{Call, Caller};

/// Servers that may be called at once: thousands that do not answer must leave room for others.
const CALLS: usize = 64;

/// How this server speaks with others.
pub struct Peers {
    pub dialer: Dialer,
    pub inbound: Arc<peer_in::Settings>,
    pub outbound: Arc<peer_out::Settings>,
    pub calls: Arc<Semaphore>,
}

/// A key that another server is asked about.
#[derive(Clone, Debug)]
pub struct Query {
    /// The pair of the claim.
    pub pair: Pair,
    /// The id of the stream on which it came.
    pub id: SmolStr,
    pub key: SmolStr,
}

/// What was found out of the other server before TLS.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// The host that a record named for which DNSSEC vouches.
    pub target: Option<SmolStr>,
    /// Pinned certificates, for which it vouches too.
    pub pins: Vec<Tlsa>,
}

impl Peers {
    /// By these settings, for these domains and service hosts of ours. `secret` is the server's.
    pub fn new(settings: &Settings, domains: Vec<SmolStr>, secret: &[u8; 32]) -> Peers {
        let secret = Secret::new(secret);
        let s2s = &settings.s2s;
        let limits = peer_in::Limits {
            failures: settings.limits.failures,
            bytes_before_login: settings.limits.before_login.size.get() as u64,
            bytes_after_login: s2s.stanza.get() as u64,
            idle_seconds: Some(settings.outbox.idle.as_secs() as u32),
            ..peer_in::Limits::default()
        };
        Peers {
            dialer: Dialer::new(Resolver::new(&settings.dns), s2s),
            inbound: Arc::new(peer_in::Settings {
                domains: domains.clone(),
                secret: secret.clone(),
                bidi: false,
                resumption: None,
                limits,
            }),
            outbound: Arc::new(peer_out::Settings {
                domains,
                secret,
                dialback: true,
                bidi: false,
                management: true,
                // What must last waits in the outbox; nothing else of a session is kept.
                resumption: false,
                limits: peer_out::Limits::default(),
            }),
            calls: Arc::new(Semaphore::new(CALLS)),
        }
    }

    /// Asks the server of `query.pair.from` about a key; the answer goes to `asker`.
    pub fn verify(self: &Arc<Peers>, realm: &Arc<Realm>, query: Query, asker: Addr<Stream>) {
        let errand = Errand {
            pair: query.pair.reversed(),
            purpose: Purpose::Verify,
            external: false,
            earlier: None,
        };
        let caller = Caller::Asker { query, asker };
        Stream::call(realm, self, Call { errand, caller });
    }
}

/// The way to all of them.
pub struct Abroad(pub Arc<Peers>);

impl Roads for Abroad {
    fn call(
        &self,
        realm: &Arc<Realm>,
        pair: &Pair,
        number: u32,
        link: Recipient<FromLine>,
    ) -> Recipient<ToStream> {
        let errand = Errand {
            pair: pair.clone(),
            purpose: Purpose::Send,
            external: is_certified(realm, &pair.from),
            earlier: None,
        };
        let caller = Caller::link(number, link);
        Stream::call(realm, &self.0, Call { errand, caller }).recipient()
    }
}

/// What the certificate that a server showed is worth for this domain, by our policy for it; and
/// what it proves, or why it proves nothing.
pub fn standing(
    realm: &Realm,
    shown: &Presented,
    domain: &str,
    place: &Place,
) -> (Standing, Result<crate::peer_tls::Proof, Doubt>) {
    let s2s = &realm.site.settings.s2s;
    let now = seconds(realm.site.now());
    let tls = realm.tls.load();
    let target = place
        .target
        .as_deref()
        .and_then(|it| Reference::new(it).ok());
    let proof = Reference::new(domain).and_then(|domain| {
        let claim = Claim {
            domain: &domain,
            target: target.as_ref(),
            tlsa: &place.pins,
        };
        tls.peers.judge().verdict(shown, claim, now)
    });
    let standing = match (&proof, s2s.policy_for(domain)) {
        _ if realm.site.is_here(domain) || realm.site.fence.blocks(domain) => Standing::Blocked,
        (Ok(_), _) => Standing::Certified,
        (_, Policy::Dialback) => Standing::Dialback,
        (Err(_), Policy::Secure) => Standing::Uncertified,
    };
    (standing, proof)
}

/// Whether another server has reason to believe our own certificate for this domain.
pub(crate) fn is_certified(realm: &Realm, own: &str) -> bool {
    let tls = realm.tls.load();
    is_good(&tls.peers, own, seconds(realm.site.now())).unwrap_or(false)
}

fn is_good(tls: &PeerTls, own: &str, now: i64) -> Option<bool> {
    let own = Reference::new(own).ok()?;
    let shown = Presented::new(&tls.own_certificate(&own)?.cert);
    Some(tls.judge().verdict(&shown, Claim::plain(&own), now).is_ok())
}

fn seconds(now: Millis) -> i64 {
    (now / 1000) as i64
}
