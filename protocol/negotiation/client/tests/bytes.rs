//! The machine behind the reader that feeds it: bytes in, bytes out.

use super::*;
use crate::reader::{self, StreamKind, StreamReader};

const HEADER: &str = "<?xml version='1.0'?><stream:stream to='a.test' xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";

/// What owns a socket does about the same.
struct Wire {
    stage: Stage,
    reader: StreamReader,
    said: Vec<String>,
}

impl Wire {
    fn new() -> Wire {
        let reader = StreamReader::new(reader::Limits::before_login(), StreamKind::Client);
        let stage = Stage::new(settings(), false);
        let said = Vec::new();
        Wire {
            stage,
            reader,
            said,
        }
    }

    fn hear(&mut self, bytes: &str) -> String {
        let mut chunk = bytes.as_bytes();
        while !self.stage.client.over {
            let event = match self.reader.read(&mut chunk) {
                Ok(None) => break,
                Ok(Some(reader::Event::Open(header))) => Event::Open(header),
                Ok(Some(reader::Event::Element(raw))) => Event::Element {
                    element: raw.to_element(),
                    behind: chunk.len(),
                },
                Ok(Some(reader::Event::Close)) => Event::Close,
                Ok(Some(reader::Event::Whitespace)) => Event::Whitespace,
                Ok(Some(reader::Event::Oversized(_))) => {
                    Event::Fail(StreamCondition::PolicyViolation.into())
                }
                Err(error) => Event::Fail(error),
            };
            self.perform(event);
        }
        std::mem::take(&mut self.said).join("\n")
    }

    /// Answers at once what the machine asks.
    fn perform(&mut self, event: Event) {
        for done in self.stage.handle(event) {
            match done.split(' ').next() {
                Some("starttls") => {
                    self.reader.restart();
                    self.perform(Event::Secured(bindings()));
                }
                Some("restart") => self.reader.restart(),
                Some("fetch") => self.perform(Event::Fetched(Lookup::Found(alice()))),
                Some("check") => {
                    let verdict = self.stage.check.take().unwrap().run();
                    self.perform(Event::Checked(verdict));
                }
                Some("bind") => {
                    let jid = Jid::parse("alice@a.test/r").unwrap();
                    let inline = Vec::new();
                    self.perform(Event::Bound(Ok(Bound { jid, inline })));
                }
                _ => self.said.push(done),
            }
        }
    }
}

#[test]
fn a_login_byte_by_byte() {
    let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>\
        AGFsaWNlAHNlY3JldA==</auth>";
    let bind = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
    let mut wire = Wire::new();
    let mut said = String::new();
    for text in [HEADER, STARTTLS, HEADER, auth, HEADER, bind] {
        for at in 0..text.len() {
            said += &wire.hear(&text[at..=at]);
        }
    }
    assert!(said.ends_with("established alice@a.test/r -"), "{said}");
    assert_eq!(said.matches("<open ").count(), 3, "{said}");
}

/// Rows X22, X23, X28, X42, X45, T02: our header is said before any error, and but once.
#[test]
fn errors_of_the_reader() {
    let open = "<open from='a.test' version='1.0'>";
    let other = "<stream:stream xmlns:stream='http://example.org/s' to='a.test' version='1.0'>";
    let server = HEADER.replace("jabber:client", "jabber:server");
    for (heard, condition) in [
        (other, "invalid-namespace"),
        ("<foo>", "invalid-namespace"),
        (server.as_str(), "invalid-namespace"),
        ("GET / HTTP/1.1\r\n\r\n", "not-well-formed"),
    ] {
        let said = Wire::new().hear(heard);
        assert!(said.starts_with(open), "{heard}: {said}");
        assert!(
            said.ends_with(&format!("close {condition}")),
            "{heard}: {said}"
        );
        assert_eq!(said.matches("<open ").count(), 1, "{heard}: {said}");
    }
    let mut wire = Wire::new();
    wire.hear(HEADER);
    let said = wire.hear(HEADER);
    assert!(said.starts_with("<stream:error>"), "{said}");
    assert!(wire.hear(HEADER).is_empty(), "it is over");
    let mut wire = Wire::new();
    wire.hear(HEADER);
    assert_eq!(wire.hear(&format!("{STARTTLS}<auth/>")), "close -");
    let mut wire = Wire::new();
    wire.hear(HEADER);
    let long = format!("<message><body>{}</body></message>", "x".repeat(20_000));
    assert!(wire.hear(&long).ends_with("close policy-violation"));
}
