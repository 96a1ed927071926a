//! An external component's stream (XEP-0114): who it is, what it may send, what it is sent.
//!
//! The protocol has no acknowledgements. A ping behind what was written tells that a component has
//! read it: stanzas are handled in the order in which they come (RFC 6120 §10.1). One that answers
//! no ping at all has what stayed written for a while.

mod pings;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use bytes::Bytes;
use rookery_protocol::error::{StanzaError, StreamCondition, StreamError};
use rookery_protocol::negotiation::component::{Action, Component, Event as Happened, Settings};
use rookery_protocol::ns;
use rookery_protocol::reader::{Event, Oversized, RawElement, StreamKind};
use rookery_protocol::stanza::{Stanza, Unreadable};
use rookery_storage::Frame;
use smol_str::SmolStr;
use tracing::{debug, info, warn};

use super::peer::{Caller, limits_of_servers};
use super::{Arrival, State, Stream};
use crate::components::Attached;
use crate::effect::{Envelope, Marks};
use crate::gate::Pending;
use crate::messages::{FromLine, Sequel, ToStream};
use crate::realm::Realm;
use crate::receipt::{Bounds, Head, Notice, Owner};
use crate::transport::Transport;
use pings::Pings;

/// How long a component may take until it has shown that it knows its secret.
const PATIENCE: Duration = Duration::from_secs(30);
/// With more than this unwritten a Link gives no more.
const FULL: usize = 256 * 1024;

/// A component's stream.
pub(in crate::stream) struct Outsider {
    machine: Component,
    /// The ledger of what it sent.
    owner: Arc<Owner>,
    /// Its stanzas come here, as long as this is held.
    attached: Option<Attached>,
    /// The Link whose line this is.
    caller: Option<Caller>,
    pings: Pings,
    /// The Link was told that it gives too much.
    full: bool,
    began: Instant,
    /// The language of what says none.
    lang: Option<SmolStr>,
    /// Its place among those who have not shown that they know a secret.
    pending: Option<Pending>,
}

impl Stream {
    /// Takes a connection of a component, on the current lane.
    pub fn adopt(realm: &Arc<Realm>, arrival: Arrival, address: IpAddr, pending: Pending) {
        let realm = Arc::clone(realm);
        Stream::create(move |ctx| {
            let known = realm.site.components.known();
            let to_self = ctx.address();
            let s2s = &realm.site.settings.s2s;
            let bounds = Bounds {
                stanzas: s2s.unsettled_stanzas,
                bytes: s2s.unsettled_size.get(),
            };
            let outsider = Outsider {
                machine: Component::new(Arc::new(Settings { known })),
                owner: Owner::new(bounds, move |notice| {
                    to_self.do_send(ToStream::Ledger(notice));
                }),
                attached: None,
                caller: None,
                pings: Pings::default(),
                full: false,
                began: Instant::now(),
                lang: None,
                pending: Some(pending),
            };
            Stream::await_closing(&realm, ctx);
            let mut stream = Stream::bare(&realm, address, StreamKind::Component);
            stream.state = State::Outsider(Box::new(outsider));
            match arrival {
                Arrival::Plain(tcp) => stream.transport = Transport::Tcp(tcp),
                Arrival::Other(other) => stream.transport = Transport::Other(other),
                Arrival::Direct(tcp) => stream.handshake(tcp, true, ctx),
            }
            stream
        });
    }

    /// Something was read.
    pub(super) fn outsider_said(&mut self, event: Event, ctx: &mut Context<Stream>) {
        let State::Outsider(outsider) = &mut self.state else {
            return;
        };
        let established = outsider.attached.is_some();
        let happened = match event {
            Event::Element(element) if established => return self.said_inside(&element, ctx),
            Event::Oversized(oversized) if established => return self.too_large(&oversized),
            // A second header, or the end, after the machine has done its work.
            Event::Open(_) if established => {
                return self.close(Some(StreamCondition::InvalidXml.into()), ctx);
            }
            Event::Close if established => return self.close(None, ctx),
            Event::Open(header) => {
                outsider.lang.clone_from(&header.lang);
                Happened::Open(header)
            }
            Event::Element(element) => Happened::Element(element.to_element()),
            Event::Whitespace => Happened::Whitespace,
            Event::Close => Happened::Close,
            Event::Oversized(_) => Happened::Fail(StreamCondition::PolicyViolation.into()),
        };
        self.tell_outsider(happened, ctx);
    }

    /// Tells the machine what happened, and does what it answers.
    fn tell_outsider(&mut self, happened: Happened, ctx: &mut Context<Stream>) {
        let mut next = Some(happened);
        while let Some(happened) = next.take() {
            let State::Outsider(outsider) = &mut self.state else {
                return;
            };
            for action in outsider
                .machine
                .handle(happened, &mut crate::site::fill_random)
            {
                next = self.act_outside(action, ctx).or(next);
            }
        }
        self.go_on(ctx);
        self.nudge();
    }

    /// Does one thing; answers what the machine hears of it at once.
    fn act_outside(&mut self, action: Action, ctx: &mut Context<Stream>) -> Option<Happened> {
        let State::Outsider(outsider) = &mut self.state else {
            return None;
        };
        match action {
            Action::Write(bytes) => self.write(&bytes),
            Action::CountFailure => {
                self.realm.gate.failed(self.peer, Instant::now());
                warn!(address = %self.peer, "a component with a wrong secret");
            }
            Action::Attach(name) => {
                let stream = ctx.address().recipient();
                let attached = self.realm.site.components.attach(&name, stream);
                let result = attached.map(|it| outsider.attached = Some(it));
                return Some(Happened::Attached(result));
            }
            Action::Established(name) => self.joined(&name),
            Action::Close(error) => {
                if let Some(error) = error {
                    let condition = error.condition.as_str();
                    info!(address = %self.peer, condition, "a component is refused");
                }
                self.hang_up(ctx);
            }
        }
        None
    }

    /// It knows its secret. What waits for it is sent, and extensions hear of it.
    fn joined(&mut self, name: &SmolStr) {
        let limits = limits_of_servers(&self.realm);
        let State::Outsider(outsider) = &mut self.state else {
            return;
        };
        outsider.pending = None;
        let Some(attached) = &outsider.attached else {
            return;
        };
        info!(component = %name, address = %self.peer, "a component came");
        self.reader.set_limits(limits);
        self.realm.hurry(&attached.component().pair());
        self.realm.welcome(attached.component());
    }

    /// What an established component says.
    fn said_inside(&mut self, element: &RawElement, ctx: &mut Context<Stream>) {
        let size = element.wire_len();
        if element.ns() == ns::STREAM && element.name() == "error" {
            return self.close(None, ctx);
        }
        let stanza = match element.to_stanza() {
            Ok(stanza) => stanza,
            Err(Unreadable::Reply(reply)) => return self.handled(Some(*reply), size),
            Err(Unreadable::Ignore) => return self.handled(None, size),
            Err(Unreadable::Stream(error)) => return self.close(Some(error), ctx),
        };
        let State::Outsider(outsider) = &self.state else {
            return;
        };
        // XEP-0114 §3: both are always there.
        let admitted = match (&stanza.from, &stanza.to) {
            (Some(from), Some(_)) => outsider.machine.admits(from),
            _ => Err(StreamCondition::ImproperAddressing.into()),
        };
        match admitted {
            Err(error) => self.close(Some(error), ctx),
            Ok(()) if self.is_pong(&stanza) => self.ponged(ctx),
            Ok(()) => self.enter_outside(stanza, size),
        }
    }

    fn enter_outside(&mut self, mut stanza: Stanza, size: usize) {
        let State::Outsider(outsider) = &self.state else {
            return;
        };
        if stanza.lang.is_none() {
            stanza.lang.clone_from(&outsider.lang);
        }
        let go_on = outsider.owner.admit(size);
        let receipt = outsider.owner.receipt(Head::from_elsewhere(&stanza), size);
        let marks = Marks {
            stamp: self.realm.site.now(),
            ..Marks::default()
        };
        self.realm.route(Envelope {
            stanza,
            marks,
            rows: Frame::new(),
            receipt,
        });
        self.paused |= !go_on;
    }

    /// A stanza that nobody gets: it is handled as soon as it is answered.
    fn handled(&mut self, reply: Option<Stanza>, size: usize) {
        let State::Outsider(outsider) = &self.state else {
            return;
        };
        let go_on = outsider.owner.pass_by(reply.as_ref(), size);
        // Only to whom this stream is from.
        if let Some(reply) = reply
            && let Some(to) = &reply.to
            && outsider.machine.admits(to).is_ok()
        {
            self.realm.route(Envelope::plain(reply));
        }
        self.paused |= !go_on;
    }

    fn too_large(&mut self, oversized: &Oversized) {
        let State::Outsider(outsider) = &self.state else {
            return;
        };
        let size = outsider.owner.size_of_skipped(oversized.len);
        self.handled(oversized.reply(), size);
    }

    /// News of the ledger: what was lost here its senders are told of.
    pub(super) fn ledger_outside(&mut self, notice: Notice, ctx: &mut Context<Stream>) {
        let State::Outsider(outsider) = &self.state else {
            return;
        };
        match notice {
            Notice::Settled => {}
            Notice::Resume => self.resume(ctx),
            Notice::Lost => {
                for (head, condition) in outsider.owner.take_lost() {
                    let error = StanzaError::new(condition);
                    if let Some(reply) = head.to_stanza().error_reply(&error) {
                        self.realm.route(Envelope::plain(reply));
                    }
                }
            }
        }
    }

    /// A Link has something for the component.
    pub(super) fn lead(&mut self, caller: Caller, ctx: &mut Context<Stream>) {
        let State::Outsider(outsider) = &mut self.state else {
            return;
        };
        outsider.pings.restart();
        outsider.full = false;
        caller.tell(|line| FromLine::Up {
            line,
            acks: true,
            sequel: Sequel::default(),
        });
        outsider.caller = Some(caller);
        self.bounded(ctx);
    }

    /// The Link has nothing more to say for the moment: the component stays.
    pub(super) fn let_go(&mut self) {
        if let State::Outsider(outsider) = &mut self.state
            && let Some(mut caller) = outsider.caller.take()
        {
            caller.down(None);
        }
    }

    /// Writes a stanza, as it is stored.
    pub(super) fn write_outside(&mut self, bytes: &Bytes, ctx: &mut Context<Stream>) {
        let State::Outsider(outsider) = &mut self.state else {
            return;
        };
        outsider.pings.wrote();
        match Stanza::parse_stored(bytes.clone()) {
            Ok(stanza) => {
                let mut out = Vec::with_capacity(bytes.len() + 32);
                stanza.write_for(&mut out, ns::COMPONENT_ACCEPT);
                self.write(&out);
            }
            Err(_) => warn!("a stanza that waited cannot be read"),
        }
        self.ping_soon(ctx);
        let unwritten = self.out.len();
        if let State::Outsider(outsider) = &mut self.state
            && unwritten > FULL
            && let Some(caller) = &outsider.caller
            && !std::mem::replace(&mut outsider.full, true)
        {
            caller.tell(|line| FromLine::Full { line });
        }
    }

    /// All is written.
    pub(super) fn drained_outside(&mut self) {
        if let State::Outsider(outsider) = &mut self.state
            && std::mem::take(&mut outsider.full)
            && let Some(caller) = &outsider.caller
        {
            caller.tell(|line| FromLine::Drained { line });
        }
    }

    /// The stream must end with this error. While a Link leads here, the Link says when the server
    /// stops: the last words of sessions are still on their way.
    pub(super) fn fail_outsider(&mut self, error: StreamError, ctx: &mut Context<Stream>) {
        let State::Outsider(outsider) = &self.state else {
            return;
        };
        match outsider.attached {
            Some(_) => self.close(Some(error), ctx),
            None => self.tell_outsider(Happened::Fail(error), ctx),
        }
    }
}

impl Outsider {
    /// Whether nothing that was read may be looked at now.
    pub(super) fn waiting(&self) -> bool {
        self.machine.waiting()
    }

    /// It has not shown that it knows its secret for too long.
    pub(super) fn is_late(&self, now: Instant) -> bool {
        self.attached.is_none() && now - self.began > PATIENCE
    }

    /// Its Link says when the server stops.
    pub(super) fn is_led(&self) -> bool {
        self.caller.is_some()
    }
}

impl Drop for Outsider {
    fn drop(&mut self) {
        if let Some(attached) = &self.attached {
            debug!(component = %attached.component().name, "a component is gone");
        }
    }
}

#[cfg(test)]
mod tests;
