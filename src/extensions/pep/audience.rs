//! Who hears of an account's nodes without having subscribed: its own devices and its contacts
//! (XEP-0163 §4.3), and of the last items as they come.

use std::sync::Arc;

use rookery_actors::effect::{Effects, Marks, Query};
use rookery_actors::extension::View;
use rookery_actors::hub::devices::Device;
use rookery_actors::site::random_id;
use rookery_actors::topic::{Topics, Wants};
use rookery_protocol::jid::Jid;
use rookery_protocol::stanza::{PresenceType, Stanza};
use rookery_protocol::subscription::State;

use super::interests::Who;
use super::{Account, Pep, Waiting};
use crate::extensions::pubsub::Face;
use crate::extensions::pubsub::config::SendLast;
use crate::extensions::pubsub::node::Node;
use crate::extensions::pubsub::notify::last_item;
use crate::extensions::pubsub::shelf::{self, Found};

/// Last items on their way to somebody.
pub struct Greeting {
    to: To,
    nodes: Vec<String>,
}

/// Whom they are for.
#[derive(Clone)]
pub enum To {
    /// One of the account's own.
    Own(Who),
    /// Somebody else, by this address.
    Other(Jid),
}

impl Pep {
    /// Own devices and contacts hear of an event.
    pub(super) fn tell_audience(
        &self,
        node: &Node,
        message: &Stanza,
        view: View,
        fx: &mut Effects,
    ) {
        let own = &view.account.jid;
        let now = fx.now;
        let people = node.people();
        let subscribed = |jid: &Jid| people.subscriptions_of(jid).any(|(_, it)| it.hears(now));
        let wants = |device: &Device| {
            let topics = self.face.interests.of(&Who::Device(device.id));
            topics.is_some_and(|topics| topics.contains(&node.name)) || subscribed(own)
        };
        let devices = view.devices.available().filter(|device| wants(device));
        fx.deliver_each(devices, |it| message.clone().with_to(it.jid.clone()));
        for contact in view.account.contacts(State::seen_by_contact) {
            let is_ours = view.site.serves(contact.domain());
            if is_ours && !subscribed(&contact) && Account::may_hear(node, &contact, view) {
                let marks = Marks {
                    topic: Some(node.name.as_str().into()),
                    ..Marks::default()
                };
                fx.route_marked(message.clone().with_to(contact), marks);
            }
        }
        for device in self.face.interests.abroad(&node.name) {
            if !subscribed(device) && Account::may_hear(node, device, view) {
                fx.route(message.clone().with_to(device.clone()));
            }
        }
    }

    /// Somebody wants to hear of these nodes from now on: he gets their last items, and an own
    /// device those of its contacts, unless they were asked already.
    pub(super) fn welcome(
        &mut self,
        who: &Who,
        fresh: &Topics,
        asked: bool,
        view: View,
        fx: &mut Effects,
    ) {
        self.send_last(To::Own(who.clone()), fresh, view, fx);
        let Who::Device(device) = who else { return };
        let Some(device) = view.devices.get(*device).filter(|_| !asked) else {
            return;
        };
        let wants = wants(device, fresh);
        for contact in view.account.contacts(State::sees_contact) {
            ask(&contact, &wants, view, fx);
        }
    }

    /// A contact lets the account see its presence from now on.
    pub(super) fn ask_contact(&self, contact: &Jid, view: View, fx: &mut Effects) {
        for device in view.devices.available() {
            if let Some(topics) = self.face.interests.of(&Who::Device(device.id)) {
                ask(&contact.bare(), &wants(device, topics), view, fx);
            }
        }
    }

    /// A contact's device has come and wants to hear of these nodes.
    pub(super) fn answer_probe(&mut self, wants: &Wants, view: View, fx: &mut Effects) {
        self.send_last(To::Other(wants.device.clone()), &wants.topics, view, fx);
    }

    fn send_last(&mut self, to: To, topics: &Topics, view: View, fx: &mut Effects) {
        let may_hear = |node: &Node| match &to {
            To::Own(Who::Device(_)) => true,
            To::Own(Who::Abroad(jid)) | To::Other(jid) => Account::may_hear(node, jid, view),
        };
        let nodes: Vec<(String, u32)> = self
            .nodes
            .iter()
            .filter(|node| node.config.send_last == SendLast::OnSubAndPresence)
            .filter(|node| node.config.deliver_notifications && node.stock.items > 0)
            .filter(|node| topics.contains(&node.name) && may_hear(node))
            .map(|node| (node.name.clone(), node.number))
            .collect();
        if nodes.is_empty() {
            return;
        }
        let account = view.account.id;
        let newest = |(_, number): &(String, u32)| shelf::newest(account, *number, 1);
        let queries: Vec<Query> = nodes.iter().map(newest).collect();
        let nodes = nodes.into_iter().map(|(name, _)| name).collect();
        let greeting = Greeting { to, nodes };
        self.wait_own(Waiting::Greeting(greeting), None, queries, fx);
    }

    /// The last items are there.
    pub(super) fn greet_all(
        &mut self,
        greeting: Greeting,
        found: &Found,
        view: View,
        fx: &mut Effects,
    ) {
        let nodes = greeting
            .nodes
            .iter()
            .filter_map(|name| self.nodes.get(name));
        for node in nodes {
            let Some(message) = last_item(node, found, &view.account.jid) else {
                continue;
            };
            match &greeting.to {
                To::Own(Who::Device(device)) => {
                    let device = view.devices.get(*device);
                    fx.deliver_each(device, |it| message.clone().with_to(it.jid.clone()));
                }
                To::Own(Who::Abroad(jid)) | To::Other(jid) => {
                    fx.route(message.with_to(jid.clone()));
                }
            }
        }
    }
}

fn wants(device: &Device, topics: &Topics) -> Arc<Wants> {
    Arc::new(Wants {
        device: device.jid.clone(),
        topics: topics.clone(),
        topics_only: true,
    })
}

/// Asks a contact for its last items, if it is one of our own: another's server knows from the
/// presence that it is sent.
fn ask(contact: &Jid, wants: &Arc<Wants>, view: View, fx: &mut Effects) {
    if wants.topics.is_empty() || !view.site.serves(contact.domain()) {
        return;
    }
    let probe = Stanza::presence(PresenceType::Probe)
        .with_from(view.account.jid.clone())
        .with_to(contact.clone())
        .with_id(random_id());
    let marks = Marks {
        wants: Some(Arc::clone(wants)),
        ..Marks::default()
    };
    fx.route_marked(probe, marks);
}
