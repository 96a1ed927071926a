//! What TLSA records prove and what not (RFC 6698, RFC 7671, RFC 7673; attack F42).

use super::*;
use crate::peer_tls::workshop::{Authority, Leaf, NOW, domain};
use crate::peer_tls::{Claim, Doubt, Judge, Means, Verdict};
use rcgen::{BasicConstraints, CertificateParams, IsCa, date_time_ymd};

/// A record for a certificate.
fn record(usage: u8, selector: u8, matching: u8, of: &CertificateDer<'_>) -> Tlsa {
    let (_, read) = X509Certificate::from_der(of).unwrap();
    let content = if selector == 0 {
        of.as_ref()
    } else {
        read.public_key().raw
    };
    let data = match matching {
        0 => content.to_vec(),
        1 => Sha256::digest(content).to_vec(),
        _ => Sha512::digest(content).to_vec(),
    };
    Tlsa {
        usage,
        selector,
        matching,
        data,
    }
}

/// Each selector with each matching type.
fn forms() -> impl Iterator<Item = (u8, u8)> {
    (0..2).flat_map(|selector| (0..3).map(move |matching| (selector, matching)))
}

/// What is said of who shows this chain as evil.test, at a target that DNSSEC vouches for.
fn said(roots: Roots, leaf: &Leaf, tlsa: &[Tlsa]) -> Verdict {
    let (evil, target) = (domain("evil.test"), domain("host.test"));
    let claim = Claim {
        domain: &evil,
        target: Some(&target),
        tlsa,
    };
    Judge::new(roots).verdict(&leaf.shown(), claim, NOW)
}

fn expired(params: &mut CertificateParams) {
    params.not_after = date_time_ymd(2026, 1, 1);
}

#[test]
fn dane_ee_needs_no_name_no_date_and_no_authority() {
    let root = Authority::root("root");
    let leaf = root.leaf_with(&["other.test"], expired);
    for (selector, matching) in forms() {
        let good = record(3, selector, matching, &leaf.chain[0]);
        let proof = said(Roots::default(), &leaf, &[good]).unwrap();
        assert_eq!((proof.by, proof.ends), (Means::Dns, None));
        for wrong in [&root.leaf(&["evil.test"]).chain[0], root.certificate.der()] {
            let wrong = record(3, selector, matching, wrong);
            assert_eq!(said(root.roots(), &leaf, &[wrong]), Err(Doubt::NotInDns));
        }
    }
    let own = Leaf::own(&[]);
    let records = [
        record(3, 1, 1, &leaf.chain[0]),
        record(3, 1, 1, &own.chain[0]),
    ];
    assert!(said(Roots::default(), &own, &records).is_ok(), "one of two");
}

#[test]
fn a_wrong_record_is_not_made_good_by_an_authority() {
    let root = Authority::root("root");
    let leaf = root.leaf(&["evil.test"]);
    assert!(said(root.roots(), &leaf, &[]).is_ok());
    for usage in 0..4 {
        let wrong = record(usage, 1, 1, &Leaf::own(&["evil.test"]).chain[0]);
        assert_eq!(
            said(root.roots(), &leaf, &[wrong]),
            Err(Doubt::NotInDns),
            "{usage}"
        );
    }
}

#[test]
fn records_that_cannot_be_used_are_as_none() {
    let root = Authority::root("root");
    let leaf = root.leaf(&["evil.test"]);
    let good = record(3, 1, 1, &leaf.chain[0]);
    let short = |matching, length: usize| Tlsa {
        matching,
        data: vec![0; length],
        ..good.clone()
    };
    let rows = [
        Tlsa {
            usage: 4,
            ..good.clone()
        },
        Tlsa {
            usage: 255,
            ..good.clone()
        },
        Tlsa {
            selector: 2,
            ..good.clone()
        },
        Tlsa {
            matching: 3,
            ..good.clone()
        },
        short(0, 0),
        short(1, 31),
        short(1, 33),
        short(2, 32),
    ];
    assert_eq!(
        said(root.roots(), &leaf, &rows).map(|it| it.by),
        Ok(Means::Authority)
    );
    assert!(said(Roots::default(), &leaf, &rows).is_err());
    let mut many = vec![record(3, 1, 1, &Leaf::own(&[]).chain[0]); RECORDS];
    many[RECORDS - 1] = good.clone();
    assert!(said(Roots::default(), &leaf, &many).is_ok());
    many.insert(0, many[0].clone());
    assert!(
        said(Roots::default(), &leaf, &many).is_err(),
        "no more are looked at"
    );
}

#[test]
fn dane_ta_makes_an_authority_that_is_shown() {
    let root = Authority::root("root");
    let some = root.below("some");
    let mut leaf = some.leaf(&["evil.test"]);
    leaf.chain.push(root.certificate.der().clone());
    for (selector, matching) in forms() {
        for issuer in [&leaf.chain[1], &leaf.chain[2]] {
            let good = record(2, selector, matching, issuer);
            let proof = said(Roots::default(), &leaf, &[good]).unwrap();
            assert_eq!(proof.by, Means::Dns, "{selector} {matching}");
            assert!(proof.ends.is_some());
        }
        let own = record(2, selector, matching, &leaf.chain[0]);
        assert!(
            said(root.roots(), &leaf, &[own]).is_err(),
            "a server is no authority"
        );
    }
    let ta = [record(2, 0, 1, root.certificate.der())];
    let shown = |change: fn(&mut CertificateParams), names: &[&str]| {
        let mut leaf = some.leaf_with(names, change);
        leaf.chain.push(root.certificate.der().clone());
        said(Roots::default(), &leaf, &ta).map(|_| ())
    };
    assert_eq!(shown(|_| {}, &["host.test"]), Ok(()), "the target");
    assert!(matches!(
        shown(|_| {}, &["other.test"]),
        Err(Doubt::WrongName { .. })
    ));
    assert!(matches!(
        shown(expired, &["evil.test"]),
        Err(Doubt::Expired(_))
    ));
}

#[test]
fn dane_ta_not_shown_counts_only_if_it_is_whole_in_the_dns() {
    let root = Authority::root("root");
    let leaf = root.below("some").leaf(&["evil.test"]);
    for (selector, matching) in forms() {
        let ta = record(2, selector, matching, root.certificate.der());
        let verdict = said(Roots::default(), &leaf, &[ta]);
        assert_eq!(
            verdict.is_ok(),
            matching == 0,
            "{selector} {matching}: {verdict:?}"
        );
    }
    let other = Authority::root("root");
    for selector in 0..2 {
        let ta = record(2, selector, 0, other.certificate.der());
        assert!(
            said(root.roots(), &leaf, &[ta]).is_err(),
            "another key, {selector}"
        );
    }
    let nonsense = |selector| Tlsa {
        usage: 2,
        selector,
        matching: 0,
        data: b"0".to_vec(),
    };
    assert!(said(Roots::default(), &leaf, &[nonsense(0), nonsense(1)]).is_err());
}

#[test]
fn the_certificate_of_a_dane_ta_is_held_to_what_it_says() {
    let verdict = |change: fn(&mut CertificateParams)| {
        let root = Authority::root_with("root", change);
        let mut leaf = root.below("some").leaf(&["evil.test"]);
        leaf.chain.push(root.certificate.der().clone());
        said(
            Roots::default(),
            &leaf,
            &[record(2, 0, 1, root.certificate.der())],
        )
        .is_ok()
    };
    let length = |n| IsCa::Ca(BasicConstraints::Constrained(n));
    assert!(verdict(|_| {}));
    assert!(!verdict(expired));
    assert!(!verdict(|params| params.is_ca = IsCa::ExplicitNoCa));
    assert!(!verdict(|params| params.is_ca = IsCa::NoCa));
    let zero = |params: &mut CertificateParams| {
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    };
    assert!(!verdict(zero));
    let root = Authority::root_with("root", |params| params.is_ca = length(1));
    let mut leaf = root.below("some").leaf(&["evil.test"]);
    leaf.chain.push(root.certificate.der().clone());
    let ta = [record(2, 0, 1, root.certificate.der())];
    assert!(said(Roots::default(), &leaf, &ta).is_ok());
}

#[test]
fn pkix_ee_needs_both() {
    let root = Authority::root("root");
    let leaf = root.leaf(&["evil.test"]);
    for (selector, matching) in forms() {
        let good = [record(1, selector, matching, &leaf.chain[0])];
        assert_eq!(
            said(root.roots(), &leaf, &good).map(|it| it.by),
            Ok(Means::Authority)
        );
        let strange = Authority::root("strange").roots();
        assert!(matches!(
            said(strange, &leaf, &good),
            Err(Doubt::UnknownIssuer(_))
        ));
        let issuer = [record(1, selector, matching, root.certificate.der())];
        assert_eq!(said(root.roots(), &leaf, &issuer), Err(Doubt::NotInDns));
    }
    let other = root.leaf(&["other.test"]);
    let named = [record(1, 1, 1, &other.chain[0])];
    assert!(matches!(
        said(root.roots(), &other, &named),
        Err(Doubt::WrongName { .. })
    ));
}

#[test]
fn pkix_ta_is_a_trusted_path_through_it() {
    let (root, other) = (Authority::root("root"), Authority::root("other"));
    let some = root.below("some");
    let leaf = some.leaf(&["evil.test"]);
    let both = || {
        let mut roots = root.roots();
        roots.trust(other.certificate.der()).unwrap();
        roots
    };
    for (selector, matching) in forms() {
        let through = |ta: &Authority| [record(0, selector, matching, ta.certificate.der())];
        let form = format!("{selector} {matching}");
        for ta in [&root, &some] {
            let verdict = said(both(), &leaf, &through(ta));
            assert_eq!(verdict.map(|it| it.by), Ok(Means::Authority), "{form}");
            assert!(
                said(other.roots(), &leaf, &through(ta)).is_err(),
                "{form}: not trusted"
            );
        }
        // Trusted, and even shown, but not on the path.
        let mut more = some.leaf(&["evil.test"]);
        more.chain.push(other.certificate.der().clone());
        assert_eq!(
            said(both(), &more, &through(&other)),
            Err(Doubt::NotInDns),
            "{form}"
        );
    }
    // Of an authority that is known by its key alone.
    let mut roots = Roots::default();
    let anchor = webpki::anchor_from_trusted_cert(root.certificate.der()).unwrap();
    roots.trust_anchors([anchor.to_owned()]);
    let (key, whole) = (
        [record(0, 1, 1, root.certificate.der())],
        [record(0, 0, 1, root.certificate.der())],
    );
    let judge = |roots: Roots, tlsa: &[Tlsa]| said(roots, &leaf, tlsa).is_ok();
    assert!(judge(roots, &key));
    let mut roots = Roots::default();
    roots.trust_anchors([anchor.to_owned()]);
    assert!(!judge(roots, &whole));
}

#[test]
fn sequences_of_every_length() {
    for length in [0, 1, 127, 128, 255, 256, 65_535, 65_536] {
        let inner = vec![5; length];
        assert_eq!(content(&sequence(&inner)), Some(&inner[..]), "{length}");
    }
}
