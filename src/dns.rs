//! The DNS records an operator publishes so that clients and other servers find this server.
//!
//! RFC 6120 §3.2.1 and XEP-0368 §2: SRV records under `_xmpp-client`, `_xmpps-client`,
//! `_xmpp-server` and `_xmpps-server`. What this server does not offer gets the target `.`, which
//! says "decidedly not here" and spares others a guess at the default port.

mod check;

use std::fmt;
use std::net::IpAddr;

pub use check::{Finding, check};

/// The ports on which the world reaches this server; none where a protocol is off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ports {
    /// Clients, STARTTLS.
    pub c2s: Option<u16>,
    /// Clients, direct TLS.
    pub c2s_tls: Option<u16>,
    /// Other servers, STARTTLS.
    pub s2s: Option<u16>,
    /// Other servers, direct TLS.
    pub s2s_tls: Option<u16>,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The owner's name, in ASCII, with the dot at its end.
    pub name: String,
    /// The type.
    pub kind: &'static str,
    /// The value; in angle brackets where only the operator knows it.
    pub value: String,
}

/// The records of one domain and of its service hosts. A domain that has none in the DNS, an
/// address or a local name, gets none.
pub fn records(domain: &str, service_hosts: &[String], ports: Ports) -> Vec<Record> {
    let Some(domain) = published(domain) else {
        return vec![];
    };
    let mut records = vec![
        service("_xmpp-client", &domain, &domain, ports.c2s),
        service("_xmpps-client", &domain, &domain, ports.c2s_tls),
        service("_xmpp-server", &domain, &domain, ports.s2s),
        service("_xmpps-server", &domain, &domain, ports.s2s_tls),
    ];
    for (kind, value) in [
        ("A", "<this machine's IPv4 address>"),
        ("AAAA", "<and its IPv6 address>"),
    ] {
        records.push(Record {
            name: format!("{domain}."),
            kind,
            value: value.into(),
        });
    }
    for host in service_hosts.iter().filter_map(|host| published(host)) {
        records.push(service("_xmpp-server", &host, &domain, ports.s2s));
        records.push(service("_xmpps-server", &host, &domain, ports.s2s_tls));
        let name = format!("{host}.");
        records.push(Record {
            name,
            kind: "CNAME",
            value: format!("{domain}."),
        });
    }
    records
}

impl Record {
    /// The line of a zone file, the name padded to `width`.
    pub fn line(&self, width: usize) -> String {
        format!("{:width$}  IN  {:5}  {}", self.name, self.kind, self.value)
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line(0))
    }
}

fn service(service: &str, owner: &str, target: &str, port: Option<u16>) -> Record {
    let value = match port {
        Some(port) => format!("0 5 {port} {target}."),
        None => "0 0 0 .".into(),
    };
    Record {
        name: format!("{service}._tcp.{owner}."),
        kind: "SRV",
        value,
    }
}

/// The domain as the DNS has it (RFC 5891), if it can be there at all.
fn published(domain: &str) -> Option<String> {
    let domain = domain.trim_matches(['[', ']']);
    let local =
        domain.parse::<IpAddr>().is_ok() || domain == "localhost" || domain.ends_with(".localhost");
    if local {
        None
    } else {
        idna::domain_to_ascii(domain).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENTS: Ports = Ports {
        c2s: Some(5222),
        c2s_tls: Some(5223),
        s2s: None,
        s2s_tls: None,
    };

    fn lines(domain: &str, hosts: &[&str], ports: Ports) -> Vec<String> {
        let hosts: Vec<_> = hosts.iter().map(|host| host.to_string()).collect();
        records(domain, &hosts, ports)
            .iter()
            .map(Record::to_string)
            .collect()
    }

    #[test]
    fn clients_only() {
        assert_eq!(
            lines("example.org", &["rooms.example.org"], CLIENTS),
            [
                "_xmpp-client._tcp.example.org.  IN  SRV    0 5 5222 example.org.",
                "_xmpps-client._tcp.example.org.  IN  SRV    0 5 5223 example.org.",
                "_xmpp-server._tcp.example.org.  IN  SRV    0 0 0 .",
                "_xmpps-server._tcp.example.org.  IN  SRV    0 0 0 .",
                "example.org.  IN  A      <this machine's IPv4 address>",
                "example.org.  IN  AAAA   <and its IPv6 address>",
                "_xmpp-server._tcp.rooms.example.org.  IN  SRV    0 0 0 .",
                "_xmpps-server._tcp.rooms.example.org.  IN  SRV    0 0 0 .",
                "rooms.example.org.  IN  CNAME  example.org.",
            ]
        );
    }

    #[test]
    fn other_servers_reach_services_at_the_domain() {
        let ports = Ports {
            s2s: Some(15_269),
            ..CLIENTS
        };
        let lines = lines("example.org", &["rooms.example.org"], ports);
        for name in ["example.org", "rooms.example.org"] {
            let line = format!("_xmpp-server._tcp.{name}.  IN  SRV    0 5 15269 example.org.");
            assert!(lines.contains(&line), "{line} in {lines:#?}");
        }
    }

    #[test]
    fn names_are_ascii() {
        let lines = lines("bücher.example", &["rooms.bücher.example"], CLIENTS);
        assert_eq!(
            lines[0],
            "_xmpp-client._tcp.xn--bcher-kva.example.  IN  SRV    0 5 5222 xn--bcher-kva.example."
        );
        assert!(lines.iter().all(|line| line.is_ascii()), "{lines:#?}");
    }

    #[test]
    fn nothing_for_what_the_dns_does_not_hold() {
        for domain in ["localhost", "a.localhost", "127.0.0.1", "[::1]", "::1"] {
            assert_eq!(records(domain, &[], CLIENTS), [], "{domain}");
        }
    }
}
