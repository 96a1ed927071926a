//! Who is in a room: occupants by the names they go by (XEP-0045 §4.1), each with the sessions by
//! which he is there. Every session has a row, so that nobody is out because the server was
//! restarted.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};

use rookery_actors::effect::{Effects, Millis};
use rookery_actors::keys::{AccountId, Kind, row};
use rookery_actors::lookalike::skeleton;
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::{PresenceType, Stanza};
use rookery_storage::Tree;
use rookery_storage::record::{Record, decode, encode};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use tracing::error;

use super::standing::Role;

/// A [`Visit`]; then a full JID.
pub const VISIT: Kind = Kind(0x39);

/// Sessions of one user under one name.
pub const SESSIONS: usize = 20;

/// The row of a session in the room.
#[derive(Serialize, Deserialize)]
struct Visit {
    /// The room's address with his name.
    occupant: String,
    role: Role,
    /// Its presence, as it is shown.
    presence: Vec<u8>,
}

impl Record for Visit {
    const VERSION: u8 = 1;
}

/// One session of an occupant.
#[derive(Debug)]
pub struct Session {
    pub jid: Jid,
    /// What it last said of itself, without what only the room may say.
    pub presence: Stanza,
}

/// Somebody in the room.
#[derive(Debug)]
pub struct Occupant {
    /// The room's address with his name.
    pub jid: Jid,
    /// His bare JID.
    pub who: Jid,
    pub role: Role,
    /// The one that spoke last is at the end: its presence is shown.
    pub sessions: Vec<Session>,
    /// By what he is told apart, once somebody has asked.
    pub id: OnceCell<SmolStr>,
    /// What he may still say, and when he last did.
    pub pace: Pace,
}

/// How much an occupant says.
#[derive(Default, Debug)]
pub struct Pace {
    pub bucket: crate::extensions::pubsub::pace::Pace,
    /// When he last spoke to all.
    pub spoke: Millis,
}

impl Occupant {
    /// The name he goes by.
    pub fn nick(&self) -> &str {
        self.jid.resource().unwrap_or_default()
    }

    /// What is shown of him; `None` for one without sessions, who is nobody.
    pub fn shown(&self) -> Option<&Session> {
        self.sessions.last()
    }

    /// His session of this address.
    pub fn has(&self, jid: &Jid) -> bool {
        self.sessions.iter().any(|it| it.jid == *jid)
    }
}

/// All of them.
#[derive(Default, Debug)]
pub struct Occupants {
    by_nick: BTreeMap<SmolStr, Occupant>,
    /// Full JIDs, and the name that each goes by.
    nicks: HashMap<SmolStr, SmolStr>,
}

impl Occupants {
    /// A row of [`VISIT`]; `jid`: what its key ends with.
    pub fn load(&mut self, jid: &[u8], value: &[u8]) {
        let session = || {
            let jid = Jid::parse(std::str::from_utf8(jid).ok()?).ok()?;
            let visit: Visit = decode(value).ok()?;
            let presence = Stanza::parse_stored(visit.presence.into()).ok()?;
            let occupant = Jid::parse(&visit.occupant).ok()?;
            Some((occupant, visit.role, Session { jid, presence }))
        };
        match session() {
            Some((occupant, role, session)) => self.add(occupant, role, session),
            None => error!("somebody's visit to a room cannot be read"),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_nick.len()
    }

    /// Whether nobody is there.
    pub fn is_empty(&self) -> bool {
        self.by_nick.is_empty()
    }

    /// All, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Occupant> {
        self.by_nick.values()
    }

    /// All sessions, with who has them.
    pub fn sessions(&self) -> impl Iterator<Item = (&Occupant, &Session)> {
        let all = self.by_nick.values();
        all.flat_map(|occupant| occupant.sessions.iter().map(move |it| (occupant, it)))
    }

    /// Who goes by this name.
    pub fn get(&self, nick: &str) -> Option<&Occupant> {
        self.by_nick.get(nick)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, nick: &str) -> Option<&mut Occupant> {
        self.by_nick.get_mut(nick)
    }

    /// Who has a session of this full JID.
    pub fn of(&self, jid: &Jid) -> Option<&Occupant> {
        self.by_nick.get(self.nicks.get(jid.as_str())?)
    }

    /// The same, to be changed.
    pub fn of_mut(&mut self, jid: &Jid) -> Option<&mut Occupant> {
        self.by_nick.get_mut(self.nicks.get(jid.as_str())?)
    }

    /// All who have sessions of this bare JID: one user may go by several names.
    pub fn all_of<'a>(&'a self, who: &'a str) -> impl Iterator<Item = &'a Occupant> {
        self.iter().filter(move |it| it.who.as_str() == who)
    }

    /// Whether another user goes by this name, or by one that looks like it.
    pub fn is_taken(&self, nick: &str, who: &str) -> bool {
        if let Some(same) = self.get(nick) {
            return same.who.as_str() != who;
        }
        let wanted = skeleton(nick);
        let mut others = self.iter().filter(|it| it.who.as_str() != who);
        others.any(|it| skeleton(it.nick()) == wanted)
    }

    /// A session enters; whoever goes by that name already has one more.
    pub fn add(&mut self, occupant: Jid, role: Role, session: Session) {
        let nick = SmolStr::new(occupant.resource().unwrap_or_default());
        self.nicks
            .insert(SmolStr::new(session.jid.as_str()), nick.clone());
        let entry = self.by_nick.entry(nick).or_insert_with(|| Occupant {
            jid: occupant,
            who: session.jid.bare(),
            role,
            sessions: Vec::new(),
            id: OnceCell::new(),
            pace: Pace::default(),
        });
        entry.role = role;
        entry.sessions.retain(|it| it.jid != session.jid);
        entry.sessions.push(session);
    }

    /// A session leaves; whether its occupant leaves with it, and who he was if he does.
    pub fn remove(&mut self, jid: &Jid) -> Option<Occupant> {
        let nick = self.nicks.remove(jid.as_str())?;
        let occupant = self.by_nick.get_mut(&nick)?;
        occupant.sessions.retain(|it| it.jid != *jid);
        match occupant.sessions.is_empty() {
            true => self.by_nick.remove(&nick),
            false => None,
        }
    }

    /// Everybody leaves.
    pub fn clear(&mut self) -> Vec<Occupant> {
        self.nicks.clear();
        std::mem::take(&mut self.by_nick).into_values().collect()
    }

    /// Writes down where a session is.
    pub fn write(&self, jid: &Jid, room: AccountId, fx: &mut Effects) {
        let Some(occupant) = self.of(jid) else {
            return fx.delete(Tree::Account, row(room, VISIT, jid.as_str().as_bytes()));
        };
        let Some(session) = occupant.sessions.iter().find(|it| it.jid == *jid) else {
            return;
        };
        let visit = Visit {
            occupant: occupant.jid.as_str().to_owned(),
            role: occupant.role,
            presence: session.presence.to_bytes().to_vec(),
        };
        match encode(&visit) {
            Ok(value) => fx.put(
                Tree::Account,
                row(room, VISIT, jid.as_str().as_bytes()),
                value,
            ),
            Err(problem) => error!(%problem, "a visit cannot be written down"),
        }
    }
}

/// Children that only a room may put into a presence, or that are for the room.
const OF_ROOMS: &[(&str, &str)] = &[
    (ns::MUC, "x"),
    (ns::MUC_USER, "x"),
    (ns::OCCUPANT_ID, "occupant-id"),
    (ns::DELAY, "delay"),
];

/// What a session says of itself, as the room may show it.
pub fn shown(presence: &Stanza) -> Stanza {
    let mut shown = Stanza::presence(PresenceType::Available).with_children_of(presence);
    shown.lang = presence.lang.clone();
    shown.retain_children(|child| !OF_ROOMS.iter().any(|(ns, name)| child.is(ns, name)));
    shown
}

#[cfg(test)]
mod tests {
    use rookery_actors::effect::Origin;
    use rookery_storage::Store;

    use super::*;
    use crate::extensions::scene::{NOW, jid};

    fn session(text: &str) -> Session {
        Session {
            jid: jid(text),
            presence: Stanza::presence(PresenceType::Available),
        }
    }

    fn nick(name: &str) -> Jid {
        jid("heath@rooms.a.test")
            .with_resource(name)
            .expect("a nick")
    }

    #[test]
    fn one_user_is_there_by_several_sessions() {
        let mut all = Occupants::default();
        all.add(nick("Ann"), Role::Participant, session("ann@a.test/pda"));
        all.add(nick("Ann"), Role::Participant, session("ann@a.test/pc"));
        all.add(nick("Annie"), Role::Visitor, session("ann@a.test/tv"));
        assert_eq!((all.len(), all.sessions().count()), (2, 3));
        assert_eq!(all.all_of("ann@a.test").count(), 2);
        let ann = all.of(&jid("ann@a.test/pda")).expect("Ann");
        assert_eq!(ann.shown().map(|it| &it.jid), Some(&jid("ann@a.test/pc")));
        assert!(all.remove(&jid("ann@a.test/pc")).is_none());
        let gone = all.remove(&jid("ann@a.test/pda")).expect("Ann left");
        assert_eq!(gone.nick(), "Ann");
        assert!(all.remove(&jid("ann@a.test/pda")).is_none());
        assert_eq!(all.len(), 1);
    }

    #[test]
    fn names_that_look_alike_are_one() {
        let mut all = Occupants::default();
        all.add(nick("admin"), Role::Participant, session("ann@a.test/r"));
        for other in ["admin", "Admin", "\u{430}dmin", "adm1n"] {
            assert!(all.is_taken(other, "eve@a.test"), "{other}");
            assert!(!all.is_taken(other, "ann@a.test"), "{other}");
        }
        assert!(!all.is_taken("bdmin", "eve@a.test"));
    }

    #[test]
    fn a_visit_outlives_the_server() {
        let (room, mut fx) = (AccountId(7), Effects::new(NOW, Origin::Elsewhere));
        let mut all = Occupants::default();
        all.add(nick("Ann"), Role::Moderator, session("ann@a.test/r"));
        all.write(&jid("ann@a.test/r"), room, &mut fx);
        let store = Store::temporary();
        store.commit(vec![fx.take_rows()]).expect("it is stored");
        let key = row(room, VISIT, b"ann@a.test/r");
        let value = store.get(Tree::Account, &key).expect("it can be read");
        let mut read = Occupants::default();
        read.load(b"ann@a.test/r", &value.expect("a row"));
        let ann = read.of(&jid("ann@a.test/r")).expect("Ann");
        assert_eq!((ann.nick(), ann.role), ("Ann", Role::Moderator));
        all.remove(&jid("ann@a.test/r"));
        let mut fx = Effects::new(NOW, Origin::Elsewhere);
        all.write(&jid("ann@a.test/r"), room, &mut fx);
        store.commit(vec![fx.take_rows()]).expect("it is stored");
        assert_eq!(store.get(Tree::Account, &key), Ok(None));
    }

    #[test]
    fn what_only_a_room_says_is_taken_out() {
        let text = "<presence><show>away</show><x xmlns='http://jabber.org/protocol/muc'/>\
                    <x xmlns='http://jabber.org/protocol/muc#user'><item role='moderator'/></x>\
                    <occupant-id xmlns='urn:xmpp:occupant-id:0' id='1'/><c xmlns='x'/></presence>";
        let presence = Stanza::parse_stored(text.into()).expect("a presence");
        let bytes = shown(&presence).to_bytes();
        let text = std::str::from_utf8(&bytes).expect("text");
        assert_eq!(text, "<presence><show>away</show><c xmlns='x'/></presence>");
    }
}
