//! What the Hub of a service decides: the way in to its extension's role. Pure, as an account's
//! [`Mind`](super::mind::Mind) is.

use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::jid::Jid;
use rookery_protocol::stanza::{IqType, Kind, MessageType, Stanza};
use smol_str::SmolStr;

use super::decider::Decider;
use crate::effect::{Effects, Marks, Read, Row};
use crate::hub::devices::Devices;
use crate::keys::{self, AccountId};
use crate::service::{Host, Seat, Service, ServiceRole};
use crate::site::Site;

/// A service, or an entity of it.
pub struct Steward {
    owner: AccountId,
    jid: Jid,
    domain: SmolStr,
    /// Index of its extension in the list.
    extension: usize,
    role: Box<dyn ServiceRole>,
}

impl Steward {
    /// The entity `jid` at `host` from its rows (see [`keys::loaded`]); `None`: no extension of the
    /// list is a service there.
    pub fn load(
        owner: AccountId,
        jid: Jid,
        host: &Host,
        rows: Vec<Row>,
        site: &Site,
    ) -> Option<Steward> {
        let mut role = (host.service(site)?.make)(site);
        for (key, value) in rows {
            if let Some((_, kind, rest)) = keys::split(&key) {
                role.load(kind, rest, &value);
            }
        }
        Some(Steward {
            owner,
            jid,
            domain: host.domain.clone(),
            extension: host.extension,
            role,
        })
    }

    /// An account was removed.
    pub fn removed(&mut self, account: &Jid, site: &Site, fx: &mut Effects) {
        self.ask(site, fx, |role, seat, fx| role.removed(account, seat, fx));
    }

    fn service<'a>(&self, site: &'a Site) -> Option<&'a Service> {
        site.extensions.get(self.extension)?.service.as_ref()
    }

    fn ask(
        &mut self,
        site: &Site,
        fx: &mut Effects,
        call: impl FnOnce(&mut dyn ServiceRole, Seat, &mut Effects),
    ) {
        let seat = Seat {
            owner: self.owner,
            jid: &self.jid,
            domain: &self.domain,
            site,
        };
        fx.for_extension(self.extension);
        call(self.role.as_mut(), seat, fx);
    }

    /// A get or set: the role's, or that of an extension that answers everywhere.
    fn asked(&mut self, request: &Stanza, site: &Site, fx: &mut Effects) {
        let Some(payload) = request.payload() else {
            return fx.refuse(request, &StanzaError::new(Condition::BadRequest));
        };
        // What is asked of somebody at an entity is the role's to pass on.
        let of_somebody = request.to.as_ref().is_some_and(|to| !to.is_bare());
        if of_somebody || self.answerer(request, site).is_some() {
            return self.ask(site, fx, |role, seat, fx| {
                role.iq(request, &payload, seat, fx)
            });
        }
        let mut extensions = site.extensions.iter().enumerate();
        let everywhere = extensions.find_map(|(index, extension)| {
            let its = extension.service_namespaces.contains(&payload.ns());
            extension.domain.filter(|_| its).map(|role| (index, role))
        });
        match everywhere {
            Some((index, role)) => {
                fx.for_extension(index);
                role.iq(request, &payload, site, fx);
            }
            None => fx.refuse(request, &StanzaError::new(Condition::ServiceUnavailable)),
        }
    }
}

impl Decider for Steward {
    fn incoming(
        &mut self,
        stanza: Stanza,
        _: Marks,
        _: &mut Devices,
        site: &Site,
        fx: &mut Effects,
    ) {
        match stanza.kind {
            // RFC 6120 §10.5.2: where nothing has a resource, nobody is at one.
            Kind::Iq(IqType::Get | IqType::Set) | Kind::Message(_)
                if stanza.to.as_ref().is_some_and(|to| !to.is_bare())
                    && self.service(site).is_some_and(|it| !it.has_locals) =>
            {
                fx.refuse(&stanza, &StanzaError::new(Condition::ServiceUnavailable));
            }
            Kind::Iq(IqType::Get | IqType::Set) => self.asked(&stanza, site, fx),
            Kind::Iq(_) => self.ask(site, fx, |role, seat, fx| role.answered(&stanza, seat, fx)),
            Kind::Message(MessageType::Error) => {
                self.ask(site, fx, |role, seat, fx| {
                    role.undelivered(&stanza, seat, fx)
                });
            }
            Kind::Message(_) => {
                self.ask(site, fx, |role, seat, fx| role.message(&stanza, seat, fx));
            }
            Kind::Presence(_) => {
                self.ask(site, fx, |role, seat, fx| role.presence(&stanza, seat, fx));
            }
        }
    }

    fn answerer(&self, stanza: &Stanza, site: &Site) -> Option<usize> {
        let asks = matches!(stanza.kind, Kind::Iq(IqType::Get | IqType::Set));
        let ns = &stanza.payload_head().filter(|_| asks)?.ns;
        let service = self.service(site)?;
        let its = service.namespaces.contains(&ns.as_str());
        its.then_some(self.extension)
    }

    fn read_done(
        &mut self,
        read: Read,
        rows: Vec<Row>,
        _: &mut Devices,
        site: &Site,
        fx: &mut Effects,
    ) {
        let request = read.request.as_ref();
        self.ask(site, fx, |role, seat, fx| {
            role.read_done(read.step, request, rows, seat, fx);
        });
    }

    fn unread(&mut self, read: Read, _: &mut Devices, site: &Site, fx: &mut Effects) {
        self.ask(site, fx, |role, seat, fx| role.unread(read.step, seat, fx));
    }

    fn woken(&mut self, _: usize, _: &mut Devices, site: &Site, fx: &mut Effects) {
        self.ask(site, fx, |role, seat, fx| role.woken(seat, fx));
    }
}

#[cfg(test)]
mod tests;
