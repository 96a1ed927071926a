//! What an administrator has everybody told, and what the server tells an administrator of users
//! (XEP-0133).

use crate::device::Device;
use crate::world::{World, password};
use crate::xml::El;

const COMMANDS: &str = "http://jabber.org/protocol/commands";

/// Gives a command with this form; answers what came back.
fn orders(admin: &mut Device, command: &str, fields: &[(&str, &str)]) -> El {
    let field =
        |(var, value): &(&str, &str)| format!("<field var='{var}'><value>{value}</value></field>");
    let fields: String = fields.iter().map(field).collect();
    admin.gets(
        &format!(
            "<iq type='set' id='o' to='a.test'><command xmlns='{COMMANDS}' \
             node='http://jabber.org/protocol/admin#{command}'>\
             <x xmlns='jabber:x:data' type='submit'>{fields}</x></command></iq>"
        ),
        &format!("<iq type='result' id='o'><command xmlns='{COMMANDS}' status='completed'/></iq>"),
    )
}

#[test]
fn what_everybody_is_told() {
    let world = World::start();
    let add = ["user", "add", "admin@a.test", "--password-stdin"];
    let (status, text) = world.run(&add, &password("admin"));
    assert!(status.success(), "{text}");
    world.remember("admin@a.test");
    let mut admin = world.online("admin@a.test/desk");
    let mut alice = world.online("alice@a.test/phone");

    let headline = |text: &str| {
        format!("<message type='headline' from='a.test'><body>{text}</body></message>")
    };
    orders(&mut admin, "set-motd", &[("motd", "Tea at five")]);
    alice.hears(&headline("Tea at five"));
    admin.waits_for(&headline("Tea at five"));
    orders(&mut admin, "set-welcome", &[("welcome", "Hello")]);

    // Alice has heard it, Bob has not, and Bob is new.
    alice.leaves();
    let mut alice = world.online("alice@a.test/phone");
    alice.hears_nothing();
    let mut bob = world.online("bob@a.test/desk");
    bob.hears(&headline("Hello"));
    bob.hears(&headline("Tea at five"));
    bob.leaves();

    // The texts and who heard them outlive the server.
    alice.leaves();
    admin.leaves();
    world.term();
    world.rise();
    let mut bob = world.online("bob@a.test/desk");
    bob.hears_nothing();
    let mut carol = world.online("carol@a.test/desk");
    carol.hears(&headline("Hello"));
    carol.hears(&headline("Tea at five"));

    let mut admin = world.online("admin@a.test/desk");
    carol.says("<presence><show>away</show></presence>");
    carol.ping();
    let idle = orders(&mut admin, "get-idle-users", &[]);
    assert!(idle.to_string().contains("carol@a.test"), "{idle}");
    let active = orders(&mut admin, "get-active-users", &[]).to_string();
    assert!(
        active.contains("bob@a.test") && !active.contains("carol@a.test"),
        "{active}"
    );
    let seen = orders(
        &mut admin,
        "get-user-lastlogin",
        &[("accountjids", "alice@a.test")],
    );
    let seen = seen.to_string();
    assert!(
        seen.contains("'lastlogin'") && seen.contains(">20"),
        "a time: {seen}"
    );
}
