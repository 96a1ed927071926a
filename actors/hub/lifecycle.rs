//! How a Hub begins, begins again after a panic or a full disk, and ends with the server.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use actix::prelude::*;
use rookery_protocol::error::{StreamCondition, StreamError};
use rookery_protocol::jid::Jid;
use rookery_storage::{Frame, Tree};
use tokio::sync::oneshot;
use tracing::{error, warn};

use super::perform::{Held, Waits, What};
use super::{Hub, Missed, State};
use crate::effect::{Origin, Query, Row};
use crate::hub::decider::Domain;
use crate::hub::devices::{DeviceId, Devices};
use crate::hub::link::Link;
use crate::hub::mind::Mind;
use crate::hub::owed;
use crate::hub::remembered::{self, Remembered, Whereabouts};
use crate::hub::shared::Left;
use crate::hub::steward::Steward;
use crate::keeper::{Committed, Tell};
use crate::keys::{self, AccountId};
use crate::messages::{LastWord, Mail, Order, ToSession};
use crate::owners::Owners;
use crate::realm::Realm;
use crate::receipt::Receipt;
use crate::service::Host;

/// After a start of the server everybody who had sessions can be told again within this time.
const ALL_BACK: Duration = Duration::from_secs(1);
/// How long a Hub that drains waits for the disk: a part of what the whole server has for it.
const LAST_WAIT: Duration = Duration::from_secs(if cfg!(test) { 60 } else { 3 });
/// Whose rows a Hub loads.
pub(super) enum Owner {
    Account(AccountId),
    Service(Host),
}

/// What a Hub is loaded from.
pub(super) struct Rows {
    /// The number under which they lie.
    id: AccountId,
    loaded: Vec<Row>,
    /// The sessions of an account.
    sessions: Vec<Row>,
    /// Removed accounts that a service has yet to hear of.
    farewells: Vec<Row>,
}

impl Realm {
    /// The rows of whoever has this bare JID; `None`: the disk did not give them.
    /// What is at a service has a number that is `lent` to it.
    async fn rows_of(&self, owner: &Owner, jid: &Jid, lent: Option<AccountId>) -> Option<Rows> {
        let all = |tree, range| Query::Range {
            tree,
            range,
            limit: usize::MAX,
            backwards: false,
        };
        let (id, others) = match owner {
            Owner::Account(id) => (*id, all(Tree::Sessions, keys::everything(*id))),
            Owner::Service(_) if jid.local().is_some() => (lent?, Owners::farewells(jid)),
            Owner::Service(_) => {
                let claim = self.owners.claim(jid, &self.accounts, &self.keeper);
                (claim.await?, Owners::farewells(jid))
            }
        };
        let loaded = vec![all(Tree::Account, keys::loaded(id))];
        let (loaded, others) =
            tokio::join!(self.keeper.rows(loaded), self.keeper.rows(vec![others]));
        let (sessions, farewells) = match owner {
            Owner::Account(_) => (others?, Vec::new()),
            Owner::Service(_) => (Vec::new(), others?),
        };
        Some(Rows {
            id,
            loaded: loaded?,
            sessions,
            farewells,
        })
    }
}

impl Hub {
    /// Reads the account or service; until it is there no mail is handled. What the Hub itself has
    /// handed to the disk is waited for, or memory would be older than the disk.
    pub(super) fn load(&mut self, ctx: &mut Context<Hub>) {
        self.flush();
        let realm = Arc::clone(&self.realm);
        let owner = match realm.site.host(self.jid.domain()) {
            Some(host) => Owner::Service(host.clone()),
            None if self.jid.local().is_none() => {
                self.state = State::Domain(Domain);
                return;
            }
            None => match realm.accounts.id(self.jid.as_str()) {
                Some(id) => Owner::Account(id),
                None => {
                    // Nobody is left whom sessions could be of.
                    self.heritage = None;
                    self.state = State::Removed(None);
                    return;
                }
            },
        };
        self.state = State::Loading;
        let jid = self.jid.clone();
        let lent = self.borrow(&owner);
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
            (
                left,
                realm
                    .rows_of(&owner, &jid, lent)
                    .await
                    .map(|it| (owner, it)),
            )
        };
        ctx.wait(read.into_actor(self).map(move |(left, rows), hub, ctx| {
            hub.ended = hub.ended.max(upto);
            let inherited = left.is_some();
            if let Some((estate, dead)) = left {
                hub.inherit(*estate, &dead);
            }
            match rows {
                Some((owner, rows)) => hub.loaded(owner, rows, inherited, ctx),
                // Nothing may be decided from half of an account.
                None => hub.fall(ctx),
            }
        }));
    }

    /// Borrows the number of an entity of a service, once.
    fn borrow(&mut self, owner: &Owner) -> Option<AccountId> {
        let is_entity = matches!(owner, Owner::Service(_)) && self.jid.local().is_some();
        is_entity.then(|| {
            let (id, written) = self.realm.owners.lend(&self.jid, &self.realm.accounts);
            if std::mem::replace(&mut self.borrowed, true) {
                self.realm.owners.give_back(&self.jid);
            }
            self.unwritten = !written;
            id
        })
    }

    fn loaded(
        &mut self,
        owner: Owner,
        Rows {
            id,
            loaded,
            sessions,
            farewells,
        }: Rows,
        inherited: bool,
        ctx: &mut Context<Hub>,
    ) {
        let (site, jid) = (&self.realm.site, self.jid.clone());
        let load = || match owner {
            Owner::Account(_) => {
                let mind = Mind::load(id, jid, loaded, site);
                Some(State::Account(Box::new(mind)))
            }
            Owner::Service(host) => {
                let steward = Steward::load(id, jid, &host, loaded, site)?;
                Some(State::Service(Box::new(steward)))
            }
        };
        match catch_unwind(AssertUnwindSafe(load)) {
            Ok(Some(state)) => self.state = state,
            Ok(None) | Err(_) => {
                error!(hub = %self.jid, "the rows of a hub cannot be loaded");
                return self.fall(ctx);
            }
        }
        self.take_leave(farewells, ctx);
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
        let waiting: Vec<DeviceId> = self.links.iter().map(|(id, _)| *id).collect();
        waiting.into_iter().for_each(|id| self.unshelve(id, ctx));
        self.doze_later(ctx);
    }

    /// Accounts were removed that this service, if it is one, may know.
    pub(super) fn farewells(&mut self, ctx: &mut Context<Hub>) {
        let State::Service(_) = &self.state else {
            return;
        };
        let realm = Arc::clone(&self.realm);
        let query = Owners::farewells(&self.jid);
        let rows = async move { realm.keeper.rows(vec![query]).await };
        // Whoever has the name next is somebody else: nothing of his may overtake this.
        ctx.wait(rows.into_actor(self).map(|rows, hub, ctx| {
            hub.take_leave(rows.unwrap_or_default(), ctx);
        }));
    }

    /// Lets the service forget the accounts in these rows.
    fn take_leave(&mut self, farewells: Vec<Row>, ctx: &mut Context<Hub>) {
        if farewells.is_empty() || self.shy {
            return;
        }
        let fx = self.effects(Origin::Elsewhere);
        let decided = self.think(fx, Waits::All, ctx, |state, _, site, fx| {
            let State::Service(steward) = state else {
                return None;
            };
            for (key, _) in farewells {
                if let Some(account) = Owners::gone(&key) {
                    steward.removed(&account, site, fx);
                }
                fx.delete(Tree::Meta, key);
            }
            Some(())
        });
        // It would panic for ever.
        self.shy = !decided;
    }

    /// Sessions of an earlier life of the server: those that may be resumed wait for their clients,
    /// the others end as if their connections had broken. What is left has no device.
    fn restore(&mut self, rows: Vec<Row>, ctx: &mut Context<Hub>) -> Vec<Remembered> {
        let mut sessions = remembered::gather(rows);
        sessions.retain(|it| !self.links.iter().any(|(_, link)| link.key == it.key));
        if std::mem::replace(&mut self.restored, true) {
            return sessions;
        }
        let (slumber, now) = (self.slumber.take(), tokio::time::Instant::now());
        let patience = self.realm.site.settings.acks.resume;
        let (mut rest, mut waiting) = (Vec::new(), Vec::new());
        for session in sessions {
            let id = DeviceId(self.realm.bindings.fetch_add(1, Ordering::Relaxed));
            match session.device(id, &self.jid, &self.realm.site) {
                Some((device, Some(token))) => {
                    let until = slumber.as_ref().map(|it| it.until(session.key));
                    let left = until.map_or(patience, |it| it.saturating_duration_since(now));
                    let known = slumber.as_ref().and_then(|it| it.waiting(session.key));
                    self.devices.add(device);
                    // Of what came in this life of the server the extensions have heard.
                    waiting.push((id, session.owes() && known.is_none()));
                    self.links.reserve_exact(1);
                    let sent = known.and_then(|it| it.sent);
                    self.links.push((id, Link::restored(session, token, sent)));
                    self.expire_after(left, id, 0, ctx);
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
        let mut left = Left::default();
        let mut gone = Vec::new();
        for session in lost {
            gone.push((session.key.rows(), session.departed()));
            for (_, _, delivery) in session.unacked {
                match delivery.stanza {
                    Whereabouts::Archive(kept) => left.take(kept, 0),
                    Whereabouts::Shared(kept, others) => left.take(kept, others),
                    Whereabouts::Here(_) | Whereabouts::Sent(_) => {}
                }
            }
        }
        self.leave_to_others(&left.fewer);
        let decided = self.decide(Origin::Elsewhere, ctx, |mind, devices, site, fx| {
            for (rows, departed) in gone {
                fx.rows.delete_range(Tree::Sessions, rows);
                if let Some((token, handled)) = departed {
                    mind.departed(token, handled, fx);
                }
            }
            mind.returned(left.kept, devices, site, fx)
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
    /// account goes in the same frame, but for what its contacts have not heard.
    pub(super) fn remove(&mut self, done: oneshot::Sender<Committed>, ctx: &mut Context<Hub>) {
        // Dropped, `done` says that the server is busy.
        let State::Account(mind) = &self.state else {
            return;
        };
        let (id, name) = (mind.account.id, self.jid.as_str().as_bytes().to_vec());
        let (realm, jid) = (Arc::clone(&self.realm), self.jid.clone());
        let removed = self.decide(Origin::Elsewhere, ctx, |mind, devices, site, fx| {
            mind.removed(devices, site, fx);
            realm.owners.say_farewell(&jid, &mut fx.rows);
            fx.delete(Tree::Accounts, name);
            owed::bequeath(id, &mut fx.rows);
            for tree in [Tree::Archive, Tree::Pubsub, Tree::Sessions] {
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

    /// The server stops. What waits for the disk is delivered first, in order: most of it need not
    /// last, and would be lost; what comes from now on does not hold it up.
    pub(super) fn drain(&mut self, word: LastWord, ctx: &mut Context<Hub>) {
        self.rouse_all(ctx);
        self.flush();
        self.draining = Some(Box::new((self.ticket, word)));
        self.say_farewell();
        if self.draining.is_some() {
            ctx.run_later(LAST_WAIT, |hub, _| {
                hub.draining.iter_mut().for_each(|it| it.0 = 0);
                hub.say_farewell();
            });
        }
    }

    /// Who may see whom is looked at when the server has started again: whoever comes back in time
    /// was never away.
    pub(super) fn say_farewell(&mut self) {
        let upto = self.draining.as_ref().map(|it| it.0);
        let waits = |held: &Held| upto.is_some_and(|upto| held.ticket <= upto);
        if self.held.front().is_some_and(waits) {
            return;
        }
        let Some(draining) = self.draining.take() else {
            return;
        };
        let (_, (error, _said)) = *draining;
        for (_, link) in &mut self.links {
            link.send(ToSession::Shutdown(error.clone()));
            link.leave(&mut self.later);
        }
        self.flush();
    }

    /// Commits the rows that may wait for the next commit.
    pub(super) fn flush(&mut self) {
        self.urgent = false;
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
