//! Topics: what devices want to be told of beside what is addressed to them.
//!
//! A message may have a topic instead of a full address: it goes to those available devices of its
//! recipient that want the topic, and to nobody else. What a device wants, an extension finds out
//! ([`crate::extension::AccountRole::wants`]); what a topic means, the extensions know.

use std::sync::Arc;

use rookery_protocol::jid::Jid;
use smol_str::SmolStr;

/// A set of topics. Cloning shares it: most devices want what others of their make want.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Topics(Option<Arc<[SmolStr]>>);

impl Topics {
    /// These topics, each once.
    pub fn new(topics: impl IntoIterator<Item = SmolStr>) -> Topics {
        let mut sorted: Vec<SmolStr> = topics.into_iter().collect();
        sorted.sort_unstable();
        sorted.dedup();
        Topics((!sorted.is_empty()).then(|| sorted.into()))
    }

    /// Whether `topic` is one of them.
    pub fn contains(&self, topic: &str) -> bool {
        let all = self.0.as_deref().unwrap_or_default();
        all.binary_search_by(|held| held.as_str().cmp(topic))
            .is_ok()
    }

    /// Those that are not in `others`.
    pub fn without(&self, others: &Topics) -> Topics {
        let all = self.0.as_deref().unwrap_or_default().iter();
        match others.is_empty() {
            true => self.clone(),
            false => Topics::new(all.filter(|it| !others.contains(it)).cloned()),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

/// What a device that has just come wants to hear of a contact. It travels with the probe that asks
/// for the contact's presence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wants {
    /// The device, a full JID.
    pub device: Jid,
    pub topics: Topics,
    /// The presence is known already: only the topics are asked for.
    pub topics_only: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in_and_nothing_else() {
        let topics = Topics::new(["b", "a", "b"].map(SmolStr::new));
        assert!(topics.contains("a") && topics.contains("b") && !topics.contains("c"));
        assert!(!topics.is_empty() && Topics::new([]).is_empty());
        assert_eq!(topics, Topics::new(["a", "b"].map(SmolStr::new)));
    }
}
