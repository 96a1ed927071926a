//! Whether the world finds this server: the records that are there against those that should be.

use std::fmt;

use rookery_actors::resolver::{Family, Resolver, Unresolved};
use rookery_protocol::targets::{Answer, Srv};

use super::{Ports, Record, records};

/// Something that keeps others from finding this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong, in plain words, with the name it is about.
    pub what: String,
    /// The record that would put it right.
    pub publish: Option<Record>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.publish {
            Some(record) => write!(f, "; publish\n  {record}"),
            None => Ok(()),
        }
    }
}

/// What is wrong with the records of one domain and of its service hosts, in the order in which
/// they are [published](records); nothing of a domain that has none in the DNS. Whether an address
/// is this machine's is not asked: it may be behind another's.
pub async fn check(
    resolver: &Resolver,
    domain: &str,
    service_hosts: &[String],
    ports: Ports,
) -> Vec<Finding> {
    let mut findings = vec![];
    for record in records(domain, service_hosts, ports) {
        if record.kind == "SRV" {
            findings.extend(service(resolver, record).await);
        } else if record.kind == "A" {
            // The one for AAAA is asked for with it: either family will do.
            let name = record.name.trim_end_matches('.');
            findings.extend(unreachable(resolver, name).await);
        }
    }
    findings
}

/// What is wrong with one service's records.
async fn service(resolver: &Resolver, wanted: Record) -> Vec<Finding> {
    let name = wanted.name.trim_end_matches('.').to_owned();
    let port = wanted
        .value
        .split(' ')
        .nth(2)
        .and_then(|it| it.parse().ok());
    let port: Option<u16> = port.filter(|port| *port != 0);
    let found = match resolver.services(&name).await {
        Ok(Answer::Records { records, .. }) => records,
        Ok(_) => vec![],
        Err(why) => return vec![unknown(&name, &why)],
    };
    let is_there = |record: &&Srv| record.port != 0 && !record.target.is_empty();
    let places: Vec<&Srv> = found.iter().filter(is_there).collect();
    let finding = |what: String| Finding {
        what: format!("{name}: {what}"),
        publish: Some(wanted.clone()),
    };
    let Some(port) = port else {
        return match places.first() {
            Some(place) => vec![finding(format!(
                "it names {} port {}, and this server does not listen for that",
                place.target, place.port
            ))],
            // Where there is a port to guess, it will be guessed (RFC 6120 §3.2.2).
            None if found.is_empty() && name.starts_with("_xmpp-") => vec![finding(
                "nothing says that this server does not listen for that".into(),
            )],
            None => vec![],
        };
    };
    if places.is_empty() {
        return vec![finding("there is no such record".into())];
    }
    let mut findings = vec![];
    if !places.iter().any(|place| place.port == port) {
        let named: Vec<_> = places.iter().map(|place| place.port.to_string()).collect();
        let named = named.join(", ");
        findings.push(finding(format!(
            "it names port {named}, and this server listens on {port}"
        )));
    }
    let mut hosts: Vec<_> = places.iter().map(|place| place.target.as_str()).collect();
    hosts.sort_unstable();
    hosts.dedup();
    let own = wanted.value.rsplit(' ').next().unwrap_or_default();
    // The domain's own addresses are asked for by themselves.
    for host in hosts
        .into_iter()
        .filter(|host| *host != own.trim_end_matches('.'))
    {
        findings.extend(unreachable(resolver, host).await);
    }
    findings
}

/// That a host has no address, if so.
async fn unreachable(resolver: &Resolver, host: &str) -> Option<Finding> {
    let (v6, v4) = tokio::join!(
        resolver.addresses(host, Family::V6),
        resolver.addresses(host, Family::V4),
    );
    let both = [v6, v4];
    if both.iter().flatten().any(|found| !found.ips.is_empty()) {
        return None;
    }
    match both.into_iter().find_map(Result::err) {
        Some(why) => Some(unknown(host, &why)),
        None => Some(Finding {
            what: format!("{host}: it has no address"),
            publish: None,
        }),
    }
}

fn unknown(name: &str, why: &Unresolved) -> Finding {
    Finding {
        what: format!("{name}: it could not be looked up: {why}"),
        publish: None,
    }
}

#[cfg(test)]
#[path = "../../actors/testing/dns.rs"]
#[allow(
    dead_code,
    reason = "a whole name server, of which little is needed here"
)]
mod names;

#[cfg(test)]
mod tests {
    use rookery_config::settings::{Dns, NameServer as Named};

    use super::names::{NameServer, Row};
    use super::*;

    const ALL: Ports = Ports {
        c2s: Some(5222),
        c2s_tls: Some(5223),
        s2s: Some(5269),
        s2s_tls: Some(5270),
    };

    /// What is found of `a.example`, without the records to publish, after their names.
    fn found(rows: &[(&str, Row)], ports: Ports) -> Vec<String> {
        let server = NameServer::start(rows);
        let resolver = Resolver::new(&Dns {
            servers: vec![Named(server.address)],
            timeout: std::time::Duration::from_secs(60),
            ..Dns::default()
        });
        let hosts = ["rooms.a.example".to_owned()];
        let check = check(&resolver, "a.example", &hosts, ports);
        let found = actix_rt::System::new().block_on(check);
        found.into_iter().map(|finding| finding.what).collect()
    }

    /// Everything as the welcome prints it.
    fn published() -> Vec<(&'static str, Row)> {
        vec![
            ("a.example", Row::Address("192.0.2.1")),
            (
                "_xmpp-client._tcp.a.example",
                Row::Srv(0, 5, 5222, "a.example"),
            ),
            (
                "_xmpps-client._tcp.a.example",
                Row::Srv(0, 5, 5223, "a.example"),
            ),
            (
                "_xmpp-server._tcp.a.example",
                Row::Srv(0, 5, 5269, "a.example"),
            ),
            (
                "_xmpps-server._tcp.a.example",
                Row::Srv(0, 5, 5270, "a.example"),
            ),
            (
                "_xmpp-server._tcp.rooms.a.example",
                Row::Srv(0, 5, 5269, "a.example"),
            ),
            (
                "_xmpps-server._tcp.rooms.a.example",
                Row::Srv(0, 5, 5270, "a.example"),
            ),
        ]
    }

    #[test]
    fn nothing_is_wrong() {
        assert_eq!(found(&published(), ALL), Vec::<String>::new());
    }

    #[test]
    fn nothing_is_published() {
        let found = found(&[], ALL);
        assert_eq!(found.len(), 7, "{found:#?}");
        assert_eq!(
            found[0],
            "_xmpp-client._tcp.a.example: there is no such record"
        );
        assert_eq!(found[4], "a.example: it has no address");
    }

    #[test]
    fn what_is_published_of_a_server_without_federation() {
        let ports = Ports {
            s2s: None,
            s2s_tls: None,
            ..ALL
        };
        let still = "it names a.example port 5269, and this server does not listen for that";
        let named = found(&published(), ports);
        assert_eq!(named[0], format!("_xmpp-server._tcp.a.example: {still}"));
        assert_eq!(named.len(), 4, "{named:#?}");
        let nothing = found(&published()[..3], ports);
        let silent = "nothing says that this server does not listen for that";
        let hosts = ["a.example", "rooms.a.example"];
        assert_eq!(
            nothing,
            hosts.map(|it| format!("_xmpp-server._tcp.{it}: {silent}"))
        );
    }

    #[test]
    fn wrong_ports_wrong_hosts_and_failures() {
        let mut rows = published();
        rows[1].1 = Row::Srv(0, 5, 5322, "a.example");
        rows[2].1 = Row::Srv(0, 5, 5223, "gone.example");
        rows[3].1 = Row::Fail("");
        let error = "it could not be looked up: the name servers answer with an error: Server \
                     Failure";
        let expected = [
            "_xmpp-client._tcp.a.example: it names port 5322, and this server listens on 5222",
            "gone.example: it has no address",
            &format!("_xmpp-server._tcp.a.example: {error}"),
        ];
        assert_eq!(found(&rows, ALL), expected);
    }

    #[test]
    fn a_finding_says_what_to_publish() {
        let finding = Finding {
            what: "x: there is no such record".into(),
            publish: records("a.example", &[], ALL).into_iter().next(),
        };
        let expected = "x: there is no such record; publish\n  \
                        _xmpp-client._tcp.a.example.  IN  SRV    0 5 5222 a.example.";
        assert_eq!(finding.to_string(), expected);
    }
}
