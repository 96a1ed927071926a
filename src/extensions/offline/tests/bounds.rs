//! How much may wait, and how long.

use super::*;

/// attacks A22: the flood stops, and contacts still get through.
#[test]
fn strangers_fill_half() {
    let mut scene = Scene::of(&[]);
    scene.site.settings.offline.messages = 4;
    let mut role = Offline::default();
    let mut send = |from: &str| {
        scene.now += 1;
        let mut passage = message(&scene, from, "<body>x</body>", true);
        (undelivered(&mut role, &scene, &mut passage), passage)
    };
    let verdicts = ["eve@x.test/1", "eve@x.test/2", "mallory@y.test"].map(|from| send(from).0);
    assert_eq!(verdicts, [Kept::Yes, Kept::Yes, Kept::Full]);
    let verdicts = ["bob@b.test", "alice@a.test/r9", "bob@b.test"].map(|from| send(from).0);
    assert_eq!(verdicts, [Kept::Yes, Kept::Yes, Kept::Full]);
    let key = archive_key(MessageId::new(1));
    let mut passage = message(&scene, "bob@b.test", "<body>x</body>", true);
    passage.marks.kept = Some(key.clone());
    assert_eq!(undelivered(&mut role, &scene, &mut passage), Kept::Full);
    let mut rows = Frame::new();
    rows.delete(Tree::Archive, key);
    assert!(passage.fx.rows == rows, "no archive shows what was refused");
    assert!(passage.marks.kept.is_none());
}

#[test]
fn bytes_have_a_bound_too() {
    let mut scene = Scene::of(&[]);
    let mut role = Offline::default();
    let mut passage = message(&scene, "bob@b.test", "<body>x</body>", true);
    let size = passage.stanza.wire_len() as u64;
    scene.site.settings.offline.size = rookery_config::Size::bytes(size);
    assert_eq!(undelivered(&mut role, &scene, &mut passage), Kept::Yes);
    let mut passage = message(&scene, "bob@b.test", "<body>x</body>", true);
    assert_eq!(undelivered(&mut role, &scene, &mut passage), Kept::Full);
}

#[test]
fn what_waited_too_long_is_forgotten_and_makes_room() {
    let mut scene = Scene::of(&[0]);
    scene.site.settings.offline.messages = 1;
    let mut role = Offline::default();
    let old = waits(&mut role, &scene);
    scene.now += 30 * DAY;
    let mut passage = message(&scene, "bob@b.test", "<body>x</body>", true);
    assert_eq!(
        undelivered(&mut role, &scene, &mut passage),
        Kept::Full,
        "not yet"
    );
    scene.now += 1;
    let fx = available(&mut role, &scene, DeviceId(0));
    let mut rows = Frame::new();
    rows.delete(Tree::Account, mark_of(&old));
    assert!(fx.rows == rows && reads(&fx).is_none());
    let mut passage = message(&scene, "bob@b.test", "<body>x</body>", true);
    assert_eq!(undelivered(&mut role, &scene, &mut passage), Kept::Yes);
}
