//! One pass over a complete element: tags matched, namespaces resolved, duplicates refused.
//!
//! The framer has checked every byte before (characters, names, references, quotes); this pass
//! does what needs the whole slice: Namespaces in XML 1.0, and that end tags match. It is safe on
//! any input, but only what the framer let through is known to be well-formed afterwards.

use std::borrow::Cow;

use memchr::{memchr, memmem};
use smallvec::SmallVec;
use smol_str::SmolStr;

use super::tag::{Name, Tag};
use super::{XmlError, unescape};
use crate::ns;

/// Prefix declarations in scope at one place, default ones included. RFC 6120 needs a handful; the
/// bound keeps resolution linear.
const BINDINGS_MAX: usize = 128;
/// Depth that a caller of [`Element::parse`] may ask for; the framer's limit is lower.
const DEPTH_MAX: usize = 256;
/// Attributes of one element; the framer's limit is lower.
const ATTRIBUTES_MAX: usize = 256;
/// The binding of the prefix `xml`, which needs no declaration.
const XML_BINDING: u16 = 0;
/// The binding of the default namespace outside the element.
const DEFAULT_BINDING: u16 = 1;

/// The namespaces in force around an element: those of the stream header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Context {
    pub(crate) default: SmolStr,
    pub(crate) prefixes: Vec<(SmolStr, SmolStr)>,
}

impl Context {
    /// A default namespace and no prefixes.
    pub(crate) fn plain(default: &str) -> Context {
        Context {
            default: ns::shared(default),
            prefixes: Vec::new(),
        }
    }
}

/// What the pass comes by. Positions are byte offsets into the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// A start tag; `end` is behind its `>`.
    Open { at: usize, end: usize },
    /// An end tag, or the end of an empty element (then both are behind its `>`).
    Close { at: usize, end: usize },
    /// Character data with its escapes.
    Text(&'a str),
    /// The inside of a CDATA section.
    CData(&'a str),
}

/// A declaration. Those of the context are numbered first, then follow those of the text.
#[derive(Clone, Copy)]
struct Binding<'a> {
    /// Empty for the default namespace.
    prefix: &'a str,
    /// The name of the namespace as it was written.
    raw: &'a str,
    is_escaped: bool,
    /// Whether it is the namespace that the pass was told of.
    is_content: bool,
}

#[derive(Clone, Copy)]
struct Level<'a> {
    name: &'a str,
    /// The binding of the default namespace.
    default: u16,
    /// How many declarations of the text were in force outside.
    bindings: u16,
    /// Whether the element is in `content`.
    in_content: bool,
}

/// The pass. After an [`Token::Open`] its name, namespace and attributes can be asked for.
pub(crate) struct Walk<'a> {
    text: &'a str,
    at: usize,
    context: &'a Context,
    /// How many bindings the context makes.
    given: u16,
    is_default_content: bool,
    bindings: SmallVec<[Binding<'a>; 4]>,
    levels: SmallVec<[Level<'a>; 4]>,
    /// The names of the attributes of the start tag just read.
    attributes: SmallVec<[Name<'a>; 4]>,
    local: &'a str,
    binding: u16,
    /// Whether the element just opened is empty, and so has no level.
    is_empty: bool,
    /// How many declarations of the text were in force outside the element just opened.
    outside: u16,
    is_done: bool,
    /// Bindings that came from outside the root or from the root's own start tag.
    outer: u16,
    /// Whether something below the root used a prefix that was bound outside or by the root.
    pub(crate) used_outer_prefix: bool,
    /// Whether something below the root lies in a default namespace bound outside or by the root
    /// that differs from `content`.
    pub(crate) left_content: bool,
    /// Whether something below the root declares `content` itself, and is in it.
    pub(crate) declared_content: bool,
    /// Whether something below the root declares `content` in a spelling with references.
    pub(crate) escaped_content: bool,
    /// Whether something is in `content` by the default namespace outside, but its parent is not.
    pub(crate) detached_content: bool,
    content: &'a str,
}

impl<'a> Walk<'a> {
    /// A pass over the text, which begins with `<`. `content` is the namespace that the public
    /// fields speak of.
    pub(crate) fn new(text: &'a str, context: &'a Context, content: &'a str) -> Walk<'a> {
        let given = DEFAULT_BINDING + 1 + context.prefixes.len() as u16;
        Walk {
            text,
            at: 0,
            context,
            given,
            is_default_content: context.default == content,
            outer: given,
            bindings: SmallVec::new(),
            levels: SmallVec::new(),
            attributes: SmallVec::new(),
            local: "",
            binding: 0,
            is_empty: false,
            outside: 0,
            is_done: false,
            used_outer_prefix: false,
            left_content: false,
            declared_content: false,
            escaped_content: false,
            detached_content: false,
            content,
        }
    }

    /// The next token; `None` behind the end of the root.
    pub(crate) fn step(&mut self) -> Result<Option<Token<'a>>, XmlError> {
        if self.is_empty {
            self.is_empty = false;
            self.leave(self.outside);
            return Ok(Some(Token::Close {
                at: self.at,
                end: self.at,
            }));
        }
        let rest = &self.text[self.at..];
        if self.is_done {
            return if rest.is_empty() {
                Ok(None)
            } else {
                Err(XmlError::NotWellFormed)
            };
        }
        if !rest.starts_with('<') {
            let next = memchr(b'<', rest.as_bytes()).ok_or(XmlError::NotWellFormed)?;
            if self.levels.is_empty() {
                return Err(XmlError::NotWellFormed);
            }
            self.at += next;
            return Ok(Some(Token::Text(&rest[..next])));
        }
        match rest.as_bytes().get(1) {
            Some(b'/') => self.close(rest).map(Some),
            Some(b'!') => self.cdata(rest).map(Some),
            Some(b'?') | None => Err(XmlError::Restricted),
            Some(_) => self.open(rest).map(Some),
        }
    }

    /// How deep the pass is: 1 inside the root.
    pub(crate) fn depth(&self) -> usize {
        self.levels.len() + usize::from(self.is_empty)
    }

    /// The local name of the element just opened.
    pub(crate) fn local(&self) -> &'a str {
        self.local
    }

    /// The namespace of the element just opened.
    pub(crate) fn ns(&self) -> Cow<'a, str> {
        self.uri(self.binding)
    }

    /// The namespace that a prefix stands for in the element just opened.
    #[cfg(test)]
    pub(crate) fn bound(&mut self, prefix: &str) -> Result<Cow<'a, str>, XmlError> {
        self.lookup(prefix).map(|binding| self.uri(binding))
    }

    fn uri(&self, binding: u16) -> Cow<'a, str> {
        let context = self.context;
        match binding {
            XML_BINDING => Cow::Borrowed(ns::XML),
            DEFAULT_BINDING => Cow::Borrowed(&context.default),
            _ if binding < self.given => {
                Cow::Borrowed(&context.prefixes[usize::from(binding - DEFAULT_BINDING - 1)].1)
            }
            _ => match self.bindings[usize::from(binding - self.given)] {
                // It was read once already, when it was declared.
                Binding {
                    raw, is_escaped, ..
                } if is_escaped => unescape(raw, true).unwrap_or_default(),
                Binding { raw, .. } => Cow::Borrowed(raw),
            },
        }
    }

    fn cdata(&mut self, rest: &'a str) -> Result<Token<'a>, XmlError> {
        let Some(inside) = rest.strip_prefix("<![CDATA[") else {
            return Err(XmlError::Restricted);
        };
        let end = memmem::find(inside.as_bytes(), b"]]>").ok_or(XmlError::NotWellFormed)?;
        if self.levels.is_empty() {
            return Err(XmlError::NotWellFormed);
        }
        self.at += "<![CDATA[".len() + end + "]]>".len();
        Ok(Token::CData(&inside[..end]))
    }

    fn close(&mut self, rest: &'a str) -> Result<Token<'a>, XmlError> {
        let level = self.levels.last().ok_or(XmlError::NotWellFormed)?;
        let behind = rest[2..]
            .strip_prefix(level.name)
            .ok_or(XmlError::NotWellFormed)?;
        let space = match behind.starts_with('>') {
            true => 0,
            false => behind.len() - behind.trim_ascii_start().len(),
        };
        if behind.as_bytes().get(space) != Some(&b'>') {
            return Err(XmlError::NotWellFormed);
        }
        let end = 2 + level.name.len() + space;
        let outside = level.bindings;
        self.levels.pop();
        self.leave(outside);
        let at = self.at;
        self.at += end + 1;
        Ok(Token::Close { at, end: self.at })
    }

    fn leave(&mut self, outside: u16) {
        self.bindings.truncate(usize::from(outside));
        self.is_done = self.levels.is_empty();
    }

    fn open(&mut self, rest: &'a str) -> Result<Token<'a>, XmlError> {
        if self.levels.len() >= DEPTH_MAX {
            return Err(XmlError::TooComplex);
        }
        let outside = self.bindings.len() as u16;
        let above = self.levels.last();
        let is_root = above.is_none();
        let above_in_content = above.is_none_or(|level| level.in_content);
        let mut default = above.map_or(DEFAULT_BINDING, |level| level.default);
        let mut tag = Tag::new(rest)?;
        self.attributes.clear();
        let mut is_prefixed = false;
        while let Some((name, raw)) = tag.next()? {
            if let Some(prefix) = name.declared() {
                let binding = self.declare(prefix, raw, outside)?;
                if prefix.is_empty() {
                    default = binding;
                }
                continue;
            }
            if self.attributes.len() >= ATTRIBUTES_MAX {
                return Err(XmlError::TooComplex);
            }
            if self.attributes.iter().any(|held| held.text == name.text) {
                return Err(XmlError::NotWellFormed);
            }
            is_prefixed |= name.has_prefix();
            self.attributes.push(name);
        }
        if is_root {
            self.outer = self.given + self.bindings.len() as u16;
        }
        if is_prefixed {
            self.check_attributes(is_root)?;
        }
        let (prefix, local) = tag.name.split();
        self.local = local;
        self.binding = match prefix.is_empty() {
            true => default,
            false => self.lookup(prefix)?,
        };
        let in_content = self.is_content(self.binding);
        if !is_root && prefix.is_empty() {
            self.left_content |= default < self.outer && !in_content;
            self.detached_content |= default < self.outer && in_content && !above_in_content;
        } else if !is_root {
            self.used_outer_prefix |= self.is_outer_prefix(self.binding);
        }
        self.declared_content |= !is_root && in_content && self.binding >= self.outer;
        (self.is_empty, self.outside) = (tag.is_empty(), outside);
        if !self.is_empty {
            self.levels.push(Level {
                name: tag.name.text,
                default,
                bindings: outside,
                in_content,
            });
        }
        let at = self.at;
        self.at += tag.end();
        Ok(Token::Open { at, end: self.at })
    }

    fn is_content(&self, binding: u16) -> bool {
        match binding {
            XML_BINDING => false,
            DEFAULT_BINDING => self.is_default_content,
            declared if declared >= self.given => {
                self.bindings[usize::from(declared - self.given)].is_content
            }
            of_header => {
                let at = usize::from(of_header - DEFAULT_BINDING - 1);
                self.context.prefixes[at].1 == self.content
            }
        }
    }

    /// Whether a prefix was bound outside the root or by it.
    fn is_outer_prefix(&self, binding: u16) -> bool {
        binding < self.outer && binding != XML_BINDING
    }

    /// Namespaces in XML 1.0 §3, §5 and §6.3.
    fn declare(&mut self, prefix: &'a str, raw: &'a str, outside: u16) -> Result<u16, XmlError> {
        let is_plain = is_all_uri(raw.as_bytes());
        let uri = match is_plain {
            true => Cow::Borrowed(raw),
            false => unescape(raw, true)?,
        };
        let is_repeated = self.bindings[usize::from(outside)..]
            .iter()
            .any(|held| held.prefix == prefix);
        let is_reserved = uri == ns::XMLNS
            || prefix == "xmlns"
            || (prefix == "xml") != (uri == ns::XML)
            || (uri.is_empty() && !prefix.is_empty())
            || !(is_plain || uri.bytes().all(is_uri_byte));
        if is_repeated || is_reserved {
            return Err(XmlError::NotWellFormed);
        }
        let binding = self.given + self.bindings.len() as u16;
        if usize::from(binding) >= BINDINGS_MAX {
            return Err(XmlError::TooComplex);
        }
        let is_content = uri == self.content;
        self.escaped_content |= is_content && !is_plain;
        self.bindings.push(Binding {
            prefix,
            raw,
            is_escaped: !is_plain,
            is_content,
        });
        Ok(binding)
    }

    fn lookup(&self, prefix: &str) -> Result<u16, XmlError> {
        if prefix == "xml" {
            return Ok(XML_BINDING);
        }
        if let Some(found) = self.bindings.iter().rposition(|held| held.prefix == prefix) {
            return Ok(self.given + found as u16);
        }
        let header = &self.context.prefixes;
        match header.iter().position(|(held, _)| held == prefix) {
            Some(found) => Ok(DEFAULT_BINDING + 1 + found as u16),
            None => Err(XmlError::UndeclaredPrefix),
        }
    }

    /// Resolves prefixed attributes; two of one expanded name are one too many (Namespaces in
    /// XML 1.0 §6.3).
    fn check_attributes(&mut self, is_root: bool) -> Result<(), XmlError> {
        let mut seen: SmallVec<[(u16, &str); 4]> = SmallVec::new();
        for name in self.attributes.iter().filter(|name| name.has_prefix()) {
            let (prefix, local) = name.split();
            let binding = self.lookup(prefix)?;
            self.used_outer_prefix |= !is_root && self.is_outer_prefix(binding);
            let is_twin = seen
                .iter()
                .any(|held| held.1 == local && self.uri(held.0) == self.uri(binding));
            if is_twin {
                return Err(XmlError::NotWellFormed);
            }
            seen.push((binding, local));
        }
        Ok(())
    }
}

/// Checks a complete element without keeping anything of it.
pub(crate) fn check(text: &str, context: &Context) -> Result<(), XmlError> {
    let mut walk = Walk::new(text, context, "");
    while walk.step()?.is_some() {}
    Ok(())
}

/// Whether a start tag in this child of a stanza names `jabber:client`, its own or one that follows
/// it in that namespace without a break. Attributes count, too: it is right to be too careful here.
pub(crate) fn names_client(text: &str) -> bool {
    let context = Context::plain(ns::CLIENT);
    let mut walk = Walk::new(text, &context, ns::CLIENT);
    // How many of the open elements follow the stanza.
    let mut following = 0;
    loop {
        match walk.step() {
            Ok(Some(Token::Open { at, end })) if walk.depth() == following + 1 => {
                if walk.is_content(walk.binding) {
                    following += 1;
                    let tag = &text.as_bytes()[at..end];
                    if memmem::find(tag, ns::CLIENT.as_bytes()).is_some() {
                        return true;
                    }
                }
            }
            Ok(Some(Token::Close { .. })) => following = following.min(walk.depth()),
            Ok(Some(_)) => {}
            Ok(None) => return false,
            Err(_) => return true,
        }
    }
}

/// Whether a byte may stand in a namespace name: those of RFC 3986 §2, and all beyond ASCII. XML
/// leaves it open, but parsers join namespace and name by a character that no URI has, and expat
/// ends the stream when it finds that character inside: so such a name, forwarded, would break the
/// stream of whoever receives it.
const fn is_uri_byte(byte: u8) -> bool {
    !matches!(byte, 0..=b' ' | b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{'..=0x7f)
        || byte == b'~'
}

/// Whether a namespace name means itself as it is written, and may be the default namespace.
pub(crate) fn is_plain_namespace(raw: &[u8]) -> bool {
    let is_reserved = raw == ns::XML.as_bytes() || raw == ns::XMLNS.as_bytes();
    !raw.is_empty() && !is_reserved && is_all_uri(raw)
}

fn is_all_uri(raw: &[u8]) -> bool {
    // Blocks of one size without a way out become straight code.
    let is_all = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(true, |all, &byte| all & IN_URI[usize::from(byte)])
    };
    let (blocks, rest) = raw.as_chunks::<8>();
    blocks.iter().all(|block| is_all(block)) && is_all(rest)
}

/// Bytes that may stand in a namespace name and mean themselves.
static IN_URI: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = is_uri_byte(byte as u8) && byte != b'&' as usize;
        byte += 1;
    }
    table
};
