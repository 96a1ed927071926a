//! A page of items (XEP-0059), by their ids.

use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::ns;
use rookery_protocol::xml::Element;

/// The most items of a page.
const MOST: usize = 500;

/// Which page is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// How many items, at most.
    pub max: usize,
    /// Only those after this one.
    pub after: Option<String>,
    /// Only those before this one, the last of them; empty: the last of all.
    pub before: Option<String>,
}

impl Page {
    /// Reads the `<set/>` of a request.
    pub fn read(payload: &Element) -> Result<Option<Page>, StanzaError> {
        let Some(set) = payload.child(ns::RSM, "set") else {
            return Ok(None);
        };
        let text = |name| set.child(ns::RSM, name).map(Element::text);
        if text("index").is_some() {
            // XEP-0059 §2.6.
            return Err(StanzaError::new(Condition::FeatureNotImplemented));
        }
        let max = match text("max").map(|max| max.trim().parse::<usize>()) {
            None => MOST,
            Some(Ok(max)) => max.min(MOST),
            Some(Err(_)) => return Err(StanzaError::new(Condition::BadRequest)),
        };
        Ok(Some(Page {
            max,
            after: text("after").filter(|it| !it.is_empty()),
            before: text("before"),
        }))
    }

    /// Whether the page ends where it is asked for, instead of beginning there.
    pub fn is_backwards(&self) -> bool {
        self.before.is_some()
    }

    /// The item it begins after or ends before.
    pub fn anchor(&self) -> Option<&str> {
        let anchor = self.before.as_deref().or(self.after.as_deref());
        anchor.filter(|id| !id.is_empty())
    }
}

/// The `<set/>` of an answer (XEP-0059 §2.1).
pub fn result(first: Option<&str>, last: Option<&str>, count: u32) -> Element {
    let text = |name: &'static str, text: &str| Element::new(ns::RSM, name).with_text(text);
    Element::new(ns::RSM, "set")
        .with_children(first.map(|id| text("first", id)))
        .with_children(last.map(|id| text("last", id)))
        .with_child(text("count", &count.to_string()))
}
