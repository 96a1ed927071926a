//! What a stored row costs, in CPU and in time.
//!
//! `cargo run --profile perf -p rookery-storage --example row_cost -- [FOLDER] [ROWS]`
//!
//! Rows are 300 bytes under fresh keys of 20,000 accounts, as archive rows are; groups of 64
//! frames with one row each. The CPU is that of the whole process, kernel included.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rookery_storage::{Frame, Key, KeyBuilder, Options, StampKey, Store, Tree};

const ACCOUNTS: u64 = 20_000;
const GROUP: u64 = 64;
const VALUE: usize = 300;

fn main() {
    let mut arguments = std::env::args_os().skip(1);
    let folder = arguments
        .next()
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let rows = arguments
        .next()
        .and_then(|text| text.to_str()?.parse().ok())
        .unwrap_or(200_000);
    let folder = folder.join(format!("row_cost.{}", std::process::id()));
    println!("{rows} rows of {VALUE} bytes, groups of {GROUP}");
    println!(
        "{:<44}{:>12}{:>12}{:>12}",
        "", "CPU µs/row", "µs/row", "MB on disk"
    );
    journal_only(&folder, rows);
    store(
        &folder,
        rows,
        "fresh rows, with memtable and checkpoints",
        fresh,
    );
    store(&folder, rows, "the same of 200 accounts", fresh_of_few);
    store(
        &folder,
        rows,
        "the same, each with a row of an index",
        indexed,
    );
    store(
        &folder,
        rows,
        "rows deleted again 1,000 commits later",
        short_lived,
    );
    store(&folder, rows, "counters of 1,000 accounts", counter);
    sled_alone(&folder, rows);
    let _ = std::fs::remove_dir_all(folder);
}

/// Scatters accounts as real ones are.
fn account(n: u64) -> u32 {
    (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % ACCOUNTS) as u32
}

fn key(n: u64) -> Vec<u8> {
    StampKey {
        account: account(n),
        kind: 1,
        time: 1_700_000_000_000 + n,
        seq: 0,
    }
    .to_key()
}

fn value(n: u64) -> Vec<u8> {
    let mut value = vec![b'x'; VALUE];
    value[..8].copy_from_slice(&n.to_be_bytes());
    value
}

fn fresh(n: u64) -> Frame {
    let mut frame = Frame::new();
    frame.put(Tree::Archive, key(n), value(n));
    frame
}

/// As the archive keeps a message: beside it a small row under its contact.
fn indexed(n: u64) -> Frame {
    let mut frame = fresh_of_few(n);
    let contact = format!("contact{}@example.org", n % 20);
    let key = KeyBuilder::account(account(n) % 200, 3).text(&contact);
    frame.put(Tree::Archive, key.time(n).u64(n).u16(0).done(), [1; 11]);
    frame
}

fn fresh_of_few(n: u64) -> Frame {
    let mut key = key(n);
    key[..4].copy_from_slice(&(account(n) % 200).to_be_bytes());
    let mut frame = Frame::new();
    frame.put(Tree::Archive, key, value(n));
    frame
}

fn short_lived(n: u64) -> Frame {
    let mut frame = fresh(n);
    if let Some(old) = n.checked_sub(1_000) {
        frame.delete(Tree::Archive, key(old));
    }
    frame
}

fn counter(n: u64) -> Frame {
    let mut frame = Frame::new();
    frame.add(Tree::Account, (n % 1_000).to_be_bytes(), 1);
    frame
}

fn journal_only(folder: &Path, rows: u64) {
    let options = Options {
        memtable: usize::MAX,
        background: false,
        ..Options::default()
    };
    let store = open(folder, options);
    measure("journal and memtable only", folder, rows, || {
        commit_all(&store, rows, fresh)
    });
}

fn store(folder: &Path, rows: u64, name: &str, frame: fn(u64) -> Frame) {
    let store = open(folder, Options::default());
    measure(name, folder, rows, || {
        commit_all(&store, rows, frame);
        store.checkpoint().unwrap();
    });
    let stats = store.stats();
    println!(
        "    {} syncs, {} checkpoints",
        stats.syncs, stats.checkpoints
    );
    drop(store);
    let begun = Instant::now();
    let store = Store::open(folder, Options::default()).unwrap();
    println!("    opened again in {:?}", begun.elapsed());
    drop(store);
}

fn open(folder: &Path, options: Options) -> Store {
    let _ = std::fs::remove_dir_all(folder);
    Store::open(folder, options).unwrap()
}

fn commit_all(store: &Store, rows: u64, frame: fn(u64) -> Frame) {
    for start in (0..rows).step_by(GROUP as usize) {
        let frames = (start..(start + GROUP).min(rows)).map(frame).collect();
        store.commit(frames).unwrap();
    }
}

/// What feeding sled row by row would cost, without any journal or sync.
fn sled_alone(folder: &Path, rows: u64) {
    let _ = std::fs::remove_dir_all(folder);
    let config = sled::Config::new()
        .path(folder)
        .cache_capacity(32 << 20)
        .flush_every_ms(None);
    let tree = config.open().unwrap().open_tree("archive").unwrap();
    measure(
        "sled alone, row by row, flushed each group",
        folder,
        rows,
        || {
            for n in 0..rows {
                tree.insert(key(n), value(n)).unwrap();
                if n % GROUP == GROUP - 1 {
                    tree.flush().unwrap();
                }
            }
            tree.flush().unwrap();
        },
    );
}

fn measure(name: &str, folder: &Path, rows: u64, task: impl FnOnce()) {
    let (cpu, begun) = (cpu(), Instant::now());
    task();
    let (cpu, wall) = (cpu_since(cpu), begun.elapsed());
    let each = |time: Duration| time.as_secs_f64() * 1e6 / rows as f64;
    let size = size(folder) as f64 / 1e6;
    println!(
        "{name:<44}{:>12.2}{:>12.2}{size:>12.1}",
        each(cpu),
        each(wall)
    );
}

/// User and system time of all threads, from proc(5): hundredths of a second.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace();
    let ticks = fields
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum::<u64>();
    Duration::from_millis(ticks * 10)
}

fn cpu_since(before: Duration) -> Duration {
    cpu() - before
}

fn size(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    let size_of = |entry: std::fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => size(&entry.path()),
        _ => entry.metadata().map_or(0, |metadata| metadata.len()),
    };
    entries.flatten().map(size_of).sum()
}
