//! Keys and signatures that can be forged, so that the reason is told and not just that a check
//! failed.

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey;

/// The least length of an RSA key, in bits.
const RSA: usize = 2048;

/// Signatures over hashes for which collisions are made.
const SIGNATURES: [&str; 5] = [
    "1.2.840.113549.1.1.2", // RSA with MD2
    "1.2.840.113549.1.1.4", // RSA with MD5
    "1.2.840.113549.1.1.5", // RSA with SHA-1
    "1.2.840.10045.4.1",    // ECDSA with SHA-1
    "1.2.840.10040.4.3",    // DSA with SHA-1
];

/// What is weak in the key of a certificate.
pub(super) fn of_key(certificate: &X509Certificate<'_>) -> Option<&'static str> {
    match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => {
            let zeros = key.modulus.iter().take_while(|byte| **byte == 0).count();
            let modulus = &key.modulus[zeros..];
            let spare = modulus.first().map_or(0, |byte| byte.leading_zeros());
            let bits = (modulus.len() * 8).saturating_sub(spare as usize);
            (bits < RSA).then_some("an RSA key of less than 2048 bits")
        }
        Ok(PublicKey::DSA(_)) => Some("a DSA key"),
        _ => None,
    }
}

/// What is weak in a chain, if anything. Signatures of those who signed themselves do not matter:
/// nobody believes them for that.
pub(super) fn of_chain(chain: &[CertificateDer<'_>]) -> Option<&'static str> {
    chain.iter().find_map(|der| {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let signature = certificate.signature_algorithm.algorithm.to_id_string();
        let own = certificate.subject().as_raw() == certificate.issuer().as_raw();
        let forged = !own && SIGNATURES.contains(&signature.as_str());
        of_key(&certificate).or(forged.then_some("a signature over MD5 or SHA-1"))
    })
}
