//! Client State Indication (XEP-0352): a client says that nobody looks at it, and is spared what
//! can wait.
//!
//! Of presence it is owed the last of each address, of chat states the last of each chat, of what
//! contacts publish the last of each item. All that is held stays in its order, and goes out before
//! the next stanza that matters: a phone that must wake anyway gets all of it at once. What matters
//! is everything that is not known to be able to wait.

use rookery_actors::effect::Effects;
use rookery_actors::extension::{AccountRole, Extension, Spec, StreamRole, Urgency, View};
use rookery_actors::hub::devices::{Device, DeviceId};
use rookery_actors::site::Site;
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::stanza::{Kind, MessageType, PresenceType, Stanza};
use rookery_protocol::xml::Element;
use smol_str::{SmolStr, format_smolstr};

use crate::kept::says_nothing;

/// The extension.
pub const CLIENT_STATE: Extension = Extension {
    name: "client_state",
    specs: &[Spec {
        xep: 352,
        version: "1.0.0",
        title: "Client State Indication",
    }],
    bind_features: &[ns::CLIENT_STATE],
    nonzas: &[ns::CLIENT_STATE],
    account: Some(|_| Box::new(ClientState)),
    stream: Some(&ClientState),
    ..Extension::NONE
};

/// What is held, and for whom, the engine knows.
struct ClientState;

impl StreamRole for ClientState {
    /// §4.1: after the client has authenticated.
    fn features_after_login(&self, _: &str, _: &Site) -> Vec<Element> {
        vec![Element::new(ns::CLIENT_STATE, "csi")]
    }
}

impl AccountRole for ClientState {
    /// §4.2: no answer.
    fn said(&mut self, device: DeviceId, element: &Element, _: View, fx: &mut Effects) {
        indicate(device, element, fx);
    }

    /// XEP-0386 §4.2: the session begins in that state.
    fn bind(
        &mut self,
        device: DeviceId,
        feature: &Element,
        _: View,
        fx: &mut Effects,
    ) -> Option<Element> {
        if feature.ns() == ns::CLIENT_STATE {
            indicate(device, feature, fx);
        }
        None
    }

    fn urgency(&self, stanza: &Stanza, device: &Device, view: View) -> Option<Urgency> {
        Some(urgency(stanza, &device.jid, &view.account.jid))
    }
}

fn indicate(device: DeviceId, element: &Element, fx: &mut Effects) {
    match element.name() {
        "inactive" => fx.be_patient(device, true),
        "active" => fx.be_patient(device, false),
        _ => {}
    }
}

/// How soon the device `full` of the account `own` must see a stanza.
fn urgency(stanza: &Stanza, full: &Jid, own: &Jid) -> Urgency {
    let from = stanza.from.as_ref().unwrap_or(own);
    match stanza.kind {
        Kind::Presence(PresenceType::Available | PresenceType::Unavailable) => {
            match from == full || is_of_itself(stanza) {
                // It waits for this one: what it said itself, or that it is in a room.
                true => Urgency::Now,
                false => Urgency::Replaces(subject("presence", from, "", "")),
            }
        }
        Kind::Presence(_) | Kind::Iq(_) | Kind::Message(MessageType::Error) => Urgency::Now,
        Kind::Message(_) => match copied(stanza, own) {
            Some(copy) => of_message(&copy, full, own),
            None => of_message(stanza, full, own),
        },
    }
}

fn of_message(stanza: &Stanza, full: &Jid, own: &Jid) -> Urgency {
    // A copy of what another device sent is of the chat that it was sent to.
    let from = stanza.from.as_ref().unwrap_or(own);
    let chat = match from.bare_str() == own.as_str() {
        true => stanza.to.as_ref().unwrap_or(full),
        false => from,
    };
    if stanza.has(ns::CHAT_STATES, state_of(stanza)) && says_nothing(stanza) {
        return Urgency::Replaces(subject("state", from, chat.as_str(), ""));
    }
    match stanza.child(ns::PUBSUB_EVENT, "event") {
        Some(event) if !stanza.has(ns::CLIENT, "body") => of_event(&event, from),
        _ => Urgency::Now,
    }
}

/// The name of the chat state in a message.
fn state_of(stanza: &Stanza) -> &str {
    let mut children = stanza.children().iter();
    let state = children.find(|child| child.ns == ns::CHAT_STATES);
    state.map_or("", |child| child.name.as_str())
}

/// News of one item make older ones of the same item idle; other events stand for themselves.
fn of_event(event: &Element, from: &Jid) -> Urgency {
    let Some(items) = event.child(ns::PUBSUB_EVENT, "items") else {
        return Urgency::Later;
    };
    let mut all = items.children();
    match (all.next().and_then(|item| item.attr("id")), all.next()) {
        (Some(id), None) => {
            let node = items.attr("node").unwrap_or_default();
            Urgency::Replaces(subject("item", from, node, id))
        }
        _ => Urgency::Later,
    }
}

/// NUL is in no XML, so no two subjects meet.
fn subject(kind: &str, from: &Jid, node: &str, id: &str) -> SmolStr {
    format_smolstr!("{kind}\0{from}\0{node}\0{id}")
}

/// Whether a room tells an occupant of himself (XEP-0045 §7.2.2): that he is in, or out.
fn is_of_itself(presence: &Stanza) -> bool {
    let Some(x) = presence.child(ns::MUC_USER, "x") else {
        return false;
    };
    let codes = x.children().filter(|it| it.is(ns::MUC_USER, "status"));
    codes
        .filter_map(|status| status.attr("code"))
        .any(|code| code == "110")
}

/// The message of which this is a copy (XEP-0280): it is as urgent as that.
fn copied(stanza: &Stanza, own: &Jid) -> Option<Stanza> {
    if stanza.from.as_ref() != Some(own) {
        return None;
    }
    let copy = ["received", "sent"];
    let copy = copy
        .iter()
        .find_map(|name| stanza.child(ns::CARBONS, name))?;
    let forwarded = copy.child(ns::FORWARD, "forwarded")?;
    let message = forwarded.child(ns::CLIENT, "message")?;
    Stanza::parse_stored(message.to_bytes("").into()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extensions::scene::stanza;

    const OWN: &str = "alice@a.test";
    const FULL: &str = "alice@a.test/phone";

    fn judged(text: &str) -> Urgency {
        let jid = |text| Jid::parse(text).unwrap();
        urgency(&stanza(text), &jid(FULL), &jid(OWN))
    }

    fn message(inside: &str) -> String {
        format!("<message from='bob@b.test/x' to='{FULL}' type='chat'>{inside}</message>")
    }

    fn carbon(name: &str, inside: &str) -> String {
        let (from, to) = match name {
            "sent" => ("alice@a.test/desk", "bob@b.test"),
            _ => ("bob@b.test/x", "alice@a.test/desk"),
        };
        format!(
            "<message from='{OWN}' to='{FULL}' type='chat'><{name} xmlns='urn:xmpp:carbons:2'>\
             <forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' from='{from}' \
             to='{to}' type='chat'>{inside}</message></forwarded></{name}></message>"
        )
    }

    fn event(inside: &str) -> String {
        format!(
            "<message from='bob@b.test' to='{FULL}' type='headline'>\
             <event xmlns='http://jabber.org/protocol/pubsub#event'>{inside}</event></message>"
        )
    }

    const COMPOSING: &str = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";

    #[test]
    fn what_wakes_a_phone() {
        let presence = |kind: &str| format!("<presence from='bob@b.test' to='{OWN}' {kind}/>");
        let self_presence = "<presence from='room@r.test/alice' to='alice@a.test/phone'>\
            <x xmlns='http://jabber.org/protocol/muc#user'><status code='110'/></x></presence>";
        let rows = [
            message("<body>hi</body>"),
            message(&format!("<body>hi</body>{COMPOSING}")),
            message("<encrypted xmlns='eu.siacs.conversations.axolotl'/>"),
            message("<propose xmlns='urn:xmpp:jingle-message:0' id='a'/>"),
            message("<received xmlns='urn:xmpp:receipts' id='a'/>"),
            message(
                "<x xmlns='http://jabber.org/protocol/muc#user'><invite from='bob@b.test'/></x>",
            ),
            message("<unheard-of xmlns='urn:x'/>"),
            message(""),
            message(COMPOSING).replace("'chat'", "'error'"),
            message("<subject>t</subject>").replace("'chat'", "'groupchat'"),
            carbon("received", "<body>hi</body>"),
            carbon("sent", "<body>hi</body>"),
            // A copy that a contact forged is no copy.
            carbon("sent", COMPOSING).replace("from='alice@a.test' ", "from='bob@b.test' "),
            event("<items node='n'><item id='i'/></items>").replace("</event>", "</event><body/>"),
            presence("type='subscribe'"),
            presence("type='unsubscribed'"),
            presence("type='error'"),
            presence("").replace("bob@b.test", FULL),
            self_presence.to_owned(),
            format!("<iq from='bob@b.test/x' to='{FULL}' type='get' id='i'/>"),
            format!("<iq from='a.test' to='{FULL}' type='result' id='i'/>"),
        ];
        for row in rows {
            assert_eq!(judged(&row), Urgency::Now, "{row}");
        }
    }

    #[test]
    fn what_can_wait() {
        let room = "<presence from='room@r.test/bob'>\
            <x xmlns='http://jabber.org/protocol/muc#user'><item role='none'/></x></presence>";
        let rows = [
            (
                "<presence from='bob@b.test/x'/>",
                "presence\0bob@b.test/x\0\0",
            ),
            (
                "<presence from='bob@b.test/x' type='unavailable'/>",
                "presence\0bob@b.test/x\0\0",
            ),
            (
                "<presence from='alice@a.test/desk'/>",
                "presence\0alice@a.test/desk\0\0",
            ),
            (room, "presence\0room@r.test/bob\0\0"),
            (&message(COMPOSING), "state\0bob@b.test/x\0bob@b.test/x\0"),
            (
                &message(&format!("{COMPOSING}<no-store xmlns='urn:xmpp:hints'/>"))
                    .replace("'chat'", "'groupchat'"),
                "state\0bob@b.test/x\0bob@b.test/x\0",
            ),
            (
                &carbon("received", COMPOSING),
                "state\0bob@b.test/x\0bob@b.test/x\0",
            ),
            (
                &carbon("sent", COMPOSING),
                "state\0alice@a.test/desk\0bob@b.test\0",
            ),
            (
                &event("<items node='n'><item id='i'/></items>"),
                "item\0bob@b.test\0n\0i",
            ),
            (
                &event("<items node='n'><retract id='i'/></items>"),
                "item\0bob@b.test\0n\0i",
            ),
        ];
        for (row, subject) in rows {
            let wanted = Urgency::Replaces(subject.into());
            assert_eq!(judged(row), wanted, "{row}");
        }
        for inside in [
            "<items node='n'><item id='i'/><item id='j'/></items>",
            "<items node='n'><item/></items>",
            "<purge node='n'/>",
        ] {
            assert_eq!(judged(&event(inside)), Urgency::Later, "{inside}");
        }
    }
}
