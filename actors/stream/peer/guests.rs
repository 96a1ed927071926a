//! One stream for the Links of several pairs (XEP-0220 §2.6): ours, for other domains of ours, each
//! proved by itself; theirs, for what goes back. What is acknowledged goes to who sent it.

use std::collections::VecDeque;

use actix::prelude::*;
use rookery_protocol::dialback::Pair;
use rookery_protocol::error::StreamError;
use rookery_protocol::negotiation::peer_out::Event as Happened;
use rookery_protocol::negotiation::{Refusal, Standing};

use super::{LinesEnd, Peer, Side, State, Stream};
use crate::link;
use crate::messages::{FromLine, Sequel};
use rookery_protocol::stanza::Stanza;

/// Links that send on a stream that was opened for another one.
#[derive(Default)]
pub(super) struct Guests {
    list: Vec<Guest>,
    /// Whose the stanzas are that are not acknowledged, in their order.
    turns: VecDeque<Turn>,
}

struct Guest {
    pair: Pair,
    /// None: it has gone.
    end: Option<LinesEnd>,
}

/// Who sent a stanza: the Link for which the stream is, or a guest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Host,
    Guest(usize),
}

impl Stream {
    /// A Link wants to send on this stream.
    pub(in crate::stream) fn attach(
        &mut self,
        pair: Pair,
        end: LinesEnd,
        ctx: &mut Context<Stream>,
    ) {
        let State::Peer(peer) = &mut self.state else {
            // Dropped, it says that there is no line.
            return;
        };
        if let Side::In(_) = peer.side {
            return self.attach_back(&pair, end, ctx);
        }
        let (wanted, domain) = (pair.clone(), pair.to.clone());
        peer.guests.enter(pair, end);
        let certified = peer.stands(&self.realm, &domain) == Standing::Certified;
        let pair = wanted;
        self.tell_out(Happened::Want { pair, certified }, ctx);
    }

    /// Other Links may send to this server on this stream.
    pub(super) fn share(&mut self, ctx: &mut Context<Stream>) {
        if let State::Peer(peer) = &self.state
            && let Side::Out(machine, _) = &peer.side
            && machine.takes_more()
        {
            let domain = machine.errand().pair.to.clone();
            peer.peers.lines.share(domain, ctx.address());
        }
    }

    /// The stream ends: nobody else comes.
    pub(in crate::stream) fn withdraw(&mut self, ctx: &mut Context<Stream>) {
        if let State::Peer(peer) = &self.state {
            peer.peers.lines.withdraw(&ctx.address());
        }
    }

    /// A Link has nothing more to send; `word`: as the server stops. The last one ends the stream.
    pub(in crate::stream) fn leave(
        &mut self,
        pair: &Pair,
        word: Option<StreamError>,
        ctx: &mut Context<Stream>,
    ) {
        let State::Peer(peer) = &mut self.state else {
            return;
        };
        match (&mut peer.side, word) {
            (Side::In(_), None) => self.detach(),
            (Side::In(_), Some(error)) => self.fail_peer(error, ctx),
            (Side::Out(machine, caller), word) => {
                let is_guest = peer.guests.leave(pair);
                let is_host = !is_guest && machine.errand().pair == *pair;
                let others = peer.guests.are_there();
                if is_host && others {
                    caller.down(None);
                }
                let alone = is_host || caller.line().is_none_or(|it| !it.is_there());
                match word {
                    _ if others || !alone => {}
                    Some(error) => self.fail_peer(error, ctx),
                    None => self.tell_out(Happened::Finish, ctx),
                }
            }
        }
    }
}

impl Peer {
    /// Stanzas of this pair may go; answers whether a guest hears of it.
    pub(super) fn guest_is_up(&self, pair: &Pair) -> bool {
        let acks = self.acks.is_some();
        let guest = self.guests.of(pair);
        if let Some(end) = guest {
            let sequel = Sequel::default();
            end.tell(|line| FromLine::Up { line, acks, sequel });
        }
        guest.is_some()
    }

    /// They may not: the guest, if it is one, must call by itself.
    pub(super) fn guest_is_denied(&mut self, pair: &Pair) -> bool {
        let at = self.guests.position(pair);
        if let Some(at) = at
            && let Some(end) = self.guests.list[at].end.take()
        {
            end.ends(Some(Refusal::Separate));
        }
        at.is_some()
    }

    /// Who sends this stanza.
    pub(super) fn turn_of(&self, stanza: &Stanza) -> Turn {
        let pair = link::pair_of(stanza);
        let guest = pair.and_then(|it| self.guests.position(&it));
        guest.map_or(Turn::Host, Turn::Guest)
    }

    /// So many more are acknowledged.
    pub(super) fn acknowledged(&mut self, count: usize) {
        let turns = &mut self.guests.turns;
        let gone: Vec<Turn> = turns.drain(..count.min(turns.len())).collect();
        let of = |turn: Turn| gone.iter().filter(|it| **it == turn).count();
        let guests = self.guests.list.iter().enumerate();
        let guests = guests.map(|(at, guest)| (Turn::Guest(at), guest.end.as_ref()));
        for (turn, end) in guests.chain([(Turn::Host, self.host())]) {
            let count = of(turn);
            if let Some(end) = end.filter(|_| count > 0) {
                end.tell(|line| FromLine::Acked { line, count });
            }
        }
    }

    /// Tells all who send.
    pub(super) fn tell_all(&self, news: impl Fn(u32) -> FromLine) {
        let guests = self.guests.list.iter().filter_map(|it| it.end.as_ref());
        guests.chain(self.host()).for_each(|end| end.tell(&news));
    }

    /// The Link for which the stream is, or who sends on one that is not ours.
    fn host(&self) -> Option<&LinesEnd> {
        match &self.side {
            Side::Out(_, caller) => caller.line(),
            Side::In(_) => self.back.as_ref()?.end(),
        }
    }
}

impl Guests {
    /// A stanza went out that will be acknowledged.
    pub fn wrote(&mut self, turn: Turn) {
        self.turns.push_back(turn);
    }

    fn enter(&mut self, pair: Pair, end: LinesEnd) {
        let end = Some(end);
        match self.list.iter_mut().find(|it| it.pair == pair) {
            Some(guest) => guest.end = end,
            None => self.list.push(Guest { pair, end }),
        }
    }

    /// Answers whether it was one.
    fn leave(&mut self, pair: &Pair) -> bool {
        let at = self.position(pair);
        if let Some(at) = at {
            self.list[at].end = None;
        }
        at.is_some()
    }

    fn are_there(&self) -> bool {
        self.list.iter().any(|it| it.end.is_some())
    }

    fn position(&self, pair: &Pair) -> Option<usize> {
        let is_it = |it: &Guest| it.pair == *pair && it.end.is_some();
        self.list.iter().position(is_it)
    }

    fn of(&self, pair: &Pair) -> Option<&LinesEnd> {
        self.list[self.position(pair)?].end.as_ref()
    }
}
