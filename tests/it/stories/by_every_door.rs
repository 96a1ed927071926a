//! Alice logs in by STARTTLS and by direct TLS, with and without channel binding, and by plaintext
//! on loopback only where it is allowed.

use crate::client::Client;
use crate::sasl::{Hash, Scram};
use crate::tls;
use crate::world::{Plan, World, password};
use crate::xml::TLS;

fn log_in(mut client: Client, hash: Hash, plus: bool) {
    let offered = client.mechanisms();
    let name = match (hash, plus) {
        (Hash::Sha1, false) => "SCRAM-SHA-1",
        (Hash::Sha1, true) => "SCRAM-SHA-1-PLUS",
        (Hash::Sha256, false) => "SCRAM-SHA-256",
        (Hash::Sha256, true) => "SCRAM-SHA-256-PLUS",
    };
    assert!(
        offered.iter().any(|m| m == name),
        "{name} is not in {offered:?}"
    );
    let mut scram = Scram::new(hash, "alice", &password("alice"));
    if plus {
        scram.gs2 = "p=tls-exporter,,".into();
        scram.binding = tls::exporter(client.tls().expect("TLS"));
    }
    assert_eq!(
        client.scram(scram, plus),
        Ok(None),
        "{name}\n  {}",
        client.story()
    );
    client.open().expect("the stream after login");
    client.bind("phone").expect("bind");
    assert_eq!(client.jid, "alice@a.test/phone");
}

#[test]
fn by_every_door() {
    let world = World::start();
    world.account("alice", "a.test");
    for hash in [Hash::Sha1, Hash::Sha256] {
        for plus in [false, true] {
            let mut client = world.tcp();
            client.starttls().expect("STARTTLS");
            client.open().expect("stream");
            log_in(client, hash, plus);
            let mut client = world.tls();
            client.open().expect("stream");
            log_in(client, hash, plus);
        }
    }
    let mut client = world.tls();
    client.open().expect("stream");
    assert_eq!(client.plain("alice", &password("alice")), Ok(None));
    let mut client = world.tcp();
    client.open().expect("stream");
    assert!(
        !client.mechanisms().iter().any(|m| m.ends_with("-PLUS")),
        "no binding without TLS"
    );
    assert_eq!(
        client.plain("alice", "sesame-wrong"),
        Ok(Some("not-authorized".into()))
    );
}

#[test]
fn plaintext_is_for_loopback_when_allowed() {
    let world = World::with(Plan {
        plaintext: "never",
        ..Plan::default()
    });
    let mut client = world.tcp();
    client.open().expect("stream");
    assert!(client.mechanisms().is_empty(), "{}", client.features);
    assert!(client.features.child(TLS, "starttls").is_some());
}
