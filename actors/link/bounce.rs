//! What cannot be delivered to another server, and how its senders hear of it.

use std::time::{Duration, Instant};

use actix::prelude::*;
use rookery_protocol::error::StanzaError;
use rookery_protocol::stanza::{Kind, PresenceType, Stanza};
use rookery_storage::Frame;
use tracing::{debug, info};

use super::Link;
use super::outbox::Item;
use crate::components::is_inside;
use crate::effect::{Envelope, Millis};
use crate::receipt::Receipt;
use crate::site::random;
use rookery_protocol::negotiation::Refusal;

impl Link {
    /// A stanza that is not taken: what its sender's Hub wanted kept is kept all the same.
    pub(super) fn refuse(
        &mut self,
        stanza: &Stanza,
        error: &StanzaError,
        care: (bool, Frame, Receipt),
    ) {
        let (lasting, rows, receipt) = care;
        self.realm.close(lasting, rows, receipt);
        self.tell(stanza, error, Frame::new());
    }

    /// Tells who sent a stanza what became of it; `rows` go with the news. Who only showed presence
    /// is told nothing (RFC 6121 §4.4.2).
    fn tell(&mut self, stanza: &Stanza, error: &StanzaError, rows: Frame) {
        let shows = matches!(
            stanza.kind,
            Kind::Presence(
                PresenceType::Available | PresenceType::Unavailable | PresenceType::Probe
            )
        );
        let reply = stanza.error_reply(error).filter(|_| !shows);
        if reply.is_some() {
            self.realm.roll.counts.bounced();
        }
        match reply {
            Some(reply) if rows.is_empty() => self.realm.route(Envelope::plain(reply)),
            Some(reply) => {
                let mut envelope = Envelope::plain(reply);
                envelope.marks.stamp = self.realm.site.now();
                envelope.marks.lasting = true;
                envelope.rows = rows;
                self.realm.route(envelope);
            }
            None => drop(self.later.append(rows)),
        }
    }

    /// The other server cannot be reached now: what cannot wait is given up.
    pub(super) fn failed(&mut self, refusal: Refusal, ctx: &mut Context<Link>) {
        let byte = f64::from(random::<1>()[0]) / 255.0;
        self.realm.roll.counts.failed(&refusal);
        let rest = self.course.failed(refusal.clone(), Instant::now(), byte);
        match is_inside(&self.pair) {
            true => debug!(component = %self.pair.to, %refusal, "what a component is sent waits"),
            false => info!(server = %self.pair.to, from = %self.pair.from, %refusal,
            rest = rest.as_secs(), "a server cannot be reached"),
        }
        let all = refusal.is_lasting();
        // What was written may have arrived: that will be known when the session is resumed.
        let may_be_there = |item: &Item| item.number.is_some() || item.was_written();
        self.give_up(&refusal, |item| all || !may_be_there(item));
        self.expire(ctx);
        ctx.run_later(rest, |link, ctx| link.go_on(ctx));
    }

    /// Gives up what has waited for too long.
    pub(super) fn expire(&mut self, ctx: &mut Context<Link>) {
        let settings = &self.realm.site.settings.outbox;
        let now = self.realm.site.now();
        let before = |time: Duration| now.saturating_sub(time.as_millis() as Millis);
        let (passing, lasting) = (before(settings.patience), before(settings.give_up));
        let last = self.course.refuses(Instant::now()).cloned();
        let refusal = last.unwrap_or(Refusal::Timeout);
        self.give_up(&refusal, |item| match item.number {
            Some(_) => item.since <= lasting,
            None => item.since <= passing,
        });
        self.go_on(ctx);
    }

    pub(super) fn give_up(&mut self, refusal: &Refusal, condemned: impl Fn(&Item) -> bool) {
        let error = refusal.to_error(&self.pair.to);
        for item in self.outbox.give_up(condemned) {
            let stanza = Stanza::parse_stored(item.bytes.clone());
            let rows = self.outbox.done(vec![item]);
            match stanza {
                Ok(stanza) => self.tell(&stanza, &error, rows),
                Err(_) => drop(self.later.append(rows)),
            }
        }
    }
}
