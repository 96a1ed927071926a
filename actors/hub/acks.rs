//! Stream management (XEP-0198) as the Hub sees it: what was delivered under which number, and
//! sessions that outlive their streams and the server.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix::prelude::*;
use bytes::Bytes;
use rookery_protocol::error::{StreamCondition, StreamError};
use rookery_protocol::stream_management::{self, Command, enabled};
use rookery_protocol::xml::Element;
use rookery_storage::{Frame, KeyRange, Tree};
use subtle::ConstantTimeEq;
use tracing::warn;

use super::perform::{Held, What, write};
use super::{Hub, State};
use crate::effect::{Origin, Query, Row};
use crate::hub::devices::DeviceId;
use crate::hub::link::{Link, Past as Unfinished, Room};
use crate::hub::remembered;
use crate::hub::shelf::{Item, Next, Unacked};
use crate::keys::Part;
use crate::messages::{Resume, ToSession};
use crate::receipt::Receipt;
use crate::session::{Counting, Past, Session, previd};

/// How long a crash may forget what a device acknowledged, or that one that cannot be resumed
/// changed its presence: until then the rows wait for a commit that they can go with.
const LATER: Duration = Duration::from_millis(500);
/// Shelved deliveries that are read in one go: the Hub waits meanwhile.
const BATCH: usize = 64;

impl Hub {
    /// How much of a session may be unacknowledged in memory.
    pub(super) fn room(&self) -> Room {
        let bounds = &self.realm.site.settings.acks;
        Room {
            stanzas: bounds.stanzas,
            bytes: bounds.size.get(),
        }
    }

    fn link(&mut self, device: DeviceId) -> Option<&mut Link> {
        let links = self.links.iter_mut();
        links
            .map(|(id, link)| (*id, link))
            .find(|(id, _)| *id == device)
            .map(|(_, link)| link)
    }

    /// A session counts from here on; it hears so in order with its deliveries. Where it may be
    /// resumed its row goes to the disk before anything that its client could miss.
    pub(super) fn count(&mut self, device: DeviceId, resumable: bool) {
        self.count_as(device, resumable, ToSession::Counting);
    }

    /// The same of a session that asked for it while it was bound (XEP-0386): what goes into
    /// `<bound/>`.
    pub(super) fn count_inline(&mut self, device: DeviceId, wish: &Element) -> Option<Element> {
        let Ok(Command::Enable { resume, .. }) = Command::parse(wish) else {
            return None;
        };
        let max = self.realm.site.settings.acks.resume;
        let resumable = resume && !max.is_zero();
        self.count_as(device, resumable, ToSession::CountingInline);
        let token = self.link(device)?.token;
        let previd = token.map(|token| previd(&token));
        let max = u32::try_from(max.as_secs()).unwrap_or(u32::MAX);
        Some(enabled(
            previd.as_ref().map(|previd| (previd.as_str(), max)),
        ))
    }

    fn count_as(
        &mut self,
        device: DeviceId,
        resumable: bool,
        tell: impl FnOnce(Counting) -> ToSession,
    ) {
        let Some(link) = self.link(device) else {
            return;
        };
        link.count(resumable);
        let counting = Counting {
            token: link.token,
            key: link.key,
        };
        link.send(tell(counting));
        if let Some(device) = self.devices.get_mut(device) {
            device.acknowledges = true;
        }
        if resumable {
            self.remember();
            self.flush();
        }
    }

    /// Writes down what changed of the devices, as far as a server that starts again must know it;
    /// whether of one that can be resumed.
    pub(super) fn remember(&mut self) -> bool {
        let mut resumable = false;
        for device in self.devices.iter_mut().filter(|device| device.changed) {
            device.changed = false;
            let Some((_, link)) = self.links.iter_mut().find(|(id, _)| *id == device.id) else {
                continue;
            };
            // Whom nobody saw nobody misses.
            if link.token.is_none() && !device.available() && !link.written {
                continue;
            }
            if let Some(row) = remembered::state(device, link, &self.realm.site) {
                link.written = true;
                resumable |= link.token.is_some();
                self.later
                    .put(Tree::Sessions, link.key.row(Part::State, &[]), row);
            }
        }
        resumable
    }

    /// Has what may wait for the next commit committed soon.
    pub(super) fn flush_soon(&mut self, ctx: &mut Context<Hub>) {
        if !self.later.is_empty() && !std::mem::replace(&mut self.flush_due, true) {
            ctx.run_later(LATER, |hub, _| {
                hub.flush_due = false;
                hub.flush();
            });
        }
    }

    /// A device has what it was sent up to `h`: it is not sent again, even after a crash.
    pub(super) fn acked(&mut self, device: DeviceId, h: u32, ctx: &mut Context<Hub>) {
        let acked = self.link(device).map(|link| link.acked(h));
        self.taken(device, acked.unwrap_or_default(), ctx);
        self.unshelve(device, ctx);
        self.flush_soon(ctx);
    }

    fn taken(&mut self, device: DeviceId, acked: Vec<Unacked>, ctx: &mut Context<Hub>) {
        let mut kept = Vec::with_capacity(acked.len());
        for unacked in acked {
            self.later.delete(Tree::Sessions, unacked.row.clone());
            kept.extend(unacked.message());
        }
        if !kept.is_empty() {
            self.decide(Origin::Elsewhere, ctx, |mind, devices, site, fx| {
                mind.taken(device, &kept, devices, site, fx)
            });
        }
    }

    /// Delivers what was shelved for a device, as far as there is room, in batches.
    pub(super) fn unshelve(&mut self, device: DeviceId, ctx: &mut Context<Hub>) {
        let room = self.room();
        if !matches!(self.state, State::Account(_)) {
            return;
        }
        if !self
            .link(device)
            .is_some_and(|link| link.begin_unshelving(room))
        {
            return;
        }
        let items = match self.link(device).map(|link| link.next_shelved(BATCH)) {
            Some(Next::Items(items)) => items,
            Some(Next::Abroad) => return self.await_arrival(device, ctx),
            Some(Next::Nothing) | None => return,
        };
        let query = |item: &Item| match item {
            Item::Volatile(..) | Item::Ready(..) | Item::Travelling(..) => None,
            Item::Row(unacked) => Some(match &unacked.kept {
                Some(kept) => Query::Get(Tree::Archive, kept.clone()),
                None => Query::Get(Tree::Sessions, unacked.row.clone()),
            }),
        };
        let queries: Vec<Query> = items.iter().filter_map(query).collect();
        if queries.is_empty() {
            return match items.iter().all(|it| matches!(it, Item::Volatile(..))) {
                true => self.deliver_volatile(device, items, ctx),
                false => self.deliver_shelved(device, items, Some(Vec::new()), ctx),
            };
        }
        let realm = Arc::clone(&self.realm);
        let read = async move { realm.keeper.rows(queries).await };
        ctx.wait(read.into_actor(self).map(move |found, hub, ctx| {
            hub.deliver_shelved(device, items, found, ctx);
        }));
    }

    /// More waits for a device than the store should hold for it: its session ends, and what waits
    /// goes where it would for anybody who is away.
    pub(super) fn overflow(&mut self, device: DeviceId, ctx: &mut Context<Hub>) {
        warn!(hub = %self.jid, "too much waits for a session: it ends");
        let overflows = &self.realm.gauges.overflows;
        overflows.fetch_add(1, Ordering::Relaxed);
        let error = StreamError::new(StreamCondition::PolicyViolation);
        self.end(device, error.with_text("too much was never acknowledged"));
        self.gone(device, ctx);
    }

    /// Goes on when all copies that travel so far have arrived. The rest of the Hub does not wait.
    fn await_arrival(&mut self, device: DeviceId, ctx: &mut Context<Hub>) {
        let arrival = self.abroad.arrival();
        let arrived = async move {
            if let Some(arrival) = arrival {
                // An error says the same: nobody is left to tell.
                let _ = arrival.await;
            }
        };
        ctx.spawn(arrived.into_actor(self).map(move |(), hub, ctx| {
            if let Some(link) = hub.link(device) {
                link.end_unshelving(Vec::new());
            }
            hub.unshelve(device, ctx);
        }));
    }

    /// What was shelved and has no row goes out at once.
    fn deliver_volatile(&mut self, device: DeviceId, items: Vec<Item>, ctx: &mut Context<Hub>) {
        for item in items {
            if let Item::Volatile(bytes, _) = item
                && let Some(link) = self.link(device)
            {
                let number = Some(link.number(bytes.len()));
                self.deliver_in_turn(device, bytes, number);
            }
        }
        if let Some(link) = self.link(device) {
            link.end_unshelving(Vec::new());
        }
        self.unshelve(device, ctx);
    }

    /// What was shelved has been read: it is numbered, and goes out when the disk has the numbers.
    fn deliver_shelved(
        &mut self,
        device: DeviceId,
        items: Vec<Item>,
        found: Option<Vec<Row>>,
        ctx: &mut Context<Hub>,
    ) {
        let (Some(found), State::Account(mind)) = (found, &self.state) else {
            // The disk is at fault, or the account is loading: all stays.
            if let Some(link) = self.link(device) {
                link.end_unshelving(items);
            }
            return;
        };
        let mut frame = std::mem::take(&mut self.later);
        let mut deliveries = Vec::new();
        let mut found = found.iter().peekable();
        for item in items {
            let unacked = match item {
                Item::Row(unacked) | Item::Travelling(unacked, _) => unacked,
                Item::Ready(unacked, bytes) => {
                    deliveries.push((Some(unacked), bytes));
                    continue;
                }
                Item::Volatile(bytes, _) => {
                    deliveries.push((None, bytes));
                    continue;
                }
            };
            let wanted = unacked.kept.as_ref().unwrap_or(&unacked.row);
            let Some((key, value)) = found.next_if(|(key, _)| key == wanted) else {
                // The archive let go of it.
                frame.delete(Tree::Sessions, unacked.row);
                continue;
            };
            let again = || match unacked.kept {
                Some(_) => mind.again(device, (key, value), &self.devices, &self.realm.site),
                None => remembered::here(value),
            };
            match catch_unwind(AssertUnwindSafe(again)) {
                Ok(Some(bytes)) => deliveries.push((Some(unacked), bytes)),
                Ok(None) => drop(frame.delete(Tree::Sessions, unacked.row)),
                // Its row waits for a better program.
                Err(_) => self.panicked(),
            }
        }
        let numbered = self.number_all(device, deliveries, &mut frame);
        self.ticket += 1;
        let tell = self.tell();
        self.realm.keeper.commit(frame, Receipt::none(), tell);
        let ticket = self.ticket;
        for (bytes, number) in numbered {
            let what = What::Deliver {
                device,
                bytes,
                number,
            };
            let own = false;
            self.hold(Held { ticket, own, what });
        }
        self.unshelve(device, ctx);
    }

    /// Numbers what is going to be delivered; the rows say so in `frame`.
    fn number_all(
        &mut self,
        device: DeviceId,
        deliveries: Vec<(Option<Unacked>, Bytes)>,
        frame: &mut Frame,
    ) -> Vec<(Bytes, Option<u32>)> {
        let mut numbered = Vec::new();
        if let Some(link) = self.link(device) {
            for (unacked, bytes) in deliveries {
                let number = match unacked {
                    None => link.number(bytes.len()),
                    Some(unacked) => {
                        let row = unacked.row.clone();
                        let (number, delivery) = link.number_row(&bytes, unacked);
                        write(frame, &row, &delivery);
                        number
                    }
                };
                numbered.push((bytes, Some(number)));
            }
            link.held += numbered.len() as u32;
            link.end_unshelving(Vec::new());
        }
        numbered
    }

    /// Delivers behind what waits for the disk for this device.
    fn deliver_in_turn(&mut self, device: DeviceId, bytes: Bytes, number: Option<u32>) {
        let behind = self.held.back().map_or(self.ticket, |held| held.ticket);
        let Some(link) = self.link(device) else {
            return;
        };
        if link.held == 0 {
            return link.deliver(bytes, number);
        }
        link.held += 1;
        let what = What::Deliver {
            device,
            bytes,
            number,
        };
        self.hold(Held {
            ticket: behind,
            own: false,
            what,
        });
    }

    /// The stream of a session that can be resumed is gone: it waits for another.
    pub(super) fn lost(&mut self, device: DeviceId, line: u32, ctx: &mut Context<Hub>) {
        // A client may be back before its session saw that it was gone; and a successor is told
        // again what its predecessor may have heard.
        let is_news = |link: &&mut Link| link.line == line && link.away.is_none();
        let Some(link) = self.link(device).filter(is_news) else {
            return;
        };
        let loss = link.lose();
        if let Some(device) = self.devices.get_mut(device) {
            device.away = true;
        }
        self.decide(Origin::Elsewhere, ctx, |mind, devices, site, fx| {
            mind.waits(device, devices, site, fx)
        });
        self.expire_in_time(device, loss, ctx);
        // The oldest make room.
        let away = self.devices.iter().filter(|device| device.away);
        let mut away: Vec<DeviceId> = away.map(|device| device.id).collect();
        away.truncate(
            away.len()
                .saturating_sub(self.realm.site.settings.c2s.hibernating),
        );
        away.into_iter().for_each(|oldest| self.expire(oldest, ctx));
        self.doze_later(ctx);
    }

    /// Ends a session that waits for its client when its time is over, which begins now.
    pub(super) fn expire_in_time(&mut self, device: DeviceId, loss: u32, ctx: &mut Context<Hub>) {
        let patience = self.realm.site.settings.acks.resume;
        self.expire_after(patience, device, loss, ctx);
    }

    /// The same after so long.
    pub(super) fn expire_after(
        &mut self,
        patience: Duration,
        device: DeviceId,
        loss: u32,
        ctx: &mut Context<Hub>,
    ) {
        if let Some(link) = self.link(device) {
            link.until = Some(tokio::time::Instant::now() + patience);
        }
        ctx.run_later(patience, move |hub, ctx| {
            if hub.link(device).is_some_and(|link| link.away == Some(loss)) {
                hub.expire(device, ctx);
            }
        });
    }

    fn expire(&mut self, device: DeviceId, ctx: &mut Context<Hub>) {
        self.end(device, StreamError::new(StreamCondition::ConnectionTimeout));
        self.gone(device, ctx);
    }

    /// A client wants its session back (XEP-0198 §5).
    pub(super) fn resume(&mut self, mut resume: Resume, ctx: &mut Context<Hub>) {
        let wanted = token(&resume.previd);
        let found = wanted.and_then(|wanted| {
            let has = |link: &Link| {
                let token = link.token.as_ref();
                token.is_some_and(|token| bool::from(token.ct_eq(&wanted)))
            };
            self.links
                .iter()
                .find(|(_, link)| has(link))
                .map(|(id, _)| *id)
        });
        let (Some(id), State::Account(_)) = (found, &self.state) else {
            let State::Account(mind) = &self.state else {
                return resume.refuse(None);
            };
            let departed = &mind.account.departed;
            let now = self.realm.site.now();
            let handled = wanted.and_then(|it| departed.handled(&it, now));
            return resume.refuse(handled);
        };
        let Some((_, link)) = self.links.iter_mut().find(|(it, _)| *it == id) else {
            return;
        };
        if let Some(sent) = link.exceeds(resume.h) {
            let error = stream_management::handled_count_too_high(resume.h, u64::from(sent));
            return resume.fail(error);
        }
        let acked = link.acked(resume.h);
        if let Some(past) = link.past.take()
            && let Some(device) = self.devices.get(id)
        {
            let Unfinished { handled, tail, .. } = past;
            let past = Past {
                handled,
                h: resume.h,
                counting: Counting {
                    token: link.token,
                    key: link.key,
                },
            };
            let session = Session::revive(&self.realm, device.jid.clone(), id, past);
            link.revive(session, resume.h, tail);
            let tail = link.key.row(Part::Tail, &[]);
            self.later
                .delete_range(Tree::Sessions, KeyRange::prefix(&tail));
        }
        link.away = None;
        let trusted = self.realm.gate.trusts(resume.peer);
        if let Some(device) = self.devices.get_mut(id) {
            device.away = false;
            device.trusted = trusted;
        }
        if let Some(stream) = resume.take() {
            let h = resume.h;
            link.line = link.line.wrapping_add(1);
            link.send(ToSession::Resume { stream, h });
        }
        self.rouse(id, ctx);
        self.taken(id, acked, ctx);
        self.unshelve(id, ctx);
        self.flush_soon(ctx);
    }
}

/// Reads what [`crate::session::previd`] wrote.
fn token(previd: &str) -> Option<[u8; 16]> {
    let mut token = [0; 16];
    let digits = previd.as_bytes();
    if digits.len() != 32 {
        return None;
    }
    for (byte, pair) in token.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *byte = (digit(0)? << 4 | digit(1)?) as u8;
    }
    Some(token)
}
