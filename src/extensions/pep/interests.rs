//! What the account's devices, and contacts on other servers, want to be told of: from their
//! presence (XEP-0115, XEP-0390), by asking them once where it is not known.

use std::sync::Arc;

use rookery_actors::effect::Millis;
use rookery_actors::hub::devices::DeviceId;
use rookery_actors::site::random_id;
use rookery_actors::topic::Topics;
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::{IqType, Kind, Stanza};
use rookery_protocol::xml::Element;
use smol_str::SmolStr;

use super::learned::{self, Learned};
use crate::capabilities::Claim;

/// The most contacts' devices on other servers that are remembered; the one heard of longest ago
/// is forgotten first.
const ABROAD: usize = 500;
/// The most questions a second to one device (attacks P11).
const QUESTIONS: u32 = 5;

/// Somebody who wants something.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Who {
    /// An own device.
    Device(DeviceId),
    /// A contact's device on another server.
    Abroad(Jid),
}

/// What follows from a presence.
#[derive(Debug)]
pub enum Heard {
    /// Nothing new.
    Nothing,
    /// He wants these, and did not before.
    Wants(Topics),
    /// He is to be asked.
    Ask(Stanza),
}

/// All of them.
pub struct Interests {
    learned: Arc<Learned>,
    known: Vec<Known>,
}

struct Known {
    who: Who,
    claim: Claim,
    topics: Topics,
    /// The question that waits for an answer.
    question: Option<SmolStr>,
    /// Questions since then.
    asked: (Millis, u32),
}

impl Interests {
    /// None yet.
    pub fn new(learned: Arc<Learned>) -> Interests {
        Interests {
            learned,
            known: Vec::new(),
        }
    }

    /// Somebody sent this presence; `own` is the account, and `device` his full JID.
    pub fn hear(
        &mut self,
        who: Who,
        presence: &Stanza,
        own: &Jid,
        device: &Jid,
        now: Millis,
    ) -> Heard {
        let Some(claim) = Claim::of(presence) else {
            return Heard::Nothing;
        };
        let at = self.known.iter().position(|it| it.who == who);
        if at.is_some_and(|at| self.known[at].claim == claim) {
            return Heard::Nothing;
        }
        let cached = claim.key().and_then(|key| self.learned.get(&key));
        let at = at.unwrap_or_else(|| self.meet(who, claim.clone()));
        let known = &mut self.known[at];
        known.claim = claim;
        if let Some(topics) = cached {
            return known.learn(topics);
        }
        known.ask(own, device, now)
    }

    /// An answer to a question of ours: who gave it, and what he wants that he did not before.
    pub fn answered(&mut self, answer: &Stanza) -> Option<(Who, Topics)> {
        let id = answer.id.as_ref()?;
        let known = self
            .known
            .iter_mut()
            .find(|it| it.question.as_ref() == Some(id))?;
        known.question = None;
        let query = answer.child(ns::DISCO_INFO, "query")?;
        if answer.kind != Kind::Iq(IqType::Result) {
            return None;
        }
        let topics = learned::topics(&query);
        if known.claim.is_proved_by(&query)
            && let Some(key) = known.claim.key()
        {
            self.learned.put(key, topics.clone());
        }
        let who = known.who.clone();
        match known.learn(topics) {
            Heard::Wants(fresh) => Some((who, fresh)),
            _ => None,
        }
    }

    /// What somebody wants, as far as is known.
    pub fn of(&self, who: &Who) -> Option<&Topics> {
        let known = self.known.iter().find(|it| it.who == *who)?;
        Some(&known.topics)
    }

    /// The contacts on other servers that want `topic`, full JIDs.
    pub fn abroad(&self, topic: &str) -> impl Iterator<Item = &Jid> {
        self.known.iter().filter_map(move |known| match &known.who {
            Who::Abroad(jid) if known.topics.contains(topic) => Some(jid),
            _ => None,
        })
    }

    /// Takes up again what was known of a device, and says whether anything was.
    pub fn recall(&mut self, who: Who, presence: &Stanza) -> bool {
        let claim = Claim::of(presence);
        let cached = claim.as_ref().and_then(Claim::key);
        let cached = cached.and_then(|key| self.learned.get(&key));
        if let (Some(claim), Some(topics)) = (claim, cached) {
            self.forget(&who);
            let at = self.meet(who, claim);
            self.known[at].topics = topics;
            return true;
        }
        false
    }

    /// Whether [`Interests::recall`] would bring back all that is known.
    pub fn can_be_recalled(&self) -> bool {
        self.known.iter().all(|known| {
            let key = known.claim.key();
            let is_learned = key.is_some_and(|key| self.learned.get(&key).is_some());
            is_learned && matches!(known.who, Who::Device(_))
        })
    }

    /// Somebody went.
    pub fn forget(&mut self, who: &Who) {
        self.known.retain(|it| it.who != *who);
        if self.known.is_empty() {
            self.known.shrink_to_fit();
        }
    }

    fn meet(&mut self, who: Who, claim: Claim) -> usize {
        let is_abroad = |known: &Known| matches!(known.who, Who::Abroad(_));
        if matches!(who, Who::Abroad(_))
            && self.known.iter().filter(|it| is_abroad(it)).count() >= ABROAD
            && let Some(oldest) = self.known.iter().position(is_abroad)
        {
            self.known.remove(oldest);
        }
        self.known.push(Known {
            who,
            claim,
            topics: Topics::default(),
            question: None,
            asked: (0, 0),
        });
        self.known.len() - 1
    }
}

impl Known {
    fn learn(&mut self, topics: Topics) -> Heard {
        self.question = None;
        let fresh = topics.without(&self.topics);
        self.topics = topics;
        match fresh.is_empty() {
            true => Heard::Nothing,
            false => Heard::Wants(fresh),
        }
    }

    /// XEP-0115 §6.2: the question goes to the device itself, from the account.
    fn ask(&mut self, own: &Jid, device: &Jid, now: Millis) -> Heard {
        if now.abs_diff(self.asked.0) >= 1_000 {
            self.asked = (now, 0);
        }
        if self.asked.1 >= QUESTIONS {
            return Heard::Nothing;
        }
        self.asked.1 += 1;
        let id = random_id();
        self.question = Some(id.clone());
        let query = Element::new(ns::DISCO_INFO, "query").with_attr("node", &self.claim.node);
        Heard::Ask(
            Stanza::iq(IqType::Get, id)
                .with_from(own.clone())
                .with_to(device.clone())
                .with_child(&query),
        )
    }
}
