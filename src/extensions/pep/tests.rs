//! What alice publishes, and who hears of it: with the Hubs that decide and a store in memory.

mod faces;
mod guests;
mod readers;
mod requests;

use super::*;
use crate::capabilities::verification;
use crate::extensions::stories::World;

const ALICE: &str = "alice@a.test";
const BOB: &str = "bob@a.test";

/// What a client that wants these nodes answers when it is asked.
fn info(topics: &[&str]) -> Element {
    let wanted = topics.iter().map(|topic| format!("{topic}+notify"));
    let features = wanted.map(|var| Element::new(ns::DISCO_INFO, "feature").with_attr("var", var));
    Element::new(ns::DISCO_INFO, "query").with_children(features)
}

/// Presence of such a client.
fn presence(topics: &[&str]) -> String {
    let ver = verification(&info(topics));
    let caps = ns::CAPS;
    format!("<presence><c xmlns='{caps}' hash='sha-1' node='urn:c' ver='{ver}'/></presence>")
}

/// Connects a device that wants these nodes; gives how often it was asked.
fn enter(world: &mut World, name: &'static str, number: u32, topics: &[&str]) -> usize {
    world.bind(name, number);
    world.send(name, number, &presence(topics));
    answer(world, name, number, &info(topics))
}

/// Answers the questions that a device was asked, and keeps the rest for later.
fn answer(world: &mut World, name: &'static str, number: u32, info: &Element) -> usize {
    let heard = world.heard(name, number);
    let (asked, rest): (Vec<_>, Vec<_>) = heard
        .into_iter()
        .partition(|text| text.starts_with("<iq") && text.contains("type='get'"));
    assert!(rest.is_empty(), "nothing else yet: {rest:?}");
    for question in &asked {
        let question = crate::extensions::scene::stanza(question);
        let answer = question.result_reply(Some(info.clone()));
        world.send(name, number, &crate::extensions::scene::text(&answer));
    }
    asked.len()
}

/// Alice and bob see each other's presence.
fn befriend(world: &mut World) {
    for name in [ALICE, BOB] {
        world.connect(name, 99);
    }
    let ask = |to| format!("<presence type='subscribe' to='{to}'/>");
    let let_in = |to| format!("<presence type='subscribed' to='{to}'/>");
    world.send(ALICE, 99, &ask(BOB));
    world.send(BOB, 99, &let_in(ALICE));
    world.send(BOB, 99, &ask(ALICE));
    world.send(ALICE, 99, &let_in(BOB));
    for name in [ALICE, BOB] {
        world.lose(name, 99);
        world.heard(name, 99);
    }
}

fn publish(node: &str, id: &str, text: &str) -> String {
    publish_with(node, id, text, &[])
}

fn publish_with(node: &str, id: &str, text: &str, options: &[(&str, &str)]) -> String {
    let field = |(var, value): &(&str, &str)| {
        format!("<field var='pubsub#{var}'><value>{value}</value></field>")
    };
    let fields: String = options.iter().map(field).collect();
    let kind = ns::PUBSUB_PUBLISH_OPTIONS;
    let options = match fields.is_empty() {
        true => String::new(),
        false => format!(
            "<publish-options><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
             <value>{kind}</value></field>{fields}</x></publish-options>"
        ),
    };
    pubsub(
        "set",
        "",
        &format!(
            "<publish node='{node}'><item id='{id}'><t xmlns='urn:t'>{text}</t></item></publish>\
             {options}"
        ),
    )
}

fn pubsub(kind: &str, to: &str, inside: &str) -> String {
    let to = match to {
        "" => String::new(),
        to => format!(" to='{to}'"),
    };
    let ns = ns::PUBSUB;
    format!("<iq type='{kind}' id='q'{to}><pubsub xmlns='{ns}'>{inside}</pubsub></iq>")
}

fn owner(kind: &str, inside: &str) -> String {
    let client = format!("<pubsub xmlns='{}'>", ns::PUBSUB);
    let owner = format!("<pubsub xmlns='{}'>", ns::PUBSUB_OWNER);
    pubsub(kind, "", inside).replace(&client, &owner)
}

fn items(to: &str, node: &str) -> String {
    pubsub("get", to, &format!("<items node='{node}'/>"))
}

/// What a device is answered.
fn ask(world: &mut World, name: &'static str, number: u32, iq: &str) -> String {
    world.send(name, number, iq);
    let mut heard = world.heard(name, number);
    let at = heard.iter().position(|text| text.starts_with("<iq"));
    heard.remove(at.expect("an answer"))
}

/// The ids in an answer or event.
fn ids(text: &str) -> Vec<String> {
    let parts = text.split("<item id='").skip(1);
    parts
        .map(|part| part.split('\'').next().unwrap().to_owned())
        .collect()
}

fn world() -> World {
    let mut world = World::new();
    befriend(&mut world);
    world
}

#[test]
fn own_devices_that_want_to_hear_of_what_another_publishes() {
    let mut world = world();
    enter(&mut world, ALICE, 1, &["urn:n"]);
    enter(&mut world, ALICE, 2, &["urn:other"]);
    let answer = ask(&mut world, ALICE, 2, &publish("urn:n", "i", "one"));
    assert!(
        answer.contains("type='result'") && answer.contains("<item id='i'/>"),
        "{answer}"
    );
    let heard = world.heard(ALICE, 1);
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(heard[0].contains("from='alice@a.test'") && heard[0].contains("type='headline'"));
    assert!(heard[0].contains("to='alice@a.test/1'") && heard[0].contains(">one</t>"));
    assert!(world.heard(ALICE, 2).is_empty(), "it wants something else");
}

#[test]
fn contacts_hear_at_once_what_they_want_and_nobody_else_does() {
    let mut world = world();
    enter(&mut world, ALICE, 1, &[]);
    enter(&mut world, BOB, 1, &["urn:n"]);
    enter(&mut world, BOB, 2, &["urn:other"]);
    world.connect(BOB, 3);
    world.send(ALICE, 1, &publish("urn:n", "i", "one"));
    let heard = world.heard(BOB, 1);
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(heard[0].contains("to='bob@a.test/1'") && heard[0].contains(">one</t>"));
    assert!(world.heard(BOB, 2).is_empty() && world.heard(BOB, 3).is_empty());
    // Nobody keeps it for those who are away, nor do the archives.
    world.lose(BOB, 1);
    world.send(ALICE, 1, &publish("urn:n", "i", "two"));
    world.connect(BOB, 4);
    assert!(world.heard(BOB, 4).is_empty());
}

/// Its presence says which client it is, but what such a client wants is forgotten.
#[test]
fn a_session_that_outlives_the_server_goes_on_hearing() {
    let mut world = world();
    enter(&mut world, ALICE, 1, &[]);
    enter(&mut world, BOB, 1, &["urn:n"]);
    world.restart_under_sessions();
    assert_eq!(answer(&mut world, BOB, 1, &info(&["urn:n"])), 1);
    world.send(ALICE, 1, &publish("urn:n", "i", "one"));
    let heard = world.heard(BOB, 1);
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(heard[0].contains(">one</t>"));
}

#[test]
fn who_comes_hears_the_last_item_of_contacts_and_of_himself() {
    let mut world = world();
    world.connect(ALICE, 1);
    for text in ["one", "two"] {
        world.send(ALICE, 1, &publish("urn:n", text, text));
    }
    world.send(ALICE, 1, &publish("urn:quiet", "i", "x"));
    world.lose(ALICE, 1);
    // Its like was never seen: it is asked, and its contacts after that.
    assert_eq!(enter(&mut world, BOB, 1, &["urn:n", "urn:own"]), 1);
    let heard = world.heard(BOB, 1);
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(
        heard[0].contains(">two</t>") && heard[0].contains("<delay"),
        "{heard:?}"
    );
    assert!(heard[0].contains("to='bob@a.test/1'") && heard[0].contains("from='alice@a.test'"));
    // The next of its kind is known.
    world.bind(BOB, 2);
    world.send(BOB, 2, &presence(&["urn:n", "urn:own"]));
    let heard = world.heard(BOB, 2);
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(heard[0].contains(">two</t>") && world.heard(BOB, 1).is_empty());
    // A presence that changes nothing brings nothing.
    world.send(BOB, 2, &presence(&["urn:n", "urn:own"]));
    assert!(world.heard(BOB, 2).is_empty());
    world.bind(ALICE, 2);
    world.send(ALICE, 2, &presence(&["urn:n", "urn:own"]));
    let heard = world.heard(ALICE, 2);
    assert!(
        heard.len() == 1 && heard[0].contains(">two</t>"),
        "{heard:?}"
    );
}

#[test]
fn a_device_that_wants_more_hears_of_that_only() {
    let mut world = world();
    world.connect(ALICE, 1);
    for node in ["urn:n", "urn:m"] {
        world.send(ALICE, 1, &publish(node, "i", node));
    }
    enter(&mut world, BOB, 1, &["urn:n"]);
    assert_eq!(world.heard(BOB, 1).len(), 1);
    world.send(BOB, 1, &presence(&["urn:n", "urn:m"]));
    assert_eq!(answer(&mut world, BOB, 1, &info(&["urn:n", "urn:m"])), 1);
    let heard = world.heard(BOB, 1);
    assert!(
        heard.len() == 1 && heard[0].contains("node='urn:m'"),
        "{heard:?}"
    );
}

/// Attacks P10: who lies about what a hash stands for harms only himself.
#[test]
fn a_lie_about_a_client_is_believed_of_the_liar_only() {
    let mut world = world();
    world.bind(BOB, 1);
    world.send(BOB, 1, &presence(&["urn:n"]));
    assert_eq!(answer(&mut world, BOB, 1, &info(&["urn:evil"])), 1);
    assert_eq!(
        enter(&mut world, BOB, 2, &["urn:n"]),
        1,
        "asked in spite of the lie"
    );
    world.connect(ALICE, 1);
    world.send(ALICE, 1, &publish("urn:n", "i", "x"));
    assert_eq!(world.heard(BOB, 2).len(), 1);
    assert!(world.heard(BOB, 1).is_empty());
}

/// Attacks P11.
#[test]
fn a_device_is_not_asked_for_ever() {
    let mut world = world();
    world.bind(BOB, 1);
    for number in 0..20 {
        let ver = format!("{number:027}=");
        let c = format!(
            "<c xmlns='{}' hash='sha-1' node='urn:c' ver='{ver}'/>",
            ns::CAPS
        );
        world.send(BOB, 1, &format!("<presence>{c}</presence>"));
    }
    assert_eq!(world.heard(BOB, 1).len(), 5);
}

#[test]
fn a_node_that_was_not_made_is_made_as_its_specification_asks() {
    let mut world = world();
    world.connect(ALICE, 1);
    world.connect(BOB, 1);
    for id in ["a", "b"] {
        world.send(ALICE, 1, &publish("urn:n", id, "x"));
        world.send(ALICE, 1, &publish("urn:xmpp:bookmarks:1", id, "x"));
    }
    world.heard(ALICE, 1);
    assert_eq!(ids(&ask(&mut world, BOB, 1, &items(ALICE, "urn:n"))), ["b"]);
    let refused = ask(&mut world, BOB, 1, &items(ALICE, "urn:xmpp:bookmarks:1"));
    assert!(refused.contains("<closed-node"), "{refused}");
    let own = ask(&mut world, ALICE, 1, &items("", "urn:xmpp:bookmarks:1"));
    assert_eq!(ids(&own), ["a", "b"]);
}

#[test]
fn options_make_a_node_and_are_preconditions_later() {
    let mut world = world();
    world.connect(ALICE, 1);
    let options = [
        ("access_model", "open"),
        ("max_items", "max"),
        ("persist_items", "true"),
    ];
    let publish = |id| publish_with("urn:n", id, "x", &options);
    assert!(ask(&mut world, ALICE, 1, &publish("a")).contains("type='result'"));
    assert!(ask(&mut world, ALICE, 1, &publish("b")).contains("type='result'"));
    let other = publish_with("urn:n", "c", "x", &[("access_model", "whitelist")]);
    let refused = ask(&mut world, ALICE, 1, &other);
    assert!(refused.contains("<conflict") && refused.contains("<precondition-not-met"));
    let unknown = publish_with("urn:m", "c", "x", &[("unheard_of", "1")]);
    assert!(ask(&mut world, ALICE, 1, &unknown).contains("<precondition-not-met"));
    assert!(ask(&mut world, ALICE, 1, &items("", "urn:m")).contains("<item-not-found"));
    assert_eq!(
        ids(&ask(&mut world, ALICE, 1, &items("", "urn:n"))),
        ["a", "b"]
    );
}

/// What clients do that find their node configured otherwise (XEP-0384 §5.3).
#[test]
fn a_node_is_configured_and_meets_what_it_did_not() {
    let mut world = world();
    world.connect(ALICE, 1);
    world.send(ALICE, 1, &publish("urn:n", "a", "x"));
    world.heard(ALICE, 1);
    let open = [("access_model", "open"), ("max_items", "max")];
    let wanted = publish_with("urn:n", "b", "x", &open);
    assert!(ask(&mut world, ALICE, 1, &wanted).contains("<precondition-not-met"));
    let form = ask(
        &mut world,
        ALICE,
        1,
        &owner("get", "<configure node='urn:n'/>"),
    );
    assert!(form.contains("pubsub#access_model") && form.contains("<value>presence</value>"));
    let field = |var, value| format!("<field var='pubsub#{var}'><value>{value}</value></field>");
    let form = field("access_model", "open") + &field("max_items", "max");
    let submit = format!(
        "<configure node='urn:n'><x xmlns='jabber:x:data' type='submit'>\
         <field var='FORM_TYPE'><value>{}</value></field>{form}</x></configure>",
        ns::PUBSUB_NODE_CONFIG
    );
    assert!(ask(&mut world, ALICE, 1, &owner("set", &submit)).contains("type='result'"));
    assert!(ask(&mut world, ALICE, 1, &wanted).contains("type='result'"));
    assert_eq!(
        ids(&ask(&mut world, ALICE, 1, &items("", "urn:n"))),
        ["a", "b"]
    );
    let small = submit.replace(&field("max_items", "max"), &field("max_items", "1"));
    assert!(ask(&mut world, ALICE, 1, &owner("set", &small)).contains("type='result'"));
    assert_eq!(
        ids(&ask(&mut world, ALICE, 1, &items("", "urn:n"))),
        ["b"],
        "the newest"
    );
}

#[test]
fn a_number_drops_the_oldest_and_a_full_node_refuses() {
    let mut world = world();
    world.site.settings.pubsub.items = 3;
    world.connect(ALICE, 1);
    let two = |id: &str| publish_with("urn:two", id, "x", &[("max_items", "2")]);
    let max = |id: &str| publish_with("urn:max", id, "x", &[("max_items", "max")]);
    for id in ["a", "b", "a", "c"] {
        assert!(ask(&mut world, ALICE, 1, &two(id)).contains("type='result'"));
    }
    let left = ids(&ask(&mut world, ALICE, 1, &items("", "urn:two")));
    assert_eq!(left, ["a", "c"], "what was published again is younger");
    for id in ["a", "b", "c", "b"] {
        assert!(ask(&mut world, ALICE, 1, &max(id)).contains("type='result'"));
    }
    let refused = ask(&mut world, ALICE, 1, &max("d"));
    assert!(refused.contains("type='wait'") && refused.contains("<resource-constraint"));
    assert_eq!(
        ids(&ask(&mut world, ALICE, 1, &items("", "urn:max"))),
        ["a", "c", "b"]
    );
}

#[test]
fn sizes_have_bounds_and_what_goes_makes_room() {
    let mut world = world();
    world.site.settings.pubsub.item = rookery_config::Size::bytes(300);
    world.site.settings.pubsub.total = rookery_config::Size::bytes(800);
    world.site.settings.pubsub.nodes = 3;
    world.connect(ALICE, 1);
    let long = |id: &str, len| publish_with("urn:n", id, &"x".repeat(len), &[("max_items", "max")]);
    let around = "<t xmlns='urn:t'></t>".len();
    let refused = ask(&mut world, ALICE, 1, &long("a", 301 - around));
    assert!(refused.contains("<not-acceptable") && refused.contains("<payload-too-big"));
    assert!(ask(&mut world, ALICE, 1, &long("a", 300 - around)).contains("type='result'"));
    assert!(ask(&mut world, ALICE, 1, &long("b", 300 - around)).contains("type='result'"));
    assert!(ask(&mut world, ALICE, 1, &long("c", 200)).contains("<resource-constraint"));
    assert!(ask(&mut world, ALICE, 1, &long("a", 300 - around)).contains("type='result'"));
    let retract = |id| {
        pubsub(
            "set",
            "",
            &format!("<retract node='urn:n'><item id='{id}'/></retract>"),
        )
    };
    assert!(ask(&mut world, ALICE, 1, &retract("b")).contains("type='result'"));
    assert!(ask(&mut world, ALICE, 1, &retract("b")).contains("<item-not-found"));
    world.restart();
    world.connect(ALICE, 1);
    assert!(ask(&mut world, ALICE, 1, &long("c", 200)).contains("type='result'"));
    for node in ["urn:m", "urn:o"] {
        assert!(ask(&mut world, ALICE, 1, &publish(node, "i", "")).contains("type='result'"));
    }
    let one_more = ask(&mut world, ALICE, 1, &publish("urn:p", "i", ""));
    assert!(one_more.contains("<resource-constraint"), "{one_more}");
    let delete = owner("set", "<delete node='urn:n'/>");
    assert!(ask(&mut world, ALICE, 1, &delete).contains("type='result'"));
    assert!(ask(&mut world, ALICE, 1, &publish("urn:p", "i", "")).contains("type='result'"));
}
