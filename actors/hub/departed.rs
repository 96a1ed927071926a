//! What is remembered of sessions that could have been resumed and whose clients came too late: how
//! much of what they sent was handled, so that they need not guess what to send again
//! (XEP-0198 §5).

use rookery_storage::Tree;
use rookery_storage::record::{self, Record};
use serde::{Deserialize, Serialize};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use tracing::error;

use crate::effect::{Effects, Millis};
use crate::hub::account::Account;
use crate::hub::mind::Mind;
use crate::keys::{self, AccountId, Kind};

/// How many an account has at most; the oldest goes for a new one.
const MOST: usize = 10;

/// How long one is remembered: a phone that was off over some days.
const LIFE: Millis = 7 * 24 * 60 * 60 * 1000;

/// The sessions of one account that are over, oldest first.
#[derive(Default)]
pub struct Departed(Vec<Session>);

#[derive(Clone, Copy)]
struct Session {
    token: [u8; 16],
    over: Over,
}

/// The row of a session that is over.
#[derive(Serialize, Deserialize, Clone, Copy)]
struct Over {
    /// When it ended.
    at: Millis,
    /// How many of its client's stanzas were handled, as the wire counts them.
    handled: u32,
}

impl Record for Over {
    const VERSION: u8 = 1;
}

impl Departed {
    /// Takes a row that was found.
    pub fn load(&mut self, rest: &[u8], value: &[u8]) -> Option<()> {
        let token = rest.try_into().ok()?;
        let over = record::decode(value).ok()?;
        self.0.push(Session { token, over });
        self.0.sort_by_key(|it| it.over.at);
        Some(())
    }

    /// The session that its client named `token` is over.
    pub fn add(&mut self, account: AccountId, token: [u8; 16], handled: u32, fx: &mut Effects) {
        let at = fx.now;
        let over = Over { at, handled };
        self.0.retain(|it| !bool::from(it.token.ct_eq(&token)));
        self.0.push(Session { token, over });
        let surplus = self.0.len().saturating_sub(MOST);
        let old = self.0.iter().filter(|it| it.is_old(at)).count();
        for gone in self.0.drain(..surplus.max(old)) {
            fx.delete(Tree::Account, key(account, &gone.token));
        }
        match record::encode(&over) {
            Ok(row) => fx.put(Tree::Account, key(account, &token), row),
            Err(problem) => error!(%problem, "what a session did cannot be written"),
        }
    }

    /// How much was handled of what the client of this session sent; `None`: nobody knows.
    pub fn handled(&self, token: &[u8; 16], now: Millis) -> Option<u32> {
        let mut handled = 0;
        let mut found = Choice::from(0);
        for session in self.0.iter().filter(|it| !it.is_old(now)) {
            let same = session.token.ct_eq(token);
            handled.conditional_assign(&session.over.handled, same);
            found |= same;
        }
        bool::from(found).then_some(handled)
    }
}

impl Mind {
    /// A session is over although its client might have come for it.
    pub(super) fn departed(&mut self, token: [u8; 16], handled: u32, fx: &mut Effects) {
        let Account { id, departed, .. } = &mut self.account;
        departed.add(*id, token, handled, fx);
    }
}

impl Session {
    fn is_old(&self, now: Millis) -> bool {
        now.saturating_sub(self.over.at) >= LIFE
    }
}

fn key(account: AccountId, token: &[u8; 16]) -> Vec<u8> {
    keys::row(account, Kind::DEPARTED, token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::Origin;

    const ID: AccountId = AccountId(7);

    fn end(departed: &mut Departed, number: u8, at: Millis) -> Effects {
        let mut fx = Effects::new(at, Origin::Elsewhere);
        departed.add(ID, [number; 16], u32::from(number), &mut fx);
        fx
    }

    #[test]
    fn the_oldest_goes_for_a_new_one() {
        let mut departed = Departed::default();
        for number in 0..MOST as u8 {
            assert_eq!(end(&mut departed, number, 5).rows.len(), 1);
        }
        assert_eq!(departed.handled(&[0; 16], 5), Some(0));
        let last = MOST as u8;
        assert_eq!(end(&mut departed, last, 6).rows.len(), 2);
        assert_eq!(departed.handled(&[0; 16], 6), None);
        for number in 1..=last {
            let known = departed.handled(&[number; 16], 6);
            assert_eq!(known, Some(u32::from(number)));
        }
    }

    #[test]
    fn nothing_is_remembered_for_ever() {
        let mut departed = Departed::default();
        end(&mut departed, 1, 0);
        assert_eq!(departed.handled(&[1; 16], LIFE - 1), Some(1));
        assert_eq!(departed.handled(&[1; 16], LIFE), None);
        assert_eq!(end(&mut departed, 2, LIFE).rows.len(), 2);
    }

    #[test]
    fn rows_are_found_again() {
        let mut departed = Departed::default();
        let row = record::encode(&Over { at: 3, handled: 9 }).expect("a row");
        assert!(departed.load(&[4; 16], &row).is_some());
        assert_eq!(departed.handled(&[4; 16], 4), Some(9));
        assert_eq!(departed.handled(&[5; 16], 4), None);
        assert!(departed.load(&[4; 3], &row).is_none());
    }
}
