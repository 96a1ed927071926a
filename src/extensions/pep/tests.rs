//! What alice publishes, and who hears of it: with the Hubs that decide and a store in memory.

mod faces;

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

/// Attacks U02, U03, P04.
#[test]
fn strangers_learn_what_is_open_and_nothing_else() {
    let mut world = World::new();
    world.connect(ALICE, 1);
    world.connect(BOB, 1);
    world.send(ALICE, 1, &publish("urn:n", "i", "x"));
    world.send(
        ALICE,
        1,
        &publish_with("urn:open", "i", "x", &[("access_model", "open")]),
    );
    let asked = |world: &mut World, node| ask(world, BOB, 1, &items(ALICE, node));
    assert_eq!(ids(&asked(&mut world, "urn:open")), ["i"]);
    assert!(asked(&mut world, "urn:n").contains("<presence-subscription-required"));
    assert!(asked(&mut world, "urn:absent").contains("<service-unavailable"));
    let theirs = |iq: &str| iq.replace(" id='q'", &format!(" id='q' to='{ALICE}'"));
    for iq in [
        publish("urn:open", "j", "x"),
        pubsub(
            "set",
            "",
            "<retract node='urn:open'><item id='i'/></retract>",
        ),
        owner("get", "<configure node='urn:open'/>"),
        owner("set", "<delete node='urn:open'/>"),
        owner("set", "<purge node='urn:open'/>"),
    ] {
        let refused = ask(&mut world, BOB, 1, &theirs(&iq));
        assert!(refused.contains("<forbidden"), "{iq}: {refused}");
    }
    let refused = ask(&mut world, BOB, 1, &theirs(&publish("urn:mine", "j", "x")));
    assert!(refused.contains("<service-unavailable"), "{refused}");
}

#[test]
fn who_loses_sight_of_her_loses_her_items_at_once() {
    let mut world = world();
    world.connect(ALICE, 1);
    enter(&mut world, BOB, 1, &["urn:n"]);
    world.send(ALICE, 1, &publish("urn:n", "i", "x"));
    assert_eq!(world.heard(BOB, 1).len(), 1);
    world.send(
        ALICE,
        1,
        &format!("<presence type='unsubscribed' to='{BOB}'/>"),
    );
    world.send(ALICE, 1, &publish("urn:n", "i", "y"));
    assert!(
        world
            .heard(BOB, 1)
            .iter()
            .all(|text| !text.contains("<event"))
    );
    let refused = ask(&mut world, BOB, 1, &items(ALICE, "urn:n"));
    assert!(
        refused.contains("<presence-subscription-required"),
        "{refused}"
    );
}

#[test]
fn who_is_blocked_hears_nothing() {
    let mut world = world();
    world.connect(ALICE, 1);
    enter(&mut world, BOB, 1, &["urn:n"]);
    let block = format!(
        "<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='{BOB}'/></block></iq>"
    );
    world.send(ALICE, 1, &block);
    world.send(ALICE, 1, &publish("urn:n", "i", "x"));
    assert!(world.heard(BOB, 1).is_empty());
    enter(&mut world, BOB, 2, &["urn:n"]);
    assert!(world.heard(BOB, 2).is_empty(), "nor the last item");
    assert!(ask(&mut world, BOB, 2, &items(ALICE, "urn:n")).contains("<service-unavailable"));
}

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
}
