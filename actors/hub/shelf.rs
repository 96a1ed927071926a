//! What is kept for a device that can take nothing for now, in the order in which it will be
//! delivered (RFC 6120 §10.1).

use std::collections::VecDeque;

use bytes::Bytes;

use crate::hub::link::Unacked;

/// The most that need not last and is kept for a shelved device, in stanzas and in bytes. Over it
/// the oldest is dropped.
const VOLATILE: usize = 256;
const VOLATILE_BYTES: usize = 256 * 1024;

/// One delivery to a shelved device.
#[derive(Clone, Debug)]
pub enum Item {
    /// Need not last: memory is all it has.
    Volatile(Bytes),
    /// The row has it, or says which other one does.
    Row(Unacked),
}

/// The queue.
#[derive(Default)]
pub struct Shelf {
    queue: VecDeque<Item>,
    /// How many of these need not last, and their bytes.
    volatile: usize,
    volatile_bytes: usize,
}

impl Shelf {
    /// Adds a delivery; gives back what is dropped for it.
    pub fn push(&mut self, item: Item) -> Option<Bytes> {
        self.count(&item);
        self.queue.push_back(item);
        let over = self.volatile > VOLATILE || self.volatile_bytes > VOLATILE_BYTES;
        over.then(|| self.drop_volatile()).flatten()
    }

    /// Puts one before all others, where it was.
    pub fn put_back(&mut self, item: Item) {
        self.count(&item);
        self.queue.push_front(item);
    }

    fn count(&mut self, item: &Item) {
        if let Item::Volatile(bytes) = item {
            self.volatile += 1;
            self.volatile_bytes += bytes.len();
        }
    }

    /// Takes what comes next.
    pub fn pop(&mut self) -> Option<Item> {
        let item = self.queue.pop_front()?;
        self.discount(&item);
        Some(item)
    }

    fn discount(&mut self, item: &Item) {
        if let Item::Volatile(bytes) = item {
            self.volatile -= 1;
            self.volatile_bytes -= bytes.len();
        }
    }

    /// Drops the oldest that need not last.
    fn drop_volatile(&mut self) -> Option<Bytes> {
        let is_volatile = |item: &Item| matches!(item, Item::Volatile(_));
        let place = self.queue.iter().position(is_volatile)?;
        let item = self.queue.remove(place)?;
        self.discount(&item);
        match item {
            Item::Volatile(bytes) => Some(bytes),
            Item::Row(_) => None,
        }
    }

    /// All that is left.
    pub fn into_items(self) -> VecDeque<Item> {
        self.queue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: u8) -> Item {
        Item::Row(Unacked {
            row: vec![name],
            kept: None,
        })
    }

    #[test]
    fn only_what_need_not_last_is_dropped_and_the_oldest_first() {
        let mut shelf = Shelf::default();
        assert!(shelf.push(row(1)).is_none());
        let half = Bytes::from(vec![7; VOLATILE_BYTES / 2]);
        assert!(shelf.push(Item::Volatile(half.clone())).is_none());
        assert!(shelf.push(Item::Volatile(half.clone())).is_none());
        let dropped = shelf.push(Item::Volatile(Bytes::from_static(b"new")));
        assert_eq!(dropped, Some(half));
        let first = shelf.pop();
        assert!(matches!(&first, Some(Item::Row(it)) if it.row == [1]));
        shelf.put_back(first.expect("a row"));
        for number in 0..VOLATILE {
            let dropped = shelf.push(Item::Volatile(Bytes::from(vec![number as u8])));
            assert_eq!(dropped.is_some(), number >= VOLATILE - 2, "{number}");
        }
        assert_eq!(shelf.into_items().len(), VOLATILE + 1);
    }
}
