//! What is taken back: by who said it (XEP-0424), or by a moderator (XEP-0425). Everybody is told,
//! and a tombstone takes its place among what was said.

use rookery_actors::effect::{Effects, Query, Row};
use rookery_actors::service::Seat;
use rookery_actors::site::random_id;
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::jid::Jid;
use rookery_protocol::stanza::{IqType, Kind, MessageType, Stanza};
use rookery_protocol::xml::Element;
use rookery_protocol::{datetime, ns};
use rookery_storage::Tree;
use rookery_storage::record::{decode, encode};

use super::room::{Room, Waiting};
use super::standing::Role;
use crate::extensions::request::bad_request;
use crate::kept::{Message, MessageId, Place};

/// The longest reason, in bytes.
const REASON: usize = 1024;

impl Room {
    /// Something was said that may take an earlier message of the same user back.
    pub fn note_retraction(&mut self, said: &Stanza, from: &Jid, seat: Seat, fx: &mut Effects) {
        let retract = said.child(ns::RETRACT, "retract");
        // In rooms messages go by the ids that the room gave them (XEP-0424 §4).
        let target = retract.and_then(|it| MessageId::parse(it.attr("id")?));
        let (Some(target), Some(by)) = (target, &said.id) else {
            return;
        };
        let step = self.next_step();
        let waiting = Waiting::Retraction {
            author: from.bare(),
            by: by.to_string(),
        };
        self.waiting.push((step, waiting));
        let query = Query::Get(Tree::Archive, target.key(seat.owner, Place::Archive));
        fx.read_aside(step, vec![query]);
    }

    /// The message is there that its author takes back.
    pub fn retracted(
        &mut self,
        author: &Jid,
        by: &str,
        rows: &[Row],
        seat: Seat,
        fx: &mut Effects,
    ) {
        let retracted = Element::new(ns::RETRACT, "retracted")
            .with_attr("id", by)
            .with_attr("stamp", datetime::format(fx.now));
        self.bury(rows, Some(author), &retracted, seat, fx);
    }

    /// XEP-0425 §4: a moderator wants a message to be taken back.
    pub fn moderate(
        &mut self,
        request: &Stanza,
        moderate: &Element,
        seat: Seat,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        self.there()?;
        let Some(from) = &request.from else {
            return Ok(());
        };
        let retracts = moderate.child(ns::RETRACT, "retract").is_some();
        if request.kind != Kind::Iq(IqType::Set) || !retracts {
            return Err(bad_request());
        }
        if self.rank(from, seat).role < Role::Moderator {
            return Err(StanzaError::new(Condition::Forbidden)
                .with_text("Only moderators take back what others said"));
        }
        let target = moderate.attr("id").and_then(MessageId::parse);
        let target = target.ok_or_else(|| StanzaError::new(Condition::ItemNotFound))?;
        let step = self.next_step();
        self.waiting.push((step, Waiting::Moderation));
        let query = Query::Get(Tree::Archive, target.key(seat.owner, Place::Archive));
        fx.read(request, step, vec![query]);
        Ok(())
    }

    /// The message is there that a moderator takes back, if it is.
    pub fn moderated(&mut self, request: &Stanza, rows: &[Row], seat: Seat, fx: &mut Effects) {
        let found = rows.first().and_then(|(key, _)| MessageId::of_key(key));
        let payload = request.payload();
        let (Some((_, id)), Some(payload), Some(from)) = (found, payload, &request.from) else {
            return fx.refuse(request, &StanzaError::new(Condition::ItemNotFound));
        };
        let moderator = self.occupants.of(from);
        let Some(moderator) = moderator.filter(|it| it.role == Role::Moderator) else {
            return fx.refuse(request, &StanzaError::new(Condition::Forbidden));
        };
        let occupant_id = Element::new(ns::OCCUPANT_ID, "occupant-id")
            .with_attr("id", self.occupant_id(moderator));
        let moderated = Element::new(ns::MODERATION, "moderated")
            .with_attr("by", moderator.jid.as_str())
            .with_child(occupant_id);
        let reason = payload.child(ns::MODERATION, "reason").map(Element::text);
        let reason = reason.filter(|it| !it.is_empty() && it.len() <= REASON);
        let reason = reason.map(|it| Element::new(ns::RETRACT, "reason").with_text(it));
        let by = random_id();
        let retract = Element::new(ns::RETRACT, "retract")
            .with_attr("id", id.to_text())
            .with_child(moderated.clone())
            .with_children(reason.clone());
        let retracted = Element::new(ns::RETRACT, "retracted")
            .with_attr("id", &by)
            .with_attr("stamp", datetime::format(fx.now))
            .with_child(moderated)
            .with_children(reason);
        if !self.bury(rows, None, &retracted, seat, fx) {
            return fx.refuse(request, &StanzaError::new(Condition::ItemNotFound));
        }
        fx.result(request, None);
        let message = Stanza::message(MessageType::Groupchat)
            .with_from(seat.jid.clone())
            .with_id(by)
            .with_child(&retract);
        self.keep_and_tell(message, from, seat, fx);
    }

    /// Puts a tombstone in the place of a message that somebody said: `author`, if it must be his.
    fn bury(
        &mut self,
        rows: &[Row],
        author: Option<&Jid>,
        retracted: &Element,
        seat: Seat,
        fx: &mut Effects,
    ) -> bool {
        let Some((key, row)) = rows.first() else {
            return false;
        };
        let Some((_, id)) = MessageId::of_key(key) else {
            return false;
        };
        let Some((stone, bytes)) = tombstone(row, author, retracted) else {
            return false;
        };
        self.vault.resize(row.len(), bytes.len());
        self.history.bury(id, stone);
        fx.put(Tree::Archive, id.key(seat.owner, Place::Archive), bytes);
        true
    }
}

/// What is left of a message, as a stanza and as its row.
fn tombstone(row: &[u8], author: Option<&Jid>, retracted: &Element) -> Option<(Stanza, Vec<u8>)> {
    let mut stone = decode::<Message>(row).ok()?.into_stanza()?;
    let x = stone.child(ns::MUC_USER, "x")?;
    let who = x.child(ns::MUC_USER, "item")?.attr("jid")?;
    let is_his = author.is_none_or(|it| Jid::parse(who).is_ok_and(|who| who.bare() == *it));
    if !is_his || stone.has(ns::RETRACT, "retracted") {
        return None;
    }
    stone.retain_children(|it| it.is(ns::MUC_USER, "x") || it.is(ns::OCCUPANT_ID, "occupant-id"));
    stone.append(retracted);
    let bytes = encode(&Message::incoming(&stone)?).ok()?;
    Some((stone, bytes))
}
