//! The scrub: compares what sled holds with what it should, slowly while the server runs or at
//! once on demand.

use std::fmt;

use crate::{
    checkpoint::Books,
    error::{StoreError, hex},
    key::{KeyRange, successor},
    mark::{Tallies, Tally},
    read::shelf_error,
    row::{self, Row},
    shelf::{Shelf, ShelfError, Step},
    tree::{SLOT_NAMES, SLOTS},
    vault::{Findings, Vault},
};

/// How many findings are kept; more are only counted.
const FINDINGS: usize = 1_000;
/// How many of them are shown in figures.
const SHOWN: usize = 8;

/// What a scrub found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrubReport {
    /// How many rows were looked at, parts of long ones included.
    pub rows: u64,
    /// What is wrong, the first thousand.
    pub damage: Vec<Damage>,
    /// How many things are wrong.
    pub damaged: u64,
}

impl ScrubReport {
    fn note(&mut self, damage: Damage) {
        tracing::error!(%damage, "the scrub found damage");
        self.damaged += 1;
        if self.damage.len() < FINDINGS {
            self.damage.push(damage);
        }
    }
}

/// One thing that is wrong in sled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// A row that fails its checksum, or whose parts do.
    Row {
        /// The map.
        tree: &'static str,
        /// Its key in hexadecimal.
        key: String,
    },
    /// Rows that should be there are not, or the reverse.
    Keys {
        /// The map.
        tree: &'static str,
        /// How many rows there should be.
        expected: u64,
        /// How many there are.
        found: u64,
    },
    /// sled failed while it was read.
    Unreadable {
        /// The map.
        tree: &'static str,
        /// What it said.
        why: String,
    },
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Damage::Row { tree, key } => write!(f, "{tree}: the row {key} is damaged"),
            Damage::Keys {
                tree,
                expected,
                found,
            } if expected == found => {
                write!(
                    f,
                    "{tree}: {found} rows as it should be, but not the right ones"
                )
            }
            Damage::Keys {
                tree,
                expected,
                found,
            } => {
                write!(f, "{tree}: {found} rows where {expected} should be")
            }
            Damage::Unreadable { tree, why } => write!(f, "{tree}: {why}"),
        }
    }
}

/// A scrub under way.
#[derive(Clone, Default)]
pub(crate) struct Scrub {
    slot: usize,
    /// The last key looked at in the map.
    upto: Option<Vec<u8>>,
    /// Of the keys up to there, as they are now.
    tally: Tally,
    report: ScrubReport,
}

impl Scrub {
    /// A feed adds a row; counts if the scrub has passed its place.
    pub(crate) fn added(&mut self, slot: usize, key: &[u8]) {
        if self.passed(slot, key) {
            self.tally.add(key);
        }
    }

    /// A feed removes a row.
    pub(crate) fn removed(&mut self, slot: usize, key: &[u8]) {
        if self.passed(slot, key) {
            self.tally.remove(key);
        }
    }

    fn passed(&self, slot: usize, key: &[u8]) -> bool {
        slot == self.slot && self.upto.as_deref().is_some_and(|upto| key <= upto)
    }
}

impl Vault {
    /// Looks at up to `limit` more rows. `Some` when the last map is done: the round's report.
    pub(crate) fn scrub_some(&self, limit: usize) -> Option<ScrubReport> {
        let books = &mut *self.books.lock();
        // While a feed is half done nobody knows what sled should hold.
        if books.mark.next.is_some() {
            return None;
        }
        self.scrub_slice(books, limit)
    }

    /// Looks at everything, now.
    pub(crate) fn scrub_all(&self) -> Result<ScrubReport, StoreError> {
        self.checkpoint()?;
        let books = &mut *self.books.lock();
        books.scrub = Scrub::default();
        loop {
            if let Some(report) = self.scrub_slice(books, usize::MAX) {
                return Ok(report);
            }
        }
    }

    /// Goes on, and lets the figures know what is wrong.
    fn scrub_slice(&self, books: &mut Books, limit: usize) -> Option<ScrubReport> {
        let done = self.scrub_map(books, limit);
        let report = done.as_ref().unwrap_or(&books.scrub.report);
        let is_news = report.damaged != self.findings.read().damaged;
        if is_news && (done.is_some() || report.damaged > 0) {
            *self.findings.write() = Findings {
                damaged: report.damaged,
                damage: report.damage.iter().take(SHOWN).cloned().collect(),
            };
        }
        done
    }

    /// Goes on in the current map; when it ends, compares it and turns to the next.
    fn scrub_map(&self, books: &mut Books, limit: usize) -> Option<ScrubReport> {
        let scrub = &mut books.scrub;
        let slot = scrub.slot;
        let from = scrub.upto.as_deref().map_or(Vec::new(), successor);
        let range = KeyRange { from, to: None };
        let mut seen = 0;
        let mut heads = Vec::new();
        let scanned = self.shelf.scan(slot, &range, false, &mut |key, row| {
            seen += 1;
            scrub.tally.add(key);
            match row::open(slot, key, row) {
                Some(Row::Whole(_)) => {}
                Some(Row::InParts(_)) => heads.push((key.to_vec(), row.to_vec())),
                None => scrub.report.note(row_damage(slot, key)),
            }
            if seen >= limit {
                scrub.upto = Some(key.to_vec());
                return Step::Stop;
            }
            Step::Next
        });
        scrub.report.rows += seen as u64;
        for (key, row) in heads {
            if self.value_of(slot, &key, row).is_err() {
                scrub.report.note(row_damage(slot, &key));
            }
        }
        match scanned {
            Ok(()) if seen >= limit => return None,
            Ok(()) => compare(scrub, books.mark.tallies[slot]),
            Err(error) => {
                let why = shelf_error(error).to_string();
                scrub.report.note(Damage::Unreadable {
                    tree: SLOT_NAMES[slot],
                    why,
                });
            }
        }
        let report = std::mem::take(&mut scrub.report);
        if slot + 1 < SLOTS {
            books.scrub = Scrub {
                slot: slot + 1,
                report,
                ..Scrub::default()
            };
            return None;
        }
        books.scrub = Scrub::default();
        Some(report)
    }
}

fn row_damage(slot: usize, key: &[u8]) -> Damage {
    Damage::Row {
        tree: SLOT_NAMES[slot],
        key: hex(key),
    }
}

fn compare(scrub: &mut Scrub, expected: Tally) {
    if scrub.tally != expected {
        let tree = SLOT_NAMES[scrub.slot];
        let (expected, found) = (expected.rows, scrub.tally.rows);
        scrub.report.note(Damage::Keys {
            tree,
            expected,
            found,
        });
    }
}

/// Counts everything anew.
pub(crate) fn recount(shelf: &dyn Shelf) -> Result<Tallies, ShelfError> {
    let mut tallies = Tallies::default();
    for (slot, tally) in tallies.iter_mut().enumerate() {
        shelf.scan(slot, &KeyRange::all(), false, &mut |key, _| {
            tally.add(key);
            Step::Next
        })?;
    }
    Ok(tallies)
}
