//! An authority that servers of these tests believe, and what it says of them.

use crate::certificates;
use crate::sasl::b64;
use crate::world::Plan;
use rcgen::{CertificateParams, SerialNumber};
use rustls::pki_types::CertificateDer;
use std::ops::Deref;
use std::sync::OnceLock;

pub use crate::certificates::Leaf;

/// The number of the certificate that the authority took back.
const TAKEN_BACK: u64 = 666;

/// The authority, which can all that those of the workshop can.
pub struct Authority(certificates::Authority);

impl Deref for Authority {
    type Target = certificates::Authority;

    fn deref(&self) -> &certificates::Authority {
        &self.0
    }
}

impl Authority {
    /// The one of this process.
    pub fn get() -> &'static Authority {
        static AUTHORITY: OnceLock<Authority> = OnceLock::new();
        AUTHORITY.get_or_init(|| Authority(certificates::Authority::root("an authority")))
    }

    /// A certificate that it took back, as its list says.
    pub fn taken_back(&self, names: &[&str]) -> Leaf {
        let number = |it: &mut CertificateParams| {
            it.serial_number = Some(SerialNumber::from(TAKEN_BACK));
        };
        self.leaf_with(names, number)
    }

    /// A server that wants certificates of this authority, and has none itself. It may connect to
    /// all addresses of this machine.
    pub fn plan(&self, domains: &'static [&'static str]) -> Plan {
        let list = self.revocation(TAKEN_BACK).pem().expect("a list");
        Plan {
            domains,
            more: "[s2s]\npolicy = \"secure\"\nca = [\"ca.pem\"]\n\
                   private = [\"127.0.0.0/8\"]\n"
                .into(),
            files: vec![("ca.pem", format!("{}{list}", self.certificate.pem()))],
            federates: true,
            ..Plan::default()
        }
    }

    /// The same with a certificate for all its domains.
    pub fn certified_plan(&self, domains: &'static [&'static str]) -> Plan {
        let mut plan = self.plan(domains);
        let leaf = self.leaf(domains);
        plan.more += "[tls]\ncertificate = \"certificate.pem\"\nkey = \"key.pem\"\n";
        plan.files.push(("certificate.pem", written(&leaf)));
        plan.files.push(("key.pem", leaf.key.serialize_pem()));
        plan
    }
}

/// The chain as a file has it.
pub fn written(leaf: &Leaf) -> String {
    let one = |der: &CertificateDer<'_>| {
        let text = b64(der);
        format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
    };
    leaf.chain.iter().map(one).collect()
}
