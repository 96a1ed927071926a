//! X: XML and stream framing.

use super::row::{Answer::*, Row, Stage, State::*, each, each_of, must, scene};
use crate::client::PATIENCE;
use crate::xml::{CLIENT, Heard, STREAMS};

const S: &str = "<?xml version='1.0'?><stream:stream to='a.test' xmlns='jabber:client' \
                 xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";

/// S with something put in place of something.
fn header(what: &str, with: &str) -> String {
    assert!(S.contains(what), "{what} is in the header");
    S.replacen(what, with, 1)
}

/// A message to oneself whose body is these bytes.
fn body(bytes: &[u8]) -> Vec<u8> {
    [
        b"<message to='alice-x@a.test'><body>",
        bytes,
        b"</body></message>",
    ]
    .concat()
}

/// A message with these bytes in an attribute.
fn attribute(bytes: &[u8]) -> Vec<u8> {
    [
        b"<message to='alice-x@a.test'><x xmlns='urn:x' a='",
        bytes,
        b"'/></message>",
    ]
    .concat()
}

const NOT_WELL_FORMED: &[super::row::Answer] = &[Ends("not-well-formed")];

const TOO_MUCH: &[super::row::Answer] = &[Ends("policy-violation")];

const RESTRICTED: &[super::row::Answer] = &[Ends("restricted-xml")];

pub fn rows() -> Vec<Row> {
    let mut rows = characters();
    rows.extend(documents());
    rows.extend(names());
    rows.extend(headers());
    rows.extend(header_values());
    rows.extend(scenes());
    rows
}

fn characters() -> Vec<Row> {
    let references = [
        "&#0;",
        "&#1;",
        "&#x8;",
        "&#xFFFE;",
        "&#xD800;",
        "&#x110000;",
        "\0",
    ]
    .map(str::as_bytes);
    let texts = references.iter().map(|r| body(r));
    let attributes = references.iter().map(|r| attribute(r));
    let cut: [&[u8]; 2] = [b"\xe2<x/>\x82\xac", b"\xeb\x3c\x3e"];
    let forms: [&[u8]; 4] = [b"\xff", b"\xc0\xaf", b"\xc0\xbc", b"\xf8\x88\x80\x80\x80"];
    vec![
        each_of(
            "X08",
            "bytes that are not UTF-8, overlong forms among them",
            Bound,
            forms.iter().map(|f| body(f)).collect(),
            &[Ends("not-well-formed"), Ends("bad-format")],
        ),
        each_of(
            "X10",
            "the first byte of a character, then markup",
            Bound,
            cut.iter().map(|c| body(c)).collect(),
            &[Ends("not-well-formed"), Ends("bad-format")],
        ),
        each_of(
            "X12",
            "characters XML 1.0 has not, in text and in attributes",
            Bound,
            texts.chain(attributes).collect(),
            NOT_WELL_FORMED,
        ),
        each_of(
            "X13",
            "U+FFFE and U+FFFF as bytes",
            Bound,
            vec![
                body(b"\xef\xbf\xbe"),
                body(b"\xef\xbf\xbf"),
                attribute(b"\xef\xbf\xbf"),
            ],
            NOT_WELL_FORMED,
        ),
    ]
}

fn documents() -> Vec<Row> {
    let entities = "<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a 'lol'>]>".to_string() + &S[21..];
    vec![
        each("X01-p", "a comment", Plain, &["<!-- x -->"], RESTRICTED),
        each("X01-a", "a comment", Bound, &["<!-- x -->"], RESTRICTED),
        each(
            "X02",
            "a processing instruction",
            Plain,
            &["<?foo bar?>"],
            RESTRICTED,
        ),
        each(
            "X03",
            "a DOCTYPE with an entity",
            Tcp,
            &[&entities],
            RESTRICTED,
        ),
        each(
            "X05",
            "a DOCTYPE that names a file or an address",
            Tcp,
            &[
                "<!DOCTYPE s SYSTEM \"file:///etc/passwd\"><s/>",
                "<!DOCTYPE s SYSTEM \"http://127.0.0.1:1/\"><s/>",
            ],
            RESTRICTED,
        ),
        each(
            "X06",
            "an entity nobody declared",
            Plain,
            &["<message><body>&foo;</body></message>"],
            &[Ends("restricted-xml"), Ends("not-well-formed")],
        ),
    ]
}

fn names() -> Vec<Row> {
    vec![
        each(
            "X17",
            "a second XML declaration",
            Plain,
            &["<?xml version='1.0'?>"],
            NOT_WELL_FORMED,
        ),
        each(
            "X19",
            "a prefix nobody declared",
            Bound,
            &[
                "<foo:message/>",
                "<message><a:b/></message>",
                "<message a:b='c'/>",
            ],
            &[Ends("bad-namespace-prefix"), Ends("not-well-formed")],
        ),
        each(
            "X20",
            "reserved prefixes bound, a prefix unbound",
            Bound,
            &[
                "<m xmlns:xml='u'/>",
                "<m xmlns:xmlns='u'/>",
                "<m xmlns:a=''/>",
            ],
            NOT_WELL_FORMED,
        ),
        each(
            "X28-p",
            "a second header",
            Plain,
            &[S, &S[21..]],
            SECOND_HEADER,
        ),
        each(
            "X28-a",
            "a second header",
            Bound,
            &[S, &S[21..]],
            SECOND_HEADER,
        ),
    ]
}

const SECOND_HEADER: &[super::row::Answer] = &[Ends("invalid-xml"), Ends("not-well-formed")];

fn headers() -> Vec<Row> {
    let declaration = |with: &str| header("<?xml version='1.0'?>", with);
    vec![
        each(
            "X15",
            "another encoding declared",
            Tcp,
            &[&declaration("<?xml version='1.0' encoding='iso-8859-1'?>")],
            &[Ends("unsupported-encoding")],
        ),
        each(
            "X16",
            "XML 1.1, and a standalone declaration",
            Tcp,
            &[
                &declaration("<?xml version='1.1'?>"),
                &declaration("<?xml version='1.0' standalone='no'?>"),
            ],
            &[Ends("not-well-formed"), Ends("restricted-xml")],
        ),
        each(
            "X22",
            "another stream namespace, another root",
            Tcp,
            &[
                &header("http://etherx.jabber.org/streams", "http://example.org/s"),
                "<?xml version='1.0'?><foo/>",
            ],
            &[Ends("invalid-namespace")],
        ),
        each(
            "X23",
            "a header in jabber:server on a client's port",
            Tcp,
            &[&header("jabber:client", "jabber:server")],
            &[Ends("invalid-namespace")],
        ),
    ]
}

fn header_values() -> Vec<Row> {
    let to = |with: &str| header(" to='a.test'", with);
    let version = |with: &str| header(" version='1.0'>", with);
    vec![
        each(
            "X25",
            "a header to nobody, to nothing, to no domain",
            Tcp,
            &[&to(""), &to(" to=''"), &to(" to='a b'")],
            &[Ends("improper-addressing")],
        ),
        scene("X26", "a header to a domain we do not serve", unknown_host),
        scene(
            "X27-good",
            "version 2.0, 1.1 and 1.10 are answered with 1.0",
            newer_versions,
        ),
        each(
            "X27-old",
            "version 0.9 or none: TLS and SASL need features",
            Tcp,
            &[&version(" version='0.9'>"), &version(">")],
            &[Ends("unsupported-version")],
        ),
        each(
            "X42",
            "HTTP on the client port",
            Tcp,
            &["GET / HTTP/1.1\r\n\r\n"],
            &[Ends("not-well-formed"), Ends("invalid-namespace")],
        ),
        each(
            "X45",
            "a header with a thousand attributes, or one of 20 KiB",
            Tcp,
            &[&many_attributes(), &header(" to=", &long_lang())],
            TOO_MUCH,
        ),
    ]
}

fn many_attributes() -> String {
    let attributes: String = (0..1000).map(|n| format!(" a{n}='x'")).collect();
    header(" to=", &format!("{attributes} to="))
}

fn long_lang() -> String {
    format!(" xml:lang='{}' to=", "x".repeat(20 * 1024))
}

fn scenes() -> Vec<Row> {
    vec![
        scene("X24", "a message with a prefix of its own", foreign_prefix),
        scene("X30", "markup in CDATA is text", cdata),
        scene(
            "X33",
            "what follows the closing tag is not heard",
            after_the_end,
        ),
    ]
}

fn unknown_host(stage: &Stage) -> Result<(), String> {
    let mut client = stage.client(Tcp)?;
    client.say(&header("a.test", "nope.example"));
    match client.hear() {
        Ok(Heard::Open(_)) => {}
        other => return Err(format!("no header but {other:?}")),
    }
    let error = client.expect(STREAMS, "error")?;
    must(
        error.children.iter().any(|c| c.name == "host-unknown"),
        || error.to_string(),
    )?;
    let text = error.to_string();
    must(!text.contains("a.test") && !text.contains("b.test"), || {
        format!("lists hosts: {text}")
    })
}

fn newer_versions(stage: &Stage) -> Result<(), String> {
    for version in ["2.0", "1.1", "1.10", "1.0"] {
        let mut client = stage.client(Tcp)?;
        client.say(&header(
            " version='1.0'>",
            &format!(" version='{version}'>"),
        ));
        match client.hear() {
            Ok(Heard::Open(el)) if el.attr("version") == Some("1.0") => {}
            other => return Err(format!("{version}: {other:?}")),
        }
        client.expect(STREAMS, "features")?;
    }
    Ok(())
}

fn foreign_prefix(stage: &Stage) -> Result<(), String> {
    let mut bob = stage.online("bob");
    let mut alice = stage.online("alice");
    let to = stage.bare("bob");
    alice.says(&format!(
        "<c:message xmlns:c='jabber:client' to='{to}' id='p'><c:body>whisper</c:body></c:message>"
    ));
    let pattern = format!("<message to='{to}' id='p'><body>whisper</body></message>");
    let heard = bob.waits_for(&pattern);
    let ours = heard.children.iter().filter(|c| c.ns == CLIENT).count();
    must(ours == 1, || heard.to_string())
}

fn cdata(stage: &Stage) -> Result<(), String> {
    let mut bob = stage.online("bob");
    let mut alice = stage.online("alice");
    let smuggled = "</body></message><presence type='unavailable'/>";
    alice.says(&format!(
        "<message to='{}' id='c'><body><![CDATA[{smuggled}]]></body></message>",
        stage.bare("bob")
    ));
    let heard = bob.waits_for("<message id='c'/>");
    must(heard.child_text(CLIENT, "body") == smuggled, || {
        heard.to_string()
    })?;
    alice.ping();
    bob.hears_nothing();
    Ok(())
}

fn after_the_end(stage: &Stage) -> Result<(), String> {
    let mut bob = stage.online("bob");
    let mut alice = stage.client(Bound)?;
    let to = stage.bare("bob");
    alice.say(&format!(
        "</stream:stream><message to='{to}'><body>whisper</body></message>"
    ));
    alice.closed(PATIENCE)?;
    bob.hears_nothing();
    Ok(())
}
