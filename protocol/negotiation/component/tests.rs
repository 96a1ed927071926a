//! Components that connect, from their bytes to ours.

use super::*;
use crate::framer::Limits;
use crate::reader::{self, StreamKind, StreamReader};

const OPEN: &str = "<?xml version='1.0'?><stream:stream to='Bridge.A.test' \
                    xmlns='jabber:component:accept' \
                    xmlns:stream='http://etherx.jabber.org/streams'>";
const ID: &str = "AAAAAAAAAAAAAAAAAAAAAAAA";
const SECRET: &str = "s3cr3t";

/// What is done about these bytes, and the machine afterwards. An [`Action::Attach`] is answered
/// with `attached`.
fn play(text: &str, attached: Option<StreamCondition>) -> (Vec<String>, Component) {
    let known = Known {
        name: "bridge.a.test".into(),
        secret: Secret::new(SECRET).unwrap(),
    };
    let settings = Settings { known: vec![known] };
    let mut component = Component::new(Arc::new(settings));
    let mut reader = StreamReader::new(Limits::before_login(), StreamKind::Component);
    let (mut chunk, mut done) = (text.as_bytes(), Vec::new());
    loop {
        let event = match reader.read(&mut chunk) {
            Ok(None) => return (done, component),
            Ok(Some(reader::Event::Open(header))) => Event::Open(header),
            Ok(Some(reader::Event::Element(element))) => Event::Element(element.to_element()),
            Ok(Some(reader::Event::Close)) => Event::Close,
            Ok(Some(_)) => Event::Whitespace,
            Err(error) => Event::Fail(error),
        };
        perform(&mut component, event, attached, &mut done);
    }
}

fn perform(
    component: &mut Component,
    event: Event,
    attached: Option<StreamCondition>,
    done: &mut Vec<String>,
) {
    for action in component.handle(event, &mut |bytes: &mut [u8]| bytes.fill(0)) {
        let shown = match action {
            Action::Write(bytes) => shorten(&String::from_utf8(bytes).unwrap()),
            Action::CountFailure => "count failure".into(),
            Action::Established(name) => format!("established {name}"),
            Action::Close(None) => "close".into(),
            Action::Close(Some(error)) => format!("close {}", error.condition.as_str()),
            Action::Attach(name) => {
                done.push(format!("attach {name}"));
                assert!(component.waiting());
                let answer = match attached {
                    None => Ok(()),
                    Some(condition) => Err(condition.into()),
                };
                perform(component, Event::Attached(answer), attached, done);
                continue;
            }
        };
        done.push(shown);
    }
}

fn shorten(written: &str) -> String {
    let rows = [
        ("<?xml version='1.0'?><stream:stream", "<open"),
        (
            " xml:lang='en' xmlns='jabber:component:accept' \
             xmlns:stream='http://etherx.jabber.org/streams'",
            "",
        ),
        (" xmlns='urn:ietf:params:xml:ns:xmpp-streams'", ""),
        ("</stream:stream>", "</open>"),
    ];
    let text = written.to_owned();
    rows.into_iter()
        .fold(text, |text, (long, short)| text.replace(long, short))
}

fn handshake(secret: &str) -> String {
    let digits = Secret::new(secret).unwrap().handshake(ID);
    format!("<handshake>\n{digits}\n</handshake>")
}

fn header() -> String {
    format!("<open from='bridge.a.test' id='{ID}'>")
}

fn error(condition: &str) -> [String; 2] {
    [
        format!("<stream:error><{condition}/></stream:error></open>"),
        format!("close {condition}"),
    ]
}

/// XEP-0114 §3; the digest of `abc` is that of FIPS 180.
#[test]
fn the_handshake_is_a_hash_of_id_and_secret() {
    let secret = Secret::new("secret").unwrap();
    let digest = Hash::Sha1.digest(b"3BF96D32secret");
    assert_eq!(secret.handshake("3BF96D32"), hex(&digest));
    assert_eq!(
        hex(&Hash::Sha1.digest(b"abc")),
        "a9993e364706816aba3e25717850c26c9cd0d89d"
    );
}

#[test]
fn the_whole_way() {
    let text = format!("{OPEN}{}", handshake(SECRET));
    let (done, component) = play(&text, None);
    let attach = [
        "attach bridge.a.test",
        "<handshake/>",
        "established bridge.a.test",
    ];
    assert_eq!(done, [&[header().as_str()][..], &attach].concat());
    let admits = |from: &str| {
        let jid = Jid::parse(from).unwrap();
        component.admits(&jid).map_err(|error| error.condition)
    };
    for own in ["bridge.a.test", "x@bridge.a.test/r", "X@BRIDGE.a.test."] {
        assert_eq!(admits(own), Ok(()), "{own}");
    }
    let others = ["a.test", "x@a.test", "sub.bridge.a.test", "xbridge.a.test"];
    for other in others {
        assert_eq!(admits(other), Err(StreamCondition::InvalidFrom), "{other}");
    }
}

#[test]
fn who_does_not_know_the_secret_stays_outside() {
    for handshake in [
        handshake("s3cr3"),
        "<handshake/>".to_owned(),
        handshake(SECRET)
            .to_uppercase()
            .replace("HANDSHAKE", "handshake"),
    ] {
        let (done, component) = play(&format!("{OPEN}{handshake}{handshake}"), None);
        let failed = [
            vec![header(), "count failure".into()],
            error("not-authorized").into(),
        ];
        assert_eq!(done, failed.concat(), "{handshake}");
        let jid = Jid::parse("bridge.a.test").unwrap();
        let refused = component.admits(&jid).map_err(|error| error.condition);
        assert_eq!(refused, Err(StreamCondition::NotAuthorized));
    }
    assert!(Secret::new("").is_none());
    assert_eq!(format!("{:?}", Secret::new("x")), "Some(Secret)");
}

#[test]
fn one_stream_at_a_time_where_the_engine_says_so() {
    let text = format!("{OPEN}{}", handshake(SECRET));
    let (done, _) = play(&text, Some(StreamCondition::Conflict));
    let wanted = [
        vec![header(), "attach bridge.a.test".into()],
        error("conflict").into(),
    ];
    assert_eq!(done, wanted.concat());
}

#[test]
fn what_is_wrong_is_said_behind_a_header() {
    let with = |to: &str| OPEN.replace("to='Bridge.A.test'", to);
    let client = OPEN.replace("jabber:component:accept", "jabber:client");
    let stanza = format!("{OPEN}<message from='bridge.a.test' to='a.test'/>");
    let bare = format!("<open id='{ID}'>");
    let rows = [
        (with(""), bare.clone(), "improper-addressing"),
        (
            with("to='x@bridge.a.test'"),
            bare.clone(),
            "improper-addressing",
        ),
        (with("to='a b'"), bare.clone(), "improper-addressing"),
        (
            with("to='a.test'"),
            format!("<open from='a.test' id='{ID}'>"),
            "host-unknown",
        ),
        (client, bare.clone(), "invalid-namespace"),
        ("GET / HTTP/1.1\r\n\r\n".into(), bare, "not-well-formed"),
        (stanza, header(), "not-authorized"),
        (format!("{OPEN}{}", &OPEN[21..]), header(), "invalid-xml"),
    ];
    for (text, header, condition) in rows {
        let (done, _) = play(&text, None);
        let [said, close] = error(condition);
        // Header and error are one write where one event causes both.
        assert_eq!(done.concat(), format!("{header}{said}{close}"), "{text}");
    }
    let (done, _) = play(&format!("{OPEN}</stream:stream>"), None);
    assert_eq!(done, [header(), "</open>".into(), "close".into()]);
}
