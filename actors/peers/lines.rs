//! Streams of other servers that take stanzas back (XEP-0288): a Link whose pair is proved on one
//! need not call. Those whose session can be resumed are not among them: a line each way, with a
//! session each, tells exactly what has arrived when it breaks; a session of both cannot.

use std::collections::HashMap;

use actix::prelude::*;
use parking_lot::Mutex;
use rookery_protocol::dialback::Pair;
use smol_str::SmolStr;

use crate::link::key_of;
use crate::stream::Stream;

/// With fewer of them nobody looks for those that have ended.
const FEW: usize = 64;

/// All of them, by the pair that may be sent.
#[derive(Default)]
pub struct Lines(Mutex<Known>);

#[derive(Default)]
struct Known {
    streams: HashMap<SmolStr, Addr<Stream>>,
    /// With so many, those that have ended go.
    many: usize,
}

impl Lines {
    /// Stanzas of this pair may be written to this stream.
    pub fn offer(&self, pair: &Pair, stream: Addr<Stream>) {
        let mut known = self.0.lock();
        known.streams.insert(key_of(pair), stream);
        if known.streams.len() > known.many.max(FEW) {
            known.streams.retain(|_, stream| stream.connected());
            known.many = known.streams.len() * 2;
        }
    }

    /// No longer.
    pub fn withdraw(&self, pair: &Pair, stream: &Addr<Stream>) {
        let mut known = self.0.lock();
        let key = key_of(pair);
        if known.streams.get(&key) == Some(stream) {
            known.streams.remove(&key);
        }
    }

    /// A stream to which stanzas of this pair may be written.
    pub fn find(&self, pair: &Pair) -> Option<Addr<Stream>> {
        let mut known = self.0.lock();
        let key = key_of(pair);
        let found = known.streams.get(&key)?.clone();
        if !found.connected() {
            known.streams.remove(&key);
            return None;
        }
        Some(found)
    }
}
