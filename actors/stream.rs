//! The Stream of a client's connection: bytes in and out, the framer, and the negotiation until a
//! session is bound.
//!
//! It never waits: what takes time (TLS, the store, a key derivation, the Hub) is asked for, and
//! until the answer comes nothing more is read, so that a client that sends ahead is slowed by TCP.

mod component;
mod live;
mod negotiate;
mod outbox;
mod patience;
pub mod peer;
mod pump;

use std::net::IpAddr;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use actix::fut::wrap_future;
use actix::prelude::*;
use rookery_protocol::error::{StreamCondition, StreamError};
use rookery_protocol::negotiation::STREAM_END;
use rookery_protocol::negotiation::client::{Client, Event as Happened};
use rookery_protocol::reader::{Event, StreamKind, StreamReader};
use rookery_protocol::sasl::ChannelBindings;
use rookery_protocol::stream_management;
use smol_str::SmolStr;
use tracing::debug;

use crate::flows::Flow;
use crate::gate::{Bucket, Pending};
use crate::lifeline::Lifeline;
use crate::messages::{Bound, Mail, ToStream};
use crate::realm::Realm;
use crate::stream::outbox::Outbox;
use crate::transport::{Transport, secure};
use component::Outsider;
use live::Live;
use peer::Peer;

/// After our last word the peer has this long to take it.
const FAREWELL: Duration = Duration::from_secs(1);

/// How a connection came in.
pub enum Arrival {
    /// TCP, to be secured by STARTTLS.
    Plain(tokio::net::TcpStream),
    /// TCP that begins with TLS (XEP-0368).
    Direct(tokio::net::TcpStream),
    /// Anything else that carries bytes, already as secure as it will be.
    Other(Box<dyn crate::transport::Other>),
}

/// A Stream.
pub struct Stream {
    realm: Arc<Realm>,
    peer: IpAddr,
    transport: Transport,
    reader: StreamReader,
    out: Outbox,
    /// Read, and not to be looked at before something is answered.
    unread: Vec<u8>,
    state: State,
    /// Rates, for peers that are not trusted.
    rates: Option<Box<Rates>>,
    /// Something holds reading up: receipts, a rate.
    paused: bool,
    heard: Instant,
    /// The peer was asked whether it is there.
    asked: bool,
    /// Since when nothing could be written although there was something.
    stuck: Option<Instant>,
    /// Since when more than the send buffer waits.
    behind: Option<Instant>,
    /// TLS or the transport is to be flushed.
    flush: bool,
    /// The transport was told that nothing more is written.
    shut: bool,
    /// Bytes that came after that, and were dropped.
    dropped: usize,
    /// An `<r/>` goes out behind what this wake delivers.
    ask_due: bool,
    /// TLS begins when all is written.
    upgrade_due: bool,
    /// Wakes the pump.
    waker: Option<Waker>,
    _lifeline: Lifeline,
}

enum State {
    Negotiating(Box<Negotiation>),
    Live(Live),
    /// Another server's, from its first byte.
    Peer(Box<Peer>),
    /// An external component's, from its first byte.
    Outsider(Box<Outsider>),
    /// The last word is said; hang up when it is written, or soon anyway.
    Closing,
}

/// A stream before its session.
struct Negotiation {
    client: Client,
    began: Instant,
    secured: bool,
    /// A registration form was fetched: the person needs time (limits table).
    registering: bool,
    /// A login failed already: a connection makes one line in the log.
    failed: bool,
    /// The `xml:lang` of a stream that wants its session back.
    lang: Option<SmolStr>,
    /// What the Hub gave, until the machine has told the client.
    bound: Option<Box<Bound>>,
    /// Waits for the server to stop.
    closing: SpawnHandle,
    /// Its place among those who have not logged in.
    _pending: Pending,
}

struct Rates {
    bytes: Bucket,
    /// Instead of `bytes`: what all streams of a server's domain share.
    shared: Option<Flow>,
    stanzas: Bucket,
}

impl Stream {
    /// Opens the stream of a connection on the current lane.
    pub fn open(realm: &Arc<Realm>, arrival: Arrival, peer: IpAddr, pending: Pending) {
        let now = Instant::now();
        let limits = &realm.site.settings.limits;
        let trusted = realm.gate.trusts(peer);
        let rates = (!trusted).then(|| {
            Box::new(Rates {
                bytes: Bucket::full(limits.burst.get() as f64, now),
                shared: None,
                stanzas: Bucket::full(f64::from(limits.stanza_burst), now),
            })
        });
        let loopback = peer.to_canonical().is_loopback();
        let client = Client::new(Arc::clone(&realm.login), loopback, None);
        let realm = Arc::clone(realm);
        Stream::create(move |ctx| {
            let negotiation = Negotiation {
                client,
                began: now,
                secured: false,
                registering: false,
                failed: false,
                lang: None,
                bound: None,
                closing: Stream::await_closing(&realm, ctx),
                _pending: pending,
            };
            let mut stream = Stream::bare(&realm, peer, StreamKind::Client);
            stream.rates = rates;
            stream.state = State::Negotiating(Box::new(negotiation));
            match arrival {
                Arrival::Plain(tcp) => stream.transport = Transport::Tcp(tcp),
                Arrival::Other(other) => stream.transport = Transport::Other(other),
                Arrival::Direct(tcp) => stream.handshake(tcp, true, ctx),
            }
            stream
        });
    }

    /// A stream without a connection, on which nothing was said yet.
    fn bare(realm: &Arc<Realm>, peer: IpAddr, kind: StreamKind) -> Stream {
        Stream {
            _lifeline: Lifeline::stream(realm),
            reader: StreamReader::new(negotiate::limits_before(realm), kind),
            realm: Arc::clone(realm),
            peer,
            transport: Transport::None,
            out: Outbox::default(),
            unread: Vec::new(),
            state: State::Closing,
            rates: None,
            paused: false,
            heard: Instant::now(),
            asked: false,
            stuck: None,
            behind: None,
            flush: false,
            shut: false,
            dropped: 0,
            ask_due: false,
            upgrade_due: false,
            waker: None,
        }
    }

    /// Before there is a session nobody else tells a stream that the server stops.
    fn await_closing(realm: &Realm, ctx: &mut Context<Stream>) -> SpawnHandle {
        let mut closing = realm.closing.subscribe();
        let closing = async move {
            // An error means that the server is gone already.
            let _ = closing.wait_for(|it| *it).await;
        };
        ctx.spawn(wrap_future::<_, Stream>(closing).map(|(), stream, ctx| {
            // Where a Link leads here it says when all is said.
            if !matches!(&stream.state, State::Outsider(it) if it.is_led()) {
                stream.fail(StreamError::new(StreamCondition::SystemShutdown), ctx);
            }
        }))
    }

    /// TLS, with its own time limit; the stream goes on when it is done.
    fn handshake(&mut self, tcp: tokio::net::TcpStream, direct: bool, ctx: &mut Context<Stream>) {
        if let State::Peer(_) = self.state {
            return self.handshake_with_peer(tcp, direct, ctx);
        }
        let tls = self.realm.tls.load_full();
        let limit = self.realm.site.settings.limits.handshake;
        let permits = Arc::clone(&self.realm.handshakes);
        let work = async move {
            // A reconnect storm must not take the lanes from those who are in.
            let _permit = permits.acquire().await.ok()?;
            tokio::time::timeout(limit, secure(tcp, &tls, direct))
                .await
                .ok()?
                .ok()
        };
        ctx.spawn(
            work.into_actor(self)
                .map(move |done, stream, ctx| match done {
                    Some((transport, bindings)) => stream.secured(transport, bindings, direct, ctx),
                    None => ctx.stop(),
                }),
        );
    }

    fn secured(
        &mut self,
        transport: Transport,
        bindings: ChannelBindings,
        direct: bool,
        ctx: &mut Context<Stream>,
    ) {
        self.transport = transport;
        if let State::Outsider(_) = self.state {
            return self.nudge();
        }
        let State::Negotiating(negotiation) = &mut self.state else {
            return;
        };
        negotiation.secured = true;
        if direct {
            let loopback = self.peer.to_canonical().is_loopback();
            negotiation.client =
                Client::new(Arc::clone(&self.realm.login), loopback, Some(bindings));
            self.nudge();
        } else {
            // RFC 6120 §5.4.3.3: nothing of before TLS is known any more.
            self.unread = Vec::new();
            self.reader.restart();
            self.happened(Happened::Secured(bindings), ctx);
        }
    }

    /// Bytes came.
    fn received(&mut self, bytes: &[u8], ctx: &mut Context<Stream>) {
        self.heard = Instant::now();
        self.asked = false;
        if let Some(rates) = &mut self.rates {
            let settings = &self.realm.site.settings;
            let (rate, burst) = match self.state {
                State::Peer(_) => (settings.s2s.rate, settings.s2s.burst),
                _ => (settings.limits.rate, settings.limits.burst),
            };
            let (rate, burst) = (rate.get() as f64, burst.get() as f64);
            let cost = bytes.len() as f64;
            let wait = match &rates.shared {
                Some(flow) => flow.lock().take(cost, rate, burst, self.heard),
                None => rates.bytes.take(cost, rate, burst, self.heard),
            };
            if let Some(wait) = wait {
                self.pause_for(wait, ctx);
            }
        }
        if self.unread.is_empty() {
            let rest = self.process(bytes, ctx);
            self.unread.extend_from_slice(&bytes[bytes.len() - rest..]);
        } else {
            self.unread.extend_from_slice(bytes);
            self.go_on(ctx);
        }
    }

    /// Over a rate reading pauses; it is never an error.
    fn pause_for(&mut self, wait: Duration, ctx: &mut Context<Stream>) {
        if !self.paused {
            self.paused = true;
            ctx.run_later(wait, |stream, ctx| stream.resume(ctx));
        }
    }

    fn resume(&mut self, ctx: &mut Context<Stream>) {
        self.paused = false;
        self.go_on(ctx);
        self.nudge();
    }

    /// Has the pump look again: needed after anything that is not mail, since actix polls the pump
    /// after the mailbox and before the timers and futures that came later.
    fn nudge(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    /// Looks again at what was read and left.
    fn go_on(&mut self, ctx: &mut Context<Stream>) {
        if self.unread.is_empty() || self.blocked() {
            return;
        }
        let bytes = std::mem::take(&mut self.unread);
        let rest = self.process(&bytes, ctx);
        if rest > 0 {
            self.unread = bytes[bytes.len() - rest..].to_vec();
        }
    }

    /// Whether nothing that was read may be looked at now.
    fn blocked(&self) -> bool {
        self.paused
            || match &self.state {
                State::Negotiating(negotiation) => {
                    negotiation.client.waiting() || self.upgrade_due || self.transport.is_none()
                }
                State::Live(_) => false,
                State::Outsider(outsider) => outsider.waiting() || self.transport.is_none(),
                State::Peer(peer) => peer.waiting() || self.upgrade_due || self.transport.is_none(),
                State::Closing => true,
            }
    }

    /// Takes what is in `bytes`; answers how many of them are left for later.
    fn process(&mut self, bytes: &[u8], ctx: &mut Context<Stream>) -> usize {
        let mut rest = bytes;
        while !rest.is_empty() && !self.blocked() {
            match self.reader.read(&mut rest) {
                // White space is nothing that could be heard: Debian 12's go-sendxmpp ends
                // `<starttls/>` with a newline, against RFC 6120 §5.3.3.
                Ok(Some(event)) => self.event(event, rest.trim_ascii().len(), ctx),
                Ok(None) => break,
                Err(error) => {
                    self.fail(error, ctx);
                    return 0;
                }
            }
        }
        match self.state {
            State::Closing => 0,
            _ => rest.len(),
        }
    }

    fn event(&mut self, event: Event, behind: usize, ctx: &mut Context<Stream>) {
        match &mut self.state {
            State::Negotiating(_) => self.negotiate(event, behind, ctx),
            State::Live(_) => self.live(event, ctx),
            State::Peer(_) => self.peer_said(event, behind, ctx),
            State::Outsider(_) => self.outsider_said(event, ctx),
            State::Closing => {}
        }
    }

    /// One `<r/>` for all that is delivered in one wake, so that its answer covers the last.
    fn ask_if_due(&mut self) {
        if std::mem::take(&mut self.ask_due) {
            self.write(stream_management::REQUEST);
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        if !matches!(self.state, State::Closing) {
            self.out.push(bytes);
            self.flush = true;
        }
    }

    /// Ends the stream with an error.
    fn fail(&mut self, error: StreamError, ctx: &mut Context<Stream>) {
        match &self.state {
            State::Negotiating(_) => self.happened(Happened::Fail(error), ctx),
            State::Live(_) => self.close(Some(error), ctx),
            State::Peer(_) => self.fail_peer(error, ctx),
            State::Outsider(_) => self.fail_outsider(error, ctx),
            State::Closing => {}
        }
    }

    /// Says the last word and hangs up when it is written.
    fn close(&mut self, error: Option<StreamError>, ctx: &mut Context<Stream>) {
        if matches!(self.state, State::Closing) {
            return;
        }
        if let State::Live(live) = &mut self.state {
            // XEP-0198 §5: only who closes his stream himself ends his session (attacks A14).
            live.clean = error.is_none();
        }
        if let Some(error) = error {
            debug!(peer = %self.peer, condition = error.condition.as_str(), "a stream ends");
            let mut bytes = Vec::new();
            error.write(&mut bytes);
            self.write(&bytes);
        }
        self.write(STREAM_END);
        self.hang_up(ctx);
    }

    fn hang_up(&mut self, ctx: &mut Context<Stream>) {
        self.withdraw(ctx);
        self.nudge();
        self.unread = Vec::new();
        self.state = State::Closing;
        ctx.run_later(FAREWELL, |_, ctx| ctx.stop());
    }
}

impl Actor for Stream {
    type Context = Context<Stream>;

    fn started(&mut self, ctx: &mut Context<Stream>) {
        ctx.spawn(pump::Pump);
        let tick = patience::interval(&self.realm.site.settings);
        ctx.run_interval(tick, |stream, ctx| stream.tick(ctx));
    }
}

impl Handler<ToStream> for Stream {
    type Result = ();

    fn handle(&mut self, message: ToStream, ctx: &mut Context<Stream>) {
        match message {
            ToStream::Write { bytes, ask } => {
                match self.state {
                    State::Peer(_) => self.write_to_peer(&bytes, ask),
                    State::Outsider(_) => self.write_outside(&bytes, ctx),
                    _ => {
                        self.write(&bytes);
                        self.ask_due |= ask;
                    }
                }
                self.bounded(ctx);
            }
            ToStream::Resume => self.resume(ctx),
            ToStream::Bound(answer) => self.bound(answer, ctx),
            ToStream::Resumed(answer) => self.resumed(answer, ctx),
            ToStream::Close(error) => self.fail(error, ctx),
            ToStream::Leave(pair, word) => match (&self.state, word) {
                (State::Outsider(_), Some(word)) => self.fail(word, ctx),
                (State::Outsider(_), None) => self.let_go(),
                (_, word) => self.leave(&pair, word, ctx),
            },
            ToStream::Attach(pair, end) => self.attach(pair, end, ctx),
            ToStream::Lead(caller) => self.lead(caller, ctx),
            ToStream::Doubt => self.doubt(),
            ToStream::Ledger(notice) => self.ledger(notice, ctx),
            ToStream::Verified { query, verdict } => self.verified(query, verdict, ctx),
            ToStream::SessionDied { jid, device } => {
                self.realm.post(&jid, Mail::Gone(device), false);
                self.fail(StreamError::new(StreamCondition::InternalServerError), ctx);
            }
        }
    }
}

#[cfg(test)]
mod tests;
