//! The server's side of SASL (RFC 4422), apart from how XMPP wraps it: mechanisms, failures,
//! credentials, and one [`Exchange`] as a state machine. The wrappings of RFC 6120 §6 and of
//! XEP-0388 are in [`crate::negotiation`].

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

mod credentials;
mod exchange;
mod hash;
mod password;
mod plain;
mod scram;
pub(crate) mod token;

pub use credentials::{Credentials, DEFAULT_ITERATIONS, Decoy, MIN_ITERATIONS, ScramKeys};
pub use exchange::{
    Account, Exchange, Lacking, Lookup, Nonce, PasswordCheck, Step, Success, Terms, Verdict,
};
pub use hash::Hash;
pub use password::{MAX_PASSWORD, Password, PasswordError};
pub use token::{HELD, HeldToken, Token, TokenId, TokenMechanism, pseudonym};

/// A mechanism that this server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// RFC 7677 with channel binding.
    ScramSha256Plus,
    /// RFC 7677.
    ScramSha256,
    /// RFC 5802 with channel binding.
    ScramSha1Plus,
    /// RFC 5802.
    ScramSha1,
    /// RFC 4616.
    Plain,
    /// A token instead of a password: never in the list, but in that of XEP-0484.
    Token(TokenMechanism),
}

/// Why an authentication did not succeed (RFC 6120 §6.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The client gave up (§6.5.1).
    Aborted,
    /// Right password, but the account is switched off (§6.5.2).
    AccountDisabled,
    /// §6.5.3.
    CredentialsExpired,
    /// Not without TLS (§6.5.4).
    EncryptionRequired,
    /// Bad base64 (§6.5.5).
    IncorrectEncoding,
    /// Another's identity, or none that there can be (§6.5.6).
    InvalidAuthzid,
    /// Not offered (§6.5.7).
    InvalidMechanism,
    /// Against the mechanism's syntax or out of turn (§6.5.8).
    MalformedRequest,
    /// §6.5.9.
    MechanismTooWeak,
    /// Wrong credentials, or no such account: the two are never told apart (§6.5.10).
    NotAuthorized,
    /// We cannot tell just now (§6.5.11).
    TemporaryAuthFailure,
}

/// What binds an authentication to the TLS connection it runs in (RFC 5056). Empty without TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelBindings {
    /// RFC 9266: 32 exported bytes; only of TLS 1.3.
    pub tls_exporter: Option<Vec<u8>>,
    /// RFC 5929 §4: the hash of the certificate that was served on this very connection.
    pub tls_server_end_point: Option<Vec<u8>>,
    /// The number of the TLS version, such as 0x0304, for XEP-0515. Nothing to bind to.
    pub tls_version: Option<u16>,
}

impl Mechanism {
    /// All with a password, the strongest first, which is the order to offer them in
    /// (RFC 6120 §6.3.3).
    pub const ALL: [Mechanism; 5] = [
        Mechanism::ScramSha256Plus,
        Mechanism::ScramSha1Plus,
        Mechanism::ScramSha256,
        Mechanism::ScramSha1,
        Mechanism::Plain,
    ];

    /// The registered name.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha1Plus => "SCRAM-SHA-1-PLUS",
            Mechanism::ScramSha1 => "SCRAM-SHA-1",
            Mechanism::Plain => "PLAIN",
            Mechanism::Token(token) => token.name(),
        }
    }

    /// The mechanism with a password of that name, written exactly so.
    pub fn from_name(name: &str) -> Option<Mechanism> {
        Mechanism::ALL
            .into_iter()
            .find(|mechanism| mechanism.name() == name)
    }

    /// Whether it needs channel binding.
    pub fn is_plus(self) -> bool {
        matches!(self, Mechanism::ScramSha256Plus | Mechanism::ScramSha1Plus)
    }

    /// The hash of a SCRAM mechanism.
    pub fn hash(self) -> Option<Hash> {
        match self {
            Mechanism::ScramSha256Plus | Mechanism::ScramSha256 => Some(Hash::Sha256),
            Mechanism::ScramSha1Plus | Mechanism::ScramSha1 => Some(Hash::Sha1),
            Mechanism::Plain | Mechanism::Token(_) => None,
        }
    }
}

impl Failure {
    /// The name of the condition element.
    pub fn name(self) -> &'static str {
        match self {
            Failure::Aborted => "aborted",
            Failure::AccountDisabled => "account-disabled",
            Failure::CredentialsExpired => "credentials-expired",
            Failure::EncryptionRequired => "encryption-required",
            Failure::IncorrectEncoding => "incorrect-encoding",
            Failure::InvalidAuthzid => "invalid-authzid",
            Failure::InvalidMechanism => "invalid-mechanism",
            Failure::MalformedRequest => "malformed-request",
            Failure::MechanismTooWeak => "mechanism-too-weak",
            Failure::NotAuthorized => "not-authorized",
            Failure::TemporaryAuthFailure => "temporary-auth-failure",
        }
    }
}

impl ChannelBindings {
    /// The types there are, as XEP-0440 announces them.
    pub fn types(&self) -> impl Iterator<Item = &'static str> + use<> {
        let exporter = self.tls_exporter.as_ref().map(|_| "tls-exporter");
        let end_point = self
            .tls_server_end_point
            .as_ref()
            .map(|_| "tls-server-end-point");
        exporter.into_iter().chain(end_point)
    }

    /// The data of one type. `tls-unique` is never there: TLS 1.3 does not have it (RFC 9266 §3).
    pub fn data(&self, kind: &str) -> Option<&[u8]> {
        match kind {
            "tls-exporter" => self.tls_exporter.as_deref(),
            "tls-server-end-point" => self.tls_server_end_point.as_deref(),
            _ => None,
        }
    }

    /// Whether there is nothing to bind to.
    pub fn is_empty(&self) -> bool {
        self.types().next().is_none()
    }
}

/// Base 64 as RFC 6120 §6.3.5 and §6.4.2 want it: RFC 4648 §4 with padding, without white space,
/// with the padding bits zero, and `=` for data of zero length.
pub fn decode(text: &str) -> Result<Vec<u8>, Failure> {
    match text {
        "=" => Ok(Vec::new()),
        text => STANDARD
            .decode(text)
            .map_err(|_| Failure::IncorrectEncoding),
    }
}

/// The same for XEP-0388 §2.2, where `=` has no meaning: an empty element is empty data. White
/// space should not be there, but may (its schema says base64Binary).
pub fn decode_plainly(text: &str) -> Result<Vec<u8>, Failure> {
    let bytes = text.bytes().filter(|byte| !byte.is_ascii_whitespace());
    let plain = Zeroizing::new(bytes.collect::<Vec<u8>>());
    STANDARD
        .decode(plain.as_slice())
        .map_err(|_| Failure::IncorrectEncoding)
}

/// Base 64 of RFC 4648 §4.
pub fn encode(data: &[u8]) -> String {
    STANDARD.encode(data)
}

#[cfg(test)]
pub(crate) mod tests;
