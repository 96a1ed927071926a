//! What the extensions hear of sessions: what a device took or gave back, that its line is gone,
//! that a client is shut out.

use super::mind::{Mind, Turn};
use crate::clients::ClientKey;
use crate::effect::Effects;
use crate::hub::devices::{DeviceId, Devices};
use crate::site::Site;

impl Mind {
    /// What was delivered to a device that went without acknowledging it: keys of archive rows.
    pub fn returned(
        &mut self,
        kept: Vec<Vec<u8>>,
        devices: &mut Devices,
        site: &Site,
        fx: &mut Effects,
    ) {
        let turn = &mut Turn { devices, site, fx };
        self.each(turn, |role, view, fx| role.returned(&kept, view, fx));
    }

    /// What was delivered to a device that has acknowledged it: keys of archive rows.
    pub fn taken(
        &mut self,
        device: DeviceId,
        kept: &[Vec<u8>],
        devices: &mut Devices,
        site: &Site,
        fx: &mut Effects,
    ) {
        let turn = &mut Turn { devices, site, fx };
        self.each(turn, |role, view, fx| role.taken(device, kept, view, fx));
    }

    /// The stream of a device is gone, and its session waits for another.
    pub fn waits(
        &mut self,
        device: DeviceId,
        devices: &mut Devices,
        site: &Site,
        fx: &mut Effects,
    ) {
        let turn = &mut Turn { devices, site, fx };
        self.each(turn, |role, view, fx| role.waits(device, view, fx));
    }

    /// The server started again, and the session of a device waits; whether kept deliveries to it
    /// are not acknowledged.
    pub fn restored(
        &mut self,
        (device, owes): (DeviceId, bool),
        devices: &mut Devices,
        site: &Site,
        fx: &mut Effects,
    ) {
        let turn = &mut Turn { devices, site, fx };
        self.each(turn, |role, view, fx| role.restored(device, owes, view, fx));
    }

    /// Whether the extensions could be loaded again without missing anything.
    pub fn is_written(&self) -> bool {
        self.roles().all(|role| role.is_written())
    }

    /// A client of the account is shut out.
    pub fn revoked(
        &mut self,
        client: ClientKey,
        devices: &mut Devices,
        site: &Site,
        fx: &mut Effects,
    ) {
        let turn = &mut Turn { devices, site, fx };
        self.each(turn, |role, view, fx| role.revoked(client, view, fx));
    }
}
