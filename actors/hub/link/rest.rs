//! What is left of a link when the server stops, or the account falls asleep.

use rookery_storage::Frame;
use tokio::sync::oneshot;

use super::Link;
use crate::hub::perform::write;
use crate::hub::remembered::{Delivery, Whereabouts};
use crate::hub::shelf::size_of;
use crate::keys::Part;
use crate::messages::ToSession;
use crate::sleepers::Waiting;

impl Link {
    /// The server stops: the session goes on when it starts again.
    pub fn leave(&mut self, rows: &mut Frame) {
        self.open = false;
        self.note_down(rows);
    }

    /// What is shelved for it and need not last gets a row, too, in its place among the others.
    pub fn note_down(&mut self, rows: &mut Frame) {
        let (Some(_), Some(acks), Some(shelved)) = (self.token, &mut self.acks, &self.shelved)
        else {
            return;
        };
        for (bytes, serial) in shelved.shelf.volatile() {
            let serial = serial.unwrap_or_else(|| acks.next_serial());
            let delivery = Delivery {
                number: None,
                size: size_of(bytes),
                stanza: Whereabouts::Here(bytes.to_vec()),
            };
            let row = self.key.row(Part::Unacked, &serial);
            write(rows, &row, &delivery);
        }
    }

    /// Whether the session only waits for its client.
    pub fn only_waits(&self) -> bool {
        self.away.is_some() && self.until.is_some() && self.token.is_some()
    }

    /// Asks the session for what it knows and no row has; `None`: it is nothing but rows.
    pub fn ask_for_rows(&self) -> Option<oneshot::Receiver<Option<Frame>>> {
        self.session.as_ref()?;
        let (answer, rows) = oneshot::channel();
        self.send(ToSession::NoteDown(answer));
        Some(rows)
    }

    /// The rows say all: the session ends and goes on when its account wakes.
    pub fn fall_asleep(mut self) -> Option<Waiting> {
        self.open = false;
        self.send(ToSession::FallAsleep);
        Some(Waiting {
            session: self.key,
            until: self.until?,
            sent: self.sent(),
        })
    }

    /// The number of the last stanza that its client was sent, if anybody knows.
    pub(super) fn sent(&self) -> Option<u32> {
        match &self.past {
            Some(past) => past.sent,
            None => Some(self.acks.as_ref()?.sent),
        }
    }
}
