//! One archive, whosever it is: an account's or a room's. What is kept in it, how it stands, and
//! how it is searched and shortened. Who may do that, and what is worth keeping, its owner decides.

use rookery_actors::effect::{Effects, Query, Row};
use rookery_actors::keys::{AccountId, Kind};
use rookery_config::settings::Archive as Bounds;
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::ns;
use rookery_protocol::stanza::{IqType, Kind as StanzaKind, Stanza};
use rookery_protocol::xml::Element;
use rookery_storage::Tree;

use super::ends;
use super::page::{self, Writer};
use super::query::{self, Wanted};
use super::retraction::{self, Retraction, Retractions};
use super::search::{Next, Search};
use super::standing::{FLOOR, STANDING, Shelf};
use super::trail::{INDEXED, Index};
use crate::extensions::request::unavailable;
use crate::kept::{MessageId, Place, Stamps};

/// The kinds of its rows in `Tree::Account`.
pub const KINDS: &[Kind] = &[STANDING, FLOOR, INDEXED];

/// The steps of its reads; its owner has none below [`FREE`].
const OLDEST: u32 = 0;
const ENDS: u32 = 1;
const SEARCH: u32 = 2;
const TRIM: u32 = 3;
const NEXT: u32 = 4;
/// The first step that is no archive's.
pub const FREE: u32 = 100;

/// An archive.
#[derive(Default)]
pub struct Vault {
    pub(super) stamps: Stamps,
    pub(super) shelf: Shelf,
    index: Index,
    retractions: Retractions,
    /// The search under way: IQs that read have their turn one after the other.
    search: Option<Box<Search>>,
}

impl Vault {
    /// An empty one with these bounds.
    pub fn new(bounds: Bounds) -> Vault {
        Vault {
            shelf: Shelf::new(bounds),
            ..Vault::default()
        }
    }

    /// A row of [`KINDS`].
    pub fn load(&mut self, kind: Kind, value: &[u8]) {
        match kind {
            INDEXED => self.index.load(value),
            _ => self.shelf.load(kind, value),
        }
        self.stamps.pass(self.shelf.standing.until);
    }

    /// The stamp of the next id.
    pub fn next_stamp(&mut self, owner: AccountId, fx: &mut Effects) -> u64 {
        let stamp = self.stamps.next(fx.now);
        self.shelf.reserve(stamp >> 16, owner, fx);
        stamp
    }

    /// A message whose row has so many bytes is in it from now on.
    pub fn add(&mut self, bytes: usize, owner: AccountId, fx: &mut Effects) {
        self.shelf.add(bytes, fx);
        self.index
            .extend(self.shelf.standing.loose, NEXT, owner, fx);
    }

    /// A row that had so many bytes has so many now.
    pub fn resize(&mut self, before: usize, after: usize) {
        self.shelf.resize(before, after);
    }

    /// A message that is in it takes another back (XEP-0424).
    pub fn retract(&mut self, retraction: Retraction, owner: AccountId, fx: &mut Effects) {
        let split = self.index.end();
        self.retractions.note(retraction, split, owner, fx);
    }

    /// What must be read to say where it begins and ends, by [`ends::metadata`].
    pub fn ends(&self, owner: AccountId) -> Vec<Query> {
        self.shelf.ends(owner)
    }

    /// Somebody is there who may use it: what was put off goes on.
    pub fn resume(&mut self, fx: &mut Effects) {
        self.shelf.resume(fx);
    }

    /// An IQ of XEP-0313 or the archive-trim proposal by who may make it. `false`: of another kind.
    pub fn asked(
        &mut self,
        request: &Stanza,
        payload: &Element,
        owner: AccountId,
        fx: &mut Effects,
    ) -> bool {
        let sets = request.kind == StanzaKind::Iq(IqType::Set);
        match (payload.ns(), payload.name(), sets) {
            (ns::MAM, "query", false) => fx.result(request, Some(query::form())),
            (ns::MAM, "query", true) => self.begin_search(request, payload, owner, fx),
            (ns::MAM, "metadata", false) => fx.read(request, ENDS, self.shelf.ends(owner)),
            (ns::MAM_TRIM, "trim", true) => self.trim(request, payload, owner, fx),
            _ => return false,
        }
        true
    }

    fn begin_search(
        &mut self,
        request: &Stanza,
        query: &Element,
        owner: AccountId,
        fx: &mut Effects,
    ) {
        fx.only_asks();
        match Wanted::read(query) {
            Ok(wanted) => {
                let search = Search::new(wanted, self.shelf.start(), self.index.end());
                fx.read(request, SEARCH, search.begin(owner));
                self.search = Some(Box::new(search));
            }
            Err(error) => fx.refuse(request, &error),
        }
    }

    fn go_on(
        &mut self,
        request: &Stanza,
        rows: Vec<Row>,
        owner: AccountId,
        writer: Writer,
        fx: &mut Effects,
    ) {
        fx.only_asks();
        let Some(mut search) = self.search.take() else {
            return fx.refuse(request, &StanzaError::new(Condition::InternalServerError));
        };
        match search.take(rows, self.shelf.start(), owner) {
            Next::Read(queries) => {
                fx.read(request, SEARCH, queries);
                self.search = Some(search);
            }
            Next::Found(found) => {
                let count = self.shelf.count();
                page::send(&found, &search.wanted, count, request, writer, fx);
                self.shelf.found_loose(search.loose);
                self.index
                    .extend(self.shelf.standing.loose, NEXT, owner, fx);
            }
            Next::Refused(error) => fx.refuse(request, &error),
        }
    }

    /// The archive-trim proposal: everything up to a message, or everything.
    fn trim(&mut self, request: &Stanza, trim: &Element, owner: AccountId, fx: &mut Effects) {
        let Some(id) = trim.child(ns::MAM_TRIM, "id") else {
            let last = u128::from(self.stamps.last()) << 64 | u128::from(u64::MAX);
            return self.delete(last, request, owner, fx);
        };
        match MessageId::parse(id.text().trim()) {
            Some(id) => {
                let query = Query::Get(Tree::Archive, id.key(owner, Place::Archive));
                fx.read(request, TRIM, vec![query]);
            }
            None => fx.refuse(request, &StanzaError::new(Condition::ItemNotFound)),
        }
    }

    fn delete(&mut self, upto: u128, request: &Stanza, owner: AccountId, fx: &mut Effects) {
        self.shelf.delete(upto, owner, fx);
        fx.result(request, None);
    }

    /// A timer that it asked for went off.
    pub fn woken(&mut self, owner: AccountId, fx: &mut Effects) {
        if let Some(oldest) = self.shelf.woken(owner, fx) {
            fx.read_first(OLDEST, vec![oldest]);
        }
    }

    /// Rows that it asked for; `writer` makes of each message found what its reader may see.
    pub fn read_done(
        &mut self,
        step: u32,
        request: Option<&Stanza>,
        rows: Vec<Row>,
        owner: AccountId,
        writer: Writer,
        fx: &mut Effects,
    ) {
        match (step, request) {
            (OLDEST, _) => self.shelf.trim(rows, owner, fx),
            (NEXT, _) => {
                let entered = self.index.enter(&rows, owner, fx);
                self.shelf.entered(entered, rows.len());
                self.index
                    .extend(self.shelf.standing.loose, NEXT, owner, fx);
            }
            (retraction::LATEST, _) => {
                let buried = |before, after| self.shelf.resize(before, after);
                let split = self.index.end();
                self.retractions.follow(rows, split, owner, buried, fx);
            }
            (retraction::MESSAGES, _) => {
                let buried = |before, after| self.shelf.resize(before, after);
                let split = self.index.end();
                self.retractions.bury(rows, split, owner, buried, fx);
            }
            (ENDS, Some(request)) => fx.result(request, Some(ends::metadata(&rows))),
            (SEARCH, Some(request)) => self.go_on(request, rows, owner, writer, fx),
            (TRIM, Some(request)) => {
                let found = rows.first().and_then(|(key, _)| MessageId::of_key(key));
                let found = found.map(|(_, id)| id.number());
                match found.filter(|number| *number >= self.shelf.start()) {
                    Some(number) => self.delete(number, request, owner, fx),
                    None => fx.refuse(request, &StanzaError::new(Condition::ItemNotFound)),
                }
            }
            (_, Some(request)) => fx.refuse(request, &unavailable()),
            _ => {}
        }
    }

    /// The disk did not give them: what was to be done is tried again later.
    pub fn unread(&mut self, step: u32, owner: AccountId, fx: &mut Effects) {
        match step {
            OLDEST => self.shelf.unread(),
            NEXT => self.index.unread(),
            retraction::LATEST | retraction::MESSAGES => {
                self.retractions.next(self.index.end(), owner, fx);
            }
            _ => {}
        }
    }
}
