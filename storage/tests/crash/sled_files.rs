//! Damage to sled's own files: told, or repaired from export and journal. (Fault B14 to B16.)

use std::{path::Path, sync::Arc};

use rookery_storage::{
    OpenError, Options, Store,
    testing::{Fault, SimulatedDisk},
};

use crate::workload::{Dice, Model, frame, sound, times, verify};

/// How many frames the store here holds.
const HELD: u64 = 60;

/// A real folder with everything on sled and in the journal.
fn real_store(folder: &Path) {
    let store = Store::open(folder, real_options()).unwrap();
    for n in (1..=HELD).step_by(3) {
        store.commit((n..n + 3).map(frame).collect()).unwrap();
    }
    store.close().unwrap();
}

fn real_options() -> Options {
    Options {
        background: false,
        ..Options::default()
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Whether damage to sled's files stays without effect or is told, at opening, by a read or by
/// the scrub.
fn judge_sled(folder: &Path, what: &str) -> &'static str {
    let store = match Store::open(folder, real_options()) {
        Err(OpenError::Damaged(_) | OpenError::Shelf(_)) => return "refused",
        Err(error) => panic!("{what}: {error}"),
        Ok(store) => store,
    };
    let scrubbed = sound(&store);
    match verify(&store, &mut Model::default(), HELD, HELD) {
        Ok(_) if store.repaired().is_some() => "made anew",
        Ok(_) => "harmless",
        Err(_) if scrubbed.is_err() => "found by the scrub",
        Err(error) => panic!("{what}: {error}, and the scrub says nothing"),
    }
}

#[test]
fn damage_to_sleds_own_files_is_told() {
    let temp = tempfile::tempdir().unwrap();
    let whole = temp.path().join("whole");
    real_store(&whole);
    let copy = temp.path().join("copy");
    copy_folder(&whole, &copy);
    assert_eq!(judge_sled(&copy, "nothing"), "harmless");
    let mut dice = Dice(7);
    let mut told = std::collections::BTreeMap::new();
    let names: Vec<_> = std::fs::read_dir(whole.join("sled")).unwrap().collect();
    let names: Vec<_> = names
        .into_iter()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    for (round, name) in (0..times(8)).flat_map(|round| names.iter().map(move |name| (round, name)))
    {
        if whole.join("sled").join(name).is_dir() {
            continue;
        }
        let copy = temp.path().join("copy");
        let _ = std::fs::remove_dir_all(&copy);
        copy_folder(&whole, &copy);
        let file = copy.join("sled").join(name);
        let mut bytes = std::fs::read(&file).unwrap();
        let at = dice.below(bytes.len() as u64) as usize;
        let what = match round % 4 {
            0 => {
                bytes.truncate(at);
                format!("{name:?} cut at {at}")
            }
            1 => {
                let end = bytes.len().min(at + 4_096);
                bytes[at..end].fill(0);
                format!("{name:?} zeroed at {at}")
            }
            _ => {
                bytes[at] ^= 1 << dice.below(8);
                format!("{name:?} flipped at {at}")
            }
        };
        std::fs::write(&file, bytes).unwrap();
        *told.entry(judge_sled(&copy, &what)).or_insert(0) += 1;
    }
    println!("{told:?}");
}

#[test]
fn a_snapshot_that_sled_dislikes_is_moved_aside() {
    let temp = tempfile::tempdir().unwrap();
    real_store(temp.path());
    let sled = temp.path().join("sled");
    std::fs::write(sled.join("snap.00000000000FFFFF"), b"").unwrap();
    std::fs::write(sled.join("snap.0000000000000001.generating"), b"half").unwrap();
    assert_eq!(judge_sled(temp.path(), "strange snapshots"), "harmless");
    let names = std::fs::read_dir(&sled).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(
        names
            .into_iter()
            .any(|name| name.starts_with("aside.snap."))
    );
}

/// sled's file after a power cut in the middle of a feed: of what was written since the last
/// sync each block is there or not.
fn mix(dice: &mut Dice, synced: &[u8], later: &[u8]) -> Vec<u8> {
    let odds = [5, 50, 95][dice.below(3) as usize];
    let grown = dice.one_in(2);
    let mut mixed = later.to_vec();
    mixed.truncate(if grown { later.len() } else { synced.len() });
    for (at, block) in (0..).step_by(4_096).zip(mixed.chunks_mut(4_096)) {
        if dice.below(100) < odds {
            continue;
        }
        for (offset, byte) in block.iter_mut().enumerate() {
            *byte = synced.get(at + offset).copied().unwrap_or(0);
        }
    }
    mixed
}

#[test]
fn a_power_cut_while_sled_is_fed_loses_nothing() {
    let mut dice = Dice(11);
    let mut repaired = 0;
    for _ in 0..times(3) {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("data");
        let disk = SimulatedDisk::new();
        let options = |disk: &SimulatedDisk| Options {
            disk: Arc::new(disk.clone()),
            ..real_options()
        };
        let store = Store::open(&folder, options(&disk)).unwrap();
        let commit = |from: u64, to: u64| {
            (from..=to).for_each(|n| assert_eq!(store.commit(vec![frame(n)]), Ok(n)));
        };
        // Long enough that sled writes over old parts of its file.
        for n in 0..30 {
            commit(n * 40 + 1, n * 40 + 40);
            store.checkpoint().unwrap();
        }
        commit(1_201, 2_000);
        let db = folder.join("sled/db");
        let synced = std::fs::read(&db).unwrap();
        // The feed is named in the mark, done, and the power goes before the mark moves.
        disk.plan(disk.operations() + 6, Fault::PowerOff);
        assert!(store.checkpoint().is_err());
        let later = std::fs::read(&db).unwrap();
        drop(store);
        std::fs::write(&db, mix(&mut dice, &synced, &later)).unwrap();
        let disk = disk.after_power_cut(|| true);
        let store = Store::open(&folder, options(&disk)).unwrap();
        verify(&store, &mut Model::default(), 2_000, 2_000).unwrap();
        sound(&store).unwrap();
        repaired += u64::from(store.repaired().is_some());
    }
    println!("sled was made anew {repaired} times");
}
