//! What the owner of nodes does with them (XEP-0060 §8).

use rookery_actors::effect::Effects;
use rookery_actors::site::random_id;
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::forms::{FormKind, Submission};
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::xml::Element;

use super::access::{self, Standing};
use super::config::{Config, Refused};
use super::defaults;
use super::node::{Affiliation, Node};
use super::problem::{bad, forbidden, full, not_acceptable, not_found};
use super::shelf::{self, Found};
use super::{Ask, Pep, Waiting};

impl Pep {
    /// §8.1.
    pub(super) fn create(
        &mut self,
        node: Option<String>,
        form: Option<Submission>,
        ask: &Ask,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let settings = &ask.view.site.settings.pubsub;
        match (&ask.standing, &node) {
            (Standing::Owner, Some(name)) if self.nodes.get(name).is_some() => {
                return Err(StanzaError::new(Condition::Conflict));
            }
            (Standing::Owner, _) => {}
            (Standing::Stranger, _) => return Err(ask.absent()),
            (Standing::Contact(_), _) => return Err(forbidden()),
        }
        if !self.has_room_for_node(ask.view) {
            return Err(full());
        }
        let is_instant = node.is_none();
        let name = node.unwrap_or_else(|| random_id().to_string());
        let mut config = defaults::of_node(&name);
        take(&mut config, form.as_ref(), settings.items)?;
        self.nodes.create(&name, config, ask.view.account.id, fx);
        // §8.1.2: the name is told where the service chose it.
        let create = Element::new(ns::PUBSUB, "create").with_attr("node", &name);
        let answer = Element::new(ns::PUBSUB, "pubsub").with_child(create);
        fx.result(ask.request, Some(answer).filter(|_| is_instant));
        Ok(())
    }

    /// §8.2.1.
    pub(super) fn configuration(
        &self,
        node: &str,
        ask: &Ask,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let config = &self.owned(node, ask)?.config;
        let form = config.form(FormKind::Form).to_element();
        tell(ask, "configure", node, [form], fx);
        Ok(())
    }

    /// §8.2.4.
    pub(super) fn configure(
        &mut self,
        node: String,
        form: Option<Submission>,
        ask: &Ask,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let limit = ask.view.site.settings.pubsub.items;
        let account = ask.view.account.id;
        let mut config = self.owned(&node, ask)?.config.clone();
        take(&mut config, form.as_ref(), limit)?;
        let held = self.nodes.get_mut(&node).ok_or_else(not_found)?;
        let room = match config.persist_items {
            true => config.room(limit),
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
    pub(super) fn shrunk(
        &mut self,
        node: &str,
        found: &Found,
        ask: &Ask,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let held = self.nodes.get(node).ok_or_else(not_found)?;
        let items = found.of_node(held.number);
        let items: Vec<_> = items.map(|(place, item)| (&item.id, place)).collect();
        self.unshelve(node, items, ask.view, fx);
        self.configured(node, ask, fx);
        Ok(())
    }

    fn configured(&self, node: &str, ask: &Ask, fx: &mut Effects) {
        fx.result(ask.request, None);
        if let Some(node) = self.nodes.get(node).filter(|it| it.config.notify_config) {
            let form = node.config.form(FormKind::Result).to_element();
            let form = Some(form).filter(|_| node.config.deliver_payloads);
            let change = Element::new(ns::PUBSUB_EVENT, "configuration")
                .with_attr("node", &node.name)
                .with_children(form);
            self.tell(node, change, ask.view, fx);
        }
    }

    /// §8.3.
    pub(super) fn default_configuration(
        &self,
        ask: &Ask,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        if ask.standing != Standing::Owner {
            return Err(ask.absent());
        }
        let form = Config::default().form(FormKind::Form).to_element();
        tell(ask, "default", "", [form], fx);
        Ok(())
    }

    /// §8.4.
    pub(super) fn delete(
        &mut self,
        node: &str,
        ask: &Ask,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let held = self.owned(node, ask)?;
        fx.result(ask.request, None);
        if held.config.notify_delete {
            let end = Element::new(ns::PUBSUB_EVENT, "delete").with_attr("node", node);
            self.tell(held, end, ask.view, fx);
        }
        self.nodes.delete(node, ask.view.account.id, fx);
        self.changed(node, None, ask.view, fx);
        Ok(())
    }

    /// §8.5.
    pub(super) fn purge(
        &mut self,
        node: &str,
        ask: &Ask,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let account = ask.view.account.id;
        self.owned(node, ask)?;
        let held = self.nodes.get_mut(node).ok_or_else(not_found)?;
        shelf::clear(account, held.number, fx);
        (held.stock.items, held.stock.bytes) = (0, 0);
        held.save_stock(account, fx);
        fx.result(ask.request, None);
        if let Some(held) = self.nodes.get(node).filter(|it| it.config.notify_retract) {
            let purge = Element::new(ns::PUBSUB_EVENT, "purge").with_attr("node", node);
            self.tell(held, purge, ask.view, fx);
        }
        self.changed(node, None, ask.view, fx);
        Ok(())
    }

    /// §8.9.1.
    pub(super) fn affiliates(
        &self,
        node: &str,
        ask: &Ask,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let held = self.owned(node, ask)?;
        let own = (ask.view.account.jid.as_str(), Affiliation::Owner);
        let all = std::iter::once(own).chain(held.affiliations());
        let entries = all.map(|(jid, affiliation)| {
            Element::new(ns::PUBSUB_OWNER, "affiliation")
                .with_attr("jid", jid)
                .with_attr("affiliation", affiliation.as_str())
        });
        tell(ask, "affiliations", node, entries, fx);
        Ok(())
    }

    /// §8.9.2. All of the changes, or none.
    pub(super) fn affiliate(
        &mut self,
        node: &str,
        changes: Vec<(Jid, Affiliation)>,
        ask: &Ask,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        self.owned(node, ask)?;
        let limit = ask.view.site.settings.pubsub.people;
        // The account owns its nodes, whatever anybody says (§8.9.2.4).
        if changes.iter().any(|(jid, _)| ask.view.account.is_self(jid)) {
            return Err(not_acceptable());
        }
        let held = self.nodes.get_mut(node).ok_or_else(not_found)?;
        let known = held.affiliations().count();
        if known + changes.len() > limit {
            return Err(full());
        }
        for (jid, affiliation) in changes {
            held.affiliate(&jid, affiliation, limit);
            if affiliation == Affiliation::Outcast {
                let bare = jid.bare();
                held.unsubscribe(&bare);
            }
        }
        held.save(ask.view.account.id, fx);
        fx.result(ask.request, None);
        Ok(())
    }

    /// The node, if the asker owns it.
    pub(super) fn owned(&self, node: &str, ask: &Ask) -> Result<&Node, StanzaError> {
        match self.nodes.get(node) {
            Some(held) if access::is_owner(held, ask.from, &ask.standing) => Ok(held),
            Some(_) => Err(forbidden()),
            None if matches!(ask.standing, Standing::Contact(_)) => Err(forbidden()),
            None => Err(ask.absent()),
        }
    }
}

/// Answers with `<pubsub/>` of the owner's namespace.
pub(super) fn tell(
    ask: &Ask,
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
fn take(config: &mut Config, form: Option<&Submission>, limit: u32) -> Result<(), StanzaError> {
    let Some(form) = form else { return Ok(()) };
    if form
        .form_type()
        .is_some_and(|it| it != ns::PUBSUB_NODE_CONFIG)
    {
        return Err(bad("invalid-options"));
    }
    config.take(form, limit).map_err(|refused| match refused {
        Refused::Value | Refused::Unknown => not_acceptable(),
    })
}
