//! Events in any order: without a proof nobody is let in.

use proptest::prelude::*;

use super::*;

/// Everything that a peer may say and be told, but a good certificate and a valid key.
const UNPROVED: &[&str] = &[
    "< open from='evil.test' to='a.test' version='1.0'",
    "< open to='a.test' version='1.0'",
    "< open from='a.test' to='a.test' version='1.0'",
    "< <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    "< <auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>",
    "< <auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'/>",
    "< <response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>=</response>",
    "< <bidi xmlns='urn:xmpp:bidi'/>",
    "< <db:result from='evil.test' to='a.test'>k</db:result>",
    "< <db:result from='two.test' to='b.test'>k</db:result>",
    "< <db:result from='evil.test' to='a.test' type='valid'/>",
    "< <db:result from='a.test' to='evil.test' type='valid'/>",
    "< <db:verify from='evil.test' to='a.test' id='1'>k</db:verify>",
    "< <db:verify from='evil.test' to='a.test' id='1' type='valid'/>",
    "< <enable xmlns='urn:xmpp:sm:3' resume='true'/>",
    "< <resume xmlns='urn:xmpp:sm:3' previd='p' h='1'/>",
    "< <r xmlns='urn:xmpp:sm:3'/>",
    "* secured",
    "* dialback",
    "* uncertified",
    "* resumed",
    "* forgotten",
    "* verified evil.test a.test #0 invalid",
    "* verified evil.test a.test #1 timeout",
    "* verified other.test a.test #0 valid",
];

/// What else may happen.
const REST: &[&str] = &[
    "* certified",
    "* blocked",
    "* verified evil.test a.test #0 valid",
    "* verified two.test b.test #1 valid",
    "< <message from='x@evil.test' to='bob@a.test'/>",
    "< close",
    "* timeout",
];

/// As it begins when all goes well, up to some point, and then anything.
fn lines(all: Vec<&'static str>) -> impl Strategy<Value = Vec<&'static str>> {
    const OPENING: [&str; 4] = [UNPROVED[0], "* dialback", UNPROVED[8], "* dialback"];
    let begin = (0..=OPENING.len()).prop_map(|count| OPENING[..count].to_vec());
    let rest = prop::collection::vec(prop::sample::select(all), 1..20);
    (begin, rest).prop_map(|(begin, rest)| [begin, rest].concat())
}

fn run(stage: &mut Stage, line: &str) -> Vec<String> {
    let ids = (0..2).map(|n| (format!("#{n}"), transcript::id(n)));
    let line = ids.fold(line.to_owned(), |line, (name, id)| line.replace(&name, &id));
    stage.step(&line)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn without_a_proof_nobody_is_let_in(lines in lines(UNPROVED.to_vec()), secured: bool) {
        let mut stage = Stage::new(settings(), secured);
        for line in lines {
            let done = run(&mut stage, line);
            prop_assert!(!done.iter().any(|done| done.starts_with("proved")), "{:?}", done);
            prop_assert!(stage.peer.pairs().is_empty());
            prop_assert!(stage.admits("x@evil.test", "bob@a.test").is_err());
        }
    }

    /// And whatever happens, nothing is said after the end, and before TLS nobody is let in.
    #[test]
    fn the_end_is_the_end(lines in lines([UNPROVED, REST].concat()), secured: bool) {
        let (mut stage, mut inside, mut over) = (Stage::new(settings(), secured), secured, false);
        for line in lines {
            let done = run(&mut stage, line);
            prop_assert!(!over || done.is_empty(), "{:?}", done);
            over |= done.iter().any(|done| done.starts_with("close"));
            inside |= line == "* secured";
            prop_assert!(inside || stage.peer.pairs().is_empty());
        }
    }
}
