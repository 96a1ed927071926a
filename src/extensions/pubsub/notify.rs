//! Telling of events (XEP-0060 §7.1.2, §7.2.2, §12).

use rookery_actors::effect::{Effects, Query};
use rookery_actors::site::random_id;
use rookery_protocol::datetime;
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::Stanza;
use rookery_protocol::xml::Element;

use super::node::{Node, Subscription};
use super::shelf::{self, Found, Item};
use super::subscribe::element;
use super::{Board, Face, Venue, Waiting};

/// The last item on its way to a new subscriber.
pub struct Greeting {
    to: Jid,
    node: String,
}

impl<F: Face> Board<F> {
    /// An item was published (XEP-0060 §7.1.2).
    pub fn tell_published(&self, node: &str, item: &Item, view: F::View<'_>, fx: &mut Effects) {
        let Some(node) = self.nodes.get(node) else {
            return;
        };
        let entry = item.element(ns::PUBSUB_EVENT, node.config.deliver_payloads);
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
        if !node.config.deliver_notifications {
            return;
        }
        let message = event(node, change, view.jid());
        F::tell_others(self, node, &message, view, fx);
        let now = fx.now;
        let subscribers = node.subscriptions.iter().filter(|it| it.hears(now));
        for jid in subscribers.filter_map(|it| Jid::parse(&it.jid).ok()) {
            if !view.is_self(&jid) && F::may_hear(node, &jid, view) {
                fx.route(message.clone().with_to(jid));
            }
        }
    }

    /// Tells the owners of a new subscriber (§12.14).
    pub fn tell_owners(
        &self,
        node: &Node,
        subscription: &Subscription,
        view: F::View<'_>,
        fx: &mut Effects,
    ) {
        let change = element(ns::PUBSUB_EVENT, &node.name, subscription);
        F::tell_owners(node, &event(node, change, view.jid()), view, fx);
    }

    /// The last item of one node, to a new subscriber (§6.1.7).
    pub fn send_last_to(&mut self, node: &str, to: &Jid, view: F::View<'_>, fx: &mut Effects) {
        let number = self.nodes.get(node).filter(|it| it.stock.items > 0);
        if let Some(number) = number.map(|it| it.number) {
            let greeting = Greeting {
                to: to.clone(),
                node: node.to_owned(),
            };
            let queries: Vec<Query> = vec![shelf::newest(view.owner(), number, 1)];
            self.wait(Waiting::Greeting(greeting), None, queries, fx);
        }
    }

    /// The last item is there.
    pub(super) fn greet(
        &mut self,
        greeting: Greeting,
        found: &Found,
        view: F::View<'_>,
        fx: &mut Effects,
    ) {
        let node = self.nodes.get(&greeting.node);
        if let Some(message) = node.and_then(|node| last_item(node, found, view.jid())) {
            fx.route(message.with_to(greeting.to));
        }
    }
}

/// The last item of a node, if it was found, as whoever comes is told of it: the time at which it
/// was published goes with it (§6.1.7).
pub fn last_item(node: &Node, found: &Found, from: &Jid) -> Option<Stanza> {
    let (_, item) = found.of_node(node.number).next_back()?;
    let entry = item.element(ns::PUBSUB_EVENT, node.config.deliver_payloads);
    let stamp = datetime::format_seconds(item.stamp);
    let delay = Element::new(ns::DELAY, "delay").with_attr("stamp", stamp);
    Some(event(node, items(&node.name).with_child(entry), from).with_child(&delay))
}

/// A message that tells of an event, to nobody yet.
pub fn event(node: &Node, change: Element, from: &Jid) -> Stanza {
    let event = Element::new(ns::PUBSUB_EVENT, "event").with_child(change);
    Stanza::message(node.config.style.message())
        .with_from(from.clone())
        .with_id(random_id())
        .with_child(&event)
}

fn items(node: &str) -> Element {
    Element::new(ns::PUBSUB_EVENT, "items").with_attr("node", node)
}
