//! A component comes, speaks and is spoken to, goes, and comes back; and others that claim to be
//! one.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rookery_config::Settings;
use rookery_protocol::framer::Limits;
use rookery_protocol::negotiation::component::Secret;
use rookery_protocol::ns;
use rookery_protocol::reader::{Event, StreamKind, StreamReader};
use rookery_protocol::sasl::Hash;
use rookery_storage::{KeyRange, Tree};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::timeout;

use crate::components::Component;
use crate::stream::{Arrival, Stream};
use crate::testing::ledger::LIST;
use crate::testing::{Client, PATIENCE, World, run, settings};

const NAME: &str = "irc.test";
const SECRET: &str = "between us";

/// The other end of a component's stream.
struct Bridge {
    io: DuplexStream,
    reader: StreamReader,
    bytes: Vec<u8>,
    /// Answers pings.
    polite: bool,
}

impl Bridge {
    /// A connection on which nothing was said.
    fn connect(world: &World) -> Bridge {
        let (io, there) = tokio::io::duplex(256 * 1024);
        let realm = Arc::clone(world.realm());
        let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let pending = realm.gate.enter(peer, Instant::now()).expect("let in");
        let lane = &world.realm().lanes.all()[1];
        let arrival = move || Arrival::Other(Box::new(there));
        assert!(lane.spawn_fn(move || Stream::adopt(&realm, arrival(), peer, pending)));
        Bridge {
            io,
            reader: StreamReader::new(Limits::after_login(), StreamKind::Component),
            bytes: Vec::new(),
            polite: true,
        }
    }

    /// One that has shown that it knows its secret.
    async fn come(world: &World) -> Bridge {
        let mut bridge = Bridge::connect(world);
        let answer = bridge.shake(NAME, SECRET).await;
        assert!(answer.contains("handshake"), "{answer}");
        bridge
    }

    /// Opens the stream as `name` and shows a secret; the answer.
    async fn shake(&mut self, name: &str, secret: &str) -> String {
        self.say(&format!(
            "<stream:stream xmlns='{}' xmlns:stream='{}' to='{name}'>",
            ns::COMPONENT_ACCEPT,
            ns::STREAM
        ))
        .await;
        let Some(Event::Open(header)) = self.event().await else {
            panic!("no header");
        };
        let text = format!("{}{secret}", header.id.expect("an id"));
        let digest = Hash::Sha1.digest(text.as_bytes());
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        self.say(&format!("<handshake>{hex}</handshake>")).await;
        self.next().await.expect("an answer")
    }

    async fn say(&mut self, text: &str) {
        let sent = timeout(PATIENCE, self.io.write_all(text.as_bytes())).await;
        sent.expect("the server reads").expect("it is there");
    }

    async fn event(&mut self) -> Option<Event> {
        loop {
            let mut chunk = self.bytes.as_slice();
            let event = self.reader.read(&mut chunk).expect("well-formed XML");
            let left = chunk.len();
            self.bytes.drain(..self.bytes.len() - left);
            if event.is_some() {
                return event;
            }
            let mut buffer = vec![0; 16 * 1024];
            let read = timeout(PATIENCE, self.io.read(&mut buffer)).await;
            match read.expect("the server says something").unwrap_or(0) {
                0 => return None,
                count => self.bytes.extend_from_slice(&buffer[..count]),
            }
        }
    }

    /// The next element but for pings, which are answered, or not; `None`: the stream has ended.
    async fn next(&mut self) -> Option<String> {
        loop {
            match self.event().await {
                Some(Event::Element(element)) => {
                    let element = element.to_element();
                    let id = element.attr("id").map(str::to_owned);
                    let ping = element.children().any(|it| it.is(ns::PING, "ping"));
                    if !ping {
                        return Some(format!("{element:?}"));
                    }
                    if self.polite {
                        let id = id.expect("an id");
                        self.say(&format!(
                            "<iq type='result' id='{id}' from='{NAME}' to='test'/>"
                        ))
                        .await;
                    }
                }
                Some(Event::Close) | None => return None,
                Some(_) => {}
            }
        }
    }

    /// Hears elements until one has this in it.
    async fn hear(&mut self, part: &str) -> String {
        let mut heard = Vec::new();
        while let Some(element) = self.next().await {
            if element.contains(part) {
                return element;
            }
            heard.push(element);
        }
        panic!("{part} was never heard, but {heard:#?}");
    }

    /// The condition of the error with which the stream ends.
    async fn ends_with(&mut self, condition: &str) {
        self.hear(condition).await;
        assert!(self.next().await.is_none());
    }

    /// Answers pings until no row waits.
    async fn take_all(&mut self, world: &World) {
        while rows(world) > 0 {
            let _ = timeout(Duration::from_millis(5), self.next()).await;
        }
    }
}

fn rows(world: &World) -> usize {
    world.range(Tree::Outbox, &KeyRange::all()).len()
}

fn component(secret: &str) -> Component {
    let secret = Secret::new(secret).expect("a secret");
    Component::new(NAME.into(), secret, "".into())
}

/// A server with a component that is not connected, and `ann`, who is online.
async fn world(change: impl FnOnce(&mut Settings)) -> (World, Client) {
    let mut settings = settings();
    change(&mut settings);
    let users = ["ann", "bob"].into_iter().map(str::to_owned);
    let world = World::with(settings, users, LIST);
    assert!(world.realm().site.components.put(component(SECRET)));
    let ann = world.online("ann", "a").await;
    (world, ann)
}

fn message(id: &str) -> String {
    format!("<message to='x@{NAME}' id='{id}' type='chat'><body>{id}</body></message>")
}

#[test]
fn it_is_spoken_to_and_speaks_for_all_of_its_domain() {
    run(async {
        let (world, mut ann) = world(|_| {}).await;
        let mut bridge = Bridge::come(&world).await;
        ann.say(&message("1")).await;
        let heard = bridge.hear("\"1\"").await;
        assert!(heard.contains("ann@test/a"), "{heard}");
        bridge
            .say(&format!(
                "<message from='x@{NAME}/y' to='ann@test' id='2' type='chat'><body>hi</body>\
                 </message>"
            ))
            .await;
        let heard = ann.hear("id='2'").await;
        assert!(heard.contains("from='x@irc.test/y'"), "{heard}");
        // An IQ to the host, and one to somebody at it.
        for (id, to) in [("3", NAME), ("4", "x@irc.test")] {
            ann.say(&format!(
                "<iq type='get' to='{to}' id='{id}'><query xmlns='jabber:iq:version'/></iq>"
            ))
            .await;
            bridge.hear(&format!("{id:?}")).await;
            bridge
                .say(&format!(
                    "<iq type='result' from='{to}' to='ann@test/a' id='{id}'/>"
                ))
                .await;
            ann.hear(&format!("id='{id}'")).await;
        }
        bridge.take_all(&world).await;
        world.stop().await;
    });
}

#[test]
fn while_it_is_away_what_must_last_waits_and_the_rest_comes_back() {
    run(async {
        let (world, mut ann) = world(|_| {}).await;
        for id in ["1", "2"] {
            ann.say(&message(id)).await;
        }
        ann.say("<iq type='get' to='irc.test' id='3'><ping xmlns='urn:xmpp:ping'/></iq>")
            .await;
        let error = ann.hear("id='3'").await;
        assert!(error.contains("service-unavailable"), "{error}");
        assert!(error.contains("type='wait'"), "{error}");
        assert!(error.contains("irc.test: it is not connected"), "{error}");
        world
            .until("the messages are kept", |_| rows(&world) == 2)
            .await;
        let mut bridge = Bridge::come(&world).await;
        // The first try after hours of absence does not wait for its turn.
        bridge.hear("\"1\"").await;
        ann.say(&message("4")).await;
        for id in ["\"2\"", "\"4\""] {
            let next = bridge.next().await.expect("a message");
            assert!(next.contains(id), "{id}: {next}");
        }
        bridge.take_all(&world).await;
        world.stop().await;
    });
}

#[test]
fn what_it_had_not_read_when_it_broke_off_comes_again() {
    run(async {
        let (world, mut ann) = world(|_| {}).await;
        let mut bridge = Bridge::come(&world).await;
        bridge.polite = false;
        ann.say(&message("1")).await;
        bridge.hear("\"1\"").await;
        drop(bridge);
        world
            .until("it is gone", |realm| {
                !realm
                    .site
                    .components
                    .find(NAME)
                    .is_some_and(|it| it.is_here())
            })
            .await;
        assert_eq!(rows(&world), 1);
        let mut bridge = Bridge::come(&world).await;
        bridge.hear("\"1\"").await;
        bridge.take_all(&world).await;
        world.stop().await;
    });
}

#[test]
fn who_answers_no_ping_has_what_stayed_written() {
    run(async {
        let (world, mut ann) = world(|it| {
            it.acks.timeout = Duration::from_millis(50);
            it.c2s.idle = Duration::from_millis(100);
        })
        .await;
        let mut bridge = Bridge::come(&world).await;
        bridge.polite = false;
        ann.say(&message("1")).await;
        bridge.hear("\"1\"").await;
        bridge.take_all(&world).await;
        world.stop().await;
    });
}

#[test]
fn it_speaks_for_nobody_else() {
    run(async {
        for from in ["test", "ann@test/a", "y.irc.test", "far.test", "x@test"] {
            let (world, mut ann) = world(|_| {}).await;
            let mut bridge = Bridge::come(&world).await;
            bridge
                .say(&format!("<message from='{from}' to='ann@test' id='1'/>"))
                .await;
            bridge.ends_with("invalid-from").await;
            assert!(!ann.settle().await.iter().any(|it| it.contains("id='1'")));
            world.stop().await;
        }
        for odd in ["from='irc.test'", "to='ann@test'", ""] {
            let (world, _ann) = world(|_| {}).await;
            let mut bridge = Bridge::come(&world).await;
            bridge.say(&format!("<message {odd} id='1'/>")).await;
            bridge.ends_with("improper-addressing").await;
            world.stop().await;
        }
    });
}

#[test]
fn who_does_not_know_the_secret_is_nobody() {
    run(async {
        let (world, _ann) = world(|_| {}).await;
        for (name, secret, condition) in [
            (NAME, "guessed", "not-authorized"),
            ("test", SECRET, "host-unknown"),
            ("other.test", SECRET, "host-unknown"),
        ] {
            let mut bridge = Bridge::connect(&world);
            let answer = bridge.shake(name, secret).await;
            assert!(answer.contains(condition), "{answer}");
            assert!(bridge.next().await.is_none());
        }
        // Nor is a stanza heard before the handshake.
        let mut bridge = Bridge::connect(&world);
        bridge
            .say(&format!(
                "<stream:stream xmlns='{}' xmlns:stream='{}' to='{NAME}'>\
                 <message from='{NAME}' to='ann@test' id='1'/>",
                ns::COMPONENT_ACCEPT,
                ns::STREAM
            ))
            .await;
        bridge.ends_with("not-authorized").await;
        world.stop().await;
    });
}

#[test]
fn a_second_one_is_refused_while_the_first_is_there() {
    run(async {
        let (world, mut ann) = world(|it| {
            it.acks.timeout = Duration::from_millis(50);
            it.c2s.idle = Duration::from_millis(100);
        })
        .await;
        let mut first = Bridge::come(&world).await;
        let mut second = Bridge::connect(&world);
        let answer = second.shake(NAME, SECRET).await;
        assert!(answer.contains("conflict"), "{answer}");
        // The first is asked, answers, and goes on.
        ann.say(&message("1")).await;
        first.hear("\"1\"").await;
        first.take_all(&world).await;
        // One that is dead and does not know it makes room.
        first.polite = false;
        loop {
            let mut third = Bridge::connect(&world);
            let answer = third.shake(NAME, SECRET).await;
            if answer.contains("handshake") {
                break;
            }
            assert!(answer.contains("conflict"), "{answer}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        world.stop().await;
    });
}

#[test]
fn what_waits_for_one_that_is_removed_comes_back() {
    run(async {
        let (world, mut ann) = world(|_| {}).await;
        ann.say(&message("1")).await;
        world.until("it is kept", |_| rows(&world) == 1).await;
        assert!(world.realm().remove_component(NAME));
        let error = ann.hear("id='1'").await;
        assert!(error.contains("remote-server-not-found"), "{error}");
        world.until("no row is left", |_| rows(&world) == 0).await;
        // So does what is sent to one that there is not.
        ann.say(&message("2")).await;
        let error = ann.hear("id='2'").await;
        assert!(error.contains("remote-server-not-found"), "{error}");
        world.stop().await;
    });
}

#[test]
fn one_that_is_removed_or_given_another_secret_must_go() {
    run(async {
        let (world, _ann) = world(|_| {}).await;
        let mut bridge = Bridge::come(&world).await;
        assert!(world.realm().add_component(component("another")));
        bridge.ends_with("reset").await;
        let mut bridge = Bridge::connect(&world);
        let answer = bridge.shake(NAME, "another").await;
        assert!(answer.contains("handshake"), "{answer}");
        assert!(world.realm().remove_component(NAME));
        bridge.ends_with("host-gone").await;
        world.stop().await;
    });
}

#[test]
fn it_hears_that_the_server_stops() {
    run(async {
        for speaks in [true, false] {
            let (world, mut ann) = world(|_| {}).await;
            let mut bridge = Bridge::come(&world).await;
            if speaks {
                ann.say(&message("1")).await;
                bridge.hear("\"1\"").await;
            }
            tokio::join!(bridge.ends_with("system-shutdown"), world.stop());
        }
    });
}
