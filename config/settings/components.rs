//! External components (XEP-0114).

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A program that speaks for a domain of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// File with what it shares with us, for nobody but this user (0600).
    pub secret: PathBuf,
    /// What it may do beyond speaking for its domain; empty: nothing.
    #[serde(default)]
    pub privileges: String,
}
