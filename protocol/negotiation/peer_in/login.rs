//! SASL EXTERNAL (XEP-0178 §3): the certificate says who it is, and was judged before.

use super::{Action, Actions, PeerIn};
use crate::dialback::Pair;
use crate::error::{StreamCondition, StreamError};
use crate::jid::Jid;
use crate::negotiation::Standing;
use crate::ns;
use crate::sasl::{self, Failure};
use crate::xml::Element;

impl PeerIn {
    /// An element of the SASL namespace.
    pub(super) fn sasl(&mut self, element: &Element, out: &mut Actions) -> Result<(), StreamError> {
        let limits = &self.settings.limits;
        // RFC 6120 §6.4.6: one authentication for a stream; §6.4.5: a few tries.
        if self.external.is_some() || self.failures >= limits.failures {
            return Err(StreamCondition::PolicyViolation.into());
        }
        let challenged = std::mem::take(&mut self.challenged);
        let proof = match element.name() {
            "auth" => self.begin(element)?,
            "response" if challenged => Ok(Some(element.text())),
            "abort" => Err(Failure::Aborted),
            _ => Err(Failure::MalformedRequest),
        };
        match proof {
            Ok(None) => {
                // No initial response: an empty challenge makes the peer speak (RFC 6120 §6.3.10).
                self.challenged = true;
                out.element(&Element::new(ns::SASL, "challenge"));
            }
            Ok(Some(text)) => match self.identity(text.trim()) {
                Ok(pair) => self.succeed(pair, out),
                Err(failure) => self.refuse(failure, out),
            },
            Err(failure) => self.refuse(failure, out),
        }
        Ok(())
    }

    /// `<auth/>`: its initial response, if it has one.
    fn begin(&self, element: &Element) -> Result<Result<Option<String>, Failure>, StreamError> {
        if !self.secured {
            return Ok(Err(Failure::EncryptionRequired));
        }
        let opened = self.opened.as_ref();
        // Attack F05: who has not said who it is cannot prove it.
        let named = opened.filter(|opened| opened.peer.is_some());
        let opened = named.ok_or(StreamCondition::ImproperAddressing)?;
        let text = element.text();
        Ok(match (element.attr("mechanism"), opened.standing) {
            (Some("EXTERNAL"), Some(Standing::Certified)) => {
                Ok(Some(text).filter(|text| !text.trim().is_empty()))
            }
            // XEP-0178 §3: the certificate is not good for the domain (attack F10).
            (Some("EXTERNAL"), _) => Err(Failure::NotAuthorized),
            _ => Err(Failure::InvalidMechanism),
        })
    }

    /// The pair that is proved, if the identity asked for is the header's (attack F18).
    fn identity(&self, text: &str) -> Result<Pair, Failure> {
        let opened = self.opened.as_ref().ok_or(Failure::MalformedRequest)?;
        let peer = opened.peer.clone().ok_or(Failure::NotAuthorized)?;
        let authzid = sasl::decode(text)?;
        if !authzid.is_empty() {
            let text = std::str::from_utf8(&authzid).map_err(|_| Failure::InvalidAuthzid)?;
            let asked = Jid::parse(text).map_err(|_| Failure::InvalidAuthzid)?;
            if asked.as_str() != peer {
                return Err(Failure::InvalidAuthzid);
            }
        }
        Ok(Pair::new(peer, opened.domain.clone()))
    }

    fn succeed(&mut self, pair: Pair, out: &mut Actions) {
        out.element(&Element::new(ns::SASL, "success"));
        out.push(Action::Restart);
        // The id that the keys were for is gone with the old header.
        self.claims.clear();
        self.opened = None;
        self.proved.push(pair.clone());
        self.external = Some(pair);
    }

    fn refuse(&mut self, failure: Failure, out: &mut Actions) {
        self.failures += 1;
        let condition = Element::new(ns::SASL, failure.name());
        out.element(&Element::new(ns::SASL, "failure").with_child(condition));
    }
}
