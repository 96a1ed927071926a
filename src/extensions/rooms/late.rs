//! What was said in a room and has not reached one of its occupants, a user of this server, whose
//! session was away: it is read where the room keeps it.

use rookery_actors::extension::{AccountRole, View};
use rookery_actors::hub::devices::DeviceId;
use rookery_actors::keys;
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::Stanza;
use rookery_storage::record::decode;

use crate::kept::{Message, MessageId};

/// An account's part in rooms.
#[derive(Default)]
pub struct Visitor;

impl AccountRole for Visitor {
    fn again(&self, device: DeviceId, key: &[u8], row: &[u8], view: View) -> Option<Stanza> {
        let (owner, ..) = keys::split(key)?;
        if owner == view.account.id {
            return None;
        }
        let (_, id) = MessageId::of_key(key)?;
        let said = decode::<Message>(row).ok()?.into_stanza()?;
        let to = view.devices.get(device)?.jid.clone();
        Some(told(said, id).with_to(to))
    }
}

/// A message of a room's archive as its occupants hear it: not who really said it.
pub fn told(mut said: Stanza, id: MessageId) -> Stanza {
    said.retain_children(|child| !child.is(ns::MUC_USER, "x"));
    if let Some(room) = said.from.as_ref().map(Jid::bare) {
        said.append(&id.element(&room));
    }
    said
}
