//! Events in any order: nothing goes without permission, and nobody waits for ever.

use proptest::prelude::*;

use super::*;

/// Everything that may happen but what lets stanzas go.
const UNPROVED: &[&str] = &[
    "* connected",
    "* secured certified",
    "* secured dialback",
    "< open from='far.test' to='a.test' id='s1' version='1.0'",
    "< <stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>",
    "< <stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
     <mechanism>EXTERNAL</mechanism></mechanisms><bidi xmlns='urn:xmpp:features:bidi'/>\
     </stream:features>",
    "< <stream:features><dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>\
     <sm xmlns='urn:xmpp:sm:3'/></stream:features>",
    "< <proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    "< <challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
    "< <failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><aborted/></failure>",
    "< <db:result from='far.test' to='c.test' type='valid'/>",
    "< <db:result from='a.test' to='far.test' type='valid'/>",
    "< <db:result from='far.test' to='a.test' type='error'/>",
    "< <db:result from='far.test' to='a.test'>k</db:result>",
    "< <db:verify from='far.test' to='a.test' id='1'>k</db:verify>",
    "< <db:verify from='far.test' to='a.test' id='1' type='valid'/>",
    "< <db:verify from='far.test' to='a.test' id='2' type='invalid'/>",
    "< <enabled xmlns='urn:xmpp:sm:3' id='p' resume='true'/>",
    "< <resumed xmlns='urn:xmpp:sm:3' previd='p' h='1'/>",
    "< <failed xmlns='urn:xmpp:sm:3'/>",
    "< <r xmlns='urn:xmpp:sm:3'/>",
    "* want b.test far.test -",
    "* want a.test two.test certified",
    "* want a.test far.test -",
    "* verify",
];

/// What else may happen.
const REST: &[&str] = &[
    "< <success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
    "< <db:result from='far.test' to='a.test' type='valid'/>",
    "< <db:result from='far.test' to='b.test' type='valid'/>",
    "< <db:result from='two.test' to='a.test' type='invalid'/>",
    "< close",
    "* finish",
    "* timeout",
];

/// As it begins when all goes well, up to some point, and then anything.
fn lines(all: Vec<&'static str>) -> impl Strategy<Value = Vec<&'static str>> {
    let opening = prop::sample::select(vec![
        ["* secured certified", UNPROVED[3], UNPROVED[6]],
        ["* secured certified", UNPROVED[3], UNPROVED[5]],
        ["* connected", UNPROVED[3], UNPROVED[4]],
    ]);
    let begin = (opening, 0..=3usize).prop_map(|(lines, count)| lines[..count].to_vec());
    let rest = prop::collection::vec(prop::sample::select(all), 1..20);
    (begin, rest).prop_map(|(begin, rest)| [begin, rest].concat())
}

fn stage(send: bool) -> Stage {
    let purpose = match send {
        true => Purpose::Send,
        false => Purpose::Verify,
    };
    let errand = Errand {
        purpose,
        ..errand()
    };
    Stage(PeerOut::new(Arc::new(settings()), errand))
}

/// Every key gets an id of its own.
fn run(stage: &mut Stage, line: &str, ids: &mut Vec<String>) -> Vec<String> {
    if line != "* verify" {
        return stage.step(line);
    }
    let id = (ids.len() + 1).to_string();
    let done = stage.step(&format!("* verify far.test a.test {id}"));
    ids.push(id);
    done
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn without_permission_nothing_goes(lines in lines(UNPROVED.to_vec()), send: bool) {
        let mut stage = stage(send);
        for line in lines {
            let done = run(&mut stage, line, &mut Vec::new());
            prop_assert!(!done.iter().any(|done| done.starts_with("proved")), "{:?}", done);
            prop_assert!(stage.0.pairs().is_empty());
            prop_assert!(stage.admits("x@far.test", "alice@a.test").is_err());
        }
    }

    #[test]
    fn nobody_waits_for_ever(lines in lines([UNPROVED, REST].concat()), send: bool) {
        let (mut stage, mut ids) = (stage(send), Vec::new());
        let mut done = Vec::new();
        for line in lines.iter().chain(&["* lost"]) {
            done.extend(run(&mut stage, line, &mut ids));
        }
        for id in ids {
            let start = format!("verified far.test to a.test {id} ");
            let count = done.iter().filter(|done| done.starts_with(&start)).count();
            prop_assert_eq!(count, 1, "{} {:#?}", id, done);
        }
        for line in lines.iter().chain(send.then_some(&"* want a.test far.test -")) {
            let Some(wanted) = line.strip_prefix("* want ") else { continue };
            let pair = wanted.rsplit_once(' ').unwrap().0.replace(' ', " to ");
            let (proved, denied) = (format!("proved {pair}"), format!("denied {pair}:"));
            let told = |line: &String| *line == proved || line.starts_with(&denied);
            prop_assert!(done.iter().any(told), "{} {:#?}", pair, done);
        }
        let ends = done.iter().filter(|done| done.starts_with("close")).count();
        prop_assert_eq!(ends, 1, "{:#?}", done);
        prop_assert!(!stage.0.waiting());
    }
}
