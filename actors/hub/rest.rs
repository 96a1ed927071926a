//! How a Hub leaves that nobody needs: one without sessions retires; one whose sessions all wait
//! for their clients (XEP-0198 §5) falls asleep, and its account is rows until something comes for
//! it ([`crate::sleepers`]).
//!
//! To fall asleep is to do what the end of the server does, for one account: the sessions write
//! down what they count and what their clients do not have, the Hub what else waits for them, in
//! one frame. Meanwhile no mail is handled. When the frame is on disk the Hub forgets everything;
//! if mail has come by then it loads at once what it has written, as if it had been woken.

use std::sync::Arc;
use std::time::Instant;

use actix::prelude::*;
use rookery_storage::Frame;

use super::{Hub, State};
use crate::hub::devices::{DeviceId, Devices};
use crate::hub::link::Link;
use crate::keeper::Committed;
use crate::sleepers::Slumber;

/// How many times the rest of a Hub (half an hour by default) the timers of its extensions keep it
/// from retiring, once nobody else needs it: an extension that wakes itself for ever must not hold
/// an account in memory for ever.
pub(super) const WAKEFUL: u32 = 30;

impl Hub {
    /// Leaves when nobody needs it any more.
    pub(super) fn rest(&mut self, ctx: &mut Context<Hub>) {
        if let Some(earlier) = self.resting.take() {
            ctx.cancel_future(earlier);
        }
        let time = self.realm.site.settings.engine.retire;
        self.resting = Some(ctx.run_later(time, |hub, ctx| {
            hub.resting = None;
            hub.retire(ctx);
        }));
    }

    fn retire(&mut self, ctx: &mut Context<Hub>) {
        // With sessions it stays: the last one's end begins the rest anew.
        if !self.devices.is_empty() {
            return;
        }
        let rest = self.realm.site.settings.engine.retire;
        let unused = self.used.elapsed();
        let waits = !self.held.is_empty() || !self.parked.is_empty() || !self.abroad.is_empty();
        let busy = waits || self.pending > 0;
        // A timer would die with the Hub. An account that was removed has nothing more to do.
        let remembers = matches!(self.state, State::Account(_) | State::Service(_));
        let wakeful = remembers && self.wakes > 0 && unused < rest * WAKEFUL;
        if unused < rest / 2 || busy || wakeful {
            return self.rest(ctx);
        }
        self.flush();
        if self.ended < self.ticket {
            return self.retire_after_commits(ctx);
        }
        match self.realm.directory.retire(self.jid.as_str(), &self.load) {
            true => {
                if self.borrowed {
                    self.realm.owners.give_back(&self.jid);
                }
                ctx.stop();
            }
            false => self.rest(ctx),
        }
    }

    /// A successor may read the moment this Hub is gone: all that it wrote must be there.
    fn retire_after_commits(&mut self, ctx: &mut Context<Hub>) {
        let (realm, upto) = (Arc::clone(&self.realm), self.ticket);
        let commits = async move {
            realm.keeper.committed(Frame::new()).await;
        };
        self.resting = Some(ctx.spawn(commits.into_actor(self).map(move |(), hub, ctx| {
            hub.resting = None;
            hub.ended = hub.ended.max(upto);
            hub.retire(ctx);
        })));
    }

    /// Falls asleep in a while, if all its sessions wait for their clients.
    pub(super) fn doze_later(&mut self, ctx: &mut Context<Hub>) {
        if !self.only_waits() || std::mem::replace(&mut self.drowsy, true) {
            return;
        }
        self.used = Instant::now();
        let pause = self.realm.site.settings.acks.sleep;
        ctx.run_later(pause, |hub, ctx| {
            hub.drowsy = false;
            hub.doze(ctx);
        });
    }

    fn only_waits(&self) -> bool {
        let waits = |(_, link): &(DeviceId, Link)| link.only_waits();
        let is_account = matches!(self.state, State::Account(_));
        is_account && !self.links.is_empty() && self.links.iter().all(waits)
    }

    fn doze(&mut self, ctx: &mut Context<Hub>) {
        if !self.only_waits() {
            return;
        }
        let pause = self.realm.site.settings.acks.sleep;
        if self.used.elapsed() < pause / 2 || !self.may_forget() {
            return self.doze_later(ctx);
        }
        // What is held for who does not look goes to the sessions, which write it down.
        self.rouse_all(ctx);
        self.remember();
        self.flush();
        let mut rows = Frame::new();
        let mut asked = Vec::new();
        for (_, link) in &mut self.links {
            link.note_down(&mut rows);
            asked.extend(link.ask_for_rows());
        }
        let (realm, upto) = (Arc::clone(&self.realm), self.ticket);
        let written = async move {
            for session in asked {
                // One that does not answer, or has something to do, is not to be forgotten.
                rows.append(session.await.ok().flatten()?);
            }
            Some(realm.keeper.committed(rows).await)
        };
        ctx.wait(written.into_actor(self).map(move |written, hub, ctx| {
            if written != Some(Committed::Durable) {
                return hub.doze_later(ctx);
            }
            hub.ended = hub.ended.max(upto);
            hub.fall_asleep(ctx);
        }));
    }

    /// Whether it has nothing to do, and rows say all that it knows.
    fn may_forget(&self) -> bool {
        let State::Account(mind) = &self.state else {
            return false;
        };
        let waits = !self.held.is_empty() || !self.parked.is_empty() || !self.abroad.is_empty();
        let expects = self.wakes > 0 || self.pending > 0 || !self.missed.is_empty();
        let ends = self.draining.is_some() || self.shy;
        let is_still = self.links.iter().all(|(_, link)| link.shelving == 0);
        is_still && !waits && !expects && !ends && mind.is_written()
    }

    fn fall_asleep(&mut self, ctx: &mut Context<Hub>) {
        let links = self.links.drain(..);
        let waiting = links.filter_map(|(_, link)| link.fall_asleep()).collect();
        self.devices = Devices::default();
        let (key, slumber) = (self.jid.as_str(), Slumber::of(waiting));
        if let Err(slumber) = self.realm.directory.lay_down(key, &self.load, slumber) {
            self.slumber = Some(slumber);
            self.restored = false;
            return self.load(ctx);
        }
        ctx.stop();
    }
}
