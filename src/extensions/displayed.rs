//! XEP-0490, Message Displayed Synchronization: the server's help (§3.4). A message that tells a
//! contact how far the user has read may tell the user's own devices too: the server takes that
//! part out and publishes it.

use rookery_actors::effect::Effects;
use rookery_actors::extension::{AccountRole, Direction, Extension, Pass, Spec, View};
use rookery_actors::site::random_id;
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::{IqType, Stanza};
use rookery_protocol::xml::Element;

/// The namespace of what was displayed, and the node it is published at.
const NS: &str = "urn:xmpp:mds:displayed:0";

/// The extension.
pub const DISPLAYED: Extension = Extension {
    name: "displayed",
    specs: &[Spec {
        xep: 490,
        version: "1.0.1",
        title: "Message Displayed Synchronization",
    }],
    account_features: &["urn:xmpp:mds:server-assist:0"],
    account: Some(|_| Box::new(Displayed)),
    ..Extension::NONE
};

struct Displayed;

impl AccountRole for Displayed {
    /// Before it is kept or copied (§4.2), and for any recipient: the id in it is nobody else's
    /// business (§6).
    fn stamp(&mut self, pass: &mut Pass, view: View, fx: &mut Effects) {
        let said = match pass.direction {
            Direction::Out => pass.stanza.child(NS, "displayed"),
            Direction::In => None,
        };
        let Some(said) = said else { return };
        pass.stanza
            .retain_children(|child| child.ns != NS || child.name != "displayed");
        if let Some(chat) = &pass.stanza.to {
            fx.route(publication(&view.account.jid, chat, said));
        }
    }
}

/// The account asks itself, as any of its devices could. The node is configured as the
/// specification of its name wants it, or as its owner did. The answer concerns nobody: a client
/// that must know publishes by itself. It has a frame of its own, as a publication reads what it
/// replaces and the message does not wait for that: a crash between the two leaves what was read
/// unsaid until the next message that says it.
fn publication(own: &Jid, chat: &Jid, displayed: Element) -> Stanza {
    let item = Element::new(ns::PUBSUB, "item")
        .with_attr("id", chat.as_str())
        .with_child(displayed);
    let publish = Element::new(ns::PUBSUB, "publish")
        .with_attr("node", NS)
        .with_child(item);
    Stanza::iq(IqType::Set, random_id())
        .with_from(own.clone())
        .with_to(own.clone())
        .with_child(&Element::new(ns::PUBSUB, "pubsub").with_child(publish))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extensions::scene::{Passage, Scene};

    fn passed(mut passage: Passage, scene: &Scene) -> (String, Vec<Stanza>) {
        passage.show(|pass, fx| Displayed.stamp(pass, scene.view(), fx));
        let text = passage.text();
        (text, passage.fx.routed().cloned().collect())
    }

    fn marker(attributes: &str) -> String {
        format!(
            "<message {attributes}><displayed xmlns='urn:xmpp:chat-markers:0' id='m'/>\
             <displayed xmlns='{NS}'><stanza-id xmlns='urn:xmpp:sid:0' by='alice@a.test' id='7'/>\
             </displayed></message>"
        )
    }

    #[test]
    fn what_is_for_the_own_devices_goes_no_further() {
        let scene = Scene::of(&[0]);
        for (to, id) in [
            ("to='bob@b.test'", "bob@b.test"),
            // A private message in a room (§3.1); whatever it says is taken literally.
            ("to='room@rooms.test/bob'", "room@rooms.test/bob"),
        ] {
            let (text, asked) = passed(Passage::outgoing(&scene, &marker(to)), &scene);
            assert!(
                text.contains("chat-markers") && !text.contains(NS),
                "{text}"
            );
            let [asked] = &asked[..] else {
                panic!("{asked:?}")
            };
            assert_eq!((&asked.from, &asked.to), (&asked.to, &asked.from));
            let publish = asked.payload().unwrap();
            let publish = publish.child(ns::PUBSUB, "publish").unwrap();
            let item = publish.child(ns::PUBSUB, "item").unwrap();
            assert_eq!(
                (publish.attr("node"), item.attr("id")),
                (Some(NS), Some(id))
            );
            let said = item.child(NS, "displayed").unwrap();
            assert_eq!(
                said.child("urn:xmpp:sid:0", "stanza-id")
                    .unwrap()
                    .attr("id"),
                Some("7")
            );
        }
    }

    #[test]
    fn nobody_else_publishes_here() {
        let scene = Scene::of(&[0]);
        let from_bob = marker("from='bob@b.test/r' to='alice@a.test'");
        let (text, asked) = passed(Passage::incoming(&scene, &from_bob), &scene);
        assert!(text.contains(NS) && asked.is_empty());
        let plain = "<message to='bob@b.test'><body>x</body></message>";
        assert!(
            passed(Passage::outgoing(&scene, plain), &scene)
                .1
                .is_empty()
        );
    }
}
