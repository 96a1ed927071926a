//! What a query filters, and what it cannot mean.

use super::*;

#[test]
fn messages_with_one_contact() {
    let mut world = world(9);
    let with = |world: &mut World, with: &str| query(world, &[("with", with)], "").bodies();
    assert_eq!(with(&mut world, BOB), "0 3 6");
    assert_eq!(with(&mut world, "eve@x.test"), "1 4 7");
    assert_eq!(with(&mut world, "eve@x.test/home"), "1 4 7");
    assert_eq!(with(&mut world, "eve@x.test/other"), "");
    assert_eq!(with(&mut world, "x.test"), "");
    assert_eq!(
        with(&mut world, ALICE),
        "2 5 8",
        "only what she told herself"
    );
    assert_eq!(
        with(&mut world, ""),
        "0 1 2 3 4 5 6 7 8",
        "an empty field is none"
    );
    let set = format!("<set xmlns='{}'><max>2</max><before/></set>", ns::RSM);
    let last = query(&mut world, &[("with", BOB)], &set);
    assert_eq!((last.bodies().as_str(), last.is_complete()), ("3 6", false));
    let set = set.replace("<before/>", &format!("<before>{}</before>", last.id(0)));
    let first = query(&mut world, &[("with", BOB)], &set);
    assert_eq!((first.bodies().as_str(), first.is_complete()), ("0", true));
    // Both sides of the conversation, whichever device.
    world.connect(BOB, 1);
    world.send(
        BOB,
        1,
        "<message to='alice@a.test/1' type='chat'><body>re</body></message>",
    );
    assert_eq!(with(&mut world, BOB), "0 3 6 re");
    assert_eq!(with(&mut world, "bob@a.test/1"), "re");
}

#[test]
fn start_and_end_are_inclusive() {
    let mut world = world(6);
    // The connection was the first millisecond.
    let at = |number: u64| datetime::format(NOW + 2 + number);
    let (two, four) = (at(2), at(4));
    let mut bodies = |fields: &[(&str, &str)]| query(&mut world, fields, "").bodies();
    assert_eq!(bodies(&[("start", &two), ("end", &four)]), "2 3 4");
    assert_eq!(bodies(&[("start", &four)]), "4 5");
    assert_eq!(bodies(&[("end", &two)]), "0 1 2");
    assert_eq!(bodies(&[("start", &four), ("end", &two)]), "");
    assert_eq!(bodies(&[("end", &two), ("with", BOB)]), "0");
    assert_eq!(bodies(&[("start", "0001-01-01T00:00:00Z")]), "0 1 2 3 4 5");
    assert_eq!(
        bodies(&[("end", "9999-12-31T23:59:59.999Z")]),
        "0 1 2 3 4 5"
    );
    for wrong in ["yesterday", "2010-08-07", "2010-08-07T00:00:00"] {
        assert_eq!(
            query(&mut world, &[("start", wrong)], "").error(),
            "bad-request"
        );
    }
}

#[test]
fn messages_before_after_and_by_their_ids() {
    let mut world = world(6);
    let all = query(&mut world, &[], "");
    let id = |index: usize| all.id(index).to_owned();
    let (one, three, four) = (id(1), id(3), id(4));
    let mut bodies = |fields: &[(&str, &str)]| query(&mut world, fields, "").bodies();
    assert_eq!(bodies(&[("after-id", &one)]), "2 3 4 5");
    assert_eq!(bodies(&[("before-id", &one)]), "0");
    assert_eq!(bodies(&[("after-id", &one), ("before-id", &four)]), "2 3");
    assert_eq!(bodies(&[("after-id", &one), ("with", BOB)]), "3");
    let both = format!("{four}|{one}|{four}");
    assert_eq!(
        bodies(&[("ids", &both)]),
        "1 4",
        "in the order of the archive"
    );
    assert_eq!(bodies(&[("ids", &both), ("with", "eve@x.test")]), "1 4");
    assert_eq!(bodies(&[("ids", &both), ("with", BOB)]), "");
    assert_eq!(bodies(&[("ids", &both), ("after-id", &three)]), "4");
    let set = format!("<set xmlns='{}'><max>1</max><before/></set>", ns::RSM);
    let last = query(&mut world, &[("ids", &both)], &set);
    assert_eq!((last.bodies().as_str(), last.is_complete()), ("4", false));
}

/// Attacks A17: also ids of other archives, deleted ones, and what is no id.
#[test]
fn what_is_not_in_the_archive_is_not_found() {
    let mut world = world(3);
    let id = query(&mut world, &[], "").id(0).to_owned();
    let changed = id.replace(|last| last != id.chars().next().unwrap(), "0");
    for wrong in [
        "' OR 1=1 --",
        "x",
        &changed,
        &id.to_uppercase(),
        &"0".repeat(32),
    ] {
        let wrong = wrong.replace('\'', "&apos;");
        if wrong == id {
            continue;
        }
        for field in ["before-id", "after-id", "ids"] {
            let answer = query(&mut world, &[(field, &wrong), ("with", BOB)], "");
            assert_eq!(answer.error(), "item-not-found", "{field} {wrong}");
        }
        for name in ["before", "after"] {
            let answer = page(&mut world, &format!("<{name}>{wrong}</{name}>"));
            assert_eq!(answer.error(), "item-not-found", "{name} {wrong}");
        }
    }
    let many = vec![id.as_str(); 101].join("|");
    assert_eq!(
        query(&mut world, &[("ids", &many)], "").error(),
        "not-acceptable"
    );
}

#[test]
fn what_is_not_understood_is_refused() {
    let mut world = world(1);
    let mut error = |fields: &[(&str, &str)]| query(&mut world, fields, "").error().to_owned();
    assert_eq!(error(&[("{u}mood", "happy")]), "feature-not-implemented");
    assert_eq!(error(&[("with", "@")]), "jid-malformed");
    assert_eq!(error(&[("with", "a@x.test|b@x.test")]), "bad-request");
    assert_eq!(error(&[("with", BOB), ("with", BOB)]), "bad-request");
    assert_eq!(error(&[("include-groupchat", "maybe")]), "bad-request");
    for yes in ["true", "false", "1", "0"] {
        assert!(query(&mut world, &[("include-groupchat", yes)], "").is_complete());
    }
    for set in ["<max>x</max>", "<max/>"] {
        assert_eq!(page(&mut world, set).error(), "bad-request");
    }
    assert_eq!(
        page(&mut world, "<index>1</index>").error(),
        "feature-not-implemented"
    );
    let node = "<query xmlns='urn:xmpp:mam:2' node='n'/>";
    assert_eq!(
        ask(&mut world, &plain("set", node)).error(),
        "feature-not-implemented"
    );
    let form = "<query xmlns='urn:xmpp:mam:2'><x xmlns='jabber:x:data' type='submit'/></query>";
    assert_eq!(ask(&mut world, &plain("set", form)).error(), "bad-request");
    let other = plain("set", "<metadata xmlns='urn:xmpp:mam:2'/>");
    assert_eq!(ask(&mut world, &other).error(), "service-unavailable");
}

#[test]
fn the_form_tells_all_fields() {
    let mut world = world(0);
    let form = ask(&mut world, &plain("get", "<query xmlns='urn:xmpp:mam:2'/>"));
    let form = form.fin().child(ns::DATA_FORMS, "x").unwrap();
    let name = |field: &Element| {
        let attr = |name| field.attr(name).unwrap_or_default().to_owned();
        format!("{}:{}", attr("var"), attr("type"))
    };
    let fields: Vec<String> = form.children().map(name).collect();
    let expected = "FORM_TYPE:hidden with:jid-single start:text-single end:text-single \
         before-id:text-single after-id:text-single ids:list-multi include-groupchat:boolean \
         {urn:xmpp:fulltext:0}fulltext:text-single";
    assert_eq!(fields.join(" "), expected);
    let ids = form
        .children()
        .find(|it| it.attr("var") == Some("ids"))
        .unwrap();
    let validate = ids.child(ns::DATA_FORM_VALIDATE, "validate").unwrap();
    assert!(validate.child(ns::DATA_FORM_VALIDATE, "open").is_some());
}

#[test]
fn words_are_found_wherever_they_stand() {
    let mut world = world(300);
    for text in ["Grüße aus KÖLN &amp; Bonn", "nothing of interest"] {
        world.send(ALICE, 1, &chat(text));
    }
    for number in 0..300 {
        world.send(ALICE, 1, &chat(&number.to_string()));
    }
    let fulltext = "{urn:xmpp:fulltext:0}fulltext";
    let search = |world: &mut World, words: &str| query(world, &[(fulltext, words)], "").bodies();
    assert_eq!(search(&mut world, "köln grüße"), "Grüße aus KÖLN & Bonn");
    assert_eq!(search(&mut world, "  &amp; "), "Grüße aus KÖLN & Bonn");
    assert_eq!(search(&mut world, "köln nothing"), "");
    assert_eq!(search(&mut world, "message"), "", "only text is looked at");
    let last = format!("<set xmlns='{}'><max>2</max><before/></set>", ns::RSM);
    let last = query(&mut world, &[(fulltext, "299")], &last);
    // The page is full: nobody has looked whether there are more.
    assert_eq!(
        (last.bodies().as_str(), last.is_complete()),
        ("299 299", false)
    );
    let with = query(&mut world, &[(fulltext, "299"), ("with", ALICE)], "");
    assert_eq!((with.bodies().as_str(), with.is_complete()), ("299", true));
    let many = "a ".repeat(17);
    let many = query(&mut world, &[(fulltext, &many)], "");
    assert_eq!(many.error(), "not-acceptable");
}

/// Through messages that the index names and those that it does not name yet.
#[test]
fn pages_with_one_contact_follow_each_other_both_ways() {
    let mut world = world(1_000);
    let wanted: Vec<String> = (0..1_000).step_by(3).map(|n| n.to_string()).collect();
    for (max, with) in [(7, BOB), (100, BOB), (100, "eve@x.test/home")] {
        let offset = usize::from(with != BOB);
        let wanted = wanted
            .iter()
            .map(|n| (n.parse::<usize>().unwrap() + offset).to_string());
        let wanted: Vec<String> = wanted
            .filter(|n| n.parse::<usize>().unwrap() < 1_000)
            .collect();
        for backwards in [false, true] {
            let mut found: Vec<String> = Vec::new();
            let mut place = if backwards {
                "<before/>".into()
            } else {
                String::new()
            };
            loop {
                let set = format!("<set xmlns='{}'><max>{max}</max>{place}</set>", ns::RSM);
                let page = query(&mut world, &[("with", with)], &set);
                let bodies = page.results.iter().map(|(_, body)| body.clone());
                found = match backwards {
                    true => bodies.chain(found).collect(),
                    false => found.into_iter().chain(bodies).collect(),
                };
                if page.is_complete() {
                    break;
                }
                place = match backwards {
                    true => format!("<before>{}</before>", page.set("first").unwrap()),
                    false => format!("<after>{}</after>", page.set("last").unwrap()),
                };
            }
            assert_eq!(found, wanted, "{with} {max} {backwards}");
        }
    }
    // In the middle of a row of the index.
    let all = query(&mut world, &[("with", BOB)], "");
    let (third, tenth) = (all.id(3).to_owned(), all.id(10).to_owned());
    let between = [("with", BOB), ("after-id", &third), ("before-id", &tenth)];
    assert_eq!(
        query(&mut world, &between, "").bodies(),
        "12 15 18 21 24 27"
    );
    let last = format!("<set xmlns='{}'><max>2</max><before/></set>", ns::RSM);
    let last = query(&mut world, &between, &last);
    assert_eq!(
        (last.bodies().as_str(), last.is_complete()),
        ("24 27", false)
    );
    // After the server has started again.
    world.restart();
    world.connect(ALICE, 1);
    assert_eq!(
        query(&mut world, &[("with", BOB)], "").bodies(),
        all.bodies()
    );
}
