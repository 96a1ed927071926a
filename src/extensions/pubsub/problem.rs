//! The errors of XEP-0060: a condition of RFC 6120 and one of its own.

use rookery_protocol::error::{Condition, ErrorType, StanzaError};
use rookery_protocol::ns;
use rookery_protocol::xml::Element;

/// `bad-request` with this condition.
pub fn bad(extra: &'static str) -> StanzaError {
    with(Condition::BadRequest, extra)
}

/// This condition with one of XEP-0060.
pub fn with(condition: Condition, extra: &'static str) -> StanzaError {
    StanzaError::new(condition).with_extra(Element::new(ns::PUBSUB_ERRORS, extra))
}

/// What the service does not do (§7.1.3.2 and others).
pub fn unsupported(feature: &'static str) -> StanzaError {
    let extra = Element::new(ns::PUBSUB_ERRORS, "unsupported").with_attr("feature", feature);
    StanzaError::new(Condition::FeatureNotImplemented).with_extra(extra)
}

/// Not this person's business (§7.1.3.1).
pub fn forbidden() -> StanzaError {
    StanzaError::new(Condition::Forbidden)
}

/// No such node or item (§6.5.9.11).
pub fn not_found() -> StanzaError {
    StanzaError::new(Condition::ItemNotFound)
}

/// §6.1.3.11: the node is there now.
pub fn moved(uri: &str) -> StanzaError {
    StanzaError::new(Condition::Gone)
        .with_kind(ErrorType::Modify)
        .with_address(uri)
}

/// §7.1.5: the node is configured otherwise.
pub fn precondition_not_met() -> StanzaError {
    with(Condition::Conflict, "precondition-not-met")
}

/// A bound is reached; what is there must go first.
pub fn full() -> StanzaError {
    StanzaError::new(Condition::ResourceConstraint).with_kind(ErrorType::Wait)
}

/// Something that others are told of is done too often (attacks U11).
pub fn too_fast() -> StanzaError {
    StanzaError::new(Condition::PolicyViolation).with_kind(ErrorType::Wait)
}

/// A value that a form cannot have.
pub fn not_acceptable() -> StanzaError {
    StanzaError::new(Condition::NotAcceptable)
}
