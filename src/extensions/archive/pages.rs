//! What comes back from an archive: filters, pages, searches, deletions.

mod filters;
mod keeping;

use rookery_actors::keys::{self, AccountId};
use rookery_protocol::datetime;
use rookery_protocol::ns;
use rookery_protocol::xml::Element;
use rookery_storage::Tree;

use crate::extensions::scene::NOW;
use crate::extensions::stories::{World, chat};

const ALICE: &str = "alice@a.test";
const BOB: &str = "bob@a.test";

/// What an archive answered.
#[derive(Debug)]
struct Answer {
    /// The results: id, and what was said in the message.
    results: Vec<(String, String)>,
    /// The payload of the IQ, or the condition of its error.
    end: Result<Element, String>,
}

impl Answer {
    fn bodies(&self) -> String {
        let bodies: Vec<&str> = self.results.iter().map(|(_, body)| body.as_str()).collect();
        bodies.join(" ")
    }

    fn id(&self, index: usize) -> &str {
        &self.results[index].0
    }

    fn fin(&self) -> &Element {
        self.end.as_ref().expect("no error")
    }

    fn is_complete(&self) -> bool {
        self.fin().attr("complete") == Some("true")
    }

    /// A child of `<set/>`.
    fn set(&self, name: &str) -> Option<String> {
        let set = self.fin().child(ns::RSM, "set").expect("a set");
        set.child(ns::RSM, name).map(Element::text)
    }

    fn index(&self) -> Option<String> {
        let set = self.fin().child(ns::RSM, "set")?;
        set.child(ns::RSM, "first")?
            .attr("index")
            .map(str::to_owned)
    }

    fn error(&self) -> &str {
        self.end.as_ref().expect_err("an error")
    }
}

/// Alice's device 1 asks something; the answer's messages and its IQ.
fn ask(world: &mut World, iq: &str) -> Answer {
    world.heard(ALICE, 1);
    world.send(ALICE, 1, iq);
    let mut heard = world.heard(ALICE, 1);
    let last = heard.pop().expect("an answer");
    let last = Element::parse(&last, ns::CLIENT).unwrap();
    let results = heard.iter().map(|text| {
        let message = Element::parse(text, ns::CLIENT).unwrap();
        assert_eq!(message.attr("from"), Some(ALICE));
        assert_eq!(message.attr("to"), Some("alice@a.test/1"));
        let result = message.child(ns::MAM, "result").expect("a result");
        let forwarded = result.child(ns::FORWARD, "forwarded").unwrap();
        assert!(forwarded.child(ns::DELAY, "delay").is_some());
        let inner = forwarded.child(ns::CLIENT, "message").unwrap();
        let body = inner.child(ns::CLIENT, "body").map(Element::text);
        let id = result.attr("id").unwrap().to_owned();
        (id, body.unwrap_or_else(|| "-".to_owned()))
    });
    let results = results.collect();
    let end = match last.child(ns::CLIENT, "error") {
        Some(error) => Err(error.children().next().unwrap().name().to_owned()),
        None => Ok(last
            .children()
            .next()
            .cloned()
            .unwrap_or_else(|| Element::new("", "none"))),
    };
    Answer { results, end }
}

/// A query with these fields, and whatever else stands in it.
fn query(world: &mut World, fields: &[(&str, &str)], rest: &str) -> Answer {
    let field = |(name, values): &(&str, &str)| {
        let values = values
            .split('|')
            .map(|value| format!("<value>{value}</value>"));
        format!("<field var='{name}'>{}</field>", values.collect::<String>())
    };
    let fields: String = fields.iter().map(field).collect();
    let iq = format!(
        "<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2' queryid='&lt;f27'>\
         <x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
         <value>urn:xmpp:mam:2</value></field>{fields}</x>{rest}</query></iq>"
    );
    ask(world, &iq)
}

fn page(world: &mut World, inside: &str) -> Answer {
    query(
        world,
        &[],
        &format!("<set xmlns='{}'>{inside}</set>", ns::RSM),
    )
}

fn plain(kind: &str, inside: &str) -> String {
    format!("<iq type='{kind}' id='p'>{inside}</iq>")
}

/// Alice tells bob, eve, who is elsewhere, and herself numbers: 0 to bob, 1 to eve, 2 to herself,
/// and so on; one each millisecond.
fn world(count: usize) -> World {
    let mut world = World::new();
    world.site.settings.limits.strangers_per_minute = 100_000;
    world.connect(ALICE, 1);
    for number in 0..count {
        let to = [BOB, "eve@x.test/home", ALICE][number % 3];
        world.send(ALICE, 1, &chat(&number.to_string()).replace(BOB, to));
    }
    world
}

#[test]
fn everything_comes_back_in_order() {
    let mut world = world(5);
    world.heard(ALICE, 1);
    world.send(ALICE, 1, &plain("set", "<query xmlns='urn:xmpp:mam:2'/>"));
    let raw = world.heard(ALICE, 1);
    let id = raw[0]
        .split(" id='")
        .nth(1)
        .unwrap()
        .split('\'')
        .next()
        .unwrap()
        .to_owned();
    let stamp = datetime::format(NOW + 2);
    let whole = format!(
        "<message to='alice@a.test/1' from='alice@a.test'><result xmlns='urn:xmpp:mam:2' id='{id}'>\
         <forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='{stamp}'/>\
         <message xmlns='jabber:client' to='bob@a.test' from='alice@a.test/1' type='chat'>\
         <body>0</body></message></forwarded></result></message>"
    );
    assert_eq!(raw[0], whole);
    let all = query(&mut world, &[], "");
    assert_eq!(all.bodies(), "0 1 2 3 4");
    assert!(all.is_complete());
    assert_eq!(all.fin().attr("stable"), Some("true"));
    assert_eq!(all.set("first").as_deref(), Some(all.id(0)));
    assert_eq!(all.set("last").as_deref(), Some(all.id(4)));
    assert_eq!(
        (all.set("count"), all.index()),
        (Some("5".into()), Some("0".into()))
    );
}

#[test]
fn the_query_id_is_said_again() {
    let mut world = world(1);
    let iq = "<query xmlns='urn:xmpp:mam:2' queryid='a&lt;b&apos;'/>";
    world.heard(ALICE, 1);
    world.send(ALICE, 1, &plain("set", iq));
    let heard = world.heard(ALICE, 1);
    let message = Element::parse(&heard[0], ns::CLIENT).unwrap();
    let result = message.child(ns::MAM, "result").unwrap();
    assert_eq!(result.attr("queryid"), Some("a<b'"));
    let long = format!(
        "<query xmlns='urn:xmpp:mam:2' queryid='{}'/>",
        "x".repeat(257)
    );
    assert_eq!(
        ask(&mut world, &plain("set", &long)).error(),
        "not-acceptable"
    );
}

#[test]
fn pages_follow_each_other_both_ways_without_gap_or_double() {
    let mut world = world(10);
    let first = page(&mut world, "<max>4</max>");
    assert_eq!(
        (first.bodies().as_str(), first.is_complete()),
        ("0 1 2 3", false)
    );
    assert_eq!(
        (first.set("count"), first.index()),
        (Some("10".into()), Some("0".into()))
    );
    // What comes meanwhile is on the last page, and nowhere else.
    world.send(ALICE, 1, "<message to='bob@a.test'><body/></message>");
    let after = format!("<after>{}</after>", first.set("last").unwrap());
    let next = page(&mut world, &format!("<max>4</max>{after}"));
    assert_eq!((next.bodies().as_str(), next.index()), ("4 5 6 7", None));
    let after = format!("<after>{}</after>", next.set("last").unwrap());
    let last = page(&mut world, &format!("<max>4</max>{after}"));
    assert_eq!(last.bodies(), "8 9 ");
    assert!(last.is_complete());
    let end = page(&mut world, &format!("<after>{}</after>", last.id(2)));
    assert!(end.is_complete() && end.results.is_empty() && end.set("first").is_none());

    let newest = page(&mut world, "<max>4</max><before/>");
    assert_eq!(
        (newest.bodies().as_str(), newest.is_complete()),
        ("7 8 9 ", false)
    );
    assert_eq!(newest.index().as_deref(), Some("7"));
    let before = format!("<max>6</max><before>{}</before>", newest.id(0));
    let older = page(&mut world, &before);
    assert_eq!(
        (older.bodies().as_str(), older.is_complete()),
        ("1 2 3 4 5 6", false)
    );
    let before = format!("<max>6</max><before>{}</before>", older.id(0));
    let oldest = page(&mut world, &before);
    assert_eq!(
        (oldest.bodies().as_str(), oldest.is_complete()),
        ("0", true)
    );
    assert_eq!(oldest.index().as_deref(), Some("0"));
}

#[test]
fn a_flipped_page_is_the_same_page_from_its_end() {
    let mut world = world(6);
    let set = format!("<set xmlns='{}'><max>3</max></set>", ns::RSM);
    let flipped = query(&mut world, &[], &format!("{set}<flip-page/>"));
    assert_eq!(flipped.bodies(), "2 1 0");
    assert_eq!(flipped.set("first").as_deref(), Some(flipped.id(2)));
    assert_eq!(flipped.set("last").as_deref(), Some(flipped.id(0)));
}

#[test]
fn the_count_alone() {
    let mut world = world(6);
    let none = page(&mut world, "<max>0</max>");
    assert!(none.results.is_empty() && !none.is_complete());
    assert_eq!(
        (none.set("count"), none.set("first")),
        (Some("6".into()), None)
    );
    let with = [("with", BOB)];
    let all = query(&mut world, &with, "");
    assert_eq!(
        all.set("count").as_deref(),
        Some("2"),
        "all of them are here"
    );
}

#[test]
fn a_page_has_a_hundred_messages_or_half_a_megabyte() {
    let mut world = world(120);
    assert_eq!(query(&mut world, &[], "").results.len(), 50);
    assert_eq!(page(&mut world, "<max>500</max>").results.len(), 100);
    for number in 0..4 {
        let body = number.to_string().repeat(200 * 1024);
        world.send(ALICE, 1, &chat(&body));
    }
    let last = page(&mut world, "<before/>");
    assert_eq!((last.results.len(), last.is_complete()), (3, false));
    let more = page(&mut world, &format!("<before>{}</before>", last.id(0)));
    assert_eq!(more.results.len(), 50, "{}", more.bodies().len());
}

#[test]
fn the_ends_of_the_archive() {
    let mut world = world(0);
    let ask_ends = |world: &mut World| {
        let answer = ask(world, &plain("get", "<metadata xmlns='urn:xmpp:mam:2'/>"));
        String::from_utf8(answer.fin().to_bytes(ns::MAM)).unwrap()
    };
    assert_eq!(ask_ends(&mut world), "<metadata/>");
    world.now = NOW + 9;
    world.send(ALICE, 1, &chat("one"));
    world.now = NOW + 19;
    world.send(ALICE, 1, &chat("two"));
    let all = query(&mut world, &[], "");
    let (first, last) = (datetime::format(NOW + 10), datetime::format(NOW + 20));
    let expected = format!(
        "<metadata><start id='{}' timestamp='{first}'/>\
         <end id='{}' timestamp='{last}'/></metadata>",
        all.id(0),
        all.id(1)
    );
    assert_eq!(ask_ends(&mut world), expected);
}
