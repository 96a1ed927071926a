//! A client's stream from its first header to the bound session (RFC 6120 §4 to §7), the
//! receiving side.
//!
//! [`Client::handle`] takes what happened and answers what to do, in order. Where an action asks
//! for something, [`Client::waiting`] is true until the answer is given, and nothing that was read
//! may be given meanwhile: leave it unread, so that a client which sends ahead is slowed by TCP.

use std::fmt;
use std::sync::Arc;

use smol_str::SmolStr;

use super::{Random, STREAM_END};
use crate::error::{Condition, StanzaError, StreamCondition, StreamError};
use crate::jid::Jid;
use crate::ns;
use crate::reader::Header;
use crate::sasl::{
    ChannelBindings, Decoy, Exchange, Lookup, Mechanism, PasswordCheck, Terms, Verdict,
};
use crate::stanza::Stanza;
use crate::stream_management::{self, Command, Misuse};
use crate::xml::Element;

mod binding;
mod login;
mod opening;

pub use binding::after_bind;

/// What holds for all clients of a listener.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The domains we serve. The first is named where a client asked for none of them.
    pub domains: Vec<Domain>,
    /// Whether a client may log in without TLS.
    pub plaintext: Plaintext,
    /// What to offer, in this order; the -PLUS ones only where there is something to bind to.
    pub mechanisms: Vec<Mechanism>,
    /// Stands in for accounts that do not exist.
    pub decoy: Arc<Decoy>,
    /// Whether SCRAM challenges carry XEP-0474's hash.
    pub downgrade_hash: bool,
    /// Namespaces of IQs that [`Action::Ask`] is for, before login and as soon as one could log in.
    pub early_requests: Vec<SmolStr>,
    /// Whether sessions can be resumed (XEP-0198 §5): else `<resume/>` is refused here.
    pub resumption: bool,
    /// Bounds of one stream.
    pub limits: Limits,
}

/// A domain we serve.
#[derive(Clone, Debug)]
pub struct Domain {
    /// Prepared, as [`Jid::domain`] has it.
    pub name: SmolStr,
    /// Offered beside the mechanisms, such as XEP-0077's.
    pub early_features: Vec<Element>,
    /// Offered beside resource binding, such as XEP-0115's.
    pub late_features: Vec<Element>,
}

/// Who may log in without TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plaintext {
    /// Nobody.
    Never,
    /// Who connects from this very machine.
    Loopback,
}

/// Bounds of one stream, and what XEP-0478 announces.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Refused credentials after which the next try ends the stream (RFC 6120 §6.4.5: 2 to 5).
    pub failures: u32,
    /// Tries of any outcome after which the next ends the stream.
    pub tries: u32,
    /// Elements of any kind before the session, after which the stream ends: none needs many, and
    /// each is answered.
    pub elements: u32,
    /// Refused resources after which the stream ends (RFC 6120 §7.7.3: 5 to 10).
    pub refused_binds: u32,
    /// Largest element before login, in bytes.
    pub bytes_before_login: u64,
    /// Largest stanza afterwards, in bytes.
    pub bytes_after_login: u64,
    /// Silence, in seconds, before the server looks whether the client is there.
    pub idle_seconds: Option<u32>,
}

/// What happened. Shown for debugging it is only a name, since elements may hold passwords.
pub enum Event {
    /// The client opened a stream, or opened it again after [`Action::Restart`].
    Open(Header),
    /// A whole element; `behind` says how many bytes came with it and are still unread.
    Element {
        /// The element.
        element: Element,
        /// Unread bytes that arrived before ours could have been answered.
        behind: usize,
    },
    /// The client closed its stream.
    Close,
    /// The stream must end: bad XML, an oversized element, a timeout, a shutdown.
    Fail(StreamError),
    /// After [`Action::StartTls`]: the handshake is done.
    Secured(ChannelBindings),
    /// After [`Action::Fetch`].
    Fetched(Lookup),
    /// After [`Action::Check`].
    Checked(Verdict),
    /// After [`Action::Ask`]: the reply.
    Answered(Stanza),
    /// After [`Action::Bind`]: the full JID, or why there is none.
    Bound(Result<Jid, StanzaError>),
    /// After [`Action::Resume`]: the session goes on with this stream.
    Resumed {
        /// What it had handled.
        handled: u32,
        /// By what the client named it.
        previd: SmolStr,
    },
    /// After [`Action::Resume`]: the client may bind instead.
    NotResumed {
        /// Usually `item-not-found`.
        condition: Condition,
        /// What that session had handled, if it is remembered.
        handled: Option<u64>,
    },
}

/// What to do.
#[derive(Debug)]
pub enum Action {
    /// Send these bytes.
    Write(Vec<u8>),
    /// When all is sent: begin TLS as server with a certificate for this domain, and expect a new
    /// header inside. Answer: [`Event::Secured`]; if the handshake fails, just hang up.
    StartTls(SmolStr),
    /// Expect a new header.
    Restart,
    /// Look up the account's credentials. Answer: [`Event::Fetched`].
    Fetch(Jid),
    /// Run this where it may take its time. Answer: [`Event::Checked`].
    Check(PasswordCheck),
    /// A failed login, for the limits per address.
    CountFailure,
    /// Let an extension answer this IQ of a client that has not logged in. Answer:
    /// [`Event::Answered`].
    Ask {
        /// The domain of the stream.
        domain: SmolStr,
        /// A get or set with one child in one of [`Settings::early_requests`].
        iq: Stanza,
    },
    /// Make a session. Answer: [`Event::Bound`].
    Bind {
        /// The bare JID.
        account: Jid,
        /// Prepared; none: the server chooses.
        resource: Option<String>,
    },
    /// Find that session and give it this stream. Answer: [`Event::Resumed`] or
    /// [`Event::NotResumed`].
    Resume {
        /// Who asks: only this account's sessions.
        account: Jid,
        /// The session's id.
        previd: SmolStr,
        /// What the client has handled.
        h: u32,
        /// The `xml:lang` of the stream.
        lang: Option<SmolStr>,
    },
    /// The session is there, and this machine has done its work.
    Established {
        /// The full JID.
        jid: Jid,
        /// The `xml:lang` of the stream, for stanzas that have none (RFC 6120 §4.7.4).
        lang: Option<SmolStr>,
    },
    /// When all is sent, hang up. The error, if any, has been written; it is here for the log.
    Close(Option<StreamError>),
}

/// The receiving side of one client's stream.
#[derive(Debug)]
pub struct Client {
    settings: Arc<Settings>,
    loopback: bool,
    /// There is TLS.
    secured: Option<ChannelBindings>,
    /// What the client's header said; none while we wait for one.
    opened: Option<Opened>,
    /// Who logged in.
    account: Option<Jid>,
    exchange: Option<Exchange>,
    waiting: Waiting,
    failures: u32,
    tries: u32,
    elements: u32,
    refused_binds: u32,
    /// Nothing more will be said.
    over: bool,
}

/// An open stream.
#[derive(Debug)]
struct Opened {
    domain: SmolStr,
    from: Option<Jid>,
    lang: Option<SmolStr>,
    /// On which one may log in now; none where TLS comes first, or login is done.
    terms: Option<Terms>,
}

/// Which answer is due.
#[derive(Debug, Default)]
enum Waiting {
    #[default]
    Nothing,
    Tls,
    Credentials,
    Password,
    Extension,
    /// The request that the answer goes to.
    Session(Box<Stanza>),
    Resumption,
}

/// The actions of one event; writes are joined as they come.
#[derive(Default)]
struct Actions(Vec<Action>);

impl Client {
    /// A connection just accepted; `secured` if it began with TLS (XEP-0368).
    pub fn new(
        settings: Arc<Settings>,
        loopback: bool,
        secured: Option<ChannelBindings>,
    ) -> Client {
        Client {
            settings,
            loopback,
            secured,
            opened: None,
            account: None,
            exchange: None,
            waiting: Waiting::Nothing,
            failures: 0,
            tries: 0,
            elements: 0,
            refused_binds: 0,
            over: false,
        }
    }

    /// Whether an answer is due; until then, events that come from reading may not be given.
    pub fn waiting(&self) -> bool {
        !matches!(self.waiting, Waiting::Nothing)
    }

    /// Who has logged in on this stream.
    pub fn account(&self) -> Option<&Jid> {
        self.account.as_ref()
    }

    /// Takes what happened; answers what to do.
    pub fn handle(&mut self, event: Event, random: Random<'_>) -> Vec<Action> {
        let mut out = Actions::default();
        if self.over {
            return out.0;
        }
        let result = match event {
            Event::Fail(error) => Err(error),
            Event::Open(_) | Event::Element { .. } | Event::Close if self.waiting() => {
                let error = StreamError::new(StreamCondition::PolicyViolation);
                Err(error.with_text("nothing may be sent ahead here"))
            }
            Event::Open(header) => self.open(&header, random, &mut out),
            Event::Element { element, behind } => self.element(element, behind, random, &mut out),
            Event::Close => {
                self.end(&mut out);
                Ok(())
            }
            answer => self.answer(answer, &mut out),
        };
        if let Err(error) = result {
            self.fail(error, random, &mut out);
        }
        out.0
    }

    fn answer(&mut self, event: Event, out: &mut Actions) -> Result<(), StreamError> {
        match (std::mem::take(&mut self.waiting), event) {
            (Waiting::Tls, Event::Secured(bindings)) => self.secure(bindings),
            (Waiting::Credentials, Event::Fetched(lookup)) => self.fetched(lookup, out)?,
            (Waiting::Password, Event::Checked(verdict)) => self.checked(verdict, out)?,
            (Waiting::Extension, Event::Answered(reply)) => out.stanza(&reply),
            (Waiting::Session(request), Event::Bound(result)) => {
                self.bound(&request, result, out)?;
            }
            (Waiting::Resumption, Event::Resumed { handled, previd }) => {
                out.element(&stream_management::resumed(&previd, u64::from(handled)));
                self.over = true;
            }
            (Waiting::Resumption, Event::NotResumed { condition, handled }) => {
                out.element(&stream_management::failed(condition, handled));
            }
            // An answer that nobody waits for: the question was dropped meanwhile.
            (waiting, _) => self.waiting = waiting,
        }
        Ok(())
    }

    fn element(
        &mut self,
        element: Element,
        behind: usize,
        random: Random<'_>,
        out: &mut Actions,
    ) -> Result<(), StreamError> {
        if self.opened.is_none() {
            return Err(StreamError::new(StreamCondition::InvalidXml));
        }
        self.elements += 1;
        if self.elements > self.settings.limits.elements {
            return Err(StreamError::new(StreamCondition::PolicyViolation));
        }
        match (element.ns(), element.name()) {
            (ns::TLS, "starttls") => self.starttls(behind, out),
            (ns::SASL, _) => return self.sasl(&element, random, out),
            (ns::STREAM_MANAGEMENT, _) => return self.manage(&element, out),
            (ns::CLIENT, "iq" | "message" | "presence") => return self.stanza(&element, out),
            (ns::COMPRESS, "compress") => out.element(&super::compression_refused()),
            // The client's own error: nothing to argue about (RFC 6120 §4.9.1.1).
            (ns::STREAM, "error") => self.end(out),
            // RFC 6120 §4.8.3: a content namespace that is not for clients.
            (ns::SERVER | ns::COMPONENT_ACCEPT | "", _) => {
                return Err(StreamError::new(StreamCondition::InvalidNamespace));
            }
            _ => return Err(StreamError::new(StreamCondition::UnsupportedStanzaType)),
        }
        Ok(())
    }

    /// A stanza of someone who has no address yet.
    fn stanza(&mut self, element: &Element, out: &mut Actions) -> Result<(), StreamError> {
        match self.account.clone() {
            Some(account) => self.bind(element, account, out),
            None => self.early_request(element, out),
        }
    }

    /// XEP-0198 §3: nothing of it before binding, but for resuming.
    fn manage(&mut self, element: &Element, out: &mut Actions) -> Result<(), StreamError> {
        let refusal = match (Command::parse(element), &self.account) {
            (Err(Misuse::Stream(error)), _) => return Err(error),
            (Err(Misuse::Failed(condition)), _) => condition,
            (Ok(Command::Resume { .. }), None) => Condition::NotAuthorized,
            (Ok(Command::Resume { previd, h }), Some(account)) if self.settings.resumption => {
                let lang = self.opened.as_ref().and_then(|opened| opened.lang.clone());
                self.waiting = Waiting::Resumption;
                out.push(Action::Resume {
                    account: account.clone(),
                    previd,
                    h,
                    lang,
                });
                return Ok(());
            }
            (Ok(Command::Resume { .. }), Some(_)) => Condition::FeatureNotImplemented,
            (Ok(_), _) => Condition::UnexpectedRequest,
        };
        out.element(&stream_management::failed(refusal, None));
        Ok(())
    }

    /// Says why, and ends the stream. A header of ours comes first if there was none since the
    /// client was told to open anew (RFC 6120 §4.9.1.2).
    fn fail(&mut self, error: StreamError, random: Random<'_>, out: &mut Actions) {
        self.over = true;
        // While TLS begins, nothing may be said in clear (RFC 6120 §5.4.3.1).
        if !matches!(self.waiting, Waiting::Tls) {
            if self.opened.is_none() && !out.has_header() {
                self.write_header(None, None, Some(super::VERSION), random, out);
            }
            out.write(|bytes| super::write_error(&error, bytes));
        }
        out.push(Action::Close(Some(error)));
    }

    /// Ends the stream as the client did.
    fn end(&mut self, out: &mut Actions) {
        self.over = true;
        out.write(|bytes| bytes.extend_from_slice(STREAM_END));
        out.push(Action::Close(None));
    }

    /// Whether a header that names `from` is `account`'s. Some clients name only their domain.
    fn is_own(from: &Jid, account: &Jid) -> bool {
        from.domain() == account.domain()
            && (from.local().is_none() || from.local() == account.local())
    }

    fn domain(&self, name: &str) -> Option<&Domain> {
        self.settings
            .domains
            .iter()
            .find(|domain| domain.name == name)
    }
}

impl Actions {
    fn push(&mut self, action: Action) {
        self.0.push(action);
    }

    /// Adds bytes, to the last write if nothing was done since.
    fn write(&mut self, into: impl FnOnce(&mut Vec<u8>)) {
        if !matches!(self.0.last(), Some(Action::Write(_))) {
            self.0.push(Action::Write(Vec::with_capacity(256)));
        }
        if let Some(Action::Write(bytes)) = self.0.last_mut() {
            into(bytes);
        }
    }

    fn element(&mut self, element: &Element) {
        self.write(|bytes| element.write(bytes, ns::CLIENT));
    }

    fn stanza(&mut self, stanza: &Stanza) {
        self.write(|bytes| stanza.write(bytes));
    }

    /// A header is only ever the first thing that one event makes us say.
    fn has_header(&self) -> bool {
        matches!(self.0.first(), Some(Action::Write(bytes)) if bytes.starts_with(b"<?xml"))
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Event::Open(_) => "Open",
            Event::Element { .. } => "Element",
            Event::Close => "Close",
            Event::Fail(_) => "Fail",
            Event::Secured(_) => "Secured",
            Event::Fetched(_) => "Fetched",
            Event::Checked(_) => "Checked",
            Event::Answered(_) => "Answered",
            Event::Bound(_) => "Bound",
            Event::Resumed { .. } => "Resumed",
            Event::NotResumed { .. } => "NotResumed",
        })
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            failures: 3,
            tries: 10,
            elements: 100,
            refused_binds: 10,
            bytes_before_login: 10_240,
            bytes_after_login: 262_144,
            idle_seconds: None,
        }
    }
}

#[cfg(test)]
mod tests;
