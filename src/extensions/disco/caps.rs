//! XEP-0115, Entity Capabilities of the server: one string that stands for its disco#info.

use rookery_actors::site::Site;
use rookery_protocol::ns;
use rookery_protocol::xml::Element;

use super::server_info;
use crate::capabilities::verification;

/// Names the program (§4).
pub const NODE: &str = "urn:rookery:server";

/// The `<c/>` of a domain, for the stream features (§6.3).
pub fn element(domain: &str, site: &Site) -> Element {
    Element::new(ns::CAPS, "c")
        .with_attr("hash", "sha-1")
        .with_attr("node", NODE)
        .with_attr("ver", verification(&server_info(domain, site)))
}

/// Whether `node` is what the domain's `<c/>` stands for: `NODE#ver`.
pub fn names(node: &str, domain: &str, site: &Site) -> bool {
    let ver = node
        .strip_prefix(NODE)
        .and_then(|rest| rest.strip_prefix('#'));
    ver.is_some_and(|ver| ver == verification(&server_info(domain, site)))
}
