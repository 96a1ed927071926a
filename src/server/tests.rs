//! The real server behind the door: orders on a real store, ports really taken.

use super::*;
use crate::opening::Opening;
use rookery_protocol::jid::Jid;
use std::net::{TcpListener, TcpStream};

fn settings(folder: &Path, c2s: &str) -> Settings {
    let mut settings = Settings {
        domains: vec!["a.example".into()],
        data: folder.join("data"),
        ..Settings::default()
    };
    settings.listen.c2s = vec![c2s.parse().unwrap()];
    settings.listen.c2s_tls = vec!["127.0.0.1:0".parse().unwrap()];
    settings.listen.s2s = vec![];
    settings.listen.s2s_tls = vec![];
    settings.engine.lanes = 1;
    settings
}

fn order(text: &str) -> Order {
    serde_json::from_str(text).unwrap()
}

fn add(user: &str, password: &str) -> Order {
    let user = Jid::parse(user).unwrap();
    Order::AddUser {
        user,
        password: Secret::new(password.into()),
    }
}

#[test]
fn orders_on_a_store_that_stays() {
    let place = tempfile::tempdir().unwrap();
    let settings = settings(place.path(), "127.0.0.1:0");
    actix_rt::System::new().block_on(async {
        let server = Server::start(Opening::silent(settings.clone()).unwrap(), &[]).unwrap();
        assert_eq!(server.listening(), []);
        let commands = server.commands();
        assert_eq!(
            commands.run(add("alice@a.example", "secret")).await,
            Ok(Answer::Done)
        );
        let rows = [
            (add("alice@a.example", "secret"), Kind::Exists),
            (add("alice@b.example", "secret"), Kind::NotOurs),
            (add("bob@a.example", "\u{7}"), Kind::Unfit),
            (
                order(r#"{"order":"delete_user","user":"bob@a.example"}"#),
                Kind::Absent,
            ),
            (Order::Reload, Kind::Unknown),
        ];
        for (order, kind) in rows {
            let shown = format!("{order:?}");
            assert_eq!(
                commands.run(order).await.map_err(|it| it.kind),
                Err(kind),
                "{shown}"
            );
        }
        server.drain().await;
        assert!(!server.probe().await, "nothing is alive after the end");
    });
    actix_rt::System::new().block_on(async {
        let server = Server::start(Opening::silent(settings).unwrap(), &[]).unwrap();
        let commands = server.commands();
        let listed = commands
            .run(Order::ListUsers { domain: None })
            .await
            .unwrap();
        let Answer::Users(users) = listed else {
            panic!("{listed:?}")
        };
        assert_eq!(users.len(), 1);
        assert_eq!(users[0].jid, "alice@a.example");
        let Ok(Answer::Status(numbers)) = commands.run(Order::Status).await else {
            panic!()
        };
        assert_eq!(numbers["accounts"], 1);
        for name in [
            "sessions",
            "hubs",
            "links",
            "stanzas_waiting",
            "store_bytes",
        ] {
            assert!(numbers[name].is_u64(), "{name} in {numbers:?}");
        }
        assert!(numbers["free_bytes"].as_u64() > Some(0), "{numbers:?}");
        assert_eq!(numbers["store_problems"], serde_json::json!([]));
        server.drain().await;
    });
}

#[test]
fn listens_probes_and_renews() {
    let place = tempfile::tempdir().unwrap();
    actix_rt::System::new().block_on(async {
        let mut settings = settings(place.path(), "127.0.0.1:0");
        settings.listen.s2s = vec!["127.0.0.1:0".parse().unwrap()];
        settings.listen.s2s_tls = settings.listen.s2s.clone();
        let opening = Opening::serving(settings).unwrap();
        let certificates = opening.certificates.clone().unwrap();
        let server = Server::start(opening, &[]).unwrap();
        let doors: Vec<_> = server.listening().iter().map(|it| it.door).collect();
        assert_eq!(doors, [Door::C2s, Door::C2sTls, Door::S2s, Door::S2sTls]);
        for listening in server.listening() {
            TcpStream::connect(listening.address).unwrap();
        }
        assert!(server.probe().await);
        let served = certificates.served();
        server.renew(&served);
        assert!(Arc::ptr_eq(&server.realm.tls.load().direct, &served.direct));
        server.drain().await;
    });
}

#[test]
fn a_port_that_is_taken_is_named() {
    let place = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    actix_rt::System::new().block_on(async {
        let opening = Opening::serving(settings(place.path(), &address)).unwrap();
        let error = Server::start(opening, &[]).map(|_| ()).unwrap_err();
        let text = error.to_string();
        assert!(
            matches!(error, StartError::Failed(_)),
            "it may be free another time"
        );
        assert!(
            text.contains(&address) && text.contains("--port-offset"),
            "{text}"
        );
    });
}

/// A newcomer may not look like somebody who is here; an administrator may make anybody.
#[test]
fn a_stranger_gets_no_name_that_looks_like_anothers() {
    let place = tempfile::tempdir().unwrap();
    let settings = settings(place.path(), "127.0.0.1:0");
    actix_rt::System::new().block_on(async {
        let server = Server::start(Opening::silent(settings).unwrap(), &[]).unwrap();
        let administer = async |command| server.realm.administer(command).await.0;
        let password = || Password::prepare("secret").unwrap();
        let jid = |name: &str| Jid::parse(&format!("{name}@a.example")).unwrap();
        let made = administer(Command::AddUser(jid("bill"), password())).await;
        assert!(matches!(made, Outcome::Done), "{made:?}");
        for (name, expected) in [
            ("bill", "there is an account of that name already"),
            ("b1ll", "the name is not allowed: it looks like another's"),
        ] {
            match administer(Command::Register(jid(name), password())).await {
                Outcome::Failed(failure) => assert_eq!(failure.to_string(), expected),
                other => panic!("{name}: {other:?}"),
            }
        }
        let made = administer(Command::Register(jid("bella"), password())).await;
        assert!(matches!(made, Outcome::Done), "{made:?}");
        let made = administer(Command::AddUser(jid("b1ll"), password())).await;
        assert!(matches!(made, Outcome::Done), "{made:?}");
        server.drain().await;
    });
}

#[test]
fn an_administrator_ends_the_server_after_the_answer() {
    use std::time::Duration;
    let place = tempfile::tempdir().unwrap();
    let settings = settings(place.path(), "127.0.0.1:0");
    actix_rt::System::new().block_on(async {
        let server = Server::start(Opening::silent(settings).unwrap(), &[]).unwrap();
        let mut told = server.told_to_stop();
        let delay = Duration::from_millis(20);
        let stop = Command::Stop { delay, again: true };
        let (outcome, after) = server.realm.administer(stop).await;
        assert!(matches!(outcome, Outcome::Done), "{outcome:?}");
        let soon = Duration::from_millis(50);
        assert!(
            tokio::time::timeout(soon, &mut told).await.is_err(),
            "no answer yet"
        );
        server.realm.finish(after);
        let again = tokio::time::timeout(Duration::from_secs(5), told).await;
        assert_eq!(again, Ok(true));
        server.drain().await;
    });
}
