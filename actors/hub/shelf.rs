//! What is kept for a device that can take nothing for now, in the order in which it will be
//! delivered (RFC 6120 §10.1).

use std::collections::VecDeque;

use bytes::Bytes;

use crate::hub::remembered::{Delivery, Whereabouts};

/// The most that need not last and is kept for a shelved device, in stanzas and in bytes. Over it
/// the oldest is dropped.
const VOLATILE: usize = 256;
const VOLATILE_BYTES: usize = 256 * 1024;

/// A delivery that must not be lost.
#[derive(Clone, Debug)]
pub struct Unacked {
    /// The key of the row that is there until the delivery is acknowledged.
    pub row: Vec<u8>,
    /// The key of the archive row that holds the stanza; `None`: the row has it itself.
    pub kept: Option<Vec<u8>>,
    /// It is a copy of what the account sent: nobody waits for it if this device does not.
    pub copy: bool,
    /// Bytes of the stanza, 0 where that was forgotten.
    pub size: u32,
    /// How many other devices were given the message, too, and have not gone without it.
    pub others: u8,
}

impl Unacked {
    /// As it was read from `row`.
    pub fn read(row: Vec<u8>, Delivery { size, stanza, .. }: Delivery) -> Unacked {
        let (kept, copy, others) = match stanza {
            Whereabouts::Archive(kept) => (Some(kept), false, 0),
            Whereabouts::Shared(kept, others) => (Some(kept), false, others),
            Whereabouts::Sent(kept) => (Some(kept), true, 0),
            Whereabouts::Here(_) => (None, false, 0),
        };
        Unacked {
            row,
            kept,
            copy,
            size,
            others,
        }
    }

    /// What its row says, once it has a number or none.
    pub fn delivery(&self, number: Option<u32>, bytes: &[u8]) -> Delivery {
        let stanza = match &self.kept {
            Some(kept) if self.copy => Whereabouts::Sent(kept.clone()),
            Some(kept) if self.others > 0 => Whereabouts::Shared(kept.clone(), self.others),
            Some(kept) => Whereabouts::Archive(kept.clone()),
            None => Whereabouts::Here(bytes.to_vec()),
        };
        let size = self.size;
        Delivery {
            number,
            size,
            stanza,
        }
    }

    /// The key of the archive row of a stanza that somebody must get.
    pub fn message(self) -> Option<Vec<u8>> {
        self.kept.filter(|_| !self.copy)
    }
}

/// Bytes of a stanza.
pub fn size_of(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

/// What the rows of a delivery count for, besides its stanza.
const ROWS: usize = 1024;

/// One delivery to a shelved device.
#[derive(Clone, Debug)]
pub enum Item {
    /// Need not last: memory is all it has, until the server stops; then it is written down under
    /// this serial number, if it has one.
    Volatile(Bytes, Option<[u8; 4]>),
    /// The row has it, or says which other one does.
    Row(Unacked),
    /// The same, but it need not be read.
    Ready(Unacked, Bytes),
    /// Its row is on its way, with that of the stanza of which it is a copy: neither it nor what
    /// is behind it can be taken before that has arrived.
    Travelling(Unacked, Option<Bytes>),
}

impl Item {
    /// What must not be lost of it.
    pub fn unacked_mut(&mut self) -> Option<&mut Unacked> {
        match self {
            Item::Row(unacked) | Item::Ready(unacked, _) | Item::Travelling(unacked, _) => {
                Some(unacked)
            }
            Item::Volatile(..) => None,
        }
    }
}

/// What comes next of what is shelved.
pub enum Next {
    /// Nothing is shelved any more.
    Nothing,
    /// It is on its way, and will be there when everything that left so far has arrived.
    Abroad,
    Items(Vec<Item>),
}

/// The queue.
#[derive(Default)]
pub struct Shelf {
    queue: VecDeque<Item>,
    /// How many of these need not last, and their bytes.
    volatile: usize,
    volatile_bytes: usize,
    /// What the others take of the store.
    spilled: usize,
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

    /// Bytes of what is kept in the store for it.
    pub fn spilled(&self) -> usize {
        self.spilled
    }

    fn count(&mut self, item: &Item) {
        match item {
            Item::Volatile(bytes, _) => {
                self.volatile += 1;
                self.volatile_bytes += bytes.len();
            }
            Item::Row(it) | Item::Ready(it, _) | Item::Travelling(it, _) => {
                self.spilled += ROWS + it.size as usize;
            }
        }
    }

    /// Whether what comes next is on its way still.
    pub fn is_abroad(&self) -> bool {
        matches!(self.queue.front(), Some(Item::Travelling(..)))
    }

    /// All that was on its way will be there when the next is taken.
    pub fn arrive(&mut self) {
        for item in &mut self.queue {
            if let Item::Travelling(unacked, bytes) = item {
                let unacked = unacked.clone();
                *item = match bytes.take() {
                    Some(bytes) => Item::Ready(unacked, bytes),
                    None => Item::Row(unacked),
                };
            }
        }
    }

    /// Nobody will take anything for a while: memory keeps nothing that rows have.
    pub fn forget_bytes(&mut self) {
        for item in &mut self.queue {
            match item {
                Item::Ready(unacked, _) => *item = Item::Row(unacked.clone()),
                Item::Travelling(_, bytes) => *bytes = None,
                Item::Volatile(..) | Item::Row(_) => {}
            }
        }
    }

    /// Takes what comes next.
    pub fn pop(&mut self) -> Option<Item> {
        let item = self.queue.pop_front()?;
        self.discount(&item);
        Some(item)
    }

    fn discount(&mut self, item: &Item) {
        match item {
            Item::Volatile(bytes, _) => {
                self.volatile -= 1;
                self.volatile_bytes -= bytes.len();
            }
            Item::Row(it) | Item::Ready(it, _) | Item::Travelling(it, _) => {
                self.spilled -= ROWS + it.size as usize;
            }
        }
    }

    /// Drops the oldest that need not last.
    fn drop_volatile(&mut self) -> Option<Bytes> {
        let is_volatile = |item: &Item| matches!(item, Item::Volatile(..));
        let place = self.queue.iter().position(is_volatile)?;
        let item = self.queue.remove(place)?;
        self.discount(&item);
        match item {
            Item::Volatile(bytes, _) => Some(bytes),
            Item::Row(_) | Item::Ready(..) | Item::Travelling(..) => None,
        }
    }

    /// All in it that must not be lost.
    pub fn unacked_mut(&mut self) -> impl Iterator<Item = &mut Unacked> {
        self.queue.iter_mut().filter_map(Item::unacked_mut)
    }

    /// All in it that need not last, with its serial number.
    pub fn volatile(&self) -> impl Iterator<Item = (&Bytes, Option<[u8; 4]>)> {
        self.queue.iter().filter_map(|item| match item {
            Item::Volatile(bytes, serial) => Some((bytes, *serial)),
            Item::Row(_) | Item::Ready(..) | Item::Travelling(..) => None,
        })
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
            copy: false,
            size: 9,
            others: 0,
        })
    }

    /// A server that starts again counts what waits for a session as the one before did.
    #[test]
    fn what_is_read_again_counts_as_before() {
        let unacked = Unacked {
            row: vec![1],
            kept: Some(vec![2]),
            copy: false,
            size: 700,
            others: 0,
        };
        let read = Unacked::read(vec![1], unacked.delivery(None, &[]));
        let mut shelf = Shelf::default();
        assert!(shelf.push(Item::Row(read)).is_none());
        assert_eq!(shelf.spilled(), ROWS + 700);
    }

    #[test]
    fn only_what_need_not_last_is_dropped_and_the_oldest_first() {
        let mut shelf = Shelf::default();
        assert!(shelf.push(row(1)).is_none());
        let half = Bytes::from(vec![7; VOLATILE_BYTES / 2]);
        assert!(shelf.push(Item::Volatile(half.clone(), None)).is_none());
        assert!(shelf.push(Item::Volatile(half.clone(), None)).is_none());
        let dropped = shelf.push(Item::Volatile(Bytes::from_static(b"new"), None));
        assert_eq!(dropped, Some(half));
        let first = shelf.pop();
        assert!(matches!(&first, Some(Item::Row(it)) if it.row == [1]));
        assert_eq!(shelf.spilled(), 0);
        shelf.put_back(first.expect("a row"));
        assert_eq!(shelf.spilled(), ROWS + 9);
        for number in 0..VOLATILE {
            let dropped = shelf.push(Item::Volatile(Bytes::from(vec![number as u8]), None));
            assert_eq!(dropped.is_some(), number >= VOLATILE - 2, "{number}");
        }
        assert_eq!(shelf.into_items().len(), VOLATILE + 1);
    }
}
