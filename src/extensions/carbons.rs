//! Message Carbons (XEP-0280): all devices of a user see the whole conversation.
//!
//! A device that asks for it gets a copy of each message that another device of the account sends
//! or is sent. What is copied is said by [`Rule`]; that no contact forges a copy is the archive's
//! care. Where the archive has the message, a copy names its row, so that it is delivered until
//! acknowledged as the message itself is.

mod rule;

use rookery_actors::effect::{Effects, Origin};
use rookery_actors::extension::{AccountRole, Direction, Extension, Pass, Spec, View};
use rookery_actors::hub::devices::{Device, DeviceId};
use rookery_protocol::datetime;
use rookery_protocol::delivery::{Address, Audience, Delivery, delivery};
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::{Kind as StanzaKind, Stanza};
use rookery_protocol::xml::Element;
use rookery_storage::record::decode;

use super::request::{bad_request, sets, unavailable};
use crate::kept::{Message, MessageId};
use rule::{Answerable, Rule};

/// Message Carbons.
pub const CARBONS: Extension = Extension {
    name: "carbons",
    specs: &[Spec {
        xep: 280,
        version: "1.0.1",
        title: "Message Carbons",
    }],
    server_features: &[ns::CARBONS, ns::CARBONS_RULES],
    account_features: &[ns::CARBONS, ns::CARBONS_RULES],
    bind_features: &[ns::CARBONS],
    account_namespaces: &[ns::CARBONS],
    account: Some(|_| Box::new(Carbons::default())),
    ..Extension::NONE
};

#[derive(Default)]
struct Carbons {
    /// Devices that asked for copies.
    enabled: Vec<DeviceId>,
    answerable: Answerable,
}

impl AccountRole for Carbons {
    /// Own devices only. Others are not told `not-allowed` (§4.1), but what an account tells them
    /// that does not exist.
    fn iq(&mut self, request: &Stanza, payload: &Element, view: View, fx: &mut Effects) {
        let Origin::Device(device) = fx.origin() else {
            return fx.refuse(request, &unavailable());
        };
        if !view.is_own(request) {
            return fx.refuse(request, &unavailable());
        }
        // §10.1: as often as it likes.
        if sets(request, payload, "enable") {
            self.enable(device, fx);
        } else if sets(request, payload, "disable") {
            self.enabled.retain(|id| *id != device);
            fx.forget(device);
        } else {
            return fx.refuse(request, &bad_request());
        }
        fx.result(request, None);
    }

    fn copy(&mut self, pass: &mut Pass, view: View, fx: &mut Effects) {
        let StanzaKind::Message(_) = pass.stanza.kind else {
            return;
        };
        if self.enabled.is_empty() {
            return;
        }
        let Some(rule) = Rule::of(pass, &mut self.answerable, view) else {
            return;
        };
        let to = match pass.direction {
            Direction::Out => self.for_sent(pass, &rule, view),
            Direction::In => self.for_received(pass, view),
        };
        if to.is_empty() {
            return;
        }
        let kept = pass.marks.kept.as_deref();
        match pass.direction {
            Direction::Out => {
                let mut stanza = pass.stanza.clone();
                // What the message is called in the sender's own archive (XEP-0359 §3.1).
                if let Some((_, id)) = kept.and_then(MessageId::of_key) {
                    stanza.append(&id.element(&view.account.jid));
                }
                let copy = wrapped("sent", &stanza, None, view);
                for device in to {
                    let copy = copy.clone().with_to(device.jid.clone());
                    match kept {
                        Some(kept) => fx.deliver_sent(device.id, &copy, kept.to_vec()),
                        None => fx.deliver([device.id], &copy, None),
                    }
                }
            }
            Direction::In => {
                let copy = wrapped("received", pass.stanza, None, view);
                for device in to {
                    let copy = copy.clone().with_to(device.jid.clone());
                    fx.deliver([device.id], &copy, kept.map(Vec::from));
                }
            }
        }
    }

    /// A message that this device was given as a copy, and only so.
    fn again(&self, device: DeviceId, key: &[u8], row: &[u8], view: View) -> Option<Stanza> {
        let device = self.enabled(view).find(|it| it.id == device)?;
        let (_, id) = MessageId::of_key(key)?;
        let message = decode::<Message>(row).ok()?;
        let outgoing = message.outgoing;
        let mut stanza = message.into_stanza()?;
        let was_copied = match stanza.to.as_ref().and_then(Jid::resource) {
            _ if outgoing => true,
            Some(resource) => device.jid.resource() != Some(resource),
            None => !device.reachable(),
        };
        if !was_copied {
            return None;
        }
        stanza.append(&id.element(&view.account.jid));
        // XEP-0297 §3.1: when it came.
        let delay = Element::new(ns::DELAY, "delay")
            .with_attr("stamp", datetime::format(id.time()))
            .with_attr("from", view.account.jid.domain());
        let name = if outgoing { "sent" } else { "received" };
        Some(wrapped(name, &stanza, Some(delay), view).with_to(device.jid.clone()))
    }

    /// XEP-0386 §4.1: enabled before anything else reaches the device.
    fn bind(
        &mut self,
        device: DeviceId,
        feature: &Element,
        _: View,
        fx: &mut Effects,
    ) -> Option<Element> {
        if feature.is(ns::CARBONS, "enable") {
            self.enable(device, fx);
        }
        None
    }

    fn rejoined(&mut self, device: DeviceId, _: View, _: &mut Effects) {
        if !self.enabled.contains(&device) {
            self.enabled.push(device);
        }
    }

    fn gone(&mut self, device: DeviceId, _: View, _: &mut Effects) {
        self.enabled.retain(|id| *id != device);
    }
}

impl Carbons {
    fn enable(&mut self, device: DeviceId, fx: &mut Effects) {
        if !self.enabled.contains(&device) {
            self.enabled.push(device);
            fx.note(device);
        }
    }

    fn enabled<'a>(&'a self, view: View<'a>) -> impl Iterator<Item = &'a Device> {
        let enabled = self.enabled.iter();
        enabled.filter_map(move |id| view.devices.get(*id))
    }

    /// Who gets a copy of what a device sends: all but this one (§8). What it tells its own account
    /// is copied where it arrives.
    fn for_sent<'a>(&'a self, pass: &Pass, rule: &Rule, view: View<'a>) -> Vec<&'a Device> {
        let to = pass.stanza.to.as_ref();
        if to.is_none_or(|to| view.account.jid.as_str() == to.bare_str()) {
            return Vec::new();
        }
        self.enabled(view)
            .filter(|device| pass.origin != Origin::Device(device.id))
            .filter(|device| rule.may_see(device))
            .collect()
    }

    /// Who gets a copy of what the account is sent: who is not given the message itself (§7), now
    /// or when it comes online, and has not sent it.
    fn for_received<'a>(&'a self, pass: &Pass, view: View<'a>) -> Vec<&'a Device> {
        let resource = pass.stanza.to.as_ref().and_then(Jid::resource);
        let named = resource.and_then(|it| view.devices.with_resource(it));
        let address = match (resource, named) {
            (None, _) => Address::Bare,
            (Some(_), Some(_)) => Address::Device,
            (Some(_), None) => Address::NoDevice,
        };
        let audience = Audience::of(view.devices.available().map(|device| device.priority));
        let delivery = delivery(pass.stanza.kind, address, audience);
        let is_given = |device: &Device| match delivery {
            Delivery::Device => named.is_some_and(|named| named.id == device.id),
            Delivery::Willing => device.reachable(),
            Delivery::Store => !device.available(),
            _ => true,
        };
        self.enabled(view)
            .filter(|device| !is_given(device) && pass.origin != Origin::Device(device.id))
            .collect()
    }
}

/// A copy without `to`: from the account itself, of the message's type (§7, §8).
fn wrapped(name: &'static str, message: &Stanza, delay: Option<Element>, view: View) -> Stanza {
    let forwarded = Element::new(ns::FORWARD, "forwarded")
        .with_children(delay)
        .with_child(message.to_element());
    let wrapper = Element::new(ns::CARBONS, name).with_child(forwarded);
    Stanza::new(message.kind)
        .with_from(view.account.jid.clone())
        .with_child(&wrapper)
}

#[cfg(test)]
mod tests;
