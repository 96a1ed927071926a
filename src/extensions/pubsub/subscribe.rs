//! Explicit subscriptions to nodes (XEP-0060 §5.6, §5.7, §6.1 to §6.4).

use rookery_actors::effect::{Effects, Millis};
use rookery_protocol::datetime;
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::forms::{Field, Form, FormKind, Submission};
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::xml::Element;

use super::access::{Standing, may_read};
use super::circle::{Affiliation, Subscription};
use super::config::{Access, SendLast};
use super::node::Node;
use super::order::Order;
use super::problem::{bad, forbidden, not_found, too_fast, unsupported, with};
use super::retrieve::{PEOPLE, listing};
use super::{Ask, Board, Face, Venue};
use crate::extensions::request::bad_request;

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
        if self.nodes.get(node).is_none() {
            return Err(self.missing(node, ask));
        }
        let held = self.nodes.get_mut(node).ok_or_else(not_found)?;
        if held.people().affiliation(jid) == Affiliation::Outcast {
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
        let known = held.people().subscription(jid).copied();
        // §6.1.3.7.
        if known.is_some_and(|it| it.is_pending) && is_pending {
            return Err(with(Condition::NotAuthorized, "pending-subscription"));
        }
        let is_new = known.is_none();
        if is_new && !held.people().admits(jid, limit) {
            return Err(with(Condition::PolicyViolation, "too-many-subscriptions"));
        }
        // The owners are asked.
        if is_new && is_pending && !self.face.is_in_pace(ask, fx) {
            return Err(too_fast());
        }
        let mut subscription = known.unwrap_or(Subscription {
            is_pending,
            ..Subscription::NEW
        });
        subscription.is_pending &= is_pending;
        if let Some(options) = &options {
            take(&mut subscription, options, fx.now)?;
        }
        held.subscribe(jid, subscription, ask.view.owner(), fx);
        // §6.1.5, §6.3.7: it may have options; those that were asked for are shown.
        let state = element(ns::PUBSUB, node, jid.as_str(), &subscription)
            .with_child(Element::new(ns::PUBSUB, "subscribe-options"));
        let set = options.map(|_| {
            let form = form(FormKind::Result, &subscription);
            Element::new(ns::PUBSUB, "options").with_child(form)
        });
        answer(ask, [Some(state), set].into_iter().flatten(), fx);
        if is_new {
            self.subscribed(node, jid, &subscription, ask.view, fx);
        }
        Ok(())
    }

    /// Somebody is subscribed who was not, or wants to be: he hears the last item (§6.1.7), and the
    /// owners hear of him (§6.1.4, §12.14).
    fn subscribed(
        &mut self,
        node: &str,
        jid: &Jid,
        subscription: &Subscription,
        view: F::View<'_>,
        fx: &mut Effects,
    ) {
        let sends_last = |it: &&Node| it.config.send_last != SendLast::Never;
        let sends_last = self.nodes.get(node).filter(sends_last).is_some();
        if sends_last && !subscription.is_pending {
            self.send_last_to(node, jid, view, fx);
        }
        let Some(held) = self.nodes.get(node) else {
            return;
        };
        if subscription.is_pending {
            self.ask_owners(held, jid, view, fx);
        } else if held.config.notify_sub {
            self.tell_owners(held, jid, subscription, view, fx);
        }
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
        held.unsubscribe(jid, ask.view.owner(), fx);
        answer(ask, [ended(ns::PUBSUB, node, jid)], fx);
        self.tell_owners_of_end(node, jid, ask.view, fx);
        Ok(())
    }

    /// §6.3.2.
    fn options(
        &self,
        node: &str,
        jid: &Jid,
        ask: &Ask<F>,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let form = form(FormKind::Form, &self.subscription(node, jid, ask)?);
        let options = Element::new(ns::PUBSUB, "options")
            .with_attr("node", node)
            .with_attr("jid", jid.as_str())
            .with_child(form);
        answer(ask, [options], fx);
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
        let mut subscription = self.subscription(node, jid, ask)?;
        take(&mut subscription, options, fx.now)?;
        let held = self.nodes.get_mut(node).ok_or_else(not_found)?;
        held.subscribe(jid, subscription, ask.view.owner(), fx);
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
        let form = form(FormKind::Form, &Subscription::NEW);
        answer(ask, [default.with_child(form)], fx);
        Ok(())
    }

    /// One's own subscription (§6.2.3, §6.3.4).
    fn subscription(
        &self,
        node: &str,
        jid: &Jid,
        ask: &Ask<F>,
    ) -> Result<Subscription, StanzaError> {
        let held = self.nodes.get(node).ok_or_else(|| ask.absent())?;
        if !is_himself(jid, ask) {
            return Err(forbidden());
        }
        let found = held.people().subscription(jid).copied();
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
            let own = node.people().subscriptions_of(ask.from);
            let own = own.filter(|(_, it)| !it.is_over(fx.now));
            own.map(|(jid, it)| {
                let entry = element(ns::PUBSUB, &node.name, jid, it);
                (format!("{jid} {}", node.name), entry)
            })
        });
        self.tell_own("subscriptions", node, all.collect(), ask, fx)
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
                false => node.people().affiliation(ask.from),
            };
            let entry = Element::new(ns::PUBSUB, "affiliation")
                .with_attr("node", &node.name)
                .with_attr("affiliation", affiliation.as_str());
            (affiliation != Affiliation::None).then(|| (node.name.clone(), entry))
        });
        self.tell_own("affiliations", node, all.collect(), ask, fx)
    }

    /// A list of what is one's own, each entry with its name for paging. A stranger with nothing
    /// here hears the same as of an account that is not there (attacks P04).
    fn tell_own(
        &self,
        list: &'static str,
        node: Option<&str>,
        all: Vec<(String, Element)>,
        ask: &Ask<F>,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        if all.is_empty() && ask.standing == Standing::Stranger {
            return Err(ask.absent());
        }
        let asked = ask.request.payload().ok_or_else(bad_request)?;
        let (shown, set) = listing(&asked, &all, |(name, _)| name.as_str(), PEOPLE)?;
        let shown = shown.iter().map(|(_, entry)| entry.clone());
        let mut subject = Element::new(ns::PUBSUB, list).with_children(shown);
        if let Some(name) = node {
            if self.nodes.get(name).is_none() {
                return Err(not_found());
            }
            subject.set_attr("node", name);
        }
        answer(ask, [subject].into_iter().chain(set), fx);
        Ok(())
    }
}

fn is_himself<F: Face>(jid: &Jid, ask: &Ask<F>) -> bool {
    jid.bare_str() == ask.from.bare_str()
}

/// The options of a subscription: whether events are sent, and until when.
fn form(kind: FormKind, subscription: &Subscription) -> Element {
    let expire = match subscription.expire {
        0 => String::new(),
        stamp => datetime::format_seconds(stamp),
    };
    Form::new(kind, OPTIONS)
        .with_field(Field::boolean(DELIVER, subscription.delivers).with_label("Send events"))
        .with_field(Field::text(EXPIRE, expire).with_label("When it ends"))
        .to_element()
}

/// Takes what a form says of them (§6.3.5.2). Fields that nobody here knows are passed over; what
/// would be without effect is refused, as its reader would wait for it.
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
    // No specification says what a digest looks like, nor what of a payload is its body.
    let unmade = ["pubsub#digest", "pubsub#include_body"];
    let wants = |var: &&str| options.text(var).is_some() && options.boolean(var) != Some(false);
    // Whose presence is not known cannot be told by it.
    let chooses = options.values("pubsub#show-values").is_some_and(|chosen| {
        let is_chosen = |it: &&str| chosen.iter().any(|value| value == it);
        !SHOWS.iter().all(is_chosen)
    });
    let of_nodes = options.text("pubsub#subscription_type") == Some("nodes");
    match unmade.iter().any(wants) || chooses || of_nodes {
        true => Err(invalid()),
        false => Ok(()),
    }
}

/// All that `show-values` can hold (§16.4.2).
const SHOWS: [&str; 5] = ["away", "chat", "dnd", "online", "xa"];

/// `<subscription/>`.
pub fn element(ns: &'static str, node: &str, jid: &str, subscription: &Subscription) -> Element {
    let state = match subscription.is_pending {
        true => "pending",
        false => "subscribed",
    };
    let mut element = Element::new(ns, "subscription")
        .with_attr("jid", jid)
        .with_attr("subscription", state);
    if !node.is_empty() {
        element.set_attr("node", node);
    }
    element
}

/// `<subscription/>` that is none any more.
pub fn ended(ns: &'static str, node: &str, jid: &Jid) -> Element {
    let mut element = element(ns, node, jid.as_str(), &Subscription::NEW);
    element.set_attr("subscription", "none");
    element
}

fn answer<F: Face>(ask: &Ask<F>, inside: impl IntoIterator<Item = Element>, fx: &mut Effects) {
    let answer = Element::new(ns::PUBSUB, "pubsub").with_children(inside);
    fx.result(ask.request, Some(answer));
}
