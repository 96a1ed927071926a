//! The certificates that a peer showed.

use rustls::CommonState;
use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};

/// Certificates looked at in one chain: webpki follows six issuers between a server and a root.
/// The search for a path among them grows with their factorial; with so many it takes some
/// milliseconds.
pub const CERTIFICATES: usize = 8;

/// The chain that a peer showed in the TLS handshake, whose key it has proved to hold. It proves
/// nothing yet: a [`Judge`](super::Judge) says for which domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presented {
    certificates: Vec<CertificateDer<'static>>,
    too_many: bool,
}

impl Presented {
    /// What the peer of this connection showed, its own certificate first.
    pub fn on(connection: &CommonState) -> Self {
        Self::new(connection.peer_certificates().unwrap_or_default())
    }

    /// A chain, the peer's own certificate first; only that one is kept of a chain that is too
    /// long.
    pub fn new(chain: &[CertificateDer<'_>]) -> Self {
        let too_many = chain.len() > CERTIFICATES;
        let kept = if too_many { &chain[..1] } else { chain };
        Presented {
            certificates: kept.iter().map(|it| it.clone().into_owned()).collect(),
            too_many,
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
