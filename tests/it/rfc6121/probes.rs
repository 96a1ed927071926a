//! RFC 6121 §4.3.2: what a probe is told.

use super::{JULIET, arrives, subscribes};
use crate::world::World;

/// Rule 1: a stranger learns nothing, not even whether there is such an account.
#[test]
fn a_stranger_learns_nothing() {
    let world = World::start();
    let mut juliet = arrives(&world, "juliet@a.test/balcony");
    let mut tybalt = arrives(&world, "tybalt@b.test/sword");
    for to in [JULIET, "nobody@a.test"] {
        tybalt.says(&format!("<presence type='probe' id='xv291f38' to='{to}'/>"));
        tybalt.hears(&format!(
            "<presence type='unsubscribed' id='xv291f38' from='{to}'/>"
        ));
    }
    juliet.hears_nothing();
}

/// Rules 3 and 4, and the ids of §4.3.2.1: subscribers get what each device last said.
#[test]
fn a_subscriber_learns_all() {
    let world = World::start();
    let mut balcony = arrives(&world, "juliet@a.test/balcony");
    let mut romeo = arrives(&world, "romeo@b.test/foo");
    subscribes(&mut romeo, &mut balcony);
    let mut chamber = arrives(&world, "juliet@a.test/chamber");
    chamber.says("<presence id='pres1'><show>dnd</show><status>busy!</status></presence>");
    balcony.says("<presence id='pres2'><show>away</show></presence>");
    romeo.waits_for("<presence id='pres1'/>");
    romeo.waits_for("<presence id='pres2'/>");
    romeo.drains();
    romeo.says(&format!(
        "<presence type='probe' id='probe1' to='{JULIET}'/>"
    ));
    romeo.hears_all(&[
        "<presence from='juliet@a.test/chamber' id='pres1'>\
         <show>dnd</show><status>busy!</status></presence>",
        "<presence from='juliet@a.test/balcony' id='pres2'><show>away</show></presence>",
    ]);
    // A probe of one device tells only that it is there.
    romeo.says("<presence type='probe' id='probe2' to='juliet@a.test/chamber'/>");
    let answer = romeo.hears("<presence from='juliet@a.test/chamber'/>");
    assert!(answer.children.is_empty(), "{answer}");
    romeo.hears_nothing();

    balcony.leaves();
    chamber.leaves();
    romeo.waits_for("<presence from='juliet@a.test/balcony' type='unavailable'/>");
    romeo.waits_for("<presence from='juliet@a.test/chamber' type='unavailable'/>");
    romeo.says(&format!(
        "<presence type='probe' id='probe3' to='{JULIET}'/>"
    ));
    let answer = romeo.drains();
    assert!(
        answer
            .iter()
            .all(|el| el.attr("type") == Some("unavailable")),
        "unavailable or nothing: {answer:?}"
    );
}
