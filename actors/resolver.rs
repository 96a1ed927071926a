//! What the DNS says of other servers: where a domain is reached, the addresses of a host, the
//! certificates pinned for it.
//!
//! The one place that knows the resolver's crate. Every question is bounded in time and in what is
//! taken of its answer, and no question waits for another: a domain whose name servers are slow
//! keeps nobody but itself waiting (attack row B21). Over [`QUESTIONS_MAX`] at once, further ones
//! are refused, not queued.

mod questions;

pub use crate::peer_tls::Tlsa;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use rookery_config::settings::{Dns, Place};
use rookery_protocol::error::Condition;
use rookery_protocol::targets::{Answer, DEFAULT_PORT, Srv, Target, Tls, Ways, dns_name, ways};
use smol_str::SmolStr;

pub use questions::QUESTIONS_MAX;
use questions::{Kind, Questions, Reply};

/// Addresses of one family that are taken of a host.
pub const ADDRESSES_MAX: usize = 8;

/// The resolver; copies are the same one.
#[derive(Clone)]
pub struct Resolver(Arc<State>);

struct State {
    questions: Questions,
    overrides: BTreeMap<String, Vec<Place>>,
}

/// The targets of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// In the order in which they are tried; at least one.
    pub targets: Vec<Target>,
    /// Whether the settings name them (`dns.overrides`), so that they may be anywhere.
    pub is_chosen: bool,
    /// Whether the domain has no SRV records, so that it need not be a server at all.
    pub is_guess: bool,
}

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv6.
    V6,
    /// IPv4.
    V4,
}

/// Addresses of one family; none if the host has none of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// At most [`ADDRESSES_MAX`].
    pub ips: Vec<IpAddr>,
    /// Whether DNSSEC proves them.
    pub is_proved: bool,
}

/// Why there is no answer, in words for the sender and the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// What cannot be looked up: no name, no address.
    #[error("this is not a name that the DNS could know")]
    NoName,
    /// It has a `.` for a target (RFC 2782), or nothing but records that name no place.
    #[error("its DNS records say that no other server may reach it")]
    NotOffered,
    /// Nothing is known for now; what went wrong.
    #[error("{0}")]
    NotNow(String),
    /// More questions than [`QUESTIONS_MAX`] are on their way.
    #[error("too many names are being looked up at once")]
    TooMany,
}

impl Unresolved {
    /// What the sender of a stanza is told (RFC 6120 §8.3.3.16 and §8.3.3.17): not found where
    /// asking again would change nothing.
    pub fn condition(&self) -> Condition {
        match self {
            Unresolved::NoName | Unresolved::NotOffered => Condition::RemoteServerNotFound,
            Unresolved::NotNow(_) | Unresolved::TooMany => Condition::RemoteServerTimeout,
        }
    }
}

impl Resolver {
    /// A resolver as the settings want it. What of `/etc/resolv.conf` cannot be read is passed
    /// over; without any name server it is the one of this machine, 127.0.0.1.
    pub fn new(settings: &Dns) -> Resolver {
        Resolver(Arc::new(State {
            questions: Questions::new(settings),
            overrides: settings.overrides.clone(),
        }))
    }

    /// Whether the settings say where a domain is.
    pub fn is_chosen(&self, domain: &str) -> bool {
        self.0.overrides.contains_key(domain)
    }

    /// The targets of a domain, an address's prepared domain (RFC 7622 §3.2), in a fresh order
    /// each time (RFC 2782). Places in the settings come before everything else (RFC 6120 §3.2.3);
    /// an IP address is its own target.
    pub async fn targets(&self, domain: &str) -> Result<Found, Unresolved> {
        if let Some(places) = self.0.overrides.get(domain) {
            return Ok(Found {
                targets: places.iter().map(chosen).collect(),
                is_chosen: true,
                is_guess: false,
            });
        }
        if let Some(ip) = literal(domain) {
            return Ok(guess(&ip.to_string()));
        }
        let name = dns_name(domain).ok_or(Unresolved::NoName)?;
        let names = ["_xmpps-server", "_xmpp-server"].map(|it| format!("{it}._tcp.{name}"));
        let (direct, starttls) = tokio::join!(self.services(&names[0]), self.services(&names[1]));
        let trouble = [&direct, &starttls]
            .into_iter()
            .find_map(|answer| answer.as_ref().err().cloned());
        let answer = |found: Result<Answer, Unresolved>| found.unwrap_or(Answer::Failed);
        match ways(answer(direct), answer(starttls), drawn) {
            Ways::Targets(targets) => Ok(Found {
                targets,
                is_chosen: false,
                is_guess: false,
            }),
            Ways::Fallback => Ok(guess(&name)),
            Ways::NotOffered => Err(Unresolved::NotOffered),
            Ways::Failed => {
                let unknown = || Unresolved::NotNow("the DNS gives no answer".into());
                Err(trouble.unwrap_or_else(unknown))
            }
        }
    }

    /// The records of one service, by its whole name: `_xmpp-server._tcp.example.org`.
    pub async fn services(&self, name: &str) -> Result<Answer, Unresolved> {
        if is_local(name) {
            return Ok(Answer::Nothing);
        }
        let reply = self.0.questions.ask(name, Kind::Srv).await?;
        let records: Vec<Srv> = reply.records.iter().filter_map(questions::srv).collect();
        Ok(match records.is_empty() {
            true => Answer::Nothing,
            false => Answer::Records {
                records,
                proved: reply.is_proved,
            },
        })
    }

    /// The addresses of a target's host, of one family. An IP address is its own, unproved.
    pub async fn addresses(&self, host: &str, family: Family) -> Result<Addresses, Unresolved> {
        if let Some(ip) = literal(host) {
            let ips = Vec::from_iter((Family::of(ip) == family).then_some(ip));
            let is_proved = false;
            return Ok(Addresses { ips, is_proved });
        }
        if is_local(host) {
            // RFC 6761 §6.3: names of this machine are asked of nobody.
            let ips = match family {
                Family::V6 => vec![Ipv6Addr::LOCALHOST.into()],
                Family::V4 => vec![Ipv4Addr::LOCALHOST.into()],
            };
            let is_proved = false;
            return Ok(Addresses { ips, is_proved });
        }
        let kind = match family {
            Family::V6 => Kind::Aaaa,
            Family::V4 => Kind::A,
        };
        let Reply { records, is_proved } = self.0.questions.ask(host, kind).await?;
        let ips = records.iter().filter_map(questions::ip);
        Ok(Addresses {
            ips: ips.take(ADDRESSES_MAX).collect(),
            is_proved,
        })
    }

    /// The pins of a target, to be asked for where its addresses are proved (RFC 7673 §3.2). None
    /// are taken, and the DNS is not asked, unless the target is proved, too; none either where the
    /// pins themselves are not. On an error nobody may be connected with there (§3.4).
    pub async fn pins(&self, target: &Target, addresses: bool) -> Result<Vec<Tlsa>, Unresolved> {
        if !target.proved || !addresses {
            return Ok(vec![]);
        }
        let name = format!("_{}._tcp.{}", target.port, target.host);
        let Reply { records, is_proved } = self.0.questions.ask(&name, Kind::Tlsa).await?;
        let pins = records.iter().filter_map(questions::tlsa);
        Ok(pins.filter(|_| is_proved).collect())
    }
}

impl Family {
    /// The family of an address.
    pub fn of(ip: IpAddr) -> Family {
        match ip {
            IpAddr::V6(_) => Family::V6,
            IpAddr::V4(_) => Family::V4,
        }
    }
}

/// The place that the settings name.
fn chosen(place: &Place) -> Target {
    Target {
        host: place.host.as_str().into(),
        port: place.port,
        tls: place.tls,
        proved: false,
    }
}

/// The domain itself at the usual port (RFC 6120 §3.2.2).
fn guess(host: &str) -> Found {
    let target = Target {
        host: SmolStr::new(host),
        port: DEFAULT_PORT,
        tls: Tls::StartTls,
        proved: false,
    };
    Found {
        targets: vec![target],
        is_chosen: false,
        is_guess: true,
    }
}

/// The address that a domain or host is, with or without brackets.
fn literal(host: &str) -> Option<IpAddr> {
    let inner = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    inner.unwrap_or(host).parse().ok()
}

/// Whether a name is this machine's by its end (RFC 6761 §6.3).
fn is_local(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

/// A number from 0 to `most`, each as likely but for less than one part in 2^40.
fn drawn(most: u64) -> u64 {
    getrandom::u64().unwrap_or_default() % (most + 1)
}

#[cfg(test)]
mod tests;
