//! What actors say to each other. They share these and never import one another to talk.

use std::net::IpAddr;
use std::sync::Arc;

use actix::prelude::*;
use bytes::Bytes;
use rookery_protocol::dialback::{Pair, Verdict};
use rookery_protocol::error::{Condition, ErrorType, StanzaError, StreamError};
use rookery_protocol::jid::Jid;
use rookery_protocol::negotiation::Refusal;
use rookery_protocol::negotiation::client::Bind2;
use rookery_protocol::stanza::{Kind, PresenceType, Stanza};
use rookery_protocol::xml::Element;
use rookery_storage::Frame;
use smol_str::SmolStr;
use tokio::sync::oneshot;

use crate::admin::servers;
use crate::clients::ClientKey;
use crate::components::Component;
use crate::effect::{Envelope, Millis};
use crate::hub::devices::DeviceId;
use crate::keeper::Committed;
use crate::peers::Query;
use crate::receipt::{Notice, Owner, Receipt};
use crate::session::{Counting, Session};
use crate::stream::Stream;
use crate::stream::peer::{Caller, LinesEnd};

/// Mail to a Hub.
pub enum Mail {
    /// A stream wants a session.
    Bind(Box<Bind>),
    /// One of its sessions let a stanza in.
    Outgoing(Box<Outgoing>),
    /// Somebody sent a stanza.
    Incoming(Box<Envelope>),
    /// A session answers its client itself: written in order with the rest, and counted.
    Answer(DeviceId, Bytes),
    /// A stream wants a session back.
    Resume(Box<Resume>),
    /// The client of a session said something beside its stanzas.
    Said(DeviceId, Box<Element>),
    /// A session counts acknowledgements from here on (XEP-0198); whether it may be resumed.
    Acknowledged(DeviceId, bool),
    /// The client has this many of what was counted (XEP-0198 `h`).
    Acks(DeviceId, u32),
    /// This line of a session that can be resumed is gone.
    Lost(DeviceId, u32),
    /// A session ended.
    Gone(DeviceId),
    /// The Hub's commits up to this ticket ended.
    Committed(u64, Committed),
    /// Another server has answered the question with this id that its Link asked.
    Answered(SmolStr),
    /// An administrator's order.
    Order(Order),
    /// An administrator's order to a Link.
    Link(ToLink),
    /// Is anybody there? For the watchdog.
    Probe(oneshot::Sender<()>),
    /// Makes the shell itself panic, where nothing catches it.
    #[cfg(test)]
    Fault,
    /// Makes all its sessions panic.
    #[cfg(test)]
    FaultOfSessions,
}

impl Message for Mail {
    type Result = ();
}

impl Mail {
    /// The bytes this mail counts for against the bound, or `None`: replies, acks and what the
    /// server asks itself never count.
    pub fn weight(&self) -> Option<usize> {
        match self {
            Mail::Incoming(envelope) => match envelope.stanza.kind {
                Kind::Message(_) | Kind::Iq(_) => Some(envelope.stanza.wire_len()),
                Kind::Presence(PresenceType::Unavailable | PresenceType::Error) => None,
                Kind::Presence(_) => Some(envelope.stanza.wire_len()),
            },
            _ => None,
        }
    }

    /// Whether one of the Hub's sessions says it. Sessions outlive a Hub that dies, and what they
    /// say is for its successor.
    pub fn is_of_session(&self) -> bool {
        use Mail::*;
        matches!(
            self,
            Outgoing(_) | Answer(..) | Said(..) | Acknowledged(..) | Acks(..) | Lost(..) | Gone(_)
        )
    }
}

/// A stanza that a session let in.
pub struct Outgoing {
    pub device: DeviceId,
    pub stanza: Stanza,
    pub receipt: Receipt,
}

/// A stream that is authenticated wants a resource. Dropped unanswered it answers with an error.
pub struct Bind {
    /// The bare JID.
    pub account: Jid,
    /// The resource the client asked for.
    pub resource: Option<SmolStr>,
    /// Which client it is, if it said so.
    pub client: Option<ClientKey>,
    /// How it asks, if by XEP-0386.
    pub bind2: Option<Box<Bind2>>,
    pub peer: IpAddr,
    stream: Option<Addr<Stream>>,
}

impl Bind {
    /// The wish of `stream`, whose connection comes from `peer`.
    pub fn new(
        account: Jid,
        resource: Option<SmolStr>,
        stream: Addr<Stream>,
        peer: IpAddr,
    ) -> Bind {
        let stream = Some(stream);
        Bind {
            account,
            resource,
            client: None,
            bind2: None,
            peer,
            stream,
        }
    }

    /// The same of a client that said which it is, or that asks by XEP-0386.
    pub fn of_client(self: Bind, client: Option<ClientKey>, bind2: Option<Box<Bind2>>) -> Bind {
        let mut bind = self;
        (bind.client, bind.bind2) = (client, bind2);
        bind
    }

    /// The stream that asks; `None` once it was answered.
    pub fn stream(&self) -> Option<&Addr<Stream>> {
        self.stream.as_ref()
    }

    /// Answers.
    pub fn answer(mut self, answer: Result<Box<Bound>, StanzaError>) {
        if let Some(stream) = self.stream.take() {
            stream.do_send(ToStream::Bound(answer));
        }
    }
}

impl Drop for Bind {
    /// Nobody took it (the Hub died, or is kept down): the client may try again.
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take() {
            let error = StanzaError::new(Condition::InternalServerError);
            let error = error.with_kind(ErrorType::Wait);
            stream.do_send(ToStream::Bound(Err(error)));
        }
    }
}

/// A stream that is authenticated wants a session back. Dropped unanswered it says that there is
/// none.
pub struct Resume {
    /// The bare JID.
    pub account: Jid,
    /// By what the client names the session.
    pub previd: SmolStr,
    /// What the client has.
    pub h: u32,
    pub peer: IpAddr,
    stream: Option<Addr<Stream>>,
}

impl Resume {
    /// The wish of `stream`, whose connection comes from `peer`.
    pub fn new(
        account: Jid,
        previd: SmolStr,
        h: u32,
        stream: Addr<Stream>,
        peer: IpAddr,
    ) -> Resume {
        let stream = Some(stream);
        Resume {
            account,
            previd,
            h,
            peer,
            stream,
        }
    }

    /// The session will answer.
    pub fn take(&mut self) -> Option<Addr<Stream>> {
        self.stream.take()
    }

    /// There is no such session any more; `handled`: what of its client's was handled, if anybody
    /// knows.
    pub fn refuse(mut self, handled: Option<u32>) {
        if let Some(stream) = self.stream.take() {
            stream.do_send(ToStream::Resumed(Err(handled)));
        }
    }

    /// The stream ends.
    pub fn fail(mut self, error: StreamError) {
        if let Some(stream) = self.stream.take() {
            stream.do_send(ToStream::Close(error));
        }
    }
}

impl Drop for Resume {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take() {
            stream.do_send(ToStream::Resumed(Err(None)));
        }
    }
}

/// A session for a stream: the answer to [`Bind`], or to [`Resume`]. Dropped untaken, because the
/// stream is gone, it says so to the session.
pub struct Bound {
    pub jid: Jid,
    /// What goes into `<bound/>` (XEP-0386).
    pub inline: Vec<Element>,
    /// The number of the stream among those of the session.
    pub line: u32,
    session: Option<(Addr<Session>, Arc<Owner>)>,
}

/// A session goes on.
pub struct Resumed {
    pub bound: Box<Bound>,
    /// By what the client named it.
    pub previd: SmolStr,
    /// What of the client's was handled.
    pub handled: u32,
}

impl Bound {
    /// A session that waits for its stream.
    pub fn new(jid: Jid, line: u32, session: Addr<Session>, owner: Arc<Owner>) -> Bound {
        Bound {
            jid,
            inline: Vec::new(),
            line,
            session: Some((session, owner)),
        }
    }

    /// The stream takes its session.
    pub fn take(mut self) -> Option<(Addr<Session>, Arc<Owner>)> {
        self.session.take()
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if let Some((session, _)) = self.session.take() {
            session.do_send(ToSession::StreamClosed {
                line: self.line,
                clean: false,
            });
        }
    }
}

/// What is said last when the server stops, and what is dropped once it is said.
pub type LastWord = (StreamError, Arc<()>);

/// An administrator's order to the Hub of an account.
pub enum Order {
    /// Remove the account with everything it has; the sessions stay until [`Order::End`].
    Remove(oneshot::Sender<Committed>),
    /// Hear of the accounts that were removed.
    Farewells,
    /// End the sessions: all, or the one of this resource; but for one that asked for it.
    End {
        resource: Option<SmolStr>,
        except: Option<SmolStr>,
        error: StreamError,
    },
    /// Which resources are connected, and is the user at each (see `Device::active`)?
    Resources(oneshot::Sender<Vec<(String, bool)>>),
    /// Which clients are connected, and since when? Those that did not say which they are come
    /// with their resource.
    Clients(oneshot::Sender<Vec<(ClientKey, Millis, Option<SmolStr>)>>),
    /// End the sessions of a client.
    EndClient(ClientKey, StreamError),
    /// Call at once whomever a Link leaves alone for a while.
    Hurry,
    /// A component that has rights has connected.
    ComponentCame(Arc<Component>),
    /// Write this to all available devices.
    Announce(Box<Stanza>),
    /// End everything in an orderly way: the server is stopping. The second is let go when that is
    /// done.
    Drain(LastWord),
}

/// An administrator's order to the Link to another server.
pub enum ToLink {
    /// Nothing is spoken with that domain any more.
    Block,
    /// Try again now, whatever went wrong.
    Retry,
    /// Say how it is.
    Describe(oneshot::Sender<servers::Link>),
}

/// Mail to a Session.
pub enum ToSession {
    /// Its stream read a stanza, which was admitted with this size. An unreadable one comes with
    /// its answer.
    Received {
        line: u32,
        stanza: Result<Box<Stanza>, Option<Box<Stanza>>>,
        size: usize,
    },
    /// Its stream read an element of stream management.
    Management { line: u32, element: Element },
    /// Its stream read an element beside stanzas that an extension hears.
    Said { line: u32, element: Box<Element> },
    /// To be written; `number` where it is counted.
    Deliver { bytes: Bytes, number: Option<u32> },
    /// Deliveries are counted from here on: the Hub's answer to [`Mail::Acknowledged`].
    Counting(Counting),
    /// The same from the beginning, and the client is told otherwise (XEP-0386).
    CountingInline(Counting),
    /// Go on with this stream; its client has `h`.
    Resume { stream: Addr<Stream>, h: u32 },
    /// Receipts settled: see the ledger.
    Settled,
    /// Something was lost: see the ledger.
    Lost,
    /// The stream may read on.
    Resumable,
    /// Nothing was read for long: is the client still there?
    Idle,
    /// A stream is gone; `clean`: because its client or we closed it.
    StreamClosed { line: u32, clean: bool },
    /// Say this and end.
    End(StreamError),
    /// Say this; the session goes on when the server has started again.
    Shutdown(StreamError),
    /// The account is going to sleep: what of the session no row has, or nothing if it is not
    /// only waiting.
    NoteDown(oneshot::Sender<Option<Frame>>),
    /// It sleeps: the session goes on when it wakes.
    FallAsleep,
    /// The Hub is gone.
    HubGone,
    /// Another Hub took the place of one that died, and does, or does not, count what it delivers.
    Inherited(bool),
    /// Makes the Session panic.
    #[cfg(test)]
    Fault,
}

impl Message for ToSession {
    type Result = ();
}

/// Mail to a Stream.
pub enum ToStream {
    /// The answer to a wish for a resource.
    Bound(Result<Box<Bound>, StanzaError>),
    /// The answer to a wish for an earlier session.
    Resumed(Result<Box<Resumed>, Option<u32>>),
    /// Bytes for the peer; `ask`: an `<r/>` behind them (XEP-0198).
    Write { bytes: Bytes, ask: bool },
    /// Reading may go on.
    Resume,
    /// Say this and close.
    Close(StreamError),
    /// The Link of this pair needs it no more, as all is said, or as the server stops: then the
    /// last one says this.
    Leave(Pair, Option<StreamError>),
    /// The Link of this pair wants to send on a stream that is there for somebody else.
    Attach(Pair, LinesEnd),
    /// News of the ledger of what another server sent.
    Ledger(Notice),
    /// Stanzas for the component at its other end come from this Link from here on.
    Lead(Caller),
    /// Is anybody there? Another stream says that it is the component.
    Doubt,
    /// What was found out of a key.
    Verified { query: Query, verdict: Verdict },
    /// The session died of a panic: its Hub must hear, and the client come back.
    SessionDied { jid: Jid, device: DeviceId },
}

impl Message for ToStream {
    type Result = ();
}

/// Mail to a Link from its line, of which each has a number.
pub enum FromLine {
    /// The other server takes stanzas of the pair from here on; whether it acknowledges them
    /// (XEP-0198), and what became of the session of the line before.
    Up {
        line: u32,
        acks: bool,
        sequel: Sequel,
    },
    /// It has so many more of what was written.
    Acked { line: u32, count: usize },
    /// Stanzas come back on it: its session will not be resumed, as it counts only one way.
    Mixed { line: u32 },
    /// The stream has not written yet what it was given: no more for the moment.
    Full { line: u32 },
    /// Now it has.
    Drained { line: u32 },
    /// The line is gone, or never came about; none where it ended in peace.
    Down { line: u32, refusal: Option<Refusal> },
}

impl FromLine {
    /// The number of the line.
    pub fn number(&self) -> u32 {
        use FromLine::*;
        match self {
            Up { line, .. } | Acked { line, .. } | Full { line } | Drained { line } => *line,
            Down { line, .. } | Mixed { line } => *line,
        }
    }
}

/// What became of the session of an earlier line (XEP-0198 §5).
#[derive(Clone, Default, Debug)]
pub struct Sequel {
    /// What the other server had of it, as far as it knows.
    pub had: Option<u32>,
    /// It goes on.
    pub resumed: bool,
    /// If it does not: by what the new one can be resumed.
    pub id: Option<SmolStr>,
}

impl Message for FromLine {
    type Result = ();
}
