//! T, first half: STARTTLS and TLS.

use super::row::{Answer::*, Row, Stage, State::*, each, must, scene};
use crate::client::{Client, PATIENCE, Silence};
use crate::tls::{BOTH, ONLY_12, ONLY_13, connection};
use crate::world::password;
use crate::xml::{Heard, SASL, STREAMS, TLS};
use rustix::process::Signal;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";

pub fn rows() -> Vec<Row> {
    vec![
        each(
            "T04-tls",
            "STARTTLS inside TLS",
            Tls,
            &[STARTTLS],
            &[Says("<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")],
        ),
        scene(
            "T04-direct",
            "STARTTLS on direct TLS, where it is not offered",
            starttls_on_direct,
        ),
        scene("T05", "what was learnt before TLS is forgotten", forgotten),
        scene(
            "T06",
            "TLS 1.0, TLS 1.1, and TLS 1.2 with old ciphers only",
            old_tls,
        ),
        scene(
            "T09",
            "a ClientHello in records of one byte, and in two writes",
            torn_hello,
        ),
        scene(
            "T10",
            "an alert or an end at each step of the handshake",
            alerts,
        ),
        scene("T12", "ALPN", alpn),
        scene(
            "T12-versions",
            "TLS 1.2 and TLS 1.3 both work",
            both_versions,
        ),
        scene(
            "T43",
            "certificates exchanged while the server runs",
            reload,
        ),
    ]
}

/// Rows for a server that wants TLS before anything else.
pub fn rows_encrypted() -> Vec<Row> {
    vec![
        scene(
            "T01",
            "only STARTTLS is offered in plaintext",
            only_starttls,
        ),
        scene(
            "T02",
            "<auth/> in the same segment as <starttls/>",
            injected,
        ),
        scene(
            "T03",
            "white space between <proceed/> and the handshake",
            space_before_hello,
        ),
        scene("T04-twice", "STARTTLS twice in one segment", twice),
        each(
            "T01-auth",
            "PLAIN without TLS",
            Plain,
            &["<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>"],
            &[
                Says(
                    "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
                     <encryption-required/></failure>",
                ),
                Says(
                    "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
                     <invalid-mechanism/></failure>",
                ),
                Ends("not-authorized"),
                Ends("policy-violation"),
            ],
        ),
    ]
}

fn only_starttls(stage: &Stage) -> Result<(), String> {
    let client = stage.client(Plain)?;
    let starttls = client
        .features
        .child(TLS, "starttls")
        .ok_or("no <starttls/>")?;
    must(starttls.child(TLS, "required").is_some(), || {
        format!("not required: {starttls}")
    })?;
    let others = client
        .features
        .children
        .iter()
        .filter(|c| c.name != "starttls");
    let others: Vec<String> = others
        .filter(|c| c.name != "limits")
        .map(|c| c.name.clone())
        .collect();
    must(others.is_empty(), || format!("also offered: {others:?}"))
}

/// After a violation nothing may be said but the end, and no handshake may succeed.
fn ends_without_answer(client: &mut Client) -> Result<(), String> {
    let end = Instant::now() + PATIENCE;
    loop {
        match client.hear_within(end.saturating_duration_since(Instant::now())) {
            Err(Silence::Closed) | Ok(Heard::End) => return Ok(()),
            Ok(Heard::Element(el)) if el.is(TLS, "proceed") || el.is(STREAMS, "error") => {}
            Err(Silence::Broken(_)) => return Ok(()),
            other => return Err(format!("{other:?}")),
        }
    }
}

fn injected(stage: &Stage) -> Result<(), String> {
    let mut client = stage.client(Plain)?;
    let auth = format!("<auth xmlns='{SASL}' mechanism='PLAIN'>AGFsaWNlAGFsaWNlcHc=</auth>");
    client.say(&format!("{STARTTLS}{auth}"));
    ends_without_answer(&mut client)
}

fn twice(stage: &Stage) -> Result<(), String> {
    let mut client = stage.client(Plain)?;
    client.say(&format!("{STARTTLS}{STARTTLS}"));
    ends_without_answer(&mut client)
}

fn space_before_hello(stage: &Stage) -> Result<(), String> {
    for space in [" ", "\n"] {
        let mut client = stage.client(Plain)?;
        client.say(STARTTLS);
        client.expect(TLS, "proceed")?;
        client.say(space);
        if client.handshake(&[], BOTH).is_ok() {
            return Err(format!("{space:?} was passed over"));
        }
    }
    Ok(())
}

fn starttls_on_direct(stage: &Stage) -> Result<(), String> {
    let mut client = stage.world.tls();
    client.open()?;
    must(client.features.child(TLS, "starttls").is_none(), || {
        "offered".into()
    })?;
    client.say(STARTTLS);
    client.expect(TLS, "failure")?;
    client.closed(PATIENCE)
}

fn forgotten(stage: &Stage) -> Result<(), String> {
    let mut client = stage.client(Plain)?;
    client.say(STARTTLS);
    client.expect(TLS, "proceed")?;
    client.handshake(&["xmpp-client"], BOTH)?;
    client.say(
        "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
         xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>",
    );
    let condition = client.stream_error(PATIENCE)?;
    must(condition == "improper-addressing", || condition)
}

/// A ClientHello of this version with these cipher suites, as a record.
fn hello(version: [u8; 2], suites: &[u16]) -> Vec<u8> {
    let mut body = version.to_vec();
    body.extend([7; 32]); // random
    body.push(0); // session id
    body.extend(((suites.len() * 2) as u16).to_be_bytes());
    body.extend(suites.iter().flat_map(|s| s.to_be_bytes()));
    body.extend([1, 0]); // no compression
    let groups = [0, 10, 0, 4, 0, 2, 0, 23];
    let signatures = [0, 13, 0, 8, 0, 6, 4, 3, 4, 1, 2, 1];
    body.extend(((groups.len() + signatures.len()) as u16).to_be_bytes());
    body.extend(groups);
    body.extend(signatures);
    let mut message = vec![1, 0];
    message.extend((body.len() as u16).to_be_bytes());
    message.extend(body);
    let mut record = vec![22, 3, 1];
    record.extend((message.len() as u16).to_be_bytes());
    record.extend(message);
    record
}

fn old_tls(stage: &Stage) -> Result<(), String> {
    const RC4: u16 = 0x0005;
    const TRIPLE_DES: u16 = 0x000a;
    const AES_CBC_SHA: u16 = 0x002f;
    const ECDHE_CBC_SHA: u16 = 0xc009;
    let old: [([u8; 2], &[u16]); 4] = [
        ([3, 1], &[ECDHE_CBC_SHA, AES_CBC_SHA]),
        ([3, 2], &[ECDHE_CBC_SHA, AES_CBC_SHA]),
        ([3, 3], &[RC4, TRIPLE_DES]),
        ([3, 3], &[AES_CBC_SHA, ECDHE_CBC_SHA]),
    ];
    for (version, suites) in old {
        let answer = raw_exchange(stage.world.c2s_tls, &[&hello(version, suites)]);
        let alert = answer.len() >= 7 && answer[0] == 21 && [40, 70, 71].contains(&answer[6]);
        must(alert, || {
            format!("{version:?} {suites:x?}: no alert but {answer:x?}")
        })?;
    }
    Ok(())
}

/// Writes pieces and reads to the end of the connection.
fn raw_exchange(address: SocketAddr, pieces: &[&[u8]]) -> Vec<u8> {
    let mut socket = TcpStream::connect(address).expect("the server listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    for piece in pieces {
        let _ = socket.write_all(piece);
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    answer
}

/// The bytes of a ClientHello as rustls makes it, and the connection that made them.
fn our_hello() -> (rustls::ClientConnection, Vec<u8>) {
    let mut tls = connection("a.test", &["xmpp-client"], BOTH);
    let mut bytes = Vec::new();
    tls.write_tls(&mut bytes).expect("into memory");
    (tls, bytes)
}

fn finish(tls: &mut rustls::ClientConnection, socket: &mut TcpStream) -> Result<(), String> {
    socket
        .set_read_timeout(Some(PATIENCE))
        .map_err(|e| e.to_string())?;
    while tls.is_handshaking() {
        tls.complete_io(socket).map_err(|e| e.to_string())?;
    }
    Ok(())
}

fn torn_hello(stage: &Stage) -> Result<(), String> {
    let connect = || TcpStream::connect(stage.world.c2s_tls).map_err(|e| e.to_string());
    let (mut tls, bytes) = our_hello();
    let mut socket = connect()?;
    let records: Vec<u8> = bytes[5..]
        .iter()
        .flat_map(|b| [bytes[0], bytes[1], bytes[2], 0, 1, *b])
        .collect();
    socket.write_all(&records).map_err(|e| e.to_string())?;
    finish(&mut tls, &mut socket).map_err(|e| format!("records of one byte: {e}"))?;
    for cut in (1..bytes.len()).step_by(23) {
        let (mut tls, bytes) = our_hello();
        let cut = cut.min(bytes.len() - 1);
        let mut socket = connect()?;
        socket.set_nodelay(true).map_err(|e| e.to_string())?;
        socket.write_all(&bytes[..cut]).map_err(|e| e.to_string())?;
        std::thread::sleep(Duration::from_millis(2));
        socket.write_all(&bytes[cut..]).map_err(|e| e.to_string())?;
        finish(&mut tls, &mut socket).map_err(|e| format!("cut at {cut}: {e}"))?;
    }
    Ok(())
}

fn alerts(stage: &Stage) -> Result<(), String> {
    let fatal: &[u8] = &[21, 3, 3, 0, 2, 2, 40];
    let goodbye: &[u8] = &[21, 3, 3, 0, 2, 1, 0];
    let (_, hello) = our_hello();
    for alert in [fatal, goodbye] {
        let before = raw_exchange(stage.world.c2s_tls, &[alert]);
        must(before.len() < 100, || {
            format!("an alert was answered with {} bytes", before.len())
        })?;
        raw_exchange(stage.world.c2s_tls, &[&hello[..20], alert]);
        raw_exchange(stage.world.c2s_tls, &[&hello, alert]);
    }
    let mut client = stage.world.tls();
    client.open()?;
    client
        .socket()
        .shutdown(std::net::Shutdown::Write)
        .map_err(|e| e.to_string())?;
    // The end may come as an alert.
    if let Err(Silence::Timeout) = client.hear() {
        return Err("a half-closed connection is kept".into());
    }
    let busy = cpu_ticks(stage.world.pid());
    std::thread::sleep(Duration::from_millis(500));
    let spent = cpu_ticks(stage.world.pid()) - busy;
    must(spent < 95, || {
        format!("{spent} ticks of half a second: something spins")
    })
}

/// CPU time of a process in hundredths of a second.
pub fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a running server");
    let after = stat.rsplit(") ").next().expect("its fields");
    let fields: Vec<u64> = after
        .split(' ')
        .skip(11)
        .take(2)
        .flat_map(str::parse)
        .collect();
    fields.iter().sum()
}

fn alpn(stage: &Stage) -> Result<(), String> {
    let shake = |alpn: &[&str]| {
        let mut client = Client::tcp(stage.world.c2s_tls, "a.test");
        client.handshake(alpn, BOTH).map(|()| client)
    };
    for wrong in ["xmpp-server", "http/1.1"] {
        match shake(&[wrong]) {
            Err(e) if e.contains("NoApplicationProtocol") => {}
            Err(e) => return Err(format!("{wrong}: {e}")),
            Ok(_) => return Err(format!("{wrong} was accepted")),
        }
    }
    let right = shake(&["xmpp-client"])?;
    let chosen = right
        .tls()
        .and_then(|tls| tls.alpn_protocol().map(<[u8]>::to_vec));
    must(chosen.as_deref() == Some(b"xmpp-client"), || {
        format!("{chosen:?} was selected")
    })?;
    shake(&["http/1.1", "xmpp-client"])?;
    shake(&[])?.open()
}

fn both_versions(stage: &Stage) -> Result<(), String> {
    let user = stage.user("alice");
    stage.world.account(&user, "a.test");
    for versions in [ONLY_12, ONLY_13] {
        let mut client = Client::tcp(stage.world.c2s_tls, "a.test");
        client.handshake(&["xmpp-client"], versions)?;
        client.open()?;
        client.login(&user, &password(&user))?;
    }
    Ok(())
}

/// The certificate a new connection is shown.
fn shown(stage: &Stage) -> Option<Vec<u8>> {
    let client = stage.world.tls();
    client
        .tls()
        .and_then(|t| t.peer_certificates().map(|c| c[0].to_vec()))
}

fn reload(stage: &Stage) -> Result<(), String> {
    let certificate = stage.world.folder().join("own.crt");
    let key = stage.world.folder().join("own.key");
    let issue = || {
        let names = vec!["a.test".to_string(), "b.test".to_string()];
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        std::fs::write(&certificate, made.cert.pem()).expect("certificate");
        std::fs::write(&key, made.signing_key.serialize_pem()).expect("key");
        made.cert.der().to_vec()
    };
    let first = issue();
    let more = format!("[tls]\ncertificate = {certificate:?}\nkey = {key:?}");
    let plan = crate::world::Plan {
        more,
        ..Default::default()
    };
    let world = crate::world::World::with(plan);
    let there = Stage {
        world: &world,
        id: stage.id,
    };
    let mut old = there.online("alice");
    must(shown(&there).as_ref() == Some(&first), || {
        "not the configured certificate".into()
    })?;
    let second = issue();
    world.signal(Signal::HUP);
    let end = Instant::now() + PATIENCE;
    while shown(&there).as_ref() != Some(&second) {
        must(Instant::now() < end, || {
            "the new certificate is not served".into()
        })?;
        std::thread::sleep(Duration::from_millis(20));
    }
    old.ping();
    std::fs::write(&certificate, "rubbish").map_err(|e| e.to_string())?;
    world.signal(Signal::HUP);
    let end = Instant::now() + PATIENCE;
    while !world.log().contains("reload failed") {
        must(Instant::now() < end, || "no word in the log".into())?;
        std::thread::sleep(Duration::from_millis(20));
    }
    must(shown(&there).as_ref() == Some(&second), || {
        "a broken file replaced it".into()
    })?;
    old.ping();
    Ok(())
}
