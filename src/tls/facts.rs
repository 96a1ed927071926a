//! What a certificate says: its names, its end, and the hash that binds a channel to it.

use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use std::net::IpAddr;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::signature_algorithm::SignatureAlgorithm;

/// What was read off a certificate.
#[derive(Debug)]
pub(super) struct Facts {
    /// When it ends, in seconds since 1970.
    pub expires: i64,
    /// The names of hosts it is for, in lower case; `*.` at the beginning of some.
    pub names: Vec<String>,
    addresses: Vec<IpAddr>,
    hash: Option<Hash>,
}

/// The hash functions of RFC 5929 §4.1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Hash {
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

/// Algorithms of signatures that use one hash function, and the function that binds. MD5 and
/// SHA-1 are replaced by SHA-256 (RFC 5929 §4.1).
const BY_SIGNATURE: [(&str, Hash); 11] = [
    ("1.2.840.113549.1.1.4", Hash::Sha256),  // RSA with MD5
    ("1.2.840.113549.1.1.5", Hash::Sha256),  // RSA with SHA-1
    ("1.2.840.113549.1.1.11", Hash::Sha256), // RSA with SHA-256
    ("1.2.840.113549.1.1.12", Hash::Sha384), // RSA with SHA-384
    ("1.2.840.113549.1.1.13", Hash::Sha512), // RSA with SHA-512
    ("1.2.840.113549.1.1.14", Hash::Sha224), // RSA with SHA-224
    ("1.2.840.10045.4.1", Hash::Sha256),     // ECDSA with SHA-1
    ("1.2.840.10045.4.3.1", Hash::Sha224),   // ECDSA with SHA-224
    ("1.2.840.10045.4.3.2", Hash::Sha256),   // ECDSA with SHA-256
    ("1.2.840.10045.4.3.3", Hash::Sha384),   // ECDSA with SHA-384
    ("1.2.840.10045.4.3.4", Hash::Sha512),   // ECDSA with SHA-512
];

/// Hash functions named by the parameters of RSASSA-PSS.
const BY_PARAMETER: [(&str, Hash); 5] = [
    ("1.3.14.3.2.26", Hash::Sha256), // SHA-1
    ("2.16.840.1.101.3.4.2.1", Hash::Sha256),
    ("2.16.840.1.101.3.4.2.2", Hash::Sha384),
    ("2.16.840.1.101.3.4.2.3", Hash::Sha512),
    ("2.16.840.1.101.3.4.2.4", Hash::Sha224),
];

impl Facts {
    /// Reads a certificate in DER.
    pub fn read(der: &[u8]) -> Result<Self, String> {
        let (_, certificate) =
            X509Certificate::from_der(der).map_err(|error| format!("no certificate: {error}"))?;
        let mut facts = Facts {
            expires: certificate.validity().not_after.timestamp(),
            names: vec![],
            addresses: vec![],
            hash: hash_of(&certificate),
        };
        let names = certificate.subject_alternative_name();
        let names = names.map_err(|error| format!("its names: {error}"))?;
        for name in names.iter().flat_map(|names| &names.value.general_names) {
            match name {
                GeneralName::DNSName(name) => facts.names.push(name.to_ascii_lowercase()),
                GeneralName::IPAddress(bytes) => facts.addresses.extend(address(bytes)),
                _ => {}
            }
        }
        Ok(facts)
    }

    /// Whether the certificate is for this host (RFC 6125 §6.4: a star stands for one label).
    pub fn covers(&self, host: &str) -> bool {
        if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            return self.addresses.contains(&address);
        }
        let Ok(host) = idna::domain_to_ascii(host) else {
            return false;
        };
        let parent = host.split_once('.').map(|(_, parent)| parent);
        let fits = |name: &String| match name.strip_prefix("*.") {
            Some(rest) => Some(rest) == parent,
            None => *name == host,
        };
        self.names.iter().any(fits)
    }

    /// The channel binding `tls-server-end-point` for the certificate these facts were read off.
    pub fn end_point(&self, der: &[u8]) -> Option<Vec<u8>> {
        Some(match self.hash? {
            Hash::Sha224 => Sha224::digest(der).to_vec(),
            Hash::Sha256 => Sha256::digest(der).to_vec(),
            Hash::Sha384 => Sha384::digest(der).to_vec(),
            Hash::Sha512 => Sha512::digest(der).to_vec(),
        })
    }
}

/// SHA-256, as fingerprints are written.
pub(super) fn sha256(der: &[u8]) -> [u8; 32] {
    Sha256::digest(der).into()
}

/// The function that binds; none where the signature has none of its own, or several, as with
/// Ed25519: then the binding is undefined (RFC 5929 §4.1).
fn hash_of(certificate: &X509Certificate<'_>) -> Option<Hash> {
    let algorithm = &certificate.signature_algorithm;
    let find = |table: &[(&str, Hash)], id: String| {
        table
            .iter()
            .find(|(known, _)| *known == id)
            .map(|(_, hash)| *hash)
    };
    find(&BY_SIGNATURE, algorithm.algorithm.to_id_string()).or_else(|| {
        match SignatureAlgorithm::try_from(algorithm) {
            Ok(SignatureAlgorithm::RSASSA_PSS(parameters)) => find(
                &BY_PARAMETER,
                parameters.hash_algorithm_oid().to_id_string(),
            ),
            _ => None,
        }
    })
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}
