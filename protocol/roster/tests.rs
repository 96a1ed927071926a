//! Roster sets as RFC 6121 §2.3.3 refuses them, limits at their edge and one past it, and the
//! packed form against a plain map.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::error::ErrorType;
use crate::subscription::{Direction, Request, step};

const SMALL: Limits = Limits {
    items: 3,
    groups: 2,
    name: 8,
    item: 100,
};

fn jid(text: &str) -> Jid {
    Jid::parse(text).expect("an address")
}

fn parse(inner: &str, limits: &Limits) -> Result<Edit, StanzaError> {
    let query = Element::parse(inner, ns::ROSTER).expect("XML");
    Edit::parse(&query, &jid("juliet@example.com"), limits)
}

fn set(item: &str) -> Result<Edit, StanzaError> {
    parse(&format!("<query>{item}</query>"), &Limits::default())
}

fn refused(item: &str) -> Condition {
    set(item).expect_err("refused").condition
}

fn saved(item: &str) -> Item {
    match set(item) {
        Ok(Edit::Save(item)) => item,
        other => panic!("not saved: {other:?}"),
    }
}

fn groups(count: usize) -> String {
    (0..count).map(|n| format!("<group>g{n}</group>")).collect()
}

#[test]
fn roster_sets_that_are_refused() {
    let a = |n| "a".repeat(n);
    let table = [
        ("".to_owned(), Condition::BadRequest),
        (
            "<item jid='a@x'/><item jid='b@x'/>".to_owned(),
            Condition::BadRequest,
        ),
        ("<item name='a'/>".to_owned(), Condition::BadRequest),
        (
            "<item jid='a@x'><group>g</group><group>g</group></item>".to_owned(),
            Condition::BadRequest,
        ),
        ("<item jid='a@@x'/>".to_owned(), Condition::JidMalformed),
        ("<item jid=''/>".to_owned(), Condition::JidMalformed),
        (
            "<item jid='@x' subscription='remove'/>".to_owned(),
            Condition::JidMalformed,
        ),
        (
            "<item jid='juliet@example.com'/>".to_owned(),
            Condition::NotAllowed,
        ),
        (
            "<item jid='JULIET@example.com/r'/>".to_owned(),
            Condition::NotAllowed,
        ),
        (
            "<item jid='a@x'><group/></item>".to_owned(),
            Condition::NotAcceptable,
        ),
        (
            format!("<item jid='a@x' name='{}'/>", a(1025)),
            Condition::NotAcceptable,
        ),
        (
            format!("<item jid='a@x'><group>{}</group></item>", a(1025)),
            Condition::NotAcceptable,
        ),
        (
            format!("<item jid='a@x'><group>{}</group></item>", a(10_240)),
            Condition::NotAcceptable,
        ),
        (
            format!("<item jid='a@x'>{}</item>", groups(33)),
            Condition::NotAcceptable,
        ),
        (
            format!("<item jid='a@x'>{}</item>", groups(300)),
            Condition::NotAcceptable,
        ),
        (
            format!("<item jid='a@x' name='{}'/>", a(65_536)),
            Condition::ResourceConstraint,
        ),
    ];
    for (item, wanted) in table {
        assert_eq!(refused(&item), wanted, "{:.60}", item);
    }
}

#[test]
fn the_kind_of_each_refusal() {
    let kind = |item: &str| set(item).expect_err("refused").kind;
    assert_eq!(kind("<item jid='a@x'><group/></item>"), ErrorType::Modify);
    assert_eq!(kind(""), ErrorType::Modify);
    assert_eq!(kind("<item jid='juliet@example.com'/>"), ErrorType::Cancel);
    let big = format!("<item jid='a@x' name='{}'/>", "a".repeat(65_536));
    assert_eq!(kind(&big), ErrorType::Wait);
}

#[test]
fn roster_sets_at_their_limits_are_taken() {
    let name = "é".repeat(512);
    let item = saved(&format!(
        "<item jid='a@x' name='{name}'>{}</item>",
        groups(32)
    ));
    assert_eq!((item.name, item.groups.len()), (name, 32));
    let group = "g".repeat(1024);
    assert_eq!(
        saved(&format!("<item jid='a@x'><group>{group}</group></item>")).groups,
        [group]
    );
    let at = parse("<query><item jid='a@x' name='12345678'/></query>", &SMALL);
    assert!(at.is_ok());
    let past = parse("<query><item jid='a@x' name='1234567é'/></query>", &SMALL);
    assert_eq!(
        past.expect_err("nine bytes").condition,
        Condition::NotAcceptable
    );
}

#[test]
fn what_a_client_may_not_say_is_ignored() {
    let item = saved(
        "<item jid='Nurse@Example.com/ward' name='Nurse' subscription='both' ask='subscribe' \
         approved='true'><group>Servants</group><x xmlns='urn:other'/></item>",
    );
    let wanted = Item {
        name: "Nurse".to_owned(),
        groups: vec!["Servants".to_owned()],
        ..Item::new(&jid("nurse@example.com"))
    };
    assert_eq!(item, wanted);
    assert_eq!(saved("<item jid='a@x' name=''/>").name, "");
    assert_eq!(
        saved("<item jid='transport.example.com'/>").jid,
        jid("transport.example.com")
    );
}

#[test]
fn a_removal_needs_no_more_than_the_address() {
    let edit = set("<item jid='a@x/r' subscription='remove'><group/><group/></item>");
    assert_eq!(edit.expect("fine"), Edit::Remove(jid("a@x")));
}

#[test]
fn a_roster_get_has_no_items() {
    let get = |text| parse_get(&Element::parse(text, ns::ROSTER).expect("XML"));
    assert_eq!(get("<query/>").expect("fine"), None);
    assert_eq!(get("<query ver=''/>").expect("fine").as_deref(), Some(""));
    assert_eq!(get("<query ver='7'/>").expect("fine").as_deref(), Some("7"));
    let error = get("<query><item jid='a@x'/></query>").expect_err("an item");
    assert_eq!(error.condition, Condition::BadRequest);
}

#[test]
fn an_edit_keeps_the_subscription_and_replaces_the_rest() {
    let mut roster = Roster::new();
    let mut old = Item::new(&jid("romeo@example.net"));
    old.groups = vec!["Friends".to_owned()];
    old.apply(&step(
        State::From,
        true,
        Direction::Outbound,
        Request::Subscribe,
    ));
    roster.put(&old);
    let edit = set("<item jid='romeo@example.net' name='R'/>").expect("fine");
    let Ok(Edit::Save(new)) = roster.admit(edit, &Limits::default()) else {
        panic!("saved")
    };
    assert_eq!(new.state(false), State::FromPendingOut);
    assert!(new.approved && new.groups.is_empty() && new.name == "R");
}

#[test]
fn a_full_roster_takes_changes_but_no_more_items() {
    let names = ["a@x", "b@x", "c@x"];
    let mut roster: Roster = names.iter().map(|name| Item::new(&jid(name))).collect();
    let before = roster.clone();
    let save = |name: &str| Edit::Save(Item::new(&jid(name)));
    let error = roster.admit(save("d@x"), &SMALL).expect_err("full");
    assert_eq!(
        (error.condition, error.kind),
        (Condition::ResourceConstraint, ErrorType::Wait)
    );
    assert_eq!(roster, before);
    assert!(roster.admit(save("b@x"), &SMALL).is_ok());
    assert!(roster.check_room(&jid("c@x/r"), &SMALL).is_ok());
    roster.remove("a@x");
    assert!(roster.admit(save("d@x"), &SMALL).is_ok());
    let error = roster
        .admit(Edit::Remove(jid("a@x")), &SMALL)
        .expect_err("gone");
    assert_eq!(error.condition, Condition::ItemNotFound);
}

#[test]
fn items_are_written_as_the_rfc_shows_them() {
    let mut item = Item::new(&jid("romeo@example.net"));
    let text = |element: Element| String::from_utf8(element.to_bytes(ns::ROSTER)).expect("UTF-8");
    let parsed = |text: &str| Element::parse(text, ns::ROSTER).expect("XML");
    assert_eq!(
        parsed(&text(item.to_element())),
        parsed("<item jid='romeo@example.net' subscription='none'/>")
    );
    item.apply(&step(
        State::None,
        false,
        Direction::Outbound,
        Request::Subscribe,
    ));
    item.approved = true;
    item.name = "R & <'\">".to_owned();
    item.groups = vec!["Friends".to_owned(), "a<b".to_owned()];
    assert_eq!(
        parsed(&text(item.to_element())),
        parsed(
            "<item jid='romeo@example.net' name='R &amp; &lt;&apos;&quot;&gt;' subscription='none' \
         ask='subscribe' approved='true'><group>Friends</group><group>a&lt;b</group></item>"
        )
    );
    let push = push_element(removed_element(&jid("a@x/r")), "v7");
    assert_eq!(
        parsed(&text(push)),
        parsed("<query ver='v7'><item jid='a@x' subscription='remove'/></query>")
    );
}

#[test]
fn a_hundred_contacts_cost_a_few_kilobytes_and_none_cost_nothing() {
    assert_eq!(Roster::new().size(), 0);
    let contact = |n: usize| Item {
        name: format!("Somebody {n}"),
        subscription: Subscription::Both,
        groups: vec!["Friends".to_owned()],
        ..Item::new(&jid(&format!("somebody{n}@example.com")))
    };
    let roster: Roster = (0..100).map(contact).collect();
    assert_eq!(roster.len(), 100);
    assert!(roster.size() < 6 * 1024, "{} bytes", roster.size());
    let mut one_by_one = Roster::new();
    (0..100).for_each(|n| one_by_one.put(&contact(n)));
    assert!(one_by_one.size() < 6 * 1024, "{} bytes", one_by_one.size());
    (0..100).for_each(|n| assert!(one_by_one.remove(&format!("somebody{n}@example.com"))));
    assert_eq!((one_by_one.size(), one_by_one.len()), (0, 0));
}

#[test]
fn the_last_of_two_rows_counts() {
    let mut newer = Item::new(&jid("a@x"));
    newer.name = "newer".to_owned();
    let rows = [
        Item::new(&jid("a@x")),
        Item::new(&jid("b@x")),
        newer.clone(),
    ];
    let roster: Roster = rows.into_iter().collect();
    assert_eq!(roster.len(), 2);
    assert_eq!(
        roster
            .get("a@x")
            .expect("there")
            .to_item()
            .expect("an address"),
        newer
    );
}

fn any_item() -> impl Strategy<Value = Item> {
    let text = "[a-zäü🙂<&'\" ]{0,40}";
    let subscription = prop::sample::select(vec![
        Subscription::None,
        Subscription::To,
        Subscription::From,
        Subscription::Both,
    ]);
    let groups = prop::collection::vec("[a-zü🙂<&\" ]{1,40}", 0..5);
    (
        0..12u8,
        text,
        subscription,
        any::<bool>(),
        any::<bool>(),
        groups,
    )
        .prop_map(|(n, name, subscription, ask, approved, groups)| {
            let jid = jid(&format!(
                "contact{n}@{}",
                "example.".repeat(n.into()) + "org"
            ));
            Item {
                jid,
                name,
                subscription,
                ask,
                approved,
                groups,
            }
        })
}

fn any_edits() -> impl Strategy<Value = Vec<(Item, bool)>> {
    prop::collection::vec((any_item(), any::<bool>()), 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_packed_roster_is_a_map(edits in any_edits()) {
        let mut roster = Roster::new();
        let mut map = BTreeMap::new();
        for (item, put) in edits {
            let bare = item.jid.as_str().to_owned();
            if put {
                roster.put(&item);
                map.insert(bare, item);
            } else {
                prop_assert_eq!(roster.remove(&bare), map.remove(&bare).is_some());
            }
            prop_assert_eq!(roster.len(), map.len());
            let found: BTreeMap<String, Item> = roster
                .iter()
                .map(|entry| (entry.jid().to_owned(), entry.to_item().expect("an address")))
                .collect();
            prop_assert_eq!(&found, &map);
        }
        for (bare, item) in &map {
            let entry = roster.get(bare).expect("there");
            prop_assert_eq!(entry.to_element(), item.to_element());
        }
        let again: Roster = map.into_values().collect();
        prop_assert_eq!(again.len(), roster.len());
    }

    #[test]
    fn the_written_query_is_the_tree(items in prop::collection::vec(any_item(), 0..8)) {
        let roster: Roster = items.into_iter().collect();
        let mut out = Vec::new();
        roster.write_query("a<'7", &mut out);
        let text = String::from_utf8(out).expect("UTF-8");
        let read = Element::parse(&text, ns::CLIENT).expect("XML");
        prop_assert_eq!(read, roster.to_element("a<'7"));
    }
}
