//! XEP-0355, Namespace Delegation, in admin mode: IQs to the accounts of a component's domain, and
//! to the domain itself, that a component answers in our place.

use std::collections::HashMap;

use parking_lot::Mutex;
use rookery_actors::effect::{Effects, Millis};
use rookery_actors::site::{Site, random_id};
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::{IqType, Kind, MessageType, Stanza};
use rookery_protocol::xml::Element;
use smol_str::SmolStr;

use super::Grants;

/// The namespace.
pub const NS: &str = "urn:xmpp:delegation:2";
/// IQs that components are asked about at a time, all together.
const MOST: usize = 1_024;
/// After this an IQ that no component has answered makes room, in milliseconds.
const PATIENCE: Millis = 120_000;

/// The IQs that components are asked about.
#[derive(Default)]
pub struct Waiting(Mutex<HashMap<SmolStr, Asked>>);

struct Asked {
    component: Jid,
    request: Stanza,
    since: Millis,
}

/// What a component is told when it has connected (§4.2); none where nothing is delegated to it.
pub fn advertisement(grants: &Grants, from: &Jid, to: &Jid) -> Option<Stanza> {
    let delegated = grants.delegated.iter();
    let delegated = delegated.map(|it| Element::new(NS, "delegated").with_attr("namespace", it));
    let delegation = Element::new(NS, "delegation").with_children(delegated);
    let message = Stanza::message(MessageType::Normal).with_id(random_id());
    let message = message.with_from(from.clone()).with_to(to.clone());
    (!grants.delegated.is_empty()).then(|| message.with_child(&delegation))
}

/// Sends a get or set to the component that answers its namespace for the accounts of `domain`
/// (§4.3); `false`: there is none, or it asks itself (§4.3.1).
pub fn divert(request: &Stanza, domain: &str, site: &Site, fx: &mut Effects) -> bool {
    let Some(head) = request.payload_head() else {
        return false;
    };
    let Some(component) = delegate(&head.ns, domain, site) else {
        return false;
    };
    if request.from.as_ref() == Some(&component) {
        return false;
    }
    let Ok(from) = Jid::parse(domain) else {
        return false;
    };
    let waiting = site.shared::<Waiting>();
    let mut waiting = waiting.0.lock();
    let late: Vec<SmolStr> = waiting
        .iter()
        .filter(|(_, asked)| asked.since + PATIENCE <= fx.now)
        .map(|(id, _)| id.clone())
        .collect();
    for asked in late.iter().filter_map(|id| waiting.remove(id)) {
        unavailable(&asked.request, fx);
    }
    if waiting.len() >= MOST {
        fx.refuse(request, &StanzaError::new(Condition::ResourceConstraint));
        return true;
    }
    let forwarded = Element::new(ns::FORWARD, "forwarded").with_child(request.to_element());
    let delegation = Element::new(NS, "delegation").with_child(forwarded);
    let id = random_id();
    let asked = Asked {
        component: component.clone(),
        request: request.clone(),
        since: fx.now,
    };
    waiting.insert(id.clone(), asked);
    let ask = Stanza::iq(IqType::Set, id)
        .with_from(from)
        .with_to(component);
    fx.route(ask.with_child(&delegation));
    true
}

/// A result or error came to a domain: perhaps a component's answer, which goes to who asked.
/// Anything but a result that is just the answer to his request is `service-unavailable`.
pub fn answered(answer: &Stanza, site: &Site, fx: &mut Effects) {
    let waiting = site.shared::<Waiting>();
    let mut waiting = waiting.0.lock();
    let Some(id) = &answer.id else { return };
    let is_its = |asked: &&Asked| answer.from.as_ref() == Some(&asked.component);
    if waiting.get(id).filter(is_its).is_none() {
        return;
    }
    let Some(Asked { request, .. }) = waiting.remove(id) else {
        return;
    };
    match unwrapped(answer, &request) {
        Some(payload) => fx.route(request.result_reply(payload)),
        None => unavailable(&request, fx),
    }
}

/// The component that answers a namespace for the accounts of `domain`.
fn delegate(namespace: &str, domain: &str, site: &Site) -> Option<Jid> {
    let all = site.components.all();
    let mut with_rights = all.iter().filter(|it| !it.rights.is_empty());
    let found = with_rights.find(|component| {
        let grants = super::granted(component, domain, site);
        grants.is_some_and(|it| it.delegated.iter().any(|it| it == namespace))
    });
    Jid::parse(&found?.name).ok()
}

/// The payload of the one result in an answer, if it is the answer to `request`.
fn unwrapped(answer: &Stanza, request: &Stanza) -> Option<Option<Element>> {
    if answer.kind != Kind::Iq(IqType::Result) {
        return None;
    }
    let delegation = answer.child(NS, "delegation")?;
    let inner = delegation.child(ns::FORWARD, "forwarded")?;
    let inner = inner.child(ns::CLIENT, "iq")?;
    let same = |name: &str, wanted: &Option<Jid>| {
        let given = inner.attr(name).map(|text| Jid::parse(text).ok());
        given.is_none_or(|given| given == *wanted)
    };
    let fits = inner.attr("type") == Some("result")
        && inner.attr("id") == request.id.as_deref()
        && inner.attr("to").is_some()
        && same("to", &request.from)
        && same("from", &request.to)
        && inner.children().count() <= 1;
    fits.then(|| inner.children().next().cloned())
}

/// The asker is wherever he is, and not who sent the stanza at hand.
fn unavailable(request: &Stanza, fx: &mut Effects) {
    let error = StanzaError::new(Condition::ServiceUnavailable);
    if let Some(reply) = request.error_reply(&error) {
        fx.route(reply);
    }
}
