//! What the operator reads when the door opens: who listens where, what to publish, what to do
//! next.

use crate::dns::{self, Ports};
use crate::opening::{Door, Listening};
use crate::tls::Served;
use rookery_config::{Settings, Sources};
use std::fmt::Write;

/// The whole text.
pub(super) fn text(
    settings: &Settings,
    listening: &[Listening],
    served: &Served,
    sources: &Sources,
) -> String {
    let mut text = format!(
        "Rookery {} serves {}\n\n",
        env!("CARGO_PKG_VERSION"),
        settings.domains.join(", ")
    );
    for listening in listening {
        let _ = writeln!(text, "  {:20}  {}", listening.door, listening.address);
    }
    let _ = write!(text, "\n{}", certificate(served));
    text.push_str(&records(settings, listening));
    let domain = settings
        .domains
        .first()
        .map_or("example.org", String::as_str);
    let command = command(sources);
    let _ = writeln!(
        text,
        "To make the first account:\n\n  {command} user add alice@{domain}"
    );
    text
}

/// What there is to say about the certificate.
fn certificate(served: &Served) -> String {
    if !served.self_signed {
        return String::new();
    }
    let digits = served.fingerprint.iter().map(|byte| format!("{byte:02X}"));
    format!(
        "The certificate is self-signed: clients will ask whether to trust it, and most other \
         servers\nwill not believe it. Name one of your own under [tls] in rookery.toml. Its \
         SHA-256 is\n\n  {}\n\n",
        digits.collect::<Vec<_>>().join(":")
    )
}

/// The DNS records of all domains, in columns.
fn records(settings: &Settings, listening: &[Listening]) -> String {
    let port = |door: Door| {
        let found = listening.iter().find(|listening| listening.door == door);
        found.map(|listening| listening.address.port())
    };
    let ports = Ports {
        c2s: port(Door::C2s),
        c2s_tls: port(Door::C2sTls),
        s2s: port(Door::S2s),
        s2s_tls: port(Door::S2sTls),
    };
    let of = |domain: &String| dns::records(domain, &settings.service_hosts(domain), ports);
    let records: Vec<_> = settings.domains.iter().flat_map(of).collect();
    if records.is_empty() {
        return String::new();
    }
    let width = records
        .iter()
        .map(|record| record.name.len())
        .max()
        .unwrap_or(0);
    let lines = records
        .iter()
        .map(|record| format!("  {}\n", record.line(width)));
    format!("DNS records to publish:\n\n{}\n", lines.collect::<String>())
}

/// This program, with the arguments that lead it to the same server.
fn command(sources: &Sources) -> String {
    let program = std::env::args().next().unwrap_or_else(|| "rookery".into());
    let mut command = program;
    if let Some(file) = &sources.file {
        let _ = write!(command, " --config {}", file.display());
    }
    if let Some(data) = &sources.data {
        let _ = write!(command, " --data {}", data.display());
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::Folder;
    use crate::tls::Certificates;

    #[test]
    fn everything_an_operator_needs() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(&place.path().join("data")).unwrap();
        let domains = vec!["example.org".to_owned(), "b.example".to_owned()];
        let settings = Settings {
            domains,
            ..Settings::default()
        };
        let served = Certificates::open(&settings.tls, &[], &settings.hosts(), &folder, 0).unwrap();
        let doors = [
            (Door::C2s, "[::]:15222"),
            (Door::C2sTls, "0.0.0.0:15223"),
            (Door::S2s, "[::]:15269"),
            (Door::S2sTls, "0.0.0.0:15270"),
        ];
        let listening = doors.map(|(door, address)| Listening {
            door,
            address: address.parse().unwrap(),
        });
        let sources = Sources {
            data: Some("/srv/x".into()),
            ..Sources::default()
        };
        let text = text(&settings, &listening, &served.served(), &sources);
        for part in [
            " serves example.org, b.example\n",
            "  clients, STARTTLS     [::]:15222\n",
            "  clients, direct TLS   0.0.0.0:15223\n",
            "self-signed",
            "_xmpp-client._tcp.example.org.",
            "SRV    0 5 15222 example.org.\n",
            "SRV    0 5 15223 b.example.\n",
            "  servers, STARTTLS     [::]:15269\n",
            "SRV    0 5 15269 example.org.\n",
            "_xmpp-server._tcp.rooms.b.example.",
            "SRV    0 5 15270 b.example.\n",
            "rooms.example.org. ",
            " --data /srv/x user add alice@example.org\n",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        // The path of this program is as long as it is.
        let lines = text.lines().filter(|line| !line.contains(" user add "));
        let long = lines.filter(|line| line.chars().count() > 100);
        assert_eq!(long.collect::<Vec<_>>(), Vec::<&str>::new());
    }
}
