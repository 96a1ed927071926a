//! Makes frames absolute: counters become the numbers they come to, so that replaying a frame
//! twice changes nothing.

use std::collections::{HashMap, HashSet};

use crate::{
    error::StoreError,
    frame::{Frame, Op, read_counter},
    tree::Tree,
    vault::Vault,
};

/// What the batch so far has made of the rows that it counts on.
type Seen = HashMap<(Tree, Vec<u8>), Option<Vec<u8>>>;

/// Replaces every `add` by a `put`, in the order of the batch. Under the journal's lock.
pub(crate) fn make_absolute(
    vault: &Vault,
    mut frames: Vec<Frame>,
) -> Result<Vec<Frame>, StoreError> {
    let counted: HashSet<(Tree, Vec<u8>)> = frames
        .iter()
        .flat_map(Frame::ops)
        .filter_map(|op| match op {
            Op::Add { tree, key, .. } => Some((*tree, key.clone())),
            _ => None,
        })
        .collect();
    if counted.is_empty() {
        return Ok(frames);
    }
    let mut seen = Seen::new();
    for op in frames.iter_mut().flat_map(Frame::ops_mut) {
        resolve(vault, op, &counted, &mut seen)?;
    }
    Ok(frames)
}

fn resolve(
    vault: &Vault,
    op: &mut Op,
    counted: &HashSet<(Tree, Vec<u8>)>,
    seen: &mut Seen,
) -> Result<(), StoreError> {
    match op {
        Op::Put { tree, key, value } => {
            let row = (*tree, key.clone());
            if counted.contains(&row) {
                seen.insert(row, Some(value.clone()));
            }
        }
        Op::Delete { tree, key } => {
            let row = (*tree, key.clone());
            if counted.contains(&row) {
                seen.insert(row, None);
            }
        }
        Op::DeleteRange { tree, range } => {
            let inside = |row: &&(Tree, Vec<u8>)| row.0 == *tree && range.contains(&row.1);
            seen.extend(counted.iter().filter(inside).map(|row| (row.clone(), None)));
        }
        Op::Add { tree, key, delta } => {
            let tree = *tree;
            let row = (tree, std::mem::take(key));
            let old = match seen.get(&row) {
                Some(old) => old.clone(),
                None => vault.get(tree, &row.1)?,
            };
            let old = old.map_or(Some(0), |old| read_counter(&old));
            let old = old.ok_or(StoreError::NotACounter(tree))?;
            let value = old.saturating_add(*delta).to_be_bytes().to_vec();
            seen.insert(row.clone(), Some(value.clone()));
            *op = Op::Put {
                tree,
                key: row.1,
                value,
            };
        }
    }
    Ok(())
}
