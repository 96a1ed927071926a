//! L: logs, privacy, secrets.

use super::cost::is_event;
use super::row::{Row, Stage, State::*, must, scene};
use crate::client::PATIENCE;
use crate::world::World;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Instant;

/// What the rows say in messages and use as passwords: none of it may be in a log (L01).
const MARKS: &[&str] = &["whisper", "sesame-", "BEGIN PRIVATE KEY", "AGFsaWNl"];

/// Searches a log for what must not be in it.
pub fn secrets_in(log: &str) -> Result<(), String> {
    let line = log
        .lines()
        .find(|line| MARKS.iter().any(|mark| line.contains(mark)));
    line.map_or(Ok(()), |line| {
        Err(format!("L01, a secret in the log: {line}"))
    })
}

pub fn rows() -> Vec<Row> {
    vec![
        scene(
            "L01",
            "neither passwords nor messages are logged",
            nothing_secret,
        ),
        scene(
            "L02",
            "addresses are not logged at a good login",
            no_addresses,
        ),
        scene("L04", "no secrets in arguments and environment", process),
        scene("L05", "the data folder is the owner's alone", file_modes),
        scene("L07", "many bad connections make few lines", log_flood),
    ]
}

fn nothing_secret(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    let to = alice.bare();
    alice.says(&format!(
        "<message to='{to}' id='a'><body>whisper</body></message>"
    ));
    alice.waits_for("<message id='a'/>");
    let mut client = stage.client(Plain)?;
    client.plain(&stage.user("alice"), "sesame-wrong")?;
    client.say("<message><body>whisper</body></message>");
    client.closed(PATIENCE)?;
    let mut broken = stage.client(Bound)?;
    broken.say("<message><body>whisper</boddy></message>");
    broken.closed(PATIENCE)?;
    secrets_in(&stage.world.log())
}

fn no_addresses(stage: &Stage) -> Result<(), String> {
    let world = World::start();
    let port_before = world.log().len();
    let there = Stage {
        world: &world,
        id: stage.id,
    };
    there.online("alice").leaves();
    let log = world.log();
    let line = log[port_before.min(log.len())..]
        .lines()
        // Where the server itself listens is told at its start, perhaps later than we looked.
        .find(|l| l.contains("127.0.0.1:") && !l.contains("clients, "));
    line.map_or(Ok(()), |line| Err(line.to_string()))
}

fn process(stage: &Stage) -> Result<(), String> {
    stage.online("alice");
    let pid = stage.world.pid();
    for file in ["cmdline", "environ"] {
        let text = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        secrets_in(&String::from_utf8_lossy(&text)).map_err(|e| format!("{file}: {e}"))?;
    }
    Ok(())
}

fn file_modes(stage: &Stage) -> Result<(), String> {
    let mode = |path: &Path| {
        let meta = std::fs::symlink_metadata(path).map_err(|e| e.to_string())?;
        Ok::<u32, String>(meta.permissions().mode() & 0o777)
    };
    let data = stage.world.data();
    let found = mode(&data)?;
    must(found == 0o700, || format!("data folder: {found:o}"))?;
    let mut folders = vec![data];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(|e| e.to_string())? {
            let path = entry.map_err(|e| e.to_string())?.path();
            let found = mode(&path)?;
            must(found & 0o077 == 0, || {
                format!("{}: {found:o}", path.display())
            })?;
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    Ok(())
}

fn log_flood(_: &Stage) -> Result<(), String> {
    let world = World::start();
    // Only events: the welcome may come out after the port answers.
    let events = || world.log().lines().filter(|line| is_event(line)).count();
    let before = events();
    let begun = Instant::now();
    for _ in 0..300 {
        let mut client = world.tcp();
        client.say("GET / HTTP/1.1\r\n\r\n");
        let _ = client.closed(PATIENCE);
    }
    let lines = events() - before;
    // A line a second, and one for each kind of thing that happened first.
    let bound = 20 + begun.elapsed().as_secs() as usize;
    must(lines <= bound, || {
        format!("300 bad connections made {lines} lines")
    })
}
