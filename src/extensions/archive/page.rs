//! A page of an archive on its way to the device that asked for it (XEP-0313 §4.2, §4.3).

use rookery_actors::effect::{Effects, Origin};
use rookery_protocol::datetime;
use rookery_protocol::jid::Jid;
use rookery_protocol::ns;
use rookery_protocol::paging::Summary;
use rookery_protocol::stanza::Stanza;
use rookery_protocol::xml::{Element, escape_attr};

use super::query::Wanted;
use super::search::Page;
use crate::kept::{Message, MessageId};

/// Makes of a message in the archive what its reader may see of it, written as a stanza; `None`:
/// all of it.
pub type Writer<'a> = &'a dyn Fn(&Message) -> Option<String>;

/// Sends the messages, then the result. `count`: of all messages in the archive, if it is known.
/// Nothing of it is kept for the reader: he can ask again.
pub(super) fn send(
    page: &Page,
    wanted: &Wanted,
    count: Option<u64>,
    request: &Stanza,
    writer: Writer,
    fx: &mut Effects,
) {
    if let (Some(to), Some(from)) = (&request.from, &request.to) {
        let frame = Frame::new(to, from, wanted.query_id.as_deref());
        let mut send = |(id, message): &(MessageId, Message)| {
            let shown = writer(message);
            let text = shown.as_deref().unwrap_or_else(|| message.text());
            let bytes = frame.write(*id, text);
            match fx.origin() {
                Origin::Device(device) => fx.deliver_bytes(device, bytes),
                Origin::Elsewhere => fx.route_bytes(bytes),
            }
        };
        // §4.3.4: a flipped page has the same messages, the last one first.
        match wanted.flips {
            true => page.messages.iter().rev().for_each(&mut send),
            false => page.messages.iter().for_each(&mut send),
        }
    }
    fx.result(request, Some(fin(page, wanted, count)));
}

/// What stands round each message of a page.
struct Frame {
    /// Up to the id.
    head: Vec<u8>,
}

const BEFORE_STAMP: &str = "'><forwarded xmlns='urn:xmpp:forward:0'>\
    <delay xmlns='urn:xmpp:delay' stamp='";
const BEFORE_MESSAGE: &str = "'/><message xmlns='jabber:client'";
const TAIL: &str = "</forwarded></result></message>";

impl Frame {
    fn new(to: &Jid, from: &Jid, query_id: Option<&str>) -> Frame {
        let mut head = Vec::with_capacity(192);
        head.extend_from_slice(b"<message to='");
        escape_attr(to.as_str(), &mut head);
        head.extend_from_slice(b"' from='");
        escape_attr(from.as_str(), &mut head);
        head.extend_from_slice(b"'><result xmlns='urn:xmpp:mam:2'");
        if let Some(query_id) = query_id {
            head.extend_from_slice(b" queryid='");
            escape_attr(query_id, &mut head);
            head.push(b'\'');
        }
        head.extend_from_slice(b" id='");
        Frame { head }
    }

    fn write(&self, id: MessageId, text: &str) -> Vec<u8> {
        // The stanza was written for a place whose namespace is that of clients.
        let rest = text.strip_prefix("<message").unwrap_or(">");
        let mut out = Vec::with_capacity(self.head.len() + text.len() + 256);
        out.extend_from_slice(&self.head);
        out.extend_from_slice(id.to_text().as_bytes());
        out.extend_from_slice(BEFORE_STAMP.as_bytes());
        out.extend_from_slice(datetime::format(id.time()).as_bytes());
        out.extend_from_slice(BEFORE_MESSAGE.as_bytes());
        out.extend_from_slice(rest.as_bytes());
        out.extend_from_slice(TAIL.as_bytes());
        out
    }
}

fn fin(page: &Page, wanted: &Wanted, count: Option<u64>) -> Element {
    let mut fin = Element::new(ns::MAM, "fin");
    if page.is_complete {
        fin.set_attr("complete", "true");
    }
    fin.with_attr("stable", "true")
        .with_child(summary(page, wanted, count).to_element())
}

/// The count is told where it costs nothing: of everything, and where all that was asked for is
/// there; of what was filtered it would cost as much as reading it.
fn summary(page: &Page, wanted: &Wanted, count: Option<u64>) -> Summary {
    let uid = |(id, _): &(MessageId, Message)| id.to_text();
    let ends = page.messages.first().zip(page.messages.last());
    let here = page.messages.len() as u64;
    let paging = &wanted.paging;
    let is_all = page.is_complete && paging.after.is_none() && paging.before_uid().is_none();
    let count = match is_all {
        true => Some(here),
        false => count
            .filter(|_| wanted.everything)
            .map(|count| count.max(here)),
    };
    let starts = match paging.is_backwards() {
        true => page.is_complete && paging.after.is_none(),
        false => paging.after.is_none(),
    };
    let ends_with_all = paging.before.as_deref() == Some("");
    let index = match starts {
        true => Some(0),
        false => count.filter(|_| ends_with_all).map(|count| count - here),
    };
    Summary {
        ends: ends.map(|(first, last)| (uid(first), uid(last))),
        index,
        count,
    }
}
