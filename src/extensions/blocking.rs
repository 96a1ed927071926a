//! The block list (XEP-0191), and reports of abuse that come with it (XEP-0377).
//!
//! Whoever is blocked finds the account offline: messages and requests come back as
//! `service-unavailable`, presence is dropped. What the account sends there comes back too. The
//! subscriptions stay ("polite blocking", XEP-0191 §4).

mod list;
mod report;

use rookery_actors::effect::{Effects, Origin};
use rookery_actors::extension::{AccountRole, Direction, Extension, Pass, Spec, View};
use rookery_actors::hub::devices::{Device, DeviceId};
use rookery_actors::keys::{self, Kind};
use rookery_actors::site::random_id;
use rookery_protocol::error::{Condition, ErrorType, StanzaError};
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::{IqType, Kind as StanzaKind, PresenceType, Stanza};
use rookery_protocol::xml::Element;
use rookery_storage::Tree;
use rookery_storage::record::{Record, encode};
use serde::{Deserialize, Serialize};
use tracing::error;

use list::BlockList;
use report::Reports;

/// A JID that is blocked; the key ends in it.
const BLOCKED: Kind = Kind(0x10);

/// The block list.
pub const EXTENSION: Extension = Extension {
    name: "blocking",
    specs: &[
        Spec {
            xep: 191,
            version: "1.3",
            title: "Blocking Command",
        },
        Spec {
            xep: 377,
            version: "0.4.1",
            title: "Blocking Command Reports",
        },
    ],
    server_features: &[ns::BLOCKING, ns::REPORTING],
    account_namespaces: &[ns::BLOCKING],
    kinds: &[BLOCKED, report::COUNT, report::REPORT],
    account: Some(|_| Box::new(Blocking::default())),
    ..Extension::NONE
};

/// The row of a blocked JID.
#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct Blocked {
    /// When it was blocked, in milliseconds since 1970.
    since: u64,
}

impl Record for Blocked {
    const VERSION: u8 = 1;
}

#[derive(Default)]
struct Blocking {
    list: BlockList,
    reports: Reports,
    /// Devices that fetched the list; they hear of changes (XEP-0191 §3.3).
    fetched: Vec<DeviceId>,
}

impl AccountRole for Blocking {
    fn load(&mut self, kind: Kind, rest: &[u8], value: &[u8]) {
        if kind == report::COUNT {
            return self.reports.load(value);
        }
        match std::str::from_utf8(rest)
            .ok()
            .and_then(|text| Jid::parse(text).ok())
        {
            Some(jid) => {
                self.list.insert(&jid);
            }
            None => error!("a row of a block list names no JID"),
        }
    }

    fn iq(&mut self, request: &Stanza, payload: &Element, view: View, fx: &mut Effects) {
        // Others learn nothing: neither that there is a list nor an account.
        if !view.is_own(request) {
            return fx.refuse(request, &StanzaError::new(Condition::ServiceUnavailable));
        }
        let done = match (request.kind, payload.name()) {
            (StanzaKind::Iq(IqType::Get), "blocklist") => {
                self.fetch(request, fx);
                Ok(())
            }
            (StanzaKind::Iq(IqType::Set), "block") => self.block(request, payload, view, fx),
            (StanzaKind::Iq(IqType::Set), "unblock") => self.unblock(request, payload, view, fx),
            _ => Err(StanzaError::new(Condition::BadRequest)),
        };
        if let Err(error) = done {
            fx.refuse(request, &error);
        }
    }

    fn admit(&mut self, pass: &mut Pass, view: View, fx: &mut Effects) -> Result<(), StanzaError> {
        if self.list.is_empty() || !pass.peer().is_some_and(|peer| self.blocks(peer, view)) {
            return Ok(());
        }
        match pass.direction {
            Direction::In => Err(StanzaError::new(Condition::ServiceUnavailable)),
            Direction::Out => {
                let error = StanzaError::new(Condition::NotAcceptable)
                    .with_kind(ErrorType::Cancel)
                    .with_extra(Element::new(ns::BLOCKING_ERRORS, "blocked"));
                // A refused presence is dropped, but here its sender must hear (XEP-0191 §3.3).
                if let StanzaKind::Presence(_) = pass.stanza.kind {
                    fx.refuse(pass.stanza, &error);
                }
                Err(error)
            }
        }
    }

    fn rejoined(&mut self, device: DeviceId, _: View, _: &mut Effects) {
        self.fetched.push(device);
    }

    fn gone(&mut self, device: DeviceId, _: View, _: &mut Effects) {
        self.fetched.retain(|id| *id != device);
    }

    fn hides_from(&self, contact: &Jid) -> bool {
        self.list.covers(contact)
    }
}

impl Blocking {
    /// Whether what `peer` sends or is sent is stopped. Never between the account's own devices
    /// (XEP-0191 §5) and never its server, whatever an old row says.
    fn blocks(&self, peer: &Jid, view: View) -> bool {
        !is_own(peer, view) && self.list.covers(peer)
    }

    fn fetch(&mut self, request: &Stanza, fx: &mut Effects) {
        if let Origin::Device(device) = fx.origin()
            && !self.fetched.contains(&device)
        {
            self.fetched.push(device);
            fx.note(device);
        }
        let items = self.list.iter().map(item);
        let list = Element::new(ns::BLOCKING, "blocklist").with_children(items);
        fx.result(request, Some(list));
    }

    fn block(
        &mut self,
        request: &Stanza,
        payload: &Element,
        view: View,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let jids = items(payload)?;
        if jids.is_empty() {
            return Err(StanzaError::new(Condition::BadRequest));
        }
        if jids.iter().any(|jid| is_own(jid, view)) {
            let text = "neither yourself nor your server";
            return Err(StanzaError::new(Condition::NotAllowed).with_text(text));
        }
        let fresh: Vec<&Jid> = jids.iter().filter(|jid| !self.list.contains(jid)).collect();
        if self.list.len() + fresh.len() > view.site.settings.blocking.items {
            return Err(StanzaError::new(Condition::ResourceConstraint));
        }
        let row = encode(&Blocked { since: fx.now });
        let row = row.map_err(|_| StanzaError::new(Condition::InternalServerError))?;
        for jid in fresh {
            leave(jid, &self.list, view, fx);
            self.list.insert(jid);
            let key = keys::row(view.account.id, BLOCKED, jid.as_str().as_bytes());
            fx.put(Tree::Account, key, row.clone());
        }
        self.reports.take(payload, view.account.id, fx);
        fx.result(request, None);
        self.push("block", &jids, view, fx);
        Ok(())
    }

    fn unblock(
        &mut self,
        request: &Stanza,
        payload: &Element,
        view: View,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        let asked = items(payload)?;
        // Without items: all (XEP-0191 §3.5).
        let removed = match asked.is_empty() {
            true => self.list.iter().collect(),
            false => asked.clone(),
        };
        let before = self.list.clone();
        for jid in &removed {
            if self.list.remove(jid) {
                let key = keys::row(view.account.id, BLOCKED, jid.as_str().as_bytes());
                fx.delete(Tree::Account, key);
            }
        }
        fx.result(request, None);
        self.push("unblock", &asked, view, fx);
        appear(&before, &self.list, view, fx);
        Ok(())
    }

    /// Tells the devices that know the list what changed in it (XEP-0191 §3.3, §3.4).
    fn push(&self, name: &str, jids: &[Jid], view: View, fx: &mut Effects) {
        let items = jids.iter().cloned().map(item);
        let change = Element::new(ns::BLOCKING, name).with_children(items);
        let told = self.fetched.iter().filter_map(|id| view.devices.get(*id));
        fx.deliver_each(told, |device| {
            Stanza::iq(IqType::Set, random_id())
                .with_to(device.jid.clone())
                .with_child(&change)
        });
    }
}

/// Shows everybody whom `jid` covers, and who is not blocked already, that all devices leave: the
/// contacts that see the account's presence, and those who were sent presence directly
/// (XEP-0191 §3.3).
fn leave(jid: &Jid, already: &BlockList, view: View, fx: &mut Effects) {
    let block = BlockList::of(jid);
    for device in view.devices.available() {
        let direct = device
            .directed
            .iter()
            .filter(|to| block.covers(to))
            .cloned();
        let mut told: Vec<Jid> = watchers(&block, view).chain(direct).collect();
        told.sort();
        told.dedup();
        for to in told.into_iter().filter(|to| !already.covers(to)) {
            fx.route(
                Stanza::presence(PresenceType::Unavailable)
                    .with_from(device.jid.clone())
                    .with_to(to),
            );
        }
    }
}

/// Shows the account's presence to the contacts that may see it again (XEP-0191 §3.4).
fn appear(before: &BlockList, after: &BlockList, view: View, fx: &mut Effects) {
    for to in watchers(before, view).filter(|to| !after.covers(to)) {
        for device in view.devices.available() {
            fx.route(current_presence(device).with_to(to.clone()));
        }
    }
}

fn current_presence(device: &Device) -> Stanza {
    match &device.presence {
        Some(presence) => Stanza::clone(presence),
        None => Stanza::presence(PresenceType::Unavailable).with_from(device.jid.clone()),
    }
}

/// The JIDs that the list covers and that see the account's presence: contacts, or one resource
/// of a contact where only that is on the list.
fn watchers<'a>(list: &'a BlockList, view: View<'a>) -> impl Iterator<Item = Jid> + use<'a> {
    let contacts = view
        .account
        .roster
        .iter()
        .filter_map(|entry| entry.to_jid().ok());
    let contacts = contacts.filter(|jid| list.covers(jid));
    let resources = list.iter().filter(|jid| !jid.is_bare());
    let all = contacts.chain(resources);
    all.filter(move |jid| view.account.shares_presence_with(&jid.bare()))
}

/// Whether `jid` is the account, one of its devices, or its server.
fn is_own(jid: &Jid, view: View) -> bool {
    let own = &view.account.jid;
    match jid.local() {
        Some(_) => jid.bare_str() == own.as_str(),
        None => jid.domain() == own.domain(),
    }
}

/// The JIDs in the items of a command, each once.
fn items(payload: &Element) -> Result<Vec<Jid>, StanzaError> {
    let mut jids = Vec::new();
    for item in payload
        .children()
        .filter(|child| child.is(ns::BLOCKING, "item"))
    {
        let text = item
            .attr("jid")
            .ok_or(StanzaError::new(Condition::BadRequest))?;
        let jid = Jid::parse(text).map_err(|_| StanzaError::new(Condition::JidMalformed))?;
        jids.push(jid);
    }
    jids.sort();
    jids.dedup();
    Ok(jids)
}

fn item(jid: Jid) -> Element {
    Element::new(ns::BLOCKING, "item").with_attr("jid", jid.as_str())
}

#[cfg(test)]
mod tests;
