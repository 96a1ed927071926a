//! The edges of the memtables; the store's tests compare the whole with a plain map.

use super::*;
use crate::frame::Frame;

fn apply(table: &mut Memtable, frame: &Frame) {
    frame.ops().iter().cloned().for_each(|op| table.apply(op));
}

#[test]
fn a_removed_range_hides_what_is_below_but_not_what_comes_after() {
    let mut table = Memtable::default();
    let mut frame = Frame::new();
    frame
        .put(Tree::Archive, *b"b1", *b"old")
        .delete_range(Tree::Archive, KeyRange::prefix(b"b"));
    frame.put(Tree::Archive, *b"b2", *b"new");
    apply(&mut table, &frame);
    let layer = table.layer(Tree::Archive);
    assert_eq!(layer.get(b"a"), Known::Unknown);
    assert_eq!(layer.get(b"b1"), Known::Gone);
    assert_eq!(layer.get(b"b2"), Known::Row(b"new"));
    assert_eq!(layer.get(b"c"), Known::Unknown);
    assert_eq!(
        table.layer(Tree::Meta).get(b"b1"),
        Known::Unknown,
        "another tree"
    );
}

#[test]
fn a_row_removed_below_does_not_use_up_the_limit() {
    let mut tables = Tables::default();
    let mut frame = Frame::new();
    frame
        .put(Tree::Archive, *b"a", *b"1")
        .put(Tree::Archive, *b"b", *b"2");
    apply(&mut tables.active, &frame);
    tables.freeze(1, Position::default());
    apply(
        &mut tables.active,
        Frame::new().delete(Tree::Archive, *b"a"),
    );
    let overlay = tables.overlay(Tree::Archive, &KeyRange::all(), false, 1);
    let expected = [(b"a".to_vec(), None), (b"b".to_vec(), Some(b"2".to_vec()))];
    assert_eq!(overlay.rows, expected);
}

#[test]
fn an_empty_table_weighs_nothing() {
    let mut table = Memtable::default();
    let mut frame = Frame::new();
    for key in 0..100u8 {
        frame.put(Tree::Archive, [key], [0; 300]);
    }
    apply(&mut table, &frame);
    assert_eq!(table.bytes(), 100 * (1 + 300 + ROW_COST));
    apply(
        &mut table,
        Frame::new().delete_range(Tree::Archive, KeyRange::all()),
    );
    assert_eq!(table.bytes(), ROW_COST, "only the removed range is left");
    assert!(!table.is_empty());
}

#[test]
fn removed_ranges_join() {
    let mut layer = Layer::default();
    for (from, to) in [("b", "d"), ("f", "h"), ("k", "m"), ("d", "f"), ("a", "b")] {
        layer.add_erased(KeyRange::between(from, to));
    }
    let ranges: Vec<KeyRange> = layer.erased().collect();
    assert_eq!(
        ranges,
        [KeyRange::between("a", "h"), KeyRange::between("k", "m")]
    );
    layer.add_erased(KeyRange {
        from: b"c".to_vec(),
        to: None,
    });
    let ranges: Vec<KeyRange> = layer.erased().collect();
    assert_eq!(
        ranges,
        [KeyRange {
            from: b"a".to_vec(),
            to: None
        }]
    );
    assert!(layer.erases(b"zzz") && !layer.erases(b"A"));
}
