//! The publish-subscribe service at `pubsub.DOMAIN` (XEP-0060): nodes that belong to no account.
//! The users of this server make them, and whoever may can subscribe. The administrators of a
//! domain own all nodes of its service.

mod audience;
mod pending;

use rookery_actors::effect::{Effects, Row};
use rookery_actors::extension::{Extension, Spec};
use rookery_actors::keys::Kind;
use rookery_actors::service::{Seat, Service, ServiceRole};
use rookery_protocol::error::StanzaError;
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::Stanza;
use rookery_protocol::xml::Element;

use self::audience::Present;
use super::access::{Standing, may_read};
use super::circle::Affiliation;
use super::config::{Access, Config, Details, Reply, SendLast};
use super::node::Node;
use super::order::Order;
use super::pace::Paces;
use super::problem::{forbidden, full};
use super::retrieve::{LISTED, listing};
use super::{Ask, Board, Face};
use crate::extensions::disco::{self, item};
use crate::extensions::request::{gets, unavailable};

/// The extension.
pub const PUBSUB: Extension = Extension {
    name: "pubsub",
    specs: &[Spec {
        xep: 60,
        version: "1.30.0",
        title: "Publish-Subscribe",
    }],
    service: Some(Service {
        host: |settings| &settings.pubsub.service.host,
        identity: ("pubsub", "service", "Publish-Subscribe"),
        features: FEATURES,
        namespaces: &[
            ns::PUBSUB,
            ns::PUBSUB_OWNER,
            ns::DISCO_INFO,
            ns::DISCO_ITEMS,
            ns::ADHOC,
        ],
        has_locals: false,
        make: |_| Box::new(Board::new(Commons::default())),
    }),
    ..Extension::NONE
};

/// XEP-0060 §10.
const FEATURES: &[&str] = &[
    ns::PUBSUB,
    "http://jabber.org/protocol/pubsub#access-authorize",
    "http://jabber.org/protocol/pubsub#access-open",
    "http://jabber.org/protocol/pubsub#access-whitelist",
    "http://jabber.org/protocol/pubsub#config-node",
    "http://jabber.org/protocol/pubsub#config-node-max",
    "http://jabber.org/protocol/pubsub#create-and-configure",
    "http://jabber.org/protocol/pubsub#create-nodes",
    "http://jabber.org/protocol/pubsub#delete-items",
    "http://jabber.org/protocol/pubsub#delete-nodes",
    pending::COMMAND,
    "http://jabber.org/protocol/pubsub#instant-nodes",
    "http://jabber.org/protocol/pubsub#item-ids",
    "http://jabber.org/protocol/pubsub#last-published",
    "http://jabber.org/protocol/pubsub#leased-subscription",
    "http://jabber.org/protocol/pubsub#manage-subscriptions",
    "http://jabber.org/protocol/pubsub#member-affiliation",
    "http://jabber.org/protocol/pubsub#meta-data",
    "http://jabber.org/protocol/pubsub#modify-affiliations",
    "http://jabber.org/protocol/pubsub#multi-items",
    "http://jabber.org/protocol/pubsub#outcast-affiliation",
    "http://jabber.org/protocol/pubsub#persistent-items",
    "http://jabber.org/protocol/pubsub#publish",
    "http://jabber.org/protocol/pubsub#publish-node-full",
    "http://jabber.org/protocol/pubsub#publish-only-affiliation",
    "http://jabber.org/protocol/pubsub#publish-options",
    "http://jabber.org/protocol/pubsub#publisher-affiliation",
    "http://jabber.org/protocol/pubsub#purge-nodes",
    "http://jabber.org/protocol/pubsub#retract-items",
    "http://jabber.org/protocol/pubsub#retrieve-affiliations",
    "http://jabber.org/protocol/pubsub#retrieve-default",
    "http://jabber.org/protocol/pubsub#retrieve-default-sub",
    "http://jabber.org/protocol/pubsub#retrieve-items",
    "http://jabber.org/protocol/pubsub#retrieve-subscriptions",
    "http://jabber.org/protocol/pubsub#rsm",
    "http://jabber.org/protocol/pubsub#subscribe",
    "http://jabber.org/protocol/pubsub#subscription-notifications",
    "http://jabber.org/protocol/pubsub#subscription-options",
    ns::RSM,
    ns::ADHOC,
];

/// Items of a new node, unless its owner wants another number.
const ITEMS: u32 = 20;

/// What the service has besides its nodes.
#[derive(Default)]
struct Commons {
    paces: Paces,
    present: Present,
    /// How often somebody may come and hear the last items.
    arrivals: Paces,
}

/// Nothing of the service's own goes on when rows are read.
enum Nothing {}

impl Face for Commons {
    type View<'a> = Seat<'a>;
    type Own = Nothing;

    const OWNS: bool = false;
    /// The service sees nobody's presence but what is sent to it, and has no roster.
    const ACCESS: &'static [Access] = &[Access::Open, Access::Authorize, Access::Whitelist];
    const SEND_LAST: &'static [SendLast] = SendLast::ALL;

    fn standing(jid: &Jid, seat: Seat) -> Standing {
        match seat.site.is_admin(jid, seat.domain) {
            true => Standing::Owner,
            false => Standing::Guest,
        }
    }

    fn fresh(_: &str) -> Config {
        Config {
            access: Access::Open,
            // §4.3: what `last-published` promises.
            send_last: SendLast::OnSubAndPresence,
            max_items: ITEMS,
            notify_delete: true,
            details: Details {
                reply: Reply::Publisher,
                ..Details::default()
            },
            ..Config::default()
        }
    }

    /// Users of this server, each so many.
    fn may_create(board: &Board<Commons>, ask: &Ask<Commons>) -> Result<(), StanzaError> {
        let site = ask.view.site;
        if ask.from.local().is_none() || !site.serves(ask.from.domain()) {
            return Err(forbidden());
        }
        let own = |node: &&Node| node.creator == ask.from.bare_str();
        match board.nodes.iter().filter(own).count() < site.settings.pubsub.service.own {
            true => Ok(()),
            false => Err(full()),
        }
    }

    /// §7.1.4 leaves that to the service: a slip in a name would be a node.
    fn makes_at_publication(_: &Ask<Commons>) -> bool {
        false
    }

    fn is_in_pace(&mut self, ask: &Ask<Commons>, fx: &Effects) -> bool {
        let settings = &ask.view.site.settings.pubsub;
        let who = ask.from.bare_str();
        self.paces.spend(who, fx.now, settings.burst, settings.rate)
    }

    fn tell_owners(node: &Node, message: &Stanza, _: Seat, fx: &mut Effects) {
        let owners = node.people().all_who_are(Affiliation::Owner);
        for owner in owners.filter_map(|jid| Jid::parse(jid).ok()) {
            fx.route(message.clone().with_to(owner));
        }
    }
}

impl Board<Commons> {
    /// disco of the service, or of a node.
    fn disco(
        &mut self,
        payload: &Element,
        ask: &Ask<Commons>,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        if !gets(ask.request, payload, "query") {
            return Err(unavailable());
        }
        let seat = ask.view;
        match payload.attr("node") {
            None => {}
            // XEP-0050 §3.1.
            Some(ns::ADHOC) if payload.ns() == ns::DISCO_ITEMS => {
                let name = "Requests to subscribe";
                let command = item(seat.jid.as_str(), pending::COMMAND, name);
                let answer = Element::new(ns::DISCO_ITEMS, "query")
                    .with_attr("node", ns::ADHOC)
                    .with_child(command);
                fx.result(ask.request, Some(answer));
                return Ok(());
            }
            Some(_) => return self.discover(payload, ask, fx),
        }
        if payload.ns() == ns::DISCO_INFO {
            let host = seat.site.host(seat.jid.domain());
            let info = host.and_then(|host| disco::service_info(host, seat.site));
            fx.result(ask.request, Some(info.ok_or_else(unavailable)?));
            return Ok(());
        }
        // §5.2: whoever may not read a node need not know of it.
        let own = seat.jid.as_str();
        let readable = |node: &&Node| may_read(node, ask.from, &ask.standing).is_ok();
        let nodes: Vec<&Node> = self.nodes.iter().filter(readable).collect();
        let (nodes, set) = listing(payload, &nodes, |it| it.name.as_str(), LISTED)?;
        let nodes = nodes.iter().map(|it| item(own, &it.name, &it.config.title));
        let answer = Element::new(ns::DISCO_ITEMS, "query")
            .with_children(nodes)
            .with_children(set);
        fx.result(ask.request, Some(answer));
        Ok(())
    }
}

impl ServiceRole for Board<Commons> {
    fn load(&mut self, kind: Kind, rest: &[u8], value: &[u8]) {
        self.nodes.load(kind, rest, value);
    }

    fn iq(&mut self, request: &Stanza, payload: &Element, seat: Seat, fx: &mut Effects) {
        let Some(ask) = Ask::new(request, seat) else {
            return fx.refuse(request, &unavailable());
        };
        let done = match payload.ns() {
            ns::DISCO_INFO | ns::DISCO_ITEMS => self.disco(payload, &ask, fx),
            ns::ADHOC => self.command(payload, &ask, fx),
            _ => {
                let order = Order::read(request, payload);
                order.and_then(|order| self.obey(order, &ask, fx))
            }
        };
        if let Err(error) = done {
            fx.refuse(request, &error);
        }
    }

    fn message(&mut self, message: &Stanza, seat: Seat, fx: &mut Effects) {
        if let Err(error) = self.answer_of_owner(message, seat, fx) {
            fx.refuse(message, &error);
        }
    }

    fn read_done(
        &mut self,
        step: u32,
        request: Option<&Stanza>,
        rows: Vec<Row>,
        seat: Seat,
        fx: &mut Effects,
    ) {
        Board::read_done(self, step, request, rows, seat, fx);
    }

    fn undelivered(&mut self, error: &Stanza, seat: Seat, fx: &mut Effects) {
        self.came_back(error, seat, fx);
    }

    fn presence(&mut self, presence: &Stanza, seat: Seat, fx: &mut Effects) {
        self.meet(presence, seat, fx);
    }

    fn removed(&mut self, account: &Jid, seat: Seat, fx: &mut Effects) {
        self.face.present.forget(account);
        self.forget(account, seat, fx);
    }
}

#[cfg(test)]
mod tests;
