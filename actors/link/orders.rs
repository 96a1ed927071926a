//! What an administrator orders a Link.

use std::time::{Duration, Instant};

use actix::prelude::*;
use rookery_protocol::error::{StreamCondition, StreamError};

use super::Link;
use crate::admin::servers;
use crate::messages::{LastWord, ToLink, ToStream};

/// When the server stops: what is said last still goes out, and is acknowledged, within these.
const LAST_WORDS: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(3));

/// The other domain in the name of a Link: see [`key_of`](super::key_of).
pub fn remote_in(key: &str) -> Option<&str> {
    Some(key.split_once(' ')?.0)
}

impl Link {
    pub(super) fn ordered(&mut self, order: ToLink, ctx: &mut Context<Link>) {
        match order {
            ToLink::Block => self.block(ctx),
            ToLink::Retry => self.retry(ctx),
            // Who asked may have left.
            ToLink::Describe(answer) => drop(answer.send(self.describe())),
        }
    }

    /// Whether nothing is spoken with the other domain.
    pub(super) fn is_blocked(&self) -> bool {
        self.realm.site.blocks(&self.pair.to)
    }

    /// The line ends; what waits comes back at once, and what was written and is not known to have
    /// arrived when the line is gone.
    fn block(&mut self, ctx: &mut Context<Link>) {
        if let Some(line) = &self.line {
            let error = StreamError::new(StreamCondition::PolicyViolation);
            let error = error.with_text("this domain is not welcome here");
            line.stream.do_send(ToStream::Close(error));
        }
        self.go_on(ctx);
    }

    fn describe(&self) -> servers::Link {
        let (stanzas, lasting) = self.outbox.census();
        let (failures, refusal) = self.course.trouble();
        servers::Link {
            local: self.pair.from.to_string(),
            state: self.course.shown(Instant::now()),
            stanzas,
            lasting,
            bytes: self.outbox.bytes(),
            oldest: self.outbox.oldest(),
            failures,
            error: refusal.map(|it| self.realm.roll.in_words(&self.pair.to, it)),
        }
    }

    /// What went wrong before is forgotten.
    fn retry(&mut self, ctx: &mut Context<Link>) {
        self.course.hurry();
        self.go_on(ctx);
    }

    /// The server stops. What its sessions say last goes out; what is not acknowledged by then is
    /// sent again when it has started.
    pub(super) fn drain(&mut self, word: LastWord, ctx: &mut Context<Link>) {
        let since = *self.draining.get_or_insert_with(Instant::now);
        let (least, most) = LAST_WORDS;
        let said = self.outbox.is_empty() && since.elapsed() >= least;
        if !said && since.elapsed() < most && self.course.is_up() {
            ctx.run_later(least / 10, |link, ctx| link.drain(word, ctx));
            return;
        }
        self.tidy();
        self.leave(Some(word.0));
    }
}
