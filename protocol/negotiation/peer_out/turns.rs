//! What the machine is told, and what it answers.

use smol_str::SmolStr;

use crate::dialback::{Pair, Verdict};
use crate::error::StreamError;
use crate::negotiation::actions::{self, Writing};
use crate::negotiation::{Refusal, Standing};
use crate::ns;
use crate::reader::Header;
use crate::stream_management::Command;
use crate::xml::Element;

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// The connection is there, in clear.
    Connected,
    /// TLS is there: after [`Action::StartTls`], or first of all (XEP-0368). With what the
    /// certificate is worth for the domain that was dialled: it was seen, not yet acted upon.
    Secured(Standing),
    /// The peer's header.
    Open(Header),
    /// A whole element: anything but a stanza that [`PeerOut::admits`](super::PeerOut::admits).
    Element {
        /// The element.
        element: Element,
        /// Unread bytes that arrived with it.
        behind: usize,
    },
    /// White space between elements.
    Whitespace,
    /// The peer closed its stream.
    Close,
    /// The stream must end: bad XML, a timeout, a stanza that was not admitted, a shutdown.
    Fail(StreamError),
    /// The connection is gone, or never came about.
    Lost(Refusal),
    /// Stanzas of one more pair want to go. Answer, at some time: [`Action::Proved`] or
    /// [`Action::Denied`].
    Want {
        /// One of our domains and one of theirs.
        pair: Pair,
        /// The peer's certificate is good for `pair.to`. Without that no second domain of theirs
        /// is believed to be here (attack F38).
        certified: bool,
    },
    /// Ask whether a key is the peer's own. Answer, at some time and exactly once:
    /// [`Action::Verified`].
    Verify {
        /// The pair of the claim: one of their domains and one of ours.
        pair: Pair,
        /// Of the stream on which it was claimed.
        id: SmolStr,
        /// The key.
        key: SmolStr,
    },
    /// Nothing more will be sent: end the stream. What is still asked for is denied, and
    /// [`Action::Close`] follows when the peer has ended its stream, too.
    Finish,
}

/// What to do.
#[derive(Debug)]
pub enum Action {
    /// Send these bytes.
    Write(Vec<u8>),
    /// When all is sent: begin TLS as client, with this domain as server name, and expect a new
    /// header inside. Whatever was read behind the element that brought this is lost, as is what
    /// the reader keeps: it may not be parsed (RFC 6120 §5.4.3.3). Answer: [`Event::Secured`], or
    /// [`Event::Lost`].
    StartTls(SmolStr),
    /// Expect a new header.
    Restart,
    /// Stanzas of this pair may be sent.
    Proved(Pair),
    /// Stanzas of this pair may not. The stream goes on unless [`Action::Close`] follows.
    Denied {
        /// The pair.
        pair: Pair,
        /// Why.
        refusal: Refusal,
    },
    /// What the peer says of a key.
    Verified {
        /// As in [`Event::Verify`].
        pair: Pair,
        /// As in [`Event::Verify`].
        id: SmolStr,
        /// Whether it is right.
        verdict: Verdict,
    },
    /// Stream management is on: stanzas are counted from here, both ways. With an id the session
    /// can be resumed. Comes before the first [`Action::Proved`].
    Enabled(Option<SmolStr>),
    /// The earlier session goes on: what the peer has handled of it. Comes before the first
    /// [`Action::Proved`].
    Resumed(u32),
    /// It does not: what the peer had handled of it, if it remembers.
    NotResumed(Option<u32>),
    /// `<r/>` or `<a/>` on a stream where it is on.
    Managed(Command),
    /// When all is sent, hang up. Every pair that was wanted and not proved has been denied, and
    /// every key answered for.
    Close(Option<Refusal>),
}

/// The actions of one event.
pub(super) type Actions = actions::Actions<Action>;

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

impl Actions {
    pub fn element(&mut self, element: &Element) {
        self.say(element, ns::SERVER);
    }
}
