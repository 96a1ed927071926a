//! XEP-0202, Entity Time, in the format of XEP-0082.

use rookery_actors::effect::Effects;
use rookery_actors::extension::{DomainRole, Extension, Spec};
use rookery_actors::site::Site;
use rookery_protocol::datetime;
use rookery_protocol::ns;
use rookery_protocol::stanza::Stanza;
use rookery_protocol::xml::Element;

use super::request::{gets, unavailable};

/// The extension.
pub const TIME: Extension = Extension {
    name: "time",
    specs: &[
        Spec {
            xep: 82,
            version: "1.1.1",
            title: "XMPP Date and Time Profiles",
        },
        Spec {
            xep: 202,
            version: "2.0",
            title: "Entity Time",
        },
    ],
    server_features: &[ns::TIME],
    domain_namespaces: &[ns::TIME],
    service_namespaces: &[ns::TIME],
    domain: Some(&Time),
    ..Extension::NONE
};

struct Time;

impl DomainRole for Time {
    /// The offset is always zero: where the machine stands is nobody's business (§6).
    fn iq(&self, request: &Stanza, payload: &Element, _site: &Site, fx: &mut Effects) {
        if !gets(request, payload, "time") {
            return fx.refuse(request, &unavailable());
        }
        let part = |name: &'static str| Element::new(ns::TIME, name);
        let time = part("time")
            .with_child(part("tzo").with_text("+00:00"))
            .with_child(part("utc").with_text(datetime::format_seconds(fx.now)));
        fx.result(request, Some(time));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extensions::scene::{Scene, get};

    #[test]
    fn the_time_is_told_in_utc() {
        let scene = Scene::new();
        let request = get("eve@evil.test/r", "a.test", &Element::new(ns::TIME, "time"));
        let time = scene.answer_of_domain(&Time, &request);
        let told = |name| time.child(ns::TIME, name).map(Element::text);
        assert_eq!(told("tzo").as_deref(), Some("+00:00"));
        assert_eq!(told("utc"), Some("2023-11-14T22:13:20Z".to_owned()));
    }
}
