//! Message, presence and IQ (RFC 6120 §8): an envelope that is read, and a payload that is carried.
//!
//! The payload is bytes that stand inside a stanza of `jabber:client` without any declaration from
//! outside, so they can be written behind any new start tag. On a stream of another content
//! namespace the same bytes are right too: what has no `xmlns` of its own follows the stream
//! (§4.8.3), and what has one, such as a forwarded message, stays where it was. Only where a part
//! of the stanza itself says `jabber:client` again does [`Stanza::write_for`] write it anew.

pub(crate) mod read;

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use memchr::memmem;
use smallvec::SmallVec;
use smol_str::SmolStr;

pub use crate::xml::outline::Child;
pub use read::Unreadable;

use crate::error::StanzaError;
use crate::jid::Jid;
use crate::ns;
use crate::xml::{Element, XmlError, attribute, walk};

/// Which of the three stanzas it is, and its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `<message/>`
    Message(MessageType),
    /// `<presence/>`
    Presence(PresenceType),
    /// `<iq/>`
    Iq(IqType),
}

/// The type of a message (RFC 6121 §5.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageType {
    /// A single message; also what an unknown type counts as.
    Normal,
    /// One of a conversation between two.
    Chat,
    /// One to or from a room.
    Groupchat,
    /// A notice that expects no answer.
    Headline,
    /// An error about an earlier message.
    Error,
}

/// The type of a presence (RFC 6121 §4.7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PresenceType {
    /// No `type` attribute: available.
    Available,
    /// No longer available.
    Unavailable,
    /// Asks to see the recipient's presence.
    Subscribe,
    /// Lets the recipient see the sender's presence.
    Subscribed,
    /// Stops seeing the recipient's presence.
    Unsubscribe,
    /// Denies or takes back what `subscribed` gave.
    Unsubscribed,
    /// A server's question for the current presence.
    Probe,
    /// An error about an earlier presence.
    Error,
}

/// The type of an IQ (RFC 6120 §8.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IqType {
    /// A question.
    Get,
    /// A change.
    Set,
    /// The answer to either.
    Result,
    /// The refusal of either.
    Error,
}

/// A stanza. Cloning shares the payload.
#[derive(Clone, Debug)]
pub struct Stanza {
    /// Which stanza, of which type.
    pub kind: Kind,
    /// Whom it is for; without it, for the sender's own account.
    pub to: Option<Jid>,
    /// Whom it is from.
    pub from: Option<Jid>,
    /// What an answer repeats.
    pub id: Option<SmolStr>,
    /// The language of its text.
    pub lang: Option<SmolStr>,
    /// Attributes that no specification knows, written out: ` name='value'`.
    others: Option<Arc<str>>,
    payload: Bytes,
    children: Arc<[Child]>,
}

impl Stanza {
    /// An empty stanza.
    pub fn new(kind: Kind) -> Stanza {
        Stanza {
            kind,
            to: None,
            from: None,
            id: None,
            lang: None,
            others: None,
            payload: Bytes::new(),
            children: Arc::default(),
        }
    }

    /// An empty message.
    pub fn message(of: MessageType) -> Stanza {
        Stanza::new(Kind::Message(of))
    }

    /// An empty presence.
    pub fn presence(of: PresenceType) -> Stanza {
        Stanza::new(Kind::Presence(of))
    }

    /// An empty IQ.
    pub fn iq(of: IqType, id: impl Into<SmolStr>) -> Stanza {
        Stanza::new(Kind::Iq(of)).with_id(id)
    }

    /// The same for this recipient.
    pub fn with_to(mut self, to: impl Into<Option<Jid>>) -> Stanza {
        self.to = to.into();
        self
    }

    /// The same from this sender.
    pub fn with_from(mut self, from: impl Into<Option<Jid>>) -> Stanza {
        self.from = from.into();
        self
    }

    /// The same with this id.
    pub fn with_id(mut self, id: impl Into<SmolStr>) -> Stanza {
        self.id = Some(id.into());
        self
    }

    /// The same with one more child.
    pub fn with_child(mut self, child: &Element) -> Stanza {
        self.append(child);
        self
    }

    /// The same with the children of another stanza and no others; they are shared.
    pub fn with_children_of(mut self, other: &Stanza) -> Stanza {
        self.payload = other.payload.clone();
        self.children = Arc::clone(&other.children);
        self
    }

    /// The children's names in order.
    pub fn children(&self) -> &[Child] {
        &self.children
    }

    /// Whether there is a child of this namespace and name.
    pub fn has(&self, ns: &str, name: &str) -> bool {
        self.children.iter().any(|child| child.is(ns, name))
    }

    /// Reads the first child of this namespace and name.
    pub fn child(&self, ns: &str, name: &str) -> Option<Element> {
        self.children
            .iter()
            .find(|child| child.is(ns, name))
            .and_then(|child| self.read(child))
    }

    /// Reads a child of this stanza.
    pub fn read(&self, child: &Child) -> Option<Element> {
        let bytes = self.payload.get(child.start as usize..child.end as usize)?;
        Element::parse_sound(std::str::from_utf8(bytes).ok()?, ns::CLIENT).ok()
    }

    /// The name of the first child that is not `<error/>`: what an IQ is about.
    pub fn payload_head(&self) -> Option<&Child> {
        self.children
            .iter()
            .find(|child| !child.is(ns::CLIENT, "error"))
    }

    /// Reads the first child that is not `<error/>`.
    pub fn payload(&self) -> Option<Element> {
        self.payload_head().and_then(|child| self.read(child))
    }

    /// Reads the `<error/>` child.
    pub fn error(&self) -> Option<StanzaError> {
        self.child(ns::CLIENT, "error")
            .map(|error| StanzaError::parse(&error))
    }

    /// Whether the stanza is of type `error`.
    pub fn is_error(&self) -> bool {
        matches!(
            self.kind,
            Kind::Message(MessageType::Error)
                | Kind::Presence(PresenceType::Error)
                | Kind::Iq(IqType::Error)
        )
    }

    /// Appends a child.
    pub fn append(&mut self, child: &Element) {
        let mut payload = Vec::with_capacity(self.payload.len() + 128);
        payload.extend_from_slice(&self.payload);
        let start = payload.len() as u32;
        child.write(&mut payload, ns::CLIENT);
        let entry = Child {
            ns: ns::shared(child.ns()),
            name: child.name().into(),
            start,
            end: payload.len() as u32,
        };
        self.children = self.children.iter().cloned().chain([entry]).collect();
        self.payload = payload.into();
    }

    /// Keeps the children that pass; text beside them stays.
    pub fn retain_children(&mut self, mut keep: impl FnMut(&Child) -> bool) {
        let kept: SmallVec<[bool; 16]> = self.children.iter().map(&mut keep).collect();
        if kept.iter().all(|kept| *kept) {
            return;
        }
        let mut payload = Vec::with_capacity(self.payload.len());
        let mut children = Vec::with_capacity(self.children.len());
        let mut done = 0;
        for (child, kept) in self.children.iter().zip(kept) {
            let (start, end) = (child.start as usize, child.end as usize);
            payload.extend_from_slice(&self.payload[done..start]);
            done = end;
            if kept {
                let moved = payload.len() as u32;
                payload.extend_from_slice(&self.payload[start..end]);
                children.push(Child {
                    start: moved,
                    end: payload.len() as u32,
                    ..child.clone()
                });
            }
        }
        payload.extend_from_slice(&self.payload[done..]);
        self.payload = payload.into();
        self.children = children.into();
    }

    /// Bytes of the stanza as [`Stanza::write`] writes it, give or take what escapes add.
    pub fn wire_len(&self) -> usize {
        let jid = |jid: &Option<Jid>| jid.as_ref().map_or(0, |jid| jid.as_str().len() + 8);
        let text = |text: &Option<SmolStr>| text.as_ref().map_or(0, |text| text.len() + 12);
        let envelope = jid(&self.to) + jid(&self.from) + text(&self.id) + text(&self.lang);
        envelope + self.others.as_ref().map_or(0, |others| others.len()) + 40 + self.payload.len()
    }

    /// Writes the stanza for a place where `jabber:client` is the default namespace.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.write_in(out, "");
    }

    /// Writes the stanza for a stream of this content namespace, which is the default one there.
    /// What a client put into that namespace by name cannot be told from the stanza's own then.
    pub fn write_for(&self, out: &mut Vec<u8>, content: &str) {
        if content == ns::CLIENT || !self.names_client() {
            return self.write(out);
        }
        let mut moved = self.to_element();
        moved.rescope(ns::CLIENT, content);
        moved.write(out, content);
    }

    /// Writes the stanza with a declaration of the default namespace `xmlns`, for a place that has
    /// none around it, such as a WebSocket frame (RFC 7395 §3.3.3) or `<forwarded/>`.
    pub fn write_declared(&self, out: &mut Vec<u8>, xmlns: &str) {
        self.write_in(out, xmlns);
    }

    /// The stanza as bytes, as [`Stanza::write`] writes it.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.wire_len());
        self.write(&mut out);
        out.into()
    }

    /// The stanza as a tree in `jabber:client`, to be put into another.
    pub fn to_element(&self) -> Element {
        let bytes = self.to_bytes();
        let text = std::str::from_utf8(&bytes).unwrap_or_default();
        let read = Element::parse_sound(text, ns::CLIENT);
        read.unwrap_or_else(|_| Element::new(ns::CLIENT, self.kind.name()))
    }

    /// Reads what [`Stanza::to_bytes`] wrote. The bytes are kept, not copied.
    pub fn parse_stored(bytes: Bytes) -> Result<Stanza, XmlError> {
        read::stored(bytes)
    }

    /// The error stanza that answers this one: to and from swapped, the id kept (RFC 6120 §8.3.1).
    /// `None` if this is itself an error or an IQ result, which nobody answers.
    pub fn error_reply(&self, error: &StanzaError) -> Option<Stanza> {
        let kind = match self.kind {
            _ if self.is_error() => return None,
            Kind::Message(_) => Kind::Message(MessageType::Error),
            Kind::Presence(_) => Kind::Presence(PresenceType::Error),
            Kind::Iq(IqType::Result) => return None,
            Kind::Iq(_) => Kind::Iq(IqType::Error),
        };
        Some(self.answer(kind).with_child(&error.to_element()))
    }

    /// The IQ result that answers this request, with a payload if there is something to say.
    pub fn result_reply(&self, payload: Option<Element>) -> Stanza {
        let mut result = self.answer(Kind::Iq(IqType::Result));
        if let Some(payload) = payload {
            result.append(&payload);
        }
        result
    }

    fn answer(&self, kind: Kind) -> Stanza {
        let mut answer = Stanza::new(kind);
        (answer.to, answer.from) = (self.from.clone(), self.to.clone());
        answer.id = self.id.clone();
        answer
    }

    /// Whether a part of the stanza itself, not of what it carries, names `jabber:client` in its
    /// start tag, and so would not follow the stream. It may mean something else by it.
    fn names_client(&self) -> bool {
        static NAME: LazyLock<memmem::Finder> = LazyLock::new(|| memmem::Finder::new(ns::CLIENT));
        // Nearly all stanzas are done with here.
        if NAME.find(&self.payload).is_none() {
            return false;
        }
        let own = self.children.iter().filter(|child| child.ns == ns::CLIENT);
        let mut texts = own.map(|child| {
            let bytes = self.payload.get(child.start as usize..child.end as usize)?;
            std::str::from_utf8(bytes).ok()
        });
        texts.any(|text| text.is_none_or(walk::names_client))
    }

    fn write_in(&self, out: &mut Vec<u8>, xmlns: &str) {
        out.push(b'<');
        out.extend_from_slice(self.kind.name().as_bytes());
        if !xmlns.is_empty() {
            attribute(out, "", "xmlns", xmlns);
        }
        if let Some(to) = &self.to {
            attribute(out, "", "to", to.as_str());
        }
        if let Some(from) = &self.from {
            attribute(out, "", "from", from.as_str());
        }
        if let Some(id) = &self.id {
            attribute(out, "", "id", id);
        }
        if let Some(kind) = self.kind.type_attr() {
            attribute(out, "", "type", kind);
        }
        if let Some(lang) = &self.lang {
            attribute(out, "xml:", "lang", lang);
        }
        if let Some(others) = &self.others {
            out.extend_from_slice(others.as_bytes());
        }
        if self.payload.is_empty() {
            out.extend_from_slice(b"/>");
            return;
        }
        out.push(b'>');
        out.extend_from_slice(&self.payload);
        out.extend_from_slice(b"</");
        out.extend_from_slice(self.kind.name().as_bytes());
        out.push(b'>');
    }
}

impl Kind {
    /// The name of the element.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Message(_) => "message",
            Kind::Presence(_) => "presence",
            Kind::Iq(_) => "iq",
        }
    }

    /// The value of the `type` attribute; `None` where it is left out.
    pub fn type_attr(self) -> Option<&'static str> {
        match self {
            Kind::Message(MessageType::Normal) => None,
            Kind::Message(MessageType::Chat) => Some("chat"),
            Kind::Message(MessageType::Groupchat) => Some("groupchat"),
            Kind::Message(MessageType::Headline) => Some("headline"),
            Kind::Message(MessageType::Error) => Some("error"),
            Kind::Presence(PresenceType::Available) => None,
            Kind::Presence(PresenceType::Unavailable) => Some("unavailable"),
            Kind::Presence(PresenceType::Subscribe) => Some("subscribe"),
            Kind::Presence(PresenceType::Subscribed) => Some("subscribed"),
            Kind::Presence(PresenceType::Unsubscribe) => Some("unsubscribe"),
            Kind::Presence(PresenceType::Unsubscribed) => Some("unsubscribed"),
            Kind::Presence(PresenceType::Probe) => Some("probe"),
            Kind::Presence(PresenceType::Error) => Some("error"),
            Kind::Iq(IqType::Get) => Some("get"),
            Kind::Iq(IqType::Set) => Some("set"),
            Kind::Iq(IqType::Result) => Some("result"),
            Kind::Iq(IqType::Error) => Some("error"),
        }
    }
}

#[cfg(test)]
mod tests;
