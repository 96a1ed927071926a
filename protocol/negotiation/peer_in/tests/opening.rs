//! Headers, TLS, and what is heard before a proof.

use super::*;

/// Rows F01 and F06: nothing but TLS is offered, and only what is said inside it counts.
#[test]
fn tls_comes_first() {
    let clear = format!(
        "{OPEN}{HEADER}<stream:features><starttls xmlns='…tls'><required/></starttls>\
         <limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>10240</max-bytes></limits>\
         </stream:features>\n"
    );
    let stanza = format!("{clear}< <message from='x@evil.test' to='bob@a.test'/>\n");
    let stage = play(false, &(stanza + &error("not-authorized")));
    let refused = stage.admits("x@evil.test", "bob@a.test");
    assert_eq!(refused, Err(StreamCondition::NotAuthorized));
    play(
        false,
        &format!(
            "{clear}< <db:result from='evil.test' to='a.test'>k</db:result>
            <db:result from='a.test' to='evil.test' type='error'><error type='modify'>\
<policy-violation/></error></db:result>
            < <db:verify from='evil.test' to='a.test' id='1'>k</db:verify>
            <db:verify from='a.test' to='evil.test' id='1' type='error'><error type='modify'>\
<policy-violation/></error></db:verify>
            < <auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>
            <failure xmlns='…sasl'><encryption-required/></failure>
            < {STARTTLS}
            <proceed xmlns='…tls'/>
            starttls a.test
            * secured
            < open from='other.test' to='b.test' version='1.0'
            <open from='b.test' id='#1' to='other.test' version='1.0'>
            judge other.test
            * dialback
            <stream:features>{DIALBACK}{BIDI}{LARGE}</stream:features>
            < {STARTTLS}
            <failure xmlns='…tls'/></open>
            close"
        ),
    );
    // T02: what was sent behind it is never read.
    play(false, &format!("{clear}< {STARTTLS} +1\nclose"));
    play(
        false,
        &format!(
            "{clear}< {STARTTLS}\n<proceed xmlns='…tls'/>\nstarttls a.test\n* timeout\n\
                  close connection-timeout"
        ),
    );
    // Bidirectional streams, too, are for TLS only (XEP-0288 §2.1).
    let bidi = "< <bidi xmlns='urn:xmpp:bidi'/>\n";
    play(false, &(clear + bidi + &error("unsupported-stanza-type")));
}

/// Rows F03 to F05, X25 to X27.
#[test]
fn headers() {
    let rows = [
        ("from='a.test' to='a.test' version='1.0'", "invalid-from"),
        ("from='B.test.' to='a.test' version='1.0'", "invalid-from"),
        (
            "from='evil.test' to='nope.test' version='1.0'",
            "host-unknown",
        ),
        (
            "from='evil.test' to='sub.a.test' version='1.0'",
            "host-unknown",
        ),
        ("from='evil.test' version='1.0'", "improper-addressing"),
        (
            "from='evil.test' to='' version='1.0'",
            "improper-addressing",
        ),
        (
            "from='evil.test' to='x@a.test' version='1.0'",
            "improper-addressing",
        ),
        (
            "from='evil test' to='a.test' version='1.0'",
            "improper-addressing",
        ),
        (
            "from='@evil.test' to='a.test' version='1.0'",
            "improper-addressing",
        ),
        (
            "from='x@evil.test' to='a.test' version='1.0'",
            "improper-addressing",
        ),
        (
            "from='evil.test/r' to='a.test' version='1.0'",
            "improper-addressing",
        ),
        ("from='evil.test' to='a.test'", "unsupported-version"),
        (
            "from='evil.test' to='a.test' version='0.9'",
            "unsupported-version",
        ),
    ];
    for (given, condition) in rows {
        for secured in [false, true] {
            let mut stage = Stage::new(settings(), secured);
            let done = stage.step(&format!("< open {given}"));
            assert_eq!(done.len(), 2, "{given}");
            assert!(
                done[0].starts_with("<open from='a.test' id='#0'"),
                "{}",
                done[0]
            );
            let error = error(condition);
            assert!(
                format!("{}\n{}\n", done[0], done[1]).ends_with(&error),
                "{done:?}"
            );
            assert!(stage.step("< close").is_empty());
        }
    }
    let mut stage = Stage::new(settings(), true);
    let done = stage.step("< open from='evil.test' to='a.test'");
    assert!(
        done[0].starts_with("<open from='a.test' id='#0' to='evil.test'><"),
        "{done:?}"
    );
}

/// A second header where none is due (X28), and none where one is.
#[test]
fn headers_out_of_turn() {
    play(
        true,
        &format!("{}{OPEN}{}", by_dialback(), error("invalid-xml")),
    );
    let mut stage = Stage::new(settings(), true);
    let done = stage.step("< <message/>");
    assert_eq!(done[1], "close invalid-xml");
    assert!(done[0].starts_with("<open from='a.test' id='#0' version='1.0'><stream:error>"));
}

/// Row F02, and what else is not for strangers.
#[test]
fn nothing_before_a_proof() {
    let open = by_dialback();
    for stanza in ["message", "presence", "iq"] {
        let text = format!("{open}< <{stanza} from='x@evil.test' to='bob@a.test'/>\n");
        play(true, &(text + &error("not-authorized")));
    }
    let client = format!("{open}< <message xmlns='jabber:client'/>\n");
    play(true, &(client + &error("invalid-namespace")));
    let odd = format!("{open}< <odd xmlns='u'/>\n");
    play(true, &(odd + &error("unsupported-stanza-type")));
    play(
        true,
        &format!("{open}< space\n< close\n</open>\nclose\n< space"),
    );
    play(true, &format!("{open}< <stream:error/>\n</open>\nclose"));
    let managed = format!(
        "{open}< <enable xmlns='urn:xmpp:sm:3'/>
        <failed xmlns='urn:xmpp:sm:3'><unexpected-request/></failed>
        < <resume xmlns='urn:xmpp:sm:3' previd='p' h='1'/>
        <failed xmlns='urn:xmpp:sm:3'><unexpected-request/></failed>
        < <r xmlns='urn:xmpp:sm:3'/>
        <failed xmlns='urn:xmpp:sm:3'><unexpected-request/></failed>"
    );
    play(true, &managed);
}

#[test]
fn elements_before_a_proof_are_counted() {
    let mut stage = play(true, &by_dialback());
    for _ in 0..64 {
        assert_eq!(stage.step("< <r xmlns='urn:xmpp:sm:3'/>").len(), 1);
    }
    let done = stage.step("< <r xmlns='urn:xmpp:sm:3'/>");
    assert_eq!(done[1], "close policy-violation");
}

#[test]
fn the_blocked_stay_outside() {
    let text = "<policy-violation/><text xml:lang='en'>this domain is not welcome here</text>";
    play(
        true,
        &format!(
            "{OPEN}{HEADER}\njudge evil.test\n* blocked\n\
             <stream:error>{text}</stream:error></open>\nclose policy-violation"
        ),
    );
}

#[test]
fn nothing_is_heard_while_an_answer_is_due() {
    for line in ["< close", "< <message/>", OPEN] {
        let mut stage = play(true, &format!("{OPEN}{HEADER}\njudge evil.test\n"));
        assert!(stage.peer.waiting());
        assert_eq!(stage.step(line).last().unwrap(), "close policy-violation");
    }
}
