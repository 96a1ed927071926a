//! What was said in a room, for those who may come in (XEP-0313 §6.1.2).

use rookery_actors::effect::{Effects, Row};
use rookery_actors::service::Seat;
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::Stanza;
use rookery_protocol::xml::Element;

use super::room::Room;
use super::standing::{Affiliation, Role};
use crate::extensions::request::unavailable;
use crate::kept::Message;

impl Room {
    /// An IQ about the room's archive.
    pub fn look_up(
        &mut self,
        request: &Stanza,
        payload: &Element,
        seat: Seat,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let Some(from) = &request.from else {
            return Ok(());
        };
        self.may_look_up(from, payload.ns() == ns::MAM_TRIM, seat)?;
        match self.vault.asked(request, payload, seat.owner, fx) {
            true => Ok(()),
            false => Err(unavailable()),
        }
    }

    /// Whoever may come in may read what was said; owners may have it forgotten.
    fn may_look_up(&self, from: &Jid, trims: bool, seat: Seat) -> Result<(), StanzaError> {
        let founding = self.there()?;
        let config = &founding.config;
        let affiliation = self.affiliation(from, seat);
        let is_here = self.occupants.of(from).is_some();
        let is_open = !config.members_only
            && config.password.is_none()
            && !founding.locked
            && (!config.local_only || seat.site.serves(from.domain()));
        let may = match affiliation {
            Affiliation::Outcast => false,
            Affiliation::Owner => true,
            _ if trims => false,
            Affiliation::None => is_here || is_open,
            Affiliation::Member | Affiliation::Admin => true,
        };
        match may {
            true => Ok(()),
            false => Err(StanzaError::new(Condition::Forbidden)),
        }
    }

    /// The rows that were asked for. Who really said something is told to those who may know.
    pub fn looked_up(
        &mut self,
        step: u32,
        request: Option<&Stanza>,
        rows: Vec<Row>,
        seat: Seat,
        fx: &mut Effects,
    ) {
        let reader = request.and_then(|it| it.from.as_ref());
        let role = |jid: &Jid| {
            let here = self.occupants.of(jid).map_or(Role::None, |it| it.role);
            here.max(self.affiliation(jid, seat).role(true))
        };
        let role = reader.map_or(Role::None, role);
        let knows = |it: &super::room::Founding| it.config.shows_jids_to(role);
        let knows = self.founding.as_deref().is_some_and(knows);
        let writer = |message: &Message| match knows {
            true => None,
            false => anonymous(message),
        };
        self.vault
            .read_done(step, request, rows, seat.owner, &writer, fx);
    }
}

/// What was said, without who really said it.
fn anonymous(message: &Message) -> Option<String> {
    let mut said = message.stanza()?;
    said.retain_children(|child| !child.is(ns::MUC_USER, "x"));
    let mut text = Vec::with_capacity(said.wire_len());
    said.write(&mut text);
    String::from_utf8(text).ok()
}
