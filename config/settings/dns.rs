//! How other servers are found.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use rookery_protocol::sasl::{decode_plainly, encode};
use rookery_protocol::targets::{DEFAULT_PORT, Tls, dns_name};
use serde::{Deserialize, Serialize};

use super::SECOND;
use crate::quantity::span;
use crate::reading::list;
use crate::section::section;

section! {
    /// How other servers are found.
    pub struct Dns {
        /// The name servers. Empty: those of this machine, which is asked as its other programs
        /// ask it (`/etc/hosts`, `/etc/resolv.conf`).
        #[serde(deserialize_with = "list")]
        pub servers: Vec<NameServer> = vec![],
        /// Whether signatures are checked here (DNSSEC, RFC 4035 §5). What is proved may then name
        /// other hosts and pin certificates (RFC 7673).
        pub validate: bool = false,
        /// The keys that prove the root of the DNS. Empty: those of the Internet.
        #[serde(deserialize_with = "list")]
        pub anchors: Vec<Anchor> = vec![],
        /// How long one question may take, all tries together.
        #[serde(with = "span")]
        pub timeout: Duration = 5 * SECOND,
        /// Answers that are remembered, for as long as they say.
        pub cache: u64 = 1_024,
        /// Places of domains that are reached without asking, in the order in which they are tried.
        pub overrides: BTreeMap<String, Vec<Place>> = BTreeMap::new(),
    }
}

/// A name server: `192.0.2.53`, `192.0.2.53:5353` or `[2001:db8::53]:5353`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct NameServer(pub SocketAddr);

impl FromStr for NameServer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53));
        let address = address.or_else(|_| text.parse()).ok();
        let address = address.filter(|address| address.port() != 0);
        address
            .map(NameServer)
            .ok_or_else(|| "a name server is an address such as 192.0.2.53".into())
    }
}

impl From<NameServer> for String {
    fn from(server: NameServer) -> String {
        server.0.to_string()
    }
}

/// A key of the DNS, as the data of a DNSKEY record (RFC 4034 §2.2): flags, protocol, algorithm and
/// the key in base 64, which may have spaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct Anchor {
    /// The number of its algorithm.
    pub algorithm: u8,
    /// The key.
    pub key: Vec<u8>,
}

impl FromStr for Anchor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let mut parts = text.split_whitespace();
            let flags: u16 = parts.next()?.parse().ok()?;
            let protocol = parts.next()?;
            let algorithm = parts.next()?.parse().ok()?;
            let key = decode_plainly(&parts.collect::<String>()).ok()?;
            // A key of a zone (§2.1.1), of the one protocol there is (§2.1.2).
            let is_sound = flags & 0x0100 != 0 && protocol == "3" && !key.is_empty();
            is_sound.then_some(Anchor { algorithm, key })
        };
        read().ok_or_else(|| {
            "a key of the DNS is the data of a DNSKEY record such as \"257 3 8 AwEA...\"".into()
        })
    }
}

impl From<Anchor> for String {
    fn from(anchor: Anchor) -> String {
        format!("257 3 {} {}", anchor.algorithm, encode(&anchor.key))
    }
}

/// A place at which a domain is reached: `host:port` with STARTTLS, `tls://host:port` with direct
/// TLS. The usual ports, 5269 and 5270, need not be written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Place {
    /// How TLS begins.
    pub tls: Tls,
    /// A host name as the DNS has it, or an address.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl TryFrom<String> for Place {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (tls, rest, usual) = match text.strip_prefix("tls://") {
            Some(rest) => (Tls::Direct, rest, DEFAULT_PORT + 1),
            None => (Tls::StartTls, &*text, DEFAULT_PORT),
        };
        let place = |host: String, port| Place { tls, host, port };
        let bare = rest.trim_start_matches('[').trim_end_matches(']');
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Ok(place(ip.to_string(), usual));
        }
        let found = match (rest.parse::<SocketAddr>(), rest.rsplit_once(':')) {
            (Ok(address), _) => Some((address.ip().to_string(), address.port())),
            (Err(_), None) => dns_name(rest).map(|host| (host, usual)),
            (Err(_), Some((host, port))) => dns_name(host).zip(port.parse().ok()),
        };
        found
            .filter(|(_, port)| *port != 0)
            .map(|(host, port)| place(host, port))
            .ok_or_else(|| format!("{text:?} is not a place such as tls://xmpp.example.org:5270"))
    }
}

impl From<Place> for String {
    fn from(place: Place) -> String {
        let scheme = match place.tls {
            Tls::Direct => "tls://",
            Tls::StartTls => "",
        };
        match place.host.contains(':') {
            true => format!("{scheme}[{}]:{}", place.host, place.port),
            false => format!("{scheme}{}:{}", place.host, place.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_as_people_write_them() {
        let rows = [
            ("xmpp.lan", "xmpp.lan:5269"),
            ("Xmpp.LAN:1", "xmpp.lan:1"),
            ("tls://bücher.lan", "tls://xn--bcher-kva.lan:5270"),
            ("tls://xmpp.lan:443", "tls://xmpp.lan:443"),
            ("10.0.0.5", "10.0.0.5:5269"),
            ("10.0.0.5:15269", "10.0.0.5:15269"),
            ("tls://[fd00::5]:1", "tls://[fd00::5]:1"),
            ("[fd00::5]", "[fd00::5]:5269"),
            ("fd00::5", "[fd00::5]:5269"),
        ];
        for (text, expected) in rows {
            let place = Place::try_from(text.to_owned()).unwrap_or_else(|e| panic!("{text}: {e}"));
            let written = String::from(place.clone());
            assert_eq!(written, expected, "{text}");
            assert_eq!(Place::try_from(written), Ok(place), "{text}");
        }
        for wrong in [
            "", ":5269", "a b", "x:0", "x:70000", "tls://", "http://x", "x:",
        ] {
            assert!(Place::try_from(wrong.to_owned()).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn keys_as_zones_have_them() {
        let read = |text: &str| text.parse::<Anchor>();
        let anchor = read("257 3 15 AQID BAUG").expect("a key");
        assert_eq!(
            (anchor.algorithm, &anchor.key[..]),
            (15, &[1, 2, 3, 4, 5, 6][..])
        );
        assert_eq!(String::from(anchor.clone()), "257 3 15 AQIDBAUG");
        assert_eq!(read("256 3 15 AQIDBAUG"), Ok(anchor));
        for wrong in [
            "",
            "257",
            "257 3 15",
            "257 3 15 %",
            "0 3 15 AQID",
            "257 4 15 AQID",
            "257 3 256 AQID",
            ". IN DNSKEY 257 3 15 AQID",
        ] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn name_servers_as_people_write_them() {
        let rows = [
            ("192.0.2.53", Some("192.0.2.53:53")),
            ("192.0.2.53:5353", Some("192.0.2.53:5353")),
            ("2001:db8::53", Some("[2001:db8::53]:53")),
            ("[2001:db8::53]:5353", Some("[2001:db8::53]:5353")),
            ("ns.example", None),
            ("192.0.2.53:0", None),
        ];
        for (text, expected) in rows {
            let server = text.parse::<NameServer>().ok().map(String::from);
            assert_eq!(server.as_deref(), expected, "{text}");
        }
    }
}
