//! From an element of a stream to a stanza, or to the answer that a malformed one gets.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use smol_str::SmolStr;

use super::{IqType, Kind, MessageType, PresenceType, Stanza};
use crate::error::{Condition, StanzaError, StreamCondition, StreamError};
use crate::jid::{Jid, JidError};
use crate::ns;
use crate::xml::outline::{Child, Head, Outline, Span, outline};
use crate::xml::tag::Tag;
use crate::xml::walk::Context;
use crate::xml::{Element, Node, XmlError, attribute, escape_text, unescape};

/// Why an element of a stream is no stanza to work with, and what to do about it.
#[derive(Clone, Debug)]
pub enum Unreadable {
    /// Send this error stanza back. Its `to` is the `from` that was written, if it was an address,
    /// its `from` the `to`; where one is missing the stream's own addresses go in. An address that
    /// could not be read is never repeated (RFC 6120 §8.3.1).
    Reply(Box<Stanza>),
    /// Drop it: nobody answers an error or a result (RFC 6120 §8.2.3, §8.3.1).
    Ignore,
    /// End the stream with this error.
    Stream(StreamError),
}

/// The start tag of a stanza as it was written.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Envelope<'a> {
    pub(crate) to: Option<Cow<'a, str>>,
    pub(crate) from: Option<Cow<'a, str>>,
    pub(crate) id: Option<Cow<'a, str>>,
    pub(crate) kind: Option<Cow<'a, str>>,
    pub(crate) lang: Option<Cow<'a, str>>,
    others: Vec<u8>,
}

/// Reads a stanza from an element of a stream whose content namespace is `content`.
pub(crate) fn wire(
    bytes: &Bytes,
    found: &Outline,
    context: &Context,
    content: &str,
) -> Result<Stanza, Unreadable> {
    let stream_error = |condition| Unreadable::Stream(StreamError::new(condition));
    if found.ns != content {
        let all = [ns::CLIENT, ns::SERVER, ns::COMPONENT_ACCEPT];
        let is_content = all.contains(&found.ns.as_str());
        // RFC 6120 §4.8.3 for the other content namespace, §4.8.4 for the rest.
        return Err(stream_error(
            match is_content && is_stanza_name(&found.name) {
                true => StreamCondition::InvalidNamespace,
                false => StreamCondition::UnsupportedStanzaType,
            },
        ));
    }
    if !is_stanza_name(&found.name) {
        return Err(stream_error(StreamCondition::UnsupportedStanzaType));
    }
    let not_well_formed = || stream_error(StreamCondition::NotWellFormed);
    let text_of = |bytes| std::str::from_utf8(bytes).map_err(|_| not_well_formed());
    let tag = text_of(&bytes[..found.inside as usize])?;
    let envelope = match &found.head {
        Some(head) => noted(tag, head),
        None => envelope(tag).map_err(|_| not_well_formed())?,
    };
    let stanza = addressed(&found.name, &envelope, content != ns::CLIENT)?;
    check_children(&stanza, found)?;
    let (payload, children) = match found.is_portable {
        true => (slice(bytes, found), found.children.clone()),
        false => rewritten(text_of(bytes)?, context, content).map_err(|_| not_well_formed())?,
    };
    Ok(Stanza {
        payload,
        children,
        ..stanza
    })
}

/// Reads a stanza that this server wrote.
pub(super) fn stored(bytes: Bytes) -> Result<Stanza, XmlError> {
    let context = Context::plain(ns::CLIENT);
    let text = std::str::from_utf8(&bytes).map_err(|_| XmlError::NotWellFormed)?;
    let found = outline(text, &context, ns::CLIENT)?;
    let envelope = envelope(text)?;
    let kind = kind(&found.name, envelope.kind.as_deref()).ok_or(XmlError::NotWellFormed)?;
    let address = |text: &Option<Cow<str>>| {
        text.as_deref()
            .map(Jid::parse)
            .transpose()
            .map_err(|_| XmlError::NotWellFormed)
    };
    let (to, from) = (address(&envelope.to)?, address(&envelope.from)?);
    let payload = slice(&bytes, &found);
    let others = others(&envelope);
    let (id, lang) = (
        envelope.id.map(SmolStr::new),
        envelope.lang.map(SmolStr::new),
    );
    Ok(Stanza {
        kind,
        to,
        from,
        id,
        lang,
        others,
        payload,
        children: found.children,
    })
}

fn is_stanza_name(name: &str) -> bool {
    matches!(name, "message" | "presence" | "iq")
}

fn slice(bytes: &Bytes, found: &Outline) -> Bytes {
    match found.end > found.inside {
        true => bytes.slice(found.inside as usize..found.end as usize),
        false => Bytes::new(),
    }
}

/// Reads the start tag at the head of a text.
pub(crate) fn envelope(text: &str) -> Result<Envelope<'_>, XmlError> {
    let mut envelope = Envelope::default();
    let mut tag = Tag::new(text)?;
    while let Some((name, raw)) = tag.next()? {
        let value = || unescape(raw, true).map(Some);
        let name = name.text;
        match name {
            "to" => envelope.to = value()?,
            "from" => envelope.from = value()?,
            "id" => envelope.id = value()?,
            "type" => envelope.kind = value()?,
            "xml:lang" => envelope.lang = value()?,
            // Attributes of foreign namespaces end here: their declarations may lie elsewhere.
            _ if name == "xmlns" || name.contains(':') => {}
            _ => attribute(&mut envelope.others, "", name, &unescape(raw, true)?),
        }
    }
    Ok(envelope)
}

/// The same from what was noted of the start tag.
pub(crate) fn noted<'a>(tag: &'a str, head: &Head) -> Envelope<'a> {
    let value = |place: Option<Span>| place.map(|place| Cow::Borrowed(&tag[place.range()]));
    Envelope {
        to: value(head.to),
        from: value(head.from),
        id: value(head.id),
        kind: value(head.kind),
        lang: value(head.lang),
        others: Vec::new(),
    }
}

fn others(envelope: &Envelope) -> Option<Arc<str>> {
    let text = std::str::from_utf8(&envelope.others).unwrap_or_default();
    (!text.is_empty()).then(|| text.into())
}

/// The kind, or `None` for a type that RFC 6120 §8.2.3 or RFC 6121 §4.7.1 does not know. An unknown
/// message type counts as `normal` (RFC 6121 §5.2.2).
pub(crate) fn kind(name: &str, written: Option<&str>) -> Option<Kind> {
    Some(match (name, written) {
        ("message", Some("chat")) => Kind::Message(MessageType::Chat),
        ("message", Some("groupchat")) => Kind::Message(MessageType::Groupchat),
        ("message", Some("headline")) => Kind::Message(MessageType::Headline),
        ("message", Some("error")) => Kind::Message(MessageType::Error),
        ("message", _) => Kind::Message(MessageType::Normal),
        ("presence", None) => Kind::Presence(PresenceType::Available),
        ("presence", Some("unavailable")) => Kind::Presence(PresenceType::Unavailable),
        ("presence", Some("subscribe")) => Kind::Presence(PresenceType::Subscribe),
        ("presence", Some("subscribed")) => Kind::Presence(PresenceType::Subscribed),
        ("presence", Some("unsubscribe")) => Kind::Presence(PresenceType::Unsubscribe),
        ("presence", Some("unsubscribed")) => Kind::Presence(PresenceType::Unsubscribed),
        ("presence", Some("probe")) => Kind::Presence(PresenceType::Probe),
        ("presence", Some("error")) => Kind::Presence(PresenceType::Error),
        ("iq", Some("get")) => Kind::Iq(IqType::Get),
        ("iq", Some("set")) => Kind::Iq(IqType::Set),
        ("iq", Some("result")) => Kind::Iq(IqType::Result),
        ("iq", Some("error")) => Kind::Iq(IqType::Error),
        _ => return None,
    })
}

/// The envelope with its addresses and type read, without payload. A server, and so a component
/// (XEP-0114 §3), says itself from whom to whom.
fn addressed(name: &str, envelope: &Envelope, is_server: bool) -> Result<Stanza, Unreadable> {
    let improper = || Unreadable::Stream(StreamError::new(StreamCondition::ImproperAddressing));
    let from = match envelope.from.as_deref().map(Jid::parse) {
        Some(Ok(from)) => Some(from),
        // The session puts the true address there, whatever a client wrote (RFC 6120 §8.1.2.1).
        None | Some(Err(_)) if !is_server => None,
        None | Some(Err(JidError::Domain)) => return Err(improper()),
        // One user of the peer must not cost the others the stream, and there is nobody to tell.
        Some(Err(_)) => return Err(Unreadable::Ignore),
    };
    if is_server && envelope.to.as_deref().is_none_or(str::is_empty) {
        return Err(improper());
    }
    let known = kind(name, envelope.kind.as_deref());
    // What stands in for an unknown type matters only to the answer.
    let fallback = match name {
        "presence" => Kind::Presence(PresenceType::Available),
        _ => Kind::Iq(IqType::Get),
    };
    let mut stanza = Stanza::new(known.unwrap_or(fallback));
    (stanza.from, stanza.id) = (from, envelope.id.as_deref().map(SmolStr::new));
    stanza.to = match envelope.to.as_deref().map(Jid::parse) {
        None => None,
        Some(Ok(to)) => Some(to),
        Some(Err(_)) => return Err(refusal(&stanza, Condition::JidMalformed)),
    };
    let is_iq = name == "iq";
    if known.is_none() || (is_iq && stanza.id.is_none()) {
        return Err(refusal(&stanza, Condition::BadRequest));
    }
    stanza.lang = envelope.lang.as_deref().map(SmolStr::new);
    stanza.others = others(envelope);
    Ok(stanza)
}

/// RFC 6120 §8.2.3: how many children. An error without an `<error/>` is its sender's fault
/// (§8.3.1); it goes where it is sent all the same (RFC 6121 §8.5.3.1): who asked waits for it.
fn check_children(stanza: &Stanza, found: &Outline) -> Result<(), Unreadable> {
    let count = found.children.len();
    match stanza.kind {
        Kind::Iq(IqType::Get | IqType::Set) if count != 1 => {
            Err(refusal(stanza, Condition::BadRequest))
        }
        Kind::Iq(IqType::Result) if count > 1 => Err(Unreadable::Ignore),
        _ => Ok(()),
    }
}

fn refusal(stanza: &Stanza, condition: Condition) -> Unreadable {
    match stanza.error_reply(&StanzaError::new(condition)) {
        Some(mut reply) => {
            // RFC 6120 §8.2.3: an answer has an id, an empty one if the request had none.
            if matches!(reply.kind, Kind::Iq(_)) && reply.id.is_none() {
                reply.id = Some(SmolStr::default());
            }
            Unreadable::Reply(Box::new(reply))
        }
        None => Unreadable::Ignore,
    }
}

/// Writes the payload out again, free of what was declared around it.
fn rewritten(
    text: &str,
    context: &Context,
    content: &str,
) -> Result<(Bytes, Arc<[Child]>), XmlError> {
    let mut root = Element::read(text, context)?;
    root.rescope(content, ns::CLIENT);
    let mut payload = Vec::with_capacity(text.len());
    let mut children = Vec::new();
    for node in root.nodes() {
        match node {
            Node::Text(text) => escape_text(text, &mut payload),
            Node::Element(child) => {
                let start = payload.len() as u32;
                child.write(&mut payload, ns::CLIENT);
                let (ns, name) = (ns::shared(child.ns()), child.name().into());
                children.push(Child {
                    ns,
                    name,
                    start,
                    end: payload.len() as u32,
                });
            }
        }
    }
    Ok((payload.into(), children.into()))
}
