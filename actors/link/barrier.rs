//! What a server has that does not acknowledge (XEP-0198): behind what was written goes a question
//! that it must answer (RFC 6120 §8.2.3), a ping (XEP-0199). It reads in order (RFC 6120 §10.1), so
//! with the answer it has all that came before; an error is an answer, too. Who answers to nothing
//! is taken to have what stayed written for a while.

use std::time::Duration;

use actix::prelude::*;
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::{IqType, Kind, Stanza};
use rookery_protocol::xml::Element;
use smol_str::SmolStr;

use super::{Link, key_of};
use crate::messages::{Mail, ToStream};
use crate::realm::Realm;
use crate::site::random_id;
use rookery_protocol::dialback::Pair;

/// What ids of these questions begin with: the answer is no business of anybody else.
const MARK: &str = "barrier-";
/// From the first stanza of which nothing is known to the question: one does for many.
const PAUSE: Duration = Duration::from_millis(200);

/// A question that is not answered yet.
pub(super) struct Barrier {
    id: SmolStr,
    /// So many of what was written, from the first on, were written before it.
    covers: usize,
}

impl Link {
    /// Sees to it that the server is asked, where it does not acknowledge.
    pub(super) fn ask_for_more(&mut self, ctx: &mut Context<Link>) {
        let line = self.line.as_ref().map(|it| it.acks);
        let asks = line == Some(Some(false)) && self.barrier.is_none() && self.outbox.owes();
        if asks && !std::mem::replace(&mut self.barrier_due, true) {
            ctx.run_later(PAUSE, |link, _| link.raise_barrier());
        }
    }

    fn raise_barrier(&mut self) {
        self.barrier_due = false;
        let Some(line) = self.line.as_ref().filter(|it| it.acks == Some(false)) else {
            return;
        };
        let (Ok(from), Ok(to)) = (Jid::parse(&self.pair.from), Jid::parse(&self.pair.to)) else {
            return;
        };
        if !self.outbox.owes() || self.barrier.is_some() {
            return;
        }
        let id = smol_str::format_smolstr!("{MARK}{}", random_id());
        let question = Stanza::iq(IqType::Get, id.clone())
            .with_from(from)
            .with_to(to)
            .with_child(&Element::new(ns::PING, "ping"));
        let bytes = question.to_bytes();
        line.stream.do_send(ToStream::Write { bytes, ask: false });
        let covers = self.outbox.unacked();
        self.barrier = Some(Barrier { id, covers });
    }

    /// The other server has read all that was written before this question.
    pub(super) fn barrier_passed(&mut self, id: &str, ctx: &mut Context<Link>) {
        if let Some(barrier) = self.barrier.take_if(|it| it.id == id) {
            self.later.append(self.outbox.acked(barrier.covers));
            self.go_on(ctx);
        }
    }

    /// What stayed written for long is taken to have arrived.
    pub(super) fn settle_by_time(&mut self, since: crate::effect::Millis) {
        let before = self.outbox.unacked();
        self.later.append(self.outbox.settled(since));
        let gone = before - self.outbox.unacked();
        if let Some(barrier) = &mut self.barrier {
            barrier.covers = barrier.covers.saturating_sub(gone);
        }
    }
}

impl Realm {
    /// A stanza came from another server: it may be the answer to such a question.
    pub(crate) fn answered(&self, stanza: &Stanza) {
        let (Kind::Iq(IqType::Result | IqType::Error), Some(id)) = (stanza.kind, &stanza.id) else {
            return;
        };
        if let (Some(from), Some(to)) = (&stanza.from, &stanza.to)
            && id.starts_with(MARK)
            && from.as_str() == from.domain()
            && to.as_str() == to.domain()
        {
            let key = key_of(&Pair::new(to.domain(), from.domain()));
            // A Link that is gone asks nothing any more.
            let _ = self.links.send(&key, Mail::Answered(id.clone()));
        }
    }
}
