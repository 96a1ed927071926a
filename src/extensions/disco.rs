//! XEP-0030, Service Discovery, of the server and of accounts. What it tells is generated from the
//! list of extensions; what it hides, it hides alike for accounts that exist and that do not.

pub mod caps;

use std::collections::BTreeSet;

use rookery_actors::effect::Effects;
use rookery_actors::extension::{AccountRole, DomainRole, Extension, Spec, StreamRole, View};
use rookery_actors::service::Host;
use rookery_actors::site::{NAME, Site};
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::forms::{Field, FieldType, Form};
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::Stanza;
use rookery_protocol::xml::Element;

use super::request::{gets, unavailable};

/// The extension.
pub const DISCO: Extension = Extension {
    name: "disco",
    specs: &[
        Spec {
            xep: 30,
            version: "2.5.0",
            title: "Service Discovery",
        },
        Spec {
            xep: 115,
            version: "1.6.0",
            title: "Entity Capabilities",
        },
        Spec {
            xep: 128,
            version: "1.0.1",
            title: "Service Discovery Extensions",
        },
        Spec {
            xep: 157,
            version: "1.1.1",
            title: "Contact Addresses for XMPP Services",
        },
    ],
    server_features: &[ns::DISCO_INFO, ns::DISCO_ITEMS, ns::CAPS],
    account_features: &[ns::DISCO_INFO, ns::DISCO_ITEMS],
    domain_namespaces: &[ns::DISCO_INFO, ns::DISCO_ITEMS],
    account_namespaces: &[ns::DISCO_INFO, ns::DISCO_ITEMS],
    account: Some(|_| Box::new(Disco)),
    absent: Some(to_stranger),
    domain: Some(&Disco),
    stream: Some(&Disco),
    ..Extension::NONE
};

/// disco#info of a domain of the server, without node: what its capabilities are computed from.
pub fn server_info(domain: &str, site: &Site) -> Element {
    let features = features(site, |extension| extension.server_features);
    let identities = identities(site, |extension| extension.server_identities);
    let forms = roles(site).flat_map(|role| role.info(domain, site));
    info()
        .with_child(identity("server", "im", NAME))
        .with_children(identities)
        .with_children(features)
        .with_children(forms)
}

/// disco#info of a service of the server, without node.
pub fn service_info(host: &Host, site: &Site) -> Option<Element> {
    let service = host.service(site)?;
    let own = service.features.iter().copied();
    let everywhere = site.extensions.iter().flat_map(|it| it.service_namespaces);
    let shared = [ns::DISCO_INFO, ns::DISCO_ITEMS].into_iter();
    let all: BTreeSet<&str> = own.chain(everywhere.copied()).chain(shared).collect();
    let (category, kind, name) = service.identity;
    let info = info().with_child(identity(category, kind, name));
    Some(info.with_children(all.into_iter().map(feature)))
}

/// An `<identity/>`; `name` may be empty.
pub fn identity(category: &str, kind: &str, name: &str) -> Element {
    let mut identity = Element::new(ns::DISCO_INFO, "identity");
    identity.set_attr("category", category);
    identity.set_attr("type", kind);
    if !name.is_empty() {
        identity.set_attr("name", name);
    }
    identity
}

/// A `<feature/>`.
pub fn feature(var: &str) -> Element {
    Element::new(ns::DISCO_INFO, "feature").with_attr("var", var)
}

/// An `<item/>` of disco#items; `node` and `name` may be empty.
pub fn item(jid: &str, node: &str, name: &str) -> Element {
    let mut item = Element::new(ns::DISCO_ITEMS, "item").with_attr("jid", jid);
    for (attribute, value) in [("node", node), ("name", name)] {
        if !value.is_empty() {
            item.set_attr(attribute, value);
        }
    }
    item
}

struct Disco;

impl DomainRole for Disco {
    fn iq(&self, request: &Stanza, payload: &Element, site: &Site, fx: &mut Effects) {
        let (Some(to), Some(from)) = (&request.to, &request.from) else {
            return fx.refuse(request, &unavailable());
        };
        let (domain, asker) = (to.domain(), from.bare());
        let answer = match (gets(request, payload, "query"), payload.attr("node")) {
            (false, _) => Err(unavailable()),
            (true, None) if payload.ns() == ns::DISCO_INFO => Ok(server_info(domain, site)),
            (true, None) => {
                let all = roles(site).flat_map(|role| role.items(domain, None, &asker, site));
                Ok(items()
                    .with_children(services(domain, site))
                    .with_children(components(domain, site))
                    .with_children(all))
            }
            (true, Some(node))
                if payload.ns() == ns::DISCO_INFO && caps::names(node, domain, site) =>
            {
                Ok(server_info(domain, site))
            }
            (true, Some(node)) => of_node(payload.ns(), domain, node, &asker, site),
        };
        tell(answer, request, payload, fx);
    }

    /// XEP-0157 §3: the form of contact addresses, if any are set.
    fn info(&self, _domain: &str, site: &Site) -> Vec<Element> {
        let contacts = site.settings.contact.fields();
        if contacts.is_empty() {
            return Vec::new();
        }
        let form = contacts
            .into_iter()
            .fold(Form::result(ns::SERVER_INFO), |form, (var, all)| {
                form.with_field(Field::new(FieldType::ListMulti, var).with_values(all))
            });
        vec![form.to_element()]
    }
}

impl AccountRole for Disco {
    fn iq(&mut self, request: &Stanza, payload: &Element, view: View, fx: &mut Effects) {
        let Some(asker) = request.from.as_ref().map(Jid::bare) else {
            return fx.refuse(request, &unavailable());
        };
        let own = view.is_own(request);
        let known = own || view.account.shares_presence_with(&asker);
        if !known || !gets(request, payload, "query") {
            return to_stranger(request, payload, fx);
        }
        let answer = match payload.attr("node") {
            None if payload.ns() == ns::DISCO_INFO => Ok(account_info(view.site)),
            None => Ok(resources(view).with_children(view.items(&asker))),
            Some(node) if own => of_node(
                payload.ns(),
                view.account.jid.as_str(),
                node,
                &asker,
                view.site,
            ),
            Some(_) => Err(StanzaError::new(Condition::ItemNotFound)),
        };
        tell(answer, request, payload, fx);
    }
}

impl StreamRole for Disco {
    /// XEP-0115 §6.3. Not before login: who has no account needs no list of what we can do.
    fn features_after_login(&self, domain: &str, site: &Site) -> Vec<Element> {
        vec![caps::element(domain, site)]
    }
}

/// The services of a domain (§3.2).
fn services(domain: &str, site: &Site) -> impl Iterator<Item = Element> {
    let hosts = site.hosts.iter().filter(move |host| host.domain == domain);
    hosts.filter_map(|host| {
        let (_, _, name) = host.service(site)?.identity;
        Some(item(&host.name, "", name))
    })
}

/// The external components of a domain, connected or not.
fn components(domain: &str, site: &Site) -> Vec<Element> {
    let all = site.components.all();
    let own = all.iter().filter(|it| site.home_of(&it.name) == domain);
    own.map(|it| item(&it.name, "", "")).collect()
}

/// §8: who may not see an account's presence hears that it has no items, and nothing else, as from
/// an account that does not exist.
fn to_stranger(request: &Stanza, payload: &Element, fx: &mut Effects) {
    let asks = gets(request, payload, "query") && payload.ns() == ns::DISCO_ITEMS;
    let answer = if asks {
        Ok(items())
    } else {
        Err(unavailable())
    };
    tell(answer, request, payload, fx);
}

fn account_info(site: &Site) -> Element {
    let features = features(site, |extension| extension.account_features);
    let identities = identities(site, |extension| extension.account_identities);
    info()
        .with_child(identity("account", "registered", ""))
        .with_children(identities)
        .with_children(features)
}

/// §8: for those who may see its presence, the items of an account are its available resources,
/// and what extensions list.
fn resources(view: View) -> Element {
    let available = view.devices.available();
    items().with_children(available.map(|device| item(device.jid.as_str(), "", "")))
}

/// A node belongs to the first extension that knows it.
fn of_node(
    namespace: &str,
    host: &str,
    node: &str,
    asker: &Jid,
    site: &Site,
) -> Result<Element, StanzaError> {
    let known = roles(site)
        .find_map(|role| role.node(host, node, asker, site))
        .transpose()?;
    if namespace == ns::DISCO_INFO {
        let about = known.ok_or(StanzaError::new(Condition::ItemNotFound))?;
        return Ok(info().with_children(about));
    }
    let found: Vec<Element> = roles(site)
        .flat_map(|role| role.items(host, Some(node), asker, site))
        .collect();
    match known.is_none() && found.is_empty() {
        true => Err(StanzaError::new(Condition::ItemNotFound)),
        false => Ok(items().with_children(found)),
    }
}

/// §3.2: the answer mirrors the node that was asked for.
fn tell(
    answer: Result<Element, StanzaError>,
    request: &Stanza,
    payload: &Element,
    fx: &mut Effects,
) {
    match answer {
        Ok(mut query) => {
            if let Some(node) = payload.attr("node") {
                query.set_attr("node", node);
            }
            fx.result(request, Some(query));
        }
        Err(error) => fx.refuse(request, &error),
    }
}

fn identities(
    site: &Site,
    of: fn(&Extension) -> &'static [(&'static str, &'static str)],
) -> impl Iterator<Item = Element> {
    let all = site.extensions.iter().flat_map(move |it| of(it));
    all.map(|(category, kind)| identity(category, kind, ""))
}

/// Each feature once, whichever extensions name it.
fn features(
    site: &Site,
    of: impl Fn(&Extension) -> &'static [&'static str],
) -> impl Iterator<Item = Element> {
    let all: BTreeSet<&str> = site
        .extensions
        .iter()
        .flat_map(|it| of(it))
        .copied()
        .collect();
    all.into_iter().map(feature)
}

fn roles(site: &Site) -> impl Iterator<Item = &'static dyn DomainRole> {
    site.extensions
        .iter()
        .filter_map(|extension| extension.domain)
}

fn info() -> Element {
    Element::new(ns::DISCO_INFO, "query")
}

fn items() -> Element {
    Element::new(ns::DISCO_ITEMS, "query")
}

#[cfg(test)]
mod tests;
