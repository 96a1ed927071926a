//! Who we are: EXTERNAL if it may succeed (XEP-0178 §3), else dialback.

use super::{Action, Actions, PeerOut, Phase};
use crate::negotiation::Refusal;
use crate::ns;
use crate::sasl;
use crate::xml::Element;

impl PeerOut {
    /// Begins with the better way that there is.
    pub(super) fn log_in(&mut self, external: bool, out: &mut Actions) -> Result<(), Refusal> {
        if external && self.errand.external {
            let auth = Element::new(ns::SASL, "auth").with_attr("mechanism", "EXTERNAL");
            out.element(&auth.with_text(self.authzid()));
            self.phase = Phase::External { challenged: false };
            return Ok(());
        }
        if !self.speaks_dialback() {
            return Err(match self.unaccepted.take() {
                Some(condition) => Refusal::External(condition),
                None => Refusal::NoMethod,
            });
        }
        self.phase = Phase::Claimed;
        self.claim(self.errand.pair.clone(), out);
        self.go_on(out);
        Ok(())
    }

    /// An element of the SASL namespace. What belongs to no exchange of ours says nothing
    /// (attack F44).
    pub(super) fn sasl(&mut self, element: &Element, out: &mut Actions) -> Result<(), Refusal> {
        let Phase::External { challenged } = &mut self.phase else {
            return Ok(());
        };
        match element.name() {
            "success" => {
                self.authenticated = true;
                out.push(Action::Restart);
                self.write_header(out);
                Ok(())
            }
            // A peer that does not know initial responses (RFC 6120 §6.3.10).
            "challenge" if !*challenged => {
                *challenged = true;
                let response = Element::new(ns::SASL, "response").with_text(self.authzid());
                out.element(&response);
                Ok(())
            }
            "failure" => {
                let named = element.children().find(|child| child.name() != "text");
                let condition = named.map_or("no reason given", Element::name);
                self.unaccepted = Some(condition.into());
                self.log_in(false, out)
            }
            _ => {
                self.unaccepted = Some("no end of it".into());
                out.element(&Element::new(ns::SASL, "abort"));
                self.log_in(false, out)
            }
        }
    }

    /// XEP-0178 §3: it should be said, for servers that look for it.
    fn authzid(&self) -> String {
        sasl::encode(self.errand.pair.from.as_bytes())
    }
}
