//! Who is told what, and how often.

use super::*;
use crate::extensions::scene::{Scene, jid};
use rookery_protocol::stanza::Stanza;

fn set(scene: &Scene, occasion: Occasion, text: &str, number: u64) -> Notice {
    let notice = Notice {
        domain: "a.test".into(),
        occasion,
        text: text.into(),
        number,
    };
    scene.site.notices.set(notice.clone());
    notice
}

/// What a device hears when it comes; what is written is given to whom the role is loaded from.
fn comes(role: &mut Heard, scene: &mut Scene) -> Vec<String> {
    let device = scene.enter("r");
    let mut fx = scene.effects();
    role.available(device, true, scene.view(), &mut fx);
    scene.keep(&mut fx);
    scene.devices.remove(device);
    fx.delivered(device).collect()
}

/// The role as it is after a restart.
fn loaded(scene: &Scene) -> Heard {
    let mut role = Heard::default();
    for (_, value) in scene.read(&[scene.row(HEARD, &[])]) {
        role.load(HEARD, &[], &value);
    }
    role
}

#[test]
fn a_new_account_is_welcomed_once() {
    let mut scene = Scene::new();
    set(&scene, Occasion::Welcome, "hi", 3);
    let heard = comes(&mut Heard::default(), &mut scene);
    assert!(
        heard.len() == 1 && heard[0].contains("<body>hi</body>"),
        "{heard:?}"
    );
    assert!(heard[0].contains("type='headline'") && heard[0].contains("from='a.test'"));
    set(&scene, Occasion::Welcome, "hello", 4);
    assert!(comes(&mut loaded(&scene), &mut scene).is_empty());
}

#[test]
fn who_came_before_there_was_a_welcome_is_not_new_later() {
    let mut scene = Scene::new();
    assert!(comes(&mut Heard::default(), &mut scene).is_empty());
    set(&scene, Occasion::Welcome, "hi", 3);
    assert!(comes(&mut loaded(&scene), &mut scene).is_empty());
}

#[test]
fn a_message_of_the_day_is_told_once_until_there_is_another() {
    let mut scene = Scene::new();
    set(&scene, Occasion::Motd, "tea", 5);
    assert_eq!(comes(&mut Heard::default(), &mut scene).len(), 1);
    assert!(comes(&mut loaded(&scene), &mut scene).is_empty());
    set(&scene, Occasion::Motd, "coffee", 5);
    assert!(
        comes(&mut loaded(&scene), &mut scene).is_empty(),
        "a correction"
    );
    set(&scene, Occasion::Motd, "cake", 6);
    assert_eq!(comes(&mut loaded(&scene), &mut scene).len(), 1);
    set(&scene, Occasion::Motd, "", 7);
    assert!(
        comes(&mut loaded(&scene), &mut scene).is_empty(),
        "taken back"
    );
}

#[test]
fn a_changed_presence_is_no_occasion() {
    let mut scene = Scene::new();
    set(&scene, Occasion::Motd, "tea", 5);
    let device = scene.enter("r");
    let mut fx = scene.effects();
    loaded(&scene).available(device, false, scene.view(), &mut fx);
    assert!(fx.list().is_empty() && fx.rows.is_empty());
}

/// Shows the role what came; whether it took that for the message of the day.
fn is_marked(scene: &Scene, mut stanza: Stanza, reached: &[DeviceId]) -> bool {
    let (mut fx, mut marks) = (scene.effects(), Default::default());
    let mut pass = Pass {
        stanza: &mut stanza,
        direction: Direction::In,
        origin: fx.origin(),
        marks: &mut marks,
    };
    loaded(scene).after(&mut pass, reached, scene.view(), &mut fx);
    assert!(fx.list().is_empty(), "the engine delivers");
    let is_marked = !fx.rows.is_empty();
    scene.keep(&mut fx);
    is_marked
}

/// Who is online gets it as a message; nobody else can send one that counts.
#[test]
fn what_was_heard_at_once_is_not_told_again() {
    let mut scene = Scene::new();
    let stanza = set(&scene, Occasion::Motd, "tea", 5).stanza().unwrap();
    let device = scene.enter("r");
    assert!(!is_marked(&scene, stanza.clone(), &[]), "nobody heard it");
    let forged = stanza.clone().with_from(jid("eve@a.test/r"));
    assert!(!is_marked(&scene, forged, &[device]));
    let other = stanza.clone().with_id("notice-4");
    assert!(!is_marked(&scene, other, &[device]));
    assert!(is_marked(&scene, stanza, &[device]));
    scene.devices.remove(device);
    assert!(comes(&mut loaded(&scene), &mut scene).is_empty());
}

/// If this fails, the rows on every disk out there can no longer be read: raise a version.
#[test]
fn golden_bytes() {
    assert_eq!(encode(&HeardRow(5)).as_deref(), Ok(&[1, 5][..]));
}
