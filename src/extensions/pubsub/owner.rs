//! What the owner of nodes does with them (XEP-0060 §8).

use rookery_actors::effect::Effects;
use rookery_actors::site::random_id;
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::forms::{FormKind, Submission};
use rookery_protocol::ns;
use rookery_protocol::xml::Element;

use super::access::{self, Standing};
use super::config::{Choices, Config, Refused};
use super::node::{Node, Stock};
use super::problem::{bad, forbidden, full, not_acceptable, not_found, unsupported, with};
use super::shelf::{self, Found};
use super::{Ask, Board, Face, Venue, Waiting, choices};

impl<F: Face> Board<F> {
    /// §8.1.
    pub fn create(
        &mut self,
        node: Option<String>,
        form: Option<Submission>,
        ask: &Ask<F>,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        F::may_create(self, ask)?;
        if node
            .as_ref()
            .is_some_and(|name| self.nodes.get(name).is_some())
        {
            return Err(StanzaError::new(Condition::Conflict));
        }
        if !self.has_room_for_node(ask.view) {
            return Err(full());
        }
        let is_instant = node.is_none();
        let name = node.unwrap_or_else(|| random_id().to_string());
        let mut config = F::fresh(&name);
        take(&mut config, form.as_ref(), &choices::<F>(ask.view))?;
        let creator = Some(ask.from).filter(|_| !F::OWNS);
        self.nodes
            .create(&name, config, creator, ask.view.owner(), fx);
        // §8.1.2: the name is told where the service chose it.
        let create = Element::new(ns::PUBSUB, "create").with_attr("node", &name);
        let answer = Element::new(ns::PUBSUB, "pubsub").with_child(create);
        fx.result(ask.request, Some(answer).filter(|_| is_instant));
        Ok(())
    }

    /// §8.2.1.
    pub fn configuration(
        &self,
        node: &str,
        ask: &Ask<F>,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let config = &self.owned(node, ask)?.config;
        let form = config
            .form(FormKind::Form, &choices::<F>(ask.view))
            .to_element();
        tell(ask, "configure", node, [form], fx);
        Ok(())
    }

    /// §8.2.4.
    pub fn configure(
        &mut self,
        node: String,
        form: Option<Submission>,
        ask: &Ask<F>,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let choices = choices::<F>(ask.view);
        let account = ask.view.owner();
        let mut config = self.owned(&node, ask)?.config.clone();
        take(&mut config, form.as_ref(), &choices)?;
        let held = self.nodes.get_mut(&node).ok_or_else(not_found)?;
        let room = match config.persist_items {
            true => config.room(choices.items),
            false => 0,
        };
        if config == held.config {
            fx.result(ask.request, None);
            return Ok(());
        }
        held.config = config;
        held.save(account, fx);
        let excess = held.stock.items.saturating_sub(room) as usize;
        if excess > 0 {
            let queries = vec![shelf::oldest(account, held.number, excess)];
            self.wait(Waiting::Shrinking { node }, Some(ask.request), queries, fx);
            return Ok(());
        }
        self.configured(&node, ask, fx);
        Ok(())
    }

    /// The items that a smaller node has no room for are there.
    pub fn shrunk(
        &mut self,
        node: &str,
        found: &Found,
        ask: &Ask<F>,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let held = self.nodes.get(node).ok_or_else(not_found)?;
        let items = found.of_node(held.number);
        let items: Vec<_> = items.map(|(place, item)| (&item.id, place)).collect();
        self.unshelve(node, items, ask.view, fx);
        self.configured(node, ask, fx);
        Ok(())
    }

    fn configured(&self, node: &str, ask: &Ask<F>, fx: &mut Effects) {
        fx.result(ask.request, None);
        if let Some(node) = self.nodes.get(node).filter(|it| it.config.notify_config) {
            let form = node.config.form(FormKind::Result, &choices::<F>(ask.view));
            let form = form.to_element();
            let form = Some(form).filter(|_| node.config.deliver_payloads);
            let change = Element::new(ns::PUBSUB_EVENT, "configuration")
                .with_attr("node", &node.name)
                .with_children(form);
            self.tell(node, change, ask.view, fx);
        }
    }

    /// §8.3.
    pub fn default_configuration(&self, ask: &Ask<F>, fx: &mut Effects) -> Result<(), StanzaError> {
        if !matches!(ask.standing, Standing::Owner | Standing::Guest) {
            return Err(ask.absent());
        }
        let form = F::fresh("")
            .form(FormKind::Form, &choices::<F>(ask.view))
            .to_element();
        tell(ask, "default", "", [form], fx);
        Ok(())
    }

    /// §8.4.
    pub fn delete(
        &mut self,
        node: &str,
        redirect: Option<String>,
        ask: &Ask<F>,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let held = self.owned(node, ask)?;
        fx.result(ask.request, None);
        if held.config.notify_delete {
            let there =
                |uri: &str| Element::new(ns::PUBSUB_EVENT, "redirect").with_attr("uri", uri);
            let end = Element::new(ns::PUBSUB_EVENT, "delete")
                .with_attr("node", node)
                .with_children(redirect.as_deref().map(there));
            // §8.4.2.
            self.tell_those(held, end, true, ask.view, fx);
        }
        self.nodes.delete(node, ask.view.owner(), fx);
        if let Some(uri) = redirect {
            self.nodes.forward(node, uri, ask.view.owner(), fx);
        }
        F::changed(self, node, None, &Found::default(), ask.view, fx);
        Ok(())
    }

    /// §8.5.
    pub fn purge(&mut self, node: &str, ask: &Ask<F>, fx: &mut Effects) -> Result<(), StanzaError> {
        let account = ask.view.owner();
        let held = self.owned(node, ask)?;
        // §8.5.3.3.
        if !held.config.persist_items {
            return Err(unsupported("persistent-items"));
        }
        shelf::clear(account, held.number, fx);
        let stock = Stock {
            items: 0,
            bytes: 0,
            ..held.stock
        };
        self.nodes.restock(node, stock, account, fx);
        fx.result(ask.request, None);
        if let Some(held) = self.nodes.get(node).filter(|it| it.config.notify_retract) {
            let purge = Element::new(ns::PUBSUB_EVENT, "purge").with_attr("node", node);
            self.tell(held, purge, ask.view, fx);
        }
        F::changed(self, node, None, &Found::default(), ask.view, fx);
        Ok(())
    }

    /// The node, if the asker owns it.
    pub fn owned(&self, node: &str, ask: &Ask<F>) -> Result<&Node, StanzaError> {
        match self.nodes.get(node) {
            Some(held) if access::is_owner(held, ask.from, &ask.standing) => Ok(held),
            Some(_) => Err(forbidden()),
            None => Err(ask.not_his()),
        }
    }
}

/// Answers with `<pubsub/>` of the owner's namespace.
pub fn tell<F: Face>(
    ask: &Ask<F>,
    name: &'static str,
    node: &str,
    inside: impl IntoIterator<Item = Element>,
    fx: &mut Effects,
) {
    let mut subject = Element::new(ns::PUBSUB_OWNER, name).with_children(inside);
    if !node.is_empty() {
        subject.set_attr("node", node);
    }
    let answer = Element::new(ns::PUBSUB_OWNER, "pubsub").with_child(subject);
    fx.result(ask.request, Some(answer));
}

/// §8.1.3, §8.2.5.2: the form must be one of a configuration, and possible.
fn take(
    config: &mut Config,
    form: Option<&Submission>,
    choices: &Choices,
) -> Result<(), StanzaError> {
    let Some(form) = form else { return Ok(()) };
    if form
        .form_type()
        .is_some_and(|it| it != ns::PUBSUB_NODE_CONFIG)
    {
        return Err(bad("invalid-options"));
    }
    config.take(form, choices).map_err(|refused| match refused {
        Refused::Value | Refused::Unknown => not_acceptable(),
        Refused::Access => with(Condition::NotAcceptable, "unsupported-access-model"),
        Refused::Collection => unsupported("collections"),
    })
}
