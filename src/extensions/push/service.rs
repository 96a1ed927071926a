//! One push service that a client enabled for its account: its row, and what it is sent.

use rookery_actors::clients::ClientKey;
use rookery_actors::effect::{Effects, Millis};
use rookery_actors::hub::account::Account;
use rookery_actors::keys::{AccountId, Kind, row};
use rookery_protocol::error::{Condition, ErrorType, StanzaError};
use rookery_protocol::forms::{Field, FieldType, Form, FormKind};
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::sasl::Hash;
use rookery_protocol::stanza::{IqType, Stanza};
use rookery_protocol::xml::Element;
use rookery_storage::Tree;
use rookery_storage::record::{Record, encode};
use serde::{Deserialize, Serialize};
use tracing::error;

use crate::extensions::request::bad_request;

/// A [`Service`]; then a digest of its address and node.
pub(super) const SERVICE: Kind = Kind(0x15);
/// A client asks for a word on how urgent each notification is; there is no XEP, but Tigase's
/// proposal is what clients and other servers use.
pub(super) const PRIORITY: &str = "tigase:push:priority:0";

/// Bytes of the name of a node.
const NODE: usize = 1024;
/// Bytes of the form with what the service wants to be sent.
const FORM: usize = 4096;

/// The row of a push service.
#[derive(Clone, Serialize, Deserialize, PartialEq, Debug)]
pub(super) struct Service {
    pub jid: String,
    pub node: Option<String>,
    /// The form of publish options as its client wrote it.
    form: Option<String>,
    /// Its client wants to know what is urgent.
    priority: bool,
    /// Whose it is.
    pub client: ClientKey,
    /// When it was enabled last.
    pub since: Millis,
    /// Errors without a success between them.
    pub errors: u32,
    /// Messages that mattered since its client was there.
    pub missed: u32,
}

impl Record for Service {
    const VERSION: u8 = 1;
}

impl Service {
    /// Reads `<enable/>` (§5) of a client of the account `own`.
    pub fn read(
        enable: &Element,
        client: ClientKey,
        own: &Jid,
        since: Millis,
    ) -> Result<Service, StanzaError> {
        let jid = address(enable)?;
        // A service that is the account itself would publish to its own nodes.
        if jid.bare_str() == own.as_str() {
            return Err(StanzaError::new(Condition::NotAcceptable));
        }
        let node = node(enable)?;
        let form = enable.child(ns::DATA_FORMS, "x");
        let form = form.map(|form| String::from_utf8(form.to_bytes("")).unwrap_or_default());
        if form.as_ref().is_some_and(|form| form.len() > FORM) {
            return Err(StanzaError::new(Condition::NotAcceptable));
        }
        if let Some(form) = enable.child(ns::DATA_FORMS, "x")
            && form_type(form).as_deref() != Some(ns::PUBSUB_PUBLISH_OPTIONS)
        {
            return Err(bad_request());
        }
        Ok(Service {
            jid: jid.to_string(),
            node,
            form,
            priority: enable.child(PRIORITY, "priority").is_some(),
            client,
            since,
            errors: 0,
            missed: 0,
        })
    }

    /// Whether it is the one of this address, and of this node if that is named.
    pub fn is(&self, jid: &str, node: Option<&str>) -> bool {
        self.jid == jid && node.is_none_or(|node| self.node.as_deref() == Some(node))
    }

    /// The key of its row.
    pub fn key(&self, account: AccountId) -> Vec<u8> {
        let node = self.node.as_deref().unwrap_or_default();
        // NUL is in no XML, so no two names meet.
        let name = format!("{}\0{node}", self.jid);
        let digest = Hash::Sha256.digest(name.as_bytes());
        row(account, SERVICE, &digest[..16])
    }

    /// Writes its row.
    pub fn save(&self, account: AccountId, fx: &mut Effects) {
        match encode(self) {
            Ok(value) => fx.put(Tree::Account, self.key(account), value),
            Err(problem) => error!(%problem, "a push service cannot be written"),
        }
    }

    /// §7: how many messages and requests wait, and nothing of who wrote what (attacks P15).
    /// `None`: its address is none.
    pub fn notification(&self, own: &Account, id: &str) -> Option<Stanza> {
        let requests = own.askers().count();
        let mut summary = Form::new(FormKind::Form, "urn:xmpp:push:summary");
        let count = |name| Field::new(FieldType::TextSingle, name);
        summary = summary.with_field(count("message-count").with_value(self.missed.to_string()));
        if requests > 0 {
            let count = count("pending-subscription-count");
            summary = summary.with_field(count.with_value(requests.to_string()));
        }
        let mut notification =
            Element::new(ns::PUSH, "notification").with_child(summary.to_element());
        // All that wakes a phone is there to be shown.
        if self.priority {
            notification.push(Element::new(PRIORITY, "priority").with_text("high"));
        }
        let item = Element::new(ns::PUBSUB, "item").with_child(notification);
        let mut publish = Element::new(ns::PUBSUB, "publish").with_child(item);
        if let Some(node) = &self.node {
            publish.set_attr("node", node);
        }
        let form = self.form.as_ref();
        let form = form.and_then(|form| Element::parse(form, "").ok());
        let options = form.map(|form| Element::new(ns::PUBSUB, "publish-options").with_child(form));
        let pubsub = Element::new(ns::PUBSUB, "pubsub")
            .with_child(publish)
            .with_children(options);
        let stanza = Stanza::iq(IqType::Set, id)
            .with_from(own.jid.clone())
            .with_to(Jid::parse(&self.jid).ok()?);
        Some(stanza.with_child(&pubsub))
    }
}

/// The service that `<enable/>` or `<disable/>` names; it must (§5, §6).
pub(super) fn address(element: &Element) -> Result<Jid, StanzaError> {
    let jid = element.attr("jid").ok_or_else(bad_request)?;
    Jid::parse(jid).map_err(|_| StanzaError::new(Condition::JidMalformed))
}

/// The node that it names, if any.
pub(super) fn node(element: &Element) -> Result<Option<String>, StanzaError> {
    match element.attr("node") {
        Some(node) if node.len() > NODE => Err(StanzaError::new(Condition::NotAcceptable)),
        node => Ok(node.map(str::to_owned)),
    }
}

fn form_type(form: &Element) -> Option<String> {
    let mut fields = form.children();
    let field = fields.find(|it| it.attr("var") == Some("FORM_TYPE"))?;
    Some(field.child(ns::DATA_FORMS, "value")?.text())
}

/// What the answer of a service to a notification says of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// It took the notification.
    Works,
    /// It may work again (§7.1: "recoverable or transient").
    Fails,
    /// It wants no more of this, or its node is gone.
    Over,
}

impl Verdict {
    /// §7.1: an error ends it, but for those that say that the service cannot be reached or is
    /// busy for now.
    pub fn of(answer: &Stanza) -> Verdict {
        use Condition::*;
        if !answer.is_error() {
            return Verdict::Works;
        }
        let Some(error) = answer.error() else {
            return Verdict::Fails;
        };
        match error.condition {
            _ if error.kind == ErrorType::Wait => Verdict::Fails,
            InternalServerError | RecipientUnavailable | RemoteServerNotFound
            | RemoteServerTimeout | ResourceConstraint | ServiceUnavailable => Verdict::Fails,
            _ => Verdict::Over,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rookery_storage::record::decode;

    /// If this fails, push services on every disk out there can no longer be read: raise the
    /// version.
    #[test]
    fn golden_bytes() {
        let service = Service {
            jid: "p.test".into(),
            node: Some("n".into()),
            form: None,
            priority: true,
            client: ClientKey::nameless("r"),
            since: 5,
            errors: 2,
            missed: 3,
        };
        let client = [0; 16];
        let golden = [&b"\x01\x06p.test\x01\x01n\x00\x01"[..], &client, &[5, 2, 3]];
        let mut golden = golden.concat();
        let bytes = encode(&service).unwrap();
        golden[13..29].copy_from_slice(&bytes[13..29]);
        assert_eq!(bytes, golden);
        assert_eq!(decode::<Service>(&golden).unwrap(), service);
        assert_eq!(service.key(AccountId(7))[..5], [0, 0, 0, 7, 0x15]);
        let other = Service {
            node: None,
            ..service.clone()
        };
        assert_ne!(other.key(AccountId(7)), service.key(AccountId(7)));
    }
}
