//! Keys that an account lacks, made with the client's help while it logs in (XEP-0480): the task
//! that stands between its proof and `<success/>`.

use zeroize::Zeroizing;

use super::entry::Entry;
use super::{Action, Actions, Client, Waiting};
use crate::ns;
use crate::sasl::{Failure, Hash, Lacking, Mechanism, ScramKeys, decode_plainly, encode};
use crate::xml::Element;

/// Where a task is.
#[derive(Debug)]
pub(super) struct Task {
    lacking: Lacking,
    /// The client has begun it.
    begun: bool,
}

/// The hash that a task's name is about, if it is one of ours.
pub(super) fn hash(task: &str) -> Option<Hash> {
    [Hash::Sha256, Hash::Sha1]
        .into_iter()
        .find(|hash| name(*hash) == task)
}

/// XEP-0480 §2.1: named by the mechanism without channel binding.
pub(super) fn name(hash: Hash) -> String {
    let mechanism = match hash {
        Hash::Sha1 => Mechanism::ScramSha1,
        Hash::Sha256 => Mechanism::ScramSha256,
    };
    format!("UPGR-{}", mechanism.name())
}

impl Client {
    /// Asks for the next task that the client offered and the account needs; false if there is
    /// none.
    pub(super) fn upgrade(&mut self, out: &mut Actions) -> bool {
        let Some(entry) = &mut self.entry else {
            return false;
        };
        let wanted = |lacking: &Lacking| entry.wish.upgrades.contains(&lacking.hash);
        let Some(at) = entry.lacking.iter().position(wanted) else {
            return false;
        };
        let lacking = entry.lacking.remove(at);
        let task = Element::new(ns::SASL2, "task").with_text(name(lacking.hash));
        let tasks = Element::new(ns::SASL2, "tasks").with_child(task);
        // Told once: here or in `<success/>`.
        let data = entry.additional_data();
        entry.task = Some(Task {
            lacking,
            begun: false,
        });
        let told = Element::new(ns::SASL2, "continue").with_children(data);
        out.element(&told.with_child(tasks));
        true
    }

    /// `<next/>` and `<task-data/>`.
    pub(super) fn task(&mut self, element: &Element, out: &mut Actions) {
        match self.entry.as_deref_mut().map(|entry| step(entry, element)) {
            Some(Ok(Turn::Say(element))) => out.element(&element),
            Some(Ok(Turn::Do(action))) => {
                self.waiting = Waiting::Upgrade;
                out.push(action);
            }
            Some(Err(failure)) => self.refuse(failure, out),
            None => self.refuse(Failure::MalformedRequest, out),
        }
    }

    /// The answer to [`Action::Upgrade`].
    pub(super) fn upgraded(&mut self, done: bool, out: &mut Actions) {
        match done {
            true => self.proceed(out),
            false => self.refuse(Failure::TemporaryAuthFailure, out),
        }
    }
}

enum Turn {
    Say(Element),
    Do(Action),
}

fn step(entry: &mut Entry, element: &Element) -> Result<Turn, Failure> {
    let malformed = || Failure::MalformedRequest;
    let account = entry.account.clone().ok_or_else(malformed)?;
    let task = entry.task.as_mut().ok_or_else(malformed)?;
    let Lacking {
        hash,
        salt,
        iterations,
    } = &task.lacking;
    match (element.name(), task.begun) {
        ("next", false) if element.attr("task") == Some(&name(*hash)) => {
            let salt = Element::new(ns::SCRAM_UPGRADE, "salt")
                .with_attr("iterations", iterations.to_string())
                .with_text(encode(salt));
            task.begun = true;
            let data = Element::new(ns::SASL2, "task-data").with_child(salt);
            Ok(Turn::Say(data))
        }
        ("task-data", true) => {
            let given = element.child(ns::SCRAM_UPGRADE, "hash");
            let given = Zeroizing::new(given.ok_or_else(malformed)?.text());
            let salted = Zeroizing::new(decode_plainly(&given)?);
            if salted.len() != hash.size() {
                return Err(malformed());
            }
            let keys = ScramKeys::from_salted(*hash, &salted, salt, *iterations);
            let hash = *hash;
            entry.task = None;
            Ok(Turn::Do(Action::Upgrade {
                account,
                hash,
                keys,
            }))
        }
        _ => Err(malformed()),
    }
}
