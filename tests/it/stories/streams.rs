//! How a stream opens, idles and closes (RFC 6120 §4, §7).

use crate::client::{Client, PATIENCE};
use crate::world::{World, password};
use crate::xml::{CLIENT, El, Heard, STREAMS};

#[test]
fn opening() {
    let world = World::start();
    let mut client = world.tcp();
    client.say(
        "<?xml version='1.0'?><stream:stream from='alice@a.test' to='a.test' xml:lang='de' \
         version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
    );
    let header = match client.hear() {
        Ok(Heard::Open(header)) => header,
        other => panic!("{other:?}"),
    };
    // RFC 6120 §4.7: from, to, id, xml:lang and version of the answer.
    assert!(header.is(STREAMS, "stream"));
    assert_eq!(header.attr("from"), Some("a.test"));
    assert_eq!(header.attr("to"), Some("alice@a.test"));
    assert_eq!(header.attr("version"), Some("1.0"));
    assert!(header.attr("id").is_some_and(|id| id.len() >= 22));
    assert!(header.attr("xml:lang").is_some());
    client.expect(STREAMS, "features").expect("features");
    client.say("</stream:stream>");
    assert_eq!(client.hear(), Ok(Heard::End));
    client.closed(PATIENCE).expect("the connection ends");
}

#[test]
fn binding() {
    let world = World::start();
    world.account("alice", "a.test");
    let enter = || {
        let mut client = world.tcp();
        client.open().expect("stream");
        client.login("alice", &password("alice")).expect("login");
        client
    };
    let mut client = enter();
    let features = client.features.clone();
    for (ns, name) in [
        ("urn:ietf:params:xml:ns:xmpp-bind", "bind"),
        ("urn:ietf:params:xml:ns:xmpp-session", "session"),
        ("urn:xmpp:features:rosterver", "ver"),
        ("urn:xmpp:features:pre-approval", "sub"),
        ("urn:xmpp:sm:3", "sm"),
        ("http://jabber.org/protocol/caps", "c"),
    ] {
        assert!(
            features.child(ns, name).is_some(),
            "no {name} in {features}"
        );
    }
    let session = features.child("urn:ietf:params:xml:ns:xmpp-session", "session");
    let optional = session.is_some_and(|s| s.children.iter().any(|c| c.name == "optional"));
    assert!(
        optional,
        "old clients see that <session/> is not needed: {features}"
    );
    assert!(client.mechanisms().is_empty(), "no login twice");
    client.bind("").expect("a resource of the server");
    assert!(client.jid.starts_with("alice@a.test/"), "{}", client.jid);
    let legacy =
        "<iq type='set' id='s'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>";
    let answer = client.ask(legacy).expect("an answer");
    assert_eq!(answer.attr("type"), Some("result"), "{answer}");

    let mut other = enter();
    other
        .bind("Büro \u{1f600}")
        .expect("a resource with an emoji");
    assert_eq!(other.jid, "alice@a.test/Büro \u{1f600}");
}

/// RFC 6120 §4.6.1: white space between stanzas keeps a connection open and says nothing.
#[test]
fn white_space() {
    let world = World::start();
    let mut alice = world.online("alice@a.test/phone");
    for _ in 0..20 {
        alice.says(" \n\t ");
    }
    alice.hears_nothing();
    alice.says(
        "\n<message to='alice@a.test' type='chat' id='w'><body>whisper</body></message>\n \
         <iq type='get' id='x'><ping xmlns='urn:xmpp:ping'/></iq> ",
    );
    alice.hears("<message type='chat' id='w'/>");
    alice.hears("<iq type='result' id='x'/>");
}

/// RFC 6120 §4.9.3.4 and the like: what breaks one stream leaves the account's others alone.
#[test]
fn one_stream_breaks() {
    let world = World::start();
    let mut phone = world.online("alice@a.test/phone");
    let mut desk = world.online("alice@a.test/desk");
    phone.drains();
    desk.drains();
    phone.says("<message><body>whisper</bodies></message>");
    phone.hears_the_end("not-well-formed");
    desk.hears("<presence type='unavailable' from='alice@a.test/phone'/>");
    desk.ping();
}

/// RFC 6120 §4.9.1.1: who is told of an error closes the stream, and says nothing of errors.
#[test]
fn the_client_gives_up() {
    let world = World::start();
    let mut phone = world.online("alice@a.test/phone");
    let mut desk = world.online("alice@a.test/desk");
    phone.drains();
    desk.drains();
    phone.says("<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>");
    assert_eq!(phone.client.hear(), Ok(Heard::End));
    phone.client.closed(PATIENCE).expect("the connection ends");
    desk.hears("<presence type='unavailable' from='alice@a.test/phone'/>");
    desk.ping();
}

/// Stanzas arrive whole however the bytes are cut.
#[test]
fn bytes_are_cut_anywhere() {
    let world = World::start();
    let mut bob = world.online("bob@a.test/desk");
    let mut alice = world.online("alice@a.test/phone");
    let text = "Grüße, 世界 \u{1f600} &lt;tag&gt; &amp; <![CDATA[<b>]]>";
    let said = "Grüße, 世界 \u{1f600} <tag> & <b>";
    for cut in 1..12 {
        let stanza = format!(
            "<message to='bob@a.test' type='chat' id='c{cut}'><body>{text}</body></message>"
        );
        for piece in stanza.as_bytes().chunks(cut * 3) {
            alice.client.say_bytes(piece);
        }
        let heard = bob.hears(&format!("<message type='chat' id='c{cut}'/>"));
        assert_eq!(heard.child_text(CLIENT, "body"), said);
    }
}

/// Several domains in one server, each with its own people.
#[test]
fn two_domains() {
    let world = World::start();
    world.account("alice", "a.test");
    let mut client = Client::tcp(world.c2s, "b.test");
    client.open().expect("stream");
    assert_eq!(client.header.attr("from"), Some("b.test"));
    let refused = client.plain("alice", &password("alice"));
    assert_eq!(
        refused,
        Ok(Some("not-authorized".into())),
        "alice lives on a.test"
    );
    let mut carol = world.online("carol@b.test/home");
    let mut alice = world.online("alice@a.test/phone");
    alice.says("<message to='carol@b.test' type='chat' id='m'><body>whisper</body></message>");
    carol.hears("<message type='chat' from='alice@a.test/phone' id='m'/>");
    let ping = "<iq type='get' id='p' to='b.test'><ping xmlns='urn:xmpp:ping'/></iq>";
    let pong = alice.asks(ping);
    assert_eq!(
        pong.fits(&El::parse("<iq type='result' id='p' from='b.test'/>")),
        Ok(())
    );
}
