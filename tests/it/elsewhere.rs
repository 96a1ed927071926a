//! A server elsewhere, which the test plays: it has an address of its own on loopback, the DNS of
//! these tests leads to it, and it says exactly what the test wants.

use crate::authority::Leaf;
use crate::client::{Client, PATIENCE, QUIET};
use crate::names::{NameServer, Row};
use crate::tls;
use crate::xml::{El, Heard, SASL, STREAMS, TLS};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The namespace of stanzas between servers.
pub const SERVER: &str = "jabber:server";
/// The namespace of dialback (XEP-0220).
pub const DIALBACK: &str = "jabber:server:dialback";

/// Features of who offers EXTERNAL.
pub const EXTERNAL: &str = "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
                            <mechanism>EXTERNAL</mechanism></mechanisms>";
/// Features of who offers dialback.
pub const BY_DIALBACK: &str = "<dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>";
/// Features of who offers STARTTLS.
pub const STARTTLS: &str =
    "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>";

/// A server elsewhere.
pub struct Elsewhere {
    /// What it is called.
    pub domain: String,
    /// Where it listens.
    pub address: SocketAddr,
    listener: TcpListener,
}

/// The DNS of these tests. Every test has names of its own in it.
pub fn dns() -> &'static NameServer {
    static NAMES: OnceLock<NameServer> = OnceLock::new();
    NAMES.get_or_init(|| NameServer::start(&[]))
}

/// The settings of a server that asks this DNS.
pub fn asking() -> String {
    format!("[dns]\nservers = [\"{}\"]\n", dns().address)
}

/// An address of this machine that no other test has.
pub fn place() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 + high % 64, low, (number % 254 + 1) as u8)
}

/// A text that stays, as names in the DNS of these tests do.
pub fn lasting(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

impl Elsewhere {
    /// A server that nobody knows of.
    pub fn unknown(domain: &str) -> Elsewhere {
        Elsewhere::at(domain, (place(), 0).into())
    }

    /// The same at this address.
    pub fn at(domain: &str, address: SocketAddr) -> Elsewhere {
        let listener = TcpListener::bind(address).expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("its address");
        let domain = domain.into();
        Elsewhere {
            domain,
            address,
            listener,
        }
    }

    /// A server with STARTTLS, to which the DNS leads.
    pub fn of(domain: &str) -> Elsewhere {
        let it = Elsewhere::unknown(domain);
        it.serves(domain, "_xmpp-server", 0);
        it
    }

    /// The same with direct TLS.
    pub fn direct(domain: &str) -> Elsewhere {
        let it = Elsewhere::unknown(domain);
        it.serves(domain, "_xmpps-server", 0);
        it
    }

    /// Its name as a host.
    pub fn host(&self) -> &'static str {
        let [.., low] = match self.address.ip() {
            IpAddr::V4(ip) => ip.octets(),
            IpAddr::V6(_) => [0; 4],
        };
        let port = self.address.port();
        lasting(format!("h{low}-{port}.{}", self.domain))
    }

    /// The DNS says that it serves a domain, as one of those with this priority.
    pub fn serves(&self, domain: &str, service: &str, priority: u16) {
        let srv = Row::Srv(priority, 0, self.address.port(), self.host());
        dns().add(&format!("{service}._tcp.{domain}"), srv);
        dns().forget(self.host());
        self.lives_in(dns());
    }

    /// This DNS knows its host.
    pub fn lives_in(&self, dns: &NameServer) {
        let ip = self.address.ip().to_string();
        dns.add(self.host(), Row::Address(lasting(ip)));
    }

    /// Who calls next.
    pub fn visit(&self) -> Result<Client, String> {
        self.visit_within(PATIENCE)
    }

    /// The same, with this patience.
    pub fn visit_within(&self, patience: Duration) -> Result<Client, String> {
        let end = Instant::now() + patience;
        loop {
            if let Ok((socket, _)) = self.listener.accept() {
                socket.set_nonblocking(false).expect("a socket");
                return Ok(Client::on(socket, &self.domain));
            }
            if Instant::now() > end {
                return Err(format!("nobody calls {}", self.domain));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether somebody called whom nobody has heard.
    pub fn is_called(&self) -> bool {
        self.listener.accept().is_ok()
    }

    /// So many who call, and whoever else comes at once.
    pub fn crowd(&self, wanted: usize) -> Result<Vec<Client>, String> {
        let first = (0..wanted).map(|_| self.visit());
        let mut crowd = first.collect::<Result<Vec<_>, _>>()?;
        while let Ok(more) = self.visit_within(QUIET) {
            crowd.push(more);
        }
        Ok(crowd)
    }

    /// A visit up to the handshake: showing this certificate, after STARTTLS.
    pub fn secured(&self, shown: &Leaf) -> Result<Client, String> {
        let mut visit = self.visit()?;
        self.secure(&mut visit, shown)?;
        Ok(visit)
    }

    /// The same on a visit that has begun.
    pub fn secure(&self, visit: &mut Client, shown: &Leaf) -> Result<(), String> {
        self.begin(visit, STARTTLS)?;
        visit.expect(TLS, "starttls")?;
        visit.say(&format!("<proceed xmlns='{TLS}'/>"));
        visit.serve_tls(tls::serving(shown, &["xmpp-server"]))
    }

    /// A visit up to where stanzas come: by EXTERNAL, without stream management.
    pub fn proved(&self, shown: &Leaf) -> Result<Client, String> {
        let mut visit = self.secured(shown)?;
        self.believe(&mut visit)?;
        Ok(visit)
    }

    /// Inside TLS: takes the other side for who it says it is.
    pub fn believe(&self, visit: &mut Client) -> Result<(), String> {
        self.begin(visit, EXTERNAL)?;
        visit.expect(SASL, "auth")?;
        visit.say(&format!("<success xmlns='{SASL}'/>"));
        visit.restart();
        self.begin(visit, "")
    }

    /// Hears the header, and answers with its own and these features.
    pub fn begin(&self, visit: &mut Client, features: &str) -> Result<(), String> {
        visit.header = hear_header(visit)?;
        visit.say(&self.header());
        visit.say(&format!("<stream:features>{features}</stream:features>"));
        Ok(())
    }

    /// Its header, with an id that no other has.
    pub fn header(&self) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        header(&format!("from='{}' id='s{id}' version='1.0'", self.domain))
    }

    /// Calls a server as this domain, with TLS and this certificate, and hears its features.
    pub fn calls(&self, server: SocketAddr, to: &str, shown: &Leaf) -> Result<Client, String> {
        let mut call = Client::tcp(server, to);
        self.opens(&mut call, to)?;
        call.say(&format!("<starttls xmlns='{TLS}'/>"));
        call.expect(TLS, "proceed")?;
        call.handshake_by(tls::configuration_showing(shown))?;
        self.opens(&mut call, to)?;
        Ok(call)
    }

    /// The same, and proves by EXTERNAL who it is.
    pub fn calls_proved(
        &self,
        server: SocketAddr,
        to: &str,
        shown: &Leaf,
    ) -> Result<Client, String> {
        let mut call = self.calls(server, to, shown)?;
        call.auth("EXTERNAL", "=")?;
        if let Some(condition) = call.outcome()? {
            return Err(format!("EXTERNAL: {condition}"));
        }
        self.opens(&mut call, to)?;
        Ok(call)
    }

    /// Says its header, and hears the answer with the features.
    pub fn opens(&self, call: &mut Client, to: &str) -> Result<(), String> {
        call.restart();
        let from = &self.domain;
        call.say(&header(&format!("from='{from}' to='{to}' version='1.0'")));
        call.header = hear_header(call)?;
        call.features = call.expect(STREAMS, "features")?;
        Ok(())
    }

    /// Hears the next stanza's id.
    pub fn id_of_next(visit: &mut Client) -> Result<String, String> {
        let stanza = visit.element()?;
        match stanza.ns.as_str() {
            SERVER => Ok(stanza.attr("id").unwrap_or_default().to_owned()),
            _ => Err(format!("no stanza but {stanza}")),
        }
    }
}

/// The header of a server's stream with these attributes.
pub fn header(attributes: &str) -> String {
    format!(
        "<?xml version='1.0'?><stream:stream {attributes} xmlns='{SERVER}' \
         xmlns:stream='{STREAMS}' xmlns:db='{DIALBACK}'>"
    )
}

/// The header that comes now.
pub fn hear_header(visit: &mut Client) -> Result<El, String> {
    match visit.hear() {
        Ok(Heard::Open(header)) => Ok(header),
        other => Err(format!("no header but {other:?}")),
    }
}
