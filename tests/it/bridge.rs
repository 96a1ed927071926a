//! An external component as the stories see it (XEP-0114): it says stanzas in its own namespace,
//! hears them as any device does, and answers pings.

use crate::client::{Client, PATIENCE, QUIET, Silence};
use crate::world::World;
use crate::xml::{CLIENT, El, Heard, STREAMS};
use sha1::{Digest, Sha1};
use std::time::Duration;

/// The namespace of its stream.
pub const COMPONENT: &str = "jabber:component:accept";

/// A component that is connected.
pub struct Bridge {
    pub client: Client,
    pub name: String,
    /// Whether it answers pings.
    pub polite: bool,
}

/// Makes a component by command; the secret that is printed for it.
pub fn add(world: &World, name: &str, privileges: &str) -> String {
    let arguments = ["component", "add", name, "--privileges", privileges];
    let (status, told) = world.run(&arguments, "");
    assert!(status.success(), "{told}");
    let port = format!("  port    {}\n", world.component.port());
    assert!(told.contains(&port), "{told}");
    let secret = told.lines().find_map(|it| it.strip_prefix("  secret  "));
    secret.expect("a secret").to_owned()
}

impl Bridge {
    /// A connection on which nothing was said.
    pub fn connect(world: &World, name: &str) -> Bridge {
        world.count();
        Bridge {
            client: Client::tcp(world.component, name),
            name: name.to_owned(),
            polite: true,
        }
    }

    /// One that has shown its secret.
    pub fn come(world: &World, name: &str, secret: &str) -> Bridge {
        let mut bridge = Bridge::connect(world, name);
        let shaken = bridge.shake(secret);
        shaken.unwrap_or_else(|why| panic!("{name}: {why}"));
        bridge
    }

    /// Opens the stream and shows a secret; the condition of the error with which it ends.
    pub fn shake(&mut self, secret: &str) -> Result<(), String> {
        let id = self.open()?;
        let digest = Sha1::digest(format!("{id}{secret}"));
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        self.says(&format!("<handshake>{hex}</handshake>"));
        match self.client.hear_within(PATIENCE) {
            Ok(Heard::Element(el)) if el.is(COMPONENT, "handshake") => Ok(()),
            Ok(Heard::Element(el)) => Err(condition(&el)),
            other => Err(format!("{other:?}")),
        }
    }

    /// Opens the stream; its id.
    pub fn open(&mut self) -> Result<String, String> {
        self.says(&format!(
            "<stream:stream xmlns='{COMPONENT}' xmlns:stream='{STREAMS}' to='{}'>",
            self.name
        ));
        match self.client.hear_within(PATIENCE) {
            Ok(Heard::Open(header)) => Ok(header.attr("id").unwrap_or_default().to_owned()),
            other => Err(format!("no header but {other:?}")),
        }
    }

    /// Sends a stanza, or whatever bytes.
    pub fn says(&mut self, text: &str) {
        self.client.say(text);
    }

    fn next(&mut self, patience: Duration) -> Result<El, Silence> {
        loop {
            match self.client.hear_within(patience)? {
                Heard::Element(el) => {
                    let el = moved(el);
                    if el.child("urn:xmpp:ping", "ping").is_none() {
                        return Ok(el);
                    }
                    if self.polite {
                        let id = el.attr("id").unwrap_or_default();
                        let from = el.attr("from").unwrap_or_default();
                        let pong = format!(
                            "<iq type='result' id='{id}' from='{}' to='{from}'/>",
                            self.name
                        );
                        self.says(&pong);
                    }
                }
                Heard::End => return Err(Silence::Closed),
                Heard::Open(_) => return Err(Silence::Broken("a second header".into())),
            }
        }
    }

    /// The next stanza fits the pattern (see `El::fits`), in which stanzas are a client's.
    #[track_caller]
    pub fn hears(&mut self, pattern: &str) -> El {
        match self.next(PATIENCE) {
            Ok(el) => match el.fits(&El::parse(pattern)) {
                Ok(()) => el,
                Err(why) => panic!("{why}\n heard {el}\n wanted {pattern}\n{}", self.story()),
            },
            Err(why) => panic!("{why:?}\n wanted {pattern}\n{}", self.story()),
        }
    }

    /// The same, once other stanzas have gone by.
    #[track_caller]
    pub fn waits_for(&mut self, pattern: &str) -> El {
        let wanted = El::parse(pattern);
        loop {
            match self.next(PATIENCE) {
                Ok(el) if el.fits(&wanted).is_ok() => return el,
                Ok(_) => {}
                Err(why) => panic!("{why:?}\n wanted {pattern}\n{}", self.story()),
            }
        }
    }

    /// Says a get or set, and hears the answer.
    #[track_caller]
    pub fn asks(&mut self, request: &str, pattern: &str) -> El {
        self.says(request);
        self.waits_for(pattern)
    }

    /// Nothing comes for a moment.
    #[track_caller]
    pub fn hears_nothing(&mut self) {
        let heard = self.next(QUIET);
        assert_eq!(heard, Err(Silence::Timeout), "{}", self.story());
    }

    /// The condition of the error with which the stream ends next.
    pub fn ends(&mut self) -> Result<String, String> {
        loop {
            match self.next(PATIENCE) {
                Ok(el) if el.is(STREAMS, "error") => return Ok(condition(&el)),
                Ok(_) => {}
                Err(why) => return Err(format!("{why:?}")),
            }
        }
    }

    fn story(&self) -> String {
        self.client.transcript.join("\n")
    }
}

fn condition(error: &El) -> String {
    let first = error.children.first();
    first.map_or_else(|| error.to_string(), |it| it.name.clone())
}

/// The same element as a client would hear it.
fn moved(mut el: El) -> El {
    if el.ns == COMPONENT {
        el.ns = CLIENT.into();
    }
    el.children = el.children.into_iter().map(moved).collect();
    el
}
