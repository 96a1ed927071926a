//! External components (XEP-0114), as the operator sees them: those that the settings name, and
//! those that were made by command, which lie in `components` in the data folder. Where they
//! connect is listened on once there are any.

mod register;

use crate::control::{self, Kind, Refusal};
use crate::extensions::privileges::Grants;
use crate::opening::{Door, Listening, StartError};
use register::{Register, read_secret};
use rookery_actors::components::{Component, MOST};
use rookery_actors::listener::Port;
use rookery_actors::realm::Realm;
use rookery_config::Settings;
use rookery_config::settings;
use rookery_protocol::jid::prepare_domain;
use rookery_protocol::negotiation::component::Secret;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The socket for components, in the data folder.
const SOCKET: &str = "component.sock";

/// The components that the settings name.
pub type Named = BTreeMap<String, settings::Component>;

/// The components of a server that runs.
pub struct Desk {
    realm: Arc<Realm>,
    register: Register,
    folder: PathBuf,
    /// Those of the settings.
    named: RefCell<Named>,
    /// Whether this server listens at all.
    serves: bool,
    /// Where it listens for components, once it does.
    open: RefCell<Option<Vec<Listening>>>,
}

/// All components of these settings and of this data folder.
///
/// # Errors
/// A file cannot be read, is for others too, or holds no secret; privileges that there are not.
pub fn all(settings: &Settings, folder: &Path) -> Result<Vec<Component>, StartError> {
    let found = collect(&settings.components, &Register::of(folder));
    let found = found.map_err(StartError::Refused)?;
    let count = found.len();
    match count > MOST {
        true => Err(StartError::Refused(format!(
            "{count} components are too many; {MOST} may be"
        ))),
        false => Ok(found),
    }
}

fn collect(named: &Named, register: &Register) -> Result<Vec<Component>, String> {
    let mut found = vec![];
    for (name, component) in named {
        let secret = read_secret(&component.secret)?;
        found.push(made(name, secret, &component.privileges)?);
    }
    for name in register.names()? {
        // What the settings say of it counts.
        if !named.contains_key(&name) {
            let (secret, privileges) = register.read(&name)?;
            found.push(made(&name, secret, &privileges)?);
        }
    }
    Ok(found)
}

fn made(name: &str, secret: control::Secret, privileges: &str) -> Result<Component, String> {
    let checked = Grants::parse(privileges);
    checked.map_err(|error| format!("component {name}: {error}"))?;
    let secret = Secret::new(secret.reveal());
    let secret = secret.ok_or_else(|| format!("component {name}: its secret is empty"))?;
    Ok(Component::new(name.into(), secret, privileges.into()))
}

impl Desk {
    /// The components of `realm`, which was started with [`all`] of them; `serves`: it listens.
    pub fn new(realm: &Arc<Realm>, folder: &Path, serves: bool) -> Self {
        Desk {
            realm: Arc::clone(realm),
            register: Register::of(folder),
            folder: folder.to_owned(),
            named: RefCell::new(realm.site.settings.components.clone()),
            serves,
            open: RefCell::new(None),
        }
    }

    /// Listens for components if there are any; answers where.
    ///
    /// # Errors
    /// An address, or the socket's path, cannot be had.
    pub fn open(&self) -> Result<Vec<Listening>, StartError> {
        if let Some(open) = &*self.open.borrow() {
            return Ok(open.clone());
        }
        if !self.serves || self.realm.site.components.all().is_empty() {
            return Ok(vec![]);
        }
        let failed = |error: std::io::Error| {
            StartError::Failed(format!("{}: {error}", self.folder.join(SOCKET).display()))
        };
        let socket = control::bind(&self.folder, SOCKET).map_err(failed)?;
        self.realm.listen_here(socket).map_err(failed)?;
        let listen = &self.realm.site.settings.listen;
        let doors = [
            (Door::Component, Port::Components, &listen.component),
            (
                Door::ComponentTls,
                Port::ComponentsTls,
                &listen.component_tls,
            ),
        ];
        let mut open = vec![];
        for (door, port, addresses) in doors {
            let listen = |address| self.realm.listen(address, port);
            open.extend(super::server::listen_on(door, addresses, listen)?);
        }
        *self.open.borrow_mut() = Some(open.clone());
        Ok(open)
    }

    /// Makes a component.
    pub fn add(&self, name: &str, privileges: &str) -> Result<control::Component, Refusal> {
        let unfit = |text: String| Refusal::new(Kind::Unfit, text);
        let name = prepare_domain(name).map_err(|error| unfit(format!("{name}: {error}")))?;
        let site = &self.realm.site;
        if site.settings.hosts().iter().any(|it| *it == name) {
            let text = format!("{name} is this server's own");
            return Err(Refusal::new(Kind::Exists, text));
        }
        if site.components.has(&name) {
            let text = format!("there is a component {name} already");
            return Err(Refusal::new(Kind::Exists, text));
        }
        if site.components.all().len() >= MOST {
            let text = format!("{MOST} components are enough");
            return Err(Refusal::new(Kind::Unfit, text));
        }
        Grants::parse(privileges).map_err(unfit)?;
        let failed = |text: String| Refusal::new(Kind::Failed, text);
        let secret = self.register.add(&name, privileges).map_err(failed)?;
        let component = made(&name, secret, privileges).map_err(failed)?;
        self.realm.add_component(component);
        self.open().map_err(|error| failed(error.to_string()))?;
        self.show(&name)
    }

    /// Takes a component out, and forgets its secret.
    pub fn remove(&self, name: &str) -> Result<(), Refusal> {
        let component = self.find(name)?;
        if self.named.borrow().contains_key(component.name.as_str()) {
            let text = format!("{name} is made by the settings; take it out of [components]");
            return Err(Refusal::new(Kind::Unfit, text));
        }
        let removed = self.register.remove(&component.name);
        removed.map_err(|text| Refusal::new(Kind::Failed, text))?;
        self.realm.remove_component(&component.name);
        Ok(())
    }

    /// All of them, without their secrets.
    pub fn list(&self) -> Vec<control::Component> {
        let all = self.realm.site.components.all();
        all.iter().map(|it| self.shown(it)).collect()
    }

    /// One of them, with its secret.
    pub fn show(&self, name: &str) -> Result<control::Component, Refusal> {
        let mut shown = self.shown(&*self.find(name)?);
        let secret = read_secret(Path::new(&shown.file));
        shown.secret = Some(secret.map_err(|text| Refusal::new(Kind::Failed, text))?);
        Ok(shown)
    }

    /// The settings and the secrets were changed: whoever is not meant any more must go.
    pub fn reload(&self, named: &Named) -> Result<(), StartError> {
        let fresh = collect(named, &self.register).map_err(StartError::Refused)?;
        *self.named.borrow_mut() = named.clone();
        let components = &self.realm.site.components;
        for old in components.all().iter() {
            if !fresh.iter().any(|it| it.name == old.name) {
                self.realm.remove_component(&old.name);
            }
        }
        for component in fresh {
            let known = components.find(&component.name);
            if !known.is_some_and(|it| it.is(&component)) {
                self.realm.add_component(component);
            }
        }
        self.open().map(drop)
    }

    fn find(&self, name: &str) -> Result<Arc<Component>, Refusal> {
        let prepared = prepare_domain(name).ok();
        let found = prepared.and_then(|it| self.realm.site.components.find(&it));
        found.ok_or_else(|| Refusal::new(Kind::Absent, format!("there is no component {name}")))
    }

    fn shown(&self, component: &Component) -> control::Component {
        let name = component.name.to_string();
        let named = self.named.borrow();
        let file = match named.get(&name) {
            Some(named) => named.secret.clone(),
            None => self.register.file(&name),
        };
        control::Component {
            privileges: component.rights.to_string(),
            connected: component.is_here(),
            of_settings: named.contains_key(&name),
            file: file.display().to_string(),
            places: self.places(),
            secret: None,
            name,
        }
    }

    /// Where components connect, or will when the server runs.
    fn places(&self) -> Vec<String> {
        let open = self.open.borrow();
        let addresses: Vec<SocketAddr> = match &*open {
            Some(open) => open.iter().map(|it| it.address).collect(),
            None => self.realm.site.settings.listen.component.clone(),
        };
        let socket = self.folder.join(SOCKET).display().to_string();
        let addresses = addresses.iter().map(SocketAddr::to_string);
        addresses.chain([socket]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opening::{Opening, Running};
    use crate::server::Server;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn settings(place: &Path) -> Settings {
        let mut settings = Settings {
            domains: vec!["a.example".into()],
            data: place.join("data"),
            ..Settings::default()
        };
        let anywhere: SocketAddr = "127.0.0.1:0".parse().unwrap();
        settings.listen.c2s = vec![anywhere];
        settings.listen.c2s_tls = vec![];
        settings.listen.s2s = vec![];
        settings.listen.s2s_tls = vec![];
        settings.listen.component = vec![anywhere];
        settings.engine.lanes = 1;
        settings
    }

    #[test]
    fn made_shown_kept_and_removed() {
        let place = tempfile::tempdir().unwrap();
        actix_rt::System::new().block_on(async {
            let opening = Opening::serving(settings(place.path())).unwrap();
            let server = Server::start(opening, &[]).unwrap();
            let desk = server.desk();
            assert_eq!(server.listening().len(), 1, "nobody is waited for");
            let made = desk.add("IRC.a.example", "bridge").unwrap();
            assert_eq!(made.name, "irc.a.example");
            assert!(!made.connected && !made.of_settings);
            let secret = made.secret.as_ref().unwrap().reveal();
            assert_eq!(secret.len(), 64);
            let mode = fs::metadata(&made.file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            assert_eq!(fs::read_to_string(&made.file).unwrap().trim(), secret);
            // The port and the socket are there now.
            assert_eq!(server.listening().len(), 2);
            std::net::TcpStream::connect(&made.places[0]).unwrap();
            std::os::unix::net::UnixStream::connect(&made.places[1]).unwrap();
            let rows = [
                ("irc.a.example", Kind::Exists),
                ("a.example", Kind::Exists),
                ("pubsub.a.example", Kind::Exists),
                ("a b", Kind::Unfit),
            ];
            for (name, kind) in rows {
                let refused = desk.add(name, "").unwrap_err();
                assert_eq!(refused.kind, kind, "{name}");
            }
            let refused = desk.add("x.a.example", "everything").unwrap_err();
            assert_eq!(refused.kind, Kind::Unfit);
            server.drain().await;
        });
        actix_rt::System::new().block_on(async {
            let opening = Opening::silent(settings(place.path())).unwrap();
            let server = Server::start(opening, &[]).unwrap();
            let desk = server.desk();
            let listed = desk.list();
            assert_eq!(listed.len(), 1);
            assert_eq!(listed[0].privileges, "bridge");
            assert!(listed[0].secret.is_none());
            desk.remove("irc.a.example").unwrap();
            assert!(!Path::new(&listed[0].file).exists());
            assert_eq!(desk.remove("irc.a.example").unwrap_err().kind, Kind::Absent);
            server.drain().await;
        });
    }

    #[test]
    fn those_of_the_settings_follow_them() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("secret");
        fs::write(&file, "between us\n").unwrap();
        let mut settings = settings(place.path());
        let named = settings::Component {
            secret: file.clone(),
            privileges: String::new(),
        };
        settings.components.insert("b.example".into(), named);
        // For nobody else.
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let error = all(&settings, place.path()).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        actix_rt::System::new().block_on(async {
            let opening = Opening::serving(settings.clone()).unwrap();
            let server = Server::start(opening, &[]).unwrap();
            let desk = server.desk();
            let shown = desk.show("b.example").unwrap();
            assert!(shown.of_settings);
            assert_eq!(shown.secret.unwrap().reveal(), "between us");
            assert_eq!(desk.remove("b.example").unwrap_err().kind, Kind::Unfit);
            // A broken change changes nothing.
            fs::write(&file, "  \n").unwrap();
            assert!(desk.reload(&settings.components).is_err());
            assert_eq!(desk.list().len(), 1);
            desk.reload(&Named::new()).unwrap();
            assert!(desk.list().is_empty());
            server.drain().await;
        });
    }
}
