//! What travels between Hubs: a stanza, and what was decided of it.

use std::sync::Arc;

use rookery_protocol::stanza::Stanza;
use rookery_storage::Frame;
use smol_str::SmolStr;

use super::Millis;
use crate::receipt::Receipt;
use crate::topic::Wants;

/// What travels with a message from the sender's Hub to the recipient's.
#[derive(Default, Debug)]
pub struct Marks {
    /// When the server accepted it.
    pub stamp: Millis,
    /// It must last (class D): acknowledged only when it is on disk.
    pub lasting: bool,
    /// The key of its row in the archive of the account at hand; never crosses from one Hub to
    /// another.
    pub kept: Option<Vec<u8>>,
    /// The stamp of its place among all that the account at hand is sent and that may wait; 0 where
    /// it has none. Never crosses either.
    pub order: u64,
    /// What a message is about: it is for the devices that want this topic, and for nobody else.
    pub topic: Option<SmolStr>,
    /// The key of an archive row of somebody else that has the stanza: of a room that sends it.
    pub source: Option<Arc<[u8]>>,
    /// With a probe: what the device that asks wants to hear besides.
    pub wants: Option<Arc<Wants>>,
    /// It goes to the account that it is from, which sends it as if one of its devices had.
    pub on_behalf: bool,
}

/// A stanza on its way, with all that was decided of it.
#[derive(Debug)]
pub struct Envelope {
    pub stanza: Stanza,
    pub marks: Marks,
    /// Rows that are to be committed together with the recipient's.
    pub rows: Frame,
    pub receipt: Receipt,
}

impl Envelope {
    /// A stanza of the server's own that need not last.
    pub fn plain(stanza: Stanza) -> Envelope {
        Envelope {
            stanza,
            marks: Marks::default(),
            rows: Frame::new(),
            receipt: Receipt::none(),
        }
    }
}
