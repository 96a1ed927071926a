//! One authentication from the client's first message to the verdict, whatever wraps it.
//!
//! The machine asks for what it cannot know (the credentials) and hands out what takes long (the
//! password's hashing). Whether an account exists changes neither the questions, nor the answers,
//! nor the work; it only keeps the last answer from being a success.

use std::fmt;
use std::sync::Arc;

use smol_str::SmolStr;
use subtle::Choice;

use super::scram::{Challenge, ClientFirst, Flag};
use super::{
    ChannelBindings, Credentials, Decoy, Failure, Hash, HeldToken, Mechanism, Password, ScramKeys,
    TokenId, TokenMechanism, encode, plain, token,
};
use crate::jid::Jid;

/// What one stream's authentications have in common.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The local domain that the client named: its accounts are the ones that can log in.
    pub domain: SmolStr,
    /// What the connection offers to bind to.
    pub bindings: ChannelBindings,
    /// The mechanisms offered on this stream; no other is accepted.
    pub offered: Vec<Mechanism>,
    /// Stands in for accounts that do not exist.
    pub decoy: Arc<Decoy>,
    /// Whether the challenge carries XEP-0474's hash of what was offered, and XEP-0515's version of
    /// TLS.
    pub downgrade_hash: bool,
}

/// The server's part of a SCRAM nonce: 144 random bits, new for each exchange.
#[derive(Clone)]
pub struct Nonce(String);

/// What to do next.
#[derive(Debug)]
pub enum Step {
    /// Send this to the client, and give its answer to [`Exchange::respond`].
    Challenge(Vec<u8>),
    /// Look up the account (a bare JID, prepared) and call [`Exchange::fetched`]. Until then no
    /// message of the client may be given.
    Fetch(Jid),
    /// Run this where it may take a millisecond or two, and call [`Exchange::checked`]. Until then
    /// no message of the client may be given.
    Check(PasswordCheck),
    /// The client is who it says.
    Success(Box<Success>),
    /// It is over, without success.
    Failure(Failure),
}

/// Who it is.
#[derive(Debug)]
pub struct Success {
    /// The bare JID of the account.
    pub account: Jid,
    /// Additional data with success (RFC 6120 §6.3.10).
    pub data: Option<Vec<u8>>,
    /// The token, where one was used.
    pub token: Option<TokenId>,
    /// Keys that the account could have and has not (XEP-0480).
    pub lacking: Vec<Lacking>,
}

/// Keys that are missing, and how to make them: with the salt of those that are there, so that
/// the account goes on looking like any other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lacking {
    /// The hash that they are for.
    pub hash: Hash,
    /// The salt.
    pub salt: Vec<u8>,
    /// PBKDF2 rounds.
    pub iterations: u32,
}

/// What the store knows about the account that was asked for.
#[derive(Debug)]
pub enum Lookup {
    /// It exists.
    Found(Account),
    /// It does not.
    Absent,
    /// The store cannot tell now.
    Unavailable,
}

/// An account as far as logging in goes.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its keys.
    pub credentials: Credentials,
    /// Switched off by an administrator; only who knows the password is told.
    pub disabled: bool,
    /// What the client that asks may hold; at most [`super::HELD`] are looked at.
    pub tokens: Vec<HeldToken>,
}

/// A password to be hashed and compared: the slow part, free to run on any thread.
#[derive(Debug)]
pub struct PasswordCheck {
    password: Password,
    credentials: Credentials,
}

/// The answer to a [`PasswordCheck`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The password is the one.
    Right,
    /// It is not.
    Wrong,
    /// Nobody had the time to look: too many checks wait already.
    Overloaded,
}

/// One run of one mechanism.
pub struct Exchange {
    mechanism: Mechanism,
    nonce: Nonce,
    /// How often the client has used its token, as it says (XEP-0484 §3.4).
    count: Option<u32>,
    state: State,
}

enum State {
    /// Nothing heard yet.
    Start,
    /// [`Step::Fetch`] is out.
    Fetching(Jid, Claim),
    /// The SCRAM challenge is out.
    Proving(Subject, Challenge, ScramKeys),
    /// [`Step::Check`] is out.
    Checking(Subject),
    /// Success or failure.
    Over,
}

/// What the client presented, until its keys are known.
enum Claim {
    Scram(ClientFirst),
    Plain(Password),
    Token(TokenMechanism, token::Message),
}

/// Who it would be.
struct Subject {
    account: Jid,
    /// Whether the keys at hand are those of an account, not the decoy's.
    genuine: Choice,
    disabled: bool,
    token: Option<TokenId>,
    lacking: Vec<Lacking>,
}

impl Exchange {
    /// Starts `mechanism`, which must be one of those offered.
    pub fn new(mechanism: Mechanism, nonce: Nonce) -> Exchange {
        Exchange {
            mechanism,
            nonce,
            count: None,
            state: State::Start,
        }
    }

    /// The same with the `count` that came with a token.
    pub fn counted(self, count: Option<u32>) -> Exchange {
        Exchange { count, ..self }
    }

    /// Whether it needs to know the client's tokens.
    pub fn wants_tokens(&self) -> bool {
        matches!(self.mechanism, Mechanism::Token(_))
    }

    /// A message of the client, decoded.
    pub fn respond(&mut self, data: &[u8], terms: &Terms) -> Step {
        let step = match std::mem::replace(&mut self.state, State::Over) {
            State::Start => self.begin(data, terms),
            State::Proving(subject, challenge, keys) => {
                self.prove(subject, &challenge, &keys, data)
            }
            State::Fetching(..) | State::Checking(_) | State::Over => {
                Err(Failure::MalformedRequest)
            }
        };
        step.unwrap_or_else(Step::Failure)
    }

    /// The answer to [`Step::Fetch`].
    pub fn fetched(&mut self, lookup: Lookup, terms: &Terms) -> Step {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Fetching(account, claim) => self
                .judge(account, claim, lookup, terms)
                .unwrap_or_else(Step::Failure),
            _ => Step::Failure(Failure::TemporaryAuthFailure),
        }
    }

    /// The answer to [`Step::Check`].
    pub fn checked(&mut self, verdict: Verdict) -> Step {
        match (std::mem::replace(&mut self.state, State::Over), verdict) {
            (State::Checking(subject), Verdict::Right) => subject
                .conclude(Choice::from(1), None)
                .unwrap_or_else(Step::Failure),
            (State::Checking(_), Verdict::Wrong) => Step::Failure(Failure::NotAuthorized),
            _ => Step::Failure(Failure::TemporaryAuthFailure),
        }
    }

    fn begin(&mut self, data: &[u8], terms: &Terms) -> Result<Step, Failure> {
        let (account, claim) = match self.mechanism {
            Mechanism::Plain => {
                let message = plain::Message::parse(data)?;
                let account = identity(&message.authcid, message.authzid.as_deref(), terms)?;
                // What cannot be a password of ours is a wrong one, and needs no hashing.
                let password = Password::prepare(&message.password);
                (
                    account,
                    Claim::Plain(password.map_err(|_| Failure::NotAuthorized)?),
                )
            }
            Mechanism::Token(kind) => {
                let message = token::Message::parse(data)?;
                let account = identity(&message.authcid, None, terms)?;
                (account, Claim::Token(kind, message))
            }
            _ => {
                let first = ClientFirst::parse(data)?;
                self.check_flag(&first.binding, terms)?;
                let account = identity(&first.username, first.authzid.as_deref(), terms)?;
                (account, Claim::Scram(first))
            }
        };
        self.state = State::Fetching(account.clone(), claim);
        Ok(Step::Fetch(account))
    }

    /// RFC 5802 §6.
    fn check_flag(&self, flag: &Flag, terms: &Terms) -> Result<(), Failure> {
        let bindable = terms.offered.iter().any(|mechanism| mechanism.is_plus());
        let fits = match flag {
            Flag::Bound(kind) => self.mechanism.is_plus() && terms.bindings.data(kind).is_some(),
            Flag::Unsupported => !self.mechanism.is_plus(),
            // The client did not see the -PLUS that we offer: somebody took it away.
            Flag::Unoffered => !self.mechanism.is_plus() && !bindable,
        };
        if fits {
            Ok(())
        } else {
            Err(Failure::NotAuthorized)
        }
    }

    fn judge(
        &mut self,
        account: Jid,
        claim: Claim,
        lookup: Lookup,
        terms: &Terms,
    ) -> Result<Step, Failure> {
        // Made for everyone, so that its cost tells nothing.
        let decoy = terms.decoy.credentials(account.as_str());
        let (found, disabled, held) = match lookup {
            Lookup::Found(found) => (Some(found.credentials), found.disabled, found.tokens),
            Lookup::Absent => (None, false, Vec::new()),
            Lookup::Unavailable => return Err(Failure::TemporaryAuthFailure),
        };
        let mut subject = Subject {
            account,
            genuine: Choice::from(u8::from(found.is_some())),
            disabled,
            token: None,
            lacking: found.as_ref().map(lacking).unwrap_or_default(),
        };
        match claim {
            Claim::Plain(password) => {
                self.state = State::Checking(subject);
                let credentials = found.unwrap_or(decoy);
                Ok(Step::Check(PasswordCheck {
                    password,
                    credentials,
                }))
            }
            Claim::Scram(first) => {
                let hash = self.mechanism.hash().ok_or(Failure::TemporaryAuthFailure)?;
                let found = found
                    .as_ref()
                    .and_then(|credentials| credentials.keys(hash));
                subject.genuine = Choice::from(u8::from(found.is_some()));
                let keys = found
                    .or(decoy.keys(hash))
                    .ok_or(Failure::TemporaryAuthFailure)?;
                let (message, challenge) = first.answer(
                    &self.nonce.0,
                    keys,
                    &terms.bindings,
                    &protection(hash, terms),
                )?;
                self.state = State::Proving(subject, challenge, keys.clone());
                Ok(Step::Challenge(message.into_bytes()))
            }
            Claim::Token(kind, message) => {
                let binding = kind.binding(&terms.bindings);
                let binding = binding.ok_or(Failure::InvalidMechanism)?;
                let proof = message.prove(kind, &held, &terms.decoy.token(), binding);
                // A number that came before, or none that could come after it (XEP-0484 §3.4).
                let replayed = match (self.count, proof.count) {
                    (Some(count), Some(last)) => count <= last,
                    _ => false,
                };
                if !bool::from(proof.right & subject.genuine) || replayed {
                    return Err(Failure::NotAuthorized);
                }
                if proof.void && !subject.disabled {
                    return Err(Failure::CredentialsExpired);
                }
                subject.token = Some(proof.id);
                subject.conclude(proof.right, Some(proof.answer))
            }
        }
    }

    fn prove(
        &self,
        subject: Subject,
        challenge: &Challenge,
        keys: &ScramKeys,
        data: &[u8],
    ) -> Result<Step, Failure> {
        let hash = self.mechanism.hash().ok_or(Failure::TemporaryAuthFailure)?;
        let (message, right) = challenge.verify(hash, keys, data)?;
        subject.conclude(right, Some(message.into_bytes()))
    }
}

impl Subject {
    fn conclude(self, right: Choice, data: Option<Vec<u8>>) -> Result<Step, Failure> {
        if !bool::from(right & self.genuine) {
            return Err(Failure::NotAuthorized);
        }
        if self.disabled {
            return Err(Failure::AccountDisabled);
        }
        Ok(Step::Success(Box::new(Success {
            account: self.account,
            data,
            token: self.token,
            lacking: self.lacking,
        })))
    }
}

impl Nonce {
    /// From bytes that nobody can foretell.
    pub fn new(random: [u8; 18]) -> Nonce {
        Nonce(encode(&random))
    }

    #[cfg(test)]
    pub(super) fn fixed(text: &str) -> Nonce {
        Nonce(text.to_owned())
    }
}

impl PasswordCheck {
    /// One PBKDF2 run, about a millisecond.
    pub fn run(&self) -> Verdict {
        match self.credentials.verify(&self.password) {
            true => Verdict::Right,
            false => Verdict::Wrong,
        }
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Exchange({})", self.mechanism.name())
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonce(…)")
    }
}

/// The account that the client authenticates as. Its name is prepared like any localpart; nobody
/// may act as another (RFC 6120 §6.3.8), and an authorization identity must be a bare JID.
fn identity(name: &str, authzid: Option<&str>, terms: &Terms) -> Result<Jid, Failure> {
    let account = Jid::new(Some(name), &terms.domain, None);
    if let Some(authzid) = authzid {
        let claimed = Jid::parse(authzid).map_err(|_| Failure::InvalidAuthzid)?;
        if account.as_ref().ok() != Some(&claimed) {
            return Err(Failure::InvalidAuthzid);
        }
    }
    account.map_err(|_| Failure::NotAuthorized)
}

/// The keys that an account has not, made with the salt of those it has.
fn lacking(credentials: &Credentials) -> Vec<Lacking> {
    let hashes = [Hash::Sha256, Hash::Sha1];
    let Some(others) = hashes.into_iter().find_map(|hash| credentials.keys(hash)) else {
        return Vec::new();
    };
    let missing = hashes.into_iter();
    let missing = missing.filter(|hash| credentials.keys(*hash).is_none());
    missing
        .map(|hash| Lacking {
            hash,
            salt: others.salt.clone(),
            iterations: others.iterations,
        })
        .collect()
}

/// Further attributes of the challenge: XEP-0474's hash, and XEP-0515's version.
fn protection(hash: Hash, terms: &Terms) -> String {
    if !terms.downgrade_hash {
        return String::new();
    }
    let mut text = format!(",h={}", encode(&hash.digest(&offer(terms))));
    if let Some(version) = terms.bindings.tls_version {
        text.push_str(&format!(",t={version:04x}"));
    }
    text
}

/// What XEP-0474 hashes: the sorted mechanisms and, if any are announced, channel-binding types.
fn offer(terms: &Terms) -> Vec<u8> {
    let mut mechanisms: Vec<_> = terms
        .offered
        .iter()
        .map(|mechanism| mechanism.name())
        .collect();
    mechanisms.sort_unstable();
    let mut text = mechanisms.join("\u{1e}");
    let mut types: Vec<_> = terms.bindings.types().collect();
    if !types.is_empty() {
        types.sort_unstable();
        text.push('\u{1f}');
        text.push_str(&types.join("\u{1e}"));
    }
    text.into_bytes()
}
