//! Publishing and retracting items (XEP-0060 §7).

use rookery_actors::effect::{Effects, Origin, Query};
use rookery_actors::extension::View;
use rookery_actors::site::random_id;
use rookery_protocol::error::{Condition, ErrorType, StanzaError};
use rookery_protocol::forms::Submission;
use rookery_protocol::ns;
use rookery_protocol::xml::Element;

use super::access::{self, Standing};
use super::config::Config;
use super::node::Affiliation;
use super::order::Sent;
use super::problem::{
    bad, forbidden, full, not_acceptable, not_found, precondition_not_met, unsupported, with,
};
use super::shelf::{self, Found, Item};
use super::{Ask, Pep, Waiting, card, defaults, vcard4};

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

impl Pep {
    /// §7.1.
    pub(super) fn publish(
        &mut self,
        node: String,
        item: Option<Sent>,
        options: Option<Submission>,
        ask: &Ask,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let config = self.admit(&node, options.as_ref(), ask)?;
        let item = shaped(&config, item, ask, fx)?;
        if item.xml.len() > ask.view.site.settings.pubsub.item.get() {
            return Err(with(Condition::NotAcceptable, "payload-too-big"));
        }
        if !self.is_in_pace(ask.view, fx) {
            return Err(StanzaError::new(Condition::PolicyViolation).with_kind(ErrorType::Wait));
        }
        let account = ask.view.account.id;
        if self.nodes.get(&node).is_none() {
            if !self.has_room_for_node(ask.view) {
                return Err(full());
            }
            self.nodes.create(&node, config.clone(), account, fx);
        }
        if !config.persist_items {
            self.answer_publication(&node, &item, ask, fx);
            self.tell_published(&node, &item, ask.view, fx);
            return Ok(());
        }
        let mut queries = self.room_queries(&node, &item.id, ask.view);
        if node == vcard4::NODE {
            queries.push(card::query(account));
        }
        let publication = Publication { node, item };
        if queries.is_empty() {
            return self.published(publication, &Found::default(), ask, fx);
        }
        let waiting = Waiting::Publication(publication);
        self.wait(waiting, Some(ask.request), queries, fx);
        Ok(())
    }

    /// The item may take its place now.
    pub(super) fn published(
        &mut self,
        publication: Publication,
        found: &Found,
        ask: &Ask,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let Publication { node, item } = publication;
        self.shelve(&node, &item, found, ask.view, fx)?;
        self.answer_publication(&node, &item, ask, fx);
        self.tell_published(&node, &item, ask.view, fx);
        let payload = item.payload();
        self.changed(&node, payload.as_ref(), ask.view, fx);
        if let Some(fresh) = payload.filter(|_| node == vcard4::NODE) {
            self.follow_vcard4(&fresh, found, ask.view.account.id, fx);
        }
        Ok(())
    }

    /// Who may publish here, and under which configuration it happens: the node's own, or that of
    /// the node that is made for it (§7.1.4, §7.1.5).
    fn admit(
        &self,
        node: &str,
        options: Option<&Submission>,
        ask: &Ask,
    ) -> Result<Config, StanzaError> {
        let limit = ask.view.site.settings.pubsub.items;
        match self.nodes.get(node) {
            Some(held) if !access::may_publish(held, ask.from, &ask.standing) => Err(forbidden()),
            Some(held) if options.is_some_and(|it| !held.config.meets(it, limit)) => {
                Err(precondition_not_met())
            }
            Some(held) => Ok(held.config.clone()),
            None if ask.standing == Standing::Owner => {
                let mut config = defaults::of_node(node);
                if let Some(options) = options {
                    let taken = config.take_all(options, limit);
                    taken.map_err(|_| precondition_not_met())?;
                }
                Ok(config)
            }
            None if ask.standing == Standing::Stranger => Err(ask.absent()),
            None => Err(forbidden()),
        }
    }

    /// Whether one more node may be made.
    pub(super) fn has_room_for_node(&self, view: View) -> bool {
        self.nodes.len() < view.site.settings.pubsub.nodes
    }

    fn is_in_pace(&mut self, view: View, fx: &Effects) -> bool {
        let is_trusted = match fx.origin() {
            Origin::Device(device) => view.devices.get(device).is_some_and(|it| it.trusted),
            Origin::Elsewhere => false,
        };
        let settings = &view.site.settings.pubsub;
        is_trusted || self.pace.spend(fx.now, settings.burst, settings.rate)
    }

    /// What must be read before an item of this id can be shelved: the one it replaces, and those
    /// that make room for it.
    pub(super) fn room_queries(&self, node: &str, id: &str, view: View) -> Vec<Query> {
        let account = view.account.id;
        let Some(node) = self.nodes.get(node).filter(|it| it.stock.items > 0) else {
            return Vec::new();
        };
        let mut queries = vec![shelf::find(account, node.number, id)];
        let room = node.config.room(view.site.settings.pubsub.items);
        let excess = (node.stock.items + 1).saturating_sub(room) as usize;
        if excess > 0 && !node.config.is_unbounded() {
            queries.push(shelf::oldest(account, node.number, excess));
        }
        queries
    }

    /// Puts an item on its node's shelf: in place of the one of the same id, and of the oldest
    /// where the node's owner set a number (§7.1.2); else a full node refuses.
    pub(super) fn shelve(
        &mut self,
        node: &str,
        item: &Item,
        found: &Found,
        view: View,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let (settings, account) = (&view.site.settings.pubsub, view.account.id);
        let before = self.nodes.bytes();
        let node = self.nodes.get_mut(node).ok_or_else(not_found)?;
        let old = found.place(node.number, &item.id);
        let mut stock = node.stock;
        if let Some(old) = old {
            stock.items = stock.items.saturating_sub(1);
            stock.bytes = stock.bytes.saturating_sub(old.bytes);
        }
        let room = node.config.room(settings.items);
        let mut dropped = Vec::new();
        if stock.items >= room && !node.config.is_unbounded() {
            let others = found
                .of_node(node.number)
                .filter(|(_, it)| it.id != item.id);
            dropped.extend(others.take((stock.items + 1 - room) as usize));
        }
        for (place, _) in &dropped {
            stock.items = stock.items.saturating_sub(1);
            stock.bytes = stock.bytes.saturating_sub(place.bytes);
        }
        let fresh = before - node.stock.bytes + stock.bytes + shelf::weigh(item);
        let is_growing = fresh > before;
        if stock.items >= room || (is_growing && fresh > settings.total.as_u64()) {
            return Err(full());
        }
        for (place, item) in dropped {
            shelf::remove(account, node.number, place.seq, Some(&item.id), fx);
        }
        if let Some(old) = old {
            shelf::remove(account, node.number, old.seq, None, fx);
        }
        stock.last += 1;
        let bytes = shelf::put(account, node.number, stock.last, item, fx);
        stock.bytes += bytes.ok_or(StanzaError::new(Condition::InternalServerError))?;
        stock.items += 1;
        node.stock = stock;
        node.save_stock(account, fx);
        Ok(())
    }

    fn answer_publication(&self, node: &str, item: &Item, ask: &Ask, fx: &mut Effects) {
        let entry = Element::new(ns::PUBSUB, "item").with_attr("id", &item.id);
        let publish = Element::new(ns::PUBSUB, "publish").with_attr("node", node);
        let entry = Some(entry).filter(|_| !item.id.is_empty());
        let answer = Element::new(ns::PUBSUB, "pubsub");
        let answer = answer.with_child(publish.with_children(entry));
        fx.result(ask.request, Some(answer));
    }

    /// §7.2.
    pub(super) fn retract(
        &mut self,
        node: String,
        ids: Vec<String>,
        notify: bool,
        ask: &Ask,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let Some(held) = self.nodes.get(&node) else {
            return Err(match ask.standing {
                Standing::Contact(_) => forbidden(),
                _ => ask.absent(),
            });
        };
        if !access::may_publish(held, ask.from, &ask.standing) {
            return Err(forbidden());
        }
        if !held.config.persist_items {
            return Err(unsupported("persistent-items"));
        }
        let account = ask.view.account.id;
        let places = ids.iter().map(|id| shelf::find(account, held.number, id));
        let queries = places.collect();
        let retraction = Retraction { node, ids, notify };
        let waiting = Waiting::Retraction(retraction);
        self.wait(waiting, Some(ask.request), queries, fx);
        Ok(())
    }

    /// The places of the items are there, and, for who is not the owner, the items.
    pub(super) fn retracted(
        &mut self,
        retraction: Retraction,
        found: &Found,
        ask: &Ask,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let account = ask.view.account.id;
        let node = self.nodes.get(&retraction.node).ok_or_else(not_found)?;
        let place = |id: &String| found.place(node.number, id);
        let places: Option<Vec<_>> = retraction.ids.iter().map(place).collect();
        let places = places.ok_or_else(not_found)?;
        // §4.1: who may only publish takes back what is his own.
        if !access::is_owner(node, ask.from, &ask.standing)
            && node.affiliation(ask.from) != Affiliation::Publisher
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
        self.changed(name, None, ask.view, fx);
        Ok(())
    }

    /// A node changed that has other faces; `newest`: what was published, if something was.
    pub(super) fn changed(
        &mut self,
        node: &str,
        newest: Option<&Element>,
        view: View,
        fx: &mut Effects,
    ) {
        match node {
            ns::AVATAR_METADATA => self.show_avatar(newest, view, fx),
            ns::BOOKMARKS2 => self.announce_storage(view, fx),
            _ => {}
        }
    }

    /// Takes items from a node's shelf.
    pub(super) fn unshelve<'a>(
        &mut self,
        node: &str,
        items: impl IntoIterator<Item = (&'a String, shelf::Place)>,
        view: View,
        fx: &mut Effects,
    ) {
        let account = view.account.id;
        let Some(node) = self.nodes.get_mut(node) else {
            return;
        };
        let mut done = Vec::new();
        for (id, place) in items {
            if done.contains(&place.seq) {
                continue;
            }
            done.push(place.seq);
            shelf::remove(account, node.number, place.seq, Some(id), fx);
            node.stock.items = node.stock.items.saturating_sub(1);
            node.stock.bytes = node.stock.bytes.saturating_sub(place.bytes);
        }
        node.save_stock(account, fx);
    }
}

/// §7.1.3.7: an item as the node's configuration wants it.
fn shaped(
    config: &Config,
    item: Option<Sent>,
    ask: &Ask,
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
        Standing::Owner => String::new(),
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
