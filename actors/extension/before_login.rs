//! What an extension does on client streams before login.

use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::stanza::Stanza;
use rookery_protocol::xml::Element;

use crate::admin::{Command, Outcome};
use crate::site::Site;

/// What a stream extension decides on an IQ before login.
pub enum Before {
    /// Answer at once.
    Reply(Stanza),
    /// Have the server do something, then call `administered`.
    Administer(Command),
}

/// An extension's part on client streams before login.
#[allow(unused_variables, reason = "the names tell what each is for")]
pub trait StreamRole: Sync {
    /// Elements in the stream features before authentication.
    fn features(&self, site: &Site) -> Vec<Element> {
        Vec::new()
    }

    /// Elements in the stream features after authentication; `domain` is the stream's.
    fn features_after_login(&self, domain: &str, site: &Site) -> Vec<Element> {
        Vec::new()
    }

    /// Namespaces of IQs it answers before authentication.
    fn namespaces(&self) -> &'static [&'static str] {
        &[]
    }

    /// Such an IQ; `domain` is the stream's `to`.
    fn iq(&self, request: &Stanza, payload: &Element, domain: &str, site: &Site) -> Before {
        Before::Reply(refusal(request))
    }

    /// What became of [`Before::Administer`].
    fn administered(&self, request: &Stanza, outcome: Outcome, site: &Site) -> Stanza {
        refusal(request)
    }
}

/// What an extension that answers no IQ before login answers: a get or set always has an answer.
fn refusal(request: &Stanza) -> Stanza {
    let error = StanzaError::new(Condition::ServiceUnavailable);
    request
        .error_reply(&error)
        .unwrap_or_else(|| request.result_reply(None))
}
