//! What a Hub waits for without stopping: rows that an extension reads, commands that the server
//! does. IQs to an extension that reads wait behind it, so that each sees what the last one did.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::stanza::{IqType, Kind, Stanza};
use rookery_storage::{Frame, Tree};

use super::perform::Waits;
use super::{Hub, Missed, State};
use crate::admin::Outcome;
use crate::effect::{Administer, Marks, Origin, Query, Read};
use crate::realm::After;
use crate::receipt::Receipt;

/// How long who ended his own session may take to close his stream.
const PARTING: Duration = Duration::from_secs(1);

/// IQs that wait, by extension. Each has its receipt still, so their senders bound them.
pub(super) type Parked = Vec<(usize, VecDeque<(Stanza, Origin, Receipt)>)>;

impl Hub {
    /// An IQ to an extension that reads for an earlier one waits behind it, with its receipt. Gives
    /// back what need not wait.
    pub(super) fn park_behind_reader(
        &mut self,
        stanza: Stanza,
        origin: Origin,
        receipt: Receipt,
    ) -> Option<(Stanza, Receipt)> {
        if self.parked.is_empty() || !matches!(stanza.kind, Kind::Iq(_)) {
            return Some((stanza, receipt));
        }
        let site = &self.realm.site;
        let decider = self.state.decider();
        let answerer = decider.and_then(|it| it.answerer(&stanza, site));
        match self
            .parked
            .iter_mut()
            .find(|(index, _)| Some(*index) == answerer)
        {
            Some((_, queue)) => {
                queue.push_back((stanza, origin, receipt));
                None
            }
            None => Some((stanza, receipt)),
        }
    }

    /// The reader is done: those behind it have their turn, until one of them reads.
    pub(super) fn unpark(&mut self, extension: usize, ctx: &mut Context<Hub>) {
        let Some(index) = self.parked.iter().position(|(it, _)| *it == extension) else {
            return;
        };
        let (_, mut queue) = self.parked.swap_remove(index);
        while let Some((stanza, origin, receipt)) = queue.pop_front() {
            if matches!(self.state, State::Loading) {
                queue.push_front((stanza, origin, receipt));
                self.parked.push((extension, queue));
                return self.missed.push_back(Missed::Unpark(extension));
            }
            let parked = self.park_behind_reader(stanza, origin, receipt);
            let Some((stanza, receipt)) = parked else {
                continue;
            };
            let mut fx = self.effects(origin);
            fx.receipt = receipt;
            fx.sets = stanza.kind == Kind::Iq(IqType::Set);
            let marks = Marks {
                stamp: fx.now,
                ..Marks::default()
            };
            match origin {
                Origin::Device(device) => {
                    self.decide_on(fx, Waits::All, ctx, |mind, devices, site, fx| {
                        mind.outgoing(device, stanza, marks, devices, site, fx)
                    })
                }
                Origin::Elsewhere => {
                    self.consult(fx, Waits::All, ctx, |decider, devices, site, fx| {
                        decider.incoming(stanza, marks, devices, site, fx)
                    })
                }
            };
        }
    }

    /// Reads for an extension.
    pub(super) fn read(&mut self, mut read: Read, ctx: &mut Context<Hub>) {
        let realm = Arc::clone(&self.realm);
        let queries = read.queries.clone();
        // The rows of this Hub's own commits must be there: an empty commit waits for them.
        let behind = self.ended < self.ticket;
        // What travels is for the archive. Where the Hub itself waits, it must not wait for others.
        let of_archive = queries
            .iter()
            .map(Query::tree)
            .any(|it| it == Tree::Archive);
        let arrival = match of_archive && !read.stops {
            true => self.abroad.arrival(),
            false => None,
        };
        let rows = async move {
            if behind {
                realm.keeper.committed(Frame::new()).await;
            }
            if let Some(arrival) = arrival {
                // An error says the same: nobody is left to tell.
                let _ = arrival.await;
            }
            realm.keeper.rows(queries).await
        };
        let (extension, stops) = (read.extension, read.stops);
        if !stops {
            self.parked.push((extension, VecDeque::new()));
        }
        let go_on = rows.into_actor(self).map(move |rows, hub: &mut Hub, ctx| {
            let (request, origin) = (read.request.clone(), read.origin);
            let mut fx = hub.effects(origin);
            fx.receipt = std::mem::replace(&mut read.receipt, Receipt::none());
            fx.sets = request
                .as_ref()
                .is_some_and(|it| it.kind == Kind::Iq(IqType::Set));
            let unheard = !fx.receipt.is_some();
            let decided = match (rows, &request) {
                (Some(rows), _) => {
                    hub.consult(fx, Waits::All, ctx, |decider, devices, site, fx| {
                        decider.read_done(read, rows, devices, site, fx)
                    })
                }
                // Nothing may be decided from rows that the disk did not give: they might be taken
                // for rows that there are not. Dropped with `fx`, the receipt tells the sender.
                (None, Some(_)) => false,
                (None, None) => hub.consult(fx, Waits::All, ctx, |decider, devices, site, fx| {
                    decider.unread(read, devices, site, fx)
                }),
            };
            if let Some(request) = request.filter(|_| !decided && unheard) {
                hub.apologise(&request, origin, ctx);
            }
            if !stops {
                hub.unpark(extension, ctx);
            }
        });
        match stops {
            true => ctx.wait(go_on),
            false => {
                ctx.spawn(go_on);
            }
        }
    }

    /// Nobody holds a receipt of this request: only we can say that it went wrong.
    fn apologise(&mut self, request: &Stanza, origin: Origin, ctx: &mut Context<Hub>) {
        let mut fx = self.effects(origin);
        fx.refuse(request, &StanzaError::new(Condition::InternalServerError));
        self.perform(fx, Waits::All, ctx);
    }

    /// Has the server do a command for an extension.
    pub(super) fn administer(&mut self, order: Administer, ctx: &mut Context<Hub>) {
        self.pending += 1;
        let realm = Arc::clone(&self.realm);
        let (command, origin) = (order.command.clone(), order.origin);
        let work = async move { realm.administer(command).await };
        ctx.spawn(
            work.into_actor(self)
                .map(move |(outcome, mut after), hub: &mut Hub, ctx| {
                    hub.pending -= 1;
                    hub.stay();
                    hub.administered(order, outcome, ctx);
                    // Only now: who removes his account or changes his password hears the result
                    // first.
                    hub.spare(origin, &mut after, ctx);
                    hub.realm.finish(after);
                }),
        );
    }

    /// Who removes his own account has a moment to leave by himself: a stream error right behind
    /// the result looks like a failure to clients that wait for the result.
    fn spare(&mut self, origin: Origin, after: &mut After, ctx: &mut Context<Hub>) {
        let Origin::Device(device) = origin else {
            return;
        };
        let jid = self.devices.get(device).map(|device| &device.jid);
        if let Some(error) = jid.and_then(|jid| after.spare(jid)) {
            ctx.run_later(PARTING, move |hub, ctx| {
                hub.end(device, error);
                hub.gone(device, ctx);
            });
        }
    }

    fn administered(&mut self, mut order: Administer, outcome: Outcome, ctx: &mut Context<Hub>) {
        let (request, origin) = (order.request.clone(), order.origin);
        let mut fx = self.effects(origin);
        fx.receipt = std::mem::replace(&mut order.receipt, Receipt::none());
        let unheard = !fx.receipt.is_some();
        if self.state.decider().is_some() {
            let decided = self.consult(fx, Waits::All, ctx, |decider, devices, site, fx| {
                decider.administered(order, outcome, devices, site, fx)
            });
            if !decided && unheard {
                self.apologise(&request, origin, ctx);
            }
            return;
        }
        match outcome {
            Outcome::Failed(_) => {
                fx.refuse(&request, &StanzaError::new(Condition::InternalServerError));
            }
            // The account is gone: a plain result.
            _ => fx.result(&request, None),
        }
        self.perform(fx, Waits::All, ctx);
    }
}
