//! Where another server is reached: its SRV records, in the order in which they are tried.
//!
//! RFC 6120 §3.2 with RFC 2782, and XEP-0368, which mixes the records of direct TLS with those of
//! STARTTLS as if they were of one service. What the DNS answered and the randomness are given.

use smol_str::SmolStr;

/// Targets of one domain that are tried; the rest of a long list is passed over.
pub const TARGETS_MAX: usize = 16;

/// The port of other servers where no SRV record names one (RFC 6120 §14.7).
pub const DEFAULT_PORT: u16 = 5269;

/// How TLS begins at a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tls {
    /// With the first byte: `_xmpps-server` (XEP-0368 §3, rule 2).
    Direct,
    /// After `<starttls/>`: `_xmpp-server` (rule 3).
    StartTls,
}

/// One SRV record (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srv {
    /// Lower numbers are tried first.
    pub priority: u16,
    /// The share of the connections among records of the same priority.
    pub weight: u16,
    /// The port; a record with port 0 names no place and is passed over.
    pub port: u16,
    /// The host in lower case ASCII, without the dot at its end: so the root, `.`, which says that
    /// the service is decidedly not there, is empty.
    pub target: SmolStr,
}

/// What the DNS says of one service of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// These records, at least one.
    Records {
        /// The records, in any order.
        records: Vec<Srv>,
        /// Whether DNSSEC proves them, with all aliases on the way.
        proved: bool,
    },
    /// That there are none: no such name, or no such record (RFC 2308 §2).
    Nothing,
    /// Nothing at all, for now: an error, a time-out, an answer that cannot be.
    Failed,
}

/// A place at which a domain may be reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// A host name in lower case ASCII, or an IP address.
    pub host: SmolStr,
    /// The port.
    pub port: u16,
    /// How TLS begins.
    pub tls: Tls,
    /// Whether DNSSEC proves that the domain named this host: a certificate may then be for the
    /// host instead of the domain (RFC 7673 §4.1), and TLSA records count (§3.2).
    pub proved: bool,
}

/// The ways to a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ways {
    /// These, one after another; at least one, at most [`TARGETS_MAX`].
    Targets(Vec<Target>),
    /// The domain has no SRV records: its own addresses, [`DEFAULT_PORT`], STARTTLS (RFC 6120
    /// §3.2.2).
    Fallback,
    /// None: its records say that it takes part in no federation.
    NotOffered,
    /// None is known for now. Guessing would bypass records that are there and were not heard.
    Failed,
}

/// The order in which the targets of a domain are tried. `draw` answers with a number from 0 to
/// its argument, both included, each as likely.
///
/// One service whose records could not be had does not hinder those of the other. There is no
/// fallback past any record, were it only a `.` (XEP-0368 §6), nor past a failure.
pub fn ways(direct: Answer, starttls: Answer, mut draw: impl FnMut(u64) -> u64) -> Ways {
    let has_failed = [&direct, &starttls].contains(&&Answer::Failed);
    let has_none = direct == Answer::Nothing && starttls == Answer::Nothing;
    let mut places = places(direct, Tls::Direct);
    places.extend(self::places(starttls, Tls::StartTls));
    if places.is_empty() {
        return match (has_failed, has_none) {
            (true, _) => Ways::Failed,
            (false, true) => Ways::Fallback,
            (false, false) => Ways::NotOffered,
        };
    }
    // A stable sort: those of one priority stand together, heavy and light as they came.
    places.sort_by_key(|place| place.priority);
    let mut targets: Vec<Target> = vec![];
    while targets.len() < TARGETS_MAX && !places.is_empty() {
        let priority = places[0].priority;
        let equals = places.iter().take_while(|place| place.priority == priority);
        let weights: Vec<u16> = equals.map(|place| place.weight).collect();
        let target = places.remove(chosen(&weights, &mut draw)).target;
        let is_known = targets.iter().any(|known| {
            (&known.host, known.port, known.tls) == (&target.host, target.port, target.tls)
        });
        if !is_known {
            targets.push(target);
        }
    }
    Ways::Targets(targets)
}

/// The name under which the DNS knows a domain: A-labels in lower case (RFC 5891 §4.4), no dot at
/// the end. None where it cannot know it: an IP address, a label over 63 bytes, a name over 253.
pub fn dns_name(domain: &str) -> Option<String> {
    let name = idna::domain_to_ascii(domain).ok()?;
    let name = name.strip_suffix('.').unwrap_or(&name);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(is_plain);
    // A last label of digits is of an IPv4 address, or of nothing.
    let last = name.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit());
    let fits = name.len() <= 253 && name.split('.').all(is_label) && !is_number;
    fits.then(|| name.to_owned())
}

/// A target with what decides when it is its turn.
struct Place {
    priority: u16,
    weight: u16,
    target: Target,
}

/// What a service's records name that can be gone to.
fn places(answer: Answer, tls: Tls) -> Vec<Place> {
    let Answer::Records { records, proved } = answer else {
        return vec![];
    };
    let there = records
        .into_iter()
        .filter(|record| record.port != 0 && !record.target.is_empty());
    let place = |record: Srv| Place {
        priority: record.priority,
        weight: record.weight,
        target: Target {
            host: record.target,
            port: record.port,
            tls,
            proved,
        },
    };
    there.map(place).collect()
}

/// One of these weights, each as likely as it is heavy. Those of 0 stand first, so that they have
/// a very small chance beside others (RFC 2782, "Weight"); which of them is first is drawn, too.
fn chosen(weights: &[u16], draw: &mut impl FnMut(u64) -> u64) -> usize {
    let sum = weights.iter().map(|weight| u64::from(*weight)).sum();
    let number = draw(sum).min(sum);
    let zeros = weights.iter().filter(|weight| **weight == 0).count();
    if number == 0 && zeros > 0 {
        let last = zeros as u64 - 1;
        let which = if last == 0 { 0 } else { draw(last).min(last) };
        let mut light = (0..weights.len()).filter(|at| weights[*at] == 0);
        return light.nth(which as usize).unwrap_or_default();
    }
    let mut running = 0;
    let reaches = |weight: &u16| {
        running += u64::from(*weight);
        *weight > 0 && running >= number
    };
    weights.iter().position(reaches).unwrap_or_default()
}

#[cfg(test)]
mod tests;
