//! What of a session lasts when it is not in memory: the server stops, or the account sleeps.

use actix::prelude::*;
use rookery_storage::Frame;

use super::Session;
use crate::keeper::Tell;
use crate::receipt::Receipt;

impl Session {
    /// Writes what a client that comes back would miss and no row has yet.
    pub(super) fn save(&mut self) {
        if let Some(rows) = self.rows() {
            let keeper = &self.realm.keeper;
            keeper.commit(rows, Receipt::none(), Tell::Nobody);
        }
    }

    /// The same as rows for its Hub to write, if nothing is open and nobody is there.
    pub(super) fn note_down(&self) -> Option<Frame> {
        let is_settled = self.owner.settled() == self.owner.admitted();
        (self.is_waiting() && is_settled)
            .then(|| self.rows())
            .flatten()
    }

    /// They are on the disk.
    pub(super) fn fall_asleep(&mut self, ctx: &mut Context<Session>) {
        self.over = true;
        self.owner.leave();
        ctx.stop();
    }

    fn rows(&self) -> Option<Frame> {
        self.acks.as_ref()?.rows(self.owner.settled())
    }
}
