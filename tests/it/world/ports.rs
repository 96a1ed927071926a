//! Ports for the servers of these tests.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

/// A port of an address on loopback that nobody listens on, below those the kernel gives to
/// clients, so that a client of another test cannot take it meanwhile. It is claimed by a UDP
/// socket of its number, which is in no server's way, as long as that is kept: tests run beside
/// each other in several processes.
pub fn free(place: Ipv4Addr) -> (SocketAddr, UdpSocket) {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = (std::process::id() % 180) as u16 * 100;
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 12_000 + start.wrapping_add(step) % 20_000;
        let address = SocketAddr::from((place, port));
        if let Ok(claim) = UdpSocket::bind(address)
            && TcpListener::bind(address).is_ok()
        {
            return (address, claim);
        }
    }
}
