//! Performs what the negotiation asks for, until a session is bound.

use std::sync::Arc;
use std::time::Instant;

use actix::prelude::*;
use rookery_protocol::error::{Condition, StanzaError, StreamCondition, StreamError};
use rookery_protocol::framer::Limits;
use rookery_protocol::jid::Jid;
use rookery_protocol::negotiation::client::{self, Action, Admission, ClientId, Event as Happened};
use rookery_protocol::reader::Event;
use rookery_protocol::sasl::{Hash, PasswordCheck, ScramKeys, Verdict};
use rookery_protocol::stanza::Stanza;
use smol_str::SmolStr;
use tracing::info;

use super::live::Live;
use super::{State, Stream};
use crate::admin::{Command, Failure, Outcome};
use crate::clients::ClientKey;
use crate::extension::{Before, StreamRole};
use crate::messages::{Bind, Bound, Mail, Resume, Resumed};
use crate::realm::Realm;
use crate::site::fill_random;
use crate::transport::Transport;

/// What a peer may send before it has logged in.
pub(super) fn limits_before(realm: &Realm) -> Limits {
    let shape = &realm.site.settings.limits.before_login;
    Limits {
        bytes: shape.size.get() as u32,
        elements: shape.elements as u32,
        depth: shape.depth as u16,
        attributes: shape.attributes as u16,
        namespaces: shape.namespaces as u16,
        name_len: shape.name.get() as u16,
        whitespace: shape.size.get() as u32,
        skip_up_to: 0,
    }
}

/// What a client may send once it has.
pub(super) fn limits_after(realm: &Realm) -> Limits {
    let shape = &realm.site.settings.limits.after_login;
    Limits {
        bytes: shape.size.get() as u32,
        elements: shape.elements as u32,
        depth: shape.depth as u16,
        attributes: shape.attributes as u16,
        namespaces: shape.namespaces as u16,
        name_len: shape.name.get() as u16,
        ..Limits::after_login()
    }
}

impl Stream {
    /// Something was read before there is a session.
    pub(super) fn negotiate(&mut self, event: Event, behind: usize, ctx: &mut Context<Stream>) {
        let happened = match event {
            Event::Open(header) => Happened::Open(header),
            Event::Element(element) => Happened::Element {
                element: element.to_element(),
                behind,
            },
            Event::Close => Happened::Close,
            Event::Whitespace => Happened::Whitespace,
            Event::Oversized(_) => {
                Happened::Fail(StreamError::new(StreamCondition::PolicyViolation))
            }
        };
        self.happened(happened, ctx);
    }

    /// Tells the machine what happened and does what it answers.
    pub(super) fn happened(&mut self, happened: Happened, ctx: &mut Context<Stream>) {
        let State::Negotiating(negotiation) = &mut self.state else {
            return;
        };
        let actions = negotiation.client.handle(happened, &mut fill_random);
        for action in actions {
            self.act(action, ctx);
        }
        self.go_on(ctx);
        self.nudge();
    }

    fn act(&mut self, action: Action, ctx: &mut Context<Stream>) {
        match action {
            Action::Write(bytes) => self.write(&bytes),
            // The pump does it when `<proceed/>` is written: see `upgrading`.
            Action::StartTls(_) => self.upgrade_due = true,
            Action::Restart => self.reader.restart(),
            Action::Fetch { account, client } => self.fetch(account, client, ctx),
            Action::Check(check) => self.check(check, ctx),
            Action::Upgrade {
                account,
                hash,
                keys,
            } => self.upgrade_keys(account, hash, keys, ctx),
            Action::Admit(admission) => self.let_in(*admission, ctx),
            Action::CountFailure => {
                if let State::Negotiating(negotiation) = &mut self.state
                    && !std::mem::replace(&mut negotiation.failed, true)
                {
                    info!(peer = %self.peer, "a login failed");
                }
                self.realm.gate.failed(self.peer, Instant::now());
            }
            Action::Ask { domain, iq } => self.ask(domain, iq, ctx),
            Action::Bind {
                account,
                resource,
                client,
                bind2,
            } => {
                let resource = resource.map(SmolStr::from);
                let client = client.as_ref().map(ClientKey::of);
                let bind = Bind::new(account.clone(), resource, ctx.address(), self.peer)
                    .of_client(client, bind2);
                self.realm.post(&account, Mail::Bind(Box::new(bind)), true);
            }
            Action::Resume {
                account,
                previd,
                h,
                lang,
            } => {
                if let State::Negotiating(negotiation) = &mut self.state {
                    negotiation.lang = lang;
                }
                let stream = ctx.address();
                let resume = Resume::new(account.clone(), previd, h, stream, self.peer);
                self.realm
                    .post(&account, Mail::Resume(Box::new(resume)), true);
            }
            Action::Established { lang, .. } => self.established(lang, ctx),
            Action::Close(error) => {
                if let Some(error) = error {
                    let condition = error.condition.as_str();
                    tracing::debug!(peer = %self.peer, condition, "a stream ends before login");
                }
                self.hang_up(ctx);
            }
        }
    }

    /// Whether `<proceed/>` is written and TLS is to begin.
    pub(super) fn upgrading(&self) -> bool {
        self.upgrade_due && self.out.is_empty()
    }

    /// Turns the connection into TLS.
    pub(super) fn upgrade(&mut self, ctx: &mut Context<Stream>) {
        self.upgrade_due = false;
        match std::mem::replace(&mut self.transport, Transport::None) {
            Transport::Tcp(tcp) => self.handshake(tcp, false, ctx),
            // The machine never starts TLS on anything else.
            _ => ctx.stop(),
        }
    }

    fn fetch(&mut self, account: Jid, client: Option<ClientId>, ctx: &mut Context<Stream>) {
        let realm = Arc::clone(&self.realm);
        let read = async move { realm.lookup(&account, client.as_ref()).await };
        ctx.spawn(read.into_actor(self).map(|lookup, stream, ctx| {
            stream.happened(Happened::Fetched(lookup), ctx);
        }));
    }

    fn check(&mut self, check: PasswordCheck, ctx: &mut Context<Stream>) {
        let realm = Arc::clone(&self.realm);
        let work = async move {
            realm
                .accounts
                .derive(move || check.run())
                .await
                .unwrap_or(Verdict::Overloaded)
        };
        ctx.spawn(work.into_actor(self).map(|verdict, stream, ctx| {
            stream.happened(Happened::Checked(verdict), ctx);
        }));
    }

    fn upgrade_keys(
        &mut self,
        account: Jid,
        hash: Hash,
        keys: ScramKeys,
        ctx: &mut Context<Stream>,
    ) {
        let realm = Arc::clone(&self.realm);
        let work = async move {
            let accounts = &realm.accounts;
            let done = accounts.complete(&realm.keeper, &account, hash, keys).await;
            done.is_ok()
        };
        ctx.spawn(work.into_actor(self).map(|done, stream, ctx| {
            stream.happened(Happened::Upgraded(done), ctx);
        }));
    }

    fn let_in(&mut self, admission: Admission, ctx: &mut Context<Stream>) {
        let realm = Arc::clone(&self.realm);
        let work = async move { realm.admit(admission).await };
        ctx.spawn(work.into_actor(self).map(|result, stream, ctx| {
            stream.happened(Happened::Admitted(result), ctx);
        }));
    }

    /// An IQ of somebody who has not logged in, for an extension.
    fn ask(&mut self, domain: SmolStr, iq: Stanza, ctx: &mut Context<Stream>) {
        if let State::Negotiating(negotiation) = &mut self.state {
            negotiation.registering = true;
        }
        let Some((role, payload)) = self.answerer(&iq) else {
            let error = StanzaError::new(Condition::ServiceUnavailable);
            if let Some(reply) = iq.error_reply(&error) {
                self.happened(Happened::Answered(reply), ctx);
            }
            return;
        };
        match role.iq(&iq, &payload, &domain, &self.realm.site) {
            Before::Reply(reply) => self.happened(Happened::Answered(reply), ctx),
            Before::Administer(command) => self.administer(role, iq, command, ctx),
        }
    }

    fn administer(
        &mut self,
        role: &'static dyn StreamRole,
        iq: Stanza,
        command: Command,
        ctx: &mut Context<Stream>,
    ) {
        let (realm, peer) = (Arc::clone(&self.realm), self.peer);
        let makes_account = matches!(command, Command::AddUser(..));
        if makes_account && !realm.gate.registers(peer, Instant::now()) {
            // H15: as if the server were busy, which it is for this address.
            let busy = Outcome::Failed(Failure::Busy);
            let reply = role.administered(&iq, busy, &realm.site);
            return self.happened(Happened::Answered(reply), ctx);
        }
        let work = async move {
            let (outcome, after) = realm.administer(command).await;
            if makes_account && matches!(outcome, Outcome::Failed(_)) {
                realm.gate.unregistered(peer);
            }
            (outcome, after)
        };
        ctx.spawn(
            work.into_actor(self)
                .map(move |(outcome, after), stream, ctx| {
                    let reply = role.administered(&iq, outcome, &stream.realm.site);
                    stream.happened(Happened::Answered(reply), ctx);
                    stream.realm.finish(after);
                }),
        );
    }

    fn answerer(
        &self,
        iq: &Stanza,
    ) -> Option<(&'static dyn StreamRole, rookery_protocol::xml::Element)> {
        let payload = iq.payload()?;
        let mut roles = self.realm.site.extensions.iter().filter_map(|it| it.stream);
        let role = roles.find(|role| role.namespaces().contains(&payload.ns()))?;
        Some((role, payload))
    }

    /// The Hub's answer to the wish for a resource.
    pub(super) fn bound(
        &mut self,
        answer: Result<Box<Bound>, StanzaError>,
        ctx: &mut Context<Stream>,
    ) {
        let State::Negotiating(negotiation) = &mut self.state else {
            return;
        };
        let happened = match answer {
            Ok(mut bound) => {
                let (jid, inline) = (bound.jid.clone(), std::mem::take(&mut bound.inline));
                negotiation.bound = Some(bound);
                Ok(client::Bound { jid, inline })
            }
            Err(error) => Err(error),
        };
        self.happened(Happened::Bound(happened), ctx);
    }

    /// The answer to the wish for an earlier session.
    pub(super) fn resumed(
        &mut self,
        answer: Result<Box<Resumed>, Option<u32>>,
        ctx: &mut Context<Stream>,
    ) {
        let State::Negotiating(negotiation) = &mut self.state else {
            return;
        };
        match answer {
            Ok(resumed) => {
                let Resumed {
                    bound,
                    previd,
                    handled,
                } = *resumed;
                let (lang, jid) = (negotiation.lang.take(), bound.jid.clone());
                negotiation.bound = Some(bound);
                let resumed = Happened::Resumed {
                    handled,
                    previd,
                    jid,
                };
                self.happened(resumed, ctx);
                self.established(lang, ctx);
            }
            Err(handled) => {
                let condition = Condition::ItemNotFound;
                let handled = handled.map(u64::from);
                self.happened(Happened::NotResumed { condition, handled }, ctx);
            }
        }
    }

    fn established(&mut self, lang: Option<SmolStr>, ctx: &mut Context<Stream>) {
        let State::Negotiating(negotiation) = &mut self.state else {
            return;
        };
        let Some(bound) = negotiation.bound.take() else {
            return;
        };
        let line = bound.line;
        let Some((session, owner)) = bound.take() else {
            return;
        };
        ctx.cancel_future(negotiation.closing);
        self.reader.set_limits(limits_after(&self.realm));
        let live = Live {
            session,
            line,
            clean: false,
            owner,
            lang,
        };
        self.state = State::Live(live);
        // Its Hub may have told its sessions already that the server stops.
        if *self.realm.closing.borrow() {
            self.fail(StreamError::new(StreamCondition::SystemShutdown), ctx);
        }
    }
}
