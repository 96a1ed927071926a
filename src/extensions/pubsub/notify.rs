//! Telling of events (XEP-0060 §7.1.2, §7.2.2, §12).

use rookery_actors::effect::{Effects, Query};
use rookery_actors::site::random_id;
use rookery_protocol::datetime;
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::Stanza;
use rookery_protocol::xml::Element;

use super::circle::Subscription;
use super::node::Node;
use super::shelf::{self, Found, Item};
use super::subscribe::{element, ended};
use super::{Board, Face, Venue, Waiting};

/// The last items of some nodes on their way to a subscriber.
pub struct Greeting {
    to: Jid,
    nodes: Vec<String>,
}

impl<F: Face> Board<F> {
    /// An item was published (XEP-0060 §7.1.2).
    pub fn tell_published(&self, node: &str, item: &Item, view: F::View<'_>, fx: &mut Effects) {
        let Some(node) = self.nodes.get(node) else {
            return;
        };
        let publisher = node.publisher(item, view.jid());
        let entry = item.element(ns::PUBSUB_EVENT, publisher, node.config.deliver_payloads);
        let entry = Some(entry).filter(|_| !item.id.is_empty());
        self.tell(node, items(&node.name).with_children(entry), view, fx);
    }

    /// Items were removed (§7.2.2.1); `asked`: the request wants everybody to know.
    pub fn tell_retracted(
        &self,
        node: &str,
        ids: &[String],
        asked: bool,
        view: F::View<'_>,
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

    /// Tells everybody who is to know what happened at a node; nobody twice, and nobody who may not
    /// know (any more).
    pub fn tell(&self, node: &Node, change: Element, view: F::View<'_>, fx: &mut Effects) {
        self.tell_those(node, change, false, view, fx);
    }

    /// The same; `waiting`: those, too, who were not let in yet.
    pub(super) fn tell_those(
        &self,
        node: &Node,
        change: Element,
        waiting: bool,
        view: F::View<'_>,
        fx: &mut Effects,
    ) {
        if !node.config.deliver_notifications {
            return;
        }
        let message = event(node, change, view.jid());
        F::tell_others(self, node, &message, view, fx);
        let now = fx.now;
        for (jid, subscription) in node.people().subscriptions() {
            let Ok(jid) = Jid::parse(jid) else { continue };
            let hears = subscription.hears(now) && F::may_hear(node, &jid, view);
            if (hears || waiting && subscription.is_pending) && !view.is_self(&jid) {
                fx.route(message.clone().with_to(jid));
            }
        }
    }

    /// Tells the owners of a new subscriber (§12.14).
    pub fn tell_owners(
        &self,
        node: &Node,
        jid: &Jid,
        subscription: &Subscription,
        view: F::View<'_>,
        fx: &mut Effects,
    ) {
        let change = element(ns::PUBSUB_EVENT, &node.name, jid.as_str(), subscription);
        F::tell_owners(node, &event(node, change, view.jid()), view, fx);
    }

    /// Tells the owners that somebody is subscribed no more, if they want to know.
    pub fn tell_owners_of_end(&self, node: &str, jid: &Jid, view: F::View<'_>, fx: &mut Effects) {
        let node = self.nodes.get(node);
        if let Some(node) = node.filter(|it| it.config.notify_sub) {
            let change = ended(ns::PUBSUB_EVENT, &node.name, jid);
            F::tell_owners(node, &event(node, change, view.jid()), view, fx);
        }
    }

    /// The last item of one node, to a new subscriber (§6.1.7).
    pub fn send_last_to(&mut self, node: &str, to: &Jid, view: F::View<'_>, fx: &mut Effects) {
        if self.nodes.get(node).is_some() {
            self.send_last_of(vec![node.to_owned()], to, view, fx);
        }
    }

    /// The last items of these nodes, to a subscriber.
    pub(super) fn send_last_of(
        &mut self,
        nodes: Vec<String>,
        to: &Jid,
        view: F::View<'_>,
        fx: &mut Effects,
    ) {
        let held = nodes.iter().filter_map(|name| self.nodes.get(name));
        let held = held.filter(|it| it.stock.items > 0);
        let newest = held.map(|it| shelf::newest(view.owner(), it.number, 1));
        let queries: Vec<Query> = newest.collect();
        if !queries.is_empty() {
            let to = to.clone();
            let greeting = Greeting { to, nodes };
            self.wait(Waiting::Greeting(greeting), None, queries, fx);
        }
    }

    /// The last items are there.
    pub(super) fn greet(
        &mut self,
        greeting: Greeting,
        found: &Found,
        view: F::View<'_>,
        fx: &mut Effects,
    ) {
        for node in greeting.nodes.iter().filter_map(|it| self.nodes.get(it)) {
            if let Some(message) = last_item(node, found, view.jid()) {
                fx.route(message.with_to(greeting.to.clone()));
            }
        }
    }
}

/// The last item of a node, if it was found, as whoever comes is told of it: the time at which it
/// was published goes with it (§6.1.7).
pub fn last_item(node: &Node, found: &Found, from: &Jid) -> Option<Stanza> {
    let (_, item) = found.of_node(node.number).next_back()?;
    let publisher = node.publisher(item, from);
    let entry = item.element(ns::PUBSUB_EVENT, publisher, node.config.deliver_payloads);
    let stamp = datetime::format_seconds(item.stamp);
    let delay = Element::new(ns::DELAY, "delay").with_attr("stamp", stamp);
    Some(event(node, items(&node.name).with_child(entry), from).with_child(&delay))
}

/// A message that tells of an event, to nobody yet. Its id begins with the node's number, so that
/// an error that comes back says of which node (§12.4).
pub fn event(node: &Node, change: Element, from: &Jid) -> Stanza {
    let event = Element::new(ns::PUBSUB_EVENT, "event").with_child(change);
    Stanza::message(node.config.style.message())
        .with_from(from.clone())
        .with_id(format!("{}.{}", node.number, random_id()))
        .with_child(&event)
}

fn items(node: &str) -> Element {
    Element::new(ns::PUBSUB_EVENT, "items").with_attr("node", node)
}
