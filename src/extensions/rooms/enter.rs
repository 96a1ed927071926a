//! How somebody comes into a room (XEP-0045 §7.2).

use rookery_actors::effect::{Effects, Row};
use rookery_actors::service::Seat;
use rookery_protocol::error::{Condition, ErrorType, StanzaError};
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::{PresenceType, Stanza};
use rookery_protocol::xml::Element;
use subtle::ConstantTimeEq;

use super::history::Wanted;
use super::listing::Register;
use super::occupants::{SESSIONS, Session, shown};
use super::room::{Founding, Room, Waiting};
use super::standing::{Affiliation, Role};
use super::word::{Cause, Word, code};

/// The longest name somebody may go by, in characters: who may not speak must not talk by it
/// (§13.6).
const NICK: usize = 64;
/// Owners and admins who may enter a room that is full.
const RESERVE: u32 = 20;

/// Somebody at the door.
struct Arrival<'a> {
    presence: &'a Stanza,
    /// His full JID.
    from: &'a Jid,
    /// The room's address with the name he is to go by.
    occupant: Jid,
    affiliation: Affiliation,
    /// He wanted another name.
    renamed: bool,
    created: bool,
}

impl Room {
    /// A presence to somebody in the room, by his name.
    pub fn presence(
        &mut self,
        presence: &Stanza,
        kind: PresenceType,
        seat: Seat,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let Some(from) = presence.from.as_ref() else {
            return Ok(());
        };
        match kind {
            PresenceType::Available => {}
            PresenceType::Unavailable => {
                self.leave(from, presence, seat, fx);
                return Ok(());
            }
            PresenceType::Error => {
                self.came_back(presence, seat, fx);
                return Ok(());
            }
            // Nobody's presence is for sale here.
            _ => return Ok(()),
        }
        if from.is_bare() {
            return Err(StanzaError::new(Condition::JidMalformed));
        }
        let joins = presence.has(ns::MUC, "x");
        if let Some(occupant) = self.occupants.of(from) {
            let to = presence.to.as_ref().and_then(Jid::resource);
            return match to == Some(occupant.nick()) {
                // It asks to be told everything again: it has lost track.
                true if joins => self.enter(presence, from, seat, fx),
                true => {
                    self.update(presence, from, seat, fx);
                    Ok(())
                }
                false => self.rename(presence, from, seat, fx),
            };
        }
        match joins {
            true => self.enter(presence, from, seat, fx),
            false => {
                self.tell_it_is_out(presence, from, fx);
                Ok(())
            }
        }
    }

    /// §7.2.17: who thinks that he is here is told that he is not.
    fn tell_it_is_out(&self, presence: &Stanza, from: &Jid, fx: &mut Effects) {
        let Some(occupant) = presence.to.as_ref().filter(|it| !it.is_bare()) else {
            return;
        };
        let cause = Cause {
            actor: None,
            reason: "You are not in the room.".into(),
        };
        Word {
            occupant,
            session: from,
            affiliation: Affiliation::None,
            role: Role::None,
            presence: None,
            occupant_id: self.id_of(from),
            codes: &[code::KICKED, code::LOST],
            own_codes: &[],
            nick: None,
            cause: Some(&cause),
            id: presence.id.clone(),
        }
        .to_self(from, fx);
    }

    /// Somebody wants to come in.
    fn enter(
        &mut self,
        presence: &Stanza,
        from: &Jid,
        seat: Seat,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        if !self.may_come_now(from, seat, fx) {
            let error = StanzaError::new(Condition::ResourceConstraint);
            return Err(error.with_text("too many enter at once"));
        }
        let mut created = false;
        if self.founding.is_none() {
            if !Register::may_make(from, seat) {
                return Err(StanzaError::new(Condition::NotAllowed));
            }
            let Some(made) = Register::of(seat).made_by(from, seat) else {
                // How many he made stands on the disk.
                let step = self.next_step();
                self.waiting
                    .push((step, Waiting::Arrival(presence.clone())));
                fx.read_first(step, vec![Register::rooms_at(seat)]);
                return Ok(());
            };
            if made >= seat.site.settings.rooms.own {
                return Err(StanzaError::new(Condition::NotAllowed)
                    .with_text("no more rooms of yours are allowed"));
            }
            // Who may not be called so makes no room either.
            self.name(presence, from)?;
            self.begin(from, seat, fx);
            created = true;
        }
        if let Some(query) = self.history.missing(seat.owner) {
            let step = self.next_step();
            self.waiting
                .push((step, Waiting::Arrival(presence.clone())));
            fx.read_first(step, vec![query]);
            return Ok(());
        }
        let arrival = self.admit(presence, from, created, seat)?;
        self.receive(arrival, seat, fx);
        Ok(())
    }

    /// What was to be known is there: what waited for it goes on.
    pub fn goes_on(
        &mut self,
        step: u32,
        request: Option<&Stanza>,
        rows: Vec<Row>,
        seat: Seat,
        fx: &mut Effects,
    ) {
        let at = self.waiting.iter().position(|(it, _)| *it == step);
        match (at.map(|at| self.waiting.swap_remove(at).1), request) {
            (Some(Waiting::Arrival(presence)), _) => {
                match self.founding {
                    Some(_) => self.history.read(rows),
                    None => Register::of(seat).read(rows, seat),
                }
                self.take_presence(&presence, seat, fx);
            }
            (Some(Waiting::Retraction { author, by }), _) => {
                self.retracted(&author, &by, &rows, seat, fx);
            }
            (Some(Waiting::Moderation), Some(request)) => {
                self.moderated(request, &rows, seat, fx);
            }
            // The room was loaded again meanwhile.
            (_, Some(request)) => {
                fx.refuse(request, &StanzaError::new(Condition::InternalServerError));
            }
            (_, None) => {}
        }
    }

    /// The disk did not give that.
    pub fn unread(&mut self, step: u32, fx: &mut Effects) {
        let at = self.waiting.iter().position(|(it, _)| *it == step);
        if let Some((_, Waiting::Arrival(presence))) = at.map(|at| self.waiting.swap_remove(at)) {
            fx.refuse(&presence, &StanzaError::new(Condition::InternalServerError));
        }
    }

    /// Whether the room can take one more now (attacks M19).
    fn may_come_now(&mut self, from: &Jid, seat: Seat, fx: &Effects) -> bool {
        let settings = &seat.site.settings.rooms;
        let (burst, rate) = (settings.joins, settings.join_rate);
        let who = match seat.site.serves(from.domain()) {
            true => from.bare_str(),
            // Accounts of one remote server are as many as it likes.
            false => from.domain(),
        };
        self.joins.spend(fx.now, burst, rate) && self.joiners.spend(who, fx.now, burst, rate)
    }

    /// Under which name somebody comes in, and whether that is the one he wanted; an error if he
    /// cannot have it (§7.2.8).
    pub fn name(&self, presence: &Stanza, from: &Jid) -> Result<(Jid, bool), StanzaError> {
        let wanted = presence
            .to
            .as_ref()
            .and_then(|to| Some((to, to.resource()?)));
        let Some((to, wanted)) = wanted else {
            return Err(StanzaError::new(Condition::JidMalformed));
        };
        let unfit = || StanzaError::new(Condition::NotAcceptable);
        let nick = fit(wanted).ok_or_else(unfit)?;
        let occupant = to.bare().with_resource(&nick).map_err(|_| unfit())?;
        let who = from.bare_str();
        match self.occupants.is_taken(&nick, who) || self.people.is_taken(&nick, who) {
            true => Err(StanzaError::new(Condition::Conflict)),
            false => Ok((occupant, nick != wanted)),
        }
    }

    /// Whether somebody may come in (§7.2.6 to §7.2.11).
    fn admit<'a>(
        &self,
        presence: &'a Stanza,
        from: &'a Jid,
        created: bool,
        seat: Seat,
    ) -> Result<Arrival<'a>, StanzaError> {
        let founding = self.there()?;
        let config = &founding.config;
        let affiliation = self.affiliation(from, seat);
        let is_staff = affiliation >= Affiliation::Admin;
        if affiliation == Affiliation::Outcast {
            return Err(StanzaError::new(Condition::Forbidden));
        }
        if founding.locked && affiliation != Affiliation::Owner {
            return Err(StanzaError::new(Condition::ItemNotFound));
        }
        let is_stranger = config.local_only && !seat.site.serves(from.domain());
        if is_stranger || (config.members_only && affiliation < Affiliation::Member) {
            return Err(StanzaError::new(Condition::RegistrationRequired));
        }
        if let Some(password) = &config.password
            && affiliation < Affiliation::Owner
            && !gives(presence, password)
        {
            return Err(StanzaError::new(Condition::NotAuthorized));
        }
        let (occupant, renamed) = self.name(presence, from)?;
        let limit = config.users(seat.site.settings.rooms.users);
        let limit = limit + if is_staff { RESERVE } else { 0 };
        let known = occupant
            .resource()
            .and_then(|nick| self.occupants.get(nick));
        let is_full = match known {
            Some(known) => known.sessions.len() >= SESSIONS && !known.has(from),
            None => self.occupants.len() >= limit as usize,
        };
        if is_full {
            let error = StanzaError::new(Condition::ServiceUnavailable);
            return Err(error.with_kind(ErrorType::Wait));
        }
        Ok(Arrival {
            presence,
            from,
            occupant,
            affiliation,
            renamed,
            created,
        })
    }

    /// Somebody comes in: what he is told, and what the others are, in this order (§7.1).
    fn receive(&mut self, arrival: Arrival, seat: Seat, fx: &mut Effects) {
        let Ok(founding) = self.there() else { return };
        let Arrival {
            presence,
            from,
            occupant,
            affiliation,
            ..
        } = &arrival;
        let nick = occupant.resource().unwrap_or_default();
        let known = self.occupants.get(nick);
        // Voice that somebody was given, or lost, is not to be had back by another session.
        let role = match known {
            Some(known) => known.role,
            None => affiliation.role(founding.config.moderated),
        };
        let is_new = known.is_none();
        let session = Session {
            jid: (*from).clone(),
            presence: shown(presence),
        };
        self.occupants.add(occupant.clone(), role, session);
        self.occupants.write(from, seat.owner, fx);
        self.tell_of_others(from, &founding, seat, fx);
        self.announce(&arrival, is_new, &founding, seat, fx);
        self.vault.resume(fx);
        let wanted = Wanted::of(presence, founding.config.history);
        self.history.tell(from, &wanted, seat.jid, fx);
        self.tell_subject(from, seat, fx);
    }

    /// §7.2.2: who is there already.
    fn tell_of_others(&self, newcomer: &Jid, founding: &Founding, seat: Seat, fx: &mut Effects) {
        let listener = self.occupants.of(newcomer);
        let Some(listener) = listener else { return };
        let with_jid = founding.config.shows_jids_to(listener.role);
        for occupant in self.occupants.iter() {
            let is_shown = founding.config.shown.contains(&occupant.role);
            if occupant.jid != listener.jid
                && is_shown
                && let Some(word) = self.word(occupant, seat)
            {
                fx.route(word.form(with_jid).with_to(newcomer.clone()));
            }
        }
    }

    /// §7.2.2: he is told last that he is in; the others that somebody is.
    fn announce(
        &self,
        arrival: &Arrival,
        is_new: bool,
        founding: &Founding,
        seat: Seat,
        fx: &mut Effects,
    ) {
        let nick = arrival.occupant.resource().unwrap_or_default();
        let Some(mut word) = self.occupants.get(nick).and_then(|it| self.word(it, seat)) else {
            return;
        };
        let mut own = Vec::new();
        own.extend(founding.config.non_anonymous.then_some(code::NON_ANONYMOUS));
        own.extend(founding.config.archived.then_some(code::LOGGED));
        own.extend(arrival.created.then_some(code::CREATED));
        own.extend(arrival.renamed.then_some(code::RENAMED));
        // His other sessions see a presence that changed, if it did; he sees that he is in.
        match is_new {
            true => word.to_others(&self.occupants, &founding.config, fx),
            false => word.broadcast_but(arrival.from, &self.occupants, &founding.config, fx),
        }
        word.own_codes = &own;
        word.id = arrival.presence.id.clone();
        word.to_self(arrival.from, fx);
    }

    /// §7.2.15: what the room talks about.
    fn tell_subject(&self, to: &Jid, seat: Seat, fx: &mut Effects) {
        fx.route(self.subject_stanza(seat).with_to(to.clone()));
    }
}

/// A name as one may go by it: spaces are single and inside (RFC 8266 §2.3). `None`: nobody may be
/// called so.
pub fn fit(wanted: &str) -> Option<String> {
    let nick = wanted.split_whitespace().collect::<Vec<_>>().join(" ");
    let fits = !nick.is_empty() && nick.chars().count() <= NICK;
    fits.then_some(nick)
}

/// Whether the password is in a presence (§7.2.5).
fn gives(presence: &Stanza, password: &str) -> bool {
    let x = presence.child(ns::MUC, "x");
    let given = x.and_then(|x| Some(x.child(ns::MUC, "password")?.text()));
    let given = given.unwrap_or_default();
    bool::from(given.as_bytes().ct_eq(password.as_bytes()))
}

/// An error to who wanted to come in, as MUC has it: with `<x/>` in front (§7.2).
pub fn refusal(presence: &Stanza, error: &StanzaError) -> Option<Stanza> {
    let mut reply = presence.error_reply(error)?;
    let x = Element::new(ns::MUC, "x");
    let error = error.to_element();
    reply = Stanza::presence(PresenceType::Error)
        .with_to(reply.to.take())
        .with_from(reply.from.take());
    reply.id = presence.id.clone();
    Some(reply.with_child(&x).with_child(&error))
}
