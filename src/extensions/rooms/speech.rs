//! What is said in a room: to all (XEP-0045 §7.4), the subject among it (§8.1), and to one of them
//! (§7.5).

use std::sync::Arc;

use rookery_actors::effect::{Effects, Marks};
use rookery_actors::service::Seat;
use rookery_protocol::error::{Condition, ErrorType, StanzaError};
use rookery_protocol::jid::Jid;
use rookery_protocol::stanza::{Kind, MessageType, Stanza};
use rookery_protocol::xml::Element;
use rookery_protocol::{datetime, ns};
use rookery_storage::Tree;
use rookery_storage::record::encode;

use super::business::lasting;
use super::occupants::Occupant;
use super::room::{Room, Subject};
use super::standing::Role;
use super::word;
use crate::extensions::archive::remove_ids;
use crate::kept::{Message, MessageId, Place, Worth, worth_by_content};

/// The longest subject, in bytes.
const SUBJECT: usize = 4 * 1024;
/// Messages that an occupant may send at once, for each that he may send a second.
const BURST: u32 = 10;

/// What only the room may say of a message (attacks M10).
const OF_ROOMS: &[(&str, &str)] = &[
    (ns::OCCUPANT_ID, "occupant-id"),
    (ns::MUC_USER, "x"),
    (ns::DELAY, "delay"),
    (ns::DELAY_LEGACY, "x"),
];

impl Room {
    /// A message to the room itself.
    pub fn message(
        &mut self,
        message: &Stanza,
        kind: MessageType,
        seat: Seat,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let founding = self.there()?;
        let Some(from) = message.from.as_ref() else {
            return Ok(());
        };
        if kind != MessageType::Groupchat {
            return self.business(message, from, &founding, seat, fx);
        }
        let Some(occupant) = self.occupants.of(from) else {
            return Err(StanzaError::new(Condition::NotAcceptable)
                .with_text("Only occupants may speak in this room"));
        };
        if message.has(ns::CLIENT, "subject") && !message.has(ns::CLIENT, "body") {
            return self.change_subject(message, from, seat, fx);
        }
        if occupant.role < Role::Participant {
            return Err(
                StanzaError::new(Condition::Forbidden).with_text("You have no voice in this room")
            );
        }
        self.check_pace(message, from, founding.config.pause, seat, fx)?;
        self.say(message, from, seat, fx);
        Ok(())
    }

    /// How fast an occupant may speak: as fast as the server allows, and where the room is slow
    /// (XEP-0500) with a pause between two messages.
    fn check_pace(
        &mut self,
        message: &Stanza,
        from: &Jid,
        pause: u32,
        seat: Seat,
        fx: &Effects,
    ) -> Result<(), StanzaError> {
        let rate = seat.site.settings.rooms.rate;
        let Some(occupant) = self.occupants.of_mut(from) else {
            return Ok(());
        };
        let too_fast = || StanzaError::new(Condition::PolicyViolation).with_kind(ErrorType::Wait);
        let bucket = &mut occupant.pace.bucket;
        if !bucket.spend(fx.now, rate.saturating_mul(BURST), rate) {
            return Err(too_fast().with_text("You speak too fast"));
        }
        if occupant.role >= Role::Moderator || !message.has(ns::CLIENT, "body") {
            return Ok(());
        }
        let since = fx.now.saturating_sub(occupant.pace.spoke);
        let left = u64::from(pause).saturating_mul(1_000).saturating_sub(since);
        if left > 0 && occupant.pace.spoke > 0 {
            let seconds = left.div_ceil(1_000);
            return Err(too_fast().with_text(format!("Wait {seconds} seconds")));
        }
        occupant.pace.spoke = fx.now;
        Ok(())
    }

    /// Says something to all, and keeps it.
    fn say(&mut self, message: &Stanza, from: &Jid, seat: Seat, fx: &mut Effects) {
        let Some(occupant) = self.occupants.of(from) else {
            return;
        };
        let said = self.reflected(message, occupant, seat);
        self.keep_and_tell(said, from, seat, fx);
        self.note_retraction(message, from, seat, fx);
    }

    /// Says something to all, and keeps it if it is worth that. `from`: who is behind it.
    pub fn keep_and_tell(&mut self, mut said: Stanza, from: &Jid, seat: Seat, fx: &mut Effects) {
        let archived = self.founding.as_ref().is_some_and(|it| it.config.archived);
        let lasts = worth_by_content(&said) == Worth::Lasting;
        let id = (lasts && archived).then(|| self.keep(&said, from, seat, fx));
        if let Some(id) = id {
            said.append(&id.element(seat.jid));
        }
        if lasts {
            self.history.push(fx.now, id, &said);
        }
        let source = id.map(|id| Arc::from(id.key(seat.owner, Place::Archive)));
        for (_, session) in self.occupants.sessions() {
            let marks = Marks {
                stamp: fx.now,
                source: source.clone(),
                ..Marks::default()
            };
            fx.route_marked(said.clone().with_to(session.jid.clone()), marks);
        }
    }

    /// A message as all hear it: from him, and with nothing in it that only the room may say.
    fn reflected(&self, message: &Stanza, occupant: &Occupant, seat: Seat) -> Stanza {
        let mut said = message
            .clone()
            .with_to(None)
            .with_from(occupant.jid.clone());
        let forged = OF_ROOMS;
        said.retain_children(|child| !forged.iter().any(|(ns, name)| child.is(ns, name)));
        remove_ids(&mut said, seat.jid);
        let id = self.occupant_id(occupant);
        said.with_child(&Element::new(ns::OCCUPANT_ID, "occupant-id").with_attr("id", id))
    }

    /// Keeps what was said, with who really said it.
    fn keep(&mut self, said: &Stanza, from: &Jid, seat: Seat, fx: &mut Effects) -> MessageId {
        let id = MessageId::new(self.vault.next_stamp(seat.owner, fx));
        let affiliation = self.affiliation(from, seat);
        let role = self.occupants.of(from).map_or(Role::None, |it| it.role);
        let item = word::item(affiliation, role).with_attr("jid", from.as_str());
        let x = Element::new(ns::MUC_USER, "x").with_child(item);
        let row = Message::incoming(&said.clone().with_child(&x));
        if let Some(row) = row.and_then(|it| encode(&it).ok()) {
            self.vault.add(row.len(), seat.owner, fx);
            fx.put(Tree::Archive, id.key(seat.owner, Place::Archive), row);
            fx.lasting = true;
        }
        id
    }

    /// Everybody hears it.
    pub fn tell_all(&self, said: &Stanza, fx: &mut Effects) {
        for (_, session) in self.occupants.sessions() {
            fx.route(said.clone().with_to(session.jid.clone()));
        }
    }

    /// §8.1: somebody sets the subject.
    fn change_subject(
        &mut self,
        message: &Stanza,
        from: &Jid,
        seat: Seat,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let founding = self.there()?;
        let Some(occupant) = self.occupants.of(from) else {
            return Ok(());
        };
        let open = founding.config.open_subject && occupant.role >= Role::Participant;
        if !open && occupant.role < Role::Moderator {
            return Err(StanzaError::new(Condition::Forbidden)
                .with_text("You may not set the subject of this room"));
        }
        let text = message.child(ns::CLIENT, "subject").map(|it| it.text());
        let text = text.unwrap_or_default();
        if text.len() > SUBJECT {
            return Err(
                StanzaError::new(Condition::NotAcceptable).with_text("The subject is too long")
            );
        }
        let subject = Subject {
            text,
            by: Some(occupant.nick().to_owned()),
            at: fx.now,
        };
        let said = self.reflected(message, occupant, seat);
        self.talk_of(subject, seat.owner, fx);
        fx.lasting = true;
        self.tell_all(&said, fx);
        Ok(())
    }

    /// The subject, as who enters is told of it (§7.2.15).
    pub fn subject_stanza(&self, seat: Seat) -> Stanza {
        let subject = Element::new(ns::CLIENT, "subject").with_text(&self.subject.text);
        let message = Stanza::message(MessageType::Groupchat).with_child(&subject);
        let by = self.subject.by.as_ref();
        let from = by.and_then(|nick| seat.jid.with_resource(nick).ok());
        let message = message.with_from(from.unwrap_or_else(|| seat.jid.clone()));
        match by {
            None => message,
            Some(_) => message.with_child(
                &Element::new(ns::DELAY, "delay")
                    .with_attr("from", seat.jid.as_str())
                    .with_attr("stamp", datetime::format(self.subject.at)),
            ),
        }
    }

    /// §7.5: a message to one occupant.
    pub fn whisper(
        &mut self,
        message: &Stanza,
        kind: MessageType,
        seat: Seat,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let founding = self.there()?;
        let (Some(from), Some(to)) = (&message.from, &message.to) else {
            return Ok(());
        };
        let Some(sender) = self.occupants.of(from) else {
            return Err(StanzaError::new(Condition::NotAcceptable)
                .with_text("Only occupants may write to others in this room"));
        };
        if kind == MessageType::Groupchat {
            return Err(StanzaError::new(Condition::BadRequest));
        }
        let nick = to.resource().unwrap_or_default();
        let Some(reader) = self.occupants.get(nick) else {
            return Err(StanzaError::new(Condition::ItemNotFound));
        };
        let is_self = reader.who == sender.who;
        if !is_self && !founding.config.whisper.allows(sender.role, reader.role) {
            return Err(StanzaError::new(Condition::Forbidden)
                .with_text("You may not write to this occupant"));
        }
        let mut private = self.reflected(message, sender, seat);
        private.kind = Kind::Message(kind);
        let private = private.with_child(&Element::new(ns::MUC_USER, "x"));
        let sessions: Vec<Jid> = reader.sessions.iter().map(|it| it.jid.clone()).collect();
        self.check_pace(&private, from, 0, seat, fx)?;
        // His archive keeps the one that goes to the session that he used last; the others have
        // copies, which it does not (XEP-0334 §4.2).
        let mut sessions = sessions.into_iter().rev();
        if let Some(first) = sessions.next() {
            fx.forward(private.clone().with_to(first), lasting(fx.now));
        }
        let copy = private.with_child(&Element::new(ns::HINTS, "no-store"));
        for session in sessions {
            fx.route(copy.clone().with_to(session));
        }
        Ok(())
    }
}
