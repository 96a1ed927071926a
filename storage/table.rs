//! Tables: a tree seen through the types of its keys and records.

use std::marker::PhantomData;

use crate::{
    error::StoreError,
    frame::Frame,
    key::{Key, KeyRange},
    read::Direction,
    record::{self, Record, RecordError},
    store::Store,
    tree::Tree,
};

/// Rows with keys `K` and records `V` in a tree. A constant, made by the file that owns the
/// rows:
///
/// ```
/// use rookery_storage::{Frame, NameKey, Record, Store, Table, Tree};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Nick(String);
/// impl Record for Nick {
///     const VERSION: u8 = 1;
/// }
/// const NICKS: Table<NameKey, Nick> = Table::new(Tree::Account);
///
/// let store = Store::temporary();
/// let key = NameKey { account: 1, kind: 4, name: "bob@example.org".into() };
/// let mut frame = Frame::new();
/// NICKS.put(&mut frame, &key, &Nick("Bob".into()))?;
/// store.commit(vec![frame])?;
/// assert_eq!(NICKS.get(&store, &key)?.unwrap().0, "Bob");
/// # Ok::<(), rookery_storage::StoreError>(())
/// ```
pub struct Table<K, V> {
    tree: Tree,
    types: PhantomData<fn(K) -> V>,
}

impl<K: Key, V: Record> Table<K, V> {
    /// The table in `tree`.
    pub const fn new(tree: Tree) -> Table<K, V> {
        Table {
            tree,
            types: PhantomData,
        }
    }

    /// The tree it lies in.
    pub const fn tree(&self) -> Tree {
        self.tree
    }

    /// The record of a key.
    pub fn get(&self, store: &Store, key: &K) -> Result<Option<V>, StoreError> {
        let row = store.get(self.tree, &key.to_key())?;
        Ok(row.map(|row| record::decode(&row)).transpose()?)
    }

    /// Up to `limit` rows of a range. One that cannot be read is an error: it is never skipped
    /// in silence.
    pub fn range(
        &self,
        store: &Store,
        range: &KeyRange,
        limit: usize,
        direction: Direction,
    ) -> Result<Vec<(K, V)>, StoreError> {
        let rows = store.range(self.tree, range, limit, direction)?;
        rows.iter().map(|(key, row)| self.read(key, row)).collect()
    }

    /// Makes key and record of a row that was read otherwise.
    pub fn read(&self, key: &[u8], row: &[u8]) -> Result<(K, V), StoreError> {
        let key = K::from_key(key).ok_or(RecordError::Key)?;
        Ok((key, record::decode(row)?))
    }

    /// Writes a row with the frame.
    pub fn put(&self, frame: &mut Frame, key: &K, record: &V) -> Result<(), RecordError> {
        frame.put(self.tree, key.to_key(), record::encode(record)?);
        Ok(())
    }

    /// Removes a row with the frame.
    pub fn delete(&self, frame: &mut Frame, key: &K) {
        frame.delete(self.tree, key.to_key());
    }
}
