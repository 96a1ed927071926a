//! XEP-0054, vcard-temp: one business card an account, for everybody to read, and the server's.
//!
//! A picture in it is an avatar (XEP-0398): it is kept as one, and put into the card for those who
//! may see it.

use rookery_actors::effect::{Effects, Query};
use rookery_actors::extension::DomainRole;
use rookery_actors::keys::{AccountId, Kind, row};
use rookery_actors::site::{NAME, Site};
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::ns;
use rookery_protocol::stanza::Stanza;
use rookery_protocol::xml::Element;
use rookery_storage::Tree;
use rookery_storage::record::{self, Record};
use serde::{Deserialize, Serialize};

use super::avatar::{self, Picture};
use super::{Ask, Pep, Waiting, vcard4};
use crate::extensions::pubsub::access::may_read;
use crate::extensions::pubsub::shelf::{self, Found};
use crate::extensions::request::{gets, sets, unavailable};

/// One row an account: its [`Card`].
pub const CARD: Kind = Kind(0x61);

/// The newest items of the avatar's node that are looked at for a picture.
const PICTURES: usize = 4;
/// The id of the one item with the card's new form.
const CURRENT: &str = "current";

/// A `<vCard/>`, written so that it stands alone.
#[derive(Serialize, Deserialize)]
struct Card {
    xml: String,
}

impl Record for Card {
    const VERSION: u8 = 1;
}

/// What a client set: the card without its picture, and the picture.
pub struct Submitted {
    card: Element,
    picture: Option<Picture>,
}

impl Pep {
    /// A get or set of the account's card.
    pub(super) fn card(
        &mut self,
        payload: &Element,
        ask: &Ask,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let account = ask.view.account.id;
        if gets(ask.request, payload, "vCard") {
            let mut queries = vec![query(account)];
            queries.extend(self.picture_query(ask));
            self.wait_own(Waiting::Card, Some(ask.request), queries, fx);
            return Ok(());
        }
        // §3.2 asks for an error for another's card: this one does not tell that there is one.
        if !ask.view.is_own(ask.request) || !sets(ask.request, payload, "vCard") {
            return Err(unavailable());
        }
        if payload.to_bytes("").len() > ask.view.site.settings.vcard.size.get() {
            return Err(StanzaError::new(Condition::ResourceConstraint));
        }
        let mut card = payload.clone();
        let picture = card.child(ns::VCARD, "PHOTO").and_then(Picture::of_photo);
        if picture.is_some() {
            card.retain_children(|child| !child.is(ns::VCARD, "PHOTO"));
        }
        let mut queries = self.picture_room(picture.as_ref(), ask.view);
        if let Some(node) = self.nodes.get(vcard4::NODE) {
            queries.push(shelf::newest(account, node.number, 1));
            queries.extend(self.room_queries(vcard4::NODE, CURRENT, ask.view));
        }
        let submitted = Submitted { card, picture };
        if queries.is_empty() {
            return self.card_set(submitted, &Found::default(), ask, fx);
        }
        self.wait_own(Waiting::CardSet(submitted), Some(ask.request), queries, fx);
        Ok(())
    }

    /// What the picture takes the place of is there.
    pub(super) fn card_set(
        &mut self,
        submitted: Submitted,
        found: &Found,
        ask: &Ask,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let Submitted { card, picture } = submitted;
        let view = ask.view;
        self.take_picture(picture, found, view, fx)?;
        let number = self.nodes.get(vcard4::NODE).map(|node| node.number);
        let known = number.and_then(|number| found.of_node(number).next_back()?.1.payload());
        let renewed = vcard4::renewed(&card, known.as_ref());
        let is_news = known.as_ref() != Some(&renewed);
        // A copy for clients of today, where there is room for one more node.
        let has_room = number.is_some() || self.has_room_for_node(view);
        if is_news && has_room && (known.is_some() || !renewed.nodes().is_empty()) {
            self.place(vcard4::NODE, CURRENT, &renewed, found, view, fx)?;
        }
        save(view.account.id, &card, fx);
        fx.result(ask.request, None);
        Ok(())
    }

    /// A card in the new form was published: the old one says the same from now on.
    pub(super) fn follow_vcard4(
        &self,
        fresh: &Element,
        found: &Found,
        account: AccountId,
        fx: &mut Effects,
    ) {
        let known = found.others.first().and_then(|(_, value)| load(value));
        save(account, &vcard4::aged(fresh, known.as_ref()), fx);
    }

    /// §3.1 and §3.3: without a card the owner gets an empty one, others hear the same as of an
    /// account that does not exist.
    pub(super) fn card_got(
        &self,
        found: &Found,
        ask: &Ask,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let card = found.others.first().and_then(|(_, value)| load(value));
        let photo = self.photo(found);
        let card = match (card, photo) {
            (Some(mut card), Some(photo)) => {
                card.retain_children(|child| !child.is(ns::VCARD, "PHOTO"));
                card.with_child(photo)
            }
            (Some(card), None) => card,
            (None, Some(photo)) => Element::new(ns::VCARD, "vCard").with_child(photo),
            (None, None) if ask.view.is_own(ask.request) => Element::new(ns::VCARD, "vCard"),
            (None, None) => return Err(unavailable()),
        };
        fx.result(ask.request, Some(card));
        Ok(())
    }

    /// Asks for the picture, if there is one that the asker may see (XEP-0398 §7).
    fn picture_query(&self, ask: &Ask) -> Option<Query> {
        self.face.avatar.as_ref()?;
        let node = self.nodes.get(ns::AVATAR_DATA)?;
        may_read(node, ask.from, &ask.standing).ok()?;
        Some(shelf::newest(ask.view.account.id, node.number, PICTURES))
    }

    fn photo(&self, found: &Found) -> Option<Element> {
        let avatar = self.face.avatar.as_ref()?;
        let node = self.nodes.get(ns::AVATAR_DATA)?;
        let mut items = found.of_node(node.number);
        let (_, item) = items.find(|(_, item)| item.id == avatar.id)?;
        Some(avatar::photo(&avatar.kind, &item.payload()?.text()))
    }
}

/// The server's card, asked for at its domain.
pub struct ServerCard;

impl DomainRole for ServerCard {
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

/// Asks for the card.
pub fn query(account: AccountId) -> Query {
    Query::Get(Tree::Account, key(account))
}

fn load(value: &[u8]) -> Option<Element> {
    let card = record::decode::<Card>(value).ok()?;
    Element::parse(&card.xml, "").ok()
}

/// Keeps a card as it was set: an empty one is a card too, and clients set it to read it again.
fn save(account: AccountId, card: &Element, fx: &mut Effects) {
    let xml = String::from_utf8(card.to_bytes("")).ok();
    match xml.and_then(|xml| record::encode(&Card { xml }).ok()) {
        Some(value) => fx.put(Tree::Account, key(account), value),
        None => fx.delete(Tree::Account, key(account)),
    }
}

fn key(account: AccountId) -> Vec<u8> {
    row(account, CARD, &[])
}

#[cfg(test)]
mod tests {
    use rookery_config::Size;

    use super::*;
    use crate::extensions::pep::Account;
    use crate::extensions::scene::{Scene, get, set, verdict};

    fn card(inside: &str) -> Element {
        Element::parse(&format!("<vCard xmlns='vcard-temp'>{inside}</vCard>"), "").unwrap()
    }

    /// A scene without room for nodes: what is set is kept as it is, and nowhere else.
    fn scene() -> Scene {
        Scene::with(|settings| settings.pubsub.nodes = 0)
    }

    fn store(scene: &Scene, inside: &str) -> &'static str {
        scene.ask_account(
            &mut Pep::new(Account::new(scene.site.shared())),
            &set("alice@a.test/r", "alice@a.test", &card(inside)),
        )
    }

    fn fetch(scene: &Scene, from: &str) -> Stanza {
        scene.answer(
            &mut Pep::new(Account::new(scene.site.shared())),
            &get(from, "alice@a.test", &card("")),
        )
    }

    #[test]
    fn everybody_sees_the_card_that_was_set_last() {
        let scene = scene();
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
        let scene = scene();
        assert_eq!(fetch(&scene, "alice@a.test/r").payload(), Some(card("")));
        assert_eq!(
            verdict(&fetch(&scene, "eve@evil.test/r")),
            "service-unavailable"
        );
    }

    #[test]
    fn an_emptied_card_is_an_empty_card() {
        let scene = scene();
        store(&scene, "<FN>Alice</FN>");
        assert_eq!(store(&scene, ""), "result");
        assert_eq!(fetch(&scene, "eve@evil.test/r").payload(), Some(card("")));
    }

    #[test]
    fn nobody_sets_the_card_of_another() {
        let scene = scene();
        let theirs = set("bob@b.test/r", "alice@a.test", &card("<FN>Malice</FN>"));
        assert_eq!(
            scene.ask_account(&mut Pep::new(Account::new(scene.site.shared())), &theirs),
            "service-unavailable"
        );
        let servers = set("alice@a.test/r", "a.test", &card("<FN>Mine</FN>"));
        assert_eq!(
            scene.ask_domain(&ServerCard, &servers),
            "service-unavailable"
        );
    }

    #[test]
    fn a_card_has_a_bound() {
        let scene = Scene::with(|settings| {
            settings.vcard.size = Size::bytes(200);
            settings.pubsub.nodes = 0;
        });
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
            Scene::new().ask_domain(&ServerCard, &request),
            "service-unavailable"
        );
        let scene = Scene::with(|settings| {
            settings.contact.admin = vec!["mailto:root@a.test".into()];
            settings.contact.abuse = vec!["mailto:root@a.test".into(), "xmpp:a@a.test".into()];
        });
        let card = scene.answer_of_domain(&ServerCard, &request);
        let mails = card.children().filter(|part| part.name() == "EMAIL");
        assert_eq!(mails.count(), 1);
        assert_eq!(
            card.child(ns::VCARD, "URL").unwrap().text(),
            "xmpp:a@a.test"
        );
    }
}
