//! An authority that servers of these tests believe, and the certificates that it signs.

use crate::world::Plan;
use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use std::sync::OnceLock;

/// The authority.
pub struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key.
pub struct Leaf {
    pub certificate: Certificate,
    pub key: KeyPair,
}

impl Authority {
    /// The one of this process.
    pub fn get() -> &'static Authority {
        static AUTHORITY: OnceLock<Authority> = OnceLock::new();
        AUTHORITY.get_or_init(|| {
            let key = KeyPair::generate().expect("a key");
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let name = &mut params.distinguished_name;
            name.push(DnType::CommonName, "an authority");
            Authority {
                certificate: params.self_signed(&key).expect("a certificate"),
                issuer: Issuer::new(params, key),
            }
        })
    }

    /// A certificate for these names.
    pub fn leaf(&self, names: &[&str]) -> Leaf {
        let names: Vec<String> = names.iter().map(|it| it.to_string()).collect();
        let params = CertificateParams::new(names).expect("names");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer);
        let certificate = certificate.expect("a certificate");
        Leaf { certificate, key }
    }

    /// A server that wants certificates of this authority, and has none itself.
    pub fn plan(&self, domains: &'static [&'static str]) -> Plan {
        Plan {
            domains,
            more: "[s2s]\npolicy = \"secure\"\nca = [\"ca.pem\"]\n".into(),
            files: vec![("ca.pem", self.certificate.pem())],
            federates: true,
            ..Plan::default()
        }
    }

    /// The same with a certificate for all its domains.
    pub fn certified_plan(&self, domains: &'static [&'static str]) -> Plan {
        let mut plan = self.plan(domains);
        let leaf = self.leaf(domains);
        plan.more += "[tls]\ncertificate = \"certificate.pem\"\nkey = \"key.pem\"\n";
        plan.files.push(("certificate.pem", leaf.certificate.pem()));
        plan.files.push(("key.pem", leaf.key.serialize_pem()));
        plan
    }
}
