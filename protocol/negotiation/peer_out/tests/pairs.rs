//! More than one pair on a stream.

use super::*;

fn refused(from: &str, to: &str, condition: &str) -> String {
    format!(
        "< <db:result from='{to}' to='{from}' type='error'><error type='cancel'>\
         <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:result>\n"
    )
}

#[test]
fn a_pair_may_be_refused() {
    let claimed = format!(
        "{SECURED}{ANSWER}{}{}",
        features(ERRORS),
        claim("a.test", "far.test")
    );
    let why = "its server says that our dialback key is wrong";
    let told = format!("denied a.test to far.test: {why}\n</open>\nclose: {why}");
    play(&format!("{claimed}{}{told}", invalid("a.test", "far.test")));
    let why = "its server refuses to hear us (item-not-found)";
    let told = format!("denied a.test to far.test: {why}\n</open>\nclose: {why}");
    play(&format!(
        "{claimed}{}{told}",
        refused("a.test", "far.test", "item-not-found")
    ));
    let closed = denied("its server closed the stream");
    play(&format!("{claimed}< close\n</open>\n{closed}"));
}

/// XEP-0220 §2.6.1: another of our domains, at any time.
#[test]
fn our_second_domain() {
    let want = "* want b.test far.test -\n";
    let claimed = claim("b.test", "far.test");
    let valid = valid("b.test", "far.test");
    let stage = play(&format!(
        "{}{want}{claimed}{want}{valid}{want}proved b.test to far.test",
        by_dialback()
    ));
    assert_eq!(stage.0.pairs().len(), 2);
    // Before anything is negotiated it waits, and goes with the first.
    let begun = format!("{want}* want a.test far.test -\n{SECURED}{ANSWER}");
    let both = format!("{}{}", claim("a.test", "far.test").trim(), claimed);
    play(&format!("{begun}{}{both}{valid}", features(ERRORS)));
    let none = "its server says that our dialback key is wrong";
    let text = format!("{}{want}{claimed}", by_dialback());
    let mut stage = play(&format!(
        "{text}{}denied b.test to far.test: {none}",
        invalid("b.test", "far.test")
    ));
    // The first goes on.
    stage.play("* want a.test far.test -\nproved a.test to far.test");
}

/// XEP-0220 §2.6.2 and row F38: another of theirs, where it is known to be there.
#[test]
fn their_second_domain() {
    let separate = "denied a.test to two.test: its server needs another connection for this\n";
    let open = by_dialback();
    let want = "* want a.test two.test certified\n";
    let proved = claim("a.test", "two.test") + &valid("a.test", "two.test");
    play(&format!("{open}{want}{proved}"));
    play(&format!("{open}* want a.test two.test -\n{separate}"));
    let without = open.replace(ERRORS, "<dialback xmlns='urn:xmpp:features:dialback'/>");
    play(&format!("{without}{want}{separate}"));
    let without = Settings {
        dialback: false,
        ..settings()
    };
    let text = format!(
        "{SECURED}{ANSWER}{}{AUTH}{SUCCESS}{ANSWER}{}proved a.test to far.test\n",
        features(EXTERNAL),
        features(ERRORS)
    );
    play_for(errand(), without, &format!("{text}{want}{separate}"));
    play(&format!("{text}{want}{proved}"));
}

#[test]
fn pairs_are_bounded_and_none_is_forgotten() {
    let mut stage = play(&by_dialback());
    for to in ["t1.test", "t2.test"] {
        stage.play(&format!(
            "* want a.test {to} certified\n{}",
            claim("a.test", to)
        ));
    }
    let separate = "its server needs another connection for this";
    stage.play(&format!(
        "* want a.test t3.test certified\ndenied a.test to t3.test: {separate}"
    ));
    let lost = "the connection to its server broke";
    stage.play(&format!(
        "* lost\ndenied a.test to t1.test: {lost}\ndenied a.test to t2.test: {lost}\n\
         close: {lost}\n* want a.test t1.test certified\ndenied a.test to t1.test: {separate}"
    ));
}

/// Pairs that are proved while stream management begins wait for it, too, or are denied.
#[test]
fn pairs_wait_for_stream_management() {
    let sm = ERRORS.to_owned() + "<sm xmlns='urn:xmpp:sm:3'/>";
    let both = format!(
        "{}{}",
        claim("a.test", "far.test").trim(),
        claim("b.test", "far.test")
    );
    let told = |from: &str| format!("< <db:result from='far.test' to='{from}' type='valid'/>\n");
    let text = format!(
        "* want b.test far.test -\n{SECURED}{ANSWER}{}{both}{}\
         <enable xmlns='urn:xmpp:sm:3' resume='true'/>\n{}",
        features(&sm),
        told("a.test"),
        told("b.test")
    );
    let enabled = "< <enabled xmlns='urn:xmpp:sm:3'/>\nenabled -\n";
    let proved = "proved a.test to far.test\nproved b.test to far.test";
    play(&format!("{text}{enabled}{proved}"));
    let lost = "the connection to its server broke";
    play(&format!(
        "{text}* lost\ndenied a.test to far.test: {lost}\ndenied b.test to far.test: {lost}\n\
         close: {lost}"
    ));
    let separate = "its server needs another connection for this";
    play(&format!(
        "{text}* finish\n</open>\ndenied a.test to far.test: {separate}\n\
         denied b.test to far.test: {separate}\n< close\nclose"
    ));
}

/// What the peer wants to send it may send on a stream of its own; whether a key is ours we tell.
#[test]
fn what_the_peer_asks() {
    let open = by_dialback();
    play(&format!(
        "{open}< <db:result from='two.test' to='a.test'>k</db:result>
        <db:result from='a.test' to='two.test' type='error'><error type='wait'>\
<resource-constraint/></error></db:result>"
    ));
    let key = key("a.test", "far.test", "x");
    play(&format!(
        "{open}< <db:verify from='far.test' to='a.test' id='x'>{key}</db:verify>
        <db:verify from='a.test' to='far.test' id='x' type='valid'/>
        < <db:verify from='far.test' to='a.test' id='y'>{key}</db:verify>
        <db:verify from='a.test' to='far.test' id='y' type='invalid'/>
        < <db:verify from='far.test' to='c.test' id='x'>{key}</db:verify>
        <db:verify from='c.test' to='far.test' id='x' type='error'><error type='cancel'>\
<item-not-found/></error></db:verify>"
    ));
}

#[test]
fn the_end_is_said_by_both() {
    let open = by_dialback();
    play(&format!(
        "{open}* finish\n</open>\n* finish\n< space\n< <message/>\n< close\nclose"
    ));
    let lost = "the connection to its server broke";
    play(&format!("{open}* finish\n</open>\n* lost\nclose: {lost}"));
    play(&format!(
        "{open}< close\n</open>\nclose: its server closed the stream"
    ));
    let separate = "its server needs another connection for this";
    play(&format!(
        "{open}* finish\n</open>\n* want b.test far.test -\ndenied b.test to far.test: {separate}"
    ));
}
