//! XEP-0199, XMPP Ping: says that the server, or one's own account, is there.

use rookery_actors::effect::Effects;
use rookery_actors::extension::{AccountRole, DomainRole, Extension, Spec, View};
use rookery_actors::site::Site;
use rookery_protocol::ns;
use rookery_protocol::stanza::Stanza;
use rookery_protocol::xml::Element;

use super::request::{gets, unavailable};

/// The extension.
pub const PING: Extension = Extension {
    name: "ping",
    specs: &[Spec {
        xep: 199,
        version: "2.0.1",
        title: "XMPP Ping",
    }],
    server_features: &[ns::PING],
    account_features: &[ns::PING],
    domain_namespaces: &[ns::PING],
    service_namespaces: &[ns::PING],
    account_namespaces: &[ns::PING],
    account: Some(|_| Box::new(Ping)),
    domain: Some(&Ping),
    ..Extension::NONE
};

struct Ping;

impl DomainRole for Ping {
    fn iq(&self, request: &Stanza, payload: &Element, _site: &Site, fx: &mut Effects) {
        pong(gets(request, payload, "ping"), request, fx);
    }
}

impl AccountRole for Ping {
    /// §4.2: without `to` a client pings its own bare JID. Nobody else learns whether it exists.
    fn iq(&mut self, request: &Stanza, payload: &Element, view: View, fx: &mut Effects) {
        pong(
            view.is_own(request) && gets(request, payload, "ping"),
            request,
            fx,
        );
    }
}

fn pong(answered: bool, request: &Stanza, fx: &mut Effects) {
    match answered {
        true => fx.result(request, None),
        false => fx.refuse(request, &unavailable()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extensions::scene::{Scene, get, set};

    #[test]
    fn the_server_and_the_own_account_answer_nobody_else_does() {
        let scene = Scene::new();
        let ping = Element::new(ns::PING, "ping");
        let own = get("alice@a.test/r", "alice@a.test", &ping);
        assert_eq!(scene.ask_account(&mut Ping, &own), "result");
        let server = get("eve@evil.test/r", "a.test", &ping);
        assert_eq!(scene.ask_domain(&Ping, &server), "result");
        let stranger = get("eve@evil.test/r", "alice@a.test", &ping);
        assert_eq!(
            scene.ask_account(&mut Ping, &stranger),
            "service-unavailable"
        );
    }

    #[test]
    fn a_ping_is_a_get_of_a_ping() {
        let scene = Scene::new();
        let as_set = set("alice@a.test/r", "a.test", &Element::new(ns::PING, "ping"));
        assert_eq!(scene.ask_domain(&Ping, &as_set), "service-unavailable");
        let other = get("alice@a.test/r", "a.test", &Element::new(ns::PING, "pong"));
        assert_eq!(scene.ask_domain(&Ping, &other), "service-unavailable");
    }
}
