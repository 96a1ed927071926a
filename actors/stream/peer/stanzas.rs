//! Stanzas of another server and for it.

use actix::prelude::*;
use bytes::Bytes;
use rookery_protocol::error::{StanzaError, StreamCondition, StreamError};
use rookery_protocol::ns;
use rookery_protocol::reader::{Oversized, RawElement};
use rookery_protocol::stanza::{IqType, Kind, Stanza, Unreadable};
use rookery_storage::Frame;
use tracing::warn;

use super::{Peer, Side, State, Stream};
use crate::effect::{Envelope, Marks};
use crate::messages::FromLine;
use crate::receipt::{Head, Notice, Receipt};

/// With more than this unwritten a Link gives no more.
const FULL: usize = 256 * 1024;

impl Stream {
    /// A stanza, from a server that has proved something.
    pub(super) fn stanza(&mut self, element: &RawElement, ctx: &mut Context<Stream>) {
        let size = element.wire_len();
        let stanza = match element.to_stanza() {
            Ok(stanza) => stanza,
            Err(Unreadable::Reply(reply)) => return self.answered(Some(*reply), size),
            Err(Unreadable::Ignore) => return self.answered(None, size),
            Err(Unreadable::Stream(error)) => return self.fail_peer(error, ctx),
        };
        let State::Peer(peer) = &self.state else {
            return;
        };
        // RFC 6120 §8.1.1.2, §8.1.2.2: between servers both are always there.
        let admitted = match (&stanza.from, &stanza.to) {
            (Some(from), Some(to)) => peer.admits(from, to),
            _ => Err(StreamError::new(StreamCondition::ImproperAddressing)),
        };
        match admitted {
            Ok(()) => {
                self.speaks(ctx);
                self.enter(stanza, size);
            }
            Err(error) => self.fail_peer(error, ctx),
        }
    }

    /// Who sends stanzas has negotiated what it wants.
    fn speaks(&mut self, ctx: &mut Context<Stream>) {
        self.offer_back(ctx);
        if let State::Peer(peer) = &mut self.state
            && let Side::Out(_, caller) = &peer.side
            && !std::mem::replace(&mut peer.mixed, true)
        {
            caller.tell(|line| FromLine::Mixed { line });
        }
    }

    fn enter(&mut self, mut stanza: Stanza, size: usize) {
        let State::Peer(peer) = &self.state else {
            return;
        };
        if stanza.lang.is_none() {
            stanza.lang.clone_from(&peer.lang);
        }
        peer.entry.came(peer.acks.is_some());
        let go_on = peer.owner.admit(size);
        let receipt = peer.owner.receipt(Head::from_elsewhere(&stanza), size);
        let acks = peer.acks.as_ref();
        if acks.is_some_and(|it| it.swallows(peer.owner.admitted())) {
            return self.swallow(&stanza, receipt);
        }
        self.realm.answered(&stanza);
        let marks = Marks {
            stamp: self.realm.site.now(),
            ..Marks::default()
        };
        #[cfg(feature = "seeded-bugs")]
        let receipt = match rookery_storage::seeded_bugs::is_on("ack-to-peer-what-came") {
            true => {
                receipt.settle();
                crate::receipt::Receipt::none()
            }
            false => receipt,
        };
        self.realm.route(Envelope {
            stanza,
            marks,
            rows: Frame::new(),
            receipt,
        });
        self.paused |= !go_on;
    }

    /// What was done before we started again is not done twice; who asked for it hears that it was.
    fn swallow(&mut self, stanza: &Stanza, receipt: Receipt) {
        receipt.settle();
        if let Kind::Iq(IqType::Set) = stanza.kind {
            self.realm.route(Envelope::plain(stanza.result_reply(None)));
        }
    }

    /// A stanza that nobody gets: it is handled as soon as it is answered.
    fn answered(&mut self, reply: Option<Stanza>, size: usize) {
        let State::Peer(peer) = &self.state else {
            return;
        };
        let go_on = peer.owner.pass_by(reply.as_ref(), size);
        // Only to whom this stream is from.
        if let Some(reply) = reply
            && let (Some(from), Some(to)) = (&reply.from, &reply.to)
            && peer.admits(to, from).is_ok()
        {
            self.realm.route(Envelope::plain(reply));
        }
        self.paused |= !go_on;
    }

    /// A stanza over the limit went by.
    pub(super) fn oversized(&mut self, oversized: &Oversized, _: &mut Context<Stream>) {
        let State::Peer(peer) = &self.state else {
            return;
        };
        let size = peer.owner.size_of_skipped(oversized.len);
        self.answered(oversized.reply(), size);
    }

    /// News of the ledger.
    pub(in crate::stream) fn ledger(&mut self, notice: Notice, ctx: &mut Context<Stream>) {
        if let State::Outsider(_) = self.state {
            return self.ledger_outside(notice, ctx);
        }
        match notice {
            Notice::Settled => self.settled(ctx),
            Notice::Lost => self.lost(),
            Notice::Resume => self.resume(ctx),
        }
    }

    /// What was lost here its senders are told of.
    pub(super) fn lost(&mut self) {
        let State::Peer(peer) = &self.state else {
            return;
        };
        for (head, condition) in peer.owner.take_lost() {
            let error = StanzaError::new(condition);
            if let Some(reply) = head.to_stanza().error_reply(&error) {
                self.realm.route(Envelope::plain(reply));
            }
        }
    }

    /// Writes a stanza of ours, as it is stored.
    pub(in crate::stream) fn write_to_peer(&mut self, bytes: &Bytes, ask: bool) {
        let Ok(stanza) = Stanza::parse_stored(bytes.clone()) else {
            return warn!("a stanza that waited cannot be read");
        };
        let mut out = Vec::with_capacity(bytes.len() + 32);
        stanza.write_for(&mut out, ns::SERVER);
        self.write(&out);
        let State::Peer(peer) = &mut self.state else {
            return;
        };
        peer.entry.went(peer.acks.is_some());
        let turn = peer.turn_of(&stanza);
        if let Some(acks) = &mut peer.acks {
            acks.sent.send();
            peer.guests.wrote(turn);
            if ask {
                acks.ask(std::time::Instant::now());
            }
        }
        self.ask_due |= ask;
        if self.out.len() > FULL && !std::mem::replace(&mut peer.full, true) {
            peer.tell_all(|line| FromLine::Full { line });
        }
    }

    /// All is written.
    pub(in crate::stream) fn drained(&mut self) {
        if let State::Peer(peer) = &mut self.state
            && std::mem::take(&mut peer.full)
        {
            peer.tell_all(|line| FromLine::Drained { line });
        }
    }
}

impl Peer {
    fn admits(
        &self,
        from: &rookery_protocol::jid::Jid,
        to: &rookery_protocol::jid::Jid,
    ) -> Result<(), StreamError> {
        match &self.side {
            Side::In(machine) => machine.admits(from, to),
            Side::Out(machine, _) => machine.admits(from, to),
        }
    }
}
