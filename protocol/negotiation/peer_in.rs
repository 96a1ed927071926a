//! Another server's stream, the receiving side: who it is, and for whom it may speak (RFC 6120
//! §4 to §6, XEP-0178, XEP-0220, XEP-0288, XEP-0198).
//!
//! [`PeerIn::handle`] takes what happened and answers what to do, in order. Where an action asks
//! for something, [`PeerIn::waiting`] is true until the answer is given, and nothing that was read
//! may be given meanwhile. Only [`Action::Verify`] is answered whenever its answer comes.
//!
//! The machine lives as long as the stream: a peer may prove more domains at any time. Stanzas do
//! not come here; each must pass [`PeerIn::admits`], and what is not admitted comes as
//! [`Event::Fail`].
//!
//! ```text
//! peer    header                    -> header, features with <starttls/>
//! peer    <starttls/>               -> <proceed/>, StartTls          Secured
//! peer    header                    -> header, Judge                 Judged -> features
//! peer    <auth/>                   -> <success/>, Restart
//! peer    header                    -> header, features, Proved
//!     or  <db:result>key            -> Judge                         Judged -> Verify
//!         (much else, then)            Verified                      -> <db:result/>, Proved
//! peer    <enable/>                 -> <enabled/>, Enabled
//! peer    stanza                    admits?
//! ```

use std::sync::Arc;

use smol_str::SmolStr;

use super::{Random, Standing};
use crate::dialback::{Pair, Secret};
use crate::error::{StreamCondition, StreamError};
use crate::jid::Jid;
use crate::ns;
use crate::stream_management;
use crate::xml::Element;

mod login;
mod management;
mod opening;
mod pairs;
mod turns;

use turns::Actions;

pub use turns::{Action, Event};

/// What holds for all servers that connect.
#[derive(Clone, Debug)]
pub struct Settings {
    /// All domains we serve, those of services and components among them, prepared, as
    /// [`Jid::domain`] has them. The first is named where a peer asked for none of them.
    pub domains: Vec<SmolStr>,
    /// What our dialback keys are made of.
    pub secret: Secret,
    /// Whether stanzas may go back on the same stream (XEP-0288).
    pub bidi: bool,
    /// For how many seconds the sessions of streams can be resumed (XEP-0198 §5); without, they
    /// are only counted.
    pub resumption: Option<u32>,
    /// Bounds of one stream.
    pub limits: Limits,
}

/// Bounds of one stream, and what XEP-0478 announces.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Refused authentications after which the next try ends the stream (RFC 6120 §6.4.5).
    pub failures: u32,
    /// Elements, dialback apart, before the first proof, after which the stream ends.
    pub elements: u32,
    /// Pairs proved or waiting for their proof; further ones are refused (attack F34).
    pub pairs: usize,
    /// Largest element before the first proof, in bytes.
    pub bytes_before_login: u64,
    /// Largest stanza afterwards, in bytes.
    pub bytes_after_login: u64,
    /// Silence, in seconds, before we look whether the peer is there.
    pub idle_seconds: Option<u32>,
}

/// The receiving side of one server's stream.
#[derive(Debug)]
pub struct PeerIn {
    settings: Arc<Settings>,
    secured: bool,
    /// What the peer's header said; none while we wait for one.
    opened: Option<Opened>,
    /// The pair of the stream that was authenticated by EXTERNAL.
    external: Option<Pair>,
    /// An initial response is due.
    challenged: bool,
    proved: Vec<Pair>,
    /// Pairs whose keys are being verified, with the ids that the keys are for.
    claims: Vec<(Pair, SmolStr)>,
    /// Stanzas may go back.
    bidi: bool,
    /// Stream management is on.
    managed: bool,
    waiting: Waiting,
    failures: u32,
    elements: u32,
    /// Nothing more will be said.
    over: bool,
}

/// An open stream.
#[derive(Debug)]
struct Opened {
    /// Ours.
    domain: SmolStr,
    /// Theirs, as far as they say.
    peer: Option<SmolStr>,
    id: SmolStr,
    /// Of `peer`; none before TLS.
    standing: Option<Standing>,
}

/// Which answer is due.
#[derive(Debug, Default)]
enum Waiting {
    #[default]
    Nothing,
    Tls,
    /// [`Event::Judged`] about the header, before features are offered.
    Header,
    /// [`Event::Judged`] about the sender of this claim.
    Claim {
        pair: Pair,
        key: SmolStr,
    },
    Resumption(SmolStr),
}

impl PeerIn {
    /// A connection just accepted; `secured` if it began with TLS (XEP-0368).
    pub fn new(settings: Arc<Settings>, secured: bool) -> PeerIn {
        PeerIn {
            settings,
            secured,
            opened: None,
            external: None,
            challenged: false,
            proved: Vec::new(),
            claims: Vec::new(),
            bidi: false,
            managed: false,
            waiting: Waiting::Nothing,
            failures: 0,
            elements: 0,
            over: false,
        }
    }

    /// Whether an answer is due; until then, events that come from reading may not be given.
    pub fn waiting(&self) -> bool {
        !matches!(self.waiting, Waiting::Nothing)
    }

    /// The pairs for which the peer has proved that it may send.
    pub fn pairs(&self) -> &[Pair] {
        &self.proved
    }

    /// What the peer calls itself, proved or not: for the log.
    pub fn peer(&self) -> Option<&str> {
        self.opened.as_ref()?.peer.as_deref()
    }

    /// Other settings from now on, such as one domain more.
    pub fn set_settings(&mut self, settings: Arc<Settings>) {
        self.settings = settings;
    }

    /// Whether a stanza may go on its way (RFC 6120 §8.1.2.2): the sender's domain is proved on
    /// this stream, and the recipient's is one of ours, since nobody's stanzas are relayed. The
    /// error ends the stream.
    pub fn admits(&self, from: &Jid, to: &Jid) -> Result<(), StreamError> {
        let is_sender = |pair: &Pair| pair.from == from.domain();
        if self.proved.is_empty() {
            Err(StreamCondition::NotAuthorized.into())
        } else if !self.proved.iter().any(is_sender) {
            Err(StreamCondition::InvalidFrom.into())
        } else if !self.serves(to.domain()) {
            Err(StreamCondition::HostUnknown.into())
        } else {
            Ok(())
        }
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
            Event::Element { element, behind } => self.element(&element, behind, random, &mut out),
            Event::Whitespace => Ok(()),
            Event::Close => {
                self.end(&mut out);
                Ok(())
            }
            Event::Verified { pair, id, verdict } => {
                self.verified(&pair, &id, verdict, &mut out);
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
            (Waiting::Tls, Event::Secured) => {
                // What was said before is forgotten (RFC 6120 §5.4.3.3; attacks T05, F06).
                self.opened = None;
                self.secured = true;
            }
            (Waiting::Header, Event::Judged(standing)) => self.judged(standing, out)?,
            (Waiting::Claim { pair, key }, Event::Judged(standing)) => {
                self.judged_claim(pair, key, standing, out);
            }
            (Waiting::Resumption(previd), Event::Resumed { handled }) => {
                self.managed = true;
                out.element(&stream_management::resumed(&previd, handled.into()));
            }
            (Waiting::Resumption(_), Event::NotResumed { condition, handled }) => {
                out.element(&stream_management::failed(condition, handled));
            }
            // An answer that nobody waits for: the question was dropped meanwhile.
            (waiting, _) => self.waiting = waiting,
        }
        Ok(())
    }

    fn element(
        &mut self,
        element: &Element,
        behind: usize,
        random: Random<'_>,
        out: &mut Actions,
    ) -> Result<(), StreamError> {
        if self.opened.is_none() {
            return Err(StreamCondition::InvalidXml.into());
        }
        if self.proved.is_empty() && element.ns() != ns::DIALBACK {
            self.elements += 1;
            if self.elements > self.settings.limits.elements {
                return Err(StreamCondition::PolicyViolation.into());
            }
        }
        match (element.ns(), element.name()) {
            (ns::SASL, _) => return self.sasl(element, out),
            (ns::DIALBACK, _) => return self.dialback(element, out),
            (ns::STREAM_MANAGEMENT, _) => return self.manage(element, random, out),
            (ns::TLS, "starttls") => self.starttls(behind, out),
            // XEP-0288 §2.2: inside TLS, and it means the proofs that follow.
            (ns::BIDI, "bidi") if self.secured && self.settings.bidi => self.bidi = true,
            // RFC 6120 §4.9.3.12; attacks F01 and F02.
            (ns::SERVER, "iq" | "message" | "presence") => {
                return Err(StreamCondition::NotAuthorized.into());
            }
            (ns::COMPRESS, "compress") => out.element(&super::compression_refused()),
            // The peer's own error: nothing to argue about (RFC 6120 §4.9.1.1).
            (ns::STREAM, "error") => self.end(out),
            // RFC 6120 §4.8.3: a content namespace that is not for servers.
            (ns::CLIENT | ns::COMPONENT_ACCEPT | "", _) => {
                return Err(StreamCondition::InvalidNamespace.into());
            }
            _ => return Err(StreamCondition::UnsupportedStanzaType.into()),
        }
        Ok(())
    }

    /// Says why, and ends the stream. A header of ours comes first if there was none since the
    /// peer was told to open anew (RFC 6120 §4.9.1.2).
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

    /// Ends the stream without an error.
    fn end(&mut self, out: &mut Actions) {
        self.over = true;
        out.end(None);
        out.push(Action::Close(None));
    }

    fn serves(&self, domain: &str) -> bool {
        self.settings.domains.iter().any(|ours| ours == domain)
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            failures: 3,
            elements: 64,
            pairs: 64,
            bytes_before_login: 10_240,
            bytes_after_login: 524_288,
            idle_seconds: None,
        }
    }
}

#[cfg(test)]
mod tests;
