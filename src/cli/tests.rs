//! Arguments, and whole commands against a server made of a table.

use super::*;
use crate::control::{Answer, Commands, Kind, Order, Refusal};
use crate::opening::{Listening, Local, Opening, Running};
use std::fs;
use std::rc::Rc;

fn parse(line: &str) -> Result<Arguments, clap::Error> {
    Arguments::try_parse_from(std::iter::once("rookery").chain(line.split_whitespace()))
}

#[test]
fn arguments_are_consistent() {
    use clap::CommandFactory;
    Arguments::command().debug_assert();
}

#[test]
fn serve_is_the_default() {
    let line = "--domain a.example --domain b.example --data d --config c --port-offset 5";
    for line in [
        line.to_owned(),
        format!("serve {line}"),
        format!("{line} serve"),
    ] {
        let Arguments { place, command } = parse(&line).unwrap();
        assert!(matches!(command, None | Some(Command::Serve)), "{line}");
        assert_eq!(place.domain, ["a.example", "b.example"], "{line}");
        assert_eq!(place.data, Some("d".into()));
        assert_eq!(place.config, Some("c".into()));
        assert_eq!(place.port_offset, 5);
    }
    assert!(parse("").unwrap().command.is_none());
}

#[test]
fn every_command_answers_in_json() {
    for command in [
        "serve",
        "check-config",
        "user add a@b",
        "user add a@b --generate",
        "user add --password-stdin a@b",
        "user passwd a@b",
        "user delete a@b",
        "user list",
        "user disable a@b",
        "user enable a@b",
        "user clients a@b",
        "user clients a@b --revoke 1f",
        "s2s block a.example *.b.example",
        "s2s allow *",
        "s2s forget a.example",
        "s2s rules",
        "s2s list",
        "s2s show a.example",
        "s2s retry a.example",
        "s2s trace a.example --from b.example",
        "status",
        "xeps",
        "reload",
    ] {
        for line in [format!("--json {command}"), format!("{command} --json")] {
            assert!(parse(&line).unwrap().place.json, "{line}");
        }
    }
}

#[test]
fn passwords_are_no_arguments() {
    for line in [
        "user add a@b secret",
        "user add a@b --password secret",
        "user passwd a@b secret",
        "user add a@b --generate --password-stdin",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
}

#[test]
fn misunderstood_arguments() {
    for line in [
        "dance",
        "--port-offset x",
        "--port-offset 70000",
        "user",
        "serve x",
    ] {
        assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
    }
    assert_eq!(parse("--version").unwrap_err().exit_code(), 0);
    let error = parse("staus").unwrap_err().to_string();
    assert!(error.contains("status"), "{error}");
}

/// A server that keeps its accounts in a file of the data folder, one a line.
struct Table(Opening);

impl Running for Table {
    fn listening(&self) -> Vec<Listening> {
        vec![]
    }

    fn commands(&self) -> Rc<dyn Commands> {
        Rc::new(File(self.0.folder.path().join("accounts")))
    }

    fn renew(&self, _: &crate::tls::Served) {}

    fn probe(&self) -> Local<bool> {
        Box::pin(async { true })
    }

    fn drain(&self) -> Local<()> {
        Box::pin(async {})
    }

    fn ended(&self) -> Local<String> {
        Box::pin(std::future::pending())
    }
}

struct File(PathBuf);

impl Commands for File {
    fn run(&self, order: Order) -> Local<Result<Answer, Refusal>> {
        let mut names = fs::read_to_string(&self.0).unwrap_or_default();
        let answer = match order {
            Order::AddUser { user, .. } if names.contains(user.as_str()) => Err(Refusal::new(
                Kind::Exists,
                format!("there is {user} already"),
            )),
            Order::AddUser { user, .. } => {
                names.push_str(user.as_str());
                fs::write(&self.0, names).unwrap();
                Ok(Answer::Done)
            }
            Order::Status => Ok(Answer::Status(serde_json::Map::new())),
            _ => Err(Refusal::new(Kind::Absent, "there is no such account")),
        };
        Box::pin(async move { answer })
    }
}

fn start(opening: Opening) -> Local<Result<Rc<dyn Running>, StartError>> {
    assert!(
        opening.certificates.is_none(),
        "a command needs no certificate"
    );
    Box::pin(async { Ok(Rc::new(Table(opening)) as Rc<dyn Running>) })
}

/// Runs `user …` on a data folder where no server runs.
fn user_command(data: &std::path::Path, line: &str) -> Result<(), Failure> {
    let line = format!("user {line} --data {}", data.display());
    let Arguments { place, command } = parse(&line).unwrap();
    let Some(Command::User(user)) = command else {
        panic!("{line}")
    };
    user::user(&place, user, start)
}

#[test]
fn commands_without_a_server() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    let failure = user_command(&data, "delete alice@a.example").unwrap_err();
    assert!(failure.text.contains("--data"), "{failure:?}");
    assert!(!data.exists(), "nothing is made by asking");
    user_command(&data, "add alice@a.example --generate").unwrap();
    assert_eq!(
        fs::read_to_string(data.join("accounts")).unwrap(),
        "alice@a.example"
    );
    let failure = user_command(&data, "add alice@a.example --generate").unwrap_err();
    assert_eq!((failure.code, failure.kind.as_str()), (1, "exists"));
    assert_eq!(failure.text, "there is alice@a.example already");
    let failure = user_command(&data, "disable bob@a.example").unwrap_err();
    assert_eq!(failure.kind, "absent");
    assert!(!data.join("rookery.sock").exists());
    let status = parse(&format!("status --data {}", data.display())).unwrap();
    status::status(&status.place, start).unwrap();
    let reload = parse(&format!("reload --data {}", data.display())).unwrap();
    assert_eq!(
        reload::reload(&reload.place).unwrap_err().kind,
        "not_running"
    );
}

#[test]
fn a_bad_configuration_exits_with_78() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("rookery.toml");
    fs::write(&file, "domain = 'a.example'").unwrap();
    let place = Place {
        config: Some(file),
        ..Place::default()
    };
    assert_eq!(serve::serve(&place, start).unwrap_err().code, 78);
    let failure = check_config::check_config(&place, false).unwrap_err();
    assert_eq!(failure.code, 78);
    assert!(
        failure.text.contains("line 1: domain: is not a setting"),
        "{}",
        failure.text
    );
    let failure = check_config::check_config(
        &Place {
            json: true,
            ..place
        },
        false,
    )
    .unwrap_err();
    assert_eq!(
        (failure.code, failure.text.as_str()),
        (78, ""),
        "told in JSON already"
    );
    let nothing = Place {
        config: Some("/nonexistent".into()),
        ..Place::default()
    };
    assert_eq!(serve::serve(&nothing, start).unwrap_err().code, 78);
}
