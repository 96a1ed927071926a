//! What XMPP says: addresses, streams, stanzas and rules, without IO, clock or randomness of its
//! own.

pub mod datetime;
pub mod delivery;
pub mod dialback;
pub mod error;
pub mod forms;
pub mod framer;
pub mod jid;
pub mod negotiation;
pub mod ns;
pub mod paging;
pub mod reader;
pub mod roster;
pub mod sasl;
pub mod stanza;
pub mod stream_management;
pub mod subscription;
pub mod targets;
pub mod xml;
