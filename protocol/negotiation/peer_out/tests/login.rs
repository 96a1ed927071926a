//! EXTERNAL, dialback in its place, and stream management.

use super::*;

const SM: &str = "<sm xmlns='urn:xmpp:sm:3'/>";
const ENABLE: &str = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>\n";
const ENABLED: &str = "< <enabled xmlns='urn:xmpp:sm:3' id='p' resume='true'/>\nenabled p\n";
const PROVED: &str = "proved a.test to far.test\n";

fn authenticated(late: &str) -> String {
    let (offered, late) = (features(EXTERNAL), features(late));
    format!("{SECURED}{ANSWER}{offered}{AUTH}{SUCCESS}{ANSWER}{late}")
}

#[test]
fn by_certificate() {
    let stage = play(&(authenticated("") + PROVED));
    assert!(stage.0.is_external() && !stage.0.is_bidi());
    let challenge = "< <challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>\n";
    let response = "<response xmlns='…sasl'>YS50ZXN0</response>\n";
    let text = authenticated("").replace(SUCCESS, &format!("{challenge}{response}{SUCCESS}"));
    play(&(text + PROVED));
}

/// Without a certificate that is good for our domain, or where it is not offered.
#[test]
fn by_dialback_where_external_cannot_be() {
    let ours = Errand {
        external: false,
        ..errand()
    };
    let both = EXTERNAL.to_owned() + ERRORS;
    let claim = claim("a.test", "far.test") + &valid("a.test", "far.test");
    let text = format!("{SECURED}{ANSWER}{}{claim}", features(&both));
    let stage = play_for(ours, settings(), &text);
    assert!(!stage.0.is_external());
    play(&by_dialback());
    // The feature is enough, and so is the namespace in the header.
    play(&format!("{SECURED}{ANSWER}{}{claim}", features("")));
    let bare = ANSWER.replace("id=", "nodb='' id=");
    play(&format!("{SECURED}{bare}{}{claim}", features(ERRORS)));
    let none = error("unsupported-feature");
    let none = none + &denied("its server offers no way to tell it who we are");
    play(&format!("{SECURED}{bare}{}{none}", features("")));
    let without = Settings {
        dialback: false,
        ..settings()
    };
    play_for(
        errand(),
        without,
        &format!("{SECURED}{ANSWER}{}{none}", features(ERRORS)),
    );
}

#[test]
fn by_dialback_where_external_failed() {
    let offered = features(&(EXTERNAL.to_owned() + ERRORS));
    let begun = format!("{SECURED}{ANSWER}{offered}{AUTH}{REFUSED}");
    let claimed = begun.clone() + &claim("a.test", "far.test");
    play(&(claimed.clone() + &valid("a.test", "far.test")));
    // Some close then: the reason is what they said before.
    let why = denied("its server does not accept our certificate (not-authorized)");
    play(&format!("{claimed}< close\n</open>\n{why}"));
    let without = Settings {
        dialback: false,
        ..settings()
    };
    play_for(errand(), without, &format!("{begun}</open>\n{why}"));
}

/// Row F44: what we did not begin.
#[test]
fn a_success_that_nobody_asked_for_says_nothing() {
    let success = "< <success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>\n";
    let other = "< <db:result from='far.test' to='b.test' type='valid'/>
        < <db:result from='other.test' to='a.test' type='valid'/>
        < <db:result from='a.test' to='far.test' type='valid'/>\n";
    let claimed = format!("{}{}", features(ERRORS), claim("a.test", "far.test"));
    let text = format!("{SECURED}{ANSWER}{success}{claimed}{success}{other}");
    let stage = play(&text);
    assert!(stage.0.pairs().is_empty());
    // Said before we asked, or once more, it says nothing either.
    let early = "< <db:result from='far.test' to='a.test' type='valid'/>\n";
    let late = "< <db:result from='far.test' to='a.test' type='invalid'/>\n";
    let valid = valid("a.test", "far.test");
    play(&format!(
        "{SECURED}{ANSWER}{early}{claimed}{valid}{late}{early}"
    ));
}

/// Row F45.
#[test]
fn stanzas_come_back_only_where_we_asked_for_them() {
    use StreamCondition::*;
    let mut stage = play(&(authenticated("") + PROVED));
    assert_eq!(
        stage.admits("x@far.test", "alice@a.test"),
        Err(NotAuthorized)
    );
    let done = stage.step("< <message from='x@far.test' to='alice@a.test'/>");
    assert_eq!(done[0], error("not-authorized").trim());

    let bidi = "<bidi xmlns='urn:xmpp:features:bidi'/>";
    let asked = authenticated("")
        .replace(EXTERNAL, &(EXTERNAL.to_owned() + bidi))
        .replace(AUTH, &format!("<bidi xmlns='urn:xmpp:bidi'/>{AUTH}"));
    let begun = asked.split(SUCCESS).next().unwrap();
    let stage = play(begun);
    assert_eq!(
        stage.admits("x@far.test", "alice@a.test"),
        Err(NotAuthorized)
    );
    let stage = play(&(asked + PROVED));
    let rows = [
        ("x@far.test", "alice@a.test", Ok(())),
        ("x@FAR.test.", "carol@b.test", Ok(())),
        ("x@other.test", "alice@a.test", Err(InvalidFrom)),
        ("x@sub.far.test", "alice@a.test", Err(InvalidFrom)),
        ("alice@a.test", "alice@a.test", Err(InvalidFrom)),
        ("x@far.test", "x@third.test", Err(HostUnknown)),
    ];
    for (from, to, wanted) in rows {
        assert_eq!(stage.admits(from, to), wanted, "{from} {to}");
    }
    let without = Settings {
        bidi: false,
        ..settings()
    };
    let offered = authenticated("").replace(EXTERNAL, &(EXTERNAL.to_owned() + bidi));
    let stage = play_for(errand(), without, &(offered + PROVED));
    assert!(!stage.0.is_bidi());
}

#[test]
fn stream_management_is_on_before_the_first_stanza() {
    let r = "< <r xmlns='urn:xmpp:sm:3'/>\nmanaged Request\n";
    let a = "< <a xmlns='urn:xmpp:sm:3' h='2'/>\nmanaged Answer { h: 2 }\n";
    let open = authenticated(SM) + ENABLE;
    play(&format!("{open}{ENABLED}{PROVED}{r}{a}"));
    let bare = "< <enabled xmlns='urn:xmpp:sm:3' id='p'/>\nenabled -\n";
    play(&format!("{open}{bare}{PROVED}{r}"));
    let failed = "< <failed xmlns='urn:xmpp:sm:3'/>\n";
    let ignored = "< <r xmlns='urn:xmpp:sm:3'/>\n";
    play(&format!("{open}{ignored}{failed}{PROVED}{ignored}"));
    play(&format!(
        "{open}* lost\n{}",
        denied("the connection to its server broke")
    ));
    // By dialback there is no header more behind which it could be offered.
    let claimed = claim("a.test", "far.test");
    let told = "< <db:result from='far.test' to='a.test' type='valid'/>\n";
    let text = format!("{SECURED}{ANSWER}{}{claimed}{told}", features(SM));
    play(&format!("{text}{ENABLE}{ENABLED}{PROVED}"));
    let without = Settings {
        management: false,
        ..settings()
    };
    play_for(errand(), without, &(authenticated(SM) + PROVED));
    let counted = Settings {
        resumption: false,
        ..settings()
    };
    let enable = "<enable xmlns='urn:xmpp:sm:3'/>\n";
    let text = format!("{}{enable}{bare}{PROVED}", authenticated(SM));
    play_for(errand(), counted, &text);
    // What nobody asked for.
    let odd = "< <enabled xmlns='urn:xmpp:sm:3' id='p'/>
        < <resumed xmlns='urn:xmpp:sm:3' previd='p' h='1'/>
        < <failed xmlns='urn:xmpp:sm:3'/>
        < <enable xmlns='urn:xmpp:sm:3'/>
        <failed xmlns='urn:xmpp:sm:3'><unexpected-request/></failed>\n";
    play(&format!("{}{PROVED}{odd}", authenticated("")));
}

#[test]
fn an_earlier_session_goes_on() {
    let earlier = Errand {
        earlier: Some(Earlier {
            previd: "p".into(),
            h: 4,
        }),
        ..errand()
    };
    let resume = "<resume xmlns='urn:xmpp:sm:3' h='4' previd='p'/>\n";
    let open = authenticated(SM) + resume;
    let play = |text: &str| play_for(earlier.clone(), settings(), text);
    let resumed = "< <resumed xmlns='urn:xmpp:sm:3' previd='p' h='7'/>\n";
    let r = "< <r xmlns='urn:xmpp:sm:3'/>\nmanaged Request\n";
    play(&format!("{open}{resumed}resumed 7\n{PROVED}{r}"));
    let failed = "< <failed xmlns='urn:xmpp:sm:3' h='6'/>\nnot resumed Some(6)\n";
    play(&format!("{open}{failed}{ENABLE}{ENABLED}{PROVED}"));
    let other = resumed.replace("'p'", "'q'");
    let why = denied("its server broke the protocol (bad-format)");
    play(&format!("{open}{other}{}{why}", error("bad-format")));
    // Not offered: counting begins anew, or not at all.
    play(&(authenticated("") + PROVED));
}
