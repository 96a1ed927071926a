//! Which addresses this server connects to when others tell it where: a stranger who names an
//! address of this machine or of its network must not make it knock there (attack row F33).
//!
//! It holds of every connection to another server, not only of those that verify a dialback: who
//! asks for an answer of any kind, a presence probe or an error, makes this server connect, too.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Where connections may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Anywhere: the operator named the place.
    Any,
    /// To the Internet, and to these networks besides.
    Public(Vec<IpNet>),
}

/// Ports below 1024 that a server of this kind may have; what else listens there (mail, SSH) must
/// not be spoken to on a stranger's behalf.
const LOW_PORTS: [u16; 2] = [80, 443];

impl Reach {
    /// Why there is no connecting to this address, if so.
    pub fn refusal(&self, address: SocketAddr) -> Option<&'static str> {
        let Reach::Public(allowed) = self else {
            return None;
        };
        let ip = address.ip().to_canonical();
        if allowed.iter().any(|net| net.contains(&ip)) {
            return None;
        }
        if !is_public(ip) {
            return Some("this address is not on the Internet, and not in `private` of [s2s]");
        }
        if address.port() < 1024 && !LOW_PORTS.contains(&address.port()) {
            return Some("no other server is expected on this port");
        }
        if is_own(ip).unwrap_or_default() {
            return Some("this address is this machine's own, and not in `private` of [s2s]");
        }
        None
    }
}

/// Networks that are no part of the Internet (RFC 6890 and its registries).
const SPECIAL_V4: [Ipv4Net; 14] = [
    v4(0, 0, 0, 0, 8),
    v4(10, 0, 0, 0, 8),
    v4(100, 64, 0, 0, 10),
    v4(127, 0, 0, 0, 8),
    v4(169, 254, 0, 0, 16),
    v4(172, 16, 0, 0, 12),
    v4(192, 0, 0, 0, 24),
    v4(192, 0, 2, 0, 24),
    v4(192, 168, 0, 0, 16),
    v4(198, 18, 0, 0, 15),
    v4(198, 51, 100, 0, 24),
    v4(203, 0, 113, 0, 24),
    v4(224, 0, 0, 0, 4),
    v4(240, 0, 0, 0, 4),
];

/// The same of IPv6: all but 2000::/3 is special, and so is this within it.
const SPECIAL_V6: [Ipv6Net; 3] = [
    // Protocol assignments, and tunnels that hide where they end.
    v6([0x2001, 0, 0, 0], 23),
    v6([0x2001, 0x0db8, 0, 0], 32),
    v6([0x3fff, 0, 0, 0], 20),
];
const UNICAST: Ipv6Net = v6([0x2000, 0, 0, 0], 3);
/// NAT64 (RFC 6052 §2.1): the last 32 bits are the address behind it.
const NAT64: Ipv6Net = v6([0x0064, 0xff9b, 0, 0], 96);
/// 6to4 (RFC 3056 §2): bits 16 to 47 are the address behind it.
const SIX_TO_FOUR: Ipv6Net = v6([0x2002, 0, 0, 0], 16);

const fn v4(a: u8, b: u8, c: u8, d: u8, bits: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), bits)
}

const fn v6(first: [u16; 4], bits: u8) -> Ipv6Net {
    let [a, b, c, d] = first;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), bits)
}

/// Whether an address is of the Internet.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !SPECIAL_V4.iter().any(|net| net.contains(&ip)),
        IpAddr::V6(ip) => {
            let [_, a, b, .., y, z] = ip.segments();
            let behind = |high: u16, low: u16| {
                let bits = (u32::from(high) << 16) | u32::from(low);
                is_public(Ipv4Addr::from_bits(bits).into())
            };
            if NAT64.contains(&ip) {
                behind(y, z)
            } else if SIX_TO_FOUR.contains(&ip) {
                behind(a, b)
            } else {
                UNICAST.contains(&ip) && !SPECIAL_V6.iter().any(|net| net.contains(&ip))
            }
        }
    }
}

/// Whether an address is this machine's: then the system would speak to it from that very address.
/// Nothing is sent.
fn is_own(ip: IpAddr) -> io::Result<bool> {
    let any: IpAddr = match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect((ip, 9))?;
    Ok(socket.local_addr()?.ip() == ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(reach: &Reach, address: &str) -> bool {
        reach
            .refusal(address.parse().expect("an address"))
            .is_some()
    }

    #[test]
    fn strangers_send_us_to_the_internet_only() {
        let public = Reach::Public(vec![]);
        for address in [
            "127.0.0.1:5269",
            "127.9.9.9:5269",
            "0.0.0.0:5269",
            "10.1.2.3:5269",
            "100.64.0.1:5269",
            "169.254.169.254:5269",
            "172.31.255.255:5269",
            "192.168.0.1:5269",
            "198.19.0.1:5269",
            "224.0.0.1:5269",
            "255.255.255.255:5269",
            "[::1]:5269",
            "[::]:5269",
            "[fc00::1]:5269",
            "[fd12::1]:5269",
            "[fe80::1]:5269",
            "[fec0::1]:5269",
            "[ff02::1]:5269",
            "[2001:db8::1]:5269",
            "[::ffff:127.0.0.1]:5269",
            "[::ffff:10.0.0.1]:5269",
            "[::127.0.0.1]:5269",
            "[64:ff9b::7f00:1]:5269",
            "[64:ff9b::a00:1]:5269",
            "[64:ff9b:1::808:808]:5269",
            "[2002:7f00:1::1]:5269",
            "[2002:c0a8:1::1]:5269",
            "[2001::1]:5269",
            "8.8.8.8:22",
            "8.8.8.8:25",
            "8.8.8.8:1023",
            "[2606:4700::1]:993",
        ] {
            assert!(refused(&public, address), "{address}");
            assert!(!refused(&Reach::Any, address), "{address}");
        }
        for address in [
            "8.8.8.8:5269",
            "8.8.8.8:443",
            "8.8.8.8:80",
            "8.8.8.8:1024",
            "172.32.0.1:5269",
            "100.128.0.1:5269",
            "[2606:4700::1]:5269",
            "[2a00::1]:5270",
            "[64:ff9b::808:808]:5269",
            "[2002:808:808::1]:5269",
            "[::ffff:8.8.8.8]:5269",
        ] {
            assert!(!refused(&public, address), "{address}");
        }
    }

    #[test]
    fn networks_of_the_operators_own() {
        let nets = ["10.1.0.0/16", "fd00::/8", "127.0.0.0/8"];
        let allowed = nets.map(|net| net.parse().expect("a network")).to_vec();
        let reach = Reach::Public(allowed);
        for address in [
            "10.1.2.3:5269",
            "10.1.2.3:22",
            "[fd12::1]:5269",
            "127.0.0.1:1",
            "[::ffff:127.0.0.1]:5269",
        ] {
            assert!(!refused(&reach, address), "{address}");
        }
        for address in ["10.2.0.1:5269", "[::1]:5269", "[fc00::1]:5269"] {
            assert!(refused(&reach, address), "{address}");
        }
    }

    #[test]
    fn this_machine_knows_its_own_addresses() {
        // Every machine has this one, and none has that one.
        assert_eq!(is_own(Ipv4Addr::LOCALHOST.into()).ok(), Some(true));
        let other: IpAddr = Ipv4Addr::new(192, 0, 2, 1).into();
        assert!(!is_own(other).unwrap_or_default());
    }
}
