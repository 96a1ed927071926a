//! Errors as they go over the wire: of a stanza (RFC 6120 §8.3) and of a stream (§4.9).

use std::fmt;

use crate::ns;
use crate::xml::Element;

/// What the sender may do about a stanza error (RFC 6120 §8.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorType {
    /// Retry after providing credentials.
    Auth,
    /// Do not retry.
    Cancel,
    /// Go on: it was only a warning.
    Continue,
    /// Retry after changing what was sent.
    Modify,
    /// Retry after waiting.
    Wait,
}

impl ErrorType {
    /// The value of the `type` attribute.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorType::Auth => "auth",
            ErrorType::Cancel => "cancel",
            ErrorType::Continue => "continue",
            ErrorType::Modify => "modify",
            ErrorType::Wait => "wait",
        }
    }

    /// Reads the value of the `type` attribute.
    pub fn parse(text: &str) -> Option<ErrorType> {
        let all = [
            ErrorType::Auth,
            ErrorType::Cancel,
            ErrorType::Continue,
            ErrorType::Modify,
            ErrorType::Wait,
        ];
        all.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Declares an enum of conditions with their element names.
macro_rules! conditions {
    ($(#[$doc:meta])* $enum:ident { $($(#[$item:meta])* $name:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $enum {
            $($(#[$item])* #[doc = concat!("`", $text, "`")] $name,)*
        }

        impl $enum {
            /// All conditions, in the order of the specification.
            pub const ALL: &[$enum] = &[$($enum::$name,)*];

            /// The name of the element.
            pub fn as_str(self) -> &'static str {
                match self { $($enum::$name => $text,)* }
            }

            /// Reads the name of the element.
            pub fn parse(text: &str) -> Option<$enum> {
                match text { $($text => Some($enum::$name),)* _ => None }
            }
        }
    };
}

conditions! {
    /// The defined conditions of stanza errors (RFC 6120 §8.3.3).
    Condition {
        BadRequest = "bad-request",
        Conflict = "conflict",
        FeatureNotImplemented = "feature-not-implemented",
        Forbidden = "forbidden",
        Gone = "gone",
        InternalServerError = "internal-server-error",
        ItemNotFound = "item-not-found",
        JidMalformed = "jid-malformed",
        NotAcceptable = "not-acceptable",
        NotAllowed = "not-allowed",
        NotAuthorized = "not-authorized",
        PolicyViolation = "policy-violation",
        RecipientUnavailable = "recipient-unavailable",
        Redirect = "redirect",
        RegistrationRequired = "registration-required",
        RemoteServerNotFound = "remote-server-not-found",
        RemoteServerTimeout = "remote-server-timeout",
        ResourceConstraint = "resource-constraint",
        ServiceUnavailable = "service-unavailable",
        SubscriptionRequired = "subscription-required",
        UndefinedCondition = "undefined-condition",
        UnexpectedRequest = "unexpected-request",
    }
}

conditions! {
    /// The defined conditions of stream errors (RFC 6120 §4.9.3).
    StreamCondition {
        BadFormat = "bad-format",
        BadNamespacePrefix = "bad-namespace-prefix",
        Conflict = "conflict",
        ConnectionTimeout = "connection-timeout",
        HostGone = "host-gone",
        HostUnknown = "host-unknown",
        ImproperAddressing = "improper-addressing",
        InternalServerError = "internal-server-error",
        InvalidFrom = "invalid-from",
        InvalidNamespace = "invalid-namespace",
        InvalidXml = "invalid-xml",
        NotAuthorized = "not-authorized",
        NotWellFormed = "not-well-formed",
        PolicyViolation = "policy-violation",
        RemoteConnectionFailed = "remote-connection-failed",
        Reset = "reset",
        ResourceConstraint = "resource-constraint",
        RestrictedXml = "restricted-xml",
        SeeOtherHost = "see-other-host",
        SystemShutdown = "system-shutdown",
        UndefinedCondition = "undefined-condition",
        UnsupportedEncoding = "unsupported-encoding",
        UnsupportedFeature = "unsupported-feature",
        UnsupportedStanzaType = "unsupported-stanza-type",
        UnsupportedVersion = "unsupported-version",
    }
}

impl Condition {
    /// The error type that RFC 6120 §8.3.3 recommends for the condition.
    pub fn default_type(self) -> ErrorType {
        match self {
            Condition::BadRequest => ErrorType::Modify,
            Condition::Conflict => ErrorType::Cancel,
            Condition::FeatureNotImplemented => ErrorType::Cancel,
            Condition::Forbidden => ErrorType::Auth,
            Condition::Gone => ErrorType::Cancel,
            Condition::InternalServerError => ErrorType::Cancel,
            Condition::ItemNotFound => ErrorType::Cancel,
            Condition::JidMalformed => ErrorType::Modify,
            Condition::NotAcceptable => ErrorType::Modify,
            Condition::NotAllowed => ErrorType::Cancel,
            Condition::NotAuthorized => ErrorType::Auth,
            Condition::PolicyViolation => ErrorType::Modify,
            Condition::RecipientUnavailable => ErrorType::Wait,
            Condition::Redirect => ErrorType::Modify,
            Condition::RegistrationRequired => ErrorType::Auth,
            Condition::RemoteServerNotFound => ErrorType::Cancel,
            Condition::RemoteServerTimeout => ErrorType::Wait,
            Condition::ResourceConstraint => ErrorType::Wait,
            Condition::ServiceUnavailable => ErrorType::Cancel,
            Condition::SubscriptionRequired => ErrorType::Auth,
            Condition::UndefinedCondition => ErrorType::Cancel,
            Condition::UnexpectedRequest => ErrorType::Wait,
        }
    }
}

/// The `<error/>` child of a stanza of type `error` (RFC 6120 §8.3.2).
#[derive(Clone, Debug, PartialEq)]
pub struct StanzaError {
    /// What the sender may do about it.
    pub kind: ErrorType,
    /// What went wrong.
    pub condition: Condition,
    /// A description for people who debug; never for users.
    pub text: Option<String>,
    /// The condition of the application, in a namespace of its own.
    pub extra: Option<Box<Element>>,
    /// Who says so, where that is not who the stanza is from: a room to its occupant (§8.3.2).
    pub by: Option<String>,
    /// Where to go instead: the content of `<gone/>` (§8.3.3.5) and `<redirect/>` (§8.3.3.14).
    pub address: Option<String>,
}

impl StanzaError {
    /// An error of this condition with the type recommended for it.
    pub fn new(condition: Condition) -> StanzaError {
        let kind = condition.default_type();
        StanzaError {
            kind,
            condition,
            text: None,
            extra: None,
            by: None,
            address: None,
        }
    }

    /// The same with another type.
    pub fn with_kind(mut self, kind: ErrorType) -> StanzaError {
        self.kind = kind;
        self
    }

    /// The same with a description in English.
    pub fn with_text(mut self, text: impl Into<String>) -> StanzaError {
        self.text = Some(text.into());
        self
    }

    /// The same with an application's condition.
    pub fn with_extra(mut self, extra: Element) -> StanzaError {
        self.extra = Some(Box::new(extra));
        self
    }

    /// The same, said by this address.
    pub fn with_by(mut self, by: impl Into<String>) -> StanzaError {
        self.by = Some(by.into());
        self
    }

    /// The same with the new address, an URI, of what is gone or elsewhere.
    pub fn with_address(mut self, address: impl Into<String>) -> StanzaError {
        self.address = Some(address.into());
        self
    }

    /// The `<error/>` element in `jabber:client`.
    pub fn to_element(&self) -> Element {
        let mut condition = Element::new(ns::STANZAS, self.condition.as_str());
        if let Some(address) = &self.address {
            condition.push_text(address);
        }
        let mut error = Element::new(ns::CLIENT, "error")
            .with_attr("type", self.kind.as_str())
            .with_child(condition);
        if let Some(by) = &self.by {
            error.set_attr("by", by);
        }
        if let Some(text) = &self.text {
            error.push(english(ns::STANZAS, text));
        }
        error.nodes_extend(self.extra.as_deref().cloned());
        error
    }

    /// Reads an `<error/>` element. A missing or unknown condition counts as
    /// `undefined-condition` (RFC 6120 §8.3.2), an unknown type as the condition's own.
    pub fn parse(error: &Element) -> StanzaError {
        let defined = error.children().filter(|child| child.ns() == ns::STANZAS);
        let named = defined.clone().find_map(|child| {
            Condition::parse(child.name()).map(|condition| (condition, child.text()))
        });
        let (condition, address) = named.unwrap_or((Condition::UndefinedCondition, String::new()));
        let kind = error.attr("type").and_then(ErrorType::parse);
        StanzaError {
            kind: kind.unwrap_or_else(|| condition.default_type()),
            condition,
            text: error.child(ns::STANZAS, "text").map(Element::text),
            extra: error
                .children()
                .find(|child| ![ns::STANZAS, ns::CLIENT, ns::SERVER].contains(&child.ns()))
                .cloned()
                .map(Box::new),
            by: error.attr("by").map(str::to_owned),
            address: Some(address).filter(|address| !address.is_empty()),
        }
    }
}

impl From<Condition> for StanzaError {
    fn from(condition: Condition) -> StanzaError {
        StanzaError::new(condition)
    }
}

/// An error that ends a stream (RFC 6120 §4.9).
#[derive(Clone, Debug, PartialEq)]
pub struct StreamError {
    /// What went wrong.
    pub condition: StreamCondition,
    /// A description for people who debug.
    pub text: Option<String>,
    /// The condition of the application, in a namespace of its own (§4.9.4).
    pub extra: Option<Box<Element>>,
}

impl StreamError {
    /// An error of this condition.
    pub fn new(condition: StreamCondition) -> StreamError {
        StreamError {
            condition,
            text: None,
            extra: None,
        }
    }

    /// The same with a description in English.
    pub fn with_text(mut self, text: impl Into<String>) -> StreamError {
        self.text = Some(text.into());
        self
    }

    /// The same with an application's condition.
    pub fn with_extra(mut self, extra: Element) -> StreamError {
        self.extra = Some(Box::new(extra));
        self
    }

    /// The `<stream:error/>` element.
    pub fn to_element(&self) -> Element {
        let condition = Element::new(ns::STREAMS, self.condition.as_str());
        let mut error = Element::new(ns::STREAM, "error").with_child(condition);
        if let Some(text) = &self.text {
            error.push(english(ns::STREAMS, text));
        }
        error.nodes_extend(self.extra.as_deref().cloned());
        error
    }

    /// Reads a `<stream:error/>` element that a peer sent; an unknown condition counts as
    /// `undefined-condition`.
    pub fn parse(error: &Element) -> StreamError {
        let named = error
            .children()
            .filter(|child| child.ns() == ns::STREAMS)
            .find_map(|child| StreamCondition::parse(child.name()));
        StreamError {
            condition: named.unwrap_or(StreamCondition::UndefinedCondition),
            text: error.child(ns::STREAMS, "text").map(Element::text),
            extra: error
                .children()
                .find(|child| child.ns() != ns::STREAMS)
                .cloned()
                .map(Box::new),
        }
    }

    /// Writes `<stream:error>…</stream:error>` for a stream that declared the prefix `stream`.
    /// The closing tag of the stream is not part of it.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.to_element().write(out, ns::CLIENT);
    }
}

impl From<StreamCondition> for StreamError {
    fn from(condition: StreamCondition) -> StreamError {
        StreamError::new(condition)
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.condition.as_str())?;
        match &self.text {
            Some(text) => write!(out, ": {text}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for StreamError {}

fn english(namespace: &str, text: &str) -> Element {
    Element::new(namespace, "text")
        .with_attr_ns(ns::XML, "lang", "en")
        .with_text(text)
}
