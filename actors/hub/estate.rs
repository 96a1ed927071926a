//! What outlives a Hub that dies of a panic outside its struct: its sessions, as they stand. The
//! successor takes them over, so that they notice nothing but a pause, and nobody who sees their
//! presence notices anything.

use std::collections::VecDeque;

use actix::prelude::*;
use rookery_protocol::error::{StreamCondition, StreamError};
use rookery_storage::Frame;

use super::perform::{Held, What};
use super::{Hub, Missed, State};
use crate::directory::{Load, Resident};
use crate::hub::devices::{DeviceId, Devices};
use crate::hub::link::Link;
use crate::messages::ToSession;

/// What a Hub leaves.
pub struct Estate {
    devices: Devices,
    links: Vec<(DeviceId, Link)>,
    held: VecDeque<Held>,
    missed: VecDeque<Missed>,
    /// To be on disk before the account is read.
    pub later: Frame,
}

impl Resident for Hub {
    type Estate = Estate;
}

impl Hub {
    /// Takes over what a predecessor left. All that it had handed to the disk has ended, so nothing
    /// of it waits any more. Where a part of that was refused nobody can tell which: then the
    /// sessions end, as memory that says what the disk does not would.
    pub(super) fn inherit(&mut self, estate: Estate, predecessor: &Load) {
        if predecessor.was_refused() || self.load.was_refused() {
            return;
        }
        self.devices = estate.devices;
        self.links = estate.links;
        self.links
            .iter_mut()
            .for_each(|(_, link)| link.end_unshelving(Vec::new()));
        self.missed = estate.missed;
        for mut held in estate.held {
            held.ticket = self.durable;
            self.hold(held);
        }
    }

    /// The account is loaded. Whose session ended while nobody heard of it is gone; the others hear
    /// what they must know.
    pub(super) fn settle_in(&mut self, ctx: &mut Context<Hub>) {
        let gone: Vec<DeviceId> = self
            .links
            .iter()
            .filter(|(_, link)| !link.is_alive())
            .map(|(id, _)| *id)
            .collect();
        gone.into_iter().for_each(|id| self.gone(id, ctx));
        for (_, link) in &self.links {
            link.send(ToSession::Inherited(link.counts()));
            if *self.realm.closing.borrow() {
                // It was told to the dead one.
                let error = StreamError::new(StreamCondition::SystemShutdown);
                link.send(ToSession::Shutdown(error));
            }
        }
        let away = self
            .links
            .iter()
            .filter_map(|(id, link)| Some((*id, link.away?)));
        let away: Vec<_> = away.collect();
        away.into_iter()
            .for_each(|(id, loss)| self.expire_in_time(id, loss, ctx));
        self.let_go(ctx);
    }
}

impl Drop for Hub {
    /// Panic-free, takes no lock. Where nobody is left to inherit, the links tell the sessions.
    fn drop(&mut self) {
        let lives = matches!(self.state, State::Account(_) | State::Loading);
        if !std::thread::panicking() || !lives {
            return;
        }
        let anybody = !self.devices.is_empty() || !self.missed.is_empty();
        if let (true, Some(will)) = (anybody, self.will.take()) {
            self.load.leave();
            let mut held = std::mem::take(&mut self.held);
            let mut missed = std::mem::take(&mut self.missed);
            // Who waits for a removal is told by its loss.
            held.retain(|held| !matches!(held.what, What::Removal(_)));
            // As are those whose mail it was: the counters of the dead one had it.
            missed.retain(|missed| !matches!(missed, Missed::Mail(_)));
            let _ = will.send(Box::new(Estate {
                devices: std::mem::take(&mut self.devices),
                links: std::mem::take(&mut self.links),
                held,
                missed,
                later: std::mem::take(&mut self.later),
            }));
        }
    }
}

#[cfg(test)]
mod tests;
