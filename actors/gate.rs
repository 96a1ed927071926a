//! The gate: how many connections an address may make, hold and fail to log in with (attacks R04,
//! T29; XEP-0205).
//!
//! IPv4 addresses count one by one, IPv6 by their /64, which is what one household has. The account
//! is never locked.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rookery_config::settings::Limits;

/// Addresses remembered at once; over it those with nothing open are forgotten, then nobody new is
/// let in.
const ADDRESSES: usize = 65_536;
const HOUR: Duration = Duration::from_secs(3600);
/// Other servers that one address may have asked about, a second and at once (attack R11).
const QUESTIONS: f64 = 10.0;

/// Watches over the connections of a server.
pub struct Gate {
    limits: Limits,
    /// Accounts an hour from one address; 0 for no limit.
    accounts_per_hour: u32,
    state: Mutex<State>,
}

struct State {
    addresses: HashMap<u64, Address, ahash::RandomState>,
    /// What is left to register with, of addresses that did lately.
    newcomers: HashMap<u64, Bucket, ahash::RandomState>,
    hasher: ahash::RandomState,
    all: Bucket,
    pending: usize,
}

#[derive(Clone, Copy)]
struct Address {
    bucket: Bucket,
    /// What is left of its [`QUESTIONS`].
    questions: Bucket,
    pending: usize,
    failures: u32,
    first_failure: Instant,
    refused_until: Option<Instant>,
}

/// A token bucket.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    tokens: f64,
    last: Instant,
}

impl Bucket {
    /// A full bucket.
    pub fn full(burst: f64, now: Instant) -> Bucket {
        Bucket {
            tokens: burst,
            last: now,
        }
    }

    /// Takes `cost`, even below zero; answers how long to wait until it is paid.
    pub fn take(&mut self, cost: f64, rate: f64, burst: f64, now: Instant) -> Option<Duration> {
        let gained = now.saturating_duration_since(self.last).as_secs_f64() * rate;
        self.tokens = (self.tokens + gained).min(burst) - cost;
        self.last = now;
        (self.tokens < 0.0).then(|| Duration::from_secs_f64(-self.tokens / rate.max(0.001)))
    }

    /// How long nothing was taken.
    pub fn silence(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.last)
    }

    /// Takes `cost` only if it is there.
    pub fn try_take(&mut self, cost: f64, rate: f64, burst: f64, now: Instant) -> bool {
        let mut after = *self;
        let paid = after.take(cost, rate, burst, now).is_none();
        if paid {
            *self = after;
        }
        paid
    }
}

/// A connection that has not logged in yet; dropped when it has, or is gone.
pub struct Pending {
    gate: Arc<Gate>,
    address: Option<u64>,
}

impl Gate {
    /// A gate with these limits, and so many accounts an hour from one address.
    pub fn new(limits: Limits, accounts_per_hour: u32) -> Arc<Gate> {
        let hasher = ahash::RandomState::new();
        let state = State {
            addresses: HashMap::with_hasher(hasher.clone()),
            newcomers: HashMap::with_hasher(hasher.clone()),
            hasher,
            all: Bucket::full(f64::from(limits.connection_rate_total), Instant::now()),
            pending: 0,
        };
        Arc::new(Gate {
            limits,
            accounts_per_hour,
            state: Mutex::new(state),
        })
    }

    /// Whether `address` is free of rate limits.
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.limits.trusted.iter().any(|net| net.contains(&address))
    }

    /// Lets a new connection in, or not.
    pub fn enter(self: &Arc<Gate>, address: IpAddr, now: Instant) -> Option<Pending> {
        let limits = &self.limits;
        let mut guard = self.state.lock();
        let state = &mut *guard;
        if state.pending >= limits.pending {
            return None;
        }
        if self.trusts(address) {
            state.pending += 1;
            return Some(Pending {
                gate: Arc::clone(self),
                address: None,
            });
        }
        let total = f64::from(limits.connection_rate_total);
        if !state.all.try_take(1.0, total, total, now) {
            return None;
        }
        let key = state.key(address);
        if state.addresses.len() >= ADDRESSES && !state.addresses.contains_key(&key) {
            state.forget(limits, now);
            if state.addresses.len() >= ADDRESSES {
                return None;
            }
        }
        let burst = f64::from(limits.connection_burst);
        let entry = state
            .addresses
            .entry(key)
            .or_insert_with(|| Address::new(burst, now));
        let open = entry.refused_until.is_none_or(|until| until <= now)
            && entry.pending < limits.pending_per_address
            && entry
                .bucket
                .try_take(1.0, f64::from(limits.connection_rate), burst, now);
        if !open {
            return None;
        }
        entry.pending += 1;
        state.pending += 1;
        Some(Pending {
            gate: Arc::clone(self),
            address: Some(key),
        })
    }

    /// Whether somebody from here may make an account now (attacks H15); [`Gate::unregistered`]
    /// gives it back when none was made.
    pub fn registers(&self, address: IpAddr, now: Instant) -> bool {
        if self.accounts_per_hour == 0 || self.trusts(address) {
            return true;
        }
        let burst = f64::from(self.accounts_per_hour);
        let rate = burst / HOUR.as_secs_f64();
        let mut state = self.state.lock();
        let key = state.key(address);
        let newcomers = &mut state.newcomers;
        if newcomers.len() >= ADDRESSES && !newcomers.contains_key(&key) {
            newcomers.retain(|_, it| now.saturating_duration_since(it.last) < HOUR);
            if newcomers.len() >= ADDRESSES {
                return false;
            }
        }
        let bucket = newcomers
            .entry(key)
            .or_insert_with(|| Bucket::full(burst, now));
        bucket.try_take(1.0, rate, burst, now)
    }

    /// Whether another server may be asked, since somebody here says something of it: who makes us
    /// call others must not make us call many.
    pub fn inquires(&self, address: IpAddr, now: Instant) -> bool {
        if self.trusts(address) {
            return true;
        }
        let burst = f64::from(self.limits.connection_burst);
        let mut state = self.state.lock();
        let key = state.key(address);
        let addresses = &mut state.addresses;
        // It has a connection, but may be forgotten since.
        if addresses.len() >= ADDRESSES && !addresses.contains_key(&key) {
            return false;
        }
        let new = || Address::new(burst, now);
        let questions = &mut addresses.entry(key).or_insert_with(new).questions;
        questions.try_take(1.0, QUESTIONS, QUESTIONS, now)
    }

    /// No account was made after all.
    pub fn unregistered(&self, address: IpAddr) {
        let mut state = self.state.lock();
        let key = state.key(address);
        if let Some(bucket) = state.newcomers.get_mut(&key) {
            bucket.tokens += 1.0;
        }
    }

    /// A login failed from here: too many in a while, and the address is refused for a while.
    pub fn failed(&self, address: IpAddr, now: Instant) {
        if self.trusts(address) {
            return;
        }
        let limits = &self.limits;
        let mut state = self.state.lock();
        let key = state.key(address);
        let Some(entry) = state.addresses.get_mut(&key) else {
            return;
        };
        if now.saturating_duration_since(entry.first_failure) > limits.failure_window {
            entry.failures = 0;
        }
        if entry.failures == 0 {
            entry.first_failure = now;
        }
        entry.failures += 1;
        if entry.failures >= limits.failures_per_address {
            entry.failures = 0;
            entry.refused_until = Some(now + limits.failure_delay);
            tracing::warn!(%address, "too many failed logins: refused for a while");
        }
    }
}

impl State {
    fn key(&self, address: IpAddr) -> u64 {
        match address.to_canonical() {
            IpAddr::V4(v4) => self.hasher.hash_one(v4),
            IpAddr::V6(v6) => self.hasher.hash_one(&v6.octets()[..8]),
        }
    }

    fn forget(&mut self, limits: &Limits, now: Instant) {
        self.addresses.retain(|_, address| {
            let quiet =
                now.saturating_duration_since(address.bucket.last) > Duration::from_secs(60);
            let failing = now.saturating_duration_since(address.first_failure)
                < limits.failure_window
                && address.failures > 0;
            address.pending > 0
                || failing
                || address.refused_until.is_some_and(|until| until > now)
                || !quiet
        });
    }
}

impl Address {
    fn new(burst: f64, now: Instant) -> Address {
        Address {
            bucket: Bucket::full(burst, now),
            questions: Bucket::full(QUESTIONS, now),
            pending: 0,
            failures: 0,
            first_failure: now,
            refused_until: None,
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let mut state = self.gate.state.lock();
        state.pending = state.pending.saturating_sub(1);
        if let Some(entry) = self.address.and_then(|key| state.addresses.get_mut(&key)) {
            entry.pending = entry.pending.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn the_burst_is_let_in_and_then_the_rate() {
        let gate = Gate::new(Limits::default(), 3);
        let now = Instant::now();
        let ip = address("192.0.2.1");
        let entered: Vec<_> = (0..60).filter_map(|_| gate.enter(ip, now)).collect();
        assert_eq!(entered.len(), 50);
        assert!(gate.enter(address("192.0.2.2"), now).is_some());
        assert!(gate.enter(ip, now + Duration::from_millis(150)).is_some());
    }

    #[test]
    fn one_household_is_one_address_and_those_who_wait_are_bounded() {
        let limits = Limits {
            connection_burst: 1_000,
            connection_rate_total: 1_000,
            ..Limits::default()
        };
        let gate = Gate::new(limits, 3);
        let now = Instant::now();
        let waiting: Vec<_> = (0..120)
            .filter_map(|n| gate.enter(address(&format!("2001:db8::{n:x}")), now))
            .collect();
        assert_eq!(waiting.len(), 100);
        drop(waiting);
        assert!(gate.enter(address("2001:db8::1"), now).is_some());
    }

    #[test]
    fn who_fails_too_often_is_refused_for_a_while_and_others_are_not() {
        let gate = Gate::new(Limits::default(), 3);
        let now = Instant::now();
        let ip = address("192.0.2.1");
        drop(gate.enter(ip, now));
        for _ in 0..20 {
            gate.failed(ip, now);
        }
        assert!(gate.enter(ip, now + Duration::from_secs(599)).is_none());
        assert!(gate.enter(address("192.0.2.9"), now).is_some());
        assert!(gate.enter(ip, now + Duration::from_secs(601)).is_some());
    }

    #[test]
    fn an_address_has_so_many_others_asked_a_second() {
        let gate = Gate::new(Limits::default(), 3);
        let now = Instant::now();
        let (one, other) = (address("192.0.2.1"), address("192.0.2.2"));
        let _pending = [gate.enter(one, now), gate.enter(other, now)];
        let asked = |ip, now| (0..100).filter(|_| gate.inquires(ip, now)).count();
        assert_eq!(asked(one, now), 10);
        assert_eq!(asked(other, now), 10);
        assert_eq!(asked(one, now + Duration::from_millis(550)), 5);
    }

    #[test]
    fn an_address_makes_so_many_accounts_an_hour_and_others_as_many() {
        let gate = Gate::new(Limits::default(), 3);
        let now = Instant::now();
        let (one, other) = (address("2001:db8::1"), address("2001:db8:0:1::1"));
        assert!((0..3).all(|_| gate.registers(one, now)));
        assert!(
            !gate.registers(address("2001:db8::2"), now),
            "the same household"
        );
        assert!(gate.registers(other, now));
        gate.unregistered(one);
        assert!(gate.registers(one, now), "the name was taken");
        assert!(!gate.registers(one, now + Duration::from_secs(1199)));
        assert!(gate.registers(one, now + Duration::from_secs(1201)));
        let open = Gate::new(Limits::default(), 0);
        assert!((0..100).all(|_| open.registers(one, now)));
    }

    #[test]
    fn trusted_networks_have_no_rate() {
        let trusted = vec!["127.0.0.0/8".parse().expect("a network")];
        let limits = Limits {
            trusted,
            ..Limits::default()
        };
        let gate = Gate::new(limits, 3);
        let now = Instant::now();
        let entered = (0..500).filter_map(|_| gate.enter(address("::ffff:127.0.0.1"), now));
        assert_eq!(entered.collect::<Vec<_>>().len(), 500);
        assert!((0..100).all(|_| gate.registers(address("127.0.0.1"), Instant::now())));
    }
}
