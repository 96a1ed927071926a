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
