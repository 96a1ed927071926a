//! Transcripts of streams: their headers, STARTTLS, and what is heard meanwhile.

use super::*;

#[test]
fn the_whole_way() {
    after_login(
        "< <iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
<resource>phone</resource></bind></iq>
            bind alice@a.test phone
        * bound alice@a.test/phone
            <iq id='b' type='result'><bind xmlns='…bind'><jid>alice@a.test/phone</jid></bind></iq>
            established alice@a.test/phone de
        < <message/>",
    );
}

/// Rows X25 to X27, and RFC 6120 §4.9.1.3.
#[test]
fn headers() {
    let rows = [
        (
            "version='1.0'",
            "<open from='a.test' version='1.0'>",
            "improper-addressing",
        ),
        (
            "to='' version='1.0'",
            "<open from='a.test' version='1.0'>",
            "improper-addressing",
        ),
        (
            "to='a b' version='1.0'",
            "<open from='a.test' version='1.0'>",
            "improper-addressing",
        ),
        (
            "to='x@a.test' version='1.0'",
            "<open from='a.test' version='1.0'>",
            "improper-addressing",
        ),
        (
            "to='a.test/x' version='1.0'",
            "<open from='a.test' version='1.0'>",
            "improper-addressing",
        ),
        (
            "to='nope.example' version='1.0'",
            "<open from='a.test' version='1.0'>",
            "host-unknown",
        ),
        ("to='b.test'", "<open from='b.test'>", "unsupported-version"),
        (
            "to='a.test' version='0.9'",
            "<open from='a.test' version='0.9'>",
            "unsupported-version",
        ),
        (
            "to='a.test' from='@' version='1.0'",
            "<open from='a.test' version='1.0'>",
            "improper-addressing",
        ),
    ];
    for (given, header, condition) in rows {
        let error = error(condition);
        play(
            settings(),
            false,
            &format!("< open {given}\n{header}{error}\n< close"),
        );
    }
    let features = CLEAR.split_once("version='1.0'>").unwrap().1;
    let fine = [
        ("to='A.TEST' version='1.1'", "from='a.test' version='1.0'"),
        ("to='a.test' version='2.0'", "from='a.test' version='1.0'"),
        ("to='a.test' version='1.10'", "from='a.test' version='1.0'"),
        (
            "to='b.test' from='Carol@B.test/r' version='1.0'",
            "from='b.test' to='carol@b.test' version='1.0'",
        ),
    ];
    for (given, header) in fine {
        play(
            settings(),
            false,
            &format!("< open {given}\n<open {header}>{features}"),
        );
    }
}

/// Rows T01, T02, T04 and T05.
#[test]
fn starttls() {
    let starttls = "< <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
    play(
        settings(),
        false,
        &format!("{CLEAR}{starttls} +1\nclose -\n< close"),
    );
    after_tls(&format!(
        "{starttls}\n<failure xmlns='…tls'/></open>\nclose -"
    ));
    let opened = format!("{CLEAR}{starttls}\n<proceed xmlns='…tls'/>\nstarttls a.test\n");
    // What came before TLS is forgotten: the header must say all again.
    play(
        settings(),
        false,
        &format!(
            "{opened}{TLS}\n< open version='1.0'\n<open from='a.test' version='1.0'>{}",
            error("improper-addressing")
        ),
    );
    // Nothing is said in clear once the handshake has begun.
    play(
        settings(),
        false,
        &format!("{opened}* timeout\nclose connection-timeout"),
    );
    play(
        settings(),
        false,
        &format!("{opened}< <presence/>\nclose policy-violation"),
    );
    // A stream that was just told to open anew gets a header before its error.
    play(
        settings(),
        false,
        &format!(
            "{opened}{TLS}\n* timeout\n<open from='a.test' version='1.0'>{}",
            error("connection-timeout")
        ),
    );
}

#[test]
fn without_bindings_no_plus_is_offered() {
    let mut stage = Stage::new(settings(), false);
    for line in [
        "< open to='a.test' version='1.0'",
        "< <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    ] {
        let event = stage.event(line);
        stage.handle(event);
    }
    stage.handle(Event::Secured(ChannelBindings::default()));
    let event = stage.event("< open to='a.test' version='1.0'");
    let said = stage.handle(event).concat();
    assert!(
        said.contains("<mechanism>SCRAM-SHA-256</mechanism>"),
        "{said}"
    );
    assert!(
        !said.contains("PLUS") && !said.contains("sasl-cb"),
        "{said}"
    );
}

#[test]
fn plaintext_on_loopback() {
    let mut loopback = settings();
    loopback.plaintext = Plaintext::Loopback;
    let mut stage = Stage::new(loopback.clone(), true);
    let event = stage.event("< open to='a.test' version='1.0'");
    let said = stage.handle(event).concat();
    assert!(
        said.contains("<starttls xmlns='…tls'/><mechanisms"),
        "{said}"
    );
    assert!(
        said.contains("PLAIN") && said.contains("<register ") && !said.contains("PLUS"),
        "{said}"
    );
    // From elsewhere the same server wants TLS.
    play(loopback, false, CLEAR);
}

/// What is sent ahead of an answer must be left unread.
#[test]
fn nothing_is_heard_while_an_answer_is_due() {
    let auth = LOGIN.lines().next().unwrap();
    let text = "<text xml:lang='en'>nothing may be sent ahead here</text>";
    after_tls(&format!(
        "{auth}\nfetch alice@a.test\n< <presence/>\n\
         <stream:error><policy-violation/>{text}</stream:error></open>\nclose policy-violation\n\
         * found"
    ));
    // Answers to questions that nobody asked change nothing.
    after_tls(&format!(
        "* found\n* overloaded\n* conflict\n* secured\n{LOGIN}"
    ));
}
