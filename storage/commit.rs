//! Makes frames absolute: counters become the numbers they come to, so that replaying a frame
//! twice changes nothing.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
};

use crate::{
    error::StoreError,
    frame::{Frame, Op, read_counter},
    tree::Tree,
    vault::Vault,
};

/// A row that is counted on.
type Counter = (Tree, Vec<u8>);

/// What the batch so far has made of the rows that it counts on.
type Seen = HashMap<Counter, Option<Vec<u8>>>;

/// Replaces every `add` by a `put`, in the order of the batch. Under the journal's lock.
pub(crate) fn make_absolute(vault: &Vault, frames: &mut [Frame]) -> Result<(), StoreError> {
    let counting = frames.iter().filter(|frame| frame.counts());
    let counted: HashSet<Counter> = counting
        .flat_map(Frame::ops)
        .filter_map(|op| match op {
            Op::Add { tree, key, .. } => Some((tree, key.to_vec())),
            _ => None,
        })
        .collect();
    if counted.is_empty() {
        return Ok(());
    }
    let mut seen = Seen::new();
    for frame in frames {
        for (add, sum) in sums(vault, frame, &counted, &mut seen)? {
            frame.set_sum(add, sum);
        }
    }
    Ok(())
}

/// Where in a frame something is added, and what it comes to.
fn sums(
    vault: &Vault,
    frame: &Frame,
    counted: &HashSet<Counter>,
    seen: &mut Seen,
) -> Result<Vec<(Range<usize>, i64)>, StoreError> {
    let mut sums = Vec::new();
    let mut ops = frame.ops();
    let mut start = 0;
    while let Some(op) = ops.next() {
        match op {
            Op::Put { tree, key, value } => {
                let row = (tree, key.to_vec());
                if counted.contains(&row) {
                    seen.insert(row, Some(value.to_vec()));
                }
            }
            Op::Delete { tree, key } => {
                let row = (tree, key.to_vec());
                if counted.contains(&row) {
                    seen.insert(row, None);
                }
            }
            Op::DeleteRange { tree, range } => {
                let inside = |row: &&Counter| row.0 == tree && range.contains(&row.1);
                seen.extend(counted.iter().filter(inside).map(|row| (row.clone(), None)));
            }
            Op::Add { tree, key, delta } => {
                let row = (tree, key.to_vec());
                let old = match seen.get(&row) {
                    Some(old) => old.clone(),
                    None => vault.get(tree, key)?,
                };
                let old = old.map_or(Some(0), |old| read_counter(&old));
                let old = old.ok_or(StoreError::NotACounter(tree))?;
                let sum = old.saturating_add(delta);
                seen.insert(row, Some(sum.to_be_bytes().to_vec()));
                sums.push((start..ops.at(), sum));
            }
        }
        start = ops.at();
    }
    Ok(sums)
}
