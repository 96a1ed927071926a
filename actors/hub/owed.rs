//! What the account owes others: requests of subscriptions that are sent on when its own half of
//! the change is on disk, and that nobody has taken yet.
//!
//! Each side of a subscription writes its own rows. A crash between the two would leave them at
//! odds for ever: the client sends its request again, but to the account's own half it changes
//! nothing any more, and so it is not passed on (RFC 6121 appendix A.2). So a request that is
//! passed on leaves a row, which goes with the frame of whoever takes the request; a Hub that
//! begins sends on what it finds.

use rookery_protocol::stanza::Stanza;
use rookery_storage::record::{self, Record};
use rookery_storage::{Frame, Tree};
use serde::{Deserialize, Serialize};
use tracing::error;

use crate::effect::{Effects, Marks, Millis};
use crate::keys::{self, AccountId, Kind};

/// What an account owes others.
#[derive(Default)]
pub struct Owed {
    /// The last number that a row was given.
    last: u64,
    /// Found when the Hub began, by number.
    found: Vec<(u64, Stanza)>,
}

#[derive(Serialize, Deserialize)]
struct OwedRow {
    stanza: Vec<u8>,
}

impl Record for OwedRow {
    const VERSION: u8 = 1;
}

impl Owed {
    /// Takes a row that was found.
    pub fn load(&mut self, rest: &[u8], value: &[u8]) -> Option<()> {
        let number = u64::from_be_bytes(rest.try_into().ok()?);
        let row: OwedRow = record::decode(value).ok()?;
        self.last = self.last.max(number);
        self.found
            .push((number, Stanza::parse_stored(row.stanza.into()).ok()?));
        Some(())
    }

    /// Sends the stanza at hand on, to whom it is owed until somebody has taken it.
    pub fn forward(&mut self, account: AccountId, stanza: Stanza, marks: Marks, fx: &mut Effects) {
        let end = self.enter(account, &stanza, fx);
        fx.travelling.append(end);
        fx.forward(stanza, marks);
    }

    /// The same with a stanza that the server makes itself, of what changed at hand.
    pub fn send(&mut self, account: AccountId, stanza: Stanza, fx: &mut Effects) {
        let end = self.enter(account, &stanza, fx);
        fx.route_lasting(stanza, end);
    }

    /// Writes down that the stanza is owed; what ends that goes with whoever takes it.
    fn enter(&mut self, account: AccountId, stanza: &Stanza, fx: &mut Effects) -> Frame {
        // By time, so that no number is ever given twice.
        self.last = number(fx.now).max(self.last + 1);
        let key = key(account, self.last);
        let row = OwedRow {
            stanza: stanza.to_bytes().to_vec(),
        };
        let mut end = Frame::new();
        match record::encode(&row) {
            Ok(row) => {
                fx.put(Tree::Account, key.clone(), row);
                end.delete(Tree::Account, key);
            }
            Err(problem) => error!(%problem, "a request that is owed cannot be written"),
        }
        end
    }

    /// Whether something was found.
    pub fn is_due(&self) -> bool {
        !self.found.is_empty()
    }

    /// Sends on what was found. Who had it after all takes it for what it is: no change.
    pub fn pay(&mut self, account: AccountId, fx: &mut Effects) {
        for (number, stanza) in std::mem::take(&mut self.found) {
            fx.travelling.delete(Tree::Account, key(account, number));
            let marks = Marks {
                stamp: fx.now,
                lasting: true,
                ..Marks::default()
            };
            fx.forward(stanza, marks);
        }
    }
}

fn number(now: Millis) -> u64 {
    now << 16
}

fn key(account: AccountId, number: u64) -> Vec<u8> {
    keys::row(account, Kind::OWED, &number.to_be_bytes())
}
