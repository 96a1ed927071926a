//! Stanzas for a server on the stream that it opened (XEP-0288): of the first pair that is proved
//! there, the other way round, once it is settled whether they are acknowledged.

use actix::prelude::*;
use rookery_protocol::dialback::Pair;

use super::{LinesEnd, State, Stream};
use crate::messages::{FromLine, Sequel};

/// What goes back.
pub(super) struct Back {
    /// From us to them.
    pair: Pair,
    /// Links may know.
    is_offered: bool,
    /// The Link that sends it.
    end: Option<LinesEnd>,
}

impl Stream {
    /// A pair is proved; `bidi`: its server takes stanzas back.
    pub(super) fn may_go_back(&mut self, pair: &Pair, bidi: bool) {
        if let State::Peer(peer) = &mut self.state
            && bidi
            && peer.back.is_none()
        {
            peer.back = Some(Back {
                pair: pair.reversed(),
                is_offered: false,
                end: None,
            });
        }
    }

    /// Nothing more is negotiated: Links may know of it.
    pub(super) fn offer_back(&mut self, ctx: &mut Context<Stream>) {
        if let State::Peer(peer) = &mut self.state
            && let Some(back) = &mut peer.back
            && !std::mem::replace(&mut back.is_offered, true)
        {
            peer.peers.lines.offer(&back.pair, ctx.address());
        }
    }

    /// The Link of this pair wants to send.
    pub(super) fn attach_back(&mut self, pair: &Pair, end: LinesEnd, ctx: &mut Context<Stream>) {
        let State::Peer(peer) = &mut self.state else {
            return;
        };
        match &mut peer.back {
            Some(back) if back.is_offered && back.end.is_none() && back.pair == *pair => {
                let (acks, sequel) = (peer.acks.is_some(), Sequel::default());
                end.tell(|line| FromLine::Up { line, acks, sequel });
                back.end = Some(end);
            }
            _ => {
                drop(end);
                self.withdraw(ctx);
            }
        }
    }

    /// The Link has nothing more to send; the other server may have.
    pub(super) fn detach(&mut self) {
        if let State::Peer(peer) = &mut self.state
            && let Some(back) = &mut peer.back
        {
            back.end = None;
        }
    }
}

impl Back {
    /// Its Link, while it sends.
    pub fn end(&self) -> Option<&LinesEnd> {
        self.end.as_ref()
    }
}
