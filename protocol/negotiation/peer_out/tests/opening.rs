//! Connections, headers and TLS.

use super::*;

const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const PROCEED: &str = "< <proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";

fn begun() -> String {
    format!(
        "{OPEN}{ANSWER}{}<starttls xmlns='…tls'/>\n",
        features(STARTTLS)
    )
}

#[test]
fn tls_comes_first() {
    let required = STARTTLS.replace("/>", "><required/></starttls>");
    let text = format!(
        "{OPEN}{ANSWER}{}<starttls xmlns='…tls'/>\n",
        features(&required)
    );
    let stage = play(&format!(
        "{text}{PROCEED}\nstarttls far.test\n{SECURED}{ANSWER}{}{AUTH}",
        features(EXTERNAL)
    ));
    assert!(!stage.0.waiting());
    let stage = play(&format!("{}{PROCEED}\nstarttls far.test", begun()));
    assert!(stage.0.waiting());
}

/// Row F39.
#[test]
fn without_tls_nothing_goes() {
    let none = denied("its server offers no encryption");
    for offered in ["", EXTERNAL, ERRORS] {
        let text = format!("{OPEN}{ANSWER}{}", features(offered));
        let stage = play(&format!("{text}{}{none}", error("policy-violation")));
        assert_eq!(
            stage.admits("far.test", "a.test"),
            Err(StreamCondition::NotAuthorized)
        );
    }
    let refused = "< <failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\n</open>\n";
    let why = denied("its server refused to begin encryption");
    play(&format!("{}{refused}{why}", begun()));
    // Nothing is said any more, and nothing parsed.
    let why = denied("something was sent in clear after its server agreed to encryption");
    play(&format!("{}{PROCEED} +1\n{why}", begun()));
    let text = format!("{}{PROCEED}\nstarttls far.test\n", begun());
    play(&format!("{text}{}{why}", features(EXTERNAL)));
    play(&format!(
        "{text}* timeout\n{}",
        denied("its server did not answer in time")
    ));
    // Unasked, and again inside.
    let unasked = format!(
        "{OPEN}{ANSWER}{PROCEED}\n{}",
        error("unsupported-stanza-type")
    );
    let why = denied("its server broke the protocol (unsupported-stanza-type)");
    play(&(unasked + &why));
}

/// Row F38.
#[test]
fn a_certificate_that_is_not_good_ends_it() {
    let rows = [
        (
            "uncertified",
            "its server's certificate is not good for the domain",
        ),
        ("blocked", "the domain is blocked here"),
    ];
    for (standing, why) in rows {
        let why = denied(why);
        play(&format!(
            "{}{PROCEED}\nstarttls far.test\n* secured {standing}\n{why}",
            begun()
        ));
        play(&format!("* secured {standing}\n{why}"));
    }
    play(&SECURED.replace("certified", "dialback"));
}

/// Row F43.
#[test]
fn headers() {
    let rows = [
        (
            "from='other.test' id='1' version='1.0'",
            "invalid-from",
            "its server answers for another domain",
        ),
        (
            "from='x@far.test' id='1' version='1.0'",
            "invalid-from",
            "its server answers for another domain",
        ),
        (
            "from='' id='1' version='1.0'",
            "invalid-from",
            "its server answers for another domain",
        ),
        (
            "from='far.test' version='1.0'",
            "bad-format",
            "its server's stream has no usable id",
        ),
        (
            "from='far.test' id='' version='1.0'",
            "bad-format",
            "its server's stream has no usable id",
        ),
        (
            "from='far.test' id='1'",
            "unsupported-version",
            "its server is too old",
        ),
        (
            "from='far.test' id='1' version='0.9'",
            "unsupported-version",
            "its server is too old",
        ),
    ];
    for (given, condition, why) in rows {
        let answer = format!("< open {given}\n{}{}", error(condition), denied(why));
        play(&format!("{OPEN}{answer}"));
        play(&format!("{SECURED}{answer}"));
    }
    for given in [
        "from='FAR.test.' id='1' version='1.0'",
        "id='1' version='2.0'",
    ] {
        play(&format!("{OPEN}< open {given}\n"));
    }
    // Features that never come.
    let late = denied("its server did not answer in time");
    play(&format!(
        "{OPEN}{ANSWER}* timeout\n{}{late}",
        error("connection-timeout")
    ));
    play(&format!(
        "{OPEN}* timeout\n{}{late}",
        error("connection-timeout")
    ));
}

#[test]
fn it_ends_early() {
    play(&format!(
        "* lost\n{}",
        denied("the connection to its server broke")
    ));
    play(&format!(
        "{OPEN}* lost\n{}< close\n* lost",
        denied("the connection to its server broke")
    ));
    let closed = denied("its server closed the stream");
    play(&format!("{OPEN}{ANSWER}< close\n</open>\n{closed}"));
    let said = "< <stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
        </stream:error>\n</open>\n";
    let why = denied("its server ended the stream (host-unknown)");
    play(&format!("{OPEN}{ANSWER}{said}{why}"));
    let why = denied("its server broke the protocol (not-well-formed)");
    play(&format!(
        "{OPEN}* malformed\n{}{why}",
        error("not-well-formed")
    ));
    let why = denied("the stream to its server was ended here (system-shutdown)");
    play(&format!(
        "{OPEN}{ANSWER}* shutdown\n{}{why}",
        error("system-shutdown")
    ));
    let separate = "its server needs another connection for this";
    play(&format!(
        "* finish\ndenied a.test to far.test: {separate}\nclose"
    ));
}

#[test]
fn elements_before_the_end_of_negotiation_are_counted() {
    let mut stage = play(&format!("{SECURED}{ANSWER}"));
    for _ in 0..64 {
        assert!(
            stage
                .step("< <success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
                .is_empty()
        );
    }
    let done = stage.step("< <success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    assert_eq!(done[0], error("policy-violation").trim());
}

/// XEP-0478.
#[test]
fn limits_are_noted() {
    let limits = "<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>1000</max-bytes>\
        <idle-seconds>60</idle-seconds></limits>";
    let mut stage = play(&by_dialback());
    assert_eq!(stage.0.announced(), Announced::default());
    stage.play(&features(limits));
    let wanted = Announced {
        max_bytes: Some(1000),
        idle_seconds: Some(60),
    };
    assert_eq!(stage.0.announced(), wanted);
}
