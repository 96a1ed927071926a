//! What owners do (XEP-0045 §10): they configure the room, and destroy it.

use rookery_actors::effect::Effects;
use rookery_actors::service::Seat;
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::forms::{Answer, Field, FieldType, Form, Submission};
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::{IqType, Kind, MessageType, Stanza};
use rookery_protocol::xml::Element;

use super::config::Config;
use super::listing::Register;
use super::occupants::Occupant;
use super::room::{Founding, Room};
use super::standing::{Affiliation, Role};
use super::word::{Cause, Word, code, status};
use crate::extensions::request::bad_request;

const OWNERS: &str = "muc#roomconfig_roomowners";
const ADMINS: &str = "muc#roomconfig_roomadmins";

impl Room {
    /// A query of `muc#owner`.
    pub fn own(
        &mut self,
        request: &Stanza,
        query: &Element,
        seat: Seat,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let founding = self.there()?;
        let Some(from) = &request.from else {
            return Ok(());
        };
        if self.affiliation(from, seat) < Affiliation::Owner {
            return Err(StanzaError::new(Condition::Forbidden));
        }
        if request.kind == Kind::Iq(IqType::Get) {
            let form = self.form(&founding.config, seat).to_element();
            let answer = Element::new(ns::MUC_OWNER, "query").with_child(form);
            fx.result(request, Some(answer));
            return Ok(());
        }
        if let Some(destroy) = query.child(ns::MUC_OWNER, "destroy") {
            fx.result(request, None);
            self.destroy(destroy, seat, fx);
            return Ok(());
        }
        let form = query.child(ns::DATA_FORMS, "x").ok_or_else(bad_request)?;
        match self.form(&founding.config, seat).answer(form) {
            // §10.1.3: a room that nobody wants.
            Ok(Answer::Cancel) if founding.locked => {
                fx.result(request, None);
                let none = Element::new(ns::MUC_OWNER, "destroy");
                self.destroy(&none, seat, fx);
                Ok(())
            }
            Ok(Answer::Cancel) => {
                fx.result(request, None);
                Ok(())
            }
            Ok(Answer::Submit(form)) => self.configure(request, &form, &founding, seat, fx),
            Err(error) => Err(error.into()),
        }
    }

    /// §10.2: the configuration, and who owns and administers the room.
    fn form(&self, config: &Config, seat: Seat) -> Form {
        let jids = |var, affiliation, label| {
            let jids = self.people.all_who_are(affiliation).map(|(jid, _)| jid);
            Field::new(FieldType::JidMulti, var)
                .with_values(jids)
                .with_label(label)
        };
        config
            .form(&Room::limits(seat))
            .with_field(jids(OWNERS, Affiliation::Owner, "Owners"))
            .with_field(jids(ADMINS, Affiliation::Admin, "Admins"))
    }

    fn configure(
        &mut self,
        request: &Stanza,
        form: &Submission,
        founding: &Founding,
        seat: Seat,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let mut new = founding.clone();
        if let Err(field) = new.config.take(form) {
            let text = format!("the value of {field} is not allowed");
            return Err(StanzaError::new(Condition::NotAcceptable).with_text(text));
        }
        let changes = self.changes_of_staff(form)?;
        new.locked = false;
        let before = founding.config.clone();
        Register::of(seat).enter(&new, self.occupants.len(), seat, fx);
        let after = new.config.clone();
        self.found(new, seat.owner, fx);
        fx.result(request, None);
        if !founding.locked {
            self.tell_of_changes(&before, &after, seat, fx);
        }
        let cause = Cause::default();
        for (jid, affiliation) in changes {
            self.give_affiliation(&jid, affiliation, &cause, seat, fx);
        }
        self.make_room_for_the_new(&before, &after, seat, fx);
        self.empty_if_nobody_is_left(seat, fx);
        Ok(())
    }

    /// What the whole lists of owners and admins in a form change. There is always an owner.
    fn changes_of_staff(&self, form: &Submission) -> Result<Vec<(Jid, Affiliation)>, StanzaError> {
        let mut changes = Vec::new();
        let wanted = |var| -> Option<Vec<Jid>> {
            let jids = form.jids(var)?;
            Some(jids.iter().map(Jid::bare).collect())
        };
        let (owners, admins) = (wanted(OWNERS), wanted(ADMINS));
        if owners.as_ref().is_some_and(Vec::is_empty) {
            return Err(StanzaError::new(Condition::Conflict));
        }
        for (list, affiliation) in [(owners, Affiliation::Owner), (admins, Affiliation::Admin)] {
            let Some(list) = list else { continue };
            let new = list.iter().filter(|it| {
                let now = self.people.affiliation(it.as_str());
                // Who is in both lists is an owner.
                now != affiliation && now != Affiliation::Owner
            });
            changes.extend(new.map(|it| (it.clone(), affiliation)));
            let gone = self.people.all_who_are(affiliation);
            let gone = gone.filter_map(|(jid, _)| Jid::parse(jid).ok());
            let gone = gone.filter(|it| !list.contains(it));
            changes.extend(gone.map(|it| (it, Affiliation::Member)));
        }
        Ok(changes)
    }

    /// §10.2.1: what matters to the occupants.
    fn tell_of_changes(&self, before: &Config, after: &Config, seat: Seat, fx: &mut Effects) {
        let mut codes = Vec::new();
        match (before.archived, after.archived) {
            (false, true) => codes.push(code::LOGGED),
            (true, false) => codes.push(code::NOT_LOGGED),
            _ => {}
        }
        match (before.non_anonymous, after.non_anonymous) {
            (false, true) => codes.push(code::NOW_NON_ANONYMOUS),
            (true, false) => codes.push(code::NOW_SEMI_ANONYMOUS),
            _ => {}
        }
        if codes.is_empty() && before != after {
            codes.push(code::CONFIGURED);
        }
        if codes.is_empty() {
            return;
        }
        let x = Element::new(ns::MUC_USER, "x").with_children(codes.iter().map(status));
        let message = Stanza::message(MessageType::Groupchat)
            .with_from(seat.jid.clone())
            .with_child(&x);
        self.tell_all(&message, fx);
    }

    /// Who may not be there any more is put out (§10.2), and who may not speak any more is told.
    fn make_room_for_the_new(
        &mut self,
        before: &Config,
        after: &Config,
        seat: Seat,
        fx: &mut Effects,
    ) {
        let nicks = |room: &Room, which: &dyn Fn(&Occupant) -> bool| -> Vec<String> {
            let occupants = room.occupants.iter().filter(|it| which(it));
            occupants.map(|it| it.nick().to_owned()).collect()
        };
        let cause = Cause::default();
        let is_out = |occupant: &Occupant| {
            let affiliation = self.affiliation(&occupant.who, seat);
            let stranger = after.local_only && !seat.site.serves(occupant.who.domain());
            (after.members_only && affiliation < Affiliation::Member) || stranger
        };
        for nick in nicks(self, &is_out) {
            self.put_out(&nick, &[code::MEMBERS_ONLY], &cause, seat, fx);
        }
        let nobody =
            |room: &Room, it: &Occupant| room.affiliation(&it.who, seat) == Affiliation::None;
        let (from, to) = match (before.moderated, after.moderated) {
            (false, true) => (Role::Participant, Role::Visitor),
            (true, false) => (Role::Visitor, Role::Participant),
            _ => return,
        };
        for nick in nicks(self, &|it| it.role == from && nobody(self, it)) {
            self.give_role(&nick, to, None, seat, fx);
        }
    }

    /// §10.9: the room ends; everybody is told once where to go.
    pub fn destroy(&mut self, destroy: &Element, seat: Seat, fx: &mut Effects) {
        let mut told = Element::new(ns::MUC_USER, "destroy");
        let venue = destroy.attr("jid").and_then(|it| Jid::parse(it).ok());
        if let Some(venue) = venue {
            told.set_attr("jid", venue.as_str());
        }
        for name in ["reason", "password"] {
            if let Some(text) = destroy.child(ns::MUC_OWNER, name).map(Element::text) {
                told.push(Element::new(ns::MUC_USER, name).with_text(text));
            }
        }
        for (occupant, session) in self.occupants.sessions() {
            let word = Word {
                occupant: &occupant.jid,
                session: &session.jid,
                affiliation: Affiliation::None,
                role: Role::None,
                presence: None,
                occupant_id: self.occupant_id(occupant),
                codes: &[],
                own_codes: &[],
                nick: None,
                cause: None,
                id: None,
            };
            fx.route(word.last(&told).with_to(session.jid.clone()));
        }
        self.abolish(seat, fx);
    }
}
