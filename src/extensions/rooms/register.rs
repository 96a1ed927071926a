//! Names that belong to members (XEP-0045 §7.10).

use rookery_actors::effect::Effects;
use rookery_actors::service::Seat;
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::forms::{Answer, Field, Form};
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::{IqType, Kind, Stanza};
use rookery_protocol::xml::Element;

use super::enter::fit;
use super::room::Room;
use super::standing::Affiliation;
use super::word::Cause;
use crate::extensions::request::bad_request;

const NICK: &str = "muc#register_roomnick";

impl Room {
    /// A query of `jabber:iq:register` to the room.
    pub fn register(
        &mut self,
        request: &Stanza,
        query: &Element,
        seat: Seat,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let founding = self.there()?;
        let Some(who) = request.from.as_ref().map(Jid::bare) else {
            return Ok(());
        };
        let affiliation = self.affiliation(&who, seat);
        let may = match founding.config.members_only {
            true => affiliation >= Affiliation::Member,
            false => affiliation > Affiliation::Outcast,
        };
        if !may {
            return Err(StanzaError::new(Condition::NotAllowed));
        }
        let own = self.people.nick(who.as_str()).map(str::to_owned);
        let element = |name| Element::new(ns::REGISTER, name);
        if request.kind == Kind::Iq(IqType::Get) {
            let answer = match own {
                Some(nick) => element("query")
                    .with_child(element("registered"))
                    .with_child(element("username").with_text(nick)),
                None => element("query").with_child(form().to_element()),
            };
            fx.result(request, Some(answer));
            return Ok(());
        }
        if query.child(ns::REGISTER, "remove").is_some() {
            fx.result(request, None);
            self.unregister(&who, affiliation, seat, fx);
            return Ok(());
        }
        let submitted = query.child(ns::DATA_FORMS, "x").ok_or_else(bad_request)?;
        let nick = match form().answer(submitted).map_err(|_| bad_request())? {
            Answer::Submit(form) => form.text(NICK).and_then(fit).ok_or_else(bad_request)?,
            Answer::Cancel => {
                fx.result(request, None);
                return Ok(());
            }
        };
        let bare = who.as_str();
        if self.people.is_taken(&nick, bare) || self.occupants.is_taken(&nick, bare) {
            return Err(StanzaError::new(Condition::Conflict));
        }
        if self.people.is_full() && affiliation == Affiliation::None {
            return Err(StanzaError::new(Condition::ResourceConstraint));
        }
        fx.result(request, None);
        if affiliation < Affiliation::Member {
            let cause = Cause::default();
            self.give_affiliation(&who, Affiliation::Member, &cause, seat, fx);
        }
        self.people.register(&who, &nick, seat.owner, fx);
        Ok(())
    }

    /// XEP-0077 §3.2: who was a mere member is none any more.
    fn unregister(&mut self, who: &Jid, was: Affiliation, seat: Seat, fx: &mut Effects) {
        let to = match was {
            Affiliation::Member => Affiliation::None,
            other => other,
        };
        self.people.release(who, seat.owner, fx);
        if to != was {
            self.give_affiliation(who, to, &Cause::default(), seat, fx);
        }
    }
}

fn form() -> Form {
    Form::offer(ns::MUC_REGISTER)
        .with_title("Your name in this room")
        .with_field(Field::text(NICK, "").with_label("Name").required())
}
