//! A drop guard in every actor: whatever ends it, the Registry hears. Panic-free, takes no locks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use smol_str::SmolStr;

use crate::directory::Load;
use crate::realm::Realm;
use crate::registry::{Ended, Life};
use rookery_protocol::dialback::Pair;

/// Tells the Registry when its actor is gone, and keeps the count of the living.
pub struct Lifeline {
    /// Only the death of a Hub or Link asks for something to be done: the others carry no more than
    /// a count.
    report: Option<Box<Report>>,
    fell: bool,
    count: Arc<AtomicU64>,
}

/// What is told, and by whom the Registry is found then: its address would cost more.
struct Report {
    realm: Arc<Realm>,
    life: Life,
}

impl Lifeline {
    /// The lifeline of a Hub.
    pub fn hub(realm: &Arc<Realm>, key: SmolStr, load: Arc<Load>) -> Lifeline {
        Lifeline::reporting(realm, &realm.gauges.hubs, Life::Hub { key, load })
    }

    /// The lifeline of a Link.
    pub fn link(realm: &Arc<Realm>, pair: Pair, load: Arc<Load>) -> Lifeline {
        Lifeline::reporting(realm, &realm.gauges.links, Life::Link { pair, load })
    }

    /// The lifeline of a Session.
    pub fn session(realm: &Realm) -> Lifeline {
        Lifeline::of(&realm.gauges.sessions, None)
    }

    /// The lifeline of a Stream.
    pub fn stream(realm: &Realm) -> Lifeline {
        Lifeline::of(&realm.gauges.streams, None)
    }

    /// Its actor ends because it cannot go on: that counts as a death.
    pub fn fall(&mut self) {
        self.fell = true;
    }

    fn reporting(realm: &Arc<Realm>, count: &Arc<AtomicU64>, life: Life) -> Lifeline {
        let realm = Arc::clone(realm);
        Lifeline::of(count, Some(Box::new(Report { realm, life })))
    }

    fn of(count: &Arc<AtomicU64>, report: Option<Box<Report>>) -> Lifeline {
        count.fetch_add(1, Ordering::Relaxed);
        Lifeline {
            report,
            fell: false,
            count: Arc::clone(count),
        }
    }
}

impl Drop for Lifeline {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
        let Some(Report { realm, life }) = self.report.take().map(|it| *it) else {
            return;
        };
        if let Some(registry) = realm.registry() {
            registry.do_send(Ended {
                life,
                died: self.fell || std::thread::panicking(),
            });
        }
    }
}
