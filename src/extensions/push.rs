//! Push Notifications (XEP-0357): who has no connection is told by way of his phone's maker that
//! something waits.
//!
//! A client names a push service, and the service is the client's: while the client is there it is
//! not told, neither where its stream stands nor while it sleeps (XEP-0352), as long as it
//! acknowledges what it is sent. What it does not acknowledge within some seconds, or loses with
//! its line, is told; so is a request to see its user's presence while it is away. A service is
//! told only that something waits; nobody's words or names leave the server.
//!
//! One question is open to a service at a time. What comes meanwhile is told by the next, in one;
//! only a call does not wait. A service that never answers fails as one that answers with an error.

mod service;
mod weight;

use std::collections::VecDeque;
use std::time::Duration;

use rookery_actors::clients::ClientKey;
use rookery_actors::effect::{Effects, Millis, Origin};
use rookery_actors::extension::{AccountRole, Direction, Extension, Pass, Spec, View};
use rookery_actors::hub::devices::{Device, DeviceId};
use rookery_actors::keys::{AccountId, Kind};
use rookery_actors::site::random_id;
use rookery_protocol::error::StanzaError;
use rookery_protocol::ns;
use rookery_protocol::stanza::{Kind as StanzaKind, MessageType, Stanza};
use rookery_protocol::xml::Element;
use rookery_storage::Tree;
use rookery_storage::record::decode;
use smol_str::SmolStr;
use tracing::error;

use super::request::{bad_request, sets, unavailable};
use service::{PRIORITY, SERVICE, Service, Verdict};
use weight::Weight;

/// How long a client may take to acknowledge a call.
const CALL: Millis = 3_000;
/// Messages of which is watched whether a client acknowledges them; of older ones not.
const WATCHED: usize = 64;
/// When a message is due of which its client will be told when it is available.
const NEVER: Millis = Millis::MAX;

/// The extension.
pub const PUSH: Extension = Extension {
    name: "push",
    specs: &[
        Spec {
            xep: 357,
            version: "0.4.1",
            title: "Push Notifications",
        },
        Spec {
            xep: 492,
            version: "0.2.0",
            title: "Chat notification settings",
        },
    ],
    account_features: &[ns::PUSH, PRIORITY],
    account_namespaces: &[ns::PUSH],
    kinds: &[SERVICE],
    account: Some(|_| Box::new(Push::default())),
    ..Extension::NONE
};

#[derive(Default)]
struct Push {
    services: Vec<Held>,
    /// When the next timer goes off.
    alarm: Option<Millis>,
    /// How many will: those before which an earlier one was needed go off, too.
    timers: u32,
}

/// A push service, and what is going on with it.
struct Held {
    service: Service,
    /// The id of the notification that is not answered, and when it was sent.
    asked: Option<(SmolStr, Millis)>,
    /// More came meanwhile.
    again: bool,
    watched: VecDeque<Watch>,
}

/// A message that the client was given and has not acknowledged.
struct Watch {
    device: DeviceId,
    /// Its row; `None`: some message of before the server started again.
    key: Option<Vec<u8>>,
    weight: Weight,
    due: Millis,
}

/// Whether a client has a message.
enum Reach {
    There,
    /// If it acknowledges.
    Perhaps(DeviceId),
    /// It is here and was not given it, as it is not available: it will be, or it goes.
    Later(DeviceId),
    Asleep,
}

impl AccountRole for Push {
    fn load(&mut self, _: Kind, _: &[u8], value: &[u8]) {
        match decode(value) {
            Ok(service) => self.services.push(Held::new(service)),
            Err(problem) => error!(%problem, "a push service cannot be read"),
        }
    }

    /// Own devices only; nobody else learns that there is anything.
    fn iq(&mut self, request: &Stanza, payload: &Element, view: View, fx: &mut Effects) {
        let device = match fx.origin() {
            Origin::Device(device) if view.is_own(request) => view.devices.get(device),
            _ => None,
        };
        let Some(device) = device else {
            return fx.refuse(request, &unavailable());
        };
        let done = if sets(request, payload, "enable") {
            self.enable(payload, device, view, fx)
        } else if sets(request, payload, "disable") {
            self.disable(payload, view, fx)
        } else {
            Err(bad_request())
        };
        match done {
            Ok(()) => fx.result(request, None),
            Err(error) => fx.refuse(request, &error),
        }
    }

    fn after(&mut self, pass: &mut Pass, reached: &[DeviceId], view: View, fx: &mut Effects) {
        if self.services.is_empty() || pass.direction == Direction::Out {
            return;
        }
        self.heed(pass.stanza, view, fx);
        let Some(weight) = Weight::of(pass, view) else {
            return;
        };
        for place in 0..self.services.len() {
            match self.services[place].reach(pass, reached, view) {
                Reach::There => {}
                Reach::Perhaps(device) => {
                    let key = pass.marks.kept.clone();
                    self.watch(place, device, weight, key, view, fx);
                }
                Reach::Later(device) => self.services[place].watch(Watch {
                    device,
                    key: pass.marks.kept.clone(),
                    weight,
                    due: NEVER,
                }),
                Reach::Asleep => self.push(place, weight, view, fx),
            }
        }
    }

    /// A request is told to every available device, and waits for those that come.
    fn requested(&mut self, view: View, fx: &mut Effects) {
        for place in 0..self.services.len() {
            if !self.services[place].has_line(view) {
                self.tell(place, view, fx);
            }
        }
    }

    fn answered(&mut self, answer: &Stanza, view: View, fx: &mut Effects) {
        let is_asked = |held: &Held| {
            let id = held.asked.as_ref().map(|(id, _)| id.as_str());
            let from = answer.from.as_ref().map(|from| from.as_str());
            id.is_some() && id == answer.id.as_deref() && from == Some(&held.service.jid)
        };
        if let Some(place) = self.services.iter().position(is_asked) {
            self.judge(place, Verdict::of(answer), view, fx);
        }
    }

    fn woken(&mut self, view: View, fx: &mut Effects) {
        self.timers = self.timers.saturating_sub(1);
        // One that is of no use any more: another one goes off when something is due. The last one
        // always looks, as the clock may have been set back meanwhile.
        if self.timers > 0 && self.alarm.is_some_and(|alarm| alarm > fx.now) {
            return;
        }
        self.alarm = None;
        let timeout = millis(view.site.settings.push.timeout);
        // From behind, as one may go.
        for place in (0..self.services.len()).rev() {
            let asked = self.services[place].asked.as_ref();
            if asked.is_some_and(|(_, since)| since + timeout <= fx.now) {
                self.judge(place, Verdict::Fails, view, fx);
            }
        }
        let now = fx.now;
        self.unheard(|watch| watch.due <= now, view, fx);
        self.rearm(view, fx);
    }

    fn taken(&mut self, device: DeviceId, kept: &[Vec<u8>], view: View, fx: &mut Effects) {
        let client = view.devices.get(device).map(Device::client_key);
        for held in &mut self.services {
            let has = |key: &Option<Vec<u8>>| key.as_ref().is_none_or(|key| kept.contains(key));
            let is_taken = |it: &Watch| it.device == device && has(&it.key);
            held.watched.retain(|watch| !is_taken(watch));
            held.is_there(client, view.account.id, fx);
        }
    }

    fn available(&mut self, device: DeviceId, _: bool, view: View, fx: &mut Effects) {
        let client = view.devices.get(device).map(Device::client_key);
        for held in &mut self.services {
            held.watched
                .retain(|watch| watch.device != device || watch.due < NEVER);
            held.is_there(client, view.account.id, fx);
        }
    }

    fn waits(&mut self, device: DeviceId, view: View, fx: &mut Effects) {
        self.unheard(|watch| watch.device == device, view, fx);
    }

    /// Clients come back by themselves, if they are awake.
    fn restored(&mut self, device: DeviceId, owes: bool, view: View, fx: &mut Effects) {
        let client = view.devices.get(device).map(Device::client_key);
        for place in 0..self.services.len() {
            if owes && client == Some(self.services[place].service.client) {
                self.watch(place, device, Weight::Message, None, view, fx);
            }
        }
    }

    fn gone(&mut self, device: DeviceId, view: View, fx: &mut Effects) {
        self.unheard(|watch| watch.device == device, view, fx);
    }

    fn revoked(&mut self, client: ClientKey, view: View, fx: &mut Effects) {
        let is_its = |held: &Held| held.service.client == client;
        self.remove(is_its, view.account.id, fx);
    }
}

impl Push {
    /// §5. Over the bound the one goes that was not enabled for longest, if it can be one whose
    /// client is not here.
    fn enable(
        &mut self,
        enable: &Element,
        device: &Device,
        view: View,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let (client, own) = (device.client_key(), &view.account.jid);
        let service = Service::read(enable, client, own, fx.now)?;
        let bound = view.site.settings.push.devices;
        if bound == 0 {
            return Err(unavailable());
        }
        let account = view.account.id;
        let key = service.key(account);
        self.services
            .retain(|held| held.service.key(account) != key);
        while self.services.len() >= bound {
            let age = |held: &&Held| (devices(held.service.client, view).count() > 0, held.since());
            let oldest = self.services.iter().min_by_key(age);
            let oldest = oldest.map(|held| held.service.key(account));
            let is_oldest = |held: &Held| Some(held.service.key(account)) == oldest;
            self.remove(is_oldest, account, fx);
        }
        service.save(account, fx);
        self.services.push(Held::new(service));
        Ok(())
    }

    /// §6. What is not enabled needs no disabling.
    fn disable(
        &mut self,
        disable: &Element,
        view: View,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let jid = service::address(disable)?;
        let node = service::node(disable)?;
        let is_named = |held: &Held| held.service.is(jid.as_str(), node.as_deref());
        self.remove(is_named, view.account.id, fx);
        Ok(())
    }

    fn remove(&mut self, which: impl Fn(&Held) -> bool, account: AccountId, fx: &mut Effects) {
        self.services.retain(|held| {
            let goes = which(held);
            if goes {
                fx.delete(Tree::Account, held.service.key(account));
            }
            !goes
        });
    }

    /// §8: a service says that the account may publish to its node no more.
    fn heed(&mut self, stanza: &Stanza, view: View, fx: &mut Effects) {
        let (Some(from), Some(pubsub)) = (&stanza.from, stanza.child(ns::PUBSUB, "pubsub")) else {
            return;
        };
        let is_out = |it: &Element| {
            let of_us = it.attr("jid") == Some(view.account.jid.as_str());
            of_us && it.attr("affiliation") == Some("none")
        };
        let affiliation = pubsub.child(ns::PUBSUB, "affiliation");
        if let (true, Some(node)) = (affiliation.is_some_and(is_out), pubsub.attr("node")) {
            let is_named = |held: &Held| held.service.is(from.as_str(), Some(node));
            self.remove(is_named, view.account.id, fx);
        }
    }

    /// Something waits for a client that has no connection.
    fn push(&mut self, place: usize, weight: Weight, view: View, fx: &mut Effects) {
        let held = &mut self.services[place];
        held.service.missed = held.service.missed.saturating_add(1);
        match weight {
            Weight::Message => self.tell(place, view, fx),
            Weight::Call => self.publish(place, view, fx),
        }
    }

    /// Has the service told, as soon as it has answered what it was told before.
    fn tell(&mut self, place: usize, view: View, fx: &mut Effects) {
        match self.services[place].asked {
            Some(_) => self.services[place].again = true,
            None => self.publish(place, view, fx),
        }
    }

    fn publish(&mut self, place: usize, view: View, fx: &mut Effects) {
        let held = &mut self.services[place];
        let (account, id) = (view.account, random_id());
        let Some(stanza) = held.service.notification(account, &id) else {
            return error!("the address of a push service is none");
        };
        held.service.save(account.id, fx);
        (held.asked, held.again) = (Some((id, fx.now)), false);
        fx.route(stanza);
        self.rearm(view, fx);
    }

    /// A service answered, or did not in time.
    fn judge(&mut self, place: usize, verdict: Verdict, view: View, fx: &mut Effects) {
        let held = &mut self.services[place];
        held.asked = None;
        let before = held.service.errors;
        held.service.errors = match verdict {
            Verdict::Works => 0,
            Verdict::Fails => before + 1,
            Verdict::Over => u32::MAX,
        };
        if held.service.errors >= view.site.settings.push.errors.max(1) {
            let gone = self.services.remove(place);
            return fx.delete(Tree::Account, gone.service.key(view.account.id));
        }
        if std::mem::take(&mut held.again) && !held.has_line(view) {
            return self.publish(place, view, fx);
        }
        if held.service.errors != before {
            held.service.save(view.account.id, fx);
        }
    }

    /// A device was given a message: does its client say that it has it?
    fn watch(
        &mut self,
        place: usize,
        device: DeviceId,
        weight: Weight,
        key: Option<Vec<u8>>,
        view: View,
        fx: &mut Effects,
    ) {
        let patience = millis(view.site.settings.push.patience);
        let patience = match weight {
            Weight::Message => patience,
            Weight::Call => patience.min(CALL),
        };
        self.services[place].watch(Watch {
            device,
            key,
            weight,
            due: fx.now + patience,
        });
        self.rearm(view, fx);
    }

    /// These messages were given to a client that has perhaps not got them: its line is gone, or it
    /// took too long.
    fn unheard(&mut self, which: impl Fn(&Watch) -> bool, view: View, fx: &mut Effects) {
        for place in 0..self.services.len() {
            let held = &mut self.services[place];
            let unheard = held.watched.iter().filter(|watch| which(watch));
            let weights: Vec<Weight> = unheard.map(|watch| watch.weight).collect();
            held.watched.retain(|watch| !which(watch));
            if let Some((last, others)) = weights.split_last() {
                held.service.missed = held.service.missed.saturating_add(others.len() as u32);
                self.push(place, *last, view, fx);
            }
        }
    }

    /// Has the account woken when the next thing is due.
    fn rearm(&mut self, view: View, fx: &mut Effects) {
        let timeout = millis(view.site.settings.push.timeout);
        let due = self.services.iter().flat_map(|held| {
            let asked = held.asked.iter().map(|(_, since)| since + timeout);
            asked.chain(held.watched.iter().map(|watch| watch.due))
        });
        let due = due.filter(|due| *due < NEVER).min();
        let Some(due) = due else { return };
        if self.alarm.is_none_or(|alarm| alarm > due) {
            self.alarm = Some(due);
            self.timers += 1;
            // Nothing is due later than that but by a clock that was set back. A millisecond more,
            // as it may round down.
            let longest = timeout.max(millis(view.site.settings.push.patience));
            let wait = due.saturating_sub(fx.now).min(longest) + 1;
            fx.wake(Duration::from_millis(wait));
        }
    }
}

impl Held {
    fn new(service: Service) -> Held {
        Held {
            service,
            asked: None,
            again: false,
            watched: VecDeque::new(),
        }
    }

    fn watch(&mut self, watch: Watch) {
        if self.watched.len() >= WATCHED {
            self.watched.pop_front();
        }
        self.watched.push_back(watch);
    }

    fn since(&self) -> Millis {
        self.service.since
    }

    /// Whether the client has the message at hand.
    fn reach(&self, pass: &Pass, reached: &[DeviceId], view: View) -> Reach {
        let mut its = devices(self.service.client, view).peekable();
        let was_given = |device: &Device| reached.contains(&device.id);
        // A room sends to each occupant by itself: this is for the one client alone.
        if pass.stanza.kind == StanzaKind::Message(MessageType::Groupchat) {
            return match its.find(|device| was_given(device)) {
                Some(device) if device.away => Reach::Asleep,
                _ => Reach::There,
            };
        }
        let mut there = its.filter(|device| !device.away).peekable();
        let Some(first) = there.peek().map(|device| device.id) else {
            return Reach::Asleep;
        };
        let given: Vec<&Device> = there.filter(|device| was_given(device)).collect();
        match given.iter().find(|device| device.acknowledges) {
            _ if pass.marks.kept.is_none() => Reach::There,
            Some(device) => Reach::Perhaps(device.id),
            None if given.is_empty() => Reach::Later(first),
            None => Reach::There,
        }
    }

    /// Whether its client has a connection.
    fn has_line(&self, view: View) -> bool {
        devices(self.service.client, view).any(|device| !device.away)
    }

    /// A client is here: if it is its own, there is nothing that it missed.
    fn is_there(&mut self, client: Option<ClientKey>, account: AccountId, fx: &mut Effects) {
        if client == Some(self.service.client) && self.service.missed > 0 {
            self.service.missed = 0;
            self.again = false;
            self.service.save(account, fx);
        }
    }
}

/// The devices of a client: one, as a rule.
fn devices<'a>(client: ClientKey, view: View<'a>) -> impl Iterator<Item = &'a Device> {
    let devices = view.devices.iter();
    devices.filter(move |device| device.client_key() == client)
}

fn millis(time: Duration) -> Millis {
    time.as_millis() as Millis
}

#[cfg(test)]
mod tests;
