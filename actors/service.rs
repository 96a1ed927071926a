//! The *service* role: an extension that answers under a subdomain, such as `pubsub.example.org`,
//! from a Hub of its own. Free of actor types.
//!
//! The Hub is started by the first stanza, loads the service's rows, commits what the role writes
//! and settles receipts when that is on disk, goes when nobody needs it, and after a panic begins
//! anew from the disk: all as an account's does. Where each local part is an entity of its own, as
//! rooms are, each has its Hub and its rows.

use rookery_config::Settings;
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::jid::Jid;
use rookery_protocol::stanza::Stanza;
use rookery_protocol::xml::Element;
use smol_str::SmolStr;

use crate::effect::{Effects, Row};
use crate::keys::{AccountId, Kind};
use crate::site::Site;

/// A service that an extension is, under each domain of the server.
pub struct Service {
    /// Its host below a domain: `pubsub` for `pubsub.example.org`. Empty: there is none.
    pub host: fn(&Settings) -> &str,
    /// What it is in disco#info: category, type and name.
    pub identity: (&'static str, &'static str, &'static str),
    /// Its features in disco#info, besides those of the extensions that answer everywhere.
    pub features: &'static [&'static str],
    /// Namespaces of IQs that the role answers.
    pub namespaces: &'static [&'static str],
    /// Whether each local part is an entity of its own, with a Hub and rows: a room.
    pub has_locals: bool,
    /// Makes the state of one entity.
    pub make: fn(&Site) -> Box<dyn ServiceRole>,
}

/// A service's host on this server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Host {
    /// The whole name, prepared.
    pub name: SmolStr,
    /// The domain it is of.
    pub domain: SmolStr,
    /// Index of its extension in the list.
    pub extension: usize,
}

impl Host {
    /// The service that answers there.
    pub fn service<'a>(&self, site: &'a Site) -> Option<&'a Service> {
        site.extensions.get(self.extension)?.service.as_ref()
    }
}

/// What a service may look at.
#[derive(Clone, Copy)]
pub struct Seat<'a> {
    /// Whose its rows are.
    pub owner: AccountId,
    /// Its address: the host, or a bare JID under it.
    pub jid: &'a Jid,
    /// The domain it is of.
    pub domain: &'a str,
    pub site: &'a Site,
}

/// An extension's part in one Hub of a service. Every method may be left out.
#[allow(unused_variables, reason = "the names tell what each is for")]
pub trait ServiceRole: Send {
    /// A row of its loaded kinds, once each, before anything else; `rest` is the key behind the
    /// kind.
    fn load(&mut self, kind: Kind, rest: &[u8], value: &[u8]) {}

    /// An IQ get or set in one of its namespaces. It must reply, refuse or read.
    fn iq(&mut self, request: &Stanza, payload: &Element, seat: Seat, fx: &mut Effects) {
        fx.refuse(request, &StanzaError::new(Condition::ServiceUnavailable));
    }

    /// A result or error: perhaps the answer to an IQ that it sent. It must know its own by their
    /// ids.
    fn answered(&mut self, answer: &Stanza, seat: Seat, fx: &mut Effects) {}

    /// A message, of any type but error.
    fn message(&mut self, message: &Stanza, seat: Seat, fx: &mut Effects) {
        fx.refuse(message, &StanzaError::new(Condition::ServiceUnavailable));
    }

    /// A message that it sent came back.
    fn undelivered(&mut self, error: &Stanza, seat: Seat, fx: &mut Effects) {}

    /// A presence.
    fn presence(&mut self, presence: &Stanza, seat: Seat, fx: &mut Effects) {}

    /// What `fx.read` asked for; `request` is the IQ that waited.
    fn read_done(
        &mut self,
        step: u32,
        request: Option<&Stanza>,
        rows: Vec<Row>,
        seat: Seat,
        fx: &mut Effects,
    ) {
    }

    /// The disk did not give what `fx.read_first` or `fx.read_aside` asked for.
    fn unread(&mut self, step: u32, seat: Seat, fx: &mut Effects) {}

    /// What `fx.wake` asked for, perhaps of a predecessor that panicked.
    fn woken(&mut self, seat: Seat, fx: &mut Effects) {}

    /// The account of this bare JID was removed: whoever has that name next is somebody else.
    fn removed(&mut self, account: &Jid, seat: Seat, fx: &mut Effects) {}
}
