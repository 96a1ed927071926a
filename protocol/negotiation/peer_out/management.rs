//! Stream management between servers (XEP-0198): what is said of it, not the counting.

use super::{Action, Actions, PeerOut, Phase, broken};
use crate::dialback::Pair;
use crate::error::{Condition, StreamCondition};
use crate::negotiation::Refusal;
use crate::ns;
use crate::stream_management::{self, Command, Misuse};
use crate::xml::Element;

impl PeerOut {
    /// Asks for it, before the first stanza of these pairs.
    pub(super) fn begin_management(&mut self, pairs: Vec<Pair>, out: &mut Actions) {
        let resuming = match &self.errand.earlier {
            Some(earlier) => {
                out.element(&stream_management::resume(&earlier.previd, earlier.h));
                true
            }
            None => {
                out.element(&stream_management::enable(self.settings.resumption));
                false
            }
        };
        self.phase = Phase::Management { pairs, resuming };
    }

    /// An element of stream management. Answers to what was not asked say nothing.
    pub(super) fn manage(&mut self, element: &Element, out: &mut Actions) -> Result<(), Refusal> {
        let name = element.name();
        let asked = match &self.phase {
            Phase::Management { pairs, resuming } => Some((pairs.clone(), *resuming)),
            _ => None,
        };
        match (name, asked) {
            ("enabled", Some((pairs, false))) => {
                let resumable = matches!(element.attr("resume"), Some("true" | "1"));
                let id = element.attr("id").filter(|id| resumable && !id.is_empty());
                self.managed = true;
                out.push(Action::Enabled(id.map(Into::into)));
                self.let_go(pairs, out);
            }
            ("resumed", Some((pairs, true))) => {
                let earlier = self.errand.earlier.as_ref();
                let is_it = earlier.is_some_and(|it| element.attr("previd") == Some(&it.previd));
                let h = stream_management::count(element).filter(|_| is_it);
                let h = h.ok_or_else(|| broken(StreamCondition::BadFormat))?;
                self.managed = true;
                out.push(Action::Resumed(h));
                self.let_go(pairs, out);
            }
            ("failed", Some((pairs, true))) => {
                out.push(Action::NotResumed(stream_management::count(element)));
                self.errand.earlier = None;
                self.begin_management(pairs, out);
            }
            ("failed", Some((pairs, false))) => self.let_go(pairs, out),
            ("enabled" | "resumed" | "failed", _) => {}
            _ => return self.command(element, out),
        }
        Ok(())
    }

    fn command(&mut self, element: &Element, out: &mut Actions) -> Result<(), Refusal> {
        match Command::parse(element) {
            Err(Misuse::Stream(error)) => return Err(Refusal::Broken(error)),
            Ok(command @ (Command::Request | Command::Answer { .. })) => {
                if self.managed {
                    out.push(Action::Managed(command));
                }
            }
            // To ask is the part of who opened the stream.
            Ok(_) | Err(Misuse::Failed(_)) => {
                let failed = stream_management::failed(Condition::UnexpectedRequest, None);
                out.write(|bytes| failed.write(bytes, ns::SERVER));
            }
        }
        Ok(())
    }
}
