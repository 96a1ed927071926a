//! How a Hub begins, begins again after a panic or a full disk, and leaves.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use actix::prelude::*;
use rookery_protocol::error::{StreamCondition, StreamError};
use rookery_storage::{Frame, Tree};
use tokio::sync::oneshot;
use tracing::{error, warn};

use super::perform::{Held, What};
use super::{Hub, Missed, State};
use crate::effect::{Origin, Query, Row};
use crate::hub::devices::Devices;
use crate::hub::mind::Mind;
use crate::keeper::{Committed, Tell};
use crate::keys::{self, AccountId, Kind};
use crate::messages::{Mail, Order};
use crate::receipt::Receipt;

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
            self.state = State::Removed(None);
            return;
        };
        self.state = State::Loading;
        let realm = Arc::clone(&self.realm);
        let behind = self.ended < self.ticket || std::mem::take(&mut self.after_death);
        let upto = self.ticket;
        let rows = async move {
            if behind {
                realm.keeper.committed(Frame::new()).await;
            }
            let (tree, range) = (Tree::Account, keys::loaded(id));
            let all = Query::Range {
                tree,
                range,
                limit: usize::MAX,
                backwards: false,
            };
            realm.keeper.rows(vec![all]).await
        };
        ctx.wait(rows.into_actor(self).map(move |rows, hub, ctx| {
            hub.ended = hub.ended.max(upto);
            match rows {
                Some(rows) => hub.loaded(id, rows, ctx),
                // Nothing may be decided from half of an account.
                None => hub.fall(ctx),
            }
        }));
    }

    fn loaded(&mut self, id: AccountId, rows: Vec<Row>, ctx: &mut Context<Hub>) {
        let (unacked, rows): (Vec<Row>, Vec<Row>) = rows
            .into_iter()
            .partition(|(key, _)| matches!(keys::split(key), Some((_, Kind::UNACKED, _))));
        let (site, jid) = (&self.realm.site, self.jid.clone());
        match catch_unwind(AssertUnwindSafe(|| Mind::load(id, jid, rows, site))) {
            Ok(mind) => self.state = State::Account(Box::new(mind)),
            Err(_) => {
                error!(hub = %self.jid, "the rows of an account cannot be loaded");
                return self.fall(ctx);
            }
        }
        if !self.devices.is_empty() {
            self.decide(Origin::Elsewhere, ctx, |mind, devices, site, fx| {
                mind.rejoined(devices, site, fx)
            });
        }
        self.redeliver(unacked, ctx);
        self.catch_up(ctx);
    }

    /// What a session of an earlier life was sent and never acknowledged is delivered again; the
    /// deliveries of sessions that live now are in their links.
    fn redeliver(&mut self, unacked: Vec<Row>, ctx: &mut Context<Hub>) {
        let lost: Vec<Row> = unacked
            .into_iter()
            .filter(|(key, _)| !self.links.iter().any(|(_, link)| link.owns(key)))
            .filter(|(key, _)| !self.held.iter().any(|held| held.keeps(key)))
            .collect();
        if lost.is_empty() || self.shy {
            return;
        }
        let loaded = matches!(self.state, State::Account(_));
        let decided = self.decide(Origin::Elsewhere, ctx, |mind, devices, site, fx| {
            let (rows, kept): (Vec<_>, Vec<_>) = lost.into_iter().unzip();
            rows.into_iter()
                .for_each(|row| fx.delete(Tree::Account, row));
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
                Missed::Gone { device, again } => self.depart(device, again, ctx),
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
            for tree in [Tree::Account, Tree::Archive, Tree::Pubsub] {
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
        let recent = self.used.elapsed() < self.realm.site.settings.engine.retire / 2;
        let busy = !self.held.is_empty() || !self.parked.is_empty() || self.commands > 0;
        if recent || busy {
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
