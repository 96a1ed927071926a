//! Keys that others showed us, asked about at the server of their domain.

use super::*;

fn verifier() -> Errand {
    Errand {
        purpose: Purpose::Verify,
        external: false,
        ..errand()
    }
}

const ASK: &str = "* verify far.test a.test s9\n";
const ASKED: &str = "<db:verify from='a.test' to='far.test' id='s9'>k</db:verify>\n";
const VALID: &str = "< <db:verify from='far.test' to='a.test' id='s9' type='valid'/>\n";

fn play_verifier(text: &str) -> Stage {
    play_for(verifier(), settings(), text)
}

/// Nothing is proved, and nothing but TLS negotiated (XEP-0220 §2.1.2).
#[test]
fn on_a_connection_of_its_own() {
    let offered = features(&(EXTERNAL.to_owned() + ERRORS));
    let begun = format!("{ASK}{SECURED}{ANSWER}{offered}{ASKED}");
    let valid = "verified far.test to a.test s9 valid\n";
    let stage = play_verifier(&format!(
        "{begun}{VALID}{valid}* finish\n</open>\n< close\nclose"
    ));
    assert!(stage.0.pairs().is_empty());
    // A later one goes at once.
    play_verifier(&format!(
        "{SECURED}{ANSWER}{offered}{ASK}{ASKED}{VALID}{valid}"
    ));
    let invalid = VALID.replace("'valid'", "'invalid'") + &valid.replace(" valid", " invalid");
    play_verifier(&(begun.clone() + &invalid));
    let error = VALID.replace(
        "'valid'/>",
        "'error'><error><item-not-found \
        xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:verify>",
    );
    play_verifier(&format!(
        "{begun}{error}verified far.test to a.test s9 item-not-found"
    ));
    let separate = "denied a.test to far.test: its server needs another connection for this";
    play_verifier(&format!("{begun}* want a.test far.test -\n{separate}"));
}

/// Row F26: exactly the pair, the id and the connection, and once.
#[test]
fn only_the_answer_to_what_was_asked_counts() {
    let begun = format!("{ASK}{SECURED}{ANSWER}{}{ASKED}", features(ERRORS));
    let others = "< <db:verify from='other.test' to='a.test' id='s9' type='valid'/>
        < <db:verify from='far.test' to='b.test' id='s9' type='valid'/>
        < <db:verify from='far.test' to='a.test' id='s8' type='valid'/>
        < <db:verify from='a.test' to='far.test' id='s9' type='valid'/>
        < <db:result from='far.test' to='a.test' type='valid'/>\n";
    let valid = "verified far.test to a.test s9 valid\n";
    play_verifier(&format!("{begun}{others}{VALID}{valid}{VALID}"));
    // Said before it was asked.
    let early = format!("{ASK}{SECURED}{ANSWER}{VALID}{}{ASKED}", features(ERRORS));
    play_verifier(&early);
    // Nobody but the server of the domain is asked.
    let other = "* verify other.test a.test s9\nverified other.test to a.test s9 not-acceptable";
    play_verifier(&format!("{begun}{other}"));
}

#[test]
fn on_a_stream_that_sends() {
    let valid = "verified far.test to a.test s9 valid\n";
    play(&format!("{}{ASK}{ASKED}{VALID}{valid}", by_dialback()));
    // Not in the middle of EXTERNAL.
    let offered = features(&(EXTERNAL.to_owned() + ERRORS));
    let begun = format!("{SECURED}{ANSWER}{offered}{AUTH}{ASK}");
    let late = format!("{SUCCESS}{ANSWER}{}", features(ERRORS));
    play(&format!(
        "{begun}{late}proved a.test to far.test\n{ASKED}{VALID}{valid}"
    ));
    let claim = format!("{REFUSED}{}{ASKED}", claim("a.test", "far.test").trim());
    play(&format!("{begun}{claim}{VALID}{valid}"));
    // A second domain of theirs, once it is known to be there.
    let two = ASK.replace("far.test", "two.test");
    let refused = "verified two.test to a.test s9 not-acceptable\n";
    let open = by_dialback();
    play(&format!("{open}{two}{refused}"));
    let proved = claim_two();
    play(&format!(
        "{open}{proved}{two}{}",
        ASKED.replace("far.test", "two.test")
    ));
}

fn claim_two() -> String {
    let claim = claim("a.test", "two.test") + &valid("a.test", "two.test");
    format!("* want a.test two.test certified\n{claim}")
}

/// With a bound of three.
#[test]
fn every_key_is_answered_for() {
    let open = format!("{SECURED}{ANSWER}{}", features(ERRORS));
    let ask = |id: &str| ASK.replace("s9", id);
    let asked: Vec<String> = ["i1", "i2", "i3"]
        .into_iter()
        .map(|id| ask(id) + &ASKED.replace("s9", id))
        .collect();
    let full = ask("i4") + "verified far.test to a.test i4 resource-constraint\n";
    let twice = ask("i1") + "verified far.test to a.test i1 not-acceptable\n";
    let lost = |problem: &str| {
        let ids = ["i1", "i2", "i3"].into_iter();
        let lines = ids.map(|id| format!("verified far.test to a.test {id} {problem}\n"));
        lines.collect::<String>()
    };
    let timeout = lost("remote-server-timeout");
    let end = "close: the connection to its server broke\n";
    let late = ask("i5") + "verified far.test to a.test i5 remote-server-timeout";
    let begun = format!("{open}{}{full}{twice}", asked.concat());
    play_verifier(&format!("{begun}* lost\n{timeout}{end}{late}"));
    // XEP-0220 §2.5: what the claimant is told then.
    let unknown = "< <stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
        </stream:error>\n</open>\n";
    let told = lost("remote-server-not-found");
    let end = "close: its server ended the stream (host-unknown)";
    play_verifier(&format!("{begun}{unknown}{told}{end}"));
}
