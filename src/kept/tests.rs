//! Ids, records, and what messages are worth.

use super::*;
use rookery_storage::record::{decode, encode};

fn message(kind: &str, inside: &str) -> Stanza {
    let text = format!("<message to='b@d.test' from='a@d.test/x' {kind}>{inside}</message>");
    Stanza::parse_stored(text.into()).unwrap()
}

#[test]
fn ids_name_rows_and_rows_ids() {
    let id = MessageId::new(5 << 16 | 3);
    let key = id.key(AccountId(9), Place::Waiting);
    assert_eq!(key.len(), 4 + 1 + 16);
    assert_eq!(MessageId::of_key(&key), Some((Place::Waiting, id)));
    assert_eq!(MessageId::of_key(&key[..20]), None);
    assert_eq!(
        MessageId::of_key(&keys::row(AccountId(9), Kind(9), &id.bytes())),
        None
    );
    assert_eq!(MessageId::parse(&id.to_text()), Some(id));
    assert_eq!(id.time(), 5);
}

#[test]
fn what_is_no_id_is_refused() {
    let id = MessageId::new(1).to_text();
    for text in [
        "",
        "x",
        &id[1..],
        &id.to_uppercase().replace('0', "A"),
        "' OR 1=1 --",
    ] {
        assert_eq!(MessageId::parse(text), None, "{text}");
    }
    assert_eq!(MessageId::parse(&format!("+{}", &id[1..])), None);
}

#[test]
fn later_ids_are_greater_and_none_can_be_guessed() {
    let (a, b, c) = (MessageId::new(1), MessageId::new(2), MessageId::new(2));
    assert!(a < b && a < c);
    assert_ne!(b, c);
    let key = |id: MessageId| id.key(AccountId(1), Place::Archive);
    assert!(key(a) < key(b) && key(a) < key(c));
}

#[test]
fn stamps_rise_while_the_clock_falls_and_stands() {
    let mut stamps = Stamps::default();
    let given = [100, 100, 90, 101, 0].map(|now| stamps.next(now));
    assert!(given.is_sorted_by(|a, b| a < b));
    assert_eq!(given.map(|stamp| stamp >> 16), [100, 100, 100, 101, 101]);
    stamps.pass(200);
    assert_eq!(stamps.next(150) >> 16, 201);
}

/// If this fails, the format on every disk out there has changed: raise the version instead.
#[test]
fn golden_bytes() {
    let stanza = message("type='chat'", "<body>hi</body>");
    let record = Message::incoming(&stanza).unwrap();
    let bytes = encode(&record).unwrap();
    let text = b"<message to='b@d.test' from='a@d.test/x' type='chat'><body>hi</body></message>";
    let golden = [&[1, 0, 10][..], b"a@d.test/x", &[text.len() as u8], text].concat();
    assert_eq!(bytes, golden);
    let back = decode::<Message>(&golden).unwrap();
    assert_eq!(back, record);
    assert_eq!(back.into_stanza().unwrap().to_bytes(), stanza.to_bytes());
}

/// Attributes, children, and what they are worth together.
const WORTHS: &[(&str, &str, Worth)] = &[
    ("", "<body>x</body>", Worth::Lasting),
    ("type='chat'", "<body>x</body>", Worth::Lasting),
    ("type='groupchat'", "<body>x</body>", Worth::Passing),
    ("type='headline'", "<body>x</body>", Worth::Passing),
    (
        "type='error'",
        "<body>x</body><store xmlns='urn:xmpp:hints'/>",
        Worth::Passing,
    ),
    (
        "type='groupchat'",
        "<store xmlns='urn:xmpp:hints'/>",
        Worth::Passing,
    ),
    (
        "type='headline'",
        "<store xmlns='urn:xmpp:hints'/>",
        Worth::Lasting,
    ),
    ("", "<store xmlns='urn:xmpp:hints'/>", Worth::Lasting),
    (
        "",
        "<body>x</body><no-store xmlns='urn:xmpp:hints'/>",
        Worth::Passing,
    ),
    (
        "",
        "<body>x</body><no-permanent-store xmlns='urn:xmpp:hints'/>",
        Worth::Waiting,
    ),
    (
        "",
        "<store xmlns='urn:xmpp:hints'/><b xmlns='u'/><no-store xmlns='urn:xmpp:hints'/>",
        Worth::Passing,
    ),
    (
        "",
        "<composing xmlns='http://jabber.org/protocol/chatstates'/>",
        Worth::Trifle,
    ),
    (
        "type='chat'",
        "<active xmlns='http://jabber.org/protocol/chatstates'/><thread>t</thread>\
             <no-store xmlns='urn:xmpp:hints'/>",
        Worth::Trifle,
    ),
    (
        "type='chat'",
        "<active xmlns='http://jabber.org/protocol/chatstates'/><body>x</body>",
        Worth::Lasting,
    ),
    (
        "",
        "<received xmlns='urn:xmpp:receipts' id='1'/>",
        Worth::Lasting,
    ),
    (
        "",
        "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>",
        Worth::Lasting,
    ),
    (
        "",
        "<encrypted xmlns='eu.siacs.conversations.axolotl'/>",
        Worth::Lasting,
    ),
    ("", "<encrypted xmlns='urn:xmpp:omemo:2'/>", Worth::Lasting),
    (
        "",
        "<x xmlns='jabber:x:conference' jid='r@d.test'/>",
        Worth::Lasting,
    ),
    (
        "",
        "<x xmlns='http://jabber.org/protocol/muc#user'><invite from='a@d.test'/></x>",
        Worth::Lasting,
    ),
    (
        "",
        "<x xmlns='http://jabber.org/protocol/muc#user'><status code='1'/></x>",
        Worth::Waiting,
    ),
    ("", "<unknown xmlns='urn:example'/>", Worth::Waiting),
    ("", "", Worth::Trifle),
];

#[test]
fn what_messages_are_worth() {
    for (kind, inside, expected) in WORTHS {
        assert_eq!(worth(&message(kind, inside)), *expected, "{kind} {inside}");
    }
    let presence = Stanza::parse_stored("<presence><body>x</body></presence>".to_owned().into());
    assert_eq!(worth(&presence.unwrap()), Worth::Passing);
}
