//! Streams from their first byte to the closing tag, cut anywhere.

mod stanzas;

use super::*;
use crate::stanza::{self, IqType, Kind, Stanza, Unreadable};

const HEADER: &str = "<?xml version='1.0'?><stream:stream to='a.test' xmlns='jabber:client' \
                      xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";

fn reader(limits: Limits) -> StreamReader {
    StreamReader::new(limits, StreamKind::Client)
}

/// All events of a text cut into pieces of this size, and the error that ended it.
fn events(
    mut reader: StreamReader,
    text: &[u8],
    piece: usize,
) -> (Vec<Event>, Option<StreamError>) {
    let mut events = Vec::new();
    for mut chunk in text.chunks(piece.max(1)) {
        loop {
            match reader.read(&mut chunk) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events, Some(error)),
            }
        }
    }
    (events, None)
}

fn condition(text: &[u8]) -> Option<StreamCondition> {
    events(reader(Limits::before_login()), text, text.len())
        .1
        .map(|error| error.condition)
}

/// The condition for a text behind the header, the same for every way of cutting it.
fn inside(text: impl AsRef<[u8]>) -> Option<StreamCondition> {
    let text = [HEADER.as_bytes(), text.as_ref()].concat();
    let whole = condition(&text);
    for piece in [1, 2, 3, 7] {
        let cut = events(reader(Limits::before_login()), &text, piece).1;
        assert_eq!(
            cut.map(|error| error.condition),
            whole,
            "{}",
            String::from_utf8_lossy(&text)
        );
    }
    whole
}

fn elements(text: &str) -> Vec<RawElement> {
    let text = format!("{HEADER}{text}");
    let (events, error) = events(reader(Limits::after_login()), text.as_bytes(), text.len());
    assert_eq!(error, None, "{text}");
    let element = |event| match event {
        Event::Element(element) => Some(element),
        _ => None,
    };
    events.into_iter().filter_map(element).collect()
}

fn stanza(text: &str) -> Result<Stanza, Unreadable> {
    elements(text)[0].to_stanza()
}

fn bytes(stanza: &Stanza) -> String {
    String::from_utf8(stanza.to_bytes().to_vec()).unwrap()
}

fn reply(text: &str) -> String {
    match stanza(text) {
        Err(Unreadable::Reply(reply)) => bytes(&reply),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn a_stream_opens_speaks_and_closes() {
    let text = format!(
        "{HEADER}\n<message id='1'><body>x</body></message> \
                        </stream:stream ><message/>"
    );
    for piece in 1..text.len() {
        let (events, error) = events(reader(Limits::before_login()), text.as_bytes(), piece);
        assert_eq!(error, None);
        let seen: Vec<&Event> = events
            .iter()
            .filter(|event| !matches!(event, Event::Whitespace))
            .collect();
        let [Event::Open(header), Event::Element(message), Event::Close] = seen[..] else {
            panic!("{events:?}");
        };
        assert_eq!(header.to.as_deref(), Some("a.test"));
        assert_eq!(header.version, Some((1, 0)));
        assert!(message.is(ns::CLIENT, "message"));
        assert_eq!(message.wire_len(), 40);
    }
}

#[test]
fn headers_that_are_wrong() {
    use StreamCondition::*;
    let header = |xmlns: &str, stream: &str| {
        format!("<stream:stream xmlns='{xmlns}' xmlns:stream='{stream}' to='a'>")
    };
    let long = format!("<stream:stream {}>", "a='1' ".repeat(40));
    let many: String = (0..40).map(|n| format!(" a{n}='1'")).collect();
    let rows: Vec<(String, Option<StreamCondition>)> = vec![
        (header(ns::CLIENT, ns::STREAM), None),
        (header(ns::SERVER, ns::STREAM), Some(InvalidNamespace)),
        (header("urn:x", ns::STREAM), Some(InvalidNamespace)),
        (header(ns::CLIENT, "urn:x"), Some(InvalidNamespace)),
        ("<foo>".into(), Some(InvalidNamespace)),
        ("<foo/>".into(), Some(InvalidNamespace)),
        ("<stream:stream>".into(), Some(BadNamespacePrefix)),
        (
            format!("<f:stream xmlns:f='{}' xmlns='{}'>", ns::STREAM, ns::CLIENT),
            Some(BadNamespacePrefix),
        ),
        (format!("<stream xmlns='{}'>", ns::STREAM), None),
        (
            format!("<stream:streams xmlns:stream='{}'>", ns::STREAM),
            Some(BadFormat),
        ),
        (
            header(ns::CLIENT, ns::STREAM).replace('>', "/>"),
            Some(BadFormat),
        ),
        (long, Some(PolicyViolation)),
        (
            header(ns::CLIENT, ns::STREAM).replace('>', &format!("{many}>")),
            Some(PolicyViolation),
        ),
        (
            header(ns::CLIENT, &"x".repeat(20_000)),
            Some(PolicyViolation),
        ),
        ("GET / HTTP/1.1\r\n\r\n".into(), Some(NotWellFormed)),
        ("</stream:stream>".into(), Some(BadFormat)),
        (
            "<!DOCTYPE x [<!ENTITY a 'lol'>]>".into(),
            Some(RestrictedXml),
        ),
        ("<!-- x -->".into(), Some(RestrictedXml)),
        ("\u{feff}<stream:stream".into(), Some(NotWellFormed)),
    ];
    for (text, expected) in rows {
        for piece in [text.len(), 1] {
            let error = events(reader(Limits::before_login()), text.as_bytes(), piece).1;
            assert_eq!(error.map(|error| error.condition), expected, "{text:.200}");
        }
    }
}

#[test]
fn declarations() {
    use StreamCondition::*;
    let rows = [
        ("<?xml version='1.0'?>", None),
        (
            "<?xml version=\"1.0\" encoding='utf-8' standalone='yes' ?>\n ",
            None,
        ),
        (
            "<?xml version='1.0' encoding='iso-8859-1'?>",
            Some(UnsupportedEncoding),
        ),
        ("<?xml version='1.1'?>", Some(NotWellFormed)),
        ("<?xml version='1.0' standalone='no'?>", Some(RestrictedXml)),
        ("<?xml version='1.0' standalone='x'?>", Some(NotWellFormed)),
        ("<?xml encoding='utf-8'?>", Some(NotWellFormed)),
        ("<?xml version='1.0' foo='bar'?>", Some(NotWellFormed)),
        ("<?xml version='1.0'encoding='utf-8'?>", Some(NotWellFormed)),
        ("<?xml?>", Some(NotWellFormed)),
        (" <?xml version='1.0'?>", Some(NotWellFormed)),
        (
            "<?xml version='1.0'?><?xml version='1.0'?>",
            Some(NotWellFormed),
        ),
        ("<?xml version='1.0'?><?foo bar?>", Some(RestrictedXml)),
        (
            "<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a 'lol'>]>",
            Some(RestrictedXml),
        ),
        ("<?foo bar?>", Some(RestrictedXml)),
        ("<?xml-stylesheet x?>", Some(RestrictedXml)),
    ];
    let header = HEADER.split_once("?>").unwrap().1;
    for (declaration, expected) in rows {
        let text = format!("{declaration}{header}");
        for piece in [text.len(), 1, 3] {
            let error = events(reader(Limits::before_login()), text.as_bytes(), piece).1;
            assert_eq!(error.map(|error| error.condition), expected, "{text}");
        }
    }
    let mut endless = reader(Limits::before_login());
    let text = format!("<?xml version='1.0' {}", " ".repeat(5_000));
    let mut chunk = text.as_bytes();
    while !chunk.is_empty() {
        if let Err(error) = endless.read(&mut chunk) {
            assert_eq!(error.condition, NotWellFormed);
            assert_eq!(endless.kept(), 0);
            return;
        }
    }
    panic!("an endless declaration was read");
}

#[test]
fn what_a_stream_must_not_carry() {
    use StreamCondition::*;
    let rows: &[(&[u8], StreamCondition)] = &[
        (b"<!-- x -->", RestrictedXml),
        (b"<?foo bar?>", RestrictedXml),
        (b"<?xml version='1.0'?>", NotWellFormed),
        (b"<!DOCTYPE x>", RestrictedXml),
        (b"<message><body>&foo;</body></message>", RestrictedXml),
        (b"<message><body>\xff</body></message>", NotWellFormed),
        (
            b"<message><body>\xe2<x/>\x82\xac</body></message>",
            NotWellFormed,
        ),
        (
            b"<message><body>\xeb\x3c\x3e</body></message>",
            NotWellFormed,
        ),
        (b"<message><body>&#xFFFE;</body></message>", NotWellFormed),
        (b"<foo:message/>", BadNamespacePrefix),
        (b"<m foo:a='1'/>", BadNamespacePrefix),
        (b"<m xmlns:xml='u'/>", NotWellFormed),
        (b"<m xmlns:xmlns='u'/>", NotWellFormed),
        (b"<m xmlns:a=''/>", NotWellFormed),
        (b"<m xmlns='a' xmlns='b'/>", NotWellFormed),
        (b"<m xmlns:a='u' xmlns:b='u' a:x='' b:x=''/>", NotWellFormed),
        (b"<m xmlns='http://www.w3.org/2000/xmlns/'/>", NotWellFormed),
        (b"<a></b>", NotWellFormed),
        (b"</a>", NotWellFormed),
        (b"</stream>", NotWellFormed),
        (b"text", BadFormat),
        (b"&amp;", BadFormat),
        (b"\x01", NotWellFormed),
        (b"<![CDATA[x]]>", NotWellFormed),
        (b"<stream:stream to='a.test'>", InvalidXml),
        (b"<stream:stream/>", InvalidXml),
    ];
    for (text, expected) in rows {
        assert_eq!(
            inside(text),
            Some(*expected),
            "{}",
            String::from_utf8_lossy(text)
        );
    }
    assert_eq!(
        inside(format!("<m>{}", "<a/>".repeat(45_000))),
        Some(PolicyViolation)
    );
    assert_eq!(
        inside(format!("<{}/>", "a".repeat(65_536))),
        Some(PolicyViolation)
    );
    assert_eq!(
        inside(format!("<m a='{}'/>", "a".repeat(266_240))),
        Some(PolicyViolation)
    );
    assert_eq!(inside(" ".repeat(10_240)), None);
    assert_eq!(inside(" ".repeat(10_241)), Some(PolicyViolation));
}

/// A wrong end tag is told when it comes, in whatever pieces: nothing is swallowed behind it.
#[test]
fn an_end_tag_has_the_name_of_its_element() {
    for text in [
        "<message><body></message>",
        "<message><body>x</bodY>",
        "<a:b xmlns:a='u'><c/></a:c>",
        "<p><q ></p >",
        "<äb></äc>",
    ] {
        assert_eq!(inside(text), Some(StreamCondition::NotWellFormed), "{text}");
    }
}

#[test]
fn an_idle_reader_is_small_and_keeps_nothing() {
    assert!(
        size_of::<StreamReader>() <= 136,
        "{}",
        size_of::<StreamReader>()
    );
    let mut reader = reader(Limits::after_login());
    let text = format!("{HEADER}<message><body>x</body>");
    let mut chunk = text.as_bytes();
    while reader.read(&mut chunk).unwrap().is_some() {}
    assert_eq!(reader.kept(), "<message><body>x</body>".len());
    assert!(!reader.idle());
    let mut chunk: &[u8] = b"</message>";
    assert!(matches!(
        reader.read(&mut chunk),
        Ok(Some(Event::Element(_)))
    ));
    assert_eq!(
        (reader.kept(), reader.tail.capacity(), reader.idle()),
        (0, 0, true)
    );
}

#[test]
fn a_stream_that_restarts_wants_a_header_again() {
    let mut reader = reader(Limits::before_login());
    let text = format!("{HEADER}<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    let mut chunk = text.as_bytes();
    while reader.read(&mut chunk).unwrap().is_some() {}
    reader.restart();
    let text = format!("\n{HEADER}<presence/>");
    let mut chunk = text.as_bytes();
    assert!(matches!(
        reader.read(&mut chunk),
        Ok(None | Some(Event::Open(_)))
    ));
    let mut seen = 0;
    while let Some(event) = reader.read(&mut chunk).unwrap() {
        seen += usize::from(matches!(event, Event::Element(_)));
    }
    assert_eq!(seen, 1);
}

#[test]
fn the_size_limit_is_exact_and_an_oversized_stanza_goes_by() {
    let limits = Limits {
        bytes: 1_000,
        skip_up_to: 5_000,
        ..Limits::after_login()
    };
    let message = |length: usize| {
        let (head, foot) = (
            "<message to='bob@a.test' id='x1'><body>",
            "</body></message>",
        );
        let unit = "ä&amp;]]";
        let body = unit.repeat((length - head.len() - foot.len()) / unit.len());
        let fill = length - head.len() - foot.len() - body.len();
        format!("{head}{body}{}{foot}", "x".repeat(fill))
    };
    for (length, expected) in [
        (1_000, "element"),
        (1_001, "oversized"),
        (5_000, "oversized"),
    ] {
        let text = format!("{HEADER}{}<presence/>", message(length));
        for piece in [1, 2, 3, 5, 16, 100, 999, 4_096, text.len()] {
            let (events, error) = events(reader(limits), text.as_bytes(), piece);
            assert_eq!(error, None, "{length} in pieces of {piece}");
            let [Event::Open(_), event, Event::Element(_)] = &events[..] else {
                panic!("{length} in pieces of {piece}: {events:?}");
            };
            match event {
                Event::Element(element) if expected == "element" => {
                    assert_eq!(element.wire_len(), length)
                }
                Event::Oversized(skipped) if expected == "oversized" => {
                    assert_eq!(skipped.len, length, "in pieces of {piece}");
                    assert_eq!(skipped.id.as_deref(), Some("x1"));
                    let reply = bytes(&skipped.reply().unwrap());
                    assert!(reply.starts_with("<message from='bob@a.test' id='x1' type='error'>"));
                    assert!(reply.contains("<stanza-too-big xmlns='urn:xmpp:errors'/>"));
                }
                other => panic!("{other:?}"),
            }
        }
    }
    for text in [
        message(5_001),
        format!("<message id='{}'/>", "x".repeat(1_000)),
    ] {
        let text = format!("{HEADER}{text}");
        for piece in [1, 100, text.len()] {
            let error = events(reader(limits), text.as_bytes(), piece).1.unwrap();
            assert_eq!(error.condition, StreamCondition::PolicyViolation);
        }
    }
}

#[test]
fn a_skipped_stanza_keeps_no_more_than_its_limit() {
    let limits = Limits {
        bytes: 1_000,
        ..Limits::after_login()
    };
    let mut reader = reader(limits);
    let text = format!("{HEADER}<iq id='1'><a>{}", "<b/>&amp;ä".repeat(100_000));
    for mut chunk in text.as_bytes().chunks(16_384) {
        while reader.read(&mut chunk).unwrap().is_some() {}
        assert!(reader.kept() < 64, "{}", reader.kept());
    }
}

#[test]
fn a_websocket_carries_each_element_alone() {
    let mut reader = StreamReader::new(Limits::after_login(), StreamKind::WebSocket);
    let mut chunk: &[u8] =
        b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='a.test' version='1.0'/>";
    let Ok(Some(Event::Open(header))) = reader.read(&mut chunk) else {
        panic!()
    };
    assert_eq!(
        (header.to.as_deref(), header.version),
        (Some("a.test"), Some((1, 0)))
    );
    let mut chunk: &[u8] = b"<message xmlns='jabber:client'><body>x</body></message>";
    let Ok(Some(Event::Element(element))) = reader.read(&mut chunk) else {
        panic!()
    };
    let stanza = element.to_stanza().unwrap();
    assert_eq!(bytes(&stanza), "<message><body>x</body></message>");
    let mut chunk: &[u8] = b"<!DOCTYPE open []>";
    let error = reader.read(&mut chunk).unwrap_err();
    assert_eq!(error.condition, StreamCondition::RestrictedXml);
}
