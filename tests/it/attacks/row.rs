//! What a row of the table of attacks is: an input in a state, and the answers that are right.

use crate::client::{Client, PATIENCE, QUIET, Silence};
use crate::device::Device;
use crate::world::{World, password};
use crate::xml::{CLIENT, El, Heard, SASL, STREAMS};
use std::time::{Duration, Instant};

/// How far the test's connection has come before the input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum State {
    /// Connected, nothing said: the input begins with the header.
    Tcp,
    /// [P] plaintext, header sent, features read.
    Plain,
    /// [T] the same after STARTTLS, not authenticated.
    Tls,
    /// Authenticated, the stream opened again, not bound.
    Authed,
    /// [A] authenticated, bound, presence sent.
    Bound,
}

/// What the server does.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// SE: our header if it was not sent, a stream error with this condition, the closing tag, and
    /// the socket closed.
    Ends(&'static str),
    /// IE: a stanza error of this type and condition; the stream stays.
    Refuses(&'static str, &'static str),
    /// SF: a SASL failure; the stream stays, and the right password still opens it.
    Fails(&'static str),
    /// An element that fits this pattern (see `El::fits`).
    Says(&'static str),
}

/// What is done.
pub enum Steps {
    /// Every input by itself on a fresh connection in this state.
    Each(State, Vec<Vec<u8>>),
    /// A conversation of its own; the error says what was wrong.
    Scene(fn(&Stage) -> Result<(), String>),
}

/// One row.
pub struct Row {
    pub id: &'static str,
    pub what: &'static str,
    pub steps: Steps,
    /// The answers that are right, one of which must come to each input; a scene judges itself.
    pub expected: &'static [Answer],
}

/// A row of inputs.
pub fn each(
    id: &'static str,
    what: &'static str,
    state: State,
    inputs: &[&str],
    expected: &'static [Answer],
) -> Row {
    let inputs = inputs.iter().map(|i| i.as_bytes().to_vec()).collect();
    Row {
        id,
        what,
        steps: Steps::Each(state, inputs),
        expected,
    }
}

/// The same with inputs that are not text, or made by the test.
pub fn each_of(
    id: &'static str,
    what: &'static str,
    state: State,
    inputs: Vec<Vec<u8>>,
    expected: &'static [Answer],
) -> Row {
    Row {
        id,
        what,
        steps: Steps::Each(state, inputs),
        expected,
    }
}

/// A row that is a conversation.
pub fn scene(id: &'static str, what: &'static str, run: fn(&Stage) -> Result<(), String>) -> Row {
    Row {
        id,
        what,
        steps: Steps::Scene(run),
        expected: &[],
    }
}

/// Where a row is played: a world, and people of its own.
pub struct Stage<'a> {
    pub world: &'a World,
    pub id: &'static str,
}

impl Stage<'_> {
    /// The local part this row uses for a person: "alice" is `alice-x24`.
    pub fn user(&self, person: &str) -> String {
        format!("{person}-{}", self.id.to_lowercase())
    }

    /// A person's bare address on a.test; carol lives on b.test.
    pub fn bare(&self, person: &str) -> String {
        let domain = if person == "carol" {
            "b.test"
        } else {
            "a.test"
        };
        format!("{}@{domain}", self.user(person))
    }

    /// A device that is logged in: "alice" or "alice/phone".
    pub fn device(&self, who: &str) -> Device {
        let (person, resource) = who.split_once('/').unwrap_or((who, "r1"));
        self.world
            .device(&format!("{}/{resource}", self.bare(person)))
    }

    /// The same, with presence.
    pub fn online(&self, who: &str) -> Device {
        let (person, resource) = who.split_once('/').unwrap_or((who, "r1"));
        self.world
            .online(&format!("{}/{resource}", self.bare(person)))
    }

    /// A connection in a state; beyond [T] it is alice's, whose account is made.
    pub fn client(&self, state: State) -> Result<Client, String> {
        let mut client = self.world.tcp();
        let user = self.user("alice");
        match state {
            State::Tcp => {}
            State::Plain => client.open()?,
            State::Tls => {
                client.starttls()?;
                client.open()?;
            }
            State::Authed | State::Bound => {
                self.world.account(&user, "a.test");
                client.open()?;
                client.login(&user, &password(&user))?;
            }
        }
        if state == State::Bound {
            client.bind("r1")?;
            client.say("<presence/>");
            client.expect(CLIENT, "presence")?;
        }
        Ok(client)
    }

    /// Makes alice a friend of bob, both ways; both are online.
    pub fn befriend(&self, alice: &mut Device, bob: &mut Device) {
        let (a, b) = (alice.bare(), bob.bare());
        // Only interested resources hear of approvals (RFC 6121 §3.1.6).
        alice.fetches_roster();
        bob.fetches_roster();
        alice.says(&format!("<presence type='subscribe' to='{b}'/>"));
        bob.waits_for(&format!("<presence type='subscribe' from='{a}'/>"));
        bob.says(&format!("<presence type='subscribed' to='{a}'/>"));
        bob.says(&format!("<presence type='subscribe' to='{a}'/>"));
        alice.waits_for(&format!("<presence type='subscribe' from='{b}'/>"));
        alice.says(&format!("<presence type='subscribed' to='{b}'/>"));
        bob.waits_for(&format!("<presence type='subscribed' from='{a}'/>"));
        bob.waits_for(&format!("<presence from='{}'/>", alice.jid()));
        alice.waits_for(&format!("<presence from='{}'/>", bob.jid()));
        alice.drains();
        bob.drains();
    }
}

/// What came after an input.
#[derive(Debug)]
enum Reaction {
    Ended(String),
    Element(El),
    Closed,
    Silent,
}

impl Row {
    /// Plays the row; the error says which input got which answer.
    pub fn play(&self, world: &World) -> Result<(), String> {
        let stage = Stage { world, id: self.id };
        match &self.steps {
            Steps::Scene(run) => run(&stage),
            Steps::Each(state, inputs) => {
                for input in inputs {
                    self.play_input(&stage, *state, input).map_err(|e| {
                        let shown = String::from_utf8_lossy(&input[..input.len().min(300)]);
                        format!("[{state:?}] {shown}: {e}")
                    })?;
                }
                Ok(())
            }
        }
    }

    fn play_input(&self, stage: &Stage, state: State, input: &[u8]) -> Result<(), String> {
        let mut client = stage.client(state)?;
        client.say_bytes(input);
        let reaction = react(&mut client, state, PATIENCE)?;
        let mut first = None;
        for answer in self.expected {
            match meets(answer, &reaction, &mut client, stage, state) {
                Ok(()) => return Ok(()),
                Err(e) => first = first.or(Some(e)),
            }
        }
        Err(first.unwrap_or_else(|| "no answer is expected".into()))
    }
}

fn react(client: &mut Client, state: State, patience: Duration) -> Result<Reaction, String> {
    let mut header = state != State::Tcp;
    let end = Instant::now() + patience;
    loop {
        match client.hear_within(end.saturating_duration_since(Instant::now())) {
            Ok(Heard::Open(_)) => header = true,
            Ok(Heard::Element(el)) if el.is(STREAMS, "features") && state == State::Tcp => {}
            Ok(Heard::Element(el)) if el.is(STREAMS, "error") => {
                let condition = Device::condition(&el).unwrap_or("").to_string();
                match client.hear() {
                    Ok(Heard::End) => {}
                    other => return Err(format!("{condition}, no closing tag but {other:?}")),
                }
                client
                    .closed(PATIENCE)
                    .map_err(|e| format!("{condition}, {e}"))?;
                return match header {
                    true => Ok(Reaction::Ended(condition)),
                    false => Err(format!("{condition} before any header")),
                };
            }
            Ok(Heard::Element(el)) => return Ok(Reaction::Element(el)),
            Ok(Heard::End) | Err(Silence::Closed) => return Ok(Reaction::Closed),
            Err(Silence::Timeout) => return Ok(Reaction::Silent),
            Err(Silence::Broken(e)) => return Err(format!("the server writes bad XML: {e}")),
        }
    }
}

fn meets(
    answer: &Answer,
    reaction: &Reaction,
    client: &mut Client,
    stage: &Stage,
    state: State,
) -> Result<(), String> {
    match (answer, reaction) {
        (Answer::Ends(wanted), Reaction::Ended(found)) if wanted == found => Ok(()),
        (Answer::Refuses(kind, condition), Reaction::Element(el)) => {
            match el.error() == Some((kind, condition)) {
                true => stays(client, state),
                false => Err(format!("not {kind}/{condition} but {el}")),
            }
        }
        (Answer::Says(pattern), Reaction::Element(el)) => el.fits(&El::parse(pattern)),
        (Answer::Fails(condition), Reaction::Element(el)) => {
            if !el.is(SASL, "failure") || el.child(SASL, condition).is_none() {
                return Err(format!("not {condition} but {el}"));
            }
            let user = stage.user("alice");
            stage.world.account(&user, "a.test");
            client
                .login(&user, &password(&user))
                .map_err(|e| format!("{condition}, then {e}"))
        }
        (wanted, found) => Err(format!("not {wanted:?} but {found:?}")),
    }
}

fn stays(client: &mut Client, state: State) -> Result<(), String> {
    if state != State::Bound {
        return match client.hear_within(QUIET) {
            Err(Silence::Timeout) => Ok(()),
            other => Err(format!("the stream does not stay: {other:?}")),
        };
    }
    let ping = "<iq type='get' id='stays' to='a.test'><ping xmlns='urn:xmpp:ping'/></iq>";
    let pong = client
        .ask(ping)
        .map_err(|e| format!("the stream does not stay: {e}"))?;
    match pong.attr("type") {
        Some("result") => Ok(()),
        _ => Err(format!("no pong but {pong}")),
    }
}

/// Turns a question into the result of a scene.
pub fn must(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}
