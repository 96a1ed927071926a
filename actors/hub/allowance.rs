//! How much an account may say to strangers: a bucket that fills by the minute (attacks C24).

use rookery_protocol::jid::Jid;
use rookery_protocol::stanza::{Kind, MessageType, PresenceType, Stanza};

use super::mind::{Mind, Turn};
use crate::effect::Millis;
use crate::hub::devices::DeviceId;

const MINUTE: Millis = 60_000;

/// A bucket: full at first, holding what a minute brings.
#[derive(Default)]
pub struct Allowance {
    /// When it would have been empty and begun to fill.
    empty_at: Millis,
}

impl Allowance {
    /// Takes one out, if there is one; `per_minute` at once, then as many a minute.
    fn spend(&mut self, now: Millis, per_minute: u32) -> bool {
        let price = MINUTE / Millis::from(per_minute.max(1));
        let floor = now.saturating_sub(price * Millis::from(per_minute));
        let empty_at = self.empty_at.max(floor);
        // A clock that was set back must not silence anybody for longer than a minute.
        let empty_at = empty_at.min(now);
        let enough = per_minute > 0 && now - empty_at >= price;
        self.empty_at = empty_at + if enough { price } else { 0 };
        enough
    }
}

impl Mind {
    /// Whether a device may send this: messages and `subscribe` to strangers are counted
    /// (XEP-0205 §4.6), nothing else is.
    pub(super) fn may_say(&mut self, device: DeviceId, stanza: &Stanza, turn: &Turn) -> bool {
        let counted = match stanza.kind {
            Kind::Message(kind) => kind != MessageType::Error,
            Kind::Presence(kind) => kind == PresenceType::Subscribe,
            Kind::Iq(_) => false,
        };
        let Some(to) = stanza.to.as_ref().filter(|_| counted) else {
            return true;
        };
        let Some(device) = turn.devices.get(device) else {
            return true;
        };
        if device.trusted || self.knows(to, device.directed.as_slice()) || to.local().is_none() {
            return true;
        }
        let per_minute = turn.site.settings.limits.strangers_per_minute;
        self.strangers.spend(turn.fx.now, per_minute)
    }

    /// Ourselves, a contact, or somebody a device sent its presence: a room it joined.
    fn knows(&self, to: &Jid, directed: &[Jid]) -> bool {
        self.account.is_self(to)
            || self.account.is_contact(to)
            || directed.iter().any(|it| it.bare_str() == to.bare_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_as_much_as_the_minute_brings() {
        let mut bucket = Allowance::default();
        let now = 1_000_000;
        assert!((0..50).all(|_| bucket.spend(now, 50)));
        assert!(!bucket.spend(now, 50));
        assert!(!bucket.spend(now + 1_199, 50));
        assert!(bucket.spend(now + 1_200, 50));
        assert!(!bucket.spend(now + 1_200, 50));
        let later = now + 10 * MINUTE;
        assert!((0..50).all(|_| bucket.spend(later, 50)));
        assert!(!bucket.spend(later, 50));
    }

    #[test]
    fn a_clock_that_is_set_back_silences_nobody_for_long() {
        let mut bucket = Allowance::default();
        assert!(bucket.spend(100 * MINUTE, 50));
        let now = 10 * MINUTE;
        assert!(!bucket.spend(now, 50));
        assert!(bucket.spend(now + 1_200, 50));
    }

    #[test]
    fn nothing_allowed_is_nothing_said() {
        assert!(!Allowance::default().spend(MINUTE, 0));
    }
}
