//! Finds the end of each element in a stream of bytes, and refuses on the way what XMPP refuses.
//!
//! A byte machine that can stop at any byte: it holds a state of a few words and no text. It checks
//! characters (XML 1.0 §2.2, UTF-8), names, references, quotes and white space, refuses what RFC
//! 6120 §11.1 restricts, and enforces the limits while it reads, not afterwards. What needs the
//! whole element (namespaces, end tags to the letter) is the work of `xml::walk` on the complete
//! slice.
//!
//! Bytes that are not a whole unit yet (half a character, half a reference, `]]`) are not consumed:
//! the caller shows them again with what follows. They are never more than [`UNIT_MAX`] bytes.

mod chars;
mod limits;
mod name;

pub(crate) use chars::{NAME, NAME_START, SPACE, UNIT_MAX, class, ordinary, unit};
pub use limits::Limits;

use chars::{attribute_run, decode, run, text_run, units};
use name::{Name, hash, plain_name};

use crate::xml::XmlError;

/// Where the machine stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between elements: only `<` may come.
    Between,
    /// Behind `<`.
    Less,
    /// In the name of a start tag.
    Name,
    /// Behind a name or white space of a start tag: an attribute may begin.
    Tag,
    /// Behind an attribute's value: white space or the end of the tag.
    Value,
    /// In an attribute's name.
    AttributeName,
    /// Behind an attribute's name: white space, then `=`.
    Equals,
    /// Behind `=`: white space, then a quote.
    Quote,
    /// Inside an attribute's value.
    Inside,
    /// Behind the `/` of an empty element.
    Slash,
    /// In the name of an end tag.
    EndName,
    /// Behind the name of an end tag.
    EndTag,
    /// In the text of an element.
    Text,
    /// In a CDATA section.
    CData,
}

/// How far a scan came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// All whole units were consumed; nothing is complete.
    More,
    /// The start tag of an element of the stream is complete, the element is not.
    RootTag,
    /// An element of the stream is complete.
    Element,
    /// The end tag of the stream itself is complete.
    StreamEnd,
}

/// The machine. It begins between two elements.
#[derive(Clone, Debug)]
pub(crate) struct Framer {
    state: State,
    quote: u8,
    /// Elements that are open.
    depth: u16,
    /// Start tags since the last element was complete.
    elements: u32,
    /// Of the current start tag.
    attributes: u16,
    namespaces: u16,
    name: Name,
    /// The name of the current start tag, and of each element that is open. Hashed: enough to see
    /// a wrong end tag when it comes; the complete slice is compared to the letter.
    tag: u32,
    open: Vec<u32>,
}

/// Names that are remembered from one element to the next without giving the memory back.
const KEPT: usize = 8;

type Scan<T> = Result<T, XmlError>;

impl Framer {
    pub(crate) fn new() -> Framer {
        Framer {
            state: State::Between,
            quote: 0,
            depth: 0,
            elements: 0,
            attributes: 0,
            namespaces: 0,
            name: Name::default(),
            tag: 0,
            open: Vec::new(),
        }
    }

    /// Whether the machine stands between two elements.
    pub(crate) fn is_between(&self) -> bool {
        self.state == State::Between
    }

    /// Reads on. Says how many bytes were consumed, and what ended there.
    pub(crate) fn scan(&mut self, data: &[u8], limits: &Limits) -> Scan<(usize, Found)> {
        let mut at = 0;
        while at < data.len() {
            if self.state == State::Value {
                let found = self.plain_tag(data, &mut at, limits)?;
                if found != Found::More {
                    return Ok((at, found));
                }
                if at == data.len() {
                    break;
                }
            }
            let before = (at, self.state);
            let found = match self.state {
                State::Text => self.text(data, &mut at)?,
                State::Inside => self.inside(data, &mut at)?,
                State::Name | State::AttributeName | State::EndName => {
                    self.name(data, &mut at, limits)?
                }
                State::CData => self.cdata(data, &mut at)?,
                State::Less => self.less(data, &mut at, limits)?,
                _ => self.mark(data[at], &mut at, limits)?,
            };
            if found != Found::More {
                return Ok((at, found));
            }
            if before == (at, self.state) {
                // Not a whole unit.
                break;
            }
        }
        Ok((at, Found::More))
    }

    /// Takes whole attributes of the usual spelling, ` name='value'` without prefix, reference or
    /// character beyond ASCII, which are nearly all, and then the end of the tag. The rest is left
    /// to the machine.
    fn plain_tag(&mut self, data: &[u8], at: &mut usize, limits: &Limits) -> Scan<Found> {
        loop {
            let rest = match &data[*at..] {
                [b' ', rest @ ..] => rest,
                [b'>', ..] => {
                    *at += 1;
                    return Ok(self.enter());
                }
                [b'/', b'>', ..] => {
                    *at += 2;
                    self.depth += 1;
                    return Ok(self.leave());
                }
                _ => return Ok(Found::More),
            };
            let Some(length) = plain_name(rest, limits) else {
                return Ok(Found::More);
            };
            let [b'=', quote @ (b'\'' | b'"'), value @ ..] = &rest[length..] else {
                return Ok(Found::More);
            };
            let end = attribute_run(value);
            if value.get(end) != Some(quote) {
                return Ok(Found::More);
            }
            self.count_attribute(&rest[..length] == b"xmlns", limits)?;
            *at += 1 + length + 2 + end + 1;
        }
    }

    /// One byte between the names, values and texts.
    fn mark(&mut self, byte: u8, at: &mut usize, limits: &Limits) -> Scan<Found> {
        *at += 1;
        let is_space = class(byte) & SPACE != 0;
        self.state = match (self.state, byte) {
            (State::Between, b'<') => State::Less,
            (State::Tag | State::Value, b'>') => return Ok(self.enter()),
            (State::Tag | State::Value, b'/') => State::Slash,
            (State::Tag | State::Value, _) if is_space => State::Tag,
            (State::Tag, _) => {
                *at -= 1;
                self.name = Name {
                    is_fresh: true,
                    ..Name::default()
                };
                State::AttributeName
            }
            (State::Equals, b'=') => {
                let name = self.name;
                let is_declaration = name.matched == 5 && name.length == 5 || name.matched == 6;
                self.count_attribute(is_declaration, limits)?;
                State::Quote
            }
            (State::Equals, _) if is_space => State::Equals,
            (State::Quote, b'\'' | b'"') => {
                self.quote = byte;
                State::Inside
            }
            (State::Quote, _) if is_space => State::Quote,
            (State::Slash, b'>') => {
                self.depth += 1;
                return Ok(self.leave());
            }
            (State::EndTag, b'>') if self.depth == 0 => {
                self.state = State::Between;
                return Ok(Found::StreamEnd);
            }
            (State::EndTag, b'>') => {
                self.close(self.name.hash)?;
                return Ok(self.leave());
            }
            (State::EndTag, _) if is_space => State::EndTag,
            _ => return Err(XmlError::NotWellFormed),
        };
        Ok(Found::More)
    }

    /// Behind `<`: a tag, a CDATA section, or something that XMPP refuses.
    fn less(&mut self, data: &[u8], at: &mut usize, limits: &Limits) -> Scan<Found> {
        let rest = &data[*at..];
        match rest[0] {
            b'!' => {
                const CDATA: &[u8] = b"![CDATA[";
                if rest.starts_with(CDATA) && self.depth > 0 {
                    *at += CDATA.len();
                    self.state = State::CData;
                } else if !CDATA.starts_with(rest) || self.depth == 0 && rest.len() > 1 {
                    // Comments, document types, declarations (RFC 6120 §11.1).
                    let is_section = rest.starts_with(b"![");
                    return Err(if is_section {
                        XmlError::NotWellFormed
                    } else {
                        XmlError::Restricted
                    });
                }
            }
            b'?' => {
                // An XML declaration belongs to the very start (XML 1.0 §2.8); any other is a
                // processing instruction.
                const DECLARATION: &[u8] = b"?xml";
                if rest.len() > DECLARATION.len() || !DECLARATION.starts_with(rest) {
                    let is_declaration = rest.starts_with(DECLARATION)
                        && (class(rest[4]) & SPACE != 0 || rest[4] == b'?');
                    return Err(if is_declaration {
                        XmlError::NotWellFormed
                    } else {
                        XmlError::Restricted
                    });
                }
            }
            b'/' => {
                let length = plain_name(&rest[1..], limits).unwrap_or(0);
                if length > 0 && rest[1 + length] == b'>' && self.depth > 0 {
                    self.close(hash(0, &rest[1..=length]))?;
                    *at += length + 2;
                    return Ok(self.leave());
                }
                *at += 1;
                self.name = Name {
                    is_fresh: true,
                    ..Name::default()
                };
                self.state = State::EndName;
            }
            _ => {
                self.elements += 1;
                if self.elements > limits.elements || self.depth >= limits.depth {
                    return Err(XmlError::TooComplex);
                }
                (self.attributes, self.namespaces) = (0, 0);
                if let Some(length) = plain_name(rest, limits)
                    && matches!(rest[length], b' ' | b'>' | b'/')
                {
                    self.tag = hash(0, &rest[..length]);
                    *at += length;
                    self.state = State::Value;
                    return Ok(Found::More);
                }
                self.name = Name {
                    is_fresh: true,
                    ..Name::default()
                };
                self.state = State::Name;
            }
        }
        Ok(Found::More)
    }

    /// The characters of a name (Namespaces in XML 1.0 §4: one colon at most, inside).
    fn name(&mut self, data: &[u8], at: &mut usize, limits: &Limits) -> Scan<Found> {
        let start = *at;
        while let Some(&byte) = data.get(*at) {
            let wanted = if self.name.is_fresh { NAME_START } else { NAME };
            if class(byte) & wanted != 0 {
                *at += 1 + run(&data[*at + 1..], NAME);
                self.name.is_fresh = false;
            } else if byte >= 0x80 {
                let Some((c, width)) = decode(&data[*at..])? else {
                    break;
                };
                if !(chars::is_name_start(c) || !self.name.is_fresh && chars::is_name(c)) {
                    return Err(XmlError::NotWellFormed);
                }
                *at += width;
                self.name.is_fresh = false;
            } else if byte == b':' && !self.name.is_fresh && !self.name.has_colon {
                *at += 1;
                self.name.has_colon = true;
                self.name.is_fresh = true;
            } else {
                self.name.read(&data[start..*at], limits)?;
                return self.end_name();
            }
        }
        self.name.read(&data[start..*at], limits)?;
        Ok(Found::More)
    }

    fn end_name(&mut self) -> Scan<Found> {
        if self.name.is_fresh {
            return Err(XmlError::NotWellFormed);
        }
        self.state = match self.state {
            State::Name => {
                self.tag = self.name.hash;
                State::Value
            }
            State::AttributeName => State::Equals,
            _ => State::EndTag,
        };
        Ok(Found::More)
    }

    fn count_attribute(&mut self, is_declaration: bool, limits: &Limits) -> Scan<()> {
        let (count, limit) = match is_declaration {
            true => (&mut self.namespaces, limits.namespaces),
            false => (&mut self.attributes, limits.attributes),
        };
        *count += 1;
        if *count > limit {
            Err(XmlError::TooComplex)
        } else {
            Ok(())
        }
    }

    /// Behind the `>` of a start tag.
    fn enter(&mut self) -> Found {
        self.open.push(self.tag);
        self.depth += 1;
        self.state = State::Text;
        if self.depth == 1 {
            Found::RootTag
        } else {
            Found::More
        }
    }

    /// An end tag must have the name of the element that it ends: told here, not when the stanza
    /// seems complete, since what follows would be taken for its content.
    fn close(&mut self, name: u32) -> Scan<()> {
        match self.open.pop() {
            Some(open) if open == name => Ok(()),
            _ => Err(XmlError::NotWellFormed),
        }
    }

    /// Behind the `>` that ends an element.
    fn leave(&mut self) -> Found {
        self.depth -= 1;
        if self.depth > 0 {
            self.state = State::Text;
            return Found::More;
        }
        self.state = State::Between;
        self.elements = 0;
        self.open.shrink_to(KEPT);
        Found::Element
    }

    fn text(&mut self, data: &[u8], at: &mut usize) -> Scan<Found> {
        loop {
            *at += text_run(&data[*at..]);
            let Some(&byte) = data.get(*at) else { break };
            match byte {
                b'<' => {
                    *at += 1;
                    self.state = State::Less;
                    break;
                }
                b']' => match data[*at + 1..] {
                    // XML 1.0 §2.4: the end of a CDATA section must not stand in text.
                    [b']', b'>', ..] => return Err(XmlError::NotWellFormed),
                    [] | [b']'] => break,
                    _ => *at += 1,
                },
                _ => {
                    if !units(data, at)? {
                        break;
                    }
                }
            }
        }
        Ok(Found::More)
    }

    fn inside(&mut self, data: &[u8], at: &mut usize) -> Scan<Found> {
        loop {
            *at += attribute_run(&data[*at..]);
            let Some(&byte) = data.get(*at) else { break };
            match byte {
                b'\'' | b'"' => {
                    *at += 1;
                    if byte == self.quote {
                        self.state = State::Value;
                        break;
                    }
                }
                b'<' => return Err(XmlError::NotWellFormed),
                _ => {
                    if !units(data, at)? {
                        break;
                    }
                }
            }
        }
        Ok(Found::More)
    }

    fn cdata(&mut self, data: &[u8], at: &mut usize) -> Scan<Found> {
        loop {
            *at += text_run(&data[*at..]);
            let Some(&byte) = data.get(*at) else { break };
            match byte {
                b']' => match data[*at + 1..] {
                    [b']', b'>', ..] => {
                        *at += 3;
                        self.state = State::Text;
                        break;
                    }
                    [] | [b']'] => break,
                    _ => *at += 1,
                },
                b'<' | b'&' => *at += 1,
                _ => {
                    if !units(data, at)? {
                        break;
                    }
                }
            }
        }
        Ok(Found::More)
    }
}

/// The length of the name at the start of the data, if it is one of ASCII without prefix, within
/// the limit, and its end is to be seen.
#[inline]
/// Whether the bytes are exactly one start tag.
pub(crate) fn check_start_tag(data: &[u8]) -> Scan<()> {
    match Framer::new().scan(data, &Limits::after_login())? {
        (read, Found::RootTag) if read == data.len() => Ok(()),
        _ => Err(XmlError::NotWellFormed),
    }
}

/// Whether the bytes are exactly one element, as far as the machine can tell.
pub(crate) fn check(data: &[u8], limits: &Limits) -> Scan<()> {
    let mut framer = Framer::new();
    let mut at = 0;
    loop {
        match framer.scan(&data[at..], limits)? {
            (read, Found::RootTag) => at += read,
            (read, Found::Element) if at + read == data.len() => return Ok(()),
            _ => return Err(XmlError::NotWellFormed),
        }
    }
}

#[cfg(test)]
mod tests;
