//! R24: a server that sends all it can, on several streams.

use super::super::row::{Row, Stage, State, must, scene};
use super::{message, proved};
use crate::authority::Authority;
use crate::client::Silence;
use crate::world::{Plan, World};
use crate::xml::{CLIENT, Heard};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

pub fn rows() -> Vec<Row> {
    vec![scene(
        "R24",
        "a flood from a server, on four streams",
        flood,
    )]
}

/// Bytes a second, and at once.
const RATE: usize = 64 << 10;
/// Bytes of one message.
const LONG: usize = 16 << 10;
const STREAMS: usize = 4;
/// What is read at once.
const READ: usize = 16 << 10;
const TIME: Duration = Duration::from_secs(4);

/// All streams of a domain have one rate.
fn flood(stage: &Stage) -> Result<(), String> {
    let mut plan = Authority::get().certified_plan(&["a.test", "b.test"]);
    let rates = "[s2s]\nrate = \"64 KiB\"\nburst = \"64 KiB\"\n";
    let more = plan.more.replace("[s2s]\n", rates);
    plan = Plan {
        trusted: false,
        more: format!("strangers_per_minute = 100000\n{more}"),
        ..plan
    };
    let world = World::with(plan);
    let stage = Stage {
        world: &world,
        id: stage.id,
    };
    let mut alice = stage.client(State::Bound)?;
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        streams.push(proved(&stage, "evil.test", &["evil.test"])?);
    }
    let sockets = streams.iter().map(|it| it.socket().try_clone());
    let sockets: Vec<TcpStream> = sockets.collect::<Result<_, _>>().expect("sockets");
    let to = stage.bare("alice");
    let long =
        message("x@evil.test", &to, "x").replace("<body>x", &format!("<body>{}", "x".repeat(LONG)));
    let begun = Instant::now();
    let heard = std::thread::scope(|scope| {
        for stream in &mut streams {
            // What is not read by then waits in the sockets.
            scope.spawn(|| while begun.elapsed() < TIME && stream.say(&long) {});
        }
        let mut heard = 0;
        while begun.elapsed() < TIME {
            match alice.hear_within(TIME.saturating_sub(begun.elapsed())) {
                Ok(Heard::Element(it)) if it.is(CLIENT, "message") => heard += LONG,
                Ok(_) | Err(Silence::Timeout) => {}
                Err(other) => return Err(format!("{other:?}")),
            }
        }
        // Nobody waits any longer for what is not read.
        for socket in &sockets {
            let _ = socket.shutdown(Shutdown::Both);
        }
        Ok(heard)
    })?;
    // Each stream may have read once before it is told to wait.
    let most = RATE + RATE * begun.elapsed().as_secs() as usize + RATE + STREAMS * READ;
    must(heard <= most, || {
        format!("{heard} bytes were taken, of {most}")
    })?;
    must(heard >= RATE, || format!("only {heard} bytes were taken"))
}
