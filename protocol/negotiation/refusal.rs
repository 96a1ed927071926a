//! Why stanzas do not get to another server, in words for whoever wrote them.

use smol_str::SmolStr;

use crate::dialback::Problem;
use crate::error::{Condition, ErrorType, StanzaError, StreamCondition, StreamError};

/// Why there is no stream to a domain, or none for a pair. The first five are for whoever looks up
/// and dials; the machine never says them.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// Its name is not in the DNS.
    #[error("the domain does not exist")]
    NoDomain,
    /// Its name is, but says that it has no such service (RFC 6120 §3.2.1).
    #[error("the domain has no XMPP server")]
    NoServer,
    /// No address of it took the connection.
    #[error("its server cannot be reached")]
    Unreachable,
    /// The connection ended without a word.
    #[error("the connection to its server broke")]
    Lost,
    /// The handshake came to nothing.
    #[error("encryption with its server failed")]
    TlsFailed,
    /// Something that we waited for did not come.
    #[error("its server did not answer in time")]
    Timeout,
    /// No `<starttls/>` (RFC 7590; attack F39).
    #[error("its server offers no encryption")]
    NoTls,
    /// `<failure/>` instead of `<proceed/>`.
    #[error("its server refused to begin encryption")]
    TlsRefused,
    /// Bytes behind `<proceed/>`, which were not read.
    #[error("something was sent in clear after its server agreed to encryption")]
    Injection,
    /// See [`Standing::Uncertified`](super::Standing::Uncertified).
    #[error("its server's certificate is not good for the domain")]
    Certificate,
    /// See [`Standing::Blocked`](super::Standing::Blocked).
    #[error("the domain is blocked here")]
    Blocked,
    /// The `from` of its header (attack F43).
    #[error("its server answers for another domain")]
    WrongName,
    /// No `id` in its header, or one of absurd length.
    #[error("its server's stream has no usable id")]
    NoId,
    /// No version, or one below 1.0.
    #[error("its server is too old")]
    OldVersion,
    /// Neither EXTERNAL nor dialback, as far as we could use it.
    #[error("its server offers no way to tell it who we are")]
    NoMethod,
    /// The condition of the SASL failure.
    #[error("its server does not accept our certificate ({0})")]
    External(SmolStr),
    /// `type='invalid'`.
    #[error("its server says that our dialback key is wrong")]
    Key,
    /// `type='error'`.
    #[error("its server refuses to hear us ({0})")]
    Dialback(Problem),
    /// Its stream error.
    #[error("its server ended the stream ({0})")]
    Stream(StreamError),
    /// The end of its stream, without an error.
    #[error("its server closed the stream")]
    Closed,
    /// The stream error with which we ended the stream.
    #[error("its server broke the protocol ({0})")]
    Broken(StreamError),
    /// The same where the reason is ours.
    #[error("the stream to its server was ended here ({0})")]
    Ended(StreamError),
    /// A component of ours that is not connected.
    #[error("it is not connected at the moment")]
    Away,
    /// Not on this stream: the pair needs one of its own.
    #[error("its server needs another connection for this")]
    Separate,
}

impl Refusal {
    /// For the stream error with which we end a stream.
    pub(super) fn of(error: StreamError) -> Refusal {
        match error.condition {
            StreamCondition::ConnectionTimeout => Refusal::Timeout,
            StreamCondition::SystemShutdown
            | StreamCondition::Reset
            | StreamCondition::ResourceConstraint => Refusal::Ended(error),
            _ => Refusal::Broken(error),
        }
    }

    /// The kind of it, to be counted.
    pub fn kind(&self) -> &'static str {
        match self {
            Refusal::NoDomain => "no-domain",
            Refusal::NoServer => "no-server",
            Refusal::Unreachable => "unreachable",
            Refusal::Lost => "lost",
            Refusal::TlsFailed => "tls-failed",
            Refusal::Timeout => "timeout",
            Refusal::NoTls => "no-tls",
            Refusal::TlsRefused => "tls-refused",
            Refusal::Injection => "injection",
            Refusal::Certificate => "certificate",
            Refusal::Blocked => "blocked",
            Refusal::WrongName => "wrong-name",
            Refusal::NoId => "no-id",
            Refusal::OldVersion => "old-version",
            Refusal::NoMethod => "no-method",
            Refusal::External(_) => "external",
            Refusal::Key => "key",
            Refusal::Dialback(_) => "dialback",
            Refusal::Stream(_) => "stream-error",
            Refusal::Closed => "closed",
            Refusal::Broken(_) => "broken",
            Refusal::Ended(_) => "ended-here",
            Refusal::Separate => "separate",
            Refusal::Away => "away",
        }
    }

    /// Whether trying again soon will hardly help: what waits for the domain may be returned.
    pub fn is_lasting(&self) -> bool {
        match self {
            Refusal::Stream(error) => is_unknown(error),
            Refusal::Dialback(problem) => !matches!(
                problem,
                Problem::RemoteConnectionFailed
                    | Problem::RemoteServerTimeout
                    | Problem::ResourceConstraint
                    | Problem::Other
            ),
            Refusal::Unreachable
            | Refusal::Lost
            | Refusal::TlsFailed
            | Refusal::Timeout
            | Refusal::TlsRefused
            | Refusal::Injection
            | Refusal::NoId
            | Refusal::Closed
            | Refusal::Broken(_)
            | Refusal::Ended(_)
            | Refusal::Away
            | Refusal::Separate => false,
            Refusal::NoDomain
            | Refusal::NoServer
            | Refusal::NoTls
            | Refusal::Certificate
            | Refusal::Blocked
            | Refusal::WrongName
            | Refusal::OldVersion
            | Refusal::NoMethod
            | Refusal::External(_)
            | Refusal::Key => true,
        }
    }

    /// The condition that the senders of stanzas are told (RFC 6120 §10.4): not found is a domain
    /// that has no server, or none that knows it; late is one whose server there is and with which
    /// no stream comes about, for whatever reason (for dialback, see XEP-0220 §2.1.1 and §2.5).
    pub fn condition(&self) -> Condition {
        match self {
            Refusal::Blocked => Condition::NotAllowed,
            Refusal::Key => Condition::InternalServerError,
            Refusal::NoDomain | Refusal::NoServer => Condition::RemoteServerNotFound,
            Refusal::Stream(error) if is_unknown(error) => Condition::RemoteServerNotFound,
            Refusal::Away => Condition::ServiceUnavailable,
            _ => Condition::RemoteServerTimeout,
        }
    }

    /// What the sender of a stanza to that domain is told. Waiting helps only where the reason may
    /// go by itself (RFC 6120 §8.3.3.17).
    pub fn to_error(&self, domain: &str) -> StanzaError {
        let error = StanzaError::new(self.condition()).with_text(format!("{domain}: {self}"));
        match self {
            // It will be back, and need not be given up.
            Refusal::Away => error.with_kind(ErrorType::Wait),
            _ if self.is_lasting() => error.with_kind(ErrorType::Cancel),
            _ => error,
        }
    }

    /// What came of a key that could not be asked about for this reason (XEP-0220 §2.5).
    pub(super) fn problem(&self) -> Problem {
        match self {
            Refusal::Stream(error) if is_unknown(error) => Problem::RemoteServerNotFound,
            Refusal::NoDomain | Refusal::NoServer => Problem::RemoteServerNotFound,
            Refusal::Unreachable => Problem::RemoteConnectionFailed,
            _ => Problem::RemoteServerTimeout,
        }
    }
}

fn is_unknown(error: &StreamError) -> bool {
    matches!(
        error.condition,
        StreamCondition::HostUnknown | StreamCondition::HostGone
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows F38 and F39, XEP-0220 §2.1.1.
    #[test]
    fn senders_are_told_what_they_can_do() {
        let stream = |condition| Refusal::Stream(StreamError::new(condition));
        let rows = [
            (
                Refusal::NoDomain,
                "remote-server-not-found",
                ErrorType::Cancel,
            ),
            (
                Refusal::NoServer,
                "remote-server-not-found",
                ErrorType::Cancel,
            ),
            (
                Refusal::Certificate,
                "remote-server-timeout",
                ErrorType::Cancel,
            ),
            (Refusal::NoTls, "remote-server-timeout", ErrorType::Cancel),
            (Refusal::Blocked, "not-allowed", ErrorType::Cancel),
            (
                Refusal::Dialback(Problem::NotAuthorized),
                "remote-server-timeout",
                ErrorType::Cancel,
            ),
            (
                Refusal::Dialback(Problem::RemoteConnectionFailed),
                "remote-server-timeout",
                ErrorType::Wait,
            ),
            (Refusal::Timeout, "remote-server-timeout", ErrorType::Wait),
            (Refusal::Lost, "remote-server-timeout", ErrorType::Wait),
            (Refusal::Away, "service-unavailable", ErrorType::Wait),
            (Refusal::Key, "internal-server-error", ErrorType::Cancel),
            (
                Refusal::Dialback(Problem::ItemNotFound),
                "remote-server-timeout",
                ErrorType::Cancel,
            ),
            (
                stream(StreamCondition::HostUnknown),
                "remote-server-not-found",
                ErrorType::Cancel,
            ),
            (
                stream(StreamCondition::SystemShutdown),
                "remote-server-timeout",
                ErrorType::Wait,
            ),
        ];
        for (refusal, condition, kind) in rows {
            let error = refusal.to_error("b.test");
            assert_eq!(error.condition.as_str(), condition, "{refusal}");
            assert_eq!(error.kind, kind, "{refusal}");
        }
        let text = stream(StreamCondition::HostUnknown).to_error("b.test").text;
        let wanted = "b.test: its server ended the stream (host-unknown)";
        assert_eq!(text.as_deref(), Some(wanted));
    }
}
