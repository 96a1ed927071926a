//! RFC 6121 §3.1 and §3.4: asking, approving, and approving before one is asked.

use super::{JULIET, ROMEO, arrives, push, subscribes};
use crate::device::Device;
use crate::world::World;

/// §3.1.2, §3.1.3: the request is stamped with the bare address, both devices of the user hear the
/// push, every device of the contact hears the request, and no item appears there.
#[test]
fn a_request_reaches_every_device() {
    let world = World::start();
    let mut foo = arrives(&world, "romeo@b.test/foo");
    let mut bar = arrives(&world, "romeo@b.test/bar");
    let mut balcony = arrives(&world, "juliet@a.test/balcony");
    let mut chamber = arrives(&world, "juliet@a.test/chamber");
    for device in [&mut foo, &mut bar, &mut balcony, &mut chamber] {
        device.drains();
    }
    // A resource in the address is as good as none (§3.1.2 rule 1).
    foo.says("<presence id='xk3h1v69' to='juliet@a.test/balcony' type='subscribe'/>");
    let asked = "<item ask='subscribe' jid='juliet@a.test' subscription='none'/>";
    foo.hears_push(asked);
    bar.hears_push(asked);
    for device in [&mut balcony, &mut chamber] {
        device.hears(&format!(
            "<presence id='xk3h1v69' from='{ROMEO}' to='{JULIET}' type='subscribe'/>"
        ));
    }
    let roster = balcony.fetches_roster();
    assert!(
        !roster.to_string().contains(ROMEO),
        "not in the roster before approval: {roster}"
    );

    // §3.1.5, §3.1.6: approval, then the push, then presence of each device.
    balcony.says("<presence id='h4v1c4kj' to='romeo@b.test' type='subscribed'/>");
    let from = "<item jid='romeo@b.test' subscription='from'/>";
    balcony.hears_push(from);
    chamber.hears_push(from);
    for device in [&mut foo, &mut bar] {
        device.hears(&format!(
            "<presence from='{JULIET}' to='{ROMEO}' type='subscribed'/>"
        ));
        device.hears_all(&[
            &push("<item jid='juliet@a.test' subscription='to' ask='-'/>"),
            &format!("<presence from='juliet@a.test/balcony' to='{ROMEO}'/>"),
            &format!("<presence from='juliet@a.test/chamber' to='{ROMEO}'/>"),
        ]);
    }
}

/// §3.1.3 rule 4: a request to somebody offline is kept whole, only one of each sender, and comes
/// again at every initial presence until it is answered.
#[test]
fn a_request_waits_for_the_answer() {
    let world = World::start();
    world.account("juliet", "a.test");
    let mut romeo = arrives(&world, "romeo@b.test/foo");
    for id in ["one", "two"] {
        romeo.says(&format!(
            "<presence id='{id}' to='{JULIET}' type='subscribe'><status>it is the east</status>\
             <nick xmlns='http://jabber.org/protocol/nick'>Romeo</nick></presence>"
        ));
    }
    romeo.ping();
    let request = format!(
        "<presence from='{ROMEO}' to='{JULIET}' type='subscribe'><status>it is the east</status>\
         <nick xmlns='http://jabber.org/protocol/nick'>Romeo</nick></presence>"
    );
    for _ in 0..2 {
        let mut juliet = world.device("juliet@a.test/balcony");
        juliet.says("<presence/>");
        juliet.hears_all(&["<presence from='juliet@a.test/balcony'/>", &request]);
        juliet.hears_nothing();
        juliet.leaves();
    }
    // After a restart too.
    world.kill_9();
    world.rise();
    let mut juliet = world.device("juliet@a.test/balcony");
    juliet.fetches_roster();
    juliet.says("<presence/>");
    juliet.hears_all(&["<presence from='juliet@a.test/balcony'/>", &request]);
    juliet.says(&format!("<presence to='{ROMEO}' type='unsubscribed'/>"));
    juliet.ping();
    juliet.leaves();
    let mut juliet = world.device("juliet@a.test/balcony");
    juliet.comes_online();
    juliet.hears_nothing();
}

/// §3.1.3 rule 2: who has the subscription already is answered by the server.
#[test]
fn asking_twice_is_answered_by_the_server() {
    let world = World::start();
    let mut juliet = arrives(&world, "juliet@a.test/balcony");
    let mut romeo = arrives(&world, "romeo@b.test/foo");
    subscribes(&mut romeo, &mut juliet);
    romeo.says(&format!(
        "<presence id='again' to='{JULIET}' type='subscribe'/>"
    ));
    romeo.ping();
    juliet.hears_nothing();
    let roster = romeo.fetches_roster();
    let fits = roster.fits(&crate::xml::El::parse(
        "<iq type='result'><query xmlns='jabber:iq:roster'>\
         <item jid='juliet@a.test' subscription='to'/></query></iq>",
    ));
    assert_eq!(fits, Ok(()));
}

/// §3.1.6: an approval nobody asked for changes nothing.
#[test]
fn an_unasked_approval_is_ignored() {
    let world = World::start();
    let mut juliet = arrives(&world, "juliet@a.test/balcony");
    let mut romeo = arrives(&world, "romeo@b.test/foo");
    juliet.says(&format!("<presence to='{ROMEO}' type='subscribed'/>"));
    juliet.ping();
    romeo.hears_nothing();
    let roster = romeo.fetches_roster();
    assert!(!roster.to_string().contains(JULIET), "{roster}");
}

fn is_pre_approved(device: &mut Device) {
    device.hears_push("<item approved='true' jid='romeo@b.test' subscription='none'/>");
}

/// §3.4: a pre-approval is pushed and not sent; the request is then answered without the contact.
#[test]
fn an_approval_beforehand() {
    let world = World::start();
    let mut juliet = arrives(&world, "juliet@a.test/balcony");
    let sub = juliet
        .client
        .features
        .child("urn:xmpp:features:pre-approval", "sub");
    assert!(
        sub.is_some(),
        "pre-approval is advertised: {}",
        juliet.client.features
    );
    let mut romeo = arrives(&world, "romeo@b.test/foo");
    juliet.says(&format!(
        "<presence id='pg81vx64' to='{ROMEO}' type='subscribed'/>"
    ));
    is_pre_approved(&mut juliet);
    romeo.hears_nothing();
    romeo.says(&format!("<presence to='{JULIET}' type='subscribe'/>"));
    romeo.waits_for(&format!("<presence from='{JULIET}' type='subscribed'/>"));
    romeo.waits_for(&push("<item jid='juliet@a.test' subscription='to'/>"));
    romeo.waits_for("<presence from='juliet@a.test/balcony'/>");
    juliet.hears_push("<item jid='romeo@b.test' subscription='from'/>");
    juliet.hears_nothing();
}

/// §3.2.2 rule 2: a pre-approval is taken back by "unsubscribed", and nobody else hears of it.
#[test]
fn an_approval_beforehand_taken_back() {
    let world = World::start();
    let mut juliet = arrives(&world, "juliet@a.test/balcony");
    let mut romeo = arrives(&world, "romeo@b.test/foo");
    juliet.says(&format!("<presence to='{ROMEO}' type='subscribed'/>"));
    is_pre_approved(&mut juliet);
    juliet.says(&format!("<presence to='{ROMEO}' type='unsubscribed'/>"));
    juliet.hears_push("<item approved='-' jid='romeo@b.test' subscription='none'/>");
    romeo.hears_nothing();
    romeo.says(&format!("<presence to='{JULIET}' type='subscribe'/>"));
    juliet.hears(&format!("<presence from='{ROMEO}' type='subscribe'/>"));
}
