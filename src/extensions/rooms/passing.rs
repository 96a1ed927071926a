//! IQs between occupants (XEP-0045 §17.4): each hears the other under the name he goes by, and no
//! address. And what comes back from who is not there any more.

use std::collections::VecDeque;

use rookery_actors::effect::{Effects, Millis};
use rookery_actors::service::Seat;
use rookery_actors::site::random_id;
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::{Kind, MessageType, Stanza};
use smol_str::SmolStr;

use super::leave::Parting;
use super::room::Room;
use super::word::{Cause, code};
use crate::extensions::request::bad_request;

/// Questions that wait for an answer; the oldest are forgotten first.
const PENDING: usize = 500;
/// For how long one does.
const PATIENCE: Millis = 120_000;

/// Errors by which a server says that nobody is there (XEP-0045 §10.10.1, attacks M16).
const LOST: &[Condition] = &[
    Condition::Gone,
    Condition::InternalServerError,
    Condition::ItemNotFound,
    Condition::JidMalformed,
    Condition::RecipientUnavailable,
    Condition::Redirect,
    Condition::RemoteServerNotFound,
    Condition::RemoteServerTimeout,
    Condition::ServiceUnavailable,
];

/// A question that was passed on.
#[derive(Debug)]
struct Question {
    /// The id under which it was.
    id: SmolStr,
    /// Who is to answer: a full JID, or a bare one where his server answers for him.
    target: Jid,
    /// Under which name he was asked.
    occupant: Jid,
    asker: Jid,
    /// The id that the asker gave it.
    asked_as: Option<SmolStr>,
    at: Millis,
}

/// All that wait.
#[derive(Default, Debug)]
pub struct Questions(VecDeque<Question>);

impl Room {
    /// A get or set to an occupant.
    pub fn pass(&mut self, request: &Stanza, fx: &mut Effects) -> Result<(), StanzaError> {
        self.there()?;
        let (Some(from), Some(to)) = (&request.from, &request.to) else {
            return Ok(());
        };
        let asks = |namespace| request.payload_head().is_some_and(|it| it.ns == namespace);
        let Some(asker) = self.occupants.of(from) else {
            // §6.6; XEP-0410 §3.
            return Err(match asks(ns::DISCO_INFO) || asks(ns::DISCO_ITEMS) {
                true => bad_request(),
                false => StanzaError::new(Condition::NotAcceptable),
            });
        };
        let target = to.resource().and_then(|nick| self.occupants.get(nick));
        let target = target.ok_or_else(|| StanzaError::new(Condition::ItemNotFound))?;
        if asks(ns::PING) && target.has(from) {
            // XEP-0410 §3.2.
            fx.result(request, None);
            return Ok(());
        }
        let Some(session) = target.shown() else {
            return Ok(());
        };
        let address = match asks(ns::VCARD) {
            // §17.4: his server answers.
            true => target.who.clone(),
            false => session.jid.clone(),
        };
        let question = Question {
            id: random_id(),
            target: address.clone(),
            occupant: target.jid.clone(),
            asker: from.clone(),
            asked_as: request.id.clone(),
            at: fx.now,
        };
        let mut passed = request.clone();
        passed.id = Some(question.id.clone());
        let passed = passed.with_from(asker.jid.clone()).with_to(address);
        self.questions.add(question);
        fx.route(passed);
        Ok(())
    }

    /// A result or error came: it goes to who asked, from whom he asked.
    pub fn answered(&mut self, answer: &Stanza, fx: &mut Effects) {
        let Some(question) = self.questions.take(answer, fx.now) else {
            return;
        };
        // He may have left meanwhile, and it is no business of his any more.
        if self.occupants.of(&question.asker).is_none() {
            return;
        }
        let mut told = answer.clone();
        told.id = question.asked_as;
        fx.route(told.with_from(question.occupant).with_to(question.asker));
    }

    /// A message or presence that somebody was sent came back.
    pub fn came_back(&mut self, error: &Stanza, seat: Seat, fx: &mut Effects) {
        let Some(from) = &error.from else { return };
        let Some(occupant) = self.occupants.of(from) else {
            return;
        };
        let (said, sender) = (error.error(), occupant.jid.clone());
        let is_lost = said.as_ref().is_none_or(|it| LOST.contains(&it.condition));
        if is_lost {
            let text = said.as_ref().and_then(|it| it.text.clone());
            let condition = said.map_or("an error", |it| it.condition.as_str());
            let reason = match text {
                Some(text) => format!("{condition}: {text}"),
                None => condition.to_owned(),
            };
            let cause = Cause {
                actor: None,
                reason,
            };
            let parting = Parting {
                codes: &[code::LOST],
                cause: Some(&cause),
                ..Parting::default()
            };
            self.part(&from.clone(), parting, seat, fx);
            return self.empty_if_nobody_is_left(seat, fx);
        }
        // What he was written in private goes back to who wrote it.
        let nick = error.to.as_ref().and_then(Jid::resource);
        let writer = nick.and_then(|nick| self.occupants.get(nick)?.shown());
        if let (Some(session), Kind::Message(MessageType::Error)) = (writer, error.kind) {
            let told = error.clone().with_from(sender);
            fx.route(told.with_to(session.jid.clone()));
        }
    }
}

impl Questions {
    fn add(&mut self, question: Question) {
        if self.0.len() >= PENDING {
            self.0.pop_front();
        }
        self.0.push_back(question);
    }

    /// The question of an answer: only who was asked can give it (attacks M13).
    fn take(&mut self, answer: &Stanza, now: Millis) -> Option<Question> {
        let overdue = |it: &Question| it.at.saturating_add(PATIENCE) < now;
        while self.0.front().is_some_and(overdue) {
            self.0.pop_front();
        }
        let (id, from) = (answer.id.as_ref()?, answer.from.as_ref()?);
        let fits = |it: &Question| it.id == *id && it.target == *from;
        let at = self.0.iter().position(fits)?;
        self.0.remove(at)
    }
}
