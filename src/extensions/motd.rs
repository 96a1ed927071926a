//! The message of the day and the welcome of XEP-0133 §4.23 to §4.28: who has heard them.
//!
//! Each is told once to an account, to the first device that is there after it was set; the texts
//! are in `Site::notices`. Who is online when a message of the day is set gets it as a message from
//! the domain, which is recognised by its id.

use rookery_actors::effect::Effects;
use rookery_actors::extension::{AccountRole, Direction, Extension, Pass, View};
use rookery_actors::hub::devices::DeviceId;
use rookery_actors::keys::{Kind, row};
use rookery_actors::notices::{Notice, Occasion};
use rookery_protocol::stanza::{Kind as StanzaKind, MessageType};
use rookery_storage::Tree;
use rookery_storage::record::{Record, decode, encode};
use serde::{Deserialize, Serialize};
use tracing::error;

/// The extension.
pub const MOTD: Extension = Extension {
    name: "motd",
    kinds: &[HEARD],
    account: Some(|_| Box::new(Heard::default())),
    ..Extension::NONE
};

/// The number of the last message of the day that the account heard, 0 for none. That there is
/// such a row says that the account was used.
const HEARD: Kind = Kind(0x14);

#[derive(Serialize, Deserialize)]
struct HeardRow(u64);

impl Record for HeardRow {
    const VERSION: u8 = 1;
}

/// `None`: the account was never used.
#[derive(Default)]
struct Heard(Option<u64>);

impl AccountRole for Heard {
    fn load(&mut self, _: Kind, _: &[u8], value: &[u8]) {
        match decode::<HeardRow>(value) {
            Ok(row) => self.0 = Some(row.0),
            Err(problem) => error!(%problem, "the mark of what was heard cannot be read"),
        }
    }

    fn available(&mut self, device: DeviceId, initial: bool, view: View, fx: &mut Effects) {
        if !initial {
            return;
        }
        let domain = view.account.jid.domain();
        let is_new = self.0.is_none();
        if is_new {
            let welcome = view.site.notices.get(Occasion::Welcome, domain);
            tell(welcome, device, view, fx);
        }
        let motd = view.site.notices.get(Occasion::Motd, domain);
        let motd = motd.filter(|motd| self.0 != Some(motd.number));
        let number = motd.as_ref().map(|motd| motd.number);
        if is_new || number.is_some() {
            self.remember(number.unwrap_or(0), view, fx);
        }
        tell(motd, device, view, fx);
    }

    fn after(&mut self, pass: &mut Pass, reached: &[DeviceId], view: View, fx: &mut Effects) {
        let is_headline = pass.stanza.kind == StanzaKind::Message(MessageType::Headline);
        let domain = view.account.jid.domain();
        let is_of_domain = pass.peer().is_some_and(|peer| peer.as_str() == domain);
        let is_incoming = pass.direction == Direction::In;
        if !(is_headline && is_of_domain && is_incoming) || reached.is_empty() {
            return;
        }
        let motd = view.site.notices.get(Occasion::Motd, domain);
        if let Some(motd) = motd.filter(|motd| pass.stanza.id.as_deref() == Some(&motd.id())) {
            self.remember(motd.number, view, fx);
        }
    }
}

impl Heard {
    fn remember(&mut self, number: u64, view: View, fx: &mut Effects) {
        self.0 = Some(number);
        let key = row(view.account.id, HEARD, &[]);
        match encode(&HeardRow(number)) {
            Ok(value) => fx.put(Tree::Account, key, value),
            Err(problem) => error!(%problem, "the mark of what was heard cannot be written"),
        }
    }
}

fn tell(notice: Option<Notice>, device: DeviceId, view: View, fx: &mut Effects) {
    let to = view.devices.get(device).map(|device| device.jid.clone());
    let stanza = notice.and_then(|notice| notice.stanza());
    if let (Some(to), Some(stanza)) = (to, stanza) {
        fx.deliver([device], &stanza.with_to(to), None);
    }
}

#[cfg(test)]
mod tests;
