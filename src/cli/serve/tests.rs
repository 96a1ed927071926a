//! A server made of nothing behind the real door: signals, reload, the socket, the manager.

use super::*;
use crate::control::{Commands, ask};
use crate::opening::{Listening, Local};
use crate::systemd::tests::{ear, told};
use rustix::process::{Signal, getpid, kill_process};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

struct Nothing {
    drains: bool,
    ends: bool,
    /// An administrator has told it to stop, and whether to come back.
    told: Option<bool>,
    /// It turns out not to be well after its start.
    sick: bool,
    /// How often it was asked what is wrong with it.
    asked: Cell<u32>,
    _opening: Opening,
}

impl Running for Nothing {
    fn listening(&self) -> Vec<Listening> {
        vec![]
    }

    fn commands(&self) -> Rc<dyn Commands> {
        Rc::new(Mute)
    }

    fn renew(&self, _: &crate::tls::Served) {
        RENEWED.fetch_add(1, Ordering::SeqCst);
    }

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
        // The door asks when it opens, and for what it compares later looks with.
        self.asked.set(self.asked.get() + 1);
        let found = self.sick && self.asked.get() > 2;
        found.then(|| "pubsub: a row".into()).into_iter().collect()
    }

    fn told_to_stop(&self) -> Local<bool> {
        if self.sick {
            return Box::pin(async {
                while !told().iter().any(|text| text.contains("problems")) {
                    sleep(TELLING).await;
                }
                // Several more looks.
                sleep(4 * TELLING).await;
                false
            });
        }
        match self.told {
            Some(again) => Box::pin(async move { again }),
            None => Box::pin(std::future::pending()),
        }
    }

    fn ended(&self) -> Local<String> {
        match self.ends {
            true => Box::pin(async { "the disk is gone".into() }),
            false => Box::pin(std::future::pending()),
        }
    }
}

/// How often a server was given a certificate that was read again.
static RENEWED: AtomicU32 = AtomicU32::new(0);

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
        told: None,
        sick: false,
        asked: Cell::new(0),
        _opening: opening,
    });
    Box::pin(async { Ok(server as Rc<dyn Running>) })
}

fn told_to_stop(again: bool, opening: Opening) -> Local<Result<Rc<dyn Running>, StartError>> {
    let server = Rc::new(Nothing {
        drains: true,
        ends: false,
        told: Some(again),
        sick: false,
        asked: Cell::new(0),
        _opening: opening,
    });
    Box::pin(async { Ok(server as Rc<dyn Running>) })
}

fn sick(opening: Opening) -> Local<Result<Rc<dyn Running>, StartError>> {
    let server = Rc::new(Nothing {
        drains: true,
        ends: false,
        told: None,
        sick: true,
        asked: Cell::new(0),
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
            let whole = std::fs::read(&certificate).unwrap();
            std::fs::write(&certificate, "broken").unwrap();
            let refusal = ask(&data, &Order::Reload).unwrap().unwrap_err();
            assert!(refusal.text.contains("self-signed.key"), "{refusal}");
            assert!(refusal.text.contains("The old stays in use"), "{refusal}");
            std::fs::write(&certificate, whole).unwrap();
            let before = RENEWED.load(Ordering::SeqCst);
            raise(Signal::HUP);
            while RENEWED.load(Ordering::SeqCst) == before {
                std::thread::sleep(Duration::from_millis(5));
            }
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

    stops_by_itself(&place.path().join("other"));
}

/// It ends because the disk failed, or because an administrator said so.
fn stops_by_itself(alone: &Path) {
    let sources = Sources {
        domains: vec!["a.example".into()],
        data: Some(alone.to_owned()),
        ..Sources::default()
    };
    let opening = Opening::serving(Settings::load(&sources).unwrap()).unwrap();
    let start: Start = |opening| started(true, true, opening);
    let outcome = actix_rt::System::new().block_on(keep(sources.clone(), opening, start, ear()));
    assert_eq!(outcome.unwrap_err().text, "the disk is gone");

    let told = |start: Start| {
        let opening = Opening::serving(Settings::load(&sources).unwrap()).unwrap();
        actix_rt::System::new().block_on(keep(sources.clone(), opening, start, ear()))
    };
    let outcome = told(|opening| told_to_stop(false, opening));
    assert!(outcome.is_ok(), "{outcome:?}");
    // The unit has systemd start it again.
    let outcome = told(|opening| told_to_stop(true, opening)).unwrap_err();
    assert_eq!((outcome.code, outcome.text), (75, String::new()));
    let unit = include_str!("../../../config/rookery.service");
    assert!(unit.contains("\nRestartForceExitStatus=75\n"));

    let opening = Opening::serving(Settings::load(&sources).unwrap()).unwrap();
    let outcome = actix_rt::System::new().block_on(keep(sources, opening, sick, ear()));
    assert!(outcome.is_ok(), "{outcome:?}");
    let serving = "STATUS=Serving a.example";
    let problem = format!("{serving}; 1 problems of the store: pubsub: a row");
    let expected = [&format!("READY=1\n{serving}"), &problem, "STOPPING=1"];
    assert_eq!(self::told(), expected, "told once");
}
