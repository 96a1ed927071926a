//! Alice changes her password (XEP-0077 §3.3).

use crate::world::{World, password};

#[test]
fn a_new_password() {
    let world = World::start();
    let mut alice = world.online("alice@a.test/phone");
    let mut desk = world.online("alice@a.test/desk");
    alice.gets(
        "<iq type='set' id='pw' to='a.test'><query xmlns='jabber:iq:register'>\
         <username>alice</username><password>sesame-two</password></query></iq>",
        "<iq type='result' id='pw'/>",
    );
    // Her other devices have to log in again; this one stays.
    desk.waits_for_the_end(&["not-authorized", "reset"]);
    alice.ping();

    let mut client = world.tcp();
    client.open().expect("stream");
    let refused = client.plain("alice", &password("alice"));
    assert_eq!(refused, Ok(Some("not-authorized".into())));
    client
        .login("alice", "sesame-two")
        .expect("the new password");

    world.kill_9();
    world.rise();
    let mut client = world.tcp();
    client.open().expect("stream");
    client
        .login("alice", "sesame-two")
        .expect("the new password after a crash");

    // Nobody changes another's.
    let mut bob = world.online("bob@a.test/home");
    let answer = bob.asks(
        "<iq type='set' id='pw' to='a.test'><query xmlns='jabber:iq:register'>\
         <username>alice</username><password>sesame-bob</password></query></iq>",
    );
    assert_eq!(answer.attr("type"), Some("error"), "{answer}");
    let mut client = world.tcp();
    client.open().expect("stream");
    client.login("alice", "sesame-two").expect("still hers");
}
