//! Which messages are copied, and to whom (XEP-0280 §6.1).

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use rookery_actors::effect::Origin;
use rookery_actors::extension::{Direction, Pass, View};
use rookery_actors::hub::devices::Device;
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::{Child, Kind, MessageType, Stanza};

use crate::kept::is_invitation;

/// Copied messages remembered, for the errors that answer them; of older ones errors are not
/// copied.
const REMEMBERED: usize = 64;

/// What clients of today put into messages besides text.
const INSTANT: &[&str] = &[ns::RECEIPTS, ns::CHAT_STATES, ns::MARKERS];

/// To whom a message may be copied.
pub(super) struct Rule {
    /// For a private message in a room: the occupant that its sender is. Only devices that are
    /// this occupant too can answer.
    occupant: Vec<Jid>,
}

impl Rule {
    /// The rule for this message; `None`: it is not copied.
    pub fn of(pass: &Pass, answerable: &mut Answerable, view: View) -> Option<Rule> {
        let key = answerable.key(pass);
        let is_eligible = match pass.stanza.kind {
            // §10.3 forbids to judge it by what is in it.
            Kind::Message(MessageType::Error) => key.is_some_and(|key| answerable.has(key)),
            _ => is_eligible(pass.stanza, pass.direction),
        };
        if !is_eligible {
            return None;
        }
        if !pass.stanza.is_error() {
            answerable.extend(key);
        }
        Some(Rule {
            occupant: occupant(pass, view),
        })
    }

    /// Whether this device may see it.
    pub fn may_see(&self, device: &Device) -> bool {
        let is_occupant = |jid| device.directed.contains(jid);
        self.occupant.is_empty() || self.occupant.iter().any(is_occupant)
    }
}

/// Of a message that is no error.
fn is_eligible(stanza: &Stanza, direction: Direction) -> bool {
    // §9, XEP-0334 §4.3.
    if stanza.has(ns::CARBONS, "private") || stanza.has(ns::HINTS, "no-copy") {
        return false;
    }
    let invites = stanza.has(ns::INVITE_DIRECT, "x") || is_invitation(stanza);
    // What an occupant says privately the room gives to each device that is there.
    let is_private = stanza.has(ns::MUC_USER, "x") && !invites;
    if is_private && direction == Direction::In {
        return false;
    }
    let is_instant = |child: &Child| INSTANT.contains(&child.ns.as_str());
    match stanza.kind {
        Kind::Message(MessageType::Groupchat) => false,
        Kind::Message(MessageType::Chat) => true,
        Kind::Message(MessageType::Normal) if stanza.has(ns::CLIENT, "body") => true,
        _ => invites || stanza.children().iter().any(is_instant),
    }
}

/// As which occupant a device sends a private message: whom it sent its presence directly, in the
/// room of the recipient. Nobody where this is not known.
fn occupant(pass: &Pass, view: View) -> Vec<Jid> {
    let (Some(to), Origin::Device(sender)) = (&pass.stanza.to, pass.origin) else {
        return Vec::new();
    };
    if pass.direction == Direction::In || to.is_bare() || !pass.stanza.has(ns::MUC_USER, "x") {
        return Vec::new();
    }
    let directed = view.devices.get(sender).map(|device| &device.directed);
    let directed = directed.into_iter().flatten();
    let here = directed.filter(|it| !it.is_bare() && it.bare_str() == to.bare_str());
    here.cloned().collect()
}

/// Messages that were copied, so that errors that answer them are copied too. Only in memory, and
/// only the latest: without it a device does not hear of a failure that another one sees.
#[derive(Default)]
pub(super) struct Answerable {
    hasher: RandomState,
    keys: VecDeque<u64>,
}

impl Answerable {
    /// What a message and its answer have in common: who wrote the message, the other side, and the
    /// id.
    fn key(&self, pass: &Pass) -> Option<u64> {
        let peer = pass.peer()?.bare_str();
        let id = pass.stanza.id.as_ref()?;
        let is_own = (pass.direction == Direction::Out) != pass.stanza.is_error();
        Some(self.hasher.hash_one((is_own, peer, id.as_str())))
    }

    fn has(&self, key: u64) -> bool {
        self.keys.contains(&key)
    }

    fn extend(&mut self, key: Option<u64>) {
        let Some(key) = key.filter(|key| !self.has(*key)) else {
            return;
        };
        if self.keys.len() >= REMEMBERED {
            self.keys.pop_front();
        }
        self.keys.push_back(key);
    }
}
