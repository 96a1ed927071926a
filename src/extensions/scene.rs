//! A stage for unit tests of extensions: a site, an account of alice with contacts and devices, a
//! disk, what an extension does to stanzas there, and ears for what it answers.

use rookery_actors::admin::{Command, Outcome};
use rookery_actors::effect::{Effect, Effects, Marks, Millis, Origin, Query, Row};
use rookery_actors::extension::{AccountRole, Direction, DomainRole, Fellows, Pass, View};
use rookery_actors::hub::account::Account;
use rookery_actors::hub::devices::{Device, DeviceId, Devices};
use rookery_actors::hub::mind::Mind;
use rookery_actors::keys::{AccountId, Kind, row};
use rookery_actors::site::Site;
use rookery_config::Settings;
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::roster::Item;
use rookery_protocol::stanza::{IqType, PresenceType, Stanza};
use rookery_protocol::subscription::Subscription;
use rookery_protocol::xml::Element;
use rookery_storage::{Store, Tree};

use super::LIST;

/// The time on the stage: 2023-11-14T22:13:20Z.
pub const NOW: Millis = 1_700_000_000_000;

/// An address that is right.
pub fn jid(text: &str) -> Jid {
    Jid::parse(text).unwrap()
}

/// An IQ get.
pub fn get(from: &str, to: &str, payload: &Element) -> Stanza {
    iq(IqType::Get, from, to, payload)
}

/// An IQ set.
pub fn set(from: &str, to: &str, payload: &Element) -> Stanza {
    iq(IqType::Set, from, to, payload)
}

fn iq(kind: IqType, from: &str, to: &str, payload: &Element) -> Stanza {
    Stanza::iq(kind, "q1")
        .with_from(jid(from))
        .with_to(jid(to))
        .with_child(payload)
}

/// The condition of an error, or the type of an IQ.
pub fn verdict(answer: &Stanza) -> &'static str {
    match answer.error() {
        Some(error) => error.condition.as_str(),
        None => answer.kind.type_attr().unwrap_or_default(),
    }
}

/// The settings of a server for a.test and b.test with root@a.test as administrator.
pub fn settings(change: impl FnOnce(&mut Settings)) -> Settings {
    let mut settings = Settings {
        domains: vec!["a.test".into(), "b.test".into()],
        admins: vec!["root@a.test".into()],
        ..Settings::default()
    };
    change(&mut settings);
    settings
}

/// A site for a.test and b.test with root@a.test as administrator, the account alice@a.test with
/// the contacts bob@b.test (both ways) and ann@a.test (whom she sees), and alice's devices.
pub struct Scene {
    pub site: Site,
    pub account: Account,
    pub devices: Devices,
    /// The clock.
    pub now: Millis,
    disk: Store,
}

impl Scene {
    pub fn new() -> Scene {
        Scene::with(|_| ())
    }

    /// A scene with other settings.
    pub fn with(change: impl FnOnce(&mut Settings)) -> Scene {
        let site = Site::new(settings(change), LIST);
        Scene {
            site,
            account: account(),
            devices: Devices::default(),
            now: NOW,
            disk: Store::temporary(),
        }
    }

    /// The scene with one available device for each priority: alice@a.test/r0, r1 ...
    pub fn of(priorities: &[i8]) -> Scene {
        let mut scene = Scene::new();
        for (number, priority) in priorities.iter().enumerate() {
            scene.connect(number as u32, *priority);
        }
        scene
    }

    /// One of alice's devices becomes available.
    pub fn enter(&mut self, resource: &str) -> DeviceId {
        self.add(self.devices.len() as u32 + 1, resource, 0)
    }

    /// Connects alice@a.test/r`number`, available.
    pub fn connect(&mut self, number: u32, priority: i8) -> DeviceId {
        self.add(number, &format!("r{number}"), priority)
    }

    fn add(&mut self, number: u32, resource: &str, priority: i8) -> DeviceId {
        let full = self.account.jid.with_resource(resource).unwrap();
        let presence = Stanza::presence(PresenceType::Available).with_from(full.clone());
        let mut device = Device::new(DeviceId(number), full, self.now);
        device.presence = Some(Box::new(presence));
        device.priority = priority;
        self.devices.add(device);
        DeviceId(number)
    }

    /// Alice's only device goes, saying so.
    pub fn leave(&mut self, at: Millis, status: &str) {
        let mut mind = Mind::load(AccountId(1), jid("alice@a.test"), Vec::new(), &self.site);
        let device = self.enter("leaving");
        let full = self.devices.get(device).unwrap().jid.clone();
        let status = Element::new(ns::CLIENT, "status").with_text(status);
        let goodbye = Stanza::presence(PresenceType::Unavailable).with_from(full);
        let goodbye = goodbye.with_child(&status);
        let mut fx = Effects::new(at, Origin::Device(device));
        let (devices, site) = (&mut self.devices, &self.site);
        mind.outgoing(device, goodbye, Marks::default(), devices, site, &mut fx);
        self.devices.remove(device);
        let roster = std::mem::take(&mut self.account.roster);
        self.account = mind.account;
        self.account.roster = roster;
    }

    pub fn view(&self) -> View<'_> {
        View {
            account: &self.account,
            devices: &self.devices,
            site: &self.site,
            fellows: Fellows::default(),
        }
    }

    /// An empty list for something that came from elsewhere.
    pub fn effects(&self) -> Effects {
        Effects::new(self.now, Origin::Elsewhere)
    }

    /// An IQ from one of alice's devices.
    pub fn ask(&self, role: &mut dyn AccountRole, device: u32, text: &str) -> Effects {
        let request = stanza(text).with_from(jid(&format!("alice@a.test/r{device}")));
        self.ask_as(role, Origin::Device(DeviceId(device)), &request)
    }

    /// An IQ from anybody.
    pub fn ask_as(&self, role: &mut dyn AccountRole, origin: Origin, request: &Stanza) -> Effects {
        let mut fx = Effects::new(self.now, origin);
        let payload = request.payload().expect("a payload");
        role.iq(request, &payload, self.view(), &mut fx);
        fx
    }

    /// What `role` lists for `request`; what it reads is there at once, what it writes is kept.
    pub fn account_effects(&self, role: &mut dyn AccountRole, request: &Stanza) -> Effects {
        let mut fx = self.ask_as(role, Origin::Elsewhere, request);
        if let [Effect::Read(read)] = fx.list() {
            let rows = self.read(&read.queries);
            let mut after = self.effects();
            role.read_done(
                read.step,
                read.request.as_ref(),
                rows,
                self.view(),
                &mut after,
            );
            fx = after;
        }
        self.keep(&mut fx);
        fx
    }

    /// Puts what was written on disk.
    pub fn keep(&self, fx: &mut Effects) {
        let rows = std::mem::take(&mut fx.rows);
        self.disk.commit(vec![rows]).unwrap();
    }

    /// Asks for a row of the account.
    pub fn row(&self, kind: Kind, rest: &[u8]) -> Query {
        Query::Get(Tree::Account, row(self.account.id, kind, rest))
    }

    /// The rows on disk under these keys.
    pub fn read(&self, queries: &[Query]) -> Vec<Row> {
        let row = |query: &Query| match query {
            Query::Get(tree, key) => Some((key.clone(), self.disk.get(*tree, key).unwrap()?)),
            Query::Range { .. } => panic!("no ranges here"),
        };
        queries.iter().filter_map(row).collect()
    }

    /// The answer of an account's role.
    pub fn answer(&self, role: &mut dyn AccountRole, request: &Stanza) -> Stanza {
        only_answer(&self.account_effects(role, request))
    }

    /// What the account's role says: an error's condition, or `result`.
    pub fn ask_account(&self, role: &mut dyn AccountRole, request: &Stanza) -> &'static str {
        verdict(&self.answer(role, request))
    }

    /// The answer of the server's role.
    pub fn reply_of_domain(&self, role: &dyn DomainRole, request: &Stanza) -> Stanza {
        let mut fx = self.effects();
        role.iq(request, &request.payload().unwrap(), &self.site, &mut fx);
        only_answer(&fx)
    }

    /// What the server's role says: an error's condition, or `result`.
    pub fn ask_domain(&self, role: &dyn DomainRole, request: &Stanza) -> &'static str {
        verdict(&self.reply_of_domain(role, request))
    }

    /// The payload of the result.
    pub fn answer_of_domain(&self, role: &dyn DomainRole, request: &Stanza) -> Element {
        let answer = self.reply_of_domain(role, request);
        assert_eq!(verdict(&answer), "result");
        answer.payload().unwrap()
    }

    /// The command that the server's role has done for `request`.
    pub fn command(&self, role: &dyn DomainRole, request: &Stanza) -> Command {
        let mut fx = self.effects();
        role.iq(request, &request.payload().unwrap(), &self.site, &mut fx);
        only_command(&fx)
    }

    /// What the server's role says of an outcome.
    pub fn told(&self, role: &dyn DomainRole, request: &Stanza, outcome: Outcome) -> Stanza {
        let mut fx = self.effects();
        role.administered(request, outcome, &self.site, &mut fx);
        only_answer(&fx)
    }
}

/// A stanza on its way through one extension.
pub struct Passage {
    pub stanza: Stanza,
    pub marks: Marks,
    pub fx: Effects,
    pub direction: Direction,
}

impl Passage {
    /// A stanza that comes to alice.
    pub fn incoming(scene: &Scene, text: &str) -> Passage {
        Passage::new(scene, text, Direction::In, Origin::Elsewhere)
    }

    /// A stanza that alice's device r0 sends.
    pub fn outgoing(scene: &Scene, text: &str) -> Passage {
        let mut passage = Passage::new(scene, text, Direction::Out, Origin::Device(DeviceId(0)));
        passage.stanza.from = Some(jid("alice@a.test/r0"));
        passage
    }

    fn new(scene: &Scene, text: &str, direction: Direction, origin: Origin) -> Passage {
        let marks = Marks {
            stamp: scene.now,
            ..Marks::default()
        };
        let fx = Effects::new(scene.now, origin);
        Passage {
            stanza: stanza(text),
            marks,
            fx,
            direction,
        }
    }

    /// Shows the stanza to an extension in one phase.
    pub fn show<T>(&mut self, phase: impl FnOnce(&mut Pass, &mut Effects) -> T) -> T {
        let origin = self.fx.origin();
        let (stanza, marks, direction) = (&mut self.stanza, &mut self.marks, self.direction);
        phase(
            &mut Pass {
                stanza,
                direction,
                origin,
                marks,
            },
            &mut self.fx,
        )
    }

    /// The stanza as text.
    pub fn text(&self) -> String {
        text(&self.stanza)
    }
}

/// The one stanza that was listed.
pub fn only_answer(fx: &Effects) -> Stanza {
    let mut routed = fx.routed();
    let answer = routed.next().expect("an answer").clone();
    assert!(
        routed.next().is_none() && fx.list().len() == 1,
        "one answer: {:?}",
        fx.list()
    );
    answer
}

/// The one command that was listed.
pub fn only_command(fx: &Effects) -> Command {
    match fx.list() {
        [Effect::Administer(order)] => order.command.clone(),
        other => panic!("no command: {other:?}"),
    }
}

/// A stanza as a server writes it.
pub fn stanza(text: &str) -> Stanza {
    Stanza::parse_stored(text.to_owned().into()).expect("a stanza")
}

/// A stanza as text.
pub fn text(stanza: &Stanza) -> String {
    String::from_utf8(stanza.to_bytes().to_vec()).expect("text")
}

/// Everything that is routed or delivered, as text, in order.
pub fn said(fx: &Effects) -> Vec<String> {
    let said = fx.list().iter().filter_map(|effect| match effect {
        Effect::Route(envelope) => Some(text(&envelope.stanza)),
        Effect::Deliver { bytes, .. } => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    });
    said.collect()
}

fn account() -> Account {
    let mut account = Account::new(AccountId(1), jid("alice@a.test"));
    let mut put = |address: &str, subscription| {
        let mut item = Item::new(&jid(address));
        item.subscription = subscription;
        account.roster.put(&item);
    };
    put("bob@b.test", Subscription::Both);
    put("ann@a.test", Subscription::To);
    account
}
