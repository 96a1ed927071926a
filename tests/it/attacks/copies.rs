//! C, continued: copies of messages for one's other devices, and who makes them up.

use super::row::{Row, Stage, must, scene};
use crate::device::Device;

pub fn rows() -> Vec<Row> {
    vec![
        scene("C26", "copies for others, and copies made up", made_up),
        scene("C27", "messages that are not copied", not_copied),
    ]
}

const ENABLE: &str = "<enable xmlns='urn:xmpp:carbons:2'/>";

fn enabled(stage: &Stage, who: &str) -> Device {
    let mut device = stage.online(who);
    let iq = format!("<iq type='set' id='e'>{ENABLE}</iq>");
    device.gets(&iq, "<iq type='result' id='e'/>");
    device
}

fn made_up(stage: &Stage) -> Result<(), String> {
    let (mut alice, mut bob) = (stage.online("alice"), stage.online("bob"));
    let to = bob.bare();
    let answer = alice.asks(&format!("<iq type='set' id='e' to='{to}'>{ENABLE}</iq>"));
    let refused = Some(("cancel", "service-unavailable"));
    must(answer.error() == refused, || answer.to_string())?;
    for name in ["received", "sent"] {
        alice.says(&format!(
            "<message to='{to}' id='f' type='chat'><body>whisper</body>\
             <{name} xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>\
             <message xmlns='jabber:client' from='{to}' to='{to}'><body>x</body></message>\
             </forwarded></{name}></message>"
        ));
        let heard = bob.waits_for("<message id='f' type='chat'/>");
        must(!heard.to_string().contains("carbons"), || heard.to_string())?;
    }
    alice.says(&format!(
        "<message to='{to}/r1' id='g' type='chat'><body>x</body></message>"
    ));
    bob.waits_for("<message id='g' type='chat'/>");
    let heard = alice.drains();
    must(heard.iter().all(|it| it.name == "presence"), || {
        format!("{heard:?}")
    })
}

fn not_copied(stage: &Stage) -> Result<(), String> {
    let mut alice = stage.online("alice");
    let (mut phone, mut desk) = (enabled(stage, "bob/phone"), enabled(stage, "bob/desk"));
    for device in [&mut alice, &mut phone, &mut desk] {
        device.drains();
    }
    let private = "<private xmlns='urn:xmpp:carbons:2'/>";
    let cases = [
        ("chat", private),
        ("chat", "<no-copy xmlns='urn:xmpp:hints'/>"),
        ("chat", "<x xmlns='http://jabber.org/protocol/muc#user'/>"),
        ("groupchat", ""),
        ("headline", ""),
    ];
    for (kind, inside) in cases {
        alice.says(&format!(
            "<message to='{}' id='p' type='{kind}'><body>whisper</body>{inside}</message>",
            phone.jid()
        ));
        let heard = phone.waits_for(&format!("<message id='p' type='{kind}'/>"));
        let whole = inside != private || heard.child("urn:xmpp:carbons:2", "private").is_some();
        must(whole, || heard.to_string())?;
        let heard = desk.drains();
        must(heard.is_empty(), || format!("{kind} {inside}: {heard:?}"))?;
    }
    // What a device says of a copy never reaches who sent the message.
    alice.says(&format!(
        "<message to='{}' id='m' type='chat'><body>whisper</body></message>",
        phone.jid()
    ));
    desk.waits_for("<message type='chat' from='*'/>");
    let error = "<error type='cancel'>\
                 <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    desk.says(&format!(
        "<message to='{}' type='error'>{error}</message>",
        desk.bare()
    ));
    desk.ping();
    let heard = alice.drains();
    must(heard.is_empty(), || format!("{heard:?}"))?;
    // An error that answers a copied message is copied.
    alice.drains();
    phone.says(&format!(
        "<message to='{}/gone' id='n' type='normal'><body>whisper</body></message>",
        alice.bare()
    ));
    phone.waits_for("<message type='error' id='n'/>");
    desk.waits_for("<message from='*'/>");
    let heard = desk
        .waits_for("<message type='error' from='*'/>")
        .to_string();
    must(
        heard.contains("received") && heard.contains("id='n'"),
        || heard,
    )
}
