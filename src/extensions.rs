//! What this server can do beyond the core: the list of extensions, and all specifications it
//! obeys.

pub mod archive;
pub mod blocking;
pub mod carbons;
pub mod client_state;
pub mod clients;
pub mod commands;
pub mod disco;
pub mod displayed;
pub mod last;
pub mod motd;
pub mod moved;
pub mod offline;
pub mod pep;
pub mod ping;
pub mod privileges;
mod pubsub;
pub mod push;
pub mod register;
pub mod request;
mod rooms;
#[cfg(test)]
mod scene;
#[cfg(test)]
mod stories;
pub mod time;
pub mod version;

use rookery_actors::extension::{List, Spec};

/// The extensions, one line each; the order is the order in which they see a stanza.
pub const LIST: List = &[
    &blocking::EXTENSION,
    &displayed::DISPLAYED,
    &rooms::ROOMS,
    &archive::EXTENSION,
    &carbons::CARBONS,
    &offline::EXTENSION,
    &push::PUSH,
    &client_state::CLIENT_STATE,
    &clients::CLIENTS,
    &commands::COMMANDS,
    &pep::PEP,
    &disco::DISCO,
    &last::LAST,
    &motd::MOTD,
    &moved::MOVED,
    &ping::PING,
    &privileges::PRIVILEGES,
    &pubsub::service::PUBSUB,
    &register::REGISTER,
    &time::TIME,
    &version::SOFTWARE,
];

/// The RFCs that the core obeys: number and title.
pub const RFCS: &[(u16, &str)] = &[
    (5802, "SCRAM"),
    (6120, "XMPP: Core"),
    (6121, "XMPP: Instant Messaging and Presence"),
    (7590, "Use of TLS in XMPP"),
    (7622, "XMPP: Address Format"),
    (7673, "Using DANE TLSA Records with SRV Records"),
    (7677, "SCRAM-SHA-256"),
    (8265, "PRECIS: Usernames and Passwords"),
    (9266, "Channel Bindings for TLS 1.3"),
];

/// The XEPs that the core obeys.
pub const CORE: &[Spec] = &[
    Spec {
        xep: 4,
        version: "2.13.2",
        title: "Data Forms",
    },
    Spec {
        xep: 59,
        version: "1.0",
        title: "Result Set Management",
    },
    Spec {
        xep: 68,
        version: "1.3.0",
        title: "Field Standardization for Data Forms",
    },
    Spec {
        xep: 114,
        version: "1.6",
        title: "Jabber Component Protocol",
    },
    Spec {
        xep: 178,
        version: "1.2",
        title: "Best Practices for Use of SASL EXTERNAL with Certificates",
    },
    Spec {
        xep: 185,
        version: "1.0",
        title: "Dialback Key Generation and Validation",
    },
    Spec {
        xep: 198,
        version: "1.6.3",
        title: "Stream Management",
    },
    Spec {
        xep: 220,
        version: "1.1.1",
        title: "Server Dialback",
    },
    Spec {
        xep: 288,
        version: "1.0.1",
        title: "Bidirectional Server-to-Server Connections",
    },
    Spec {
        xep: 344,
        version: "0.4",
        title: "Impact of TLS and DNSSEC on Dialback",
    },
    Spec {
        xep: 368,
        version: "1.1.0",
        title: "SRV records for XMPP over TLS",
    },
    Spec {
        xep: 386,
        version: "1.1.0",
        title: "Bind 2",
    },
    Spec {
        xep: 388,
        version: "1.0.4",
        title: "Extensible SASL Profile",
    },
    Spec {
        xep: 440,
        version: "1.0.0",
        title: "SASL Channel-Binding Type Capability",
    },
    Spec {
        xep: 478,
        version: "0.2.0",
        title: "Stream Limits Advertisement",
    },
    Spec {
        xep: 474,
        version: "0.5.0",
        title: "SASL SCRAM Downgrade Protection",
    },
    Spec {
        xep: 480,
        version: "0.2.0",
        title: "SASL Upgrade Tasks",
    },
    Spec {
        xep: 484,
        version: "0.2.0",
        title: "Fast Authentication Streamlining Tokens",
    },
    Spec {
        xep: 509,
        version: "0.2.0",
        title: "Initial Authentication Pipelining",
    },
    Spec {
        xep: 515,
        version: "0.1.0",
        title: "TLS Channel-Binding Downgrade Protection",
    },
];

/// What is left out on purpose, and why.
pub const LEFT_OUT: &[(u16, &str, &str)] = &[
    (
        78,
        "Non-SASL Authentication",
        "obsolete, and weaker than SASL",
    ),
    (
        138,
        "Stream Compression",
        "a small stanza may grow to a large one (RFC 7590 §3.4)",
    ),
];

/// A specification and where it is obeyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// The XEP's number.
    pub xep: u16,
    /// The version that was read.
    pub version: &'static str,
    pub title: &'static str,
    /// The extension's name, or `core`.
    pub part: &'static str,
}

/// All XEPs that are obeyed, by number: for the README and `rookery xeps`.
pub fn table() -> Vec<Line> {
    let line = |part: &'static str| {
        move |spec: &Spec| Line {
            xep: spec.xep,
            version: spec.version,
            title: spec.title,
            part,
        }
    };
    let core = CORE.iter().map(line("core"));
    let extensions = LIST
        .iter()
        .flat_map(|it| it.specs.iter().map(line(it.name)));
    let mut lines: Vec<Line> = core.chain(extensions).collect();
    lines.sort_unstable();
    lines
}

/// The table as Markdown, RFCs first.
pub fn markdown() -> String {
    let mut text = String::from("| Specification | Version | Title | Part |\n|---|---|---|---|\n");
    for (number, title) in RFCS {
        text += &format!("| RFC {number} | | {title} | core |\n");
    }
    for Line {
        xep,
        version,
        title,
        part,
    } in table()
    {
        text += &format!("| XEP-{xep:04} | {version} | {title} | {part} |\n");
    }
    text
}

#[cfg(test)]
mod tests;
