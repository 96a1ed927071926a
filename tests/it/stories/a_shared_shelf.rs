//! Alice and bob share recipes at the publish-subscribe service (XEP-0060): each hears what the
//! other puts there, and who it was; who comes home hears the last one; and when the shelf moves,
//! whoever looks for it is told where it is.

use crate::device::Device;
use crate::world::World;

const SERVICE: &str = "pubsub.a.test";
const PUBSUB: &str = "http://jabber.org/protocol/pubsub";

fn iq(kind: &str, ns: &str, inside: &str) -> String {
    format!(
        "<iq type='{kind}' id='r' to='{SERVICE}'>\
         <pubsub xmlns='{PUBSUB}{ns}'>{inside}</pubsub></iq>"
    )
}

/// Asks for something, and gets it.
fn gets(device: &mut Device, inside: &str) -> String {
    let answer = device.asks(&iq("set", "", inside));
    assert_eq!(answer.attr("type"), Some("result"), "{inside}: {answer}");
    answer.to_string()
}

fn owns(device: &mut Device, kind: &str, inside: &str) -> String {
    let answer = device.asks(&iq(kind, "#owner", inside));
    assert_eq!(answer.attr("type"), Some("result"), "{inside}: {answer}");
    answer.to_string()
}

fn form(kind: &str, fields: &[(&str, &str)]) -> String {
    let field = |(var, value): &(&str, &str)| {
        format!("<field var='pubsub#{var}'><value>{value}</value></field>")
    };
    let fields: String = fields.iter().map(field).collect();
    format!(
        "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
         <value>{PUBSUB}#{kind}</value></field>{fields}</x>"
    )
}

fn recipe(id: &str) -> String {
    format!(
        "<publish node='recipes'><item id='{id}'>\
         <recipe xmlns='urn:kitchen'>{id}</recipe></item></publish>"
    )
}

fn event(inside: &str) -> String {
    format!(
        "<message from='{SERVICE}' type='headline'>\
         <event xmlns='{PUBSUB}#event'>{inside}</event></message>"
    )
}

fn news(id: &str, publisher: &str) -> String {
    event(&format!(
        "<items node='recipes'><item id='{id}' publisher='{publisher}'/></items>"
    ))
}

/// Alice makes a shelf of three recipes, and bob finds it.
fn found(world: &World) -> (Device, Device) {
    let mut alice = world.online("alice@a.test/kitchen");
    let mut bob = world.online("bob@b.test/home");

    // Whoever reads it may add to it.
    let fields = form(
        "node_config",
        &[
            ("title", "Recipes"),
            ("publish_model", "subscribers"),
            ("max_items", "3"),
            ("notify_sub", "1"),
        ],
    );
    let create = format!("<create node='recipes'/><configure>{fields}</configure>");
    gets(&mut alice, &create);
    gets(&mut alice, "<subscribe node='recipes' jid='alice@a.test'/>");
    alice.drains();

    // Bob subscribes, and alice hears that he did.
    let found = bob.asks(&format!(
        "<iq type='get' id='d' to='{SERVICE}'>\
         <query xmlns='http://jabber.org/protocol/disco#items'/></iq>"
    ));
    assert!(found.to_string().contains("name='Recipes'"), "{found}");
    let said = gets(&mut bob, "<subscribe node='recipes' jid='bob@b.test'/>");
    assert!(said.contains("subscribe-options"), "{said}");
    alice.waits_for(&event(
        "<subscription node='recipes' jid='bob@b.test' subscription='subscribed'/>",
    ));
    (alice, bob)
}

#[test]
fn two_people_share_a_shelf() {
    let world = World::start();
    let (mut alice, mut bob) = found(&world);

    // Each hears what the other puts there, and who it was.
    gets(&mut bob, &recipe("soup"));
    alice.waits_for(&news("soup", "bob@b.test"));
    bob.waits_for(&news("soup", "bob@b.test"));
    gets(&mut alice, &recipe("bread"));
    bob.waits_for(&news("bread", "alice@a.test"));

    // Bob goes; what he misses he hears when he tells the shelf that he is back.
    bob.leaves();
    for id in ["jam", "pie"] {
        gets(&mut alice, &recipe(id));
    }
    let mut bob = world.online("bob@b.test/work");
    bob.says(&format!("<presence to='{SERVICE}'/>"));
    let heard = bob.waits_for(&news("pie", "alice@a.test"));
    assert!(heard.to_string().contains("urn:xmpp:delay"), "{heard}");
    let all = bob
        .asks(&iq("get", "", "<items node='recipes'/>"))
        .to_string();
    assert!(!all.contains("soup"), "three are kept: {all}");
    for id in ["bread", "jam", "pie"] {
        assert!(all.contains(id), "{all}");
    }

    // Who is who is on the list, in pages if one likes.
    let page = "<max>1</max><after>alice@a.test</after>";
    let page = format!("<set xmlns='http://jabber.org/protocol/rsm'>{page}</set>");
    let list = owns(
        &mut alice,
        "get",
        &format!("<subscriptions node='recipes'/>{page}"),
    );
    assert!(
        list.contains("jid='bob@b.test'") && list.contains(">2</count>"),
        "{list}"
    );
}

/// Bob hears where it went, and so does who asks for it later, after a crash as well.
#[test]
fn the_shelf_moves() {
    let world = World::start();
    let (mut alice, mut bob) = found(&world);
    let uri = "xmpp:pubsub.b.test?;node=recipes";
    let moved = format!("<delete node='recipes'><redirect uri='{uri}'/></delete>");
    owns(&mut alice, "set", &moved);
    bob.waits_for(&event(&format!(
        "<delete node='recipes'><redirect uri='{uri}'/></delete>"
    )));
    drop((alice, bob));
    world.kill_9();
    world.rise();
    let mut eve = world.online("eve@a.test/home");
    let refused = eve.asks(&iq(
        "set",
        "",
        "<subscribe node='recipes' jid='eve@a.test'/>",
    ));
    assert_eq!(refused.error().map(|it| it.1), Some("gone"), "{refused}");
    assert!(refused.to_string().contains(uri), "{refused}");
}

/// What bob may not do is said to him in so many words, and what alice cannot have is not offered.
#[test]
fn a_shelf_that_is_for_members() {
    let world = World::start();
    let mut alice = world.online("alice@a.test/kitchen");
    let mut bob = world.online("bob@b.test/home");
    let fields = form(
        "node_config",
        &[("access_model", "whitelist"), ("itemreply", "none")],
    );
    let create = format!("<create node='secrets'/><configure>{fields}</configure>");
    gets(&mut alice, &create);
    let subscribe = "<subscribe node='secrets' jid='bob@b.test'/>";
    let refused = bob.asks(&iq("set", "", subscribe));
    assert!(refused.to_string().contains("closed-node"), "{refused}");
    let offered = owns(&mut alice, "get", "<configure node='secrets'/>");
    assert!(!offered.contains("<value>roster</value>"), "{offered}");
    let asked = form("node_config", &[("access_model", "roster")]);
    let asked = format!("<configure node='secrets'>{asked}</configure>");
    let refused = alice.asks(&iq("set", "#owner", &asked)).to_string();
    assert!(refused.contains("unsupported-access-model"), "{refused}");

    // She lets him in, and he hears of it; he may read and hear, and writes nothing.
    let member = "<affiliations node='secrets'>\
                  <affiliation jid='bob@b.test' affiliation='member'/></affiliations>";
    owns(&mut alice, "set", member);
    let told = "<affiliation jid='bob@b.test' affiliation='member'/>";
    bob.waits_for(&format!(
        "<message from='{SERVICE}' type='headline'><pubsub xmlns='{PUBSUB}'>\
         <affiliations node='secrets'>{told}</affiliations></pubsub></message>"
    ));
    gets(&mut bob, subscribe);
    gets(&mut alice, &recipe("yeast").replace("recipes", "secrets"));
    let heard = bob.waits_for(&event("<items node='secrets'><item id='yeast'/></items>"));
    assert!(!heard.to_string().contains("publisher"), "{heard}");
    let refused = bob.asks(&iq(
        "set",
        "",
        &recipe("salt").replace("recipes", "secrets"),
    ));
    assert_eq!(
        refused.error().map(|it| it.1),
        Some("forbidden"),
        "{refused}"
    );

    // Nor may he be two things at once.
    let twice = member.replace("</affiliations>", "")
        + "<affiliation jid='bob@b.test' affiliation='outcast'/></affiliations>";
    let refused = alice.asks(&iq("set", "#owner", &twice));
    assert_eq!(
        refused.error().map(|it| it.1),
        Some("bad-request"),
        "{refused}"
    );
}
