//! A server made of nothing behind the real door: signals, reload, the socket, the manager.

use super::*;
use crate::control::{Commands, ask};
use crate::opening::{Listening, Local};
use crate::systemd::tests::{ear, told};
use rustix::process::{Signal, getpid, kill_process};
use std::path::{Path, PathBuf};

struct Nothing {
    drains: bool,
    ends: bool,
    /// An administrator has told it to stop.
    told: bool,
    /// What is wrong with it, a moment after its start.
    sick: Option<std::time::Instant>,
    _opening: Opening,
}

impl Running for Nothing {
    fn listening(&self) -> Vec<Listening> {
        vec![]
    }

    fn commands(&self) -> Rc<dyn Commands> {
        Rc::new(Mute)
    }

    fn renew(&self, _: &crate::tls::Served) {}

    fn probe(&self) -> Local<bool> {
        Box::pin(async { true })
    }

    fn drain(&self) -> Local<()> {
        match self.drains {
            true => Box::pin(async {}),
            false => Box::pin(std::future::pending()),
        }
    }

    fn problems(&self) -> Vec<String> {
        let found = self.sick.filter(|since| since.elapsed() > SOON);
        found.map(|_| "pubsub: a row".into()).into_iter().collect()
    }

    fn told_to_stop(&self) -> Local<()> {
        if self.sick.is_some() {
            return Box::pin(sleep(8 * SOON));
        }
        match self.told {
            true => Box::pin(async {}),
            false => Box::pin(std::future::pending()),
        }
    }

    fn ended(&self) -> Local<String> {
        match self.ends {
            true => Box::pin(async { "the disk is gone".into() }),
            false => Box::pin(std::future::pending()),
        }
    }
}

/// When a store that looks well turns out not to be.
const SOON: Duration = Duration::from_millis(100);

struct Mute;

impl Commands for Mute {
    fn run(&self, _: Order) -> Local<Result<Answer, Refusal>> {
        Box::pin(async { Ok(Answer::Done) })
    }
}

fn started(
    drains: bool,
    ends: bool,
    opening: Opening,
) -> Local<Result<Rc<dyn Running>, StartError>> {
    assert!(opening.certificates.is_some());
    let server = Rc::new(Nothing {
        drains,
        ends,
        told: false,
        sick: None,
        _opening: opening,
    });
    Box::pin(async { Ok(server as Rc<dyn Running>) })
}

fn told_to_stop(opening: Opening) -> Local<Result<Rc<dyn Running>, StartError>> {
    let server = Rc::new(Nothing {
        drains: true,
        ends: false,
        told: true,
        sick: None,
        _opening: opening,
    });
    Box::pin(async { Ok(server as Rc<dyn Running>) })
}

fn sick(opening: Opening) -> Local<Result<Rc<dyn Running>, StartError>> {
    let server = Rc::new(Nothing {
        drains: true,
        ends: false,
        told: false,
        sick: Some(std::time::Instant::now()),
        _opening: opening,
    });
    Box::pin(async { Ok(server as Rc<dyn Running>) })
}

/// Serves on `data` while `talk` runs on another thread.
fn kept(
    data: &Path,
    start: Start,
    talk: impl FnOnce(PathBuf) + Send + 'static,
) -> Result<(), Failure> {
    let sources = Sources {
        domains: vec!["a.example".into()],
        data: Some(data.to_owned()),
        ..Sources::default()
    };
    let opening = Opening::serving(Settings::load(&sources).unwrap()).unwrap();
    let data = data.to_owned();
    let talk = std::thread::spawn(move || {
        while ask(&data, &Order::Status).is_err() {
            std::thread::sleep(Duration::from_millis(5));
        }
        talk(data);
    });
    let outcome = actix_rt::System::new().block_on(keep(sources, opening, start, ear()));
    talk.join().unwrap();
    outcome
}

fn raise(signal: Signal) {
    kill_process(getpid(), signal).unwrap();
}

/// One test, since signals are for the whole process.
#[test]
fn signals_are_obeyed() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    let outcome = kept(
        &data,
        |opening| started(true, false, opening),
        |data| {
            let certificate = data.join("tls/self-signed.key");
            let answer = ask(&data, &Order::Reload).unwrap();
            assert_eq!(answer, Ok(Answer::Reloaded(vec![])));
            std::fs::write(certificate, "broken").unwrap();
            let refusal = ask(&data, &Order::Reload).unwrap().unwrap_err();
            assert!(refusal.text.contains("self-signed.key"), "{refusal}");
            assert!(refusal.text.contains("The old stays in use"), "{refusal}");
            raise(Signal::HUP);
            std::thread::sleep(Duration::from_millis(50));
            raise(Signal::TERM);
        },
    );
    assert!(outcome.is_ok(), "{outcome:?}");
    assert!(!data.join("rookery.sock").exists());
    let told = told();
    let kinds: Vec<_> = told
        .iter()
        .filter_map(|text| text.split('=').next())
        .collect();
    let reloads = ["RELOADING", "READY"].repeat(3);
    assert_eq!(kinds, [&["READY"], &reloads[..], &["STOPPING"]].concat());

    std::fs::remove_dir_all(data.join("tls")).unwrap();
    let outcome = kept(
        &data,
        |opening| started(false, false, opening),
        |data| {
            raise(Signal::INT);
            // The socket is closed first; the second signal must not come with the first.
            while ask(&data, &Order::Status).is_ok() {
                std::thread::sleep(Duration::from_millis(5));
            }
            raise(Signal::TERM);
        },
    );
    assert!(outcome.unwrap_err().text.contains("told twice"));

    let before = std::time::Instant::now();
    let alone = place.path().join("other");
    let sources = Sources {
        domains: vec!["a.example".into()],
        data: Some(alone),
        ..Sources::default()
    };
    let opening = Opening::serving(Settings::load(&sources).unwrap()).unwrap();
    let start: Start = |opening| started(true, true, opening);
    let outcome = actix_rt::System::new().block_on(keep(sources.clone(), opening, start, ear()));
    assert_eq!(outcome.unwrap_err().text, "the disk is gone");

    let opening = Opening::serving(Settings::load(&sources).unwrap()).unwrap();
    let kept = keep(sources.clone(), opening, told_to_stop, ear());
    let outcome = actix_rt::System::new().block_on(kept);
    assert!(outcome.is_ok(), "{outcome:?}");

    let opening = Opening::serving(Settings::load(&sources).unwrap()).unwrap();
    let outcome = actix_rt::System::new().block_on(keep(sources, opening, sick, ear()));
    assert!(outcome.is_ok(), "{outcome:?}");
    let serving = "STATUS=Serving a.example";
    let problem = format!("{serving}; 1 problems of the store: pubsub: a row");
    let expected = [&format!("READY=1\n{serving}"), &problem, "STOPPING=1"];
    assert_eq!(self::told(), expected, "told once");
    assert!(before.elapsed() < Duration::from_secs(5));
}
