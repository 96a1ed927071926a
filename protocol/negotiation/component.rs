//! An external component's stream from its header to the handshake (XEP-0114), the accepting
//! side.
//!
//! [`Component::handle`] takes what happened and answers what to do, in order. While
//! [`Component::waiting`] is true nothing that was read may be given. After
//! [`Action::Established`] the machine has done its work: what comes then are stanzas, each of
//! which [`Component::admits`] must let in.
//!
//! ```text
//! component    header               -> header
//! component    <handshake/>         -> Attach                        Attached -> <handshake/>,
//!                                                                    Established
//! component    stanza               admits?
//! ```

use std::fmt;
use std::sync::Arc;

use smol_str::SmolStr;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::actions::{self, Writing};
use super::{OwnHeader, Random, stream_id};
use crate::dialback::hex;
use crate::error::{StreamCondition, StreamError};
use crate::jid::Jid;
use crate::ns;
use crate::reader::Header;
use crate::sasl::Hash;
use crate::xml::Element;

/// What holds for all components of a listener.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The components that may connect.
    pub known: Vec<Known>,
}

/// A component that may connect.
#[derive(Clone, Debug)]
pub struct Known {
    /// Its domain, prepared, as [`Jid::domain`] has it.
    pub name: SmolStr,
    /// What it shares with us.
    pub secret: Secret,
}

/// A secret of a component. Never empty: [`Secret::new`] sees to that.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// The component opened its stream.
    Open(Header),
    /// A whole element.
    Element(Element),
    /// White space between elements.
    Whitespace,
    /// The component closed its stream.
    Close,
    /// The stream must end: bad XML, an oversized element, a timeout, a shutdown.
    Fail(StreamError),
    /// After [`Action::Attach`]: stanzas for the component go to this stream now, or why they do
    /// not, such as `conflict` while another stream has them.
    Attached(Result<(), StreamError>),
}

/// What to do.
#[derive(Debug)]
pub enum Action {
    /// Send these bytes.
    Write(Vec<u8>),
    /// A wrong secret, for the limits per address.
    CountFailure,
    /// The component has proved who it is: lead its stanzas here, but send none before
    /// [`Action::Established`]. Answer: [`Event::Attached`].
    Attach(SmolStr),
    /// Stanzas may go both ways, and this machine has done its work.
    Established(SmolStr),
    /// When all is sent, hang up. The error, if any, has been written; it is here for the log.
    Close(Option<StreamError>),
}

type Actions = actions::Actions<Action>;

/// The accepting side of one component's stream.
#[derive(Debug)]
pub struct Component {
    settings: Arc<Settings>,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// Its header is due.
    Start,
    /// Its handshake is due, on the stream with this id.
    Opened {
        known: Known,
        id: String,
    },
    /// [`Event::Attached`] is due.
    Attaching(SmolStr),
    Established(SmolStr),
    Over,
}

impl Secret {
    /// None if the text is empty, which would let everybody in.
    pub fn new(text: impl Into<String>) -> Option<Secret> {
        let text = Zeroizing::new(text.into());
        (!text.is_empty()).then_some(Secret(text))
    }

    /// Whether it is the same secret.
    pub fn is(&self, other: &Secret) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }

    /// What a component says that knows the secret (XEP-0114 §3).
    fn handshake(&self, id: &str) -> String {
        let text = Zeroizing::new([id, &self.0].concat());
        hex(&Hash::Sha1.digest(text.as_bytes()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret")
    }
}

impl Component {
    /// A connection just accepted. Whether there is TLS is the listener's choice.
    pub fn new(settings: Arc<Settings>) -> Component {
        Component {
            settings,
            phase: Phase::Start,
        }
    }

    /// Whether an answer is due; until then, events that come from reading may not be given.
    pub fn waiting(&self) -> bool {
        matches!(self.phase, Phase::Attaching(_))
    }

    /// Its domain, once it is established.
    pub fn name(&self) -> Option<&str> {
        match &self.phase {
            Phase::Established(name) => Some(name),
            _ => None,
        }
    }

    /// Whether a stanza of the established component may go on its way: it speaks for every
    /// address of its domain, and for no other (XEP-0114 §3). The error ends the stream.
    pub fn admits(&self, from: &Jid) -> Result<(), StreamError> {
        match self.name() {
            None => Err(StreamCondition::NotAuthorized.into()),
            Some(name) if name == from.domain() => Ok(()),
            Some(_) => Err(StreamCondition::InvalidFrom.into()),
        }
    }

    /// Takes what happened; answers what to do.
    pub fn handle(&mut self, event: Event, random: Random<'_>) -> Vec<Action> {
        let mut out = Actions::default();
        let waiting = self.waiting();
        let result = match event {
            _ if matches!(self.phase, Phase::Over | Phase::Established(_)) => return out.0,
            Event::Fail(error) => Err(error),
            Event::Attached(result) => self.attached(result, &mut out),
            Event::Open(_) | Event::Element(_) | Event::Close if waiting => {
                Err(StreamCondition::PolicyViolation.into())
            }
            Event::Open(header) => self.open(&header, random, &mut out),
            Event::Element(element) => self.element(&element, &mut out),
            Event::Whitespace => Ok(()),
            Event::Close => {
                self.phase = Phase::Over;
                out.end(None);
                out.push(Action::Close(None));
                Ok(())
            }
        };
        if let Err(error) = result {
            self.fail(error, random, &mut out);
        }
        out.0
    }

    /// The header names the component (XEP-0114 §3). Ours comes first, whatever is wrong with it;
    /// it has no version, since features would have to follow one.
    fn open(
        &mut self,
        header: &Header,
        random: Random<'_>,
        out: &mut Actions,
    ) -> Result<(), StreamError> {
        if !matches!(self.phase, Phase::Start) {
            return Err(StreamCondition::InvalidXml.into());
        }
        let to = header.to.as_deref().and_then(|to| Jid::parse(to).ok());
        let to = to.filter(|to| to.as_str() == to.domain());
        let id = stream_id(random);
        write_header(to.as_ref().map(Jid::as_str), &id, out);
        let name = to.ok_or(StreamCondition::ImproperAddressing)?;
        let mut known = self.settings.known.iter();
        let known = known.find(|known| known.name == name.as_str());
        let known = known.ok_or(StreamCondition::HostUnknown)?.clone();
        self.phase = Phase::Opened { known, id };
        Ok(())
    }

    /// Nothing but the handshake, once.
    fn element(&mut self, element: &Element, out: &mut Actions) -> Result<(), StreamError> {
        let not_authorized = StreamError::new(StreamCondition::NotAuthorized);
        let Phase::Opened { known, id } = &self.phase else {
            return Err(StreamCondition::InvalidXml.into());
        };
        if element.is(ns::STREAM, "error") {
            // Nothing to argue about (RFC 6120 §4.9.1.1).
            self.phase = Phase::Over;
            out.end(None);
            out.push(Action::Close(None));
            return Ok(());
        }
        if !element.is(ns::COMPONENT_ACCEPT, "handshake") {
            return Err(not_authorized);
        }
        let given = element.text();
        let wanted = Zeroizing::new(known.secret.handshake(id));
        let is_right: bool = wanted.as_bytes().ct_eq(given.trim().as_bytes()).into();
        if !is_right {
            out.push(Action::CountFailure);
            return Err(not_authorized);
        }
        let name = known.name.clone();
        out.push(Action::Attach(name.clone()));
        self.phase = Phase::Attaching(name);
        Ok(())
    }

    fn attached(
        &mut self,
        result: Result<(), StreamError>,
        out: &mut Actions,
    ) -> Result<(), StreamError> {
        // An answer that nobody waits for changes nothing.
        let Phase::Attaching(name) = &self.phase else {
            return Ok(());
        };
        result?;
        let name = name.clone();
        let handshake = Element::new(ns::COMPONENT_ACCEPT, "handshake");
        out.say(&handshake, ns::COMPONENT_ACCEPT);
        out.push(Action::Established(name.clone()));
        self.phase = Phase::Established(name);
        Ok(())
    }

    /// Says why, and ends the stream; a header of ours comes first (RFC 6120 §4.9.1.2).
    fn fail(&mut self, error: StreamError, random: Random<'_>, out: &mut Actions) {
        if matches!(self.phase, Phase::Start) && !out.has_header() {
            write_header(None, &stream_id(random), out);
        }
        self.phase = Phase::Over;
        out.end(Some(&error));
        out.push(Action::Close(Some(error)));
    }
}

impl Writing for Action {
    fn of_bytes(bytes: Vec<u8>) -> Action {
        Action::Write(bytes)
    }

    fn bytes(&mut self) -> Option<&mut Vec<u8>> {
        match self {
            Action::Write(bytes) => Some(bytes),
            _ => None,
        }
    }
}

fn write_header(from: Option<&str>, id: &str, out: &mut Actions) {
    let header = OwnHeader {
        content_ns: ns::COMPONENT_ACCEPT,
        from,
        to: None,
        id: Some(id),
        version: None,
    };
    out.write(|bytes| header.write(bytes));
}

#[cfg(test)]
mod tests;
