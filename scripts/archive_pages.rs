//! What pages of a large archive cost, without sockets: one account with 100,000 messages to 50
//! contacts reads them forward, page by page, and looks for words.
//!
//! ```text
//! cargo run --profile perf --example archive_pages
//! ```

use std::time::{Duration, Instant, SystemTime};

use rookery::extensions::LIST;
use rookery_actors::effect::{Effect, Effects, Marks, Origin};
use rookery_actors::hub::devices::{Device, DeviceId, Devices};
use rookery_actors::hub::mind::Mind;
use rookery_actors::keys::AccountId;
use rookery_actors::site::Site;
use rookery_config::Settings;
use rookery_protocol::jid::Jid;
use rookery_protocol::stanza::Stanza;
use rookery_storage::{Frame, Options, Store};

const MESSAGES: usize = 100_000;
const CONTACTS: usize = 50;
/// How many frames are synced at once while the archive is filled.
const SYNCED: usize = 200;
const PHONE: DeviceId = DeviceId(1);
/// The pages that are told of.
const SHOWN: [usize; 6] = [1, 2, 10, 39, 999, 1_000];

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut alice = Alice::on(Store::open(folder.path(), Options::default()).expect("a store"));
    let begun = Instant::now();
    let text = "x".repeat(80);
    for number in 0..MESSAGES {
        let to = number % CONTACTS;
        alice.says(&format!(
            "<message to='contact{to}@x.test' type='chat'><body>{number} {text}</body></message>"
        ));
    }
    println!("{MESSAGES} messages: {:?}", begun.elapsed());
    // The store writes down meanwhile what it holds in memory.
    std::thread::sleep(Duration::from_secs(3));
    let with = [("with", "contact7@x.test")];
    for (name, fields) in [("everything", &[][..]), ("one contact", &with)] {
        alice.reads(name, fields);
    }
    for (words, fields) in [("99998", &[][..]), ("nowhere", &[]), ("nowhere", &with)] {
        let words = ("{urn:xmpp:fulltext:0}fulltext", words);
        let fields: Vec<_> = fields.iter().copied().chain([words]).collect();
        let (_, took) = alice.asks(&fields, "<max>1</max><before/>");
        println!("search {fields:?}: {took:?}");
    }
}

/// An account, its one device, and the disk.
struct Alice {
    store: Store,
    site: Site,
    mind: Mind,
    devices: Devices,
    /// What the device was sent since it was last asked.
    heard: Vec<String>,
    /// What is not on the disk yet.
    frames: Vec<Frame>,
}

impl Alice {
    fn on(store: Store) -> Alice {
        let mut settings = Settings {
            domains: vec!["a.test".into()],
            ..Settings::default()
        };
        settings.limits.strangers_per_minute = MESSAGES as u32;
        let site = Site::new(settings, LIST);
        let jid = Jid::parse("alice@a.test").expect("an address");
        let mut devices = Devices::default();
        let phone = jid.with_resource("phone").expect("an address");
        devices.add(Device::new(PHONE, phone, now()));
        Alice {
            mind: Mind::load(AccountId(1), jid, Vec::new(), &site),
            store,
            site,
            devices,
            heard: Vec::new(),
            frames: Vec::new(),
        }
    }

    /// Pages from the oldest on, and the last one.
    fn reads(&mut self, name: &str, fields: &[(&str, &str)]) {
        let mut after = String::new();
        for number in 1..=1_000 {
            let (heard, took) = self.asks(fields, &after);
            if SHOWN.contains(&number) && heard.len() > 1 {
                let count = heard.len() - 1;
                println!("{name}: page {number}, {count} messages: {took:?}");
            }
            let fin = heard.last().and_then(|fin| fin.split("<last>").nth(1));
            let Some(last) = fin.and_then(|rest| rest.split('<').next()) else {
                break;
            };
            after = format!("<after>{last}</after>");
        }
        let (_, took) = self.asks(fields, "<before/>");
        println!("{name}: the last page: {took:?}");
    }

    /// A query; what it brought, and in which time.
    fn asks(&mut self, fields: &[(&str, &str)], set: &str) -> (Vec<String>, Duration) {
        let field = |(name, value): &(&str, &str)| {
            format!("<field var='{name}'><value>{value}</value></field>")
        };
        let fields: String = fields.iter().map(field).collect();
        let query = format!(
            "<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'><x xmlns='jabber:x:data' \
             type='submit'><field var='FORM_TYPE'><value>urn:xmpp:mam:2</value></field>{fields}\
             </x><set xmlns='http://jabber.org/protocol/rsm'>{set}</set></query></iq>"
        );
        self.heard.clear();
        let begun = Instant::now();
        self.says(&query);
        (std::mem::take(&mut self.heard), begun.elapsed())
    }

    fn says(&mut self, text: &str) {
        let stanza = Stanza::parse_stored(text.to_owned().into()).expect("a stanza");
        let from = self.devices.get(PHONE).expect("the phone").jid.clone();
        let marks = Marks {
            stamp: now(),
            ..Marks::default()
        };
        let mut fx = Effects::new(now(), Origin::Device(PHONE));
        let stanza = stanza.with_from(from);
        let (devices, site) = (&mut self.devices, &self.site);
        self.mind
            .outgoing(PHONE, stanza, marks, devices, site, &mut fx);
        self.perform(fx);
    }

    fn perform(&mut self, mut fx: Effects) {
        let mut frame = std::mem::take(&mut fx.travelling);
        frame.append(std::mem::take(&mut fx.rows));
        self.keeps(frame);
        for effect in fx.take() {
            match effect {
                Effect::Deliver { bytes, .. } => {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    self.heard.push(text);
                }
                Effect::Route(envelope) => {
                    envelope.receipt.settle();
                    self.keeps(envelope.rows);
                }
                Effect::Read(read) => {
                    self.syncs();
                    let rows = read.queries.iter();
                    let rows = rows
                        .flat_map(|it| it.rows(&self.store).expect("a read"))
                        .collect();
                    let mut fx = Effects::new(now(), read.origin);
                    let (devices, site) = (&mut self.devices, &self.site);
                    self.mind.read_done(*read, rows, devices, site, &mut fx);
                    self.perform(fx);
                }
                Effect::Wake(extension, _) => {
                    let mut fx = Effects::new(now(), Origin::Elsewhere);
                    let (devices, site) = (&mut self.devices, &self.site);
                    self.mind.woken(extension, devices, site, &mut fx);
                    self.perform(fx);
                }
                _ => {}
            }
        }
    }

    /// Many frames share a sync, as they do under load.
    fn keeps(&mut self, frame: Frame) {
        self.frames.push(frame);
        if self.frames.len() >= SYNCED {
            self.syncs();
        }
    }

    fn syncs(&mut self) {
        let frames = std::mem::take(&mut self.frames);
        self.store.commit(frames).expect("a commit");
    }
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}
