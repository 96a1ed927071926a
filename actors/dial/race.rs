//! The order and the pace in which the addresses of one host are tried (RFC 8305 §4, §5): the
//! families in turn, IPv6 first, the next one a quarter of a second after the one before it, or
//! when that has failed. It knows no clock and no socket.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use crate::resolver::Family;

/// How long the next address waits for the one before it (RFC 8305 §5).
pub const STAGGER: Duration = Duration::from_millis(250);
/// No two begin closer together, were the first refused at once.
pub const LEAST: Duration = Duration::from_millis(10);
/// How long IPv4 waits for the addresses of IPv6 (§3).
pub const HEAD_START: Duration = Duration::from_millis(50);

/// A race between the addresses of a host.
pub struct Race {
    v6: VecDeque<SocketAddr>,
    v4: VecDeque<SocketAddr>,
    /// The family that was tried last.
    last: Family,
    /// Families whose addresses are being looked up.
    awaited: Vec<Family>,
    running: usize,
    /// Before this nothing begins.
    not_before: Instant,
    /// When the last attempt began.
    begun: Option<Instant>,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Connect to this address; then ask again.
    Start(SocketAddr),
    /// Wait until then, or for something to happen.
    Wait(Option<Instant>),
    /// All have failed.
    Lost,
}

impl Race {
    /// Both families are being looked up.
    pub fn new(now: Instant) -> Race {
        Race {
            v6: VecDeque::new(),
            v4: VecDeque::new(),
            last: Family::V4,
            awaited: vec![Family::V6, Family::V4],
            running: 0,
            not_before: now,
            begun: None,
        }
    }

    /// The addresses of a family have come, or it is known that there are none.
    pub fn found(&mut self, family: Family, addresses: Vec<SocketAddr>, now: Instant) {
        self.awaited.retain(|awaited| *awaited != family);
        match family {
            Family::V6 => self.v6.extend(addresses),
            Family::V4 => self.v4.extend(addresses),
        }
        if self.begun.is_none() {
            let waits = family == Family::V4 && self.awaited.contains(&Family::V6);
            self.not_before = if waits { now + HEAD_START } else { now };
        }
    }

    /// An attempt has failed: the next one need not wait for it.
    pub fn failed(&mut self, now: Instant) {
        self.running = self.running.saturating_sub(1);
        self.not_before = self.begun.map_or(now, |begun| begun + LEAST);
    }

    /// What is to be done.
    pub fn step(&mut self, now: Instant) -> Step {
        if self.v6.is_empty() && self.v4.is_empty() {
            let is_lost = self.running == 0 && self.awaited.is_empty();
            return if is_lost {
                Step::Lost
            } else {
                Step::Wait(None)
            };
        }
        if now < self.not_before {
            return Step::Wait(Some(self.not_before));
        }
        let first = match self.last {
            Family::V4 => self.v6.pop_front().or_else(|| self.v4.pop_front()),
            Family::V6 => self.v4.pop_front().or_else(|| self.v6.pop_front()),
        };
        let Some(address) = first else {
            return Step::Wait(None);
        };
        self.last = Family::of(address.ip());
        self.running += 1;
        self.begun = Some(now);
        self.not_before = now + STAGGER;
        Step::Start(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| address(text)).collect()
    }

    fn address(text: &str) -> SocketAddr {
        SocketAddr::new(text.parse().expect("an address"), 5269)
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn families_take_turns_a_quarter_of_a_second_apart() {
        let start = Instant::now();
        let mut race = Race::new(start);
        assert_eq!(race.step(start), Step::Wait(None));
        race.found(Family::V6, addresses(&["::1", "::2", "::3"]), start);
        race.found(Family::V4, addresses(&["1.1.1.1", "1.1.1.2"]), start);
        let expected = ["::1", "1.1.1.1", "::2", "1.1.1.2", "::3"];
        for (n, text) in expected.into_iter().enumerate() {
            let now = start + STAGGER * n as u32;
            if n > 0 {
                assert_eq!(race.step(now - ms(1)), Step::Wait(Some(now)));
            }
            assert_eq!(race.step(now), Step::Start(address(text)));
        }
        // Now all of them may still answer.
        let now = start + ms(60_000);
        for _ in expected {
            assert_eq!(race.step(now), Step::Wait(None));
            race.failed(now);
        }
        assert_eq!(race.step(now), Step::Lost);
    }

    #[test]
    fn one_that_failed_is_not_waited_for() {
        let start = Instant::now();
        let mut race = Race::new(start);
        race.found(Family::V6, addresses(&["::1", "::2", "::3"]), start);
        race.found(Family::V4, vec![], start);
        assert_eq!(race.step(start), Step::Start(address("::1")));
        race.failed(start);
        assert_eq!(race.step(start), Step::Wait(Some(start + LEAST)));
        assert_eq!(race.step(start + LEAST), Step::Start(address("::2")));
        race.failed(start + ms(100));
        assert_eq!(race.step(start + ms(100)), Step::Start(address("::3")));
    }

    #[test]
    fn ipv4_waits_a_moment_for_ipv6() {
        let start = Instant::now();
        let mut race = Race::new(start);
        race.found(Family::V4, addresses(&["1.1.1.1"]), start);
        assert_eq!(race.step(start), Step::Wait(Some(start + HEAD_START)));
        race.found(Family::V6, addresses(&["::1"]), start + ms(20));
        assert_eq!(race.step(start + ms(20)), Step::Start(address("::1")));
        // And not for ever: later ones take their turn.
        let mut race = Race::new(start);
        race.found(Family::V4, addresses(&["1.1.1.1", "1.1.1.2"]), start);
        let now = start + HEAD_START;
        assert_eq!(race.step(now), Step::Start(address("1.1.1.1")));
        race.found(Family::V6, addresses(&["::1"]), now + ms(1));
        assert_eq!(race.step(now + ms(1)), Step::Wait(Some(now + STAGGER)));
        assert_eq!(race.step(now + STAGGER), Step::Start(address("::1")));
    }

    #[test]
    fn nothing_is_lost_while_something_is_awaited() {
        let start = Instant::now();
        let mut race = Race::new(start);
        race.found(Family::V6, vec![], start);
        assert_eq!(race.step(start), Step::Wait(None));
        race.found(Family::V4, vec![], start);
        assert_eq!(race.step(start), Step::Lost);
    }
}
