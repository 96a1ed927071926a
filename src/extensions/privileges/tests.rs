//! What is granted is done for the accounts of the component's domain, and for nobody else's.

use super::*;
use crate::extensions::scene::{Scene, jid, text, verdict};
use rookery_protocol::negotiation::component::Secret;

/// Alice on a.test with a device, and a component with these rights.
fn scene(component: &str, rights: &str) -> Scene {
    let scene = Scene::of(&[0]);
    let secret = Secret::new("s").unwrap();
    let component = Component::new(component.into(), secret, rights.into());
    assert!(scene.site.components.put(component));
    scene
}

fn request(from: &str, kind: IqType) -> Stanza {
    let query = Element::new(ns::ROSTER, "query");
    let request = Stanza::iq(kind, "r").with_from(jid(from));
    request.with_to(jid("alice@a.test")).with_child(&query)
}

#[test]
fn rosters_of_its_own_domain_only_and_as_itself_only() {
    let rows = [
        ("irc.a.test", "roster=get", "irc.a.test", Some(true)),
        ("irc.a.test", "roster=set", "irc.a.test", Some(false)),
        ("irc.a.test", "", "irc.a.test", Some(false)),
        ("irc.a.test", "roster=both", "x@irc.a.test", None),
        ("irc.b.test", "roster=both", "irc.b.test", None),
        ("irc.a.test", "roster=both", "bob@a.test", None),
        ("irc.a.test", "roster=both", "far.test", None),
        // Below none of them: of the first.
        ("irc.test", "roster=both", "irc.test", Some(true)),
    ];
    for (name, rights, from, may) in rows {
        let scene = scene(name, rights);
        let role = Privileges::default();
        let told = role.may_manage(&request(from, IqType::Get), scene.view());
        assert_eq!(told, may, "{name} {rights} {from}");
    }
}

/// A question of alice's to another server.
fn wrapped() -> Element {
    let inner = "<iq xmlns='jabber:client' type='get' id='in' to='far.test'>\
                 <q xmlns='urn:x'/></iq>";
    let text = format!("<privileged_iq xmlns='{NS}'>{inner}</privileged_iq>");
    Element::parse(&text, ns::CLIENT).unwrap()
}

#[test]
fn the_answer_to_an_iq_goes_to_who_asked_and_nobody_can_make_one_up() {
    let scene = scene("irc.a.test", "iq:urn:x=get");
    let mut role = Privileges::default();
    let payload = wrapped();
    let asked = Stanza::iq(IqType::Get, "out").with_from(jid("irc.a.test"));
    let asked = asked.with_to(jid("alice@a.test")).with_child(&payload);
    let mut fx = scene.effects();
    role.iq(&asked, &payload, scene.view(), &mut fx);
    let sent = fx.routed().next().unwrap().clone();
    assert_eq!(sent.from, Some(jid("alice@a.test")));
    assert_eq!(sent.to, Some(jid("far.test")));
    // Somebody guesses the id that the component gave.
    let guess = Stanza::iq(IqType::Result, "in").with_from(jid("far.test"));
    let mut fx = scene.effects();
    role.answered(&guess, scene.view(), &mut fx);
    assert!(fx.list().is_empty());
    let answer = sent.result_reply(None);
    role.answered(&answer, scene.view(), &mut fx);
    let told = fx.routed().next().unwrap();
    assert_eq!(told.to, Some(jid("irc.a.test")));
    assert_eq!(told.id.as_deref(), Some("out"));
    assert!(text(told).contains("id='in'"), "{}", text(told));
    assert!(role.waiting.is_empty());
}

#[test]
fn what_is_never_answered_is_refused_in_the_end() {
    let mut scene = scene("irc.a.test", "iq:urn:x=get");
    let mut role = Privileges::default();
    let payload = wrapped();
    let asked = Stanza::iq(IqType::Get, "out").with_from(jid("irc.a.test"));
    let asked = asked.with_to(jid("alice@a.test")).with_child(&payload);
    for _ in 0..WAITING {
        let mut fx = scene.effects();
        role.iq(&asked, &payload, scene.view(), &mut fx);
        assert_eq!(fx.routed().next().map(verdict), Some("get"));
    }
    let mut fx = scene.effects();
    role.iq(&asked, &payload, scene.view(), &mut fx);
    assert_eq!(fx.routed().next().map(verdict), Some("resource-constraint"));
    scene.now += PATIENCE.as_millis() as u64;
    let mut fx = scene.effects();
    role.woken(scene.view(), &mut fx);
    let told: Vec<_> = fx.routed().map(verdict).collect();
    assert_eq!(told, vec!["remote-server-timeout"; WAITING]);
}

/// What alice asks in a namespace that is delegated, and what the component is asked of it.
fn diverted(scene: &Scene, namespace: &str, from: &str) -> Option<(Stanza, Stanza)> {
    let query = Element::new(namespace, "query");
    let request = Stanza::iq(IqType::Get, "q").with_from(jid(from));
    let request = request.with_to(jid("alice@a.test")).with_child(&query);
    let mut fx = scene.effects();
    let taken = Privileges::default().diverts(&request, scene.view(), &mut fx);
    let asked = fx.routed().next().cloned();
    assert_eq!(taken, asked.is_some());
    Some((request, asked?))
}

/// The answer of a component, in which the inner IQ has these attributes.
fn answer(asked: &Stanza, inner: &str) -> Stanza {
    let text = format!(
        "<delegation xmlns='{}'><forwarded xmlns='{}'><iq xmlns='jabber:client' {inner}>\
         <query xmlns='urn:x'/></iq></forwarded></delegation>",
        delegation::NS,
        ns::FORWARD
    );
    asked.result_reply(Some(Element::parse(&text, ns::CLIENT).unwrap()))
}

#[test]
fn what_is_delegated_and_nothing_else_is_answered_by_the_component() {
    let scene = scene("irc.a.test", "delegate:urn:x");
    let (request, asked) = diverted(&scene, "urn:x", "alice@a.test/r0").unwrap();
    assert_eq!(asked.from, Some(jid("a.test")));
    assert_eq!(asked.to, Some(jid("irc.a.test")));
    assert!(
        text(&asked).contains("from='alice@a.test/r0'"),
        "{}",
        text(&asked)
    );
    assert!(diverted(&scene, "urn:y", "alice@a.test/r0").is_none());
    // §4.3.1: it asks itself nothing.
    assert!(diverted(&scene, "urn:x", "irc.a.test").is_none());
    // Somebody else answers, with the right id.
    let good = answer(&asked, "type='result' id='q' to='alice@a.test/r0'");
    let mut fx = scene.effects();
    Domain.answered(
        &good.clone().with_from(jid("x@irc.a.test")),
        &scene.site,
        &mut fx,
    );
    assert!(fx.list().is_empty());
    Domain.answered(&good, &scene.site, &mut fx);
    let told = fx.routed().next().unwrap().clone();
    assert_eq!((&told.to, &told.from), (&request.from, &request.to));
    assert_eq!(verdict(&told), "result");
    assert!(told.has("urn:x", "query"));
    // Once.
    let mut fx = scene.effects();
    Domain.answered(&good, &scene.site, &mut fx);
    assert!(fx.list().is_empty());
}

#[test]
fn an_answer_that_is_none_is_not_passed_on() {
    let scene = scene("irc.a.test", "delegate:urn:x");
    let rows = [
        "type='result' id='q' to='alice@a.test/r1'",
        "type='result' id='other' to='alice@a.test/r0'",
        "type='error' id='q' to='alice@a.test/r0'",
        "type='set' id='q' to='alice@a.test/r0'",
        "type='result' id='q' to='alice@a.test/r0' from='bob@a.test'",
        "type='result' id='q'",
    ];
    for inner in rows {
        let (_, asked) = diverted(&scene, "urn:x", "alice@a.test/r0").unwrap();
        let mut fx = scene.effects();
        Domain.answered(&answer(&asked, inner), &scene.site, &mut fx);
        let told = fx.routed().next().unwrap();
        assert_eq!(verdict(told), "service-unavailable", "{inner}");
        assert_eq!(told.to, Some(jid("alice@a.test/r0")));
    }
    // So is a component that is away, which the Link says by an error.
    let (_, asked) = diverted(&scene, "urn:x", "alice@a.test/r0").unwrap();
    let error = StanzaError::new(Condition::ServiceUnavailable);
    let mut fx = scene.effects();
    Domain.answered(&asked.error_reply(&error).unwrap(), &scene.site, &mut fx);
    assert_eq!(fx.routed().next().map(verdict), Some("service-unavailable"));
}
