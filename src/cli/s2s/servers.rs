//! Other servers, for people.

use super::shown;
use rookery_actors::admin::servers::{Link, Server, State, Stream};
use rookery_actors::roll::Security;

/// A line for each, and one more for what is wrong.
pub(super) fn list(servers: &[Server]) -> String {
    if servers.is_empty() {
        return "Nothing is going on with other servers.\n".into();
    }
    let row = |server: &Server| {
        [
            server.domain.clone(),
            state(server),
            security(server),
            waiting(&server.links),
        ]
    };
    let rows: Vec<[String; 4]> = servers.iter().map(row).collect();
    let width = |column: usize| {
        let widths = rows.iter().map(|row| row[column].chars().count());
        widths.max().unwrap_or(0)
    };
    let (domain, state, security) = (width(0), width(1), width(2));
    let mut text = String::new();
    for (row, server) in rows.iter().zip(servers) {
        let [a, b, c, d] = row;
        let line = format!("{a:domain$}  {b:state$}  {c:security$}  {d}");
        text += &format!("{}\n", line.trim_end());
        for what in troubles(server) {
            text += &format!("  {what}\n");
        }
    }
    text
}

/// All that is known of one.
pub(super) fn show(server: &Server) -> String {
    let Server { domain, .. } = server;
    let policy = match (server.blocked, server.secure) {
        (true, _) => "blocked here",
        (_, true) => "must prove itself by a certificate",
        (_, false) => "must prove itself at least by dialback",
    };
    let mut text = format!("{domain}\n  {policy}\n");
    text.extend(server.links.iter().map(link));
    text.extend(server.streams.iter().map(stream));
    if let Some(refused) = &server.refused {
        let since = minute(refused.since);
        text += &format!("  it came at {since}: {}\n", refused.what);
    }
    if server.links.is_empty() && server.streams.is_empty() && server.refused.is_none() {
        text += &format!("  Nothing is going on. To try it: rookery s2s trace {domain}\n");
    }
    text
}

fn link(link: &Link) -> String {
    let queue = match waiting(std::slice::from_ref(link)).as_str() {
        "" => "nothing waits".to_owned(),
        waiting => format!(
            "{waiting} ({} bytes, {} on the disk)",
            link.bytes, link.lasting
        ),
    };
    let state = of_link(link);
    let mut text = format!("  from {}: {state}; {queue}\n", link.local);
    if link.failures > 0 {
        text += &format!("    tried in vain: {}\n", times(link.failures));
    }
    if let Some(error) = &link.error {
        text += &format!("    {error}\n");
    }
    text
}

fn stream(stream: &Stream) -> String {
    let (way, with) = match stream.outbound {
        true => ("out", "to"),
        false => ("in", "from"),
    };
    let since = minute(stream.since);
    let address = stream.address.as_deref().unwrap_or("nowhere");
    let tls = stream.tls.as_deref().unwrap_or("not encrypted");
    let counted = match stream.counted {
        true => ", acknowledged",
        false => "",
    };
    let mut text = format!("  stream {way}, {with} {address}, since {since}, {tls}\n");
    text += &format!(
        "    stanzas: {} sent, {} received{counted}\n",
        stream.sent, stream.received
    );
    for pair in &stream.pairs {
        let theirs = of_security(pair.security);
        let (from, to) = match stream.outbound {
            true => (&pair.local, &pair.remote),
            false => (&pair.remote, &pair.local),
        };
        let ours = match pair.external {
            Some(true) => ", we by ours",
            Some(false) => ", we by dialback",
            None => "",
        };
        let and = if pair.both { "and" } else { "to" };
        text += &format!("    {from} {and} {to}: they proved themselves by {theirs}{ours}\n");
    }
    if let Some(certificate) = &stream.certificate {
        text += &format!("    their certificate is {certificate}\n");
    }
    text
}

/// Which way stanzas go, or why they do not.
fn state(server: &Server) -> String {
    let is_up = |it: &&Link| it.state == State::Connected;
    let goes =
        server.links.iter().any(|it| is_up(&it)) || server.streams.iter().any(|it| it.outbound);
    let both = |it: &Stream| it.pairs.iter().any(|pair| pair.both);
    let comes = server.streams.iter().any(|it| !it.outbound || both(it));
    if server.blocked {
        return "blocked".into();
    }
    let away = |it: &&Link| matches!(it.state, State::Calling | State::Resting { .. });
    match (goes, comes, server.links.iter().find(away)) {
        (true, true, _) => "out and in".into(),
        (true, false, _) => "out".into(),
        (false, _, Some(link)) => of_link(link),
        (false, true, None) => "in".into(),
        (false, false, None) => "not connected".into(),
    }
}

fn of_link(link: &Link) -> String {
    match link.state {
        State::Idle => "not connected".into(),
        State::Calling => "being called".into(),
        State::Connected => "connected".into(),
        State::Resting { seconds } => format!("tried again in {}", span(seconds)),
    }
}

/// The weakest way in which it proved itself.
fn security(server: &Server) -> String {
    let pairs = server.streams.iter().flat_map(|it| &it.pairs);
    let its = pairs.filter(|it| it.remote == server.domain);
    match its.map(|it| it.security).max() {
        Some(security) => of_security(security).into(),
        None => "-".into(),
    }
}

fn of_security(security: Security) -> &'static str {
    match security {
        Security::Certificate => "certificate",
        Security::Dane => "certificate in signed DNS (DANE)",
        Security::Dialback => "dialback",
    }
}

/// What waits for it; empty: nothing.
fn waiting(links: &[Link]) -> String {
    let stanzas: usize = links.iter().map(|it| it.stanzas).sum();
    let oldest = links.iter().filter_map(|it| it.oldest).min();
    let stanzas = match stanzas {
        0 => return String::new(),
        1 => "1 stanza waits".to_owned(),
        n => format!("{n} stanzas wait"),
    };
    match oldest {
        Some(time) => format!("{stanzas} since {}", minute(time)),
        None => stanzas,
    }
}

/// What went wrong.
fn troubles(server: &Server) -> Vec<String> {
    let errors = server.links.iter().filter_map(|it| it.error.clone());
    let mut troubles: Vec<String> = errors.collect();
    troubles.sort_unstable();
    troubles.dedup();
    let refused = server.refused.iter();
    troubles.extend(refused.map(|it| format!("when it came: {}", it.what)));
    troubles
}

fn times(count: u32) -> String {
    match count {
        1 => "once".into(),
        n => format!("{n} times"),
    }
}

fn minute(millis: u64) -> String {
    shown::minute(i64::try_from(millis).unwrap_or(i64::MAX))
}

/// A span of time with one unit.
fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rookery_actors::admin::servers::{Pair, Trouble};

    fn link(state: State) -> Link {
        Link {
            local: "a.test".into(),
            state,
            stanzas: 0,
            lasting: 0,
            bytes: 0,
            oldest: None,
            failures: 0,
            error: None,
        }
    }

    fn stream(outbound: bool, security: Security) -> Stream {
        let pair = Pair {
            local: "a.test".into(),
            remote: "c.test".into(),
            security,
            external: outbound.then_some(true),
            both: false,
        };
        Stream {
            outbound,
            since: 60_000,
            address: Some("192.0.2.1".into()),
            tls: Some("TLS 1.3 with X".into()),
            certificate: Some("for c.test".into()),
            counted: outbound,
            received: 0,
            sent: 3,
            pairs: vec![pair],
        }
    }

    fn server(domain: &str) -> Server {
        Server {
            domain: domain.into(),
            secure: true,
            ..Server::default()
        }
    }

    fn servers() -> [Server; 3] {
        let both = [(true, Security::Certificate), (false, Security::Dialback)];
        let connected = Server {
            links: vec![link(State::Connected)],
            streams: both.map(|(way, by)| stream(way, by)).to_vec(),
            ..server("c.test")
        };
        let away = Server {
            links: vec![Link {
                stanzas: 2,
                lasting: 1,
                bytes: 300,
                oldest: Some(60_000),
                failures: 3,
                error: Some("it is away".into()),
                ..link(State::Resting { seconds: 130 })
            }],
            ..server("dead.test")
        };
        let refused = Server {
            refused: Some(Trouble {
                since: 0,
                what: "it showed no certificate".into(),
            }),
            ..server("e.test")
        };
        [connected, away, refused]
    }

    #[test]
    fn one_line_a_server_and_one_for_what_is_wrong() {
        assert_eq!(
            list(&servers()),
            "c.test     out and in            dialback\n\
             dead.test  tried again in 2 min  -         2 stanzas wait since 1970-01-01 00:01\n\
             \x20 it is away\n\
             e.test     not connected         -\n\
             \x20 when it came: it showed no certificate\n"
        );
        assert!(list(&[]).starts_with("Nothing"));
    }

    #[test]
    fn all_of_one_server() {
        let [connected, away, refused] = servers();
        assert_eq!(
            show(&connected),
            "c.test\n\
             \x20 must prove itself by a certificate\n\
             \x20 from a.test: connected; nothing waits\n\
             \x20 stream out, to 192.0.2.1, since 1970-01-01 00:01, TLS 1.3 with X\n\
             \x20   stanzas: 3 sent, 0 received, acknowledged\n\
             \x20   a.test to c.test: they proved themselves by certificate, we by ours\n\
             \x20   their certificate is for c.test\n\
             \x20 stream in, from 192.0.2.1, since 1970-01-01 00:01, TLS 1.3 with X\n\
             \x20   stanzas: 3 sent, 0 received\n\
             \x20   c.test to a.test: they proved themselves by dialback\n\
             \x20   their certificate is for c.test\n"
        );
        assert_eq!(
            show(&away),
            "dead.test\n\
             \x20 must prove itself by a certificate\n\
             \x20 from a.test: tried again in 2 min; 2 stanzas wait since 1970-01-01 00:01 \
             (300 bytes, 1 on the disk)\n\
             \x20   tried in vain: 3 times\n\
             \x20   it is away\n"
        );
        assert!(show(&refused).contains("it came at 1970-01-01 00:00: it showed no certificate"));
        let blocked = Server {
            blocked: true,
            ..server("f.test")
        };
        assert_eq!(
            show(&blocked),
            "f.test\n  blocked here\n\
             \x20 Nothing is going on. To try it: rookery s2s trace f.test\n"
        );
    }
}
