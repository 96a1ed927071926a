//! Messages for those who are away (XEP-0160): a mark on a kept message says that it was not
//! delivered yet.
//!
//! The first device that comes and takes messages gets them all, in order, each with the time of
//! its arrival (XEP-0203). The mark goes in the frame that hands the message to the device's
//! unacknowledged deliveries, so it is always in the one or the other. What a device that is gone
//! never acknowledged is marked again, unless another device was given it as well. A message that
//! is for no archive goes when it is acknowledged, or with its mark if its device never does; so it
//! is kept as well while all devices that were given it may still say that they have it.

mod queue;

use rookery_actors::effect::{Effects, Millis, Query, Row};
use rookery_actors::extension::{AccountRole, Direction, Extension, Kept, Pass, Spec, View};
use rookery_actors::hub::devices::{Device, DeviceId};
use rookery_actors::keys::{self, AccountId, Kind};
use rookery_protocol::datetime;
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::{Kind as StanzaKind, MessageType, Stanza};
use rookery_protocol::xml::Element;
use rookery_storage::Tree;
use rookery_storage::record::{Record, decode, encode};
use serde::{Deserialize, Serialize};
use tracing::error;

use crate::kept::{Message, MessageId, Place, Stamps, Worth, worth};
use queue::{Mark, Queue};

/// A message that waits; the key ends in its place and its id.
const MARK: Kind = Kind(0x13);

/// Messages delivered between two reads.
const BATCH: usize = 64;
/// Their bytes, about.
const BATCH_BYTES: u64 = 1024 * 1024;

/// Messages for those who are away.
pub const EXTENSION: Extension = Extension {
    name: "offline",
    specs: &[
        Spec {
            xep: 160,
            version: "1.0.1",
            title: "Best Practices for Handling Offline Messages",
        },
        Spec {
            xep: 203,
            version: "2.0",
            title: "Delayed Delivery",
        },
    ],
    server_features: &["msgoffline"],
    kinds: &[MARK],
    account: Some(|_| Box::new(Offline::default())),
    ..Extension::NONE
};

/// The row of a mark.
#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct MarkRow {
    /// Bytes of the message.
    size: u32,
    /// From somebody who was no contact.
    stranger: bool,
}

impl Record for MarkRow {
    const VERSION: u8 = 1;
}

#[derive(Default)]
struct Offline {
    queue: Queue,
    /// The next messages are being read.
    is_reading: bool,
    /// For messages that no archive keeps, where nothing else says what comes first.
    stamps: Stamps,
}

impl AccountRole for Offline {
    fn load(&mut self, _: Kind, rest: &[u8], value: &[u8]) {
        let place = rest.first().copied().map(Kind).and_then(Place::of);
        let id = rest.get(1..).and_then(MessageId::of_bytes);
        let (Some(place), Some(id), Ok(row)) = (place, id, decode::<MarkRow>(value)) else {
            return error!("the mark of a waiting message cannot be read");
        };
        self.stamps.pass(id.time());
        self.queue.insert(
            id,
            Mark {
                place,
                size: row.size,
                stranger: row.stranger,
            },
        );
    }

    fn keep(&mut self, pass: &mut Pass, view: View, fx: &mut Effects) {
        if pass.direction == Direction::In
            && worth(pass.stanza) == Worth::Waiting
            && all_acknowledge(pass.stanza, view)
            && let Some(id) = self.write(pass, view, fx)
        {
            pass.marks.kept = Some(id.key(view.account.id, Place::Waiting));
        }
    }

    fn undelivered(&mut self, pass: &mut Pass, view: View, fx: &mut Effects) -> Kept {
        let StanzaKind::Message(MessageType::Normal | MessageType::Chat) = pass.stanza.kind else {
            return Kept::No;
        };
        let worth = worth(pass.stanza);
        match (worth, &pass.marks.kept) {
            // As if it had been read by nobody: an error for each keystroke serves no one.
            (Worth::Trifle, _) => Kept::Yes,
            // For no archive, by its owner's wish; it may wait all the same.
            (Worth::Lasting, None) if pass.marks.order > 0 => self.keep_waiting(pass, view, fx),
            (Worth::Passing, _) | (Worth::Lasting, None) => Kept::No,
            (Worth::Lasting | Worth::Waiting, Some(key)) => {
                let key = key.clone();
                self.mark_kept(key, pass, view, fx)
            }
            (Worth::Waiting, None) => self.keep_waiting(pass, view, fx),
        }
    }

    fn again(&self, _: DeviceId, key: &[u8], row: &[u8], view: View) -> Option<Stanza> {
        let (place, id) = MessageId::of_key(key)?;
        late(id, place, row, view)
    }

    fn returned(&mut self, kept: &[Vec<u8>], view: View, fx: &mut Effects) {
        for key in kept {
            let Some((place, id)) = MessageId::of_key(key) else {
                error!("a delivery that came back names no kept message");
                continue;
            };
            if self.queue.contains(id) {
                continue;
            }
            // The bounds do not hold here: the message was accepted long ago.
            let mark = Mark {
                place,
                size: 0,
                stranger: false,
            };
            self.put(id, mark, view.account.id, fx);
        }
        self.deliver_to_best(view, fx);
    }

    fn taken(&mut self, _: DeviceId, kept: &[Vec<u8>], _: View, fx: &mut Effects) {
        for key in kept {
            if let Some((Place::Waiting, _)) = MessageId::of_key(key) {
                fx.delete(Tree::Archive, key.clone());
            }
        }
    }

    /// XEP-0386 §4.2: who binds so finds in the archive what waited, and is not sent it. What is in
    /// no archive waits on, and what another device is being given goes there.
    fn bind(
        &mut self,
        _: DeviceId,
        feature: &Element,
        view: View,
        fx: &mut Effects,
    ) -> Option<Element> {
        if feature.is(ns::BIND2, "bind") && !self.is_reading {
            for id in self.queue.in_archive() {
                self.unmark(id, view.account.id, fx);
            }
        }
        None
    }

    fn available(&mut self, device: DeviceId, _: bool, view: View, fx: &mut Effects) {
        self.expire(view, fx);
        let reachable = view.devices.get(device).is_some_and(Device::reachable);
        if reachable && !self.queue.is_empty() {
            self.deliver_to(device, view, fx);
        }
    }

    fn read_done(
        &mut self,
        step: u32,
        _: Option<&Stanza>,
        rows: Vec<Row>,
        view: View,
        fx: &mut Effects,
    ) {
        self.is_reading = false;
        let Some(device) = view.devices.get(DeviceId(step)).filter(|it| it.reachable()) else {
            // It went meanwhile; another may have come.
            return self.deliver_to_best(view, fx);
        };
        let account = view.account.id;
        for (id, mark) in self.queue.batch(BATCH, BATCH_BYTES) {
            let key = id.key(account, mark.place);
            let Some((_, value)) = rows.iter().find(|(found, _)| *found == key) else {
                // The archive let go of it.
                self.remove(id, account, fx);
                continue;
            };
            deliver(device.id, id, mark.place, value, view, fx);
            match device.acknowledges {
                true => drop(self.unmark(id, account, fx)),
                false => self.remove(id, account, fx),
            }
        }
        let device = device.id;
        if !self.queue.is_empty() {
            self.deliver_to(device, view, fx);
        }
    }

    /// The marks stay; the next device that comes has it tried again.
    fn unread(&mut self, _: u32, _: View, _: &mut Effects) {
        self.is_reading = false;
    }
}

impl Offline {
    /// Marks a message that is kept; over the bounds it takes the message out again.
    fn mark_kept(&mut self, key: Vec<u8>, pass: &mut Pass, view: View, fx: &mut Effects) -> Kept {
        let Some((place, id)) = MessageId::of_key(&key) else {
            return Kept::No;
        };
        let mark = mark(place, pass, view);
        if !self.admits(&mark, view, fx) {
            // It was refused, so no archive may show it (XEP-0313 §5.1).
            fx.delete(Tree::Archive, key);
            pass.marks.kept = None;
            return Kept::Full;
        }
        self.put(id, mark, view.account.id, fx);
        Kept::Yes
    }

    /// Keeps a message that is for no archive, until it is delivered.
    fn keep_waiting(&mut self, pass: &mut Pass, view: View, fx: &mut Effects) -> Kept {
        let mark = mark(Place::Waiting, pass, view);
        if !self.admits(&mark, view, fx) {
            return Kept::Full;
        }
        let Some(id) = self.write(pass, view, fx) else {
            return Kept::No;
        };
        self.put(id, mark, view.account.id, fx);
        Kept::Yes
    }

    /// Writes a message that is for no archive.
    fn write(&mut self, pass: &mut Pass, view: View, fx: &mut Effects) -> Option<MessageId> {
        let row = Message::incoming(pass.stanza).and_then(|message| encode(&message).ok())?;
        let stamp = match pass.marks.order {
            0 => self.stamps.next(fx.now),
            order => order,
        };
        let id = MessageId::new(stamp);
        fx.put(Tree::Archive, id.key(view.account.id, Place::Waiting), row);
        pass.marks.lasting = true;
        Some(id)
    }

    fn admits(&mut self, mark: &Mark, view: View, fx: &mut Effects) -> bool {
        self.expire(view, fx);
        let bounds = &view.site.settings.offline;
        self.queue
            .admits(mark, bounds.messages, bounds.size.as_u64())
    }

    /// Forgets what has waited too long. The archive still has it.
    fn expire(&mut self, view: View, fx: &mut Effects) {
        let keep = view.site.settings.offline.keep.as_millis() as Millis;
        while let Some(id) = self.queue.first()
            && id.time() + keep < fx.now
        {
            self.remove(id, view.account.id, fx);
        }
    }

    /// Has the next messages read, so that `read_done` delivers them to `device`. Nothing that
    /// comes meanwhile overtakes them.
    fn deliver_to(&mut self, device: DeviceId, view: View, fx: &mut Effects) {
        // What is read twice would be taken for gone the second time.
        if std::mem::replace(&mut self.is_reading, true) {
            return;
        }
        let batch = self.queue.batch(BATCH, BATCH_BYTES).into_iter();
        let key = |(id, mark): (MessageId, Mark)| id.key(view.account.id, mark.place);
        let queries = batch.map(|it| Query::Get(Tree::Archive, key(it))).collect();
        fx.read_first(device.0, queries);
    }

    /// The same for the device that is most willing to take them, if there is one.
    fn deliver_to_best(&mut self, view: View, fx: &mut Effects) {
        let best = view
            .devices
            .reachable()
            .max_by_key(|device| device.priority);
        if let Some(device) = best.filter(|_| !self.queue.is_empty()) {
            self.deliver_to(device.id, view, fx);
        }
    }

    fn put(&mut self, id: MessageId, mark: Mark, account: AccountId, fx: &mut Effects) {
        let row = MarkRow {
            size: mark.size,
            stranger: mark.stranger,
        };
        #[cfg(feature = "seeded-bugs")]
        if rookery_storage::seeded_bugs::is_on("lose-mark") {
            return self.queue.insert(id, mark);
        }
        match encode(&row) {
            Ok(row) => fx.put(Tree::Account, mark_key(account, mark.place, id), row),
            Err(problem) => error!(%problem, "a mark cannot be written"),
        }
        self.queue.insert(id, mark);
    }

    /// Removes a mark, and the message if only the mark held it.
    fn remove(&mut self, id: MessageId, account: AccountId, fx: &mut Effects) {
        if let Some(Place::Waiting) = self.unmark(id, account, fx) {
            fx.delete(Tree::Archive, id.key(account, Place::Waiting));
        }
    }

    /// Removes a mark; where the message lies.
    fn unmark(&mut self, id: MessageId, account: AccountId, fx: &mut Effects) -> Option<Place> {
        let mark = self.queue.remove(id)?;
        #[cfg(feature = "seeded-bugs")]
        if rookery_storage::seeded_bugs::is_on("keep-mark") {
            return Some(mark.place);
        }
        fx.delete(Tree::Account, mark_key(account, mark.place, id));
        Some(mark.place)
    }
}

fn mark_key(account: AccountId, place: Place, id: MessageId) -> Vec<u8> {
    let mut rest = vec![place.kind().0];
    rest.extend_from_slice(&id.bytes());
    keys::row(account, MARK, &rest)
}

/// Whether it is going to devices that say what they have, and to no others: nobody else gives it
/// up when they go without a word.
fn all_acknowledge(stanza: &Stanza, view: View) -> bool {
    let resource = stanza.to.as_ref().and_then(Jid::resource);
    if let Some(named) = resource.and_then(|it| view.devices.with_resource(it)) {
        return named.acknowledges;
    }
    let mut reachable = view.devices.reachable().peekable();
    reachable.peek().is_some() && reachable.all(|device| device.acknowledges)
}

/// The mark of the message at hand.
fn mark(place: Place, pass: &Pass, view: View) -> Mark {
    let is_known = |from: &_| view.is_own(pass.stanza) || view.account.is_contact(from);
    Mark {
        place,
        size: u32::try_from(pass.stanza.wire_len()).unwrap_or(u32::MAX),
        stranger: !pass.stanza.from.as_ref().is_some_and(is_known),
    }
}

/// Delivers a message that has waited.
fn deliver(
    device: DeviceId,
    id: MessageId,
    place: Place,
    row: &[u8],
    view: View,
    fx: &mut Effects,
) {
    let Some(stanza) = late(id, place, row, view) else {
        return error!("a waiting message cannot be read");
    };
    fx.deliver([device], &stanza, Some(id.key(view.account.id, place)));
}

/// A kept message as it is delivered late: with the time it came (XEP-0203).
fn late(id: MessageId, place: Place, row: &[u8], view: View) -> Option<Stanza> {
    let mut stanza = decode::<Message>(row).ok().and_then(Message::into_stanza)?;
    let own = &view.account.jid;
    let stamp = datetime::format(id.time());
    let delay = Element::new(ns::DELAY, "delay").with_attr("from", own.domain());
    stanza.append(&delay.with_attr("stamp", stamp));
    if place == Place::Archive {
        stanza.append(&id.element(own));
    }
    Some(stanza)
}

#[cfg(test)]
mod tests;
