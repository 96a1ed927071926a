//! XEP-0092, Software Version: the program's name and version. The operating system is the
//! administrator's business and is not told (§5).

use rookery_actors::effect::Effects;
use rookery_actors::extension::{DomainRole, Extension, Spec};
use rookery_actors::site::{NAME, Site, VERSION};
use rookery_protocol::ns;
use rookery_protocol::stanza::Stanza;
use rookery_protocol::xml::Element;

use super::request::{gets, unavailable};

/// The extension.
pub const SOFTWARE: Extension = Extension {
    name: "version",
    specs: &[Spec {
        xep: 92,
        version: "1.1",
        title: "Software Version",
    }],
    server_features: &[ns::VERSION],
    domain_namespaces: &[ns::VERSION],
    service_namespaces: &[ns::VERSION],
    domain: Some(&Software),
    ..Extension::NONE
};

struct Software;

impl DomainRole for Software {
    fn iq(&self, request: &Stanza, payload: &Element, _site: &Site, fx: &mut Effects) {
        if !gets(request, payload, "query") {
            return fx.refuse(request, &unavailable());
        }
        let part = |name: &'static str| Element::new(ns::VERSION, name);
        let query = part("query")
            .with_child(part("name").with_text(NAME))
            .with_child(part("version").with_text(VERSION));
        fx.result(request, Some(query));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extensions::scene::{Scene, get};

    #[test]
    fn name_and_version_are_told_and_no_operating_system() {
        let scene = Scene::new();
        let request = get(
            "eve@evil.test/r",
            "a.test",
            &Element::new(ns::VERSION, "query"),
        );
        let query = scene.answer_of_domain(&Software, &request);
        let told = |name| query.child(ns::VERSION, name).map(Element::text);
        assert_eq!(told("name").as_deref(), Some("Rookery"));
        assert_eq!(told("version").as_deref(), Some(VERSION));
        assert_eq!(told("os"), None);
    }
}
