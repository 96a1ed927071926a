//! How fast an account may publish (attacks U11): each event may be told to a thousand contacts.

use rookery_actors::effect::Millis;

/// A bucket: full at first, filling by the second.
#[derive(Default)]
pub struct Pace {
    /// When it would have been empty and begun to fill.
    empty_at: Millis,
}

impl Pace {
    /// Takes one out, if there is one: `burst` at once, then `rate` a second.
    pub fn spend(&mut self, now: Millis, burst: u32, rate: u32) -> bool {
        let price = 1_000 / Millis::from(rate.clamp(1, 1_000));
        let floor = now.saturating_sub(price * Millis::from(burst));
        // A clock that was set back must not silence anybody for long.
        let empty_at = self.empty_at.max(floor).min(now);
        let enough = burst > 0 && now - empty_at >= price;
        self.empty_at = empty_at + if enough { price } else { 0 };
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let (mut pace, now) = (Pace::default(), 1_000_000);
        assert!((0..200).all(|_| pace.spend(now, 200, 5)));
        assert!(!pace.spend(now, 200, 5));
        assert!(!pace.spend(now + 199, 200, 5));
        assert!(pace.spend(now + 200, 200, 5));
        assert!(!pace.spend(now + 200, 200, 5));
    }
}
