//! The list as a whole.

use std::collections::{BTreeMap, BTreeSet};

use rookery_actors::effect::{Effect, Effects, Marks};
use rookery_actors::hub::devices::Devices;
use rookery_actors::hub::mind::Mind;
use rookery_actors::hub::stranger;
use rookery_actors::keys::AccountId;
use rookery_protocol::ns;
use rookery_protocol::stanza::Stanza;
use rookery_protocol::xml::Element;

use super::scene::{Scene, get, jid, set};
use super::*;

#[test]
fn no_two_extensions_answer_for_the_same() {
    let (mut names, mut kinds) = (BTreeSet::new(), BTreeMap::new());
    let (mut domain, mut account) = (BTreeMap::new(), BTreeMap::new());
    for extension in LIST {
        assert!(
            names.insert(extension.name),
            "{} stands twice",
            extension.name
        );
        for ns in extension.domain_namespaces {
            assert_eq!(domain.insert(ns, extension.name), None, "{ns}");
        }
        // Nodes of an account are discovered where they are (`AccountRole::answers`).
        let shared = [ns::DISCO_INFO, ns::DISCO_ITEMS];
        let own = extension.account_namespaces.iter();
        for ns in own.filter(|ns| extension.name != "pep" || !shared.contains(ns)) {
            assert_eq!(account.insert(ns, extension.name), None, "{ns}");
        }
        for kind in extension.kinds {
            assert_eq!(kinds.insert(kind, extension.name), None, "{kind:?}");
        }
    }
}

#[test]
fn who_claims_namespaces_or_kinds_has_the_role() {
    for extension in LIST {
        let name = extension.name;
        let answers_domain = !extension.domain_namespaces.is_empty();
        let answers = answers_domain || !extension.account_namespaces.is_empty();
        // Without a namespace it may do a part of what another obeys, as the message of the day.
        assert!(
            !answers || !extension.specs.is_empty(),
            "{name} obeys nothing"
        );
        let is_account = !(extension.account_namespaces.is_empty() && extension.kinds.is_empty());
        assert!(extension.domain.is_some() || !answers_domain, "{name}");
        assert!(extension.account.is_some() || !is_account, "{name}");
    }
}

#[test]
fn every_specification_stands_once_in_the_table() {
    let lines = table();
    let numbers: BTreeSet<u16> = lines.iter().map(|line| line.xep).collect();
    assert_eq!(numbers.len(), lines.len());
    assert!(LEFT_OUT.iter().all(|(xep, ..)| !numbers.contains(xep)));
    assert!(markdown().contains("| XEP-0199 | 2.0.1 | XMPP Ping | ping |\n"));
    assert_eq!(markdown().lines().count(), 2 + RFCS.len() + lines.len());
}

/// What the account alice@a.test answers, which has nothing and nobody there.
fn of_empty_account(request: &Stanza, scene: &Scene) -> Vec<Vec<u8>> {
    let (site, devices) = (&scene.site, &mut Devices::default());
    let mut mind = Mind::load(AccountId(1), jid("alice@a.test"), Vec::new(), site);
    let mut fx = scene.effects();
    mind.incoming(request.clone(), Marks::default(), devices, site, &mut fx);
    let mut said = said(&fx);
    for effect in fx.take() {
        if let Effect::Read(read) = effect {
            let mut fx = scene.effects();
            mind.read_done(*read, Vec::new(), devices, site, &mut fx);
            said.extend(self::said(&fx));
        }
    }
    said
}

fn said(fx: &Effects) -> Vec<Vec<u8>> {
    fx.routed()
        .map(|stanza| stanza.to_bytes().to_vec())
        .collect()
}

/// Attacks P01 to P04: whatever a stranger asks, he does not learn whether the account exists.
#[test]
fn an_account_with_nothing_looks_like_none() {
    let scene = Scene::new();
    let names = [
        "query",
        "vCard",
        "ping",
        "command",
        "time",
        "blocklist",
        "block",
        "prefs",
        "x",
    ];
    for namespace in LIST
        .iter()
        .flat_map(|extension| extension.account_namespaces)
    {
        for name in names {
            let empty = Element::new(*namespace, name);
            let full = empty
                .clone()
                .with_attr("node", "n")
                .with_child(Element::new("u", "a"));
            for payload in [empty, full] {
                for ask in [get, set] {
                    let request = ask("eve@evil.test/r", "alice@a.test", &payload);
                    let mut fx = scene.effects();
                    stranger::incoming(&request, &scene.site, &mut fx);
                    let nobody = said(&fx);
                    assert_eq!(nobody.len(), 1);
                    let alice = of_empty_account(&request, &scene);
                    let text = |said: &[Vec<u8>]| String::from_utf8_lossy(&said[0]).into_owned();
                    assert_eq!(text(&alice), text(&nobody), "{namespace} {name}");
                }
            }
        }
    }
}
