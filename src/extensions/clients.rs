//! XEP-0494, Client Access Management: an account's owner sees which clients have access to it,
//! and takes it from one.

use rookery_actors::admin::{Client, Command, Failure, Outcome};
use rookery_actors::effect::Effects;
use rookery_actors::extension::{AccountRole, Extension, Spec, View};
use rookery_protocol::datetime;
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::ns;
use rookery_protocol::stanza::Stanza;
use rookery_protocol::xml::Element;

use super::request::{bad_request, gets, sets, unavailable};

/// The extension.
pub const CLIENTS: Extension = Extension {
    name: "clients",
    specs: &[Spec {
        xep: 494,
        version: "0.1.0",
        title: "Client Access Management",
    }],
    account_features: &[ns::CLIENT_ACCESS],
    account_namespaces: &[ns::CLIENT_ACCESS],
    account: Some(|_| Box::new(Clients)),
    ..Extension::NONE
};

struct Clients;

impl AccountRole for Clients {
    fn iq(&mut self, request: &Stanza, payload: &Element, view: View, fx: &mut Effects) {
        let user = view.account.jid.clone();
        let command = match () {
            // Nobody else learns that there is an account.
            () if !view.is_own(request) => return fx.refuse(request, &unavailable()),
            () if gets(request, payload, "list") => Command::Clients(user),
            () if sets(request, payload, "revoke") => {
                let Some(client) = payload.attr("id") else {
                    return fx.refuse(request, &bad_request());
                };
                let client = client.to_owned();
                Command::RevokeClient { user, client }
            }
            () => return fx.refuse(request, &unavailable()),
        };
        fx.administer(request, command);
    }

    fn administered(&mut self, request: &Stanza, outcome: Outcome, _: View, fx: &mut Effects) {
        match outcome {
            Outcome::Clients(clients) => {
                let list = Element::new(ns::CLIENT_ACCESS, "clients");
                let list = list.with_children(clients.iter().map(element));
                fx.result(request, Some(list));
            }
            Outcome::Revoked {
                knows_password: false,
            } => fx.result(request, None),
            // §3.2: its tokens are void and its session ends, but what keeps it out for good is a
            // new password alone, and that must be said.
            Outcome::Revoked { .. } => {
                let detail = Element::new(ns::CLIENT_ACCESS, "password-reset-required");
                fx.refuse(request, &unavailable().with_extra(detail));
            }
            Outcome::Failed(Failure::NoClient) => {
                fx.refuse(request, &StanzaError::new(Condition::ItemNotFound));
            }
            _ => fx.refuse(request, &StanzaError::new(Condition::ResourceConstraint)),
        }
    }
}

/// `<client/>` (§3.1).
fn element(client: &Client) -> Element {
    let part = |name: &'static str| Element::new(ns::CLIENT_ACCESS, name);
    let time = |name, millis| part(name).with_text(datetime::format_seconds(millis));
    let ways = [("password", client.password), ("fast", client.token)];
    let ways = ways.into_iter().filter(|(_, it)| *it);
    let agent = [("software", &client.software), ("device", &client.device)];
    let agent = agent
        .into_iter()
        .filter_map(|(name, text)| Some(part(name).with_text(text.as_ref()?)));
    part("client")
        .with_attr("connected", client.connected.to_string())
        .with_attr("id", &client.id)
        .with_attr("type", "session")
        .with_child(time("first-seen", client.first_seen))
        .with_child(time("last-seen", client.last_seen))
        .with_child(part("auth").with_children(ways.map(|(name, _)| part(name))))
        .with_child(part("permission").with_attr("status", "unrestricted"))
        .with_child(part("user-agent").with_children(agent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extensions::scene::{
        NOW, Scene, get, only_answer, only_command, set, text, verdict,
    };
    use rookery_actors::effect::Origin;

    const ALICE: &str = "alice@a.test";
    const PHONE: &str = "alice@a.test/phone";

    fn part(name: &str) -> Element {
        Element::new(ns::CLIENT_ACCESS, name)
    }

    fn told(request: &Stanza, outcome: Outcome) -> Stanza {
        let scene = Scene::new();
        let mut fx = scene.effects();
        Clients.administered(request, outcome, scene.view(), &mut fx);
        only_answer(&fx)
    }

    #[test]
    fn the_owner_asks_and_nobody_else() {
        let scene = Scene::new();
        let ask = |request: &Stanza| scene.ask_as(&mut Clients, Origin::Elsewhere, request);
        let list = get(PHONE, ALICE, &part("list"));
        assert!(
            matches!(only_command(&ask(&list)), Command::Clients(user) if user.as_str() == ALICE)
        );
        let revoke = set(PHONE, ALICE, &part("revoke").with_attr("id", "x"));
        let Command::RevokeClient { user, client } = only_command(&ask(&revoke)) else {
            panic!("another command");
        };
        assert_eq!((user.as_str(), client.as_str()), (ALICE, "x"));
        let rows = [
            (
                get("bob@b.test/r", ALICE, &part("list")),
                "service-unavailable",
            ),
            (
                set("bob@b.test/r", ALICE, &part("revoke")),
                "service-unavailable",
            ),
            (set(PHONE, ALICE, &part("list")), "service-unavailable"),
            (set(PHONE, ALICE, &part("revoke")), "bad-request"),
        ];
        for (request, condition) in rows {
            assert_eq!(verdict(&only_answer(&ask(&request))), condition);
        }
    }

    #[test]
    fn the_list() {
        let client = Client {
            id: "c1".into(),
            connected: true,
            first_seen: 0,
            last_seen: NOW,
            password: true,
            token: true,
            software: Some("Awesome".into()),
            device: None,
        };
        let answer = told(
            &get(PHONE, ALICE, &part("list")),
            Outcome::Clients(vec![client]),
        );
        let clients = "<clients xmlns='urn:xmpp:cam:0'>\
            <client connected='true' id='c1' type='session'>\
            <first-seen>1970-01-01T00:00:00Z</first-seen>\
            <last-seen>2023-11-14T22:13:20Z</last-seen><auth><password/><fast/></auth>\
            <permission status='unrestricted'/>\
            <user-agent><software>Awesome</software></user-agent></client></clients>";
        assert!(text(&answer).contains(clients), "{}", text(&answer));
    }

    #[test]
    fn what_became_of_it() {
        let request = set(PHONE, ALICE, &part("revoke").with_attr("id", "c1"));
        let revoked = |knows_password| told(&request, Outcome::Revoked { knows_password });
        assert_eq!(verdict(&revoked(false)), "result");
        let answer = revoked(true);
        assert_eq!(verdict(&answer), "service-unavailable");
        assert!(text(&answer).contains("<password-reset-required xmlns='urn:xmpp:cam:0'/>"));
        let none = told(&request, Outcome::Failed(Failure::NoClient));
        assert_eq!(verdict(&none), "item-not-found");
        let busy = told(&request, Outcome::Failed(Failure::Busy));
        assert_eq!(verdict(&busy), "resource-constraint");
    }
}
