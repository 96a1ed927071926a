//! Handshakes in memory: what each side learns of the other, and who is cut off.

use super::*;
use crate::peer_tls::workshop::{Authority, Leaf, NOW, dns, domain};
use crate::peer_tls::{Claim, Roots, Verdict};
use rcgen::KeyPair;
use rustls::{HandshakeKind, ProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

/// A server: what it shows, and whom it trusts.
fn site(leaf: &Leaf, roots: Roots) -> PeerTls {
    PeerTls::new(Arc::new(OneForAll(Some(leaf.certified()))), judge(roots)).unwrap()
}

fn judge(roots: Roots) -> Arc<Judge> {
    Arc::new(Judge::new(roots))
}

/// What one side has after a handshake.
struct Side {
    shown: Presented,
    alpn: Option<Vec<u8>>,
    kind: Option<HandshakeKind>,
    version: Option<ProtocolVersion>,
}

impl Side {
    fn new(shown: Presented, connection: &rustls::CommonState) -> Self {
        Side {
            shown,
            alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
            kind: connection.handshake_kind(),
            version: connection.protocol_version(),
        }
    }

    /// What a site's judge says of the other side.
    fn judged(&self, site: &PeerTls, name: &str) -> Verdict {
        let name = domain(name);
        site.judge().verdict(&self.shown, Claim::plain(&name), NOW)
    }
}

/// One byte each way: only then does the initiating side know that it was not cut off.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> io::Result<()> {
    stream.write_all(b"x").await?;
    stream.flush().await?;
    stream.read_u8().await.map(|_| ())
}

async fn accepted(site: &PeerTls, io: DuplexStream, how: Beginning) -> io::Result<Side> {
    let (mut stream, shown) = site.accept(io, how).await?;
    exchange(&mut stream).await?;
    Ok(Side::new(shown, stream.get_ref().1))
}

async fn connected(
    site: &PeerTls,
    io: DuplexStream,
    how: Beginning,
    names: [&str; 2],
) -> io::Result<Side> {
    let [own, peer] = names.map(domain);
    let (mut stream, shown) = site.connect(io, how, &own, &peer).await?;
    exchange(&mut stream).await?;
    Ok(Side::new(shown, stream.get_ref().1))
}

/// Has one connect to the other as evil.test to a.test: what both have, the acceptor first.
async fn meet(
    from: &PeerTls,
    to: &PeerTls,
    how: [Beginning; 2],
) -> (io::Result<Side>, io::Result<Side>) {
    let (near, far) = duplex(256 * 1024);
    tokio::join!(
        accepted(to, far, how[1]),
        connected(from, near, how[0], ["evil.test", "a.test"])
    )
}

const STARTTLS: [Beginning; 2] = [Beginning::StartTls; 2];
const DIRECT: [Beginning; 2] = [Beginning::Direct; 2];

#[tokio::test]
async fn both_sides_learn_who_the_other_is() {
    let root = Authority::root("root");
    let (evil, a) = (
        root.leaf(&["evil.test"]),
        root.below("some").leaf(&["a.test"]),
    );
    let (from, to) = (site(&evil, root.roots()), site(&a, root.roots()));
    for (how, alpn) in [(STARTTLS, None), (DIRECT, Some(ALPN.to_vec()))] {
        let (inbound, outbound) = meet(&from, &to, how).await;
        let (inbound, outbound) = (inbound.unwrap(), outbound.unwrap());
        assert_eq!(inbound.shown, evil.shown());
        assert_eq!(outbound.shown, a.shown());
        assert!(
            inbound.judged(&to, "evil.test").is_ok(),
            "serverAuth is enough"
        );
        assert!(inbound.judged(&to, "other.test").is_err());
        assert!(outbound.judged(&from, "a.test").is_ok());
        assert!(outbound.judged(&from, "evil.test").is_err());
        assert_eq!(inbound.alpn, alpn);
        assert_eq!(outbound.alpn, alpn);
        assert_eq!(inbound.version, Some(ProtocolVersion::TLSv1_3));
    }
}

#[tokio::test]
async fn no_want_of_trust_ends_a_handshake_and_none_is_given() {
    let (root, strange) = (Authority::root("root"), Authority::root("strange"));
    let good = root.leaf(&["a.test", "evil.test"]);
    let trusting = || site(&good, root.roots());
    let deep = (0..100).fold(root.below("0"), |top, n| top.below(&format!("{n}")));
    let old = |params: &mut rcgen::CertificateParams| {
        params.not_after = rcgen::date_time_ymd(2026, 1, 1);
    };
    let new = |params: &mut rcgen::CertificateParams| {
        params.not_before = rcgen::date_time_ymd(2027, 1, 1);
    };
    let client = |params: &mut rcgen::CertificateParams| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    };
    let names = ["a.test", "evil.test"];
    let mut broken = root.below("some").leaf(&names);
    broken.chain.truncate(1);
    let rows = [
        (root.leaf_with(&names, old), "expired on 2026-01-01"),
        (root.leaf_with(&names, new), "not valid before 2027-01-01"),
        (Leaf::own(&names), "self-signed"),
        (strange.leaf(&names), "ends at \"CN=strange\""),
        (root.leaf(&["other.test"]), "for other.test, not for"),
        (broken, "ends at \"CN=some\""),
        (deep.leaf(&names), "too long"),
        (root.leaf_with(&names, client), "not one of a server"),
    ];
    for (leaf, told) in rows {
        let doubted = site(&leaf, root.roots());
        let (inbound, _) = meet(&doubted, &trusting(), STARTTLS).await;
        let doubt = inbound
            .unwrap()
            .judged(&trusting(), "evil.test")
            .unwrap_err();
        assert!(doubt.to_string().contains(told), "inbound: {doubt}");
        let (_, outbound) = meet(&trusting(), &doubted, DIRECT).await;
        let doubt = outbound.unwrap().judged(&trusting(), "a.test").unwrap_err();
        assert!(doubt.to_string().contains(told), "outbound: {doubt}");
    }
}

#[tokio::test]
async fn who_does_not_hold_the_key_is_cut_off() {
    let root = Authority::root("root");
    let good = site(&root.leaf(&["a.test"]), root.roots());
    let mut thief = root.leaf(&["evil.test"]);
    thief.key = KeyPair::generate().unwrap();
    let thief = site(&thief, root.roots());
    let (inbound, outbound) = meet(&thief, &good, STARTTLS).await;
    assert!(inbound.is_err() && outbound.is_err());
    let (inbound, outbound) = meet(&good, &thief, STARTTLS).await;
    assert!(inbound.is_err() && outbound.is_err());
    let told = outbound.map(|_| ()).unwrap_err().to_string();
    assert!(told.contains("BadSignature"), "{told}");
    // One whose key is too weak to tell is cut off as well, and it is said why.
    let mut weak = root.leaf(&["evil.test"]);
    weak.chain = vec![root.leaf_of_rsa(&["evil.test"], 1024)];
    let weak = site(&weak, root.roots());
    let (inbound, _) = meet(&weak, &good, STARTTLS).await;
    let told = inbound.map(|_| ()).unwrap_err().to_string();
    assert!(told.contains("an RSA key of less than 2048 bits"), "{told}");
}

#[tokio::test]
async fn more_names_than_tls_carries_are_refused_at_once() {
    let root = Authority::root("root");
    let names = (0..10_000).map(|n| dns(format!("n{n}.evil.test").as_bytes()));
    let many = site(&root.leaf_named(&names.collect::<Vec<_>>()), root.roots());
    let good = site(&root.leaf(&["a.test"]), root.roots());
    let (inbound, outbound) = meet(&many, &good, STARTTLS).await;
    assert!(inbound.is_err() && outbound.is_err());
    let (inbound, outbound) = meet(&good, &many, STARTTLS).await;
    assert!(inbound.is_err() && outbound.is_err());
}

#[tokio::test]
async fn a_certificate_is_asked_for_and_not_demanded() {
    let root = Authority::root("root");
    let good = site(&root.leaf(&["a.test"]), root.roots());
    let bare = PeerTls::new(Arc::new(OneForAll(None)), judge(root.roots())).unwrap();
    for how in [STARTTLS, DIRECT] {
        let (inbound, outbound) = meet(&bare, &good, how).await;
        let inbound = inbound.unwrap();
        assert_eq!(inbound.shown, Presented::default());
        assert_eq!(inbound.judged(&good, "evil.test"), Err(Doubt::Absent));
        assert!(outbound.unwrap().judged(&bare, "a.test").is_ok());
    }
    assert!(
        meet(&good, &bare, STARTTLS).await.1.is_err(),
        "a server must show one"
    );
}

/// What was asked for, and the certificate that belongs to it.
#[derive(Debug)]
struct Several(Vec<(&'static str, Arc<CertifiedKey>)>);

impl OwnCertificates for Several {
    fn of(&self, domain: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let mut all = self.0.iter();
        let found = all.find(|(name, _)| domain.is_none_or(|domain| domain == *name))?;
        Some(Arc::clone(&found.1))
    }
}

#[tokio::test]
async fn the_certificate_is_that_of_the_domain_on_either_side() {
    let root = Authority::root("root");
    let leaf = |name: &'static str| (name, root.leaf(&[name]).certified());
    let many = Several(vec![leaf("x.test"), leaf("evil.test"), leaf("a.test")]);
    let many = PeerTls::new(Arc::new(many), judge(root.roots())).unwrap();
    let (inbound, outbound) = meet(&many, &many, DIRECT).await;
    assert!(inbound.unwrap().judged(&many, "evil.test").is_ok());
    assert!(outbound.unwrap().judged(&many, "a.test").is_ok());
}

#[tokio::test]
async fn no_session_is_resumed() {
    let root = Authority::root("root");
    let (from, to) = (
        site(&root.leaf(&["evil.test"]), root.roots()),
        site(&root.leaf(&["a.test"]), root.roots()),
    );
    for _ in 0..3 {
        let (inbound, outbound) = meet(&from, &to, DIRECT).await;
        for side in [inbound.unwrap(), outbound.unwrap()] {
            assert!(matches!(
                side.kind,
                Some(HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest)
            ));
        }
    }
}

/// An initiating server of another make.
fn other_make(
    version: &'static SupportedProtocolVersion,
    leaf: &Leaf,
    alpn: &[&str],
) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let anyone = Arc::new(Anyone(provider.signature_verification_algorithms));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(anyone)
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(leaf.certified())));
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

/// Has it connect, keeping what it can of sessions: what the acceptor has then.
async fn visit(config: &Arc<ClientConfig>, to: &PeerTls, how: Beginning) -> io::Result<Side> {
    let (near, far) = duplex(256 * 1024);
    let name = ServerName::try_from("a.test").unwrap();
    let visitor = async {
        let connector = TlsConnector::from(Arc::clone(config));
        let mut stream = connector.connect(name, near).await?;
        exchange(&mut stream).await
    };
    let (inbound, visited) = tokio::join!(accepted(to, far, how), visitor);
    visited.and(inbound)
}

#[tokio::test]
async fn who_has_tls_1_2_proves_his_key_too_and_keeps_no_session() {
    let root = Authority::root("root");
    let to = site(&root.leaf(&["a.test"]), root.roots());
    for version in VERSIONS {
        let evil = root.leaf(&["evil.test"]);
        let config = Arc::new(other_make(version, &evil, &[]));
        for _ in 0..2 {
            let side = visit(&config, &to, Beginning::StartTls).await.unwrap();
            assert_eq!(side.version, Some(version.version));
            assert_eq!(side.shown, evil.shown());
            assert!(side.judged(&to, "evil.test").is_ok());
            assert!(!matches!(side.kind, Some(HandshakeKind::Resumed)));
        }
        let mut thief = root.leaf(&["evil.test"]);
        thief.key = KeyPair::generate().unwrap();
        let config = Arc::new(other_make(version, &thief, &[]));
        assert!(visit(&config, &to, Beginning::StartTls).await.is_err());
    }
}

#[tokio::test]
async fn direct_tls_speaks_xmpp_server_or_nothing() {
    let root = Authority::root("root");
    let to = site(&root.leaf(&["a.test"]), root.roots());
    let evil = root.leaf(&["evil.test"]);
    /// What is offered; and what is chosen, if it comes to that.
    type Row = (
        &'static [&'static str],
        Beginning,
        Option<Option<&'static str>>,
    );
    let rows: [Row; 6] = [
        (
            &["xmpp-server"],
            Beginning::Direct,
            Some(Some("xmpp-server")),
        ),
        (
            &["h2", "xmpp-server"],
            Beginning::Direct,
            Some(Some("xmpp-server")),
        ),
        (&[], Beginning::Direct, Some(None)),
        (&["xmpp-client"], Beginning::Direct, None),
        (&["http/1.1", "h2"], Beginning::Direct, None),
        (&["http/1.1"], Beginning::StartTls, Some(None)),
    ];
    for (alpn, how, expected) in rows {
        let config = Arc::new(other_make(&rustls::version::TLS13, &evil, alpn));
        let side = visit(&config, &to, how).await.ok();
        let chosen = side.map(|side| side.alpn.map(|it| String::from_utf8(it).unwrap()));
        let expected = expected.map(|it| it.map(str::to_owned));
        assert_eq!(chosen, expected, "{alpn:?}");
    }
    // What the other side chooses must be what was offered.
    let from = site(&evil, root.roots());
    let mixed = [Beginning::Direct, Beginning::StartTls];
    let (_, outbound) = meet(&from, &to, mixed).await;
    assert_eq!(outbound.unwrap().alpn, None, "it does not know of ALPN");
}
