//! The devices of a user: one entry for each connected resource. Plain data; the Hub's shell holds
//! their addresses.

use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::Stanza;

use crate::clients::ClientKey;

/// The most JIDs one device may have sent directed presence to; a further one replaces the oldest.
pub const DIRECTED: usize = 512;

/// Names a device within its Hub; never used twice by one Hub.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct DeviceId(pub u32);

/// One connected resource.
#[derive(Clone, Debug)]
pub struct Device {
    pub id: DeviceId,
    /// Its full JID.
    pub jid: Jid,
    /// Which client it is, if it said so.
    pub client: Option<ClientKey>,
    /// The last available presence it broadcast (RFC 6121 §4.2), with `from` and without `to`;
    /// `None`: not available.
    pub presence: Option<Box<Stanza>>,
    /// Of that presence (RFC 6121 §4.7.2.3).
    pub priority: i8,
    /// It asked for the roster, so it gets roster pushes (RFC 6121 §2.1.6).
    pub interested: bool,
    /// Whom it sent directed presence (RFC 6121 §4.6), oldest first; they get its unavailable
    /// presence.
    pub directed: Vec<Jid>,
    /// When it was bound, in milliseconds since 1970.
    pub since: u64,
    /// It came from a network that rate limits do not hold for (`limits.trusted`).
    pub trusted: bool,
    /// It acknowledges what it is sent (XEP-0198).
    pub acknowledges: bool,
    /// Its stream is gone, and its session waits for another (XEP-0198 §5).
    pub away: bool,
    /// Its user does not look at it: what need not be seen at once is held until something comes
    /// that must. Always `false` at the beginning of a stream, also of one that resumes.
    pub patient: bool,
    /// Something changed that a server which starts again must know.
    pub changed: bool,
    /// Extensions that noted it: see [`crate::effect::Effects::note`].
    pub noted: Vec<u16>,
}

impl Device {
    /// A device that was just bound.
    pub fn new(id: DeviceId, jid: Jid, since: u64) -> Device {
        Device {
            id,
            jid,
            client: None,
            presence: None,
            priority: 0,
            interested: false,
            directed: Vec::new(),
            since,
            trusted: false,
            acknowledges: false,
            away: false,
            patient: false,
            changed: false,
            noted: Vec::new(),
        }
    }

    /// Whether it sent initial presence and not unavailable since.
    pub fn available(&self) -> bool {
        self.presence.is_some()
    }

    /// What stands for its client; for one that did not say which it is, its resource does.
    pub fn client_key(&self) -> ClientKey {
        let resource = self.jid.resource().unwrap_or_default();
        self.client.unwrap_or_else(|| ClientKey::nameless(resource))
    }

    /// Whether its user is at it, as far as its presence tells: available, and neither away nor
    /// extended away (RFC 6121 §4.7.2.1).
    pub fn active(&self) -> bool {
        let Some(presence) = &self.presence else {
            return false;
        };
        let show = presence.child(ns::CLIENT, "show");
        !show.is_some_and(|show| matches!(show.text().trim(), "away" | "xa"))
    }

    /// Whether messages to the bare JID may go to it (RFC 6121 §8.5.2.1).
    pub fn reachable(&self) -> bool {
        self.available() && self.priority >= 0
    }

    /// Remembers that `to` was sent directed presence.
    pub fn remember_directed(&mut self, to: &Jid) {
        if self.directed.contains(to) {
            return;
        }
        if self.directed.len() >= DIRECTED {
            self.directed.remove(0);
        }
        self.directed.push(to.clone());
    }

    /// Forgets those who were sent directed presence and need not be told any more.
    pub fn forget_directed(&mut self, gone: impl Fn(&Jid) -> bool) {
        let before = self.directed.len();
        self.directed.retain(|it| !gone(it));
        self.changed |= self.directed.len() < before;
    }
}

/// All devices of one user, in the order in which they came.
#[derive(Default, Debug)]
pub struct Devices(Vec<Device>);

impl Devices {
    pub fn add(&mut self, device: Device) {
        // Most users have one or two, and a vector would begin with room for four.
        self.0.reserve_exact(1);
        self.0.push(device);
    }

    pub fn remove(&mut self, id: DeviceId) -> Option<Device> {
        let index = self.0.iter().position(|device| device.id == id)?;
        let device = self.0.remove(index);
        if self.0.is_empty() {
            self.0.shrink_to_fit();
        }
        Some(device)
    }

    pub fn get(&self, id: DeviceId) -> Option<&Device> {
        self.0.iter().find(|device| device.id == id)
    }

    /// One of them, to be changed in a way that is [remembered](Device::changed).
    pub fn get_mut(&mut self, id: DeviceId) -> Option<&mut Device> {
        let device = self.0.iter_mut().find(|device| device.id == id)?;
        device.changed = true;
        Some(device)
    }

    /// Whether an extension has something to build anew for a device.
    pub fn note(&mut self, device: DeviceId, extension: usize, is_noted: bool) {
        if let Some(device) = self.get_mut(device) {
            let extension = extension as u16;
            device.noted.retain(|it| *it != extension);
            device.noted.extend(is_noted.then_some(extension));
        }
    }

    /// All of them, to be changed; who does says so in [`Device::changed`].
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Device> {
        self.0.iter_mut()
    }

    /// The device with this resource.
    pub fn with_resource(&self, resource: &str) -> Option<&Device> {
        self.0
            .iter()
            .find(|device| device.jid.resource() == Some(resource))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Device> {
        self.0.iter()
    }

    /// Those that sent initial presence.
    pub fn available(&self) -> impl Iterator<Item = &Device> {
        self.0.iter().filter(|device| device.available())
    }

    /// Those that messages to the bare JID may go to.
    pub fn reachable(&self) -> impl Iterator<Item = &Device> {
        self.0.iter().filter(|device| device.reachable())
    }

    /// Those that asked for the roster.
    pub fn interested(&self) -> impl Iterator<Item = &Device> {
        self.0.iter().filter(|device| device.interested)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
