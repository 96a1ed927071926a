//! Stream management between servers (XEP-0198): what is said of it, not the counting.

use super::{Action, Actions, PeerIn, Waiting};
use crate::error::{Condition, StreamCondition, StreamError};
use crate::negotiation::{Random, stream_id};
use crate::stream_management::{self, Command, Misuse};
use crate::xml::Element;

impl PeerIn {
    /// An element of stream management: nothing of it before a domain is proved (§3).
    pub(super) fn manage(
        &mut self,
        element: &Element,
        random: Random<'_>,
        out: &mut Actions,
    ) -> Result<(), StreamError> {
        let refusal = match (Command::parse(element), self.proved.first()) {
            (Err(Misuse::Stream(error)), _) => return Err(error),
            (Err(Misuse::Failed(condition)), _) => condition,
            (Ok(_), None) => Condition::UnexpectedRequest,
            (Ok(Command::Enable { resume, .. }), Some(_)) => {
                return self.enable(resume, random, out);
            }
            (Ok(Command::Resume { .. }), _) if self.managed => Condition::UnexpectedRequest,
            (Ok(Command::Resume { previd, h }), Some(pair))
                if self.settings.resumption.is_some() =>
            {
                let peer = pair.from.clone();
                self.waiting = Waiting::Resumption(previd.clone());
                out.push(Action::Resume { peer, previd, h });
                return Ok(());
            }
            (Ok(Command::Resume { .. }), _) => Condition::FeatureNotImplemented,
            (Ok(command), _) if self.managed => {
                out.push(Action::Managed(command));
                return Ok(());
            }
            (Ok(_), _) => Condition::UnexpectedRequest,
        };
        out.element(&stream_management::failed(refusal, None));
        Ok(())
    }

    fn enable(
        &mut self,
        resume: bool,
        random: Random<'_>,
        out: &mut Actions,
    ) -> Result<(), StreamError> {
        if self.managed {
            // §3: at most one attempt.
            let error = StreamError::new(StreamCondition::PolicyViolation);
            return Err(error.with_text("stream management is on already"));
        }
        self.managed = true;
        let max = self.settings.resumption.filter(|_| resume);
        let session = max.map(|max| (stream_id(random), max));
        let told = session.as_ref().map(|(id, max)| (id.as_str(), *max));
        out.element(&stream_management::enabled(told));
        out.push(Action::Enabled(session.map(|(id, _)| id.into())));
        Ok(())
    }
}
