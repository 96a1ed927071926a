//! Names in certificates: attacks F14 to F17, row by row.

use super::*;
use crate::peer_tls::workshop::{Authority, der, dns, domain, list, other, srv, xmpp};
use rcgen::DnType;
use x509_parser::prelude::FromDer;

/// What a certificate with these names says for a domain.
fn said(names: &[Vec<u8>], domain: &Reference) -> Match {
    let leaf = Authority::root("root").leaf_named(names);
    let (_, certificate) = X509Certificate::from_der(&leaf.chain[0]).unwrap();
    Names::read(&certificate).unwrap().name(domain)
}

#[test]
fn each_kind_of_name() {
    let evil = domain("evil.test");
    let ip = der(0x87, &[192, 0, 2, 1]);
    let rows: &[(Vec<u8>, Match)] = &[
        (dns(b"evil.test"), Match::Dns),
        (dns(b"EVIL.Test"), Match::Dns),
        (dns(b"*.test"), Match::Dns),
        (dns(b"*.evil.test"), Match::None),
        (dns(b"e*.test"), Match::None),
        (dns(b"*vil.test"), Match::None),
        (dns(b"*.*"), Match::None),
        (dns(b"*.*.test"), Match::None),
        (dns(b"*"), Match::None),
        (dns(b"*."), Match::None),
        (dns(b"evil.*"), Match::None),
        (dns(b"evil.test."), Match::None),
        (dns(b".evil.test"), Match::None),
        (dns(b"test"), Match::None),
        (dns(b""), Match::None),
        (srv("_xmpp-server.evil.test"), Match::Other),
        (srv("_XMPP-Server.Evil.test"), Match::Other),
        (srv("_xmpp-client.evil.test"), Match::None),
        (srv("_xmpps-server.evil.test"), Match::None),
        (srv("_xmpp-server.*.test"), Match::None),
        (srv("_xmpp-server._tcp.evil.test"), Match::None),
        (srv("evil.test"), Match::None),
        (srv("_xmpp-server."), Match::None),
        (xmpp("evil.test"), Match::Other),
        (xmpp("x@evil.test"), Match::None),
        (xmpp("evil.test/x"), Match::None),
        (xmpp("*.test"), Match::None),
        (ip, Match::None),
        (der(0x86, b"xmpp:evil.test"), Match::None),
        (der(0x81, b"evil.test"), Match::None),
    ];
    for (name, expected) in rows {
        let said = said(std::slice::from_ref(name), &evil);
        assert_eq!(said, *expected, "{}", name.escape_ascii());
    }
    let both = [xmpp("evil.test"), dns(b"evil.test")];
    assert_eq!(said(&both, &evil), Match::Dns, "what constraints hold for");
    assert_eq!(said(&both, &domain("other.test")), Match::None);
}

#[test]
fn a_star_stands_for_one_label() {
    let star = [dns(b"*.evil.test")];
    let rows = [
        ("a.evil.test", Match::Dns),
        ("xn--exmple-cua.evil.test", Match::Dns),
        ("a.b.evil.test", Match::None),
        ("evil.test", Match::None),
        ("aevil.test", Match::None),
    ];
    for (name, expected) in rows {
        assert_eq!(said(&star, &domain(name)), expected, "{name}");
    }
    assert_eq!(said(&[dns(b"*.test")], &domain("test")), Match::None);
    assert_eq!(said(&[dns(b"localhost")], &domain("localhost")), Match::Dns);
}

#[test]
fn what_asn1_is_not_does_not_count() {
    let evil = domain("evil.test");
    let nested = der(
        0xa0,
        &[der(0x06, &[0x2b, 6, 1, 5, 5, 7, 8, 5]), xmpp("evil.test")].concat(),
    );
    let kind = der(0x06, &[0x2b, 6, 1, 5, 5, 7, 8, 5]);
    let bare = der(0xa0, &[kind, der(0x0c, b"evil.test")].concat());
    let rows: &[Vec<u8>] = &[
        dns(b"evil.test\0.attacker.org"),
        dns(b"evil.test\0"),
        dns(b"evil\xe3\x80\x82test"),
        dns(b"evil.te\xff"),
        dns("ｅvil.test".as_bytes()),
        xmpp("evil.test\0"),
        xmpp("evil。test"),
        xmpp("ｅvil.test"),
        xmpp("еvil.test"),
        other(7, 0x0c, b"_xmpp-server.evil.test"),
        other(5, 0x16, b"evil.test"),
        other(5, 0x04, b"evil.test"),
        other(5, 0x0c, b"evil.test\xff"),
        other(6, 0x0c, b"evil.test"),
        nested,
        bare,
    ];
    for name in rows {
        assert_eq!(
            said(std::slice::from_ref(name), &evil),
            Match::None,
            "{}",
            name.escape_ascii()
        );
    }
    // A name that cannot be read spoils no other.
    assert_eq!(said(&[dns(b"\xff"), dns(b"evil.test")], &evil), Match::Dns);
}

#[test]
fn the_subject_is_no_name() {
    let evil = domain("evil.test");
    let root = Authority::root("root");
    for (kind, text) in [
        (DnType::CommonName, "evil.test"),
        (DnType::OrganizationalUnitName, "CN=evil.test,"),
        (DnType::OrganizationName, "x, CN=evil.test"),
    ] {
        let leaf = root.leaf_with(&[], |params| params.distinguished_name.push(kind, text));
        let (_, certificate) = X509Certificate::from_der(&leaf.chain[0]).unwrap();
        assert_eq!(
            Names::read(&certificate).unwrap().name(&evil),
            Match::None,
            "{text}"
        );
    }
}

#[test]
fn no_more_names_are_read_than_promised() {
    let evil = domain("evil.test");
    let mut names: Vec<_> = (0..10_000)
        .map(|n| dns(format!("n{n}.test").as_bytes()))
        .collect();
    names[NAMES_READ - 1] = dns(b"evil.test");
    assert_eq!(said(&names, &evil), Match::Dns);
    names.insert(0, dns(b"other.test"));
    assert_eq!(said(&names, &evil), Match::None);
    let leaf = Authority::root("root").leaf_named(&names);
    let (_, certificate) = X509Certificate::from_der(&leaf.chain[0]).unwrap();
    let told = Names::read(&certificate).unwrap().told();
    let expected = "other.test, n0.test, n1.test, n2.test, n3.test, n4.test and 250 more";
    assert_eq!(told, expected);
}

#[test]
fn two_lists_of_names_are_none() {
    let root = Authority::root("root");
    let lists = vec![list(&[dns(b"evil.test")]), list(&[dns(b"two.test")])];
    let leaf = root.leaf_with(&[], |params| params.custom_extensions = lists);
    // Not even this much is read of such a certificate, or nothing is found in it.
    if let Ok((_, certificate)) = X509Certificate::from_der(&leaf.chain[0]) {
        assert!(Names::read(&certificate).is_err());
    }
}

#[test]
fn domains_are_compared_as_the_dns_has_them() {
    let umlaut = domain("exämple.test");
    assert_eq!(umlaut.ascii(), "xn--exmple-cua.test");
    assert_eq!(umlaut, domain("xn--exmple-cua.test"));
    assert_eq!(umlaut, domain("EXÄMPLE.test"));
    assert_eq!(umlaut.to_string(), "exämple.test");
    for name in [
        dns(b"xn--exmple-cua.test"),
        dns(b"XN--EXMPLE-CUA.test"),
        srv("_xmpp-server.xn--exmple-cua.test"),
        xmpp("exämple.test"),
        xmpp("xn--exmple-cua.test"),
    ] {
        assert_ne!(said(std::slice::from_ref(&name), &umlaut), Match::None);
    }
    for name in [
        xmpp("EXÄMPLE.test"),
        xmpp("exa\u{308}mple.test"),
        xmpp("example.test"),
    ] {
        assert_eq!(said(std::slice::from_ref(&name), &umlaut), Match::None);
    }
}

#[test]
fn what_is_no_domain_has_no_name() {
    let long = format!("{}.test", "a".repeat(64));
    for text in [
        "xn--example-.org",
        "xn--a.org",
        "192.0.2.1",
        "192.0.2.0x1.1",
        "[2001:db8::1]",
        "::1",
        "",
        ".",
        "evil.test.",
        "evil..test",
        "evil test",
        "*.test",
        "evil.test\0",
        "a@evil.test",
        &long,
    ] {
        assert_eq!(Reference::new(text), Err(Doubt::Nameless), "{text:?}");
    }
}

#[test]
fn names_are_shown_without_harm() {
    let leaf = Authority::root("root").leaf_named(&[
        dns(b"\x1b[31m\n2026 ok"),
        dns("x".repeat(200).as_bytes()),
        xmpp("a\u{202e}b"),
    ]);
    let (_, certificate) = X509Certificate::from_der(&leaf.chain[0]).unwrap();
    let told = Names::read(&certificate).unwrap().told();
    assert!(!told.contains(['\x1b', '\n', '\u{202e}']), "{told}");
    assert!(
        told.contains("\\n2026 ok") && told.contains('…') && told.len() < 200,
        "{told}"
    );
    assert_eq!(Names::default().told(), "no server");
}
