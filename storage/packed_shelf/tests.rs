//! A packed shelf reads like a plain map, whatever is done to it and whatever a crash leaves.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{row, shelf::MemoryShelf};

type Packed = PackedShelf<MemoryShelf>;
type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// A change of the row under a key: `None` removes it.
type Change = (Vec<u8>, Option<Vec<u8>>);

/// An archive's key: account, kind, stamp.
fn key(account: u8, stamp: u64) -> Vec<u8> {
    let mut key = vec![0, 0, 0, account, 1];
    key.extend_from_slice(&stamp.to_be_bytes());
    key
}

fn sealed(key: &[u8], len: usize, byte: u8) -> Vec<u8> {
    row::seal(PACKED, key, &vec![byte; len])
}

fn feed(shelf: &Packed, changes: &[Change]) {
    for (key, row) in changes {
        match row {
            Some(row) => shelf.put(PACKED, key, row.clone()).unwrap(),
            None => shelf.delete(PACKED, key).unwrap(),
        }
    }
}

fn apply(model: &mut Model, changes: &[Change]) {
    for (key, row) in changes {
        match row {
            Some(row) => model.insert(key.clone(), row.clone()),
            None => model.remove(key),
        };
    }
}

fn scan(shelf: &Packed, range: &KeyRange, backward: bool) -> Vec<KeyRow> {
    let mut rows = Vec::new();
    let mut visit = |key: &[u8], row: &[u8]| {
        rows.push((key.to_vec(), row.to_vec()));
        Step::Next
    };
    shelf.scan(PACKED, range, backward, &mut visit).unwrap();
    if backward {
        rows.reverse();
    }
    rows
}

fn everything() -> KeyRange {
    KeyRange {
        from: Vec::new(),
        to: None,
    }
}

/// How many values lie below.
fn blocks(shelf: &Packed) -> usize {
    let mut blocks = 0;
    let mut visit = |_: &[u8], _: &[u8]| {
        blocks += 1;
        Step::Next
    };
    shelf
        .below
        .scan(PACKED, &everything(), false, &mut visit)
        .unwrap();
    blocks
}

fn equal(shelf: &Packed, model: &Model) {
    let rows: Vec<KeyRow> = model.clone().into_iter().collect();
    assert_eq!(scan(shelf, &everything(), false), rows);
    assert_eq!(scan(shelf, &everything(), true), rows);
}

#[test]
fn a_run_lies_in_few_values_none_of_them_too_long() {
    let shelf = Packed::new(MemoryShelf::new());
    let rows = (0..100).map(|n| (key(1, n), Some(sealed(&key(1, n), 300, 7))));
    let rows: Vec<Change> = rows.collect();
    feed(&shelf, &rows);
    shelf.sync().unwrap();
    assert_eq!(blocks(&shelf), 100_usize.div_ceil(pack::FULL / 320));
    let mut visit = |_: &[u8], value: &[u8]| {
        assert!(value.len() <= pack::FULL);
        Step::Next
    };
    shelf
        .below
        .scan(PACKED, &everything(), false, &mut visit)
        .unwrap();
}

/// A message's key: account, kind, an id of 128 bits; an index has a name before the id.
#[test]
fn ids_of_messages_are_of_one_run_and_names_are_not() {
    let id = |name: &str, n: u128| {
        let mut key = vec![0, 0, 0, 1, 3];
        key.extend_from_slice(name.as_bytes());
        key.extend_from_slice(&n.to_be_bytes());
        key
    };
    let far = u128::from(u64::MAX);
    assert!(one_run(&id("", 1), &id("", far << 64)));
    assert!(one_run(
        &id("ann@a.test\0", 1),
        &id("ann@a.test\0", far << 64)
    ));
    assert!(!one_run(&id("ann@a.test\0", 1), &id("bob@a.test\0", 2)));
    assert!(!one_run(&id("", 1), &id("a", 2)));
    let mut other = id("", 2);
    other[3] = 2;
    assert!(!one_run(&id("", 1), &other));
}

#[test]
fn a_row_that_comes_alone_is_added_to_a_short_block_only() {
    let shelf = Packed::new(MemoryShelf::new());
    for n in 0..12 {
        feed(&shelf, &[(key(1, n), Some(sealed(&key(1, n), 300, 7)))]);
        shelf.sync().unwrap();
    }
    // Three of 319 bytes are under 1 KiB, a fourth is not.
    assert_eq!(blocks(&shelf), 4);
}

#[test]
fn accounts_do_not_share_a_block_and_other_maps_are_not_packed() {
    let shelf = Packed::new(MemoryShelf::new());
    for account in 0..5 {
        feed(
            &shelf,
            &[(key(account, 1), Some(sealed(&key(account, 1), 9, 7)))],
        );
        shelf.put(0, &key(account, 1), b"row".to_vec()).unwrap();
    }
    shelf.sync().unwrap();
    assert_eq!(blocks(&shelf), 5);
    assert_eq!(
        shelf.below.get(0, &key(3, 1)).unwrap().as_deref(),
        Some(&b"row"[..])
    );
}

#[test]
fn a_damaged_pack_is_seen_and_can_be_removed() {
    let below = MemoryShelf::new();
    let shelf = Packed::new(below.clone());
    let rows = (0..5).map(|n| (key(1, n), Some(sealed(&key(1, n), 300, 7))));
    feed(&shelf, &rows.collect::<Vec<Change>>());
    shelf.sync().unwrap();
    assert!(below.flip_bit(PACKED, 0, 1_000));
    // Each row of it is there and unreadable; a scan shows it once.
    let found = shelf.get(PACKED, &key(1, 3)).unwrap().unwrap();
    assert_eq!(row::open(PACKED, &key(1, 3), &found), None);
    let from = KeyRange {
        from: key(1, 2),
        to: None,
    };
    for backward in [false, true] {
        let rows = scan(&shelf, &from, backward);
        assert_eq!(rows.len(), 1);
        assert_eq!(row::open(PACKED, &rows[0].0, &rows[0].1), None);
    }
    feed(&shelf, &[(key(1, 9), Some(sealed(&key(1, 9), 5, 7)))]);
    shelf.sync().unwrap();
    assert_eq!(blocks(&shelf), 2);
    feed(&shelf, &[(key(1, 0), None)]);
    shelf.sync().unwrap();
    assert_eq!(scan(&shelf, &everything(), false).len(), 1);
}

#[test]
fn what_a_division_left_behind_does_not_come_back() {
    let below = MemoryShelf::new();
    let shelf = Packed::new(below.clone());
    let old: Vec<Change> = (0..12)
        .map(|n| (key(1, n * 2), Some(sealed(&key(1, n * 2), 300, 7))))
        .collect();
    feed(&shelf, &old);
    shelf.sync().unwrap();
    assert_eq!(blocks(&shelf), 1);
    // The power goes after the later half was written and before the first was shortened.
    let middle = key(1, 11);
    below.power_off_after(1);
    feed(&shelf, &[(middle.clone(), Some(sealed(&middle, 300, 8)))]);
    shelf.sync().unwrap_err();
    let shelf = Packed::new(below.after_power_cut(|| true));
    assert_eq!(blocks(&shelf), 2);
    let mut model = Model::new();
    apply(&mut model, &old);
    // The last row is alone in its block and is removed with it.
    let last = key(1, 22);
    feed(&shelf, &[(last.clone(), None)]);
    shelf.sync().unwrap();
    model.remove(&last);
    equal(&shelf, &model);
}

/// Changes of rows of three accounts, in the order of keys as a feed has them; now and then a
/// long row, or a key of another length.
fn changes() -> impl Strategy<Value = Vec<Change>> {
    let row = prop_oneof![
        6 => (1_usize..600).prop_map(Some),
        1 => (3_000_usize..4_000).prop_map(Some),
        3 => Just(None),
    ];
    let change = (0_u8..3, 0_u64..60, any::<bool>(), row, any::<u8>());
    let change = change.prop_map(|(account, stamp, longer, len, byte)| {
        let mut key = key(account, stamp);
        if longer && stamp % 7 == 0 {
            key.push(byte % 2);
        }
        let row = len.map(|len| sealed(&key, len, byte));
        (key, row)
    });
    let sorted = |changes: Vec<Change>| {
        let last: BTreeMap<_, _> = changes.into_iter().collect();
        last.into_iter().collect()
    };
    prop::collection::vec(change, 0..60).prop_map(sorted)
}

proptest! {
    #[test]
    fn it_reads_like_a_map(feeds in prop::collection::vec(changes(), 1..6), at in 0_u64..60) {
        let shelf = Packed::new(MemoryShelf::new());
        let mut model = Model::new();
        for changes in &feeds {
            feed(&shelf, changes);
            shelf.sync().unwrap();
            apply(&mut model, changes);
            equal(&shelf, &model);
        }
        let (from, to) = (key(1, at), key(2, at / 2));
        let some: Vec<KeyRow> = model
            .range(from.clone()..to.clone())
            .map(|(key, row)| (key.clone(), row.clone()))
            .collect();
        let range = KeyRange { from, to: Some(to) };
        prop_assert_eq!(&scan(&shelf, &range, false), &some);
        prop_assert_eq!(&scan(&shelf, &range, true), &some);
        for stamp in 0..60 {
            let key = key(0, stamp);
            prop_assert_eq!(shelf.get(PACKED, &key).unwrap(), model.get(&key).cloned());
        }
    }

    /// Whatever of an interrupted feed has survived: what it does not change reads as before,
    /// and the same feed, done again, makes it whole.
    #[test]
    fn a_crash_loses_nothing_that_was_there(
        feeds in prop::collection::vec(changes(), 1..4),
        interrupted in changes(),
        survives in prop::collection::vec(any::<bool>(), 40),
        power in prop::option::of(0_u64..30),
        after in changes(),
    ) {
        let below = MemoryShelf::new();
        let shelf = Packed::new(below.clone());
        let mut model = Model::new();
        for changes in &feeds {
            feed(&shelf, changes);
            shelf.sync().unwrap();
            apply(&mut model, changes);
        }
        if let Some(power) = power {
            below.power_off_after(power);
        }
        let _ = interrupted.iter().try_for_each(|(key, row)| match row {
            Some(row) => shelf.put(PACKED, key, row.clone()),
            None => shelf.delete(PACKED, key),
        });
        let mut survives = survives.into_iter();
        let shelf = Packed::new(below.after_power_cut(|| survives.next().unwrap_or(false)));
        let touched = |key: &Vec<u8>| interrupted.iter().any(|(it, _)| it == key);
        for (key, row) in model.iter().filter(|(key, _)| !touched(key)) {
            prop_assert_eq!(shelf.get(PACKED, key).unwrap(), Some(row.clone()));
        }
        feed(&shelf, &interrupted);
        shelf.sync().unwrap();
        apply(&mut model, &interrupted);
        equal(&shelf, &model);
        feed(&shelf, &after);
        shelf.sync().unwrap();
        apply(&mut model, &after);
        equal(&shelf, &model);
    }
}
