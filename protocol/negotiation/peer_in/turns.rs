//! What the machine is told, and what it answers.

use smol_str::SmolStr;

use crate::dialback::{Pair, Verdict};
use crate::error::{Condition, StreamError};
use crate::negotiation::Standing;
use crate::negotiation::actions::{self, Writing};
use crate::ns;
use crate::reader::Header;
use crate::stream_management::Command;
use crate::xml::Element;

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// The peer opened a stream, or opened it again after [`Action::Restart`].
    Open(Header),
    /// A whole element: anything but a stanza of a peer that has proved who it is, which is a
    /// matter of [`PeerIn::admits`](super::PeerIn::admits).
    Element {
        /// The element.
        element: Element,
        /// Unread bytes that arrived before ours could have been answered.
        behind: usize,
    },
    /// White space between elements.
    Whitespace,
    /// The peer closed its stream.
    Close,
    /// The stream must end: bad XML, an oversized element, a stanza that was not admitted, a
    /// timeout, a shutdown.
    Fail(StreamError),
    /// After [`Action::StartTls`]: the handshake is done.
    Secured,
    /// After [`Action::Judge`].
    Judged(Standing),
    /// After [`Action::Verify`], whenever it is found out. It counts once, for the claim that it
    /// is about.
    Verified {
        /// The pair of the claim.
        pair: Pair,
        /// The id that went with it.
        id: SmolStr,
        /// What the server of `pair.from` says.
        verdict: Verdict,
    },
    /// After [`Action::Resume`]: the session goes on with this stream.
    Resumed {
        /// What the session has handled.
        handled: u32,
    },
    /// After [`Action::Resume`]: the peer may begin anew.
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
    /// When all is sent: begin TLS as server with a certificate for this domain, ask the peer for
    /// its own without demanding it, and expect a new header inside. Answer: [`Event::Secured`]; if
    /// the handshake fails, just hang up.
    StartTls(SmolStr),
    /// Expect a new header.
    Restart,
    /// Is the certificate of this connection good for this domain, and if not, does policy let it
    /// come by dialback? Asked for the header, and again for each claim: nothing is concluded from
    /// one domain to another. Answer: [`Event::Judged`].
    Judge(SmolStr),
    /// Ask the server of `pair.from`, on another connection, whether the key is its own
    /// ([`Dialback::Query`](crate::dialback::Dialback::Query) with the pair the other way round).
    /// Answer: [`Event::Verified`]. Meanwhile the stream goes on.
    Verify {
        /// The pair of the claim.
        pair: Pair,
        /// The id of this stream.
        id: SmolStr,
        /// The key.
        key: SmolStr,
    },
    /// Stanzas from `pair.from` are admitted from now on: the limits of an authenticated server
    /// hold.
    Proved {
        /// Their domain and ours.
        pair: Pair,
        /// The peer wants stanzas of the pair the other way round on this same stream (XEP-0288).
        bidi: bool,
    },
    /// Stream management is on (XEP-0198 §3): stanzas are counted from here, both ways. With an id
    /// the session can be resumed.
    Enabled(Option<SmolStr>),
    /// `<r/>` or `<a/>` on a stream where it is on.
    Managed(Command),
    /// Find that session, which must be one of a stream of this peer, and give it this stream,
    /// without a word yet. Answer: [`Event::Resumed`] or [`Event::NotResumed`].
    Resume {
        /// The first domain that the peer proved here.
        peer: SmolStr,
        /// The session's id.
        previd: SmolStr,
        /// What the peer has handled.
        h: u32,
    },
    /// When all is sent, hang up. The error, if any, has been written; it is here for the log.
    Close(Option<StreamError>),
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
