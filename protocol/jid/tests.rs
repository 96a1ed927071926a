//! The examples of RFC 7622, and addresses made to be misread.

use proptest::prelude::*;

use super::*;

fn parts(text: &str) -> (Option<String>, String, Option<String>) {
    let jid = Jid::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
    let owned = |part: Option<&str>| part.map(str::to_owned);
    (
        owned(jid.local()),
        jid.domain().to_owned(),
        owned(jid.resource()),
    )
}

/// Written, and its parts.
type Row = (
    &'static str,
    Option<&'static str>,
    &'static str,
    Option<&'static str>,
);

/// RFC 7622 §3.5, table 1.
const LEGAL: &[Row] = &[
    ("juliet@example.com", Some("juliet"), "example.com", None),
    (
        "juliet@example.com/foo",
        Some("juliet"),
        "example.com",
        Some("foo"),
    ),
    (
        "juliet@example.com/foo bar",
        Some("juliet"),
        "example.com",
        Some("foo bar"),
    ),
    (
        "juliet@example.com/foo@bar",
        Some("juliet"),
        "example.com",
        Some("foo@bar"),
    ),
    (
        "foo\\20bar@example.com",
        Some("foo\\20bar"),
        "example.com",
        None,
    ),
    (
        "fussball@example.com",
        Some("fussball"),
        "example.com",
        None,
    ),
    (
        "fu\u{df}ball@example.com",
        Some("fu\u{df}ball"),
        "example.com",
        None,
    ),
    ("\u{3c0}@example.com", Some("\u{3c0}"), "example.com", None),
    (
        "\u{3a3}@example.com/foo",
        Some("\u{3c3}"),
        "example.com",
        Some("foo"),
    ),
    (
        "\u{3c3}@example.com/foo",
        Some("\u{3c3}"),
        "example.com",
        Some("foo"),
    ),
    (
        "\u{3c2}@example.com/foo",
        Some("\u{3c2}"),
        "example.com",
        Some("foo"),
    ),
    (
        "king@example.com/\u{265a}",
        Some("king"),
        "example.com",
        Some("\u{265a}"),
    ),
    ("example.com", None, "example.com", None),
    ("example.com/foobar", None, "example.com", Some("foobar")),
    (
        "a.example.com/b@example.net",
        None,
        "a.example.com",
        Some("b@example.net"),
    ),
];

#[test]
fn the_legal_examples_of_the_specification() {
    for (text, local, domain, resource) in LEGAL {
        let wanted = (
            local.map(str::to_owned),
            (*domain).to_owned(),
            resource.map(str::to_owned),
        );
        assert_eq!(parts(text), wanted, "{text}");
    }
}

#[test]
fn the_illegal_examples_of_the_specification() {
    // RFC 7622 §3.5, table 2; and ways to leave a part empty.
    let illegal = [
        "\"juliet\"@example.com",
        "foo bar@example.com",
        "juliet@example.com/ foo",
        "@example.com/",
        "henry\u{2163}@example.com",
        "\u{265a}@example.com",
        "juliet@",
        "/foobar",
        "@a.test",
        "a@",
        "a@b@c",
        "a.test/",
        "",
        "a b",
    ];
    for text in illegal {
        assert!(Jid::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn localparts() {
    let refused = [
        "a\u{202e}b",
        "a\u{200b}b",
        "a\u{e0100}",
        "a\u{fdd0}",
        "\u{378}",
        "a\u{7f}",
    ];
    for local in refused {
        assert_eq!(prepare_local(local), Err(JidError::Local), "{local:?}");
    }
    for excluded in LOCAL_EXCLUDED {
        assert!(
            prepare_local(&format!("a{excluded}")).is_err(),
            "{excluded}"
        );
        assert!(
            prepare_local(&format!("ä{excluded}")).is_err(),
            "{excluded}"
        );
    }
    // Fullwidth forms map to the ASCII that is excluded.
    assert!(prepare_local("a\u{ff20}").is_err());
    let mapped = [
        ("\u{ff21}", "a"),
        ("ß", "ß"),
        ("ALICE", "alice"),
        ("Ä", "ä"),
        ("a\u{308}", "ä"),
        ("İ", "i\u{307}"),
        ("\u{1e9e}", "ß"),
    ];
    for (written, prepared) in mapped {
        assert_eq!(
            prepare_local(written).as_deref(),
            Ok(prepared),
            "{written:?}"
        );
    }
}

#[test]
fn domains() {
    let rows = [
        ("A.TEST", Some("a.test")),
        ("a.test.", Some("a.test")),
        ("a.test..", None),
        ("xn--example-.org", None),
        ("xn--", None),
        ("xn--a", None),
        ("a..test", None),
        ("-a.test", None),
        ("a-.test", None),
        ("ab--c.test", None),
        ("a_b.test", None),
        (".", None),
        (".test", None),
        ("[::1]", Some("[::1]")),
        ("[0:0::0:1]", Some("[::1]")),
        ("[::1", None),
        ("[127.0.0.1]", None),
        ("127.0.0.1", Some("127.0.0.1")),
        ("localhost", Some("localhost")),
        ("xn--exmple-cua.test", Some("exämple.test")),
        ("EXÄMPLE.test", Some("exämple.test")),
        ("exa\u{308}mple.test", Some("exämple.test")),
        ("ａ.ｔｅｓｔ", Some("a.test")),
        ("a。test。", Some("a.test")),
        ("faß.test", Some("faß.test")),
        ("a\u{200b}.test", Some("a.test")),
        ("a\u{202e}.test", None),
        ("a%b.test", None),
    ];
    for (written, prepared) in rows {
        assert_eq!(
            prepare_domain(written).ok().as_deref(),
            prepared,
            "{written:?}"
        );
    }
}

#[test]
fn resources() {
    let unchanged = [
        "../../x",
        "a/b@c",
        "x y",
        "\u{1f600}",
        // Of Unicode 14 and 15, which the tables may not know.
        "\u{1fae0}",
        "\u{1fae8}",
        // A family: joiners between people; a heart on fire: a variation selector too.
        "\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}",
        "\u{2764}\u{fe0f}\u{200d}\u{1f525}",
        "\u{1f44d}\u{1f3fd}",
        "\u{1f1e9}\u{1f1ea}",
        "Ünïcödé",
    ];
    for resource in unchanged {
        assert_eq!(
            prepare_resource(resource).as_deref(),
            Ok(resource),
            "{resource:?}"
        );
    }
    assert_eq!(prepare_resource("a\u{a0}b").as_deref(), Ok("a b"));
    assert_eq!(prepare_resource("a\u{308}").as_deref(), Ok("ä"));
    let refused = [
        "",
        "a\0",
        "a\n",
        "a\u{200b}",
        "a\u{202e}",
        "a\u{200d}b",
        "\u{200d}",
        "a\u{fe0f}",
        "a\u{7f}",
    ];
    for resource in refused {
        assert_eq!(
            prepare_resource(resource),
            Err(JidError::Resource),
            "{resource:?}"
        );
    }
}

#[test]
fn lengths_at_the_limit_and_one_past_it() {
    let long = "a".repeat(PART_MAX);
    let jid = Jid::new(Some(&long), "a.test", Some(&long)).unwrap();
    assert_eq!(Jid::parse(jid.as_str()).as_ref(), Ok(&jid));
    assert_eq!(
        (jid.local(), jid.resource()),
        (Some(long.as_str()), Some(long.as_str()))
    );
    assert_eq!((jid.domain(), jid.bare().resource()), ("a.test", None));
    let over = "a".repeat(PART_MAX + 1);
    assert_eq!(Jid::new(Some(&over), "a.test", None), Err(JidError::Local));
    assert_eq!(Jid::new(None, &over, None), Err(JidError::Domain));
    assert_eq!(
        Jid::new(None, "a.test", Some(&over)),
        Err(JidError::Resource)
    );
    // The limit is one of bytes, wherever a character of four stands.
    for before in 0..4 {
        let emoji = "a".repeat(before) + &"\u{1f600}".repeat(255);
        let fits = emoji.len() <= PART_MAX;
        assert_eq!(prepare_resource(&emoji).is_ok(), fits, "{}", emoji.len());
    }
    // RFC 1034 holds too.
    assert!(prepare_domain(&format!("{}.test", "a".repeat(63))).is_ok());
    assert!(prepare_domain(&format!("{}.test", "a".repeat(64))).is_err());
    assert!(prepare_domain(&"ä.".repeat(200)).is_err());
}

#[test]
fn parts_and_forms() {
    let jid = Jid::parse("Alice@A.test/Home").unwrap();
    assert_eq!(jid.as_str(), "alice@a.test/Home");
    assert_eq!(
        (jid.bare_str(), jid.bare().as_str()),
        ("alice@a.test", "alice@a.test")
    );
    assert_eq!(jid.to_domain().as_str(), "a.test");
    assert_eq!(jid.with_resource("x").unwrap().as_str(), "alice@a.test/x");
    assert!(!jid.is_bare() && jid.bare().is_bare() && jid.to_domain().is_bare());
    assert_eq!(size_of::<Option<Jid>>(), 24);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// What is prepared stays as it is.
    #[test]
    fn preparing_twice_changes_nothing(text in "\\PC{1,12}", wild in any::<String>()) {
        for text in [text, wild] {
            if let Ok(local) = prepare_local(&text) {
                prop_assert_eq!(prepare_local(&local), Ok(local.clone()));
            }
            if let Ok(domain) = prepare_domain(&text) {
                prop_assert_eq!(prepare_domain(&domain), Ok(domain.clone()));
            }
            if let Ok(resource) = prepare_resource(&text) {
                prop_assert_eq!(prepare_resource(&resource), Ok(resource.clone()));
            }
        }
    }

    #[test]
    fn an_address_parses_to_itself(text in "[a-zA-Z0-9äÄß@/.ｅ \u{1f600}\u{200d}\u{fe0f}-]{1,20}") {
        if let Ok(jid) = Jid::parse(&text) {
            prop_assert_eq!(Jid::parse(jid.as_str()), Ok(jid.clone()));
            let again = Jid::new(jid.local(), jid.domain(), jid.resource());
            prop_assert_eq!(again, Ok(jid));
        }
    }
}
