//! What a client asks for in `<authenticate/>` (XEP-0388 §2.3), read once.

use smol_str::SmolStr;

use crate::error::Condition;
use crate::jid::Jid;
use crate::ns;
use crate::sasl::{Failure, Hash, Token, TokenId, TokenMechanism};
use crate::stream_management::{Command, Misuse};
use crate::xml::Element;

/// Longest id of a client, in bytes. XEP-0388 §2.3 wants a UUID, which has 36.
const MAX_ID: usize = 128;
/// Longest name of a program or device that is remembered, in bytes.
const MAX_NAME: usize = 128;
/// Longest tag in a resource, in bytes (XEP-0386 §4.2.1 calls it short).
const MAX_TAG: usize = 128;

/// A client's own name for its installation, which stays the same (XEP-0388 §2.3). Nobody but its
/// user and the server may learn it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientId(pub SmolStr);

/// What a client says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agent {
    /// Which client it is; without that nothing is remembered of it.
    pub id: Option<ClientId>,
    /// The program.
    pub software: Option<String>,
    /// The machine it runs on.
    pub device: Option<String>,
}

/// A client that has proved who it is.
#[derive(Clone, Debug)]
pub struct Admission {
    /// The bare JID.
    pub account: Jid,
    /// Which client; it has an id.
    pub client: ClientId,
    /// What it says of itself.
    pub agent: Agent,
    /// What it proved that with.
    pub by: By,
    /// It wants a token for this mechanism (XEP-0484 §3.2).
    pub request: Option<TokenMechanism>,
}

/// What a client proved itself with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The account's password.
    Password,
    /// A token.
    Token {
        /// Which.
        id: TokenId,
        /// How often it was used, as the client says.
        count: Option<u32>,
        /// It is not to be good any more (XEP-0484 §3.6).
        invalidate: bool,
    },
}

/// A token for a client (XEP-0484 §3.3).
#[derive(Clone, Debug)]
pub struct Issued {
    /// The token.
    pub token: Token,
    /// Until when it is good, in milliseconds since 1970.
    pub expiry: u64,
}

/// A request to bind (XEP-0386 §4.2).
#[derive(Clone, Debug)]
pub struct Bind2 {
    /// The start of the resource.
    pub tag: Option<String>,
    /// Requests for features, in other namespaces.
    pub inline: Vec<Element>,
}

/// All that one `<authenticate/>` asks for.
#[derive(Debug, Default)]
pub(super) struct Wish {
    pub agent: Agent,
    /// `<fast/>`: it comes with a token.
    pub fast: Option<Fast>,
    pub request: Option<TokenMechanism>,
    /// XEP-0198 within it: the session's id and `h`, or why that makes no sense.
    pub resume: Option<Result<(SmolStr, u32), Condition>>,
    pub bind: Option<Box<Bind2>>,
    /// Keys that the client would make for us (XEP-0480 §2.2).
    pub upgrades: Vec<Hash>,
}

/// `<fast/>` as a client sends it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fast {
    pub count: Option<u32>,
    pub invalidate: bool,
}

impl Wish {
    /// Reads `<authenticate/>`; what is unknown in it is ignored.
    pub fn parse(element: &Element) -> Result<Wish, Failure> {
        let mut wish = Wish::default();
        for child in element.children() {
            match (child.ns(), child.name()) {
                (ns::SASL2, "user-agent") => wish.agent = Agent::parse(child),
                (ns::FAST, "fast") => wish.fast = Some(Fast::parse(child)?),
                (ns::FAST, "request-token") => {
                    let name = child.attr("mechanism").unwrap_or_default();
                    wish.request = TokenMechanism::from_name(name);
                }
                (ns::STREAM_MANAGEMENT, "resume") => wish.resume = Some(resumption(child)),
                (ns::BIND2, "bind") => wish.bind = Some(Box::new(Bind2::parse(child))),
                (ns::SASL_UPGRADE, "upgrade") => {
                    wish.upgrades.extend(super::upgrade::hash(&child.text()));
                }
                _ => {}
            }
        }
        Ok(wish)
    }
}

impl Agent {
    fn parse(element: &Element) -> Agent {
        let id = element.attr("id");
        let id = id.filter(|id| (1..=MAX_ID).contains(&id.len()));
        let name = |name| named(&element.child(ns::SASL2, name)?.text());
        Agent {
            id: id.map(|id| ClientId(id.into())),
            software: name("software"),
            device: name("device"),
        }
    }
}

impl Fast {
    fn parse(element: &Element) -> Result<Fast, Failure> {
        let count = element.attr("count").map(str::parse);
        Ok(Fast {
            count: count.transpose().map_err(|_| Failure::MalformedRequest)?,
            invalidate: matches!(element.attr("invalidate"), Some("1" | "true")),
        })
    }
}

impl Bind2 {
    fn parse(element: &Element) -> Bind2 {
        let tag = element.child(ns::BIND2, "tag").map(Element::text);
        let others = element.children().filter(|child| child.ns() != ns::BIND2);
        Bind2 {
            tag: tag.filter(|tag| (1..=MAX_TAG).contains(&tag.len())),
            inline: others.cloned().collect(),
        }
    }
}

fn resumption(element: &Element) -> Result<(SmolStr, u32), Condition> {
    match Command::parse(element) {
        Ok(Command::Resume { previd, h }) => Ok((previd, h)),
        Err(Misuse::Failed(condition)) => Err(condition),
        _ => Err(Condition::BadRequest),
    }
}

/// A name that can be shown: one line, not too long.
fn named(text: &str) -> Option<String> {
    let shown = text.chars().filter(|char| !char.is_control());
    let mut name = String::new();
    for char in shown {
        if name.len() + char.len_utf8() > MAX_NAME {
            break;
        }
        name.push(char);
    }
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}
