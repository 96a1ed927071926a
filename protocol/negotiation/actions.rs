//! What a machine answers to one event.

use super::STREAM_END;
use crate::error::StreamError;
use crate::xml::Element;

/// An action that may be to send bytes.
pub(super) trait Writing: Sized {
    /// To send these.
    fn of_bytes(bytes: Vec<u8>) -> Self;

    /// What is sent, if that is the action.
    fn bytes(&mut self) -> Option<&mut Vec<u8>>;
}

/// The actions of one event; writes are joined as they come.
pub(super) struct Actions<A>(pub Vec<A>);

impl<A> Default for Actions<A> {
    fn default() -> Actions<A> {
        Actions(Vec::new())
    }
}

impl<A: Writing> Actions<A> {
    pub fn push(&mut self, action: A) {
        self.0.push(action);
    }

    /// Adds bytes, to the last write if nothing was done since.
    pub fn write(&mut self, into: impl FnOnce(&mut Vec<u8>)) {
        if self.0.last_mut().and_then(A::bytes).is_none() {
            self.0.push(A::of_bytes(Vec::with_capacity(256)));
        }
        if let Some(bytes) = self.0.last_mut().and_then(A::bytes) {
            into(bytes);
        }
    }

    /// Adds an element of a stream with this content namespace.
    pub fn say(&mut self, element: &Element, content: &str) {
        self.write(|bytes| element.write(bytes, content));
    }

    /// Adds the end of our stream, with the error if there is one (RFC 6120 §4.9.1.1).
    pub fn end(&mut self, error: Option<&StreamError>) {
        self.write(|bytes| match error {
            Some(error) => super::write_error(error, bytes),
            None => bytes.extend_from_slice(STREAM_END),
        });
    }

    /// A header is only ever the first thing that one event makes us say.
    pub fn has_header(&mut self) -> bool {
        let first = self.0.first_mut().and_then(A::bytes);
        first.is_some_and(|bytes| bytes.starts_with(b"<?xml"))
    }
}
