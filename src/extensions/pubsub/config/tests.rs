//! Configurations of nodes: the forms, what they change and what they refuse.

use rookery_protocol::xml::Element;
use rookery_storage::record::{Record, decode, encode};

use super::*;

const LIMIT: &Choices = &Choices {
    access: Access::ALL,
    send_last: SendLast::ALL,
    items: 10_000,
    payload: 1_000,
};

#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Row(Config);

impl Record for Row {
    const VERSION: u8 = 1;
}

fn form(fields: &[(&str, &str)]) -> Submission {
    let inside: String = fields
        .iter()
        .map(|(var, value)| format!("<field var='{var}'><value>{value}</value></field>"))
        .collect();
    let form = format!("<x xmlns='{}' type='submit'>{inside}</x>", ns::DATA_FORMS);
    Submission::read(&Element::parse(&form, "").unwrap()).unwrap()
}

/// If this fails, nodes on every disk out there can no longer be read: raise a version.
#[test]
fn golden_bytes() {
    let config = Config {
        access: Access::Whitelist,
        max_items: MAX,
        groups: vec!["g".into()],
        ..Config::default()
    };
    let golden = [
        1, 4, 0, 2, 0, 252, 255, 255, 255, 255, 1, 1, 1, 0, 0, 1, 0, 1, 0, 0, 0, 1, 1, b'g',
    ];
    assert_eq!(encode(&Row(config.clone())).unwrap(), golden);
    assert_eq!(decode::<Row>(&golden).unwrap(), Row(config));
}

#[test]
fn what_the_form_shows_can_be_sent_back_unchanged() {
    let config = Config {
        access: Access::Roster,
        groups: vec!["Friends".into(), "Kin".into()],
        max_items: MAX,
        title: "T".into(),
        ..Config::default()
    };
    let mut shown = config.form(FormKind::Form, LIMIT).to_element();
    shown.set_attr("type", "submit");
    let mut taken = Config::default();
    taken
        .take(&Submission::read(&shown).unwrap(), LIMIT)
        .unwrap();
    assert_eq!(taken, config);
}

#[test]
fn preconditions_hold_or_not() {
    let open = Config {
        access: Access::Open,
        ..Config::default()
    };
    assert!(open.meets(&form(&[("pubsub#access_model", "open")]), LIMIT));
    assert!(open.meets(&form(&[("pubsub#persist_items", "1")]), LIMIT));
    assert!(open.meets(&form(&[("pubsub#item_expire", "max")]), LIMIT));
    for unmet in [
        ("pubsub#access_model", "whitelist"),
        ("pubsub#max_items", "max"),
        ("pubsub#persist_items", "false"),
        ("pubsub#unheard_of", "1"),
        ("pubsub#item_expire", "60"),
        ("pubsub#access_model", "nonsense"),
    ] {
        assert!(!open.meets(&form(&[unmet]), LIMIT), "{unmet:?}");
    }
    let max = Config {
        max_items: MAX,
        ..open
    };
    assert!(max.meets(&form(&[("pubsub#max_items", "max")]), LIMIT));
    assert!(max.meets(&form(&[("pubsub#max_items", "10000")]), LIMIT));
}

#[test]
fn values_have_bounds_and_unknown_fields_are_passed_over() {
    let mut config = Config::default();
    for number in ["0", "10001", "-1", "many", ""] {
        let asked = form(&[("pubsub#max_items", number)]);
        assert_eq!(config.take(&asked, LIMIT), Err(Refused::Value), "{number}");
    }
    assert_eq!(
        config.take(&form(&[("pubsub#max_items", "9999")]), LIMIT),
        Ok(())
    );
    assert_eq!(config.max_items, 9_999);
    assert_eq!(
        config.take(&form(&[("pubsub#unheard_of", "1")]), LIMIT),
        Ok(())
    );
    assert_eq!(
        config.take(&form(&[("pubsub#purge_offline", "1")]), LIMIT),
        Err(Refused::Value)
    );
    let long = "x".repeat(TEXT + 1);
    assert!(
        config
            .take(&form(&[("pubsub#title", &long)]), LIMIT)
            .is_err()
    );
    assert!(
        config
            .take(&form(&[("pubsub#title", &long[1..])]), LIMIT)
            .is_ok()
    );
}
