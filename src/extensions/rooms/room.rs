//! A room: what it is made of, its rows, and which of its parts takes what comes in.

use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use rookery_actors::effect::{Effects, Millis};
use rookery_actors::keys::{AccountId, Kind, row};
use rookery_actors::service::Seat;
use rookery_actors::site::{Site, random};
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::jid::Jid;
use rookery_protocol::stanza::Stanza;
use rookery_storage::Tree;
use rookery_storage::record::{Record, decode, encode};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use smol_str::SmolStr;
use tracing::error;

use super::config::{Config, Limits};
use super::history::History;
use super::occupants::{Occupant, Occupants, VISIT};
use super::passing::Questions;
use super::people::{PERSON, People};
use super::standing::Affiliation;
use super::word::{Cause, Word};
use crate::extensions::archive::vault::{self, Vault};
use crate::extensions::pubsub::pace::{Pace, Paces};

/// The room itself, a [`Founding`], and its [`Subject`]; then which of them.
pub const ROOM: Kind = Kind(0x37);
const FOUNDING: &[u8] = b"";
const SUBJECT: &[u8] = b"s";

/// How many reads may wait at once, and many more.
const STEPS: u32 = 1 << 30;

/// What makes a room one.
#[derive(Clone, Serialize, Deserialize)]
pub struct Founding {
    /// Who made it, by his bare JID.
    pub creator: String,
    pub at: Millis,
    /// Its maker has not said yet how it is to be (XEP-0045 §10.1.1).
    pub locked: bool,
    /// By this occupants are told apart without telling who they are (XEP-0421).
    secret: [u8; 32],
    pub config: Config,
}

impl Record for Founding {
    const VERSION: u8 = 1;
}

/// What the room talks about (§8.1).
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Subject {
    pub text: String,
    /// The name of who set it; nobody did yet.
    pub by: Option<String>,
    pub at: Millis,
}

impl Record for Subject {
    const VERSION: u8 = 1;
}

/// What goes on when rows have been read.
pub enum Waiting {
    /// Somebody comes in: a presence.
    Arrival(Stanza),
    /// The author of a message takes it back, by the stanza of this id.
    Retraction { author: Jid, by: String },
    /// A moderator does.
    Moderation,
}

/// A room, or the place where one could be.
pub struct Room {
    /// `None`: nobody has made it.
    pub founding: Option<Arc<Founding>>,
    pub subject: Subject,
    pub people: People,
    pub occupants: Occupants,
    pub history: History,
    /// What was said, for good (XEP-0313).
    pub vault: Vault,
    pub questions: Questions,
    /// Who may come in now, of all and of each.
    pub joins: Pace,
    pub joiners: Paces,
    /// What waits for rows that are being read, by the step that reads them.
    pub waiting: Vec<(u32, Waiting)>,
    pub step: u32,
}

impl Room {
    /// A place without a room.
    pub fn new(site: &Site) -> Room {
        Room {
            founding: None,
            subject: Subject::default(),
            people: People::default(),
            occupants: Occupants::default(),
            history: History::default(),
            vault: Vault::new(site.settings.archive.clone()),
            questions: Questions::default(),
            joins: Pace::default(),
            joiners: Paces::default(),
            waiting: Vec::new(),
            step: 0,
        }
    }

    /// The room, if there is one.
    pub fn there(&self) -> Result<Arc<Founding>, StanzaError> {
        let found = self.founding.as_ref().map(Arc::clone);
        found.ok_or_else(|| StanzaError::new(Condition::ItemNotFound))
    }

    /// What somebody is to the room. The administrators of a domain own its rooms.
    pub fn affiliation(&self, jid: &Jid, seat: Seat) -> Affiliation {
        match seat.site.is_admin(jid, seat.domain) {
            true => Affiliation::Owner,
            false => self.people.affiliation(jid.bare_str()),
        }
    }

    /// Writes the room down as it is.
    pub fn write(&self, owner: AccountId, fx: &mut Effects) {
        let Some(founding) = &self.founding else {
            return;
        };
        put(owner, FOUNDING, founding.as_ref(), fx);
    }

    /// The room is so from now on.
    pub fn found(&mut self, founding: Founding, owner: AccountId, fx: &mut Effects) {
        self.founding = Some(Arc::new(founding));
        self.write(owner, fx);
    }

    /// Somebody makes the room.
    pub fn begin(&mut self, creator: &Jid, seat: Seat, fx: &mut Effects) {
        let founding = Founding {
            creator: creator.bare_str().to_owned(),
            at: fx.now,
            locked: true,
            secret: random(),
            config: Config::fresh(&seat.site.settings),
        };
        self.found(founding, seat.owner, fx);
        self.history.begin();
        let who = creator.bare();
        self.people
            .settle(&who, Affiliation::Owner, "", seat.owner, fx);
    }

    /// Sets the subject.
    pub fn talk_of(&mut self, subject: Subject, owner: AccountId, fx: &mut Effects) {
        put(owner, SUBJECT, &subject, fx);
        self.subject = subject;
    }

    /// By what an occupant is told apart, in this room and for good (XEP-0421 §3).
    pub fn occupant_id(&self, occupant: &Occupant) -> SmolStr {
        occupant
            .id
            .get_or_init(|| self.id_of(&occupant.who))
            .clone()
    }

    /// The same of a bare JID. From it nobody learns who that is (attacks M11).
    pub fn id_of(&self, who: &Jid) -> SmolStr {
        let secret = self.founding.as_ref().map_or([0; 32], |it| it.secret);
        let mac = Hmac::<Sha256>::new_from_slice(&secret).map(|mut mac| {
            mac.update(who.bare_str().as_bytes());
            mac.finalize().into_bytes()
        });
        let hex = |bytes: &[u8]| -> String {
            let digits = bytes.iter().flat_map(|it| [it >> 4, it & 15]);
            digits
                .filter_map(|it| char::from_digit(it.into(), 16))
                .collect()
        };
        SmolStr::new(mac.map_or_else(|_| String::new(), |mac| hex(&mac[..16])))
    }

    /// What is said of an occupant as he is now.
    pub fn word<'a>(&self, occupant: &'a Occupant, seat: Seat) -> Option<Word<'a>> {
        let session = occupant.shown()?;
        Some(Word {
            occupant: &occupant.jid,
            session: &session.jid,
            affiliation: self.affiliation(&occupant.who, seat),
            role: occupant.role,
            presence: Some(&session.presence),
            occupant_id: self.occupant_id(occupant),
            codes: &[],
            own_codes: &[],
            nick: None,
            cause: None,
            id: None,
        })
    }

    /// Tells everybody what an occupant is now.
    pub fn show(
        &self,
        nick: &str,
        codes: &[u16],
        cause: Option<&Cause>,
        seat: Seat,
        fx: &mut Effects,
    ) {
        let Some(founding) = &self.founding else {
            return;
        };
        let occupant = self.occupants.get(nick);
        if let Some(mut word) = occupant.and_then(|it| self.word(it, seat)) {
            (word.codes, word.cause) = (codes, cause);
            word.broadcast(&self.occupants, &founding.config, fx);
        }
    }

    /// Everybody in it, and it with them, is gone.
    pub fn end(&mut self, site: &Site) {
        self.founding = None;
        self.subject = Subject::default();
        self.people = People::default();
        self.occupants.clear();
        self.history = History::default();
        self.vault = Vault::new(site.settings.archive.clone());
    }

    /// What the server allows the room.
    pub fn limits(seat: Seat) -> Limits {
        let settings = &seat.site.settings.rooms;
        Limits {
            users: settings.users,
            history: settings.history.max(super::history::MOST as u32),
        }
    }

    /// The next step of a read.
    pub fn next_step(&mut self) -> u32 {
        self.step = self.step.wrapping_add(1) % STEPS;
        vault::FREE + self.step
    }
}

impl Room {
    /// A row of the room.
    pub fn load(&mut self, kind: Kind, rest: &[u8], value: &[u8]) {
        match (kind, rest) {
            (PERSON, jid) => self.people.load(jid, value),
            (VISIT, jid) => self.occupants.load(jid, value),
            (ROOM, FOUNDING) => match decode::<Founding>(value) {
                Ok(founding) => self.founding = Some(Arc::new(founding)),
                Err(problem) => error!(%problem, "a room cannot be read"),
            },
            (ROOM, SUBJECT) => self.subject = decode(value).unwrap_or_default(),
            (kind, _) if vault::KINDS.contains(&kind) => self.vault.load(kind, value),
            _ => {}
        }
    }
}

fn put(owner: AccountId, rest: &[u8], value: &impl Record, fx: &mut Effects) {
    match encode(value) {
        Ok(value) => fx.put(Tree::Account, row(owner, ROOM, rest), value),
        Err(problem) => error!(%problem, "a room cannot be written down"),
    }
}
