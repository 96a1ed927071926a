//! What a component says in somebody's name, unwrapped and checked (XEP-0356 §5.1, §6.1). Anything
//! odd is nothing: the component hears `forbidden`.

use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::{IqType, Kind, MessageType, Stanza};
use rookery_protocol::xml::Element;

use super::NS;

/// The one message in `<privilege/>`, from a bare JID of `domain`, or from it.
pub fn message(privilege: &Element, domain: &str) -> Option<Stanza> {
    let forwarded = only(privilege, ns::FORWARD, "forwarded")?;
    let inner = only(forwarded, ns::CLIENT, "message")?;
    let from = Jid::parse(inner.attr("from")?).ok()?;
    let is_ours = from.is_bare() && from.domain() == domain;
    let to = Jid::parse(inner.attr("to")?).ok().filter(|_| is_ours)?;
    let kind = match inner.attr("type") {
        Some("chat") => MessageType::Chat,
        Some("groupchat") => MessageType::Groupchat,
        Some("headline") => MessageType::Headline,
        // Errors answer what the component has not heard.
        Some("error") => return None,
        _ => MessageType::Normal,
    };
    let stanza = Stanza::message(kind).with_from(from).with_to(to);
    Some(filled(stanza, inner))
}

/// The one get or set in `<privileged_iq/>`, in the name of `account`.
pub fn iq(request: &Stanza, payload: &Element, account: &Jid) -> Option<Stanza> {
    if !payload.is(NS, "privileged_iq") || request.to.as_ref() != Some(account) {
        return None;
    }
    let inner = only(payload, ns::CLIENT, "iq")?;
    let kind = match inner.attr("type") {
        Some("get") => IqType::Get,
        Some("set") => IqType::Set,
        _ => return None,
    };
    if request.kind != Kind::Iq(kind) || inner.children().count() != 1 {
        return None;
    }
    if let Some(from) = inner.attr("from")
        && Jid::parse(from).ok().as_ref() != Some(account)
    {
        return None;
    }
    let to = match inner.attr("to") {
        Some(to) => Jid::parse(to).ok()?,
        // RFC 6120 §10.3.3: to the account itself.
        None => account.clone(),
    };
    let stanza = Stanza::iq(kind, inner.attr("id")?);
    let stanza = stanza.with_from(account.clone()).with_to(to);
    Some(filled(stanza, inner))
}

/// The one child that there is.
fn only<'a>(element: &'a Element, ns: &str, name: &str) -> Option<&'a Element> {
    let mut children = element.children();
    let first = children.next().filter(|it| it.is(ns, name))?;
    children.next().is_none().then_some(first)
}

/// With the id, the language and the children.
fn filled(mut stanza: Stanza, inner: &Element) -> Stanza {
    if let Some(id) = inner.attr("id") {
        stanza.id = Some(id.into());
    }
    stanza.lang = inner.attr_ns(ns::XML, "lang").map(Into::into);
    for child in inner.children() {
        stanza.append(child);
    }
    stanza
}
