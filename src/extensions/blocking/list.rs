//! Which JIDs are blocked, and whom that covers (XEP-0191 §5).

use std::collections::BTreeSet;

use rookery_protocol::jid::Jid;

/// Blocked JIDs, of all four forms.
#[derive(Clone, Default, Debug, PartialEq)]
pub struct BlockList {
    /// In prepared form. Text, since most questions are asked with a part of a JID.
    jids: BTreeSet<Box<str>>,
}

impl BlockList {
    /// A list of one.
    pub fn of(jid: &Jid) -> BlockList {
        let mut list = BlockList::default();
        list.insert(jid);
        list
    }

    /// Adds a JID; false if it was there.
    pub fn insert(&mut self, jid: &Jid) -> bool {
        self.jids.insert(jid.as_str().into())
    }

    /// Takes a JID out; false if it was not there.
    pub fn remove(&mut self, jid: &Jid) -> bool {
        self.jids.remove(jid.as_str())
    }

    /// Whether this very JID is on the list.
    pub fn contains(&self, jid: &Jid) -> bool {
        self.jids.contains(jid.as_str())
    }

    /// All JIDs, in the order of their text.
    pub fn iter(&self) -> impl Iterator<Item = Jid> {
        self.jids.iter().filter_map(|text| Jid::parse(text).ok())
    }

    /// How many JIDs are on the list.
    pub fn len(&self) -> usize {
        self.jids.len()
    }

    /// Whether nobody is blocked.
    pub fn is_empty(&self) -> bool {
        self.jids.is_empty()
    }

    /// Whether `jid` is blocked: by itself, or by its bare JID, its domain with the resource, or
    /// its domain.
    pub fn covers(&self, jid: &Jid) -> bool {
        let has = |text: &str| self.jids.contains(text);
        if self.jids.is_empty() {
            return false;
        }
        if has(jid.as_str()) || has(jid.bare_str()) || has(jid.domain()) {
            return true;
        }
        match (jid.local(), jid.resource()) {
            (Some(_), Some(resource)) => has(&format!("{}/{resource}", jid.domain())),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jid(text: &str) -> Jid {
        Jid::parse(text).unwrap()
    }

    /// Who of these is covered by each form.
    #[test]
    fn each_form_covers_what_it_should() {
        let all = [
            "u@d.test/r",
            "u@d.test/s",
            "u@d.test",
            "v@d.test/r",
            "d.test/r",
            "d.test",
        ];
        let covered = |blocked: &str| {
            let list = BlockList::of(&jid(blocked));
            all.into_iter()
                .filter(|text| list.covers(&jid(text)))
                .collect::<Vec<_>>()
        };
        assert_eq!(covered("u@d.test/r"), ["u@d.test/r"]);
        assert_eq!(
            covered("u@d.test"),
            ["u@d.test/r", "u@d.test/s", "u@d.test"]
        );
        assert_eq!(
            covered("d.test/r"),
            ["u@d.test/r", "v@d.test/r", "d.test/r"]
        );
        assert_eq!(covered("d.test"), all);
        assert_eq!(covered("sub.d.test"), Vec::<&str>::new());
        assert_eq!(
            covered("U@D.test"),
            covered("u@d.test"),
            "prepared before it is compared"
        );
    }
}
