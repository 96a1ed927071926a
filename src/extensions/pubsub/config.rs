//! How a node is configured (XEP-0060 §8.2), as a form and as what a form asks for.

mod choice;

pub use choice::{Access, Full, Publishers, Reply, SendLast, Style};

use rookery_actors::effect::Millis;
use rookery_protocol::forms::{Field, FieldType, Form, FormKind, Submission};
use rookery_protocol::ns;
use serde::{Deserialize, Serialize};

use self::choice::field;
use super::value::{contacts, fixed, max_items, one_of, payload, seconds};

/// As many items as the server lets a node have.
pub const MAX: u32 = u32::MAX;
/// The longest text in a configuration, in bytes.
const TEXT: usize = 1024;
/// The most groups that a node may be open to.
const GROUPS: usize = 100;

/// The configuration of a node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Config {
    pub access: Access,
    pub publishers: Publishers,
    pub send_last: SendLast,
    pub style: Style,
    /// Or [`MAX`].
    pub max_items: u32,
    pub persist_items: bool,
    pub deliver_notifications: bool,
    pub deliver_payloads: bool,
    pub notify_config: bool,
    pub notify_delete: bool,
    pub notify_retract: bool,
    pub notify_sub: bool,
    pub subscribe: bool,
    pub title: String,
    pub description: String,
    /// The namespace of the payloads, for people who look.
    pub kind: String,
    /// The groups of [`Access::Roster`].
    pub groups: Vec<String>,
    /// What a later version of the row has besides.
    #[serde(skip)]
    pub details: Details,
}

/// The rest of a configuration.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Details {
    /// The most bytes of an item; 0: as many as the server lets it have.
    pub max_payload: u32,
    /// Seconds after which an item is not shown any more; 0: never.
    pub item_expire: u32,
    /// Whom to ask about the node.
    pub contact: Vec<String>,
    pub language: String,
    pub full: Full,
    pub reply: Reply,
}

/// The same as the second version of a node's row had it.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct DetailsV2 {
    max_payload: u32,
    item_expire: u32,
    contact: Vec<String>,
    language: String,
    rejects: bool,
}

impl From<DetailsV2> for Details {
    fn from(old: DetailsV2) -> Details {
        Details {
            max_payload: old.max_payload,
            item_expire: old.item_expire,
            contact: old.contact,
            language: old.language,
            full: match old.rejects {
                true => Full::Reject,
                false => Full::Retract,
            },
            reply: Reply::Publisher,
        }
    }
}

/// What a node may be configured to be here.
#[derive(Clone, Copy, Debug)]
pub struct Choices {
    pub access: &'static [Access],
    pub send_last: &'static [SendLast],
    /// The most items that it may have.
    pub items: u32,
    /// The most bytes of one.
    pub payload: u32,
}

/// Why a value was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// No field of this name.
    Unknown,
    /// The field cannot have this value.
    Value,
    /// Access cannot be ruled so here (§8.1.2).
    Access,
    /// There are no such nodes here (XEP-0248).
    Collection,
}

impl Default for Config {
    /// What XEP-0163 §6 recommends: for those who may see the owner's presence, one item, sent to
    /// whoever comes.
    fn default() -> Config {
        Config {
            access: Access::Presence,
            publishers: Publishers::Named,
            send_last: SendLast::OnSubAndPresence,
            style: Style::Headline,
            max_items: 1,
            persist_items: true,
            deliver_notifications: true,
            deliver_payloads: true,
            notify_config: false,
            notify_delete: false,
            notify_retract: true,
            notify_sub: false,
            subscribe: true,
            title: String::new(),
            description: String::new(),
            kind: String::new(),
            groups: Vec::new(),
            details: Details::default(),
        }
    }
}

impl Config {
    /// How many items the node may have where the server allows `limit`.
    pub fn room(&self, limit: u32) -> u32 {
        self.max_items.min(limit)
    }

    /// Whether a full node drops what is oldest for what is new (§7.1.2.5): not where its owner set
    /// no number, as nobody expects to lose anything there.
    pub fn drops_oldest(&self) -> bool {
        self.max_items != MAX && self.details.full != Full::Reject
    }

    /// The most bytes of an item, where the server allows `limit`.
    pub fn payload(&self, limit: usize) -> usize {
        match self.details.max_payload {
            0 => limit,
            bytes => limit.min(bytes as usize),
        }
    }

    /// Items from before this are not shown any more, now.
    pub fn horizon(&self, now: Millis) -> Millis {
        match self.details.item_expire {
            0 => 0,
            seconds => now.saturating_sub(Millis::from(seconds) * 1000),
        }
    }

    /// The form with the configuration: to be filled in (§8.2.2), or as data.
    pub fn form(&self, kind: FormKind, choices: &Choices) -> Form {
        let form = match kind {
            FormKind::Form => Form::offer(ns::PUBSUB_NODE_CONFIG),
            _ => Form::result(ns::PUBSUB_NODE_CONFIG),
        };
        let text = |var, value: &str, label| Field::text(var, value).with_label(label);
        let max_items = match self.max_items {
            MAX => "max".to_owned(),
            number => number.to_string(),
        };
        let groups = Field::new(FieldType::TextMulti, GROUPS_ALLOWED)
            .with_label("Groups of contacts who may see the items")
            .with_values(self.groups.iter().cloned());
        let groups = Some(groups).filter(|_| choices.access.contains(&Access::Roster));
        let expire = match self.details.item_expire {
            0 => "max".to_owned(),
            seconds => seconds.to_string(),
        };
        let payload = self.payload(choices.payload as usize).to_string();
        let contact = Field::new(FieldType::JidMulti, CONTACT)
            .with_label("Whom to ask about the node")
            .with_values(self.details.contact.iter().cloned());
        let language = &self.details.language;
        let form = form
            .with_field(text("pubsub#title", &self.title, "Title"))
            .with_field(text("pubsub#description", &self.description, "Description"))
            .with_field(text("pubsub#type", &self.kind, "Namespace of the payloads"))
            .with_field(text("pubsub#max_items", &max_items, "Items kept, or max"))
            .with_field(text("pubsub#item_expire", &expire, "Seconds, or max"))
            .with_field(text(
                "pubsub#max_payload_size",
                &payload,
                "Bytes of an item",
            ))
            .with_field(text("pubsub#language", language, "Language of the items"))
            .with_field(contact)
            .with_field(field(NODE_FULL, self.details.full, Full::ALL))
            .with_field(field(ITEM_REPLY, self.details.reply, Reply::ALL))
            .with_field(field(ACCESS_MODEL, self.access, choices.access))
            .with_field(field(PUBLISH_MODEL, self.publishers, Publishers::ALL))
            .with_field(field(SEND_LAST, self.send_last, choices.send_last))
            .with_field(field(STYLE, self.style, Style::ALL));
        let form = groups.into_iter().fold(form, Form::with_field);
        SWITCHES.iter().fold(form, |form, (var, label, get)| {
            let mut copy = self.clone();
            form.with_field(Field::boolean(*var, *get(&mut copy)).with_label(*label))
        })
    }

    /// Takes what a form asks for (§8.2.4); fields that nobody here knows are passed over
    /// (XEP-0004 §3.1).
    pub fn take(&mut self, form: &Submission, choices: &Choices) -> Result<(), Refused> {
        for var in form.names().filter(|var| *var != "FORM_TYPE") {
            let values = form.values(var).unwrap_or_default();
            match self.set(var, values, choices) {
                Err(Refused::Unknown) | Ok(()) => {}
                Err(refused) => return Err(refused),
            }
        }
        Ok(())
    }

    /// Whether a node configured so meets the preconditions of a publication (§7.1.5): to ask for
    /// them would change nothing.
    pub fn meets(&self, options: &Submission, choices: &Choices) -> bool {
        let mut asked = self.clone();
        asked.take_all(options, choices).is_ok() && asked == *self
    }

    /// Takes the preconditions of a publication that makes the node; all of them, or it fails.
    pub fn take_all(&mut self, options: &Submission, choices: &Choices) -> Result<(), Refused> {
        let mut fields = options.names().filter(|var| *var != "FORM_TYPE");
        let values = |var| options.values(var).unwrap_or_default();
        fields.try_for_each(|var| self.set(var, values(var), choices))
    }

    fn set(&mut self, var: &str, values: &[String], choices: &Choices) -> Result<(), Refused> {
        if var == CONTACT {
            self.details.contact = contacts(values)?;
            return Ok(());
        }
        if var == GROUPS_ALLOWED {
            let mut groups: Vec<String> =
                values.iter().filter(|it| !it.is_empty()).cloned().collect();
            groups.sort_unstable();
            groups.dedup();
            if groups.len() > GROUPS || groups.iter().any(|group| group.len() > TEXT) {
                return Err(Refused::Value);
            }
            self.groups = groups;
            return Ok(());
        }
        let value = values.first().map_or("", String::as_str);
        if values.len() > 1 || value.len() > TEXT {
            return Err(Refused::Value);
        }
        if let Some((_, _, field)) = SWITCHES.iter().find(|(known, _, _)| *known == var) {
            *field(self) = match value {
                "1" | "true" => true,
                "0" | "false" => false,
                _ => return Err(Refused::Value),
            };
            return Ok(());
        }
        match var {
            "pubsub#title" => self.title = value.to_owned(),
            "pubsub#description" => self.description = value.to_owned(),
            "pubsub#type" => self.kind = value.to_owned(),
            "pubsub#max_items" => self.max_items = max_items(value, choices.items)?,
            ACCESS_MODEL => {
                let access = one_of(Access::parse(value), choices.access);
                self.access = access.map_err(|_| Refused::Access)?;
            }
            PUBLISH_MODEL => {
                self.publishers = Publishers::parse(value).ok_or(Refused::Value)?;
            }
            SEND_LAST => {
                self.send_last = one_of(SendLast::parse(value), choices.send_last)?;
            }
            STYLE => self.style = Style::parse(value).ok_or(Refused::Value)?,
            ITEM_REPLY => self.details.reply = Reply::parse(value).ok_or(Refused::Value)?,
            NODE_FULL => self.details.full = Full::parse(value).ok_or(Refused::Value)?,
            "pubsub#language" => self.details.language = value.to_owned(),
            "pubsub#item_expire" => self.details.item_expire = seconds(value)?,
            "pubsub#max_payload_size" => {
                self.details.max_payload = payload(value, choices.payload)?;
            }
            _ => return fixed(var, value),
        }
        Ok(())
    }
}

const ACCESS_MODEL: &str = "pubsub#access_model";
const PUBLISH_MODEL: &str = "pubsub#publish_model";
const SEND_LAST: &str = "pubsub#send_last_published_item";
const STYLE: &str = "pubsub#notification_type";
const ITEM_REPLY: &str = "pubsub#itemreply";
const NODE_FULL: &str = "pubsub#publish_node_full";
const CONTACT: &str = "pubsub#contact";
const GROUPS_ALLOWED: &str = "pubsub#roster_groups_allowed";

/// A yes or no: its field, what people see, and where it is.
type Switch = (&'static str, &'static str, fn(&mut Config) -> &mut bool);

const SWITCHES: &[Switch] = &[
    ("pubsub#persist_items", "Keep items", |it| {
        &mut it.persist_items
    }),
    ("pubsub#deliver_notifications", "Tell of events", |it| {
        &mut it.deliver_notifications
    }),
    (
        "pubsub#deliver_payloads",
        "Tell what the items hold",
        |it| &mut it.deliver_payloads,
    ),
    (
        "pubsub#notify_config",
        "Tell of a new configuration",
        |it| &mut it.notify_config,
    ),
    (
        "pubsub#notify_delete",
        "Tell when the node is deleted",
        |it| &mut it.notify_delete,
    ),
    (
        "pubsub#notify_retract",
        "Tell when an item is removed",
        |it| &mut it.notify_retract,
    ),
    (
        "pubsub#notify_sub",
        "Tell the owner of subscriptions",
        |it| &mut it.notify_sub,
    ),
    ("pubsub#subscribe", "Allow subscriptions", |it| {
        &mut it.subscribe
    }),
];

#[cfg(test)]
mod tests;
