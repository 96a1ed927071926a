//! What the store knows of sessions: enough to go on with them after the server has started again,
//! or to end them properly.

use bytes::Bytes;
use rookery_protocol::jid::Jid;
use rookery_protocol::stanza::Stanza;
use rookery_storage::record::{Record, body, decode, encode};
use rookery_storage::{Frame, Tree};
use serde::{Deserialize, Serialize};
use tracing::error;

use crate::clients::ClientKey;
use crate::effect::{Millis, Row};
use crate::hub::devices::{Device, DeviceId};
use crate::hub::link::Link;
use crate::hub::shelf::size_of;
use crate::keys::{Part, SessionKey};
use crate::receipt::{Handled, Mark};
use crate::site::Site;

/// The row of a session.
#[derive(Serialize, Deserialize, PartialEq, Debug)]
struct State {
    /// By this its client names it; without it the session cannot be resumed.
    token: Option<[u8; 16]>,
    resource: String,
    client: Option<ClientKey>,
    since: Millis,
    /// Its last available presence, as it was broadcast.
    presence: Option<Vec<u8>>,
    priority: i8,
    interested: bool,
    directed: Vec<String>,
    /// Names of the extensions that noted it.
    noted: Vec<String>,
}

impl Record for State {
    const VERSION: u8 = 1;
}

/// The row of a delivery that is not acknowledged.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub struct Delivery {
    /// Under which number it was delivered; `None`: not at all yet.
    pub number: Option<u32>,
    /// Bytes of the stanza; 0 where that is not known.
    pub size: u32,
    pub stanza: Whereabouts,
}

/// What it was before it told the size.
#[derive(Serialize, Deserialize)]
struct SizelessDelivery {
    number: Option<u32>,
    stanza: Whereabouts,
}

/// Where the stanza of a delivery lies.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
pub enum Whereabouts {
    /// In the archive row of this key.
    Archive(Vec<u8>),
    /// Here: nothing else has it, as the result of an IQ or a roster push.
    Here(Vec<u8>),
    /// In the archive row of this key, of which it is a copy: what the account sent itself.
    Sent(Vec<u8>),
    /// In the archive row of this key, and so many other devices were given it, too.
    Shared(Vec<u8>, u8),
}

impl Record for Delivery {
    const VERSION: u8 = 2;

    fn upgrade(version: u8, bytes: &[u8]) -> Option<Delivery> {
        let SizelessDelivery { number, stanza } = match version {
            1 => body(bytes)?,
            _ => return None,
        };
        let size = match &stanza {
            Whereabouts::Here(bytes) => size_of(bytes),
            Whereabouts::Archive(_) | Whereabouts::Sent(_) | Whereabouts::Shared(..) => 0,
        };
        Some(Delivery {
            number,
            size,
            stanza,
        })
    }
}

/// How many of a client's stanzas were handled, as its session wrote it.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub struct Count(pub u32);

impl Record for Count {
    const VERSION: u8 = 1;
}

/// Which rows a session has.
#[derive(Clone, Copy)]
pub(super) struct Traces {
    pub key: SessionKey,
    pub resumable: bool,
    pub written: bool,
}

impl Traces {
    /// Takes them all away.
    pub fn erase(self, frame: &mut Frame) {
        if self.resumable {
            frame.delete_range(Tree::Sessions, self.key.rows());
        } else if self.written {
            frame.delete(Tree::Sessions, self.key.row(Part::State, &[]));
        }
    }
}

/// All that is known of one session.
pub(crate) struct Remembered {
    pub key: SessionKey,
    state: Option<State>,
    pub handled: Handled,
    /// Serial number, key and content of the rows of deliveries, in their order.
    pub unacked: Vec<(u32, Vec<u8>, Delivery)>,
    /// What else it had not acknowledged when the server stopped, by number.
    pub tail: Vec<(u32, Bytes)>,
}

/// The value of the row of a session on `device`.
pub(super) fn state(device: &Device, link: &Link, site: &Site) -> Option<Vec<u8>> {
    let noted = device.noted.iter();
    let state = State {
        token: link.token,
        resource: device.jid.resource()?.to_owned(),
        client: device.client,
        since: device.since,
        presence: device.presence.as_ref().map(|it| it.to_bytes().to_vec()),
        priority: device.priority,
        interested: device.interested,
        directed: device.directed.iter().map(Jid::to_string).collect(),
        noted: noted
            .filter_map(|index| site.extensions.get(usize::from(*index)))
            .map(|extension| extension.name.to_owned())
            .collect(),
    };
    encode(&state).ok()
}

/// How many stanzas of each client that may resume were handled, by what it names its session: for
/// tools that look at a store.
pub fn counts(rows: Vec<Row>) -> Vec<([u8; 16], u32)> {
    let counted = |it: Remembered| Some((it.state?.token?, it.handled.count));
    gather(rows).into_iter().filter_map(counted).collect()
}

/// Whether all sessions that these rows are of can be resumed, and nothing waits for one that
/// anybody else should hear of.
pub(crate) fn only_wait(rows: Vec<Row>) -> bool {
    let waits = |it: &Remembered| it.departed().is_some() && !it.owes();
    gather(rows).iter().all(waits)
}

/// Sorts the rows of an account's sessions by session.
pub(crate) fn gather(rows: Vec<Row>) -> Vec<Remembered> {
    let mut found: Vec<Remembered> = Vec::new();
    let mut count = 0;
    let mut marks: Vec<(u8, Mark)> = Vec::new();
    for (row, value) in rows {
        let Some((key, part, rest)) = SessionKey::split(&row) else {
            continue;
        };
        if found.last().is_none_or(|last| last.key != key) {
            finish(&mut found, &mut count, &mut marks);
            found.push(Remembered {
                key,
                state: None,
                handled: Handled::default(),
                unacked: Vec::new(),
                tail: Vec::new(),
            });
        }
        let Some(last) = found.last_mut() else {
            continue;
        };
        let read = match part {
            Part::State => decode(&value).map(|state| last.state = Some(state)).is_ok(),
            Part::Handled => decode(&value).map(|Count(it)| count = it).is_ok(),
            Part::Mark => {
                let slot = rest.first().copied().unwrap_or_default();
                let mark = Handled::read(&value);
                mark.map(|it| marks.push((slot, it))).is_some()
            }
            Part::Tail => {
                last.tail.push((number(rest), value.into()));
                true
            }
            Part::Unacked => {
                let serial = number(rest);
                let delivery = decode(&value);
                delivery
                    .map(|it| last.unacked.push((serial, row, it)))
                    .is_ok()
            }
        };
        if !read {
            error!("a row of a session cannot be read");
        }
    }
    finish(&mut found, &mut count, &mut marks);
    found
}

/// The stanza in the row of a delivery, if it has it itself.
pub(super) fn here(row: &[u8]) -> Option<Bytes> {
    match decode::<Delivery>(row).ok()?.stanza {
        Whereabouts::Here(bytes) => Some(bytes.into()),
        Whereabouts::Archive(_) | Whereabouts::Shared(..) | Whereabouts::Sent(_) => None,
    }
}

fn number(rest: &[u8]) -> u32 {
    rest.try_into().map_or(0, u32::from_be_bytes)
}

fn finish(found: &mut [Remembered], count: &mut u32, marks: &mut Vec<(u8, Mark)>) {
    if let Some(last) = found.last_mut() {
        // What must not be lost has its own rows.
        let (tail, unacked) = (&mut last.tail, &last.unacked);
        tail.retain(|(number, _)| !unacked.iter().any(|(_, _, it)| it.number == Some(*number)));
        last.handled = Handled::found(std::mem::take(count), std::mem::take(marks));
    }
}

impl Remembered {
    /// By what its client may name it, and how much of what it sent is handled.
    pub fn departed(&self) -> Option<([u8; 16], u32)> {
        Some((self.state.as_ref()?.token?, self.handled.count))
    }

    /// Whether something that is kept was delivered and not acknowledged.
    pub fn owes(&self) -> bool {
        let is_kept =
            |it: &Delivery| matches!(it.stanza, Whereabouts::Archive(_) | Whereabouts::Shared(..));
        self.unacked.iter().any(|(_, _, it)| is_kept(it))
    }

    /// The device it was, and by what its client may name it; `None` where nobody would miss it.
    pub fn device(
        &self,
        id: DeviceId,
        account: &Jid,
        site: &Site,
    ) -> Option<(Device, Option<[u8; 16]>)> {
        let state = self.state.as_ref()?;
        let jid = account.with_resource(&state.resource).ok()?;
        let mut device = Device::new(id, jid, state.since);
        device.client = state.client;
        device.presence = state
            .presence
            .as_ref()
            .and_then(|bytes| Stanza::parse_stored(bytes.clone().into()).ok())
            .map(Box::new);
        device.priority = state.priority;
        device.interested = state.interested;
        let directed = state.directed.iter();
        device.directed = directed.filter_map(|it| Jid::parse(it).ok()).collect();
        let names = |index: &usize| {
            state
                .noted
                .iter()
                .any(|it| *it == site.extensions[*index].name)
        };
        let noted = (0..site.extensions.len()).filter(names);
        device.noted = noted.map(|index| index as u16).collect();
        device.acknowledges = state.token.is_some();
        device.away = true;
        Some((device, state.token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::fixture;
    use crate::keys::AccountId;
    use crate::receipt::Mark;

    fn row(key: SessionKey, part: Part, rest: &[u8], value: &impl Record) -> Row {
        (key.row(part, rest), encode(value).expect("a row"))
    }

    #[test]
    fn each_session_gets_its_own_rows() {
        let [first, second] = [1, 2].map(|id| SessionKey::new(AccountId(7), id));
        let delivery = |number| Delivery {
            number,
            size: 300,
            stanza: Whereabouts::Archive(vec![9]),
        };
        let rows = vec![
            row(first, Part::Handled, &[], &Count(5)),
            row(first, Part::Mark, &[0], &Mark { number: 7, upto: 6 }),
            row(
                first,
                Part::Unacked,
                &3_u32.to_be_bytes(),
                &delivery(Some(4)),
            ),
            row(second, Part::Mark, &[0], &Mark { number: 2, upto: 0 }),
            row(second, Part::Unacked, &1_u32.to_be_bytes(), &delivery(None)),
        ];
        let found = gather(rows);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].handled.count, 7);
        assert_eq!(
            (found[1].handled.count, found[1].handled.beyond.len()),
            (0, 1)
        );
        assert_eq!(found[0].unacked[0].0, 3);
        assert_eq!(found[1].unacked[0].2, delivery(None));
    }

    /// If this fails, the rows on every disk out there can no longer be read: raise the version.
    #[test]
    fn a_delivery_tells_its_size_and_one_of_before_is_read() {
        let delivery = Delivery {
            number: Some(4),
            size: 300,
            stanza: Whereabouts::Shared(vec![9], 2),
        };
        let golden = [2, 1, 4, 251, 44, 1, 3, 1, 9, 2];
        assert_eq!(encode(&delivery).as_deref(), Ok(&golden[..]));
        assert_eq!(decode(&golden), Ok(delivery));
        let before = |bytes: &[u8]| decode::<Delivery>(bytes).map(|it| (it.number, it.size));
        assert_eq!(before(&[1, 1, 4, 0, 1, 9]), Ok((Some(4), 0)));
        assert_eq!(before(&[1, 0, 1, 3, 7, 7, 7]), Ok((None, 3)));
    }

    #[test]
    fn a_device_comes_back_as_it_was() {
        let site = fixture::Scene::new().site;
        let account = fixture::jid("ann@test");
        let mut device = Device::new(DeviceId(1), fixture::jid("ann@test/a"), 5);
        let presence = Stanza::presence(rookery_protocol::stanza::PresenceType::Available);
        device.presence = Some(Box::new(presence.with_from(device.jid.clone())));
        device.priority = 3;
        device.interested = true;
        device.directed = vec![fixture::jid("room@rooms.test/ann")];
        let key = SessionKey::new(AccountId(7), 1);
        let mut link = Link::restored(
            gather(vec![row(key, Part::Handled, &[], &Count(0))]).remove(0),
            [3; 16],
            None,
        );
        link.leave(&mut Frame::new());
        let value = state(&device, &link, &site).expect("a row");
        let found = gather(vec![(key.row(Part::State, &[]), value)]).remove(0);
        let (back, token) = found
            .device(DeviceId(2), &account, &site)
            .expect("a device");
        assert_eq!(token, Some([3; 16]));
        assert_eq!(back.jid, device.jid);
        assert_eq!(
            back.presence.map(|it| it.to_bytes()),
            device.presence.map(|it| it.to_bytes())
        );
        assert_eq!((back.priority, back.interested, back.since), (3, true, 5));
        assert_eq!(back.directed, device.directed);
        assert!(back.away && back.acknowledges);
    }
}
