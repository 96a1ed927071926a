//! What a router needs to know of an element without building its tree.

use std::ops::Range;
use std::sync::Arc;

use smallvec::SmallVec;
use smol_str::SmolStr;

use super::XmlError;
use super::walk::{Context, Token, Walk};
use crate::ns;

/// A direct child: its name, and where it lies behind the root's start tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// The namespace.
    pub ns: SmolStr,
    /// The local name.
    pub name: SmolStr,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Child {
    /// Whether the child has this namespace and name.
    pub fn is(&self, ns: &str, name: &str) -> bool {
        self.name == name && self.ns == ns
    }

    /// Bytes of the child.
    pub fn wire_len(&self) -> usize {
        (self.end - self.start) as usize
    }
}

/// A place in the bytes of an element.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    pub(crate) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// Where the values of a stanza's attributes lie, all of which mean themselves as they are written.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Head {
    pub(crate) to: Option<Span>,
    pub(crate) from: Option<Span>,
    pub(crate) id: Option<Span>,
    pub(crate) kind: Option<Span>,
    pub(crate) lang: Option<Span>,
}

/// The outline of one element.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outline {
    pub(crate) ns: SmolStr,
    pub(crate) name: SmolStr,
    /// Where the root's start tag ends.
    pub(crate) inside: u32,
    /// Where the root's end tag begins; equal to `inside` for an empty element.
    pub(crate) end: u32,
    pub(crate) children: Arc<[Child]>,
    /// Whether the bytes between mean the same behind another start tag, in `jabber:client`.
    pub(crate) is_portable: bool,
    /// The attributes, where they were noted on the way.
    pub(crate) head: Option<Head>,
}

/// Reads the outline of a complete element, and with it checks all that the framer cannot.
/// `content` is the content namespace of the stream; children in it are shown in `jabber:client`
/// (RFC 6120 §4.8.3).
pub(crate) fn outline(text: &str, context: &Context, content: &str) -> Result<Outline, XmlError> {
    let mut walk = Walk::new(text, context, content);
    let mut found = Outline {
        ns: SmolStr::default(),
        name: SmolStr::default(),
        inside: 0,
        end: 0,
        children: Arc::default(),
        is_portable: false,
        head: None,
    };
    let mut children: SmallVec<[Child; 6]> = SmallVec::new();
    let is_client = content == ns::CLIENT;
    while let Some(token) = walk.step()? {
        match (token, walk.depth()) {
            (Token::Open { end, .. }, 1) => {
                (found.ns, found.name) = (ns::shared(&walk.ns()), walk.local().into());
                (found.inside, found.end) = (end as u32, end as u32);
            }
            (Token::Open { at, .. }, 2) => {
                let ns = match !is_client && walk.ns() == content {
                    true => ns::CLIENT.into(),
                    false => walk.ns(),
                };
                let start = at as u32 - found.inside;
                children.push(Child {
                    ns: ns::shared(&ns),
                    name: walk.local().into(),
                    start,
                    end: start,
                });
            }
            (Token::Close { end, .. }, 1) => {
                if let Some(child) = children.last_mut() {
                    child.end = end as u32 - found.inside;
                }
            }
            (Token::Close { at, .. }, 0) => found.end = at as u32,
            _ => {}
        }
    }
    if !children.is_empty() {
        found.children = Arc::from(children.as_slice());
    }
    // A client's own `jabber:client` stays as it is, but is looked for in one spelling only.
    let is_rescoped = match is_client {
        true => walk.escaped_content,
        false => walk.declared_content,
    };
    let is_bound = walk.used_outer_prefix || walk.left_content || walk.detached_content;
    found.is_portable = !is_bound && !is_rescoped;
    Ok(found)
}
