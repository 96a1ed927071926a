//! The machine of a server that we called: how it is reached, what happened, and what it says to
//! do.

use std::sync::Arc;
use std::time::Instant;

use actix::prelude::*;
use rookery_protocol::dialback::Pair;
use rookery_protocol::error::{Condition, StreamCondition, StreamError};
use rookery_protocol::negotiation::Refusal;
use rookery_protocol::negotiation::peer_out::{Action, Event as Happened};
use rookery_protocol::reader::Event;
use rookery_protocol::stream_management::Outbound;
use rookery_protocol::targets::Tls;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tracing::{debug, info};

use super::acks::Acks;
use super::{Caller, Peers, REACHED_PATIENCE, Side, State, Stream};
use crate::dial::Route;
use crate::messages::{FromLine, ToStream};
use crate::peer_tls::{Beginning, Presented, Reference};
use crate::peers::Place;
use crate::realm::Realm;
use crate::trace::Tracer;
use crate::transport::Transport;

/// What was read, as the machine hears it.
pub(super) fn event(event: Event, behind: usize) -> Happened {
    match event {
        Event::Open(header) => Happened::Open(header),
        Event::Element(element) => Happened::Element {
            element: element.to_element(),
            behind,
        },
        Event::Whitespace => Happened::Whitespace,
        Event::Close => Happened::Close,
        Event::Oversized(_) => Happened::Fail(StreamError::new(StreamCondition::PolicyViolation)),
    }
}

/// A connection to another server.
struct Reached {
    transport: Transport,
    place: Place,
    address: std::net::IpAddr,
    called: OwnedSemaphorePermit,
    /// Where it began with TLS: what it showed.
    shown: Option<Presented>,
}

impl Stream {
    /// Looks for the server, and connects.
    pub(super) fn dial(&mut self, pair: Pair, ctx: &mut Context<Stream>) {
        let State::Peer(peer) = &self.state else {
            return;
        };
        let (realm, peers) = (Arc::clone(&self.realm), Arc::clone(&peer.peers));
        let tracer = peer.tracer().cloned();
        let work = async move { reach(&realm, &peers, &pair, tracer).await };
        ctx.spawn(
            work.into_actor(self)
                .map(|reached, stream, ctx| match reached {
                    Ok(reached) => stream.reached(reached, ctx),
                    Err(refusal) => stream.tell_out(Happened::Lost(refusal), ctx),
                }),
        );
    }

    /// Notes why a server that we called is not reached.
    pub(super) fn trouble(&self, what: String) {
        let State::Peer(peer) = &self.state else {
            return;
        };
        if let Side::Out(machine, _) = &peer.side {
            let domain = &machine.errand().pair.to;
            (self.realm.roll).trouble(true, domain, what, self.realm.site.now());
        }
    }

    fn reached(&mut self, reached: Reached, ctx: &mut Context<Stream>) {
        let State::Peer(peer) = &mut self.state else {
            return;
        };
        self.peer = reached.address;
        peer.entry
            .learn(|facts| facts.address = Some(reached.address));
        self.transport = reached.transport;
        peer.place = reached.place;
        peer.began = Instant::now();
        peer.called = Some(reached.called);
        // Stanzas may come back.
        self.rates = Stream::rates_of_servers(&self.realm, reached.address);
        match reached.shown {
            Some(shown) => self.secured_by(shown, true, ctx),
            None => self.tell_out(Happened::Connected, ctx),
        }
    }

    /// Tells the machine what happened, and does what it answers.
    pub(in crate::stream) fn tell_out(&mut self, happened: Happened, ctx: &mut Context<Stream>) {
        let State::Peer(peer) = &mut self.state else {
            return;
        };
        let Side::Out(machine, _) = &mut peer.side else {
            return;
        };
        for action in machine.handle(happened) {
            self.act_out(action, ctx);
        }
        self.go_on(ctx);
        self.nudge();
    }

    fn act_out(&mut self, action: Action, ctx: &mut Context<Stream>) {
        let State::Peer(peer) = &mut self.state else {
            return;
        };
        match &action {
            Action::Proved(pair) if peer.guest_is_up(pair) => {
                peer.entry.prove(&pair.from, &pair.to, Some(false), false);
                return debug!(server = %pair.to, from = %pair.from, "one domain more goes there");
            }
            Action::Denied { pair, .. } if peer.guest_is_denied(pair) => return,
            _ => {}
        }
        let Side::Out(_, caller) = &mut peer.side else {
            return;
        };
        match action {
            Action::Write(bytes) => {
                if let Caller::Tracer(end) = caller {
                    end.tracer.said(&bytes);
                }
                self.write(&bytes);
            }
            Action::StartTls(_) => self.upgrade_due = true,
            Action::Restart => self.reader.restart(),
            Action::Proved(pair) => self.reached_pair(&pair, ctx),
            Action::Denied { refusal, .. } => caller.down(Some(refusal)),
            Action::Verified { verdict, .. } => {
                if let Caller::Asker { query, asker, .. } = caller {
                    let query = query.clone();
                    asker.do_send(ToStream::Verified { query, verdict });
                    // That was all that it was for.
                    self.tell_out(Happened::Finish, ctx);
                }
            }
            Action::Enabled(id) => {
                peer.acks = Some(Acks::since(peer.owner.admitted()));
                peer.sequel.id = id;
            }
            Action::Resumed(h) => {
                let mut acks = Acks::since(peer.owner.admitted());
                acks.sent = Outbound::restored(h.into(), h.into());
                peer.acks = Some(acks);
                (peer.sequel.had, peer.sequel.resumed) = (Some(h), true);
            }
            Action::NotResumed(h) => peer.sequel.had = h,
            Action::Managed(command) => self.managed(command, ctx),
            Action::Close(refusal) => {
                if let Some(refusal) = &refusal {
                    debug!(peer = %self.peer, %refusal, "a stream to a server ends");
                }
                caller.down(refusal);
                self.hang_up(ctx);
            }
        }
    }
}

impl Stream {
    /// What the stream is for is proved.
    fn reached_pair(&mut self, pair: &Pair, ctx: &mut Context<Stream>) {
        let State::Peer(peer) = &mut self.state else {
            return;
        };
        let Side::Out(machine, caller) = &mut peer.side else {
            return;
        };
        let (external, both) = (machine.is_external(), machine.is_bidi());
        info!(server = %pair.to, from = %pair.from, external, "a server was reached");
        let acks = peer.acks.is_some();
        peer.entry.prove(&pair.from, &pair.to, Some(external), both);
        self.realm.roll.well(true, &pair.to);
        let sequel = std::mem::take(&mut peer.sequel);
        // A session tells what has arrived of one Link's.
        let is_for_one = sequel.resumed || sequel.id.is_some();
        caller.tell(|line| FromLine::Up { line, acks, sequel });
        let is_traced = match caller {
            Caller::Tracer(end) => {
                end.tell(Ok(()));
                true
            }
            _ => false,
        };
        self.prove_peer();
        if is_traced {
            // That was all that it was for.
            self.tell_out(Happened::Finish, ctx);
        } else if !is_for_one {
            self.share(ctx);
        }
    }
}

/// Connects to one of the places where the domain is found; where TLS comes first, with it.
async fn reach(
    realm: &Realm,
    peers: &Peers,
    pair: &Pair,
    tracer: Option<Tracer>,
) -> Result<Reached, Refusal> {
    // Never closed. It is held until the server is known to be one.
    let called = Arc::clone(&peers.calls).acquire_owned().await;
    let called = called.map_err(|_| Refusal::Lost)?;
    let unresolved = |why: crate::resolver::Unresolved| {
        debug!(server = %pair.to, %why, "a server is not found");
        realm
            .roll
            .trouble(true, &pair.to, why.to_string(), realm.site.now());
        not_reached(why.condition())
    };
    let mut route = peers.dialer.route(&pair.to).await.map_err(unresolved)?;
    let begun = Instant::now();
    let mut told = 0;
    while begun.elapsed() < REACHED_PATIENCE
        && let Some(line) = route.connect().await
    {
        if let Some(tracer) = &tracer {
            told = told_tries(tracer, &route, told);
            tracer.connected(line.address.ip(), &line.target);
        }
        let place = Place {
            target: line.target.proved.then(|| line.target.host.clone()),
            pins: line.pins.clone(),
        };
        let address = line.address.ip();
        if line.target.tls == Tls::StartTls {
            return Ok(Reached {
                transport: Transport::Tcp(line.tcp),
                place,
                address,
                called,
                shown: None,
            });
        }
        let target = line.target;
        match secure(realm, line.tcp, Beginning::Direct, pair).await {
            Ok((transport, shown)) => {
                return Ok(Reached {
                    transport,
                    place,
                    address,
                    called,
                    shown: Some(shown),
                });
            }
            Err(why) => route.failed(&target, address, format!("encryption failed: {why}")),
        }
    }
    if let Some(tracer) = &tracer {
        told_tries(tracer, &route, told);
    }
    let tries: Vec<String> = route.tries().iter().map(ToString::to_string).collect();
    debug!(server = %pair.to, ?tries, "tried in vain");
    realm
        .roll
        .trouble(true, &pair.to, tries.join("; "), realm.site.now());
    Err(not_reached(route.condition()))
}

/// Tells what was tried in vain since; answers how much of it is told by now.
fn told_tries(tracer: &Tracer, route: &Route, told: usize) -> usize {
    let tries = route.tries();
    for attempt in &tries[told..] {
        tracer.note(attempt.to_string());
    }
    tries.len()
}

fn not_reached(condition: Condition) -> Refusal {
    match condition {
        Condition::RemoteServerNotFound => Refusal::NoServer,
        _ => Refusal::Unreachable,
    }
}

/// The handshake with a server that we called.
pub(super) async fn secure(
    realm: &Realm,
    tcp: TcpStream,
    beginning: Beginning,
    pair: &Pair,
) -> std::io::Result<(Transport, Presented)> {
    let tls = Arc::clone(&realm.tls.load().peers);
    let name = |domain| Reference::new(domain).map_err(std::io::Error::other);
    let (own, theirs) = (name(&pair.from)?, name(&pair.to)?);
    let limit = realm.site.settings.limits.handshake;
    let work = tls.connect(tcp, beginning, &own, &theirs);
    let (stream, shown) = tokio::time::timeout(limit, work).await??;
    Ok((Transport::Tls(Box::new(stream.into())), shown))
}
