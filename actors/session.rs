//! The Session of a full JID: counts what its client sends and what it is sent (XEP-0198), makes
//! the receipts, and stands between the Stream, which may go, and the Hub.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use bytes::Bytes;
use rookery_protocol::error::{Condition, StanzaError, StreamCondition, StreamError};
use rookery_protocol::jid::Jid;
use rookery_protocol::negotiation::client::after_bind;
use rookery_protocol::ns;
use rookery_protocol::stanza::{IqType, Kind, PresenceType, Stanza};
use rookery_protocol::stream_management::{self as management, Misuse, Outbound};
use rookery_protocol::xml::Element;
use tracing::debug;

use crate::hub::devices::DeviceId;
use crate::lifeline::Lifeline;
use crate::messages::{Mail, Outgoing, ToSession, ToStream};
use crate::realm::Realm;
use crate::receipt::{Bounds, Head, Notice, Owner};
use crate::site::random_id;
use crate::stream::Stream;

/// Over this many times `acks.stanzas` or `acks.size` unacknowledged a session ends at once.
const FAR: usize = 16;

/// How long a client that said it is unavailable is not asked what it has: most close the stream
/// next, and some write the answer into the one they open then.
const LEAVING: Duration = Duration::from_secs(1);

/// A Session.
pub struct Session {
    realm: Arc<Realm>,
    jid: Jid,
    device: DeviceId,
    stream: Addr<Stream>,
    owner: Arc<Owner>,
    acks: Option<Box<Acks>>,
    /// It ended in an orderly way.
    over: bool,
    _lifeline: Lifeline,
}

/// What stream management counts.
struct Acks {
    /// Stanzas that were let in before `<enable/>`: they do not count.
    before: u32,
    sent: Outbound,
    /// Sizes of what is not acknowledged, oldest first, and their sum.
    sizes: VecDeque<u32>,
    size: usize,
    /// Since when more is not acknowledged than may be.
    behind: Option<Instant>,
    /// When the `<r/>` that is not answered yet was sent.
    asked: Option<Instant>,
    /// A timer looks after `asked`.
    watched: bool,
    /// The client said that it is unavailable, to all.
    leaving: bool,
    /// A timer asks.
    asks_later: bool,
    /// The client's `<r/>` waits until this many are settled.
    owes: Option<u32>,
    /// A timer answers the `<r/>` with what has settled by then.
    timed: bool,
}

impl Session {
    /// Begins the session of a device on the current lane.
    pub fn begin(
        realm: &Arc<Realm>,
        jid: Jid,
        device: DeviceId,
        stream: Addr<Stream>,
        peer: IpAddr,
    ) -> (Addr<Session>, Arc<Owner>) {
        debug!(%jid, %peer, "a session begins");
        let mut made = None;
        let address = Session::create(|ctx| {
            let to_self = ctx.address();
            let c2s = &realm.site.settings.c2s;
            let bounds = Bounds {
                stanzas: u32::try_from(c2s.unsettled_stanzas).unwrap_or(u32::MAX),
                bytes: c2s.unsettled_size.get(),
            };
            let owner = Owner::new(bounds, move |notice| {
                to_self.do_send(match notice {
                    Notice::Settled => ToSession::Settled,
                    Notice::Lost => ToSession::Lost,
                    Notice::Resume => ToSession::Resume,
                })
            });
            made = Some(Arc::clone(&owner));
            let lifeline = Lifeline::session(realm);
            let realm = Arc::clone(realm);
            Session {
                realm,
                jid,
                device,
                stream,
                owner,
                acks: None,
                over: false,
                _lifeline: lifeline,
            }
        });
        (address, made.expect("the closure ran"))
    }

    /// A stanza from the client: stamped, counted, on its way.
    fn received(&mut self, stanza: Box<Stanza>, size: usize) {
        if let Some(reply) = after_bind(&stanza) {
            return self.unreadable(Some(Box::new(reply)), size);
        }
        let mut stanza = *stanza;
        if let (Kind::Presence(kind), None, Some(acks)) =
            (stanza.kind, &stanza.to, self.acks.as_mut())
        {
            acks.leaving = kind == PresenceType::Unavailable;
        }
        // RFC 6120 §8.1.2.1: the full JID, whatever the client wrote; RFC 6121 §3: the bare one
        // where it subscribes.
        let bare = matches!(
            stanza.kind,
            Kind::Presence(
                PresenceType::Subscribe
                    | PresenceType::Subscribed
                    | PresenceType::Unsubscribe
                    | PresenceType::Unsubscribed
            )
        );
        stanza.from = Some(if bare {
            self.jid.bare()
        } else {
            self.jid.clone()
        });
        let receipt = self.owner.receipt(Head::of(&stanza), size);
        let device = self.device;
        self.to_hub(Mail::Outgoing(Box::new(Outgoing {
            device,
            stanza,
            receipt,
        })));
    }

    /// A stanza that cannot be read is counted like any other, and answered.
    fn unreadable(&mut self, reply: Option<Box<Stanza>>, size: usize) {
        let head = Head {
            kind: Kind::Iq(IqType::Error),
            id: None,
            to: None,
        };
        self.owner.receipt(head, size).settle();
        if let Some(reply) = reply {
            let reply = reply.with_to(self.jid.clone());
            self.to_hub(Mail::Answer(self.device, reply.to_bytes()));
        }
    }

    /// Errors for what was lost on its way.
    fn lost(&mut self) {
        for (head, condition) in self.owner.take_lost() {
            let mut stanza = head.to_stanza();
            if matches!(stanza.kind, Kind::Presence(_)) {
                continue;
            }
            stanza.from = Some(self.jid.clone());
            if stanza.to.is_none() {
                stanza.to = Some(self.jid.bare());
            }
            if let Some(reply) = stanza.error_reply(&StanzaError::new(condition)) {
                self.to_hub(Mail::Answer(self.device, reply.to_bytes()));
            }
        }
    }

    fn management(&mut self, element: &Element, ctx: &mut Context<Session>) {
        let command = match management::Command::parse(element) {
            Ok(command) => command,
            Err(Misuse::Failed(condition)) => {
                return self.write(&management::failed(condition, None));
            }
            Err(Misuse::Stream(error)) => return self.end(error, ctx),
        };
        use management::Command;
        match command {
            Command::Enable { .. } if self.acks.is_none() => {
                self.acks = Some(Box::new(Acks {
                    before: self.owner.admitted(),
                    sent: Outbound::default(),
                    sizes: VecDeque::new(),
                    size: 0,
                    behind: None,
                    asked: None,
                    watched: false,
                    leaving: false,
                    asks_later: false,
                    owes: None,
                    timed: false,
                }));
                // `<enabled/>` goes out when the Hub has begun to count: what it sent before does
                // not count.
                self.to_hub(Mail::Acknowledged(self.device));
            }
            Command::Request if self.acks.is_some() => self.asked(ctx),
            Command::Answer { h } if self.acks.is_some() => self.answered(h, ctx),
            // XEP-0198 §3, §5 and A03, A04: a second `<enable/>`, a `<resume/>` after binding,
            // `<r/>` or `<a/>` before `<enable/>`.
            _ => self.write(&management::failed(Condition::UnexpectedRequest, None)),
        }
    }

    /// The client asks how many were handled.
    fn asked(&mut self, ctx: &mut Context<Session>) {
        let (settled, admitted) = (self.owner.settled(), self.owner.admitted());
        if settled == admitted || !self.owner.watch() {
            return self.answer();
        }
        let Some(acks) = self.acks.as_mut() else {
            return;
        };
        acks.owes = Some(admitted);
        if !std::mem::replace(&mut acks.timed, true) {
            ctx.run_later(self.realm.site.settings.acks.delay, |session, _| {
                let Some(acks) = session.acks.as_mut() else {
                    return;
                };
                acks.timed = false;
                // What has settled by now; the rest follows unasked.
                if acks.owes.is_some() {
                    session.answer();
                }
            });
        }
    }

    fn settled(&mut self) {
        let settled = self.owner.settled();
        let Some(acks) = self.acks.as_mut() else {
            return;
        };
        let Some(owes) = acks.owes else { return };
        let enough = owes.wrapping_sub(settled) as i32 <= 0;
        if enough || !self.owner.watch() {
            acks.owes = None;
            self.answer();
        }
    }

    /// Writes `<a/>` with what is settled without a gap.
    fn answer(&mut self) {
        let Some(acks) = self.acks.as_ref() else {
            return;
        };
        let handled = self.owner.settled().wrapping_sub(acks.before);
        // Stanzas of before `<enable/>` that are still open: none of those after them counts yet.
        let handled = if handled > u32::MAX / 2 { 0 } else { handled };
        let mut bytes = Vec::new();
        management::write_answer(u64::from(handled), &mut bytes);
        self.stream.do_send(ToStream::Write {
            bytes: bytes.into(),
            ask: false,
        });
    }

    /// The client says how many it has.
    fn answered(&mut self, h: u32, ctx: &mut Context<Session>) {
        let Some(acks) = self.acks.as_mut() else {
            return;
        };
        acks.asked = None;
        match acks.sent.acknowledge(h) {
            Ok(0) => {}
            Ok(count) => {
                for size in acks.sizes.drain(..acks.sizes.len().min(count as usize)) {
                    acks.size -= size as usize;
                }
                acks.behind = acks.behind.filter(|_| acks.over(&self.realm, 1));
                self.to_hub(Mail::Acks(self.device, h));
                if self.asks_now(ctx) {
                    self.ask(ctx);
                }
            }
            Err(error) => self.end(error, ctx),
        }
    }

    fn deliver(&mut self, bytes: Bytes, number: Option<u32>, ctx: &mut Context<Session>) {
        let mut ask = false;
        if let (Some(_), Some(acks)) = (number, self.acks.as_mut()) {
            acks.sent.send();
            acks.sizes
                .push_back(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
            acks.size += bytes.len();
            if acks.over(&self.realm, 1) {
                acks.behind.get_or_insert_with(Instant::now);
            }
            if acks.over(&self.realm, FAR) {
                return self.too_slow(ctx);
            }
            ask = self.asks_now(ctx);
            if ask {
                self.await_answer(ctx);
            }
        }
        self.stream.do_send(ToStream::Write { bytes, ask });
    }

    /// Whether an `<r/>` is due. To one who seems to leave it goes later.
    fn asks_now(&mut self, ctx: &mut Context<Session>) -> bool {
        let Some(acks) = self.acks.as_mut() else {
            return false;
        };
        if acks.asked.is_some() || acks.sent.unacked() == 0 {
            return false;
        }
        if acks.leaving && !std::mem::replace(&mut acks.asks_later, true) {
            ctx.run_later(LEAVING, |session, ctx| {
                let Some(acks) = session.acks.as_mut() else {
                    return;
                };
                acks.asks_later = false;
                if acks.asked.is_none() && acks.sent.unacked() > 0 {
                    session.ask(ctx);
                }
            });
        }
        !acks.leaving
    }

    /// Writes `<r/>`.
    fn ask(&mut self, ctx: &mut Context<Session>) {
        self.await_answer(ctx);
        self.stream.do_send(ToStream::Write {
            bytes: Bytes::new(),
            ask: true,
        });
    }

    /// Notes that an `<r/>` is sent now; a client that does not answer in time is gone.
    fn await_answer(&mut self, ctx: &mut Context<Session>) {
        let Some(acks) = self.acks.as_mut() else {
            return;
        };
        acks.asked = Some(Instant::now());
        if !std::mem::replace(&mut acks.watched, true) {
            self.watch(ctx);
        }
    }

    fn watch(&mut self, ctx: &mut Context<Session>) {
        let patience = self.realm.site.settings.acks.timeout;
        ctx.run_later(patience, move |session, ctx| {
            let Some(acks) = session.acks.as_mut() else {
                return;
            };
            let over = |since: Option<Instant>| since.is_some_and(|it| it.elapsed() >= patience);
            if over(acks.behind) {
                return session.too_slow(ctx);
            }
            if over(acks.asked) {
                let error = StreamError::new(StreamCondition::ConnectionTimeout);
                return session.end(error.with_text("no acknowledgement came"), ctx);
            }
            match acks.asked.or(acks.behind) {
                None => acks.watched = false,
                Some(_) => session.watch(ctx),
            }
        });
    }

    /// The client acknowledges, but not enough: what it has not goes to its other devices, or
    /// waits until it comes back.
    fn too_slow(&mut self, ctx: &mut Context<Session>) {
        let error = StreamError::new(StreamCondition::PolicyViolation);
        self.end(error.with_text("too much is not acknowledged"), ctx);
    }

    /// Nothing was heard for long: asks whether the client is there (XEP-0199, or XEP-0198 where it
    /// is on).
    fn probe(&mut self, ctx: &mut Context<Session>) {
        if self.acks.is_some() {
            return self.ask(ctx);
        }
        let ping = Stanza::iq(IqType::Get, random_id())
            .with_from(self.jid.to_domain())
            .with_to(self.jid.clone())
            .with_child(&Element::new(ns::PING, "ping"));
        self.to_hub(Mail::Answer(self.device, ping.to_bytes()));
    }

    fn write(&self, element: &Element) {
        let bytes = Bytes::from(element.to_bytes(ns::CLIENT));
        self.stream.do_send(ToStream::Write { bytes, ask: false });
    }

    fn end(&mut self, error: StreamError, ctx: &mut Context<Session>) {
        self.stream.do_send(ToStream::Close(error));
        self.leave(ctx);
    }

    fn leave(&mut self, ctx: &mut Context<Session>) {
        self.over = true;
        self.to_hub(Mail::Gone(self.device));
        ctx.stop();
    }

    fn to_hub(&self, mail: Mail) {
        self.realm.post(&self.jid.bare(), mail, false);
    }
}

impl Acks {
    /// Whether more than `times` what may be is not acknowledged.
    fn over(&self, realm: &Realm, times: usize) -> bool {
        let bounds = &realm.site.settings.acks;
        self.sizes.len() > bounds.stanzas.saturating_mul(times)
            || self.size > (bounds.size.get()).saturating_mul(times)
    }
}

impl Drop for Session {
    /// After a panic the stream, which lives, tells the Hub; this may take no lock.
    fn drop(&mut self) {
        if !self.over {
            let (jid, device) = (self.jid.bare(), self.device);
            self.stream.do_send(ToStream::SessionDied { jid, device });
        }
    }
}

impl Actor for Session {
    type Context = Context<Session>;
}

impl Handler<ToSession> for Session {
    type Result = ();

    fn handle(&mut self, message: ToSession, ctx: &mut Context<Session>) {
        match message {
            ToSession::Received {
                stanza: Ok(stanza),
                size,
            } => self.received(stanza, size),
            ToSession::Received {
                stanza: Err(reply),
                size,
            } => self.unreadable(reply, size),
            ToSession::Management(element) => self.management(&element, ctx),
            ToSession::Deliver { bytes, number } => self.deliver(bytes, number, ctx),
            ToSession::Counting => self.write(&management::enabled(None)),
            ToSession::Settled => self.settled(),
            ToSession::Lost => self.lost(),
            ToSession::Resume => self.stream.do_send(ToStream::Resume),
            ToSession::Idle => self.probe(ctx),
            ToSession::StreamClosed => self.leave(ctx),
            ToSession::End(error) => self.end(error, ctx),
            ToSession::HubGone => {
                let error = StreamError::new(StreamCondition::InternalServerError);
                self.end(error, ctx);
            }
            // What the dead one was told last it may not have heard.
            ToSession::Inherited(counting) => {
                if self.acks.is_some() && !counting {
                    self.to_hub(Mail::Acknowledged(self.device));
                }
            }
            #[cfg(test)]
            ToSession::Fault => std::panic::panic_any(crate::testing::WANTED),
        }
    }
}

#[cfg(test)]
mod tests;
