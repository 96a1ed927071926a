//! The shell's side of one device: its Session, and what was delivered to it and not acknowledged
//! yet.
//!
//! A device that acknowledges (XEP-0198) is delivered to by number. When more waits for its
//! acknowledgement than memory should hold, or when its session is only a row yet because the
//! server started again, the link is *shelved*: what must not be lost is then kept as rows alone,
//! and is read and delivered when there is room and somebody to take it, in its order among the
//! rest (RFC 6120 §10.1).

mod numbers;
mod rest;

use std::sync::Arc;

use actix::prelude::*;
use bytes::Bytes;
use tokio::time::Instant;

use crate::effect::Keep;
use crate::hub::aside::Aside;
use crate::hub::remembered::{Delivery, Remembered, Traces};
use crate::hub::shelf::{Item, Next, Shelf, Unacked, size_of};
use crate::keys::{Part, SessionKey};
use crate::messages::ToSession;
use crate::receipt::{Handled, Owner, is_later};
use crate::session::{FIRST_LINE, Session};
use crate::site::random;
use numbers::{Acks, Sent};

/// A device's Session, as its Hub holds it.
pub struct Link {
    session: Option<Addr<Session>>,
    /// The ledger of what its client sent.
    owner: Option<Arc<Owner>>,
    pub key: SessionKey,
    acks: Option<Box<Acks>>,
    shelved: Option<Box<Shelved>>,
    /// What is held for it because it is patient.
    pub aside: Option<Box<Aside>>,
    /// Deliveries to it that wait for the disk; what comes later queues behind them.
    pub held: u32,
    /// Deliveries on their way to the shelved.
    pub shelving: u32,
    /// By this the client names the session when it comes back (XEP-0198 `previd`).
    pub token: Option<[u8; 16]>,
    /// It has a row, so that a server that starts again knows of it.
    pub written: bool,
    /// Its stream is gone, and it waits for another; counts how often that happened.
    pub away: Option<u32>,
    /// When the time for that is over.
    pub until: Option<Instant>,
    losses: u32,
    /// Which line its Session has, or is given.
    pub line: u32,
    /// Of before the server started again, while no Session has been told.
    pub past: Option<Past>,
    open: bool,
}

/// Of a shelved link.
#[derive(Default)]
struct Shelved {
    shelf: Shelf,
    /// What is on it is being read.
    reading: bool,
}

/// What a session did and had not done before the server started again.
pub struct Past {
    /// What of its client's was handled.
    pub handled: Handled,
    /// What its client may not have got and need not last, by number.
    pub tail: Vec<(u32, Bytes)>,
    /// The number of the last stanza that it was sent; `None`: nobody knows any more.
    pub sent: Option<u32>,
}

/// What becomes of a delivery.
pub enum Way {
    /// Write it, under this number if deliveries are counted.
    Session(Option<u32>),
    /// Its row is all there is for now; this is its serial number.
    Shelved([u8; 4]),
}

/// How much of a session may be unacknowledged in memory.
#[derive(Clone, Copy)]
pub struct Room {
    pub stanzas: usize,
    pub bytes: usize,
}

impl Link {
    /// A link to a session that does not acknowledge yet.
    pub fn new(session: Addr<Session>, owner: Arc<Owner>, key: SessionKey) -> Link {
        Link {
            session: Some(session),
            owner: Some(owner),
            key,
            acks: None,
            shelved: None,
            aside: None,
            held: 0,
            shelving: 0,
            token: None,
            written: false,
            away: None,
            until: None,
            losses: 0,
            line: FIRST_LINE,
            past: None,
            open: true,
        }
    }

    /// A link to a session that is only rows; `sent` where more is known.
    pub fn restored(remembered: Remembered, token: [u8; 16], sent: Option<u32>) -> Link {
        let mut acks = Acks::default();
        let mut shelved = Shelved::default();
        for (serial, row, delivery) in remembered.unacked {
            acks.serial = acks.serial.max(serial);
            let number = delivery.number;
            let unacked = Unacked::read(row, delivery);
            match number {
                Some(number) => acks.unacked.push_back(Sent {
                    number,
                    size: 0,
                    unacked: Some(Box::new(unacked)),
                }),
                None => drop(shelved.shelf.push(Item::Row(unacked))),
            }
        }
        let past = Past {
            handled: remembered.handled,
            tail: remembered.tail,
            sent,
        };
        Link {
            session: None,
            owner: None,
            key: remembered.key,
            acks: Some(Box::new(acks)),
            shelved: Some(Box::new(shelved)),
            aside: None,
            held: 0,
            shelving: 0,
            token: Some(token),
            written: true,
            away: Some(0),
            until: None,
            losses: 0,
            line: FIRST_LINE,
            past: Some(past),
            open: true,
        }
    }

    /// Tells the session something, if there is one.
    pub fn send(&self, message: ToSession) {
        if let Some(session) = &self.session {
            session.do_send(message);
        }
    }

    /// Whether the session is still there, or is only waited for.
    pub fn is_alive(&self) -> bool {
        self.session.as_ref().is_none_or(Addr::connected)
    }

    /// Whether deliveries are counted.
    pub fn counts(&self) -> bool {
        self.acks.is_some()
    }

    /// Counts from here on; makes the token by which the session may be resumed.
    pub fn count(&mut self, resumable: bool) {
        self.acks = Some(Box::default());
        self.token = resumable.then(random);
    }

    /// Its stream is gone; answers the number of this loss.
    pub fn lose(&mut self) -> u32 {
        self.losses += 1;
        self.away = Some(self.losses);
        if let Some(shelved) = self.shelved.as_mut() {
            shelved.shelf.forget_bytes();
        }
        self.losses
    }

    /// Numbers a delivery, or shelves it where there is no room. If it must not be lost the answer
    /// has the row that keeps it.
    pub fn assign(
        &mut self,
        bytes: &[u8],
        (others, keep): (u8, Keep),
        room: Room,
    ) -> (Way, Option<(Unacked, Delivery)>) {
        let Some(acks) = self.acks.as_mut() else {
            return (Way::Session(None), None);
        };
        if self.shelved.is_none() && acks.is_full(room) {
            self.shelved = Some(Box::default());
        }
        let shelved = self.shelved.is_some();
        let kept = match keep {
            Keep::Archived(kept) => Some((Some(kept), false)),
            Keep::Sent(kept) | Keep::Elsewhere(kept) if self.token.is_some() => {
                Some((Some(kept), true))
            }
            Keep::Here if self.token.is_some() => Some((None, false)),
            // The server stops: memory is no place any more.
            Keep::No if self.token.is_some() && !self.open => Some((None, false)),
            Keep::Sent(_) | Keep::Elsewhere(_) | Keep::Here | Keep::No => None,
        };
        let serial = match shelved || kept.is_some() {
            true => acks.next_serial(),
            false => [0; 4],
        };
        let unacked = kept.map(|(kept, copy)| {
            let row = self.key.row(Part::Unacked, &serial);
            let size = size_of(bytes);
            Unacked {
                row,
                kept,
                copy,
                size,
                others,
            }
        });
        let number = (!shelved).then(|| acks.number(bytes.len(), unacked.clone()));
        let row = unacked.map(|unacked| {
            let delivery = unacked.delivery(number, bytes);
            (unacked, delivery)
        });
        match shelved {
            true => (Way::Shelved(serial), row),
            false => (Way::Session(number), row),
        }
    }

    /// The row of a copy that is to travel with the archive row `kept`, of what the account sends;
    /// `None` for a session that cannot be resumed.
    pub fn entrust(&mut self, bytes: &[u8], kept: Vec<u8>) -> Option<Unacked> {
        self.token?;
        let serial = self.acks.as_mut()?.next_serial();
        // What comes later queues behind it.
        self.shelved.get_or_insert_default();
        Some(Unacked {
            row: self.key.row(Part::Unacked, &serial),
            kept: Some(kept),
            copy: true,
            size: size_of(bytes),
            others: 0,
        })
    }

    /// Hands a stanza to the session.
    pub fn deliver(&self, bytes: Bytes, number: Option<u32>) {
        self.send(ToSession::Deliver { bytes, number });
    }

    /// Keeps a delivery for a shelved device, a row when it is on disk; gives back what is dropped
    /// for it.
    pub fn shelve(&mut self, item: Item) -> Option<Bytes> {
        let can = self.session.is_some() && self.away.is_none();
        let item = match item {
            Item::Travelling(unacked, _) if !can => Item::Travelling(unacked, None),
            item => item,
        };
        let shelved = self.shelved.get_or_insert_default();
        shelved.shelf.push(item)
    }

    /// Bytes of what waits in the store for it.
    pub fn spilled(&self) -> usize {
        self.shelved.as_ref().map_or(0, |it| it.shelf.spilled())
    }

    /// Whether something shelved could be delivered now. If so it is being done from now on.
    pub fn begin_unshelving(&mut self, room: Room) -> bool {
        let can = self.session.is_some() && self.away.is_none();
        let (Some(acks), Some(shelved)) = (&self.acks, &mut self.shelved) else {
            return false;
        };
        let half = Room {
            stanzas: room.stanzas.div_ceil(2),
            bytes: room.bytes.div_ceil(2),
        };
        let begins = can && !shelved.reading && !acks.is_full(half);
        shelved.reading |= begins;
        begins
    }

    /// What is shelved and comes next.
    pub fn next_shelved(&mut self, batch: usize) -> Next {
        let Some(shelved) = self.shelved.as_mut() else {
            return Next::Nothing;
        };
        let mut items = Vec::new();
        while items.len() < batch
            && !shelved.shelf.is_abroad()
            && let Some(item) = shelved.shelf.pop()
        {
            items.push(item);
        }
        if !items.is_empty() {
            return Next::Items(items);
        }
        if shelved.shelf.is_abroad() {
            shelved.shelf.arrive();
            return Next::Abroad;
        }
        shelved.reading = false;
        if self.shelving == 0 {
            self.shelved = None;
        }
        Next::Nothing
    }

    /// The batch was delivered, or put back.
    pub fn end_unshelving(&mut self, back: Vec<Item>) {
        if let Some(shelved) = self.shelved.as_mut() {
            shelved.reading = false;
            back.into_iter()
                .rev()
                .for_each(|item| shelved.shelf.put_back(item));
        }
    }

    /// Numbers a delivery that was shelved and need not last.
    pub fn number(&mut self, size: usize) -> u32 {
        self.acks.get_or_insert_default().number(size, None)
    }

    /// Numbers a delivery whose row was shelved; that is written again as the answer says.
    pub fn number_row(&mut self, bytes: &[u8], unacked: Unacked) -> (u32, Delivery) {
        let acks = self.acks.get_or_insert_default();
        let number = acks.number(bytes.len(), Some(unacked.clone()));
        (number, unacked.delivery(Some(number), bytes))
    }

    /// The client has everything up to `h`: what need not be kept for it any more.
    pub fn acked(&mut self, h: u32) -> Vec<Unacked> {
        let Some(acks) = self.acks.as_mut() else {
            return Vec::new();
        };
        let mut acked = Vec::new();
        while acks
            .unacked
            .front()
            .is_some_and(|sent| !is_later(sent.number, h))
            && let Some(sent) = acks.unacked.pop_front()
        {
            acks.bytes -= sent.size as usize;
            acked.extend(sent.unacked.map(|unacked| *unacked));
        }
        if is_later(h, acks.heard) {
            acks.heard = h;
        }
        if acks.unacked.is_empty() {
            acks.unacked.shrink_to_fit();
        }
        acked
    }

    /// Whether `h` of a client that comes back is more than it was ever sent (XEP-0198 §6). A
    /// server that started again does not know: there the client's word holds.
    pub fn exceeds(&self, h: u32) -> Option<u32> {
        let sent = self.sent()?;
        is_later(h, sent).then_some(sent)
    }

    /// The session is there again, for a client that has `h`: counting goes on from that, and what
    /// it has not is delivered again behind it. `tail` need not last.
    pub fn revive(
        &mut self,
        (session, owner): (Addr<Session>, Arc<Owner>),
        h: u32,
        tail: Vec<(u32, Bytes)>,
    ) {
        self.session = Some(session);
        self.owner = Some(owner);
        let acks = self.acks.get_or_insert_default();
        acks.sent = h;
        acks.heard = h;
        acks.bytes = 0;
        let rows = acks.unacked.drain(..);
        let rows = rows.filter_map(|sent| Some((sent.number, Item::Row(*sent.unacked?))));
        let tail = tail.into_iter().filter(|(number, _)| is_later(*number, h));
        let mut lost: Vec<(u32, Item)> = rows
            .chain(tail.map(|(number, bytes)| (number, Item::Volatile(bytes, None))))
            .collect();
        lost.sort_by_key(|(number, _)| number.wrapping_sub(h));
        let shelved = self.shelved.get_or_insert_default();
        lost.into_iter()
            .rev()
            .for_each(|(_, item)| shelved.shelf.put_back(item));
    }

    /// A delivery that was numbered will not take place; those behind it move up. The rows that now
    /// say a wrong number, with the right one, as far as they can be written again: others say one
    /// too many, which after a crash may bring their stanza twice.
    pub fn retract(&mut self, number: u32) -> Vec<(Vec<u8>, Delivery)> {
        let Some(acks) = self.acks.as_mut() else {
            return Vec::new();
        };
        let Some(place) = acks.unacked.iter().position(|sent| sent.number == number) else {
            return Vec::new();
        };
        if let Some(sent) = acks.unacked.remove(place) {
            acks.bytes -= sent.size as usize;
        }
        acks.sent = acks.sent.wrapping_sub(1);
        let mut moved = Vec::new();
        for sent in acks.unacked.iter_mut().skip(place) {
            sent.number = sent.number.wrapping_sub(1);
            if let Some(unacked) = &sent.unacked
                && unacked.kept.is_some()
            {
                let delivery = unacked.delivery(Some(sent.number), &[]);
                moved.push((unacked.row.clone(), delivery));
            }
        }
        moved
    }

    /// By what the client of a session that waits for it may still ask for it, and how much of
    /// what it sent is handled.
    pub fn departed(&self) -> Option<([u8; 16], u32)> {
        self.away?;
        let handled = match (&self.past, &self.owner) {
            (Some(past), _) => Some(past.handled.count),
            (None, owner) => owner.as_ref().and_then(|it| it.handled()),
        };
        self.token.zip(handled)
    }

    /// All that must not be lost, with its number if it has one.
    pub fn unacked_mut(&mut self) -> impl Iterator<Item = (Option<u32>, &mut Unacked)> {
        let sent = self.acks.iter_mut().flat_map(|acks| &mut acks.unacked);
        let sent = sent.filter_map(|it| Some((Some(it.number), it.unacked.as_deref_mut()?)));
        let shelved = self.shelved.iter_mut();
        let shelved = shelved.flat_map(|it| it.shelf.unacked_mut());
        sent.chain(shelved.map(|it| (None, it)))
    }

    /// The rows there may be of it.
    pub fn traces(&self) -> Traces {
        Traces {
            key: self.key,
            resumable: self.token.is_some(),
            written: self.written,
        }
    }

    /// The session ended: what it never acknowledged and must not be lost, in order, and what else
    /// it never got.
    pub fn close(mut self) -> Vec<Item> {
        self.open = false;
        let acks = self.acks.take().map(|acks| acks.unacked);
        let sent = acks.unwrap_or_default().into_iter();
        let mut items: Vec<Item> = sent
            .filter_map(|sent| Some(Item::Row(*sent.unacked?)))
            .collect();
        items.extend(
            self.shelved
                .take()
                .into_iter()
                .flat_map(|it| it.shelf.into_items()),
        );
        items
    }
}

impl Drop for Link {
    /// A Hub that goes down for good takes its sessions with it; they say so and the clients come
    /// back.
    fn drop(&mut self) {
        if self.open {
            self.send(ToSession::HubGone);
        }
    }
}
