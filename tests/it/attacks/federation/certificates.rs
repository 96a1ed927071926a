//! F10 to F17: certificates that prove a domain, and those that do not, each shown in a handshake
//! and then tried with EXTERNAL. What no TLS of ours can show, a key of RSA 1024 and a signature
//! over SHA-1, is judged beside the judge in actors.

use super::super::row::{Row, Stage, must, scene};
use super::{called, open, showing};
use crate::authority::{Authority, Leaf};
use crate::certificates::{self, der, dns, other, srv, xmpp};
use crate::client::Client;
use crate::tls;
use crate::xml::{Heard, STREAMS};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa};
use rcgen::{NameConstraints, date_time_ymd};

pub fn rows() -> Vec<Row> {
    vec![
        scene("F10", "certificates that are not good", bad),
        scene("F11", "what certificates are for", purposes),
        scene("F14", "every kind of name", names),
        scene("F15", "names that only look right", lookalikes),
        scene("F16", "thousands of names, and constrained ones", bounds),
        scene("F17", "domains in other scripts", scripts),
    ]
}

type Kinds = Vec<(&'static str, Leaf)>;

/// Whether who shows this is believed to be the domain: EXTERNAL is offered, and taken.
fn is_believed(stage: &Stage, domain: &str, shown: &Leaf) -> Result<bool, String> {
    let mut server = showing(stage, domain, shown)?;
    let offered = server.mechanisms() == ["EXTERNAL"];
    // It may be tried without an offer.
    server.auth("EXTERNAL", "=")?;
    match (offered, server.outcome()?.as_deref()) {
        (true, None) => Ok(true),
        (false, Some("not-authorized")) => Ok(false),
        other => Err(format!("offered and refused: {other:?}")),
    }
}

fn all_are(believed: bool, stage: &Stage, kinds: Kinds) -> Result<(), String> {
    for (what, leaf) in kinds {
        let found = is_believed(stage, "evil.test", &leaf).map_err(|e| format!("{what}: {e}"))?;
        must(found == believed, || format!("{what}: believed is {found}"))?;
    }
    Ok(())
}

/// A certificate for evil.test by the authority, with something changed.
fn changed(change: impl FnOnce(&mut CertificateParams)) -> Leaf {
    Authority::get().leaf_with(&["evil.test"], change)
}

fn bad(stage: &Stage) -> Result<(), String> {
    let root = Authority::get();
    let mut broken = root.below("some").leaf(&["evil.test"]);
    broken.chain.truncate(1);
    let hundred = (0..100).fold(root.below("0"), |above, n| above.below(&n.to_string()));
    let mere = root.below_with("mere", |it| it.is_ca = IsCa::ExplicitNoCa);
    let double = certificates::Authority::root("an authority");
    let kinds = vec![
        (
            "expired",
            changed(|it| it.not_after = date_time_ymd(2020, 1, 1)),
        ),
        (
            "not yet valid",
            changed(|it| it.not_before = date_time_ymd(2200, 1, 1)),
        ),
        ("signed by itself", Leaf::own(&["evil.test"])),
        (
            "by a stranger",
            certificates::Authority::root("bad").leaf(&["evil.test"]),
        ),
        (
            "by one who bears a name that is trusted",
            double.leaf(&["evil.test"]),
        ),
        ("by no authority", mere.leaf(&["evil.test"])),
        ("of another", root.leaf(&["other.test"])),
        ("of nobody", root.leaf(&[])),
        ("taken back", root.taken_back(&["evil.test"])),
        ("with a chain that is broken", broken),
        ("with a hundred between", hundred.leaf(&["evil.test"])),
    ];
    all_are(false, stage, kinds)?;
    let kinds = vec![
        ("good", changed(|_| {})),
        ("below one", root.below("one").leaf(&["evil.test"])),
    ];
    all_are(true, stage, kinds)
}

/// Authorities no longer issue for clients, so what is good for a server is good on either end.
fn purposes(stage: &Stage) -> Result<(), String> {
    use ExtendedKeyUsagePurpose::{ClientAuth, CodeSigning, ServerAuth};
    let of = |purposes: Vec<_>| changed(|it| it.extended_key_usages = purposes);
    let good = vec![
        ("server", of(vec![ServerAuth])),
        ("both", of(vec![ClientAuth, ServerAuth])),
        ("anything", of(vec![])),
    ];
    all_are(true, stage, good)?;
    let bad = vec![
        ("client", of(vec![ClientAuth])),
        ("code", of(vec![CodeSigning])),
    ];
    all_are(false, stage, bad)
}

fn named(names: &[Vec<u8>]) -> Leaf {
    Authority::get().leaf_named(names)
}

fn names(stage: &Stage) -> Result<(), String> {
    let good = vec![
        ("dNSName", named(&[dns(b"evil.test")])),
        ("its first label a star", named(&[dns(b"*.test")])),
        ("SRVName", named(&[srv("_xmpp-server.evil.test")])),
        ("xmppAddr", named(&[xmpp("evil.test")])),
        (
            "one of several",
            named(&[dns(b"other.test"), dns(b"evil.test")]),
        ),
    ];
    all_are(true, stage, good)?;
    let common = |it: &mut CertificateParams| {
        it.subject_alt_names.clear();
        it.distinguished_name.push(DnType::CommonName, "evil.test");
    };
    let bad = vec![
        ("those below it", named(&[dns(b"*.evil.test")])),
        ("a star in a label", named(&[dns(b"e*.test")])),
        ("two stars", named(&[dns(b"*.*.test")])),
        ("a star alone", named(&[dns(b"*")])),
        (
            "SRVName of clients",
            named(&[srv("_xmpp-client.evil.test")]),
        ),
        ("SRVName of the web", named(&[srv("_https.evil.test")])),
        ("xmppAddr of an account", named(&[xmpp("x@evil.test")])),
        ("xmppAddr with a star", named(&[xmpp("*.test")])),
        ("common name", changed(common)),
        ("address", named(&[der(0x87, &[127, 0, 0, 1])])),
    ];
    all_are(false, stage, bad)
}

/// CVE-2025-59154.
fn lookalikes(stage: &Stage) -> Result<(), String> {
    let subject = |kind: DnType, text: &'static str| {
        let change = |it: &mut CertificateParams| {
            it.subject_alt_names.clear();
            it.distinguished_name.push(kind, text);
        };
        changed(change)
    };
    let bad = vec![
        (
            "unit",
            subject(DnType::OrganizationalUnitName, "CN=evil.test,"),
        ),
        (
            "organisation",
            subject(DnType::OrganizationName, "x, CN=evil.test"),
        ),
        ("NUL", named(&[dns(b"evil.test\0.attacker.org")])),
        ("NUL at its end", named(&[xmpp("evil.test\0")])),
        ("an ideographic dot", named(&[xmpp("evil\u{3002}test")])),
        ("a wide letter", named(&[xmpp("\u{ff45}vil.test")])),
        ("a Cyrillic letter", named(&[xmpp("\u{435}vil.test")])),
        (
            "bytes that are no UTF-8",
            named(&[other(5, 0x0c, b"evil.test\xff")]),
        ),
        (
            "an xmppAddr of another type",
            named(&[other(5, 0x16, b"evil.test")]),
        ),
        (
            "an SRVName of another type",
            named(&[other(7, 0x0c, b"_xmpp-server.evil.test")]),
        ),
        ("another kind", named(&[other(6, 0x0c, b"evil.test")])),
    ];
    all_are(false, stage, bad)
}

fn bounds(stage: &Stage) -> Result<(), String> {
    let many = |count: usize, last: &[u8]| {
        let names = (1..count).map(|n| dns(format!("n{n}.test").as_bytes()));
        named(&names.chain([dns(last)]).collect::<Vec<_>>())
    };
    all_are(
        true,
        stage,
        vec![("the last that is read", many(256, b"evil.test"))],
    )?;
    all_are(
        false,
        stage,
        vec![("the first that is not", many(257, b"evil.test"))],
    )?;
    // Nearly as many as a handshake takes.
    all_are(
        false,
        stage,
        vec![("the last of thousands", many(3_000, b"evil.test"))],
    )?;
    let trees = |names: &[&str]| -> Vec<GeneralSubtree> {
        let names = names.iter().map(|it| it.to_string());
        names.map(GeneralSubtree::DnsName).collect()
    };
    let of = |permitted: &[&str], excluded: &[&str], name: Vec<u8>| {
        let constraints = NameConstraints {
            permitted_subtrees: trees(permitted),
            excluded_subtrees: trees(excluded),
        };
        let change = |it: &mut CertificateParams| it.name_constraints = Some(constraints);
        Authority::get()
            .below_with("some", change)
            .leaf_named(&[name])
    };
    let good = vec![
        ("permitted", of(&["test"], &[], dns(b"evil.test"))),
        (
            "others are excluded",
            of(&[], &["example"], dns(b"evil.test")),
        ),
    ];
    all_are(true, stage, good)?;
    let bad = vec![
        ("excluded", of(&[], &["test"], dns(b"evil.test"))),
        (
            "a star over what is excluded",
            of(&[], &["evil.test"], dns(b"*.test")),
        ),
        (
            "only others are permitted",
            of(&["example"], &[], dns(b"evil.test")),
        ),
        (
            "a star over what is permitted",
            of(&["good.test"], &[], dns(b"*.test")),
        ),
        (
            "a service of the excluded",
            of(&[], &["test"], srv("_xmpp-server.evil.test")),
        ),
        (
            "an address of the excluded",
            of(&["example"], &[], xmpp("evil.test")),
        ),
    ];
    all_are(false, stage, bad)
}

/// A-labels on both sides, by UTS 46.
fn scripts(stage: &Stage) -> Result<(), String> {
    let rows = [
        ("exämple.test", named(&[dns(b"xn--exmple-cua.test")]), true),
        ("EXÄMPLE.test", named(&[dns(b"xn--exmple-cua.test")]), true),
        (
            "xn--exmple-cua.test",
            named(&[dns(b"xn--exmple-cua.test")]),
            true,
        ),
        ("exämple.test", named(&[xmpp("exämple.test")]), true),
        ("exämple.test", named(&[dns(b"example.test")]), false),
        ("example.test", named(&[dns(b"xn--exmple-cua.test")]), false),
    ];
    for (domain, leaf, believed) in rows {
        let found = is_believed(stage, domain, &leaf).map_err(|e| format!("{domain}: {e}"))?;
        must(found == believed, || {
            format!("{domain}: believed is {found}")
        })?;
    }
    // Labels that only look like A-labels name nobody (RUSTSEC-2024-0421): no header, or no proof.
    for fake in ["xn--example-.org", "xn--evil-.test"] {
        let mut server = called(stage, "evil.test")?;
        server.handshake_by(tls::configuration_showing(&named(&[dns(fake.as_bytes())])))?;
        must(!is_named(&mut server, fake)?, || {
            format!("{fake} is believed")
        })?;
    }
    Ok(())
}

/// Whether a header with this domain is answered with an offer of EXTERNAL.
fn is_named(server: &mut Client, domain: &str) -> Result<bool, String> {
    if open(server, domain).is_ok() {
        return Ok(!server.mechanisms().is_empty());
    }
    match server.transcript.last() {
        Some(last) if last.contains("error") && last.contains(STREAMS) => Ok(false),
        _ => match server.hear() {
            Ok(Heard::Element(it)) if it.is(STREAMS, "error") => Ok(false),
            other => Err(format!("{other:?}")),
        },
    }
}
