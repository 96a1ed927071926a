//! Servers on several addresses, which find each other by the DNS alone.

use super::a_server_that_is_away::meet;
use crate::authority::Authority;
use crate::device::Device;
use crate::elsewhere::{asking, dns, lasting, place};
use crate::names::Row;
use crate::world::{Plan, World};
use crate::xml::El;
use std::ops::RangeInclusive;

/// A server at an address of its own that asks our DNS, which does not know it yet.
fn server(plan: Plan) -> World {
    World::with(Plan {
        place: place(),
        federates: true,
        more: plan.more.clone()
            + "[outbox]\nretry = \"200ms\"\nretry_longest = \"200ms\"\n"
            + &asking(),
        ..plan
    })
}

/// The host of a server, in the DNS.
fn host(world: &World, domain: &str) -> &'static str {
    let host = lasting(format!("xmpp.{domain}"));
    dns().forget(host);
    dns().add(host, Row::Address(lasting(world.s2s.ip().to_string())));
    host
}

fn name(service: &str, domain: &str) -> String {
    format!("{service}._tcp.{domain}")
}

fn says(from: &mut Device, to: &Device, numbers: RangeInclusive<u32>) {
    for number in numbers {
        let to = to.bare();
        from.says(&format!(
            "<message type='chat' to='{to}' id='{number}'><body>{number}</body></message>"
        ));
    }
}

/// All of them, in order. What a server that stopped had not yet acknowledged comes again.
fn hears(to: &mut Device, from: &Device, numbers: RangeInclusive<u32>) {
    let from = from.jid();
    for number in numbers {
        let again = |it: &El| {
            let id = it.attr("id").and_then(|id| id.parse::<u32>().ok());
            id.expect("a number") < number
        };
        let mut heard = to.waits_for(&format!("<message type='chat' from='{from}' id='*'/>"));
        while again(&heard) {
            heard = to.waits_for(&format!("<message type='chat' from='{from}' id='*'/>"));
        }
        assert_eq!(heard.attr("id"), Some(&*number.to_string()), "in order");
    }
}

/// Three servers that go by what the DNS says (XEP-0220). Who asks is at another address than
/// where the DNS leads to, which is asked whether it was they.
#[test]
fn a_triangle() {
    let servers = [["a.trio"], ["b.trio"], ["c.trio"]]
        .each_ref()
        .map(|domains| {
            let more = "[s2s]\npolicy = \"dialback\"\nprivate = [\"127.0.0.0/8\"]\n".into();
            let world = server(Plan {
                domains: Box::leak(Box::new(*domains)),
                more,
                ..Plan::default()
            });
            let host = host(&world, domains[0]);
            let srv = Row::Srv(0, 0, world.s2s.port(), host);
            dns().add(&name("_xmpp-server", domains[0]), srv);
            world
        });
    let people = [
        "alice@a.trio/phone",
        "bob@b.trio/desk",
        "carol@c.trio/tablet",
    ];
    let mut people = people.into_iter().zip(&servers).map(|(it, world)| {
        let mut device = world.device(it);
        device.fetches_roster();
        device.comes_online();
        device
    });
    let [mut alice, mut bob, mut carol] = [(); 3].map(|()| people.next().expect("a person"));
    meet(&mut alice, &mut bob);
    meet(&mut bob, &mut carol);
    meet(&mut carol, &mut alice);
    says(&mut alice, &bob, 1..=10);
    says(&mut bob, &carol, 1..=10);
    says(&mut carol, &alice, 1..=10);
    hears(&mut bob, &alice, 1..=10);
    hears(&mut carol, &bob, 1..=10);
    hears(&mut alice, &carol, 1..=10);
    for world in &servers {
        let log = world.log();
        let came = log.lines().filter(|it| it.contains("a server came"));
        let from = |line: &&str| line.contains("address=127.0.0.1");
        assert!(
            came.clone().count() >= 2 && came.clone().all(|it| from(&it)),
            "{log}"
        );
    }

    // Carol's is away; the other two go on, and what they say to her waits.
    let [_, _, third] = &servers;
    third.term();
    says(&mut alice, &carol, 11..=15);
    says(&mut bob, &carol, 11..=15);
    says(&mut alice, &bob, 11..=15);
    hears(&mut bob, &alice, 11..=15);
    third.rise();
    let jid = carol.jid();
    let mut carol = third.device(&jid);
    carol.fetches_roster();
    carol.comes_online();
    hears(&mut carol, &alice, 11..=15);
    hears(&mut carol, &bob, 11..=15);
    for friend in [&mut alice, &mut bob] {
        friend.waits_for(&format!("<presence from='{jid}'/>"));
        carol.waits_for(&format!("<presence from='{}'/>", friend.jid()));
    }
    says(&mut carol, &alice, 11..=15);
    hears(&mut alice, &carol, 11..=15);
}

/// One has direct TLS alone, first of all at a place where nobody is (XEP-0368); the other is not
/// to be reached so, but by STARTTLS, at the second of its places.
#[test]
fn different_doors() {
    let authority = Authority::get();
    let here = server(authority.certified_plan(&["a.doors"]));
    let there = server(authority.certified_plan(&["c.doors"]));
    let dead = lasting(place().to_string());
    dns().add("dead.doors", Row::Address(dead));
    let direct = name("_xmpps-server", "a.doors");
    dns().add(&direct, Row::Srv(1, 0, 20_000, "dead.doors"));
    dns().add(
        &direct,
        Row::Srv(2, 0, here.s2s_tls.port(), host(&here, "a.doors")),
    );
    dns().add(&name("_xmpps-server", "c.doors"), Row::Srv(0, 0, 0, "."));
    let starttls = name("_xmpp-server", "c.doors");
    dns().add(&starttls, Row::Srv(1, 0, 20_000, "dead.doors"));
    dns().add(
        &starttls,
        Row::Srv(2, 0, there.s2s.port(), host(&there, "c.doors")),
    );

    let mut alice = here.online("alice@a.doors/phone");
    let mut carol = there.online("carol@c.doors/desk");
    says(&mut alice, &carol, 1..=3);
    hears(&mut carol, &alice, 1..=3);
    says(&mut carol, &alice, 1..=3);
    hears(&mut alice, &carol, 1..=3);
}
