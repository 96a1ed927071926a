//! The Listener of a port: takes connections, asks the gate, and deals them to the lanes in turn.

use std::io;
use std::net::{IpAddr, Ipv4Addr, TcpListener as Tcp};
use std::os::unix::net::UnixListener as Local;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tracing::warn;

use crate::realm::Realm;
use crate::registry::{Ended, Life};
use crate::stream::{Arrival, Stream};

/// Whoever connects to a path is on this machine.
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
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
    /// External components.
    Components,
    /// External components, direct TLS.
    ComponentsTls,
}

/// What a Listener takes connections from. It listens already, and does not block.
pub enum Socket {
    /// A port.
    Tcp(Tcp),
    /// A path on this machine.
    Local(Local),
}

/// A Listener.
pub struct Listener {
    realm: Arc<Realm>,
    socket: Arc<Socket>,
    port: Port,
}

impl Listener {
    /// Starts listening on the current lane.
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
    let listener = match Open::on(&socket) {
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
        let (connection, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(problem) => {
                warn!(%problem, "a connection could not be taken");
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        let Some(pending) = realm.gate.enter(peer, Instant::now()) else {
            continue;
        };
        let lanes = realm.lanes.all();
        let lane = &lanes[next.fetch_add(1, Ordering::Relaxed) % lanes.len()];
        let realm = Arc::clone(&realm);
        lane.spawn_fn(move || {
            let Ok(arrival) = connection.arrive(port) else {
                return;
            };
            let open = match port {
                Port::Clients | Port::ClientsTls => Stream::open,
                Port::Servers | Port::ServersTls => Stream::welcome,
                Port::Components | Port::ComponentsTls => Stream::adopt,
            };
            open(&realm, arrival, peer, pending);
        });
    }
}

/// A socket on the lane of its Listener.
enum Open {
    Tcp(TcpListener),
    Local(UnixListener),
}

/// A connection on its way to its lane.
enum Connection {
    Tcp(std::net::TcpStream),
    Local(std::os::unix::net::UnixStream),
}

impl Open {
    fn on(socket: &Socket) -> io::Result<Open> {
        Ok(match socket {
            Socket::Tcp(socket) => Open::Tcp(TcpListener::from_std(socket.try_clone()?)?),
            Socket::Local(socket) => Open::Local(UnixListener::from_std(socket.try_clone()?)?),
        })
    }

    async fn accept(&self) -> io::Result<(Connection, IpAddr)> {
        match self {
            Open::Tcp(listener) => {
                let (tcp, peer) = listener.accept().await?;
                // A stanza is one write: waiting for more to send only delays it. Who is gone
                // already is found out by who reads.
                let _ = tcp.set_nodelay(true);
                Ok((Connection::Tcp(tcp.into_std()?), peer.ip()))
            }
            Open::Local(listener) => {
                let (socket, _) = listener.accept().await?;
                Ok((Connection::Local(socket.into_std()?), HERE))
            }
        }
    }
}

impl Connection {
    /// On the lane of its stream.
    fn arrive(self, port: Port) -> io::Result<Arrival> {
        use Port::{Clients, ClientsTls, Components, ComponentsTls, Servers, ServersTls};
        Ok(match (self, port) {
            (Connection::Tcp(tcp), Clients | Servers | Components) => {
                Arrival::Plain(TcpStream::from_std(tcp)?)
            }
            (Connection::Tcp(tcp), ClientsTls | ServersTls | ComponentsTls) => {
                Arrival::Direct(TcpStream::from_std(tcp)?)
            }
            (Connection::Local(socket), _) => {
                Arrival::Other(Box::new(UnixStream::from_std(socket)?))
            }
        })
    }
}
