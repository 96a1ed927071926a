//! Dialback on a stream of another server (XEP-0220 §2.2): each pair is proved alone.

use smol_str::SmolStr;

use super::{Action, Actions, PeerIn, Waiting};
use crate::dialback::{Dialback, Pair, Problem, Verdict};
use crate::error::{StreamCondition, StreamError};
use crate::negotiation::Standing;
use crate::xml::Element;

impl PeerIn {
    /// An element of the dialback namespace.
    pub(super) fn dialback(
        &mut self,
        element: &Element,
        out: &mut Actions,
    ) -> Result<(), StreamError> {
        match Dialback::parse(element)? {
            Dialback::Claim { pair, key } => self.claim(pair, key, out),
            Dialback::Query { pair, id, key } => {
                let verdict = if !self.secured {
                    Verdict::Error(Problem::PolicyViolation)
                } else if !self.serves(&pair.to) {
                    Verdict::Error(Problem::ItemNotFound)
                } else {
                    self.settings.secret.answer(&pair, &id, &key)
                };
                let pair = pair.reversed();
                let answer = Dialback::Answer { pair, id, verdict };
                out.write(|bytes| answer.write(bytes));
                Ok(())
            }
            // We asked for nothing on this stream (XEP-0220 §3.1; attack F25).
            Dialback::Answer { .. } | Dialback::Outcome { .. } => Ok(()),
        }
    }

    /// The answer to [`Action::Judge`] about a claim. A certificate that is good for the very
    /// domain makes asking back needless (XEP-0344 §2.4); one for another proves nothing.
    pub(super) fn judged_claim(
        &mut self,
        pair: Pair,
        key: SmolStr,
        standing: Standing,
        out: &mut Actions,
    ) {
        let id = self.opened.as_ref().map(|opened| opened.id.clone());
        match (standing, id) {
            (Standing::Certified, _) => {
                say(&pair, Verdict::Valid, out);
                self.prove(pair, out);
            }
            (Standing::Dialback, Some(id)) => {
                self.claims.push((pair.clone(), id.clone()));
                out.push(Action::Verify { pair, id, key });
            }
            // Attack F21.
            (Standing::Uncertified, _) => refuse(&pair, Problem::NotAuthorized, out),
            _ => refuse(&pair, Problem::PolicyViolation, out),
        }
    }

    /// The answer to [`Action::Verify`].
    pub(super) fn verified(&mut self, pair: &Pair, id: &str, verdict: Verdict, out: &mut Actions) {
        let is_it = |held: &(Pair, SmolStr)| held.0 == *pair && held.1 == id;
        let Some(at) = self.claims.iter().position(is_it) else {
            return;
        };
        let (pair, _) = self.claims.remove(at);
        let is_last = self.proved.is_empty() && self.claims.is_empty();
        match verdict {
            Verdict::Valid => {
                say(&pair, Verdict::Valid, out);
                self.prove(pair, out);
            }
            // XEP-0220 §2.2.1: the end of the stream if there is nothing else on it, and else an
            // error that spares the rest (attack F30).
            Verdict::Invalid if is_last => {
                say(&pair, Verdict::Invalid, out);
                self.end(out);
            }
            Verdict::Invalid => refuse(&pair, Problem::Forbidden, out),
            Verdict::Error(problem) => refuse(&pair, problem, out),
        }
    }

    /// From now on stanzas of the pair are admitted.
    fn prove(&mut self, pair: Pair, out: &mut Actions) {
        let bidi = self.bidi;
        self.proved.push(pair.clone());
        out.push(Action::Proved { pair, bidi });
    }

    fn claim(&mut self, pair: Pair, key: SmolStr, out: &mut Actions) -> Result<(), StreamError> {
        let named = self.opened.as_ref().is_some_and(|it| it.peer.is_some());
        let taken = self.proved.len() + self.claims.len();
        let problem = if !self.secured {
            Problem::PolicyViolation
        } else if !named {
            // Attack F05.
            return Err(StreamCondition::ImproperAddressing.into());
        } else if self.serves(&pair.from) {
            // Attack F22: it is one of us, and nobody need be asked.
            return Err(StreamCondition::InvalidFrom.into());
        } else if !self.serves(&pair.to) {
            Problem::ItemNotFound
        } else if key.is_empty() {
            Problem::NotAcceptable
        } else if self.proved.contains(&pair) {
            say(&pair, Verdict::Valid, out);
            return Ok(());
        } else if self.claims.iter().any(|held| held.0 == pair) {
            // The first one's answer is on its way.
            return Ok(());
        } else if taken >= self.settings.limits.pairs {
            Problem::ResourceConstraint
        } else {
            out.push(Action::Judge(pair.from.clone()));
            self.waiting = Waiting::Claim { pair, key };
            return Ok(());
        };
        refuse(&pair, problem, out);
        Ok(())
    }
}

fn refuse(pair: &Pair, problem: Problem, out: &mut Actions) {
    say(pair, Verdict::Error(problem), out);
}

fn say(claim: &Pair, verdict: Verdict, out: &mut Actions) {
    let pair = claim.reversed();
    let outcome = Dialback::Outcome { pair, verdict };
    out.write(|bytes| outcome.write(bytes));
}
