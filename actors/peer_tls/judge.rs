//! The judge: whether the chain that a peer showed proves that it is a domain.

use std::cell::Cell;
use std::time::Duration;

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{
    CertRevocationList, EndEntityCert, Error, ExpirationPolicy, KeyUsage, RevocationCheckDepth,
    RevocationOptionsBuilder, UnknownStatusPolicy, VerifiedPath,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::doubt::Doubt;
use super::names::{Match, Names, Reference};
use super::presented::Presented;
use super::roots::Roots;
use super::tlsa::{Anchors, Tlsa, Usage};
use super::weakness;

/// What a peer says it is, and what the DNS says about that.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The domain: what we asked for, outbound; what it says in `from`, inbound (RFC 6120
    /// §13.7.2.1).
    pub domain: &'a Reference,
    /// The target of the SRV record we followed, if DNSSEC vouches for that record: then a
    /// certificate may name it instead (RFC 7673 §4.1).
    pub target: Option<&'a Reference>,
    /// TLSA records of that target, if DNSSEC vouches for them too.
    pub tlsa: &'a [Tlsa],
}

impl<'a> Claim<'a> {
    /// That it is this domain, and DNSSEC says nothing.
    pub fn plain(domain: &'a Reference) -> Self {
        Claim {
            domain,
            target: None,
            tlsa: &[],
        }
    }
}

/// What made it sure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// An authority that we trust.
    Authority,
    /// The DNS (DANE).
    Dns,
}

/// That a peer is the domain it was judged for, and no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// What made it sure.
    pub by: Means,
    /// When the first of the certificates ends on which this rests, in seconds since 1970: a
    /// stream that lives on should be closed then (RFC 6120 §13.7.2.3). None where their dates do
    /// not matter (RFC 7671 §5.1).
    pub ends: Option<i64>,
}

/// A proof, or why there is none.
pub type Verdict = Result<Proof, Doubt>;

/// Knows whom to believe.
#[derive(Debug)]
pub struct Judge {
    roots: Roots,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Judge {
    /// A judge who trusts these authorities.
    pub fn new(roots: Roots) -> Self {
        Judge {
            roots,
            algorithms: rustls::crypto::ring::default_provider().signature_verification_algorithms,
        }
    }

    /// How many authorities are trusted.
    pub fn authorities(&self) -> usize {
        self.roots.len()
    }

    /// Whether a chain proves the claim at this time, in seconds since 1970. A chain can be judged
    /// for one domain after another; each verdict is for its own alone.
    pub fn verdict(&self, shown: &Presented, claim: Claim<'_>, now: i64) -> Verdict {
        let case = Case::new(self, shown, claim, now)?;
        let records: Vec<_> = Tlsa::usable(claim.tlsa).collect();
        match records.is_empty() {
            true => case.by_authority(&|_| true),
            false => case.by_dns(&records),
        }
    }
}

/// One chain, judged for one claim.
struct Case<'a> {
    judge: &'a Judge,
    shown: &'a Presented,
    leaf: &'a CertificateDer<'static>,
    read: X509Certificate<'a>,
    claim: Claim<'a>,
    now: i64,
}

impl<'a> Case<'a> {
    fn new(
        judge: &'a Judge,
        shown: &'a Presented,
        claim: Claim<'a>,
        now: i64,
    ) -> Result<Self, Doubt> {
        let leaf = shown.leaf().ok_or(Doubt::Absent)?;
        if shown.is_too_long() {
            return Err(Doubt::TooLong);
        }
        let (rest, read) = X509Certificate::from_der(leaf).map_err(|_| Doubt::Unreadable)?;
        if !rest.is_empty() {
            return Err(Doubt::Unreadable);
        }
        if let Some(weakness) = weakness::of_key(&read) {
            return Err(Doubt::Weak(weakness));
        }
        Ok(Case {
            judge,
            shown,
            leaf,
            read,
            claim,
            now,
        })
    }

    /// By the authorities that we trust, over a path that suits.
    fn by_authority(&self, suits: &dyn Fn(&VerifiedPath<'_>) -> bool) -> Verdict {
        let ends = self.named_path(&self.judge.roots.anchors, suits)?;
        Ok(Proof {
            by: Means::Authority,
            ends: Some(ends),
        })
    }

    /// By the DNS: one record that fits suffices; if none does, nothing else helps (RFC 7671 §5,
    /// RFC 7673 §4.2).
    fn by_dns(&self, records: &[(Usage, &Tlsa)]) -> Verdict {
        let of = |usage| records.iter().filter(move |(it, _)| *it == usage);
        // RFC 7671 §5.1: no name and no date of the certificate matters.
        if of(Usage::DaneEe).any(|(_, record)| record.names(self.leaf)) {
            return Ok(Proof {
                by: Means::Dns,
                ends: None,
            });
        }
        let mut doubt = Doubt::NotInDns;
        let trusted: Vec<_> = of(Usage::DaneTa).map(|(_, record)| *record).collect();
        let anchors = Anchors::new(&trusted, self.shown, self.now);
        if !anchors.list.is_empty() {
            match self.named_path(&anchors.list, &|path| anchors.allow(path)) {
                Ok(ends) => {
                    return Ok(Proof {
                        by: Means::Dns,
                        ends: Some(ends),
                    });
                }
                Err(found) => doubt = found,
            }
        }
        if of(Usage::PkixEe).any(|(_, record)| record.names(self.leaf)) {
            return self.by_authority(&|_| true);
        }
        if of(Usage::PkixTa).next().is_some() {
            let roots = &self.judge.roots;
            let named = |path: &VerifiedPath<'_>| {
                of(Usage::PkixTa).any(|(_, record)| record.names_issuer(path, roots))
            };
            return self.by_authority(&named);
        }
        Err(doubt)
    }

    /// A path to one of `anchors` that suits, for a certificate that names who it should; answers
    /// when it ends.
    fn named_path(
        &self,
        anchors: &[TrustAnchor<'_>],
        suits: &dyn Fn(&VerifiedPath<'_>) -> bool,
    ) -> Result<i64, Doubt> {
        let names = Names::read(&self.read).map_err(|_| Doubt::Unreadable)?;
        let (domain, target) = (Some(self.claim.domain), self.claim.target);
        let matches = [domain, target]
            .into_iter()
            .flatten()
            .map(|it| names.name(it));
        let best = matches.max_by_key(|it| *it as u8).unwrap_or(Match::None);
        let unfit = Cell::new(false);
        let accept = |path: &VerifiedPath<'_>| {
            // Who may issue only for some hosts could name any other as a service or an address.
            if best == Match::Other && is_constrained(path) {
                return Err(Error::NameConstraintViolation);
            }
            if !suits(path) {
                unfit.set(true);
                return Err(Error::UnknownIssuer);
            }
            Ok(())
        };
        match self.path(anchors, &accept) {
            Ok(_) if best == Match::None => Err(Doubt::WrongName {
                domain: self.claim.domain.clone(),
                names: names.told(),
            }),
            Err(Doubt::UnknownIssuer(_) | Doubt::SelfSigned) if unfit.get() => Err(Doubt::NotInDns),
            result => result,
        }
    }

    /// A path from the certificate to one of `anchors`, signed, in time, not revoked, and for
    /// servers: the same on both ends of a connection, since authorities no longer issue for
    /// anything else (attack F11). The search is bounded by webpki (attack F10).
    fn path(
        &self,
        anchors: &[TrustAnchor<'_>],
        accept: &dyn Fn(&VerifiedPath<'_>) -> Result<(), Error>,
    ) -> Result<i64, Doubt> {
        let now = Duration::from_secs(u64::try_from(self.now).unwrap_or(0));
        let lists: Vec<&CertRevocationList<'_>> = self.judge.roots.revocations.iter().collect();
        let revocation = RevocationOptionsBuilder::new(&lists).ok().map(|options| {
            options
                .with_depth(RevocationCheckDepth::Chain)
                .with_status_policy(UnknownStatusPolicy::Allow)
                .with_expiration_policy(ExpirationPolicy::Ignore)
                .build()
        });
        let leaf = EndEntityCert::try_from(self.leaf).map_err(|error| self.doubt(&error))?;
        let path = leaf.verify_for_usage(
            self.judge.algorithms.all,
            anchors,
            &self.shown.certificates()[1..],
            UnixTime::since_unix_epoch(now),
            KeyUsage::server_auth(),
            revocation,
            Some(accept),
        );
        let path = path.map_err(|error| self.doubt(&error))?;
        let end = |der: &[u8]| {
            X509Certificate::from_der(der).map_or(0, |(_, it)| it.validity().not_after.timestamp())
        };
        let issuers = path.intermediate_certificates().map(|it| end(&it.der()));
        let own = self.read.validity().not_after.timestamp();
        Ok(issuers.fold(own, i64::min))
    }

    fn doubt(&self, error: &Error) -> Doubt {
        let own = self.read.subject().as_raw() == self.read.issuer().as_raw();
        let weakness = weakness::of_chain(self.shown.certificates());
        Doubt::of(error, own, &self.end(), weakness)
    }

    /// How far the chain goes by its names: who issued the last of it.
    fn end(&self) -> String {
        let others = self.shown.certificates().iter().skip(1);
        let others: Vec<_> = others
            .filter_map(|der| Some(X509Certificate::from_der(der).ok()?.1))
            .collect();
        let mut end = self.read.issuer();
        for _ in &others {
            let issuer = others
                .iter()
                .find(|it| it.subject().as_raw() == end.as_raw());
            end = issuer.map_or(end, |issuer| issuer.issuer());
        }
        end.to_string()
    }
}

/// Whether somebody on the path may issue only for some names.
fn is_constrained(path: &VerifiedPath<'_>) -> bool {
    let has_constraints = |der: &[u8]| {
        // What cannot be read may be anything.
        X509Certificate::from_der(der).map_or(true, |(_, certificate)| {
            !matches!(certificate.name_constraints(), Ok(None))
        })
    };
    path.anchor().name_constraints.is_some()
        || path
            .intermediate_certificates()
            .any(|certificate| has_constraints(&certificate.der()))
}

#[cfg(test)]
mod tests;
