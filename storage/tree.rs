//! The trees: the few ordered maps that everything is kept in.
//!
//! There are eight and never one for each account: ten thousand sled trees cost 82 MB resident.
//! What belongs to an account starts its key with the account's number, so that deleting the
//! account is one range in each tree.

use std::fmt;

/// One ordered map from key bytes to value bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Tree {
    /// Names to account numbers, credentials.
    Accounts = 0,
    /// What a Hub loads and writes through: roster, block list, preferences, private XML, vCard.
    Account = 1,
    /// Messages kept (XEP-0313); an offline message is a mark on its archive row.
    Archive = 2,
    /// Stream management: counters, unacked rows, `done` markers (XEP-0198).
    Sessions = 3,
    /// Stanzas that wait for a remote domain.
    Outbox = 4,
    /// Nodes and items (XEP-0060, XEP-0163).
    Pubsub = 5,
    /// Room configurations, affiliations, subjects.
    Rooms = 6,
    /// Facts of the server itself: secrets, the next account number.
    Meta = 7,
}

impl Tree {
    /// All trees, in the order of their codes.
    pub const ALL: [Tree; 8] = [
        Tree::Accounts,
        Tree::Account,
        Tree::Archive,
        Tree::Sessions,
        Tree::Outbox,
        Tree::Pubsub,
        Tree::Rooms,
        Tree::Meta,
    ];

    /// The name it has inside sled and in reports.
    pub fn name(self) -> &'static str {
        SLOT_NAMES[self.slot()]
    }

    /// The byte that stands for it in the journal. Never change one: old journals hold them.
    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    pub(crate) fn from_code(code: u8) -> Option<Tree> {
        Tree::ALL.get(usize::from(code)).copied()
    }

    pub(crate) fn slot(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How many maps the shelf holds: the trees and the one for the parts of long values.
pub(crate) const SLOTS: usize = Tree::ALL.len() + 1;

/// The map that holds the parts of values too long for one row.
pub(crate) const PARTS: usize = Tree::ALL.len();

/// The names of the maps by slot.
pub(crate) const SLOT_NAMES: [&str; SLOTS] = [
    "accounts", "account", "archive", "sessions", "outbox", "pubsub", "rooms", "meta", "parts",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_for_ever() {
        let codes: Vec<u8> = Tree::ALL.iter().map(|tree| tree.code()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7]);
        for tree in Tree::ALL {
            assert_eq!(Tree::from_code(tree.code()), Some(tree));
        }
        assert_eq!(Tree::from_code(8), None);
        assert_eq!(Tree::Outbox.to_string(), "outbox");
    }
}
