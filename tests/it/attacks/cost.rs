//! What rows may cost the server besides time: no panic, some memory, and a line of log for each
//! connection, with nothing of the input in it.

use crate::world::{World, judged_by_prosody};

/// What the rows of a section may leave in memory, in KiB: their accounts, what the allocator
/// keeps, and the tables of a server that has just begun. Rows that could take more are measured by
/// themselves.
const LEFT: u64 = 16 * 1024;
/// Lines of log that a server writes as it starts.
const START: u64 = 16;

/// A server before the rows.
pub struct Before {
    rss: u64,
}

impl Before {
    pub fn of(world: &World) -> Before {
        Before {
            rss: world.rss_kib(),
        }
    }

    /// What the rows have cost; an error for each bound that they broke.
    pub fn bill(&self, world: &World) -> (String, Vec<String>) {
        let grown = world.rss_kib().saturating_sub(self.rss);
        let (log, connections) = (world.log(), world.connections());
        let lines = log.lines().filter(|line| is_event(line)).count() as u64;
        let mut broken = Vec::new();
        if grown > LEFT {
            broken.push(format!("memory grew by {grown} KiB"));
        }
        if lines > connections + START {
            broken.push(format!("{connections} connections made {lines} lines"));
        }
        broken.extend(quoted(&log).map(|line| format!("the log quotes its input: {line}")));
        if !judged_by_prosody() {
            let (_, status) = world.run(&["status", "--json"], "");
            let counted = status
                .split_once("\"panics\":")
                .map(|(_, rest)| rest.trim());
            if !counted.is_some_and(|it| it.starts_with('0')) {
                broken.push(format!("panics: {status}"));
            }
        }
        let told = format!("{grown} KiB left, {lines} lines of {connections} connections");
        (told, broken)
    }
}

/// Whether this is a line of the log, not of the welcome.
pub fn is_event(line: &str) -> bool {
    ["ERROR", "WARN", "INFO", "DEBUG"]
        .iter()
        .any(|level| line.contains(&format!(" {level} ")))
}

/// A line of the log with XML, or with what moves a terminal's cursor.
fn quoted(log: &str) -> Option<&str> {
    log.lines().filter(|line| is_event(line)).find(|line| {
        let hostile = |c: char| c == '<' || (c.is_control() && c != '\t');
        line.contains(hostile) || line.contains("&lt;")
    })
}

#[test]
fn what_a_log_may_not_say() {
    let event = |text: &str| format!("2030-01-01T00:00:00Z  INFO rookery: {text}");
    assert_eq!(quoted(&event("a login failed peer=127.0.0.1")), None);
    for text in ["bad <message", "&lt;x", "red \u{1b}[31m", "nul \0"] {
        assert!(quoted(&event(text)).is_some(), "{text:?}");
    }
    assert_eq!(quoted("  rookery user add <address>"), None, "the welcome");
}
