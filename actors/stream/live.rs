//! A stream with its session: what the client says goes there.

use std::sync::Arc;

use actix::prelude::*;
use rookery_protocol::error::{StreamCondition, StreamError};
use rookery_protocol::ns;
use rookery_protocol::reader::{Event, RawElement};
use rookery_protocol::stanza::{Stanza, Unreadable};
use smol_str::SmolStr;

use super::{State, Stream};
use crate::messages::ToSession;
use crate::receipt::Owner;
use crate::session::Session;

/// A stream with its session.
pub(super) struct Live {
    pub session: Addr<Session>,
    /// Its number among the session's streams.
    pub line: u32,
    /// It was closed, by its client or by us, and not because the connection was lost.
    pub clean: bool,
    pub owner: Arc<Owner>,
    pub lang: Option<SmolStr>,
}

impl Stream {
    pub(super) fn live(&mut self, event: Event, ctx: &mut Context<Stream>) {
        match event {
            Event::Element(element) => self.element(element, ctx),
            Event::Oversized(oversized) => {
                let reply = oversized.reply().map(Box::new);
                let State::Live(live) = &self.state else {
                    return;
                };
                let size = live.owner.size_of_skipped(oversized.len);
                self.admit(Err(reply), size, ctx);
            }
            Event::Whitespace => {}
            Event::Close => self.close(None, ctx),
            // X28: a second header while no restart is due.
            Event::Open(_) => self.fail(StreamError::new(StreamCondition::InvalidXml), ctx),
        }
    }

    fn element(&mut self, element: RawElement, ctx: &mut Context<Stream>) {
        let State::Live(live) = &mut self.state else {
            return;
        };
        match (element.ns(), element.name()) {
            (ns::STREAM_MANAGEMENT, _) => {
                let (line, element) = (live.line, element.to_element());
                let management = ToSession::Management { line, element };
                return live.session.do_send(management);
            }
            // The client's own error: nothing to argue about (RFC 6120 §4.9.1.1).
            (ns::STREAM, "error") => return self.close(None, ctx),
            (ns, _) if ns != ns::CLIENT && self.realm.site.hears(ns) => {
                let (line, element) = (live.line, Box::new(element.to_element()));
                live.session.do_send(ToSession::Said { line, element });
                return self.charge(ctx);
            }
            _ => {}
        }
        let size = element.wire_len();
        match element.to_stanza() {
            Ok(mut stanza) => {
                if stanza.lang.is_none() {
                    // RFC 6120 §8.1.5: the stream's language where a stanza has none.
                    stanza.lang.clone_from(&live.lang);
                }
                self.admit(Ok(Box::new(stanza)), size, ctx);
            }
            Err(Unreadable::Reply(reply)) => self.admit(Err(Some(reply)), size, ctx),
            Err(Unreadable::Ignore) => self.admit(Err(None), size, ctx),
            Err(Unreadable::Stream(error)) => self.fail(error, ctx),
        }
    }

    /// Hands a stanza to the session, and stops reading at the bound on what is not settled.
    fn admit(
        &mut self,
        stanza: Result<Box<Stanza>, Option<Box<Stanza>>>,
        size: usize,
        ctx: &mut Context<Stream>,
    ) {
        let State::Live(live) = &self.state else {
            return;
        };
        let go_on = live.owner.admit(size);
        live.session.do_send(ToSession::Received {
            line: live.line,
            stanza,
            size,
        });
        if !go_on {
            self.paused = true;
            return;
        }
        self.charge(ctx);
    }

    /// One stanza more, or something like it: over the rate reading pauses.
    fn charge(&mut self, ctx: &mut Context<Stream>) {
        if let Some(rates) = &mut self.rates {
            let limits = &self.realm.site.settings.limits;
            let (rate, burst) = (
                f64::from(limits.stanza_rate),
                f64::from(limits.stanza_burst),
            );
            if let Some(wait) = rates.stanzas.take(1.0, rate, burst, self.heard) {
                self.pause_for(wait, ctx);
            }
        }
    }
}

impl Drop for Live {
    /// However the stream ends, its session hears.
    fn drop(&mut self) {
        self.session.do_send(ToSession::StreamClosed {
            line: self.line,
            clean: self.clean,
        });
    }
}
