//! A drop guard in every actor: whatever ends it, the Registry hears. Panic-free, takes no locks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use actix::prelude::*;
use smol_str::SmolStr;

use crate::directory::Load;
use crate::realm::Realm;
use crate::registry::{Ended, Life, Registry};
use rookery_protocol::dialback::Pair;

/// Tells the Registry when its actor is gone, and keeps the count of the living.
pub struct Lifeline {
    registry: Option<Recipient<Ended>>,
    life: Option<Life>,
    fell: bool,
    count: Arc<AtomicU64>,
}

impl Lifeline {
    /// The lifeline of a Hub.
    pub fn hub(realm: &Arc<Realm>, key: SmolStr, load: Arc<Load>) -> Lifeline {
        Lifeline::of(realm, Life::Hub { key, load }, &realm.gauges.hubs)
    }

    /// The lifeline of a Link.
    pub fn link(realm: &Arc<Realm>, pair: Pair, load: Arc<Load>) -> Lifeline {
        Lifeline::of(realm, Life::Link { pair, load }, &realm.gauges.links)
    }

    /// The lifeline of a Session.
    pub fn session(realm: &Arc<Realm>) -> Lifeline {
        Lifeline::of(realm, Life::Session, &realm.gauges.sessions)
    }

    /// The lifeline of a Stream.
    pub fn stream(realm: &Arc<Realm>) -> Lifeline {
        Lifeline::of(realm, Life::Stream, &realm.gauges.streams)
    }

    /// Its actor ends because it cannot go on: that counts as a death.
    pub fn fall(&mut self) {
        self.fell = true;
    }

    fn of(realm: &Arc<Realm>, life: Life, count: &Arc<AtomicU64>) -> Lifeline {
        count.fetch_add(1, Ordering::Relaxed);
        // Only the death of these asks for something to be done: the others cost no address.
        let registry = match life {
            Life::Hub { .. } | Life::Link { .. } => {
                realm.registry().map(Addr::<Registry>::recipient)
            }
            Life::Listener { .. } | Life::Session | Life::Stream => None,
        };
        Lifeline {
            registry,
            life: Some(life),
            fell: false,
            count: Arc::clone(count),
        }
    }
}

impl Drop for Lifeline {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
        if let (Some(registry), Some(life)) = (self.registry.take(), self.life.take()) {
            registry.do_send(Ended {
                life,
                died: self.fell || std::thread::panicking(),
            });
        }
    }
}
