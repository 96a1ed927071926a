//! Rows of an account that travel with its stanzas, to be committed by the Hub that takes them.
//!
//! Who sends and then reads what he sent must find it, so a read waits for the rows that left
//! before it; what leaves later never holds it up. A stanza that takes rows along has a share of
//! the voyage in its receipt, which goes when the rows are on disk, or are lost with it. It costs
//! a count up and a count down.

use std::sync::{Arc, OnceLock};

use tokio::sync::oneshot;

use crate::effect::Effect;

/// What left between two reads. It ends when the last of it has arrived, and all that left before
/// it.
#[derive(Default)]
pub struct Voyage {
    /// The voyage after this one, which does not end before it, and who waits for this one.
    next: OnceLock<(Arc<Voyage>, oneshot::Sender<()>)>,
}

impl Drop for Voyage {
    fn drop(&mut self) {
        if let Some((_, tell)) = self.next.take() {
            // Whoever waited may be gone.
            let _ = tell.send(());
        }
    }
}

/// What of a Hub is abroad.
#[derive(Default)]
pub(crate) struct Abroad {
    current: Arc<Voyage>,
}

impl Abroad {
    /// Gives a share of the voyage to each stanza that takes rows along.
    pub(crate) fn see_off(&self, effects: &mut [Effect]) {
        for effect in effects {
            if let Effect::Route(envelope) = effect
                && !envelope.rows.is_empty()
            {
                envelope.receipt.travels(self.depart());
            }
        }
    }

    fn depart(&self) -> Arc<Voyage> {
        Arc::clone(&self.current)
    }

    /// Whether everything has arrived.
    pub(crate) fn is_empty(&self) -> bool {
        Arc::strong_count(&self.current) == 1
    }

    /// Is told when everything that left so far has arrived; `None`: it has.
    pub(crate) fn arrival(&mut self) -> Option<oneshot::Receiver<()>> {
        if self.is_empty() {
            return None;
        }
        let (tell, told) = oneshot::channel();
        let next = Arc::default();
        let last = std::mem::replace(&mut self.current, Arc::clone(&next));
        // It is set once: nobody but this Hub holds the current one to set it.
        let _ = last.next.set((next, tell));
        Some(told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_waits_for_what_left_before_it_and_for_nothing_else() {
        let mut abroad = Abroad::default();
        assert!(abroad.arrival().is_none());
        let (one, two) = (abroad.depart(), abroad.depart());
        let mut first = abroad.arrival().expect("two are abroad");
        let later = abroad.depart();
        drop(one);
        assert!(first.try_recv().is_err());
        drop(two);
        assert_eq!(first.try_recv(), Ok(()));
        assert!(!abroad.is_empty());
        drop(later);
        assert!(abroad.is_empty() && abroad.arrival().is_none());
    }

    #[test]
    fn a_second_read_waits_for_the_first_ones_too() {
        let mut abroad = Abroad::default();
        let early = abroad.depart();
        let mut first = abroad.arrival().expect("one is abroad");
        let mut second = abroad.arrival().expect("it still is");
        let late = abroad.depart();
        let mut third = abroad.arrival().expect("and another");
        drop(late);
        assert!(third.try_recv().is_err() && second.try_recv().is_err());
        drop(early);
        for told in [&mut first, &mut second, &mut third] {
            assert_eq!(told.try_recv(), Ok(()));
        }
        assert!(abroad.is_empty());
    }
}
