//! What becomes of each delivery of a decision: its number, the row that keeps it, and whether it
//! waits for the disk.

use bytes::Bytes;
use rookery_storage::Frame;
use smallvec::SmallVec;

use super::Hub;
use super::perform::{Waits, What, write};
use crate::effect::Keep;
use crate::hub::devices::DeviceId;
use crate::hub::link::Way;
use crate::hub::shared::Shared;
use crate::hub::shelf::Item;

/// A decision that is being looked through.
pub(super) struct Plan {
    pub frame: Frame,
    /// Something was decided that is on disk, or will be.
    decided: bool,
    /// Rows go with a stanza: those of its copies, too.
    leaves: bool,
    pub along: Frame,
    shared: Shared,
    /// Everything waits until that is on disk.
    pub hold_all: bool,
    pub now: SmallVec<[What; 4]>,
    /// What waits, and whether it is of this decision.
    pub hold: Vec<(bool, What)>,
}

impl Plan {
    pub fn new(frame: Frame, kind: Waits, decided: bool, leaves: bool, shared: Shared) -> Plan {
        let hold_all = decided && kind == Waits::All;
        #[cfg(feature = "seeded-bugs")]
        let hold_all = hold_all && !rookery_storage::seeded_bugs::is_on("result-before-commit");
        Plan {
            frame,
            decided,
            leaves,
            along: Frame::new(),
            shared,
            hold_all,
            now: SmallVec::new(),
            hold: Vec::new(),
        }
    }
}

impl Hub {
    /// Plans a delivery, and before it what is held for the device.
    pub(super) fn plan(&mut self, device: DeviceId, bytes: Bytes, keep: Keep, plan: &mut Plan) {
        self.plan_release(device, plan);
        self.plan_one(device, bytes, keep, plan);
    }

    /// Plans one delivery.
    pub(super) fn plan_one(&mut self, device: DeviceId, bytes: Bytes, keep: Keep, plan: &mut Plan) {
        let hold_all = plan.hold_all;
        let keep = match keep {
            Keep::Archived(_) if !plan.decided => Keep::No,
            Keep::Sent(_) if !plan.decided && !plan.leaves => Keep::No,
            Keep::No if hold_all => Keep::Here,
            keep => keep,
        };
        let own = hold_all || matches!(keep, Keep::Archived(_));
        let along = plan.leaves.then_some(&mut plan.along);
        let keep = (plan.shared.others(&keep), keep);
        match self.keep(device, &bytes, keep, hold_all, (&mut plan.frame, along)) {
            Some((what, true)) => plan.hold.push((own, what)),
            Some((what, false)) => plan.now.push(what),
            None => {}
        }
    }

    /// Gives a delivery its number, or parks it, adds the row that keeps it until it is
    /// acknowledged, and says whether it must wait.
    fn keep(
        &mut self,
        device: DeviceId,
        bytes: &Bytes,
        (others, keep): (u8, Keep),
        hold_all: bool,
        (frame, along): (&mut Frame, Option<&mut Frame>),
    ) -> Option<(What, bool)> {
        let keep = match (keep, along) {
            (Keep::Sent(kept), Some(along)) => match self.entrust(device, bytes, kept, along) {
                Some(entrusted) => return Some(entrusted),
                None => Keep::No,
            },
            (keep, _) => keep,
        };
        let room = self.room();
        #[cfg(feature = "seeded-bugs")]
        let is_message = matches!(keep, Keep::Archived(_));
        let (_, link) = self.links.iter_mut().find(|(id, _)| *id == device)?;
        let (way, row) = link.assign(bytes, (others, keep), room);
        #[cfg(feature = "seeded-bugs")]
        let mut nowhere = Frame::new();
        #[cfg(feature = "seeded-bugs")]
        let frame = match is_message && rookery_storage::seeded_bugs::is_on("lose-unacked") {
            true => &mut nowhere,
            false => frame,
        };
        let lasts = row.is_some();
        let unacked = row.map(|(unacked, delivery)| {
            write(frame, &unacked.row, &delivery);
            unacked
        });
        let bytes = bytes.clone();
        let what = match (way, unacked) {
            (Way::Session(number), _) => What::Deliver {
                device,
                bytes,
                number,
            },
            (Way::Shelved(serial), unacked) => {
                link.shelving += 1;
                let item = unacked.map_or(Item::Volatile(bytes, Some(serial)), Item::Row);
                What::Shelve { device, item }
            }
        };
        let waits = hold_all || link.held > 0 || lasts;
        link.held += u32::from(waits);
        Some((what, waits))
    }

    /// A copy of a stanza that takes rows along: its own row goes with them, and the device gets it
    /// when they have arrived, so that it has a copy of what was sent and of nothing else. `None`
    /// for one that cannot come back.
    fn entrust(
        &mut self,
        device: DeviceId,
        bytes: &Bytes,
        kept: Vec<u8>,
        along: &mut Frame,
    ) -> Option<(What, bool)> {
        let (_, link) = self.links.iter_mut().find(|(id, _)| *id == device)?;
        let unacked = link.entrust(bytes, kept)?;
        write(along, &unacked.row, &unacked.delivery(None, &[]));
        link.shelving += 1;
        let waits = link.held > 0;
        link.held += u32::from(waits);
        let item = Item::Travelling(unacked, Some(bytes.clone()));
        Some((What::Shelve { device, item }, waits))
    }
}
