//! What becomes of tokens, as tables.

use rookery_protocol::jid::Jid;
use rookery_protocol::negotiation::client::Agent;
use rookery_storage::record::{decode, encode};

use super::*;

const DAY: Millis = 86_400_000;

fn times(now: Millis) -> Lifetimes {
    Lifetimes {
        now,
        token: 30 * DAY,
        rotation: DAY,
    }
}

fn admission(by: By, wants: bool) -> Admission {
    Admission {
        account: Jid::parse("alice@a.test").unwrap(),
        client: ClientId("phone".into()),
        agent: Agent::default(),
        by,
        request: wants.then_some(TokenMechanism::Exporter),
    }
}

fn by(token: u8, count: Option<u32>, invalidate: bool) -> By {
    By::Token {
        id: TokenId([token; 16]),
        count,
        invalidate,
    }
}

/// Logs in at `now`; a token given is called `next`. Answers its name.
fn login(known: &mut Known, by: By, wants: bool, next: u8, now: Millis) -> Result<u8, Failure> {
    let admitted = known.admit(&admission(by, wants), [next; 16], times(now))?;
    Ok(admitted.issued.map_or(0, |(id, _)| id.0[0]))
}

/// One that has logged in with its password and got token 1.
fn with_token() -> Known {
    let mut known = Known::new(0);
    assert_eq!(login(&mut known, By::Password, true, 1, 0), Ok(1));
    known
}

const EXPIRED: Result<u8, Failure> = Err(Failure::CredentialsExpired);

#[test]
fn a_token_is_replaced_daily_and_the_old_one_works_until_the_new_one_does() {
    let known = &mut with_token();
    assert_eq!(login(known, by(1, None, false), false, 2, DAY - 1), Ok(0));
    assert_eq!(login(known, by(1, None, false), false, 2, DAY), Ok(2));
    // The answer was lost: the old one goes on, and another new one replaces the one unused.
    assert_eq!(login(known, by(1, None, false), false, 3, DAY + 1), Ok(3));
    assert_eq!(login(known, by(2, None, false), false, 4, DAY + 2), EXPIRED);
    assert_eq!(login(known, by(3, None, false), false, 4, DAY + 2), Ok(0));
    assert_eq!(login(known, by(1, None, false), false, 4, DAY + 3), EXPIRED);
    assert_eq!(login(known, by(3, None, false), false, 4, DAY + 3), Ok(0));
}

#[test]
fn a_token_ends() {
    let used = |now| login(&mut with_token(), by(1, None, false), false, 2, now);
    assert_eq!(used(30 * DAY - 1), Ok(2));
    assert_eq!(used(30 * DAY), EXPIRED);
    let known = &mut with_token();
    assert_eq!(
        login(known, by(1, None, true), false, 2, DAY * 2),
        Ok(0),
        "no new one"
    );
    assert_eq!(login(known, by(1, None, false), false, 2, DAY), EXPIRED);
    let known = &mut with_token();
    assert_eq!(
        login(known, by(1, None, true), true, 2, DAY),
        Ok(2),
        "unless it asks"
    );
    assert_eq!(login(known, by(2, None, false), false, 3, DAY), Ok(0));
    let known = &mut with_token();
    known.revoke();
    assert_eq!(login(known, by(1, None, false), false, 2, 1), EXPIRED);
    let held = known.held(ClientKey([0; 16]), b"", AccountId(1), 1);
    assert!(held.len() == 1 && held[0].void, "its holder is told why");
    assert!(!known.has_access(1));
}

#[test]
fn counts_rise() {
    let known = &mut with_token();
    let rows = [
        (Some(3), Ok(0)),
        (Some(3), Err(Failure::NotAuthorized)),
        (Some(2), Err(Failure::NotAuthorized)),
        (None, Ok(0)),
        (Some(4), Ok(0)),
        (Some(4), Err(Failure::NotAuthorized)),
    ];
    for (count, outcome) in rows {
        assert_eq!(
            login(known, by(1, count, false), false, 2, 1),
            outcome,
            "{count:?}"
        );
    }
}

#[test]
fn what_must_last_is_said() {
    let known = &mut with_token();
    let mut lasting = |by, wants| {
        let admitted = known.admit(&admission(by, wants), [2; 16], times(1));
        admitted.unwrap().lasting
    };
    assert!(!lasting(By::Password, false), "it was known to know it");
    assert!(lasting(By::Password, true));
    assert!(
        lasting(by(2, None, false), false),
        "the old one is void now"
    );
    assert!(!lasting(by(2, None, false), false));
    assert!(lasting(by(2, Some(1), false), false));
    assert!(lasting(by(2, None, true), false));
}

#[test]
fn rows_that_nobody_wants_are_known() {
    let mut known = with_token();
    assert!(!known.is_stale(30 * DAY, 90 * DAY), "it knows the password");
    assert!(known.is_stale(90 * DAY, 90 * DAY));
    known.revoke();
    assert!(
        !known.is_stale(DAY, 90 * DAY),
        "its holder is still to be told"
    );
    assert!(known.is_stale(30 * DAY, 90 * DAY));
}

#[test]
fn the_record_stays_as_it_was() {
    let mut known = with_token();
    known.software = Some("S".into());
    let bytes = encode(&known).unwrap();
    assert_eq!(decode::<Known>(&bytes).unwrap(), known);
    let golden = "010101530000000101010101010101010101010101010101010000fc00c87e9a000000";
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, golden);
}

#[test]
fn keys_tell_nothing_and_fit_their_rows() {
    let key = ClientKey::of(&ClientId("phone".into()));
    assert_eq!(ClientKey::of_row(&key.row(AccountId(7))), Some(key));
    assert_eq!(key.text().len(), 32);
    assert_ne!(
        key.resource(b"s", AccountId(1)),
        key.resource(b"s", AccountId(2))
    );
}
