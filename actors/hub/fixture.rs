//! The decisions of a Hub without a Hub, for tests: a device or a contact says something, and what
//! follows is compared as text. What is written goes to a store in memory.

use rookery_config::Settings;
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::roster::Item;
use rookery_protocol::stanza::{Kind, Stanza};
use rookery_protocol::subscription::{Request, Subscription};
use rookery_protocol::xml::{Element, Node};
use rookery_storage::{Direction, Frame, Store, Tree};

use super::devices::{Device, DeviceId, Devices};
use super::mind::Mind;
use crate::effect::{Effect, Effects, Envelope, Marks, Millis, Origin, Row};
use crate::extension::List;
use crate::keys::{self, AccountId};
use crate::site::Site;

/// Juliet's account on a server for `example.com` and `capulet.example`.
pub struct Scene {
    pub site: Site,
    pub mind: Mind,
    pub devices: Devices,
    pub now: Millis,
    store: Store,
    next: u32,
}

/// What a decision asked for.
pub struct Heard {
    pub effects: Vec<Effect>,
    pub lasting: bool,
    pub wrote: bool,
}

const ID: AccountId = AccountId(7);

impl Scene {
    /// An account with nothing in it.
    pub fn new() -> Scene {
        Scene::with(&[])
    }

    /// The same with these extensions.
    pub fn with(extensions: List) -> Scene {
        let domains = vec!["example.com".to_owned(), "capulet.example".to_owned()];
        let settings = Settings {
            domains,
            ..Settings::default()
        };
        let site = Site::new(settings, extensions);
        let mind = Mind::load(ID, jid("juliet@example.com"), Vec::new(), &site);
        let (devices, store) = (Devices::default(), Store::temporary());
        Scene {
            site,
            mind,
            devices,
            now: 1_000_000,
            store,
            next: 0,
        }
    }

    /// The same with a contact.
    pub fn knows(mut self, contact: &str, subscription: Subscription) -> Scene {
        let item = Item {
            subscription,
            ..Item::new(&jid(contact))
        };
        self.put(&item);
        self
    }

    /// Puts an item into the roster; nobody hears of it.
    pub fn put(&mut self, item: &Item) {
        let mut fx = Effects::new(0, Origin::Elsewhere);
        self.mind.account.save(item, &mut fx);
        self.heard(fx);
    }

    /// A device that only bound its resource.
    pub fn bind(&mut self, resource: &str) -> DeviceId {
        self.next += 1;
        let full = self
            .mind
            .account
            .jid
            .with_resource(resource)
            .expect("a resource");
        self.devices
            .add(Device::new(DeviceId(self.next), full, self.now));
        DeviceId(self.next)
    }

    /// A device that fetched the roster and sent initial presence, as clients do.
    pub fn online(&mut self, resource: &str) -> DeviceId {
        let device = self.bind(resource);
        self.sends(
            device,
            "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>",
        );
        self.sends(device, "<presence/>");
        device
    }

    /// A device sends a stanza; its session stamps `from`.
    pub fn sends(&mut self, device: DeviceId, text: &str) -> Heard {
        let mut stanza = stanza(text);
        let full = self.devices.get(device).expect("a device").jid.clone();
        let bare = matches!(stanza.kind, Kind::Presence(kind) if Request::of(kind).is_some());
        stanza.from = Some(if bare { full.bare() } else { full });
        let mut fx = Effects::new(self.now, Origin::Device(device));
        let marks = Marks {
            stamp: self.now,
            ..Marks::default()
        };
        let (mind, devices, site) = (&mut self.mind, &mut self.devices, &self.site);
        mind.outgoing(device, stanza, marks, devices, site, &mut fx);
        self.heard(fx)
    }

    /// A stanza comes from elsewhere.
    pub fn receives(&mut self, text: &str) -> Heard {
        let mut fx = Effects::new(self.now, Origin::Elsewhere);
        let (mind, devices, site) = (&mut self.mind, &mut self.devices, &self.site);
        mind.incoming(stanza(text), Marks::default(), devices, site, &mut fx);
        self.heard(fx)
    }

    /// A session ends without a word.
    pub fn loses(&mut self, device: DeviceId) -> Heard {
        let device = self.devices.remove(device).expect("a device");
        self.decides(|mind, devices, site, fx| mind.gone(device, devices, site, fx))
    }

    /// Anything else.
    pub fn decides(
        &mut self,
        decision: impl FnOnce(&mut Mind, &mut Devices, &Site, &mut Effects),
    ) -> Heard {
        let mut fx = Effects::new(self.now, Origin::Elsewhere);
        decision(&mut self.mind, &mut self.devices, &self.site, &mut fx);
        self.heard(fx)
    }

    /// The Hub retires and is born again: all that is left is what was written.
    pub fn reload(&mut self) {
        self.devices = Devices::default();
        self.mind = Mind::load(ID, self.mind.account.jid.clone(), self.rows(), &self.site);
    }

    /// The rows of the account.
    pub fn rows(&self) -> Vec<Row> {
        let range = keys::loaded(ID);
        let rows = self
            .store
            .range(Tree::Account, &range, usize::MAX, Direction::Forward);
        rows.expect("a store in memory reads")
    }

    /// The contact's `<item/>` in the roster.
    #[track_caller]
    pub fn assert_item(&self, contact: &str, expected: Option<&str>) {
        let item = self
            .mind
            .account
            .roster
            .get(contact)
            .map(|it| it.to_element());
        let item = item.map(|it| canonical(&it, ns::ROSTER));
        assert_eq!(item, expected.map(|it| normal_in(it, ns::ROSTER)));
    }

    fn heard(&mut self, mut fx: Effects) -> Heard {
        let mut frame: Frame = std::mem::take(&mut fx.travelling);
        frame.append(std::mem::take(&mut fx.rows));
        let wrote = !frame.is_empty();
        if wrote {
            self.store
                .commit(vec![frame])
                .expect("a store in memory writes");
        }
        Heard {
            effects: fx.take(),
            lasting: fx.lasting,
            wrote,
        }
    }
}

impl Heard {
    /// A device was given exactly this, in this order.
    #[track_caller]
    pub fn to(&self, device: DeviceId, expected: &[&str]) -> &Heard {
        let delivered = self.effects.iter().filter_map(|effect| match effect {
            Effect::Deliver { devices, bytes, .. } if devices.contains(&device) => {
                Some(String::from_utf8(bytes.to_vec()).expect("text"))
            }
            _ => None,
        });
        compare(delivered, expected);
        self
    }

    /// Exactly this was sent to others, in this order.
    #[track_caller]
    pub fn routed(&self, expected: &[&str]) -> &Heard {
        compare(self.envelopes().map(|it| text(&it.stanza)), expected);
        self
    }

    /// Nothing was asked for.
    #[track_caller]
    pub fn nothing(&self) {
        assert!(self.effects.is_empty() && !self.wrote, "{:?}", self.effects);
    }

    /// What was sent to others.
    pub fn envelopes(&self) -> impl Iterator<Item = &Envelope> {
        self.effects.iter().filter_map(|effect| match effect {
            Effect::Route(envelope) => Some(&**envelope),
            _ => None,
        })
    }

    /// What everybody heard, in order: `resource: stanza` or `-> stanza`.
    pub fn log(&self) -> Vec<String> {
        let mut log = Vec::new();
        for effect in &self.effects {
            match effect {
                Effect::Deliver { devices, bytes, .. } => {
                    let stanza = normal(std::str::from_utf8(bytes).expect("text"));
                    log.extend(
                        devices
                            .iter()
                            .map(|device| format!("{}: {stanza}", device.0)),
                    );
                }
                Effect::Route(envelope) => {
                    log.push(format!("-> {}", normal(&text(&envelope.stanza))));
                }
                other => log.push(format!("{other:?}")),
            }
        }
        log
    }
}

pub fn jid(text: &str) -> Jid {
    Jid::parse(text).expect("an address")
}

/// A stanza from its text.
pub fn stanza(text: &str) -> Stanza {
    Stanza::parse_stored(text.as_bytes().to_vec().into()).expect("a stanza")
}

pub fn text(stanza: &Stanza) -> String {
    String::from_utf8(stanza.to_bytes().to_vec()).expect("text")
}

/// The same text for the same XML: attributes in order, random ids as `?`, no layout.
pub fn normal(text: &str) -> String {
    normal_in(text, ns::CLIENT)
}

fn normal_in(text: &str, ns: &str) -> String {
    canonical(&Element::parse(text, ns).expect("XML"), ns)
}

#[track_caller]
fn compare(heard: impl Iterator<Item = String>, expected: &[&str]) {
    let heard: Vec<String> = heard.map(|it| normal(&it)).collect();
    let expected: Vec<String> = expected.iter().map(|it| normal(it)).collect();
    assert_eq!(heard, expected, "heard {heard:#?}\nexpected {expected:#?}");
}

fn canonical(element: &Element, parent: &str) -> String {
    let mut attributes: Vec<String> = element
        .attributes()
        .iter()
        .map(|it| {
            let random = it.name == "id" && it.value.len() == 32;
            let value = if random { "?" } else { it.value.as_str() };
            format!(" {}='{value}'", it.name)
        })
        .collect();
    attributes.sort();
    if element.ns() != parent {
        attributes.push(format!(" xmlns='{}'", element.ns()));
    }
    let mut inside = String::new();
    for node in element.nodes() {
        match node {
            Node::Element(child) => inside += &canonical(child, element.ns()),
            Node::Text(text) => inside += text.trim(),
        }
    }
    let (name, attributes) = (element.name(), attributes.concat());
    format!("<{name}{attributes}>{inside}</{name}>")
}
