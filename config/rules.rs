//! What must hold between settings, and what their values must look like beyond their type.

use crate::pattern::Pattern;
use crate::settings::{Settings, Shape};
use rookery_protocol::jid::{Jid, prepare_domain};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

/// A rule that does not hold.
pub(crate) struct Broken {
    pub key: &'static str,
    pub what: String,
    pub advice: String,
}

/// Puts addresses into their prepared form and checks every rule.
pub(crate) fn check(settings: &mut Settings) -> Vec<Broken> {
    let mut broken = vec![];
    domains(settings, &mut broken);
    admins(settings, &mut broken);
    overrides(settings, &mut broken);
    exceptions(settings, &mut broken);
    components(settings, &mut broken);
    certificate(settings, &mut broken);
    addresses(settings, &mut broken);
    hosts(settings, &mut broken);
    shapes(settings, &mut broken);
    times(settings, &mut broken);
    archive(settings, &mut broken);
    floors(settings, &mut broken);
    broken
}

fn break_rule(broken: &mut Vec<Broken>, key: &'static str, what: String, advice: &str) {
    broken.push(Broken {
        key,
        what,
        advice: advice.into(),
    });
}

fn domains(settings: &mut Settings, broken: &mut Vec<Broken>) {
    let mut seen = BTreeSet::new();
    for domain in &mut settings.domains {
        match prepare_domain(domain).map(Cow::into_owned) {
            Ok(prepared) => *domain = prepared,
            Err(error) => break_rule(
                broken,
                "domains",
                format!("{domain:?} is not a domain: {error}"),
                "write it as in an address, such as example.org",
            ),
        }
    }
    settings
        .domains
        .retain(|domain| seen.insert(domain.clone()));
}

fn admins(settings: &mut Settings, broken: &mut Vec<Broken>) {
    for admin in &mut settings.admins {
        match Jid::parse(admin) {
            Ok(jid) if jid.local().is_some() && jid.is_bare() => *admin = jid.as_str().into(),
            _ => break_rule(
                broken,
                "admins",
                format!("{admin:?} is not the address of an account"),
                "write it as alice@example.org",
            ),
        }
    }
}

/// Domains as addresses have them, each with a place.
fn overrides(settings: &mut Settings, broken: &mut Vec<Broken>) {
    const KEY: &str = "dns.overrides";
    let written = std::mem::take(&mut settings.dns.overrides);
    for (domain, places) in written {
        if places.is_empty() {
            let what = format!("{domain:?} has no place");
            break_rule(broken, KEY, what, "write one, or leave the domain out");
        }
        match prepare_domain(&domain).map(Cow::into_owned) {
            Ok(prepared) => {
                settings.dns.overrides.insert(prepared, places);
            }
            Err(error) => {
                let what = format!("{domain:?} is not a domain: {error}");
                break_rule(broken, KEY, what, "write it as in an address");
            }
        }
    }
}

/// Domains as addresses have them, or patterns of such.
fn exceptions(settings: &mut Settings, broken: &mut Vec<Broken>) {
    let written = std::mem::take(&mut settings.s2s.exceptions);
    for (domain, policy) in written {
        match domain.parse::<Pattern>() {
            Ok(pattern) => {
                settings.s2s.exceptions.insert(pattern.into(), policy);
            }
            Err(what) => break_rule(broken, "s2s.exceptions", what, "write it as in an address"),
        }
    }
    let s2s = &settings.s2s;
    if let Some(both) = s2s.block.iter().find(|it| s2s.allow.contains(it)) {
        let what = format!("{:?} stands in `allow`, too", both.as_str());
        break_rule(broken, "s2s.block", what, "leave it out of one of them");
    }
}

/// Domains as addresses have them, that are nobody else's.
fn components(settings: &mut Settings, broken: &mut Vec<Broken>) {
    const KEY: &str = "components";
    let taken = settings.hosts();
    let written = std::mem::take(&mut settings.components);
    for (name, component) in written {
        match prepare_domain(&name).map(Cow::into_owned) {
            Ok(prepared) if taken.contains(&prepared) => {
                let what = format!("{prepared} is this server's own");
                break_rule(broken, KEY, what, "give the component another domain");
            }
            Ok(prepared) => {
                settings.components.insert(prepared, component);
            }
            Err(error) => {
                let what = format!("{name:?} is not a domain: {error}");
                break_rule(broken, KEY, what, "write it as irc.example.org");
            }
        }
    }
}

fn certificate(settings: &Settings, broken: &mut Vec<Broken>) {
    let (one, other) = match (&settings.tls.certificate, &settings.tls.key) {
        (Some(_), None) => ("tls.certificate", "key"),
        (None, Some(_)) => ("tls.key", "certificate"),
        _ => return,
    };
    let advice = "name both PEM files, or neither for a self-signed certificate";
    break_rule(broken, one, format!("stands without `{other}`"), advice);
}

fn addresses(settings: &Settings, broken: &mut Vec<Broken>) {
    const KEYS: [&str; 8] = [
        "listen.c2s",
        "listen.c2s_tls",
        "listen.s2s",
        "listen.s2s_tls",
        "listen.http",
        "listen.http_tls",
        "listen.component",
        "listen.component_tls",
    ];
    let mut seen = BTreeSet::new();
    for (key, (_, addresses)) in KEYS.into_iter().zip(settings.listen.all()) {
        for address in addresses.iter().filter(|address| address.port() != 0) {
            if !seen.insert(*address) {
                let what = format!("{address} is listened on twice");
                break_rule(broken, key, what, "give every protocol its own port");
            }
        }
    }
}

/// A service's host is below each domain, and nobody else's.
fn hosts(settings: &Settings, broken: &mut Vec<Broken>) {
    let hosts = [
        ("rooms.host", &settings.rooms.host),
        ("pubsub.service.host", &settings.pubsub.service.host),
    ];
    let mut seen = BTreeSet::new();
    for (key, host) in hosts.into_iter().filter(|(_, host)| !host.is_empty()) {
        if !prepare_domain(host).is_ok_and(|prepared| prepared == host.as_str()) {
            let what = format!("{host:?} is not the beginning of a domain");
            break_rule(broken, key, what, "write it as `rooms`, in lower case");
        }
        if !seen.insert(host) {
            let what = format!("{host:?} is another service's host");
            break_rule(broken, key, what, "give every service its own");
        }
        for domain in &settings.domains {
            let name = format!("{host}.{domain}");
            if settings.domains.contains(&name) {
                let what = format!("{name} is one of `domains`");
                break_rule(broken, key, what, "give the service another host");
            }
        }
    }
}

fn shapes(settings: &Settings, broken: &mut Vec<Broken>) {
    let (before, after) = (&settings.limits.before_login, &settings.limits.after_login);
    // RFC 6120 §13.12: no less than 10,000 bytes for what a server takes.
    if after.size.as_u64() < 10_000 {
        let what = format!(
            "{} is less than the 10000 bytes of RFC 6120 §13.12",
            after.size
        );
        break_rule(
            broken,
            "limits.after_login.size",
            what,
            "the default is \"256 KiB\"",
        );
    }
    let holders = [
        ("c2s.send_buffer", settings.c2s.send_buffer),
        ("engine.mailbox_size", settings.engine.mailbox_size),
    ];
    for (key, size) in holders.into_iter().filter(|(_, size)| *size < after.size) {
        let what = format!("{size} cannot hold one stanza ({})", after.size);
        break_rule(
            broken,
            key,
            what,
            "it must be at least [limits.after_login] size",
        );
    }
    if before.size > after.size {
        let what = format!("{} is more than after login ({})", before.size, after.size);
        break_rule(
            broken,
            "limits.before_login.size",
            what,
            "the default is \"10 KiB\"",
        );
    }
}

fn times(settings: &Settings, broken: &mut Vec<Broken>) {
    let (limits, c2s, acks) = (&settings.limits, &settings.c2s, &settings.acks);
    let rows = [
        ("c2s.idle", c2s.idle),
        ("c2s.ping_timeout", c2s.ping_timeout),
        ("c2s.send_timeout", c2s.send_timeout),
        ("limits.handshake", limits.handshake),
        ("limits.until_tls", limits.until_tls),
        ("limits.until_bind", limits.until_bind),
        ("limits.until_registered", limits.until_registered),
        ("acks.timeout", acks.timeout),
        ("outbox.retry", settings.outbox.retry),
        ("dns.timeout", settings.dns.timeout),
        ("storage.checkpoint", settings.storage.checkpoint),
        ("engine.retire", settings.engine.retire),
    ];
    for (key, _) in rows.into_iter().filter(|(_, time)| *time == Duration::ZERO) {
        break_rule(
            broken,
            key,
            "no time at all".into(),
            "write a time such as \"60s\"",
        );
    }
}

/// What waits for who is away lies in the archive: it must not be removed there first.
fn archive(settings: &Settings, broken: &mut Vec<Broken>) {
    let (archive, offline) = (&settings.archive, &settings.offline);
    let rows = [
        (
            "archive.messages",
            archive.messages / 2 < offline.messages as u64,
            "write at least twice `messages` in [offline]",
        ),
        (
            "archive.size",
            archive.size.as_u64() / 2 < offline.size.as_u64(),
            "write at least twice `size` in [offline]",
        ),
        (
            "archive.keep",
            archive.keep < offline.keep,
            "write at least `keep` in [offline]",
        ),
    ];
    for (key, _, advice) in rows.into_iter().filter(|(_, is_less, _)| *is_less) {
        let what = "less than what may wait for people who are away".into();
        break_rule(broken, key, what, advice);
    }
}

/// A key, its value as a number, and the least that works or that a specification allows.
type Floor = (&'static str, fn(&Settings) -> u64, u64);

const FLOORS: [Floor; 24] = [
    (
        "accounts.iterations",
        |s| u64::from(s.accounts.iterations),
        4_096,
    ),
    ("c2s.sessions", |s| s.c2s.sessions as u64, 1),
    (
        "c2s.unsettled_stanzas",
        |s| s.c2s.unsettled_stanzas as u64,
        1,
    ),
    ("c2s.unsettled_size", |s| s.c2s.unsettled_size.as_u64(), 1),
    (
        "limits.before_login.size",
        |s| s.limits.before_login.size.as_u64(),
        2_048,
    ),
    ("limits.rate", |s| s.limits.rate.as_u64(), 1_024),
    ("limits.burst", |s| s.limits.burst.as_u64(), 1_024),
    ("limits.stanza_rate", |s| s.limits.stanza_rate.into(), 1),
    ("limits.stanza_burst", |s| s.limits.stanza_burst.into(), 1),
    (
        "limits.connection_rate",
        |s| s.limits.connection_rate.into(),
        1,
    ),
    (
        "limits.connection_burst",
        |s| s.limits.connection_burst.into(),
        1,
    ),
    (
        "limits.connection_rate_total",
        |s| s.limits.connection_rate_total.into(),
        1,
    ),
    ("limits.pending", |s| s.limits.pending as u64, 1),
    (
        "limits.pending_per_address",
        |s| s.limits.pending_per_address as u64,
        1,
    ),
    ("limits.failures", |s| s.limits.failures.into(), 1),
    (
        "limits.failures_per_address",
        |s| s.limits.failures_per_address.into(),
        1,
    ),
    ("s2s.sessions", |s| s.s2s.sessions as u64, 1),
    (
        "s2s.sessions_per_domain",
        |s| s.s2s.sessions_per_domain as u64,
        1,
    ),
    ("acks.stanzas", |s| s.acks.stanzas as u64, 1),
    ("storage.cache", |s| s.storage.cache.as_u64(), 1 << 20),
    (
        "storage.memtable",
        |s| s.storage.memtable.as_u64(),
        64 << 10,
    ),
    ("storage.segment", |s| s.storage.segment.as_u64(), 1 << 20),
    ("storage.readers", |s| s.storage.readers as u64, 1),
    (
        "engine.mailbox_stanzas",
        |s| s.engine.mailbox_stanzas as u64,
        16,
    ),
];

/// The same for what may be sent before and after login: both keys, the value, both floors.
type ShapeFloor = ([&'static str; 2], fn(&Shape) -> u64, [u64; 2]);

const SHAPE_FLOORS: [ShapeFloor; 5] = [
    (
        [
            "limits.before_login.elements",
            "limits.after_login.elements",
        ],
        |shape| shape.elements as u64,
        [16, 64],
    ),
    (
        ["limits.before_login.depth", "limits.after_login.depth"],
        |shape| shape.depth as u64,
        [4, 16],
    ),
    (
        [
            "limits.before_login.attributes",
            "limits.after_login.attributes",
        ],
        |shape| shape.attributes as u64,
        [8, 16],
    ),
    (
        [
            "limits.before_login.namespaces",
            "limits.after_login.namespaces",
        ],
        |shape| shape.namespaces as u64,
        [4, 4],
    ),
    (
        ["limits.before_login.name", "limits.after_login.name"],
        |shape| shape.name.as_u64(),
        [64, 64],
    ),
];

fn floors(settings: &Settings, broken: &mut Vec<Broken>) {
    let floors = FLOORS.iter();
    let mut found: Vec<(&'static str, u64, u64)> = floors
        .map(|(key, value, least)| (*key, value(settings), *least))
        .collect();
    let shapes = [&settings.limits.before_login, &settings.limits.after_login];
    for (keys, value, least) in &SHAPE_FLOORS {
        found.extend((0..2).map(|at| (keys[at], value(shapes[at]), least[at])));
    }
    for (key, value, least) in found {
        if value < least {
            let what = format!("{value} is too little");
            break_rule(broken, key, what, &format!("at least {least}"));
        }
    }
}
