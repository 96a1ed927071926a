//! How a Hub does what was decided: rows first, then what may be seen at once, the rest when the
//! rows are on disk.

use actix::prelude::*;
use bytes::Bytes;
use rookery_protocol::stanza::{Kind, Stanza};
use rookery_protocol::subscription::Request;
use rookery_storage::record::encode;
use rookery_storage::{Frame, Tree};
use smol_str::SmolStr;
use tokio::sync::oneshot;
use tracing::warn;

use super::{Hub, State};
use crate::effect::{Effect, Effects, Origin};
use crate::hub::devices::DeviceId;
use crate::hub::link::Link;
use crate::hub::plan::Plan;
use crate::hub::remembered::Delivery;
use crate::hub::shared::Shared;
use crate::hub::shelf::{Item, Unacked};
use crate::keeper::{Committed, Tell};
use crate::receipt::{Receipt, is_later};

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
    /// A stanza for a device, with its number where deliveries are counted.
    Deliver {
        device: DeviceId,
        bytes: Bytes,
        number: Option<u32>,
    },
    /// A stanza for a device that is shelved, or its row.
    Shelve { device: DeviceId, item: Item },
    /// Anything else that was decided.
    Effect(Effect),
    /// The account's end; this hears of it.
    Removal(oneshot::Sender<Committed>),
}

impl Hub {
    /// Performs effects in their order. Of what wrote, everything waits for the disk, except of a
    /// message or presence, of which only what goes to devices that acknowledge does: it is
    /// nobody's secret that it was sent. What comes later never overtakes what waits.
    pub(super) fn perform(&mut self, mut fx: Effects, kind: Waits, ctx: &mut Context<Hub>) {
        let mut effects = fx.take();
        self.abroad.see_off(&mut effects);
        let mut frame = fx.take_rows();
        self.keep_account(fx.take_abolished(), &mut frame);
        let decided = !frame.is_empty() || self.answers_set(&fx, &effects);
        let shared = Shared::of(&effects);
        // Rows go with a stanza, which takes those of its copies along.
        let leaves = effects.iter().any(takes_rows);
        let mut plan = Plan::new(frame, kind, decided, leaves, shared);
        for mut effect in effects {
            if let Effect::Route(envelope) = &mut effect
                && !envelope.rows.is_empty()
            {
                envelope.rows.append(std::mem::take(&mut plan.along));
            }
            match effect {
                Effect::Deliver {
                    devices,
                    bytes,
                    keep,
                } => {
                    for device in devices {
                        self.plan(device, bytes.clone(), keep.clone(), &mut plan);
                    }
                }
                Effect::SetAside {
                    device,
                    bytes,
                    subject,
                } => self.plan_aside(device, bytes, subject, &mut plan),
                Effect::Patience(device, patient) => {
                    self.plan_patience(device, patient, &mut plan);
                }
                // Nothing is handled before it is done, or at least no IQ to the same extension: so
                // it must begin before anything is. It sees what this Hub wrote, and what comes of
                // it queues behind what waits now.
                Effect::Read(read) => plan.now.push(What::Effect(Effect::Read(read))),
                other if plan.hold_all || self.held_effects > 0 => {
                    plan.hold.push((plan.hold_all, What::Effect(other)));
                }
                other => plan.now.push(What::Effect(other)),
            }
        }
        let Plan {
            frame, now, hold, ..
        } = plan;
        let receipt = std::mem::replace(&mut fx.receipt, Receipt::none());
        // Rows of deliveries alone make a frame, too.
        let wrote = !frame.is_empty();
        // The answer to one elsewhere leaves at once; that it was handled is on the disk before
        // anything that is asked for after it.
        let lasting = fx.lasting || (fx.sets && fx.origin() == Origin::Elsewhere);
        self.commit(frame, receipt, wrote, lasting, !hold.is_empty());
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

    /// An entity of a service writes its first rows, or its last.
    fn keep_account(&mut self, abolished: bool, frame: &mut Frame) {
        if abolished {
            self.realm.owners.strike(&self.jid, frame);
            self.unwritten = true;
        } else if self.unwritten && !frame.is_empty() {
            self.realm.owners.write_down(&self.jid, frame);
            self.unwritten = false;
        }
    }

    /// Whether a session that may be resumed gets the answer to an IQ of type `set`.
    fn answers_set(&self, fx: &Effects, effects: &[Effect]) -> bool {
        let Origin::Device(asker) = fx.origin() else {
            return false;
        };
        let answers = |effect: &Effect| {
            matches!(effect, Effect::Deliver { devices, .. }
            if devices.contains(&asker))
        };
        let resumable = |(id, link): &(DeviceId, Link)| *id == asker && link.token.is_some();
        fx.sets
            && fx.receipt.is_some()
            && self.links.iter().any(resumable)
            && effects.iter().any(answers)
    }

    /// Holds something until its frame is on disk.
    pub(super) fn hold(&mut self, held: Held) {
        self.held_effects += u32::from(held.what.device().is_none());
        self.held.push_back(held);
    }

    fn commit(&mut self, frame: Frame, receipt: Receipt, wrote: bool, lasting: bool, told: bool) {
        if wrote {
            self.ticket += 1;
            self.urgent = false;
            // What was decided earlier comes first.
            let mut all = std::mem::take(&mut self.later);
            all.append(frame);
            let tell = match told {
                true => self.tell(),
                false => Tell::Refusal(SmolStr::new(self.jid.as_str()), self.ticket),
            };
            self.realm.keeper.commit(all, receipt, tell);
            return;
        }
        if self.urgent {
            self.flush();
        }
        if lasting && receipt.is_some() {
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
                number,
            } => {
                // To a device that went meanwhile nothing is delivered: its rows say what is owed.
                if let Some((_, link)) = self.links.iter().find(|(id, _)| *id == device) {
                    link.deliver(bytes, number);
                }
            }
            What::Shelve { device, item } => {
                if let Some((_, link)) = self.links.iter_mut().find(|(id, _)| *id == device) {
                    link.shelving -= 1;
                    let dropped = link.shelve(item);
                    let spilled = link.spilled();
                    dropped.into_iter().for_each(|it| self.realm.bounce(it));
                    match spilled > self.realm.site.settings.acks.spill.get() {
                        true => self.overflow(device, ctx),
                        false => self.unshelve(device, ctx),
                    }
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
                self.wakes += 1;
                ctx.run_later(time, move |hub, ctx| {
                    hub.wakes -= 1;
                    let fx = hub.effects(Origin::Elsewhere);
                    hub.consult(fx, Waits::All, ctx, |decider, devices, site, fx| {
                        decider.woken(extension, devices, site, fx)
                    });
                });
            }
            Effect::Deliver { .. } | Effect::SetAside { .. } | Effect::Patience(..) => {
                unreachable!("deliveries are never held as effects")
            }
        }
    }

    /// Frames ended: what waited for them goes out, or, refused, is forgotten with the struct that
    /// asked for it.
    pub(super) fn commit_ended(&mut self, ticket: u64, ended: Committed, ctx: &mut Context<Hub>) {
        if ended == Committed::Refused {
            self.load.forget_refusal();
            return self.refused(ticket, ctx);
        }
        self.ended = self.ended.max(ticket);
        self.durable = self.durable.max(ticket);
        self.let_go(ctx);
    }

    pub(super) fn let_go(&mut self, ctx: &mut Context<Hub>) {
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
        self.say_farewell();
    }

    /// Memory says what the disk does not: the disk is the truth. The sender hears by the receipt.
    /// What only queued behind this frame queues behind the one before it.
    fn refused(&mut self, ticket: u64, ctx: &mut Context<Hub>) {
        warn!(hub = %self.jid, "the disk is full: changes were refused");
        if self.borrowed {
            self.realm.owners.doubt(&self.jid);
        }
        let mut before = self.durable;
        let mut stays = matches!(self.state, State::Removed(_));
        let mut refused = Vec::new();
        for mut held in std::mem::take(&mut self.held) {
            // The removal waits for an empty frame behind its own.
            let removal = matches!(held.what, What::Removal(_)) && held.ticket == ticket + 1;
            if removal || (held.own && held.ticket == ticket) {
                stays &= !removal;
                self.release(&held);
                refused.push(held.what);
                continue;
            }
            if held.ticket == ticket {
                held.ticket = before;
            }
            before = held.ticket;
            self.held.push_back(held);
        }
        // The last first, so that those before it keep their numbers meanwhile.
        refused.into_iter().rev().for_each(|it| self.retract(it));
        self.let_go(ctx);
        if !stays {
            self.load(ctx);
        }
    }

    /// What was refused is not delivered: later deliveries to the same device move up.
    fn retract(&mut self, what: What) {
        let Some(gone) = what.device() else { return };
        let Some((_, link)) = self.links.iter_mut().find(|(id, _)| *id == gone) else {
            return;
        };
        match what {
            What::Deliver {
                number: Some(retracted),
                ..
            } => {
                for (row, delivery) in link.retract(retracted) {
                    write(&mut self.later, &row, &delivery);
                }
                for held in &mut self.held {
                    if let What::Deliver {
                        device,
                        number: Some(number),
                        ..
                    } = &mut held.what
                        && *device == gone
                        && is_later(*number, retracted)
                    {
                        *number = number.wrapping_sub(1);
                    }
                }
            }
            What::Shelve { .. } => link.shelving -= 1,
            _ => {}
        }
    }

    /// Forgets what waits for a device that is gone; the deliveries among it that were shelved.
    pub(super) fn withdraw(&mut self, gone: DeviceId) -> Vec<Item> {
        let mut shelved = Vec::new();
        self.held.retain_mut(|held| match &mut held.what {
            What::Deliver { device, .. } => *device != gone,
            What::Shelve { device, item } if *device == gone => {
                shelved.push(item.clone());
                false
            }
            _ => true,
        });
        shelved
    }

    /// Something waits no more.
    fn release(&mut self, held: &Held) {
        match held.what.device() {
            Some(device) => {
                if let Some((_, link)) = self.links.iter_mut().find(|(id, _)| *id == device) {
                    link.held = link.held.saturating_sub(1);
                }
            }
            None => self.held_effects = self.held_effects.saturating_sub(1),
        }
    }
}

/// Whether rows travel with this.
fn takes_rows(effect: &Effect) -> bool {
    matches!(effect, Effect::Route(envelope) if !envelope.rows.is_empty())
}

impl What {
    /// The device whose deliveries wait behind this.
    fn device(&self) -> Option<DeviceId> {
        match self {
            What::Deliver { device, .. } | What::Shelve { device, .. } => Some(*device),
            What::Effect(_) | What::Removal(_) => None,
        }
    }

    /// The row of a delivery that waits for it.
    pub(super) fn unacked_mut(&mut self) -> Option<&mut Unacked> {
        match self {
            What::Shelve { item, .. } => item.unacked_mut(),
            _ => None,
        }
    }
}

/// Writes the row of a delivery.
pub(super) fn write(frame: &mut Frame, row: &[u8], delivery: &Delivery) {
    match encode(delivery) {
        Ok(value) => drop(frame.put(Tree::Sessions, row, value)),
        Err(problem) => warn!(%problem, "the row of a delivery cannot be written"),
    }
}
