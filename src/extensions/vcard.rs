//! XEP-0054, vcard-temp: one business card an account, for everybody to read, and the server's.

use rookery_actors::effect::{Effects, Query, Row};
use rookery_actors::extension::{AccountRole, DomainRole, Extension, Spec, View};
use rookery_actors::keys::{AccountId, Kind, row};
use rookery_actors::site::{NAME, Site};
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::ns;
use rookery_protocol::stanza::Stanza;
use rookery_protocol::xml::Element;
use rookery_storage::Tree;
use rookery_storage::record::{self, Record};
use serde::{Deserialize, Serialize};

use super::request::{gets, sets, unavailable};

/// The extension.
pub const VCARD: Extension = Extension {
    name: "vcard",
    specs: &[Spec {
        xep: 54,
        version: "1.3.0",
        title: "vcard-temp",
    }],
    server_features: &[ns::VCARD],
    account_features: &[ns::VCARD],
    domain_namespaces: &[ns::VCARD],
    account_namespaces: &[ns::VCARD],
    kinds: &[CARD],
    account: Some(|_| Box::new(Vcard)),
    domain: Some(&Vcard),
    ..Extension::NONE
};

/// One row an account: its [`Card`].
const CARD: Kind = Kind(0x61);

/// A `<vCard/>`, written so that it stands alone.
#[derive(Serialize, Deserialize)]
struct Card {
    xml: String,
}

impl Record for Card {
    const VERSION: u8 = 1;
}

struct Vcard;

impl AccountRole for Vcard {
    fn iq(&mut self, request: &Stanza, payload: &Element, view: View, fx: &mut Effects) {
        let key = key(view.account.id);
        if gets(request, payload, "vCard") {
            return fx.read(request, 0, vec![Query::Get(Tree::Account, key)]);
        }
        // §3.2 asks for an error for another's card: this one does not tell that there is one.
        if !view.is_own(request) || !sets(request, payload, "vCard") {
            return fx.refuse(request, &unavailable());
        }
        let xml = payload.to_bytes("");
        if xml.len() > view.site.settings.vcard.size.get() {
            return fx.refuse(request, &StanzaError::new(Condition::ResourceConstraint));
        }
        if payload.nodes().is_empty() {
            fx.delete(Tree::Account, key);
            return fx.result(request, None);
        }
        let card = String::from_utf8(xml).ok().map(|xml| Card { xml });
        match card.and_then(|card| record::encode(&card).ok()) {
            Some(value) => {
                fx.put(Tree::Account, key, value);
                fx.result(request, None);
            }
            None => fx.refuse(request, &StanzaError::new(Condition::InternalServerError)),
        }
    }

    /// §3.1 and §3.3: without a card the owner is told so, others hear the same as of an account
    /// that does not exist.
    fn read_done(
        &mut self,
        _step: u32,
        request: Option<&Stanza>,
        rows: Vec<Row>,
        view: View,
        fx: &mut Effects,
    ) {
        let Some(request) = request else { return };
        let card = rows.into_iter().next().and_then(|(_, value)| {
            let card = record::decode::<Card>(&value).ok()?;
            Element::parse(&card.xml, "").ok()
        });
        match card {
            Some(card) => fx.result(request, Some(card)),
            None if view.is_own(request) => {
                fx.refuse(request, &StanzaError::new(Condition::ItemNotFound));
            }
            None => fx.refuse(request, &unavailable()),
        }
    }
}

impl DomainRole for Vcard {
    fn iq(&self, request: &Stanza, payload: &Element, site: &Site, fx: &mut Effects) {
        let domain = request.to.as_ref().map_or("", |to| to.domain());
        match gets(request, payload, "vCard")
            .then(|| of_server(domain, site))
            .flatten()
        {
            Some(card) => fx.result(request, Some(card)),
            None => fx.refuse(request, &unavailable()),
        }
    }
}

/// The server's card: the contact addresses of its settings, if there are any.
fn of_server(domain: &str, site: &Site) -> Option<Element> {
    let contacts = site.settings.contact.fields();
    if contacts.is_empty() {
        return None;
    }
    let part = |name: &'static str, text: &str| Element::new(ns::VCARD, name).with_text(text);
    let mut card = Element::new(ns::VCARD, "vCard")
        .with_child(part("FN", domain))
        .with_child(part("JABBERID", domain))
        .with_child(part("DESC", NAME));
    let mut addresses: Vec<&String> = contacts.into_iter().flat_map(|(_, all)| all).collect();
    addresses.sort_unstable();
    addresses.dedup();
    for address in addresses {
        card.push(match address.strip_prefix("mailto:") {
            Some(mail) => Element::new(ns::VCARD, "EMAIL")
                .with_child(Element::new(ns::VCARD, "INTERNET"))
                .with_child(part("USERID", mail)),
            None => part("URL", address),
        });
    }
    Some(card)
}

fn key(account: AccountId) -> Vec<u8> {
    row(account, CARD, &[])
}

#[cfg(test)]
mod tests {
    use rookery_config::Size;

    use super::*;
    use crate::extensions::scene::{Scene, get, set, verdict};

    fn card(inside: &str) -> Element {
        Element::parse(&format!("<vCard xmlns='vcard-temp'>{inside}</vCard>"), "").unwrap()
    }

    fn store(scene: &Scene, inside: &str) -> &'static str {
        scene.ask_account(
            &mut Vcard,
            &set("alice@a.test/r", "alice@a.test", &card(inside)),
        )
    }

    fn fetch(scene: &Scene, from: &str) -> Stanza {
        scene.answer(&mut Vcard, &get(from, "alice@a.test", &card("")))
    }

    #[test]
    fn everybody_sees_the_card_that_was_set_last() {
        let scene = Scene::new();
        assert_eq!(store(&scene, "<FN>Alice</FN><FOO/>"), "result");
        assert_eq!(store(&scene, "<FN>Alice Liddell</FN>"), "result");
        for from in ["alice@a.test/r", "eve@evil.test/r"] {
            assert_eq!(
                fetch(&scene, from).payload(),
                Some(card("<FN>Alice Liddell</FN>"))
            );
        }
    }

    #[test]
    fn no_card_looks_to_others_like_no_account() {
        let scene = Scene::new();
        assert_eq!(verdict(&fetch(&scene, "alice@a.test/r")), "item-not-found");
        assert_eq!(
            verdict(&fetch(&scene, "eve@evil.test/r")),
            "service-unavailable"
        );
        store(&scene, "<FN>Alice</FN>");
        assert_eq!(store(&scene, ""), "result");
        assert_eq!(
            verdict(&fetch(&scene, "eve@evil.test/r")),
            "service-unavailable"
        );
    }

    #[test]
    fn nobody_sets_the_card_of_another() {
        let scene = Scene::new();
        let theirs = set("bob@b.test/r", "alice@a.test", &card("<FN>Malice</FN>"));
        assert_eq!(
            scene.ask_account(&mut Vcard, &theirs),
            "service-unavailable"
        );
        let servers = set("alice@a.test/r", "a.test", &card("<FN>Mine</FN>"));
        assert_eq!(scene.ask_domain(&Vcard, &servers), "service-unavailable");
    }

    #[test]
    fn a_card_has_a_bound() {
        let scene = Scene::with(|settings| settings.vcard.size = Size::bytes(200));
        let room = 200 - card("<FN></FN>").to_bytes("").len() - "</FN>".len() + "/".len();
        let named = |len: usize| format!("<FN>{}</FN>", "x".repeat(len));
        let exact = (1..=room)
            .rev()
            .find(|len| card(&named(*len)).to_bytes("").len() == 200);
        let exact = exact.unwrap();
        assert_eq!(store(&scene, &named(exact)), "result");
        assert_eq!(store(&scene, &named(exact + 1)), "resource-constraint");
    }

    #[test]
    fn the_server_has_a_card_if_it_has_contacts() {
        let request = get("eve@evil.test/r", "a.test", &card(""));
        assert_eq!(
            Scene::new().ask_domain(&Vcard, &request),
            "service-unavailable"
        );
        let scene = Scene::with(|settings| {
            settings.contact.admin = vec!["mailto:root@a.test".into()];
            settings.contact.abuse = vec!["mailto:root@a.test".into(), "xmpp:a@a.test".into()];
        });
        let card = scene.answer_of_domain(&Vcard, &request);
        let mails = card.children().filter(|part| part.name() == "EMAIL");
        assert_eq!(mails.count(), 1);
        assert_eq!(
            card.child(ns::VCARD, "URL").unwrap().text(),
            "xmpp:a@a.test"
        );
    }
}
