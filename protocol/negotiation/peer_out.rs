//! A stream to another server, the initiating side: TLS, who we are, and which pairs may be sent
//! (RFC 6120 §4 to §6, RFC 7590, XEP-0178, XEP-0220, XEP-0288, XEP-0198).
//!
//! [`PeerOut::handle`] takes what happened and answers what to do, in order. While
//! [`PeerOut::waiting`] is true, TLS begins, and nothing that was read may be given.
//!
//! The machine lives as long as the stream: pairs and keys to verify come at any time. Stanzas that
//! arrive do not come here; each must pass [`PeerOut::admits`], and what is not admitted comes as
//! [`Event::Fail`].
//!
//! ```text
//! Connected                         -> header
//! peer    header, features          -> <starttls/>
//! peer    <proceed/>                -> StartTls                      Secured -> header
//! peer    header, features          -> <bidi/>, <auth/>
//! peer    <success/>                -> Restart, header
//! peer    header, features          -> <enable/>
//!     or  header, features          -> <bidi/>, <db:result>key
//! peer    <db:result type='valid'/> -> <enable/>
//! peer    <enabled/>                -> Enabled, Proved
//! Want                              -> <db:result>key               (later) Proved or Denied
//! Verify                            -> <db:verify>key               (later) Verified
//! Finish                            -> </stream:stream>             (later) Close
//! ```

use std::sync::Arc;

use smol_str::SmolStr;

use super::{Announced, Refusal};
use crate::dialback::{Pair, Secret};
use crate::error::{StreamCondition, StreamError};
use crate::jid::Jid;
use crate::ns;
use crate::xml::Element;

mod login;
mod management;
mod opening;
mod pairs;
mod turns;

use pairs::Query;
use turns::Actions;

pub use turns::{Action, Event};

/// What holds for all streams to other servers.
#[derive(Clone, Debug)]
pub struct Settings {
    /// All domains we serve, as in [`peer_in`](super::peer_in::Settings).
    pub domains: Vec<SmolStr>,
    /// What our dialback keys are made of.
    pub secret: Secret,
    /// Whether we prove ourselves by dialback where a certificate does not.
    pub dialback: bool,
    /// Whether stanzas may come back on the same stream (XEP-0288).
    pub bidi: bool,
    /// Whether to ask for stream management.
    pub management: bool,
    /// Whether to ask with it for a session that can be resumed.
    pub resumption: bool,
    /// Bounds of one stream.
    pub limits: Limits,
}

/// Bounds of one stream.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Elements before all is negotiated, after which the stream ends.
    pub elements: u32,
    /// Pairs on one stream.
    pub pairs: usize,
    /// Keys being asked about at one time.
    pub queries: usize,
}

/// What a stream is opened for.
#[derive(Clone, Debug)]
pub struct Errand {
    /// Our domain, and theirs.
    pub pair: Pair,
    /// To do what.
    pub purpose: Purpose,
    /// The certificate that we show is good for our domain, so that EXTERNAL may succeed.
    pub external: bool,
    /// The session to go on with, if the peer offers stream management.
    pub earlier: Option<Earlier>,
}

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To send stanzas, and to verify keys.
    Send,
    /// Only to verify keys, for which one need not prove anything (XEP-0220 §2.1.2).
    Verify,
}

/// A session of an earlier stream to the same domain (XEP-0198 §5).
#[derive(Clone, Debug)]
pub struct Earlier {
    /// Its id.
    pub previd: SmolStr,
    /// What we have handled of it.
    pub h: u32,
}

/// The initiating side of a stream to another server.
#[derive(Debug)]
pub struct PeerOut {
    settings: Arc<Settings>,
    errand: Errand,
    phase: Phase,
    secured: bool,
    /// EXTERNAL succeeded.
    authenticated: bool,
    /// EXTERNAL did not, and why.
    unaccepted: Option<SmolStr>,
    /// What the peer's header and features said.
    theirs: Theirs,
    /// We asked for stanzas to come back.
    bidi: bool,
    managed: bool,
    /// Whether the errand's own pair is neither proved nor denied.
    due: bool,
    proved: Vec<Pair>,
    /// Pairs whose keys we sent.
    claimed: Vec<Pair>,
    /// Pairs that wait until claims can be sent.
    wanted: Vec<(Pair, bool)>,
    queries: Vec<Query>,
    elements: u32,
}

/// Where the stream is.
#[derive(Debug, PartialEq)]
enum Phase {
    /// No connection.
    Start,
    /// Our header is sent, theirs is due.
    Header,
    /// `<stream:features/>` are due.
    Features,
    /// `<proceed/>` is due.
    Proceed,
    /// [`Event::Secured`] is due.
    Handshake,
    /// The end of EXTERNAL is due; whether a challenge was answered.
    External { challenged: bool },
    /// Our first key is sent.
    Claimed,
    /// The answer to `<enable/>` or `<resume/>` is due, before stanzas of these pairs go.
    Management { pairs: Vec<Pair>, resuming: bool },
    /// All that is negotiated once is negotiated.
    Open,
    /// Our stream is ended, theirs is not.
    Ending,
    /// Nothing more will be said.
    Over,
}

#[derive(Debug, Default)]
struct Theirs {
    id: SmolStr,
    /// Knows dialback.
    dialback: bool,
    /// Knows errors of dialback, so that more of its domains may be tried (XEP-0220 §2.6.2).
    errors: bool,
    management: bool,
    announced: Announced,
}

impl PeerOut {
    /// Nothing is connected yet.
    pub fn new(settings: Arc<Settings>, errand: Errand) -> PeerOut {
        PeerOut {
            settings,
            due: errand.purpose == Purpose::Send,
            errand,
            phase: Phase::Start,
            secured: false,
            authenticated: false,
            unaccepted: None,
            theirs: Theirs::default(),
            bidi: false,
            managed: false,
            proved: Vec::new(),
            claimed: Vec::new(),
            wanted: Vec::new(),
            queries: Vec::new(),
            elements: 0,
        }
    }

    /// What the stream was opened for.
    pub fn errand(&self) -> &Errand {
        &self.errand
    }

    /// Whether TLS begins; until it has, events that come from reading may not be given.
    pub fn waiting(&self) -> bool {
        self.phase == Phase::Handshake
    }

    /// The pairs that may be sent.
    pub fn pairs(&self) -> &[Pair] {
        &self.proved
    }

    /// Whether EXTERNAL proved who we are; else, if there are pairs, dialback did.
    pub fn is_external(&self) -> bool {
        self.authenticated
    }

    /// Whether stanzas come back on this stream.
    pub fn is_bidi(&self) -> bool {
        self.bidi && !self.proved.is_empty()
    }

    /// Whether more pairs may be wanted with some hope: each is proved by dialback (XEP-0220 §2.6).
    pub fn takes_more(&self) -> bool {
        self.phase == Phase::Open && self.speaks_dialback()
    }

    /// What the peer announced last.
    pub fn announced(&self) -> Announced {
        self.theirs.announced
    }

    /// Whether a stanza that came on this stream may go on its way: only where we asked for such
    /// (attack F45), from a domain that a proved pair is to, and to one of ours. The error ends the
    /// stream.
    pub fn admits(&self, from: &Jid, to: &Jid) -> Result<(), StreamError> {
        let is_sender = |pair: &Pair| pair.to == from.domain();
        if !self.is_bidi() {
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
    pub fn handle(&mut self, event: Event) -> Vec<Action> {
        let mut out = Actions::default();
        let result = match event {
            Event::Want { pair, certified } => {
                self.want(pair, certified, &mut out);
                Ok(())
            }
            Event::Verify { pair, id, key } => {
                self.verify(pair, id, key, &mut out);
                Ok(())
            }
            _ if self.phase == Phase::Over => Ok(()),
            Event::Fail(error) => Err(Refusal::of(error)),
            Event::Lost(refusal) => {
                self.finish(Some(refusal), &mut out);
                Ok(())
            }
            Event::Connected => {
                if self.phase == Phase::Start {
                    self.write_header(&mut out);
                }
                Ok(())
            }
            Event::Secured(standing) => self.secure(standing, &mut out),
            Event::Finish => {
                self.end(&mut out);
                Ok(())
            }
            Event::Whitespace => Ok(()),
            _ if self.waiting() => Err(Refusal::Injection),
            Event::Open(header) => self.open(&header),
            Event::Element { element, behind } => self.element(&element, behind, &mut out),
            Event::Close => {
                self.closed(&mut out);
                Ok(())
            }
        };
        if let Err(refusal) = result {
            self.fail(refusal, &mut out);
        }
        out.0
    }

    fn element(
        &mut self,
        element: &Element,
        behind: usize,
        out: &mut Actions,
    ) -> Result<(), Refusal> {
        if matches!(self.phase, Phase::Start | Phase::Header) {
            return Err(broken(StreamCondition::InvalidXml));
        }
        if self.phase != Phase::Open {
            self.elements += 1;
            if self.elements > self.settings.limits.elements {
                return Err(broken(StreamCondition::PolicyViolation));
            }
        }
        match (element.ns(), element.name()) {
            // RFC 6120 §4.9.1.1: nothing to argue about.
            (ns::STREAM, "error") => {
                self.say_end(out);
                let error = StreamError::parse(element);
                self.finish(Some(Refusal::Stream(error)), out);
                Ok(())
            }
            (ns::STREAM_MANAGEMENT, _) => self.manage(element, out),
            // Of a stream that we have ended only its acknowledgements matter.
            _ if self.phase == Phase::Ending => Ok(()),
            (ns::STREAM, "features") => self.features(element, out),
            (ns::TLS, name) => self.tls(name, behind, out),
            (ns::SASL, _) => self.sasl(element, out),
            (ns::DIALBACK, _) => self.dialback(element, out),
            (ns::SERVER, "iq" | "message" | "presence") => {
                Err(broken(StreamCondition::NotAuthorized))
            }
            (ns::CLIENT | ns::COMPONENT_ACCEPT | "", _) => {
                Err(broken(StreamCondition::InvalidNamespace))
            }
            _ => Err(broken(StreamCondition::UnsupportedStanzaType)),
        }
    }

    /// The peer ended its stream.
    fn closed(&mut self, out: &mut Actions) {
        if self.phase == Phase::Ending {
            return self.finish(None, out);
        }
        self.say_end(out);
        let refusal = match &self.unaccepted {
            // XEP-0178 §3: that is how some tell that they do not want dialback either.
            Some(condition) if self.proved.is_empty() => Refusal::External(condition.clone()),
            _ => Refusal::Closed,
        };
        self.finish(Some(refusal), out);
    }

    /// We end the stream.
    fn end(&mut self, out: &mut Actions) {
        if self.is_silent() {
            return self.finish(None, out);
        }
        if self.phase != Phase::Ending {
            self.say_end(out);
            self.abandon(&Refusal::Separate, out);
            self.phase = Phase::Ending;
        }
    }

    /// Says why, as far as anything may be said, and ends the stream.
    fn fail(&mut self, refusal: Refusal, out: &mut Actions) {
        if !self.is_silent() && self.phase != Phase::Ending {
            let error = stream_error(&refusal);
            out.end(error.as_ref());
        }
        self.finish(Some(refusal), out);
    }

    /// Nothing goes on: whoever waits is told.
    fn finish(&mut self, refusal: Option<Refusal>, out: &mut Actions) {
        self.abandon(refusal.as_ref().unwrap_or(&Refusal::Separate), out);
        self.phase = Phase::Over;
        out.push(Action::Close(refusal));
    }

    fn say_end(&self, out: &mut Actions) {
        if !self.is_silent() && self.phase != Phase::Ending {
            out.end(None);
        }
    }

    /// Whether nothing may be said: no header is sent, or TLS begins (RFC 6120 §5.4.3.1).
    fn is_silent(&self) -> bool {
        matches!(self.phase, Phase::Start | Phase::Handshake | Phase::Over)
    }

    fn serves(&self, domain: &str) -> bool {
        self.settings.domains.iter().any(|ours| ours == domain)
    }
}

fn broken(condition: StreamCondition) -> Refusal {
    Refusal::Broken(condition.into())
}

/// What the peer is told of a refusal of ours; `None` where its stream is to end without an error.
fn stream_error(refusal: &Refusal) -> Option<StreamError> {
    let condition = match refusal {
        Refusal::Broken(error) | Refusal::Ended(error) => return Some(error.clone()),
        Refusal::Timeout => StreamCondition::ConnectionTimeout,
        Refusal::NoTls | Refusal::Blocked | Refusal::Certificate => {
            StreamCondition::PolicyViolation
        }
        Refusal::WrongName => StreamCondition::InvalidFrom,
        Refusal::NoId => StreamCondition::BadFormat,
        Refusal::OldVersion => StreamCondition::UnsupportedVersion,
        Refusal::NoMethod => StreamCondition::UnsupportedFeature,
        _ => return None,
    };
    Some(condition.into())
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            elements: 64,
            pairs: 64,
            queries: 64,
        }
    }
}

#[cfg(test)]
mod tests;
