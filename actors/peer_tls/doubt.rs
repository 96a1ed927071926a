//! Why a peer is not believed, in words for the one who runs the server.

use super::Reference;
use super::names::shown;
use rookery_protocol::datetime;
use webpki::Error;

/// Why a peer was not proved to be the domain that it says it is. Reads after "example.org is not
/// trusted:".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// No certificate was shown, which an initiating server may do (RFC 6120 §5.4.3.3).
    #[error("it showed no certificate")]
    Absent,
    /// What was shown is not a certificate of X.509 version 3.
    #[error("its certificate cannot be read")]
    Unreadable,
    /// Past its end, or its issuer's. Seconds since 1970.
    #[error("a certificate of its chain expired on {}", day(*.0))]
    Expired(i64),
    /// Before its beginning, or its issuer's. Seconds since 1970.
    #[error("a certificate of its chain is not valid before {}", day(*.0))]
    NotYetValid(i64),
    /// Nobody but itself vouches for it.
    #[error("its certificate is self-signed")]
    SelfSigned,
    /// No chain leads to an authority that is trusted; how far it goes, in their own words.
    #[error("its chain of certificates ends at \"{0}\", which is not trusted (or one is missing)")]
    UnknownIssuer(String),
    /// It names others (RFC 9525 §6).
    #[error("its certificate is for {names}, not for {domain}")]
    WrongName {
        /// Whom it should name.
        domain: Reference,
        /// Some of those it names.
        names: String,
    },
    /// The domain cannot be in a certificate, such as an address of IP.
    #[error("it is not a domain that a certificate could name")]
    Nameless,
    /// Its issuer took it back.
    #[error("its certificate was revoked")]
    Revoked,
    /// A key or a signature that can be forged; which.
    #[error("a certificate of its chain has {0}, which is too weak")]
    Weak(&'static str),
    /// A signature or a key of a kind that this server does not check.
    #[error("a certificate of its chain has a key or a signature of an unknown kind")]
    UnknownKind,
    /// A signature that is not its issuer's.
    #[error("a signature in its chain of certificates is wrong")]
    BadSignature,
    /// More certificates than are looked at, or no way from one end to the other.
    #[error("its chain of certificates is too long")]
    TooLong,
    /// Issued for another purpose than a server's (RFC 5280 §4.2.1.12).
    #[error("its certificate is not one of a server")]
    NotForServers,
    /// An authority's own, which is not for streams (RFC 6120 §13.7.1.1).
    #[error("its certificate is that of an authority, not of a server")]
    Authority,
    /// Its issuer may not issue for this name (RFC 5280 §4.2.1.10).
    #[error("its issuer may not issue for this name")]
    Constrained,
    /// The DNS says which certificates are good, and this is none of them (RFC 7673 §4).
    #[error("its certificate is none of those that its TLSA records name")]
    NotInDns,
    /// Anything else that webpki does not accept.
    #[error("its certificate is not acceptable: {0}")]
    Other(String),
}

impl Doubt {
    /// What webpki found. `own` tells that the certificate names itself as its issuer; `end` is
    /// the last issuer that the chain names; `weakness` what is weak in the chain, if anything.
    pub(super) fn of(error: &Error, own: bool, end: &str, weakness: Option<&'static str>) -> Doubt {
        let seconds =
            |at: rustls::pki_types::UnixTime| i64::try_from(at.as_secs()).unwrap_or(i64::MAX);
        #[allow(deprecated, reason = "webpki still has the variants that say less")]
        match error {
            Error::CertExpired { not_after, .. } => Doubt::Expired(seconds(*not_after)),
            Error::CertNotValidYet { not_before, .. } => Doubt::NotYetValid(seconds(*not_before)),
            Error::UnknownIssuer | Error::CaUsedAsEndEntity if own => Doubt::SelfSigned,
            Error::CaUsedAsEndEntity => Doubt::Authority,
            Error::UnknownIssuer => Doubt::UnknownIssuer(shown(end)),
            Error::CertRevoked => Doubt::Revoked,
            Error::RequiredEkuNotFound
            | Error::RequiredEkuNotFoundContext(_)
            | Error::EmptyEkuExtension => Doubt::NotForServers,
            // Names are looked at so closely only where they are constrained.
            Error::NameConstraintViolation
            | Error::MaximumNameConstraintComparisonsExceeded
            | Error::MalformedDnsIdentifier => Doubt::Constrained,
            Error::MaximumPathBuildCallsExceeded
            | Error::MaximumPathDepthExceeded
            | Error::MaximumSignatureChecksExceeded
            | Error::PathLenConstraintViolated => Doubt::TooLong,
            Error::InvalidSignatureForPublicKey
            | Error::UnsupportedSignatureAlgorithm
            | Error::UnsupportedSignatureAlgorithmContext(_)
            | Error::UnsupportedSignatureAlgorithmForPublicKey
            | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => match weakness {
                Some(weakness) => Doubt::Weak(weakness),
                None if *error == Error::InvalidSignatureForPublicKey => Doubt::BadSignature,
                None => Doubt::UnknownKind,
            },
            Error::BadDer | Error::BadDerTime | Error::UnsupportedCertVersion => Doubt::Unreadable,
            other => Doubt::Other(other.to_string()),
        }
    }
}

/// A day as people write it.
pub(super) fn day(seconds: i64) -> String {
    let millis = u64::try_from(seconds).unwrap_or(0).saturating_mul(1000);
    let text = datetime::format_seconds(millis);
    text.split_once('T')
        .map_or(text.clone(), |(day, _)| day.to_owned())
}
