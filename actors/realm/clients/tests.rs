//! Logins on a store in memory: bounds, races, and a full disk.

use std::time::Duration;

use rookery_protocol::negotiation::client::{Agent, By};
use rookery_protocol::sasl::{Credentials, Hash, Password, ScramKeys, TokenMechanism};

use super::*;
use crate::admin::{Command, Outcome};
use crate::testing::{World, jid, run, settings};

fn admission(client: &str, by: By, wants: bool) -> Admission {
    Admission {
        account: jid("ann@test"),
        client: ClientId(client.into()),
        agent: Agent::default(),
        by,
        request: wants.then_some(TokenMechanism::Unbound),
    }
}

/// Logs in with the password and asks for a token.
async fn enter(world: &World, client: &str) -> Issued {
    let admission = admission(client, By::Password, true);
    let issued = world.realm().admit(admission).await;
    issued.expect("let in").expect("a token")
}

/// The ids of the tokens that SASL would try for a client.
async fn held(world: &World, client: &str) -> Vec<rookery_protocol::sasl::HeldToken> {
    let client = ClientId(client.into());
    match world.realm().lookup(&jid("ann@test"), Some(&client)).await {
        Lookup::Found(found) => found.tokens,
        _ => panic!("ann is there"),
    }
}

#[test]
fn a_token_that_was_given_is_the_one_that_is_looked_for() {
    run(async {
        let world = World::new(&["ann"], &[]);
        let issued = enter(&world, "phone").await;
        let found = held(&world, "phone").await;
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].token.reveal(), issued.token.reveal());
        assert!(held(&world, "desk").await.is_empty());
        let (bob, phone) = (jid("bob@test"), ClientId("phone".into()));
        let absent = world.realm().lookup(&bob, Some(&phone)).await;
        assert!(matches!(absent, Lookup::Absent));
        for row in world.rows(1, Kind::CLIENT) {
            let (key, value) = (row.0, String::from_utf8_lossy(&row.1).into_owned());
            assert!(!value.contains(issued.token.reveal()) && key.len() == 21);
        }
        world.stop().await;
    });
}

#[test]
fn beyond_the_bound_the_one_not_seen_for_longest_is_forgotten() {
    run(async {
        let mut settings = settings();
        settings.clients.remembered = 3;
        let world = World::with(settings, ["ann".to_owned()].into_iter(), &[]);
        for client in ["a", "b", "c"] {
            enter(&world, client).await;
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        assert_eq!(world.rows(1, Kind::CLIENT).len(), 3, "at the bound");
        let first = held(&world, "a").await[0].id;
        let by = By::Token {
            id: first,
            count: Some(1),
            invalidate: false,
        };
        let again = world.realm().admit(admission("a", by, false)).await;
        assert!(again.expect("let in").is_none());
        enter(&world, "d").await;
        assert_eq!(world.rows(1, Kind::CLIENT).len(), 3, "one past it");
        assert!(
            held(&world, "b").await.is_empty(),
            "the others were here later"
        );
        assert_eq!(held(&world, "a").await.len(), 1);
        world.stop().await;
    });
}

#[test]
fn none_is_remembered_where_that_is_not_wanted() {
    run(async {
        let mut settings = settings();
        settings.clients.remembered = 0;
        let world = World::with(settings, ["ann".to_owned()].into_iter(), &[]);
        let entered = world
            .realm()
            .admit(admission("a", By::Password, true))
            .await;
        assert!(entered.expect("let in").is_none());
        assert!(world.rows(1, Kind::CLIENT).is_empty() && !world.realm().login.tokens);
        world.stop().await;
    });
}

#[test]
fn of_two_with_one_count_one_is_let_in() {
    run(async {
        let world = World::new(&["ann"], &[]);
        enter(&world, "phone").await;
        let by = By::Token {
            id: held(&world, "phone").await[0].id,
            count: Some(9),
            invalidate: false,
        };
        let realm = world.realm();
        let (one, other) = tokio::join!(
            realm.admit(admission("phone", by, false)),
            realm.admit(admission("phone", by, false)),
        );
        assert_eq!(u8::from(one.is_ok()) + u8::from(other.is_ok()), 1);
        world.stop().await;
    });
}

#[test]
fn a_full_disk_gives_no_token_and_takes_none_back() {
    run(async {
        let world = World::new(&["ann"], &[]);
        enter(&world, "phone").await;
        world.disk.fill(true);
        let realm = world.realm();
        let entered = realm.admit(admission("desk", By::Password, true)).await;
        assert!(entered.expect("the password is right").is_none());
        let by = By::Token {
            id: held(&world, "phone").await[0].id,
            count: None,
            invalidate: true,
        };
        let entered = realm.admit(admission("phone", by, false)).await;
        assert_eq!(entered.err(), Some(Failure::TemporaryAuthFailure));
        let client = ClientKey::of(&ClientId("phone".into())).text();
        let user = jid("ann@test");
        let (outcome, _after) = realm
            .administer(Command::RevokeClient { user, client })
            .await;
        assert!(matches!(outcome, Outcome::Failed(admin::Failure::Store(_))));
        assert!(!held(&world, "phone").await[0].void, "as the disk says");
        world.stop().await;
    });
}

/// XEP-0480.
#[test]
fn keys_are_completed_once_and_with_the_account_s_own_salt() {
    run(async {
        let world = World::new(&["ann"], &[]);
        let (realm, ann) = (world.realm(), jid("ann@test"));
        let password = Password::prepare("secret").expect("a password");
        let mut account = realm
            .accounts
            .row(&realm.keeper, "ann@test")
            .await
            .expect("ann");
        account.credentials = Credentials {
            sha256: None,
            ..Credentials::derive(&password, [7; 16], 1)
        };
        let mut frame = Frame::new();
        let row = encode(&account).expect("a row");
        frame.put(Tree::Accounts, "ann@test", row);
        realm.keeper.committed(frame).await;
        let keys = |salt| ScramKeys::derive(Hash::Sha256, &password, salt, 1);
        let complete = |salt| {
            let accounts = &realm.accounts;
            accounts.complete(&realm.keeper, &ann, Hash::Sha256, keys(salt))
        };
        let lacking = || async {
            let row = realm
                .accounts
                .row(&realm.keeper, "ann@test")
                .await
                .expect("ann");
            row.credentials.sha256.is_none()
        };
        // The password, and with it the salt, changed meanwhile.
        assert!(complete(&[8; 16]).await.is_err() && lacking().await);
        assert!(complete(&[7; 16]).await.is_ok() && !lacking().await);
        assert!(complete(&[7; 16]).await.is_err(), "there are some already");
        world.stop().await;
    });
}
