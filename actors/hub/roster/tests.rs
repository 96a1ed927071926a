//! The roster over the wire.

use rookery_protocol::roster::Item;
use rookery_protocol::subscription::Subscription;

use crate::hub::fixture::{Scene, jid, normal};

fn set(item: &str) -> String {
    format!("<iq type='set' id='s'><query xmlns='jabber:iq:roster'>{item}</query></iq>")
}

fn error(kind: &str, condition: &str, text: &str) -> String {
    let stanzas = "urn:ietf:params:xml:ns:xmpp-stanzas";
    let text = match text {
        "" => String::new(),
        text => format!("<text xmlns='{stanzas}' xml:lang='en'>{text}</text>"),
    };
    format!(
        "<iq type='error' id='s' from='juliet@example.com' to='juliet@example.com/balcony'>\
         <error type='{kind}'><{condition} xmlns='{stanzas}'/>{text}</error></iq>"
    )
}

/// RFC 6121 §2.1.4, §2.6.3: an empty roster is a `<query/>` without items, with a version.
#[test]
fn an_empty_roster_is_given_as_one() {
    let mut scene = Scene::new();
    let balcony = scene.bind("balcony");
    let heard = scene.sends(
        balcony,
        "<iq type='get' id='g'><query xmlns='jabber:iq:roster'/></iq>",
    );
    heard.routed(&[]).to(
        balcony,
        &[
            "<iq type='result' id='g' from='juliet@example.com' to='juliet@example.com/balcony'>
           <query xmlns='jabber:iq:roster' ver='0'/></iq>",
        ],
    );
    assert!(!heard.wrote);
}

/// RFC 6121 §2.3.2: a push to each device that fetched the roster, then the result.
#[test]
fn an_item_is_added() {
    let mut scene = Scene::new();
    let balcony = scene.online("balcony");
    let chamber = scene.online("chamber");
    let hall = scene.bind("hall");
    scene.sends(hall, "<presence/>");
    let item = "<item jid='nurse@example.com' name='Nurse'><group>Servants</group></item>";
    let heard = scene.sends(balcony, &set(item));
    let push = |resource: &str| {
        format!(
            "<iq to='juliet@example.com/{resource}' id='?' type='set'>
             <query xmlns='jabber:iq:roster' ver='1000000'>
             <item jid='nurse@example.com' name='Nurse' subscription='none'>
             <group>Servants</group></item></query></iq>"
        )
    };
    let result = "<iq type='result' id='s' from='juliet@example.com' \
                  to='juliet@example.com/balcony'/>";
    heard
        .routed(&[])
        .to(balcony, &[&push("balcony"), result])
        .to(chamber, &[&push("chamber")]);
    heard.to(hall, &[]);
    assert!(heard.wrote);
    scene.reload();
    let again = scene.bind("balcony");
    scene
        .sends(again, "<iq type='get' id='g'><query xmlns='jabber:iq:roster'/></iq>")
        .to(
            again,
            &["<iq type='result' id='g' from='juliet@example.com' to='juliet@example.com/balcony'>
               <query xmlns='jabber:iq:roster' ver='1000000'>
               <item jid='nurse@example.com' name='Nurse' subscription='none'>
               <group>Servants</group></item></query></iq>"],
        );
}

/// RFC 6121 §2.4: the item becomes exactly what the set says, but for its subscription.
#[test]
fn an_update_replaces_name_and_groups_and_nothing_else() {
    let mut scene = Scene::new();
    let mut item = Item::new(&jid("romeo@example.net"));
    item.name = "Romeo".into();
    item.groups = vec!["Friends".into()];
    item.subscription = Subscription::From;
    item.ask = true;
    item.approved = true;
    scene.put(&item);
    let balcony = scene.online("balcony");
    let lies = "<item jid='Romeo@Example.NET/orchard' subscription='both' approved='false'>
                <group>Lovers</group></item>";
    scene.sends(balcony, &set(lies));
    let now = "<item jid='romeo@example.net' subscription='from' ask='subscribe' approved='true'>
               <group>Lovers</group></item>";
    scene.assert_item("romeo@example.net", Some(now));
    scene.sends(balcony, &set("<item jid='romeo@example.net' name=''/>"));
    scene.reload();
    let now = "<item jid='romeo@example.net' subscription='from' ask='subscribe' approved='true'/>";
    scene.assert_item("romeo@example.net", Some(now));
}

/// RFC 6121 §2.5.2, with the order of §3.2.2: unavailable, then the cancellations, the push,
/// the result.
#[test]
fn a_removal_cancels_the_subscriptions() {
    let mut scene = Scene::new().knows("nurse@example.com", Subscription::Both);
    let balcony = scene.online("balcony");
    let heard = scene.sends(
        balcony,
        &set("<item jid='nurse@example.com' subscription='remove'/>"),
    );
    heard.routed(&[
        "<presence from='juliet@example.com/balcony' to='nurse@example.com' type='unavailable'/>",
        "<presence from='juliet@example.com' to='nurse@example.com' type='unsubscribe' id='?'/>",
        "<presence from='juliet@example.com' to='nurse@example.com' type='unsubscribed' id='?'/>",
    ]);
    heard.to(
        balcony,
        &[
            "<iq type='set' id='?' to='juliet@example.com/balcony'>
             <query xmlns='jabber:iq:roster' ver='1000000'>
             <item jid='nurse@example.com' subscription='remove'/></query></iq>",
            "<iq type='result' id='s' from='juliet@example.com' to='juliet@example.com/balcony'/>",
        ],
    );
    scene.reload();
    scene.assert_item("nurse@example.com", None);
    // Back online she is not told about.
    let balcony = scene.online("balcony");
    scene
        .sends(balcony, "<presence><show>away</show></presence>")
        .routed(&[]);
}

#[test]
fn a_removal_takes_an_open_request_with_it() {
    let mut scene = Scene::new().knows("romeo@example.net", Subscription::None);
    scene.receives("<presence type='subscribe' from='romeo@example.net' to='juliet@example.com'/>");
    let balcony = scene.online("balcony");
    scene
        .sends(
            balcony,
            &set("<item jid='romeo@example.net' subscription='remove'/>"),
        )
        .routed(
            &["<presence from='juliet@example.com' to='romeo@example.net'
                   type='unsubscribed' id='?'/>"],
        );
    scene.reload();
    assert_eq!(scene.mind.account.askers().count(), 0);
}

/// RFC 6121 §2.3.3, §2.5.3; attacks C18, C19.
#[test]
fn bad_sets_are_refused_and_change_nothing() {
    let long = "x".repeat(1025);
    let huge = "x".repeat(66_000);
    let nurse = "<item jid='nurse@example.com'>";
    let cases = [
        (
            format!("{nurse}</item>{nurse}</item>"),
            "modify",
            "bad-request",
        ),
        (String::new(), "modify", "bad-request"),
        ("<item name='nobody'/>".into(), "modify", "bad-request"),
        (
            "<item jid='@example.com'/>".into(),
            "modify",
            "jid-malformed",
        ),
        (
            format!("{nurse}<group>a</group><group>a</group></item>"),
            "modify",
            "bad-request",
        ),
        (
            format!("{nurse}<group/></item>"),
            "modify",
            "not-acceptable",
        ),
        (
            format!("{nurse}<group>{long}</group></item>"),
            "modify",
            "not-acceptable",
        ),
        (
            format!("<item jid='nurse@example.com' name='{long}'/>"),
            "modify",
            "not-acceptable",
        ),
        (
            format!("<item jid='nurse@example.com' name='{huge}'/>"),
            "wait",
            "resource-constraint",
        ),
        (
            "<item jid='juliet@example.com'/>".into(),
            "cancel",
            "not-allowed",
        ),
        (
            "<item jid='tybalt@example.com' subscription='remove'/>".into(),
            "cancel",
            "item-not-found",
        ),
    ];
    let mut scene = Scene::new().knows("romeo@example.net", Subscription::Both);
    let balcony = scene.online("balcony");
    for (item, kind, condition) in cases {
        let heard = scene.sends(balcony, &set(&item));
        let log = heard.log().concat();
        assert!(
            log.contains(&format!("<error type='{kind}'><{condition} ")),
            "{item}: {log}"
        );
        assert_eq!(heard.effects.len(), 1, "{item}");
        assert!(!heard.wrote, "{item}");
    }
    assert_eq!(scene.mind.account.roster.len(), 1);
}

#[test]
fn a_full_roster_takes_no_more_but_can_be_changed() {
    let mut scene = Scene::new();
    scene.site.settings.roster.items = 2;
    let balcony = scene.online("balcony");
    for jid in ["a@example.com", "b@example.com", "a@example.com"] {
        assert!(
            scene
                .sends(balcony, &set(&format!("<item jid='{jid}' name='x'/>")))
                .wrote
        );
    }
    let heard = scene.sends(balcony, &set("<item jid='c@example.com'/>"));
    heard.to(
        balcony,
        &[&error("wait", "resource-constraint", "the roster is full")],
    );
    for kind in ["subscribe", "subscribed"] {
        let heard = scene.sends(
            balcony,
            &format!("<presence type='{kind}' to='c@example.com' id='s'/>"),
        );
        assert!(
            heard.log().concat().contains("resource-constraint"),
            "{kind}"
        );
        assert!(!heard.wrote && heard.envelopes().count() == 0, "{kind}");
    }
}

/// RFC 6121 §2.1.5: forbidden; attacks C17: what is shaped like a push is no request.
#[test]
fn nobody_reads_or_changes_the_roster_of_another() {
    let mut scene = Scene::new().knows("romeo@example.net", Subscription::Both);
    scene.online("balcony");
    let ask = |kind: &str, item: &str| {
        format!(
            "<iq type='{kind}' id='s' from='romeo@example.net/orchard' to='juliet@example.com'>
             <query xmlns='jabber:iq:roster'>{item}</query></iq>"
        )
    };
    let cases = [
        ("get", "", "<error type='cancel'><service-unavailable "),
        (
            "set",
            "<item jid='nurse@example.com'/>",
            "<error type='auth'><forbidden ",
        ),
        (
            "set",
            "<item jid='nurse@example.com' subscription='none'/>",
            "<forbidden ",
        ),
        (
            "set",
            "<item jid='romeo@example.net' subscription='remove'/>",
            "<forbidden ",
        ),
        (
            "set",
            "<item jid='x@example.com' subscription='both'/>",
            "<service-unavailable ",
        ),
    ];
    for (kind, item, expected) in cases {
        let heard = scene.receives(&ask(kind, item));
        let log = heard.log();
        assert!(
            log.len() == 1 && log[0].contains(expected),
            "{kind} {item}: {log:?}"
        );
        assert!(
            log[0].starts_with("-> <iq from='juliet@example.com' id='s' "),
            "{log:?}"
        );
        assert!(!heard.wrote);
    }
    assert_eq!(scene.mind.account.roster.len(), 1);
}

/// RFC 6121 §2.6.3; attacks C20.
#[test]
fn who_has_the_version_gets_an_empty_result() {
    let mut scene = Scene::new().knows("romeo@example.net", Subscription::Both);
    let balcony = scene.bind("balcony");
    let get = |version: &str| {
        format!("<iq type='get' id='g'><query xmlns='jabber:iq:roster' ver='{version}'/></iq>")
    };
    let current = scene.mind.account.version();
    let empty = "<iq type='result' id='g' from='juliet@example.com' \
                 to='juliet@example.com/balcony'/>";
    scene.sends(balcony, &get(&current)).to(balcony, &[empty]);
    for version in ["", "99999999999999", "ver14", &"x".repeat(1 << 20)] {
        let log = scene.sends(balcony, &get(version)).log().concat();
        assert!(
            log.contains("<item jid='romeo@example.net'"),
            "{:.20}",
            version
        );
        assert!(log.contains(&format!("ver='{current}'")), "{:.20}", version);
    }
    // It follows the roster from now on.
    let push = scene.sends(balcony, &set("<item jid='nurse@example.com'/>"));
    assert!(push.log().concat().contains("ver='1000000'"));
}

/// The version never falls and is never used twice, whatever the clock does.
#[test]
fn every_change_has_a_version_of_its_own() {
    let mut scene = Scene::new();
    let balcony = scene.online("balcony");
    let mut versions = Vec::new();
    for (now, name) in [(5_000, "a"), (5_000, "b"), (4_000, "c"), (9_000, "d")] {
        scene.now = now;
        scene.sends(
            balcony,
            &set(&format!("<item jid='nurse@example.com' name='{name}'/>")),
        );
        versions.push(scene.mind.account.version());
    }
    assert_eq!(versions, ["5000", "5001", "5002", "9000"]);
    scene.reload();
    assert_eq!(scene.mind.account.version(), "9000");
}

/// RFC 6121 §2.1.6: answers to pushes are ignored.
#[test]
fn answers_to_pushes_go_nowhere() {
    let mut scene = Scene::new();
    let balcony = scene.online("balcony");
    scene
        .sends(balcony, "<iq type='result' id='push1'/>")
        .nothing();
    let error = "<iq type='error' id='push1'><error type='cancel'/></iq>";
    scene.sends(balcony, error).nothing();
}

#[test]
fn a_get_with_an_item_is_refused() {
    let mut scene = Scene::new();
    let balcony = scene.bind("balcony");
    let get =
        "<iq type='get' id='s'><query xmlns='jabber:iq:roster'><item jid='a@b'/></query></iq>";
    let log = scene.sends(balcony, get).log();
    assert!(
        log.len() == 1 && log[0].contains("<bad-request "),
        "{log:?}"
    );
    assert!(!normal(get).is_empty());
}
