//! XEP-0356, Privileged Entity: what a component may do with the accounts of its domain, as far as
//! the operator granted it. Who has no privilege is answered as any stranger.

mod behalf;
mod grants;

use std::collections::HashMap;
use std::time::Duration;

use rookery_actors::components::Component;
use rookery_actors::effect::Effects;
use rookery_actors::extension::{AccountRole, DomainRole, Extension, Spec, View};
use rookery_actors::hub::devices::DeviceId;
use rookery_actors::site::{Site, random_id};
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::{IqType, Kind, MessageType, PresenceType, Stanza};
use rookery_protocol::xml::Element;
use smol_str::SmolStr;

pub use grants::Grants;

/// The namespace.
const NS: &str = "urn:xmpp:privilege:2";
/// IQs of one account that components wait for.
const WAITING: usize = 256;
/// How long they may wait.
const PATIENCE: Duration = Duration::from_secs(120);

/// The extension.
pub const PRIVILEGES: Extension = Extension {
    name: "privileges",
    specs: &[Spec {
        xep: 356,
        version: "0.4.1",
        title: "Privileged Entity",
    }],
    account_namespaces: &[NS],
    account: Some(|_| Box::new(Privileges::default())),
    domain: Some(&Domain),
    ..Extension::NONE
};

/// What the component that sent `stanza` may do with the accounts of `domain`; none: no component
/// of that domain did.
fn grants_of(stanza: &Stanza, domain: &str, site: &Site) -> Option<Grants> {
    // It speaks for itself without a local part only: its users are not it.
    let from = stanza.from.as_ref().filter(|from| from.local().is_none())?;
    let component = site.components.find(from.domain())?;
    granted(&component, domain, site)
}

/// What a component may do with the accounts of `domain`: nothing outside its own.
fn granted(component: &Component, domain: &str, site: &Site) -> Option<Grants> {
    let is_home = site.home_of(&component.name) == domain;
    Grants::parse(&component.rights).ok().filter(|_| is_home)
}

/// The components that are here, with what each may do with the accounts of `domain`.
fn privileged(domain: &str, site: &Site) -> Vec<(Jid, Grants)> {
    let all = site.components.all();
    let with_rights = all
        .iter()
        .filter(|it| !it.rights.is_empty() && it.is_here());
    let known = with_rights.filter_map(|it| {
        let jid = Jid::parse(&it.name).ok()?;
        Some((jid, granted(it, domain, site)?))
    });
    known.collect()
}

fn forbidden() -> StanzaError {
    StanzaError::new(Condition::Forbidden)
}

struct Domain;

impl DomainRole for Domain {
    fn iq(&self, request: &Stanza, _: &Element, _: &Site, fx: &mut Effects) {
        fx.refuse(request, &StanzaError::new(Condition::ServiceUnavailable));
    }

    /// §4.2, §5.2, §6.2, §7.2: it is told what it may do.
    fn component_came(&self, component: &Component, site: &Site, fx: &mut Effects) {
        let home = site.home_of(&component.name);
        let told = granted(component, home, site).and_then(|it| it.to_element());
        if let Some(privilege) = told
            && let (Ok(from), Ok(to)) = (Jid::parse(home), Jid::parse(&component.name))
        {
            let message = Stanza::message(MessageType::Normal).with_id(random_id());
            fx.route(message.with_from(from).with_to(to).with_child(&privilege));
        }
    }

    /// §5: a message in the name of the server or of one of its users.
    fn message(&self, message: &Stanza, site: &Site, fx: &mut Effects) -> bool {
        if message.is_error() {
            return false;
        }
        let Some(privilege) = message.child(NS, "privilege") else {
            return false;
        };
        let domain = message.to.as_ref().map_or("", |to| to.domain());
        let grants = grants_of(message, domain, site);
        let inner = match grants.is_some_and(|it| it.message) {
            true => behalf::message(&privilege, domain),
            false => None,
        };
        match inner {
            Some(inner) => fx.send_as(inner),
            None => fx.refuse(message, &forbidden()),
        }
        true
    }
}

/// What is known of one account.
#[derive(Default)]
struct Privileges {
    /// The IQs that components sent in the account's name, and wait for.
    waiting: HashMap<SmolStr, Waiting>,
    /// The devices that components were shown.
    shown: Vec<(DeviceId, Jid)>,
}

struct Waiting {
    /// What the component sent.
    request: Stanza,
    /// The id of what was in it.
    id: SmolStr,
    until: u64,
}

impl AccountRole for Privileges {
    /// §6: an IQ in the account's name.
    fn iq(&mut self, request: &Stanza, payload: &Element, view: View, fx: &mut Effects) {
        let domain = view.account.jid.domain();
        let Some(grants) = grants_of(request, domain, view.site) else {
            return fx.refuse(request, &StanzaError::new(Condition::ServiceUnavailable));
        };
        let Some(inner) = behalf::iq(request, payload, &view.account.jid) else {
            return fx.refuse(request, &forbidden());
        };
        let Kind::Iq(kind) = inner.kind else {
            return fx.refuse(request, &forbidden());
        };
        let namespace = inner.payload_head().map(|head| head.ns.clone());
        if !namespace.is_some_and(|it| grants.may_send(kind, &it)) {
            return fx.refuse(request, &forbidden());
        }
        self.woken(view, fx);
        if self.waiting.len() >= WAITING {
            return fx.refuse(request, &StanzaError::new(Condition::ResourceConstraint));
        }
        // An id of our own: nobody else's answer is taken for it.
        let (own, id) = (random_id(), inner.id.clone().unwrap_or_default());
        let waiting = Waiting {
            request: request.clone(),
            id,
            until: fx.now + PATIENCE.as_millis() as u64,
        };
        self.waiting.insert(own.clone(), waiting);
        fx.wake(PATIENCE);
        fx.route(inner.with_id(own));
    }

    /// The answer goes to the component, as it came (§6.3).
    fn answered(&mut self, answer: &Stanza, _: View, fx: &mut Effects) {
        let Some(waiting) = answer.id.as_ref().and_then(|id| self.waiting.remove(id)) else {
            return;
        };
        let answer = answer.clone().with_id(waiting.id).to_element();
        let forwarded = Element::new(ns::FORWARD, "forwarded").with_child(answer);
        let privilege = Element::new(NS, "privilege").with_child(forwarded);
        fx.route(waiting.request.result_reply(Some(privilege)));
    }

    fn woken(&mut self, _: View, fx: &mut Effects) {
        for request in self.forget(fx.now) {
            let error = StanzaError::new(Condition::RemoteServerTimeout);
            fx.refuse(&request, &error);
        }
    }

    /// §4.3: `forbidden` for a component that may not; nobody else's concern.
    fn may_manage(&self, request: &Stanza, view: View) -> Option<bool> {
        let grants = grants_of(request, view.account.jid.domain(), view.site)?;
        let Kind::Iq(kind) = request.kind else {
            return None;
        };
        Some(grants.roster.is_some_and(|access| access.allows(kind)))
    }

    /// §4.4: a push to the components that may see the roster.
    fn roster_changed(&mut self, push: &Element, view: View, fx: &mut Effects) {
        let own = &view.account.jid;
        for (component, grants) in privileged(own.domain(), view.site) {
            if grants.hears_rosters() {
                let push = Stanza::iq(IqType::Set, random_id()).with_child(push);
                fx.route(push.with_from(own.clone()).with_to(component));
            }
        }
    }

    /// §7.1: initial presence, and none that changes it.
    fn available(&mut self, device: DeviceId, initial: bool, view: View, fx: &mut Effects) {
        if initial {
            for (component, grants) in privileged(view.account.jid.domain(), view.site) {
                if grants.presence {
                    self.show(device, &component, view, fx);
                }
            }
        }
    }

    fn unavailable(&mut self, device: DeviceId, status: &str, view: View, fx: &mut Effects) {
        let Some(place) = self.shown.iter().position(|(it, _)| *it == device) else {
            return;
        };
        let (_, full) = self.shown.swap_remove(place);
        fx.forget(device);
        for (component, grants) in privileged(view.account.jid.domain(), view.site) {
            if grants.presence {
                let gone = Stanza::presence(PresenceType::Unavailable);
                let mut gone = gone.with_from(full.clone()).with_to(component);
                if !status.is_empty() {
                    gone.append(&Element::new(ns::CLIENT, "status").with_text(status));
                }
                fx.route(gone);
            }
        }
    }

    fn rejoined(&mut self, device: DeviceId, view: View, fx: &mut Effects) {
        if let Some(device) = view.devices.get(device) {
            self.note(device.id, &device.jid, fx);
        }
    }

    /// §8: it is told who was there before it.
    fn component_came(&mut self, component: &Component, view: View, fx: &mut Effects) {
        let grants = granted(component, view.account.jid.domain(), view.site);
        if grants.is_some_and(|it| it.presence)
            && let Ok(to) = Jid::parse(&component.name)
        {
            let devices: Vec<DeviceId> = view.devices.available().map(|it| it.id).collect();
            for device in devices {
                self.show(device, &to, view, fx);
            }
        }
    }
}

impl Privileges {
    /// Shows the presence of a device to a component.
    fn show(&mut self, device: DeviceId, component: &Jid, view: View, fx: &mut Effects) {
        let device = view.devices.get(device);
        if let Some(device) = device
            && let Some(presence) = device.presence.as_deref()
        {
            self.note(device.id, &device.jid, fx);
            let presence = presence.clone().with_from(device.jid.clone());
            fx.route(presence.with_to(component.clone()));
        }
    }

    fn note(&mut self, device: DeviceId, full: &Jid, fx: &mut Effects) {
        if !self.shown.iter().any(|(it, _)| *it == device) {
            self.shown.push((device, full.clone()));
            fx.note(device);
        }
    }

    /// Takes out what was waited for in vain.
    fn forget(&mut self, now: u64) -> Vec<Stanza> {
        let late = self.waiting.extract_if(|_, it| it.until <= now);
        late.map(|(_, it)| it.request).collect()
    }
}

#[cfg(test)]
mod tests;
