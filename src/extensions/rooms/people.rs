//! Who is what to a room for good (XEP-0045 §5.2), under which name (§7.10), and since when. Each
//! has a row of his own.

use std::collections::BTreeMap;

use rookery_actors::effect::Effects;
use rookery_actors::keys::{AccountId, Kind, row};
use rookery_actors::lookalike::skeleton;
use rookery_protocol::jid::Jid;
use rookery_storage::Tree;
use rookery_storage::record::{Record, decode, encode};
use serde::{Deserialize, Serialize};
use tracing::error;

use super::standing::Affiliation;

/// A [`Person`]; then a bare JID.
pub const PERSON: Kind = Kind(0x38);

/// The most that are listed of one room, outcasts among them.
pub const MOST: usize = 20_000;

/// Somebody whom the room knows.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Person {
    pub affiliation: Affiliation,
    /// The name that is his here, whoever else wants it.
    pub nick: Option<String>,
    /// Why he is what he is, in somebody's words.
    pub reason: String,
}

impl Record for Person {
    const VERSION: u8 = 1;
}

/// All of them, by bare JID.
#[derive(Default, Debug)]
pub struct People {
    known: BTreeMap<String, Person>,
}

impl People {
    /// A row of [`PERSON`]; `jid`: what its key ends with.
    pub fn load(&mut self, jid: &[u8], value: &[u8]) {
        match (std::str::from_utf8(jid), decode(value)) {
            (Ok(jid), Ok(person)) => drop(self.known.insert(jid.to_owned(), person)),
            _ => error!("what somebody is to a room cannot be read"),
        }
    }

    /// What somebody is, by his bare JID.
    pub fn affiliation(&self, jid: &str) -> Affiliation {
        let known = self.known.get(jid);
        known.map_or(Affiliation::None, |it| it.affiliation)
    }

    /// The name that is his.
    pub fn nick(&self, jid: &str) -> Option<&str> {
        self.known.get(jid)?.nick.as_deref()
    }

    /// Whose name this is, or one that looks like it; `jid` asks for himself.
    pub fn is_taken(&self, nick: &str, jid: &str) -> bool {
        let wanted = skeleton(nick);
        let mut others = self.known.iter().filter(|(it, _)| *it != jid);
        others.any(|(_, it)| it.nick.as_deref().is_some_and(|it| skeleton(it) == wanted))
    }

    /// All who are this, by address.
    pub fn all_who_are(&self, affiliation: Affiliation) -> impl Iterator<Item = (&str, &Person)> {
        let known = self.known.iter().map(|(jid, it)| (jid.as_str(), it));
        known.filter(move |(_, it)| it.affiliation == affiliation)
    }

    /// Whether nobody would own the room if this one did not.
    pub fn is_last_owner(&self, jid: &str) -> bool {
        let mut owners = self.all_who_are(Affiliation::Owner);
        owners.next().is_some_and(|(it, _)| it == jid) && owners.next().is_none()
    }

    /// Whether there is no room for one more.
    pub fn is_full(&self) -> bool {
        self.known.len() >= MOST
    }

    /// Makes somebody what he is to be. Who is banned loses his name (§9.1), who is nothing is
    /// forgotten with it.
    pub fn settle(
        &mut self,
        jid: &Jid,
        affiliation: Affiliation,
        reason: &str,
        room: AccountId,
        fx: &mut Effects,
    ) {
        let nick = self.nick(jid.as_str()).map(str::to_owned);
        let person = Person {
            affiliation,
            nick: nick.filter(|_| affiliation >= Affiliation::Member),
            reason: reason.to_owned(),
        };
        self.put(jid, person, room, fx);
    }

    /// Gives a member a name of his own.
    pub fn register(&mut self, jid: &Jid, nick: &str, room: AccountId, fx: &mut Effects) {
        let affiliation = self.affiliation(jid.as_str()).max(Affiliation::Member);
        let person = Person {
            affiliation,
            nick: Some(nick.to_owned()),
            reason: String::new(),
        };
        self.put(jid, person, room, fx);
    }

    /// His name is his no more.
    pub fn release(&mut self, jid: &Jid, room: AccountId, fx: &mut Effects) {
        if let Some(person) = self.known.get(jid.as_str()).cloned() {
            let person = Person {
                nick: None,
                ..person
            };
            self.put(jid, person, room, fx);
        }
    }

    /// The account of this address is gone: whoever has it next is somebody else.
    pub fn forget(&mut self, jid: &Jid, room: AccountId, fx: &mut Effects) {
        if self.known.remove(jid.as_str()).is_some() {
            fx.delete(Tree::Account, key(room, jid.as_str()));
        }
    }

    fn put(&mut self, jid: &Jid, person: Person, room: AccountId, fx: &mut Effects) {
        if person.affiliation == Affiliation::None {
            return self.forget(jid, room, fx);
        }
        match encode(&person) {
            Ok(value) => fx.put(Tree::Account, key(room, jid.as_str()), value),
            Err(problem) => return error!(%problem, "somebody cannot be written down"),
        }
        self.known.insert(jid.as_str().to_owned(), person);
    }
}

fn key(room: AccountId, jid: &str) -> Vec<u8> {
    row(room, PERSON, jid.as_bytes())
}

#[cfg(test)]
mod tests {
    use rookery_actors::effect::Origin;

    use super::*;
    use crate::extensions::scene::{NOW, jid};

    const ROOM: AccountId = AccountId(7);

    fn effects() -> Effects {
        Effects::new(NOW, Origin::Elsewhere)
    }

    #[test]
    fn who_is_written_is_read() {
        let (mut people, mut fx) = (People::default(), effects());
        people.register(&jid("ann@a.test"), "Ann", ROOM, &mut fx);
        people.settle(
            &jid("bob@b.test"),
            Affiliation::Outcast,
            "spam",
            ROOM,
            &mut fx,
        );
        let mut read = People::default();
        for (jid, person) in &people.known {
            read.load(jid.as_bytes(), &encode(person).expect("a row"));
        }
        assert_eq!(read.known, people.known);
        assert_eq!(read.affiliation("ann@a.test"), Affiliation::Member);
        assert_eq!(read.affiliation("eve@a.test"), Affiliation::None);
    }

    #[test]
    fn a_name_is_its_owners_until_he_goes() {
        let (mut people, mut fx) = (People::default(), effects());
        let ann = jid("ann@a.test");
        people.register(&ann, "Ann", ROOM, &mut fx);
        assert!(people.is_taken("Ann", "eve@a.test") && !people.is_taken("Ann", "ann@a.test"));
        // Cyrillic.
        assert!(people.is_taken("\u{410}nn", "eve@a.test"));
        people.settle(&ann, Affiliation::Admin, "", ROOM, &mut fx);
        assert!(people.is_taken("Ann", "eve@a.test"));
        people.settle(&ann, Affiliation::Outcast, "", ROOM, &mut fx);
        assert!(!people.is_taken("Ann", "eve@a.test"));
        people.settle(&ann, Affiliation::None, "", ROOM, &mut fx);
        assert!(people.known.is_empty());
    }

    #[test]
    fn the_last_owner_is_known() {
        let (mut people, mut fx) = (People::default(), effects());
        people.settle(&jid("ann@a.test"), Affiliation::Owner, "", ROOM, &mut fx);
        assert!(people.is_last_owner("ann@a.test") && !people.is_last_owner("bob@a.test"));
        people.settle(&jid("bob@a.test"), Affiliation::Owner, "", ROOM, &mut fx);
        assert!(!people.is_last_owner("ann@a.test") && !people.is_last_owner("bob@a.test"));
    }
}
