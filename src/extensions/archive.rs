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
pub mod vault;

use rookery_actors::effect::{Effects, Query, Row};
use rookery_actors::extension::{AccountRole, Direction, Extension, Pass, Spec, View};
use rookery_actors::hub::devices::DeviceId;
use rookery_actors::keys::{AccountId, Kind};
use rookery_actors::site::Site;
use rookery_protocol::delivery::{Address, Audience, Delivery, delivery};
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::{IqType, Kind as StanzaKind, Stanza};
use rookery_protocol::xml::Element;
use rookery_storage::Tree;
use rookery_storage::record::encode;

use super::request::unavailable;
use crate::kept::{Message, MessageId, Place, Worth, worth};
pub use forgery::remove_ids;
use preferences::{PREFERENCES, Preferences};
use retraction::Retraction;
use standing::{FLOOR, STANDING};
use trail::INDEXED;
use twins::Twins;
use vault::Vault;

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

#[derive(Default)]
struct Archive {
    vault: Vault,
    preferences: Preferences,
    twins: Twins,
    /// Of the message at hand, which is not accepted yet: the bytes of its row, and its digest.
    size: usize,
    digest: Option<u64>,
}

impl AccountRole for Archive {
    fn load(&mut self, kind: Kind, _: &[u8], value: &[u8]) {
        match kind {
            PREFERENCES => self.preferences = Preferences::load(value),
            _ => self.vault.load(kind, value),
        }
    }

    /// An archive is for its owner alone; for others it looks like that of nobody (attacks A15).
    fn iq(&mut self, request: &Stanza, payload: &Element, view: View, fx: &mut Effects) {
        if !view.is_own(request) {
            return fx.refuse(request, &unavailable());
        }
        let sets = request.kind == StanzaKind::Iq(IqType::Set);
        match (payload.ns(), payload.name(), sets) {
            (ns::MAM, "prefs", false) => {
                fx.result(request, Some(self.preferences.to_element()));
            }
            (ns::MAM, "prefs", true) => self.prefer(request, payload, view, fx),
            _ if self.vault.asked(request, payload, view.account.id, fx) => {}
            _ => fx.refuse(request, &unavailable()),
        }
    }

    fn bind_queries(&self, view: View) -> Vec<Query> {
        self.vault.ends(view.account.id)
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
                pass.marks.order = self.vault.next_stamp(view.account.id, fx);
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
        self.vault.resume(fx);
    }

    fn woken(&mut self, view: View, fx: &mut Effects) {
        self.vault.woken(view.account.id, fx);
    }

    fn read_done(
        &mut self,
        step: u32,
        request: Option<&Stanza>,
        rows: Vec<Row>,
        view: View,
        fx: &mut Effects,
    ) {
        let all = |_: &Message| None;
        self.vault
            .read_done(step, request, rows, view.account.id, &all, fx);
    }

    fn unread(&mut self, step: u32, view: View, fx: &mut Effects) {
        self.vault.unread(step, view.account.id, fx);
    }
}

impl Archive {
    /// An empty one, with the bounds of the settings.
    fn of(site: &Site) -> Archive {
        Archive {
            vault: Vault::new(site.settings.archive.clone()),
            ..Archive::default()
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

    /// Keeps the message at hand.
    fn put(&mut self, row: Vec<u8>, pass: &mut Pass, view: View, fx: &mut Effects) {
        let account = view.account.id;
        self.digest = self.twins.digest(pass);
        let twin = self
            .digest
            .and_then(|digest| self.twins.find(digest, fx.now));
        // Over its twin, which may have been lost.
        let id = twin.unwrap_or_else(|| MessageId::new(self.vault.next_stamp(account, fx)));
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
            self.vault.add(self.size, account, fx);
        }
        if let Some(retraction) = Retraction::of(pass, id) {
            self.vault.retract(retraction, account, fx);
        }
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
