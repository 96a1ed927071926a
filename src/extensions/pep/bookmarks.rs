//! Bookmarks of rooms: one store, three faces. The items of `urn:xmpp:bookmarks:1` (XEP-0402) are
//! the truth; `<storage xmlns='storage:bookmarks'/>` is put together from them, as private XML
//! (XEP-0049) and as the one item of a node (XEP-0048), and taken apart where a client writes it.

use rookery_actors::effect::{Effects, Query, Row};
use rookery_actors::extension::View;
use rookery_actors::keys;
use rookery_actors::site::random_id;
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::forms::FormKind;
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::{MessageType, Stanza};
use rookery_protocol::xml::Element;

use super::interests::Who;
use super::{Account, Ask, Pep, Waiting, defaults, private};
use crate::extensions::pubsub::access::Standing;
use crate::extensions::pubsub::config::Config;
use crate::extensions::pubsub::order::{Order, Sent};
use crate::extensions::pubsub::problem::{bad, full, precondition_not_met, with};
use crate::extensions::pubsub::shelf::{self, Found, Item};
use crate::extensions::pubsub::{choices, owner};

/// The id of the one item that old clients see (XEP-0048 §3).
const CURRENT: &str = "current";

/// What a client that knows only the old form writes.
#[derive(Debug, PartialEq)]
pub struct Changes {
    /// Bookmarks that are new or changed: the room, and the payload of its item.
    pub put: Vec<(String, Element)>,
    /// Rooms that are bookmarked no more.
    pub gone: Vec<String>,
    /// What is no bookmark of a room.
    pub rest: Vec<Element>,
}

impl Pep {
    /// A request about the node of old clients.
    pub(super) fn obey_storage(
        &mut self,
        order: Order,
        ask: &Ask,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        match &ask.standing {
            Standing::Owner => {}
            Standing::Contact(_) => return Err(with(Condition::NotAllowed, "closed-node")),
            Standing::Stranger | Standing::Guest => return Err(ask.absent()),
        }
        let config = defaults::of_node(ns::BOOKMARKS2);
        match order {
            Order::Items { .. } => {
                let queries = self.storage_queries(ask.view);
                self.wait_own(Waiting::Storage, Some(ask.request), queries, fx);
            }
            Order::Publish { item, options, .. } => {
                let asked = options.filter(|it| it.text(ACCESS).is_some());
                if asked.is_some_and(|it| it.text(ACCESS) != Some(config.access.as_str())) {
                    return Err(precondition_not_met());
                }
                let storage = storage_of(item)?;
                let queries = self.storage_queries(ask.view);
                let waiting = Waiting::StoragePublished(storage);
                self.wait_own(waiting, Some(ask.request), queries, fx);
            }
            Order::Configuration { node } => {
                let form = shown(&config).form(FormKind::Form, &choices::<Account>(ask.view));
                let form = form.to_element();
                owner::tell(ask, "configure", &node, [form], fx);
            }
            // A client that leaves the old node behind does not mean the bookmarks themselves.
            Order::Delete { .. }
            | Order::Purge { .. }
            | Order::Retract { .. }
            | Order::Create { .. }
            | Order::Configure { .. } => fx.result(ask.request, None),
            other => return self.about_subscriptions(other, ask, fx),
        }
        Ok(())
    }

    /// What must be read to see the bookmarks as old clients do.
    pub(super) fn storage_queries(&self, view: View) -> Vec<Query> {
        let account = view.account.id;
        let node = self.nodes.get(ns::BOOKMARKS2);
        let limit = view.site.settings.pubsub.items as usize;
        let items = node.map(|node| shelf::oldest(account, node.number, limit));
        items
            .into_iter()
            .chain([private::rest_query(account)])
            .collect()
    }

    /// The bookmarks as old clients see them.
    pub(super) fn storage(&self, found: &Found) -> Element {
        let bookmarks = self.bookmarks(found);
        composed(&bookmarks, private::rest_of(&found.others))
    }

    fn bookmarks(&self, found: &Found) -> Vec<(String, Element)> {
        let node = self.nodes.get(ns::BOOKMARKS2);
        let items = node.into_iter().flat_map(|node| found.of_node(node.number));
        items
            .filter_map(|(_, item)| Some((item.id.clone(), item.payload()?)))
            .collect()
    }

    /// The answer to a request for the items of the node of old clients.
    pub(super) fn show_storage(
        &self,
        found: &Found,
        ask: &Ask,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let item = Element::new(ns::PUBSUB, "item")
            .with_attr("id", CURRENT)
            .with_child(self.storage(found));
        let items = Element::new(ns::PUBSUB, "items")
            .with_attr("node", ns::BOOKMARKS)
            .with_child(item);
        let answer = Element::new(ns::PUBSUB, "pubsub").with_child(items);
        fx.result(ask.request, Some(answer));
        Ok(())
    }

    /// A storage was published to the node of old clients.
    pub(super) fn storage_published(
        &mut self,
        storage: &Element,
        found: &Found,
        ask: &Ask,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let rest = self.take_storage(storage, found, ask.view, fx)?;
        private::save_rest(ask.view.account.id, rest, fx);
        let item = Element::new(ns::PUBSUB, "item").with_attr("id", CURRENT);
        let publish = Element::new(ns::PUBSUB, "publish")
            .with_attr("node", ns::BOOKMARKS)
            .with_child(item);
        let answer = Element::new(ns::PUBSUB, "pubsub").with_child(publish);
        fx.result(ask.request, Some(answer));
        Ok(())
    }

    /// Makes the bookmarks those of `storage`, and tells of what is new in them; gives what is left
    /// over. All of it, or nothing.
    pub(super) fn take_storage(
        &mut self,
        storage: &Element,
        found: &Found,
        view: View,
        fx: &mut Effects,
    ) -> Result<Vec<Element>, StanzaError> {
        let Changes { put, gone, rest } = changes(&self.bookmarks(found), storage);
        let (settings, account) = (&view.site.settings.pubsub, view.account.id);
        let items: Vec<Item> = put
            .into_iter()
            .filter_map(|(id, payload)| {
                Some(Item {
                    id,
                    publisher: String::new(),
                    stamp: fx.now,
                    xml: String::from_utf8(payload.to_bytes("")).ok()?,
                })
            })
            .collect();
        let grown = self.nodes.bytes() + items.iter().map(shelf::weigh).sum::<u64>();
        let node = self.nodes.get(ns::BOOKMARKS2);
        let count = node.map_or(0, |node| node.stock.items as usize) + items.len();
        let is_full = grown > settings.total.as_u64() || count > settings.items as usize;
        if is_full && !items.is_empty() {
            return Err(full());
        }
        if node.is_none() && !items.is_empty() {
            let config = defaults::of_node(ns::BOOKMARKS2);
            self.nodes.create(ns::BOOKMARKS2, config, None, account, fx);
        }
        let number = self.nodes.get(ns::BOOKMARKS2).map(|node| node.number);
        let lost = gone
            .iter()
            .filter_map(|id| Some((id, found.place(number?, id)?)));
        let lost: Vec<_> = lost.collect();
        self.unshelve(ns::BOOKMARKS2, lost, view, fx);
        for item in &items {
            self.shelve(ns::BOOKMARKS2, item, found, view, fx)?;
            self.tell_published(ns::BOOKMARKS2, item, view, fx);
        }
        if !gone.is_empty() {
            self.tell_retracted(ns::BOOKMARKS2, &gone, true, view, fx);
        }
        if !gone.is_empty() || !items.is_empty() {
            self.announce_storage(view, fx);
        }
        Ok(rest)
    }

    /// The bookmarks changed: they are looked at as a whole.
    pub(super) fn announce_storage(&mut self, view: View, fx: &mut Effects) {
        let queries = self.storage_queries(view);
        self.wait_own(Waiting::StorageNews, None, queries, fx);
    }

    /// They are there: own devices that know only the old node hear of them, and what they say of
    /// notifications holds from now on.
    pub(super) fn tell_storage(&mut self, found: &Found, view: View, fx: &mut Effects) {
        let bookmarks = self.bookmarks(found);
        self.face.chats.follow(&bookmarks, view.account.id, fx);
        let item = Element::new(ns::PUBSUB_EVENT, "item")
            .with_attr("id", CURRENT)
            .with_child(self.storage(found));
        let items = Element::new(ns::PUBSUB_EVENT, "items")
            .with_attr("node", ns::BOOKMARKS)
            .with_child(item);
        let event = Element::new(ns::PUBSUB_EVENT, "event").with_child(items);
        let message = Stanza::message(MessageType::Headline)
            .with_from(view.account.jid.clone())
            .with_id(random_id())
            .with_child(&event);
        let wants = |id| self.face.interests.of(&Who::Device(id));
        let interested = view
            .devices
            .available()
            .filter(|it| wants(it.id).is_some_and(|all| all.contains(ns::BOOKMARKS)));
        fx.deliver_each(interested, |it| message.clone().with_to(it.jid.clone()));
    }
}

const ACCESS: &str = "pubsub#access_model";

/// The configuration that old clients see of their node: one item.
fn shown(config: &Config) -> Config {
    Config {
        max_items: 1,
        ..config.clone()
    }
}

fn storage_of(item: Option<Sent>) -> Result<Element, StanzaError> {
    let (_, payload) = item.ok_or_else(|| bad("item-required"))?;
    let payload = payload.ok_or_else(|| bad("payload-required"))?;
    match payload.is(ns::BOOKMARKS, "storage") {
        true => Ok(payload),
        false => Err(bad("invalid-payload")),
    }
}

/// `<storage/>` from bookmarks and what is none (XEP-0402 §6.3.1).
pub fn composed(bookmarks: &[(String, Element)], rest: Vec<Element>) -> Element {
    let conferences = bookmarks.iter().map(|(room, bookmark)| {
        let mut old = Element::new(ns::BOOKMARKS, "conference").with_attr("jid", room);
        for name in ["name", "autojoin"] {
            if let Some(value) = bookmark.attr(name) {
                old.set_attr(name, value);
            }
        }
        for name in ["nick", "password"] {
            if let Some(child) = bookmark.child(ns::BOOKMARKS2, name) {
                old.push(Element::new(ns::BOOKMARKS, name).with_text(child.text()));
            }
        }
        old
    });
    Element::new(ns::BOOKMARKS, "storage")
        .with_children(conferences)
        .with_children(rest)
}

/// What a written `<storage/>` changes (XEP-0402 §6.3.2). What old clients do not know, the
/// extensions of a bookmark, stays.
pub fn changes(bookmarks: &[(String, Element)], storage: &Element) -> Changes {
    let (mut put, mut seen, mut rest) = (Vec::new(), Vec::new(), Vec::new());
    for child in storage.children() {
        let room = child.attr("jid").and_then(|jid| Jid::parse(jid).ok());
        let room = room.filter(|_| child.is(ns::BOOKMARKS, "conference"));
        let Some(room) = room.map(|jid| jid.bare_str().to_owned()) else {
            rest.push(child.clone());
            continue;
        };
        if seen.contains(&room) {
            continue;
        }
        let known = bookmarks.iter().find(|(id, _)| *id == room);
        let known = known.map(|(_, bookmark)| bookmark);
        if known.is_none_or(|known| essence(known) != essence(child)) {
            put.push((room.clone(), renewed(child, known)));
        }
        seen.push(room);
    }
    let ids = bookmarks.iter().map(|(id, _)| id);
    let gone = ids.filter(|id| !seen.contains(id)).cloned().collect();
    Changes { put, gone, rest }
}

/// What both forms can say.
fn essence(bookmark: &Element) -> (Option<&str>, bool, Option<String>, Option<String>) {
    let text = |name| bookmark.child(bookmark.ns(), name).map(Element::text);
    let autojoin = matches!(bookmark.attr("autojoin"), Some("1" | "true"));
    (
        bookmark.attr("name"),
        autojoin,
        text("nick"),
        text("password"),
    )
}

fn renewed(old: &Element, known: Option<&Element>) -> Element {
    let (name, autojoin, nick, password) = essence(old);
    let mut bookmark = Element::new(ns::BOOKMARKS2, "conference");
    if let Some(name) = name {
        bookmark.set_attr("name", name);
    }
    if autojoin {
        bookmark.set_attr("autojoin", "true");
    }
    for (name, value) in [("nick", nick), ("password", password)] {
        let child = value.map(|text| Element::new(ns::BOOKMARKS2, name).with_text(text));
        bookmark.nodes_extend(child);
    }
    let extensions = known.and_then(|known| known.child(ns::BOOKMARKS2, "extensions"));
    bookmark.with_children(extensions.cloned())
}

/// Whether rows hold the private element with what is no bookmark.
pub fn is_rest(row: &Row) -> bool {
    matches!(keys::split(&row.0), Some((_, kind, rest))
        if kind == private::ITEM && rest == private::REST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(text: &str) -> Element {
        Element::parse(text, "").unwrap()
    }

    fn storage(inside: &str) -> Element {
        element(&format!(
            "<storage xmlns='storage:bookmarks'>{inside}</storage>"
        ))
    }

    fn bookmark(inside: &str) -> Element {
        element(&format!(
            "<conference xmlns='urn:xmpp:bookmarks:1' {inside}</conference>"
        ))
    }

    #[test]
    fn what_was_composed_changes_nothing() {
        let bookmarks = [
            (
                "a@r".to_owned(),
                bookmark("name='A' autojoin='1'><nick>n</nick>"),
            ),
            (
                "b@r".to_owned(),
                bookmark("><extensions><x xmlns='u'/></extensions>"),
            ),
        ];
        let url = element("<url xmlns='storage:bookmarks' url='http://x/'/>");
        let composed = composed(&bookmarks, vec![url.clone()]);
        assert_eq!(
            composed,
            storage(
                "<conference jid='a@r' name='A' autojoin='1'><nick>n</nick></conference>\
                 <conference jid='b@r'/><url url='http://x/'/>"
            )
        );
        let nothing = Changes {
            put: vec![],
            gone: vec![],
            rest: vec![url],
        };
        assert_eq!(changes(&bookmarks, &composed), nothing);
    }

    #[test]
    fn what_old_clients_do_not_know_stays() {
        let known = bookmark("name='A'><extensions><x xmlns='u'/></extensions>");
        let bookmarks = [("a@r".to_owned(), known), ("b@r".to_owned(), bookmark(">"))];
        let written = storage("<conference jid='A@r' name='B' autojoin='true'/>");
        let changes = changes(&bookmarks, &written);
        let wanted = bookmark("name='B' autojoin='true'><extensions><x xmlns='u'/></extensions>");
        assert_eq!(changes.put, [("a@r".to_owned(), wanted)]);
        assert_eq!(changes.gone, ["b@r"]);
    }
}
