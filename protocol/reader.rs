//! Bytes of a stream in, headers, elements and errors out (RFC 6120 §4 and §11).
//!
//! The reader keeps nothing but the tail of an element that has not ended, in memory that it gives
//! back when the element has; so an idle stream costs the struct alone, and there is no buffer per
//! connection. What is over a limit is refused while it is read.

mod element;
mod header;
mod oversized;

use std::sync::Arc;

use bytes::Bytes;

pub use crate::framer::Limits;
pub use element::RawElement;
pub use header::Header;
pub use oversized::Oversized;

use crate::error::{StreamCondition, StreamError};
use crate::framer::{Found, Framer, UNIT_MAX};
use crate::ns;
use crate::xml::outline::outline;
use crate::xml::plain::plain;
use crate::xml::{Element, XmlError};
use element::{Scope, usual, with_context};
use oversized::Skipping;

/// What a stream carries, which decides its content namespace (RFC 6120 §4.8.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamKind {
    /// Between client and server: `jabber:client`.
    Client,
    /// Between servers: `jabber:server`.
    Server,
    /// From a component (XEP-0114): `jabber:component:accept`.
    Component,
    /// A client over WebSocket (RFC 7395): no header, each element alone.
    WebSocket,
}

impl StreamKind {
    /// The content namespace.
    pub fn content(self) -> &'static str {
        match self {
            StreamKind::Client | StreamKind::WebSocket => ns::CLIENT,
            StreamKind::Server => ns::SERVER,
            StreamKind::Component => ns::COMPONENT_ACCEPT,
        }
    }
}

/// What came over a stream.
#[derive(Clone, Debug)]
pub enum Event {
    /// The header: the stream is open.
    Open(Header),
    /// A complete element: a stanza or something of the negotiation.
    Element(RawElement),
    /// White space between elements: a sign of life (RFC 6120 §4.6.1).
    Whitespace,
    /// A stanza over the limit went by and was not kept.
    Oversized(Oversized),
    /// The closing tag. What comes behind it is not read (RFC 6120 §4.4).
    Close,
}

/// Where the stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing has come: an XML declaration or the header.
    Start,
    /// A new header is due on a stream that goes on: white space may still come before.
    Restart,
    /// The declaration has come: the header.
    Prolog,
    /// The header has come.
    Open,
    /// Closed, or broken: nothing is read any more.
    Ended,
}

/// Reads one stream. See the module's description.
#[derive(Debug)]
pub struct StreamReader {
    limits: Limits,
    kind: StreamKind,
    phase: Phase,
    framer: Framer,
    /// The element that has begun and not ended; of one that is skipped, the last half unit.
    tail: Vec<u8>,
    /// How much of the tail the framer has consumed.
    scanned: u32,
    /// White space since the last element.
    whitespace: u32,
    scope: Option<Arc<Scope>>,
    /// Set while an oversized stanza goes by.
    skipping: Option<Box<Skipping>>,
}

impl StreamReader {
    /// A reader that expects the first header.
    pub fn new(limits: Limits, kind: StreamKind) -> StreamReader {
        StreamReader {
            limits,
            kind,
            phase: if kind == StreamKind::WebSocket {
                Phase::Open
            } else {
                Phase::Start
            },
            framer: Framer::new(),
            tail: Vec::new(),
            scanned: 0,
            whitespace: 0,
            scope: None,
            skipping: None,
        }
    }

    /// Reads on, up to the next event; what was read is taken off the chunk. `None` means that the
    /// chunk is used up. After an error, and after [`Event::Close`], everything is swallowed.
    pub fn read(&mut self, chunk: &mut &[u8]) -> Result<Option<Event>, StreamError> {
        let read = self.read_on(chunk);
        if matches!(read, Err(_) | Ok(Some(Event::Close))) {
            self.forget();
            self.phase = Phase::Ended;
        }
        read
    }

    /// Other limits from the next byte on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Expects a new header, after TLS or SASL (RFC 6120 §4.3.3).
    pub fn restart(&mut self) {
        self.forget();
        self.scope = None;
        if self.kind != StreamKind::WebSocket {
            self.phase = Phase::Restart;
        }
    }

    /// Drops the tail that was kept (RFC 6120 §5.4.3.3: nothing from before TLS counts).
    pub fn forget(&mut self) {
        self.tail = Vec::new();
        self.scanned = 0;
        self.whitespace = 0;
        self.framer = Framer::new();
        self.skipping = None;
    }

    /// Bytes that are kept.
    pub fn kept(&self) -> usize {
        self.tail.len()
    }

    /// Whether the stream stands between two elements.
    pub fn idle(&self) -> bool {
        self.tail.is_empty() && self.framer.is_between() && self.skipping.is_none()
    }

    fn read_on(&mut self, chunk: &mut &[u8]) -> Result<Option<Event>, StreamError> {
        loop {
            if self.phase == Phase::Ended {
                *chunk = &[];
            }
            if chunk.is_empty() {
                return Ok(None);
            }
            if self.skipping.is_some() {
                return self.skip(chunk);
            }
            if self.tail.is_empty() {
                if let Some(event) = self.between(chunk)? {
                    return Ok(Some(event));
                }
                if chunk.is_empty() {
                    return Ok(None);
                }
            }
            if matches!(self.phase, Phase::Start | Phase::Restart) {
                if !self.declaration(chunk)? {
                    return Ok(None);
                }
                continue;
            }
            return self.element(chunk);
        }
    }

    /// What may stand before the `<` of an element.
    fn between(&mut self, chunk: &mut &[u8]) -> Result<Option<Event>, StreamError> {
        let is_space = |byte: &&u8| matches!(**byte, b' ' | b'\t' | b'\n' | b'\r');
        let count = chunk.iter().take_while(is_space).count();
        if count > 0 {
            if self.phase == Phase::Start {
                // XML 1.0 §2.8: nothing stands before the declaration. Without one, white space
                // may come before the header.
                self.phase = Phase::Prolog;
            }
            self.whitespace = self.whitespace.saturating_add(count as u32);
            *chunk = &chunk[count..];
            if self.whitespace > self.limits.whitespace {
                return Err(StreamCondition::PolicyViolation.into());
            }
            return Ok((self.phase == Phase::Open).then_some(Event::Whitespace));
        }
        match (chunk[0], self.phase) {
            (b'<', _) => {
                self.whitespace = 0;
                Ok(None)
            }
            // Text belongs into stanzas; what could not be text anywhere is worse.
            (b' '..=b'~', Phase::Open) => Err(StreamCondition::BadFormat.into()),
            _ => Err(StreamCondition::NotWellFormed.into()),
        }
    }

    /// Takes an XML declaration, if there is one. Says whether what follows can be read.
    fn declaration(&mut self, chunk: &mut &[u8]) -> Result<bool, StreamError> {
        const BEGIN: &[u8] = b"<?xml";
        let held = self.tail.len();
        self.tail
            .extend_from_slice(&chunk[..chunk.len().min(header::DECLARATION_MAX)]);
        let end = match self.tail.starts_with(BEGIN) {
            // `<?xml-stylesheet` and the like are processing instructions.
            true if self
                .tail
                .get(5)
                .is_some_and(|byte| !b" \t\r\n?".contains(byte)) =>
            {
                return Err(StreamCondition::RestrictedXml.into());
            }
            true => header::declaration(&self.tail)?,
            false if BEGIN.starts_with(&self.tail) => None,
            false => Some(0),
        };
        let Some(end) = end else {
            if self.tail.len() > header::DECLARATION_MAX {
                return Err(StreamCondition::NotWellFormed.into());
            }
            *chunk = &chunk[self.tail.len() - held..];
            return Ok(false);
        };
        self.phase = Phase::Prolog;
        if end > 0 {
            *chunk = &chunk[end - held..];
            self.tail = Vec::new();
        } else {
            self.tail.truncate(held);
        }
        Ok(true)
    }

    /// Reads an element of the stream, the header or the closing tag.
    fn element(&mut self, chunk: &mut &[u8]) -> Result<Option<Event>, StreamError> {
        let limit = self.limits.bytes as usize;
        let held = self.tail.len();
        let taken = chunk.len().min(limit.saturating_sub(held));
        let is_direct = held == 0;
        if is_direct && let Some(element) = self.usual(&chunk[..taken]) {
            *chunk = &chunk[element.wire_len()..];
            return Ok(Some(Event::Element(element)));
        }
        let mut kept = std::mem::take(&mut self.tail);
        if !is_direct {
            kept.extend_from_slice(&chunk[..taken]);
        }
        let data = if is_direct {
            &chunk[..taken]
        } else {
            kept.as_slice()
        };
        let mut at = self.scanned as usize;
        loop {
            let (read, found) = self
                .framer
                .scan(&data[at..], &self.limits)
                .map_err(stream_error)?;
            at += read;
            match found {
                Found::More => break,
                Found::RootTag if self.phase == Phase::Prolog => {
                    let header = self.open(&data[..at])?;
                    *chunk = &chunk[at - held..];
                    return Ok(Some(Event::Open(header)));
                }
                Found::RootTag => self.refuse_stream(&data[..at])?,
                Found::Element | Found::StreamEnd if self.phase == Phase::Prolog => {
                    return Err(self.no_stream(found, &data[..at]));
                }
                Found::StreamEnd => {
                    self.check_end(&data[..at])?;
                    return Ok(Some(Event::Close));
                }
                Found::Element => {
                    let bytes = match is_direct {
                        true => Bytes::copy_from_slice(&data[..at]),
                        false => trimmed(kept, at),
                    };
                    *chunk = &chunk[at - held..];
                    self.scanned = 0;
                    return self.complete(bytes).map(Some);
                }
            }
        }
        let is_over = taken < chunk.len();
        if is_over {
            self.skipping = Some(self.begin_skip(data, at)?);
            kept = data[at..].to_vec();
            at = 0;
        } else if is_direct {
            kept = data.to_vec();
        }
        *chunk = &chunk[taken..];
        (self.tail, self.scanned) = (kept, at as u32);
        if is_over { self.skip(chunk) } else { Ok(None) }
    }

    /// A stanza that is there as a whole, in the usual spelling.
    fn usual(&self, data: &[u8]) -> Option<RawElement> {
        if self.phase != Phase::Open || !self.framer.is_between() {
            return None;
        }
        let (length, found) = with_context(self.kind, &self.scope, |context| {
            plain(data, &self.limits, context, self.kind.content())
        })?;
        let bytes = Bytes::copy_from_slice(&data[..length]);
        Some(RawElement::new(bytes, found, self.scope.clone(), self.kind))
    }

    fn complete(&mut self, bytes: Bytes) -> Result<Event, StreamError> {
        let text = std::str::from_utf8(&bytes).map_err(|_| StreamCondition::NotWellFormed)?;
        let found = with_context(self.kind, &self.scope, |context| {
            outline(text, context, self.kind.content())
        })
        .map_err(stream_error)?;
        if found.name == "stream" && found.ns == ns::STREAM {
            return Err(StreamCondition::InvalidXml.into());
        }
        let element = RawElement::new(bytes, found, self.scope.clone(), self.kind);
        if self.kind == StreamKind::WebSocket && element.ns() == ns::FRAMING {
            return match element.name() {
                "open" => Ok(Event::Open(Header::of_element(&element.to_element()))),
                "close" => Ok(Event::Close),
                _ => Err(StreamCondition::BadFormat.into()),
            };
        }
        Ok(Event::Element(element))
    }

    /// Opens the stream with the start tag of its header.
    fn open(&mut self, tag: &[u8]) -> Result<Header, StreamError> {
        let text = std::str::from_utf8(tag).map_err(|_| StreamCondition::NotWellFormed)?;
        let (header, context, name) = header::read(text, self.kind)?;
        let is_usual = context == *usual(self.kind) && name == "stream:stream";
        self.scope = (!is_usual).then(|| Arc::new(Scope { context, name }));
        self.phase = Phase::Open;
        self.framer = Framer::new();
        self.scanned = 0;
        Ok(header)
    }

    /// What is wrong with a root that is empty or only ends. Of an empty one a wrong name is the
    /// worse fault (RFC 6120 §4.8.1).
    fn no_stream(&mut self, found: Found, root: &[u8]) -> StreamError {
        let named = match found {
            Found::Element => self.open(root).err(),
            _ => None,
        };
        named.unwrap_or_else(|| StreamCondition::BadFormat.into())
    }

    /// A header inside the stream would otherwise be an element that never ends.
    fn refuse_stream(&self, tag: &[u8]) -> Result<(), StreamError> {
        let name = tag[1..]
            .split(|byte| b" \t\r\n/>".contains(byte))
            .next()
            .unwrap_or_default();
        let is_stream = name == b"stream" || name.ends_with(b":stream");
        if is_stream && self.kind != StreamKind::WebSocket {
            return Err(StreamCondition::InvalidXml.into());
        }
        Ok(())
    }

    fn check_end(&self, tag: &[u8]) -> Result<(), StreamError> {
        let name = self
            .scope
            .as_ref()
            .map_or("stream:stream", |scope| scope.name.as_str());
        let written = tag
            .strip_prefix(b"</")
            .and_then(|tag| tag.strip_suffix(b">"));
        let is_end = written.is_some_and(|written| written.trim_ascii_end() == name.as_bytes());
        match is_end && self.kind != StreamKind::WebSocket {
            true => Ok(()),
            false => Err(StreamCondition::NotWellFormed.into()),
        }
    }

    /// The limit is reached: either the rest goes by unread, or the stream ends (RFC 6120 §13.12).
    fn begin_skip(&self, data: &[u8], at: usize) -> Result<Box<Skipping>, StreamError> {
        let too_big = || {
            StreamError::new(StreamCondition::PolicyViolation)
                .with_extra(Element::new(ns::XMPP_ERRORS, "stanza-too-big"))
        };
        if self.limits.skip_up_to <= self.limits.bytes || self.phase != Phase::Open {
            return Err(too_big());
        }
        let context = with_context(self.kind, &self.scope, |context| {
            Skipping::begin(data, context, self.kind)
        });
        context
            .map(|skipping| Box::new(skipping.with_length(at)))
            .ok_or_else(too_big)
    }

    /// Lets the rest of an oversized stanza go by. Its bytes are still checked one by one; what is
    /// not checked any more, since nothing of it is kept, are end tags and namespaces.
    fn skip(&mut self, chunk: &mut &[u8]) -> Result<Option<Event>, StreamError> {
        let Some(skipping) = self.skipping.as_mut() else {
            return Ok(None);
        };
        // Nothing is stored, so neither depth nor number need a limit.
        let unlimited = Limits {
            elements: u32::MAX,
            depth: u16::MAX - 1,
            ..self.limits
        };
        loop {
            // The half unit that was kept is shown again with the first of what follows.
            let held = self.tail.len();
            let joined = if held > 0 {
                chunk.len().min(UNIT_MAX)
            } else {
                chunk.len()
            };
            self.tail
                .extend_from_slice(&chunk[..if held > 0 { joined } else { 0 }]);
            let data = if held > 0 {
                self.tail.as_slice()
            } else {
                *chunk
            };
            let (read, found) = self.framer.scan(data, &unlimited).map_err(stream_error)?;
            skipping.length += read;
            if skipping.length > self.limits.skip_up_to as usize {
                return Err(StreamCondition::PolicyViolation.into());
            }
            match found {
                Found::Element => {
                    *chunk = &chunk[read - held..];
                    self.tail = Vec::new();
                    let event = self.skipping.take().map(|skipping| skipping.end());
                    return Ok(event.map(Event::Oversized));
                }
                Found::More => {}
                Found::RootTag | Found::StreamEnd => {
                    return Err(StreamCondition::NotWellFormed.into());
                }
            }
            let left = data[read..].to_vec();
            *chunk = &chunk[joined..];
            self.tail = left;
            if chunk.is_empty() {
                return Ok(None);
            }
        }
    }
}

/// The element's bytes, in memory of about their size.
fn trimmed(mut kept: Vec<u8>, end: usize) -> Bytes {
    kept.truncate(end);
    match kept.capacity() - end > end / 4 {
        true => Bytes::copy_from_slice(&kept),
        false => kept.into(),
    }
}

/// The stream error for a fault of the XML (RFC 6120 §4.9.3).
fn stream_error(fault: XmlError) -> StreamError {
    StreamError::new(match fault {
        XmlError::NotWellFormed => StreamCondition::NotWellFormed,
        XmlError::UndeclaredPrefix => StreamCondition::BadNamespacePrefix,
        XmlError::Restricted => StreamCondition::RestrictedXml,
        XmlError::TooComplex => StreamCondition::PolicyViolation,
    })
}

#[cfg(test)]
mod tests;
