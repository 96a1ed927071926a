//! Presence (RFC 6121 §4): broadcast, directed presence, probes, and what is owed to those who
//! were told of a device when it goes.

use std::sync::Arc;

use rookery_protocol::datetime;
use rookery_protocol::delivery::Delivery;
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::{PresenceType, Stanza};
use rookery_protocol::subscription::{Request, State};
use rookery_protocol::xml::Element;
use smallvec::SmallVec;

use super::iq::was_sent_presence;
use super::mind::{Mind, Turn};
use super::server;
use crate::effect::{Effects, Marks};
use crate::extension::{Direction, Pass};
use crate::hub::devices::{Device, DeviceId};
use crate::site::random_id;
use crate::topic::Wants;

impl Mind {
    /// Presence from an own device that has passed the phases.
    pub(super) fn presence_out(
        &mut self,
        device: DeviceId,
        kind: PresenceType,
        stanza: Stanza,
        marks: Marks,
        turn: &mut Turn,
    ) {
        match (kind, Request::of(kind), stanza.to.is_some()) {
            (_, Some(request), _) => self.subscription_out(request, stanza, marks, turn),
            (PresenceType::Available, _, false) => self.broadcast(device, stanza, turn),
            (PresenceType::Unavailable, _, false) => self.withdraw(device, stanza, turn),
            (_, _, true) => self.direct(device, kind, stanza, marks, turn),
            _ => {}
        }
    }

    /// Presence for the account or one of its devices (RFC 6121 §8.5).
    pub(super) fn presence_in(
        &mut self,
        kind: PresenceType,
        mut stanza: Stanza,
        mut marks: Marks,
        turn: &mut Turn,
    ) {
        let (delivery, named) = self.delivery(&stanza, turn);
        if delivery == Delivery::Subscription {
            // RFC 6121 §3, §3.1.3: between bare JIDs, whatever was written.
            stanza.from = stanza.from.map(|from| from.bare());
            stanza.to = Some(self.account.jid.clone());
            if stanza.from.as_ref() == Some(&self.account.jid) {
                return;
            }
        }
        if !self.pass(Direction::In, &mut stanza, &mut marks, turn) {
            return;
        }
        if kind == PresenceType::Unavailable {
            forget_directed(&stanza, turn);
        }
        let reached: SmallVec<[DeviceId; 2]> = match (delivery, Request::of(kind)) {
            (Delivery::Subscription, Some(request)) => {
                let reached = self.subscription_in(request, &stanza, turn);
                match (reached.is_empty(), kind) {
                    // Only the answer to a device's own probe is written to that device
                    // (RFC 6121 §4.3.2 rule 1); it says nothing about a subscription.
                    (true, PresenceType::Unsubscribed) => deliver(named, &stanza, turn.fx),
                    _ => reached,
                }
            }
            (Delivery::Device, _) => deliver(named, &stanza, turn.fx),
            (Delivery::Available, _) => deliver(
                turn.devices.available().map(|device| device.id),
                &stanza,
                turn.fx,
            ),
            (Delivery::Probe, _) => {
                if marks.wants.as_ref().is_none_or(|it| !it.topics_only) {
                    self.probe(&stanza, turn);
                }
                SmallVec::new()
            }
            _ => SmallVec::new(),
        };
        let origin = turn.fx.origin();
        self.each(turn, |role, view, fx| {
            let (stanza, marks) = (&mut stanza, &mut marks);
            let pass = &mut Pass {
                stanza,
                direction: Direction::In,
                origin,
                marks,
            };
            role.after(pass, &reached, view, fx);
        });
    }

    /// Unavailable from each available device, to a contact that loses sight of them
    /// (RFC 6121 §3.2.2, §3.3.3). That ends what directed presence began, too (§4.6.1).
    pub(super) fn part_from(&mut self, contact: &Jid, turn: &mut Turn) {
        let hidden = self.hides_from(contact);
        let mut farewells = Vec::new();
        for device in turn.devices.iter_mut() {
            device.forget_directed(|it| it.bare_str() == contact.bare_str());
            if device.available() && !hidden {
                farewells.push(farewell(&device.jid).with_to(contact.clone()));
            }
        }
        farewells.into_iter().for_each(|it| turn.fx.route(it));
    }

    /// The current presence of each available device, to a contact that may see it from now on
    /// (RFC 6121 §3.1.5).
    pub(super) fn greet(&mut self, contact: &Jid, turn: &mut Turn) {
        if !self.hides_from(contact) {
            for presence in turn
                .devices
                .iter()
                .filter_map(|device| device.presence.as_deref())
            {
                turn.fx.route(presence.clone().with_to(contact.clone()));
            }
        }
    }

    /// A session ended, perhaps without a word: what its device owes is paid (RFC 6121 §4.5.2).
    pub(super) fn lost(&mut self, device: Device, turn: &mut Turn) {
        let (id, was_available) = (device.id, device.available());
        self.pay(device, turn);
        if was_available {
            self.each(turn, |role, view, fx| role.unavailable(id, "", view, fx));
        }
    }

    /// Tells those who are owed it that a device is gone.
    pub(super) fn pay(&mut self, device: Device, turn: &mut Turn) {
        let farewell = farewell(&device.jid);
        let was_available = device.available();
        self.announce_absence(farewell, device.directed, was_available, None, turn);
    }

    /// The account ends: no device is available any more. Its contacts were told before.
    pub(super) fn vanish(&mut self, turn: &mut Turn) {
        let mut farewells = Vec::new();
        for device in turn.devices.iter_mut() {
            device.presence = None;
            let farewell = farewell(&device.jid);
            let directed = std::mem::take(&mut device.directed).into_iter();
            farewells.extend(directed.map(|it| farewell.clone().with_to(it)));
        }
        farewells.into_iter().for_each(|it| turn.fx.route(it));
    }

    /// Available presence without `to`: to everybody who may see it (RFC 6121 §4.2.2, §4.4.2).
    fn broadcast(&mut self, id: DeviceId, mut stanza: Stanza, turn: &mut Turn) {
        let Some(device) = turn.devices.get_mut(id) else {
            return;
        };
        let initial = !device.available();
        device.priority = take_priority(&mut stanza);
        device.presence = Some(Box::new(stanza.clone()));
        self.to_subscribers(&stanza, turn);
        let echo = stanza.with_to(self.account.jid.clone());
        turn.fx.deliver(
            turn.devices.available().map(|device| device.id),
            &echo,
            None,
        );
        if initial {
            self.begin(id, turn);
        }
        self.each(turn, |role, view, fx| role.available(id, initial, view, fx));
        if initial {
            self.ask_contacts(id, turn);
        }
    }

    /// What a device hears as it becomes available (RFC 6121 §3.1.3, §4.2.2).
    fn begin(&mut self, id: DeviceId, turn: &mut Turn) {
        let own = &self.account.jid;
        let others = turn.devices.iter().filter(|device| device.id != id);
        for presence in others.filter_map(|device| device.presence.as_deref()) {
            turn.fx
                .deliver([id], &presence.clone().with_to(own.clone()), None);
        }
        for request in self.account.requests() {
            turn.fx.deliver_lasting(id, request.clone());
        }
        self.ask_again(turn);
    }

    /// Asks the contacts for their presence (RFC 6121 §4.3.1), and for what else the device wants.
    fn ask_contacts(&self, id: DeviceId, turn: &mut Turn) {
        let own = &self.account.jid;
        // One id for all probes of this login: an answer that repeats it is seen to be of it.
        let probe = Stanza::presence(PresenceType::Probe).with_from(own.clone());
        let probe = probe.with_id(random_id());
        let wants = self.wants(id, turn).filter(|topics| !topics.is_empty());
        let wants = wants.zip(turn.devices.get(id)).map(|(topics, device)| {
            let device = device.jid.clone();
            Arc::new(Wants {
                device,
                topics,
                topics_only: false,
            })
        });
        for contact in self.account.contacts(State::sees_contact) {
            let marks = Marks {
                wants: wants.clone(),
                ..Marks::default()
            };
            turn.fx.route_marked(probe.clone().with_to(contact), marks);
        }
    }

    /// RFC 6121 §3.1.2: a request that a remote server never answered may have been lost there.
    /// One of our own has it.
    fn ask_again(&self, turn: &mut Turn) {
        for contact in self.account.contacts(State::pending_out) {
            if !turn.site.serves(contact.domain()) {
                turn.fx.route(self.of_own(Request::Subscribe, &contact));
            }
        }
    }

    /// Unavailable presence without `to` (RFC 6121 §4.5.2).
    fn withdraw(&mut self, id: DeviceId, stanza: Stanza, turn: &mut Turn) {
        let Some(device) = turn.devices.get_mut(id) else {
            return;
        };
        let was_available = device.presence.take().is_some();
        device.priority = 0;
        let directed = std::mem::take(&mut device.directed);
        let status = stanza
            .child(ns::CLIENT, "status")
            .map(|it| it.text())
            .unwrap_or_default();
        self.announce_absence(stanza, directed, was_available, Some(id), turn);
        if was_available {
            self.each(turn, |role, view, fx| {
                role.unavailable(id, &status, view, fx)
            });
        }
    }

    /// Tells everybody who was told of a device that it is away: the subscribers and its own
    /// fellows if it was available, whom it sent directed presence in any case (RFC 6121 §4.6.3).
    fn announce_absence(
        &mut self,
        stanza: Stanza,
        directed: Vec<Jid>,
        was_available: bool,
        itself: Option<DeviceId>,
        turn: &mut Turn,
    ) {
        if was_available {
            self.to_subscribers(&stanza, turn);
        }
        for target in directed {
            let told = was_available && self.account.shares_presence_with(&target);
            if !told && !self.hides_from(&target) {
                turn.fx.route(stanza.clone().with_to(target));
            }
        }
        if !was_available {
            return;
        }
        let own: SmallVec<[DeviceId; 4]> = turn
            .devices
            .available()
            .map(|device| device.id)
            .chain(itself)
            .collect();
        let alone = turn.devices.available().next().is_none();
        turn.fx
            .deliver(own, &stanza.clone().with_to(self.account.jid.clone()), None);
        if alone {
            self.account.remember_last(&stanza, turn.fx);
        }
    }

    fn to_subscribers(&self, stanza: &Stanza, turn: &mut Turn) {
        for contact in self.account.contacts(State::seen_by_contact) {
            if !self.hides_from(&contact) {
                turn.fx.route(stanza.clone().with_to(contact));
            }
        }
    }

    /// Presence with `to`: available, unavailable, error or a client's own probe
    /// (RFC 6121 §4.6.3, §4.3).
    fn direct(
        &mut self,
        id: DeviceId,
        kind: PresenceType,
        stanza: Stanza,
        marks: Marks,
        turn: &mut Turn,
    ) {
        let Some(to) = stanza.to.clone() else { return };
        if self.account.is_self(&to) {
            return self.take(stanza, marks, turn);
        }
        if let Some(device) = turn.devices.get_mut(id) {
            match kind {
                PresenceType::Available => device.remember_directed(&to),
                PresenceType::Unavailable => device.directed.retain(|it| *it != to),
                _ => {}
            }
        }
        // The server itself watches nobody.
        if !server::is_ours(&to, turn.site) {
            turn.fx.forward(stanza, marks);
        }
    }

    /// Answers a probe (RFC 6121 §4.3.2, §4.6.6).
    fn probe(&mut self, stanza: &Stanza, turn: &mut Turn) {
        let Some(from) = &stanza.from else { return };
        let resource = stanza.to.as_ref().and_then(Jid::resource);
        let named = resource.and_then(|it| turn.devices.with_resource(it));
        let allowed = self.account.is_self(from)
            || server::is_ours(from, turn.site)
            || (self.account.shares_presence_with(from) && !self.hides_from(from));
        // RFC 6121 §4.3.2: only that it is there, not how.
        let mere = |device: &Device| {
            let here = Stanza::presence(PresenceType::Available);
            here.with_from(device.jid.clone()).with_to(from.clone())
        };
        match (allowed, resource, named) {
            (true, None, _) => self.tell_presence(stanza, from, turn),
            (true, Some(_), Some(device)) if device.available() => turn.fx.reply(mere(device)),
            (true, Some(_), _) => {
                let away = Stanza::presence(PresenceType::Unavailable).with_from(stanza.to.clone());
                turn.fx.reply(to_asker(away, stanza));
            }
            (false, _, Some(device)) if was_sent_presence(device, from) => {
                turn.fx.reply(mere(device));
            }
            (false, _, _) => deny(stanza, turn.fx),
        }
    }

    /// Everything that a probe of the bare JID may know: the whole presence of each available
    /// device, with its own id, or that there is none (RFC 6121 §4.3.2 rules 3 and 4, §4.3.2.1).
    fn tell_presence(&self, probe: &Stanza, from: &Jid, turn: &mut Turn) {
        let mut alone = true;
        for presence in turn
            .devices
            .iter()
            .filter_map(|device| device.presence.as_deref())
        {
            turn.fx.reply(presence.clone().with_to(from.clone()));
            alone = false;
        }
        if alone {
            let away = self.last_seen().with_from(self.account.jid.clone());
            turn.fx.reply(to_asker(away, probe));
        }
    }

    /// The last unavailable presence, with the time when it was sent.
    fn last_seen(&self) -> Stanza {
        let plain = Stanza::presence(PresenceType::Unavailable);
        let Some(last) = self.account.last() else {
            return plain;
        };
        let stamp = datetime::format_seconds(last.stamp);
        let delay = Element::new(ns::DELAY, "delay").with_attr("stamp", stamp);
        // Empty where it was too long to be remembered.
        let presence = Stanza::parse_stored(last.presence.clone()).unwrap_or(plain);
        presence.with_child(&delay)
    }
}

/// The answer to a probe of one who may not know: from the bare JID, with the probe's id
/// (RFC 6121 §4.3.2 rule 1).
pub(super) fn deny(probe: &Stanza, fx: &mut Effects) {
    let mut answer = Stanza::presence(PresenceType::Unsubscribed);
    answer.from = probe.to.as_ref().map(Jid::bare);
    fx.reply(to_asker(answer, probe));
}

/// The answer to a presence, with its id (RFC 6121 §4.3.2.1).
pub(super) fn to_asker(mut answer: Stanza, asked: &Stanza) -> Stanza {
    answer.to = asked.from.clone();
    answer.id = asked.id.clone();
    answer
}

fn farewell(device: &Jid) -> Stanza {
    Stanza::presence(PresenceType::Unavailable).with_from(device.clone())
}

fn deliver(
    to: impl IntoIterator<Item = DeviceId>,
    stanza: &Stanza,
    fx: &mut Effects,
) -> SmallVec<[DeviceId; 2]> {
    let reached: SmallVec<[DeviceId; 2]> = to.into_iter().collect();
    fx.deliver(reached.iter().copied(), stanza, None);
    reached
}

/// RFC 6121 §4.6.1: who is away itself need not be told any more.
fn forget_directed(stanza: &Stanza, turn: &mut Turn) {
    let Some(from) = &stanza.from else { return };
    let resource = stanza.to.as_ref().and_then(Jid::resource);
    for device in turn.devices.iter_mut() {
        if resource.is_none() || device.jid.resource() == resource {
            let gone = |it: &Jid| it == from || (from.is_bare() && it.bare_str() == from.as_str());
            device.forget_directed(gone);
        }
    }
}

/// The priority of a presence (RFC 6121 §4.7.2.3). One that is no such number counts as zero; then
/// the element is taken out, so that everybody sees the same.
fn take_priority(stanza: &mut Stanza) -> i8 {
    let Some(element) = stanza.child(ns::CLIENT, "priority") else {
        return 0;
    };
    match element.text().trim().parse() {
        Ok(priority) => priority,
        Err(_) => {
            stanza.retain_children(|child| !child.is(ns::CLIENT, "priority"));
            0
        }
    }
}

#[cfg(test)]
mod tests;
