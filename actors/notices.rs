//! What the administrators of a domain have everybody told: the message of the day and the welcome
//! (XEP-0133 §4.23 to §4.27). Two texts a domain, in memory and in `Tree::Meta`.

use arc_swap::ArcSwap;
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::{MessageType, Stanza};
use rookery_protocol::xml::Element;
use rookery_storage::record::{Record, decode, encode};
use rookery_storage::{Direction, Frame, KeyRange, Store, StoreError, Tree};
use serde::{Deserialize, Serialize};

use crate::admin::Failure;
use crate::effect::Millis;

/// The longest text, in bytes: each is sent to every user.
pub const NOTICE_BYTES: usize = 16 * 1024;

const PREFIX: &[u8] = b"notice/";

/// When a notice is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Occasion {
    /// Once to everybody, when he is here next.
    Motd = b'm' as isize,
    /// To a new account, when it is here first.
    Welcome = b'w' as isize,
}

/// A text, or that there is none any more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notice {
    /// Whose users are told.
    pub domain: String,
    pub occasion: Occasion,
    /// Empty: nothing.
    pub text: String,
    /// Names it; 0: it has the one of the text before it, so that those who know that are not told
    /// again.
    pub number: u64,
}

impl Notice {
    /// The notice, with the number it really has; `before` is the one of the notice it replaces.
    pub(crate) fn numbered(self, before: Option<u64>, now: Millis) -> Notice {
        let fresh = now.max(before.map_or(1, |before| before + 1));
        let number = match (self.number, before) {
            (0, Some(before)) => before,
            _ => fresh,
        };
        Notice { number, ..self }
    }

    /// What users are sent, without `to`; `None` where there is nothing to tell.
    pub fn stanza(&self) -> Option<Stanza> {
        let from = Jid::parse(&self.domain).ok()?;
        let body = Element::new(ns::CLIENT, "body").with_text(&self.text);
        (!self.text.is_empty()).then(|| {
            Stanza::message(MessageType::Headline)
                .with_from(from)
                .with_id(self.id())
                .with_child(&body)
        })
    }

    /// The id of its stanzas.
    pub fn id(&self) -> String {
        format!("notice-{}", self.number)
    }

    pub(crate) fn frame(&self) -> Result<Frame, Failure> {
        let key = [PREFIX, &[self.occasion as u8], self.domain.as_bytes()].concat();
        let mut frame = Frame::new();
        if self.text.is_empty() {
            frame.delete(Tree::Meta, key);
            return Ok(frame);
        }
        let row = NoticeRow {
            number: self.number,
            text: self.text.clone(),
        };
        let value = encode(&row).map_err(|problem| Failure::Store(problem.to_string()))?;
        frame.put(Tree::Meta, key, value);
        Ok(frame)
    }

    fn read(key: &[u8], value: &[u8]) -> Option<Notice> {
        let (kind, domain) = key.strip_prefix(PREFIX)?.split_first()?;
        let occasions = [Occasion::Motd, Occasion::Welcome];
        let row: NoticeRow = decode(value).ok()?;
        Some(Notice {
            domain: String::from_utf8(domain.to_vec()).ok()?,
            occasion: occasions.into_iter().find(|it| *it as u8 == *kind)?,
            text: row.text,
            number: row.number,
        })
    }
}

/// The notices there are.
#[derive(Default)]
pub struct Notices(ArcSwap<Vec<Notice>>);

impl Notices {
    /// Reads them all. One that cannot be read is left where it is, and said.
    pub(crate) fn load(&self, store: &Store) -> Result<(), StoreError> {
        let range = KeyRange::prefix(PREFIX);
        for (key, value) in store.range(Tree::Meta, &range, usize::MAX, Direction::Forward)? {
            match Notice::read(&key, &value) {
                Some(notice) => self.set(notice),
                None => tracing::error!("a notice cannot be read"),
            }
        }
        Ok(())
    }

    /// What is told on this occasion.
    pub fn get(&self, occasion: Occasion, domain: &str) -> Option<Notice> {
        let all = self.0.load();
        all.iter()
            .find(|it| it.occasion == occasion && it.domain == domain)
            .cloned()
    }

    /// The number of what is told on this occasion.
    pub fn number(&self, occasion: Occasion, domain: &str) -> Option<u64> {
        let all = self.0.load();
        all.iter()
            .find(|it| it.occasion == occasion && it.domain == domain)
            .map(|it| it.number)
    }

    /// Tells this from now on instead of what was told before.
    pub fn set(&self, notice: Notice) {
        self.0.rcu(|all| {
            let is_other =
                |it: &&Notice| it.occasion != notice.occasion || it.domain != notice.domain;
            let mut all: Vec<Notice> = all.iter().filter(is_other).cloned().collect();
            all.extend((!notice.text.is_empty()).then(|| notice.clone()));
            all
        });
    }
}

#[derive(Serialize, Deserialize)]
struct NoticeRow {
    number: u64,
    text: String,
}

impl Record for NoticeRow {
    const VERSION: u8 = 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(occasion: Occasion, text: &str) -> Notice {
        Notice {
            domain: "a.test".into(),
            occasion,
            text: text.into(),
            number: 0,
        }
    }

    #[test]
    fn a_notice_is_there_after_a_restart_until_it_is_deleted() {
        let store = Store::temporary();
        let (motd, welcome) = (
            notice(Occasion::Motd, "tea"),
            notice(Occasion::Welcome, "hi"),
        );
        let motd = motd.numbered(None, 7);
        let commit = |notice: &Notice| store.commit(vec![notice.frame().unwrap()]).unwrap();
        commit(&motd);
        commit(&welcome.clone().numbered(None, 8));
        let loaded = || {
            let notices = Notices::default();
            notices.load(&store).unwrap();
            notices
        };
        assert_eq!(loaded().get(Occasion::Motd, "a.test"), Some(motd.clone()));
        assert_eq!(loaded().number(Occasion::Welcome, "a.test"), Some(8));
        assert_eq!(loaded().get(Occasion::Motd, "b.test"), None);
        let none = Notice {
            text: String::new(),
            ..motd
        };
        commit(&none);
        assert_eq!(loaded().get(Occasion::Motd, "a.test"), None);
        assert_eq!(loaded().number(Occasion::Welcome, "a.test"), Some(8));
    }

    #[test]
    fn a_correction_keeps_the_number_and_news_never_do() {
        let correction = notice(Occasion::Motd, "tea");
        assert_eq!(correction.clone().numbered(Some(5), 9).number, 5);
        assert_eq!(correction.clone().numbered(None, 9).number, 9);
        let news = Notice {
            number: 1,
            ..correction
        };
        assert_eq!(news.clone().numbered(Some(5), 9).number, 9);
        assert_eq!(news.numbered(Some(12), 9).number, 13, "the clock went back");
    }
}
