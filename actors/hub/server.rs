//! What a domain of the server itself answers.

use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::jid::Jid;
use rookery_protocol::stanza::{IqType, Kind, Stanza};

use crate::admin::Outcome;
use crate::effect::{Administer, Effects};
use crate::site::Site;

/// Whether `jid` is one of our domains itself, or a resource of one.
pub fn is_ours(jid: &Jid, site: &Site) -> bool {
    jid.local().is_none() && site.serves(jid.domain())
}

/// A stanza for a domain: IQs are answered, messages refused, presence means nothing to it
/// (RFC 6120 §10.5.1).
pub fn incoming(stanza: &Stanza, site: &Site, fx: &mut Effects) {
    match stanza.kind {
        Kind::Iq(_) => iq(stanza, site, fx),
        Kind::Message(_) => {
            let mut extensions = site.extensions.iter().enumerate();
            let is_taken = extensions.any(|(index, extension)| {
                fx.for_extension(index);
                let role = extension.domain;
                role.is_some_and(|role| role.message(stanza, site, fx))
            });
            if !is_taken {
                fx.refuse(stanza, &StanzaError::new(Condition::ServiceUnavailable));
            }
        }
        Kind::Presence(_) => {}
    }
}

/// Answers an IQ by the extension whose namespace it is in. Results and errors are dropped: the
/// server has asked nothing that it must know the answer of (RFC 6120 §10.3.3).
pub fn iq(stanza: &Stanza, site: &Site, fx: &mut Effects) {
    if !matches!(stanza.kind, Kind::Iq(IqType::Get | IqType::Set)) {
        return;
    }
    // RFC 6120 §10.5.2: nothing of the server's has a resource.
    let here = stanza.to.as_ref().is_none_or(Jid::is_bare);
    let payload = stanza.payload().filter(|_| here);
    let answer = payload.and_then(|payload| {
        let mut extensions = site.extensions.iter().enumerate();
        let (index, role) = extensions.find_map(|(index, extension)| {
            let its = extension.domain_namespaces.contains(&payload.ns());
            extension.domain.filter(|_| its).map(|role| (index, role))
        })?;
        Some((index, role, payload))
    });
    match answer {
        Some((index, role, payload)) => {
            fx.for_extension(index);
            role.iq(stanza, &payload, site, fx);
        }
        None => fx.refuse(stanza, &StanzaError::new(Condition::ServiceUnavailable)),
    }
}

/// What became of an administrative command that an extension asked for as the domain.
pub fn administered(order: &Administer, outcome: Outcome, site: &Site, fx: &mut Effects) {
    if let Some(role) = site
        .extensions
        .get(order.extension)
        .and_then(|it| it.domain)
    {
        fx.for_extension(order.extension);
        role.administered(&order.request, outcome, site, fx);
    }
}
