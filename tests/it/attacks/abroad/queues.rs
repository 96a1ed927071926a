//! R09, R10: what waits for servers that are dead.

use super::super::row::{Row, Stage, must, scene};
use super::keys::plan;
use super::writes;
use crate::client::{Client, PATIENCE};
use crate::device::Device;
use crate::elsewhere::Elsewhere;
use crate::world::World;
use crate::xml::STANZA_ERRORS;

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
