//! Conversations of servers as transcripts. Lines with `<` come from the peer, lines with `*` from
//! whoever performs the actions; the lines under them are all that is done about it.

use crate::ns;
use crate::reader::Header;
use crate::xml::Element;

/// What stands for randomness: the n-th time all bytes are n.
#[derive(Default)]
pub struct Dice(u8);

impl Dice {
    pub fn roll(&mut self) -> impl FnMut(&mut [u8]) {
        |bytes: &mut [u8]| {
            bytes.fill(self.0);
            self.0 += 1;
        }
    }
}

/// The id of the n-th stream, which transcripts call `#n`.
pub fn id(n: u8) -> String {
    super::stream_id(&mut |bytes: &mut [u8]| bytes.fill(n))
}

/// An element as it stands in a stream of servers.
pub fn element(text: &str) -> Element {
    let around = format!(
        "<x xmlns='jabber:server' xmlns:db='{}' xmlns:stream='{}'>{text}</x>",
        ns::DIALBACK,
        ns::STREAM
    );
    let around = Element::parse(&around, "").expect(text);
    let mut inside = around.children().cloned();
    inside.next().expect(text)
}

/// A header with these attributes.
pub fn header(attributes: &str) -> Header {
    let header = Element::parse(&format!("<x {attributes}/>"), ns::SERVER).unwrap();
    let attr = |name: &str| header.attr(name).map(Into::into);
    let version = header.attr("version").map(|version| {
        let (major, minor) = version.split_once('.').unwrap();
        (major.parse().unwrap(), minor.parse().unwrap())
    });
    Header {
        to: attr("to"),
        from: attr("from"),
        id: attr("id"),
        version,
        has_dialback: header.attr("nodb").is_none(),
        ..Header::default()
    }
}

/// Leaves out what every header and every namespace of ours has in common.
pub fn shorten(written: &[u8]) -> String {
    let text = std::str::from_utf8(written).unwrap().to_owned();
    let rows = [
        ("<?xml version='1.0'?><stream:stream", "<open"),
        (
            " xml:lang='en' xmlns='jabber:server' xmlns:db='jabber:server:dialback' \
             xmlns:stream='http://etherx.jabber.org/streams'",
            "",
        ),
        (" xmlns='urn:ietf:params:xml:ns:xmpp-streams'", ""),
        (" xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'", ""),
        (" xmlns='urn:ietf:params:xml:ns:xmpp-", " xmlns='…"),
        ("</stream:stream>", "</open>"),
    ];
    let text = rows
        .into_iter()
        .fold(text, |text, (long, short)| text.replace(long, short));
    (0..4).fold(text, |text, n| text.replace(&id(n), &format!("#{n}")))
}

/// Plays the lines and compares all that is done with what the transcript says. `step` performs
/// one event, `#n` in it being the n-th id.
pub fn play(transcript: &str, mut step: impl FnMut(&str) -> Vec<String>) {
    let lines = transcript.lines().map(str::trim);
    let expected: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
    let mut got: Vec<String> = Vec::new();
    let is_event = |line: &&&str| line.starts_with("< ") || line.starts_with("* ");
    for line in expected.iter().filter(is_event) {
        got.push((*line).to_owned());
        let text = (0..4).fold((*line).to_owned(), |text, n| {
            text.replace(&format!("#{n}"), &id(n))
        });
        got.extend(step(&text));
        let (at, wanted) = (got.len(), expected.get(..got.len()));
        assert_eq!(
            Some(got.join("\n")),
            wanted.map(|wanted| wanted.join("\n")),
            "up to line {at}"
        );
    }
    assert_eq!(got.join("\n"), expected.join("\n"));
}
