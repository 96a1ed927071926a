//! What an extension wishes of the store or of the server, and goes on with when it has it.

use rookery_protocol::stanza::Stanza;
use rookery_storage::{Direction, KeyRange, Store, StoreError, Tree};

use super::{Origin, Row};
use crate::admin::Command;
use crate::receipt::Receipt;

/// What to read from the store.
#[derive(Clone, Debug)]
pub enum Query {
    /// One row.
    Get(Tree, Vec<u8>),
    /// Rows in key order (or against it), at most `limit`.
    Range {
        tree: Tree,
        range: KeyRange,
        limit: usize,
        backwards: bool,
    },
}

impl Query {
    /// The tree it reads.
    pub fn tree(&self) -> Tree {
        match self {
            Query::Get(tree, _) | Query::Range { tree, .. } => *tree,
        }
    }

    /// What it finds in a store. Waits for the disk.
    ///
    /// # Errors
    ///
    /// If the store cannot be read, or holds damaged rows there.
    pub fn rows(&self, store: &Store) -> Result<Vec<Row>, StoreError> {
        match self {
            Query::Get(tree, key) => {
                let value = store.get(*tree, key)?;
                Ok(value
                    .map(|value| (key.clone(), value))
                    .into_iter()
                    .collect())
            }
            Query::Range {
                tree,
                range,
                limit,
                backwards,
            } => {
                let direction = match backwards {
                    true => Direction::Backward,
                    false => Direction::Forward,
                };
                store.range(*tree, range, *limit, direction)
            }
        }
    }
}

/// A read on behalf of an extension.
#[derive(Debug)]
pub struct Read {
    /// Index of the extension in the account's list.
    pub extension: usize,
    /// What the extension said to recognise the answer by.
    pub step: u32,
    pub queries: Vec<Query>,
    /// The IQ that waits for the answer.
    pub request: Option<Stanza>,
    pub origin: Origin,
    /// The receipt of that IQ: it is not taken care of before it is answered.
    pub receipt: Receipt,
    /// Nothing else happens on this Hub until the rows are there.
    pub stops: bool,
}

/// An administrative command on behalf of an extension.
#[derive(Debug)]
pub struct Administer {
    pub extension: usize,
    pub command: Command,
    pub request: Stanza,
    /// The receipt of the request: it is not taken care of before it is answered.
    pub receipt: Receipt,
    pub origin: Origin,
}
