//! Stanzas built, written, read back and answered.

mod namespaces;

use super::*;
use crate::error::Condition;

fn body(text: &str) -> Element {
    Element::new(ns::CLIENT, "body").with_text(text)
}

fn written(stanza: &Stanza) -> String {
    String::from_utf8(stanza.to_bytes().to_vec()).unwrap()
}

#[test]
fn a_stanza_is_built_written_and_read_back() {
    let stanza = Stanza::message(MessageType::Chat)
        .with_to(Jid::parse("bob@a.test").unwrap())
        .with_id("<1>")
        .with_child(&body("a & b"))
        .with_child(&Element::new(ns::RECEIPTS, "request"));
    let text = "<message to='bob@a.test' id='&lt;1&gt;' type='chat'><body>a &amp; b</body>\
                <request xmlns='urn:xmpp:receipts'/></message>";
    assert_eq!(written(&stanza), text);
    let mut read = Stanza::parse_stored(stanza.to_bytes()).unwrap();
    assert_eq!(written(&read), text);
    assert_eq!(read.child(ns::CLIENT, "body"), Some(body("a & b")));
    assert!(read.has(ns::RECEIPTS, "request"));
    read.retain_children(|child| !child.is(ns::CLIENT, "body"));
    assert!(written(&read).ends_with("'chat'><request xmlns='urn:xmpp:receipts'/></message>"));
    assert_eq!(
        read.child(ns::RECEIPTS, "request").unwrap().name(),
        "request"
    );
}

#[test]
fn an_error_reply_swaps_the_addresses_and_keeps_the_id() {
    let request = Stanza::iq(IqType::Get, "x")
        .with_from(Jid::parse("alice@a.test/1").unwrap())
        .with_to(Jid::parse("a.test").unwrap());
    let reply = request
        .error_reply(&Condition::ServiceUnavailable.into())
        .unwrap();
    assert_eq!(
        written(&reply),
        "<iq to='alice@a.test/1' from='a.test' id='x' type='error'><error type='cancel'>\
         <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
    );
    assert_eq!(reply.error(), Some(Condition::ServiceUnavailable.into()));
    assert!(reply.error_reply(&Condition::BadRequest.into()).is_none());
}
