//! What the owner of a node says of the people at it: who is subscribed, who is what (XEP-0060
//! §8.6 to §8.9).

use std::collections::BTreeSet;

use rookery_actors::effect::Effects;
use rookery_actors::keys::AccountId;
use rookery_actors::site::random_id;
use rookery_protocol::error::{ErrorType, StanzaError};
use rookery_protocol::forms::{Field, FieldType, Form, Submission};
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::{IqType, Kind, MessageType, Stanza};
use rookery_protocol::xml::Element;

use super::access::is_owner;
use super::circle::{Affiliation, Subscription};
use super::node::Node;
use super::notify::event;
use super::problem::{bad, forbidden, full, not_acceptable, not_found, too_fast};
use super::retrieve::{PEOPLE, listing};
use super::subscribe::{element, ended};
use super::{Ask, Board, Face, Venue};
use crate::extensions::request::bad_request;

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
        let all = held.people().subscriptions();
        let all: Vec<_> = all.filter(|(_, it)| F::OWNS || !it.is_pending).collect();
        let asked = ask.request.payload().ok_or_else(bad_request)?;
        let (shown, set) = listing(&asked, &all, |(jid, _)| *jid, PEOPLE)?;
        let shown = shown
            .iter()
            .map(|(jid, it)| element(ns::PUBSUB_OWNER, "", jid, it));
        tell_page(ask, list("subscriptions", node, shown), set, fx);
        Ok(())
    }

    /// §8.8.2: who waits is let in, who is in is put out, or somebody is subscribed. All of the
    /// changes, or none.
    pub(super) fn set_subscribers(
        &mut self,
        node: &str,
        changes: Vec<(Jid, Option<bool>)>,
        ask: &Ask<F>,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let people = self.owned(node, ask)?.people();
        each_once(changes.iter().map(|(jid, _)| jid.as_str()))?;
        if changes.iter().any(|(_, state)| state.is_none()) {
            let entries = changes
                .iter()
                .map(|(jid, _)| match people.subscription(jid) {
                    Some(it) => element(ns::PUBSUB_OWNER, "", jid.as_str(), it),
                    None => ended(ns::PUBSUB_OWNER, "", jid),
                });
            refuse_changes(ask, list("subscriptions", node, entries), fx);
            return Ok(());
        }
        let changes = changes.into_iter();
        let changes: Vec<_> = changes.filter_map(|(jid, it)| Some((jid, it?))).collect();
        let (limit, owner) = (ask.view.limits().people, ask.view.owner());
        self.pay(changes.len(), ask, fx)?;
        let held = self.nodes.get_mut(node).ok_or_else(not_found)?;
        let people = held.people();
        let most = limit.saturating_sub(people.subscribers());
        let is_new = |jid: &Jid| people.subscription(jid).is_none();
        let coming = changes.iter().filter(|(jid, put)| *put && is_new(jid));
        if !people.has_room(coming.map(|(jid, _)| jid), most) {
            return Err(full());
        }
        let mut news = Vec::new();
        for (jid, is_subscribed) in changes {
            if held.let_in(&jid, is_subscribed, owner, fx) {
                news.push((jid, is_subscribed));
            }
        }
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
        let state = match is_subscribed {
            true => element(
                ns::PUBSUB_EVENT,
                &node.name,
                jid.as_str(),
                &Subscription::NEW,
            ),
            false => ended(ns::PUBSUB_EVENT, &node.name, jid),
        };
        fx.route(event(node, state, view.jid()).with_to(jid.clone()));
    }

    /// Subscriptions of a node that have ended are gone, and who had them is told (§12.14, §12.19).
    pub(super) fn lapse(&mut self, node: &str, view: F::View<'_>, fx: &mut Effects) {
        let Some(held) = self.nodes.get_mut(node) else {
            return;
        };
        let lapsed = held.people().lapsed(fx.now);
        for jid in &lapsed {
            held.unsubscribe(jid, view.owner(), fx);
        }
        for jid in &lapsed {
            self.tell_subscriber(node, jid, false, view, fx);
            self.tell_owners_of_end(node, jid, view, fx);
        }
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
        let waiting = held.people().subscription(&jid);
        if !waiting.is_some_and(|it| it.is_pending) {
            return Ok(());
        }
        held.let_in(&jid, is_let_in, view.owner(), fx);
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
        let all = own.into_iter().chain(held.people().affiliations());
        let all: Vec<_> = all.collect();
        let asked = ask.request.payload().ok_or_else(bad_request)?;
        let (shown, set) = listing(&asked, &all, |(jid, _)| *jid, PEOPLE)?;
        let shown = shown
            .iter()
            .map(|(jid, it)| entry(ns::PUBSUB_OWNER, jid, *it));
        tell_page(ask, list("affiliations", node, shown), set, fx);
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
        each_once(changes.iter().map(|(jid, _)| jid.bare_str()))?;
        let people = held.people();
        let unfit = |(jid, to): &(Jid, Affiliation)| {
            // The account owns its nodes, whatever anybody says.
            ask.view.is_self(jid) || !may_become(people.affiliation(jid), *to)
        };
        // Every node has an owner (§8.9.2.4).
        if changes.iter().any(unfit) || (!F::OWNS && !keeps_owner(held, &changes)) {
            let entries = changes.iter().map(|(jid, _)| {
                let is = match ask.view.is_self(jid) && F::OWNS {
                    true => Affiliation::Owner,
                    false => people.affiliation(jid),
                };
                entry(ns::PUBSUB_OWNER, jid.as_str(), is)
            });
            refuse_changes(ask, list("affiliations", node, entries), fx);
            return Ok(());
        }
        self.pay(changes.len(), ask, fx)?;
        let held = self.nodes.get_mut(node).ok_or_else(not_found)?;
        let people = held.people();
        let most = limit.saturating_sub(people.affiliations().count());
        let coming = changes.iter().map(|(jid, _)| jid);
        let coming = coming.filter(|jid| people.affiliation(jid) == Affiliation::None);
        if !people.has_room(coming, most) {
            return Err(full());
        }
        let mut news = Vec::new();
        for (jid, affiliation) in changes {
            if held.affiliate(&jid, affiliation, owner, fx) {
                let settled = held.settle(&jid, affiliation, owner, fx);
                news.push((jid.bare(), affiliation, settled));
            }
        }
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
            node.affiliate(jid, Affiliation::None, view.owner(), fx);
            node.unsubscribe_all(jid, view.owner(), fx);
            if node.creator == jid.as_str() {
                node.creator.clear();
                node.save(view.owner(), fx);
            }
        }
    }
}

impl Node {
    /// What an affiliation says of somebody's subscriptions: an outcast has none, and who is let in
    /// by it waits no more (§8.7.4). Gives those of which it says something new.
    fn settle(
        &mut self,
        jid: &Jid,
        affiliation: Affiliation,
        owner: AccountId,
        fx: &mut Effects,
    ) -> Vec<Jid> {
        use Affiliation::{Member, Outcast, Owner, Publisher};
        if !matches!(affiliation, Outcast | Owner | Publisher | Member) {
            return Vec::new();
        }
        let own = self.people().subscriptions_of(jid);
        let own = own.filter(|(_, it)| affiliation == Outcast || it.is_pending);
        let own: Vec<Jid> = own.filter_map(|(jid, _)| Jid::parse(jid).ok()).collect();
        for subscriber in &own {
            self.let_in(subscriber, affiliation != Outcast, owner, fx);
        }
        own
    }

    /// Subscribes somebody, or ends his subscription; whether that changed anything.
    fn let_in(
        &mut self,
        jid: &Jid,
        is_subscribed: bool,
        owner: AccountId,
        fx: &mut Effects,
    ) -> bool {
        if !is_subscribed {
            return self.unsubscribe(jid, owner, fx);
        }
        let known = self.people().subscription(jid).copied();
        let subscription = Subscription {
            is_pending: false,
            ..known.unwrap_or(Subscription::NEW)
        };
        if known == Some(subscription) {
            return false;
        }
        self.subscribe(jid, subscription, owner, fx);
        true
    }

    /// Ends all subscriptions of `jid` and of its resources.
    fn unsubscribe_all(&mut self, jid: &Jid, owner: AccountId, fx: &mut Effects) {
        let all = self.people().subscriptions_of(jid);
        let all: Vec<Jid> = all.filter_map(|(jid, _)| Jid::parse(jid).ok()).collect();
        for subscriber in all {
            self.unsubscribe(&subscriber, owner, fx);
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

/// The chart of §4.1: whether who is this may be made that. Whoever is to be less than an owner, or
/// no publisher but a member, is made nothing first.
fn may_become(is: Affiliation, to: Affiliation) -> bool {
    use Affiliation::{Member, None, Owner, Publisher};
    match (is, to) {
        (Owner, Owner | None) => true,
        (Owner, _) | (Publisher, Member) => false,
        _ => true,
    }
}

/// §8.8.2.4, §8.9.2.4: who is named is named once.
fn each_once<'a>(mut jids: impl Iterator<Item = &'a str>) -> Result<(), StanzaError> {
    let mut seen = BTreeSet::new();
    match jids.all(|jid| seen.insert(jid)) {
        true => Ok(()),
        false => Err(bad_request()),
    }
}

/// §8.8.2.4, §8.9.2.4: nothing was changed; of each that was to be changed it is said what he is.
fn refuse_changes<F: Face>(ask: &Ask<F>, unchanged: Element, fx: &mut Effects) {
    let payload = Element::new(ns::PUBSUB_OWNER, "pubsub").with_child(unchanged);
    let mut answer = ask.request.result_reply(Some(payload));
    answer.kind = Kind::Iq(IqType::Error);
    let error = not_acceptable().with_kind(ErrorType::Modify);
    fx.reply(answer.with_child(&error.to_element()));
}

/// A list of people at a node.
fn list(name: &'static str, node: &str, entries: impl IntoIterator<Item = Element>) -> Element {
    Element::new(ns::PUBSUB_OWNER, name)
        .with_attr("node", node)
        .with_children(entries)
}

/// Answers with a list, and with what is said of the page that it is (XEP-0059).
fn tell_page<F: Face>(ask: &Ask<F>, list: Element, set: Option<Element>, fx: &mut Effects) {
    let answer = Element::new(ns::PUBSUB_OWNER, "pubsub");
    fx.result(
        ask.request,
        Some(answer.with_child(list).with_children(set)),
    );
}

/// Whether somebody owns the node after these changes.
fn keeps_owner(node: &Node, changes: &[(Jid, Affiliation)]) -> bool {
    let owners = node.people().all_who_are(Affiliation::Owner);
    let mut owners: BTreeSet<&str> = owners.collect();
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
