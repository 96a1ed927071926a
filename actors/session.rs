//! The Session of a full JID: counts what its client sends and what it is sent (XEP-0198), makes
//! the receipts, and stands between the Stream, which may go, and the Hub.
//!
//! A session that can be resumed outlives its Stream: without one it only collects, until a client
//! comes that names it, or its Hub says that its time is over. Streams are numbered as *lines*, so
//! that what an earlier one still says is not heard.

mod acks;
mod rest;

use std::net::IpAddr;
use std::sync::Arc;

use actix::prelude::*;
use bytes::Bytes;
use rookery_protocol::error::{Condition, StanzaError, StreamCondition, StreamError};
use rookery_protocol::jid::Jid;
use rookery_protocol::negotiation::client::after_bind;
use rookery_protocol::ns;
use rookery_protocol::stanza::{IqType, Kind, PresenceType, Stanza};
use rookery_protocol::stream_management::{self as management, Misuse};
use rookery_protocol::xml::Element;
use tracing::debug;

use crate::hub::devices::DeviceId;
use crate::keys::SessionKey;
use crate::lifeline::Lifeline;
use crate::messages::{Mail, Outgoing, ToSession, ToStream};
use crate::realm::Realm;
use crate::receipt::{Bounds, Handled, Head, Notice, Owner, Receipt};
use crate::site::random_id;
use crate::stream::Stream;
use acks::Acks;
pub(crate) use acks::previd;

/// The line of the stream with which a session begins.
pub const FIRST_LINE: u32 = 0;

/// A Session.
pub struct Session {
    realm: Arc<Realm>,
    jid: Jid,
    device: DeviceId,
    /// `None`: it waits for one.
    stream: Option<Addr<Stream>>,
    /// The number of that stream, or of the last.
    line: u32,
    owner: Arc<Owner>,
    acks: Option<Box<Acks>>,
    /// It ended in an orderly way.
    over: bool,
    _lifeline: Lifeline,
}

/// How a session counts, as its Hub says.
#[derive(Clone, Copy)]
pub struct Counting {
    /// By this its client may name it when it comes back.
    pub token: Option<[u8; 16]>,
    /// Where its rows lie.
    pub key: SessionKey,
}

/// A session before the server started again.
pub struct Past {
    /// What was handled of its client's.
    pub handled: Handled,
    /// What the client has.
    pub h: u32,
    pub counting: Counting,
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
        Session::start(realm, jid, device, Some(stream), None)
    }

    /// Goes on with a session of before the server started again; it waits for its stream.
    pub fn revive(
        realm: &Arc<Realm>,
        jid: Jid,
        device: DeviceId,
        past: Past,
    ) -> (Addr<Session>, Arc<Owner>) {
        debug!(%jid, "a session goes on");
        Session::start(realm, jid, device, None, Some(past))
    }

    fn start(
        realm: &Arc<Realm>,
        jid: Jid,
        device: DeviceId,
        stream: Option<Addr<Stream>>,
        past: Option<Past>,
    ) -> (Addr<Session>, Arc<Owner>) {
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
                    Notice::Resume => ToSession::Resumable,
                })
            });
            made = Some(Arc::clone(&owner));
            let acks = past.map(|past| Box::new(Acks::of_past(past, &owner)));
            let lifeline = Lifeline::session(realm);
            let realm = Arc::clone(realm);
            Session {
                realm,
                jid,
                device,
                stream,
                line: FIRST_LINE,
                owner,
                acks,
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
        if self.was_handled() {
            return self.swallow(&stanza, receipt);
        }
        let device = self.device;
        self.to_hub(Mail::Outgoing(Box::new(Outgoing {
            device,
            stanza,
            receipt,
        })));
    }

    /// Whether the stanza that was just counted was handled before the server started again, beyond
    /// a gap: its client could not know.
    fn was_handled(&mut self) -> bool {
        let admitted = self.owner.admitted();
        self.acks
            .as_mut()
            .is_some_and(|acks| acks.swallows(admitted))
    }

    /// What was done is not done twice; who asked for it hears that it was.
    fn swallow(&mut self, stanza: &Stanza, receipt: Receipt) {
        receipt.settle();
        if let Kind::Iq(IqType::Set) = stanza.kind {
            let reply = stanza.result_reply(None);
            self.to_hub(Mail::Answer(self.device, reply.to_bytes()));
        }
    }

    /// A stanza that cannot be read is counted like any other, and answered.
    fn unreadable(&mut self, reply: Option<Box<Stanza>>, size: usize) {
        let head = Head {
            kind: Kind::Iq(IqType::Error),
            id: None,
            to: None,
            from: None,
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
            Command::Enable { resume, .. } if self.acks.is_none() => {
                let resumable = resume && !self.realm.site.settings.acks.resume.is_zero();
                let acks = Acks::since(self.owner.admitted(), resumable);
                self.acks = Some(Box::new(acks));
                // `<enabled/>` goes out when the Hub has begun to count: what it sent before does
                // not count.
                self.to_hub(Mail::Acknowledged(self.device, resumable));
            }
            Command::Request if self.acks.is_some() => self.asked(ctx),
            Command::Answer { h } if self.acks.is_some() => self.answered(h, ctx),
            // XEP-0198 §3, §5 and A03, A04: a second `<enable/>`, a `<resume/>` after binding,
            // `<r/>` or `<a/>` before `<enable/>`.
            _ => self.write(&management::failed(Condition::UnexpectedRequest, None)),
        }
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
        self.to_stream(ToStream::Write { bytes, ask: false });
    }

    fn to_stream(&self, message: ToStream) {
        if let Some(stream) = &self.stream {
            stream.do_send(message);
        }
    }

    /// The stream is gone. Whoever can come back may.
    fn stream_closed(&mut self, line: u32, clean: bool, ctx: &mut Context<Session>) {
        if line != self.line || self.is_waiting() {
            return;
        }
        match self.is_resumable() && !clean {
            true => self.hibernate(),
            false => self.leave(ctx),
        }
    }

    fn hibernate(&mut self) {
        self.stream = None;
        self.owner.rest();
        if let Some(acks) = self.acks.as_mut() {
            acks.pause();
        }
        self.to_hub(Mail::Lost(self.device, self.line));
    }

    /// The connection is as good as lost.
    fn time_out(&mut self, error: StreamError, ctx: &mut Context<Session>) {
        match self.is_resumable() {
            true => {
                self.to_stream(ToStream::Close(error));
                self.hibernate();
            }
            false => self.end(error, ctx),
        }
    }

    fn end(&mut self, error: StreamError, ctx: &mut Context<Session>) {
        self.to_stream(ToStream::Close(error));
        self.leave(ctx);
    }

    fn leave(&mut self, ctx: &mut Context<Session>) {
        self.over = true;
        let unacked = self.acks.as_mut().map(|acks| acks.take_queue());
        for bytes in unacked.into_iter().flatten() {
            self.realm.bounce(bytes);
        }
        self.to_hub(Mail::Gone(self.device));
        ctx.stop();
    }

    /// The server stops. When it starts again the session is found in the store.
    fn shut_down(&mut self, error: StreamError, ctx: &mut Context<Session>) {
        self.over = true;
        self.owner.leave();
        self.save();
        self.to_stream(ToStream::Close(error));
        ctx.stop();
    }

    /// The Hub died, and with it what it knew of this session. Its successor finds in the store
    /// what could be resumed.
    fn hub_gone(&mut self, ctx: &mut Context<Session>) {
        let error = StreamError::new(StreamCondition::InternalServerError);
        self.shut_down(error, ctx);
    }

    /// The Hub has a successor. What the dead one was told last it may not have heard.
    fn inherited(&self, counting: bool) {
        if let Some(acks) = self.acks.as_ref().filter(|_| !counting) {
            self.to_hub(Mail::Acknowledged(self.device, acks.resumable));
        }
        if self.is_waiting() {
            self.to_hub(Mail::Lost(self.device, self.line));
        }
    }

    fn to_hub(&self, mail: Mail) {
        self.realm.post(&self.jid.bare(), mail, false);
    }
}

impl Drop for Session {
    /// After a panic the stream, which lives, tells the Hub; this may take no lock.
    fn drop(&mut self) {
        if !self.over {
            let (jid, device) = (self.jid.bare(), self.device);
            self.to_stream(ToStream::SessionDied { jid, device });
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
            // The client sends again what an earlier stream did not get through.
            ToSession::Received { line, size, .. } if line != self.line => {
                self.owner.dismiss(size);
            }
            ToSession::Received {
                stanza: Ok(stanza),
                size,
                ..
            } => self.received(stanza, size),
            ToSession::Received {
                stanza: Err(reply),
                size,
                ..
            } => self.unreadable(reply, size),
            ToSession::Management { line, element } => {
                if line == self.line {
                    self.management(&element, ctx);
                }
            }
            ToSession::Said { line, element } => {
                if line == self.line {
                    self.to_hub(Mail::Said(self.device, element));
                }
            }
            ToSession::Deliver { bytes, number } => self.deliver(bytes, number, ctx),
            ToSession::Counting(counting) => self.counting(counting),
            ToSession::CountingInline(counting) => self.counting_inline(counting),
            ToSession::Resume { stream, h } => self.resume(stream, h, ctx),
            ToSession::Settled => self.go_on(ctx),
            ToSession::Lost => self.lost(),
            ToSession::Resumable => self.to_stream(ToStream::Resume),
            ToSession::Idle => self.probe(ctx),
            ToSession::StreamClosed { line, clean } => self.stream_closed(line, clean, ctx),
            ToSession::End(error) => self.end(error, ctx),
            ToSession::Shutdown(error) => self.shut_down(error, ctx),
            ToSession::NoteDown(answer) => drop(answer.send(self.note_down())),
            ToSession::FallAsleep => self.fall_asleep(ctx),
            ToSession::HubGone => self.hub_gone(ctx),
            ToSession::Inherited(counting) => self.inherited(counting),
            #[cfg(test)]
            ToSession::Fault => std::panic::panic_any(crate::testing::WANTED),
        }
    }
}

#[cfg(test)]
mod tests;
