//! How fast an account may publish (attacks U11): each event may be told to a thousand contacts.

use std::collections::VecDeque;

use rookery_actors::effect::Millis;

/// The most people whose paces are known; who published longest ago is forgotten first.
const KNOWN: usize = 1_000;

/// A bucket: full at first, filling by the second.
#[derive(Default, Debug)]
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

/// The paces of all who publish at the service, the last at the end.
#[derive(Default)]
pub struct Paces(VecDeque<(String, Pace)>);

impl Paces {
    /// As [`Pace::spend`], of the one with this bare JID.
    pub fn spend(&mut self, who: &str, now: Millis, burst: u32, rate: u32) -> bool {
        let known = self.0.iter().rposition(|(it, _)| it == who);
        let known = known.and_then(|at| self.0.remove(at));
        let (who, mut pace) = known.unwrap_or_else(|| (who.to_owned(), Pace::default()));
        let is_in_pace = pace.spend(now, burst, rate);
        if self.0.len() >= KNOWN {
            self.0.pop_front();
        }
        self.0.push_back((who, pace));
        is_in_pace
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

    #[test]
    fn each_has_his_own_pace_and_the_first_of_too_many_is_forgotten() {
        let (mut paces, now) = (Paces::default(), 1_000_000);
        assert!(paces.spend("a", now, 1, 1) && paces.spend("b", now, 1, 1));
        assert!(!paces.spend("a", now, 1, 1));
        for number in 0..KNOWN - 1 {
            paces.spend(&number.to_string(), now, 1, 1);
        }
        assert!(!paces.spend("a", now, 1, 1), "spoken more lately than b");
        assert_eq!(paces.0.len(), KNOWN);
        assert!(paces.spend("b", now, 1, 1));
    }
}
