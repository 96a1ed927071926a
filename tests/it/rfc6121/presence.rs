//! RFC 6121 §4: presence to those who may see it, and to one's own devices.

use super::{arrives, befriends, subscribes};
use crate::world::World;

/// §4.2.2, §4.4.2: contacts and all own devices hear it, the sender too; the full XML travels.
#[test]
fn presence_is_broadcast() {
    let world = World::start();
    let mut balcony = arrives(&world, "juliet@a.test/balcony");
    let mut romeo = arrives(&world, "romeo@b.test/foo");
    let mut mercutio = arrives(&world, "mercutio@a.test/sword");
    subscribes(&mut romeo, &mut balcony);
    let mut chamber = world.device("juliet@a.test/chamber");
    chamber.says("<presence id='first'/>");
    let from_chamber = "<presence from='juliet@a.test/chamber' id='first'/>";
    chamber.hears_all(&[from_chamber, "<presence from='juliet@a.test/balcony'/>"]);
    balcony.hears(from_chamber);
    romeo.hears(from_chamber);

    let away = "<show>away</show><status>I shall return!</status><priority>1</priority>\
                <x xmlns='urn:x' a='b'>more</x>";
    balcony.says(&format!(
        "<presence id='second' xml:lang='en'>{away}</presence>"
    ));
    let heard = format!(
        "<presence from='juliet@a.test/balcony' id='second' xml:lang='en'>{away}</presence>"
    );
    for device in [&mut balcony, &mut chamber, &mut romeo] {
        device.hears(&heard);
    }
    mercutio.hears_nothing();
}

/// §4.2.2, §4.3: who arrives sees those who are there, as they last said.
#[test]
fn who_arrives_sees_who_is_there() {
    let world = World::start();
    let mut juliet = arrives(&world, "juliet@a.test/balcony");
    let mut romeo = arrives(&world, "romeo@b.test/foo");
    befriends(&mut juliet, &mut romeo);
    romeo.leaves();
    juliet.hears("<presence from='romeo@b.test/foo' type='unavailable'/>");
    juliet.says("<presence id='now'><show>dnd</show></presence>");
    juliet.waits_for("<presence from='juliet@a.test/balcony' id='now'/>");
    let mut romeo = world.device("romeo@b.test/bar");
    romeo.says("<presence/>");
    romeo.waits_for("<presence from='juliet@a.test/balcony'><show>dnd</show></presence>");
    juliet.waits_for("<presence from='romeo@b.test/bar'/>");
}

/// §4.5.2: leaving is told to contacts and to the other devices, with what was said.
#[test]
fn leaving_is_told() {
    let world = World::start();
    let mut balcony = arrives(&world, "juliet@a.test/balcony");
    let mut romeo = arrives(&world, "romeo@b.test/foo");
    subscribes(&mut romeo, &mut balcony);
    let mut chamber = arrives(&world, "juliet@a.test/chamber");
    balcony.drains();
    romeo.drains();
    chamber.says("<presence type='unavailable'><status>gone home</status></presence>");
    let gone = "<presence from='juliet@a.test/chamber' type='unavailable'>\
                <status>gone home</status></presence>";
    romeo.hears(gone);
    balcony.hears(gone);
    // Own presence is echoed to all own devices, unavailable too.
    chamber.hears(gone);
    // Still connected, and no longer available: presence of contacts does not come.
    balcony.says("<presence><show>away</show></presence>");
    romeo.waits_for("<presence from='juliet@a.test/balcony'><show>away</show></presence>");
    chamber.hears_nothing();
    chamber.leaves();
    romeo.hears_nothing();
}

/// §4.5.2: the connection breaks, and the server says it.
#[test]
fn a_broken_connection_is_told() {
    let world = World::start();
    let mut juliet = arrives(&world, "juliet@a.test/balcony");
    let mut romeo = arrives(&world, "romeo@b.test/foo");
    subscribes(&mut romeo, &mut juliet);
    drop(juliet);
    romeo.hears("<presence from='juliet@a.test/balcony' type='unavailable'/>");
    let mut juliet = arrives(&world, "juliet@a.test/balcony");
    romeo.hears("<presence from='juliet@a.test/balcony'/>");
    juliet.says("<message to='a.test'>");
    juliet.says("</wrong>");
    juliet.hears_the_end("not-well-formed");
    romeo.hears("<presence from='juliet@a.test/balcony' type='unavailable'/>");
}

/// §4.6: directed presence goes to one, its end follows it, also for who never was available.
#[test]
fn directed_presence() {
    let world = World::start();
    let mut juliet = arrives(&world, "juliet@a.test/balcony");
    let mut mercutio = arrives(&world, "mercutio@b.test/sword");
    let mut nurse = arrives(&world, "nurse@a.test/kitchen");
    juliet.says("<presence to='mercutio@b.test' id='d'><status>hello</status></presence>");
    mercutio.hears(
        "<presence from='juliet@a.test/balcony' to='mercutio@b.test' id='d'>\
         <status>hello</status></presence>",
    );
    // Broadcasts do not follow to who is no contact (§4.6.3), the end does.
    juliet.says("<presence><show>away</show></presence>");
    juliet.waits_for("<presence from='juliet@a.test/balcony'><show>away</show></presence>");
    mercutio.hears_nothing();
    juliet.says("<presence type='unavailable'/>");
    mercutio.hears("<presence from='juliet@a.test/balcony' type='unavailable'/>");
    nurse.hears_nothing();

    let mut silent = world.device("juliet@a.test/silent");
    silent.says("<presence to='nurse@a.test/kitchen'/>");
    nurse.hears("<presence from='juliet@a.test/silent' to='nurse@a.test/kitchen'/>");
    drop(silent);
    nurse.hears("<presence from='juliet@a.test/silent' type='unavailable'/>");

    let mut ended = world.device("juliet@a.test/ended");
    ended.says("<presence to='nurse@a.test'/>");
    nurse.hears("<presence from='juliet@a.test/ended'/>");
    ended.says("<presence to='nurse@a.test' type='unavailable'/>");
    nurse.hears("<presence from='juliet@a.test/ended' type='unavailable'/>");
    ended.leaves();
    nurse.hears_nothing();
}

/// §4.7.2.3: a priority is a number from -128 to 127.
#[test]
fn priorities() {
    let world = World::start();
    let mut juliet = arrives(&world, "juliet@a.test/balcony");
    for good in ["-128", "127", "0"] {
        let presence = format!("<presence><priority>{good}</priority></presence>");
        juliet.says(&presence);
        juliet.waits_for(&format!(
            "<presence from='juliet@a.test/balcony'><priority>{good}</priority></presence>"
        ));
    }
}
