//! Transcripts of XEP-0388 and what comes with it: Bind 2, resumption, upgrades, pipelining.

use super::*;
use crate::sasl::Hash;
use crate::sasl::tests::client_final;

const NS: &str = "urn:xmpp:sasl:2";
const PHONE: &str = "<user-agent id='d4565fa7'><software>Awesome</software>\
                     <device>Alice's phone</device></user-agent>";
const BIND: &str = "<bind xmlns='urn:xmpp:bind:0'><tag>Awesome</tag>\
                    <enable xmlns='urn:xmpp:carbons:2'/></bind>";
const FEATURES: &str = "<stream:features><sm xmlns='urn:xmpp:sm:3'/>\
<ver xmlns='urn:xmpp:features:rosterver'/><sub xmlns='urn:xmpp:features:pre-approval'/>\
<c xmlns='http://jabber.org/protocol/caps'/><limits xmlns='urn:xmpp:stream-limits:0'>\
<max-bytes>262144</max-bytes></limits></stream:features>";

fn authenticate(mechanism: &str, initial: &str, rest: &str) -> String {
    format!(
        "< <authenticate xmlns='{NS}' mechanism='{mechanism}'>\
         <initial-response>{initial}</initial-response>{rest}</authenticate>\n"
    )
}

/// PLAIN by alice, up to the verdict.
fn plain(rest: &str) -> String {
    let said = authenticate("PLAIN", "AGFsaWNlAHNlY3JldA==", rest);
    format!("{said}fetch alice@a.test\n* found\ncheck\n* checked\n")
}

fn success(identity: &str, rest: &str, features: &str) -> String {
    format!(
        "<success xmlns='{NS}'><authorization-identifier>{identity}</authorization-identifier>\
         {rest}</success>{features}\n"
    )
}

pub(super) fn failure(condition: &str) -> String {
    format!("<failure xmlns='{NS}'><{condition} xmlns='…sasl'/></failure>\n")
}

/// The features of a session that counts already.
fn counting() -> String {
    FEATURES.replace("<sm xmlns='urn:xmpp:sm:3'/>", "")
}

/// Says no more of a stream after login than that the machine is done.
fn established(jid: &str) -> String {
    format!("established {jid} -\n< <message/>\n")
}

#[test]
fn without_bind_2_binding_follows_at_once() {
    let bind = "< <iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
    let bound =
        "<iq id='b' type='result'><bind xmlns='…bind'><jid>alice@a.test/x</jid></bind></iq>";
    after_tls(&format!(
        "{}{}{bind}\nbind alice@a.test -\n* bound alice@a.test/x\n{bound}{}",
        plain(""),
        success("alice@a.test", "", AFTER),
        "\nestablished alice@a.test/x -",
    ));
    // A client that says which it is keeps its name when it binds the old way.
    after_tls(&format!(
        "{}admit alice@a.test d4565fa7 Awesome Alice's phone by password wants -\n* admitted\n\
         {}{bind}\nbind alice@a.test - of d4565fa7",
        plain(PHONE),
        success("alice@a.test", "", AFTER),
    ));
}

#[test]
fn bind_2() {
    let bound = "<bound xmlns='urn:xmpp:bind:0'><metadata xmlns='urn:xmpp:mam:2'/></bound>";
    after_tls(&format!(
        "{}admit alice@a.test d4565fa7 Awesome Alice's phone by password wants -\n* admitted\n\
         bind alice@a.test - of d4565fa7 tag Awesome urn:xmpp:carbons:2\n\
         * bound alice@a.test/Awesome/1 <metadata xmlns='urn:xmpp:mam:2'/>\n{}{}",
        plain(&format!("{PHONE}{BIND}")),
        success("alice@a.test/Awesome/1", bound, FEATURES),
        established("alice@a.test/Awesome/1"),
    ));
    // What it has by now is not offered again.
    let enabled = "<enabled xmlns='urn:xmpp:sm:3' id='i'/>";
    after_tls(&format!(
        "{}bind alice@a.test - tag Awesome urn:xmpp:carbons:2\n\
         * bound alice@a.test/x {enabled}\n{}{}",
        plain(BIND),
        success(
            "alice@a.test/x",
            &format!("<bound xmlns='urn:xmpp:bind:0'>{enabled}</bound>"),
            &counting()
        ),
        established("alice@a.test/x"),
    ));
    // No session to be had: logged in all the same, and the old way is open.
    after_tls(&format!(
        "{}bind alice@a.test - tag Awesome urn:xmpp:carbons:2\n* conflict\n{}",
        plain(BIND),
        success("alice@a.test", "", AFTER),
    ));
    // Nothing of it where the login failed.
    let wrong = authenticate("PLAIN", "AGFsaWNlAHdyb25n", BIND);
    after_tls(&format!(
        "{wrong}fetch alice@a.test\n* found\ncheck\n* checked\ncount failure\n{}{}{}",
        failure("not-authorized"),
        plain(""),
        success("alice@a.test", "", AFTER),
    ));
}

#[test]
fn resuming_comes_first() {
    let mut resuming = settings();
    resuming.resumption = true;
    let resume = "<resume xmlns='urn:xmpp:sm:3' previd='p' h='7'/>";
    let wished = plain(&format!("{BIND}{resume}"));
    let start = resumable(&format!("{CLEAR}{INSIDE}"));
    let resumed = "<resumed xmlns='urn:xmpp:sm:3' h='5' previd='p'/>";
    play(
        resuming.clone(),
        false,
        &format!(
            "{start}{wished}resume alice@a.test p 7\n* resumed\n{}< <message/>",
            success("alice@a.test/old", resumed, &counting()),
        ),
    );
    let failed = "<failed xmlns='urn:xmpp:sm:3' h='3'><item-not-found/></failed>";
    let bound = "<bound xmlns='urn:xmpp:bind:0'/>";
    play(
        resuming.clone(),
        false,
        &format!(
            "{start}{wished}resume alice@a.test p 7\n* not resumed\n\
             bind alice@a.test - tag Awesome urn:xmpp:carbons:2\n* bound alice@a.test/y\n{}{}",
            success("alice@a.test/y", &format!("{failed}{bound}"), FEATURES),
            established("alice@a.test/y"),
        ),
    );
    // Without a request to bind, and where there is nothing to resume.
    play(
        resuming,
        false,
        &format!(
            "{start}{}resume alice@a.test p 7\n* not resumed\n{}",
            plain(resume),
            success("alice@a.test", failed, AFTER),
        ),
    );
    let failed = "<failed xmlns='urn:xmpp:sm:3'><feature-not-implemented/></failed>";
    let said = success("alice@a.test", failed, AFTER);
    after_tls(&format!("{}{said}", plain(resume)));
}

/// Rows T18, T30 and T33, and XEP-0388 §2.2 to §2.4.
#[test]
fn out_of_turn() {
    let wrong = |name: &str| format!("< <{name} xmlns='{NS}'/>\n");
    let good = format!("{}{}", plain(""), success("alice@a.test", "", AFTER));
    for mechanism in ["X-NOPE", "EXTERNAL", "plain", "HT-SHA-256-NONE", ""] {
        let said = authenticate(mechanism, "AGFsaWNlAHNlY3JldA==", "");
        after_tls(&format!("{said}{}{good}", failure("invalid-mechanism")));
    }
    let malformed = failure("malformed-request");
    for name in ["response", "next", "task-data", "nonsense"] {
        after_tls(&format!("{}{malformed}{good}", wrong(name)));
    }
    after_tls(&format!("{}{}{good}", wrong("abort"), failure("aborted")));
    // "=" has no meaning here, and an empty response is one.
    for (data, condition) in [
        ("=", "incorrect-encoding"),
        ("!!!!", "incorrect-encoding"),
        ("", "malformed-request"),
    ] {
        let said = authenticate("PLAIN", data, "");
        after_tls(&format!("{said}{}{good}", failure(condition)));
    }
    let silent =
        format!("< <authenticate xmlns='{NS}' mechanism='PLAIN'/>\n<challenge xmlns='{NS}'/>\n");
    after_tls(&format!(
        "{silent}< <response xmlns='{NS}'>AGFsaWNlAHNlY3JldA==</response>\n\
         fetch alice@a.test\n* found\ncheck\n* checked\n{}",
        success("alice@a.test", "", AFTER),
    ));
    after_tls(&format!(
        "{silent}{}{}{good}",
        wrong("abort"),
        failure("aborted")
    ));
    // The two profiles do not mix.
    let old = "< <response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>AA==</response>\n";
    after_tls(&format!("{silent}{old}{malformed}{good}"));
    after_tls(&format!("{silent}{old}{malformed}{LOGIN}"));
    let begun = "< <auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'/>\n\
                 <challenge xmlns='…sasl'/>\n";
    after_tls(&format!(
        "{begun}{}<failure xmlns='…sasl'><malformed-request/></failure>\n{good}",
        wrong("response")
    ));
    let text = "<text xml:lang='en'>only authentication may be sent now</text>";
    for other in [
        "<presence/>",
        "<resume xmlns='urn:xmpp:sm:3' previd='p' h='7'/>",
    ] {
        after_tls(&format!(
            "{silent}< {other}\n<stream:error><policy-violation/>{text}</stream:error></open>\n\
             close policy-violation"
        ));
    }
    // One login for a stream.
    let again = authenticate("PLAIN", "AGFsaWNlAHNlY3JldA==", "");
    after_tls(&format!("{good}{again}{}", error("policy-violation")));
    play(
        settings(),
        false,
        &format!("{CLEAR}{again}{}", failure("encryption-required")),
    );
}

/// XEP-0388 §2.2 and §2.4.
#[test]
fn white_space() {
    let good = format!("{}{}", plain(""), success("alice@a.test", "", AFTER));
    let text = "<text xml:lang='en'>only authentication may be sent now</text>";
    let silent =
        format!("< <authenticate xmlns='{NS}' mechanism='PLAIN'/>\n<challenge xmlns='{NS}'/>\n");
    // There should be no white space, but there is in its examples.
    let spaced = authenticate("PLAIN", " AGFsaWNl AHNlY3JldA==\t", "");
    let welcome = plain("").split_once('\n').unwrap().1.to_owned();
    after_tls(&format!(
        "{spaced}{welcome}{}",
        success("alice@a.test", "", AFTER)
    ));
    // Not even white space, and when it is over all that there ever was.
    after_tls(&format!(
        "{silent}* space\n<stream:error><policy-violation/>{text}</stream:error></open>\n\
         close policy-violation"
    ));
    after_tls(&format!(
        "* space\n{silent}{}{}* space\n{good}* space\n",
        "< <abort xmlns='urn:xmpp:sasl:2'/>\n",
        failure("aborted")
    ));
}

/// XEP-0388 §2.1: without a mechanism nobody could begin.
#[test]
fn without_mechanisms_nothing_is_offered() {
    let mut settings = settings();
    settings.mechanisms.clear();
    let mut stage = Stage::new(settings, false);
    let begin = format!("{CLEAR}{INSIDE}");
    let events = begin.lines().map(str::trim_start);
    let events = events.filter(|line| line.starts_with("< ") || line.starts_with("* "));
    let said: Vec<String> = events
        .flat_map(|line| {
            let event = stage.event(line);
            stage.handle(event)
        })
        .collect();
    let features = said.last().unwrap();
    assert!(features.contains("<stream:features>"), "{features}");
    assert!(!features.contains("<authentication"), "{features}");
}

#[test]
fn the_header_and_the_login_name_one_person() {
    let start = format!("{CLEAR}{INSIDE}");
    let named = |from: &str| {
        let at = start.rfind("< open to='a.test'").unwrap();
        let mut said = start.clone();
        said.insert_str(at + "< open to='a.test'".len(), &format!(" from='{from}'"));
        said.replace(
            "<open from='a.test' version='1.0'><stream:features><mechanisms",
            &format!("<open from='a.test' to='{from}' version='1.0'><stream:features><mechanisms"),
        )
    };
    // §2.1: he cannot log in here.
    let stranger = start.replace(
        "< open to='a.test' version='1.0'",
        "< open to='a.test' from='alice@b.test' version='1.0'",
    );
    let first = stranger.lines().next().unwrap();
    let end = error("invalid-from");
    play(
        settings(),
        false,
        &format!("{first}\n<open from='a.test' to='alice@b.test' version='1.0'>{end}"),
    );
    let refused = format!("{}{}", plain(""), failure("invalid-authzid"));
    play(
        settings(),
        false,
        &format!("{}{refused}", named("bob@a.test")),
    );
    let welcome = format!("{}{}", plain(""), success("alice@a.test", "", AFTER));
    play(
        settings(),
        false,
        &format!("{}{welcome}", named("alice@a.test")),
    );
}

#[test]
fn scram_plus_in_both_profiles_names_what_was_offered() {
    let mut protected = settings();
    protected.downgrade_hash = true;
    let mut stage = Stage::new(protected, false);
    for line in format!("{CLEAR}{INSIDE}")
        .lines()
        .filter(|line| line.starts_with(['<', '*']))
        .filter(|line| !line.starts_with("<open"))
    {
        if line.starts_with("< ") || line.starts_with("* ") {
            let event = stage.event(line);
            stage.handle(event);
        }
    }
    let first = "p=tls-exporter,,n=alice,r=abc";
    let said = authenticate("SCRAM-SHA-256-PLUS", &encode(first.as_bytes()), "");
    let event = stage.event(said.trim());
    stage.handle(event);
    let event = stage.event("* found");
    let challenge = stage.handle(event).concat();
    let challenge = challenge.split(['>', '<']).nth(2).unwrap();
    let challenge = String::from_utf8(crate::sasl::decode(challenge).unwrap()).unwrap();
    let offer = "PLAIN\u{1e}SCRAM-SHA-1\u{1e}SCRAM-SHA-1-PLUS\u{1e}SCRAM-SHA-256\u{1e}\
                 SCRAM-SHA-256-PLUS\u{1f}tls-exporter\u{1e}tls-server-end-point";
    let hash = encode(&Hash::Sha256.digest(offer.as_bytes()));
    assert!(
        challenge.ends_with(&format!(",h={hash},t=0304")),
        "{challenge}"
    );
    let last = client_final(Hash::Sha256, first, &challenge, &[1; 32], "secret");
    let line = format!(
        "< <response xmlns='{NS}'>{}</response>",
        encode(last.as_bytes())
    );
    let event = stage.event(&line);
    let said = stage.handle(event).concat();
    assert!(said.contains("<additional-data>dj"), "{said}");
}

/// XEP-0480: the one who lacks keys is asked for them, if the client offered.
#[test]
fn upgrades() {
    let mut upgrading = settings();
    upgrading.upgrades = vec![Hash::Sha256];
    let feature = "<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-256</upgrade>";
    let start = format!("{CLEAR}{INSIDE}");
    let start = start.replace("</authentication>", &format!("{feature}</authentication>"));
    let proven = |found: &str| {
        let said = authenticate("PLAIN", "AGFsaWNlAHNlY3JldA==", feature);
        format!("{start}{said}fetch alice@a.test\n* {found}\ncheck\n* checked\n")
    };
    let welcome = success("alice@a.test", "", AFTER);
    let play = |text: &str| play(upgrading.clone(), false, text);
    // Nothing lacks.
    play(&format!("{}{welcome}", proven("found")));
    let salt = encode(&[1; 16]);
    let asked = format!(
        "{}<continue xmlns='{NS}'><tasks><task>UPGR-SCRAM-SHA-256</task></tasks></continue>\n",
        proven("found old"),
    );
    let next = format!("< <next xmlns='{NS}' task='UPGR-SCRAM-SHA-256'/>\n");
    let salted = format!(
        "<task-data xmlns='{NS}'><salt xmlns='urn:xmpp:scram-upgrade:0' iterations='4096'>{salt}\
         </salt></task-data>\n"
    );
    let data = |hash: &str| {
        format!(
            "< <task-data xmlns='{NS}'><hash xmlns='urn:xmpp:scram-upgrade:0'>{hash}</hash>\
             </task-data>\n"
        )
    };
    let good = data(&encode(&[7; 32]));
    let kept = "upgrade alice@a.test Sha256\n* upgraded\n";
    play(&format!("{asked}{next}{salted}{good}{kept}{welcome}"));
    let full = "upgrade alice@a.test Sha256\n* not upgraded\n";
    let later = failure("temporary-auth-failure");
    play(&format!("{asked}{next}{salted}{good}{full}{later}"));
    let malformed = failure("malformed-request");
    play(&format!("{asked}{good}{malformed}"));
    play(&format!("{asked}{next}{salted}{next}{malformed}"));
    let short = data(&encode(&[7; 20]));
    play(&format!("{asked}{next}{salted}{short}{malformed}"));
    let bad = data("!!!");
    play(&format!(
        "{asked}{next}{salted}{bad}{}",
        failure("incorrect-encoding")
    ));
    let again = authenticate("PLAIN", "AGFsaWNlAHNlY3JldA==", "");
    play(&format!("{asked}{again}{}", error("policy-violation")));
    let abort = format!("< <abort xmlns='{NS}'/>\n");
    play(&format!("{asked}{abort}{}", failure("aborted")));
}

/// XEP-0509: what was offered has a name, and who goes by another is told so without prejudice.
#[test]
fn pipelining() {
    let secured = |settings| {
        let mut stage = Stage::new(settings, false);
        stage.client = Client::new(stage.client.settings.clone(), false, Some(bindings()));
        stage
    };
    let version = |settings| {
        let mut stage = secured(settings);
        let event = stage.event("< open to='a.test' version='1.0'");
        stage.handle(event);
        stage.client.opened.unwrap().version.unwrap()
    };
    let (ours, mut other) = (version(settings()), settings());
    assert_eq!(ours, version(settings()), "stable");
    other.tokens = false;
    assert_ne!(ours, version(other), "something else is offered");
    let claim = |value: &str| {
        let claim =
            format!("<config-version xmlns='urn:xmpp:iap:0' scheme='opaque' value='{value}'/>");
        authenticate("PLAIN", "AGFsaWNlAHNlY3JldA==", &claim)
    };
    let right = "fetch alice@a.test\n* found\ncheck\n* checked\n";
    let welcome = success("alice@a.test", "", AFTER);
    after_tls(&format!("{}{right}{welcome}", claim(&ours)));
    let mismatch = failure("aborted").replace(
        "</failure>",
        "<config-version-mismatch xmlns='urn:xmpp:iap:0'/></failure>",
    );
    // It counts for nothing, however often.
    let stale = format!("{}{mismatch}", claim("stale")).repeat(30);
    after_tls(&format!("{stale}{}{right}{welcome}", claim(&ours)));
}
