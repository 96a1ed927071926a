//! The server: store, engine and listeners behind the face that the door knows.

use crate::components::{self, Desk, Named};
use crate::control::{Answer, Client, Commands, Kind, Order, Refusal, Rule, Secret, User};
use crate::folder::Folder;
use crate::opening::{Door, Listening, Local, Opening, Running, StartError};
use crate::tls::{self, Served};
use rookery_actors::admin::{Command, Failure, Outcome, Servers};
use rookery_actors::engine::{Engine, Start};
use rookery_actors::extension::List;
use rookery_actors::fence::Verdict;
use rookery_actors::listener::Port;
use rookery_actors::realm::Realm;
use rookery_actors::transport::Tls;
use rookery_config::Settings;
use rookery_protocol::jid::prepare_domain;
use rookery_protocol::sasl::Password;
use rookery_storage::{OpenError, Options, Store};
use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::watch;

/// A server that runs. Two fit in one process.
pub struct Server {
    /// Taken when it drains.
    engine: RefCell<Option<Engine>>,
    realm: Arc<Realm>,
    listening: Vec<Listening>,
    desk: Rc<Desk>,
    /// Why it cannot go on, once it cannot.
    ended: watch::Receiver<Option<String>>,
    /// The data folder stays ours as long as the server lives.
    _folder: Folder,
}

impl Server {
    /// Opens the store, starts the engine, and listens where the settings say, if there is a
    /// certificate. Must be called within an actix system.
    pub fn start(opening: Opening, extensions: List) -> Result<Rc<Self>, StartError> {
        let Opening {
            settings,
            folder,
            certificates,
            accept_loss,
        } = opening;
        let store = open_store(&folder.path().join("store"), &settings, accept_loss)?;
        let (end, ended) = watch::channel(None);
        let engine = Engine::start(Start {
            settings: settings.clone(),
            store,
            extensions,
            components: components::all(&settings, folder.path())?,
            tls: match &certificates {
                Some(certificates) => shown(&certificates.served()),
                None => Arc::new(tls::mute()?),
            },
            secret: **folder.secret(),
            roads: None,
            fatal: Arc::new(move |reason: &str| {
                end.send_replace(Some(reason.to_owned()));
            }),
        });
        let engine = engine.map_err(|error| StartError::Failed(error.to_string()))?;
        let realm = Arc::clone(engine.realm());
        // Components first: they are a part of what users find.
        let desk = Rc::new(Desk::new(&realm, folder.path(), certificates.is_some()));
        desk.open()?;
        let listening = match certificates {
            Some(_) => listen(&engine, &settings)?,
            None => vec![],
        };
        let engine = RefCell::new(Some(engine));
        Ok(Rc::new(Server {
            engine,
            realm,
            listening,
            desk,
            ended,
            _folder: folder,
        }))
    }

    /// The external components.
    pub fn desk(&self) -> &Desk {
        &self.desk
    }
}

impl Running for Server {
    fn listening(&self) -> Vec<Listening> {
        let components = self.desk.open().unwrap_or_default();
        self.listening.iter().cloned().chain(components).collect()
    }

    fn commands(&self) -> Rc<dyn Commands> {
        Rc::new(Administration(
            Arc::clone(&self.realm),
            Rc::clone(&self.desk),
        ))
    }

    fn renew(&self, served: &Served) {
        self.realm.tls.store(shown(served));
    }

    fn rename(&self, named: &Named) -> Result<(), StartError> {
        self.desk.reload(named)
    }

    fn probe(&self) -> Local<bool> {
        let realm = Arc::clone(&self.realm);
        Box::pin(async move { realm.alive().await })
    }

    fn problems(&self) -> Vec<String> {
        self.realm.status().store_problems
    }

    fn drain(&self) -> Local<()> {
        let engine = self.engine.borrow_mut().take();
        Box::pin(async move {
            if let Some(engine) = engine {
                engine.stop().await;
            }
        })
    }

    fn told_to_stop(&self) -> Local<bool> {
        let mut told = self.realm.told_to_stop.subscribe();
        Box::pin(async move {
            let stop = told.wait_for(Option::is_some).await;
            let Some(stop) = stop.ok().and_then(|stop| *stop) else {
                return std::future::pending().await;
            };
            tokio::time::sleep_until(stop.at.into()).await;
            stop.again
        })
    }

    fn ended(&self) -> Local<String> {
        let mut ended = self.ended.clone();
        Box::pin(async move {
            match ended.wait_for(Option::is_some).await {
                Ok(reason) => reason.clone().unwrap_or_default(),
                Err(_) => std::future::pending().await,
            }
        })
    }
}

/// The engine as it carries out orders, and who looks after the components.
struct Administration(Arc<Realm>, Rc<Desk>);

impl Commands for Administration {
    fn run(&self, order: Order) -> Local<Result<Answer, Refusal>> {
        let (realm, desk) = (Arc::clone(&self.0), Rc::clone(&self.1));
        Box::pin(async move {
            let order = match at_desk(order, &desk) {
                Ok(answer) => return answer,
                Err(order) => order,
            };
            let command = command(order)?;
            let (outcome, after) = realm.administer(command).await;
            let answer = answer(outcome);
            realm.finish(after);
            answer
        })
    }
}

/// What becomes of an order that is of components; others come back.
fn at_desk(order: Order, desk: &Desk) -> Result<Result<Answer, Refusal>, Order> {
    let one = |component| Answer::Components(vec![component]);
    Ok(match order {
        Order::AddComponent { name, privileges } => desk.add(&name, &privileges).map(one),
        Order::ShowComponent { name } => desk.show(&name).map(one),
        Order::RemoveComponent { name } => desk.remove(&name).map(|()| Answer::Done),
        Order::ListComponents => Ok(Answer::Components(desk.list())),
        other => return Err(other),
    })
}

/// An order in the engine's words.
fn command(order: Order) -> Result<Command, Refusal> {
    let prepared = |password: &Secret| {
        let prepared = Password::prepare(password.reveal());
        prepared.map_err(|error| Refusal::new(Kind::Unfit, error.to_string()))
    };
    Ok(match order {
        Order::AddUser { user, password } => Command::AddUser(user, prepared(&password)?),
        Order::SetPassword { user, password } => {
            let password = prepared(&password)?;
            Command::SetPassword {
                user,
                password,
                except: None,
            }
        }
        Order::DeleteUser { user } => Command::DeleteUser(user),
        Order::DisableUser { user } => Command::DisableUser(user),
        Order::EnableUser { user } => Command::EnableUser(user),
        Order::ListUsers { domain } => Command::ListUsers(domain),
        Order::Clients { user } => Command::Clients(user),
        Order::RevokeClient { user, client } => Command::RevokeClient { user, client },
        Order::Status => Command::Status,
        Order::Rule { pattern, allow } => {
            let verdict = |allow| match allow {
                true => Verdict::Allow,
                false => Verdict::Block,
            };
            Command::Servers(Servers::Rule(pattern, allow.map(verdict)))
        }
        Order::Rules => Command::Servers(Servers::Rules),
        Order::Servers { domain } => {
            let domain = domain.as_deref().map(prepared_domain).transpose()?;
            Command::Servers(Servers::List(domain))
        }
        Order::Retry { domain } => Command::Servers(Servers::Retry(prepared_domain(&domain)?)),
        Order::Trace { to, from } => {
            let from = from.as_deref().map(prepared_domain).transpose()?;
            let to = prepared_domain(&to)?;
            Command::Servers(Servers::Trace { to, from })
        }
        _ => return Err(Refusal::new(Kind::Unknown, "this is for the door")),
    })
}

/// A domain as addresses have it.
fn prepared_domain(text: &str) -> Result<String, Refusal> {
    let prepared = prepare_domain(text).map(|it| it.into_owned());
    prepared.map_err(|error| {
        let text = format!("{text:?} is not a domain: {error}");
        Refusal::new(Kind::Unfit, text)
    })
}

/// What the engine says, in the words of the door.
fn answer(outcome: Outcome) -> Result<Answer, Refusal> {
    Ok(match outcome {
        Outcome::Users(users) => {
            let user = |user: rookery_actors::admin::User| User {
                jid: user.jid,
                disabled: user.disabled,
                created: i64::try_from(user.created).unwrap_or(i64::MAX),
                last_seen: user.last_seen.and_then(|time| i64::try_from(time).ok()),
                resources: user.resources,
            };
            Answer::Users(users.into_iter().map(user).collect())
        }
        Outcome::Clients(clients) => {
            Answer::Clients(clients.into_iter().map(shown_client).collect())
        }
        Outcome::Revoked { knows_password } => Answer::Revoked { knows_password },
        Outcome::Status(status) => match serde_json::to_value(*status) {
            Ok(serde_json::Value::Object(numbers)) => Answer::Status(numbers),
            _ => return Err(Refusal::new(Kind::Failed, "the numbers cannot be written")),
        },
        Outcome::Rules(rules) => Answer::Rules(rules.into_iter().map(shown_rule).collect()),
        Outcome::Servers(servers) => Answer::Servers(servers),
        Outcome::Trace(trace) => Answer::Trace(trace),
        Outcome::Failed(failure) => return Err(refusal(&failure)),
        _ => Answer::Done,
    })
}

fn shown_client(client: rookery_actors::admin::Client) -> Client {
    let time = |millis| i64::try_from(millis).unwrap_or(i64::MAX);
    Client {
        id: client.id,
        connected: client.connected,
        first_seen: time(client.first_seen),
        last_seen: time(client.last_seen),
        password: client.password,
        token: client.token,
        software: client.software,
        device: client.device,
    }
}

fn shown_rule(rule: rookery_actors::fence::Rule) -> Rule {
    Rule {
        pattern: rule.pattern,
        allow: rule.verdict == Verdict::Allow,
        since: rule.since.and_then(|time| i64::try_from(time).ok()),
    }
}

fn refusal(failure: &Failure) -> Refusal {
    let kind = match failure {
        Failure::Exists => Kind::Exists,
        Failure::Absent | Failure::NoClient | Failure::NoLink => Kind::Absent,
        Failure::NotOurs => Kind::NotOurs,
        Failure::Name(_) | Failure::TooMany(_) => Kind::Unfit,
        Failure::Alone => Kind::NotRunning,
        Failure::Busy => Kind::Busy,
        Failure::Store(_) => Kind::Failed,
    };
    Refusal::new(kind, failure.to_string())
}

fn shown(served: &Served) -> Arc<Tls> {
    Arc::new(Tls {
        starttls: Arc::clone(&served.starttls),
        direct: Arc::clone(&served.direct),
        end_point: served.end_point.clone(),
        peers: Arc::clone(&served.peers),
    })
}

fn open_store(folder: &Path, settings: &Settings, accept_loss: bool) -> Result<Store, StartError> {
    let storage = &settings.storage;
    let options = Options {
        memtable: storage.memtable.get(),
        cache: storage.cache.as_u64(),
        floor: storage.floor.as_u64(),
        segment: storage.segment.as_u64(),
        checkpoint_every: storage.checkpoint,
        accept_loss,
        ..Options::default()
    };
    Store::open(folder, options).map_err(|error| match error {
        OpenError::Io { .. } | OpenError::Store(_) => StartError::Failed(error.to_string()),
        OpenError::Damaged(_) => StartError::Refused(format!(
            "{error}\n  bring back a backup, or start once with --accept-loss to go on without it"
        )),
        // Trying again does not help.
        _ => StartError::Refused(error.to_string()),
    })
}

/// Listens on every address; one that this machine cannot have at all is passed over if it is a
/// wildcard, since the defaults name IPv6 and IPv4.
fn listen(engine: &Engine, settings: &Settings) -> Result<Vec<Listening>, StartError> {
    let mut listening = vec![];
    let listen = &settings.listen;
    let served = [
        (Door::C2s, Port::Clients, &listen.c2s),
        (Door::C2sTls, Port::ClientsTls, &listen.c2s_tls),
        (Door::S2s, Port::Servers, &listen.s2s),
        (Door::S2sTls, Port::ServersTls, &listen.s2s_tls),
    ];
    for (door, port, addresses) in served {
        let listen = |address| engine.listen(address, port);
        listening.extend(listen_on(door, addresses, listen)?);
    }
    for (key, addresses) in settings.listen.all() {
        let is_served = served.iter().any(|(door, ..)| door.key() == key);
        let is_served = is_served || key.starts_with(Door::Component.key());
        if !is_served && !addresses.is_empty() {
            tracing::warn!(key, "nothing serves this protocol yet: not listened on");
        }
    }
    Ok(listening)
}

/// Listens on the addresses of one protocol.
pub(crate) fn listen_on(
    door: Door,
    addresses: &[SocketAddr],
    listen: impl Fn(SocketAddr) -> io::Result<SocketAddr>,
) -> Result<Vec<Listening>, StartError> {
    let mut listening = vec![];
    for &address in addresses {
        let anywhere = address.ip().is_unspecified() || address.ip().is_loopback();
        match listen(address) {
            Ok(address) => listening.push(Listening { door, address }),
            Err(error) if is_absent(&error) && anywhere => {
                tracing::debug!(%address, %error, "not on this machine");
            }
            Err(error) => return Err(taken(door, address, &error)),
        }
    }
    Ok(listening)
}

/// Whether this machine has no such kind of address.
fn is_absent(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL))
}

fn taken(door: Door, address: SocketAddr, error: &io::Error) -> StartError {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => "another program listens there; stop it, or use --port-offset",
        io::ErrorKind::PermissionDenied => "ports under 1024 need a privilege; choose a higher one",
        _ => "is the address one of this machine?",
    };
    StartError::Failed(format!(
        "[listen] {}: {address}: {error}\n  {advice}",
        door.key()
    ))
}

#[cfg(test)]
mod tests;
