//! The names in a certificate, and whether one of them is a domain's (RFC 9525, RFC 6120
//! §13.7.1.2).
//!
//! Only the subject's alternative names count, each read as the ASN.1 it is: what stands in the
//! subject itself, a common name among it, is no name (RFC 9525 §2).

use std::fmt;
use std::net::IpAddr;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use smol_str::SmolStr;
use x509_parser::asn1_rs::{Any, Class, FromDer, Tag};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::X509Error;

use super::doubt::Doubt;

/// Names read of one certificate; those after it count for nothing (attack F16).
pub const NAMES_READ: usize = 256;
/// Names that are told of one certificate.
const NAMES_TOLD: usize = 6;
/// Characters told of one name.
const NAME_TOLD: usize = 80;

/// id-on-dnsSRV (RFC 4985 §2).
const SRV_NAME: &str = "1.3.6.1.5.5.7.8.7";
/// id-on-xmppAddr (RFC 6120 §13.7.1.4).
const XMPP_ADDR: &str = "1.3.6.1.5.5.7.8.5";
/// The service of an SRVName that speaks for a server. XEP-0368 §3 (4) has certificates checked
/// the same way for direct TLS, so there is no `_xmpps-server`.
const SERVICE: &str = "_xmpp-server.";

/// A domain as it is looked for in certificates and in the DNS.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    /// In A-labels, lower case (RFC 9525 §6.3).
    ascii: SmolStr,
    /// In U-labels, as an xmppAddr may have it.
    unicode: SmolStr,
}

impl Reference {
    /// The domain of an address. [`Doubt::Nameless`] if it is an address of IP, which no
    /// certificate between servers speaks for, or cannot be in the DNS, such as labels that only
    /// look like A-labels.
    pub fn new(domain: &str) -> Result<Self, Doubt> {
        let last = domain.rsplit('.').next().unwrap_or_default();
        // What ends in a number is read as an address by some.
        let is_address = domain.starts_with('[')
            || domain.parse::<IpAddr>().is_ok()
            || last.bytes().all(|byte| byte.is_ascii_digit());
        if is_address || domain.ends_with('.') {
            return Err(Doubt::Nameless);
        }
        let (uts46, strict) = (Uts46::new(), AsciiDenyList::STD3);
        let (unicode, sound) = uts46.to_unicode(domain.as_bytes(), strict, Hyphens::Check);
        sound.map_err(|_| Doubt::Nameless)?;
        let ascii = uts46.to_ascii(
            unicode.as_bytes(),
            strict,
            Hyphens::Check,
            DnsLength::Verify,
        );
        Ok(Reference {
            ascii: SmolStr::new(ascii.map_err(|_| Doubt::Nameless)?),
            unicode: SmolStr::new(unicode),
        })
    }

    /// In A-labels, lower case.
    pub fn ascii(&self) -> &str {
        &self.ascii
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.unicode)
    }
}

/// What is said for a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    /// Nothing.
    None,
    /// A dNSName, to which the name constraints of its issuers apply.
    Dns,
    /// A name of another kind: the constraints of RFC 5280 §4.2.1.10 on hosts do not apply to it.
    Other,
}

/// The names of one certificate, as far as they concern servers.
#[derive(Debug, Default)]
pub(super) struct Names<'a> {
    hosts: Vec<&'a str>,
    /// The domains of SRVNames for `_xmpp-server`.
    services: Vec<&'a str>,
    addresses: Vec<&'a str>,
}

impl<'a> Names<'a> {
    /// Reads the first [`NAMES_READ`] names. A certificate with two lists of names has none.
    pub fn read(certificate: &'a X509Certificate<'_>) -> Result<Self, X509Error> {
        let list = certificate.subject_alternative_name()?;
        let all = list.iter().flat_map(|list| &list.value.general_names);
        let mut names = Names::default();
        for name in all.take(NAMES_READ) {
            match name {
                GeneralName::DNSName(name) => names.hosts.push(name),
                GeneralName::OtherName(kind, value) => match kind.to_id_string().as_str() {
                    SRV_NAME => names
                        .services
                        .extend(text(value, Tag::Ia5String).and_then(server)),
                    XMPP_ADDR => names.addresses.extend(text(value, Tag::Utf8String)),
                    _ => {}
                },
                _ => {}
            }
        }
        Ok(names)
    }

    /// Whether one of them is this domain.
    pub fn name(&self, domain: &Reference) -> Match {
        let ascii = domain.ascii();
        // RFC 9525 §6.3: a star is a whole label, the left-most, and stands for one.
        let parent = ascii.split_once('.').map(|(_, parent)| parent);
        let is_host = |name: &&str| match name.strip_prefix("*.") {
            Some(rest) => parent.is_some_and(|parent| rest.eq_ignore_ascii_case(parent)),
            None => name.eq_ignore_ascii_case(ascii),
        };
        // In the form that addresses are compared in, or not at all: other scripts have dots and
        // letters that look the same.
        let is_address = |name: &&str| name.eq_ignore_ascii_case(ascii) || *name == domain.unicode;
        if self.hosts.iter().any(is_host) {
            Match::Dns
        } else if self
            .services
            .iter()
            .any(|it| it.eq_ignore_ascii_case(ascii))
            || self.addresses.iter().any(is_address)
        {
            Match::Other
        } else {
            Match::None
        }
    }

    /// Some of the names, fit to be shown: whoever wrote them may have meant harm.
    pub fn told(&self) -> String {
        let all = [&self.hosts, &self.services, &self.addresses];
        let mut told: Vec<String> = vec![];
        for name in all.into_iter().flatten() {
            let name = shown(name);
            if !told.contains(&name) {
                told.push(name);
            }
        }
        match told.len() {
            0 => "no server".into(),
            n if n > NAMES_TOLD => {
                told.truncate(NAMES_TOLD);
                format!("{} and {} more", told.join(", "), n - NAMES_TOLD)
            }
            _ => told.join(", "),
        }
    }
}

/// A stranger's text without control characters, and not too long.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(NAME_TOLD).collect::<String>();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown.escape_debug().to_string()
}

/// The text of an otherName: `[0] EXPLICIT` of the one kind of string that it may be.
fn text(value: &[u8], kind: Tag) -> Option<&str> {
    let whole = |bytes| {
        Any::from_der(bytes)
            .ok()
            .filter(|(rest, _)| rest.is_empty())
    };
    let (_, outer) = whole(value)?;
    let (class, tag) = (outer.header.class(), outer.header.tag());
    if class != Class::ContextSpecific || tag != Tag(0) || !outer.header.is_constructed() {
        return None;
    }
    let (_, inner) = whole(outer.data)?;
    let is_plain = inner.header.class() == Class::Universal && !inner.header.is_constructed();
    let text = std::str::from_utf8(inner.data).ok()?;
    (is_plain && inner.header.tag() == kind).then_some(text)
}

/// The domain of an SRVName of ours; its service is compared without case (RFC 4985 §2).
fn server(name: &str) -> Option<&str> {
    let (service, domain) = name.split_at_checked(SERVICE.len())?;
    service.eq_ignore_ascii_case(SERVICE).then_some(domain)
}

#[cfg(test)]
mod tests;
