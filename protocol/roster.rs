//! The roster of an account (RFC 6121 §2): items, the checks of a roster set, and the elements that
//! show it.
//!
//! * [`Item`] is one contact by itself: what is stored as one row, what a change works on.
//! * [`Roster`] holds all items of an account packed in one buffer, since it stays in memory as
//!   long as the account is awake. [`Entry`] is the view of one item in it.
//! * [`Edit`] is a roster set, checked: [`Edit::parse`] reads it, [`Roster::admit`] holds it
//!   against what is there.
//!
//! A `subscribe` of a contact that waits for an answer is no part of the roster (RFC 6121 A.1,
//! item 3); [`Entry::state`] therefore asks whether there is one.

mod packed;

pub use packed::{Entry, Groups, Roster};

use serde::{Deserialize, Serialize};

use crate::error::{Condition, StanzaError};
use crate::jid::Jid;
use crate::ns;
use crate::subscription::{State, Step, Subscription};
use crate::xml::Element;

/// What a roster may grow to. Lengths are in bytes of UTF-8.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Items in one roster; one more is `resource-constraint`.
    pub items: usize,
    /// Groups of one item; one more is `not-acceptable`.
    pub groups: usize,
    /// Length of a name or of one group; more is `not-acceptable` (RFC 6121 §2.3.3).
    pub name: usize,
    /// Address, name and groups of one item together. What reaches this is no contact, but an
    /// attempt on the disk: `resource-constraint`, whichever part is too long.
    pub item: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            items: 2_000,
            groups: 32,
            name: 1_024,
            item: 65_536,
        }
    }
}

/// One contact.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Item {
    /// The contact; always bare.
    pub jid: Jid,
    /// The account's own name for the contact; empty is none (RFC 6121 §2.4.1).
    pub name: String,
    /// Who sees whom.
    pub subscription: Subscription,
    /// A request of the account waits for the contact's answer (§2.1.2.2).
    pub ask: bool,
    /// The contact may subscribe without asking (§2.1.2.1, §3.4).
    pub approved: bool,
    /// Groups, without duplicates.
    pub groups: Vec<String>,
}

impl Item {
    /// A contact of which nothing but the address is known.
    pub fn new(jid: &Jid) -> Item {
        Item {
            jid: jid.bare(),
            name: String::new(),
            subscription: Subscription::None,
            ask: false,
            approved: false,
            groups: Vec::new(),
        }
    }

    /// The subscription state, given whether a request of the contact is kept.
    pub fn state(&self, pending_in: bool) -> State {
        State::of(self.subscription, self.ask, pending_in)
    }

    /// Takes over what a step of the state machine made of the item.
    pub fn apply(&mut self, step: &Step) {
        self.subscription = step.state.subscription();
        self.ask = step.state.pending_out();
        self.approved = step.approved;
    }

    /// The item as `<item/>`, for a push.
    pub fn to_element(&self) -> Element {
        let groups = self.groups.iter().map(String::as_str);
        let ask = self.ask && self.state(false).pending_out();
        item_element(
            self.jid.as_str(),
            &self.name,
            self.subscription,
            ask,
            self.approved,
            groups,
        )
    }
}

/// The `<item/>` that tells of a removal (RFC 6121 §2.5.2).
pub fn removed_element(jid: &Jid) -> Element {
    Element::new(ns::ROSTER, "item")
        .with_attr("jid", jid.bare_str())
        .with_attr("subscription", "remove")
}

/// `<query/>` round an item, for a push; `version` is the one this change made (§2.6.3).
pub fn push_element(item: Element, version: &str) -> Element {
    Element::new(ns::ROSTER, "query")
        .with_attr("ver", version)
        .with_child(item)
}

/// A roster get: the version the client has, if it said one (empty to begin, §2.6.2).
///
/// # Errors
/// `bad-request` if the query has an item (§2.1.3).
pub fn parse_get(query: &Element) -> Result<Option<String>, StanzaError> {
    match query.child(ns::ROSTER, "item") {
        Some(_) => Err(refusal(Condition::BadRequest, "a roster get has no items")),
        None => Ok(query.attr("ver").map(str::to_owned)),
    }
}

/// A roster set (RFC 6121 §2.1.5) that is well formed and within the limits of one item.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Edit {
    /// Create or replace the item. Fresh from [`Edit::parse`] its subscription part is empty, since
    /// a client may not set that; [`Roster::admit`] fills it in.
    Save(Item),
    /// Remove the item of this bare JID.
    Remove(Jid),
}

impl Edit {
    /// Reads the `<query/>` of a roster set that `owner` sent to its own account. Values of
    /// `subscription` other than `remove`, `ask` and `approved` are ignored (§2.1.2), a resource is
    /// cut off.
    ///
    /// # Errors
    /// RFC 6121 §2.3.3: `bad-request` without exactly one item, without `jid` or with a group
    /// twice; `not-acceptable` for a name or group that is too long, an empty group, too many
    /// groups. Besides: `jid-malformed`; `not-allowed` for the own address; `resource-constraint`
    /// at [`Limits::item`].
    pub fn parse(query: &Element, owner: &Jid, limits: &Limits) -> Result<Edit, StanzaError> {
        let mut items = query
            .children()
            .filter(|child| child.is(ns::ROSTER, "item"));
        let (Some(item), None) = (items.next(), items.next()) else {
            return Err(refusal(
                Condition::BadRequest,
                "a roster set has exactly one item",
            ));
        };
        let Some(jid) = item.attr("jid") else {
            return Err(refusal(Condition::BadRequest, "the item has no jid"));
        };
        let jid = Jid::parse(jid)
            .map_err(|_| refusal(Condition::JidMalformed, "the item's jid is not an address"))?
            .bare();
        if item.attr("subscription") == Some("remove") {
            return Ok(Edit::Remove(jid));
        }
        if jid.as_str() == owner.bare_str() {
            return Err(refusal(
                Condition::NotAllowed,
                "you are not your own contact",
            ));
        }
        let name = item.attr("name").unwrap_or_default().to_owned();
        let groups = item
            .children()
            .filter(|child| child.is(ns::ROSTER, "group"));
        let groups: Vec<String> = groups.map(Element::text).collect();
        check_lengths(&jid, &name, &groups, limits)?;
        Ok(Edit::Save(Item {
            name,
            groups,
            ..Item::new(&jid)
        }))
    }
}

impl Roster {
    /// Holds an edit against the roster. A saved item comes back with the subscription it has.
    ///
    /// # Errors
    /// `item-not-found` for the removal of what is not there (RFC 6121 §2.5.3);
    /// `resource-constraint` for a new item in a full roster.
    pub fn admit(&self, edit: Edit, limits: &Limits) -> Result<Edit, StanzaError> {
        match edit {
            Edit::Remove(jid) if self.get(jid.as_str()).is_none() => {
                Err(refusal(Condition::ItemNotFound, "no such contact"))
            }
            Edit::Remove(jid) => Ok(Edit::Remove(jid)),
            Edit::Save(mut item) => {
                self.check_room(&item.jid, limits)?;
                if let Some(old) = self.get(item.jid.as_str()) {
                    item.subscription = old.subscription();
                    item.ask = old.ask();
                    item.approved = old.approved();
                }
                Ok(Edit::Save(item))
            }
        }
    }

    /// Whether this contact is in the roster, or may come in. Asked also before a `subscribe` or a
    /// pre-approval makes an item.
    ///
    /// # Errors
    /// `resource-constraint`, type `wait`, if the roster is full.
    pub fn check_room(&self, jid: &Jid, limits: &Limits) -> Result<(), StanzaError> {
        if self.len() < limits.items || self.get(jid.bare_str()).is_some() {
            return Ok(());
        }
        Err(refusal(Condition::ResourceConstraint, "the roster is full"))
    }

    /// The whole roster as the payload of a roster result (§2.1.4).
    pub fn to_element(&self, version: &str) -> Element {
        let items = self.iter().map(|entry| entry.to_element());
        Element::new(ns::ROSTER, "query")
            .with_attr("ver", version)
            .with_children(items)
    }
}

fn check_lengths(
    jid: &Jid,
    name: &str,
    groups: &[String],
    limits: &Limits,
) -> Result<(), StanzaError> {
    let size = jid.as_str().len() + name.len() + groups.iter().map(String::len).sum::<usize>();
    if size >= limits.item {
        return Err(refusal(
            Condition::ResourceConstraint,
            "the item is too large",
        ));
    }
    if name.len() > limits.name {
        return Err(refusal(Condition::NotAcceptable, "the name is too long"));
    }
    if groups.len() > limits.groups {
        return Err(refusal(Condition::NotAcceptable, "too many groups"));
    }
    for (at, group) in groups.iter().enumerate() {
        if group.is_empty() {
            return Err(refusal(Condition::NotAcceptable, "a group has no name"));
        }
        if group.len() > limits.name {
            return Err(refusal(
                Condition::NotAcceptable,
                "the name of a group is too long",
            ));
        }
        if groups[..at].contains(group) {
            return Err(refusal(Condition::BadRequest, "a group is named twice"));
        }
    }
    Ok(())
}

fn refusal(condition: Condition, text: &str) -> StanzaError {
    StanzaError::new(condition).with_text(text)
}

fn item_element<'a>(
    jid: &str,
    name: &str,
    subscription: Subscription,
    ask: bool,
    approved: bool,
    groups: impl Iterator<Item = &'a str>,
) -> Element {
    let mut item = Element::new(ns::ROSTER, "item").with_attr("jid", jid);
    if !name.is_empty() {
        item.set_attr("name", name);
    }
    item.set_attr("subscription", subscription.as_str());
    if ask {
        item.set_attr("ask", "subscribe");
    }
    if approved {
        item.set_attr("approved", "true");
    }
    item.with_children(groups.map(|group| Element::new(ns::ROSTER, "group").with_text(group)))
}

#[cfg(test)]
mod tests;
