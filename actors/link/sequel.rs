//! How a new line goes on with the session of the one before it (XEP-0198 §5), or begins another.

use std::time::Instant;

use rookery_protocol::stream_management::handled_count_too_high;
use rookery_storage::Frame;

use super::Link;
use crate::messages::{Sequel, ToStream};
use crate::receipt::{Receipt, is_later};
use crate::site::random;

impl Link {
    /// Stanzas may be written from here on, behind what the other server has.
    pub(super) fn up(&mut self, acks: bool, sequel: Sequel) {
        self.course.came(Instant::now());
        let Sequel { had, resumed, id } = sequel;
        let frame = match (had, self.outbox.sent()) {
            (Some(h), Some(sent)) if resumed && is_later(h, sent) => return self.too_high(h, sent),
            (Some(h), _) => self.outbox.had(h),
            (None, _) => Frame::new(),
        };
        self.later.append(frame);
        if resumed && !self.outbox.is_whole(had.unwrap_or_default()) {
            // It has told what it could: the next line has another.
            self.later.append(self.outbox.end());
            return self.leave(None);
        }
        let frame = match (resumed, id) {
            (true, _) => self.outbox.resume(had.unwrap_or_default()),
            (false, Some(id)) => self.outbox.begin(id, u32::from_be_bytes(random())),
            (false, None) => self.outbox.end(),
        };
        let waits = !frame.is_empty();
        if waits {
            self.commit(frame, Receipt::none());
        }
        if let Some(line) = self.line.as_mut() {
            line.acks = Some(acks);
            line.ready = if waits { self.ticket } else { 0 };
        }
    }

    /// The other server says that it has more of the session than there was (XEP-0198 §6).
    fn too_high(&mut self, h: u32, sent: u32) {
        self.later.append(self.outbox.end());
        if let Some(line) = &self.line {
            let error = handled_count_too_high(h, sent.into());
            line.stream.do_send(ToStream::Close(error));
        }
    }
}
