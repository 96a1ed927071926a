//! XEP-0283, Moved: who asks for a subscription from a new address and can prove that he had one at
//! his old address gets it, and the old address loses it.
//!
//! The proof is a statement that the old account publishes; the account asks for it in its own name
//! (§4.4). Until the answer is there the request is kept, but not shown. Without an answer in time,
//! or after a restart, it is a request like any other.

use std::time::Duration;

use rookery_actors::effect::{Effects, Millis};
use rookery_actors::extension::{AccountRole, Extension, Spec, View};
use rookery_actors::site::random_id;
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::{IqType, Kind, Stanza};
use rookery_protocol::subscription::{Request, Subscription};
use rookery_protocol::xml::Element;
use smol_str::SmolStr;

/// The namespace of statements and notifications, and the node of the former.
const NS: &str = "urn:xmpp:moved:1";
/// How many statements one account waits for at once; requests beyond that are like any other.
const QUESTIONS: usize = 20;
/// How long it waits for one.
const PATIENCE: Duration = Duration::from_secs(30);

/// The extension.
pub const MOVED: Extension = Extension {
    name: "moved",
    specs: &[Spec {
        xep: 283,
        version: "0.2.0",
        title: "Moved",
    }],
    account: Some(|_| Box::new(Moved::default())),
    ..Extension::NONE
};

/// The statements that an account waits for.
#[derive(Default)]
struct Moved {
    questions: Vec<Question>,
}

struct Question {
    id: SmolStr,
    old: Jid,
    /// The request from the new address, as it came.
    request: Stanza,
    since: Millis,
}

impl AccountRole for Moved {
    fn withholds(&mut self, request: &Stanza, view: View, fx: &mut Effects) -> bool {
        let Some((new, old)) = notified(request) else {
            return false;
        };
        // §4.3: only who sees the account's presence already can move.
        if old == new || !view.account.shares_presence_with(&old) {
            return false;
        }
        let mut asked = self.questions.iter_mut();
        if let Some(question) = asked.find(|it| it.old == old && it.from() == Some(new.clone())) {
            question.request = request.clone();
            return true;
        }
        if self.questions.len() >= QUESTIONS {
            return false;
        }
        let id = random_id();
        fx.route(ask(&id, &view.account.jid, &old));
        fx.wake(PATIENCE);
        self.questions.push(Question {
            id,
            old,
            request: request.clone(),
            since: fx.now,
        });
        true
    }

    fn answered(&mut self, answer: &Stanza, view: View, fx: &mut Effects) {
        let is_answer = |it: &Question| {
            answer.id.as_ref() == Some(&it.id) && answer.from.as_ref() == Some(&it.old)
        };
        let Some(at) = self.questions.iter().position(is_answer) else {
            return;
        };
        let question = self.questions.swap_remove(at);
        let new = question.from();
        let old = view.account.subscription(&question.old);
        // The roster may have changed since.
        let sees = matches!(old, Subscription::From | Subscription::Both);
        match stated(answer).filter(|it| sees && Some(it) == new.as_ref()) {
            Some(new) => {
                fx.say(Request::Subscribed, new.clone());
                fx.say(Request::Unsubscribed, question.old);
                if old == Subscription::Both {
                    fx.say(Request::Subscribe, new);
                }
            }
            None => question.show(view, fx),
        }
    }

    fn woken(&mut self, view: View, fx: &mut Effects) {
        // The clock on the wall may lag behind the timer.
        let patience = PATIENCE.as_millis() as Millis - 1_000;
        let now = fx.now;
        let late = |it: &mut Question| it.since + patience <= now;
        for question in self.questions.extract_if(.., late) {
            question.show(view, fx);
        }
    }
}

impl Question {
    /// Who asks, at his new address.
    fn from(&self) -> Option<Jid> {
        self.request.from.as_ref().map(Jid::bare)
    }

    /// Nothing is proved: a request like any other, with all that is in it (§4.4).
    fn show(&self, view: View, fx: &mut Effects) {
        let devices = view.devices.available().map(|device| device.id);
        fx.deliver(devices, &self.request, None);
    }
}

/// The new and the old address in a request with a notification; the old one must be a bare JID.
fn notified(request: &Stanza) -> Option<(Jid, Jid)> {
    let moved = request.child(NS, "moved")?;
    let old = Jid::parse(moved.child(NS, "old-jid")?.text().trim()).ok()?;
    let new = request.from.as_ref()?.bare();
    old.is_bare().then_some((new, old))
}

/// Asks the old account for its statement.
fn ask(id: &SmolStr, own: &Jid, old: &Jid) -> Stanza {
    let item = Element::new(ns::PUBSUB, "item").with_attr("id", "current");
    let items = Element::new(ns::PUBSUB, "items")
        .with_attr("node", NS)
        .with_child(item);
    Stanza::iq(IqType::Get, id.clone())
        .with_from(own.clone())
        .with_to(old.clone())
        .with_child(&Element::new(ns::PUBSUB, "pubsub").with_child(items))
}

/// The new address in an answer: of the statement, or of an account that is gone (§4.3, note).
fn stated(answer: &Stanza) -> Option<Jid> {
    let new = match answer.kind {
        Kind::Iq(IqType::Result) => {
            let pubsub = answer.child(ns::PUBSUB, "pubsub")?;
            let items = pubsub.child(ns::PUBSUB, "items")?;
            let items = items
                .attr("node")
                .filter(|node| *node == NS)
                .map(|_| &items)?;
            let item = items.child(ns::PUBSUB, "item")?;
            let new = item.child(NS, "moved")?.child(NS, "new-jid")?;
            Jid::parse(new.text().trim()).ok()?
        }
        Kind::Iq(IqType::Error) => {
            let error = answer.child(ns::CLIENT, "error")?;
            let gone = error.child(ns::STANZAS, "gone")?.text();
            let address = gone.trim().strip_prefix("xmpp:")?;
            Jid::parse(address.split('?').next()?).ok()?
        }
        _ => return None,
    };
    Some(new.bare())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extensions::scene::{Scene, jid, said, stanza, text};

    const NEW: &str = "bob@new.test";

    /// Bob, whom alice sees and who sees her, asks from another address.
    fn request(old: &str) -> Stanza {
        stanza(&format!(
            "<presence type='subscribe' from='{NEW}' to='alice@a.test'>\
             <moved xmlns='{NS}'><old-jid>{old}</old-jid></moved></presence>"
        ))
    }

    /// The request is withheld; the question that was asked.
    fn asked(scene: &Scene, role: &mut Moved) -> Stanza {
        let mut fx = scene.effects();
        assert!(role.withholds(&request("bob@b.test"), scene.view(), &mut fx));
        let question = fx.routed().next().expect("a question").clone();
        assert_eq!(question.to, Some(jid("bob@b.test")));
        assert_eq!(question.from, Some(jid("alice@a.test")));
        question
    }

    fn statement(new: &str) -> Element {
        let xml = format!(
            "<pubsub xmlns='{}'><items node='{NS}'><item id='current'><moved xmlns='{NS}'>\
             <new-jid>{new}</new-jid></moved></item></items></pubsub>",
            ns::PUBSUB
        );
        Element::parse(&xml, "").unwrap()
    }

    fn judged(scene: &Scene, role: &mut Moved, answer: &Stanza) -> (Vec<(Request, Jid)>, usize) {
        let mut fx = scene.effects();
        role.answered(answer, scene.view(), &mut fx);
        (fx.take_said(), said(&fx).len())
    }

    #[test]
    fn who_proves_it_takes_the_place_of_his_old_address() {
        let scene = Scene::of(&[0]);
        let mut role = Moved::default();
        let answer = asked(&scene, &mut role).result_reply(Some(statement(NEW)));
        let moved = vec![
            (Request::Subscribed, jid(NEW)),
            (Request::Unsubscribed, jid("bob@b.test")),
            (Request::Subscribe, jid(NEW)),
        ];
        let stranger = answer.clone().with_from(jid("eve@b.test"));
        assert_eq!(judged(&scene, &mut role, &stranger), (vec![], 0));
        assert_eq!(judged(&scene, &mut role, &answer), (moved, 0));
        assert_eq!(judged(&scene, &mut role, &answer), (vec![], 0), "once");
    }

    #[test]
    fn an_account_that_is_gone_says_where_to() {
        let scene = Scene::of(&[0]);
        let gone = |uri: &str| {
            format!(
                "<iq type='error' from='bob@b.test' to='alice@a.test' id='ID'><error \
                 type='cancel'><gone xmlns='{}'>{uri}</gone></error></iq>",
                ns::STANZAS
            )
        };
        for (uri, is_proof) in [
            ("xmpp:bob@new.test", true),
            ("xmpp:bob@new.test?message", true),
            ("xmpp:eve@new.test", false),
            ("bob@new.test", false),
            ("", false),
        ] {
            let mut role = Moved::default();
            let id = asked(&scene, &mut role).id.unwrap();
            let answer = stanza(&gone(uri).replace("ID", &id));
            let (said, shown) = judged(&scene, &mut role, &answer);
            assert_eq!(
                (!said.is_empty(), shown == 0),
                (is_proof, is_proof),
                "{uri}"
            );
        }
    }

    #[test]
    fn without_a_proof_it_is_a_request_like_any_other() {
        let scene = Scene::of(&[0]);
        let mut role = Moved::default();
        let answer = asked(&scene, &mut role).result_reply(Some(statement("eve@new.test")));
        let mut fx = scene.effects();
        role.answered(&answer, scene.view(), &mut fx);
        assert_eq!(said(&fx), [text(&request("bob@b.test"))]);
        // Ann does not see alice's presence; nobody moves to where he is, nor from a device.
        for old in ["ann@a.test", "eve@b.test", NEW, "bob@b.test/r", "", "@"] {
            let mut fx = scene.effects();
            assert!(
                !role.withholds(&request(old), scene.view(), &mut fx),
                "{old}"
            );
            assert!(fx.list().is_empty());
        }
    }

    #[test]
    fn it_waits_for_a_while_and_for_so_many() {
        let mut scene = Scene::of(&[0]);
        let mut role = Moved::default();
        let from = |n: usize| request("bob@b.test").with_from(jid(&format!("bob{n}@new.test")));
        for n in 0..=QUESTIONS {
            let mut fx = scene.effects();
            let withheld = role.withholds(&from(n), scene.view(), &mut fx);
            assert_eq!(withheld, n < QUESTIONS);
        }
        // Asked again, the same question is enough.
        let mut fx = scene.effects();
        assert!(role.withholds(&from(1), scene.view(), &mut fx) && fx.list().is_empty());
        for (seconds, shown) in [(20, 0), (30, QUESTIONS), (60, 0)] {
            scene.now = crate::extensions::scene::NOW + seconds * 1_000;
            let mut fx = scene.effects();
            role.woken(scene.view(), &mut fx);
            assert_eq!(said(&fx).len(), shown);
        }
    }
}
