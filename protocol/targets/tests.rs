//! The rows of attack F40 that the DNS's answers decide, and the shares of RFC 2782.

use super::*;
use proptest::prelude::*;

/// Records as `(priority, weight, port, target)`.
fn records(rows: &[(u16, u16, u16, &str)]) -> Answer {
    let record = |(priority, weight, port, target): &(u16, u16, u16, &str)| Srv {
        priority: *priority,
        weight: *weight,
        port: *port,
        target: (*target).into(),
    };
    Answer::Records {
        records: rows.iter().map(record).collect(),
        proved: false,
    }
}

/// The targets as `host:port`, direct TLS with a `+`; or what there is instead.
fn shown(ways: Ways) -> Vec<String> {
    let shown = |target: &Target| {
        let mark = if target.tls == Tls::Direct { "+" } else { "" };
        format!("{}:{}{mark}", target.host, target.port)
    };
    match ways {
        Ways::Targets(targets) => targets.iter().map(shown).collect(),
        other => vec![format!("{other:?}")],
    }
}

/// Always the least number, or always the greatest.
fn both(direct: &Answer, starttls: &Answer) -> [Vec<String>; 2] {
    let least = ways(direct.clone(), starttls.clone(), |_| 0);
    let greatest = ways(direct.clone(), starttls.clone(), |most| most);
    [shown(least), shown(greatest)]
}

#[test]
fn what_the_answers_mean() {
    let (nothing, failed) = (Answer::Nothing, Answer::Failed);
    let dot = records(&[(0, 0, 0, "")]);
    let some = records(&[(0, 5, 5269, "a.example")]);
    let no_port = records(&[(0, 5, 0, "a.example")]);
    let rows: [(&Answer, &Answer, &[&str]); 16] = [
        (&nothing, &nothing, &["Fallback"]),
        (&nothing, &failed, &["Failed"]),
        (&failed, &nothing, &["Failed"]),
        (&failed, &failed, &["Failed"]),
        (&dot, &nothing, &["NotOffered"]),
        (&nothing, &dot, &["NotOffered"]),
        (&dot, &dot, &["NotOffered"]),
        (&dot, &failed, &["Failed"]),
        (&failed, &dot, &["Failed"]),
        (&no_port, &nothing, &["NotOffered"]),
        (&some, &nothing, &["a.example:5269+"]),
        (&nothing, &some, &["a.example:5269"]),
        (&some, &failed, &["a.example:5269+"]),
        (&failed, &some, &["a.example:5269"]),
        (&dot, &some, &["a.example:5269"]),
        (&some, &dot, &["a.example:5269+"]),
    ];
    for (direct, starttls, expected) in rows {
        for found in both(direct, starttls) {
            assert_eq!(found, expected, "{direct:?} and {starttls:?}");
        }
    }
}

#[test]
fn both_services_are_one_list_by_priority() {
    let direct = records(&[(20, 1, 443, "b.example"), (5, 1, 5270, "d.example")]);
    let starttls = records(&[(30, 1, 5269, "a.example"), (10, 1, 5269, "c.example")]);
    let expected = [
        "d.example:5270+",
        "c.example:5269",
        "b.example:443+",
        "a.example:5269",
    ];
    for found in both(&direct, &starttls) {
        assert_eq!(found, expected);
    }
}

#[test]
fn dots_and_ports_of_0_are_passed_over_among_others() {
    let starttls = records(&[
        (1, 1, 0, "a.example"),
        (2, 1, 5269, ""),
        (3, 1, 5269, "c.example"),
    ]);
    for found in both(&Answer::Nothing, &starttls) {
        assert_eq!(found, ["c.example:5269"]);
    }
}

#[test]
fn the_same_place_is_tried_once() {
    let direct = records(&[(1, 1, 5269, "a.example"), (2, 1, 5269, "a.example")]);
    let starttls = records(&[(1, 1, 5269, "a.example"), (3, 1, 5270, "a.example")]);
    let found = shown(ways(direct, starttls, |_| 1));
    assert_eq!(found.len(), 3, "{found:?}");
    assert_eq!(found[2], "a.example:5270");
}

#[test]
fn of_a_long_list_the_first_sixteen_are_tried() {
    let names: Vec<String> = (0..200).map(|n| format!("h{n}.example")).collect();
    let rows: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(n, name)| (n as u16, 0, 5269, name.as_str()))
        .collect();
    let found = shown(ways(Answer::Nothing, records(&rows), |_| 0));
    assert_eq!(found.len(), TARGETS_MAX);
    assert_eq!(found[15], "h15.example:5269");
    // The same place again and again does not keep the others away.
    let mut rows = vec![(0, 1, 5269, "a.example"); 200];
    rows.push((1, 1, 5269, "b.example"));
    let found = shown(ways(Answer::Nothing, records(&rows), |_| 1));
    assert_eq!(found, ["a.example:5269", "b.example:5269"]);
}

#[test]
fn what_is_proved_is_proved_of_its_own_service() {
    let mut direct = records(&[(1, 1, 5270, "a.example")]);
    if let Answer::Records { proved, .. } = &mut direct {
        *proved = true;
    }
    let starttls = records(&[(2, 1, 5269, "a.example")]);
    let Ways::Targets(targets) = ways(direct, starttls, |_| 0) else {
        panic!("no targets");
    };
    assert_eq!(
        targets.iter().map(|t| t.proved).collect::<Vec<_>>(),
        [true, false]
    );
}

/// Every number that may be drawn, once: so the shares are exact.
#[test]
fn each_weight_has_its_share() {
    let weights = [30, 0, 10, 60];
    let mut shares = [0; 4];
    for number in 0..=100 {
        shares[chosen(&weights, &mut |_| number)] += 1;
    }
    assert_eq!(shares, [30, 1, 10, 60]);
    // Nothing but zeros: each as likely.
    let mut shares = [0; 3];
    for number in 0..3 {
        let mut numbers = [0, number].into_iter();
        shares[chosen(&[0; 3], &mut |_| numbers.next().unwrap())] += 1;
    }
    assert_eq!(shares, [1; 3]);
}

/// Numbers from a seed: the same in every run (xorshift).
fn seeded(mut state: u64) -> impl FnMut(u64) -> u64 {
    move |most| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) % (most + 1)
    }
}

/// The whole order has the shares of RFC 2782: after the first is gone, the rest share what is
/// left.
#[test]
fn the_order_has_the_shares_of_the_weights() {
    let starttls = records(&[(0, 60, 1, "a"), (0, 30, 1, "b"), (0, 10, 1, "c")]);
    let mut draw = seeded(0x5eed_0001);
    let (mut first, mut second_after_a) = ([0_f64; 3], [0_f64; 3]);
    let rounds = 20_000;
    for _ in 0..rounds {
        let order = shown(ways(Answer::Nothing, starttls.clone(), &mut draw));
        let at = |n: usize| usize::from(order[n].as_bytes()[0] - b'a');
        first[at(0)] += 1.0;
        if at(0) == 0 {
            second_after_a[at(1)] += 1.0;
        }
    }
    for (found, share) in first.iter().zip([0.6, 0.3, 0.1]) {
        assert!(
            (found / f64::from(rounds) - share).abs() < 0.02,
            "{first:?}"
        );
    }
    let after_a: f64 = second_after_a.iter().sum();
    for (found, share) in second_after_a.iter().zip([0.0, 0.75, 0.25]) {
        assert!((found / after_a - share).abs() < 0.02, "{second_after_a:?}");
    }
}

proptest! {
    /// Whatever the records and the numbers: no target that cannot be, none twice, priorities in
    /// order, and none left out while there is room.
    #[test]
    fn an_order_is_an_order(
        rows in proptest::collection::vec((0_u16..4, 0_u16..4, 0_u16..3, 0_usize..5), 1..30),
        split in 0_usize..30,
        seed in 1_u64..,
    ) {
        const NAMES: [&str; 5] = ["", "a", "b", "c", "d"];
        let rows: Vec<_> = rows.iter().map(|(p, w, port, n)| (*p, *w, *port, NAMES[*n])).collect();
        let (direct, starttls) = rows.split_at(split.min(rows.len()));
        let found = ways(records(direct), records(starttls), seeded(seed));
        let best = |target: &Target| {
            let of = if target.tls == Tls::Direct { direct } else { starttls };
            of.iter().filter(|(_, _, port, name)| (*port, *name) == (target.port, &target.host))
                .map(|row| row.0).min().expect("a record of its own")
        };
        let mut places: Vec<_> = direct.iter().map(|row| (true, row.2, row.3))
            .chain(starttls.iter().map(|row| (false, row.2, row.3)))
            .filter(|(_, port, name)| *port != 0 && !name.is_empty()).collect();
        places.sort_unstable();
        places.dedup();
        match found {
            Ways::Targets(targets) => {
                prop_assert_eq!(targets.len(), places.len().min(TARGETS_MAX));
                let priorities: Vec<_> = targets.iter().map(best).collect();
                prop_assert!(priorities.is_sorted(), "{:?}", priorities);
                for (n, target) in targets.iter().enumerate() {
                    prop_assert!(!targets[..n].contains(target));
                }
            }
            other => {
                prop_assert!(places.is_empty());
                prop_assert_eq!(other, Ways::NotOffered);
            }
        }
    }
}

#[test]
fn names_as_the_dns_has_them() {
    let rows = [
        ("example.org", Some("example.org")),
        ("Example.ORG.", Some("example.org")),
        ("bücher.example", Some("xn--bcher-kva.example")),
        ("localhost", Some("localhost")),
        ("127.0.0.1", None),
        ("[::1]", None),
        ("::1", None),
        ("a..b", None),
        ("", None),
        (".", None),
    ];
    for (domain, expected) in rows {
        assert_eq!(dns_name(domain).as_deref(), expected, "{domain:?}");
    }
    let label = "a".repeat(63);
    assert_eq!(dns_name(&label).as_deref(), Some(label.as_str()));
    assert_eq!(dns_name(&format!("{label}a")), None);
    let long = [label.as_str(); 4].join(".");
    assert_eq!(dns_name(&long), None);
}
