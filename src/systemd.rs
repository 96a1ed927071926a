//! What the service manager is told (sd_notify): ready, reloading, stopping, and that the server
//! is alive.
//!
//! Alive means more than running: `WATCHDOG=1` is sent only when a probe went through the server
//! and came back. Without a service manager nothing is sent.

use sd_notify::NotifyState;
use std::io;
use std::time::Duration;

/// How long a probe may take (reliability.md B31).
const PATIENCE: Duration = Duration::from_secs(5);

/// The way to the service manager.
#[derive(Clone, Copy)]
pub struct Systemd {
    send: fn(&[NotifyState<'_>]) -> io::Result<()>,
}

impl Default for Systemd {
    fn default() -> Self {
        Systemd {
            send: sd_notify::notify,
        }
    }
}

impl Systemd {
    /// The server accepts connections; `status` is shown by `systemctl status`.
    pub fn ready(&self, status: &str) {
        self.tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// Changes what `systemctl status` shows.
    pub fn status(&self, status: &str) {
        self.tell(&[NotifyState::Status(status)]);
    }

    /// The settings are being read again; [`Systemd::ready`] must follow.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(since) => self.tell(&[NotifyState::Reloading, since]),
            Err(error) => tracing::warn!(%error, "no monotonic clock"),
        }
    }

    /// The server drains.
    pub fn stopping(&self) {
        self.tell(&[NotifyState::Stopping]);
    }

    /// How often the manager wants to hear from us; none without `WatchdogSec=`.
    pub fn watchdog() -> Option<Duration> {
        sd_notify::watchdog_enabled()
    }

    /// Feeds the watchdog for ever: each third of `period`, if `probe` comes back in time.
    pub async fn feed<F: Future<Output = bool>>(&self, period: Duration, probe: impl Fn() -> F) {
        self.feed_within(period, PATIENCE, probe).await;
    }

    async fn feed_within<F: Future<Output = bool>>(
        &self,
        period: Duration,
        patience: Duration,
        probe: impl Fn() -> F,
    ) {
        loop {
            match tokio::time::timeout(patience, probe()).await {
                Ok(true) => self.tell(&[NotifyState::Watchdog]),
                Ok(false) => tracing::error!("the watchdog's probe was lost"),
                Err(_) => tracing::error!(?patience, "the watchdog's probe did not come back"),
            }
            tokio::time::sleep(period / 3).await;
        }
    }

    fn tell(&self, states: &[NotifyState<'_>]) {
        if let Err(error) = (self.send)(states) {
            tracing::warn!(%error, "the service manager does not hear us");
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};

    thread_local! {
        static TOLD: RefCell<Vec<String>> = const { RefCell::new(vec![]) };
    }

    /// Keeps what is told on this thread.
    pub(crate) fn ear() -> Systemd {
        TOLD.with(|told| told.borrow_mut().clear());
        Systemd {
            send: |states| {
                let text: Vec<_> = states.iter().map(NotifyState::to_string).collect();
                TOLD.with(|told| told.borrow_mut().push(text.join("\n")));
                Ok(())
            },
        }
    }

    /// What was told.
    pub(crate) fn told() -> Vec<String> {
        TOLD.with(|told| told.borrow().clone())
    }

    #[test]
    fn the_life_of_a_service() {
        let systemd = ear();
        systemd.ready("2 domains");
        systemd.reloading();
        systemd.ready("3 domains");
        systemd.stopping();
        let told = told();
        assert_eq!(told[0], "READY=1\nSTATUS=2 domains");
        let usec = told[1]
            .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
            .unwrap();
        assert!(usec.parse::<u64>().unwrap() > 0);
        assert_eq!(told[2..], ["READY=1\nSTATUS=3 domains", "STOPPING=1"]);
    }

    /// How often the watchdog is fed by ten such probes.
    fn fed(probe: fn(u32) -> Option<bool>) -> usize {
        let systemd = ear();
        let count = Cell::new(0);
        let end = tokio::sync::Notify::new();
        let probe = || {
            count.set(count.get() + 1);
            let answer = match count.get() {
                1..=10 => probe(count.get()),
                _ => None,
            };
            if count.get() > 10 {
                end.notify_one();
            }
            async move {
                match answer {
                    Some(answer) => answer,
                    None => std::future::pending().await,
                }
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let ms = Duration::from_millis;
            tokio::select! {
                () = systemd.feed_within(ms(3), ms(5), probe) => {}
                () = end.notified() => {}
            }
        });
        told().iter().filter(|text| *text == "WATCHDOG=1").count()
    }

    #[test]
    fn fed_by_probes_that_come_back_only() {
        assert_eq!(fed(|_| Some(true)), 10);
        assert_eq!(fed(|_| Some(false)), 0);
        assert_eq!(fed(|_| None), 0);
        let sometimes = fed(|n| if n % 2 == 0 { None } else { Some(true) });
        assert_eq!(sometimes, 5, "it goes on after a lost one");
    }
}
