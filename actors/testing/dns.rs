//! A name server for tests, on a free port of 127.0.0.1, UDP and TCP: it answers from rows, and it
//! can fail in every way that name servers do. It knows no zones and no delegation: what a
//! resolver of an operating system would answer after all its work, it answers at once.
//!
//! It runs on threads of its own, so that tests with and without a runtime can use it. The tests
//! outside this crate take this very file, by its path.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use trust_dns_resolver::proto::op::{Message, MessageType, Query, ResponseCode};
use trust_dns_resolver::proto::rr::rdata::{CNAME, SOA, SRV, TLSA};
use trust_dns_resolver::proto::rr::{Name, RData, Record, RecordType};

/// What is said of a name.
#[derive(Clone, Debug)]
pub enum Row {
    /// Priority, weight, port, target.
    Srv(u16, u16, u16, &'static str),
    /// An address of either family.
    Address(&'static str),
    /// Another name, whose rows are sent along.
    Alias(&'static str),
    /// Another name, alone, so that it must be asked for.
    LoneAlias(&'static str),
    /// Usage, selector, matching type, data.
    Tlsa(u8, u8, u8, &'static [u8]),
    /// SRV records until the answer is as long as an answer can be, all of priority 0.
    Huge,
    /// SERVFAIL instead of an answer of this kind; `""` for all kinds.
    Fail(&'static str),
    /// No answer to questions of this kind; `""` for all kinds.
    Silence(&'static str),
    /// Answers come so late.
    Late(Duration),
}

/// How long answers may be remembered, in seconds.
const TTL: u32 = 300;

/// The name server; it ends when it is dropped.
pub struct NameServer {
    /// Where it listens.
    pub address: SocketAddr,
    state: Arc<State>,
}

struct State {
    rows: Mutex<HashMap<String, Vec<Row>>>,
    asked: Mutex<Vec<String>>,
    is_over: AtomicBool,
    finish: Box<dyn Fn(&mut Message) + Send + Sync>,
}

impl NameServer {
    /// Starts it with these rows.
    pub fn start(rows: &[(&str, Row)]) -> NameServer {
        NameServer::start_with(rows, |_| {})
    }

    /// The same; every answer that is not a failure passes `finish` before it goes out.
    pub fn start_with(
        rows: &[(&str, Row)],
        finish: impl Fn(&mut Message) + Send + Sync + 'static,
    ) -> NameServer {
        let (udp, tcp) = sockets();
        let address = udp.local_addr().expect("an address");
        let state = Arc::new(State {
            rows: Mutex::default(),
            asked: Mutex::default(),
            is_over: AtomicBool::new(false),
            finish: Box::new(finish),
        });
        for (name, row) in rows {
            state.add(name, row.clone());
        }
        let (of_udp, of_tcp) = (state.clone(), state.clone());
        thread::spawn(move || serve_udp(&udp, &of_udp));
        thread::spawn(move || serve_tcp(&tcp, &of_tcp));
        NameServer { address, state }
    }

    /// Says one thing more.
    pub fn add(&self, name: &str, row: Row) {
        self.state.add(name, row);
    }

    /// Says nothing more of a name: it no longer exists.
    pub fn forget(&self, name: &str) {
        let mut rows = self.state.rows.lock().expect("the rows");
        rows.remove(name);
    }

    /// Every question so far, as `SRV _xmpp-server._tcp.example`.
    pub fn asked(&self) -> Vec<String> {
        self.state.asked.lock().expect("the questions").clone()
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::SeqCst);
        // Both threads wait for something to come.
        if let Ok(socket) = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)) {
            socket.send_to(&[], self.address).ok();
        }
        TcpStream::connect(self.address).ok();
    }
}

/// Two sockets on the same port.
fn sockets() -> (UdpSocket, TcpListener) {
    loop {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = udp.local_addr().expect("an address");
        if let Ok(tcp) = TcpListener::bind(address) {
            return (udp, tcp);
        }
    }
}

fn serve_udp(socket: &UdpSocket, state: &Arc<State>) {
    let mut buffer = [0; 4096];
    while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
        if state.is_over.load(Ordering::SeqCst) {
            return;
        }
        let Ok(question) = Message::from_vec(&buffer[..length]) else {
            continue;
        };
        let (socket, state) = (socket.try_clone().expect("a socket"), state.clone());
        // One that answers late keeps no other waiting.
        thread::spawn(move || {
            let room = usize::from(question.max_payload());
            if let Some(answer) = state.answer(&question) {
                let mut bytes = answer.to_vec().expect("an answer");
                if bytes.len() > room {
                    bytes = answer.truncate().to_vec().expect("an answer");
                }
                socket.send_to(&bytes, peer).ok();
            }
        });
    }
}

fn serve_tcp(listener: &TcpListener, state: &Arc<State>) {
    while let Ok((mut stream, _)) = listener.accept() {
        if state.is_over.load(Ordering::SeqCst) {
            return;
        }
        let state = state.clone();
        thread::spawn(move || while serve_stream(&mut stream, &state).is_ok() {});
    }
}

fn serve_stream(stream: &mut TcpStream, state: &State) -> io::Result<()> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut bytes)?;
    let question = Message::from_vec(&bytes).map_err(io::Error::other)?;
    if let Some(answer) = state.answer(&question) {
        let bytes = answer.to_vec().map_err(io::Error::other)?;
        let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
        stream.write_all(&length.to_be_bytes())?;
        stream.write_all(&bytes)?;
    }
    Ok(())
}

impl State {
    fn add(&self, name: &str, row: Row) {
        let mut rows = self.rows.lock().expect("the rows");
        rows.entry(name.to_owned()).or_default().push(row);
    }

    /// The rows of a name; none if it does not exist.
    fn rows(&self, name: &str) -> Vec<Row> {
        let rows = self.rows.lock().expect("the rows");
        rows.get(name).cloned().unwrap_or_default()
    }

    /// The answer, unless there is to be none.
    fn answer(&self, question: &Message) -> Option<Message> {
        let query = question.queries.first()?.clone();
        let name = written(&query.name);
        let kind = query.query_type.to_string();
        let asked = format!("{kind} {name}");
        self.asked.lock().expect("the questions").push(asked);
        let rows = self.rows(&name);
        let concerned = |of: &str| of.is_empty() || of == kind;
        let mut answer = Message::new(question.id, MessageType::Response, question.op_code);
        answer.metadata.recursion_desired = true;
        answer.metadata.recursion_available = true;
        answer.add_query(query.clone());
        for row in &rows {
            match row {
                Row::Late(time) => thread::sleep(*time),
                Row::Silence(of) if concerned(of) => return None,
                Row::Fail(of) if concerned(of) => {
                    answer.metadata.response_code = ResponseCode::ServFail;
                    return Some(answer);
                }
                _ => {}
            }
        }
        self.fill(&mut answer, &query, name);
        (self.finish)(&mut answer);
        Some(answer)
    }

    /// The records, along the aliases; where there are none, how long that is so.
    fn fill(&self, answer: &mut Message, query: &Query, mut name: String) {
        let mut seen = vec![];
        loop {
            let rows = self.rows(&name);
            if rows.is_empty() {
                answer.metadata.response_code = ResponseCode::NXDomain;
            }
            let before = answer.answers.len();
            for row in &rows {
                add_records(answer, &name, row, query.query_type);
            }
            seen.push(name.clone());
            let next = rows.iter().find_map(|row| match row {
                Row::Alias(next) => Some(next.to_string()),
                _ => None,
            });
            match next {
                Some(next) if !seen.contains(&next) => name = next,
                Some(_) => return,
                None if answer.answers.len() == before => break,
                None => return,
            }
        }
        let soa = SOA::new(Name::root(), Name::root(), 1, 60, 60, 60, TTL);
        answer.add_authority(Record::from_rdata(Name::root(), TTL, RData::SOA(soa)));
    }
}

/// What a row says, if it is of this kind.
fn add_records(answer: &mut Message, name: &str, row: &Row, kind: RecordType) {
    let data = match row {
        Row::Srv(priority, weight, port, target) => {
            RData::SRV(SRV::new(*priority, *weight, *port, named(target)))
        }
        Row::Address(text) => match text.parse().expect("an address") {
            IpAddr::V4(ip) => RData::A(ip.into()),
            IpAddr::V6(ip) => RData::AAAA(ip.into()),
        },
        Row::Alias(next) | Row::LoneAlias(next) => RData::CNAME(CNAME(named(next))),
        Row::Tlsa(usage, selector, matching, data) => {
            let (usage, selector, matching) = (*usage, *selector, *matching);
            RData::TLSA(TLSA::new(
                usage.into(),
                selector.into(),
                matching.into(),
                data.to_vec(),
            ))
        }
        Row::Huge if kind == RecordType::SRV => return fill_up(answer, name),
        _ => return,
    };
    if data.record_type() == kind || data.record_type() == RecordType::CNAME {
        answer.add_answer(Record::from_rdata(named(name), TTL, data));
    }
}

/// Nearly 64 KiB, with room for what else an answer holds.
fn fill_up(answer: &mut Message, name: &str) {
    while answer.to_vec().expect("an answer").len() < 60_000 {
        for n in 0..50 {
            let target = named(&format!("host-{n}-{}.huge.example", answer.answers.len()));
            let srv = RData::SRV(SRV::new(0, 1, 5269, target));
            answer.add_answer(Record::from_rdata(named(name), TTL, srv));
        }
    }
}

/// The name with the dot at its end; `.` and nothing are the root.
fn named(name: &str) -> Name {
    let name = name.strip_suffix('.').unwrap_or(name);
    Name::from_ascii(format!("{name}.")).expect("a name")
}

/// The name in lower case, without the dot at its end.
fn written(name: &Name) -> String {
    let name = name.to_lowercase().to_ascii();
    name.strip_suffix('.').unwrap_or(&name).to_owned()
}
