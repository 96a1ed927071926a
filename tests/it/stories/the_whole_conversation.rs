//! Alice begins on her phone and goes on at her desk: both know what was said (XEP-0280).

use crate::device::Device;
use crate::sasl2::{self, agent, bind, enter};
use crate::world::{World, password};

const ENABLE: &str = "<iq type='set' id='e'><enable xmlns='urn:xmpp:carbons:2'/></iq>";

/// A copy as `device` hears it: of a message of type chat with these attributes and this body.
fn copy(name: &str, device: &Device, message: &str, body: &str) -> String {
    format!(
        "<message type='chat' from='{}' to='{}'><{name} xmlns='urn:xmpp:carbons:2'>\
         <forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' type='chat' \
         {message}><body>{body}</body></message></forwarded></{name}></message>",
        device.bare(),
        device.jid()
    )
}

#[test]
fn the_whole_conversation() {
    let world = World::start();
    let mut phone = world.online("alice@a.test/phone");
    let mut desk = world.online("alice@a.test/desk");
    let mut bob = world.online("bob@b.test/home");
    for device in [&mut phone, &mut desk] {
        let info = device.asks(
            "<iq type='get' id='i' to='a.test'>\
             <query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
        );
        for feature in ["'urn:xmpp:carbons:2'", "'urn:xmpp:carbons:rules:0'"] {
            assert!(info.to_string().contains(feature), "{info}");
        }
        device.gets(ENABLE, "<iq type='result' id='e'/>");
        device.drains();
    }

    // To both: no copies. To one of them, and back: the other one is told.
    bob.says("<message type='chat' to='alice@a.test' id='m1'><body>hello</body></message>");
    for device in [&mut phone, &mut desk] {
        device.hears("<message type='chat' id='m1' from='bob@b.test/home'/>");
    }
    let answer = "to='bob@b.test/home' id='m2'";
    phone.says(&format!(
        "<message type='chat' {answer}><body>hello yourself</body></message>"
    ));
    bob.hears("<message type='chat' id='m2' from='alice@a.test/phone'/>");
    let answer = format!("{answer} from='alice@a.test/phone'");
    desk.hears(&copy("sent", &desk, &answer, "hello yourself"));
    let more = "to='alice@a.test/phone' id='m3'";
    bob.says(&format!(
        "<message type='chat' {more}><body>how are you</body></message>"
    ));
    phone.hears("<message type='chat' id='m3' to='alice@a.test/phone'/>");
    let more = format!("{more} from='bob@b.test/home'");
    desk.hears(&copy("received", &desk, &more, "how are you"));
    for device in [&mut phone, &mut desk, &mut bob] {
        device.hears_nothing();
    }

    // The desk wants no more of it.
    let disable = ENABLE.replace("enable", "disable");
    desk.gets(&disable, "<iq type='result' id='e'/>");
    phone.says("<message type='chat' to='bob@b.test' id='m4'><body>fine</body></message>");
    bob.hears("<message type='chat' id='m4'/>");
    desk.hears_nothing();
}

/// XEP-0386: the desk asks for copies while it binds.
#[test]
fn from_the_first_moment() {
    let world = World::start();
    let mut phone = world.online("alice@a.test/phone");
    let mut client = world.tls();
    client.open().expect("stream");
    let features = client.features.to_string();
    assert!(features.contains("var='urn:xmpp:carbons:2'"), "{features}");
    let wishes = "<enable xmlns='urn:xmpp:carbons:2'/></bind>";
    let rest = agent("desk") + &bind("Desk").replace("</bind>", wishes);
    let said = sasl2::plain("alice", &password("alice"), &rest);
    enter(&mut client, &said).expect("an outcome");
    let mut desk = Device::new(client);
    phone.says("<message type='chat' to='bob@b.test' id='m'><body>hello</body></message>");
    desk.hears(&copy("sent", &desk, "to='bob@b.test' id='m'", "hello"));
}
