//! The keys of the specification's examples, and elements read and written.

use super::*;

fn read(text: &str) -> Result<Dialback, StreamCondition> {
    let text = text.replace("<db:", "<").replace("</db:", "</");
    let element = Element::parse(&text, ns::DIALBACK).unwrap();
    Dialback::parse(&element).map_err(|error| error.condition)
}

fn written(element: &Dialback) -> String {
    let mut out = Vec::new();
    element.write(&mut out);
    String::from_utf8(out).unwrap()
}

/// XEP-0185 §3, and XEP-0220 §2.1.1 and §2.2.2.
#[test]
fn keys_are_those_of_the_examples() {
    let rows = [
        (
            "s3cr3tf0rd14lb4ck",
            ("example.org", "xmpp.example.com", "D60000229F"),
            "37c69b1cf07a3f67c04a5ef5902fa5114f2c76fe4a2686482ba5b89323075643",
        ),
        (
            "s3cr3tf0rd14lb4ck",
            ("capulet.example", "montague.example", "D60000229F"),
            "b4835385f37fe2895af6c196b59097b16862406db80559900d96bf6fa7d23df3",
        ),
        (
            "d14lb4ck43v3r",
            ("montague.example", "capulet.example", "417GAF25"),
            "225cc5aa6a071133249d25fef42ae516fc7a86c523aa1c6980a7f73e784c972d",
        ),
    ];
    for (secret, (from, to, id), key) in rows {
        let (secret, claim) = (Secret::hashed(secret.as_bytes()), Pair::new(from, to));
        assert_eq!(secret.key(&claim, id), key);
        assert!(secret.is_key(&claim, id, key));
        assert_eq!(secret.answer(&claim.reversed(), id, key), Verdict::Valid);
        assert_eq!(secret.answer(&claim, id, key), Verdict::Invalid);
        for wrong in ["", &key[1..], &format!("{key}0"), &key.to_uppercase()] {
            assert!(!secret.is_key(&claim, id, wrong), "{wrong}");
        }
        assert!(!secret.is_key(&claim, &id[1..], key));
        assert!(!Secret::new(&[0; 32]).is_key(&claim, id, key));
    }
}

#[test]
fn a_secret_is_not_shown() {
    assert_eq!(format!("{:?}", Secret::new(&[7; 32])), "Secret");
}

#[test]
fn elements_are_written_and_read_back() {
    let pair = || Pair::new("a.test", "b.test");
    let rows = [
        (
            Dialback::Claim {
                pair: pair(),
                key: "k".into(),
            },
            "<db:result from='a.test' to='b.test'>k</db:result>",
        ),
        (
            Dialback::Query {
                pair: pair(),
                id: "<1>".into(),
                key: "k".into(),
            },
            "<db:verify from='a.test' to='b.test' id='&lt;1&gt;'>k</db:verify>",
        ),
        (
            Dialback::Answer {
                pair: pair(),
                id: "1".into(),
                verdict: Verdict::Invalid,
            },
            "<db:verify from='a.test' to='b.test' id='1' type='invalid'/>",
        ),
        (
            Dialback::Outcome {
                pair: pair(),
                verdict: Verdict::Error(Problem::ItemNotFound),
            },
            "<db:result from='a.test' to='b.test' type='error'><error type='cancel'>\
             <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:result>",
        ),
        (
            Dialback::Outcome {
                pair: pair(),
                verdict: Verdict::Valid,
            },
            "<db:result from='a.test' to='b.test' type='valid'/>",
        ),
    ];
    for (element, text) in rows {
        assert_eq!(written(&element), text);
        assert_eq!(read(text), Ok(element), "{text}");
    }
}

/// XEP-0220 §2.5; on our side of the wire `<error/>` is in `jabber:server`.
#[test]
fn every_problem_has_its_name() {
    for (problem, name) in Problem::NAMES {
        let verdict = Verdict::Error(problem);
        let pair = Pair::new("a.test", "b.test");
        let text = written(&Dialback::Outcome { pair, verdict });
        assert!(text.contains(&format!("<{name} ")), "{text}");
        let inside = text.replace("<error", "<error xmlns='jabber:server'");
        match read(&inside) {
            Ok(Dialback::Outcome { verdict: got, .. }) => assert_eq!(got, verdict),
            other => panic!("{other:?}"),
        }
    }
    let unknown =
        "<db:result from='a.test' to='b.test' type='error'><error><odd/></error></db:result>";
    match read(unknown) {
        Ok(Dialback::Outcome { verdict, .. }) => {
            assert_eq!(verdict, Verdict::Error(Problem::Other));
        }
        other => panic!("{other:?}"),
    }
}

/// White space stands around the keys of the specification's own examples; case and a final dot of
/// a domain mean nothing.
#[test]
fn what_means_the_same_is_read_as_the_same() {
    let claim = read("<db:result from='A.Test.' to='xn--exmple-cua.test'>\n  k\n</db:result>");
    let pair = Pair::new("a.test", "exämple.test");
    let key = "k".into();
    assert_eq!(claim, Ok(Dialback::Claim { pair, key }));
}

/// Attack F23.
#[test]
fn faults_are_told_apart() {
    use StreamCondition::*;
    let long = "k".repeat(257);
    let rows = [
        (
            "<db:result to='b.test'>k</db:result>".to_owned(),
            ImproperAddressing,
        ),
        (
            "<db:result from='a.test'>k</db:result>".into(),
            ImproperAddressing,
        ),
        (
            "<db:result from='x@a.test' to='b.test'>k</db:result>".into(),
            ImproperAddressing,
        ),
        (
            "<db:result from='a.test' to='b.test/r'>k</db:result>".into(),
            ImproperAddressing,
        ),
        (
            "<db:result from='a test' to='b.test'>k</db:result>".into(),
            ImproperAddressing,
        ),
        (
            "<db:result from='' to='b.test'>k</db:result>".into(),
            ImproperAddressing,
        ),
        (
            format!("<db:result from='a.test' to='b.test'>{long}</db:result>"),
            PolicyViolation,
        ),
        (
            format!("<db:verify from='a.test' to='b.test' id='{long}'/>"),
            PolicyViolation,
        ),
        (
            "<db:verify from='a.test' to='b.test'>k</db:verify>".into(),
            BadFormat,
        ),
        (
            "<db:verify from='a.test' to='b.test' id=''>k</db:verify>".into(),
            BadFormat,
        ),
        (
            "<db:result from='a.test' to='b.test' type='odd'/>".into(),
            BadFormat,
        ),
        (
            "<db:other from='a.test' to='b.test'/>".into(),
            UnsupportedStanzaType,
        ),
    ];
    for (text, condition) in rows {
        assert_eq!(read(&text), Err(condition), "{text}");
    }
}
