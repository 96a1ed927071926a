//! Attack row F40 as far as the DNS decides it, and row B21: every way in which name servers fail.

mod signed;

use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use rookery_config::settings::NameServer as Named;

use super::*;
use crate::testing::dns::{NameServer, Row};
use crate::testing::run;

/// Longer than any test waits.
const PATIENCE: Duration = Duration::from_secs(60);

fn settings(server: &NameServer) -> Dns {
    Dns {
        servers: vec![Named(server.address)],
        timeout: PATIENCE,
        ..Dns::default()
    }
}

/// A resolver that asks a server with these rows.
fn world(rows: &[(&str, Row)]) -> (Resolver, NameServer) {
    let server = NameServer::start(rows);
    (Resolver::new(&settings(&server)), server)
}

/// The targets as `host:port`, direct TLS with a `+`; or why there are none.
async fn shown(resolver: &Resolver, domain: &str) -> Vec<String> {
    let shown = |target: &Target| {
        let mark = if target.tls == Tls::Direct { "+" } else { "" };
        format!("{}:{}{mark}", target.host, target.port)
    };
    match resolver.targets(domain).await {
        Ok(found) => found.targets.iter().map(shown).collect(),
        Err(why) => vec![why.to_string()],
    }
}

const DIRECT: &str = "_xmpps-server._tcp.a.example";
const STARTTLS: &str = "_xmpp-server._tcp.a.example";
const NOT_OFFERED: &str = "its DNS records say that no other server may reach it";
const SERVFAIL: &str = "the name servers answer with an error: Server Failure";
const CIRCLE: &str = "its aliases in the DNS lead in a circle";

/// What is said of `a.example`, and what comes of it.
type Case = (&'static [(&'static str, Row)], &'static [&'static str]);

const CASES: [Case; 17] = [
    (&[], &["a.example:5269"]),
    (&[(DIRECT, Row::Srv(0, 0, 0, "."))], &[NOT_OFFERED]),
    (&[(STARTTLS, Row::Srv(0, 0, 0, "."))], &[NOT_OFFERED]),
    (
        &[
            (DIRECT, Row::Srv(0, 0, 0, ".")),
            (STARTTLS, Row::Srv(0, 0, 5269, "b.example")),
        ],
        &["b.example:5269"],
    ),
    (
        &[
            (DIRECT, Row::Srv(20, 1, 5270, "d.example")),
            (STARTTLS, Row::Srv(30, 1, 5269, "e.example")),
            (DIRECT, Row::Srv(1, 1, 443, "B.Example")),
            (STARTTLS, Row::Srv(10, 1, 5269, "c.example")),
        ],
        &[
            "b.example:443+",
            "c.example:5269",
            "d.example:5270+",
            "e.example:5269",
        ],
    ),
    (
        &[
            (STARTTLS, Row::Srv(1, 1, 0, "b.example")),
            (STARTTLS, Row::Srv(2, 1, 5269, "c.example")),
        ],
        &["c.example:5269"],
    ),
    // Aliases of the service's name, sent along or to be asked for.
    (
        &[
            (STARTTLS, Row::Alias("s.example")),
            ("s.example", Row::Srv(1, 1, 5269, "c.example")),
        ],
        &["c.example:5269"],
    ),
    (
        &[
            (STARTTLS, Row::LoneAlias("s.example")),
            ("s.example", Row::LoneAlias("t.example")),
            ("t.example", Row::Srv(1, 1, 5269, "c.example")),
        ],
        &["c.example:5269"],
    ),
    (
        &[(STARTTLS, Row::Alias("gone.example"))],
        &["a.example:5269"],
    ),
    (
        &[(STARTTLS, Row::LoneAlias("gone.example"))],
        &["a.example:5269"],
    ),
    (&[(STARTTLS, Row::Alias(STARTTLS))], &[CIRCLE]),
    (
        &[
            (STARTTLS, Row::Alias("s.example")),
            ("s.example", Row::Alias(STARTTLS)),
        ],
        &[CIRCLE],
    ),
    (
        &[
            (STARTTLS, Row::LoneAlias("s.example")),
            ("s.example", Row::LoneAlias(STARTTLS)),
        ],
        &[CIRCLE],
    ),
    // Failures: no guess, were there addresses or not.
    (&[(STARTTLS, Row::Fail(""))], &[SERVFAIL]),
    (&[(DIRECT, Row::Fail(""))], &[SERVFAIL]),
    (
        &[(DIRECT, Row::Fail("")), (STARTTLS, Row::Srv(0, 0, 0, "."))],
        &[SERVFAIL],
    ),
    (
        &[
            (DIRECT, Row::Fail("")),
            (STARTTLS, Row::Srv(1, 1, 5269, "c.example")),
        ],
        &["c.example:5269"],
    ),
];

#[test]
fn what_the_records_say() {
    run(async {
        for (rows, expected) in CASES {
            let (resolver, server) = world(rows);
            let found = shown(&resolver, "a.example").await;
            assert_eq!(found, expected, "{rows:?}");
            let asked = server.asked();
            assert!(
                asked.iter().all(|question| question.starts_with("SRV ")),
                "addresses were asked for: {asked:?}"
            );
        }
    });
}

#[test]
fn what_the_sender_is_told() {
    let late = Unresolved::NotNow("x".into());
    assert_eq!(late.condition(), Condition::RemoteServerTimeout);
    for never in [Unresolved::NoName, Unresolved::NotOffered] {
        assert_eq!(never.condition(), Condition::RemoteServerNotFound);
    }
}

#[test]
fn a_guess_is_told_from_a_record() {
    run(async {
        let srv = (
            "_xmpp-server._tcp.b.example",
            Row::Srv(1, 1, 5269, "b.example"),
        );
        let (resolver, _server) = world(&[srv]);
        for (domain, is_guess) in [("a.example", true), ("b.example", false)] {
            let found = resolver.targets(domain).await.expect("targets");
            assert_eq!((found.is_guess, found.is_chosen), (is_guess, false));
        }
    });
}

#[test]
fn a_long_list_and_the_longest_answer() {
    run(async {
        let (resolver, server) = world(&[("_xmpp-server._tcp.huge.example", Row::Huge)]);
        for n in 0..200 {
            let name = "_xmpp-server._tcp.a.example";
            server.add(name, Row::Srv(n, 1, 5269, "b.example"));
            server.add(name, Row::Srv(n, 1, 5270 + n, "b.example"));
        }
        let found = shown(&resolver, "a.example").await;
        assert_eq!(found.len(), 16, "{found:?}");
        assert_eq!(found[15], "b.example:5284");
        let found = shown(&resolver, "huge.example").await;
        assert_eq!(found.len(), 16, "{found:?}");
        assert!(found[0].ends_with(".huge.example:5269"), "{found:?}");
    });
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    run(async {
        for of in [
            "_xmpp-server._tcp.a.example",
            "_xmpps-server._tcp.a.example",
        ] {
            let server = NameServer::start(&[(of, Row::Silence(""))]);
            let resolver = Resolver::new(&Dns {
                timeout: Duration::from_millis(500),
                ..settings(&server)
            });
            let found = shown(&resolver, "a.example").await;
            assert_eq!(found, ["the name servers do not answer in time"], "{of}");
        }
    });
}

#[test]
fn nobody_at_the_name_server() {
    run(async {
        let nobody = "127.1.2.3:1".parse().expect("an address");
        let found = Resolver::new(&Dns {
            servers: vec![Named(nobody)],
            timeout: Duration::from_millis(500),
            ..Dns::default()
        });
        let found = found.targets("a.example").await;
        let why = found.expect_err("targets from nobody");
        assert_eq!(why.condition(), Condition::RemoteServerTimeout, "{why}");
    });
}

/// Row B21: forty slow domains, and none of them keeps another waiting.
#[test]
fn a_slow_domain_keeps_only_itself_waiting() {
    run(async {
        let (resolver, server) = world(&[(
            "_xmpp-server._tcp.fast.example",
            Row::Srv(1, 1, 5269, "b.example"),
        )]);
        let names: Vec<String> = (0..40).map(|n| format!("slow-{n}.example")).collect();
        for name in &names {
            server.add(&format!("_xmpp-server._tcp.{name}"), Row::Silence(""));
        }
        let all = async {
            let slow = names.iter().map(|name| {
                let (resolver, name) = (resolver.clone(), name.clone());
                actix_rt::spawn(async move { resolver.targets(&name).await.is_ok() })
            });
            let slow: Vec<_> = slow.collect();
            // Every slow question has arrived before the fast one is asked.
            while server.asked().len() < 80 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let found = shown(&resolver, "fast.example").await;
            assert_eq!(found, ["b.example:5269"]);
            assert!(slow.iter().all(|slow| !slow.is_finished()));
            slow.into_iter().for_each(|slow| slow.abort());
        };
        tokio::time::timeout(PATIENCE, all).await.expect("in time");
    });
}

#[test]
fn answers_are_remembered_and_failures_are_not() {
    const NAMES: [&str; 3] = [
        "_xmpp-server._tcp.a.example",
        "_xmpp-server._tcp.b.example",
        "_xmpp-server._tcp.c.example",
    ];
    /// What three domains show before and after everything about them has changed.
    async fn before_and_after(cache: u64) -> [Vec<String>; 6] {
        let server = NameServer::start(&[
            (NAMES[0], Row::Srv(1, 1, 1, "old.example")),
            (NAMES[2], Row::Fail("")),
        ]);
        let resolver = Resolver::new(&Dns {
            cache,
            ..settings(&server)
        });
        let a = shown(&resolver, "a.example").await;
        let b = shown(&resolver, "b.example").await;
        let c = shown(&resolver, "c.example").await;
        for name in NAMES {
            server.forget(name);
            server.add(name, Row::Srv(1, 1, 2, "new.example"));
        }
        let later = [
            shown(&resolver, "a.example").await,
            shown(&resolver, "b.example").await,
            shown(&resolver, "c.example").await,
        ];
        let [d, e, f] = later;
        [a, b, c, d, e, f]
    }
    run(async {
        let found = before_and_after(1_024).await;
        let before = ["old.example:1", "b.example:5269", SERVFAIL];
        assert_eq!(found[..3].concat(), before);
        // That there is nothing is remembered, too.
        let after = ["old.example:1", "b.example:5269", "new.example:2"];
        assert_eq!(found[3..].concat(), after);
        let found = before_and_after(0).await;
        assert_eq!(found[..3].concat(), before);
        assert_eq!(found[3..].concat(), ["new.example:2"; 3]);
    });
}

#[test]
fn domains_are_asked_for_in_ascii() {
    run(async {
        let ascii = "_xmpp-server._tcp.xn--bcher-kva.example";
        let (resolver, server) = world(&[(ascii, Row::Srv(1, 1, 5269, "b.example"))]);
        assert_eq!(shown(&resolver, "bücher.example").await, ["b.example:5269"]);
        assert!(server.asked().contains(&format!("SRV {ascii}")));
        // A guess is of the same name.
        let guess = shown(&resolver, "käse.example").await;
        assert_eq!(guess, ["xn--kse-qla.example:5269"]);
    });
}

#[test]
fn addresses_and_names_of_this_machine_need_no_dns() {
    run(async {
        let (resolver, server) = world(&[]);
        let rows = [
            ("[::1]", "::1:5269", vec!["::1"], vec![]),
            ("127.0.0.1", "127.0.0.1:5269", vec![], vec!["127.0.0.1"]),
            (
                "localhost",
                "localhost:5269",
                vec!["::1"],
                vec!["127.0.0.1"],
            ),
            (
                "a.localhost",
                "a.localhost:5269",
                vec!["::1"],
                vec!["127.0.0.1"],
            ),
        ];
        for (domain, target, v6, v4) in rows {
            let found = resolver.targets(domain).await.expect("a target");
            assert_eq!(shown(&resolver, domain).await, [target]);
            for (family, expected) in [(Family::V6, v6), (Family::V4, v4)] {
                let host = &found.targets[0].host;
                let found = resolver.addresses(host, family).await.expect("addresses");
                let ips: Vec<_> = found.ips.iter().map(IpAddr::to_string).collect();
                assert_eq!(ips, expected, "{domain}");
            }
        }
        let never = resolver.targets("a_b.1").await;
        assert_eq!(never, Err(Unresolved::NoName));
        assert_eq!(server.asked(), Vec::<String>::new());
    });
}

#[test]
fn places_in_the_settings_come_first() {
    run(async {
        let (_, server) = world(&[]);
        let place = |text: &str| Place::try_from(text.to_owned()).expect("a place");
        let places = vec![place("tls://10.0.0.5:5270"), place("xmpp.lan")];
        let mut settings = settings(&server);
        settings.overrides.insert("bücher.lan".into(), places);
        let resolver = Resolver::new(&settings);
        let found = resolver.targets("bücher.lan").await.expect("targets");
        assert!(found.is_chosen && !found.is_guess);
        let shown = shown(&resolver, "bücher.lan").await;
        assert_eq!(shown, ["10.0.0.5:5270+", "xmpp.lan:5269"]);
        assert_eq!(server.asked(), Vec::<String>::new());
    });
}

#[test]
fn addresses_of_a_host() {
    run(async {
        let (resolver, server) = world(&[
            ("a.example", Row::Late(Duration::from_millis(20))),
            ("a.example", Row::Address("192.0.2.1")),
            ("a.example", Row::Address("2001:db8::1")),
            ("four.example", Row::Address("192.0.2.4")),
            ("alias.example", Row::Alias("a.example")),
            ("half.example", Row::Address("192.0.2.5")),
            ("half.example", Row::Fail("AAAA")),
        ]);
        const NAMES: [&str; 20] = [
            "192.0.2.11",
            "192.0.2.12",
            "192.0.2.13",
            "192.0.2.14",
            "192.0.2.15",
            "192.0.2.16",
            "192.0.2.17",
            "192.0.2.18",
            "192.0.2.19",
            "192.0.2.20",
            "192.0.2.21",
            "192.0.2.22",
            "192.0.2.23",
            "192.0.2.24",
            "192.0.2.25",
            "192.0.2.26",
            "192.0.2.27",
            "192.0.2.28",
            "192.0.2.29",
            "192.0.2.30",
        ];
        for ip in NAMES {
            server.add("many.example", Row::Address(ip));
        }
        let rows: [(&str, Family, Result<usize, &str>); 9] = [
            ("a.example", Family::V4, Ok(1)),
            ("a.example", Family::V6, Ok(1)),
            ("alias.example", Family::V6, Ok(1)),
            ("four.example", Family::V6, Ok(0)),
            ("none.example", Family::V6, Ok(0)),
            ("none.example", Family::V4, Ok(0)),
            ("half.example", Family::V4, Ok(1)),
            ("half.example", Family::V6, Err(SERVFAIL)),
            ("many.example", Family::V4, Ok(ADDRESSES_MAX)),
        ];
        for (host, family, expected) in rows {
            let found = resolver.addresses(host, family).await;
            let found = found
                .map(|found| found.ips.len())
                .map_err(|why| why.to_string());
            assert_eq!(found, expected.map_err(str::to_owned), "{host} {family:?}");
        }
    });
}

#[test]
fn pins_that_are_not_proved_are_not_asked_for() {
    run(async {
        let pin = Row::Tlsa(3, 1, 1, &[7; 32]);
        let (resolver, server) = world(&[("_5269._tcp.a.example", pin)]);
        for (target, addresses) in [(false, false), (false, true), (true, false)] {
            let target = Target {
                proved: target,
                ..guess("a.example").targets.remove(0)
            };
            assert_eq!(resolver.pins(&target, addresses).await, Ok(vec![]));
        }
        assert_eq!(server.asked(), Vec::<String>::new());
        // Asked for, and found to be unproved.
        let target = Target {
            proved: true,
            ..guess("a.example").targets.remove(0)
        };
        assert_eq!(resolver.pins(&target, true).await, Ok(vec![]));
        let asked = "TLSA _5269._tcp.a.example".to_owned();
        assert!(server.asked().contains(&asked));
    });
}

/// A lane on which somebody asked before has ended: the next one asks all the same.
#[test]
fn lanes_come_and_go() {
    let srv = Row::Srv(1, 1, 5269, "b.example");
    let (resolver, server) = world(&[("_xmpp-server._tcp.a.example", srv.clone())]);
    server.add("_xmpp-server._tcp.huge.example", Row::Huge);
    for n in 0..3 {
        let (resolver, name) = (resolver.clone(), format!("{n}.example"));
        server.add(&format!("_xmpp-server._tcp.{name}"), srv.clone());
        let lane = std::thread::spawn(move || {
            run(async move {
                assert_eq!(shown(&resolver, &name).await, ["b.example:5269"]);
                // By TCP, and too long to be remembered.
                assert_eq!(shown(&resolver, "huge.example").await.len(), 16);
            });
        });
        lane.join().expect("a lane that got its answers");
    }
}

/// A lookup that nobody waits for any more leaves nothing behind that hinders the next.
#[test]
fn a_lookup_may_be_dropped() {
    run(async {
        let name = "_xmpp-server._tcp.a.example";
        let (resolver, server) = world(&[(name, Row::Silence(""))]);
        {
            let mut lookup = pin!(resolver.targets("a.example"));
            while !server
                .asked()
                .iter()
                .any(|question| question.ends_with(name))
            {
                let pending = std::future::poll_fn(|cx| Poll::Ready(lookup.as_mut().poll(cx)));
                assert!(pending.await.is_pending());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        server.forget(name);
        server.add(name, Row::Srv(1, 1, 5269, "b.example"));
        assert_eq!(shown(&resolver, "a.example").await, ["b.example:5269"]);
    });
}
