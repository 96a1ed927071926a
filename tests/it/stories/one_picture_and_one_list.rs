//! Alice has a new client and an old one: her picture and her bookmarks are the same in both
//! (XEP-0398, XEP-0402), also after the server fell over.

use crate::world::World;

const PUBSUB: &str = "http://jabber.org/protocol/pubsub";
/// `GIF89a`, and its SHA-1.
const IMAGE: &str = "R0lGODlh";
const HASH: &str = "25c9b37ae36a0a08318d4dca7ca57ea98d776821";

#[test]
fn a_picture_set_in_the_old_way_is_shown_in_the_new_one() {
    let world = World::start();
    let mut old = world.online("alice@a.test/old");
    old.gets(
        &format!(
            "<iq type='set' id='v'><vCard xmlns='vcard-temp'><FN>Alice</FN><PHOTO>\
             <TYPE>image/gif</TYPE><BINVAL>{IMAGE}</BINVAL></PHOTO></vCard></iq>"
        ),
        "<iq type='result' id='v'/>",
    );
    drop(old);
    world.kill_9();
    world.rise();
    let mut new = world.online("alice@a.test/new");
    let got = new.asks(&format!(
        "<iq type='get' id='d'><pubsub xmlns='{PUBSUB}'>\
         <items node='urn:xmpp:avatar:data'/></pubsub></iq>"
    ));
    assert!(got.to_string().contains(IMAGE), "{got}");
    new.says("<presence/>");
    let presence = new.waits_for("<presence from='alice@a.test/new'/>");
    let x = presence.child("vcard-temp:x:update", "x").expect("a hash");
    assert_eq!(x.child_text("vcard-temp:x:update", "photo"), HASH);
    let mut bob = world.online("bob@b.test/home");
    let card = bob.asks("<iq type='get' id='v' to='alice@a.test'><vCard xmlns='vcard-temp'/></iq>");
    assert!(card.to_string().contains(IMAGE), "{card}");
}

#[test]
fn a_bookmark_set_in_the_new_way_is_listed_in_the_old_one() {
    let world = World::start();
    let mut new = world.online("alice@a.test/new");
    new.gets(
        &format!(
            "<iq type='set' id='b'><pubsub xmlns='{PUBSUB}'>\
             <publish node='urn:xmpp:bookmarks:1'><item id='tea@rooms.a.test'>\
             <conference xmlns='urn:xmpp:bookmarks:1' name='Tea' autojoin='true'/>\
             </item></publish></pubsub></iq>"
        ),
        "<iq type='result' id='b'/>",
    );
    let mut old = world.online("alice@a.test/old");
    old.gets(
        "<iq type='get' id='g'><query xmlns='jabber:iq:private'>\
         <storage xmlns='storage:bookmarks'/></query></iq>",
        "<iq type='result' id='g'><query xmlns='jabber:iq:private'>\
         <storage xmlns='storage:bookmarks'>\
         <conference jid='tea@rooms.a.test' name='Tea' autojoin='true'/></storage></query></iq>",
    );
    old.gets(
        "<iq type='set' id='s'><query xmlns='jabber:iq:private'>\
         <storage xmlns='storage:bookmarks'><conference jid='milk@rooms.a.test'/></storage>\
         </query></iq>",
        "<iq type='result' id='s'/>",
    );
    let list = new.asks(&format!(
        "<iq type='get' id='l'><pubsub xmlns='{PUBSUB}'>\
         <items node='urn:xmpp:bookmarks:1'/></pubsub></iq>"
    ));
    let list = list.to_string();
    assert!(
        list.contains("milk@rooms.a.test") && !list.contains("tea@"),
        "{list}"
    );
}
