//! What everybody on this server may know: its domains, settings, extensions and the time it has
//! been up.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use rookery_config::Settings;
use rookery_protocol::jid::Jid;
use smol_str::SmolStr;
use zeroize::Zeroize;

use crate::components::Components;
use crate::effect::Millis;
use crate::extension::List;
use crate::fence::Fence;
use crate::notices::Notices;
use crate::service::Host;

/// The program's name, as XEP-0092 and disco tell it.
pub const NAME: &str = "Rookery";
/// The program's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Facts and choices that hold while the server runs. No actor.
pub struct Site {
    pub settings: Settings,
    pub extensions: List,
    /// The domains we serve, prepared.
    pub domains: Vec<SmolStr>,
    /// The services under them.
    pub hosts: Vec<Host>,
    /// The services that are programs of their own.
    pub components: Components,
    /// Bare JIDs that may administer the server.
    pub admins: Vec<Jid>,
    /// What the administrators have everybody told.
    pub notices: Notices,
    /// Which other domains are spoken with.
    pub fence: Fence,
    /// Random for each run: signs what is given out and need not be remembered.
    pub key: [u8; 32],
    started: Instant,
    shared: Mutex<Vec<Shared>>,
}

/// A value, by its type.
type Shared = (TypeId, Arc<dyn Any + Send + Sync>);

impl Site {
    /// A site with these settings; domains and administrators that are no JIDs were refused by
    /// `config`.
    pub fn new(settings: Settings, extensions: List) -> Site {
        let domains: Vec<SmolStr> = settings.domains.iter().map(SmolStr::new).collect();
        let hosts = hosts(&settings, extensions, &domains);
        let admins = settings
            .admins
            .iter()
            .filter_map(|text| Jid::parse(text).ok())
            .collect();
        let fence = Fence::new(&settings.s2s);
        Site {
            settings,
            extensions,
            domains,
            hosts,
            components: Components::default(),
            admins,
            notices: Notices::default(),
            fence,
            key: random(),
            started: Instant::now(),
            shared: Mutex::default(),
        }
    }

    /// Whether `domain` (prepared) is one of ours.
    pub fn serves(&self, domain: &str) -> bool {
        self.domains.iter().any(|ours| ours == domain)
    }

    /// Whether an extension hears elements of this namespace beside stanzas.
    pub fn hears(&self, ns: &str) -> bool {
        let mut extensions = self.extensions.iter();
        extensions.any(|extension| extension.nonzas.contains(&ns))
    }

    /// The service at `domain` (prepared), if there is one.
    pub fn host(&self, domain: &str) -> Option<&Host> {
        self.hosts.iter().find(|host| host.name == domain)
    }

    /// All that others may know us by: domains, services and components.
    pub fn all_domains(&self) -> Vec<SmolStr> {
        let components = self.components.all();
        let hosts = self.hosts.iter().map(|it| &it.name);
        let components = components.iter().map(|it| &it.name);
        let all = self.domains.iter().chain(hosts).chain(components);
        all.cloned().collect()
    }

    /// Whether whoever is at `domain` (prepared) is here: at one of our domains, services or
    /// components.
    pub fn is_here(&self, domain: &str) -> bool {
        self.serves(domain) || self.host(domain).is_some() || self.components.has(domain)
    }

    /// Whether nothing is spoken with a domain elsewhere (prepared). Rules are not of us.
    pub fn blocks(&self, domain: &str) -> bool {
        self.fence.blocks(domain) && !self.is_here(domain)
    }

    /// The domain of ours that a component is of: the longest that its name is below, or else the
    /// first.
    pub fn home_of(&self, component: &str) -> &str {
        let below = |domain: &&SmolStr| {
            let rest = component.strip_suffix(domain.as_str());
            rest.is_some_and(|rest| rest.ends_with('.'))
        };
        let homes = self.domains.iter().filter(below);
        let home = homes.max_by_key(|it| it.len()).or(self.domains.first());
        home.map_or("", SmolStr::as_str)
    }

    /// Whether `jid` may administer the domain of `host`: XEP-0133 by administrators of that very
    /// domain only.
    pub fn is_admin(&self, jid: &Jid, host: &str) -> bool {
        let bare = jid.bare_str();
        self.admins
            .iter()
            .any(|admin| admin.as_str() == bare && admin.domain() == host)
    }

    /// What the roles of one extension share, whosever they are: one value a type, made at first
    /// use. To be asked for when a role is made, not at every stanza.
    pub fn shared<T: Any + Send + Sync + Default>(&self) -> Arc<T> {
        let mut shared = self.shared.lock();
        let known = shared.iter().find(|(held, _)| *held == TypeId::of::<T>());
        let known = known.and_then(|(_, value)| Arc::clone(value).downcast().ok());
        known.unwrap_or_else(|| {
            let fresh = Arc::new(T::default());
            shared.push((TypeId::of::<T>(), Arc::clone(&fresh) as _));
            fresh
        })
    }

    /// Seconds since the start.
    pub fn uptime(&self) -> u64 {
        self.started.elapsed().as_secs()
    }

    /// The wall clock, in milliseconds since 1970.
    pub fn now(&self) -> Millis {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| time.as_millis() as Millis)
    }
}

/// The services of all domains. One whose name is that of a domain was refused by `config`.
fn hosts(settings: &Settings, extensions: List, domains: &[SmolStr]) -> Vec<Host> {
    let mut hosts = Vec::new();
    for (extension, service) in extensions.iter().enumerate() {
        let prefix = service.service.as_ref().map(|it| (it.host)(settings));
        let Some(prefix) = prefix.filter(|prefix| !prefix.is_empty()) else {
            continue;
        };
        hosts.extend(domains.iter().map(|domain| Host {
            name: format!("{prefix}.{domain}").into(),
            domain: domain.clone(),
            extension,
        }));
    }
    hosts
}

/// How many random bytes a thread asks the operating system for at once.
const DRAWN: usize = 256;

/// Random bytes that were asked for and not given away yet.
struct Drawn {
    bytes: [u8; DRAWN],
    left: usize,
}

thread_local! {
    static RANDOM: RefCell<Drawn> = const { RefCell::new(Drawn { bytes: [0; DRAWN], left: 0 }) };
}

/// `N` random bytes from the operating system. It is asked for many at once, as that takes longer
/// than all else that an id takes.
pub fn random<const N: usize>() -> [u8; N] {
    const { assert!(N <= DRAWN) }
    RANDOM.with_borrow_mut(|drawn| {
        if drawn.left < N {
            // Without randomness no id and no nonce is safe: better none than a weak one.
            fill_random(&mut drawn.bytes);
            drawn.left = DRAWN;
        }
        let rest = drawn.left - N;
        let given = &mut drawn.bytes[rest..drawn.left];
        let mut bytes = [0; N];
        bytes.copy_from_slice(given);
        // Keys are made of such: whoever reads this memory later finds none.
        given.zeroize();
        drawn.left = rest;
        bytes
    })
}

/// Fills a slice with random bytes from the operating system.
pub fn fill_random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system gives randomness");
}

/// A random id of 128 bits, in hexadecimal.
pub fn random_id() -> SmolStr {
    let bytes: [u8; 16] = random();
    bytes
        .iter()
        .fold(String::with_capacity(32), |mut text, byte| {
            text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
            text.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
            text
        })
        .into()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_random_bytes_are_given_twice() {
        let given: HashSet<[u8; 8]> = (0..1_000).map(|_| random()).collect();
        assert_eq!(given.len(), 1_000);
        let others: HashSet<[u8; 8]> = std::thread::spawn(|| (0..100).map(|_| random()).collect())
            .join()
            .expect("a thread");
        assert!(given.is_disjoint(&others));
        assert_eq!(random_id().len(), 32);
        let left = RANDOM.with_borrow(|drawn| drawn.bytes[drawn.left..].iter().any(|it| *it != 0));
        assert!(!left, "what was given away is still there");
    }
}
