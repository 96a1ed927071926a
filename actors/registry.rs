//! The Registry supervises: it hears of every Hub that ends, takes the dead out of the Directory,
//! and keeps down for a minute what dies ten times in one.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use actix::prelude::*;
use rookery_protocol::jid::Jid;
use rookery_storage::Frame;
use smol_str::SmolStr;
use tracing::{error, warn};

use crate::directory::Load;
use crate::hub::Hub;
use crate::link::key_of;
use crate::listener::{Listener, Port, Socket};
use crate::realm::Realm;
use rookery_protocol::dialback::Pair;

/// Deaths within [`WINDOW`] after which a key is kept down.
const DEATHS: usize = 10;
const WINDOW: Duration = Duration::from_secs(60);
/// A listener that died is started again after this.
const REBIRTH: Duration = Duration::from_secs(1);
/// Keys whose deaths are remembered: the oldest is forgotten first.
const REMEMBERED: usize = 1024;

/// What ended.
pub enum Life {
    Hub { key: SmolStr, load: Arc<Load> },
    Link { pair: Pair, load: Arc<Load> },
    Listener { socket: Arc<Socket>, port: Port },
}

/// An actor ended.
pub struct Ended {
    pub life: Life,
    /// By a panic that nobody caught, or because it could not go on.
    pub died: bool,
}

impl Message for Ended {
    type Result = ();
}

/// The supervisor of a server's actors.
pub struct Registry {
    realm: Weak<Realm>,
    deaths: HashMap<SmolStr, VecDeque<Instant>>,
}

impl Registry {
    /// A Registry for `realm`.
    pub fn new(realm: Weak<Realm>) -> Registry {
        Registry {
            realm,
            deaths: HashMap::new(),
        }
    }

    fn died(&mut self, key: SmolStr, load: Arc<Load>, now: Instant) {
        let Some(realm) = self.realm.upgrade() else {
            return;
        };
        if self.too_often(&realm, &key, now) {
            return bury(&realm, key, load);
        }
        warn!(hub = %key, "a hub died");
        // Its sessions wait, and those who see them. Where there are none the next stanza starts it
        // again.
        let Ok(jid) = Jid::parse(&key) else { return };
        let start = |birth| Hub::start(&realm, jid, birth);
        if !realm.directory.succeed(&key, &load, start) {
            bury(&realm, key, load);
        }
    }

    fn link_died(&mut self, pair: Pair, load: Arc<Load>, now: Instant) {
        let Some(realm) = self.realm.upgrade() else {
            return;
        };
        warn!(server = %pair.to, from = %pair.from, "a link died");
        let down = self.too_often(&realm, &key_of(&pair), now);
        bury_link(&realm, pair, load, !down);
    }

    /// Counts a death; whether there were so many that the key is kept down.
    fn too_often(&mut self, realm: &Realm, key: &SmolStr, now: Instant) -> bool {
        if self.deaths.len() >= REMEMBERED {
            self.deaths
                .retain(|_, times| times.back().is_some_and(|last| now - *last < WINDOW));
        }
        let times = self.deaths.entry(key.clone()).or_default();
        times.push_back(now);
        while times.front().is_some_and(|first| now - *first >= WINDOW) {
            times.pop_front();
        }
        let often = times.len() >= DEATHS;
        if often {
            error!(actor = %key, "died {DEATHS} times in a minute: kept down for a minute");
            realm.keep_down(key.clone(), now + WINDOW);
        }
        often
    }
}

/// The same of a Link. What it had handed to the disk is there by then; what waits there is sent by
/// its successor.
fn bury_link(realm: &Arc<Realm>, pair: Pair, load: Arc<Load>, again: bool) {
    let realm = Arc::clone(realm);
    actix_rt::spawn(async move {
        realm.keeper.committed(Frame::new()).await;
        realm.links.bury(&key_of(&pair), &load);
        if again {
            realm.rouse(&pair);
        }
    });
}

/// Takes the entry of a dead Hub out, once all it had handed to the disk is there: until then a
/// successor sees by the entry that it must wait for that.
fn bury(realm: &Arc<Realm>, key: SmolStr, load: Arc<Load>) {
    let realm = Arc::clone(realm);
    actix_rt::spawn(async move {
        realm.keeper.committed(Frame::new()).await;
        realm.directory.bury(&key, &load);
    });
}

impl Actor for Registry {
    type Context = Context<Registry>;
}

impl Handler<Ended> for Registry {
    type Result = ();

    fn handle(&mut self, ended: Ended, ctx: &mut Context<Registry>) {
        match ended.life {
            Life::Hub { key, load } if ended.died => self.died(key, load, Instant::now()),
            Life::Link { pair, load } if ended.died => self.link_died(pair, load, Instant::now()),
            Life::Listener { socket, port } if ended.died => {
                error!(?port, "a listener died; it is started again");
                ctx.run_later(REBIRTH, move |registry, _| {
                    if let Some(realm) = registry.realm.upgrade() {
                        Listener::begin(&realm, socket, port);
                    }
                });
            }
            Life::Hub { .. } | Life::Link { .. } | Life::Listener { .. } => {}
        }
    }
}
