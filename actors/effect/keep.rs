//! What keeps a delivery until it is acknowledged.

/// What keeps a delivery for a device that acknowledges what it gets (XEP-0198), until it has.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub enum Keep {
    /// Nothing: it may get lost.
    #[default]
    No,
    /// It is the stanza of this archive row, and is delivered to somebody else if not to this one.
    Archived(Vec<u8>),
    /// It is a copy of the stanza at hand, of which this archive row travels with it: who can come
    /// back gets it if, and only if, that row arrives.
    Sent(Vec<u8>),
    /// Nothing else has it: whoever can come back must not miss it, others need not have it.
    Here,
}

impl Keep {
    /// The archive row that it is the stanza of.
    pub fn archived(&self) -> Option<&[u8]> {
        match self {
            Keep::Archived(key) => Some(key),
            Keep::No | Keep::Sent(_) | Keep::Here => None,
        }
    }
}
