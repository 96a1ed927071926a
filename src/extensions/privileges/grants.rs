//! What a component may do beyond speaking for its own domain, as the operator writes it: a list of
//! words such as `roster=both, message, presence, iq:urn:example=get, delegate:urn:example`.
//! `bridge` stands for what bridges to other networks usually want.

use rookery_protocol::stanza::IqType;
use rookery_protocol::xml::Element;

use super::NS;

/// What `bridge` stands for: the contacts of the other network come into the roster, what is
/// written there comes to all devices, and chats become bookmarks.
const BRIDGE: &str = "roster=both, message, presence, \
                      iq:http://jabber.org/protocol/pubsub=both, \
                      iq:http://jabber.org/protocol/pubsub#owner=set";

/// Which requests may be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    Get,
    Set,
    Both,
}

/// What a component may do. Nothing is granted that is not named.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Grants {
    /// Rosters (XEP-0356 §4).
    pub roster: Option<Access>,
    /// Messages in the name of users (§5).
    pub message: bool,
    /// It is told who of the users comes and goes (§7).
    pub presence: bool,
    /// IQs in the name of users, by the namespace of their payload (§6).
    pub iq: Vec<(String, Access)>,
    /// Namespaces of IQs to users and to the server that it answers (XEP-0355).
    pub delegated: Vec<String>,
}

impl Access {
    fn parse(word: &str) -> Option<Access> {
        match word {
            "get" => Some(Access::Get),
            "set" => Some(Access::Set),
            "both" => Some(Access::Both),
            _ => None,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Access::Get => "get",
            Access::Set => "set",
            Access::Both => "both",
        }
    }

    /// Whether a request of this type is among them.
    pub fn allows(self, kind: IqType) -> bool {
        match kind {
            IqType::Get => self != Access::Set,
            IqType::Set => self != Access::Get,
            IqType::Result | IqType::Error => false,
        }
    }
}

impl Grants {
    /// Reads them.
    ///
    /// # Errors
    /// A word that says nothing.
    pub fn parse(text: &str) -> Result<Grants, String> {
        let mut grants = Grants::default();
        for word in text.split([',', ' ']).filter(|it| !it.is_empty()) {
            grants.add(word)?;
        }
        Ok(grants)
    }

    fn add(&mut self, word: &str) -> Result<(), String> {
        let unknown = || {
            format!(
                "{word:?} is no privilege; there are bridge, roster=get|set|both, message, \
                 presence, iq:NAMESPACE=get|set|both and delegate:NAMESPACE"
            )
        };
        let access = |word: &str| Access::parse(word).ok_or_else(unknown);
        if let Some(rest) = word.strip_prefix("iq:") {
            let (namespace, which) = rest.rsplit_once('=').ok_or_else(unknown)?;
            // Whose roster it is, and what is said in his name, have words of their own.
            let is_own = namespace == rookery_protocol::ns::ROSTER || namespace == NS;
            if namespace.is_empty() || is_own {
                return Err(unknown());
            }
            self.iq.retain(|(it, _)| it != namespace);
            self.iq.push((namespace.to_owned(), access(which)?));
            return Ok(());
        }
        if let Some(namespace) = word.strip_prefix("delegate:") {
            if namespace.is_empty() {
                return Err(unknown());
            }
            if !self.delegated.iter().any(|it| it == namespace) {
                self.delegated.push(namespace.to_owned());
            }
            return Ok(());
        }
        match (word, word.strip_prefix("roster=")) {
            ("bridge", _) => BRIDGE.split(", ").try_for_each(|word| self.add(word))?,
            ("message", _) => self.message = true,
            ("presence", _) => self.presence = true,
            (_, Some(which)) => self.roster = Some(access(which)?),
            _ => return Err(unknown()),
        }
        Ok(())
    }

    /// Whether it is told of changes of rosters (XEP-0356 §4.4).
    pub fn hears_rosters(&self) -> bool {
        matches!(self.roster, Some(Access::Get | Access::Both))
    }

    /// Whether it may send an IQ of this type and payload in the name of a user.
    pub fn may_send(&self, kind: IqType, namespace: &str) -> bool {
        let known = self.iq.iter().find(|(it, _)| it == namespace);
        known.is_some_and(|(_, access)| access.allows(kind))
    }

    /// What it is told of its privileges when it has connected (XEP-0356 §4.2); none where it has
    /// none.
    pub fn to_element(&self) -> Option<Element> {
        let perm = |access: &str| Element::new(NS, "perm").with_attr("access", access);
        let mut all = Vec::new();
        if let Some(access) = self.roster {
            let push = if self.hears_rosters() {
                "true"
            } else {
                "false"
            };
            let roster = perm("roster").with_attr("type", access.word());
            all.push(roster.with_attr("push", push));
        }
        if self.message {
            all.push(perm("message").with_attr("type", "outgoing"));
        }
        if !self.iq.is_empty() {
            let namespaces = self.iq.iter().map(|(namespace, access)| {
                let element = Element::new(NS, "namespace").with_attr("ns", namespace);
                element.with_attr("type", access.word())
            });
            all.push(perm("iq").with_children(namespaces));
        }
        if self.presence {
            all.push(perm("presence").with_attr("type", "managed_entity"));
        }
        let privilege = Element::new(NS, "privilege");
        (!all.is_empty()).then(|| privilege.with_children(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_granted_that_is_not_named() {
        for text in ["", "  ", ", ,"] {
            assert_eq!(Grants::parse(text), Ok(Grants::default()));
        }
        let grants = Grants::parse("roster=get").unwrap();
        assert!(!grants.message && !grants.presence && grants.iq.is_empty());
        assert!(grants.roster.unwrap().allows(IqType::Get));
        assert!(!grants.roster.unwrap().allows(IqType::Set));
        assert!(Grants::default().to_element().is_none());
    }

    #[test]
    fn what_a_bridge_wants() {
        let grants = Grants::parse("bridge, iq:urn:x=get delegate:urn:y").unwrap();
        assert_eq!(grants.roster, Some(Access::Both));
        assert!(grants.message && grants.presence && grants.hears_rosters());
        assert!(grants.may_send(IqType::Get, "http://jabber.org/protocol/pubsub"));
        assert!(grants.may_send(IqType::Set, "http://jabber.org/protocol/pubsub#owner"));
        assert!(!grants.may_send(IqType::Get, "http://jabber.org/protocol/pubsub#owner"));
        assert!(grants.may_send(IqType::Get, "urn:x"));
        assert!(!grants.may_send(IqType::Set, "urn:x"));
        assert!(!grants.may_send(IqType::Get, "urn:y"));
        assert_eq!(grants.delegated, ["urn:y"]);
    }

    #[test]
    fn words_that_say_nothing_are_refused() {
        for text in [
            "everything",
            "roster",
            "roster=none",
            "iq:urn:x",
            "iq:urn:x=all",
            "iq:=get",
            "iq:jabber:iq:roster=both",
            "iq:urn:xmpp:privilege:2=set",
            "delegate:",
            "presence=roster",
        ] {
            assert!(Grants::parse(text).is_err(), "{text}");
        }
    }
}
