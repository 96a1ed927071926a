//! `kill -9` of a process that commits, at random moments, over the same data. (Fault B01.)

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use rookery_storage::{Options, Store};

use crate::workload::{Dice, Model, frame, frames, sound, times, verify};

/// Names the folder for the process that is to be killed.
const FOLDER: &str = "ROOKERY_CRASH_FOLDER";
/// After so many a process is at work.
const COMMITS: u32 = 5;

/// Small, so that checkpoints and new segments happen all the time.
fn options() -> Options {
    Options {
        memtable: 128 << 10,
        segment: 128 << 10,
        checkpoint_every: Duration::from_millis(15),
        ..Options::default()
    }
}

/// The process that is killed: the parent starts this test with a folder in the environment.
/// Otherwise it does nothing.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let store = Store::open(Path::new(&folder), options()).unwrap();
    let mut sent = frames(&store).unwrap();
    let mut dice = Dice(sent);
    let mut out = std::io::stdout().lock();
    loop {
        let batch = 1 + dice.below(6);
        let frames = (sent + 1..=sent + batch).map(frame).collect();
        // Before the commit, so that nothing can be found that was not announced.
        writeln!(out, "\nsent {}", sent + batch).unwrap();
        sent = store.commit(frames).unwrap();
        writeln!(out, "acked {sent}").unwrap();
        out.flush().unwrap();
    }
}

fn start(folder: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "kill::child", "--nocapture", "--test-threads=1"]);
    command
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    command.spawn().unwrap()
}

/// Lets it run for a while after its first commits, kills it, and gives what it said last:
/// acknowledged and sent.
fn run_and_kill(folder: &Path, dice: &mut Dice) -> (u64, u64) {
    let mut child = start(folder);
    let pipe = child.stdout.take().unwrap();
    let (works, working) = mpsc::channel();
    let heard = thread::spawn(move || {
        let (mut acked, mut sent, mut commits) = (0, 0, 0);
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let number = |word: &str| line.strip_prefix(word).and_then(|text| text.parse().ok());
            if let Some(number) = number("acked ") {
                (acked, commits) = (number, commits + 1);
            }
            sent = number("sent ").unwrap_or(sent);
            if commits == COMMITS {
                let _ = works.send(());
            }
        }
        (acked, sent)
    });
    // Some are killed as they start, and most at work.
    if dice.below(8) > 0 {
        working.recv().unwrap();
    }
    thread::sleep(Duration::from_millis(dice.below(150)));
    child.kill().unwrap();
    child.wait().unwrap();
    heard.join().unwrap()
}

#[test]
fn what_was_acknowledged_survives_every_kill() {
    let mut dice = Dice(std::process::id().into());
    let begun = Instant::now();
    let temp = tempfile::tempdir().unwrap();
    let mut model = Model::default();
    let (mut held, mut kills) = (0, 0);
    for _ in 0..times(30) {
        let (acked, sent) = run_and_kill(temp.path(), &mut dice);
        let store = Store::open(
            temp.path(),
            Options {
                background: false,
                ..options()
            },
        )
        .unwrap();
        held = verify(&store, &mut model, acked.max(held), sent.max(held)).unwrap();
        sound(&store).unwrap();
        kills += 1;
    }
    println!("{kills} kills, {held} frames, {:?}", begun.elapsed());
    assert!(
        held > 100,
        "only {held} frames: the processes did not get to work"
    );
}
