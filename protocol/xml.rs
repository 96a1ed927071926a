//! A small owned tree, for the elements that the server itself consumes or makes.
//!
//! What it only forwards stays bytes (`stanza.rs`). Names are expanded here: an element knows its
//! namespace, never its prefix; prefixes are made again on writing, where an attribute needs one.

mod escape;
pub(crate) mod outline;
pub(crate) mod plain;
pub(crate) mod tag;
mod tree;
pub(crate) mod walk;

use smol_str::SmolStr;

pub use escape::{escape_attr, escape_text};
pub(crate) use escape::{resolve, unescape};

use crate::framer::{self, Limits};
use crate::ns;
use walk::Context;

/// How much [`Element::parse`] reads: more than any stream lets in, little enough for the stack.
const PARSE_LIMITS: Limits = Limits {
    bytes: u32::MAX,
    elements: u32::MAX,
    depth: 200,
    attributes: 256,
    ..Limits::after_login()
};

/// An element with everything inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    name: SmolStr,
    ns: SmolStr,
    attributes: Vec<Attribute>,
    nodes: Vec<Node>,
}

/// An attribute. Its namespace is empty unless it had a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// The namespace, empty for most.
    pub ns: SmolStr,
    /// The local name.
    pub name: SmolStr,
    /// The value, without escapes.
    pub value: String,
}

/// What stands inside an element.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A child element.
    Element(Element),
    /// Character data, without escapes.
    Text(String),
}

/// Why a text is not one well-formed element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    /// It breaks XML 1.0 or its namespaces, or has more or less than one root.
    #[error("not well-formed")]
    NotWellFormed,
    /// A prefix is used that nobody declared.
    #[error("undeclared namespace prefix")]
    UndeclaredPrefix,
    /// Comments, processing instructions, DTDs, foreign entities (RFC 6120 §11.1).
    #[error("restricted XML")]
    Restricted,
    /// Too deep, too many attributes or declarations.
    #[error("too complex")]
    TooComplex,
}

impl Element {
    /// An empty element.
    pub fn new(ns: impl Into<SmolStr>, name: impl Into<SmolStr>) -> Element {
        Element {
            name: name.into(),
            ns: ns.into(),
            attributes: Vec::new(),
            nodes: Vec::new(),
        }
    }

    /// The same with an attribute.
    pub fn with_attr(mut self, name: &str, value: impl AsRef<str>) -> Element {
        self.set_attr(name, value);
        self
    }

    /// The same with an attribute of a namespace.
    pub fn with_attr_ns(mut self, ns: &str, name: &str, value: impl AsRef<str>) -> Element {
        self.set_attr_ns(ns, name, value);
        self
    }

    /// The same with one more child.
    pub fn with_child(mut self, child: Element) -> Element {
        self.push(child);
        self
    }

    /// The same with more children.
    pub fn with_children(mut self, children: impl IntoIterator<Item = Element>) -> Element {
        self.nodes_extend(children);
        self
    }

    /// The same with more text.
    pub fn with_text(mut self, text: impl AsRef<str>) -> Element {
        self.push_text(text);
        self
    }

    /// Sets an attribute without namespace.
    pub fn set_attr(&mut self, name: &str, value: impl AsRef<str>) {
        self.set_attr_ns("", name, value);
    }

    /// Sets an attribute of a namespace.
    pub fn set_attr_ns(&mut self, ns: &str, name: &str, value: impl AsRef<str>) {
        let value = value.as_ref().to_owned();
        let known = self
            .attributes
            .iter_mut()
            .find(|held| held.ns == ns && held.name == name);
        match known {
            Some(held) => held.value = value,
            None => self.attributes.push(Attribute {
                ns: ns.into(),
                name: name.into(),
                value,
            }),
        }
    }

    /// Takes an attribute without namespace away.
    pub fn remove_attr(&mut self, name: &str) {
        self.attributes
            .retain(|held| !(held.ns.is_empty() && held.name == name));
    }

    /// Appends a child.
    pub fn push(&mut self, child: Element) {
        self.nodes.push(Node::Element(child));
    }

    /// Appends children.
    pub fn nodes_extend(&mut self, children: impl IntoIterator<Item = Element>) {
        self.nodes.extend(children.into_iter().map(Node::Element));
    }

    /// Appends text; adjoining texts become one.
    pub fn push_text(&mut self, text: impl AsRef<str>) {
        let text = text.as_ref();
        match self.nodes.last_mut() {
            _ if text.is_empty() => {}
            Some(Node::Text(last)) => last.push_str(text),
            _ => self.nodes.push(Node::Text(text.to_owned())),
        }
    }

    /// Keeps the child elements that pass, and all text.
    pub fn retain_children(&mut self, mut keep: impl FnMut(&Element) -> bool) {
        self.nodes.retain(|node| match node {
            Node::Element(child) => keep(child),
            Node::Text(_) => true,
        });
    }

    /// The local name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The namespace; empty if there is none.
    pub fn ns(&self) -> &str {
        &self.ns
    }

    /// Whether the element has this namespace and name.
    pub fn is(&self, ns: &str, name: &str) -> bool {
        self.name == name && self.ns == ns
    }

    /// The value of an attribute without namespace.
    pub fn attr(&self, name: &str) -> Option<&str> {
        self.attr_ns("", name)
    }

    /// The value of an attribute of a namespace.
    pub fn attr_ns(&self, ns: &str, name: &str) -> Option<&str> {
        let found = self
            .attributes
            .iter()
            .find(|held| held.name == name && held.ns == ns);
        found.map(|held| held.value.as_str())
    }

    /// All attributes in the order in which they stood.
    pub fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }

    /// The first child of this namespace and name.
    pub fn child(&self, ns: &str, name: &str) -> Option<&Element> {
        self.children().find(|child| child.is(ns, name))
    }

    /// The first child of this namespace and name, to change it.
    pub fn child_mut(&mut self, ns: &str, name: &str) -> Option<&mut Element> {
        self.nodes.iter_mut().find_map(|node| match node {
            Node::Element(child) if child.is(ns, name) => Some(child),
            _ => None,
        })
    }

    /// The child elements.
    pub fn children(&self) -> impl Iterator<Item = &Element> + Clone {
        self.nodes.iter().filter_map(|node| match node {
            Node::Element(child) => Some(child),
            Node::Text(_) => None,
        })
    }

    /// The text directly inside, joined.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for node in &self.nodes {
            if let Node::Text(part) = node {
                text.push_str(part);
            }
        }
        text
    }

    /// Everything inside, in order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Reads one complete element. `default_ns` is the default namespace around it; no prefixes
    /// but `xml` are known.
    pub fn parse(text: &str, default_ns: &str) -> Result<Element, XmlError> {
        framer::check(text.as_bytes(), &PARSE_LIMITS)?;
        let context = Context::plain(default_ns);
        walk::check(text, &context)?;
        Element::read(text, &context)
    }

    /// The same for a text that the framer and the walk have let through.
    pub(crate) fn parse_sound(text: &str, default_ns: &str) -> Result<Element, XmlError> {
        Element::read(text, &Context::plain(default_ns))
    }

    /// Reads one complete element in the context of a stream, in which the framer and the walk
    /// have let it through.
    pub(crate) fn read(text: &str, context: &Context) -> Result<Element, XmlError> {
        tree::tree(text, context)
    }

    /// Moves the element, and below it what follows it without a break, from one content
    /// namespace to another (RFC 6120 §4.8.3).
    pub(crate) fn rescope(&mut self, content: &str, other: &str) {
        if self.ns == content {
            self.ns = ns::shared(other);
            for node in &mut self.nodes {
                if let Node::Element(child) = node {
                    child.rescope(content, other);
                }
            }
        }
    }

    /// Writes the element into a place where `parent_ns` is the default namespace and the prefix
    /// `stream` is declared; with an empty `parent_ns` nothing around is counted on.
    pub fn write(&self, out: &mut Vec<u8>, parent_ns: &str) {
        self.write_inside(out, parent_ns, parent_ns.is_empty());
    }

    /// The element as bytes for a place where `parent_ns` is the default namespace.
    pub fn to_bytes(&self, parent_ns: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        self.write(&mut out, parent_ns);
        out
    }

    fn write_inside(&self, out: &mut Vec<u8>, parent_ns: &str, declare_stream: bool) {
        let is_stream = self.ns == ns::STREAM;
        // Where `stream:` elements are written, the prefix is declared by the header (RFC 6120
        // §4.8.5), and peers expect to see it; the default namespace then stays as it was.
        let (prefix, inner_ns) = match self.ns() {
            ns::STREAM => ("stream:", parent_ns),
            // Namespaces in XML 1.0 §3: it must not be the default namespace.
            ns::XML => ("xml:", parent_ns),
            own => ("", own),
        };
        out.push(b'<');
        out.extend_from_slice(prefix.as_bytes());
        out.extend_from_slice(self.name.as_bytes());
        if prefix.is_empty() && self.ns != parent_ns {
            attribute(out, "", "xmlns", &self.ns);
        }
        if is_stream && declare_stream {
            attribute(out, "xmlns:", "stream", ns::STREAM);
        }
        self.write_attributes(out);
        if self.nodes.is_empty() {
            out.extend_from_slice(b"/>");
            return;
        }
        out.push(b'>');
        for node in &self.nodes {
            match node {
                Node::Element(child) => {
                    child.write_inside(out, inner_ns, declare_stream && !is_stream);
                }
                Node::Text(text) => escape_text(text, out),
            }
        }
        out.extend_from_slice(b"</");
        out.extend_from_slice(prefix.as_bytes());
        out.extend_from_slice(self.name.as_bytes());
        out.push(b'>');
    }

    fn write_attributes(&self, out: &mut Vec<u8>) {
        let mut declared: Vec<&str> = Vec::new();
        for held in &self.attributes {
            match held.ns.as_str() {
                "" => attribute(out, "", &held.name, &held.value),
                ns::XML => attribute(out, "xml:", &held.name, &held.value),
                foreign => {
                    let known = declared.iter().position(|ns| *ns == foreign);
                    let number = known.unwrap_or(declared.len());
                    if known.is_none() {
                        attribute(out, "xmlns:", &format!("ns{number}"), foreign);
                        declared.push(foreign);
                    }
                    attribute(out, &format!("ns{number}:"), &held.name, &held.value);
                }
            }
        }
    }
}

/// Writes ` prefix:name='value'`.
pub(crate) fn attribute(out: &mut Vec<u8>, prefix: &str, name: &str, value: &str) {
    out.push(b' ');
    out.extend_from_slice(prefix.as_bytes());
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"='");
    escape_attr(value, out);
    out.push(b'\'');
}

#[cfg(test)]
mod tests;
