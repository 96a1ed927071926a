//! XEP-0441: whose messages the archive keeps.

use rookery_actors::effect::Effects;
use rookery_actors::extension::View;
use rookery_actors::keys::{self, Kind};
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::xml::Element;
use rookery_storage::Tree;
use rookery_storage::record::{Record, decode, encode};
use serde::{Deserialize, Serialize};
use tracing::error;

use crate::extensions::request::bad_request;

/// One row: the preferences.
pub(super) const PREFERENCES: Kind = Kind(0x1a);

/// The most addresses in both lists together.
const ADDRESSES: usize = 500;
/// The most bytes of them; they stay in memory.
const BYTES: usize = 32 * 1024;

/// What holds of addresses in neither list (§2.1.1).
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Others {
    #[default]
    Always,
    Never,
    /// Contacts in the roster.
    Roster,
}

const OTHERS: [(&str, Others); 3] = [
    ("always", Others::Always),
    ("never", Others::Never),
    ("roster", Others::Roster),
];

/// Whose messages the archive keeps.
#[derive(Serialize, Deserialize, Default, PartialEq, Debug)]
pub(super) struct Preferences {
    others: Others,
    always: Vec<Jid>,
    never: Vec<Jid>,
}

impl Record for Preferences {
    const VERSION: u8 = 1;
}

impl Preferences {
    /// Reads the row.
    pub fn load(value: &[u8]) -> Preferences {
        decode(value).unwrap_or_else(|problem| {
            error!(%problem, "the preferences of an archive cannot be read");
            Preferences::default()
        })
    }

    /// Whether messages with `peer` are kept (§2.3). What stands in both lists is not.
    pub fn keep(&self, peer: &Jid, view: View) -> bool {
        let is_meant = |listed: &Jid| match listed.is_bare() {
            true => listed.as_str() == peer.bare_str(),
            false => listed == peer,
        };
        match self.others {
            _ if self.never.iter().any(is_meant) => false,
            _ if self.always.iter().any(is_meant) => true,
            Others::Always => true,
            Others::Never => false,
            Others::Roster => view.account.is_contact(peer),
        }
    }

    /// Reads `<prefs/>` of a set.
    pub fn read(prefs: &Element) -> Result<Preferences, StanzaError> {
        let others = prefs.attr("default").ok_or_else(bad_request)?;
        let others = OTHERS.iter().find(|(name, _)| *name == others);
        let (_, others) = *others.ok_or_else(bad_request)?;
        let (always, never) = (list(prefs, "always")?, list(prefs, "never")?);
        let all = || always.iter().chain(&never);
        let bytes: usize = all().map(|jid| jid.as_str().len()).sum();
        if all().count() > ADDRESSES || bytes > BYTES {
            return Err(StanzaError::new(Condition::ResourceConstraint));
        }
        Ok(Preferences {
            others,
            always,
            never,
        })
    }

    /// `<prefs/>` as they are.
    pub fn to_element(&self) -> Element {
        let list = |name: &'static str, jids: &[Jid]| {
            let jid = |jid: &Jid| Element::new(ns::MAM, "jid").with_text(jid.as_str());
            Element::new(ns::MAM, name).with_children(jids.iter().map(jid))
        };
        let name = OTHERS.iter().find(|(_, others)| *others == self.others);
        Element::new(ns::MAM, "prefs")
            .with_attr("default", name.map_or("", |(name, _)| name))
            .with_child(list("always", &self.always))
            .with_child(list("never", &self.never))
    }

    /// Writes the row.
    pub fn write(&self, view: View, fx: &mut Effects) {
        let key = keys::row(view.account.id, PREFERENCES, &[]);
        match encode(self) {
            Ok(row) => fx.put(Tree::Account, key, row),
            Err(problem) => error!(%problem, "the preferences of an archive cannot be written"),
        }
    }
}

/// The addresses of a list, each once.
fn list(prefs: &Element, name: &str) -> Result<Vec<Jid>, StanzaError> {
    let mut all: Vec<Jid> = Vec::new();
    let listed = prefs.child(ns::MAM, name).into_iter();
    for jid in listed.flat_map(Element::children) {
        if !jid.is(ns::MAM, "jid") {
            return Err(bad_request());
        }
        let jid = Jid::parse(&jid.text());
        let jid = jid.map_err(|_| StanzaError::new(Condition::JidMalformed))?;
        all.push(jid);
    }
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extensions::scene::{Scene, jid};

    fn prefs(others: &str, inside: &str) -> Result<Preferences, &'static str> {
        let text = format!(
            "<prefs xmlns='{}' default='{others}'>{inside}</prefs>",
            ns::MAM
        );
        let read = Preferences::read(&Element::parse(&text, "").unwrap());
        read.map_err(|error| error.condition.as_str())
    }

    #[test]
    fn lists_come_before_the_default_and_never_before_always() {
        let scene = Scene::new();
        let lists = "<always><jid>eve@x.test</jid><jid>both@x.test</jid></always>\
                     <never><jid>bob@b.test/phone</jid><jid>both@x.test</jid></never>";
        // address, and whether its messages are kept with the default always, never, roster
        let rows = [
            ("eve@x.test/r", [true, true, true]),
            ("both@x.test", [false, false, false]),
            ("bob@b.test/phone", [false, false, false]),
            ("bob@b.test/desk", [true, false, true]),
            ("other@x.test", [true, false, false]),
        ];
        for (index, others) in ["always", "never", "roster"].into_iter().enumerate() {
            let prefs = prefs(others, lists).unwrap();
            for (address, kept) in rows {
                let is_kept = prefs.keep(&jid(address), scene.view());
                assert_eq!(is_kept, kept[index], "{address} {others}");
            }
        }
    }

    #[test]
    fn what_is_no_preference_is_refused() {
        assert_eq!(prefs("sometimes", ""), Err("bad-request"));
        assert_eq!(
            prefs("always", "<never><item/></never>"),
            Err("bad-request")
        );
        assert_eq!(
            prefs("always", "<never><jid>@</jid></never>"),
            Err("jid-malformed")
        );
        let many = |count: usize| {
            let jids: String = (0..count)
                .map(|n| format!("<jid>a{n}@x.test</jid>"))
                .collect();
            prefs("always", &format!("<never>{jids}</never>")).map(|it| it.never.len())
        };
        assert_eq!(many(ADDRESSES), Ok(ADDRESSES));
        assert_eq!(many(ADDRESSES + 1), Err("resource-constraint"));
        let long = format!("<jid>{}@x.test</jid>", "a".repeat(1000));
        let long = (0..40).map(|n| long.replacen('a', &format!("b{n}"), 1));
        let long = prefs(
            "always",
            &format!("<never>{}</never>", long.collect::<String>()),
        );
        assert_eq!(long, Err("resource-constraint"));
    }

    #[test]
    fn they_are_said_and_kept_as_they_were_set() {
        let lists = "<always><jid>eve@x.test</jid></always><never/>";
        let set = prefs("roster", lists).unwrap();
        let said = String::from_utf8(set.to_element().to_bytes(ns::MAM)).unwrap();
        assert_eq!(said, format!("<prefs default='roster'>{lists}</prefs>"));
        let row = encode(&set).unwrap();
        assert_eq!(row, b"\x01\x02\x01\x0aeve@x.test\x00");
        assert_eq!(Preferences::load(&row), set);
        assert_eq!(Preferences::load(b"\x09"), Preferences::default());
    }
}
