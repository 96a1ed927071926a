//! Message archives of accounts (XEP-0313): keeps messages (§6.1.1), names them (XEP-0359), gives
//! them back, and removes what forges such names.
//!
//! Of a message between two of our users both rows are committed in one frame: the sender's
//! travels with the stanza. A row is the message as it came, without the account's own
//! `<stanza-id/>`; that is added to what is delivered, since it can be told from the row's key.
//!
//! Ids rise, even when the clock falls or the server starts again: a row says up to when ids may
//! have been given away, and is written before one later than that is.

pub mod ends;
mod forgery;
mod page;
mod preferences;
mod query;
mod retraction;
mod search;
mod standing;
mod trail;
mod twins;

use rookery_actors::effect::{Effects, Query, Row};
use rookery_actors::extension::{AccountRole, Direction, Extension, Pass, Spec, View};
use rookery_actors::hub::devices::DeviceId;
use rookery_actors::keys::{AccountId, Kind};
use rookery_actors::site::Site;
use rookery_protocol::delivery::{Address, Audience, Delivery, delivery};
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::{IqType, Kind as StanzaKind, Stanza};
use rookery_protocol::xml::Element;
use rookery_storage::Tree;
use rookery_storage::record::encode;

use super::request::unavailable;
use crate::kept::{Message, MessageId, Place, Stamps, Worth, worth};
use preferences::{PREFERENCES, Preferences};
use query::Wanted;
use retraction::Retractions;
use search::{Next, Search};
use standing::{FLOOR, STANDING, Shelf};
use trail::{INDEXED, Index};
use twins::Twins;

/// The archive.
pub const EXTENSION: Extension = Extension {
    name: "archive",
    specs: &[
        Spec {
            xep: 313,
            version: "1.1.3",
            title: "Message Archive Management",
        },
        Spec {
            xep: 334,
            version: "1.0.0",
            title: "Message Processing Hints",
        },
        Spec {
            xep: 359,
            version: "0.7.0",
            title: "Unique and Stable Stanza IDs",
        },
        Spec {
            xep: 424,
            version: "0.4.2",
            title: "Message Retraction",
        },
        Spec {
            xep: 431,
            version: "0.2.0",
            title: "Full Text Search in MAM",
        },
        Spec {
            xep: 441,
            version: "0.2.0",
            title: "Message Archive Management Preferences",
        },
    ],
    account_features: &[
        ns::STANZA_ID,
        ns::MAM,
        ns::MAM_EXTENDED,
        ns::MAM_GROUPCHAT,
        ns::MAM_TRIM,
        ns::FULLTEXT,
        ns::RETRACT,
        ns::RETRACT_TOMBSTONE,
    ],
    account_namespaces: &[ns::MAM, ns::MAM_TRIM],
    kinds: &[STANDING, FLOOR, PREFERENCES, INDEXED],
    account: Some(|site| Box::new(Archive::of(site))),
    ..Extension::NONE
};

/// The steps of reads.
const OLDEST: u32 = 0;
const ENDS: u32 = 1;
const SEARCH: u32 = 2;
const TRIM: u32 = 3;
const NEXT: u32 = 4;

#[derive(Default)]
struct Archive {
    stamps: Stamps,
    shelf: Shelf,
    index: Index,
    preferences: Preferences,
    retractions: Retractions,
    /// The search under way: IQs that read have their turn one after the other.
    search: Option<Box<Search>>,
    twins: Twins,
    /// Of the message at hand, which is not accepted yet: the bytes of its row, and its digest.
    size: usize,
    digest: Option<u64>,
}

impl AccountRole for Archive {
    fn load(&mut self, kind: Kind, _: &[u8], value: &[u8]) {
        match kind {
            PREFERENCES => self.preferences = Preferences::load(value),
            INDEXED => self.index.load(value),
            _ => self.shelf.load(kind, value),
        }
        self.stamps.pass(self.shelf.standing.until);
    }

    /// An archive is for its owner alone; for others it looks like that of nobody (attacks A15).
    fn iq(&mut self, request: &Stanza, payload: &Element, view: View, fx: &mut Effects) {
        if !view.is_own(request) {
            return fx.refuse(request, &unavailable());
        }
        let sets = request.kind == StanzaKind::Iq(IqType::Set);
        match (payload.ns(), payload.name(), sets) {
            (ns::MAM, "query", false) => fx.result(request, Some(query::form())),
            (ns::MAM, "query", true) => self.begin_search(request, payload, view, fx),
            (ns::MAM, "metadata", false) => {
                fx.read(request, ENDS, self.shelf.ends(view.account.id));
            }
            (ns::MAM, "prefs", false) => {
                fx.result(request, Some(self.preferences.to_element()));
            }
            (ns::MAM, "prefs", true) => self.prefer(request, payload, view, fx),
            (ns::MAM_TRIM, "trim", true) => self.trim(request, payload, view, fx),
            _ => fx.refuse(request, &unavailable()),
        }
    }

    fn bind_queries(&self, view: View) -> Vec<Query> {
        self.shelf.ends(view.account.id)
    }

    /// XEP-0386 §4.2: where the archive ends at this moment.
    fn bound(&self, rows: Option<&[Row]>, _: View) -> Option<Element> {
        rows.map(ends::metadata)
    }

    fn stamp(&mut self, pass: &mut Pass, view: View, _: &mut Effects) {
        if let StanzaKind::Iq(_) = pass.stanza.kind {
            return;
        }
        forgery::remove_forged(pass, view);
    }

    fn keep(&mut self, pass: &mut Pass, view: View, fx: &mut Effects) {
        let wants = |pass: &Pass| {
            let peer = pass.peer().unwrap_or(&view.account.jid);
            self.preferences.keep(peer, view)
        };
        match worth(pass.stanza) {
            Worth::Lasting if wants(pass) => {}
            Worth::Lasting | Worth::Waiting if pass.direction == Direction::In => {
                // No archive has it, but it may wait among others that do: in its turn.
                pass.marks.order = self.next_stamp(view.account.id, fx);
                return;
            }
            _ => return,
        }
        let own = &view.account.jid;
        let is_own = |jid: &Jid| jid.bare_str() == own.as_str();
        let message = match pass.direction {
            // What he tells himself is kept once, on its way in (XEP-0313 §6.1.1).
            Direction::Out if pass.peer().is_none_or(is_own) => return,
            Direction::Out => Message::outgoing(pass.stanza),
            Direction::In if !is_accepted(pass.stanza, view) => return,
            Direction::In => Message::incoming(pass.stanza),
        };
        if let Some(row) = message.and_then(|message| encode(&message).ok()) {
            self.put(row, pass, view, fx);
        }
    }

    /// It is neither refused nor dropped: only now it counts.
    fn after(&mut self, pass: &mut Pass, _: &[DeviceId], view: View, fx: &mut Effects) {
        if let Some((Place::Archive, id)) = pass.marks.kept.as_deref().and_then(MessageId::of_key) {
            self.accept(pass, id, view.account.id, fx);
        }
    }

    fn available(&mut self, _: DeviceId, _: bool, _: View, fx: &mut Effects) {
        self.shelf.resume(fx);
    }

    fn woken(&mut self, view: View, fx: &mut Effects) {
        if let Some(oldest) = self.shelf.woken(view.account.id, fx) {
            fx.read_first(OLDEST, vec![oldest]);
        }
    }

    fn read_done(
        &mut self,
        step: u32,
        request: Option<&Stanza>,
        rows: Vec<Row>,
        view: View,
        fx: &mut Effects,
    ) {
        let account = view.account.id;
        match (step, request) {
            (OLDEST, _) => self.shelf.trim(rows, account, fx),
            (NEXT, _) => {
                let entered = self.index.enter(&rows, account, fx);
                self.shelf.entered(entered, rows.len());
                self.index
                    .extend(self.shelf.standing.loose, NEXT, account, fx);
            }
            (retraction::LATEST, _) => {
                let buried = |before, after| self.shelf.resize(before, after);
                let split = self.index.end();
                self.retractions.follow(rows, split, account, buried, fx);
            }
            (retraction::MESSAGES, _) => {
                let buried = |before, after| self.shelf.resize(before, after);
                let split = self.index.end();
                self.retractions.bury(rows, split, account, buried, fx);
            }
            (ENDS, Some(request)) => fx.result(request, Some(ends::metadata(&rows))),
            (SEARCH, Some(request)) => self.go_on(request, rows, account, fx),
            (TRIM, Some(request)) => {
                let found = rows.first().and_then(|(key, _)| MessageId::of_key(key));
                let found = found.map(|(_, id)| id.number());
                match found.filter(|number| *number >= self.shelf.start()) {
                    Some(number) => self.delete(number, request, account, fx),
                    None => fx.refuse(request, &StanzaError::new(Condition::ItemNotFound)),
                }
            }
            _ => {}
        }
    }

    /// What was to be done is tried again later.
    fn unread(&mut self, step: u32, view: View, fx: &mut Effects) {
        let account = view.account.id;
        match step {
            OLDEST => self.shelf.unread(),
            NEXT => self.index.unread(),
            retraction::LATEST | retraction::MESSAGES => {
                self.retractions.next(self.index.end(), account, fx);
            }
            _ => {}
        }
    }
}

impl Archive {
    /// An empty one, with the bounds of the settings.
    fn of(site: &Site) -> Archive {
        Archive {
            shelf: Shelf::new(site.settings.archive.clone()),
            ..Archive::default()
        }
    }

    fn begin_search(&mut self, request: &Stanza, query: &Element, view: View, fx: &mut Effects) {
        fx.only_asks();
        match Wanted::read(query) {
            Ok(wanted) => {
                let search = Search::new(wanted, self.shelf.start(), self.index.end());
                fx.read(request, SEARCH, search.begin(view.account.id));
                self.search = Some(Box::new(search));
            }
            Err(error) => fx.refuse(request, &error),
        }
    }

    fn go_on(&mut self, request: &Stanza, rows: Vec<Row>, account: AccountId, fx: &mut Effects) {
        fx.only_asks();
        let Some(mut search) = self.search.take() else {
            return fx.refuse(request, &StanzaError::new(Condition::InternalServerError));
        };
        match search.take(rows, self.shelf.start(), account) {
            Next::Read(queries) => {
                fx.read(request, SEARCH, queries);
                self.search = Some(search);
            }
            Next::Found(found) => {
                page::send(&found, &search.wanted, self.shelf.count(), request, fx);
                self.shelf.found_loose(search.loose);
                self.index
                    .extend(self.shelf.standing.loose, NEXT, account, fx);
            }
            Next::Refused(error) => fx.refuse(request, &error),
        }
    }

    fn prefer(&mut self, request: &Stanza, prefs: &Element, view: View, fx: &mut Effects) {
        match Preferences::read(prefs) {
            Ok(preferences) => {
                preferences.write(view, fx);
                fx.result(request, Some(preferences.to_element()));
                self.preferences = preferences;
            }
            Err(error) => fx.refuse(request, &error),
        }
    }

    /// The archive-trim proposal: everything up to a message, or everything.
    fn trim(&mut self, request: &Stanza, trim: &Element, view: View, fx: &mut Effects) {
        let account = view.account.id;
        let Some(id) = trim.child(ns::MAM_TRIM, "id") else {
            let last = u128::from(self.stamps.last()) << 64 | u128::from(u64::MAX);
            return self.delete(last, request, account, fx);
        };
        match MessageId::parse(id.text().trim()) {
            Some(id) => {
                let query = Query::Get(Tree::Archive, id.key(account, Place::Archive));
                fx.read(request, TRIM, vec![query]);
            }
            None => fx.refuse(request, &StanzaError::new(Condition::ItemNotFound)),
        }
    }

    fn delete(&mut self, upto: u128, request: &Stanza, account: AccountId, fx: &mut Effects) {
        self.shelf.delete(upto, account, fx);
        fx.result(request, None);
    }

    /// Keeps the message at hand.
    fn put(&mut self, row: Vec<u8>, pass: &mut Pass, view: View, fx: &mut Effects) {
        let account = view.account.id;
        self.digest = self.twins.digest(pass);
        let twin = self
            .digest
            .and_then(|digest| self.twins.find(digest, fx.now));
        // Over its twin, which may have been lost.
        let id = twin.unwrap_or_else(|| MessageId::new(self.next_stamp(account, fx)));
        let key = id.key(account, Place::Archive);
        self.size = row.len();
        pass.marks.kept = Some(key.clone());
        pass.marks.lasting = true;
        let frame = match pass.direction {
            Direction::Out => &mut fx.travelling,
            Direction::In => &mut fx.rows,
        };
        frame.put(Tree::Archive, key, row);
        match pass.direction {
            // Nobody here refuses it any more.
            Direction::Out => self.accept(pass, id, account, fx),
            // Only whom the archive is open to hears the id (XEP-0313 §3.5).
            Direction::In => pass.stanza.append(&id.element(&view.account.jid)),
        }
    }

    fn accept(&mut self, pass: &Pass, id: MessageId, account: AccountId, fx: &mut Effects) {
        let is_new = match self.digest.take() {
            Some(digest) if self.twins.find(digest, fx.now).is_some() => false,
            Some(digest) => {
                self.twins.remember(digest, id);
                true
            }
            None => true,
        };
        if is_new {
            self.shelf.add(self.size, fx);
            self.index
                .extend(self.shelf.standing.loose, NEXT, account, fx);
        }
        let split = self.index.end();
        self.retractions.note(pass, id, split, account, fx);
    }

    /// The stamp of the next id.
    fn next_stamp(&mut self, account: AccountId, fx: &mut Effects) -> u64 {
        let stamp = self.stamps.next(fx.now);
        self.shelf.reserve(stamp >> 16, account, fx);
        stamp
    }
}

/// Whether this message, if no bound forbids, will be delivered or wait: only then the archive
/// shows it (XEP-0313 §5.1).
fn is_accepted(stanza: &Stanza, view: View) -> bool {
    let address = match stanza.to.as_ref().and_then(Jid::resource) {
        None => Address::Bare,
        Some(name) if view.devices.with_resource(name).is_some() => Address::Device,
        Some(_) => Address::NoDevice,
    };
    let audience = Audience::of(view.devices.available().map(|device| device.priority));
    let delivery = delivery(stanza.kind, address, audience);
    matches!(
        delivery,
        Delivery::Device | Delivery::Willing | Delivery::Store
    )
}

#[cfg(test)]
mod pages;
#[cfg(test)]
mod tests;
