//! What the machine is told, and what it answers.

use std::fmt;

use smol_str::SmolStr;

use super::wish::{Admission, Bind2, ClientId, Issued};
use crate::error::{Condition, StanzaError, StreamError};
use crate::jid::Jid;
use crate::negotiation::actions::{self, Writing};
use crate::ns;
use crate::reader::Header;
use crate::sasl::{ChannelBindings, Failure, Hash, Lookup, PasswordCheck, ScramKeys, Verdict};
use crate::stanza::Stanza;
use crate::xml::Element;

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
    /// White space between elements.
    Whitespace,
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
    /// After [`Action::Upgrade`]: whether the keys are on the disk.
    Upgraded(bool),
    /// After [`Action::Admit`]: a token for the client, or why it may not come in after all.
    Admitted(Result<Option<Issued>, Failure>),
    /// After [`Action::Bind`]: the full JID, or why there is none.
    Bound(Result<Bound, StanzaError>),
    /// After [`Action::Resume`]: somebody else goes on with this stream.
    Resumed {
        /// What the session has handled.
        handled: u32,
        /// The session's id.
        previd: SmolStr,
        /// Its full JID.
        jid: Jid,
    },
    /// After [`Action::Resume`]: the client may bind instead.
    NotResumed {
        /// Usually `item-not-found`.
        condition: Condition,
        /// What that session had handled, if it is remembered.
        handled: Option<u64>,
    },
}

/// A session, and what its client is to be told of it.
#[derive(Debug)]
pub struct Bound {
    /// The full JID.
    pub jid: Jid,
    /// What goes into `<bound/>` (XEP-0386 §4.2).
    pub inline: Vec<Element>,
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
    Fetch {
        /// The bare JID.
        account: Jid,
        /// Whose tokens are wanted too.
        client: Option<ClientId>,
    },
    /// Run this where it may take its time. Answer: [`Event::Checked`].
    Check(PasswordCheck),
    /// Keep these keys too, on the disk before it is told (XEP-0480). Answer:
    /// [`Event::Upgraded`].
    Upgrade {
        /// The bare JID.
        account: Jid,
        /// The hash that they are for.
        hash: Hash,
        /// They.
        keys: ScramKeys,
    },
    /// A client that says which it is has proved who it is: note it, and do what it wants of its
    /// tokens. Answer: [`Event::Admitted`].
    Admit(Box<Admission>),
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
        /// Which client it is, if it said so by XEP-0388.
        client: Option<ClientId>,
        /// How it asks for it, if by XEP-0386.
        bind2: Option<Box<Bind2>>,
    },
    /// Find that session and give it this stream, without a word yet: `<resumed/>` is written here.
    /// Answer: [`Event::Resumed`] or [`Event::NotResumed`].
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
        self.say(element, ns::CLIENT);
    }

    pub fn stanza(&mut self, stanza: &Stanza) {
        self.write(|bytes| stanza.write(bytes));
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Event::Open(_) => "Open",
            Event::Element { .. } => "Element",
            Event::Whitespace => "Whitespace",
            Event::Close => "Close",
            Event::Fail(_) => "Fail",
            Event::Secured(_) => "Secured",
            Event::Fetched(_) => "Fetched",
            Event::Checked(_) => "Checked",
            Event::Answered(_) => "Answered",
            Event::Upgraded(_) => "Upgraded",
            Event::Admitted(_) => "Admitted",
            Event::Bound(_) => "Bound",
            Event::Resumed { .. } => "Resumed",
            Event::NotResumed { .. } => "NotResumed",
        })
    }
}
