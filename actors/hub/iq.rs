//! IQs for the account (RFC 6121 §8.5): the server answers those to the bare JID by its
//! extensions; those to a device reach it where the asker may know that it is there.

use rookery_protocol::delivery::Delivery;
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::{IqType, Kind, Stanza};

use super::mind::{Mind, Turn};
use super::server;
use crate::hub::devices::{Device, DeviceId};

impl Mind {
    /// An IQ for the account or one of its devices.
    pub(super) fn iq_in(&mut self, stanza: Stanza, turn: &mut Turn) {
        match self.delivery(&stanza, turn) {
            (Delivery::Account, _) => self.answer(stanza, turn),
            (Delivery::Device, Some(device)) => turn.fx.deliver([device], &stanza, None),
            (Delivery::DeviceIfTrusted, Some(device)) if self.reaches(&stanza, device, turn) => {
                turn.fx.deliver([device], &stanza, None);
            }
            _ => turn
                .fx
                .refuse(&stanza, &StanzaError::new(Condition::ServiceUnavailable)),
        }
    }

    /// Answers for the account. Results and errors answer roster pushes, which nobody waits for
    /// (RFC 6121 §2.1.6), or what an extension asked.
    fn answer(&mut self, stanza: Stanza, turn: &mut Turn) {
        let Kind::Iq(kind @ (IqType::Get | IqType::Set)) = stanza.kind else {
            return self.each(turn, |role, view, fx| role.answered(&stanza, view, fx));
        };
        if let Some(index) = self.answerer(&stanza, turn.site)
            && let Some(payload) = stanza.payload()
        {
            return self.one(index, turn, |role, view, fx| {
                role.iq(&stanza, &payload, view, fx)
            });
        }
        match stanza.child(ns::ROSTER, "query") {
            Some(query) => self.roster_iq(kind, &stanza, &query, turn),
            None => turn
                .fx
                .refuse(&stanza, &StanzaError::new(Condition::ServiceUnavailable)),
        }
    }

    /// Whether a get or set may reach a device: the answer tells that the device is there
    /// (RFC 6121 §8.5.3.1, attacks P06).
    fn reaches(&self, stanza: &Stanza, device: DeviceId, turn: &Turn) -> bool {
        let (Some(from), Some(device)) = (&stanza.from, turn.devices.get(device)) else {
            return false;
        };
        if self.account.is_self(from) || server::is_ours(from, turn.site) {
            return true;
        }
        // Only the own server pushes a roster; a client that does not check would believe it
        // (attacks C16).
        if stanza
            .payload_head()
            .is_some_and(|head| head.ns == ns::ROSTER)
        {
            return false;
        }
        let shared = self.account.shares_presence_with(from) && !self.hides_from(from);
        shared || is_service(from, turn) || was_sent_presence(device, from)
    }
}

/// Whether the device sent directed presence to `jid`, or to another resource of it: a room asks
/// for one occupant what another sent it.
pub(super) fn was_sent_presence(device: &Device, jid: &Jid) -> bool {
    device
        .directed
        .iter()
        .any(|directed| directed.bare_str() == jid.bare_str())
}

/// A service or component of this server speaks for the server itself only without a local part:
/// its rooms are made by users.
fn is_service(jid: &Jid, turn: &Turn) -> bool {
    let settings = &turn.site.settings;
    let hosts = || {
        turn.site
            .domains
            .iter()
            .flat_map(|domain| settings.service_hosts(domain))
    };
    let is_part =
        |domain: &str| turn.site.components.has(domain) || hosts().any(|host| host == domain);
    jid.local().is_none() && is_part(jid.domain())
}
