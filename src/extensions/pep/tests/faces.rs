//! What one client writes in the old way another reads in the new way, and the other way round.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;

const ROOMS: &str = "urn:xmpp:bookmarks:1";

fn bookmark(room: &str, name: &str) -> String {
    let conference =
        format!("<conference xmlns='{ROOMS}' name='{name}'><nick>al</nick></conference>");
    publish(ROOMS, room, "x").replace("<t xmlns='urn:t'>x</t>", &conference)
}

fn private(kind: &str, inside: &str) -> String {
    let storage = format!("<storage xmlns='storage:bookmarks'>{inside}</storage>");
    format!("<iq type='{kind}' id='q'><query xmlns='jabber:iq:private'>{storage}</query></iq>")
}

fn old_node(inside: &str) -> String {
    let storage = format!("<storage xmlns='storage:bookmarks'>{inside}</storage>");
    publish("storage:bookmarks", "current", "x").replace("<t xmlns='urn:t'>x</t>", &storage)
}

#[test]
fn bookmarks_are_the_same_by_all_three_ways() {
    let mut world = world();
    enter(&mut world, ALICE, 1, &[ROOMS]);
    enter(&mut world, ALICE, 2, &["storage:bookmarks"]);
    ask(&mut world, ALICE, 1, &bookmark("a@r.test", "A"));
    let old = "<conference jid='a@r.test' name='A'><nick>al</nick></conference>";
    let heard = world.heard(ALICE, 2).concat();
    assert!(
        heard.contains("node='storage:bookmarks'") && heard.contains(old),
        "{heard}"
    );
    let got = ask(&mut world, ALICE, 2, &private("get", ""));
    assert!(got.contains(old), "{got}");
    let got = ask(&mut world, ALICE, 2, &items("", "storage:bookmarks"));
    assert!(got.contains(old) && ids(&got) == ["current"], "{got}");
    // The old client adds a room, and something that is none.
    let more = format!("{old}<conference jid='b@r.test' autojoin='1'/><url url='http://x/'/>");
    world.heard(ALICE, 1);
    assert!(ask(&mut world, ALICE, 2, &private("set", &more)).contains("type='result'"));
    let heard = world.heard(ALICE, 1);
    assert_eq!(heard.len(), 1, "only what is new: {heard:?}");
    assert!(heard[0].contains("id='b@r.test'") && heard[0].contains("autojoin='true'"));
    assert_eq!(
        ids(&ask(&mut world, ALICE, 1, &items("", ROOMS))),
        ["a@r.test", "b@r.test"]
    );
    assert!(ask(&mut world, ALICE, 2, &private("get", "")).contains("<url url='http://x/'/>"));
    // And takes one away by the other old way.
    let one = "<conference jid='b@r.test' autojoin='1'/>";
    world.heard(ALICE, 1);
    assert!(ask(&mut world, ALICE, 2, &old_node(one)).contains("type='result'"));
    assert!(
        world
            .heard(ALICE, 1)
            .concat()
            .contains("<retract id='a@r.test'/>")
    );
    assert_eq!(
        ids(&ask(&mut world, ALICE, 1, &items("", ROOMS))),
        ["b@r.test"]
    );
    // Who moves to the new way does not lose them with the old node.
    let delete = owner("set", "<delete node='storage:bookmarks'/>");
    assert!(ask(&mut world, ALICE, 1, &delete).contains("type='result'"));
    assert_eq!(
        ids(&ask(&mut world, ALICE, 1, &items("", ROOMS))),
        ["b@r.test"]
    );
    world.restart();
    world.connect(ALICE, 3);
    assert!(ask(&mut world, ALICE, 3, &private("get", "")).contains("jid='b@r.test'"));
}

#[test]
fn bookmarks_are_nobody_elses_business() {
    let mut world = world();
    world.connect(ALICE, 1);
    enter(&mut world, BOB, 1, &[ROOMS, "storage:bookmarks"]);
    world.send(ALICE, 1, &private("set", "<conference jid='a@r.test'/>"));
    assert!(world.heard(BOB, 1).is_empty());
    for node in [ROOMS, "storage:bookmarks"] {
        assert!(ask(&mut world, BOB, 1, &items(ALICE, node)).contains("<closed-node"));
    }
    let open = publish_with("storage:bookmarks", "i", "x", &[("access_model", "open")]);
    world.heard(ALICE, 1);
    assert!(ask(&mut world, ALICE, 1, &open).contains("<precondition-not-met"));
}

fn card(kind: &str, to: &str, inside: &str) -> String {
    let to = match to {
        "" => String::new(),
        to => format!(" to='{to}'"),
    };
    format!("<iq type='{kind}' id='q'{to}><vCard xmlns='vcard-temp'>{inside}</vCard></iq>")
}

/// A picture, and its hash.
fn picture(text: &str) -> (String, String) {
    use sha1::{Digest, Sha1};
    let image = format!("GIF89a {text}");
    let hash = Sha1::digest(&image);
    let hex = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    (STANDARD.encode(image), hex)
}

fn avatar(text: &str) -> [String; 2] {
    let (data, id) = picture(text);
    let data = format!("<data xmlns='urn:xmpp:avatar:data'>{data}</data>");
    let info = format!(
        "<metadata xmlns='urn:xmpp:avatar:metadata'><info bytes='9' id='{id}' type='image/gif'/>\
         </metadata>"
    );
    [("data", data), ("metadata", info)].map(|(node, payload)| {
        let node = format!("urn:xmpp:avatar:{node}");
        publish(&node, &id, "x").replace("<t xmlns='urn:t'>x</t>", &payload)
    })
}

#[test]
fn an_avatar_is_in_the_vcard_and_in_presence() {
    let mut world = world();
    world.connect(ALICE, 1);
    world.connect(BOB, 1);
    assert!(ask(&mut world, ALICE, 1, &card("set", "", "<FN>Alice</FN>")).contains("result"));
    for iq in avatar("one") {
        assert!(ask(&mut world, ALICE, 1, &iq).contains("type='result'"));
    }
    let (data, id) = picture("one");
    let seen = ask(&mut world, BOB, 1, &card("get", ALICE, ""));
    let photo = format!("<PHOTO><TYPE>image/gif</TYPE><BINVAL>{data}</BINVAL></PHOTO>");
    assert!(
        seen.contains("<FN>Alice</FN>") && seen.contains(&photo),
        "{seen}"
    );
    let x = |inside: &str| format!("<x xmlns='vcard-temp:x:update'>{inside}</x>");
    let hash = x(&format!("<photo>{id}</photo>"));
    for (said, shown) in [
        (String::new(), hash.clone()),
        (x(""), hash.clone()),
        (x("<photo>other</photo>"), hash.clone()),
        (x("<photo/>"), x("<photo/>")),
    ] {
        let presence = world.presence_of(ALICE, 1, &format!("<presence>{said}</presence>"));
        assert!(presence.contains(&shown), "{presence}");
        assert_eq!(presence.matches("vcard-temp:x:update").count(), 1);
    }
    // A stranger sees no more of it than the node lets him.
    world.send(
        ALICE,
        1,
        &format!("<presence type='unsubscribed' to='{BOB}'/>"),
    );
    world.heard(BOB, 1);
    let seen = ask(&mut world, BOB, 1, &card("get", ALICE, ""));
    assert!(
        seen.contains("<FN>Alice</FN>") && !seen.contains("PHOTO"),
        "{seen}"
    );
    world.restart();
    world.bind(ALICE, 2);
    assert!(world.presence_of(ALICE, 2, "<presence/>").contains(&hash));
}

#[test]
fn the_picture_of_a_vcard_is_the_avatar() {
    let mut world = world();
    world.connect(ALICE, 1);
    enter(&mut world, BOB, 1, &["urn:xmpp:avatar:metadata"]);
    for text in ["one", "two"] {
        let (data, id) = picture(text);
        let photo = format!("<PHOTO><TYPE>image/png</TYPE><BINVAL>\n{data}\n</BINVAL></PHOTO>");
        let set = card("set", "", &format!("<FN>A</FN>{photo}"));
        assert!(ask(&mut world, ALICE, 1, &set).contains("type='result'"));
        let heard = world.heard(BOB, 1);
        assert_eq!(heard.len(), 1, "{heard:?}");
        assert!(
            heard[0].contains(&format!("id='{id}' type='image/gif'")),
            "{heard:?}"
        );
        let got = ask(&mut world, BOB, 1, &items(ALICE, "urn:xmpp:avatar:data"));
        assert!(got.contains(&data) && ids(&got) == [id], "{got}");
        // What is set again is no news.
        assert!(ask(&mut world, ALICE, 1, &set).contains("type='result'"));
        assert!(world.heard(BOB, 1).is_empty());
    }
    assert!(ask(&mut world, ALICE, 1, &card("set", "", "<FN>A</FN>")).contains("result"));
    let heard = world.heard(BOB, 1).concat();
    assert!(
        heard.contains("<metadata xmlns='urn:xmpp:avatar:metadata'/>"),
        "{heard}"
    );
    assert!(!ask(&mut world, BOB, 1, &card("get", ALICE, "")).contains("PHOTO"));
    assert!(
        !world
            .presence_of(ALICE, 1, "<presence/>")
            .contains("vcard-temp")
    );
}

#[test]
fn a_card_says_the_same_in_both_forms() {
    let mut world = world();
    world.connect(ALICE, 1);
    enter(&mut world, BOB, 1, &["urn:xmpp:vcard4"]);
    let set = card("set", "", "<FN>Alice</FN><GEO><LAT>1</LAT></GEO>");
    assert!(ask(&mut world, ALICE, 1, &set).contains("type='result'"));
    assert!(
        world
            .heard(BOB, 1)
            .concat()
            .contains("<fn><text>Alice</text></fn>")
    );
    let new = "<vcard xmlns='urn:ietf:params:xml:ns:vcard-4.0'><fn><text>Al</text></fn></vcard>";
    let publish = publish("urn:xmpp:vcard4", "i", "x").replace("<t xmlns='urn:t'>x</t>", new);
    assert!(ask(&mut world, ALICE, 1, &publish).contains("type='result'"));
    let seen = ask(&mut world, BOB, 1, &card("get", ALICE, ""));
    assert!(
        seen.contains("<FN>Al</FN>") && seen.contains("<GEO>"),
        "{seen}"
    );
    world.heard(BOB, 1);
    assert!(ask(&mut world, ALICE, 1, &card("set", "", "<FN>Al</FN>")).contains("result"));
    assert!(world.heard(BOB, 1).is_empty(), "nothing new");
}
