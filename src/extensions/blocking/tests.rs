//! What the block list answers, shows and stops.

use super::*;
use crate::extensions::scene::{NOW, Passage, Scene, jid, said, stanza, text};
use rookery_actors::effect::Origin;
use rookery_storage::Frame;

const UNAVAILABLE: &str = "<error type='cancel'><service-unavailable \
     xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";

/// A role that has blocked these, and the scene.
fn blocked(scene: &Scene, jids: &[&str]) -> Blocking {
    let mut role = Blocking::default();
    for text in jids {
        role.load(
            BLOCKED,
            text.as_bytes(),
            &encode(&Blocked { since: 1 }).unwrap(),
        );
    }
    assert_eq!(role.list.len(), jids.len());
    let _ = scene;
    role
}

fn command(name: &str, jids: &[&str]) -> String {
    let items: String = jids
        .iter()
        .map(|jid| format!("<item jid='{jid}'/>"))
        .collect();
    format!("<iq type='set' id='1'><{name} xmlns='urn:xmpp:blocking'>{items}</{name}></iq>")
}

const GET: &str = "<iq type='get' id='g'><blocklist xmlns='urn:xmpp:blocking'/></iq>";

fn error_of(fx: &Effects) -> Option<StanzaError> {
    said(fx).first().and_then(|first| stanza(first).error())
}

#[test]
fn the_list_is_empty_then_holds_what_was_blocked() {
    let scene = Scene::of(&[0]);
    let mut role = Blocking::default();
    let empty = "<blocklist xmlns='urn:xmpp:blocking'/>";
    assert!(said(&scene.ask(&mut role, 0, GET))[0].contains(empty));
    scene.ask(
        &mut role,
        0,
        &command("block", &["Romeo@Montague.net", "iago@s.lit"]),
    );
    let list = said(&scene.ask(&mut role, 0, GET)).remove(0);
    let items = "<item jid='iago@s.lit'/><item jid='romeo@montague.net'/>";
    assert!(
        list.contains(items) && list.contains("type='result'"),
        "{list}"
    );
}

#[test]
fn a_block_is_written_answered_and_pushed_in_this_order() {
    let scene = Scene::of(&[0, 0, 0]);
    let mut role = Blocking::default();
    scene.ask(&mut role, 1, GET);
    scene.ask(&mut role, 0, GET);
    let fx = scene.ask(&mut role, 0, &command("block", &["romeo@x.test"]));
    let said = said(&fx);
    assert_eq!(said[0], "<iq to='alice@a.test/r0' id='1' type='result'/>");
    let push = "<block xmlns='urn:xmpp:blocking'><item jid='romeo@x.test'/></block>";
    assert!(
        said[1].contains("to='alice@a.test/r1'") && said[1].contains(push),
        "{}",
        said[1]
    );
    assert!(said[2].contains("to='alice@a.test/r0'") && said[2].contains("type='set'"));
    assert_eq!(said.len(), 3, "r2 never fetched the list");
    let mut rows = Frame::new();
    let key = keys::row(scene.account.id, BLOCKED, b"romeo@x.test");
    rows.put(Tree::Account, key, encode(&Blocked { since: NOW }).unwrap());
    assert!(fx.rows == rows);
}

#[test]
fn a_device_that_is_gone_hears_nothing() {
    let scene = Scene::of(&[0, 0]);
    let mut role = Blocking::default();
    scene.ask(&mut role, 1, GET);
    role.gone(DeviceId(1), scene.view(), &mut scene.effects());
    assert_eq!(
        said(&scene.ask(&mut role, 0, &command("block", &["x@y.test"]))).len(),
        1
    );
}

#[test]
fn unblocking_deletes_pushes_and_may_be_asked_twice() {
    let scene = Scene::of(&[0]);
    let mut role = blocked(&scene, &["romeo@x.test", "y.test"]);
    scene.ask(&mut role, 0, GET);
    let fx = scene.ask(
        &mut role,
        0,
        &command("unblock", &["romeo@x.test", "never@x.test"]),
    );
    assert!(said(&fx)[0].contains("type='result'"));
    assert!(said(&fx)[1].contains("<unblock xmlns='urn:xmpp:blocking'><item"));
    let mut rows = Frame::new();
    rows.delete(
        Tree::Account,
        keys::row(scene.account.id, BLOCKED, b"romeo@x.test"),
    );
    assert!(fx.rows == rows);
    assert_eq!(role.list.len(), 1);
    let fx = scene.ask(&mut role, 0, &command("unblock", &[]));
    assert!(
        said(&fx)[1].contains("<unblock xmlns='urn:xmpp:blocking'/>"),
        "{:?}",
        said(&fx)
    );
    assert!(role.list.is_empty());
}

#[test]
fn bad_commands_change_nothing() {
    use Condition::*;
    let mut scene = Scene::of(&[0]);
    scene.site.settings.blocking.items = 2;
    let rows = [
        (command("block", &[]), BadRequest),
        (command("block", &["@x.test"]), JidMalformed),
        (command("block", &["x@x.test", "alice@a.test"]), NotAllowed),
        (command("block", &["alice@a.test/other"]), NotAllowed),
        (command("block", &["a.test"]), NotAllowed),
        (command("block", &["a.test/admin"]), NotAllowed),
        (
            command("block", &["1@x.test", "2@x.test"]),
            ResourceConstraint,
        ),
        (command("unblock", &["@x.test"]), JidMalformed),
        (command("blocklist", &[]), BadRequest),
        (GET.replace("blocklist", "block"), BadRequest),
        (
            command("block", &["x@x.test"]).replace("jid=", "j="),
            BadRequest,
        ),
    ];
    for (request, condition) in rows {
        let mut role = blocked(&scene, &["one@x.test"]);
        let fx = scene.ask(&mut role, 0, &request);
        assert_eq!(
            error_of(&fx).map(|error| error.condition),
            Some(condition),
            "{request}"
        );
        assert!(fx.rows.is_empty() && said(&fx).len() == 1, "{request}");
        assert_eq!(role.list, BlockList::of(&jid("one@x.test")));
    }
}

#[test]
fn the_list_has_a_bound_and_the_last_place_can_be_had() {
    let mut scene = Scene::of(&[0]);
    scene.site.settings.blocking.items = 2;
    let mut role = blocked(&scene, &["one@x.test"]);
    // One that is there already counts once.
    let fx = scene.ask(
        &mut role,
        0,
        &command("block", &["one@x.test", "two@x.test"]),
    );
    assert_eq!(error_of(&fx), None);
    assert_eq!(role.list.len(), 2);
}

#[test]
fn strangers_learn_nothing() {
    let scene = Scene::of(&[0]);
    let mut role = blocked(&scene, &["one@x.test"]);
    for request in [
        GET.to_owned(),
        command("block", &["x@x.test"]),
        command("unblock", &[]),
    ] {
        let request = stanza(&request)
            .with_from(jid("eve@x.test/r"))
            .with_to(jid("alice@a.test"));
        let fx = scene.ask_as(&mut role, Origin::Elsewhere, &request);
        assert!(said(&fx)[0].contains(UNAVAILABLE), "{:?}", said(&fx));
        assert_eq!((role.list.len(), said(&fx).len()), (1, 1));
    }
}

#[test]
fn what_the_blocked_send_is_refused_as_if_bob_were_offline() {
    let scene = Scene::of(&[0]);
    let mut role = blocked(&scene, &["romeo@x.test"]);
    for of in [
        "message",
        "presence",
        "iq type='get' id='1'",
        "iq type='result' id='1'",
    ] {
        let name = of.split(' ').next().unwrap();
        let from = format!("<{of} from='romeo@x.test/r' to='alice@a.test'><a xmlns='u'/></{name}>");
        let mut passage = Passage::incoming(&scene, &from.replace("<a", "<b"));
        let verdict = passage.show(|pass, fx| role.admit(pass, scene.view(), fx));
        let error = verdict.unwrap_err();
        assert_eq!(error, StanzaError::new(Condition::ServiceUnavailable));
        assert!(
            said(&passage.fx).is_empty(),
            "the engine answers, and presence never"
        );
    }
    for sender in ["juliet@x.test/r", "x.test", "alice@a.test/r1", "bob@b.test"] {
        let mut passage = Passage::incoming(&scene, &format!("<message from='{sender}'/>"));
        assert!(
            passage
                .show(|pass, fx| role.admit(pass, scene.view(), fx))
                .is_ok()
        );
    }
}

#[test]
fn what_is_sent_to_the_blocked_comes_back() {
    let scene = Scene::of(&[0]);
    let mut role = blocked(&scene, &["x.test"]);
    let mut passage = Passage::outgoing(&scene, "<message to='romeo@x.test/r'/>");
    let error = passage
        .show(|pass, fx| role.admit(pass, scene.view(), fx))
        .unwrap_err();
    let reply = text(&passage.stanza.error_reply(&error).unwrap());
    let expected = "<error type='cancel'>\
         <not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
         <blocked xmlns='urn:xmpp:blocking:errors'/></error>";
    assert!(reply.contains(expected), "{reply}");
    assert!(said(&passage.fx).is_empty());

    let mut passage = Passage::outgoing(&scene, "<presence to='romeo@x.test/r'/>");
    assert!(
        passage
            .show(|pass, fx| role.admit(pass, scene.view(), fx))
            .is_err()
    );
    assert!(
        said(&passage.fx)[0].contains(expected),
        "the engine is silent for presence"
    );

    for free in [
        "<presence/>",
        "<message to='romeo@y.test'/>",
        "<iq type='get' id='1'/>",
    ] {
        let mut passage = Passage::outgoing(&scene, free);
        assert!(
            passage
                .show(|pass, fx| role.admit(pass, scene.view(), fx))
                .is_ok(),
            "{free}"
        );
    }
}

#[test]
fn own_devices_and_the_own_server_cannot_be_cut_off() {
    let scene = Scene::of(&[0]);
    // Rows that the command would refuse.
    let mut role = blocked(&scene, &["a.test", "alice@a.test"]);
    for from in ["alice@a.test/r1", "a.test"] {
        let mut passage = Passage::incoming(&scene, &format!("<message from='{from}'/>"));
        assert!(
            passage
                .show(|pass, fx| role.admit(pass, scene.view(), fx))
                .is_ok(),
            "{from}"
        );
    }
}

#[test]
fn who_saw_the_presence_sees_it_go_and_come() {
    let mut scene = Scene::of(&[0, -1]);
    scene
        .devices
        .add(Device::new(DeviceId(9), jid("alice@a.test/absent"), 0));
    let mut role = Blocking::default();
    let fx = scene.ask(&mut role, 0, &command("block", &["bob@b.test"]));
    let gone = |number: u32| {
        format!("<presence to='bob@b.test' from='alice@a.test/r{number}' type='unavailable'/>")
    };
    assert_eq!(
        said(&fx)[..2],
        [gone(0), gone(1)],
        "not the device that never was available"
    );
    assert!(role.hides_from(&jid("bob@b.test")) && !role.hides_from(&jid("ann@a.test")));
    let fx = scene.ask(
        &mut role,
        0,
        &command("block", &["bob@b.test", "bob@b.test/r"]),
    );
    assert_eq!(said(&fx).len(), 1, "she knows");
    let fx = scene.ask(&mut role, 0, &command("unblock", &["bob@b.test/r"]));
    assert_eq!(said(&fx).len(), 1, "she is blocked still");
    let fx = scene.ask(&mut role, 0, &command("unblock", &["bob@b.test"]));
    let back = |number: u32| format!("<presence to='bob@b.test' from='alice@a.test/r{number}'/>");
    assert_eq!(said(&fx)[1..], [back(0), back(1)]);
}

#[test]
fn who_never_saw_the_presence_sees_nothing_now() {
    let scene = Scene::of(&[0]);
    let mut role = Blocking::default();
    let others = ["ann@a.test", "stranger@x.test", "x.test"];
    assert_eq!(
        said(&scene.ask(&mut role, 0, &command("block", &others))).len(),
        1
    );
    assert_eq!(
        said(&scene.ask(&mut role, 0, &command("unblock", &[]))).len(),
        1
    );
}

#[test]
fn one_resource_and_a_whole_domain_see_it_too() {
    let scene = Scene::of(&[0]);
    let mut role = Blocking::default();
    let fx = scene.ask(&mut role, 0, &command("block", &["bob@b.test/pda"]));
    assert!(said(&fx)[0].starts_with("<presence to='bob@b.test/pda' from='alice@a.test/r0'"));
    let fx = scene.ask(&mut role, 0, &command("unblock", &[]));
    assert!(said(&fx)[1].starts_with("<presence to='bob@b.test/pda' from='alice@a.test/r0'/>"));
}

#[test]
fn directed_presence_is_taken_back_from_its_own_device_only() {
    let mut scene = Scene::of(&[0, 0]);
    let rooms = ["room@rooms.x.test/bob", "room@rooms.y.test/bob"];
    for room in rooms {
        scene
            .devices
            .get_mut(DeviceId(1))
            .unwrap()
            .remember_directed(&jid(room));
    }
    let mut role = Blocking::default();
    let fx = scene.ask(&mut role, 0, &command("block", &["rooms.x.test"]));
    let left = format!(
        "<presence to='{}' from='alice@a.test/r1' type='unavailable'/>",
        rooms[0]
    );
    assert_eq!(said(&fx)[0], left);
    assert_eq!(said(&fx).len(), 2);
}
