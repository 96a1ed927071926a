//! RFC 6121 §3 and appendix A, performed.

use rookery_protocol::roster::Item;
use rookery_protocol::stanza::{PresenceType, Stanza};
use rookery_protocol::subscription::{Direction, Owed, Request, State, step};

use crate::hub::account::{REQUEST_BYTES, REQUESTS};
use crate::hub::devices::DeviceId;
use crate::hub::fixture::{Heard, Scene, jid, normal};

mod owed;

const ROMEO: &str = "romeo@example.net";
const TYPES: [Request; 4] = [
    Request::Subscribe,
    Request::Subscribed,
    Request::Unsubscribe,
    Request::Unsubscribed,
];

fn word(request: Request) -> &'static str {
    match request {
        Request::Subscribe => "subscribe",
        Request::Subscribed => "subscribed",
        Request::Unsubscribe => "unsubscribe",
        Request::Unsubscribed => "unsubscribed",
    }
}

fn from_romeo(kind: &str) -> String {
    format!("<presence id='i1' type='{kind}' from='{ROMEO}' to='juliet@example.com'/>")
}

fn to_romeo(kind: &str) -> String {
    format!("<presence id='o1' type='{kind}' to='{ROMEO}'/>")
}

/// Juliet with one device, standing in `state` towards Romeo.
fn standing(state: State, approved: bool) -> (Scene, DeviceId) {
    let mut scene = Scene::new();
    if state.pending_in() {
        scene.receives(&from_romeo("subscribe"));
    }
    let (subscription, ask) = (state.subscription(), state.pending_out());
    let listed = !matches!(state, State::None | State::NonePendingIn) || approved;
    if listed {
        scene.put(&Item {
            subscription,
            ask,
            approved,
            ..Item::new(&jid(ROMEO))
        });
    }
    let balcony = scene.online("balcony");
    assert_eq!(scene.mind.account.state(&jid(ROMEO)), (state, approved));
    (scene, balcony)
}

/// What must be heard of a step, in the order of `protocol::subscription`.
fn expected(before: State, direction: Direction, request: Request, approved: bool) -> Vec<String> {
    let did = step(before, approved, direction, request);
    let kind = word(request);
    let mut log = Vec::new();
    let full = "from='juliet@example.com/balcony'";
    if did.owed == Owed::Unavailable {
        log.push(format!(
            "-> <presence type='unavailable' {full} to='{ROMEO}'/>"
        ));
    }
    if did.pass && direction == Direction::Outbound {
        log.push(format!(
            "-> <presence id='o1' type='{kind}' from='juliet@example.com' to='{ROMEO}'/>"
        ));
    } else if did.pass {
        log.push(format!("1: {}", from_romeo(kind)));
    }
    if let Some(answer) = did.answer {
        let kind = word(answer);
        log.push(format!(
            "-> <presence id='i1' type='{kind}' from='juliet@example.com' to='{ROMEO}'/>"
        ));
    }
    if did.push {
        let subscription = did.state.subscription().as_str();
        let ask = if did.state.pending_out() {
            "ask='subscribe'"
        } else {
            ""
        };
        let approved = if did.approved { "approved='true'" } else { "" };
        log.push(format!(
            "1: <iq type='set' id='?' to='juliet@example.com/balcony'>\
             <query xmlns='jabber:iq:roster' ver='VER'>\
             <item jid='{ROMEO}' subscription='{subscription}' {ask} {approved}/></query></iq>"
        ));
    }
    if did.owed == Owed::Current {
        log.push(format!("-> <presence {full} to='{ROMEO}'/>"));
    }
    log.iter()
        .map(|line| {
            let (who, stanza) = line.split_once(' ').expect("who says what");
            format!("{who} {}", normal(stanza))
        })
        .collect()
}

fn heard(scene: &Scene, heard: &Heard) -> Vec<String> {
    let version = format!("ver='{}'", scene.mind.account.version());
    heard
        .log()
        .iter()
        .map(|line| line.replace(&version, "ver='VER'"))
        .collect()
}

/// RFC 6121 appendix A, all states, both ways, with and without pre-approval: what is said, in
/// which order, what the state is then, and that it is written.
#[test]
fn every_cell_is_performed() {
    let mut cells = 0;
    for state in State::ALL {
        for approved in [false, true] {
            for direction in [Direction::Outbound, Direction::Inbound] {
                for request in TYPES {
                    let (mut scene, balcony) = standing(state, approved);
                    let outcome = match direction {
                        Direction::Outbound => scene.sends(balcony, &to_romeo(word(request))),
                        Direction::Inbound => scene.receives(&from_romeo(word(request))),
                    };
                    let cell = format!("{state:?} {approved} {direction:?} {request:?}");
                    let log = heard(&scene, &outcome);
                    assert_eq!(log, expected(state, direction, request, approved), "{cell}");
                    let did = step(state, approved, direction, request);
                    let after = (did.state, did.approved);
                    assert_eq!(scene.mind.account.state(&jid(ROMEO)), after, "{cell}");
                    let passed = did.pass && direction == Direction::Outbound;
                    // The server's own yes belongs to what changed here.
                    let yes = did.answer == Some(Request::Subscribed);
                    let answered = yes && after != (state, approved);
                    let passed = passed || answered;
                    let lasting = outcome.envelopes().any(|it| it.marks.lasting);
                    assert_eq!(lasting, passed, "{cell}: class D");
                    scene.reload();
                    assert_eq!(
                        scene.mind.account.state(&jid(ROMEO)),
                        after,
                        "{cell}: stored"
                    );
                    cells += 1;
                }
            }
        }
    }
    assert_eq!(cells, 144);
}

/// RFC 6121 §3.1.1 to §3.1.6: Romeo's side is played by hand.
#[test]
fn a_request_is_made_and_approved() {
    let mut scene = Scene::new();
    let balcony = scene.online("balcony");
    let chamber = scene.online("chamber");
    let push = |resource: &str, item: &str, version: u64| {
        format!(
            "<iq id='?' to='juliet@example.com/{resource}' type='set'>
             <query xmlns='jabber:iq:roster' ver='{version}'>{item}</query></iq>"
        )
    };
    let ask = "<item ask='subscribe' jid='romeo@example.net' subscription='none'/>";
    scene
        .sends(
            balcony,
            "<presence id='xk3h1v69' to='romeo@example.net/orchard' type='subscribe'>
             <status>It is I</status></presence>",
        )
        .routed(&[
            "<presence id='xk3h1v69' from='juliet@example.com' to='romeo@example.net'
             type='subscribe'><status>It is I</status></presence>",
        ])
        .to(balcony, &[&push("balcony", ask, 1_000_000)])
        .to(chamber, &[&push("chamber", ask, 1_000_000)]);
    let approval = "<presence from='romeo@example.net' id='h4v1c4kj' to='juliet@example.com' \
                    type='subscribed'/>";
    let to = "<item jid='romeo@example.net' subscription='to'/>";
    scene
        .receives(approval)
        .routed(&[])
        .to(balcony, &[approval, &push("balcony", to, 1_000_001)])
        .to(chamber, &[approval, &push("chamber", to, 1_000_001)]);
}

/// RFC 6121 §3.1.6, §3.2.3: the notice to the devices that follow the roster, a request to those
/// that are available.
#[test]
fn who_hears_what() {
    let mut scene = Scene::new();
    let follows = scene.bind("follows");
    scene.sends(
        follows,
        "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>",
    );
    let available = scene.bind("available");
    scene.sends(available, "<presence/>");
    let request = from_romeo("subscribe");
    scene
        .receives(&request)
        .to(follows, &[])
        .to(available, &[&request]);
    scene.sends(available, &to_romeo("subscribed"));
    let notice = from_romeo("unsubscribe");
    let heard = scene.receives(&notice);
    assert!(heard.log()[1].starts_with(&format!("{}: <presence ", follows.0)));
    heard.to(available, &[]);
}

/// RFC 6121 A.3.2: the answer to an `unsubscribe` crosses the next `subscribe`.
#[test]
fn the_answer_to_a_farewell_is_no_denial() {
    let asks = format!("<item jid='{ROMEO}' subscription='none' ask='subscribe'/>");
    let denied = format!("<item jid='{ROMEO}' subscription='none'/>");
    let answer = |id: &str| from_romeo("unsubscribed").replace("i1", id);
    let (mut scene, balcony) = standing(State::To, false);
    scene.sends(balcony, &to_romeo("unsubscribe"));
    scene.sends(balcony, &to_romeo("subscribe").replace("o1", "o2"));
    scene.receives(&answer("o1")).nothing();
    scene.assert_item(ROMEO, Some(&asks));
    // Once: then it is a denial, whatever its id.
    scene.receives(&answer("o1"));
    scene.assert_item(ROMEO, Some(&denied));

    let (mut scene, balcony) = standing(State::Both, false);
    let remove = format!(
        "<iq type='set' id='s'><query xmlns='jabber:iq:roster'>
         <item jid='{ROMEO}' subscription='remove'/></query></iq>"
    );
    let heard = scene.sends(balcony, &remove);
    let mut farewell = heard.envelopes().map(|it| &it.stanza);
    let farewell = farewell.find(|it| it.kind == Stanza::presence(PresenceType::Unsubscribe).kind);
    let id = farewell.unwrap().id.clone().unwrap();
    scene.sends(balcony, &to_romeo("subscribe"));
    scene.receives(&answer(&id)).nothing();
    scene.assert_item(ROMEO, Some(&asks));
    // Late, it is no answer any more.
    scene.sends(balcony, &to_romeo("unsubscribe"));
    scene.sends(balcony, &to_romeo("subscribe").replace("o1", "o2"));
    scene.now += 60_000;
    scene.receives(&answer("o1"));
    scene.assert_item(ROMEO, Some(&denied));
}

/// RFC 6121 §3.1.3: whole, one of each asker, at every initial presence until it is answered, and
/// not in the roster.
#[test]
fn a_request_waits_until_it_is_answered() {
    let mut scene = Scene::new();
    let request = "<presence id='a' type='subscribe' from='romeo@example.net' \
                   to='juliet@example.com'><status>Hi</status>\
                   <nick xmlns='http://jabber.org/protocol/nick'>R</nick></presence>";
    scene.receives(request).routed(&[]);
    scene.receives(&from_romeo("subscribe")).nothing();
    scene.assert_item(ROMEO, None);
    for resource in ["balcony", "chamber"] {
        scene.reload();
        let device = scene.bind(resource);
        let log = scene.sends(device, "<presence/>").log();
        assert_eq!(
            log[1],
            format!("{}: {}", device.0, normal(request)),
            "{log:?}"
        );
        assert_eq!(log.len(), 2);
        let again = scene.sends(device, "<presence><show>xa</show></presence>");
        assert_eq!(again.log().len(), 1, "only initial presence counts");
    }
    let device = scene.online("hall");
    scene.sends(device, &to_romeo("unsubscribed"));
    scene.reload();
    let device = scene.bind("balcony");
    assert_eq!(scene.sends(device, "<presence/>").log().len(), 1);
    scene.assert_item(ROMEO, None);
}

/// RFC 6121 §3.3.3: who asked and thinks better of it leaves nothing behind.
#[test]
fn a_request_is_taken_back() {
    let mut scene = Scene::new();
    scene.receives(&from_romeo("subscribe"));
    scene.receives(&from_romeo("unsubscribe"));
    scene.reload();
    let balcony = scene.bind("balcony");
    assert_eq!(scene.sends(balcony, "<presence/>").log().len(), 1);
}

/// Attacks P09.
#[test]
fn requests_are_bounded_in_number_and_size() {
    let mut scene = Scene::new();
    let ask = |n: usize, text: &str| {
        format!(
            "<presence type='subscribe' from='u{n}@evil.test/x' to='juliet@example.com'>\
             <status>{text}</status></presence>"
        )
    };
    for n in 0..REQUESTS {
        assert!(scene.receives(&ask(n, "hi")).wrote, "{n}");
    }
    scene.receives(&ask(REQUESTS, "hi")).nothing();
    assert_eq!(scene.mind.account.askers().count(), REQUESTS);
    let mut scene = Scene::new();
    let long = "x".repeat(REQUEST_BYTES / 4);
    let kept = (0..8)
        .filter(|n| scene.receives(&ask(*n, &long)).wrote)
        .count();
    assert_eq!(kept, 3);
    scene.reload();
    assert_eq!(scene.mind.account.askers().count(), 3);
}

#[test]
fn the_full_jid_of_a_contact_is_its_bare_one() {
    let mut scene = Scene::new();
    let balcony = scene.online("balcony");
    let heard = scene.receives(
        "<presence type='subscribe' from='romeo@example.net/orchard'
         to='juliet@example.com/anywhere' id='i1'/>",
    );
    heard.routed(&[]).to(balcony, &[&from_romeo("subscribe")]);
    scene.reload();
    // RFC 6121 §8.5.3.2.2: the other three to a resource that is not there are ignored.
    let (mut scene, _) = standing(State::Both, false);
    for kind in ["subscribed", "unsubscribe", "unsubscribed"] {
        let stanza = from_romeo(kind).replace("juliet@example.com", "juliet@example.com/x");
        scene.receives(&stanza).nothing();
    }
}

#[test]
fn nobody_subscribes_to_himself() {
    let mut scene = Scene::new();
    let balcony = scene.online("balcony");
    for request in TYPES {
        let kind = word(request);
        for to in ["juliet@example.com", "juliet@example.com/balcony"] {
            scene
                .sends(balcony, &format!("<presence type='{kind}' to='{to}'/>"))
                .nothing();
            let text = format!(
                "<presence type='{kind}' from='juliet@example.com/x' to='juliet@example.com'/>"
            );
            scene.receives(&text).nothing();
        }
        scene
            .sends(balcony, &format!("<presence type='{kind}'/>"))
            .nothing();
    }
}

/// RFC 6121 §3.1.2, last paragraph: only where the request may have been lost on its way.
#[test]
fn an_unanswered_request_to_a_remote_contact_is_repeated_at_login() {
    let mut scene = Scene::new();
    for contact in [ROMEO, "nurse@example.com"] {
        scene.put(&Item {
            ask: true,
            ..Item::new(&jid(contact))
        });
    }
    let balcony = scene.bind("balcony");
    scene.sends(balcony, "<presence/>").routed(&[
        "<presence id='?' type='subscribe' from='juliet@example.com' to='romeo@example.net'/>",
    ]);
}

/// RFC 6121 §4.6.1: the end of a subscription ends directed presence to the same entity.
#[test]
fn after_a_cancellation_nothing_more_is_owed() {
    let (mut scene, balcony) = standing(State::Both, false);
    scene.sends(balcony, "<presence to='romeo@example.net/orchard'/>");
    scene.sends(balcony, &to_romeo("unsubscribed"));
    scene.loses(balcony).routed(&[]);
}

/// RFC 6121 §3.2, §3.3 when the account ends: everybody it had to do with hears of it.
#[test]
fn a_removed_account_takes_leave() {
    use rookery_protocol::subscription::Subscription;
    let mut scene = Scene::new()
        .knows(ROMEO, Subscription::Both)
        .knows("nurse@example.com", Subscription::To)
        .knows("mercutio@example.com", Subscription::From)
        .knows("paris@example.com", Subscription::None);
    scene
        .receives("<presence type='subscribe' from='tybalt@example.com' to='juliet@example.com'/>");
    let balcony = scene.online("balcony");
    scene.sends(balcony, "<presence to='room@muc.example.org/juliet'/>");
    let heard = scene.decides(|mind, devices, site, fx| mind.removed(devices, site, fx));
    let (bare, full) = (
        "from='juliet@example.com'",
        "from='juliet@example.com/balcony'",
    );
    let tell = |kind: &str, to: &str| {
        let (id, from) = if kind == "unavailable" {
            ("", full)
        } else {
            ("id='?'", bare)
        };
        format!("<presence {id} type='{kind}' {from} to='{to}'/>")
    };
    let expected = [
        tell("unavailable", ROMEO),
        tell("unsubscribe", ROMEO),
        tell("unsubscribed", ROMEO),
        tell("unsubscribe", "nurse@example.com"),
        tell("unavailable", "mercutio@example.com"),
        tell("unsubscribed", "mercutio@example.com"),
        tell("unsubscribed", "tybalt@example.com"),
        tell("unavailable", "room@muc.example.org/juliet"),
    ];
    heard.routed(&expected.each_ref().map(String::as_str));
    scene.loses(balcony).nothing();
}

#[test]
fn the_four_words_are_those_of_the_wire() {
    for request in TYPES {
        let stanza = crate::hub::fixture::stanza(&to_romeo(word(request)));
        let kind = rookery_protocol::stanza::Kind::Presence(PresenceType::from(request));
        assert_eq!(stanza.kind, kind);
    }
}
