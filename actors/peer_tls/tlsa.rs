//! What the DNS says about a certificate (DANE: RFC 6698, RFC 7671).
//!
//! Records come from a resolver that has checked the signatures of DNSSEC; here they are data.

use rustls::pki_types::{CertificateDer, TrustAnchor};
use sha2::{Digest, Sha256, Sha512};
use webpki::VerifiedPath;
use x509_parser::asn1_rs::{Any, FromDer};
use x509_parser::prelude::{ASN1Time, X509Certificate};

use super::presented::Presented;
use super::roots::{Digests, Roots};

/// Records looked at; those after them count for nothing.
const RECORDS: usize = 32;

/// One TLSA record (RFC 6698 §2.1), for which DNSSEC vouches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tlsa {
    /// What the association is for: 0 PKIX-TA, 1 PKIX-EE, 2 DANE-TA, 3 DANE-EE.
    pub usage: u8,
    /// What is compared: 0 the certificate, 1 its key.
    pub selector: u8,
    /// How: 0 as it is, 1 by SHA-256, 2 by SHA-512.
    pub matching: u8,
    /// The certificate association data.
    pub data: Vec<u8>,
}

/// The usages of RFC 7671 §5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Usage {
    PkixTa,
    PkixEe,
    DaneTa,
    DaneEe,
}

impl Tlsa {
    /// The records that can be used (RFC 6698 §4.1): of known kinds, with data of the right
    /// length.
    pub(super) fn usable(records: &[Tlsa]) -> impl Iterator<Item = (Usage, &Tlsa)> {
        let sound = |record: &&Tlsa| {
            let length = match record.matching {
                0 => !record.data.is_empty(),
                1 => record.data.len() == 32,
                2 => record.data.len() == 64,
                _ => false,
            };
            length && record.selector <= 1
        };
        let usage = |record: &Tlsa| {
            Some(match record.usage {
                0 => Usage::PkixTa,
                1 => Usage::PkixEe,
                2 => Usage::DaneTa,
                3 => Usage::DaneEe,
                _ => return None,
            })
        };
        let records = records.iter().take(RECORDS).filter(sound);
        records.filter_map(move |record| Some((usage(record)?, record)))
    }

    /// Whether it names this certificate.
    pub(super) fn names(&self, certificate: &CertificateDer<'_>) -> bool {
        match self.selector {
            0 => self.matches(certificate),
            _ => X509Certificate::from_der(certificate)
                .is_ok_and(|(_, read)| self.matches(read.public_key().raw)),
        }
    }

    /// Whether the path goes through an authority that it names (RFC 7671 §5.4).
    pub(super) fn names_issuer(&self, path: &VerifiedPath<'_>, roots: &Roots) -> bool {
        let anchor = path.anchor();
        let at = roots.anchors.iter().position(|known| known == anchor);
        let root = match self.selector {
            0 => at
                .and_then(|at| roots.digests.get(at)?.as_ref())
                .is_some_and(|digests| self.matches_hashed(digests)),
            _ => self.matches(&sequence(&anchor.subject_public_key_info)),
        };
        root || path
            .intermediate_certificates()
            .any(|certificate| self.names(&certificate.der()))
    }

    fn matches(&self, content: &[u8]) -> bool {
        match self.matching {
            0 => self.data == content,
            1 => self.data == Sha256::digest(content)[..],
            _ => self.data == Sha512::digest(content)[..],
        }
    }

    /// The same where of the content only the hashes are known.
    fn matches_hashed(&self, digests: &Digests) -> bool {
        match self.matching {
            0 => Sha256::digest(&self.data)[..] == digests.sha256,
            1 => self.data == digests.sha256,
            _ => self.data == digests.sha512,
        }
    }
}

/// What DANE-TA records make trust anchors for those who show a chain (RFC 7671 §5.2).
pub(super) struct Anchors {
    pub list: Vec<TrustAnchor<'static>>,
    /// How many authorities may stand below each, where its certificate says so.
    limits: Vec<Option<u32>>,
}

impl Anchors {
    /// Authorities that they show themselves; or a record's own data, the certificate or the key
    /// of one that they do not show. `now` is in seconds since 1970.
    pub fn new(records: &[&Tlsa], shown: &Presented, now: i64) -> Self {
        let mut anchors = Anchors {
            list: vec![],
            limits: vec![],
        };
        for issuer in shown.certificates().iter().skip(1) {
            if records.iter().any(|record| record.names(issuer)) {
                anchors.trust(issuer, now);
            }
        }
        for record in records.iter().filter(|record| record.matching == 0) {
            match record.selector {
                0 => anchors.trust(&CertificateDer::from(record.data.as_slice()), now),
                _ => anchors.trust_key(&record.data, shown),
            }
        }
        anchors
    }

    /// Whether a path has no more authorities than its anchor allows: "the client SHOULD apply
    /// any relevant constraints from the TA certificate" (RFC 7671 §5.2.1). Its name constraints
    /// webpki applies itself.
    pub fn allow(&self, path: &VerifiedPath<'_>) -> bool {
        let at = self.list.iter().position(|known| known == path.anchor());
        let limit = at.and_then(|at| self.limits[at]);
        limit.is_none_or(|limit| path.intermediate_certificates().count() <= limit as usize)
    }

    /// Takes a certificate of an authority that is valid now.
    fn trust(&mut self, certificate: &CertificateDer<'_>, now: i64) {
        let Ok((_, read)) = X509Certificate::from_der(certificate) else {
            return;
        };
        let is_now = ASN1Time::from_timestamp(now).is_ok_and(|it| read.validity().is_valid_at(it));
        let basic = read.basic_constraints().ok().flatten();
        let basic = basic.filter(|it| it.value.ca && is_now);
        let anchor = webpki::anchor_from_trusted_cert(certificate);
        if let (Some(basic), Ok(anchor)) = (basic, anchor) {
            self.list.push(anchor.to_owned());
            self.limits.push(basic.value.path_len_constraint);
        }
    }

    /// Takes a bare key for that of whoever issued the last certificate of the chain (RFC 7671
    /// §5.2.3).
    fn trust_key(&mut self, key: &[u8], shown: &Presented) {
        let last = shown.certificates().last();
        let last = last.and_then(|last| X509Certificate::from_der(last).ok());
        let name = last
            .as_ref()
            .and_then(|(_, it)| content(it.issuer().as_raw()));
        if let (Some(name), Some(key)) = (name, content(key)) {
            let anchor = TrustAnchor {
                subject: name.into(),
                subject_public_key_info: key.into(),
                name_constraints: None,
            };
            self.list.push(anchor.to_owned());
            self.limits.push(None);
        }
    }
}

/// What is inside a SEQUENCE, as trust anchors have it.
fn content(der: &[u8]) -> Option<&[u8]> {
    let (rest, any) = Any::from_der(der).ok()?;
    rest.is_empty().then_some(any.data)
}

/// A SEQUENCE around this content.
fn sequence(content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut der = vec![0x30];
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => der.push(short),
        Ok(byte) => der.extend([0x81, byte]),
        Err(_) => {
            let bytes = length.to_be_bytes();
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            der.push(0x80 | (bytes.len() - zeros) as u8);
            der.extend(&bytes[zeros..]);
        }
    }
    der.extend(content);
    der
}

#[cfg(test)]
mod tests;
