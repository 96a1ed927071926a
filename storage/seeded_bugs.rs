//! Bugs on purpose, to test the tests: a harness that cannot find these finds nothing. Only with
//! the feature `seeded-bugs`; the variable `ROOKERY_SEED_BUG` chooses one.

use std::sync::OnceLock;

/// Whether this bug was chosen.
pub fn is_on(name: &str) -> bool {
    static CHOSEN: OnceLock<String> = OnceLock::new();
    CHOSEN.get_or_init(|| std::env::var("ROOKERY_SEED_BUG").unwrap_or_default()) == name
}
