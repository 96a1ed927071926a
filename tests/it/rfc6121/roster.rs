//! RFC 6121 §2: the roster is read, changed, pushed to every interested device, and versioned.

use super::{arrives, push};
use crate::world::World;

const SET: &str = "<iq type='set' id='set'><query xmlns='jabber:iq:roster'>";

/// §2.3, §2.4, §2.5: add, update, remove; each device that fetched the roster hears of it, before
/// or after the result, and a device that did not fetch it hears nothing.
#[test]
fn changes_are_pushed_to_interested_devices() {
    let world = World::start();
    let mut balcony = arrives(&world, "juliet@a.test/balcony");
    let mut chamber = arrives(&world, "juliet@a.test/chamber");
    let mut orchard = world.online("juliet@a.test/orchard");
    for device in [&mut balcony, &mut chamber, &mut orchard] {
        device.drains();
    }

    let nurse = "<item jid='nurse@a.test' name='Nurse' subscription='none'>\
                 <group>Servants</group></item>";
    balcony.says(&format!(
        "{SET}<item jid='nurse@a.test' name='Nurse'><group>Servants</group></item></query></iq>"
    ));
    balcony.hears_all(&["<iq type='result' id='set'/>", &push(nurse)]);
    chamber.hears_push(nurse);
    orchard.hears_nothing();

    // An update replaces name and groups as a whole.
    let renamed = "<item jid='nurse@a.test' name='My Nurse' subscription='none'/>";
    balcony.says(&format!(
        "{SET}<item jid='nurse@a.test' name='My Nurse'/></query></iq>"
    ));
    let heard = balcony.hears_all(&["<iq type='result' id='set'/>", &push(renamed)]);
    assert!(
        !heard.iter().any(|el| el.to_string().contains("Servants")),
        "groups are replaced"
    );
    chamber.hears_push(renamed);

    balcony.says(&format!(
        "{SET}<item jid='nurse@a.test' subscription='remove'/></query></iq>"
    ));
    let removed = "<item jid='nurse@a.test' subscription='remove'/>";
    balcony.hears_all(&["<iq type='result' id='set'/>", &push(removed)]);
    chamber.hears_push(removed);
    let empty = balcony.fetches_roster();
    assert!(
        empty
            .child("jabber:iq:roster", "query")
            .is_some_and(|q| q.children.is_empty())
    );
}

/// §2.5.3: an item that is not there cannot be removed.
#[test]
fn nobody_cannot_be_removed() {
    let world = World::start();
    let mut juliet = arrives(&world, "juliet@a.test/balcony");
    juliet.gets(
        &format!("{SET}<item jid='nobody@a.test' subscription='remove'/></query></iq>"),
        "<iq type='error' id='set'><error type='*'>\
         <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
    );
}

/// §2.5: removing a contact ends both subscriptions.
#[test]
fn removal_ends_subscriptions() {
    let world = World::start();
    let mut juliet = arrives(&world, "juliet@a.test/balcony");
    let mut romeo = arrives(&world, "romeo@b.test/street");
    super::befriends(&mut juliet, &mut romeo);
    juliet.says(&format!(
        "{SET}<item jid='romeo@b.test' subscription='remove'/></query></iq>"
    ));
    juliet.waits_for("<iq type='result' id='set'/>");
    juliet.waits_for(&push("<item jid='romeo@b.test' subscription='remove'/>"));
    romeo.waits_for("<presence type='unsubscribe' from='juliet@a.test'/>");
    romeo.waits_for("<presence type='unsubscribed' from='juliet@a.test'/>");
    romeo.waits_for("<presence type='unavailable' from='juliet@a.test/balcony'/>");
    romeo.waits_for(&push("<item jid='juliet@a.test' subscription='none'/>"));
    juliet.drains();
    romeo.says("<presence><show>away</show></presence>");
    juliet.hears_nothing();
}

/// §2.6: a device that knows the version gets an empty result, or the changes since, as pushes.
#[test]
fn versions() {
    let world = World::start();
    let mut first = world.device("juliet@a.test/balcony");
    let ver = first
        .client
        .features
        .child("urn:xmpp:features:rosterver", "ver");
    assert!(
        ver.is_some(),
        "versioning is advertised: {}",
        first.client.features
    );
    first.gets(
        &format!("{SET}<item jid='nurse@a.test'/></query></iq>"),
        "<iq type='result' id='set'/>",
    );
    let get = |ver: &str| {
        format!("<iq type='get' id='get'><query xmlns='jabber:iq:roster' ver='{ver}'/></iq>")
    };
    let full = first.gets(
        &get(""),
        "<iq type='result' id='get'><query xmlns='jabber:iq:roster' ver='*'>\
         <item jid='nurse@a.test'/></query></iq>",
    );
    let query = full.child("jabber:iq:roster", "query").expect("a roster");
    let version = crate::xml::escaped(query.attr("ver").expect("a version"));

    let mut second = world.device("juliet@a.test/chamber");
    let same = second.asks(&get(&version));
    assert_eq!(same.attr("type"), Some("result"));
    assert!(same.children.is_empty(), "nothing changed since: {same}");

    first.drains();
    first.says(&format!("{SET}<item jid='friar@a.test'/></query></iq>"));
    let newer = "<iq type='set' id='*'><query xmlns='jabber:iq:roster' ver='*'>\
                 <item jid='friar@a.test' subscription='none'/></query></iq>";
    let heard = first.hears_all(&["<iq type='result' id='set'/>", newer]);
    let pushed = heard
        .iter()
        .find_map(|el| el.child("jabber:iq:roster", "query"));
    let pushed = crate::xml::escaped(pushed.and_then(|q| q.attr("ver")).expect("a version"));
    assert_ne!(pushed, version);
    second.hears(newer);

    // A third device knows the first version: it gets the new item, in whichever form.
    let mut third = world.device("juliet@a.test/orchard");
    let answer = third.asks(&get(&version));
    let told = match answer.child("jabber:iq:roster", "query") {
        Some(query) => query
            .children
            .iter()
            .any(|i| i.attr("jid") == Some("friar@a.test")),
        None => third
            .drains()
            .iter()
            .any(|el| el.to_string().contains("friar@a.test")),
    };
    assert!(told, "the change since the first version is told: {answer}");
    let now = third.asks(&get(&pushed));
    assert!(now.children.is_empty(), "{now}");
}
