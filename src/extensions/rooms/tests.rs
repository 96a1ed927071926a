//! Rooms, as XEP-0045 plays them: who comes, what he is told, and what the others see; with a store
//! in memory and without actors.

mod doors;
mod owners;
mod powers;
mod talk;

use std::collections::BTreeMap;

use rookery_actors::effect::{Effect, Origin, Query};
use rookery_actors::keys::{self, AccountId};
use rookery_actors::site::Site;
use rookery_config::{RoomTemplate, Settings};
use rookery_protocol::stanza::IqType;
use rookery_storage::{Store, Tree};

use super::*;
use crate::extensions::LIST;
use crate::extensions::scene::{NOW, jid, settings, stanza, text};

const HEATH: &str = "heath@rooms.a.test";
const ALICE: &str = "alice@a.test/r";
const BOB: &str = "bob@b.test/r";
const CAROL: &str = "carol@a.test/r";
const EVE: &str = "eve@evil.test/r";
const ROOT: &str = "root@a.test/r";
const JOIN: &str = "<x xmlns='http://jabber.org/protocol/muc'/>";

/// The rooms of a.test, whose administrator is root, and their store.
struct Stage {
    site: Site,
    store: Store,
    rooms: BTreeMap<String, (AccountId, Room)>,
    now: u64,
}

impl Stage {
    /// Rooms for everybody, as most tests want them.
    fn new() -> Stage {
        Stage::with(|settings| settings.rooms.template = RoomTemplate::Public)
    }

    fn with(change: impl FnOnce(&mut Settings)) -> Stage {
        Stage {
            site: Site::new(settings(change), LIST),
            store: Store::temporary(),
            rooms: BTreeMap::new(),
            now: NOW,
        }
    }

    /// With Alice in her own room, configured so; fields are those of `muc#roomconfig_`.
    fn of_alice(fields: &[(&str, &str)]) -> Stage {
        let mut stage = Stage::new();
        stage.join(ALICE, "Alice");
        let done = stage.configure(ALICE, fields);
        assert_eq!(done[0], "alice <- result", "{done:?}");
        stage
    }

    fn join(&mut self, who: &str, nick: &str) -> Vec<String> {
        self.join_with(who, nick, JOIN)
    }

    fn join_with(&mut self, who: &str, nick: &str, inside: &str) -> Vec<String> {
        self.says(
            who,
            &format!("{HEATH}/{nick}"),
            &format!("<presence id='p'>{inside}</presence>"),
        )
    }

    fn leave(&mut self, who: &str, nick: &str) -> Vec<String> {
        self.says(
            who,
            &format!("{HEATH}/{nick}"),
            "<presence type='unavailable'/>",
        )
    }

    fn say(&mut self, who: &str, body: &str) -> Vec<String> {
        let message = format!("<message type='groupchat' id='m'><body>{body}</body></message>");
        self.says(who, HEATH, &message)
    }

    fn configure(&mut self, who: &str, fields: &[(&str, &str)]) -> Vec<String> {
        let field = |(var, value): &(&str, &str)| {
            format!("<field var='muc#roomconfig_{var}'><value>{value}</value></field>")
        };
        let fields: String = fields.iter().map(field).collect();
        let form = format!(
            "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
             <value>http://jabber.org/protocol/muc#roomconfig</value></field>{fields}</x>"
        );
        self.asks(
            who,
            HEATH,
            "set",
            "http://jabber.org/protocol/muc#owner",
            &form,
        )
    }

    fn admin(&mut self, who: &str, kind: &str, items: &str) -> Vec<String> {
        self.asks(
            who,
            HEATH,
            kind,
            "http://jabber.org/protocol/muc#admin",
            items,
        )
    }

    fn asks(&mut self, who: &str, to: &str, kind: &str, ns: &str, inside: &str) -> Vec<String> {
        let query = format!("<query xmlns='{ns}'>{inside}</query>");
        self.says(who, to, &format!("<iq type='{kind}' id='q'>{query}</iq>"))
    }

    /// The answer to an IQ, as text.
    fn answer(&mut self, who: &str, to: &str, ns: &str, inside: &str) -> String {
        let query = format!("<iq type='get' id='q'><query xmlns='{ns}'>{inside}</query></iq>");
        self.raw(who, to, &query).remove(0)
    }

    /// What everybody hears when one says this, in order and in short.
    fn says(&mut self, who: &str, to: &str, what: &str) -> Vec<String> {
        let heard = self.raw(who, to, what);
        heard.iter().map(|it| short(&stanza(it))).collect()
    }

    /// The same as it is on the wire.
    fn raw(&mut self, who: &str, to: &str, what: &str) -> Vec<String> {
        let said = stanza(what).with_from(jid(who)).with_to(jid(to));
        let room = jid(to).bare();
        self.decide(&room, |room, seat, fx| match said.kind {
            StanzaKind::Iq(IqType::Get | IqType::Set) => {
                let payload = said.payload().expect("a payload");
                ServiceRole::iq(room, &said, &payload, seat, fx);
            }
            StanzaKind::Iq(_) => ServiceRole::answered(room, &said, seat, fx),
            StanzaKind::Message(MessageType::Error) => room.undelivered(&said, seat, fx),
            StanzaKind::Message(_) => ServiceRole::message(room, &said, seat, fx),
            StanzaKind::Presence(_) => ServiceRole::presence(room, &said, seat, fx),
        })
    }

    fn decide(
        &mut self,
        own: &Jid,
        decision: impl FnOnce(&mut Room, Seat, &mut Effects),
    ) -> Vec<String> {
        self.now += 1;
        let free = AccountId(100 + self.rooms.len() as u32);
        let fresh = || (free, Room::new(&self.site));
        let entry = self.rooms.entry(own.to_string()).or_insert_with(fresh);
        let (owner, room) = (entry.0, &mut entry.1);
        let seat = Seat {
            owner,
            jid: own,
            domain: "a.test",
            site: &self.site,
        };
        let mut fx = Effects::new(self.now, Origin::Elsewhere);
        decision(room, seat, &mut fx);
        let (mut said, mut reads) = (Vec::new(), Vec::new());
        loop {
            let mut rows = fx.take_rows();
            if fx.take_abolished() {
                for tree in [Tree::Account, Tree::Archive] {
                    rows.delete_range(tree, keys::everything(owner));
                }
            }
            self.store.commit(vec![rows]).expect("it is stored");
            for effect in fx.take() {
                match effect {
                    Effect::Route(envelope) => said.push(text(&envelope.stanza)),
                    Effect::Read(read) => reads.push(read),
                    // Nobody waits for it here.
                    Effect::Wake(..) => {}
                    other => panic!("{other:?}"),
                }
            }
            let Some(read) = reads.pop() else {
                return said;
            };
            let rows = read
                .queries
                .iter()
                .flat_map(|it| it.rows(&self.store).expect("it can be read"))
                .collect();
            room.read_done(read.step, read.request.as_ref(), rows, seat, &mut fx);
        }
    }

    /// The server begins anew, from what is on the disk.
    fn restart(&mut self) {
        let settings = self.site.settings.clone();
        self.site = Site::new(settings, LIST);
        for (owner, room) in self.rooms.values_mut() {
            *room = Room::new(&self.site);
            let query = Query::Range {
                tree: Tree::Account,
                range: keys::loaded(*owner),
                limit: usize::MAX,
                backwards: false,
            };
            for (key, value) in query.rows(&self.store).expect("it can be read") {
                let (_, kind, rest) = keys::split(&key).expect("a key");
                ServiceRole::load(room, kind, rest, &value);
            }
        }
    }

    fn room(&self) -> &Room {
        &self.rooms[HEATH].1
    }
}

/// Who hears what of whom.
fn short(heard: &Stanza) -> String {
    let to = heard.to.as_ref().expect("it is for somebody");
    let to = to.local().unwrap_or(to.domain());
    let from = heard.from.as_ref().expect("it is from somebody");
    let from = from.resource().or(from.local()).unwrap_or(from.domain());
    let said = match (heard.error(), heard.kind) {
        (Some(error), _) => format!("error {}", error.condition.as_str()),
        (None, StanzaKind::Presence(kind)) => presence(heard, from, kind),
        (None, StanzaKind::Message(kind)) => message(heard, from, kind),
        (None, StanzaKind::Iq(IqType::Result)) => "result".to_owned(),
        (None, StanzaKind::Iq(_)) => format!("{from} asks"),
    };
    format!("{to} <- {said}")
}

fn presence(heard: &Stanza, from: &str, kind: PresenceType) -> String {
    let x = heard.child(ns::MUC_USER, "x").expect("a word of the room");
    let item = x.child(ns::MUC_USER, "item").expect("an item");
    let attribute = |name| item.attr(name).unwrap_or_default();
    let what = match kind {
        PresenceType::Unavailable => "gone",
        _ => "is",
    };
    let mut said = format!(
        "{from} {what} {}/{}",
        attribute("affiliation"),
        attribute("role")
    );
    if let Some(jid) = item.attr("jid") {
        said += &format!(" {jid}");
    }
    let codes = x.children().filter(|it| it.name() == "status");
    let codes: Vec<&str> = codes.filter_map(|it| it.attr("code")).collect();
    if !codes.is_empty() {
        said += &format!(" [{}]", codes.join(" "));
    }
    if let Some(nick) = item.attr("nick") {
        said += &format!(" -> {nick}");
    }
    said
}

fn message(heard: &Stanza, from: &str, kind: MessageType) -> String {
    let text = |name| heard.child(ns::CLIENT, name).map(|it| it.text());
    let late = match heard.has(ns::DELAY, "delay") {
        true => " late",
        false => "",
    };
    match (text("body"), text("subject"), kind) {
        (Some(body), _, MessageType::Groupchat) => format!("{from}{late}: {body}"),
        (Some(body), _, _) => format!("{from} whispers: {body}"),
        (None, Some(subject), _) => format!("{from} talks of: {subject}"),
        _ => format!("{from} says something"),
    }
}
