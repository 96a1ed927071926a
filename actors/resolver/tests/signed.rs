//! A signed DNS: everything lies in the root zone, whose key the resolver trusts.

use super::*;
use crate::testing::dns_signing::Zone;

/// A resolver that checks signatures and trusts the key of this DNS.
fn world(rows: &[(&str, Row)]) -> (Resolver, NameServer) {
    let zone = Zone::new();
    let anchor = zone.anchor().parse().expect("an anchor");
    let server = NameServer::start_with(rows, move |answer| zone.finish(answer));
    let settings = Dns {
        validate: true,
        anchors: vec![anchor],
        ..settings(&server)
    };
    (Resolver::new(&settings), server)
}

/// Rows F41 and F42: a host is proved by its domain's records, its pins by the whole way to them.
#[test]
fn proved_from_the_root_to_the_pin() {
    run(async {
        let (resolver, _server) = world(&[
            ("_xmpp-server._tcp.a.example", Row::Alias("s.example")),
            ("s.example", Row::Srv(1, 1, 5269, "b.example")),
            (
                "_xmpps-server._tcp.a.example",
                Row::Srv(2, 1, 5270, "b.example"),
            ),
            ("b.example", Row::Address("192.0.2.1")),
            ("_5269._tcp.b.example", Row::Tlsa(3, 1, 1, &[7; 32])),
            ("_5270._tcp.b.example", Row::Tlsa(3, 1, 1, &[8; 32])),
        ]);
        // Twice: from the servers, and from memory.
        for _ in 0..2 {
            let found = resolver.targets("a.example").await.expect("targets");
            assert_eq!(found.targets.len(), 2);
            for (target, byte) in found.targets.iter().zip([7, 8]) {
                assert!(target.proved, "{target:?}");
                let host = target.host.as_str();
                let found = resolver
                    .addresses(host, Family::V4)
                    .await
                    .expect("addresses");
                assert!(found.is_proved);
                let pin = Tlsa {
                    usage: 3,
                    selector: 1,
                    matching: 1,
                    data: vec![byte; 32],
                };
                assert_eq!(resolver.pins(target, found.is_proved).await, Ok(vec![pin]));
            }
        }
    });
}

/// What is not as signed is no answer, and no leave to guess.
#[test]
fn wrong_signatures() {
    run(async {
        for domain in ["a.unsigned", "a.forged", "a.expired"] {
            let (resolver, server) = world(&[]);
            for service in ["_xmpp-server", "_xmpps-server"] {
                let name = format!("{service}._tcp.{domain}");
                server.add(&name, Row::Srv(1, 1, 5269, "b.example"));
            }
            let found = shown(&resolver, domain).await;
            let wrong = "the signatures of its DNS records are wrong";
            assert_eq!(found, [wrong], "{domain}");
        }
    });
}

/// Pins of which nobody knows whether they are there: there is no connecting (RFC 7673 §3.4).
#[test]
fn forged_pins() {
    run(async {
        let pin = Row::Tlsa(3, 1, 1, &[7; 32]);
        let (resolver, _server) = world(&[("_5269._tcp.b.forged", pin)]);
        let target = Target {
            proved: true,
            ..guess("b.forged").targets.remove(0)
        };
        assert!(resolver.pins(&target, true).await.is_err());
    });
}

/// What is proved not to be there is not there: no pins, and no addresses of a family.
#[test]
fn proved_to_be_absent() {
    run(async {
        let (resolver, _server) = world(&[
            (
                "_xmpp-server._tcp.a.example",
                Row::Srv(1, 1, 5269, "b.example"),
            ),
            ("b.example", Row::Address("192.0.2.1")),
        ]);
        let found = resolver.targets("a.example").await.expect("targets");
        assert!(found.targets[0].proved);
        let none = resolver.addresses("b.example", Family::V6).await;
        assert_eq!(none.expect("no addresses").ips, [] as [IpAddr; 0]);
        assert_eq!(resolver.pins(&found.targets[0], true).await, Ok(vec![]));
        assert_eq!(
            shown(&resolver, "nobody.example").await,
            ["nobody.example:5269"]
        );
    });
}

/// Who signs nothing, and is known not to, is found as ever, and proves nothing.
#[test]
fn a_zone_without_signatures() {
    run(async {
        let (resolver, server) = world(&[
            (
                "_xmpp-server._tcp.a.insecure",
                Row::Srv(1, 1, 5269, "b.insecure"),
            ),
            ("b.insecure", Row::Address("192.0.2.1")),
            ("_5269._tcp.b.insecure", Row::Tlsa(3, 1, 1, &[7; 32])),
        ]);
        let found = resolver.targets("a.insecure").await.expect("targets");
        assert!(!found.targets[0].proved, "{found:?}");
        let addresses = resolver.addresses("b.insecure", Family::V4).await;
        let addresses = addresses.expect("addresses");
        assert!(!addresses.is_proved && addresses.ips.len() == 1);
        let pins = resolver.pins(&found.targets[0], addresses.is_proved).await;
        assert_eq!(pins, Ok(vec![]));
        assert!(!server.asked().iter().any(|it| it.starts_with("TLSA")));
    });
}

/// Another key than the one that is trusted signs nothing.
#[test]
fn the_anchor_of_another() {
    run(async {
        let rows = [(
            "_xmpp-server._tcp.a.example",
            Row::Srv(1, 1, 5269, "b.example"),
        )];
        let (_, server) = world(&rows);
        for anchors in [
            vec![],
            vec![Zone::new().anchor().parse().expect("an anchor")],
        ] {
            let resolver = Resolver::new(&Dns {
                validate: true,
                anchors,
                ..settings(&server)
            });
            let wrong = "the signatures of its DNS records are wrong";
            assert_eq!(shown(&resolver, "a.example").await, [wrong]);
        }
    });
}
