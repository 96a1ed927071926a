//! Stream management with another server (XEP-0198): both counts. What of its session outlives the
//! stream is in [`PeerSession`]; what must last of ours waits in the outbox of who sends it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use rookery_protocol::error::Condition;
use rookery_protocol::negotiation::peer_in::Event as Happened;
use rookery_protocol::stream_management::{self as management, Command, Outbound};
use smol_str::SmolStr;
use tokio::sync::oneshot;

use super::{State, Stream};
use crate::keeper::Tell;
use crate::peers::sessions::{Found, PeerSession, Tenure};
use crate::receipt::{Receipt, is_later};

/// What is counted.
pub(super) struct Acks {
    /// Stanzas that were let in before it began: they do not count.
    since: u32,
    /// What can be resumed, if it can.
    stay: Option<Stay>,
    pub sent: Outbound,
    /// When the `<r/>` that is not answered yet was sent.
    asked: Option<Instant>,
    /// The server's `<r/>` waits until all is settled that it had sent by then.
    owes: Option<u32>,
    /// A timer answers with what is settled by then.
    timed: bool,
}

/// A session that outlives its streams, while it is with this one.
struct Stay {
    session: Arc<PeerSession>,
    _tenure: Tenure,
    /// A frame with the count is on its way.
    writing: bool,
    /// The server was not told yet that it goes on: what it sent before must be settled first.
    coming: bool,
}

impl Acks {
    /// Counts from here on: so many were let in before.
    pub fn since(admitted: u32) -> Acks {
        Acks {
            since: admitted,
            stay: None,
            sent: Outbound::default(),
            asked: None,
            owes: None,
            timed: false,
        }
    }

    /// An `<r/>` goes out.
    pub fn ask(&mut self, now: Instant) {
        self.asked.get_or_insert(now);
    }

    /// Whether the stanza that makes the count `admitted` is handled already.
    pub fn swallows(&self, admitted: u32) -> bool {
        let stay = self.stay.as_ref();
        stay.is_some_and(|it| it.session.swallows(admitted))
    }

    pub fn is_deaf(&self, now: Instant, timeout: Duration) -> bool {
        self.asked.is_some_and(|asked| now - asked > timeout)
    }
}

impl Stream {
    /// The server asks, or answers.
    pub(super) fn managed(&mut self, command: Command, ctx: &mut Context<Stream>) {
        let delay = self.realm.site.settings.acks.delay;
        let State::Peer(peer) = &mut self.state else {
            return;
        };
        let Some(acks) = peer.acks.as_mut() else {
            return;
        };
        match command {
            Command::Request => {
                acks.owes = Some(peer.owner.admitted());
                self.settled(ctx);
                let State::Peer(peer) = &mut self.state else {
                    return;
                };
                // XEP-0198 §4: an answer is not withheld for long.
                if let Some(acks) = peer.acks.as_mut().filter(|acks| acks.owes.is_some())
                    && !std::mem::replace(&mut acks.timed, true)
                {
                    ctx.run_later(delay, |stream, _| stream.answer_late());
                }
            }
            Command::Answer { h } => {
                acks.asked = None;
                match acks.sent.acknowledge(h) {
                    Ok(count) => peer.acknowledged(count as usize),
                    Err(error) => self.fail_peer(error, ctx),
                }
            }
            // The machines take these.
            Command::Enable { .. } | Command::Resume { .. } => {}
        }
    }

    /// More of what it sent is settled: an `<r/>` may be answered, or the session go on.
    pub(super) fn settled(&mut self, ctx: &mut Context<Stream>) {
        let State::Peer(peer) = &mut self.state else {
            return;
        };
        let Some(acks) = peer.acks.as_mut() else {
            return;
        };
        let coming = acks.stay.as_ref().is_some_and(|it| it.coming);
        let goal = match (coming, acks.owes) {
            (true, _) => peer.owner.admitted(),
            (false, Some(owes)) => owes,
            (false, None) => return,
        };
        let (settled, durable) = (peer.owner.settled(), peer.owner.durable());
        if !is_later(goal, durable) {
            return match coming {
                true => self.goes_on(ctx),
                false => {
                    acks.owes = None;
                    self.answer();
                }
            };
        }
        let watched = !is_later(goal, settled) || peer.owner.watch();
        if is_later(settled, durable) {
            self.write_count(settled, ctx);
        }
        if !watched {
            // It has settled meanwhile.
            self.settled(ctx);
        }
    }

    /// Writes how many are settled, where no mark says so.
    fn write_count(&mut self, settled: u32, ctx: &mut Context<Stream>) {
        let State::Peer(peer) = &mut self.state else {
            return;
        };
        let stay = peer.acks.as_mut().and_then(|it| it.stay.as_mut());
        let Some(stay) = stay.filter(|it| !it.writing) else {
            return;
        };
        stay.writing = true;
        let written = self.realm.keeper.committed(stay.session.count(settled));
        // On a full disk it is told all the same: what is settled was refused in its turn.
        ctx.spawn(written.into_actor(self).map(move |_, stream, ctx| {
            let State::Peer(peer) = &mut stream.state else {
                return;
            };
            peer.owner.written(settled);
            if let Some(stay) = peer.acks.as_mut().and_then(|it| it.stay.as_mut()) {
                stay.writing = false;
            }
            stream.settled(ctx);
        }));
    }

    /// What is settled by now; the rest follows unasked.
    fn answer_late(&mut self) {
        let State::Peer(peer) = &mut self.state else {
            return;
        };
        let Some(acks) = peer.acks.as_mut() else {
            return;
        };
        acks.timed = false;
        if acks.owes.is_some() {
            self.answer();
        }
    }

    /// Writes `<a/>` with what is settled without a gap, as the disk knows.
    fn answer(&mut self) {
        let State::Peer(peer) = &self.state else {
            return;
        };
        let Some(acks) = &peer.acks else { return };
        let durable = peer.owner.durable();
        let handled = match &acks.stay {
            Some(stay) => stay.session.on_wire(durable),
            None if is_later(acks.since, durable) => 0,
            None => durable.wrapping_sub(acks.since),
        };
        let mut answer = Vec::new();
        management::write_answer(handled.into(), &mut answer);
        self.write(&answer);
        self.nudge();
    }

    /// Stanzas are counted from here on; with an id the session can be resumed, and nothing goes
    /// back.
    pub(super) fn count_from_here(&mut self, id: Option<SmolStr>, ctx: &mut Context<Stream>) {
        let State::Peer(peer) = &mut self.state else {
            return;
        };
        let mut acks = Acks::since(peer.owner.admitted());
        if let (Some(id), Some(domain)) = (id, peer.domain()) {
            let ledger = (&peer.owner, &peer.hearer);
            let sessions = &peer.peers.sessions;
            let (session, tenure) = sessions.begin(&self.realm.keeper, (id, domain), ledger);
            acks.stay = Some(Stay::new(session, tenure, false));
            peer.back = None;
        }
        peer.acks = Some(acks);
        self.offer_back(ctx);
    }

    /// The server wants to go on with a session; answers what it is told at once.
    pub(super) fn resume_session(
        &mut self,
        domain: &str,
        previd: &str,
        ctx: &mut Context<Stream>,
    ) -> Option<Happened> {
        let State::Peer(peer) = &mut self.state else {
            return None;
        };
        let (sessions, ledger) = (&peer.peers.sessions, (&peer.owner, &peer.hearer));
        let found = sessions.resume(&self.realm.keeper, (previd, domain), ledger);
        let condition = Condition::ItemNotFound;
        let handled = match found {
            Found::Nothing => None,
            Found::Over(handled) => Some(handled.into()),
            Found::Session {
                session,
                before,
                tenure,
            } => {
                let stay = Stay::new(session, tenure, true);
                self.take_over(stay, before, ctx);
                return None;
            }
        };
        Some(Happened::NotResumed { condition, handled })
    }

    /// Takes the session when the stream before has let go: it lets nothing more in then.
    fn take_over(
        &mut self,
        stay: Stay,
        before: Option<oneshot::Receiver<()>>,
        ctx: &mut Context<Stream>,
    ) {
        let gone = async move {
            if let Some(before) = before {
                // It never says anything: it ends.
                let _ = before.await;
            }
        };
        ctx.spawn(gone.into_actor(self).map(|(), stream, ctx| {
            let State::Peer(peer) = &mut stream.state else {
                return;
            };
            *stay.session.hearer.lock() = ctx.address();
            peer.back = None;
            peer.hearer = Arc::clone(&stay.session.hearer);
            peer.owner = Arc::clone(&stay.session.owner);
            let mut acks = Acks::since(0);
            acks.stay = Some(stay);
            peer.acks = Some(acks);
            // Of what was lost meanwhile nobody was told.
            stream.lost();
            stream.settled(ctx);
        }));
    }

    /// All is settled: the session goes on with this stream.
    fn goes_on(&mut self, ctx: &mut Context<Stream>) {
        let State::Peer(peer) = &mut self.state else {
            return;
        };
        let durable = peer.owner.durable();
        let stay = peer.acks.as_mut().and_then(|it| it.stay.as_mut());
        let Some(stay) = stay else { return };
        stay.coming = false;
        let handled = stay.session.on_wire(durable);
        self.tell_in(Happened::Resumed { handled }, ctx);
    }

    /// The server ended its stream itself: it will not want the session back.
    pub(super) fn forget_session(&mut self) {
        if let State::Peer(peer) = &mut self.state
            && let Some(stay) = peer.acks.as_mut().and_then(|it| it.stay.take())
        {
            let sessions = &peer.peers.sessions;
            sessions.forget(&self.realm.keeper, &stay.session);
        }
    }

    /// We stop. What is lost from now on was not handled: the other server sends it again.
    pub(super) fn leave_session(&mut self) {
        if let State::Peer(peer) = &self.state
            && let Some(stay) = peer.acks.as_ref().and_then(|it| it.stay.as_ref())
        {
            peer.owner.leave();
            let count = stay.session.count(peer.owner.settled());
            let keeper = &self.realm.keeper;
            keeper.commit(count, Receipt::none(), Tell::Nobody);
        }
    }
}

impl Stay {
    fn new(session: Arc<PeerSession>, tenure: Tenure, coming: bool) -> Stay {
        Stay {
            session,
            _tenure: tenure,
            writing: false,
            coming,
        }
    }
}
