//! What was delivered to a session that acknowledges, by number.

use std::collections::VecDeque;

use super::Room;
use crate::hub::shelf::Unacked;

/// Numbers of what is delivered to a session that acknowledges.
#[derive(Default)]
pub(super) struct Acks {
    /// The last part of the keys of its rows.
    pub(super) serial: u32,
    /// The number of the last stanza that was delivered.
    pub(super) sent: u32,
    /// The last `h`.
    pub(super) heard: u32,
    pub(super) unacked: VecDeque<Sent>,
    /// Bytes of what is unacknowledged.
    pub(super) bytes: usize,
}

pub(super) struct Sent {
    pub(super) number: u32,
    pub(super) size: u32,
    pub(super) unacked: Option<Box<Unacked>>,
}

impl Acks {
    pub(super) fn is_full(&self, room: Room) -> bool {
        self.unacked.len() >= room.stanzas || self.bytes >= room.bytes
    }

    pub(super) fn next_serial(&mut self) -> [u8; 4] {
        self.serial = self.serial.wrapping_add(1);
        self.serial.to_be_bytes()
    }

    pub(super) fn number(&mut self, size: usize, unacked: Option<Unacked>) -> u32 {
        self.sent = self.sent.wrapping_add(1);
        self.bytes += size;
        self.unacked.push_back(Sent {
            number: self.sent,
            size: u32::try_from(size).unwrap_or(u32::MAX),
            unacked: unacked.map(Box::new),
        });
        self.sent
    }
}
