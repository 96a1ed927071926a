//! Orders through a real socket, to a server made of a table.

use super::*;
use std::cell::RefCell;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use tokio::task::{LocalSet, spawn_blocking, spawn_local};

/// Keeps names; enough to see orders arrive and answers leave.
#[derive(Default)]
struct Table(RefCell<Vec<(Jid, String)>>);

impl Commands for Table {
    fn run(&self, order: Order) -> Local<Result<Answer, Refusal>> {
        let mut table = self.0.borrow_mut();
        let answer = match order {
            Order::AddUser { user, .. } if table.iter().any(|(known, _)| *known == user) => Err(
                Refusal::new(Kind::Exists, format!("there is {user} already")),
            ),
            Order::AddUser { user, password } => {
                table.push((user, password.reveal().to_owned()));
                Ok(Answer::Done)
            }
            Order::ListUsers { .. } => {
                let user = |(jid, _): &(Jid, String)| User {
                    jid: jid.to_string(),
                    ..User::default()
                };
                Ok(Answer::Users(table.iter().map(user).collect()))
            }
            other => Err(Refusal::new(Kind::Unknown, format!("{other:?}"))),
        };
        Box::pin(async move { answer })
    }
}

/// Runs `talk` on a thread of its own while a server answers in `folder`.
fn served<T: Send + 'static>(folder: &Path, talk: impl FnOnce() -> T + Send + 'static) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let socket = {
        let _inside = runtime.enter();
        Socket::bind(folder).unwrap()
    };
    let table = Rc::new(Table::default());
    let performer: Performer = Rc::new(move |order| table.run(order));
    LocalSet::new().block_on(&runtime, async {
        let server = spawn_local(socket.serve(performer));
        let result = spawn_blocking(talk).await.unwrap();
        server.abort();
        let _ = server.await;
        result
    })
}

fn add(name: &str) -> Order {
    Order::AddUser {
        user: Jid::parse(name).unwrap(),
        password: Secret::new("pass wörd\n".into()),
    }
}

#[test]
fn orders_and_answers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let listed = served(&path.clone(), move || {
        assert_eq!(
            ask(&path, &add("alice@a.example")).unwrap(),
            Ok(Answer::Done)
        );
        let refusal = ask(&path, &add("alice@a.example")).unwrap().unwrap_err();
        assert_eq!(refusal.kind, Kind::Exists);
        assert_eq!(refusal.text, "there is alice@a.example already");
        let mode = fs::metadata(path.join("rookery.sock"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        ask(&path, &Order::ListUsers { domain: None })
            .unwrap()
            .unwrap()
    });
    let Answer::Users(users) = listed else {
        panic!("{listed:?}")
    };
    assert_eq!(users[0].jid, "alice@a.example");
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        0,
        "the socket went"
    );
}

#[test]
fn nobody_there() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("none");
    for place in [folder.path(), &missing] {
        assert!(matches!(
            ask(place, &Order::Status),
            Err(AskError::NobodyThere)
        ));
    }
    // A server that was killed leaves its socket behind.
    let dead = std::os::unix::net::UnixListener::bind(folder.path().join(NAME)).unwrap();
    drop(dead);
    assert!(matches!(
        ask(folder.path(), &Order::Status),
        Err(AskError::NobodyThere)
    ));
    let path = folder.path().to_owned();
    let answer = served(folder.path(), move || ask(&path, &add("a@a.example")));
    assert_eq!(
        answer.unwrap(),
        Ok(Answer::Done),
        "and the next takes its place"
    );
}

#[test]
fn a_path_too_long_for_a_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x".repeat(120));
    fs::create_dir(&path).unwrap();
    let place = path.clone();
    assert_eq!(
        served(&place, move || ask(&path, &add("a@a.example"))).unwrap(),
        Ok(Answer::Done)
    );
}

#[test]
fn what_is_no_order_is_refused_and_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(NAME);
    let say = |text: Vec<u8>| {
        let path = path.clone();
        served(folder.path(), move || {
            let mut stream = UnixStream::connect(path).unwrap();
            // It may stop reading before the end.
            let _ = stream.write_all(&text);
            let mut reply = String::new();
            let _ = BufReader::new(stream).read_line(&mut reply);
            reply
        })
    };
    let long = format!("\"{}\"\n", "x".repeat(ORDER_LIMIT as usize));
    for text in [
        "secret\n",
        "{}\n",
        "{\"order\":\"dance\",\"password\":\"secret\"}\n",
        "{\"order\":\"add_user\",\"user\":\"secret@@x\",\"password\":\"secret\"}\n",
        "{\"order\":\"add_user\",\"user\":\"a@b.example\",\"password\":\"secret\",\"x\":1}\n",
        long.as_str(),
    ] {
        let reply = say(text.into());
        let unread = reply.is_empty() && text.len() as u64 > ORDER_LIMIT;
        assert!(
            unread || reply.contains("\"kind\":\"unknown\""),
            "{text}: {reply}"
        );
        assert!(!reply.contains("secret"), "{reply}");
    }
}

#[test]
fn secrets_are_not_shown() {
    let shown = format!("{:?}", add("alice@a.example"));
    assert!(!shown.contains("wörd"), "{shown}");
    assert!(shown.contains("alice"), "{shown}");
}

#[test]
fn the_wire_is_stable() {
    let rows = [
        (
            add("a@b.example"),
            r#"{"order":"add_user","user":"a@b.example","password":"pass wörd\n"}"#,
        ),
        (
            Order::ListUsers { domain: None },
            r#"{"order":"list_users","domain":null}"#,
        ),
        (Order::Status, r#"{"order":"status"}"#),
        (Order::Reload, r#"{"order":"reload"}"#),
    ];
    for (order, text) in rows {
        assert_eq!(String::from_utf8_lossy(&line(&order)).trim_end(), text);
        assert_eq!(serde_json::from_str::<Order>(text).unwrap(), order);
    }
    let reply = Reply::Error(Refusal::new(Kind::NotOurs, "no"));
    let text = r#"{"error":{"kind":"not_ours","text":"no"}}"#;
    assert_eq!(String::from_utf8_lossy(&line(&reply)).trim_end(), text);
    assert_eq!(
        String::from_utf8_lossy(&line(&Reply::Ok(Answer::Done))),
        "{\"ok\":\"done\"}\n"
    );
}
