//! Lanes: one thread a core, each with its own event loop. An actor lives on one lane for ever.

use actix_rt::{Arbiter, ArbiterHandle};

/// The lanes of a server.
pub struct Lanes {
    handles: Vec<ArbiterHandle>,
    hasher: ahash::RandomState,
}

/// The threads behind [`Lanes`]; ended by [`Threads::join`].
pub struct Threads(Vec<Arbiter>);

impl Lanes {
    /// Starts `count` lanes (at least one). Must be called within an actix system.
    pub fn start(count: usize) -> (Lanes, Threads) {
        let arbiters: Vec<Arbiter> = (0..count.max(1)).map(|_| Arbiter::new()).collect();
        let handles = arbiters.iter().map(Arbiter::handle).collect();
        (
            Lanes {
                handles,
                hasher: ahash::RandomState::new(),
            },
            Threads(arbiters),
        )
    }

    /// The lane of the Hub and the Sessions of a bare JID, or of the Link to a domain.
    pub fn of(&self, key: &str) -> &ArbiterHandle {
        let index = self.hasher.hash_one(key) as usize % self.handles.len();
        &self.handles[index]
    }

    /// All lanes: listeners accept on each.
    pub fn all(&self) -> &[ArbiterHandle] {
        &self.handles
    }
}

impl Threads {
    /// Stops the lanes, with every actor on them, and waits until they are gone.
    pub fn join(self) {
        for lane in &self.0 {
            lane.stop();
        }
        for lane in self.0 {
            // A lane that panicked has stopped too, and said so when it did.
            let _ = lane.join();
        }
    }
}
