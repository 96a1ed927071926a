//! What an extension is to the engine: a `const` descriptor and a small type per role. Free of
//! actor types.
//!
//! The engine asks the descriptor, never the name. A message or presence passes six named phases,
//! in each of them the extensions in the order of the list: **admit** (may refuse), **stamp** (may
//! mark), **keep** (may add rows), **copy** (may add deliveries), **deliver** (the engine's own:
//! RFC 6121 §8), **after** (may notify). They run once outgoing in the sender's Hub (without
//! deliver and after) and once incoming in the recipient's.
//!
//! Extensions never see each other and know no actor. Bounded state is loaded with the Hub; then
//! memory is the truth and changes are written through. A phase uses only that. An IQ that must
//! read more asks [`Effects::read`] and goes on in `read_done`.

use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::jid::Jid;
use rookery_protocol::stanza::Stanza;
use rookery_protocol::xml::Element;
use smol_str::SmolStr;

use crate::admin::{Command, Outcome};
use crate::clients::ClientKey;
use crate::components::Component;
use crate::effect::{Effects, Marks, Origin, Query, Row};
use crate::hub::account::Account;
use crate::hub::devices::{Device, DeviceId, Devices};
use crate::keys::Kind;
use crate::service::Service;
use crate::site::Site;
use crate::topic::Topics;

/// The list that `Server::start` hands to the engine; its order is the order in which extensions
/// see a stanza.
pub type List = &'static [&'static Extension];

/// One specification that an extension obeys.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// The XEP's number.
    pub xep: u16,
    /// The version that was read.
    pub version: &'static str,
    /// Its title.
    pub title: &'static str,
}

/// Makes an extension's state of one account.
pub type MakeRole = fn(&Site) -> Box<dyn AccountRole>;

/// Answers an IQ for an account that does not exist: the request and its payload. It must reply or
/// refuse.
pub type Absent = fn(&Stanza, &Element, &mut Effects);

/// An extension: what it says of itself, and its roles.
pub struct Extension {
    /// What it does, in one word; names it in settings, logs and the table of XEPs.
    pub name: &'static str,
    pub specs: &'static [Spec],
    /// Identities in disco#info of the server's domains: category and type.
    pub server_identities: &'static [(&'static str, &'static str)],
    /// Identities in disco#info of an account: category and type.
    pub account_identities: &'static [(&'static str, &'static str)],
    /// Features in disco#info of the server's domains.
    pub server_features: &'static [&'static str],
    /// Features in disco#info of an account.
    pub account_features: &'static [&'static str],
    /// What a device may ask for while it binds (XEP-0386 §4.1); `account` is asked for it by
    /// [`AccountRole::bind`].
    pub bind_features: &'static [&'static str],
    /// Namespaces of elements that devices send beside their stanzas; `account` hears them by
    /// [`AccountRole::said`].
    pub nonzas: &'static [&'static str],
    /// Namespaces of IQs to a domain of the server that `domain` answers.
    pub domain_namespaces: &'static [&'static str],
    /// Namespaces of IQs to a [service](crate::service) that `domain` answers as for the server
    /// itself; they are features there.
    pub service_namespaces: &'static [&'static str],
    /// Namespaces of IQs to a bare JID that `account` answers.
    pub account_namespaces: &'static [&'static str],
    /// Kinds of rows that are this extension's, in `Tree::Account`.
    pub kinds: &'static [Kind],
    /// Makes the state of one account.
    pub account: Option<MakeRole>,
    /// Answers an IQ in `account_namespaces` to an account that does not exist, where that is not
    /// `service-unavailable`. It must be just what `account` answers a stranger.
    pub absent: Option<Absent>,
    /// Answers for the server.
    pub domain: Option<&'static dyn DomainRole>,
    /// Answers under a subdomain, from Hubs of its own.
    pub service: Option<Service>,
    /// Speaks on client streams before login.
    pub stream: Option<&'static dyn StreamRole>,
}

impl Extension {
    /// An extension that does nothing yet: the base of a descriptor (`..Extension::NONE`).
    pub const NONE: Extension = Extension {
        name: "",
        specs: &[],
        server_identities: &[],
        account_identities: &[],
        server_features: &[],
        account_features: &[],
        bind_features: &[],
        nonzas: &[],
        domain_namespaces: &[],
        service_namespaces: &[],
        account_namespaces: &[],
        kinds: &[],
        account: None,
        absent: None,
        domain: None,
        service: None,
        stream: None,
    };
}

/// Which way a stanza passes the account at hand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From one of the account's devices.
    Out,
    /// To the account.
    In,
}

/// A stanza passing through the phases.
pub struct Pass<'a> {
    pub stanza: &'a mut Stanza,
    pub direction: Direction,
    pub origin: Origin,
    pub marks: &'a mut Marks,
}

impl Pass<'_> {
    /// The other side: whom an outgoing stanza is for, who sent an incoming one.
    pub fn peer(&self) -> Option<&Jid> {
        match self.direction {
            Direction::Out => self.stanza.to.as_ref(),
            Direction::In => self.stanza.from.as_ref(),
        }
    }
}

/// What an account's extension may look at.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub account: &'a Account,
    pub devices: &'a Devices,
    pub site: &'a Site,
    pub fellows: Fellows<'a>,
}

/// An account's other extensions, as far as one may ask them something: none knows which they are.
#[derive(Clone, Copy, Default)]
pub struct Fellows<'a> {
    pub(crate) before: &'a [(usize, Box<dyn AccountRole>)],
    pub(crate) after: &'a [(usize, Box<dyn AccountRole>)],
}

impl<'a> Fellows<'a> {
    fn roles(self) -> impl Iterator<Item = &'a dyn AccountRole> {
        let all = self.before.iter().chain(self.after);
        all.map(|(_, role)| role.as_ref())
    }
}

impl View<'_> {
    /// Whether another extension keeps the account from `contact`: see
    /// [`AccountRole::hides_from`].
    pub fn hides_from(&self, contact: &Jid) -> bool {
        self.fellows.roles().any(|role| role.hides_from(contact))
    }

    /// What the other extensions list of the account: see [`AccountRole::items`].
    pub fn items(&self, asker: &Jid) -> Vec<Element> {
        let roles = self.fellows.roles();
        roles.flat_map(|role| role.items(asker, *self)).collect()
    }

    /// How the owner wants to be told of what is said in a chat: see [`AccountRole::attention`].
    pub fn attention(&self, chat: &str) -> Option<Attention> {
        self.fellows.roles().find_map(|role| role.attention(chat))
    }

    /// Whether `request` comes from the account itself (any of its devices).
    pub fn is_own(&self, request: &Stanza) -> bool {
        request
            .from
            .as_ref()
            .is_some_and(|from| from.bare_str() == self.account.jid.as_str())
    }
}

/// Whether an extension took care of a message that no device could take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kept {
    /// It is kept, or of a kind that may go unheard (a chat state).
    Yes,
    No,
    /// It would be, but for a bound: the sender is told `resource-constraint`.
    Full,
}

/// How an account's owner wants to be told of what is said in a chat.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub enum Attention {
    Never,
    /// Where he is named.
    OnMention,
    Always,
}

/// How soon a device that is [patient](Device::patient) is given a stanza.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Urgency {
    /// At once, behind all that is held for it.
    Now,
    /// With the next that is urgent, or when the device is patient no more.
    Later,
    /// The same, and what is held with this subject says nothing any more.
    Replaces(SmolStr),
}

/// An extension's part in one account's Hub. Every method may be left out.
#[allow(unused_variables, reason = "the names tell what each is for")]
pub trait AccountRole: Send {
    /// A row of its loaded kinds, once each, before anything else; `rest` is the key behind the
    /// kind.
    fn load(&mut self, kind: Kind, rest: &[u8], value: &[u8]) {}

    /// An IQ get or set in one of its namespaces to the bare JID (or from an own device without
    /// `to`). It must reply, refuse, read or administer. Who may ask is its own decision: check
    /// [`View::is_own`].
    fn iq(&mut self, request: &Stanza, payload: &Element, view: View, fx: &mut Effects) {}

    /// Whether it is the one to answer this IQ in one of its namespaces; if not, the next in the
    /// list that names the namespace is asked.
    fn answers(&self, request: &Stanza) -> bool {
        true
    }

    /// A result or error came to the bare JID: perhaps the answer to an IQ that it sent. It must
    /// know its own by their ids.
    fn answered(&mut self, answer: &Stanza, view: View, fx: &mut Effects) {}

    /// Items in disco#items of the account, for one who may see its presence; `asker` is a bare
    /// JID.
    fn items(&self, asker: &Jid, view: View) -> Vec<Element> {
        Vec::new()
    }

    /// The topics that a device wants to be told of; `None` where this is not known (yet).
    fn wants(&self, device: DeviceId, view: View) -> Option<Topics> {
        None
    }

    /// What `fx.read` asked for. `request` is the IQ that waited, or `None` for `read_first` and
    /// `read_aside`.
    fn read_done(
        &mut self,
        step: u32,
        request: Option<&Stanza>,
        rows: Vec<Row>,
        view: View,
        fx: &mut Effects,
    ) {
    }

    /// The disk did not give what `fx.read_first` asked for; who asked by `fx.read` was refused
    /// already.
    fn unread(&mut self, step: u32, view: View, fx: &mut Effects) {}

    /// What became of `fx.administer`.
    fn administered(&mut self, request: &Stanza, outcome: Outcome, view: View, fx: &mut Effects) {}

    /// What `fx.wake` asked for, perhaps of a predecessor that panicked.
    fn woken(&mut self, view: View, fx: &mut Effects) {}

    /// Somebody asks to see the account's presence, which is kept, and not shown to its devices if
    /// an extension takes it upon itself. That one then shows it after all, or answers it by
    /// [`Effects::say`]; if it does neither, devices are shown it when they come.
    fn withholds(&mut self, request: &Stanza, view: View, fx: &mut Effects) -> bool {
        false
    }

    /// May refuse a message, presence or IQ: the error goes to its sender; for presence it is
    /// dropped silently.
    fn admit(&mut self, pass: &mut Pass, view: View, fx: &mut Effects) -> Result<(), StanzaError> {
        Ok(())
    }

    /// May change the stanza and its marks.
    fn stamp(&mut self, pass: &mut Pass, view: View, fx: &mut Effects) {}

    /// May add rows that are committed with the stanza.
    fn keep(&mut self, pass: &mut Pass, view: View, fx: &mut Effects) {}

    /// May deliver copies.
    fn copy(&mut self, pass: &mut Pass, view: View, fx: &mut Effects) {}

    /// After delivery to `reached` own devices, of a kept message also those given a copy.
    fn after(&mut self, pass: &mut Pass, reached: &[DeviceId], view: View, fx: &mut Effects) {}

    /// Somebody asks to see the account's presence, and waits for an answer (RFC 6121 §3.1.3); the
    /// available devices have been told.
    fn requested(&mut self, view: View, fx: &mut Effects) {}

    /// No device could take this message (RFC 6121 §8.5.2.2): keep it for later?
    fn undelivered(&mut self, pass: &mut Pass, view: View, fx: &mut Effects) -> Kept {
        Kept::No
    }

    /// These archive rows were delivered to a device that never acknowledged them and is gone, and
    /// no other device has them. Also called, perhaps with none, when the account was loaded and
    /// has devices.
    fn returned(&mut self, kept: &[Vec<u8>], view: View, fx: &mut Effects) {}

    /// The stanza in an archive row, as it is delivered to a device that never acknowledged it and
    /// is there again; `None`: the next extension knows.
    fn again(&self, device: DeviceId, key: &[u8], row: &[u8], view: View) -> Option<Stanza> {
        None
    }

    /// These kept rows were delivered to a device, which has acknowledged them.
    fn taken(&mut self, device: DeviceId, kept: &[Vec<u8>], view: View, fx: &mut Effects) {}

    /// A device binds by XEP-0386: called first with an empty `<bind/>`, then with each element in
    /// the client's that asks for something. The answer goes into `<bound/>`.
    fn bind(
        &mut self,
        device: DeviceId,
        feature: &Element,
        view: View,
        fx: &mut Effects,
    ) -> Option<Element> {
        None
    }

    /// What it must read to say something in `<bound/>` (XEP-0386 §4.2) by [`AccountRole::bound`].
    fn bind_queries(&self, view: View) -> Vec<Query> {
        Vec::new()
    }

    /// What goes into `<bound/>` besides, after all has been asked for. `rows` are those that all
    /// extensions wanted, as they stand at this moment; `None`: the disk did not give them.
    fn bound(&self, rows: Option<&[Row]>, view: View) -> Option<Element> {
        None
    }

    /// A device sent an element of [`Extension::nonzas`], in its turn among its stanzas.
    fn said(&mut self, device: DeviceId, element: &Element, view: View, fx: &mut Effects) {}

    /// How soon a patient device is given this stanza, which need not last and belongs to no change
    /// of the account; `None`: the next extension knows, and if none does it is urgent.
    fn urgency(&self, stanza: &Stanza, device: &Device, view: View) -> Option<Urgency> {
        None
    }

    /// A device sent its initial presence, or a changed one; the view has it already.
    fn available(&mut self, device: DeviceId, initial: bool, view: View, fx: &mut Effects) {}

    /// A device went unavailable, or away without a word; `status` is the text it left.
    fn unavailable(&mut self, device: DeviceId, status: &str, view: View, fx: &mut Effects) {}

    /// The account was loaded again although its sessions live: after a panic, a restart, or when
    /// the disk refused a change. This device was [noted](Effects::note) before.
    fn rejoined(&mut self, device: DeviceId, view: View, fx: &mut Effects) {}

    /// A device's stream is gone, and its session waits for another (XEP-0198 §5).
    fn waits(&mut self, device: DeviceId, view: View, fx: &mut Effects) {}

    /// The server started again, and the session of this device waits for its client; whether the
    /// client may not have got something of what is kept.
    fn restored(&mut self, device: DeviceId, owes: bool, view: View, fx: &mut Effects) {}

    /// The account's owner, or an administrator, shut a client out; its sessions end next.
    fn revoked(&mut self, client: ClientKey, view: View, fx: &mut Effects) {}

    /// Whether the sender of this roster get or set, who is not the owner, may see or change the
    /// roster as its owner; `None`: it is not for this extension to say.
    fn may_manage(&self, request: &Stanza, view: View) -> Option<bool> {
        None
    }

    /// The roster changed: what its owner's devices are told (RFC 6121 §2.1.6).
    fn roster_changed(&mut self, push: &Element, view: View, fx: &mut Effects) {}

    /// A component that has rights has connected, and takes stanzas.
    fn component_came(&mut self, component: &Component, view: View, fx: &mut Effects) {}

    /// How the owner wants to be told of what is said in a chat, whose bare JID this is; `None`:
    /// nothing was said of it.
    fn attention(&self, chat: &str) -> Option<Attention> {
        None
    }

    /// A device's session ended.
    fn gone(&mut self, device: DeviceId, view: View, fx: &mut Effects) {}

    /// Whether the account's presence is kept from `contact` (XEP-0191).
    fn hides_from(&self, contact: &Jid) -> bool {
        false
    }
}

/// An extension's part in the server itself: no state, answers at once.
#[allow(unused_variables, reason = "the names tell what each is for")]
pub trait DomainRole: Sync {
    /// An IQ get or set in one of its namespaces to a domain of the server. `local`: the asker is
    /// one of our users.
    fn iq(&self, request: &Stanza, payload: &Element, site: &Site, fx: &mut Effects);

    /// What became of `fx.administer`.
    fn administered(&self, request: &Stanza, outcome: Outcome, site: &Site, fx: &mut Effects) {}

    /// A message to a domain of the server; `true`: it is taken care of.
    fn message(&self, message: &Stanza, site: &Site, fx: &mut Effects) -> bool {
        false
    }

    /// A component has connected, and takes stanzas.
    fn component_came(&self, component: &Component, site: &Site, fx: &mut Effects) {}

    /// Further forms in disco#info of the server (XEP-0128).
    fn info(&self, domain: &str, site: &Site) -> Vec<Element> {
        Vec::new()
    }

    /// Items for disco#items of the server, of `node` or of none; `asker` is a bare JID. For a node
    /// of an account `host` is the account's bare JID, and the asker is its owner.
    fn items(&self, host: &str, node: Option<&str>, asker: &Jid, site: &Site) -> Vec<Element> {
        Vec::new()
    }

    /// disco#info of a node, if it is this extension's: identities, features and forms, or why this
    /// asker may not know. `host` and `asker` as in [`DomainRole::items`].
    fn node(
        &self,
        host: &str,
        node: &str,
        asker: &Jid,
        site: &Site,
    ) -> Option<Result<Vec<Element>, StanzaError>> {
        None
    }
}

/// What a stream extension decides on an IQ before login.
pub enum Before {
    /// Answer at once.
    Reply(Stanza),
    /// Have the server do something, then call `administered`.
    Administer(Command),
}

/// An extension's part on client streams before login.
#[allow(unused_variables, reason = "the names tell what each is for")]
pub trait StreamRole: Sync {
    /// Elements in the stream features before authentication.
    fn features(&self, site: &Site) -> Vec<Element> {
        Vec::new()
    }

    /// Elements in the stream features after authentication; `domain` is the stream's.
    fn features_after_login(&self, domain: &str, site: &Site) -> Vec<Element> {
        Vec::new()
    }

    /// Namespaces of IQs it answers before authentication.
    fn namespaces(&self) -> &'static [&'static str] {
        &[]
    }

    /// Such an IQ; `domain` is the stream's `to`.
    fn iq(&self, request: &Stanza, payload: &Element, domain: &str, site: &Site) -> Before {
        Before::Reply(refusal(request))
    }

    /// What became of [`Before::Administer`].
    fn administered(&self, request: &Stanza, outcome: Outcome, site: &Site) -> Stanza {
        refusal(request)
    }
}

/// What an extension that answers no IQ before login answers: a get or set always has an answer.
fn refusal(request: &Stanza) -> Stanza {
    let error = StanzaError::new(Condition::ServiceUnavailable);
    request
        .error_reply(&error)
        .unwrap_or_else(|| request.result_reply(None))
}
