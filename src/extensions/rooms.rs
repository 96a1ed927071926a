//! Rooms (XEP-0045): group chat at `rooms.DOMAIN`. Each room is an entity of the service, with a
//! Hub and rows of its own; the host itself is the lobby, which knows which rooms there are.

mod admin;
mod annals;
mod business;
mod config;
mod enter;
mod history;
mod info;
mod late;
mod leave;
mod listing;
mod lobby;
mod occupants;
mod owner;
mod passing;
mod people;
mod powers;
mod register;
mod retract;
mod room;
mod speech;
mod standing;
mod word;

use rookery_actors::effect::{Effects, Row};
use rookery_actors::extension::{Extension, Spec};
use rookery_actors::keys::Kind;
use rookery_actors::service::{Seat, Service, ServiceRole};
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::{Kind as StanzaKind, MessageType, PresenceType, Stanza};
use rookery_protocol::xml::Element;

use self::listing::Register;
use self::room::Room;
use super::archive::vault;
use super::request::unavailable;

/// The extension.
pub const ROOMS: Extension = Extension {
    name: "rooms",
    specs: &[
        Spec {
            xep: 45,
            version: "1.35.5",
            title: "Multi-User Chat",
        },
        Spec {
            xep: 410,
            version: "1.1.0",
            title: "MUC Self-Ping (Schrödinger's Chat)",
        },
        Spec {
            xep: 421,
            version: "1.0.1",
            title: "Occupant identifiers for semi-anonymous MUCs",
        },
        Spec {
            xep: 425,
            version: "0.3.0",
            title: "Moderated Message Retraction",
        },
        Spec {
            xep: 500,
            version: "0.1.1",
            title: "MUC Slow Mode",
        },
    ],
    account: Some(|_| Box::new(late::Visitor)),
    service: Some(Service {
        host: |settings| &settings.rooms.host,
        identity: ("conference", "text", "Rooms"),
        features: &[ns::MUC, ns::MUC_STABLE_ID, ns::OCCUPANT_ID, ns::RSM],
        namespaces: &[
            ns::DISCO_INFO,
            ns::DISCO_ITEMS,
            ns::MUC_ADMIN,
            ns::MUC_OWNER,
            ns::REGISTER,
            ns::MAM,
            ns::MAM_TRIM,
            ns::MODERATION,
        ],
        has_locals: true,
        make: |site| Box::new(Room::new(site)),
    }),
    ..Extension::NONE
};

impl Room {
    /// A presence, and the error if it cannot be.
    fn take_presence(&mut self, presence: &Stanza, seat: Seat, fx: &mut Effects) {
        let StanzaKind::Presence(kind) = presence.kind else {
            return;
        };
        if let Err(error) = self.presence(presence, kind, seat, fx)
            && kind == PresenceType::Available
        {
            let error = error.with_by(seat.jid.as_str());
            if let Some(refusal) = enter::refusal(presence, &error) {
                fx.reply(refusal);
            }
        }
        if self.founding.is_some() {
            Register::of(seat).count(self.occupants.len(), seat);
        }
    }
}

impl ServiceRole for Room {
    fn load(&mut self, kind: Kind, rest: &[u8], value: &[u8]) {
        Room::load(self, kind, rest, value);
    }

    fn iq(&mut self, request: &Stanza, payload: &Element, seat: Seat, fx: &mut Effects) {
        let to_occupant = request.to.as_ref().is_some_and(|to| !to.is_bare());
        let done = match payload.ns() {
            _ if seat.jid.local().is_none() => lobby::iq(request, payload, seat, fx),
            _ if to_occupant => self.pass(request, fx),
            ns::DISCO_INFO | ns::DISCO_ITEMS => self.disco(request, payload, seat, fx),
            ns::MUC_ADMIN => self.administer(request, payload, seat, fx),
            ns::MUC_OWNER => self.own(request, payload, seat, fx),
            ns::REGISTER => self.register(request, payload, seat, fx),
            ns::MODERATION => self.moderate(request, payload, seat, fx),
            ns::MAM | ns::MAM_TRIM => self.look_up(request, payload, seat, fx),
            _ => Err(unavailable()),
        };
        if let Err(error) = done {
            fx.refuse(request, &error);
        }
    }

    fn answered(&mut self, answer: &Stanza, _: Seat, fx: &mut Effects) {
        Room::answered(self, answer, fx);
    }

    fn message(&mut self, message: &Stanza, seat: Seat, fx: &mut Effects) {
        let StanzaKind::Message(kind) = message.kind else {
            return;
        };
        let whispers = message.to.as_ref().is_some_and(|to| !to.is_bare());
        let done = match kind {
            MessageType::Error => return,
            _ if seat.jid.local().is_none() => Err(unavailable()),
            _ if whispers => self.whisper(message, kind, seat, fx),
            _ => Room::message(self, message, kind, seat, fx),
        };
        if let Err(error) = done {
            fx.refuse(message, &error.with_by(seat.jid.as_str()));
        }
    }

    fn undelivered(&mut self, error: &Stanza, seat: Seat, fx: &mut Effects) {
        self.came_back(error, seat, fx);
    }

    fn presence(&mut self, presence: &Stanza, seat: Seat, fx: &mut Effects) {
        match seat.jid.local() {
            Some(_) => self.take_presence(presence, seat, fx),
            None if presence.kind == StanzaKind::Presence(PresenceType::Available) => {
                let error = StanzaError::new(Condition::JidMalformed);
                fx.refuse(presence, &error);
            }
            None => {}
        }
    }

    fn read_done(
        &mut self,
        step: u32,
        request: Option<&Stanza>,
        rows: Vec<Row>,
        seat: Seat,
        fx: &mut Effects,
    ) {
        match request {
            Some(request) if seat.jid.local().is_none() => lobby::read(request, rows, seat, fx),
            request if step >= vault::FREE => self.goes_on(step, request, rows, seat, fx),
            request => self.looked_up(step, request, rows, seat, fx),
        }
    }

    fn unread(&mut self, step: u32, seat: Seat, fx: &mut Effects) {
        match step >= vault::FREE {
            true => Room::unread(self, step, fx),
            false => self.vault.unread(step, seat.owner, fx),
        }
    }

    fn woken(&mut self, seat: Seat, fx: &mut Effects) {
        self.vault.woken(seat.owner, fx);
    }

    fn removed(&mut self, account: &Jid, seat: Seat, fx: &mut Effects) {
        self.people.forget(account, seat.owner, fx);
    }
}

#[cfg(test)]
mod tests;
