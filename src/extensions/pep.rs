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

mod access;
mod attention;
mod avatar;
mod bookmarks;
mod card;
mod config;
mod defaults;
mod interests;
mod learned;
mod node;
mod notify;
mod order;
mod owner;
mod pace;
mod paging;
mod private;
mod problem;
mod publish;
mod retrieve;
mod shelf;
mod subscribe;
mod vcard4;

use rookery_actors::effect::{Effects, Query, Row};
use rookery_actors::extension::{AccountRole, Attention, Direction, Extension, Pass, Spec, View};
use rookery_actors::hub::devices::DeviceId;
use rookery_actors::keys::Kind;
use rookery_actors::topic::Topics;
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::{Kind as StanzaKind, PresenceType, Stanza};
use rookery_protocol::xml::Element;

use self::access::Standing;
use self::interests::{Heard, Interests, Who};
use self::node::Nodes;
use self::shelf::Found;
use self::{order::Order, pace::Pace};
use super::request::{bad_request, unavailable};

/// The extension.
pub const PEP: Extension = Extension {
    name: "pep",
    specs: &[
        spec(48, "1.2", "Bookmarks"),
        spec(49, "1.2", "Private XML Storage"),
        spec(54, "1.3.0", "vcard-temp"),
        spec(60, "1.30.0", "Publish-Subscribe"),
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
        avatar::AVATAR,
        attention::ATTENTION,
        private::TOTAL,
        private::ITEM,
        card::CARD,
    ],
    account: Some(|site| Box::new(Pep::new(site.shared()))),
    ..Extension::NONE
};

const fn spec(xep: u16, version: &'static str, title: &'static str) -> Spec {
    Spec {
        xep,
        version,
        title,
    }
}

/// XEP-0060 §10, and what is kept for old clients.
const FEATURES: &[&str] = &[
    ns::PRIVATE,
    ns::VCARD,
    "urn:xmpp:bookmarks:1#compat",
    "urn:xmpp:bookmarks:1#compat-pep",
    "urn:xmpp:pep-vcard-conversion:0",
    ns::PUBSUB,
    "http://jabber.org/protocol/pubsub#access-authorize",
    "http://jabber.org/protocol/pubsub#access-open",
    "http://jabber.org/protocol/pubsub#access-presence",
    "http://jabber.org/protocol/pubsub#access-roster",
    "http://jabber.org/protocol/pubsub#access-whitelist",
    "http://jabber.org/protocol/pubsub#auto-create",
    "http://jabber.org/protocol/pubsub#auto-subscribe",
    "http://jabber.org/protocol/pubsub#config-node",
    "http://jabber.org/protocol/pubsub#config-node-max",
    "http://jabber.org/protocol/pubsub#create-and-configure",
    "http://jabber.org/protocol/pubsub#create-nodes",
    "http://jabber.org/protocol/pubsub#delete-items",
    "http://jabber.org/protocol/pubsub#delete-nodes",
    "http://jabber.org/protocol/pubsub#filtered-notifications",
    "http://jabber.org/protocol/pubsub#instant-nodes",
    "http://jabber.org/protocol/pubsub#item-ids",
    "http://jabber.org/protocol/pubsub#last-published",
    "http://jabber.org/protocol/pubsub#manage-subscriptions",
    "http://jabber.org/protocol/pubsub#member-affiliation",
    "http://jabber.org/protocol/pubsub#meta-data",
    "http://jabber.org/protocol/pubsub#modify-affiliations",
    "http://jabber.org/protocol/pubsub#multi-items",
    "http://jabber.org/protocol/pubsub#outcast-affiliation",
    "http://jabber.org/protocol/pubsub#persistent-items",
    "http://jabber.org/protocol/pubsub#presence-notifications",
    "http://jabber.org/protocol/pubsub#presence-subscribe",
    "http://jabber.org/protocol/pubsub#publish",
    "http://jabber.org/protocol/pubsub#publish-only-affiliation",
    "http://jabber.org/protocol/pubsub#publish-options",
    "http://jabber.org/protocol/pubsub#publisher-affiliation",
    "http://jabber.org/protocol/pubsub#pubsub-on-a-jid",
    "http://jabber.org/protocol/pubsub#purge-nodes",
    "http://jabber.org/protocol/pubsub#retract-items",
    "http://jabber.org/protocol/pubsub#retrieve-affiliations",
    "http://jabber.org/protocol/pubsub#retrieve-default",
    "http://jabber.org/protocol/pubsub#retrieve-default-sub",
    "http://jabber.org/protocol/pubsub#retrieve-items",
    "http://jabber.org/protocol/pubsub#retrieve-subscriptions",
    "http://jabber.org/protocol/pubsub#rsm",
    "http://jabber.org/protocol/pubsub#subscribe",
    "http://jabber.org/protocol/pubsub#subscription-options",
];

/// What an account publishes, and what its devices want to hear of others.
struct Pep {
    nodes: Nodes,
    interests: Interests,
    pace: Pace,
    /// The avatar that is shown.
    avatar: Option<avatar::Avatar>,
    chats: attention::Chats,
    /// Bytes of the private XML.
    private: u64,
    /// What goes on when rows are read: each with its step.
    waiting: Vec<(u32, Waiting)>,
    step: u32,
}

/// What goes on when rows are read.
enum Waiting {
    Publication(publish::Publication),
    Retraction(publish::Retraction),
    Anchor(retrieve::Selection),
    Selection(retrieve::Selection),
    Listing { node: String },
    Shrinking { node: String },
    Greeting(notify::Greeting),
    Storage,
    StoragePublished(Element),
    StorageNews,
    PrivateGet,
    PrivateSet,
    Card,
    CardSet(card::Submitted),
}

/// A request, and who sent it.
struct Ask<'a> {
    request: &'a Stanza,
    from: &'a Jid,
    standing: Standing,
    view: View<'a>,
}

impl<'a> Ask<'a> {
    fn new(request: &'a Stanza, view: View<'a>) -> Option<Ask<'a>> {
        let from = request.from.as_ref()?;
        Some(Ask {
            request,
            from,
            standing: Standing::of(from, view),
            view,
        })
    }

    /// What is said of a node that is not there: to strangers the same as of an account that is
    /// not there (attacks P04).
    fn absent(&self) -> StanzaError {
        match self.standing {
            Standing::Stranger => unavailable(),
            _ => problem::not_found(),
        }
    }
}

impl Pep {
    fn new(learned: std::sync::Arc<learned::Learned>) -> Pep {
        Pep {
            nodes: Nodes::default(),
            interests: Interests::new(learned),
            pace: Pace::default(),
            avatar: None,
            chats: attention::Chats::default(),
            private: 0,
            waiting: Vec::new(),
            step: 0,
        }
    }

    /// Goes on with `waiting` when these rows are there; `request` is answered then.
    fn wait(
        &mut self,
        waiting: Waiting,
        request: Option<&Stanza>,
        queries: Vec<Query>,
        fx: &mut Effects,
    ) {
        self.step = self.step.wrapping_add(1);
        self.waiting.push((self.step, waiting));
        match request {
            Some(request) => fx.read(request, self.step, queries),
            None => fx.read_aside(self.step, queries),
        }
    }

    fn obey(&mut self, order: Order, ask: &Ask, fx: &mut Effects) -> Result<(), StanzaError> {
        if order.node() == Some(ns::BOOKMARKS) {
            return self.obey_storage(order, ask, fx);
        }
        match order {
            Order::Items {
                node,
                ids,
                recent,
                page,
            } => self.items(node, ids, recent, page, ask, fx),
            Order::Publish {
                node,
                item,
                options,
            } => self.publish(node, item, options, ask, fx),
            Order::Retract { node, ids, notify } => self.retract(node, ids, notify, ask, fx),
            Order::Create { node, form } => self.create(node, form, ask, fx),
            Order::Configuration { node } => self.configuration(&node, ask, fx),
            Order::Configure { node, form } => self.configure(node, form, ask, fx),
            Order::DefaultConfiguration => self.default_configuration(ask, fx),
            Order::Delete { node } => self.delete(&node, ask, fx),
            Order::Purge { node } => self.purge(&node, ask, fx),
            Order::Affiliates { node } => self.affiliates(&node, ask, fx),
            Order::SetAffiliates { node, changes } => self.affiliate(&node, changes, ask, fx),
            other => self.about_subscriptions(other, ask, fx),
        }
    }

    /// The rows that a request waited for are there.
    fn go_on(
        &mut self,
        waiting: Waiting,
        found: &Found,
        ask: &Ask,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        match waiting {
            Waiting::Publication(it) => self.published(it, found, ask, fx),
            Waiting::Retraction(it) => self.retracted(it, found, ask, fx),
            Waiting::Anchor(it) => self.anchored(it, found, ask, fx),
            Waiting::Selection(it) => self.selected(it, found, ask, fx),
            Waiting::Listing { node } => self.listed(&node, found, ask, fx),
            Waiting::StoragePublished(it) => self.storage_published(&it, found, ask, fx),
            Waiting::PrivateSet => self.private_set(found, ask, fx),
            Waiting::Card => self.card_got(found, ask, fx),
            Waiting::CardSet(it) => self.card_set(it, found, ask, fx),
            Waiting::Shrinking { node } => self.shrunk(&node, found, ask, fx),
            Waiting::Storage => self.show_storage(found, ask, fx),
            Waiting::PrivateGet => self.private_got(found, ask, fx),
            Waiting::Greeting(_) | Waiting::StorageNews => Ok(()),
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
            self.interests.hear(who.clone(), presence, own, jid, fx.now),
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
            avatar::AVATAR => self.avatar = avatar::Avatar::load(value),
            attention::ATTENTION => self.chats.load(rest, value),
            private::TOTAL => self.private = private::load_total(value),
            _ => self.nodes.load(kind, rest, value),
        }
    }

    fn attention(&self, chat: &str) -> Option<Attention> {
        self.chats.get(chat)
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
        let waiting = self.waiting.iter().position(|(it, _)| *it == step);
        let waiting = waiting.map(|at| self.waiting.swap_remove(at).1);
        let found = Found::of(rows);
        let ask = request.and_then(|it| Ask::new(it, view));
        let done = match (waiting, ask) {
            (Some(waiting), Some(ask)) => self.go_on(waiting, &found, &ask, fx),
            (Some(Waiting::Greeting(greeting)), None) => {
                self.greet(greeting, &found, view, fx);
                Ok(())
            }
            (Some(Waiting::StorageNews), None) => {
                self.tell_storage(&found, view, fx);
                Ok(())
            }
            // The account was loaded again meanwhile.
            _ => Err(StanzaError::new(Condition::InternalServerError)),
        };
        if let (Err(error), Some(request)) = (done, request) {
            fx.refuse(request, &error);
        }
    }

    fn stamp(&mut self, pass: &mut Pass, _: View, _: &mut Effects) {
        if pass.direction == Direction::Out {
            self.stamp_presence(pass.stanza);
        }
    }

    fn answered(&mut self, answer: &Stanza, view: View, fx: &mut Effects) {
        if let Some((who, fresh)) = self.interests.answered(answer) {
            self.welcome(&who, &fresh, false, view, fx);
        }
    }

    fn items(&self, asker: &Jid, view: View) -> Vec<Element> {
        self.node_items(asker, view)
    }

    fn wants(&self, device: DeviceId, _: View) -> Option<Topics> {
        self.interests.of(&Who::Device(device)).cloned()
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
                self.interests.forget(&Who::Abroad(from));
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
        if self.interests.of(&who).is_some() {
            fx.note(device);
        }
    }

    /// After a restart of the server nothing is known of any client: the device is asked again, and
    /// told what it may have missed meanwhile.
    fn rejoined(&mut self, device: DeviceId, view: View, fx: &mut Effects) {
        let Some(held) = view.devices.get(device) else {
            return;
        };
        let who = Who::Device(device);
        if let Some(presence) = held.presence.as_deref()
            && !self.interests.recall(who.clone(), presence)
        {
            self.hear(who, presence, &held.jid, false, view, fx);
        }
    }

    fn unavailable(&mut self, device: DeviceId, _: &str, _: View, _: &mut Effects) {
        self.interests.forget(&Who::Device(device));
    }

    fn gone(&mut self, device: DeviceId, _: View, _: &mut Effects) {
        self.interests.forget(&Who::Device(device));
    }
}

/// What is asked for is neither more nor less than one thing.
fn one_word(payload: &Element) -> Result<(), StanzaError> {
    match payload.name() {
        "query" => Ok(()),
        _ => Err(bad_request()),
    }
}

#[cfg(test)]
mod tests;
