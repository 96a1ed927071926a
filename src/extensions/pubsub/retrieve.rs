//! Reading items (XEP-0060 §6.5), and disco of nodes (§5.2 to §5.5).

use rookery_actors::effect::Effects;
use rookery_protocol::datetime;
use rookery_protocol::error::StanzaError;
use rookery_protocol::forms::{Field, FieldType, Form};
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::paging::{Paging, Summary};
use rookery_protocol::xml::Element;

use super::access::may_read;
use super::circle::Affiliation;
use super::node::Node;
use super::paging::{self, Page};
use super::problem::{not_found, unsupported};
use super::shelf::{self, Found, Item};
use super::{Ask, Board, Face, Venue, Waiting};
use crate::extensions::disco::{feature, identity, item};
use crate::extensions::request::bad_request;

/// The most bytes of items in one answer; there is always one. The rest is to be asked for by
/// pages (XEP-0059), as the answer tells.
const ANSWER: usize = 512 * 1024;

/// The most entries of a list of nodes or items.
pub const LISTED: usize = 500;

/// The most people in an answer.
pub const PEOPLE: usize = 5_000;

/// The most publishers that are named in what is said of a node.
const NAMED: usize = 100;

/// Which items of which node.
pub struct Selection {
    node: String,
    ids: Vec<String>,
    recent: Option<usize>,
    page: Option<Page>,
}

impl<F: Face> Board<F> {
    /// §6.5.
    pub fn items(
        &mut self,
        node: String,
        ids: Vec<String>,
        recent: Option<usize>,
        page: Option<Page>,
        ask: &Ask<F>,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let held = self.nodes.get(&node);
        let held = held.ok_or_else(|| self.missing(&node, ask))?;
        may_read(held, ask.from, &ask.standing)?;
        if !held.config.persist_items {
            return Err(unsupported("persistent-items"));
        }
        let (account, number) = (ask.view.owner(), held.number);
        let find = |id: &str| shelf::find(account, number, id);
        let mut named: Vec<_> = ids.iter().map(|id| find(id)).collect();
        named.extend(page.as_ref().and_then(Page::anchor).map(find));
        let selection = Selection {
            node,
            ids,
            recent,
            page,
        };
        if named.is_empty() {
            return self.anchored(selection, &Found::default(), ask, fx);
        }
        self.wait(Waiting::Anchor(selection), Some(ask.request), named, fx);
        Ok(())
    }

    /// The places of the items that were named are there.
    pub fn anchored(
        &mut self,
        selection: Selection,
        found: &Found,
        ask: &Ask<F>,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let node = self.nodes.get(&selection.node).ok_or_else(not_found)?;
        let (account, number) = (ask.view.owner(), node.number);
        let place = |id: &str| found.place(number, id).map(|place| place.seq);
        let queries = if !selection.ids.is_empty() {
            let places = selection.ids.iter().filter_map(|id| place(id));
            let all: Vec<_> = places.map(|seq| shelf::at(account, number, seq)).collect();
            // §6.5.9.12: nothing is an answer too.
            if all.is_empty() {
                return self.selected(selection, &Found::default(), ask, fx);
            }
            all
        } else if let Some(page) = &selection.page {
            // XEP-0059 §2.2: what the page hangs on must be there.
            let anchor = page.anchor().map(|id| place(id).ok_or_else(not_found));
            let anchor = anchor.transpose()?;
            let sides = match page.is_backwards() {
                true => (None, anchor),
                false => (anchor, None),
            };
            vec![shelf::between(
                account,
                number,
                sides,
                page.max,
                page.is_backwards(),
            )]
        } else {
            let all = ask.view.limits().items as usize;
            match selection.recent {
                Some(number_of) => vec![shelf::newest(account, number, number_of.min(all))],
                None => vec![shelf::oldest(account, number, all)],
            }
        };
        self.wait(
            Waiting::Selection(selection),
            Some(ask.request),
            queries,
            fx,
        );
        Ok(())
    }

    /// The items are there.
    pub fn selected(
        &mut self,
        selection: Selection,
        found: &Found,
        ask: &Ask<F>,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let node = self.nodes.get(&selection.node).ok_or_else(not_found)?;
        let horizon = node.config.horizon(fx.now);
        let all = found.of_node(node.number).map(|(_, item)| item);
        let all: Vec<&Item> = all.filter(|item| item.stamp >= horizon).collect();
        let is_backwards = selection.page.as_ref().is_some_and(Page::is_backwards);
        let shown = within_answer(&all, is_backwards);
        let elements = shown.iter().map(|item| {
            let publisher = node.publisher(item, ask.view.jid());
            item.element(ns::PUBSUB, publisher, true)
        });
        let items = Element::new(ns::PUBSUB, "items")
            .with_attr("node", &selection.node)
            .with_children(elements);
        let is_cut = shown.len() < all.len() && selection.ids.is_empty();
        let set = (is_cut || selection.page.is_some()).then(|| {
            let id = |item: Option<&&Item>| item.map(|item| item.id.clone());
            let (first, last) = (id(shown.first()), id(shown.last()));
            paging::result(first.as_deref(), last.as_deref(), node.stock.items)
        });
        let answer = Element::new(ns::PUBSUB, "pubsub")
            .with_child(items)
            .with_children(set);
        fx.result(ask.request, Some(answer));
        Ok(())
    }

    /// disco#info and disco#items of a node.
    pub fn discover(
        &mut self,
        payload: &Element,
        ask: &Ask<F>,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        if payload.name() != "query" {
            return Err(bad_request());
        }
        let name = payload.attr("node").unwrap_or_default();
        self.lapse(name, ask.view, fx);
        let node = self.nodes.get(name);
        let node = node.ok_or_else(|| self.missing(name, ask))?;
        may_read(node, ask.from, &ask.standing)?;
        if payload.ns() == ns::DISCO_INFO {
            let info = Element::new(ns::DISCO_INFO, "query")
                .with_attr("node", name)
                .with_child(identity("pubsub", "leaf", &node.config.title))
                .with_child(feature(ns::PUBSUB))
                .with_child(metadata::<F>(node, ask.view));
            fx.result(ask.request, Some(info));
            return Ok(());
        }
        let limit = ask.view.limits().items as usize;
        let queries = vec![shelf::oldest(ask.view.owner(), node.number, limit)];
        let node = name.to_owned();
        self.wait(Waiting::Listing { node }, Some(ask.request), queries, fx);
        Ok(())
    }

    /// §5.5.
    pub fn listed(
        &mut self,
        node: &str,
        found: &Found,
        ask: &Ask<F>,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let number = self.nodes.get(node).ok_or_else(not_found)?.number;
        let own = ask.view.jid().as_str();
        let asked = ask.request.payload().ok_or_else(bad_request)?;
        let all: Vec<&Item> = found.of_node(number).map(|(_, item)| item).collect();
        let (shown, set) = listing(&asked, &all, |it| it.id.as_str(), LISTED)?;
        let items = shown.iter().map(|it| item(own, "", &it.id));
        let answer = Element::new(ns::DISCO_ITEMS, "query")
            .with_attr("node", node)
            .with_children(items)
            .with_children(set);
        fx.result(ask.request, Some(answer));
        Ok(())
    }

    /// The nodes that `asker` may read (§5.2).
    pub fn node_items(&self, asker: &Jid, view: F::View<'_>) -> Vec<Element> {
        let standing = F::standing(asker, view);
        let own = view.jid().as_str();
        let nodes = self.nodes.iter();
        let readable = nodes.filter(|node| may_read(node, asker, &standing).is_ok());
        readable
            .map(|node| item(own, &node.name, &node.config.title))
            .collect()
    }
}

/// The part of a list that is asked for, or its beginning where nothing is said; and what is said
/// of it (XEP-0059). `uid` names an entry; an answer has `most` of them.
pub fn listing<'a, T>(
    asked: &Element,
    all: &'a [T],
    uid: impl Fn(&'a T) -> &'a str,
    most: usize,
) -> Result<(&'a [T], Option<Element>), StanzaError> {
    let paging = Paging::of(asked)?;
    let limit = paging.limit(most, most);
    let part = paging.cut(all, limit, &uid)?;
    let is_paged = asked.child(ns::RSM, "set").is_some() || !part.is_complete;
    let ends = part.items.first().zip(part.items.last());
    let summary = Summary {
        ends: ends.map(|(first, last)| (uid(first).to_owned(), uid(last).to_owned())),
        index: Some(part.index as u64),
        count: Some(part.count as u64),
    };
    Ok((part.items, is_paged.then(|| summary.to_element())))
}

/// As many as an answer holds, from the front or from the back.
fn within_answer<'a, 'b>(items: &'a [&'b Item], is_backwards: bool) -> &'a [&'b Item] {
    let mut room = ANSWER;
    let mut fits = |item: &&&Item| {
        let size = item.xml.len() + item.id.len() + 64;
        let is_first = room == ANSWER;
        room = room.saturating_sub(size);
        is_first || room > 0
    };
    match is_backwards {
        false => {
            let count = items.iter().take_while(|item| fits(item)).count();
            &items[..count]
        }
        true => {
            let count = items.iter().rev().take_while(|item| fits(item)).count();
            &items[items.len() - count..]
        }
    }
}

/// §5.4.
fn metadata<F: Face>(node: &Node, view: F::View<'_>) -> Element {
    let owners = node
        .people()
        .all_who_are(Affiliation::Owner)
        .map(str::to_owned);
    let own = F::OWNS.then(|| view.jid().as_str().to_owned());
    let publishers = node.people().all_who_are(Affiliation::Publisher);
    let publishers: Vec<String> = publishers.take(NAMED).map(str::to_owned).collect();
    let owners = owners.chain(own);
    let max_items = node.config.room(view.limits().items);
    let config = &node.config;
    let form = Form::result("http://jabber.org/protocol/pubsub#meta-data")
        .with_field(Field::text("pubsub#type", &config.kind))
        .with_field(Field::text("pubsub#title", &config.title))
        .with_field(Field::text("pubsub#description", &config.description))
        .with_field(Field::text("pubsub#access_model", config.access.as_str()))
        .with_field(Field::text(
            "pubsub#publish_model",
            config.publishers.as_str(),
        ))
        .with_field(Field::text("pubsub#max_items", max_items.to_string()))
        .with_field(Field::new(FieldType::JidMulti, "pubsub#owner").with_values(owners));
    let subscribers = node.people().subscriptions();
    let subscribers = subscribers.filter(|(_, it)| !it.is_pending);
    let several = |var, values: &[String]| {
        Field::new(FieldType::JidMulti, var).with_values(values.iter().cloned())
    };
    let optional = [
        ("pubsub#creator", node.creator.clone()),
        ("pubsub#language", config.details.language.clone()),
        (
            "pubsub#creation_date",
            datetime::format_seconds(node.created),
        ),
    ];
    let known = |(var, value): &(&str, String)| {
        !value.is_empty() && (*var != "pubsub#creation_date" || node.created != 0)
    };
    let form = optional
        .into_iter()
        .filter(known)
        .fold(form, |form, (var, value)| {
            form.with_field(Field::text(var, value))
        });
    form.with_field(several("pubsub#publisher", &publishers))
        .with_field(several("pubsub#contact", &config.details.contact))
        .with_field(Field::text(
            "pubsub#num_subscribers",
            subscribers.count().to_string(),
        ))
        .to_element()
}
