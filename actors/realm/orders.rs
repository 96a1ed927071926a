//! How a server does what its administrators, and newcomers, order.

use std::sync::Arc;
use std::time::Instant;

use rookery_protocol::error::{StreamCondition, StreamError};
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::sasl::Password;
use rookery_protocol::stanza::{MessageType, Stanza};
use rookery_protocol::xml::Element;
use rookery_storage::Tree;
use smol_str::SmolStr;
use tokio::sync::oneshot;

use super::Realm;
use crate::accounts::{Maker, unread};
use crate::admin::{Command, Failure, Outcome, Stop};
use crate::effect::{Envelope, Query};
use crate::hub::account::Account;
use crate::keeper::Committed;
use crate::keys::{self, Kind};
use crate::messages::{Mail, Order};
use crate::notices::{Notice, Occasion};

/// What is to be done when the answer to a [`Command`] has been given.
#[must_use = "sessions stay until `finish`"]
#[derive(Default)]
pub struct After {
    orders: Vec<(Jid, Order)>,
    stop: Option<Stop>,
}

impl Realm {
    /// Does an administrator's command. The caller gives the answer, then calls [`Realm::finish`].
    pub async fn administer(self: &Arc<Realm>, command: Command) -> (Outcome, After) {
        let Command::Several(commands) = command else {
            return self.one(command).await;
        };
        let (mut outcomes, mut afters) = (Vec::new(), After::default());
        for command in commands {
            let (outcome, after) = self.one(command).await;
            outcomes.push(outcome);
            afters.orders.extend(after.orders);
            afters.stop = afters.stop.or(after.stop);
        }
        (Outcome::Several(outcomes), afters)
    }

    /// The answer was given: ends what must end.
    pub fn finish(self: &Arc<Realm>, after: After) {
        for (jid, order) in after.orders {
            // What a client left for its account is to go even if nobody is there.
            let wakes = matches!(order, Order::EndClient(..));
            self.post(&jid, Mail::Order(order), wakes);
        }
        if after.stop.is_some() {
            self.told_to_stop.send_replace(after.stop);
        }
    }

    async fn one(self: &Arc<Realm>, command: Command) -> (Outcome, After) {
        let mut after = After::default();
        let done = match command {
            Command::AddUser(jid, password) => self.add(&jid, password, Maker::Operator).await,
            Command::Register(jid, password) => self.add(&jid, password, Maker::Stranger).await,
            Command::SetPassword {
                user,
                password,
                except,
            } => {
                let done = self.set_password(&user, password).await;
                let except = except.and_then(|it| it.resource().map(SmolStr::new));
                after = After::end(user, None, except, StreamCondition::Reset, done.is_ok());
                done
            }
            Command::DeleteUser(jid) => {
                let done = self.remove(&jid).await;
                after = After::shut_out(jid, done.is_ok());
                done
            }
            Command::DisableUser(jid) => {
                let done = self.set_disabled(&jid, true).await;
                after = After::shut_out(jid, done.is_ok());
                done
            }
            Command::EnableUser(jid) => self.set_disabled(&jid, false).await,
            Command::EndSessions(jid) => {
                let resource = jid.resource().map(SmolStr::new);
                let exists = self.accounts.id(jid.bare_str()).is_some();
                after = After::end(jid.bare(), resource, None, StreamCondition::Reset, exists);
                if exists { Ok(()) } else { Err(Failure::Absent) }
            }
            Command::Announce {
                domain,
                subject,
                body,
            } => {
                self.announce(&domain, subject.as_deref(), &body);
                Ok(())
            }
            Command::SetNotice(notice) => self.set_notice(notice).await,
            Command::Stop { delay, again } => {
                let at = Instant::now() + delay;
                after.stop = Some(Stop { at, again });
                Ok(())
            }
            Command::RevokeClient { user, client } => match self.revoke(&user, &client).await {
                Ok((knows_password, after)) => return (Outcome::Revoked { knows_password }, after),
                Err(failure) => Err(failure),
            },
            Command::Servers(order) => return (self.servers(order).await, after),
            question => return (self.look(question).await, after),
        };
        (done.map_or_else(Outcome::Failed, |()| Outcome::Done), after)
    }

    /// Commands that change nothing.
    async fn look(self: &Arc<Realm>, question: Command) -> Outcome {
        let found = match question {
            Command::ListUsers(domain) => self.users(domain.as_deref()).await,
            Command::OnlineUsers(domain) => self.online(domain.as_deref()).await,
            Command::UserInfo(jid) => self.user(&jid).await.map(|user| vec![user]),
            Command::UserRoster(jid) => {
                let roster = self.roster(&jid).await;
                return roster.map_or_else(Outcome::Failed, Outcome::Roster);
            }
            Command::Clients(jid) => {
                let clients = self.clients(&jid).await;
                return clients.map_or(Outcome::Failed(Failure::Absent), Outcome::Clients);
            }
            Command::Status => return Outcome::Status(Box::new(self.status())),
            // `Several` inside another is never made; the others are done elsewhere.
            _ => return Outcome::Failed(Failure::Busy),
        };
        found.map_or_else(Outcome::Failed, Outcome::Users)
    }

    async fn add(&self, jid: &Jid, password: Password, maker: Maker) -> Result<(), Failure> {
        if jid.local().is_none() || !jid.is_bare() || !self.site.serves(jid.domain()) {
            return Err(Failure::NotOurs);
        }
        let iterations = self.site.settings.accounts.iterations;
        self.accounts
            .add(
                &self.keeper,
                jid,
                password,
                iterations,
                self.site.now(),
                maker,
            )
            .await
    }

    async fn set_password(&self, jid: &Jid, password: Password) -> Result<(), Failure> {
        let _turn = self.accounts.turn(jid).await;
        let iterations = self.site.settings.accounts.iterations;
        let revoked = self.revocations(jid).await?;
        self.accounts
            .set_password(&self.keeper, jid, password, iterations, revoked)
            .await
    }

    async fn set_disabled(&self, jid: &Jid, disabled: bool) -> Result<(), Failure> {
        let _turn = self.accounts.turn(jid).await;
        // T42: who is switched off comes back with the password.
        let revoked = self.revocations(jid).await?;
        self.accounts
            .set_disabled(&self.keeper, jid, disabled, revoked)
            .await
    }

    async fn remove(self: &Arc<Realm>, jid: &Jid) -> Result<(), Failure> {
        let _turn = self.accounts.turn(jid).await;
        self.accounts.id(jid.as_str()).ok_or(Failure::Absent)?;
        let (done, removed) = oneshot::channel();
        self.post(jid, Mail::Order(Order::Remove(done)), true);
        match removed.await {
            Ok(Committed::Durable) => {
                for owner in self.owners.names() {
                    // One that is not in memory hears it when it is loaded.
                    let order = Mail::Order(Order::Farewells);
                    let _ = self.directory.send(&owner, order);
                }
                self.accounts.forget(jid);
                Ok(())
            }
            Ok(Committed::Refused) => Err(Failure::Store("the disk is full".to_owned())),
            Err(_) => Err(Failure::Busy),
        }
    }

    /// The roster as it is on the disk: no Hub is woken for it.
    async fn roster(&self, jid: &Jid) -> Result<Element, Failure> {
        let id = self.accounts.id(jid.as_str()).ok_or(Failure::Absent)?;
        let contacts = Query::Range {
            tree: Tree::Account,
            range: keys::all_of(id, Kind::CONTACT),
            limit: usize::MAX,
            backwards: false,
        };
        let mut account = Account::new(id, jid.clone());
        account.load(self.keeper.rows(vec![contacts]).await.ok_or_else(unread)?);
        let items = account.roster.iter().map(|entry| entry.to_element());
        Ok(Element::new(ns::ROSTER, "query").with_children(items))
    }

    fn announce(self: &Arc<Realm>, domain: &str, subject: Option<&str>, body: &str) {
        let Ok(from) = Jid::parse(domain) else { return };
        let text = |name: &'static str, text: &str| Element::new(ns::CLIENT, name).with_text(text);
        let mut stanza = Stanza::message(MessageType::Headline).with_from(from);
        if let Some(subject) = subject {
            stanza.append(&text("subject", subject));
        }
        stanza.append(&text("body", body));
        for key in self.living(Some(domain)) {
            let order = Order::Announce(Box::new(stanza.clone()));
            if let Ok(jid) = Jid::parse(&key) {
                self.post(&jid, Mail::Order(order), false);
            }
        }
    }

    /// Stores a notice; a new message of the day is told at once to all who are here.
    async fn set_notice(&self, change: Notice) -> Result<(), Failure> {
        let domain = Jid::parse(&change.domain).map_err(|_| Failure::NotOurs)?;
        if !self.site.serves(domain.as_str()) {
            return Err(Failure::NotOurs);
        }
        // Of two changes at once, memory and disk keep the same.
        let _turn = self.accounts.turn(&domain).await;
        let notices = &self.site.notices;
        let before = notices.number(change.occasion, &change.domain);
        let change = change.numbered(before, self.site.now());
        match self.keeper.committed(change.frame()?).await {
            Committed::Durable => notices.set(change.clone()),
            Committed::Refused => return Err(Failure::Store("the disk is full".to_owned())),
        }
        let is_news = change.occasion == Occasion::Motd && before != Some(change.number);
        let Some(stanza) = change.stanza().filter(|_| is_news) else {
            return Ok(());
        };
        for key in self.living(Some(&change.domain)) {
            let Ok(to) = Jid::parse(&key) else { continue };
            let envelope = Envelope::plain(stanza.clone().with_to(to));
            let _ = self
                .directory
                .send(&key, Mail::Incoming(Box::new(envelope)));
        }
        Ok(())
    }
}

impl After {
    /// Spares the session of this full JID; answers how it is to end, if it is to end at all.
    pub fn spare(&mut self, session: &Jid) -> Option<StreamError> {
        let own = session.bare();
        self.orders.iter_mut().find_map(|(jid, order)| match order {
            Order::End {
                resource: None,
                except: except @ None,
                error,
            } if *jid == own => {
                *except = session.resource().map(SmolStr::new);
                Some(error.clone())
            }
            _ => None,
        })
    }

    /// One order.
    pub(super) fn order(jid: Jid, order: Order) -> After {
        After {
            orders: vec![(jid, order)],
            stop: None,
        }
    }

    /// The account may not be used any more.
    fn shut_out(jid: Jid, due: bool) -> After {
        After::end(jid, None, None, StreamCondition::NotAuthorized, due)
    }

    fn end(
        jid: Jid,
        resource: Option<SmolStr>,
        except: Option<SmolStr>,
        condition: StreamCondition,
        due: bool,
    ) -> After {
        let error = StreamError::new(condition);
        let order = Order::End {
            resource,
            except,
            error,
        };
        After {
            orders: due.then_some((jid, order)).into_iter().collect(),
            stop: None,
        }
    }
}
