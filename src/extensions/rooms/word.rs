//! What a room says of an occupant: a presence in his name, with his role and affiliation
//! (XEP-0045 §7.2.2), in as many forms as there are kinds of listeners.

use rookery_actors::effect::Effects;
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::{PresenceType, Stanza};
use rookery_protocol::xml::Element;
use smol_str::SmolStr;

use super::config::Config;
use super::occupants::Occupants;
use super::standing::{Affiliation, Role};

/// Status codes (XEP-0045 §15.6.2).
pub mod code {
    /// All see each other's addresses.
    pub const NON_ANONYMOUS: u16 = 100;
    /// The configuration changed.
    pub const CONFIGURED: u16 = 104;
    /// This is you.
    pub const SELF: u16 = 110;
    /// What is said is kept, or is not any more.
    pub const LOGGED: u16 = 170;
    pub const NOT_LOGGED: u16 = 171;
    pub const NOW_NON_ANONYMOUS: u16 = 172;
    pub const NOW_SEMI_ANONYMOUS: u16 = 173;
    /// The room was made for you.
    pub const CREATED: u16 = 201;
    /// You go by another name than you wanted.
    pub const RENAMED: u16 = 210;
    pub const BANNED: u16 = 301;
    /// He goes by another name now.
    pub const NEW_NICK: u16 = 303;
    pub const KICKED: u16 = 307;
    /// Out because of a new affiliation.
    pub const NO_MEMBER: u16 = 321;
    /// Out because only members may stay.
    pub const MEMBERS_ONLY: u16 = 322;
    /// Out because he cannot be reached.
    pub const LOST: u16 = 333;
}

/// Who is behind something, and why.
#[derive(Clone, Default, Debug)]
pub struct Cause {
    /// The name of who did it.
    pub actor: Option<String>,
    pub reason: String,
}

/// Something to be said of an occupant.
#[derive(Clone, Debug)]
pub struct Word<'a> {
    /// The room's address with his name.
    pub occupant: &'a Jid,
    /// The session that it is about.
    pub session: &'a Jid,
    pub affiliation: Affiliation,
    /// [`Role::None`]: he leaves.
    pub role: Role,
    /// What he says of himself.
    pub presence: Option<&'a Stanza>,
    pub occupant_id: SmolStr,
    /// For everybody.
    pub codes: &'a [u16],
    /// For himself besides.
    pub own_codes: &'a [u16],
    /// The name that he goes by from now on.
    pub nick: Option<&'a str>,
    pub cause: Option<&'a Cause>,
    /// The id of the stanza that asked for it, for himself.
    pub id: Option<SmolStr>,
}

impl Word<'_> {
    /// The form for somebody else who sees addresses, or does not.
    pub fn form(&self, with_jid: bool) -> Stanza {
        self.stanza(with_jid, false)
    }

    /// Says it to everybody who is shown such, and to all sessions of whom it is about.
    pub fn broadcast(&self, occupants: &Occupants, config: &Config, fx: &mut Effects) {
        self.to_others(occupants, config, fx);
        let own = occupants.get(self.occupant.resource().unwrap_or_default());
        for session in own.into_iter().flat_map(|it| &it.sessions) {
            self.to_self(&session.jid, fx);
        }
    }

    /// The same, but not to this session of his.
    pub fn broadcast_but(
        &self,
        session: &Jid,
        occupants: &Occupants,
        config: &Config,
        fx: &mut Effects,
    ) {
        self.to_others(occupants, config, fx);
        let own = occupants.get(self.occupant.resource().unwrap_or_default());
        let own = own.into_iter().flat_map(|it| &it.sessions);
        for other in own.filter(|it| it.jid != *session) {
            self.to_self(&other.jid, fx);
        }
    }

    /// Says it to everybody else who is shown such: that somebody leaves, all are.
    pub fn to_others(&self, occupants: &Occupants, config: &Config, fx: &mut Effects) {
        if self.role != Role::None && !config.shown.contains(&self.role) {
            return;
        }
        let mut forms = [None, None];
        for (listener, session) in occupants.sessions() {
            if listener.jid == *self.occupant || session.jid == *self.session {
                continue;
            }
            let with_jid = config.shows_jids_to(listener.role);
            let form = &mut forms[usize::from(with_jid)];
            let form = form.get_or_insert_with(|| self.form(with_jid));
            fx.route(form.clone().with_to(session.jid.clone()));
        }
    }

    /// Says it to one of his own sessions.
    pub fn to_self(&self, session: &Jid, fx: &mut Effects) {
        fx.route(self.own().with_to(session.clone()));
    }

    /// The last that he hears of the room, which ends so (§10.9).
    pub fn last(&self, destroy: &Element) -> Stanza {
        let x = Element::new(ns::MUC_USER, "x")
            .with_child(self.item(false))
            .with_child(destroy.clone())
            .with_child(status(&code::SELF));
        Stanza::presence(PresenceType::Unavailable)
            .with_from(self.occupant.clone())
            .with_child(&x)
    }

    fn own(&self) -> Stanza {
        let mut own = self.stanza(true, true);
        own.id = self.id.clone();
        own
    }

    fn stanza(&self, with_jid: bool, is_own: bool) -> Stanza {
        let kind = match self.role {
            Role::None => PresenceType::Unavailable,
            _ if self.nick.is_some() => PresenceType::Unavailable,
            _ => PresenceType::Available,
        };
        let mut stanza = Stanza::presence(kind);
        if let Some(presence) = self.presence {
            stanza = stanza.with_children_of(presence);
            stanza.lang = presence.lang.clone();
        }
        let id = Element::new(ns::OCCUPANT_ID, "occupant-id").with_attr("id", &self.occupant_id);
        let own: &[u16] = match is_own {
            true => self.own_codes,
            false => &[],
        };
        let own_codes = own.iter().chain(is_own.then_some(&code::SELF));
        let x = Element::new(ns::MUC_USER, "x")
            .with_child(self.item(with_jid))
            .with_children(self.codes.iter().chain(own_codes).map(status));
        stanza
            .with_from(self.occupant.clone())
            .with_child(&id)
            .with_child(&x)
    }

    fn item(&self, with_jid: bool) -> Element {
        let mut item = item(self.affiliation, self.role);
        if with_jid {
            item.set_attr("jid", self.session.as_str());
        }
        if let Some(nick) = self.nick {
            item.set_attr("nick", nick);
        }
        if let Some(Cause { actor, reason }) = self.cause {
            if let Some(nick) = actor {
                item.push(Element::new(ns::MUC_USER, "actor").with_attr("nick", nick));
            }
            if !reason.is_empty() {
                item.push(Element::new(ns::MUC_USER, "reason").with_text(reason));
            }
        }
        item
    }
}

/// `<item/>` of these.
pub fn item(affiliation: Affiliation, role: Role) -> Element {
    Element::new(ns::MUC_USER, "item")
        .with_attr("affiliation", affiliation.as_str())
        .with_attr("role", role.as_str())
}

/// `<status/>` of this code.
pub fn status(code: &u16) -> Element {
    Element::new(ns::MUC_USER, "status").with_attr("code", code.to_string())
}
