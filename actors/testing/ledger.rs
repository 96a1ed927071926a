//! An extension for tests. It keeps every message with a body under the next number of its account,
//! and panics, reads, writes, wakes itself and notes devices on demand. Noted devices get copies of
//! what the others send.

use std::time::Duration;

use rookery_protocol::ns;
use rookery_protocol::stanza::{Kind as StanzaKind, Stanza};
use rookery_protocol::xml::Element;
use rookery_storage::Tree;

use super::WANTED;
use crate::effect::{Effects, Origin, Query, Row};
use crate::extension::{AccountRole, Direction, DomainRole, Extension, Kept, List, Pass, View};
use crate::hub::devices::DeviceId;
use crate::keys::{self, Kind};
use crate::site::Site;

/// Its namespace.
pub const NS: &str = "urn:test:ledger";
/// A message: its number and its body.
pub const ENTRY: Kind = Kind(0x21);
/// A message that came back from a device: as many rows as times.
pub const RETURNED: Kind = Kind(0x22);

/// How long it sleeps when it is told to: several times the rest of a Hub.
pub const WAKE: Duration = Duration::from_millis(600);
/// The name of a phase in which the extension panics from now on.
const FAULTY: Kind = Kind(0x23);
/// What was sent with a body to others, in the archive.
pub const TRAVELLED: Kind = Kind(0x01);

/// A list with it alone.
pub const LIST: List = &[&Extension {
    name: "ledger",
    kinds: &[ENTRY, RETURNED, FAULTY],
    account_namespaces: &[NS],
    domain_namespaces: &[NS],
    account: Some(|_| Box::new(Ledger::default())),
    domain: Some(&Domain),
    ..Extension::NONE
}];

#[derive(Default)]
struct Ledger {
    next: u32,
    returned: u32,
    noted: Vec<DeviceId>,
    /// It wakes itself again and again.
    restless: bool,
    faulty: Vec<Vec<u8>>,
}

impl AccountRole for Ledger {
    fn load(&mut self, kind: Kind, rest: &[u8], _: &[u8]) {
        if kind == FAULTY {
            return self.faulty.push(rest.to_vec());
        }
        let number = rest.try_into().map(u32::from_be_bytes).expect("a number");
        match kind {
            ENTRY => self.next = self.next.max(number + 1),
            _ => self.returned = self.returned.max(number + 1),
        }
    }

    fn iq(&mut self, request: &Stanza, payload: &Element, view: View, fx: &mut Effects) {
        match payload.name() {
            "panic" => wanted(),
            "count" => return fx.result(request, Some(self.count())),
            "read-archive" => {
                let range = keys::all_of(view.account.id, TRAVELLED);
                let (tree, limit, backwards) = (Tree::Archive, usize::MAX, false);
                let query = Query::Range {
                    tree,
                    range,
                    limit,
                    backwards,
                };
                return fx.read(request, 0, vec![query]);
            }
            "read" | "read-and-panic" => {
                let query = Query::Range {
                    tree: Tree::Account,
                    range: keys::all_of(view.account.id, ENTRY),
                    limit: usize::MAX,
                    backwards: false,
                };
                let step = u32::from(payload.name() == "read-and-panic");
                return fx.read(request, step, vec![query]);
            }
            "write" => self.put(view, "written", fx),
            "wake" => fx.wake(WAKE),
            "wake-for-ever" => {
                self.restless = true;
                fx.wake(WAKE);
            }
            "faulty" => {
                let phase = payload.attr("at").expect("a phase").as_bytes();
                self.faulty.push(phase.to_vec());
                let key = keys::row(view.account.id, FAULTY, phase);
                fx.put(Tree::Account, key, Vec::new());
            }
            "note" => {
                if let Origin::Device(device) = fx.origin() {
                    self.noted.push(device);
                    fx.note(device);
                }
            }
            "tell" => {
                let told = self.noted.iter().filter_map(|id| view.devices.get(*id));
                fx.deliver_each(told, |device| {
                    Stanza::message(rookery_protocol::stanza::MessageType::Headline)
                        .with_to(device.jid.clone())
                        .with_child(&Element::new(NS, "told"))
                });
            }
            _ => {}
        }
        fx.result(request, None);
    }

    fn read_done(
        &mut self,
        step: u32,
        request: Option<&Stanza>,
        rows: Vec<Row>,
        _: View,
        fx: &mut Effects,
    ) {
        if step == 1 {
            wanted();
        }
        let count = rows.len().to_string();
        let rows = Element::new(NS, "rows").with_attr("count", count);
        if let Some(request) = request {
            fx.result(request, Some(rows));
        }
    }

    fn woken(&mut self, view: View, fx: &mut Effects) {
        match self.restless {
            true => fx.wake(WAKE),
            false => self.put(view, "woken", fx),
        }
    }

    fn keep(&mut self, pass: &mut Pass, view: View, fx: &mut Effects) {
        let StanzaKind::Message(_) = pass.stanza.kind else {
            return;
        };
        let at = match pass.direction {
            Direction::In => "panic",
            Direction::Out => "panic-out",
        };
        if pass.stanza.has(NS, at) {
            wanted();
        }
        let own = view.account.jid.as_str();
        if pass.direction == Direction::Out && pass.peer().is_some_and(|it| it.bare_str() != own) {
            let id = pass.stanza.id.clone().unwrap_or_default();
            let row = keys::row(view.account.id, TRAVELLED, id.as_bytes());
            let stanza = pass.stanza.to_bytes().to_vec();
            fx.travelling.put(Tree::Archive, row.clone(), stanza);
            pass.marks.kept = Some(row);
            pass.marks.lasting = pass.stanza.has(ns::CLIENT, "body");
        }
        if pass.direction == Direction::In
            && let Some(body) = pass.stanza.child(ns::CLIENT, "body")
        {
            let key = entry(view, self.next);
            fx.put(Tree::Archive, key.clone(), pass.stanza.to_bytes().to_vec());
            pass.marks.kept = Some(key);
            pass.marks.lasting = true;
            self.put(view, &body.text(), fx);
        }
    }

    /// What a device sends is copied to those that it noted.
    fn copy(&mut self, pass: &mut Pass, _: View, fx: &mut Effects) {
        let (Direction::Out, Some(kept)) = (pass.direction, &pass.marks.kept) else {
            return;
        };
        let others = self.noted.iter();
        for device in others.filter(|it| pass.origin != Origin::Device(**it)) {
            fx.deliver_sent(*device, pass.stanza, kept.clone());
        }
    }

    fn undelivered(&mut self, _: &mut Pass, _: View, _: &mut Effects) -> Kept {
        Kept::Yes
    }

    fn again(&self, _: DeviceId, _: &[u8], row: &[u8], _: View) -> Option<Stanza> {
        Stanza::parse_stored(row.to_vec().into()).ok()
    }

    fn returned(&mut self, kept: &[Vec<u8>], view: View, fx: &mut Effects) {
        self.may_panic("returned");
        for key in kept {
            let row = keys::row(view.account.id, RETURNED, &self.returned.to_be_bytes());
            fx.put(Tree::Account, row, key.clone());
            self.returned += 1;
        }
    }

    fn gone(&mut self, _: DeviceId, _: View, _: &mut Effects) {
        self.may_panic("gone");
    }

    fn rejoined(&mut self, device: DeviceId, _: View, _: &mut Effects) {
        self.may_panic("rejoined");
        self.noted.push(device);
    }

    fn available(&mut self, _: DeviceId, _: bool, view: View, _: &mut Effects) {
        let status = |device: &crate::hub::devices::Device| {
            let presence = device.presence.as_ref()?;
            presence.child(ns::CLIENT, "status").map(|it| it.text())
        };
        if view
            .devices
            .iter()
            .filter_map(status)
            .any(|it| it == "panic")
        {
            wanted();
        }
    }
}

impl Ledger {
    fn may_panic(&self, phase: &str) {
        if self.faulty.iter().any(|it| it == phase.as_bytes()) {
            wanted();
        }
    }

    fn put(&mut self, view: View, body: &str, fx: &mut Effects) {
        fx.put(
            Tree::Account,
            entry(view, self.next),
            body.as_bytes().to_vec(),
        );
        self.next += 1;
    }

    fn count(&self) -> Element {
        Element::new(NS, "count").with_attr("next", self.next.to_string())
    }
}

fn entry(view: View, number: u32) -> Vec<u8> {
    keys::row(view.account.id, ENTRY, &number.to_be_bytes())
}

fn wanted() -> ! {
    std::panic::panic_any(WANTED)
}

struct Domain;

impl DomainRole for Domain {
    fn iq(&self, request: &Stanza, payload: &Element, _: &Site, fx: &mut Effects) {
        if payload.name() == "panic" {
            wanted();
        }
        fx.result(request, None);
    }
}
