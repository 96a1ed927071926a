//! What has come of other servers since the start, counted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rookery_protocol::dialback::Verdict;
use rookery_protocol::negotiation::Refusal;

use super::{Roll, Security};
use crate::admin::servers::Numbers;

/// Counts since the start.
#[derive(Default)]
pub struct Counts {
    pub(super) received: AtomicU64,
    pub(super) sent: AtomicU64,
    bounced: AtomicU64,
    /// By [`Refusal::kind`].
    failures: Mutex<BTreeMap<&'static str, u64>>,
    /// Keys that were right, wrong, and not to be found out about.
    verified: [AtomicU64; 3],
    /// Stanzas that wait for other servers now.
    waiting: Arc<AtomicU64>,
}

impl Counts {
    /// A stanza came back to its sender.
    pub fn bounced(&self) {
        self.bounced.fetch_add(1, Ordering::Relaxed);
    }

    /// A server was called in vain.
    pub fn failed(&self, refusal: &Refusal) {
        *self.failures.lock().entry(refusal.kind()).or_default() += 1;
    }

    /// Another server said what it thinks of a key (XEP-0220).
    pub fn verified(&self, verdict: Verdict) {
        let which = match verdict {
            Verdict::Valid => 0,
            Verdict::Invalid => 1,
            Verdict::Error(_) => 2,
        };
        self.verified[which].fetch_add(1, Ordering::Relaxed);
    }

    /// What of the stanzas that wait is one Link's.
    pub fn share(&self) -> Share {
        Share {
            whole: Arc::clone(&self.waiting),
            part: 0,
        }
    }
}

/// A part of a number, which goes with its owner.
pub struct Share {
    whole: Arc<AtomicU64>,
    part: u64,
}

impl Share {
    /// It is so much now.
    pub fn set(&mut self, part: u64) {
        // Both sums wrap, so that the whole is right whichever comes first.
        let more = part.wrapping_sub(self.part);
        self.whole.fetch_add(more, Ordering::Relaxed);
        self.part = part;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

impl Roll {
    /// All numbers.
    pub fn numbers(&self) -> Numbers {
        let Counts {
            received,
            sent,
            bounced,
            failures,
            verified,
            waiting,
        } = &*self.counts;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let failures = failures.lock();
        let mut numbers = Numbers {
            s2s_stanzas_in: read(received),
            s2s_stanzas_out: read(sent),
            s2s_waiting: read(waiting),
            s2s_bounced: read(bounced),
            s2s_failures: failures
                .iter()
                .map(|(kind, n)| (kind.to_string(), *n))
                .collect(),
            dialback_valid: read(&verified[0]),
            dialback_invalid: read(&verified[1]),
            dialback_errors: read(&verified[2]),
            ..Numbers::default()
        };
        drop(failures);
        for entry in self.all() {
            // One on which nothing is proved is nobody's.
            let Some(weakest) = entry.weakest() else {
                continue;
            };
            match entry.outbound {
                true => numbers.s2s_out += 1,
                false => numbers.s2s_in += 1,
            }
            match weakest {
                Security::Certificate => numbers.s2s_by_certificate += 1,
                Security::Dane => numbers.s2s_by_dane += 1,
                Security::Dialback => numbers.s2s_by_dialback += 1,
            }
        }
        numbers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_the_sum_of_all_that_live() {
        let roll = Roll::default();
        let (mut one, mut two) = (roll.counts.share(), roll.counts.share());
        one.set(3);
        two.set(4);
        one.set(1);
        assert_eq!(roll.numbers().s2s_waiting, 5);
        drop(two);
        assert_eq!(roll.numbers().s2s_waiting, 1);
        drop(one);
        assert_eq!(roll.numbers().s2s_waiting, 0);
    }

    #[test]
    fn failures_are_counted_by_kind() {
        let roll = Roll::default();
        for refusal in [Refusal::Timeout, Refusal::NoServer, Refusal::Timeout] {
            roll.counts.failed(&refusal);
        }
        roll.counts.verified(Verdict::Invalid);
        let numbers = roll.numbers();
        let failures: Vec<_> = numbers.s2s_failures.into_iter().collect();
        assert_eq!(failures, [("no-server".into(), 1), ("timeout".into(), 2)]);
        assert_eq!((numbers.dialback_valid, numbers.dialback_invalid), (0, 1));
    }
}
