//! SASL EXTERNAL, and what an authenticated server may do.

use super::*;
use crate::sasl::encode;

fn auth(text: &str) -> String {
    format!("< <auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>{text}</auth>\n")
}

const SUCCESS: &str = "<success xmlns='…sasl'/>\nrestart\n";

fn failure(condition: &str) -> String {
    format!("<failure xmlns='…sasl'><{condition}/></failure>\n")
}

/// Row F18.
#[test]
fn the_identity_asked_for_is_that_of_the_header() {
    let open = by_certificate();
    let coded = |text: &str| encode(text.as_bytes());
    for good in ["=", &coded("evil.test"), &coded("EVIL.test."), " = "] {
        play(true, &format!("{open}{}{SUCCESS}", auth(good)));
    }
    let rows = [
        (coded("other.test"), "invalid-authzid"),
        (coded("a.test"), "invalid-authzid"),
        (coded("x@evil.test"), "invalid-authzid"),
        (coded("sub.evil.test"), "invalid-authzid"),
        (encode(&[0xff]), "invalid-authzid"),
        ("!!!".into(), "incorrect-encoding"),
    ];
    for (bad, condition) in rows {
        // The stream goes on, and the right one is still let in.
        let text = format!(
            "{open}{}{}{}{SUCCESS}",
            auth(&bad),
            failure(condition),
            auth("=")
        );
        play(true, &text);
    }
    let challenged = format!("{open}{}<challenge xmlns='…sasl'/>\n", auth(""));
    let response = "< <response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>\n";
    play(true, &format!("{challenged}{response}{SUCCESS}"));
    let response = response.replace("/>", ">=</response>");
    play(true, &format!("{challenged}{response}{SUCCESS}"));
}

#[test]
fn out_of_turn() {
    let open = by_certificate();
    let response = "< <response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>=</response>\n";
    let abort = "< <abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>\n";
    let plain = auth("=").replace("EXTERNAL", "PLAIN");
    // RFC 6120 §6.4.5: a few tries.
    let text = format!(
        "{open}{response}{}{abort}{}{plain}{}{}{}",
        failure("malformed-request"),
        failure("aborted"),
        failure("invalid-mechanism"),
        auth("="),
        error("policy-violation")
    );
    play(true, &text);
    let again = format!(
        "{}{}{}",
        authenticated(),
        auth("="),
        error("policy-violation")
    );
    play(true, &again);
}

/// Row F10: a certificate that was not judged good proves nothing.
#[test]
fn without_a_good_certificate() {
    let open = by_dialback();
    let text = format!("{open}{}{}", auth("="), failure("not-authorized"));
    let stage = play(true, &text);
    assert!(stage.peer.pairs().is_empty());
    let uncertified = open.replace("* dialback", "* uncertified");
    play(
        true,
        &format!("{uncertified}{}{}", auth("="), failure("not-authorized")),
    );
}

/// Row F05: who has not said who it is cannot prove it.
#[test]
fn without_a_name() {
    let open = format!(
        "< open to='a.test' version='1.0'
        <open from='a.test' id='#0' version='1.0'>\
<stream:features>{DIALBACK}{BIDI}{LARGE}</stream:features>\n"
    );
    play(
        true,
        &format!("{open}{}{}", auth("="), error("improper-addressing")),
    );
    let claim = "< <db:result from='evil.test' to='a.test'>k</db:result>\n";
    play(
        true,
        &format!("{open}{claim}{}", error("improper-addressing")),
    );
    // But to ask us something one need not be anybody.
    let query = "< <db:verify from='evil.test' to='a.test' id='1'>k</db:verify>
        <db:verify from='a.test' to='evil.test' id='1' type='invalid'/>";
    play(true, &format!("{open}{query}"));
}

/// Row F07.
#[test]
fn the_header_behind_it_names_the_same_two() {
    let text = format!("{}{}{SUCCESS}", by_certificate(), auth("="));
    let rows = [
        ("from='other.test' to='a.test'", "not-authorized"),
        ("from='evil.test' to='b.test'", "not-authorized"),
        ("from='a.test' to='a.test'", "invalid-from"),
        ("from='evil.test' to='nope.test'", "host-unknown"),
    ];
    for (given, condition) in rows {
        let mut stage = play(true, &text);
        let done = stage.step(&format!("< open {given} version='1.0'"));
        assert_eq!(
            done.last().unwrap(),
            &format!("close {condition}"),
            "{given}"
        );
    }
    let unnamed = "< open to='a.test' version='1.0'\n<open from='a.test' id='#1' version='1.0'>";
    let offered = format!("<stream:features>{DIALBACK}{LARGE}</stream:features>");
    let proved = "proved evil.test to a.test false";
    play(true, &format!("{text}{unnamed}{offered}\n{proved}"));
}

/// Rows F08, F09, F31 and F32.
#[test]
fn whose_stanzas_are_admitted() {
    use StreamCondition::*;
    let stage = play(true, &authenticated());
    let rows = [
        ("x@evil.test", "bob@a.test", Ok(())),
        ("evil.test", "a.test", Ok(())),
        ("x@EVIL.test", "bob@a.test", Ok(())),
        ("x@evil.test./r", "bob@a.test", Ok(())),
        ("x@evil.test", "carol@b.test", Ok(())),
        ("x@evil.test", "room@conference.a.test", Ok(())),
        ("x@other.test", "bob@a.test", Err(InvalidFrom)),
        ("x@evil.test.attacker.org", "bob@a.test", Err(InvalidFrom)),
        ("x@conference.evil.test", "bob@a.test", Err(InvalidFrom)),
        ("x@xn--evil-ri8a.test", "bob@a.test", Err(InvalidFrom)),
        ("alice@a.test", "bob@a.test", Err(InvalidFrom)),
        ("x@evil.test", "x@third.test", Err(HostUnknown)),
        ("x@evil.test", "x@evil.test", Err(HostUnknown)),
    ];
    for (from, to, wanted) in rows {
        if let Ok(from) = Jid::parse(from) {
            assert_eq!(stage.admits(from.as_str(), to), wanted, "{from} {to}");
        }
    }
}

#[test]
fn stanzas_may_go_back_where_that_was_asked_for() {
    let asked = authenticated()
        .replace("< <auth", "< <bidi xmlns='urn:xmpp:bidi'/>\n< <auth")
        .replace("a.test false", "a.test true");
    play(true, &asked);
    let mut stage = Stage::new(
        Settings {
            bidi: false,
            ..settings()
        },
        true,
    );
    stage.play(&by_dialback().replace(BIDI, ""));
    let done = stage.step("< <bidi xmlns='urn:xmpp:bidi'/>");
    assert_eq!(done[1], "close unsupported-stanza-type");
}

#[test]
fn stream_management() {
    let enable = "< <enable xmlns='urn:xmpp:sm:3' resume='true'/>\n";
    let enabled = "<enabled xmlns='urn:xmpp:sm:3' id='#2' resume='true' max='300'/>\n";
    let early = "< <r xmlns='urn:xmpp:sm:3'/>
        <failed xmlns='urn:xmpp:sm:3'><unexpected-request/></failed>";
    let late = "< <r xmlns='urn:xmpp:sm:3'/>\nmanaged Request
        < <a xmlns='urn:xmpp:sm:3' h='3'/>\nmanaged Answer { h: 3 }
        < <resume xmlns='urn:xmpp:sm:3' previd='p' h='1'/>
        <failed xmlns='urn:xmpp:sm:3'><unexpected-request/></failed>";
    let twice = "<stream:error><policy-violation/><text xml:lang='en'>stream management is on \
        already</text></stream:error></open>\nclose policy-violation";
    let open = authenticated();
    play(
        true,
        &format!("{open}{early}\n{enable}{enabled}enabled true\n{late}\n{enable}{twice}"),
    );
    let bare = "< <enable xmlns='urn:xmpp:sm:3'/>\n<enabled xmlns='urn:xmpp:sm:3'/>";
    play(true, &format!("{open}{bare}\nenabled false"));
    let resume = "< <resume xmlns='urn:xmpp:sm:3' previd='p' h='1'/>\n";
    let asked = format!("{open}{resume}resume evil.test p 1\n");
    let resumed = "* resumed\n<resumed xmlns='urn:xmpp:sm:3' h='5' previd='p'/>\n";
    play(
        true,
        &format!("{asked}{resumed}< <r xmlns='urn:xmpp:sm:3'/>\nmanaged Request"),
    );
    let forgotten = "* forgotten\n<failed xmlns='urn:xmpp:sm:3'><item-not-found/></failed>\n";
    play(
        true,
        &format!("{asked}{forgotten}{enable}{enabled}enabled true"),
    );
    let mut stage = Stage::new(
        Settings {
            resumption: None,
            ..settings()
        },
        true,
    );
    let refused = "<failed xmlns='urn:xmpp:sm:3'><feature-not-implemented/></failed>\n";
    let counted = "<enabled xmlns='urn:xmpp:sm:3'/>\nenabled false";
    stage.play(&format!("{open}{resume}{refused}{enable}{counted}"));
}
