//! Presence subscriptions (RFC 6121 §3): what the table of appendix A decides is done here, in the
//! order that `protocol::subscription` gives.

use rookery_protocol::jid::Jid;
use rookery_protocol::stanza::{PresenceType, Stanza};
use rookery_protocol::subscription::{self, Direction, Owed, Request, State, Step};
use smallvec::SmallVec;
use smol_str::SmolStr;

use super::account::{self, Account};
use super::mind::{Mind, Turn};
use super::presence::to_asker;
use crate::effect::Marks;
use crate::hub::devices::DeviceId;
use crate::site::random_id;

impl Mind {
    /// One of the four from an own device, between bare JIDs (RFC 6121 A.2).
    pub(super) fn subscription_out(
        &mut self,
        request: Request,
        stanza: Stanza,
        mut marks: Marks,
        turn: &mut Turn,
    ) {
        let Some(contact) = stanza.to.clone() else {
            return;
        };
        let (state, approved) = self.account.state(&contact);
        let step = subscription::step(state, approved, Direction::Outbound, request);
        let limits = account::limits(turn.site);
        if step.push
            && let Err(error) = self.account.roster.check_room(&contact, &limits)
        {
            return turn.fx.refuse(&stanza, &error);
        }
        if step.owed == Owed::Unavailable {
            self.part_from(&contact, turn);
        }
        if let (Request::Unsubscribe, Some(id)) = (request, &stanza.id) {
            self.farewells.said(&contact, id.clone(), turn.fx.now);
        }
        if step.pass {
            marks.lasting = true;
            match step.state == state && !step.push {
                true => turn.fx.forward(stanza, marks),
                false => {
                    let Account { id, owed, .. } = &mut self.account;
                    owed.forward(*id, stanza, marks, turn.fx);
                }
            }
        }
        self.settle(&contact, state, &step, turn);
    }

    /// One of the four from a contact (RFC 6121 A.3); the devices that were given it.
    pub(super) fn subscription_in(
        &mut self,
        request: Request,
        stanza: &Stanza,
        turn: &mut Turn,
    ) -> SmallVec<[DeviceId; 2]> {
        let mut reached = SmallVec::new();
        let Some(contact) = stanza.from.clone() else {
            return reached;
        };
        if request == Request::Unsubscribed
            && self.farewells.is_answer(&contact, stanza, turn.fx.now)
        {
            return reached;
        }
        let (state, approved) = self.account.state(&contact);
        let step = subscription::step(state, approved, Direction::Inbound, request);
        let begins = step.state.pending_in() && !state.pending_in();
        if begins && !self.account.keep_request(&contact, stanza, turn.fx) {
            return reached;
        }
        if step.owed == Owed::Unavailable {
            self.part_from(&contact, turn);
        }
        if step.pass {
            // RFC 6121 §3.1.3: requests to the available devices; §3.1.6, §3.2.3, §3.3.3: what
            // changes the roster to those that follow it.
            let asks = request == Request::Subscribe;
            let devices = turn.devices.iter();
            let told = devices.filter(|it| if asks { it.available() } else { it.interested });
            reached = told.map(|device| device.id).collect();
            let withheld = asks && self.is_withheld(stanza, turn);
            if withheld {
                reached.clear();
            }
            turn.fx.deliver(reached.iter().copied(), stanza, None);
            if begins && !withheld {
                self.each(turn, |role, view, fx| role.requested(view, fx));
            }
        }
        if let Some(answer) = step.answer {
            // Who unsubscribed has his half on the disk. Said again after a crash the answer would
            // be a denial of what he has asked for since.
            let lasts = answer == Request::Subscribed && (step.state != state || step.push);
            let answer = Stanza::presence(answer.into()).with_from(self.account.jid.clone());
            let answer = to_asker(answer, stanza);
            match lasts {
                true => self.owe(answer, turn),
                false => turn.fx.route(answer),
            }
        }
        self.settle(&contact, state, &step, turn);
        reached
    }

    /// One of the four that an extension says in the account's name.
    pub(super) fn say(&mut self, request: Request, contact: Jid, turn: &mut Turn) {
        let marks = Marks {
            stamp: turn.fx.now,
            ..Marks::default()
        };
        let stanza = self.of_own(request, &contact.bare());
        self.subscription_out(request, stanza, marks, turn);
    }

    /// Whether an extension settles this request before the devices see it.
    fn is_withheld(&mut self, request: &Stanza, turn: &mut Turn) -> bool {
        let mut withheld = false;
        self.each(turn, |role, view, fx| {
            withheld |= role.withholds(request, view, fx);
        });
        withheld
    }

    /// Sends one of the four from the bare JID, of the server's own accord and with what changes
    /// at hand; answers its id.
    pub(super) fn tell(&mut self, request: Request, contact: &Jid, turn: &mut Turn) -> SmolStr {
        let id = random_id();
        let stanza = self.of_own(request, contact).with_id(id.clone());
        self.owe(stanza, turn);
        id
    }

    /// One of the four from the bare JID.
    pub(super) fn of_own(&self, request: Request, contact: &Jid) -> Stanza {
        let stanza = Stanza::presence(PresenceType::from(request)).with_id(random_id());
        let stanza = stanza.with_from(self.account.jid.clone());
        stanza.with_to(contact.clone())
    }

    fn owe(&mut self, stanza: Stanza, turn: &mut Turn) {
        let Account { id, owed, .. } = &mut self.account;
        owed.send(*id, stanza, turn.fx);
    }

    /// What every step ends with: the rows, the push, and the presence that is owed.
    fn settle(&mut self, contact: &Jid, before: State, step: &Step, turn: &mut Turn) {
        if before.pending_in() && !step.state.pending_in() {
            self.account.drop_request(contact, turn.fx);
        }
        if step.push {
            let mut item = self.item(contact);
            item.apply(step);
            self.save(&item, turn);
        }
        if step.owed == Owed::Current {
            self.greet(contact, turn);
        }
    }
}

#[cfg(test)]
mod tests;
