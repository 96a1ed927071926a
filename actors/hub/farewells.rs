//! The `unsubscribe` stanzas that an account sent lately.
//!
//! The contact's server answers them with `unsubscribed` (RFC 6121 A.3.2), under their id where it
//! is careful. Whoever takes a contact off the roster and asks it again at once has sent the new
//! request before that answer comes: it must not be taken for a denial.

use std::collections::VecDeque;

use rookery_protocol::jid::Jid;
use rookery_protocol::stanza::Stanza;
use smol_str::SmolStr;

use crate::effect::Millis;

/// How many are remembered; the oldest goes for a new one.
const MOST: usize = 32;

/// How long an answer may take.
const PATIENCE: Millis = 60_000;

/// Farewells without an answer, oldest first.
#[derive(Debug, Default)]
pub struct Farewells(VecDeque<Farewell>);

#[derive(Debug)]
struct Farewell {
    contact: Jid,
    id: SmolStr,
    sent: Millis,
}

impl Farewells {
    /// An `unsubscribe` with this id goes to `contact` (bare).
    pub fn said(&mut self, contact: &Jid, id: SmolStr, now: Millis) {
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back(Farewell {
            contact: contact.clone(),
            id,
            sent: now,
        });
    }

    /// Whether an `unsubscribed` from `contact` (bare) answers one of them; each has one answer.
    pub fn is_answer(&mut self, contact: &Jid, stanza: &Stanza, now: Millis) -> bool {
        self.0.retain(|it| now.saturating_sub(it.sent) < PATIENCE);
        let answered = self
            .0
            .iter()
            .position(|it| it.contact == *contact && stanza.id.as_ref() == Some(&it.id));
        answered.and_then(|index| self.0.remove(index)).is_some()
    }
}
