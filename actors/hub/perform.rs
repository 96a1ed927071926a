//! How a Hub does what was decided: rows first, then what may be seen at once, the rest when the
//! rows are on disk.

use std::time::Duration;

use actix::prelude::*;
use bytes::Bytes;
use rookery_protocol::stanza::{Kind, Stanza};
use rookery_protocol::subscription::Request;
use rookery_storage::{Frame, Tree};
use smallvec::SmallVec;
use smol_str::SmolStr;
use tokio::sync::oneshot;
use tracing::warn;

use super::{Hub, State};
use crate::effect::{Effect, Effects, Origin};
use crate::hub::devices::DeviceId;
use crate::hub::link::Unacked;
use crate::keeper::{Committed, Tell};
use crate::keys::AccountId;
use crate::messages::ToSession;
use crate::receipt::Receipt;

/// How long what a device acknowledged may come again after a crash: until then its rows wait for a
/// commit that they can go with.
const LATER: Duration = Duration::from_millis(500);

/// What of a decision waits for the rows that it wrote.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Waits {
    /// Everything.
    All,
    /// Of a message: what goes to devices that acknowledge.
    Acknowledged,
}

impl Waits {
    /// How it is for this stanza. Whoever comes or goes is shown at once, also while the disk is
    /// slow or full.
    pub(super) fn of(stanza: &Stanza) -> Waits {
        match stanza.kind {
            Kind::Message(_) => Waits::Acknowledged,
            Kind::Presence(kind) if Request::of(kind).is_none() => Waits::Acknowledged,
            Kind::Presence(_) | Kind::Iq(_) => Waits::All,
        }
    }
}

/// Something that waits for the disk.
pub(super) struct Held {
    /// The frame it waits for.
    pub ticket: u64,
    /// It is of the decision that wrote this frame, and goes with it; else it only queues.
    pub own: bool,
    pub what: What,
}

/// What waits.
pub(super) enum What {
    /// A stanza for a device, and the row that keeps it until it is acknowledged.
    Deliver {
        device: DeviceId,
        bytes: Bytes,
        unacked: Option<Unacked>,
    },
    /// Anything else that was decided.
    Effect(Effect),
    /// The account's end; this hears of it.
    Removal(oneshot::Sender<Committed>),
}

impl Held {
    /// Whether it is the delivery that this row keeps.
    pub(super) fn keeps(&self, row: &[u8]) -> bool {
        let What::Deliver { unacked, .. } = &self.what else {
            return false;
        };
        unacked.as_ref().is_some_and(|it| it.row == row)
    }
}

impl Hub {
    /// Performs effects in their order. Of what wrote, everything waits for the disk, except of a
    /// message or presence, of which only what goes to devices that acknowledge does: it is
    /// nobody's secret that it was sent. What comes later never overtakes what waits.
    pub(super) fn perform(&mut self, mut fx: Effects, kind: Waits, ctx: &mut Context<Hub>) {
        let mut effects = fx.take();
        self.abroad.see_off(&mut effects);
        let mut frame = std::mem::take(&mut fx.travelling);
        frame.append(std::mem::take(&mut fx.rows));
        let wrote = !frame.is_empty();
        let hold_all = wrote && kind == Waits::All;
        #[cfg(feature = "seeded-bugs")]
        let hold_all = hold_all && !rookery_storage::seeded_bugs::is_on("result-before-commit");
        let mut now: SmallVec<[What; 4]> = SmallVec::new();
        let mut hold = Vec::new();
        for effect in effects {
            match effect {
                Effect::Deliver {
                    devices,
                    bytes,
                    kept,
                } => {
                    for device in devices {
                        let kept = kept.clone().filter(|_| wrote);
                        let (unacked, waits) = self.keep(device, kept, hold_all, &mut frame);
                        let own = hold_all || unacked.is_some();
                        let delivery = What::Deliver {
                            device,
                            bytes: bytes.clone(),
                            unacked,
                        };
                        match waits {
                            true => hold.push((own, delivery)),
                            false => now.push(delivery),
                        }
                    }
                }
                // Nothing is handled before it is done, or at least no IQ to the same extension: so
                // it must begin before anything is. It sees what this Hub wrote, and what comes of
                // it queues behind what waits now.
                Effect::Read(read) => now.push(What::Effect(Effect::Read(read))),
                other if hold_all || self.held_effects > 0 => {
                    hold.push((hold_all, What::Effect(other)));
                }
                other => now.push(What::Effect(other)),
            }
        }
        let receipt = std::mem::replace(&mut fx.receipt, Receipt::none());
        self.commit(frame, receipt, wrote, fx.lasting, !hold.is_empty());
        // What wrote nothing but must not overtake waits with the last that waits already.
        let behind = self.held.back().map_or(self.ticket, |held| held.ticket);
        let ticket = if wrote { self.ticket } else { behind };
        for (own, what) in hold {
            self.hold(Held {
                ticket,
                own: own && wrote,
                what,
            });
        }
        for what in now {
            self.do_now(what, ctx);
        }
    }

    /// Holds something until its frame is on disk.
    pub(super) fn hold(&mut self, held: Held) {
        self.held_effects += u32::from(!matches!(held.what, What::Deliver { .. }));
        self.held.push_back(held);
    }

    /// Adds the row that keeps a delivery until it is acknowledged, and says whether it must wait.
    fn keep(
        &mut self,
        device: DeviceId,
        kept: Option<Vec<u8>>,
        hold_all: bool,
        frame: &mut Frame,
    ) -> (Option<Unacked>, bool) {
        let account = self.account();
        let Some((_, link)) = self.links.iter_mut().find(|(id, _)| *id == device) else {
            return (None, false);
        };
        let row = account.zip(kept);
        let unacked = row.and_then(|(account, kept)| link.keeps(account, kept));
        #[cfg(feature = "seeded-bugs")]
        let mut nowhere = Frame::new();
        #[cfg(feature = "seeded-bugs")]
        let frame = match rookery_storage::seeded_bugs::is_on("lose-unacked") {
            true => &mut nowhere,
            false => frame,
        };
        if let Some(unacked) = &unacked {
            frame.put(Tree::Account, unacked.row.clone(), unacked.kept.clone());
        }
        let waits = hold_all || link.held > 0 || unacked.is_some();
        link.held += u32::from(waits);
        (unacked, waits)
    }

    fn account(&self) -> Option<AccountId> {
        match &self.state {
            State::Account(mind) => Some(mind.account.id),
            _ => None,
        }
    }

    fn commit(
        &mut self,
        mut frame: Frame,
        receipt: Receipt,
        wrote: bool,
        lasting: bool,
        told: bool,
    ) {
        if wrote {
            self.ticket += 1;
            frame.append(std::mem::take(&mut self.later));
            let tell = match told {
                true => self.tell(),
                false => Tell::Refusal(SmolStr::new(self.jid.as_str()), self.ticket),
            };
            self.realm.keeper.commit(frame, receipt, tell);
        } else if lasting && receipt.is_some() {
            // Class D although nothing is written here: what was written on the way must be on disk
            // first.
            self.realm
                .keeper
                .commit(Frame::new(), receipt, Tell::Nobody);
        } else {
            receipt.settle();
        }
    }

    /// Has the Keeper tell this Hub of its last frame.
    pub(super) fn tell(&self) -> Tell {
        Tell::Hub(SmolStr::new(self.jid.as_str()), self.ticket)
    }

    fn do_now(&mut self, what: What, ctx: &mut Context<Hub>) {
        match what {
            What::Deliver {
                device,
                bytes,
                unacked,
            } => {
                match (self.links.iter_mut().find(|(id, _)| *id == device), unacked) {
                    (Some((_, link)), unacked) => link.deliver(bytes, unacked),
                    // The device went while the delivery waited for the disk.
                    (None, Some(unacked)) => self.returned(unacked, ctx),
                    (None, None) => {}
                }
            }
            What::Removal(done) => {
                // Whoever asked may have gone.
                let _ = done.send(Committed::Durable);
            }
            What::Effect(effect) => self.effect(effect, ctx),
        }
    }

    fn effect(&mut self, effect: Effect, ctx: &mut Context<Hub>) {
        match effect {
            Effect::Route(envelope) => self.realm.route(*envelope),
            Effect::Close(device, error) => {
                self.end(device, error);
                self.gone(device, ctx);
            }
            Effect::Read(read) => self.read(*read, ctx),
            Effect::Administer(order) => self.administer(*order, ctx),
            Effect::Wake(extension, time) => {
                ctx.run_later(time, move |hub, ctx| {
                    hub.decide(Origin::Elsewhere, ctx, |mind, devices, site, fx| {
                        mind.woken(extension, devices, site, fx)
                    });
                });
            }
            Effect::Deliver { .. } => unreachable!("deliveries are never held as effects"),
        }
    }

    /// While the account loads there is nothing to do: the row is found on disk.
    fn returned(&mut self, unacked: Unacked, ctx: &mut Context<Hub>) {
        self.decide(Origin::Elsewhere, ctx, |mind, devices, site, fx| {
            fx.delete(Tree::Account, unacked.row);
            mind.returned(vec![unacked.kept], devices, site, fx)
        });
    }

    /// A session counts from here on; it hears so in order with its deliveries.
    pub(super) fn count(&mut self, device: DeviceId) {
        if let Some((_, link)) = self.links.iter_mut().find(|(id, _)| *id == device) {
            link.count();
            link.send(ToSession::Counting);
        }
        if let Some(device) = self.devices.get_mut(device) {
            device.acknowledges = true;
        }
    }

    /// A device has what it was sent up to `h`: it is not sent again, even after a crash.
    pub(super) fn acked(&mut self, device: DeviceId, h: u32, ctx: &mut Context<Hub>) {
        let link = self.links.iter_mut().find(|(id, _)| *id == device);
        let acked = link.map(|(_, link)| link.acked(h)).unwrap_or_default();
        let mut kept = Vec::with_capacity(acked.len());
        for unacked in acked {
            self.later.delete(Tree::Account, unacked.row);
            kept.push(unacked.kept);
        }
        if !kept.is_empty() {
            self.decide(Origin::Elsewhere, ctx, |mind, devices, site, fx| {
                mind.taken(&kept, devices, site, fx)
            });
        }
        if !self.later.is_empty() && !std::mem::replace(&mut self.flush_due, true) {
            ctx.run_later(LATER, |hub, _| {
                hub.flush_due = false;
                hub.flush();
            });
        }
    }

    /// Frames ended: what waited for them goes out, or, refused, is forgotten with the struct that
    /// asked for it.
    pub(super) fn commit_ended(&mut self, ticket: u64, ended: Committed, ctx: &mut Context<Hub>) {
        if ended == Committed::Refused {
            return self.refused(ticket, ctx);
        }
        self.ended = self.ended.max(ticket);
        self.durable = self.durable.max(ticket);
        self.let_go(ctx);
    }

    fn let_go(&mut self, ctx: &mut Context<Hub>) {
        while self
            .held
            .front()
            .is_some_and(|held| held.ticket <= self.durable)
            && let Some(held) = self.held.pop_front()
        {
            self.release(&held);
            self.do_now(held.what, ctx);
        }
        if self.held.is_empty() {
            self.held.shrink_to_fit();
        }
    }

    /// Memory says what the disk does not: the disk is the truth. The sender hears by the receipt.
    /// What only queued behind this frame queues behind the one before it.
    fn refused(&mut self, ticket: u64, ctx: &mut Context<Hub>) {
        warn!(hub = %self.jid, "the disk is full: changes were refused");
        let mut before = self.durable;
        let mut stays = matches!(self.state, State::Removed(_));
        for mut held in std::mem::take(&mut self.held) {
            // The removal waits for an empty frame behind its own.
            let removal = matches!(held.what, What::Removal(_)) && held.ticket == ticket + 1;
            if removal || (held.own && held.ticket == ticket) {
                stays &= !removal;
                self.release(&held);
                continue;
            }
            if held.ticket == ticket {
                held.ticket = before;
            }
            before = held.ticket;
            self.held.push_back(held);
        }
        self.let_go(ctx);
        if !stays {
            self.load(ctx);
        }
    }

    /// Takes back what waits for a device that is gone; the deliveries that must not be lost.
    pub(super) fn withdraw(&mut self, gone: DeviceId) -> Vec<Unacked> {
        let mut unacked = Vec::new();
        self.held.retain_mut(|held| match &mut held.what {
            What::Deliver {
                device,
                unacked: kept,
                ..
            } if *device == gone => {
                unacked.extend(kept.take());
                false
            }
            _ => true,
        });
        unacked
    }

    /// Something waits no more.
    fn release(&mut self, held: &Held) {
        match &held.what {
            What::Deliver { device, .. } => {
                if let Some((_, link)) = self.links.iter_mut().find(|(id, _)| id == device) {
                    link.held = link.held.saturating_sub(1);
                }
            }
            _ => self.held_effects = self.held_effects.saturating_sub(1),
        }
    }
}
