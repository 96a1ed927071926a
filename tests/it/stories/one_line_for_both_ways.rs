//! What is for a server goes on the line that it opened, if it wants that (XEP-0288): in order,
//! acknowledged, and on another line when that one ends.

use crate::authority::Authority;
use crate::client::Client;
use crate::device::Device;
use crate::elsewhere::{Elsewhere, SERVER, asking};
use crate::world::{Plan, World};

const FEATURE: &str = "urn:xmpp:features:bidi";
const MANAGEMENT: &str = "urn:xmpp:sm:3";

fn says(device: &mut Device, to: &str, id: &str) {
    device.says(&format!(
        "<message type='chat' to='{to}' id='{id}'><body>{id}</body></message>"
    ));
}

/// A server calls, and takes stanzas on the line.
fn calls_for_both_ways(world: &World, far: &Elsewhere, resume: bool) -> Client {
    let leaf = Authority::get().leaf(&[&far.domain]);
    let mut call = far.calls(world.s2s, "a.test", &leaf).expect("TLS");
    assert!(call.features.child(FEATURE, "bidi").is_some());
    call.say("<bidi xmlns='urn:xmpp:bidi'/>");
    call.auth("EXTERNAL", "=").expect("it is offered");
    assert_eq!(call.outcome().expect("an outcome"), None);
    far.opens(&mut call, "a.test").expect("features");
    call.say(&format!("<enable xmlns='{MANAGEMENT}' resume='{resume}'/>"));
    let enabled = call.expect(MANAGEMENT, "enabled").expect("it is on");
    assert_eq!(enabled.attr("id").is_some(), resume);
    call
}

/// The next stanza's id; what is said of acknowledgements goes by.
fn next_id(line: &mut Client) -> String {
    loop {
        let element = line.element().expect("a stanza");
        if element.ns == SERVER {
            return element.attr("id").unwrap_or_default().to_owned();
        }
    }
}

#[test]
fn what_is_for_a_server_goes_on_its_own_line() {
    let plan = Authority::get().certified_plan(&["a.test"]);
    let world = World::with(Plan {
        more: plan.more.clone() + &asking(),
        ..plan
    });
    let mut alice = world.online("alice@a.test/phone");
    let far = Elsewhere::of("both.test");
    let mut call = calls_for_both_ways(&world, &far, false);
    for id in ["1", "2", "3"] {
        says(&mut alice, "x@both.test", id);
    }
    for id in ["1", "2", "3"] {
        assert_eq!(next_id(&mut call), id);
    }
    call.say(&format!("<a xmlns='{MANAGEMENT}' h='1'/>"));
    // And the other way, as ever.
    call.say(
        "<message type='chat' from='x@both.test' to='alice@a.test' id='r'>\
         <body>r</body></message>",
    );
    alice.waits_for("<message type='chat' from='x@both.test' id='r'><body>r</body></message>");
    assert!(!far.is_called(), "nobody had to call");
    // The line breaks: what it had not acknowledged comes on another one, and in order.
    drop(call);
    says(&mut alice, "x@both.test", "4");
    let leaf = Authority::get().leaf(&["both.test"]);
    let mut visit = far.proved(&leaf).expect("it calls");
    for id in ["2", "3", "4"] {
        assert_eq!(next_id(&mut visit), id);
    }
}

/// What is resumed counts one way only: there each way has a line of its own.
#[test]
fn a_line_that_can_be_resumed_goes_one_way() {
    let plan = Authority::get().certified_plan(&["a.test"]);
    let world = World::with(Plan {
        more: plan.more.clone() + &asking(),
        ..plan
    });
    let mut alice = world.online("alice@a.test/phone");
    let far = Elsewhere::of("oneway.test");
    let _call = calls_for_both_ways(&world, &far, true);
    says(&mut alice, "x@oneway.test", "1");
    let leaf = Authority::get().leaf(&["oneway.test"]);
    let mut visit = far.proved(&leaf).expect("it calls");
    assert_eq!(next_id(&mut visit), "1");
}

/// Two servers that cannot resume share one line. When the server that opened it dies, one of them
/// calls, whichever is quicker.
#[test]
fn two_servers_share_a_line() {
    let plan = |domains| Plan {
        domains,
        more: "[s2s]\npolicy = \"dialback\"\nresume = \"0s\"\n\
               [outbox]\nretry = \"200ms\"\nretry_longest = \"200ms\"\n"
            .into(),
        ..Plan::default()
    };
    let [here, there] = World::federation([plan(&["a.test"]), plan(&["c.test"])]);
    let mut alice = here.online("alice@a.test/phone");
    let mut carol = there.online("carol@c.test/desk");
    for number in 0..5 {
        let id = format!("{number}");
        says(&mut alice, "carol@c.test", &id);
        carol.waits_for(&format!("<message type='chat' id='{id}'/>"));
        says(&mut carol, "alice@a.test", &id);
        alice.waits_for(&format!("<message type='chat' id='{id}'/>"));
    }
    let reached = |world: &World| world.log().matches("a server was reached").count();
    assert_eq!((reached(&here), reached(&there)), (1, 0), "{}", there.log());
    here.kill_9();
    drop(alice);
    for id in ["5", "6", "7"] {
        says(&mut carol, "alice@a.test", id);
    }
    here.rise();
    let mut alice = here.online("alice@a.test/phone");
    for id in ["5", "6", "7"] {
        alice.waits_for(&format!("<message type='chat' id='{id}'/>"));
    }
}
