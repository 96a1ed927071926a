//! Stream management (XEP-0198) of one session: what its client sent and is settled, what the
//! client was sent and has not acknowledged, and how a stream takes over from one that broke.
//!
//! An `h` that was told must hold after a crash too. So it is the count that the disk knows: by the
//! marks that the stanzas left there, or, where the last ones left none, by a row that the session
//! writes before it answers.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use actix::prelude::*;
use bytes::Bytes;
use rookery_protocol::error::{StreamCondition, StreamError};
use rookery_protocol::stream_management::{self as management, Outbound};
use rookery_storage::record::encode;
use rookery_storage::{Frame, Tree};
use smol_str::SmolStr;

use super::{Counting, FIRST_LINE, Past, Session};
use crate::hub::remembered::Count;
use crate::keys::{Part, SessionKey};
use crate::messages::{Bound, Mail, Resumed, ToStream};
use crate::receipt::{Owner, is_later};
use crate::stream::Stream;

/// So many deliveries do not wait for an `<r/>`, nor one whose bytes are such a part of what memory
/// may hold. Not more: what is not acknowledged by the next checkpoint of the store costs it more
/// than an answer.
const OFTEN: usize = 5;

/// After this time one who seemed to leave has stayed.
const LEAVING: Duration = Duration::from_secs(1);

/// What stream management counts.
pub struct Acks {
    /// Stanzas that were let in before `<enable/>`: they do not count.
    since: u32,
    /// Added to a count of the ledger it gives the one on the wire.
    shift: u32,
    /// Numbers that were handled before the server started again.
    beyond: BTreeSet<u32>,
    sent: Outbound,
    /// What is not acknowledged, oldest first.
    queue: VecDeque<Bytes>,
    /// When the last `<r/>` was sent.
    asked: Option<Instant>,
    /// It is not answered yet.
    open: bool,
    /// A timer looks after that.
    watched: bool,
    /// The client said that it is unavailable, to all.
    pub leaving: bool,
    /// A timer asks.
    asks_later: bool,
    /// The client's `<r/>` waits until this many are settled.
    owes: Option<u32>,
    /// A timer answers the `<r/>` with what has settled by then.
    timed: bool,
    /// Its client wants to be able to come back, and may.
    pub resumable: bool,
    resumption: Option<Resumption>,
}

/// Of a session that can be resumed.
struct Resumption {
    previd: SmolStr,
    key: SessionKey,
    /// The count is being written.
    writing: bool,
    /// A stream that is to go on with the session, when all that came before it is settled.
    coming: Option<Addr<Stream>>,
}

impl Acks {
    /// Counts from here on: so many were let in before.
    pub fn since(admitted: u32, resumable: bool) -> Acks {
        Acks {
            since: admitted,
            shift: 0_u32.wrapping_sub(admitted),
            beyond: BTreeSet::new(),
            sent: Outbound::default(),
            queue: VecDeque::new(),
            asked: None,
            open: false,
            watched: false,
            leaving: false,
            asks_later: false,
            owes: None,
            timed: false,
            resumable,
            resumption: None,
        }
    }

    /// Goes on where a session stopped before the server started again.
    pub fn of_past(past: Past, owner: &Owner) -> Acks {
        let mut acks = Acks::since(0, true);
        acks.shift = past.handled.count;
        acks.beyond = past.handled.beyond;
        let h = u64::from(past.h);
        acks.sent = Outbound::restored(h, h);
        acks.count_for(past.counting, owner);
        owner.spare_marks(&past.handled.slots);
        acks
    }

    fn count_for(&mut self, counting: Counting, owner: &Owner) {
        let Some(token) = counting.token else { return };
        owner.mark_for(
            counting.key,
            self.since,
            self.since.wrapping_add(self.shift),
        );
        self.resumption = Some(Resumption {
            previd: previd(&token),
            key: counting.key,
            writing: false,
            coming: None,
        });
    }

    /// A count of the ledger as the wire has it. Stanzas of before `<enable/>` that are still open:
    /// none of those after them counts yet.
    fn on_wire(&self, count: u32) -> u32 {
        match is_later(self.since, count) {
            true => self.since.wrapping_add(self.shift),
            false => count.wrapping_add(self.shift),
        }
    }

    /// Whether the stanza that makes the count `admitted` is one that was handled before the server
    /// started again.
    pub fn swallows(&mut self, admitted: u32) -> bool {
        !self.beyond.is_empty() && self.beyond.remove(&admitted.wrapping_add(self.shift))
    }

    /// What there is of it, when so many are settled, that a session which is resumed must know.
    pub fn rows(&self, settled: u32) -> Option<Frame> {
        let key = self.resumption.as_ref()?.key;
        let mut rows = Frame::new();
        if let Ok(count) = encode(&Count(self.on_wire(settled))) {
            rows.put(Tree::Sessions, key.row(Part::Handled, &[]), count);
        }
        for (place, bytes) in self.queue.iter().enumerate() {
            let number = management::wire(self.sent.acked() + 1 + place as u64);
            let key = key.row(Part::Tail, &number.to_be_bytes());
            rows.put(Tree::Sessions, key, &bytes[..]);
        }
        Some(rows)
    }

    /// There is no stream: nobody waits for an answer.
    pub fn pause(&mut self) {
        self.open = false;
        self.owes = None;
        if let Some(resumption) = &mut self.resumption {
            resumption.coming = None;
        }
    }

    /// The session ends: what its client never acknowledged.
    pub fn take_queue(&mut self) -> VecDeque<Bytes> {
        std::mem::take(&mut self.queue)
    }
}

impl Session {
    /// The Hub counts from here on.
    pub(super) fn counting(&mut self, counting: Counting) {
        let max = self.realm.site.settings.acks.resume.as_secs();
        let Some(acks) = self.acks.as_mut() else {
            return;
        };
        acks.count_for(counting, &self.owner);
        let max = u32::try_from(max).unwrap_or(u32::MAX);
        let resumption = acks.resumption.as_ref();
        let resumable = resumption.map(|it| (it.previd.as_str(), max));
        let enabled = management::enabled(resumable);
        self.write(&enabled);
    }

    /// The same from the first stanza on; `<enabled/>` is told already.
    pub(super) fn counting_inline(&mut self, counting: Counting) {
        let resumable = counting.token.is_some();
        let mut acks = Acks::since(self.owner.admitted(), resumable);
        acks.count_for(counting, &self.owner);
        self.acks = Some(Box::new(acks));
    }

    pub(super) fn is_resumable(&self) -> bool {
        let acks = self.acks.as_ref();
        acks.is_some_and(|acks| acks.resumption.is_some())
    }

    /// Whether it has no stream, nor one that is about to take over.
    pub(super) fn is_waiting(&self) -> bool {
        let resumption = self.acks.as_ref().and_then(|acks| acks.resumption.as_ref());
        self.stream.is_none() && resumption.is_none_or(|it| it.coming.is_none())
    }

    /// The client asks how many were handled.
    pub(super) fn asked(&mut self, ctx: &mut Context<Session>) {
        let admitted = self.owner.admitted();
        let delay = self.realm.site.settings.acks.delay;
        let Some(acks) = self.acks.as_mut() else {
            return;
        };
        acks.owes = Some(admitted);
        self.go_on(ctx);
        let Some(acks) = self.acks.as_mut().filter(|acks| acks.owes.is_some()) else {
            return;
        };
        if !std::mem::replace(&mut acks.timed, true) {
            self.answer_after(delay, ctx);
        }
    }

    /// XEP-0198 §4: an answer is not withheld for long. What is safe by then; the rest follows
    /// unasked.
    fn answer_after(&mut self, delay: Duration, ctx: &mut Context<Session>) {
        ctx.run_later(delay, |session, _| {
            let Some(acks) = session.acks.as_mut() else {
                return;
            };
            acks.timed = false;
            if acks.owes.is_some() {
                session.answer();
            }
        });
    }

    /// Looks whether what somebody waits for is settled, and the disk knows: an `<r/>`, or a stream
    /// that is to take over.
    pub(super) fn go_on(&mut self, ctx: &mut Context<Session>) {
        let Some(acks) = self.acks.as_ref() else {
            return;
        };
        let coming = acks
            .resumption
            .as_ref()
            .is_some_and(|it| it.coming.is_some());
        let goal = match (coming, acks.owes) {
            (true, _) => self.owner.admitted(),
            (false, Some(owes)) => owes,
            (false, None) => return,
        };
        let (settled, durable) = (self.owner.settled(), self.owner.durable());
        if !is_later(goal, durable) {
            return match coming {
                true => self.take_over(ctx),
                false => {
                    self.acks.as_mut().into_iter().for_each(|it| it.owes = None);
                    self.answer();
                }
            };
        }
        if is_later(settled, durable) {
            self.write_count(settled, ctx);
        }
        // What settled since it was looked at tells nobody any more.
        if is_later(goal, settled) && !self.owner.watch() {
            ctx.notify(crate::messages::ToSession::Settled);
        }
    }

    /// Writes how many are settled, where no mark says so.
    fn write_count(&mut self, settled: u32, ctx: &mut Context<Session>) {
        let Some(acks) = self.acks.as_mut() else {
            return;
        };
        let count = acks.on_wire(settled);
        let Some(resumption) = acks.resumption.as_mut() else {
            return;
        };
        if std::mem::replace(&mut resumption.writing, true) {
            return;
        }
        let mut frame = Frame::new();
        if let Ok(row) = encode(&Count(count)) {
            frame.put(Tree::Sessions, resumption.key.row(Part::Handled, &[]), row);
        }
        #[cfg(feature = "seeded-bugs")]
        if rookery_storage::seeded_bugs::is_on("lose-h-in") {
            frame = Frame::new();
        }
        let realm = std::sync::Arc::clone(&self.realm);
        let written = async move { realm.keeper.committed(frame).await };
        // On a full disk it is told all the same: what is settled was refused in its turn.
        ctx.spawn(written.into_actor(self).map(move |_, session, ctx| {
            session.owner.written(settled);
            let resumption = session.acks.as_mut().and_then(|it| it.resumption.as_mut());
            if let Some(resumption) = resumption {
                resumption.writing = false;
            }
            session.go_on(ctx);
        }));
    }

    /// Writes `<a/>` with what is settled without a gap, as the disk knows.
    fn answer(&mut self) {
        let Some(acks) = self.acks.as_ref() else {
            return;
        };
        let handled = acks.on_wire(self.owner.durable());
        let mut bytes = Vec::new();
        management::write_answer(u64::from(handled), &mut bytes);
        self.to_stream(ToStream::Write {
            bytes: bytes.into(),
            ask: false,
        });
    }

    /// The client says how many it has.
    pub(super) fn answered(&mut self, h: u32, ctx: &mut Context<Session>) {
        let Some(acks) = self.acks.as_mut() else {
            return;
        };
        acks.open = false;
        match acks.sent.acknowledge(h) {
            Ok(0) => {}
            Ok(count) => {
                acks.queue.drain(..acks.queue.len().min(count as usize));
                if acks.queue.is_empty() {
                    acks.queue.shrink_to_fit();
                }
                self.to_hub(Mail::Acks(self.device, h));
                if self.asks_now(0, ctx) {
                    self.ask(ctx);
                }
            }
            Err(error) => self.end(error, ctx),
        }
    }

    pub(super) fn deliver(
        &mut self,
        bytes: Bytes,
        number: Option<u32>,
        ctx: &mut Context<Session>,
    ) {
        let mut ask = false;
        if let (Some(_), Some(acks)) = (number, self.acks.as_mut()) {
            acks.sent.send();
            acks.queue.push_back(bytes.clone());
            ask = self.asks_now(bytes.len(), ctx);
            if ask {
                self.await_answer(ctx);
            }
        }
        self.to_stream(ToStream::Write { bytes, ask });
    }

    /// Whether an `<r/>` is due now, with a stanza of so many bytes; else it goes after a pause. An
    /// answer costs as much as a message, so in a lively chat the client is asked now and then; for
    /// what comes after a pause at once, while the phone is awake. One that said it is unavailable
    /// is not asked yet: most close the stream next, and some write the answer into the one they
    /// open then.
    fn asks_now(&mut self, size: usize, ctx: &mut Context<Session>) -> bool {
        let bounds = &self.realm.site.settings.acks;
        let Some(acks) = self.acks.as_mut().filter(|_| self.stream.is_some()) else {
            return false;
        };
        if acks.open || acks.sent.unacked() == 0 {
            return false;
        }
        let many = OFTEN.min(bounds.stanzas / 2);
        let is_due = acks.sent.unacked() >= many as u64
            || size >= bounds.size.get() / OFTEN
            || acks
                .asked
                .is_none_or(|asked| asked.elapsed() >= bounds.pause);
        let now = is_due && !acks.leaving;
        if !now && !std::mem::replace(&mut acks.asks_later, true) {
            self.ask_later(ctx);
        }
        now
    }

    fn ask_later(&mut self, ctx: &mut Context<Session>) {
        let pause = self.realm.site.settings.acks.pause.max(LEAVING);
        ctx.run_later(pause, |session, ctx| {
            let Some(acks) = session.acks.as_mut() else {
                return;
            };
            acks.asks_later = false;
            if !acks.open && acks.sent.unacked() > 0 && session.stream.is_some() {
                session.ask(ctx);
            }
        });
    }

    /// Asks the client what it has.
    pub(super) fn ask(&mut self, ctx: &mut Context<Session>) {
        self.await_answer(ctx);
        self.to_stream(ToStream::Write {
            bytes: Bytes::new(),
            ask: true,
        });
    }

    /// Notes that an `<r/>` is sent now; a client that does not answer in time is gone.
    fn await_answer(&mut self, ctx: &mut Context<Session>) {
        let Some(acks) = self.acks.as_mut() else {
            return;
        };
        acks.asked = Some(Instant::now());
        acks.open = true;
        if !std::mem::replace(&mut acks.watched, true) {
            self.watch(ctx);
        }
    }

    fn watch(&mut self, ctx: &mut Context<Session>) {
        let patience = self.realm.site.settings.acks.timeout;
        ctx.run_later(patience, move |session, ctx| {
            let Some(acks) = session.acks.as_mut() else {
                return;
            };
            match acks.asked.filter(|_| acks.open) {
                None => acks.watched = false,
                Some(since) if since.elapsed() >= patience => {
                    acks.watched = false;
                    let error = StreamError::new(StreamCondition::ConnectionTimeout);
                    session.time_out(error.with_text("no acknowledgement came"), ctx);
                }
                Some(_) => session.watch(ctx),
            }
        });
    }

    /// A client comes back on this stream and has `h` (XEP-0198 §5). What it sent before must be
    /// settled first: it sends again what it is not told of.
    pub(super) fn resume(&mut self, stream: Addr<Stream>, h: u32, ctx: &mut Context<Session>) {
        let old = self.stream.take();
        self.line = self.line.wrapping_add(1);
        let Some(acks) = self.acks.as_mut() else {
            return;
        };
        // One that came a moment ago has lost.
        let coming = acks.resumption.as_mut().and_then(|it| it.coming.take());
        for loser in old.into_iter().chain(coming) {
            let conflict = StreamError::new(StreamCondition::Conflict);
            loser.do_send(ToStream::Close(
                conflict.with_text("resumed on another connection"),
            ));
        }
        acks.pause();
        if let Ok(count) = acks.sent.acknowledge(h) {
            acks.queue.drain(..acks.queue.len().min(count as usize));
        }
        if let Some(resumption) = acks.resumption.as_mut() {
            resumption.coming = Some(stream);
        }
        self.go_on(ctx);
    }

    /// The stream goes on with the session.
    fn take_over(&mut self, ctx: &mut Context<Session>) {
        let handled = self.owner.durable();
        let Some(acks) = self.acks.as_mut() else {
            return;
        };
        let handled = acks.on_wire(handled);
        let Some(resumption) = acks.resumption.as_mut() else {
            return;
        };
        let Some(stream) = resumption.coming.take() else {
            return;
        };
        debug_assert_ne!(self.line, FIRST_LINE);
        let owner = std::sync::Arc::clone(&self.owner);
        let bound = Bound::new(self.jid.clone(), self.line, ctx.address(), owner);
        let resumed = Resumed {
            bound: Box::new(bound),
            previd: resumption.previd.clone(),
            handled,
        };
        stream.do_send(ToStream::Resumed(Ok(Box::new(resumed))));
        for bytes in acks.queue.iter().cloned() {
            stream.do_send(ToStream::Write { bytes, ask: false });
        }
        let ask = !acks.queue.is_empty();
        self.stream = Some(stream);
        if ask {
            self.ask(ctx);
        }
    }
}

/// How a token is written.
pub(crate) fn previd(token: &[u8; 16]) -> SmolStr {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or('0');
    let digits = token
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]);
    digits.collect()
}
