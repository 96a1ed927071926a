//! How a node is configured that nobody configured (XEP-0163 §6, XEP-0060 §7.1.4): as its
//! specification asks.

use rookery_protocol::ns;

use crate::extensions::pubsub::config::{Access, Config, MAX, SendLast};

/// The configuration of a new node of this name.
pub fn of_node(name: &str) -> Config {
    let known = RULES.iter().find(|rule| rule.covers(name));
    match known {
        Some(rule) => Config {
            access: rule.access,
            max_items: rule.max_items,
            send_last: rule.send_last,
            ..Config::default()
        },
        None => Config::default(),
    }
}

struct Rule {
    /// The name, or its beginning where it ends in a colon.
    name: &'static str,
    access: Access,
    max_items: u32,
    send_last: SendLast,
}

impl Rule {
    fn covers(&self, name: &str) -> bool {
        match self.name.ends_with(':') {
            true => name.starts_with(self.name),
            false => name == self.name,
        }
    }
}

const fn rule(name: &'static str, access: Access, max_items: u32, send_last: SendLast) -> Rule {
    Rule {
        name,
        access,
        max_items,
        send_last,
    }
}

use Access::{Open, Whitelist};
use SendLast::{Never, OnSubAndPresence as Last};

const RULES: &[Rule] = &[
    // XEP-0402 §4, XEP-0490 §3: nobody else's business, and all of it is kept.
    rule(ns::BOOKMARKS2, Whitelist, MAX, Never),
    rule("urn:xmpp:mds:displayed:0", Whitelist, MAX, Never),
    // XEP-0292 §4: for everybody, as business cards are (XEP-0222); address books are not.
    rule("urn:xmpp:vcard4", Open, 1, Last),
    rule("urn:xmpp:contacts", Whitelist, MAX, Never),
    // XEP-0384 §4: who has no keys can write no first message.
    rule("urn:xmpp:omemo:2:devices", Open, 1, Last),
    rule("urn:xmpp:omemo:2:bundles", Open, MAX, Never),
    rule("urn:xmpp:omemo:1:devices", Open, 1, Last),
    rule("urn:xmpp:omemo:1:bundles", Open, MAX, Never),
    rule("eu.siacs.conversations.axolotl.devicelist", Open, 1, Last),
    rule("eu.siacs.conversations.axolotl.bundles:", Open, 1, Never),
    // XEP-0373 §4, §5: the same; the backup of a secret key is for its owner.
    rule("urn:xmpp:openpgp:0:public-keys", Open, 1, Last),
    rule("urn:xmpp:openpgp:0:public-keys:", Open, 1, Never),
    rule("urn:xmpp:openpgp:0:secret-key", Whitelist, 1, Never),
    // XEP-0277 §3: a journal for everybody.
    rule("urn:xmpp:microblog:0", Open, MAX, Last),
    // XEP-0084 §3: asked for when somebody wants to see it.
    rule(ns::AVATAR_DATA, Access::Presence, 1, Never),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_gets_what_its_specification_asks_for() {
        let facts = |name| {
            let config = of_node(name);
            (config.access, config.max_items, config.send_last)
        };
        assert_eq!(facts("urn:xmpp:bookmarks:1"), (Whitelist, MAX, Never));
        assert_eq!(facts("urn:xmpp:mds:displayed:0"), (Whitelist, MAX, Never));
        assert_eq!(facts("urn:xmpp:omemo:2:devices"), (Open, 1, Last));
        assert_eq!(facts("urn:xmpp:omemo:2:bundles").1, MAX);
        assert_eq!(
            facts("eu.siacs.conversations.axolotl.bundles:31415").0,
            Open
        );
        assert_eq!(
            facts("urn:xmpp:avatar:metadata"),
            (Access::Presence, 1, Last)
        );
        assert_eq!(
            facts("http://jabber.org/protocol/nick"),
            (Access::Presence, 1, Last)
        );
    }
}
