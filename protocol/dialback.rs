//! Server Dialback: its four elements (XEP-0220), and the keys in them (XEP-0185).
//!
//! A server that wants to send stanzas says so with a key that it derived from a secret
//! ([`Dialback::Claim`]); who is to receive them asks the server that the sender's domain leads to
//! whether the key is its own ([`Dialback::Query`], [`Dialback::Answer`]), and tells the first
//! what came of it ([`Dialback::Outcome`]).

use std::fmt;

use smol_str::SmolStr;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::error::{Condition, ErrorType, StreamCondition, StreamError};
use crate::jid::Jid;
use crate::ns;
use crate::sasl::Hash;
use crate::xml::{Element, attribute, escape_text};

/// Longest key and longest stream id that are read, in bytes. A key of XEP-0185 has 64.
const MAX_VALUE: usize = 256;

/// Two domains, between which stanzas go in one direction (XEP-0220 §1.3). Both are prepared, as
/// [`Jid::domain`] has them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pair {
    /// What the stanzas, or the element, come from.
    pub from: SmolStr,
    /// Where they go.
    pub to: SmolStr,
}

/// An element of Server Dialback. The pair is that of its attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dialback {
    /// Step 1, `<db:result/>`: may I send for this pair?
    Claim {
        /// The sender's domain and ours.
        pair: Pair,
        /// As it was written, without the white space around it.
        key: SmolStr,
    },
    /// Step 2, `<db:verify/>`: is this key yours?
    Query {
        /// Who was asked for permission, and who asked.
        pair: Pair,
        /// Of the stream on which the key came.
        id: SmolStr,
        /// As in the claim.
        key: SmolStr,
    },
    /// Step 3, `<db:verify type='…'/>`.
    Answer {
        /// That of the query, the other way round.
        pair: Pair,
        /// As in the query.
        id: SmolStr,
        /// Whether the key is right.
        verdict: Verdict,
    },
    /// Step 4, `<db:result type='…'/>`.
    Outcome {
        /// That of the claim, the other way round.
        pair: Pair,
        /// Whether stanzas may follow.
        verdict: Verdict,
    },
}

/// What came of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is right.
    Valid,
    /// It is wrong.
    Invalid,
    /// That could not be found out, or does not matter.
    Error(Problem),
}

/// The conditions of errors (XEP-0220 §2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Problem {
    /// The domain asked for is not served there.
    ItemNotFound,
    /// The sender's server could not be reached.
    RemoteConnectionFailed,
    /// The sender's domain has no server, or its server does not know it.
    RemoteServerNotFound,
    /// The sender's server did not answer.
    RemoteServerTimeout,
    /// Not without TLS.
    PolicyViolation,
    /// Not without a certificate for the domain.
    NotAuthorized,
    /// The sender's server says that the key is wrong.
    Forbidden,
    /// The identity could not be established.
    NotAcceptable,
    /// No more pairs on this stream: open another.
    ResourceConstraint,
    /// None of these; never sent.
    Other,
}

/// What keys are derived from: who knows it can speak for all our domains. Kept as XEP-0185 uses
/// it, hashed.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Pair {
    /// From two prepared domains.
    pub fn new(from: impl Into<SmolStr>, to: impl Into<SmolStr>) -> Pair {
        Pair {
            from: from.into(),
            to: to.into(),
        }
    }

    /// The other direction.
    pub fn reversed(&self) -> Pair {
        Pair {
            from: self.to.clone(),
            to: self.from.clone(),
        }
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} to {}", self.from, self.to)
    }
}

impl Dialback {
    /// Reads an element of the namespace `jabber:server:dialback`. What is not as XEP-0220 wants it
    /// ends the stream: `improper-addressing` where an address is missing or no domain,
    /// `policy-violation` for a key or id too long, `bad-format` for a missing id or unknown type.
    pub fn parse(element: &Element) -> Result<Dialback, StreamError> {
        let kind = element.attr("type");
        if !matches!(element.name(), "result" | "verify") {
            return Err(StreamCondition::UnsupportedStanzaType.into());
        }
        let pair = Pair {
            from: domain(element.attr("from"))?,
            to: domain(element.attr("to"))?,
        };
        let verdict = || Verdict::parse(kind.unwrap_or_default(), element);
        let key = || bounded(element.text().trim());
        Ok(match (element.name() == "verify", kind) {
            (false, None) => Dialback::Claim { pair, key: key()? },
            (false, Some(_)) => Dialback::Outcome {
                pair,
                verdict: verdict()?,
            },
            (true, _) => {
                let id = element.attr("id").filter(|id| !id.is_empty());
                let id = bounded(id.ok_or(StreamCondition::BadFormat)?)?;
                match kind {
                    None => Dialback::Query {
                        pair,
                        id,
                        key: key()?,
                    },
                    Some(_) => Dialback::Answer {
                        pair,
                        id,
                        verdict: verdict()?,
                    },
                }
            }
        })
    }

    /// Writes the element for a stream whose header declared the prefix `db` and the content
    /// namespace `jabber:server` (XEP-0220 §2.4.1: some servers know it by no other prefix).
    pub fn write(&self, out: &mut Vec<u8>) {
        let (name, pair, id, key, verdict) = match self {
            Dialback::Claim { pair, key } => ("db:result", pair, None, Some(key), None),
            Dialback::Query { pair, id, key } => ("db:verify", pair, Some(id), Some(key), None),
            Dialback::Answer { pair, id, verdict } => {
                ("db:verify", pair, Some(id), None, Some(verdict))
            }
            Dialback::Outcome { pair, verdict } => ("db:result", pair, None, None, Some(verdict)),
        };
        out.push(b'<');
        out.extend_from_slice(name.as_bytes());
        attribute(out, "", "from", &pair.from);
        attribute(out, "", "to", &pair.to);
        if let Some(id) = id {
            attribute(out, "", "id", id);
        }
        if let Some(verdict) = verdict {
            attribute(out, "", "type", verdict.as_str());
        }
        let problem = match verdict {
            Some(Verdict::Error(problem)) => Some(problem),
            _ => None,
        };
        if key.is_none() && problem.is_none() {
            out.extend_from_slice(b"/>");
            return;
        }
        out.push(b'>');
        if let Some(key) = key {
            escape_text(key, out);
        }
        if let Some(problem) = problem {
            problem.to_element().write(out, ns::SERVER);
        }
        out.extend_from_slice(format!("</{name}>").as_bytes());
    }
}

impl Verdict {
    fn parse(kind: &str, element: &Element) -> Result<Verdict, StreamError> {
        match kind {
            "valid" => Ok(Verdict::Valid),
            "invalid" => Ok(Verdict::Invalid),
            "error" => Ok(Verdict::Error(Problem::parse(element))),
            _ => Err(StreamCondition::BadFormat.into()),
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Verdict::Valid => "valid",
            Verdict::Invalid => "invalid",
            Verdict::Error(_) => "error",
        }
    }
}

impl Problem {
    const NAMES: [(Problem, &str); 9] = [
        (Problem::ItemNotFound, "item-not-found"),
        (Problem::RemoteConnectionFailed, "remote-connection-failed"),
        (Problem::RemoteServerNotFound, "remote-server-not-found"),
        (Problem::RemoteServerTimeout, "remote-server-timeout"),
        (Problem::PolicyViolation, "policy-violation"),
        (Problem::NotAuthorized, "not-authorized"),
        (Problem::Forbidden, "forbidden"),
        (Problem::NotAcceptable, "not-acceptable"),
        (Problem::ResourceConstraint, "resource-constraint"),
    ];

    /// The name of the condition.
    pub fn as_str(self) -> &'static str {
        let found = Problem::NAMES.iter().find(|(problem, _)| *problem == self);
        found.map_or("undefined-condition", |(_, name)| name)
    }

    /// Reads the `<error/>` in an element of type `error`.
    fn parse(element: &Element) -> Problem {
        let error = element.children().find(|child| child.name() == "error");
        let mut conditions = error.iter().flat_map(|error| error.children());
        let known = conditions.find_map(|child| {
            let mut names = Problem::NAMES.iter();
            let is_it = |(_, name): &&(Problem, &str)| child.is(ns::STANZAS, name);
            names.find(is_it).map(|(problem, _)| *problem)
        });
        known.unwrap_or(Problem::Other)
    }

    fn to_element(self) -> Element {
        let kind = match Condition::parse(self.as_str()) {
            Some(condition) => condition.default_type(),
            None => ErrorType::Wait,
        };
        Element::new(ns::SERVER, "error")
            .with_attr("type", kind.as_str())
            .with_child(Element::new(ns::STANZAS, self.as_str()))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl Secret {
    /// From 256 bits that nobody can foretell. All processes that answer for one domain need the
    /// same.
    pub fn new(secret: &[u8; 32]) -> Secret {
        Secret::hashed(secret)
    }

    /// The key with which `claim.from` asks `claim.to` on the stream to which `claim.to` gave this
    /// id (XEP-0185 §2).
    pub fn key(&self, claim: &Pair, id: &str) -> String {
        let text = format!("{} {} {id}", claim.to, claim.from);
        hex(&Hash::Sha256.hmac(self.0.as_bytes(), text.as_bytes()))
    }

    /// Whether a key is that, found out in the same time wherever it differs.
    pub fn is_key(&self, claim: &Pair, id: &str, key: &str) -> bool {
        let ours = Zeroizing::new(self.key(claim, id));
        ours.as_bytes().ct_eq(key.as_bytes()).into()
    }

    /// The answer to a query about a key of ours, for the domain it was made for.
    pub fn answer(&self, query: &Pair, id: &str, key: &str) -> Verdict {
        match self.is_key(&query.reversed(), id, key) {
            true => Verdict::Valid,
            false => Verdict::Invalid,
        }
    }

    fn hashed(secret: &[u8]) -> Secret {
        Secret(Zeroizing::new(hex(&Hash::Sha256.digest(secret))))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret")
    }
}

/// The stream feature (XEP-0220 §2.4.2): we know errors that do not end the stream.
pub fn feature() -> Element {
    let errors = Element::new(ns::DIALBACK_FEATURE, "errors");
    Element::new(ns::DIALBACK_FEATURE, "dialback").with_child(errors)
}

/// Digits as XEP-0185 and XEP-0114 want them: hexadecimal, in lower case.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or('0');
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(digit).collect()
}

/// A domain alone (RFC 6120 §4.9.3.7).
fn domain(text: Option<&str>) -> Result<SmolStr, StreamError> {
    let jid = text.and_then(|text| Jid::parse(text).ok());
    match jid.filter(|jid| jid.as_str() == jid.domain()) {
        Some(jid) => Ok(jid.domain().into()),
        None => Err(StreamCondition::ImproperAddressing.into()),
    }
}

fn bounded(text: &str) -> Result<SmolStr, StreamError> {
    match text.len() <= MAX_VALUE {
        true => Ok(text.into()),
        false => Err(StreamCondition::PolicyViolation.into()),
    }
}

#[cfg(test)]
mod tests;
