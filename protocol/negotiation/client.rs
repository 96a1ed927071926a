//! A client's stream from its first header to the bound session (RFC 6120 §4 to §7), the
//! receiving side.
//!
//! [`Client::handle`] takes what happened and answers what to do, in order. Where an action asks
//! for something, [`Client::waiting`] is true until the answer is given, and nothing that was read
//! may be given meanwhile: leave it unread, so that a client which sends ahead is slowed by TCP.

use std::sync::Arc;

use smol_str::SmolStr;

use super::Random;
use crate::error::{Condition, StreamCondition, StreamError};
use crate::jid::Jid;
use crate::ns;
use crate::sasl::{ChannelBindings, Decoy, Exchange, Hash, Mechanism, Terms};
use crate::stanza::Stanza;
use crate::stream_management::{self, Command, Misuse};
use crate::xml::Element;

mod binding;
mod entry;
mod login;
mod opening;
mod turns;
mod upgrade;
mod wish;

use entry::Entry;
use turns::Actions;

pub use binding::after_bind;
pub use turns::{Action, Bound, Event};
pub use wish::{Admission, Agent, Bind2, By, ClientId, Issued};

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
    /// Whether SCRAM challenges carry XEP-0474's hash and XEP-0515's version.
    pub downgrade_hash: bool,
    /// Whether tokens are given out and taken (XEP-0484).
    pub tokens: bool,
    /// What a session may ask for while it is bound (XEP-0386 §4.1), by namespace.
    pub bind_features: Vec<SmolStr>,
    /// Keys that accounts may still lack: they can be completed (XEP-0480).
    pub upgrades: Vec<Hash>,
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
    /// Which client, if it said so.
    agent: Option<ClientId>,
    exchange: Option<Exchange>,
    /// What the client wants by XEP-0388, from `<authenticate/>` to `<success/>`.
    entry: Option<Box<Entry>>,
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
    /// Names what was offered (XEP-0509).
    version: Option<SmolStr>,
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
    Upgrade,
    Admission,
    /// The request that the answer goes to; none where it goes into `<success/>`.
    Session(Option<Box<Stanza>>),
    Resumption,
}

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
            agent: None,
            exchange: None,
            entry: None,
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
            // XEP-0388 §2.4: not even that while somebody logs in.
            Event::Whitespace if self.entry.is_some() && !self.waiting() => Err(only_entering()),
            Event::Whitespace => Ok(()),
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
            (Waiting::Upgrade, Event::Upgraded(done)) => self.upgraded(done, out),
            (Waiting::Admission, Event::Admitted(result)) => self.admitted(result, out),
            (Waiting::Session(request), Event::Bound(result)) => match request {
                Some(request) => self.bound(&request, result, out)?,
                None => self.bound_inline(result, out),
            },
            (
                Waiting::Resumption,
                Event::Resumed {
                    handled,
                    previd,
                    jid,
                },
            ) => {
                let resumed = stream_management::resumed(&previd, handled.into());
                self.resumed(resumed, &jid, out);
            }
            (Waiting::Resumption, Event::NotResumed { condition, handled }) => {
                self.not_resumed(stream_management::failed(condition, handled), out);
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
            (ns::SASL, _) => return self.sasl(&element, random, out),
            (ns::SASL2, _) => return self.sasl2(&element, random, out),
            // XEP-0388 §2.4: nothing else until it is over, one way or the other.
            _ if self.entry.is_some() => return Err(only_entering()),
            (ns::TLS, "starttls") => self.starttls(behind, out),
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
                let account = account.clone();
                self.resume(account, previd, h, out);
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
            out.end(Some(&error));
        }
        out.push(Action::Close(Some(error)));
    }

    /// Ends the stream as the client did.
    fn end(&mut self, out: &mut Actions) {
        self.over = true;
        out.end(None);
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

/// What was sent is no part of the login that is going on.
fn only_entering() -> StreamError {
    let error = StreamError::new(StreamCondition::PolicyViolation);
    error.with_text("only authentication may be sent now")
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
