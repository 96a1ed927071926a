//! The Hub of a bare JID: an account, a service, or a domain itself. The shell round the structs
//! that decide.
//!
//! The shell owns the mailbox, the addresses of its Sessions, the numbering of what is delivered,
//! and what waits for the disk. Each mail is handled under `catch_unwind`: after a panic the shell
//! stays, the struct is dropped whole and loads again, the effects of that stanza are discarded,
//! and its receipt says lost.

pub mod account;
mod acks;
mod allowance;
mod aside;
mod binding;
mod decider;
mod departed;
mod deputies;
pub mod devices;
mod estate;
mod farewells;
#[cfg(test)]
pub(crate) mod fixture;
mod iq;
mod lifecycle;
mod link;
mod message;
pub mod mind;
pub(crate) mod owed;
mod park;
mod perform;
mod plan;
mod presence;
pub mod remembered;
mod rest;
mod roster;
pub mod server;
mod shared;
mod shelf;
pub mod steward;
pub mod stranger;
mod subscription;
mod tidings;

pub use estate::Estate;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use actix::prelude::*;
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::jid::Jid;
use rookery_protocol::stanza::{IqType, Kind};
use rookery_storage::Frame;
use smol_str::SmolStr;
use tokio::sync::oneshot;
use tracing::{error, warn};

use crate::abroad::Abroad;
use crate::directory::{Birth, Heritage, Load};
use crate::effect::{Effects, Envelope, Marks, Origin};
use crate::hub::decider::{Decider, Domain};
use crate::hub::devices::{Device, DeviceId, Devices};
use crate::hub::link::Link;
use crate::hub::mind::Mind;
use crate::hub::park::Parked;
use crate::hub::perform::{Held, Waits};
use crate::hub::steward::Steward;
use crate::keys::AccountId;
use crate::lifeline::Lifeline;
use crate::messages::{LastWord, Mail, Order, Outgoing};
use crate::realm::Realm;
use crate::site::Site;
use crate::sleepers::Slumber;

/// Mail handled in one wake before the others on the lane have their turn: actix drains a mailbox
/// without a budget.
const BUDGET: u32 = 64;

/// A Hub.
pub struct Hub {
    realm: Arc<Realm>,
    /// The bare JID, or the domain or host.
    jid: Jid,
    load: Arc<Load>,
    state: State,
    devices: Devices,
    links: Vec<(DeviceId, Link)>,
    /// The number of the last frame that was handed to the Keeper. No other Hub of this name ever
    /// gave the same.
    ticket: u64,
    /// Frames up to this one have ended, one way or the other.
    ended: u64,
    /// Frames up to this one are on disk, as far as the Keeper told.
    durable: u64,
    /// What must not be seen before a frame is on disk, in order.
    held: VecDeque<Held>,
    /// How many of these are not deliveries: later ones queue behind them.
    held_effects: u32,
    /// Rows of this account that other Hubs commit.
    abroad: Abroad,
    /// IQs behind one that reads, by extension.
    parked: Parked,
    /// What could not be decided while the account was loading again.
    missed: VecDeque<Missed>,
    /// Rows that may wait for the next commit: losing them costs a redelivery, never a message.
    later: Frame,
    /// A timer commits them if nothing else does.
    flush_due: bool,
    /// They may not wait: they are committed before the stanza at hand is settled.
    urgent: bool,
    /// Commands that are being done for this account, and sessions that have yet to end.
    pending: u32,
    /// Sessions of before the server started again that will end.
    departing: Vec<Device>,
    /// Timers of extensions that will go off.
    wakes: u32,
    used: Instant,
    resting: Option<SpawnHandle>,
    spent: u32,
    /// What came back from earlier sessions made the account panic: the rows stay where they are.
    shy: bool,
    /// A predecessor died: what it had handed to the disk may not be there yet, and its sessions
    /// may wait for this Hub.
    heritage: Option<Heritage<Estate>>,
    /// Its sessions all wait for their clients: it is going to fall asleep.
    drowsy: bool,
    /// The account slept, and has not been loaded yet.
    slumber: Option<Slumber>,
    /// Takes what this Hub leaves, should it die.
    will: Option<oneshot::Sender<Box<Estate>>>,
    /// The sessions of an earlier life of the server have been looked at.
    restored: bool,
    /// It has the number of an entity of a service.
    borrowed: bool,
    /// That number is on no disk yet.
    unwritten: bool,
    /// The server stops: the sessions' last word, when frames up to this one have ended.
    draining: Option<Box<(u64, LastWord)>>,
    lifeline: Lifeline,
}

enum State {
    /// The rows are being read; the mailbox is the stash.
    Loading,
    Account(Box<Mind>),
    Service(Box<Steward>),
    /// A domain of the server.
    Domain(Domain),
    /// The account of this number was removed; only its sessions' end is awaited.
    Removed(Option<AccountId>),
}

/// What must still be decided when the account is loaded again.
enum Missed {
    /// A session ended; how often that made the account panic.
    Gone { device: Box<Device>, panics: u8 },
    /// The reader that IQs to this extension waited for is done.
    Unpark(usize),
    /// Mail for an account that took the place of a removed one.
    Mail(Mail),
}

impl State {
    /// The struct that decides, if there is one.
    fn decider(&mut self) -> Option<&mut dyn Decider> {
        match self {
            State::Account(mind) => Some(mind.as_mut()),
            State::Service(steward) => Some(steward.as_mut()),
            State::Domain(domain) => Some(domain),
            State::Loading | State::Removed(_) => None,
        }
    }
}

impl Hub {
    /// Starts the Hub of `jid` on its lane.
    pub fn start(realm: &Arc<Realm>, jid: Jid, birth: Birth<Hub>) {
        let lane = realm.lanes.of(jid.as_str()).clone();
        let realm = Arc::clone(realm);
        let key = SmolStr::new(jid.as_str());
        let started = lane.spawn_fn(move || {
            let lifeline = Lifeline::hub(&realm, key, Arc::clone(&birth.load));
            // Half of the number is the Hub's own, so that tickets of a dead one are never met.
            let ticket = realm.births.fetch_add(1, Ordering::Relaxed) << 32;
            let hub = Hub {
                realm,
                jid,
                load: birth.load,
                state: State::Loading,
                devices: Devices::default(),
                links: Vec::new(),
                ticket,
                ended: ticket,
                durable: ticket,
                held: VecDeque::new(),
                held_effects: 0,
                abroad: Abroad::default(),
                parked: Parked::default(),
                missed: VecDeque::new(),
                later: Frame::new(),
                flush_due: false,
                urgent: false,
                pending: 0,
                departing: Vec::new(),
                wakes: 0,
                used: Instant::now(),
                resting: None,
                spent: 0,
                shy: false,
                heritage: birth.heritage,
                drowsy: false,
                slumber: birth.slumber,
                will: Some(birth.will),
                restored: false,
                borrowed: false,
                unwritten: false,
                draining: None,
                lifeline,
            };
            Context::with_receiver(birth.mailbox).run(hub);
        });
        if !started {
            warn!("a hub could not start: its lane has ended");
        }
    }

    /// Lets the struct decide, catching its panic, and performs what it asks for. `false`: it could
    /// not, and all that it had asked for is forgotten.
    fn decide(
        &mut self,
        origin: Origin,
        ctx: &mut Context<Hub>,
        decision: impl FnOnce(&mut Mind, &mut Devices, &Site, &mut Effects),
    ) -> bool {
        self.decide_on(self.effects(origin), Waits::All, ctx, decision)
    }

    fn effects(&self, origin: Origin) -> Effects {
        Effects::new(self.realm.site.now(), origin)
    }

    fn decide_on(
        &mut self,
        fx: Effects,
        waits: Waits,
        ctx: &mut Context<Hub>,
        decision: impl FnOnce(&mut Mind, &mut Devices, &Site, &mut Effects),
    ) -> bool {
        self.think(fx, waits, ctx, |state, devices, site, fx| match state {
            State::Account(mind) => {
                decision(mind, devices, site, fx);
                Some(())
            }
            _ => None,
        })
    }

    /// The same for what can be decided whatever this is the Hub of.
    fn consult(
        &mut self,
        fx: Effects,
        waits: Waits,
        ctx: &mut Context<Hub>,
        decision: impl FnOnce(&mut dyn Decider, &mut Devices, &Site, &mut Effects),
    ) -> bool {
        self.think(fx, waits, ctx, |state, devices, site, fx| {
            decision(state.decider()?, devices, site, fx);
            Some(())
        })
    }

    fn think(
        &mut self,
        mut fx: Effects,
        waits: Waits,
        ctx: &mut Context<Hub>,
        decision: impl FnOnce(&mut State, &mut Devices, &Site, &mut Effects) -> Option<()>,
    ) -> bool {
        let (state, devices, site) = (&mut self.state, &mut self.devices, &self.realm.site);
        let decided = catch_unwind(AssertUnwindSafe(|| {
            decision(state, devices, site, &mut fx)?;
            if let State::Account(mind) = state {
                mind.hold_back(devices, site, &mut fx);
            }
            Some(())
        }));
        if let Ok(None) = decided {
            return false;
        }
        if decided.is_ok() {
            // A client that is told that its presence was handled does not send it again: what
            // came of it goes to the disk before anything that tells it so can, and in one frame
            // with what it hears for it, as it hears that only once.
            self.urgent |= self.remember();
            self.perform(fx, waits, ctx);
            self.flush_soon(ctx);
            return true;
        }
        self.panicked();
        drop(fx);
        self.load(ctx);
        false
    }

    fn panicked(&self) {
        self.realm.gauges.panics.fetch_add(1, Ordering::Relaxed);
        error!(hub = %self.jid, "a stanza made a hub panic");
    }

    fn outgoing(&mut self, outgoing: Outgoing, ctx: &mut Context<Hub>) {
        let Outgoing {
            device,
            stanza,
            receipt,
        } = outgoing;
        if self.devices.get(device).is_none() || matches!(self.state, State::Removed(_)) {
            return receipt.refuse(Condition::NotAuthorized);
        }
        let waits = Waits::of(&stanza);
        let origin = Origin::Device(device);
        let Some((stanza, receipt)) = self.park_behind_reader(stanza, origin, receipt) else {
            return;
        };
        let mut fx = self.effects(origin);
        fx.receipt = receipt;
        fx.sets = stanza.kind == Kind::Iq(IqType::Set);
        let marks = Marks {
            stamp: fx.now,
            ..Marks::default()
        };
        // Its presence is what others were told, and after a panic they are told nothing.
        let is_presence = matches!(stanza.kind, Kind::Presence(_));
        let before = is_presence.then(|| self.devices.get(device).cloned());
        let decided = self.decide_on(fx, waits, ctx, |mind, devices, site, fx| {
            mind.outgoing(device, stanza, marks, devices, site, fx)
        });
        if !decided
            && let Some(before) = before.flatten()
            && let Some(now) = self.devices.get_mut(device)
        {
            *now = before;
        }
    }

    fn incoming(&mut self, envelope: Envelope, ctx: &mut Context<Hub>) {
        let Envelope {
            stanza,
            marks,
            rows,
            receipt,
        } = envelope;
        let waits = Waits::of(&stanza);
        let parked = self.park_behind_reader(stanza, Origin::Elsewhere, receipt);
        let Some((stanza, receipt)) = parked else {
            return;
        };
        let mut fx = self.effects(Origin::Elsewhere);
        fx.receipt = receipt;
        fx.travelling = rows;
        fx.lasting = marks.lasting;
        fx.sets = stanza.kind == Kind::Iq(IqType::Set);
        if let State::Removed(_) | State::Loading = &self.state {
            fx.refuse(&stanza, &StanzaError::new(Condition::ServiceUnavailable));
            return self.perform(fx, waits, ctx);
        }
        self.consult(fx, waits, ctx, |decider, devices, site, fx| {
            decider.incoming(stanza, marks, devices, site, fx)
        });
    }

    fn order(&mut self, order: Order, ctx: &mut Context<Hub>) {
        match order {
            Order::Remove(done) => self.remove(done, ctx),
            Order::Farewells => self.farewells(ctx),
            Order::End {
                resource,
                except,
                error,
            } => {
                self.end_all(resource.as_deref(), except.as_deref(), error, ctx);
            }
            Order::Resources(answer) => {
                let resources = self.devices.iter().filter_map(|device| {
                    let resource = device.jid.resource()?.to_owned();
                    Some((resource, device.active()))
                });
                let _ = answer.send(resources.collect());
            }
            Order::Clients(answer) => {
                let clients = self.devices.iter().map(|device| {
                    let resource = device.jid.resource().map(SmolStr::new);
                    let nameless = resource.filter(|_| device.client.is_none());
                    (device.client_key(), device.since, nameless)
                });
                // Nobody waits any more: fine.
                let _ = answer.send(clients.collect());
            }
            Order::EndClient(client, error) => {
                self.decide(Origin::Elsewhere, ctx, |mind, devices, site, fx| {
                    mind.revoked(client, devices, site, fx)
                });
                self.end_client(client, &error, ctx);
            }
            Order::Announce(stanza) => {
                let mut fx = self.effects(Origin::Elsewhere);
                for device in self.devices.available() {
                    let stanza = (*stanza).clone().with_to(device.jid.clone());
                    fx.deliver([device.id], &stanza, None);
                }
                self.perform(fx, Waits::Acknowledged, ctx);
            }
            Order::ComponentCame(component) => {
                self.decide(Origin::Elsewhere, ctx, |mind, devices, site, fx| {
                    mind.component_came(&component, devices, site, fx)
                });
            }
            // It is for Links.
            Order::Hurry => {}
            Order::Drain(word) => self.drain(word, ctx),
        }
    }

    fn take(&mut self, mail: Mail, ctx: &mut Context<Hub>) {
        let weight = mail.weight().unwrap_or(0);
        match mail {
            Mail::Bind(bind) => self.bind(*bind, ctx),
            Mail::Outgoing(outgoing) => self.outgoing(*outgoing, ctx),
            Mail::Incoming(envelope) => self.incoming(*envelope, ctx),
            Mail::Answer(device, bytes) => {
                let mut fx = self.effects(Origin::Device(device));
                fx.deliver_bytes(device, bytes);
                self.perform(fx, Waits::Acknowledged, ctx);
            }
            Mail::Said(device, element) => self.said(device, &element, ctx),
            Mail::Resume(resume) => self.resume(*resume, ctx),
            Mail::Acknowledged(device, resumable) => self.count(device, resumable),
            Mail::Acks(device, h) => self.acked(device, h, ctx),
            Mail::Lost(device, line) => self.lost(device, line, ctx),
            Mail::Gone(device) => self.gone(device, ctx),
            Mail::Committed(ticket, ended) => self.commit_ended(ticket, ended, ctx),
            Mail::Order(order) => self.order(order, ctx),
            // It is for a Link.
            Mail::Link(_) => {}
            Mail::Probe(answer) => {
                let _ = answer.send(());
            }
            // A Link's.
            Mail::Answered(_) => {}
            #[cfg(test)]
            Mail::Fault => std::panic::panic_any(crate::testing::WANTED),
            #[cfg(test)]
            Mail::FaultOfSessions => {
                for (_, link) in &self.links {
                    link.send(crate::messages::ToSession::Fault);
                }
            }
        }
        if self.drowsy || self.devices.is_empty() {
            self.used = Instant::now();
        }
        self.load.handled(weight);
    }

    /// Others on the lane have their turn.
    fn take_turn(&mut self, ctx: &mut Context<Hub>) {
        self.spent += 1;
        if self.spent >= BUDGET && !ctx.waiting() {
            self.spent = 0;
            ctx.wait(tokio::task::yield_now().into_actor(self));
        }
    }
}

impl Actor for Hub {
    type Context = Context<Hub>;

    fn started(&mut self, ctx: &mut Context<Hub>) {
        self.load(ctx);
        self.rest(ctx);
    }
}

impl Handler<Mail> for Hub {
    type Result = ();

    fn handle(&mut self, mail: Mail, ctx: &mut Context<Hub>) {
        if self.gives_way(&mail) {
            self.missed.push_back(Missed::Mail(mail));
            return self.load(ctx);
        }
        self.take(mail, ctx);
        self.take_turn(ctx);
    }
}
