//! What an occupant does that all see: he says how he is (XEP-0045 §7.7), goes by another name
//! (§7.6), leaves (§7.14) or is made to; and how a room ends.

use std::sync::Arc;

use rookery_actors::effect::Effects;
use rookery_actors::service::Seat;
use rookery_protocol::error::StanzaError;
use rookery_protocol::jid::Jid;
use rookery_protocol::stanza::{PresenceType, Stanza};

use super::listing::Register;
use super::occupants::{Session, shown};
use super::room::Room;
use super::standing::Role;
use super::word::{Cause, Word, code};

/// Why a session is out, as the room says it.
#[derive(Default)]
pub struct Parting<'a> {
    /// What it said itself.
    pub said: Option<&'a Stanza>,
    pub codes: &'a [u16],
    pub cause: Option<&'a Cause>,
    /// The id of the stanza by which it left.
    pub id: Option<smol_str::SmolStr>,
}

impl Room {
    /// §7.7: an occupant says how he is.
    pub fn update(&mut self, presence: &Stanza, from: &Jid, seat: Seat, fx: &mut Effects) {
        let Ok(founding) = self.there() else { return };
        let Some(occupant) = self.occupants.of_mut(from) else {
            return;
        };
        let at = occupant.sessions.iter().position(|it| it.jid == *from);
        let Some(mut session) = at.map(|at| occupant.sessions.remove(at)) else {
            return;
        };
        session.presence = shown(presence);
        occupant.sessions.push(session);
        self.occupants.write(from, seat.owner, fx);
        let occupant = self.occupants.of(from);
        if let Some(mut word) = occupant.and_then(|it| self.word(it, seat)) {
            word.id = presence.id.clone();
            word.broadcast(&self.occupants, &founding.config, fx);
        }
    }

    /// §7.6: a session goes by another name from now on.
    pub fn rename(
        &mut self,
        presence: &Stanza,
        from: &Jid,
        seat: Seat,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let founding = self.there()?;
        let (new, renamed) = self.name(presence, from)?;
        let Some(old) = self.occupants.of(from) else {
            return Ok(());
        };
        let (old_jid, role) = (old.jid.clone(), old.role);
        if new == old_jid {
            self.update(presence, from, seat, fx);
            return Ok(());
        }
        let gone = self.occupants.remove(from);
        let session = Session {
            jid: from.clone(),
            presence: shown(presence),
        };
        self.occupants.add(new.clone(), role, session);
        self.occupants.write(from, seat.owner, fx);
        let nick = new.resource().unwrap_or_default();
        let Some(occupant) = self.occupants.get(nick) else {
            return Ok(());
        };
        let Some(mut word) = self.word(occupant, seat) else {
            return Ok(());
        };
        let farewell = Word {
            occupant: &old_jid,
            codes: &[code::NEW_NICK],
            nick: Some(nick),
            presence: None,
            id: presence.id.clone(),
            ..word.clone()
        };
        match gone {
            Some(_) => farewell.to_others(&self.occupants, &founding.config, fx),
            // The name stays, with who else has it.
            None => self.show(old_jid.resource().unwrap_or_default(), &[], None, seat, fx),
        }
        farewell.to_self(from, fx);
        word.to_others(&self.occupants, &founding.config, fx);
        let own: &[u16] = if renamed { &[code::RENAMED] } else { &[] };
        word.own_codes = own;
        for session in &occupant.sessions {
            word.to_self(&session.jid, fx);
        }
        Ok(())
    }

    /// §7.14: a session leaves, of its own will or because its user is gone.
    pub fn leave(&mut self, from: &Jid, presence: &Stanza, seat: Seat, fx: &mut Effects) {
        let kind = PresenceType::Unavailable;
        let said = Stanza::presence(kind).with_children_of(&shown(presence));
        let parting = Parting {
            said: Some(&said),
            id: presence.id.clone(),
            ..Parting::default()
        };
        self.part(from, parting, seat, fx);
        self.empty_if_nobody_is_left(seat, fx);
    }

    /// A session is out.
    pub fn part(&mut self, session: &Jid, parting: Parting, seat: Seat, fx: &mut Effects) {
        let Some(founding) = self.founding.as_ref().map(Arc::clone) else {
            return;
        };
        let Some(occupant) = self.occupants.of(session) else {
            return;
        };
        let (jid, occupant_id) = (occupant.jid.clone(), self.occupant_id(occupant));
        let affiliation = self.affiliation(session, seat);
        let gone = self.occupants.remove(session);
        self.occupants.write(session, seat.owner, fx);
        let word = Word {
            occupant: &jid,
            session,
            affiliation,
            role: Role::None,
            presence: parting.said,
            occupant_id,
            codes: parting.codes,
            own_codes: &[],
            nick: None,
            cause: parting.cause,
            id: parting.id,
        };
        word.to_self(session, fx);
        match gone {
            Some(_) => word.to_others(&self.occupants, &founding.config, fx),
            // He is there still, by another session: that one is shown.
            None => self.show(jid.resource().unwrap_or_default(), &[], None, seat, fx),
        }
    }

    /// §7.14, §10.9: a room that is not to last ends with its last occupant. So does one whose
    /// maker left without saying how it should be.
    pub fn empty_if_nobody_is_left(&mut self, seat: Seat, fx: &mut Effects) {
        let Some(founding) = &self.founding else {
            return;
        };
        if self.occupants.is_empty() && (!founding.config.persistent || founding.locked) {
            self.abolish(seat, fx);
        }
    }

    /// There is no room here any more.
    pub fn abolish(&mut self, seat: Seat, fx: &mut Effects) {
        Register::of(seat).strike(seat, fx);
        self.end(seat.site);
        fx.abolish();
    }
}
