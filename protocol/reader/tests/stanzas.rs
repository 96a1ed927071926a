//! From elements to stanzas, and the answers to those that are none.

use super::*;
use crate::error::{Condition, StanzaError};

#[test]
fn prefixes_of_the_sender_do_not_travel() {
    // RFC 6120 §4.8.5.
    let text = "<c:message xmlns:c='jabber:client' to='bob@a.test' id='p'><c:body>x</c:body>\
                <c:y xmlns='urn:z' c:q='1'/></c:message>";
    let read = bytes(&stanza(text).unwrap());
    let wanted = "<message to='bob@a.test' id='p'><body>x</body>\
                  <y xmlns:ns0='jabber:client' ns0:q='1'/></message>";
    assert_eq!(read, wanted);
    // The header's own prefix, and another default namespace on the stanza.
    let text = "<message><stream:x/></message>";
    let read = stanza(text).unwrap();
    assert_eq!(read.children()[0].ns, ns::STREAM);
    let text = "<c:message xmlns:c='jabber:client' xmlns='urn:y'><a/>t</c:message>";
    assert_eq!(
        bytes(&stanza(text).unwrap()),
        "<message><a xmlns='urn:y'/>t</message>"
    );
}

#[test]
fn what_needs_no_change_is_not_changed() {
    let text = "<message to='bob@a.test' type='chat'> <body>a<![CDATA[</body>]]>&#13;</body>\
                <x:y xmlns:x='u' x:a='b'  ></x:y><a xmlns=''/></message>";
    assert_eq!(bytes(&stanza(text).unwrap()), text);
    let read = stanza(text).unwrap();
    assert_eq!(read.child(ns::CLIENT, "body").unwrap().text(), "a</body>\r");
    assert!(read.has("u", "y") && read.has("", "a"));
}

#[test]
fn attributes_nobody_knows_are_carried_without_their_namespaces() {
    let text = "<message b='&lt;' xmlns:p='u' p:c='1' to='bob@a.test' xml:lang='de'/>";
    let wanted = "<message to='bob@a.test' xml:lang='de' b='&lt;'/>";
    assert_eq!(bytes(&stanza(text).unwrap()), wanted);
}

#[test]
fn stanzas_between_servers_are_shown_in_the_clients_namespace() {
    let header = "<stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' \
                  xmlns:stream='http://etherx.jabber.org/streams'>";
    let read = |text: &str| {
        let text = format!("{header}{text}");
        let reader = StreamReader::new(Limits::between_servers(), StreamKind::Server);
        let (events, error) = events(reader, text.as_bytes(), 10);
        assert_eq!(error, None);
        match &events[1] {
            Event::Element(element) => element.to_stanza(),
            other => panic!("{other:?}"),
        }
    };
    let addresses = "from='x@e.test' to='bob@a.test'";
    let plain = read(&format!("<message {addresses}><body>x</body></message>")).unwrap();
    assert!(plain.has(ns::CLIENT, "body"));
    assert_eq!(plain.child(ns::CLIENT, "body").unwrap().text(), "x");
    let marked = format!("<message {addresses}><body xmlns='jabber:server'>x</body></message>");
    assert!(bytes(&read(&marked).unwrap()).contains("<body>x</body>"));
    let prefixed = read(&format!("<message {addresses}><db:x/></message>")).unwrap();
    assert!(bytes(&prefixed).contains("<x xmlns='jabber:server:dialback'/>"));
    let improper = |text: &str| match read(text) {
        Err(Unreadable::Stream(error)) => error.condition == StreamCondition::ImproperAddressing,
        _ => false,
    };
    assert!(improper("<message to='bob@a.test'/>"));
    assert!(improper("<message from='x@e.test'/>"));
    assert!(improper("<message from='x@e.test' to=''/>"));
    assert!(improper("<message from='e test' to='bob@a.test'/>"));
    assert!(matches!(
        read("<message from='@e.test' to='bob@a.test'/>"),
        Err(Unreadable::Ignore)
    ));
}

#[test]
fn malformed_stanzas_get_the_answer_of_the_specification() {
    let modify = |condition: &str| {
        format!(
            "<error type='modify'><{condition} xmlns='{}'/></error>",
            ns::STANZAS
        )
    };
    let bad = modify("bad-request");
    // RFC 6120 §8.2.3.
    let rows = [
        ("<iq type='get'><a xmlns='u'/></iq>", "id=''"),
        ("<iq id='1'><a xmlns='u'/></iq>", "id='1'"),
        ("<iq id='1' type='foo'><a xmlns='u'/></iq>", "id='1'"),
        ("<iq id='1' type='get'/>", "id='1'"),
        (
            "<iq id='1' type='set'><a xmlns='u'/><b xmlns='u'/></iq>",
            "id='1'",
        ),
    ];
    for (text, id) in rows {
        assert_eq!(
            reply(text),
            format!("<iq {id} type='error'>{bad}</iq>"),
            "{text}"
        );
    }
    assert_eq!(
        reply("<presence to='bob@a.test' type='zzz'/>"),
        format!("<presence from='bob@a.test' type='error'>{bad}</presence>")
    );
    // RFC 6120 §8.3.1: the bad address is not repeated.
    for to in ["@a.test", "a@", "a@b@c", "a.test/", "", "a b"] {
        let jid = modify("jid-malformed");
        let wanted = format!("<message id='m' type='error'>{jid}</message>");
        assert_eq!(
            reply(&format!("<message id='m' to='{to}'/>")),
            wanted,
            "{to}"
        );
    }
    let odd = stanza("<message type='zzz'><body/></message>").unwrap();
    assert_eq!(odd.kind, Kind::Message(stanza::MessageType::Normal));
    let result = stanza("<iq type='result' id='1'/>").unwrap();
    assert_eq!(result.kind, Kind::Iq(IqType::Result));
}

#[test]
fn nobody_answers_errors_and_results() {
    let rows = [
        "<iq type='result' id='1'><a xmlns='u'/><b xmlns='u'/></iq>",
        "<iq type='result'/>",
        "<iq type='error' id='1' to='@'><error/></iq>",
    ];
    for text in rows {
        assert!(matches!(stanza(text), Err(Unreadable::Ignore)), "{text}");
    }
}

/// RFC 6121 §8.5.3.1: the server need not understand an error to deliver it.
#[test]
fn errors_that_say_nothing_are_read_and_not_answered() {
    let rows = [
        "<iq type='error' id='1'/>",
        "<message type='error'><body/></message>",
        "<presence type='error'/>",
    ];
    for text in rows {
        let stanza = stanza(text).unwrap();
        assert!(stanza.is_error() && stanza.error().is_none(), "{text}");
        let answer = stanza.error_reply(&StanzaError::new(Condition::BadRequest));
        assert!(answer.is_none(), "{text}");
    }
}

#[test]
fn what_is_no_stanza_ends_the_stream() {
    use StreamCondition::*;
    let rows = [
        ("<foo xmlns='urn:x'/>", UnsupportedStanzaType),
        ("<foo/>", UnsupportedStanzaType),
        ("<message xmlns='urn:x'/>", UnsupportedStanzaType),
        ("<message xmlns='jabber:server'/>", InvalidNamespace),
        ("<pubsub xmlns='jabber:client'/>", UnsupportedStanzaType),
    ];
    for (text, expected) in rows {
        match stanza(text) {
            Err(Unreadable::Stream(error)) => assert_eq!(error.condition, expected, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
}
