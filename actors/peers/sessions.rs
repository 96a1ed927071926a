//! Sessions of other servers' streams, so that these can be resumed (XEP-0198 §5): what of theirs
//! was handled is remembered for a while, also over a restart, and nothing of it comes twice.
//!
//! All that there is of such a session is its ledger and, on the disk, its count with the marks of
//! what was handled since: the rows of a client's session without the rest. A stream holds its
//! session by a [`Tenure`]; when that goes, another one may have it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use parking_lot::Mutex;
use rookery_protocol::error::{StreamCondition, StreamError};
use rookery_storage::record::{self, Record};
use rookery_storage::{Direction, Frame, Store, StoreError, Tree};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use tokio::sync::oneshot;

use crate::effect::Row;
use crate::hub::remembered::Count;
use crate::keeper::{Keeper, Tell};
use crate::keys::{self, PEERS, Part, SessionKey};
use crate::messages::ToStream;
use crate::receipt::{Handled, Mark, Owner, Receipt, is_later};
use crate::site::random;
use crate::stream::Stream;

/// How often old ones are looked for.
const SWEEP: Duration = Duration::from_secs(15);

/// The row of a session.
#[derive(Serialize, Deserialize)]
struct SessionRow {
    id: String,
    peer: String,
}

impl Record for SessionRow {
    const VERSION: u8 = 1;
}

/// How many sessions are remembered, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// In all; over it the oldest goes.
    pub sessions: usize,
    /// Of one domain.
    pub per_domain: usize,
    /// For how long one can be resumed.
    pub resume: Duration,
    /// For how long after that its peer is still told what of it was handled.
    pub told: Duration,
}

/// A session of another server.
pub struct PeerSession {
    /// The ledger of what it sent.
    pub owner: Arc<Owner>,
    /// Who hears of the ledger.
    pub hearer: Hearer,
    key: SessionKey,
    /// Stanzas that were let in before it began: they do not count.
    since: u32,
    /// Added to a count of the ledger it gives the one on the wire.
    shift: u32,
    /// Handled before the server started again, beyond a gap: not to be taken twice.
    beyond: Mutex<BTreeSet<u32>>,
}

/// Which stream hears of a ledger.
pub type Hearer = Arc<Mutex<Addr<Stream>>>;

/// A stream's hold on its session; dropped, it lets go of it.
pub struct Tenure(
    #[expect(dead_code, reason = "its end is what is waited for")] oneshot::Sender<()>,
);

/// What became of a wish to resume.
pub enum Found {
    /// Nobody knows of such a session.
    Nothing,
    /// It is over; so much of it was handled.
    Over(u32),
    /// It goes on, once the stream that had it before has let go.
    Session {
        session: Arc<PeerSession>,
        before: Option<oneshot::Receiver<()>>,
        tenure: Tenure,
    },
}

/// All of them.
pub struct PeerSessions {
    known: Mutex<Known>,
    bounds: Bounds,
}

#[derive(Default)]
struct Known {
    by_id: HashMap<SmolStr, Entry>,
    /// Counts all that ever were: the lower a number the older a session.
    births: u64,
    swept: Option<Instant>,
}

struct Entry {
    peer: SmolStr,
    key: SessionKey,
    born: u64,
    life: Life,
    /// Since when it is known that no stream has it.
    alone: Option<Instant>,
}

enum Life {
    /// The server started again: what the disk says.
    Earlier(Handled),
    Present {
        session: Arc<PeerSession>,
        stream: Addr<Stream>,
        /// Ends when the stream has let go.
        tenure: oneshot::Receiver<()>,
    },
}

impl PeerSession {
    fn new(
        (owner, hearer): (&Arc<Owner>, &Hearer),
        key: SessionKey,
        handled: Handled,
    ) -> Arc<PeerSession> {
        let since = owner.admitted();
        owner.mark_for(key, since, handled.count);
        owner.spare_marks(&handled.slots);
        Arc::new(PeerSession {
            owner: Arc::clone(owner),
            hearer: Arc::clone(hearer),
            key,
            since,
            shift: handled.count.wrapping_sub(since),
            beyond: Mutex::new(handled.beyond),
        })
    }

    /// A count of the ledger as the wire has it. Stanzas of before the session that are still
    /// open: none of those after them counts yet.
    pub fn on_wire(&self, count: u32) -> u32 {
        let counted = if is_later(self.since, count) {
            self.since
        } else {
            count
        };
        counted.wrapping_add(self.shift)
    }

    /// Whether the stanza that makes the count `admitted` was handled before the server started
    /// again.
    pub fn swallows(&self, admitted: u32) -> bool {
        let mut beyond = self.beyond.lock();
        !beyond.is_empty() && beyond.remove(&admitted.wrapping_add(self.shift))
    }

    /// What says on the disk that so many of the ledger are settled.
    pub fn count(&self, settled: u32) -> Frame {
        let mut frame = Frame::new();
        if let Ok(row) = record::encode(&Count(self.on_wire(settled))) {
            frame.put(Tree::Sessions, self.key.row(Part::Handled, &[]), row);
        }
        frame
    }
}

impl PeerSessions {
    /// None yet.
    pub fn new(bounds: Bounds) -> PeerSessions {
        PeerSessions {
            known: Mutex::default(),
            bounds,
        }
    }

    /// Reads those of an earlier life of the server; what is left of others goes.
    pub fn load(&self, keeper: &Keeper) -> Result<(), StoreError> {
        let mut frame = Frame::new();
        let mut known = self.known.lock();
        for (key, rows) in rows(keeper.store())? {
            let state = rows.iter().find(|(part, ..)| *part == Part::State);
            let state = state.and_then(|(.., value)| record::decode(value).ok());
            let Some(SessionRow { id, peer }) = state else {
                frame.delete_range(Tree::Sessions, key.rows());
                continue;
            };
            known.births += 1;
            let entry = Entry {
                peer: peer.into(),
                key,
                born: known.births,
                life: Life::Earlier(handled(&rows)),
                alone: Some(Instant::now()),
            };
            known.by_id.insert(id.into(), entry);
        }
        known.keep_to(self.bounds, &mut frame);
        drop(known);
        commit(keeper, frame);
        Ok(())
    }

    /// A session of a stream of `peer` begins, behind all that the ledger let in before.
    pub fn begin(
        &self,
        keeper: &Keeper,
        (id, peer): (SmolStr, SmolStr),
        ledger: (&Arc<Owner>, &Hearer),
    ) -> (Arc<PeerSession>, Tenure) {
        self.sweep(keeper);
        let key = SessionKey::new(PEERS, u64::from_be_bytes(random()));
        let session = PeerSession::new(ledger, key, Handled::default());
        let (tenure, ends) = oneshot::channel();
        let mut frame = Frame::new();
        let row = SessionRow {
            id: id.to_string(),
            peer: peer.to_string(),
        };
        if let Ok(row) = record::encode(&row) {
            frame.put(Tree::Sessions, key.row(Part::State, &[]), row);
        }
        let mut known = self.known.lock();
        known.births += 1;
        let entry = Entry {
            peer,
            key,
            born: known.births,
            life: Life::Present {
                session: Arc::clone(&session),
                stream: ledger.1.lock().clone(),
                tenure: ends,
            },
            alone: None,
        };
        known.by_id.insert(id, entry);
        known.keep_to(self.bounds, &mut frame);
        drop(known);
        commit(keeper, frame);
        (session, Tenure(tenure))
    }

    /// A stream of `peer` wants this session; what it lets in goes into `ledger`, if there is no
    /// earlier one.
    pub fn resume(
        &self,
        keeper: &Keeper,
        (id, peer): (&str, &str),
        ledger: (&Arc<Owner>, &Hearer),
    ) -> Found {
        self.sweep(keeper);
        let stream = ledger.1.lock().clone();
        let mut known = self.known.lock();
        let now = Instant::now();
        let Some(entry) = known.by_id.get_mut(id).filter(|it| it.peer == peer) else {
            return Found::Nothing;
        };
        if entry.alone.is_some_and(|it| now - it > self.bounds.resume) {
            let handled = entry.handled();
            let mut frame = Frame::new();
            known.forget(id, &mut frame);
            drop(known);
            commit(keeper, frame);
            return Found::Over(handled);
        }
        let (mine, ends) = oneshot::channel();
        entry.alone = None;
        let (session, before) = match &mut entry.life {
            Life::Earlier(handled) => {
                let handled = std::mem::take(handled);
                let session = PeerSession::new(ledger, entry.key, handled);
                entry.life = Life::Present {
                    session: Arc::clone(&session),
                    stream,
                    tenure: ends,
                };
                (session, None)
            }
            Life::Present {
                session,
                stream: last,
                tenure,
            } => {
                let error = StreamError::new(StreamCondition::Conflict);
                let error = error.with_text("resumed on another connection");
                std::mem::replace(last, stream).do_send(ToStream::Close(error));
                (Arc::clone(session), Some(std::mem::replace(tenure, ends)))
            }
        };
        Found::Session {
            session,
            before,
            tenure: Tenure(mine),
        }
    }

    /// The peer has ended the stream of this session: it will not come back (XEP-0198 §5).
    pub fn forget(&self, keeper: &Keeper, session: &PeerSession) {
        let mut known = self.known.lock();
        let is_it = |it: &(&SmolStr, &Entry)| it.1.key == session.key;
        let id = known.by_id.iter().find(is_it).map(|(id, _)| id.clone());
        let mut frame = Frame::new();
        if let Some(id) = id {
            known.forget(&id, &mut frame);
        }
        drop(known);
        commit(keeper, frame);
    }

    /// Forgets those that nobody has come for.
    pub fn sweep(&self, keeper: &Keeper) {
        let now = Instant::now();
        let mut known = self.known.lock();
        if known
            .swept
            .is_some_and(|it| now - it < SWEEP.min(self.bounds.resume))
        {
            return;
        }
        known.swept = Some(now);
        let kept = self.bounds.resume + self.bounds.told;
        let mut old = Vec::new();
        for (id, entry) in &mut known.by_id {
            if entry.is_alone() && now - *entry.alone.get_or_insert(now) > kept {
                old.push(id.clone());
            }
        }
        let mut frame = Frame::new();
        old.iter().for_each(|id| known.forget(id, &mut frame));
        drop(known);
        commit(keeper, frame);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.known.lock().by_id.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Known {
    /// Forgets the oldest, where there are too many.
    fn keep_to(&mut self, bounds: Bounds, frame: &mut Frame) {
        let mut by_age: Vec<(u64, SmolStr, SmolStr)> = Vec::new();
        if self.by_id.len() > bounds.sessions.min(bounds.per_domain) {
            let all = self.by_id.iter();
            by_age.extend(all.map(|(id, it)| (it.born, id.clone(), it.peer.clone())));
            by_age.sort_unstable_by_key(|it| std::cmp::Reverse(it.0));
        }
        let mut domains: HashMap<SmolStr, usize> = HashMap::new();
        let mut left = 0;
        for (_, id, peer) in by_age {
            let of_domain = domains.entry(peer).or_default();
            if left >= bounds.sessions || *of_domain >= bounds.per_domain {
                self.forget(&id, frame);
            } else {
                left += 1;
                *of_domain += 1;
            }
        }
    }

    fn forget(&mut self, id: &str, frame: &mut Frame) {
        if let Some(entry) = self.by_id.remove(id) {
            if let Life::Present { session, .. } = &entry.life {
                session.owner.forget_marks();
            }
            frame.delete_range(Tree::Sessions, entry.key.rows());
        }
    }
}

impl Entry {
    /// Whether no stream has it.
    fn is_alone(&mut self) -> bool {
        use oneshot::error::TryRecvError;
        match &mut self.life {
            Life::Earlier(_) => true,
            Life::Present { tenure, .. } => tenure.try_recv() == Err(TryRecvError::Closed),
        }
    }

    fn handled(&self) -> u32 {
        match &self.life {
            Life::Earlier(handled) => handled.count,
            Life::Present { session, .. } => session.on_wire(session.owner.durable()),
        }
    }
}

/// Rows of one session: which, their slots, and what they say.
type Rows = Vec<(Part, u8, Vec<u8>)>;

/// The rows of all sessions, by session.
fn rows(store: &Store) -> Result<Vec<(SessionKey, Rows)>, StoreError> {
    let all = keys::everything(PEERS);
    let mut found: Vec<(SessionKey, Rows)> = Vec::new();
    for (row, value) in store.range(Tree::Sessions, &all, usize::MAX, Direction::Forward)? {
        let (row, value): Row = (row, value);
        let Some((key, part, rest)) = SessionKey::split(&row) else {
            continue;
        };
        if found.last().is_none_or(|last| last.0 != key) {
            found.push((key, Vec::new()));
        }
        let slot = rest.first().copied().unwrap_or_default();
        if let Some(last) = found.last_mut() {
            last.1.push((part, slot, value));
        }
    }
    Ok(found)
}

/// What the disk says of a session.
fn handled(rows: &Rows) -> Handled {
    let of = |wanted| rows.iter().filter(move |(part, ..)| *part == wanted);
    let count = of(Part::Handled).find_map(|(.., value)| record::decode(value).ok());
    let marks = of(Part::Mark);
    let marks: Vec<(u8, Mark)> = marks
        .filter_map(|(_, slot, value)| Some((*slot, Handled::read(value)?)))
        .collect();
    Handled::found(count.map_or(0, |Count(it)| it), marks)
}

fn commit(keeper: &Keeper, frame: Frame) {
    if !frame.is_empty() {
        keeper.commit(frame, Receipt::none(), Tell::Nobody);
    }
}
