//! IQs of those who have no address yet: resource binding (RFC 6120 §7), and what an extension
//! answers before login.

use super::{Action, Actions, Bound, Client, Waiting};
use crate::error::{Condition, StanzaError, StreamCondition, StreamError};
use crate::jid::Jid;
use crate::ns;
use crate::stanza::{IqType, Kind, Stanza};
use crate::xml::Element;

/// The answer to an IQ that belongs to negotiation but came after it: binding a second resource is
/// not allowed (RFC 6120 §7.6.2.2), and a session (RFC 3921 §3) is there already.
pub fn after_bind(iq: &Stanza) -> Option<Stanza> {
    if iq.kind != Kind::Iq(IqType::Set) {
        return None;
    }
    if iq.has(ns::BIND, "bind") {
        return iq.error_reply(&StanzaError::new(Condition::NotAllowed));
    }
    iq.has(ns::SESSION, "session")
        .then(|| iq.result_reply(None))
}

impl Client {
    /// A stanza after login: only binding is heard, and only by the server or the own account
    /// (RFC 6120 §7.1).
    pub(super) fn bind(
        &mut self,
        element: &Element,
        account: Jid,
        out: &mut Actions,
    ) -> Result<(), StreamError> {
        let Some(bind) = element.child(ns::BIND, "bind") else {
            return Err(StreamError::new(StreamCondition::NotAuthorized));
        };
        let iq = match request(element)? {
            Ok(iq) => iq,
            Err(reply) => return self.refuse_bind(reply.as_ref(), out),
        };
        let domain = account.domain();
        let ours = |to: &Jid| to.as_str() == account.as_str() || to.as_str() == domain;
        if !iq.to.as_ref().is_none_or(ours) {
            return Err(StreamError::new(StreamCondition::NotAuthorized));
        }
        if iq.kind != Kind::Iq(IqType::Set) {
            let reply = iq.error_reply(&StanzaError::new(Condition::BadRequest));
            return self.refuse_bind(reply.as_ref(), out);
        }
        // One that cannot be a resource, or is empty, is replaced by ours (§7.7.2.1).
        let asked = bind.child(ns::BIND, "resource").map(Element::text);
        let full = asked.and_then(|resource| account.with_resource(&resource).ok());
        let resource = full.and_then(|full| full.resource().map(str::to_owned));
        self.waiting = Waiting::Session(Some(Box::new(iq)));
        out.push(Action::Bind {
            account,
            resource,
            client: self.agent.clone(),
            bind2: None,
        });
        Ok(())
    }

    /// The answer to [`Action::Bind`].
    pub(super) fn bound(
        &mut self,
        request: &Stanza,
        result: Result<Bound, StanzaError>,
        out: &mut Actions,
    ) -> Result<(), StreamError> {
        let jid = match result {
            Ok(bound) => bound.jid,
            Err(error) => return self.refuse_bind(request.error_reply(&error).as_ref(), out),
        };
        let address = Element::new(ns::BIND, "jid").with_text(jid.as_str());
        let payload = Element::new(ns::BIND, "bind").with_child(address);
        out.stanza(&request.result_reply(Some(payload)));
        let lang = self.opened.as_ref().and_then(|opened| opened.lang.clone());
        out.push(Action::Established { jid, lang });
        self.over = true;
        Ok(())
    }

    /// A stanza before login: an extension may answer some IQs; registration is refused politely
    /// where it is off or TLS comes first, as clients try it; the rest ends the stream
    /// (RFC 6120 §4.3.5, §4.9.3.12).
    pub(super) fn early_request(
        &mut self,
        element: &Element,
        out: &mut Actions,
    ) -> Result<(), StreamError> {
        let unauthorized = || StreamError::new(StreamCondition::NotAuthorized);
        let opened = self.opened.as_ref().ok_or_else(unauthorized)?;
        let payload = element
            .children()
            .next()
            .map(Element::ns)
            .unwrap_or_default();
        let listed = self
            .settings
            .early_requests
            .iter()
            .any(|namespace| namespace == payload);
        if element.name() != "iq" || !(listed || payload == ns::REGISTER) {
            return Err(unauthorized());
        }
        let iq = match request(element)? {
            Ok(iq) => iq,
            Err(reply) => {
                reply.iter().for_each(|reply| out.stanza(reply));
                return Ok(());
            }
        };
        if !listed || opened.terms.is_none() {
            let error = StanzaError::new(Condition::ServiceUnavailable);
            iq.error_reply(&error)
                .iter()
                .for_each(|reply| out.stanza(reply));
            return Ok(());
        }
        let domain = opened.domain.clone();
        self.waiting = Waiting::Extension;
        out.push(Action::Ask { domain, iq });
        Ok(())
    }

    /// RFC 6120 §7.7.3: a few retries, then the stream ends.
    fn refuse_bind(
        &mut self,
        reply: Option<&Stanza>,
        out: &mut Actions,
    ) -> Result<(), StreamError> {
        self.refused_binds += 1;
        if self.refused_binds > self.settings.limits.refused_binds {
            return Err(StreamError::new(StreamCondition::PolicyViolation));
        }
        reply.into_iter().for_each(|reply| out.stanza(reply));
        Ok(())
    }
}

/// An IQ request as a stanza, or the error reply to one that breaks RFC 6120 §8.2.3. What is no
/// request at all is not for those without an address.
fn request(element: &Element) -> Result<Result<Stanza, Option<Stanza>>, StreamError> {
    let kind = match (element.name(), element.attr("type")) {
        ("iq", Some("get")) => IqType::Get,
        ("iq", Some("set")) => IqType::Set,
        _ => return Err(StreamError::new(StreamCondition::NotAuthorized)),
    };
    let id = element.attr("id");
    let mut iq = Stanza::iq(kind, id.unwrap_or_default());
    for child in element.children() {
        iq.append(child);
    }
    let refuse = |iq: &Stanza, condition| Ok(Err(iq.error_reply(&StanzaError::new(condition))));
    match element.attr("to").map(Jid::parse).transpose() {
        Ok(to) => iq.to = to,
        Err(_) => return refuse(&iq, Condition::JidMalformed),
    }
    if id.is_none() || element.children().count() != 1 {
        return refuse(&iq, Condition::BadRequest);
    }
    Ok(Ok(iq))
}
