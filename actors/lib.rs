//! The engine: streams, sessions, hubs and the keeper as actors.
