//! Stream management (XEP-0198): its elements and its two counters.
//!
//! We count in 64 bits, so that numbers may also be keys of stored rows; the wire carries the low
//! 32 (§4: after 2³²−1 comes 0). Queues are somebody else's: [`Outbound`] says how many leave them.

use std::collections::VecDeque;

use smol_str::SmolStr;

use crate::error::{Condition, StreamCondition, StreamError};
use crate::ns;
use crate::xml::Element;

/// `<r/>`, ready to be written.
pub const REQUEST: &[u8] = b"<r xmlns='urn:xmpp:sm:3'/>";

/// An element of stream management that the other side sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `<enable/>`: count from here on.
    Enable {
        /// Whether the session should outlive its stream.
        resume: bool,
        /// For how many seconds the client would like that.
        max: Option<u32>,
    },
    /// `<resume/>`: go on where that session stopped.
    Resume {
        /// The session's id.
        previd: SmolStr,
        /// What the client has handled, as it says.
        h: u32,
    },
    /// `<r/>`: how many did you handle?
    Request,
    /// `<a/>`: this many.
    Answer {
        /// Modulo 2³².
        h: u32,
    },
}

/// Why an element is not a [`Command`].
#[derive(Clone, Debug, PartialEq)]
pub enum Misuse {
    /// The answer is `<failed/>`, and the stream goes on (§6).
    Failed(Condition),
    /// The stream ends.
    Stream(StreamError),
}

/// What we sent, and how much of it was acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outbound {
    sent: u64,
    acked: u64,
}

/// What we received: numbered as it comes, settled in any order, acknowledged without gaps.
#[derive(Clone, Debug, Default)]
pub struct Inbound {
    handled: u64,
    /// For each stanza after the first `handled`: whether it is settled. The first never is.
    later: VecDeque<bool>,
}

impl Command {
    /// Reads an element of the namespace `urn:xmpp:sm:3`.
    pub fn parse(element: &Element) -> Result<Command, Misuse> {
        let h = || element.attr("h").and_then(unsigned);
        match element.name() {
            "enable" => Ok(Command::Enable {
                resume: matches!(element.attr("resume"), Some("true" | "1")),
                max: element.attr("max").and_then(unsigned),
            }),
            "resume" => match (element.attr("previd"), h()) {
                (Some(previd), Some(h)) => Ok(Command::Resume {
                    previd: previd.into(),
                    h,
                }),
                _ => Err(Misuse::Failed(Condition::BadRequest)),
            },
            "r" => Ok(Command::Request),
            "a" => match h() {
                Some(h) => Ok(Command::Answer { h }),
                None => {
                    let error = StreamError::new(StreamCondition::InvalidXml);
                    Err(Misuse::Stream(
                        error.with_text("'h' must be a number below 2^32"),
                    ))
                }
            },
            _ => Err(Misuse::Stream(StreamError::new(
                StreamCondition::UnsupportedStanzaType,
            ))),
        }
    }

    /// Whether the element belongs to stream management at all.
    pub fn is_one(element: &Element) -> bool {
        element.ns() == ns::STREAM_MANAGEMENT
    }
}

impl Outbound {
    /// Goes on with a session whose counters are known.
    pub fn restored(sent: u64, acked: u64) -> Outbound {
        Outbound {
            sent,
            acked: acked.min(sent),
        }
    }

    /// Counts a stanza that is sent now; answers its number, the first being 1.
    pub fn send(&mut self) -> u64 {
        self.sent += 1;
        self.sent
    }

    /// How many were sent.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// How many the other side has handled, as far as it said.
    pub fn acked(&self) -> u64 {
        self.acked
    }

    /// How many wait for an acknowledgement.
    pub fn unacked(&self) -> u64 {
        self.sent - self.acked
    }

    /// Takes the `h` of `<a/>` or `<resume/>`; answers how many stanzas it acknowledges anew. An
    /// older `h` than one heard before acknowledges none. More than we sent is an error (§6).
    pub fn acknowledge(&mut self, h: u32) -> Result<u64, StreamError> {
        let count = self.count_nearest_to(h);
        if count > self.sent {
            return Err(handled_count_too_high(h, self.sent));
        }
        let anew = count.saturating_sub(self.acked);
        self.acked += anew;
        Ok(anew)
    }

    /// Takes the `h` of `<resume/>` for the truth, as after an unclean stop, when the counters on
    /// disk may be behind the ones the client saw: counting goes on at `h`. Answers how many of
    /// the stanzas thought unacknowledged have been handled.
    pub fn adopt(&mut self, h: u32) -> u64 {
        let count = self.count_nearest_to(h);
        let anew = count.saturating_sub(self.acked);
        self.acked = self.acked.max(count);
        self.sent = self.sent.max(self.acked);
        anew
    }

    /// The count that `h` stands for: congruent modulo 2³², and as near to `sent` as can be.
    fn count_nearest_to(&self, h: u32) -> u64 {
        let distance = h.wrapping_sub(wire(self.sent)) as i32;
        match self.sent.checked_add_signed(i64::from(distance)) {
            Some(count) => count,
            // Before the first wrap there is nothing below zero.
            None => u64::from(h),
        }
    }
}

impl Inbound {
    /// Goes on after the first `handled` stanzas, as stored with the session.
    pub fn restored(handled: u64) -> Inbound {
        Inbound {
            handled,
            later: VecDeque::new(),
        }
    }

    /// Counts a stanza that arrived; answers its number, the first being 1.
    pub fn receive(&mut self) -> u64 {
        self.later.push_back(false);
        self.handled + self.later.len() as u64
    }

    /// The stanza of that number is taken care of. Answers whether [`Inbound::handled`] grew.
    pub fn settle(&mut self, number: u64) -> bool {
        let Some(place) = number.checked_sub(self.handled + 1) else {
            return false;
        };
        let Some(settled) = usize::try_from(place)
            .ok()
            .and_then(|at| self.later.get_mut(at))
        else {
            return false;
        };
        *settled = true;
        let before = self.handled;
        while self.later.front() == Some(&true) {
            self.later.pop_front();
            self.handled += 1;
        }
        self.handled > before
    }

    /// How many are taken care of without a gap: the `h` we may send, once it is on disk.
    pub fn handled(&self) -> u64 {
        self.handled
    }

    /// How many arrived.
    pub fn received(&self) -> u64 {
        self.handled + self.later.len() as u64
    }

    /// How many arrived after the last that [`Inbound::handled`] counts. Reading stops over a
    /// bound on these, which bounds the memory here too.
    pub fn pending(&self) -> usize {
        self.later.len()
    }
}

/// A count as the wire carries it (§4).
pub fn wire(count: u64) -> u32 {
    (count & u64::from(u32::MAX)) as u32
}

/// The feature `<sm/>`.
pub fn feature() -> Element {
    Element::new(ns::STREAM_MANAGEMENT, "sm")
}

/// `<enable/>`, to ask for it.
pub fn enable(resume: bool) -> Element {
    let element = Element::new(ns::STREAM_MANAGEMENT, "enable");
    match resume {
        true => element.with_attr("resume", "true"),
        false => element,
    }
}

/// `<resume/>`, to ask for a session of ours with what we have handled of it.
pub fn resume(previd: &str, handled: u32) -> Element {
    Element::new(ns::STREAM_MANAGEMENT, "resume")
        .with_attr("h", handled.to_string())
        .with_attr("previd", previd)
}

/// The `h` of an answer to either, if there is one.
pub fn count(element: &Element) -> Option<u32> {
    element.attr("h").and_then(unsigned)
}

/// `<enabled/>`; with an id and the seconds it is kept, the session can be resumed.
pub fn enabled(resumable: Option<(&str, u32)>) -> Element {
    let element = Element::new(ns::STREAM_MANAGEMENT, "enabled");
    match resumable {
        Some((id, max)) => element
            .with_attr("id", id)
            .with_attr("resume", "true")
            .with_attr("max", max.to_string()),
        None => element,
    }
}

/// `<resumed/>` with what we have handled.
pub fn resumed(previd: &str, handled: u64) -> Element {
    Element::new(ns::STREAM_MANAGEMENT, "resumed")
        .with_attr("h", wire(handled).to_string())
        .with_attr("previd", previd)
}

/// `<failed/>`, with what we had handled if the session is remembered.
pub fn failed(condition: Condition, handled: Option<u64>) -> Element {
    let mut element = Element::new(ns::STREAM_MANAGEMENT, "failed")
        .with_child(Element::new(ns::STANZAS, condition.as_str()));
    if let Some(handled) = handled {
        element.set_attr("h", wire(handled).to_string());
    }
    element
}

/// Writes `<a/>`.
pub fn write_answer(handled: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("<a xmlns='urn:xmpp:sm:3' h='{}'/>", wire(handled)).as_bytes());
}

/// The stream error of §6 for an acknowledgement of more than was sent.
pub fn handled_count_too_high(h: u32, sent: u64) -> StreamError {
    let count = Element::new(ns::STREAM_MANAGEMENT, "handled-count-too-high")
        .with_attr("h", h.to_string())
        .with_attr("send-count", wire(sent).to_string());
    StreamError::new(StreamCondition::UndefinedCondition).with_extra(count)
}

/// `xs:unsignedInt`, without a sign.
fn unsigned(text: &str) -> Option<u32> {
    match !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => text.parse().ok(),
        false => None,
    }
}

#[cfg(test)]
mod tests;
