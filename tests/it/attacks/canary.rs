//! A bystander: it pings every 100 ms as long as the rows play, and is always answered.

use crate::device::Device;
use crate::world::World;
use crate::xml::CLIENT;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The running canary.
pub struct Canary {
    done: Arc<AtomicBool>,
    thread: JoinHandle<Result<(u32, Duration), String>>,
}

impl Canary {
    pub fn start(world: &World) -> Canary {
        let mut device = world.online("canary@a.test/perch");
        let done = Arc::new(AtomicBool::new(false));
        let flag = done.clone();
        let thread = std::thread::spawn(move || sing(&mut device, &flag));
        Canary { done, thread }
    }

    /// Ends it; the error says when it was not answered.
    pub fn stop(self) -> Result<(u32, Duration), String> {
        self.done.store(true, Ordering::Relaxed);
        let (pings, worst) = self.thread.join().map_err(|_| "the canary died")??;
        match pings {
            0 => Err("the canary never sang".into()),
            _ => Ok((pings, worst)),
        }
    }
}

fn sing(device: &mut Device, done: &AtomicBool) -> Result<(u32, Duration), String> {
    let mut worst = Duration::ZERO;
    let mut pings = 0;
    while !done.load(Ordering::Relaxed) {
        pings += 1;
        let begin = Instant::now();
        let ping = format!("<iq type='get' id='p{pings}'><ping xmlns='urn:xmpp:ping'/></iq>");
        let pong = device
            .client
            .ask(&ping)
            .map_err(|e| format!("ping {pings}: {e}"))?;
        if !pong.is(CLIENT, "iq") || pong.attr("type") != Some("result") {
            return Err(format!("ping {pings} got {pong}"));
        }
        worst = worst.max(begin.elapsed());
        device.client.transcript.clear();
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok((pings, worst))
}
