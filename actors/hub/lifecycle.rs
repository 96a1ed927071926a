//! How a Hub begins, begins again after a panic or a full disk, and leaves.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use actix::prelude::*;
use rookery_protocol::error::{StreamCondition, StreamError};
use rookery_storage::{Frame, Tree};
use tokio::sync::oneshot;
use tracing::{error, warn};

use super::perform::{Held, What};
use super::{Hub, Missed, State};
use crate::effect::{Origin, Query, Row};
use crate::hub::devices::{DeviceId, Devices};
use crate::hub::link::Link;
use crate::hub::mind::Mind;
use crate::hub::remembered::{self, Remembered, Whereabouts};
use crate::keeper::{Committed, Tell};
use crate::keys::{self, AccountId};
use crate::messages::{Mail, Order};
use crate::receipt::Receipt;

/// After a start of the server all Hubs that had sessions are there again within this time.
const ALL_BACK: Duration = Duration::from_secs(1);
/// How many times the rest of a Hub (half an hour by default) the timers of its extensions keep it
/// from retiring, once nobody else needs it: an extension that wakes itself for ever must not hold
/// an account in memory for ever.
const WAKEFUL: u32 = 30;

impl Hub {
    /// Reads the account; until it is there no mail is handled. What the Hub itself has handed to
    /// the disk is waited for, or memory would be older than the disk.
    pub(super) fn load(&mut self, ctx: &mut Context<Hub>) {
        self.flush();
        if self.jid.local().is_none() {
            self.state = State::Domain;
            return;
        }
        let Some(id) = self.realm.accounts.id(self.jid.as_str()) else {
            // Nobody is left whom sessions could be of.
            self.heritage = None;
            self.state = State::Removed(None);
            return;
        };
        self.state = State::Loading;
        let realm = Arc::clone(&self.realm);
        let heritage = self.heritage.take();
        let behind = self.ended < self.ticket || heritage.is_some();
        let upto = self.ticket;
        let read = async move {
            let (estate, dead) = match heritage {
                Some(heritage) => (heritage.estate.await.ok(), Some(heritage.load)),
                None => (None, None),
            };
            let mut left = estate.zip(dead);
            if behind {
                let later = left.as_mut().map(|(it, _)| std::mem::take(&mut it.later));
                realm.keeper.committed(later.unwrap_or_default()).await;
            }
            let (tree, range) = (Tree::Account, keys::loaded(id));
            let all = |tree, range| Query::Range {
                tree,
                range,
                limit: usize::MAX,
                backwards: false,
            };
            let rows = realm.keeper.rows(vec![all(tree, range)]);
            let sessions = all(Tree::Sessions, keys::everything(id));
            let (rows, sessions) = tokio::join!(rows, realm.keeper.rows(vec![sessions]));
            (left, rows.zip(sessions))
        };
        ctx.wait(read.into_actor(self).map(move |(left, rows), hub, ctx| {
            hub.ended = hub.ended.max(upto);
            let inherited = left.is_some();
            if let Some((estate, dead)) = left {
                hub.inherit(*estate, &dead);
            }
            match rows {
                Some((rows, sessions)) => hub.loaded(id, rows, sessions, inherited, ctx),
                // Nothing may be decided from half of an account.
                None => hub.fall(ctx),
            }
        }));
    }

    fn loaded(
        &mut self,
        id: AccountId,
        rows: Vec<Row>,
        sessions: Vec<Row>,
        inherited: bool,
        ctx: &mut Context<Hub>,
    ) {
        let (site, jid) = (&self.realm.site, self.jid.clone());
        match catch_unwind(AssertUnwindSafe(|| Mind::load(id, jid, rows, site))) {
            Ok(mind) => self.state = State::Account(Box::new(mind)),
            Err(_) => {
                error!(hub = %self.jid, "the rows of an account cannot be loaded");
                return self.fall(ctx);
            }
        }
        if matches!(&self.state, State::Account(mind) if mind.account.owed.is_due()) {
            self.decide(Origin::Elsewhere, ctx, |mind, _, _, fx| mind.repay(fx));
        }
        let sessions = self.restore(sessions, ctx);
        if !self.devices.is_empty() {
            let joined = self.decide(Origin::Elsewhere, ctx, |mind, devices, site, fx| {
                mind.rejoined(devices, site, fx)
            });
            if !joined {
                // It would panic for ever.
                self.devices.iter_mut().for_each(|it| it.noted.clear());
            }
        }
        self.redeliver(sessions, ctx);
        self.catch_up(ctx);
        if inherited {
            self.settle_in(ctx);
        }
    }

    /// Sessions of an earlier life of the server: those that may be resumed wait for their clients,
    /// the others end as if their connections had broken. What is left has no device.
    fn restore(&mut self, rows: Vec<Row>, ctx: &mut Context<Hub>) -> Vec<Remembered> {
        let mut sessions = remembered::gather(rows);
        sessions.retain(|it| !self.links.iter().any(|(_, link)| link.key == it.key));
        if std::mem::replace(&mut self.restored, true) {
            return sessions;
        }
        let (mut rest, mut waiting) = (Vec::new(), Vec::new());
        for session in sessions {
            let id = DeviceId(self.realm.bindings.fetch_add(1, Ordering::Relaxed));
            match session.device(id, &self.jid, &self.realm.site) {
                Some((device, Some(token))) => {
                    self.devices.add(device);
                    waiting.push((id, session.owes()));
                    self.links.push((id, Link::restored(session, token)));
                    self.expire_in_time(id, 0, ctx);
                }
                Some((device, None)) => {
                    // Its contacts' sessions must be there again to hear that it is not.
                    self.pending += 1;
                    self.departing.push(device);
                    ctx.run_later(ALL_BACK, move |hub, ctx| {
                        hub.pending -= 1;
                        hub.see_off(|it| it.id == id, ctx);
                    });
                    rest.push(session);
                }
                None => rest.push(session),
            }
        }
        for it in waiting {
            self.decide(Origin::Elsewhere, ctx, |mind, devices, site, fx| {
                mind.restored(it, devices, site, fx)
            });
        }
        rest
    }

    /// What a session of an earlier life was sent and never acknowledged is delivered again; the
    /// deliveries of sessions that live now are in their links. Where there are devices, what waits
    /// is given to them even if no session is lost: it was about to be when the Hub ended.
    fn redeliver(&mut self, lost: Vec<Remembered>, ctx: &mut Context<Hub>) {
        if (lost.is_empty() && self.devices.is_empty()) || self.shy {
            return;
        }
        let loaded = matches!(self.state, State::Account(_));
        let decided = self.decide(Origin::Elsewhere, ctx, |mind, devices, site, fx| {
            let mut kept = Vec::new();
            for session in lost {
                fx.rows.delete_range(Tree::Sessions, session.key.rows());
                let stanzas = session.unacked.into_iter().map(|(_, _, it)| it.stanza);
                kept.extend(stanzas.filter_map(|stanza| match stanza {
                    Whereabouts::Archive(kept) => Some(kept),
                    Whereabouts::Here(_) => None,
                }));
            }
            mind.returned(kept, devices, site, fx)
        });
        // It would panic for ever. The rows wait for a better program.
        self.shy = loaded && !decided;
    }

    /// Decides what was missed while the account was loading.
    fn catch_up(&mut self, ctx: &mut Context<Hub>) {
        while !matches!(self.state, State::Loading)
            && let Some(missed) = self.missed.pop_front()
        {
            match missed {
                Missed::Gone { device, panics } => self.depart(device, panics, ctx),
                Missed::Unpark(extension) => self.unpark(extension, ctx),
                Missed::Mail(mail) => self.take(mail, ctx),
            }
        }
    }

    /// Cannot go on: the sessions end, and the next stanza starts another Hub.
    fn fall(&mut self, ctx: &mut Context<Hub>) {
        warn!(hub = %self.jid, "a hub cannot be loaded");
        self.lifeline.fall();
        ctx.stop();
    }

    /// Whether the removed account that this Hub was of has a successor by now, to be loaded before
    /// this mail is taken.
    pub(super) fn gives_way(&mut self, mail: &Mail) -> bool {
        let State::Removed(old) = self.state else {
            return false;
        };
        let now = self.realm.accounts.id(self.jid.as_str());
        let wanted = matches!(
            mail,
            Mail::Bind(_) | Mail::Incoming(_) | Mail::Order(Order::Remove(_))
        );
        if now.is_none() || now == old || !wanted {
            return false;
        }
        let error = StreamError::new(StreamCondition::NotAuthorized);
        for device in std::mem::take(&mut self.devices).iter() {
            self.end(device.id, error.clone());
        }
        self.devices = Devices::default();
        self.links
            .drain(..)
            .for_each(|(_, link)| drop(link.close()));
        true
    }

    /// RFC 6121 §3 and XEP-0077 §3.2: the subscriptions are cancelled, and everything of the
    /// account goes in the same frame.
    pub(super) fn remove(&mut self, done: oneshot::Sender<Committed>, ctx: &mut Context<Hub>) {
        // Dropped, `done` says that the server is busy.
        let State::Account(mind) = &self.state else {
            return;
        };
        let (id, name) = (mind.account.id, self.jid.as_str().as_bytes().to_vec());
        let removed = self.decide(Origin::Elsewhere, ctx, |mind, devices, site, fx| {
            mind.removed(devices, site, fx);
            fx.delete(Tree::Accounts, name);
            for tree in [Tree::Account, Tree::Archive, Tree::Pubsub, Tree::Sessions] {
                fx.rows.delete_range(tree, keys::everything(id));
            }
        });
        if removed {
            self.state = State::Removed(Some(id));
            self.ticket += 1;
            let tell = self.tell();
            self.realm
                .keeper
                .commit(Frame::new(), Receipt::none(), tell);
            self.hold(Held {
                ticket: self.ticket,
                own: true,
                what: What::Removal(done),
            });
        }
    }

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
        let is_account = matches!(self.state, State::Account(_));
        let wakeful = is_account && self.wakes > 0 && unused < rest * WAKEFUL;
        if unused < rest / 2 || busy || wakeful {
            return self.rest(ctx);
        }
        self.flush();
        if self.ended < self.ticket {
            return self.retire_after_commits(ctx);
        }
        match self.realm.directory.retire(self.jid.as_str(), &self.load) {
            true => ctx.stop(),
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

    /// Commits the rows that may wait for the next commit.
    pub(super) fn flush(&mut self) {
        if !self.later.is_empty() {
            self.ticket += 1;
            let frame = std::mem::take(&mut self.later);
            self.realm
                .keeper
                .commit(frame, Receipt::none(), Tell::Nobody);
        }
    }

    /// It has something to do.
    pub(super) fn stay(&mut self) {
        self.used = Instant::now();
    }
}

#[cfg(test)]
mod tests;
