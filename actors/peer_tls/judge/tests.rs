//! Chains before the judge: attacks F10, F11, F16 and F30 to F32, F38.

use super::*;
use crate::peer_tls::presented::CERTIFICATES;
use crate::peer_tls::workshop::{Authority, Leaf, NOW, dns, domain, srv, xmpp};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationList, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, NameConstraints, SerialNumber, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;

/// What is said of a chain for evil.test by who trusts this root.
fn judged(root: &Authority, shown: &Presented) -> Verdict {
    let evil = domain("evil.test");
    Judge::new(root.roots()).verdict(shown, Claim::plain(&evil), NOW)
}

fn doubted(root: &Authority, leaf: &Leaf) -> Doubt {
    judged(root, &leaf.shown()).unwrap_err()
}

/// A root that may vouch only for what its certificate says.
fn constrained(permitted: &[&str], excluded: &[&str]) -> Authority {
    let trees = |names: &[&str]| {
        let names = names.iter().map(|name| name.to_string());
        names.map(GeneralSubtree::DnsName).collect()
    };
    let constraints = NameConstraints {
        permitted_subtrees: trees(permitted),
        excluded_subtrees: trees(excluded),
    };
    Authority::root("root").below_with("some", |it| it.name_constraints = Some(constraints))
}

#[test]
fn a_good_chain_is_proof_until_its_first_end() {
    let root = Authority::root("root");
    let end = |year| date_time_ymd(year, 1, 1);
    let some = root.below_with("some", |params| params.not_after = end(2027));
    let leaf = some.leaf_with(&["evil.test"], |params| params.not_after = end(2028));
    let proof = judged(&root, &leaf.shown()).unwrap();
    assert_eq!(proof.by, Means::Authority);
    assert_eq!(proof.ends, Some(end(2027).unix_timestamp()));
    // Its order does not matter, nor what else is shown.
    let mut chain = leaf.chain.clone();
    chain.push(Authority::root("other").certificate.der().clone());
    chain.push(root.certificate.der().clone());
    chain[1..].reverse();
    assert!(judged(&root, &Presented::new(&chain)).is_ok());
}

#[test]
fn who_issued_for_servers_issued_for_both_ends() {
    let root = Authority::root("root");
    let (server, client) = (
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    );
    let rows = [
        (vec![], Ok(())),
        (vec![server.clone()], Ok(())),
        (vec![client.clone(), server], Ok(())),
        (vec![client], Err(Doubt::NotForServers)),
        (
            vec![ExtendedKeyUsagePurpose::CodeSigning],
            Err(Doubt::NotForServers),
        ),
    ];
    for (usages, expected) in rows {
        let told = format!("{usages:?}");
        let leaf = root.leaf_with(&["evil.test"], |params| params.extended_key_usages = usages);
        assert_eq!(judged(&root, &leaf.shown()).map(|_| ()), expected, "{told}");
    }
}

#[test]
fn dates_hold_for_the_whole_chain() {
    let root = Authority::root("root");
    let (old, new) = (date_time_ymd(2026, 1, 1), date_time_ymd(2027, 1, 1));
    let expired = |params: &mut CertificateParams| params.not_after = old;
    let early = |params: &mut CertificateParams| params.not_before = new;
    let ended = Doubt::Expired(old.unix_timestamp());
    let coming = Doubt::NotYetValid(new.unix_timestamp());
    assert_eq!(
        doubted(&root, &root.leaf_with(&["evil.test"], expired)),
        ended
    );
    assert_eq!(
        doubted(&root, &root.leaf_with(&["evil.test"], early)),
        coming
    );
    let below = root.below_with("some", expired);
    assert_eq!(doubted(&root, &below.leaf(&["evil.test"])), ended);
    let below = root.below_with("some", early);
    assert_eq!(doubted(&root, &below.leaf(&["evil.test"])), coming);
    assert_eq!(
        ended.to_string(),
        "a certificate of its chain expired on 2026-01-01"
    );
    let evil = domain("evil.test");
    let judge = Judge::new(root.roots());
    let leaf = root.leaf_with(&["evil.test"], expired).shown();
    let at = |now| judge.verdict(&leaf, Claim::plain(&evil), now).is_ok();
    let end = old.unix_timestamp();
    assert_eq!(
        [at(end - 1), at(end + 1), at(0), at(i64::MIN)],
        [true, false, false, false]
    );
}

#[test]
fn nobody_vouches_for_himself_or_for_strangers() {
    let root = Authority::root("root");
    assert_eq!(
        doubted(&root, &Leaf::own(&["evil.test"])),
        Doubt::SelfSigned
    );
    let mut own = Authority::root("evil.test");
    own.certificate = Authority::root_with("own", |params| {
        params.subject_alt_names = vec![rcgen::SanType::DnsName("evil.test".try_into().unwrap())];
    })
    .certificate;
    let shown = Presented::new(&[own.certificate.der().clone()]);
    assert_eq!(judged(&root, &shown), Err(Doubt::SelfSigned));
    assert_eq!(
        judged(&own, &shown),
        Err(Doubt::SelfSigned),
        "nor if it is trusted"
    );
    let some = root.below_with("some", |params| {
        params.subject_alt_names = vec![rcgen::SanType::DnsName("evil.test".try_into().unwrap())];
    });
    let shown = Presented::new(&[some.certificate.der().clone()]);
    assert_eq!(judged(&root, &shown), Err(Doubt::Authority));

    let bad = Authority::root("\u{202e}bad\n");
    let doubt = doubted(&root, &bad.leaf(&["evil.test"]));
    let Doubt::UnknownIssuer(issuer) = &doubt else {
        panic!("{doubt}");
    };
    assert!(
        issuer.contains("bad") && !issuer.contains(['\n', '\u{202e}']),
        "{issuer:?}"
    );
    // Of the same name, but with another key.
    let double = Authority::root("root").leaf(&["evil.test"]);
    assert_eq!(doubted(&root, &double), Doubt::BadSignature);
    let mut broken = root.below("some").leaf(&["evil.test"]);
    broken.chain.truncate(1);
    assert!(matches!(doubted(&root, &broken), Doubt::UnknownIssuer(_)));
    // It is told how far the chain goes.
    let strange = Authority::root("strange")
        .below("x")
        .below("y")
        .leaf(&["evil.test"]);
    for (shown, end) in [(1, "CN=y"), (2, "CN=x"), (3, "CN=strange")] {
        let shown = Presented::new(&strange.chain[..shown]);
        assert_eq!(judged(&root, &shown), Err(Doubt::UnknownIssuer(end.into())));
    }
    // One who is no authority issues for nobody.
    let mere = root.below_with("some", |params| params.is_ca = IsCa::ExplicitNoCa);
    assert!(judged(&root, &mere.leaf(&["evil.test"]).shown()).is_err());
    let short = root.below_with("some", |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    });
    assert_eq!(
        doubted(&root, &short.below("more").leaf(&["evil.test"])),
        Doubt::TooLong
    );
    assert!(judged(&root, &short.leaf(&["evil.test"]).shown()).is_ok());
}

#[test]
fn who_is_trusted_by_the_settings_may_have_signed_himself() {
    let own = Leaf::own(&["evil.test"]);
    let mut roots = Roots::default();
    roots.trust(&own.chain[0]).unwrap();
    let (evil, two) = (domain("evil.test"), domain("two.test"));
    let judge = Judge::new(roots);
    assert!(
        judge
            .verdict(&own.shown(), Claim::plain(&evil), NOW)
            .is_ok()
    );
    assert!(
        judge
            .verdict(&own.shown(), Claim::plain(&two), NOW)
            .is_err()
    );
}

#[test]
fn a_wrong_name_is_told_with_those_it_has() {
    let root = Authority::root("root");
    let leaf = root.leaf(&["a.test", "*.b.test"]);
    let doubt = doubted(&root, &leaf);
    assert_eq!(
        doubt.to_string(),
        "its certificate is for a.test, *.b.test, not for evil.test"
    );
    assert_eq!(
        doubted(&root, &root.leaf(&[])).to_string(),
        "its certificate is for no server, not for evil.test"
    );
}

#[test]
fn each_domain_is_judged_alone() {
    let root = Authority::root("root");
    let judge = Judge::new(root.roots());
    let shown = root.leaf(&["evil.test", "two.test", "*.evil.test"]).shown();
    let rows = [
        ("evil.test", true),
        ("three.test", false),
        ("two.test", true),
        ("conference.evil.test", true),
        ("conference.two.test", false),
        ("evil.test", true),
    ];
    for (name, expected) in rows {
        let name = domain(name);
        let verdict = judge.verdict(&shown, Claim::plain(&name), NOW);
        assert_eq!(verdict.is_ok(), expected, "{name}: {verdict:?}");
    }
}

#[test]
fn what_was_taken_back_is_refused() {
    let root = Authority::root("root");
    let some = root.below_with("some", |it| it.serial_number = Some(SerialNumber::from(3)));
    let leaf = |serial: u64| {
        some.leaf_with(&["evil.test"], |it| it.serial_number = Some(serial.into()))
            .shown()
    };
    let verdict = |lists: &[CertificateRevocationList], shown: &Presented| {
        let mut roots = root.roots();
        lists
            .iter()
            .for_each(|list| roots.heed(list.der()).unwrap());
        let evil = domain("evil.test");
        Judge::new(roots)
            .verdict(shown, Claim::plain(&evil), NOW)
            .map(|_| ())
    };
    assert_eq!(verdict(&[], &leaf(7)), Ok(()));
    assert_eq!(
        verdict(&[some.revocation(7)], &leaf(7)),
        Err(Doubt::Revoked)
    );
    assert_eq!(verdict(&[some.revocation(8)], &leaf(7)), Ok(()));
    assert_eq!(
        verdict(&[root.revocation(3)], &leaf(7)),
        Err(Doubt::Revoked),
        "its issuer"
    );
    let stranger = Authority::root("other").revocation(7);
    assert_eq!(
        verdict(&[stranger], &leaf(7)),
        Ok(()),
        "not for him to take back"
    );
    assert!(Roots::default().heed(b"nonsense").is_err());
}

#[test]
fn what_can_be_forged_is_refused() {
    let root = Authority::root("root");
    let judged_rsa = |bits| {
        judged(
            &root,
            &Presented::new(&[root.leaf_of_rsa(&["evil.test"], bits)]),
        )
    };
    assert!(judged_rsa(2048).is_ok());
    for bits in [512, 1024, 2040] {
        let doubt = judged_rsa(bits).unwrap_err();
        assert_eq!(
            doubt,
            Doubt::Weak("an RSA key of less than 2048 bits"),
            "{bits}"
        );
    }
    let pem = include_bytes!("../fixtures/sha1.pem");
    let chain = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .unwrap();
    let mut roots = Roots::default();
    roots.trust(&chain[1]).unwrap();
    let evil = domain("evil.test");
    // The fixture was made a little later than the other tests play.
    let now = NOW + 365 * 86_400;
    let verdict = Judge::new(roots).verdict(&Presented::new(&chain), Claim::plain(&evil), now);
    assert_eq!(verdict, Err(Doubt::Weak("a signature over MD5 or SHA-1")));
}

#[test]
fn a_long_chain_is_not_followed() {
    let root = Authority::root("root");
    let below = |n: usize| (0..n).fold(root.below("0"), |top, n| top.below(&format!("{}", n + 1)));
    assert!(judged(&root, &below(5).leaf(&["evil.test"]).shown()).is_ok());
    assert_eq!(
        doubted(&root, &below(6).leaf(&["evil.test"])),
        Doubt::TooLong
    );
    let hundred = below(99).leaf(&["evil.test"]);
    assert_eq!(hundred.chain.len(), 101);
    assert_eq!(
        hundred.shown().certificates().len(),
        1,
        "the rest is not kept"
    );
    assert_eq!(doubted(&root, &hundred), Doubt::TooLong);
    // Authorities of one name, each of which could have issued any other: the search is bounded.
    let mut maze = Authority::root("twin").leaf(&["evil.test"]);
    let twin = || {
        Authority::root("twin")
            .below("twin")
            .certificate
            .der()
            .clone()
    };
    maze.chain.extend((1..CERTIFICATES).map(|_| twin()));
    assert!(judged(&root, &maze.shown()).is_err());
}

#[test]
fn constraints_on_names_are_obeyed() {
    let rows: &[(Authority, &[Vec<u8>], bool)] = &[
        (constrained(&["test"], &[]), &[dns(b"evil.test")], true),
        (
            constrained(&["test"], &[]),
            &[dns(b"*.test"), dns(b"evil.test")],
            false,
        ),
        (constrained(&["example"], &[]), &[dns(b"evil.test")], false),
        (constrained(&[], &["test"]), &[dns(b"evil.test")], false),
        (constrained(&[], &["test"]), &[dns(b"*.test")], false),
        (constrained(&[], &["evil.test"]), &[dns(b"*.test")], false),
        (constrained(&["good.test"], &[]), &[dns(b"*.test")], false),
        (constrained(&[], &["example"]), &[dns(b"evil.test")], true),
        // RFC 5280 says nothing of names of other kinds: whoever is constrained gives none.
        (
            constrained(&["example"], &[]),
            &[srv("_xmpp-server.evil.test")],
            false,
        ),
        (constrained(&[], &["test"]), &[xmpp("evil.test")], false),
        (
            constrained(&["test"], &[]),
            &[xmpp("evil.test"), dns(b"evil.test")],
            true,
        ),
        (
            Authority::root("root").below("some"),
            &[srv("_xmpp-server.evil.test")],
            true,
        ),
        (
            Authority::root("root").below("some"),
            &[xmpp("evil.test")],
            true,
        ),
    ];
    let evil = domain("evil.test");
    for (at, (some, names, expected)) in rows.iter().enumerate() {
        let mut roots = Roots::default();
        // As a root, and below one of its name: constraints hold in both places.
        roots.trust(some.certificate.der()).unwrap();
        let leaf = some.leaf_named(names);
        let verdict = Judge::new(roots).verdict(&leaf.shown(), Claim::plain(&evil), NOW);
        assert_eq!(verdict.is_ok(), *expected, "row {at}: {verdict:?}");
        if !expected {
            assert_eq!(verdict, Err(Doubt::Constrained), "row {at}");
        }
    }
    let root = Authority::root("root");
    let constraints = NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName("example".into())],
        excluded_subtrees: vec![],
    };
    let some = root.below_with("some", |it| it.name_constraints = Some(constraints));
    for name in [
        dns(b"evil.test"),
        xmpp("evil.test"),
        srv("_xmpp-server.evil.test"),
    ] {
        assert_eq!(
            doubted(&root, &some.leaf_named(&[name])),
            Doubt::Constrained
        );
    }
}

#[test]
fn thousands_of_names_take_no_time() {
    let root = Authority::root("root");
    let names = |count: u32| (0..count).map(|n| dns(format!("n{n}.test").as_bytes()));
    let ten_thousand: Vec<_> = names(10_000).collect();
    assert!(judged(&root, &root.leaf_named(&ten_thousand).shown()).is_err());
    let mut names: Vec<_> = names(4_000).collect();
    let wrong = doubted(&root, &root.leaf_named(&names));
    assert!(matches!(wrong, Doubt::WrongName { .. }));
    names[0] = dns(b"evil.test");
    assert!(judged(&root, &root.leaf_named(&names).shown()).is_ok());
    let many: Vec<_> = (0..100).map(|n| format!("c{n}.test")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let some = constrained(&many, &[]);
    let mut roots = Roots::default();
    roots.trust(some.certificate.der()).unwrap();
    let evil = domain("evil.test");
    let leaf = some.leaf_named(&names).shown();
    let verdict = Judge::new(roots).verdict(&leaf, Claim::plain(&evil), NOW);
    assert_eq!(verdict, Err(Doubt::Constrained));
}

#[test]
fn nothing_and_nonsense() {
    let root = Authority::root("root");
    let verdict = |bytes: &[u8]| judged(&root, &Presented::new(&[CertificateDer::from(bytes)]));
    assert_eq!(judged(&root, &Presented::default()), Err(Doubt::Absent));
    assert_eq!(verdict(b""), Err(Doubt::Unreadable));
    assert_eq!(verdict(b"nonsense"), Err(Doubt::Unreadable));
    let whole = root.leaf(&["evil.test"]).chain.remove(0);
    for length in 0..whole.len() {
        assert_eq!(
            verdict(&whole[..length]),
            Err(Doubt::Unreadable),
            "{length}"
        );
    }
    assert_eq!(
        verdict(&[&whole[..], b"x"].concat()),
        Err(Doubt::Unreadable)
    );
    assert!(verdict(&whole).is_ok());
    // Any one bit of what was signed, and of the signature.
    for at in 0..whole.len() {
        let mut bytes = whole.to_vec();
        bytes[at] ^= 1 << (at % 8);
        assert!(verdict(&bytes).is_err(), "{at}");
    }
    // What else is shown may be nonsense.
    let shown = Presented::new(&[whole, CertificateDer::from(&b"nonsense"[..])]);
    assert!(judged(&root, &shown).is_ok());
}

#[test]
fn the_target_counts_only_if_dnssec_vouches_for_it() {
    let root = Authority::root("root");
    let judge = Judge::new(root.roots());
    let (evil, host) = (domain("evil.test"), domain("xmpp.hosting.test"));
    let shown = root.leaf(&["xmpp.hosting.test"]).shown();
    let claim = Claim::plain(&evil);
    assert!(matches!(
        judge.verdict(&shown, claim, NOW),
        Err(Doubt::WrongName { .. })
    ));
    let target = Some(&host);
    assert!(
        judge
            .verdict(&shown, Claim { target, ..claim }, NOW)
            .is_ok()
    );
    let shown = root.leaf(&["evil.test"]).shown();
    assert!(
        judge
            .verdict(&shown, Claim { target, ..claim }, NOW)
            .is_ok()
    );
}
