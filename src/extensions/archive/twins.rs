//! Messages that are sent again because their acknowledgement was lost: a client that could not
//! resume its session sends what it does not know to have arrived once more, with the same
//! `<origin-id/>` (XEP-0359 §3.2). The archive then has it once, under its first id.
//!
//! Ids that clients make up are not always unique: only what is equal counts. This is remembered
//! for a day at the most, of the latest messages, and not over a restart.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};

use rookery_actors::effect::Millis;
use rookery_actors::extension::{Direction, Pass};
use rookery_protocol::ns;

use super::standing::DAY;
use crate::kept::MessageId;

/// The most messages that are remembered.
const REMEMBERED: usize = 64;

/// What was kept lately.
#[derive(Default)]
pub(super) struct Twins {
    seen: VecDeque<(u64, MessageId)>,
    hasher: RandomState,
}

impl Twins {
    /// A digest of the message at hand, whichever device sent it; `None`: it cannot be told from
    /// one that was meant to be said twice.
    pub fn digest(&self, pass: &Pass) -> Option<u64> {
        let origin = pass.stanza.child(ns::STANZA_ID, "origin-id")?;
        origin.attr("id").filter(|id| !id.is_empty())?;
        let sender = pass.stanza.from.as_ref().map(|from| from.bare());
        let content = pass.stanza.clone().with_from(None).to_bytes();
        let outgoing = pass.direction == Direction::Out;
        let sender = sender.as_ref().map(|sender| sender.as_str());
        Some(self.hasher.hash_one((outgoing, sender, content)))
    }

    /// The id under which an equal message was kept.
    pub fn find(&self, digest: u64, now: Millis) -> Option<MessageId> {
        let found = self.seen.iter().rev().find(|(seen, _)| *seen == digest);
        let is_recent = |id: &MessageId| now < id.time() + DAY;
        found.map(|(_, id)| *id).filter(is_recent)
    }

    /// Remembers a message.
    pub fn remember(&mut self, digest: u64, id: MessageId) {
        if self.seen.len() >= REMEMBERED {
            self.seen.pop_front();
        }
        self.seen.push_back((digest, id));
    }
}
