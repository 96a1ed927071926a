//! Which messages several devices were given.

use std::collections::VecDeque;

use crate::kept::MessageId;

/// Messages remembered; older ones count as given to one device only.
const REMEMBERED: usize = 256;

/// Messages that more than one device was given, and how many of these have them still. When one
/// of them goes without a word, the others have the message; its owner's next device finds it in
/// the archive. Only in memory: what is forgotten is delivered once too often, never lost.
#[derive(Default, Debug)]
pub struct Shared(VecDeque<(MessageId, u32)>);

impl Shared {
    /// Remembers a message that so many devices were given.
    pub fn add(&mut self, id: MessageId, devices: usize) {
        if devices < 2 {
            return;
        }
        if self.0.len() >= REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back((id, devices as u32));
    }

    /// A device gave it back: whether another one has it.
    pub fn others_have(&mut self, id: MessageId) -> bool {
        // The newest is asked for most.
        let Some(index) = self.0.iter().rposition(|(held, _)| *held == id) else {
            return false;
        };
        self.0[index].1 -= 1;
        if self.0[index].1 > 0 {
            return true;
        }
        self.0.remove(index);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_of_them_gives_it_back_for_good() {
        let mut shared = Shared::default();
        let (both, one) = (MessageId::new(1), MessageId::new(2));
        shared.add(both, 2);
        shared.add(one, 1);
        assert!(!shared.others_have(one));
        assert!(shared.others_have(both));
        assert!(!shared.others_have(both));
        assert!(shared.0.is_empty());
    }

    #[test]
    fn memory_is_bounded() {
        let mut shared = Shared::default();
        let ids: Vec<_> = (0..=REMEMBERED as u64).map(MessageId::new).collect();
        ids.iter().for_each(|id| shared.add(*id, 2));
        assert_eq!(shared.0.len(), REMEMBERED);
        assert!(!shared.others_have(ids[0]), "the oldest is forgotten");
        assert!(shared.others_have(ids[1]));
    }
}
