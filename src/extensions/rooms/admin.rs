//! What moderators and admins do (XEP-0045 §8, §9): lists of people, and changes of what they are.

use rookery_actors::effect::Effects;
use rookery_actors::service::Seat;
use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::paging::{Paging, Summary};
use rookery_protocol::stanza::{IqType, Kind, Stanza};
use rookery_protocol::xml::Element;
use rookery_storage::Frame;

use super::leave::Parting;
use super::powers::{Rank, may_give_affiliation, may_give_role};
use super::room::Room;
use super::standing::{Affiliation, Role};
use super::word::{Cause, code};
use crate::extensions::request::bad_request;

/// The most changes in one request.
const CHANGES: usize = 200;
/// People in one answer that is asked for in parts (XEP-0059).
const PAGE: usize = 200;
/// The longest reason, in bytes.
const REASON: usize = 1024;

/// One change that is asked for.
enum Change {
    Role {
        nick: String,
        role: Role,
    },
    Affiliation {
        jid: Jid,
        affiliation: Affiliation,
        /// The name that is to be his.
        nick: Option<String>,
    },
}

impl Room {
    /// A query of `muc#admin`.
    pub fn administer(
        &mut self,
        request: &Stanza,
        query: &Element,
        seat: Seat,
        fx: &mut Effects,
    ) -> Result<(), StanzaError> {
        self.there()?;
        let Some(from) = request.from.clone() else {
            return Ok(());
        };
        if request.kind == Kind::Iq(IqType::Get) {
            let answer = self.list(query, &from, seat)?;
            fx.result(request, Some(answer));
            return Ok(());
        }
        let items = query.children().filter(|it| it.is(ns::MUC_ADMIN, "item"));
        let changes: Vec<_> = items.map(read).collect::<Result<_, _>>()?;
        if changes.is_empty() || changes.len() > CHANGES {
            return Err(bad_request());
        }
        // All of it, or nothing.
        for (change, _) in &changes {
            self.may(change, &from, seat)?;
        }
        let actor = self.occupants.of(&from).map(|it| it.nick().to_owned());
        // The answer goes first: who puts himself out is not there to hear it later.
        fx.result(request, None);
        for (change, reason) in changes {
            let actor = actor.clone();
            self.make(change, Cause { actor, reason }, seat, fx);
        }
        self.empty_if_nobody_is_left(seat, fx);
        Ok(())
    }

    /// §8.5, §9.2, §9.5, §9.8: all who have a role or an affiliation.
    fn list(&self, query: &Element, from: &Jid, seat: Seat) -> Result<Element, StanzaError> {
        let item = query.child(ns::MUC_ADMIN, "item").ok_or_else(bad_request)?;
        let own = self.rank(from, seat);
        let forbidden = || StanzaError::new(Condition::Forbidden);
        if let Some(role) = item.attr("role") {
            let role = Role::parse(role).ok_or_else(bad_request)?;
            if own.role < Role::Moderator && own.affiliation < Affiliation::Admin {
                return Err(forbidden());
            }
            let occupants = self.occupants.iter().filter(|it| it.role == role);
            let items = occupants.map(|it| {
                let jid = it.shown().map_or(it.who.as_str(), |it| it.jid.as_str());
                entry(self.affiliation(&it.who, seat), jid)
                    .with_attr("nick", it.nick())
                    .with_attr("role", role.as_str())
            });
            return Ok(Element::new(ns::MUC_ADMIN, "query").with_children(items));
        }
        let affiliation = item.attr("affiliation").and_then(Affiliation::parse);
        let affiliation = affiliation.ok_or_else(bad_request)?;
        let founding = self.there()?;
        let may = match affiliation {
            Affiliation::None => return Err(bad_request()),
            Affiliation::Outcast => own.affiliation >= Affiliation::Admin,
            _ => founding.config.lists_to(own.affiliation, own.role),
        };
        if !may {
            return Err(forbidden());
        }
        let all: Vec<_> = self.people.all_who_are(affiliation).collect();
        let paging = Paging::of(query)?;
        let part = paging.cut(&all, paging.limit(all.len(), PAGE.max(all.len())), |it| {
            it.0
        })?;
        let items = part.items.iter().map(|(jid, person)| {
            let mut item = entry(affiliation, jid);
            if let Some(nick) = &person.nick {
                item.set_attr("nick", nick);
            }
            if !person.reason.is_empty() {
                item.push(Element::new(ns::MUC_ADMIN, "reason").with_text(&person.reason));
            }
            item
        });
        let answer = Element::new(ns::MUC_ADMIN, "query").with_children(items);
        if query.child(ns::RSM, "set").is_none() {
            return Ok(answer);
        }
        let ends = part.items.first().zip(part.items.last());
        let summary = Summary {
            ends: ends.map(|(first, last)| (first.0.to_owned(), last.0.to_owned())),
            index: Some(part.index as u64),
            count: Some(part.count as u64),
        };
        Ok(answer.with_child(summary.to_element()))
    }

    /// What somebody is now.
    pub fn rank(&self, jid: &Jid, seat: Seat) -> Rank {
        Rank {
            affiliation: self.affiliation(jid, seat),
            role: self.occupants.of(jid).map_or(Role::None, |it| it.role),
        }
    }

    /// Whether somebody may change this.
    fn may(&self, change: &Change, from: &Jid, seat: Seat) -> Result<(), StanzaError> {
        let own = self.rank(from, seat);
        match change {
            Change::Role { nick, role } => {
                let target = self.occupants.get(nick);
                let target = target.ok_or_else(|| StanzaError::new(Condition::ItemNotFound))?;
                let rank = Rank {
                    affiliation: self.affiliation(&target.who, seat),
                    role: target.role,
                };
                // §8.2: as an apology.
                if target.has(from) && *role == Role::None {
                    return Ok(());
                }
                may_give_role(own, rank, *role)
            }
            Change::Affiliation {
                jid,
                affiliation,
                nick,
            } => {
                let target = self.affiliation(jid, seat);
                let is_self = jid.as_str() == from.bare_str();
                let is_last = self.people.is_last_owner(jid.as_str());
                let full = || StanzaError::new(Condition::ResourceConstraint);
                may_give_affiliation(own.affiliation, target, *affiliation, (is_self, is_last))?;
                if self.people.is_full() && target == Affiliation::None {
                    return Err(full().with_text("too many people are listed"));
                }
                let taken = |it: &String| self.people.is_taken(it, jid.as_str());
                match nick.as_ref().is_some_and(taken) {
                    true => Err(StanzaError::new(Condition::Conflict)),
                    false => Ok(()),
                }
            }
        }
    }

    fn make(&mut self, change: Change, cause: Cause, seat: Seat, fx: &mut Effects) {
        match change {
            Change::Role {
                nick,
                role: Role::None,
            } => self.put_out(&nick, &[code::KICKED], &cause, seat, fx),
            Change::Role { nick, role } => self.give_role(&nick, role, Some(&cause), seat, fx),
            Change::Affiliation {
                jid,
                affiliation,
                nick,
            } => {
                self.give_affiliation(&jid, affiliation, &cause, seat, fx);
                if let Some(nick) = nick.filter(|_| affiliation >= Affiliation::Member) {
                    self.people.register(&jid, &nick, seat.owner, fx);
                }
            }
        }
    }

    /// Puts an occupant out, with all his sessions (§8.2).
    pub fn put_out(
        &mut self,
        nick: &str,
        codes: &[u16],
        cause: &Cause,
        seat: Seat,
        fx: &mut Effects,
    ) {
        let occupant = self.occupants.get(nick);
        let sessions = occupant.into_iter().flat_map(|it| &it.sessions);
        let sessions: Vec<Jid> = sessions.map(|it| it.jid.clone()).collect();
        for session in sessions {
            let parting = Parting {
                codes,
                cause: Some(cause),
                ..Parting::default()
            };
            self.part(&session, parting, seat, fx);
        }
    }

    /// Gives an occupant a role, and tells everybody.
    pub fn give_role(
        &mut self,
        nick: &str,
        role: Role,
        cause: Option<&Cause>,
        seat: Seat,
        fx: &mut Effects,
    ) {
        let Some(occupant) = self.occupants.get_mut(nick) else {
            return;
        };
        occupant.role = role;
        let sessions: Vec<Jid> = occupant.sessions.iter().map(|it| it.jid.clone()).collect();
        for session in sessions {
            self.occupants.write(&session, seat.owner, fx);
        }
        self.show(nick, &[], cause, seat, fx);
    }

    /// Makes somebody what he is to be for good, and tells everybody who is there (§9).
    pub fn give_affiliation(
        &mut self,
        jid: &Jid,
        affiliation: Affiliation,
        cause: &Cause,
        seat: Seat,
        fx: &mut Effects,
    ) {
        let Ok(founding) = self.there() else { return };
        let before = self.affiliation(jid, seat);
        self.people
            .settle(jid, affiliation, &cause.reason, seat.owner, fx);
        let affiliation = self.affiliation(jid, seat);
        let nicks = self.occupants.all_of(jid.as_str());
        let nicks: Vec<String> = nicks.map(|it| it.nick().to_owned()).collect();
        let members_only = founding.config.members_only;
        for nick in &nicks {
            match affiliation {
                Affiliation::Outcast => self.put_out(nick, &[code::BANNED], cause, seat, fx),
                Affiliation::None if members_only => {
                    self.put_out(nick, &[code::NO_MEMBER], cause, seat, fx);
                }
                _ => {
                    let own = self.occupants.get(nick).map_or(Role::None, |it| it.role);
                    let given = affiliation.role(founding.config.moderated);
                    // §5.1.3: what is gained goes with the affiliation; who was made more by it
                    // than others are is no more.
                    let lost = before >= Affiliation::Admin && affiliation < Affiliation::Admin;
                    let role = if lost { given } else { own.max(given) };
                    self.give_role(nick, role, Some(cause), seat, fx);
                }
            }
        }
        let joins_circle = members_only && before < Affiliation::Member;
        if nicks.is_empty() && joins_circle && affiliation >= Affiliation::Member {
            // §9.5: he may come now.
            let invitation = self.invitation(seat.jid, &cause.reason);
            let invitation = invitation.with_from(seat.jid.clone());
            fx.route_lasting(invitation.with_to(jid.clone()), Frame::new());
        }
    }
}

/// `<item/>` of a list.
fn entry(affiliation: Affiliation, jid: &str) -> Element {
    Element::new(ns::MUC_ADMIN, "item")
        .with_attr("affiliation", affiliation.as_str())
        .with_attr("jid", jid)
}

/// Reads a change, and why it is asked for.
fn read(item: &Element) -> Result<(Change, String), StanzaError> {
    let reason = item.child(ns::MUC_ADMIN, "reason").map(Element::text);
    let mut reason = reason.unwrap_or_default();
    if reason.len() > REASON {
        let end = (0..=REASON).rev().find(|it| reason.is_char_boundary(*it));
        reason.truncate(end.unwrap_or_default());
    }
    let nick = item.attr("nick");
    let change = match (item.attr("role"), item.attr("affiliation"), nick) {
        (Some(role), None, Some(nick)) => Change::Role {
            nick: nick.to_owned(),
            role: Role::parse(role).ok_or_else(bad_request)?,
        },
        (None, Some(affiliation), nick) => {
            let jid = item.attr("jid").and_then(|it| Jid::parse(it).ok());
            Change::Affiliation {
                // §9.1: bare JIDs are what counts.
                jid: jid
                    .ok_or_else(|| StanzaError::new(Condition::JidMalformed))?
                    .bare(),
                affiliation: Affiliation::parse(affiliation).ok_or_else(bad_request)?,
                nick: nick.filter(|it| !it.is_empty()).map(str::to_owned),
            }
        }
        _ => return Err(bad_request()),
    };
    Ok((change, reason))
}
