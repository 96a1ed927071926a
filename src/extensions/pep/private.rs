//! XEP-0049, Private XML Storage: what a client keeps here for its owner's other clients. Bookmarks
//! of rooms lie elsewhere and are put together when they are asked for.

use std::collections::BTreeMap;

use rookery_actors::effect::{Effects, Query, Row};
use rookery_actors::extension::View;
use rookery_actors::keys::{AccountId, Kind, row};
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::ns;
use rookery_protocol::xml::Element;
use rookery_storage::Tree;
use rookery_storage::record::{self, Record};
use serde::{Deserialize, Serialize};

use super::{Ask, Pep, Waiting, bookmarks};
use crate::extensions::pubsub::shelf::Found;
use crate::extensions::request::{bad_request, gets, sets, unavailable};

/// One row an account: the [`Total`] of its items.
pub const TOTAL: Kind = Kind(0x20);
/// An [`Item`]; then its namespace, a zero and its name.
pub const ITEM: Kind = Kind(0x60);
/// The item with what old clients store among bookmarks, but is none of a room.
pub const REST: &[u8] = b"storage:bookmarks\0storage";

/// The longest namespace and name of an item together, in bytes.
const NAME: usize = 1024;
/// The most items that one request stores.
const AT_ONCE: usize = 32;

/// Bytes of all items of an account, keys included.
#[derive(Serialize, Deserialize)]
struct Total {
    bytes: u64,
}

impl Record for Total {
    const VERSION: u8 = 1;
}

/// An element that a client stored, written so that it stands alone.
#[derive(Serialize, Deserialize)]
struct Item {
    xml: String,
}

impl Record for Item {
    const VERSION: u8 = 1;
}

/// The bytes in the row of [`TOTAL`].
pub fn load_total(value: &[u8]) -> u64 {
    record::decode::<Total>(value).map_or(0, |total| total.bytes)
}

/// Asks for the item of [`REST`].
pub fn rest_query(account: AccountId) -> Query {
    Query::Get(Tree::Account, row(account, ITEM, REST))
}

/// What that item holds, if it is among these rows.
pub fn rest_of(rows: &[Row]) -> Vec<Element> {
    let held = rows.iter().find(|row| bookmarks::is_rest(row));
    let storage = held.and_then(|(_, value)| element(value));
    storage.map_or(Vec::new(), |it| it.children().cloned().collect())
}

/// Writes that item down.
pub fn save_rest(account: AccountId, rest: Vec<Element>, fx: &mut Effects) {
    let storage = Element::new(ns::BOOKMARKS, "storage").with_children(rest);
    let key = row(account, ITEM, REST);
    match value(&storage) {
        Some(value) => fx.put(Tree::Account, key, value),
        None => fx.delete(Tree::Account, key),
    }
}

impl Pep {
    /// §2.3: nobody but the owner; `forbidden` would tell others that the account exists.
    pub(super) fn private(
        &mut self,
        payload: &Element,
        ask: &Ask,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let is_set = sets(ask.request, payload, "query");
        if !ask.view.is_own(ask.request) || !(is_set || gets(ask.request, payload, "query")) {
            return Err(unavailable());
        }
        admit(is_set, payload, ask.view)?;
        let account = ask.view.account.id;
        let query = |item| Query::Get(Tree::Account, key(account, item));
        let mut queries: Vec<Query> = payload.children().map(query).collect();
        if payload.children().any(is_storage) {
            queries.extend(self.storage_queries(ask.view));
        }
        let waiting = match is_set {
            true => Waiting::PrivateSet,
            false => Waiting::PrivateGet,
        };
        self.wait_own(waiting, Some(ask.request), queries, fx);
        Ok(())
    }

    /// The item that was asked for is there, or, of bookmarks, what it is made from.
    pub(super) fn private_got(
        &self,
        found: &Found,
        ask: &Ask,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let asked = ask.request.payload();
        let asked = asked.and_then(|it| it.children().next().cloned());
        let stored = match &asked {
            Some(asked) if is_storage(asked) => Some(self.storage(found)),
            _ => found.others.first().and_then(|(_, value)| element(value)),
        };
        let nothing = asked.map(|item| Element::new(item.ns(), item.name()));
        let query = Element::new(ns::PRIVATE, "query").with_children(stored.or(nothing));
        fx.result(ask.request, Some(query));
        Ok(())
    }

    /// All items of a request or none; the rows are the ones that they replace.
    pub(super) fn private_set(
        &mut self,
        found: &Found,
        ask: &Ask,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let payload = ask.request.payload().ok_or_else(bad_request)?;
        let account = ask.view.account.id;
        let mut items: Vec<Element> = payload.children().cloned().collect();
        // Bookmarks are kept as such, once; what else is in their element stays in it.
        for item in items.iter_mut().filter(|item| is_storage(item)) {
            let rest = bookmarks::changes(&[], item).rest;
            *item = Element::new(item.ns(), item.name()).with_children(rest);
        }
        let fresh: BTreeMap<Vec<u8>, Option<Vec<u8>>> = items
            .iter()
            .map(|item| (key(account, item), value(item)))
            .collect();
        let rows: BTreeMap<&Vec<u8>, &Vec<u8>> = found
            .others
            .iter()
            .map(|(key, value)| (key, value))
            .collect();
        let old: u64 = rows.iter().map(|(key, value)| size(key, value)).sum();
        let kept = fresh
            .iter()
            .filter_map(|(key, value)| Some(size(key, value.as_ref()?)));
        let total = self.face.private.saturating_sub(old) + kept.sum::<u64>();
        if total > self.face.private && total > ask.view.site.settings.private.total.as_u64() {
            return Err(StanzaError::new(Condition::ResourceConstraint));
        }
        let counted = record::encode(&Total { bytes: total })
            .map_err(|_| StanzaError::new(Condition::InternalServerError))?;
        if let Some(storage) = payload.children().find(|item| is_storage(item)) {
            self.take_storage(storage, found, ask.view, fx)?;
        }
        for (key, value) in fresh {
            match value {
                Some(value) => fx.put(Tree::Account, key, value),
                None => fx.delete(Tree::Account, key),
            }
        }
        fx.put(Tree::Account, row(account, TOTAL, &[]), counted);
        self.face.private = total;
        fx.result(ask.request, None);
        Ok(())
    }
}

fn is_storage(item: &Element) -> bool {
    item.is(ns::BOOKMARKS, "storage")
}

/// §2.3: an element with a namespace of its own, one in a get; and the bounds of a set.
fn admit(is_set: bool, payload: &Element, view: View) -> Result<(), StanzaError> {
    let not_acceptable = || StanzaError::new(Condition::NotAcceptable);
    let count = payload.children().count();
    if count == 0 || payload.children().any(|item| !has_own_namespace(item)) {
        return Err(not_acceptable());
    }
    if !is_set && count > 1 {
        return Err(bad_request());
    }
    let longest = view.site.settings.private.item.get();
    let too_large = |item: &Element| item.to_bytes("").len() > longest;
    if count > AT_ONCE || payload.children().any(too_large) {
        return Err(StanzaError::new(Condition::ResourceConstraint));
    }
    if payload
        .children()
        .any(|item| item.ns().len() + item.name().len() > NAME)
    {
        return Err(not_acceptable());
    }
    Ok(())
}

fn has_own_namespace(item: &Element) -> bool {
    !matches!(item.ns(), "" | ns::PRIVATE | ns::CLIENT | ns::SERVER)
}

fn element(value: &[u8]) -> Option<Element> {
    let item = record::decode::<Item>(value).ok()?;
    Element::parse(&item.xml, "").ok()
}

/// `None` for an empty element: that is what a get of nothing answers too.
fn value(item: &Element) -> Option<Vec<u8>> {
    if item.nodes().is_empty() && item.attributes().is_empty() {
        return None;
    }
    let xml = String::from_utf8(item.to_bytes("")).ok()?;
    record::encode(&Item { xml }).ok()
}

fn key(account: AccountId, item: &Element) -> Vec<u8> {
    let mut rest = item.ns().as_bytes().to_vec();
    rest.push(0);
    rest.extend_from_slice(item.name().as_bytes());
    row(account, ITEM, &rest)
}

fn size(key: &[u8], value: &[u8]) -> u64 {
    (key.len() + value.len()) as u64
}

#[cfg(test)]
mod tests {
    use rookery_actors::extension::AccountRole;
    use rookery_config::Size;
    use rookery_protocol::stanza::Stanza;

    use super::*;
    use crate::extensions::pep::Account;
    use crate::extensions::scene::{Scene, get, set, verdict};

    fn query(inside: &str) -> Element {
        Element::parse(
            &format!("<query xmlns='jabber:iq:private'>{inside}</query>"),
            "",
        )
        .unwrap()
    }

    fn store(scene: &Scene, role: &mut Pep, inside: &str) -> &'static str {
        scene.ask_account(role, &set("alice@a.test/r", "alice@a.test", &query(inside)))
    }

    fn fetch(scene: &Scene, role: &mut Pep, inside: &str) -> Stanza {
        scene.answer(role, &get("alice@a.test/r", "alice@a.test", &query(inside)))
    }

    const PREFS: &str = "<exodus xmlns='exodus:prefs'><nick a='&amp;'>Hamlet</nick></exodus>";

    #[test]
    fn what_was_stored_comes_back() {
        let scene = Scene::new();
        let mut role = Pep::new(Account::new(scene.site.shared()));
        assert_eq!(store(&scene, &mut role, PREFS), "result");
        let back = fetch(&scene, &mut role, "<exodus xmlns='exodus:prefs'/>");
        assert_eq!(back.payload(), Some(query(PREFS)));
        let other = fetch(&scene, &mut role, "<exodus xmlns='other'/>");
        assert_eq!(other.payload(), Some(query("<exodus xmlns='other'/>")));
    }

    #[test]
    fn only_the_owner_and_only_elements_with_a_namespace() {
        let scene = Scene::new();
        let mut role = Pep::new(Account::new(scene.site.shared()));
        for from in ["bob@b.test/r", "eve@evil.test/r"] {
            let theirs = set(from, "alice@a.test", &query(PREFS));
            assert_eq!(scene.ask_account(&mut role, &theirs), "service-unavailable");
        }
        for inside in ["", "<exodus/>", "<exodus xmlns='jabber:client'/>"] {
            assert_eq!(
                store(&scene, &mut role, inside),
                "not-acceptable",
                "{inside}"
            );
            assert_eq!(verdict(&fetch(&scene, &mut role, inside)), "not-acceptable");
        }
        let two = "<a xmlns='u'/><b xmlns='u'/>";
        assert_eq!(verdict(&fetch(&scene, &mut role, two)), "bad-request");
        let long = format!("<a xmlns='{}'/>", "u".repeat(NAME));
        assert_eq!(store(&scene, &mut role, &long), "not-acceptable");
    }

    #[test]
    fn an_item_has_a_bound() {
        let scene = Scene::with(|settings| settings.private.item = Size::bytes(100));
        let mut role = Pep::new(Account::new(scene.site.shared()));
        let item = |len: usize| format!("<a xmlns=\"u:v\">{}</a>", "x".repeat(len - 19));
        assert_eq!(
            query(&item(100))
                .children()
                .next()
                .unwrap()
                .to_bytes("")
                .len(),
            100
        );
        assert_eq!(store(&scene, &mut role, &item(100)), "result");
        assert_eq!(store(&scene, &mut role, &item(101)), "resource-constraint");
        let many = |count| {
            (0..count)
                .map(|n| format!("<a{n} xmlns='u'/>"))
                .collect::<String>()
        };
        assert_eq!(store(&scene, &mut role, &many(AT_ONCE)), "result");
        assert_eq!(
            store(&scene, &mut role, &many(AT_ONCE + 1)),
            "resource-constraint"
        );
    }

    #[test]
    fn the_total_has_a_bound_and_follows_what_is_replaced_and_emptied() {
        let scene = Scene::with(|settings| settings.private.total = Size::bytes(400));
        let mut role = Pep::new(Account::new(scene.site.shared()));
        let item = |name: &str, len| format!("<{name} xmlns='u'>{}</{name}>", "x".repeat(len));
        assert_eq!(store(&scene, &mut role, &item("a", 150)), "result");
        assert_eq!(store(&scene, &mut role, &item("b", 150)), "result");
        let full = role.face.private;
        assert_eq!(
            store(&scene, &mut role, &item("c", 50)),
            "resource-constraint"
        );
        assert_eq!(role.face.private, full);
        assert_eq!(store(&scene, &mut role, &item("a", 150)), "result");
        assert_eq!(role.face.private, full);
        assert_eq!(store(&scene, &mut role, "<a xmlns='u'/>"), "result");
        assert!(role.face.private < full);
        assert_eq!(store(&scene, &mut role, &item("c", 50)), "result");
        let mut loaded = Pep::new(Account::new(scene.site.shared()));
        for (_, value) in scene.read(&[scene.row(TOTAL, b"")]) {
            loaded.load(TOTAL, b"", &value);
        }
        assert_eq!(loaded.face.private, role.face.private);
        assert_eq!(
            store(&scene, &mut role, "<b xmlns='u'/><c xmlns='u'/>"),
            "result"
        );
        assert_eq!(role.face.private, 0);
    }
}
