//! Alice's phone logs in once with the password, and from then on with a token, in one round trip
//! (XEP-0388, XEP-0386, XEP-0484, XEP-0509); she sees which clients have access, and takes it from
//! one (XEP-0494).

use crate::client::{Client, PATIENCE};
use crate::device::Device;
use crate::sasl::{Hash, Scram};
use crate::sasl2::{self, BIND2, SASL2, agent, bind, enter, given, verdict, wish};
use crate::tls;
use crate::world::{World, password};
use crate::xml::{El, Heard, STREAMS};

const EXPR: &str = "HT-SHA-256-EXPR";
const IAP: &str = "urn:xmpp:iap:0";

/// A connection by direct TLS with its stream opened.
fn opened(world: &World) -> Client {
    let mut client = world.tls();
    client.open().expect("stream");
    client
}

/// Logs alice's installation in with her password; it gets a token and a session.
fn first_login(world: &World, id: &str) -> (Device, String) {
    world.account("alice", "a.test");
    let mut client = opened(world);
    let rest = format!("{}{}{}", agent(id), bind("Awesome"), wish(EXPR));
    let said = sasl2::plain("alice", &password("alice"), &rest);
    let success = enter(&mut client, &said).expect("an outcome");
    let token = given(&success).expect("a token");
    (Device::new(client), token)
}

/// Logs in by a token with a session.
fn by_token(world: &World, id: &str, token: &str) -> (Client, El) {
    let mut client = opened(world);
    let rest = format!("{}{}", agent(id), bind("Awesome"));
    let said = sasl2::token(&client, "alice", token, EXPR, "", &rest);
    let outcome = enter(&mut client, &said).expect("an outcome");
    (client, outcome)
}

#[test]
fn by_password_with_everything_at_once() {
    let world = World::start();
    world.account("alice", "a.test");
    let mut client = opened(&world);
    let mut scram = Scram::new(Hash::Sha256, "alice", &password("alice"));
    scram.gs2 = "p=tls-exporter,,".into();
    scram.binding = tls::exporter(client.tls().expect("TLS"));
    let rest = format!("{}{}{}", agent("phone"), bind("Awesome"), wish(EXPR));
    let login = sasl2::scram(&mut client, scram, "SCRAM-SHA-256-PLUS", &rest);
    let (success, _) = login.expect("an outcome");
    assert_eq!(verdict(&success), "success", "{success}");
    assert!(success.child(BIND2, "bound").is_some(), "{success}");
    assert!(given(&success).is_some(), "{success}");
    assert!(
        client.jid.starts_with("alice@a.test/Awesome/"),
        "{}",
        client.jid
    );
    assert!(!client.jid.contains("phone"), "the id is nobody's business");
    let rfc6120 = "urn:ietf:params:xml:ns:xmpp-bind";
    assert!(
        client.features.child(rfc6120, "bind").is_none(),
        "bound already"
    );
    Device::new(client).comes_online();

    // Without Bind 2 there is no restart either, and the rest is as it ever was.
    let mut client = opened(&world);
    let said = sasl2::plain("alice", &password("alice"), "");
    let success = enter(&mut client, &said).expect("an outcome");
    assert_eq!(
        success.child_text(SASL2, "authorization-identifier"),
        "alice@a.test"
    );
    client.bind("desk").expect("bind");
    Device::new(client).comes_online();
}

#[test]
fn back_in_one_round_trip() {
    let world = World::start();
    let (mut phone, token) = first_login(&world, "phone");
    phone.comes_online();
    let version = opened(&world).features.clone();
    let version = version.child(IAP, "config-version").expect("XEP-0509");
    let version = version.attr("value").expect("a value").to_string();

    // Everything in one write: header, login, and what follows it.
    let mut client = world.tls();
    let rest = format!(
        "{}{}<config-version xmlns='{IAP}' scheme='opaque' value='{version}'/>",
        agent("phone"),
        bind("Awesome"),
    );
    let said = format!(
        "{}{}<presence/><iq type='get' id='p' to='a.test'><ping xmlns='urn:xmpp:ping'/></iq>",
        client.header_text(),
        sasl2::token(&client, "alice", &token, EXPR, "", &rest),
    );
    let binding = tls::exporter(client.tls().expect("TLS"));
    client.say(&said);
    assert!(
        matches!(client.hear(), Ok(Heard::Open(_))),
        "{}",
        client.story()
    );
    client.expect(STREAMS, "features").expect("features");
    let success = sasl2::outcome(&mut client).expect("an outcome");
    assert_eq!(verdict(&success), "success", "{success}");
    let proof = crate::sasl::b64(sasl2::hash(&token, "Responder", &binding));
    assert_eq!(
        success.child_text(SASL2, "additional-data"),
        proof,
        "the server has it too"
    );
    assert_eq!(client.jid, phone.jid(), "the same client, the same address");
    let mut again = Device::new(client);
    again.waits_for(&format!("<presence from='{}'/>", again.jid()));
    again.waits_for("<iq type='result' id='p'/>");
    // Its earlier session is a dead connection.
    phone.waits_for_the_end(&["conflict"]);

    // Something else is offered than it knows: it is told so, and nothing is held against it.
    let mut client = opened(&world);
    let stale = rest.replace(&version, "stale");
    for _ in 0..20 {
        let said = sasl2::token(&client, "alice", &token, EXPR, "", &stale);
        let failure = enter(&mut client, &said).expect("an outcome");
        assert_eq!(verdict(&failure), "aborted", "{failure}");
        assert!(
            failure.child(IAP, "config-version-mismatch").is_some(),
            "{failure}"
        );
    }
    let said = sasl2::token(&client, "alice", &token, EXPR, "", &rest);
    assert_eq!(
        verdict(&enter(&mut client, &said).expect("an outcome")),
        "success"
    );
}

#[test]
fn a_token_is_told_when_it_is_safe() {
    let world = World::start();
    let (phone, token) = first_login(&world, "phone");
    world.kill_9();
    world.rise();
    let (client, success) = by_token(&world, "phone", &token);
    assert_eq!(verdict(&success), "success", "{success}");
    assert_eq!(client.jid, phone.jid(), "and its address stayed its own");
    // So is that it is good no more.
    let mut client = opened(&world);
    let invalid = " invalidate='true'";
    let said = sasl2::token(&client, "alice", &token, EXPR, invalid, &agent("phone"));
    assert_eq!(
        verdict(&enter(&mut client, &said).expect("an outcome")),
        "success"
    );
    world.kill_9();
    world.rise();
    let (_, failure) = by_token(&world, "phone", &token);
    assert_eq!(verdict(&failure), "credentials-expired", "{failure}");
}

#[test]
fn clients_are_seen_and_sent_away() {
    let world = World::start();
    let (mut phone, token) = first_login(&world, "phone");
    let mut desk = world.online("alice@a.test/desk");
    let list = "<iq type='get' id='l'><list xmlns='urn:xmpp:cam:0'/></iq>";
    let answer = desk.gets(
        list,
        "<iq type='result' id='l'><clients xmlns='urn:xmpp:cam:0'>\
         <client connected='true' id='*' type='session'><first-seen/><last-seen/>\
         <auth><password/><fast/></auth><permission status='unrestricted'/>\
         <user-agent><software>Awesome</software><device>Alice's phone</device></user-agent>\
         </client></clients></iq>",
    );
    let cam = "urn:xmpp:cam:0";
    let clients = answer.child(cam, "clients").expect("clients");
    let named = |device: &str| {
        let of = |client: &&El| {
            let agent = client.child(cam, "user-agent").expect("an agent");
            agent.child_text(cam, "device") == device
        };
        let client = clients.children.iter().find(of).expect("the client");
        client.attr("id").expect("an id").to_string()
    };
    assert_eq!(clients.children.len(), 2, "{answer}");
    assert!(!named("desk").is_empty(), "the one without a name too");

    // Nobody else sees that.
    let mut bob = world.online("bob@a.test/home");
    bob.gets(
        "<iq type='get' id='l' to='alice@a.test'><list xmlns='urn:xmpp:cam:0'/></iq>",
        "<iq type='error' id='l'><error type='cancel'>\
         <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
    );

    // It is gone; but it may know the password, and she is told so.
    let id = named("Alice's phone");
    let answer = desk.asks(&format!(
        "<iq type='set' id='r'><revoke xmlns='urn:xmpp:cam:0' id='{id}'/></iq>"
    ));
    assert_eq!(answer.error(), Some(("cancel", "service-unavailable")));
    assert!(
        answer.to_string().contains("password-reset-required"),
        "{answer}"
    );
    phone.waits_for_the_end(&["not-authorized"]);
    let (_, failure) = by_token(&world, "phone", &token);
    assert_eq!(verdict(&failure), "credentials-expired", "{failure}");
    desk.ping();
}

#[test]
fn the_administrator_sends_a_client_away() {
    let world = World::start();
    let (mut laptop, token) = first_login(&world, "laptop");
    let (status, text) = world.run(&["user", "clients", "alice@a.test"], "");
    assert!(status.success(), "{text}");
    let line = text
        .lines()
        .find(|line| line.contains("Awesome on Alice's laptop"));
    let id = line.and_then(|line| line.split(' ').next()).expect("an id");
    let (status, text) = world.run(&["user", "clients", "alice@a.test", "--revoke", id], "");
    assert!(status.success() && text.contains("set a new one"), "{text}");
    laptop.waits_for_the_end(&["not-authorized"]);
    let (_, failure) = by_token(&world, "laptop", &token);
    assert_eq!(verdict(&failure), "credentials-expired", "{failure}");
    let (status, text) = world.run(&["user", "clients", "alice@a.test", "--revoke", "x"], "");
    assert!(
        !status.success() && text.contains("no such client"),
        "{text}"
    );
}

#[test]
fn a_new_password_leaves_no_token() {
    let world = World::start();
    let mut desk = world.online("alice@a.test/desk");
    // A new password sends everybody away, the one who set it excepted, and no token is left.
    let (_, token) = first_login(&world, "tablet");
    desk.gets(
        "<iq type='set' id='pw' to='a.test'><query xmlns='jabber:iq:register'>\
         <username>alice</username><password>sesame-two</password></query></iq>",
        "<iq type='result' id='pw'/>",
    );
    let (_, failure) = by_token(&world, "tablet", &token);
    assert_eq!(verdict(&failure), "credentials-expired", "{failure}");
    let mut client = opened(&world);
    let said = sasl2::plain("alice", "sesame-two", &agent("tablet"));
    assert_eq!(
        verdict(&enter(&mut client, &said).expect("an outcome")),
        "success"
    );
    client.say("</stream:stream>");
    client.closed(PATIENCE).expect("the end");
}

#[test]
fn an_old_session_comes_first() {
    let world = World::start();
    let (_, token) = first_login(&world, "phone");
    let sm = "urn:xmpp:sm:3";
    let enter = |rest: &str| {
        let mut client = opened(&world);
        let rest = format!("{}{rest}", agent("phone"));
        let said = sasl2::token(&client, "alice", &token, EXPR, "", &rest);
        let success = enter(&mut client, &said).expect("an outcome");
        assert_eq!(verdict(&success), "success", "{success}");
        (client, success)
    };
    let bind = format!("<bind xmlns='{BIND2}'><enable xmlns='{sm}' resume='true'/></bind>");
    let (client, success) = enter(&bind);
    let bound = success.child(BIND2, "bound").expect("a session");
    let id = bound.child(sm, "enabled").and_then(|el| el.attr("id"));
    let id = id.expect("it can be resumed").to_string();
    let mut phone = Device::new(client);
    phone.comes_online();
    let mut bob = world.online("bob@a.test/home");
    let to = phone.jid();

    // The network goes; meanwhile somebody writes; the phone comes back.
    drop(phone.client.socket().shutdown(std::net::Shutdown::Both));
    bob.says(&format!(
        "<message type='chat' to='{to}' id='m1'><body>there?</body></message>"
    ));
    bob.ping();
    let resume = |id: &str| format!("<resume xmlns='{sm}' previd='{id}' h='1'/>{bind}");
    let (client, success) = enter(&resume(&id));
    assert!(success.child(sm, "resumed").is_some(), "{success}");
    assert!(
        success.child(BIND2, "bound").is_none(),
        "the old one: {success}"
    );
    assert_eq!(client.jid, to);
    let mut phone = Device::new(client);
    phone.waits_for("<message type='chat' id='m1'><body>there?</body></message>");
    phone.ping();

    // Also when the server was killed.
    world.kill_9();
    world.rise();
    let (client, success) = enter(&resume(&id));
    assert!(success.child(sm, "resumed").is_some(), "{success}");
    let mut phone = Device::new(client);
    phone.ping();

    // One that there is not: the client is told, and gets a new one.
    let (client, success) = enter(&resume("nonsense"));
    assert!(success.child(sm, "failed").is_some(), "{success}");
    assert!(success.child(BIND2, "bound").is_some(), "{success}");
    phone.waits_for_the_end(&["conflict"]);
    Device::new(client).comes_online();
}

/// XEP-0386 §4.2: who binds so reads in the archive what waited for him, and is told where it
/// ends; only what is in no archive is sent to him.
#[test]
fn what_waited_is_in_the_archive() {
    let world = World::start();
    world.account("alice", "a.test");
    let enter = || {
        let mut client = opened(&world);
        let rest = agent("phone") + &sasl2::bind("Phone");
        let said = sasl2::plain("alice", &password("alice"), &rest);
        let success = enter(&mut client, &said).expect("an outcome");
        let bound = success.child(BIND2, "bound").expect("a session").clone();
        let metadata = bound.child("urn:xmpp:mam:2", "metadata").expect("metadata");
        (Device::new(client), metadata.clone())
    };
    let (mut phone, metadata) = enter();
    assert!(metadata.children.is_empty(), "{metadata}");
    phone.leaves();
    let mut bob = world.online("bob@a.test/home");
    for id in ["m1", "m2"] {
        bob.says(&format!(
            "<message type='chat' to='alice@a.test' id='{id}'><body>{id}</body></message>"
        ));
    }
    bob.says(
        "<message type='chat' to='alice@a.test' id='m3'><body>m3</body>\
         <no-permanent-store xmlns='urn:xmpp:hints'/></message>",
    );
    bob.ping();
    let (mut phone, metadata) = enter();
    phone.says("<presence/>");
    phone.waits_for("<message type='chat' id='m3'/>");
    let rest = phone.drains();
    assert!(!rest.iter().any(|it| it.name == "message"), "{rest:?}");
    let answer = phone.asks("<iq type='get' id='m'><metadata xmlns='urn:xmpp:mam:2'/></iq>");
    assert_eq!(answer.children[0].to_string(), metadata.to_string());
    phone.says("<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'/></iq>");
    let mam = |id: &str| {
        format!(
            "<message><result xmlns='urn:xmpp:mam:2' id='*'><forwarded xmlns='urn:xmpp:forward:0'>\
         <message xmlns='jabber:client' type='chat' id='{id}'/></forwarded></result></message>"
        )
    };
    let results = ["m1", "m2"].map(|id| phone.waits_for(&mam(id)));
    let ids = results
        .iter()
        .map(|it| it.children[0].attr("id").expect("an id"));
    let ends = metadata
        .children
        .iter()
        .map(|it| it.attr("id").expect("an id"));
    assert_eq!(ids.collect::<Vec<_>>(), ends.collect::<Vec<_>>());
}
