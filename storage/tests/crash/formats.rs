//! Stores that earlier versions of the program left, opened by this one; and one of a later
//! version, refused and left alone. (Fault B18.)
//!
//! A fixture is a whole data folder as text: a line a file, then a line for each of its 32 bytes
//! that are not all zero. It is written once, by the version that introduces a format, and never
//! again: `cargo test -p rookery-storage --test crash -- --ignored formats::keep`.

use std::{
    collections::BTreeMap,
    fmt::Write,
    path::{Path, PathBuf},
};

use rookery_storage::{Direction, Frame, KeyRange, OpenError, Options, Store, Tree};

use crate::workload::sound;

/// Of each format that was ever released, what it left.
const FIXTURES: [(u16, &str); 2] = [
    (1, include_str!("formats/1.txt")),
    (2, include_str!("formats/2.txt")),
];

/// The format that `keep` writes a fixture of.
const PRESENT: u16 = FIXTURES[FIXTURES.len() - 1].0;

/// How many frames a fixture holds.
const HELD: u64 = 15;

/// Bytes of one line of a fixture.
const LINE: usize = 32;

fn options() -> Options {
    Options {
        background: false,
        ..Options::default()
    }
}

/// Small ones, one of every kind of change. Never change them: they are what the fixtures hold.
fn frame(format: u16, n: u64) -> Frame {
    let mut frame = Frame::new();
    frame.add(Tree::Meta, *b"frames", 1);
    frame.put(Tree::Archive, key(format, n), value(n));
    match n {
        6 => frame.put(Tree::Rooms, *b"gone", *b"soon"),
        10 => frame.delete(Tree::Rooms, *b"gone"),
        12 | 15 => {
            let (from, to) = (key(format, n - 9), Some(key(format, n - 8)));
            frame.delete_range(Tree::Archive, KeyRange { from, to })
        }
        _ => &mut frame,
    };
    frame
}

/// From format 2 on all keys are of one run, and so lie in packs.
fn key(format: u16, n: u64) -> Vec<u8> {
    let run: &[u8] = if format < 2 { &[] } else { &[0, 0, 0, 7, 1] };
    [run, &n.to_be_bytes()].concat()
}

/// One is so long that sled has it in parts.
fn value(n: u64) -> Vec<u8> {
    let text = format!("value {n} ");
    text.repeat(if n == 5 { 600 } else { 1 }).into_bytes()
}

/// Whether a store holds the frames up to `held`.
fn holds(store: &Store, format: u16, held: u64) {
    assert_eq!(store.sequence(), held);
    assert_eq!(store.counter(Tree::Meta, b"frames"), Ok(held as i64));
    let rows = |tree| {
        let rows = store.range(tree, &KeyRange::all(), 99, Direction::Forward);
        rows.unwrap()
    };
    let expected: Vec<_> = (1..=held)
        .filter(|n| ![3, 6].contains(n))
        .map(|n| (key(format, n), value(n)))
        .collect();
    assert_eq!(rows(Tree::Archive), expected);
    assert_eq!(rows(Tree::Rooms), []);
    sound(store).unwrap();
}

/// All files under a folder, by their path in it.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).unwrap().to_owned();
            files.insert(name, std::fs::read(&path).unwrap());
        }
    }
    files
}

fn to_text(files: &BTreeMap<PathBuf, Vec<u8>>) -> String {
    let mut text = String::new();
    for (name, bytes) in files {
        writeln!(text, "file {} {}", name.display(), bytes.len()).unwrap();
        for (at, line) in (0..).step_by(LINE).zip(bytes.chunks(LINE)) {
            if line.iter().any(|byte| *byte != 0) {
                let hex: String = line.iter().map(|byte| format!("{byte:02x}")).collect();
                writeln!(text, "{at:x} {hex}").unwrap();
            }
        }
    }
    text
}

fn from_text(text: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut current: &mut Vec<u8> = &mut Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["file", name, size] => {
                let bytes = vec![0; size.parse().unwrap()];
                current = files.entry(PathBuf::from(name)).or_insert(bytes);
            }
            [at, hex] => {
                let at = usize::from_str_radix(at, 16).unwrap();
                for (byte, digits) in current[at..].iter_mut().zip(hex.as_bytes().chunks(2)) {
                    *byte = u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap();
                }
            }
            _ => panic!("{line}"),
        }
    }
    files
}

fn unpack(fixture: &str, folder: &Path) {
    for (name, bytes) in from_text(fixture) {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

#[test]
#[ignore = "writes the fixture of the present format; for the one who introduces a format"]
fn keep() {
    let temp = tempfile::tempdir().unwrap();
    let store = Store::open(temp.path(), options()).unwrap();
    let commit = |from: u64, to: u64| {
        (from..=to).for_each(|n| assert_eq!(store.commit(vec![frame(PRESENT, n)]), Ok(n)));
    };
    commit(1, 8);
    store.export().unwrap();
    commit(9, 13);
    store.checkpoint().unwrap();
    // Some in the export, some in sled, some in the journal only: as a kill leaves it.
    commit(14, 15);
    drop(store);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/crash/formats");
    std::fs::create_dir_all(&folder).unwrap();
    let name = format!("{PRESENT}.txt");
    std::fs::write(folder.join(name), to_text(&files(temp.path()))).unwrap();
}

#[test]
fn what_earlier_versions_left_is_opened() {
    for (format, fixture) in FIXTURES {
        let temp = tempfile::tempdir().unwrap();
        unpack(fixture, temp.path());
        let store = Store::open(temp.path(), options()).unwrap();
        assert_eq!(store.repaired(), None, "format {format}");
        holds(&store, format, HELD);
        store.commit(vec![frame(format, HELD + 1)]).unwrap();
        store.close().unwrap();
        drop(store);
        let store = Store::open(temp.path(), options()).unwrap();
        holds(&store, format, HELD + 1);
    }
}

/// Its export can still be read, not only its sled.
#[test]
fn what_earlier_versions_left_can_be_made_anew() {
    for (format, fixture) in FIXTURES {
        let temp = tempfile::tempdir().unwrap();
        unpack(fixture, temp.path());
        std::fs::remove_dir_all(temp.path().join("sled")).unwrap();
        let store = Store::open(temp.path(), options()).unwrap();
        assert!(store.repaired().is_some(), "format {format}");
        holds(&store, format, HELD);
    }
}

#[test]
fn a_store_of_a_later_version_is_refused_and_left_alone() {
    let (format, fixture) = FIXTURES[FIXTURES.len() - 1];
    let temp = tempfile::tempdir().unwrap();
    unpack(fixture, temp.path());
    let mark = temp.path().join("journal/mark");
    let mut bytes = std::fs::read(&mark).unwrap();
    // The format stands behind the eight letters at the start; a checksum ends the file.
    bytes[8..10].copy_from_slice(&(format + 1).to_be_bytes());
    let end = bytes.len() - 4;
    let crc = crc32fast::hash(&bytes[..end]);
    bytes[end..].copy_from_slice(&crc.to_be_bytes());
    std::fs::write(&mark, bytes).unwrap();
    let before = files(temp.path());
    let refused = Store::open(temp.path(), options()).unwrap_err();
    let expected = format!(
        "the store has format {}, this program knows up to {format}",
        format + 1
    );
    assert!(matches!(refused, OpenError::Newer { .. }), "{refused}");
    assert_eq!(refused.to_string(), expected);
    assert!(files(temp.path()) == before, "something was changed");
}
