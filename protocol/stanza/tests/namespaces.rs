//! Stanzas that go from a stream of one content namespace to one of another (RFC 6120 §4.8.3).

use proptest::prelude::*;

use crate::framer::Limits;
use crate::ns;
use crate::reader::{Event, RawElement, StreamKind, StreamReader};
use crate::stanza::{MessageType, Stanza};
use crate::xml::{Element, Node, escape_attr, escape_text};

const KINDS: [StreamKind; 3] = [
    StreamKind::Client,
    StreamKind::Server,
    StreamKind::Component,
];

/// The one element behind a usual header.
fn over(kind: StreamKind, text: &str) -> RawElement {
    let header = format!(
        "<stream:stream xmlns='{}' xmlns:stream='{}' xmlns:db='{}'>",
        kind.content(),
        ns::STREAM,
        ns::DIALBACK
    );
    let stream = header + text;
    let mut reader = StreamReader::new(Limits::between_servers(), kind);
    let mut chunk = stream.as_bytes();
    let mut last = None;
    while let Some(event) = reader.read(&mut chunk).expect(text) {
        last = Some(event);
    }
    match last {
        Some(Event::Element(element)) => element,
        other => panic!("{text}: {other:?}"),
    }
}

fn stanza(kind: StreamKind, text: &str) -> Stanza {
    let stanza = over(kind, text).to_stanza();
    stanza.unwrap_or_else(|fault| panic!("{text}: {fault:?}"))
}

fn written(stanza: &Stanza, kind: StreamKind) -> String {
    let mut out = Vec::new();
    stanza.write_for(&mut out, kind.content());
    String::from_utf8(out).unwrap()
}

fn message(inside: &str) -> String {
    format!("<message to='b@b.test' from='a@a.test'>{inside}</message>")
}

#[test]
fn what_says_nothing_follows_the_stream() {
    let usual = message(
        "<body>jabber:client</body><x xmlns='u'/><forwarded xmlns='urn:xmpp:forward:0'>\
         <message xmlns='jabber:client'><body>x</body></message></forwarded>",
    );
    for from in KINDS {
        for to in KINDS {
            let read = stanza(from, &usual);
            assert!(read.has(ns::CLIENT, "body"));
            assert!(!read.names_client());
            assert_eq!(written(&read, to), usual);
        }
    }
}

#[test]
fn what_names_the_clients_namespace_itself_follows_all_the_same() {
    let rows = [
        "<body xmlns='jabber:client'>x</body>",
        "<c:body xmlns:c='jabber:client'>x</c:body>",
        "<body xmlns='jabber&#58;client'>x</body>",
    ];
    for row in rows {
        let read = stanza(StreamKind::Client, &message(row));
        assert_eq!(read.child(ns::CLIENT, "body").unwrap().text(), "x");
        let wanted = message("<body>x</body>");
        assert_eq!(written(&read, StreamKind::Server), wanted, "{row}");
    }
    let deeper = "<body><a/><x xmlns='jabber:client'>y</x></body>";
    let read = stanza(StreamKind::Client, &message(deeper));
    let wanted = message("<body><a/><x>y</x></body>");
    assert_eq!(written(&read, StreamKind::Server), wanted);
}

/// The prefix ends with the child, as does what it stands for.
#[test]
fn prefixes_of_the_content_namespace_do_not_travel() {
    let text = message("<s:body xmlns:s='jabber:server'>x</s:body>");
    let read = stanza(StreamKind::Server, &text);
    assert_eq!(read.child(ns::CLIENT, "body").unwrap().text(), "x");
    assert_eq!(
        written(&read, StreamKind::Client),
        message("<body>x</body>")
    );
}

/// Below what is foreign a part of the content namespace is foreign, too, and stays what it is.
#[test]
fn what_is_cut_off_by_a_prefix_stays() {
    let text = message("<p:x xmlns:p='u'><y/></p:x>");
    let read = stanza(StreamKind::Client, &text);
    let wanted = message("<x xmlns='u'><y xmlns='jabber:client'/></x>");
    assert_eq!(written(&read, StreamKind::Server), wanted);
    let read = stanza(StreamKind::Server, &text);
    let wanted = message("<x xmlns='u'><y xmlns='jabber:server'/></x>");
    assert_eq!(written(&read, StreamKind::Client), wanted);
}

#[test]
fn components_say_from_whom_and_to_whom() {
    for text in ["<message to='b@b.test'/>", "<message from='a@a.test'/>"] {
        assert!(over(StreamKind::Component, text).to_stanza().is_err());
        assert!(over(StreamKind::Client, text).to_stanza().is_ok());
    }
}

/// An element below a stanza: no `jabber:server` where it would follow the stanza, since there it
/// cannot be told from the stream's own.
fn any_element() -> impl Strategy<Value = Element> {
    let ns = prop::sample::select(vec!["jabber:client", "jabber:server", "u", ""]);
    let head = (ns, "[a-c]{1,2}", "[<&x]{0,2}", any::<bool>());
    let bare = head.prop_map(|(ns, name, text, marked)| {
        let element = Element::new(ns, name).with_text(text);
        match marked {
            true => element.with_attr("a", "jabber:client"),
            false => element,
        }
    });
    bare.prop_recursive(4, 24, 3, |inner| {
        let children = prop::collection::vec(inner, 1..3);
        (
            "[a-c]",
            prop::sample::select(vec!["jabber:client", "u"]),
            children,
        )
            .prop_map(|(name, ns, inside)| Element::new(ns, name).with_children(inside))
    })
}

fn any_message() -> impl Strategy<Value = Stanza> {
    prop::collection::vec(any_element(), 0..4).prop_map(|children| {
        let mut stanza = Stanza::message(MessageType::Normal)
            .with_to(crate::jid::Jid::parse("b@b.test").unwrap())
            .with_from(crate::jid::Jid::parse("a@a.test").unwrap());
        children
            .iter()
            .for_each(|child| stanza.append(&sound(child, true)));
        stanza
    })
}

fn sound(element: &Element, follows: bool) -> Element {
    let ns = match element.ns() {
        ns::SERVER if follows => "v",
        ns => ns,
    };
    let mut copy = Element::new(ns, element.name());
    for held in element.attributes() {
        copy.set_attr(&held.name, &held.value);
    }
    for node in element.nodes() {
        match node {
            Node::Text(text) => copy.push_text(text),
            Node::Element(child) => copy.push(sound(child, follows && ns == ns::CLIENT)),
        }
    }
    copy
}

/// Spells an element in one of the many ways that mean the same.
fn spell(element: &Element, default: &str, dice: &mut u64, out: &mut Vec<u8>) {
    *dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    let ns = element.ns();
    let (prefix, declared) = match (*dice >> 33) % 4 {
        1 if ns != default => ("", format!(" xmlns='{ns}'")),
        1 => ("", format!(" xmlns='{}'", ns.replace(':', "&#58;"))),
        2 if !ns.is_empty() => ("p:", format!(" xmlns:p='{ns}'")),
        3 => ("", format!(" xmlns='{ns}'")),
        _ if ns == default => ("", String::new()),
        _ => ("", format!(" xmlns='{ns}'")),
    };
    let inner = if prefix.is_empty() { ns } else { default };
    let name = element.name();
    out.extend_from_slice(format!("<{prefix}{name}{declared}").as_bytes());
    for held in element.attributes() {
        out.extend_from_slice(format!(" {}='", held.name).as_bytes());
        escape_attr(&held.value, out);
        out.push(b'\'');
    }
    out.push(b'>');
    for node in element.nodes() {
        match node {
            Node::Text(text) => escape_text(text, out),
            Node::Element(child) => spell(child, inner, dice, out),
        }
    }
    out.extend_from_slice(format!("</{prefix}{name}>").as_bytes());
}

proptest! {
    /// However it is spelled and whichever way it goes: on the wire the stanza and what follows it
    /// are in the stream's namespace and all else where it was, and back it is what it was.
    #[test]
    fn a_round_trip_keeps_what_was_said(message in any_message(), seed in any::<u64>()) {
        let wanted = message.to_element();
        let mut dice = seed;
        for from in KINDS {
            let mut sent = wanted.clone();
            sent.rescope(ns::CLIENT, from.content());
            let mut text = Vec::new();
            spell(&sent, from.content(), &mut dice, &mut text);
            let text = String::from_utf8(text).unwrap();
            let read = stanza(from, &text);
            prop_assert_eq!(&read.to_element(), &wanted, "{}", text);
            for child in read.children() {
                let element = read.read(child).unwrap();
                prop_assert_eq!(element.ns(), child.ns.as_str(), "{}", text);
            }
            for to in KINDS {
                let bytes = written(&read, to);
                let mut moved = wanted.clone();
                moved.rescope(ns::CLIENT, to.content());
                prop_assert_eq!(&over(to, &bytes).to_element(), &moved, "{} {}", text, bytes);
                prop_assert_eq!(&stanza(to, &bytes).to_element(), &wanted, "{} {}", text, bytes);
            }
        }
    }
}
