//! What the push service says, or does not, and what comes of it.

use super::*;

#[test]
fn one_question_at_a_time_and_one_for_all_that_came_meanwhile() {
    let (mut scene, mut role) = scene();
    waits(&mut scene, &mut role);
    let first = arrives(&scene, &mut role, &message(BODY), &[0]);
    assert_eq!(pushes(&first), 1);
    for _ in 0..3 {
        assert_eq!(pushes(&arrives(&scene, &mut role, &message(BODY), &[0])), 0);
    }
    let second = answers(&scene, &mut role, &first, RESULT);
    let sent = said(&second);
    assert!(
        sent.len() == 1 && sent[0].contains("<value>4</value>"),
        "{sent:?}"
    );
    let none = answers(&scene, &mut role, &second, RESULT);
    assert!(none.list().is_empty());

    // The client was here: nothing is missed.
    scene.devices.get_mut(DeviceId(0)).unwrap().away = false;
    let mut fx = scene.effects();
    role.available(DeviceId(0), true, scene.view(), &mut fx);
    waits(&mut scene, &mut role);
    let next = arrives(&scene, &mut role, &message(BODY), &[0]);
    assert!(said(&next)[0].contains("<value>1</value>"));
}

#[test]
fn only_its_own_answer_counts() {
    let (mut scene, mut role) = scene();
    waits(&mut scene, &mut role);
    let fx = arrives(&scene, &mut role, &message(BODY), &[0]);
    let sent = fx.routed().next().unwrap();
    let forged = stanza(&error("item-not-found", "cancel"));
    for (id, from) in [(sent.id.as_deref().unwrap(), "eve@evil.test"), ("x", APP)] {
        let forged = forged.clone().with_id(id).with_from(jid(from));
        role.answered(&forged, scene.view(), &mut scene.effects());
        assert_eq!(role.services.len(), 1);
    }
}

#[test]
fn what_ends_a_service() {
    let rows = [
        ("item-not-found", "cancel", true),
        ("forbidden", "auth", true),
        ("not-authorized", "auth", true),
        ("gone", "cancel", true),
        ("not-acceptable", "modify", true),
        ("item-not-found", "wait", false),
        ("service-unavailable", "cancel", false),
        ("remote-server-not-found", "cancel", false),
        ("remote-server-timeout", "wait", false),
        ("resource-constraint", "wait", false),
        ("internal-server-error", "cancel", false),
    ];
    for (condition, kind, ends) in rows {
        let (mut scene, mut role) = scene();
        waits(&mut scene, &mut role);
        let fx = arrives(&scene, &mut role, &message(BODY), &[0]);
        let fx = answers(&scene, &mut role, &fx, &error(condition, kind));
        assert_eq!(role.services.is_empty(), ends, "{condition}");
        assert!(!fx.rows.is_empty(), "the disk knows");
    }
    assert_eq!(Verdict::of(&stanza("<iq type='error'/>")), Verdict::Fails);
    assert_eq!(Verdict::of(&stanza(RESULT)), Verdict::Works);
}

#[test]
fn sixteen_errors_in_a_row_or_as_many_silences() {
    for silent in [false, true] {
        let (mut scene, mut role) = scene();
        waits(&mut scene, &mut role);
        let busy = error("resource-constraint", "wait");
        let failure = |scene: &mut Scene, role: &mut Push| {
            let fx = arrives(scene, role, &message(BODY), &[0]);
            assert_eq!(pushes(&fx), 1);
            if silent {
                scene.now += 60_000;
                role.woken(scene.view(), &mut scene.effects());
            } else {
                answers(scene, role, &fx, &busy);
            }
        };
        (0..15).for_each(|_| failure(&mut scene, &mut role));
        let fx = arrives(&scene, &mut role, &message(BODY), &[0]);
        answers(&scene, &mut role, &fx, RESULT);
        (0..15).for_each(|_| failure(&mut scene, &mut role));
        assert_eq!(role.services.len(), 1);
        failure(&mut scene, &mut role);
        assert!(role.services.is_empty());
    }
}

/// A service that is asked by a clock that is set back then, by little or much, is given up too.
#[test]
fn the_clock_may_be_set_back() {
    for back in [2, 3_600_000] {
        let (mut scene, mut role) = scene();
        waits(&mut scene, &mut role);
        arrives(&scene, &mut role, &message(BODY), &[0]);
        let asked = scene.now;
        let mut waited = scene.site.settings.push.timeout.as_millis() as Millis + 1;
        scene.now -= back;
        while role.services[0].asked.is_some() {
            scene.now += waited;
            let mut fx = scene.effects();
            role.woken(scene.view(), &mut fx);
            assert!(scene.now < asked + 120_000, "it is not looked at in time");
            let Some(Effect::Wake(_, next)) = fx.list().last() else {
                break;
            };
            waited = next.as_millis() as Millis;
        }
        assert_eq!(role.services[0].service.errors, 1);
    }
}
