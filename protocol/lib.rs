//! What XMPP says: addresses, streams, stanzas and rules, without IO, clock or randomness of its own.
