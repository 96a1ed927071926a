//! What was listed, as tests look at it.

use rookery_protocol::stanza::Stanza;

use super::{Effect, Effects};
use crate::hub::devices::DeviceId;

impl Effects {
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
