//! What only we may say, and others forge: ids of this archive (XEP-0359 §4), delays in our name,
//! and wrappers of carbons.

use rookery_actors::extension::{Direction, Pass, View};
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::{Child, Stanza};
use rookery_protocol::xml::Element;

/// Children that may forge what only we say.
const IDS: &[(&str, &str)] = &[(ns::STANZA_ID, "stanza-id")];
const DELAYS: &[(&str, &str)] = &[(ns::DELAY, "delay"), (ns::DELAY_LEGACY, "x")];
const WRAPPERS: &[(&str, &str)] = &[(ns::CARBONS, "received"), (ns::CARBONS, "sent")];

/// Takes out ids that only the archive of `own` may give (XEP-0359 §4).
pub fn remove_ids(stanza: &mut Stanza, own: &Jid) {
    remove(stanza, IDS, |id| names(id, "by").as_ref() == Some(own));
}

/// Takes out of a message or presence what is forged.
pub(super) fn remove_forged(pass: &mut Pass, view: View) {
    let own = &view.account.jid;
    let is_own = |jid: &Jid| jid.bare_str() == own.as_str();
    remove_ids(pass.stanza, own);
    if !pass.peer().is_none_or(is_own) {
        // What a server wraps for its own user comes from the server, never from a contact
        // (CVE-2017-5589).
        remove(pass.stanza, WRAPPERS, |_| true);
    }
    if has(pass.stanza, DELAYS) && is_foreign(pass, view) {
        let to = pass.stanza.to.as_ref().map(Jid::bare);
        let forged = |from: Jid| to.as_ref() == Some(&from) || ours(&from, view);
        remove(pass.stanza, DELAYS, |delay| {
            names(delay, "from").is_some_and(forged)
        });
    }
}

/// Whether the stanza is fresh from a client or another server, so that no part of our server has
/// put anything into it: neither a room of ours nor the store for those who are away.
fn is_foreign(pass: &Pass, view: View) -> bool {
    match pass.direction {
        Direction::Out => true,
        Direction::In => pass.peer().is_some_and(|from| !ours(from, view)),
    }
}

/// Whether `jid` is one of our domains, or at one of our services: a room.
fn ours(jid: &Jid, view: View) -> bool {
    let site = view.site;
    match jid.local() {
        None if site.serves(jid.domain()) => true,
        _ => site.domains.iter().any(|domain| {
            let mut hosts = site.settings.service_hosts(domain).into_iter();
            hosts.any(|host| host == jid.domain())
        }),
    }
}

/// The JID in an attribute, if it is one.
fn names(element: &Element, attribute: &str) -> Option<Jid> {
    Jid::parse(element.attr(attribute)?).ok()
}

/// Whether there is a child of one of these names.
fn has(stanza: &Stanza, names: &[(&str, &str)]) -> bool {
    stanza.children().iter().any(|child| is_one(child, names))
}

fn is_one(child: &Child, names: &[(&str, &str)]) -> bool {
    names.iter().any(|(ns, name)| child.is(ns, name))
}

/// Removes the children of one of these names that are `forged`.
fn remove(stanza: &mut Stanza, names: &[(&str, &str)], forged: impl Fn(&Element) -> bool) {
    if !has(stanza, names) {
        return;
    }
    let read =
        |child| is_one(child, names) && stanza.read(child).is_none_or(|child| forged(&child));
    let mut verdicts = stanza
        .children()
        .iter()
        .map(read)
        .collect::<Vec<_>>()
        .into_iter();
    stanza.retain_children(|_| !verdicts.next().unwrap_or(false));
}
