//! Who gets a message, and what a stranger hears.

use rookery_protocol::subscription::Subscription;

use crate::effect::{Effect, Keep};
use crate::hub::fixture::{Scene, stanza};
use crate::hub::mind::tests::WITNESS;
use crate::site::Site;

const STANZAS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";

fn message(kind: &str, to: &str) -> String {
    let kind = if kind == "normal" {
        String::new()
    } else {
        format!("type='{kind}'")
    };
    format!(
        "<message id='m' {kind} from='romeo@example.net/orchard' to='{to}'>\
         <body>x</body></message>"
    )
}

fn bounce(to: &str) -> String {
    format!(
        "<message id='m' type='error' from='{to}' to='romeo@example.net/orchard'>\
         <error type='cancel'><service-unavailable xmlns='{STANZAS}'/></error></message>"
    )
}

/// What becomes of a message: names of the devices that get it, `error`, `kept` or nothing.
fn outcome(scene: &mut Scene, kind: &str, to: &str) -> String {
    let text = message(kind, to);
    let heard = scene.receives(&text);
    let log = heard.log();
    if log.is_empty() {
        return if heard.wrote {
            "kept".into()
        } else {
            "dropped".into()
        };
    }
    if log[0].starts_with("->") {
        heard.routed(&[&bounce(to)]);
        return "error".into();
    }
    let Some(Effect::Deliver { devices, .. }) = heard.effects.first() else {
        panic!("{log:?}")
    };
    for device in devices {
        heard.to(*device, &[&text]);
    }
    let names = devices
        .iter()
        .map(|id| scene.devices.get(*id).expect("it").jid.resource());
    names
        .map(|it| it.expect("full"))
        .collect::<Vec<_>>()
        .join(" ")
}

/// RFC 6121 §8.5.4, table 1, by the choices that `protocol::delivery` states.
#[test]
fn delivery_by_type_address_and_audience() {
    let kinds = ["normal", "chat", "groupchat", "headline", "error"];
    let (bare, full, none) = (
        "juliet@example.com",
        "juliet@example.com/low",
        "juliet@example.com/none",
    );
    let low = "low";
    type Row<'a> = (&'a [(&'a str, i8)], &'a str, [&'a str; 5]);
    let rows: [Row; 11] = [
        (&[], bare, ["kept", "kept", "error", "dropped", "dropped"]),
        (&[], none, ["error", "kept", "error", "dropped", "dropped"]),
        (
            &[(low, -1)],
            bare,
            ["kept", "kept", "error", "dropped", "dropped"],
        ),
        (&[(low, -1)], full, [low; 5]),
        (
            &[(low, -1)],
            none,
            ["error", "kept", "error", "dropped", "dropped"],
        ),
        (&[(low, 0)], bare, [low, low, "error", low, "dropped"]),
        (&[(low, 0)], full, [low; 5]),
        (
            &[(low, 0)],
            none,
            ["error", low, "error", "dropped", "dropped"],
        ),
        (
            &[(low, -1), ("a", 0), ("b", 9)],
            bare,
            ["a b", "a b", "error", "a b", "dropped"],
        ),
        (&[(low, -1), ("a", 0), ("b", 9)], full, [low; 5]),
        (
            &[(low, -1), ("a", 0), ("b", 9)],
            none,
            ["error", "a b", "error", "dropped", "dropped"],
        ),
    ];
    for (devices, to, expected) in rows {
        for (kind, expected) in kinds.iter().zip(expected) {
            let mut scene = Scene::with(WITNESS);
            for (resource, priority) in devices {
                let device = scene.bind(resource);
                scene.sends(
                    device,
                    &format!("<presence><priority>{priority}</priority></presence>"),
                );
            }
            assert_eq!(
                outcome(&mut scene, kind, to),
                expected,
                "{kind} to {to}, {devices:?}"
            );
        }
    }
}

#[test]
fn a_connected_device_that_is_not_available_is_reached_by_its_name_only() {
    let mut scene = Scene::with(WITNESS);
    scene.bind("low");
    assert_eq!(outcome(&mut scene, "chat", "juliet@example.com/low"), "low");
    assert_eq!(outcome(&mut scene, "chat", "juliet@example.com"), "kept");
}

/// RFC 6121 §8.5.2.2.1; a full queue is a matter of time.
#[test]
fn what_nobody_keeps_goes_back() {
    let mut scene = Scene::new();
    assert_eq!(outcome(&mut scene, "chat", "juliet@example.com"), "error");
    let mut scene = Scene::with(WITNESS);
    let full = "<message id='m' from='romeo@example.net/orchard' to='juliet@example.com'>\
                <full xmlns='urn:witness'/></message>";
    let full = scene.receives(full).log();
    assert!(
        full.len() == 1 && full[0].contains("<resource-constraint "),
        "{full:?}"
    );
}

#[test]
fn errors_are_never_answered() {
    let mut scene = Scene::new();
    for to in [
        "juliet@example.com",
        "juliet@example.com/none",
        "example.com",
    ] {
        scene.receives(&message("error", to)).nothing();
    }
    let balcony = scene.online("balcony");
    for to in ["juliet@example.com", "example.com"] {
        let text = format!("<message type='error' to='{to}'><error type='cancel'/></message>");
        scene.sends(balcony, &text).nothing();
    }
}

/// RFC 6120 §10.3.1: as if to the own bare JID; carried by the same Hub.
#[test]
fn a_message_without_to_is_for_oneself() {
    let mut scene = Scene::new();
    let balcony = scene.online("balcony");
    let chamber = scene.online("chamber");
    let heard = scene.sends(balcony, "<message type='chat'><body>note</body></message>");
    let note = "<message type='chat' from='juliet@example.com/balcony' to='juliet@example.com'>\
                <body>note</body></message>";
    heard.routed(&[]).to(balcony, &[note]).to(chamber, &[note]);
    let to_chamber = "<message to='juliet@example.com/chamber'><body>x</body></message>";
    scene.sends(balcony, to_chamber).to(balcony, &[]).to(
        chamber,
        &[
            "<message from='juliet@example.com/balcony' to='juliet@example.com/chamber'>
           <body>x</body></message>",
        ],
    );
}

#[test]
fn a_message_to_others_goes_on_with_its_marks_and_receipt() {
    let mut scene = Scene::with(WITNESS);
    let balcony = scene.online("balcony");
    let heard = scene.sends(
        balcony,
        "<message type='chat' to='romeo@example.net'><body>x</body></message>",
    );
    heard.routed(&[
        "<message type='chat' from='juliet@example.com/balcony' to='romeo@example.net'>
                    <body>x</body></message>",
    ]);
    let envelope = heard.envelopes().next().expect("one");
    assert!(envelope.marks.lasting && envelope.marks.kept.is_none());
    assert_eq!(envelope.rows.len(), 1, "the row of the sender travels");
    assert_eq!(envelope.marks.stamp, scene.now);
    assert!(!heard.wrote);
}

#[test]
fn a_kept_message_is_delivered_with_its_row_and_must_last() {
    let mut scene = Scene::with(WITNESS);
    scene.online("balcony");
    let heard = scene.receives(&message("chat", "juliet@example.com"));
    assert!(heard.lasting && heard.wrote);
    let Some(Effect::Deliver {
        keep: Keep::Archived(kept),
        ..
    }) = heard.effects.first()
    else {
        panic!("{:?}", heard.log());
    };
    assert_eq!(kept, b"kept");
    let heard = scene.receives(
        "<message from='romeo@example.net/orchard' to='juliet@example.com'>
         <composing xmlns='http://jabber.org/protocol/chatstates'/></message>",
    );
    assert!(!heard.lasting && !heard.wrote);
}

#[test]
fn a_message_to_the_server_is_refused() {
    let mut scene = Scene::new();
    let balcony = scene.online("balcony");
    let heard = scene.sends(
        balcony,
        "<message id='m' to='example.com'><body>x</body></message>",
    );
    heard.routed(&[]).to(
        balcony,
        &[&format!(
            "<message id='m' type='error' from='example.com' to='juliet@example.com/balcony'>
             <error type='cancel'><service-unavailable xmlns='{STANZAS}'/></error></message>"
        )],
    );
}

/// Attacks C24.
#[test]
fn strangers_are_written_to_so_many_times_a_minute() {
    let mut scene = Scene::new().knows("nurse@example.com", Subscription::None);
    scene.site.settings.limits.strangers_per_minute = 3;
    let balcony = scene.online("balcony");
    scene.now = 1_000_000;
    scene.sends(balcony, "<presence to='room@muc.example.org/juliet'/>");
    let write = |n: u32| format!("<message id='m' to='u{n}@example.com'><body>x</body></message>");
    for n in 0..2 {
        assert_eq!(scene.sends(balcony, &write(n)).envelopes().count(), 1);
    }
    scene.sends(balcony, "<presence type='subscribe' to='u9@example.com'/>");
    let refused = scene.sends(balcony, &write(3)).log();
    assert!(
        refused[0].starts_with("1: <message from='u3@example.com' id='m' "),
        "{refused:?}"
    );
    assert!(
        refused[0].contains("<error type='wait'><policy-violation "),
        "{refused:?}"
    );
    let refused = scene
        .sends(balcony, "<presence type='subscribe' to='u8@example.com'/>")
        .log();
    assert!(
        refused[0].contains("<error type='wait'><policy-violation "),
        "{refused:?}"
    );
    for free in [
        "<message to='nurse@example.com'/>",
        "<message to='juliet@example.com'/>",
        "<message to='room@muc.example.org' type='groupchat'/>",
        "<message to='room@muc.example.org/romeo'/>",
        "<message to='u4@example.com' type='error'/>",
        "<presence to='u4@example.com'/>",
        "<iq to='u5@example.com' type='get' id='i'><x xmlns='urn:x'/></iq>",
    ] {
        let log = scene.sends(balcony, free).log().concat();
        assert!(!log.contains("policy-violation"), "{free}");
    }
    scene.now += 20_000;
    assert_eq!(scene.sends(balcony, &write(5)).envelopes().count(), 1);
    scene.devices.get_mut(balcony).expect("it").trusted = true;
    assert!((0..100).all(|n| scene.sends(balcony, &write(n)).envelopes().count() == 1));
}

/// Attacks P01 to P06: byte for byte; what would be kept is dropped without a word.
#[test]
fn a_stranger_is_answered_like_an_account_with_nothing() {
    let from = "romeo@example.net/orchard";
    let roster = |item: &str| format!("<query xmlns='jabber:iq:roster'>{item}</query>");
    let payloads = [
        "<query xmlns='http://jabber.org/protocol/disco#info'/>".to_owned(),
        "<x xmlns='urn:x'/>".to_owned(),
        roster(""),
        roster("<item jid='a@b'/>"),
        roster("<item jid='a@b' subscription='both'/>"),
    ];
    let mut asked = Vec::new();
    for to in ["juliet@example.com", "juliet@example.com/guess"] {
        for kind in ["get", "set"] {
            let iqs = payloads.iter();
            asked.extend(
                iqs.map(|it| format!("<iq type='{kind}' id='i' from='{from}' to='{to}'>{it}</iq>")),
            );
        }
        for kind in ["result", "error"] {
            asked.push(format!(
                "<iq type='{kind}' id='i' from='{from}' to='{to}'/>"
            ));
        }
        let probes = [
            "probe",
            "unavailable",
            "subscribed",
            "unsubscribe",
            "unsubscribed",
            "error",
        ];
        asked.extend(
            probes.map(|kind| format!("<presence type='{kind}' id='i' from='{from}' to='{to}'/>")),
        );
        asked.push(format!("<presence from='{from}' to='{to}'/>"));
        asked.extend(["headline", "error", "groupchat"].map(|kind| message(kind, to)));
    }
    let answers = |site: &Site, text: &str| {
        let mut scene = Scene::new();
        let known = scene.receives(text).log();
        let unknown = scene.decides(|_, _, _, fx| {
            crate::hub::stranger::incoming(&stanza(text), site, fx);
        });
        (known, unknown.log())
    };
    let site = Scene::new().site;
    for text in asked {
        let (known, unknown) = answers(&site, &text);
        assert_eq!(known, unknown, "{text}");
    }
    for kind in ["normal", "chat"] {
        let (_, unknown) = answers(&site, &message(kind, "juliet@example.com"));
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}
