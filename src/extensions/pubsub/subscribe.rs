//! Explicit subscriptions to nodes (XEP-0060 §5.6, §5.7, §6.1 to §6.4).

use rookery_actors::effect::{Effects, Millis};
use rookery_protocol::datetime;
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::forms::{Field, Form, Submission};
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::xml::Element;

use super::access::{Standing, may_read};
use super::config::{Access, SendLast};
use super::node::{Affiliation, Node, Subscription};
use super::order::Order;
use super::problem::{bad, forbidden, not_found, too_fast, unsupported, with};
use super::{Ask, Board, Face, Venue};

/// The form type of the options (§16.4.2).
const OPTIONS: &str = "http://jabber.org/protocol/pubsub#subscribe_options";
const DELIVER: &str = "pubsub#deliver";
const EXPIRE: &str = "pubsub#expire";

impl<F: Face> Board<F> {
    /// What is asked about subscriptions and affiliations.
    pub fn about_subscriptions(
        &mut self,
        order: Order,
        ask: &Ask<F>,
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
            Order::DefaultOptions { node } => self.default_options(node.as_deref(), ask, fx),
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
        ask: &Ask<F>,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let limit = ask.view.limits().people;
        // §6.1.3.1: nobody subscribes another (attacks U10).
        if !is_himself(jid, ask) {
            return Err(bad("invalid-jid"));
        }
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
        held.subscriptions.retain(|it| !it.is_over(fx.now));
        let mut all = held.subscriptions.iter();
        let known = all.find(|it| it.jid == jid.as_str());
        // §6.1.3.7.
        if known.is_some_and(|it| it.is_pending) && is_pending {
            return Err(with(Condition::NotAuthorized, "pending-subscription"));
        }
        let is_new = known.is_none();
        if is_new && !held.admits(jid, limit) {
            return Err(with(Condition::PolicyViolation, "too-many-subscriptions"));
        }
        // The owners are asked.
        if is_new && is_pending && !self.face.is_in_pace(ask, fx) {
            return Err(too_fast());
        }
        let mut subscription = known.cloned().unwrap_or(Subscription {
            is_pending,
            ..Subscription::new(jid)
        });
        subscription.is_pending &= is_pending;
        if let Some(options) = options {
            take(&mut subscription, &options, fx.now)?;
        }
        held.subscriptions.retain(|it| it.jid != jid.as_str());
        held.subscriptions.push(subscription.clone());
        held.save(ask.view.owner(), fx);
        let sends_last = held.config.send_last != SendLast::Never && !subscription.is_pending;
        answer(ask, element(ns::PUBSUB, node, &subscription), fx);
        if is_new && sends_last {
            self.send_last_to(node, jid, ask.view, fx);
        }
        let Some(held) = self.nodes.get(node).filter(|_| is_new) else {
            return Ok(());
        };
        if subscription.is_pending && !F::OWNS {
            self.ask_owners(held, jid, ask.view, fx);
        } else if held.config.notify_sub {
            self.tell_owners(held, &subscription, ask.view, fx);
        }
        Ok(())
    }

    /// §6.2.
    fn unsubscribe(
        &mut self,
        node: &str,
        jid: &Jid,
        ask: &Ask<F>,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        self.subscription(node, jid, ask)?;
        let held = self.nodes.get_mut(node).ok_or_else(not_found)?;
        held.subscriptions.retain(|it| it.jid != jid.as_str());
        held.save(ask.view.owner(), fx);
        fx.result(ask.request, None);
        Ok(())
    }

    /// §6.3.2.
    fn options(
        &mut self,
        node: &str,
        jid: &Jid,
        ask: &Ask<F>,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let form = form(self.subscription(node, jid, ask)?);
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
        ask: &Ask<F>,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        take(self.subscription(node, jid, ask)?, options, fx.now)?;
        if let Some(held) = self.nodes.get(node) {
            held.save(ask.view.owner(), fx);
        }
        fx.result(ask.request, None);
        Ok(())
    }

    /// §6.4.
    fn default_options(
        &self,
        node: Option<&str>,
        ask: &Ask<F>,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let mut default = Element::new(ns::PUBSUB, "default");
        if let Some(name) = node {
            self.nodes.get(name).ok_or_else(|| ask.absent())?;
            default.set_attr("node", name);
        }
        let form = form(&Subscription::new(ask.from));
        answer(ask, default.with_child(form), fx);
        Ok(())
    }

    /// One's own subscription (§6.2.3, §6.3.4).
    fn subscription(
        &mut self,
        node: &str,
        jid: &Jid,
        ask: &Ask<F>,
    ) -> Result<&mut Subscription, StanzaError> {
        let held = self.nodes.get_mut(node).ok_or_else(|| ask.absent())?;
        if !is_himself(jid, ask) {
            return Err(forbidden());
        }
        let mut all = held.subscriptions.iter_mut();
        let found = all.find(|it| it.jid == jid.as_str());
        found.ok_or_else(|| with(Condition::UnexpectedRequest, "not-subscribed"))
    }

    /// §5.6: one's own.
    fn subscriptions(
        &self,
        node: Option<&str>,
        ask: &Ask<F>,
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
        ask: &Ask<F>,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let nodes = self.nodes.iter();
        let asked = nodes.filter(|it| node.is_none_or(|name| it.name == name));
        let all = asked.filter_map(|node| {
            let affiliation = match ask.view.is_self(ask.from) {
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
        ask: &Ask<F>,
    ) -> Result<(), StanzaError> {
        let has_nothing = subject.children().next().is_none();
        if has_nothing && ask.standing == Standing::Stranger {
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
}

impl Node {
    /// Ends all subscriptions of `jid` and of its resources; whether there was one.
    pub fn unsubscribe(&mut self, jid: &Jid) -> bool {
        let lost: Vec<String> = self
            .subscriptions_of(jid)
            .map(|it| it.jid.clone())
            .collect();
        self.subscriptions.retain(|it| !lost.contains(&it.jid));
        !lost.is_empty()
    }
}

fn is_himself<F: Face>(jid: &Jid, ask: &Ask<F>) -> bool {
    jid.bare_str() == ask.from.bare_str()
}

/// The options of a subscription: whether events are sent, and until when.
fn form(subscription: &Subscription) -> Element {
    let expire = match subscription.expire {
        0 => String::new(),
        stamp => datetime::format_seconds(stamp),
    };
    Form::offer(OPTIONS)
        .with_field(Field::boolean(DELIVER, subscription.delivers).with_label("Send events"))
        .with_field(Field::text(EXPIRE, expire).with_label("When it ends"))
        .to_element()
}

/// Takes what a form says of them (§6.3.5.2). Fields that nobody here knows are passed over
/// (§6.1.5); a digest or a body that nobody makes is refused, as its reader would wait for it.
fn take(
    subscription: &mut Subscription,
    options: &Submission,
    now: Millis,
) -> Result<(), StanzaError> {
    let invalid = || bad("invalid-options");
    if options.form_type().is_some_and(|it| it != OPTIONS) {
        return Err(invalid());
    }
    if options.values(DELIVER).is_some() {
        subscription.delivers = options.boolean(DELIVER).ok_or_else(invalid)?;
    }
    if let Some(expire) = options.text(EXPIRE) {
        subscription.expire = match expire {
            "" => 0,
            text => datetime::parse(text)
                .and_then(|stamp| Millis::try_from(stamp).ok())
                .filter(|stamp| *stamp > now)
                .ok_or_else(invalid)?,
        };
    }
    for var in ["pubsub#digest", "pubsub#include_body"] {
        if options.boolean(var).unwrap_or(false) {
            return Err(invalid());
        }
    }
    Ok(())
}

/// `<subscription/>`.
pub fn element(ns: &'static str, node: &str, subscription: &Subscription) -> Element {
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

fn answer<F: Face>(ask: &Ask<F>, subject: Element, fx: &mut Effects) {
    let answer = Element::new(ns::PUBSUB, "pubsub").with_child(subject);
    fx.result(ask.request, Some(answer));
}
