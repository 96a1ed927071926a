//! What it takes to speak with other servers: how they are found, what they must prove, and what
//! our side of a stream goes by. No actor.

pub mod lines;
pub mod sessions;

use std::sync::Arc;

use actix::prelude::*;
use arc_swap::ArcSwap;
use rookery_config::{Policy, Settings};
use rookery_protocol::dialback::{Pair, Secret};
use rookery_protocol::negotiation::peer_out::{Earlier, Errand, Purpose};
use rookery_protocol::negotiation::{Standing, peer_in, peer_out};
use smol_str::SmolStr;
use tokio::sync::Semaphore;

use crate::dial::Dialer;
use crate::effect::Millis;
use crate::flows::Flows;
use crate::link::{Roads, Wish};
use crate::messages::ToStream;
use crate::peer_tls::{Claim, Doubt, PeerTls, Presented, Reference};
use crate::realm::Realm;
use crate::resolver::{Resolver, Tlsa};
use crate::stream::Stream;
use crate::stream::peer::{Call, Caller, LinesEnd};
use lines::Lines;
use sessions::PeerSessions;

/// Servers that may be called at once and have not answered as servers do (attack R10).
const CALLS: usize = 256;
/// Servers that may be asked at once about keys that others showed (attack R11).
const VERIFICATIONS: usize = 64;

/// How this server speaks with others.
pub struct Peers {
    pub dialer: Dialer,
    inbound: ArcSwap<peer_in::Settings>,
    outbound: ArcSwap<peer_out::Settings>,
    pub calls: Arc<Semaphore>,
    pub flows: Flows,
    verifications: Arc<Semaphore>,
    /// Streams that several Links may use.
    pub lines: Lines,
    /// Their streams that can be resumed.
    pub sessions: PeerSessions,
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
        let resumption = u32::try_from(s2s.resume.as_secs()).unwrap_or(u32::MAX);
        let resumption = Some(resumption).filter(|it| *it > 0);
        let bounds = sessions::Bounds {
            sessions: s2s.sessions,
            per_domain: s2s.sessions_per_domain,
            resume: s2s.resume,
            told: settings.outbox.give_up,
        };
        Peers {
            dialer: Dialer::new(Resolver::new(&settings.dns), s2s),
            inbound: ArcSwap::from_pointee(peer_in::Settings {
                domains: domains.clone(),
                secret: secret.clone(),
                bidi: s2s.bidi,
                resumption,
                limits,
            }),
            outbound: ArcSwap::from_pointee(peer_out::Settings {
                domains,
                secret,
                dialback: true,
                bidi: s2s.bidi,
                management: true,
                resumption: true,
                limits: peer_out::Limits::default(),
            }),
            calls: Arc::new(Semaphore::new(CALLS)),
            flows: Flows::default(),
            verifications: Arc::new(Semaphore::new(VERIFICATIONS)),
            lines: Lines::default(),
            sessions: PeerSessions::new(bounds),
        }
    }

    /// What a server that connects to us is met by.
    pub fn inbound(&self) -> Arc<peer_in::Settings> {
        self.inbound.load_full()
    }

    /// What we call a server by.
    pub fn outbound(&self) -> Arc<peer_out::Settings> {
        self.outbound.load_full()
    }

    /// From here on these are the domains, services and components of ours. Streams that there
    /// are keep to those they began with.
    pub fn set_domains(&self, domains: Vec<SmolStr>) {
        let mut inbound = peer_in::Settings::clone(&self.inbound.load());
        let mut outbound = peer_out::Settings::clone(&self.outbound.load());
        inbound.domains.clone_from(&domains);
        outbound.domains = domains;
        self.inbound.store(Arc::new(inbound));
        self.outbound.store(Arc::new(outbound));
    }

    /// Asks the server of `query.pair.from` about a key; the answer goes to `asker`. False if too
    /// many are being asked.
    pub fn verify(
        self: &Arc<Peers>,
        realm: &Arc<Realm>,
        query: Query,
        asker: Addr<Stream>,
    ) -> bool {
        let Ok(place) = Arc::clone(&self.verifications).try_acquire_owned() else {
            return false;
        };
        let errand = Errand {
            pair: query.pair.reversed(),
            purpose: Purpose::Verify,
            external: false,
            earlier: None,
        };
        let caller = Caller::Asker {
            query,
            asker,
            place,
        };
        Stream::call(realm, self, Call { errand, caller });
        true
    }
}

/// The way to all of them.
pub struct Abroad(pub Arc<Peers>);

impl Roads for Abroad {
    fn call(&self, realm: &Arc<Realm>, wish: Wish) -> Recipient<ToStream> {
        let shared = || self.0.lines.find(&wish.pair).filter(|_| !wish.alone);
        if let Some(stream) = shared() {
            let end = LinesEnd::borrowed(wish.number, wish.link);
            stream.do_send(ToStream::Attach(wish.pair, end));
            return stream.recipient();
        }
        // Where something came back there is no session: there is nothing that we have handled.
        let earlier = wish.earlier.map(|previd| Earlier { previd, h: 0 });
        let errand = Errand {
            external: is_certified(realm, &wish.pair.from),
            pair: wish.pair,
            purpose: Purpose::Send,
            earlier,
        };
        let caller = Caller::link(wish.number, wish.link);
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
        _ if realm.site.is_here(domain) || realm.site.blocks(domain) => Standing::Blocked,
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
