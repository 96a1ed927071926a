//! The marks of one account, in order, with what they come to.

use std::collections::BTreeMap;

use crate::kept::{MessageId, Place};

/// The mark of a message that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Where the message lies.
    pub place: Place,
    /// Its bytes.
    pub size: u32,
    /// From somebody who was no contact.
    pub stranger: bool,
}

/// All marks.
#[derive(Default, Debug)]
pub struct Queue {
    marks: BTreeMap<MessageId, Mark>,
    all: Load,
    strangers: Load,
}

/// What some messages come to.
#[derive(Default, Clone, Copy, Debug, PartialEq)]
struct Load {
    messages: usize,
    bytes: u64,
}

impl Queue {
    /// Adds a mark; a message has one at most.
    pub fn insert(&mut self, id: MessageId, mark: Mark) {
        if self.marks.contains_key(&id) {
            return;
        }
        self.marks.insert(id, mark);
        self.all.add(&mark);
        if mark.stranger {
            self.strangers.add(&mark);
        }
    }

    /// Takes a mark away.
    pub fn remove(&mut self, id: MessageId) -> Option<Mark> {
        let mark = self.marks.remove(&id)?;
        self.all.subtract(&mark);
        if mark.stranger {
            self.strangers.subtract(&mark);
        }
        Some(mark)
    }

    /// Whether there is room for one more. Strangers may fill half (attacks that flood an account
    /// leave room for its contacts).
    pub fn admits(&self, mark: &Mark, messages: usize, bytes: u64) -> bool {
        let fits = |load: &Load, part: usize| {
            let after = load.bytes + u64::from(mark.size);
            load.messages < messages / part && after <= bytes / part as u64
        };
        fits(&self.all, 1) && (!mark.stranger || fits(&self.strangers, 2))
    }

    /// Whether the message is marked.
    pub fn contains(&self, id: MessageId) -> bool {
        self.marks.contains_key(&id)
    }

    /// Those that lie in the archive.
    pub fn in_archive(&self) -> Vec<MessageId> {
        let marks = self.marks.iter();
        let marks = marks.filter(|(_, mark)| mark.place == Place::Archive);
        marks.map(|(id, _)| *id).collect()
    }

    /// The oldest one.
    pub fn first(&self) -> Option<MessageId> {
        self.marks.keys().next().copied()
    }

    /// The oldest ones: at least one, at most `messages`, and no more once over `bytes`.
    pub fn batch(&self, messages: usize, bytes: u64) -> Vec<(MessageId, Mark)> {
        let mut sum = 0;
        let oldest = self.marks.iter().take(messages).take_while(|(_, mark)| {
            let fits = sum <= bytes;
            sum += u64::from(mark.size);
            fits
        });
        oldest.map(|(id, mark)| (*id, *mark)).collect()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }
}

impl Load {
    fn add(&mut self, mark: &Mark) {
        self.messages += 1;
        self.bytes += u64::from(mark.size);
    }

    fn subtract(&mut self, mark: &Mark) {
        self.messages -= 1;
        self.bytes -= u64::from(mark.size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(size: u32, stranger: bool) -> Mark {
        Mark {
            place: Place::Archive,
            size,
            stranger,
        }
    }

    fn filled(count: u64, with: Mark) -> Queue {
        let mut queue = Queue::default();
        (1..=count).for_each(|stamp| queue.insert(MessageId::new(stamp), with));
        queue
    }

    #[test]
    fn strangers_fill_half_and_contacts_all() {
        let queue = filled(4, mark(1, true));
        assert!(queue.admits(&mark(1, true), 10, 100));
        let queue = filled(5, mark(1, true));
        assert!(!queue.admits(&mark(1, true), 10, 100));
        assert!(queue.admits(&mark(1, false), 10, 100));
        let queue = filled(10, mark(1, false));
        assert!(!queue.admits(&mark(1, false), 10, 100));
    }

    #[test]
    fn bytes_are_bounded_at_the_limit_and_one_past() {
        let queue = filled(1, mark(40, true));
        assert!(queue.admits(&mark(10, true), 10, 100));
        assert!(!queue.admits(&mark(11, true), 10, 100));
        assert!(queue.admits(&mark(60, false), 10, 100));
        assert!(!queue.admits(&mark(61, false), 10, 100));
    }

    #[test]
    fn what_goes_makes_room() {
        let mut queue = filled(10, mark(1, true));
        let first = queue.first().unwrap();
        assert_eq!(queue.remove(first), Some(mark(1, true)));
        assert_eq!(queue.remove(first), None);
        assert_eq!((queue.all.messages, queue.strangers.bytes), (9, 9));
        let second = queue.first().unwrap();
        queue.insert(second, mark(7, false));
        assert_eq!(
            queue.all,
            Load {
                messages: 9,
                bytes: 9
            },
            "a second mark counts for nothing"
        );
    }

    #[test]
    fn a_batch_is_the_oldest_within_both_bounds() {
        let queue = filled(5, mark(10, false));
        let stamps = |batch: Vec<(MessageId, Mark)>| batch.len();
        assert_eq!(stamps(queue.batch(3, 1_000)), 3);
        assert_eq!(stamps(queue.batch(5, 15)), 2);
        assert_eq!(stamps(queue.batch(5, 0)), 1, "one at least");
        assert_eq!(queue.batch(1, 1)[0].0, queue.first().unwrap());
    }
}
