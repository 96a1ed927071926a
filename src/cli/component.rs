//! `rookery component …`: bridges to other networks, and other programs that speak for a domain of
//! their own (XEP-0114).

use super::order::{Done, Make, give};
use super::{Failure, Place, shown};
use crate::control::{self, Answer, Order, Secret};
use crate::dns::{self, Ports};
use crate::opening::Start;
use clap::Subcommand;
use rookery_config::Settings;
use serde_json::json;
use std::fmt::Write;
use std::net::SocketAddr;

#[derive(Debug, Subcommand)]
pub(super) enum Component {
    /// Make one, and print what the program needs to be given
    Add {
        /// Its domain, such as irc.example.org, or irc for that below the server's only domain
        name: String,
        /// What it may do besides speaking for its domain: `bridge`, or a list of roster=get,
        /// roster=set, roster=both, message, presence, iq:NAMESPACE=get, delegate:NAMESPACE
        #[arg(long, value_name = "LIST", default_value = "")]
        privileges: String,
    },
    /// Show all of them
    List,
    /// Show what the program needs to be given
    Show {
        /// Its domain
        name: String,
    },
    /// Take one out; what waits for it goes back to its senders
    Remove {
        /// Its domain
        name: String,
    },
}

pub(super) fn component(place: &Place, what: Component, start: Start) -> Result<(), Failure> {
    let settings = place.settings()?;
    let whole = |name: String| match (name.contains('.'), settings.domains.as_slice()) {
        (false, [domain]) => format!("{name}.{domain}"),
        _ => name,
    };
    let mut make = Make::No;
    let (order, did) = match what {
        Component::Add { name, privileges } => {
            make = Make::Yes;
            let name = whole(name);
            let did = format!("{name} is a component now. ");
            (Order::AddComponent { name, privileges }, did)
        }
        Component::List => (Order::ListComponents, String::new()),
        Component::Show { name } => {
            let name = whole(name);
            (Order::ShowComponent { name }, String::new())
        }
        Component::Remove { name } => {
            let name = whole(name);
            let did = format!("{name} is no component any more.\n");
            (Order::RemoveComponent { name }, did)
        }
    };
    let Done { answer, .. } = give(settings.clone(), &order, make, start)?;
    match answer {
        Answer::Components(all) if place.json => shown::json(&json!({ "components": all })),
        Answer::Components(all) if order == Order::ListComponents => shown::text(&table(&all)),
        Answer::Components(all) => {
            for component in all {
                shown::text(&format!("{did}{}", details(&component, &settings)));
            }
        }
        _ if place.json => shown::json(&json!({ "ok": true })),
        _ => shown::text(&did),
    }
    Ok(())
}

/// The components, one a line.
fn table(all: &[control::Component]) -> String {
    let width = all.iter().map(|it| it.name.chars().count()).max();
    let width = width.unwrap_or(0);
    let line = |it: &control::Component| {
        let state = if it.connected { "connected" } else { "away" };
        let line = format!("{:width$}  {state:9}  {}", it.name, it.privileges);
        format!("{}\n", line.trim_end())
    };
    match all {
        [] => "There are no components. Make one: rookery component add irc\n".into(),
        all => all.iter().map(line).collect(),
    }
}

/// What the program needs, and what else there is to say.
fn details(component: &control::Component, settings: &Settings) -> String {
    let mut text = "The program needs to be given:\n\n".to_owned();
    let addresses = component.places.iter();
    let addresses: Vec<SocketAddr> = addresses.filter_map(|it| it.parse().ok()).collect();
    // Most programs know IPv4, and a name or address beside a port.
    let best = addresses.iter().find(|it| it.is_ipv4());
    if let Some(address) = best.or(addresses.first()) {
        let _ = writeln!(text, "  host    {}", address.ip());
        let _ = writeln!(text, "  port    {}", address.port());
    }
    let _ = writeln!(text, "  JID     {}", component.name);
    let secret = component.secret.as_ref().map_or("", Secret::reveal);
    let _ = writeln!(text, "  secret  {secret}");
    let paths = component.places.iter();
    for path in paths.filter(|it| it.parse::<SocketAddr>().is_err()) {
        let _ = writeln!(
            text,
            "\nInstead of host and port it may use the socket {path}"
        );
    }
    let _ = writeln!(text, "The secret lies in {}", component.file);
    if !component.privileges.is_empty() {
        let _ = writeln!(text, "It may besides: {}", component.privileges);
    }
    text.push_str(&records(&component.name, settings));
    text
}

/// How people on other servers find it.
fn records(name: &str, settings: &Settings) -> String {
    let port = |all: &[SocketAddr]| all.first().map(SocketAddr::port);
    let ports = Ports {
        c2s: None,
        c2s_tls: None,
        s2s: port(&settings.listen.s2s),
        s2s_tls: port(&settings.listen.s2s_tls),
    };
    // Who speaks to no other server has nothing to publish.
    let Some(domain) = settings.domains.first().filter(|_| settings.federates()) else {
        return String::new();
    };
    let home = settings.domains.iter();
    let home = home.filter(|it| name.ends_with(&format!(".{it}")));
    let home = home.max_by_key(|it| it.len()).unwrap_or(domain);
    let all = dns::records(home, &[name.to_owned()], ports);
    let own: Vec<_> = all.iter().filter(|it| it.name.contains(name)).collect();
    if own.is_empty() {
        return String::new();
    }
    let width = own.iter().map(|it| it.name.len()).max().unwrap_or(0);
    let lines = own.iter().map(|it| format!("  {}\n", it.line(width)));
    let lines: String = lines.collect();
    format!(
        "\nFor people on other servers, publish in the DNS (and have the certificate name it):\n\n\
         {lines}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(name: &str, connected: bool) -> control::Component {
        control::Component {
            name: name.into(),
            privileges: "bridge".into(),
            connected,
            file: "/srv/x/components/irc.a.example.secret".into(),
            of_settings: false,
            places: ["[::1]:5347", "127.0.0.1:5347", "/srv/x/component.sock"]
                .map(str::to_owned)
                .into(),
            secret: Some(Secret::new("0123".into())),
        }
    }

    #[test]
    fn what_a_bridge_needs() {
        let mut settings = Settings {
            domains: vec!["a.example".into()],
            ..Settings::default()
        };
        settings.listen.s2s = vec!["0.0.0.0:5269".parse().unwrap()];
        settings.listen.s2s_tls = vec![];
        let text = details(&made("irc.a.example", false), &settings);
        for part in [
            "  host    127.0.0.1\n",
            "  port    5347\n",
            "  JID     irc.a.example\n",
            "  secret  0123\n",
            "the socket /srv/x/component.sock\n",
            "_xmpp-server._tcp.irc.a.example.",
            "5269 a.example.",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        settings.listen.s2s = vec![];
        let text = details(&made("irc.a.example", false), &settings);
        assert!(!text.contains("DNS"), "{text}");
    }

    #[test]
    fn one_line_a_component() {
        let all = [made("irc.a.example", true), made("x.a.example", false)];
        assert_eq!(
            table(&all),
            "irc.a.example  connected  bridge\nx.a.example    away       bridge\n"
        );
        assert!(table(&[]).contains("rookery component add"));
    }
}
