//! The certificates of tests, as those see them who judge them.

pub use crate::testing::certificates::*;

use super::{Presented, Reference, Roots};

/// When the tests play: in September 2026.
pub const NOW: i64 = 1_790_000_000;

impl Authority {
    /// Only this one is trusted.
    pub fn roots(&self) -> Roots {
        let mut roots = Roots::default();
        roots.trust(self.certificate.der()).unwrap();
        roots
    }
}

impl Leaf {
    /// As a peer shows it.
    pub fn shown(&self) -> Presented {
        Presented::new(&self.chain)
    }
}

/// A domain.
pub fn domain(name: &str) -> Reference {
    Reference::new(name).unwrap()
}
