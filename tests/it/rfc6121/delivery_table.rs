//! RFC 6121 §8.5.4, table 1: every state of the recipient, every form of address, every type of
//! message, and what may happen.

use crate::client::PATIENCE;
use crate::device::Device;
use crate::world::World;
use crate::xml::El;
use std::time::Instant;

/// What may become of a message.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// Kept, and delivered to the next available device.
    Offline,
    /// Answered by an error.
    Error,
    /// Nothing happens.
    Silence,
    /// Delivered to `one`.
    One,
    /// Delivered to `two`, or to both.
    Two,
    Both,
}
use Fate::*;

/// The recipient's state, the resource written to ("" is the bare address), and the fates allowed
/// for normal, chat, groupchat and headline.
type Line = (State, &'static str, [&'static [Fate]; 4]);

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    NoAccount,
    Offline,
    Negative,
    OneDevice,
    TwoDevices,
}

const TABLE: &[Line] = &[
    (
        State::NoAccount,
        "",
        [&[Silence, Error], &[Silence, Error], &[Error], &[Silence]],
    ),
    (State::NoAccount, "x", [SE, SE, SE, SE]),
    (
        State::Offline,
        "",
        [&[Offline, Error], &[Offline, Error], &[Error], &[Silence]],
    ),
    (State::Offline, "x", [SE, &[Offline, Error], SE, SE]),
    (
        State::Negative,
        "",
        [&[Offline, Error], &[Offline, Error], &[Error], &[Silence]],
    ),
    (State::Negative, "one", [&[One], &[One], &[One], &[One]]),
    (State::Negative, "x", [SE, &[Offline, Error], SE, SE]),
    (State::OneDevice, "", [&[One], &[One], &[Error], &[One]]),
    (State::OneDevice, "one", [&[One], &[One], &[One], &[One]]),
    (State::OneDevice, "x", [SE, &[One], SE, SE]),
    (
        State::TwoDevices,
        "",
        [&[Two, Both], &[Two, Both], &[Error], &[Both]],
    ),
    (
        State::TwoDevices,
        "one",
        [&[One], &[One, Both], &[One], &[One]],
    ),
    (State::TwoDevices, "x", [SE, &[Two, Both], SE, SE]),
];
const SE: &[Fate] = &[Silence, Error];
const TYPES: [&str; 4] = ["normal", "chat", "groupchat", "headline"];

#[test]
fn every_cell_of_the_table() {
    let world = World::start();
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let line = |(n, line)| {
            let world = &world;
            scope.spawn(move || play(world, n, line))
        };
        let lines: Vec<_> = TABLE.iter().enumerate().map(line).collect();
        lines
            .into_iter()
            .flat_map(|line| line.join().expect("a line that was played"))
            .collect()
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Sends a message of each type and says which met a fate that is not allowed.
fn play(world: &World, n: usize, (state, resource, cells): &Line) -> Vec<String> {
    let user = format!("juliet{n}");
    let mut romeo = world.online(&format!("romeo{n}@b.test/foo"));
    let mut devices = devices(world, &user, *state);
    let slash = if resource.is_empty() { "" } else { "/" };
    let to = format!("{user}@a.test{slash}{resource}");
    for kind in TYPES {
        romeo.says(&format!(
            "<message to='{to}' type='{kind}' id='{kind}'><body>whisper</body></message>"
        ));
    }
    let mut late = Vec::new();
    if matches!(state, State::Offline | State::Negative) {
        romeo.ping();
        let mut device = world.device(&format!("{user}@a.test/late"));
        device.says("<presence/>");
        late.push(device);
    }
    let (mut answers, mut heard, mut kept) = (Vec::new(), vec![Vec::new(); devices.len()], vec![]);
    let end = Instant::now() + PATIENCE;
    loop {
        answers.extend(romeo.drains());
        for (device, heard) in devices.iter_mut().zip(&mut heard) {
            heard.extend(device.drains());
        }
        late.iter_mut()
            .for_each(|device| kept.extend(device.drains()));
        let mut wrong = Vec::new();
        for (kind, allowed) in TYPES.iter().zip(cells) {
            let fates = fates(kind, &answers, &heard, &kept);
            let one = matches!(fates[..], [fate] if allowed.contains(&fate));
            let none = fates.is_empty() && allowed.contains(&Silence);
            if !one && !none {
                wrong.push(format!("{state:?} {to} {kind}: {fates:?}, not {allowed:?}"));
            }
        }
        // A slow machine may take its time; what is heard too much stays wrong.
        if wrong.is_empty() || Instant::now() > end {
            return wrong;
        }
    }
}

/// The recipient's devices in a state: `two` has the higher priority.
fn devices(world: &World, user: &str, state: State) -> Vec<Device> {
    if state != State::NoAccount {
        world.account(user, "a.test");
    }
    let priorities: &[(&str, i8)] = match state {
        State::NoAccount | State::Offline => &[],
        State::Negative => &[("one", -1)],
        State::OneDevice => &[("one", 0)],
        State::TwoDevices => &[("one", 1), ("two", 5)],
    };
    let arrive = |(resource, priority): &(&str, i8)| {
        let full = format!("{user}@a.test/{resource}");
        let mut device = world.device(&full);
        device.says(&format!(
            "<presence><priority>{priority}</priority></presence>"
        ));
        device.waits_for(&format!("<presence from='{full}'/>"));
        device
    };
    priorities.iter().map(arrive).collect()
}

/// What became of the message with this id: the answers to its sender, what each device heard, and
/// what came to a device that arrived later.
fn fates(id: &str, answers: &[El], heard: &[Vec<El>], late: &[El]) -> Vec<Fate> {
    let of = |heard: &[El]| heard.iter().find(|el| el.attr("id") == Some(id)).cloned();
    let mut fates = Vec::new();
    if of(answers).is_some_and(|el| el.attr("type") == Some("error")) {
        fates.push(Error);
    }
    let reached: Vec<bool> = heard.iter().map(|heard| of(heard).is_some()).collect();
    match reached[..] {
        [true] | [true, false] => fates.push(One),
        [false, true] => fates.push(Two),
        [true, true] => fates.push(Both),
        _ => {}
    }
    if of(late).is_some() {
        fates.push(Offline);
    }
    fates
}
