//! The Listener of a port: takes connections, asks the gate, and deals them to the lanes in turn.

use std::net::TcpListener as Socket;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::net::TcpListener;
use tracing::warn;

use crate::realm::Realm;
use crate::registry::{Ended, Life};
use crate::stream::{Arrival, Stream};

/// After an error of the socket (too many open files) it rests for this long.
const REST: Duration = Duration::from_millis(500);

/// Whose connections come in on a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Port {
    /// Clients, STARTTLS.
    Clients,
    /// Clients, direct TLS (XEP-0368).
    ClientsTls,
    /// Other servers, STARTTLS.
    Servers,
    /// Other servers, direct TLS (XEP-0368).
    ServersTls,
}

/// A Listener.
pub struct Listener {
    realm: Arc<Realm>,
    socket: Arc<Socket>,
    port: Port,
}

impl Listener {
    /// Starts listening on the current lane. `socket` listens already and does not block.
    pub fn begin(realm: &Arc<Realm>, socket: Arc<Socket>, port: Port) {
        Listener {
            realm: Arc::clone(realm),
            socket,
            port,
        }
        .start();
    }
}

impl Actor for Listener {
    type Context = Context<Listener>;

    fn started(&mut self, ctx: &mut Context<Listener>) {
        let taking = take(Arc::clone(&self.realm), Arc::clone(&self.socket), self.port);
        ctx.spawn(taking.into_actor(self).map(|(), _, ctx| ctx.stop()));
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(registry) = self.realm.registry() {
            let life = Life::Listener {
                socket: Arc::clone(&self.socket),
                port: self.port,
            };
            registry.do_send(Ended {
                life,
                died: std::thread::panicking(),
            });
        }
    }
}

async fn take(realm: Arc<Realm>, socket: Arc<Socket>, port: Port) {
    let listener = match socket.try_clone().and_then(TcpListener::from_std) {
        Ok(listener) => listener,
        Err(problem) => return warn!(%problem, "a port cannot be listened on"),
    };
    let next = AtomicUsize::new(0);
    let mut closing = realm.closing.subscribe();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = closing.changed() => return,
        };
        let (tcp, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(problem) => {
                warn!(%problem, "a connection could not be taken");
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        let Some(pending) = realm.gate.enter(peer.ip(), Instant::now()) else {
            continue;
        };
        // A stanza is one write: waiting for more to send only delays it.
        let ready = tcp.set_nodelay(true).and_then(|()| tcp.into_std());
        let Ok(tcp) = ready else { continue };
        let lanes = realm.lanes.all();
        let lane = &lanes[next.fetch_add(1, Ordering::Relaxed) % lanes.len()];
        let realm = Arc::clone(&realm);
        lane.spawn_fn(move || {
            let Ok(tcp) = tokio::net::TcpStream::from_std(tcp) else {
                return;
            };
            let arrival = match port {
                Port::Clients | Port::Servers => Arrival::Plain(tcp),
                Port::ClientsTls | Port::ServersTls => Arrival::Direct(tcp),
            };
            let open = match port {
                Port::Clients | Port::ClientsTls => Stream::open,
                Port::Servers | Port::ServersTls => Stream::welcome,
            };
            open(&realm, arrival, peer.ip(), pending);
        });
    }
}
