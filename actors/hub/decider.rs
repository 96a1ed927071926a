//! What the shell asks of every struct that decides in a Hub, whatever it is the Hub of. What only
//! an account can be asked the shell asks its [`Mind`].

use rookery_protocol::stanza::Stanza;

use super::mind::Mind;
use super::server;
use crate::admin::Outcome;
use crate::effect::{Administer, Effects, Marks, Read, Row};
use crate::hub::devices::Devices;
use crate::site::Site;

/// The struct that decides.
#[allow(unused_variables, reason = "the names tell what each is for")]
pub(super) trait Decider {
    /// A stanza for whom the Hub is of.
    fn incoming(
        &mut self,
        stanza: Stanza,
        marks: Marks,
        devices: &mut Devices,
        site: &Site,
        fx: &mut Effects,
    );

    /// Index of the extension that answers this IQ: others to the same wait while it reads.
    fn answerer(&self, stanza: &Stanza, site: &Site) -> Option<usize> {
        None
    }

    /// The rows that an extension asked for.
    fn read_done(
        &mut self,
        read: Read,
        rows: Vec<Row>,
        devices: &mut Devices,
        site: &Site,
        fx: &mut Effects,
    ) {
    }

    /// The disk did not give them.
    fn unread(&mut self, read: Read, devices: &mut Devices, site: &Site, fx: &mut Effects) {}

    /// What became of an administrative command that an extension asked for.
    fn administered(
        &mut self,
        order: Administer,
        outcome: Outcome,
        devices: &mut Devices,
        site: &Site,
        fx: &mut Effects,
    ) {
    }

    /// The time that an extension asked for is over.
    fn woken(&mut self, extension: usize, devices: &mut Devices, site: &Site, fx: &mut Effects) {}
}

impl Decider for Mind {
    fn incoming(
        &mut self,
        stanza: Stanza,
        marks: Marks,
        devices: &mut Devices,
        site: &Site,
        fx: &mut Effects,
    ) {
        Mind::incoming(self, stanza, marks, devices, site, fx);
    }

    fn answerer(&self, stanza: &Stanza, site: &Site) -> Option<usize> {
        Mind::answerer(self, stanza, site)
    }

    fn read_done(
        &mut self,
        read: Read,
        rows: Vec<Row>,
        devices: &mut Devices,
        site: &Site,
        fx: &mut Effects,
    ) {
        Mind::read_done(self, read, rows, devices, site, fx);
    }

    fn unread(&mut self, read: Read, devices: &mut Devices, site: &Site, fx: &mut Effects) {
        Mind::unread(self, read, devices, site, fx);
    }

    fn administered(
        &mut self,
        order: Administer,
        outcome: Outcome,
        devices: &mut Devices,
        site: &Site,
        fx: &mut Effects,
    ) {
        Mind::administered(self, order, outcome, devices, site, fx);
    }

    fn woken(&mut self, extension: usize, devices: &mut Devices, site: &Site, fx: &mut Effects) {
        Mind::woken(self, extension, devices, site, fx);
    }
}

/// A domain of the server itself: it remembers nothing.
pub(super) struct Domain;

impl Decider for Domain {
    fn incoming(
        &mut self,
        stanza: Stanza,
        _: Marks,
        _: &mut Devices,
        site: &Site,
        fx: &mut Effects,
    ) {
        server::incoming(&stanza, site, fx);
    }

    fn administered(
        &mut self,
        order: Administer,
        outcome: Outcome,
        _: &mut Devices,
        site: &Site,
        fx: &mut Effects,
    ) {
        server::administered(&order, outcome, site, fx);
    }
}
