//! Who is there to hear: presence that people send to the service, and events that came back.

use std::collections::HashSet;

use rookery_actors::effect::Effects;
use rookery_actors::service::Seat;
use rookery_protocol::error::{Condition, ErrorType};
use rookery_protocol::jid::Jid;
use rookery_protocol::stanza::{Kind, PresenceType, Stanza};

use super::Commons;
use crate::extensions::pubsub::config::SendLast;
use crate::extensions::pubsub::node::Node;
use crate::extensions::pubsub::{Board, Face};

/// The most people who are known to be there, and bytes of their addresses. At a bound all are
/// forgotten: whoever says once more that he is there then hears once more what was published last.
const PRESENT: usize = 10_000;
const PRESENT_BYTES: usize = 1024 * 1024;

/// The full JIDs that said that they are there, and not yet that they are gone.
#[derive(Default)]
pub struct Present {
    known: HashSet<Jid>,
    /// Bytes of the addresses.
    bytes: usize,
}

impl Present {
    /// Somebody is there; whether that is news.
    fn comes(&mut self, jid: &Jid) -> bool {
        if self.known.contains(jid) {
            return false;
        }
        let bytes = jid.as_str().len();
        if self.known.len() >= PRESENT || self.bytes + bytes > PRESENT_BYTES {
            *self = Present::default();
        }
        self.bytes += bytes;
        self.known.insert(jid.clone())
    }

    /// Somebody is gone.
    fn goes(&mut self, jid: &Jid) {
        if self.known.remove(jid) {
            self.bytes -= jid.as_str().len();
        }
    }

    /// An account is gone for good.
    pub fn forget(&mut self, account: &Jid) {
        self.known.retain(|it| it.bare_str() != account.as_str());
        self.bytes = self.known.iter().map(|it| it.as_str().len()).sum();
    }
}

impl Board<Commons> {
    /// The service asks nobody for presence. Whoever sends it hears the last items of the nodes he
    /// is subscribed to, where these are configured so (§12.2).
    pub(super) fn meet(&mut self, presence: &Stanza, seat: Seat, fx: &mut Effects) {
        let Some(from) = &presence.from else { return };
        match presence.kind {
            Kind::Presence(PresenceType::Available) if self.face.present.comes(from) => {}
            Kind::Presence(PresenceType::Unavailable) => return self.face.present.goes(from),
            _ => return,
        }
        let now = fx.now;
        let hears = |node: &&Node| {
            // As he is subscribed, and not by another of his devices.
            let mut own = node.people().subscriptions_of(from);
            own.any(|(jid, it)| it.hears(now) && [from.as_str(), from.bare_str()].contains(&jid))
        };
        let nodes = self.nodes.iter().filter(|node| {
            let config = &node.config;
            config.send_last == SendLast::OnSubAndPresence && config.deliver_notifications
        });
        let nodes = nodes.filter(hears);
        let nodes = nodes.filter(|node| Commons::may_hear(node, from, seat));
        let nodes: Vec<String> = nodes.map(|it| it.name.clone()).collect();
        let settings = &seat.site.settings.pubsub;
        let (who, paces) = (from.bare_str(), &mut self.face.arrivals);
        let nodes: Vec<String> = nodes
            .into_iter()
            .take_while(|_| paces.spend(who, now, settings.burst, settings.rate))
            .collect();
        self.send_last_of(nodes, from, seat, fx);
    }

    /// An event came back: who cannot be told any more is subscribed no more (§12.4). That his
    /// server was not found, or not spoken with, may be the network's fault, and that it failed its
    /// own: neither says anything of him.
    pub(super) fn came_back(&mut self, message: &Stanza, seat: Seat, fx: &mut Effects) {
        let number = message.id.as_deref().and_then(|id| id.split_once('.'));
        let number = number.and_then(|(number, _)| number.parse().ok());
        let node = number.and_then(|number| self.nodes.name_of(number));
        let (Some(node), Some(from), Some(error)) = (node, &message.from, message.error()) else {
            return;
        };
        let is_lasting = match error.condition {
            Condition::Gone => true,
            Condition::RemoteServerNotFound
            | Condition::RemoteServerTimeout
            | Condition::InternalServerError => false,
            _ => error.kind == ErrorType::Cancel,
        };
        let node = node.to_owned();
        let held = self.nodes.get_mut(&node).filter(|_| is_lasting);
        if held.is_some_and(|held| held.unsubscribe(from, seat.owner, fx)) {
            self.tell_owners_of_end(&node, from, seat, fx);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extensions::scene::jid;

    #[test]
    fn so_many_are_known_to_be_there_and_so_many_bytes_of_them() {
        let mut present = Present::default();
        let (alice, bob) = (jid("alice@a.test/r"), jid("bob@b.test/r"));
        assert!(present.comes(&alice) && !present.comes(&alice) && present.comes(&bob));
        present.goes(&bob);
        present.goes(&bob);
        assert_eq!(present.bytes, alice.as_str().len());
        for number in 0..PRESENT - 1 {
            present.comes(&jid(&format!("b@c/{number}")));
        }
        assert!(!present.comes(&alice) && present.known.len() == PRESENT);
        assert!(present.comes(&bob) && present.known.len() == 1);
        let long = "x".repeat(1_000);
        for number in 0..2_000 {
            present.comes(&jid(&format!("b@c/{long}{number}")));
            assert!(present.bytes <= PRESENT_BYTES);
        }
        present.comes(&alice);
        present.forget(&jid("alice@a.test"));
        present.forget(&jid("b@c"));
        assert_eq!((present.bytes, present.known.len()), (0, 0));
    }
}
