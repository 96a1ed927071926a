//! The command by which an owner asks for the requests that wait at his nodes (XEP-0060 §8.7).

use rookery_actors::effect::Effects;
use rookery_actors::site::random_id;
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::forms::{Field, FieldType, Form, Submission};
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::xml::Element;

use super::Commons;
use crate::extensions::pubsub::access::is_owner;
use crate::extensions::pubsub::node::Node;
use crate::extensions::pubsub::people::{AUTHORIZATION, NODE, request};
use crate::extensions::pubsub::problem::{bad, forbidden, not_found};
use crate::extensions::pubsub::{Ask, Board, Face};
use crate::extensions::request::{bad_request, sets};

/// The command's node.
pub const COMMAND: &str = "http://jabber.org/protocol/pubsub#get-pending";

impl Board<Commons> {
    /// Without a form the owner is shown his nodes where somebody waits; with one he is sent the
    /// requests of a node again.
    pub(super) fn command(
        &mut self,
        payload: &Element,
        ask: &Ask<Commons>,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        if !sets(ask.request, payload, "command") {
            return Err(bad_request());
        }
        if payload.attr("node") != Some(COMMAND) {
            return Err(not_found());
        }
        let form = payload.child(ns::DATA_FORMS, "x");
        match (payload.attr("action"), form) {
            (Some("cancel"), _) => answer(payload, "canceled", None, ask, fx),
            (_, Some(form)) => {
                let form = Submission::read(form)?;
                let name = form.text(NODE).ok_or_else(|| bad("nodeid-required"))?;
                let node = self.nodes.get(name).ok_or_else(not_found)?;
                if !is_owner(node, ask.from, &ask.standing) {
                    return Err(forbidden());
                }
                answer(payload, "completed", None, ask, fx);
                for jid in waiting(node) {
                    // As many as the owner can be sent now; the others the next time.
                    if self.face.is_in_pace(ask, fx) {
                        let again = request(node, &jid, ask.view.jid);
                        fx.route(again.with_to(ask.from.bare()));
                    }
                }
            }
            (None | Some("execute" | "next" | "complete"), None) => {
                let form = self.choice(ask)?;
                answer(payload, "executing", Some(form), ask, fx);
            }
            _ => return Err(bad_request()),
        }
        Ok(())
    }

    /// The nodes of the asker where somebody waits.
    fn choice(&self, ask: &Ask<Commons>) -> Result<Element, StanzaError> {
        let own = |node: &&Node| is_owner(node, ask.from, &ask.standing);
        let mut owned = self.nodes.iter().filter(own).peekable();
        if owned.peek().is_none() {
            return Err(StanzaError::new(Condition::Forbidden));
        }
        let field = Field::new(FieldType::ListSingle, NODE).with_label("Node");
        let field = owned
            .filter(|node| waiting(node).next().is_some())
            .fold(field, |field, node| {
                field.with_option(&node.name, &node.name)
            });
        Ok(Form::offer(AUTHORIZATION).with_field(field).to_element())
    }
}

/// Who waits at a node.
fn waiting(node: &Node) -> impl Iterator<Item = Jid> {
    let all = node.people().subscriptions();
    let all = all.filter(|(_, it)| it.is_pending);
    all.filter_map(|(jid, _)| Jid::parse(jid).ok())
}

/// XEP-0050 §3: a session of two steps of which nothing need be remembered.
fn answer(
    command: &Element,
    status: &'static str,
    form: Option<Element>,
    ask: &Ask<Commons>,
    fx: &mut Effects,
) {
    let session = command.attr("sessionid").filter(|it| it.len() <= 64);
    let session = session.map_or_else(|| random_id().to_string(), str::to_owned);
    let answer = Element::new(ns::ADHOC, "command")
        .with_attr("sessionid", session)
        .with_attr("node", COMMAND)
        .with_attr("status", status);
    let actions = Element::new(ns::ADHOC, "actions")
        .with_attr("execute", "complete")
        .with_child(Element::new(ns::ADHOC, "complete"));
    let actions = form.is_some().then_some(actions);
    fx.result(
        ask.request,
        Some(answer.with_children(actions).with_children(form)),
    );
}
