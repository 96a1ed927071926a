//! What an IQ of XEP-0060 asks for, read and checked as far as that goes without knowing the node.

use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::forms::Submission;
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::{IqType, Kind, Stanza};
use rookery_protocol::xml::Element;

use super::circle::Affiliation;
use super::node::NAME;
use super::paging::Page;
use super::problem::{bad, unsupported, with};

/// The most items that one request names.
const AT_ONCE: usize = 100;

/// An item as it is sent: its id and its payload, if it has them.
pub type Sent = (Option<String>, Option<Element>);

/// A request.
#[derive(Debug, PartialEq)]
pub enum Order {
    /// §6.5: these items, or so many of the newest, or a page of all.
    Items {
        node: String,
        ids: Vec<String>,
        recent: Option<usize>,
        page: Option<Page>,
    },
    /// §7.1.
    Publish {
        node: String,
        item: Option<Sent>,
        options: Option<Submission>,
    },
    /// §7.2.
    Retract {
        node: String,
        ids: Vec<String>,
        notify: bool,
    },
    /// §8.1. Without a name the service makes one.
    Create {
        node: Option<String>,
        form: Option<Submission>,
    },
    /// §6.1.
    Subscribe {
        node: String,
        jid: Jid,
        options: Option<Submission>,
    },
    /// §6.2.
    Unsubscribe { node: String, jid: Jid },
    /// §6.3.
    Options { node: String, jid: Jid },
    /// §6.3.5.
    SetOptions {
        node: String,
        jid: Jid,
        options: Submission,
    },
    /// §6.4.
    DefaultOptions { node: Option<String> },
    /// §5.6.
    Subscriptions { node: Option<String> },
    /// §5.7.
    Affiliations { node: Option<String> },
    /// §8.2.
    Configuration { node: String },
    /// §8.2.4; without a form it was cancelled.
    Configure {
        node: String,
        form: Option<Submission>,
    },
    /// §8.3.
    DefaultConfiguration,
    /// §8.4; `redirect`: where the node is from now on.
    Delete {
        node: String,
        redirect: Option<String>,
    },
    /// §8.5.
    Purge { node: String },
    /// §8.8.1.
    Subscribers { node: String },
    /// §8.8.2: each JID, and whether it is subscribed from now on, or nothing that an owner can
    /// make it.
    SetSubscribers {
        node: String,
        changes: Vec<(Jid, Option<bool>)>,
    },
    /// §8.9.1.
    Affiliates { node: String },
    /// §8.9.2.
    SetAffiliates {
        node: String,
        changes: Vec<(Jid, Affiliation)>,
    },
}

impl Order {
    /// The node that it is about, if it is about one.
    pub fn node(&self) -> Option<&str> {
        match self {
            Order::Items { node, .. }
            | Order::Publish { node, .. }
            | Order::Retract { node, .. }
            | Order::Subscribe { node, .. }
            | Order::Unsubscribe { node, .. }
            | Order::Options { node, .. }
            | Order::SetOptions { node, .. }
            | Order::Configuration { node }
            | Order::Configure { node, .. }
            | Order::Delete { node, .. }
            | Order::Purge { node }
            | Order::Subscribers { node }
            | Order::SetSubscribers { node, .. }
            | Order::Affiliates { node }
            | Order::SetAffiliates { node, .. } => Some(node),
            Order::Create { node, .. }
            | Order::Subscriptions { node }
            | Order::DefaultOptions { node }
            | Order::Affiliations { node } => node.as_deref(),
            Order::DefaultConfiguration => None,
        }
    }

    /// Reads the payload of a request.
    pub fn read(request: &Stanza, payload: &Element) -> Result<Order, StanzaError> {
        let is_set = request.kind == Kind::Iq(IqType::Set);
        if payload.name() != "pubsub" {
            return Err(StanzaError::new(Condition::BadRequest));
        }
        let own = payload.children().find(|it| it.ns() == payload.ns());
        let subject = own.ok_or_else(|| bad("nodeid-required"))?;
        match payload.ns() {
            ns::PUBSUB_OWNER => owners(is_set, subject),
            _ if is_set => changes(subject, payload),
            _ => questions(subject, payload),
        }
    }
}

fn questions(subject: &Element, payload: &Element) -> Result<Order, StanzaError> {
    Ok(match subject.name() {
        "items" => Order::Items {
            node: node(subject)?,
            ids: ids(subject)?,
            recent: match subject.attr("max_items").map(str::parse) {
                None => None,
                Some(Ok(number)) => Some(number),
                Some(Err(_)) => return Err(StanzaError::new(Condition::BadRequest)),
            },
            page: Page::read(payload)?,
        },
        "subscriptions" => Order::Subscriptions {
            node: optional_node(subject)?,
        },
        "affiliations" => Order::Affiliations {
            node: optional_node(subject)?,
        },
        "options" => Order::Options {
            node: node(subject)?,
            jid: subscriber(subject)?,
        },
        "default" => Order::DefaultOptions {
            node: optional_node(subject)?,
        },
        _ => return Err(StanzaError::new(Condition::BadRequest)),
    })
}

fn changes(subject: &Element, payload: &Element) -> Result<Order, StanzaError> {
    // §6.3.7, §8.1.3: which node it is, and whose subscription, is said before.
    let form = |name: &str| match payload.child(ns::PUBSUB, name) {
        Some(it) if it.attr("node").or(it.attr("jid")).is_some() => {
            Err(StanzaError::new(Condition::BadRequest))
        }
        around => submitted(around),
    };
    Ok(match subject.name() {
        "publish" => Order::Publish {
            node: node(subject)?,
            item: published(subject)?,
            options: options(form("publish-options")?)?,
        },
        "retract" => {
            let ids = ids(subject)?;
            if ids.is_empty() {
                return Err(bad("item-required"));
            }
            Order::Retract {
                node: node(subject)?,
                ids,
                notify: matches!(subject.attr("notify"), Some("1" | "true")),
            }
        }
        "create" => Order::Create {
            node: optional_node(subject)?,
            form: form("configure")?,
        },
        "subscribe" => Order::Subscribe {
            node: node(subject)?,
            jid: subscriber(subject)?,
            options: form("options")?,
        },
        "unsubscribe" => Order::Unsubscribe {
            node: node(subject)?,
            jid: subscriber(subject)?,
        },
        "options" => Order::SetOptions {
            node: node(subject)?,
            jid: subscriber(subject)?,
            options: submitted(Some(subject))?.unwrap_or_default(),
        },
        _ => return Err(StanzaError::new(Condition::BadRequest)),
    })
}

fn owners(is_set: bool, subject: &Element) -> Result<Order, StanzaError> {
    let children = |name| subject.children().filter(move |it| it.name() == name);
    Ok(match (subject.name(), is_set) {
        ("configure", false) => Order::Configuration {
            node: node(subject)?,
        },
        ("configure", true) => Order::Configure {
            node: node(subject)?,
            form: match subject.child(ns::DATA_FORMS, "x") {
                Some(x) if x.attr("type") == Some("cancel") => None,
                Some(_) => submitted(Some(subject))?,
                None => return Err(StanzaError::new(Condition::BadRequest)),
            },
        },
        // §8.3.2: for the nodes that there are.
        ("default", false) => match subject.attr("type") {
            None | Some("leaf") => Order::DefaultConfiguration,
            Some("collection") => return Err(unsupported("collections")),
            Some(_) => return Err(StanzaError::new(Condition::BadRequest)),
        },
        ("delete", true) => Order::Delete {
            node: node(subject)?,
            redirect: children("redirect")
                .find_map(|it| it.attr("uri"))
                .filter(|uri| (1..=NAME).contains(&uri.len()))
                .map(str::to_owned),
        },
        ("purge", true) => Order::Purge {
            node: node(subject)?,
        },
        ("subscriptions", false) => Order::Subscribers {
            node: node(subject)?,
        },
        ("subscriptions", true) => Order::SetSubscribers {
            node: node(subject)?,
            // §8.8.2.1: who is named without a state stays as he is.
            changes: children("subscription")
                .filter(|it| it.attr("subscription").is_some())
                .map(|it| Ok((subscriber(it)?, state(it))))
                .collect::<Result<_, StanzaError>>()?,
        },
        ("affiliations", false) => Order::Affiliates {
            node: node(subject)?,
        },
        ("affiliations", true) => Order::SetAffiliates {
            node: node(subject)?,
            changes: children("affiliation")
                .filter(|it| it.attr("affiliation").is_some())
                .map(|it| Ok((subscriber(it)?, affiliation(it)?)))
                .collect::<Result<_, StanzaError>>()?,
        },
        _ => return Err(StanzaError::new(Condition::BadRequest)),
    })
}

/// The name of the node, which must be there (§7.2.3.3 and others).
fn node(subject: &Element) -> Result<String, StanzaError> {
    optional_node(subject)?.ok_or_else(|| bad("nodeid-required"))
}

fn optional_node(subject: &Element) -> Result<Option<String>, StanzaError> {
    match subject.attr("node") {
        None | Some("") => Ok(None),
        Some(name) if name.len() > NAME => Err(StanzaError::new(Condition::BadRequest)),
        Some(name) => Ok(Some(name.to_owned())),
    }
}

fn ids(subject: &Element) -> Result<Vec<String>, StanzaError> {
    let items = subject.children().filter(|it| it.name() == "item");
    let ids: Vec<String> = items
        .map(|item| item_id(item)?.ok_or_else(|| bad("item-required")))
        .collect::<Result<_, _>>()?;
    match ids.len() > AT_ONCE {
        true => Err(with(Condition::NotAllowed, "max-items-exceeded")),
        false => Ok(ids),
    }
}

fn item_id(item: &Element) -> Result<Option<String>, StanzaError> {
    match item.attr("id") {
        None | Some("") => Ok(None),
        Some(id) if id.len() > NAME => Err(StanzaError::new(Condition::BadRequest)),
        Some(id) => Ok(Some(id.to_owned())),
    }
}

/// The one item of a publication (attacks U09), and its one payload (§7.1.3.6).
fn published(subject: &Element) -> Result<Option<Sent>, StanzaError> {
    let mut items = subject.children().filter(|it| it.name() == "item");
    let Some(item) = items.next() else {
        return Ok(None);
    };
    if items.next().is_some() {
        return Err(with(Condition::NotAllowed, "max-items-exceeded"));
    }
    let mut payloads = item.children();
    let payload = payloads.next().cloned();
    if payloads.next().is_some() {
        return Err(bad("invalid-payload"));
    }
    Ok(Some((item_id(item)?, payload)))
}

fn submitted(around: Option<&Element>) -> Result<Option<Submission>, StanzaError> {
    let form = around.and_then(|it| it.child(ns::DATA_FORMS, "x"));
    Ok(form.map(Submission::read).transpose()?)
}

/// §7.1.5: the form must be of that type.
fn options(form: Option<Submission>) -> Result<Option<Submission>, StanzaError> {
    let is_other = |it: &Submission| it.form_type() != Some(ns::PUBSUB_PUBLISH_OPTIONS);
    match form.as_ref().is_some_and(is_other) {
        true => Err(StanzaError::new(Condition::BadRequest)),
        false => Ok(form),
    }
}

fn subscriber(subject: &Element) -> Result<Jid, StanzaError> {
    // §6.2.3.5: there is one subscription of each JID, and it has no id; one that is named says
    // nothing.
    let jid = subject.attr("jid").ok_or_else(|| bad("jid-required"))?;
    Jid::parse(jid).map_err(|_| bad("invalid-jid"))
}

fn state(subscription: &Element) -> Option<bool> {
    match subscription.attr("subscription") {
        Some("subscribed") => Some(true),
        Some("none") => Some(false),
        _ => None,
    }
}

fn affiliation(element: &Element) -> Result<Affiliation, StanzaError> {
    let text = element.attr("affiliation").unwrap_or_default();
    Affiliation::parse(text).ok_or(StanzaError::new(Condition::BadRequest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extensions::scene::{get, set};

    fn read(is_set: bool, inside: &str) -> Result<Order, StanzaError> {
        let text = format!("<pubsub xmlns='{}'>{inside}</pubsub>", ns::PUBSUB);
        let payload = Element::parse(&text, "").unwrap();
        let make = if is_set { set } else { get };
        let request = make("a@a.test/r", "a@a.test", &payload);
        Order::read(&request, &payload)
    }

    fn refusal(is_set: bool, inside: &str) -> String {
        let error = read(is_set, inside).unwrap_err();
        let extra = error.extra.map(|it| it.name().to_owned());
        format!("{} {}", error.condition.as_str(), extra.unwrap_or_default())
    }

    /// Attacks U01 (CVE-2011-4320), U09.
    #[test]
    fn what_is_not_whole_is_refused() {
        for (is_set, inside, error) in [
            (true, "<publish/>", "bad-request nodeid-required"),
            (true, "<publish node=''/>", "bad-request nodeid-required"),
            (true, "", "bad-request nodeid-required"),
            (false, "", "bad-request nodeid-required"),
            (false, "<items/>", "bad-request nodeid-required"),
            (true, "<nonsense node='n'/>", "bad-request "),
            (true, "<items node='n'/>", "bad-request "),
            (true, "<retract node='n'/>", "bad-request item-required"),
            (
                true,
                "<retract node='n'><item/></retract>",
                "bad-request item-required",
            ),
            (true, "<subscribe node='n'/>", "bad-request jid-required"),
            (
                true,
                "<subscribe node='n' jid='@'/>",
                "bad-request invalid-jid",
            ),
            (false, "<items node='n' max_items='x'/>", "bad-request "),
            (
                true,
                "<publish node='n'><item id='a'/><item id='b'/></publish>",
                "not-allowed max-items-exceeded",
            ),
            (
                true,
                "<publish node='n'><item><a xmlns='u'/><b xmlns='u'/></item></publish>",
                "bad-request invalid-payload",
            ),
        ] {
            assert_eq!(refusal(is_set, inside), error, "{inside}");
        }
        let long = "x".repeat(NAME + 1);
        let publish = |node: &str, id: &str| {
            format!("<publish node='{node}'><item id='{id}'><a xmlns='u'/></item></publish>")
        };
        assert_eq!(refusal(true, &publish(&long, "i")), "bad-request ");
        assert_eq!(refusal(true, &publish("n", &long)), "bad-request ");
        assert!(read(true, &publish(&long[1..], &long[1..])).is_ok());
    }

    #[test]
    fn a_publication_with_options() {
        let form = |kind| {
            format!(
                "<publish node='n'><item id='i'><a xmlns='u'/></item></publish><publish-options>\
                 <x xmlns='{}' type='submit'><field var='FORM_TYPE'><value>{kind}</value></field>\
                 <field var='pubsub#access_model'><value>open</value></field></x>\
                 </publish-options>",
                ns::DATA_FORMS
            )
        };
        let Ok(Order::Publish {
            node,
            item,
            options,
        }) = read(true, &form(ns::PUBSUB_PUBLISH_OPTIONS))
        else {
            panic!("a publication");
        };
        assert_eq!(node, "n");
        let (id, payload) = item.unwrap();
        assert_eq!((id.as_deref(), payload.unwrap().name()), (Some("i"), "a"));
        assert_eq!(options.unwrap().text("pubsub#access_model"), Some("open"));
        assert_eq!(refusal(true, &form(ns::PUBSUB_NODE_CONFIG)), "bad-request ");
    }
}
