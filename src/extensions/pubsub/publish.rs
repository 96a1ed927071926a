//! Publishing and retracting items (XEP-0060 §7).

use rookery_actors::effect::{Effects, Query};
use rookery_actors::site::random_id;
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::forms::Submission;
use rookery_protocol::ns;
use rookery_protocol::xml::Element;

use super::access::{self, Standing};
use super::circle::Affiliation;
use super::config::{Config, Full};
use super::node::Node;
use super::order::Sent;
use super::problem::{
    bad, forbidden, full, not_acceptable, not_found, precondition_not_met, too_fast, unsupported,
    with,
};
use super::shelf::{self, Found, Item};
use super::{Ask, Board, Face, Venue, Waiting, choices};

/// The most expired items that one publication sweeps away.
const EXPIRING: usize = 10;

/// An item on its way to its node.
pub struct Publication {
    node: String,
    item: Item,
}

/// Items on their way out.
pub struct Retraction {
    node: String,
    ids: Vec<String>,
    notify: bool,
}

impl<F: Face> Board<F> {
    /// §7.1.
    pub fn publish(
        &mut self,
        node: String,
        item: Option<Sent>,
        options: Option<Submission>,
        ask: &Ask<F>,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let config = self.admit(&node, options.as_ref(), ask)?;
        let item = shaped(&config, item, ask, fx)?;
        if item.xml.len() > config.payload(ask.view.limits().item) {
            return Err(with(Condition::NotAcceptable, "payload-too-big"));
        }
        if !self.face.is_in_pace(ask, fx) {
            return Err(too_fast());
        }
        let account = ask.view.owner();
        if self.nodes.get(&node).is_none() {
            if !self.has_room_for_node(ask.view) {
                return Err(full());
            }
            self.nodes.create(&node, config.clone(), None, account, fx);
        }
        if !config.persist_items {
            self.answer_publication(&node, &item, ask, fx);
            self.tell_published(&node, &item, ask.view, fx);
            return Ok(());
        }
        let mut queries = self.room_queries(&node, &item.id, ask.view);
        queries.extend(F::read_also(&node, ask.view));
        let publication = Publication { node, item };
        if queries.is_empty() {
            return self.published(publication, &Found::default(), ask, fx);
        }
        let waiting = Waiting::Publication(publication);
        self.wait(waiting, Some(ask.request), queries, fx);
        Ok(())
    }

    /// The item may take its place now.
    pub fn published(
        &mut self,
        publication: Publication,
        found: &Found,
        ask: &Ask<F>,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let Publication { node, item } = publication;
        let dropped = self.shelve(&node, &item, found, ask.view, fx)?;
        self.answer_publication(&node, &item, ask, fx);
        self.tell_published(&node, &item, ask.view, fx);
        // §7.1.2.5. Of a node of one item the new one says it.
        let tells = |it: &&Node| it.config.details.full == Full::Retract && it.config.max_items > 1;
        if !dropped.is_empty() && self.nodes.get(&node).filter(tells).is_some() {
            self.tell_retracted(&node, &dropped, false, ask.view, fx);
        }
        let payload = item.payload();
        F::changed(self, &node, payload.as_ref(), found, ask.view, fx);
        Ok(())
    }

    /// Who may publish here, and under which configuration it happens: the node's own, or that of
    /// the node that is made for it (§7.1.4, §7.1.5).
    fn admit(
        &self,
        node: &str,
        options: Option<&Submission>,
        ask: &Ask<F>,
    ) -> Result<Config, StanzaError> {
        let choices = &choices::<F>(ask.view);
        match self.nodes.get(node) {
            Some(held) if !access::may_publish(held, ask.from, &ask.standing) => Err(forbidden()),
            Some(held) if options.is_some_and(|it| !held.config.meets(it, choices)) => {
                Err(precondition_not_met())
            }
            Some(held) => Ok(held.config.clone()),
            None if F::makes_at_publication(ask) => {
                let mut config = F::fresh(node);
                if let Some(options) = options {
                    let taken = config.take_all(options, choices);
                    taken.map_err(|_| precondition_not_met())?;
                }
                Ok(config)
            }
            None if self.nodes.moved(node).is_some() => Err(self.missing(node, ask)),
            None => Err(ask.not_his()),
        }
    }

    /// Whether one more node may be made.
    pub fn has_room_for_node(&self, view: F::View<'_>) -> bool {
        self.nodes.len() < view.limits().nodes
    }

    /// What must be read before an item of this id can be shelved: the one it replaces, and those
    /// that make room for it.
    pub fn room_queries(&self, node: &str, id: &str, view: F::View<'_>) -> Vec<Query> {
        let account = view.owner();
        let Some(node) = self.nodes.get(node).filter(|it| it.stock.items > 0) else {
            return Vec::new();
        };
        let mut queries = vec![shelf::find(account, node.number, id)];
        let room = node.config.room(view.limits().items);
        let excess = (node.stock.items + 1).saturating_sub(room) as usize;
        let excess = match node.config.drops_oldest() {
            true => excess,
            false => 0,
        };
        let expiring = match node.config.details.item_expire {
            0 => 0,
            _ => EXPIRING,
        };
        if excess.max(expiring) > 0 {
            let oldest = shelf::oldest(account, node.number, excess.max(expiring));
            queries.push(oldest);
        }
        queries
    }

    /// Puts an item on its node's shelf: in place of the one of the same id, and of the oldest
    /// where the node's owner set a number (§7.1.2); else a full node refuses. Gives the ids of
    /// those that went for it.
    pub fn shelve(
        &mut self,
        node: &str,
        item: &Item,
        found: &Found,
        view: F::View<'_>,
        fx: &mut Effects,
    ) -> Result<Vec<String>, StanzaError> {
        let (limits, account) = (view.limits(), view.owner());
        let before = self.nodes.bytes();
        let name = node;
        let node = self.nodes.get(name).ok_or_else(not_found)?;
        let old = found.place(node.number, &item.id);
        let mut stock = node.stock;
        if let Some(old) = old {
            stock.items = stock.items.saturating_sub(1);
            stock.bytes = stock.bytes.saturating_sub(old.bytes);
        }
        let room = node.config.room(limits.items);
        let mut dropped = Vec::new();
        if stock.items >= room && node.config.drops_oldest() {
            let others = found
                .of_node(node.number)
                .filter(|(_, it)| it.id != item.id);
            dropped.extend(others.take((stock.items + 1 - room) as usize));
        }
        // What has expired makes room too.
        let horizon = node.config.horizon(fx.now);
        let expired = found.of_node(node.number).filter(|(place, it)| {
            let is_dropped = dropped.iter().any(|(other, _)| other.seq == place.seq);
            it.stamp < horizon && it.id != item.id && !is_dropped
        });
        let expired: Vec<_> = expired.collect();
        dropped.extend(expired);
        for (place, _) in &dropped {
            stock.items = stock.items.saturating_sub(1);
            stock.bytes = stock.bytes.saturating_sub(place.bytes);
        }
        let fresh = before - node.stock.bytes + stock.bytes + shelf::weigh(item);
        let is_growing = fresh > before;
        let is_heavy = stock.bytes + shelf::weigh(item) > limits.of_node;
        if stock.items >= room && node.config.details.full == Full::Reject {
            return Err(with(Condition::Conflict, "node-full"));
        }
        if stock.items >= room || (is_growing && (fresh > limits.total || is_heavy)) {
            return Err(full());
        }
        for (place, item) in &dropped {
            shelf::remove(account, node.number, place.seq, Some(&item.id), fx);
        }
        if let Some(old) = old {
            shelf::remove(account, node.number, old.seq, None, fx);
        }
        stock.last += 1;
        let bytes = shelf::put(account, node.number, stock.last, item, fx);
        stock.bytes += bytes.ok_or(StanzaError::new(Condition::InternalServerError))?;
        stock.items += 1;
        self.nodes.restock(name, stock, account, fx);
        Ok(dropped.into_iter().map(|(_, it)| it.id.clone()).collect())
    }

    fn answer_publication(&self, node: &str, item: &Item, ask: &Ask<F>, fx: &mut Effects) {
        let entry = Element::new(ns::PUBSUB, "item").with_attr("id", &item.id);
        let publish = Element::new(ns::PUBSUB, "publish").with_attr("node", node);
        let entry = Some(entry).filter(|_| !item.id.is_empty());
        let answer = Element::new(ns::PUBSUB, "pubsub");
        let answer = answer.with_child(publish.with_children(entry));
        fx.result(ask.request, Some(answer));
    }

    /// §7.2.
    pub fn retract(
        &mut self,
        node: String,
        ids: Vec<String>,
        notify: bool,
        ask: &Ask<F>,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let Some(held) = self.nodes.get(&node) else {
            return Err(ask.not_his());
        };
        if !access::may_publish(held, ask.from, &ask.standing) {
            return Err(forbidden());
        }
        if !held.config.persist_items {
            return Err(unsupported("persistent-items"));
        }
        let account = ask.view.owner();
        let places = ids.iter().map(|id| shelf::find(account, held.number, id));
        let queries = places.collect();
        let retraction = Retraction { node, ids, notify };
        let waiting = Waiting::Retraction(retraction);
        self.wait(waiting, Some(ask.request), queries, fx);
        Ok(())
    }

    /// The places of the items are there, and, for who is not the owner, the items.
    pub fn retracted(
        &mut self,
        retraction: Retraction,
        found: &Found,
        ask: &Ask<F>,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let account = ask.view.owner();
        let node = self.nodes.get(&retraction.node).ok_or_else(not_found)?;
        let place = |id: &String| found.place(node.number, id);
        let places: Option<Vec<_>> = retraction.ids.iter().map(place).collect();
        let places = places.ok_or_else(not_found)?;
        // §4.1: who may only publish takes back what is his own.
        if !access::is_owner(node, ask.from, &ask.standing)
            && node.people().affiliation(ask.from) != Affiliation::Publisher
        {
            if found.items.is_empty() {
                let at = |place: &shelf::Place| shelf::at(account, node.number, place.seq);
                let queries = places.iter().map(at).collect();
                let waiting = Waiting::Retraction(retraction);
                self.wait(waiting, Some(ask.request), queries, fx);
                return Ok(());
            }
            let mut items = found.of_node(node.number);
            if !items.all(|(_, item)| item.publisher == ask.from.bare_str()) {
                return Err(forbidden());
            }
        }
        let (name, notify) = (&retraction.node, retraction.notify);
        self.unshelve(name, retraction.ids.iter().zip(places), ask.view, fx);
        fx.result(ask.request, None);
        self.tell_retracted(name, &retraction.ids, notify, ask.view, fx);
        F::changed(self, name, None, found, ask.view, fx);
        Ok(())
    }

    /// Takes items from a node's shelf.
    pub fn unshelve<'a>(
        &mut self,
        node: &str,
        items: impl IntoIterator<Item = (&'a String, shelf::Place)>,
        view: F::View<'_>,
        fx: &mut Effects,
    ) {
        let (account, name) = (view.owner(), node);
        let Some(node) = self.nodes.get(name) else {
            return;
        };
        let mut stock = node.stock;
        let mut done = Vec::new();
        for (id, place) in items {
            if done.contains(&place.seq) {
                continue;
            }
            done.push(place.seq);
            shelf::remove(account, node.number, place.seq, Some(id), fx);
            stock.items = stock.items.saturating_sub(1);
            stock.bytes = stock.bytes.saturating_sub(place.bytes);
        }
        self.nodes.restock(name, stock, account, fx);
    }
}

/// §7.1.3.7: an item as the node's configuration wants it.
fn shaped<F: Face>(
    config: &Config,
    item: Option<Sent>,
    ask: &Ask<F>,
    fx: &Effects,
) -> Result<Item, StanzaError> {
    let (id, payload) = match item {
        None if config.persist_items || config.deliver_payloads => {
            return Err(bad("item-required"));
        }
        Some(_) if !config.persist_items && !config.deliver_payloads => {
            return Err(bad("item-forbidden"));
        }
        None => (Some(String::new()), None),
        Some((_, None)) if config.deliver_payloads => return Err(bad("payload-required")),
        Some((id, payload)) => (id, payload),
    };
    let publisher = match ask.standing {
        Standing::Owner if F::OWNS => String::new(),
        _ => ask.from.bare_str().to_owned(),
    };
    let xml = payload.map(|payload| String::from_utf8(payload.to_bytes("")));
    Ok(Item {
        id: id.unwrap_or_else(|| random_id().to_string()),
        publisher,
        stamp: fx.now,
        xml: xml
            .transpose()
            .map_err(|_| not_acceptable())?
            .unwrap_or_default(),
    })
}
