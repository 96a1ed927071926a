//! Publish-subscribe (XEP-0060): nodes, what is published to them, who may, and who hears of it.
//!
//! One engine and one store with two faces: every account has nodes of its own (`pep`), and so has
//! the service at `pubsub.DOMAIN` ([`service`]), where all users of the server may make some. A
//! [`Board`] does what both do; a [`Face`] says where they differ: who may make nodes and how these
//! are configured at first, and who is told without having subscribed.

pub mod access;
pub mod circle;
pub mod config;
pub mod forwarding;
pub mod node;
pub mod notify;
pub mod order;
pub mod owner;
pub mod pace;
mod paging;
pub mod people;
pub mod problem;
pub mod publish;
pub mod retrieve;
pub mod service;
pub mod shelf;
pub mod subscribe;
mod value;

use rookery_actors::effect::{Effects, Query, Row};
use rookery_actors::extension::View;
use rookery_actors::keys::AccountId;
use rookery_actors::service::Seat;
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::jid::Jid;
use rookery_protocol::stanza::Stanza;
use rookery_protocol::xml::Element;

use self::access::Standing;
use self::config::{Access, Choices, Config, SendLast};
use self::node::{Node, Nodes};
use self::order::Order;
use self::shelf::Found;
use super::request::unavailable;

/// What a board may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Nodes.
    pub nodes: usize,
    /// Items of one node; what `max` stands for.
    pub items: u32,
    /// Bytes of one item.
    pub item: usize,
    /// Bytes of the items of one node: what one request may have to read.
    pub of_node: u64,
    /// Bytes of all items.
    pub total: u64,
    /// Subscriptions to one node, and affiliations with it.
    pub people: usize,
}

/// Where a board is, as far as both faces have it.
pub trait Venue: Copy {
    /// Whose its rows are.
    fn owner(&self) -> AccountId;
    /// The address that events come from.
    fn jid(&self) -> &Jid;
    /// What the board may hold.
    fn limits(&self) -> Limits;

    /// Whether `jid` (bare or full) is the board's own address.
    fn is_self(&self, jid: &Jid) -> bool {
        jid.bare_str() == self.jid().as_str()
    }
}

impl Venue for View<'_> {
    fn owner(&self) -> AccountId {
        self.account.id
    }

    fn jid(&self) -> &Jid {
        &self.account.jid
    }

    fn limits(&self) -> Limits {
        let settings = &self.site.settings.pubsub;
        Limits {
            nodes: settings.nodes,
            items: settings.items,
            item: settings.item.get(),
            of_node: settings.total.as_u64(),
            total: settings.total.as_u64(),
            people: settings.people,
        }
    }
}

impl Venue for Seat<'_> {
    fn owner(&self) -> AccountId {
        self.owner
    }

    fn jid(&self) -> &Jid {
        self.jid
    }

    fn limits(&self) -> Limits {
        let settings = &self.site.settings.pubsub;
        Limits {
            nodes: settings.service.nodes,
            items: settings.items,
            item: settings.item.get(),
            of_node: settings.total.as_u64(),
            total: settings.service.total.as_u64(),
            people: settings.people,
        }
    }
}

/// Where the nodes of an account and those of the service differ.
#[allow(unused_variables, reason = "the names tell what each is for")]
pub trait Face: Send + Sized + 'static {
    /// What it may look at.
    type View<'a>: Venue;
    /// What of its own goes on when rows are read.
    type Own: Send;

    /// Whether the board's own address owns its nodes.
    const OWNS: bool;
    /// The access models that a node may have.
    const ACCESS: &'static [Access];
    /// When the last item may be sent.
    const SEND_LAST: &'static [SendLast];

    /// What `jid` (bare or full) is to the board now.
    fn standing(jid: &Jid, view: Self::View<'_>) -> Standing;

    /// How a new node of this name is configured; no name: any.
    fn fresh(node: &str) -> Config;

    /// Whether the asker may make a node.
    fn may_create(board: &Board<Self>, ask: &Ask<Self>) -> Result<(), StanzaError>;

    /// Whether a node is made by who publishes to it (§7.1.4).
    fn makes_at_publication(ask: &Ask<Self>) -> bool;

    /// Whether the asker may do now what others are told of, or does so too fast.
    fn is_in_pace(&mut self, ask: &Ask<Self>, fx: &Effects) -> bool;

    /// Whether `jid` may be told of this node now.
    fn may_hear(node: &Node, jid: &Jid, view: Self::View<'_>) -> bool {
        access::may_read(node, jid, &Self::standing(jid, view)).is_ok()
    }

    /// Tells those who hear of this node without having subscribed.
    fn tell_others(
        board: &Board<Self>,
        node: &Node,
        message: &Stanza,
        view: Self::View<'_>,
        fx: &mut Effects,
    ) {
    }

    /// Tells the owners of the node: `message` has no `to` yet.
    fn tell_owners(node: &Node, message: &Stanza, view: Self::View<'_>, fx: &mut Effects);

    /// What else must be read for a publication to this node.
    fn read_also(node: &str, view: Self::View<'_>) -> Option<Query> {
        None
    }

    /// A node changed; `newest`: what was published, if something was.
    fn changed(
        board: &mut Board<Self>,
        node: &str,
        newest: Option<&Element>,
        found: &Found,
        view: Self::View<'_>,
        fx: &mut Effects,
    ) {
    }
}

/// What a node may be configured to be there.
pub fn choices<F: Face>(view: F::View<'_>) -> Choices {
    let limits = view.limits();
    Choices {
        access: F::ACCESS,
        send_last: F::SEND_LAST,
        items: limits.items,
        payload: limits.item as u32,
    }
}

/// A request, and who sent it.
pub struct Ask<'a, F: Face> {
    pub request: &'a Stanza,
    pub from: &'a Jid,
    pub standing: Standing,
    pub view: F::View<'a>,
}

impl<'a, F: Face> Ask<'a, F> {
    /// Who asks; `None`: nobody does.
    pub fn new(request: &'a Stanza, view: F::View<'a>) -> Option<Ask<'a, F>> {
        let from = request.from.as_ref()?;
        Some(Ask {
            request,
            from,
            standing: F::standing(from, view),
            view,
        })
    }

    /// What is said of a node that is not there: to strangers the same as of an account that is
    /// not there (attacks P04).
    pub fn absent(&self) -> StanzaError {
        match self.standing {
            Standing::Stranger => unavailable(),
            _ => problem::not_found(),
        }
    }

    /// The same to who wants to change it: a contact hears that all nodes are the owner's
    /// (attacks U02).
    pub fn not_his(&self) -> StanzaError {
        match self.standing {
            Standing::Contact(_) => problem::forbidden(),
            _ => self.absent(),
        }
    }
}

/// What goes on when rows are read.
pub enum Waiting<O> {
    Publication(publish::Publication),
    Retraction(publish::Retraction),
    Anchor(retrieve::Selection),
    Selection(retrieve::Selection),
    Listing { node: String },
    Shrinking { node: String },
    Greeting(notify::Greeting),
    Own(O),
}

/// Nodes, and what is asked of them.
pub struct Board<F: Face> {
    pub nodes: Nodes,
    pub face: F,
    waiting: Vec<(u32, Waiting<F::Own>)>,
    step: u32,
}

impl<F: Face> Board<F> {
    /// A board without nodes.
    pub fn new(face: F) -> Board<F> {
        Board {
            nodes: Nodes::default(),
            face,
            waiting: Vec::new(),
            step: 0,
        }
    }

    /// Goes on with `own` when these rows are there; `request` is answered then.
    pub fn wait_own(
        &mut self,
        own: F::Own,
        request: Option<&Stanza>,
        queries: Vec<Query>,
        fx: &mut Effects,
    ) {
        self.wait(Waiting::Own(own), request, queries, fx);
    }

    fn wait(
        &mut self,
        waiting: Waiting<F::Own>,
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

    /// What is said of a node that is not there: where it is now, to whoever may know of it.
    fn missing(&self, node: &str, ask: &Ask<F>) -> StanzaError {
        let moved = self.nodes.moved(node);
        match moved.filter(|_| ask.standing != Standing::Stranger) {
            Some(uri) => problem::moved(uri),
            None => ask.absent(),
        }
    }

    /// Does what is asked for.
    pub fn obey(
        &mut self,
        order: Order,
        ask: &Ask<F>,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        if let Some(node) = order.node() {
            self.lapse(node, ask.view, fx);
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
            Order::Delete { node, redirect } => self.delete(&node, redirect, ask, fx),
            Order::Purge { node } => self.purge(&node, ask, fx),
            Order::Affiliates { node } => self.affiliates(&node, ask, fx),
            Order::SetAffiliates { node, changes } => self.affiliate(&node, changes, ask, fx),
            other => self.about_subscriptions(other, ask, fx),
        }
    }

    /// The rows are there: goes on, or says what of the face's own does.
    pub fn read_done<'a>(
        &mut self,
        step: u32,
        request: Option<&'a Stanza>,
        rows: Vec<Row>,
        view: F::View<'a>,
        fx: &mut Effects,
    ) -> Option<(F::Own, Found)> {
        let waiting = self.waiting.iter().position(|(it, _)| *it == step);
        let waiting = waiting.map(|at| self.waiting.swap_remove(at).1);
        let found = Found::of(rows);
        let ask = request.and_then(|it| Ask::new(it, view));
        let done = match (waiting, ask) {
            (Some(Waiting::Own(own)), _) => return Some((own, found)),
            (Some(waiting), Some(ask)) => self.go_on(waiting, &found, &ask, fx),
            (Some(Waiting::Greeting(greeting)), None) => {
                self.greet(greeting, &found, view, fx);
                Ok(())
            }
            // The board was loaded again meanwhile.
            _ => Err(StanzaError::new(Condition::InternalServerError)),
        };
        if let (Err(error), Some(request)) = (done, request) {
            fx.refuse(request, &error);
        }
        None
    }

    /// The rows that a request waited for are there.
    fn go_on(
        &mut self,
        waiting: Waiting<F::Own>,
        found: &Found,
        ask: &Ask<F>,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        match waiting {
            Waiting::Publication(it) => self.published(it, found, ask, fx),
            Waiting::Retraction(it) => self.retracted(it, found, ask, fx),
            Waiting::Anchor(it) => self.anchored(it, found, ask, fx),
            Waiting::Selection(it) => self.selected(it, found, ask, fx),
            Waiting::Listing { node } => self.listed(&node, found, ask, fx),
            Waiting::Shrinking { node } => self.shrunk(&node, found, ask, fx),
            Waiting::Greeting(_) | Waiting::Own(_) => Ok(()),
        }
    }
}
