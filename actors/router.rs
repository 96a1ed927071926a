//! Where a stanza goes: to one of ours, to one of our domains, or elsewhere. One function on three
//! cases.

use std::sync::Arc;

use bytes::Bytes;
use rookery_protocol::dialback::Pair;
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::jid::Jid;
use rookery_protocol::negotiation::Refusal;
use rookery_protocol::stanza::{Kind, PresenceType, Stanza};
use rookery_storage::Direction::Forward;
use rookery_storage::{Frame, KeyRange, StoreError, Tree};
use tokio::sync::oneshot;

use crate::components::is_inside;
use crate::directory::Returned;
use crate::effect::{Effect, Effects, Envelope, Origin, Query};
use crate::hub::devices::Devices;
use crate::hub::mind::Mind;
use crate::hub::{Hub, stranger};
use crate::keeper::Tell;
use crate::keys::{self, AccountId};
use crate::link::{Link, key_of, outbox, pair_of};
use crate::messages::{Mail, Order};
use crate::realm::Realm;
use crate::receipt::Receipt;
use crate::service::Host;

impl Realm {
    /// Sends a stanza to whom its `to` names. It must have one; without it is dropped, and its
    /// receipt says lost.
    pub fn route(self: &Arc<Realm>, envelope: Envelope) {
        if envelope.marks.on_behalf {
            return self.send_as(envelope);
        }
        let Some(to) = envelope.stanza.to.clone() else {
            return;
        };
        if !self.site.serves(to.domain()) {
            return match self.site.host(to.domain()) {
                Some(host) => self.to_service(host, &to, envelope),
                None => self.to_elsewhere(envelope),
            };
        }
        let key = to.bare();
        if to.local().is_some() && self.accounts.id(key.as_str()).is_none() {
            return self.to_nobody(envelope);
        }
        // Who is not there wants to hear of nothing.
        let wakes = wakes(&envelope.stanza) && envelope.marks.topic.is_none();
        self.post(&key, Mail::Incoming(Box::new(envelope)), wakes);
    }

    /// Sends a stanza to the Link to another server, in the name of the domain that it comes from.
    fn to_elsewhere(self: &Arc<Realm>, envelope: Envelope) {
        let Some(pair) = self.pair_for(&envelope.stanza) else {
            return self.refuse(envelope, Condition::RemoteServerNotFound);
        };
        if self.site.blocks(&pair.to) {
            return self.refuse_with(envelope, &Refusal::Blocked.to_error(&pair.to));
        }
        let key = key_of(&pair);
        if self.is_down(&key) {
            return self.refuse(envelope, Condition::InternalServerError);
        }
        let mail = Mail::Incoming(Box::new(envelope));
        let start = |birth| Link::start(self, pair, birth);
        if let Err((mail, why)) = self.links.send_or_start(&key, mail, start) {
            self.returned(mail, why, true);
        }
    }

    /// Sends a stanza to the account that it is from, which sends it on; a domain needs no asking.
    fn send_as(self: &Arc<Realm>, mut envelope: Envelope) {
        let from = envelope.stanza.from.as_ref().map(Jid::bare);
        match from {
            Some(from) if from.local().is_none() && self.site.serves(from.domain()) => {
                envelope.marks.on_behalf = false;
                self.route(envelope);
            }
            Some(from) if self.accounts.id(from.as_str()).is_some() => {
                self.post(&from, Mail::Incoming(Box::new(envelope)), true);
            }
            _ => envelope.receipt.refuse(Condition::Forbidden),
        }
    }

    /// Whose Link takes a stanza: that of the component which it is for, or of the two domains.
    fn pair_for(&self, stanza: &Stanza) -> Option<Pair> {
        if let Some(component) = self.site.components.find(stanza.to.as_ref()?.domain()) {
            return stanza.from.is_some().then(|| component.pair());
        }
        let pair = pair_of(stanza).filter(|it| self.site.is_here(&it.from));
        pair.filter(|_| self.roads.is_some())
    }

    /// A component came, or went for good: what waits for it is looked at now.
    pub(crate) fn hurry(self: &Arc<Realm>, pair: &Pair) {
        let hurry = Mail::Order(Order::Hurry);
        let start = |birth| Link::start(self, pair.clone(), birth);
        let _ = self.links.send_or_start(&key_of(pair), hurry, start);
    }

    /// Another server came: it is there again, and the Link to it, if there is one, need not rest.
    pub(crate) fn is_back(&self, pair: &Pair) {
        let hurry = Mail::Order(Order::Hurry);
        // Without a Link nothing waits.
        let _ = self.links.send(&key_of(pair), hurry);
    }

    /// Has the Link of `pair` live, as something waits for it.
    pub(crate) fn rouse(self: &Arc<Realm>, pair: &Pair) {
        // Nobody waits for the answer.
        let probe = Mail::Probe(oneshot::channel().0);
        let start = |birth| Link::start(self, pair.clone(), birth);
        let _ = self.links.send_or_start(&key_of(pair), probe, start);
    }

    /// Starts the Links for which something waits on the disk.
    pub(crate) fn rouse_all(self: &Arc<Realm>) -> Result<(), StoreError> {
        let mut range = KeyRange::all();
        let store = self.keeper.store();
        while let Some((key, _)) = store.range(Tree::Outbox, &range, 1, Forward)?.pop()
            && let Some(pair) = outbox::pair_in(&key)
        {
            range = outbox::behind(&pair);
            // Without roads what waits for other servers goes on waiting.
            if self.roads.is_some() || is_inside(&pair) {
                self.rouse(&pair);
            }
        }
        Ok(())
    }

    /// Sends a stanza to the Hub of a service, or of one of its entities. Who comes wakes it: a
    /// room is there when it is entered.
    fn to_service(self: &Arc<Realm>, host: &Host, to: &Jid, envelope: Envelope) {
        let service = host.service(&self.site);
        if to.local().is_some() && !service.is_some_and(|it| it.has_locals) {
            return self.refuse(envelope, Condition::ItemNotFound);
        }
        let comes = envelope.stanza.kind == Kind::Presence(PresenceType::Available);
        // Who leaves an entity that sleeps must be gone when it wakes.
        let asleep = || to.local().is_some() && self.owners.has(&to.bare());
        let wakes = comes || wakes(&envelope.stanza) || asleep();
        self.post(&to.bare(), Mail::Incoming(Box::new(envelope)), wakes);
    }

    /// Sends mail to the Hub of `key`, which is started for it where `wakes` says so, or where the
    /// account [sleeps](crate::sleepers).
    pub fn post(self: &Arc<Realm>, key: &Jid, mail: Mail, wakes: bool) {
        let sent = match wakes && !self.is_down(key.as_str()) {
            true => self.start(key, mail),
            false => self.directory.send(key.as_str(), mail),
        };
        let starts = |why, mail: &Mail| match why {
            Returned::Asleep => true,
            Returned::Dead => mail.is_of_session(),
            Returned::Absent | Returned::Full => false,
        };
        let sent = match sent {
            Err((mail, why)) if starts(why, &mail) && !self.is_down(key.as_str()) => {
                self.start(key, mail)
            }
            sent => sent,
        };
        if let Err((mail, why)) = sent {
            self.returned(mail, why, wakes || why == Returned::Asleep);
        }
    }

    fn start(self: &Arc<Realm>, key: &Jid, mail: Mail) -> Result<(), (Mail, Returned)> {
        self.directory.send_or_start(key.as_str(), mail, |birth| {
            Hub::start(self, key.clone(), birth)
        })
    }

    /// A stanza that no device will ever get: who asked something is told (RFC 6121 §8.5.3.2.3).
    pub fn bounce(self: &Arc<Realm>, bytes: Bytes) {
        if bytes.starts_with(b"<iq")
            && let Ok(stanza) = Stanza::parse_stored(bytes)
            && let Some(reply) =
                stanza.error_reply(&StanzaError::new(Condition::ServiceUnavailable))
            && reply.to.as_ref().is_some_and(|to| to.local().is_some())
        {
            self.route(Envelope::plain(reply));
        }
    }

    /// Mail came back: a stanza is refused, or, where nobody needed to be woken, is done with.
    fn returned(self: &Arc<Realm>, mail: Mail, why: Returned, wakes: bool) {
        match mail {
            Mail::Incoming(envelope) if envelope.marks.topic.is_some() => {
                envelope.receipt.settle();
            }
            // Who has it said hears, not in whose name.
            Mail::Incoming(envelope) if envelope.marks.on_behalf => {
                envelope.receipt.refuse(Condition::ResourceConstraint);
            }
            Mail::Incoming(envelope) if why == Returned::Full => {
                self.refuse(*envelope, Condition::ResourceConstraint);
            }
            Mail::Incoming(envelope) if wakes => {
                self.refuse(*envelope, Condition::InternalServerError);
            }
            Mail::Incoming(envelope) if is_probe(&envelope.stanza) => self.probe(*envelope),
            // Presence to an account without a live Hub: nobody is there to see it.
            Mail::Incoming(envelope) => envelope.receipt.settle(),
            Mail::Outgoing(outgoing) => outgoing.receipt.refuse(Condition::InternalServerError),
            _ => {}
        }
    }

    /// Answers with an error, to wherever the stanza came from.
    fn refuse(self: &Arc<Realm>, envelope: Envelope, condition: Condition) {
        self.refuse_with(envelope, &StanzaError::new(condition));
    }

    fn refuse_with(self: &Arc<Realm>, envelope: Envelope, error: &StanzaError) {
        let Envelope {
            stanza,
            marks,
            rows,
            receipt,
        } = envelope;
        self.close(marks.lasting, rows, receipt);
        if matches!(stanza.kind, Kind::Presence(kind) if !subscribes(kind)) {
            return;
        }
        if let Some(reply) = stanza.error_reply(error)
            && reply
                .to
                .as_ref()
                .is_some_and(|to| self.site.is_here(to.domain()))
        {
            self.route(Envelope::plain(reply));
        }
    }

    /// An account that does not exist answers like one that has nothing, after the same read, in
    /// the same time.
    fn to_nobody(self: &Arc<Realm>, envelope: Envelope) {
        if !wakes(&envelope.stanza) && !is_probe(&envelope.stanza) {
            return self.close(envelope.marks.lasting, envelope.rows, envelope.receipt);
        }
        let realm = Arc::clone(self);
        let Some(key) = envelope.stanza.to.as_ref().map(Jid::bare) else {
            return;
        };
        let query = Query::Get(Tree::Accounts, key.as_str().as_bytes().to_vec());
        self.keeper.read(vec![query], move |_| {
            let Envelope {
                stanza,
                marks,
                rows,
                receipt,
            } = envelope;
            let mut fx = Effects::new(realm.site.now(), Origin::Elsewhere);
            stranger::incoming(&stanza, &realm.site, &mut fx);
            realm.close(marks.lasting, rows, receipt);
            realm.replies(fx);
        });
    }

    /// A probe to an account without a live Hub is answered from one read, by a mind that lives no
    /// longer: contacts who are away cost no Hub at each login, nor the reading of their rosters.
    fn probe(self: &Arc<Realm>, envelope: Envelope) {
        let Some(key) = envelope.stanza.to.as_ref().map(Jid::bare) else {
            return;
        };
        let Some(id) = self.accounts.id(key.as_str()) else {
            return;
        };
        let Some(from) = envelope.stanza.from.as_ref().map(Jid::bare) else {
            return;
        };
        let realm = Arc::clone(self);
        self.keeper.read(known_to(id, &from), move |rows| {
            let Envelope {
                stanza,
                marks,
                receipt,
                ..
            } = envelope;
            // The disk gave nothing: better no answer than a wrong one.
            let Some(rows) = rows else { return };
            let mut fx = Effects::new(realm.site.now(), Origin::Elsewhere);
            let mut mind = Mind::load(id, key, rows, &realm.site);
            mind.incoming(stanza, marks, &mut Devices::default(), &realm.site, &mut fx);
            receipt.settle();
            realm.replies_of(mind, fx);
        });
    }

    /// Sends on what such a mind answers, and reads for it.
    fn replies_of(self: &Arc<Realm>, mut mind: Mind, mut fx: Effects) {
        let mut read = None;
        for effect in fx.take() {
            match effect {
                Effect::Route(reply) => self.route(*reply),
                Effect::Read(it) => read = Some(it),
                _ => {}
            }
        }
        let Some(read) = read else { return };
        let (realm, queries) = (Arc::clone(self), read.queries.clone());
        self.keeper.read(queries, move |rows| {
            let Some(rows) = rows else { return };
            let mut fx = Effects::new(realm.site.now(), Origin::Elsewhere);
            let mut devices = Devices::default();
            mind.read_done(*read, rows, &mut devices, &realm.site, &mut fx);
            realm.replies(fx);
        });
    }

    /// Sends the answers on; nothing else is asked for where there is no Hub.
    pub(crate) fn replies(self: &Arc<Realm>, mut fx: Effects) {
        for effect in fx.take() {
            if let Effect::Route(reply) = effect {
                self.route(*reply);
            }
        }
    }

    /// Nobody takes the stanza: what its sender's Hub wanted kept is kept all the same, and its
    /// receipt waits for the disk if what was written on the way must be there.
    pub(crate) fn close(&self, lasting: bool, rows: Frame, receipt: Receipt) {
        match lasting || !rows.is_empty() {
            true => self.keeper.commit(rows, receipt, Tell::Nobody),
            false => receipt.settle(),
        }
    }
}

/// What an account must know to answer a probe of `from`, a bare JID: that contact, the last
/// presence, and what extensions keep with the account, such as whom it blocks.
fn known_to(id: AccountId, from: &Jid) -> Vec<Query> {
    let range = |range| Query::Range {
        tree: Tree::Account,
        range,
        limit: usize::MAX,
        backwards: false,
    };
    let contact = keys::row(id, keys::Kind::CONTACT, from.as_str().as_bytes());
    vec![
        Query::Get(Tree::Account, contact),
        range(keys::all_of(id, keys::Kind::FACT)),
        range(keys::loaded_of_extensions(id)),
    ]
}

fn subscribes(kind: PresenceType) -> bool {
    use PresenceType::*;
    matches!(kind, Subscribe | Subscribed | Unsubscribe | Unsubscribed)
}

fn is_probe(stanza: &Stanza) -> bool {
    stanza.kind == Kind::Presence(PresenceType::Probe)
}

/// What starts a Hub: messages, IQs and subscriptions.
fn wakes(stanza: &Stanza) -> bool {
    match stanza.kind {
        Kind::Message(_) | Kind::Iq(_) => true,
        Kind::Presence(kind) => subscribes(kind),
    }
}
