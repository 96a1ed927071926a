//! The pings behind what was written: how a component, which has no acknowledgements, tells what it
//! has read.

use std::time::{Duration, Instant};

use actix::prelude::*;
use rookery_protocol::error::StreamCondition;
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::{IqType, Kind, Stanza};
use rookery_protocol::xml::Element;
use smol_str::SmolStr;

use super::{State, Stream};
use crate::messages::FromLine;
use crate::site::random_id;

/// Stanzas that go out within this time have one ping behind them.
const GATHER: Duration = Duration::from_millis(100);
/// With so many written it is not waited for.
const MANY: usize = 64;

/// What was written, and which ping is behind it.
#[derive(Default)]
pub(super) struct Pings {
    /// Stanzas written behind the last ping.
    written: usize,
    asked: Option<Asked>,
    /// A ping goes out soon.
    due: bool,
    /// It has answered one.
    answers: bool,
    /// Another stream says that it is the component.
    doubted: bool,
}

struct Asked {
    id: SmolStr,
    since: Instant,
    /// Stanzas written before it, and behind the one before.
    count: usize,
}

impl Pings {
    /// One stanza more.
    pub fn wrote(&mut self) {
        self.written += 1;
    }

    /// Another line: what was written before is counted no more.
    pub fn restart(&mut self) {
        self.written = 0;
        if let Some(asked) = &mut self.asked {
            asked.count = 0;
        }
    }

    /// The ping that is out has its answer, or needs none: so many stanzas more have been read.
    fn settle(&mut self) -> usize {
        self.asked.take().map_or(0, |asked| asked.count)
    }
}

impl Stream {
    /// Behind what is written goes a ping: at once where it is much, or else with what else comes
    /// now. One is out at a time.
    pub(super) fn ping_soon(&mut self, ctx: &mut Context<Stream>) {
        let State::Outsider(outsider) = &mut self.state else {
            return;
        };
        let pings = &mut outsider.pings;
        if pings.asked.is_some() || pings.written == 0 {
            return;
        }
        if pings.written >= MANY {
            return self.ping();
        }
        if !std::mem::replace(&mut pings.due, true) {
            ctx.run_later(GATHER, |stream, _| {
                if let State::Outsider(outsider) = &mut stream.state {
                    outsider.pings.due = false;
                    if outsider.pings.written > 0 {
                        stream.ping();
                    }
                }
            });
        }
    }

    /// Asks whether it is there, unless it was asked.
    pub(super) fn ping(&mut self) {
        let State::Outsider(outsider) = &mut self.state else {
            return;
        };
        let Some(attached) = outsider.attached.as_ref() else {
            return;
        };
        if outsider.pings.asked.is_some() {
            return;
        }
        let name = &attached.component().name;
        let (Ok(from), Ok(to)) = (Jid::parse(self.realm.site.home_of(name)), Jid::parse(name))
        else {
            return;
        };
        let id = random_id();
        outsider.pings.asked = Some(Asked {
            id: id.clone(),
            since: Instant::now(),
            count: std::mem::take(&mut outsider.pings.written),
        });
        let ping = Stanza::iq(IqType::Get, id).with_from(from).with_to(to);
        let ping = ping.with_child(&Element::new(ns::PING, "ping"));
        let mut out = Vec::new();
        ping.write_for(&mut out, ns::COMPONENT_ACCEPT);
        self.write(&out);
        self.nudge();
    }

    /// Whether this answers the ping that is out, as every IQ must be answered, if only by an error
    /// (RFC 6120 §8.2.3).
    pub(super) fn is_pong(&self, stanza: &Stanza) -> bool {
        let State::Outsider(outsider) = &self.state else {
            return false;
        };
        let asked = outsider.pings.asked.as_ref().map(|it| &it.id);
        matches!(stanza.kind, Kind::Iq(IqType::Result | IqType::Error))
            && asked.is_some()
            && stanza.id.as_ref() == asked
    }

    pub(super) fn ponged(&mut self, ctx: &mut Context<Stream>) {
        let State::Outsider(outsider) = &mut self.state else {
            return;
        };
        outsider.pings.answers = true;
        outsider.pings.doubted = false;
        self.settle_pings(ctx);
    }

    fn settle_pings(&mut self, ctx: &mut Context<Stream>) {
        let State::Outsider(outsider) = &mut self.state else {
            return;
        };
        let count = outsider.pings.settle();
        if count > 0
            && let Some(caller) = &outsider.caller
        {
            caller.tell(|line| FromLine::Acked { line, count });
        }
        self.ping_soon(ctx);
    }

    /// Another stream says that it is this component: is anybody there?
    pub(in crate::stream) fn doubt(&mut self) {
        if let State::Outsider(outsider) = &mut self.state {
            outsider.pings.doubted = true;
            self.ping();
        }
    }

    /// Looks at the clock. Who answers pings and leaves one unanswered is gone; who never answered
    /// any is asked again only when somebody else claims to be it.
    pub(in crate::stream) fn tend_outsider(&mut self, now: Instant, ctx: &mut Context<Stream>) {
        let settings = &self.realm.site.settings;
        let (patience, idle) = (settings.acks.timeout, settings.c2s.idle);
        let silent = now.saturating_duration_since(self.heard);
        let State::Outsider(outsider) = &self.state else {
            return;
        };
        let pings = &outsider.pings;
        let unanswered = pings.asked.as_ref();
        let unanswered = unanswered.is_some_and(|it| now - it.since > patience);
        let gone = unanswered && (pings.answers || pings.doubted && silent > patience);
        if outsider.is_late(now) || gone {
            self.fail(StreamCondition::ConnectionTimeout.into(), ctx);
        } else if unanswered {
            self.settle_pings(ctx);
        } else if silent > idle && (pings.answers || pings.asked.is_none()) {
            self.ping();
        }
    }
}
