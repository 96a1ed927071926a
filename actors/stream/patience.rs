//! How long a stream waits: for a login, for a peer that says nothing, for one that does not read.

use std::time::{Duration, Instant};

use actix::prelude::*;
use rookery_config::Settings;
use rookery_protocol::error::{StreamCondition, StreamError};
use tracing::debug;

use super::{Negotiation, State, Stream};
use crate::messages::ToSession;

/// The longest time between two looks at the clock, and the shortest.
const TICK: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(15));
/// Over this many times the send buffer a reader is too slow, progress or not.
const SLOW: usize = 16;

/// How often a stream looks at its clock: no time is overdrawn by more than half of it.
pub(super) fn interval(settings: &Settings) -> Duration {
    let (c2s, limits) = (&settings.c2s, &settings.limits);
    let times = [
        c2s.send_timeout,
        c2s.idle,
        c2s.ping_timeout,
        limits.until_tls,
        limits.until_bind,
    ];
    let shortest = times.into_iter().min().unwrap_or(TICK.1);
    (shortest / 2).clamp(TICK.0, TICK.1)
}

impl Stream {
    /// Looks at the clock: who is too slow to log in, silent, or does not read.
    pub(super) fn tick(&mut self, ctx: &mut Context<Stream>) {
        let now = Instant::now();
        let patience = self.realm.site.settings.c2s.send_timeout;
        let over = |since: Option<Instant>| since.is_some_and(|since| now - since > patience);
        if over(self.stuck) || over(self.behind) {
            return self.give_up(ctx);
        }
        match &self.state {
            State::Negotiating(negotiation) => {
                if now - negotiation.began > self.time_for(negotiation) {
                    self.fail(StreamError::new(StreamCondition::ConnectionTimeout), ctx);
                }
            }
            State::Live(live) => {
                let settings = &self.realm.site.settings.c2s;
                let silent = now - self.heard;
                if self.asked && silent > settings.idle + settings.ping_timeout {
                    self.fail(StreamError::new(StreamCondition::ConnectionTimeout), ctx);
                } else if !self.asked && silent > settings.idle {
                    self.asked = true;
                    live.session.do_send(ToSession::Idle);
                }
            }
            State::Peer(peer) => {
                peer.sweep(&self.realm);
                let settings = &self.realm.site.settings;
                // Servers close what they do not need; one that breaks off does not say so.
                let silent = now - self.heard > settings.outbox.idle * 2;
                let deaf = peer.is_deaf(now, settings.acks.timeout);
                if peer.is_late(now) || deaf || silent {
                    self.fail(StreamError::new(StreamCondition::ConnectionTimeout), ctx);
                }
            }
            State::Outsider(_) => self.tend_outsider(now, ctx),
            State::Closing => {}
        }
    }

    /// The bounds on what a slow reader may have before it: over the send buffer for no longer
    /// than the send timeout, and never over many times the send buffer.
    pub(super) fn bounded(&mut self, ctx: &mut Context<Stream>) {
        let buffer = self.realm.site.settings.c2s.send_buffer.get();
        let unwritten = self.out.len();
        if unwritten > buffer.saturating_mul(SLOW) {
            self.give_up(ctx);
        } else if unwritten > buffer {
            self.behind.get_or_insert_with(Instant::now);
        } else {
            self.behind = None;
        }
    }

    fn time_for(&self, negotiation: &Negotiation) -> Duration {
        let limits = &self.realm.site.settings.limits;
        match (negotiation.registering, negotiation.secured) {
            (true, _) => limits.until_registered,
            (_, true) => limits.until_bind,
            (_, false) => limits.until_tls,
        }
    }

    /// A last word would only queue behind what is not read.
    fn give_up(&mut self, ctx: &mut Context<Stream>) {
        let unwritten = self.out.len();
        debug!(peer = %self.peer, unwritten, "a reader is too slow");
        ctx.stop();
    }
}
