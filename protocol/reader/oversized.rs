//! A stanza over the limit, of which only the start tag is known.

use std::borrow::Cow;

use smol_str::SmolStr;

use super::StreamKind;
use crate::error::{Condition, StanzaError};
use crate::jid::Jid;
use crate::ns;
use crate::stanza::{Stanza, read};
use crate::xml::Element;
use crate::xml::walk::{Context, Walk};

/// A stanza that went by unread because it was over the limit. It counts as received (XEP-0198).
#[derive(Clone, Debug)]
pub struct Oversized {
    /// `message`, `presence` or `iq`.
    pub name: SmolStr,
    /// The `id` as written.
    pub id: Option<SmolStr>,
    /// The `to`, if it was an address.
    pub to: Option<Jid>,
    /// The `from`, if it was an address.
    pub from: Option<Jid>,
    /// The `type` as written.
    pub kind: Option<SmolStr>,
    /// Its bytes.
    pub len: usize,
    answer: Option<Box<Stanza>>,
}

impl Oversized {
    /// The error stanza that tells the sender (RFC 6120 §8.3.3.12, XEP-0478). `None` for an error
    /// or a result, which nobody answers.
    pub fn reply(&self) -> Option<Stanza> {
        self.answer.as_deref().cloned()
    }
}

/// An oversized stanza on its way.
#[derive(Debug)]
pub(super) struct Skipping {
    head: Oversized,
    pub(super) length: usize,
}

impl Skipping {
    /// Reads the start tag at the head of the data. `None` if it is not all there, or no stanza's.
    pub(super) fn begin(data: &[u8], context: &Context, kind: StreamKind) -> Option<Skipping> {
        let text = match std::str::from_utf8(data) {
            Ok(text) => text,
            // The limit may have cut a character in two.
            Err(error) => std::str::from_utf8(&data[..error.valid_up_to()]).ok()?,
        };
        let mut walk = Walk::new(text, context, "");
        walk.step().ok()?;
        if walk.ns() != kind.content() {
            return None;
        }
        let (name, envelope) = (SmolStr::new(walk.local()), read::envelope(text).ok()?);
        let address = |text: &Option<Cow<str>>| text.as_deref().and_then(|to| Jid::parse(to).ok());
        let (to, from) = (address(&envelope.to), address(&envelope.from));
        let answer = read::kind(&name, envelope.kind.as_deref()).and_then(|kind| {
            let mut stanza = Stanza::new(kind)
                .with_to(to.clone())
                .with_from(from.clone());
            stanza.id = envelope.id.as_deref().map(SmolStr::new);
            let too_big = Element::new(ns::XMPP_ERRORS, "stanza-too-big");
            let error = StanzaError::new(Condition::PolicyViolation).with_extra(too_big);
            stanza.error_reply(&error).map(Box::new)
        });
        let is_stanza = matches!(name.as_str(), "message" | "presence" | "iq");
        let written = |text: Option<Cow<str>>| text.map(SmolStr::new);
        let (id, kind) = (written(envelope.id), written(envelope.kind));
        let head = Oversized {
            name,
            id,
            to,
            from,
            kind,
            len: 0,
            answer,
        };
        is_stanza.then_some(Skipping { head, length: 0 })
    }

    pub(super) fn with_length(mut self, length: usize) -> Skipping {
        self.length = length;
        self
    }

    pub(super) fn end(self) -> Oversized {
        Oversized {
            len: self.length,
            ..self.head
        }
    }
}
