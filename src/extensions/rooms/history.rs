//! What was said last: who enters is told (XEP-0045 §7.2.13).

use std::collections::VecDeque;

use rookery_actors::effect::{Effects, Millis, Query, Row};
use rookery_actors::keys::{self, AccountId};
use rookery_protocol::jid::Jid;
use rookery_protocol::stanza::{MessageType, Stanza};
use rookery_protocol::xml::Element;
use rookery_protocol::{datetime, ns};
use rookery_storage::Tree;
use rookery_storage::record::decode;

use super::late::told;
use crate::kept::{Message, MessageId, Place};

/// The most messages that who enters is told, and their bytes.
pub const MOST: usize = 100;
const BYTES: usize = 64 * 1024;

/// Something that was said.
#[derive(Debug)]
struct Said {
    at: Millis,
    /// By what it goes in the archive, if it is there.
    id: Option<MessageId>,
    /// As all heard it, without `to`.
    stanza: Stanza,
}

/// What was said last, the last at the end.
#[derive(Default, Debug)]
pub struct History {
    said: VecDeque<Said>,
    bytes: usize,
    /// What the archive has of it is here.
    is_read: bool,
}

impl History {
    /// What must be read of the archive before anybody is told.
    pub fn missing(&self, room: AccountId) -> Option<Query> {
        (!self.is_read).then(|| Query::Range {
            tree: Tree::Archive,
            range: keys::all_of(room, Place::Archive.kind()),
            limit: MOST,
            backwards: true,
        })
    }

    /// The last of the archive, the newest first. What was said since it was asked for is here.
    pub fn read(&mut self, mut rows: Vec<Row>) {
        self.is_read = true;
        rows.sort_unstable_by(|(one, _), (other, _)| other.cmp(one));
        for (key, value) in rows {
            let id = MessageId::of_key(&key).map(|(_, id)| id);
            let stanza = decode::<Message>(&value)
                .ok()
                .and_then(Message::into_stanza);
            if let (Some(id), Some(stanza)) = (id, stanza) {
                let said = Said {
                    at: id.time(),
                    id: Some(id),
                    stanza: told(stanza, id),
                };
                self.bytes += said.stanza.wire_len();
                self.said.push_front(said);
            }
        }
        self.trim();
    }

    /// A room is new: there is nothing to be read.
    pub fn begin(&mut self) {
        self.is_read = true;
    }

    /// Remembers what was said.
    pub fn push(&mut self, at: Millis, id: Option<MessageId>, stanza: &Stanza) {
        let said = Said {
            at,
            id,
            stanza: stanza.clone().with_to(None),
        };
        self.bytes += said.stanza.wire_len();
        self.said.push_back(said);
        self.trim();
    }

    /// Something was taken back: this is left of it.
    pub fn bury(&mut self, id: MessageId, stone: Stanza) {
        if let Some(said) = self.said.iter_mut().find(|it| it.id == Some(id)) {
            self.bytes -= said.stanza.wire_len();
            said.stanza = told(stone, id);
            self.bytes += said.stanza.wire_len();
        }
    }

    fn trim(&mut self) {
        while self.said.len() > MOST || self.bytes > BYTES {
            let Some(oldest) = self.said.pop_front() else {
                return;
            };
            self.bytes -= oldest.stanza.wire_len();
        }
    }

    /// Tells somebody what he wants to know of it.
    pub fn tell(&self, to: &Jid, wanted: &Wanted, room: &Jid, fx: &mut Effects) {
        let since = wanted.since.max(match wanted.seconds {
            Some(seconds) => fx.now.saturating_sub(seconds.saturating_mul(1_000)),
            None => 0,
        });
        let mut room_left = wanted.characters;
        let mut told = Vec::new();
        for said in self.said.iter().rev().take(wanted.messages) {
            let stanza = said.told(room).with_to(to.clone());
            let length = stanza.wire_len();
            if said.at < since || length > room_left {
                break;
            }
            room_left -= length;
            told.push(stanza);
        }
        told.into_iter().rev().for_each(|stanza| fx.route(stanza));
    }
}

impl Said {
    /// As it is told later (XEP-0203).
    fn told(&self, room: &Jid) -> Stanza {
        let delay = Element::new(ns::DELAY, "delay")
            .with_attr("from", room.as_str())
            .with_attr("stamp", datetime::format(self.at));
        let mut told = Stanza::message(MessageType::Groupchat).with_children_of(&self.stanza);
        told.from = self.stanza.from.clone();
        told.id = self.stanza.id.clone();
        told.lang = self.stanza.lang.clone();
        told.with_child(&delay)
    }
}

/// How much of it somebody wants (§7.2.14).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    messages: usize,
    characters: usize,
    seconds: Option<u64>,
    since: Millis,
}

impl Wanted {
    /// As it stands in his presence; the room gives `most`.
    pub fn of(presence: &Stanza, most: u32) -> Wanted {
        let x = presence.child(ns::MUC, "x");
        let history = x.as_ref().and_then(|x| x.child(ns::MUC, "history"));
        let number = |name| history?.attr(name)?.trim().parse::<u64>().ok();
        let size = |name| number(name).map(|it| usize::try_from(it).unwrap_or(usize::MAX));
        let since = history.and_then(|it| datetime::parse(it.attr("since")?));
        Wanted {
            messages: size("maxstanzas").unwrap_or(usize::MAX).min(most as usize),
            characters: size("maxchars").unwrap_or(usize::MAX),
            seconds: number("seconds"),
            since: since.and_then(|it| u64::try_from(it).ok()).unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use rookery_actors::effect::{Effect, Origin};

    use super::*;
    use crate::extensions::scene::{NOW, jid};

    /// Three messages, said 30, 20 and 10 seconds ago.
    fn history() -> History {
        let mut history = History::default();
        for (ago, body) in [(30, "first"), (20, "second"), (10, "third")] {
            let body = Element::new(ns::CLIENT, "body").with_text(body);
            let from = jid("heath@rooms.a.test/Ann");
            let said = Stanza::message(MessageType::Groupchat).with_from(from);
            history.push(NOW - ago * 1_000, None, &said.with_child(&body));
        }
        history
    }

    fn told(attributes: &str, most: u32) -> Vec<String> {
        let text = format!(
            "<presence><x xmlns='http://jabber.org/protocol/muc'><history {attributes}/></x>\
             </presence>"
        );
        let presence = Stanza::parse_stored(text.into_bytes().into()).expect("a presence");
        let mut fx = Effects::new(NOW, Origin::Elsewhere);
        let room = jid("heath@rooms.a.test");
        let wanted = Wanted::of(&presence, most);
        history().tell(&jid("bob@b.test/r"), &wanted, &room, &mut fx);
        let body = |effect| match effect {
            Effect::Route(envelope) => Some(envelope.stanza.child(ns::CLIENT, "body")?.text()),
            _ => None,
        };
        fx.take().into_iter().filter_map(body).collect()
    }

    /// §7.2.14: the least that any of the wishes allows.
    #[test]
    fn who_enters_says_how_much_he_wants() {
        assert_eq!(told("", 20), ["first", "second", "third"]);
        assert_eq!(told("", 2), ["second", "third"]);
        assert_eq!(told("maxstanzas='1'", 20), ["third"]);
        assert_eq!(told("seconds='25'", 20), ["second", "third"]);
        assert_eq!(told("maxchars='0'", 20), [""; 0]);
        assert_eq!(told("maxchars='300'", 20), ["third"]);
        assert_eq!(
            told("since='2023-11-14T22:12:55Z'", 20),
            ["second", "third"]
        );
        assert_eq!(told("seconds='25' maxstanzas='1'", 20), ["third"]);
        assert_eq!(told("seconds='many'", 20), ["first", "second", "third"]);
    }

    #[test]
    fn the_oldest_is_forgotten() {
        let mut history = History::default();
        let body = Element::new(ns::CLIENT, "body").with_text("x".repeat(1_000));
        let said = Stanza::message(MessageType::Groupchat).with_child(&body);
        for number in 0..200 {
            history.push(number, None, &said);
        }
        assert!(history.said.len() < 64 && history.bytes <= BYTES);
        assert_eq!(history.said.back().map(|it| it.at), Some(199));
    }
}
