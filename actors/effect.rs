//! What a decision asks for: the plain structs decide and list effects, the actor shells perform
//! them.

mod envelope;
mod wish;

pub use envelope::{Envelope, Marks};
pub use wish::{Administer, Query, Read};

use std::time::Duration;

use bytes::Bytes;
use rookery_protocol::error::{StanzaError, StreamError};
use rookery_protocol::jid::Jid;
use rookery_protocol::stanza::Stanza;
use rookery_protocol::subscription::Request;
use rookery_protocol::xml::Element;
use rookery_storage::{Frame, Tree};
use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::admin::Command;
use crate::hub::devices::{Device, DeviceId};
use crate::receipt::Receipt;

/// Milliseconds since 1970, by the wall clock.
pub type Millis = u64;

/// A row as it was read: key and value.
pub type Row = (Vec<u8>, Vec<u8>);

/// Who sent the stanza at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// One of this account's own devices.
    Device(DeviceId),
    /// Somebody else: another account, room, domain or the server itself.
    Elsewhere,
}

/// What keeps a delivery for a device that acknowledges what it gets (XEP-0198), until it has.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub enum Keep {
    /// Nothing: it may get lost.
    #[default]
    No,
    /// It is the stanza of this archive row, and is delivered to somebody else if not to this one.
    Archived(Vec<u8>),
    /// It is a copy of the stanza at hand, of which this archive row travels with it: who can come
    /// back gets it if, and only if, that row arrives.
    Sent(Vec<u8>),
    /// This archive row, which somebody else wrote, has it: whoever can come back must not miss it,
    /// others need not have it.
    Elsewhere(Vec<u8>),
    /// Nothing else has it: whoever can come back must not miss it, others need not have it.
    Here,
}

impl Keep {
    /// The archive row that it is the stanza of.
    pub fn archived(&self) -> Option<&[u8]> {
        match self {
            Keep::Archived(key) => Some(key),
            Keep::No | Keep::Sent(_) | Keep::Elsewhere(_) | Keep::Here => None,
        }
    }
}

/// One thing to do. They are done in the order in which they were asked for.
#[derive(Debug)]
pub enum Effect {
    /// Write a stanza to own devices.
    Deliver {
        devices: SmallVec<[DeviceId; 2]>,
        bytes: Bytes,
        keep: Keep,
    },
    /// Hold a stanza for a patient device until something comes that is urgent; one that is held
    /// with the same subject goes.
    SetAside {
        device: DeviceId,
        bytes: Bytes,
        subject: Option<SmolStr>,
    },
    /// A device is patient from here on, or no more: then it gets all that is held for it.
    Patience(DeviceId, bool),
    /// Send a stanza to whom its `to` names.
    Route(Box<Envelope>),
    /// End a device's stream.
    Close(DeviceId, StreamError),
    /// Read, then call `read_done` of the extension that asked.
    Read(Box<Read>),
    /// Administer, then call `administered` of the extension that asked.
    Administer(Box<Administer>),
    /// Call `woken` of the extension that asked, after a time.
    Wake(usize, Duration),
}

/// The list that a decision fills.
#[derive(Debug)]
pub struct Effects {
    /// Now, as the shell sees it.
    pub now: Millis,
    /// Rows that this Hub commits, all of them in one frame.
    pub rows: Frame,
    /// Rows under fresh keys that travel with the stanza when it is forwarded, and are committed
    /// here if it is not.
    pub travelling: Frame,
    /// The receipt of the stanza at hand: the shell settles it after the commit, unless it went on
    /// with the stanza.
    pub receipt: Receipt,
    /// The stanza at hand is of class D: its receipt waits for the disk even if nothing is written
    /// here.
    pub lasting: bool,
    /// The stanza at hand is an IQ of type `set`. Its answer counts as a change of its own: asked
    /// again after a crash, what found nothing to change might undo what was asked for after it.
    pub sets: bool,
    /// The entity of a service that this is asked of has ended.
    abolished: bool,
    origin: Origin,
    extension: usize,
    /// Devices, and whether the extension notes or forgets them.
    notes: SmallVec<[(DeviceId, bool); 1]>,
    said: Vec<(Request, Jid)>,
    list: Vec<Effect>,
}

impl Effects {
    /// An empty list for a stanza of `origin`.
    pub fn new(now: Millis, origin: Origin) -> Effects {
        Effects {
            now,
            rows: Frame::new(),
            travelling: Frame::new(),
            receipt: Receipt::none(),
            lasting: false,
            sets: false,
            abolished: false,
            origin,
            extension: usize::MAX,
            notes: SmallVec::new(),
            said: Vec::new(),
            list: Vec::new(),
        }
    }

    /// Who sent the stanza at hand.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// All rows that are committed here: what travels has arrived.
    pub fn take_rows(&mut self) -> Frame {
        let mut rows = std::mem::take(&mut self.travelling);
        rows.append(std::mem::take(&mut self.rows));
        rows
    }

    /// Says for which extension the next effects are.
    pub fn for_extension(&mut self, index: usize) {
        self.extension = index;
    }

    /// Answers the sender of the stanza at hand: `reply` is complete, with `to`.
    pub fn reply(&mut self, reply: Stanza) {
        match self.origin {
            Origin::Device(device) => self.deliver([device], &reply, None),
            Origin::Elsewhere => self.route(reply),
        }
    }

    /// The IQ at hand changes nothing, although it is of type `set` (a query of XEP-0313): it may
    /// be answered twice.
    pub fn only_asks(&mut self) {
        self.sets = false;
    }

    /// Answers `request` with a result.
    pub fn result(&mut self, request: &Stanza, payload: Option<Element>) {
        self.reply(request.result_reply(payload));
    }

    /// Answers `request` with an error, unless it may not be answered (RFC 6120 §8.3.1).
    pub fn refuse(&mut self, request: &Stanza, error: &StanzaError) {
        if let Some(reply) = request.error_reply(error) {
            self.reply(reply);
        }
    }

    /// Writes `stanza` to own devices, serialised once; `kept`: its archive row, so that it is
    /// redelivered until acknowledged.
    pub fn deliver(
        &mut self,
        devices: impl IntoIterator<Item = DeviceId>,
        stanza: &Stanza,
        kept: Option<Vec<u8>>,
    ) {
        let devices: SmallVec<[DeviceId; 2]> = devices.into_iter().collect();
        if !devices.is_empty() {
            self.list.push(Effect::Deliver {
                devices,
                bytes: stanza.to_bytes(),
                keep: kept.map_or(Keep::No, Keep::Archived),
            });
        }
    }

    /// Writes to own devices what stands in the archive row `source` of somebody else.
    pub fn deliver_from(
        &mut self,
        devices: impl IntoIterator<Item = DeviceId>,
        stanza: &Stanza,
        source: &[u8],
    ) {
        let devices: SmallVec<[DeviceId; 2]> = devices.into_iter().collect();
        if !devices.is_empty() {
            self.list.push(Effect::Deliver {
                devices,
                bytes: stanza.to_bytes(),
                keep: Keep::Elsewhere(source.to_vec()),
            });
        }
    }

    /// Writes a copy of the stanza at hand, which goes out with the archive row `kept`, to an own
    /// device.
    pub fn deliver_sent(&mut self, device: DeviceId, copy: &Stanza, kept: Vec<u8>) {
        self.push_delivery(device, copy.to_bytes(), Keep::Sent(kept));
    }

    /// Writes a stanza that is serialised already to an own device.
    pub fn deliver_bytes(&mut self, device: DeviceId, bytes: impl Into<Bytes>) {
        self.push_delivery(device, bytes.into(), Keep::No);
    }

    /// The same of what is said once: a device whose session can be resumed gets it even if the
    /// server is killed before it has (XEP-0198 §5), although nothing else is written.
    pub fn deliver_lasting(&mut self, device: DeviceId, bytes: impl Into<Bytes>) {
        self.push_delivery(device, bytes.into(), Keep::Here);
    }

    fn push_delivery(&mut self, device: DeviceId, bytes: Bytes, keep: Keep) {
        self.list.push(Effect::Deliver {
            devices: SmallVec::from_slice(&[device]),
            bytes,
            keep,
        });
    }

    /// Writes to each device a stanza of its own, as pushes with the full JID in `to` are.
    pub fn deliver_each<'a>(
        &mut self,
        devices: impl IntoIterator<Item = &'a Device>,
        mut stanza: impl FnMut(&Device) -> Stanza,
    ) {
        for device in devices {
            self.deliver([device.id], &stanza(device), None);
        }
    }

    /// Sends a new stanza of ours, which need not last, to whom its `to` names.
    pub fn route(&mut self, stanza: Stanza) {
        self.list
            .push(Effect::Route(Box::new(Envelope::plain(stanza))));
    }

    /// The same of one that is written already.
    pub fn route_bytes(&mut self, bytes: impl Into<Bytes>) {
        match Stanza::parse_stored(bytes.into()) {
            Ok(stanza) => self.route(stanza),
            Err(problem) => debug_assert!(false, "{problem}"),
        }
    }

    /// The same with marks.
    pub fn route_marked(&mut self, stanza: Stanza, marks: Marks) {
        let mut envelope = Envelope::plain(stanza);
        envelope.marks = marks;
        self.list.push(Effect::Route(Box::new(envelope)));
    }

    /// Sends a new stanza of ours, which must last, and rows that whoever takes it commits with it.
    pub fn route_lasting(&mut self, stanza: Stanza, rows: Frame) {
        let mut envelope = Envelope::plain(stanza);
        envelope.marks.stamp = self.now;
        envelope.marks.lasting = true;
        envelope.rows = rows;
        self.list.push(Effect::Route(Box::new(envelope)));
    }

    /// Has the account that `stanza` is from send it as if one of its devices had, instead of the
    /// stanza at hand, whose sender hears `forbidden` if there is no such account.
    pub fn send_as(&mut self, stanza: Stanza) {
        let marks = Marks {
            stamp: self.now,
            on_behalf: true,
            ..Marks::default()
        };
        self.forward(stanza, marks);
    }

    /// Sends the stanza at hand on to whom its `to` names, with its receipt, marks and travelling
    /// rows.
    pub fn forward(&mut self, stanza: Stanza, marks: Marks) {
        let rows = std::mem::take(&mut self.travelling);
        let receipt = std::mem::replace(&mut self.receipt, Receipt::none());
        let marks = Marks {
            kept: None,
            order: 0,
            ..marks
        };
        self.list.push(Effect::Route(Box::new(Envelope {
            stanza,
            marks,
            rows,
            receipt,
        })));
    }

    /// What need not be seen at once is held for a device from here on, or no more: see
    /// [`Device::patient`].
    pub fn be_patient(&mut self, device: DeviceId, patient: bool) {
        self.list.push(Effect::Patience(device, patient));
    }

    /// Ends a device's stream.
    pub fn close(&mut self, device: DeviceId, error: StreamError) {
        self.list.push(Effect::Close(device, error));
    }

    /// Reads rows for the IQ at hand; `read_done` goes on with it. Later IQs to this extension
    /// wait.
    pub fn read(&mut self, request: &Stanza, step: u32, queries: Vec<Query>) {
        self.push_read(Some(request.clone()), step, queries, false);
    }

    /// Reads rows while the whole Hub waits: for what must not be overtaken, as offline messages.
    pub fn read_first(&mut self, step: u32, queries: Vec<Query>) {
        self.push_read(None, step, queries, true);
    }

    /// Reads rows for no IQ; later IQs to this extension wait, everything else goes on.
    pub fn read_aside(&mut self, step: u32, queries: Vec<Query>) {
        self.push_read(None, step, queries, false);
    }

    fn push_read(&mut self, request: Option<Stanza>, step: u32, queries: Vec<Query>, stops: bool) {
        let (extension, origin) = (self.extension, self.origin);
        let receipt = match request {
            Some(_) => std::mem::replace(&mut self.receipt, Receipt::none()),
            None => Receipt::none(),
        };
        let read = Read {
            extension,
            step,
            queries,
            request,
            receipt,
            origin,
            stops,
        };
        self.list.push(Effect::Read(Box::new(read)));
    }

    /// Has the server do `command` for the IQ at hand; `administered` goes on with it.
    pub fn administer(&mut self, request: &Stanza, command: Command) {
        let (extension, origin) = (self.extension, self.origin);
        let request = request.clone();
        let receipt = std::mem::replace(&mut self.receipt, Receipt::none());
        let order = Administer {
            extension,
            command,
            request,
            receipt,
            origin,
        };
        self.list.push(Effect::Administer(Box::new(order)));
    }

    /// Calls `woken` after `time`, of at most some minutes: the account stays in memory for it, up
    /// to thirty times as long as without. Nothing of it is on disk: after a restart or a panic the
    /// extension begins anew with what it loads.
    pub fn wake(&mut self, time: Duration) {
        self.list.push(Effect::Wake(self.extension, time));
    }

    /// Has the engine note that this extension keeps something in memory for a device, so that it
    /// can build that anew after a panic: see [`crate::extension::AccountRole::rejoined`].
    pub fn note(&mut self, device: DeviceId) {
        self.notes.push((device, true));
    }

    /// Takes such a note back: there is nothing to build anew any more.
    pub fn forget(&mut self, device: DeviceId) {
        self.notes.push((device, false));
    }

    /// The entity of a service that this is asked of ends: all its rows go, and its name is free.
    pub fn abolish(&mut self) {
        self.abolished = true;
    }

    /// Takes back whether it does.
    pub fn take_abolished(&mut self) -> bool {
        std::mem::take(&mut self.abolished)
    }

    /// Whether something was noted or said: most roles are asked and have nothing to add.
    pub fn is_for_engine(&self) -> bool {
        !self.notes.is_empty() || !self.said.is_empty()
    }

    /// Takes the notes: devices, and whether there is something to note of them.
    pub fn take_notes(&mut self) -> SmallVec<[(DeviceId, bool); 1]> {
        std::mem::take(&mut self.notes)
    }

    /// Says one of the four of RFC 6121 §3 to `contact`, as if a device of the account had: the
    /// roster changes, its followers are told, and the request goes out.
    pub fn say(&mut self, request: Request, contact: Jid) {
        self.said.push((request, contact));
    }

    /// Takes what was said.
    pub fn take_said(&mut self) -> Vec<(Request, Jid)> {
        std::mem::take(&mut self.said)
    }

    /// Puts a row.
    pub fn put(&mut self, tree: Tree, key: Vec<u8>, value: Vec<u8>) {
        self.rows.put(tree, key, value);
    }

    /// Deletes a row.
    pub fn delete(&mut self, tree: Tree, key: Vec<u8>) {
        self.rows.delete(tree, key);
    }

    /// Takes what was listed.
    pub fn take(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.list)
    }

    /// Lists this instead.
    pub(crate) fn put_back(&mut self, list: Vec<Effect>) {
        self.list = list;
    }

    /// What was listed, for tests and the shells.
    pub fn list(&self) -> &[Effect] {
        &self.list
    }

    /// The devices that were given the message of this archive row.
    pub fn given(&self, key: &[u8]) -> impl Iterator<Item = DeviceId> {
        let given = self.list.iter().filter_map(move |effect| match effect {
            Effect::Deliver { devices, keep, .. } if keep.archived() == Some(key) => Some(devices),
            _ => None,
        });
        given.flatten().copied()
    }

    /// The stanzas routed to others, for tests.
    pub fn routed(&self) -> impl Iterator<Item = &Stanza> {
        self.list.iter().filter_map(|effect| match effect {
            Effect::Route(envelope) => Some(&envelope.stanza),
            _ => None,
        })
    }

    /// The stanzas delivered to `device`, as text, for tests.
    pub fn delivered(&self, device: DeviceId) -> impl Iterator<Item = String> {
        self.list.iter().filter_map(move |effect| match effect {
            Effect::Deliver { devices, bytes, .. } if devices.contains(&device) => {
                Some(String::from_utf8_lossy(bytes).into_owned())
            }
            _ => None,
        })
    }
}
