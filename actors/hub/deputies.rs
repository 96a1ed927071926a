//! Who acts for an account beside its devices: components that extensions let do so.

use rookery_protocol::stanza::Stanza;

use super::devices::Devices;
use super::mind::{Mind, Turn};
use crate::components::Component;
use crate::effect::{Effects, Marks};
use crate::extension::{Direction, Fellows, View};
use crate::site::Site;

impl Mind {
    /// A stanza for the account, or one that it is to send.
    pub(super) fn arrived(&mut self, stanza: Stanza, marks: Marks, turn: &mut Turn) {
        match marks.on_behalf {
            true => self.on_behalf(stanza, marks, turn),
            false => self.take(stanza, marks, turn),
        }
    }

    /// A message that somebody may send in the account's name: all its devices hear of it.
    fn on_behalf(&mut self, mut stanza: Stanza, mut marks: Marks, turn: &mut Turn) {
        marks.on_behalf = false;
        if self.pass(Direction::Out, &mut stanza, &mut marks, turn) {
            self.send(stanza, marks, turn);
        }
    }

    /// Whether an extension lets the sender of a request manage the roster.
    pub(super) fn may_manage(&self, request: &Stanza, turn: &Turn) -> Option<bool> {
        let view = View {
            account: &self.account,
            devices: &*turn.devices,
            site: turn.site,
            fellows: Fellows::default(),
        };
        self.roles().find_map(|role| role.may_manage(request, view))
    }

    /// A component that has rights has connected.
    pub fn component_came(
        &mut self,
        component: &Component,
        devices: &mut Devices,
        site: &Site,
        fx: &mut Effects,
    ) {
        let turn = &mut Turn { devices, site, fx };
        self.each(turn, |role, view, fx| {
            role.component_came(component, view, fx)
        });
    }
}
