//! What extensions ask of an IQ before they answer it.

use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::stanza::{IqType, Kind, Stanza};
use rookery_protocol::xml::Element;

/// Whether this is an IQ get about an element of this name.
pub fn gets(request: &Stanza, payload: &Element, name: &str) -> bool {
    request.kind == Kind::Iq(IqType::Get) && payload.name() == name
}

/// Whether this is an IQ set about an element of this name.
pub fn sets(request: &Stanza, payload: &Element, name: &str) -> bool {
    request.kind == Kind::Iq(IqType::Set) && payload.name() == name
}

/// The one answer both for what is not offered (RFC 6120 §8.3.3.19) and for what the asker may
/// not know, so that an account looks like one that does not exist (RFC 6121 §8.5.1).
pub fn unavailable() -> StanzaError {
    StanzaError::new(Condition::ServiceUnavailable)
}

/// What is not understood although its namespace is.
pub fn bad_request() -> StanzaError {
    StanzaError::new(Condition::BadRequest)
}
