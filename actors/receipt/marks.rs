//! The marks that handled stanzas leave on the disk, so that the count of a session (XEP-0198 `h`)
//! survives a crash.
//!
//! A stanza that must last takes its mark along in the very frame that takes care of it: its
//! number, and up to where all before it was settled when the mark was made. From the marks the
//! count is found again, and which stanzas beyond a gap were handled all the same. Where the marks
//! do not reach the count that is about to be told, because the last stanzas need not last, the
//! session writes the count itself.
//!
//! A mark that lies below the settled count says nothing that later ones do not: its row is used
//! again. So a session has as many rows as it ever had stanzas at the disk at once.

use std::collections::BTreeSet;

use rookery_storage::record::{Record, decode, encode};
use serde::{Deserialize, Serialize};

use crate::effect::Row;
use crate::keys::{Part, SessionKey};

/// The row of a mark.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    /// The number of a stanza that is handled.
    pub number: u32,
    /// Everything up to this number is handled, too.
    pub upto: u32,
}

impl Record for Mark {
    const VERSION: u8 = 1;
}

/// The marks of one session that runs. Its counts are those of the ledger; on the wire and on the
/// disk they are shifted.
pub struct Marks {
    session: SessionKey,
    /// What came before stream management was enabled, or before the server started, is not
    /// marked.
    since: u32,
    /// Added to a count it gives the one on the wire.
    shift: u32,
    durable: u32,
    /// Rows in use, and the count each stands for.
    slots: Vec<(u8, u32)>,
}

impl Marks {
    /// For a session of which `admitted` stanzas came before; `handled` is the count on the wire
    /// now.
    pub fn new(session: SessionKey, admitted: u32, handled: u32) -> Marks {
        Marks {
            session,
            since: admitted,
            shift: handled.wrapping_sub(admitted),
            durable: admitted,
            slots: Vec::new(),
        }
    }

    /// The count that would be found after a crash.
    pub fn durable(&self) -> u32 {
        self.durable
    }

    /// A count as the wire has it. Stanzas of before stream management that are still open: none
    /// of those after them counts yet.
    pub fn on_wire(&self, count: u32) -> u32 {
        let counted = match is_later(self.since, count) {
            true => self.since,
            false => count,
        };
        counted.wrapping_add(self.shift)
    }

    /// The disk says so much.
    pub fn written(&mut self, count: u32) {
        if is_later(count, self.durable) {
            self.durable = count;
        }
    }

    /// Rows of earlier marks, and their numbers on the wire: not to be used before all up to those
    /// is settled.
    pub fn spare(&mut self, marks: &[(u8, u32)]) {
        let counts = marks
            .iter()
            .map(|(slot, number)| (*slot, number.wrapping_sub(self.shift)));
        self.slots.extend(counts);
    }

    /// The stanza that makes `count` complete is settled, with a mark that says that all `upto`
    /// was.
    pub fn passed(&mut self, count: u32, upto: u32) {
        self.written(upto);
        if self.durable == count.wrapping_sub(1) {
            self.written(count);
        }
    }

    /// The mark of the stanza of this count, while all up to `settled` is settled.
    pub fn mark(&mut self, count: u32, settled: u32) -> Option<Row> {
        if !is_later(count, self.since) {
            return None;
        }
        self.slots.retain(|(_, used)| is_later(*used, settled));
        let is_free = |slot: &u8| !self.slots.iter().any(|(used, _)| used == slot);
        let slot = (0..=u8::MAX).find(is_free)?;
        let mark = Mark {
            number: count.wrapping_add(self.shift),
            upto: self.on_wire(settled),
        };
        let row = encode(&mark).ok()?;
        self.slots.push((slot, count));
        Some((self.session.row(Part::Mark, &[slot]), row))
    }
}

/// What the disk says of a session that is to be resumed.
#[derive(Default, Clone, PartialEq, Eq, Debug)]
pub struct Handled {
    /// How many were handled, without a gap (XEP-0198 `h`).
    pub count: u32,
    /// Numbers beyond the gap that were handled as well: they are sent again, and not taken twice.
    pub beyond: BTreeSet<u32>,
    /// The rows that say so: slot and number.
    pub slots: Vec<(u8, u32)>,
}

impl Handled {
    /// From the count that was written last, and the marks.
    pub fn found(count: u32, mut marks: Vec<(u8, Mark)>) -> Handled {
        marks.retain(|(_, mark)| is_later(mark.number, count));
        marks.sort_by_key(|(_, mark)| mark.number.wrapping_sub(count));
        let mut found = Handled {
            count,
            ..Handled::default()
        };
        // All of them first: what one says of another's predecessors it may have said in its row.
        for (_, mark) in &marks {
            if is_later(mark.upto, found.count) {
                found.count = mark.upto;
            }
        }
        for (_, mark) in &marks {
            if mark.number == found.count.wrapping_add(1) {
                found.count = mark.number;
            }
        }
        let rest = marks.iter().map(|(slot, mark)| (*slot, mark.number));
        let count = found.count;
        found.slots = rest
            .filter(|(_, number)| is_later(*number, count))
            .collect();
        found.beyond = found.slots.iter().map(|(_, number)| *number).collect();
        #[cfg(feature = "seeded-bugs")]
        if rookery_storage::seeded_bugs::is_on("forget-beyond") {
            found.beyond.clear();
        }
        found
    }

    /// Reads a mark's row.
    pub fn read(value: &[u8]) -> Option<Mark> {
        decode(value).ok()
    }
}

/// Whether `count` comes after `other`, modulo 2^32 (XEP-0198 §4).
pub fn is_later(count: u32, other: u32) -> bool {
    count.wrapping_sub(other) as i32 > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::AccountId;

    fn mark(number: u32, upto: u32) -> Mark {
        Mark { number, upto }
    }

    fn marks(admitted: u32, handled: u32) -> Marks {
        Marks::new(SessionKey::new(AccountId(1), 7), admitted, handled)
    }

    fn read(row: Option<Row>) -> (u8, Mark) {
        let (key, value) = row.expect("a mark");
        let slot = *key.last().expect("a slot");
        (slot, Handled::read(&value).expect("readable"))
    }

    #[test]
    fn one_after_the_other_they_share_a_row_and_reach_the_count() {
        let mut marks = marks(0, 0);
        for count in 1..100 {
            let (slot, mark) = read(marks.mark(count, count - 1));
            assert_eq!((slot, mark.number, mark.upto), (0, count, count - 1));
            marks.passed(count, count - 1);
            assert_eq!(marks.durable(), count);
        }
    }

    #[test]
    fn what_need_not_last_leaves_a_gap_until_the_next_mark() {
        let mut marks = marks(0, 0);
        marks.passed(1, 0);
        // 2 and 3 have no mark.
        assert_eq!(marks.durable(), 1);
        marks.passed(4, 3);
        assert_eq!(marks.durable(), 4);
        // 5 has none and was not settled when 6 got its mark.
        marks.passed(6, 4);
        assert_eq!(marks.durable(), 4);
        marks.written(6);
        assert_eq!(marks.durable(), 6);
        marks.written(5);
        assert_eq!(marks.durable(), 6);
    }

    #[test]
    fn rows_in_use_are_not_overwritten() {
        let mut marks = marks(0, 0);
        let slots: Vec<u8> = (1..=3).map(|n| read(marks.mark(n, 0)).0).collect();
        assert_eq!(slots, [0, 1, 2]);
        // 1 and 2 are settled: their rows say nothing that 3's does not.
        assert_eq!(read(marks.mark(4, 2)).0, 0);
        let more = (5..400).filter(|n| marks.mark(*n, 2).is_some()).count();
        assert_eq!(more, 254, "as many as there are rows");
    }

    #[test]
    fn marks_beyond_a_gap_are_spared_until_it_is_closed() {
        let mut marks = marks(0, 4);
        marks.spare(&[(0, 6), (1, 9)]);
        assert_eq!(read(marks.mark(1, 0)), (2, mark(5, 4)));
        // 5 and 6 are settled: only 9 is told by nothing else.
        assert_eq!(read(marks.mark(3, 2)), (0, mark(7, 6)));
        assert_eq!(read(marks.mark(6, 5)), (0, mark(10, 9)));
    }

    #[test]
    fn what_came_before_does_not_count() {
        let mut marks = marks(10, 0);
        assert!(marks.mark(10, 3).is_none());
        assert_eq!(read(marks.mark(11, 3)).1, mark(1, 0));
        let mut resumed = Marks::new(SessionKey::new(AccountId(1), 7), 0, 41);
        assert_eq!(read(resumed.mark(1, 0)).1, mark(42, 41));
    }

    #[test]
    fn the_count_is_found_again() {
        let found =
            |count, marks: &[Mark]| Handled::found(count, (0..).zip(marks.to_vec()).collect());
        assert_eq!(found(5, &[]).count, 5);
        assert_eq!(found(0, &[mark(2, 1), mark(1, 0)]).count, 2);
        let gap = found(3, &[mark(2, 1), mark(9, 4), mark(6, 3)]);
        assert_eq!((gap.count, gap.beyond), (4, BTreeSet::from([6, 9])));
        // The mark of 4 was written over by that of 6.
        assert_eq!(found(0, &[mark(5, 3), mark(6, 4)]).count, 6);
        // Round the corner (XEP-0198 §4).
        let wrapped = found(u32::MAX, &[mark(1, 0), mark(3, 1)]);
        assert_eq!((wrapped.count, wrapped.beyond), (1, BTreeSet::from([3])));
    }
}
