//! The receipt of a stanza: who let it in, and whether somebody took final care of it.
//!
//! A receipt travels with its stanza and is settled by the one actor that takes final care of it:
//! after the disk for what must last, after routing for the rest. Dropped unsettled (a panic, a
//! dead mailbox, a bug) it reports *lost*, and the sender gets an error. So it is at once the
//! XEP-0198 `h`, the durability promise, the loss report and the back-pressure.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use parking_lot::Mutex;
use rookery_protocol::error::Condition;
use rookery_protocol::jid::Jid;
use rookery_protocol::stanza::{IqType, Kind, Stanza};
use smol_str::SmolStr;

mod marks;

use crate::abroad::Voyage;
use crate::effect::Row;
use crate::keys::SessionKey;
use marks::Marks;
pub use marks::{Handled, Mark, is_later};

/// How much may be unsettled; at either bound the stream is not read until some settle.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub stanzas: u32,
    pub bytes: usize,
}

/// What an error to the sender needs to know of a lost stanza.
#[derive(Clone, Debug)]
pub struct Head {
    pub kind: Kind,
    pub id: Option<SmolStr>,
    pub to: Option<Jid>,
    /// Of a stanza that came from elsewhere; whose it is otherwise the owner knows.
    pub from: Option<Box<Jid>>,
}

impl Head {
    /// The head of `stanza`, of the owner's own.
    pub fn of(stanza: &Stanza) -> Head {
        Head {
            kind: stanza.kind,
            id: stanza.id.clone(),
            to: stanza.to.clone(),
            from: None,
        }
    }

    /// The head of a stanza of another server's.
    pub fn from_elsewhere(stanza: &Stanza) -> Head {
        Head {
            from: stanza.from.clone().map(Box::new),
            ..Head::of(stanza)
        }
    }

    /// A stanza without content that has this head: what an error reply is made of.
    pub fn to_stanza(&self) -> Stanza {
        let mut stanza = match self.kind {
            Kind::Message(kind) => Stanza::message(kind),
            Kind::Presence(kind) => Stanza::presence(kind),
            Kind::Iq(kind) => Stanza::iq(kind, ""),
        };
        stanza.id = self.id.clone();
        stanza.to = self.to.clone();
        stanza.from = self.from.as_deref().cloned();
        stanza
    }
}

/// What the owner of receipts is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The settled prefix grew while the owner watched it.
    Settled,
    /// Something was lost: see [`Owner::take_lost`].
    Lost,
    /// So much has settled that reading may go on.
    Resume,
}

/// One per session (or s2s stream): the ledger of what it let in.
pub struct Owner {
    ledger: Mutex<Ledger>,
    open_stanzas: AtomicU32,
    open_bytes: AtomicUsize,
    paused: AtomicBool,
    bounds: Bounds,
    notify: Box<dyn Fn(Notice) + Send + Sync>,
}

#[derive(Default)]
struct Ledger {
    /// The number of the first entry in `open`; everything before it is settled.
    base: u32,
    open: VecDeque<Entry>,
    lost: Vec<(Head, Condition)>,
    watched: bool,
    /// Nobody is told of losses any more.
    left: bool,
    /// Of a session that can be resumed.
    marks: Option<Box<Marks>>,
}

struct Entry {
    settled: bool,
    /// A mark on the disk says that it is handled, and so is everything up to this count.
    marked: Option<u32>,
    size: usize,
    head: Head,
}

impl Owner {
    /// A ledger that reports to `notify`, which must not block.
    pub fn new(bounds: Bounds, notify: impl Fn(Notice) + Send + Sync + 'static) -> Arc<Owner> {
        Arc::new(Owner {
            ledger: Mutex::default(),
            open_stanzas: AtomicU32::new(0),
            open_bytes: AtomicUsize::new(0),
            paused: AtomicBool::new(false),
            bounds,
            notify: Box::new(notify),
        })
    }

    /// A stanza was read: it takes room until it is settled. `false`: stop reading until
    /// [`Notice::Resume`].
    pub fn admit(&self, size: usize) -> bool {
        self.open_stanzas.fetch_add(1, Ordering::AcqRel);
        self.open_bytes.fetch_add(size, Ordering::AcqRel);
        if self.within(self.bounds) {
            return true;
        }
        self.paused.store(true, Ordering::SeqCst);
        // What settled between the look and the mark has told nobody: look again.
        self.within(self.bounds) && self.paused.swap(false, Ordering::SeqCst)
    }

    /// A stanza of so many bytes goes to nobody: it is handled as soon as `reply` answers it.
    /// Answers as [`Owner::admit`] does.
    pub fn pass_by(self: &Arc<Owner>, reply: Option<&Stanza>, size: usize) -> bool {
        let go_on = self.admit(size);
        // It is settled, so nobody will need its head.
        let head = Head::of(reply.unwrap_or(&Stanza::iq(IqType::Result, "")));
        self.receipt(head, size).settle();
        go_on
    }

    /// Makes the receipt of the next stanza, which was [`Owner::admit`]ted with `size`.
    pub fn receipt(self: &Arc<Owner>, head: Head, size: usize) -> Receipt {
        let mut ledger = self.ledger.lock();
        ledger.open.push_back(Entry {
            settled: false,
            marked: None,
            size,
            head,
        });
        let number = ledger.base.wrapping_add(ledger.open.len() as u32 - 1);
        Receipt {
            owner: Some(Arc::clone(self)),
            number,
            voyage: None,
        }
    }

    /// How many stanzas from the first are settled without a gap: XEP-0198's `h` counted from zero
    /// (modulo 2^32).
    pub fn settled(&self) -> u32 {
        #[cfg(feature = "seeded-bugs")]
        if rookery_storage::seeded_bugs::is_on("ack-what-came") {
            return self.admitted();
        }
        self.ledger.lock().base
    }

    /// From now on what is handled is marked on the disk, under the keys of this session: what came
    /// after `since`, for which the wire has the count `handled`.
    pub fn mark_for(&self, session: SessionKey, since: u32, handled: u32) {
        self.ledger.lock().marks = Some(Box::new(Marks::new(session, since, handled)));
    }

    /// The session is over: nothing is marked any more.
    pub fn forget_marks(&self) {
        self.ledger.lock().marks = None;
    }

    /// These marks of before the server started again say what no other does, until all before them
    /// is settled.
    pub fn spare_marks(&self, marks: &[(u8, u32)]) {
        if let Some(own) = &mut self.ledger.lock().marks {
            own.spare(marks);
        }
    }

    /// How many stanzas from the first are settled without a gap as the disk knows, where that
    /// matters: the count that would be found after a crash. Else like [`Owner::settled`].
    pub fn durable(&self) -> u32 {
        #[cfg(feature = "seeded-bugs")]
        if rookery_storage::seeded_bugs::is_on("ack-what-came") {
            return self.admitted();
        }
        let ledger = self.ledger.lock();
        ledger
            .marks
            .as_ref()
            .map_or(ledger.base, |marks| marks.durable())
    }

    /// How many are settled without a gap, as the wire counts them; `None` where nobody could ask
    /// when the session is over.
    pub fn handled(&self) -> Option<u32> {
        let ledger = self.ledger.lock();
        let marks = ledger.marks.as_ref()?;
        Some(marks.on_wire(ledger.base))
    }

    /// The disk says that everything up to this count is settled.
    pub fn written(&self, count: u32) {
        if let Some(marks) = &mut self.ledger.lock().marks {
            marks.written(count);
        }
    }

    /// A stanza that was [`Owner::admit`]ted is not looked at: its stream is not the session's any
    /// more.
    pub fn dismiss(&self, size: usize) {
        self.freed(size);
    }

    /// How many stanzas were let in.
    pub fn admitted(&self) -> u32 {
        let ledger = self.ledger.lock();
        ledger.base.wrapping_add(ledger.open.len() as u32)
    }

    /// Asks for one [`Notice::Settled`] when the settled prefix grows; `false` when nothing is
    /// open.
    pub fn watch(&self) -> bool {
        let mut ledger = self.ledger.lock();
        ledger.watched = !ledger.open.is_empty();
        ledger.watched
    }

    /// The session ends to be resumed. What is lost from now on was not handled: nobody is there to
    /// be told, and its client sends it again.
    pub fn leave(&self) {
        self.ledger.lock().left = true;
    }

    /// Nothing is let in for a while: the ledger takes no more room than what is open.
    pub fn rest(&self) {
        self.ledger.lock().open.shrink_to_fit();
    }

    /// What was lost since the last call, and why.
    pub fn take_lost(&self) -> Vec<(Head, Condition)> {
        std::mem::take(&mut self.ledger.lock().lost)
    }

    /// What a stanza that was too large to be kept counts for: its size, but never so much that
    /// nothing could be read behind it.
    pub fn size_of_skipped(&self, bytes: usize) -> usize {
        bytes.min(self.bounds.bytes / 2)
    }

    fn mark(&self, number: u32) -> Option<Row> {
        let mut ledger = self.ledger.lock();
        let ledger = &mut *ledger;
        let index = number.wrapping_sub(ledger.base) as usize;
        let entry = ledger.open.get_mut(index)?;
        let row = ledger
            .marks
            .as_mut()?
            .mark(number.wrapping_add(1), ledger.base)?;
        entry.marked = Some(ledger.base);
        Some(row)
    }

    fn within(&self, bounds: Bounds) -> bool {
        self.open_stanzas.load(Ordering::SeqCst) < bounds.stanzas
            && self.open_bytes.load(Ordering::SeqCst) < bounds.bytes
    }

    fn close(&self, number: u32, lost: Option<Condition>) {
        let mut freed = None;
        let mut grew = false;
        let mut guard = self.ledger.lock();
        let ledger = &mut *guard;
        if ledger.left && lost.is_some() {
            return;
        }
        let index = number.wrapping_sub(ledger.base) as usize;
        if let Some(entry) = ledger.open.get_mut(index).filter(|entry| !entry.settled) {
            entry.settled = true;
            freed = Some(entry.size);
            if let Some(condition) = lost {
                // The frame with its mark was refused.
                entry.marked = None;
                let head = entry.head.clone();
                ledger.lost.push((head, condition));
            }
            while ledger.open.front().is_some_and(|entry| entry.settled)
                && let Some(entry) = ledger.open.pop_front()
            {
                ledger.base = ledger.base.wrapping_add(1);
                grew = true;
                if let (Some(marks), Some(upto)) = (&mut ledger.marks, entry.marked) {
                    marks.passed(ledger.base, upto);
                }
            }
            if ledger.open.is_empty() {
                ledger.open.shrink_to(4);
            }
        }
        let tell = grew && std::mem::take(&mut ledger.watched);
        ledger.watched &= !tell;
        drop(guard);
        let Some(size) = freed else { return };
        if lost.is_some() {
            (self.notify)(Notice::Lost);
        }
        if tell {
            (self.notify)(Notice::Settled);
        }
        self.freed(size);
    }

    /// One stanza of this size takes no room any more.
    fn freed(&self, size: usize) {
        self.open_stanzas.fetch_sub(1, Ordering::SeqCst);
        self.open_bytes.fetch_sub(size, Ordering::SeqCst);
        // Half of it, rounded up: a bound of one must open again.
        let half = Bounds {
            stanzas: self.bounds.stanzas.div_ceil(2),
            bytes: self.bounds.bytes.div_ceil(2),
        };
        if self.within(half) && self.paused.swap(false, Ordering::SeqCst) {
            (self.notify)(Notice::Resume);
        }
    }
}

/// The receipt of one stanza, or explicitly of none.
#[must_use = "a receipt that is dropped says that its stanza was lost"]
pub struct Receipt {
    owner: Option<Arc<Owner>>,
    number: u32,
    /// Rows of the sender's Hub are with the stanza: it hears when the receipt goes.
    voyage: Option<Arc<Voyage>>,
}

impl Receipt {
    /// For stanzas of the server's own making that need not last.
    pub const fn none() -> Receipt {
        Receipt {
            owner: None,
            number: 0,
            voyage: None,
        }
    }

    /// Whether somebody waits for this receipt.
    pub fn is_some(&self) -> bool {
        self.owner.is_some()
    }

    /// The row that goes into the frame which takes care of the stanza, so that a session that is
    /// resumed after a crash knows that it was handled. `None` where nobody could ask.
    pub fn mark(&self) -> Option<Row> {
        self.owner.as_ref()?.mark(self.number)
    }

    /// The stanza takes rows along, which are on disk or lost when its receipt goes.
    pub fn travels(&mut self, voyage: Arc<Voyage>) {
        self.voyage = Some(voyage);
    }

    /// Final care was taken of the stanza.
    pub fn settle(mut self) {
        if let Some(owner) = self.owner.take() {
            owner.close(self.number, None);
        }
    }

    /// The stanza was not taken: its sender gets an error of this condition.
    pub fn refuse(mut self, condition: Condition) {
        if let Some(owner) = self.owner.take() {
            owner.close(self.number, Some(condition));
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if let Some(owner) = self.owner.take() {
            owner.close(self.number, Some(Condition::InternalServerError));
        }
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.owner {
            Some(_) => write!(f, "Receipt({})", self.number),
            None => f.write_str("Receipt(none)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::AccountId;
    use rookery_protocol::stanza::MessageType;

    const BOUNDS: Bounds = Bounds {
        stanzas: 64,
        bytes: 1024 * 1024,
    };

    fn owner() -> (Arc<Owner>, Arc<Mutex<Vec<Notice>>>) {
        let notices = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&notices);
        (
            Owner::new(BOUNDS, move |notice| heard.lock().push(notice)),
            notices,
        )
    }

    fn let_in(owner: &Arc<Owner>, size: usize) -> (Receipt, bool) {
        let go_on = owner.admit(size);
        let head = Head {
            kind: Kind::Message(MessageType::Chat),
            id: None,
            to: None,
            from: None,
        };
        (owner.receipt(head, size), go_on)
    }

    #[test]
    fn the_count_is_the_prefix_without_a_gap() {
        let (owner, notices) = owner();
        let (first, _) = let_in(&owner, 1);
        let (second, _) = let_in(&owner, 1);
        assert!(owner.watch());
        second.settle();
        assert_eq!((owner.settled(), owner.admitted()), (0, 2));
        first.settle();
        assert_eq!(owner.settled(), 2);
        assert_eq!(*notices.lock(), [Notice::Settled]);
        assert!(!owner.watch());
    }

    #[test]
    fn a_dropped_receipt_is_a_reported_loss_and_leaves_no_gap() {
        let (owner, notices) = owner();
        let (receipt, _) = let_in(&owner, 1);
        drop(receipt);
        assert_eq!(owner.take_lost().len(), 1);
        assert_eq!(owner.settled(), 1);
        assert_eq!(*notices.lock(), [Notice::Lost]);
    }

    /// A server that stops drops what its lanes still have; the marks of other lanes must not say
    /// that it was handled.
    #[test]
    fn what_is_lost_when_the_session_has_left_is_a_gap() {
        let (owner, notices) = owner();
        owner.mark_for(SessionKey::new(AccountId(1), 2), 0, 0);
        let ((first, _), (second, _)) = (let_in(&owner, 1), let_in(&owner, 1));
        owner.leave();
        drop(first);
        assert_eq!(owner.settled(), 0);
        assert!(notices.lock().is_empty() && owner.take_lost().is_empty());
        let (_, mark) = second.mark().expect("a mark");
        let mark: Mark = rookery_storage::record::decode(&mark).expect("a mark");
        assert_eq!((mark.number, mark.upto), (2, 0));
        second.settle();
        assert_eq!(owner.settled(), 0);
    }

    #[test]
    fn reading_stops_at_the_bound_and_goes_on_at_half_of_it() {
        let (owner, notices) = owner();
        let mut receipts = Vec::new();
        for n in 1..=BOUNDS.stanzas {
            let (receipt, go_on) = let_in(&owner, 1);
            assert_eq!(go_on, n < BOUNDS.stanzas);
            receipts.push(receipt);
        }
        for receipt in receipts.drain(..BOUNDS.stanzas as usize / 2) {
            receipt.settle();
        }
        assert!(notices.lock().is_empty());
        receipts.pop().expect("half are left").settle();
        assert_eq!(*notices.lock(), [Notice::Resume]);
        receipts.drain(..).for_each(Receipt::settle);
    }

    #[test]
    fn a_single_large_stanza_stops_reading_too() {
        let (owner, notices) = owner();
        let (receipt, go_on) = let_in(&owner, BOUNDS.bytes);
        assert!(!go_on);
        receipt.settle();
        assert_eq!(*notices.lock(), [Notice::Resume]);
    }
}
