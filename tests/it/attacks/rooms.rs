//! M: rooms.

use super::row::{Row, Stage, must, scene};
use crate::device::Device;
use crate::xml::{CLIENT, El};

const MUC: &str = "http://jabber.org/protocol/muc";
const STANZAS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";

pub fn rows() -> Vec<Row> {
    vec![
        scene("M01", "what one says who is not in the room", outside),
        scene("M02", "members configure and destroy", usurped),
        scene("M03", "lists of people, asked for by others", lists),
        scene("M04", "who makes himself more, and others less", powers),
        scene(
            "M05",
            "banned, no member, wrong password, taken name",
            doors,
        ),
        scene("M07", "names like another's, or none", names),
        scene(
            "M08",
            "whispers from outside, and where there are none",
            whispers,
        ),
        scene("M10", "ids and items that only the room may give", forged),
        scene("A20", "the same in the room's archive", kept),
        scene("M11", "one user's occupant ids in two rooms", occupant_ids),
        scene("M12", "real addresses in a semi-anonymous room", addresses),
        scene("M13", "an answer by who was not asked", answers),
        scene("M14", "forms that cannot be", forms),
        scene("M16", "a ghost", ghost),
    ]
}

/// A room of alice's, and who else is in it.
struct Room {
    jid: String,
    alice: Device,
}

impl Room {
    fn open(stage: &Stage, fields: &[(&str, &str)]) -> Room {
        let jid = format!("{}@rooms.a.test", stage.user("room"));
        let mut alice = stage.online("alice");
        enter(&mut alice, &jid, "Alice");
        let mut room = Room { jid, alice };
        let open = [
            ("membersonly", "0"),
            ("whois", "moderators"),
            ("publicroom", "1"),
        ];
        let fields: Vec<_> = open.iter().chain(fields).copied().collect();
        let answer = room.configure(&fields);
        assert_eq!(answer.attr("type"), Some("result"), "{answer}");
        room
    }

    fn configure(&mut self, fields: &[(&str, &str)]) -> El {
        let field = |(var, value): &(&str, &str)| {
            format!("<field var='muc#roomconfig_{var}'><value>{value}</value></field>")
        };
        let fields: String = fields.iter().map(field).collect();
        let form = format!("<x xmlns='jabber:x:data' type='submit'>{fields}</x>");
        asks(&mut self.alice, &self.jid, "set", "owner", &form)
    }

    fn admin(&mut self, items: &str) -> El {
        asks(&mut self.alice, &self.jid, "set", "admin", items)
    }

    /// Somebody enters, and is let in.
    fn joined(&self, stage: &Stage, who: &str, nick: &str) -> Device {
        let mut device = stage.online(who);
        enter(&mut device, &self.jid, nick);
        device
    }
}

fn join(room: &str, nick: &str) -> String {
    format!("<presence to='{room}/{nick}'><x xmlns='{MUC}'/></presence>")
}

fn enter(device: &mut Device, room: &str, nick: &str) {
    device.says(&join(room, nick));
    device.waits_for(&format!(
        "<presence from='{room}/{nick}'><x xmlns='{MUC}#user'><status code='110'/></x></presence>"
    ));
    device.waits_for("<message type='groupchat'><subject/></message>");
}

fn asks(device: &mut Device, room: &str, kind: &str, what: &str, inside: &str) -> El {
    let query = format!("<query xmlns='{MUC}#{what}'>{inside}</query>");
    device.asks(&format!(
        "<iq type='{kind}' id='q' to='{room}'>{query}</iq>"
    ))
}

fn refused(answer: &El, condition: &str) -> Result<(), String> {
    let error = answer.child(CLIENT, "error");
    let said = error.is_some_and(|it| it.child(STANZAS, condition).is_some());
    must(said, || format!("{condition} was to come: {answer}"))
}

/// Somebody wants to enter, and is told that he may not.
fn kept_out(device: &mut Device, room: &str, nick: &str, condition: &str) {
    device.says(&join(room, nick));
    device.waits_for(&format!(
        "<presence type='error' from='{room}/{nick}'><error><{condition} xmlns='{STANZAS}'/>\
         </error></presence>"
    ));
}

fn outside(stage: &Stage) -> Result<(), String> {
    let mut room = Room::open(stage, &[]);
    let mut bob = stage.online("bob");
    bob.says(&format!(
        "<message type='groupchat' to='{}' id='m'><body>whisper</body></message>",
        room.jid
    ));
    let answer = bob.waits_for("<message type='error' id='m'/>");
    refused(&answer, "not-acceptable")?;
    room.alice.hears_nothing();
    Ok(())
}

fn usurped(stage: &Stage) -> Result<(), String> {
    let room = Room::open(stage, &[]);
    let mut bob = room.joined(stage, "bob", "Bob");
    for (kind, inside) in [
        ("get", ""),
        ("set", "<x xmlns='jabber:x:data' type='submit'/>"),
        ("set", "<destroy/>"),
    ] {
        refused(
            &asks(&mut bob, &room.jid, kind, "owner", inside),
            "forbidden",
        )?;
    }
    Ok(())
}

fn lists(stage: &Stage) -> Result<(), String> {
    let mut room = Room::open(stage, &[]);
    room.admin(&format!(
        "<item affiliation='member' jid='{}'/>",
        stage.bare("bob")
    ));
    let mut bob = room.joined(stage, "bob", "Bob");
    let mut eve = stage.online("eve");
    for affiliation in ["owner", "admin", "member", "outcast"] {
        let item = format!("<item affiliation='{affiliation}'/>");
        for device in [&mut bob, &mut eve] {
            refused(&asks(device, &room.jid, "get", "admin", &item), "forbidden")?;
        }
    }
    Ok(())
}

fn powers(stage: &Stage) -> Result<(), String> {
    let mut room = Room::open(stage, &[]);
    let (own, bobs) = (room.alice.bare(), stage.bare("bob"));
    let set =
        |affiliation: &str, jid: &str| format!("<item affiliation='{affiliation}' jid='{jid}'/>");
    room.admin(&set("member", &bobs));
    let mut bob = room.joined(stage, "bob", "Bob");
    let answer = asks(&mut bob, &room.jid, "set", "admin", &set("owner", &bobs));
    refused(&answer, "forbidden")?;
    room.admin(&set("admin", &bobs));
    let answer = asks(&mut bob, &room.jid, "set", "admin", &set("none", &own));
    refused(&answer, "not-allowed")?;
    let kick = "<item nick='Alice' role='none'/>";
    refused(
        &asks(&mut bob, &room.jid, "set", "admin", kick),
        "not-allowed",
    )?;
    let answer = asks(&mut bob, &room.jid, "set", "admin", &set("outcast", &bobs));
    refused(&answer, "conflict")?;
    refused(&room.admin(&set("none", &own)), "conflict")
}

fn doors(stage: &Stage) -> Result<(), String> {
    let mut room = Room::open(stage, &[]);
    let mut bob = stage.online("bob");
    room.admin(&format!(
        "<item affiliation='outcast' jid='{}'/>",
        bob.bare()
    ));
    kept_out(&mut bob, &room.jid, "Bob", "forbidden");
    let mut eve = stage.online("eve");
    kept_out(&mut eve, &room.jid, "Alice", "conflict");
    room.configure(&[("passwordprotectedroom", "1"), ("roomsecret", "whisper")]);
    kept_out(&mut eve, &room.jid, "Eve", "not-authorized");
    room.configure(&[("passwordprotectedroom", "0"), ("membersonly", "1")]);
    kept_out(&mut eve, &room.jid, "Eve", "registration-required");
    Ok(())
}

fn names(stage: &Stage) -> Result<(), String> {
    let room = Room::open(stage, &[]);
    let mut eve = stage.online("eve");
    // Cyrillic А, a digit for a letter, another case.
    for like in ["\u{410}lice", "A1ice", "ALICE"] {
        kept_out(&mut eve, &room.jid, like, "conflict");
    }
    kept_out(&mut eve, &room.jid, &"x".repeat(100), "not-acceptable");
    // A character that is not seen makes no address at all.
    eve.says(&join(&room.jid, "Alice\u{200b}"));
    let answer = eve.waits_for("<presence type='error'/>");
    refused(&answer, "jid-malformed")
}

fn whispers(stage: &Stage) -> Result<(), String> {
    let mut room = Room::open(stage, &[("allowpm", "none")]);
    let mut bob = room.joined(stage, "bob", "Bob");
    let mut eve = stage.online("eve");
    let whisper = format!(
        "<message type='chat' to='{}/Alice' id='w'><body>whisper</body></message>",
        room.jid
    );
    room.alice.drains();
    eve.says(&whisper);
    refused(
        &eve.waits_for("<message type='error' id='w'/>"),
        "not-acceptable",
    )?;
    bob.says(&whisper);
    refused(
        &bob.waits_for("<message type='error' id='w'/>"),
        "forbidden",
    )?;
    room.alice.hears_nothing();
    Ok(())
}

fn forged(stage: &Stage) -> Result<(), String> {
    let room = Room::open(stage, &[]);
    let mut bob = room.joined(stage, "bob", "Bob");
    bob.says(&format!(
        "<message type='groupchat' to='{room}' id='f'><body>whisper</body>\
         <occupant-id xmlns='urn:xmpp:occupant-id:0' id='forged'/>\
         <occupant-id xmlns='urn:xmpp:occupant-id:0' id='forged'/>\
         <stanza-id xmlns='urn:xmpp:sid:0' by='{room}' id='forged'/>\
         <x xmlns='{MUC}#user'><item affiliation='owner' role='moderator'/></x></message>",
        room = room.jid
    ));
    let heard = bob
        .waits_for("<message type='groupchat' id='f'/>")
        .to_string();
    must(
        !heard.contains("forged") && !heard.contains("owner"),
        || heard.clone(),
    )?;
    let once = |name: &str| heard.matches(&format!("<{name} ")).count() == 1;
    must(once("occupant-id") && once("stanza-id"), || heard.clone())
}

fn kept(stage: &Stage) -> Result<(), String> {
    forged(stage)?;
    let mut bob = stage.device("bob/other");
    bob.says(&format!(
        "<iq type='set' id='a' to='{}@rooms.a.test'><query xmlns='urn:xmpp:mam:2'/></iq>",
        stage.user("room")
    ));
    let found = bob
        .waits_for("<message><result xmlns='urn:xmpp:mam:2'/></message>")
        .to_string();
    must(found.contains("whisper"), || found.clone())?;
    must(
        !found.contains("forged") && !found.contains("muc#user"),
        || found.clone(),
    )
}

fn occupant_ids(stage: &Stage) -> Result<(), String> {
    let first = Room::open(stage, &[]);
    let mut bob = stage.online("bob");
    let mut ids = Vec::new();
    let second = format!("{}@rooms.a.test", stage.user("other"));
    for room in [&first.jid, &second] {
        bob.says(&join(room, "Bob"));
        let own = bob.waits_for(&format!(
            "<presence from='{room}/Bob'><x xmlns='{MUC}#user'><status code='110'/></x></presence>"
        ));
        let id = own.child("urn:xmpp:occupant-id:0", "occupant-id");
        ids.push(
            id.and_then(|it| it.attr("id"))
                .unwrap_or_default()
                .to_owned(),
        );
    }
    must(
        ids[0] != ids[1] && ids.iter().all(|id| id.len() >= 16),
        || format!("{ids:?}"),
    )
}

fn addresses(stage: &Stage) -> Result<(), String> {
    let mut room = Room::open(stage, &[]);
    let mut bob = room.joined(stage, "bob", "Bob");
    let mut eve = room.joined(stage, "eve", "Eve");
    let secret = bob.bare();
    bob.says(&format!(
        "<presence to='{}/Bob'><show>away</show></presence>",
        room.jid
    ));
    bob.says(&format!(
        "<message type='groupchat' to='{}' id='g'><body>whisper</body></message>",
        room.jid
    ));
    eve.waits_for("<message type='groupchat' id='g'/>");
    bob.says(&format!(
        "<message type='chat' to='{}/Eve' id='w'><body>whisper</body></message>",
        room.jid
    ));
    eve.waits_for("<message type='chat' id='w'/>");
    let info = format!(
        "<iq type='get' id='i' to='{}'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
        room.jid
    );
    let info = eve.asks(&info).to_string();
    let story = eve.client.story();
    must(!story.contains(&secret) && !info.contains(&secret), || {
        format!("{secret} is known: {story}")
    })?;
    let known = room.alice.drains();
    must(
        known.iter().any(|it| it.to_string().contains(&secret)),
        || "the moderator does not see it".into(),
    )
}

fn answers(stage: &Stage) -> Result<(), String> {
    let mut room = Room::open(stage, &[]);
    let mut bob = room.joined(stage, "bob", "Bob");
    let mut eve = room.joined(stage, "eve", "Eve");
    bob.says(&format!(
        "<iq type='get' id='v' to='{}/Alice'><query xmlns='jabber:iq:version'/></iq>",
        room.jid
    ));
    let asked = room
        .alice
        .waits_for("<iq type='get'><query xmlns='jabber:iq:version'/></iq>");
    must(
        asked.attr("from") == Some(&format!("{}/Bob", room.jid)),
        || asked.to_string(),
    )?;
    let id = asked.attr("id").unwrap_or_default().to_owned();
    let result = |mark: &str| {
        format!(
            "<iq type='result' id='{id}' to='{}/Bob'><query xmlns='jabber:iq:version'>\
             <name>{mark}</name></query></iq>",
            room.jid
        )
    };
    eve.says(&result("eve"));
    eve.ping();
    let (forged, right) = (result("eve"), result("alice"));
    must(forged != right, || "they differ".into())?;
    room.alice.says(&right);
    let heard = bob.waits_for("<iq type='result' id='v'/>");
    must(
        heard.to_string().contains("alice")
            && heard.attr("from") == Some(&format!("{}/Alice", room.jid)),
        || heard.to_string(),
    )
}

fn forms(stage: &Stage) -> Result<(), String> {
    let mut room = Room::open(stage, &[]);
    refused(&room.configure(&[("maxusers", "-1")]), "not-acceptable")?;
    refused(&room.configure(&[("whois", "everybody")]), "not-acceptable")?;
    refused(
        &room.configure(&[("maxusers", "10"), ("maxusers", "20")]),
        "bad-request",
    )?;
    let info = asks(&mut room.alice, &room.jid.clone(), "get", "owner", "");
    must(info.attr("type") == Some("result"), || info.to_string())
}

fn ghost(stage: &Stage) -> Result<(), String> {
    let mut room = Room::open(stage, &[]);
    let mut bob = room.joined(stage, "bob", "Bob");
    room.alice.drains();
    bob.says(&format!(
        "<message type='error' to='{}'><error type='cancel'><recipient-unavailable \
         xmlns='{STANZAS}'/></error></message>",
        room.jid
    ));
    room.alice.waits_for(&format!(
        "<presence type='unavailable' from='{}/Bob'><x xmlns='{MUC}#user'><status code='333'/></x>\
         </presence>",
        room.jid
    ));
    Ok(())
}
