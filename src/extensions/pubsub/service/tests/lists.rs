//! Lists of people: in pages, and changes of several at once.

use super::people::affiliate;
use super::*;

fn changes(what: &str, entries: &[(&str, &str)]) -> String {
    let one = |(jid, to): &(&str, &str)| format!("<{what} jid='{jid}' {what}='{to}'/>");
    let all: String = entries.iter().map(one).collect();
    format!("<{what}s node='n'>{all}</{what}s>")
}

/// XEP-0059 with §5.6, §5.7, §8.8.1 and §8.9.1.
#[test]
fn people_come_in_pages() {
    let mut stage = Stage::with_node(&[]);
    let names: Vec<String> = (0..9).map(|it| format!("b{it}@b.test")).collect();
    let made: Vec<_> = names.iter().map(|it| (it.as_str(), "subscribed")).collect();
    stage.own(ALICE, "set", &changes("subscription", &made));
    let made: Vec<_> = names.iter().map(|it| (it.as_str(), "member")).collect();
    stage.own(ALICE, "set", &changes("affiliation", &made));
    stage.restart();
    let set = |inside: &str| format!("<set xmlns='http://jabber.org/protocol/rsm'>{inside}</set>");
    for (list, count) in [("subscription", 9), ("affiliation", 10)] {
        let whole = stage
            .own(ALICE, "get", &format!("<{list}s node='n'/>"))
            .remove(0);
        assert_eq!(whole.matches(&format!("<{list} ")).count(), count);
        assert!(!whole.contains("<set"), "nothing is missing: {whole}");
        let page = set("<max>2</max><after>b3@b.test</after>");
        let page = stage
            .own(ALICE, "get", &format!("<{list}s node='n'/>{page}"))
            .remove(0);
        assert_eq!(page.matches(&format!("<{list} ")).count(), 2, "{page}");
        assert!(page.contains("'b4@b.test'") && page.contains("<last>b5@b.test</last>"));
        assert!(page.contains(&format!("<count>{count}</count>")), "{page}");
    }
    for node in ["m", "o"] {
        stage.create(ALICE, node, &[]);
        stage.set(BOB, &subscribe(node, BOB));
    }
    for (who, list) in [(BOB, "subscription"), (ALICE, "affiliation")] {
        let first = stage
            .get(who, &format!("<{list}s/>{}", set("<max>1</max>")))
            .remove(0);
        let last = first
            .split("<last>")
            .nth(1)
            .and_then(|it| it.split('<').next());
        let after = set(&format!(
            "<max>1</max><after>{}</after>",
            last.expect("its end")
        ));
        let second = stage.get(who, &format!("<{list}s/>{after}")).remove(0);
        assert_eq!(second.matches(&format!("<{list} ")).count(), 1, "{second}");
        let node = |text: &str| {
            let text = text.split(" node='").nth(1).expect("a node").to_owned();
            text.split('\'').next().map(str::to_owned)
        };
        assert_ne!(node(&first), node(&second));
    }
}

/// §8.8.2.4 and §8.9.2.4: one that cannot be means that none is, and each is shown as it stands.
#[test]
fn several_changes_are_all_made_or_none() {
    let mut stage = Stage::with_node(&[]);
    stage.own(ALICE, "set", &affiliate("bob@b.test", "publisher"));
    stage.set(BOB, &subscribe("n", "bob@b.test"));
    for (what, entries, stands) in [
        (
            "affiliation",
            [("alice@a.test", "none"), ("eve@evil.test", "outcast")],
            ["owner", "none"],
        ),
        (
            "affiliation",
            [("eve@evil.test", "member"), ("bob@b.test", "member")],
            ["none", "publisher"],
        ),
        (
            "subscription",
            [("eve@evil.test", "subscribed"), ("bob@b.test", "pending")],
            ["none", "subscribed"],
        ),
    ] {
        let refused = stage.own(ALICE, "set", &changes(what, &entries));
        assert_eq!(verdict(&refused), "not-acceptable ", "{entries:?}");
        assert!(refused[0].contains("<error type='modify'>"), "{refused:?}");
        for ((jid, _), is) in entries.iter().zip(stands) {
            let entry = format!("jid='{jid}' {what}='{is}'/>");
            assert!(refused[0].contains(&entry), "{entry}: {refused:?}");
        }
        let all = stage.own(ALICE, "get", &format!("<{what}s node='n'/>"));
        assert!(!all[0].contains("eve"), "{all:?}");
    }
    let twice = [("eve@evil.test", "member"), ("eve@evil.test", "outcast")];
    let refused = stage.own(ALICE, "set", &changes("affiliation", &twice));
    assert_eq!(verdict(&refused), "bad-request ");
    let unknown = stage.own(ALICE, "set", &affiliate("eve@evil.test", "king"));
    assert_eq!(verdict(&unknown), "bad-request ");
}

/// The chart of §4.1.
#[test]
fn nobody_is_made_less_but_by_way_of_nothing() {
    for (is, to, answer) in [
        ("owner", "none", "result"),
        ("owner", "publisher", "not-acceptable "),
        ("owner", "member", "not-acceptable "),
        ("owner", "outcast", "not-acceptable "),
        ("publisher", "member", "not-acceptable "),
        ("publisher", "outcast", "result"),
        ("publisher", "owner", "result"),
        ("outcast", "owner", "result"),
        ("member", "none", "result"),
    ] {
        let mut stage = Stage::with_node(&[]);
        stage.own(ALICE, "set", &affiliate("bob@b.test", is));
        let mut said = stage.own(ALICE, "set", &affiliate("bob@b.test", to));
        said.truncate(1);
        assert_eq!(verdict(&said), answer, "{is} to {to}");
    }
}
