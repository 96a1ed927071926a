//! XEP-0198: elements read and written, counters at their edges.

use super::*;

fn parse(text: &str) -> Result<Command, Misuse> {
    Command::parse(&Element::parse(text, ns::STREAM_MANAGEMENT).unwrap())
}

/// Row A02 among others.
#[test]
fn elements_are_read() {
    let good = [
        (
            "<enable/>",
            Command::Enable {
                resume: false,
                max: None,
            },
        ),
        (
            "<enable resume='true' max='60'/>",
            Command::Enable {
                resume: true,
                max: Some(60),
            },
        ),
        (
            "<enable resume='1' max='-1'/>",
            Command::Enable {
                resume: true,
                max: None,
            },
        ),
        (
            "<enable resume='false'/>",
            Command::Enable {
                resume: false,
                max: None,
            },
        ),
        ("<r/>", Command::Request),
        ("<a h='0'/>", Command::Answer { h: 0 }),
        ("<a h='4294967295'/>", Command::Answer { h: u32::MAX }),
        (
            "<resume previd='x' h='7'/>",
            Command::Resume {
                previd: "x".into(),
                h: 7,
            },
        ),
    ];
    for (text, command) in good {
        assert_eq!(parse(text), Ok(command), "{text}");
    }
    for h in [
        "h='-1'",
        "h='+1'",
        "h=''",
        "h='x'",
        "h='4294967296'",
        "h='99999999999999999999'",
        "",
    ] {
        match parse(&format!("<a {h}/>")) {
            Err(Misuse::Stream(error)) => {
                assert_eq!(error.condition, StreamCondition::InvalidXml, "{h}");
            }
            other => panic!("{h}: {other:?}"),
        }
        let resume = parse(&format!("<resume previd='x' {h}/>"));
        assert_eq!(resume, Err(Misuse::Failed(Condition::BadRequest)), "{h}");
    }
    assert_eq!(
        parse("<resume h='1'/>"),
        Err(Misuse::Failed(Condition::BadRequest))
    );
    for text in ["<enabled/>", "<failed/>", "<resumed/>", "<x/>"] {
        assert!(matches!(parse(text), Err(Misuse::Stream(_))), "{text}");
    }
}

#[test]
fn elements_are_written() {
    let shown = |element: Element| {
        let bytes = element.to_bytes(ns::STREAM_MANAGEMENT);
        Element::parse(std::str::from_utf8(&bytes).unwrap(), ns::STREAM_MANAGEMENT).unwrap()
    };
    assert_eq!(shown(enabled(None)).attributes().len(), 0);
    let kept = shown(enabled(Some(("id", 600))));
    assert_eq!(
        (kept.attr("id"), kept.attr("resume")),
        (Some("id"), Some("true"))
    );
    assert_eq!(kept.attr("max"), Some("600"));
    let resumed = shown(resumed("id", (1 << 32) + 3));
    assert_eq!(
        (resumed.attr("previd"), resumed.attr("h")),
        (Some("id"), Some("3"))
    );
    let failed = shown(failed(Condition::ItemNotFound, Some(4)));
    assert_eq!(failed.attr("h"), Some("4"));
    assert!(failed.child(ns::STANZAS, "item-not-found").is_some());
    let mut out = Vec::new();
    write_answer(5, &mut out);
    assert_eq!(out, b"<a xmlns='urn:xmpp:sm:3' h='5'/>");
    assert_eq!(
        parse(std::str::from_utf8(REQUEST).unwrap()),
        Ok(Command::Request)
    );
}

/// Rows A01 and A02.
#[test]
fn acknowledgements() {
    let mut out = Outbound::default();
    for number in 1..=8 {
        assert_eq!(out.send(), number);
    }
    assert_eq!(out.acknowledge(3), Ok(3));
    assert_eq!(out.acknowledge(3), Ok(0));
    assert_eq!(out.acknowledge(1), Ok(0), "older than what was said");
    assert_eq!(out.unacked(), 5);
    for h in [9, 999, u32::MAX, 1 << 31] {
        let error = out.acknowledge(h).unwrap_err();
        assert_eq!(error.condition, StreamCondition::UndefinedCondition);
        let count = error.extra.unwrap();
        assert!(count.is(ns::STREAM_MANAGEMENT, "handled-count-too-high"));
        assert_eq!(count.attr("h"), Some(h.to_string().as_str()));
        assert_eq!(count.attr("send-count"), Some("8"));
    }
    assert_eq!(out.acknowledge(8), Ok(5));
    assert_eq!(out.unacked(), 0);
}

/// Row A12.
#[test]
fn counters_wrap() {
    let start = (1 << 32) - 3;
    let mut out = Outbound::restored(start, start);
    let sent: Vec<u32> = (0..5).map(|_| wire(out.send())).collect();
    assert_eq!(sent, [u32::MAX - 1, u32::MAX, 0, 1, 2]);
    assert_eq!(out.acknowledge(u32::MAX), Ok(2));
    assert!(out.acknowledge(3).is_err());
    assert_eq!(out.acknowledge(1), Ok(2));
    assert_eq!(out.acknowledge(u32::MAX), Ok(0), "older, across the wrap");
    assert_eq!(out.unacked(), 1);
    let mut inbound = Inbound::restored(start);
    for expected in [u32::MAX - 1, u32::MAX, 0, 1] {
        let number = inbound.receive();
        assert!(inbound.settle(number));
        assert_eq!(wire(inbound.handled()), expected);
    }
}

#[test]
fn a_restored_session_believes_the_client() {
    let mut out = Outbound::restored(8, 3);
    assert_eq!(out.adopt(5), 2);
    assert_eq!((out.sent(), out.acked()), (8, 5));
    assert_eq!(out.adopt(11), 6);
    assert_eq!((out.sent(), out.acked()), (11, 11));
    assert_eq!(out.adopt(4), 0, "what was acknowledged stays so");
    assert_eq!(out.send(), 12);
}

#[test]
fn stanzas_settle_in_any_order() {
    let mut inbound = Inbound::default();
    for number in 1..=4 {
        assert_eq!(inbound.receive(), number);
    }
    assert!(!inbound.settle(2));
    assert!(!inbound.settle(3));
    assert_eq!((inbound.handled(), inbound.pending()), (0, 4));
    assert!(inbound.settle(1));
    assert_eq!((inbound.handled(), inbound.pending()), (3, 1));
    assert!(!inbound.settle(1), "twice is once");
    assert!(!inbound.settle(9), "never received");
    assert!(inbound.settle(4));
    assert_eq!((inbound.handled(), inbound.received()), (4, 4));
}
