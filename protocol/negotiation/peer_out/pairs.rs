//! Pairs and keys (XEP-0220 §2.1): what we ask, and which answers count.

use smol_str::SmolStr;

use super::{Action, Actions, PeerOut, Phase, Purpose};
use crate::dialback::{Dialback, Pair, Problem, Verdict};
use crate::negotiation::Refusal;
use crate::xml::Element;

/// A key that the peer is asked about.
#[derive(Debug)]
pub(super) struct Query {
    /// Of the claim.
    pair: Pair,
    id: SmolStr,
    /// Until it is sent.
    key: Option<SmolStr>,
}

impl PeerOut {
    /// [`super::Event::Want`].
    pub(super) fn want(&mut self, pair: Pair, certified: bool, out: &mut Actions) {
        let is_asked = (self.due && pair == self.errand.pair)
            || self.claimed.contains(&pair)
            || self.wanted.iter().any(|held| held.0 == pair);
        let count = self.proved.len() + self.claimed.len() + self.wanted.len();
        let is_full = count >= self.settings.limits.pairs;
        if self.is_over() || self.errand.purpose == Purpose::Verify {
            out.push(separate(pair));
        } else if is_asked {
            // The answer is on its way.
        } else if self.proved.contains(&pair) {
            out.push(Action::Proved(pair));
        } else if is_full {
            out.push(separate(pair));
        } else {
            self.wanted.push((pair, certified));
            self.go_on(out);
        }
    }

    /// [`super::Event::Verify`]. Nobody but the server of the claimed domain is asked: any other
    /// could vouch for what is not its own.
    pub(super) fn verify(&mut self, pair: Pair, id: SmolStr, key: SmolStr, out: &mut Actions) {
        let is_theirs = pair.from == self.errand.pair.to
            || self.proved.iter().any(|proved| proved.to == pair.from);
        let is_asked = |held: &Query| held.pair == pair && held.id == id;
        let problem = if self.is_over() {
            Problem::RemoteServerTimeout
        } else if !is_theirs || self.queries.iter().any(is_asked) {
            Problem::NotAcceptable
        } else if self.queries.len() >= self.settings.limits.queries {
            Problem::ResourceConstraint
        } else {
            let key = Some(key);
            self.queries.push(Query { pair, id, key });
            return self.go_on(out);
        };
        let verdict = Verdict::Error(problem);
        out.push(Action::Verified { pair, id, verdict });
    }

    /// An element of the dialback namespace.
    pub(super) fn dialback(&mut self, element: &Element, out: &mut Actions) -> Result<(), Refusal> {
        match Dialback::parse(element).map_err(Refusal::Broken)? {
            Dialback::Outcome { pair, verdict } => {
                self.outcome(&pair.reversed(), verdict, out);
            }
            Dialback::Answer { pair, id, verdict } => {
                // Exactly what was asked, here, and once (XEP-0220 §3.1; attack F26).
                let is_it = |held: &Query| held.pair == pair && held.id == id && held.key.is_none();
                if let Some(at) = self.queries.iter().position(is_it) {
                    self.queries.remove(at);
                    out.push(Action::Verified { pair, id, verdict });
                }
            }
            // What else it wants to send, it may send on a stream of its own (XEP-0220 §2.5).
            Dialback::Claim { pair, .. } => {
                let pair = pair.reversed();
                let verdict = Verdict::Error(Problem::ResourceConstraint);
                let outcome = Dialback::Outcome { pair, verdict };
                out.write(|bytes| outcome.write(bytes));
            }
            Dialback::Query { pair, id, key } => {
                let verdict = match self.serves(&pair.to) {
                    true => self.settings.secret.answer(&pair, &id, &key),
                    false => Verdict::Error(Problem::ItemNotFound),
                };
                let pair = pair.reversed();
                let answer = Dialback::Answer { pair, id, verdict };
                out.write(|bytes| answer.write(bytes));
            }
        }
        Ok(())
    }

    /// Sends our key for a pair.
    pub(super) fn claim(&mut self, pair: Pair, out: &mut Actions) {
        let key = self.settings.secret.key(&pair, &self.theirs.id).into();
        self.claimed.push(pair.clone());
        let claim = Dialback::Claim { pair, key };
        out.write(|bytes| claim.write(bytes));
    }

    /// Stanzas of the pair may go; before the first of all, stream management.
    pub(super) fn prove(&mut self, pair: Pair, out: &mut Actions) {
        let is_first = self.proved.is_empty();
        // What comes back may come at once (XEP-0288 §2.2).
        self.proved.push(pair.clone());
        if let Phase::Management { pairs, .. } = &mut self.phase {
            pairs.push(pair);
        } else if is_first && self.settings.management && self.theirs.management {
            self.begin_management(vec![pair], out);
        } else {
            self.let_go(vec![pair], out);
        }
    }

    /// Stanzas of the pairs may go.
    pub(super) fn let_go(&mut self, pairs: Vec<Pair>, out: &mut Actions) {
        self.due &= !pairs.contains(&self.errand.pair);
        self.phase = Phase::Open;
        pairs
            .into_iter()
            .for_each(|pair| out.push(Action::Proved(pair)));
        self.go_on(out);
    }

    /// Says what had to wait, if it can be said now.
    pub(super) fn go_on(&mut self, out: &mut Actions) {
        if !matches!(self.phase, Phase::Claimed | Phase::Open) {
            return;
        }
        for query in &mut self.queries {
            if let Some(key) = query.key.take() {
                let (pair, id) = (query.pair.reversed(), query.id.clone());
                let asked = Dialback::Query { pair, id, key };
                out.write(|bytes| asked.write(bytes));
            }
        }
        for (pair, certified) in std::mem::take(&mut self.wanted) {
            // XEP-0220 §2.6.2: another domain of theirs needs errors that do not end the stream.
            let is_there = pair.to == self.errand.pair.to || (certified && self.theirs.errors);
            match is_there && self.speaks_dialback() {
                true => self.claim(pair, out),
                false => out.push(separate(pair)),
            }
        }
    }

    /// Tells whoever waits that nothing comes any more.
    pub(super) fn abandon(&mut self, refusal: &Refusal, out: &mut Actions) {
        let wanted = std::mem::take(&mut self.wanted);
        let mut pairs = std::mem::take(&mut self.claimed);
        pairs.extend(wanted.into_iter().map(|(pair, _)| pair));
        if let Phase::Management { pairs: held, .. } = &mut self.phase {
            pairs.append(held);
        }
        let first = &self.errand.pair;
        if std::mem::take(&mut self.due) && !pairs.contains(first) {
            pairs.insert(0, first.clone());
        }
        for pair in pairs {
            let refusal = refusal.clone();
            out.push(Action::Denied { pair, refusal });
        }
        for Query { pair, id, .. } in std::mem::take(&mut self.queries) {
            let verdict = Verdict::Error(refusal.problem());
            out.push(Action::Verified { pair, id, verdict });
        }
    }

    pub(super) fn speaks_dialback(&self) -> bool {
        self.settings.dialback && self.theirs.dialback
    }

    /// What the peer says of a pair. Only of one that we asked about does it say anything
    /// (XEP-0220 §3.1; attack F44).
    fn outcome(&mut self, pair: &Pair, verdict: Verdict, out: &mut Actions) {
        let Some(at) = self.claimed.iter().position(|held| held == pair) else {
            return;
        };
        let pair = self.claimed.remove(at);
        let refusal = match verdict {
            Verdict::Valid => return self.prove(pair, out),
            Verdict::Invalid => Refusal::Key,
            Verdict::Error(problem) => Refusal::Dialback(problem),
        };
        self.due &= pair != self.errand.pair;
        let told = refusal.clone();
        out.push(Action::Denied { pair, refusal });
        let is_idle = self.proved.is_empty() && self.claimed.is_empty() && self.queries.is_empty();
        if is_idle {
            self.say_end(out);
            self.finish(Some(told), out);
        }
    }

    fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Ending | Phase::Over)
    }
}

fn separate(pair: Pair) -> Action {
    let refusal = Refusal::Separate;
    Action::Denied { pair, refusal }
}
