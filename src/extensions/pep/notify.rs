//! Telling of events, and of the last item to whoever comes (XEP-0163 §4.3).

use std::sync::Arc;

use rookery_actors::effect::{Effects, Marks, Query};
use rookery_actors::extension::View;
use rookery_actors::hub::devices::Device;
use rookery_actors::site::random_id;
use rookery_actors::topic::{Topics, Wants};
use rookery_protocol::datetime;
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::{PresenceType, Stanza};
use rookery_protocol::subscription::State;
use rookery_protocol::xml::Element;

use super::access::{Standing, may_read};
use super::config::SendLast;
use super::interests::Who;
use super::node::{Node, Subscription};
use super::shelf::{self, Found, Item};
use super::subscribe::element;
use super::{Pep, Waiting};

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
    /// An item was published (XEP-0060 §7.1.2).
    pub(super) fn tell_published(&self, node: &str, item: &Item, view: View, fx: &mut Effects) {
        let Some(node) = self.nodes.get(node) else {
            return;
        };
        let entry = item.element(ns::PUBSUB_EVENT, node.config.deliver_payloads);
        let entry = Some(entry).filter(|_| !item.id.is_empty());
        self.tell(node, items(&node.name).with_children(entry), view, fx);
    }

    /// Items were removed (§7.2.2.1); `asked`: the request wants everybody to know.
    pub(super) fn tell_retracted(
        &self,
        node: &str,
        ids: &[String],
        asked: bool,
        view: View,
        fx: &mut Effects,
    ) {
        let node = self.nodes.get(node);
        let Some(node) = node.filter(|it| asked || it.config.notify_retract) else {
            return;
        };
        let gone = |id: &String| Element::new(ns::PUBSUB_EVENT, "retract").with_attr("id", id);
        let change = items(&node.name).with_children(ids.iter().map(gone));
        self.tell(node, change, view, fx);
    }

    /// Tells everybody who is to know what happened at a node: own devices, contacts, subscribers;
    /// nobody twice, and nobody who may not know (any more).
    pub(super) fn tell(&self, node: &Node, change: Element, view: View, fx: &mut Effects) {
        if !node.config.deliver_notifications {
            return;
        }
        let own = &view.account.jid;
        let event = Element::new(ns::PUBSUB_EVENT, "event").with_child(change);
        let message = Stanza::message(node.config.style.message())
            .with_from(own.clone())
            .with_id(random_id())
            .with_child(&event);
        let subscribed = |jid: &Jid| node.subscriptions_of(jid).any(delivers);
        let wants = |device: &Device| {
            let topics = self.interests.of(&Who::Device(device.id));
            topics.is_some_and(|topics| topics.contains(&node.name)) || subscribed(own)
        };
        let devices = view.devices.available().filter(|device| wants(device));
        fx.deliver_each(devices, |it| message.clone().with_to(it.jid.clone()));
        for contact in view.account.contacts(State::seen_by_contact) {
            let is_ours = view.site.serves(contact.domain());
            if is_ours && !subscribed(&contact) && may_hear(node, &contact, view) {
                let marks = Marks {
                    topic: Some(node.name.as_str().into()),
                    ..Marks::default()
                };
                fx.route_marked(message.clone().with_to(contact), marks);
            }
        }
        for device in self.interests.abroad(&node.name) {
            if !subscribed(device) && may_hear(node, device, view) {
                fx.route(message.clone().with_to(device.clone()));
            }
        }
        let subscribers = node.subscriptions.iter().filter(|it| delivers(it));
        for jid in subscribers.filter_map(|it| Jid::parse(&it.jid).ok()) {
            if !view.account.is_self(&jid) && may_hear(node, &jid, view) {
                fx.route(message.clone().with_to(jid));
            }
        }
    }

    /// Tells the owner's devices of a new subscriber (§12.14).
    pub(super) fn tell_owner(
        &self,
        node: &Node,
        subscription: &Subscription,
        view: View,
        fx: &mut Effects,
    ) {
        let change = element(ns::PUBSUB_EVENT, &node.name, subscription);
        let event = Element::new(ns::PUBSUB_EVENT, "event").with_child(change);
        let message = Stanza::message(node.config.style.message())
            .with_from(view.account.jid.clone())
            .with_id(random_id())
            .with_child(&event);
        let devices = view.devices.available();
        fx.deliver_each(devices, |it| message.clone().with_to(it.jid.clone()));
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
            if let Some(topics) = self.interests.of(&Who::Device(device.id)) {
                ask(&contact.bare(), &wants(device, topics), view, fx);
            }
        }
    }

    /// A contact's device has come and wants to hear of these nodes.
    pub(super) fn answer_probe(&mut self, wants: &Wants, view: View, fx: &mut Effects) {
        self.send_last(To::Other(wants.device.clone()), &wants.topics, view, fx);
    }

    /// The last item of one node, to a new subscriber (§6.1.7).
    pub(super) fn send_last_to(&mut self, node: &str, to: &Jid, view: View, fx: &mut Effects) {
        let number = self.nodes.get(node).filter(|it| it.stock.items > 0);
        if let Some(number) = number.map(|it| it.number) {
            let greeting = Greeting {
                to: To::Other(to.clone()),
                nodes: vec![node.to_owned()],
            };
            let queries = vec![shelf::newest(view.account.id, number, 1)];
            self.wait(Waiting::Greeting(greeting), None, queries, fx);
        }
    }

    fn send_last(&mut self, to: To, topics: &Topics, view: View, fx: &mut Effects) {
        let may_hear = |node: &Node| match &to {
            To::Own(Who::Device(_)) => true,
            To::Own(Who::Abroad(jid)) | To::Other(jid) => may_hear(node, jid, view),
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
        self.wait(Waiting::Greeting(greeting), None, queries, fx);
    }

    /// The last items are there.
    pub(super) fn greet(
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
            let Some((_, item)) = found.of_node(node.number).next_back() else {
                continue;
            };
            let entry = item.element(ns::PUBSUB_EVENT, node.config.deliver_payloads);
            let change = items(&node.name).with_child(entry);
            let event = Element::new(ns::PUBSUB_EVENT, "event").with_child(change);
            let stamp = datetime::format_seconds(item.stamp);
            let delay = Element::new(ns::DELAY, "delay").with_attr("stamp", stamp);
            let message = Stanza::message(node.config.style.message())
                .with_from(view.account.jid.clone())
                .with_id(random_id())
                .with_child(&event)
                .with_child(&delay);
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

/// Whether somebody else may be told of this node now.
fn may_hear(node: &Node, jid: &Jid, view: View) -> bool {
    !view.hides_from(jid) && may_read(node, jid, &Standing::of(jid, view)).is_ok()
}

fn delivers(subscription: &Subscription) -> bool {
    subscription.delivers && !subscription.is_pending
}

fn items(node: &str) -> Element {
    Element::new(ns::PUBSUB_EVENT, "items").with_attr("node", node)
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
