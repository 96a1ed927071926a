//! Dialback: each pair alone.

use super::*;

fn claim(from: &str, to: &str) -> String {
    format!("< <db:result from='{from}' to='{to}'>k</db:result>\n")
}

fn verify(from: &str, to: &str) -> String {
    format!(
        "{}judge {from}\n* dialback\nverify {from} to {to} #0 k\n",
        claim(from, to)
    )
}

fn told(from: &str, to: &str, verdict: &str) -> String {
    format!("* verified {from} {to} #0 {verdict}\n")
}

fn outcome(from: &str, to: &str, verdict: &str) -> String {
    format!("<db:result from='{to}' to='{from}' type='{verdict}'/>\n")
}

fn refused(from: &str, to: &str, kind: &str, condition: &str) -> String {
    format!(
        "<db:result from='{to}' to='{from}' type='error'><error type='{kind}'>\
         <{condition}/></error></db:result>\n"
    )
}

const EVIL: (&str, &str) = ("evil.test", "a.test");
const INVALID: Result<(), StreamCondition> = Err(StreamCondition::InvalidFrom);

#[test]
fn a_key_is_asked_back() {
    let (from, to) = EVIL;
    let asked = format!("{}{}", by_dialback(), verify(from, to));
    let stage = play(true, &asked);
    let early = stage.admits("x@evil.test", "a.test");
    assert_eq!(early, Err(StreamCondition::NotAuthorized));
    let valid = told(from, to, "valid") + &outcome(from, to, "valid");
    let stage = play(
        true,
        &format!("{asked}{valid}proved evil.test to a.test false"),
    );
    assert_eq!(stage.admits("x@evil.test", "bob@a.test"), Ok(()));
    // XEP-0220 §2.2.1: the only pair is a lie.
    let invalid = told(from, to, "invalid") + outcome(from, to, "invalid").trim();
    play(true, &format!("{asked}{invalid}</open>\nclose"));
    let timeout = told(from, to, "timeout") + &refused(from, to, "wait", "remote-server-timeout");
    let stage = play(true, &format!("{asked}{timeout}{}", verify(from, to)));
    assert!(stage.peer.pairs().is_empty());
}

/// Only the claim that was asked about, and once.
#[test]
fn answers_count_for_their_claim_only() {
    let (from, to) = EVIL;
    let mut stage = play(true, &format!("{}{}", by_dialback(), verify(from, to)));
    for wrong in [
        "* verified other.test a.test #0 valid",
        "* verified evil.test b.test #0 valid",
        "* verified a.test evil.test #0 valid",
        "* verified evil.test a.test #1 valid",
    ] {
        stage.play(wrong);
    }
    assert!(stage.peer.pairs().is_empty());
    let invalid = told(from, to, "timeout") + &refused(from, to, "wait", "remote-server-timeout");
    stage.play(&format!("{invalid}{}", told(from, to, "valid")));
    assert!(stage.peer.pairs().is_empty());
}

/// Row F25, and XEP-0220 §3.1: what nobody asked for.
#[test]
fn unsolicited_answers_say_nothing() {
    let text = format!(
        "{}< <db:result from='evil.test' to='a.test' type='valid'/>
        < <db:verify from='evil.test' to='a.test' id='#0' type='valid'/>
        < <db:result from='a.test' to='evil.test' type='valid'/>
        < <message from='x@evil.test' to='bob@a.test'/>\n",
        by_dialback()
    );
    let stage = play(true, &(text + &error("not-authorized")));
    assert!(stage.peer.pairs().is_empty());
}

/// Rows F20 and F21, XEP-0344 §2.4.
#[test]
fn a_certificate_for_the_very_domain_is_enough() {
    let (from, to) = EVIL;
    let judged = format!("{}{}judge {from}\n", by_dialback(), claim(from, to));
    let valid = outcome(from, to, "valid");
    play(
        true,
        &format!("{judged}* certified\n{valid}proved evil.test to a.test false"),
    );
    let unauthorized = refused(from, to, "auth", "not-authorized");
    let stage = play(true, &format!("{judged}* uncertified\n{unauthorized}"));
    assert!(stage.peer.pairs().is_empty());
    let blocked = refused(from, to, "modify", "policy-violation");
    play(true, &format!("{judged}* blocked\n{blocked}"));
}

/// Rows F22 and F23.
#[test]
fn claims_that_cannot_be() {
    let open = by_dialback();
    let rows = [
        ("a.test", "a.test", error("invalid-from")),
        ("b.test", "a.test", error("invalid-from")),
        ("x@evil.test", "a.test", error("improper-addressing")),
        ("", "a.test", error("improper-addressing")),
        ("evil.test", "", error("improper-addressing")),
        (
            "evil.test",
            "nope.test",
            refused("evil.test", "nope.test", "cancel", "item-not-found"),
        ),
    ];
    for (from, to, wanted) in rows {
        play(true, &format!("{open}{}{wanted}", claim(from, to)));
    }
    let keyless = claim("evil.test", "a.test").replace(">k<", "> <");
    let wanted = refused("evil.test", "a.test", "modify", "not-acceptable");
    play(true, &format!("{open}{keyless}{wanted}"));
    let long = claim("evil.test", "a.test").replace(">k<", &format!(">{}<", "k".repeat(1000)));
    play(true, &format!("{open}{long}{}", error("policy-violation")));
}

/// Row F30: after EXTERNAL, one more domain is proved and one is not.
#[test]
fn each_pair_is_judged_alone() {
    let two = verify("two.test", "a.test").replace("#0", "#1")
        + &told("two.test", "a.test", "valid").replace("#0", "#1")
        + &outcome("two.test", "a.test", "valid")
        + "proved two.test to a.test false\n";
    let three = verify("three.test", "a.test").replace("#0", "#1")
        + &told("three.test", "a.test", "invalid").replace("#0", "#1")
        + &refused("three.test", "a.test", "auth", "forbidden");
    let stage = play(true, &format!("{}{two}{three}", authenticated()));
    assert_eq!(stage.admits("x@evil.test", "bob@a.test"), Ok(()));
    assert_eq!(stage.admits("x@two.test", "bob@a.test"), Ok(()));
    assert_eq!(stage.admits("x@three.test", "bob@a.test"), INVALID);
}

/// Rows F31 and F32: a certificate with more names proves none of them unasked.
#[test]
fn more_names_in_the_certificate_are_asked_for_one_by_one() {
    let mut stage = play(true, &authenticated());
    for from in ["two.test", "conference.evil.test"] {
        assert_eq!(stage.admits(from, "bob@a.test"), INVALID);
        stage.play(&format!(
            "{}judge {from}\n* certified\n{}proved {from} to a.test false",
            claim(from, "a.test"),
            outcome(from, "a.test", "valid")
        ));
        assert_eq!(stage.admits(from, "bob@a.test"), Ok(()));
    }
}

/// Row F34, with a bound of three.
#[test]
fn pairs_are_bounded() {
    let mut stage = play(true, &by_dialback());
    for n in 0..3 {
        stage.play(&verify(&format!("e{n}.test"), "a.test"));
    }
    for n in 3..1000 {
        let from = format!("e{n}.test");
        let refused = refused(&from, "a.test", "wait", "resource-constraint");
        stage.play(&format!("{}{refused}", claim(&from, "a.test")));
    }
    // The first is still being asked about, and said twice it is asked about once.
    stage.play(&claim("e0.test", "a.test"));
    let valid = told("e0.test", "a.test", "valid") + &outcome("e0.test", "a.test", "valid");
    stage.play(&format!("{valid}proved e0.test to a.test false"));
    // A pair that is proved is not proved again.
    stage.play(&(claim("e0.test", "a.test") + &outcome("e0.test", "a.test", "valid")));
    assert_eq!(stage.peer.pairs().len(), 1);
}

/// Row F29 and XEP-0220 §2.2.2: keys of ours, for whoever asks.
#[test]
fn our_own_keys_are_known() {
    let key = settings()
        .secret
        .key(&Pair::new("a.test", "evil.test"), "their-id");
    let query = |from: &str, to: &str, id: &str, verdict: &str| {
        let asked = format!("< <db:verify from='{from}' to='{to}' id='{id}'> {key} </db:verify>");
        format!("{asked}\n<db:verify from='{to}' to='{from}' id='{id}' type='{verdict}'/>\n")
    };
    let open = by_dialback();
    let rows = [
        query("evil.test", "a.test", "their-id", "valid"),
        query("other.test", "a.test", "their-id", "invalid"),
        query("evil.test", "b.test", "their-id", "invalid"),
        query("evil.test", "a.test", "other-id", "invalid"),
    ];
    play(true, &(open.clone() + &rows.concat()));
    let unknown = "< <db:verify from='evil.test' to='nope.test' id='1'>k</db:verify>
        <db:verify from='nope.test' to='evil.test' id='1' type='error'><error type='cancel'>\
<item-not-found/></error></db:verify>";
    play(true, &(open + unknown));
}

/// What was claimed before EXTERNAL is over with the header that its key was for.
#[test]
fn claims_do_not_outlive_their_header() {
    let claim = verify("two.test", "a.test");
    let text = authenticated().replace("< <auth", &format!("{claim}< <auth"));
    let stage = play(true, &(text + &told("two.test", "a.test", "valid")));
    assert_eq!(stage.peer.pairs().len(), 1);
}
