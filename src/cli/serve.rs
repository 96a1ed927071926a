//! `rookery serve`: opens the door, keeps it, and closes it in order.

mod welcome;

use super::{EX_AGAIN, Failure, Place};
use crate::control::{Answer, Kind, Order, Performer, Refusal, Socket};
use crate::opening::{Opening, Running, Start, StartError, now};
use crate::systemd::Systemd;
use crate::tls::{Certificates, ExpiryWatch};
use rookery_config::{Settings, Sources};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{sleep, timeout};

/// How long a server may drain; under the 10 s that a stop may take in all.
const DRAIN: Duration = Duration::from_secs(9);
/// How often the certificate's end is looked at.
const TENDING: Duration = Duration::from_secs(3_600);
/// Between two looks whether the service manager has to hear of something; tests wait for it.
const TELLING: Duration = match cfg!(test) {
    true => Duration::from_millis(20),
    false => Duration::from_secs(10),
};

/// Serves until a signal, or until the server cannot go on.
pub(super) fn serve(place: &Place, start: Start) -> Result<(), Failure> {
    raise_descriptors();
    let settings = place.settings()?;
    let opening = Opening::serving(settings)?;
    let opening = Opening {
        accept_loss: place.accept_loss,
        ..opening
    };
    let kept = keep(place.sources(), opening, start, Systemd::default());
    actix_rt::System::new().block_on(kept)
}

/// As many connections as the system allows.
fn raise_descriptors() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the number of open files cannot be raised");
    }
}

/// The signals that a server obeys.
struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Signals {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Ends with the next request to stop.
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// A running server with all that the door does for it.
struct Porter {
    sources: Sources,
    settings: Settings,
    certificates: Arc<Certificates>,
    server: Rc<dyn Running>,
    systemd: Systemd,
}

async fn keep(
    sources: Sources,
    opening: Opening,
    start: Start,
    systemd: Systemd,
) -> Result<(), Failure> {
    // From here on a signal is kept for later, and does not end the process half way.
    let failed = |error: io::Error| Failure::new("failed", format!("signals: {error}"));
    let mut signals = Signals::new().map_err(failed)?;
    let settings = opening.settings.clone();
    let data = opening.folder.path().to_owned();
    let Some(certificates) = opening.certificates.clone() else {
        return Err(Failure::new("failed", "there is no certificate"));
    };
    let server = start(opening).await?;
    let porter = Rc::new(Porter {
        sources,
        settings,
        certificates,
        server,
        systemd,
    });
    let socket = Socket::bind(&data)
        .map_err(|error| StartError::Failed(format!("{}: {error}", data.display())))?;
    let tasks = [
        actix_rt::spawn(socket.serve(porter.performer())),
        actix_rt::spawn(Rc::clone(&porter).tend()),
        actix_rt::spawn(Rc::clone(&porter).feed()),
        actix_rt::spawn(Rc::clone(&porter).tell()),
    ];
    porter.open();
    let left = porter.stay(&mut signals).await;
    tasks.iter().for_each(|task| task.abort());
    let again = left?;
    porter.close(&mut signals).await?;
    match again {
        true => Err(Failure::told(EX_AGAIN)),
        false => Ok(()),
    }
}

impl Porter {
    /// Says that the door is open.
    fn open(&self) {
        let listening = self.server.listening();
        let served = self.certificates.served();
        super::shown::text(&welcome::text(
            &self.settings,
            &listening,
            &served,
            &self.sources,
        ));
        for host in served.missing(&self.settings.hosts()) {
            tracing::warn!(host, "the certificate does not name this host");
        }
        tracing::info!(domains = self.settings.domains.join(" "), "ready");
        self.systemd.ready(&self.status());
    }

    fn status(&self) -> String {
        let mut status = format!("Serving {}", self.settings.domains.join(", "));
        let problems = self.server.problems();
        if let Some(first) = problems.first() {
            let count = problems.len();
            status += &format!("; {count} problems of the store: {first}");
        }
        status
    }

    /// Obeys signals until one, or an administrator, says stop, and answers whether it is to be
    /// started again; an error if the server ends by itself.
    async fn stay(&self, signals: &mut Signals) -> Result<bool, Failure> {
        let mut ended = self.server.ended();
        let mut told_to_stop = self.server.told_to_stop();
        loop {
            tokio::select! {
                reason = &mut ended => {
                    tracing::error!(reason, "the server cannot go on");
                    return Err(Failure::new("failed", reason));
                }
                again = &mut told_to_stop => {
                    tracing::info!(again, "an administrator wants the server to stop");
                    return Ok(again);
                }
                _ = signals.hangup.recv() => {
                    // What is wrong was logged; the old stays in use.
                    let _ = self.reload();
                }
                _ = signals.terminate.recv() => return Ok(false),
                _ = signals.interrupt.recv() => return Ok(false),
            }
        }
    }

    /// Drains; another signal, or too long a time, leaves at once, which a crash-safe store bears.
    async fn close(&self, signals: &mut Signals) -> Result<(), Failure> {
        tracing::info!("stopping");
        self.systemd.stopping();
        tokio::select! {
            drained = timeout(DRAIN, self.server.drain()) => match drained {
                Ok(()) => {
                    tracing::info!("stopped");
                    Ok(())
                }
                Err(_) => Err(Failure::new("failed", "left before all was drained")),
            },
            () = signals.stop() => Err(Failure::new("failed", "left at once, as told twice")),
        }
    }

    /// Reads certificate and settings again. What is broken changes nothing.
    fn reload(&self) -> Result<Vec<String>, Refusal> {
        self.systemd.reloading();
        let outcome = self.read_again();
        match &outcome {
            Ok(remarks) => {
                tracing::info!("certificate and settings read again");
                remarks.iter().for_each(|remark| tracing::warn!("{remark}"));
            }
            Err(error) => tracing::error!("reload failed, the old stays in use: {error}"),
        }
        self.systemd.ready(&self.status());
        outcome
            .map_err(|error| Refusal::new(Kind::Failed, format!("{error}\nThe old stays in use.")))
    }

    fn read_again(&self) -> Result<Vec<String>, StartError> {
        let fresh = Settings::load(&self.sources)?;
        let hosts = self.settings.hosts();
        let (tls, ca) = (&fresh.tls, &fresh.s2s.ca);
        self.certificates.reload(tls, ca, &hosts, now())?;
        let served = self.certificates.served();
        self.server.renew(&served);
        self.server.rename(&fresh.components)?;
        let missing = served.missing(&hosts).into_iter();
        let mut remarks: Vec<_> = missing
            .map(|host| format!("the certificate does not name {host}"))
            .collect();
        let mut read_again = self.settings.clone();
        read_again.tls = fresh.tls.clone();
        read_again.s2s.ca = fresh.s2s.ca.clone();
        read_again.components = fresh.components.clone();
        if fresh != read_again {
            let remark = "settings other than [tls], [components] and `ca` in [s2s] take effect at \
                          the next start";
            remarks.push(remark.into());
        }
        Ok(remarks)
    }

    /// Orders through the socket: one is for the door, the rest for the engine.
    fn performer(self: &Rc<Self>) -> Performer {
        let porter = Rc::clone(self);
        let commands = self.server.commands();
        Rc::new(move |order| match order {
            Order::Reload => {
                let outcome = porter.reload().map(Answer::Reloaded);
                Box::pin(async move { outcome })
            }
            order => commands.run(order),
        })
    }

    /// Looks after the certificate for ever.
    async fn tend(self: Rc<Self>) {
        let mut watch = ExpiryWatch::default();
        loop {
            match self.certificates.tend(&self.settings.hosts(), now()) {
                Ok(false) => {}
                Ok(true) => self.server.renew(&self.certificates.served()),
                Err(error) => tracing::error!(%error, "no new certificate"),
            }
            if let Some(warning) = watch.check(&self.certificates.served(), now()) {
                tracing::warn!("{warning}");
            }
            sleep(TENDING).await;
        }
    }

    /// Has the service manager show what is wrong, for ever.
    async fn tell(self: Rc<Self>) {
        let mut told = self.status();
        loop {
            sleep(TELLING).await;
            let status = self.status();
            if status != told {
                self.systemd.status(&status);
                told = status;
            }
        }
    }

    /// Feeds the watchdog for ever, if there is one.
    async fn feed(self: Rc<Self>) {
        if let Some(period) = Systemd::watchdog() {
            self.systemd.feed(period, || self.server.probe()).await;
        }
    }
}

#[cfg(test)]
mod tests;
