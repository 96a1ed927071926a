//! The shell's side of one device: its Session, and what was delivered to it and not acknowledged
//! yet.

use std::collections::VecDeque;

use actix::prelude::*;
use bytes::Bytes;

use crate::keys::{self, AccountId, Kind};
use crate::messages::ToSession;
use crate::session::Session;
use crate::site::random;

/// A device's Session, as its Hub holds it.
pub struct Link {
    session: Addr<Session>,
    acks: Option<Box<Acks>>,
    /// Deliveries to it that wait for the disk; what comes later queues behind them.
    pub held: u32,
    open: bool,
}

/// Numbers of what is delivered to a session that acknowledges (XEP-0198).
struct Acks {
    /// Names the session in the keys of its rows: random, so that no later session meets them.
    id: u64,
    /// The last part of the keys of its rows.
    serial: u32,
    /// The number of the last stanza that was delivered.
    sent: u32,
    /// What was delivered under which number and must not be lost.
    unacked: VecDeque<(u32, Unacked)>,
}

/// A delivery that must not be lost.
#[derive(Debug)]
pub struct Unacked {
    /// The key of the row that is there until the delivery is acknowledged.
    pub row: Vec<u8>,
    /// The key of the archive row that holds the stanza.
    pub kept: Vec<u8>,
}

impl Link {
    /// A link to a session that does not acknowledge yet.
    pub fn new(session: Addr<Session>) -> Link {
        Link {
            session,
            acks: None,
            held: 0,
            open: true,
        }
    }

    /// Tells the session something.
    pub fn send(&self, message: ToSession) {
        self.session.do_send(message);
    }

    /// Whether the session is still there.
    pub fn is_alive(&self) -> bool {
        self.session.connected()
    }

    /// Whether deliveries are counted.
    pub fn counts(&self) -> bool {
        self.acks.is_some()
    }

    /// Counts from here on.
    pub fn count(&mut self) {
        let id = u64::from_be_bytes(random());
        self.acks = Some(Box::new(Acks {
            id,
            serial: 0,
            sent: 0,
            unacked: VecDeque::new(),
        }));
    }

    /// The row that keeps a delivery of the archive row `kept` until the session acknowledges it,
    /// if it ever does.
    pub fn keeps(&mut self, account: AccountId, kept: Vec<u8>) -> Option<Unacked> {
        let acks = self.acks.as_mut()?;
        acks.serial = acks.serial.wrapping_add(1);
        let mut rest = acks.id.to_be_bytes().to_vec();
        rest.extend_from_slice(&acks.serial.to_be_bytes());
        Some(Unacked {
            row: keys::row(account, Kind::UNACKED, &rest),
            kept,
        })
    }

    /// Hands a stanza to the session, numbered if deliveries are counted.
    pub fn deliver(&mut self, bytes: Bytes, unacked: Option<Unacked>) {
        let number = self.acks.as_mut().map(|acks| {
            acks.sent = acks.sent.wrapping_add(1);
            acks.unacked.extend(unacked.map(|it| (acks.sent, it)));
            acks.sent
        });
        self.send(ToSession::Deliver { bytes, number });
    }

    /// The client has everything up to `h`: what need not be kept for it any more.
    pub fn acked(&mut self, h: u32) -> Vec<Unacked> {
        let Some(acks) = self.acks.as_mut() else {
            return Vec::new();
        };
        let mut acked = Vec::new();
        // Modulo 2^32 (XEP-0198 §4): numbers up to `h` lie at most half the circle behind it.
        while let Some((number, _)) = acks.unacked.front()
            && h.wrapping_sub(*number) < u32::MAX / 2
        {
            acked.extend(acks.unacked.pop_front().map(|(_, unacked)| unacked));
        }
        if acks.unacked.is_empty() {
            acks.unacked.shrink_to_fit();
        }
        acked
    }

    /// Whether this row keeps something that was delivered to this session.
    pub fn keeps_by(&self, row: &[u8]) -> bool {
        let Some(acks) = &self.acks else { return false };
        acks.unacked.iter().any(|(_, unacked)| unacked.row == row)
    }

    /// The session ended: the rows of what it never acknowledged, and the archive rows they stand
    /// for.
    pub fn close(mut self) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        self.open = false;
        let unacked = self
            .acks
            .take()
            .map(|acks| acks.unacked)
            .unwrap_or_default();
        unacked
            .into_iter()
            .map(|(_, unacked)| (unacked.row, unacked.kept))
            .unzip()
    }
}

impl Drop for Link {
    /// A Hub that goes down for good takes its sessions with it; they say so and the clients come
    /// back.
    fn drop(&mut self) {
        if self.open {
            self.session.do_send(ToSession::HubGone);
        }
    }
}
