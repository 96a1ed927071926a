//! Keeps messages (XEP-0313 §5.1.1), names them (XEP-0359) and removes what forges such names.
//!
//! Of a message between two of our users both rows are committed in one frame: the sender's
//! travels with the stanza. A row is the message as it came, without the account's own
//! `<stanza-id/>`; that is added to what is delivered, since it can be told from the row's key.
//!
//! Ids rise, even when the clock falls or the server starts again: a row says up to when ids may
//! have been given away, and is written before one later than that is.

use std::time::Duration;

use rookery_actors::effect::{Effects, Millis, Query, Row};
use rookery_actors::extension::{AccountRole, Direction, Extension, Pass, Spec, View};
use rookery_actors::keys::{self, AccountId, Kind};
use rookery_config::settings::Archive as Bounds;
use rookery_protocol::delivery::{Address, Audience, Delivery, delivery};
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::{Child, Kind as StanzaKind, Stanza};
use rookery_protocol::xml::Element;
use rookery_storage::Tree;
use rookery_storage::record::{Record, decode, encode};
use serde::{Deserialize, Serialize};
use tracing::{error, warn};

use crate::kept::{Message, MessageId, Place, Stamps, Worth, worth};

/// One row: how the archive stands.
const STANDING: Kind = Kind(0x12);

/// Children that may forge what only we say.
const IDS: &[(&str, &str)] = &[(ns::STANZA_ID, "stanza-id")];
const DELAYS: &[(&str, &str)] = &[(ns::DELAY, "delay"), (ns::DELAY_LEGACY, "x")];
const WRAPPERS: &[(&str, &str)] = &[(ns::CARBONS, "received"), (ns::CARBONS, "sent")];

/// How long ids are given away ahead of the row that says so. Ids may run ahead of the clock by
/// as much after a quick restart.
const AHEAD: Millis = 5_000;

/// Between two looks for what is too old.
const DAY: Millis = 24 * 60 * 60 * 1000;
/// Rows looked at in one go when old ones are removed: the Hub waits meanwhile.
const SLICE: usize = 256;
/// How long removing waits, so that it does not hold up the message that asked for it.
const PAUSE: Duration = Duration::from_secs(1);

/// The archive.
pub const EXTENSION: Extension = Extension {
    name: "archive",
    specs: &[
        Spec {
            xep: 359,
            version: "0.7.0",
            title: "Unique and Stable Stanza IDs",
        },
        Spec {
            xep: 334,
            version: "1.0.0",
            title: "Message Processing Hints",
        },
    ],
    account_features: &[ns::STANZA_ID],
    kinds: &[STANDING],
    account: Some(|_| Box::new(Archive::default())),
    ..Extension::NONE
};

/// How an archive stands, as far as it is written down: up to [`AHEAD`] behind the truth, so the
/// numbers may miss a few messages after a crash.
#[derive(Serialize, Deserialize, Default, Debug, PartialEq)]
struct Standing {
    /// Ids up to this time may have been given away.
    until: Millis,
    items: u64,
    bytes: u64,
    /// When old messages were last looked for.
    trimmed: Millis,
}

impl Record for Standing {
    const VERSION: u8 = 1;
}

#[derive(Default)]
struct Archive {
    stamps: Stamps,
    standing: Standing,
    is_trimming: bool,
}

impl AccountRole for Archive {
    fn load(&mut self, _: Kind, _: &[u8], value: &[u8]) {
        match decode(value) {
            Ok(standing) => self.standing = standing,
            Err(problem) => error!(%problem, "the state of an archive cannot be read"),
        }
        self.stamps.pass(self.standing.until);
    }

    fn stamp(&mut self, pass: &mut Pass, view: View, _: &mut Effects) {
        if let StanzaKind::Iq(_) = pass.stanza.kind {
            return;
        }
        let own = &view.account.jid;
        let is_own = |jid: &Jid| jid.bare_str() == own.as_str();
        remove(pass.stanza, IDS, |id| names(id, "by").as_ref() == Some(own));
        if !pass.peer().is_none_or(is_own) {
            // What a server wraps for its own user comes from the server, never from a contact
            // (CVE-2017-5589).
            remove(pass.stanza, WRAPPERS, |_| true);
        }
        if is_foreign(pass, view) {
            let to = pass.stanza.to.as_ref().map(Jid::bare);
            let forged = |from: Jid| to.as_ref() == Some(&from) || ours(&from, view);
            remove(pass.stanza, DELAYS, |delay| {
                names(delay, "from").is_some_and(forged)
            });
        }
    }

    fn keep(&mut self, pass: &mut Pass, view: View, fx: &mut Effects) {
        match worth(pass.stanza) {
            Worth::Lasting => {}
            Worth::Waiting if pass.direction == Direction::In => {
                // No archive has it, but it may wait among others that do: in its turn.
                pass.marks.order = self.next_stamp(view.account.id, fx);
                return;
            }
            _ => return,
        }
        let own = &view.account.jid;
        let is_own = |jid: &Jid| jid.bare_str() == own.as_str();
        let message = match pass.direction {
            // What he tells himself is kept once, on its way in (XEP-0313 §5.1.1).
            Direction::Out if pass.peer().is_none_or(is_own) => return,
            Direction::Out => Message::outgoing(pass.stanza),
            Direction::In if !is_accepted(pass.stanza, view) => return,
            Direction::In => Message::incoming(pass.stanza),
        };
        let Some(row) = message.and_then(|message| encode(&message).ok()) else {
            return;
        };
        let id = self.next(row.len(), view, fx);
        let key = id.key(view.account.id, Place::Archive);
        match pass.direction {
            Direction::Out => {
                fx.travelling.put(Tree::Archive, key.clone(), row);
            }
            Direction::In => {
                fx.put(Tree::Archive, key.clone(), row);
                // Only whom the archive is open to hears the id (XEP-0313 §3.5).
                pass.stanza.append(&id.element(own));
            }
        }
        pass.marks.kept = Some(key);
        pass.marks.lasting = true;
    }

    fn woken(&mut self, view: View, fx: &mut Effects) {
        let range = keys::all_of(view.account.id, Place::Archive.kind());
        let (tree, limit) = (Tree::Archive, SLICE);
        let backwards = false;
        fx.read_first(
            0,
            vec![Query::Range {
                tree,
                range,
                limit,
                backwards,
            }],
        );
    }

    fn read_done(
        &mut self,
        _: u32,
        _: Option<&Stanza>,
        rows: Vec<Row>,
        view: View,
        fx: &mut Effects,
    ) {
        let read = rows.len();
        let removed = self.trim(rows, &view.site.settings.archive, fx);
        if read == SLICE && removed == SLICE {
            return fx.wake(PAUSE);
        }
        self.is_trimming = false;
        self.standing.trimmed = fx.now;
        if 0 < read && read < SLICE && removed == read {
            // Nothing is left: what was miscounted after crashes is set right.
            (self.standing.items, self.standing.bytes) = (0, 0);
        }
        self.write(view.account.id, fx);
    }
}

impl Archive {
    /// The id of the next message, of `size` bytes.
    fn next(&mut self, size: usize, view: View, fx: &mut Effects) -> MessageId {
        self.standing.items += 1;
        self.standing.bytes += size as u64;
        let id = MessageId::new(self.next_stamp(view.account.id, fx));
        if self.standing.trimmed == 0 {
            self.standing.trimmed = fx.now;
        }
        let is_over = self.is_over(&view.site.settings.archive, 0);
        let is_due = is_over || fx.now >= self.standing.trimmed + DAY;
        if is_due && !self.is_trimming {
            self.is_trimming = true;
            fx.wake(PAUSE);
        }
        id
    }

    /// The stamp of the next id.
    fn next_stamp(&mut self, account: AccountId, fx: &mut Effects) -> u64 {
        let stamp = self.stamps.next(fx.now);
        if stamp >> 16 >= self.standing.until {
            // In a frame of this Hub, which goes to the disk before the one that holds the id.
            self.standing.until = (stamp >> 16) + AHEAD;
            self.write(account, fx);
        }
        stamp
    }

    /// Removes those of the oldest `rows` that are too old or too many; returns how many.
    fn trim(&mut self, rows: Vec<Row>, bounds: &Bounds, fx: &mut Effects) -> usize {
        let mut removed = 0;
        let was_over = self.is_over(bounds, 0);
        let keep = bounds.keep.as_millis() as Millis;
        for (key, value) in rows {
            let Some((_, id)) = MessageId::of_key(&key) else {
                break;
            };
            let is_old = id.time().saturating_add(keep) < fx.now;
            // Under the bounds by a hundredth, so as not to be here again with the next message.
            let is_too_much = was_over && self.is_over(bounds, 100);
            if !is_old && !is_too_much {
                break;
            }
            self.standing.items = self.standing.items.saturating_sub(1);
            self.standing.bytes = self.standing.bytes.saturating_sub(value.len() as u64);
            fx.delete(Tree::Archive, key);
            removed += 1;
        }
        removed
    }

    /// Whether the archive is over its bounds less one part in `margin` (0: over the bounds).
    fn is_over(&self, bounds: &Bounds, margin: u64) -> bool {
        let less = |bound: u64| bound - bound.checked_div(margin).unwrap_or(0);
        let size = less(bounds.size.as_u64());
        self.standing.items > less(bounds.messages) || self.standing.bytes > size
    }

    fn write(&self, account: AccountId, fx: &mut Effects) {
        match encode(&self.standing) {
            Ok(row) => fx.put(Tree::Account, keys::row(account, STANDING, &[]), row),
            Err(problem) => warn!(%problem, "the state of an archive cannot be written"),
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

/// Whether the stanza is fresh from a client or another server, so that no part of our server has
/// put anything into it: neither a room of ours nor the store for those who are away.
fn is_foreign(pass: &Pass, view: View) -> bool {
    match pass.direction {
        Direction::Out => true,
        Direction::In => pass.peer().is_some_and(|from| !ours(from, view)),
    }
}

/// Whether `jid` is one of our domains, or at one of our services: a room.
fn ours(jid: &Jid, view: View) -> bool {
    let site = view.site;
    match jid.local() {
        None if site.serves(jid.domain()) => true,
        _ => site.domains.iter().any(|domain| {
            let mut hosts = site.settings.service_hosts(domain).into_iter();
            hosts.any(|host| host == jid.domain())
        }),
    }
}

/// The JID in an attribute, if it is one.
fn names(element: &Element, attribute: &str) -> Option<Jid> {
    Jid::parse(element.attr(attribute)?).ok()
}

/// Removes the children of one of these names that are `forged`.
fn remove(stanza: &mut Stanza, names: &[(&str, &str)], forged: impl Fn(&Element) -> bool) {
    let is_meant = |child: &_| names.iter().any(|(ns, name)| Child::is(child, ns, name));
    if !stanza.children().iter().any(is_meant) {
        return;
    }
    let read = |child| is_meant(child) && stanza.read(child).is_none_or(|child| forged(&child));
    let mut verdicts = stanza
        .children()
        .iter()
        .map(read)
        .collect::<Vec<_>>()
        .into_iter();
    stanza.retain_children(|_| !verdicts.next().unwrap_or(false));
}

#[cfg(test)]
mod tests;
