//! Messages that the room itself deals with: invitations (XEP-0045 §7.8), what comes of them, and
//! requests for voice (§7.13, §8.6).

use rookery_actors::effect::{Effects, Marks};
use rookery_actors::service::Seat;
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::forms::{Field, FieldType, Form, Submission};
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::{MessageType, Stanza};
use rookery_protocol::xml::Element;
use rookery_storage::Frame;

use super::room::{Founding, Room};
use super::standing::{Affiliation, Role};
use crate::extensions::request::bad_request;

/// The most invitations in one message.
const INVITATIONS: usize = 20;
/// The longest reason, in bytes.
const REASON: usize = 4 * 1024;

impl Room {
    /// A message to the room that is not for all in it.
    pub fn business(
        &mut self,
        message: &Stanza,
        from: &Jid,
        founding: &Founding,
        seat: Seat,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        if let Some(x) = message.child(ns::MUC_USER, "x") {
            let of = |name: &'static str| x.children().filter(move |it| it.is(ns::MUC_USER, name));
            if let Some(decline) = of("decline").next() {
                return self.decline(message, decline, from, seat, fx);
            }
            let invites: Vec<&Element> = of("invite").collect();
            if !invites.is_empty() {
                return self.invite(message, &invites, from, founding, seat, fx);
            }
        }
        if let Some(form) = message.child(ns::DATA_FORMS, "x") {
            return self.voice(&form, from, seat, fx);
        }
        // §7.4: messages of another type may be rejected.
        Err(bad_request().with_text("Messages to a room are of type groupchat"))
    }

    /// An invitation, to which the invited person is to be added.
    pub fn invitation(&self, from: &Jid, reason: &str) -> Stanza {
        let mut invite = Element::new(ns::MUC_USER, "invite").with_attr("from", from.as_str());
        if !reason.is_empty() {
            invite.push(Element::new(ns::MUC_USER, "reason").with_text(reason));
        }
        let mut x = Element::new(ns::MUC_USER, "x").with_child(invite);
        let password = self.founding.as_ref();
        if let Some(password) = password.and_then(|it| it.config.password.as_ref()) {
            x.push(Element::new(ns::MUC_USER, "password").with_text(password));
        }
        Stanza::message(MessageType::Normal).with_child(&x)
    }

    /// §7.8.2: somebody invites others, who become members where only members may enter.
    fn invite(
        &mut self,
        message: &Stanza,
        invites: &[&Element],
        from: &Jid,
        founding: &Founding,
        seat: Seat,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let config = &founding.config;
        let own = self.rank(from, seat);
        let Some(inviter) = self.occupants.of(from) else {
            return Err(StanzaError::new(Condition::NotAcceptable)
                .with_text("Only occupants may invite others to this room"));
        };
        let is_member = own.affiliation >= Affiliation::Member;
        let may = match config.members_only {
            true => own.affiliation >= Affiliation::Admin || (is_member && config.open_invitations),
            false => own.role >= Role::Participant || config.open_invitations,
        };
        if !may {
            return Err(StanzaError::new(Condition::Forbidden)
                .with_text("You may not invite others to this room"));
        }
        if invites.len() > INVITATIONS {
            return Err(StanzaError::new(Condition::PolicyViolation));
        }
        // Where addresses are hidden, this one is.
        let by = match config.non_anonymous {
            true => from.bare(),
            false => inviter.jid.clone(),
        };
        let mut sent = Vec::new();
        for invite in invites {
            let to = invite.attr("to").and_then(|it| Jid::parse(it).ok());
            let to = to.ok_or_else(|| StanzaError::new(Condition::JidMalformed))?;
            if self.affiliation(&to, seat) == Affiliation::Outcast
                && own.affiliation < Affiliation::Admin
            {
                return Err(StanzaError::new(Condition::Forbidden)
                    .with_text("Whom you invite is banned from this room"));
            }
            let joins = config.members_only && self.affiliation(&to, seat) == Affiliation::None;
            if joins && self.people.is_full() {
                return Err(StanzaError::new(Condition::ResourceConstraint));
            }
            let reason = invite.child(ns::MUC_USER, "reason").map(Element::text);
            let reason = reason.unwrap_or_default();
            if reason.len() > REASON {
                return Err(StanzaError::new(Condition::NotAcceptable));
            }
            let mut invitation = self.invitation(&by, &reason);
            invitation.id = message.id.clone();
            sent.push(invitation.with_from(seat.jid.clone()).with_to(to));
        }
        for (index, invitation) in sent.into_iter().enumerate() {
            let to = invitation.to.as_ref().map(Jid::bare);
            if let Some(to) = to.filter(|_| config.members_only)
                && self.affiliation(&to, seat) < Affiliation::Member
            {
                self.people
                    .settle(&to, Affiliation::Member, "", seat.owner, fx);
            }
            match index {
                0 => fx.forward(invitation, lasting(fx.now)),
                _ => fx.route_lasting(invitation, Frame::new()),
            }
        }
        Ok(())
    }

    /// §7.8.2: who was invited does not come.
    fn decline(
        &mut self,
        message: &Stanza,
        decline: &Element,
        from: &Jid,
        seat: Seat,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let to = decline.attr("to").and_then(|it| Jid::parse(it).ok());
        let to = to.ok_or_else(|| StanzaError::new(Condition::JidMalformed))?;
        // By his name, or by his address: he must be here to have invited anybody.
        let inviter = match to.bare_str() == seat.jid.as_str() {
            true => to.resource().and_then(|nick| self.occupants.get(nick)),
            false => self.occupants.all_of(to.bare_str()).next(),
        };
        let Some(session) = inviter.and_then(|it| it.shown()) else {
            return Err(StanzaError::new(Condition::ItemNotFound));
        };
        let reason = decline.child(ns::MUC_USER, "reason").map(Element::text);
        let reason = reason.filter(|it| it.len() <= REASON);
        let mut told = Element::new(ns::MUC_USER, "decline").with_attr("from", from.bare_str());
        if let Some(reason) = reason {
            told.push(Element::new(ns::MUC_USER, "reason").with_text(reason));
        }
        let x = Element::new(ns::MUC_USER, "x").with_child(told);
        let mut answer = Stanza::message(MessageType::Normal)
            .with_from(seat.jid.clone())
            .with_to(session.jid.clone())
            .with_child(&x);
        answer.id = message.id.clone();
        fx.forward(answer, lasting(fx.now));
        Ok(())
    }

    /// A form about voice: a request of a visitor, or what a moderator says to one.
    fn voice(
        &mut self,
        form: &Element,
        from: &Jid,
        seat: Seat,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let form = Submission::read(form)?;
        if form.form_type() != Some(ns::MUC_REQUEST) {
            return Err(bad_request());
        }
        let Some(occupant) = self.occupants.of(from) else {
            return Err(StanzaError::new(Condition::NotAcceptable));
        };
        let Some(allowed) = form.boolean(ALLOW) else {
            return self.request_voice(&form, from, seat, fx);
        };
        if occupant.role < Role::Moderator {
            return Err(StanzaError::new(Condition::Forbidden));
        }
        let nick = form.text("muc#roomnick").unwrap_or_default();
        let asker = self.occupants.get(nick);
        let asker = asker.ok_or_else(|| StanzaError::new(Condition::ItemNotFound))?;
        if allowed && asker.role == Role::Visitor {
            self.give_role(nick, Role::Participant, None, seat, fx);
        }
        Ok(())
    }

    /// §8.6: the moderators are asked.
    fn request_voice(
        &mut self,
        form: &Submission,
        from: &Jid,
        seat: Seat,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        if form.text("muc#role") != Some(Role::Participant.as_str()) {
            return Err(bad_request());
        }
        let Some(asker) = self
            .occupants
            .of(from)
            .filter(|it| it.role == Role::Visitor)
        else {
            return Ok(());
        };
        let role = Field::new(FieldType::ListSingle, "muc#role")
            .with_value(Role::Participant.as_str())
            .with_option(Role::Participant.as_str(), "Participant")
            .with_label("Requested role");
        let jid = Field::new(FieldType::JidSingle, "muc#jid")
            .with_value(from.as_str())
            .with_label("Address");
        let nick = Field::text("muc#roomnick", asker.nick()).with_label("Name");
        let form = Form::offer(ns::MUC_REQUEST)
            .with_title("Request for voice")
            .with_instructions("Somebody who may only listen asks to speak.")
            .with_field(role)
            .with_field(jid)
            .with_field(nick)
            .with_field(Field::boolean(ALLOW, false).with_label("May he speak?"));
        let message = Stanza::message(MessageType::Normal)
            .with_from(seat.jid.clone())
            .with_child(&form.to_element());
        let moderators = self.occupants.sessions();
        for (_, session) in moderators.filter(|(it, _)| it.role == Role::Moderator) {
            fx.route(message.clone().with_to(session.jid.clone()));
        }
        Ok(())
    }
}

const ALLOW: &str = "muc#request_allow";

/// Marks of something that must last.
pub fn lasting(now: u64) -> Marks {
    Marks {
        stamp: now,
        lasting: true,
        ..Marks::default()
    }
}
