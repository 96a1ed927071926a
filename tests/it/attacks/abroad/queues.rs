//! R09, R10: what waits for servers that are dead.

use super::super::row::{Row, Stage, must, scene};
use super::super::{cpu_ticks, tell};
use super::keys::plan;
use super::writes;
use crate::client::{Client, PATIENCE};
use crate::device::Device;
use crate::elsewhere::{Elsewhere, dns, lasting, place};
use crate::names::Row as Record;
use crate::world::World;
use crate::xml::STANZA_ERRORS;
use std::time::{Duration, Instant};

pub fn rows() -> Vec<Row> {
    vec![
        scene(
            "R09",
            "ten thousand words for a dead server",
            one_dead_server,
        ),
        scene("R10", "hundreds of dead servers", many_dead_servers),
    ]
}

/// What may wait of that which need not last.
const WAITING: usize = 1_000;
/// Servers that are called at once.
const CALLED: usize = 256;

fn one_dead_server(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    // It takes the call, and that is all.
    let server = Elsewhere::of("r09.test");
    stage.world.count();
    for hundred in 0..100 {
        let questions = (0..100).map(|number| {
            let id = hundred * 100 + number;
            format!("<iq type='get' to='r09.test' id='{id}'><q xmlns='q'/></iq>")
        });
        let questions: String = questions.collect();
        alice.says(&questions);
        for _ in 0..if hundred * 100 < WAITING { 0 } else { 100 } {
            refused(&mut alice, "resource-constraint");
        }
    }
    server.visit()?.closed(4 * PATIENCE)?;
    for _ in 0..WAITING {
        refused(&mut alice, "remote-server-timeout");
    }
    Ok(())
}

fn refused(alice: &mut Device, condition: &str) {
    alice.hears(&format!(
        "<iq type='error' from='r09.test' id='*'><error type='wait'>\
         <{condition} xmlns='{STANZA_ERRORS}'/></error></iq>"
    ));
}

/// In a world where nobody else is called.
fn many_dead_servers(stage: &Stage) -> Result<(), String> {
    let world = World::with(plan());
    let stage = &Stage {
        world: &world,
        id: stage.id,
    };
    let mut alice = stage.online("alice");
    let server = Elsewhere::unknown("r10.test");
    for number in 0..CALLED + 44 {
        let domain = format!("d{number}.r10.test");
        server.serves(&domain, "_xmpp-server", 0);
        writes(stage, &mut alice, &domain);
    }
    let mut called: Vec<Client> = server.crowd(CALLED)?;
    must(called.len() == CALLED, || {
        format!("{} are called", called.len())
    })?;
    // Those that hang up make room.
    drop(called.split_off(100));
    let rest = server.crowd(44)?;
    must(rest.len() == 44, || {
        format!("{} are called then", rest.len())
    })?;
    // The others are given up in time.
    for call in &mut called {
        call.closed(4 * PATIENCE)?;
    }
    Ok(())
}

/// Rows that take long.
pub fn heavy_rows() -> Vec<Row> {
    vec![scene(
        "R10-thousands",
        "five thousand dead servers, for a minute",
        thousands,
    )]
}

/// Domains that are dead, each with a message that waits for it.
const DEAD: u64 = 5_000;
/// What one of them may cost in memory.
const EACH: u64 = 16 << 10;

/// They cost some memory and are left alone most of the time, also after a restart. The figures are
/// printed; how often they are looked for is what tells a loop from patience.
fn thousands(stage: &Stage) -> Result<(), String> {
    let world = World::with(plan());
    let stage = &Stage {
        world: &world,
        id: stage.id,
    };
    let mut alice = stage.online("alice");
    let nobodys = lasting(place().to_string());
    dns().add("dead.r10.test", Record::Address(nobodys));
    for number in 0..DEAD {
        let name = format!("_xmpp-server._tcp.d{number}.r10.test");
        // Half of them have no name server either.
        let row = match number % 2 {
            0 => Record::Srv(0, 0, 20_000, "dead.r10.test"),
            _ => Record::Fail(""),
        };
        dns().add(&name, row);
    }
    alice.ping();
    let before = world.rss_kib();
    let says = |number: u64| {
        format!(
            "<message type='chat' to='x@d{number}.r10.test' id='{number}'><body>x</body></message>"
        )
    };
    for hundred in 0..DEAD / 100 {
        let numbers = hundred * 100..(hundred + 1) * 100;
        alice.says(&numbers.map(says).collect::<String>());
        alice.ping();
    }
    // All are called once, and the first of them again.
    std::thread::sleep(Duration::from_secs(20));
    let each = (world.rss_kib().saturating_sub(before) << 10) / DEAD;
    tell(&format!("dead    {DEAD} domains: {each} bytes each"));
    must(each <= EACH, || format!("each of them costs {each} bytes"))?;
    let tries = minute(&world, "a minute of it");
    must(tries <= 3 * DEAD, || format!("{tries} tries in a minute"))?;
    world.term();
    let begun = Instant::now();
    world.rise();
    let (took, rss) = (begun.elapsed(), world.rss_kib());
    tell(&format!(
        "dead    a start with them took {took:.1?}, with {rss} KiB"
    ));
    let tries = minute(&world, "the first minute after a start");
    must(tries <= 4 * DEAD, || format!("{tries} tries in a minute"))
}

/// How often they were looked for in a minute.
fn minute(world: &World, what: &str) -> u64 {
    let asked = || {
        let all = dns().asked();
        let tries = all.iter().filter(|it| it.starts_with("SRV _xmpp-server."));
        tries.count() as u64
    };
    let (ticks, before) = (cpu_ticks(world.pid()), asked());
    std::thread::sleep(Duration::from_secs(60));
    let (ticks, tries) = (cpu_ticks(world.pid()) - ticks, asked() - before);
    let rss = world.rss_kib();
    tell(&format!(
        "dead    {what}: {tries} tries, {} ms of CPU, {rss} KiB",
        ticks * 10
    ));
    tries
}
