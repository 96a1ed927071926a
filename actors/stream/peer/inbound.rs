//! The machine of a server that connected to us: what happened, and what it says to do.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use actix::prelude::*;
use rookery_protocol::dialback::{Problem, Verdict};
use rookery_protocol::error::{StreamCondition, StreamError};
use rookery_protocol::negotiation::peer_in::{Action, Event as Happened};
use rookery_protocol::reader::Event;
use tokio::net::TcpStream;
use tracing::{debug, info};

use super::{Side, State, Stream};
use crate::peer_tls::{Beginning, Presented};
use crate::peers::Query;
use crate::realm::Realm;
use crate::site::fill_random;
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

impl Stream {
    /// Tells the machine what happened, and does what it answers.
    pub(in crate::stream) fn tell_in(&mut self, happened: Happened, ctx: &mut Context<Stream>) {
        let mut news = VecDeque::from([happened]);
        while let Some(happened) = news.pop_front() {
            let State::Peer(peer) = &mut self.state else {
                return;
            };
            let Side::In(machine) = &mut peer.side else {
                return;
            };
            for action in machine.handle(happened, &mut fill_random) {
                news.extend(self.act_in(action, ctx));
            }
        }
        self.go_on(ctx);
        self.nudge();
    }

    /// Does one thing; answers what the machine hears of it at once.
    fn act_in(&mut self, action: Action, ctx: &mut Context<Stream>) -> Option<Happened> {
        let State::Peer(peer) = &mut self.state else {
            return None;
        };
        match action {
            Action::Write(bytes) => self.write(&bytes),
            Action::StartTls(_) => self.upgrade_due = true,
            Action::Restart => self.reader.restart(),
            Action::Judge(domain) => {
                return Some(Happened::Judged(peer.stands(&self.realm, &domain)));
            }
            Action::Verify { pair, id, key } => {
                let peers = Arc::clone(&peer.peers);
                let query = Query {
                    pair: pair.clone(),
                    id: id.clone(),
                    key,
                };
                let admitted = self.realm.gate.inquires(self.peer, Instant::now());
                if !admitted || !peers.verify(&self.realm, query, ctx.address()) {
                    let verdict = Verdict::Error(Problem::ResourceConstraint);
                    return Some(Happened::Verified { pair, id, verdict });
                }
            }
            Action::Proved { pair, bidi } => {
                peer.entry.prove(&pair.to, &pair.from, None, bidi);
                self.realm.roll.well(false, &pair.from);
                if self.realm.site.blocks(&pair.from) {
                    // It was blocked while the proof was on its way.
                    let error = StreamError::new(StreamCondition::PolicyViolation);
                    return Some(Happened::Fail(error));
                }
                self.realm.is_back(&pair.reversed());
                self.may_go_back(&pair, bidi);
                // One line of log for a stream, however many domains it proves.
                let (server, to, address) = (&pair.from, &pair.to, self.peer);
                match self.prove_peer() {
                    true => info!(%server, %to, %address, "a server came"),
                    false => debug!(%server, %to, %address, "a server proved one domain more"),
                }
            }
            Action::Enabled(id) => self.count_from_here(id, ctx),
            Action::Managed(command) => self.managed(command, ctx),
            Action::Resume { peer, previd, .. } => {
                return self.resume_session(&peer, &previd, ctx);
            }
            Action::Close(error) => {
                if let Some(error) = error {
                    let condition = error.condition.as_str();
                    debug!(peer = %self.peer, condition, "a server's stream ends");
                    if !peer.proved {
                        self.realm.gate.failed(self.peer, Instant::now());
                    }
                }
                self.hang_up(ctx);
            }
        }
        None
    }
}

/// The handshake with a server that connected to us.
pub(super) async fn secure(
    realm: &Realm,
    tcp: TcpStream,
    beginning: Beginning,
) -> std::io::Result<(Transport, Presented)> {
    let tls = Arc::clone(&realm.tls.load().peers);
    let limit = realm.site.settings.limits.handshake;
    let work = tls.accept(tcp, beginning);
    let (stream, shown) = tokio::time::timeout(limit, work).await??;
    Ok((Transport::Tls(Box::new(stream.into())), shown))
}
