//! Messages that several devices of an account were given. When one of them goes without a word,
//! the others have the message: it is not delivered again, or those would have it twice.
//!
//! The row of such a delivery says how many others were given the message and have not gone
//! without it. So it holds after the server has started again, too. Whoever is the last to go gives
//! it back.

use std::collections::HashMap;

use rookery_storage::Frame;

use super::Hub;
use super::perform::write;
use crate::effect::{Effect, Keep};

/// Of the messages of one decision that more than one device is given: to how many.
#[derive(Default)]
pub(super) struct Shared(Vec<(Vec<u8>, usize)>);

impl Shared {
    /// What the deliveries in `effects` share.
    pub fn of(effects: &[Effect]) -> Shared {
        let mut given: Vec<(&Vec<u8>, usize)> = Vec::new();
        for effect in effects {
            if let Effect::Deliver {
                devices,
                keep: Keep::Archived(kept),
                ..
            } = effect
            {
                match given.iter_mut().rev().find(|(it, _)| *it == kept) {
                    Some((_, count)) => *count += devices.len(),
                    None => given.push((kept, devices.len())),
                }
            }
        }
        let shared = given.into_iter().filter(|(_, count)| *count > 1);
        Shared(shared.map(|(it, count)| (it.clone(), count)).collect())
    }

    /// How many others than one device are given what this says.
    pub fn others(&self, keep: &Keep) -> u8 {
        let Keep::Archived(kept) = keep else {
            return 0;
        };
        let count = self.0.iter().find(|(it, _)| it == kept);
        count.map_or(0, |(_, count)| u8::try_from(count - 1).unwrap_or(u8::MAX))
    }
}

/// What devices that are gone never acknowledged.
#[derive(Default)]
pub(super) struct Left {
    /// Nobody else has these: keys of archive rows.
    pub kept: Vec<Vec<u8>>,
    /// Others have these: by how many they are fewer now.
    pub fewer: HashMap<Vec<u8>, u8>,
}

impl Left {
    /// One message of one device, which so many others were given.
    pub fn take(&mut self, kept: Vec<u8>, others: u8) {
        let gone = self.fewer.get(&kept).copied().unwrap_or_default();
        match others > gone {
            true => drop(self.fewer.insert(kept, gone + 1)),
            false => self.kept.push(kept),
        }
    }
}

impl Hub {
    /// Devices are gone that were given these, too.
    pub(super) fn leave_to_others(&mut self, fewer: &HashMap<Vec<u8>, u8>) {
        if fewer.is_empty() {
            return;
        }
        let mut rows = Frame::new();
        let given = self
            .links
            .iter_mut()
            .flat_map(|(_, link)| link.unacked_mut());
        let held = self.held.iter_mut().filter_map(|it| it.what.unacked_mut());
        for (number, unacked) in given.chain(held.map(|it| (None, it))) {
            let less = unacked.kept.as_ref().and_then(|kept| fewer.get(kept));
            if let Some(less) = less
                && unacked.others > 0
            {
                unacked.others = unacked.others.saturating_sub(*less);
                write(&mut rows, &unacked.row, &unacked.delivery(number, &[]));
            }
        }
        self.later.append(rows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_them_gives_it_back() {
        let mut left = Left::default();
        left.take(vec![1], 0);
        left.take(vec![2], 2);
        assert_eq!(left.kept, [[1]]);
        assert_eq!(left.fewer[[2].as_slice()], 1);
        // Two more that go at once.
        left.take(vec![2], 2);
        left.take(vec![2], 2);
        assert_eq!(left.kept, [[1], [2]]);
    }
}
