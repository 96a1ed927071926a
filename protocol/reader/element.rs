//! A complete element as the reader hands it out, and the declarations around it.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use smol_str::SmolStr;

use super::{StreamKind, header};
use crate::ns;
use crate::stanza::{self, Child, Stanza, Unreadable};
use crate::xml::Element;
use crate::xml::outline::Outline;
use crate::xml::walk::Context;

/// What the header declared, shared by the elements that were read under it.
#[derive(Debug)]
pub(super) struct Scope {
    pub(super) context: Context,
    /// The name of the stream's own element, as written.
    pub(super) name: SmolStr,
}

/// A complete element of a stream, checked, as it came.
#[derive(Clone, Debug)]
pub struct RawElement {
    bytes: Bytes,
    found: Outline,
    scope: Option<Arc<Scope>>,
    kind: StreamKind,
}

impl RawElement {
    pub(super) fn new(
        bytes: Bytes,
        found: Outline,
        scope: Option<Arc<Scope>>,
        kind: StreamKind,
    ) -> RawElement {
        RawElement {
            bytes,
            found,
            scope,
            kind,
        }
    }

    /// The local name.
    pub fn name(&self) -> &str {
        &self.found.name
    }

    /// The namespace.
    pub fn ns(&self) -> &str {
        &self.found.ns
    }

    /// Whether the element has this namespace and name.
    pub fn is(&self, ns: &str, name: &str) -> bool {
        self.name() == name && self.ns() == ns
    }

    /// Bytes on the wire.
    pub fn wire_len(&self) -> usize {
        self.bytes.len()
    }

    /// The names of the children.
    pub fn children(&self) -> &[Child] {
        &self.found.children
    }

    /// The element as a tree.
    pub fn to_element(&self) -> Element {
        let text = std::str::from_utf8(&self.bytes).unwrap_or_default();
        let read = with_context(self.kind, &self.scope, |context| {
            Element::read(text, context)
        });
        // The outline was read from the same bytes by the same rules, so this does not fail.
        read.unwrap_or_else(|_| Element::new(self.found.ns.clone(), self.found.name.clone()))
    }

    /// The element as a stanza, with what to do about one that is none.
    pub fn to_stanza(&self) -> Result<Stanza, Unreadable> {
        with_context(self.kind, &self.scope, |context| {
            stanza::read::wire(&self.bytes, &self.found, context, self.kind.content())
        })
    }
}

/// What nearly every header declares, so that nothing need be kept for it.
pub(super) fn usual(kind: StreamKind) -> &'static Context {
    static CLIENT: LazyLock<Context> = LazyLock::new(|| header::usual_context(ns::CLIENT));
    static SERVER: LazyLock<Context> = LazyLock::new(|| header::usual_context(ns::SERVER));
    static COMPONENT: LazyLock<Context> =
        LazyLock::new(|| header::usual_context(ns::COMPONENT_ACCEPT));
    static NONE: LazyLock<Context> = LazyLock::new(|| Context::plain(""));
    match kind {
        StreamKind::Client => &CLIENT,
        StreamKind::Server => &SERVER,
        StreamKind::Component => &COMPONENT,
        StreamKind::WebSocket => &NONE,
    }
}

pub(super) fn with_context<T>(
    kind: StreamKind,
    scope: &Option<Arc<Scope>>,
    read: impl FnOnce(&Context) -> T,
) -> T {
    match scope {
        Some(scope) => read(&scope.context),
        None => read(usual(kind)),
    }
}
