//! A whole stanza of the usual spelling, framed and outlined in one pass.
//!
//! Nearly every stanza is there in one piece and is written without prefixes, CDATA sections and
//! odd white space. Those are read here, at a third of what the framer and the walk take. Whatever
//! is not of that kind, is not complete, or comes near a limit, is `None`, and the framer and the
//! walk judge it from its first byte: nothing is refused here, and nothing is let through that
//! they would refuse or read differently (tests hold the two against each other).

use std::sync::Arc;

use smallvec::SmallVec;

use super::outline::{Child, Head, Outline, Span};
use super::walk::{self, Context};
use crate::framer::{Limits, NAME, NAME_START, SPACE, class, ordinary, unit};
use crate::ns;

/// Deeper stanzas are not usual.
const DEPTH_MAX: usize = 16;
/// Nor are tags with more attributes.
const ATTRIBUTES_MAX: usize = 8;

struct Tag {
    name: Span,
    /// The default namespace that it declares.
    ns: Option<Span>,
    is_empty: bool,
}

struct Found {
    tag: Tag,
    start: usize,
    end: usize,
}

type Children = SmallVec<[Found; 6]>;

/// Reads the stanza that the data begin with, and how long it is. `content` is the content
/// namespace of the stream, `context` what its header declares.
pub(crate) fn plain(
    data: &[u8],
    limits: &Limits,
    context: &Context,
    content: &str,
) -> Option<(usize, Outline)> {
    let mut pass = Pass {
        data,
        at: 0,
        limits,
        elements: 0,
        attributes: [(Span::default(), Span::default()); ATTRIBUTES_MAX],
        count: 0,
        has_reference: false,
    };
    pass.take(b'<')?;
    let root = pass.tag()?;
    let head = pass.head();
    let ns = root
        .ns
        .map_or(context.default.as_bytes(), |ns| &data[ns.range()]);
    if ns != content.as_bytes() || &data[root.name.range()] == b"stream" {
        return None;
    }
    let inside = pass.at;
    let mut children = Children::new();
    let end = match root.is_empty {
        true => inside,
        false => pass.children(root.name, content, &mut children)?,
    };
    // The one check of what is beyond ASCII; U+FFFE and U+FFFF were not let in.
    let text = std::str::from_utf8(&data[..pass.at]).ok()?;
    let child = |found: &Found| Child {
        ns: match found.tag.ns {
            Some(ns) => ns::shared(&text[ns.range()]),
            // RFC 6120 §4.8.3: the content namespace is shown as that of clients.
            None => ns::shared(ns::CLIENT),
        },
        name: text[found.tag.name.range()].into(),
        start: (found.start - inside) as u32,
        end: (found.end - inside) as u32,
    };
    let outline = Outline {
        ns: ns::shared(content),
        name: text[root.name.range()].into(),
        inside: inside as u32,
        end: end as u32,
        children: match children.is_empty() {
            true => Arc::default(),
            false => children.iter().map(child).collect(),
        },
        is_portable: true,
        head,
    };
    Some((pass.at, outline))
}

struct Pass<'a> {
    data: &'a [u8],
    at: usize,
    limits: &'a Limits,
    elements: u32,
    /// Names and values of the attributes of the last start tag, declarations left out.
    attributes: [(Span, Span); ATTRIBUTES_MAX],
    count: usize,
    /// Whether a value in it has a reference.
    has_reference: bool,
}

impl Pass<'_> {
    /// What is inside the root, up to behind its end tag. Gives where that begins.
    fn children(&mut self, root: Span, content: &str, found: &mut Children) -> Option<usize> {
        let mut levels = [root; DEPTH_MAX];
        let mut depth = 1;
        loop {
            self.text()?;
            let start = self.at;
            self.take(b'<')?;
            if self.data.get(self.at) == Some(&b'/') {
                self.at += 1;
                let name = &self.data[levels[depth - 1].range()];
                if !self.data[self.at..].starts_with(name) {
                    return None;
                }
                self.at += name.len();
                self.take(b'>')?;
                depth -= 1;
                match depth {
                    0 => return Some(start),
                    1 => found.last_mut()?.end = self.at,
                    _ => {}
                }
                continue;
            }
            if depth >= DEPTH_MAX.min(usize::from(self.limits.depth)) {
                return None;
            }
            let tag = self.tag()?;
            // Behind another start tag it would mean the same on a stream of clients only.
            let is_content = tag.ns.map(|ns| &self.data[ns.range()]) == Some(content.as_bytes());
            if is_content && content != ns::CLIENT {
                return None;
            }
            let (name, is_empty) = (tag.name, tag.is_empty);
            if depth == 1 {
                let end = self.at;
                found.push(Found { tag, start, end });
            }
            if !is_empty {
                levels[depth] = name;
                depth += 1;
            }
        }
    }

    /// A start tag behind its `<`.
    fn tag(&mut self) -> Option<Tag> {
        self.elements += 1;
        if self.elements > self.limits.elements {
            return None;
        }
        let name = self.name()?;
        let mut ns = None;
        (self.count, self.has_reference) = (0, false);
        loop {
            let is_empty = match self.data[self.at..] {
                [b' ', b'>' | b'/', ..] => {
                    self.at += 1;
                    continue;
                }
                [b' ', ..] => {
                    self.at += 1;
                    None
                }
                [b'>', ..] => Some(false),
                [b'/', b'>', ..] => Some(true),
                _ => return None,
            };
            if let Some(is_empty) = is_empty {
                self.at += 1 + usize::from(is_empty);
                return Some(Tag { name, ns, is_empty });
            }
            let (name, value) = self.attribute()?;
            let written = &self.data[name.range()];
            if written == b"xmlns" {
                let uri = &self.data[value.range()];
                if ns.is_some() || self.limits.namespaces == 0 || !walk::is_plain_namespace(uri) {
                    return None;
                }
                ns = Some(value);
                continue;
            }
            let is_twin = |held: &(Span, Span)| &self.data[held.0.range()] == written;
            if self.count >= ATTRIBUTES_MAX.min(usize::from(self.limits.attributes))
                || self.attributes[..self.count].iter().any(is_twin)
            {
                return None;
            }
            self.attributes[self.count] = (name, value);
            self.count += 1;
        }
    }

    /// What the last start tag says to a router, if it says nothing else and without references.
    fn head(&self) -> Option<Head> {
        let mut head = Head::default();
        for (name, value) in &self.attributes[..self.count] {
            match &self.data[name.range()] {
                b"to" => head.to = Some(*value),
                b"from" => head.from = Some(*value),
                b"id" => head.id = Some(*value),
                b"type" => head.kind = Some(*value),
                b"xml:lang" => head.lang = Some(*value),
                _ => return None,
            }
        }
        (!self.has_reference).then_some(head)
    }

    /// An attribute: its name, with no prefix but `xml`, and its value.
    fn attribute(&mut self) -> Option<(Span, Span)> {
        let mut name = self.name()?;
        if self.data.get(self.at) == Some(&b':') && &self.data[name.range()] == b"xml" {
            self.at += 1;
            name.end = self.name()?.end;
            if name.range().len() > usize::from(self.limits.name_len) {
                return None;
            }
        }
        self.take(b'=')?;
        let quote = match self.data.get(self.at) {
            Some(quote @ (b'\'' | b'"')) => *quote,
            _ => return None,
        };
        self.at += 1;
        let start = self.at as u32;
        loop {
            self.at += ordinary(&self.data[self.at..], quote);
            match *self.data.get(self.at)? {
                byte if byte == quote => break,
                byte @ (b'&' | 0xef) => {
                    self.has_reference |= byte == b'&';
                    self.at += unit(&self.data[self.at..]).ok()??;
                }
                _ => return None,
            }
        }
        let end = self.at as u32;
        self.at += 1;
        Some((name, Span { start, end }))
    }

    /// A name without prefix.
    fn name(&mut self) -> Option<Span> {
        let start = self.at;
        if class(*self.data.get(start)?) & NAME_START == 0 {
            return None;
        }
        let mut end = start + 1;
        while self
            .data
            .get(end)
            .is_some_and(|&byte| class(byte) & NAME != 0)
        {
            end += 1;
        }
        self.at = end;
        let is_short = end - start <= usize::from(self.limits.name_len);
        let (start, end) = (start as u32, end as u32);
        is_short.then_some(Span { start, end })
    }

    /// Character data, up to a `<`.
    fn text(&mut self) -> Option<()> {
        loop {
            self.at += ordinary(&self.data[self.at..], b']');
            match self.data[self.at..] {
                [b'<', ..] => return Some(()),
                [b'&' | 0xef, ..] => self.at += unit(&self.data[self.at..]).ok()??,
                // XML 1.0 §2.4: `]]>` is not text.
                [b']', next, ..] if next != b']' => self.at += 1,
                [byte, ..] if class(byte) & SPACE != 0 => self.at += 1,
                _ => return None,
            }
        }
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.data.get(self.at) == Some(&byte)).then(|| self.at += 1)
    }
}
