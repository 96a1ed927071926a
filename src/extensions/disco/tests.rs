//! What the server and an account tell of themselves, and to whom.

use super::*;
use crate::capabilities::verification;
use crate::extensions::scene::{NOW, Scene, get, only_answer, set, text, verdict};
use rookery_actors::effect::Origin;

fn about(namespace: &str, node: &str) -> Element {
    let query = Element::new(namespace, "query");
    if node.is_empty() {
        query
    } else {
        query.with_attr("node", node)
    }
}

fn vars(query: &Element) -> Vec<&str> {
    query
        .children()
        .filter_map(|child| child.attr("var"))
        .collect()
}

fn nodes(query: &Element) -> Vec<&str> {
    query
        .children()
        .filter_map(|child| child.attr("node"))
        .collect()
}

fn server(scene: &Scene, from: &str, namespace: &str, node: &str) -> Stanza {
    scene.reply_of_domain(&Disco, &get(from, "a.test", &about(namespace, node)))
}

fn account(scene: &Scene, from: &str, namespace: &str, node: &str) -> Stanza {
    scene.answer(
        &mut Disco,
        &get(from, "alice@a.test", &about(namespace, node)),
    )
}

#[test]
fn the_server_tells_what_the_list_holds() {
    let answer = server(&Scene::new(), "eve@evil.test/r", ns::DISCO_INFO, "");
    let info = answer.payload().unwrap();
    let identity = info.child(ns::DISCO_INFO, "identity").unwrap();
    assert_eq!(
        (identity.attr("category"), identity.attr("type")),
        (Some("server"), Some("im"))
    );
    let vars = vars(&info);
    for feature in [
        ns::DISCO_INFO,
        ns::DISCO_ITEMS,
        ns::PING,
        ns::TIME,
        ns::VCARD,
    ] {
        assert!(vars.contains(&feature), "{feature}");
    }
    assert!(
        vars.is_sorted_by(|one, other| one < other),
        "each feature once: {vars:?}"
    );
    assert!(
        info.child(ns::DATA_FORMS, "x").is_none(),
        "no contacts are set"
    );
}

#[test]
fn contact_addresses_are_told_and_count_for_the_capabilities() {
    let scene = Scene::with(|it| it.contact.abuse = vec!["mailto:abuse@a.test".into()]);
    let info = server_info("a.test", &scene.site);
    let form = info.child(ns::DATA_FORMS, "x").unwrap();
    let fields: Vec<_> = form
        .children()
        .map(|field| (field.attr("var"), field.children()))
        .collect();
    assert_eq!(fields[0].1.clone().next().unwrap().text(), ns::SERVER_INFO);
    assert_eq!(fields[1].0, Some("abuse-addresses"));
    let without = verification(&server_info("a.test", &Scene::new().site));
    assert_ne!(verification(&info), without);
}

#[test]
fn the_capabilities_are_those_of_the_node_they_name() {
    let scene = Scene::new();
    let c = &Disco.features_after_login("a.test", &scene.site)[0];
    let ver = c.attr("ver").unwrap();
    let node = format!("{}#{ver}", c.attr("node").unwrap());
    let info = server(&scene, "alice@a.test/r", ns::DISCO_INFO, &node)
        .payload()
        .unwrap();
    assert_eq!(info.attr("node"), Some(node.as_str()));
    assert_eq!(verification(&info), ver);
    let other = server(
        &scene,
        "alice@a.test/r",
        ns::DISCO_INFO,
        "urn:rookery:server#other",
    );
    assert_eq!(verdict(&other), "item-not-found");
}

#[test]
fn an_account_tells_its_owner_and_its_contacts() {
    let mut scene = Scene::new();
    scene.enter("phone");
    for from in ["alice@a.test/r", "bob@b.test/r"] {
        let info = account(&scene, from, ns::DISCO_INFO, "").payload().unwrap();
        let identity = info.child(ns::DISCO_INFO, "identity").unwrap();
        let kind = (identity.attr("category"), identity.attr("type"));
        assert_eq!(kind, (Some("account"), Some("registered")));
        assert!(vars(&info).contains(&ns::DISCO_INFO));
        let items = account(&scene, from, ns::DISCO_ITEMS, "")
            .payload()
            .unwrap();
        let jids: Vec<_> = items
            .children()
            .filter_map(|item| item.attr("jid"))
            .collect();
        assert_eq!(jids, ["alice@a.test/phone"]);
    }
}

/// §8 of XEP-0030: information is refused, and there are no items, be there an account or not.
#[test]
fn to_strangers_an_account_looks_like_none() {
    let mut scene = Scene::new();
    scene.enter("phone");
    let absent = DISCO.absent.unwrap();
    for node in ["", ns::ADHOC, "nothing"] {
        for namespace in [ns::DISCO_INFO, ns::DISCO_ITEMS] {
            let answer = account(&scene, "eve@evil.test/r", namespace, node);
            if namespace == ns::DISCO_INFO {
                assert_eq!(verdict(&answer), "service-unavailable");
            } else {
                let items = answer.payload().unwrap();
                assert_eq!(items.children().count(), 0);
                assert_eq!(items.attr("node").unwrap_or_default(), node);
            }
            let query = about(namespace, node);
            let mut fx = Effects::new(NOW, Origin::Elsewhere);
            let request = get("eve@evil.test/r", "alice@a.test", &query);
            absent(&request, &query, &mut fx);
            assert_eq!(text(&only_answer(&fx)), text(&answer));
        }
    }
}

#[test]
fn nobody_sees_a_list_of_users_and_only_administrators_see_commands() {
    let scene = Scene::new();
    for from in ["alice@a.test/r", "root@a.test/r", "eve@evil.test/r"] {
        let items = server(&scene, from, ns::DISCO_ITEMS, "").payload().unwrap();
        let jids: Vec<_> = items.children().filter_map(|it| it.attr("jid")).collect();
        assert_eq!(
            jids,
            ["rooms.a.test", "pubsub.a.test"],
            "its services and nobody: {from}"
        );
    }
    let commands = |from| {
        let items = server(&scene, from, ns::DISCO_ITEMS, ns::ADHOC)
            .payload()
            .unwrap();
        nodes(&items).len()
    };
    assert!(commands("root@a.test/r") > 10);
    assert_eq!(commands("alice@a.test/r"), 0);
    assert_eq!(commands("root@b.test/r"), 0);
    let add = "http://jabber.org/protocol/admin#add-user";
    let info = |from| server(&scene, from, ns::DISCO_INFO, add);
    assert_eq!(verdict(&info("alice@a.test/r")), "forbidden");
    assert!(vars(&info("root@a.test/r").payload().unwrap()).contains(&ns::DATA_FORMS));
}

#[test]
fn the_owner_sees_the_commands_of_the_own_account() {
    let scene = Scene::with(|settings| settings.admins.push("alice@a.test".into()));
    let items = account(&scene, "alice@a.test/r", ns::DISCO_ITEMS, ns::ADHOC)
        .payload()
        .unwrap();
    assert_eq!(items.attr("node"), Some(ns::ADHOC));
    assert!(
        items
            .children()
            .all(|item| item.attr("jid") == Some("alice@a.test"))
    );
    assert!(items.children().count() > 10);
    let plain = account(&Scene::new(), "alice@a.test/r", ns::DISCO_ITEMS, ns::ADHOC);
    assert_eq!(plain.payload().unwrap().children().count(), 0);
    let contact = account(&scene, "bob@b.test/r", ns::DISCO_ITEMS, ns::ADHOC);
    assert_eq!(verdict(&contact), "item-not-found");
}

#[test]
fn what_is_not_asked_rightly_is_not_answered() {
    let scene = Scene::new();
    let unknown = server(&scene, "alice@a.test/r", ns::DISCO_ITEMS, "nothing");
    assert_eq!(verdict(&unknown), "item-not-found");
    let as_set = set("alice@a.test/r", "a.test", &about(ns::DISCO_INFO, ""));
    assert_eq!(scene.ask_domain(&Disco, &as_set), "service-unavailable");
}
