//! Messages for the account: who gets them (RFC 6121 §8.5), and what happens to those nobody gets.

use rookery_protocol::delivery::Delivery;
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::stanza::Stanza;
use smallvec::SmallVec;

use super::mind::{Mind, Turn};
use crate::effect::Marks;
use crate::extension::{Direction, Kept, Pass};
use crate::hub::devices::{Device, DeviceId};

impl Mind {
    /// A message for the account or one of its devices.
    pub(super) fn message_in(&mut self, mut stanza: Stanza, mut marks: Marks, turn: &mut Turn) {
        if !self.admit(Direction::In, &mut stanza, &mut marks, turn) {
            return;
        }
        if let Some(topic) = &marks.topic {
            return self.tell_interested(&stanza, topic, turn);
        }
        let (delivery, named) = self.delivery(&stanza, turn);
        // What nobody gets is not kept either: its sender is told so, or nobody ever asks for it.
        match delivery {
            Delivery::Refuse => {
                let error = StanzaError::new(Condition::ServiceUnavailable);
                return turn.fx.refuse(&stanza, &error);
            }
            Delivery::Drop => return,
            _ => self.prepare(Direction::In, &mut stanza, &mut marks, turn),
        }
        let devices = &turn.devices;
        let mut reached: SmallVec<[DeviceId; 2]> = match delivery {
            Delivery::Device => named.into_iter().collect(),
            Delivery::Willing => devices.reachable().map(|device| device.id).collect(),
            _ => SmallVec::new(),
        };
        // Copies of a kept message were given first; they are as good as the message.
        let copied: SmallVec<[DeviceId; 2]> = match &marks.kept {
            Some(key) => turn.fx.given(key).collect(),
            None => SmallVec::new(),
        };
        let devices = reached.iter().copied();
        match (&marks.kept, &marks.source) {
            (None, Some(source)) => turn.fx.deliver_from(devices, &stanza, source),
            (kept, _) => turn.fx.deliver(devices, &stanza, kept.clone()),
        }
        reached.extend(copied);
        if delivery == Delivery::Store && !self.store(&mut stanza, &mut marks, turn) {
            return;
        }
        turn.fx.lasting |= marks.lasting;
        let origin = turn.fx.origin();
        self.each(turn, |role, view, fx| {
            let pass = &mut Pass {
                stanza: &mut stanza,
                direction: Direction::In,
                origin,
                marks: &mut marks,
            };
            role.after(pass, &reached, view, fx);
        });
    }

    /// A message with a topic: to each available device that wants it.
    fn tell_interested(&self, stanza: &Stanza, topic: &str, turn: &mut Turn) {
        let wanted = |device: &&Device| {
            let wants = self.wants(device.id, turn);
            wants.is_some_and(|topics| topics.contains(topic))
        };
        let interested: Vec<&Device> = turn.devices.available().filter(wanted).collect();
        let each = |device: &Device| stanza.clone().with_to(device.jid.clone());
        turn.fx.deliver_each(interested, each);
    }

    /// Nobody is there to take it: an extension keeps it until somebody is, or it goes back
    /// (RFC 6121 §8.5.2.2.1). Where the queue is full the sender may try again later.
    fn store(&mut self, stanza: &mut Stanza, marks: &mut Marks, turn: &mut Turn) -> bool {
        let origin = turn.fx.origin();
        let mut kept = Kept::No;
        self.each(turn, |role, view, fx| {
            if kept == Kept::No {
                let pass = &mut Pass {
                    stanza,
                    direction: Direction::In,
                    origin,
                    marks,
                };
                kept = role.undelivered(pass, view, fx);
            }
        });
        let condition = match kept {
            Kept::Yes => return true,
            Kept::No => Condition::ServiceUnavailable,
            Kept::Full => Condition::ResourceConstraint,
        };
        turn.fx.refuse(stanza, &StanzaError::new(condition));
        false
    }
}

#[cfg(test)]
mod tests;
