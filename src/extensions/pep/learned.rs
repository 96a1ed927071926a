//! What is known of clients by the hash of their disco#info, for all accounts of the process: which
//! nodes they want to be told of (XEP-0060 §9.2).

use std::collections::HashMap;

use parking_lot::Mutex;
use rookery_actors::topic::Topics;
use rookery_protocol::ns;
use rookery_protocol::xml::Element;
use smol_str::SmolStr;

/// The most kinds of clients remembered; the one asked for longest ago is forgotten first
/// (attacks P11).
const KINDS: usize = 1_000;
/// The most bytes of topics that one client has; what is more is left out.
const BYTES: usize = 8 * 1024;

/// The memory. Only what was verified is put in.
#[derive(Default)]
pub struct Learned(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    kinds: HashMap<SmolStr, (u64, Topics)>,
    /// Rises with each question.
    clock: u64,
}

impl Learned {
    /// What clients of this kind want.
    pub fn get(&self, key: &str) -> Option<Topics> {
        let mut memory = self.0.lock();
        memory.clock += 1;
        let now = memory.clock;
        let (used, topics) = memory.kinds.get_mut(key)?;
        *used = now;
        Some(topics.clone())
    }

    /// Remembers what clients of this kind want.
    pub fn put(&self, key: SmolStr, topics: Topics) {
        let mut memory = self.0.lock();
        memory.clock += 1;
        let now = memory.clock;
        if memory.kinds.len() >= KINDS && !memory.kinds.contains_key(&key) {
            let oldest = memory.kinds.iter().min_by_key(|(_, (used, _))| *used);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                memory.kinds.remove(&oldest);
            }
        }
        memory.kinds.insert(key, (now, topics));
    }
}

/// The nodes that a disco#info asks to be told of: `NODE+notify`.
pub fn topics(query: &Element) -> Topics {
    let features = query
        .children()
        .filter(|child| child.is(ns::DISCO_INFO, "feature"));
    let wanted = features.filter_map(|feature| feature.attr("var")?.strip_suffix("+notify"));
    let mut bytes = 0;
    let within = wanted.take_while(|topic| {
        bytes += topic.len() + size_of::<SmolStr>();
        bytes <= BYTES
    });
    Topics::new(within.map(SmolStr::new))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_longest_ago_is_forgotten() {
        let learned = Learned::default();
        let topics = Topics::new([SmolStr::new("t")]);
        for number in 0..KINDS {
            learned.put(number.to_string().into(), topics.clone());
        }
        assert!(learned.get("0").is_some());
        learned.put("more".into(), topics);
        assert!(learned.get("1").is_none());
        assert!(learned.get("0").is_some() && learned.get("more").is_some());
        assert_eq!(learned.0.lock().kinds.len(), KINDS);
    }

    #[test]
    fn topics_have_a_bound() {
        let feature = |name: String| Element::new(ns::DISCO_INFO, "feature").with_attr("var", name);
        let few = Element::new(ns::DISCO_INFO, "query")
            .with_child(feature("urn:a+notify".into()))
            .with_child(feature("urn:b".into()));
        let wanted = topics(&few);
        assert!(wanted.contains("urn:a") && !wanted.contains("urn:b"));
        let many = (0..1_000).map(|number| feature(format!("urn:x:{number:04}+notify")));
        let wanted = topics(&Element::new(ns::DISCO_INFO, "query").with_children(many));
        assert!(wanted.contains("urn:x:0000") && !wanted.contains("urn:x:0999"));
    }
}
