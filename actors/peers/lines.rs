//! Streams that a Link may use instead of calling: those of other servers that take stanzas back
//! (XEP-0288), and ours to the same domain for another domain of ours (XEP-0220 §2.6). Those whose
//! session can be resumed are not among them: it tells exactly what of one Link's has arrived when
//! the line breaks, and a session of several cannot.

use std::collections::HashMap;

use actix::prelude::*;
use parking_lot::Mutex;
use rookery_protocol::dialback::Pair;
use smol_str::SmolStr;

use crate::link::key_of;
use crate::stream::Stream;

/// With fewer of them nobody looks for those that have ended.
const FEW: usize = 64;

/// All of them.
#[derive(Default)]
pub struct Lines(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// By the pair that may be sent, as its Link is named, or by the domain that is reached.
    streams: HashMap<SmolStr, Addr<Stream>>,
    /// With so many, those that have ended go.
    many: usize,
}

impl Lines {
    /// Stanzas of this pair may be written to this stream of another server.
    pub fn offer(&self, pair: &Pair, stream: Addr<Stream>) {
        self.enter(key_of(pair), stream);
    }

    /// More pairs to this domain may be proved on this stream of ours.
    pub fn share(&self, domain: SmolStr, stream: Addr<Stream>) {
        self.enter(domain, stream);
    }

    fn enter(&self, key: SmolStr, stream: Addr<Stream>) {
        let mut known = self.0.lock();
        known.streams.insert(key, stream);
        if known.streams.len() > known.many.max(FEW) {
            known.streams.retain(|_, stream| stream.connected());
            known.many = known.streams.len() * 2;
        }
    }

    /// No more on this stream.
    pub fn withdraw(&self, stream: &Addr<Stream>) {
        self.0.lock().streams.retain(|_, it| it != stream);
    }

    /// A stream to which stanzas of this pair may be written, perhaps once they are proved there.
    pub fn find(&self, pair: &Pair) -> Option<Addr<Stream>> {
        let mut known = self.0.lock();
        for key in [key_of(pair), pair.to.clone()] {
            match known.streams.get(&key) {
                Some(stream) if stream.connected() => return Some(stream.clone()),
                Some(_) => drop(known.streams.remove(&key)),
                None => {}
            }
        }
        None
    }
}
