//! For whom a stream calls, and who hears what becomes of it.

use actix::prelude::*;
use rookery_protocol::negotiation::Refusal;
use rookery_protocol::negotiation::peer_out::Errand;
use tokio::sync::OwnedSemaphorePermit;

use crate::messages::FromLine;
use crate::peers::Query;
use crate::stream::Stream;
use crate::trace::TracersEnd;

/// Whom to call, and for whom.
pub struct Call {
    pub errand: Errand,
    pub caller: Caller,
}

/// For whom we called.
pub enum Caller {
    /// For a Link, whose line this is.
    Link(LinesEnd),
    /// For a stream that wants to know of a key.
    Asker {
        /// What it wants to know.
        query: Query,
        /// Which stream.
        asker: Addr<Stream>,
        /// Its place among those who want to know something.
        place: OwnedSemaphorePermit,
    },
    /// For somebody who wants to know of every step, and nothing else.
    Tracer(TracersEnd),
}

/// The Link's end of a line. Whatever becomes of the stream, the Link hears that it is gone.
pub struct LinesEnd {
    line: u32,
    link: Option<Recipient<FromLine>>,
    /// What it hears if nobody says why.
    otherwise: Option<Refusal>,
}

impl LinesEnd {
    /// Of a line with this number for this Link, on a stream that is there for somebody else, too:
    /// its end is no failure.
    pub fn borrowed(line: u32, link: Recipient<FromLine>) -> LinesEnd {
        LinesEnd {
            line,
            link: Some(link),
            otherwise: None,
        }
    }

    /// Ends it, and says why.
    pub(super) fn ends(mut self, refusal: Option<Refusal>) {
        self.otherwise = refusal;
    }

    /// Whether its Link has not heard yet that it is gone.
    pub(super) fn is_there(&self) -> bool {
        self.link.is_some()
    }

    pub(super) fn tell(&self, news: impl FnOnce(u32) -> FromLine) {
        if let Some(link) = &self.link {
            link.do_send(news(self.line));
        }
    }
}

impl Caller {
    /// For this Link, as the line with this number.
    pub fn link(line: u32, link: Recipient<FromLine>) -> Caller {
        Caller::Link(LinesEnd {
            line,
            link: Some(link),
            otherwise: Some(Refusal::Lost),
        })
    }

    pub(super) fn line(&self) -> Option<&LinesEnd> {
        match self {
            Caller::Link(end) => Some(end),
            Caller::Asker { .. } | Caller::Tracer(_) => None,
        }
    }

    pub(in crate::stream) fn tell(&self, news: impl FnOnce(u32) -> FromLine) {
        if let Some(end) = self.line() {
            end.tell(news);
        }
    }

    /// The line is gone.
    pub(in crate::stream) fn down(&mut self, refusal: Option<Refusal>) {
        if let Caller::Tracer(end) = self {
            end.tell(Err(refusal.clone().unwrap_or(Refusal::Closed)));
        }
        if let Caller::Link(LinesEnd { line, link, .. }) = self
            && let Some(link) = link.take()
        {
            let line = *line;
            link.do_send(FromLine::Down { line, refusal });
        }
    }
}

impl Drop for LinesEnd {
    fn drop(&mut self) {
        if let Some(link) = self.link.take() {
            let (line, refusal) = (self.line, self.otherwise.take());
            link.do_send(FromLine::Down { line, refusal });
        }
    }
}
