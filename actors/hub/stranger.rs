//! What is said for an account that does not exist: the same as for one that has nothing and is
//! not there (attacks P01 to P06).

use rookery_protocol::delivery::{Address, Audience, Delivery, delivery};
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::jid::Jid;
use rookery_protocol::stanza::{IqType, Kind, PresenceType, Stanza};

use super::{presence, roster};
use crate::effect::Effects;
use crate::site::Site;

/// A stanza to an account that does not exist (RFC 6121 §8.5.1).
///
/// Messages that would be kept for an account are dropped without a word, which §8.5.1 allows: an
/// error would tell the two apart.
pub fn incoming(stanza: &Stanza, site: &Site, fx: &mut Effects) {
    match stanza.kind {
        Kind::Message(_) => {
            let bare = stanza.to.as_ref().is_some_and(Jid::is_bare);
            let address = if bare {
                Address::Bare
            } else {
                Address::NoDevice
            };
            if delivery(stanza.kind, address, Audience::NoAccount) == Delivery::Refuse {
                fx.refuse(stanza, &StanzaError::new(Condition::ServiceUnavailable));
            }
        }
        Kind::Presence(PresenceType::Probe) => presence::deny(stanza, fx),
        Kind::Presence(_) => {}
        Kind::Iq(IqType::Get | IqType::Set) => iq(stanza, site, fx),
        Kind::Iq(IqType::Result | IqType::Error) => {}
    }
}

/// What a stranger hears of an account that has nothing: what the extension asked for says of one
/// that does not exist, or that nobody is there.
fn iq(stanza: &Stanza, site: &Site, fx: &mut Effects) {
    if !stanza.to.as_ref().is_some_and(Jid::is_bare) {
        return fx.refuse(stanza, &StanzaError::new(Condition::ServiceUnavailable));
    }
    let answerer = stanza.payload().and_then(|payload| {
        let mut extensions = site.extensions.iter();
        let absent = extensions.find_map(|it| {
            let names = it.account_namespaces.contains(&payload.ns());
            it.absent.filter(|_| names)
        })?;
        Some((absent, payload))
    });
    match answerer {
        Some((answer, payload)) => answer(stanza, &payload, fx),
        None => fx.refuse(stanza, &roster::not_yours(stanza)),
    }
}
