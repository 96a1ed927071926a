//! Stories of the extensions together, with the Hubs that decide and a store in memory, but
//! without actors: what was said is heard, kept and found again.

use std::collections::BTreeMap;

use rookery_actors::effect::{Effect, Effects, Envelope, Marks, Origin, Row};
use rookery_actors::hub::devices::{Device, DeviceId, Devices};
use rookery_actors::hub::mind::Mind;
use rookery_actors::keys::{self, AccountId};
use rookery_actors::site::Site;
use rookery_config::Settings;
use rookery_protocol::jid::Jid;
use rookery_storage::{Direction, Frame, KeyRange, Store, Tree};

use super::scene::{NOW, jid, stanza};
use crate::kept::Place;

/// A server without streams, with alice and bob.
pub struct World {
    store: Store,
    pub site: Site,
    pub now: u64,
    people: BTreeMap<&'static str, Person>,
}

struct Person {
    mind: Mind,
    devices: Devices,
    /// What each device was sent since it was last asked.
    heard: BTreeMap<u32, Vec<String>>,
    /// Deliveries that wait for an acknowledgement: of which device, of which kept message.
    unacked: Vec<(DeviceId, Vec<u8>)>,
}

const PEOPLE: [(&str, u32); 2] = [("alice@a.test", 1), ("bob@a.test", 2)];

impl World {
    pub fn new() -> World {
        World::on(Store::temporary())
    }

    /// A server on this store.
    pub fn on(store: Store) -> World {
        let domains = vec!["a.test".into()];
        let settings = Settings {
            domains,
            ..Settings::default()
        };
        let site = Site::new(settings, super::LIST);
        let mut world = World {
            store,
            site,
            now: NOW,
            people: BTreeMap::new(),
        };
        world.restart();
        world
    }

    /// Everybody's Hub is loaded again; nobody is connected.
    pub fn restart(&mut self) {
        for (name, id) in PEOPLE {
            let range = keys::loaded(AccountId(id));
            let rows = self.rows(Tree::Account, &range);
            let person = Person {
                mind: Mind::load(AccountId(id), jid(name), rows, &self.site),
                devices: Devices::default(),
                heard: BTreeMap::new(),
                unacked: Vec::new(),
            };
            self.people.insert(name, person);
        }
    }

    /// The server starts again under sessions that wait for their clients.
    pub fn restart_under_sessions(&mut self) {
        let people = self.people.iter_mut();
        let waiting: Vec<(&'static str, Devices)> = people
            .map(|(name, person)| (*name, std::mem::take(&mut person.devices)))
            .collect();
        self.site = Site::new(self.site.settings.clone(), super::LIST);
        self.restart();
        for (name, devices) in waiting {
            self.people.get_mut(name).unwrap().devices = devices;
            let origin = Origin::Elsewhere;
            self.decide(name, origin, Frame::new(), |mind, devices, site, fx| {
                mind.rejoined(devices, site, fx);
            });
        }
    }

    pub fn rows(&self, tree: Tree, range: &KeyRange) -> Vec<Row> {
        let rows = self
            .store
            .range(tree, range, usize::MAX, Direction::Forward);
        rows.unwrap().into_iter().collect()
    }

    /// How many messages somebody's archive shows.
    pub fn archived(&self, id: u32) -> usize {
        let range = keys::all_of(AccountId(id), Place::Archive.kind());
        self.rows(Tree::Archive, &range).len()
    }

    /// Connects a device, which says that it is there.
    pub fn connect(&mut self, name: &'static str, number: u32) {
        self.bind(name, number);
        self.send(name, number, "<presence/>");
    }

    /// Connects a device, which says nothing.
    pub fn bind(&mut self, name: &'static str, number: u32) {
        let jid = jid(&format!("{name}/{number}"));
        let device = Device::new(DeviceId(number), jid, self.now);
        self.people.get_mut(name).unwrap().devices.add(device);
    }

    /// A device sends something.
    pub fn send(&mut self, name: &'static str, number: u32, text: &str) {
        self.now += 1;
        let from = jid(&format!("{name}/{number}"));
        let marks = Marks {
            stamp: self.now,
            ..Marks::default()
        };
        let device = DeviceId(number);
        self.decide(
            name,
            Origin::Device(device),
            Frame::new(),
            |mind, devices, site, fx| {
                let stanza = stanza(text).with_from(from);
                mind.outgoing(device, stanza, marks, devices, site, fx);
            },
        );
    }

    /// A device sends presence, and is shown it as everybody sees it.
    pub fn presence_of(&mut self, name: &'static str, number: u32, text: &str) -> String {
        let before = self.people[name].heard.get(&number).map_or(0, Vec::len);
        self.send(name, number, text);
        let heard = &self.people[name].heard[&number][before..];
        let echo = heard.iter().find(|text| text.starts_with("<presence"));
        echo.expect("the echo").clone()
    }

    /// A device goes without a word; what it never acknowledged comes back, unless others have it.
    pub fn lose(&mut self, name: &'static str, number: u32) {
        let person = self.people.get_mut(name).unwrap();
        let device = person.devices.remove(DeviceId(number)).unwrap();
        let all = std::mem::take(&mut person.unacked).into_iter();
        let (lost, left) = all.partition(|(id, _)| *id == device.id);
        person.unacked = left;
        let lost: Vec<(DeviceId, Vec<u8>)> = lost;
        let others_have = |key: &Vec<u8>| person.unacked.iter().any(|(_, it)| it == key);
        let keys = lost.into_iter().map(|(_, key)| key);
        let kept = keys.filter(|key| !others_have(key)).collect();
        self.decide(
            name,
            Origin::Elsewhere,
            Frame::new(),
            |mind, devices, site, fx| {
                mind.gone(device, devices, site, fx);
                mind.returned(kept, devices, site, fx);
            },
        );
    }

    /// What a device was sent since it was last asked, presence left out.
    pub fn heard(&mut self, name: &str, number: u32) -> Vec<String> {
        let person = self.people.get_mut(name).unwrap();
        let heard = person.heard.remove(&number).unwrap_or_default();
        heard
            .into_iter()
            .filter(|text| !text.starts_with("<presence"))
            .collect()
    }

    fn decide(
        &mut self,
        name: &str,
        origin: Origin,
        travelling: Frame,
        decision: impl FnOnce(&mut Mind, &mut Devices, &Site, &mut Effects),
    ) {
        let mut fx = Effects::new(self.now, origin);
        fx.travelling = travelling;
        let person = self.people.get_mut(name).unwrap();
        decision(&mut person.mind, &mut person.devices, &self.site, &mut fx);
        self.perform(name, fx);
    }

    fn perform(&mut self, name: &str, mut fx: Effects) {
        let mut frame = std::mem::take(&mut fx.travelling);
        frame.append(std::mem::take(&mut fx.rows));
        self.store.commit(vec![frame]).unwrap();
        for effect in fx.take() {
            match effect {
                Effect::Deliver {
                    devices,
                    bytes,
                    keep,
                } => {
                    let person = self.people.get_mut(name).unwrap();
                    for device in devices {
                        let text = String::from_utf8_lossy(&bytes).into_owned();
                        person.heard.entry(device.0).or_default().push(text);
                        let kept = keep.archived().map(Vec::from);
                        person.unacked.extend(kept.map(|key| (device, key)));
                    }
                }
                Effect::Route(envelope) => self.route(*envelope),
                Effect::Read(read) => {
                    let rows = read
                        .queries
                        .iter()
                        .flat_map(|query| query.rows(&self.store).unwrap())
                        .collect();
                    self.decide(
                        name,
                        read.origin,
                        Frame::new(),
                        |mind, devices, site, fx| {
                            mind.read_done(*read, rows, devices, site, fx);
                        },
                    );
                }
                Effect::Wake(extension, _) => {
                    let origin = Origin::Elsewhere;
                    self.decide(name, origin, Frame::new(), |mind, devices, site, fx| {
                        mind.woken(extension, devices, site, fx);
                    });
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn route(&mut self, envelope: Envelope) {
        let Envelope {
            stanza,
            marks,
            rows,
            receipt,
        } = envelope;
        receipt.settle();
        let to = stanza.to.as_ref().map(Jid::bare).unwrap();
        if self.people.contains_key(to.as_str()) {
            self.decide(
                to.as_str(),
                Origin::Elsewhere,
                rows,
                |mind, devices, site, fx| {
                    mind.incoming(stanza, marks, devices, site, fx);
                },
            );
        } else {
            self.store.commit(vec![rows]).unwrap();
        }
    }
}

pub(super) fn chat(body: &str) -> String {
    format!("<message to='bob@a.test' type='chat'><body>{body}</body></message>")
}

#[test]
fn what_is_said_to_somebody_away_is_heard_later_in_order_and_once() {
    let mut world = World::new();
    world.connect("alice@a.test", 1);
    for body in ["one", "two", "three"] {
        world.send("alice@a.test", 1, &chat(body));
    }
    world.restart();
    world.connect("bob@a.test", 1);
    let heard = world.heard("bob@a.test", 1);
    assert_eq!(heard.len(), 3);
    for (text, body) in heard.iter().zip(["one", "two", "three"]) {
        assert!(text.contains(body) && text.contains("<delay"), "{text}");
        assert_eq!(text.matches("<stanza-id").count(), 1);
    }
    world.connect("bob@a.test", 2);
    assert!(world.heard("bob@a.test", 2).is_empty());
    assert_eq!((world.archived(1), world.archived(2)), (3, 3));
    assert!(world.heard("alice@a.test", 1).is_empty(), "no error");
}

#[test]
fn what_is_heard_at_once_is_kept_by_both() {
    let mut world = World::new();
    world.connect("alice@a.test", 1);
    world.connect("bob@a.test", 1);
    world.send("alice@a.test", 1, &chat("hi"));
    let heard = world.heard("bob@a.test", 1);
    assert!(
        heard[0].contains("by='bob@a.test'") && !heard[0].contains("<delay"),
        "{heard:?}"
    );
    assert!(!heard[0].contains("by='alice@a.test'"), "her id is hers");
    assert_eq!((world.archived(1), world.archived(2)), (1, 1));
}

#[test]
fn what_a_lost_device_never_acknowledged_is_heard_by_the_next() {
    let mut world = World::new();
    world.connect("alice@a.test", 1);
    world.connect("bob@a.test", 1);
    world.send("alice@a.test", 1, &chat("hi"));
    world.lose("bob@a.test", 1);
    world.restart();
    world.connect("bob@a.test", 2);
    let heard = world.heard("bob@a.test", 2);
    assert!(heard.len() == 1 && heard[0].contains("hi") && heard[0].contains("<delay"));
    world.lose("bob@a.test", 2);
    world.connect("bob@a.test", 3);
    assert_eq!(
        world.heard("bob@a.test", 3).len(),
        1,
        "as often as it takes"
    );
    assert_eq!(world.archived(2), 1);
}

#[test]
fn what_two_devices_were_given_does_not_come_back_from_one() {
    let mut world = World::new();
    world.connect("alice@a.test", 1);
    world.connect("bob@a.test", 1);
    world.connect("bob@a.test", 2);
    world.send("alice@a.test", 1, &chat("hi"));
    assert_eq!(world.heard("bob@a.test", 2).len(), 1);
    world.lose("bob@a.test", 1);
    assert!(world.heard("bob@a.test", 2).is_empty());
    world.lose("bob@a.test", 2);
    world.connect("bob@a.test", 3);
    assert_eq!(world.heard("bob@a.test", 3).len(), 1);
}

#[test]
fn a_copy_is_as_good_as_the_message_and_comes_back_no_more_than_that() {
    let mut world = World::new();
    world.connect("alice@a.test", 1);
    for number in [1, 2] {
        world.connect("bob@a.test", number);
        let enable = "<iq type='set' id='e'><enable xmlns='urn:xmpp:carbons:2'/></iq>";
        world.send("bob@a.test", number, enable);
        world.heard("bob@a.test", number);
    }
    world.send(
        "alice@a.test",
        1,
        &chat("hi").replace("a.test'", "a.test/1'"),
    );
    assert!(!world.heard("bob@a.test", 1)[0].contains("<received"));
    assert!(world.heard("bob@a.test", 2)[0].contains("<received"));
    world.lose("bob@a.test", 2);
    assert!(
        world.heard("bob@a.test", 1).is_empty(),
        "it has the message"
    );
    world.lose("bob@a.test", 1);
    world.connect("bob@a.test", 3);
    assert_eq!(world.heard("bob@a.test", 3).len(), 1, "nobody has it");
    assert_eq!((world.archived(1), world.archived(2)), (1, 1));
}

#[test]
fn who_is_blocked_is_told_that_bob_is_away_and_leaves_no_trace() {
    let mut world = World::new();
    world.connect("alice@a.test", 1);
    world.connect("bob@a.test", 1);
    let command = "<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'>\
         <item jid='alice@a.test'/></block></iq>";
    world.send("bob@a.test", 1, command);
    assert!(world.heard("bob@a.test", 1)[0].contains("type='result'"));
    world.restart();
    world.connect("alice@a.test", 1);
    world.connect("bob@a.test", 1);
    world.send("alice@a.test", 1, &chat("hi"));
    let told = world.heard("alice@a.test", 1);
    assert!(told[0].contains("<service-unavailable"), "{told:?}");
    assert!(world.heard("bob@a.test", 1).is_empty());
    assert_eq!((world.archived(1), world.archived(2)), (1, 0));
    world.send(
        "bob@a.test",
        1,
        "<message to='alice@a.test'><body>x</body></message>",
    );
    assert!(
        world.heard("bob@a.test", 1)[0].contains("<blocked xmlns='urn:xmpp:blocking:errors'/>")
    );
    assert_eq!(world.archived(2), 0);
    world.send(
        "bob@a.test",
        1,
        &command
            .replace("block ", "unblock ")
            .replace("/block", "/unblock"),
    );
    world.heard("bob@a.test", 1);
    world.send("alice@a.test", 1, &chat("hi"));
    assert_eq!(world.heard("bob@a.test", 1).len(), 1);
}

#[test]
fn a_flood_stops_and_what_was_refused_is_in_no_archive() {
    let mut world = World::new();
    world.site.settings.offline.messages = 4;
    world.connect("alice@a.test", 1);
    for number in 0..5 {
        world.send("alice@a.test", 1, &chat(&number.to_string()));
    }
    // Strangers have half.
    let told = world.heard("alice@a.test", 1);
    assert_eq!(told.len(), 3);
    assert!(told.iter().all(|text| text.contains("type='error'")));
    assert_eq!(world.archived(2), 2);
    world.connect("bob@a.test", 1);
    assert_eq!(world.heard("bob@a.test", 1).len(), 2);
}

#[test]
fn what_one_tells_oneself_is_kept_and_heard_once() {
    let mut world = World::new();
    world.connect("bob@a.test", 1);
    world.connect("bob@a.test", 2);
    world.send("bob@a.test", 1, &chat("note"));
    assert_eq!(world.heard("bob@a.test", 1).len(), 1);
    assert_eq!(world.heard("bob@a.test", 2).len(), 1);
    assert_eq!(world.archived(2), 1);
}

#[test]
fn everything_kept_lies_under_its_account() {
    let mut world = World::new();
    world.connect("alice@a.test", 1);
    world.send("alice@a.test", 1, &chat("hi"));
    let hint = "</body><no-permanent-store xmlns='urn:xmpp:hints'/>";
    world.send("alice@a.test", 1, &chat("once").replace("</body>", hint));
    for tree in [Tree::Account, Tree::Archive] {
        let mut frame = Frame::new();
        for (_, id) in PEOPLE {
            assert!(
                !world
                    .rows(tree, &keys::everything(AccountId(id)))
                    .is_empty()
            );
            frame.delete_range(tree, keys::everything(AccountId(id)));
        }
        world.store.commit(vec![frame]).unwrap();
        assert!(
            world.rows(tree, &KeyRange::prefix(b"")).is_empty(),
            "{tree}"
        );
    }
}
