//! A small XMPP client over a blocking socket: it says exactly the bytes it is told to, and hears
//! with a time limit. Nothing here corrects what a test gets wrong on purpose.

use crate::sasl::{Hash, Scram, b64};
use crate::tls;
use crate::xml::{CLIENT, El, Heard, Reader, SASL, STREAM_ERRORS, STREAMS, TLS, escaped};
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use rustls::{StreamOwned, SupportedProtocolVersion};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long an answer that must come may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(15);
/// How long a client listens to be sure that nothing comes.
pub const QUIET: Duration = Duration::from_millis(200);

/// Why nothing was heard.
#[derive(Clone, Debug, PartialEq)]
pub enum Silence {
    /// The time was up; the connection stands.
    Timeout,
    /// The peer closed the connection, properly or by a reset.
    Closed,
    /// What came is not XML, or TLS failed.
    Broken(String),
}

enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
    /// TLS where this side is the one that was called.
    Served(Box<StreamOwned<ServerConnection, TcpStream>>),
    Gone,
}

/// One connection to the server.
pub struct Client {
    wire: Wire,
    reader: Reader,
    /// The domain asked for in the stream header.
    pub domain: String,
    /// The last stream features.
    pub features: El,
    /// The header of the server's last stream.
    pub header: El,
    /// The full address after binding.
    pub jid: String,
    /// What was said and heard, for the message of a failed test.
    pub transcript: Vec<String>,
    /// Bytes heard so far, after TLS.
    pub heard_bytes: usize,
}

impl Client {
    /// Opens a TCP connection and says nothing.
    pub fn tcp(address: SocketAddr, domain: &str) -> Client {
        let socket = TcpStream::connect_timeout(&address, PATIENCE).expect("the server listens");
        Client::on(socket, domain)
    }

    /// The same from another address of this machine.
    pub fn tcp_from(from: SocketAddr, address: SocketAddr, domain: &str) -> Client {
        use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        bind(&socket, &from).expect("an address of this machine");
        connect(&socket, &address).expect("the server listens");
        Client::on(TcpStream::from(socket), domain)
    }

    /// On a connection that stands.
    pub fn on(socket: TcpStream, domain: &str) -> Client {
        socket.set_nodelay(true).expect("a socket");
        Client {
            wire: Wire::Plain(socket),
            reader: Reader::default(),
            domain: domain.into(),
            features: El::default(),
            header: El::default(),
            jid: String::new(),
            transcript: Vec::new(),
            heard_bytes: 0,
        }
    }

    /// Opens direct TLS (XEP-0368) and says nothing inside.
    pub fn direct_tls(address: SocketAddr, domain: &str) -> Client {
        let mut client = Client::tcp(address, domain);
        client
            .handshake(&["xmpp-client"], tls::BOTH)
            .expect("TLS handshake");
        client
    }

    /// Shakes hands on the TCP connection that stands; the stream starts anew.
    pub fn handshake(
        &mut self,
        alpn: &[&str],
        versions: &[&'static SupportedProtocolVersion],
    ) -> Result<(), String> {
        self.handshake_by(tls::configuration(alpn, versions))
    }

    /// The same by a configuration, which may show a certificate.
    pub fn handshake_by(&mut self, configuration: ClientConfig) -> Result<(), String> {
        let Wire::Plain(mut socket) = std::mem::replace(&mut self.wire, Wire::Gone) else {
            return Err("not a plain connection".into());
        };
        let mut connection = tls::connection_of(&Arc::new(configuration), &self.domain);
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
        while connection.is_handshaking() {
            connection
                .complete_io(&mut socket)
                .map_err(|e| e.to_string())?;
        }
        self.wire = Wire::Tls(Box::new(StreamOwned::new(connection, socket)));
        self.reader = Reader::default();
        Ok(())
    }

    /// The other side of a handshake; the stream starts anew.
    pub fn serve_tls(&mut self, configuration: ServerConfig) -> Result<(), String> {
        let Wire::Plain(mut socket) = std::mem::replace(&mut self.wire, Wire::Gone) else {
            return Err("not a plain connection".into());
        };
        let connection = ServerConnection::new(Arc::new(configuration));
        let mut connection = connection.map_err(|e| e.to_string())?;
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
        while connection.is_handshaking() {
            connection
                .complete_io(&mut socket)
                .map_err(|e| e.to_string())?;
        }
        self.wire = Wire::Served(Box::new(StreamOwned::new(connection, socket)));
        self.reader = Reader::default();
        Ok(())
    }

    /// The TLS connection of who called, if there is one.
    pub fn served(&self) -> Option<&ServerConnection> {
        match &self.wire {
            Wire::Served(stream) => Some(&stream.conn),
            _ => None,
        }
    }

    /// The TLS connection, if there is one.
    pub fn tls(&self) -> Option<&ClientConnection> {
        match &self.wire {
            Wire::Tls(stream) => Some(&stream.conn),
            _ => None,
        }
    }

    /// The socket below, for tests that cut or tear it.
    pub fn socket(&self) -> &TcpStream {
        match &self.wire {
            Wire::Plain(socket) => socket,
            Wire::Tls(stream) => &stream.sock,
            Wire::Served(stream) => &stream.sock,
            Wire::Gone => panic!("no connection"),
        }
    }

    /// Writes bytes; false if the peer takes no more.
    pub fn say_bytes(&mut self, bytes: &[u8]) -> bool {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(2000)]);
        self.transcript.push(format!("C: {shown}"));
        let _ = self.socket().set_write_timeout(Some(PATIENCE));
        match &mut self.wire {
            Wire::Plain(socket) => socket.write_all(bytes).is_ok(),
            Wire::Tls(stream) => stream
                .write_all(bytes)
                .and_then(|()| stream.flush())
                .is_ok(),
            Wire::Served(stream) => stream
                .write_all(bytes)
                .and_then(|()| stream.flush())
                .is_ok(),
            Wire::Gone => false,
        }
    }

    /// Writes text.
    pub fn say(&mut self, text: &str) -> bool {
        self.say_bytes(text.as_bytes())
    }

    /// The next thing the server says, within `patience`.
    pub fn hear_within(&mut self, patience: Duration) -> Result<Heard, Silence> {
        let end = Instant::now() + patience;
        loop {
            if let Some(heard) = self.reader.heard.pop_front() {
                self.note(&heard);
                return Ok(heard);
            }
            let left = end.saturating_duration_since(Instant::now());
            let mut buffer = [0; 16 * 1024];
            let read = self.read(&mut buffer, left.max(Duration::from_millis(1)));
            let n = match read {
                Ok(0) => return Err(Silence::Closed),
                Ok(n) => n,
                Err(e) => match e.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut if left.is_zero() => {
                        return Err(Silence::Timeout);
                    }
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => continue,
                    ErrorKind::ConnectionReset
                    | ErrorKind::ConnectionAborted
                    | ErrorKind::BrokenPipe
                    | ErrorKind::UnexpectedEof => return Err(Silence::Closed),
                    _ => return Err(Silence::Broken(e.to_string())),
                },
            };
            self.heard_bytes += n;
            if let Err(e) = self.reader.feed(&buffer[..n]) {
                let raw = String::from_utf8_lossy(&buffer[..n]).into_owned();
                self.transcript.push(format!("S (bad XML, {e}): {raw}"));
                if self.reader.heard.is_empty() {
                    return Err(Silence::Broken(e));
                }
            }
        }
    }

    fn read(&mut self, buffer: &mut [u8], left: Duration) -> std::io::Result<usize> {
        match &mut self.wire {
            Wire::Plain(socket) => {
                socket.set_read_timeout(Some(left))?;
                socket.read(buffer)
            }
            Wire::Tls(stream) => {
                stream.sock.set_read_timeout(Some(left))?;
                stream.read(buffer)
            }
            Wire::Served(stream) => {
                stream.sock.set_read_timeout(Some(left))?;
                stream.read(buffer)
            }
            Wire::Gone => Ok(0),
        }
    }

    fn note(&mut self, heard: &Heard) {
        let mut line = match heard {
            Heard::Open(el) => format!("S: (header) {el}"),
            Heard::Element(el) => format!("S: {el}"),
            Heard::End => "S: </stream:stream>".into(),
        };
        if line.len() > 2000 {
            let cut = (0..=2000)
                .rev()
                .find(|i| line.is_char_boundary(*i))
                .unwrap_or(0);
            line.truncate(cut);
        }
        self.transcript.push(line);
    }

    /// The next thing the server says.
    pub fn hear(&mut self) -> Result<Heard, Silence> {
        self.hear_within(PATIENCE)
    }

    /// The next element, whatever it is.
    pub fn element(&mut self) -> Result<El, String> {
        match self.hear() {
            Ok(Heard::Element(el)) => Ok(el),
            other => Err(format!("no element but {other:?}")),
        }
    }

    /// The next element, which must have this name.
    pub fn expect(&mut self, ns: &str, name: &str) -> Result<El, String> {
        let el = self.element()?;
        match el.is(ns, name) {
            true => Ok(el),
            false => Err(format!("no <{name} xmlns='{ns}'/> but {el}")),
        }
    }

    /// The header of a stream from us, RFC 6120 §4.7.
    pub fn header_text(&self) -> String {
        format!(
            "<?xml version='1.0'?><stream:stream to='{}' xmlns='{CLIENT}' \
             xmlns:stream='{STREAMS}' version='1.0'>",
            escaped(&self.domain)
        )
    }

    /// Opens a stream, and reads the server's header and features.
    pub fn open(&mut self) -> Result<(), String> {
        self.reader = Reader::default();
        let header = self.header_text();
        self.say(&header);
        match self.hear() {
            Ok(Heard::Open(header)) => self.header = header,
            other => return Err(format!("no header but {other:?}")),
        }
        self.features = self.expect(STREAMS, "features")?;
        Ok(())
    }

    /// Forgets the stream that was open, for a test that writes the next header itself.
    pub fn restart(&mut self) {
        self.reader = Reader::default();
    }

    /// Opens the stream and goes over to TLS (RFC 6120 §5); the new stream is not opened.
    pub fn starttls(&mut self) -> Result<(), String> {
        self.open()?;
        self.say(&format!("<starttls xmlns='{TLS}'/>"));
        self.expect(TLS, "proceed")?;
        self.handshake(&["xmpp-client"], tls::BOTH)
    }

    /// The SASL mechanisms offered.
    pub fn mechanisms(&self) -> Vec<String> {
        let list = self.features.child(SASL, "mechanisms");
        let names = list.map(|l| l.children.iter().map(|m| m.text.clone()).collect());
        names.unwrap_or_default()
    }

    /// Logs in by PLAIN; `Ok(Some(condition))` is the server's `<failure/>`.
    pub fn plain(&mut self, user: &str, password: &str) -> Result<Option<String>, String> {
        let token = b64(format!("\0{user}\0{password}"));
        self.auth("PLAIN", &token)?;
        self.outcome()
    }

    /// Says `<auth/>`.
    pub fn auth(&mut self, mechanism: &str, initial: &str) -> Result<(), String> {
        let text = format!("<auth xmlns='{SASL}' mechanism='{mechanism}'>{initial}</auth>");
        match self.say(&text) {
            true => Ok(()),
            false => Err("closed".into()),
        }
    }

    /// Reads `<success/>` (None) or `<failure/>` (its condition).
    pub fn outcome(&mut self) -> Result<Option<String>, String> {
        let el = self.element()?;
        if el.is(SASL, "success") {
            return Ok(None);
        }
        if !el.is(SASL, "failure") {
            return Err(format!("neither success nor failure but {el}"));
        }
        let condition = el
            .children
            .iter()
            .find(|c| c.ns == SASL && c.name != "text");
        Ok(Some(condition.map(|c| c.name.clone()).unwrap_or_default()))
    }

    /// Runs a SCRAM conversation; `Ok(Some(condition))` is the server's `<failure/>`.
    pub fn scram(&mut self, mut scram: Scram, plus: bool) -> Result<Option<String>, String> {
        let hash = if scram.hash == Hash::Sha1 {
            "SCRAM-SHA-1"
        } else {
            "SCRAM-SHA-256"
        };
        let mechanism = if plus {
            format!("{hash}-PLUS")
        } else {
            hash.to_string()
        };
        self.auth(&mechanism, &scram.first())?;
        let challenge = self.element()?;
        if challenge.is(SASL, "failure") {
            return Ok(challenge.children.first().map(|c| c.name.clone()));
        }
        if !challenge.is(SASL, "challenge") {
            return Err(format!("no challenge but {challenge}"));
        }
        let last = scram.last(&challenge.text)?;
        self.say(&format!("<response xmlns='{SASL}'>{last}</response>"));
        let el = self.element()?;
        if el.is(SASL, "success") {
            scram.check(&el.text)?;
            return Ok(None);
        }
        match el.is(SASL, "failure") {
            true => Ok(el.children.first().map(|c| c.name.clone())),
            false => Err(format!("neither success nor failure but {el}")),
        }
    }

    /// Logs in with the opened stream by the strongest SCRAM without binding, and opens the next.
    pub fn login(&mut self, user: &str, password: &str) -> Result<(), String> {
        let newer = self.mechanisms().iter().any(|m| m == "SCRAM-SHA-256");
        let hash = if newer { Hash::Sha256 } else { Hash::Sha1 };
        match self.scram(Scram::new(hash, user, password), false)? {
            None => self.open(),
            Some(condition) => Err(format!("login refused: {condition}")),
        }
    }

    /// Binds a resource ("" lets the server choose) and keeps the address.
    pub fn bind(&mut self, resource: &str) -> Result<(), String> {
        let wish = match resource {
            "" => String::new(),
            r => format!("<resource>{}</resource>", escaped(r)),
        };
        let bind = "urn:ietf:params:xml:ns:xmpp-bind";
        self.say(&format!(
            "<iq type='set' id='bind'><bind xmlns='{bind}'>{wish}</bind></iq>"
        ));
        let answer = self.expect(CLIENT, "iq")?;
        let jid = answer
            .child(bind, "bind")
            .map(|b| b.child_text(bind, "jid"));
        match jid {
            Some(jid) if answer.attr("type") == Some("result") => {
                self.jid = jid.to_string();
                Ok(())
            }
            _ => Err(format!("not bound: {answer}")),
        }
    }

    /// Makes an account by XEP-0077 on the opened stream.
    pub fn register(&mut self, user: &str, password: &str) -> Result<(), String> {
        let (user, password) = (escaped(user), escaped(password));
        self.say(&format!(
            "<iq type='set' id='reg'><query xmlns='jabber:iq:register'>\
             <username>{user}</username><password>{password}</password></query></iq>"
        ));
        let answer = self.expect(CLIENT, "iq")?;
        match answer.attr("type") {
            Some("result") => Ok(()),
            _ => Err(format!("not registered: {answer}")),
        }
    }

    /// Sends an IQ and waits for its answer, passing over what else comes.
    pub fn ask(&mut self, iq: &str) -> Result<El, String> {
        let id = El::parse(iq).attr("id").expect("an id").to_string();
        self.say(iq);
        loop {
            let el = self.element()?;
            if el.is(CLIENT, "iq")
                && el.attr("id") == Some(&id)
                && matches!(el.attr("type"), Some("result" | "error"))
            {
                return Ok(el);
            }
        }
    }

    /// Reads up to a stream error, the closing tag and the end of the connection, and returns the
    /// condition. Elements before it are passed over. The socket must be closed after the closing
    /// tag.
    pub fn stream_error(&mut self, patience: Duration) -> Result<String, String> {
        let condition = loop {
            match self.hear_within(patience) {
                Ok(Heard::Element(el)) if el.is(STREAMS, "error") => {
                    let found = el.children.iter().find(|c| c.ns == STREAM_ERRORS);
                    break found
                        .map(|c| c.name.clone())
                        .ok_or("an error without condition")?;
                }
                Ok(_) => {}
                Err(silence) => return Err(format!("no stream error but {silence:?}")),
            }
        };
        match self.hear() {
            Ok(Heard::End) => {}
            other => return Err(format!("{condition}, then no closing tag but {other:?}")),
        }
        self.closed(PATIENCE)
            .map_err(|e| format!("{condition}, then {e}"))?;
        Ok(condition)
    }

    /// Waits for the end of the connection, passing over what comes.
    pub fn closed(&mut self, patience: Duration) -> Result<(), String> {
        let end = Instant::now() + patience;
        loop {
            match self.hear_within(end.saturating_duration_since(Instant::now())) {
                Ok(_) => {}
                Err(Silence::Closed) => return Ok(()),
                Err(other) => return Err(format!("not closed but {other:?}")),
            }
        }
    }

    /// The transcript as text.
    pub fn story(&self) -> String {
        let from = self.transcript.len().saturating_sub(30);
        self.transcript[from..].join("\n  ")
    }
}
