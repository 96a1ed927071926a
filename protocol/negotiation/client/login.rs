//! SASL as RFC 6120 §6 wraps it, and what it has in common with XEP-0388: the exchange itself,
//! and the bounds on failures.

use zeroize::Zeroizing;

use super::{Action, Actions, Client, Waiting, entry};
use crate::error::{StreamCondition, StreamError};
use crate::jid::Jid;
use crate::negotiation::Random;
use crate::ns;
use crate::sasl::{self, Exchange, Failure, Lookup, Mechanism, Nonce, Step, Verdict};
use crate::xml::Element;

impl Client {
    /// An element of the SASL namespace.
    pub(super) fn sasl(
        &mut self,
        element: &Element,
        random: Random<'_>,
        out: &mut Actions,
    ) -> Result<(), StreamError> {
        if self.account.is_some() {
            // RFC 6120 §6.4.6: one authentication for a stream.
            return Err(StreamError::new(StreamCondition::PolicyViolation));
        }
        // In the middle of the other profile it ends that one, in its own words (attacks T33).
        let mixed = self.entry.is_some();
        match element.name() {
            "response" if self.exchange.is_some() && !mixed => {
                return self.respond(&Zeroizing::new(element.text()), out);
            }
            "auth" if !mixed => return self.authenticate(element, random, out),
            _ => {}
        }
        self.count_try()?;
        let failure = match element.name() {
            "abort" => Failure::Aborted,
            _ => Failure::MalformedRequest,
        };
        self.refuse(failure, out);
        Ok(())
    }

    /// The answer to [`Action::Fetch`].
    pub(super) fn fetched(&mut self, lookup: Lookup, out: &mut Actions) -> Result<(), StreamError> {
        let step = match (
            &mut self.exchange,
            self.opened.as_ref().and_then(|it| it.terms.as_ref()),
        ) {
            (Some(exchange), Some(terms)) => exchange.fetched(lookup, terms),
            _ => Step::Failure(Failure::TemporaryAuthFailure),
        };
        self.perform(step, out)
    }

    /// The answer to [`Action::Check`].
    pub(super) fn checked(
        &mut self,
        verdict: Verdict,
        out: &mut Actions,
    ) -> Result<(), StreamError> {
        let step = match &mut self.exchange {
            Some(exchange) => exchange.checked(verdict),
            None => Step::Failure(Failure::TemporaryAuthFailure),
        };
        self.perform(step, out)
    }

    /// `<auth/>`: a new exchange, whatever became of the one before (RFC 6120 §6.4.2).
    fn authenticate(
        &mut self,
        element: &Element,
        random: Random<'_>,
        out: &mut Actions,
    ) -> Result<(), StreamError> {
        self.count_try()?;
        let Some(terms) = self
            .opened
            .as_ref()
            .and_then(|opened| opened.terms.as_ref())
        else {
            self.refuse(Failure::EncryptionRequired, out);
            return Ok(());
        };
        let mechanism = element.attr("mechanism").and_then(Mechanism::from_name);
        let Some(mechanism) = mechanism.filter(|it| terms.offered.contains(it)) else {
            self.refuse(Failure::InvalidMechanism, out);
            return Ok(());
        };
        let mut bytes = [0; 18];
        random(&mut bytes);
        self.exchange = Some(Exchange::new(mechanism, Nonce::new(bytes)));
        let text = Zeroizing::new(element.text());
        if text.is_empty() {
            // No initial response, and all our mechanisms let the client speak first: an empty
            // challenge makes it (§6.3.10).
            out.element(&Element::new(ns::SASL, "challenge"));
            return Ok(());
        }
        self.respond(&text, out)
    }

    /// Data of the client, in whichever wrapping.
    pub(super) fn respond(&mut self, text: &str, out: &mut Actions) -> Result<(), StreamError> {
        let decoded = match self.entry {
            Some(_) => sasl::decode_plainly(text),
            None => sasl::decode(text),
        };
        let terms = self
            .opened
            .as_ref()
            .and_then(|opened| opened.terms.as_ref());
        let step = match (decoded.map(Zeroizing::new), &mut self.exchange, terms) {
            (Err(failure), _, _) => Step::Failure(failure),
            (Ok(data), Some(exchange), Some(terms)) => exchange.respond(&data, terms),
            (Ok(_), _, _) => Step::Failure(Failure::MalformedRequest),
        };
        self.perform(step, out)
    }

    fn perform(&mut self, step: Step, out: &mut Actions) -> Result<(), StreamError> {
        match step {
            Step::Challenge(data) => match &self.entry {
                Some(_) => {
                    let challenge = Element::new(ns::SASL2, "challenge");
                    out.element(&challenge.with_text(sasl::encode(&data)));
                }
                None => out.element(&carrying("challenge", &data)),
            },
            Step::Fetch(account) => {
                self.waiting = Waiting::Credentials;
                let tokens = self.exchange.as_ref().is_some_and(Exchange::wants_tokens);
                let client = self.entry.as_ref().filter(|_| tokens);
                let client = client.and_then(|entry| entry.wish.agent.id.clone());
                out.push(Action::Fetch { account, client });
            }
            Step::Check(check) => {
                self.waiting = Waiting::Password;
                out.push(Action::Check(check));
            }
            Step::Success(success) if self.entry.is_some() => self.proven(*success, out),
            Step::Success(success) => return self.succeed(success.account, success.data, out),
            Step::Failure(failure) => self.refuse(failure, out),
        }
        Ok(())
    }

    fn succeed(
        &mut self,
        account: Jid,
        data: Option<Vec<u8>>,
        out: &mut Actions,
    ) -> Result<(), StreamError> {
        let from = self.opened.as_ref().and_then(|opened| opened.from.as_ref());
        // §6.4.6: whom the header named under TLS is who must log in.
        let other = from.is_some_and(|from| !Client::is_own(from, &account));
        if other && self.secured.is_some() {
            return Err(StreamError::new(StreamCondition::NotAuthorized));
        }
        match data {
            Some(data) => out.element(&carrying("success", &data)),
            None => out.element(&Element::new(ns::SASL, "success")),
        }
        out.push(Action::Restart);
        self.account = Some(account);
        self.exchange = None;
        self.opened = None;
        Ok(())
    }

    /// It is over, without success.
    pub(super) fn refuse(&mut self, failure: Failure, out: &mut Actions) {
        self.exchange = None;
        if failure == Failure::NotAuthorized {
            self.failures += 1;
            out.push(Action::CountFailure);
        }
        if self.entry.take().is_some() {
            return out.element(&entry::failure(failure));
        }
        let condition = Element::new(ns::SASL, failure.name());
        out.element(&Element::new(ns::SASL, "failure").with_child(condition));
    }

    /// RFC 6120 §6.4.5: a few retries, then the stream ends.
    pub(super) fn count_try(&mut self) -> Result<(), StreamError> {
        let limits = &self.settings.limits;
        if self.failures >= limits.failures || self.tries >= limits.tries {
            let error = StreamError::new(StreamCondition::PolicyViolation);
            return Err(error.with_text("too many attempts to log in"));
        }
        self.tries += 1;
        Ok(())
    }
}

/// Data as an element's text; `=` stands for none (RFC 6120 §6.4.2, §6.4.6).
fn carrying(name: &str, data: &[u8]) -> Element {
    let text = match data.is_empty() {
        true => "=".to_owned(),
        false => sasl::encode(data),
    };
    Element::new(ns::SASL, name).with_text(text)
}
