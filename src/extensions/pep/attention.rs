//! Of which chats the account's owner wants to be told (XEP-0492), as his bookmarks say: kept
//! beside them in a form that can be looked at while a message arrives.

use std::collections::BTreeMap;

use rookery_actors::effect::Effects;
use rookery_actors::extension::Attention;
use rookery_actors::keys::{AccountId, Kind, row};
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::xml::Element;
use rookery_storage::Tree;
use rookery_storage::record::{Record, decode, encode};
use serde::{Deserialize, Serialize};
use tracing::error;

/// A [`Setting`]; then the bare JID of the chat.
pub const ATTENTION: Kind = Kind(0x33);

/// The row of a chat that its owner said something of; never reorder.
#[derive(Clone, Copy, Serialize, Deserialize, PartialEq, Debug)]
enum Setting {
    Never,
    OnMention,
    Always,
}

impl Record for Setting {
    const VERSION: u8 = 1;
}

/// The chats that he said something of.
#[derive(Default)]
pub struct Chats(BTreeMap<String, Setting>);

impl Chats {
    /// Takes a row of [`ATTENTION`].
    pub fn load(&mut self, rest: &[u8], value: &[u8]) {
        match (String::from_utf8(rest.to_vec()), decode(value)) {
            (Ok(chat), Ok(setting)) => drop(self.0.insert(chat, setting)),
            _ => error!("how an owner wants to be told of a chat cannot be read"),
        }
    }

    /// What was said of the chat with this bare JID.
    pub fn get(&self, chat: &str) -> Option<Attention> {
        self.0.get(chat).map(|setting| match setting {
            Setting::Never => Attention::Never,
            Setting::OnMention => Attention::OnMention,
            Setting::Always => Attention::Always,
        })
    }

    /// These are all bookmarks now: the ids of their items, and what is in them.
    pub fn follow(
        &mut self,
        bookmarks: &[(String, Element)],
        account: AccountId,
        fx: &mut Effects,
    ) {
        let said = bookmarks.iter().filter_map(|(id, bookmark)| {
            let chat = Jid::parse(id).ok()?.bare_str().to_owned();
            Some((chat, setting(bookmark)?))
        });
        let now: BTreeMap<String, Setting> = said.collect();
        let key = |chat: &String| row(account, ATTENTION, chat.as_bytes());
        for chat in self.0.keys().filter(|chat| !now.contains_key(*chat)) {
            fx.delete(Tree::Account, key(chat));
        }
        for (chat, setting) in &now {
            if self.0.get(chat) == Some(setting) {
                continue;
            }
            match encode(setting) {
                Ok(value) => fx.put(Tree::Account, key(chat), value),
                Err(problem) => error!(%problem, "the setting of a chat cannot be written"),
            }
        }
        self.0 = now;
    }
}

/// XEP-0492 §3: of the elements in `<notify/>` the one that fits a phone best, as phones are what
/// is woken.
fn setting(bookmark: &Element) -> Option<Setting> {
    let extensions = bookmark.child(ns::BOOKMARKS2, "extensions")?;
    let notify = extensions.child(ns::NOTIFICATIONS, "notify")?;
    let fit = |element: &Element| {
        let category = element.attr("identity-category");
        match (category, element.attr("identity-type")) {
            (Some("client"), Some("phone")) => Some(0),
            (Some("client"), None) => Some(1),
            (None, None) => Some(2),
            _ => None,
        }
    };
    let settings = notify.children().filter_map(|element| {
        let setting = match element.name() {
            "never" => Setting::Never,
            "on-mention" => Setting::OnMention,
            "always" => Setting::Always,
            _ => return None,
        };
        (element.ns() == ns::NOTIFICATIONS).then_some((fit(element)?, setting))
    });
    let best = settings.min_by_key(|(fit, _)| *fit);
    best.map(|(_, setting)| setting)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extensions::scene::Scene;

    fn bookmark(inside: &str) -> Element {
        let text = format!(
            "<conference xmlns='urn:xmpp:bookmarks:1'><extensions>\
             <notify xmlns='urn:xmpp:notification-settings:1'>{inside}</notify></extensions>\
             </conference>"
        );
        Element::parse(&text, "").unwrap()
    }

    /// XEP-0492 §3: high to low.
    #[test]
    fn the_most_specific_counts() {
        let rows = [
            ("<never/>", Some(Setting::Never)),
            (
                "<always/><on-mention identity-category='client'/>",
                Some(Setting::OnMention),
            ),
            (
                "<always identity-category='client'/><never/>\
                 <on-mention identity-category='client' identity-type='phone'/>",
                Some(Setting::OnMention),
            ),
            (
                "<never identity-category='client' identity-type='pc'/><always/>",
                Some(Setting::Always),
            ),
            ("<never identity-category='gateway'/>", None),
            ("<never identity-type='phone'/>", None),
            ("<never xmlns='urn:x'/>", None),
            ("<sometimes/>", None),
            ("", None),
        ];
        for (inside, wanted) in rows {
            assert_eq!(setting(&bookmark(inside)), wanted, "{inside}");
        }
        let without = Element::new(ns::BOOKMARKS2, "conference");
        assert_eq!(setting(&without), None);
    }

    #[test]
    fn rows_follow_the_bookmarks() {
        let scene = Scene::new();
        let mut chats = Chats::default();
        let follow = |chats: &mut Chats, bookmarks: &[(&str, &str)]| {
            let element = |(id, inside): &(&str, &str)| ((*id).to_owned(), bookmark(inside));
            let bookmarks: Vec<_> = bookmarks.iter().map(element).collect();
            let mut fx = scene.effects();
            chats.follow(&bookmarks, scene.account.id, &mut fx);
            let changed = !fx.rows.is_empty();
            scene.keep(&mut fx);
            changed
        };
        let both = [
            ("A@r.test", "<never/>"),
            ("b@r.test", "<always/>"),
            ("", "<never/>"),
        ];
        assert!(follow(&mut chats, &both));
        assert!(!follow(&mut chats, &both), "nothing is new");
        assert_eq!(chats.get("a@r.test"), Some(Attention::Never));
        assert_eq!(chats.get("b@r.test"), Some(Attention::Always));
        assert_eq!(chats.get("c@r.test"), None);
        assert!(follow(&mut chats, &[("b@r.test", "<on-mention/>")]));
        let mut again = Chats::default();
        for chat in ["a@r.test", "b@r.test"] {
            for (key, value) in scene.read(&[scene.row(ATTENTION, chat.as_bytes())]) {
                again.load(&key[5..], &value);
            }
        }
        assert_eq!(again.get("a@r.test"), None);
        assert_eq!(again.get("b@r.test"), Some(Attention::OnMention));
    }

    /// If this fails, settings on every disk out there can no longer be read: raise the version.
    #[test]
    fn golden_bytes() {
        for (byte, setting) in [Setting::Never, Setting::OnMention, Setting::Always]
            .into_iter()
            .enumerate()
        {
            assert_eq!(encode(&setting).unwrap(), [1, byte as u8]);
        }
    }
}
