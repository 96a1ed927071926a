//! The administrator at the command line, while the server runs and while it does not.

use crate::world::{World, password, rookery};
use std::process::Command;

#[test]
fn accounts_by_command() {
    let world = World::start();
    let (status, text) = world.run(
        &["user", "add", "dan@a.test", "--password-stdin"],
        "sesame-x\n",
    );
    assert!(status.success(), "{text}");
    let mut client = world.tcp();
    client.open().expect("stream");
    client.login("dan", "sesame-x").expect("dan logs in");
    let (status, _) = world.run(
        &["user", "add", "dan@a.test", "--password-stdin"],
        "other\n",
    );
    assert!(!status.success(), "the name is taken");
    let (status, text) = world.run(&["user", "list", "--json"], "");
    assert!(status.success() && text.contains("dan@a.test"), "{text}");
    let (status, text) = world.run(&["status", "--json"], "");
    assert!(status.success() && text.contains("\"sessions\""), "{text}");
    let (status, text) = world.run(&["xeps"], "");
    assert!(status.success() && text.contains("0199"), "{text}");

    // The same on the store, when no server runs.
    world.term();
    let (status, text) = world.run(
        &["user", "passwd", "dan@a.test", "--password-stdin"],
        "sesame-y\n",
    );
    assert!(status.success(), "{text}");
    let (status, text) = world.run(&["user", "add", "eve@b.test", "--generate"], "");
    assert!(status.success(), "{text}");
    world.rise();
    let mut client = world.tcp();
    client.open().expect("stream");
    client
        .login("dan", "sesame-y")
        .expect("the password set meanwhile");
    let (_, text) = world.run(&["user", "list"], "");
    assert!(text.contains("eve@b.test"), "{text}");
    let (status, text) = world.run(&["user", "delete", "dan@a.test"], "");
    assert!(status.success(), "{text}");
    let mut client = world.tcp();
    client.open().expect("stream");
    assert_eq!(
        client.plain("dan", "sesame-y"),
        Ok(Some("not-authorized".into()))
    );
}

#[test]
fn a_second_server_refuses_the_folder() {
    let world = World::start();
    let mut alice = world.online("alice@a.test/phone");
    let output = Command::new(rookery())
        .args(["serve", "--port-offset", "100", "--config"])
        .arg(world.settings())
        .output()
        .expect("the second server ends");
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    assert!(!said.trim().is_empty(), "it says why");
    alice.ping();
}

#[test]
fn a_wrong_configuration_is_explained() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rookery.toml");
    std::fs::write(&file, "domans = [\"a.test\"]\n").expect("a file");
    for arguments in [vec!["check-config"], vec!["serve"]] {
        let output = Command::new(rookery())
            .args(&arguments)
            .arg("--config")
            .arg(&file)
            .current_dir(&folder)
            .output()
            .expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr).into_owned()
            + &String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(78), "{arguments:?}: {said}");
        assert!(
            said.contains("domans") && said.contains("domains"),
            "suggests the nearest: {said}"
        );
    }
}

/// XEP-0133 is for administrators: discoverable by them, refused to others.
#[test]
fn commands_are_for_administrators() {
    let world = World::start();
    let (status, text) = world.run(
        &["user", "add", "admin@a.test", "--password-stdin"],
        &password("admin"),
    );
    assert!(status.success(), "{text}");
    world.remember("admin@a.test");
    let mut admin = world.online("admin@a.test/desk");
    let commands = "http://jabber.org/protocol/commands";
    let items = format!(
        "<iq type='get' id='c' to='a.test'>\
         <query xmlns='http://jabber.org/protocol/disco#items' node='{commands}'/></iq>"
    );
    let list = admin.asks(&items);
    let node = "http://jabber.org/protocol/admin#add-user";
    assert!(list.to_string().contains(node), "{list}");
    let execute = format!(
        "<iq type='set' id='x' to='a.test'>\
         <command xmlns='{commands}' node='{node}' action='execute'/></iq>"
    );
    let form = admin.gets(
        &execute,
        &format!(
            "<iq type='result' id='x'><command xmlns='{commands}' status='executing' sessionid='*'>\
             <x xmlns='jabber:x:data' type='form'/></command></iq>"
        ),
    );
    let session = form
        .child(commands, "command")
        .and_then(|c| c.attr("sessionid"));
    let session = crate::xml::escaped(session.expect("a session"));
    admin.gets(
        &format!(
            "<iq type='set' id='y' to='a.test'><command xmlns='{commands}' node='{node}' \
             sessionid='{session}'><x xmlns='jabber:x:data' type='submit'>\
             <field var='FORM_TYPE' type='hidden'>\
             <value>http://jabber.org/protocol/admin</value></field>\
             <field var='accountjid'><value>made@a.test</value></field>\
             <field var='password'><value>sesame-made</value></field>\
             <field var='password-verify'><value>sesame-made</value></field>\
             </x></command></iq>"
        ),
        &format!("<iq type='result' id='y'><command xmlns='{commands}' status='completed'/></iq>"),
    );
    let mut client = world.tcp();
    client.open().expect("stream");
    client
        .login("made", "sesame-made")
        .expect("the account that was made");

    let mut alice = world.online("alice@a.test/phone");
    let refused = alice.asks(&execute);
    assert_eq!(refused.error(), Some(("auth", "forbidden")), "{refused}");
    let list = alice.asks(&items);
    assert!(!list.to_string().contains("protocol/admin"), "{list}");
}
