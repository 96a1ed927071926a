//! XEP-0012, Last Activity: how long the server is up, and how long an account has been away.

use rookery_actors::effect::Effects;
use rookery_actors::extension::{AccountRole, DomainRole, Extension, Spec, View};
use rookery_actors::site::Site;
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::Stanza;
use rookery_protocol::xml::Element;

use super::request::{gets, unavailable};

/// The extension.
pub const LAST: Extension = Extension {
    name: "last",
    specs: &[Spec {
        xep: 12,
        version: "2.0",
        title: "Last Activity",
    }],
    server_features: &[ns::LAST],
    account_features: &[ns::LAST],
    domain_namespaces: &[ns::LAST],
    account_namespaces: &[ns::LAST],
    account: Some(|_| Box::new(Last)),
    domain: Some(&Uptime),
    ..Extension::NONE
};

struct Uptime;

impl DomainRole for Uptime {
    fn iq(&self, request: &Stanza, payload: &Element, site: &Site, fx: &mut Effects) {
        match gets(request, payload, "query") {
            true => fx.result(request, Some(query(site.uptime()))),
            false => fx.refuse(request, &unavailable()),
        }
    }
}

struct Last;

impl AccountRole for Last {
    /// §3: only for those who may see the account's presence. The others get what an account that
    /// does not exist answers; §3's `forbidden` would tell that it does.
    fn iq(&mut self, request: &Stanza, payload: &Element, view: View, fx: &mut Effects) {
        let own = view.is_own(request);
        let contact = |from: &Jid| view.account.shares_presence_with(from);
        let known = own || request.from.as_ref().is_some_and(contact);
        if !known || !gets(request, payload, "query") {
            return fx.refuse(request, &unavailable());
        }
        // Contacts do not learn of a device that has not sent them presence.
        let connected = own && !view.devices.is_empty();
        if connected || view.devices.available().next().is_some() {
            return fx.result(request, Some(query(0)));
        }
        match view.account.last() {
            Some(last) => {
                let seconds = fx.now.saturating_sub(last.stamp) / 1000;
                let presence = Stanza::parse_stored(last.presence.clone()).ok();
                let status = presence.and_then(|it| it.child(ns::CLIENT, "status"));
                let text = status.map(|status| status.text()).unwrap_or_default();
                fx.result(request, Some(query(seconds).with_text(text)));
            }
            None => fx.refuse(request, &unavailable()),
        }
    }
}

fn query(seconds: u64) -> Element {
    Element::new(ns::LAST, "query").with_attr("seconds", seconds.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extensions::scene::{NOW, Scene, get, verdict};

    fn ask(scene: &Scene, from: &str) -> Stanza {
        scene.answer(
            &mut Last,
            &get(from, "alice@a.test", &Element::new(ns::LAST, "query")),
        )
    }

    fn told(answer: &Stanza) -> (Option<String>, String) {
        let query = answer.payload().unwrap();
        (query.attr("seconds").map(str::to_owned), query.text())
    }

    #[test]
    fn contacts_learn_when_and_why_she_left_strangers_nothing() {
        let mut scene = Scene::new();
        let stranger = |scene: &Scene| ask(scene, "eve@evil.test/r").to_bytes();
        let nobody = stranger(&scene);
        scene.leave(NOW - 903_000, "Heading Home");
        let expected = (Some("903".to_owned()), "Heading Home".to_owned());
        assert_eq!(told(&ask(&scene, "bob@b.test/r")), expected);
        assert_eq!(told(&ask(&scene, "alice@a.test/r")), expected);
        assert_eq!(
            verdict(&ask(&scene, "eve@evil.test/r")),
            "service-unavailable"
        );
        assert_eq!(stranger(&scene), nobody);
    }

    #[test]
    fn who_is_there_has_been_away_for_no_time() {
        let mut scene = Scene::new();
        scene.leave(NOW - 5_000, "gone");
        scene.enter("r");
        assert_eq!(
            told(&ask(&scene, "bob@b.test/r")),
            (Some("0".to_owned()), String::new())
        );
    }

    /// A device that is connected and not available is nobody's business but the owner's.
    #[test]
    fn who_is_hidden_stays_hidden() {
        let mut scene = Scene::new();
        scene.leave(NOW - 5_000, "gone");
        let hidden = scene.enter("r");
        scene.devices.get_mut(hidden).unwrap().presence = None;
        assert_eq!(told(&ask(&scene, "bob@b.test/r")).0.as_deref(), Some("5"));
        assert_eq!(told(&ask(&scene, "alice@a.test/r")).0.as_deref(), Some("0"));
    }

    #[test]
    fn the_server_tells_its_uptime() {
        let scene = Scene::new();
        let request = get(
            "eve@evil.test/r",
            "a.test",
            &Element::new(ns::LAST, "query"),
        );
        let query = scene.answer_of_domain(&Uptime, &request);
        assert!(query.attr("seconds").unwrap().parse::<u64>().unwrap() < 60);
        assert_eq!(query.text(), "");
    }
}
