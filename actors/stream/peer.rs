//! Another server's stream, whichever side began it: who it is, what it may send, what it is sent.
//!
//! The machines of the protocol say what to do; here it is done. A stanza that they admit goes
//! straight to the router, with a receipt of the stream's own ledger, which is the XEP-0198 `h` and
//! the back-pressure as it is for a client's session.

mod acks;
mod back;
mod caller;
mod guests;
mod inbound;
mod outbound;
mod stanzas;

use std::io::Error;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use parking_lot::Mutex;
use rookery_protocol::dialback::Verdict;
use rookery_protocol::error::{StreamCondition, StreamError};
use rookery_protocol::framer::Limits;
use rookery_protocol::negotiation::peer_in::{self, PeerIn};
use rookery_protocol::negotiation::peer_out::{self, PeerOut};
use rookery_protocol::negotiation::{Refusal, Standing};
use rookery_protocol::ns;
use rookery_protocol::reader::{Event, RawElement, StreamKind};
use smol_str::SmolStr;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tracing::{debug, info};

use super::{Arrival, Rates, State, Stream, negotiate};
use crate::gate::{Bucket, Pending};
use crate::messages::{Sequel, ToStream};
use crate::peer_tls::{Beginning, Presented};
use crate::peers::sessions::Hearer;
use crate::peers::{Peers, Place, Query, standing};
use crate::realm::Realm;
use crate::receipt::{Bounds, Owner};
use crate::roll::Entry;
use crate::trace::Tracer;
use acks::Acks;
use back::Back;
use guests::Guests;

pub use caller::{Call, Caller, LinesEnd};

/// How long another server that connected may take until the first pair is proved.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one that we reached may take (attack F43).
const REACHED_PATIENCE: Duration = Duration::from_secs(20);
/// The address of a server that is not dialled yet.
const UNKNOWN: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// Another server's stream.
pub(in crate::stream) struct Peer {
    side: Side,
    peers: Arc<Peers>,
    /// The certificates that it showed.
    shown: Presented,
    /// What was found out of it before.
    place: Place,
    /// The ledger of what it sent.
    owner: Arc<Owner>,
    /// Who hears of it: this stream, until another one takes the session over.
    hearer: Hearer,
    /// Stream management, once it is on.
    acks: Option<Acks>,
    began: Instant,
    /// Something is proved.
    proved: bool,
    /// The log says that its certificate is not good for a domain.
    doubted: bool,
    /// The language of what says none.
    lang: Option<SmolStr>,
    /// What became of the session of the Link's line before.
    sequel: Sequel,
    /// Stanzas came back on a stream of ours.
    mixed: bool,
    /// What is sent to who called us.
    back: Option<Back>,
    /// Other Links that send on a stream of ours.
    guests: Guests,
    /// The Link was told that it gives too much.
    full: bool,
    /// Its place among those who have not proved anything.
    pending: Option<Pending>,
    /// What whoever runs this server sees of it.
    entry: Arc<Entry>,
    /// Its place among those who were called and have not let us prove anything.
    called: Option<OwnedSemaphorePermit>,
}

enum Side {
    In(PeerIn),
    Out(PeerOut, Caller),
}

impl Stream {
    /// Takes a connection of another server, on the current lane.
    pub fn welcome(realm: &Arc<Realm>, arrival: Arrival, address: IpAddr, pending: Pending) {
        let shown = Presented::default();
        Stream::welcome_showing(realm, arrival, (address, shown), pending);
    }

    /// The same of one that has shown its certificates already.
    pub(crate) fn welcome_showing(
        realm: &Arc<Realm>,
        arrival: Arrival,
        (address, shown): (IpAddr, Presented),
        pending: Pending,
    ) {
        let Some(peers) = realm.peers.clone() else {
            return;
        };
        let rates = Stream::rates_of_servers(realm, address);
        let secured = matches!(arrival, Arrival::Other(_));
        let machine = PeerIn::new(peers.inbound(), secured);
        let realm = Arc::clone(realm);
        Stream::create(move |ctx| {
            let (side, place) = (Side::In(machine), Place::default());
            let mut peer = Peer::new(side, place, Some(pending), (&realm, &peers), ctx);
            peer.shown = shown;
            peer.entry.learn(|facts| facts.address = Some(address));
            Stream::await_closing(&realm, ctx);
            let mut stream = Stream::bare(&realm, address, StreamKind::Server);
            stream.rates = rates;
            stream.state = State::Peer(Box::new(peer));
            match arrival {
                Arrival::Plain(tcp) => stream.transport = super::Transport::Tcp(tcp),
                Arrival::Other(other) => stream.transport = super::Transport::Other(other),
                Arrival::Direct(tcp) => stream.handshake(tcp, true, ctx),
            }
            stream
        });
    }

    /// How fast a server at this address may send.
    fn rates_of_servers(realm: &Realm, address: IpAddr) -> Option<Box<Rates>> {
        let now = Instant::now();
        let burst = realm.site.settings.s2s.burst.get() as f64;
        let trusted = realm.gate.trusts(address);
        (!trusted).then(|| {
            Box::new(Rates {
                bytes: Bucket::full(burst, now),
                shared: None,
                stanzas: Bucket::full(f64::MAX, now),
            })
        })
    }

    /// Calls another server, from the lane of the caller.
    pub fn call(realm: &Arc<Realm>, peers: &Arc<Peers>, call: Call) -> Addr<Stream> {
        let (realm, peers) = (Arc::clone(realm), Arc::clone(peers));
        Stream::create(move |ctx| {
            let Call { errand, caller } = call;
            let place = Place::default();
            let question = match &caller {
                Caller::Asker { query, .. } => Some(query.clone()),
                Caller::Link(_) | Caller::Tracer(_) => None,
            };
            let machine = PeerOut::new(peers.outbound(), errand.clone());
            let side = Side::Out(machine, caller);
            let peer = Peer::new(side, place, None, (&realm, &peers), ctx);
            let mut stream = Stream::bare(&realm, UNKNOWN, StreamKind::Server);
            stream.state = State::Peer(Box::new(peer));
            if let Some(Query { pair, id, key }) = question {
                stream.tell_out(peer_out::Event::Verify { pair, id, key }, ctx);
            }
            stream.dial(errand.pair, ctx);
            stream
        })
    }

    /// Something was read.
    pub(super) fn peer_said(&mut self, event: Event, behind: usize, ctx: &mut Context<Stream>) {
        let State::Peer(peer) = &mut self.state else {
            return;
        };
        match (&event, &peer.side) {
            (Event::Open(header), _) => peer.lang.clone_from(&header.lang),
            (Event::Close, Side::In(_)) => self.forget_session(),
            _ => {}
        }
        let State::Peer(peer) = &mut self.state else {
            return;
        };
        if let Some(tracer) = peer.tracer() {
            tracer.heard(&event);
        }
        match (event, &peer.side) {
            (Event::Element(element), _) if peer.proved && is_stanza(&element) => {
                self.stanza(&element, ctx);
            }
            (Event::Oversized(oversized), _) if peer.proved => self.oversized(&oversized, ctx),
            (event, Side::In(_)) => self.tell_in(inbound::event(event, behind), ctx),
            (event, Side::Out(..)) => self.tell_out(outbound::event(event, behind), ctx),
        }
    }

    /// The stream must end with this error.
    pub(super) fn fail_peer(&mut self, error: StreamError, ctx: &mut Context<Stream>) {
        if error.condition == StreamCondition::SystemShutdown {
            self.leave_session();
        }
        let State::Peer(peer) = &self.state else {
            return;
        };
        match peer.side {
            Side::In(_) => self.tell_in(peer_in::Event::Fail(error), ctx),
            Side::Out(..) => self.tell_out(peer_out::Event::Fail(error), ctx),
        }
    }

    /// What became of a key that was asked about.
    pub(super) fn verified(&mut self, query: Query, verdict: Verdict, ctx: &mut Context<Stream>) {
        let Query { pair, id, .. } = query;
        self.realm.roll.counts.verified(verdict);
        self.tell_in(peer_in::Event::Verified { pair, id, verdict }, ctx);
    }

    /// TLS with another server, with its own time limit.
    pub(super) fn handshake_with_peer(
        &mut self,
        tcp: TcpStream,
        direct: bool,
        ctx: &mut Context<Stream>,
    ) {
        let State::Peer(peer) = &self.state else {
            return;
        };
        let pair = match &peer.side {
            Side::In(_) => None,
            Side::Out(machine, _) => Some(machine.errand().pair.clone()),
        };
        let realm = Arc::clone(&self.realm);
        let beginning = match direct {
            true => Beginning::Direct,
            false => Beginning::StartTls,
        };
        let work = async move {
            match pair {
                // Those are bounded where they are called, and take no turn from who comes.
                Some(pair) => outbound::secure(&realm, tcp, beginning, &pair).await,
                None => {
                    let _permit = realm.handshakes.acquire().await.map_err(Error::other)?;
                    inbound::secure(&realm, tcp, beginning).await
                }
            }
        };
        ctx.spawn(
            work.into_actor(self)
                .map(move |done, stream, ctx| match done {
                    Ok((transport, shown)) => {
                        stream.transport = transport;
                        stream.secured_by(shown, direct, ctx);
                    }
                    Err(why) => {
                        debug!(peer = %stream.peer, %why, "no TLS with a server");
                        stream.trouble(why.to_string());
                        stream.tell_out(peer_out::Event::Lost(Refusal::TlsFailed), ctx);
                        ctx.stop();
                    }
                }),
        );
    }

    /// TLS is there, and this is what the server showed.
    fn secured_by(&mut self, shown: Presented, direct: bool, ctx: &mut Context<Stream>) {
        let State::Peer(peer) = &mut self.state else {
            return;
        };
        peer.entry.learn(|facts| {
            facts.tls = shown.tls();
            facts.certificate = shown.description();
        });
        if let Some(tracer) = peer.tracer() {
            tracer.note(format!("encrypted: {}", shown.tls().unwrap_or_default()));
            tracer.note(match shown.description() {
                Some(description) => format!("its certificate is {description}"),
                None => "it shows no certificate".into(),
            });
        }
        peer.shown = shown;
        // RFC 6120 §5.4.3.3: nothing of before TLS is known any more.
        self.unread = Vec::new();
        self.reader.restart();
        match &mut peer.side {
            Side::In(machine) if direct => {
                *machine = PeerIn::new(peer.peers.inbound(), true);
                self.nudge();
            }
            Side::In(_) => self.tell_in(peer_in::Event::Secured, ctx),
            Side::Out(machine, _) => {
                let domain = machine.errand().pair.to.clone();
                let standing = peer.stands(&self.realm, &domain);
                self.tell_out(peer_out::Event::Secured(standing), ctx);
            }
        }
    }

    /// From here on all streams of its first domain have one rate, whoever opened them. What else
    /// this one proves comes under it, too.
    fn join_flow(&mut self) {
        let burst = self.realm.site.settings.s2s.burst.get() as f64;
        let State::Peer(peer) = &self.state else {
            return;
        };
        let domain = match &peer.side {
            Side::In(machine) => machine.pairs().first().map(|pair| &pair.from),
            Side::Out(machine, _) => Some(&machine.errand().pair.to),
        };
        if let Some(domain) = domain
            && let Some(rates) = &mut self.rates
        {
            rates.shared = Some(peer.peers.flows.of(domain, burst, Instant::now()));
        }
    }

    /// A pair is proved: it is a server, and may send what servers send. Answers whether it is the
    /// first.
    fn prove_peer(&mut self) -> bool {
        let limits = limits_of_servers(&self.realm);
        let State::Peer(peer) = &mut self.state else {
            return false;
        };
        let is_first = !std::mem::replace(&mut peer.proved, true);
        if is_first {
            peer.pending = None;
            peer.called = None;
            self.reader.set_limits(limits);
            self.join_flow();
        }
        is_first
    }
}

impl Peer {
    fn new(
        side: Side,
        place: Place,
        pending: Option<Pending>,
        (realm, peers): (&Realm, &Arc<Peers>),
        ctx: &mut Context<Stream>,
    ) -> Peer {
        let s2s = &realm.site.settings.s2s;
        let bounds = Bounds {
            stanzas: s2s.unsettled_stanzas,
            bytes: s2s.unsettled_size.get(),
        };
        let hearer: Hearer = Arc::new(Mutex::new(ctx.address()));
        let heard = Arc::clone(&hearer);
        let owner = Owner::new(bounds, move |notice| {
            heard.lock().do_send(ToStream::Ledger(notice));
        });
        let outbound = matches!(side, Side::Out(..));
        let entry = (realm.roll).enter(outbound, realm.site.now(), ctx.address().recipient());
        Peer {
            side,
            peers: Arc::clone(peers),
            shown: Presented::default(),
            place,
            owner,
            hearer,
            acks: None,
            began: Instant::now(),
            proved: false,
            doubted: false,
            lang: None,
            sequel: Sequel::default(),
            mixed: false,
            back: None,
            guests: Guests::default(),
            full: false,
            pending,
            entry,
            called: None,
        }
    }

    /// The first domain that it proved here, where it called.
    fn domain(&self) -> Option<SmolStr> {
        match &self.side {
            Side::In(machine) => Some(machine.pairs().first()?.from.clone()),
            Side::Out(..) => None,
        }
    }

    /// What its certificate is worth for this domain. The first doubt is for whoever runs this
    /// server; one stream may claim thousands of domains (attack F34).
    fn stands(&mut self, realm: &Realm, domain: &str) -> Standing {
        let (standing, proof) = standing(realm, &self.shown, domain, &self.place);
        let outbound = self.entry.outbound;
        match &proof {
            Ok(proof) => (self.entry).learn(|facts| facts.certify(domain, *proof)),
            Err(doubt) if standing == Standing::Uncertified => {
                let now = realm.site.now();
                (realm.roll).trouble(outbound, domain, doubt.to_string(), now);
            }
            Err(_) => {}
        }
        if let Some(tracer) = self.tracer() {
            tracer.judged(domain, standing, &proof);
        }
        if let (Standing::Uncertified, Err(doubt)) = (standing, proof) {
            match std::mem::replace(&mut self.doubted, true) {
                false => info!(server = %domain, %doubt, "a certificate is not good enough"),
                true => debug!(server = %domain, %doubt, "nor is it for this domain"),
            }
        }
        standing
    }

    /// Who wants to know of every step.
    fn tracer(&self) -> Option<&Tracer> {
        match &self.side {
            Side::Out(_, Caller::Tracer(end)) => Some(&end.tracer),
            _ => None,
        }
    }

    /// Whether nothing that was read may be looked at now.
    pub(super) fn waiting(&self) -> bool {
        match &self.side {
            Side::In(machine) => machine.waiting(),
            Side::Out(machine, _) => machine.waiting(),
        }
    }

    /// Forgets sessions of streams that nobody came back for.
    pub(super) fn sweep(&self, realm: &Realm) {
        self.peers.sessions.sweep(&realm.keeper);
    }

    /// It has proved nothing for too long, or nobody waits for its answer any more. One that is
    /// only looked for has the time of the dialer.
    pub(super) fn is_late(&self, now: Instant) -> bool {
        let patience = match &self.side {
            Side::Out(_, Caller::Asker { asker, .. }) if !asker.connected() => return true,
            Side::In(_) => PATIENCE,
            Side::Out(..) if self.called.is_some() => REACHED_PATIENCE,
            Side::Out(..) => return false,
        };
        !self.proved && now - self.began > patience
    }

    /// Stanzas of ours that it has not acknowledged for too long.
    pub(super) fn is_deaf(&self, now: Instant, timeout: Duration) -> bool {
        self.acks
            .as_ref()
            .is_some_and(|acks| acks.is_deaf(now, timeout))
    }
}

fn is_stanza(element: &RawElement) -> bool {
    element.ns() == ns::SERVER && matches!(element.name(), "message" | "presence" | "iq")
}

/// What a server may send once it has proved a domain.
pub(in crate::stream) fn limits_of_servers(realm: &Realm) -> Limits {
    Limits {
        bytes: realm.site.settings.s2s.stanza.get() as u32,
        ..negotiate::limits_after(realm)
    }
}

#[cfg(test)]
mod tests;
