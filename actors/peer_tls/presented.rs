//! The certificates that a peer showed.

use rustls::pki_types::CertificateDer;
use rustls::{CipherSuite, CommonState, ProtocolVersion};
use sha2::{Digest, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::doubt::day;
use super::names::{Names, shown};

/// Certificates looked at in one chain: webpki follows six issuers between a server and a root.
/// The search for a path among them grows with their factorial; with so many it takes some
/// milliseconds.
pub const CERTIFICATES: usize = 8;

/// The chain that a peer showed in the TLS handshake, whose key it has proved to hold. It proves
/// nothing yet: a [`Judge`](super::Judge) says for which domain.
#[derive(Clone, Debug, Default)]
pub struct Presented {
    certificates: Vec<CertificateDer<'static>>,
    too_many: bool,
    /// Version and cipher of the connection.
    session: Option<(ProtocolVersion, CipherSuite)>,
}

/// Equal is what shows the same, on whatever connection.
impl PartialEq for Presented {
    fn eq(&self, other: &Presented) -> bool {
        (&self.certificates, self.too_many) == (&other.certificates, other.too_many)
    }
}

impl Eq for Presented {}

impl Presented {
    /// What the peer of this connection showed, its own certificate first.
    pub fn on(connection: &CommonState) -> Self {
        let suite = connection.negotiated_cipher_suite();
        Presented {
            session: connection
                .protocol_version()
                .zip(suite.map(|it| it.suite())),
            ..Self::new(connection.peer_certificates().unwrap_or_default())
        }
    }

    /// Version and cipher of the connection, such as `TLS 1.3 with AES_256_GCM_SHA384`.
    pub fn tls(&self) -> Option<String> {
        let (version, suite) = self.session?;
        let version = version.as_str()?.replacen("TLSv1_", "TLS 1.", 1);
        let suite = suite.as_str()?;
        let suite = suite
            .strip_prefix("TLS13_")
            .or(suite.strip_prefix("TLS_"))
            .unwrap_or(suite);
        Some(format!("{version} with {suite}"))
    }

    /// What the peer's own certificate says, for people: whom it is for, who issued it, and until
    /// when it holds.
    pub fn description(&self) -> Option<String> {
        let unreadable = || "one that cannot be read".to_owned();
        let leaf = self.leaf()?;
        let Ok((_, leaf)) = X509Certificate::from_der(leaf) else {
            return Some(unreadable());
        };
        let names = Names::read(&leaf).map_or_else(|_| unreadable(), |names| names.told());
        let issuer = match leaf.issuer() == leaf.subject() {
            true => "itself".into(),
            false => shown(&leaf.issuer().to_string()),
        };
        let until = day(leaf.validity().not_after.timestamp());
        Some(format!("for {names}, issued by {issuer}, until {until}"))
    }

    /// A chain, the peer's own certificate first; only that one is kept of a chain that is too
    /// long.
    pub fn new(chain: &[CertificateDer<'_>]) -> Self {
        let too_many = chain.len() > CERTIFICATES;
        let kept = if too_many { &chain[..1] } else { chain };
        Presented {
            certificates: kept.iter().map(|it| it.clone().into_owned()).collect(),
            too_many,
            session: None,
        }
    }

    /// The peer's own certificate.
    pub fn leaf(&self) -> Option<&CertificateDer<'static>> {
        self.certificates.first()
    }

    /// SHA-256 of the peer's own certificate, as fingerprints are written.
    pub fn fingerprint(&self) -> Option<[u8; 32]> {
        self.leaf().map(|leaf| Sha256::digest(leaf).into())
    }

    pub(super) fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    pub(super) fn is_too_long(&self) -> bool {
        self.too_many
    }
}
