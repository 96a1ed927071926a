//! Bad input and attacks, one row one entry: what is said to the server, and which answers are
//! right. While the rows play, a canary pings through the same server and must be answered.

mod abroad;
mod archive;
mod binding;
mod canary;
mod components;
mod contents;
mod copies;
mod cost;
mod eventing;
mod exhaustion;
mod federation;
mod framing;
mod identity;
mod logs;
mod privacy;
mod pubsub;
mod rooms;
mod rosters;
mod row;
mod sasl;
mod sessions;
mod sizes;
mod timing;
mod tls;
mod tokens;
mod waiting;

pub use tls::cpu_ticks;

use crate::authority::Authority;
use crate::elsewhere::asking;
use crate::world::{Plan, World};
use canary::Canary;
use row::Row;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Writes a line that the test harness does not keep to itself.
fn tell(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Plays the rows of a section in a world, four at a time, and says how many passed and what
/// failed.
fn play((title, plan, rows): Section) -> (usize, Vec<String>) {
    let only = std::env::var("ROOKERY_ROW").unwrap_or_default();
    let rows: Vec<Row> = rows
        .into_iter()
        .filter(|r| r.id.starts_with(&only))
        .collect();
    if rows.is_empty() {
        return (0, Vec::new());
    }
    let world = World::with(plan);
    let canary = Canary::start(&world);
    let before = cost::Before::of(&world);
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(why) = play_row(&world, row) {
                        failures
                            .lock()
                            .expect("lock")
                            .push(format!("{}: {why}", row.id));
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().expect("lock");
    let passed = rows.len() - failures.len();
    match canary.stop() {
        Ok((pings, worst)) => {
            tell(&format!(
                "canary  {title}: {pings} pings, the slowest took {worst:.1?}"
            ));
        }
        Err(e) => failures.push(format!("{title}, canary: {e}")),
    }
    let (cost, broken) = before.bill(&world);
    tell(&format!("cost    {title}: {cost}"));
    failures.extend(broken.iter().map(|it| format!("{title}: {it}")));
    failures.extend(logs::secrets_in(&world.log()).err());
    (passed, failures)
}

fn play_row(world: &World, row: &Row) -> Result<(), String> {
    let played = catch_unwind(AssertUnwindSafe(|| row.play(world)));
    let mut outcome = played.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text
            .or(panic.downcast_ref::<&str>().map(|s| s.to_string()))
            .unwrap_or_default())
    });
    if !world.is_up() {
        outcome = Err(format!("the server is gone; {outcome:?}"));
    }
    match &outcome {
        Ok(()) => tell(&format!("ok      {} {}", row.id, row.what)),
        Err(why) => tell(&format!("FAILED  {} {}: {why}", row.id, row.what)),
    }
    outcome
}

/// Rate limits off, as tests need it; sizes hold for all.
fn trusted() -> Plan {
    Plan::default()
}

/// Rate limits as a stranger meets them.
fn untrusted() -> Plan {
    Plan {
        trusted: false,
        ..Plan::default()
    }
}

/// No plaintext login.
fn encrypted() -> Plan {
    Plan {
        plaintext: "never",
        ..Plan::default()
    }
}

/// It speaks with servers that have certificates.
fn certified() -> Plan {
    Authority::get().certified_plan(&["a.test", "b.test"])
}

/// The same, and it looks for others in the DNS of these tests.
fn outgoing() -> Plan {
    let mut plan = certified();
    plan.more = plan.more.replace("/8\"]", "/8\", \"::1/128\"]");
    plan.more += &asking();
    plan
}

/// Whom it does not reach it tries again soon.
fn stubborn() -> Plan {
    let mut plan = outgoing();
    plan.more += "[outbox]\nretry = \"2s\"\nretry_longest = \"2s\"\n";
    plan
}

/// Tokens that end soon.
fn hasty() -> Plan {
    Plan {
        more: "[clients]\ntoken_lifetime = \"3s\"\ntoken_rotation = \"1s\"\n".into(),
        ..Plan::default()
    }
}

/// Sessions that wait a second for their clients, and take little.
fn narrow() -> Plan {
    Plan {
        more: "[acks]\nresume = \"1s\"\nstanzas = 10\nspill = \"128 KiB\"\n".into(),
        ..Plan::default()
    }
}

/// A section of the table, the server it is played against, and its rows.
type Section = (&'static str, Plan, Vec<Row>);

fn sections() -> Vec<Section> {
    let both = |one: Vec<Row>, other: Vec<Row>| one.into_iter().chain(other).collect();
    let stanzas = both(identity::rows(), rosters::rows());
    vec![
        ("X", trusted(), both(framing::rows(), sizes::rows())),
        ("T, TLS", trusted(), tls::rows()),
        ("T, STARTTLS required", encrypted(), tls::rows_encrypted()),
        (
            "T, SASL and binding",
            trusted(),
            both(both(sasl::rows(), binding::rows()), tokens::rows()),
        ),
        ("T, hasty tokens", hasty(), tokens::rows_hasty()),
        ("T, strangers", untrusted(), sasl::rows_untrusted()),
        (
            "C",
            trusted(),
            both(both(stanzas, contents::rows()), copies::rows()),
        ),
        ("C, strangers", untrusted(), contents::rows_untrusted()),
        ("C, components", trusted(), components::rows()),
        ("P", trusted(), privacy::rows()),
        ("R", trusted(), exhaustion::rows()),
        ("R, strangers", untrusted(), exhaustion::rows_untrusted()),
        ("A, archives", trusted(), archive::rows()),
        ("A, sessions", trusted(), sessions::rows()),
        (
            "A, sessions that end soon",
            narrow(),
            sessions::rows_narrow(),
        ),
        ("M", trusted(), rooms::rows()),
        ("U", trusted(), both(pubsub::rows(), eventing::rows())),
        ("U, strangers", untrusted(), pubsub::rows_untrusted()),
        ("F", certified(), federation::rows()),
        ("F, abroad", outgoing(), abroad::rows()),
        ("F, keys", abroad::keys::plan(), abroad::keys::rows()),
        ("F, abroad, soon", stubborn(), abroad::rows_hasty()),
        ("L", trusted(), logs::rows()),
    ]
}

/// The rows that take minutes or gigabytes: played by `scripts/attacks`.
fn heavy_sections() -> Vec<Section> {
    let rows = sizes::heavy_rows().into_iter();
    let rows = rows
        .chain(timing::heavy_rows())
        .chain(exhaustion::heavy_rows())
        .chain(abroad::heavy_rows());
    let strangers = exhaustion::heavy_rows_untrusted().into_iter();
    let rows = rows.map(|row| (row.id, trusted(), vec![row]));
    rows.chain(strangers.map(|row| (row.id, untrusted(), vec![row])))
        .collect()
}

#[test]
fn every_row() {
    // Two sections at a time: they mostly wait for the server.
    run(sections(), 2);
}

#[test]
fn heavy_rows() {
    if std::env::var("ROOKERY_ATTACKS").is_ok_and(|v| v == "heavy") {
        run(heavy_sections(), 1);
    }
}

/// Plays sections and tells the sum. `ROOKERY_ROW=T20` plays the rows that begin so.
fn run(sections: Vec<Section>, at_once: usize) {
    let sections = Mutex::new(sections.into_iter());
    let played = Mutex::new((0, Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    let Some(section) = sections.lock().expect("lock").next() else {
                        return;
                    };
                    let title = section.0;
                    let (passed, failures) = catch_unwind(AssertUnwindSafe(|| play(section)))
                        .unwrap_or_else(|_| (0, vec![format!("{title}: the world fell apart")]));
                    let mut played = played.lock().expect("lock");
                    played.0 += passed;
                    played.1.extend(failures);
                }
            });
        }
    });
    let (passed, failures) = played.into_inner().expect("lock");
    tell(&format!("{passed} passed, {} failed", failures.len()));
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_row_is_played_or_waits() {
    let sections: Vec<Section> = sections().into_iter().chain(heavy_sections()).collect();
    let rows = sections.iter().flat_map(|(_, _, rows)| rows);
    let mut ids: Vec<&str> = rows
        .map(|row| row.id.split('-').next().expect("an id"))
        .collect();
    ids.sort_unstable();
    ids.dedup();
    for (id, why) in waiting::WAITING {
        tell(&format!("waits   {id} {why}"));
        ids.push(id);
    }
    for id in waiting::TABLE {
        let times = ids.iter().filter(|i| *i == id).count();
        assert!(
            times == 1,
            "row {id} is played or waits {times} times, not once"
        );
    }
    let (played, waits) = (ids.len() - waiting::WAITING.len(), waiting::WAITING.len());
    tell(&format!("attacks: {played} rows are played, {waits} wait"));
}
