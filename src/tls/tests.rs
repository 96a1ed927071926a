//! Certificates made, read, exchanged; and handshakes in memory.

use super::*;
use rcgen::{CertificateParams, KeyPair, SignatureAlgorithm};
use rookery_actors::peer_tls::{Claim, Doubt, Presented, Reference};
use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConfig, ClientConnection, RootCertStore, ServerConnection};
use std::fs;

const NOW: i64 = 1_790_000_000;
const DAY: i64 = 86_400;

struct Place {
    place: tempfile::TempDir,
    folder: Folder,
}

impl Place {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(&place.path().join("data")).unwrap();
        Place { place, folder }
    }

    fn open(&self, hosts: &[&str]) -> Arc<Certificates> {
        let choice = settings::Tls::default();
        Certificates::open(&choice, &[], &strings(hosts), &self.folder, NOW).unwrap()
    }

    /// Writes a pair of files as an operator would have them.
    fn pair(&self, name: &str, algorithm: &'static SignatureAlgorithm) -> settings::Tls {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let file = |end: &str| self.place.path().join(format!("pair.{end}"));
        fs::write(file("pem"), certificate.pem()).unwrap();
        fs::write(file("key"), key.serialize_pem()).unwrap();
        settings::Tls {
            certificate: Some(file("pem")),
            key: Some(file("key")),
        }
    }
}

fn strings(hosts: &[&str]) -> Vec<String> {
    hosts.iter().map(|host| host.to_string()).collect()
}

/// A client that trusts the certificate in this PEM file.
fn client(pem: &Path, host: &str, alpn: &[&str]) -> ClientConnection {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(pem).unwrap())
        .unwrap();
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from(host.to_owned()).unwrap();
    ClientConnection::new(Arc::new(config), name).unwrap()
}

/// Carries bytes both ways until both are done, or one refuses.
fn shake(client: &mut ClientConnection, config: &Arc<ServerConfig>) -> Result<(), rustls::Error> {
    let mut server = ServerConnection::new(Arc::clone(config)).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut bytes = vec![];
        client.write_tls(&mut bytes).unwrap();
        server.read_tls(&mut &bytes[..]).unwrap();
        let refused = server.process_new_packets().err();
        bytes.clear();
        server.write_tls(&mut bytes).unwrap();
        client.read_tls(&mut &bytes[..]).unwrap();
        client.process_new_packets()?;
        if let Some(error) = refused {
            return Err(error);
        }
    }
    Ok(())
}

#[test]
fn made_once_private_and_for_all_hosts() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let hosts = [
        "example.org",
        "rooms.example.org",
        "bücher.example",
        "127.0.0.1",
    ];
    let first = place.open(&hosts).served();
    assert!(first.self_signed);
    assert_eq!(first.missing(&strings(&hosts)), Vec::<&str>::new());
    assert_eq!(
        first.missing(&strings(&["other.example"])),
        ["other.example"]
    );
    let folder = place.folder.path().join("tls");
    for name in ["self-signed.pem", "self-signed.key"] {
        let mode = fs::metadata(folder.join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    assert_eq!(
        fs::metadata(&folder).unwrap().permissions().mode() & 0o777,
        0o700
    );
    let second = place.open(&hosts).served();
    assert_eq!(second.fingerprint, first.fingerprint, "kept");
    let pem = folder.join("self-signed.pem");
    for host in [
        "example.org",
        "rooms.example.org",
        "xn--bcher-kva.example",
        "127.0.0.1",
    ] {
        shake(&mut client(&pem, host, &[]), &second.starttls).unwrap();
    }
    assert!(shake(&mut client(&pem, "other.example", &[]), &second.starttls).is_err());
}

#[test]
fn made_anew_with_the_same_key_for_another_host_and_before_its_end() {
    let place = Place::new();
    let key = place.folder.path().join("tls/self-signed.key");
    let first = place.open(&["a.example"]).served();
    let secret = fs::read(&key).unwrap();
    let second = place.open(&["a.example", "b.example"]).served();
    assert_ne!(second.fingerprint, first.fingerprint);
    let hosts = strings(&["a.example"]);
    let later = |days: i64| {
        let choice = settings::Tls::default();
        let now = second.expires - days * DAY;
        Certificates::open(&choice, &[], &hosts, &place.folder, now)
            .unwrap()
            .served()
    };
    assert_eq!(later(31).fingerprint, second.fingerprint);
    let third = later(30);
    assert_ne!(third.fingerprint, second.fingerprint);
    assert_eq!(third.expires, second.expires - 30 * DAY + 3_650 * DAY);
    assert_eq!(fs::read(&key).unwrap(), secret);
}

#[test]
fn a_damaged_certificate_is_made_anew_and_a_damaged_key_is_not() {
    let place = Place::new();
    let first = place.open(&["a.example"]).served();
    let file = |name: &str| place.folder.path().join("tls").join(name);
    fs::write(file("self-signed.pem"), "broken").unwrap();
    let second = place.open(&["a.example"]).served();
    assert_ne!(second.fingerprint, first.fingerprint);
    fs::write(file("self-signed.key"), "broken").unwrap();
    let choice = settings::Tls::default();
    let opened = Certificates::open(&choice, &[], &[], &place.folder, NOW);
    let error = opened.map(|_| ()).unwrap_err().to_string();
    assert!(
        error.contains("self-signed.key") && error.contains("remove it"),
        "{error}"
    );
    assert_eq!(fs::read(file("self-signed.key")).unwrap(), b"broken");
}

#[test]
fn tended_while_the_server_runs() {
    let place = Place::new();
    let hosts = strings(&["a.example"]);
    let certificates = place.open(&["a.example"]);
    let first = certificates.served();
    assert!(!certificates.tend(&hosts, first.expires - 31 * DAY).unwrap());
    assert!(
        Arc::ptr_eq(&first, &certificates.served()),
        "tickets stay good"
    );
    assert!(certificates.tend(&hosts, first.expires - 30 * DAY).unwrap());
    assert_ne!(certificates.served().fingerprint, first.fingerprint);
    let choice = place.pair("a.example", &rcgen::PKCS_ECDSA_P256_SHA256);
    certificates.reload(&choice, &[], &hosts, NOW).unwrap();
    let configured = certificates.served();
    assert!(!certificates.tend(&hosts, configured.expires).unwrap());
    assert!(Arc::ptr_eq(&configured, &certificates.served()));
}

#[test]
fn direct_tls_speaks_xmpp_client_or_nothing() {
    let place = Place::new();
    let served = place.open(&["example.org"]).served();
    let pem = place.folder.path().join("tls/self-signed.pem");
    let try_with = |alpn: &[&str], config| {
        let mut client = client(&pem, "example.org", alpn);
        shake(&mut client, config).map(|()| client.alpn_protocol().map(<[u8]>::to_vec))
    };
    let chosen = Some(b"xmpp-client".to_vec());
    assert_eq!(
        try_with(&["xmpp-client"], &served.direct),
        Ok(chosen.clone())
    );
    assert_eq!(try_with(&["h2", "xmpp-client"], &served.direct), Ok(chosen));
    assert_eq!(try_with(&[], &served.direct), Ok(None));
    for wrong in [&["xmpp-server"][..], &["http/1.1", "h2"]] {
        let refusal = try_with(wrong, &served.direct);
        let alert = rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol);
        assert_eq!(refusal, Err(alert), "{wrong:?}");
    }
    assert_eq!(
        try_with(&["http/1.1"], &served.starttls),
        Ok(None),
        "no ALPN after STARTTLS"
    );
}

#[test]
fn no_early_data_no_cache_but_tickets() {
    let served = Place::new().open(&["example.org"]).served();
    for config in [&served.starttls, &served.direct] {
        assert_eq!(config.max_early_data_size, 0);
        assert!(!config.session_storage.can_cache());
        assert!(config.ticketer.enabled());
        assert!(config.send_tls13_tickets > 0);
    }
}

#[test]
fn a_configured_pair_is_exchanged_and_a_broken_one_is_not() {
    let place = Place::new();
    let hosts = strings(&["a.example"]);
    let choice = place.pair("a.example", &rcgen::PKCS_ECDSA_P256_SHA256);
    let certificates = Certificates::open(&choice, &[], &hosts, &place.folder, NOW).unwrap();
    let first = certificates.served();
    assert!(!first.self_signed);
    assert!(
        !place.folder.path().join("tls").exists(),
        "nothing is made beside it"
    );
    place.pair("a.example", &rcgen::PKCS_ECDSA_P384_SHA384);
    certificates.reload(&choice, &[], &hosts, NOW).unwrap();
    let second = certificates.served();
    assert_ne!(second.fingerprint, first.fingerprint);
    let (pem, key) = (
        choice.certificate.clone().unwrap(),
        choice.key.clone().unwrap(),
    );
    let whole = fs::read(&pem).unwrap();
    let other = KeyPair::generate().unwrap().serialize_pem();
    let rows: [(&Path, &[u8], &str); 5] = [
        (&pem, b"", "there is no certificate in this file"),
        (&pem, &whole[..whole.len() / 2], "pair.pem"),
        (
            &pem,
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "pair.pem",
        ),
        (&key, b"", "pair.key: there is nothing of the kind"),
        (&key, other.as_bytes(), "pair.key is not the key of"),
    ];
    for (file, bytes, said) in rows {
        let before = fs::read(file).unwrap();
        fs::write(file, bytes).unwrap();
        let error = certificates
            .reload(&choice, &[], &hosts, NOW)
            .unwrap_err()
            .to_string();
        assert!(error.contains(said), "{error}");
        assert_eq!(certificates.served().fingerprint, second.fingerprint);
        fs::write(file, before).unwrap();
    }
    fs::remove_file(&key).unwrap();
    assert!(certificates.reload(&choice, &[], &hosts, NOW).is_err());
    shake(
        &mut client(&pem, "a.example", &[]),
        &certificates.served().starttls,
    )
    .unwrap();
}

#[test]
fn end_point_binding_by_the_signature() {
    let place = Place::new();
    let rows: [(&'static SignatureAlgorithm, Option<usize>); 3] = [
        (&rcgen::PKCS_ECDSA_P256_SHA256, Some(32)),
        (&rcgen::PKCS_ECDSA_P384_SHA384, Some(48)),
        (&rcgen::PKCS_ED25519, None),
    ];
    for (algorithm, length) in rows {
        let choice = place.pair("a.example", algorithm);
        let hosts = strings(&["a.example"]);
        let opened = Certificates::open(&choice, &[], &hosts, &place.folder, NOW).unwrap();
        let end_point = opened.served().end_point.clone();
        assert_eq!(end_point.map(|hash| hash.len()), length, "{algorithm:?}");
    }
    let served = place.open(&["a.example"]).served();
    assert_eq!(served.end_point.as_deref(), Some(&served.fingerprint[..]));
}

#[test]
fn stars_stand_for_one_label() {
    let place = Place::new();
    let choice = place.pair("*.a.example", &rcgen::PKCS_ECDSA_P256_SHA256);
    let opened = Certificates::open(&choice, &[], &[], &place.folder, NOW).unwrap();
    let hosts = strings(&["x.a.example", "a.example", "x.y.a.example", "x.b.example"]);
    assert_eq!(
        opened.served().missing(&hosts),
        ["a.example", "x.y.a.example", "x.b.example"]
    );
}

#[test]
fn the_end_is_told_once_at_each_mark() {
    let place = Place::new();
    let served = place.open(&["a.example"]).served();
    let mut watch = ExpiryWatch::default();
    let mut told = vec![];
    for hours in (-48..30 * 24).rev() {
        let told_now = watch.check(&served, served.expires - hours * 3_600);
        told.extend(told_now.map(|text| (hours, text)));
    }
    let hours: Vec<_> = told.iter().map(|(hours, _)| *hours).collect();
    assert_eq!(hours, [21 * 24, 7 * 24, 24, 0]);
    assert!(told[0].1.contains("in 21 days"), "{}", told[0].1);
    assert!(told[3].1.contains("has expired"));
    let mut late = ExpiryWatch::default();
    let text = late.check(&served, served.expires - 5 * DAY).unwrap();
    assert!(text.contains("in 5 days"), "at a start, at once: {text}");
    assert_eq!(late.check(&served, served.expires - 4 * DAY), None);
}

/// What a server with these authorities says of who shows this certificate as evil.test.
fn judged(certificates: &Certificates, shown: &rcgen::Certificate) -> Result<(), Doubt> {
    let evil = Reference::new("evil.test").unwrap();
    let shown = Presented::new(&[shown.der().clone()]);
    let peers = &certificates.served().peers;
    let verdict = peers.judge().verdict(&shown, Claim::plain(&evil), NOW);
    verdict.map(|_| ())
}

#[test]
fn authorities_of_ones_own_are_trusted_and_read_again() {
    let place = Place::new();
    let hosts = strings(&["a.example"]);
    let choice = settings::Tls::default();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let name = rcgen::DnType::CommonName;
    params.distinguished_name.push(name, "an authority");
    let root = params.self_signed(&key).unwrap();
    let issuer = rcgen::Issuer::new(params, key);
    let mut params = CertificateParams::new(vec!["evil.test".to_owned()]).unwrap();
    params.serial_number = Some(7.into());
    let (key, end) = (
        KeyPair::generate().unwrap(),
        rcgen::date_time_ymd(2030, 1, 1),
    );
    let leaf = params.signed_by(&key, &issuer).unwrap();
    let file = place.place.path().join("ca.pem");
    let ca = [file.clone()];
    fs::write(&file, root.pem()).unwrap();

    let opened = Certificates::open(&choice, &ca, &hosts, &place.folder, NOW).unwrap();
    let alone = opened.served().peers.judge().authorities() - 1;
    assert!(alone > 0, "the system's, or Mozilla's");
    assert_eq!(judged(&opened, &leaf), Ok(()));
    // Our own certificate made anew changes nothing in that.
    let due = opened.served().expires - DAY;
    assert!(opened.tend(&hosts, due).unwrap());
    assert_eq!(judged(&opened, &leaf), Ok(()));

    let list = rcgen::CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2026, 1, 1),
        next_update: end,
        crl_number: 1.into(),
        issuing_distribution_point: None,
        revoked_certs: vec![rcgen::RevokedCertParams {
            serial_number: 7.into(),
            revocation_time: rcgen::date_time_ymd(2026, 1, 1),
            reason_code: None,
            invalidity_date: None,
        }],
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    let list = list.signed_by(&issuer).unwrap().pem().unwrap();
    fs::write(&file, root.pem() + &list).unwrap();
    opened.reload(&choice, &ca, &hosts, NOW).unwrap();
    assert_eq!(judged(&opened, &leaf), Err(Doubt::Revoked));
    opened.reload(&choice, &[], &hosts, NOW).unwrap();
    assert!(matches!(
        judged(&opened, &leaf),
        Err(Doubt::UnknownIssuer(_))
    ));
    assert_eq!(opened.served().peers.judge().authorities(), alone);
}

#[test]
fn broken_authorities_change_nothing() {
    let place = Place::new();
    let hosts = strings(&["a.example"]);
    let choice = settings::Tls::default();
    let opened = Certificates::open(&choice, &[], &hosts, &place.folder, NOW).unwrap();
    let before = opened.served();
    let file = place.place.path().join("ca.pem");
    let nonsense = |kind: &str| format!("-----BEGIN {kind}-----\nAAAA\n-----END {kind}-----\n");
    let rows = [
        (None, "No such file"),
        (Some(String::new()), "there is no certificate in this file"),
        (Some("-----BEGIN CERTIFICATE-----\n".into()), "not PEM"),
        (
            Some(nonsense("CERTIFICATE")),
            "a certificate in it cannot be read",
        ),
        (
            Some(nonsense("X509 CRL")),
            "a revocation list cannot be read",
        ),
    ];
    for (text, said) in rows {
        if let Some(text) = text {
            fs::write(&file, text).unwrap();
        }
        let reloaded = opened.reload(&choice, std::slice::from_ref(&file), &hosts, NOW);
        let error = reloaded.unwrap_err().to_string();
        assert!(
            error.contains("ca.pem: ") && error.contains(said),
            "{error}"
        );
        assert!(Arc::ptr_eq(&before, &opened.served()));
    }
}
