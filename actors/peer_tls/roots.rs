//! Those who may vouch for others: trusted authorities, and what they took back.

use rustls::pki_types::{CertificateDer, TrustAnchor};
use sha2::{Digest, Sha256, Sha512};
use std::fmt;
use webpki::{CertRevocationList, Error, OwnedCertRevocationList, anchor_from_trusted_cert};

/// Trusted authorities, and their lists of certificates they took back.
#[derive(Default)]
pub struct Roots {
    pub(super) anchors: Vec<TrustAnchor<'static>>,
    /// Beside each anchor the hashes of its certificate, where that is known: what a TLSA record
    /// may name (RFC 6698 §2.1.3).
    pub(super) digests: Vec<Option<Digests>>,
    pub(super) revocations: Vec<CertRevocationList<'static>>,
}

/// Hashes of one certificate.
#[derive(Clone)]
pub(super) struct Digests {
    pub sha256: [u8; 32],
    pub sha512: [u8; 64],
}

impl Roots {
    /// Trusts this certificate's key to vouch for others. Its dates do not matter (RFC 5280
    /// §6.1.1 (d)).
    pub fn trust(&mut self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        let anchor = anchor_from_trusted_cert(certificate)?.to_owned();
        self.anchors.push(anchor);
        self.digests.push(Some(Digests {
            sha256: Sha256::digest(certificate).into(),
            sha512: Sha512::digest(certificate).into(),
        }));
        Ok(())
    }

    /// Trusts authorities of which the key is known and the certificate is not.
    pub fn trust_anchors(&mut self, anchors: impl IntoIterator<Item = TrustAnchor<'static>>) {
        self.anchors.extend(anchors);
        self.digests.resize(self.anchors.len(), None);
    }

    /// Heeds an authority's list of certificates that it took back (RFC 5280 §5), in DER. Its
    /// signature is checked when it is used. An old list still counts: what was taken back stays
    /// so.
    pub fn heed(&mut self, list: &[u8]) -> Result<(), Error> {
        let list = OwnedCertRevocationList::from_der(list)?;
        self.revocations.push(list.into());
        Ok(())
    }

    /// How many authorities are trusted.
    pub fn len(&self) -> usize {
        self.anchors.len()
    }

    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.anchors.is_empty()
    }
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} authorities", self.len())
    }
}
