//! Connections to sockets of this machine, by names of a name server of its own.

use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};

use rookery_config::settings::{Dns, NameServer as Named, Place};
use socket2::{Domain, Socket, Type};

use super::*;
use crate::testing::dns::{NameServer, Row};
use crate::testing::run;

/// A name server, and a dialer that asks it and may go to 127.0.0.0/8 and ::1.
struct World {
    names: NameServer,
    dialer: Dialer,
}

impl World {
    fn new(rows: &[(&str, Row)]) -> World {
        World::with(rows, |_| {})
    }

    fn with(rows: &[(&str, Row)], change: impl FnOnce(&mut Dns)) -> World {
        let names = NameServer::start(rows);
        let mut dns = Dns {
            servers: vec![Named(names.address)],
            timeout: Duration::from_secs(60),
            ..Dns::default()
        };
        change(&mut dns);
        let nets = ["127.0.0.0/8", "::1/128"].map(|net| net.parse().expect("a network"));
        let private = nets.to_vec();
        let s2s = S2s {
            private,
            ..S2s::default()
        };
        let dialer = Dialer::new(Resolver::new(&dns), &s2s);
        World { names, dialer }
    }

    /// A service of `a.example` at a host.
    fn service(&self, priority: u16, port: u16, host: &'static str) {
        let name = "_xmpp-server._tcp.a.example";
        self.names.add(name, Row::Srv(priority, 1, port, host));
    }

    /// Connects, and tells what was tried in vain.
    async fn dial(&self, domain: &str) -> (Option<Line>, Vec<String>, Condition) {
        let mut route = self.dialer.route(domain).await.expect("a route");
        let line = route.connect().await;
        let tries = route.tries().iter().map(Try::to_string).collect();
        (line, tries, route.condition())
    }

    /// The addresses that never answer; all others are connected to at once, at `open`.
    fn deaf(mut self, deaf: &[&str], open: SocketAddr) -> World {
        let deaf: Vec<IpAddr> = deaf.iter().map(|ip| ip.parse().expect("an ip")).collect();
        self.dialer.knock = Arc::new(move |address| match deaf.contains(&address.ip()) {
            true => Box::pin(std::future::pending()),
            false => Box::pin(TcpStream::connect(open)),
        });
        self.dialer.reach = Reach::Any;
        self
    }
}

/// A socket at which somebody listens.
fn open() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    (listener, port)
}

/// A port at which nobody listens, and nobody else can as long as this is kept.
fn closed(ip: IpAddr, port: u16) -> io::Result<Socket> {
    let address = SocketAddr::new(ip, port);
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

#[test]
fn the_first_target_that_answers() {
    run(async {
        let world = World::new(&[("b.example", Row::Address("127.0.0.1"))]);
        let (_listener, port) = open();
        let closed = closed(Ipv4Addr::LOCALHOST.into(), 0).expect("a free port");
        let address = closed.local_addr().ok().and_then(|it| it.as_socket());
        let nobody = address.expect("an address").port();
        world.service(1, nobody, "b.example");
        world.service(2, port, "b.example");
        world.service(3, port, "c.example");
        let (line, tries, condition) = world.dial("a.example").await;
        let line = line.expect("a line");
        assert_eq!(line.address, (Ipv4Addr::LOCALHOST, port).into());
        assert_eq!((line.target.port, line.pins.len()), (port, 0));
        let expected = format!("b.example port {nobody} at 127.0.0.1: nobody listens there");
        assert_eq!(tries, [expected]);
        assert_eq!(condition, Condition::RemoteServerTimeout);
    });
}

#[test]
fn a_route_goes_on_behind_a_line_that_came_to_nothing() {
    run(async {
        let world = World::new(&[("b.example", Row::Address("127.0.0.1"))]);
        let ((_one, first), (_other, second)) = (open(), open());
        world.service(1, first, "b.example");
        world.service(2, second, "b.example");
        let mut route = world.dialer.route("a.example").await.expect("a route");
        let line = route.connect().await.expect("a line");
        assert_eq!(line.address.port(), first);
        let (target, address) = (&line.target, line.address.ip());
        route.failed(
            target,
            address,
            "its certificate is for another domain".into(),
        );
        let line = route.connect().await.expect("another line");
        assert_eq!(line.address.port(), second);
        assert!(route.connect().await.is_none());
        assert_eq!(route.tries().len(), 1);
        assert!(route.left < PATIENCE, "connecting took no time");
    });
}

/// The row of F40 that users feel: IPv6 that leads nowhere beside IPv4 that works.
#[test]
fn a_dead_ipv6_beside_a_live_ipv4() {
    run(async {
        let (_listener, port) = open();
        let both = [
            ("a.example", Row::Address("2606:4700::1")),
            ("a.example", Row::Address("2606:4700::2")),
            ("a.example", Row::Address("8.8.8.8")),
        ];
        // Silent: it is passed, not given up.
        let open = (Ipv4Addr::LOCALHOST, port).into();
        let world = World::new(&both).deaf(&["2606:4700::1", "2606:4700::2"], open);
        let (line, tries, _) = world.dial("a.example").await;
        let line = line.expect("a line");
        assert_eq!(line.address, "8.8.8.8:5269".parse().expect("an address"));
        assert_eq!(tries, Vec::<String>::new());
        // Refused: told of. Without IPv6 there is nothing to close, and no way there either.
        let _closed = closed(Ipv6Addr::LOCALHOST.into(), port);
        let world = World::new(&[
            ("b.example", Row::Address("::1")),
            ("b.example", Row::Address("127.0.0.1")),
        ]);
        world.service(1, port, "b.example");
        let (line, tries, _) = world.dial("a.example").await;
        assert_eq!(line.expect("a line").address, open);
        let first = format!("b.example port {port} at ::1: ");
        assert!(
            tries.len() == 1 && tries[0].starts_with(&first),
            "{tries:?}"
        );
    });
}

#[test]
fn one_family_whose_lookup_hangs_or_fails() {
    run(async {
        let (_listener, port) = open();
        for broken in [Row::Silence("AAAA"), Row::Fail("AAAA")] {
            let world = World::new(&[("b.example", Row::Address("127.0.0.1"))]);
            world.names.add("b.example", broken);
            world.service(1, port, "b.example");
            let (line, ..) = world.dial("a.example").await;
            assert_eq!(line.expect("a line").address.port(), port);
        }
    });
}

#[test]
fn nobody_answers() {
    run(async {
        let (_listener, port) = open();
        let ips = ["2606:4700::1", "8.8.8.8", "9.9.9.9"];
        let rows = ips.map(|ip| ("b.example", Row::Address(ip)));
        let open = (Ipv4Addr::LOCALHOST, port).into();
        let mut world = World::new(&rows).deaf(&ips, open);
        world.dialer.patience = Duration::from_millis(700);
        world.service(1, 5269, "b.example");
        world.service(2, 5270, "b.example");
        let (line, tries, condition) = world.dial("a.example").await;
        assert!(line.is_none());
        let expected = [
            "b.example port 5269: it did not answer in time",
            "b.example port 5270: there was no time left",
        ];
        assert_eq!(tries, expected);
        assert_eq!(condition, Condition::RemoteServerTimeout);
    });
}

#[test]
fn who_is_not_there_is_not_found() {
    run(async {
        let world = World::new(&[]);
        let (line, tries, condition) = world.dial("nowhere.example").await;
        assert!(line.is_none());
        let none = "there is no such domain: it has neither SRV records nor addresses";
        assert_eq!(tries, [format!("nowhere.example port 5269: {none}")]);
        assert_eq!(condition, Condition::RemoteServerNotFound);
        // A host that is not there, and one of which that is not known.
        world.service(1, 5269, "b.example");
        let (_, tries, condition) = world.dial("a.example").await;
        assert_eq!(tries, ["b.example port 5269: this host has no addresses"]);
        assert_eq!(condition, Condition::RemoteServerNotFound);
        world.names.add("c.example", Row::Fail(""));
        world.names.add(
            "_xmpp-server._tcp.d.example",
            Row::Srv(1, 1, 5269, "c.example"),
        );
        let (_, tries, condition) = world.dial("d.example").await;
        let error = "the name servers answer with an error: Server Failure";
        assert_eq!(tries, [format!("c.example port 5269: {error}")]);
        assert_eq!(condition, Condition::RemoteServerTimeout);
    });
}

/// Row F33: addresses that a stranger may not send us to, by the domain itself and by SRV records.
#[test]
fn private_places_are_not_connected_to() {
    run(async {
        let (listener, port) = open();
        listener.set_nonblocking(true).expect("a socket");
        let hosts = [
            ("local.example", "127.0.0.1"),
            ("six.example", "::1"),
            ("mapped.example", "::ffff:127.0.0.1"),
            ("link.example", "169.254.169.254"),
            ("ten.example", "10.0.0.1"),
            ("unique.example", "fd00::1"),
        ];
        let rows = hosts.map(|(host, ip)| (host, Row::Address(ip)));
        let mut world = World::new(&rows);
        world.dialer.reach = Reach::Public(vec![]);
        for (host, _) in hosts {
            world.service(1, port, host);
        }
        world.service(1, port, "localhost");
        let (line, tries, condition) = world.dial("a.example").await;
        assert!(line.is_none());
        // `localhost` has an address of either family.
        assert_eq!(tries.len(), hosts.len() + 2, "{tries:?}");
        assert!(
            tries
                .iter()
                .all(|text| text.contains("not on the Internet")),
            "{tries:?}"
        );
        assert_eq!(condition, Condition::RemoteServerNotFound);
        for domain in ["127.0.0.1", "[::1]", "localhost", "ten.example"] {
            let (line, _, condition) = world.dial(domain).await;
            assert!(line.is_none(), "{domain}");
            assert_eq!(condition, Condition::RemoteServerNotFound, "{domain}");
        }
        assert!(listener.accept().is_err(), "somebody knocked");
    });
}

#[test]
fn places_in_the_settings_may_be_anywhere() {
    run(async {
        let (_listener, port) = open();
        let place = Place::try_from(format!("tls://127.0.0.1:{port}")).expect("a place");
        let mut world = World::with(&[], |dns| {
            dns.overrides.insert("chat.lan".into(), vec![place]);
        });
        world.dialer.reach = Reach::Public(vec![]);
        let (line, ..) = world.dial("chat.lan").await;
        let line = line.expect("a line");
        assert_eq!((line.address.port(), line.target.tls), (port, Tls::Direct));
    });
}

#[test]
fn what_is_tried_is_told_within_bounds() {
    run(async {
        let world = World::new(&[]);
        let mut route = world.dialer.route("a.example").await.expect("a route");
        let target = route.targets[0].clone();
        for n in 0..2 * TRIES_MAX {
            route.note(&target, None, format!("{}", n / 2), false);
        }
        assert_eq!(route.tries().len(), TRIES_MAX);
        assert_eq!(route.tries()[1].why, "1");
    });
}
