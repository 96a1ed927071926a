//! Explicit subscriptions to nodes (XEP-0060 §5.6, §6, §8.8).

use rookery_actors::effect::Effects;
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::forms::{Field, Form, Submission};
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::xml::Element;

use super::access::may_read;
use super::config::{Access, SendLast};
use super::node::{Affiliation, Node, Subscription};
use super::order::Order;
use super::owner::tell;
use super::problem::{bad, forbidden, full, not_acceptable, not_found, unsupported, with};
use super::{Ask, Pep};

/// The form type of the options (§16.4.2).
const OPTIONS: &str = "http://jabber.org/protocol/pubsub#subscribe_options";

impl Pep {
    pub(super) fn about_subscriptions(
        &mut self,
        order: Order,
        ask: &Ask,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        match order {
            Order::Subscribe { node, jid, options } => {
                self.subscribe(&node, &jid, options, ask, fx)
            }
            Order::Unsubscribe { node, jid } => self.unsubscribe(&node, &jid, ask, fx),
            Order::Options { node, jid } => self.options(&node, &jid, ask, fx),
            Order::SetOptions { node, jid, options } => {
                self.set_options(&node, &jid, &options, ask, fx)
            }
            Order::DefaultOptions => {
                let default = Element::new(ns::PUBSUB, "default").with_child(form(true));
                answer(ask, default, fx);
                Ok(())
            }
            Order::Subscriptions { node } => self.subscriptions(node.as_deref(), ask, fx),
            Order::Affiliations { node } => self.own_affiliations(node.as_deref(), ask, fx),
            Order::Subscribers { node } => self.subscribers(&node, ask, fx),
            Order::SetSubscribers { node, changes } => {
                self.set_subscribers(&node, changes, ask, fx)
            }
            _ => Err(StanzaError::new(Condition::BadRequest)),
        }
    }

    /// §6.1.
    fn subscribe(
        &mut self,
        node: &str,
        jid: &Jid,
        options: Option<Submission>,
        ask: &Ask,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let limit = ask.view.site.settings.pubsub.people;
        is_himself(jid, ask)?;
        let held = self.nodes.get_mut(node).ok_or_else(|| ask.absent())?;
        if held.affiliation(jid) == Affiliation::Outcast {
            return Err(forbidden());
        }
        let is_pending = match may_read(held, jid, &ask.standing) {
            Ok(()) => false,
            Err(_) if held.config.access == Access::Authorize => true,
            Err(error) => return Err(error),
        };
        if !held.config.subscribe {
            return Err(unsupported("subscribe"));
        }
        let delivers = options.as_ref().map_or(Ok(None), delivers)?;
        let before = held.subscriptions.len();
        let mut all = held.subscriptions.iter();
        let at = all.position(|it| it.jid == jid.as_str());
        if at.is_none() && before >= limit {
            return Err(with(Condition::PolicyViolation, "too-many-subscriptions"));
        }
        if at.is_none() {
            held.subscriptions.push(Subscription {
                jid: jid.as_str().to_owned(),
                is_pending,
                delivers: true,
            });
        }
        let known = &mut held.subscriptions[at.unwrap_or(before)];
        known.delivers = delivers.unwrap_or(known.delivers);
        let (subscription, is_new) = (known.clone(), at.is_none());
        held.save(ask.view.account.id, fx);
        let sends_last = held.config.send_last != SendLast::Never && !subscription.is_pending;
        answer(ask, element(ns::PUBSUB, node, &subscription), fx);
        if is_new && sends_last {
            self.send_last_to(node, jid, ask.view, fx);
        }
        if is_new && let Some(held) = self.nodes.get(node).filter(|it| it.config.notify_sub) {
            self.tell_owner(held, &subscription, ask.view, fx);
        }
        Ok(())
    }

    /// §6.2.
    fn unsubscribe(
        &mut self,
        node: &str,
        jid: &Jid,
        ask: &Ask,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        is_himself(jid, ask)?;
        let held = self.nodes.get_mut(node).ok_or_else(|| ask.absent())?;
        let before = held.subscriptions.len();
        held.subscriptions.retain(|it| it.jid != jid.as_str());
        if held.subscriptions.len() == before {
            return Err(with(Condition::UnexpectedRequest, "not-subscribed"));
        }
        held.save(ask.view.account.id, fx);
        fx.result(ask.request, None);
        Ok(())
    }

    /// §6.3.2.
    fn options(
        &mut self,
        node: &str,
        jid: &Jid,
        ask: &Ask,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let form = form(self.subscription(node, jid, ask)?.delivers);
        let options = Element::new(ns::PUBSUB, "options")
            .with_attr("node", node)
            .with_attr("jid", jid.as_str())
            .with_child(form);
        answer(ask, options, fx);
        Ok(())
    }

    /// §6.3.5.
    fn set_options(
        &mut self,
        node: &str,
        jid: &Jid,
        options: &Submission,
        ask: &Ask,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let delivers = delivers(options)?;
        let subscription = self.subscription(node, jid, ask)?;
        subscription.delivers = delivers.unwrap_or(subscription.delivers);
        if let Some(held) = self.nodes.get(node) {
            held.save(ask.view.account.id, fx);
        }
        fx.result(ask.request, None);
        Ok(())
    }

    fn subscription(
        &mut self,
        node: &str,
        jid: &Jid,
        ask: &Ask,
    ) -> Result<&mut Subscription, StanzaError> {
        is_himself(jid, ask)?;
        let held = self.nodes.get_mut(node).ok_or_else(|| ask.absent())?;
        let mut all = held.subscriptions.iter_mut();
        let found = all.find(|it| it.jid == jid.as_str());
        found.ok_or_else(|| with(Condition::UnexpectedRequest, "not-subscribed"))
    }

    /// §5.6: one's own.
    fn subscriptions(
        &self,
        node: Option<&str>,
        ask: &Ask,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let nodes = self.nodes.iter();
        let asked = nodes.filter(|it| node.is_none_or(|name| it.name == name));
        let all = asked.flat_map(|node| {
            let own = node.subscriptions_of(ask.from);
            own.map(|it| element(ns::PUBSUB, &node.name, it))
        });
        let mut subject = Element::new(ns::PUBSUB, "subscriptions").with_children(all);
        self.tell_own(node, &mut subject, ask)?;
        answer(ask, subject, fx);
        Ok(())
    }

    /// §5.7: one's own.
    fn own_affiliations(
        &self,
        node: Option<&str>,
        ask: &Ask,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let nodes = self.nodes.iter();
        let asked = nodes.filter(|it| node.is_none_or(|name| it.name == name));
        let all = asked.filter_map(|node| {
            let affiliation = match ask.view.account.is_self(ask.from) {
                true => Affiliation::Owner,
                false => node.affiliation(ask.from),
            };
            let entry = Element::new(ns::PUBSUB, "affiliation")
                .with_attr("node", &node.name)
                .with_attr("affiliation", affiliation.as_str());
            (affiliation != Affiliation::None).then_some(entry)
        });
        let mut subject = Element::new(ns::PUBSUB, "affiliations").with_children(all);
        self.tell_own(node, &mut subject, ask)?;
        answer(ask, subject, fx);
        Ok(())
    }

    /// A stranger with nothing here hears the same as of an account that is not there
    /// (attacks P04).
    fn tell_own(
        &self,
        node: Option<&str>,
        subject: &mut Element,
        ask: &Ask,
    ) -> Result<(), StanzaError> {
        let has_nothing = subject.children().next().is_none();
        let is_stranger = ask.standing == super::Standing::Stranger;
        if has_nothing && is_stranger {
            return Err(ask.absent());
        }
        if let Some(name) = node {
            if self.nodes.get(name).is_none() {
                return Err(not_found());
            }
            subject.set_attr("node", name);
        }
        Ok(())
    }

    /// §8.8.1.
    fn subscribers(&self, node: &str, ask: &Ask, fx: &mut Effects) -> Result<(), StanzaError> {
        let held = self.owned(node, ask)?;
        let all = held.subscriptions.iter();
        let all = all.map(|it| element(ns::PUBSUB_OWNER, "", it));
        tell(ask, "subscriptions", node, all, fx);
        Ok(())
    }

    /// §8.8.2: who waits is let in, who is in is put out, or somebody is subscribed.
    fn set_subscribers(
        &mut self,
        node: &str,
        changes: Vec<(Jid, bool)>,
        ask: &Ask,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        self.owned(node, ask)?;
        let limit = ask.view.site.settings.pubsub.people;
        let held = self.nodes.get_mut(node).ok_or_else(not_found)?;
        if held.subscriptions.len() + changes.len() > limit {
            return Err(full());
        }
        for (jid, is_subscribed) in changes {
            let mut all = held.subscriptions.iter_mut();
            match all.find(|it| it.jid == jid.as_str()) {
                Some(known) if is_subscribed => known.is_pending = false,
                None if is_subscribed => held.subscriptions.push(Subscription {
                    jid: jid.as_str().to_owned(),
                    is_pending: false,
                    delivers: true,
                }),
                _ => held.subscriptions.retain(|it| it.jid != jid.as_str()),
            }
        }
        held.save(ask.view.account.id, fx);
        fx.result(ask.request, None);
        Ok(())
    }
}

impl Node {
    /// Ends all subscriptions of `jid` and of its resources.
    pub fn unsubscribe(&mut self, jid: &Jid) {
        let lost: Vec<String> = self
            .subscriptions_of(jid)
            .map(|it| it.jid.clone())
            .collect();
        self.subscriptions.retain(|it| !lost.contains(&it.jid));
    }
}

/// §6.1.3.1: nobody subscribes another (attacks U10).
fn is_himself(jid: &Jid, ask: &Ask) -> Result<(), StanzaError> {
    match jid.bare_str() == ask.from.bare_str() {
        true => Ok(()),
        false => Err(bad("invalid-jid")),
    }
}

/// The options of a subscription: whether events are sent.
fn form(delivers: bool) -> Element {
    Form::offer(OPTIONS)
        .with_field(Field::boolean("pubsub#deliver", delivers).with_label("Send events"))
        .to_element()
}

/// What a form says of that; `None` if it does not.
fn delivers(options: &Submission) -> Result<Option<bool>, StanzaError> {
    match options.values("pubsub#deliver") {
        None => Ok(None),
        Some(_) => options
            .boolean("pubsub#deliver")
            .map(Some)
            .ok_or_else(not_acceptable),
    }
}

/// `<subscription/>`.
pub(super) fn element(ns: &'static str, node: &str, subscription: &Subscription) -> Element {
    let state = match subscription.is_pending {
        true => "pending",
        false => "subscribed",
    };
    let mut element = Element::new(ns, "subscription")
        .with_attr("jid", &subscription.jid)
        .with_attr("subscription", state);
    if !node.is_empty() {
        element.set_attr("node", node);
    }
    element
}

fn answer(ask: &Ask, subject: Element, fx: &mut Effects) {
    let answer = Element::new(ns::PUBSUB, "pubsub").with_child(subject);
    fx.result(ask.request, Some(answer));
}
