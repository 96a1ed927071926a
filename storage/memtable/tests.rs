//! The edges of the memtables; the store's tests compare the whole with a plain map.

use super::*;
use crate::frame::Frame;

fn apply(table: &mut Memtable, frame: &Frame) {
    table.apply(journalled(&[frame]));
}

fn journalled(frames: &[&Frame]) -> Vec<u8> {
    let seal = crate::journal::first_header([7; 16]).seal();
    let mut group = Vec::new();
    for (sequence, frame) in (1..).zip(frames) {
        log::write_frame(&mut group, &seal, sequence, sequence as u32 - 1, frame);
    }
    group
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
    let group = log::FRAME_HEAD + frame.size();
    assert_eq!(table.bytes(), group + 100 * (1 + ROW_COST));
    apply(
        &mut table,
        Frame::new().delete_range(Tree::Archive, KeyRange::all()),
    );
    assert_eq!(table.bytes(), ROW_COST, "only the removed range is left");
    assert!(!table.is_empty());
}

#[test]
fn a_group_goes_with_the_last_of_its_values() {
    let mut table = Memtable::default();
    let (mut one, mut two) = (Frame::new(), Frame::new());
    one.put(Tree::Archive, *b"a", [1; 300]);
    two.put(Tree::Archive, *b"b", [2; 300])
        .put(Tree::Meta, *b"b", [3; 300])
        .delete(Tree::Archive, *b"c");
    let group = journalled(&[&one, &two]);
    let (rows, size) = (4 * (1 + ROW_COST), group.len());
    table.apply(group);
    assert_eq!(table.bytes(), rows + size);
    let meta = table.layer(Tree::Meta);
    assert_eq!(meta.get(b"b"), Known::Row(&[3; 300]));
    let mut over = Frame::new();
    over.put(Tree::Archive, *b"a", [4; 10])
        .delete(Tree::Archive, *b"b");
    apply(&mut table, &over);
    let over = log::FRAME_HEAD + over.size();
    assert_eq!(table.bytes(), rows + size + over, "one value still counts");
    apply(&mut table, Frame::new().delete(Tree::Meta, *b"b"));
    assert_eq!(table.bytes(), rows + over);
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
