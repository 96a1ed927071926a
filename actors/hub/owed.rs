//! What the account owes others: requests of subscriptions that are sent on when its own half of
//! the change is on disk, and that nobody has taken yet.
//!
//! Each side of a subscription writes its own rows. A crash between the two would leave them at
//! odds for ever: the client sends its request again, but to the account's own half it changes
//! nothing any more, and so it is not passed on (RFC 6121 appendix A.2). So a request that is
//! passed on leaves a row, which goes with the frame of whoever takes the request; a Hub that
//! begins sends on what it finds. What an account that is removed owes outlives it: the next start
//! of the server sends it on.

use rookery_protocol::stanza::Stanza;
use rookery_storage::record::{self, Record};
use rookery_storage::{Direction, Frame, KeyRange, Store, StoreError, Tree};
use serde::{Deserialize, Serialize};
use tracing::error;

use crate::effect::{Effects, Envelope, Marks, Millis};
use crate::keys::{self, AccountId, Kind};

/// Then the number of an account that was removed, and perhaps owes something.
const DEBTOR: &[u8] = b"debtor:";

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

/// An account is removed by this frame: its rows go, but for what it owes.
pub fn bequeath(account: AccountId, frame: &mut Frame) {
    frame.put(Tree::Meta, debtor(account), vec![1]);
    for range in keys::all_but(account, Kind::OWED) {
        frame.delete_range(Tree::Account, range);
    }
}

/// What accounts that were removed owe still, each with what whoever takes it commits. Those that
/// owe nothing any more are forgotten by the frame.
pub fn bequests(store: &Store, now: Millis) -> Result<(Vec<Envelope>, Frame), StoreError> {
    let all = |tree, range: &KeyRange| store.range(tree, range, usize::MAX, Direction::Forward);
    let (mut found, mut done) = (Vec::new(), Frame::new());
    for (name, _) in all(Tree::Meta, &KeyRange::prefix(DEBTOR))? {
        let number = name.strip_prefix(DEBTOR).and_then(|it| it.try_into().ok());
        let account = AccountId(number.map_or(0, u32::from_be_bytes));
        let rows = all(Tree::Account, &keys::all_of(account, Kind::OWED))?;
        if rows.is_empty() {
            done.delete(Tree::Meta, name);
        }
        for (key, value) in rows {
            let stanza = record::decode(&value).ok();
            let stanza = stanza.and_then(|it: OwedRow| Stanza::parse_stored(it.stanza.into()).ok());
            let Some(stanza) = stanza else {
                error!(account = account.0, "what it owed cannot be read");
                done.delete(Tree::Account, key);
                continue;
            };
            let mut envelope = Envelope::plain(stanza);
            (envelope.marks.stamp, envelope.marks.lasting) = (now, true);
            envelope.rows.delete(Tree::Account, key);
            found.push(envelope);
        }
    }
    Ok((found, done))
}

fn debtor(account: AccountId) -> Vec<u8> {
    [DEBTOR, &account.0.to_be_bytes()].concat()
}

fn number(now: Millis) -> u64 {
    now << 16
}

fn key(account: AccountId, number: u64) -> Vec<u8> {
    keys::row(account, Kind::OWED, &number.to_be_bytes())
}
