//! The server is told to go (SIGTERM): it says so, saves all, and is soon back.

use crate::attacks::cpu_ticks;
use crate::world::World;
use std::time::Duration;

#[test]
fn going_and_coming_back() {
    let world = World::start();
    let mut alice = world.device("alice@a.test/phone");
    alice.comes_online();
    alice.gets(
        "<iq type='set' id='set'><query xmlns='jabber:iq:roster'>\
         <item jid='bob@b.test' name='Bob'/></query></iq>",
        "<iq type='result' id='set'/>",
    );
    world.account("bob", "b.test");
    alice.says("<message type='chat' to='bob@b.test' id='m'><body>whisper</body></message>");
    alice.ping();
    let stranger = world.tcp();

    world.term();
    alice.waits_for_the_end(&["system-shutdown"]);
    drop(stranger);

    world.rise();
    let mut alice = world.device("alice@a.test/phone");
    let roster = alice.fetches_roster();
    assert!(roster.to_string().contains("Bob"), "{roster}");
    let mut bob = world.device("bob@b.test/home");
    bob.says("<presence/>");
    bob.waits_for("<message type='chat' from='alice@a.test/phone' id='m'/>");
}

/// I10: a second start changes nothing and needs no hand.
#[test]
fn starting_is_quick_after_a_crash() {
    let world = World::start();
    let mut alice = world.online("alice@a.test/phone");
    for n in 0..200 {
        alice.says(&format!(
            "<message type='chat' to='bob{n}@a.test' id='m'><body>whisper</body></message>"
        ));
    }
    alice.drains();
    for _ in 0..3 {
        world.kill_9();
        world.rise();
        // Of the processor's time: what else the machine does is not the server's fault.
        let took = cpu_ticks(world.pid());
        assert!(took < 500, "{took} hundredths of a second");
        world.online("alice@a.test/phone");
    }
}

/// Who is back under the same name before the old session was found to be gone is not reported as
/// gone.
#[test]
fn back_before_anybody_noticed() {
    let world = World::start();
    let resources = ["alice@a.test/phone", "alice@a.test/desk"];
    let before = resources.map(|jid| world.online(jid));
    std::thread::sleep(Duration::from_millis(700));
    world.kill_9();
    drop(before);
    world.rise();
    let [_phone, mut desk] = resources.map(|jid| world.online(jid));
    std::thread::sleep(Duration::from_millis(1500));
    let heard = desk.drains();
    let mut of_phone = heard
        .iter()
        .filter(|el| el.attr("from") == Some(resources[0]));
    let last = of_phone.next_back().expect("the phone's presence");
    assert_eq!(last.attr("type"), None, "{heard:?}");
}
