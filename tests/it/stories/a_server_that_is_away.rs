//! Carol's server is down, or dies, or Alice's does: what was accepted is there in the end, in the
//! order in which it was said, and nobody is told what is not so.

use crate::client::PATIENCE;
use crate::device::Device;
use crate::world::{Plan, World};
use std::time::Instant;

/// Two servers that try each other again soon.
fn servers() -> [World; 2] {
    let plan = |domains| Plan {
        domains,
        more: "[s2s]\npolicy = \"dialback\"\n\
               [outbox]\nretry = \"200ms\"\nretry_longest = \"200ms\"\n"
            .into(),
        ..Plan::default()
    };
    World::federation([plan(&["a.test"]), plan(&["c.test"])])
}

fn says(alice: &mut Device, numbers: impl IntoIterator<Item = u32>) {
    for number in numbers {
        alice.says(&format!(
            "<message type='chat' to='carol@c.test' id='{number}'><body>{number}</body></message>"
        ));
    }
}

/// The numbers of the messages up to this one, as they come.
fn hears_up_to(carol: &mut Device, last: u32) -> Vec<u32> {
    let mut heard = Vec::new();
    while heard.last() != Some(&last) {
        let message = carol.waits_for("<message type='chat' from='alice@a.test/phone' id='*'/>");
        heard.push(
            message
                .attr("id")
                .and_then(|id| id.parse().ok())
                .expect("a number"),
        );
    }
    heard
}

/// A question to the other server cannot wait: the answer says why there is none.
fn hears_that_it_is_away(alice: &mut Device) {
    alice.gets(
        "<iq type='get' id='ping' to='c.test'><ping xmlns='urn:xmpp:ping'/></iq>",
        "<iq type='error' id='ping' from='c.test'><error type='wait'>\
         <remote-server-timeout xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
         <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>\
         c.test: its server cannot be reached</text></error></iq>",
    );
}

fn acknowledged(device: &mut Device, h: u32) {
    let end = Instant::now() + PATIENCE;
    loop {
        device.says("<r xmlns='urn:xmpp:sm:3'/>");
        let a = device.waits_for("<a xmlns='urn:xmpp:sm:3' h='*'/>");
        if a.attr("h") == Some(&h.to_string()) {
            return;
        }
        assert!(
            Instant::now() < end,
            "{h} stanzas are not acknowledged, but {a}"
        );
    }
}

#[test]
fn what_was_said_meanwhile_comes_when_it_is_back() {
    let [here, there] = servers();
    there.account("carol", "c.test");
    there.term();
    let mut alice = here.online("alice@a.test/phone");
    says(&mut alice, 1..=5);
    hears_that_it_is_away(&mut alice);
    // It is waited for; of that there is nothing to say.
    alice.hears_nothing();
    there.rise();
    let mut carol = there.online("carol@c.test/desk");
    says(&mut alice, 6..=8);
    assert_eq!(hears_up_to(&mut carol, 8), [1, 2, 3, 4, 5, 6, 7, 8]);
}

#[test]
fn what_was_accepted_outlives_the_server_that_accepted_it() {
    let [here, there] = servers();
    there.account("carol", "c.test");
    there.term();
    let mut alice = here.online("alice@a.test/phone");
    alice.says("<enable xmlns='urn:xmpp:sm:3'/>");
    alice.waits_for("<enabled xmlns='urn:xmpp:sm:3'/>");
    says(&mut alice, 1..=5);
    acknowledged(&mut alice, 5);
    here.kill_9();
    drop(alice);
    there.rise();
    let mut carol = there.online("carol@c.test/desk");
    here.rise();
    let mut alice = here.online("alice@a.test/phone");
    says(&mut alice, 6..=8);
    assert_eq!(hears_up_to(&mut carol, 8), [1, 2, 3, 4, 5, 6, 7, 8]);
}

/// Carol's server dies twice, once without a word and once in peace, while Alice writes.
#[test]
fn a_server_that_dies_loses_nothing() {
    let [here, there] = servers();
    let mut carol = there.online("carol@c.test/desk");
    carol.says("<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
    let enabled = carol.waits_for("<enabled xmlns='urn:xmpp:sm:3' id='*'/>");
    let session = enabled.attr("id").expect("its id").to_owned();
    let mut alice = here.online("alice@a.test/phone");

    says(&mut alice, 1..=10);
    let mut first = hears_up_to(&mut carol, 7);
    assert_eq!(first, [1, 2, 3, 4, 5, 6, 7]);
    says(&mut alice, 11..=40);
    there.kill_9();
    says(&mut alice, 41..=50);
    there.rise();
    let mut carol = resumes(&there, &session, first.len());
    says(&mut alice, 51..=60);
    let mut second = hears_up_to(&mut carol, 60);
    let heard = first.len() + second.len();
    first.append(&mut second);
    // What her server had, and had not yet told Alice's so when it died, does not come again.
    assert_eq!(first, (1..=60).collect::<Vec<u32>>());

    says(&mut alice, 61..=70);
    there.term();
    says(&mut alice, 71..=80);
    there.rise();
    let mut carol = resumes(&there, &session, heard);
    says(&mut alice, 81..=90);
    let third = hears_up_to(&mut carol, 90);
    assert_eq!(third, (61..=90).collect::<Vec<u32>>());
    alice.hears_nothing();
}

/// Carol's session goes on where she has so many of its stanzas (XEP-0198 §5).
fn resumes(there: &World, session: &str, heard: usize) -> Device {
    let mut client = there.tcp();
    client.domain = "c.test".into();
    let password = crate::world::password("carol");
    let done = client
        .open()
        .and_then(|()| client.login("carol", &password));
    done.unwrap_or_else(|e| panic!("{e}\n  {}", client.story()));
    client.jid = "carol@c.test/desk".into();
    let mut carol = Device::new(client);
    carol.says(&format!(
        "<resume xmlns='urn:xmpp:sm:3' previd='{session}' h='{heard}'/>"
    ));
    carol.waits_for("<resumed xmlns='urn:xmpp:sm:3'/>");
    carol
}

/// A server that was told of no other goes nowhere.
#[test]
fn a_server_that_is_alone_says_so() {
    let alone = World::start();
    let mut alice = alone.online("alice@a.test/phone");
    let wanted = |stanza: &str, id: &str| {
        format!(
            "<{stanza} type='error' id='{id}' from='carol@c.test'><error type='cancel'>\
             <remote-server-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>\
             </{stanza}>"
        )
    };
    alice.says("<message type='chat' to='carol@c.test' id='m'><body>Hi!</body></message>");
    alice.hears(&wanted("message", "m"));
    let iq = "<iq type='get' id='i' to='carol@c.test'><ping xmlns='urn:xmpp:ping'/></iq>";
    alice.gets(iq, &wanted("iq", "i"));
}

/// Alice and Carol see each other; then both lines go, for nobody speaks. That is nobody's loss,
/// and the next word finds its way.
#[test]
fn a_line_that_nobody_needs_goes_unseen() {
    let plan = |domains| Plan {
        domains,
        more: "[s2s]\npolicy = \"dialback\"\n[outbox]\nidle = \"1s\"\n".into(),
        ..Plan::default()
    };
    let [here, there] = World::federation([plan(&["a.test"]), plan(&["c.test"])]);
    let mut alice = here.device("alice@a.test/phone");
    let mut carol = there.device("carol@c.test/desk");
    befriend(&mut alice, &mut carol);

    // Who comes back asks, and is shown (RFC 6121 §4.3).
    alice.leaves();
    carol.waits_for("<presence type='unavailable' from='alice@a.test/phone'/>");
    let mut alice = here.online("alice@a.test/phone");
    alice.waits_for("<presence from='carol@c.test/desk'/>");
    carol.waits_for("<presence from='alice@a.test/phone'/>");
    alice.drains();
    carol.drains();

    let end = Instant::now() + 4 * PATIENCE;
    while [&here, &there]
        .iter()
        .any(|world| is_connected(world.s2s.port()))
    {
        assert!(Instant::now() < end, "the lines stand:\n{}", here.log());
        std::thread::sleep(crate::client::QUIET);
    }
    alice.hears_nothing();
    carol.hears_nothing();
    says(&mut alice, 1..=1);
    assert_eq!(hears_up_to(&mut carol, 1), [1]);
    let lines = here.log().matches("a server was reached").count();
    assert!(lines > 1, "on another line than before:\n{}", here.log());
}

/// Both become each other's contacts, and come online.
fn befriend(alice: &mut Device, carol: &mut Device) {
    alice.fetches_roster();
    carol.fetches_roster();
    alice.comes_online();
    carol.comes_online();
    meet(alice, carol);
}

/// Both, who are online, become each other's contacts.
pub fn meet(alice: &mut Device, carol: &mut Device) {
    let (a, c) = (alice.bare(), carol.bare());
    alice.says(&format!("<presence type='subscribe' to='{c}'/>"));
    carol.waits_for(&format!("<presence type='subscribe' from='{a}'/>"));
    carol.says(&format!("<presence type='subscribed' to='{a}'/>"));
    carol.says(&format!("<presence type='subscribe' to='{a}'/>"));
    alice.waits_for(&format!("<presence type='subscribe' from='{c}'/>"));
    alice.says(&format!("<presence type='subscribed' to='{c}'/>"));
    carol.waits_for(&format!("<presence type='subscribed' from='{a}'/>"));
    carol.waits_for(&format!("<presence from='{}'/>", alice.jid()));
    alice.waits_for(&format!("<presence from='{}'/>", carol.jid()));
}

/// Whether a connection to this port of this machine stands.
fn is_connected(port: u16) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the kernel's table");
    let remote = format!("0100007F:{port:04X}");
    let mut lines = table.lines().map(str::split_whitespace);
    // Number, here, there, state: 01 is established.
    lines.any(|mut line| line.nth(2) == Some(&remote) && line.next() == Some("01"))
}
