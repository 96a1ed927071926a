//! Which rooms there are at a host: for who looks for one (XEP-0045 §6.3), and for who would make
//! one more. Every room keeps its own line up to date; the lines are read from the disk once.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use rookery_actors::effect::{Effects, Query, Row};
use rookery_actors::service::Seat;
use rookery_protocol::jid::Jid;
use rookery_storage::record::{Record, decode, encode};
use rookery_storage::{KeyRange, Tree};
use serde::{Deserialize, Serialize};
use tracing::error;

use super::room::Founding;

/// Then the host, a zero and the room's address; in `Tree::Meta`.
const LINE: &[u8] = b"room:";

/// What is said of a room where rooms are listed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Listing {
    pub name: String,
    pub description: String,
    pub language: String,
    /// Whoever asks is told of it.
    pub public: bool,
    /// Anybody may enter.
    pub open: bool,
    pub creator: String,
}

impl Record for Listing {
    const VERSION: u8 = 1;
}

impl From<&Founding> for Listing {
    fn from(founding: &Founding) -> Listing {
        let config = &founding.config;
        Listing {
            name: config.name.clone(),
            description: config.description.clone(),
            language: config.language.clone(),
            public: config.public && !founding.locked,
            open: !config.members_only && config.password.is_none() && !config.local_only,
            creator: founding.creator.clone(),
        }
    }
}

/// The rooms of all hosts.
#[derive(Default)]
pub struct Register(Mutex<HashMap<String, Host>>);

/// Those of one.
#[derive(Default)]
struct Host {
    is_read: bool,
    /// By address. Until all are read, `None` is a room that ended meanwhile.
    rooms: BTreeMap<String, Option<Line>>,
}

struct Line {
    listing: Listing,
    occupants: usize,
}

impl Register {
    /// The register of this server.
    pub fn of(seat: Seat) -> Arc<Register> {
        seat.site.shared()
    }

    /// Whether somebody may make rooms at all: users of this server, or its administrators alone.
    pub fn may_make(jid: &Jid, seat: Seat) -> bool {
        let may = jid.local().is_some() && seat.site.serves(jid.domain());
        may && (seat.site.settings.rooms.own > 0 || seat.site.is_admin(jid, seat.domain))
    }

    /// The lines of a host on the disk.
    pub fn rooms_at(seat: Seat) -> Query {
        Query::Range {
            tree: Tree::Meta,
            range: KeyRange::prefix(&prefix(seat)),
            limit: usize::MAX,
            backwards: false,
        }
    }

    /// The lines were read.
    pub fn read(&self, rows: Vec<Row>, seat: Seat) {
        let mut hosts = self.0.lock();
        let host = hosts.entry(seat.jid.domain().to_owned()).or_default();
        let start = prefix(seat).len();
        for (key, value) in rows {
            let room = key.get(start..).and_then(|it| std::str::from_utf8(it).ok());
            let (Some(room), Ok(listing)) = (room, decode(&value)) else {
                error!("the line of a room cannot be read");
                continue;
            };
            let line = || {
                Some(Line {
                    listing,
                    occupants: 0,
                })
            };
            host.rooms.entry(room.to_owned()).or_insert_with(line);
        }
        host.rooms.retain(|_, line| line.is_some());
        host.is_read = true;
    }

    /// How many rooms somebody has made here; `None`: not read yet. Administrators make as many as
    /// they like.
    pub fn made_by(&self, who: &Jid, seat: Seat) -> Option<usize> {
        if seat.site.is_admin(who, seat.domain) {
            return Some(0);
        }
        let hosts = self.0.lock();
        let host = hosts.get(seat.jid.domain()).filter(|it| it.is_read)?;
        let own = |it: &&Line| it.listing.creator == who.bare_str();
        Some(host.rooms.values().flatten().filter(own).count())
    }

    /// Calls with all rooms that are listed: address, line and number of occupants. `None`: not
    /// read yet.
    pub fn public<T>(
        &self,
        seat: Seat,
        mut line: impl FnMut(&str, &Listing, usize) -> T,
    ) -> Option<Vec<T>> {
        let hosts = self.0.lock();
        let host = hosts.get(seat.jid.domain()).filter(|it| it.is_read)?;
        let lines = host.rooms.iter();
        let lines = lines.filter_map(|(jid, it)| Some((jid, it.as_ref()?)));
        let public = lines.filter(|(_, it)| it.listing.public);
        let told = public.map(|(jid, it)| line(jid, &it.listing, it.occupants));
        Some(told.collect())
    }

    /// A room is new, or its line says something else now.
    pub fn enter(&self, founding: &Founding, occupants: usize, seat: Seat, fx: &mut Effects) {
        let listing = Listing::from(founding);
        match encode(&listing) {
            Ok(value) => fx.put(Tree::Meta, key(seat), value),
            Err(problem) => return error!(%problem, "the line of a room cannot be written"),
        }
        let mut hosts = self.0.lock();
        let host = hosts.entry(seat.jid.domain().to_owned()).or_default();
        let line = Line { listing, occupants };
        host.rooms.insert(seat.jid.as_str().to_owned(), Some(line));
    }

    /// So many are in a room now.
    pub fn count(&self, occupants: usize, seat: Seat) {
        let mut hosts = self.0.lock();
        let host = hosts.get_mut(seat.jid.domain());
        let line = host.and_then(|it| it.rooms.get_mut(seat.jid.as_str())?.as_mut());
        if let Some(line) = line {
            line.occupants = occupants;
        }
    }

    /// A room is no more.
    pub fn strike(&self, seat: Seat, fx: &mut Effects) {
        fx.delete(Tree::Meta, key(seat));
        let mut hosts = self.0.lock();
        let host = hosts.entry(seat.jid.domain().to_owned()).or_default();
        match host.is_read {
            true => drop(host.rooms.remove(seat.jid.as_str())),
            false => drop(host.rooms.insert(seat.jid.as_str().to_owned(), None)),
        }
    }
}

fn prefix(seat: Seat) -> Vec<u8> {
    [LINE, seat.jid.domain().as_bytes(), &[0]].concat()
}

fn key(seat: Seat) -> Vec<u8> {
    [prefix(seat), seat.jid.as_str().as_bytes().to_vec()].concat()
}
