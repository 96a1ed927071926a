//! The Link to another server: what we send from one of our domains to one of theirs. It calls that
//! server when there is something to say, keeps what must last on the disk until the server has it,
//! and tells senders what could not be delivered.
//!
//! It is the one actor that takes final care of a stanza for a remote address: one frame holds the
//! sender's rows, the outbox row and the mark of the receipt, as a recipient's Hub has it for those
//! who are here. The bytes themselves go over a [`Stream`](crate::stream) of its own, the *line*,
//! which dials, secures and proves. Losing a line changes nobody's presence.

mod barrier;
mod bounce;
pub mod course;
mod orders;
pub mod outbox;
mod sequel;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use actix::prelude::*;
use rookery_protocol::dialback::Pair;
use rookery_protocol::error::{Condition, StanzaError, StreamError};
use rookery_protocol::negotiation::Refusal;
use rookery_protocol::stanza::Stanza;
use rookery_storage::Frame;
use smol_str::SmolStr;
use tracing::warn;

use crate::components::is_inside;
use crate::directory::{Birth, Load, Resident};
use crate::effect::{Envelope, Millis};
use crate::keeper::{Committed, Tell};
use crate::lifeline::Lifeline;
use crate::messages::{FromLine, Mail, Order, ToStream};
use crate::realm::Realm;
use crate::receipt::Receipt;
use crate::roll::counts::Share;
use crate::stream::peer::Caller;
use barrier::Barrier;
use course::{Course, Pace};
pub use orders::remote_in;
use outbox::{Bounds, Outbox};

/// Rows of what has arrived are deleted this long after, unless another frame takes them along.
const TIDY: Duration = Duration::from_millis(50);
/// How often a Link looks at its clock.
const TICK: Duration = Duration::from_secs(5);
/// Written and not acknowledged, at most; with more it waits.
const WINDOW: usize = 256;
/// A server without XEP-0198 that does not answer either has what stayed written for so long, in
/// milliseconds.
const SETTLED: Millis = 60_000;

/// Which of our domains speaks to which domain elsewhere; `None`: the stanza does not say.
pub fn pair_of(stanza: &Stanza) -> Option<Pair> {
    Some(Pair::new(
        stanza.from.as_ref()?.domain(),
        stanza.to.as_ref()?.domain(),
    ))
}

/// The name of a pair's Link in the directory. No domain has a space in it.
pub fn key_of(pair: &Pair) -> SmolStr {
    smol_str::format_smolstr!("{} {}", pair.to, pair.from)
}

/// How a Link gets a line. What is called answers by [`FromLine`], with the number it is given.
pub trait Roads: Send + Sync {
    /// Calls the other server.
    fn call(&self, realm: &Arc<Realm>, wish: Wish) -> Recipient<ToStream>;
}

/// What a Link wants.
pub struct Wish {
    /// Who speaks to whom.
    pub pair: Pair,
    /// The number of the line.
    pub number: u32,
    /// Who wants it.
    pub link: Recipient<FromLine>,
    /// The session of an earlier line, to be resumed if it can be (XEP-0198 §5).
    pub earlier: Option<SmolStr>,
    /// No stream is shared that is there for somebody else: it was tried.
    pub alone: bool,
}

/// A Link.
pub struct Link {
    realm: Arc<Realm>,
    pair: Pair,
    load: Arc<Load>,
    outbox: Outbox,
    course: Course,
    line: Option<Line>,
    /// How many lines there were.
    lines: u32,
    /// It shares no stream with other Links: the other server would not have it.
    alone: bool,
    /// The number of the last frame that was handed to the Keeper.
    ticket: u64,
    /// Frames up to this one are on the disk.
    durable: u64,
    /// A server that does not acknowledge is asked what it has, or will be.
    barrier: Option<Barrier>,
    barrier_due: bool,
    /// Deletions of rows, which may wait for the next frame.
    later: Frame,
    tidying: bool,
    /// Something was sent or came for it.
    used: Instant,
    /// The server stops, since then.
    draining: Option<Instant>,
    /// What waits, among all that waits.
    share: Share,
    _lifeline: Lifeline,
}

struct Line {
    number: u32,
    stream: Recipient<ToStream>,
    /// Whether the other server acknowledges (XEP-0198); none before it takes stanzas.
    acks: Option<bool>,
    /// It has not written all that it was given: nothing more for the moment.
    full: bool,
    /// The frame that must be on the disk before anything is written.
    ready: u64,
}

impl Resident for Link {
    type Estate = ();
}

impl Link {
    /// Starts the Link of `pair` on its lane.
    pub fn start(realm: &Arc<Realm>, pair: Pair, birth: Birth<Link>) {
        let lane = realm.lanes.of(&pair.to).clone();
        let realm = Arc::clone(realm);
        let started = lane.spawn_fn(move || {
            let settings = &realm.site.settings.outbox;
            let bounds = Bounds {
                memory_stanzas: settings.memory_stanzas,
                memory_bytes: settings.memory_size.get(),
                stanzas: settings.stanzas,
                bytes: settings.size.get(),
            };
            let pace = Pace {
                first: settings.retry,
                longest: settings.retry_longest,
            };
            // Half of the number is the Link's own, so that tickets of a dead one are never met.
            let ticket = realm.births.fetch_add(1, Ordering::Relaxed) << 32;
            let share = realm.roll.counts.share();
            let lifeline = Lifeline::link(&realm, pair.clone(), Arc::clone(&birth.load));
            let link = Link {
                outbox: Outbox::new(&pair, bounds),
                realm,
                pair,
                load: birth.load,
                course: Course::new(pace),
                line: None,
                lines: 0,
                alone: false,
                ticket,
                durable: ticket,
                barrier: None,
                barrier_due: false,
                later: Frame::new(),
                tidying: false,
                used: Instant::now(),
                draining: None,
                share,
                _lifeline: lifeline,
            };
            Context::with_receiver(birth.mailbox).run(link);
        });
        if !started {
            warn!("a link could not start: its lane has ended");
        }
    }

    /// Reads what an earlier life left; until it is there no mail is handled.
    fn begin(&mut self, ctx: &mut Context<Link>) {
        let (realm, all) = (Arc::clone(&self.realm), Outbox::everything(&self.pair));
        let read = async move {
            // A predecessor's last frames come first.
            realm.keeper.committed(Frame::new()).await;
            realm.keeper.rows(vec![all]).await
        };
        ctx.wait(read.into_actor(self).map(|rows, link, ctx| match rows {
            Some(rows) => {
                link.outbox.load(rows);
                link.go_on(ctx);
            }
            None => {
                warn!(server = %link.pair.to, "an outbox cannot be read");
                ctx.stop();
            }
        }));
    }

    /// A stanza for the other server.
    fn incoming(&mut self, envelope: Envelope, ctx: &mut Context<Link>) {
        let Envelope {
            stanza,
            marks,
            mut rows,
            receipt,
        } = envelope;
        self.used = Instant::now();
        let (lasting, now) = (marks.lasting, self.realm.site.now());
        if let Some(refusal) = self.course.refuses(Instant::now())
            && (!lasting || refusal.is_lasting())
        {
            let error = refusal.to_error(&self.pair.to);
            return self.refuse(&stanza, &error, (lasting, rows, receipt));
        }
        let wrote = lasting || !rows.is_empty();
        let ticket = if wrote { self.ticket + 1 } else { 0 };
        let at = (now, ticket);
        if self.outbox.take(&stanza, lasting, at, &mut rows).is_err() {
            let error = StanzaError::new(Condition::ResourceConstraint)
                .with_text(format!("too much waits for {}", self.pair.to));
            return self.refuse(&stanza, &error, (lasting, rows, receipt));
        }
        match wrote {
            true => self.commit(rows, receipt),
            false => receipt.settle(),
        }
        self.go_on(ctx);
    }

    fn commit(&mut self, rows: Frame, receipt: Receipt) {
        self.ticket += 1;
        let mut all = std::mem::take(&mut self.later);
        all.append(rows);
        let tell = Tell::Hub(key_of(&self.pair), self.ticket);
        self.realm.keeper.commit(all, receipt, tell);
    }

    /// Does what can be done now.
    fn go_on(&mut self, ctx: &mut Context<Link>) {
        if let Some(query) = self.outbox.due() {
            self.read(query, ctx);
        }
        if self.is_blocked() {
            self.give_up(&Refusal::Blocked, |_| true);
        }
        self.send();
        self.ask_for_more(ctx);
        let anything = !self.outbox.is_empty();
        if anything && self.draining.is_none() && self.course.calls(Instant::now()) {
            self.call(ctx);
        }
        if !self.later.is_empty() && !std::mem::replace(&mut self.tidying, true) {
            ctx.run_later(TIDY, |link, _| link.tidy());
        }
    }

    /// Commits what waited for the next frame.
    fn tidy(&mut self) {
        self.tidying = false;
        if !self.later.is_empty() {
            let rows = std::mem::take(&mut self.later);
            self.realm
                .keeper
                .commit(rows, Receipt::none(), Tell::Nobody);
        }
    }

    fn read(&mut self, query: crate::effect::Query, ctx: &mut Context<Link>) {
        let realm = Arc::clone(&self.realm);
        let read = async move {
            realm.keeper.committed(Frame::new()).await;
            realm.keeper.rows(vec![query]).await
        };
        ctx.spawn(read.into_actor(self).map(|rows, link, ctx| {
            let given = rows.is_some();
            link.outbox.read(rows);
            // What the disk does not give now it may give at the next tick.
            if given {
                link.go_on(ctx);
            }
        }));
    }

    fn send(&mut self) {
        let Some(line) = self.line.as_mut() else {
            return;
        };
        let Some(acks) = line.acks.filter(|_| line.ready <= self.durable) else {
            return;
        };
        let now = self.realm.site.now();
        while !line.full
            && (!acks || self.outbox.unacked() < WINDOW)
            && let Some(bytes) = self.outbox.next(self.durable, now)
        {
            self.used = Instant::now();
            line.stream.do_send(ToStream::Write { bytes, ask: acks });
            #[cfg(feature = "seeded-bugs")]
            if rookery_storage::seeded_bugs::is_on("forget-when-written") {
                self.later.append(self.outbox.acked(1));
            }
        }
    }

    fn call(&mut self, ctx: &mut Context<Link>) {
        self.lines = self.lines.wrapping_add(1);
        let own = ctx.address().recipient();
        let stream = match is_inside(&self.pair) {
            true => self.lead(own),
            false => {
                let wish = Wish {
                    pair: self.pair.clone(),
                    number: self.lines,
                    link: own,
                    earlier: self.outbox.earlier(),
                    alone: self.alone,
                };
                let roads = self.realm.roads.as_ref();
                let roads = roads.ok_or(Refusal::NoServer);
                roads.map(|it| it.call(&self.realm, wish))
            }
        };
        let stream = match stream {
            Ok(stream) => stream,
            Err(refusal) => return self.failed(refusal, ctx),
        };
        self.line = Some(Line {
            number: self.lines,
            stream,
            acks: None,
            full: false,
            ready: 0,
        });
    }

    /// Takes the stream of a component, which connects by itself.
    fn lead(&self, link: Recipient<FromLine>) -> Result<Recipient<ToStream>, Refusal> {
        let component = self.realm.site.components.find(&self.pair.to);
        let component = component.ok_or(Refusal::NoServer)?;
        let stream = component.stream().ok_or(Refusal::Away)?;
        // Where the stream is gone by now, the Link hears it as this is dropped.
        stream.do_send(ToStream::Lead(Caller::link(self.lines, link)));
        Ok(stream)
    }

    /// The line broke, or never came about.
    fn broke(&mut self, refusal: Option<Refusal>, ctx: &mut Context<Link>) {
        let Some(line) = self.line.take() else {
            return;
        };
        self.barrier = None;
        self.outbox.broke(line.acks == Some(true));
        if self.draining.is_some() {
            return;
        }
        self.alone |= refusal == Some(Refusal::Separate);
        let refusal = refusal.filter(|_| !self.is_blocked());
        match refusal.filter(|it| *it != Refusal::Separate) {
            Some(refusal) => self.failed(refusal, ctx),
            None => {
                self.later.append(self.outbox.end());
                self.course.ended();
                self.go_on(ctx);
            }
        }
    }

    fn heard(&mut self, news: FromLine, ctx: &mut Context<Link>) {
        let Some(line) = self.line.as_mut().filter(|it| it.number == news.number()) else {
            return;
        };
        match news {
            FromLine::Up { acks, sequel, .. } => self.up(acks, sequel),
            FromLine::Acked { count, .. } => drop(self.later.append(self.outbox.acked(count))),
            FromLine::Mixed { .. } => drop(self.later.append(self.outbox.end())),
            FromLine::Full { .. } => line.full = true,
            FromLine::Drained { .. } => line.full = false,
            FromLine::Down { refusal, .. } => return self.broke(refusal, ctx),
        }
        self.go_on(ctx);
    }

    /// Looks at the clock.
    fn tick(&mut self, ctx: &mut Context<Link>) {
        self.share.set(self.outbox.census().0 as u64);
        if let Some(line) = &self.line
            && line.acks == Some(false)
        {
            self.settle_by_time(self.realm.site.now().saturating_sub(SETTLED));
        }
        self.expire(ctx);
        let idle = self.realm.site.settings.outbox.idle;
        if !self.outbox.is_empty() || self.used.elapsed() < idle {
            return;
        }
        match self.line {
            Some(_) => self.leave(None),
            None => self.retire(ctx),
        }
    }

    /// Needs its line no more; `word`: as the server stops. The line says when it is closed.
    fn leave(&self, word: Option<StreamError>) {
        if let Some(line) = &self.line {
            let pair = self.pair.clone();
            line.stream.do_send(ToStream::Leave(pair, word));
        }
    }

    fn retire(&mut self, ctx: &mut Context<Link>) {
        let end = self.outbox.end();
        self.later.append(end);
        self.tidy();
        let rests = self
            .course
            .rests_until()
            .is_some_and(|it| it > Instant::now());
        let waits = rests || self.durable < self.ticket;
        if !waits && self.realm.links.retire(&key_of(&self.pair), &self.load) {
            ctx.stop();
        }
    }

    fn commit_ended(&mut self, ticket: u64, ended: Committed, ctx: &mut Context<Link>) {
        match ended {
            // Its sender heard by the receipt.
            Committed::Refused => {
                self.load.forget_refusal();
                self.outbox.refused(ticket);
                // It goes without: what comes of that is at worst that something comes twice.
                if let Some(line) = self.line.as_mut().filter(|it| it.ready == ticket) {
                    line.ready = 0;
                }
            }
            Committed::Durable => {
                self.durable = self.durable.max(ticket);
                self.outbox.durable(ticket);
            }
        }
        self.go_on(ctx);
    }
}

impl Actor for Link {
    type Context = Context<Link>;

    fn started(&mut self, ctx: &mut Context<Link>) {
        self.begin(ctx);
        ctx.run_interval(TICK, |link, ctx| link.tick(ctx));
    }
}

impl Handler<Mail> for Link {
    type Result = ();

    fn handle(&mut self, mail: Mail, ctx: &mut Context<Link>) {
        let weight = mail.weight().unwrap_or(0);
        match mail {
            Mail::Incoming(envelope) => self.incoming(*envelope, ctx),
            Mail::Committed(ticket, ended) => self.commit_ended(ticket, ended, ctx),
            Mail::Order(Order::Hurry) => {
                self.course.hurry();
                self.go_on(ctx);
            }
            Mail::Order(Order::Drain(word)) => self.drain(word, ctx),
            Mail::Link(order) => self.ordered(order, ctx),
            Mail::Answered(id) => self.barrier_passed(&id, ctx),
            Mail::Probe(answer) => {
                // It was only to wake up; nobody need wait for the answer.
                let _ = answer.send(());
            }
            // Nothing else is sent to a server.
            _ => {}
        }
        self.load.handled(weight);
    }
}

impl Handler<FromLine> for Link {
    type Result = ();

    fn handle(&mut self, news: FromLine, ctx: &mut Context<Link>) {
        self.heard(news, ctx);
    }
}

#[cfg(test)]
mod tests;
