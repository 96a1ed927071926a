//! What the Hub of an account decides. Pure: no actor, no clock, no disk; it lists effects.
//!
//! Each subject has its file: presence, subscriptions, the roster, messages, IQs. Here is the way
//! in: which phases a stanza passes, and who gets it then.

use bytes::Bytes;
use rookery_protocol::delivery::{self, Address, Audience, Delivery};
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::jid::Jid;
use rookery_protocol::stanza::{IqType, Kind, PresenceType, Stanza};
use rookery_protocol::subscription::Request;
use rookery_protocol::xml::Element;

use crate::admin::Outcome;
use crate::effect::{Administer, Effects, Marks, Query, Read, Row};
use crate::extension::{AccountRole, Direction, Fellows, Pass, View};
use crate::hub::account::Account;
use crate::hub::allowance::Allowance;
use crate::hub::devices::{Device, DeviceId, Devices};
use crate::hub::farewells::Farewells;
use crate::hub::server;
use crate::keys::{self, AccountId};
use crate::site::Site;
use crate::topic::Topics;

/// An account with its extensions' state.
pub struct Mind {
    pub account: Account,
    /// The account roles, with their extension's index in `site.extensions`, in its order.
    roles: Vec<(usize, Box<dyn AccountRole>)>,
    /// What is left to say to strangers.
    pub(super) strangers: Allowance,
    pub(super) farewells: Farewells,
}

/// What a decision looks at besides the account, and where it lists what is to be done.
pub(super) struct Turn<'a> {
    pub devices: &'a mut Devices,
    pub site: &'a Site,
    pub fx: &'a mut Effects,
}

impl Mind {
    /// The account `id`, whose bare JID is `jid`, from its rows (see [`keys::loaded`]).
    pub fn load(id: AccountId, jid: Jid, rows: Vec<Row>, site: &Site) -> Mind {
        let mut account = Account::new(id, jid);
        let mut roles = Vec::new();
        for (index, extension) in site.extensions.iter().enumerate() {
            roles.extend(extension.account.map(|make| (index, make(site))));
        }
        for (key, value) in account.load(rows) {
            let Some((_, kind, rest)) = keys::split(&key) else {
                continue;
            };
            for (index, role) in &mut roles {
                if site.extensions[*index].kinds.contains(&kind) {
                    role.load(kind, rest, &value);
                }
            }
        }
        Mind {
            account,
            roles,
            strangers: Allowance::default(),
            farewells: Farewells::default(),
        }
    }

    /// A stanza from one of the devices; its session has stamped `from`.
    pub fn outgoing(
        &mut self,
        device: DeviceId,
        mut stanza: Stanza,
        mut marks: Marks,
        devices: &mut Devices,
        site: &Site,
        fx: &mut Effects,
    ) {
        let turn = &mut Turn { devices, site, fx };
        if !self.address(&mut stanza) {
            return;
        }
        if !self.may_say(device, &stanza, turn) {
            let error = StanzaError::new(Condition::PolicyViolation)
                .with_kind(rookery_protocol::error::ErrorType::Wait);
            return turn.fx.refuse(&stanza, &error);
        }
        if !self.pass(Direction::Out, &mut stanza, &mut marks, turn) {
            return;
        }
        match stanza.kind {
            Kind::Presence(kind) => self.presence_out(device, kind, stanza, marks, turn),
            Kind::Message(_) | Kind::Iq(_) => self.send(stanza, marks, turn),
        }
    }

    /// A stanza for the account, or for one of its devices.
    pub fn incoming(
        &mut self,
        stanza: Stanza,
        marks: Marks,
        devices: &mut Devices,
        site: &Site,
        fx: &mut Effects,
    ) {
        self.arrived(stanza, marks, &mut Turn { devices, site, fx });
    }

    /// What the account still owes others is sent on.
    pub fn repay(&mut self, fx: &mut Effects) {
        let Account { id, owed, .. } = &mut self.account;
        owed.pay(*id, fx);
    }

    /// The account was loaded again while devices were connected: the extensions hear which of
    /// them they had noted.
    pub fn rejoined(&mut self, devices: &mut Devices, site: &Site, fx: &mut Effects) {
        let turn = &mut Turn { devices, site, fx };
        for index in 0..site.extensions.len() {
            self.one(index, turn, |role, view, fx| {
                let noted = |device: &&Device| device.noted.contains(&(index as u16));
                for device in view.devices.iter().filter(noted) {
                    role.rejoined(device.id, view, fx);
                }
            });
        }
    }

    /// A session ended; its device is in `devices` no more.
    pub fn gone(&mut self, device: Device, devices: &mut Devices, site: &Site, fx: &mut Effects) {
        let turn = &mut Turn { devices, site, fx };
        let id = device.id;
        self.lost(device, turn);
        self.each(turn, |role, view, fx| role.gone(id, view, fx));
    }

    /// The same without the extensions: for those who were told of the device.
    pub fn parted(&mut self, device: Device, devices: &mut Devices, site: &Site, fx: &mut Effects) {
        self.pay(device, &mut Turn { devices, site, fx });
    }

    /// The account is being deleted: nothing is left of it with its contacts (RFC 6121 §3.2, §3.3),
    /// nor with those who were sent directed presence (§4.6.3). Its rows go as a whole.
    pub fn removed(&mut self, devices: &mut Devices, site: &Site, fx: &mut Effects) {
        let turn = &mut Turn { devices, site, fx };
        let mut contacts = self.account.contacts(|_| true);
        contacts.extend(
            self.account
                .askers()
                .filter(|it| !self.account.is_contact(it))
                .cloned(),
        );
        for contact in contacts {
            self.cancel(&contact, turn);
        }
        self.vanish(turn);
    }

    /// What must be read before a device binds by XEP-0386.
    pub fn bind_queries(
        &mut self,
        devices: &mut Devices,
        site: &Site,
        fx: &mut Effects,
    ) -> Vec<Query> {
        let turn = &mut Turn { devices, site, fx };
        let mut queries = Vec::new();
        self.each(turn, |role, view, _| {
            queries.extend(role.bind_queries(view))
        });
        queries
    }

    /// A device binds by XEP-0386: what it is told.
    pub fn bind(
        &mut self,
        device: DeviceId,
        (features, rows): (&[Element], Option<&[Row]>),
        devices: &mut Devices,
        site: &Site,
        fx: &mut Effects,
    ) -> Vec<Element> {
        let turn = &mut Turn { devices, site, fx };
        let mut answers = Vec::new();
        for feature in features {
            self.each(turn, |role, view, fx| {
                answers.extend(role.bind(device, feature, view, fx));
            });
        }
        self.each(turn, |role, view, _| answers.extend(role.bound(rows, view)));
        answers
    }

    /// The stanza of an archive row, as it is delivered late to `device`.
    pub fn again(
        &self,
        device: DeviceId,
        (key, row): (&[u8], &[u8]),
        devices: &Devices,
        site: &Site,
    ) -> Option<Bytes> {
        let view = View {
            account: &self.account,
            devices,
            site,
            fellows: Fellows::default(),
        };
        let mut roles = self.roles.iter();
        let stanza = roles.find_map(|(_, role)| role.again(device, key, row, view))?;
        Some(stanza.to_bytes())
    }

    /// The rows that an extension asked for.
    pub fn read_done(
        &mut self,
        read: Read,
        rows: Vec<Row>,
        devices: &mut Devices,
        site: &Site,
        fx: &mut Effects,
    ) {
        let turn = &mut Turn { devices, site, fx };
        self.one(read.extension, turn, |role, view, fx| {
            role.read_done(read.step, read.request.as_ref(), rows, view, fx);
        });
    }

    /// The disk did not give the rows that an extension asked for while the Hub waited.
    pub fn unread(&mut self, read: Read, devices: &mut Devices, site: &Site, fx: &mut Effects) {
        let turn = &mut Turn { devices, site, fx };
        self.one(read.extension, turn, |role, view, fx| {
            role.unread(read.step, view, fx);
        });
    }

    /// What became of an administrative command that an extension asked for.
    pub fn administered(
        &mut self,
        order: Administer,
        outcome: Outcome,
        devices: &mut Devices,
        site: &Site,
        fx: &mut Effects,
    ) {
        if order
            .request
            .to
            .as_ref()
            .is_some_and(|to| server::is_ours(to, site))
        {
            return server::administered(&order, outcome, site, fx);
        }
        let turn = &mut Turn { devices, site, fx };
        self.one(order.extension, turn, |role, view, fx| {
            role.administered(&order.request, outcome, view, fx);
        });
    }

    /// The time that an extension asked for is over.
    pub fn woken(
        &mut self,
        extension: usize,
        devices: &mut Devices,
        site: &Site,
        fx: &mut Effects,
    ) {
        let turn = &mut Turn { devices, site, fx };
        self.one(extension, turn, |role, view, fx| role.woken(view, fx));
    }

    /// Index of the extension that answers this IQ, if it is for the bare JID.
    pub fn answerer(&self, stanza: &Stanza, site: &Site) -> Option<usize> {
        let asks = matches!(stanza.kind, Kind::Iq(IqType::Get | IqType::Set));
        let here = stanza.to.as_ref().is_none_or(|to| *to == self.account.jid);
        let ns = &stanza.payload_head().filter(|_| asks && here)?.ns;
        let named = |index: usize| {
            let namespaces = site.extensions[index].account_namespaces;
            namespaces.contains(&ns.as_str())
        };
        let mut roles = self.roles.iter();
        let found = roles.find(|(index, role)| named(*index) && role.answers(stanza));
        found.map(|(index, _)| *index)
    }

    /// Fills in whom a stanza without `to` is for (RFC 6120 §10.3); `false`: for nobody.
    fn address(&self, stanza: &mut Stanza) -> bool {
        let own = &self.account.jid;
        match (&stanza.to, stanza.kind) {
            (None, Kind::Message(_) | Kind::Iq(_)) => stanza.to = Some(own.clone()),
            (None, Kind::Presence(PresenceType::Probe)) => stanza.to = Some(own.clone()),
            // RFC 6121 §4.2, §4.5: broadcast.
            (None, Kind::Presence(PresenceType::Available | PresenceType::Unavailable)) => {}
            (None, Kind::Presence(_)) => return false,
            (Some(to), Kind::Presence(kind)) if Request::of(kind).is_some() => {
                // Everybody sees his own presence; there is nothing to manage (RFC 6121 §4.2.2).
                if self.account.is_self(to) {
                    return false;
                }
                // RFC 6121 §3, §3.1.2: between bare JIDs.
                stanza.to = Some(to.bare());
                stanza.from = Some(own.clone());
            }
            (Some(_), _) => {}
        }
        true
    }

    /// Sends a message or IQ of a device on its way.
    pub(super) fn send(&mut self, stanza: Stanza, marks: Marks, turn: &mut Turn) {
        let Some(to) = &stanza.to else { return };
        if self.account.is_self(to) {
            return self.take(stanza, marks, turn);
        }
        if server::is_ours(to, turn.site) {
            return server::incoming(&stanza, turn.site, turn.fx);
        }
        turn.fx.forward(stanza, marks);
    }

    /// A stanza that is for this account.
    pub(super) fn take(&mut self, mut stanza: Stanza, mut marks: Marks, turn: &mut Turn) {
        match stanza.kind {
            Kind::Iq(_) => {
                if self.pass(Direction::In, &mut stanza, &mut marks, turn) {
                    self.iq_in(stanza, turn);
                }
            }
            Kind::Message(_) => self.message_in(stanza, marks, turn),
            Kind::Presence(kind) => self.presence_in(kind, stanza, marks, turn),
        }
    }

    /// What RFC 6121 §8.5 says of a stanza for this account, and the device it names if that is
    /// connected.
    pub(super) fn delivery(&self, stanza: &Stanza, turn: &Turn) -> (Delivery, Option<DeviceId>) {
        let resource = stanza.to.as_ref().and_then(Jid::resource);
        let named = resource
            .and_then(|it| turn.devices.with_resource(it))
            .map(|it| it.id);
        let address = match (resource, named) {
            (None, _) => Address::Bare,
            (Some(_), Some(_)) => Address::Device,
            (Some(_), None) => Address::NoDevice,
        };
        let priorities = turn.devices.available().map(|device| device.priority);
        (
            delivery::delivery(stanza.kind, address, Audience::of(priorities)),
            named,
        )
    }

    /// The phases up to **copy**, of an IQ only **admit**; `false`: refused, and answered if it
    /// may be.
    pub(super) fn pass(
        &mut self,
        direction: Direction,
        stanza: &mut Stanza,
        marks: &mut Marks,
        turn: &mut Turn,
    ) -> bool {
        if !self.admit(direction, stanza, marks, turn) {
            return false;
        }
        if !matches!(stanza.kind, Kind::Iq(_)) {
            self.prepare(direction, stanza, marks, turn);
        }
        true
    }

    /// **admit**. A refused presence is dropped without a word.
    pub(super) fn admit(
        &mut self,
        direction: Direction,
        stanza: &mut Stanza,
        marks: &mut Marks,
        turn: &mut Turn,
    ) -> bool {
        let origin = turn.fx.origin();
        let mut refused = None;
        self.each(turn, |role, view, fx| {
            let pass = &mut Pass {
                stanza,
                direction,
                origin,
                marks,
            };
            if refused.is_none() {
                refused = role.admit(pass, view, fx).err();
            }
        });
        if let Some(error) = &refused
            && !matches!(stanza.kind, Kind::Presence(_))
        {
            turn.fx.refuse(stanza, error);
        }
        refused.is_none()
    }

    /// **stamp**, **keep** and **copy**.
    pub(super) fn prepare(
        &mut self,
        direction: Direction,
        stanza: &mut Stanza,
        marks: &mut Marks,
        turn: &mut Turn,
    ) {
        let origin = turn.fx.origin();
        let mut pass = Pass {
            stanza,
            direction,
            origin,
            marks,
        };
        self.each(turn, |role, view, fx| role.stamp(&mut pass, view, fx));
        self.each(turn, |role, view, fx| role.keep(&mut pass, view, fx));
        self.each(turn, |role, view, fx| role.copy(&mut pass, view, fx));
        // What is kept must last, here as on its way (class D).
        turn.fx.lasting |= pass.marks.lasting;
    }

    /// All roles in their order.
    pub(super) fn roles(&self) -> impl Iterator<Item = &dyn AccountRole> {
        self.roles.iter().map(|(_, role)| role.as_ref())
    }

    /// Whether an extension keeps the account's presence from `contact`.
    pub(super) fn hides_from(&self, contact: &Jid) -> bool {
        self.roles.iter().any(|(_, role)| role.hides_from(contact))
    }

    /// Calls every role in its order.
    pub(super) fn each(
        &mut self,
        turn: &mut Turn,
        mut call: impl FnMut(&mut dyn AccountRole, View, &mut Effects),
    ) {
        for place in 0..self.roles.len() {
            self.at(place, turn, &mut call);
        }
    }

    /// Calls the role of the extension at `index`.
    pub(super) fn one(
        &mut self,
        index: usize,
        turn: &mut Turn,
        call: impl FnOnce(&mut dyn AccountRole, View, &mut Effects),
    ) {
        if let Some(place) = self.roles.iter().position(|(it, _)| *it == index) {
            self.at(place, turn, call);
        }
    }

    /// Calls the role at this place of the list.
    fn at(
        &mut self,
        place: usize,
        turn: &mut Turn,
        call: impl FnOnce(&mut dyn AccountRole, View, &mut Effects),
    ) {
        let (before, rest) = self.roles.split_at_mut(place);
        let Some(((index, role), after)) = rest.split_first_mut() else {
            return;
        };
        let view = View {
            account: &self.account,
            devices: &*turn.devices,
            site: turn.site,
            fellows: Fellows { before, after },
        };
        turn.fx.for_extension(*index);
        call(role.as_mut(), view, turn.fx);
        if turn.fx.is_for_engine() {
            for (device, is_noted) in turn.fx.take_notes() {
                turn.devices.note(device, *index, is_noted);
            }
            for (request, contact) in turn.fx.take_said() {
                self.say(request, contact, turn);
            }
        }
    }

    /// What a device wants to be told of.
    pub(super) fn wants(&self, device: DeviceId, turn: &Turn) -> Option<Topics> {
        let view = View {
            account: &self.account,
            devices: &*turn.devices,
            site: turn.site,
            fellows: Fellows::default(),
        };
        let mut roles = self.roles.iter();
        roles.find_map(|(_, role)| role.wants(device, view))
    }
}

#[cfg(test)]
pub(super) mod tests;
