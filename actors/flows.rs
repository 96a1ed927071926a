//! What one domain may send, all its streams together (attack R24): a server that opens ten of them
//! is heard no faster than one that opens one, and none is forgiven by hanging up.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use smol_str::SmolStr;

use crate::gate::Bucket;

/// Domains remembered at once; over it those that are silent are forgotten, and if nobody is, new
/// ones have a bucket for each stream.
const DOMAINS: usize = 16_384;
/// After so much silence a domain may be forgotten: by then its bucket is full again.
const SILENCE: Duration = Duration::from_secs(60);

/// Nor is it looked for them more often.
const SWEEP: Duration = Duration::from_secs(5);

/// A bucket that the streams of a domain share.
pub type Flow = Arc<Mutex<Bucket>>;

/// The buckets of all domains.
#[derive(Default)]
pub struct Flows(Mutex<State>);

#[derive(Default)]
struct State {
    flows: HashMap<SmolStr, Flow, ahash::RandomState>,
    /// When it was last looked for those that may be forgotten, which takes a while.
    swept: Option<Instant>,
}

impl Flows {
    /// The bucket of a domain, full if it was silent until now.
    pub fn of(&self, domain: &str, burst: f64, now: Instant) -> Flow {
        let new = || Arc::new(Mutex::new(Bucket::full(burst, now)));
        let mut state = self.0.lock();
        if let Some(flow) = state.flows.get(domain) {
            return Arc::clone(flow);
        }
        if state.flows.len() >= DOMAINS {
            state.sweep(now);
        }
        let flow = new();
        if state.flows.len() < DOMAINS {
            state.flows.insert(domain.into(), Arc::clone(&flow));
        }
        flow
    }
}

impl State {
    fn sweep(&mut self, now: Instant) {
        let lately = |at| now.saturating_duration_since(at) < SWEEP;
        if !self.swept.is_some_and(lately) {
            self.swept = Some(now);
            let is_kept = |it: &Flow| Arc::strong_count(it) > 1 || it.lock().silence(now) < SILENCE;
            self.flows.retain(|_, it| is_kept(it));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: f64 = 10.0;
    const BURST: f64 = 100.0;

    #[test]
    fn streams_of_a_domain_share_and_others_do_not() {
        let (flows, now) = (Flows::default(), Instant::now());
        let take = |domain: &str, cost| {
            let flow = flows.of(domain, BURST, now);
            flow.lock().take(cost, RATE, BURST, now)
        };
        assert_eq!(take("evil.test", BURST), None);
        let wait = take("evil.test", 1.0);
        assert_eq!(wait, Some(Duration::from_millis(100)), "who hung up, too");
        assert_eq!(take("two.test", BURST), None);
    }

    #[test]
    fn they_are_bounded_and_the_silent_are_forgotten_first() {
        let (flows, now) = (Flows::default(), Instant::now());
        let kept = flows.of("kept.test", BURST, now);
        for number in 0..2 * DOMAINS {
            flows.of(&format!("d{number}.test"), BURST, now);
        }
        assert_eq!(flows.0.lock().flows.len(), DOMAINS);
        let later = now + SILENCE;
        flows.of("new.test", BURST, later);
        assert_eq!(flows.0.lock().flows.len(), 2);
        assert!(Arc::ptr_eq(&kept, &flows.of("kept.test", BURST, later)));
    }
}
