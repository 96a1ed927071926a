//! Stream management with another server (XEP-0198): both counts. Its sessions are not kept; what
//! must last waits in the outbox of who sends it.

use std::time::{Duration, Instant};

use actix::prelude::*;
use rookery_protocol::stream_management::{self as management, Command, Outbound};

use super::{Side, State, Stream};
use crate::messages::FromLine;

/// What is counted.
pub(super) struct Acks {
    /// Stanzas that were let in before it began: they do not count.
    since: u32,
    pub sent: Outbound,
    /// When the `<r/>` that is not answered yet was sent.
    asked: Option<Instant>,
    /// The server's `<r/>` waits until all is settled that it had sent by then.
    owes: Option<u32>,
    /// A timer answers with what is settled by then.
    timed: bool,
}

impl Acks {
    /// Counts from here on: so many were let in before.
    pub fn since(admitted: u32) -> Acks {
        Acks {
            since: admitted,
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
                self.settled();
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
                    Ok(count) => {
                        if let Side::Out(_, caller) = &peer.side {
                            let count = count as usize;
                            caller.tell(|line| FromLine::Acked { line, count });
                        }
                    }
                    Err(error) => self.fail_peer(error, ctx),
                }
            }
            // The machines take these.
            Command::Enable { .. } | Command::Resume { .. } => {}
        }
    }

    /// More of what it sent is settled: an `<r/>` may be answered.
    pub(super) fn settled(&mut self) {
        let State::Peer(peer) = &mut self.state else {
            return;
        };
        let Some(acks) = peer.acks.as_mut() else {
            return;
        };
        let Some(upto) = acks.owes else { return };
        let settled = peer.owner.settled();
        if settled == upto || crate::receipt::is_later(settled, upto) {
            acks.owes = None;
            let handled = settled.wrapping_sub(acks.since);
            self.answer(handled);
        } else if !peer.owner.watch() {
            // It has settled meanwhile.
            self.settled();
        }
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
            let handled = peer.owner.settled().wrapping_sub(acks.since);
            self.answer(handled);
        }
    }

    fn answer(&mut self, handled: u32) {
        let mut answer = Vec::new();
        management::write_answer(handled.into(), &mut answer);
        self.write(&answer);
        self.nudge();
    }
}
