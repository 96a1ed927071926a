//! The roster over the wire: get, set and push (RFC 6121 §2).

use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::roster::{self, Edit, Item};
use rookery_protocol::stanza::{IqType, Kind, Stanza};
use rookery_protocol::subscription::{self, Owed};
use rookery_protocol::xml::Element;

use super::account;
use super::mind::{Mind, Turn};
use crate::effect::Origin;
use crate::site::random_id;

impl Mind {
    /// A roster get or set to the bare JID.
    pub(super) fn roster_iq(
        &mut self,
        kind: IqType,
        request: &Stanza,
        query: &Element,
        turn: &mut Turn,
    ) {
        let own = request
            .from
            .as_ref()
            .is_some_and(|from| self.account.is_self(from));
        let may = match own {
            true => Some(true),
            false => self.may_manage(request, turn),
        };
        let done = match (kind, may) {
            (_, Some(false)) => Err(StanzaError::new(Condition::Forbidden)),
            (_, None) => Err(not_yours(request)),
            (IqType::Get, _) => self.roster_get(request, query, turn),
            (_, _) => self.roster_set(request, query, turn),
        };
        if let Err(error) = done {
            turn.fx.refuse(request, &error);
        }
    }

    /// Tells the interested devices of a change (RFC 6121 §2.1.6). All pushes of one change share
    /// an id: each stands on its own stream.
    pub(super) fn push(&mut self, item: Element, turn: &mut Turn) {
        let id = random_id();
        let query = roster::push_element(item, &self.account.version());
        turn.fx.deliver_each(turn.devices.interested(), |device| {
            Stanza::iq(IqType::Set, id.clone())
                .with_to(device.jid.clone())
                .with_child(&query)
        });
        self.each(turn, |role, view, fx| role.roster_changed(&query, view, fx));
    }

    /// Stores an item and tells of it.
    pub(super) fn save(&mut self, item: &Item, turn: &mut Turn) {
        self.account.save(item, turn.fx);
        self.push(item.to_element(), turn);
    }

    /// The item of `contact`, or a new one.
    pub(super) fn item(&self, contact: &Jid) -> Item {
        let entry = self.account.roster.get(contact.bare_str());
        entry
            .and_then(|entry| entry.to_item().ok())
            .unwrap_or_else(|| Item::new(contact))
    }

    /// Tells a contact that all is over between it and the account (RFC 6121 §2.5.2).
    pub(super) fn cancel(&mut self, contact: &Jid, turn: &mut Turn) {
        let (state, _) = self.account.state(contact);
        let removal = subscription::removal(state);
        if removal.owed == Owed::Unavailable {
            self.part_from(contact, turn);
        }
        if removal.unsubscribe {
            let id = self.tell(subscription::Request::Unsubscribe, contact, turn);
            self.farewells.said(contact, id, turn.fx.now);
        }
        if removal.unsubscribed {
            self.tell(subscription::Request::Unsubscribed, contact, turn);
        }
    }

    /// RFC 6121 §2.1.4, §2.6.3. A client that has the roster as it is gets an empty result; who has
    /// another version gets all of it: no older ones are kept.
    fn roster_get(
        &mut self,
        request: &Stanza,
        query: &Element,
        turn: &mut Turn,
    ) -> Result<(), StanzaError> {
        let known = roster::parse_get(query)?;
        if let Origin::Device(device) = turn.fx.origin()
            && let Some(device) = turn.devices.get_mut(device)
        {
            device.interested = true;
        }
        let version = self.account.version();
        let unchanged = known.is_some_and(|known| known == version);
        let roster = (!unchanged).then(|| self.account.roster.to_element(&version));
        turn.fx.result(request, roster);
        Ok(())
    }

    /// RFC 6121 §2.3.2, §2.5.2. The push goes before the result: who hears that it is done finds
    /// it done, also in a roster that follows the pushes.
    fn roster_set(
        &mut self,
        request: &Stanza,
        query: &Element,
        turn: &mut Turn,
    ) -> Result<(), StanzaError> {
        let limits = account::limits(turn.site);
        let edit = Edit::parse(query, &self.account.jid, &limits)?;
        match self.account.roster.admit(edit, &limits)? {
            Edit::Save(item) => {
                self.save(&item, turn);
            }
            Edit::Remove(contact) => {
                self.cancel(&contact, turn);
                self.account.drop_request(&contact, turn.fx);
                self.account.forget(&contact, turn.fx);
                self.push(roster::removed_element(&contact), turn);
            }
        }
        turn.fx.result(request, None);
        Ok(())
    }
}

/// What somebody hears who asks an account for what is its owner's, or an account that does not
/// exist for anything: the two must not differ.
///
/// A roster set is `forbidden` (RFC 6121 §2.1.5, §2.3.3; attacks C18), also one that says
/// `subscription='none'`, as clients write it into every set; what looks like a roster push, since
/// it tells of a subscription there is, is no request at all (attacks C17).
pub(super) fn not_yours(request: &Stanza) -> StanzaError {
    let query = request
        .child(ns::ROSTER, "query")
        .filter(|_| request.kind == Kind::Iq(IqType::Set));
    let is_push = |item: &Element| {
        let told = item.attr("subscription");
        matches!(told, Some("to" | "from" | "both"))
    };
    match query {
        Some(query) if !query.children().any(is_push) => StanzaError::new(Condition::Forbidden),
        _ => StanzaError::new(Condition::ServiceUnavailable),
    }
}

#[cfg(test)]
mod tests;
