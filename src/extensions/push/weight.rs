//! Which messages are worth waking a phone for.

use rookery_actors::extension::{Attention, Pass, View};
use rookery_actors::hub::devices::Device;
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::{Kind, MessageType, Stanza};

use crate::kept::{ENCRYPTED, is_invitation};

/// What a notification is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Weight {
    /// Something was said.
    Message,
    /// Somebody calls (XEP-0353 §3.1): a minute later it is too late.
    Call,
}

impl Weight {
    /// What an incoming message is about; `None`: it wakes nobody.
    pub fn of(pass: &Pass, view: View) -> Option<Weight> {
        let stanza = &*pass.stanza;
        let from = stanza.from.as_ref()?;
        let Kind::Message(kind) = stanza.kind else {
            return None;
        };
        // What he did himself he knows: also what a room tells him of it.
        let is_own = view.is_own(stanza) || (kind == MessageType::Groupchat && is_of(from, view));
        // What a room repeats of what was said before he came in (XEP-0045 §7.2.15).
        let is_old = kind == MessageType::Groupchat && stanza.has(ns::DELAY, "delay");
        if is_own || is_old || matches!(kind, MessageType::Error | MessageType::Headline) {
            return None;
        }
        if stanza.has(ns::JINGLE_MESSAGE, "propose") {
            return Some(Weight::Call);
        }
        let is_said = says(stanza) || invites(stanza);
        let wanted = is_said && is_wanted(stanza, from, view);
        wanted.then_some(Weight::Message)
    }
}

/// Whether there is text in it, or what may be text. A message that only brings keys has no
/// payload (XEP-0384 §4.4).
fn says(stanza: &Stanza) -> bool {
    if stanza.has(ns::CLIENT, "body") {
        return true;
    }
    ENCRYPTED.iter().any(|(namespace, name)| {
        let found = stanza.child(namespace, name);
        found.is_some_and(|it| *name != "encrypted" || it.child(namespace, "payload").is_some())
    })
}

fn invites(stanza: &Stanza) -> bool {
    stanza.has(ns::INVITE_DIRECT, "x") || is_invitation(stanza)
}

/// XEP-0492 §3: as the owner set it for this chat. Where he did not, always: whether a room of
/// another server is public nobody here can tell, and in a private one he wants to hear.
fn is_wanted(stanza: &Stanza, from: &Jid, view: View) -> bool {
    match view.attention(from.bare_str()) {
        None | Some(Attention::Always) => true,
        Some(Attention::Never) => false,
        Some(Attention::OnMention) => mentions(stanza, from, view),
    }
}

/// Whether a message names the account's owner: by a reference to him (XEP-0372), as the answer to
/// something of his (XEP-0461), or by the nickname that he has in the room.
fn mentions(stanza: &Stanza, from: &Jid, view: View) -> bool {
    let occupants: Vec<&Jid> = occupants(from, view).collect();
    let is_his = |jid: &str| {
        let jid = Jid::parse(jid);
        jid.is_ok_and(|jid| {
            jid.bare_str() == view.account.jid.as_str() || occupants.contains(&&jid)
        })
    };
    let named = stanza.children().iter().any(|child| {
        let Some(element) = stanza.read(child) else {
            return false;
        };
        if element.is(ns::REFERENCE, "reference") && element.attr("type") == Some("mention") {
            let uri = element
                .attr("uri")
                .and_then(|uri| uri.strip_prefix("xmpp:"));
            return uri.is_some_and(is_his);
        }
        element.is(ns::REPLY, "reply") && element.attr("to").is_some_and(is_his)
    });
    let body = stanza.child(ns::CLIENT, "body");
    let body = body.map(|body| body.text().to_lowercase());
    let said = |nick: &str| body.as_ref().is_some_and(|body| has_word(body, nick));
    named || occupants.iter().filter_map(|it| it.resource()).any(said)
}

/// Whether the occupant of a room is one of the account's devices.
fn is_of(occupant: &Jid, view: View) -> bool {
    occupants(occupant, view).any(|it| it == occupant)
}

/// As whom the account's devices are in a room: whom they sent their presence there.
fn occupants<'a>(room: &Jid, view: View<'a>) -> impl Iterator<Item = &'a Jid> {
    let room = room.bare();
    let directed = |device: &'a Device| device.directed.iter();
    let all = view.devices.iter().flat_map(directed);
    all.filter(move |it| !it.is_bare() && it.bare_str() == room.as_str())
}

/// Whether `name` stands in a text of small letters, by itself.
fn has_word(text: &str, name: &str) -> bool {
    let name = name.to_lowercase();
    let ends = |it: Option<char>| it.is_none_or(|it| !it.is_alphanumeric());
    let mut found = text.match_indices(&name);
    !name.is_empty()
        && found.any(|(at, word)| {
            let after = &text[at + word.len()..];
            ends(text[..at].chars().next_back()) && ends(after.chars().next())
        })
}

#[cfg(test)]
mod tests {
    use super::has_word;

    #[test]
    fn a_name_is_a_word_of_its_own() {
        for (text, found) in [
            ("alice", true),
            ("alice: hi", true),
            ("hi, alice!", true),
            ("malice and alice", true),
            ("malice", false),
            ("alices", false),
            ("", false),
        ] {
            assert_eq!(has_word(text, "Alice"), found, "{text}");
        }
        assert!(!has_word("anything", ""));
        assert!(has_word("ja, Ölaf".to_lowercase().as_str(), "ölaf"));
    }
}
