//! Phases, extensions, IQs and rows.

use std::cell::RefCell;

use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::jid::Jid;
use rookery_protocol::stanza::Stanza;
use rookery_protocol::subscription::Subscription;
use rookery_protocol::xml::Element;
use rookery_storage::Tree;

use crate::admin::{Command, Outcome};
use crate::effect::{Effect, Effects, Query, Row};
use crate::extension::{AccountRole, Direction, DomainRole, Extension, Kept, List, Pass, View};
use crate::hub::devices::DeviceId;
use crate::hub::fixture::{Scene, jid, stanza};
use crate::keys::{self, Kind};
use crate::site::Site;

/// An extension that writes down what it is called with, and does what stanzas ask it for.
pub const WITNESS: List = &[&Extension {
    name: "witness",
    domain_namespaces: &["urn:witness"],
    account_namespaces: &["urn:witness", "urn:witness:2"],
    kinds: &[ITS_KIND],
    account: Some(|_: &Site| Box::new(Witness)),
    domain: Some(&Witness),
    ..Extension::NONE
}];

const ITS_KIND: Kind = Kind(0x20);

thread_local! {
    static CALLS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

fn calls() -> Vec<String> {
    CALLS.take()
}

fn note(call: impl Into<String>) {
    CALLS.with_borrow_mut(|calls| calls.push(call.into()));
}

struct Witness;

impl Witness {
    fn phase(name: &str, pass: &Pass) {
        let way = if pass.direction == Direction::Out {
            "out"
        } else {
            "in"
        };
        note(format!("{name} {way}"));
    }
}

impl AccountRole for Witness {
    fn load(&mut self, kind: Kind, rest: &[u8], value: &[u8]) {
        note(format!("load {} {rest:?} {value:?}", kind.0));
    }

    fn iq(&mut self, request: &Stanza, payload: &Element, view: View, fx: &mut Effects) {
        note(format!(
            "iq {} own {}",
            payload.name(),
            view.is_own(request)
        ));
        match payload.name() {
            "read" => fx.read(request, 3, vec![Query::Get(Tree::Archive, b"k".to_vec())]),
            "order" => fx.administer(request, Command::Status),
            "wake" => fx.wake(std::time::Duration::from_secs(1)),
            _ => fx.result(request, None),
        }
    }

    fn read_done(
        &mut self,
        step: u32,
        request: Option<&Stanza>,
        rows: Vec<Row>,
        _: View,
        fx: &mut Effects,
    ) {
        note(format!("read_done {step} {} rows", rows.len()));
        fx.result(request.expect("it asked"), None);
    }

    fn administered(&mut self, request: &Stanza, _: Outcome, _: View, fx: &mut Effects) {
        note("administered");
        fx.result(request, None);
    }

    fn woken(&mut self, _: View, _: &mut Effects) {
        note("woken");
    }

    fn admit(&mut self, pass: &mut Pass, _: View, _: &mut Effects) -> Result<(), StanzaError> {
        Witness::phase("admit", pass);
        match pass.stanza.has("urn:witness", "refuse") {
            true => Err(StanzaError::new(Condition::NotAcceptable)),
            false => Ok(()),
        }
    }

    fn stamp(&mut self, pass: &mut Pass, _: View, _: &mut Effects) {
        Witness::phase("stamp", pass);
    }

    fn keep(&mut self, pass: &mut Pass, view: View, fx: &mut Effects) {
        Witness::phase("keep", pass);
        if pass.stanza.has("jabber:client", "body") {
            let key = keys::row(view.account.id, ITS_KIND, b"1");
            fx.travelling.put(Tree::Account, key, b"v");
            pass.marks.lasting = true;
            pass.marks.kept = Some(b"kept".to_vec());
        }
    }

    fn copy(&mut self, pass: &mut Pass, _: View, _: &mut Effects) {
        Witness::phase("copy", pass);
    }

    fn after(&mut self, pass: &mut Pass, reached: &[DeviceId], _: View, _: &mut Effects) {
        Witness::phase(&format!("after {}", reached.len()), pass);
    }

    fn undelivered(&mut self, pass: &mut Pass, _: View, _: &mut Effects) -> Kept {
        Witness::phase("undelivered", pass);
        match pass.stanza.has("urn:witness", "full") {
            true => Kept::Full,
            false => Kept::Yes,
        }
    }

    fn returned(&mut self, kept: &[Vec<u8>], _: View, _: &mut Effects) {
        note(format!("returned {}", kept.len()));
    }

    fn available(&mut self, device: DeviceId, initial: bool, view: View, _: &mut Effects) {
        let there = view.devices.get(device).is_some_and(|it| it.available());
        note(format!("available {initial} {there}"));
    }

    fn unavailable(&mut self, device: DeviceId, status: &str, _: View, _: &mut Effects) {
        note(format!("unavailable {} {status}", device.0));
    }

    fn gone(&mut self, device: DeviceId, _: View, _: &mut Effects) {
        note(format!("gone {}", device.0));
    }

    fn hides_from(&self, contact: &Jid) -> bool {
        contact.bare_str() == "tybalt@example.com"
    }
}

impl DomainRole for Witness {
    fn iq(&self, request: &Stanza, payload: &Element, _: &Site, fx: &mut Effects) {
        note(format!("domain iq {}", payload.name()));
        match payload.name() {
            "order" => fx.administer(request, Command::Status),
            _ => fx.result(request, None),
        }
    }

    fn administered(&self, request: &Stanza, _: Outcome, _: &Site, fx: &mut Effects) {
        note("domain administered");
        fx.result(request, None);
    }
}

fn ask(name: &str, to: &str) -> String {
    let to = if to.is_empty() {
        String::new()
    } else {
        format!("to='{to}'")
    };
    format!("<iq type='get' id='i' {to}><{name} xmlns='urn:witness'/></iq>")
}

fn result(from: &str) -> String {
    format!("<iq type='result' id='i' from='{from}' to='juliet@example.com/balcony'/>")
}

fn online() -> (Scene, DeviceId) {
    let mut scene = Scene::with(WITNESS);
    let balcony = scene.online("balcony");
    calls();
    (scene, balcony)
}

#[test]
fn a_message_passes_the_phases_once_each_way() {
    let (mut scene, balcony) = online();
    scene.sends(balcony, "<message to='romeo@example.net'/>");
    assert_eq!(calls(), ["admit out", "stamp out", "keep out", "copy out"]);
    scene.receives("<message from='romeo@example.net' to='juliet@example.com'/>");
    assert_eq!(
        calls(),
        ["admit in", "stamp in", "keep in", "copy in", "after 1 in"]
    );
    scene.sends(balcony, "<message/>");
    assert_eq!(
        calls()[..5],
        ["admit out", "stamp out", "keep out", "copy out", "admit in"]
    );
    scene.sends(balcony, "<presence><show>xa</show></presence>");
    assert_eq!(
        calls(),
        [
            "admit out",
            "stamp out",
            "keep out",
            "copy out",
            "available false true"
        ]
    );
    scene.receives("<presence from='romeo@example.net/o' to='juliet@example.com'/>");
    assert_eq!(
        calls(),
        ["admit in", "stamp in", "keep in", "copy in", "after 1 in"]
    );
    scene.receives("<iq type='get' id='i' from='romeo@example.net/o' to='juliet@example.com'/>");
    assert_eq!(calls(), ["admit in"]);
    scene.loses(balcony);
    assert_eq!(calls(), ["unavailable 1 ", "gone 1"]);
    scene.receives("<message from='romeo@example.net' to='juliet@example.com'/>");
    let kept = [
        "admit in",
        "stamp in",
        "keep in",
        "copy in",
        "undelivered in",
        "after 0 in",
    ];
    assert_eq!(calls(), kept);
    scene.receives("<message type='groupchat' from='romeo@example.net' to='juliet@example.com'/>");
    assert_eq!(calls(), ["admit in"], "what is refused is not kept");
    scene.receives("<message type='headline' from='romeo@example.net' to='juliet@example.com'/>");
    assert_eq!(calls(), ["admit in"], "what is dropped is not kept");
}

#[test]
fn a_refusal_is_told_of_messages_and_iqs_and_not_of_presence() {
    let (mut scene, balcony) = online();
    let no = "<refuse xmlns='urn:witness'/>";
    let to = "to='romeo@example.net' id='i'";
    for (text, answered) in [
        (format!("<message {to}>{no}</message>"), true),
        (format!("<iq type='get' {to}>{no}</iq>"), true),
        (format!("<presence {to}>{no}</presence>"), false),
        (
            format!("<presence type='subscribe' {to}>{no}</presence>"),
            false,
        ),
        (format!("<message type='error' {to}>{no}</message>"), false),
        (format!("<iq type='result' {to}>{no}</iq>"), false),
    ] {
        let heard = scene.sends(balcony, &text);
        let log = heard.log();
        assert_eq!(log.len(), usize::from(answered), "{text}: {log:?}");
        assert!(
            log.iter()
                .all(|it| it.starts_with("1: ") && it.contains("<not-acceptable "))
        );
        let from = text.replace(
            to,
            "from='romeo@example.net' to='juliet@example.com' id='i'",
        );
        let log = scene.receives(&from).log();
        assert_eq!(log.len(), usize::from(answered), "{from}: {log:?}");
        assert!(
            log.iter()
                .all(|it| it.starts_with("-> ") && it.contains("<not-acceptable "))
        );
    }
    assert!(scene.devices.get(balcony).expect("it").directed.is_empty());
}

#[test]
fn an_extension_answers_at_the_bare_jid_and_without_to() {
    let (mut scene, balcony) = online();
    for to in ["", "juliet@example.com"] {
        let heard = scene.sends(balcony, &ask("ping", to));
        heard
            .routed(&[])
            .to(balcony, &[&result("juliet@example.com")]);
        assert_eq!(calls()[2..], ["iq ping own true"]);
        assert_eq!(
            scene.mind.answerer(&stanza(&ask("ping", to)), &scene.site),
            Some(0)
        );
    }
    let other = ask("ping", "juliet@example.com").replace("id=", "from='r@example.net/o' id=");
    scene
        .receives(&other)
        .routed(&["<iq type='result' id='i' from='juliet@example.com' to='r@example.net/o'/>"]);
    assert_eq!(calls(), ["admit in", "iq ping own false"]);
    for unknown in [
        "<iq type='get' id='i'><x xmlns='urn:x'/></iq>",
        "<iq type='result' id='i'><ping xmlns='urn:witness'/></iq>",
        "<iq type='get' id='i' to='romeo@example.net'><ping xmlns='urn:witness'/></iq>",
        "<iq type='get' id='i' to='example.com'><ping xmlns='urn:witness'/></iq>",
        "<iq type='get' id='i' to='juliet@example.com/x'><ping xmlns='urn:witness'/></iq>",
    ] {
        assert_eq!(
            scene.mind.answerer(&stanza(unknown), &scene.site),
            None,
            "{unknown}"
        );
    }
}

#[test]
fn what_an_extension_asked_for_comes_back_to_it() {
    let (mut scene, balcony) = online();
    let heard = scene.sends(balcony, &ask("read", ""));
    let Some(Effect::Read(read)) = heard.effects.into_iter().next() else {
        panic!("no read")
    };
    assert_eq!((read.extension, read.step, read.stops), (0, 3, false));
    let row = (b"k".to_vec(), b"v".to_vec());
    let heard = scene
        .decides(|mind, devices, site, fx| mind.read_done(*read, vec![row], devices, site, fx));
    heard.routed(&[&result("juliet@example.com")]);
    for (to, expected) in [
        ("juliet@example.com", "administered"),
        ("example.com", "domain administered"),
    ] {
        let heard = scene.sends(balcony, &ask("order", to));
        let Some(Effect::Administer(order)) = heard.effects.into_iter().next() else {
            panic!("no order");
        };
        calls();
        let heard = scene.decides(|mind, devices, site, fx| {
            mind.administered(*order, Outcome::Done, devices, site, fx)
        });
        heard.routed(&[&result(to)]);
        assert_eq!(calls(), [expected]);
    }
    scene.decides(|mind, devices, site, fx| mind.woken(0, devices, site, fx));
    scene.decides(|mind, devices, site, fx| mind.woken(9, devices, site, fx));
    scene.decides(|mind, devices, site, fx| mind.returned(vec![vec![1]], devices, site, fx));
    assert_eq!(calls(), ["woken", "returned 1"]);
}

/// Attacks C12; RFC 6120 §10.5.
#[test]
fn the_domain_answers_what_its_extensions_know() {
    let (mut scene, balcony) = online();
    scene
        .sends(balcony, &ask("ping", "example.com"))
        .to(balcony, &[&result("example.com")]);
    assert_eq!(calls(), ["admit out", "domain iq ping"]);
    let error = |from: &str| {
        format!(
            "<iq type='error' id='i' from='{from}' to='juliet@example.com/balcony'>
             <error type='cancel'>
             <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
        )
    };
    for (text, from) in [
        (ask("ping", "example.com/x"), "example.com/x"),
        (
            ask("ping", "capulet.example").replace("urn:witness", "urn:x"),
            "capulet.example",
        ),
        (
            ask("ping", "").replace("urn:witness", "urn:x"),
            "juliet@example.com",
        ),
        (
            ask("ping", "juliet@example.com/none"),
            "juliet@example.com/none",
        ),
    ] {
        scene
            .sends(balcony, &text)
            .routed(&[])
            .to(balcony, &[&error(from)]);
    }
    scene
        .sends(balcony, "<iq type='result' id='i' to='example.com'/>")
        .nothing();
    // The domain's own Hub says the same to others.
    let from = |text: &str| text.replace("<iq", "<iq from='r@example.net/o'");
    let site = Scene::with(WITNESS).site;
    let asked = stanza(&from(&ask("ping", "example.com")));
    scene
        .decides(|_, _, _, fx| crate::hub::server::incoming(&asked, &site, fx))
        .routed(&["<iq type='result' id='i' from='example.com' to='r@example.net/o'/>"]);
    let presence = stanza("<presence type='probe' from='r@example.net' to='example.com'/>");
    scene
        .decides(|_, _, _, fx| crate::hub::server::incoming(&presence, &site, fx))
        .nothing();
}

/// RFC 6121 §8.5.3.1; attacks C13, C16, P06.
#[test]
fn an_iq_reaches_a_device_of_who_shares_presence() {
    let mut scene = Scene::new()
        .knows("from@example.com", Subscription::From)
        .knows("both@example.net", Subscription::Both)
        .knows("to@example.com", Subscription::To)
        .knows("none@example.com", Subscription::None);
    let balcony = scene.online("balcony");
    scene.sends(balcony, "<presence to='room@muc.example.org/juliet'/>");
    let iq = |kind: &str, from: &str, payload: &str| {
        format!(
            "<iq type='{kind}' id='i' from='{from}' to='juliet@example.com/balcony'>{payload}</iq>"
        )
    };
    let ping = "<ping xmlns='urn:xmpp:ping'/>";
    for (from, reaches) in [
        ("from@example.com/x", true),
        ("both@example.net/x", true),
        ("room@muc.example.org/romeo", true),
        ("juliet@example.com/chamber", true),
        ("example.com", true),
        ("rooms.example.com", true),
        ("to@example.com/x", false),
        ("none@example.com/x", false),
        ("stranger@example.com/x", false),
        ("room@rooms.example.com/x", false),
        ("example.net", false),
    ] {
        let text = iq("get", from, ping);
        let heard = scene.receives(&text);
        match reaches {
            true => _ = heard.routed(&[]).to(balcony, &[&text]),
            false => {
                let guess = text.replace("/balcony", "/guess");
                let (here, nowhere) = (heard.log(), scene.receives(&guess).log());
                assert_eq!(here[0].replace("/balcony", "/guess"), nowhere[0]);
                assert!(here[0].contains("<service-unavailable "), "{here:?}");
            }
        }
        for kind in ["result", "error"] {
            let answer = iq(kind, from, "");
            scene.receives(&answer).routed(&[]).to(balcony, &[&answer]);
        }
    }
    let push =
        "<query xmlns='jabber:iq:roster'><item jid='evil@a.test' subscription='both'/></query>";
    let log = scene.receives(&iq("set", "both@example.net/x", push)).log();
    assert!(
        log.len() == 1 && log[0].contains("<service-unavailable "),
        "{log:?}"
    );
}

#[test]
fn a_hidden_contact_neither_sees_nor_reaches_anybody() {
    let (mut scene, balcony) = {
        let mut scene = Scene::with(WITNESS).knows("tybalt@example.com", Subscription::Both);
        let balcony = scene.online("balcony");
        (scene, balcony)
    };
    scene
        .sends(balcony, "<presence><show>xa</show></presence>")
        .routed(&[]);
    scene.sends(balcony, "<presence to='tybalt@example.com/x'/>");
    let log = scene
        .receives(
            "<presence type='probe' id='q' from='tybalt@example.com' to='juliet@example.com'/>",
        )
        .log();
    assert!(
        log.len() == 1 && log[0].contains("type='unsubscribed'"),
        "{log:?}"
    );
    scene.loses(balcony).routed(&[]);
}

#[test]
fn rows_come_back_to_whom_they_belong() {
    let mut scene = Scene::with(WITNESS).knows("romeo@example.net", Subscription::Both);
    scene.online("balcony");
    scene.receives(
        "<message from='romeo@example.net' to='juliet@example.com'><body>x</body></message>",
    );
    let key = keys::row(scene.mind.account.id, Kind(0x21), b"of nobody");
    scene.decides(|_, _, _, fx| fx.put(Tree::Account, key, vec![1]));
    let broken = keys::row(scene.mind.account.id, Kind::CONTACT, b"nurse@example.com");
    scene.decides(|_, _, _, fx| fx.put(Tree::Account, broken, vec![9, 9]));
    calls();
    scene.reload();
    assert_eq!(calls(), ["load 32 [49] [118]"]);
    assert_eq!(
        scene.mind.account.subscription(&jid("romeo@example.net/x")),
        Subscription::Both
    );
    assert!(!scene.mind.account.is_contact(&jid("nurse@example.com")));
    assert_eq!(
        scene.rows().len(),
        5,
        "what cannot be read stays where it is"
    );
}
