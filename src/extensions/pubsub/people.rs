//! What the owner of a node says of the people at it: who is subscribed, who is what (XEP-0060
//! §8.6 to §8.9).

use std::collections::BTreeSet;

use rookery_actors::effect::Effects;
use rookery_actors::site::random_id;
use rookery_protocol::error::StanzaError;
use rookery_protocol::forms::{Field, FieldType, Form, Submission};
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::{MessageType, Stanza};
use rookery_protocol::xml::Element;

use super::access::is_owner;
use super::node::{Affiliation, Node, Subscription};
use super::notify::event;
use super::owner::tell;
use super::problem::{bad, forbidden, full, not_acceptable, not_found, too_fast};
use super::subscribe::element;
use super::{Ask, Board, Face, Venue};

/// The form by which owners are asked to let somebody in (§8.6).
pub const AUTHORIZATION: &str = "http://jabber.org/protocol/pubsub#subscribe_authorization";

impl<F: Face> Board<F> {
    /// §8.8.1.
    pub(super) fn subscribers(
        &self,
        node: &str,
        ask: &Ask<F>,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let held = self.owned(node, ask)?;
        // Who waits is asked for otherwise, where there is a way.
        let all = held.subscriptions.iter();
        let all = all.filter(|it| F::OWNS || !it.is_pending);
        let all = all.map(|it| element(ns::PUBSUB_OWNER, "", it));
        tell(ask, "subscriptions", node, all, fx);
        Ok(())
    }

    /// §8.8.2: who waits is let in, who is in is put out, or somebody is subscribed.
    pub(super) fn set_subscribers(
        &mut self,
        node: &str,
        changes: Vec<(Jid, bool)>,
        ask: &Ask<F>,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        self.owned(node, ask)?;
        let limit = ask.view.limits().people;
        self.pay(changes.len(), ask, fx)?;
        let held = self.nodes.get_mut(node).ok_or_else(not_found)?;
        let most = limit.saturating_sub(held.subscriptions.len());
        let is_new = |jid: &Jid| held.subscriptions.iter().all(|it| it.jid != jid.as_str());
        let coming = changes.iter().filter(|(jid, put)| *put && is_new(jid));
        if !held.has_room(coming.map(|(jid, _)| jid), most) {
            return Err(full());
        }
        let mut news = Vec::new();
        for (jid, is_subscribed) in changes {
            if held.subscribe(&jid, is_subscribed) {
                news.push((jid, is_subscribed));
            }
        }
        held.save(ask.view.owner(), fx);
        fx.result(ask.request, None);
        for (jid, is_subscribed) in news {
            self.tell_subscriber(node, &jid, is_subscribed, ask.view, fx);
        }
        Ok(())
    }

    /// Each of these changes is told to somebody who may not know the owner at all.
    fn pay(&mut self, changes: usize, ask: &Ask<F>, fx: &Effects) -> Result<(), StanzaError> {
        match (0..changes).all(|_| self.face.is_in_pace(ask, fx)) {
            true => Ok(()),
            false => Err(too_fast()),
        }
    }

    /// §8.8.4: somebody hears what became of his subscription.
    fn tell_subscriber(
        &self,
        node: &str,
        jid: &Jid,
        is_subscribed: bool,
        view: F::View<'_>,
        fx: &mut Effects,
    ) {
        let Some(node) = self.nodes.get(node).filter(|_| !view.is_self(jid)) else {
            return;
        };
        let mut state = element(ns::PUBSUB_EVENT, &node.name, &Subscription::new(jid));
        if !is_subscribed {
            state.set_attr("subscription", "none");
        }
        fx.route(event(node, state, view.jid()).with_to(jid.clone()));
    }

    /// §8.6: the owners are asked to let somebody in.
    pub(super) fn ask_owners(&self, node: &Node, jid: &Jid, view: F::View<'_>, fx: &mut Effects) {
        let message = request(node, jid, view.jid());
        F::tell_owners(node, &message, view, fx);
    }

    /// An owner's answer (§8.6). One that answers nothing is passed over: another owner may have
    /// been faster (§8.6 says so of an answer that comes late).
    pub fn answer_of_owner(
        &mut self,
        message: &Stanza,
        view: F::View<'_>,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let form = message.child(ns::DATA_FORMS, "x");
        // Whoever cancels leaves it to another owner, or for later.
        if form
            .as_ref()
            .is_some_and(|it| it.attr("type") == Some("cancel"))
        {
            return Ok(());
        }
        let form = form.map(|form| Submission::read(&form)).transpose()?;
        let form = form.filter(|it| it.form_type() == Some(AUTHORIZATION));
        let (Some(form), Some(from)) = (form, message.from.as_ref()) else {
            return Err(not_acceptable());
        };
        let name = form.text(NODE).ok_or_else(|| bad("nodeid-required"))?;
        let jid = form.jid(SUBSCRIBER).ok_or_else(|| bad("invalid-jid"))?;
        let is_let_in = form.boolean(ALLOW).ok_or_else(not_acceptable)?;
        let held = self.nodes.get_mut(name).ok_or_else(not_found)?;
        if !is_owner(held, from, &F::standing(from, view)) {
            return Err(forbidden());
        }
        let mut all = held.subscriptions.iter();
        if !all.any(|it| it.is_pending && it.jid == jid.as_str()) {
            return Ok(());
        }
        held.subscribe(&jid, is_let_in);
        held.save(view.owner(), fx);
        self.tell_subscriber(name, &jid, is_let_in, view, fx);
        if is_let_in {
            self.send_last_to(name, &jid, view, fx);
        }
        Ok(())
    }

    /// §8.9.1.
    pub(super) fn affiliates(
        &self,
        node: &str,
        ask: &Ask<F>,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let held = self.owned(node, ask)?;
        let own = (ask.view.jid().as_str(), Affiliation::Owner);
        let own = Some(own).filter(|_| F::OWNS);
        let all = own.into_iter().chain(held.affiliations());
        let entries = all.map(|(jid, affiliation)| entry(ns::PUBSUB_OWNER, jid, affiliation));
        tell(ask, "affiliations", node, entries, fx);
        Ok(())
    }

    /// §8.9.2. All of the changes, or none.
    pub(super) fn affiliate(
        &mut self,
        node: &str,
        changes: Vec<(Jid, Affiliation)>,
        ask: &Ask<F>,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let owner = ask.view.owner();
        let limit = ask.view.limits().people;
        let held = self.owned(node, ask)?;
        // The account owns its nodes, whatever anybody says; and every node has an owner
        // (§8.9.2.4).
        let unowns = changes.iter().any(|(jid, _)| ask.view.is_self(jid));
        if unowns || (!F::OWNS && !keeps_owner(held, &changes)) {
            return Err(not_acceptable());
        }
        self.pay(changes.len(), ask, fx)?;
        let held = self.nodes.get_mut(node).ok_or_else(not_found)?;
        let most = limit.saturating_sub(held.affiliations().count());
        let coming = changes.iter().map(|(jid, _)| jid);
        let coming = coming.filter(|jid| held.affiliation(jid) == Affiliation::None);
        if !held.has_room(coming, most) {
            return Err(full());
        }
        let mut news = Vec::new();
        for (jid, affiliation) in changes {
            if held.affiliation(&jid) != affiliation {
                let settled = held.settle(&jid, affiliation);
                news.push((jid.bare(), affiliation, settled));
            }
            held.affiliate(&jid, affiliation, limit);
        }
        held.save(owner, fx);
        fx.result(ask.request, None);
        for (jid, affiliation, settled) in news {
            let is_subscribed = affiliation != Affiliation::Outcast;
            for subscriber in settled {
                self.tell_subscriber(node, &subscriber, is_subscribed, ask.view, fx);
            }
            // §8.9.4.
            let change = entry(ns::PUBSUB, jid.as_str(), affiliation);
            let changes = Element::new(ns::PUBSUB, "affiliations")
                .with_attr("node", node)
                .with_child(change);
            let message = Stanza::message(MessageType::Headline)
                .with_from(ask.view.jid().clone())
                .with_to(jid)
                .with_id(random_id())
                .with_child(&Element::new(ns::PUBSUB, "pubsub").with_child(changes));
            fx.route(message);
        }
        Ok(())
    }

    /// An account was removed: whoever has its name next has nothing here. A node that it alone
    /// owned is for the administrators.
    pub fn forget(&mut self, jid: &Jid, view: F::View<'_>, fx: &mut Effects) {
        for node in self.nodes.iter_mut() {
            let was_something = node.affiliation(jid) != Affiliation::None;
            node.affiliate(jid, Affiliation::None, usize::MAX);
            let is_creator = node.creator == jid.as_str();
            if is_creator {
                node.creator.clear();
            }
            if node.unsubscribe(jid) || was_something || is_creator {
                node.save(view.owner(), fx);
            }
        }
    }
}

impl Node {
    /// What an affiliation says of somebody's subscriptions: an outcast has none, and who is let in
    /// by it waits no more (§8.7.4). Gives those of which it says something new.
    fn settle(&mut self, jid: &Jid, affiliation: Affiliation) -> Vec<Jid> {
        use Affiliation::{Member, Outcast, Owner, Publisher};
        let own = self.subscriptions_of(jid);
        let own = own.filter(|it| affiliation == Outcast || it.is_pending);
        let own: Vec<Jid> = own.filter_map(|it| Jid::parse(&it.jid).ok()).collect();
        if !matches!(affiliation, Outcast | Owner | Publisher | Member) {
            return Vec::new();
        }
        for subscriber in &own {
            self.subscribe(subscriber, affiliation != Outcast);
        }
        own
    }

    /// Subscribes somebody, or ends his subscription; whether that changed anything.
    fn subscribe(&mut self, jid: &Jid, is_subscribed: bool) -> bool {
        let mut all = self.subscriptions.iter_mut();
        match all.find(|it| it.jid == jid.as_str()) {
            Some(known) if is_subscribed => std::mem::replace(&mut known.is_pending, false),
            None if is_subscribed => {
                self.subscriptions.push(Subscription::new(jid));
                true
            }
            None => false,
            Some(_) => {
                self.subscriptions.retain(|it| it.jid != jid.as_str());
                true
            }
        }
    }
}

/// The field with a node's name.
pub const NODE: &str = "pubsub#node";
const SUBSCRIBER: &str = "pubsub#subscriber_jid";
const ALLOW: &str = "pubsub#allow";

/// The message that asks an owner to let `jid` in (§8.6), to nobody yet.
pub fn request(node: &Node, jid: &Jid, from: &Jid) -> Stanza {
    let form = Form::offer(AUTHORIZATION)
        .with_title("A request to subscribe")
        .with_instructions("Somebody wants to be told of what is published.")
        .with_field(Field::text(NODE, &node.name).with_label("Node"))
        .with_field(
            Field::new(FieldType::JidSingle, SUBSCRIBER)
                .with_value(jid.as_str())
                .with_label("Who asks"),
        )
        .with_field(Field::boolean(ALLOW, false).with_label("Let in"));
    Stanza::message(MessageType::Normal)
        .with_from(from.clone())
        .with_id(random_id())
        .with_child(&form.to_element())
}

/// Whether somebody owns the node after these changes.
fn keeps_owner(node: &Node, changes: &[(Jid, Affiliation)]) -> bool {
    let all = node.affiliations();
    let owners = all.filter(|(_, affiliation)| *affiliation == Affiliation::Owner);
    let mut owners: BTreeSet<&str> = owners.map(|(jid, _)| jid).collect();
    for (jid, affiliation) in changes {
        match affiliation {
            Affiliation::Owner => owners.insert(jid.bare_str()),
            _ => owners.remove(jid.bare_str()),
        };
    }
    !owners.is_empty()
}

fn entry(ns: &'static str, jid: &str, affiliation: Affiliation) -> Element {
    Element::new(ns, "affiliation")
        .with_attr("jid", jid)
        .with_attr("affiliation", affiliation.as_str())
}
