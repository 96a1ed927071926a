//! Connecting to another server: its targets one after another, the addresses of each against one
//! another (Happy Eyeballs, RFC 8305), in bounded time.
//!
//! A dead IPv6 beside a live IPv4 costs a quarter of a second, a dead target five seconds at most,
//! a dead domain twenty. Everything that was tried is told in plain words.

mod race;

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rookery_config::settings::S2s;
use rookery_protocol::error::Condition;
use rookery_protocol::targets::{Target, Tls};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::reach::Reach;
use crate::resolver::{Addresses, Family, Resolver, Tlsa, Unresolved};
use race::{Race, Step};

/// How long one address may take to answer.
pub const ADDRESS_PATIENCE: Duration = Duration::from_secs(5);
/// How long connecting to one domain may take in all.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// Tries that are told of; further ones are made, but not told.
const TRIES_MAX: usize = 64;

/// Makes connections to other servers.
#[derive(Clone)]
pub struct Dialer {
    resolver: Resolver,
    reach: Reach,
    knock: Knock,
    patience: Duration,
}

/// How a connection is made.
type Knock = Arc<dyn Fn(SocketAddr) -> Knocking + Send + Sync>;
type Knocking = Pin<Box<dyn Future<Output = io::Result<TcpStream>> + Send>>;

/// The way to a domain, gone from target to target.
pub struct Route {
    dialer: Dialer,
    targets: VecDeque<Target>,
    /// What is left of the time for connecting.
    left: Duration,
    is_guess: bool,
    tries: Vec<Try>,
}

/// A connection, not yet with TLS.
#[derive(Debug)]
pub struct Line {
    /// The connection.
    pub tcp: TcpStream,
    /// With whom.
    pub address: SocketAddr,
    /// For which target of the domain.
    pub target: Target,
    /// The certificates pinned for it by what DNSSEC proves; none: the usual rules.
    pub pins: Vec<Tlsa>,
}

/// Something that was tried in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Try {
    /// At which target.
    pub target: Target,
    /// At which of its addresses; none where it did not come to that.
    pub address: Option<IpAddr>,
    /// Why it was in vain, in plain words.
    pub why: String,
    /// Whether trying again would change nothing.
    pub is_lasting: bool,
}

impl fmt::Display for Try {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Target { host, port, .. } = &self.target;
        write!(f, "{host} port {port}")?;
        if self.target.tls == Tls::Direct {
            write!(f, " (direct TLS)")?;
        }
        match self.address {
            Some(ip) if ip.to_string() != host.as_str() => write!(f, " at {ip}: {}", self.why),
            _ => write!(f, ": {}", self.why),
        }
    }
}

impl Dialer {
    /// Connects to the Internet and to the networks in the settings.
    pub fn new(resolver: Resolver, settings: &S2s) -> Dialer {
        Dialer {
            resolver,
            reach: Reach::Public(settings.private.clone()),
            knock: Arc::new(|address| Box::pin(TcpStream::connect(address))),
            patience: PATIENCE,
        }
    }

    /// Who looks names up for it.
    pub fn resolver(&self) -> Resolver {
        self.resolver.clone()
    }

    /// The same with another reach.
    pub fn within(self, reach: Reach) -> Dialer {
        Dialer { reach, ..self }
    }

    /// The way to a domain, an address's prepared domain. Places in the settings may be anywhere.
    pub async fn route(&self, domain: &str) -> Result<Route, Unresolved> {
        let found = self.resolver.targets(domain).await?;
        let mut dialer = self.clone();
        if found.is_chosen {
            dialer.reach = Reach::Any;
        }
        Ok(Route {
            left: dialer.patience,
            dialer,
            targets: found.targets.into(),
            is_guess: found.is_guess,
            tries: vec![],
        })
    }
}

impl Route {
    /// Connects to the next target that can be connected with; none when all were tried, or
    /// [`PATIENCE`] is over. What happens between two calls does not count.
    pub async fn connect(&mut self) -> Option<Line> {
        let begun = Instant::now();
        let until = begun + self.left;
        let mut line = None;
        while line.is_none()
            && let Some(target) = self.targets.pop_front()
        {
            if Instant::now() >= until {
                self.note(&target, None, "there was no time left".into(), false);
                self.targets.clear();
            } else {
                line = self.connect_to(target, until).await;
            }
        }
        self.left = self.left.saturating_sub(begun.elapsed());
        line
    }

    /// Notes that a connection came to nothing after all: no TLS, no login.
    pub fn failed(&mut self, target: &Target, address: IpAddr, why: String) {
        self.note(target, Some(address), why, false);
    }

    /// Everything tried in vain so far.
    pub fn tries(&self) -> &[Try] {
        &self.tries
    }

    /// What the sender of a stanza is told when there is nothing left to try: the server is not
    /// found where no try can have another end (RFC 6120 §8.3.3.16), else it is late (§8.3.3.17).
    pub fn condition(&self) -> Condition {
        let mut tries = self.tries.iter();
        match tries.len() > 0 && tries.all(|attempt| attempt.is_lasting) {
            true => Condition::RemoteServerNotFound,
            false => Condition::RemoteServerTimeout,
        }
    }

    /// One target: its addresses are looked up and tried as they come.
    async fn connect_to(&mut self, target: Target, until: Instant) -> Option<Line> {
        let mut race = Race::new(Instant::now());
        let mut tasks = JoinSet::new();
        for family in [Family::V6, Family::V4] {
            let (resolver, host) = (self.dialer.resolver.clone(), target.host.clone());
            let look = async move { resolver.addresses(&host, family).await };
            tasks.spawn(async move { Event::Found(family, look.await) });
        }
        let mut proved = vec![];
        let mut is_there = false;
        loop {
            let now = Instant::now();
            let wake = match race.step(now) {
                Step::Start(address) => {
                    let knocking = timeout(ADDRESS_PATIENCE, (self.dialer.knock)(address));
                    tasks.spawn(async move { Event::Knocked(address, knocking.await.ok()) });
                    continue;
                }
                Step::Wait(at) => at.unwrap_or(until).min(until),
                Step::Lost => break,
            };
            if now >= until {
                self.note(&target, None, "it did not answer in time".into(), false);
                return None;
            }
            let event = tokio::select! {
                Some(event) = tasks.join_next() => event.unwrap_or(Event::Broken),
                () = sleep_until(wake) => continue,
            };
            let now = Instant::now();
            match event {
                Event::Found(family, Ok(found)) => {
                    is_there |= !found.ips.is_empty();
                    proved.extend(found.is_proved.then_some(family));
                    race.found(family, self.admitted(&target, found), now);
                }
                Event::Found(family, Err(why)) => {
                    is_there = true;
                    let is_lasting = why.condition() == Condition::RemoteServerNotFound;
                    self.note(&target, None, why.to_string(), is_lasting);
                    race.found(family, vec![], now);
                }
                Event::Knocked(address, Some(Ok(tcp))) => {
                    drop(tasks);
                    let is_proved = proved.contains(&Family::of(address.ip()));
                    return self.line(tcp, address, target, is_proved, until).await;
                }
                Event::Knocked(address, refused) => {
                    race.failed(now);
                    let why = match refused {
                        Some(Err(error)) => reason(&error),
                        _ => "it did not answer in time".into(),
                    };
                    self.note(&target, Some(address.ip()), why, false);
                }
                Event::Broken => {
                    self.note(&target, None, "this server made a mistake".into(), false);
                    return None;
                }
            }
        }
        if !is_there {
            let why = match self.is_guess {
                true => "there is no such domain: it has neither SRV records nor addresses",
                false => "this host has no addresses",
            };
            self.note(&target, None, why.into(), true);
        }
        None
    }

    /// The addresses of a host that may be connected to; the others are told of.
    fn admitted(&mut self, target: &Target, found: Addresses) -> Vec<SocketAddr> {
        let mut admitted = vec![];
        for ip in found.ips {
            let address = SocketAddr::new(ip, target.port);
            match self.dialer.reach.refusal(address) {
                None => admitted.push(address),
                Some(why) => self.note(target, Some(ip), why.into(), true),
            }
        }
        admitted
    }

    /// A connection, with the pins for it. Without knowing them there is none (RFC 7673 §3.4).
    async fn line(
        &mut self,
        tcp: TcpStream,
        address: SocketAddr,
        target: Target,
        is_proved: bool,
        until: Instant,
    ) -> Option<Line> {
        let pins = self.dialer.resolver.pins(&target, is_proved);
        let late = |_| Unresolved::NotNow("its pinned certificates came too late".into());
        let pins = timeout_at(until, pins).await.map_err(late);
        match pins.and_then(|pins| pins) {
            Ok(pins) => {
                tcp.set_nodelay(true).ok();
                Some(Line {
                    tcp,
                    address,
                    target,
                    pins,
                })
            }
            Err(why) => {
                let why = format!("its pinned certificates are not known: {why}");
                self.note(&target, Some(address.ip()), why, false);
                None
            }
        }
    }

    fn note(&mut self, target: &Target, address: Option<IpAddr>, why: String, is_lasting: bool) {
        let attempt = Try {
            target: target.clone(),
            address,
            why,
            is_lasting,
        };
        // Both families of a host fail alike: told once.
        if self.tries.len() < TRIES_MAX && !self.tries.contains(&attempt) {
            self.tries.push(attempt);
        }
    }
}

/// What a race waits for.
enum Event {
    /// Addresses of one family, or why there are none.
    Found(Family, Result<Addresses, Unresolved>),
    /// An address answered, refused, or took too long.
    Knocked(SocketAddr, Option<io::Result<TcpStream>>),
    /// A task of the race has died.
    Broken,
}

/// Why there is no connection, in plain words.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "nobody listens there".into(),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            "there is no way to it from here".into()
        }
        io::ErrorKind::TimedOut => "it did not answer in time".into(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
