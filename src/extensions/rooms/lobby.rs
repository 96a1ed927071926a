//! The host of the rooms itself (XEP-0045 §6): which rooms there are.

use rookery_actors::effect::{Effects, Row};
use rookery_actors::service::Seat;
use rookery_protocol::error::StanzaError;
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::Stanza;
use rookery_protocol::xml::Element;

use super::listing::Register;
use crate::extensions::disco::{self, item};
use crate::extensions::pubsub::retrieve::{LISTED, listing};
use crate::extensions::request::{gets, unavailable};

/// An IQ to the host.
pub fn iq(
    request: &Stanza,
    payload: &Element,
    seat: Seat,
    fx: &mut Effects,
) -> Result<(), StanzaError> {
    if !gets(request, payload, "query") || payload.attr("node").is_some() {
        return Err(unavailable());
    }
    match payload.ns() {
        ns::DISCO_INFO => {
            let host = seat.site.host(seat.jid.domain());
            let info = host.and_then(|host| disco::service_info(host, seat.site));
            fx.result(request, Some(info.ok_or_else(unavailable)?));
            Ok(())
        }
        ns::DISCO_ITEMS => rooms(request, payload, seat, fx),
        _ => Err(unavailable()),
    }
}

/// The rooms stand on the disk: now they have been read.
pub fn read(request: &Stanza, rows: Vec<Row>, seat: Seat, fx: &mut Effects) {
    Register::of(seat).read(rows, seat);
    let done = match request.payload() {
        Some(payload) => iq(request, &payload, seat, fx),
        None => Err(unavailable()),
    };
    if let Err(error) = done {
        fx.refuse(request, &error);
    }
}

/// §6.3: the rooms that are listed, in parts if so wished.
fn rooms(
    request: &Stanza,
    query: &Element,
    seat: Seat,
    fx: &mut Effects,
) -> Result<(), StanzaError> {
    let register = Register::of(seat);
    let name = |jid: &str, name: &str| match name.is_empty() {
        true => Jid::parse(jid)
            .ok()
            .and_then(|it| Some(it.local()?.to_owned())),
        false => Some(name.to_owned()),
    };
    let public = register.public(seat, |jid, room, occupants| {
        let name = name(jid, &room.name).unwrap_or_default();
        // As others show it.
        (jid.to_owned(), format!("{name} ({occupants})"))
    });
    let Some(rooms) = public else {
        fx.read(request, 0, vec![Register::rooms_at(seat)]);
        return Ok(());
    };
    let (rooms, set) = listing(query, &rooms, |it| it.0.as_str(), LISTED)?;
    let items = rooms.iter().map(|(jid, name)| item(jid, "", name));
    let answer = Element::new(ns::DISCO_ITEMS, "query")
        .with_children(items)
        .with_children(set);
    fx.result(request, Some(answer));
    Ok(())
}
