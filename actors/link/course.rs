//! When another server is called, and when it is left alone for a while. Pure: time and chance are
//! arguments.

use std::time::{Duration, Instant};

use rookery_protocol::negotiation::Refusal;

use crate::admin::servers::State as Shown;

/// How long to wait between tries.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// After the first failure.
    pub first: Duration,
    /// Never longer than this.
    pub longest: Duration,
}

/// Where a Link stands with its server.
#[derive(Debug)]
pub struct Course {
    pace: Pace,
    state: State,
    /// Failures in a row.
    failures: u32,
    /// The last one.
    refusal: Option<Refusal>,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// Nobody has called.
    Idle,
    /// Being called.
    Calling,
    /// Stanzas may be written.
    Up(Instant),
    /// Left alone until then.
    Resting(Instant),
}

impl Course {
    /// A server that nobody has called yet.
    pub fn new(pace: Pace) -> Course {
        Course {
            pace,
            state: State::Idle,
            failures: 0,
            refusal: None,
        }
    }

    /// Whether to call it now; if so, it is being called from here on.
    pub fn calls(&mut self, now: Instant) -> bool {
        let free = match self.state {
            State::Idle => true,
            State::Resting(until) => until <= now,
            State::Calling | State::Up(_) => false,
        };
        if free {
            self.state = State::Calling;
        }
        free
    }

    /// Stanzas may be written.
    pub fn came(&mut self, now: Instant) {
        self.state = State::Up(now);
        self.refusal = None;
    }

    /// Whether stanzas may be written.
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Up(_))
    }

    /// It could not be reached, or the line broke. `chance` is from 0 to 1, so that not all who
    /// lost a server call it at once. Answers how long it is left alone.
    pub fn failed(&mut self, refusal: Refusal, now: Instant, chance: f64) -> Duration {
        // A line that held for a while says that the server is well.
        if let State::Up(since) = self.state
            && now.saturating_duration_since(since) >= self.pace.first
        {
            self.failures = 0;
        }
        let doubled = self.pace.first.saturating_mul(1 << self.failures.min(16));
        // The first try after a line that held comes soon: servers restart.
        let rest = match self.state {
            State::Up(_) if self.failures == 0 => self.pace.first / 10,
            _ => doubled.min(self.pace.longest),
        };
        let rest = rest.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0);
        self.failures = self.failures.saturating_add(1);
        self.refusal = Some(refusal);
        self.state = State::Resting(now + rest);
        rest
    }

    /// The line ended in peace: nobody needs it.
    pub fn ended(&mut self) {
        self.state = State::Idle;
        self.failures = 0;
    }

    /// An administrator wants it tried at once, as if nothing had been wrong.
    pub fn hurry(&mut self) {
        self.failures = 0;
        if let State::Resting(_) = self.state {
            self.state = State::Idle;
        }
    }

    /// Where it stands, for people.
    pub fn shown(&self, now: Instant) -> Shown {
        match self.state {
            State::Idle => Shown::Idle,
            State::Calling => Shown::Calling,
            State::Up(_) => Shown::Connected,
            State::Resting(until) => match until.saturating_duration_since(now) {
                Duration::ZERO => Shown::Idle,
                // A last part of a second is one, too.
                rest => Shown::Resting {
                    seconds: rest.as_millis().div_ceil(1000) as u64,
                },
            },
        }
    }

    /// How often it went wrong since it went well, and how the last time.
    pub fn trouble(&self) -> (u32, Option<&Refusal>) {
        (self.failures, self.refusal.as_ref())
    }

    /// What went wrong, while the server is left alone: stanzas that cannot wait need not.
    pub fn refuses(&self, now: Instant) -> Option<&Refusal> {
        match self.state {
            State::Resting(until) if until > now => self.refusal.as_ref(),
            _ => None,
        }
    }

    /// Until when it is left alone.
    pub fn rests_until(&self) -> Option<Instant> {
        match self.state {
            State::Resting(until) => Some(until),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        first: Duration::from_secs(30),
        longest: Duration::from_secs(3600),
    };

    fn refusal() -> Refusal {
        Refusal::Timeout
    }

    #[test]
    fn a_dead_server_is_called_less_and_less_often() {
        let mut now = Instant::now();
        let mut course = Course::new(PACE);
        let mut rests = Vec::new();
        for _ in 0..9 {
            assert!(course.calls(now) && !course.calls(now));
            let rest = course.failed(refusal(), now, 1.0);
            assert!(!course.calls(now + rest - Duration::from_millis(1)));
            assert_eq!(course.refuses(now), Some(&refusal()));
            now += rest;
            assert_eq!(course.refuses(now), None);
            rests.push(rest.as_secs());
        }
        assert_eq!(rests, [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
    }

    #[test]
    fn not_all_call_at_once() {
        let now = Instant::now();
        let rest = |chance| Course::new(PACE).failed(refusal(), now, chance);
        assert_eq!(rest(0.0), Duration::from_secs(15));
        assert_eq!(rest(1.0), Duration::from_secs(30));
    }

    #[test]
    fn a_line_that_held_is_called_again_soon_and_one_that_did_not_is_not() {
        let now = Instant::now();
        let mut course = Course::new(PACE);
        course.failed(refusal(), now, 1.0);
        course.came(now);
        assert!(course.is_up() && course.refuses(now).is_none());
        let held = now + PACE.first;
        assert_eq!(course.failed(refusal(), held, 1.0), PACE.first / 10);
        course.came(held);
        assert_eq!(course.failed(refusal(), held, 1.0), PACE.first * 2);
    }

    #[test]
    fn an_administrator_may_hurry() {
        let now = Instant::now();
        let mut course = Course::new(PACE);
        course.failed(refusal(), now, 1.0);
        assert!(!course.calls(now));
        assert_eq!(course.shown(now), Shown::Resting { seconds: 30 });
        assert_eq!(course.trouble(), (1, Some(&refusal())));
        course.hurry();
        assert_eq!(course.shown(now), Shown::Idle);
        assert!(course.calls(now));
        assert_eq!(course.shown(now), Shown::Calling);
        assert_eq!(
            course.failed(refusal(), now, 1.0),
            PACE.first,
            "all is forgotten"
        );
    }
}
