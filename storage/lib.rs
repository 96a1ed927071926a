//! What Rookery remembers: a commit journal in front of an embedded sled database.
