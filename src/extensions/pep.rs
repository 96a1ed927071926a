//! Personal eventing (XEP-0163): every account is a publish-subscribe service of its own
//! (XEP-0060), for what others or one's other devices should know: keys, avatars, bookmarks.
//!
//! Who is told of an event? *Explicit subscribers* are sent it as they subscribed. *Contacts* are
//! subscribed by seeing the account's presence, and each of their devices says by its capabilities
//! which nodes it wants to hear of. For a contact of our own one message with the node as its
//! topic goes to the contact's Hub, which knows its devices best and gives it to those that want
//! it; nobody's Hub is started for it. Of contacts on other servers the presences that they send
//! are remembered, within a bound. *Own devices* are told in the same way as any others.
//!
//! A device that comes hears the last items: its own account's at once; those of contacts of our
//! own by the probes that ask for their presence, which name what it wants, and which are answered
//! without a Hub where the contact is away; those of others when its presence arrives there.

mod attention;
mod audience;
mod avatar;
mod bookmarks;
mod card;
mod defaults;
mod features;
mod guests;
mod interests;
mod learned;
mod private;
mod vcard4;

use rookery_actors::effect::{Effects, Origin, Query, Row};
use rookery_actors::extension::{AccountRole, Attention, Direction, Extension, Pass, Spec, View};
use rookery_actors::hub::devices::DeviceId;
use rookery_actors::keys::Kind;
use rookery_actors::topic::Topics;
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::{Kind as StanzaKind, PresenceType, Stanza};
use rookery_protocol::xml::Element;

use self::features::FEATURES;
use self::interests::{Heard, Interests, Who};
use super::pubsub::access::{Standing, may_read};
use super::pubsub::circle;
use super::pubsub::config::{Access, Config, SendLast};
use super::pubsub::forwarding;
use super::pubsub::node::{self, Node};
use super::pubsub::order::Order;
use super::pubsub::pace::Pace;
use super::pubsub::shelf::Found;
use super::pubsub::{self, Board, Face};
use super::request::unavailable;

/// The extension.
pub const PEP: Extension = Extension {
    name: "pep",
    specs: &[
        spec(48, "1.2", "Bookmarks"),
        spec(49, "1.2", "Private XML Storage"),
        spec(54, "1.3.0", "vcard-temp"),
        spec(84, "1.1.4", "User Avatar"),
        spec(153, "1.1.1", "vCard-Based Avatars"),
        spec(163, "1.2.2", "Personal Eventing Protocol"),
        spec(222, "1.0.1", "Persistent Storage of Public Data via PubSub"),
        spec(
            223,
            "1.1.1",
            "Persistent Storage of Private Data via PubSub",
        ),
        spec(292, "0.12.0", "vCard4 Over XMPP"),
        spec(390, "0.3.2", "Entity Capabilities 2.0"),
        spec(
            398,
            "1.0.0",
            "User Avatar to vCard-Based Avatars Conversion",
        ),
        spec(402, "1.2.0", "PEP Native Bookmarks"),
    ],
    server_identities: &[("pubsub", "pep")],
    account_identities: &[("pubsub", "pep")],
    server_features: FEATURES,
    account_features: FEATURES,
    account_namespaces: &[
        ns::PUBSUB,
        ns::PUBSUB_OWNER,
        ns::VCARD,
        ns::PRIVATE,
        ns::DISCO_INFO,
        ns::DISCO_ITEMS,
    ],
    domain_namespaces: &[ns::VCARD],
    domain: Some(&card::ServerCard),
    kinds: &[
        node::NODE,
        node::STOCK,
        circle::SUBSCRIBER,
        circle::AFFILIATE,
        forwarding::MOVED,
        avatar::AVATAR,
        attention::ATTENTION,
        private::TOTAL,
        private::ITEM,
        card::CARD,
    ],
    account: Some(|site| Box::new(Pep::new(Account::new(site.shared())))),
    ..Extension::NONE
};

const fn spec(xep: u16, version: &'static str, title: &'static str) -> Spec {
    Spec {
        xep,
        version,
        title,
    }
}

/// What an account publishes.
type Pep = Board<Account>;
type Ask<'a> = pubsub::Ask<'a, Account>;

/// What an account has besides its nodes.
struct Account {
    /// What its devices want to hear of others.
    interests: Interests,
    pace: Pace,
    /// Of all others together: who asks much must not keep the owner from publishing.
    guests: Pace,
    /// The avatar that is shown.
    avatar: Option<avatar::Avatar>,
    chats: attention::Chats,
    /// Bytes of the private XML.
    private: u64,
}

/// What goes on when rows are read.
enum Waiting {
    Greeting(audience::Greeting),
    Storage,
    StoragePublished(Element),
    StorageNews,
    PrivateGet,
    PrivateSet,
    Card,
    CardSet(card::Submitted),
}

impl Account {
    fn new(learned: std::sync::Arc<learned::Learned>) -> Account {
        Account {
            interests: Interests::new(learned),
            pace: Pace::default(),
            guests: Pace::default(),
            avatar: None,
            chats: attention::Chats::default(),
            private: 0,
        }
    }
}

impl Face for Account {
    type View<'a> = View<'a>;
    type Own = Waiting;

    const OWNS: bool = true;
    const ACCESS: &'static [Access] = Access::ALL;
    const SEND_LAST: &'static [SendLast] = SendLast::ALL;

    /// Who lost sight of its presence is a stranger at once.
    fn standing(jid: &Jid, view: View) -> Standing {
        if view.account.is_self(jid) {
            return Standing::Owner;
        }
        if !view.account.shares_presence_with(jid) || view.hides_from(jid) {
            return Standing::Stranger;
        }
        let entry = view.account.roster.get(jid.bare_str());
        let groups = entry.map(|entry| entry.groups().map(str::to_owned).collect());
        Standing::Contact(groups.unwrap_or_default())
    }

    fn fresh(node: &str) -> Config {
        defaults::of_node(node)
    }

    fn may_create(_: &Pep, ask: &Ask) -> Result<(), StanzaError> {
        match ask.standing {
            Standing::Owner => Ok(()),
            _ => Err(ask.not_his()),
        }
    }

    fn makes_at_publication(ask: &Ask) -> bool {
        ask.standing == Standing::Owner
    }

    fn is_in_pace(&mut self, ask: &Ask, fx: &Effects) -> bool {
        let is_trusted = match fx.origin() {
            Origin::Device(device) => {
                let device = ask.view.devices.get(device);
                device.is_some_and(|it| it.trusted)
            }
            Origin::Elsewhere => false,
        };
        let settings = &ask.view.site.settings.pubsub;
        let pace = match ask.standing {
            Standing::Owner => &mut self.pace,
            _ => &mut self.guests,
        };
        is_trusted || pace.spend(fx.now, settings.burst, settings.rate)
    }

    fn may_hear(node: &Node, jid: &Jid, view: View) -> bool {
        let standing = Account::standing(jid, view);
        !view.hides_from(jid) && may_read(node, jid, &standing).is_ok()
    }

    fn tell_others(board: &Pep, node: &Node, message: &Stanza, view: View, fx: &mut Effects) {
        board.tell_audience(node, message, view, fx);
    }

    fn tell_owners(_: &Node, message: &Stanza, view: View, fx: &mut Effects) {
        let devices = view.devices.available();
        fx.deliver_each(devices, |it| message.clone().with_to(it.jid.clone()));
    }

    fn read_also(node: &str, view: View) -> Option<Query> {
        (node == vcard4::NODE).then(|| card::query(view.account.id))
    }

    /// Some nodes have other faces.
    fn changed(
        board: &mut Pep,
        node: &str,
        newest: Option<&Element>,
        found: &Found,
        view: View,
        fx: &mut Effects,
    ) {
        match (node, newest) {
            (ns::AVATAR_METADATA, newest) => board.show_avatar(newest, view, fx),
            (ns::BOOKMARKS2, _) => board.announce_storage(view, fx),
            (vcard4::NODE, Some(fresh)) => {
                board.follow_vcard4(fresh, found, view.account.id, fx);
            }
            _ => {}
        }
    }
}

impl Pep {
    /// What goes on is the account's own.
    fn resume(
        &mut self,
        waiting: Waiting,
        found: &Found,
        ask: Option<&Ask>,
        view: View,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        match (waiting, ask) {
            (Waiting::StoragePublished(it), Some(ask)) => {
                self.storage_published(&it, found, ask, fx)
            }
            (Waiting::PrivateSet, Some(ask)) => self.private_set(found, ask, fx),
            (Waiting::Card, Some(ask)) => self.card_got(found, ask, fx),
            (Waiting::CardSet(it), Some(ask)) => self.card_set(it, found, ask, fx),
            (Waiting::Storage, Some(ask)) => self.show_storage(found, ask, fx),
            (Waiting::PrivateGet, Some(ask)) => self.private_got(found, ask, fx),
            (Waiting::Greeting(greeting), _) => {
                self.greet_all(greeting, found, view, fx);
                Ok(())
            }
            (Waiting::StorageNews, _) => {
                self.tell_storage(found, view, fx);
                Ok(())
            }
            (_, None) => Err(StanzaError::new(Condition::InternalServerError)),
        }
    }

    /// Somebody's presence says what he wants; `asked`: his contacts have been asked already.
    fn hear(
        &mut self,
        who: Who,
        presence: &Stanza,
        jid: &Jid,
        asked: bool,
        view: View,
        fx: &mut Effects,
    ) {
        let own = &view.account.jid;
        match (
            self.face
                .interests
                .hear(who.clone(), presence, own, jid, fx.now),
            &who,
        ) {
            (Heard::Nothing, _) => {}
            (Heard::Wants(fresh), _) => self.welcome(&who, &fresh, asked, view, fx),
            (Heard::Ask(question), Who::Device(device)) => fx.deliver([*device], &question, None),
            (Heard::Ask(question), Who::Abroad(_)) => fx.route(question),
        }
    }
}

impl AccountRole for Pep {
    fn load(&mut self, kind: Kind, rest: &[u8], value: &[u8]) {
        match kind {
            avatar::AVATAR => self.face.avatar = avatar::Avatar::load(value),
            attention::ATTENTION => self.face.chats.load(rest, value),
            private::TOTAL => self.face.private = private::load_total(value),
            _ => self.nodes.load(kind, rest, value),
        }
    }

    fn attention(&self, chat: &str) -> Option<Attention> {
        self.face.chats.get(chat)
    }

    /// disco of nodes, not of the account.
    fn answers(&self, request: &Stanza) -> bool {
        let Some(head) = request.payload_head() else {
            return false;
        };
        if !matches!(head.ns.as_str(), ns::DISCO_INFO | ns::DISCO_ITEMS) {
            return true;
        }
        let node = request
            .payload()
            .and_then(|it| Some(it.attr("node")?.to_owned()));
        node.is_some_and(|node| self.nodes.get(&node).is_some())
    }

    fn iq(&mut self, request: &Stanza, payload: &Element, view: View, fx: &mut Effects) {
        let Some(ask) = Ask::new(request, view) else {
            return fx.refuse(request, &unavailable());
        };
        let done = match payload.ns() {
            ns::DISCO_INFO | ns::DISCO_ITEMS => self.discover(payload, &ask, fx),
            ns::VCARD => self.card(payload, &ask, fx),
            ns::PRIVATE => self.private(payload, &ask, fx),
            _ => match (Order::read(request, payload), &ask.standing) {
                (Ok(order), _) if order.node() == Some(ns::BOOKMARKS) => {
                    self.obey_storage(order, &ask, fx)
                }
                (Ok(order), _) => self.obey(order, &ask, fx),
                (Err(_), Standing::Stranger) => Err(ask.absent()),
                (Err(error), _) => Err(error),
            },
        };
        if let Err(error) = done {
            fx.refuse(request, &error);
        }
    }

    fn read_done(
        &mut self,
        step: u32,
        request: Option<&Stanza>,
        rows: Vec<Row>,
        view: View,
        fx: &mut Effects,
    ) {
        let Some((own, found)) = self.read_done(step, request, rows, view, fx) else {
            return;
        };
        let ask = request.and_then(|it| Ask::new(it, view));
        let done = self.resume(own, &found, ask.as_ref(), view, fx);
        if let (Err(error), Some(request)) = (done, request) {
            fx.refuse(request, &error);
        }
    }

    fn admit(&mut self, pass: &mut Pass, view: View, fx: &mut Effects) -> Result<(), StanzaError> {
        self.decide_on_guest(pass, view, fx)
    }

    fn stamp(&mut self, pass: &mut Pass, _: View, _: &mut Effects) {
        if pass.direction == Direction::Out {
            self.stamp_presence(pass.stanza);
        }
    }

    fn answered(&mut self, answer: &Stanza, view: View, fx: &mut Effects) {
        if let Some((who, fresh)) = self.face.interests.answered(answer) {
            self.welcome(&who, &fresh, false, view, fx);
        }
    }

    fn items(&self, asker: &Jid, view: View) -> Vec<Element> {
        self.node_items(asker, view)
    }

    fn wants(&self, device: DeviceId, _: View) -> Option<Topics> {
        self.face.interests.of(&Who::Device(device)).cloned()
    }

    fn after(&mut self, pass: &mut Pass, _: &[DeviceId], view: View, fx: &mut Effects) {
        let StanzaKind::Presence(kind) = pass.stanza.kind else {
            return;
        };
        let Some(from) = pass.stanza.from.clone() else {
            return;
        };
        if pass.direction == Direction::Out || view.account.is_self(&from) {
            return;
        }
        let is_abroad = !view.site.serves(from.domain()) && !from.is_bare();
        match (kind, pass.marks.wants.take()) {
            (PresenceType::Probe, Some(wants)) => self.answer_probe(&wants, view, fx),
            (PresenceType::Available, _)
                if is_abroad && view.account.shares_presence_with(&from) =>
            {
                let who = Who::Abroad(from.clone());
                self.hear(who, pass.stanza, &from, true, view, fx);
            }
            (PresenceType::Unavailable, _) if is_abroad => {
                self.face.interests.forget(&Who::Abroad(from));
            }
            // XEP-0163 §4.3.4: the last items for a new subscriber.
            (PresenceType::Subscribed, _) => self.ask_contact(&from, view, fx),
            _ => {}
        }
    }

    fn available(&mut self, device: DeviceId, initial: bool, view: View, fx: &mut Effects) {
        let Some(held) = view.devices.get(device) else {
            return;
        };
        let who = Who::Device(device);
        if let Some(presence) = held.presence.as_deref() {
            self.hear(who.clone(), presence, &held.jid, initial, view, fx);
        }
        if self.face.interests.of(&who).is_some() {
            fx.note(device);
        }
        if initial {
            self.announce_guests(held, fx, view);
        }
    }

    /// Other servers do not tell again who is there.
    fn is_written(&self) -> bool {
        self.face.interests.can_be_recalled()
    }

    /// After a restart of the server nothing is known of any client: the device is asked again, and
    /// told what it may have missed meanwhile.
    fn rejoined(&mut self, device: DeviceId, view: View, fx: &mut Effects) {
        let Some(held) = view.devices.get(device) else {
            return;
        };
        let who = Who::Device(device);
        if let Some(presence) = held.presence.as_deref()
            && !self.face.interests.recall(who.clone(), presence)
        {
            self.hear(who, presence, &held.jid, false, view, fx);
        }
    }

    fn unavailable(&mut self, device: DeviceId, _: &str, _: View, _: &mut Effects) {
        self.face.interests.forget(&Who::Device(device));
    }

    fn gone(&mut self, device: DeviceId, _: View, _: &mut Effects) {
        self.face.interests.forget(&Who::Device(device));
    }
}

#[cfg(test)]
mod tests;
