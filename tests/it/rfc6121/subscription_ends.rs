//! RFC 6121 §3.2 and §3.3: cancelling somebody's subscription, and ending one's own.

use super::{JULIET, ROMEO, arrives, befriends, push, subscribes};
use crate::world::World;

/// §3.2.2, §3.2.3: who is cancelled sees the contact go, hears of it, and then gets the push.
#[test]
fn a_contact_cancels() {
    let world = World::start();
    let mut balcony = arrives(&world, "juliet@a.test/balcony");
    let mut chamber = arrives(&world, "juliet@a.test/chamber");
    balcony.drains();
    let mut foo = arrives(&world, "romeo@b.test/foo");
    let mut bar = arrives(&world, "romeo@b.test/bar");
    foo.drains();
    subscribes(&mut foo, &mut balcony);
    bar.drains();
    chamber.drains();
    balcony.says(&format!(
        "<presence id='ij5b1v7g' to='{ROMEO}' type='unsubscribed'/>"
    ));
    for device in [&mut balcony, &mut chamber] {
        device.hears_push("<item jid='romeo@b.test' subscription='none'/>");
    }
    for device in [&mut foo, &mut bar] {
        let gone = "<presence from='juliet@a.test/balcony' type='unavailable'/>";
        let too = "<presence from='juliet@a.test/chamber' type='unavailable'/>";
        let told = format!("<presence from='{JULIET}' to='{ROMEO}' type='unsubscribed'/>");
        let pushed = push("<item jid='juliet@a.test' subscription='none'/>");
        let heard = device.hears_all(&[gone, too, &told, &pushed]);
        let at = |name: &str, kind: &str| {
            heard
                .iter()
                .position(|el| el.name == name && el.attr("type") == Some(kind))
        };
        assert!(
            at("presence", "unsubscribed") < at("iq", "set"),
            "told before the push (§3.2.3)"
        );
    }
    balcony.says("<presence><show>away</show></presence>");
    foo.hears_nothing();
}

/// §3.2.2 rule 1: where there is no subscription there is nothing to cancel.
#[test]
fn nothing_to_cancel() {
    let world = World::start();
    let mut juliet = arrives(&world, "juliet@a.test/balcony");
    let mut romeo = arrives(&world, "romeo@b.test/foo");
    juliet.says(&format!("<presence to='{ROMEO}' type='unsubscribed'/>"));
    juliet.hears_nothing();
    romeo.hears_nothing();
}

/// A request is denied by the same stanza: the asker's pending mark goes away.
#[test]
fn a_contact_denies() {
    let world = World::start();
    let mut juliet = arrives(&world, "juliet@a.test/balcony");
    let mut romeo = arrives(&world, "romeo@b.test/foo");
    romeo.says(&format!("<presence to='{JULIET}' type='subscribe'/>"));
    juliet.hears(&format!("<presence from='{ROMEO}' type='subscribe'/>"));
    romeo.hears_push("<item jid='juliet@a.test' subscription='none' ask='subscribe'/>");
    juliet.says(&format!("<presence to='{ROMEO}' type='unsubscribed'/>"));
    romeo.waits_for(&push(
        "<item jid='juliet@a.test' subscription='none' ask='-'/>",
    ));
    let roster = juliet.fetches_roster();
    assert!(!roster.to_string().contains(ROMEO), "{roster}");
}

/// §3.3.2, §3.3.3: both sides get their push, and the one who leaves sees the contact go.
#[test]
fn a_user_unsubscribes() {
    let world = World::start();
    let mut juliet = arrives(&world, "juliet@a.test/balcony");
    let mut romeo = arrives(&world, "romeo@b.test/foo");
    befriends(&mut romeo, &mut juliet);
    romeo.says(&format!(
        "<presence id='ul4bs71n' to='{JULIET}' type='unsubscribe'/>"
    ));
    romeo.waits_for(&push("<item jid='juliet@a.test' subscription='from'/>"));
    romeo.waits_for("<presence from='juliet@a.test/balcony' type='unavailable'/>");
    juliet.hears(&format!(
        "<presence from='{ROMEO}' to='{JULIET}' type='unsubscribe'/>"
    ));
    juliet.hears_push("<item jid='romeo@b.test' subscription='to'/>");
    juliet.says("<presence><show>away</show></presence>");
    juliet.waits_for("<presence from='juliet@a.test/balcony'><show>away</show></presence>");
    romeo.hears_nothing();
    romeo.says("<presence><show>dnd</show></presence>");
    juliet.waits_for("<presence from='romeo@b.test/foo'><show>dnd</show></presence>");
}

/// §3.3.3, last paragraph: a request taken back before it was answered is forgotten.
#[test]
fn a_request_is_taken_back() {
    let world = World::start();
    world.account("juliet", "a.test");
    let mut romeo = arrives(&world, "romeo@b.test/foo");
    romeo.says(&format!("<presence to='{JULIET}' type='subscribe'/>"));
    romeo.hears_push("<item jid='juliet@a.test' subscription='none' ask='subscribe'/>");
    romeo.says(&format!("<presence to='{JULIET}' type='unsubscribe'/>"));
    romeo.hears_push("<item jid='juliet@a.test' subscription='none' ask='-'/>");
    romeo.ping();
    let mut juliet = world.device("juliet@a.test/balcony");
    juliet.comes_online();
    juliet.hears_nothing();
}

/// What was agreed stands after a restart.
#[test]
fn subscriptions_last() {
    let world = World::start();
    let mut juliet = arrives(&world, "juliet@a.test/balcony");
    let mut romeo = arrives(&world, "romeo@b.test/foo");
    befriends(&mut romeo, &mut juliet);
    world.kill_9();
    world.rise();
    let mut juliet = world.device("juliet@a.test/balcony");
    juliet.comes_online();
    let mut romeo = world.device("romeo@b.test/foo");
    romeo.says("<presence/>");
    romeo.waits_for("<presence from='juliet@a.test/balcony'/>");
    juliet.waits_for("<presence from='romeo@b.test/foo'/>");
}
