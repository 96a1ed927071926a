//! Ping, time, version, discovery, capabilities, uptime: what clients ask first.

use crate::device::Device;
use crate::world::World;
use crate::xml::El;

const INFO: &str = "http://jabber.org/protocol/disco#info";

const FEATURES: &[&str] = &[
    INFO,
    "http://jabber.org/protocol/disco#items",
    "urn:xmpp:ping",
    "urn:xmpp:time",
    "jabber:iq:version",
    "jabber:iq:last",
    "urn:xmpp:blocking",
    "vcard-temp",
    "msgoffline",
];

#[test]
fn what_the_server_says_of_itself() {
    let world = World::start();
    let mut alice = world.online("alice@a.test/phone");
    let ask = |payload: &str| format!("<iq type='get' id='q' to='a.test'>{payload}</iq>");
    alice.gets(
        &ask("<ping xmlns='urn:xmpp:ping'/>"),
        "<iq type='result' id='q' from='a.test'/>",
    );
    let time = alice.gets(
        &ask("<time xmlns='urn:xmpp:time'/>"),
        "<iq type='result' id='q'><time xmlns='urn:xmpp:time'/></iq>",
    );
    let utc = time
        .child("urn:xmpp:time", "time")
        .map(|t| t.child_text("urn:xmpp:time", "utc"));
    assert!(
        utc.is_some_and(|utc| utc.ends_with('Z') && utc.contains('T')),
        "{time}"
    );
    let version = alice.gets(
        &ask("<query xmlns='jabber:iq:version'/>"),
        "<iq type='result' id='q'><query xmlns='jabber:iq:version'/></iq>",
    );
    assert!(version.to_string().contains("ookery"), "{version}");
    let uptime = alice.gets(
        &ask("<query xmlns='jabber:iq:last'/>"),
        "<iq type='result' id='q'><query xmlns='jabber:iq:last' seconds='*'/></iq>",
    );
    let seconds = uptime
        .child("jabber:iq:last", "query")
        .and_then(|q| q.attr("seconds"));
    assert!(
        seconds.is_some_and(|s| s.parse::<u32>().is_ok_and(|s| s < 600)),
        "{uptime}"
    );
}

/// The answer of `to` to disco#info about a node, "" for none.
fn info(alice: &mut Device, to: &str, node: &str) -> El {
    let node = if node.is_empty() {
        String::new()
    } else {
        format!("node='{node}'")
    };
    let answer = alice.gets(
        &format!("<iq type='get' id='i' to='{to}'><query xmlns='{INFO}' {node}/></iq>"),
        &format!("<iq type='result' id='i'><query xmlns='{INFO}'/></iq>"),
    );
    answer.child(INFO, "query").expect("a query").clone()
}

#[test]
fn discovery() {
    let world = World::start();
    let mut alice = world.online("alice@a.test/phone");
    let server = info(&mut alice, "a.test", "");
    let identity = server.child(INFO, "identity").expect("an identity");
    assert_eq!(
        (identity.attr("category"), identity.attr("type")),
        (Some("server"), Some("im"))
    );
    let features = server.children.iter().filter(|c| c.name == "feature");
    let features: Vec<&str> = features.flat_map(|c| c.attr("var")).collect();
    for var in FEATURES {
        assert!(features.contains(var), "{var} is not among {features:?}");
    }
    let mut sorted = features.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(
        sorted.len(),
        features.len(),
        "a feature is named twice: {features:?}"
    );

    let account = info(&mut alice, "alice@a.test", "");
    let kind = account
        .child(INFO, "identity")
        .and_then(|i| i.attr("category"));
    assert_eq!(kind, Some("account"), "{account}");
}

/// XEP-0115: what the stream features hash is what disco answers for that node.
#[test]
fn capabilities() {
    let world = World::start();
    let mut alice = world.online("alice@a.test/phone");
    let caps = alice
        .client
        .features
        .child("http://jabber.org/protocol/caps", "c")
        .cloned();
    let caps = caps.expect("caps among the stream features");
    let node = format!(
        "{}#{}",
        caps.attr("node").unwrap_or(""),
        caps.attr("ver").unwrap_or("")
    );
    let of_node = info(&mut alice, "a.test", &node);
    let server = info(&mut alice, "a.test", "");
    assert_eq!(
        of_node.children, server.children,
        "the hashed features are those of the server"
    );
}

#[test]
fn limits_are_announced() {
    let world = World::start();
    let alice = world.device("alice@a.test/phone");
    let limits = alice
        .client
        .features
        .child("urn:xmpp:stream-limits:0", "limits");
    let limits = limits.expect("XEP-0478 limits among the features");
    let bytes = limits.child_text("urn:xmpp:stream-limits:0", "max-bytes");
    assert_eq!(bytes, "262144", "{limits}");
}
