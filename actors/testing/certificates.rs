//! A workshop for certificates of every kind, good and bad. The tests outside this crate take this
//! very file, by its path.

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationList, CustomExtension,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
    SerialNumber, SignatureAlgorithm,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// An authority.
pub struct Authority {
    pub certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
    /// The certificates from its own to the one below the root.
    above: Vec<CertificateDer<'static>>,
}

/// A server's certificate with its key, and those of its issuers without the root.
pub struct Leaf {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: KeyPair,
}

impl Authority {
    /// One that signed itself.
    pub fn root(name: &str) -> Self {
        Self::root_with(name, |_| {})
    }

    /// The same with something changed.
    pub fn root_with(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let (params, key) = (authority(name, change), KeyPair::generate().unwrap());
        Authority {
            certificate: params.self_signed(&key).unwrap(),
            issuer: Issuer::new(params, key),
            above: vec![],
        }
    }

    /// One that this one vouches for.
    pub fn below(&self, name: &str) -> Self {
        self.below_with(name, |_| {})
    }

    /// The same with something changed.
    pub fn below_with(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let (params, key) = (authority(name, change), KeyPair::generate().unwrap());
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let mut above = vec![certificate.der().clone()];
        above.extend(self.above.iter().cloned());
        Authority {
            certificate,
            issuer: Issuer::new(params, key),
            above,
        }
    }

    /// A certificate for servers with these dNSNames.
    pub fn leaf(&self, names: &[&str]) -> Leaf {
        self.leaf_with(names, |_| {})
    }

    /// The same with something changed.
    pub fn leaf_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Leaf {
        let (params, key) = (server(names, change), KeyPair::generate().unwrap());
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let mut chain = vec![certificate.der().clone()];
        chain.extend(self.above.iter().cloned());
        Leaf { chain, key }
    }

    /// A certificate whose names are these, in DER.
    pub fn leaf_named(&self, names: &[Vec<u8>]) -> Leaf {
        self.leaf_with(&[], |params| params.custom_extensions = vec![list(names)])
    }

    /// A certificate for an RSA key of so many bits, of which nobody has the other half.
    pub fn leaf_of_rsa(&self, names: &[&str], bits: usize) -> CertificateDer<'static> {
        let params = server(names, |_| {});
        let certificate = params.signed_by(&Rsa::new(bits), &self.issuer).unwrap();
        certificate.der().clone()
    }

    /// A list that takes back the certificate of this number.
    pub fn revocation(&self, serial: u64) -> CertificateRevocationList {
        let day = |n| rcgen::date_time_ymd(2026, 1, n);
        let params = rcgen::CertificateRevocationListParams {
            this_update: day(2),
            next_update: day(3),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![rcgen::RevokedCertParams {
                serial_number: SerialNumber::from(serial),
                revocation_time: day(1),
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap()
    }
}

impl Leaf {
    /// One that signed itself.
    pub fn own(names: &[&str]) -> Self {
        let (params, key) = (server(names, |_| {}), KeyPair::generate().unwrap());
        let certificate = params.self_signed(&key).unwrap();
        Leaf {
            chain: vec![certificate.der().clone()],
            key,
        }
    }

    /// As a server has it.
    pub fn certified(&self) -> Arc<CertifiedKey> {
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        let provider = rustls::crypto::ring::default_provider();
        let key = provider.key_provider.load_private_key(key).unwrap();
        // Whether they belong together is for the other side to find out.
        Arc::new(CertifiedKey::new(self.chain.clone(), key))
    }
}

/// A dNSName.
pub fn dns(name: &[u8]) -> Vec<u8> {
    der(0x82, name)
}

/// An SRVName, as RFC 4985 has it.
pub fn srv(name: &str) -> Vec<u8> {
    other(7, 0x16, name.as_bytes())
}

/// An xmppAddr, as RFC 6120 has it.
pub fn xmpp(name: &str) -> Vec<u8> {
    other(5, 0x0c, name.as_bytes())
}

/// An otherName of id-on and this number: a string of this tag.
pub fn other(number: u8, tag: u8, text: &[u8]) -> Vec<u8> {
    let kind = der(0x06, &[0x2b, 6, 1, 5, 5, 7, 8, number]);
    der(0xa0, &[kind, der(0xa0, &der(tag, text))].concat())
}

/// Tag, length and content.
pub fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let head = match length {
        0..0x80 => vec![tag, length as u8],
        0x80..0x1_0000 => vec![tag, 0x82, (length >> 8) as u8, length as u8],
        _ => vec![
            tag,
            0x83,
            (length >> 16) as u8,
            (length >> 8) as u8,
            length as u8,
        ],
    };
    [head, content.to_vec()].concat()
}

/// The extension that lists names (RFC 5280 §4.2.1.6).
pub fn list(names: &[Vec<u8>]) -> CustomExtension {
    CustomExtension::from_oid_content(&[2, 5, 29, 17], der(0x30, &names.concat()))
}

fn authority(name: &str, change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    change(&mut params);
    params
}

fn server(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|name| name.to_string()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "a server");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    change(&mut params);
    params
}

/// A public key that ring would not make.
struct Rsa(Vec<u8>);

impl Rsa {
    fn new(bits: usize) -> Self {
        let mut modulus = vec![0xa5; bits / 8];
        modulus.insert(0, 0);
        let numbers = [der(2, &modulus), der(2, &[1, 0, 1])].concat();
        Rsa(der(0x30, &numbers))
    }
}

impl PublicKeyData for Rsa {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_RSA_SHA256
    }
}
