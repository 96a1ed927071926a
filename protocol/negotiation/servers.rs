//! Two servers of ours that talk to each other in bytes: what one machine writes, the other reads,
//! cut anywhere.

use std::sync::Arc;

use super::peer_in::{self, PeerIn};
use super::peer_out::{self, Earlier, Errand, PeerOut, Purpose};
use super::transcript::Dice;
use super::{Refusal, Standing};
use crate::dialback::{Pair, Secret, Verdict};
use crate::error::Condition;
use crate::framer::Limits;
use crate::jid::Jid;
use crate::ns;
use crate::reader::{Event, StreamKind, StreamReader};
use crate::stanza::{MessageType, Stanza};
use crate::xml::Element;

type Judge = fn(&str) -> Standing;

/// What the two ends of a connection are told by those who look at certificates and sessions.
#[derive(Clone)]
struct World {
    /// What the receiving side thinks of each domain.
    standing: Judge,
    /// The secret of the server that is asked about keys.
    authority: [u8; 32],
    external: bool,
    direct: bool,
    earlier: Option<Earlier>,
    known: bool,
    /// Bytes that arrive at one time.
    piece: usize,
}

const OURS: [u8; 32] = [1; 32];
const ALL: usize = 1 << 20;

fn world() -> World {
    World {
        standing: |_| Standing::Certified,
        authority: OURS,
        external: true,
        direct: false,
        earlier: None,
        known: false,
        piece: ALL,
    }
}

/// A connection with both its ends.
struct Connection {
    world: World,
    there: PeerIn,
    here: PeerOut,
    read_there: StreamReader,
    read_here: StreamReader,
    to_there: Vec<u8>,
    to_here: Vec<u8>,
    /// `<proceed/>` was sent, and was read.
    tls: (bool, bool),
    dice: Dice,
    /// All that is neither bytes nor asked for at once.
    done: Vec<String>,
}

impl Connection {
    fn new(world: World, pair: Pair, purpose: Purpose) -> Connection {
        let incoming = peer_in::Settings {
            domains: vec![pair.to.clone()],
            // Who is asked about keys is the same server as who made them, if it is honest.
            secret: Secret::new(&world.authority),
            bidi: true,
            resumption: Some(300),
            limits: Default::default(),
        };
        let outgoing = peer_out::Settings {
            domains: vec!["a.test".into(), "b.test".into()],
            secret: Secret::new(&OURS),
            dialback: true,
            bidi: true,
            management: true,
            resumption: true,
            limits: Default::default(),
        };
        let errand = Errand {
            pair,
            purpose,
            external: world.external,
            earlier: world.earlier.clone(),
        };
        let reader = || StreamReader::new(Limits::before_login(), StreamKind::Server);
        Connection {
            there: PeerIn::new(Arc::new(incoming), world.direct),
            here: PeerOut::new(Arc::new(outgoing), errand),
            read_there: reader(),
            read_here: reader(),
            to_there: Vec::new(),
            to_here: Vec::new(),
            tls: (false, false),
            dice: Dice::default(),
            done: Vec::new(),
            world,
        }
    }

    fn begin(&mut self) {
        let event = match self.world.direct {
            true => peer_out::Event::Secured(Standing::Certified),
            false => peer_out::Event::Connected,
        };
        self.here(event);
        self.run();
    }

    /// Carries bytes until there are none.
    fn run(&mut self) {
        while !self.to_there.is_empty() || !self.to_here.is_empty() {
            for bytes in pieces(&mut self.to_there, self.world.piece) {
                self.arrive_there(&bytes);
            }
            for bytes in pieces(&mut self.to_here, self.world.piece) {
                self.arrive_here(&bytes);
            }
        }
    }

    fn arrive_there(&mut self, mut chunk: &[u8]) {
        while let Some(event) = self.read_there.read(&mut chunk).unwrap() {
            let event = match event {
                Event::Open(header) => peer_in::Event::Open(header),
                Event::Close => peer_in::Event::Close,
                Event::Element(element) if is_stanza(&element.to_element()) => {
                    let stanza = element.to_stanza().unwrap();
                    let (from, to) = (stanza.from.clone().unwrap(), stanza.to.clone().unwrap());
                    let told = self
                        .there
                        .admits(&from, &to)
                        .map_err(|error| error.condition);
                    self.done.push(format!("there: {from} to {to} {told:?}"));
                    continue;
                }
                Event::Element(element) => peer_in::Event::Element {
                    element: element.to_element(),
                    behind: chunk.len(),
                },
                other => panic!("{other:?}"),
            };
            self.there(event);
        }
    }

    fn arrive_here(&mut self, mut chunk: &[u8]) {
        while let Some(event) = self.read_here.read(&mut chunk).unwrap() {
            let event = match event {
                Event::Open(header) => peer_out::Event::Open(header),
                Event::Close => peer_out::Event::Close,
                Event::Element(element) if is_stanza(&element.to_element()) => {
                    let stanza = element.to_stanza().unwrap();
                    let (from, to) = (stanza.from.clone().unwrap(), stanza.to.clone().unwrap());
                    let told = self
                        .here
                        .admits(&from, &to)
                        .map_err(|error| error.condition);
                    self.done.push(format!("here: {from} to {to} {told:?}"));
                    continue;
                }
                Event::Element(element) => peer_out::Event::Element {
                    element: element.to_element(),
                    behind: chunk.len(),
                },
                other => panic!("{other:?}"),
            };
            self.here(event);
        }
    }

    fn there(&mut self, event: peer_in::Event) {
        let actions = self.there.handle(event, &mut self.dice.roll());
        for action in actions {
            match action {
                peer_in::Action::Write(bytes) => self.to_here.extend(bytes),
                peer_in::Action::StartTls(_) => self.tls.0 = true,
                peer_in::Action::Restart => self.read_there.restart(),
                peer_in::Action::Judge(domain) => {
                    let standing = (self.world.standing)(&domain);
                    self.there(peer_in::Event::Judged(standing));
                }
                peer_in::Action::Verify { pair, id, key } => {
                    let verdict = self.ask(&pair, &id, &key);
                    self.there(peer_in::Event::Verified { pair, id, verdict });
                }
                peer_in::Action::Resume { previd, h, .. } => {
                    self.done.push(format!("there: resume {previd} {h}"));
                    let (condition, handled) = (Condition::ItemNotFound, Some(8));
                    self.there(match self.world.known {
                        true => peer_in::Event::Resumed { handled: 7 },
                        false => peer_in::Event::NotResumed { condition, handled },
                    });
                }
                peer_in::Action::Proved { pair, bidi } => {
                    self.done.push(format!("there: proved {pair} {bidi}"));
                }
                peer_in::Action::Enabled(id) => {
                    self.done.push(format!("there: enabled {}", id.is_some()));
                }
                peer_in::Action::Managed(command) => {
                    self.done.push(format!("there: {command:?}"));
                }
                peer_in::Action::Close(error) => {
                    let error = error.map(|error| error.condition);
                    self.done.push(format!("there: close {error:?}"));
                }
            }
        }
    }

    fn here(&mut self, event: peer_out::Event) {
        let actions = self.here.handle(event);
        for action in actions {
            match action {
                peer_out::Action::Write(bytes) => self.to_there.extend(bytes),
                peer_out::Action::StartTls(_) => self.tls.1 = true,
                peer_out::Action::Restart => self.read_here.restart(),
                peer_out::Action::Proved(pair) => self.done.push(format!("here: proved {pair}")),
                peer_out::Action::Denied { pair, refusal } => {
                    self.done.push(format!("here: denied {pair}: {refusal}"));
                }
                peer_out::Action::Verified { pair, verdict, .. } => {
                    self.done.push(format!("here: {pair} {verdict:?}"));
                }
                peer_out::Action::Enabled(id) => {
                    self.done.push(format!("here: enabled {}", id.is_some()));
                }
                peer_out::Action::Resumed(h) => self.done.push(format!("here: resumed {h}")),
                peer_out::Action::NotResumed(h) => {
                    self.done.push(format!("here: not resumed {h:?}"));
                }
                peer_out::Action::Managed(command) => self.done.push(format!("here: {command:?}")),
                peer_out::Action::Close(refusal) => {
                    let refusal = refusal.as_ref().map(Refusal::to_string);
                    self.done.push(format!("here: close {refusal:?}"));
                }
            }
        }
        if self.tls == (true, true) {
            self.tls = (false, false);
            self.read_there.restart();
            self.read_here.restart();
            self.there(peer_in::Event::Secured);
            self.here(peer_out::Event::Secured(Standing::Certified));
        }
    }

    /// Asks the server of `pair.from` on a connection of its own.
    fn ask(&self, pair: &Pair, id: &str, key: &str) -> Verdict {
        let world = World {
            earlier: None,
            ..self.world.clone()
        };
        let mut connection = Connection::new(world, pair.reversed(), Purpose::Verify);
        let mut verdict = None;
        connection.here(peer_out::Event::Verify {
            pair: pair.clone(),
            id: id.into(),
            key: key.into(),
        });
        connection.begin();
        let valid = format!("here: {pair} Valid");
        let invalid = format!("here: {pair} Invalid");
        for line in &connection.done {
            match line {
                line if *line == valid => verdict = Some(Verdict::Valid),
                line if *line == invalid => verdict = Some(Verdict::Invalid),
                line => panic!("{line}"),
            }
        }
        verdict.expect("an answer")
    }
}

fn pieces(bytes: &mut Vec<u8>, size: usize) -> Vec<Vec<u8>> {
    let all = std::mem::take(bytes);
    all.chunks(size).map(<[u8]>::to_vec).collect()
}

fn is_stanza(element: &Element) -> bool {
    element.ns() == ns::SERVER && ["message", "presence", "iq"].contains(&element.name())
}

fn message(from: &str, to: &str) -> Vec<u8> {
    let jid = |text| Jid::parse(text).unwrap();
    let body = Element::new(ns::CLIENT, "body").with_text("x");
    let message = Stanza::message(MessageType::Chat).with_child(&body);
    let message = message.with_from(jid(from)).with_to(jid(to));
    let mut out = Vec::new();
    message.write_for(&mut out, ns::SERVER);
    out
}

/// A stream from a.test to far.test.
fn connection(world: World) -> Connection {
    let mut connection = Connection::new(world, Pair::new("a.test", "far.test"), Purpose::Send);
    connection.begin();
    connection
}

const ENABLED: [&str; 3] = [
    "there: enabled true",
    "here: enabled true",
    "here: proved a.test to far.test",
];

#[test]
fn by_certificate_and_both_ways() {
    for (piece, direct) in [(ALL, false), (1, false), (7, true)] {
        let world = World {
            piece,
            direct,
            ..world()
        };
        let mut connection = connection(world);
        let proved = "there: proved a.test to far.test true";
        assert_eq!(connection.done, [&[proved][..], &ENABLED].concat());
        connection.done.clear();
        connection.to_there = message("alice@a.test", "bob@far.test");
        connection
            .to_there
            .extend(message("alice@b.test", "bob@far.test"));
        connection.to_here = message("bob@far.test", "alice@a.test");
        connection.run();
        let wanted = [
            "there: alice@a.test to bob@far.test Ok(())",
            "there: alice@b.test to bob@far.test Err(InvalidFrom)",
            "here: bob@far.test to alice@a.test Ok(())",
        ];
        assert_eq!(connection.done, wanted);
        connection.done.clear();
        connection.here(peer_out::Event::Finish);
        connection.run();
        assert_eq!(connection.done, ["there: close None", "here: close None"]);
    }
}

/// The key is asked about at a third machine, which has the same secret or another.
#[test]
fn by_dialback() {
    let by_dialback = World {
        standing: |_| Standing::Dialback,
        ..world()
    };
    for piece in [ALL, 1] {
        let world = World {
            piece,
            ..by_dialback.clone()
        };
        let proved = "there: proved a.test to far.test true";
        assert_eq!(connection(world).done, [&[proved][..], &ENABLED].concat());
    }
    let forged = World {
        authority: [2; 32],
        ..by_dialback
    };
    let why = "its server says that our dialback key is wrong";
    let wanted = [
        "there: close None".to_owned(),
        format!("here: denied a.test to far.test: {why}"),
        format!("here: close Some(\"{why}\")"),
    ];
    assert_eq!(connection(forged).done, wanted);
}

/// Rows F21 and F30: another domain of ours, for which the certificate is good, is not, or is not
/// needed.
#[test]
fn more_domains_of_one_server() {
    let rows: [(Judge, &[&str]); 3] = [
        (
            |_| Standing::Certified,
            &[
                "there: proved b.test to far.test true",
                "here: proved b.test to far.test",
            ],
        ),
        (
            |domain| match domain {
                "b.test" => Standing::Dialback,
                _ => Standing::Certified,
            },
            &[
                "there: proved b.test to far.test true",
                "here: proved b.test to far.test",
            ],
        ),
        (
            |domain| match domain {
                "b.test" => Standing::Uncertified,
                _ => Standing::Certified,
            },
            &["here: denied b.test to far.test: its server refuses to hear us (not-authorized)"],
        ),
    ];
    for (standing, wanted) in rows {
        let mut connection = connection(World {
            standing,
            ..world()
        });
        connection.done.clear();
        let (pair, certified) = (Pair::new("b.test", "far.test"), false);
        connection.here(peer_out::Event::Want { pair, certified });
        connection.run();
        assert_eq!(connection.done, wanted);
    }
}

/// Who shows no good certificate where one is needed sends nothing, whatever else it tries.
#[test]
fn without_a_certificate_where_one_is_needed() {
    for external in [true, false] {
        let world = World {
            standing: |_| Standing::Uncertified,
            external,
            ..world()
        };
        let why = "its server refuses to hear us (not-authorized)";
        let wanted = [
            format!("here: denied a.test to far.test: {why}"),
            format!("here: close Some(\"{why}\")"),
            "there: close None".to_owned(),
        ];
        assert_eq!(connection(world).done, wanted);
    }
}

#[test]
fn sessions_go_on() {
    let earlier = Some(Earlier {
        previd: "p".into(),
        h: 3,
    });
    let proved = "there: proved a.test to far.test true";
    let resume = "there: resume p 3";
    let known = World {
        earlier,
        known: true,
        ..world()
    };
    let wanted = [
        proved,
        resume,
        "here: resumed 7",
        "here: proved a.test to far.test",
    ];
    assert_eq!(connection(known.clone()).done, wanted);
    let unknown = World {
        known: false,
        ..known
    };
    let lost = "here: not resumed Some(8)";
    let wanted = [&[proved, resume, lost][..], &ENABLED].concat();
    assert_eq!(connection(unknown).done, wanted);
}
