//! Transcripts of RFC 6121 §4.

use rookery_protocol::subscription::Subscription;

use crate::hub::devices::DeviceId;
use crate::hub::fixture::{Heard, Scene, jid};

/// RFC 6121 §4.1: two devices, three contacts that see her.
fn juliet() -> (Scene, DeviceId, DeviceId) {
    let mut scene = Scene::new()
        .knows("romeo@example.net", Subscription::Both)
        .knows("mercutio@example.com", Subscription::From)
        .knows("benvolio@example.net", Subscription::Both)
        .knows("nurse@example.com", Subscription::To)
        .knows("paris@example.com", Subscription::None);
    let balcony = scene.online("balcony");
    let chamber = scene.online("chamber");
    (scene, balcony, chamber)
}

const SEEN_BY: [&str; 3] = [
    "romeo@example.net",
    "mercutio@example.com",
    "benvolio@example.net",
];

#[track_caller]
fn routed(heard: &Heard, expected: impl IntoIterator<Item = String>) {
    let expected: Vec<String> = expected.into_iter().collect();
    heard.routed(&expected.iter().map(String::as_str).collect::<Vec<_>>());
}

/// RFC 6121 §4.2.2: to the contacts that see her, to all own devices, probes to those she sees.
#[test]
fn initial_presence() {
    let (mut scene, balcony, chamber) = juliet();
    let hall = scene.bind("hall");
    let heard = scene.sends(hall, "<presence id='p1'/>");
    let told = SEEN_BY.map(|contact| {
        format!("<presence id='p1' from='juliet@example.com/hall' to='{contact}'/>")
    });
    let probed = [
        "romeo@example.net",
        "benvolio@example.net",
        "nurse@example.com",
    ]
    .map(|contact| {
        format!("<presence id='?' from='juliet@example.com' to='{contact}' type='probe'/>")
    });
    routed(&heard, told.into_iter().chain(probed));
    let echo = "<presence id='p1' from='juliet@example.com/hall' to='juliet@example.com'/>";
    heard.to(balcony, &[echo]).to(chamber, &[echo]);
    heard.to(
        hall,
        &[
            echo,
            "<presence from='juliet@example.com/balcony' to='juliet@example.com'/>",
            "<presence from='juliet@example.com/chamber' to='juliet@example.com'/>",
        ],
    );
    assert!(!heard.wrote);
}

/// RFC 6121 §4.4.2: no probes, no presence of the others; the full stanza.
#[test]
fn a_changed_presence() {
    let (mut scene, balcony, chamber) = juliet();
    let text = |from: &str| {
        format!(
            "<presence {from}><show>away</show><x xmlns='urn:x'>y</x><priority>5</priority>\
             </presence>"
        )
    };
    let heard = scene.sends(chamber, &text(""));
    let from = "from='juliet@example.com/chamber'";
    routed(
        &heard,
        SEEN_BY.map(|contact| text(&format!("{from} to='{contact}'"))),
    );
    let echo = text(&format!("{from} to='juliet@example.com'"));
    heard.to(balcony, &[&echo]).to(chamber, &[&echo]);
    assert_eq!(scene.devices.get(chamber).map(|it| it.priority), Some(5));
}

/// RFC 6121 §4.5.2: also to the device that said it; later presence is initial again.
#[test]
fn unavailable_presence() {
    let (mut scene, balcony, chamber) = juliet();
    let text = |from: &str| {
        format!("<presence type='unavailable' {from}><status>gone</status></presence>")
    };
    let heard = scene.sends(balcony, &text(""));
    let from = "from='juliet@example.com/balcony'";
    routed(
        &heard,
        SEEN_BY.map(|contact| text(&format!("{from} to='{contact}'"))),
    );
    let echo = text(&format!("{from} to='juliet@example.com'"));
    heard.to(balcony, &[&echo]).to(chamber, &[&echo]);
    assert!(
        scene.sends(balcony, &text("")).effects.is_empty(),
        "nobody is owed it twice"
    );
    assert_eq!(scene.sends(balcony, "<presence/>").envelopes().count(), 6);
}

/// RFC 6121 §4.5.2: the server says it for a device that could not.
#[test]
fn a_lost_device_is_unavailable() {
    let (mut scene, balcony, chamber) = juliet();
    let heard = scene.loses(balcony);
    let from = "from='juliet@example.com/balcony'";
    let told = SEEN_BY.map(|it| format!("<presence type='unavailable' {from} to='{it}'/>"));
    routed(&heard, told);
    let echo = format!("<presence type='unavailable' {from} to='juliet@example.com'/>");
    heard.to(chamber, &[&echo]);
    let never = scene.bind("hall");
    scene.loses(never).nothing();
}

/// RFC 6121 §4.6.3: whom a device sent directed presence hears when it goes, however it goes, and
/// whether or not it ever was available; who was told that it is away is not told again.
#[test]
fn directed_presence_is_taken_back() {
    let (mut scene, balcony, _) = juliet();
    let hall = scene.bind("hall");
    for device in [balcony, hall] {
        let resource = scene
            .devices
            .get(device)
            .expect("it")
            .jid
            .resource()
            .map(str::to_owned);
        let from = format!("from='juliet@example.com/{}'", resource.expect("it"));
        for to in [
            "room@muc.example.org/juliet",
            "romeo@example.net",
            "tybalt@example.com",
        ] {
            let heard = scene.sends(
                device,
                &format!("<presence to='{to}'><show>dnd</show></presence>"),
            );
            let sent = format!("<presence {from} to='{to}'><show>dnd</show></presence>");
            routed(&heard, [sent]);
        }
        let off = scene.sends(
            device,
            "<presence type='unavailable' to='tybalt@example.com'/>",
        );
        let sent = format!("<presence type='unavailable' {from} to='tybalt@example.com'/>");
        routed(&off, [sent]);
        let gone = |to: &str| format!("<presence type='unavailable' {from} to='{to}'/>");
        let heard = scene.loses(device);
        if device == balcony {
            let all = SEEN_BY.iter().chain(&["room@muc.example.org/juliet"]);
            routed(&heard, all.map(|to| gone(to)));
        } else {
            routed(
                &heard,
                ["room@muc.example.org/juliet", "romeo@example.net"].map(gone),
            );
        }
    }
}

#[test]
fn unavailable_without_having_been_available_goes_to_directed_targets_only() {
    let (mut scene, balcony, _) = juliet();
    let hall = scene.bind("hall");
    scene.sends(hall, "<presence to='romeo@example.net'/>");
    let heard = scene.sends(hall, "<presence type='unavailable'/>");
    heard
        .routed(
            &["<presence type='unavailable' from='juliet@example.com/hall'
                   to='romeo@example.net'/>"],
        )
        .to(balcony, &[]);
    scene.loses(hall).nothing();
}

/// RFC 6121 §4.6.1: an entity that is away itself is forgotten.
#[test]
fn who_is_away_is_owed_nothing() {
    let mut scene = Scene::new();
    let balcony = scene.online("balcony");
    for to in [
        "room@muc.example.org/juliet",
        "tybalt@example.com/home",
        "tybalt@example.com/work",
    ] {
        scene.sends(balcony, &format!("<presence to='{to}'/>"));
    }
    scene.receives(
        "<presence type='unavailable' from='room@muc.example.org/juliet'
         to='juliet@example.com/balcony'/>",
    );
    assert_eq!(scene.devices.get(balcony).expect("it").directed.len(), 2);
    scene.receives(
        "<presence type='unavailable' from='tybalt@example.com' to='juliet@example.com'/>",
    );
    assert!(scene.devices.get(balcony).expect("it").directed.is_empty());
}

/// RFC 6121 §4.2.3, §8.5.2.1.2, §8.5.3: to all available devices, or the one that is named.
#[test]
fn presence_of_others_is_delivered() {
    let (mut scene, balcony, chamber) = juliet();
    let hall = scene.bind("hall");
    let from = |to: &str| format!("<presence from='romeo@example.net/orchard' to='{to}'/>");
    let bare = from("juliet@example.com");
    scene
        .receives(&bare)
        .routed(&[])
        .to(balcony, &[&bare])
        .to(chamber, &[&bare])
        .to(hall, &[]);
    let full = from("juliet@example.com/hall");
    scene
        .receives(&full)
        .routed(&[])
        .to(balcony, &[])
        .to(hall, &[&full]);
    scene
        .receives(&from("juliet@example.com/nowhere"))
        .nothing();
}

#[test]
fn own_devices_may_tell_each_other() {
    let (mut scene, balcony, chamber) = juliet();
    scene
        .sends(
            balcony,
            "<presence to='juliet@example.com/chamber'><show>xa</show></presence>",
        )
        .routed(&[])
        .to(balcony, &[])
        .to(
            chamber,
            &[
                "<presence from='juliet@example.com/balcony' to='juliet@example.com/chamber'>
               <show>xa</show></presence>",
            ],
        );
    assert!(scene.devices.get(balcony).expect("it").directed.is_empty());
}

/// The server itself hears nothing, but who sent it presence shared it (RFC 6121 §8.5.3.1).
#[test]
fn presence_to_the_server_stays_here() {
    let mut scene = Scene::new();
    let balcony = scene.online("balcony");
    scene
        .sends(balcony, "<presence to='example.com'/>")
        .nothing();
    assert_eq!(
        scene.devices.get(balcony).expect("it").directed,
        [jid("example.com")]
    );
}

fn probe(from: &str, to: &str) -> String {
    format!("<presence type='probe' id='q1' from='{from}' to='{to}'/>")
}

/// A probe is answered so.
#[track_caller]
fn answers(scene: &mut Scene, (from, to): (&str, &str), answer: &str) {
    scene.receives(&probe(from, to)).routed(&[answer]);
}

/// RFC 6121 §4.3.2 rule 4, §4.3.2.1: the whole presence of each device, with its own id.
#[test]
fn a_probe_of_a_subscriber() {
    let (mut scene, balcony, _) = juliet();
    scene.sends(balcony, "<presence id='pres1'><show>dnd</show></presence>");
    for asker in ["romeo@example.net", "romeo@example.net/orchard"] {
        scene
            .receives(&probe(asker, "juliet@example.com"))
            .routed(&[
                &format!(
                    "<presence id='pres1' from='juliet@example.com/balcony' to='{asker}'>
                 <show>dnd</show></presence>"
                ),
                &format!("<presence from='juliet@example.com/chamber' to='{asker}'/>"),
            ]);
    }
    answers(
        &mut scene,
        ("romeo@example.net", "juliet@example.com/balcony"),
        "<presence from='juliet@example.com/balcony' to='romeo@example.net'/>",
    );
    answers(
        &mut scene,
        ("romeo@example.net", "juliet@example.com/hall"),
        "<presence type='unavailable' id='q1' from='juliet@example.com/hall'
         to='romeo@example.net'/>",
    );
}

/// RFC 6121 §4.3.2 rule 1, §4.6.6; attacks P05. A pre-approval stands.
#[test]
fn a_probe_of_a_stranger() {
    let (mut scene, balcony, _) = juliet();
    scene.sends(
        balcony,
        "<presence type='subscribed' to='tybalt@example.com'/>",
    );
    for asker in [
        "nurse@example.com",
        "paris@example.com",
        "tybalt@example.com",
    ] {
        for to in [
            "juliet@example.com",
            "juliet@example.com/balcony",
            "juliet@example.com/x",
        ] {
            let heard = scene.receives(&probe(asker, to));
            heard.routed(&[&format!(
                "<presence type='unsubscribed' id='q1' from='juliet@example.com' to='{asker}'/>"
            )]);
            assert!(!heard.wrote);
        }
    }
    let item = "<item jid='tybalt@example.com' subscription='none' approved='true'/>";
    scene.assert_item("tybalt@example.com", Some(item));
    scene.sends(
        balcony,
        "<presence to='tybalt@example.com/home'><show>dnd</show></presence>",
    );
    answers(
        &mut scene,
        ("tybalt@example.com/home", "juliet@example.com/balcony"),
        "<presence from='juliet@example.com/balcony' to='tybalt@example.com/home'/>",
    );
    answers(
        &mut scene,
        ("tybalt@example.com/home", "juliet@example.com"),
        "<presence type='unsubscribed' id='q1' from='juliet@example.com'
         to='tybalt@example.com/home'/>",
    );
}

#[test]
fn a_probe_from_an_own_device_or_to_another() {
    let (mut scene, balcony, _) = juliet();
    let own = [
        "<presence from='juliet@example.com/balcony' to='juliet@example.com/balcony'/>",
        "<presence from='juliet@example.com/chamber' to='juliet@example.com/balcony'/>",
    ];
    scene
        .sends(balcony, "<presence type='probe' id='q'/>")
        .routed(&[])
        .to(balcony, &own);
    let other = "<presence type='probe' id='q' to='romeo@example.net'/>";
    scene
        .sends(balcony, other)
        .routed(&["<presence type='probe' id='q'
        from='juliet@example.com/balcony' to='romeo@example.net'/>"]);
}

#[test]
fn a_priority_that_is_none_counts_as_zero_for_everybody() {
    let mut scene = Scene::new();
    let balcony = scene.bind("balcony");
    for (text, priority) in [("-128", -128), ("127", 127), (" 5 ", 5)] {
        scene.sends(
            balcony,
            &format!("<presence><priority>{text}</priority></presence>"),
        );
        assert_eq!(
            scene.devices.get(balcony).map(|it| it.priority),
            Some(priority)
        );
    }
    for text in ["128", "-129", "high", "", "1.5"] {
        let log = scene
            .sends(
                balcony,
                &format!("<presence><priority>{text}</priority><show>xa</show></presence>"),
            )
            .log();
        assert_eq!(scene.devices.get(balcony).map(|it| it.priority), Some(0));
        assert!(
            log[0].contains("<show>xa") && !log[0].contains("priority"),
            "{text}: {log:?}"
        );
    }
}

/// RFC 6121 §4.3.2 rule 3: from the bare JID, with the time; §4.3.2.1: with the probe's id.
#[test]
fn the_last_presence_outlives_the_hub() {
    let (mut scene, balcony, chamber) = juliet();
    scene.sends(chamber, "<presence type='unavailable'/>");
    assert!(scene.mind.account.last().is_none());
    scene.now = 1_031_616_107_000;
    let bye = "<presence type='unavailable'><status>bye</status></presence>";
    assert!(scene.sends(balcony, bye).wrote);
    scene.reload();
    let last = scene.mind.account.last().expect("it was written");
    assert_eq!(last.stamp, scene.now);
    let ask = probe("romeo@example.net", "juliet@example.com");
    scene.receives(&ask).routed(&[
        "<presence type='unavailable' id='q1' from='juliet@example.com' to='romeo@example.net'>
         <status>bye</status><delay xmlns='urn:xmpp:delay' stamp='2002-09-10T00:01:47Z'/>
         </presence>",
    ]);
    let balcony = scene.online("balcony");
    let long = "x".repeat(4_000);
    let bye = format!("<presence type='unavailable'><status>{long}</status></presence>");
    scene.sends(balcony, &bye);
    scene.receives(&ask).routed(&[
        "<presence type='unavailable' id='q1' from='juliet@example.com' to='romeo@example.net'>
         <delay xmlns='urn:xmpp:delay' stamp='2002-09-10T00:01:47Z'/></presence>",
    ]);
}

/// RFC 6121 §4.3.2 rule 3, of an account that was never there.
#[test]
fn a_probe_of_an_account_that_nobody_is_available_of() {
    let mut scene = Scene::new().knows("romeo@example.net", Subscription::From);
    scene.bind("balcony");
    scene.receives(&probe("romeo@example.net", "juliet@example.com")).routed(&[
        "<presence type='unavailable' id='q1' from='juliet@example.com' to='romeo@example.net'/>",
    ]);
}
