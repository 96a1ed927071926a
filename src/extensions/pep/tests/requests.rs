//! What is asked of a node: items, retracting and purging, subscriptions, disco.

use super::*;

#[test]
fn items_by_id_by_number_and_by_page() {
    let mut world = world();
    world.connect(ALICE, 1);
    let publish = |id: &str| publish_with("urn:n", id, id, &[("max_items", "max")]);
    for id in ["a", "b", "c", "d", "e"] {
        world.send(ALICE, 1, &publish(id));
    }
    world.heard(ALICE, 1);
    let mut get = |inside: &str| ask(&mut world, ALICE, 1, &pubsub("get", "", inside));
    let by_id = get("<items node='urn:n'><item id='d'/><item id='b'/><item id='z'/></items>");
    assert_eq!(ids(&by_id), ["b", "d"]);
    // XEP-0060 §6.5.9.12.
    assert!(get("<items node='urn:n'><item id='z'/></items>").contains("<items node='urn:n'/>"));
    assert_eq!(ids(&get("<items node='urn:n' max_items='2'/>")), ["d", "e"]);
    let mut page = |inside: &str| {
        get(&format!(
            "<items node='urn:n'/><set xmlns='{}'>{inside}</set>",
            ns::RSM
        ))
    };
    let first = page("<max>2</max>");
    assert_eq!(ids(&first), ["a", "b"]);
    assert!(
        first.contains("<first>a</first><last>b</last><count>5</count>"),
        "{first}"
    );
    assert_eq!(ids(&page("<max>2</max><after>b</after>")), ["c", "d"]);
    assert_eq!(ids(&page("<max>2</max><before/>")), ["d", "e"]);
    assert_eq!(ids(&page("<max>2</max><before>d</before>")), ["b", "c"]);
    assert!(page("<after>z</after>").contains("<item-not-found"));
    assert!(page("<max>0</max>").contains("<count>5</count>"));
}

#[test]
fn retracting_purging_and_deleting_are_heard() {
    let mut world = world();
    enter(&mut world, ALICE, 1, &["urn:n"]);
    let options = [("max_items", "9"), ("notify_delete", "1")];
    for id in ["a", "b"] {
        world.send(ALICE, 1, &publish_with("urn:n", id, "x", &options));
    }
    world.heard(ALICE, 1);
    let retract = "<retract node='urn:n' notify='true'><item id='a'/></retract>";
    world.send(ALICE, 1, &pubsub("set", "", retract));
    let heard = world.heard(ALICE, 1).concat();
    assert!(heard.contains("<retract id='a'/>"), "{heard}");
    world.send(ALICE, 1, &owner("set", "<purge node='urn:n'/>"));
    assert!(
        world
            .heard(ALICE, 1)
            .concat()
            .contains("<purge node='urn:n'/>")
    );
    assert!(ids(&ask(&mut world, ALICE, 1, &items("", "urn:n"))).is_empty());
    world.send(ALICE, 1, &owner("set", "<delete node='urn:n'/>"));
    assert!(
        world
            .heard(ALICE, 1)
            .concat()
            .contains("<delete node='urn:n'/>")
    );
    assert!(ask(&mut world, ALICE, 1, &items("", "urn:n")).contains("<item-not-found"));
}

#[test]
fn an_explicit_subscriber_hears_by_his_address_and_once() {
    let mut world = world();
    world.connect(ALICE, 1);
    world.send(
        ALICE,
        1,
        &publish_with("urn:n", "i", "one", &[("access_model", "open")]),
    );
    enter(&mut world, BOB, 1, &["urn:n"]);
    world.heard(BOB, 1);
    let other = "<subscribe node='urn:n' jid='eve@a.test'/>";
    assert!(ask(&mut world, BOB, 1, &pubsub("set", ALICE, other)).contains("<invalid-jid"));
    let subscribe = format!("<subscribe node='urn:n' jid='{BOB}'/>");
    world.send(BOB, 1, &pubsub("set", ALICE, &subscribe));
    let heard = world.heard(BOB, 1);
    assert!(
        heard.concat().contains("subscription='subscribed'"),
        "{heard:?}"
    );
    assert!(
        heard.concat().contains(">one</t>"),
        "the last item: {heard:?}"
    );
    world.send(ALICE, 1, &publish("urn:n", "i", "two"));
    assert_eq!(world.heard(BOB, 1).len(), 1, "not twice");
    world.heard(ALICE, 1);
    let list = ask(
        &mut world,
        ALICE,
        1,
        &owner("get", "<subscriptions node='urn:n'/>"),
    );
    assert!(list.contains(&format!("jid='{BOB}'")), "{list}");
    let unsubscribe = subscribe.replace("subscribe", "unsubscribe");
    assert!(ask(&mut world, BOB, 1, &pubsub("set", ALICE, &unsubscribe)).contains("result"));
    let again = ask(&mut world, BOB, 1, &pubsub("set", ALICE, &unsubscribe));
    assert!(again.contains("<not-subscribed"), "{again}");
}

#[test]
fn nodes_are_found_by_disco_and_show_what_they_are() {
    let mut world = world();
    world.connect(ALICE, 1);
    world.connect(BOB, 1);
    world.send(ALICE, 1, &publish("urn:n", "i", "x"));
    world.send(
        ALICE,
        1,
        &publish_with("urn:p", "i", "x", &[("access_model", "whitelist")]),
    );
    world.heard(ALICE, 1);
    let disco = |what, node: &str| {
        format!("<iq type='get' id='q' to='{ALICE}'><query xmlns='{what}'{node}/></iq>")
    };
    let list = ask(&mut world, BOB, 1, &disco(ns::DISCO_ITEMS, ""));
    assert!(
        list.contains("node='urn:n'") && !list.contains("node='urn:p'"),
        "{list}"
    );
    let own = ask(&mut world, ALICE, 1, &disco(ns::DISCO_ITEMS, ""));
    assert!(
        own.contains("node='urn:n'") && own.contains("node='urn:p'"),
        "{own}"
    );
    let info = ask(&mut world, BOB, 1, &disco(ns::DISCO_INFO, " node='urn:n'"));
    assert!(
        info.contains("type='leaf'") && info.contains("<value>presence</value>"),
        "{info}"
    );
    let items = ask(&mut world, BOB, 1, &disco(ns::DISCO_ITEMS, " node='urn:n'"));
    assert!(items.contains("name='i'"), "{items}");
    let account = ask(&mut world, BOB, 1, &disco(ns::DISCO_INFO, ""));
    for needed in ["type='pep'", "type='registered'", "pubsub#publish-options"] {
        assert!(account.contains(needed), "{needed}: {account}");
    }
}

/// Attacks U11.
#[test]
fn who_publishes_too_fast_waits() {
    let mut world = world();
    world.site.settings.pubsub.burst = 3;
    world.connect(ALICE, 1);
    for _ in 0..3 {
        assert!(ask(&mut world, ALICE, 1, &publish("urn:n", "i", "x")).contains("result"));
    }
    let refused = ask(&mut world, ALICE, 1, &publish("urn:n", "i", "x"));
    assert!(refused.contains("type='wait'") && refused.contains("<policy-violation"));
}

/// Contacts on other servers: their presences say what they want.
#[test]
fn contacts_elsewhere_hear_by_their_full_address() {
    use crate::extensions::scene::{Passage, Scene, jid, stanza, text};
    use rookery_actors::effect::{Effect, Origin};
    use rookery_protocol::roster::Item;
    use rookery_protocol::subscription::Subscription;

    let mut scene = Scene::new();
    let mut zoe = Item::new(&jid("zoe@z.test"));
    zoe.subscription = Subscription::Both;
    scene.account.roster.put(&zoe);
    let mut pep = Pep::new(Account::new(scene.site.shared()));
    let from = "<presence from='zoe@z.test/r' to='alice@a.test'>";
    let mut passage = Passage::incoming(&scene, &presence(&["urn:n"]).replace("<presence>", from));
    passage.show(|pass, fx| pep.after(pass, &[], scene.view(), fx));
    let question = passage.fx.routed().next().expect("a question").clone();
    assert_eq!(question.to, Some(jid("zoe@z.test/r")));
    let answer = question.result_reply(Some(info(&["urn:n"])));
    assert!(
        !pep.is_written(),
        "her server does not tell again that she is there"
    );
    pep.answered(&answer, scene.view(), &mut scene.effects());
    let request = stanza(&publish("urn:n", "i", "one")).with_from(jid("alice@a.test/r"));
    let mut fx = scene.ask_as(&mut pep, Origin::Elsewhere, &request);
    let told: Vec<String> = fx
        .take()
        .into_iter()
        .filter_map(|effect| match effect {
            Effect::Route(envelope) => Some(text(&envelope.stanza)),
            _ => None,
        })
        .filter(|text| text.contains("<event"))
        .collect();
    // Bob is a contact of ours: his Hub knows what he wants.
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().any(|text| text.contains("to='zoe@z.test/r'")));
    assert!(told.iter().any(|text| text.contains("to='bob@b.test'")));
    let gone = "<presence type='unavailable' from='zoe@z.test/r' to='alice@a.test'/>";
    let mut passage = Passage::incoming(&scene, gone);
    passage.show(|pass, fx| pep.after(pass, &[], scene.view(), fx));
    assert!(pep.face.interests.abroad("urn:n").next().is_none());
    assert!(pep.is_written());
}
