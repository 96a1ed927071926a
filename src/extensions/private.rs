//! XEP-0049, Private XML Storage: what a client keeps here for its owner's other clients.

use std::collections::BTreeMap;

use rookery_actors::effect::{Effects, Query, Row};
use rookery_actors::extension::{AccountRole, Extension, Spec, View};
use rookery_actors::keys::{AccountId, Kind, row};
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::ns;
use rookery_protocol::stanza::Stanza;
use rookery_protocol::xml::Element;
use rookery_storage::Tree;
use rookery_storage::record::{self, Record};
use serde::{Deserialize, Serialize};

use super::request::{bad_request, gets, sets, unavailable};

/// The extension.
pub const PRIVATE: Extension = Extension {
    name: "private",
    specs: &[Spec {
        xep: 49,
        version: "1.2",
        title: "Private XML Storage",
    }],
    server_features: &[ns::PRIVATE],
    account_features: &[ns::PRIVATE],
    account_namespaces: &[ns::PRIVATE],
    kinds: &[TOTAL, ITEM],
    account: Some(|_| Box::new(Private::default())),
    ..Extension::NONE
};

/// One row an account: the [`Total`] of its items.
const TOTAL: Kind = Kind(0x20);
/// An [`Item`]; then its namespace, a zero and its name.
const ITEM: Kind = Kind(0x60);

/// The longest namespace and name of an item together, in bytes.
const NAME: usize = 1024;
/// The most items that one request stores.
const AT_ONCE: usize = 32;

const GET: u32 = 0;
const SET: u32 = 1;

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

#[derive(Default)]
struct Private {
    total: u64,
}

impl AccountRole for Private {
    fn load(&mut self, _kind: Kind, _rest: &[u8], value: &[u8]) {
        self.total = record::decode::<Total>(value).map_or(0, |total| total.bytes);
    }

    /// §2.3: nobody but the owner; `forbidden` would tell others that the account exists.
    fn iq(&mut self, request: &Stanza, payload: &Element, view: View, fx: &mut Effects) {
        let step = match () {
            () if !view.is_own(request) => return fx.refuse(request, &unavailable()),
            () if gets(request, payload, "query") => GET,
            () if sets(request, payload, "query") => SET,
            () => return fx.refuse(request, &unavailable()),
        };
        match admit(step, payload, view) {
            Ok(()) => {
                let query = |item| Query::Get(Tree::Account, key(view.account.id, item));
                fx.read(request, step, payload.children().map(query).collect());
            }
            Err(error) => fx.refuse(request, &error),
        }
    }

    fn read_done(
        &mut self,
        step: u32,
        request: Option<&Stanza>,
        rows: Vec<Row>,
        view: View,
        fx: &mut Effects,
    ) {
        let Some((request, payload)) = request.and_then(|it| Some((it, it.payload()?))) else {
            return;
        };
        match step {
            GET => fx.result(request, Some(fetched(&payload, rows))),
            _ => self.store(request, &payload, rows, view, fx),
        }
    }
}

impl Private {
    /// All items of a request or none; `rows` are the ones that they replace.
    fn store(
        &mut self,
        request: &Stanza,
        payload: &Element,
        rows: Vec<Row>,
        view: View,
        fx: &mut Effects,
    ) {
        let account = view.account.id;
        let fresh: BTreeMap<Vec<u8>, Option<Vec<u8>>> = payload
            .children()
            .map(|item| (key(account, item), value(item)))
            .collect();
        let old: u64 = rows.iter().map(|(key, value)| size(key, value)).sum();
        let kept = fresh
            .iter()
            .filter_map(|(key, value)| Some(size(key, value.as_ref()?)));
        let total = self.total.saturating_sub(old) + kept.sum::<u64>();
        if total > self.total && total > view.site.settings.private.total.as_u64() {
            return fx.refuse(request, &StanzaError::new(Condition::ResourceConstraint));
        }
        let Ok(counted) = record::encode(&Total { bytes: total }) else {
            return fx.refuse(request, &StanzaError::new(Condition::InternalServerError));
        };
        for (key, value) in fresh {
            match value {
                Some(value) => fx.put(Tree::Account, key, value),
                None => fx.delete(Tree::Account, key),
            }
        }
        fx.put(Tree::Account, row(account, TOTAL, &[]), counted);
        self.total = total;
        fx.result(request, None);
    }
}

/// §2.3: an element with a namespace of its own, one in a get; and the bounds of a set.
fn admit(step: u32, payload: &Element, view: View) -> Result<(), StanzaError> {
    let not_acceptable = || StanzaError::new(Condition::NotAcceptable);
    let count = payload.children().count();
    if count == 0 || payload.children().any(|item| !has_own_namespace(item)) {
        return Err(not_acceptable());
    }
    if step == GET && count > 1 {
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

/// The item, or what was asked for, empty, if there is none.
fn fetched(payload: &Element, rows: Vec<Row>) -> Element {
    let stored = rows.into_iter().next().and_then(|(_, value)| {
        let item = record::decode::<Item>(&value).ok()?;
        Element::parse(&item.xml, "").ok()
    });
    let asked = payload.children().next();
    let nothing = asked.map(|item| Element::new(item.ns(), item.name()));
    Element::new(ns::PRIVATE, "query").with_children(stored.or(nothing))
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
    use rookery_config::Size;

    use super::*;
    use crate::extensions::scene::{Scene, get, set, verdict};

    fn query(inside: &str) -> Element {
        Element::parse(
            &format!("<query xmlns='jabber:iq:private'>{inside}</query>"),
            "",
        )
        .unwrap()
    }

    fn store(scene: &Scene, role: &mut Private, inside: &str) -> &'static str {
        scene.ask_account(role, &set("alice@a.test/r", "alice@a.test", &query(inside)))
    }

    fn fetch(scene: &Scene, role: &mut Private, inside: &str) -> Stanza {
        scene.answer(role, &get("alice@a.test/r", "alice@a.test", &query(inside)))
    }

    const PREFS: &str = "<exodus xmlns='exodus:prefs'><nick a='&amp;'>Hamlet</nick></exodus>";

    #[test]
    fn what_was_stored_comes_back() {
        let (scene, mut role) = (Scene::new(), Private::default());
        assert_eq!(store(&scene, &mut role, PREFS), "result");
        let back = fetch(&scene, &mut role, "<exodus xmlns='exodus:prefs'/>");
        assert_eq!(back.payload(), Some(query(PREFS)));
        let other = fetch(&scene, &mut role, "<exodus xmlns='other'/>");
        assert_eq!(other.payload(), Some(query("<exodus xmlns='other'/>")));
    }

    #[test]
    fn only_the_owner_and_only_elements_with_a_namespace() {
        let (scene, mut role) = (Scene::new(), Private::default());
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
        let mut role = Private::default();
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
        let mut role = Private::default();
        let item = |name: &str, len| format!("<{name} xmlns='u'>{}</{name}>", "x".repeat(len));
        assert_eq!(store(&scene, &mut role, &item("a", 150)), "result");
        assert_eq!(store(&scene, &mut role, &item("b", 150)), "result");
        let full = role.total;
        assert_eq!(
            store(&scene, &mut role, &item("c", 50)),
            "resource-constraint"
        );
        assert_eq!(role.total, full);
        assert_eq!(store(&scene, &mut role, &item("a", 150)), "result");
        assert_eq!(role.total, full);
        assert_eq!(store(&scene, &mut role, "<a xmlns='u'/>"), "result");
        assert!(role.total < full);
        assert_eq!(store(&scene, &mut role, &item("c", 50)), "result");
        let mut loaded = Private::default();
        for (_, value) in scene.read(&[scene.row(TOTAL, b"")]) {
            loaded.load(TOTAL, b"", &value);
        }
        assert_eq!(loaded.total, role.total);
        assert_eq!(
            store(&scene, &mut role, "<b xmlns='u'/><c xmlns='u'/>"),
            "result"
        );
        assert_eq!(role.total, 0);
    }
}
