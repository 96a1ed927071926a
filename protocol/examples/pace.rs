//! What reading a stanza costs, row by row.
//!
//!     cargo build --profile perf -p rookery-protocol --example pace
//!     valgrind --tool=callgrind target/perf/examples/pace 'framed, checked, read' 1000
//!
//! The crate reads no clock, so neither does this: instructions are counted, which is steadier too.
//! Two runs of different rounds, subtracted, leave the start of the program out.

use std::hint::black_box;

use rookery_protocol::jid::Jid;
use rookery_protocol::reader::{Event, Limits, StreamKind, StreamReader};
use rookery_protocol::stanza::Stanza;

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
                      xmlns:stream='http://etherx.jabber.org/streams' to='a.test' version='1.0'>";
const MESSAGE: &str = "<message to='bob@example.org' type='chat' id='5c4a8f2e-1d3b-4e6f'>\
    <body>Hello there, how are you doing today? See you at eight.</body>\
    <active xmlns='http://jabber.org/protocol/chatstates'/>\
    <request xmlns='urn:xmpp:receipts'/><origin-id xmlns='urn:xmpp:sid:0' \
    id='5c4a8f2e-1d3b-4e6f'/></message>";

/// Runs a row as often as the second argument says, if its name has the first.
fn row(name: &str, mut run: impl FnMut()) {
    let mut arguments = std::env::args().skip(1);
    let wanted = arguments.next().unwrap_or_default();
    let rounds: u32 = arguments
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(1_000);
    if name.contains(&wanted) {
        println!("{name}: {rounds} rounds");
        (0..rounds).for_each(|_| run());
    }
}

fn opened() -> StreamReader {
    let mut reader = StreamReader::new(Limits::after_login(), StreamKind::Client);
    let mut header = HEADER.as_bytes();
    assert!(matches!(reader.read(&mut header), Ok(Some(Event::Open(_)))));
    reader
}

fn stanza(reader: &mut StreamReader, text: &str) -> Stanza {
    let mut chunk = text.as_bytes();
    match reader.read(&mut chunk) {
        Ok(Some(Event::Element(element))) => element.to_stanza().expect("a stanza"),
        other => panic!("{other:?}"),
    }
}

fn main() {
    println!(
        "a message of {} bytes; a reader is {}",
        MESSAGE.len(),
        size_of::<StreamReader>()
    );
    let mut reader = opened();
    row("framed, checked", || {
        let mut chunk = black_box(MESSAGE.as_bytes());
        black_box(reader.read(&mut chunk).is_ok());
    });
    row("framed, checked, read", || {
        black_box(stanza(&mut reader, black_box(MESSAGE)));
    });
    let read = stanza(&mut reader, MESSAGE);
    let mut out = Vec::with_capacity(1_024);
    row("written", || {
        out.clear();
        black_box(&read).write(&mut out);
        black_box(&out);
    });
    row("cloned", || {
        black_box(black_box(&read).clone());
    });
    row("its body as a tree", || {
        black_box(read.child("jabber:client", "body"));
    });
    row("an address of ASCII", || {
        black_box(Jid::parse(black_box("bob@example.org/phone.4f3a")).is_ok());
    });
    let russian = MESSAGE.replace("how are you doing today", "как у тебя сегодня дела");
    row("read, with Cyrillic", || {
        black_box(stanza(&mut reader, black_box(&russian)));
    });
}
